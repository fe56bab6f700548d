//! The HTML report: one page that needs nothing else, not even scripts. Knows nothing of files.
//!
//! maud escapes all text; a content security policy forbids whatever a mistake there could let in.

mod timeline;

use std::io::{self, Write};
use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::exit::Exit;
use crate::graph::Graph;
use crate::id::{NodeId, TaskId};
use crate::ledger::{Detail, Record};
use crate::measure::{self, Counts};
use crate::outcome::{Captured, State};
use crate::report::words;
use crate::shape::{self, RunView};
use crate::time::Time;

const STYLE: &str = include_str!("style.css");
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// So many failures are shown with their output.
const FAILURES: usize = 200;
/// So many lines of output of each stream.
const LINES: usize = 40;
/// So many rows a table has at most.
const ROWS: usize = 1000;
/// So many steps of the critical path are shown.
const STEPS: usize = 60;

/// Writes the page.
pub fn write(out: &mut dyn Write, run: &RunView<'_>) -> io::Result<()> {
    out.write_all(page(run).into_string().as_bytes())
}

fn page(run: &RunView<'_>) -> Markup {
    let counts = run.counts();
    let path = measure::critical_path(&run.job.graph, run.ledger);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (text(&run.job_name())) " " (outcome(run)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (headline(run))
                    (overview(run, &counts))
                    (failures(run, &counts))
                    (timeline::card(run, &path))
                    (critical_path(run, &path))
                    (groups(run))
                    (futures(run, &counts, &path))
                    (callbacks(run))
                    (footer(run))
                }
            }
        }
    }
}

fn headline(run: &RunView<'_>) -> Markup {
    let exit = Exit::of(&run.job.graph, run.ledger);
    let remarks = words::remarks(run);
    html! {
        div.head {
            h1 { (text(&run.job_name())) }
            span class={ "pill " (exit.word()) } { (outcome(run)) }
        }
        @if let Some(description) = &run.job.description {
            p.about.soft { (text(&run.shown(description))) }
        }
        div.facts {
            span { "took " b { (words::duration(elapsed(run))) } }
            span { "started " b { (calendar(run)) } }
            @if let Some(manifest) = run.manifest() {
                span { "manifest " b { (text(&manifest)) } }
            }
            span { "waited for " b { (words::policy(run.job.graph.wait().return_when)) } }
            span { "exit code " b { (exit.code()) } }
        }
        @if !remarks.is_empty() || !run.ledger.errors.is_empty() {
            ul.remarks {
                @for remark in remarks { li { (remark) } }
                @for error in &run.ledger.errors { li.error { (text(error)) } }
            }
        }
    }
}

fn overview(run: &RunView<'_>, counts: &Counts) -> Markup {
    let states = by_state(counts);
    let work = measure::work(&run.job.graph, run.ledger);
    let took = elapsed(run).as_secs_f64();
    html! {
        section.card {
            div.share aria-hidden="true" {
                @for (state, count) in states.iter().filter(|(_, count)| *count > 0) {
                    i class=(state.word()) style={ "flex:" (count) } {}
                }
            }
            div.tiles {
                (tile(&counts.total, &html! { "futures" }))
                @for (state, count) in states.iter().filter(|(_, count)| *count > 0) {
                    (tile(count, &tag(*state)))
                }
                @if counts.retried > 0 { (tile(&counts.retried, &html! { "retried" })) }
                (tile(&words::duration(work), &html! { "work" }))
                @if took > 0.0 {
                    (tile(&format!("{:.1}×", work.as_secs_f64() / took), &html! { "speedup" }))
                }
            }
        }
    }
}

fn tile(value: &dyn std::fmt::Display, label: &Markup) -> Markup {
    html! { div.tile { b { (value.to_string()) } span { (label) } } }
}

fn failures(run: &RunView<'_>, counts: &Counts) -> Markup {
    let graph = &run.job.graph;
    let groups: Vec<TaskId> = measure::failed_groups(graph, run.ledger)
        .filter(|&task| has_own_wait(graph, task))
        .take(FAILURES)
        .collect();
    let all = counts.failures() as usize;
    html! {
        @if all > 0 || !groups.is_empty() {
            section.card {
                h2 {
                    "Failures"
                    @if all > FAILURES { small { "the first " (FAILURES) " of " (all) } }
                }
                @for task in groups {
                    article.failure {
                        header {
                            span.dot.failed {}
                            span.name { (text(&run.task_name(task))) }
                            span.soft { "group" }
                            (place(run, task))
                        }
                        p.message { (words::group_failure(run, task)) }
                    }
                }
                @for node in measure::all_failures(graph, run.ledger).take(FAILURES) {
                    (failure(run, node))
                }
            }
        }
    }
}

