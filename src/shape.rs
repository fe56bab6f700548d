//! What a run, its futures and its callbacks look like in JSON: the types of the report, of events
//! and of what callbacks are handed. Knows neither files nor who reads them.
//!
//! Lists and maps are made item by item while they are written, so that the report of a million
//! futures never lies in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::ser::Serializer;

use crate::exit::Exit;
use crate::graph::{self, Amount, OnReturn, ReturnWhen};
use crate::guard::Leftover;
use crate::id::{NodeId, TaskId};
use crate::job::{Job, Origin, Place, Trigger};
use crate::ledger::{CallbackRecord, Ledger, Record};
use crate::mask::Masker;
use crate::measure::{self, Counts};
use crate::outcome::{Captured, Cause, Failure, FailureKind};
use crate::time::Time;
use crate::value::Value;

/// How much of a stream's end is shown.
pub const TAIL: usize = 2048;

/// What there is to read of a run besides the event.
#[derive(Clone, Copy, Debug)]
pub struct RunView<'a> {
    /// What is run.
    pub job: &'a Job,
    /// What is known so far.
    pub ledger: &'a Ledger,
    /// The id of the run.
    pub run_id: &'a str,
    /// When the run started, by the wall clock.
    pub started_at: SystemTime,
    /// What covers secrets. In the ledger they are covered; what is shown of the job goes through here.
    pub masker: &'a Masker,
}

/// The name of a node, as it may be shown.
#[derive(Clone, Copy)]
pub struct Name<'a> {
    name: graph::Name<'a>,
    masker: &'a Masker,
}

impl<'a> Name<'a> {
    /// The name of a node of `job`, in which `masker` covers secrets.
    pub fn new(job: &'a Job, node: NodeId, masker: &'a Masker) -> Self {
        Self { name: job.graph.name(node), masker }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.masker.is_none() {
            return self.name.fmt(f);
        }
        f.pad(&self.masker.text(&self.name.to_string()))
    }
}

impl<'a> RunView<'a> {
    /// Text as it may be shown. To be asked again for what lost characters on its way, such as terminal
    /// escapes: a secret may have been in pieces before.
    pub fn shown<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.masker.text(text)
    }

    /// The name of a node.
    pub fn name(&self, node: NodeId) -> Name<'a> {
        Name::new(self.job, node, self.masker)
    }

    /// The name of a task.
    pub fn task_name(&self, task: TaskId) -> Cow<'a, str> {
        self.shown(&self.job.graph.task(task).name)
    }

    /// The name of the executor that a task runs on.
    pub fn executor_name(&self, task: TaskId) -> Cow<'a, str> {
        let graph = &self.job.graph;
        self.shown(&graph.executor(graph.task(task).executor).name)
    }

    /// The name of the job.
    pub fn job_name(&self) -> Cow<'a, str> {
        self.shown(&self.job.name)
    }

    /// The manifest, as the user named it.
    pub fn manifest(&self) -> Option<Cow<'a, str>> {
        self.job.origin.manifest.as_deref().map(|manifest| self.shown(manifest))
    }

    /// The item of a future; `None` for one of a plain task.
    pub fn item(&self, node: NodeId) -> Option<Value> {
        let item = self.job.item(node, self.ledger)?;
        Some(self.masker.value(&item).unwrap_or(item))
    }

    /// What is known of a node.
    pub fn record(&self, node: NodeId) -> &'a Record {
        self.ledger.record(node)
    }

    /// The counts as they stand now.
    pub fn counts(&self) -> Counts {
        Counts::of(&self.job.graph, self.ledger)
    }

    /// When the run ended; while only callbacks are left, when its last future did. `None` before.
    pub fn ended(&self) -> Option<Time> {
        let ledger = self.ledger;
        if ledger.finished > Time::ZERO {
            return Some(ledger.finished);
        }
        if ledger.completion.len() < self.job.graph.future_count() as usize {
            return None;
        }
        let ends = ledger.completion.iter().map(|&node| self.record(node).ended);
        Some(ends.max().unwrap_or_default())
    }
}

