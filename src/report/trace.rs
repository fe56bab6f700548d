//! The Chrome trace report: a row for each worker of each executor, attempts as complete events.
//! Opens in Perfetto and `chrome://tracing`. Knows nothing of files.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::Serialize;

use crate::id::{ExecutorId, NodeId};
use crate::measure;
use crate::outcome::State;
use crate::shape::{Name, RunView, Text};
use crate::time::Time;

/// Writes the trace, event by event.
pub fn write(out: &mut dyn Write, run: &RunView<'_>) -> io::Result<()> {
    out.write_all(b"{\"displayTimeUnit\":\"ms\",\"otherData\":")?;
    let about = About { job: &run.job_name(), run_id: run.run_id };
    serde_json::to_writer(&mut *out, &about)?;
    out.write_all(b",\"traceEvents\":[\n")?;
    let mut list = List { out, first: true };
    for (place, executor) in run.job.graph.executors().iter().enumerate() {
        list.push(&Event::name("process_name", place, None, &run.shown(&executor.name)))?;
    }
    for (place, worker) in workers(run) {
        list.push(&Event::name("thread_name", place, Some(worker), &format!("worker {worker}")))?;
    }
    for node in run.job.graph.futures() {
        attempts(run, node, |event| list.push(event))?;
    }
    if let Some(returned) = &run.ledger.returned {
        list.push(&Event::returned(
            returned.how.because.word(),
            Time::ZERO.after(returned.how.after),
        ))?;
    }
    out.write_all(b"\n]}\n")
}

#[derive(Serialize)]
struct About<'a> {
    job: &'a str,
    run_id: &'a str,
}

/// One event of the trace event format; times are in microseconds.
#[derive(Serialize)]
struct Event<'a, N: Serialize> {
    name: N,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'a str>,
    ph: &'static str,
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    pid: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cname: Option<&'static str>,
    args: Args<'a>,
}

#[derive(Serialize, Default)]
struct Args<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> Event<'a, &'static str> {
    fn name(what: &'static str, executor: usize, worker: Option<u32>, name: &'a str) -> Self {
        Self {
            name: what,
            cat: None,
            ph: "M",
            ts: 0.0,
            dur: None,
            pid: executor + 1,
            tid: worker,
            s: None,
            cname: None,
            args: Args { name: Some(name), ..Args::default() },
        }
    }

    fn returned(because: &'a str, at: Time) -> Self {
        Self {
            name: "the wait returned",
            cat: None,
            ph: "i",
            ts: micros(at),
            dur: None,
            pid: 1,
            tid: None,
            s: Some("g"),
            cname: None,
            args: Args { name: Some(because), ..Args::default() },
        }
    }
}

/// Gives the events of a future's attempts, in order.
fn attempts<'a>(
    run: &RunView<'a>,
    node: NodeId,
    mut give: impl FnMut(&Event<'_, Text<Name<'a>>>) -> io::Result<()>,
) -> io::Result<()> {
    let record = run.record(node);
    let task = run.job.graph.task(run.job.graph.task_of(node));
    let category = run.task_name(run.job.graph.task_of(node));
    let event = |number, worker, state: State, started: Time, ended: Time, error| Event {
        name: Text(run.name(node)),
        cat: Some(&*category),
        ph: "X",
        ts: micros(started),
        dur: Some(ended.since(started).as_nanos() as f64 / 1e3),
        pid: task.executor.index() + 1,
        tid: Some(worker),
        s: None,
        cname: Some(colour(state)),
        args: Args { name: None, state: Some(state.word()), attempt: Some(number), error },
    };
    let earlier = record.detail.iter().flat_map(|detail| &detail.earlier);
    for (number, attempt) in (1..).zip(earlier) {
        let error = attempt.failure.as_ref().map(|failure| &*failure.message);
        give(&event(number, attempt.worker, attempt.state, attempt.started, attempt.ended, error))?;
    }
    if record.state.is_done() && !measure::last_is_earlier(record) {
        let error = record.failure().map(|failure| &*failure.message);
        let (started, ended) = (record.started, record.ended);
        give(&event(record.attempts, record.worker, record.state, started, ended, error))?;
    }
    Ok(())
}

/// Every worker that ran something, with its executor's place.
fn workers(run: &RunView<'_>) -> BTreeSet<(usize, u32)> {
    let graph = &run.job.graph;
    let mut workers = BTreeSet::new();
    for node in graph.futures() {
        let record = run.record(node);
        let ExecutorId(executor) = graph.task(graph.task_of(node)).executor;
        let earlier = record.detail.iter().flat_map(|detail| &detail.earlier);
        let all = earlier.map(|attempt| attempt.worker);
        let last = (record.attempts > 0).then_some(record.worker);
        workers.extend(all.chain(last).map(|worker| (executor as usize, worker)));
    }
    workers
}

/// Colours are names of the format's own palette.
const fn colour(state: State) -> &'static str {
    match state {
        State::Succeeded => "good",
        State::Failed => "terrible",
        State::TimedOut => "bad",
        _ => "grey",
    }
}

fn micros(at: Time) -> f64 {
    at.0 as f64 / 1e3
}

/// A JSON array that is written element by element.
struct List<'a> {
    out: &'a mut dyn Write,
    first: bool,
}

impl List<'_> {
    fn push(&mut self, item: &impl Serialize) -> io::Result<()> {
        if !self.first {
            self.out.write_all(b",\n")?;
        }
        self.first = false;
        Ok(serde_json::to_writer(&mut *self.out, item)?)
    }
}
