//! The driver's loop: feeds notices to the schedule, carries its actions out, writes the ledger,
//! sends events.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::mem;
use std::time::Duration;

use crate::bind::{self, Binder};
use crate::callback::{Callbacks, Step};
use crate::event::{Event, Stamped};
use crate::executor::Backend;
use crate::graph::ExecutorKind;
use crate::id::{ExecutorId, NodeId, ResourceId, TaskId};
use crate::job::Job;
use crate::ledger::{Attempt, CallbackRecord, JobReturn, Ledger};
use crate::outcome::{Captured, Cause, Failure, FailureKind, Outcome, State};
use crate::report::spans::Spans;
use crate::run::audience::Audience;
use crate::run::cover::Cover;
use crate::run::pace::{Change, Pace};
use crate::run::remarks::{self, Remark};
use crate::run::{Facts, leftovers};
use crate::schedule::{Action, Answer, End, Options, Schedule};
use crate::shape::{self, RunView};
use crate::time::Time;
use crate::value::Value;
use crate::work::{Done, Notice, Start, Stop};

/// What stays in memory of an output once its observers have seen it, in bytes: what is shown of it, and the
/// rest of a character before that.
const TAIL: usize = shape::TAIL + 3;

/// What becomes of a call that has not ended when it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Overdue {
    /// It ran longer than it may.
    TimesOut,
    /// It was asked to end and has not.
    IsGivenUp,
}

/// Runs one job in the world that its backend is.
pub struct Driver<'a, B> {
    job: &'a Job,
    facts: &'a Facts,
    backend: B,
    schedule: Schedule<'a>,
    ledger: Ledger,
    audience: Audience<'a>,
    callbacks: Callbacks<'a>,
    binder: Binder<'a>,
    cover: Cover,
    spans: Spans<'a>,
    /// When calls must have ended, and what becomes of them if they have not.
    deadlines: BinaryHeap<Reverse<(Time, NodeId, u32, Overdue)>>,
    /// Attempts whose future has ended, while their worker is still busy with them.
    abandoned: HashSet<(NodeId, u32)>,
    /// How short the futures of each executor are.
    paces: Vec<Pace>,
    /// Why each executor can run nothing any more.
    broken: Vec<Option<String>>,
    /// Whether any observer wants output as it comes.
    live: bool,
    /// When the driver last heard something. All that follows from it happens at that moment.
    now: Time,
    /// Whether somebody asked twice for the run to end.
    hurried: bool,
    seq: u64,
}

impl<'a, B: Backend> Driver<'a, B> {
    /// A driver that has not begun.
    pub fn new(
        job: &'a Job,
        facts: &'a Facts,
        backend: B,
        audience: Audience<'a>,
        callbacks: Callbacks<'a>,
    ) -> Self {
        let spans = Spans::new(job, &facts.run_id, facts.traceparent.as_deref(), &facts.masker);
        let callbacks = callbacks.within(spans.job().clone(), spans.trace().clone());
        let options = Options { seed: facts.seed(), ahead: 0 };
        let mut schedule = Schedule::new(&job.graph, options);
        let executors = (0..job.graph.executors().len() as u32).map(ExecutorId);
        for executor in executors.filter(|id| backend.is_guarded(*id)) {
            schedule.guard(executor);
        }
        Self {
            job,
            facts,
            backend,
            schedule,
            ledger: Ledger::new(&job.graph),
            live: audience.wants_output(),
            audience,
            callbacks,
            binder: Binder::new(job, &facts.run_id, facts.started_at),
            cover: Cover::new(facts.masker.clone()),
            spans,
            deadlines: BinaryHeap::new(),
            abandoned: HashSet::new(),
            paces: job.graph.executors().iter().map(|it| Pace::new(it.max_workers)).collect(),
            broken: vec![None; job.graph.executors().len()],
            now: Time::ZERO,
            hurried: false,
            seq: 0,
        }
    }

