//! Live output: whole lines with a name in front, from bytes that come cut anywhere.

use std::collections::HashMap;

use anstyle::{AnsiColor, Style};

use super::passage::Passage;
use crate::id::NodeId;
use crate::outcome::Stream;

/// A line longer than this is shown in pieces, so that no task can fill the memory.
const LONGEST: usize = 16 * 1024;

/// The beginnings of lines that have not ended yet.
pub(super) struct Prefixer {
    color: bool,
    partial: HashMap<(NodeId, Stream), Partial>,
}

struct Partial {
    name: String,
    passage: Passage,
    bytes: Vec<u8>,
}

impl Prefixer {
    /// With names in colour, or without.
    pub(super) fn new(color: bool) -> Self {
        Self { color, partial: HashMap::new() }
    }

    /// Takes what a future wrote; gives the lines that are whole now. For a stream that is new, `open` says
    /// what stands in front and what way it goes.
    pub(super) fn push(
        &mut self,
        node: NodeId,
        stream: Stream,
        bytes: &[u8],
        open: impl FnOnce() -> (String, Passage),
    ) -> Vec<u8> {
        let partial = self.partial.entry((node, stream)).or_insert_with(|| {
            let (name, passage) = open();
            Partial { name, passage, bytes: Vec::new() }
        });
        let shown = partial.passage.push(bytes);
        let mut lines = Vec::with_capacity(shown.len() + partial.name.len() + 4);
        partial.take(&shown, self.color, &mut lines);
        lines
    }

    /// What a future left without a newline at its end, as lines.
    pub(super) fn end(&mut self, node: NodeId) -> Vec<(Stream, Vec<u8>)> {
        if self.partial.is_empty() {
            return Vec::new();
        }
        [Stream::Stdout, Stream::Stderr]
            .into_iter()
            .filter_map(|stream| Some((stream, self.partial.remove(&(node, stream))?)))
            .map(|(stream, partial)| (stream, partial.end(self.color)))
            .collect()
    }

    /// The same for all futures.
    pub(super) fn end_all(&mut self) -> Vec<(Stream, Vec<u8>)> {
        let mut all: Vec<_> = self.partial.drain().collect();
        all.sort_by_key(|((node, stream), _)| (*node, *stream == Stream::Stderr));
        all.into_iter().map(|((_, stream), partial)| (stream, partial.end(self.color))).collect()
    }
}

impl Partial {
    /// Puts what is a line now into `lines`.
    fn take(&mut self, bytes: &[u8], color: bool, lines: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for short in piece.chunks(LONGEST) {
                if self.bytes.len() + short.len() > LONGEST {
                    self.line(color, lines);
                }
                self.bytes.extend_from_slice(short);
            }
            if piece.ends_with(b"\n") {
                self.line(color, lines);
            }
        }
    }

    fn end(mut self, color: bool) -> Vec<u8> {
        let mut lines = Vec::new();
        let passage = std::mem::replace(&mut self.passage, Passage::raw());
        let resets = !passage.is_raw();
        self.take(&passage.finish(), color, &mut lines);
        if !self.bytes.is_empty() {
            self.write(color, resets, &mut lines);
        }
        lines
    }

    fn line(&mut self, color: bool, lines: &mut Vec<u8>) {
        let resets = !self.passage.is_raw();
        self.write(color, resets, lines);
        self.bytes.clear();
    }

    /// One line with a name in front and a newline at its end. Colours end with it if that can be.
    fn write(&self, color: bool, resets: bool, lines: &mut Vec<u8>) {
        const NAME: Style = AnsiColor::Blue.on_default();
        let name = &self.name;
        let shown = if color { format!("{NAME}{name}{NAME:#} | ") } else { format!("{name} | ") };
        lines.extend_from_slice(shown.as_bytes());
        let text = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        lines.extend_from_slice(text);
        if resets && text.contains(&0x1b) {
            lines.extend_from_slice(b"\x1b[0m");
        }
        lines.push(b'\n');
    }
}
