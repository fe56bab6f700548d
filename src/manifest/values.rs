//! The values that keys can have beyond plain strings, numbers and words. Knows how each is
//! written, and nothing of what it is for.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value as Json, json};
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::graph::{Amount, ReturnWhen};
use crate::manifest::place::{Entries, Items, Span, Spanned};
use crate::manifest::read::{Words, float, integer, list, word};
use crate::manifest::reader::{Node, Read, Reader};
use crate::manifest::units::{self, UnitError};
use crate::value::Value;

/// A duration, or `"none"`, which undoes a default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit(pub Option<Duration>);

/// How much there is of a resource, or how much of it a future holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// A count, or bytes.
    pub amount: u64,
    /// Whether it was written as a size in bytes, such as `"8GiB"`.
    pub bytes: bool,
}

/// A number of bytes above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// A factor above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor(pub f64);

/// An exit code, 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCode(pub u8);

/// One value as text: a string, a number or a boolean.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar(pub Value);

/// One value, or a list of them.
#[derive(Clone, Debug)]
pub struct OneOrMany<T>(pub Items<T>);

/// Whether a future runs.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Always, or never.
    Constant(bool),
    /// As an expression says.
    Template(String),
}

/// What is executed.
#[derive(Clone, Debug)]
pub enum Program {
    /// A program and its arguments, without a shell.
    Argv(Items<String>),
    /// A script for a shell.
    Script(String),
}

/// Reports why a text or number is no quantity of `what`.
fn unit_fault<T>(
    error: UnitError,
    what: &str,
    node: &Node<'_>,
    reader: &mut Reader<'_>,
) -> Option<T> {
    let key = reader.key_text();
    let (message, hint) = match error {
        UnitError::Negative => {
            (format!("{key} must be >= 0"), Some("for no limit, write \"none\"".to_owned()))
        }
        UnitError::OutOfRange => (
            format!("`{key}` is too large for {what}"),
            Some("for no limit, write \"none\", or leave the key out".to_owned()),
        ),
        UnitError::Malformed(hint) => (format!("`{key}` is not written as {what}"), Some(hint)),
    };
    reader.wrong_value(node.span(), message, hint)
}

impl Read for Limit {
    const WHAT: &'static str = "a duration";
    const HINT: Option<&'static str> =
        Some("write a string with units, such as \"1m 30s\", or a number of seconds");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let duration = match node.get_ref() {
            DeValue::String(text) => units::duration(text),
            DeValue::Integer(number) => match integer(number, node, reader)? {
                number if number < 0 => Err(UnitError::Negative),
                number => units::seconds(number as f64).map(Some),
            },
            DeValue::Float(number) => units::seconds(float(number, node, reader)?).map(Some),
            _ => return reader.wrong_type(node),
        };
        duration.map(Self).map_or_else(|error| unit_fault(error, "a duration", node, reader), Some)
    }
}

impl Read for Quantity {
    const WHAT: &'static str = "a count or a size";
    const HINT: Option<&'static str> =
        Some("write a whole number, or a string with a unit, such as \"8GiB\"");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let quantity = match node.get_ref() {
            DeValue::String(text) => match units::size(text) {
                Ok(amount) => Self { amount, bytes: true },
                Err(error) => return unit_fault(error, "a size", node, reader),
            },
            DeValue::Integer(number) => {
                let amount = u64::try_from(integer(number, node, reader)?).unwrap_or(0);
                Self { amount, bytes: false }
            }
            _ => return reader.wrong_type(node),
        };
        if quantity.amount > 0 {
            return Some(quantity);
        }
        let message = format!("{} must be greater than 0", reader.key_text());
        let hint = "a resource of which there is nothing can never be used".to_owned();
        reader.wrong_value(node.span(), message, Some(hint))
    }
}

impl Read for Bytes {
    const WHAT: &'static str = "a size";
    const HINT: Option<&'static str> =
        Some("write a string with a unit, such as \"8GiB\", or a number of bytes");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let bytes = match node.get_ref() {
            DeValue::String(text) => match units::size(text) {
                Ok(bytes) => bytes,
                Err(UnitError::Negative) => 0,
                Err(error) => return unit_fault(error, "a size", node, reader),
            },
            DeValue::Integer(number) => u64::try_from(integer(number, node, reader)?).unwrap_or(0),
            _ => return reader.wrong_type(node),
        };
        if bytes > 0 {
            return Some(Self(bytes));
        }
        let message = format!("{} must be greater than 0", reader.key_text());
        let hint = "give a size, such as \"8GiB\", or leave the key out".to_owned();
        reader.wrong_value(node.span(), message, Some(hint))
    }
}

impl Read for NonZeroU32 {
    const WHAT: &'static str = "a whole number";

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let number = i64::read(node, reader)?;
        if number <= 0 {
            let message = format!("{} must be greater than 0", reader.key_text());
            let hint = "write 1 or more, or leave the key out".to_owned();
            return reader.wrong_value(node.span(), message, Some(hint));
        }
        let fits = u32::try_from(number).ok().and_then(Self::new);
        fits.or_else(|| {
            let message = format!("{} must be <= {}", reader.key_text(), u32::MAX);
            reader.wrong_value(node.span(), message, None)
        })
    }
}

