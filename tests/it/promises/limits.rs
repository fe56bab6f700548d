//! Promises about limits that tasks ask for, and programs that cannot be run.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::promises::kept;
use crate::story::{End, Story, own_functions, require, unavailable};

/// A program that takes 400 MiB, which is more than any cgroup of these stories has.
const GREEDY: &str = r#"run = ["python3", "-c", "print(len(b'x' * (400 << 20)))"]"#;

/// The kind of the error of a future, and its message.
#[track_caller]
fn error<'a>(end: &'a End, name: &str) -> (&'a str, &'a str) {
    let error = &end.future(name)["error"];
    let text = |key: &str| error[key].as_str().unwrap_or_else(|| panic!("{name} has no error"));
    (text("kind"), text("message"))
}

#[test]
fn f18_whatever_signal_ends_a_task_is_named() {
    let end = Story::new(
        r#"
        [[task]]
        name = "ends"
        map  = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31]
        run  = ["sh", "-c", 'ulimit -c 0; kill "-$JOBRUN_ITEM" $$; exit 3']

        [[task]]
        name = "goes-on"
        map  = [17, 18, 23, 28]
        run  = ["sh", "-c", 'kill "-$JOBRUN_ITEM" $$']

        # One that is stopped has to go on to see that it shall end.
        [[task]]
        name    = "is-stopped"
        map     = [19, 20, 21, 22]
        run     = ["sh", "-c", 'kill "-$JOBRUN_ITEM" $$']
        timeout = "300ms"
        "#,
    )
    .run();
    kept(&end, 1);
    let ends = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31];
    for (place, signal) in ends.into_iter().enumerate() {
        let name = format!("ends[{place}]");
        let (kind, message) = error(&end, &name);
        assert_eq!((kind, end.future(&name)["signal"].as_i64()), ("signal", Some(signal)));
        let number = format!("(signal {signal})");
        assert!(
            message.starts_with("was killed by SIG") && message.ends_with(&number),
            "{message}"
        );
    }
    for place in 0..4 {
        assert_eq!(end.state(&format!("goes-on[{place}]")), "succeeded");
        assert_eq!(end.state(&format!("is-stopped[{place}]")), "timed_out");
    }
}

#[test]
fn f18_a_core_dump_is_told_where_there_is_one() {
    const DUMPS: &str = "ulimit -c unlimited && kill -SEGV $$";
    let story = Story::new(&format!(
        "[[task]]\nname = 'dumps'\nrun = \"{DUMPS}\"\n\
         [[task]]\nname = 'does-not'\nrun = \"ulimit -c 0; kill -SEGV $$\"\n"
    ));
    // Whether this machine writes one at all.
    let folder = story.path("");
    let dumps = Command::new("sh").args(["-c", DUMPS]).current_dir(folder).status().unwrap();
    let end = story.run();
    kept(&end, 1);
    let how = if dumps.core_dumped() { ", core dumped" } else { "" };
    assert_eq!(error(&end, "dumps").1, format!("was killed by SIGSEGV (signal 11){how}"));
    assert!(error(&end, "does-not").1.starts_with("was killed by SIGSEGV (signal 11)"));
}

#[test]
fn f19_each_program_that_cannot_be_run_says_why_and_the_others_run() {
    let long = "x".repeat(100 << 10);
    let many = format!("\"{long}\",").repeat(31);
    let story = Story::new(&format!(
        r#"
        [[task]]
        name = "missing"
        run  = ["is-nowhere"]
        [[task]]
        name = "missing-file"
        run  = ["./is-nowhere"]
        [[task]]
        name = "not-executable"
        run  = ["./text"]
        [[task]]
        name = "folder"
        run  = ["./"]
        [[task]]
        name = "bad-elf"
        run  = ["./elf"]
        [[task]]
        name = "no-first-line"
        run  = ["./script"]
        [[task]]
        name = "no-interpreter"
        run  = ["./other-script"]
        [[task]]
        name = "one-long"
        run  = ["true", "{long}{long}"]
        [[task]]
        name = "many-long"
        run  = ["true", {many}]
        [[task]]
        name  = "fine"
        run   = ["./fine"]
        "#
    ))
    .file("text", "")
    .file("elf", "\u{7f}ELF is how a program begins, but none goes on like this")
    .file("script", "echo no\n")
    .file("other-script", "#!/is/nowhere\n")
    .file("fine", "#!/bin/sh\necho fine\n");
    for name in ["elf", "script", "other-script", "fine"] {
        fs::set_permissions(story.path(name), Permissions::from_mode(0o755)).unwrap();
    }
    let end = story.run();
    kept(&end, 1);
    for (name, why) in [
        ("missing", "cannot run `is-nowhere`: it was not found in PATH"),
        ("missing-file", "is-nowhere does not exist"),
        ("not-executable", "text is not executable"),
        ("folder", "is a directory"),
        ("bad-elf", "elf is no program of this system; a script begins with `#!`"),
        ("no-first-line", "script is no program of this system; a script begins with `#!`"),
        ("no-interpreter", "the interpreter that"),
        ("one-long", "are too long for the system"),
        ("many-long", "are too long for the system"),
    ] {
        let (kind, message) = error(&end, name);
        assert!(kind == "spawn" && message.contains(why), "{name}: {kind}: {message}");
    }
    assert_eq!(end.result("fine"), "fine");
}

