//! One job with every key that there is means the same on both executors.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use crate::conformance::KINDS;
use crate::docs::read;
use crate::story::{Door, End, Story};

/// Where the job and what it includes are kept.
const FOLDER: &str = "tests/manifests/every-key";

#[test]
fn the_job_of_every_key_has_every_key() {
    let schema = jobrun::manifest::schema();
    let mut known = BTreeSet::new();
    collect(&schema, "", &mut known);
    for (name, table) in schema["$defs"].as_object().unwrap() {
        // What tasks start from has the keys of tasks.
        if name != "Defaults" {
            collect(table, name, &mut known);
        }
    }
    assert!(known.len() > 80, "{known:?}");
    let manifest: Value = toml::from_str(&read(format!("{FOLDER}/job.toml"))).unwrap();
    let mut used = BTreeSet::new();
    note(&schema, &schema, "", &manifest, &mut used);
    let missing: Vec<_> = known.difference(&used).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The names of the properties of a table, with those of tables within it.
fn collect(schema: &Value, at: &str, known: &mut BTreeSet<String>) {
    for (name, property) in properties(schema) {
        let path = format!("{at}.{name}");
        collect(property, &path, known);
        known.insert(path);
    }
    parts(schema).for_each(|part| collect(part, at, known));
}

/// Notes which properties `value` has, where the schema knows them.
fn note(root: &Value, schema: &Value, at: &str, value: &Value, used: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|it| it.strip_prefix("#/$defs/")) {
        note(root, &root["$defs"][name], name, value, used);
    }
    for (name, property) in properties(schema) {
        if let Some(inner) = value.get(name) {
            let path = format!("{at}.{name}");
            note(root, property, &path, inner, used);
            used.insert(path);
        }
    }
    let items = value.as_array().into_iter().flatten();
    items.for_each(|item| note(root, &schema["items"], at, item, used));
    let entries = value.as_object().into_iter().flat_map(|entries| entries.values());
    entries.for_each(|entry| note(root, &schema["additionalProperties"], at, entry, used));
    for key in ["allOf", "anyOf", "oneOf"] {
        let parts = schema[key].as_array().into_iter().flatten();
        parts.for_each(|part| note(root, part, at, value, used));
    }
}

/// The properties of a schema, but those that there may not be.
fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties.filter(|(_, property)| **property != json!(false))
}

/// The schemas of which one is made.
fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["allOf", "anyOf", "oneOf"].into_iter();
    let lists = lists.filter_map(|key| schema[key].as_array()).flatten();
    lists.chain(["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key)))
}

/// Runs the job with functions on an executor of this kind.
fn run(kind: &str) -> End {
    let door = Door::new();
    let text = read(format!("{FOLDER}/job.toml")).replacen(
        "kind            = \"thread\"",
        &format!("kind            = \"{kind}\""),
        1,
    );
    let story = Story::command(&["job.toml", "--events", "events.jsonl", "-v"])
        .args(&["--report", "json=report.json"])
        .file("job.toml", &text)
        .file("part.toml", &read(format!("{FOLDER}/part.toml")))
        .file("some.env", "FROM_FILE=file\n")
        .file("out/is-there", "")
        .file("data/a.txt", "one\ntwo\n")
        .file("data/b.txt", "three\n")
        .file("data/items.json", "[{\"n\": 1}, null]")
        .env("API_TOKEN", "sesame-open-7")
        .env("HOOK", door.url())
        .args(&["--allow-host", "127.0.0.1"]);
    let running = story.spawn();
    // One call for the end of the job, whichever of its words it is called for.
    let hook = thread::spawn(move || {
        let knock = door.knock();
        let request = knock.request.clone();
        knock.answer("thanks");
        request
    });
    let end = running.end();
    end.expect(0);
    let request = hook.join().unwrap();
    assert!(request.to_ascii_lowercase().contains("x-job: every-key"), "{request}");
    assert!(request.ends_with("succeeded"), "{request}");
    for file in ["report.json", "report.xml", "report.md", "report.html", "trace.json"] {
        assert!(!end.file(&format!("out/{file}")).is_empty());
    }
    end
}

/// What must not differ from one executor to the other.
fn outcome(end: &End) -> Value {
    let mut report = end.report.clone();
    let clock = ["started", "elapsed", "queued", "worker"];
    for future in report["futures"].as_array_mut().unwrap() {
        for key in clock {
            future[key] = Value::Null;
        }
        for attempt in future["attempts"].as_array_mut().unwrap() {
            for key in clock {
                attempt[key] = Value::Null;
            }
        }
        if future["task"] == "deploys" {
            future["result"] = Value::Null;
        }
    }
    let sorted = |list: &Value, line: &dyn Fn(&Value) -> String| {
        let mut lines: Vec<String> = list.as_array().unwrap().iter().map(line).collect();
        lines.sort();
        lines
    };
    let called = |call: &Value| {
        format!("{} {} {} {}", call["line"], call["on"], call["future"], call["state"])
    };
    let mut groups = report["groups"].clone();
    for group in groups.as_object_mut().unwrap().values_mut() {
        group["returned_after"] = Value::Null;
    }
    json!({
        "outcome": report["outcome"],
        "because": report["wait"]["returned_because"],
        "counts": report["counts"],
        "results": report["results"],
        "groups": groups,
        "futures": report["futures"],
        "done": sorted(&report["done"], &Value::to_string),
        "not_done": report["not_done"],
        "callbacks": sorted(&report["callbacks"], &called),
    })
}

#[test]
fn the_job_of_every_key_means_the_same_on_both_executors() {
    let [thread, process] = KINDS.map(|kind| outcome(&run(kind)));
    assert_eq!(thread, process);
    let results = &thread["results"];
    for (task, result) in [
        ("find", json!([3, 1, "so"])),
        ("over-list", json!([1, 2, 3])),
        ("over-range", json!([1, 10, 28])),
        ("over-glob", json!([["one", "two", "3 every-key file"], ["three", "3 every-key file"]])),
        ("over-lines", json!(["ONE", "TWO"])),
        ("over-json", json!([{ "n": 1 }, null])),
        ("over-results", json!([[3, "succeeded"], [1, "succeeded"], ["so", "succeeded"]])),
        (
            "combined",
            json!([
                "linux-1-data/items.json",
                "linux-2-data/items.json",
                "mac-2-data/items.json",
                "bsd-9-none",
            ]),
        ),
        ("part", json!("every-key file")),
        ("some-completed", json!([1, 2, null])),
        ("some-succeeded", json!([1, 2, null])),
        ("tries", json!("")),
        ("held", json!("77")),
    ] {
        assert_eq!(results[task], result, "{task}");
    }
    let shows = &results["shows"];
    assert_eq!(shows["done"], json!(["some-completed[0]", "some-completed[1]"]));
    assert_eq!((&shows["not_done"], &shows["errors"]), (&json!(1), &json!(2)));
    assert_eq!(shows["results"], results["over-results"]);
    assert_eq!(results["followed"][2], r#"over-results[2]: ["so","succeeded"]"#);
    assert_eq!(results["read"][0], Value::Null, "its condition does not hold");
    assert_eq!(thread["outcome"], "succeeded");
}
