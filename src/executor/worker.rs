//! The other end of the process executor: what a worker process does. Knows nothing of the runner
//! but the protocol.
//!
//! Calls are made on the main thread. While the runner sends one call at a time, the main thread
//! reads the next itself, which saves waking another thread for each. A call that others may follow
//! while it runs puts the *listener* on duty: a thread that reads in the meantime, so that a call
//! behind a long one can still be taken back. Where the system refuses that thread, the main thread
//! reads all, between the calls.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::executor::protocol::{Decoder, FromWorker, Hello, Message, ToWorker, VERSION};
use crate::functions::{Context, Functions};
use crate::outcome::{Failure, FailureKind};
use crate::value::Value;
use crate::work::Call;

/// The one argument that makes a program a worker.
pub const ARGUMENT: &str = "--jobrun-worker";

/// Serves calls if this process was started as a worker, and gives the exit code that it must then
/// end with; `None` if this is no worker.
///
/// A program that offers functions of its own calls this first in its `main`, before it starts a
/// thread or reads standard input.
pub fn serve_if_asked(functions: &Functions) -> Option<u8> {
    let mut arguments = std::env::args_os().skip(1);
    let asked = arguments.next().as_deref() == Some(OsStr::new(ARGUMENT));
    (asked && arguments.next().is_none()).then(|| match serve(functions) {
        Ok(()) => 0,
        Err(error) => {
            // The runner passes on the last words of a worker. If nobody hears them, so be it.
            let _ = writeln!(std::io::stderr(), "a worker process cannot work: {error}");
            4
        }
    })
}

/// Serves until the runner closes the stream.
fn serve(functions: &Functions) -> std::io::Result<()> {
    let (input, output) = claim_streams()?;
    trace_to_stderr();
    let desk = Arc::new(Desk {
        state: Mutex::new(State { alone: true, ..State::default() }),
        changed: Condvar::new(),
        input: Mutex::new(Input {
            stream: input,
            decoder: Decoder::default(),
            buffer: vec![0; 16 << 10].into(),
        }),
        output: Mutex::new(output),
    });
    let listener = Arc::clone(&desk);
    let thread = std::thread::Builder::new().name("listener".into());
    desk.lock().alone = thread.spawn(move || listener.listen()).is_err();
    desk.work(functions)
}

/// Takes standard input and output for the protocol. What a function reads is empty after that, and
/// what it prints goes to standard error: it cannot disturb the conversation.
fn claim_streams() -> std::io::Result<(File, File)> {
    let input = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let output = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok((input.into(), output.into()))
}

/// Spans and events inside functions are written to standard error if `RUST_LOG` asks for them.
fn trace_to_stderr() {
    if std::env::var_os("RUST_LOG").is_some() {
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .with_ansi(false);
        // It fails where the program has installed one of its own, which then stays.
        let _ = subscriber.try_init();
    }
}

/// Where the two threads of a worker meet. Locks are taken in the order input, state, output.
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
    /// Held by whoever reads.
    input: Mutex<Input>,
    output: Mutex<File>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Task>,
    /// Whether there is no listener.
    alone: bool,
    /// Whether the listener is the one who reads.
    listening: bool,
    closed: bool,
}

struct Input {
    stream: File,
    decoder: Decoder,
    buffer: Box<[u8]>,
}

/// Something to do, in the order it was asked for.
enum Task {
    Greet { hello: Hello, dir: String },
    Initialize(Call),
    Call(Asked),
}

struct Asked {
    id: u64,
    ahead: bool,
    future: String,
    attempt: u32,
    worker: u32,
    call: Call,
}

impl Desk {
    /// The main thread: does what it is asked for, and tells.
    fn work(&self, functions: &Functions) -> std::io::Result<()> {
        let origin = Instant::now();
        let mut context = Context::new("", "");
        let mut out = Vec::new();
        loop {
            // What is to be said of the last call goes out together with the start of the next.
            let at_hand = self.next_at_hand();
            if at_hand.is_none() {
                self.send(&mut out)?;
            }
            let Some(task) = at_hand.or_else(|| self.next()) else { return Ok(()) };
            match task {
                Task::Greet { hello, dir } => {
                    say(&FromWorker::Hello(Hello::new(&hello.run_id)), &mut out);
                    if hello.protocol != VERSION {
                        return self.send(&mut out);
                    }
                    context = Context::new("", dir);
                }
                Task::Initialize(call) => {
                    self.send(&mut out)?;
                    let context = context.clone().for_future("initializer");
                    say(&FromWorker::Ready(make(functions, &context, call).err()), &mut out);
                }
                Task::Call(asked) => {
                    let Asked { id, ahead, future, attempt, worker, call } = asked;
                    let started = origin.elapsed();
                    if ahead {
                        say(&FromWorker::Started { id, at: started }, &mut out);
                    }
                    self.send(&mut out)?;
                    let context =
                        context.clone().for_future(&future).for_attempt(attempt).on_worker(worker);
                    let result = make(functions, &context, call);
                    say_done(id, started, origin.elapsed(), result, &mut out);
                }
            }
        }
    }

