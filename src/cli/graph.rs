//! The graph of a job as text for other programs. A group is drawn as one box, or future by future.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde::ser::Serializer;

use crate::graph::{Graph, Size, Task, When};
use crate::id::TaskId;
use crate::job::Job;

/// So many boxes can be drawn future by future; what is larger no program lays out.
const MAX_BOXES: u64 = 10_000;

/// So many arrows: two groups after each other have one for each pair.
const MAX_ARROWS: u64 = 100_000;

/// What is drawn.
pub struct Drawing<'a> {
    graph: &'a Graph,
    /// Whether groups are drawn future by future.
    expanded: bool,
}

/// What a box stands for: a task, or a future of a group.
#[derive(Clone, Copy)]
struct Spot {
    task: TaskId,
    index: Option<usize>,
}

impl Spot {
    fn name(self, graph: &Graph) -> String {
        let task = &graph.task(self.task).name;
        self.index.map_or_else(|| task.clone(), |index| format!("{task}[{index}]"))
    }

    /// A name that any language takes.
    fn word(self) -> String {
        let task = self.task.0;
        self.index.map_or_else(|| format!("t{task}"), |index| format!("t{task}_{index}"))
    }
}

/// One box.
struct Node<'a> {
    spot: Spot,
    label: String,
    task: &'a Task,
    /// Whether it stands for a whole group.
    group: bool,
}

/// One arrow.
struct Edge {
    from: Spot,
    to: Spot,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    After(When),
    /// Future by future.
    Each(When),
}

impl Kind {
    /// What is written at an arrow that is not the usual one.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::After(When::Success) => None,
            Self::After(when) => Some(when_word(when)),
            Self::Each(When::Success) => Some("each"),
            Self::Each(When::Failure) => Some("each, failure"),
            Self::Each(When::Always) => Some("each, always"),
        }
    }
}

impl<'a> Drawing<'a> {
    /// A drawing with groups as one box each, or `expanded`.
    ///
    /// # Errors
    /// If that is more than anybody could look at.
    pub fn of(graph: &'a Graph, expanded: bool) -> Result<Self, String> {
        let drawing = Self { graph, expanded };
        if expanded {
            let boxes = graph.tasks().map(|(id, _)| drawing.boxes(id)).sum::<u64>();
            if boxes > MAX_BOXES {
                return Err(format!(
                    "--expand: {boxes} futures are too many to draw, {MAX_BOXES} are the most; \
                     without it a group is one box"
                ));
            }
            let arrows = graph.tasks().map(|(id, _)| drawing.arrows(id)).sum::<u64>();
            if arrows > MAX_ARROWS {
                return Err(format!(
                    "--expand: {arrows} edges are too many to draw, {MAX_ARROWS} are the most; \
                     without it a group is one box"
                ));
            }
        }
        Ok(drawing)
    }

    /// Whether a task is one box. A group of none, or of nobody knows how many, is one too.
    fn is_one(&self, task: &Task) -> bool {
        !self.expanded || !task.size.is_group() || task.size.futures() == 0
    }

    fn boxes(&self, id: TaskId) -> u64 {
        let task = self.graph.task(id);
        if self.is_one(task) { 1 } else { task.size.futures().into() }
    }

    fn arrows(&self, id: TaskId) -> u64 {
        let task = self.graph.task(id);
        let after = task.after.iter().map(|it| self.boxes(*it)).sum::<u64>();
        (after + task.each.iter().len() as u64) * self.boxes(id)
    }

    /// What the boxes of a task stand for.
    fn spots(&self, id: TaskId) -> Vec<Spot> {
        if self.is_one(self.graph.task(id)) {
            return vec![Spot { task: id, index: None }];
        }
        let members = 0..self.graph.task(id).size.futures() as usize;
        members.map(|index| Spot { task: id, index: Some(index) }).collect()
    }

    fn nodes(&self, id: TaskId) -> Vec<Node<'a>> {
        let task = self.graph.task(id);
        let node = |spot: Spot| {
            let group = spot.index.is_none() && task.size.is_group();
            let name = if group { label(&task.name, &task.size) } else { spot.name(self.graph) };
            let label = if task.asks { format!("{name} ?") } else { name };
            Node { spot, label, task, group }
        };
        self.spots(id).into_iter().map(node).collect()
    }

    fn edges(&self, id: TaskId) -> Vec<Edge> {
        let task = self.graph.task(id);
        let own = self.spots(id);
        let mut edges = Vec::new();
        for from in task.after.iter().flat_map(|after| self.spots(*after)) {
            edges.extend(own.iter().map(|&to| Edge { from, to, kind: Kind::After(task.when) }));
        }
        if let Some(each) = task.each {
            let pairs = self.spots(each).into_iter().zip(own);
            edges.extend(pairs.map(|(from, to)| Edge { from, to, kind: Kind::Each(task.when) }));
        }
        edges
    }

    /// The ids of all tasks.
    fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.graph.tasks().map(|(id, _)| id)
    }
}

