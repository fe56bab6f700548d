//! Strings as TOML writes them: where a part of the value stands in what was written. Knows nothing of
//! what the strings mean.

use std::ops::Range;

/// The bytes of `written` that give the bytes `part` of `value`. `written` is a value of a manifest that
/// is this string, or has it somewhere in it; `None` if it cannot be told.
pub fn place_of_part(written: &str, value: &str, part: &Range<usize>) -> Option<Range<usize>> {
    let mut opening = written.match_indices(['"', '\'']).map(|(at, _)| at);
    opening
        .find_map(|at| Some((at, in_string(&written[at..], value, part)?)))
        .map(|(at, range)| at + range.start..at + range.end)
}

/// The same for one string, with its quotes.
fn in_string(written: &str, value: &str, part: &Range<usize>) -> Option<Range<usize>> {
    let quote = written.chars().next()?;
    let triple: String = [quote; 3].iter().collect();
    let is_long = written.starts_with(&triple);
    let mut at = if is_long { 3 } else { 1 };
    if is_long {
        at += newline(&written[at..]);
    }
    let mut places = Vec::with_capacity(part.len() + 1);
    for (index, expected) in value.char_indices() {
        if quote == '"' && is_long {
            at += joined_lines(&written[at..]);
        }
        if part.start <= index && index < part.end {
            places.push(at);
        }
        at += step(&written[at..], expected, quote)?;
        if part.start <= index && index < part.end {
            places.push(at);
        }
    }
    if quote == '"' && is_long {
        at += joined_lines(&written[at..]);
    }
    let end = if is_long { triple.as_str() } else { &triple[..1] };
    written[at..].starts_with(end).then(|| Some(*places.first()?..*places.last()?))?
}

/// The length of what gives the next character; `None` if this is not what gives it.
fn step(written: &str, expected: char, quote: char) -> Option<usize> {
    let next = written.chars().next()?;
    if quote == '"' && next == '\\' {
        let (found, len) = escape(&written[1..])?;
        return (found == expected).then_some(1 + len);
    }
    if expected == '\n' && newline(written) > 0 {
        return Some(newline(written));
    }
    (next == expected).then(|| next.len_utf8())
}

/// What an escape stands for, and its length behind the backslash.
fn escape(written: &str) -> Option<(char, usize)> {
    let letter = written.chars().next()?;
    let digits = match letter {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => {
            let plain = match letter {
                'b' => '\u{8}',
                't' => '\t',
                'n' => '\n',
                'f' => '\u{c}',
                'r' => '\r',
                'e' => '\u{1b}',
                '"' | '\\' => letter,
                _ => return None,
            };
            return Some((plain, 1));
        }
    };
    let code = u32::from_str_radix(written.get(1..=digits)?, 16).ok()?;
    Some((char::from_u32(code)?, 1 + digits))
}

/// The length of a backslash at the end of a line and of the space that it takes away.
fn joined_lines(written: &str) -> usize {
    let Some(rest) = written.strip_prefix('\\') else { return 0 };
    let blank = rest.trim_start_matches([' ', '\t']);
    if newline(blank) == 0 {
        return 0;
    }
    let after = blank.trim_start();
    let len = written.len() - after.len();
    len + joined_lines(after)
}

/// The length of the end of a line that this starts with; 0 if it does not.
fn newline(written: &str) -> usize {
    match written.as_bytes() {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => 0,
    }
}
