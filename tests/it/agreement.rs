//! The parser and the schema agree: on every key of every table, with a value of every type.

use jobrun::manifest;
use serde_json::{Value as Json, json};

use crate::compile::job;

/// A manifest in which each table stands where `place` (a JSON pointer) says, and what it needs to be
/// valid but for a key under test.
fn hosts() -> Vec<(&'static str, &'static str, Json)> {
    let task = json!({ "name": "a", "call": "echo", "args": [1] });
    let with = |key: &str, value: Json| {
        let mut manifest = json!({ "task": [task.clone()] });
        manifest[key] = value;
        manifest
    };
    let in_task = |key: &str, value: Json| {
        let mut manifest = json!({ "task": [{ "name": "a", "run": ["true"], "map": [1] }] });
        manifest["task"][0][key] = value;
        manifest
    };
    vec![
        ("", "", with("name", json!("n"))),
        ("Task", "/task/0", with("name", json!("n"))),
        ("Task", "/task/0", in_task("tags", json!([]))),
        ("Defaults", "/defaults", with("defaults", json!({}))),
        ("Callback", "/callback/0", with("callback", json!([{ "on": "done", "log": "x" }]))),
        ("Executor", "/executor", with("executor", json!({ "kind": "process" }))),
        ("Executor", "/executors/p", with("executors", json!({ "p": { "kind": "process" } }))),
        (
            "Initializer",
            "/executor/initializer",
            with("executor", json!({ "kind": "process", "initializer": { "call": "echo" } })),
        ),
        ("Wait", "/wait", with("wait", json!({}))),
        ("Wait", "/task/0/wait", in_task("wait", json!({}))),
        ("Retry", "/task/0/retry", in_task("retry", json!({}))),
        ("Report", "/report", with("report", json!({}))),
        (
            "Post",
            "/callback/0/post",
            with("callback", json!([{ "on": "done", "post": { "url": "http://x" } }])),
        ),
    ]
}

/// One value of each type, and lists and tables of what they mostly do not hold.
fn values() -> [Json; 12] {
    [
        json!(true),
        json!(7),
        json!(-7),
        json!(0.5),
        json!(-0.5),
        json!("?"),
        json!(""),
        json!([true]),
        json!([[]]),
        json!([{}]),
        json!({ "?": {} }),
        json!({ "?": 1 }),
    ]
}

/// The keys of a table, and one that it does not have.
fn keys(schema: &Json, table: &str) -> Vec<String> {
    let table = if table.is_empty() { schema } else { &schema["$defs"][table] };
    // A table with a shorthand is one of several forms.
    let forms = ["oneOf", "anyOf"].iter().filter_map(|word| table[word].as_array()).flatten();
    let properties = forms.chain([table]).filter_map(|form| form["properties"].as_object());
    let known: Vec<_> = properties.flat_map(|keys| keys.keys().cloned()).collect();
    assert!(known.len() > 1);
    known.into_iter().chain(["no_such_key".to_owned()]).collect()
}

#[test]
fn a_value_of_a_wrong_type_is_refused_by_both() {
    let schema = manifest::schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut apart = Vec::new();
    let mut tried = 0;
    for (table, place, host) in hosts() {
        for key in keys(&schema, table) {
            for value in values() {
                let mut manifest = host.clone();
                manifest.pointer_mut(place).unwrap()[&key] = value.clone();
                let text = toml::to_string(&manifest).unwrap();
                let codes: Vec<_> = match job("mutant.toml", &text) {
                    Ok(_) => Vec::new(),
                    Err(faults) => faults.iter().map(|fault| fault.code).collect(),
                };
                let valid = validator.is_valid(&manifest);
                let by_type = |code: &&str| matches!(*code, "wrong-type" | "unknown-key");
                if valid && codes.iter().any(by_type) || !valid && codes.is_empty() {
                    apart.push(format!("{place}/{key} = {value}: schema {valid}, {codes:?}"));
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 1000);
    assert!(apart.is_empty(), "{} of {tried}:\n{}", apart.len(), apart.join("\n"));
}
