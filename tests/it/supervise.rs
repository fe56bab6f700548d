//! Stories about: supervise.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use jobrun::outcome::{FailureKind, Outcome, Stream};
use jobrun::rundir::RunDir;
use jobrun::supervise::{
    ChildEnd, ChildEvent, Children, Headroom, How, Patron, Request, Urgency, spawn_worker,
};
use jobrun::time::Clock;
use jobrun::value::Value;
use jobrun::work::{Command, Leak, ResultKind, Stop};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

/// A set of children and what is told of them.
struct Nursery {
    children: Children,
    told: Receiver<(u64, ChildEvent)>,
    dir: TempDir,
}

impl Nursery {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let (tell, told) = channel();
        let children = Children::new(
            Clock::start(),
            RunDir::at(dir.path().join("state"), "run"),
            Arc::new(move |key, event| drop(tell.send((key, event)))),
        );
        Self { children, told, dir }
    }

    /// The end of the only child there is; what else is told of it is thrown away.
    fn end(&self) -> ChildEnd {
        loop {
            match self.told.recv().unwrap() {
                (_, ChildEvent::Ended(end)) => return end,
                (_, ChildEvent::Recalled) => panic!("recalled"),
                _ => {}
            }
        }
    }

    fn run(&self, request: Request) -> ChildEnd {
        self.children.start(request);
        self.end()
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        path
    }
}

fn command<const N: usize>(words: [&str; N]) -> Command {
    Command {
        program: words[0].into(),
        args: words[1..].iter().map(Into::into).collect(),
        env: Vec::new(),
        cwd: std::env::temp_dir(),
        stdin: None,
        ok_exit: Arc::from([0]),
        result: ResultKind::Auto,
        leak: Leak::Warn,
        limits: None,
    }
}

fn request(key: u64, command: Command) -> Request {
    Request {
        key,
        name: format!("task[{key}].1"),
        command,
        timeout: None,
        grace: Duration::from_mins(1),
        live: false,
    }
}

fn sh(script: &str) -> Request {
    request(1, command(["sh", "-c", script]))
}

fn result_of(kind: ResultKind, script: &str) -> Outcome {
    let mut request = sh(script);
    request.command.result = kind;
    Nursery::new().run(request).outcome()
}

fn text(text: &str) -> Outcome {
    Outcome::Succeeded(Value::from(text))
}

/// Everybody who held the other end of a pipe has ended.
pub(crate) fn assert_released(pipe: &mut (impl Read + AsFd)) {
    let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
    let mut fds = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&patience)), Ok(1), "somebody still holds the pipe");
    assert_eq!(pipe.read(&mut [0]).unwrap(), 0, "nothing was left to read");
}

fn failure(outcome: Outcome) -> (FailureKind, String) {
    match outcome {
        Outcome::Failed(failure) | Outcome::TimedOut(failure) => (failure.kind, failure.message),
        other => panic!("no failure: {other:?}"),
    }
}

#[test]
fn a_child_leaves_its_output_and_its_exit_code() {
    let end = Nursery::new().run(sh("echo out; echo err >&2"));
    assert_eq!(end.child.exit_code, Some(0));
    assert_eq!(end.child.stdout.kept, b"out\n");
    assert_eq!(end.child.stderr.kept, b"err\n");
    assert!(end.started < end.ended);
    assert!(!end.child.leaked);
    assert_eq!(end.outcome(), text("out"));
}

#[test]
fn exit_codes_and_signals_are_told_apart() {
    let end = Nursery::new().run(sh("exit 3"));
    assert_eq!(end.child.exit_code, Some(3));
    assert_eq!(failure(end.outcome()), (FailureKind::Exit, "exited with code 3".to_owned()));

    let end = Nursery::new().run(sh("kill -SEGV $$"));
    assert_eq!((end.child.exit_code, end.child.signal), (None, Some(11)));
    let killed = "was killed by SIGSEGV (signal 11)".to_owned();
    assert_eq!(failure(end.outcome()), (FailureKind::Signal, killed));

    let mut fine = sh("exit 3");
    fine.command.ok_exit = Arc::from([0, 3]);
    assert_eq!(Nursery::new().run(fine).outcome(), text(""));
}

