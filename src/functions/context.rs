//! What a function may know of the attempt it serves, and how it learns that it should stop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::id::NodeId;

/// What a call is told beside its arguments.
#[derive(Clone)]
pub struct Context {
    future: Name,
    attempt: u32,
    worker: u32,
    dir: Arc<Path>,
    /// The folder of this call, if it is another.
    own_dir: Option<Arc<Path>>,
    token: Token,
}

/// Gives the names of futures.
type Names = Arc<dyn Fn(NodeId) -> String + Send + Sync>;

/// Most functions never ask for the name, so where it can be looked up it is not made beforehand.
#[derive(Clone)]
enum Name {
    Text(Arc<str>),
    Of(NodeId, Names),
}

impl Context {
    /// The context of a first attempt of the future of that name. Relative paths start from `dir`.
    pub fn new(future: &str, dir: impl Into<PathBuf>) -> Self {
        Self {
            future: Name::Text(future.into()),
            attempt: 1,
            worker: 1,
            dir: dir.into().into(),
            own_dir: None,
            token: Token::default(),
        }
    }

    /// The name of the future, such as `sum[3]`.
    pub fn future(&self) -> String {
        match &self.future {
            Name::Text(name) => name.to_string(),
            Name::Of(node, names) => names(*node),
        }
    }

    /// Which attempt of the future this is, counted from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The worker that makes the call, counted from 1 within its executor.
    pub fn worker(&self) -> u32 {
        self.worker
    }

    /// The folder that relative paths start from.
    pub fn dir(&self) -> &Path {
        self.own_dir.as_ref().unwrap_or(&self.dir)
    }

    /// Whether the call should end: its result is no longer wanted.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Sleeps. Returns whether the whole time passed: `false` at once if the call is cancelled.
    pub fn sleep(&self, duration: Duration) -> bool {
        self.token.sleep(duration)
    }

    /// The token that cancels the call.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The same for another future.
    #[must_use]
    pub fn for_future(mut self, name: &str) -> Self {
        self.future = Name::Text(name.into());
        self
    }

    /// The same for another attempt.
    #[must_use]
    pub fn for_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The same on another worker.
    #[must_use]
    pub fn on_worker(mut self, worker: u32) -> Self {
        self.worker = worker;
        self
    }

    /// The same with relative paths from `dir`, if there is one.
    #[must_use]
    pub fn within(mut self, dir: Option<Arc<Path>>) -> Self {
        self.own_dir = dir;
        self
    }

    /// Turns this into the context of the attempt of a node whose name is looked up when asked for.
    pub(crate) fn set(
        &mut self,
        node: NodeId,
        names: &Names,
        (attempt, worker): (u32, u32),
        dir: Option<Arc<Path>>,
    ) {
        match &mut self.future {
            Name::Of(old, _) => *old = node,
            other @ Name::Text(_) => *other = Name::Of(node, Arc::clone(names)),
        }
        self.attempt = attempt;
        self.worker = worker;
        self.own_dir = dir;
    }

    /// A token that is not cancelled: the one at hand if nobody else can have it, else a new one.
    pub(crate) fn renew_token(&mut self) -> &Token {
        if self.token.is_cancelled() || Arc::strong_count(&self.token.0) > 1 {
            self.token = Token::default();
        }
        &self.token
    }
}

/// Tells a running call that it should end. Copies speak of the same call.
#[derive(Clone, Debug, Default)]
pub struct Token(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    cancelled: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Token {
    /// Asks the call to end, and wakes it if it sleeps.
    pub fn cancel(&self) {
        // Set under the lock: a sleeper that has just looked is then already waiting to be woken.
        let _guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.cancelled.store(true, Ordering::Release);
        self.0.wake.notify_all();
    }

    /// Whether the call was asked to end.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Sleeps. Returns whether the whole time passed: `false` at once if this is cancelled.
    pub fn sleep(&self, duration: Duration) -> bool {
        let end = Instant::now().checked_add(duration);
        let mut guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.is_cancelled() {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            guard = match left {
                Some(Duration::ZERO) => return true,
                Some(left) => {
                    let waited = self.0.wake.wait_timeout(guard, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.0.wake.wait(guard).unwrap_or_else(PoisonError::into_inner),
            };
        }
        false
    }
}