#[test]
fn f20_a_folder_that_is_not_there_or_cannot_be_entered_is_named() {
    let manifest = r#"
        [[task]]
        name = "missing"
        run  = ["true"]
        cwd  = "nowhere"
        [[task]]
        name = "file"
        run  = ["true"]
        cwd  = "job.toml"
        [[task]]
        name = "locked"
        run  = ["true"]
        cwd  = "locked"
        # What runs in a folder does not need it.
        [[task]]
        name = "removes"
        run  = 'rmdir "$OLD"; echo done'
        cwd  = "old"
        env  = { OLD = "../old" }
        [[task]]
        name  = "removed"
        run   = ["true"]
        cwd   = "old"
        after = ["removes"]
        "#;
    let mut story = Story::new(manifest).file("locked/x", "").file("old/x", "");
    fs::remove_file(story.path("old/x")).unwrap();
    fs::set_permissions(story.path("locked"), Permissions::from_mode(0o600)).unwrap();
    if is_root() {
        // Root may enter what it likes, but for what it gives up here.
        if !require("setpriv") {
            return;
        }
        story = story.under(&["setpriv", "--bounding-set=-dac_override,-dac_read_search"]);
    }
    let end = story.run();
    fs::set_permissions(end.path("locked"), Permissions::from_mode(0o700)).unwrap();
    kept(&end, 1);
    for (name, why) in [
        ("missing", "nowhere does not exist"),
        ("file", "job.toml is not a directory"),
        ("locked", "locked cannot be entered"),
        ("removed", "old does not exist"),
    ] {
        let (kind, message) = error(&end, name);
        let why = format!("cannot run `true`: its working directory {}", end.path(why).display());
        assert_eq!((kind, message), ("spawn", &*why), "{name}");
    }
    assert_eq!(end.result("removes"), "done");
}

#[test]
fn f21_a_program_that_stays_open_for_writing_is_an_error_after_a_while() {
    let story = Story::new(
        r#"
        [[task]]
        name = "busy"
        run  = ["./program"]
        [[task]]
        name = "other"
        run  = ["echo", "fine"]
        "#,
    )
    .file("program", "#!/bin/sh\n");
    let program = story.path("program");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let writer = OpenOptions::new().append(true).open(program).unwrap();
    let end = story.run();
    drop(writer);
    kept(&end, 1);
    let (kind, message) = error(&end, "busy");
    assert!(kind == "spawn" && message.ends_with("program is being written to"), "{message}");
    assert_eq!(end.result("other"), "fine");
}

