//! Attempts that are child processes: hands them to the supervisor, and makes notices of what that
//! tells. Knows nothing of how children are minded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender;

use crate::executor::workers::Workers;
use crate::id::NodeId;
use crate::rundir::RunDir;
use crate::supervise::{ChildEvent, Children, Request};
use crate::time::Clock;
use crate::work::{Done, Notice, Stop};

/// The children of a run, of all its executors.
pub(super) struct ChildAttempts {
    children: Children,
    running: Running,
}

type Running = Arc<Mutex<HashMap<u64, Attempt>>>;

struct Attempt {
    number: u32,
    worker: u32,
    workers: Arc<Workers>,
    announce: bool,
    /// Open as long as the attempt.
    _span: tracing::Span,
}

impl ChildAttempts {
    pub(super) fn new(clock: Clock, files: RunDir, notices: Sender<Notice>) -> Self {
        let running = Running::default();
        let known = Arc::clone(&running);
        let sink = Arc::new(move |key, event| {
            if let Some(notice) = notice(&mut lock(&known), key, event) {
                let _ = notices.send(notice);
            }
        });
        Self { children: Children::new(clock, files, sink), running }
    }

    /// What the supervisor calls an attempt of a node.
    pub(super) fn key(node: NodeId, attempt: u32) -> u64 {
        u64::from(attempt) << 32 | u64::from(node.0)
    }

    /// Starts an attempt, of this number, on a worker of its executor.
    pub(super) fn start(
        &self,
        mut request: Request,
        number: u32,
        announce: bool,
        span: tracing::Span,
        workers: &Arc<Workers>,
    ) {
        let worker = workers.take();
        request.command.env.push(("JOBRUN_WORKER".into(), worker.to_string().into()));
        let workers = Arc::clone(workers);
        let attempt = Attempt { number, worker, workers, announce, _span: span };
        lock(&self.running).insert(request.key, attempt);
        self.children.start(request);
    }

    /// Stops an attempt or takes it back. Gives whether it is a child that has not ended.
    pub(super) fn stop(&self, node: NodeId, attempt: u32, how: Stop) -> bool {
        let key = Self::key(node, attempt);
        let known = lock(&self.running).contains_key(&key);
        if known {
            self.children.stop(key, how);
        }
        known
    }
}

fn notice(running: &mut HashMap<u64, Attempt>, key: u64, event: ChildEvent) -> Option<Notice> {
    let node = NodeId(key as u32);
    match event {
        ChildEvent::Started { at, .. } => {
            let Attempt { number: attempt, worker, announce, .. } = *running.get(&key)?;
            announce.then_some(Notice::Started { node, attempt, worker, at })
        }
        ChildEvent::Output { stream, bytes } => Some(Notice::Output { node, stream, bytes }),
        ChildEvent::Warning(message) => Some(Notice::Warning(message)),
        ChildEvent::Recalled => {
            let attempt = leave(running, key)?.number;
            Some(Notice::Recalled { node, attempt })
        }
        ChildEvent::Ended(end) => {
            let Attempt { number: attempt, worker, .. } = leave(running, key)?;
            let outcome = end.outcome();
            let child = Some(Box::new(end.child));
            let (started, ended) = (end.started, end.ended);
            Some(Notice::Ended(Done { node, attempt, worker, started, ended, outcome, child }))
        }
    }
}

/// Its worker is free before the driver hears of it.
fn leave(running: &mut HashMap<u64, Attempt>, key: u64) -> Option<Attempt> {
    let attempt = running.remove(&key)?;
    attempt.workers.give_back(attempt.worker);
    Some(attempt)
}

fn lock(running: &Mutex<HashMap<u64, Attempt>>) -> MutexGuard<'_, HashMap<u64, Attempt>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}
