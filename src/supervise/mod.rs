//! Child processes: spawn, read, time, stop, reap. Knows nothing of nodes or graphs.
//!
//! [`Children`] minds any number of children on a few threads. Each child has a process group of its
//! own, which is stopped as a whole. A child ends when its process has ended and both its streams are
//! closed, or shortly after its process if something it has started holds them open. What is left of
//! the group then is killed, or lives on until the run ends, as the child's [`Leak`] says.
//!
//! [`Leak`]: crate::work::Leak
//!
//! Children wait in one queue. Whichever thread has nothing to do takes the next one, so nobody is
//! asked who shall start it, and the end of one child is followed by the start of the next without a
//! word to anybody else.

mod bounds;
mod capture;
mod census;
mod cgroup;
mod child;
mod descriptors;
mod door;
mod end;
mod headroom;
mod message;
mod oom;
mod process;
mod program;
mod result;
mod shard;
mod spawn;
mod thread;
mod token;
mod worker;
mod world;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::thread::sched_getaffinity;

pub(crate) use capture::Capture;
pub use end::{ChildEnd, How, describe_exit};
pub use headroom::Headroom;
pub use message::{ChildEvent, Patron, Request, Urgency};
pub use oom::OomWatch;
pub use process::Process;
pub use program::{has_program, is_scarcity, scarcity};
pub use worker::{Worker, spawn_worker};

use crate::rundir::RunDir;
use crate::time::Clock;
use crate::work::Stop;

use door::{Door, Op, Queue};
use thread::Shard;
use world::World;

/// More threads than this spawn no faster.
const MAX_SHARDS: usize = 4;

/// A set of children. Dropping it kills those that run, takes back the others, and returns when the
/// patron has been told of all of them.
pub struct Children {
    world: World,
    /// Started one by one, when those before are busy.
    shards: Mutex<Vec<Shard>>,
    most: usize,
}

impl Children {
    /// No children yet. `clock` dates what is told to `patron`; output too large for memory goes to
    /// `files`.
    pub fn new(clock: Clock, files: RunDir, patron: Arc<dyn Patron>) -> Self {
        // The quota of a container, which is slow to find out, matters little to so few.
        let cpus = sched_getaffinity(None).map_or(1, |cpus| cpus.count() as usize);
        let most = cpus.clamp(1, MAX_SHARDS);
        let queue = Arc::new(Queue::default());
        let share = patron.width().div_ceil(most);
        let world = World {
            clock,
            files,
            patron,
            queue,
            share,
            headroom: Arc::default(),
            inherit: Arc::new([]),
            cells: Arc::default(),
            oom: Arc::default(),
        };
        Self { world, shards: Mutex::default(), most }
    }

    /// With these descriptors for all children to inherit, under the numbers that they have here.
    #[must_use]
    pub fn inheriting(mut self, descriptors: Arc<[OwnedFd]>) -> Self {
        self.world.inherit = descriptors;
        self
    }

    /// In the room that they share with other sets.
    #[must_use]
    pub fn within(mut self, headroom: Arc<Headroom>) -> Self {
        self.world.headroom = headroom;
        self
    }

    /// Starts the first thread now, for children that are sure to come: by then others may have taken all
    /// threads that there are to be had.
    pub fn prepare(&self) {
        let mut shards = self.shards();
        if shards.is_empty() {
            // The first child will try again, and tell.
            let _ = self.add_shard(&mut shards);
        }
    }

    /// Starts a child as soon as its patron has room for it.
    pub fn start(&self, request: Request) {
        self.world.queue.push(request);
        if self.world.patron.has_room() {
            self.rouse();
        }
    }

    /// Stops a child, or takes it back if it has not been spawned. Does nothing if it has ended.
    ///
    /// [`Stop::Stop`] sends SIGTERM to its process group, and SIGKILL after its grace;
    /// [`Stop::Kill`] sends SIGKILL at once; [`Stop::Recall`] lets it be if it runs.
    pub fn stop(&self, key: u64, how: Stop) {
        if let Some(request) = self.world.queue.remove(key) {
            self.world.recall(request.key);
            return;
        }
        for shard in &*self.shards() {
            shard.door().push(Op::Stop(key, how));
        }
    }

    /// Takes back all children that have not been admitted.
    pub fn recall(&self) {
        while let Some(request) = self.world.queue.pop() {
            self.world.recall(request.key);
        }
    }

    /// Wakes a thread that sleeps and may take one more, or starts one.
    fn rouse(&self) {
        let mut shards = self.shards();
        if let Some(door) = Door::sleeper(shards.iter().map(Shard::door), self.world.share) {
            door.wake();
        } else if shards.len() < self.most {
            match self.add_shard(&mut shards) {
                Ok(()) => {}
                // Those that run mind all.
                Err(_) if !shards.is_empty() => {}
                Err(error) => {
                    drop(shards);
                    self.refuse_all(&format!("cannot start a thread for child processes: {error}"));
                }
            }
        }
    }

    fn add_shard(&self, shards: &mut Vec<Shard>) -> io::Result<()> {
        shards.push(Shard::start(self.world.clone())?);
        Ok(())
    }

    fn refuse_all(&self, why: &str) {
        while let Some(request) = self.world.queue.pop() {
            self.world.refuse(&request, self.world.clock.now(), why.to_owned());
        }
    }

    fn shards(&self) -> MutexGuard<'_, Vec<Shard>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.recall();
    }
}