fn failure(run: &RunView<'_>, node: NodeId) -> Markup {
    let record = run.record(node);
    let task = run.job.graph.task_of(node);
    html! {
        article.failure {
            header {
                span.dot.(record.state.word()) {}
                span.name { (text(&run.name(node).to_string())) }
                span.soft {
                    (words::state(record.state)) " after " (words::duration(record.elapsed()))
                    @if record.attempts > 1 { ", attempt " (record.attempts) }
                    @if run.job.graph.task(task).allow_failure { ", which is allowed" }
                }
                (place(run, task))
            }
            p.message { (words::plain(&words::why(run, record), true)) }
            @if let Some(detail) = &record.detail { (output(run, detail)) }
        }
    }
}

fn output(run: &RunView<'_>, detail: &Detail) -> Markup {
    html! {
        @for (name, captured) in [("stdout", &detail.stdout), ("stderr", &detail.stderr)] {
            @let lines = words::last_lines(run, captured, LINES);
            @if !lines.is_empty() {
                div.stream { (name) (cut(captured, &lines)) }
                pre { (lines.join("\n")) }
            }
        }
    }
}

/// Says so where not all of a stream is shown.
fn cut(captured: &Captured, lines: &[String]) -> Markup {
    let cut = captured.bytes > shape::TAIL as u64 || lines.len() == LINES;
    html! {
        @if cut { ", the end of " (words::many(captured.bytes, "byte")) }
        @if let Some(path) = &captured.path { ", all of it in " code { (path.display()) } }
    }
}

