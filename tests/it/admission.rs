//! Stories about what else than a free worker a start may need: a jobserver's token, a load that is
//! not too high, free memory.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::Signal;

use crate::story::{End, Gate, Running, Story, require};

const KINDS: [&str; 2] = ["thread", "process"];

/// A task that says when it is in and out, and stays in until its gate opens.
const HELD: &str = r#"
[[task]]
name = "t"
run  = 'echo + >> log; cat "$JOBRUN_INDEX.gate"; echo - >> log'
map  = { range = [0, 6] }
"#;

/// A task that says when it is in and out.
const BRIEF: &str = r#"
[[task]]
name = "t"
run  = 'echo + >> log; echo - >> log'
map  = { range = [0, 6] }
"#;

/// Recipes that say when they are in and out, and stay in until their gates open.
const GATED_MAKEFILE: &str = "\
all: g0 g1 g2
g%:
\t@echo + >> log; cat g$*.gate; echo - >> log
";

/// An executor with these keys beside its workers, and what it does.
fn executor(kind: &str, workers: u32, keys: &str, tasks: &str) -> String {
    format!("[executor]\nkind = \"{kind}\"\nmax_workers = {workers}\n{keys}\n{tasks}")
}

/// The most that were in at once.
#[track_caller]
fn most(end: &End) -> usize {
    let mut inside = 0_usize;
    let log = end.file("log");
    let most = log.lines().map(|line| {
        inside = if line == "+" { inside + 1 } else { inside - 1 };
        inside
    });
    most.max().unwrap()
}

/// The server of a jobserver: a named pipe with a byte for each token.
struct Server(File);

impl Server {
    fn new(path: &Path, tokens: &str) -> Self {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let open = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
        let mut server = Self(open.unwrap());
        server.put(tokens);
        server
    }

    fn put(&mut self, tokens: &str) {
        self.0.write_all(tokens.as_bytes()).unwrap();
    }

    /// The tokens that nobody has, which are taken out, in alphabetical order.
    fn tokens(&mut self) -> String {
        let mut tokens = [0; 64];
        let mut tokens = match self.0.read(&mut tokens) {
            Ok(count) => tokens[..count].to_vec(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                Vec::new()
            }
        };
        tokens.sort_unstable();
        String::from_utf8(tokens).unwrap()
    }
}

/// A story whose `MAKEFLAGS` name a server with these tokens.
fn served(manifest: &str, tokens: &str) -> (Story, Server) {
    let story = Story::new(manifest);
    let path = story.path("pool");
    let server = Server::new(&path, tokens);
    let flags = format!(" -j9 --jobserver-auth=fifo:{}", path.display());
    (story.env("MAKEFLAGS", flags), server)
}

fn gates(story: &Story, names: &[&str]) -> Vec<Gate> {
    names.iter().map(|name| story.gate(&format!("{name}.gate"))).collect()
}

/// Waits until so many stand at their gates at once, then lets all through, one by one.
fn pass(gates: &[Gate], at_once: usize) {
    let mut held: Vec<_> = gates[..at_once].iter().map(Gate::reached).collect();
    for gate in &gates[at_once..] {
        drop(held.remove(0));
        held.push(gate.reached());
    }
}

const SIX: [&str; 6] = ["0", "1", "2", "3", "4", "5"];

#[test]
fn a_client_runs_one_and_one_more_for_each_token() {
    for kind in KINDS {
        let (story, mut server) = served(&executor(kind, 6, "", HELD), "ab");
        let gates = gates(&story, &SIX);
        let running = story.spawn();
        pass(&gates, 3);
        let end = running.end();
        end.expect(0);
        assert_eq!(most(&end), 3);
        assert_eq!(end.report["executors"]["default"]["peak_running"], 3);
        assert_eq!(server.tokens(), "ab", "tokens come back as they were");
    }
}

#[test]
fn a_token_that_comes_back_to_the_server_lets_the_next_start() {
    let (story, mut server) = served(&executor("thread", 6, "", HELD), "");
    let gates = gates(&story, &SIX);
    let running = story.spawn();
    let first = gates[0].reached();
    server.put("x");
    let second = gates[1].reached();
    server.put("y");
    let third = gates[2].reached();
    drop((first, second, third));
    pass(&gates[3..], 1);
    let end = running.end();
    end.expect(0);
    assert_eq!(server.tokens(), "xy");
}

