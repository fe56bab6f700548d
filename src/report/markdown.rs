//! The Markdown report, fit for step summaries and merge requests: short, whatever the job's size.
//! Knows nothing of files.
//!
//! Whatever comes from a task stands in a code span or a fenced block that it cannot end, so that
//! it is neither markup nor HTML nor a mention.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::io::{self, Write};

use crate::exit::Exit;
use crate::id::{NodeId, TaskId};
use crate::measure;
use crate::report::words;
use crate::shape::RunView;

/// So many failures are shown; a step summary may have 1 MiB.
const FAILURES: usize = 50;
/// So many lines of output of each.
const LINES: usize = 20;
/// So many of the slowest futures are shown.
const SLOWEST: usize = 10;
/// So many characters of a name or an error in a table.
const CELL: usize = 300;
/// So many groups are shown.
const GROUPS: usize = 50;

/// Writes the report.
pub fn write(out: &mut dyn Write, run: &RunView<'_>) -> io::Result<()> {
    let mut text = String::new();
    headline(&mut text, run);
    failures(&mut text, run);
    groups(&mut text, run);
    slowest(&mut text, run);
    callbacks(&mut text, run);
    out.write_all(text.as_bytes())
}

fn headline(text: &mut String, run: &RunView<'_>) {
    let exit = Exit::of(&run.job.graph, run.ledger);
    let mark = if exit == Exit::Succeeded { "✅" } else { "❌" };
    let outcome = exit.word().replace('_', " ");
    line(text, format_args!("## {mark} {} {outcome}\n", code(&run.job_name())));
    let counts = run.counts();
    line(text, format_args!("{}\n", words::headline(run, &counts)));
    for remark in words::remarks(run) {
        line(text, format_args!("- {remark}"));
    }
    for error in &run.ledger.errors {
        line(text, format_args!("- error: {}", code(error)));
    }
}

fn failures(text: &mut String, run: &RunView<'_>) {
    let graph = &run.job.graph;
    let failed: Vec<NodeId> = measure::all_failures(graph, run.ledger).take(FAILURES).collect();
    if failed.is_empty() {
        return;
    }
    let counts = run.counts();
    line(text, format_args!("\n### Failures\n"));
    line(text, format_args!("| future | state | time | error | where |\n|---|---|--:|---|---|"));
    for &node in &failed {
        let record = run.record(node);
        let task = graph.task_of(node);
        let allowed = if graph.task(task).allow_failure { ", allowed" } else { "" };
        line(
            text,
            format_args!(
                "| {} | {}{allowed} | {} | {} | {} |",
                cell(&run.name(node).to_string()),
                words::state(record.state),
                words::duration(record.elapsed()),
                cell(&words::why(run, record)),
                words::place(run, task).map_or_else(String::new, |place| cell(&place)),
            ),
        );
    }
    let left_out = counts.failures() as usize - failed.len();
    if left_out > 0 {
        line(text, format_args!("\nand {left_out} more"));
    }
    for node in failed {
        output(text, run, node);
    }
}

fn output(text: &mut String, run: &RunView<'_>, node: NodeId) {
    let Some(detail) = &run.record(node).detail else { return };
    for (stream, captured) in [("stdout", &detail.stdout), ("stderr", &detail.stderr)] {
        let lines = words::last_lines(run, captured, LINES);
        if lines.is_empty() {
            continue;
        }
        let body = lines.join("\n");
        let fence = "`".repeat(longest_run(&body).max(2) + 1);
        let name = code(&run.name(node).to_string());
        line(text, format_args!("\n{name}, end of {stream}:\n\n{fence}text\n{body}\n{fence}"));
    }
}

fn groups(text: &mut String, run: &RunView<'_>) {
    let graph = &run.job.graph;
    let groups = graph.tasks().filter(|(_, task)| task.size.is_group());
    let groups: Vec<TaskId> = groups.map(|(id, _)| id).collect();
    if groups.is_empty() {
        return;
    }
    line(text, format_args!("\n### Groups\n"));
    line(text, format_args!("| group | futures | verdict | returned |\n|---|--:|---|---|"));
    for &task in groups.iter().take(GROUPS) {
        let how = run.ledger.group(task);
        line(
            text,
            format_args!(
                "| {} | {} | {} | {} |",
                cell(&run.task_name(task)),
                graph.members(task).len(),
                how.map_or("none", |how| how.verdict().word()),
                how.map_or_else(String::new, words::returned),
            ),
        );
    }
    if groups.len() > GROUPS {
        line(text, format_args!("\nand {} more", groups.len() - GROUPS));
    }
}

fn slowest(text: &mut String, run: &RunView<'_>) {
    let graph = &run.job.graph;
    let mut ran: Vec<NodeId> =
        graph.futures().filter(|&node| run.record(node).attempts > 0).collect();
    if ran.len() < 2 {
        return;
    }
    ran.sort_by_key(|&node| (Reverse(measure::busy(run.record(node))), node));
    line(text, format_args!("\n### Slowest futures\n"));
    line(text, format_args!("| future | state | time |\n|---|---|--:|"));
    for node in ran.into_iter().take(SLOWEST) {
        let record = run.record(node);
        let (name, time) = (run.name(node).to_string(), words::duration(measure::busy(record)));
        line(text, format_args!("| {} | {} | {time} |", cell(&name), words::state(record.state)));
    }
}

fn callbacks(text: &mut String, run: &RunView<'_>) {
    let failed = run.ledger.callbacks.iter().filter(|record| record.error.is_some());
    let failed: Vec<_> = failed.collect();
    if failed.is_empty() {
        return;
    }
    line(text, format_args!("\n### Callbacks that failed\n"));
    for record in failed.iter().take(FAILURES) {
        let of =
            record.node.map_or_else(|| "the job".to_owned(), |node| run.name(node).to_string());
        let error = record.error.as_deref().unwrap_or_default();
        line(text, format_args!("- `{}` of {}: {}", record.on, code(&of), code(error)));
    }
    if failed.len() > FAILURES {
        line(text, format_args!("- and {} more", failed.len() - FAILURES));
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

/// Text as a code span: its delimiters are longer than any run of backticks within.
fn code(text: &str) -> String {
    let text = words::plain(text, true).replace('\n', " ");
    let ticks = "`".repeat(longest_run(&text) + 1);
    let pad =
        if text.starts_with('`') || text.ends_with('`') || text.is_empty() { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// The same within a table, where a bar would end the cell; cut where it gets long.
fn cell(text: &str) -> String {
    let short = match text.char_indices().nth(CELL) {
        Some((end, _)) => code(&format!("{}…", &text[..end])),
        None => code(text),
    };
    short.replace('|', "\\|")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}
