//! F36, F37, F38: one run of a job at a time, and what becomes of the others.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;

use crate::promises::kept;
use crate::story::{End, Running, Story};

/// A job of one run at a time, which says when it begins and ends.
const ONE: &str = r#"
    concurrency = "one"

    [[task]]
    name = "work"
    run  = "echo begins >> log; cat gate; echo ends >> log"
    "#;

/// Another run of the job in `first`, with its files in the same state folder.
fn another(first: &Running, arguments: &[&str]) -> Story {
    let manifest = first.path("job.toml").to_str().unwrap().to_owned();
    let story = Story::command(&[&manifest, "--report=json=report.json"]).args(arguments);
    story.env("JOBRUN_STATE_DIR", first.path("state").into_os_string())
}

/// The first line that a story says on standard error, which goes to a pipe in its folder. Whoever has
/// it can read on.
fn first_line(running: &Running) -> (String, BufReader<File>) {
    let mut said = BufReader::new(File::open(running.path("said")).unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    (line, said)
}

/// A story whose standard error is for [`first_line`].
fn overheard(story: Story) -> Story {
    story.gate("said");
    story.under(&["sh", "-c", "exec \"$@\" 2> said", "sh"])
}

/// Nothing is left of a run in the state folder of another.
#[track_caller]
fn nothing_left(first: &End) {
    assert_eq!(first.leftovers(), []);
}

#[test]
fn f36_a_second_run_says_whom_it_waits_for_and_comes_after_it() {
    let story = Story::new(ONE);
    let gate = story.gate("gate");
    let first = story.spawn();
    let at_gate = gate.reached();
    // The wait counts for no timeout.
    let second = overheard(another(&first, &["--timeout=100d"])).spawn();
    let (line, mut said) = first_line(&second);
    let run = fs::read_to_string(first.path("events.jsonl")).unwrap();
    let run: serde_json::Value = serde_json::from_str(run.lines().next().unwrap()).unwrap();
    let run = run["run_id"].as_str().unwrap();
    let process = first.pid().as_raw_nonzero();
    let start = format!("waiting for run {run} (process {process}, since 20");
    assert!(line.starts_with(&start) && line.ends_with("Z) of this job\n"), "{line}");
    drop(at_gate);
    let first = first.end();
    // What is left is the second run, which comes to the gate next.
    first.expect(0);
    gate.open();
    std::io::copy(&mut said, &mut std::io::sink()).unwrap();
    let second = second.end();
    second.expect(0);
    assert_eq!(second.state("work"), "succeeded");
    assert_eq!(first.file("log"), "begins\nends\nbegins\nends\n");
    nothing_left(&first);
}

#[test]
fn f36_many_runs_take_turns_and_none_is_left_out() {
    let manifest = ONE.replace("cat gate; ", "");
    let first = Story::new(&manifest).spawn();
    let others: Vec<_> = (0..7).map(|_| another(&first, &[]).spawn()).collect();
    for other in others {
        other.end().expect(0);
    }
    let first = first.end();
    kept(&first, 0);
    assert_eq!(first.file("log"), "begins\nends\n".repeat(8));
    nothing_left(&first);
}

#[test]
fn f36_a_signal_ends_the_wait_and_nothing_has_run() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let story = Story::new(ONE);
        let gate = story.gate("gate");
        let first = story.spawn();
        let at_gate = gate.reached();
        let second = overheard(another(&first, &["--events=events.jsonl"])).spawn();
        let (line, mut said) = first_line(&second);
        assert!(line.starts_with("waiting for run "), "{line}");
        second.signal(signal);
        let mut rest = String::new();
        said.read_line(&mut rest).unwrap();
        assert!(rest.contains("stopped while waiting; nothing ran"), "{rest}");
        let second = second.end();
        // Nothing ran, so there is nothing to report.
        second.expect(code);
        assert!(second.report.is_null() && second.events.is_empty());
        drop(at_gate);
        let first = first.end();
        kept(&first, 0);
        assert_eq!(first.file("log"), "begins\nends\n");
        nothing_left(&first);
    }
}

#[test]
fn f36_a_run_that_is_refused_or_runs_all_the_same_does_not_wait() {
    let story = Story::new(&ONE.replace("cat gate", "test -e quick || cat gate"));
    let gate = story.gate("gate");
    let first = story.spawn();
    let at_gate = gate.reached();
    // Others need not come to the gate.
    fs::write(first.path("quick"), "").unwrap();
    let refused = another(&first, &["--lock=refuse"]).run();
    refused.expect(4).says(&format!("(process {}, since", first.pid().as_raw_nonzero()));
    refused.says("of this job is under way").says("--lock ignore");
    // What looks at the job and does not run it asks nobody.
    for words in [&["check"][..], &["plan"], &["graph"], &["list"]] {
        let manifest = first.path("job.toml").to_str().unwrap().to_owned();
        let story = Story::command(words).arg(&manifest);
        let end = story.env("JOBRUN_STATE_DIR", first.path("state").into_os_string()).run();
        end.expect(0);
    }
    another(&first, &["--dry-run"]).run().expect(0);
    another(&first, &["--lock=ignore"]).run().expect(0);
    drop(at_gate);
    let first = first.end();
    kept(&first, 0);
    assert_eq!(first.file("log"), "begins\nbegins\nends\nends\n");
    nothing_left(&first);
}

