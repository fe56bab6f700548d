//! The values of `vars`: those of the manifest, and what the command line puts in their place.

use crate::compile::context::Context;
use crate::diagnostic::Diagnostic;
use crate::value::Value;

/// All values, as a map. A value of the command line takes the type that the manifest declares.
pub(super) fn values(context: &mut Context<'_>) -> Value {
    let declared = context.manifest.vars.as_ref();
    let mut values = match declared.map(|vars| vars.to_value()) {
        Some(Value::Map(entries)) => entries,
        _ => Vec::new(),
    };
    // A value that could not be read is not to be missed where it is used.
    let broken = declared.into_iter().flat_map(|vars| &vars.broken);
    values.extend(broken.map(|name| (name.clone(), Value::Null)));
    for (name, text) in &context.options.vars {
        let Some((_, value)) = values.iter_mut().find(|(known, _)| known == name) else {
            let known: Vec<_> = values.iter().map(|(name, _)| name.as_str()).collect();
            let fault = unknown(context, name, &known);
            context.fault(fault);
            continue;
        };
        if value.is_null() {
            continue;
        }
        if let Some(given) = same_type(value, text) {
            *value = given;
            continue;
        }
        let kind = value.kind();
        let place = declared.and_then(|vars| vars.get(name)?.entry());
        let fault =
            Diagnostic::error("wrong-type", format!("--var {name}={text}: `{name}` is a {kind}"))
                .at(place)
                .label("declared here")
                .hint(format!("give a {kind}{}", example(value)));
        context.fault(fault);
    }
    Value::Map(values)
}

fn unknown(context: &mut Context<'_>, name: &str, known: &[&str]) -> Diagnostic {
    let hint = match known {
        [] => Some("the manifest declares no `vars`".to_owned()),
        known => context.guess(name, known.iter().copied()),
    };
    Diagnostic::error("unknown-var", format!("--var {name}: `vars` has no `{name}`")).hint_if(hint)
}

/// The text as a value of the type of `declared`.
fn same_type(declared: &Value, text: &str) -> Option<Value> {
    match declared {
        Value::Str(_) => Some(Value::from(text)),
        Value::Bool(_) => text.parse().ok().map(Value::Bool),
        Value::Int(_) => text.parse::<i64>().ok().map(Value::from),
        Value::Float(_) => {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)
        }
        Value::List(_) | Value::Map(_) | Value::Null => {
            let value: Value = serde_json::from_str(text).ok()?;
            (value.kind() == declared.kind()).then_some(value)
        }
    }
}

/// How a value of a type is written on the command line, where that is not plain.
fn example(declared: &Value) -> &'static str {
    match declared {
        Value::Bool(_) => ": true or false",
        Value::List(_) => " as JSON, such as [1, 2]",
        Value::Map(_) => " as JSON, such as {\"a\": 1}",
        _ => "",
    }
}
