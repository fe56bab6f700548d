//! Stories about: the reports that are written.

use std::fs;
use std::time::Duration;

use jobrun::event::{Event, Stamped};
use jobrun::graph::{Amount, ReturnWhen, Wait};
use jobrun::measure;
use jobrun::outcome::{Because, Captured, Cause, FailureKind, Stream};
use jobrun::report::events::Events;
use jobrun::report::{AtEnd, Format, Observer, RunView, json};
use jobrun::shape;
use jobrun::time::Time;
use jobrun::value::Value;
use serde_json::{Value as Json, json};

use crate::told::{Plan, Run, Shared, sums, tell_sums, tell_trouble, troubled};

fn written(format: Format, run: &Run) -> String {
    let mut out = Vec::new();
    format.write(&mut out, &run.view()).unwrap();
    String::from_utf8(out).unwrap()
}

fn report(run: &Run) -> Json {
    serde_json::from_str(&written(Format::Json, run)).unwrap()
}

#[test]
fn look_at_the_page() {
    if let Ok(folder) = std::env::var("SHOW") {
        fs::write(format!("{folder}/a.html"), written(Format::Html, &troubled())).unwrap();
        fs::write(format!("{folder}/b.html"), written(Format::Html, &sums())).unwrap();
        fs::write(format!("{folder}/a.md"), written(Format::Markdown, &troubled())).unwrap();
        fs::write(format!("{folder}/a.xml"), written(Format::Junit, &troubled())).unwrap();
        fs::write(format!("{folder}/a.trace"), written(Format::Trace, &troubled())).unwrap();
        fs::write(format!("{folder}/a.json"), written(Format::Json, &troubled())).unwrap();
    }
}