fn critical_path(run: &RunView<'_>, path: &[NodeId]) -> Markup {
    let total: Duration = path.iter().map(|&node| measure::busy(run.record(node))).sum();
    html! {
        @if path.len() > 1 {
            section.card {
                h2 {
                    "Critical path"
                    small {
                        (words::many(path.len() as u64, "future")) ", " (words::duration(total))
                        @if path.len() > STEPS { ", the last " (STEPS) " shown" }
                    }
                }
                ul.chain {
                    @for &node in &path[path.len().saturating_sub(STEPS)..] {
                        li {
                            span.step {
                                span.name { (text(&run.name(node).to_string())) } " "
                                span.soft { (words::duration(measure::busy(run.record(node)))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn groups(run: &RunView<'_>) -> Markup {
    let graph = &run.job.graph;
    let groups: Vec<_> = graph.tasks().filter(|(_, task)| task.size.is_group()).collect();
    html! {
        @if !groups.is_empty() {
            section.card {
                h2 {
                    "Groups"
                    @if groups.len() > ROWS { small { "the first " (ROWS) " of " (groups.len()) } }
                }
                div.scroll {
                    table {
                        thead {
                            tr {
                                th { "group" } th { "verdict" } th { "returned" }
                                th.number { "futures" } th { "of which" }
                            }
                        }
                        tbody {
                            @for (id, _) in groups.iter().take(ROWS) { (group(run, *id)) }
                        }
                    }
                }
            }
        }
    }
}

fn group(run: &RunView<'_>, task: TaskId) -> Markup {
    let members = run.job.graph.members(task);
    let mut counts = Counts { total: members.len() as u32, ..Counts::default() };
    members.for_each(|node| counts.add(run.record(NodeId(node))));
    let how = run.ledger.group(task);
    html! {
        tr {
            td { span.name { (text(&run.task_name(task))) } }
            td {
                @match how {
                    Some(how) => (tag(how.verdict())),
                    None => span.soft { "did not return" },
                }
            }
            td { @if let Some(how) = how { (words::returned(how)) } }
            td.number { (counts.total) }
            td.soft { (words::counts(&counts)) }
        }
    }
}

fn futures(run: &RunView<'_>, counts: &Counts, path: &[NodeId]) -> Markup {
    let graph = &run.job.graph;
    let on_path: std::collections::HashSet<NodeId> = path.iter().copied().collect();
    let failed = measure::all_failures(graph, run.ledger);
    let others = graph.futures().filter(|&node| !run.record(node).state.is_failure());
    html! {
        section.card {
            h2 {
                "Futures"
                @if counts.total as usize > ROWS {
                    small { (ROWS) " of " (counts.total) ", failures first" }
                }
            }
            div.scroll {
                table {
                    thead {
                        tr {
                            th { "future" } th { "state" } th { "worker" }
                            th.number { "started" } th.number { "elapsed" } th.number { "queued" }
                            th.number { "attempts" } th { "result or reason" }
                        }
                    }
                    tbody {
                        @for node in failed.chain(others).take(ROWS) {
                            (future(run, node, on_path.contains(&node)))
                        }
                    }
                }
            }
        }
    }
}

fn future(run: &RunView<'_>, node: NodeId, on_path: bool) -> Markup {
    let record = run.record(node);
    let graph = &run.job.graph;
    let executor = run.executor_name(graph.task_of(node));
    let first = measure::first_start(record);
    html! {
        tr {
            td {
                span.name { (text(&run.name(node).to_string())) }
                @if on_path { " " span.star title="on the critical path" { "★" } }
            }
            td { (tag(record.state)) }
            td.soft { @if record.worker > 0 { (text(&executor)) " " (record.worker) } }
            @if let Some(first) = first {
                td.number { (words::duration(first.since(Time::ZERO))) }
                td.number { (words::duration(record.elapsed())) }
                td.number { (words::duration(first.since(record.ready))) }
            } @else {
                td {} td {} td {}
            }
            td.number { (record.attempts) }
            td.wide { (left(run, record)) }
        }
    }
}

/// The result of a future, or why there is none, in one short line.
fn left(run: &RunView<'_>, record: &Record) -> Markup {
    const MOST: usize = 120;
    let why = words::why(run, record);
    let full = match (&record.result, why.is_empty()) {
        (_, false) => why,
        (value, true) if value.is_null() => String::new(),
        (value, true) => value.to_text().unwrap_or_default(),
    };
    let short = match full.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &full[..end]),
        None => full,
    };
    html! { span.name { (words::plain(&short, false)) } }
}

fn callbacks(run: &RunView<'_>) -> Markup {
    let all = &run.ledger.callbacks;
    let failed = all.iter().filter(|record| record.error.is_some());
    let others = all.iter().filter(|record| record.error.is_none());
    html! {
        @if !all.is_empty() {
            section.card {
                h2 {
                    "Callbacks"
                    @if all.len() > ROWS {
                        small { (ROWS) " of " (all.len()) ", failures first" }
                    }
                }
                div.scroll {
                    table {
                        thead {
                            tr {
                                th { "on" } th { "of" } th { "action" } th { "state" }
                                th.number { "elapsed" } th { "error" }
                            }
                        }
                        tbody {
                            @for record in failed.chain(others).take(ROWS) {
                                (callback(run, record))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn callback(run: &RunView<'_>, record: &crate::ledger::CallbackRecord) -> Markup {
    let ended = if record.error.is_none() { State::Succeeded } else { State::Failed };
    html! {
        tr {
            td { (record.on) }
            td {
                @match record.node {
                    Some(node) => span.name { (text(&run.name(node).to_string())) },
                    None => "the job",
                }
            }
            td { (run.job.callbacks[record.callback].action.word()) }
            td { (tag(ended)) }
            td.number { (words::duration(record.elapsed)) }
            td.wide { (text(record.error.as_deref().unwrap_or_default())) }
        }
    }
}

fn footer(run: &RunView<'_>) -> Markup {
    html! {
        footer {
            "jobrun " (env!("CARGO_PKG_VERSION")) ", run " code { (text(run.run_id)) }
            @if !run.job.origin.hash.is_empty() {
                ", manifest hash " code { (text(&run.job.origin.hash)) }
            }
        }
    }
}

fn tag(state: State) -> Markup {
    html! { span.tag { span.dot.(state.word()) {} (words::state(state)) } }
}

fn place(run: &RunView<'_>, task: TaskId) -> Markup {
    html! { @if let Some(place) = words::place(run, task) { code.soft { (place) } } }
}

fn by_state(counts: &Counts) -> [(State, u32); 6] {
    [
        (State::Succeeded, counts.succeeded),
        (State::Failed, counts.failed),
        (State::TimedOut, counts.timed_out),
        (State::Cancelled, counts.cancelled),
        (State::Skipped, counts.skipped),
        (State::Pending, counts.total.saturating_sub(counts.done())),
    ]
}

fn has_own_wait(graph: &Graph, task: TaskId) -> bool {
    graph.task(task).size.wait().is_some()
}

fn outcome(run: &RunView<'_>) -> String {
    Exit::of(&run.job.graph, run.ledger).word().replace('_', " ")
}

fn elapsed(run: &RunView<'_>) -> Duration {
    run.ended().unwrap_or_default().since(Time::ZERO)
}

/// The start of the run to the second.
fn calendar(run: &RunView<'_>) -> String {
    humantime::format_rfc3339_seconds(run.started_at).to_string().replace('T', " ")
}

/// Text from outside, with what is not text made visible.
fn text(text: &str) -> Markup {
    html! { (words::plain(text, false)) }
}
