//! Faults of texts: where, what is wrong, what to do; and how they are shown. Knows nothing of
//! what the texts mean.

use std::fmt::{self, Write as _};
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use crate::source::Place;

pub use crate::source::{Position, Source, Sources};

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is wrong, so that nothing can run.
    Error,
    /// It can run, and is most likely not what was meant.
    Warning,
}

impl Severity {
    /// The word for it: `error` or `warning`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong, or most likely not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable word in kebab-case for programs, for example `unknown-key`.
    pub code: &'static str,
    /// What is wrong, in one line.
    pub message: String,
    /// The bytes that are wrong; `None` if it is not about a place.
    pub span: Option<Range<usize>>,
    /// A few words at that place.
    pub label: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Further places and what they have to do with it.
    pub notes: Vec<Note>,
}

/// A further place that has to do with a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The bytes.
    pub span: Range<usize>,
    /// A few words at that place.
    pub label: String,
}

/// So many are kept. Whoever is wrong so often is so everywhere.
const MAX_KEPT: usize = 100_000;

/// What is wrong with some texts, collected: all of it, up to 100,000 times.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Vec<Diagnostic>,
    /// How many more there were, which nobody would read.
    dropped: usize,
    /// The texts that their places are in.
    sources: Sources,
}

/// The text that some bytes are in UTF-8.
///
/// # Errors
/// If they are not, with the place of the first byte that is wrong in the message.
pub fn utf8(bytes: Vec<u8>) -> Result<String, Box<Diagnostic>> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].split(|byte| *byte == b'\n').count();
        let fault = Diagnostic::error("not-utf8", format!("this is not UTF-8 text (line {line})"))
            .hint("save the file in the encoding UTF-8");
        Box::new(fault)
    })
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message.into())
    }

    fn new(severity: Severity, code: &'static str, message: String) -> Self {
        Self { severity, code, message, span: None, label: None, hint: None, notes: Vec::new() }
    }

    /// The same at a place, if there is one.
    #[must_use]
    pub fn at(mut self, span: impl Into<Option<Range<usize>>>) -> Self {
        self.span = span.into();
        self
    }

    /// The same with a few words at its place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.hint_if(Some(hint))
    }

    /// The same with what to do about it, if that is known.
    #[must_use]
    pub fn hint_if(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into);
        self
    }

    /// The same with a further place, if there is one.
    #[must_use]
    pub fn note(mut self, span: Option<Range<usize>>, label: impl Into<String>) -> Self {
        if let Some(span) = span {
            self.notes.push(Note { span, label: label.into() });
        }
        self
    }

    /// Where it is; `None` if it is not about a place.
    pub fn place<'a>(&self, sources: &'a Sources) -> Option<Place<'a>> {
        sources.place(self.span.as_ref()?)
    }

    /// How people are shown it: the message, its place with the lines of the source, and what to
    /// do. With `color`, in ANSI colours. Control characters of the source are made visible.
    pub fn render(&self, sources: &Sources, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(visible(&self.message)).id(self.code);
        let group = Group::with_title(title).elements(self.snippets(sources));
        let group = match &self.hint {
            Some(hint) => group.element(Level::HELP.message(visible(hint))),
            None => group,
        };
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let shown = renderer.decor_style(DecorStyle::Ascii).term_width(WIDTH).render(&[group]);
        // In lines of the source the renderer replaces all that acts on a terminal, but for these.
        let acts = |c| ('\u{80}'..='\u{9f}').contains(&c);
        if shown.contains(acts) { shown.replace(acts, "\u{FFFD}") } else { shown }
    }

    /// Its places in the sources, each with its line. Places that are close share a snippet, so that
    /// the eye sees them together.
    fn snippets<'a>(&'a self, sources: &'a Sources) -> Vec<Element<'a>> {
        let main = self.span.as_ref().and_then(|span| {
            let source = sources.of(span.start)?;
            Some((source, Mark::new(source, span, self.label.as_deref(), true)))
        });
        let Some((source, first)) = main else { return Vec::new() };
        let mut main = vec![first];
        let mut apart = Vec::new();
        for note in &self.notes {
            let Some(other) = sources.of(note.span.start) else { continue };
            let mark = Mark::new(other, &note.span, Some(&note.label), false);
            let near = other.base() == source.base()
                && main.iter().any(|other| other.line.abs_diff(mark.line) <= NEAR_LINES);
            if near { main.push(mark) } else { apart.push((other, vec![mark])) }
        }
        let all = std::iter::once((source, main)).chain(apart);
        all.map(|(source, marks)| snippet(source, &marks)).collect()
    }
}

/// Wide enough for most lines; longer ones are cut around the place.
const WIDTH: usize = 140;

