//! What others read is described, and the descriptions are true: events, the report, the schemas.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::docs::{blocks, collect_keys, read};
use crate::story::{End, Story};

/// What differs from run to run: times, numbers of events, names of runs.
const DIFFERS: [&str; 15] = [
    "at",
    "elapsed",
    "finished_at",
    "jobrun",
    "manifest_hash",
    "paused",
    "queued",
    "returned_after",
    "run_id",
    "seq",
    "speedup",
    "started",
    "started_at",
    "t",
    "work",
];

/// The same with the type in place of what differs.
fn lasting(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| {
                let differs = DIFFERS.contains(&key.as_str());
                (key.clone(), if differs { json!(kind(value)) } else { lasting(value) })
            };
            Value::Object(entries.iter().map(entry).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(lasting).collect()),
        other => other.clone(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Null => "null",
        _ => "something else",
    }
}

/// The events of a run that are worth showing: one of each kind but those that do not happen if all is
/// well.
fn release() -> End {
    let paper = read("docs/events.md");
    let (_, manifest) = blocks(&paper, "toml").swap_remove(0);
    let end = Story::command(&["release.toml", "--events", "events.jsonl"])
        .file("release.toml", &manifest)
        .run();
    end.expect(1);
    end
}

/// A run in which something is not as it should be.
fn warned() -> End {
    let end = Story::new(
        "[executor]\nmax_workers = 1\ninitializer = { call = \"fail\", args = [\"no licence\"] }\n\
         [[task]]\nname = \"t\"\ncall = \"echo\"\nargs = [1]\n",
    )
    .run();
    end.expect(1);
    end
}

/// A run that learns on its way how many futures it has.
fn grown() -> End {
    let end = Story::new(
        "[[task]]\nname = \"list\"\ncall = \"echo\"\nargs = [[1, 2]]\n\
         [[task]]\nname = \"t\"\ncall = \"echo\"\nmap = \"{{ tasks.list.result }}\"\n",
    )
    .run();
    end.expect(0);
    end
}

/// A run that is paused and goes on.
fn paused() -> End {
    let story = Story::new("[[task]]\nname = \"t\"\nrun = [\"cat\", \"gate\"]\n");
    let gate = story.gate("gate");
    let running = story.spawn();
    let held = gate.reached();
    running.pause();
    running.signal(Signal::CONT);
    drop(held);
    let end = running.end();
    end.expect(0);
    end
}

/// A run that is interrupted.
fn interrupted() -> End {
    let story = Story::new("[[task]]\nname = \"t\"\nrun = [\"cat\", \"gate\"]\n");
    let gate = story.gate("gate");
    let running = story.spawn();
    let _never_opened = gate.reached();
    running.signal(Signal::TERM);
    let end = running.end();
    end.expect(143);
    end
}

#[test]
fn the_events_of_the_paper_are_those_that_are_written() {
    let shown: Vec<Vec<Value>> = blocks(&read("docs/events.md"), "json")
        .iter()
        .map(|(_, block)| block.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
        .collect();
    let [all, warning, pause, interrupt] = &shown[..] else { panic!("{} examples", shown.len()) };
    // Callbacks are done beside the run, so their events come sooner or later.
    let sorted = |events: &[Value]| {
        let mut lines: Vec<String> =
            events.iter().map(|event| lasting(event).to_string()).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(all), sorted(&release().events));
    for (example, end) in [(warning, warned()), (pause, paused()), (interrupt, interrupted())] {
        let written: Vec<Value> = end.events.iter().map(lasting).collect();
        assert!(written.contains(&lasting(&example[0])), "{example:?} is not among {written:#?}");
    }
}

#[test]
fn every_event_and_every_field_is_explained() {
    let paper = read("docs/events.md");
    let (everywhere, sections) = paper.split_once("\n## ").unwrap();
    let sections: BTreeMap<&str, &str> =
        sections.split("\n## ").filter_map(|section| section.split_once('\n')).collect();
    let events: Vec<Value> = [release(), warned(), grown(), paused(), interrupted()]
        .into_iter()
        .flat_map(|end| end.events)
        .collect();
    let kinds: BTreeSet<&str> =
        events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, sections.keys().copied().collect(), "all happen here, and all are explained");
    assert_eq!(kinds, kinds_of_the_source().iter().map(String::as_str).collect());
    for event in &events {
        let kind = event["event"].as_str().unwrap();
        for field in event.as_object().unwrap().keys() {
            let name = format!("`{field}`");
            let explained = sections[kind].contains(&name)
                || (["seq", "t", "event"].contains(&&**field) && everywhere.contains(&name));
            assert!(explained, "{kind} has a field {field}");
        }
    }
}

/// The events that there are, by the source.
fn kinds_of_the_source() -> BTreeSet<String> {
    let source = read("src/report/events.rs");
    let (_, rest) = source.split_once("enum Body<'a> {\n").unwrap();
    let (body, _) = rest.split_once("\n}\n").unwrap();
    let variants = body.lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(" {"));
    let snake = |name: &str| {
        let words: String = name
            .chars()
            .map(
                |c| if c.is_uppercase() { format!("_{}", c.to_lowercase()) } else { c.to_string() },
            )
            .collect();
        words.trim_start_matches('_').to_owned()
    };
    variants.map(snake).collect()
}

#[test]
fn the_report_of_the_paper_is_the_one_that_is_written() {
    let (_, shown) = blocks(&read("docs/report.md"), "json").swap_remove(0);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let end = Story::command(&["jobs/sums.toml", "-j", "1", "--report", "json=report.json"])
        .file("jobs/sums.toml", &read("jobs/sums.toml"))
        .run();
    end.expect(0);
    let (mut shown, mut written) = (lasting(&shown), lasting(&end.report));
    for report in [&mut shown, &mut written] {
        // Which took longest and which callback ended first may differ.
        assert_eq!(report["critical_path"].as_array().unwrap().len(), 1);
        report["critical_path"] = Value::Null;
        report["callbacks"].as_array_mut().unwrap().sort_by_key(|call| call["future"].to_string());
    }
    assert_eq!(shown, written);
}

#[test]
fn every_field_of_the_report_is_explained() {
    let paper = read("docs/report.md");
    let mut keys = BTreeSet::new();
    collect_keys(&jobrun::report::json::schema(), &mut keys);
    assert!(keys.len() > 50);
    let missing: Vec<_> = keys.iter().filter(|key| !paper.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The schemas that editors and other programs read from the repository. `JOBRUN_UPDATE=1` writes
/// them anew.
#[test]
fn the_schemas_that_are_kept_are_those_that_are_printed() {
    for (args, file) in [
        (&["schema"][..], "schema/jobrun.schema.json"),
        (&["schema", "report"], "schema/report.schema.json"),
    ] {
        let printed = Story::command(args).run().expect(0).stdout.clone();
        let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        if std::env::var_os("JOBRUN_UPDATE").is_some_and(|value| value == "1") {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &printed).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == printed, "{file} is out of date: JOBRUN_UPDATE=1 cargo test schemas_that");
    }
}
