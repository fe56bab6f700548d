//! Stories about: the screen.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use indicatif::{ProgressDrawTarget, TermLike};
use jobrun::event::Event;
use jobrun::graph::{OnReturn, ReturnWhen, Wait};
use jobrun::job::Trigger;
use jobrun::outcome::{Because, Captured, Cause, FailureKind, Stream};
use jobrun::report::console::{Console, Options, Output, Progress};
use jobrun::value::Value;

use crate::told::{Plan, Run, Shared, sums_to_be, tell_sums, tell_trouble, trouble};

/// A console on two buffers.
fn console(options: Options) -> (Console, Shared, Shared) {
    let (out, err) = (Shared::default(), Shared::default());
    let hidden = ProgressDrawTarget::hidden();
    let console =
        Console::with_writers(options, Box::new(out.clone()), Box::new(err.clone()), hidden);
    (console, out, err)
}

/// What a run shows on standard output and error.
fn shown(options: Options, run: Run, tell: impl FnOnce(&mut Run)) -> (String, String) {
    let (console, out, err) = console(options);
    let mut run = run.watched_by(console);
    tell(&mut run);
    assert!(run.errors.is_empty());
    (out.text(), err.text())
}

fn both((out, err): &(String, String)) -> String {
    format!("--- stdout\n{out}--- stderr\n{err}")
}

#[test]
fn a_good_run_has_a_line_a_future_and_one_at_the_end() {
    let (out, err) = shown(Options::default(), sums_to_be(), tell_sums);
    assert_eq!(out, "");
    insta::assert_snapshot!(err);
}

#[test]
fn a_bad_run_ends_with_what_went_wrong() {
    insta::assert_snapshot!(both(&shown(Options::default(), trouble(), tell_trouble)));
}

#[test]
fn told_to_be_verbose_it_says_what_starts() {
    let options = Options { verbosity: 1, ..Options::default() };
    insta::assert_snapshot!(shown(options, trouble(), tell_trouble).1);
}

#[test]
fn told_to_be_quiet_it_shows_failures_and_errors_alone() {
    let options = Options { verbosity: -1, ..Options::default() };
    assert_eq!(shown(options, sums_to_be(), tell_sums).1, "");
    insta::assert_snapshot!(shown(options, trouble(), tell_trouble).1);
}

#[test]
fn without_progress_only_the_end_is_told() {
    let options = Options { progress: Progress::None, output: Output::None, ..Options::default() };
    insta::assert_snapshot!(shown(options, trouble(), tell_trouble).1);
}

#[test]
fn with_colours_words_stand_out() {
    let options = Options { color: true, output: Output::None, ..Options::default() };
    let err = shown(options, trouble(), tell_trouble).1;
    insta::assert_snapshot!(err.replace('\u{1b}', "ESC"));
}

#[test]
fn a_single_future_needs_no_lines_but_the_last() {
    let one = Plan::new("one").task("a", &[]).run();
    let (out, err) = shown(Options::default(), one, |run| {
        run.start("a", 1, 1).captured("a", Stream::Stdout, b"hello\n").succeed("a", 9, "hello");
        run.returned(9, Because::AllCompleted, true).finish(10);
    });
    assert_eq!((&*out, &*err), ("hello\n", "one: 1 succeeded in 0.01s\n"));
}

// The tasks' output

/// Two futures whose outputs come interleaved, one of which fails.
fn two() -> Run {
    Plan::new("two").task("a", &[]).task("b", &[]).run()
}

fn tell_two(run: &mut Run) {
    run.start("a", 1, 0).start("b", 2, 0);
    run.output("a", Stream::Stdout, b"a1\na").output("b", Stream::Stdout, b"\xff\x1b[1mb1");
    run.output("b", Stream::Stderr, b"oops\n").output("a", Stream::Stdout, b"2\n");
    run.succeed("a", 10, 1).fail("b", 20, FailureKind::Exit, "exited with code 3");
    run.returned(20, Because::AllCompleted, false).finish(21);
}

