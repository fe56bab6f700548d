//! A plan as text for people or JSON for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;
use std::iter::once;
use std::time::Duration;

use indicatif::HumanBytes;
use serde::Serialize;

use crate::cli::graph::{Each, label, when_word};
use crate::graph::{
    Amount, Executor, Graph, Name, OnReturn, Resource, ReturnWhen, Task, Wait, When,
};
use crate::id::{ExecutorId, NodeId, ResourceId, TaskId};
use crate::job::{Conditions, Job, Setup};
use crate::plan::{self, Plan, Point, Step};
use crate::shape::{PlannedWait, Text, planned_wait};
use crate::time::Time;

/// A column of the text is no wider, lest one long name push all others aside.
const MAX_WIDTH: usize = 80;

/// A row of the text: a task, with all its futures.
struct Row {
    task: TaskId,
    start: Time,
    end: Time,
}

/// So many names are listed of what runs only if something fails.
const MAX_NAMES: usize = 20;

/// How long a job takes by the workers of one executor.
pub struct Curve {
    executor: ExecutorId,
    points: Vec<Point>,
}

impl Curve {
    /// The curve that `N,N…` or `NAME=N,N…` asks for.
    pub fn of(graph: &Graph, word: &str) -> Result<Self, String> {
        let (name, counts) = word.rsplit_once('=').unwrap_or(("default", word));
        let found = graph.executors().iter().position(|executor| executor.name == name);
        let Some(executor) = found.map(|at| ExecutorId(at as u32)) else {
            return Err(format!("--workers {word}: there is no executor `{name}`"));
        };
        let counts: Result<Vec<u32>, _> =
            counts.split(',').map(|count| count.trim().parse()).collect();
        match counts {
            Ok(counts) if counts.len() <= MAX_POINTS && !counts.contains(&0) => {
                Ok(Self { executor, points: plan::curve(graph, executor, &counts) })
            }
            _ => Err(format!(
                "--workers {word}: wants {MAX_POINTS} numbers above 0 at most, such as 1,2,4,8"
            )),
        }
    }

    fn text(&self, graph: &Graph) -> String {
        let name = &graph.executor(self.executor).name;
        let mut text = format!("workers of {name}  estimated  speedup  efficiency\n");
        let width = "workers of ".len() + name.chars().count();
        for point in &self.points {
            let Point { workers, makespan, speedup, efficiency } = point;
            let percent = efficiency * 100.0;
            let makespan = duration(*makespan);
            let _ = writeln!(
                text,
                "{workers:<width$}  {makespan:<9}  {:<7}  {percent:.0}%",
                format!("{speedup:.2}")
            );
        }
        text
    }
}

/// The job is planned so many times at most.
const MAX_POINTS: usize = 64;

/// The plan for people: a row a task, in the order of the first starts.
pub fn text(job: &Job, plan: &Plan<'_>, curve: Option<&Curve>) -> String {
    let graph = &job.graph;
    let more = if graph.is_open() { " and more" } else { "" };
    let mut text = format!(
        "{}: {}{more} of {}\n",
        job.name,
        count(graph.future_count() as usize, "future"),
        count(graph.tasks().len(), "task")
    );
    for (executor, setup) in graph.executors().iter().zip(&job.setups) {
        let workers = count(executor.max_workers as usize, "worker");
        let _ = write!(text, "executor {}: {}, {workers}", executor.name, executor.kind.word());
        let _ = writeln!(text, "{}", conditions(&setup.conditions));
    }
    let _ = writeln!(text, "wait: {}\n", wait(graph.wait()));
    table(&mut text, graph, &rows(&plan.graph, &plan.steps));
    let shown = plan.skipped.iter().take(MAX_NAMES);
    let mut waiting: Vec<_> = shown.map(|node| plan.graph.name(*node).to_string()).collect();
    if plan.skipped.len() > MAX_NAMES {
        waiting.push(format!("{} more", plan.skipped.len() - MAX_NAMES));
    }
    if !waiting.is_empty() {
        let _ = writeln!(text, "\nonly if something fails: {}", waiting.join(", "));
    }
    text.push('\n');
    text.push_str(&estimate(graph, plan));
    if let Some(curve) = curve {
        let _ = write!(text, "\n{}", curve.text(graph));
    }
    text
}

