//! A plan as text for people or JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::HumanBytes;
use serde_json::json;

use crate::cli::graph::{label, when_word};
use crate::graph::{Amount, Graph, OnReturn, ReturnWhen, Wait};
use crate::id::TaskId;
use crate::job::{Conditions, Job};
use crate::plan::{Plan, Step};
use crate::time::Time;

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

/// The plan for programs.
pub fn json(job: &Job, plan: &Plan) -> String {
    let graph = &job.graph;
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| {
            let task = graph.task(graph.task_of(step.node));
            json!({
                "future": graph.name(step.node).to_string(),
                "task": task.name,
                "executor": graph.executor(task.executor).name,
                "start": step.start.seconds(),
                "end": step.end.seconds(),
                "estimate": task.estimate.map(|it| it.as_secs_f64()),
            })
        })
        .collect();
    let executors: Vec<_> = graph
        .executors()
        .iter()
        .zip(&job.setups)
        .map(|(it, setup)| {
            json!({
                "name": it.name,
                "kind": it.kind.word(),
                "max_workers": it.max_workers,
                "max_load": setup.conditions.max_load,
                "min_free_memory": setup.conditions.min_free_memory,
                "jobserver": setup.conditions.jobserver,
            })
        })
        .collect();
    let plan = json!({
        "schema": "jobrun.plan/1",
        "job": job.name,
        "executors": executors,
        "steps": steps,
        "skipped": plan.skipped.iter().map(|it| graph.name(*it).to_string()).collect::<Vec<_>>(),
        "makespan": plan.makespan.as_secs_f64(),
        "work": plan.work.as_secs_f64(),
        "critical_path": plan.critical_path.iter().map(|it| &graph.task(*it).name).collect::<Vec<_>>(),
        "critical": plan.critical.as_secs_f64(),
    });
    format!("{plan:#}\n")
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

fn table(text: &mut String, graph: &Graph, rows: &[Row]) {
    let mut cells = vec![["start", "end", "task", "executor", "after"].map(str::to_owned)];
    for row in rows {
        let task = graph.task(row.task);
        let mut after: Vec<_> = task.after.iter().map(|it| graph.task(*it).name.clone()).collect();
        if task.when != crate::graph::When::Success {
            after.push(format!("(when {})", when_word(task.when)));
        }
        cells.push([
            duration(row.start.since(Time::ZERO)),
            duration(row.end.since(Time::ZERO)),
            label(&task.name, &task.size),
            graph.executor(task.executor).name.clone(),
            after.join(" "),
        ]);
    }
    let width = |column: usize| cells.iter().map(|it| it[column].chars().count()).max();
    let widths: Vec<_> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
    for row in &cells {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
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
