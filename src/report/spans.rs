//! tracing spans and events: `job` > `future` > `attempt`. Where nobody listens they cost next to
//! nothing. Knows nothing of who listens.

use std::collections::HashMap;

use tracing::field::{Empty, display};
use tracing::{Span, debug, debug_span, info, info_span};

use crate::id::NodeId;
use crate::job::Job;
use crate::ledger::Ledger;
use crate::mask::Masker;
use crate::outcome::State;
use crate::shape::Name;
use crate::traceparent::Trace;
use crate::work::Done;

/// In a job with more futures than this, what concerns one future is at debug level.
const MANY: u32 = 10_000;

/// A span at the level that suits the size of the job.
macro_rules! sized_span {
    ($many:expr, $($fields:tt)*) => {
        if $many {
            debug_span!(target: "jobrun", $($fields)*)
        } else {
            info_span!(target: "jobrun", $($fields)*)
        }
    };
}

/// An event at the level that suits the size of the job. It is sent from inside its span, for what
/// writes JSON lists the spans that are entered.
macro_rules! sized_event {
    ($many:expr, $($fields:tt)*) => {
        if $many {
            debug!(target: "jobrun", $($fields)*);
        } else {
            info!(target: "jobrun", $($fields)*);
        }
    };
}

/// The spans of one run.
pub struct Spans<'a> {
    job: &'a Job,
    masker: &'a Masker,
    trace: Trace,
    many: bool,
    whole: Span,
    /// Those of futures that have started and not ended; empty where nobody listens.
    futures: HashMap<NodeId, Span>,
    /// Those of attempts that have not ended.
    attempts: HashMap<NodeId, Span>,
}

impl<'a> Spans<'a> {
    /// The spans of a run of `job`, in which `masker` covers secrets. `traceparent` is what the
    /// environment says, if it does.
    pub fn new(job: &'a Job, run_id: &str, traceparent: Option<&str>, masker: &'a Masker) -> Self {
        let whole = info_span!(
            target: "jobrun",
            "job",
            job = %masker.text(&job.name),
            run_id = %run_id,
            state = Empty,
            exit_code = Empty,
        );
        let futures = job.graph.future_count();
        whole.in_scope(|| info!(target: "jobrun", futures, "job started"));
        Self {
            job,
            masker,
            trace: Trace::from_env(traceparent, run_id),
            many: job.graph.future_count() > MANY,
            whole,
            futures: HashMap::new(),
            attempts: HashMap::new(),
        }
    }

    /// The span of the whole run.
    pub fn job(&self) -> &Span {
        &self.whole
    }

    /// The trace that the run is a part of.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What an attempt's child is told as `TRACEPARENT`.
    pub fn traceparent(&self, node: NodeId, attempt: u32) -> String {
        self.trace.of_attempt(node, attempt)
    }

    /// The span of an attempt that is about to start; a call runs inside it.
    pub fn attempt(&mut self, node: NodeId, attempt: u32) -> Span {
        let graph = &self.job.graph;
        let task = graph.task(graph.task_of(node));
        let executor = &*self.masker.text(&graph.executor(task.executor).name);
        let many = self.many;
        let parent = if let Some(future) = self.futures.get(&node) {
            future.clone()
        } else {
            let future = sized_span!(
                many,
                parent: &self.whole,
                "future",
                future = display(self.name(node)),
                task = %self.masker.text(&task.name),
                executor,
                state = Empty,
            );
            if future.is_disabled() {
                return Span::none();
            }
            self.futures.insert(node, future.clone());
            future
        };
        let span = sized_span!(
            many,
            parent: &parent,
            "attempt",
            attempt,
            worker = Empty,
            state = Empty,
            exit_code = Empty,
        );
        self.attempts.insert(node, span.clone());
        span
    }

    /// An attempt began to run.
    pub fn started(&self, node: NodeId, worker: u32) {
        if let Some(span) = self.attempts.get(&node) {
            span.record("worker", worker);
            let state = State::Running.word();
            span.in_scope(|| sized_event!(self.many, state, "attempt started"));
        }
    }

    /// An attempt ended.
    pub fn ended(&mut self, done: &Done) {
        let Some(span) = take(&mut self.attempts, done.node) else { return };
        let state = done.outcome.state().word();
        span.record("state", state);
        if let Some(code) = done.child.as_ref().and_then(|child| child.exit_code) {
            span.record("exit_code", code);
        }
        let elapsed = done.ended.since(done.started).as_secs_f64();
        span.in_scope(|| sized_event!(self.many, state, elapsed, "attempt ended"));
    }

    /// A future reached its final state.
    pub fn settled(&mut self, node: NodeId, state: State) {
        // A call that ran too long ends for its future before its worker is free.
        if let Some(span) = take(&mut self.attempts, node) {
            span.record("state", state.word());
        }
        let word = state.word();
        if let Some(span) = take(&mut self.futures, node) {
            span.record("state", word);
            span.in_scope(|| sized_event!(self.many, state = word, "future ended"));
        } else {
            let future = display(self.name(node));
            self.whole.in_scope(|| sized_event!(self.many, future, state = word, "future ended"));
        }
    }

    fn name(&self, node: NodeId) -> Name<'_> {
        Name::new(self.job, node, self.masker)
    }

    /// The run is over.
    pub fn job_finished(&self, ledger: &Ledger) {
        let exit = crate::exit::Exit::of(&self.job.graph, ledger);
        self.whole.record("state", exit.word());
        self.whole.record("exit_code", exit.code());
        let state = exit.word();
        self.whole.in_scope(|| info!(target: "jobrun", state, "job ended"));
    }
}

/// Takes the span of a node out. Where nobody listens there is none, and a look-up would still hash.
fn take(spans: &mut HashMap<NodeId, Span>, node: NodeId) -> Option<Span> {
    if spans.is_empty() { None } else { spans.remove(&node) }
}
