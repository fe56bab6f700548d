//! The timeline of the HTML report: a row for each worker, a bar for each attempt, as inline SVG.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};

use maud::{Markup, html};

use super::text;
use crate::id::NodeId;
use crate::measure;
use crate::outcome::State;
use crate::report::words;
use crate::shape::RunView;
use crate::time::Time;

/// So many bars are drawn, the longest.
const BARS: usize = 2000;
/// So many rows are drawn, the first.
const LANES: usize = 256;

const WIDTH: f64 = 1130.0;
const LEFT: f64 = 110.0;
const TOP: f64 = 26.0;

/// One attempt on its worker.
struct Bar {
    node: NodeId,
    lane: (usize, u32),
    state: State,
    started: Time,
    ended: Time,
    earlier: bool,
}

/// The card with the timeline; nothing if nothing ran.
pub(super) fn card(run: &RunView<'_>, path: &[NodeId]) -> Markup {
    let mut bars = bars(run);
    if bars.is_empty() {
        return html! {};
    }
    let all = bars.len();
    if all > BARS {
        bars.sort_by_key(|bar| (Reverse(bar.ended.since(bar.started)), bar.node));
        bars.truncate(BARS);
    }
    let lanes: BTreeSet<(usize, u32)> = bars.iter().map(|bar| bar.lane).collect();
    let hidden = lanes.len().saturating_sub(LANES);
    let lanes: Vec<(usize, u32)> = lanes.into_iter().take(LANES).collect();
    html! {
        section.card {
            h2 {
                "Timeline"
                small {
                    @if all > BARS { "the " (BARS) " longest of " (words::many(all as u64, "attempt")) }
                    @if hidden > 0 { " on the first " (LANES) " workers" }
                }
            }
            div.scroll { (drawing(run, &bars, &lanes, path)) }
            (key(run, &bars))
        }
    }
}

fn bars(run: &RunView<'_>) -> Vec<Bar> {
    let graph = &run.job.graph;
    let mut bars = Vec::new();
    for node in graph.futures() {
        let record = run.record(node);
        let executor = graph.task(graph.task_of(node)).executor.index();
        let earlier = record.detail.iter().flat_map(|detail| &detail.earlier);
        bars.extend(earlier.map(|attempt| Bar {
            node,
            lane: (executor, attempt.worker),
            state: attempt.state,
            started: attempt.started,
            ended: attempt.ended,
            earlier: true,
        }));
        if record.state.is_done() && !measure::last_is_earlier(record) {
            bars.push(Bar {
                node,
                lane: (executor, record.worker),
                state: record.state,
                started: record.started,
                ended: record.ended,
                earlier: false,
            });
        }
    }
    bars
}

fn drawing(run: &RunView<'_>, bars: &[Bar], lanes: &[(usize, u32)], path: &[NodeId]) -> Markup {
    let latest = bars.iter().map(|bar| bar.ended).max().unwrap_or_default();
    let end = latest.max(run.ended().unwrap_or_default()).seconds().max(1e-9);
    let scale = Scale { end, row: row_height(lanes.len()) };
    let height = TOP + scale.row * lanes.len() as f64 + 4.0;
    let on_path: HashSet<NodeId> = path.iter().copied().collect();
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label="Timeline of the futures" {
            @for (place, &lane) in lanes.iter().enumerate() { (row(run, &scale, lanes, place, lane)) }
            @for tick in ticks(end) {
                @let x = round(scale.x(tick));
                line.grid x1=(x) x2=(x) y1=(TOP - 6.0) y2=(height) {}
                text x=(x) y=(TOP - 10.0) text-anchor="middle" { (tick_label(tick, end)) }
            }
            @for bar in bars {
                @if let Ok(place) = lanes.binary_search(&bar.lane) {
                    (drawn(run, &scale, bar, place, on_path.contains(&bar.node)))
                }
            }
            (wait_line(run, &scale, height))
        }
    }
}

/// Where things are drawn.
struct Scale {
    /// The time at the right edge, in seconds.
    end: f64,
    /// The height of one row.
    row: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - 12.0) * seconds / self.end
    }

    fn y(&self, place: usize) -> f64 {
        TOP + self.row * place as f64
    }
}

fn row(
    run: &RunView<'_>,
    scale: &Scale,
    lanes: &[(usize, u32)],
    place: usize,
    (executor, worker): (usize, u32),
) -> Markup {
    let first = place == 0 || lanes[place - 1].0 != executor;
    let name = run.shown(&run.job.graph.executors()[executor].name);
    let y = scale.y(place);
    // Rows too low for a label are named at every tenth.
    let labelled = scale.row >= 13.0 || worker % 10 == 1;
    html! {
        @if place.is_multiple_of(2) {
            rect.lane x="0" y=(round(y)) width=(WIDTH) height=(round(scale.row)) {}
        }
        @let base = round(y + scale.row / 2.0 + 4.0);
        @if first {
            text.executor x="6" y=(base) { (text(&shortened(&name, 11))) }
        }
        @if labelled || first {
            text x=(LEFT - 10.0) y=(base) text-anchor="end" { (worker) }
        }
    }
}