#[test]
fn grouped_output_is_in_one_piece_and_byte_for_byte() {
    let (console, out, err) = console(Options::default());
    assert!(!jobrun::report::Observer::wants_output(&console));
    let mut run = two().watched_by(console);
    tell_two(&mut run);
    assert_eq!(out.bytes(), b"a1\na2\n\xff\x1b[1mb1");
    let err = err.text();
    assert!(err.starts_with("ok   a  10ms\nFAIL b  20ms  exited with code 3\noops\n"), "{err}");
}

#[test]
fn live_output_is_line_by_line_with_a_name_in_front() {
    let (console, out, err) = console(Options { output: Output::Live, ..Options::default() });
    assert!(jobrun::report::Observer::wants_output(&console));
    let mut run = two().watched_by(console);
    tell_two(&mut run);
    assert_eq!(out.bytes(), b"a | a1\na | a2\nb | \xff\x1b[1mb1\n");
    assert!(err.text().starts_with("b | oops\nok   a  10ms\nFAIL b"), "{}", err.text());
}

#[test]
fn a_line_without_end_is_shown_in_pieces() {
    let options = Options { output: Output::Live, ..Options::default() };
    let (out, _) = shown(options, two(), |run| {
        run.start("a", 1, 0);
        for _ in 0..100 {
            run.output("a", Stream::Stdout, &[b'x'; 1000]);
        }
        run.succeed("a", 1, 1).finish(2);
    });
    assert!(out.lines().all(|line| line.len() < 20_000 && line.starts_with("a | x")));
    assert_eq!(out.matches('x').count(), 100_000);
}

#[test]
fn output_of_failures_alone_or_none_at_all() {
    let only = Options { output: Output::Failures, ..Options::default() };
    let (console, out, _) = console(only);
    let mut run = two().watched_by(console);
    tell_two(&mut run);
    assert_eq!(out.bytes(), b"\xff\x1b[1mb1");
    let none = Options { output: Output::None, ..Options::default() };
    assert_eq!(shown(none, two(), tell_two).0, "");
}

#[test]
fn output_goes_to_standard_error_where_standard_output_is_taken() {
    let options = Options { stdout_is_taken: true, ..Options::default() };
    let (out, err) = shown(options, trouble(), tell_trouble);
    assert_eq!(out, "");
    assert!(err.contains("\n12 passed\n"), "{err}");
}

#[test]
fn a_large_output_is_copied_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.out");
    let whole = "0123456789\n".repeat(20_000);
    std::fs::write(&path, &whole).unwrap();
    let captured = Captured {
        bytes: whole.len() as u64,
        kept: b"789\n".to_vec(),
        path: Some(path.clone()),
        lost: None,
    };
    let tell = |run: &mut Run| {
        run.start("a", 1, 0).spilled("a", captured.clone()).succeed("a", 1, Value::Null);
    };
    assert_eq!(shown(Options::default(), two(), tell).0, whole);
    std::fs::remove_file(path).unwrap();
    let (console, out, err) = console(Options::default());
    let mut run = two().watched_by(console);
    tell(&mut run);
    assert_eq!(out.text(), "789\n");
    assert!(
        err.text().contains("error a: its output cannot be read: No such file"),
        "{}",
        err.text()
    );
    // It is not only said: jobrun did not do what it was to do.
    assert_eq!(run.errors.len(), 1);
    assert!(run.errors[0].to_string().contains("a: its output cannot be read"), "{:?}", run.errors);
}

#[test]
fn what_an_attempt_wrote_is_shown_before_the_next_one() {
    let (out, err) = shown(Options::default(), two(), |run| {
        run.start("a", 1, 0).captured("a", Stream::Stdout, b"first\n");
        run.retry("a", 5, "exited with code 3\nmore").start("a", 1, 9);
        run.spilled("a", Captured { bytes: 7, kept: b"second\n".to_vec(), path: None, lost: None });
        run.succeed("a", 10, 1);
    });
    assert_eq!(out, "first\nsecond\n");
    assert_eq!(err, "redo a  attempt 2 follows: exited with code 3\nok   a  1.0ms\n");
}

// Names and messages

