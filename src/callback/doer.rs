//! Who does callbacks: children by the supervisor, calls and posts on threads of their own. Knows
//! neither events nor the graph.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, bounded, unbounded};
use tracing::Span;

use super::post::{Post, timed_out};
use crate::functions::{Context, Functions, Token, panic_message};
use crate::hosts::Hosts;
use crate::inbox::Sender;
use crate::mask::Masker;
use crate::outcome::Outcome;
use crate::rundir::RunDir;
use crate::supervise::{ChildEnd, ChildEvent, Children, Headroom, How, Patron, Request, Urgency};
use crate::time::{Clock, Time};
use crate::work::{Call, CallbackWork, Command, Notice, ResultKind, Stop};

/// How long a command has to end by itself when it took too long.
const GRACE: Duration = Duration::from_secs(5);

/// Does what callbacks ask for, and tells of the end of each.
pub(super) struct Doer {
    sender: Sender<Notice>,
    functions: Functions,
    dir: PathBuf,
    masker: Masker,
    /// What the system has room for.
    headroom: Arc<Headroom>,
    hosts: Hosts,
    /// Made when there is a first command.
    children: Option<Children>,
    stand_in: Option<Channel<Act>>,
}

/// What a thread is for.
type Act = Box<dyn FnOnce() + Send>;

impl Doer {
    pub(super) fn new(sender: Sender<Notice>, functions: Functions, dir: &Path) -> Self {
        Self {
            sender,
            functions,
            dir: dir.to_owned(),
            masker: Masker::none(),
            headroom: Arc::default(),
            hosts: Hosts::default(),
            children: None,
            stand_in: None,
        }
    }

    /// Starts a thread for what no thread of its own can be had for, which is then done there, one after
    /// the other. By the time it is needed, none could be had. Without it such a callback fails.
    pub(super) fn keep_a_thread(&mut self) {
        let (hand, handed) = unbounded::<Act>();
        let serve = move || handed.into_iter().for_each(|act| act());
        self.stand_in = thread().spawn(serve).is_ok().then_some(hand);
    }

    /// Takes room beside that of the run's other children.
    pub(super) fn beside(&mut self, headroom: &Headroom) {
        self.headroom = Arc::new(headroom.beside());
    }

    /// Covers secrets in files and errors.
    pub(super) fn mask(&mut self, masker: Masker) {
        self.masker = masker;
    }

    /// Posts to these hosts, and no others.
    pub(super) fn allow_hosts(&mut self, hosts: Hosts) {
        self.hosts = hosts;
    }

    /// Starts one; its end is told once.
    ///
    /// # Errors
    /// If it cannot be started; then nothing is told.
    pub(super) fn start(
        &mut self,
        key: u64,
        name: &str,
        work: CallbackWork,
        timeout: Duration,
        span: &Span,
    ) -> Result<(), String> {
        match work {
            // A line needs nobody to do it.
            CallbackWork::Log(_) => self.tell(key, Ok(()), Duration::ZERO),
            CallbackWork::Run(command) => self.run(key, name, command, timeout),
            CallbackWork::Call(call) => return self.call(key, name, call, timeout, span),
            CallbackWork::Post { url, headers, body } => {
                let post = Post { url, headers, body };
                let (hosts, masker) = (self.hosts.clone(), self.masker.clone());
                return self.on_thread(key, span, move || post.send(hosts, timeout, &masker));
            }
        }
        Ok(())
    }

    /// Stops commands, and gives the others up.
    pub(super) fn kill(&self, keys: impl Iterator<Item = u64>) {
        for key in keys {
            if let Some(children) = &self.children {
                children.stop(key, Stop::Kill);
            }
            // For a command this comes before its end, which is then nobody's any more.
            self.tell(key, Err("the run was stopped".to_owned()), Duration::ZERO);
        }
    }

    fn run(&mut self, key: u64, name: &str, mut command: Command, timeout: Duration) {
        // What it prints is of interest only if it fails, and then the end of it alone.
        command.result = ResultKind::None;
        let children = self.children.get_or_insert_with(|| {
            let (sender, masker) = (self.sender.clone(), self.masker.clone());
            let files = RunDir::nowhere().masked(masker.clone());
            Children::new(Clock::start(), files, Arc::new(Sink { sender, masker }))
                .within(Arc::clone(&self.headroom))
        });
        children.start(Request {
            key,
            name: name.to_owned(),
            command,
            timeout: Some(timeout),
            grace: GRACE,
            live: false,
        });
    }