fn drawn(run: &RunView<'_>, scale: &Scale, bar: &Bar, place: usize, critical: bool) -> Markup {
    let inset = if scale.row >= 13.0 { 3.0 } else { 0.5 };
    let x = scale.x(bar.started.seconds());
    let width = (scale.x(bar.ended.seconds()) - x).max(1.5);
    let y = scale.y(place) + inset;
    let name = run.name(bar.node).to_string();
    let label = shortened(&name, ((width - 10.0) / 6.6).max(0.0) as usize);
    let fits = scale.row >= 18.0 && (label.len() == name.len() || label.chars().count() > 4);
    let mut class = format!("bar {}", bar.state.word());
    if bar.earlier {
        class.push_str(" earlier");
    }
    if critical {
        class.push_str(" critical");
    }
    let took = words::duration(bar.ended.since(bar.started));
    html! {
        rect class=(class) x=(round(x)) y=(round(y)) width=(round(width))
            height=(round(scale.row - 2.0 * inset)) rx={ @if width > 6.0 { "3" } @else { "0" } } {
            title {
                (text(&name)) ": " (words::state(bar.state)) " in " (took)
                @if critical { ", on the critical path" }
            }
        }
        @if fits {
            text.label x=(round(x + 6.0)) y=(round(y + (scale.row - 2.0 * inset) / 2.0 + 4.0)) {
                (text(&label))
            }
        }
    }
}

/// Where the job's wait returned, if other things still went on then.
fn wait_line(run: &RunView<'_>, scale: &Scale, height: f64) -> Markup {
    let Some(returned) = &run.ledger.returned else { return html! {} };
    let at = returned.how.after.as_secs_f64();
    let x = round(scale.x(at));
    html! {
        @if at < scale.end * 0.98 {
            line.return x1=(x) x2=(x) y1=(TOP - 6.0) y2=(height) {
                title { "the wait returned: " (returned.how.because.word()) }
            }
        }
    }
}

fn key(run: &RunView<'_>, bars: &[Bar]) -> Markup {
    let states = [State::Succeeded, State::Failed, State::TimedOut, State::Cancelled];
    let early = run.ledger.returned.as_ref().is_some_and(|returned| {
        let end = run.ended().unwrap_or_default().seconds();
        returned.how.after.as_secs_f64() < end * 0.98
    });
    html! {
        div.key {
            @for state in states {
                @if bars.iter().any(|bar| bar.state == state) {
                    span { span.dot.(state.word()) {} (words::state(state)) }
                }
            }
            span { span.outline {} "critical path" }
            @if early { span { span.dash {} "the wait returned" } }
        }
    }
}

const fn row_height(lanes: usize) -> f64 {
    match lanes {
        ..=24 => 28.0,
        25..=64 => 18.0,
        65..=128 => 10.0,
        _ => 6.0,
    }
}

/// Round times over the whole width: five to ten of them.
fn ticks(end: f64) -> Vec<f64> {
    let rough = end / 8.0;
    let power = 10f64.powf(rough.log10().floor());
    let steps = if end > 60.0 {
        vec![15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0]
    } else {
        vec![power, 2.0 * power, 5.0 * power, 10.0 * power]
    };
    let step = steps.into_iter().find(|step| *step >= rough).unwrap_or(rough);
    (0..=20).map(|count| f64::from(count) * step).take_while(|tick| *tick <= end).collect()
}

fn tick_label(tick: f64, end: f64) -> String {
    let whole = tick.round() as u64;
    match end {
        _ if tick == 0.0 => "0".to_owned(),
        ..0.01 => trimmed(tick * 1e3, 3, "ms"),
        ..1.0 => trimmed(tick * 1e3, 1, "ms"),
        ..=60.0 => trimmed(tick, 2, "s"),
        ..=3600.0 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02} h", whole / 3600, whole / 60 % 60),
    }
}

/// A number with as many digits after the point as it needs, at most so many.
fn trimmed(number: f64, digits: usize, unit: &str) -> String {
    let full = format!("{number:.digits$}");
    let short = full.trim_end_matches('0').trim_end_matches('.');
    format!("{short} {unit}")
}

/// At most so many characters, the last of them an ellipsis where something is left out.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) if most == 0 => String::new(),
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
    }
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
