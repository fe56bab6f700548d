//! Callbacks: which are due, who does them, what became of them. Knows nothing of the schedule.
//!
//! They run outside worker slots, a bounded number at a time, and never hold the driver up: what a
//! callback is handed is rendered on the driver's thread just before it starts, the rest is done
//! elsewhere and told as a [`Notice::Callback`]. An error in one changes nothing but its record.

mod doer;
mod post;
mod queue;

use std::collections::HashMap;
use std::num::NonZero;
use std::thread;
use std::time::Duration;

pub use queue::{Due, Queue};

use crate::bind::{Binder, Occasion};
use crate::event::{Event, Stamped};
use crate::exit::Exit;
use crate::functions::Functions;
use crate::hosts::Hosts;
use crate::inbox::Sender;
use crate::job::Job;
use crate::ledger::CallbackRecord;
use crate::mask::Masker;
use crate::outcome::{Return, State};
use crate::shape::{self, RunView};
use crate::supervise::Headroom;
use crate::traceparent::Trace;
use crate::value::Value;
use crate::work::{CallbackWork, Notice};
use doer::Doer;

/// So many run at once, and one more for each CPU.
const AT_ONCE: usize = 4;

/// The callbacks of one run.
pub struct Callbacks<'a> {
    job: &'a Job,
    queue: Queue,
    binder: Binder<'a>,
    trace: Trace,
    doer: Doer,
    /// The parent of the spans of callbacks.
    parent: tracing::Span,
    spans: HashMap<u64, tracing::Span>,
    /// Whether no more are to start.
    killed: bool,
}

/// What came of trying to start a callback.
#[derive(Debug)]
pub enum Step {
    /// It runs; a [`Notice::Callback`] will tell of its end.
    Started,
    /// It was a line for the log, which this event carries, and has ended.
    Logged(Event, CallbackRecord),
    /// It could not be started, and has ended.
    Failed(CallbackRecord),
}

impl<'a> Callbacks<'a> {
    /// The callbacks of a run of `job`, whose ends are told to `sender`.
    pub fn new(
        job: &'a Job,
        functions: &Functions,
        binder: Binder<'a>,
        sender: Sender<Notice>,
    ) -> Self {
        let run_id = binder.run_id().to_owned();
        let cpus = || thread::available_parallelism().map_or(1, NonZero::get);
        let mut doer = Doer::new(sender, functions.clone(), &job.origin.dir);
        if job.callbacks.iter().any(|callback| callback.action.needs_thread()) {
            doer.keep_a_thread();
        }
        let at_once = if job.callbacks.is_empty() { 0 } else { AT_ONCE + cpus() };
        Self {
            job,
            queue: Queue::new(job, at_once),
            trace: Trace::from_env(None, &run_id),
            doer,
            binder,
            parent: tracing::Span::none(),
            spans: HashMap::new(),
            killed: false,
        }
    }

    /// Makes the spans of callbacks children of `parent`, in `trace`.
    #[must_use]
    pub fn within(mut self, parent: tracing::Span, trace: Trace) -> Self {
        self.parent = parent;
        self.trace = trace;
        self
    }

    /// Covers secrets in what callbacks are handed beside what their own keys say, and in what they
    /// leave.
    #[must_use]
    pub fn masked(mut self, masker: Masker) -> Self {
        self.doer.mask(masker);
        self
    }

    /// Makes these commands children of the run whose others have this room.
    #[must_use]
    pub fn beside(mut self, headroom: &Headroom) -> Self {
        self.doer.beside(headroom);
        self
    }

    /// Lets posts go to these hosts: of itself, to those of the open internet alone.
    #[must_use]
    pub fn allowing(mut self, hosts: Hosts) -> Self {
        self.doer.allow_hosts(hosts);
        self
    }

    /// Takes note of what is due after an event.
    pub fn observe(&mut self, event: &Stamped, run: &RunView<'_>) {
        self.queue.observe(&event.event, run);
    }

    /// Takes note that the job has ended. To be told when all futures and callbacks have.
    pub fn job_ended(&mut self, run: &RunView<'_>) {
        let success = Exit::of(&run.job.graph, run.ledger) == Exit::Succeeded;
        self.queue.job_ended(run, success);
    }

