//! JSON text → values. Knows nothing of where the text comes from.

use std::collections::HashMap;

use jiter::{JsonError, JsonErrorType, JsonValue};

use crate::value::Value;

impl Value {
    /// Reads one JSON document. Whole numbers are exact to 128 bits; larger ones, and fractions too
    /// large for a float, are errors. Of equal keys the last one counts.
    ///
    /// # Errors
    /// What the text is instead, for a message: `not JSON: …` with the line and column, or
    /// `JSON with …`.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let parsed = JsonValue::parse(text, false).map_err(|error| not_json(&error, text))?;
        convert(&parsed).map_err(|why| format!("JSON with {why}"))
    }
}

fn not_json(error: &JsonError, text: &[u8]) -> String {
    if error.error_type == JsonErrorType::EofWhileParsingValue && text.trim_ascii().is_empty() {
        return "not JSON: it is empty".to_owned();
    }
    let place = error.get_position(text);
    let (line, column) = (place.line, place.column);
    format!("not JSON: line {line} column {column}: {}", error.error_type)
}

fn convert(value: &JsonValue<'_>) -> Result<Value, String> {
    Ok(match value {
        JsonValue::Null => Value::Null,
        JsonValue::Bool(truth) => Value::Bool(*truth),
        JsonValue::Int(number) => Value::from(*number),
        JsonValue::BigInt(number) => Value::Int(
            i128::try_from(number).map_err(|_| "a whole number beyond 128 bits".to_owned())?,
        ),
        JsonValue::Float(number) if number.is_finite() => Value::Float(*number),
        JsonValue::Float(_) => return Err("a number beyond the range of floats".to_owned()),
        JsonValue::Str(text) => Value::Str(text.as_ref().to_owned()),
        JsonValue::Array(items) => {
            Value::List(items.iter().map(convert).collect::<Result<_, _>>()?)
        }
        JsonValue::Object(entries) => {
            let mut map: Vec<(String, Value)> = Vec::with_capacity(entries.len());
            let mut places: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
            for (key, value) in entries.iter() {
                let value = convert(value)?;
                let place = *places.entry(key.as_ref()).or_insert(map.len());
                match map.get_mut(place) {
                    Some(entry) => entry.1 = value,
                    None => map.push((key.as_ref().to_owned(), value)),
                }
            }
            Value::Map(map)
        }
    })
}