    /// Runs the job until every future and every callback has ended. It starts with these warnings.
    pub fn run(mut self, warnings: impl Iterator<Item = String>) -> Ledger {
        self.now = self.backend.now();
        self.ledger.containment = self.backend.containment();
        self.emit(Event::JobStarted);
        warnings.for_each(|message| self.emit(Event::Warning { message }));
        self.schedule.start(self.now);
        self.work_off();
        self.ledger.finished = self.backend.now();
        self.ledger.paused = self.backend.paused();
        self.callbacks.job_ended(&view(self.job, self.facts, &self.ledger));
        self.work_off();
        self.now = self.backend.now();
        self.ledger.finished = self.now;
        self.ledger.paused = self.backend.paused();
        for (place, peak) in self.ledger.peak_running.iter_mut().enumerate() {
            *peak = self.backend.peak_running(ExecutorId(place as u32));
        }
        self.end_leftovers();
        self.emit(Event::JobFinished);
        self.spans.job_finished(&self.ledger);
        self.ledger
    }

    /// Before the reports are written, so that they can tell of it.
    fn end_leftovers(&mut self) {
        let remains = self.backend.close();
        if remains.is_empty() {
            return;
        }
        self.ledger.left_behind = leftovers::list(&remains, &self.facts.masker);
        // All may have ended meanwhile.
        if !self.ledger.left_behind.is_empty() {
            let message = leftovers::warning(&self.ledger.left_behind);
            self.emit(Event::Warning { message });
            leftovers::end(&remains, &mut self.backend, self.hurried);
            self.now = self.backend.now();
            self.ledger.finished = self.now;
        }
    }