    /// Calls a function. One that does not end in time is given up: its thread goes on, and what it
    /// gives is lost.
    fn call(
        &self,
        key: u64,
        name: &str,
        call: Call,
        timeout: Duration,
        span: &Span,
    ) -> Result<(), String> {
        let function = self.functions.get(&call.function).cloned();
        let function =
            function.ok_or_else(|| format!("there is no function `{}`", call.function))?;
        let context = Context::new(name, self.dir.clone()).within(call.dir);
        let token: Token = context.token().clone();
        let (done, end) = bounded(1);
        let within = span.clone();
        self.spawn(move || {
            let ended = within.in_scope(|| function.call(&context, call.args));
            let _ = done.send(ended.map(drop).map_err(|failure| failure.message));
        })?;
        self.on_thread(key, span, move || match await_end(&end, timeout) {
            Ok(ended) => ended,
            Err(RecvTimeoutError::Timeout) => {
                token.cancel();
                Err(timed_out(timeout))
            }
            Err(RecvTimeoutError::Disconnected) => Err("its thread was lost".to_owned()),
        })
    }

    fn on_thread(
        &self,
        key: u64,
        span: &Span,
        act: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Result<(), String> {
        let (sender, span) = (self.sender.clone(), span.clone());
        self.spawn(move || {
            let clock = Clock::start();
            // A subscriber may panic, and the run waits for this.
            let ended = catch_unwind(AssertUnwindSafe(|| span.in_scope(act)));
            let ended = ended.unwrap_or_else(|payload| {
                Err(format!("its thread panicked: {}", panic_message(payload)))
            });
            sender.send(notice(key, ended, clock.now().since(Time::ZERO)));
        })
    }

    fn spawn(&self, act: impl FnOnce() + Send + 'static) -> Result<(), String> {
        // It is lost with a thread that cannot be started, unless that finds it somewhere else.
        let (hand, handed) = bounded::<Act>(1);
        let _ = hand.send(Box::new(act));
        let take = handed.clone();
        let spawned = thread().spawn(move || take.try_iter().for_each(|act| act()));
        match (spawned, &self.stand_in) {
            (Ok(_), _) => Ok(()),
            (Err(_), Some(stand_in)) => {
                handed.try_iter().for_each(|act| drop(stand_in.send(act)));
                Ok(())
            }
            (Err(error), None) => Err(format!("cannot start a thread: {error}")),
        }
    }

    fn tell(&self, key: u64, ended: Result<(), String>, elapsed: Duration) {
        // Nobody listens once the run has ended.
        self.sender.send(notice(key, ended, elapsed));
    }
}

/// Waits for what comes, no longer than `timeout`, which leaves out the time in which the run is paused.
fn await_end<T>(end: &Receiver<T>, timeout: Duration) -> Result<T, RecvTimeoutError> {
    let (clock, due) = (Clock::start(), Time::ZERO.after(timeout));
    loop {
        let ended = match clock.instant(due) {
            Some(instant) => end.recv_deadline(instant),
            None => end.recv().map_err(RecvTimeoutError::from),
        };
        match ended {
            Err(RecvTimeoutError::Timeout) if clock.now() < due => {}
            ended => return ended,
        }
    }
}

/// Passes on what the supervisor tells.
struct Sink {
    sender: Sender<Notice>,
    masker: Masker,
}

impl Patron for Sink {
    fn tell(&self, key: u64, event: ChildEvent) -> Urgency {
        if let Some(notice) = child_notice(key, event, &self.masker) {
            // Nobody listens once the run has ended.
            self.sender.send(notice);
        }
        Urgency::Now
    }

    fn collapsed(&self) {
        self.sender.send(Notice::Collapsed { thread: "jobrun-children".to_owned() });
    }
}

fn thread() -> thread::Builder {
    thread::Builder::new().name("callback".to_owned())
}

fn notice(key: u64, ended: Result<(), String>, elapsed: Duration) -> Notice {
    Notice::Callback { key, error: ended.err(), elapsed }
}

fn child_notice(key: u64, event: ChildEvent, masker: &Masker) -> Option<Notice> {
    match event {
        ChildEvent::Started { .. } | ChildEvent::Output { .. } => None,
        ChildEvent::Warning(message) => Some(Notice::Warning(message)),
        ChildEvent::Recalled => {
            Some(notice(key, Err("the run was stopped".to_owned()), Duration::ZERO))
        }
        ChildEvent::Ended(end) => {
            let elapsed = end.ended.since(end.started);
            Some(notice(key, child_ended(&end, masker), elapsed))
        }
    }
}

/// An error names the last line that the command wrote to its standard error.
fn child_ended(end: &ChildEnd, masker: &Masker) -> Result<(), String> {
    if let How::TimedOut(limit) = &end.how {
        return Err(timed_out(*limit));
    }
    let failure = match end.outcome() {
        Outcome::Succeeded(_) => return Ok(()),
        Outcome::Cancelled => return Err("the run was stopped".to_owned()),
        Outcome::Failed(failure) | Outcome::TimedOut(failure) => failure.message,
    };
    // Before it is cut: a piece of a secret could not be told.
    let stderr = masker.bytes(&end.child.stderr.kept);
    let stderr = String::from_utf8_lossy(&stderr);
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).map(str::trim);
    let short = |line: &str| line.chars().take(200).collect::<String>();
    Err(last.map_or(failure.clone(), |line| format!("{failure}: {}", short(line))))
}
