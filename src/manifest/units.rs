//! Quantities with units: durations and sizes, from text and from numbers. Knows nothing of keys.

use std::time::Duration;

/// The units of a duration, in the words that are understood.
const TIME_UNITS: [&str; 23] = [
    "ns", "nsec", "us", "usec", "ms", "msec", "s", "sec", "secs", "second", "seconds", "m", "min",
    "mins", "minute", "minutes", "h", "hr", "hrs", "hour", "hours", "d", "day",
];

/// The units of a size and their bytes.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("b", 1),
    ("", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Why a text or a number is no quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitError {
    /// It is below 0.
    Negative,
    /// It is too large, or no number.
    OutOfRange,
    /// It is not written like one; the hint says how to.
    Malformed(String),
}

/// A duration from text such as `300ms` or `1m 30s`, in units up to days; a number without a unit
/// counts seconds. `none` is no duration: it undoes a default.
pub fn duration(text: &str) -> Result<Option<Duration>, UnitError> {
    let text = text.trim();
    if text == "none" {
        return Ok(None);
    }
    if text.starts_with('-') {
        return Err(UnitError::Negative);
    }
    // Rust also takes `nan` and `infinity` for numbers.
    if let Ok(number) = text.parse::<f64>()
        && text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    {
        return seconds(number).map(Some);
    }
    let units = text.split(|c: char| !c.is_alphabetic()).filter(|unit| !unit.is_empty());
    for unit in units {
        if unit != "days" && !TIME_UNITS.contains(&unit) {
            let hint = format!("`{unit}` is no unit: use ms, s, m, h or d, such as \"1m 30s\"");
            return Err(UnitError::Malformed(hint));
        }
    }
    match humantime::parse_duration(text) {
        Ok(duration) => bounded(duration).map(Some),
        Err(humantime::DurationError::NumberOverflow) => Err(UnitError::OutOfRange),
        Err(_) => Err(UnitError::Malformed(
            "write numbers with units, such as \"300ms\", \"7s\" or \"1m 30s\"".to_owned(),
        )),
    }
}

/// A duration from a number of seconds.
pub fn seconds(number: f64) -> Result<Duration, UnitError> {
    if number < 0.0 {
        return Err(UnitError::Negative);
    }
    let duration = Duration::try_from_secs_f64(number).map_err(|_| UnitError::OutOfRange)?;
    bounded(duration)
}

/// The clock of a run counts nanoseconds in 64 bits: 584 years.
fn bounded(duration: Duration) -> Result<Duration, UnitError> {
    match u64::try_from(duration.as_nanos()) {
        Ok(_) => Ok(duration),
        Err(_) => Err(UnitError::OutOfRange),
    }
}

/// A number of bytes from text such as `8GiB` or `1.5 GB`.
pub fn size(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(UnitError::Negative);
    }
    let malformed = || UnitError::Malformed("write a number and a unit, such as \"8GiB\"".into());
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let Some((_, factor)) = SIZE_UNITS.iter().find(|(known, _)| *known == unit) else {
        let hint = format!("`{unit}` is no unit: use B, KiB, MiB, GiB, TiB, kB, MB, GB or TB");
        return Err(if number.is_empty() { malformed() } else { UnitError::Malformed(hint) });
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*factor).ok_or(UnitError::OutOfRange);
    }
    let bytes = number.parse::<f64>().map_err(|_| malformed())? * *factor as f64;
    if bytes < u64::MAX as f64 { Ok(bytes.round() as u64) } else { Err(UnitError::OutOfRange) }
}