impl Read for Factor {
    const WHAT: &'static str = "a number";

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let number = match node.get_ref() {
            DeValue::Integer(number) => integer(number, node, reader)? as f64,
            DeValue::Float(number) => float(number, node, reader)?,
            _ => return reader.wrong_type(node),
        };
        if number > 0.0 {
            return Some(Self(number));
        }
        let message = format!("{} must be greater than 0", reader.key_text());
        let hint = "give a number such as 1.5, or leave the key out".to_owned();
        reader.wrong_value(node.span(), message, Some(hint))
    }
}

impl Read for ExitCode {
    const WHAT: &'static str = "an exit code";

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let DeValue::Integer(number) = node.get_ref() else { return reader.wrong_type(node) };
        let number = integer(number, node, reader)?;
        u8::try_from(number).ok().map(Self).or_else(|| {
            reader.wrong_value(
                node.span(),
                format!("{number} is not an exit code"),
                Some("exit codes are whole numbers from 0 to 255".to_owned()),
            )
        })
    }
}

impl Read for Scalar {
    const WHAT: &'static str = "a string, a number or a boolean";

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::Array(_) | DeValue::Table(_) => reader.wrong_type(node),
            _ => Value::read(node, reader).map(Self),
        }
    }
}

impl<T: Read> Read for OneOrMany<T> {
    const WHAT: &'static str = T::WHAT;
    const HINT: Option<&'static str> = T::HINT;

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::Array(array) => list(array, reader).map(Self),
            _ => Some(Self(vec![Spanned::at(T::read(node, reader)?, node.span())])),
        }
    }
}

impl Read for Program {
    const WHAT: &'static str = "a list of strings or a string";
    const HINT: Option<&'static str> = Some(
        "write a program and its arguments, [\"echo\", \"hello\"], or a script for the shell, \
         \"echo hello\"",
    );

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::String(script) => Some(Self::Script(script.to_string())),
            DeValue::Array(array) => {
                let argv: Items<String> = list(array, reader)?;
                // With an element lost it would be another command.
                (argv.len() == array.len()).then_some(Self::Argv(argv))
            }
            _ => reader.wrong_type(node),
        }
    }
}

impl Read for Condition {
    const WHAT: &'static str = "an expression or a boolean";
    const HINT: Option<&'static str> =
        Some("write an expression that yields true or false, such as \"{{ vars.deploy }}\"");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::Boolean(value) => Some(Self::Constant(*value)),
            DeValue::String(text) => Some(Self::Template(text.to_string())),
            _ => reader.wrong_type(node),
        }
    }
}

/// The policies that are one word.
impl Words for ReturnWhen {
    const WHAT: &'static str = "a wait policy";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("all_completed", Self::AllCompleted),
        ("first_completed", Self::FirstCompleted),
        ("first_exception", Self::FirstException),
        ("first_success", Self::FirstSuccess),
    ];
}

/// Makes a policy that counts.
type Counting = fn(Amount) -> ReturnWhen;

/// The policies that count, by their key.
const COUNTING: [(&str, Counting); 3] = [
    ("completed", ReturnWhen::Completed),
    ("succeeded", ReturnWhen::Succeeded),
    ("failed", ReturnWhen::Failed),
];

impl Read for ReturnWhen {
    const WHAT: &'static str = "a wait policy";
    const HINT: Option<&'static str> = Some(
        "use \"all_completed\", \"first_completed\", \"first_exception\", \"first_success\", \
         { completed = k }, { succeeded = k } or { failed = k }",
    );

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::String(text) => word(node, text, reader),
            DeValue::Table(table) => counting_policy(table, node, reader),
            _ => reader.wrong_type(node),
        }
    }
}

fn counting_policy(
    table: &DeTable<'_>,
    node: &Node<'_>,
    reader: &mut Reader<'_>,
) -> Option<ReturnWhen> {
    let mut entries = table.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else {
        return reader.wrong_value(
            node.span(),
            format!("{} must have exactly one key", reader.subject()),
            Some("write { completed = k }, { succeeded = k } or { failed = k }".to_owned()),
        );
    };
    let name = key.get_ref().as_ref();
    let Some((_, policy)) = COUNTING.iter().find(|(known, _)| *known == name) else {
        let hint = did_you_mean(name, COUNTING.iter().map(|(known, _)| *known));
        return reader.fault(
            Diagnostic::error("unknown-key", format!("unknown key `{name}` in `return_when`"))
                .at(key.span())
                .hint(hint.unwrap_or_else(|| {
                    "its keys are `completed`, `succeeded`, `failed`".to_owned()
                })),
        );
    };
    reader.under(Span::from(key.span()), |reader| Amount::read(value, reader)).map(policy)
}

