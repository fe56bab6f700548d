//! Runs the program on a manifest and tells what came of it.
//!
//! ```text
//! let end = Story::new("…manifest…").file("in.txt", "…").arg("--results").run();
//! end.expect(0);
//! assert_eq!(end.state("sum[0]"), "succeeded");
//! ```
//!
//! Nothing here orders things by sleeping. A task that has to wait for the test reads a [`Gate`]; a
//! function that has to wait asks a [`Door`]. A story that does not end is stopped and fails.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;
use tempfile::TempDir;

/// A story that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// The program, about to be run in a folder of its own.
pub struct Story {
    dir: TempDir,
    program: PathBuf,
    under: Vec<OsString>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    asks_for_files: bool,
}

impl Story {
    /// Runs `manifest`, written to `job.toml`. A report and the events are asked for.
    pub fn new(manifest: &str) -> Self {
        let story = Self { asks_for_files: true, ..Self::command(&["job.toml"]) };
        story.file("job.toml", manifest)
    }

    /// Runs `jobrun` with just these arguments.
    pub fn command(args: &[&str]) -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            program: env!("CARGO_BIN_EXE_jobrun").into(),
            under: Vec::new(),
            args: args.iter().map(Into::into).collect(),
            env: Vec::new(),
            stdin: None,
            asks_for_files: false,
        }
    }

    /// With this file beside the manifest.
    pub fn file(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// With one more argument.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With more arguments.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(OsString::from));
        self
    }

    /// Not run by jobrun itself but by this program, which takes the same arguments.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Started by this command, which is given the program and its arguments.
    pub fn under<S: AsRef<OsStr>>(mut self, command: &[S]) -> Self {
        self.under = command.iter().map(OsString::from).collect();
        self
    }

    /// With this variable.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// With this on its standard input, which is empty otherwise.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// A path in its folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// A gate in its folder; tasks wait at it with `cat NAME`.
    pub fn gate(&self, name: &str) -> Gate {
        Gate::new(self.path(name))
    }

    /// Runs it to its end.
    pub fn run(self) -> End {
        self.spawn().end()
    }

    /// Starts it.
    pub fn spawn(self) -> Running {
        let mut words = self.under.clone();
        words.push(self.program.clone().into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(&self.args);
        if self.asks_for_files {
            command.args(["--report", "json=report.json", "--events", "events.jsonl"]);
        }
        // What the person who runs the tests has set must not matter.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("JOBRUN_") {
                command.env_remove(name);
            }
        }
        for name in [
            "CI",
            "GITHUB_ACTIONS",
            "GITLAB_CI",
            "TF_BUILD",
            "TEAMCITY_VERSION",
            "BUILDKITE",
            "CIRCLECI",
            "JENKINS_URL",
            "NO_COLOR",
            "CLICOLOR",
            "CLICOLOR_FORCE",
            "TRACEPARENT",
            "RUST_LOG",
            "MAKEFLAGS",
            "MAKELEVEL",
            "CARGO_MAKEFLAGS",
            "ALL_PROXY",
            "all_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "HTTP_PROXY",
            "http_proxy",
            "NO_PROXY",
            "no_proxy",
        ] {
            command.env_remove(name);
        }
        command.env("JOBRUN_STATE_DIR", self.path("state"));
        command.envs(self.env);
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = command
            .current_dir(self.dir.path())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), self.stdin) {
            // It may end without reading: that is its own affair.
            thread::spawn(move || pipe.write_all(&bytes));
        }
        let stdout = read_all(child.stdout.take().unwrap());
        let stderr = read_all(child.stderr.take().unwrap());
        Running { child, dir: Some(self.dir), stdout, stderr }
    }
}

/// What comes out of a pipe, once nobody holds it open any more.
fn read_all(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        sender.send(bytes)
    });
    receiver
}

/// The program while it runs. It is killed if the test forgets it.
pub struct Running {
    child: Child,
    dir: Option<TempDir>,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
}