/// A line is shown no further than so many bytes from its start and from what is underlined in it: the
/// renderer looks at all of it again for each fault.
const MAX_LINE: usize = 4096;

/// So many faults are shown; who has more corrects those first.
const MAX_SHOWN: usize = 1000;

/// Places so many lines apart are shown together.
const NEAR_LINES: usize = 8;

/// What is underlined in one line of a source.
struct Mark<'a> {
    line: usize,
    span: Range<usize>,
    label: Option<&'a str>,
    primary: bool,
}

impl<'a> Mark<'a> {
    /// A span of several lines is underlined in its first one only.
    fn new(source: &Source, span: &Range<usize>, label: Option<&'a str>, primary: bool) -> Self {
        let span = source.first_line(span);
        let span = span.start..span.end.min(source.boundary(span.start + MAX_LINE));
        Self { line: source.line(span.start), span, label, primary }
    }
}

/// The lines of the source that hold all of `marks`, of which there is at least one. Only these
/// are given to the renderer, which would look at the whole text again for each fault.
fn snippet<'a>(source: &'a Source, marks: &[Mark<'a>]) -> Element<'a> {
    let first = marks.iter().map(|mark| mark.line).min().unwrap_or(1);
    let last = marks.iter().map(|mark| mark.line).max().unwrap_or(1);
    let start = source.line_start(first);
    let far = |mark: &Mark<'_>| mark.span.start > source.line_start(mark.line) + MAX_LINE;
    if let Some(mark) = marks.iter().find(|mark| far(mark)) {
        let Position { line, column } = source.position(mark.span.start);
        return Origin::path(source.name()).line(line).char_column(column).into();
    }
    let shown = marks.iter().map(|mark| mark.span.end).max().unwrap_or(start) + MAX_LINE;
    let end = source.line_start(last + 1).min(source.boundary(shown));
    let lines = source.written(&(start..end)).unwrap_or_default();
    let annotations = marks.iter().map(|mark| {
        let kind = if mark.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
        kind.span(mark.span.start - start..mark.span.end - start).label(mark.label.map(visible))
    });
    let snippet = Snippet::source(lines).line_start(first).path(source.name());
    snippet.fold(true).annotations(annotations).into()
}

/// Text in which no character can move the cursor, change colours or turn the direction of writing.
fn visible(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

impl Faults {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, of what is written in these texts.
    pub fn of(sources: impl Into<Sources>) -> Self {
        Self { sources: sources.into(), ..Self::default() }
    }

    /// The texts that their places are in.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        // However many warnings there were, the first error counts.
        let first = || diagnostic.severity == Severity::Error && !self.has_errors();
        if self.list.len() < MAX_KEPT || first() {
            self.list.push(diagnostic);
        } else {
            self.dropped += 1;
        }
    }

    /// Adds all of `other`, whose places are in the texts of this one.
    pub fn append(&mut self, other: Self) {
        self.dropped += other.dropped;
        other.list.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// Whether anything is wrong, rather than most likely not meant.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|fault| fault.severity == Severity::Error)
    }

    /// Leaves only those of which this is true, which it may change.
    pub fn retain_mut(&mut self, keep: impl FnMut(&mut Diagnostic) -> bool) {
        self.list.retain_mut(keep);
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len() + self.dropped
    }

    /// All of them, in the order in which they are kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// The same by place, those without a place first, each once.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        let place = |fault: &Diagnostic| fault.span.as_ref().map(|span| (span.start, span.end));
        self.list
            .sort_by(|a, b| (place(a), a.code, &a.message).cmp(&(place(b), b.code, &b.message)));
        self.list.dedup();
        self
    }

    /// How people are shown all of them. See [`Diagnostic::render`].
    pub fn render(&self, color: bool) -> String {
        let mut text = String::new();
        for fault in self.list.iter().take(MAX_SHOWN) {
            text.push_str(&fault.render(&self.sources, color));
            text.push_str("\n\n");
        }
        if self.len() > MAX_SHOWN {
            let _ = write!(text, "… and {} more", self.len() - MAX_SHOWN);
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The messages alone, one a line, for where no source is to be shown.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&visible(&fault.message))?;
            if let Some(hint) = &fault.hint {
                write!(f, " ({})", visible(hint))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The known word that was most likely meant by `word`; `None` if none is close.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = word.chars().count();
    known
        .into_iter()
        .filter(|other| other.len().abs_diff(word.len()) <= letters.max(3))
        .map(|other| (strsim::osa_distance(&word.to_lowercase(), &other.to_lowercase()), other))
        .filter(|(distance, other)| *distance <= letters.max(other.chars().count()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// "did you mean `x`?" for the known word that was most likely meant.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    closest(word, known).map(|other| format!("did you mean `{other}`?"))
}
