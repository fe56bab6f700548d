//! Calls on threads of this process. Knows nothing of the order in which attempts are handed over.
//!
//! A rayon pool lends its threads: each runs one slot loop to the end, so a slot may block without
//! rayon's other work being stuck behind it, and rayon code inside a function stays on its slot.
//! Attempts never enter rayon's own queue: a thread that waits inside `join` steals what is there,
//! and a short future would then end only after the long one that it had stolen.
//!
//! A slot takes several attempts at a time while they are short. Those it has not started can be
//! taken back, and an idle slot helps itself to them, so none ever waits behind a long one.
//! Locks are taken in the order queue, then slot.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use std::{io, mem, thread};

use crate::executor::pool::{Attempt, Executor, Id, Queue, remove};
use crate::functions::{Context, Function, Token};
use crate::inbox::Sender;
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::time::Time;
use crate::work::{Args, Call, Done, Notice, Stop};

/// A slot takes about so much work at a time, going by how long its last calls took.
const CHUNK: Duration = Duration::from_micros(20);

/// A slot takes at most so many attempts at a time.
const MAX_CHUNK: usize = 64;

/// A pool of threads that make calls.
pub(super) struct ThreadPool {
    shared: Arc<Shared>,
    /// Made at the first call: a job that only runs children needs no threads.
    threads: Option<rayon::ThreadPool>,
}

impl ThreadPool {
    pub(super) fn new(executor: Executor) -> Self {
        let slots = (0..executor.max_workers).map(|_| Mutex::default()).collect();
        let (state, work_is_there) = (Mutex::default(), Condvar::new());
        let threads = AtomicUsize::new(executor.max_workers as usize);
        let shared = Shared { executor, state, work_is_there, slots, threads };
        Self { shared: Arc::new(shared), threads: None }
    }

    /// Takes attempts over, which start in this order; leaves the vector empty.
    pub(super) fn submit(&mut self, attempts: &mut Vec<Attempt>) {
        if self.threads.is_none() {
            self.start_threads();
        }
        self.shared.submit(attempts);
    }

    /// Takes an attempt back, or asks it to end.
    pub(super) fn stop(&self, id: Id, how: Stop) {
        self.shared.stop(id, how);
    }

    /// Takes back all that have not started.
    pub(super) fn recall(&self) {
        self.shared.recall();
    }

    fn start_threads(&mut self) {
        let shared = Arc::clone(&self.shared);
        match shared.hire() {
            Ok(threads) => {
                threads.spawn_broadcast(move |thread| shared.serve(thread.index()));
                self.threads = Some(threads);
            }
            Err(why) => shared.break_off(&format!("threads could not be started: {why}")),
        }
    }
}

/// Asks running calls to end, but waits for none: one that never looks must not hold the run up.
impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work_is_there.notify_all();
        for slot in &self.shared.slots {
            if let Some((_, token)) = &lock(slot).running {
                token.cancel();
            }
        }
    }
}

struct Shared {
    executor: Executor,
    state: Mutex<State>,
    work_is_there: Condvar,
    slots: Vec<Mutex<Slot>>,
    /// How many slots have a thread: all, unless the system refused some.
    threads: AtomicUsize,
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// How many slots wait to be woken.
    sleeping: usize,
    closing: bool,
}

/// What others may see of a slot.
#[derive(Default)]
struct Slot {
    /// Taken and not started.
    ahead: VecDeque<Attempt>,
    running: Option<(Id, Token)>,
}

impl Slot {
    /// Marks the next attempt as running and gives it.
    fn next(&mut self, context: &mut Context) -> Option<Attempt> {
        self.running = None;
        let attempt = self.ahead.pop_front()?;
        self.running = Some((attempt.id(), context.renew_token().clone()));
        Some(attempt)
    }
}

/// What a slot loop keeps to itself.
struct Loop {
    index: usize,
    /// Its own way to the driver, where it meets no other slot.
    notices: Sender<Notice>,
    context: Context,
    /// The function called last: the next call is likely to be of the same.
    function: Option<(Arc<str>, Option<Function>)>,
    /// How long calls take, as a moving average; `None` before the first.
    pace: Option<Duration>,
    initialized: bool,
}

impl Loop {
    fn chunk(&self) -> usize {
        match self.pace {
            None => 1,
            Some(pace) => {
                let fitting = CHUNK.as_nanos() / pace.as_nanos().max(1);
                usize::try_from(fitting).unwrap_or(MAX_CHUNK).clamp(1, MAX_CHUNK)
            }
        }
    }
}

