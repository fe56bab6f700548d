//! What the schedule keeps for every node, in 16 bytes, and what the end of a node means. Plain data.

use crate::graph::OnReturn;
use crate::id::NodeId;
use crate::time::Time;

/// Where a node stands.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// When it became ready for the first time.
    pub ready: Time,
    /// How many of the nodes that it is after are not done.
    pub missing: u32,
    pub phase: Phase,
    pub wish: Wish,
    /// Who wished that; means nothing without a wish.
    pub blame: Blame,
    pub marks: Marks,
}

/// The states of a node as the schedule sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Something that it is after is not done.
    Blocked,
    /// It may start as soon as the limits allow it.
    Ready,
    /// An attempt failed; the next is to follow at some time.
    Delayed,
    /// An attempt is in flight.
    Running,
    /// It has its final state.
    Done,
}

/// What is to become of a node that is in flight, each more urgent than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// It goes on as if nothing had happened.
    None,
    /// This attempt may finish, if it has started, but no other follows.
    Drain,
    /// It is asked to stop.
    Stop,
    /// It is stopped without grace.
    Kill,
}

/// Who cancels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The wait of the node's own group.
    Group,
    /// The wait of the job.
    Job,
    /// The user.
    Interrupt,
}

/// What else is true of a node, a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks(u8);

/// What an end means for those after it.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// Where what went wrong began; `None` if it went well enough to go on.
    pub root: Option<NodeId>,
    /// Whether it failed, or was cancelled because of a failure.
    pub failed: bool,
}

impl Wish {
    /// What becomes of those in flight when a wait returns; `None` if it leaves them alone.
    pub const fn after(on_return: OnReturn) -> Option<Self> {
        match on_return {
            OnReturn::Cancel => Some(Self::Stop),
            OnReturn::Drain => Some(Self::Drain),
            OnReturn::Continue => None,
        }
    }
}

impl Marks {
    /// Nothing is.
    pub const NONE: Self = Self(0);
    /// It is the gate of a group.
    pub const GATE: Self = Self(1);
    /// Something it is after failed, or was cancelled because of a failure.
    pub const HARMED: Self = Self(2);
    /// It was handed over before a worker was free.
    pub const AHEAD: Self = Self(4);
    /// It was tried before.
    pub const RETRIED: Self = Self(8);
    /// It is the gate of a group whose members are not known, and stands for them.
    pub const OPEN: Self = Self(16);
    /// It was that: whoever arrives here is meant for the members.
    pub const GROWN: Self = Self(32);

    /// Whether it has the mark.
    pub const fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    /// With another mark as well.
    pub const fn and(self, mark: Self) -> Self {
        Self(self.0 | mark.0)
    }

    /// Gives or takes the mark.
    pub const fn set(&mut self, mark: Self, on: bool) {
        self.0 = if on { self.0 | mark.0 } else { self.0 & !mark.0 };
    }
}

impl Node {
    /// A node that is after so many others: a future or, with [`Marks::GATE`], the gate of a group.
    pub const fn new(missing: u32, marks: Marks) -> Self {
        Self {
            ready: Time::ZERO,
            missing,
            phase: Phase::Blocked,
            wish: Wish::None,
            blame: Blame::Group,
            marks,
        }
    }
}

const _: () = assert!(size_of::<Node>() == 16, "a job may have millions");