/// What a report starts with: the job, and how its run ended.
#[derive(Serialize, JsonSchema)]
pub struct Head<'a> {
    job: Cow<'a, str>,
    manifest: Option<Cow<'a, str>>,
    manifest_hash: &'a str,
    run_id: &'a str,
    /// The version of jobrun.
    jobrun: &'static str,
    started_at: String,
    finished_at: Option<String>,
    elapsed: Option<f64>,
    /// How long it was paused, as by Ctrl-Z, from its start to its end. No other time counts that.
    paused: f64,
    #[schemars(extend("enum" = ["succeeded", "failed", "timed_out", "interrupted", "error"]))]
    outcome: &'static str,
    exit_code: u8,
    /// What jobrun itself could not do; the exit code is 4 then.
    errors: &'a [String],
    wait: Wait<'a>,
}

/// The job, as its callbacks are handed it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub struct JobShape<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    counts: Counts,
}

/// The job's wait: what was asked for, and what came of it.
#[derive(Serialize, JsonSchema)]
pub struct Wait<'a> {
    return_when: Policy,
    timeout: Option<f64>,
    #[schemars(extend("enum" = ["cancel", "drain", "continue"]))]
    on_return: &'static str,
    returned_because: Option<&'a str>,
    returned_after: Option<f64>,
}

/// A wait before it begins.
#[derive(Serialize)]
pub struct PlannedWait {
    return_when: Policy,
    timeout: Option<f64>,
    on_return: &'static str,
}

/// A wait as the manifest has it.
pub fn planned_wait(wait: &graph::Wait) -> PlannedWait {
    PlannedWait {
        return_when: policy(wait.return_when),
        timeout: wait.timeout.map(seconds),
        on_return: on_return(wait.on_return),
    }
}

/// A wait policy, as the manifest writes it: a word, or a table of one number.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Policy {
    Word(&'static str),
    Number(BTreeMap<&'static str, Number>),
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Number {
    Count(u32),
    Share(String),
}

/// How a group's wait returned; null where it has not.
#[derive(Serialize, JsonSchema)]
pub struct GroupEnd<'a> {
    #[schemars(extend("enum" = ["succeeded", "failed", "cancelled", null]))]
    verdict: Option<&'static str>,
    returned_because: Option<&'a str>,
}

/// A group, as its callbacks and events have it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Group")]
pub struct GroupShape<'a> {
    name: Cow<'a, str>,
    task: Cow<'a, str>,
    #[serde(flatten)]
    end: GroupEnd<'a>,
    returned_after: Option<f64>,
    counts: Counts,
}

/// One future.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Future")]
pub struct FutureShape<'a> {
    name: Text<Name<'a>>,
    task: Cow<'a, str>,
    /// Its place in the group; null for a plain task.
    index: Option<u32>,
    /// The item it was made for.
    #[schemars(with = "serde_json::Value")]
    item: Option<Cow<'a, Value>>,
    executor: Cow<'a, str>,
    /// The worker of the last attempt, counted from 1; null if it never ran.
    worker: Option<u32>,
    #[schemars(extend("enum" = [
        "pending", "running", "succeeded", "failed", "timed_out", "cancelled", "skipped",
    ]))]
    state: &'static str,
    #[schemars(with = "serde_json::Value")]
    result: Cow<'a, Value>,
    error: Option<ErrorShape<'a>>,
    cause: Option<CauseShape<'a>>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    /// Whether something that its last attempt had started held its output open after its end.
    leaked: bool,
    /// The tasks it is after.
    after: Vec<Cow<'a, str>>,
    /// When its last attempt started; null if it never ran.
    started: Option<f64>,
    /// How long its last attempt ran.
    elapsed: f64,
    /// How long it was ready before its first attempt started.
    queued: f64,
    attempts: Vec<AttemptShape<'a>>,
    stdout: OutputShape<'a>,
    stderr: OutputShape<'a>,
}

/// One try of a future.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
pub struct AttemptShape<'a> {
    state: &'static str,
    started: f64,
    elapsed: f64,
    exit_code: Option<i32>,
    signal: Option<i32>,
    error: Option<ErrorShape<'a>>,
}

/// Why an attempt failed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorShape<'a> {
    #[schemars(extend("enum" = FailureKind::ALL.map(FailureKind::word)))]
    kind: &'static str,
    message: &'a str,
}

