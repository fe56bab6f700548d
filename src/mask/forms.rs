//! The forms in which a secret may turn up: as it is, encoded, escaped, its lines one by one. Knows
//! nothing of searching.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::SHORTEST;

/// Programs break base64 into lines of these lengths.
const LINES: [usize; 2] = [64, 76];

/// What percent-encoders leave as it is beside letters and digits.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &STRICT.remove(b'/');
const COMPONENT: &AsciiSet =
    &STRICT.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');
const ADDRESS: &AsciiSet = &COMPONENT
    .remove(b';')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b',')
    .remove(b'#');
/// These write `+` for a space.
const FORM: &AsciiSet = &STRICT.add(b'~').remove(b'*').remove(b' ');
const QUERY: &AsciiSet = &STRICT.remove(b' ');

/// Adds all forms of a secret.
pub(super) fn add(secret: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    let whole = secret.strip_suffix(b"\n").unwrap_or(secret);
    let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
    let mut spellings = BTreeSet::from([secret.to_vec(), whole.to_vec()]);
    spellings.insert(secret.trim_ascii().to_vec());
    if whole.contains(&b'\n') {
        let lines = whole.split(|byte| *byte == b'\n');
        let lines: Vec<_> = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
        // As terminals and some protocols end lines.
        spellings.insert(lines.join(&b"\r\n"[..]));
        spellings.insert(lines.join(&b'\n'));
        spellings.extend(lines.into_iter().map(<[u8]>::to_vec));
    }
    for spelling in spellings.into_iter().filter(|spelling| spelling.len() >= SHORTEST) {
        binary(&spelling, forms);
        match std::str::from_utf8(&spelling) {
            Ok(text) => escaped(text, forms),
            Err(_) => escaped(&String::from_utf8_lossy(&spelling), forms),
        }
        forms.insert(spelling);
    }
}

/// What is made of bytes.
fn binary(secret: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        base64(&engine, secret, forms);
    }
    forms.insert(hexadecimal(secret, b"0123456789abcdef"));
    forms.insert(hexadecimal(secret, b"0123456789ABCDEF"));
    for (set, plus) in [
        (STRICT, false),
        (PATH, false),
        (COMPONENT, false),
        (ADDRESS, false),
        (FORM, true),
        (QUERY, true),
    ] {
        let upper = percent_encode(secret, set).to_string();
        let upper = if plus { upper.replace(' ', "+") } else { upper };
        forms.insert(lower_hex(&upper).into_bytes());
        forms.insert(upper.into_bytes());
    }
}

fn hexadecimal(secret: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    let digit = |value: u8| digits[usize::from(value)];
    secret.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Base64 of the secret alone, and of a longer text that it is part of: three bytes make four
/// characters, so there are three ways to lie in it. What mixes with its neighbours is left out.
fn base64(engine: &GeneralPurpose, secret: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    let alone = engine.encode(secret);
    let padding = "=".repeat((3 - secret.len() % 3) % 3);
    forms.insert(format!("{alone}{padding}").into_bytes());
    for before in 0..3 {
        let mut text = vec![0; before];
        text.extend_from_slice(secret);
        let (from, to) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
        let sure = &engine.encode(&text).into_bytes()[from..to];
        if before == 0 {
            for width in LINES.into_iter().filter(|width| sure.len() > *width) {
                let lines = sure.chunks(width).filter(|line| line.len() >= SHORTEST);
                forms.extend(lines.map(<[u8]>::to_vec));
            }
        }
        forms.insert(sure.to_vec());
    }
    forms.insert(alone.into_bytes());
}

/// The same with small letters in `%2F`. A percent sign of the secret's own is always encoded.
fn lower_hex(encoded: &str) -> String {
    let mut pieces = encoded.split('%');
    let mut lower = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at(2);
        lower.extend(["%", &code.to_lowercase(), rest]);
    }
    lower
}

/// What is made of text.
fn escaped(text: &str, forms: &mut BTreeSet<Vec<u8>>) {
    let mut add = |form: String| forms.insert(form.into_bytes());
    add(text.to_owned());
    for style in Json::all() {
        add(style.write(text));
    }
    // A document within another.
    add(Json::default().write(&Json::default().write(text)));
    let tags = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for double in ["\"", "&quot;", "&#34;", "&#x22;"] {
        for single in ["'", "&apos;", "&#39;", "&#039;", "&#x27;"] {
            add(tags.replace('"', double).replace('\'', single));
        }
    }
    // As shells and their traces write quotes within quotes.
    add(text.replace('\'', "'\\''"));
    add(text.replace('\'', "'\"'\"'"));
}

/// The ways in which programs write a JSON string.
#[derive(Clone, Copy, Default)]
struct Json {
    /// `\/` for a slash.
    slash: bool,
    /// `\u00e9` for what is not ASCII.
    ascii: bool,
    /// Capital letters in `\u00E9`.
    upper: bool,
    /// `\u003c` for characters that mean something elsewhere: these.
    active: &'static str,
}

impl Json {
    fn all() -> impl Iterator<Item = Self> {
        const BOTH: [bool; 2] = [false, true];
        const ACTIVE: [&str; 4] = ["", "<>&\u{2028}\u{2029}", "<>&'\u{2028}\u{2029}", "<>&'\"+`"];
        let active = ACTIVE.into_iter().map(|active| Self { active, ..Self::default() });
        let slash = active.flat_map(|it| BOTH.map(|slash| Self { slash, ..it }));
        let ascii = slash.flat_map(|it| BOTH.map(|ascii| Self { ascii, ..it }));
        ascii.flat_map(|it| BOTH.map(|upper| Self { upper, ..it }))
    }

    /// The text without the quotes around it.
    fn write(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 8);
        for c in text.chars() {
            match c {
                c if self.active.contains(c) => self.code(&mut out, c),
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '/' if self.slash => out.push_str("\\/"),
                c if c < ' ' || self.ascii && !c.is_ascii() => self.code(&mut out, c),
                c => out.push(c),
            }
        }
        out
    }

    fn code(self, out: &mut String, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = if self.upper {
                write!(out, "\\u{unit:04X}")
            } else {
                write!(out, "\\u{unit:04x}")
            };
        }
    }
}