#[test]
fn f36_jobs_of_other_names_or_places_and_jobs_that_do_not_ask_do_not_wait() {
    let story = Story::new(ONE);
    let gate = story.gate("gate");
    let first = story.spawn();
    let at_gate = gate.reached();
    let state = || first.path("state").into_os_string();
    let quick = ONE.replace("cat gate; ", "");
    let elsewhere = Story::new(&quick).env("JOBRUN_STATE_DIR", state()).run();
    elsewhere.expect(0);
    let named = format!("name = \"other\"\n{quick}");
    fs::write(first.path("job.toml"), named).unwrap();
    another(&first, &["--lock=refuse"]).run().expect(0);
    fs::write(first.path("job.toml"), quick.replace("\"one\"", "\"any\"")).unwrap();
    another(&first, &["--lock=refuse"]).run().expect(0);
    // By another way it is still the same manifest.
    fs::write(first.path("job.toml"), &quick).unwrap();
    let link = first.path("link");
    std::os::unix::fs::symlink(first.path("."), &link).unwrap();
    let manifest = link.join("job.toml").to_str().unwrap().to_owned();
    let story = Story::command(&["run", "-f", &manifest, "--lock=refuse"]);
    story.env("JOBRUN_STATE_DIR", state()).run().expect(4);
    drop(at_gate);
    let first = first.end();
    kept(&first, 0);
    nothing_left(&first);
}

#[test]
fn f37_a_lock_is_free_as_soon_as_its_holder_is_gone_however_that_came() {
    let story = Story::new(&ONE.replace("cat gate", "test -e quick || cat gate"));
    let gate = story.gate("gate");
    let first = story.spawn();
    let at_gate = gate.reached();
    // Others do not come to the gate, where a child that is about to be killed may still stand.
    fs::write(first.path("quick"), "").unwrap();
    first.signal(Signal::KILL);
    another(&first, &[]).run().expect(0);
    drop(at_gate);
    let locks = first.path("state/locks");
    let names = names_and_modes(&locks);
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(names[0].1, 0o600);
    // Words of a process that is long gone, or was never there, mean nothing.
    fs::write(locks.join(&names[0].0), "run old\nprocess 1\nsince then\nhost here\n").unwrap();
    another(&first, &["--lock=refuse"]).run().expect(0);
    let first = first.end();
    // It was killed, and so it wrote no report.
    first.expect(137);
    nothing_left(&first);
}

fn names_and_modes(folder: &Path) -> Vec<(String, u32)> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mode = |entry: &fs::DirEntry| entry.metadata().unwrap().permissions().mode() & 0o7777;
    entries.map(|it| (it.file_name().into_string().unwrap(), mode(&it))).collect()
}

#[test]
fn f37_what_a_run_has_started_does_not_keep_its_lock() {
    // Children, worker processes, and one that has detached itself: all live on for a moment.
    let story = Story::new(
        r#"
        concurrency = "one"

        [executors.pool]
        kind = "process"

        [[task]]
        name     = "in-worker"
        call     = "echo"
        args     = [1]
        executor = "pool"

        [[task]]
        name  = "daemon"
        run   = "ls -l /proc/self/fd > inherited; (trap '' TERM; echo here > daemon; exec sleep 1000) &"
        after = ["in-worker"]
        "#,
    );
    let end = story.run();
    kept(&end, 0);
    assert!(!end.file("inherited").contains("locks"), "{}", end.file("inherited"));
}

#[test]
fn f38_where_there_can_be_no_lock_that_is_said_with_the_way_out() {
    if !crate::promises::io::can_trace() {
        return;
    }
    let quick = ONE.replace("cat gate; ", "");
    for error in ["ENOLCK", "EOPNOTSUPP"] {
        let inject = format!("inject=flock:error={error}");
        let under = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
        let end = Story::new(&quick).under(&under).run();
        // Nothing ran, so there is no report.
        end.expect(4).says("cannot lock ").says("--lock ignore");
        nothing_left(&end);
        let end = Story::new(&quick).arg("--lock=ignore").under(&under).run();
        kept(&end, 0);
    }
    let under =
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=flock:error=EINTR:when=1..3"];
    kept(&Story::new(&quick).under(&under).run(), 0);
}
