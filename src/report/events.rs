//! The events of a run as newline-delimited JSON, one line an event, written as it happens. Knows
//! nothing of what becomes of them.
//!
//! Every line has `seq` (from 0, without gaps), `t` (seconds since the start of the run) and
//! `event`; the first line is `job_started` and names the version of this shape.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::event::{Event, Stamped};
use crate::exit::Exit;
use crate::id::NodeId;
use crate::measure::{self, Counts};
use crate::report::Observer;
use crate::report::target::{Pieces, Target};
use crate::shape::{self, CallbackShape, CauseShape, ErrorShape, GroupShape, Name, RunView, Text};
use crate::value::Value;

/// The version of the shape of the lines.
pub const SCHEMA: &str = "jobrun.events/1";

/// An observer that writes every event but output as a line.
pub struct Events {
    out: Pieces,
    /// The line being made.
    line: Vec<u8>,
    seq: u64,
    /// Whether writing has failed. What came after a gap would be of no use.
    dead: bool,
}

impl Events {
    /// Events to `path`, a file to be replaced, a pipe, or `-` for standard output.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::with(Target::new(path).open()?))
    }

    /// Events to a writer.
    pub fn to(out: Box<dyn Write + Send>) -> Self {
        Self::with(Pieces::new(out))
    }

    fn with(out: Pieces) -> Self {
        Self { out, line: Vec::new(), seq: 0, dead: false }
    }

    fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.out.push(&self.line)
    }
}

impl Observer for Events {
    fn observe(&mut self, event: &Stamped, run: &RunView<'_>) -> io::Result<()> {
        if self.dead {
            return Ok(());
        }
        let Some(body) = body(&event.event, run) else { return Ok(()) };
        // The numbers of events that are written nowhere must not leave gaps.
        let line = Line { seq: self.seq, t: event.at.seconds(), body };
        self.seq += 1;
        let written = self.write(&line).and_then(|()| match event.event {
            Event::JobFinished => self.out.end(),
            _ => Ok(()),
        });
        written.map_err(|error| {
            self.dead = true;
            io::Error::new(error.kind(), format!("the events could not be written: {error}"))
        })
    }
}

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    t: f64,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Body<'a> {
    JobStarted {
        schema: &'static str,
        job: Cow<'a, str>,
        manifest: Option<Cow<'a, str>>,
        run_id: &'a str,
        started_at: String,
        futures: u32,
    },
    Started {
        future: Text<Name<'a>>,
        task: Cow<'a, str>,
        attempt: u32,
        executor: Cow<'a, str>,
        worker: u32,
    },
    Retry {
        future: Text<Name<'a>>,
        /// The attempt that comes next.
        attempt: u32,
        /// When it becomes ready.
        at: f64,
        /// Why the one before failed.
        error: Option<ErrorShape<'a>>,
    },
    Finished {
        future: Text<Name<'a>>,
        task: Cow<'a, str>,
        state: &'static str,
        attempts: u32,
        elapsed: f64,
        result: &'a Value,
        error: Option<ErrorShape<'a>>,
        cause: Option<CauseShape<'a>>,
        exit_code: Option<i32>,
        signal: Option<i32>,
    },
    /// The members of a group are known that were not before.
    Expanded {
        task: Cow<'a, str>,
        /// How many it has.
        futures: u32,
        /// How many the job has now.
        total: u32,
    },
    GroupReturned {
        group: GroupShape<'a>,
    },
    JobReturned {
        returned_because: Option<&'static str>,
        returned_after: Option<f64>,
        done: u32,
        not_done: u32,
    },
    Log {
        future: Option<Text<Name<'a>>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<&'a str>,
        line: u32,
        message: &'a str,
    },
    CallbackEnded {
        callback: Option<CallbackShape<'a>>,
    },
    Warning {
        message: &'a str,
    },
    GoesOn {
        paused: f64,
    },
    Interrupted {
        signal: i32,
    },
    JobFinished {
        outcome: &'static str,
        exit_code: u8,
        elapsed: Option<f64>,
        counts: Counts,
    },
}

fn body<'a>(event: &'a Event, run: &RunView<'a>) -> Option<Body<'a>> {
    let (job, ledger) = (run.job, run.ledger);
    let name = |node| Text(run.name(node));
    let task = |node| job.graph.task_of(node);
    Some(match event {
        Event::Output { .. } => return None,
        Event::JobStarted => Body::JobStarted {
            schema: SCHEMA,
            job: run.job_name(),
            manifest: run.manifest(),
            run_id: run.run_id,
            started_at: shape::calendar(run.started_at),
            futures: job.graph.future_count(),
        },
        Event::Started { node, attempt, worker } => Body::Started {
            future: name(*node),
            task: run.task_name(task(*node)),
            attempt: *attempt,
            executor: run.executor_name(task(*node)),
            worker: *worker,
        },
        Event::Retry { node, attempt, at } => {
            let detail = run.record(*node).detail.as_deref();
            let failed = detail.and_then(|detail| detail.earlier.last());
            Body::Retry {
                future: name(*node),
                attempt: *attempt,
                at: at.seconds(),
                error: failed.and_then(|failed| failed.failure.as_ref()).map(shape::error),
            }
        }
        Event::Finished { node } => finished(run, *node),
        Event::Expanded { task } => Body::Expanded {
            task: run.task_name(*task),
            futures: job.graph.members(*task).len() as u32,
            total: job.graph.future_count(),
        },
        Event::GroupReturned { task } => Body::GroupReturned { group: shape::group(run, *task) },
        Event::JobReturned => {
            let (left, all) = measure::unfinished(&job.graph, ledger);
            let how = ledger.returned.as_ref().map(|returned| returned.how);
            Body::JobReturned {
                returned_because: how.map(|how| how.because.word()),
                returned_after: how.map(|how| shape::seconds(how.after)),
                done: all - left,
                not_done: left,
            }
        }
        Event::Log { callback, node, message } => {
            let place = job.callbacks[*callback].place;
            let file = shape::included(&job.origin, place);
            Body::Log { future: node.map(name), file, line: place.line, message }
        }
        Event::CallbackEnded => Body::CallbackEnded {
            callback: ledger.callbacks.last().map(|record| shape::callback(run, record)),
        },
        Event::Warning { message } => Body::Warning { message },
        Event::GoesOn { paused } => Body::GoesOn { paused: shape::seconds(*paused) },
        Event::Interrupted { signal } => Body::Interrupted { signal: *signal },
        Event::JobFinished => {
            let exit = Exit::of(&job.graph, ledger);
            Body::JobFinished {
                outcome: exit.word(),
                exit_code: exit.code(),
                elapsed: run.ended().map(crate::time::Time::seconds),
                counts: run.counts(),
            }
        }
    })
}

fn finished<'a>(run: &RunView<'a>, node: NodeId) -> Body<'a> {
    let record = run.record(node);
    let detail = record.detail.as_deref();
    Body::Finished {
        future: Text(run.name(node)),
        task: run.task_name(run.job.graph.task_of(node)),
        state: record.state.word(),
        attempts: record.attempts,
        elapsed: shape::seconds(record.elapsed()),
        result: &record.result,
        error: record.failure().map(shape::error),
        cause: record.cause().map(|cause| shape::cause(run, cause)),
        exit_code: detail.and_then(|detail| detail.exit_code),
        signal: detail.and_then(|detail| detail.signal),
    }
}
