//! The expression engine: compiles and evaluates one expression, and carries values over and back.
//! Knows nothing of which names are in scope.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use minijinja::value::{Value as EngineValue, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Expression, UndefinedBehavior};

use super::error::TemplateError;
use super::scan;
use crate::value::Value;

/// The longest expression, in bytes.
const MAX_LENGTH: usize = 16 * 1024;
/// The most tokens of an expression. The engine recurses into chains of operators without a bound
/// of its own; this one keeps it far from the end of any stack.
const MAX_TOKENS: usize = 800;
/// What one evaluation may cost: steps, and what it makes, of which 64 bytes cost as much as a step.
const FUEL: u64 = 4 * 1024 * 1024;
/// The most values and bytes of what an expression yields.
const MAX_SIZE: usize = 2 * 1024 * 1024;
/// How deep a value that an expression yields may be nested.
const MAX_DEPTH: u32 = 128;

/// The rules of the language. A constant: nothing is ever added to it, and expressions borrow it
/// for as long as they live, which is why it is not a field of each of them.
static RULES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut rules = Environment::new();
    rules.set_undefined_behavior(UndefinedBehavior::Strict);
    rules.set_fuel(Some(FUEL));
    // It would show the engine's inside.
    rules.remove_global("debug");
    rules
});

/// An expression, compiled once. Copies share it.
#[derive(Clone)]
pub(super) struct Compiled {
    expression: Arc<Expression<'static, 'static>>,
    text: Arc<str>,
    /// The names it needs, sorted: `item`, or `vars.region` for one that is reached by dots.
    names: Arc<[String]>,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{ {} }}}}", self.text)
    }
}

impl Compiled {
    /// Compiles `text`; ranges of errors are places in it.
    pub fn new(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::new("an expression is missing between `{{` and `}}`"));
        }
        if text.len() > MAX_LENGTH {
            return Err(TemplateError::new(format!(
                "an expression may be {MAX_LENGTH} bytes long, this one has {}",
                text.len()
            )));
        }
        if scan::tokens(text).nth(MAX_TOKENS).is_some() {
            return Err(TemplateError::new(format!(
                "an expression may have {MAX_TOKENS} words and signs, this one has more"
            )));
        }
        let expression = RULES
            .compile_expression_owned(text.to_owned())
            .map_err(|error| describe(&error, text))?;
        if let Some(error) = unknown_word(text) {
            return Err(error);
        }
        let names: BTreeSet<String> = expression
            .undeclared_variables(true)
            .into_iter()
            .chain(scan::sliced(text))
            .filter(|name| !RULES.globals().any(|(global, _)| global == name))
            .collect();
        Ok(Self {
            expression: Arc::new(expression),
            text: text.into(),
            names: names.into_iter().collect(),
        })
    }

    /// The names it needs, sorted: `item`, or `vars.region` for one that is reached by dots.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Evaluates it over these names and values.
    pub fn eval(
        &self,
        names: impl Iterator<Item = (&'static str, Ready)>,
    ) -> Result<Value, TemplateError> {
        let names = Ready::map(names).0;
        // The engine is not ours: should it not hold, this is one more error of the expression.
        let found = catch_unwind(AssertUnwindSafe(|| self.expression.eval(names)))
            .map_err(|_| TemplateError::new(format!("`{}` cannot be evaluated", self.text)))?
            .map_err(|error| describe(&error, &self.text))?;
        if found.is_undefined() {
            return Err(TemplateError::new(format!("`{}` is undefined", self.text)));
        }
        let mut room = MAX_SIZE;
        from_engine(&found, MAX_DEPTH, &mut room)
            .map_err(|what| TemplateError::new(format!("`{}` {what}", self.text)))
    }
}

/// A value as the engine takes it. Copies share it, so that what many expressions use is converted
/// once.
#[derive(Clone, Debug)]
pub struct Ready(EngineValue);

