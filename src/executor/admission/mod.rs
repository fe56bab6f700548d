//! Whether one more attempt may start: by the tokens of a jobserver, the load and the free memory.
//! Knows nothing of what starts.
//!
//! A jobserver's tokens are waited for; load and memory tell nobody when they change, so they are
//! looked at again once a second, but only while they hold something back. Whatever they say, an
//! executor on which nothing runs may start one, and so may a client of a jobserver: no run ever stands
//! still.

mod machine;
mod makeflags;
mod tokens;

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use indicatif::HumanBytes;

use crate::id::ExecutorId;
use crate::inbox::Sender;
use crate::job::{Conditions, Job};
use crate::time::Time;
use crate::work::{Command, Notice};
use machine::Machine;
use tokens::Tokens;

/// The variables that tell children of a jobserver: make and others read the first, cargo prefers the
/// second.
const FLAGS: [&str; 2] = ["MAKEFLAGS", "CARGO_MAKEFLAGS"];

/// How soon load and memory are looked at again while they hold something back.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who may start, for all executors of a run.
pub(super) struct Admission {
    lanes: Vec<Lane>,
    /// The jobservers: that which made us its client, and our own.
    pools: Vec<Tokens>,
    machine: Machine,
    /// The executors that wait for a permit, first come first served.
    line: VecDeque<ExecutorId>,
    /// Those that have been granted one and were not told.
    granted: VecDeque<ExecutorId>,
    /// When to look at the machine again.
    look_at: Option<Time>,
    notices: Sender<Notice>,
}

/// What holds for one executor.
struct Lane {
    name: String,
    conditions: Conditions,
    /// The place of its jobserver.
    pool: Option<usize>,
    /// How many permits are out.
    out: u32,
    told: Told,
}

/// What people were told of already.
#[derive(Default)]
struct Told {
    load: bool,
    memory: bool,
}

impl Admission {
    /// For the executors of a job, in the environment of this process.
    pub(super) fn new(job: &Job, notices: Sender<Notice>) -> Self {
        let mut lanes: Vec<Lane> = (0..job.graph.executors().len() as u32)
            .map(|id| Lane {
                name: job.graph.executor(ExecutorId(id)).name.clone(),
                conditions: job.setup(ExecutorId(id)).conditions,
                pool: None,
                out: 0,
                told: Told::default(),
            })
            .collect();
        let mut pools = Vec::new();
        if let Some(outer) = outer(&lanes, &notices) {
            pools.push(outer);
            for lane in lanes.iter_mut().filter(|lane| lane.may_be_client()) {
                lane.pool = Some(0);
            }
        } else {
            for (id, lane) in lanes.iter_mut().enumerate() {
                if lane.conditions.jobserver == Some(true) {
                    let workers = job.graph.executor(ExecutorId(id as u32)).max_workers;
                    lane.pool = serve(workers, &lane.name, &notices).map(|pool| {
                        pools.push(pool);
                        pools.len() - 1
                    });
                }
            }
        }
        Self {
            lanes,
            pools,
            machine: Machine::new(),
            line: VecDeque::new(),
            granted: VecDeque::new(),
            look_at: None,
            notices,
        }
    }

    /// Whether anything but a free worker is asked of a start.
    pub(super) fn is_guarded(&self, executor: ExecutorId) -> bool {
        let lane = &self.lanes[executor.index()];
        lane.pool.is_some() || lane.minds_machine()
    }

    /// Asks for a permit; whether it is granted at once.
    pub(super) fn ask(&mut self, executor: ExecutorId, now: Time) -> bool {
        // Others may have waited longer for the same token.
        self.line.push_back(executor);
        self.look(now);
        let own = self.granted.iter().position(|id| *id == executor);
        own.and_then(|place| self.granted.remove(place)).is_some()
    }

    /// The permit is not needed any more.
    pub(super) fn forgo(&mut self, executor: ExecutorId) {
        self.line.retain(|id| *id != executor);
        if self.line.is_empty() {
            self.look_at = None;
        }
    }

    /// Takes a permit back.
    pub(super) fn give_back(&mut self, executor: ExecutorId, now: Time) {
        let lane = &mut self.lanes[executor.index()];
        lane.out = lane.out.saturating_sub(1);
        if lane.minds_machine() {
            self.machine.ended(now);
        }
        if let Some(pool) = lane.pool {
            self.pools[pool].give_back();
        }
        self.look(now);
    }

    /// An executor that was granted what it waited for.
    pub(super) fn next_granted(&mut self) -> Option<ExecutorId> {
        self.granted.pop_front()
    }

    /// When to [`look`](Self::look) again, if at all.
    pub(super) fn look_at(&self) -> Option<Time> {
        self.look_at
    }