/// Why a future was cancelled.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Cause")]
pub struct CauseShape<'a> {
    #[schemars(extend("enum" = ["dependency", "wait", "interrupt"]))]
    kind: &'static str,
    /// What it needed, or the group whose wait returned; null for the job's own.
    future: Option<Text<Name<'a>>>,
}

/// What a future wrote to one of its streams.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Output")]
pub struct OutputShape<'a> {
    bytes: u64,
    /// Its end.
    tail: Cow<'a, str>,
    /// The file that holds all of it, where it was too large to keep in memory.
    path: Option<Cow<'a, str>>,
    /// Whether it was too large to keep in memory, and no file could be written: its two ends are all
    /// there is. Said only then.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(default)]
    lost: bool,
    /// Its beginning. Said only if it is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Cow<'a, str>>,
    /// The bytes of `tail` in base64. Said only if they are not all text.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// An executor and how busy it was.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Executor")]
pub struct ExecutorShape {
    #[schemars(extend("enum" = ["thread", "process"]))]
    kind: &'static str,
    max_workers: u32,
    /// The most futures that ran there at once.
    peak_running: u32,
}

/// What a callback did.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Callback")]
pub struct CallbackShape<'a> {
    /// The file that its table is in, where that is included by the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    /// The line of its table in that file.
    line: u32,
    #[schemars(extend("enum" = Trigger::ALL.map(Trigger::word)))]
    on: &'static str,
    /// The future or the group it was called for; null for the job.
    future: Option<Text<Name<'a>>>,
    #[schemars(extend("enum" = ["log", "run", "post", "call"]))]
    action: &'static str,
    #[schemars(extend("enum" = ["succeeded", "failed"]))]
    state: &'static str,
    error: Option<&'a str>,
    elapsed: f64,
}

/// A process that was left behind.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Leftover")]
pub struct LeftoverShape<'a> {
    pid: u32,
    /// Its program and arguments; of long ones the beginning.
    command: &'a str,
    /// The future that started it, where its environment says so.
    future: Option<&'a str>,
}

/// The head of the run's report.
pub fn head<'a>(run: &RunView<'a>) -> Head<'a> {
    let exit = Exit::of(&run.job.graph, run.ledger);
    let ended = run.ended();
    let paused = run.ledger.paused;
    let took = ended.map(|end| end.since(Time::ZERO).saturating_add(paused));
    let finished = took.and_then(|took| run.started_at.checked_add(took)).map(calendar);
    Head {
        job: run.job_name(),
        manifest: run.manifest(),
        manifest_hash: &run.job.origin.hash,
        run_id: run.run_id,
        jobrun: env!("CARGO_PKG_VERSION"),
        started_at: calendar(run.started_at),
        finished_at: finished,
        elapsed: ended.map(Time::seconds),
        paused: seconds(paused),
        outcome: exit.word(),
        exit_code: exit.code(),
        errors: &run.ledger.errors,
        wait: wait(run),
    }
}

/// The job, as its callbacks are handed it.
pub fn job<'a>(run: &RunView<'a>) -> JobShape<'a> {
    JobShape { head: head(run), counts: run.counts() }
}

/// A group, as its callbacks and events have it.
pub fn group<'a>(run: &RunView<'a>, task: TaskId) -> GroupShape<'a> {
    let graph = &run.job.graph;
    let mut counts = Counts { total: graph.members(task).len() as u32, ..Counts::default() };
    graph.members(task).for_each(|node| counts.add(run.record(NodeId(node))));
    GroupShape {
        name: run.task_name(task),
        task: run.task_name(task),
        end: group_end(run, task),
        returned_after: run.ledger.group(task).map(|group| seconds(group.after)),
        counts,
    }
}

/// How a group's wait returned.
pub fn group_end<'a>(run: &RunView<'a>, task: TaskId) -> GroupEnd<'a> {
    let group = run.ledger.group(task);
    GroupEnd {
        verdict: group.map(|group| group.verdict().word()),
        returned_because: group.map(|group| group.because.word()),
    }
}

