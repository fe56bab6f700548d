//! F10, F11, F12: standard streams that nobody reads, that are full, or that are closed; F28: streams
//! of which little is read or written at a time.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::{LARGE, TEN, all_ten, no_half_files};
use crate::promises::kept;
use crate::story::{End, Story, require};

fn large(end: &End) -> String {
    let path = end.future("large")["stdout"]["path"].as_str().unwrap();
    fs::read_to_string(path).unwrap()
}

#[test]
fn f10_a_reader_that_has_seen_enough_ends_neither_tasks_nor_reports() {
    let pipe = "{ \"$@\"; echo $? > code; } | head -n 1";
    let end = Story::new(TEN).under(&["sh", "-c", pipe, "sh"]).run();
    // The code is that of `head`; the run's own was written down.
    kept(&end, 0);
    assert_eq!(end.file("code"), "4\n");
    end.says("cannot write to standard output: Broken pipe");
    all_ten(&end);
    assert_eq!(end.report["outcome"], "error");
    assert_eq!(end.report["exit_code"], 4);
    let error = end.report["errors"][0].as_str().unwrap();
    assert!(error.contains("standard output"), "{error}");
    assert_eq!(end.events.last().unwrap()["exit_code"], 4);
}

#[test]
fn f10_pipes_that_nobody_reads_any_more_are_an_error_of_the_run() {
    for (streams, said) in [("1", true), ("2", false), ("1 2", false)] {
        // Process substitution: the pipe is closed for certain once its reader was waited for.
        let closed = "exec 5> >(true); wait $!; for it in $STREAMS; do eval \"exec $it>&5\"; done; \
                      exec 5>&-; exec \"$@\"";
        let story = Story::new(TEN).env("STREAMS", streams);
        let end = story.under(&["bash", "-c", closed, "bash"]).run();
        kept(&end, 4);
        all_ten(&end);
        assert_eq!(end.stderr.contains("standard output"), said, "{}", end.stderr);
        let errors = end.report["errors"].as_array().unwrap();
        assert_eq!(errors.len(), streams.split(' ').count(), "{errors:?}");
    }
}

#[test]
fn f10_children_that_do_not_read_what_they_are_given_harm_nobody() {
    let much = "much ".repeat(50_000);
    let story = Story::new(&format!(
        "vars = {{ much = \"{much}\" }}\n[[task]]\nname = \"deaf\"\nrun = [\"true\"]\n\
         stdin = \"{{{{ vars.much }}}}\"\n[[callback]]\non = \"done\"\nrun = [\"true\"]\n"
    ));
    let end = story.run();
    kept(&end, 0);
    assert_eq!(end.report["callbacks"][0]["state"], "succeeded");
}

#[test]
fn f11_a_full_device_is_said_and_ends_with_4() {
    for (arguments, into, said) in [
        (&[][..], ">/dev/full", "cannot write to standard output"),
        (
            &["--results"],
            ">/dev/full",
            "the results could not be written: standard output: No space",
        ),
        (&["--report=junit=-"], ">/dev/full", "the junit report could not be written"),
        (&["--report=html=/dev/full"], "", "the html report could not be written: /dev/full"),
        (&["--output=live"], ">/dev/full", "cannot write to standard output"),
    ] {
        let story = Story::new(TEN).args(arguments);
        let end = story.under(&["sh", "-c", &format!("exec \"$@\" {into}"), "sh"]).run();
        kept(&end, 4);
        end.says(said);
        all_ten(&end);
        assert_eq!(end.report["exit_code"], 4);
        assert_eq!(end.events.last().unwrap()["exit_code"], 4, "{arguments:?}");
        assert!(
            end.report["errors"][0].as_str().unwrap().contains(said),
            "{}",
            end.report["errors"]
        );
    }
}

