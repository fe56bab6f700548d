//! The screen: live display, plain lines, task output, the end summary. Knows nothing of the command
//! line.
//!
//! Standard output belongs to the tasks; jobrun's own words go to standard error. Names and messages
//! are escaped. What tasks write passes byte for byte, unless it is shown to a terminal or in the log of
//! a CI system: there it is made harmless.

mod board;
mod passage;
mod prefix;
mod screen;
mod summary;

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use indicatif::ProgressDrawTarget;

use crate::event::{Event, Stamped};
use crate::guard::describe_signal;
use crate::id::{NodeId, TaskId};
use crate::ledger::Record;
use crate::measure::Counts;
use crate::outcome::{State, Stream};
use crate::report::Observer;
use crate::report::filter::Place;
use crate::report::words;
use crate::shape::RunView;
use board::Board;
use passage::Passage;
use prefix::Prefixer;
use screen::Screen;

/// Jobs with more futures than this get no line for each that succeeds.
const LINES: u32 = 200;

/// What is shown, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of the terminal, independent of each other"
)]
pub struct Options {
    /// What becomes of the tasks' output.
    pub output: Output,
    /// How progress is shown.
    pub progress: Progress,
    /// Whether to use colours.
    pub color: bool,
    /// Whether standard output is for something else, so that task output goes to standard error.
    pub stdout_is_taken: bool,
    /// -1 shows failures and errors only, 0 is normal, 1 and more tell more.
    pub verbosity: i8,
    /// Whether standard error is a terminal.
    pub is_terminal: bool,
    /// Whether standard output is one.
    pub stdout_is_terminal: bool,
    /// Whether `CI` is set: a log is no terminal, even where it looks like one.
    pub ci: bool,
    /// Whether the tasks' output passes as it is, wherever it is shown.
    pub raw: bool,
}

impl Options {
    /// The way that a stream of a task goes.
    fn passage(&self, run: &RunView<'_>, stream: Stream) -> Passage {
        let to_stdout = stream == Stream::Stdout && !self.stdout_is_taken;
        let to_terminal = if to_stdout { self.stdout_is_terminal } else { self.is_terminal };
        if self.raw || !(to_terminal || self.ci) {
            return Passage::raw();
        }
        let place = Place { ci: self.ci, lines: self.output == Output::Live };
        Passage::harmless(place, run.masker)
    }
}

/// What becomes of the tasks' output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// In one piece when a future ends.
    #[default]
    Grouped,
    /// Line by line as it comes, with the future's name in front.
    Live,
    /// Only that of futures that fail, in one piece.
    Failures,
    /// None.
    None,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// A live display on a terminal, else plain lines.
    #[default]
    Auto,
    /// The same: what is no terminal is never redrawn.
    Bar,
    /// Plain lines.
    Plain,
    /// Nothing until the end.
    None,
}

/// The observer that shows a run to people.
pub struct Console {
    options: Options,
    screen: Screen,
    /// Where the live display is drawn, until it is.
    target: Option<ProgressDrawTarget>,
    prefixer: Prefixer,
    counts: Counts,
    /// The tenths of the job that were announced as done.
    tenths: u32,
}

impl Console {
    /// Shows a run on this process's standard output and error.
    pub fn new(options: Options) -> Self {
        let target = ProgressDrawTarget::stderr();
        Self::with_writers(options, Box::new(io::stdout()), Box::new(io::stderr()), target)
    }

    /// The same on other writers; a live display is drawn on `target`.
    pub fn with_writers(
        options: Options,
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
        target: ProgressDrawTarget,
    ) -> Self {
        let live = options.is_terminal
            && !options.ci
            && options.verbosity >= 0
            && matches!(options.progress, Progress::Auto | Progress::Bar);
        let stdout = (!options.stdout_is_taken).then_some(stdout);
        Self {
            options,
            screen: Screen::new(stdout, stderr, options.color),
            target: live.then_some(target),
            prefixer: Prefixer::new(options.color),
            counts: Counts::default(),
            tenths: 0,
        }
    }

    fn job_started(&mut self, run: &RunView<'_>) {
        self.counts = Counts { total: run.job.graph.future_count(), ..Counts::default() };
        if self.wants_lines(1) {
            let futures = words::many(u64::from(self.counts.total), "future");
            let job = run.job_name();
            let job = words::plain(&job, false);
            self.line(DIM, "job", &format!("{job}  {futures}, run {}", run.run_id));
        }
        if let Some(target) = self.target.take() {
            self.screen.open_board(Board::new(target, self.options.color, self.counts));
        }
    }

    fn started(&mut self, run: &RunView<'_>, node: NodeId, attempt: u32, worker: u32) {
        self.screen.board(|board| board.started(node, &name(run, node)));
        if self.wants_lines(1) {
            let name = name(run, node);
            let again = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
            self.line(DIM, "run", &format!("{name}  worker {worker}{again}"));
        }
    }

