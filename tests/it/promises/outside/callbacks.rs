//! Promises about callbacks that do not behave.

use std::fs;
use std::path::Path;

use crate::promises::kept;
use crate::story::{End, Story, require};

/// Runs what it is given, and says how much memory the largest of all these processes had, in KiB.
const MEASURE: &str = "import resource, subprocess, sys\n\
    code = subprocess.call(sys.argv[1:])\n\
    open('peak', 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n\
    sys.exit(code)\n";

/// A task for each of these callbacks.
fn callbacks(scripts: &[&str], timeout: &str) -> Story {
    let one = |(number, script): (usize, &&str)| {
        format!(
            "[[task]]\nname = \"t{number}\"\nrun = [\"true\"]\n[[task.callback]]\non = \"done\"\n\
             timeout = \"{timeout}\"\nrun = '''\n{script}\n'''\n"
        )
    };
    Story::new(&scripts.iter().enumerate().map(one).collect::<String>())
}

/// What was wrong with the callback of a task, if anything.
fn error<'a>(end: &'a End, task: &str) -> Option<&'a str> {
    let calls = end.report["callbacks"].as_array().unwrap();
    let call = calls.iter().find(|call| call["future"] == task).unwrap();
    call["error"].as_str()
}

/// How many bytes all files of a folder have.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let one = |path: &Path| if path.is_dir() { size(path) } else { path.metadata().unwrap().len() };
    entries.map(|entry| one(&entry.path())).sum()
}

#[test]
fn f57_callbacks_that_fail_or_hang_are_told_of_and_ended_and_change_nothing_else() {
    let story = callbacks(
        &[
            "echo why not >&2; exit 3",
            "exec sleep 1000",
            "trap '' TERM INT HUP; sleep 1000 & wait; sleep 1000",
            "kill -SEGV $$",
            "exec /nowhere/program",
            "echo well > told",
        ],
        "500ms",
    );
    let end = story.run();
    kept(&end, 0);
    for (task, what) in [
        ("t0", "exited with code 3: why not"),
        ("t1", "timed out after 500ms"),
        ("t2", "timed out after 500ms"),
        ("t3", "SIGSEGV"),
        ("t4", "/nowhere/program"),
    ] {
        let error = error(&end, task).unwrap();
        assert!(error.contains(what), "{task}: {error}");
        end.says(error);
        assert_eq!(end.state(task), "succeeded");
    }
    assert_eq!(error(&end, "t5"), None);
    assert_eq!(end.file("told"), "well\n");
}

#[test]
fn f57_what_a_callback_writes_takes_neither_memory_nor_disk() {
    if !require("python3") {
        return;
    }
    let flood = "head -c 1000000000 /dev/zero";
    let end =
        callbacks(&[flood, &format!("{flood} >&2; echo >&2; echo the end >&2; exit 1")], "2m")
            .under(&["python3", "-c", MEASURE])
            .run();
    kept(&end, 0);
    assert_eq!(error(&end, "t0"), None);
    assert!(error(&end, "t1").unwrap().ends_with("the end"), "{:?}", error(&end, "t1"));
    let peak: u64 = end.file("peak").parse().unwrap();
    assert!(peak < 64 << 10, "{peak} KiB");
    assert!(size(&end.path("state")) < 1 << 20);
    assert!(!end.stdout.contains('\0'));
}

#[test]
fn f57_what_a_callback_leaves_behind_holds_nobody_up_and_ends_with_the_run() {
    if !require("setsid") {
        return;
    }
    let end = callbacks(
        &[
            "setsid -f sleep 1000 > /dev/null 2>&1 < /dev/null",
            "setsid -f sleep 1000",
            "sleep 1000 &",
            "(sleep 1000 > /dev/null 2>&1 &) &",
            "(yes &)",
        ],
        "1m",
    )
    .run();
    kept(&end, 0);
    for call in end.report["callbacks"].as_array().unwrap() {
        assert!(call["elapsed"].as_f64().unwrap() < 50.0, "{call}");
    }
}
