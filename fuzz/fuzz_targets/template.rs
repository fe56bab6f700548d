//! Text as a template: it is read and filled in, or refused. Nothing panics.

#![no_main]

use jobrun::Value;
use jobrun::template::{Names, Scope, Template, find, mentions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let vars = Value::from_json(br#"{"text": "a b", "list": [1, "x", null, [2.5]], "n": -3}"#)
        .unwrap_or_default();
    let item = Value::from_json(br#"{"os": "mac", "deep": {"list": [{"x": true}]}}"#)
        .unwrap_or_default();
    let axes = ["os".to_owned(), "deep".to_owned()];
    let names = Names { item: true, vars: &vars, matrix: Some(&axes), ..Names::default() };
    let _ = (find(text), mentions(text));
    let Ok(template) = Template::parse(text, &names) else { return };
    let scope =
        Scope { vars: Some(&vars), item: Some(&item), index: Some(7), ..Scope::default() };
    let _ = template.value(&scope);
    let _ = template.line(&scope);
});
