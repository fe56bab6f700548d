//! Stories about: guard.
//!
//! A process tree needs a process of its own to start from: the tests run this very test program
//! again, told to run [`a_tree_of_its_own`] alone and to make that the tree.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use jobrun::guard::{self, Containment, Image, Refused, Split, Step, Strings};
use jobrun::outcome::Outcome;
use jobrun::rundir::RunDir;
use jobrun::supervise::{ChildEvent, Children, Request};
use jobrun::time::Clock;
use jobrun::value::Value;
use jobrun::work::{self, Leak, ResultKind, Stop};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tempfile::TempDir;

use crate::supervise::assert_released;

/// The script that the tree runs.
const SCRIPT: &str = "JOBRUN_TEST_SCRIPT";

/// What the story tells of: a runner with one child, until that has ended.
#[test]
fn a_tree_of_its_own() {
    let Ok(script) = env::var(SCRIPT) else { return };
    match guard::split() {
        Split::Over(over) => {
            if let Some(message) = over.message {
                let _ = writeln!(std::io::stderr(), "{message}");
            }
            std::process::exit(over.code.into());
        }
        Split::Runner(runner) => {
            assert_ne!(runner.containment(), Containment::Groups);
            assert_eq!(guard::containment(), runner.containment());
            let (tell, told) = channel();
            let signals = tell.clone();
            let code = runner.attend(
                move |told| {
                    if let guard::Told::Signal(signal) = told {
                        drop(signals.send(Told::Signal(signal)));
                    }
                },
                move || {
                    let children = Children::new(
                        Clock::start(),
                        RunDir::new("test"),
                        Arc::new(move |_, event| drop(tell.send(Told::Child(Box::new(event))))),
                    );
                    children.start(request(script));
                    let mut code = 0;
                    loop {
                        match told.recv().unwrap() {
                            Told::Signal(signal) => {
                                code = 128 + signal;
                                children.stop(1, Stop::Stop);
                            }
                            Told::Child(event) => {
                                if let ChildEvent::Ended(end) = *event {
                                    report(&end.outcome());
                                    return code;
                                }
                            }
                        }
                    }
                },
            );
            std::process::exit(code.unwrap());
        }
    }
}

enum Told {
    Signal(i32),
    Child(Box<ChildEvent>),
}

fn request(script: String) -> Request {
    Request {
        key: 1,
        name: "test".to_owned(),
        command: work::Command {
            program: "sh".into(),
            args: vec!["-c".into(), script.into()],
            env: Vec::new(),
            cwd: "/".into(),
            stdin: None,
            ok_exit: Arc::from([0]),
            result: ResultKind::Text,
            leak: Leak::Warn,
            limits: None,
        },
        timeout: None,
        grace: Duration::from_mins(1),
        live: false,
    }
}