impl Read for Amount {
    const WHAT: &'static str = "a number of futures or a percentage";
    const HINT: Option<&'static str> = Some("write a whole number, or a string such as \"80%\"");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::Integer(_) => NonZeroU32::read(node, reader).map(|k| Self::Count(k.get())),
            DeValue::String(text) => match percent(text) {
                Some(percent) => Some(Self::Percent(percent)),
                None => reader.wrong_value(
                    node.span(),
                    format!("\"{text}\" is not a percentage"),
                    Some("write a number above 0 up to 100, such as \"80%\"".to_owned()),
                ),
            },
            _ => reader.wrong_type(node),
        }
    }
}

fn percent(text: &str) -> Option<f64> {
    let digits = text.strip_suffix('%')?.trim();
    // Rust takes more for a number, such as `1e1` and `+5`.
    let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    let number: f64 = digits.parse().ok().filter(|_| plain)?;
    (number > 0.0 && number <= 100.0).then_some(number)
}

/// A wait policy from one word of a command line: the words of the manifest, and `completed=3`,
/// `succeeded=80%` or `failed=1`.
///
/// # Errors
/// What is wrong, for people.
pub fn return_when(text: &str) -> Result<ReturnWhen, String> {
    if let Some(policy) = ReturnWhen::of(text) {
        return Ok(policy);
    }
    let counted = text.split_once('=').and_then(|(name, amount)| {
        let (_, policy) = COUNTING.iter().find(|(known, _)| *known == name)?;
        let count = amount.parse().ok().filter(|count| *count > 0).map(Amount::Count);
        count.or_else(|| percent(amount).map(Amount::Percent)).map(policy)
    });
    counted.ok_or_else(|| {
        format!(
            "\"{text}\" is not a wait policy: use all_completed, first_completed, \
             first_exception, first_success, completed=K, succeeded=K or failed=K, where K is a \
             number or a percentage such as 80%"
        )
    })
}

/// A duration from one word of a command line, as in a manifest; `None` for `none`.
///
/// # Errors
/// What is wrong, for people.
pub fn duration(text: &str) -> Result<Option<Duration>, String> {
    units::duration(text).map_err(|error| match error {
        UnitError::Negative => "a duration must be >= 0".to_owned(),
        UnitError::OutOfRange => format!("\"{text}\" is too large for a duration"),
        UnitError::Malformed(hint) => format!("\"{text}\" is not a duration: {hint}"),
    })
}

macro_rules! schema {
    ($($type:ty, $name:literal => $schema:tt;)*) => {
        $(impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })*
    };
}

schema! {
    Limit, "Duration" => {
        "oneOf": [
            { "type": "string", "pattern": DURATION_PATTERN },
            { "type": "number", "minimum": 0 },
        ],
    };
    Quantity, "Quantity" => {
        "oneOf": [
            { "type": "string", "pattern": "^\\s*[0-9.]+\\s*([kKmMgGtT][iI]?)?[bB]?\\s*$" },
            { "type": "integer", "minimum": 1 },
        ],
    };
    Bytes, "Bytes" => {
        "oneOf": [
            { "type": "string", "pattern": "^\\s*[0-9.]+\\s*([kKmMgGtT][iI]?)?[bB]?\\s*$" },
            { "type": "integer", "minimum": 1 },
        ],
    };
    Factor, "Factor" => { "type": "number", "exclusiveMinimum": 0 };
    ExitCode, "ExitCode" => { "type": "integer", "minimum": 0, "maximum": 255 };
    Scalar, "Scalar" => { "type": ["string", "number", "boolean"] };
    Value, "Value" => { "type": ["string", "number", "boolean", "array", "object"] };
    Program, "Program" => {
        "oneOf": [
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            { "type": "string" },
        ],
    };
    Condition, "Condition" => {
        "oneOf": [{ "type": "string", "pattern": "\\{\\{" }, { "type": "boolean" }],
    };
    Amount, "Amount" => {
        "oneOf": [
            { "type": "integer", "minimum": 1 },
            { "type": "string", "pattern": "^(100(\\.0*)?|[0-9]{1,2}(\\.[0-9]*)?)\\s*%$" },
        ],
    };
}

/// Seconds, numbers with units up to days, or `none`.
const DURATION_PATTERN: &str = r"^\s*(none|[0-9.]+|([0-9.]+\s*(ns|nsec|us|usec|ms|msec|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)\s*)+)\s*$";

impl JsonSchema for ReturnWhen {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ReturnWhen".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let words: Vec<_> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        let amount = generator.subschema_for::<Amount>();
        let mut choices: Vec<Json> = vec![json!({ "type": "string", "enum": words })];
        choices.extend(COUNTING.iter().map(|(key, _)| {
            json!({
                "type": "object",
                "properties": { *key: amount },
                "required": [key],
                "additionalProperties": false,
            })
        }));
        json_schema!({ "oneOf": choices })
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "oneOf": [one, { "type": "array", "items": one }] })
    }
}

impl Entries<Value> {
    /// The same as one value.
    pub fn to_value(&self) -> Value {
        Value::Map(
            self.iter().map(|(name, value)| (name.to_owned(), value.value.clone())).collect(),
        )
    }
}