#[test]
fn names_and_messages_cannot_steer_the_terminal() {
    let run = Plan::new("evil\u{1b}[2J").task("a\u{1b}]0;x\u{7}", &[]).task("b\u{202e}", &[]).run();
    let (_, err) = shown(Options::default(), run, |run| {
        run.start("a\u{1b}]0;x\u{7}", 1, 0);
        run.fail("a\u{1b}]0;x\u{7}", 1, FailureKind::Call, "red\u{1b}[31m\rover\n::error::x");
        run.captured("b\u{202e}", Stream::Stderr, b"");
        run.emit(Event::Warning { message: "w\u{9b}31m\n::set-output".to_owned() });
        run.emit(Event::Log { callback: 0, node: None, message: "l\u{1b}c".to_owned() });
        run.skip("b\u{202e}", 2).returned(2, Because::AllCompleted, false).finish(3);
    });
    assert!(!err.contains(|c: char| c.is_control() && c != '\n'), "{err:?}");
    assert!(!err.contains('\u{202e}'), "{err:?}");
    assert!(err.lines().all(|line| !line.trim_start().starts_with("::")), "{err}");
    assert!(err.contains("a\\u{1b}]0;x\\u{7}"), "{err}");
}

#[test]
fn a_tail_shows_the_last_lines_of_both_streams_without_colours() {
    let (_, err) = shown(Options { output: Output::None, ..Options::default() }, two(), |run| {
        let many = (1..=30).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\r\n");
        run.start("a", 1, 0).captured("a", Stream::Stdout, many.as_bytes());
        run.captured("a", Stream::Stderr, b"\x1b[31mred\x1b[0m\x07\n");
        run.fail("a", 1, FailureKind::Signal, "was killed by SIGSEGV (signal 11)").skip("b", 1);
        run.returned(1, Because::AllCompleted, false).finish(2);
    });
    insta::assert_snapshot!(err);
}

// How the run ended

fn with_wait(wait: Wait) -> Run {
    Plan::new("job").wait(wait).task("a", &[]).task("b", &[]).task("c", &[]).run()
}

fn last_lines(err: &str, count: usize) -> String {
    let lines: Vec<_> = err.lines().collect();
    lines[lines.len() - count..].join("\n")
}

#[test]
fn a_wait_that_timed_out_says_how_many_are_unfinished() {
    let (_, err) = shown(Options::default(), with_wait(Wait::default()), |run| {
        run.start("a", 1, 0).start("b", 2, 0).succeed("a", 5, 1);
        run.returned(7000, Because::Timeout, false);
        run.cancel("b", 7010, Cause::Wait(None)).cancel("c", 7010, Cause::Wait(None)).finish(7011);
    });
    assert_eq!(
        last_lines(&err, 2),
        "job: the wait timed out after 7.00s: 2 (of 3) futures unfinished\n\
         job: 1 succeeded, 2 cancelled in 7.01s"
    );
}

#[test]
fn a_wait_that_returned_early_says_why() {
    let wait = Wait {
        return_when: ReturnWhen::FirstException,
        on_return: OnReturn::Drain,
        ..Wait::default()
    };
    let (_, err) = shown(Options::default(), with_wait(wait), |run| {
        run.start("a", 1, 0).fail("a", 5, FailureKind::Call, "no");
        run.returned(5, Because::FirstException, false);
        run.cancel("b", 6, Cause::Wait(None)).cancel("c", 6, Cause::Wait(None)).finish(7);
    });
    assert!(err.contains("stop b  the wait returned\n"), "{err}");
    assert!(err.contains("job: the wait returned after 0.01s: first_exception\n"), "{err}");
}

#[test]
fn an_interrupted_run_says_by_what() {
    let (_, err) = shown(Options::default(), with_wait(Wait::default()), |run| {
        run.start("a", 1, 0);
        run.ledger.interrupted = Some(2);
        run.emit(Event::Interrupted { signal: 2 });
        for name in ["a", "b", "c"] {
            run.cancel(name, 9, Cause::Interrupt);
        }
        run.returned(9, Because::Interrupt, false).finish(9);
    });
    assert!(err.starts_with("stop SIGINT (signal 2): stopping; again to stop at once\n"), "{err}");
    assert!(err.contains("job: interrupted by SIGINT (signal 2)\n"), "{err}");
}

