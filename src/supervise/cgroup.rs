//! Cgroups of children that may use only so much: found, made, watched, removed. Knows both versions of
//! cgroups, and nothing of what else a child is held to.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, access};

/// Something that a cgroup can keep within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    Memory,
    Pids,
}

impl Controller {
    const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// A cgroup that this process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    dir: PathBuf,
    /// The inmost one of its hierarchy that this process is in.
    inmost: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Home {
    /// The one that counts how many of its processes are killed for want of memory.
    pub(crate) fn that_counts() -> Option<Self> {
        let mut all = Self::all(Controller::Memory).into_iter();
        all.find(|home| home.killed().is_some())
    }

    /// The one below which others can be made that have a controller.
    fn that_gives(controller: Controller) -> Option<Self> {
        let mut all = Self::all(controller).into_iter();
        all.find(|home| home.gives(controller))
    }

    /// All that have a controller or could have it, from the inmost on.
    fn all(controller: Controller) -> Vec<Self> {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        let (mounts, own) = (text("/proc/self/mountinfo"), text("/proc/self/cgroup"));
        find(&mounts, &own, controller.word())
    }

    fn gives(&self, controller: Controller) -> bool {
        let may = |path: &Path| access(path, Access::WRITE_OK).is_ok();
        let list = self.dir.join("cgroup.subtree_control");
        let has = || {
            let list = fs::read_to_string(&list).unwrap_or_default();
            list.split_ascii_whitespace().any(|word| word == controller.word())
        };
        // The inmost one of version 2 holds processes, and therefore can give nothing to others, but for
        // the one at the top, which nobody may have asked yet.
        let asks = || fs::write(&list, format!("+{}", controller.word())).is_ok();
        let gives = match self.version {
            Version::One => true,
            Version::Two => has() || !self.dir.join("cgroup.type").exists() && asks(),
        };
        gives && may(&self.dir) && may(&self.dir.join("cgroup.procs"))
    }

    /// How many of its processes were killed for want of memory.
    pub(crate) fn killed(&self) -> Option<u64> {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        kills(&self.dir.join(file))
    }
}

/// From the text of `/proc/self/mountinfo` and `/proc/self/cgroup`. A controller is in one version of
/// cgroups: where the first has it, the second has not. In the second, what a process is in has what is
/// above it as well.
fn find(mounts: &str, own: &str, controller: &str) -> Vec<Home> {
    let has = |list: &str| list.split(',').any(|word| word == controller);
    // `HIERARCHY:CONTROLLERS:PATH`
    let path = |is_it: &dyn Fn(&str) -> bool| {
        let mut fields = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        fields.find(|(controllers, _)| is_it(controllers)).map(|(_, path)| path)
    };
    let mut two = Vec::new();
    for line in mounts.lines() {
        // `ID PARENT DEVICE ROOT PLACE OPTIONS … - KIND SOURCE OPTIONS`
        let Some((mount, kind)) = line.split_once(" - ") else { continue };
        let mut fields = mount.split(' ').skip(3);
        let (Some(root), Some(place)) = (fields.next(), fields.next()) else { continue };
        let below =
            |path: &str| Some(Path::new(place).join(Path::new(path).strip_prefix(root).ok()?));
        let mut kind = kind.split(' ');
        match (kind.next(), kind.nth(1)) {
            (Some("cgroup"), Some(options)) if has(options) => {
                let dir = path(&has).and_then(below);
                let home = |dir: PathBuf| Home { inmost: dir.clone(), dir, version: Version::One };
                return dir.map(home).into_iter().collect();
            }
            (Some("cgroup2"), _) => {
                let inmost = path(&str::is_empty).and_then(below).unwrap_or_default();
                let up = inmost.ancestors().take_while(|dir| dir.starts_with(place));
                let (inmost, version) = (&inmost, Version::Two);
                let home = |dir: &Path| Home { dir: dir.into(), inmost: inmost.clone(), version };
                two = up.map(home).collect();
            }
            _ => {}
        }
    }
    two
}

/// A cgroup that was made, and the one that this process is in instead.
#[derive(Debug)]
struct Room {
    dir: PathBuf,
    outside: PathBuf,
}

/// All cgroups that are made for the children of a run. Dropping it removes those that were still in
/// use when their child had ended.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    homes: OnceLock<[Option<Home>; 2]>,
    /// How many there were.
    made: AtomicU64,
    busy: Mutex<Vec<Room>>,
}

/// A cgroup of one child, in each hierarchy where one is needed. It is removed when this is dropped, or
/// later if something is still in it.
#[derive(Debug)]
pub(crate) struct Cell {
    cells: Arc<Cells>,
    rooms: Vec<Room>,
    /// Where the memory is counted.
    memory: Option<Home>,
}

