//! What the pools of threads and of processes have in common: the queue of attempts, and the way to
//! the driver. Knows nothing of how a call is made.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crate::executor::workers::Workers;
use crate::functions::Functions;
use crate::id::{ExecutorId, NodeId};
use crate::inbox::Sender;
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::supervise::Headroom;
use crate::time::{Clock, Time};
use crate::work::{Args, Call, Done, Notice, Values};

/// Gives the names of futures.
pub(super) type Names = Arc<dyn Fn(NodeId) -> String + Send + Sync>;

/// The executor that a pool makes calls for.
#[derive(Clone)]
pub(super) struct Executor {
    pub(super) id: ExecutorId,
    pub(super) name: Arc<str>,
    pub(super) max_workers: u32,
    /// What each worker does first.
    pub(super) initializer: Option<Call>,
    pub(super) functions: Functions,
    pub(super) workers: Arc<Workers>,
    pub(super) names: Names,
    /// Where relative paths start.
    pub(super) dir: Arc<Path>,
    pub(super) clock: Clock,
    pub(super) notices: Sender<Notice>,
    /// What the system has room for.
    pub(super) headroom: Arc<Headroom>,
}

impl Executor {
    /// Tells the driver something. Nobody listens any more once the run is over.
    pub(super) fn tell(&self, notice: Notice) {
        self.notices.send(notice);
    }

    /// Tells of a scarcity, if it is the first of the run.
    pub(super) fn warn_of_scarcity(&self, words: impl FnOnce() -> String) {
        if let Some(words) = self.headroom.warning(words) {
            self.tell(Notice::Warning(words));
        }
    }

    /// Tells that only so many worker processes run.
    pub(super) fn warn_of_fewer_workers(&self, count: usize, why: &str) {
        let (name, wanted) = (&self.name, self.max_workers);
        self.warn_of_scarcity(|| {
            format!("the executor `{name}` has {count} of {wanted} worker processes: {why}")
        });
    }

    /// Tells that an attempt was taken back.
    pub(super) fn recalled(&self, attempt: &Attempt) {
        self.tell(Notice::Recalled { node: attempt.node, attempt: attempt.number });
    }

    /// Ends an attempt that never started, because the executor is broken.
    pub(super) fn refuse(&self, attempt: &Attempt, why: &str) {
        let now = self.clock.now();
        self.tell(Notice::Ended(self.broken(attempt, why, 0, now, now)));
    }

    /// The end of an attempt by the executor's breaking.
    pub(super) fn broken(
        &self,
        attempt: &Attempt,
        why: &str,
        worker: u32,
        started: Time,
        ended: Time,
    ) -> Done {
        let message = format!("the executor `{}` is broken: {why}", self.name);
        Done {
            node: attempt.node,
            attempt: attempt.number,
            worker,
            started,
            ended,
            outcome: Outcome::Failed(Failure::new(FailureKind::BrokenExecutor, message)),
            child: None,
        }
    }

    /// Tells that nothing can run any more, and ends what has not started.
    pub(super) fn announce_broken(&self, why: &str, unstarted: &[Attempt]) {
        self.tell(Notice::Broken { executor: self.id, message: why.to_owned() });
        for attempt in unstarted {
            self.refuse(attempt, why);
        }
    }
}

/// A call that was handed over.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) node: NodeId,
    pub(super) number: u32,
    pub(super) call: Call,
    /// Whether the driver counts on its starting at once, alone on its worker.
    pub(super) exact: bool,
    pub(super) announce: bool,
    pub(super) live: bool,
    /// Its place among all that were ever in the queue, which gives it.
    pub(super) turn: u64,
    pub(super) span: tracing::Span,
}

/// Names an attempt. A node alone does not: one of its attempts may still be busy, given up by all,
/// when the next is handed over.
pub(super) type Id = (NodeId, u32);

impl Attempt {
    /// What names it.
    pub(super) fn id(&self) -> Id {
        (self.node, self.number)
    }

    /// Takes what the call is given, which is needed only once.
    pub(super) fn take_args(&mut self) -> Args {
        std::mem::replace(&mut self.call.args, Args::List(Values::new()))
    }
}

/// Attempts that have not started, first come first served; or the reason why none ever will.
#[derive(Debug, Default)]
pub(super) struct Queue {
    attempts: VecDeque<Attempt>,
    /// How many were ever appended.
    appended: u64,
    broken: Option<Arc<str>>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.attempts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Why the executor is broken, if it is.
    pub(super) fn broken(&self) -> Option<&Arc<str>> {
        self.broken.as_ref()
    }

    pub(super) fn append(&mut self, attempts: &mut Vec<Attempt>) {
        for mut attempt in attempts.drain(..) {
            attempt.turn = self.appended;
            self.appended += 1;
            self.attempts.push_back(attempt);
        }
    }

    /// Puts an attempt back, in its turn, that was taken and did not start.
    pub(super) fn put_back(&mut self, attempt: Attempt) {
        let before = |other: &&Attempt| other.turn < attempt.turn;
        let place = self.attempts.iter().take_while(before).count();
        self.attempts.insert(place, attempt);
    }

    pub(super) fn first(&self) -> Option<&Attempt> {
        self.attempts.front()
    }

    pub(super) fn pop(&mut self) -> Option<Attempt> {
        self.attempts.pop_front()
    }

    /// Takes one attempt out, wherever it is.
    pub(super) fn remove(&mut self, id: Id) -> Option<Attempt> {
        remove(&mut self.attempts, id)
    }

    /// Takes all out.
    pub(super) fn take_all(&mut self) -> Vec<Attempt> {
        self.attempts.drain(..).collect()
    }

    /// Nothing runs any more, for this reason; `false` if this is known.
    pub(super) fn break_off(&mut self, why: &str) -> bool {
        let news = self.broken.is_none();
        self.broken.get_or_insert_with(|| why.into());
        news
    }
}

/// Takes an attempt out of a queue. Who takes back many begins with the last.
pub(super) fn remove(attempts: &mut VecDeque<Attempt>, id: Id) -> Option<Attempt> {
    let place = attempts.iter().rposition(|attempt| attempt.id() == id)?;
    attempts.remove(place)
}
