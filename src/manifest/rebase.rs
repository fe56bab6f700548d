//! Moves the places of a parsed text to where they are among those of several texts. Knows nothing of
//! what the text says.

use std::mem;
use std::ops::Range;

use toml::de::{DeArray, DeTable, DeValue};

use crate::manifest::reader::Node;

/// Adds `base` to all places in a table. The first text starts at 0 and needs no such walk.
pub(super) fn table(table: &mut DeTable<'_>, base: usize) {
    if base == 0 {
        return;
    }
    for (key, mut value) in mem::take(table) {
        node(&mut value, base);
        let at = moved(key.span(), base);
        table.insert(toml::Spanned::new(at, key.into_inner()), value);
    }
}

/// The parser bounds the depth of a tree, so this recursion is shallow.
fn node(spanned: &mut Node<'_>, base: usize) {
    let at = moved(spanned.span(), base);
    match spanned.get_mut() {
        DeValue::Array(items) => array(items, base),
        DeValue::Table(entries) => table(entries, base),
        _ => {}
    }
    let value = mem::replace(spanned.get_mut(), DeValue::Boolean(false));
    *spanned = toml::Spanned::new(at, value);
}

fn array(items: &mut DeArray<'_>, base: usize) {
    for item in items.iter_mut() {
        node(item, base);
    }
}

/// A range of bytes of a text that starts at `base`.
pub(super) fn moved(range: Range<usize>, base: usize) -> Range<usize> {
    range.start + base..range.end + base
}