    /// A jobserver may have a token.
    pub(super) fn called(&mut self, jobserver: usize, now: Time) {
        self.pools[jobserver].heard();
        self.look(now);
    }

    /// Grants what can be granted.
    pub(super) fn look(&mut self, now: Time) {
        self.look_at = None;
        for executor in mem::take(&mut self.line) {
            if self.admits(executor, now) {
                self.granted.push_back(executor);
            } else {
                self.line.push_back(executor);
            }
        }
    }

    /// What the children of this executor inherit to be clients of a jobserver of our own.
    pub(super) fn heirloom(&self, executor: ExecutorId) -> Arc<[OwnedFd]> {
        self.own_ends(executor).map(Arc::clone).unwrap_or_default()
    }

    /// Tells a child of this executor of the jobserver of our own, if there is one.
    pub(super) fn introduce(&self, executor: ExecutorId, workers: u32, command: &mut Command) {
        let Some(ends) = self.own_ends(executor) else { return };
        let address = format!("{},{}", ends[0].as_raw_fd(), ends[1].as_raw_fd());
        for name in FLAGS {
            let of_task = command.env.iter().rev().find(|(key, _)| key == name);
            let flags = of_task.map(|(_, value)| value.clone()).or_else(|| env::var_os(name));
            let flags = makeflags::with_jobserver(&flags.unwrap_or_default(), workers, &address);
            command.env.push((OsString::from(name), flags));
        }
    }

    fn own_ends(&self, executor: ExecutorId) -> Option<&Arc<[OwnedFd]>> {
        self.pools[self.lanes[executor.index()].pool?].ends()
    }

    /// Takes a permit if it can be had now; else sees to it that it is tried again.
    fn admits(&mut self, executor: ExecutorId, now: Time) -> bool {
        let place = executor.index();
        if self.lanes[place].out > 0 && self.machine_is_busy(place, now) {
            self.look_at = Some(now.after(LOOK_AGAIN));
            return false;
        }
        // Last, since nobody may hold a token while it waits for anything else.
        if let Some(pool) = self.lanes[place].pool
            && !self.pools[pool].take()
        {
            self.pools[pool].call_when_there(pool, &self.notices);
            return false;
        }
        let lane = &mut self.lanes[place];
        lane.out += 1;
        if lane.minds_machine() {
            self.machine.starts(now);
        }
        true
    }

    fn machine_is_busy(&mut self, place: usize, now: Time) -> bool {
        let lane = &mut self.lanes[place];
        let Conditions { max_load, min_free_memory, .. } = lane.conditions;
        if let Some(most) = max_load
            && let Some(load) = self.machine.load(now).filter(|load| *load >= most)
        {
            if !mem::replace(&mut lane.told.load, true) {
                let why = format!("the load is {load:.2}, and `max_load` is {most}");
                tell_held(&lane.name, &why, &self.notices);
            }
            return true;
        }
        if let Some(least) = min_free_memory
            && let Some(free) = self.machine.free_memory(now).filter(|free| *free < least)
        {
            if !mem::replace(&mut lane.told.memory, true) {
                let why = format!(
                    "{} of memory are free, and `min_free_memory` is {}",
                    HumanBytes(free),
                    HumanBytes(least)
                );
                tell_held(&lane.name, &why, &self.notices);
            }
            return true;
        }
        false
    }
}

impl Lane {
    fn may_be_client(&self) -> bool {
        self.conditions.jobserver != Some(false)
    }

    fn minds_machine(&self) -> bool {
        self.conditions.max_load.is_some() || self.conditions.min_free_memory.is_some()
    }
}

/// The jobserver that made us its client, if there is one and an executor wants it.
fn outer(lanes: &[Lane], notices: &Sender<Notice>) -> Option<Tokens> {
    if !lanes.iter().any(Lane::may_be_client) {
        return None;
    }
    let address = makeflags::jobserver(&env::var_os(FLAGS[0])?)?;
    Tokens::of(&address)
        .map_err(|error| {
            let message = format!(
                "the jobserver of make is out of reach: {error}; this run goes on without it. Begin the \
                 line of the recipe with `+`, or set `jobserver = false`"
            );
            warn(notices, message);
        })
        .ok()
}

/// A jobserver of our own.
fn serve(workers: u32, name: &str, notices: &Sender<Notice>) -> Option<Tokens> {
    Tokens::serve(workers)
        .map_err(|error| {
            warn(notices, format!("executor `{name}` goes on without a jobserver: {error}"));
        })
        .ok()
}

fn tell_held(name: &str, why: &str, notices: &Sender<Notice>) {
    let message = format!("executor `{name}` holds starts back: {why}; this is said only once");
    warn(notices, message);
}

fn warn(notices: &Sender<Notice>, message: String) {
    notices.send(Notice::Warning(message));
}
