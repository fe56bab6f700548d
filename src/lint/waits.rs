//! Rules about waits: policies and what becomes of the rest.

use std::ops::Range;

use crate::graph::{self, Amount, OnReturn, ReturnWhen, Size};
use crate::lint::scene::{Found, Scene};
use crate::manifest::{Spanned, Wait};

/// A wait, as written and as it is.
struct Policy<'a> {
    written: &'a Wait,
    wait: graph::Wait,
    /// So many futures it looks at, if that is known.
    total: Option<u32>,
    /// Whether it is the job's.
    of_job: bool,
}

/// The waits that are written down.
fn policies<'a>(scene: &Scene<'a>) -> Vec<Policy<'a>> {
    let graph = scene.graph();
    let inside = graph.tasks().filter(|(id, _)| graph.is_inside(*id));
    let total = inside.map(|(_, task)| known(&task.size)).sum();
    let job = scene.manifest.wait.as_deref().map(|written| Policy {
        written: &written.value,
        wait: graph.wait().clone(),
        total,
        of_job: true,
    });
    let groups = scene.tasks().filter_map(|task| {
        let written = &task.written.wait.as_deref()?.value;
        let wait = task.node.size.wait()?.clone();
        Some(Policy { written, wait, total: known(&task.node.size), of_job: false })
    });
    job.into_iter().chain(groups).collect()
}

/// A wait that returns when all is done leaves nothing to cancel, drain or continue.
pub(super) fn rest_of_nothing(scene: &Scene<'_>, found: &mut Found<'_>) {
    for policy in policies(scene) {
        let Some(on_return) = &policy.written.on_return else { continue };
        let patient = policy.wait.return_when == ReturnWhen::AllCompleted;
        let said = policy.wait.on_return != OnReturn::Cancel;
        if patient && policy.wait.timeout.is_none() && said {
            found.add("`on_return` does nothing here: all is done when this wait returns", |it| {
                it.at(on_return.entry()).hint(
                    "leave it out, or add a `timeout` or a `return_when` that returns earlier",
                )
            });
        }
    }
}

/// A wait for more failures than there are futures waits for all.
pub(super) fn more_failures_than_futures(scene: &Scene<'_>, found: &mut Found<'_>) {
    for policy in policies(scene) {
        let ReturnWhen::Failed(Amount::Count(wanted)) = policy.wait.return_when else { continue };
        if let Some(total) = policy.total.filter(|total| (1..wanted).contains(total)) {
            let message = format!(
                "{wanted} failures of {} can never be reached: this waits for all",
                futures(total)
            );
            found.add(message, |it| {
                it.at(place(policy.written)).hint("ask for fewer, or write \"all_completed\"")
            });
        }
    }
}

/// A failure that is allowed does not release a wait for failures.
pub(super) fn failures_that_are_allowed(scene: &Scene<'_>, found: &mut Found<'_>) {
    let graph = scene.graph();
    let mut inside = graph.tasks().filter(|(id, _)| graph.is_inside(*id)).peekable();
    let some = inside.peek().is_some();
    if !some || !inside.all(|(_, task)| task.allow_failure) {
        return;
    }
    for policy in policies(scene).iter().filter(|policy| policy.of_job) {
        if matches!(policy.wait.return_when, ReturnWhen::FirstException | ReturnWhen::Failed(_)) {
            found.add("no failure can release this wait: every task has `allow_failure`", |it| {
                it.at(place(policy.written)).hint(
                    "take `allow_failure` away from the tasks that count, or write \
                     \"all_completed\"",
                )
            });
        }
    }
}

fn known(size: &Size) -> Option<u32> {
    (!size.is_open()).then(|| size.futures())
}

fn place(wait: &Wait) -> Option<Range<usize>> {
    wait.return_when.as_deref().and_then(Spanned::range)
}

fn futures(count: u32) -> String {
    if count == 1 { "1 future".to_owned() } else { format!("{count} futures") }
}