impl Cells {
    /// A cell that does not bound anything yet.
    pub(crate) fn cell(self: &Arc<Self>) -> Cell {
        Cell { cells: Arc::clone(self), rooms: Vec::new(), memory: None }
    }

    /// Makes a cgroup of a new name.
    fn make(&self, home: &Home) -> io::Result<PathBuf> {
        loop {
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            let dir = home.dir.join(format!("jobrun-{}.{number}", process::id()));
            match fs::create_dir(&dir) {
                // Others of this process count too.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| dir),
            }
        }
    }

    fn home(&self, controller: Controller) -> Option<&Home> {
        let homes = self.homes.get_or_init(|| {
            [Controller::Memory, Controller::Pids].map(|controller| {
                let home = Home::that_gives(controller)?;
                remove_those_of_the_dead(&home.dir);
                Some(home)
            })
        });
        homes[controller as usize].as_ref()
    }

    fn busy(&self) -> MutexGuard<'_, Vec<Room>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cells {
    /// What is still in a cell goes where this process is: that it runs is not for cells to judge.
    fn drop(&mut self) {
        const TRIES: u32 = 50;
        let mut busy = std::mem::take(&mut *self.busy());
        for _ in 0..TRIES {
            busy.retain(Room::stays);
            if busy.is_empty() {
                return;
            }
            busy.iter().for_each(Room::clear);
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Cell {
    /// Bounds what is in it; whether that could be done.
    pub(crate) fn bound(&mut self, controller: Controller, most: u64) -> bool {
        let Some(home) = self.cells.home(controller).cloned() else { return false };
        let Ok(dir) = self.dir_in(&home) else { return false };
        let most = most.to_string();
        let set = |file: &str, value: &str| fs::write(dir.join(file), value);
        let done = match (controller, home.version) {
            (Controller::Pids, _) => set("pids.max", &most),
            (Controller::Memory, Version::One) => {
                // Else what is too much would go to the swap, where the kernel counts that at all.
                let done = set("memory.limit_in_bytes", &most);
                let _ = set("memory.memsw.limit_in_bytes", &most);
                done
            }
            (Controller::Memory, Version::Two) => {
                let _ = set("memory.swap.max", "0");
                // The whole child, not just one process of it.
                let _ = set("memory.oom.group", "1");
                set("memory.max", &most)
            }
        };
        if controller == Controller::Memory && done.is_ok() {
            self.memory = Some(Home { dir, ..home });
        }
        done.is_ok()
    }

    /// Its folder below this one.
    fn dir_in(&mut self, home: &Home) -> io::Result<PathBuf> {
        if let Some(room) = self.rooms.iter().find(|room| room.dir.parent() == Some(&home.dir)) {
            return Ok(room.dir.clone());
        }
        let dir = self.cells.make(home)?;
        self.rooms.push(Room { dir: dir.clone(), outside: home.inmost.clone() });
        Ok(dir)
    }

    /// What a child joins: what it writes 0 to.
    pub(crate) fn doors(&self) -> io::Result<Vec<OwnedFd>> {
        let open = |dir: &Path| OpenOptions::new().write(true).open(dir.join("cgroup.procs"));
        self.rooms.iter().map(|room| open(&room.dir).map(OwnedFd::from)).collect()
    }

    /// How many processes were killed in it for want of memory; `None` if it does not bound memory.
    pub(crate) fn killed(&self) -> Option<u64> {
        self.memory.as_ref()?.killed()
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        let mut busy = self.cells.busy();
        busy.append(&mut self.rooms);
        busy.retain(Room::stays);
    }
}

/// The number behind `oom_kill` in a file of names and numbers.
pub(crate) fn kills(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

impl Room {
    /// Removes it, unless somebody is in it; whether that is so.
    fn stays(&self) -> bool {
        let busy = |error: io::Error| error.kind() == io::ErrorKind::ResourceBusy;
        fs::remove_dir(&self.dir).is_err_and(busy)
    }

    /// Moves whoever is in it out.
    fn clear(&self) {
        let members = fs::read_to_string(self.dir.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines() {
            // One that has ended meanwhile is out.
            let _ = fs::write(self.outside.join("cgroup.procs"), pid);
        }
    }
}

/// Removes what a run that was killed has left.
fn remove_those_of_the_dead(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("jobrun-")?.split_once('.'));
        let dead = |pid: &str| !Path::new("/proc").join(pid).exists();
        if pid.is_some_and(|(pid, _)| dead(pid)) {
            // One with something in it stays.
            let _ = fs::remove_dir(entry.path());
        }
    }
}