/// Writes the plan for programs, step by step.
pub fn write_json(
    out: &mut dyn io::Write,
    job: &Job,
    plan: &Plan<'_>,
    curve: Option<&Curve>,
) -> io::Result<()> {
    let graph = &job.graph;
    let planned = &plan.graph;
    let body = Body {
        schema: "jobrun.plan/1",
        job: &job.name,
        wait: planned_wait(graph.wait()),
        executors: Each(|| graph.executors().iter().zip(&job.setups).map(executor)),
        resources: Each(|| graph.resources().iter().map(resource)),
        tasks: Each(|| graph.tasks().map(|(id, task)| task_shape(graph, id, task))),
        steps: Each(|| plan.steps.iter().map(|it| step(graph, planned, it))),
        skipped: Each(|| plan.skipped.iter().map(|it| Text(future(graph, planned, *it)))),
        makespan: plan.makespan.as_secs_f64(),
        work: plan.work.as_secs_f64(),
        critical_path: Each(|| plan.critical_path.iter().map(|it| &graph.task(*it).name)),
        critical: plan.critical.as_secs_f64(),
        curve: curve.map(|curve| CurveShape {
            executor: &graph.executor(curve.executor).name,
            points: Each(|| curve.points.iter().map(point)),
        }),
    };
    serde_json::to_writer_pretty(&mut *out, &body)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct Body<'a, E, R, T, S, K, P, C> {
    schema: &'static str,
    job: &'a str,
    wait: PlannedWait,
    executors: E,
    resources: R,
    tasks: T,
    steps: S,
    skipped: K,
    makespan: f64,
    work: f64,
    critical_path: P,
    critical: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    curve: Option<C>,
}

#[derive(Serialize)]
struct ExecutorShape<'a> {
    name: &'a str,
    kind: &'static str,
    max_workers: u32,
    max_load: Option<f64>,
    min_free_memory: Option<u64>,
    jobserver: Option<bool>,
}

#[derive(Serialize)]
struct ResourceShape<'a> {
    name: &'a str,
    capacity: u64,
}

/// `futures` is null where their number is not known before the run.
#[derive(Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are facts that do not depend on each other"
)]
struct TaskShape<'a> {
    name: &'a str,
    futures: Option<u32>,
    group: bool,
    executor: &'a str,
    after: Vec<&'a str>,
    each: Option<&'a str>,
    when: &'static str,
    asks: bool,
    uses: BTreeMap<&'a str, u64>,
    exclusive: bool,
    priority: i64,
    retry: u32,
    timeout: Option<f64>,
    estimate: Option<f64>,
    wait: Option<PlannedWait>,
    outside: bool,
}

#[derive(Serialize)]
struct StepShape<'a> {
    future: Text<Future<'a>>,
    task: &'a str,
    executor: &'a str,
    start: f64,
    end: f64,
    estimate: Option<f64>,
}

#[derive(Serialize)]
struct CurveShape<'a, P> {
    executor: &'a str,
    points: P,
}

#[derive(Serialize)]
struct PointShape {
    workers: u32,
    makespan: f64,
    speedup: f64,
    efficiency: f64,
}

/// The name of a future, or of those of which it is not known how many there will be.
enum Future<'a> {
    One(Name<'a>),
    Some(&'a str),
}

impl fmt::Display for Future<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => name.fmt(f),
            Self::Some(task) => write!(f, "{task}[?]"),
        }
    }
}

fn future<'a>(graph: &'a Graph, planned: &'a Graph, node: NodeId) -> Future<'a> {
    let task = graph.task(planned.task_of(node));
    if task.size.is_open() { Future::Some(&task.name) } else { Future::One(planned.name(node)) }
}

