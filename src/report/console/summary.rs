//! The end summary: every failure with the end of its output and its place in the manifest, then one
//! line of counts and time.

use std::fmt::Write as _;

use anstyle::Style;

use super::screen::Screen;
use super::{DIM, GREEN, RED, YELLOW, label, name};
use crate::exit::Exit;
use crate::id::{NodeId, TaskId};
use crate::measure;
use crate::outcome::Captured;
use crate::report::words;
use crate::shape::RunView;

/// So many lines of each stream of a failed future are repeated.
const LINES: usize = 10;
/// Beyond so many failures, the output of further ones is not repeated.
const WITH_OUTPUT: usize = 100;

/// Shows the summary; if jobrun shall be quiet, only if something went wrong.
pub(super) fn show(screen: &mut Screen, run: &RunView<'_>, verbosity: i8) {
    let exit = Exit::of(&run.job.graph, run.ledger);
    let counts = run.counts();
    let mut gap = counts.total > 1;
    for task in measure::failed_groups(&run.job.graph, run.ledger) {
        if has_own_wait(run, task) {
            open(screen, &mut gap);
            group(screen, run, task);
        }
    }
    for (place, node) in failures(run).enumerate() {
        open(screen, &mut gap);
        failure(screen, run, node, place < WITH_OUTPUT);
    }
    if verbosity < 0 && exit == Exit::Succeeded {
        return;
    }
    let job = words::plain(&run.job.name, false);
    for remark in words::remarks(run) {
        let remark = screen.painted(YELLOW, &remark);
        screen.say(&format!("{job}: {remark}"));
    }
    let tone = match exit {
        Exit::Succeeded => GREEN,
        Exit::Interrupted(_) => YELLOW,
        _ => RED,
    };
    let line = screen.painted(tone, &words::headline(run, &counts));
    screen.say(&format!("{job}: {line}"));
}

/// Those that are allowed, then those that are not: what matters most comes last.
fn failures<'a>(run: &RunView<'a>) -> impl Iterator<Item = NodeId> + 'a {
    let (graph, ledger) = (&run.job.graph, run.ledger);
    measure::failures(graph, ledger, true).chain(measure::failures(graph, ledger, false))
}

/// Whether a group's verdict stands for its members.
pub(super) fn has_own_wait(run: &RunView<'_>, task: TaskId) -> bool {
    run.job.graph.task(task).size.wait().is_some()
}

/// An empty line between what happened and what went wrong.
fn open(screen: &mut Screen, gap: &mut bool) {
    if std::mem::take(gap) {
        screen.say("");
    }
}

fn group(screen: &mut Screen, run: &RunView<'_>, task: TaskId) {
    let group = words::plain(run.task_name(task), false);
    let why = words::group_failure(run, task);
    let place = place(screen, run, task);
    screen.labelled(RED, "FAIL", &format!("group {group}  {why}{place}"));
}

fn failure(screen: &mut Screen, run: &RunView<'_>, node: NodeId, with_output: bool) {
    let record = run.record(node);
    let task = run.job.graph.task_of(node);
    let (style, word) = label(record.state);
    let style = if run.job.graph.task(task).allow_failure { YELLOW } else { style };
    let why = words::why(run, record);
    let mut message = why.lines();
    let first = words::plain(message.next().unwrap_or_default(), false);
    let mut rest = format!("{}  {first}", name(run, node));
    if record.attempts > 1 {
        // Writing to a string does not fail.
        let _ = write!(rest, ", attempt {}", record.attempts);
    }
    if run.job.graph.task(task).allow_failure {
        rest.push_str(", which is allowed");
    }
    rest.push_str(&place(screen, run, task));
    screen.labelled(style, word, &rest);
    for line in message {
        let bar = screen.painted(DIM, "|");
        screen.say(&format!("     {bar} {}", words::plain(line, false)));
    }
    if let Some(detail) = record.detail.as_ref().filter(|_| with_output) {
        let both = detail.stdout.bytes > 0 && detail.stderr.bytes > 0;
        tail(screen, &detail.stdout, both.then_some("stdout"));
        tail(screen, &detail.stderr, both.then_some("stderr"));
    }
}

/// The last lines of a stream. A bar in front keeps them from being taken for jobrun's own words, or
/// for commands to the system that reads the log.
fn tail(screen: &mut Screen, captured: &Captured, title: Option<&str>) {
    let lines = words::last_lines(captured, LINES);
    if lines.is_empty() {
        return;
    }
    let bar = screen.painted(DIM, "|");
    let mut text = Vec::with_capacity(lines.len() + 2);
    if let Some(title) = title {
        text.push(format!("     {bar} {}", screen.painted(Style::new().underline(), title)));
    }
    text.extend(lines.iter().map(|line| format!("     {bar} {line}")));
    if let Some(path) = &captured.path {
        let path = path.display().to_string();
        text.push(format!("     {bar} all of it: {}", words::plain(&path, false)));
    }
    screen.say(&text.join("\n"));
}

fn place(screen: &Screen, run: &RunView<'_>, task: TaskId) -> String {
    let place = words::place(run, task).map(|place| screen.painted(DIM, &format!("({place})")));
    place.map(|place| format!("  {place}")).unwrap_or_default()
}
