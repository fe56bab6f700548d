//! One wait, the job's or a group's: counters, when it returns, and whether that is a success. Knows
//! nothing of the graph: it is told of every end, and never looks again.

use std::time::Duration;

use crate::graph::{Amount, OnReturn, ReturnWhen, Wait};
use crate::outcome::{Because, Return, State};
use crate::time::Time;

/// What a wait has seen so far.
#[derive(Debug)]
pub struct Waiting {
    return_when: ReturnWhen,
    goal: Goal,
    timeout: Option<Duration>,
    on_return: OnReturn,
    total: u32,
    /// How many groups among what is waited for have members that are not known yet.
    unknown: u32,
    done: u32,
    skipped: u32,
    succeeded: u32,
    cancelled: u32,
    /// Failures that release the wait.
    raised: u32,
    /// What makes its return a failure.
    faults: u32,
    clock: Option<Time>,
    expired: bool,
    /// Whether somebody else began to cancel what is waited for.
    overruled: bool,
    /// Whether that was the user.
    interrupted: bool,
    returned: Option<Because>,
}

/// What is waited for, with the word for having got it.
#[derive(Clone, Copy, Debug)]
enum Goal {
    Everything,
    Completed(u32, Because),
    Succeeded(u32, Because),
    Failed(u32, Because),
}

/// How one future's end counts.
#[derive(Clone, Copy, Debug)]
pub struct Ballot {
    /// How it ended.
    pub state: State,
    /// Whether that releases a wait for failures.
    pub raises: bool,
    /// Whether that makes the return a failure.
    pub fault: bool,
    /// Whether it was cancelled because of something that counts for nothing.
    pub excused: bool,
}

impl Waiting {
    /// A wait for `total` futures, whose clock stands still.
    pub fn new(wait: &Wait, total: u32) -> Self {
        Self {
            return_when: wait.return_when,
            goal: Goal::new(wait.return_when, total, true),
            timeout: wait.timeout,
            on_return: wait.on_return,
            total,
            unknown: 0,
            done: 0,
            skipped: 0,
            succeeded: 0,
            cancelled: 0,
            raised: 0,
            faults: 0,
            clock: None,
            expired: false,
            overruled: false,
            interrupted: false,
            returned: None,
        }
    }

    /// Something is waited for whose size is not known: it is not over before that is.
    pub fn expect_more(&mut self) {
        self.unknown += 1;
        self.aim();
    }

    /// So many futures are waited for that were not known before.
    pub fn grow(&mut self, members: u32) {
        self.unknown -= 1;
        self.total += members;
        self.aim();
    }

    fn aim(&mut self) {
        self.goal = Goal::new(self.return_when, self.total, self.unknown == 0);
    }

    /// Starts the clock, if it stands still; gives the deadline, if there is one still to come.
    pub fn start(&mut self, now: Time) -> Option<Time> {
        if self.clock.is_some() {
            return None;
        }
        self.clock = Some(now);
        self.timeout.map(|timeout| now.after(timeout))
    }

    /// The deadline passed.
    pub fn expire(&mut self) {
        self.expired = true;
    }

    /// Somebody else, perhaps the user, cancels what is waited for: the wait lasts until that is over.
    pub fn overrule(&mut self, by_user: bool) {
        self.overruled = true;
        self.interrupted |= by_user;
    }

    /// What is waited for is not wanted at all: nothing is asked of it any more.
    pub fn waive(&mut self) {
        self.return_when = ReturnWhen::AllCompleted;
        self.aim();
    }

    /// Something that is waited for was taken away before it was known.
    pub fn lose(&mut self) {
        self.cancelled += 1;
    }

    /// What is waited for can never run.
    pub fn condemn(&mut self) {
        self.cancelled += 1;
        self.faults += 1;
    }

    /// One more future is done.
    pub fn count(&mut self, ballot: Ballot) {
        self.done += 1;
        match ballot.state {
            State::Succeeded => self.succeeded += 1,
            State::Skipped => self.skipped += 1,
            State::Cancelled if !ballot.excused => self.cancelled += 1,
            _ => {}
        }
        self.blame(ballot.raises, ballot.fault);
    }

    /// Something failed that is no future: a group, by its verdict.
    pub fn blame(&mut self, raises: bool, fault: bool) {
        self.raised += u32::from(raises);
        self.faults += u32::from(fault);
    }

