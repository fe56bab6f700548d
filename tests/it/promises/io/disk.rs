//! F26, F29, F30, F31, F41: disks that are full, slow to tell, read-only or gone, and memory that is
//! not there.

use super::{LARGE, TEN, all_ten, can_mount, names_in, no_half_files, output_is_lost};
use crate::promises::kept;
use crate::story::{Story, require};

/// Nine hundred futures: a report of some hundred thousand bytes.
const MANY: &str = r#"
    [[task]]
    name = "many"
    call = "echo"
    map  = { range = [0, 900] }
    "#;

/// A task that writes more than is kept in memory, and one after it.
const LARGE_THEN_SMALL: &str = r#"
    [[task]]
    name   = "large"
    run    = "head -c 300000 /dev/zero"
    result = "none"

    [[task]]
    name  = "after"
    run   = ["echo", "after"]
    after = ["large"]
    "#;

#[test]
fn f26_a_report_that_finds_no_room_is_said_and_the_old_one_stays() {
    if !can_mount() {
        return;
    }
    let full = "mount -t tmpfs -o size=128k tmpfs full && echo old > full/report.html && \
                head -c 100000 /dev/zero > full/rest; \
                \"$@\"; code=$?; cp full/report.html kept; ls -A full > names; exit $code";
    let story = Story::new(MANY).file("full/here", "").arg("--report=html=full/report.html");
    let end = story.under(&["unshare", "-Urm", "sh", "-c", full, "sh"]).run();
    kept(&end, 4);
    end.says("the html report could not be written: full/report.html: No space left on device");
    assert_eq!(end.report["counts"]["succeeded"], 900);
    assert_eq!(end.report["outcome"], "error");
    assert_eq!(end.file("kept"), "old\n");
    assert_eq!(end.file("names"), "report.html\nrest\n");
}

#[test]
fn f26_events_that_find_no_room_stay_valid_as_far_as_they_go() {
    if !can_mount() {
        return;
    }
    let full = "mount -t tmpfs -o size=16k tmpfs full; \
                \"$@\"; code=$?; cp full/events.jsonl kept; exit $code";
    let story = Story::command(&["job.toml", "--report=json=report.json"]).file("job.toml", MANY);
    let story = story.file("full/here", "").arg("--events=full/events.jsonl");
    let end = story.under(&["unshare", "-Urm", "sh", "-c", full, "sh"]).run();
    kept(&end, 4);
    end.says("the events could not be written: No space left on device");
    assert_eq!(end.report["counts"]["succeeded"], 900);
    let events = end.file("kept");
    assert!(events.ends_with("}\n"), "the last line is cut");
    for (seq, line) in events.lines().enumerate() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["seq"], seq);
    }
    assert!(events.lines().count() > 50);
}

#[test]
fn f26_output_that_finds_no_room_harms_no_other_task() {
    if !can_mount() {
        return;
    }
    let full = "mount -t tmpfs -o size=64k tmpfs state && exec \"$@\"";
    let story = Story::new(LARGE_THEN_SMALL).file("state/here", "");
    std::fs::remove_file(story.path("state/here")).unwrap();
    let end = story.under(&["unshare", "-Urm", "sh", "-c", full, "sh"]).run();
    output_is_lost(&end);
    end.says("No space left on device");
    assert_eq!(end.future("large")["stdout"]["bytes"], 300_000);
    assert_eq!(end.future("large")["stdout"]["path"], serde_json::Value::Null);
    assert_eq!(end.result("after"), "after");
}

#[test]
fn f29_a_file_that_may_not_grow_is_an_error_and_not_the_end() {
    if !require("prlimit") {
        return;
    }
    let story = Story::new(MANY).arg("--report=html=report.html").arg("--report=junit=report.xml");
    let end = story.under(&["prlimit", "--fsize=20000"]).run();
    // The JSON report is too large as well, so there is none.
    end.expect(4);
    for what in ["the html report", "the junit report", "the json report", "the events"] {
        end.says(&format!("{what} could not be written"));
    }
    end.says("File too large");
    assert_eq!(end.leftovers(), []);
    assert_eq!(names_in(&end.path(".")), ["events.jsonl", "job.toml"]);
    no_half_files(&end);
    // What there is of the events is whole lines: reading them has shown it.
    assert!(end.events.len() > 50);
}

