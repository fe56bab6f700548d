//! Finds `{{ expressions }}` and words in text. Knows nothing of what they mean.

use std::ops::Range;

/// An expression in a text: the place of the braces and of what is between them, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// With the braces.
    pub outer: Range<usize>,
    /// Between the braces, without the space around it.
    pub inner: Range<usize>,
}

/// The first expression at or after byte `from`; `Err` with the place of its `{{` if it is not
/// closed.
pub(super) fn next_slot(text: &str, from: usize) -> Option<Result<Slot, Range<usize>>> {
    let start = from + text[from..].find("{{")?;
    let Some(end) = closing_braces(text, start + 2) else {
        return Some(Err(start..start + 2));
    };
    let between = &text[start + 2..end];
    let left = start + 2 + (between.len() - between.trim_start().len());
    let inner = left..(left + between.trim().len());
    Some(Ok(Slot { outer: start..end + 2, inner }))
}

/// The place of the `}}` that closes an expression. Braces of its own (`{"a": 1}`) and braces in
/// strings do not.
fn closing_braces(text: &str, from: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, token) in tokens(&text[from..]) {
        match token {
            "{" => depth += 1,
            "}" if depth > 0 => depth -= 1,
            "}" if text[from + at + 1..].starts_with('}') => return Some(from + at),
            _ => {}
        }
    }
    None
}

/// The tokens of an expression and where they start: words, strings, and single characters for
/// all else. Coarser than the engine's, but it agrees with it on where strings and words end.
pub(super) fn tokens(expression: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = expression[at..].trim_start();
        let start = expression.len() - rest.len();
        let first = rest.chars().next()?;
        let len = match first {
            '"' | '\'' => string_len(rest, first),
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        at = start + len;
        Some((start, &rest[..len]))
    })
}

/// The length of the string that `text` starts with, its quotes included; all of `text` if it is
/// not closed.
fn string_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The names of an expression with a slice, dots included: the engine does not tell those of what is
/// sliced, as in `item[:2]`. Expressions have no names of their own, so a word is a name unless a sign
/// before or behind it says that it is something else. None if there is no slice.
pub(super) fn sliced(expression: &str) -> Vec<String> {
    const WORDS: [&str; 13] = [
        "and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False",
        "None",
    ];
    let tokens: Vec<&str> = tokens(expression).map(|(_, token)| token).collect();
    if !tokens.contains(&"[") || !tokens.contains(&":") {
        return Vec::new();
    }
    let token = |at: usize| tokens.get(at).copied().unwrap_or_default();
    let before = |at: usize| at.checked_sub(1).map_or("", token);
    let is_name = |token: &str| token.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let is_test =
        |at: usize| before(at) == "is" || before(at) == "not" && at > 1 && before(at - 1) == "is";
    let is_argument = |at: usize| token(at + 1) == "=" && token(at + 2) != "=";
    let is_root = |at: &usize| {
        let at = *at;
        is_name(tokens[at])
            && !WORDS.contains(&tokens[at])
            && ![".", "|"].contains(&before(at))
            && !is_test(at)
            && !is_argument(at)
    };
    let roots = (0..tokens.len()).filter(is_root);
    let dotted = |root: usize| {
        let mut name = tokens[root].to_owned();
        let mut at = root + 1;
        while token(at) == "." && is_name(token(at + 1)) {
            name.push('.');
            name.push_str(tokens[at + 1]);
            at += 2;
        }
        name
    };
    roots.map(dotted).collect()
}

/// The names of an expression that is nothing but names joined by dots, `item.os` for example.
pub(super) fn plain_path(expression: &str) -> Option<Vec<&str>> {
    let names: Vec<&str> = expression.split('.').collect();
    let plain = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    names.iter().all(plain).then_some(names)
}