#[test]
fn all_executors_share_the_one_that_needs_no_token() {
    let manifest = format!(
        "[executors.other]\nkind = \"process\"\n{BRIEF}\
         [[task]]\nname = \"u\"\nrun = 'echo + >> log; echo - >> log'\nmap = [1, 2, 3]\n\
         executor = \"other\"\n"
    );
    let (story, mut server) = served(&manifest, "");
    let end = story.run();
    end.expect(0);
    assert_eq!(most(&end), 1);
    assert_eq!(server.tokens(), "");
}

#[test]
fn functions_need_tokens_too() {
    for kind in KINDS {
        let tasks = "[[task]]\nname = \"t\"\ncall = \"echo\"\nmap = { range = [0, 200] }\n";
        let (story, mut server) = served(&executor(kind, 6, "", tasks), "a");
        let end = story.run();
        end.expect(0);
        assert!(end.report["executors"]["default"]["peak_running"].as_u64().unwrap() <= 2);
        assert_eq!(server.tokens(), "a");
    }
}

#[test]
fn an_interrupt_gives_the_tokens_back() {
    for signals in [1, 2] {
        let stubborn = HELD.replace("echo +", "trap \"\" TERM; echo +");
        let tasks = if signals == 1 { HELD } else { &stubborn };
        let (story, mut server) = served(&executor("thread", 6, "", tasks), "ab");
        let gates = gates(&story, &SIX);
        let running = story.spawn();
        let held: Vec<_> = gates[..3].iter().map(Gate::reached).collect();
        running.signal(Signal::INT);
        if signals == 2 {
            await_event(&running, "interrupted");
            running.signal(Signal::INT);
        }
        let end = running.end();
        drop(held);
        end.expect(130);
        assert_eq!(server.tokens(), "ab");
        assert!(end.leftovers().is_empty());
    }
}

#[test]
fn an_executor_that_breaks_gives_the_tokens_back() {
    let keys = "initializer = { call = \"fail\", args = [\"no licence\"] }";
    let tasks = "[[task]]\nname = \"t\"\ncall = \"echo\"\nmap = { range = [0, 20] }\n";
    for kind in KINDS {
        let (story, mut server) = served(&executor(kind, 3, keys, tasks), "ab");
        let end = story.run();
        end.expect(1);
        assert_eq!(end.state("t[19]"), "failed");
        assert_eq!(server.tokens(), "ab");
    }
}

fn await_event(running: &Running, event: &str) {
    let is_there =
        || std::fs::read_to_string(running.path("events.jsonl")).unwrap().contains(event);
    while !is_there() {
        std::thread::yield_now();
    }
}

#[test]
fn an_executor_can_do_without_the_jobserver() {
    let (story, _server) = served(&executor("thread", 2, "jobserver = false", HELD), "");
    let gates = gates(&story, &SIX);
    let running = story.spawn();
    pass(&gates, 2);
    running.end().expect(0);
}

#[test]
fn a_jobserver_out_of_reach_is_told_of_once_and_done_without() {
    for auth in ["3,4", "-2,-2", "fifo:/nowhere/pool", "0,1", "nonsense"] {
        let story = Story::new(&executor("thread", 3, "", HELD));
        let gates = gates(&story, &SIX);
        let story = story.env("MAKEFLAGS", format!(" -j3 --jobserver-auth={auth}"));
        let running = story.spawn();
        pass(&gates, 3);
        let end = running.end();
        end.expect(0).says("the jobserver of make is out of reach");
        assert_eq!(warnings(&end), 1, "{auth}: {}", end.stderr);
    }
}

fn warnings(end: &End) -> usize {
    end.events.iter().filter(|event| event["event"] == "warning").count()
}

/// `make` with these arguments on a makefile whose recipes start jobrun by `$(JOBRUN)`.
fn make(args: &[&str], makefile: &str, manifest: &str) -> Story {
    Story::command(args)
        .program("make")
        .env("JOBRUN", format!("{} --events events.jsonl", env!("CARGO_BIN_EXE_jobrun")))
        .file("Makefile", makefile)
        .file("job.toml", manifest)
        .file("inner.mk", GATED_MAKEFILE)
}

