//! Calls in long-lived worker processes. Knows nothing of the order in which attempts are handed
//! over, nor of what is said to a worker.

mod books;
mod dispatch;
mod flight;
mod line;
mod peer;
mod proxy;
mod spawn;

use std::sync::Arc;
use std::thread::JoinHandle;

pub use spawn::WorkerProgram;

use crate::executor::pool::{Attempt, Executor, Id};
use crate::executor::process::dispatch::Dispatch;
pub(super) use crate::executor::process::line::Rules;
use crate::executor::process::proxy::Proxy;
use crate::work::{Notice, Stop};

/// A pool of worker processes that make calls. Each has a thread here that speaks for it, started
/// with it when it is first needed.
pub(super) struct ProcessPool {
    dispatch: Arc<Dispatch>,
    rules: Arc<Rules>,
    threads: Vec<JoinHandle<()>>,
}

impl ProcessPool {
    pub(super) fn new(executor: Executor, rules: Rules) -> Self {
        let dispatch = Arc::new(Dispatch::new(executor));
        Self { dispatch, rules: Arc::new(rules), threads: Vec::new() }
    }

    /// Takes attempts over, which start in this order; leaves the vector empty.
    pub(super) fn submit(&mut self, attempts: &mut Vec<Attempt>) {
        let wanted = self.dispatch.submit(attempts);
        let possible = self.dispatch.executor.max_workers as usize - self.threads.len();
        for _ in 0..wanted.min(possible) {
            if let Err(error) = self.add_slot() {
                let number = self.threads.len() + 1;
                self.dispatch.break_off(&format!("worker {number} could not be started: {error}"));
                return;
            }
        }
    }

    /// Takes an attempt back, or ends it with its worker.
    pub(super) fn stop(&self, id: Id, how: Stop) {
        self.dispatch.stop(id, how);
    }

    /// Takes back all that no worker has been given.
    pub(super) fn recall(&self) {
        self.dispatch.recall();
    }

    fn add_slot(&mut self) -> std::io::Result<()> {
        let slot = self.threads.len();
        let bell = self.dispatch.lock().add_slot()?;
        let proxy = Proxy::new(Arc::clone(&self.dispatch), Arc::clone(&self.rules), slot, bell);
        let name = format!("{}-{}", self.dispatch.executor.name, slot + 1);
        let will = self.dispatch.executor.notices.will(Notice::Collapsed { thread: name.clone() });
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let _will = will;
            proxy.run();
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

/// Ends all workers: idle ones by themselves, others by force. It waits for that, so that none
/// outlives the run.
impl Drop for ProcessPool {
    fn drop(&mut self) {
        self.dispatch.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
