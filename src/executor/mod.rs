//! Where attempts run. A backend starts and stops them and tells what became of them; it knows
//! nothing of the graph, the policies or the observers.

mod admission;
mod children;
pub mod local;
pub mod mock;
mod pool;
mod process;
pub mod protocol;
mod thread;
pub mod worker;
mod workers;

use std::time::Duration;

use crate::guard::{Containment, Remains};
use crate::id::{ExecutorId, NodeId};
use crate::time::Time;
use crate::work::{Notice, Start, Stop};

/// The world a run happens in: its clock and its executors. The driver is written against this, so
/// that the same driver runs under a virtual clock.
pub trait Backend {
    /// The time now.
    fn now(&self) -> Time;

    /// How long the run was paused so far, which no time of its clock counts.
    fn paused(&self) -> Duration {
        Duration::ZERO
    }

    /// What makes sure that no process that is started here outlives the run.
    fn containment(&self) -> Containment {
        Containment::default()
    }

    /// Takes an attempt over. It may wait in the executor until a worker is free; the driver sees to
    /// it that few do.
    fn start(&mut self, start: Start);

    /// Stops an attempt that was handed over and has not ended. An earlier one of the same future may
    /// still be busy, though nobody waits for it any more: that one is left alone.
    fn stop(&mut self, node: NodeId, attempt: u32, how: Stop);

    /// Takes back all attempts of an executor that have not started.
    fn recall(&mut self, executor: ExecutorId);

    /// Whether each start on this executor needs a permit. That does not change.
    fn is_guarded(&self, _executor: ExecutorId) -> bool {
        false
    }

    /// Asks for the permit of one start; whether it is granted at once. If not, [`Notice::Permit`]
    /// follows, but for a request that is forgone. Whoever has given all permits back is granted one
    /// sooner or later.
    fn ask(&mut self, _executor: ExecutorId) -> bool {
        true
    }

    /// The permit that was asked for is not needed any more. It may be on its way already.
    fn forgo(&mut self, _executor: ExecutorId) {}

    /// Takes a permit back.
    fn give_back(&mut self, _executor: ExecutorId) {}

    /// Waits for the next notice, no longer than `until`; `None` when that has come. With `None`
    /// there is no bound.
    fn next(&mut self, until: Option<Time>) -> Option<Notice>;

    /// The most attempts that ran at once on an executor so far.
    fn peak_running(&self, executor: ExecutorId) -> u32;

    /// Ends all executors, when no attempt is left: worker processes are gone when this returns. What it
    /// gives is what tasks have left behind. Only [`next`](Self::next) is asked after this.
    fn close(&mut self) -> Remains {
        Remains::none()
    }
}