#[test]
fn f39_a_task_that_is_killed_at_its_memory_is_named_so_and_the_others_live() {
    if !require("python3") {
        return;
    }
    let end = Story::new(&format!(
        r#"
        [defaults]
        limits = {{ memory = "32MiB" }}
        [[task]]
        name = "greedy"
        {GREEDY}
        [[task]]
        name  = "of-a-script"
        run   = """python3 -c "print(len(b'x' * (400 << 20)))"; true"""
        [[task]]
        name  = "tried-again"
        run   = """test "$JOBRUN_ATTEMPT" = 2 || python3 -c "print(len(b'x' * (400 << 20)))"; exit"""
        retry = {{ count = 3, on = ["oom"] }}
        [[task]]
        name = "modest"
        run  = "cat /proc/self/cgroup; sleep 1000 > /dev/null 2>&1 &"
        "#
    ))
    .run();
    kept(&end, 1);
    let Some((folder, run)) = cell(end.result("modest").as_str().unwrap()) else {
        return unavailable("a cgroup that bounds memory can be made by root alone");
    };
    let killed = "was killed by SIGKILL (signal 9): out of memory, `limits.memory` is 32 MiB";
    assert_eq!(error(&end, "greedy"), ("oom", killed));
    let killed = "exited with code 137: out of memory, `limits.memory` is 32 MiB";
    assert_eq!(error(&end, "of-a-script"), ("oom", killed));
    assert_eq!(end.state("tried-again"), "succeeded");
    assert_eq!(end.future("tried-again")["attempts"].as_array().unwrap().len(), 2);
    let left = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let left = left.filter(|name| name.to_str().unwrap().starts_with(&run));
    assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn f39_when_all_of_jobrun_is_short_of_memory_the_greedy_task_is_named_and_the_others_live() {
    if !require("python3") {
        return;
    }
    let Some(cgroup) = Cgroup::of_memory(64 << 20) else {
        return unavailable("a cgroup that bounds memory can be made by root alone");
    };
    let story = Story::new(&format!(
        r#"
        [executor]
        max_workers = 4
        [[task]]
        name = "greedy"
        {GREEDY}
        [[task]]
        name  = "before"
        run   = ["cat", "gate"]
        [[task]]
        name  = "after"
        run   = 'echo > gate'
        after = ["greedy"]
        when  = "always"
        [[task]]
        name  = "killed"
        run   = 'kill -KILL $$'
        after = ["greedy"]
        when  = "always"
        "#
    ));
    let _gate = story.gate("gate");
    let end = story.under(&cgroup.enter()).run();
    kept(&end, 1);
    let killed = "was killed by SIGKILL (signal 9): out of memory";
    assert_eq!(error(&end, "greedy"), ("oom", killed));
    assert_eq!(error(&end, "killed"), ("signal", "was killed by SIGKILL (signal 9)"));
    assert_eq!([end.state("before"), end.state("after")], ["succeeded"; 2]);
}

#[test]
fn f39_a_worker_that_is_killed_for_want_of_memory_is_named_so() {
    if !require("python3") {
        return;
    }
    let Some(cgroup) = Cgroup::of_memory(64 << 20) else {
        return unavailable("a cgroup that bounds memory can be made by root alone");
    };
    let story = Story::new(
        r#"
        [executor]
        kind = "process"
        max_workers = 2
        [[task]]
        name = "in-a-worker"
        call = "read"
        args = ["worker"]
        [[task]]
        name = "greedy"
        run  = ["sh", "-c", "cat gate; exec python3 -c 'print(len(b\"x\" * (400 << 20)))'"]
        [[task]]
        name  = "next"
        call  = "worker"
        after = ["in-a-worker", "greedy"]
        when  = "always"
        "#,
    )
    .program(own_functions());
    let (worker, gate) = (story.gate("worker"), story.gate("gate"));
    let running = story.under(&cgroup.enter()).spawn();
    let _held = worker.reached();
    // The system kills this one first.
    for pid in running.workers() {
        fs::write(format!("/proc/{}/oom_score_adj", pid.as_raw_nonzero()), "1000").unwrap();
    }
    gate.open();
    let end = running.end();
    kept(&end, 1);
    let (kind, message) = error(&end, "in-a-worker");
    let killed = "was killed by SIGKILL (signal 9) for want of memory while it ran in-a-worker";
    assert!(kind == "worker_death" && message.contains(killed), "{message}");
    assert_eq!(error(&end, "greedy").0, "oom");
    assert_eq!(end.state("next"), "succeeded");
}

#[test]
fn the_cgroups_that_a_killed_run_has_left_go_with_the_next_run() {
    let run = || {
        let story = Story::new(
            r#"
            [[task]]
            name   = "held"
            run    = ["cat", "/proc/self/cgroup"]
            limits = { memory = "64MiB" }
            "#,
        );
        let end = story.run();
        kept(&end, 0);
        end
    };
    let Some((folder, _)) = cell(run().result("held").as_str().unwrap()) else {
        return unavailable("a cgroup that bounds memory can be made by root alone");
    };
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let left = folder.join(format!("jobrun-{}.0", dead.id()));
    fs::create_dir(&left).unwrap();
    run();
    assert!(!left.exists(), "{} is there", left.display());
}

/// The cgroup of a future that is bounded in memory, from the text of `/proc/self/cgroup`: the folder it is
/// in, and how all of its run begin: `jobrun-PID.`.
fn cell(text: &str) -> Option<(PathBuf, String)> {
    text.lines().find_map(|line| {
        let (kind, path) = line.split_once(':')?.1.split_once(':')?;
        let (above, name) = path.rsplit_once("/jobrun-")?;
        let (pid, _) = name.split_once('.')?;
        let place = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"][usize::from(kind == "memory")];
        Some((format!("{place}{above}").into(), format!("jobrun-{pid}.")))
    })
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A memory cgroup beside those that jobrun makes.
struct Cgroup(PathBuf);

impl Cgroup {
    /// One with so much; `None` where none can be made.
    fn of_memory(most: u64) -> Option<Self> {
        let (home, file) = Self::home()?;
        let name =
            format!("test-{}-{most}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let cgroup = Self(home.join(name));
        fs::create_dir(&cgroup.0).ok()?;
        fs::write(cgroup.0.join(file), most.to_string()).ok()?;
        // Where swap is counted, there is none.
        let _ = fs::write(cgroup.0.join("memory.memsw.limit_in_bytes"), most.to_string());
        let _ = fs::write(cgroup.0.join("memory.swap.max"), "0");
        Some(cgroup)
    }

    /// Where it is made, and the file that says how much it has.
    fn home() -> Option<(PathBuf, &'static str)> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let path = |of: &str| {
            let mut fields = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
            fields.find(|(controllers, _)| *controllers == of).map(|(_, path)| path)
        };
        Some(match path("memory") {
            Some(path) => (format!("/sys/fs/cgroup/memory{path}").into(), "memory.limit_in_bytes"),
            None => (format!("/sys/fs/cgroup{}", path("")?).into(), "memory.max"),
        })
    }

    /// Who is started by this command is in it.
    fn enter(&self) -> [String; 4] {
        let door = self.0.join("cgroup.procs");
        let script = format!("echo $$ > {}; exec \"$@\"", door.display());
        ["sh", "-c", &script, "sh"].map(str::to_owned)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // All that was in it has ended, but may still be about to leave.
        for _ in 0..1000 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