impl Ready {
    /// Converts a value.
    pub fn new(value: &Value) -> Self {
        Self(to_engine(value))
    }

    /// A map of these.
    pub(super) fn map<'n>(entries: impl Iterator<Item = (&'n str, Self)>) -> Self {
        Self(EngineValue::from_pairs(entries.map(|(name, value)| (name, value.0))))
    }
}

/// The first filter or test that does not exist. The engine only finds out when it gets there;
/// asking it to apply the word to nothing tells beforehand.
fn unknown_word(text: &str) -> Option<TemplateError> {
    let mut before = "";
    let mut earlier = "";
    for (at, token) in scan::tokens(text) {
        let range = at..at + token.len();
        let name = token.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let test_follows = before == "is" && earlier != "." && token != "not";
        if name && before == "|" && !exists("|", token, ErrorKind::UnknownFilter) {
            return Some(TemplateError::at(format!("there is no filter `{token}`"), range));
        }
        if name && test_follows && !exists(" is ", token, ErrorKind::UnknownTest) {
            return Some(TemplateError::at(format!("there is no test `{token}`"), range));
        }
        // `x is not odd`: the word that counts comes after `not`.
        if !(before == "is" && token == "not") {
            (earlier, before) = (before, token);
        }
    }
    None
}

fn exists(operator: &str, word: &str, unknown: ErrorKind) -> bool {
    let probe = format!("none{operator}{word}");
    let tried = RULES.compile_expression(&probe).and_then(|probe| probe.eval(()));
    tried.err().is_none_or(|error| error.kind() != unknown)
}

/// An error of the engine in our words; it may point between the bytes of a character.
fn describe(error: &Error, text: &str) -> TemplateError {
    let message = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "the expression costs too much to evaluate".to_owned(),
        (ErrorKind::SyntaxError | ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    let whole = |range: Range<usize>| {
        text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end)
    };
    let range = error.range().map(whole).filter(|range| !range.is_empty());
    TemplateError { range, ..TemplateError::new(message) }
}

/// A value as the engine sees it. Whole numbers stay exact, maps keep their order.
fn to_engine(value: &Value) -> EngineValue {
    match value {
        Value::Null => ().into(),
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Str(value) => value.as_str().into(),
        Value::List(items) => items.iter().map(to_engine).collect(),
        Value::Map(entries) => EngineValue::from_pairs(
            entries.iter().map(|(name, value)| (name.as_str(), to_engine(value))),
        ),
    }
}

/// The value that the engine found; `Err` says what is wrong with it. Lists of the engine may be
/// made as they are read, so `room` bounds the number of values and bytes.
fn from_engine(value: &EngineValue, depth: u32, room: &mut usize) -> Result<Value, String> {
    let size = value.as_str().map_or(1, str::len);
    *room = room.checked_sub(size).ok_or("is too large")?;
    let depth = depth.checked_sub(1).ok_or("is nested too deep")?;
    Ok(match value.kind() {
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => {
            Value::Int(i128::try_from(value.clone()).map_err(|_| "is beyond 128 bits")?)
        }
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(number) if number.is_finite() => Value::Float(number),
            _ => return Err("is not a finite number".to_owned()),
        },
        ValueKind::String => Value::Str(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(|error| error.to_string())?;
            Value::List(
                items.map(|item| from_engine(&item, depth, room)).collect::<Result<_, _>>()?,
            )
        }
        ValueKind::Map => {
            let keys = value.try_iter().map_err(|error| error.to_string())?;
            let mut entries = Vec::new();
            for key in keys {
                let item = value.get_item(&key).map_err(|error| error.to_string())?;
                entries.push((key.to_string(), from_engine(&item, depth, room)?));
            }
            Value::Map(entries)
        }
        ValueKind::Undefined => return Err("has a part that is undefined".to_owned()),
        other => return Err(format!("is a {other}, which is no value")),
    })
}
