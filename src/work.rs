//! One attempt, ready to run, and what comes back of it. Plain data that could travel to another
//! machine; knows neither who makes it nor who runs it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::id::{ExecutorId, NodeId};
use crate::outcome::{Captured, Outcome, Stream};
use crate::time::Time;
use crate::value::Value;

/// What an attempt does, with every template rendered.
#[derive(Clone, Debug)]
pub enum Work {
    /// Call a registered function.
    Call(Call),
    /// Run a child process.
    Run(Box<Command>),
}

/// A call of a registered function.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The name under which the function is registered.
    pub function: Arc<str>,
    /// What it is given.
    pub args: Args,
    /// The folder that relative paths start from, if it is not the job's.
    pub dir: Option<Arc<Path>>,
}

/// Arguments by position. One alone, as every member of a `map` has by default, takes no memory of its
/// own.
pub type Values = SmallVec<[Value; 1]>;

/// The arguments of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Args {
    /// By position.
    List(Values),
    /// By name.
    Named(Vec<(String, Value)>),
}

/// A child process to run to its end.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program: a path, or a bare name to be looked up in `PATH`.
    pub program: OsString,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
    /// Variables set on top of the inherited environment; the last of equal names wins.
    pub env: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub cwd: PathBuf,
    /// What it reads; nothing if `None`.
    pub stdin: Option<Vec<u8>>,
    /// The exit codes that are a success.
    pub ok_exit: Arc<[i32]>,
    /// What becomes of its standard output.
    pub result: ResultKind,
    /// What becomes of the processes that it leaves.
    pub leak: Leak,
    /// What it is held to; nothing if `None`.
    pub limits: Option<Arc<Limits>>,
}

/// What a child is held to, and all that it starts: nothing that is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// So many bytes of memory.
    pub memory: Option<u64>,
    /// So much time of processors.
    pub cpu_time: Option<Duration>,
    /// So many open files.
    pub open_files: Option<u32>,
    /// So many processes and threads at once.
    pub processes: Option<u32>,
    /// No file that it writes gets larger than so many bytes.
    pub file_size: Option<u64>,
    /// So much is added to its niceness.
    pub nice: i32,
}

/// What a child leaves as its future's result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResultKind {
    /// Standard output without its last newline; null where it is too long to be kept. What a task
    /// gets that does not say.
    #[default]
    Auto,
    /// Standard output without its last newline.
    Text,
    /// The lines of standard output.
    Lines,
    /// Standard output read as one JSON document.
    Json,
    /// Nothing.
    None,
}

/// What becomes of the processes that a child has started and that have not ended when it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leak {
    /// They live on until the run ends, and that is told if they hold the child's output open.
    #[default]
    Warn,
    /// They are killed, and the child has failed if they held its output open.
    Fail,
    /// They are killed.
    Kill,
}

/// What a callback does, with every template rendered.
#[derive(Clone, Debug)]
pub enum CallbackWork {
    /// Writes this line to the log.
    Log(String),
    /// Runs a child process.
    Run(Command),
    /// Calls a registered function.
    Call(Call),
    /// Sends an HTTP POST.
    Post {
        /// Where to.
        url: String,
        /// Headers, in the order declared; `content-type` is among them.
        headers: Vec<(String, String)>,
        /// What is sent.
        body: Vec<u8>,
    },
}

/// An attempt handed to a backend.
#[derive(Clone, Debug)]
pub struct Start {
    /// The future.
    pub node: NodeId,
    /// Counts from 1.
    pub attempt: u32,
    /// Where it runs.
    pub executor: ExecutorId,
    /// What it does.
    pub work: Work,
    /// How long it may run. Children are timed by who supervises them, calls by the driver.
    pub timeout: Option<Duration>,
    /// How long it has to end by itself once it is stopped.
    pub grace: Duration,
    /// Whether a [`Notice::Started`] is wanted; without it the times in [`Done`] must do.
    pub announce: bool,
    /// Whether output is wanted as it comes, as [`Notice::Output`].
    pub live: bool,
    /// The span of the attempt; a call runs inside it.
    pub span: tracing::Span,
}

/// How hard to stop an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Take it back if it has not started; else let it run.
    Recall,
    /// Take it back or make it end: a call is asked, a child gets SIGTERM and after its grace
    /// SIGKILL, a worker process is killed.
    Stop,
    /// As `Stop`, without grace.
    Kill,
}

/// What a backend tells the driver. For every [`Start`] there is exactly one `Ended` or `Recalled`.
#[derive(Debug)]
pub enum Notice {
    /// An attempt began to run.
    Started {
        /// The future.
        node: NodeId,
        /// Its attempt.
        attempt: u32,
        /// The worker, counted from 1 within its executor; no two that run at once share one.
        worker: u32,
        /// When.
        at: Time,
    },
    /// A running attempt wrote something.
    Output {
        /// The future.
        node: NodeId,
        /// Where it wrote.
        stream: Stream,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// An attempt ended and its worker is free.
    Ended(Done),
    /// An attempt was taken back before it started.
    Recalled {
        /// The future.
        node: NodeId,
        /// Its attempt.
        attempt: u32,
    },
    /// One more attempt may start on an executor that is guarded.
    Permit {
        /// The executor.
        executor: ExecutorId,
    },
    /// A jobserver may have a token. It is meant for the backend that has sent it to itself; nobody else
    /// hears of it.
    Token {
        /// Which of the backend's jobservers.
        jobserver: usize,
    },
    /// The system has room for no child though none runs. It is meant for the backend, as the one before.
    Cramped,
    /// An executor can run nothing any more. What was handed to it still ends, one by one.
    Broken {
        /// The executor.
        executor: ExecutorId,
        /// Why, for people.
        message: String,
    },
    /// A thread of jobrun's own has panicked, which is a bug: what it had to tell will never come.
    Collapsed {
        /// Its name.
        thread: String,
    },
    /// Something went wrong that does not stop the run.
    Warning(String),
    /// The run was paused, with all that it has started, and goes on.
    GoesOn,
    /// Another run of the job has ended, and this one may begin.
    Turn,
    /// The process was sent a signal that asks it to stop.
    Signal(i32),
    /// A callback ended.
    Callback {
        /// The key it was started under.
        key: u64,
        /// Why it failed, if it did.
        error: Option<String>,
        /// How long it took.
        elapsed: Duration,
    },
}

/// The end of an attempt.
#[derive(Debug)]
pub struct Done {
    /// The future.
    pub node: NodeId,
    /// Its attempt.
    pub attempt: u32,
    /// The worker that ran it, counted from 1; 0 if it never got one.
    pub worker: u32,
    /// When it started.
    pub started: Time,
    /// When it ended.
    pub ended: Time,
    /// How it ended.
    pub outcome: Outcome,
    /// What is known of a child beyond that; `None` for a call that wrote nothing.
    pub child: Option<Box<ChildDone>>,
}

/// What only an attempt that ran in a child process has.
#[derive(Clone, Debug, Default)]
pub struct ChildDone {
    /// The exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// Whether something that it had started held its output open after its end.
    pub leaked: bool,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error.
    pub stderr: Captured,
}
