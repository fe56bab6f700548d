//! The `JUnit` report: a test suite for each task, a test case for each future. Knows nothing of
//! files.

use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{
    NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite, XmlString,
};

use crate::id::{NodeId, TaskId};
use crate::ledger::Attempt;
use crate::measure;
use crate::outcome::{Captured, Failure, FailureKind, State};
use crate::report::words;
use crate::shape::{self, RunView};
use crate::time::Time;

/// Writes the report.
///
/// A failure that is allowed, and what never ran, count as skipped; what went wrong around a task
/// rather than in it (its child could not be started, its worker died) is an error. Failed attempts
/// of a future that was tried again are reruns, as Maven's Surefire writes them.
pub fn write(out: &mut dyn Write, run: &RunView<'_>) -> io::Result<()> {
    let mut report = Report::new(xml(&run.job.name));
    report.set_time(run.ended().unwrap_or_default().since(Time::ZERO));
    for (task, _) in run.job.graph.tasks() {
        report.add_test_suite(suite(run, task));
    }
    report.serialize(out).map_err(io::Error::other)
}

fn suite(run: &RunView<'_>, task: TaskId) -> TestSuite {
    let graph = &run.job.graph;
    let mut suite = TestSuite::new(xml(run.task_name(task)));
    suite.extra.insert("timestamp".into(), shape::calendar(run.started_at).into());
    let mut time = Duration::ZERO;
    for node in graph.members(task).map(NodeId) {
        time += measure::busy(run.record(node));
        suite.add_test_case(case(run, node));
    }
    suite.set_time(time);
    suite
}

fn case(run: &RunView<'_>, node: NodeId) -> TestCase {
    let record = run.record(node);
    let mut case = TestCase::new(xml(&run.name(node).to_string()), status(run, node));
    case.set_classname(xml(&format!(
        "{}.{}",
        run.job.name,
        run.task_name(run.job.graph.task_of(node))
    )));
    case.set_time(measure::busy(record));
    if let Some(detail) = &record.detail {
        if let Some(text) = output(&detail.stdout) {
            case.set_system_out(text);
        }
        if let Some(text) = output(&detail.stderr) {
            case.set_system_err(text);
        }
    }
    case
}

fn status(run: &RunView<'_>, node: NodeId) -> TestCaseStatus {
    let record = run.record(node);
    let task = run.job.graph.task_of(node);
    let why = words::why(run, record);
    let mut status = match record.state {
        State::Succeeded => TestCaseStatus::success(),
        State::Failed | State::TimedOut if !run.job.graph.task(task).allow_failure => {
            let mut status = TestCaseStatus::non_success(kind(record.failure()));
            if let Some(failure) = record.failure() {
                status.set_type(failure.kind.word());
            }
            status.set_message(xml(&why));
            if let Some(place) = words::place(run, task) {
                status.set_description(xml(&format!("{place}: {why}")));
            }
            status
        }
        other => {
            let mut status = TestCaseStatus::skipped();
            let state = words::state(other);
            let message = match (other.is_failure(), why.is_empty()) {
                (true, _) => format!("{state}, which is allowed: {why}"),
                (false, true) => state.to_owned(),
                (false, false) => format!("{state}: {why}"),
            };
            status.set_message(xml(&message));
            status
        }
    };
    let earlier = record.detail.iter().flat_map(|detail| &detail.earlier);
    if !matches!(status, TestCaseStatus::Skipped { .. }) {
        status.add_reruns(earlier.map(rerun));
    }
    status
}

fn rerun(attempt: &Attempt) -> TestRerun {
    let failure = attempt.failure.as_ref();
    let mut rerun = TestRerun::new(kind(failure));
    rerun.set_time(attempt.ended.since(attempt.started));
    if let Some(failure) = failure {
        rerun.set_type(failure.kind.word());
        rerun.set_message(xml(&failure.message));
    }
    rerun
}

fn kind(failure: Option<&Failure>) -> NonSuccessKind {
    match failure.map(|failure| failure.kind) {
        Some(
            FailureKind::Panic
            | FailureKind::Spawn
            | FailureKind::WorkerDeath
            | FailureKind::Template
            | FailureKind::BrokenExecutor,
        ) => NonSuccessKind::Error,
        _ => NonSuccessKind::Failure,
    }
}

fn output(captured: &Captured) -> Option<XmlString> {
    let tail = shape::tail(captured);
    let left_out = captured.bytes > shape::TAIL as u64;
    match (tail.is_empty(), left_out, &captured.path) {
        (true, ..) => None,
        (_, false, _) => Some(xml(&tail)),
        (_, true, None) => Some(xml(&format!("[the end of {} bytes]\n{tail}", captured.bytes))),
        (_, true, Some(path)) => Some(xml(&format!(
            "[the end of {} bytes, all of them in {}]\n{tail}",
            captured.bytes,
            path.display()
        ))),
    }
}

/// Text without what XML 1.0 cannot hold. [`XmlString`] takes out control characters and terminal
/// escapes; these two are left.
fn xml(text: &str) -> XmlString {
    if text.contains(['\u{FFFE}', '\u{FFFF}']) {
        XmlString::new(text.replace(['\u{FFFE}', '\u{FFFF}'], "\u{FFFD}"))
    } else {
        XmlString::new(text)
    }
}