/// One future, as the ledger knows it now.
pub fn future<'a>(run: &RunView<'a>, node: NodeId) -> FutureShape<'a> {
    let graph = &run.job.graph;
    let record = run.record(node);
    let detail = record.detail.as_deref();
    let task = graph.task(graph.task_of(node));
    FutureShape {
        name: Text(run.name(node)),
        task: run.task_name(graph.task_of(node)),
        index: graph.index_in_group(node),
        item: run.item(node).map(Cow::Owned),
        executor: run.executor_name(graph.task_of(node)),
        worker: (record.worker > 0).then_some(record.worker),
        state: record.state.word(),
        result: Cow::Borrowed(&record.result),
        error: record.failure().map(error),
        cause: record.cause().map(|of| cause(run, of)),
        exit_code: detail.and_then(|detail| detail.exit_code),
        signal: detail.and_then(|detail| detail.signal),
        leaked: detail.is_some_and(|detail| detail.leaked),
        after: task.before().map(|&before| run.task_name(before)).collect(),
        started: (record.attempts > 0).then(|| record.started.seconds()),
        elapsed: if record.state.is_done() { seconds(record.elapsed()) } else { 0.0 },
        queued: measure::first_start(record)
            .map_or(0.0, |start| seconds(start.since(record.ready))),
        attempts: attempts(record),
        stdout: detail.map_or_else(OutputShape::empty, |detail| output(&detail.stdout)),
        stderr: detail.map_or_else(OutputShape::empty, |detail| output(&detail.stderr)),
    }
}

/// What a callback did.
pub fn callback<'a>(run: &RunView<'a>, record: &'a CallbackRecord) -> CallbackShape<'a> {
    let callback = &run.job.callbacks[record.callback];
    CallbackShape {
        file: included(&run.job.origin, callback.place),
        line: callback.place.line,
        on: record.on,
        future: record.node.map(|node| Text(run.name(node))),
        action: callback.action.word(),
        state: if record.error.is_none() { "succeeded" } else { "failed" },
        error: record.error.as_deref(),
        elapsed: seconds(record.elapsed),
    }
}

/// A process that was left behind.
pub fn leftover(leftover: &Leftover) -> LeftoverShape<'_> {
    let Leftover { pid, command, future } = leftover;
    LeftoverShape { pid: *pid, command, future: future.as_deref() }
}

/// The name of the file of a place that is not in the manifest itself.
pub fn included(origin: &Origin, place: Place) -> Option<&str> {
    if place.file == 0 { None } else { origin.file(place) }
}

/// Why an attempt failed.
pub fn error(failure: &Failure) -> ErrorShape<'_> {
    ErrorShape { kind: failure.kind.word(), message: &failure.message }
}

/// Why a future was cancelled.
pub fn cause<'a>(run: &RunView<'a>, cause: Cause) -> CauseShape<'a> {
    let node = match cause {
        Cause::Dependency(node) => Some(node),
        Cause::Wait(group) => group,
        Cause::Interrupt => None,
    };
    CauseShape { kind: cause.word(), future: node.map(|node| Text(run.name(node))) }
}

/// The executors by name.
pub fn executor(run: &RunView<'_>, place: usize) -> ExecutorShape {
    let executor = &run.job.graph.executors()[place];
    ExecutorShape {
        kind: executor.kind.word(),
        max_workers: executor.max_workers,
        peak_running: run.ledger.peak_running[place],
    }
}

/// [`future`] as a value, for templates. Whole numbers stay exact.
pub fn future_value(run: &RunView<'_>, node: NodeId) -> Value {
    to_value(&future(run, node))
}

/// [`job`] as a value, for templates.
pub fn job_value(run: &RunView<'_>) -> Value {
    to_value(&job(run))
}

/// [`group`] as a value, for templates.
pub fn group_value(run: &RunView<'_>, task: TaskId) -> Value {
    to_value(&group(run, task))
}

/// A duration in seconds: the float nearest to it.
pub fn seconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e9
}

/// A moment of the wall clock: RFC 3339, UTC, to the microsecond.
pub fn calendar(at: SystemTime) -> String {
    humantime::format_rfc3339_micros(at).to_string()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like that")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The end of a stream as text: at most [`TAIL`] bytes of it, or all there is where the rest is lost.
pub fn tail(captured: &Captured) -> Cow<'_, str> {
    String::from_utf8_lossy(last_bytes(captured))
}

