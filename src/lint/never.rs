//! Rules about what never happens: tasks and callbacks that nothing can start, groups of nothing.

use crate::graph::{OnWorkerDeath, ReturnWhen, Size, Task, When};
use crate::job::Trigger;
use crate::lint::scene::{Found, Scene, is_first};
use crate::manifest::Spanned;

/// What reacts to the end of other tasks needs other tasks.
pub(super) fn after_nothing(scene: &Scene<'_>, found: &mut Found<'_>) {
    for task in scene.tasks().filter(|task| is_first(task.node)) {
        let (message, hint) = match task.node.when {
            When::Success => continue,
            When::Failure => (
                format!("{} never runs: it is `after` nothing that could fail", task.title()),
                "say what it is for: after = [\"build\"], or after = [\"*\"] for all",
            ),
            When::Always => (
                format!("{} starts at once: it is `after` nothing", task.title()),
                "say what it cleans up: after = [\"build\"], or after = [\"*\"] for all",
            ),
        };
        let when = task.written.when.as_deref().and_then(Spanned::entry);
        found.add(message, |it| it.at(when.or_else(|| task.name_range())).hint(hint));
    }
}

/// Something that is for failures and comes after what cannot fail in a way that counts.
pub(super) fn nothing_can_fail(scene: &Scene<'_>, found: &mut Found<'_>) {
    let graph = scene.graph();
    let mut harmless = vec![false; graph.tasks().len()];
    for &id in graph.in_order() {
        let task = graph.task(id);
        // What is cancelled because of a failure before it passes that on, allowed or not.
        let own = match &task.size {
            Size::One => task.allow_failure,
            Size::Group { members, wait } => *members == 0 || task.allow_failure && wait.is_none(),
            // Its items may turn out to be none.
            Size::Open { .. } => false,
        };
        harmless[id.index()] = own && task.before().all(|it| harmless[it.index()]);
    }
    for task in scene.tasks() {
        let after: Vec<_> = task.node.before().copied().collect();
        let idle = task.node.when == When::Failure && !after.is_empty();
        if idle && after.iter().all(|it| harmless[it.index()]) {
            let message = format!(
                "{} never runs: no failure of what it is `after` counts as one",
                task.title()
            );
            let written = task.written.after.as_deref().and_then(Spanned::entry);
            found.add(message, |it| {
                it.at(written.or_else(|| task.name_range()))
                    .label(format!("{}: `allow_failure`, or nothing to run", scene.names(&after)))
                    .hint("take `allow_failure` away, or write when = \"always\"")
            });
        }
    }
}

/// A callback for what happens to none of its tasks.
pub(super) fn callback_of_what_cannot_happen(scene: &Scene<'_>, found: &mut Found<'_>) {
    let graph = scene.graph();
    let retried = graph.tasks().any(|(_, task)| can_retry(scene, task));
    let timed = graph.tasks().any(|(_, task)| task.timeout.is_some());
    for (callback, written) in scene.callbacks() {
        // Those of a callback that is for all are looked at once for all callbacks.
        let any = |among_all: bool, has: &dyn Fn(&Task) -> bool| match &callback.tasks {
            None => among_all,
            Some(ids) => ids.iter().any(|id| has(graph.task(*id))),
        };
        let needed = match callback.on[..] {
            [Trigger::Retry] if !any(retried, &|task| can_retry(scene, task)) => "`retry`",
            [Trigger::Timeout] if !any(timed, &|task| task.timeout.is_some()) => "`timeout`",
            _ => continue,
        };
        found.add(format!("this callback is never called: no task of it has a {needed}"), |it| {
            let on = written.on.as_deref().and_then(Spanned::entry);
            it.at(on).hint(format!("give a task a {needed}, or leave the callback out"))
        });
    }
}

fn can_retry(scene: &Scene<'_>, task: &Task) -> bool {
    let executor = scene.graph().executor(task.executor);
    task.retry.count > 0 || executor.on_worker_death == OnWorkerDeath::Retry
}

/// A group without members does nothing, and fails a wait for successes.
pub(super) fn no_members(scene: &Scene<'_>, found: &mut Found<'_>) {
    for task in scene.tasks().filter(|task| task.node.size.is_group()) {
        let Size::Group { members: 0, wait } = &task.node.size else { continue };
        let asks = wait.as_ref().is_some_and(|wait| {
            matches!(wait.return_when, ReturnWhen::FirstSuccess | ReturnWhen::Succeeded(_))
        });
        let then = if asks { ", so its wait for a success fails" } else { "" };
        let map = task.written.map.as_deref().and_then(Spanned::entry);
        let map = map.or_else(|| task.written.matrix.as_deref().and_then(Spanned::entry));
        found.add(format!("{} has no futures{then}", task.title()), |it| {
            it.at(map.or_else(|| task.name_range()))
                .label("this gives it none")
                .hint("give it items, or leave the task out")
        });
    }
}
