//! The `JUnit` report: a test suite for each task, a test case for each future, written one by one.
//! Knows nothing of files.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use anstream::adapter::strip_str;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use quick_xml::writer::ElementWriter;

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
    let mut xml = Writer::new_with_indent(out, b' ', 4);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let tally = run.job.graph.futures().map(|node| Verdict::of(run, node)).collect::<Tally>();
    xml.create_element("testsuites")
        .with_attribute(("name", &*clean(run, &run.job_name())))
        .with_attribute(("tests", &*tally.tests.to_string()))
        .with_attribute(("skipped", &*tally.skipped.to_string()))
        .with_attribute(("failures", &*tally.failures.to_string()))
        .with_attribute(("errors", &*tally.errors.to_string()))
        .with_attribute(("time", &*seconds(run.ended().unwrap_or_default().since(Time::ZERO))))
        .write_inner_content(|xml| {
            run.job.graph.tasks().try_for_each(|(task, _)| suite(xml, run, task))
        })?;
    xml.write_indent()
}

type Xml<'a> = Writer<&'a mut dyn Write>;

/// What a future is to those who count tests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Errored,
    Skipped,
}

impl Verdict {
    fn of(run: &RunView<'_>, node: NodeId) -> Self {
        let record = run.record(node);
        let allowed = || run.job.graph.task(run.job.graph.task_of(node)).allow_failure;
        match record.state {
            State::Succeeded => Self::Passed,
            State::Failed | State::TimedOut if !allowed() => Self::of_failure(record.failure()),
            _ => Self::Skipped,
        }
    }

    fn of_failure(failure: Option<&Failure>) -> Self {
        match failure.map(|failure| failure.kind) {
            Some(
                FailureKind::Panic
                | FailureKind::Spawn
                | FailureKind::WorkerDeath
                | FailureKind::Template
                | FailureKind::BrokenExecutor,
            ) => Self::Errored,
            _ => Self::Failed,
        }
    }
}

/// How many tests there are of which verdict.
#[derive(Default)]
struct Tally {
    tests: usize,
    skipped: usize,
    failures: usize,
    errors: usize,
}

impl FromIterator<Verdict> for Tally {
    fn from_iter<I: IntoIterator<Item = Verdict>>(verdicts: I) -> Self {
        let mut tally = Self::default();
        for verdict in verdicts {
            tally.tests += 1;
            match verdict {
                Verdict::Passed => {}
                Verdict::Failed => tally.failures += 1,
                Verdict::Errored => tally.errors += 1,
                Verdict::Skipped => tally.skipped += 1,
            }
        }
        tally
    }
}

fn suite(xml: &mut Xml<'_>, run: &RunView<'_>, task: TaskId) -> io::Result<()> {
    let members = || run.job.graph.members(task).map(NodeId);
    let tally = members().map(|node| Verdict::of(run, node)).collect::<Tally>();
    let time: Duration = members().map(|node| measure::busy(run.record(node))).sum();
    let name = clean(run, &run.task_name(task)).into_owned();
    let class = clean(run, &run.job_name()).into_owned() + "." + &*name;
    let suite = xml
        .create_element("testsuite")
        .with_attribute(("name", &*name))
        .with_attribute(("tests", &*tally.tests.to_string()))
        .with_attribute(("skipped", &*tally.skipped.to_string()))
        .with_attribute(("errors", &*tally.errors.to_string()))
        .with_attribute(("failures", &*tally.failures.to_string()))
        .with_attribute(("time", &*seconds(time)))
        .with_attribute(("timestamp", &*shape::calendar(run.started_at)));
    if tally.tests == 0 {
        suite.write_empty()?;
    } else {
        suite.write_inner_content(|xml| {
            members().try_for_each(|node| case(xml, run, &class, node))
        })?;
    }
    Ok(())
}

