//! Attempts of one executor that are child processes: hands them to the supervisor, and makes notices
//! of what that tells. Knows nothing of how children are minded.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::executor::workers::Workers;
use crate::id::NodeId;
use crate::inbox::Sender;
use crate::rundir::RunDir;
use crate::supervise::{ChildEvent, Children, Headroom, Patron, Request, Urgency};
use crate::time::Clock;
use crate::work::{Done, Notice, Stop};

/// The variable that tells a child the number of its worker.
const WORKER: &str = "JOBRUN_WORKER";

/// The children of an executor.
pub(super) struct ChildAttempts {
    children: Children,
    office: Arc<Office>,
}

/// What the supervisor asks and tells.
struct Office {
    workers: Arc<Workers>,
    notices: Sender<Notice>,
    attempts: Mutex<HashMap<u64, Attempt>>,
    /// How many have not been admitted.
    waiting: AtomicUsize,
}

struct Attempt {
    number: u32,
    /// 0 until it is admitted.
    worker: u32,
    /// Whether the driver waits for it to start.
    announce: bool,
}

impl ChildAttempts {
    /// None yet; all inherit these descriptors.
    pub(super) fn new(
        clock: Clock,
        files: RunDir,
        workers: Arc<Workers>,
        notices: Sender<Notice>,
        inherit: Arc<[OwnedFd]>,
        headroom: Arc<Headroom>,
    ) -> Self {
        let (attempts, waiting) = (Mutex::default(), AtomicUsize::new(0));
        let office = Arc::new(Office { workers, notices, attempts, waiting });
        let patron = Arc::clone(&office);
        let children = Children::new(clock, files, patron).inheriting(inherit).within(headroom);
        Self { children, office }
    }

    /// Gets ready for attempts that are sure to come.
    pub(super) fn prepare(&self) {
        self.children.prepare();
    }

    /// What the supervisor calls an attempt of a node.
    pub(super) fn key(node: NodeId, attempt: u32) -> u64 {
        u64::from(attempt) << 32 | u64::from(node.0)
    }

    /// Starts an attempt, of this number, as soon as a worker is free.
    pub(super) fn start(&self, request: Request, number: u32, announce: bool) {
        let attempt = Attempt { number, worker: 0, announce };
        self.office.attempts().insert(request.key, attempt);
        self.office.waiting.fetch_add(1, Ordering::Relaxed);
        self.children.start(request);
    }

    /// Takes back all that have not started.
    pub(super) fn recall(&self) {
        self.children.recall();
    }

    /// Stops an attempt or takes it back. Gives whether it is a child that has not ended.
    pub(super) fn stop(&self, node: NodeId, attempt: u32, how: Stop) -> bool {
        let key = Self::key(node, attempt);
        let known = self.office.attempts().contains_key(&key);
        if known {
            self.children.stop(key, how);
        }
        known
    }
}

impl Patron for Office {
    fn width(&self) -> usize {
        self.workers.most() as usize
    }

    fn has_room(&self) -> bool {
        self.workers.has_room()
    }

    fn admit(&self, request: &mut Request) -> bool {
        let Some(worker) = self.workers.try_take() else { return false };
        request.command.env.push((WORKER.into(), worker.to_string().into()));
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Some(attempt) = self.attempts().get_mut(&request.key) {
            attempt.worker = worker;
        }
        true
    }

    fn put_back(&self, request: &mut Request) {
        request.command.env.pop_if(|(name, _)| name == WORKER);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let worker = self.attempts().get_mut(&request.key).map(|it| std::mem::take(&mut it.worker));
        if let Some(worker) = worker {
            self.workers.give_back(worker);
        }
    }

    fn tell(&self, key: u64, event: ChildEvent) -> Urgency {
        let Some((notice, urgency)) = self.notice(key, event) else { return Urgency::Now };
        match urgency {
            Urgency::Now => self.notices.send(notice),
            Urgency::Soon => self.notices.leave(notice),
        }
        urgency
    }

    fn remind(&self) {
        self.notices.ring();
    }

    fn cramped(&self) {
        self.notices.send(Notice::Cramped);
    }

    fn collapsed(&self) {
        self.notices.send(Notice::Collapsed { thread: "jobrun-children".to_owned() });
    }
}

impl Office {
    fn notice(&self, key: u64, event: ChildEvent) -> Option<(Notice, Urgency)> {
        let node = NodeId(key as u32);
        match event {
            ChildEvent::Started { at, .. } => {
                let Attempt { number: attempt, worker, announce, .. } =
                    *self.attempts().get(&key)?;
                // One that waited here for its turn mostly ends before anybody asks.
                let urgency = if announce { Urgency::Now } else { Urgency::Soon };
                Some((Notice::Started { node, attempt, worker, at }, urgency))
            }
            ChildEvent::Output { stream, bytes } => {
                Some((Notice::Output { node, stream, bytes }, Urgency::Now))
            }
            ChildEvent::Warning(message) => Some((Notice::Warning(message), Urgency::Now)),
            ChildEvent::Recalled => {
                let attempt = self.leave(key)?.number;
                Some((Notice::Recalled { node, attempt }, Urgency::Now))
            }
            ChildEvent::Ended(end) => {
                let Attempt { number: attempt, worker, .. } = self.leave(key)?;
                let outcome = end.outcome();
                let child = Some(end.child);
                let (started, ended) = (end.started, end.ended);
                let done = Done { node, attempt, worker, started, ended, outcome, child };
                // While enough others wait for a worker, the driver need not hear of it at once.
                let enough = 2 + self.width() / 2;
                let plenty = self.waiting.load(Ordering::Relaxed) >= enough;
                let urgency = if plenty { Urgency::Soon } else { Urgency::Now };
                Some((Notice::Ended(done), urgency))
            }
        }
    }

    /// Its worker is free before the driver hears of it.
    fn leave(&self, key: u64) -> Option<Attempt> {
        let attempt = self.attempts().remove(&key)?;
        if attempt.worker == 0 {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.workers.give_back(attempt.worker);
        }
        Some(attempt)
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<u64, Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
