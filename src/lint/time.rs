//! Rules about time: what takes longer than it may, and pauses that there are none of.

use std::ops::Range;
use std::time::Duration;

use crate::graph::{Graph, ReturnWhen, Size, Task};
use crate::id::TaskId;
use crate::lint::scene::{Found, Scene};
use crate::manifest::{Retry, Spanned};
use crate::outcome::FailureKind;
use crate::plan;

/// The job's wait gives up before its tasks may have ended: by their estimates, or if every attempt
/// takes all the time it may.
pub(super) fn job_above_timeout(scene: &Scene<'_>, found: &mut Found<'_>) {
    let graph = scene.graph();
    let wait = graph.wait();
    let (Some(timeout), true) = (wait.timeout, waits_for_all(wait.return_when)) else { return };
    let written = scene.manifest.wait.as_deref().and_then(|wait| wait.timeout.as_deref());
    let place = written.and_then(Spanned::range);
    let limit = format!("the job gives up after {}", shown(timeout));

    let estimated = graph.tasks().any(|(_, task)| task.estimate.is_some());
    let makespan = if estimated { plan::unhurried(graph) } else { Duration::ZERO };
    if makespan > timeout {
        let message = format!("by its estimates the job takes {}", shown(makespan));
        found.add(message, |it| {
            it.at(place).label(limit).hint("give the job more time, or its tasks more workers")
        });
        return;
    }
    let (worst, chain) = worst_chain(graph);
    if worst > timeout {
        let (what, verb) = match chain.as_slice() {
            [one] => (scene.quoted(*one), "may take"),
            many => (scene.names(many), "may take, one after the other,"),
        };
        found.add(format!("{what} {verb} {}", shown(worst)), |it| {
            it.at(place).label(limit).hint("give the job more time, or its tasks less")
        });
    }
}

/// Whether a policy lasts until all is done if nothing goes wrong.
fn waits_for_all(policy: ReturnWhen) -> bool {
    matches!(policy, ReturnWhen::AllCompleted | ReturnWhen::FirstException | ReturnWhen::Failed(_))
}

/// The chain of tasks that may take longest, of those that the job waits for. The members of a group
/// may all run side by side.
fn worst_chain(graph: &Graph) -> (Duration, Vec<TaskId>) {
    let mut worst = vec![Duration::ZERO; graph.tasks().len()];
    let mut via: Vec<Option<TaskId>> = vec![None; worst.len()];
    let mut last = None;
    for &id in graph.in_order().iter().filter(|id| graph.is_inside(**id)) {
        let task = graph.task(id);
        let before = task.before().copied().max_by_key(|it| worst[it.index()]);
        via[id.index()] = before;
        let before = before.map_or(Duration::ZERO, |it| worst[it.index()]);
        worst[id.index()] = before.saturating_add(longest(task));
        if last.is_none_or(|it: TaskId| worst[id.index()] > worst[it.index()]) {
            last = Some(id);
        }
    }
    let longest = last.map_or(Duration::ZERO, |it| worst[it.index()]);
    let mut chain = Vec::new();
    while let Some(id) = last {
        chain.push(id);
        last = via[id.index()].filter(|it| !worst[it.index()].is_zero());
    }
    chain.reverse();
    (longest, chain)
}

/// How long a future may take with all its attempts; its estimate if nothing bounds it.
fn longest(task: &Task) -> Duration {
    let Some(timeout) = task.timeout else { return task.estimate.unwrap_or_default() };
    let attempts = timeout.saturating_mul(task.retry.count.saturating_add(1));
    let all = attempts.saturating_add(pauses(task));
    if matches!(task.size, Size::Group { members: 0, .. }) {
        return Duration::ZERO;
    }
    let limit = task.size.wait().and_then(|wait| wait.timeout);
    limit.map_or(all, |limit| limit.min(all))
}

/// All pauses between attempts together, without those beyond any that matter.
fn pauses(task: &Task) -> Duration {
    const MOST: u32 = 1000;
    let retry = &task.retry;
    let mut pause = retry.delay.as_secs_f64();
    let most = retry.max_delay.map_or(f64::MAX, |most| most.as_secs_f64());
    let mut sum = 0.0;
    for _ in 0..retry.count.min(MOST) {
        sum += pause.min(most);
        pause *= retry.backoff;
    }
    Duration::try_from_secs_f64(sum).unwrap_or(Duration::MAX)
}