/// The graph in Graphviz' language.
pub fn dot(job: &Job, drawing: &Drawing<'_>) -> String {
    let mut text =
        format!("digraph {} {{\n  rankdir = LR;\n  node [shape = box];\n", quoted(&job.name));
    for node in drawing.tasks().flat_map(|id| drawing.nodes(id)) {
        let shape = if node.group { ", peripheries = 2" } else { "" };
        let style = match (node.task.asks, node.task.when) {
            (true, _) => ", style = dashed",
            (false, When::Success) => "",
            (false, _) => ", style = rounded",
        };
        let (name, label) = (quoted(&node.spot.name(drawing.graph)), quoted(&node.label));
        let _ = writeln!(text, "  {name} [label = {label}{shape}{style}];");
    }
    for edge in drawing.tasks().flat_map(|id| drawing.edges(id)) {
        let style = match (edge.kind, edge.kind.word()) {
            (_, None) => String::new(),
            (Kind::After(_), Some(word)) => format!(" [style = dashed, label = {}]", quoted(word)),
            (Kind::Each(_), Some(word)) => format!(" [style = bold, label = {}]", quoted(word)),
        };
        let name = |spot: Spot| quoted(&spot.name(drawing.graph));
        let _ = writeln!(text, "  {} -> {}{style};", name(edge.from), name(edge.to));
    }
    text.push_str("}\n");
    text
}

/// The graph in Mermaid's language, which Markdown pages show.
pub fn mermaid(drawing: &Drawing<'_>) -> String {
    let mut text = String::from("flowchart LR\n");
    for node in drawing.tasks().flat_map(|id| drawing.nodes(id)) {
        let (open, close) = match (node.group, node.task.asks, node.task.when) {
            (true, ..) => ("[[", "]]"),
            (_, true, _) => ("{{", "}}"),
            (_, _, When::Success) => ("[", "]"),
            _ => ("(", ")"),
        };
        let _ = writeln!(text, "  {}{open}\"{}\"{close}", node.spot.word(), entities(&node.label));
    }
    for edge in drawing.tasks().flat_map(|id| drawing.edges(id)) {
        let arrow = match (edge.kind, edge.kind.word()) {
            (_, None) => "-->".to_owned(),
            (Kind::After(_), Some(word)) => format!("-. {word} .->"),
            (Kind::Each(_), Some(word)) => format!("== \"{word}\" ==>"),
        };
        let _ = writeln!(text, "  {} {arrow} {}", edge.from.word(), edge.to.word());
    }
    text
}

/// Writes the graph as JSON, task by task, and with `--expand` the futures of each.
pub fn write_json(out: &mut dyn io::Write, job: &Job, drawing: &Drawing<'_>) -> io::Result<()> {
    let tasks = Each(|| job.graph.tasks().map(|(id, task)| shape(drawing, id, task)));
    serde_json::to_writer_pretty(&mut *out, &Body { schema: SCHEMA, job: &job.name, tasks })?;
    out.write_all(b"\n")
}

/// The form of the JSON, and its version.
const SCHEMA: &str = "jobrun.graph/1";

#[derive(Serialize)]
struct Body<'a, T> {
    schema: &'static str,
    job: &'a str,
    tasks: T,
}

/// `futures` is null where their number is not known before the run.
#[derive(Serialize)]
struct TaskShape<'a> {
    name: &'a str,
    futures: Option<u32>,
    group: bool,
    executor: &'a str,
    when: &'static str,
    asks: bool,
    after: Vec<&'a str>,
    each: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<Member>>,
}

/// A future of a group, and the one that it alone is after.
#[derive(Serialize)]
struct Member {
    name: String,
    each: Option<String>,
}

fn shape<'a>(drawing: &Drawing<'a>, id: TaskId, task: &'a Task) -> TaskShape<'a> {
    let graph = drawing.graph;
    let name = |id: &TaskId| graph.task(*id).name.as_str();
    let members = || {
        let each = task.each.as_ref().map(name);
        let member = |index| Member {
            name: format!("{}[{index}]", task.name),
            each: each.map(|each| format!("{each}[{index}]")),
        };
        (0..drawing.boxes(id)).map(member).collect()
    };
    TaskShape {
        name: &task.name,
        futures: (!task.size.is_open()).then(|| task.size.futures()),
        group: task.size.is_group(),
        executor: &graph.executor(task.executor).name,
        when: when_word(task.when),
        asks: task.asks,
        after: task.after.iter().map(name).collect(),
        each: task.each.as_ref().map(name),
        members: (!drawing.is_one(task)).then(members),
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

/// A string of Graphviz, in which a backslash may begin an escape.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\\' | '"' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push('\u{FFFD}'),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Text between the quotes of Mermaid, which knows entities as `#NUMBER;` and takes backquotes for
/// Markdown.
fn entities(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        if c.is_control() {
            safe.push('\u{FFFD}');
        } else if matches!(c, '"' | '#' | '&' | '<' | '>' | '`' | ';' | '\\') {
            let _ = write!(safe, "#{};", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe
}
