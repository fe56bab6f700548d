//! Strain: much at once, little memory, a system that refuses.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value;

use super::{KINDS, on};
use crate::story::{Door, End, Story, require, skipped};

#[test]
fn c70_a_hundred_released_at_once_all_end() {
    for kind in KINDS {
        for _ in 0..5 {
            let story = on(
                kind,
                100,
                r#"
                [[task]]
                name = "t"
                run  = 'exec 3< go; echo here > ready; cat <&3; echo "$JOBRUN_INDEX"'
                map  = { range = [0, 100] }
                "#,
            );
            // Held open at both ends, so that nobody waits for somebody else to open it.
            let [go, ready] = ["go", "ready"].map(|name| {
                let _gate = story.gate(name);
                OpenOptions::new().read(true).write(true).open(story.path(name)).unwrap()
            });
            let running = story.spawn();
            assert_eq!(BufReader::new(ready).lines().take(100).count(), 100);
            drop(go);
            let end = running.end();
            end.expect(0);
            assert_eq!(end.report["counts"]["succeeded"], 100);
            assert_eq!(end.report["executors"]["default"]["peak_running"], 100);
        }
    }
}

#[test]
fn c70_so_do_functions() {
    for (kind, workers) in [("thread", 100), ("process", 12)] {
        let door = Door::new();
        let story = on(
            kind,
            workers,
            &format!(
                "[[task]]\nname = \"t\"\ncall = \"http\"\nargs = [\"{}\"]\n\
                 map = {{ range = [0, {workers}] }}\n",
                door.url()
            ),
        );
        let running = story.spawn();
        let knocks: Vec<_> = (0..workers).map(|_| door.knock()).collect();
        for knock in knocks {
            knock.answer("go");
        }
        let end = running.end();
        end.expect(0);
        assert_eq!(end.report["counts"]["succeeded"], workers);
    }
}

/// How many futures print much. `JOBRUN_TEST_OUTPUTS=10000` makes more of them.
fn outputs() -> u64 {
    std::env::var("JOBRUN_TEST_OUTPUTS").map_or(1000, |count| count.parse().unwrap())
}

#[test]
fn c73_memory_does_not_grow_with_what_tasks_print() {
    if !require("python3") {
        return;
    }
    // Runs what it is given, and says how much memory the largest of all these processes had.
    let measure = "import resource, subprocess, sys\n\
                   code = subprocess.call(sys.argv[1:])\n\
                   usage = resource.getrusage(resource.RUSAGE_CHILDREN)\n\
                   open('peak', 'w').write(str(usage.ru_maxrss))\n\
                   sys.exit(code)\n";
    let end = on(
        "thread",
        4,
        &format!(
            "[[task]]\nname = \"t\"\nrun = [\"head\", \"-c\", \"102400\", \"/dev/zero\"]\n\
             map = {{ range = [0, {}] }}\nresult = \"none\"\n",
            outputs()
        ),
    )
    .under(&["python3", "-c", measure])
    .args(&["--output", "none"])
    .run();
    end.expect(0);
    let printed: u64 = futures(&end).iter().filter_map(|it| it["stdout"]["bytes"].as_u64()).sum();
    assert_eq!(printed, outputs() * 102_400);
    let peak: u64 = end.file("peak").parse().unwrap();
    // What is kept of each is its tail of 2 KiB and what the report says besides.
    let bound = (32 << 10) + outputs() * 4;
    assert!(peak < bound, "{peak} KiB for {} KiB of output", printed >> 10);
}

#[test]
fn c75_executors_that_break_leave_nothing_open() {
    // What the runner, the parent of all tasks, has open. An executor keeps its bells, which are
    // events, until the run ends.
    let count = "ls -l \"/proc/$PPID/fd\" | grep -vc eventfd";
    let broken: Vec<String> = (0..20)
        .map(|n| {
            format!(
                "[executors.e{n}]\nkind = \"process\"\nmax_workers = 2\n\
                 initializer = {{ call = \"fail\", args = [\"no licence\"] }}\n\
                 [[task]]\nname = \"t{n}\"\ncall = \"echo\"\nmap = [1, 2, 3]\n\
                 executor = \"e{n}\"\nafter = [\"before\"]\n"
            )
        })
        .collect();
    let broken = broken.concat();
    let end = on(
        "thread",
        1,
        &format!(
            "{broken}\n[[task]]\nname = \"before\"\nrun = '{count} > before'\n\
             [[task]]\nname = \"after\"\nafter = [\"t*\"]\nwhen = \"always\"\ntimeout = \"60s\"\n\
             run = 'until test \"$({count})\" -le \"$(cat before)\"; do sleep 0.01; done'\n"
        ),
    )
    .run();
    end.expect(1);
    assert_eq!(end.state("after"), "succeeded");
    assert_eq!(end.report["counts"]["failed"], 60);
    assert!(end.leftovers().is_empty());
    let state = end.path("state");
    let files = |dir: &Path| fs::read_dir(dir).map_or(0, Iterator::count);
    assert_eq!(files(&state), 0, "nothing was to be kept");
}

