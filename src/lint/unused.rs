//! Rules about what is written for nothing: names that nobody uses, and things said twice.

use std::collections::HashSet;

use crate::lint::scene::{Found, Scene};
use crate::manifest::{Items, Spanned};

/// Executors that no task runs on, and resources that none uses.
pub(super) fn executors_and_resources(scene: &Scene<'_>, found: &mut Found<'_>) {
    let graph = scene.graph();
    let tasks = || graph.tasks().map(|(_, task)| task);
    let ran_on: HashSet<_> = tasks().map(|task| task.executor).collect();
    let used: HashSet<_> = tasks().flat_map(|task| &task.uses).map(|(id, _)| *id).collect();
    let executors = scene.manifest.executors.iter().flat_map(|table| table.iter());
    let executors = executors.filter(|(_, it)| scene.is_own(it.key_range().as_ref()));
    for (name, written) in executors {
        let idle = graph.executors().iter().position(|it| it.name == *name);
        if idle.is_some_and(|at| ran_on.iter().all(|id| id.index() != at)) {
            found.add(format!("no task runs on the executor `{name}`"), |it| {
                it.at(written.key_range())
                    .hint(format!("give it to a task: executor = \"{name}\", or leave it out"))
            });
        }
    }
    let resources = scene.manifest.resources.iter().flat_map(|table| table.iter());
    let resources = resources.filter(|(_, it)| scene.is_own(it.key_range().as_ref()));
    for (name, written) in resources {
        let idle = graph.resources().iter().position(|it| it.name == *name);
        if idle.is_some_and(|at| used.iter().all(|id| id.index() != at)) {
            found.add(format!("no task uses the resource `{name}`"), |it| {
                it.at(written.key_range())
                    .hint(format!("give some to a task: uses = {{ {name} = 1 }}, or leave it out"))
            });
        }
    }
}

/// Values that no template asks for. Whether one does is seen from the text, generously.
pub(super) fn vars(scene: &Scene<'_>, found: &mut Found<'_>) {
    let Some(vars) = &scene.manifest.vars else { return };
    let named: Option<Vec<_>> =
        scene.sources.iter().map(|source| names_after_vars(source.text())).collect();
    let Some(named) = named else { return };
    let is_unused = |name: &str| named.iter().all(|names| !names.contains(name));
    for (name, written) in vars.iter().filter(|(name, _)| is_unused(name)) {
        found.add(format!("nothing uses the value `{name}`"), |it| {
            it.at(written.key_range())
                .hint(format!("write {{{{ vars.{name} }}}} where it belongs, or leave it out"))
        });
    }
}

/// The names behind `vars.`; `None` if `vars` is used as a whole, or by computed names.
fn names_after_vars(text: &str) -> Option<HashSet<&str>> {
    let mut names = HashSet::new();
    let word = |c: char| c.is_alphanumeric() || c == '_';
    for (at, _) in text.match_indices("vars") {
        let before = text[..at].chars().next_back();
        let rest = &text[at + "vars".len()..];
        if before.is_some_and(|c| word(c) || c == '.') || rest.starts_with(word) {
            continue;
        }
        let after = rest.trim_start();
        if let Some(name) = after.strip_prefix('.') {
            let name = name.trim_start();
            names.insert(&name[..name.find(|c| !word(c)).unwrap_or(name.len())]);
        } else if is_in_braces(text, at) {
            return None;
        }
    }
    Some(names)
}

/// Whether the last braces before a place were opened and not closed.
fn is_in_braces(text: &str, at: usize) -> bool {
    text[..at].rfind("{{").is_some_and(|open| !text[open..at].contains("}}"))
}

/// The same name or tag twice in a list.
pub(super) fn twice_in_a_list(scene: &Scene<'_>, found: &mut Found<'_>) {
    for task in &scene.manifest.task {
        for (key, list) in [("after", &task.after), ("tags", &task.tags)] {
            let Some(list) = list else { continue };
            for (again, first) in repeated(list) {
                found.add(format!("`{}` is twice in `{key}`", again.value), |it| {
                    it.at(again.range()).hint("once is enough").note(first.range(), "the first")
                });
            }
        }
    }
}

fn repeated(list: &Items<String>) -> Vec<(&Spanned<String>, &Spanned<String>)> {
    let mut first = std::collections::HashMap::new();
    let mut repeated = Vec::new();
    for item in list {
        match first.entry(item.as_str()) {
            std::collections::hash_map::Entry::Occupied(first) => {
                repeated.push((item, *first.get()));
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(item);
            }
        }
    }
    repeated
}
