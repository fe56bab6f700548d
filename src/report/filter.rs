//! Makes what tasks write harmless to who shows it: a terminal, or the system that reads a log. Knows
//! nothing of either.
//!
//! What a terminal would do other than show text is dropped: control characters but tabs and line breaks,
//! and all escape sequences but those for colours. What changes the direction of writing is shown as
//! `\u{202e}`. Commands to CI systems, such as `::set-output`, stay readable, with their first character
//! as `\u{3a}`. Bytes that are no UTF-8 pass, unless they could be control characters.

use std::mem;
use std::str;

/// A colour sequence longer than this is none.
const LONGEST: usize = 64;

/// So many bytes of a possible command are held back at most, the colours in it included.
const MOST_HELD: usize = 256;

/// What CI systems take for the beginning of a command: GitHub's, Azure's and `TeamCity`'s.
const COMMANDS: [&str; 4] = ["::", "##[", "##vso[", "##teamcity["];

/// Where output goes, as far as that matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// It is the log of a CI system: some look for commands that begin with `#` anywhere in a line.
    pub ci: bool,
    /// Each line has something in front, which a return to its beginning would overwrite: that becomes a
    /// line break.
    pub lines: bool,
}

/// A stream on its way through. All that comes out, put together, does not depend on where it was cut.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    place: Place,
    state: State,
    /// The beginning of a character, or of a sequence that may be one of colours.
    begun: Vec<u8>,
    /// What may be the beginning of a command, colours included: its first byte is its first character.
    held: Vec<u8>,
    /// The same without colours.
    seen: String,
    /// Whether there is text in this line already, so that no command can begin with `::`.
    is_inside: bool,
    /// Whether the last byte was a return that may be half of a line break.
    returned: bool,
    /// Whether colours were set and not reset.
    colored: bool,
    out: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Text, or a character of more than one byte that has begun.
    #[default]
    Text,
    /// The rest of a short escape sequence.
    Escape,
    /// The rest of a sequence of parameters, such as one for colours.
    Sequence,
    /// A string for the terminal, to its end: a title, or something for the clipboard. Those that set
    /// titles also end with the line, for some terminals know short ones that nothing ends.
    String {
        title: bool,
        /// Whether the byte before may begin the end that is a character of two bytes.
        c2: bool,
    },
}

impl Filter {
    /// For output that begins at the beginning of a line.
    pub fn new(place: Place) -> Self {
        Self { place, ..Self::default() }
    }