impl Shared {
    /// Starts the threads, or some if the system refuses more.
    ///
    /// rayon gives up all if one is refused. So they are started here, and each waits to be told which
    /// of rayon's threads it is.
    fn hire(&self) -> Result<rayon::ThreadPool, String> {
        let (most, mut refusal) = (self.slots.len(), None);
        let wanted = self.executor.headroom.threads(most);
        let mut threads = Vec::with_capacity(wanted);
        while threads.len() < wanted && refusal.is_none() {
            let (appoint, appointed) = mpsc::channel::<rayon::ThreadBuilder>();
            let name = format!("{}-{}", self.executor.name, threads.len() + 1);
            let wait = move || {
                if let Ok(thread) = appointed.recv() {
                    thread.run();
                }
            };
            match thread::Builder::new().name(name).spawn(wait) {
                Ok(_) => threads.push(appoint),
                Err(error) => refusal = Some(error),
            }
        }
        if let Some(error) = refusal {
            if threads.is_empty() {
                return Err(error.to_string());
            }
            // Others need room too: the children, and those who mind them.
            threads.truncate(threads.len().div_ceil(2));
        }
        if threads.len() < most {
            let (name, count) = (&self.executor.name, threads.len());
            self.executor.warn_of_scarcity(|| {
                format!(
                    "the executor `{name}` makes {count} calls at once and not {most}, for the system \
                     has room for few threads"
                )
            });
        }
        self.threads.store(threads.len(), Ordering::Relaxed);
        let notices = self.executor.notices.apart();
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.len())
            .spawn_handler(|thread| {
                let appoint = &threads[thread.index()];
                appoint.send(thread).map_err(|_| io::Error::other("it has ended"))
            })
            // Calls do not let a panic through; a subscriber that is told of them may.
            .panic_handler(move |payload| {
                mem::forget(payload);
                let thread = thread::current().name().unwrap_or_default().to_owned();
                notices.send(Notice::Collapsed { thread });
            })
            .build()
            .map_err(|error| error.to_string())
    }

    fn submit(&self, attempts: &mut Vec<Attempt>) {
        let mut state = self.lock();
        if let Some(why) = state.queue.broken().cloned() {
            drop(state);
            attempts.drain(..).for_each(|attempt| self.executor.refuse(&attempt, &why));
            return;
        }
        state.queue.append(attempts);
        // One is woken; it wakes the next if there is more than it takes, and so on.
        self.wake_one(&state);
    }

    fn stop(&self, id: Id, how: Stop) {
        let mut state = self.lock();
        if let Some(attempt) = state.queue.remove(id) {
            drop(state);
            self.executor.recalled(&attempt);
            return;
        }
        for slot in &self.slots {
            let mut slot = lock(slot);
            if let Some(attempt) = remove(&mut slot.ahead, id) {
                self.executor.recalled(&attempt);
                return;
            }
            match &slot.running {
                Some((running, token)) if *running == id => {
                    if how != Stop::Recall {
                        token.cancel();
                    }
                    return;
                }
                _ => {}
            }
        }
    }

    fn recall(&self) {
        for attempt in self.unstarted(&mut self.lock()) {
            self.executor.recalled(&attempt);
        }
    }

    /// Takes out what no slot has started.
    fn unstarted(&self, state: &mut State) -> Vec<Attempt> {
        let mut unstarted = state.queue.take_all();
        for slot in &self.slots {
            unstarted.extend(lock(slot).ahead.drain(..));
        }
        unstarted
    }

    /// One slot: makes calls until the pool closes.
    fn serve(&self, index: usize) {
        let mut this = Loop {
            index,
            notices: self.executor.notices.apart(),
            context: Context::new("", self.executor.dir.to_path_buf()),
            function: None,
            pace: None,
            initialized: self.executor.initializer.is_none(),
        };
        while let Some(first) = self.wait(&mut this) {
            let worker = self.executor.workers.take();
            let mut started = self.executor.clock.now();
            let mut current = Some(first);
            while let Some(attempt) = current {
                let done = self.run(attempt, worker, started, &mut this);
                // The next one starts where this one ended, which saves a look at the clock.
                started = done.ended;
                current = lock(&self.slots[index]).next(&mut this.context);
                if current.is_none() {
                    self.executor.workers.give_back(worker);
                }
                this.notices.send(Notice::Ended(done));
            }
        }
    }

    /// Waits for attempts, takes some, and gives the first; `None` when the pool closes.
    fn wait(&self, this: &mut Loop) -> Option<Attempt> {
        let mut state = self.lock();
        loop {
            if state.closing || state.queue.broken().is_some() {
                return None;
            }
            if !this.initialized && self.has_work(&state) {
                drop(state);
                self.initialize(this);
                state = self.lock();
                continue;
            }
            let mut slot = lock(&self.slots[this.index]);
            self.take(&mut state, &mut slot, this.chunk());
            if slot.ahead.is_empty() {
                self.steal(this.index, &mut slot);
            }
            if let Some(attempt) = slot.next(&mut this.context) {
                if !state.queue.is_empty() || !slot.ahead.is_empty() {
                    self.wake_one(&state);
                }
                return Some(attempt);
            }
            drop(slot);
            state.sleeping += 1;
            state = self.work_is_there.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeping -= 1;
        }
    }

    fn has_work(&self, state: &State) -> bool {
        !state.queue.is_empty() || self.slots.iter().any(|slot| !lock(slot).ahead.is_empty())
    }

    /// Takes a fair share of the queue, at most `chunk`, and nothing in addition to an exact one.
    fn take(&self, state: &mut State, slot: &mut Slot, chunk: usize) {
        let threads = self.threads.load(Ordering::Relaxed);
        let share = state.queue.len().div_ceil(threads).min(chunk);
        while slot.ahead.len() < share.max(1) {
            let exact = state.queue.first().is_some_and(|attempt| attempt.exact);
            if exact && !slot.ahead.is_empty() {
                return;
            }
            match state.queue.pop() {
                Some(attempt) => slot.ahead.push_back(attempt),
                None => return,
            }
            if exact {
                return;
            }
        }
    }

    /// Takes half of what another slot has ahead. Called under the queue's lock, so nobody looks
    /// while attempts change hands, and no two slots wait for each other's lock.
    fn steal(&self, thief: usize, into: &mut Slot) {
        for other in (0..self.slots.len()).filter(|&other| other != thief) {
            let mut from = lock(&self.slots[other]);
            let keep = from.ahead.len() / 2;
            into.ahead = from.ahead.split_off(keep);
            if !into.ahead.is_empty() {
                return;
            }
        }
    }

    fn run(&self, mut attempt: Attempt, worker: u32, started: Time, this: &mut Loop) -> Done {
        let Attempt { node, number, .. } = attempt;
        if attempt.announce {
            this.notices.send(Notice::Started { node, attempt: number, worker, at: started });
        }
        let dir = attempt.call.dir.take();
        this.context.set(node, &self.executor.names, (number, worker), dir);
        let args = attempt.take_args();
        let result = attempt.span.in_scope(|| self.call(&attempt.call.function, args, this));
        // A subscriber closes the span when its last handle goes; that belongs to the attempt.
        drop(attempt);
        let ended = self.executor.clock.now();
        let took = ended.since(started);
        this.pace = Some(this.pace.map_or(took, |pace| (pace * 7 + took) / 8));
        let outcome = match result {
            Ok(value) => Outcome::Succeeded(value),
            Err(_) if this.context.is_cancelled() => Outcome::Cancelled,
            Err(failure) => Outcome::Failed(failure),
        };
        Done { node, attempt: number, worker, started, ended, outcome, child: None }
    }

    fn call(
        &self,
        name: &Arc<str>,
        args: Args,
        this: &mut Loop,
    ) -> Result<crate::value::Value, Failure> {
        let known = this.function.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, name));
        if !known {
            let function = self.executor.functions.get(name).cloned();
            this.function = Some((Arc::clone(name), function));
        }
        match &this.function {
            Some((_, Some(function))) => function.call(&this.context, args),
            _ => Err(unknown(name)),
        }
    }

    fn initialize(&self, this: &mut Loop) {
        this.initialized = true;
        let Some(Call { function, args, dir }) = &self.executor.initializer else { return };
        let context = Context::new("initializer", self.executor.dir.to_path_buf())
            .on_worker(this.index as u32 + 1)
            .within(dir.clone());
        let result = match self.executor.functions.get(function) {
            Some(initializer) => initializer.call(&context, args.clone()),
            None => Err(unknown(function)),
        };
        if let Err(failure) = result {
            self.break_off(&format!("the initializer failed: {}", failure.message));
        }
    }

    /// Ends everything that has not started; what runs goes on to its end.
    fn break_off(&self, why: &str) {
        let mut state = self.lock();
        if !state.queue.break_off(why) {
            return;
        }
        let unstarted = self.unstarted(&mut state);
        drop(state);
        self.work_is_there.notify_all();
        self.executor.announce_broken(why, &unstarted);
    }

    fn wake_one(&self, state: &State) {
        if state.sleeping > 0 {
            self.work_is_there.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// No lock is held while a function runs, so a panic never leaves one half way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unknown(function: &str) -> Failure {
    Failure::new(FailureKind::Call, format!("no function is called `{function}`"))
}