fn case(xml: &mut Xml<'_>, run: &RunView<'_>, class: &str, node: NodeId) -> io::Result<()> {
    let record = run.record(node);
    let verdict = Verdict::of(run, node);
    let case = xml
        .create_element("testcase")
        .with_attribute(("name", &*clean(run, &run.name(node).to_string())))
        .with_attribute(("classname", class))
        .with_attribute(("time", &*seconds(measure::busy(record))));
    let Some(detail) = record.detail.as_deref() else {
        return if verdict == Verdict::Passed {
            case.write_empty().map(drop)
        } else {
            case.write_inner_content(|xml| status(xml, run, node, verdict)).map(drop)
        };
    };
    let streams = [("system-out", output(&detail.stdout)), ("system-err", output(&detail.stderr))];
    let silent = streams.iter().all(|(_, text)| text.is_none());
    let reruns = if verdict == Verdict::Skipped { &[][..] } else { &detail.earlier[..] };
    if verdict == Verdict::Passed && silent && reruns.is_empty() {
        return case.write_empty().map(drop);
    }
    case.write_inner_content(|xml| {
        status(xml, run, node, verdict)?;
        reruns.iter().try_for_each(|attempt| rerun(xml, run, attempt, verdict))?;
        for (name, text) in streams {
            if let Some(text) = text {
                xml.create_element(name).write_text_content(BytesText::new(&clean(run, &text)))?;
            }
        }
        Ok(())
    })
    .map(drop)
}

/// Why a test did not pass; nothing for one that did.
fn status(xml: &mut Xml<'_>, run: &RunView<'_>, node: NodeId, verdict: Verdict) -> io::Result<()> {
    let record = run.record(node);
    let why = words::why(run, record);
    let tag = match verdict {
        Verdict::Passed => return Ok(()),
        Verdict::Failed => "failure",
        Verdict::Errored => "error",
        Verdict::Skipped => {
            let message = clean(run, &skipped(record.state, &why)).into_owned();
            let element = xml.create_element("skipped").with_attribute(("message", &*message));
            return element.write_empty().map(drop);
        }
    };
    let element = xml.create_element(tag).with_attribute(("message", &*clean(run, &why)));
    let element = typed(element, record.failure());
    match words::place(run, run.job.graph.task_of(node)) {
        Some(place) => {
            let text = format!("{place}: {why}");
            element.write_text_content(BytesText::new(&clean(run, &text))).map(drop)
        }
        None => element.write_empty().map(drop),
    }
}

fn skipped(state: State, why: &str) -> String {
    let word = words::state(state);
    match (state.is_failure(), why.is_empty()) {
        (true, _) => format!("{word}, which is allowed: {why}"),
        (false, true) => word.to_owned(),
        (false, false) => format!("{word}: {why}"),
    }
}

/// A failed attempt that another followed: a flaky test if that one passed.
fn rerun(
    xml: &mut Xml<'_>,
    run: &RunView<'_>,
    attempt: &Attempt,
    verdict: Verdict,
) -> io::Result<()> {
    let failure = attempt.failure.as_ref();
    let tag = match (verdict == Verdict::Passed, Verdict::of_failure(failure)) {
        (true, Verdict::Errored) => "flakyError",
        (true, _) => "flakyFailure",
        (false, Verdict::Errored) => "rerunError",
        (false, _) => "rerunFailure",
    };
    let element = xml
        .create_element(tag)
        .with_attribute(("time", &*seconds(attempt.ended.since(attempt.started))));
    let element = match failure {
        Some(it) => typed(element.with_attribute(("message", &*clean(run, &it.message))), failure),
        None => element,
    };
    element.write_inner_content(|_| Ok(())).map(drop)
}

fn typed<'a, W: Write>(
    element: ElementWriter<'a, W>,
    failure: Option<&Failure>,
) -> ElementWriter<'a, W> {
    match failure {
        Some(failure) => element.with_attribute(("type", failure.kind.word())),
        None => element,
    }
}

fn output(captured: &Captured) -> Option<String> {
    let tail = shape::tail(captured);
    let left_out = captured.bytes > shape::TAIL as u64;
    match (tail.is_empty(), left_out, &captured.path) {
        (true, ..) => None,
        (_, false, _) => Some(tail.into()),
        (_, true, None) => Some(format!("[the end of {} bytes]\n{tail}", captured.bytes)),
        (_, true, Some(path)) => Some(format!(
            "[the end of {} bytes, all of them in {}]\n{tail}",
            captured.bytes,
            path.display()
        )),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// Text without terminal escapes and without what XML 1.0 cannot hold.
fn clean<'a>(run: &RunView<'_>, text: &'a str) -> Cow<'a, str> {
    let odd = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r') || c == '\u{7F}';
    let no_character = ['\u{FFFE}', '\u{FFFF}'];
    if !text.contains(odd) && !text.contains(no_character) {
        return text.into();
    }
    let clean = strip_str(text).to_string().replace(odd, "").replace(no_character, "\u{FFFD}");
    run.masker.owned(clean).into()
}