fn resource(resource: &Resource) -> ResourceShape<'_> {
    ResourceShape { name: &resource.name, capacity: resource.capacity }
}

fn task_shape<'a>(graph: &'a Graph, id: TaskId, task: &'a Task) -> TaskShape<'a> {
    let name = |id: &TaskId| graph.task(*id).name.as_str();
    let resource = |id: ResourceId| graph.resources()[id.index()].name.as_str();
    TaskShape {
        name: &task.name,
        futures: (!task.size.is_open()).then(|| task.size.futures()),
        group: task.size.is_group(),
        executor: &graph.executor(task.executor).name,
        after: task.after.iter().map(name).collect(),
        each: task.each.as_ref().map(name),
        when: when_word(task.when),
        asks: task.asks,
        uses: task.uses.iter().map(|(id, amount)| (resource(*id), *amount)).collect(),
        exclusive: task.exclusive,
        priority: task.priority,
        retry: task.retry.count,
        timeout: task.timeout.map(|it| it.as_secs_f64()),
        estimate: task.estimate.map(|it| it.as_secs_f64()),
        wait: task.size.wait().map(planned_wait),
        outside: !graph.is_inside(id),
    }
}

fn point(point: &Point) -> PointShape {
    let Point { workers, makespan, speedup, efficiency } = *point;
    PointShape { workers, makespan: makespan.as_secs_f64(), speedup, efficiency }
}

fn executor<'a>((executor, setup): (&'a Executor, &Setup)) -> ExecutorShape<'a> {
    let Conditions { max_load, min_free_memory, jobserver } = setup.conditions;
    ExecutorShape {
        name: &executor.name,
        kind: executor.kind.word(),
        max_workers: executor.max_workers,
        max_load,
        min_free_memory,
        jobserver,
    }
}

fn step<'a>(graph: &'a Graph, planned: &'a Graph, step: &Step) -> StepShape<'a> {
    let task = graph.task(planned.task_of(step.node));
    StepShape {
        future: Text(future(graph, planned, step.node)),
        task: &task.name,
        executor: &graph.executor(task.executor).name,
        start: step.start.seconds(),
        end: step.end.seconds(),
        estimate: task.estimate.map(|it| it.as_secs_f64()),
    }
}

/// What is asked of a start beyond a free worker.
fn conditions(conditions: &Conditions) -> String {
    let load = conditions.max_load.map(|load| format!(", load below {load}"));
    let memory = conditions.min_free_memory.map(|bytes| format!(", {} free", HumanBytes(bytes)));
    let jobserver =
        conditions.jobserver.map(|on| if on { ", jobserver" } else { ", no jobserver" }.to_owned());
    [load, memory, jobserver].into_iter().flatten().collect()
}

fn rows(graph: &Graph, steps: &[Step]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut row_of = vec![None; graph.tasks().len()];
    for step in steps {
        let task = graph.task_of(step.node);
        match row_of[task.index()] {
            None => {
                row_of[task.index()] = Some(rows.len());
                rows.push(Row { task, start: step.start, end: step.end });
            }
            Some(row) => {
                let row: &mut Row = &mut rows[row];
                row.end = row.end.max(step.end);
            }
        }
    }
    rows
}

/// The last column has no width: it is the longest by far where many tasks are waited for.
fn table(text: &mut String, graph: &Graph, rows: &[Row]) {
    let mut cells = vec![["start", "end", "task", "executor", "limits"].map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        let task = graph.task(row.task);
        [
            duration(row.start.since(Time::ZERO)),
            duration(row.end.since(Time::ZERO)),
            label(&task.name, &task.size),
            graph.executor(task.executor).name.clone(),
            limits(graph, task),
        ]
    }));
    let unlimited = cells.iter().skip(1).all(|row| row[4].is_empty());
    let columns = if unlimited { 0..4 } else { 0..5 };
    let width = |column: usize| cells.iter().map(|it| it[column].chars().count()).max();
    let widths = [0, 1, 2, 3, 4].map(|column| width(column).unwrap_or(0).min(MAX_WIDTH));
    let after = once("after".to_owned()).chain(rows.iter().map(|row| after(graph, row.task)));
    for (row, after) in cells.iter().zip(after) {
        let start = text.len();
        for column in columns.clone() {
            let (cell, width) = (&row[column], widths[column]);
            let _ = write!(text, "{cell:<width$}  ");
        }
        text.push_str(&after);
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
}

