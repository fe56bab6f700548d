//! One slot of a pool of worker processes: takes attempts from the queue, has them done by its
//! worker, and tells the driver. Knows nothing of the other slots but through the queue.
//!
//! While calls are short, several are written into the worker's pipe ahead of time. If the worker
//! then says nothing for a while, those it has not started are taken back and go to whoever is free,
//! so that none waits behind a long one.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::executor::pool::{Attempt, Id};
use crate::executor::process::dispatch::{Bell, Dispatch, Doing, State};
use crate::executor::process::flight::{Flight, Stage, Worker, first, mismatch, recall, word};
use crate::executor::process::peer::{Peer, Ready, wait_for};
use crate::executor::process::spawn::{End, WorkerProgram};
use crate::executor::protocol::{FromWorker, Hello, ProtocolError, ToWorker};
use crate::outcome::{Captured, Failure, FailureKind, Outcome, Stream};
use crate::rundir::RunDir;
use crate::supervise::Capture;
use crate::time::Time;
use crate::value::Value;
use crate::work::{ChildDone, Done, Notice};

/// About so much work is sent ahead, going by how long the last calls took.
const AHEAD: Duration = Duration::from_micros(200);

/// At most so many calls are with a worker at once.
const MAX_WINDOW: usize = 64;

/// A worker that is silent for so long has what it has not started taken back.
const PATIENCE: Duration = Duration::from_millis(2);

/// A worker that has not said hello after this long never will.
const GREETING: Duration = Duration::from_secs(30);

/// So many workers in a row may end before they did anything.
const MAX_FAILED_STARTS: u32 = 3;

/// How the workers of a pool are run.
pub(in crate::executor) struct Rules {
    pub(in crate::executor) program: WorkerProgram,
    pub(in crate::executor) run_id: String,
    /// A worker is replaced after so many calls.
    pub(in crate::executor) max_tasks: Option<u32>,
    /// Where output goes that is too large for memory.
    pub(in crate::executor) files: RunDir,
}

/// One slot.
pub(super) struct Proxy {
    dispatch: Arc<Dispatch>,
    rules: Arc<Rules>,
    slot: usize,
    bell: Arc<Bell>,
    worker: Option<Worker>,
    /// What the worker has, in the order in which it makes the calls.
    flights: VecDeque<Flight>,
    /// The slot's worker number, while it has something.
    number: Option<u32>,
    /// How long calls take, as a moving average; `None` before the first.
    pace: Option<Duration>,
    next_id: u64,
    failed_starts: u32,
    /// Attempts that ended, to be taken off the books.
    finished: Vec<Id>,
    /// Attempts that did not start, to be put back.
    returned: Vec<Flight>,
    /// What the driver will be told once the books are right, in the order it happened.
    notices: Vec<Notice>,
}

