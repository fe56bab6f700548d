//! What a slot has in its worker: attempts sent, heard of, stopped, lost. Knows nothing of the
//! queue.
//!
//! While calls are short, several are written into the worker's pipe ahead of time. If the worker
//! then says nothing for a while, those it has not started are taken back and go to whoever is free,
//! so that none waits behind a long one.
//!
//! No call is ever made twice unasked. A worker says that it starts a call that was sent ahead
//! before it does, so after its death it is known which one ran: the first, if it said so. Only that
//! one fails; those behind it go back to the queue. Whoever shall be stopped is first made the last
//! one in its worker, so that the kill hits nobody else.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use crate::executor::pool::{Attempt, Executor, Id};
use crate::executor::process::books::Books;
use crate::executor::process::flight::{Flight, Stage, Worker, mismatch, word};
use crate::executor::process::peer::{Peer, Ready};
use crate::executor::process::spawn::{End, WorkerProgram};
use crate::executor::protocol::{FromWorker, Hello, ProtocolError, ToWorker};
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::rundir::RunDir;
use crate::supervise::{OomWatch, is_scarcity};
use crate::sync::Bell;
use crate::time::Time;
use crate::value::Value;
use crate::work::Stop;

/// About so much work is sent ahead, going by how long the last calls took.
const AHEAD: Duration = Duration::from_micros(200);

/// At most so many calls are with a worker at once.
const MAX_WINDOW: usize = 64;

/// A worker that is silent for so long has what it has not started taken back.
const PATIENCE: Duration = Duration::from_millis(2);

/// A worker that does not give back what it has not started is killed with it after this long.
const STUBBORN: Duration = Duration::from_millis(200);

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
    /// Begun when the first worker runs.
    pub(in crate::executor) oom: OnceLock<OomWatch>,
}

/// A slot's worker, if it has one, and what it does.
pub(super) struct Line {
    executor: Executor,
    rules: Arc<Rules>,
    /// The number of the slot, counted from 1: what a worker is called that has no number.
    slot: u32,
    worker: Option<Worker>,
    /// What each worker of the pool holds.
    tally: Weak<()>,
    /// What waits for the worker to be ready.
    waiting: Vec<Attempt>,
    /// What the worker was asked for, in the order in which it makes the calls.
    flights: VecDeque<Flight>,
    /// Whether any of these shall be stopped.
    stopping: bool,
    /// How long calls take, as a moving average; `None` before the first.
    pace: Option<Duration>,
    last_id: u64,
    failed_starts: u32,
    /// How often in a row the system refused a worker, and when to try again.
    refused: (u32, Option<Instant>),
    /// Why it did the last time.
    pub(super) refusal: Option<String>,
    /// What happened.
    pub(super) books: Books,
    /// Why nothing can run here, nor anywhere else in the pool.
    pub(super) fault: Option<String>,
}

impl Line {
    pub(super) fn new(executor: Executor, rules: Arc<Rules>, slot: u32, tally: Weak<()>) -> Self {
        Self {
            executor,
            rules,
            slot,
            worker: None,
            tally,
            waiting: Vec::new(),
            flights: VecDeque::new(),
            stopping: false,
            pace: None,
            last_id: 0,
            failed_starts: 0,
            refused: (0, None),
            refusal: None,
            books: Books::default(),
            fault: None,
        }
    }

