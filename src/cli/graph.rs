//! The graph of a job as text for other programs. A group is drawn as one box.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde::ser::Serializer;

use crate::graph::{Graph, Size, Task, When};
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

/// Writes the graph as JSON, task by task: `{ "job", "tasks": [{ "name", "futures", "group",
/// "executor", "when", "after" }] }`.
pub fn write_json(out: &mut dyn io::Write, job: &Job) -> io::Result<()> {
    let graph = &job.graph;
    let tasks = Each(|| graph.tasks().map(|(_, task)| shape(graph, task)));
    serde_json::to_writer_pretty(&mut *out, &Body { job: &job.name, tasks })?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct Body<'a, T> {
    job: &'a str,
    tasks: T,
}

#[derive(Serialize)]
struct TaskShape<'a> {
    name: &'a str,
    futures: u32,
    group: bool,
    executor: &'a str,
    when: &'static str,
    after: Vec<&'a str>,
}

fn shape<'a>(graph: &'a Graph, task: &'a Task) -> TaskShape<'a> {
    TaskShape {
        name: &task.name,
        futures: task.size.futures(),
        group: task.size.is_group(),
        executor: &graph.executor(task.executor).name,
        when: when_word(task.when),
        after: task.after.iter().map(|it| graph.task(*it).name.as_str()).collect(),
    }
}

/// A list whose items are made while it is written: there may be millions.
pub struct Each<F>(pub F);

impl<F, I> Serialize for Each<F>
where
    F: Fn() -> I,
    I: IntoIterator<Item: Serialize>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
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
        Size::Open { .. } => format!("{name} ×?"),
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
