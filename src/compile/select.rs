//! Which tasks of a job are to run: those asked for, what they need, and their clean-up.

use crate::compile::context::Context;
use crate::compile::names::{self, Names};
use crate::compile::tasks::Compiled;
use crate::diagnostic::Diagnostic;
use crate::graph::When;
use crate::id::TaskId;
use crate::job::{Callback, Trigger};

/// For each task whether it is to run.
pub(super) fn kept(context: &mut Context<'_>, names: &Names<'_>, tasks: &[Compiled]) -> Vec<bool> {
    let options = context.options;
    let skipped = marked(context, names, "--skip ", &options.skip, tasks.len());
    if options.tasks.is_empty() && options.tags.is_empty() {
        let mut kept: Vec<_> = skipped.iter().map(|skipped| !skipped).collect();
        drop_followers(tasks, &mut kept);
        refuse_empty(context, &kept);
        return kept;
    }
    let mut kept = marked(context, names, "", &options.tasks, tasks.len());
    mark_tagged(context, tasks, &mut kept);
    for (kept, skipped) in kept.iter_mut().zip(&skipped) {
        *kept &= !skipped;
    }
    add_needed(tasks, &skipped, &mut kept);
    add_clean_up(tasks, &skipped, &mut kept);
    drop_followers(tasks, &mut kept);
    refuse_empty(context, &kept);
    kept
}

/// The tasks that names or globs of the command line mean.
fn marked(
    context: &mut Context<'_>,
    names: &Names<'_>,
    flag: &str,
    patterns: &[String],
    count: usize,
) -> Vec<bool> {
    let mut marked = vec![false; count];
    for pattern in patterns {
        let ids = names::ids(names.find(pattern));
        if ids.is_empty() {
            let mut fault = names.unknown(context, pattern);
            fault.message = format!("{flag}{pattern}: {}", fault.message);
            context.fault(fault);
        }
        for id in ids {
            marked[id.index()] = true;
        }
    }
    marked
}

fn mark_tagged(context: &mut Context<'_>, tasks: &[Compiled], kept: &mut [bool]) {
    for tag in &context.options.tags {
        let mut found = false;
        for (task, kept) in tasks.iter().zip(kept.iter_mut()) {
            if task.spec.tags.contains(tag) {
                (*kept, found) = (true, true);
            }
        }
        if !found {
            let mut known: Vec<_> = tasks.iter().flat_map(|task| &task.spec.tags).collect();
            known.sort_unstable();
            known.dedup();
            let hint = context.guess(tag, known.iter().map(|tag| tag.as_str()));
            let message = format!("--tag {tag}: no task has the tag `{tag}`");
            context.fault(Diagnostic::error("unknown-tag", message).hint_if(hint));
        }
    }
}

/// Keeps what the kept tasks are after, and what that is after, and so on.
fn add_needed(tasks: &[Compiled], skipped: &[bool], kept: &mut [bool]) {
    let mut open: Vec<usize> = (0..tasks.len()).filter(|id| kept[*id]).collect();
    while let Some(id) = open.pop() {
        for needed in tasks[id].node.before() {
            let needed = needed.index();
            if !kept[needed] && !skipped[needed] {
                kept[needed] = true;
                open.push(needed);
            }
        }
    }
}

/// Keeps the `always` tasks after a kept one. What else they are after is not run for their sake:
/// what never started needs no clean-up.
fn add_clean_up(tasks: &[Compiled], skipped: &[bool], kept: &mut [bool]) {
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    for (id, task) in tasks.iter().enumerate() {
        if task.node.when == When::Always && !skipped[id] {
            for needed in task.node.before() {
                dependents[needed.index()].push(id);
            }
        }
    }
    let mut open: Vec<usize> = (0..tasks.len()).filter(|id| kept[*id]).collect();
    while let Some(id) = open.pop() {
        for &dependent in &dependents[id] {
            if !kept[dependent] {
                kept[dependent] = true;
                open.push(dependent);
            }
        }
    }
}

/// Leaves out those whose `each` follows a task that is left out: there is nothing to follow.
fn drop_followers(tasks: &[Compiled], kept: &mut [bool]) {
    let mut followers: Vec<(usize, usize)> = Vec::new();
    for (id, task) in tasks.iter().enumerate() {
        followers.extend(task.node.each.map(|each| (id, each.index())));
    }
    let mut changed = true;
    while changed {
        changed = false;
        for &(id, each) in &followers {
            if kept[id] && !kept[each] {
                (kept[id], changed) = (false, true);
            }
        }
    }
}

fn refuse_empty(context: &mut Context<'_>, kept: &[bool]) {
    if !context.has_faults() && !kept.is_empty() && !kept.contains(&true) {
        let fault = Diagnostic::error("nothing-selected", "no task is left to run")
            .hint("select tasks that are not skipped");
        context.fault(fault);
    }
}

/// Leaves only the kept tasks, with edges among themselves, and the callbacks that are for them.
pub(super) fn retain(kept: &[bool], tasks: &mut Vec<Compiled>, callbacks: &mut Vec<Callback>) {
    if kept.iter().all(|kept| *kept) {
        return;
    }
    let mut next = 0;
    let new_ids: Vec<Option<TaskId>> = kept
        .iter()
        .map(|kept| {
            kept.then(|| {
                next += 1;
                TaskId(next - 1)
            })
        })
        .collect();
    let renumber = |ids: &mut Vec<TaskId>| {
        *ids = ids.iter().filter_map(|id| new_ids[id.index()]).collect();
    };
    let mut old = kept.iter();
    tasks.retain(|_| old.next().copied().unwrap_or(false));
    for task in tasks {
        renumber(&mut task.node.after);
        task.node.each = task.node.each.and_then(|each| new_ids[each.index()]);
    }
    callbacks.retain_mut(|callback| match &mut callback.tasks {
        None => true,
        Some(ids) => {
            renumber(ids);
            !ids.is_empty() || callback.on.iter().any(|trigger| is_of_job(*trigger))
        }
    });
}

fn is_of_job(trigger: Trigger) -> bool {
    matches!(trigger, Trigger::JobDone | Trigger::JobSuccess | Trigger::JobFailure)
}