/// What holds a task back, stops it, or has it run again.
fn limits(graph: &Graph, task: &Task) -> String {
    let mut limits: Vec<String> = Vec::new();
    for (id, amount) in &task.uses {
        let resource = &graph.resources()[id.index()];
        limits.push(if resource.counted {
            format!("{amount} of {} {}", resource.capacity, resource.name)
        } else {
            format!("{} of {}", HumanBytes(*amount), resource.name)
        });
    }
    if task.exclusive {
        limits.push("exclusive".to_owned());
    }
    if task.priority != 0 {
        limits.push(format!("priority {}", task.priority));
    }
    if let Some(timeout) = task.timeout {
        limits.push(format!("timeout {}", duration(timeout)));
    }
    if task.retry.count > 0 {
        limits.push(format!("retry {}", task.retry.count));
    }
    if let Some(wait) = task.size.wait() {
        limits.push(format!("wait {}", policy(wait)));
    }
    limits.join("; ")
}

/// What a task is after, and what else decides whether it runs.
fn after(graph: &Graph, id: TaskId) -> String {
    let task = graph.task(id);
    let mut after: Vec<_> = task.after.iter().map(|it| graph.task(*it).name.clone()).collect();
    if let Some(each) = task.each {
        after.push(format!("each {}", graph.task(each).name));
    }
    if task.when != When::Success {
        after.push(format!("(when {})", when_word(task.when)));
    }
    if task.asks {
        after.push("(if)".to_owned());
    }
    after.join(" ")
}

fn estimate(graph: &Graph, plan: &Plan<'_>) -> String {
    if plan.work.is_zero() {
        return "no task has an estimate, so nothing is said of the time\n".to_owned();
    }
    let path: Vec<_> = plan.critical_path.iter().map(|it| graph.task(*it).name.as_str()).collect();
    format!(
        "estimated: {} for {} of work; critical path {}: {}\n",
        duration(plan.makespan),
        duration(plan.work),
        duration(plan.critical),
        path.join(" → ")
    )
}

/// A wait in the words of the manifest.
fn wait(wait: &Wait) -> String {
    let then = match wait.on_return {
        OnReturn::Cancel => "then cancel the rest",
        OnReturn::Drain => "then drain",
        OnReturn::Continue => "then continue",
    };
    format!("{}, {then}", policy(wait))
}

/// What a wait waits for, and how long.
fn policy(wait: &Wait) -> String {
    let amount = |amount| match amount {
        Amount::Count(count) => count.to_string(),
        Amount::Percent(percent) => format!("{percent}%"),
    };
    let mut text = match wait.return_when {
        ReturnWhen::AllCompleted => "all_completed".to_owned(),
        ReturnWhen::FirstCompleted => "first_completed".to_owned(),
        ReturnWhen::FirstException => "first_exception".to_owned(),
        ReturnWhen::FirstSuccess => "first_success".to_owned(),
        ReturnWhen::Completed(k) => format!("completed = {}", amount(k)),
        ReturnWhen::Succeeded(k) => format!("succeeded = {}", amount(k)),
        ReturnWhen::Failed(k) => format!("failed = {}", amount(k)),
    };
    if let Some(timeout) = wait.timeout {
        let _ = write!(text, ", timeout {}", duration(timeout));
    }
    text
}

fn duration(duration: Duration) -> String {
    if duration.is_zero() {
        "0s".to_owned()
    } else {
        humantime::format_duration(duration).to_string()
    }
}

fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