impl Proxy {
    pub(super) fn new(
        dispatch: Arc<Dispatch>,
        rules: Arc<Rules>,
        slot: usize,
        bell: Arc<Bell>,
    ) -> Self {
        Self {
            dispatch,
            rules,
            slot,
            bell,
            worker: None,
            flights: VecDeque::new(),
            number: None,
            pace: None,
            next_id: 0,
            failed_starts: 0,
            finished: Vec::new(),
            returned: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Serves until the pool closes or breaks.
    pub(super) fn run(mut self) {
        while let Some(taken) = self.settle() {
            self.send(taken);
            self.obey();
            if self.is_settled() {
                self.wait();
            }
        }
        self.end();
    }

    fn is_settled(&self) -> bool {
        self.finished.is_empty() && self.returned.is_empty() && self.notices.is_empty()
    }

    /// Brings the books up to date, tells the driver, and takes what there is to take; `None` when
    /// it is time to go.
    fn settle(&mut self) -> Option<Vec<Attempt>> {
        let dispatch = Arc::clone(&self.dispatch);
        let mut state = dispatch.lock();
        self.take_orders(&mut state);
        for id in self.finished.drain(..) {
            state.given.remove(&id);
        }
        if state.closing || state.queue.broken().is_some() {
            return None;
        }
        for flight in self.returned.drain(..).rev() {
            let Flight { attempt, stop, .. } = flight;
            state.given.remove(&attempt.id());
            if stop.is_some() {
                let (node, attempt) = (attempt.node, attempt.number);
                self.notices.push(Notice::Recalled { node, attempt });
            } else {
                state.queue.put_back(attempt);
            }
        }
        let taken = self.take(&mut state);
        let idle = taken.is_empty() && self.flights.is_empty();
        state.slots[self.slot].doing = if idle { Doing::Idle } else { Doing::Busy };
        state.wake_idle();
        drop(state);
        // The number is free before the driver hears of it.
        if idle && let Some(number) = self.number.take() {
            dispatch.executor.workers.give_back(number);
        }
        self.notices.drain(..).for_each(|notice| dispatch.executor.tell(notice));
        if self.flights.is_empty()
            && self.tasks_left() == 0
            && let Some(worker) = self.worker.take()
        {
            worker.peer.dismiss();
            // There is a new one for what is waiting.
            return self.settle();
        }
        Some(taken)
    }

    fn take_orders(&mut self, state: &mut State) {
        for (id, how) in state.slots[self.slot].orders.drain(..) {
            let mut flights = self.flights.iter_mut().chain(&mut self.returned);
            if let Some(flight) = flights.find(|flight| flight.attempt.id() == id)
                && !flight.is_unwanted()
            {
                flight.stop = Some(how);
            }
        }
    }

    /// Takes attempts from the queue: as many as the window has room for, but no more than a fair
    /// share, and nothing that somebody idle could do. An exact one is taken alone.
    fn take(&self, state: &mut State) -> Vec<Attempt> {
        let mut taken = Vec::new();
        let window = self.window();
        let room = match self.flights.front() {
            None => window,
            // The window is filled up when it is half empty, which saves half of the writes.
            Some(first) if first.ahead && self.flights.len() * 2 <= window => {
                window - self.flights.len()
            }
            Some(_) => 0,
        };
        state.slots[self.slot].doing = Doing::Busy;
        let free = if self.flights.is_empty() {
            state.queue.len()
        } else {
            let idle = state.slots.iter().filter(|slot| slot.doing == Doing::Idle).count();
            state.unclaimed().saturating_sub(idle)
        };
        let share = free.div_ceil(state.slots.len()).min(room).min(self.tasks_left());
        while taken.len() < share {
            let exact = state.queue.first().is_some_and(|attempt| attempt.exact);
            if exact && !(taken.is_empty() && self.flights.is_empty()) {
                break;
            }
            let Some(attempt) = state.queue.pop() else { break };
            state.given.insert(attempt.id(), self.slot);
            taken.push(attempt);
            if exact {
                break;
            }
        }
        taken
    }

    fn window(&self) -> usize {
        match (self.pace, &self.worker) {
            (Some(pace), Some(worker)) if !worker.chatty => {
                let fitting = AHEAD.as_nanos() / pace.as_nanos().max(1);
                usize::try_from(fitting).unwrap_or(MAX_WINDOW).clamp(1, MAX_WINDOW)
            }
            _ => 1,
        }
    }

    /// How many calls more the worker, or one that is yet to be started, may be given.
    fn tasks_left(&self) -> usize {
        let max = self.rules.max_tasks.unwrap_or(u32::MAX);
        match &self.worker {
            Some(worker) if worker.condemned => 0,
            Some(worker) if self.rules.max_tasks.is_some() => {
                max.saturating_sub(worker.calls) as usize
            }
            _ => max as usize,
        }
    }

    /// Gives attempts to the worker, which is started if there is none.
    fn send(&mut self, taken: Vec<Attempt>) {
        if taken.is_empty() {
            return;
        }
        if self.number.is_none() {
            self.number = Some(self.dispatch.executor.workers.take());
        }
        if self.flights.is_empty()
            && let Some(worker) = &mut self.worker
        {
            worker.heard = Instant::now();
        }
        let window = self.window();
        for attempt in taken {
            let ahead = window > 1 && !attempt.exact;
            self.next_id += 1;
            let flight = Flight {
                attempt,
                id: self.next_id,
                ahead,
                sent: self.dispatch.executor.clock.now(),
                started: None,
                recall_sent: false,
                stop: None,
                errors: Capture::default(),
                wrote: false,
            };
            if let Err(error) = self.start_worker() {
                self.returned.push(flight);
                self.dispatch.break_off(&format!("{} could not be started: {error}", self.name()));
                continue;
            }
            match self.say_call(&flight) {
                Ok(()) => self.flights.push_back(flight),
                Err(error) => {
                    let message = format!("the arguments cannot be sent to a worker: {error}");
                    let failure = Failure::new(FailureKind::Call, message);
                    let (started, ended) = (flight.sent, flight.sent);
                    self.finish(flight, started, ended, Outcome::Failed(failure), None);
                }
            }
        }
        if let Some(worker) = &mut self.worker {
            worker.peer.flush();
        }
    }

    fn start_worker(&mut self) -> Result<(), String> {
        if self.worker.is_some() {
            return Ok(());
        }
        let program = &self.rules.program;
        let mut peer = Peer::start(program)
            .map_err(|error| format!("{}: {error}", program.program.display()))?;
        let executor = &self.dispatch.executor;
        let hello = Hello::new(&self.rules.run_id);
        let say = |message: ProtocolError| message.to_string();
        peer.say(&ToWorker::Hello { hello, dir: executor.dir.to_string_lossy() }).map_err(say)?;
        if let Some(call) = &executor.initializer {
            peer.say(&ToWorker::Initialize(Cow::Borrowed(call))).map_err(say)?;
        }
        self.worker = Some(Worker::new(peer));
        Ok(())
    }

    fn say_call(&mut self, flight: &Flight) -> Result<(), ProtocolError> {
        let Some(worker) = &mut self.worker else { return Ok(()) };
        let attempt = &flight.attempt;
        worker.peer.say(&ToWorker::Call {
            id: flight.id,
            ahead: flight.ahead,
            announce: flight.ahead || attempt.announce,
            future: (self.dispatch.executor.names)(attempt.node).into(),
            attempt: attempt.number,
            worker: self.number.unwrap_or_default(),
            call: Cow::Borrowed(&attempt.call),
        })?;
        worker.calls += 1;
        Ok(())
    }

    /// Whether a flight is being made: the first one, once it has started as far as is known here.
    fn is_running(&self, place: usize) -> bool {
        let serving = self.worker.as_ref().is_some_and(|worker| worker.stage == Stage::Serving);
        let flight = self.flights.get(place);
        serving && place == 0 && flight.is_some_and(|first| !first.ahead || first.started.is_some())
    }

    /// Stops what shall be stopped: what runs with its worker, what has not started by taking it
    /// back. A worker that is not ready yet does not listen, so it goes too.
    fn obey(&mut self) {
        for place in 0..self.flights.len() {
            let running = self.is_running(place);
            let Some(worker) = &mut self.worker else { return };
            let flight = &mut self.flights[place];
            if flight.stop.is_none() || worker.condemned {
                continue;
            }
            let unready = worker.stage != Stage::Serving;
            if (running && flight.is_unwanted()) || (unready && !running) {
                worker.condemned = true;
                worker.peer.kill();
            } else if !running {
                recall(&mut worker.peer, flight);
            }
        }
        if let Some(worker) = &mut self.worker {
            worker.peer.flush();
        }
    }

    /// Waits for the worker or the bell, and does what there is to do.
    fn wait(&mut self) {
        let Some(worker) = &self.worker else { return wait_for(&self.bell) };
        let ready = worker.peer.wait(&self.bell, self.patience(worker));
        self.react(ready);
    }

    fn react(&mut self, ready: Ready) {
        let Some(worker) = &mut self.worker else { return };
        worker.peer.flush();
        if ready.errors {
            self.read_errors();
        }
        if ready.output || ready.end {
            self.listen();
        }
        if ready.end {
            self.read_errors();
            self.bury();
        } else {
            self.lose_patience();
        }
    }

    /// How long to wait for the worker to say something; `None` while it may take its time.
    fn patience(&self, worker: &Worker) -> Option<Duration> {
        let limit = if worker.condemned {
            return None;
        } else if worker.stage == Stage::Greeting {
            GREETING
        } else if worker.stage == Stage::Serving && self.recallable().next().is_some() {
            PATIENCE
        } else {
            return None;
        };
        Some(limit.saturating_sub(worker.heard.elapsed()))
    }

    /// The places of flights that wait behind another.
    fn recallable(&self) -> impl Iterator<Item = usize> {
        (1..self.flights.len()).filter(|&place| !self.flights[place].recall_sent)
    }

    fn lose_patience(&mut self) {
        let Some(worker) = &self.worker else { return };
        if self.patience(worker) != Some(Duration::ZERO) {
            return;
        }
        if worker.stage == Stage::Greeting {
            let why = format!("it said nothing for {} s", GREETING.as_secs());
            self.dispatch.break_off(&format!("{} could not be started: {why}", self.name()));
            return;
        }
        let places: Vec<_> = self.recallable().collect();
        self.pace = None;
        let Some(worker) = &mut self.worker else { return };
        for place in places {
            recall(&mut worker.peer, &mut self.flights[place]);
        }
        worker.peer.flush();
    }

    /// Reads what the worker says and acts on it.
    fn listen(&mut self) {
        let now = self.dispatch.executor.clock.now();
        let Some(worker) = &mut self.worker else { return };
        if worker.peer.read_output() {
            worker.heard = Instant::now();
        }
        loop {
            let Some(worker) = &mut self.worker else { return };
            let result = match worker.peer.next_message() {
                Ok(Some(message)) => self.hear(message, now),
                Ok(None) => return,
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = result {
                return self.distrust(&why);
            }
        }
    }

    /// Acts on one message; what no honest worker says is an error.
    fn hear(&mut self, message: FromWorker, now: Time) -> Result<(), String> {
        let Some(worker) = &mut self.worker else { return Ok(()) };
        match (worker.stage, message) {
            (Stage::Greeting, FromWorker::Hello(hello)) => {
                let expected = Hello::new(&self.rules.run_id);
                if hello != expected {
                    return Err(mismatch(&hello, &expected));
                }
                worker.stage = match self.dispatch.executor.initializer {
                    Some(_) => Stage::Initializing,
                    None => Stage::Serving,
                };
            }
            (Stage::Initializing, FromWorker::Ready(None)) => worker.stage = Stage::Serving,
            (Stage::Initializing, FromWorker::Ready(Some(failure))) => {
                let why = format!("the initializer failed in {}: {}", self.name(), failure.message);
                self.dispatch.break_off(&why);
            }
            (Stage::Serving, FromWorker::Started { id, at }) => {
                let at = worker.time(at, now);
                let number = self.number.unwrap_or_default();
                let flight = first(&mut self.flights, id)?;
                if flight.started.is_some() {
                    return Err(format!("it started call {id} twice"));
                }
                let at = at.max(flight.sent);
                flight.started = Some(at);
                if flight.attempt.announce {
                    let Attempt { node, number: attempt, .. } = flight.attempt;
                    let notice = Notice::Started { node, attempt, worker: number, at };
                    self.notices.push(notice);
                }
            }
            (Stage::Serving, FromWorker::Done { id, started, ended, result }) => {
                first(&mut self.flights, id)?;
                let took = ended.saturating_sub(started);
                let ended = worker.time(ended, now);
                self.hear_done(took, ended, result);
            }
            (Stage::Serving, FromWorker::Recalled { id }) => {
                let place = self.flights.iter().position(|flight| {
                    flight.id == id && flight.recall_sent && flight.started.is_none()
                });
                let flight = place.and_then(|place| self.flights.remove(place));
                self.returned.push(flight.ok_or(format!("it gave call {id} back unasked"))?);
            }
            (_, message) => return Err(format!("it said {} out of turn", word(&message))),
        }
        Ok(())
    }

    /// The end of the first flight, which took so long.
    fn hear_done(&mut self, took: Duration, ended: Time, result: Result<Value, Failure>) {
        // What the call wrote was written before its end was told.
        self.read_errors();
        let Some(flight) = self.flights.pop_front() else { return };
        self.failed_starts = 0;
        self.pace = Some(self.pace.map_or(took, |pace| (pace * 7 + took) / 8));
        let outcome = match result {
            Ok(value) => Outcome::Succeeded(value),
            Err(_) if flight.is_unwanted() => Outcome::Cancelled,
            Err(failure) => Outcome::Failed(failure),
        };
        let ended = ended.max(flight.sent);
        let earliest = flight.started.unwrap_or(flight.sent);
        let started = Time(ended.0.saturating_sub(took.as_nanos() as u64)).max(earliest);
        self.finish(flight, started, ended, outcome, None);
    }

    /// Takes note of the end of an attempt, of which the driver hears once the books are right.
    fn finish(
        &mut self,
        flight: Flight,
        started: Time,
        ended: Time,
        outcome: Outcome,
        end: Option<End>,
    ) {
        let stderr = flight.errors.finish();
        let child = (flight.wrote || end.is_some()).then(|| {
            Box::new(ChildDone {
                exit_code: end.and_then(End::code),
                signal: end.and_then(End::signal),
                stdout: Captured::default(),
                stderr,
            })
        });
        let Attempt { node, number: attempt, .. } = flight.attempt;
        let worker = self.number.unwrap_or_default();
        self.finished.push((node, attempt));
        let done = Done { node, attempt, worker, started, ended, outcome, child };
        self.notices.push(Notice::Ended(done));
    }

    /// Reads standard error, which belongs to the call that runs.
    fn read_errors(&mut self) {
        let Some(worker) = &mut self.worker else { return };
        let bytes = worker.peer.read_errors();
        let Some(flight) = self.flights.front_mut().filter(|_| !bytes.is_empty()) else { return };
        worker.chatty = true;
        flight.wrote = true;
        let Attempt { node, number, live, .. } = flight.attempt;
        let name = || format!("{}-{number}.stderr", (self.dispatch.executor.names)(node));
        if let Err(error) = flight.errors.push(&bytes, || self.rules.files.file(&name())) {
            let warning = format!("the output of {} is not kept as a whole: {error}", name());
            self.notices.push(Notice::Warning(warning));
        }
        if live {
            let (stream, bytes) = (Stream::Stderr, bytes.into());
            self.notices.push(Notice::Output { node, stream, bytes });
        }
    }

    /// Ends a worker that does not keep to the protocol, and the call that it was making.
    fn distrust(&mut self, why: &str) {
        let name = self.name();
        self.read_errors();
        let Some(worker) = self.worker.take() else { return };
        let words = worker.peer.last_words();
        worker.peer.bury();
        if worker.stage != Stage::Serving {
            let why = format!("{name} could not be started: {why}{words}");
            return self.dispatch.break_off(&why);
        }
        self.fail_first(&format!("{name} broke the protocol, and was killed,"), why, &words, None);
    }

    /// Draws the conclusions from a worker's end.
    fn bury(&mut self) {
        let name = self.name();
        let running = self.is_running(0);
        let Some(worker) = self.worker.take() else { return };
        let Worker { peer, stage, condemned, .. } = worker;
        let words = peer.last_words();
        let halfway = if peer.is_halfway() { " in the middle of a message" } else { "" };
        let end = peer.bury();
        if condemned {
            return self.bury_condemned(running, end);
        }
        if running {
            return self.fail_first(&format!("{name} {end}"), halfway, &words, Some(end));
        }
        if stage == Stage::Initializing {
            let why = format!("the initializer failed: {name} {end}{words}");
            return self.dispatch.break_off(&why);
        }
        if self.flights.is_empty() {
            let warning = format!("{name} {end} while it was idle{words}");
            return self.notices.push(Notice::Warning(warning));
        }
        self.failed_starts += 1;
        if self.failed_starts < MAX_FAILED_STARTS {
            self.returned.extend(self.flights.drain(..));
        } else if stage == Stage::Greeting {
            self.dispatch.break_off(&format!("{name} could not be started: it {end}{words}"));
        } else {
            self.failed_starts = 0;
            self.fail_first(&format!("{name} {end}"), " on receiving it", &words, Some(end));
        }
    }

    /// After a worker was killed to stop a call. That call may have ended just before, and the one
    /// behind it be the one that was hit: it is made again, for it is to blame for nothing.
    fn bury_condemned(&mut self, running: bool, end: End) {
        if running && let Some(flight) = self.flights.pop_front_if(|first| first.is_unwanted()) {
            let ended = self.dispatch.executor.clock.now();
            let started = flight.started.unwrap_or(flight.sent);
            self.finish(flight, started, ended, Outcome::Cancelled, Some(end));
        }
        self.returned.extend(self.flights.drain(..));
    }

    /// Fails the call that was running when its worker went, and puts back what was behind it.
    fn fail_first(&mut self, what: &str, more: &str, words: &str, end: Option<End>) {
        let Some(flight) = self.flights.pop_front() else {
            let warning = format!("{what} while it was idle: {more}{words}");
            return self.notices.push(Notice::Warning(warning));
        };
        let ended = self.dispatch.executor.clock.now();
        let started = flight.started.unwrap_or(flight.sent);
        let outcome = if flight.is_unwanted() {
            Outcome::Cancelled
        } else {
            let future = (self.dispatch.executor.names)(flight.attempt.node);
            let separator = if more.is_empty() || more.starts_with(' ') { "" } else { ": " };
            let message = format!("{what} while it ran {future}{separator}{more}{words}");
            Outcome::Failed(Failure::new(FailureKind::WorkerDeath, message))
        };
        self.finish(flight, started, ended, outcome, end);
        self.returned.extend(self.flights.drain(..));
    }

    /// As messages name the worker.
    fn name(&self) -> String {
        let number = self.number.unwrap_or(self.slot as u32 + 1);
        match &self.worker {
            Some(worker) => format!("worker {number} (pid {})", worker.peer.pid()),
            None => format!("worker {number}"),
        }
    }

    /// Ends the worker and, if the executor is broken, what it has.
    fn end(mut self) {
        let why = self.dispatch.lock().queue.broken().cloned();
        if let Some(worker) = self.worker.take() {
            if self.flights.is_empty() && why.is_none() {
                worker.peer.dismiss();
            } else {
                worker.peer.bury();
            }
        }
        let executor = &self.dispatch.executor;
        let number = self.number.take();
        if let Some(number) = number {
            executor.workers.give_back(number);
        }
        self.notices.drain(..).for_each(|notice| executor.tell(notice));
        let Some(why) = why else { return };
        let now = executor.clock.now();
        for flight in self.returned.drain(..).chain(self.flights.drain(..)) {
            let started = flight.started.unwrap_or(now);
            let worker = flight.started.and(number).unwrap_or_default();
            let done = executor.broken(&flight.attempt, &why, worker, started, now);
            executor.tell(Notice::Ended(done));
        }
    }
}