impl Running {
    /// The process that a user sees.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The process that does the work, whose guard is the one that a user sees. The guard may have other
    /// children, which do nothing: one whose end sends no signal, and one that has no session of its own
    /// and may still be the runner's parent for a moment.
    pub fn runner(&self) -> Pid {
        let guard = self.pid().as_raw_nonzero();
        let works = |pid: &&str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
            fields.get(3) == Some(pid) && fields.get(35) == Some(&"17")
        };
        for _ in 0..12_000 {
            let children = format!("/proc/{guard}/task/{guard}/children");
            let children = fs::read_to_string(children).unwrap();
            if let Some(runner) = children.split_whitespace().find(works) {
                return Pid::from_raw(runner.parse().unwrap()).unwrap();
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("there is no runner");
    }

    /// Sends the process that a user sees what Ctrl-Z sends, and waits until all has stopped.
    pub fn pause(&self) {
        self.signal(Signal::TSTP);
        self.await_stop();
    }

    /// Waits until the process that a user sees has stopped, as a shell does.
    pub fn await_stop(&self) {
        let pid = self.pid();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
            sender.send(())
        });
        receiver.recv_timeout(PATIENCE).expect("it does not stop");
    }

    /// A path in its folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.as_ref().unwrap().path().join(path)
    }

    /// All processes of this story.
    pub fn family(&self) -> Vec<Pid> {
        let family = processes_of(self.dir.as_ref().unwrap().path());
        family.into_iter().map(|(pid, _)| pid).collect()
    }

    /// Waits until it ends and nobody holds its output open any more.
    pub fn end(mut self) -> End {
        let status = self.wait();
        let all = |pipe: &Receiver<Vec<u8>>| {
            pipe.recv_timeout(PATIENCE).expect("something still holds the output open")
        };
        let (stdout, stderr) = (all(&self.stdout), all(&self.stderr));
        End::new(self.dir.take().unwrap(), status, &stdout, &stderr)
    }

    /// The processes of this story, itself included, that have no children: those that do its work.
    pub fn leaves(&self) -> Vec<Pid> {
        let family = processes_of(self.dir.as_ref().unwrap().path());
        let is_parent = |pid: Pid| family.iter().any(|(_, parent)| *parent == Some(pid));
        family.iter().map(|(pid, _)| *pid).filter(|pid| !is_parent(*pid)).collect()
    }

    /// The worker processes of this story.
    pub fn workers(&self) -> Vec<Pid> {
        let mut leaves = self.leaves();
        leaves.retain(|pid| {
            let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
            fs::read_to_string(path).is_ok_and(|line| line.contains("--jobrun-worker"))
        });
        leaves
    }

    /// Its exit status. It is killed if it does not end.
    fn wait(&mut self) -> ExitStatus {
        let (done, is_done) = mpsc::channel::<()>();
        let pid = self.pid();
        let watch = thread::spawn(move || {
            let hangs = is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
            if hangs {
                kill_process(pid, Signal::QUIT).ok();
                kill_process(pid, Signal::KILL).ok();
            }
            hangs
        });
        let status = self.child.wait().unwrap();
        drop(done);
        assert!(!watch.join().unwrap(), "the program did not end");
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What came of a story.
pub struct End {
    dir: TempDir,
    /// The exit code, or 128 and the number of the signal that ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// The report; null if none was written.
    pub report: Value,
    /// The events, in their order.
    pub events: Vec<Value>,
}

impl End {
    fn new(dir: TempDir, status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let signal = || 128 + status.signal().unwrap_or_default();
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        let parse = |text: &str| serde_json::from_str(text).unwrap();
        let report = Some(read("report.json")).filter(|text| !text.is_empty());
        Self {
            code: status.code().unwrap_or_else(signal),
            stdout: String::from_utf8_lossy(stdout).into_owned(),
            stderr: String::from_utf8_lossy(stderr).into_owned(),
            report: report.map_or(Value::Null, |text| parse(&text)),
            events: read("events.jsonl").lines().map(parse).collect(),
            dir,
        }
    }

    /// It ended with this exit code.
    #[track_caller]
    pub fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// What it said on standard error contains this.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "no {text:?} in\n{}", self.stderr);
        self
    }

    /// The processes that it left behind.
    pub fn leftovers(&self) -> Vec<Pid> {
        processes_of(self.dir.path()).into_iter().map(|(pid, _)| pid).collect()
    }

    /// A path in its folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// A file it left.
    #[track_caller]
    pub fn file(&self, path: &str) -> String {
        let path = self.path(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// What the report says of a future.
    #[track_caller]
    pub fn future(&self, name: &str) -> &Value {
        let futures = self.report["futures"].as_array();
        let futures = futures.unwrap_or_else(|| panic!("no report\n{}", self.stderr));
        let found = futures.iter().find(|future| future["name"] == name);
        found.unwrap_or_else(|| panic!("the report knows no future {name}"))
    }

    /// The state of a future.
    #[track_caller]
    pub fn state(&self, name: &str) -> &str {
        self.future(name)["state"].as_str().unwrap()
    }

    /// The result of a task.
    pub fn result(&self, task: &str) -> &Value {
        &self.report["results"][task]
    }

    /// The names in a list of the report, `done` for example, sorted.
    pub fn names(&self, list: &str) -> Vec<&str> {
        let names = self.report[list].as_array().unwrap();
        let mut names: Vec<&str> = names.iter().map(|name| name.as_str().unwrap()).collect();
        names.sort_unstable();
        names
    }

    /// Why the job's wait returned.
    pub fn because(&self) -> &str {
        self.report["wait"]["returned_because"].as_str().unwrap()
    }
}

/// The processes with `dir` in their environment, and their parents. All of a story have it there,
/// in `JOBRUN_STATE_DIR`.
fn processes_of(dir: &Path) -> Vec<(Pid, Option<Pid>)> {
    let dir = dir.to_str().unwrap().as_bytes();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let of_story = |pid: i32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
        environ.windows(dir.len()).any(|window| window == dir).then_some(())?;
        // `pid (name) state parent …`, where the name may contain anything but is followed by the
        // last parenthesis. A zombie has no environment any more.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        Some((Pid::from_raw(pid)?, Pid::from_raw(parent)))
    };
    pids.filter_map(of_story).collect()
}

/// A named pipe at which a task waits with `cat NAME`, or which it passes with `echo > NAME`.
pub struct Gate {
    path: PathBuf,
}

impl Gate {
    /// Makes one at `path`.
    pub fn new(path: PathBuf) -> Self {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        Self { path }
    }

    /// Waits until a task stands at the gate. It goes on when the result is dropped.
    pub fn reached(&self) -> File {
        let path = self.path.clone();
        let (sender, receiver) = mpsc::channel();
        // Opening blocks until there is a reader.
        thread::spawn(move || sender.send(OpenOptions::new().write(true).open(path).unwrap()));
        receiver
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("nobody came to the gate {}", self.path.display()))
    }

    /// Waits until a task writes to the gate, and gives what it wrote.
    pub fn passed(&self) -> String {
        let path = self.path.clone();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(fs::read_to_string(path).unwrap()));
        let text = receiver.recv_timeout(PATIENCE);
        text.unwrap_or_else(|_| panic!("nobody wrote to the gate {}", self.path.display()))
    }

    /// Lets the next task through, as soon as it comes.
    pub fn open(&self) {
        drop(self.reached());
    }
}

