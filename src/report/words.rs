//! How things are said to people: durations, counts, causes, places. Escapes what could be taken
//! for more than text. Knows nothing of screens or files.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use crate::graph::{Amount, ReturnWhen};
use crate::guard::describe_signal;
use crate::id::{NodeId, TaskId};
use crate::job::Place;
use crate::ledger::Record;
use crate::measure::{self, Counts};
use crate::outcome::{Because, Captured, Cause, Return, State};
use crate::report::filter;
use crate::shape::RunView;

/// A duration at the precision that people care for: `21µs`, `0.2ms`, `12ms`, `1.23s`, `2m 03s`,
/// `1h 02m`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration.as_secs() {
        _ if seconds < 0.000_1 => format!("{:.0}µs", seconds * 1e6),
        _ if seconds < 0.009_95 => format!("{:.1}ms", seconds * 1e3),
        _ if seconds < 0.9995 => format!("{:.0}ms", seconds * 1e3),
        _ if seconds < 59.995 => format!("{seconds:.2}s"),
        whole @ ..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        whole => format!("{}h {:02}m", whole / 3600, whole / 60 % 60),
    }
}

/// A duration in seconds with two digits, up to a minute; beyond as [`duration`].
pub fn seconds(time: Duration) -> String {
    if time.as_secs_f64() < 59.995 { format!("{:.2}s", time.as_secs_f64()) } else { duration(time) }
}

/// Text that can do nothing but be read: control characters, terminal escapes and what changes the
/// direction of writing are shown as `\u{1b}`, and so is the beginning of what a CI system could take for a
/// command. Tabs stay; so do line breaks if `lines` says so.
pub fn plain(text: &str, lines: bool) -> Cow<'_, str> {
    let kept = |c: char| c == '\t' || (lines && c == '\n') || !filter::is_active(c);
    let mut text = Cow::Borrowed(text);
    if !text.chars().all(kept) {
        let mut escaped = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            if kept(c) {
                escaped.push(c);
            } else {
                escaped.extend(c.escape_default());
            }
        }
        text = Cow::Owned(escaped);
    }
    filter::without_commands(&text).map_or(text, Cow::Owned)
}

/// The last lines of a stream, at most so many, without terminal escapes; what else is not text is
/// escaped.
pub fn last_lines(run: &RunView<'_>, captured: &Captured, most: usize) -> Vec<String> {
    let tail = crate::shape::tail(captured);
    let text = run.masker.owned(anstream::adapter::strip_str(&tail).to_string());
    let text = text.strip_suffix('\n').unwrap_or(&text);
    if text.is_empty() {
        return Vec::new();
    }
    let lines: Vec<&str> = text.split('\n').collect();
    let last = &lines[lines.len().saturating_sub(most)..];
    last.iter().map(|line| plain(line.trim_end_matches('\r'), false).into_owned()).collect()
}

/// The number that goes with a thing: `1 future`, `2 futures`.
pub fn many(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// What became of the futures, without what there is none of: `3 succeeded, 1 failed`.
pub fn counts(counts: &Counts) -> String {
    let named = [
        (counts.succeeded, "succeeded"),
        (counts.failed, "failed"),
        (counts.timed_out, "timed out"),
        (counts.cancelled, "cancelled"),
        (counts.skipped, "skipped"),
        (counts.total.saturating_sub(counts.done()), "not done"),
    ];
    let there = named.iter().filter(|(count, _)| *count > 0);
    let mut text = there.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>();
    if text.is_empty() {
        text.push("nothing to do".to_owned());
    }
    if counts.retried > 0 {
        text.push(format!("{} retried", counts.retried));
    }
    text.join(", ")
}

/// A state as people say it.
pub const fn state(state: State) -> &'static str {
    match state {
        State::TimedOut => "timed out",
        other => other.word(),
    }
}

/// Why a future did not succeed: its error, or what it was cancelled for. Empty if it did.
pub fn why(run: &RunView<'_>, record: &Record) -> String {
    match (record.failure(), record.cause()) {
        (Some(failure), _) if failure.message.is_empty() => failure.kind.word().to_owned(),
        (Some(failure), _) => failure.message.clone(),
        (None, Some(cause)) => cause_of(run, cause),
        (None, None) => String::new(),
    }
}