    /// Whether it has no attempt.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.flights.is_empty()
    }

    /// Whether there is nothing to tell.
    pub(super) fn is_settled(&self) -> bool {
        self.books.are_empty() && self.fault.is_none() && self.refusal.is_none()
    }

    /// How many attempts may be given to it.
    pub(super) fn room(&self) -> usize {
        let window = self.window();
        let room = match self.flights.front() {
            _ if !self.waiting.is_empty() => 0,
            None => window,
            // The window is filled up when it is half empty, which saves half of the writes. Nothing
            // is put behind what shall be stopped.
            Some(first) if first.ahead && !self.stopping && self.flights.len() * 2 <= window => {
                window - self.flights.len()
            }
            Some(_) => 0,
        };
        room.min(self.tasks_left())
    }

    fn window(&self) -> usize {
        match (self.pace, &self.worker) {
            (Some(pace), Some(worker)) if worker.is_serving() && !worker.chatty => {
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

    /// Lets an idle worker go that may not be given anything more. Gives whether it did.
    pub(super) fn replace_worker(&mut self) -> bool {
        let worker = if self.tasks_left() == 0 { self.worker.take() } else { None };
        worker.map(|worker| worker.peer.dismiss()).is_some()
    }

    /// Gives attempts to the worker, which is started if there is none.
    pub(super) fn send(&mut self, taken: Vec<Attempt>) {
        self.waiting.extend(taken);
        if self.waiting.is_empty() {
            return;
        }
        if self.worker.is_none() && self.pause().is_none_or(|pause| pause.is_zero()) {
            let started = self.start_worker();
            let why = |error: &io::Error| {
                let program = self.rules.program.program.display();
                format!("{} could not be started: {program}: {error}", self.name())
            };
            match started {
                Ok(()) => self.refused = (0, None),
                Err(error) if is_scarcity(&error) => self.refusal = Some(why(&error)),
                Err(error) => self.fault = Some(why(&error)),
            }
        }
        if self.worker.is_some() && self.books.number.is_none() {
            self.books.number = Some(self.executor.workers.take());
        }
        self.say_calls();
    }

    /// How long to wait before a worker is tried again; `None` if none was refused that is wanted.
    pub(super) fn pause(&self) -> Option<Duration> {
        let again = self.refused.1.filter(|_| !self.waiting.is_empty());
        again.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Tries again later what was refused. Gives how often it was.
    pub(super) fn tries_again(&mut self) -> u32 {
        let tries = self.refused.0 + 1;
        self.refused = (tries, Some(Instant::now() + Duration::from_millis(5 << tries)));
        tries
    }

    /// Leaves to others what has not been sent; whether nothing is left then.
    pub(super) fn gives_up_waiting(&mut self) -> bool {
        self.books.returned.append(&mut self.waiting);
        self.is_idle()
    }

    fn start_worker(&mut self) -> io::Result<()> {
        let mut peer = Peer::start(&self.rules.program, &self.executor.headroom)?;
        let hello = Hello::new(&self.rules.run_id);
        let say = |error: ProtocolError| io::Error::other(error);
        let dir = self.executor.dir.to_string_lossy();
        peer.say(&ToWorker::Hello { hello, dir }).map_err(say)?;
        if let Some(call) = &self.executor.initializer {
            peer.say(&ToWorker::Initialize(Cow::Borrowed(call))).map_err(say)?;
        }
        peer.flush();
        self.rules.oom.get_or_init(OomWatch::start);
        self.worker = Some(Worker::new(peer, self.tally.upgrade(), self.executor.clock.now()));
        Ok(())
    }

    /// Asks the worker for what is waiting, once it is ready: before, it could not be taken back.
    fn say_calls(&mut self) {
        let window = self.window();
        let Some(worker) = self.worker.as_mut().filter(|worker| worker.is_serving()) else {
            return;
        };
        let sent = self.executor.clock.now();
        if self.flights.is_empty() {
            worker.heard = sent;
        }
        for attempt in self.waiting.drain(..) {
            let ahead = window > 1 && !attempt.exact;
            self.last_id += 1;
            let said = worker.peer.say(&ToWorker::Call {
                id: self.last_id,
                ahead,
                future: (self.executor.names)(attempt.node).into(),
                attempt: attempt.number,
                worker: self.books.number.unwrap_or_default(),
                call: Cow::Borrowed(&attempt.call),
            });
            let mut flight = Flight::new(attempt, self.last_id, ahead, sent);
            match said {
                Ok(()) => {
                    worker.calls += 1;
                    if !ahead {
                        // It starts at once. To hear that from the worker would cost a round trip.
                        self.books.started(&mut flight, sent);
                    }
                    self.flights.push_back(flight);
                }
                Err(error) => {
                    let message = format!("the arguments cannot be sent to a worker: {error}");
                    let failure = Failure::new(FailureKind::Call, message);
                    self.books.ended(flight, None, sent, Outcome::Failed(failure), None);
                }
            }
        }
        worker.peer.flush();
    }

    /// Takes an order to stop an attempt, if it has it.
    pub(super) fn stop(&mut self, id: Id, how: Stop) {
        if let Some(flight) = self.flights.iter_mut().find(|flight| flight.attempt.id() == id) {
            if !flight.is_unwanted() {
                flight.stop = Some(how);
            }
            self.stopping = true;
        }
        let unsent = self.waiting.extract_if(.., |attempt| attempt.id() == id);
        let unsent = unsent.chain(self.books.returned.extract_if(.., |it| it.id() == id)).next();
        if let Some(attempt) = unsent {
            self.books.recalled(&attempt);
        }
    }

    /// Stops what shall be stopped: what runs with its worker, what has not started by taking it
    /// back.
    pub(super) fn obey(&mut self) {
        if !self.stopping {
            return;
        }
        self.stopping = self.flights.iter().any(|flight| flight.stop.is_some());
        let must_end = self.must_end();
        let running = usize::from(self.is_running());
        let Some(worker) = self.worker.as_mut().filter(|worker| !worker.condemned) else { return };
        if must_end && self.flights.len() == 1 {
            return worker.condemn();
        }
        // Whatever is behind a call that must end would be hit by the kill if it got its turn.
        for flight in self.flights.iter_mut().skip(running) {
            if must_end || flight.stop.is_some() {
                flight.recall(&mut worker.peer);
            }
        }
        worker.peer.flush();
    }

    /// Whether the first flight is being made.
    fn is_running(&self) -> bool {
        self.flights.front().is_some_and(Flight::has_started)
    }

    /// Whether it is being made and shall not be.
    fn must_end(&self) -> bool {
        self.stopping && self.is_running() && self.flights[0].is_unwanted()
    }

    /// Waits for the worker or the bell; gives `None` at once if there is no worker.
    pub(super) fn wait(&self, bell: &Bell) -> Option<Ready> {
        let worker = self.worker.as_ref()?;
        Some(worker.peer.wait(bell, self.patience(worker)))
    }

    /// Does what there is to do.
    pub(super) fn react(&mut self, ready: Ready) {
        let Some(worker) = &mut self.worker else { return };
        worker.peer.flush();
        if ready.output || ready.end {
            self.listen(ready.errors);
        } else if ready.errors {
            self.read_errors();
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
        let limit = match worker.stage {
            _ if worker.condemned => return None,
            Stage::Greeting => GREETING,
            Stage::Serving if self.must_end() => STUBBORN,
            Stage::Serving if self.flights.iter().skip(1).any(|it| !it.recall_sent) => PATIENCE,
            _ => return None,
        };
        Some(limit.saturating_sub(self.executor.clock.now().since(worker.heard)))
    }

    fn lose_patience(&mut self) {
        let must_end = self.must_end();
        let Some(worker) = &self.worker else { return };
        if self.patience(worker) != Some(Duration::ZERO) {
            return;
        }
        let Some(worker) = &mut self.worker else { return };
        if must_end {
            worker.condemn();
        } else if worker.is_serving() {
            self.pace = None;
            self.flights.iter_mut().skip(1).for_each(|flight| flight.recall(&mut worker.peer));
            worker.peer.flush();
        } else {
            let why = format!("it said nothing for {} s", GREETING.as_secs());
            self.fault = Some(format!("{} could not be started: {why}", self.name()));
        }
    }

    /// Reads what the worker says and acts on it; `errors` says whether it wrote to standard error.
    fn listen(&mut self, errors: bool) {
        let now = self.executor.clock.now();
        let Some(worker) = &mut self.worker else { return };
        if worker.peer.read_output() {
            worker.heard = now;
        }
        // What a call wrote was written before its end was told. If several may have ended by now,
        // the later ones may have written since that was looked at.
        if errors || self.flights.front().is_some_and(|first| first.ahead) {
            self.read_errors();
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
                if self.executor.initializer.is_some() {
                    worker.stage = Stage::Initializing;
                } else {
                    worker.stage = Stage::Serving;
                    self.say_calls();
                }
            }
            (Stage::Initializing, FromWorker::Ready(None)) => {
                worker.stage = Stage::Serving;
                self.say_calls();
            }
            (Stage::Initializing, FromWorker::Ready(Some(failure))) => {
                let why = format!("the initializer failed in {}: {}", self.name(), failure.message);
                self.fault = Some(why);
            }
            (Stage::Serving, FromWorker::Started { id, at }) => {
                let at = worker.time(at, now);
                let flight = first(&mut self.flights, id)?;
                if flight.started.is_some() {
                    return Err(format!("it started call {id} twice"));
                }
                let at = at.max(flight.sent);
                flight.started = Some(at);
                self.books.started(flight, at);
            }
            (Stage::Serving, FromWorker::Done { id, started, ended, result }) => {
                if !first(&mut self.flights, id)?.has_started() {
                    return Err(format!("it ended call {id} without a start"));
                }
                let took = ended.saturating_sub(started);
                let ended = worker.time(ended, now);
                self.hear_done(took, ended, result);
            }
            (Stage::Serving, FromWorker::Recalled { id }) => {
                let place = self.flights.iter().position(|flight| {
                    flight.id == id && flight.recall_sent && flight.started.is_none()
                });
                let flight = place.and_then(|place| self.flights.remove(place));
                let flight = flight.ok_or(format!("it gave call {id} back unasked"))?;
                worker.calls -= 1;
                give_back(flight, &mut self.books);
            }
            (_, message) => return Err(format!("it said {} out of turn", word(&message))),
        }
        Ok(())
    }

    /// The end of the first flight, which took so long.
    fn hear_done(&mut self, took: Duration, ended: Time, result: Result<Value, Failure>) {
        let Some(flight) = self.flights.pop_front() else { return };
        self.failed_starts = 0;
        self.pace = Some(self.pace.map_or(took, |pace| (pace * 7 + took) / 8));
        let outcome = match result {
            Ok(value) => Outcome::Succeeded(value),
            Err(_) if flight.is_unwanted() => Outcome::Cancelled,
            Err(failure) => Outcome::Failed(failure),
        };
        self.books.ended(flight, Some(took), ended, outcome, None);
    }

    /// Reads standard error, which belongs to the call that runs.
    fn read_errors(&mut self) {
        let Some(worker) = &mut self.worker else { return };
        let bytes = worker.peer.read_errors();
        let Some(flight) = self.flights.front_mut().filter(|_| !bytes.is_empty()) else { return };
        worker.chatty = true;
        self.books.wrote(flight, bytes, &self.executor, &self.rules.files);
    }

    /// Ends a worker that does not keep to the protocol, and what it has: which calls it has made of
    /// those that were sent ahead is anybody's guess.
    fn distrust(&mut self, why: &str) {
        let name = self.name();
        let Some(worker) = self.worker.take() else { return };
        let words = worker.peer.last_words();
        let serving = worker.is_serving();
        worker.peer.bury();
        if !serving {
            self.fault = Some(format!("{name} could not be started: {why}{words}"));
            return;
        }
        let what = format!("{name} broke the protocol, and was killed,");
        if self.flights.is_empty() {
            self.books.warn(format!("{what} while it was idle: {why}{words}"));
        }
        for flight in mem::take(&mut self.flights) {
            self.fail(flight, &what, &format!(": {why}{words}"), None);
        }
    }

    /// Draws the conclusions from a worker's end.
    fn bury(&mut self) {
        let name = self.name();
        let running = self.is_running();
        let Some(worker) = self.worker.take() else { return };
        let Worker { peer, stage, condemned, .. } = worker;
        let words = peer.last_words();
        let halfway = if peer.is_halfway() { " in the middle of a message" } else { "" };
        let mut end = peer.bury();
        if !condemned && let Some(oom) = self.rules.oom.get() {
            end.ask(oom);
        }
        if running {
            let what = if condemned {
                format!("{name} was killed to stop another call")
            } else {
                format!("{name} {end}")
            };
            self.fail_first(&what, &format!("{halfway}{words}"), end);
        } else if condemned {
            // It had already ended what it was killed for.
        } else if stage == Stage::Initializing {
            self.fault = Some(format!("the initializer failed: {name} {end}{words}"));
        } else if self.is_idle() {
            self.books.warn(format!("{name} {end} while it was idle{words}"));
        } else {
            self.failed_starts += 1;
            if self.failed_starts >= MAX_FAILED_STARTS {
                self.failed_starts = 0;
                if stage == Stage::Greeting {
                    let why = format!("{name} could not be started: it {end}{words}");
                    self.fault = Some(why);
                } else {
                    let what = format!("{name} {end}");
                    self.fail_first(&what, &format!(" on receiving it{words}"), end);
                }
            }
        }
        self.flights.drain(..).for_each(|flight| give_back(flight, &mut self.books));
    }

    fn fail_first(&mut self, what: &str, more: &str, end: End) {
        if let Some(flight) = self.flights.pop_front() {
            self.fail(flight, what, more, Some(end));
        }
    }

    /// Ends a call with its worker.
    fn fail(&mut self, flight: Flight, what: &str, more: &str, end: Option<End>) {
        let outcome = if flight.is_unwanted() {
            Outcome::Cancelled
        } else {
            let future = (self.executor.names)(flight.attempt.node);
            let message = format!("{what} while it ran {future}{more}");
            Outcome::Failed(Failure::new(FailureKind::WorkerDeath, message))
        };
        self.books.ended(flight, None, self.executor.clock.now(), outcome, end);
    }

    /// As messages name the worker.
    fn name(&self) -> String {
        let number = self.books.number.unwrap_or(self.slot);
        match &self.worker {
            Some(worker) => format!("worker {number} (pid {})", worker.peer.pid()),
            None => format!("worker {number}"),
        }
    }

    /// Ends the worker: by itself if it is `gentle` and the worker idle, else by force.
    pub(super) fn hang_up(&mut self, gentle: bool) {
        let idle = self.is_idle();
        let Some(worker) = self.worker.take() else { return };
        if gentle && idle && worker.is_serving() {
            worker.peer.dismiss();
        } else {
            worker.peer.bury();
        }
    }

    /// Everything it has, and since when it runs if it does.
    pub(super) fn give_up(&mut self) -> Vec<(Attempt, Option<Time>)> {
        let flights = self.flights.drain(..).map(|flight| (flight.attempt, flight.started));
        let unsent = self.books.returned.drain(..).chain(self.waiting.drain(..));
        flights.chain(unsent.map(|attempt| (attempt, None))).collect()
    }
}

/// What did not start goes back, unless it shall be stopped.
fn give_back(flight: Flight, books: &mut Books) {
    if flight.stop.is_some() {
        books.recalled(&flight.attempt);
    } else {
        books.returned.push(flight.attempt);
    }
}

/// The first flight, which must be the one of that id.
fn first(flights: &mut VecDeque<Flight>, id: u64) -> Result<&mut Flight, String> {
    match flights.front_mut() {
        Some(flight) if flight.id == id => Ok(flight),
        _ => Err(format!("it spoke of call {id}, which it is not making")),
    }
}
