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

/// So many processes and threads are a worker: two, and the one that speaks for it.
const PROCESSES: usize = 3;

/// So many descriptors are needed for a worker: its streams, what tells of its end, and the bell of its
/// slot.
const FILES: usize = 5;

/// A pool of worker processes that make calls. Each has a thread here that speaks for it, started
/// with it when it is first needed.
pub(super) struct ProcessPool {
    dispatch: Arc<Dispatch>,
    rules: Arc<Rules>,
    threads: Vec<JoinHandle<()>>,
    /// How many workers there may be: fewer once the system has refused a thread for one.
    most: usize,
}

impl ProcessPool {
    pub(super) fn new(executor: Executor, rules: Rules) -> Self {
        let most = executor.max_workers as usize;
        let dispatch = Arc::new(Dispatch::new(executor));
        Self { dispatch, rules: Arc::new(rules), threads: Vec::new(), most }
    }

    /// Takes attempts over, which start in this order; leaves the vector empty.
    pub(super) fn submit(&mut self, attempts: &mut Vec<Attempt>) {
        let wanted = self.dispatch.submit(attempts);
        if wanted > 0 && self.threads.is_empty() {
            self.measure();
        }
        let possible = self.most - self.threads.len();
        for _ in 0..wanted.min(possible) {
            if let Err(error) = self.add_slot() {
                self.most = self.threads.len();
                if self.most == 0 {
                    self.dispatch.break_off(&format!("worker 1 could not be started: {error}"));
                    return;
                }
                // Others need room too.
                let most = self.most.div_ceil(PROCESSES + 1);
                self.dispatch.narrow(most);
                self.dispatch.executor.warn_of_fewer_workers(most, &error.to_string());
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

    /// Looks how many workers there may be.
    fn measure(&mut self) {
        let executor = &self.dispatch.executor;
        let most = executor.headroom.workers(self.most, PROCESSES, FILES).unwrap_or(1);
        if most < self.most {
            self.most = most;
            executor.warn_of_fewer_workers(most, "a limit of processes or open files is near");
        }
    }

    /// Ends half of the workers, as soon as they are idle, but one.
    pub(super) fn make_room(&self) {
        self.dispatch.narrow(self.dispatch.workers() / 2);
    }

    fn add_slot(&mut self) -> std::io::Result<()> {
        let slot = self.threads.len();
        let bell = self.dispatch.lock().add_slot()?;
        let proxy = Proxy::new(Arc::clone(&self.dispatch), Arc::clone(&self.rules), slot, bell);
        let name = format!("{}-{}", self.dispatch.executor.name, slot + 1);
        let will = self.dispatch.executor.notices.will(Notice::Collapsed { thread: name.clone() });
        let serve = move || {
            let _will = will;
            proxy.run();
        };
        match std::thread::Builder::new().name(name).spawn(serve) {
            Ok(thread) => {
                self.threads.push(thread);
                Ok(())
            }
            Err(error) => {
                self.dispatch.lock().slots.pop();
                Err(error)
            }
        }
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
