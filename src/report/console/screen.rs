//! The two streams and the live display between them: what is written to either first takes the
//! display away. Knows nothing of runs.

use std::fs::File;
use std::io::{self, Read, Write};

use anstyle::Style;

use super::board::Board;
use super::passage::Passage;
use crate::outcome::{Captured, Stream};

/// Where everything is shown.
pub(super) struct Screen {
    /// `None` if standard output is for something else.
    stdout: Option<Sink>,
    stderr: Sink,
    board: Option<Board>,
    color: bool,
    /// Whether what was written last, to either stream, ended with a newline.
    fresh: bool,
    /// What was to be shown and could not be had.
    lost: Vec<io::Error>,
}

impl Screen {
    pub(super) fn new(
        stdout: Option<Box<dyn Write + Send>>,
        stderr: Box<dyn Write + Send>,
        color: bool,
    ) -> Self {
        let stdout = stdout.map(|out| Sink::new(out, "standard output"));
        let stderr = Sink::new(stderr, "standard error");
        Self { stdout, stderr, board: None, color, fresh: true, lost: Vec::new() }
    }

    /// Writes a line of jobrun's own: a word in front, padded, and the rest.
    pub(super) fn labelled(&mut self, style: Style, word: &str, rest: &str) {
        let pad = 5usize.saturating_sub(word.len()).max(1);
        let word = self.painted(style, word);
        self.say(&format!("{word}{:pad$}{rest}", ""));
    }

    /// Writes lines of jobrun's own; they begin on a line of their own.
    pub(super) fn say(&mut self, lines: &str) {
        let start = if self.fresh { "" } else { "\n" };
        let text = format!("{start}{lines}\n");
        let stderr = &mut self.stderr;
        aside(self.board.as_ref(), || stderr.write(text.as_bytes()));
        self.fresh = true;
    }

    /// Text in a style, if there are colours.
    pub(super) fn painted(&self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// Passes on what a task wrote, as it is to be shown.
    pub(super) fn pass(&mut self, stream: Stream, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        let sink = sink(&mut self.stdout, &mut self.stderr, stream);
        aside(self.board.as_ref(), || sink.write(bytes));
        self.fresh = *last == b'\n';
    }

    /// Passes on all of a stream, from its file if it was too large to keep.
    ///
    /// # Errors
    /// If the file cannot be read; what could be read of it was passed on.
    pub(super) fn pass_captured(
        &mut self,
        stream: Stream,
        captured: &Captured,
        mut passage: Passage,
    ) -> io::Result<()> {
        if !passage.is_raw() && !self.fresh {
            // Two outputs without a newline between them could be a command together.
            self.pass(stream, b"\n");
        }
        let Some(path) = &captured.path else {
            if let Some(lost) = &captured.lost {
                self.pass(stream, &passage.push(&lost.head));
                let ends = (lost.head.len() + captured.kept.len()) as u64;
                let bytes = captured.bytes.saturating_sub(ends);
                self.say(&format!("[{bytes} bytes in between are lost]"));
            }
            self.pass(stream, &passage.whole(&captured.kept));
            return Ok(());
        };
        let mut file = File::open(path)?;
        let sink = sink(&mut self.stdout, &mut self.stderr, stream);
        let copied = aside(self.board.as_ref(), || copy(&mut file, passage, sink));
        self.fresh = sink.last == b'\n';
        copied
    }

    /// Shows a live display from now on.
    pub(super) fn open_board(&mut self, board: Board) {
        self.board = Some(board);
    }

    /// Tells the live display something, if there is one.
    pub(super) fn board(&mut self, tell: impl FnOnce(&mut Board)) {
        if let Some(board) = &mut self.board {
            tell(board);
        }
    }

    pub(super) fn has_board(&self) -> bool {
        self.board.is_some()
    }

    /// Takes the live display away for good.
    pub(super) fn close_board(&mut self) {
        self.board = None;
    }

    /// Something that was to be shown could not be had.
    pub(super) fn lost(&mut self, error: io::Error) {
        self.lost.push(error);
    }

    /// The first error of either stream, and what could not be shown, each once.
    pub(super) fn check(&mut self) -> io::Result<()> {
        let sinks = self.stdout.iter_mut().chain([&mut self.stderr]);
        let mut errors = sinks.filter_map(|sink| sink.error.take()).chain(self.lost.drain(..));
        let Some(first) = errors.next() else { return Ok(()) };
        let all = errors.fold(first.to_string(), |all, error| format!("{all}; {error}"));
        Err(io::Error::new(first.kind(), all))
    }
}

fn sink<'a>(stdout: &'a mut Option<Sink>, stderr: &'a mut Sink, stream: Stream) -> &'a mut Sink {
    match (stream, stdout) {
        (Stream::Stdout, Some(stdout)) => stdout,
        _ => stderr,
    }
}

/// Does something while the live display is not there.
fn aside<R>(board: Option<&Board>, act: impl FnOnce() -> R) -> R {
    match board {
        Some(board) => board.aside(act),
        None => act(),
    }
}

fn copy(file: &mut File, mut passage: Passage, sink: &mut Sink) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    let read = loop {
        match file.read(&mut piece) {
            Ok(0) => break Ok(()),
            Ok(_) if sink.dead => break Ok(()),
            Ok(len) => sink.write(&passage.push(&piece[..len])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    sink.write(&passage.finish());
    read
}

/// A stream that is written to until it fails.
struct Sink {
    out: Box<dyn Write + Send>,
    name: &'static str,
    error: Option<io::Error>,
    dead: bool,
    /// The last byte that was written.
    last: u8,
}

impl Sink {
    fn new(out: Box<dyn Write + Send>, name: &'static str) -> Self {
        Self { out, name, error: None, dead: false, last: b'\n' }
    }

    fn write(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last().filter(|_| !self.dead) else { return };
        self.last = *last;
        // Flushed at once, so that the two streams stay in order where they meet.
        if let Err(error) = self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            self.dead = true;
            let message = format!("cannot write to {}: {error}", self.name);
            self.error = Some(io::Error::new(error.kind(), message));
        }
    }
}