    fn retried(&mut self, run: &RunView<'_>, node: NodeId, attempt: u32) {
        let record = run.record(node);
        self.screen.board(|board| board.ended(node));
        self.end_lines(node);
        let detail = record.detail.as_deref();
        let earlier = detail.and_then(|detail| detail.earlier.last());
        let failure = earlier.and_then(|earlier| earlier.failure.as_ref());
        let why = failure.map_or("", |failure| &*failure.message);
        let shows_output = self.options.output == Output::Grouped && has_output(record);
        let wants_header = shows_output && self.options.verbosity >= 0;
        if wants_header || self.wants_lines(i8::from(self.is_large())) {
            let name = name(run, node);
            let why = first_line(why);
            self.line(YELLOW, "redo", &format!("{name}  attempt {attempt} follows: {why}"));
        }
        if shows_output {
            self.pass_output(run, node);
        }
    }

    fn finished(&mut self, run: &RunView<'_>, node: NodeId) {
        let record = run.record(node);
        let failed = record.state.is_failure();
        self.counts.add(record);
        let counts = self.counts;
        self.screen.board(|board| {
            board.ended(node);
            board.counted(&counts);
        });
        self.end_lines(node);
        let shows_output = has_output(record)
            && match self.options.output {
                Output::Grouped => true,
                Output::Failures => failed,
                Output::Live | Output::None => false,
            };
        let wants_line = if failed && self.counts.total > 1 {
            self.options.progress != Progress::None
        } else {
            self.wants_lines(i8::from(!self.is_small()))
        };
        // Output must have a name, unless there is only one future it could be of.
        let wants_header = shows_output && self.counts.total > 1 && self.options.verbosity >= 0;
        if wants_line || wants_header {
            let (style, word) = label(record.state);
            self.line(style, word, &ended_line(run, node));
        }
        if shows_output {
            self.pass_output(run, node);
        }
        self.tenth();
    }

    fn expanded(&mut self, run: &RunView<'_>, task: TaskId) {
        self.counts.total = run.job.graph.future_count();
        let counts = self.counts;
        self.screen.board(|board| board.counted(&counts));
        if self.wants_lines(1) {
            let group = run.task_name(task);
            let group = words::plain(&group, false);
            let members = run.job.graph.members(task).len() as u64;
            self.line(DIM, "group", &format!("{group}  has {}", words::many(members, "future")));
        }
    }

    fn group_returned(&mut self, run: &RunView<'_>, task: TaskId) {
        let Some(how) = run.ledger.group(task) else { return };
        let group = run.task_name(task);
        let group = words::plain(&group, false);
        if how.verdict() == State::Failed && summary::has_own_wait(run, task) {
            if self.options.progress != Progress::None {
                let why = words::group_failure(run, task);
                self.line(RED, "FAIL", &format!("group {group}  {why}"));
            }
        } else if self.wants_lines(1) {
            self.line(DIM, "group", &format!("{group}  {}", words::returned(how)));
        }
    }

    fn callback_ended(&mut self, run: &RunView<'_>) {
        let Some(record) = run.ledger.callbacks.last() else { return };
        let Some(error) = &record.error else { return };
        let of = record.node.map_or_else(|| "the job".to_owned(), |node| name(run, node));
        let place = words::written_at(run, run.job.callbacks[record.callback].place);
        let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
        let error = words::plain(error, false);
        self.line(RED, "error", &format!("callback on {} of {of}{place}: {error}", record.on));
    }

    fn job_finished(&mut self, run: &RunView<'_>) {
        self.screen.close_board();
        for (stream, rest) in self.prefixer.end_all() {
            self.screen.pass(stream, &rest);
        }
        summary::show(&mut self.screen, run, self.options.verbosity);
    }

    /// Says how far a large job has come.
    fn tenth(&mut self) {
        let counts = self.counts;
        let tenths = (u64::from(counts.done()) * 10 / u64::from(counts.total.max(1))) as u32;
        let wanted = !self.is_small() && self.wants_lines(0) && !self.screen.has_board();
        if wanted && tenths > self.tenths && tenths < 10 {
            let failed = match counts.failures() {
                0 => String::new(),
                failures => format!(", {failures} failed"),
            };
            let (done, total) = (counts.done(), counts.total);
            self.line(DIM, &format!("{tenths}0%"), &format!("{done} of {total} done{failed}"));
        }
        self.tenths = self.tenths.max(tenths);
    }

    /// Whether the job is small enough for a line for each future, and not so small that the end
    /// summary says it all.
    fn is_small(&self) -> bool {
        self.counts.total > 1 && !self.is_large()
    }

    fn is_large(&self) -> bool {
        self.counts.total > LINES
    }