/// What a future was cancelled for.
fn cause_of(run: &RunView<'_>, cause: Cause) -> String {
    match cause {
        Cause::Dependency(node) => {
            format!("{} {}", run.name(node), ended_as(run, node))
        }
        Cause::Wait(Some(gate)) => format!("the wait of {} returned", run.name(gate)),
        Cause::Wait(None) => "the wait returned".to_owned(),
        Cause::Interrupt => "interrupted".to_owned(),
    }
}

fn ended_as(run: &RunView<'_>, node: NodeId) -> &'static str {
    match run.record(node).state {
        State::Pending | State::Running => "did not succeed",
        ended => state(ended),
    }
}

/// Why a wait returned and when: `first_exception after 1.20s`.
pub fn returned(how: &Return) -> String {
    format!("{} after {}", how.because.word(), seconds(how.after))
}

/// What a wait that did not simply see everything done has to say for itself. `left` futures of
/// `all` were not done when it returned.
pub fn early(how: &Return, (left, all): (u32, u32)) -> Option<String> {
    let after = seconds(how.after);
    match how.because {
        Because::AllCompleted => None,
        Because::Timeout => {
            Some(format!("the wait timed out after {after}: {left} (of {all}) futures unfinished"))
        }
        Because::Interrupt => {
            Some(format!("interrupted after {after}: {left} (of {all}) futures unfinished"))
        }
        Because::Cancelled => {
            Some(format!("cancelled after {after}: {left} (of {all}) futures unfinished"))
        }
        Because::Unreachable => Some(format!(
            "the wait returned after {after}: what it waited for could not come any more"
        )),
        because => Some(format!("the wait returned after {after}: {}", because.word())),
    }
}

/// How a group's failed wait is explained.
pub fn group_failure(run: &RunView<'_>, task: TaskId) -> String {
    let left = measure::unfinished_in_group(&run.job.graph, run.ledger, task);
    let how = run.ledger.group(task);
    how.and_then(|how| early(how, left)).unwrap_or_else(|| "a member failed".to_owned())
}

/// Where a task is written down: `jobs/x.toml:12`. `None` for one that is written nowhere.
pub fn place(run: &RunView<'_>, task: TaskId) -> Option<String> {
    written_at(run, run.job.spec(task).place)
}

/// The same for a place in the manifest or in what it includes.
pub fn written_at(run: &RunView<'_>, place: Place) -> Option<String> {
    let file = run.shown(run.job.origin.file(place)?);
    (place.line > 0).then(|| format!("{}:{}", plain(&file, false), place.line))
}

/// What the job's wait waits for, as the manifest says it.
pub fn policy(return_when: ReturnWhen) -> String {
    let of = |word: &str, amount| match amount {
        Amount::Count(count) => format!("{word} = {count}"),
        Amount::Percent(percent) => format!("{word} = {percent}%"),
    };
    match return_when {
        ReturnWhen::AllCompleted => "all_completed".to_owned(),
        ReturnWhen::FirstCompleted => "first_completed".to_owned(),
        ReturnWhen::FirstException => "first_exception".to_owned(),
        ReturnWhen::FirstSuccess => "first_success".to_owned(),
        ReturnWhen::Completed(amount) => of("completed", amount),
        ReturnWhen::Succeeded(amount) => of("succeeded", amount),
        ReturnWhen::Failed(amount) => of("failed", amount),
    }
}

/// One line that says how the run ended: counts, why the wait returned, time.
pub fn headline(run: &RunView<'_>, counted: &Counts) -> String {
    let mut line = format!("{} in ", counts(counted));
    let _ = write!(line, "{}", seconds(Duration::from_secs_f64(elapsed(run))));
    line
}

/// What is special about how the run ended, a line each: an interrupt, a wait that returned early.
pub fn remarks(run: &RunView<'_>) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(number) = run.ledger.interrupted {
        remarks.push(format!("interrupted by {}", describe_signal(number)));
    }
    if let Some(returned) = &run.ledger.returned
        && let Some(early) = early(&returned.how, measure::unfinished(&run.job.graph, run.ledger))
    {
        remarks.push(early);
    }
    remarks
}

/// Seconds from the start of the run to its end, or to now as far as it is known.
pub fn elapsed(run: &RunView<'_>) -> f64 {
    run.ended().unwrap_or_default().seconds()
}