    /// The loop: until the schedule is finished and no callback is left.
    fn work_off(&mut self) {
        loop {
            while let Some(action) = self.schedule.next_action() {
                self.act(action);
            }
            self.start_callbacks();
            if self.schedule.is_finished() && self.callbacks.is_idle() {
                return;
            }
            let notice = self.backend.next(self.next_deadline());
            self.now = self.backend.now();
            match notice {
                Some(notice) if self.is_late(&notice) => {}
                Some(notice) => {
                    let notice = self.cover.notice(notice);
                    self.notice(notice);
                }
                None => self.tick(),
            }
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        let call = self.deadlines.peek().map(|Reverse((at, ..))| *at);
        [self.schedule.next_deadline(), call].into_iter().flatten().min()
    }

    /// Something's time has come.
    fn tick(&mut self) {
        let now = self.now;
        let mut any_call = false;
        while let Some(Reverse((at, node, attempt, what))) = self.deadlines.peek().copied() {
            if at > now {
                break;
            }
            self.deadlines.pop();
            match what {
                Overdue::TimesOut => self.overran(now, node, attempt),
                Overdue::IsGivenUp => self.give_up(now, node, attempt),
            }
            any_call = true;
        }
        // What a call's timeout makes ready starts before a wait that times out now returns.
        if !any_call {
            self.schedule.tick(now);
        }
    }

    /// What the schedule has decided.
    fn act(&mut self, action: Action) {
        match action {
            Action::Start { node, attempt, ready, units, ahead } => {
                self.start(node, attempt, ready, &units, ahead);
            }
            Action::Question { node } => self.ask(node),
            Action::Expand { task } => self.expand(task),
            Action::Stop { node, attempt, how } => self.stop(node, attempt, how),
            Action::Ask { executor } => {
                if self.backend.ask(executor) {
                    self.schedule.permit(self.now, executor);
                }
            }
            Action::Forgo { executor } => self.backend.forgo(executor),
            Action::GiveBack { executor } => self.backend.give_back(executor),
            Action::Settle { node, state, cause } => self.settle(node, state, cause),
            Action::Retry { node, attempt, at } => self.retry(node, attempt, at),
            Action::GroupReturned { task, how } => {
                self.ledger.group_returned(&self.job.graph, task, how);
                self.emit(Event::GroupReturned { task });
            }
            Action::JobReturned { how } => {
                let completed = self.ledger.completion.len();
                self.ledger.returned = Some(JobReturn { how, completed });
                self.emit(Event::JobReturned);
            }
        }
    }

    fn start(
        &mut self,
        node: NodeId,
        attempt: u32,
        ready: Time,
        units: &[(ResourceId, Vec<u32>)],
        ahead: bool,
    ) {
        let task = self.job.graph.task(self.job.graph.task_of(node));
        let record = self.ledger.record_mut(node);
        record.attempts = attempt;
        if attempt == 1 {
            record.ready = ready;
        }
        // Only a child can be told.
        let traceparent =
            if self.is_call(node) { String::new() } else { self.spans.traceparent(node, attempt) };
        let attempt_of = bind::Attempt { node, attempt, units, traceparent: &traceparent };
        let bound = self.binder.bind(&attempt_of, &self.ledger);
        match bound {
            Ok(work) => {
                let span = self.spans.attempt(node, attempt);
                self.backend.start(Start {
                    node,
                    attempt,
                    executor: task.executor,
                    work,
                    timeout: task.timeout,
                    grace: task.grace,
                    announce: !ahead,
                    live: self.live,
                    span,
                });
            }
            Err(failure) => {
                let failure = self.cover.failure(failure);
                let now = self.now;
                self.ended(Done {
                    node,
                    attempt,
                    worker: 0,
                    started: now,
                    ended: now,
                    outcome: Outcome::Failed(failure),
                    child: None,
                });
            }
        }
    }

    /// Finds out whether the condition of a future holds.
    fn ask(&mut self, node: NodeId) {
        let answer = match self.binder.condition(node, &self.ledger) {
            Ok(true) => Answer::Yes,
            Ok(false) => Answer::No,
            Err(failure) => {
                self.never_ran(node, failure);
                Answer::Unclear
            }
        };
        self.schedule.answered(self.now, node, answer);
    }

    /// Finds out the members of an open group. If that fails, it has one, which failed for that reason.
    fn expand(&mut self, task: TaskId) {
        let items = self.binder.expand(task, &self.ledger);
        let grown = items.and_then(|items| {
            self.job
                .grow(task, items)
                .map_err(|error| Failure::new(FailureKind::Template, format!("map: {error}")))
        });
        match grown {
            Ok(()) => {
                self.grew(task);
                self.schedule.expanded(self.now, task);
            }
            Err(failure) => {
                if self.job.grow(task, vec![Value::Null]).is_ok() {
                    self.grew(task);
                    self.never_ran(NodeId(self.job.graph.members(task).start), failure);
                }
                self.schedule.not_expanded(self.now, task);
            }
        }
    }

    fn grew(&mut self, task: TaskId) {
        self.ledger.grow(&self.job.graph);
        self.emit(Event::Expanded { task });
    }

    /// A future fails that has not started.
    fn never_ran(&mut self, node: NodeId, failure: Failure) {
        let now = self.now;
        let failure = self.cover.failure(failure);
        let record = self.ledger.record_mut(node);
        (record.ready, record.started, record.ended) = (now, now, now);
        record.detail_mut().failure = Some(failure);
    }

    /// Stops an attempt. A function on a thread can only be asked to end; it is given its grace.
    fn stop(&mut self, node: NodeId, attempt: u32, how: Stop) {
        let task = self.job.graph.task(self.job.graph.task_of(node));
        let on_thread = self.job.graph.executor(task.executor).kind == ExecutorKind::Thread;
        if how != Stop::Recall && on_thread && self.is_call(node) {
            let grace = if how == Stop::Kill { Duration::ZERO } else { task.grace };
            let due = self.now.after(grace);
            self.deadlines.push(Reverse((due, node, attempt, Overdue::IsGivenUp)));
        }
        self.backend.stop(node, attempt, how);
    }

    /// Whether a future calls a function, rather than running a child.
    fn is_call(&self, node: NodeId) -> bool {
        self.job.graph.task(self.job.graph.task_of(node)).call
    }

    /// The only place where a future's final state is written.
    fn settle(&mut self, node: NodeId, state: State, cause: Option<Cause>) {
        let executor = self.job.graph.task(self.job.graph.task_of(node)).executor;
        let record = self.ledger.record_mut(node);
        record.state = state;
        if let Some(cause) = cause {
            record.detail_mut().cause = Some(cause);
        }
        if state == State::Failed && record.failure().is_none() {
            // It was never told why itself: its executor broke before it started.
            let why = self.broken[executor.index()].as_deref().unwrap_or("the executor is broken");
            record.detail_mut().failure = Some(Failure::new(FailureKind::BrokenExecutor, why));
        } else if !state.is_failure()
            && let Some(detail) = &mut record.detail
        {
            // It may have failed just when it was cancelled, which is why it ended so.
            detail.failure = None;
        }
        self.ledger.completion.push(node);
        self.spans.settled(node, state);
        self.cover.rest(node).into_iter().for_each(|rest| self.emit(rest));
        self.emit(Event::Finished { node });
        if let Some(detail) = &mut self.ledger.record_mut(node).detail {
            keep_tail(&mut detail.stdout);
            keep_tail(&mut detail.stderr);
        }
    }

    fn retry(&mut self, node: NodeId, attempt: u32, at: Time) {
        let record = self.ledger.record_mut(node);
        let (worker, started, ended) = (record.worker, record.started, record.ended);
        record.state = State::Pending;
        let detail = record.detail_mut();
        let failure = detail.failure.take();
        detail.leaked = false;
        let timed_out = failure.as_ref().is_some_and(|it| it.kind == FailureKind::Timeout);
        detail.earlier.push(Attempt {
            worker,
            state: if timed_out { State::TimedOut } else { State::Failed },
            started,
            ended,
            exit_code: detail.exit_code.take(),
            signal: detail.signal.take(),
            failure,
        });
        self.cover.rest(node).into_iter().for_each(|rest| self.emit(rest));
        self.emit(Event::Retry { node, attempt, at });
    }

    /// What the backend tells.
    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Started { node, attempt, worker, at } => {
                self.started(node, attempt, worker, at);
            }
            Notice::Output { node, stream, bytes } => {
                self.emit(Event::Output { node, stream, bytes });
            }
            Notice::Ended(done) => self.ended(done),
            Notice::Recalled { node, attempt } => self.recalled(node, attempt),
            Notice::Permit { executor } => self.schedule.permit(self.now, executor),
            Notice::Token { .. } | Notice::Turn | Notice::Cramped => {}
            Notice::Broken { executor, message } => self.broke(executor, message),
            // To go on would be to wait for ever. Children end while this is unwound.
            Notice::Collapsed { thread } => panic!("the thread `{thread}` has panicked"),
            Notice::Warning(message) => self.emit(Event::Warning { message }),
            Notice::Signal(signal) => self.interrupted(signal),
            Notice::GoesOn => self.goes_on(),
            Notice::Callback { key, error, elapsed } => {
                if let Some(record) = self.callbacks.ended(key, error, elapsed) {
                    self.callback_ended(record);
                }
            }
        }
    }

    /// Whether this is news of an attempt that nobody waits for any more.
    fn is_late(&self, notice: &Notice) -> bool {
        match *notice {
            Notice::Started { node, attempt, .. } => self.is_abandoned(node, attempt),
            Notice::Output { node, .. } => self.ledger.record(node).state != State::Running,
            _ => false,
        }
    }

    /// Whether an attempt was given up, and its worker is still busy with it.
    fn is_abandoned(&self, node: NodeId, attempt: u32) -> bool {
        !self.abandoned.is_empty() && self.abandoned.contains(&(node, attempt))
    }

    fn started(&mut self, node: NodeId, attempt: u32, worker: u32, at: Time) {
        let record = self.ledger.record_mut(node);
        record.state = State::Running;
        record.worker = worker;
        record.started = at;
        self.spans.started(node, worker);
        let task = self.job.graph.task(self.job.graph.task_of(node));
        if let Some(timeout) = task.timeout.filter(|_| self.is_call(node)) {
            let due = at.after(timeout);
            self.deadlines.push(Reverse((due, node, attempt, Overdue::TimesOut)));
        }
        self.emit(Event::Started { node, attempt, worker });
    }

    /// Goes by how long futures take: short ones may wait in the executor, so that they need no round
    /// trip each, and long ones may not, so that they start in order.
    fn keep_pace(&mut self, done: &Done) {
        if done.worker == 0 {
            // It never ran, which tells nothing about those that will.
            return;
        }
        let executor = self.job.graph.task(self.job.graph.task_of(done.node)).executor;
        match self.paces[executor.index()].saw(done.ended.since(done.started)) {
            None => {}
            Some(Change::Ahead(ahead)) => self.schedule.set_ahead(executor, ahead),
            Some(Change::Recall(ahead)) => {
                self.schedule.set_ahead(executor, ahead);
                self.backend.recall(executor);
            }
        }
    }

    /// An attempt ended: its record is written, then the schedule decides what that means.
    fn ended(&mut self, done: Done) {
        let (node, now) = (done.node, self.now);
        if !self.abandoned.is_empty() && self.abandoned.remove(&(node, done.attempt)) {
            self.schedule.freed(now, node, done.attempt);
            return;
        }
        if self.ledger.record(node).state == State::Pending && done.worker > 0 {
            // Nobody announced it, because it was handed over ahead.
            self.started(node, done.attempt, done.worker, done.started);
        }
        self.keep_pace(&done);
        self.spans.ended(&done);
        let record = self.ledger.record_mut(node);
        record.started = done.started;
        record.ended = done.ended;
        record.worker = done.worker;
        let exit_code = done.child.as_ref().and_then(|child| child.exit_code);
        for Remark { warning, error } in remarks::of(&done, self.job, &self.facts.masker) {
            if let Some(error) = error {
                self.ledger.error(error);
            }
            self.emit(Event::Warning { message: warning });
        }
        let record = self.ledger.record_mut(node);
        if let Some(child) = done.child {
            let detail = record.detail_mut();
            detail.exit_code = child.exit_code;
            detail.signal = child.signal;
            detail.leaked = child.leaked;
            detail.stdout = child.stdout;
            detail.stderr = child.stderr;
        }
        match done.outcome {
            Outcome::Succeeded(result) => {
                match self.cover.result(&result) {
                    None => record.result = result,
                    Some(shown) => self.ledger.set_secret_result(node, result, shown),
                }
                self.schedule.ended(now, node, End::Succeeded);
            }
            Outcome::Failed(failure) => {
                record.detail_mut().failure = Some(failure.clone());
                self.schedule.ended(now, node, End::Failed { failure: &failure, exit_code });
            }
            Outcome::TimedOut(failure) => {
                record.detail_mut().failure = Some(failure);
                self.schedule.ended(now, node, End::TimedOut);
            }
            Outcome::Cancelled => self.schedule.ended(now, node, End::Cancelled),
        }
    }

    fn recalled(&mut self, node: NodeId, attempt: u32) {
        if self.abandoned.remove(&(node, attempt)) {
            self.schedule.freed(self.now, node, attempt);
        } else {
            // It was never tried.
            self.ledger.record_mut(node).attempts = attempt - 1;
            self.schedule.recalled(self.now, node);
        }
    }

    /// A call has run past its timeout. The future is timed out now; its worker is busy until the
    /// function returns or the worker process is replaced.
    fn overran(&mut self, now: Time, node: NodeId, attempt: u32) {
        let record = self.ledger.record_mut(node);
        if record.state != State::Running || record.attempts != attempt {
            return;
        }
        let timeout = self.job.graph.task(self.job.graph.task_of(node)).timeout.unwrap_or_default();
        let message = format!("ran longer than {}", humantime::format_duration(timeout));
        record.ended = now;
        record.detail_mut().failure = Some(Failure::new(FailureKind::Timeout, message));
        self.abandoned.insert((node, attempt));
        self.backend.stop(node, attempt, Stop::Stop);
        self.schedule.overran(now, node);
    }

    /// A call that was to be stopped has not ended. The future is cancelled now; its worker is busy
    /// until the function returns.
    fn give_up(&mut self, now: Time, node: NodeId, attempt: u32) {
        let gone = self.is_abandoned(node, attempt);
        let record = self.ledger.record_mut(node);
        if record.state.is_done() || record.attempts != attempt || gone {
            return;
        }
        if record.state == State::Pending {
            // Nobody announced it, because it was handed over ahead.
            record.started = now;
        }
        record.ended = now;
        self.abandoned.insert((node, attempt));
        self.schedule.gave_up(now, node);
    }

    fn broke(&mut self, executor: ExecutorId, message: String) {
        let name = &self.job.graph.executor(executor).name;
        let warning = self.cover.text(format!("executor `{name}` is broken: {message}"));
        self.emit(Event::Warning { message: warning });
        self.broken[executor.index()] = Some(message);
        self.schedule.broke(self.now, executor);
    }

    /// The run was paused, with all that it has started.
    fn goes_on(&mut self) {
        let before = mem::replace(&mut self.ledger.paused, self.backend.paused());
        let paused = self.ledger.paused.saturating_sub(before);
        if !paused.is_zero() {
            self.emit(Event::GoesOn { paused });
        }
    }

    /// The first signal stops the run in order, a second one at once.
    fn interrupted(&mut self, signal: i32) {
        let now = self.now;
        if self.ledger.interrupted.is_none() {
            self.ledger.interrupted = Some(signal);
            self.emit(Event::Interrupted { signal });
            self.schedule.interrupt(now);
        } else {
            self.hurried = true;
            self.schedule.kill(now);
            self.callbacks.kill();
        }
    }

    /// Starts the callbacks that may start now, and writes down those that ended at once.
    fn start_callbacks(&mut self) {
        loop {
            let view = view(self.job, self.facts, &self.ledger);
            match self.callbacks.start_next(&view) {
                None => return,
                Some(Step::Started) => {}
                Some(Step::Logged(event, record)) => {
                    self.emit(event);
                    self.callback_ended(record);
                }
                Some(Step::Failed(record)) => self.callback_ended(record),
            }
        }
    }

    fn callback_ended(&mut self, mut record: CallbackRecord) {
        record.error = record.error.map(|error| self.cover.text(error));
        self.ledger.callbacks.push(record);
        self.emit(Event::CallbackEnded);
    }

    fn emit(&mut self, event: Event) {
        let stamped = Stamped { seq: self.seq, at: self.now, event };
        self.seq += 1;
        for place in self.audience.places() {
            let view = view(self.job, self.facts, &self.ledger);
            if let Err(error) = self.audience.tell(place, &stamped, &view) {
                // Those after it are to know: the JSON report comes last.
                self.ledger.error(self.cover.text(error));
            }
        }
        self.callbacks.observe(&stamped, &view(self.job, self.facts, &self.ledger));
    }
}

fn view<'a>(job: &'a Job, facts: &'a Facts, ledger: &'a Ledger) -> RunView<'a> {
    let (run_id, started_at, masker) = (&facts.run_id, facts.started_at, &facts.masker);
    RunView { job, ledger, run_id, started_at, masker }
}

/// Lets go of what only observers of the end of a future need.
fn keep_tail(captured: &mut Captured) {
    // Of an output whose middle is lost, the ends are all there is.
    if captured.kept.len() > TAIL && captured.lost.is_none() {
        // A copy, for what is left of a large block that was made smaller is of no use to anybody.
        captured.kept = captured.kept[captured.kept.len() - TAIL..].to_vec();
    }
}