/// A local web server that answers when the test says so; functions wait at it with
/// `call = "http"`.
pub struct Door {
    listener: TcpListener,
}

impl Door {
    /// Opens a port.
    pub fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/", self.listener.local_addr().unwrap())
    }

    /// Waits until somebody knocks.
    pub fn knock(&self) -> Knock {
        let listener = self.listener.try_clone().unwrap();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(Knock::read(listener.accept().unwrap().0)));
        receiver.recv_timeout(PATIENCE).expect("nobody came to the door")
    }
}

/// A request that waits for its answer.
pub struct Knock {
    stream: TcpStream,
    /// The whole request: its line, its headers and its body.
    pub request: String,
}

impl Knock {
    fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while !is_whole(&bytes) {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            }
        }
        Self { stream, request: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// Answers with 200 and this text.
    pub fn answer(self, text: &str) {
        self.answer_with("200 OK", text);
    }

    /// Answers with a status and this text. Whoever asked may be gone by now.
    pub fn answer_with(mut self, status: &str, text: &str) {
        write!(
            self.stream,
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{text}",
            text.len()
        )
        .ok();
    }
}

/// Whether these bytes are a whole request, its body included.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    body.len() >= length.map_or(0, |length| length.trim().parse().unwrap_or(0))
}

/// The program of `examples/own_functions.rs`.
pub fn own_functions() -> PathBuf {
    example("own_functions")
}

/// The program of an example, built if need be.
pub fn example(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--examples"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        // What cargo tells the tests of this package would have it build others anew.
        for (name, _) in std::env::vars_os() {
            let ours = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_"];
            if ours.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                build.env_remove(name);
            }
        }
        assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
        PathBuf::from(env!("CARGO_BIN_EXE_jobrun")).with_file_name("examples")
    });
    folder.join(name)
}

/// Whether a program that a test needs is there. If not, says so and lets the test pass, unless all
/// are required (`JOBRUN_TEST_REQUIRE=all`).
pub fn require(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| is_program(&dir.join(program)));
    if !found {
        unavailable(&format!("{program} is not installed"));
    }
    found
}

/// Says that a test is skipped because this machine cannot do what it needs, and why, unless all are
/// required.
pub fn unavailable(why: &str) {
    let required = std::env::var_os("JOBRUN_TEST_REQUIRE").is_some_and(|value| value == "all");
    assert!(!required, "required, and not to be had: {why}");
    skipped(why);
}

/// Says that a test is skipped and why.
pub fn skipped(why: &str) {
    say(&format!("skipped: {why}"));
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[expect(
    clippy::print_stdout,
    reason = "a test that is skipped must not look like one that passed"
)]
fn say(line: &str) {
    println!("{line}");
}