#[test]
fn c76_workers_start_while_threads_are_busy() {
    let door = Door::new();
    let url = door.url();
    let story = on(
        "thread",
        50,
        &format!(
            "[executors.far]\nkind = \"process\"\nmax_workers = 3\nmax_tasks_per_child = 1\n\
             [[task]]\nname = \"busy\"\ncall = \"http\"\nargs = [\"{url}\"]\nmap = {{ range = [0, 50] }}\n\
             [[task]]\nname = \"quick\"\ncall = \"sum_to\"\nmap = {{ range = [0, 200] }}\n\
             executor = \"far\"\n\
             [[task]]\nname = \"child\"\nrun = [\"true\"]\nmap = {{ range = [0, 50] }}\n\
             executor = \"far\"\nafter = [\"quick\"]\n\
             [[task]]\nname = \"last\"\nrun = \"echo > last\"\nexecutor = \"far\"\nafter = [\"child\"]\n"
        ),
    );
    let last = story.gate("last");
    let running = story.spawn();
    let knocks: Vec<_> = (0..50).map(|_| door.knock()).collect();
    last.passed();
    for knock in knocks {
        knock.answer("go");
    }
    let end = running.end();
    end.expect(0);
    assert_eq!(end.report["counts"]["succeeded"], 301);
}

#[test]
fn c77_a_sandbox_may_hide_the_processors() {
    if !require("python3") {
        return;
    }
    // Lets every system call through but `sched_getaffinity`, which is not permitted.
    let sandbox = r#"
import ctypes, os, platform, struct, sys
number = {"x86_64": 204, "aarch64": 123}[platform.machine()]
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
word = ctypes.c_ulong
assert libc.prctl(38, word(1), word(0), word(0), word(0)) == 0
assert libc.prctl(22, word(2), word(ctypes.addressof(program)), word(0), word(0)) == 0
try:
    os.sched_getaffinity(0)
except PermissionError:
    os.execv(sys.argv[1], sys.argv[1:])
"#;
    for kind in KINDS {
        let end = Story::new(&format!(
            "[executor]\nkind = \"{kind}\"\n\
             [[task]]\nname = \"call\"\ncall = \"echo\"\nmap = [1, 2, 3]\n\
             [[task]]\nname = \"child\"\nrun = [\"true\"]\n"
        ))
        .under(&["python3", "-c", sandbox])
        .run();
        end.expect(0);
        assert!(end.report["executors"]["default"]["max_workers"].as_u64() >= Some(1));
    }
}

#[test]
fn c84_where_processes_and_threads_are_refused_all_ends_and_says_why() {
    if !require("setpriv") || !require("prlimit") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return skipped("the limit of processes counts all that a user runs; only root is another");
    }
    let folder = tempfile::tempdir().unwrap();
    let program = &program_for_all(folder.path());
    thread::scope(|scope| {
        for (place, kind) in KINDS.into_iter().enumerate() {
            for most in 1..=18 {
                scope.spawn(move || {
                    let user = 60_000 + place as u32 * 100 + most;
                    let end = with_few_processes(program, kind, most, user);
                    let context = format!("{kind}, {most} processes: {}", end.stderr);
                    assert!([0, 1, 4].contains(&end.code), "{}: {context}", end.code);
                    assert!(!end.stderr.contains("panicked"), "{context}");
                    // We end workers that are not wanted; that is never why they could not start.
                    assert!(!end.stderr.contains("SIGKILL"), "{context}");
                    if end.report.is_null() {
                        end.expect(4).says("cannot start");
                        return;
                    }
                    let without_thread = |future: &&Value| {
                        let error = future["error"]["message"].as_str().unwrap_or_default();
                        error.contains("cannot start a thread for child processes")
                    };
                    let count = futures(&end).iter().filter(without_thread).count();
                    assert!(count == 0 || count == 20, "one thread minds them all: {context}");
                    for future in
                        futures(&end).iter().filter(|future| future["state"] != "succeeded")
                    {
                        assert_eq!(future["state"], "failed", "{context}");
                        assert_ne!(future["error"]["message"], "", "{context}");
                    }
                });
            }
        }
    });
}

/// A copy of the program that every user can run.
fn program_for_all(folder: &Path) -> PathBuf {
    let program = folder.join("jobrun");
    // Not copied by this process: what another test starts meanwhile would hold it open for writing.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_jobrun")).arg(&program).status();
    assert!(copied.unwrap().success());
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    program
}

/// Runs functions and commands as a user of whom so many processes and threads may run.
fn with_few_processes(program: &Path, kind: &str, most: u32, user: u32) -> End {
    let story = on(
        kind,
        4,
        "[[task]]\nname = \"call\"\ncall = \"echo\"\nmap = [1, 2, 3, 4]\n\
         [[task]]\nname = \"child\"\nrun = [\"echo\", \"x\"]\nmap = { range = [0, 20] }\n",
    );
    fs::set_permissions(story.path("."), Permissions::from_mode(0o777)).unwrap();
    let [user, most] = [format!("--reuid={user}"), format!("--nproc={most}")];
    story.program(program).under(&["setpriv", &user, "--clear-groups", "prlimit", &most]).run()
}

fn futures(end: &End) -> &[Value] {
    end.report["futures"].as_array().map_or(&[], Vec::as_slice)
}
