//! Child processes: spawn, read, time, stop, reap. Knows nothing of nodes or graphs.
//!
//! [`Children`] minds any number of children on a few threads. Each child has a process group of its
//! own; when the child has ended, what is left of the group is killed. A child ends when its process
//! has ended and both its streams are closed, or shortly after its process if something it has
//! started holds them open.

mod capture;
mod child;
mod end;
mod message;
mod result;
mod shard;
mod spawn;
mod worker;

use std::io;
use std::num::NonZero;
use std::sync::{Arc, OnceLock};
use std::thread;

pub(crate) use capture::Capture;
pub use end::{ChildEnd, How, describe_exit};
pub use message::{ChildEvent, Request, Sink};
pub use worker::{Worker, WorkerProcess, signal_group, spawn_worker};

use crate::rundir::RunDir;
use crate::time::Clock;
use crate::work::{ChildDone, Stop};

use shard::{Shard, World};

/// More threads than this spawn no faster.
const MAX_SHARDS: usize = 4;

/// A set of children. Dropping it kills those that run, takes back the others, and returns when the
/// sink has been told of all of them.
pub struct Children {
    world: World,
    /// Each is started when those before it have something to do.
    shards: Vec<OnceLock<io::Result<Shard>>>,
}

impl Children {
    /// No children yet. `clock` dates what is told to `sink`; output too large for memory goes to
    /// `files`.
    pub fn new(clock: Clock, files: RunDir, sink: Sink) -> Self {
        let shards = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_SHARDS);
        let world = World { clock, files, sink, limit: Arc::default() };
        Self { world, shards: (0..shards).map(|_| OnceLock::new()).collect() }
    }

    /// Starts a child as soon as possible.
    pub fn start(&self, request: Request) {
        match self.least_busy() {
            Ok(shard) => shard.take(request),
            Err(error) => self.refuse(&request, error),
        }
    }

    /// Stops a child, or takes it back if it has not been spawned. Does nothing if it has ended.
    ///
    /// [`Stop::Stop`] sends SIGTERM to its process group, and SIGKILL after its grace;
    /// [`Stop::Kill`] sends SIGKILL at once; [`Stop::Recall`] lets it be if it runs.
    pub fn stop(&self, key: u64, how: Stop) {
        for shard in self.shards.iter().filter_map(OnceLock::get).flatten() {
            shard.stop(key, how);
        }
    }

    /// The shard with the least to do; of equals the first, for that has run before. Where no more
    /// threads are to be had, those that run mind all.
    fn least_busy(&self) -> Result<&Shard, &io::Error> {
        let load = |shard: &&OnceLock<io::Result<Shard>>| match shard.get() {
            Some(Ok(shard)) => shard.load(),
            Some(Err(_)) => usize::MAX,
            None => 0,
        };
        let least = self.shards.iter().min_by_key(load).unwrap_or(&self.shards[0]);
        let running = || self.shards.iter().filter_map(OnceLock::get).flatten();
        least
            .get_or_init(|| Shard::start(self.world.clone()))
            .as_ref()
            .or_else(|error| running().min_by_key(|shard| shard.load()).ok_or(error))
    }

    fn refuse(&self, request: &Request, error: &io::Error) {
        let now = self.world.clock.now();
        let end = ChildEnd {
            started: now,
            ended: now,
            how: How::NotSpawned(format!("cannot start a thread for child processes: {error}")),
            leaked: false,
            child: ChildDone::default(),
            ok_exit: Arc::clone(&request.command.ok_exit),
            result: request.command.result,
        };
        (self.world.sink)(request.key, ChildEvent::Ended(end));
    }
}
