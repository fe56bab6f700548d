//! The graph of a job as text for other programs. A group is drawn as one box.

use std::fmt::Write as _;

use serde_json::json;

use crate::graph::{Graph, Size, When};
use crate::job::Job;

/// The graph in Graphviz' language.
pub fn dot(job: &Job) -> String {
    let graph = &job.graph;
    let mut text =
        format!("digraph {} {{\n  rankdir = LR;\n  node [shape = box];\n", quoted(&job.name));
    for (_, task) in graph.tasks() {
        let shape = if task.size.is_group() { ", peripheries = 2" } else { "" };
        let _ = writeln!(
            text,
            "  {} [label = {}{shape}];",
            quoted(&task.name),
            quoted(&label(&task.name, &task.size))
        );
    }
    for (from, to, when) in edges(graph) {
        let style = match when {
            When::Success => "",
            When::Failure => " [style = dashed, label = \"failure\"]",
            When::Always => " [style = dashed, label = \"always\"]",
        };
        let _ = writeln!(text, "  {} -> {}{style};", quoted(from), quoted(to));
    }
    text.push_str("}\n");
    text
}

/// The graph in Mermaid's language, which Markdown pages show.
pub fn mermaid(job: &Job) -> String {
    let graph = &job.graph;
    let mut text = String::from("flowchart LR\n");
    for (id, task) in graph.tasks() {
        let label = label(&task.name, &task.size).replace('"', "#quot;");
        let (open, close) = if task.size.is_group() { ("[[", "]]") } else { ("[", "]") };
        let _ = writeln!(text, "  t{}{open}\"{label}\"{close}", id.0);
    }
    for (id, task) in graph.tasks() {
        let arrow = match task.when {
            When::Success => "-->",
            When::Failure => "-. failure .->",
            When::Always => "-. always .->",
        };
        for after in &task.after {
            let _ = writeln!(text, "  t{} {arrow} t{}", after.0, id.0);
        }
    }
    text
}

/// The graph as JSON: `{ "job", "tasks": [{ "name", "futures", "group", "executor", "when",
/// "after" }] }`.
pub fn json(job: &Job) -> String {
    let graph = &job.graph;
    let tasks: Vec<_> = graph
        .tasks()
        .map(|(_, task)| {
            json!({
                "name": task.name,
                "futures": task.size.futures(),
                "group": task.size.is_group(),
                "executor": graph.executor(task.executor).name,
                "when": when_word(task.when),
                "after": task.after.iter().map(|it| &graph.task(*it).name).collect::<Vec<_>>(),
            })
        })
        .collect();
    format!("{:#}\n", json!({ "job": job.name, "tasks": tasks }))
}

/// The word of the manifest.
pub fn when_word(when: When) -> &'static str {
    match when {
        When::Success => "success",
        When::Failure => "failure",
        When::Always => "always",
    }
}

/// A task's name, with the number of its futures if it is a group.
pub fn label(name: &str, size: &Size) -> String {
    match size {
        Size::One => name.to_owned(),
        Size::Group { members, .. } => format!("{name} ×{members}"),
    }
}

fn edges(graph: &Graph) -> impl Iterator<Item = (&str, &str, When)> {
    graph.tasks().flat_map(move |(_, task)| {
        task.after
            .iter()
            .map(move |after| (graph.task(*after).name.as_str(), task.name.as_str(), task.when))
    })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
