//! What the threads that mind children share. Knows nothing of what they do with it.

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use crate::rundir::RunDir;
use crate::supervise::cgroup::Cells;
use crate::supervise::door::Queue;
use crate::supervise::end::{ChildEnd, How};
use crate::supervise::headroom::Headroom;
use crate::supervise::message::{ChildEvent, Patron, Request};
use crate::supervise::oom::OomWatch;
use crate::time::{Clock, Time};

/// What all shards share.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) files: RunDir,
    pub(crate) patron: Arc<dyn Patron>,
    pub(crate) queue: Arc<Queue>,
    /// How many children one shard minds at most. Else one could take what another has just made room
    /// for, and would spawn alone from then on.
    pub(crate) share: usize,
    pub(crate) headroom: Arc<Headroom>,
    /// What every child inherits beyond its streams.
    pub(crate) inherit: Arc<[OwnedFd]>,
    /// The cgroups of those that may use only so much.
    pub(crate) cells: Arc<Cells>,
    /// Begun when the first child runs.
    pub(crate) oom: Arc<OnceLock<OomWatch>>,
}

impl World {
    /// Tells of a child that was taken back before it started.
    pub(crate) fn recall(&self, key: u64) {
        let _ = self.patron.tell(key, ChildEvent::Recalled);
    }

    /// Tells of a child that could not be started.
    pub(crate) fn refuse(&self, request: &Request, now: Time, why: String) {
        let end = ChildEnd {
            started: now,
            ended: now,
            how: How::NotSpawned(why),
            child: Box::default(),
            limits: None,
            out_of_memory: false,
            original: None,
            ok_exit: Arc::clone(&request.command.ok_exit),
            result: request.command.result,
            leak: request.command.leak,
        };
        let _ = self.patron.tell(request.key, ChildEvent::Ended(end));
    }
}
