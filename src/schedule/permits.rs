//! The permits of one executor whose starts somebody outside must allow. Knows neither who that is nor
//! why: a permit is asked for when a node could start but for that, used by one attempt, and given
//! back.

use crate::id::ExecutorId;
use crate::schedule::action::Action;

/// What one executor has of permits. With none of it guarded, this costs nothing.
#[derive(Debug, Default)]
pub struct Permits {
    /// Whether each start takes a permit.
    guarded: bool,
    /// In hand, for the next start.
    unused: u32,
    /// Their attempts are over.
    spent: u32,
    /// Whether a node could start now if there were one.
    wanted: bool,
    /// Whether one was asked for and has not come.
    asked: bool,
}

impl Permits {
    /// From now on each start takes a permit.
    pub fn guard(&mut self) {
        self.guarded = true;
    }

    /// Whether each start takes one.
    pub fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// Before the next look at what could start.
    pub fn reset(&mut self) {
        self.wanted = false;
    }

    /// Whether the next start lacks one.
    pub fn are_missing(&self) -> bool {
        self.guarded && self.unused == 0
    }

    /// A node could start but for that. Whether one is on its way, as far as is known.
    pub fn want(&mut self) -> bool {
        self.wanted = true;
        self.asked
    }

    /// One came, asked for or not.
    pub fn add(&mut self) {
        self.asked = false;
        self.unused += 1;
    }

    /// A node starts.
    pub fn use_one(&mut self) {
        self.unused -= u32::from(self.guarded);
    }

    /// An attempt is over.
    pub fn end_one(&mut self) {
        self.spent += u32::from(self.guarded);
    }

    /// Gives a permit back whose attempt is over.
    pub fn give_back_spent(&mut self, executor: ExecutorId) -> Option<Action> {
        self.spent = self.spent.checked_sub(1)?;
        Some(Action::GiveBack { executor })
    }

    /// Asks for a permit that is wanted.
    pub fn ask(&mut self, executor: ExecutorId) -> Option<Action> {
        let asks = self.wanted && !self.asked;
        self.asked |= asks;
        asks.then_some(Action::Ask { executor })
    }

    /// Lets go of what is of no use when nothing can start: whoever else waits for a permit must not
    /// wait for one that lies idle here.
    pub fn let_go(&mut self, executor: ExecutorId) -> Option<Action> {
        if self.unused > 0 {
            self.unused -= 1;
            return Some(Action::GiveBack { executor });
        }
        let forgoes = self.asked && !self.wanted;
        self.asked &= !forgoes;
        forgoes.then_some(Action::Forgo { executor })
    }
}