    /// The other thread: reads while it is on duty.
    fn listen(&self) {
        let mut state = self.lock();
        loop {
            while !state.listening && !state.closed {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.closed {
                return;
            }
            drop(state);
            self.read();
            state = self.lock();
            // Once a call comes that none will follow, the main thread can read for itself.
            if let Some(Task::Call(Asked { ahead: false, .. })) = state.waiting.back() {
                state.listening = false;
            }
            self.changed.notify_all();
        }
    }

    /// The next thing to do if it is there already.
    fn next_at_hand(&self) -> Option<Task> {
        let mut state = self.lock();
        let task = state.waiting.pop_front()?;
        if let Task::Call(Asked { ahead: true, .. }) = task
            && !state.listening
            && !state.alone
        {
            state.listening = true;
            self.changed.notify_all();
        }
        Some(task)
    }

    /// The next thing to do, as soon as it comes; `None` at the end of the stream.
    fn next(&self) -> Option<Task> {
        loop {
            if let Some(task) = self.next_at_hand() {
                return Some(task);
            }
            let state = self.lock();
            if !state.waiting.is_empty() {
                continue;
            }
            if state.closed {
                return None;
            }
            if state.listening {
                drop(self.changed.wait(state));
            } else {
                drop(state);
                self.read();
            }
        }
    }

    /// Waits for bytes and takes note of what they say.
    fn read(&self) {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let Input { stream, decoder, buffer } = &mut *input;
        let read = loop {
            match stream.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other.unwrap_or(0),
            }
        };
        decoder.feed(&buffer[..read]);
        let mut state = self.lock();
        // The runner is gone, or speaks another language: either way there is nobody to serve.
        state.closed = read == 0
            || loop {
                match decoder.next_message() {
                    Ok(Some(message)) => self.note(&mut state, message),
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
    }

    fn note(&self, state: &mut State, message: ToWorker<'_>) {
        state.waiting.push_back(match message {
            ToWorker::Hello { hello, dir } => Task::Greet { hello, dir: dir.into_owned() },
            ToWorker::Initialize(call) => Task::Initialize(call.into_owned()),
            ToWorker::Call { id, ahead, future, attempt, worker, call } => {
                let (future, call) = (future.into_owned(), call.into_owned());
                Task::Call(Asked { id, ahead, future, attempt, worker, call })
            }
            ToWorker::Recall { id } => {
                let place = state
                    .waiting
                    .iter()
                    .position(|task| matches!(task, Task::Call(asked) if asked.id == id));
                // What has started is not taken back, and the runner learns that from its end.
                if let Some(place) = place {
                    state.waiting.remove(place);
                    // Said before the lock goes, and so before the start of any call behind it.
                    let mut out = Vec::new();
                    say(&FromWorker::Recalled { id }, &mut out);
                    let _ = self.send(&mut out);
                }
                return;
            }
        });
    }

    fn send(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        if !out.is_empty() {
            let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
            output.write_all(out)?;
            out.clear();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(functions: &Functions, context: &Context, call: Call) -> Result<Value, Failure> {
    match functions.get(&call.function) {
        Some(function) => function.call(&context.clone().within(call.dir), call.args),
        None => Err(Failure::new(
            FailureKind::Call,
            format!("no function is called `{}` in the worker's program", call.function),
        )),
    }
}

/// Tells of a call's end. A result that cannot be sent fails its own call and nothing else.
fn say_done(
    id: u64,
    started: Duration,
    ended: Duration,
    result: Result<Value, Failure>,
    out: &mut Vec<u8>,
) {
    let done = FromWorker::Done { id, started, ended, result };
    if let Err(error) = done.encode(out) {
        let failure =
            Failure::new(FailureKind::Result, format!("the result cannot be sent: {error}"));
        say(&FromWorker::Done { id, started, ended, result: Err(failure) }, out);
    }
}

/// Messages without a value of the user's always fit a frame, unless a failure's text is beyond all
/// bounds; then nothing is said, and the runner takes the worker for broken.
fn say(message: &FromWorker, out: &mut Vec<u8>) {
    let _ = message.encode(out);
}
