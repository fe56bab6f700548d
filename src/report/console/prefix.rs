//! Live output: whole lines with a name in front, from bytes that come cut anywhere.

use std::collections::HashMap;

use anstyle::{AnsiColor, Style};

use crate::id::NodeId;
use crate::outcome::Stream;

/// A line longer than this is shown in pieces, so that no task can fill the memory.
const LONGEST: usize = 16 * 1024;

/// The beginnings of lines that have not ended yet.
#[derive(Default)]
pub(super) struct Prefixer {
    partial: HashMap<(NodeId, Stream), Partial>,
}

struct Partial {
    name: String,
    bytes: Vec<u8>,
}

impl Prefixer {
    /// Takes what a future wrote; gives the lines that are whole now.
    pub(super) fn push(
        &mut self,
        node: NodeId,
        name: &str,
        stream: Stream,
        bytes: &[u8],
        color: bool,
    ) -> Vec<u8> {
        let partial = self
            .partial
            .entry((node, stream))
            .or_insert_with(|| Partial { name: name.to_owned(), bytes: Vec::new() });
        let mut lines = Vec::with_capacity(bytes.len() + name.len() + 4);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for short in piece.chunks(LONGEST) {
                if partial.bytes.len() + short.len() > LONGEST {
                    lines.extend(line(name, &partial.bytes, color));
                    partial.bytes.clear();
                }
                partial.bytes.extend_from_slice(short);
            }
            if piece.ends_with(b"\n") {
                lines.extend(line(name, &partial.bytes, color));
                partial.bytes.clear();
            }
        }
        lines
    }

    /// What a future left without a newline at its end.
    pub(super) fn end(&mut self, node: NodeId) -> Vec<(Stream, Vec<u8>)> {
        if self.partial.is_empty() {
            return Vec::new();
        }
        [Stream::Stdout, Stream::Stderr]
            .into_iter()
            .filter_map(|stream| Some((stream, self.partial.remove(&(node, stream))?.bytes)))
            .filter(|(_, rest)| !rest.is_empty())
            .collect()
    }

    /// The same for all futures, with their names.
    pub(super) fn end_all(&mut self) -> Vec<(String, Stream, Vec<u8>)> {
        let mut all: Vec<_> = self.partial.drain().collect();
        all.sort_by_key(|((node, stream), _)| (*node, *stream == Stream::Stderr));
        all.into_iter()
            .filter(|(_, partial)| !partial.bytes.is_empty())
            .map(|((_, stream), partial)| (partial.name, stream, partial.bytes))
            .collect()
    }
}

/// One line with a name in front and a newline at its end.
pub(super) fn line(name: &str, bytes: &[u8], color: bool) -> Vec<u8> {
    const NAME: Style = AnsiColor::Blue.on_default();
    let mut line = Vec::with_capacity(name.len() + bytes.len() + 4);
    let shown = if color { format!("{NAME}{name}{NAME:#} | ") } else { format!("{name} | ") };
    line.extend_from_slice(shown.as_bytes());
    line.extend_from_slice(bytes);
    if !bytes.ends_with(b"\n") {
        line.push(b'\n');
    }
    line
}
