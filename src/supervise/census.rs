//! How many processes more the system would let this one have. Knows nothing of who wants them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit, getuid};

/// A limit of a user's processes from here on is not looked at: to count them takes a look at every
/// process of the system, and nobody comes near it.
const MANY: u64 = 4096;

/// How many processes and threads could be started, going by the limits that can be seen; `None` if
/// there are none.
pub(crate) fn free_processes() -> Option<usize> {
    [of_groups(), of_user()].into_iter().flatten().min()
}

/// What the control groups leave that this process is in.
fn of_groups() -> Option<usize> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let folders = groups.lines().filter_map(folder);
    folders.filter_map(|(root, folder)| of_group(&root, &folder)).min()
}

/// Where the hierarchy of a line `ID:CONTROLLERS:PATH` starts, and where this process is in it; `None` if it does not
/// limit processes.
fn folder(line: &str) -> Option<(PathBuf, PathBuf)> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    let root = if controllers.is_empty() {
        "/sys/fs/cgroup"
    } else if controllers.split(',').any(|it| it == "pids") {
        "/sys/fs/cgroup/pids"
    } else {
        return None;
    };
    Some((root.into(), Path::new(root).join(path.trim_start_matches('/'))))
}

/// What a group and those around it leave. Some of them may not be visible from here.
fn of_group(root: &Path, folder: &Path) -> Option<usize> {
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let around = folder.ancestors().take_while(|folder| folder.starts_with(root));
    around
        .filter_map(|folder| {
            // It is `max` where there is no limit.
            let limit = number(folder.join("pids.max"))?;
            Some(limit.saturating_sub(number(folder.join("pids.current"))?))
        })
        .min()
}

/// What the limit of the user's processes leaves.
fn of_user() -> Option<usize> {
    let user = getuid();
    let limit = getrlimit(Resource::Nproc).current.filter(|limit| *limit < MANY)?;
    if user.is_root() {
        return None;
    }
    let threads = |entry: fs::DirEntry| {
        // There are other names for some, such as `self`.
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        // A folder has a link more for each folder in it.
        let tasks = fs::metadata(entry.path().join("task")).ok()?;
        (tasks.uid() == user.as_raw()).then(|| tasks.nlink().saturating_sub(2))
    };
    let taken: u64 = fs::read_dir("/proc").ok()?.flatten().filter_map(threads).sum();
    usize::try_from(limit.saturating_sub(taken)).ok()
}