    fn wants_lines(&self, verbosity: i8) -> bool {
        self.options.progress != Progress::None && self.options.verbosity >= verbosity
    }

    fn line(&mut self, style: Style, word: &str, rest: &str) {
        self.screen.labelled(style, word, rest);
    }

    /// What tasks wrote without a newline at its end becomes a line of its own.
    fn end_lines(&mut self, node: NodeId) {
        for (stream, rest) in self.prefixer.end(node) {
            self.screen.pass(stream, &rest);
        }
    }

    fn wrote(&mut self, run: &RunView<'_>, node: NodeId, stream: Stream, bytes: &[u8]) {
        let options = self.options;
        let lines = self
            .prefixer
            .push(node, stream, bytes, || (name(run, node), options.passage(run, stream)));
        self.screen.pass(stream, &lines);
    }

    fn pass_output(&mut self, run: &RunView<'_>, node: NodeId) {
        let Some(detail) = &run.record(node).detail else { return };
        for (stream, captured) in
            [(Stream::Stdout, &detail.stdout), (Stream::Stderr, &detail.stderr)]
        {
            let passage = || self.options.passage(run, stream);
            if let Err(error) = self.screen.pass_captured(stream, captured, passage()) {
                let shown = passage().whole(&captured.kept);
                let message = format!("{}: its output cannot be read: {error}", name(run, node));
                self.line(RED, "error", &message);
                self.screen.lost(io::Error::new(error.kind(), message));
                self.screen.pass(stream, &shown);
            }
        }
    }
}

impl Observer for Console {
    fn observe(&mut self, event: &Stamped, run: &RunView<'_>) -> io::Result<()> {
        match &event.event {
            Event::JobStarted => self.job_started(run),
            Event::Started { node, attempt, worker } => {
                self.started(run, *node, *attempt, *worker);
            }
            Event::Output { node, stream, bytes } => {
                if self.options.output == Output::Live {
                    self.wrote(run, *node, *stream, bytes);
                }
            }
            Event::Retry { node, attempt, .. } => self.retried(run, *node, *attempt),
            Event::Finished { node } => self.finished(run, *node),
            Event::Expanded { task } => self.expanded(run, *task),
            Event::GroupReturned { task } => self.group_returned(run, *task),
            Event::JobReturned => {
                if self.wants_lines(1)
                    && let Some(returned) = &run.ledger.returned
                {
                    self.line(DIM, "wait", &words::returned(&returned.how));
                }
            }
            Event::Log { message, .. } => {
                if self.options.verbosity >= 0 {
                    self.line(CYAN, "log", &words::plain(message, false));
                }
            }
            Event::CallbackEnded => self.callback_ended(run),
            Event::Warning { message } => {
                if self.options.verbosity >= 0 {
                    self.line(YELLOW, "warn", &words::plain(message, false));
                }
            }
            Event::GoesOn { paused } => {
                if self.options.verbosity >= 0 {
                    let paused = words::duration(*paused);
                    self.line(CYAN, "go on", &format!("paused for {paused}, which counts nowhere"));
                }
            }
            Event::Interrupted { signal } => {
                let signal = describe_signal(*signal);
                self.line(YELLOW, "stop", &format!("{signal}: stopping; again to stop at once"));
            }
            Event::JobFinished => self.job_finished(run),
        }
        self.screen.check()
    }

    fn wants_output(&self) -> bool {
        self.options.output == Output::Live
    }
}

const RED: Style = AnsiColor::Red.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();
const DIM: Style = Style::new().dimmed();

/// The word in front of a line about a future that ended.
const fn label(state: State) -> (Style, &'static str) {
    match state {
        State::Succeeded => (GREEN, "ok"),
        State::Failed => (RED, "FAIL"),
        State::TimedOut => (RED, "TIME"),
        State::Cancelled => (YELLOW, "stop"),
        State::Skipped => (DIM, "skip"),
        State::Pending | State::Running => (DIM, "?"),
    }
}

/// `sum[0]  0.2ms`, and why where it did not succeed.
fn ended_line(run: &RunView<'_>, node: NodeId) -> String {
    let record = run.record(node);
    let mut line = name(run, node);
    if record.attempts > 0 {
        line.push_str("  ");
        line.push_str(&words::duration(record.elapsed()));
    }
    let why = words::why(run, record);
    if !why.is_empty() {
        line.push_str("  ");
        line.push_str(&first_line(&why));
    }
    line
}

fn has_output(record: &Record) -> bool {
    let detail = record.detail.as_ref();
    detail.is_some_and(|detail| detail.stdout.bytes > 0 || detail.stderr.bytes > 0)
}

fn name(run: &RunView<'_>, node: NodeId) -> String {
    words::plain(&run.name(node).to_string(), false).into_owned()
}

fn first_line(text: &str) -> String {
    words::plain(text.lines().next().unwrap_or_default(), false).into_owned()
}