    /// Whether no callback is due or running.
    pub fn is_idle(&self) -> bool {
        self.queue.is_idle()
    }

    /// Starts the next callback that may start now; `None` if there is none.
    pub fn start_next(&mut self, run: &RunView<'_>) -> Option<Step> {
        let due = self.queue.start_next()?;
        if self.killed {
            return Some(self.failed(&due, "the run was stopped".to_owned()));
        }
        let callback = &self.job.callbacks[due.callback];
        let (payload, state) = payload(run, &due);
        let occasion = Occasion {
            node: due.node,
            payload: &payload,
            state,
            traceparent: &self.trace.of_callback(due.key),
            place: callback.place,
            masker: run.masker,
        };
        let step = match self.binder.bind_callback(&callback.action, &occasion, run.ledger) {
            Err(error) => self.failed(&due, error),
            Ok(CallbackWork::Log(message)) => {
                let message = run.masker.owned(message);
                self.queue.ended(due.key);
                let span = self.span(run, &due);
                span.record("state", State::Succeeded.word());
                span.in_scope(|| tracing::info!(target: "jobrun", "{message}"));
                let event = Event::Log { callback: due.callback, node: due.node, message };
                Step::Logged(event, record(&due, None, Duration::ZERO))
            }
            Ok(work) => {
                let span = self.span(run, &due);
                match self.doer.start(due.key, &name(run, &due), work, callback.timeout, &span) {
                    Ok(()) => {
                        self.spans.insert(due.key, span);
                        Step::Started
                    }
                    Err(error) => self.failed(&due, error),
                }
            }
        };
        Some(step)
    }

    /// A [`Notice::Callback`] has come: the record of that callback. `None` if it has ended before.
    pub fn ended(
        &mut self,
        key: u64,
        error: Option<String>,
        elapsed: Duration,
    ) -> Option<CallbackRecord> {
        let due = self.queue.ended(key)?;
        if let Some(span) = self.spans.remove(&key) {
            let state = if error.is_none() { State::Succeeded } else { State::Failed };
            span.record("state", state.word());
            if let Some(error) = &error {
                span.in_scope(|| tracing::warn!(target: "jobrun", error, "callback failed"));
            }
        }
        Some(record(&due, error, elapsed))
    }

    /// Stops those that run, as far as that can be done, and starts no more: all of them end soon,
    /// as failed.
    pub fn kill(&mut self) {
        if !self.killed {
            self.killed = true;
            self.doer.kill(self.queue.running());
        }
    }

    fn failed(&mut self, due: &Due, error: String) -> Step {
        self.queue.ended(due.key);
        Step::Failed(record(due, Some(error), Duration::ZERO))
    }

    fn span(&self, run: &RunView<'_>, due: &Due) -> tracing::Span {
        tracing::info_span!(
            target: "jobrun",
            parent: &self.parent,
            "callback",
            on = due.on.word(),
            action = run.job.callbacks[due.callback].action.word(),
            future = due.node.map(|node| tracing::field::display(run.name(node))),
            state = tracing::field::Empty,
        )
    }
}

/// What a callback is handed, and the word of its state.
fn payload(run: &RunView<'_>, due: &Due) -> (Value, &'static str) {
    match due.node {
        None => (shape::job_value(run), Exit::of(&run.job.graph, run.ledger).word()),
        Some(gate) if run.job.graph.is_gate(gate) => {
            let task = run.job.graph.task_of(gate);
            let verdict = run.ledger.group(task).map_or(State::Failed, Return::verdict);
            (shape::group_value(run, task), verdict.word())
        }
        Some(node) => (shape::future_value(run, node), run.record(node).state.word()),
    }
}

/// What its files and threads are called.
fn name(run: &RunView<'_>, due: &Due) -> String {
    let of =
        due.node.map_or_else(|| run.job_name().into_owned(), |node| run.name(node).to_string());
    format!("{of}-{}-{}", due.on.word(), due.callback)
}

fn record(due: &Due, error: Option<String>, elapsed: Duration) -> CallbackRecord {
    CallbackRecord { callback: due.callback, on: due.on.word(), node: due.node, error, elapsed }
}
