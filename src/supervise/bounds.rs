//! What a child is held to: its limits as the system takes them, and a cgroup where that is the way.
//! Knows nothing of the child.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, getuid};
use rustix::thread::{CapabilitySet, capabilities};

use crate::guard::Limit;
use crate::supervise::cgroup::{Cell, Cells, Controller};
use crate::work::Limits;

/// What one child is held to.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    /// With the key that asks for each.
    limits: Vec<(&'static str, Limit<'static>)>,
    cell: Option<Cell>,
    doors: Vec<OwnedFd>,
}

impl Bounds {
    /// Prepares what these limits ask for.
    ///
    /// # Errors
    /// What cannot be held here, for people.
    pub(crate) fn prepare(limits: &Limits, cells: &Arc<Cells>) -> Result<Self, String> {
        let mut this = Self::default();
        let mut cell = cells.cell();
        if let Some(most) = limits.memory
            && !cell.bound(Controller::Memory, most)
        {
            this.limit("memory", Resource::Data, most);
        }
        if let Some(most) = limits.processes
            && !cell.bound(Controller::Pids, most.into())
        {
            if is_above_limits() {
                let why = "there is no cgroup to be had, and other limits do not hold for root";
                return Err(format!("`limits.processes` cannot be kept to: {why}"));
            }
            this.limit("processes", Resource::Nproc, most.into());
        }
        if let Some(time) = limits.cpu_time {
            this.limits.push(("cpu_time", cpu_time(time)));
        }
        if let Some(most) = limits.open_files {
            this.limit("open_files", Resource::Nofile, most.into());
        }
        if let Some(most) = limits.file_size {
            this.limit("file_size", Resource::Fsize, most);
        }
        if limits.nice != 0 {
            this.limits.push(("nice", Limit::Nice(limits.nice)));
        }
        let no_door = |error| format!("its cgroup cannot be opened: {error}");
        this.doors = cell.doors().map_err(no_door)?;
        this.cell = Some(cell).filter(|_| !this.doors.is_empty());
        Ok(this)
    }

    fn limit(&mut self, key: &'static str, resource: Resource, most: u64) {
        let both = Rlimit { current: Some(most), maximum: Some(most) };
        self.limits.push((key, Limit::Resource(resource, both)));
    }

    /// All of it, in the order in which it is applied: cgroups first.
    pub(crate) fn list(&self) -> Vec<Limit<'_>> {
        let doors = self.doors.iter().map(|door| Limit::Join(door.as_fd()));
        doors.chain(self.limits.iter().map(|(_, limit)| *limit)).collect()
    }

    /// Why the limit at this place of the list could not be applied, for people.
    pub(crate) fn explain(&self, place: usize, error: &io::Error) -> String {
        let Some(place) = place.checked_sub(self.doors.len()) else {
            return format!("it cannot enter its cgroup: {error}");
        };
        let limit = self.limits.get(place);
        let denied = [Errno::PERM, Errno::ACCESS].map(|errno| Some(errno.raw_os_error()));
        let denied = denied.contains(&error.raw_os_error());
        match limit {
            Some(("nice", _)) if denied => {
                "only root may lower its niceness with `nice`".to_owned()
            }
            Some((key, Limit::Resource(resource, limit))) if denied => {
                let [wanted, hard] = [limit.maximum, getrlimit(*resource).maximum].map(number);
                format!("`limits.{key}` is {wanted}, above the hard limit of {hard}")
            }
            Some((key, _)) => format!("`{key}` cannot be kept to: {error}"),
            None => error.to_string(),
        }
    }

    /// Whether this holds for it.
    pub(crate) fn holds(&self, resource: Resource) -> bool {
        let is_it = |limit: &Limit<'_>| matches!(limit, Limit::Resource(it, _) if *it == resource);
        self.limits.iter().any(|(_, limit)| is_it(limit))
    }

    /// What is kept while the child runs.
    pub(crate) fn cell(self) -> Option<Cell> {
        self.cell
    }
}

fn number(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}

/// In whole seconds, as the system counts. One that takes no notice of the signal is killed a second
/// later, where the hard limit that we have allows for that.
fn cpu_time(time: Duration) -> Limit<'static> {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let hard = getrlimit(Resource::Cpu).maximum.filter(|hard| *hard >= seconds);
    let maximum = hard.map_or(seconds + 1, |hard| hard.min(seconds + 1));
    Limit::Resource(Resource::Cpu, Rlimit { current: Some(seconds), maximum: Some(maximum) })
}

/// Whether the system does not count our processes.
fn is_above_limits() -> bool {
    let above = CapabilitySet::SYS_RESOURCE | CapabilitySet::SYS_ADMIN;
    let has_one = capabilities(None).is_ok_and(|sets| sets.effective.intersects(above));
    getuid().is_root() || has_one
}