fn last_bytes(captured: &Captured) -> &[u8] {
    let kept = &captured.kept;
    let most = if captured.lost.is_some() { kept.len() } else { TAIL };
    let mut start = kept.len().saturating_sub(most);
    if start > 0 {
        // A character that the cut goes through is left out.
        let whole = kept[start..].iter().take(4).position(|byte| byte & 0xC0 != 0x80);
        start += whole.unwrap_or(0);
    }
    &kept[start..]
}

impl OutputShape<'_> {
    const fn empty() -> Self {
        Self {
            bytes: 0,
            tail: Cow::Borrowed(""),
            path: None,
            lost: false,
            head: None,
            base64: None,
        }
    }
}

fn output(captured: &Captured) -> OutputShape<'_> {
    OutputShape {
        bytes: captured.bytes,
        tail: tail(captured),
        path: captured.path.as_deref().map(|path| path.to_string_lossy()),
        lost: captured.lost.is_some(),
        head: captured.lost.as_ref().map(|lost| String::from_utf8_lossy(&lost.head)),
        base64: str::from_utf8(last_bytes(captured))
            .is_err()
            .then(|| STANDARD.encode(last_bytes(captured))),
    }
}

fn attempts(record: &Record) -> Vec<AttemptShape<'_>> {
    let detail = record.detail.as_deref();
    let earlier = detail.into_iter().flat_map(|detail| &detail.earlier);
    let earlier = earlier.map(|attempt| AttemptShape {
        state: attempt.state.word(),
        started: attempt.started.seconds(),
        elapsed: seconds(attempt.ended.since(attempt.started)),
        exit_code: attempt.exit_code,
        signal: attempt.signal,
        error: attempt.failure.as_ref().map(error),
    });
    let last = (!measure::last_is_earlier(record)).then(|| AttemptShape {
        state: record.state.word(),
        started: record.started.seconds(),
        elapsed: if record.state.is_done() { seconds(record.elapsed()) } else { 0.0 },
        exit_code: detail.and_then(|detail| detail.exit_code),
        signal: detail.and_then(|detail| detail.signal),
        error: record.failure().map(error),
    });
    earlier.chain(last).collect()
}

fn wait<'a>(run: &RunView<'a>) -> Wait<'a> {
    let wait = run.job.graph.wait();
    let returned = run.ledger.returned.as_ref();
    Wait {
        return_when: policy(wait.return_when),
        timeout: wait.timeout.map(seconds),
        on_return: on_return(wait.on_return),
        returned_because: returned.map(|returned| returned.how.because.word()),
        returned_after: returned.map(|returned| seconds(returned.how.after)),
    }
}

fn on_return(on_return: OnReturn) -> &'static str {
    match on_return {
        OnReturn::Cancel => "cancel",
        OnReturn::Drain => "drain",
        OnReturn::Continue => "continue",
    }
}

fn policy(return_when: ReturnWhen) -> Policy {
    let number = |word, amount| {
        let number = match amount {
            Amount::Count(count) => Number::Count(count),
            Amount::Percent(percent) => Number::Share(format!("{percent}%")),
        };
        Policy::Number(BTreeMap::from([(word, number)]))
    };
    match return_when {
        ReturnWhen::AllCompleted => Policy::Word("all_completed"),
        ReturnWhen::FirstCompleted => Policy::Word("first_completed"),
        ReturnWhen::FirstException => Policy::Word("first_exception"),
        ReturnWhen::FirstSuccess => Policy::Word("first_success"),
        ReturnWhen::Completed(amount) => number("completed", amount),
        ReturnWhen::Succeeded(amount) => number("succeeded", amount),
        ReturnWhen::Failed(amount) => number("failed", amount),
    }
}

fn to_value(shape: &impl Serialize) -> Value {
    // These types hold nothing that a value cannot.
    Value::of(shape).unwrap_or_default()
}

/// Anything that can be displayed, as a string.
#[derive(Clone, Copy)]
pub struct Text<T>(pub T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<T> JsonSchema for Text<T> {
    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}
