//! The functions every job has.

use std::time::Duration;

use crate::functions::{Context, Functions, http};
use crate::value::Value;

/// Adds them all.
pub(super) fn register(functions: &mut Functions) {
    functions
        .register_named("sum_to", &["n"], sum_to)
        .register_named("sum", &["list"], sum)
        .register_named("echo", &["value"], |value: Value| Ok::<_, String>(value))
        .register_named("sleep", &["duration"], |context: &Context, duration: Value| {
            sleep(context, &duration)
        })
        .register_named("fail", &["message"], |message: String| Err::<(), _>(message))
        .register_named("hash", &["path"], hash)
        .register("http", http::fetch);
}

/// 1 + 2 + … + n; 0 if there is nothing to add.
fn sum_to(n: i128) -> Result<i128, String> {
    let n = n.max(0);
    // One of two neighbours is even; halving that one first loses nothing and overflows last.
    let (half, other) = if n % 2 == 0 { (n / 2, n + 1) } else { (n / 2 + 1, n) };
    half.checked_mul(other).ok_or_else(|| format!("the sum up to {n} is beyond 128 bits"))
}

/// The sum of a list of numbers: exact if all are whole, else as floats.
fn sum(list: Vec<Value>) -> Result<Value, String> {
    let mut whole = Some(Whole::default());
    let mut float = 0.0;
    for (index, item) in list.into_iter().enumerate() {
        match item {
            Value::Int(number) => {
                float += number as f64;
                whole = whole.map(|sum| sum.plus(number));
            }
            Value::Float(number) => {
                float += number;
                whole = None;
            }
            other => {
                let kind = other.kind();
                return Err(format!("argument 1: item {index}: expected a number, found a {kind}"));
            }
        }
    }
    match whole {
        Some(sum) => sum.total().map(Value::Int),
        None => Ok(Value::Float(float)),
    }
}

/// A sum of whole numbers that may leave 128 bits on its way as long as it comes back.
#[derive(Default)]
struct Whole {
    low: i128,
    wraps: i64,
}

impl Whole {
    fn plus(self, number: i128) -> Self {
        let (low, wrapped) = self.low.overflowing_add(number);
        let wraps = match (wrapped, number > 0) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => -1,
        };
        Self { low, wraps: self.wraps + wraps }
    }

    fn total(self) -> Result<i128, String> {
        if self.wraps == 0 { Ok(self.low) } else { Err("the sum is beyond 128 bits".to_owned()) }
    }
}

/// Does nothing for a while: a duration with units, or a number of seconds.
fn sleep(context: &Context, duration: &Value) -> Result<(), String> {
    if context.sleep(read_duration(duration)?) { Ok(()) } else { Err("cancelled".to_owned()) }
}

fn read_duration(value: &Value) -> Result<Duration, String> {
    let seconds = |seconds: f64| {
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| format!("argument 1: {seconds} is not a number of seconds to wait"))
    };
    match value {
        Value::Int(number) => seconds(*number as f64),
        Value::Float(number) => seconds(*number),
        Value::Str(text) => humantime::parse_duration(text)
            .map_err(|error| format!("argument 1: {text:?} is not a duration: {error}")),
        other => Err(format!(
            "argument 1: expected a duration such as \"300ms\", or seconds, found a {}",
            other.kind()
        )),
    }
}

/// The BLAKE3 hash of a file, in hexadecimal.
fn hash(context: &Context, path: String) -> Result<String, String> {
    let path = context.dir().join(path);
    let read = || {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(&path)?)?;
        Ok::<_, std::io::Error>(hasher.finalize().to_hex().to_string())
    };
    read().map_err(|error| format!("{}: {error}", path.display()))
}