#[test]
fn under_make_the_limit_is_that_of_make_and_all_tokens_come_back() {
    if !require("make") {
        return;
    }
    let makefile = "\
        after: run\n\t@$(MAKE) -s -f inner.mk\n\
        run:\n\t+@$(JOBRUN) job.toml\n";
    let story = make(&["-j3"], makefile, &executor("thread", 6, "", HELD));
    let (outer, inner) = (gates(&story, &SIX), gates(&story, &["g0", "g1", "g2"]));
    let running = story.spawn();
    pass(&outer, 3);
    pass(&inner, 3);
    let end = running.end();
    end.expect(0);
    assert_eq!(most(&end), 3);
    assert_eq!(warnings(&end), 0, "{}", end.stderr);
    assert!(!end.stderr.contains("token"), "{}", end.stderr);
}

/// A task that is a make of three targets, each of which waits at a gate.
const MAKES: &str = "[[task]]\nname = \"t\"\nrun = [\"make\", \"-s\", \"-f\", \"inner.mk\"]\n";

/// The make inside has all three workers, and nobody complains.
fn three_run_at_once(story: Story) {
    let inner = gates(&story, &["g0", "g1", "g2"]);
    let running = story.spawn();
    pass(&inner, 3);
    let end = running.end();
    end.expect(0);
    assert!(!end.stderr.contains("jobserver"), "{}", end.stderr);
}

#[test]
fn a_make_inside_jobrun_inside_make_has_the_same_limit() {
    if !require("make") {
        return;
    }
    let makefile = "run:\n\t+@$(JOBRUN) job.toml\n";
    let story = make(&["-j3"], makefile, &executor("thread", 6, "", MAKES));
    three_run_at_once(story);
}

#[test]
fn a_recipe_that_make_gives_no_jobserver_is_told_how_to_get_it() {
    if !require("make") {
        return;
    }
    let makefile = "run:\n\t@$(JOBRUN) job.toml\n";
    let story = make(&["-j3"], makefile, &executor("thread", 2, "", HELD));
    let gates = gates(&story, &SIX);
    let running = story.spawn();
    pass(&gates, 2);
    let end = running.end();
    end.expect(0).says("Begin the line of the recipe with `+`");
    assert_eq!(warnings(&end), 1);
}

/// A manifest whose tasks are these, on an executor that serves its children.
fn serving(workers: u32, tasks: &str) -> Story {
    Story::new(&executor("thread", workers, "jobserver = true", tasks))
        .file("inner.mk", GATED_MAKEFILE)
        .file(
            "many.mk",
            "all: $(foreach n,1 2 3 4 5 6 7 8,j$(n))\nj%:\n\t@echo + >> log; sleep 0.01; echo - >> log\n",
        )
}

#[test]
fn a_make_inside_may_use_the_workers_that_are_free() {
    if !require("make") {
        return;
    }
    let story = serving(3, MAKES);
    three_run_at_once(story);
}

#[test]
fn all_makes_inside_and_jobrun_itself_stay_within_the_workers() {
    if !require("make") {
        return;
    }
    for workers in [1, 3] {
        let tasks = format!(
            "{BRIEF}[[task]]\nname = \"m\"\nrun = [\"make\", \"-s\", \"-f\", \"many.mk\"]\n\
             map = {{ range = [0, 4] }}\n"
        );
        let end = serving(workers, &tasks).run();
        end.expect(0);
        assert!(most(&end) <= workers as usize, "{} ran at once", most(&end));
        assert_eq!(end.file("log").lines().count(), 2 * (6 + 4 * 8));
    }
}

#[test]
fn tokens_that_a_child_takes_along_are_replaced() {
    if !require("make") {
        return;
    }
    let tasks = r#"
        [[task]]
        name = "thief"
        run  = '''
            fd=${MAKEFLAGS##*--jobserver-auth=}
            dd if="/proc/self/fd/${fd%%,*}" bs=1 count=2 2>> errors
        '''
        [[task]]
        name  = "t"
        run   = ["make", "-s", "-f", "inner.mk"]
        after = ["thief"]
    "#;
    let story = serving(3, tasks);
    let inner = gates(&story, &["g0", "g1", "g2"]);
    let running = story.spawn();
    pass(&inner, 3);
    let end = running.end();
    end.expect(0);
    assert_eq!(end.result("thief"), "++", "{}", end.file("errors"));
}