#[test]
fn f11_standard_error_that_is_full_is_told_by_the_exit_code_and_the_report() {
    let end = Story::new(TEN).under(&["sh", "-c", "exec \"$@\" 2>/dev/full", "sh"]).run();
    kept(&end, 4);
    assert_eq!(end.stdout.matches(LARGE).count(), 2000);
    assert_eq!(
        end.report["errors"],
        json!(["cannot write to standard error: No space left on device (os error 28)"])
    );
}

#[test]
fn f11_events_and_the_json_report_cannot_be_written_to_a_full_device() {
    let end = Story::command(&["job.toml", "--report=json=/dev/full"]).file("job.toml", TEN).run();
    // There is no report: that is what is said.
    end.expect(4).says("the json report could not be written: /dev/full: No space left");
    assert_eq!(end.leftovers(), []);
    let story = Story::command(&["job.toml", "--report=json=report.json", "--events=/dev/full"]);
    let end = story.file("job.toml", TEN).run();
    kept(&end, 4);
    end.says("the events could not be written: No space left");
    all_ten(&end);
}

#[test]
fn f11_what_other_commands_print_is_not_lost_in_silence_either() {
    for command in ["plan", "graph", "schema", "list", "check --format=json", "completions bash"] {
        let mut words: Vec<&str> = command.split(' ').collect();
        if !["schema", "completions"].contains(&words[0]) {
            words.push("job.toml");
        }
        let story = Story::command(&words).file("job.toml", TEN);
        let end = story.under(&["sh", "-c", "exec \"$@\" >/dev/full", "sh"]).run();
        // These commands write no report.
        end.expect(4).says("cannot write to standard output: No space left");
    }
}

#[test]
fn f12_streams_that_are_closed_at_the_start_are_never_taken_for_something_else() {
    for closed in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        let story = Story::new(TEN);
        let end = story.under(&["sh", "-c", &format!("exec \"$@\" {closed}"), "sh"]).run();
        kept(&end, 0);
        all_ten(&end);
        // Had one of these files taken the number of a closed stream, it would hold other words.
        assert_eq!(large(&end), LARGE.repeat(2000), "{closed}");
        assert_eq!(end.events.last().unwrap()["event"], "job_finished");
        let is_closed = |stream| closed.split(' ').any(|it| it == stream);
        let shown = if is_closed(">&-") { 0 } else { 2000 };
        assert_eq!(end.stdout.matches(LARGE).count(), shown, "{closed}");
        if is_closed("2>&-") {
            assert_eq!(end.stderr, "");
        } else {
            end.says("10 succeeded");
        }
    }
}

/// A library that reads no more than 3 bytes, and writes no more than 5, at once.
const SHORT: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t read(int fd, void *to, size_t len) {
    ssize_t (*real)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
    return real(fd, to, len > 3 ? 3 : len);
}

ssize_t write(int fd, const void *from, size_t len) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return real(fd, from, len > 5 ? 5 : len);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len > 0) return write(fd, parts[i].iov_base, parts[i].iov_len);
    return 0;
}
"#;

#[test]
fn f28_what_is_read_and_written_in_small_pieces_is_read_and_written_whole() {
    if !require("cc") {
        return;
    }
    let mut story = Story::new(TEN).file("short.c", SHORT);
    let library = story.path("short.so");
    let mut build = Command::new("cc");
    build.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(story.path("short.c"));
    assert!(build.status().unwrap().success());
    for format in ["junit", "html", "markdown", "trace"] {
        story = story.arg(&format!("--report={format}=report.{format}"));
    }
    let end = story.env("LD_PRELOAD", library.as_os_str()).run();
    kept(&end, 0);
    all_ten(&end);
    assert_eq!(large(&end), LARGE.repeat(2000));
    assert_eq!(end.stdout.matches(LARGE).count(), 2000);
    assert_eq!(end.events.last().unwrap()["event"], "job_finished");
    assert!(end.file("report.html").ends_with("</html>"));
    assert!(end.file("report.junit").trim_end().ends_with("</testsuites>"));
    serde_json::from_str::<serde_json::Value>(&end.file("report.trace")).unwrap();
    no_half_files(&end);
}