/// A future that is expected to take longer than it may.
pub(super) fn estimate_above_timeout(scene: &Scene<'_>, found: &mut Found<'_>) {
    for task in scene.tasks() {
        let (Some(estimate), Some(timeout)) = (task.node.estimate, task.node.timeout) else {
            continue;
        };
        if estimate > timeout {
            let message = format!(
                "{} is expected to take {}, and may take {}",
                task.title(),
                shown(estimate),
                shown(timeout)
            );
            let written = task.written.estimate.as_deref().and_then(Spanned::entry);
            let limit = task.written.timeout.as_deref().and_then(Spanned::entry);
            found.add(message, |it| {
                it.at(written.or_else(|| task.name_range()))
                    .hint("raise its `timeout`, or correct its `estimate`")
                    .note(limit, "it is stopped after this")
            });
        }
    }
}

/// Keys of a `retry` that say something about pauses or failures which there are none of.
pub(super) fn retry_of_nothing(scene: &Scene<'_>, found: &mut Found<'_>) {
    let defaults = scene.manifest.defaults.iter().map(|defaults| &*defaults.0);
    let tasks = scene.manifest.task.iter().map(|task| &task.value);
    for retry in defaults.chain(tasks).filter_map(|task| task.retry.as_deref()) {
        if retry.count.as_ref().is_some_and(|count| count.value == 0) {
            never_again(retry, found);
            continue;
        }
        no_pauses(retry, found);
        if let (Some(on), Some(codes)) = (&retry.on, &retry.on_exit)
            && on.0.iter().all(|kind| kind.value != FailureKind::Exit)
        {
            found.add("`on_exit` does nothing: `on` has no \"exit\"", |it| {
                it.at(codes.entry())
                    .hint("add \"exit\" to `on`, or leave `on_exit` out")
                    .note(on.entry(), "only these are tried again")
            });
        }
    }
}

/// `count = 0` and something beside it.
fn never_again(retry: &Spanned<Box<Retry>>, found: &mut Found<'_>) {
    let keys = [
        ("delay", place(retry.delay.as_deref())),
        ("backoff", place(retry.backoff.as_deref())),
        ("max_delay", place(retry.max_delay.as_deref())),
        ("jitter", place(retry.jitter.as_deref())),
        ("on", place(retry.on.as_deref())),
        ("on_exit", place(retry.on_exit.as_deref())),
    ];
    if let Some((key, place)) = keys.into_iter().find_map(|(key, place)| Some((key, place?))) {
        found.add(format!("`{key}` does nothing where `count` is 0"), |it| {
            it.at(place)
                .hint("raise `count`, or write retry = 0")
                .note(retry.count.as_deref().and_then(Spanned::entry), "nothing is tried again")
        });
    }
}

fn no_pauses(retry: &Retry, found: &mut Found<'_>) {
    let delay = retry.delay.as_ref().and_then(|delay| delay.0).unwrap_or_default();
    let grows = retry.backoff.as_ref().is_some_and(|factor| (factor.0 - 1.0).abs() > f64::EPSILON);
    let again = retry.count.as_ref().map_or(1, |count| count.value);
    let mut add = |key: &str, place, why: &str, hint: &str| {
        found.add(format!("`{key}` does nothing{why}"), |it| it.at(place).hint(hint));
    };
    let add_delay = "add a pause: delay = \"1s\"";
    if delay.is_zero() {
        if grows {
            add("backoff", place(retry.backoff.as_deref()), " without a `delay`", add_delay);
        }
        if retry.jitter.as_ref().is_some_and(|jitter| jitter.value) {
            add("jitter", place(retry.jitter.as_deref()), " without a `delay`", add_delay);
        }
        if retry.max_delay.is_some() {
            add("max_delay", place(retry.max_delay.as_deref()), " without a `delay`", add_delay);
        }
    } else if grows && again < 2 {
        let why = ": one more attempt has one pause";
        add("backoff", place(retry.backoff.as_deref()), why, "say how many attempts: count = 3");
    } else if !grows
        && let Some(most) = retry.max_delay.as_ref().and_then(|most| most.0)
        && most >= delay
    {
        let why = " without a `backoff`";
        add("max_delay", place(retry.max_delay.as_deref()), why, "let pauses grow: backoff = 2.0");
    }
}

fn place<T>(key: Option<&Spanned<T>>) -> Option<Range<usize>> {
    key.and_then(Spanned::entry)
}

fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