#[test]
fn f30_a_state_folder_that_is_read_only_harms_only_what_needs_it() {
    if !can_mount() {
        return;
    }
    let read_only = "mount --bind state state && mount -o remount,ro,bind state && exec \"$@\"";
    let under = ["unshare", "-Urm", "sh", "-c", read_only, "sh"];
    let story = Story::new("[[task]]\nname = \"a\"\nrun = [\"echo\", \"a\"]\n");
    let end = story.file("state/here", "").under(&under).run();
    kept(&end, 0);
    assert_eq!(end.result("a"), "a");

    let story = Story::new(LARGE_THEN_SMALL).file("state/here", "");
    let end = story.under(&under).run();
    output_is_lost(&end);
    end.says("cannot make the folder").says("Read-only file system");
    assert_eq!(end.result("after"), "after");
}

#[test]
fn f30_a_system_that_is_read_only_is_enough_for_a_run() {
    if !can_mount() {
        return;
    }
    let read_only = "here=$PWD; mount --bind $here $here && mount -o remount,ro,bind / && \
                     cd $here && ! touch /usr/file 2>/dev/null && exec \"$@\"";
    let end = Story::new(TEN).under(&["unshare", "-Urm", "sh", "-c", read_only, "sh"]).run();
    kept(&end, 0);
    all_ten(&end);
}

#[test]
fn f31_a_state_folder_that_vanishes_takes_output_with_it_and_nothing_else() {
    let story = Story::new(
        r#"
        [[task]]
        name   = "large"
        run    = "head -c 300000 /dev/zero; cat gate"
        result = "none"

        [[task]]
        name   = "later"
        run    = "head -c 300000 /dev/zero"
        result = "none"
        after  = ["large"]

        [[task]]
        name  = "after"
        run   = ["echo", "after"]
        after = ["later"]
        "#,
    );
    let gate = story.gate("gate");
    let running = story.spawn();
    let passed = gate.reached();
    // The gate is reached by the child, perhaps before all it wrote was read: a name has to be there.
    let runs = running.path("state/runs");
    while std::fs::read_dir(&runs).map_or(0, Iterator::count) == 0 {
        std::thread::yield_now();
    }
    std::fs::remove_dir_all(running.path("state")).unwrap();
    drop(passed);
    let end = running.end();
    kept(&end, 4);
    end.says("large").says("No such file or directory");
    assert_eq!(end.result("after"), "after");
    assert_eq!(end.state("later"), "succeeded");
}

#[test]
fn f41_memory_that_is_not_there_leaves_no_half_report_and_no_process() {
    if !require("prlimit") {
        return;
    }
    let mut ran = 0;
    for megabytes in (24..80).step_by(2).chain([128, 512, 4096]) {
        let limit = format!("--as={}", megabytes << 20);
        let story = Story::new(TEN).under(&["prlimit", &limit, "--core=0"]);
        let end = story.run();
        // A report that is there was read. How it ends depends on who finds no memory: the system,
        // before the program begins (139, 127), jobrun (4, or 134 where all it can do is to give up),
        // or a task (1).
        let began = ![139, 127].contains(&end.code);
        assert!(!began || [0, 1, 4, 134].contains(&end.code), "{megabytes} MiB: {}", end.code);
        assert!(!began || !end.stderr.is_empty(), "{megabytes} MiB: {}", end.code);
        assert_eq!(end.leftovers(), [], "{megabytes} MiB");
        if end.code == 0 {
            all_ten(&end);
            assert_eq!(end.stdout.matches(LARGE).count(), 2000);
            ran += 1;
        }
    }
    assert!(ran > 0, "no limit was high enough");
}