#[test]
fn output_is_whole_in_memory_up_to_64_kib() {
    let end = Nursery::new().run(sh("head -c 65536 /dev/zero"));
    assert_eq!((end.child.stdout.bytes, end.child.stdout.path.as_ref()), (65536, None));
    assert_eq!(end.child.stdout.kept, vec![0; 65536]);

    let end = Nursery::new().run(sh("head -c 65536 /dev/zero; printf x"));
    assert_eq!(end.child.stdout.bytes, 65537);
    assert!(end.child.stdout.path.is_some());
    assert_eq!(end.child.stdout.kept.len(), 8192);
    assert_eq!(end.child.stdout.kept.last(), Some(&b'x'));
    assert_eq!(end.outcome(), Outcome::Succeeded(Value::Null));
}

#[test]
fn large_output_is_exact_in_a_private_file() {
    let nursery = Nursery::new();
    let end = nursery.run(sh("seq 1 1400000"));
    let numbers: Vec<String> = (1..=1_400_000).map(|number| number.to_string()).collect();
    let expected = numbers.join("\n") + "\n";
    let stdout = &end.child.stdout;
    assert_eq!(stdout.bytes, expected.len() as u64);
    assert_eq!(stdout.kept, &expected.as_bytes()[expected.len() - 8192..]);
    let path = stdout.path.as_ref().unwrap();
    assert!(fs::read(path).unwrap() == expected.as_bytes());
    assert!(path.ends_with("state/runs/run/task%5B1%5D.1.stdout"), "{path:?}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
}

#[test]
fn an_explicit_result_is_read_back_from_the_file() {
    let long = "x".repeat(100_000);
    let script = "head -c 100000 /dev/zero | tr '\\0' x";
    assert_eq!(result_of(ResultKind::Text, script), text(&long));
    let (kind, message) = failure(result_of(ResultKind::Text, "head -c 16777217 /dev/zero"));
    assert_eq!(kind, FailureKind::Result);
    assert_eq!(message, "stdout has 16777217 bytes; a result is read from at most 16 MiB");
}

#[test]
fn where_no_file_can_be_made_both_ends_are_kept_and_it_is_said_why() {
    let nursery = Nursery::new();
    fs::write(nursery.dir.path().join("state"), "a file where the folder should be").unwrap();
    let mut request = sh("printf begin; head -c 200000 /dev/zero; printf end");
    request.command.result = ResultKind::Lines;
    let end = nursery.run(request);
    let (kind, message) = failure(end.outcome());
    assert_eq!(kind, FailureKind::Result);
    assert!(message.starts_with("most of stdout is lost: cannot make the folder "), "{message}");
    let stdout = end.child.stdout;
    assert_eq!((stdout.bytes, stdout.kept.len(), stdout.path), (200_008, 8192, None));
    assert!(stdout.kept.ends_with(b"end"));
    let lost = stdout.lost.unwrap();
    assert_eq!(lost.head.len(), 8192);
    assert!(lost.head.starts_with(b"begin"));
}

#[test]
fn bytes_that_are_no_text_are_kept_as_they_are() {
    let end = Nursery::new().run(sh(r"printf 'a\377b\n'"));
    assert_eq!(end.child.stdout.kept, b"a\xffb\n");
    assert_eq!(end.outcome(), text("a\u{fffd}b"));
}

#[test]
fn a_result_is_text_lines_json_or_nothing() {
    assert_eq!(result_of(ResultKind::Text, "printf 'a\n\n'"), text("a\n"));
    let lines = Outcome::Succeeded(Value::from(vec!["a", "", "b"]));
    assert_eq!(result_of(ResultKind::Lines, "printf 'a\n\nb\n'"), lines);
    assert_eq!(result_of(ResultKind::None, "echo a"), Outcome::Succeeded(Value::Null));
    let json = r#"{"z": [1, 2.5, null], "a": -170141183460469231731687303715884105728, "z": true}"#;
    let value = Value::Map(vec![
        ("z".to_owned(), Value::Bool(true)),
        ("a".to_owned(), Value::Int(i128::MIN)),
    ]);
    assert_eq!(result_of(ResultKind::Json, &format!("echo '{json}'")), Outcome::Succeeded(value));
}

#[test]
fn output_that_is_no_result_says_where() {
    let message = |script| failure(result_of(ResultKind::Json, script));
    let (kind, words) = message("echo '[1, x]'");
    assert_eq!(kind, FailureKind::Result);
    assert_eq!(words, "stdout is not JSON: line 1 column 5: expected value");
    assert_eq!(message("echo").1, "stdout is not JSON: it is empty");
    let (_, words) = message("echo 170141183460469231731687303715884105728");
    assert_eq!(words, "stdout is JSON with a whole number beyond 128 bits");
    assert!(message("echo NaN").1.starts_with("stdout is not JSON: line 1 column"));
    assert_eq!(message("echo 1e999").1, "stdout is JSON with a number beyond the range of floats");
}

#[test]
fn stdin_is_what_was_given_or_nothing() {
    let mut request = sh("cat");
    let input: Vec<u8> = (0..3_000_000u32).map(|number| number as u8).collect();
    request.command.stdin = Some(input.clone());
    let nursery = Nursery::new();
    let end = nursery.run(request);
    assert!(fs::read(end.child.stdout.path.unwrap()).unwrap() == input);
    assert_eq!(Nursery::new().run(sh("cat; echo end")).outcome(), text("end"));
}

#[test]
fn the_last_of_equal_variables_counts_and_path_is_the_childs_own() {
    let nursery = Nursery::new();
    let bin = nursery.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("mine"), "#!/bin/sh\necho \"$A from ${0##*/}\"\n").unwrap();
    fs::set_permissions(bin.join("mine"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut request = request(1, command(["mine"]));
    request.command.env = [("A", "1".into()), ("PATH", OsString::from(&bin)), ("A", "2".into())]
        .map(|(key, value)| (key.into(), value))
        .into();
    assert_eq!(nursery.run(request).outcome(), text("2 from mine"));
}

#[test]
fn what_cannot_be_started_says_why() {
    let nursery = Nursery::new();
    let dir = nursery.dir.path();
    fs::write(dir.join("plain"), "text").unwrap();
    fs::write(dir.join("garbage"), "text").unwrap();
    fs::write(dir.join("script"), "#!/no/such/shell\n").unwrap();
    for name in ["garbage", "script"] {
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let why = |command: Command| {
        let end = nursery.run(request(1, command));
        assert!(matches!(end.how, How::NotSpawned(_)));
        let (kind, message) = failure(end.outcome());
        assert_eq!(kind, FailureKind::Spawn);
        message.replace(&dir.display().to_string(), "DIR")
    };
    let in_dir = |program: &str| Command { cwd: dir.to_owned(), ..command([program]) };

    assert_eq!(
        why(command(["no-such-program"])),
        "cannot run `no-such-program`: it was not found in PATH"
    );
    assert_eq!(why(in_dir("./nothing")), "cannot run `./nothing`: DIR/nothing does not exist");
    assert_eq!(why(in_dir("./plain")), "cannot run `./plain`: DIR/plain is not executable");
    assert_eq!(
        why(in_dir("./garbage")),
        "cannot run `./garbage`: DIR/garbage is no program of this system; a script begins with `#!`"
    );
    assert_eq!(
        why(in_dir("./script")),
        "cannot run `./script`: the interpreter that DIR/script names does not exist"
    );
    assert_eq!(
        why(Command { cwd: dir.join("gone"), ..command(["true"]) }),
        "cannot run `true`: its working directory DIR/gone does not exist"
    );
    assert_eq!(
        why(Command { cwd: dir.join("plain"), ..command(["true"]) }),
        "cannot run `true`: its working directory DIR/plain is not a directory"
    );
    let long = "x".repeat(3 << 20);
    assert_eq!(
        why(command(["true", &long])),
        "cannot run `true`: its arguments (3145729 bytes) and environment are too long for the system"
    );
    assert_eq!(
        why(command(["echo", "a\0b"])),
        "cannot run `echo`: an argument, a variable or the working directory holds a NUL byte"
    );
}

#[test]
fn a_child_that_runs_too_long_is_asked_to_end() {
    let mut request = sh("trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.01; done");
    request.timeout = Some(Duration::from_secs(1));
    let end = Nursery::new().run(request);
    let outcome = end.outcome();
    assert!(matches!(outcome, Outcome::TimedOut(_)));
    assert_eq!(failure(outcome), (FailureKind::Timeout, "ran longer than 1s".to_owned()));
    assert_eq!(end.child.stdout.kept, b"up\nasked\n");
}

#[test]
fn one_that_will_not_end_is_killed_with_its_whole_group() {
    let nursery = Nursery::new();
    let fifo = nursery.fifo("held");
    // The background shell ignores SIGTERM too; both hold the pipe.
    let script =
        format!("exec 9>'{}'; trap '' TERM; sh -c 'sleep 1000' & sleep 1000", fifo.display());
    let mut request = sh(&script);
    request.timeout = Some(Duration::from_millis(50));
    request.grace = Duration::from_millis(50);
    nursery.children.start(request);
    let mut held = fs::File::open(&fifo).unwrap();
    let end = nursery.end();
    assert_eq!(end.child.signal, Some(9));
    assert!(matches!(end.outcome(), Outcome::TimedOut(_)));
    assert_released(&mut held);
}

#[test]
fn a_child_is_stopped_on_request() {
    for how in [Stop::Stop, Stop::Kill] {
        let nursery = Nursery::new();
        nursery.children.start(sh("sleep 1000"));
        assert!(matches!(nursery.told.recv().unwrap(), (1, ChildEvent::Started { .. })));
        nursery.children.stop(1, Stop::Recall);
        nursery.children.stop(1, how);
        let end = nursery.end();
        assert_eq!(end.outcome(), Outcome::Cancelled);
        assert_eq!(end.child.signal, Some(if how == Stop::Kill { 9 } else { 15 }));
    }
}

#[test]
fn every_child_of_many_ends_once_or_is_taken_back() {
    let nursery = Nursery::new();
    for key in 0..50 {
        nursery.children.start(request(key, command(["sleep", "1000"])));
        nursery.children.stop(key, Stop::Stop);
    }
    drop(nursery.children);
    let mut ends = [0; 50];
    for (key, event) in nursery.told {
        match event {
            ChildEvent::Ended(end) => {
                assert_eq!(end.outcome(), Outcome::Cancelled);
                ends[key as usize] += 1;
            }
            ChildEvent::Recalled => ends[key as usize] += 1,
            _ => {}
        }
    }
    assert_eq!(ends, [1; 50]);
}

#[test]
fn a_grandchild_that_holds_the_output_holds_nothing_up() {
    let nursery = Nursery::new();
    let fifo = nursery.fifo("held");
    let script = format!("echo said; sleep 1000 9>'{}' &", fifo.display());
    nursery.children.start(sh(&script));
    let mut held = fs::File::open(&fifo).unwrap();
    let end = nursery.end();
    assert!(end.child.leaked);
    assert_eq!(end.outcome(), text("said"));
    assert_released(&mut held);
}

#[test]
fn where_there_is_no_guard_what_is_left_of_a_group_does_not_outlive_its_leader() {
    for leak in [Leak::Warn, Leak::Fail, Leak::Kill] {
        let nursery = Nursery::new();
        let fifo = nursery.fifo("held");
        let script = format!("sleep 1000 9>'{}' >/dev/null 2>&1 &", fifo.display());
        let mut request = sh(&script);
        request.command.leak = leak;
        nursery.children.start(request);
        let mut held = fs::File::open(&fifo).unwrap();
        let end = nursery.end();
        assert_eq!((end.child.leaked, end.outcome()), (false, text("")));
        assert_released(&mut held);
    }
}

#[test]
fn live_output_comes_while_the_child_runs() {
    let nursery = Nursery::new();
    let gate = nursery.fifo("gate");
    let mut request = sh(&format!("echo first; cat '{}' >&2", gate.display()));
    request.live = true;
    nursery.children.start(request);
    let output = || match nursery.told.recv().unwrap().1 {
        ChildEvent::Output { stream, bytes } => (stream, bytes.to_vec()),
        other => panic!("{other:?}"),
    };
    assert!(matches!(nursery.told.recv().unwrap().1, ChildEvent::Started { .. }));
    assert_eq!(output(), (Stream::Stdout, b"first\n".to_vec()));
    fs::OpenOptions::new().write(true).open(gate).unwrap().write_all(b"second").unwrap();
    assert_eq!(output(), (Stream::Stderr, b"second".to_vec()));
    assert_eq!(nursery.end().child.stdout.kept, b"first\n");
}

#[test]
fn hundreds_of_children_run_at_once() {
    const MANY: u64 = 300;
    let nursery = Nursery::new();
    let gate = nursery.fifo("gate");
    let script = format!("echo $N; read x < '{}'; exit 0", gate.display());
    for key in 0..MANY {
        let mut request = request(key, command(["sh", "-c", &script]));
        request.command.env = vec![("N".into(), key.to_string().into())];
        nursery.children.start(request);
    }
    for _ in 0..MANY {
        assert!(matches!(nursery.told.recv().unwrap().1, ChildEvent::Started { .. }));
    }
    // All of them wait in `read`, or will; they see the end of the pipe together.
    let opened = fs::OpenOptions::new().read(true).write(true).open(gate).unwrap();
    let mut lines = opened.try_clone().unwrap();
    for _ in 0..MANY {
        lines.write_all(b"\n").unwrap();
    }
    for _ in 0..MANY {
        let (key, ChildEvent::Ended(end)) = nursery.told.recv().unwrap() else { panic!() };
        assert_eq!(end.outcome(), text(&key.to_string()));
    }
}

#[test]
fn a_program_that_is_being_written_is_tried_again() {
    let nursery = Nursery::new();
    let path = nursery.dir.path().join("program");
    fs::copy("/bin/true", &path).unwrap();
    let writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let busy = Command { program: path.clone().into(), ..command(["true"]) };
    let (kind, message) = failure(nursery.run(request(1, busy.clone())).outcome());
    assert_eq!(kind, FailureKind::Spawn);
    assert_eq!(message, format!("cannot run `{0}`: {0} is being written to", path.display()));
    nursery.children.start(request(2, busy));
    drop(writer);
    assert_eq!(nursery.end().outcome(), text(""));
}

#[test]
fn a_worker_speaks_over_pipes_and_can_be_killed() {
    let mut worker = spawn_worker(Path::new("/bin/cat"), &[], &Headroom::default()).unwrap();
    let mut stdin = fs::File::from(worker.stdin);
    stdin.write_all(b"ping").unwrap();
    let mut answer = [0; 4];
    fs::File::from(worker.stdout).read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ping");
    worker.process.signal(libc::SIGKILL);
    let status = worker.process.wait().unwrap();
    assert_eq!(jobrun::supervise::describe_exit(status), "was killed by SIGKILL (signal 9)");
}

#[test]
fn files_of_old_runs_go_and_those_of_living_ones_stay() {
    let dir = TempDir::new().unwrap();
    let oldest = RunDir::at(dir.path(), "alive");
    oldest.file("a").unwrap();
    for number in 0..30 {
        RunDir::at(dir.path(), &format!("run{number}")).file("a").unwrap();
    }
    let runs = fs::read_dir(dir.path().join("runs")).unwrap().count();
    assert_eq!(runs, 21);
    assert!(dir.path().join("runs/alive/a").exists());
    assert!(dir.path().join("runs/run29/a").exists());
}

#[test]
fn file_names_are_safe_and_never_taken_twice() {
    let dir = TempDir::new().unwrap();
    let run = RunDir::at(dir.path(), "../run");
    assert!(
        fs::read_dir(dir.path()).unwrap().next().is_none(),
        "nothing is made before it is needed"
    );
    let name = |text: &str| {
        let path = run.file(text).unwrap().1;
        assert_eq!(path.parent().unwrap(), dir.path().join("runs/%2E.%2Frun"));
        path.file_name().unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(name("../x"), "%2E.%2Fx");
    assert_eq!(name("sum[3]"), "sum%5B3%5D");
    assert_eq!(name("sum[3]"), "sum%5B3%5D~1");
    assert!(name(&"é".repeat(500)).len() < 255);
}

/// Set in the environment of this test program when it runs again with few descriptors.
const FEW: &str = "JOBRUN_TEST_FEW_DESCRIPTORS";

#[test]
fn with_few_descriptors_all_children_run_fewer_at_once() {
    const MANY: u64 = 200;
    if std::env::var_os(FEW).is_none() {
        let this = "supervise::with_few_descriptors_all_children_run_fewer_at_once";
        let again = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 40; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", this, "--nocapture"])
            .env(FEW, "1")
            .output()
            .unwrap();
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
        return;
    }
    let nursery = Nursery::new();
    let gate = nursery.fifo("gate");
    let mut lines = fs::OpenOptions::new().read(true).write(true).open(&gate).unwrap();
    let script = format!("read x < '{}'; echo done", gate.display());
    for key in 0..MANY {
        nursery.children.start(request(key, command(["sh", "-c", &script])));
    }
    let mut ended = 0;
    while ended < MANY {
        match nursery.told.recv().unwrap().1 {
            ChildEvent::Warning(message) => {
                assert!(message.contains("the limit of open files is reached"), "{message}");
                // Each shard warns once; lines that nobody reads harm nobody.
                lines.write_all(&[b'\n'; MANY as usize]).unwrap();
            }
            ChildEvent::Ended(end) => {
                assert_eq!(end.outcome(), text("done"));
                ended += 1;
            }
            _ => {}
        }
    }
}

/// Panics when it hears of a start, and says when it is told what came of that.
struct Touchy(std::sync::Mutex<std::sync::mpsc::Sender<()>>);

impl Patron for Touchy {
    fn tell(&self, key: u64, event: ChildEvent) -> Urgency {
        assert!(key == 1 || !matches!(event, ChildEvent::Started { .. }), "it hears of {key}");
        Urgency::Now
    }

    fn collapsed(&self) {
        self.0.lock().unwrap().send(()).unwrap();
    }
}

#[test]
fn f68_a_thread_that_panics_says_so_and_kills_its_children() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let (tell, told) = channel();
    let patron = Arc::new(Touchy(std::sync::Mutex::new(tell)));
    let files = RunDir::at(dir.path().join("state"), "run");
    let children = Children::new(Clock::start(), files, patron);
    children.start(sh(&format!("exec 3> {}; exec sleep 1000", fifo.display())));
    let mut fifo = fs::File::open(&fifo).unwrap();
    // All threads that there may be take one, so the one that minds the first child does, too.
    (2..10).for_each(|key| children.start(request(key, command(["sleep", "1000"]))));
    told.recv_timeout(Duration::from_mins(1)).unwrap();
    drop(children);
    assert_released(&mut fifo);
}