#[test]
fn children_get_the_jobserver_beside_the_flags_that_they_had() {
    let tasks = r#"
        [[task]]
        name = "inherits"
        run  = 'echo "$MAKEFLAGS|$CARGO_MAKEFLAGS"'
        [[task]]
        name = "has"
        run  = 'echo "$MAKEFLAGS"'
        env  = { MAKEFLAGS = "s -j7" }
        [[task]]
        name = "sees"
        run  = 'readlink /proc/self/fd/"${MAKEFLAGS##*,}"'
        env  = { MAKEFLAGS = "" }
        [[task]]
        name = "elsewhere"
        run  = 'echo "$MAKEFLAGS"; for fd in /proc/self/fd/*; do readlink "$fd" || true; done'
        executor = "other"
        [executors.other]
    "#;
    let end = serving(4, tasks).env("MAKEFLAGS", "k -- A=1").run();
    end.expect(0);
    let auth = |text: &str| text.split("--jobserver-auth=").nth(1).unwrap().to_owned();
    let inherits = end.result("inherits").as_str().unwrap();
    assert!(inherits.starts_with("k -j4 --jobserver-auth="), "{inherits}");
    let (make, cargo) = inherits.split_once('|').unwrap();
    assert!(make.ends_with(" -- A=1"), "{make}");
    let own = auth(make).replace(" -- A=1", "");
    assert_eq!(cargo, format!(" -j4 --jobserver-auth={own}"));
    assert_eq!(end.result("has"), &format!("s -j4 --jobserver-auth={own}"));
    let pipe = end.result("sees").as_str().unwrap();
    let elsewhere = end.result("elsewhere").as_str().unwrap();
    assert!(pipe.starts_with("pipe:["), "{pipe}");
    assert!(elsewhere.starts_with("k -- A=1\n"), "{elsewhere}");
    assert!(!elsewhere.contains(pipe), "no other executor's children inherit it");
}

#[test]
fn whoever_has_a_jobserver_needs_none_of_his_own() {
    let tasks = "[[task]]\nname = \"t\"\nrun = 'echo \"$MAKEFLAGS\"'\n";
    let (story, mut server) = served(&executor("thread", 4, "jobserver = true", tasks), "a");
    let flags = format!(" -j9 --jobserver-auth=fifo:{}", story.path("pool").display());
    let end = story.run();
    end.expect(0);
    assert_eq!(end.result("t"), &flags);
    assert_eq!(server.tokens(), "a");
}

#[test]
fn the_plan_says_what_starts_wait_for() {
    let keys = "max_load = 7.5\nmin_free_memory = \"2GiB\"\njobserver = true";
    let plan = Story::command(&["plan", "job.toml"])
        .file("job.toml", &executor("thread", 4, keys, BRIEF))
        .run();
    let line = "executor default: thread, 4 workers, load below 7.5, 2.00 GiB free, jobserver\n";
    assert!(plan.expect(0).stdout.contains(line), "{}", plan.stdout);
}

#[test]
fn above_a_load_or_below_a_free_memory_one_runs_at_a_time() {
    for kind in KINDS {
        for (keys, said) in [
            ("max_load = 0.0001", "`max_load` is 0.0001"),
            ("min_free_memory = \"100000 TiB\"", "`min_free_memory` is 97.66 PiB"),
        ] {
            let end = Story::new(&executor(kind, 6, keys, BRIEF)).run();
            end.expect(0).says(said);
            assert_eq!(most(&end), 1);
            assert_eq!(end.report["executors"]["default"]["peak_running"], 1);
            assert_eq!(warnings(&end), 1, "{}", end.stderr);
        }
    }
}

#[test]
fn below_a_load_and_above_a_free_memory_all_workers_are_used() {
    for kind in KINDS {
        let keys = "max_load = 1e6\nmin_free_memory = 1";
        let story = Story::new(&executor(kind, 4, keys, HELD));
        let gates = gates(&story, &SIX);
        let running = story.spawn();
        pass(&gates, 4);
        let end = running.end();
        end.expect(0);
        assert_eq!(warnings(&end), 0, "{}", end.stderr);
    }
}

#[test]
fn an_interrupt_ends_a_run_that_is_held_back() {
    let keys = "min_free_memory = \"100000 TiB\"";
    let story = Story::new(&executor("thread", 6, keys, HELD));
    let gates = gates(&story, &SIX);
    let running = story.spawn();
    let first = gates[0].reached();
    running.signal(Signal::INT);
    let end = running.end();
    drop(first);
    end.expect(130);
    assert_eq!(end.state("t[5]"), "cancelled");
}
