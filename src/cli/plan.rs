//! A plan as text for people or JSON for programs.

use std::fmt::Write as _;
use std::io;
use std::iter::once;
use std::time::Duration;

use indicatif::HumanBytes;
use serde::Serialize;

use crate::cli::graph::{Each, label, when_word};
use crate::graph::{Amount, Executor, Graph, Name, OnReturn, ReturnWhen, Wait, When};
use crate::id::TaskId;
use crate::job::{Conditions, Job, Setup};
use crate::plan::{Plan, Step};
use crate::shape::Text;
use crate::time::Time;

/// A column of the text is no wider, lest one long name push all others aside.
const MAX_WIDTH: usize = 80;

/// A row of the text: a task, with all its futures.
struct Row {
    task: TaskId,
    start: Time,
    end: Time,
}

/// The plan for people: a row a task, in the order of the first starts.
pub fn text(job: &Job, plan: &Plan) -> String {
    let graph = &job.graph;
    let mut text = format!(
        "{}: {} of {}\n",
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
    table(&mut text, graph, &rows(graph, &plan.steps));
    let waiting: Vec<_> = plan.skipped.iter().map(|node| graph.name(*node).to_string()).collect();
    if !waiting.is_empty() {
        let _ = writeln!(text, "\nonly if something fails: {}", waiting.join(", "));
    }
    text.push('\n');
    text.push_str(&estimate(graph, plan));
    text
}

/// Writes the plan for programs, step by step.
pub fn write_json(out: &mut dyn io::Write, job: &Job, plan: &Plan) -> io::Result<()> {
    let graph = &job.graph;
    let body = Body {
        schema: "jobrun.plan/1",
        job: &job.name,
        executors: Each(|| graph.executors().iter().zip(&job.setups).map(executor)),
        steps: Each(|| plan.steps.iter().map(|it| step(graph, it))),
        skipped: Each(|| plan.skipped.iter().map(|it| Text(graph.name(*it)))),
        makespan: plan.makespan.as_secs_f64(),
        work: plan.work.as_secs_f64(),
        critical_path: Each(|| plan.critical_path.iter().map(|it| &graph.task(*it).name)),
        critical: plan.critical.as_secs_f64(),
    };
    serde_json::to_writer_pretty(&mut *out, &body)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct Body<'a, E, S, K, P> {
    schema: &'static str,
    job: &'a str,
    executors: E,
    steps: S,
    skipped: K,
    makespan: f64,
    work: f64,
    critical_path: P,
    critical: f64,
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
struct StepShape<'a> {
    future: Text<Name<'a>>,
    task: &'a str,
    executor: &'a str,
    start: f64,
    end: f64,
    estimate: Option<f64>,
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

fn step<'a>(graph: &'a Graph, step: &Step) -> StepShape<'a> {
    let task = graph.task(graph.task_of(step.node));
    StepShape {
        future: Text(graph.name(step.node)),
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
    let mut cells = vec![["start", "end", "task", "executor"].map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        let task = graph.task(row.task);
        [
            duration(row.start.since(Time::ZERO)),
            duration(row.end.since(Time::ZERO)),
            label(&task.name, &task.size),
            graph.executor(task.executor).name.clone(),
        ]
    }));
    let width = |column: usize| cells.iter().map(|it| it[column].chars().count()).max();
    let widths = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0).min(MAX_WIDTH));
    let after = once("after".to_owned()).chain(rows.iter().map(|row| after(graph, row.task)));
    for (row, after) in cells.iter().zip(after) {
        let start = text.len();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        text.push_str(&after);
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
}

/// What a task is after, and when it runs if not after success.
fn after(graph: &Graph, task: TaskId) -> String {
    let task = graph.task(task);
    let mut after: Vec<_> = task.after.iter().map(|it| graph.task(*it).name.as_str()).collect();
    let when = format!("(when {})", when_word(task.when));
    if task.when != When::Success {
        after.push(&when);
    }
    after.join(" ")
}

fn estimate(graph: &Graph, plan: &Plan) -> String {
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
    text.push_str(match wait.on_return {
        OnReturn::Cancel => ", then cancel the rest",
        OnReturn::Drain => ", then drain",
        OnReturn::Continue => ", then continue",
    });
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
