//! F35: the program is killed between two steps of writing a report.

use std::fs;

use super::{can_trace, names_in};
use crate::story::Story;

/// A job of calls only: no child is hit by what is meant for the runner.
const CALLS: &str = r#"
    [[task]]
    name = "sum"
    call = "sum_to"
    map  = [10, 100, 1000]
    "#;

#[test]
fn f35_a_crash_leaves_the_old_report_or_the_new_one() {
    if !can_trace() {
        return;
    }
    let (mut old, mut new) = (0, 0);
    for call in ["write", "fsync", "/^rename", "/^open", "/^fchmod|^chmod"] {
        for nth in 1.. {
            let inject = format!("inject={call}:signal=KILL:when={nth}");
            let under = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
            let report = "--report=json=report.json";
            let story = Story::command(&["job.toml", report]).file("job.toml", CALLS);
            let story = story.file("report.json", "{\"old\": true}");
            let end = story.under(&under).run();
            // A run that was killed while it wrote has no exit code of its own, and the report may be
            // the old one; it was read, so it is whole.
            if end.code == 0 {
                assert_eq!(end.report["exit_code"], 0, "{call} {nth}");
                break;
            }
            assert_eq!(end.code, 137, "{call} {nth}\n{}", end.stderr);
            assert_eq!(end.leftovers(), [], "{call} {nth}");
            if end.report["old"] == true {
                old += 1;
            } else {
                assert_eq!(end.report["counts"]["succeeded"], 3, "{call} {nth}");
                new += 1;
            }
            // What is left of the new one is not called a report.
            let names = names_in(&end.path("."));
            let reports = names.iter().filter(|name| name.contains("report")).count();
            assert_eq!(reports, 1, "{names:?}");
            assert!(nth < 1000, "{call} is called without end");
        }
    }
    assert!(old > 0 && new > 0, "{old} crashes left the old report, {new} the new one");
}

#[test]
fn f35_what_a_crash_left_does_not_disturb_the_next_run() {
    if !can_trace() {
        return;
    }
    let twice = "strace -f -qq -o /dev/null -e 'inject=/^rename:signal=KILL:when=1' \"$@\"; \
                 echo $? > first; exec \"$@\"";
    let story = Story::new(CALLS).under(&["sh", "-c", twice, "sh"]);
    let end = story.run();
    crate::promises::kept(&end, 0);
    assert_eq!(end.file("first"), "137\n");
    assert_eq!(end.report["counts"]["succeeded"], 3);
    let left = names_in(&end.path(".")).into_iter().filter(|name| name.starts_with(".jobrun-"));
    assert_eq!(left.count(), 1);
    assert!(fs::read(end.path("report.json")).unwrap().ends_with(b"}\n"));
}