fn report(outcome: &Outcome) {
    let words = match outcome {
        Outcome::Succeeded(Value::Str(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    let _ = writeln!(std::io::stdout(), "<{words}>");
}

/// A running tree. The script finds `$HELD`, a pipe that the test reads.
struct Tree {
    guard: Child,
    stdout: ChildStdout,
    held: BufReader<File>,
    _dir: TempDir,
}

impl Tree {
    fn grow(script: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let fifo = dir.path().join("held");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let mut guard = Command::new(env::current_exe().unwrap())
            .args(["--exact", "guard::a_tree_of_its_own", "--nocapture"])
            .env(SCRIPT, format!("exec 9>'{}'; {script}", fifo.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = guard.stdout.take().unwrap();
        let held = BufReader::new(File::open(fifo).unwrap());
        Self { guard, stdout, held, _dir: dir }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.held.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn pid(&mut self) -> Pid {
        Pid::from_raw(self.line().parse().unwrap()).unwrap()
    }

    fn guard(&self) -> Pid {
        Pid::from_child(&self.guard)
    }

    /// Waits until the guard catches this signal. A signal that comes earlier is blocked by the thread that
    /// becomes the guard, but this program has another one, which a guard has not.
    fn until_caught(&self, signal: Signal) {
        let status = format!("/proc/{}/status", self.guard().as_raw_pid());
        let is_caught = || {
            let text = fs::read_to_string(&status).unwrap();
            let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (signal.as_raw() - 1)) != 0
        };
        while !is_caught() {
            std::thread::yield_now();
        }
    }

    /// Waits for its end: what it printed of its child, what the guard said, and the exit code.
    fn end(mut self) -> (String, String, Option<i32>) {
        assert_released(self.held.get_mut());
        let mut printed = String::new();
        self.stdout.read_to_string(&mut printed).unwrap();
        let mut said = String::new();
        self.guard.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let words = printed.split_once('<').and_then(|(_, rest)| rest.split_once(">\n"));
        let words = words.map_or_else(String::new, |(words, _)| words.to_owned());
        (words, said, self.guard.wait().unwrap().code())
    }
}

/// Five descendants, each in its own way, and the pid of the runner.
const FIVE: &str = "
    sleep 1000 &
    setsid sleep 1000 &
    (sleep 1000 &)
    (env -i setsid sleep 1000 >/dev/null 2>&1 </dev/null &)
    echo $PPID >&9
    sleep 1000";

#[test]
fn the_guard_ends_what_a_killed_runner_leaves() {
    let mut tree = Tree::grow(FIVE);
    let runner = tree.pid();
    assert_ne!(runner, tree.guard());
    kill_process(runner, Signal::KILL).unwrap();
    let (_, said, code) = tree.end();
    assert_eq!(code, Some(137));
    assert_eq!(said, "the runner was killed by SIGKILL (signal 9); so was all it had started\n");
}

#[test]
fn the_runner_ends_everything_when_the_guard_is_killed() {
    let mut tree = Tree::grow(FIVE);
    tree.pid();
    kill_process(tree.guard(), Signal::KILL).unwrap();
    // Reading the pipes to their ends shows that the runner has ended too.
    assert_eq!(tree.end().2, None);
}

#[test]
fn what_forks_all_the_time_does_not_outrun_the_guard() {
    let mut tree = Tree::grow(
        "fork() { while :; do (setsid sh -c 'sleep 1000' &) ; sleep 0.01; done; }
        fork & setsid sh -c 'while :; do sleep 0.001 & wait; done' &
        echo $PPID >&9
        sleep 1000",
    );
    kill_process(tree.pid(), Signal::KILL).unwrap();
    assert_eq!(tree.end().2, Some(137));
}

#[test]
fn nothing_outlives_a_run_that_ended_well() {
    // One daemon ends when asked, and says so; the other has to be killed.
    let tree = Tree::grow(
        "exec >/dev/null 2>&1
        mkfifo_ready=$(mktemp -u) && mkfifo \"$mkfifo_ready\"
        setsid sh -c \"trap 'exit 0' TERM; echo >'$mkfifo_ready'; sleep 1000 & wait\" &
        read up < \"$mkfifo_ready\"
        setsid sh -c \"trap '' TERM; echo >'$mkfifo_ready'; sleep 1000\" &
        read up < \"$mkfifo_ready\"
        rm \"$mkfifo_ready\"",
    );
    assert_eq!(tree.end(), (String::new(), String::new(), Some(0)));
}

#[test]
fn a_signal_to_the_guard_is_passed_on_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let mut tree = Tree::grow("echo $PPID >&9; sleep 1000");
        tree.pid();
        tree.until_caught(signal);
        kill_process(tree.guard(), signal).unwrap();
        assert_eq!(tree.end(), ("Cancelled".to_owned(), String::new(), Some(code)));
    }
}

#[test]
fn orphans_are_reaped_while_the_run_goes_on() {
    let mut tree = Tree::grow(
        "gate=$(mktemp -u) && mkfifo \"$gate\"
        (sh -c \"echo \\$\\$ >&9; read x <'$gate'\" &)
        echo \"$gate\" >&9
        sleep 1000",
    );
    let mut first = tree.line();
    let mut second = tree.line();
    if first.starts_with('/') {
        std::mem::swap(&mut first, &mut second);
    }
    let orphan = format!("/proc/{first}");
    assert!(fs::exists(&orphan).unwrap());
    fs::write(&second, "go\n").unwrap();
    fs::remove_file(second).unwrap();
    // A zombie would stay there; that one is gone nobody tells, so it is looked for.
    for _ in 0..6000 {
        if !fs::exists(&orphan).unwrap() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!fs::exists(&orphan).unwrap(), "the orphan was not reaped");
    kill_process(tree.guard(), Signal::TERM).unwrap();
    assert_eq!(tree.end().2, Some(143));
}

#[test]
fn children_get_an_empty_mask_and_the_default_sigpipe() {
    let tree = Tree::grow("grep -E '^Sig(Blk|Ign)' /proc/self/status");
    let (words, _, code) = tree.end();
    assert_eq!(code, Some(0));
    let bits = |name: &str| {
        let line = words.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!(bits("SigBlk:"), 0, "{words}");
    assert_eq!(bits("SigIgn:") & (1 << (Signal::PIPE.as_raw() - 1)), 0, "{words}");
}

#[test]
fn a_child_dies_with_the_thread_that_started_it() {
    let (theirs, ours) = rustix::pipe::pipe().unwrap();
    let thread = std::thread::spawn(move || spawn(c"/bin/cat", &["cat"], None, &theirs).unwrap());
    let (pid, end) = thread.join().unwrap();
    rustix::event::poll(&mut [PollFd::new(&end.unwrap(), PollFlags::IN)], None).unwrap();
    let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.terminating_signal(), Some(9));
    drop(ours);
}

#[test]
fn what_cannot_be_started_says_at_which_step() {
    let null = OwnedFd::from(File::open("/dev/null").unwrap());
    let refused = |program, args: &[&str], cwd| {
        let refused = spawn(program, args, cwd, &null).unwrap_err();
        (refused.step, refused.error.raw_os_error().map(Errno::from_raw_os_error))
    };
    let nowhere = Some(c"/nowhere");
    assert_eq!(refused(c"/bin/true", &["true"], nowhere), (Step::Directory, Some(Errno::NOENT)));
    assert_eq!(refused(c"/nowhere", &["true"], None), (Step::Program, Some(Errno::NOENT)));
    let long = "x".repeat(3 << 20);
    assert_eq!(refused(c"/bin/true", &["true", &long], None), (Step::Program, Some(Errno::TOOBIG)));
    // None of them left a zombie that is not waited for.
    assert_eq!(spawned_by_this_thread(), "");
}

fn spawn(
    program: &CStr,
    args: &[&str],
    cwd: Option<&CStr>,
    stdin: &OwnedFd,
) -> Result<(Pid, Option<OwnedFd>), Refused> {
    let null = File::options().write(true).open("/dev/null").unwrap();
    let mut words = Strings::default();
    for arg in args {
        words.push(&[arg.as_bytes()]).unwrap();
    }
    guard::spawn(&Image {
        program,
        args: &words,
        env: &Strings::default(),
        cwd,
        streams: [stdin.as_fd(), null.as_fd(), null.as_fd()],
        inherits: &[],
        limits: &[],
    })
}

fn spawned_by_this_thread() -> String {
    fs::read_to_string("/proc/thread-self/children").unwrap()
}

#[test]
fn signals_have_names() {
    assert_eq!(guard::signal_name(9), "SIGKILL");
    assert_eq!(guard::describe_signal(11), "SIGSEGV (signal 11)");
    assert_eq!(guard::describe_signal(42), "signal 42");
}