#[test]
fn callbacks_and_warnings_have_lines() {
    let run = Plan::new("job").task("a", &[]).log(&[Trigger::Done], None, "x").run();
    let (_, err) = shown(Options::default(), run, |run| {
        run.start("a", 1, 0).succeed("a", 1, 1);
        run.emit(Event::Log { callback: 0, node: None, message: "a is done".to_owned() });
        run.callback_ended(0, Some("a"), None);
        run.callback_ended(0, Some("a"), Some("exited with code 1"));
        run.emit(Event::Warning { message: "only 10 open files".to_owned() });
        run.returned(1, Because::AllCompleted, true).finish(2);
    });
    assert_eq!(
        err,
        "log  a is done\n\
         error callback on done of a (jobs/job.toml:100): exited with code 1\n\
         warn only 10 open files\n\
         job: 1 succeeded in 0.00s\n"
    );
}

#[test]
fn a_large_job_has_ten_lines_not_thousands() {
    let items = (0..3000).map(Value::from).collect();
    let run = Plan::new("large").group("n", items, None).run();
    let (_, err) = shown(Options::default(), run, |run| {
        for place in 0..3000 {
            let node = jobrun::id::NodeId(place);
            run.start_node(node, 1, 1);
            if place == 1234 {
                run.fail_node(node, 2, "no");
            } else {
                run.succeed_node(node, 2);
            }
        }
        run.group_returned("n", Because::AllCompleted, false);
        run.returned(3, Because::AllCompleted, false).finish(3);
    });
    insta::assert_snapshot!(err);
}

// Where nobody reads

/// Takes so many bytes and then fails.
struct Closing(usize, io::ErrorKind);

impl Write for Closing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(self.1.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_went_away_is_noted_once_and_the_run_goes_on() {
    for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::StorageFull] {
        let err = Shared::default();
        let console = Console::with_writers(
            Options::default(),
            Box::new(Closing(10, kind)),
            Box::new(err.clone()),
            ProgressDrawTarget::hidden(),
        );
        let mut run = trouble().watched_by(console);
        tell_trouble(&mut run);
        let errors: Vec<_> = run.errors.iter().map(io::Error::kind).collect();
        assert_eq!(errors, [kind]);
        assert!(run.errors[0].to_string().starts_with("cannot write to standard output: "));
        assert!(err.text().ends_with(" in 2.02s\n"));
    }
}

// The live display

/// A terminal that keeps what is drawn on it.
#[derive(Clone, Debug, Default)]
struct Terminal(Arc<Mutex<String>>);

impl Terminal {
    fn push(&self, text: &str) {
        self.0.lock().unwrap().push_str(text);
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        self.push("<up>");
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.push(text);
        self.push("\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.push(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.push("<clear>");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What is drawn on a terminal while a run goes on.
fn drawn(options: Options) -> String {
    let terminal = Terminal::default();
    let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
    let (out, err) = (Box::new(Shared::default()), Box::new(Shared::default()));
    let mut run = trouble().watched_by(Console::with_writers(options, out, err, target));
    tell_trouble(&mut run);
    terminal.0.lock().unwrap().clone()
}

#[test]
fn on_a_terminal_there_is_a_display_of_what_runs() {
    let drawn = drawn(Options { is_terminal: true, ..Options::default() });
    assert!(drawn.contains("1 of 7 done, 3 running, 1 failed"), "{drawn}");
    assert!(drawn.contains("    test[1]  0."), "{drawn}");
    let after = drawn.rsplit("<clear>").next().unwrap();
    assert!(!after.contains("done"), "it must not stay: {after}");
}

#[test]
fn where_there_is_no_terminal_or_a_ci_system_nothing_is_drawn() {
    let terminal = Options { is_terminal: true, ..Options::default() };
    for options in [
        Options { progress: Progress::Bar, ..Options::default() },
        Options { ci: true, ..terminal },
        Options { ci: true, progress: Progress::Bar, ..terminal },
        Options { progress: Progress::Plain, ..terminal },
        Options { progress: Progress::None, ..terminal },
        Options { verbosity: -1, ..terminal },
    ] {
        assert_eq!(drawn(options), "", "{options:?}");
    }
}
