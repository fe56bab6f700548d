//! What flows between tasks: results, lists of futures, items that turn out while the job runs, and
//! conditions. Each story is told on both executors.

mod conditions;
mod every_key;
mod follow;
mod grow;
mod moments;
mod names;
mod results;
mod selection;

use crate::conformance::{KINDS, on};
use crate::story::End;

/// What comes of these tasks on each executor, with so many workers.
fn both(max_workers: u32, rest: &str) -> [End; 2] {
    KINDS.map(|kind| on(kind, max_workers, rest).run())
}

/// The futures that started, in their order.
fn started(end: &End) -> Vec<&str> {
    happened(end, "started")
}

/// The futures of the events of a kind, in their order.
fn happened<'e>(end: &'e End, kind: &str) -> Vec<&'e str> {
    let events = end.events.iter().filter(|event| event["event"] == kind);
    events.map(|event| event["future"].as_str().unwrap()).collect()
}

/// What is said of the error of a future.
#[track_caller]
fn error<'e>(end: &'e End, future: &str, kind: &str) -> &'e str {
    let error = &end.future(future)["error"];
    assert_eq!(error["kind"], kind, "{error}");
    error["message"].as_str().unwrap()
}

/// The names of entries such as those of `done`, in their order.
#[track_caller]
fn entries(list: &serde_json::Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}