    /// Takes the next piece; gives what can be shown now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.out.reserve(bytes.len());
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            let (plain, other) = rest.split_at(self.plain(rest));
            if plain.is_empty() {
                self.byte(byte);
                rest = after;
            } else {
                self.out.extend_from_slice(plain);
                rest = other;
            }
        }
        mem::take(&mut self.out)
    }

    /// How many of the next bytes can be passed as they are, at a glance.
    fn plain(&self, bytes: &[u8]) -> usize {
        let is_open = self.state == State::Text
            && self.is_inside
            && !self.returned
            && self.begun.is_empty()
            && self.held.is_empty();
        let special = |byte: &u8| !matches!(byte, b' '..=b'~') || *byte == b'#';
        if is_open { bytes.iter().position(special).unwrap_or(bytes.len()) } else { 0 }
    }

    /// The stream has ended: gives what was held back, and ends colours.
    pub fn finish(mut self) -> Vec<u8> {
        if self.state == State::Text {
            self.give_up_character();
        }
        self.end_return();
        self.release();
        if self.colored {
            self.out.extend_from_slice(b"\x1b[0m");
        }
        self.out
    }

    fn byte(&mut self, byte: u8) {
        match self.state {
            State::Text => self.text(byte),
            State::Escape => self.escape(byte),
            State::Sequence => self.sequence(byte),
            State::String { title, c2 } => self.string(byte, title, c2),
        }
    }

    fn text(&mut self, byte: u8) {
        if self.begun.is_empty() {
            match byte {
                b' '..=b'~' | b'\t' | b'\n' | b'\r' => self.show(byte.into()),
                0x1b => self.state = State::Escape,
                0xc2..=0xf4 => self.begun.push(byte),
                0xa0.. => self.strange(byte),
                // A control character; those above 0x7f are none in UTF-8, but may be to an old terminal.
                _ => {}
            }
            return;
        }
        if !(0x80..0xc0).contains(&byte) {
            self.give_up_character();
            return self.text(byte);
        }
        self.begun.push(byte);
        if self.begun.len() < width(self.begun[0]) {
            return;
        }
        match str::from_utf8(&self.begun).ok().and_then(|text| text.chars().next()) {
            Some(c) => {
                self.begun.clear();
                self.character(c);
            }
            None => self.give_up_character(),
        }
    }

    /// A character of more than one byte.
    fn character(&mut self, c: char) {
        match c {
            '\u{9b}' => self.state = State::Sequence,
            '\u{9d}' => self.state = State::String { title: true, c2: false },
            '\u{90}' | '\u{98}' | '\u{9e}' | '\u{9f}' => {
                self.state = State::String { title: false, c2: false };
            }
            '\u{80}'..='\u{9f}' => {}
            c if is_active(c) => c.escape_default().for_each(|c| self.show(c)),
            c => self.show(c),
        }
    }

    /// What has begun as a character is none.
    fn give_up_character(&mut self) {
        for byte in mem::take(&mut self.begun) {
            if byte >= 0xa0 {
                self.strange(byte);
            }
        }
    }

    fn escape(&mut self, byte: u8) {
        self.state = match byte {
            b'[' => State::Sequence,
            b']' => State::String { title: true, c2: false },
            b'P' | b'X' | b'^' | b'_' => State::String { title: false, c2: false },
            // One more is to come.
            b' '..=b'/' | 0x1b => return,
            b'0'..=b'~' => State::Text,
            _ => return self.abandon(byte),
        };
    }

    fn sequence(&mut self, byte: u8) {
        match byte {
            b' '..=b'?' => {
                if self.begun.len() <= LONGEST {
                    self.begun.push(byte);
                }
            }
            b'@'..=b'~' => {
                self.state = State::Text;
                let parameters = mem::take(&mut self.begun);
                let numbers =
                    parameters.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'));
                if byte == b'm' && numbers && parameters.len() <= LONGEST {
                    self.color(&parameters);
                }
            }
            _ => self.abandon(byte),
        }
    }

    fn string(&mut self, byte: u8, title: bool, c2: bool) {
        match byte {
            0x1b => self.state = State::Escape,
            0x9c if c2 => self.state = State::Text,
            0x07 if title => self.state = State::Text,
            b'\n' if title => self.abandon(byte),
            0x18 | 0x1a => self.state = State::Text,
            _ => self.state = State::String { title, c2: byte == 0xc2 },
        }
    }

    /// A sequence is broken off by a byte that is none of it.
    fn abandon(&mut self, byte: u8) {
        self.begun.clear();
        self.state = State::Text;
        self.text(byte);
    }

    // What is shown.

    fn color(&mut self, parameters: &[u8]) {
        self.end_return();
        self.colored = !matches!(parameters, b"" | b"0");
        let sink = if self.held.is_empty() { &mut self.out } else { &mut self.held };
        sink.extend_from_slice(b"\x1b[");
        sink.extend_from_slice(parameters);
        sink.push(b'm');
        if self.held.len() > MOST_HELD {
            self.defuse();
        }
    }

    /// A byte that is no text. It may become some with its neighbours, a blank for example.
    fn strange(&mut self, byte: u8) {
        self.end_return();
        self.release();
        self.out.push(byte);
    }

    fn show(&mut self, c: char) {
        match c {
            '\n' => {
                if mem::take(&mut self.returned) {
                    self.break_line("\r\n");
                } else {
                    self.break_line("\n");
                }
            }
            '\r' if self.place.lines => {
                self.end_return();
                self.returned = true;
            }
            '\r' => self.break_line("\r"),
            c => {
                self.end_return();
                self.visible(c);
            }
        }
    }

    /// A return that no newline follows.
    fn end_return(&mut self) {
        if mem::take(&mut self.returned) {
            self.break_line("\n");
        }
    }

    fn break_line(&mut self, with: &str) {
        self.release();
        self.is_inside = false;
        self.out.extend_from_slice(with.as_bytes());
    }

    /// Shows a character, unless it may belong to a command.
    fn visible(&mut self, c: char) {
        if self.held.is_empty() && !matches!(c, ':' | '#') {
            self.is_inside |= !is_blank(c);
            return push(&mut self.out, c);
        }
        let mut seen = mem::take(&mut self.seen);
        seen.push(c);
        if self.may_be_command(&seen) {
            push(&mut self.held, c);
            self.seen = seen;
            if COMMANDS.contains(&self.seen.to_ascii_lowercase().as_str()) {
                self.defuse();
            }
        } else if seen.len() > c.len_utf8() {
            // The last `##` of `###` may still become one.
            let overlap = seen == "###" && self.place.ci;
            let second = self.held.iter().skip(1).position(|byte| *byte == b'#');
            let kept = second.filter(|_| overlap).map(|at| self.held.split_off(at + 1));
            self.release();
            if let Some(kept) = kept {
                self.held = kept;
                "#".clone_into(&mut self.seen);
            }
            self.visible(c);
        } else {
            self.is_inside = true;
            push(&mut self.out, c);
        }
    }

    fn may_be_command(&self, seen: &str) -> bool {
        let anywhere = self.place.ci && seen.starts_with('#');
        let lower = seen.to_ascii_lowercase();
        (anywhere || !self.is_inside) && COMMANDS.iter().any(|command| command.starts_with(&lower))
    }

    /// What is held is no command.
    fn release(&mut self) {
        self.is_inside |= !self.held.is_empty();
        self.seen.clear();
        self.out.append(&mut self.held);
    }

    /// What is held is a command, or as good as one: it is shown so that nobody takes it for that.
    fn defuse(&mut self) {
        if let Some(first) = self.held.first().copied() {
            self.out.extend(char::from(first).escape_unicode().map(|c| c as u8));
            self.held.remove(0);
        }
        self.release();
        self.is_inside = true;
    }
}

/// Text in which commands to CI systems are made harmless in the same way, wherever they are if they could
/// count there.
pub(super) fn without_commands(text: &str) -> Option<String> {
    if !text.contains("::") && !text.contains("##") {
        return None;
    }
    let mut filter = Filter::new(Place { ci: true, lines: false });
    for c in text.chars() {
        // Whatever else is in the text is the affair of others.
        match c {
            '\n' | '\r' => filter.break_line(c.encode_utf8(&mut [0; 4])),
            c => filter.visible(c),
        }
    }
    String::from_utf8(filter.finish()).ok().filter(|defused| defused != text)
}

/// Whether a character does something other than being seen.
pub(super) fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}')
        || matches!(c, '\u{2066}'..='\u{2069}')
}

/// How many bytes a character has that begins with this one.
fn width(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        _ => 2,
    }
}

/// What may stand before a command at the beginning of a line.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}