    /// Why it is to return now, if it is.
    pub fn due(&self) -> Option<Because> {
        if self.returned.is_some() || self.clock.is_none() && !self.is_over() {
            return None;
        }
        self.released().or_else(|| self.expired.then_some(Because::Timeout))
    }

    /// Returns; from now on nothing counts. Where somebody else took some of what was waited for
    /// away, that is the reason, unless it had gone wrong before.
    pub fn leave(&mut self, now: Time, because: Because) -> Return {
        let taken_away = self.overruled && self.lost_any() && !has_successes(because);
        let because = match because {
            _ if taken_away && self.interrupted => Because::Interrupt,
            _ if taken_away && (self.faults == 0 || self.forgives()) => Because::Cancelled,
            because => because,
        };
        self.returned = Some(because);
        let success = match because {
            _ if has_successes(because) => true,
            Because::Timeout | Because::Unreachable | Because::Interrupt | Because::Cancelled => {
                false
            }
            _ => self.faults == 0,
        };
        Return { because, after: self.clock.map_or(Duration::ZERO, |it| now.since(it)), success }
    }

    /// Why it returned, if it has.
    pub fn returned(&self) -> Option<Because> {
        self.returned
    }

    /// Whether it has nothing to ask for before the end, so that order and number of starts do not
    /// matter to it.
    pub fn is_patient(&self) -> bool {
        self.returned.is_some() || matches!(self.goal, Goal::Everything)
    }

    /// Whether it asks for successes, and therefore forgives failures.
    pub fn forgives(&self) -> bool {
        matches!(self.goal, Goal::Succeeded(..))
    }

    /// Whether a failure has released it or might have.
    pub fn raised(&self) -> bool {
        self.raised > 0
    }

    /// Whether any future was cancelled.
    pub fn lost_any(&self) -> bool {
        self.cancelled > 0
    }

    /// What is to become of the rest; `None` if there is no rest.
    pub fn on_return(&self) -> Option<OnReturn> {
        (!self.is_over()).then_some(self.on_return)
    }

    fn is_over(&self) -> bool {
        self.unknown == 0 && self.done == self.total
    }

    fn released(&self) -> Option<Because> {
        if self.total == 0 && self.unknown == 0 {
            return Some(if self.forgives() {
                Because::Unreachable
            } else {
                Because::AllCompleted
            });
        }
        let all_done = self.is_over();
        if self.overruled && !all_done {
            return None;
        }
        let completed = self.done - self.skipped;
        let (reached, possible, because) = match self.goal {
            Goal::Completed(k, why) => (completed >= k, self.total - self.skipped >= k, why),
            Goal::Succeeded(k, why) => {
                (self.succeeded >= k, self.succeeded + (self.total - self.done) >= k, why)
            }
            Goal::Failed(k, why) => (self.raised >= k, true, why),
            Goal::Everything => (false, true, Because::AllCompleted),
        };
        if reached {
            Some(because)
        } else if !possible && self.unknown == 0 {
            Some(Because::Unreachable)
        } else {
            all_done.then_some(Because::AllCompleted)
        }
    }
}

impl Goal {
    /// A share of what is not `known` is out of reach.
    fn new(return_when: ReturnWhen, total: u32, known: bool) -> Self {
        let number = |amount: Amount| match amount {
            Amount::Percent(_) if !known => u32::MAX,
            amount => amount.of(total),
        };
        match return_when {
            ReturnWhen::AllCompleted => Self::Everything,
            ReturnWhen::FirstCompleted => Self::Completed(1, Because::FirstCompleted),
            ReturnWhen::FirstException => Self::Failed(1, Because::FirstException),
            ReturnWhen::FirstSuccess => Self::Succeeded(1, Because::FirstSuccess),
            ReturnWhen::Completed(k) => Self::Completed(number(k), Because::Completed),
            ReturnWhen::Succeeded(k) => Self::Succeeded(number(k), Because::Succeeded),
            ReturnWhen::Failed(k) => Self::Failed(number(k), Because::Failed),
        }
    }
}

/// Whether a wait that returned so asked for successes and has them: then nothing else matters.
pub fn has_successes(because: Because) -> bool {
    matches!(because, Because::FirstSuccess | Because::Succeeded)
}

/// Whether a wait that returned so has given up because something went wrong.
pub fn is_about_failure(because: Because) -> bool {
    matches!(
        because,
        Because::FirstException | Because::Failed | Because::Timeout | Because::Unreachable
    )
}
