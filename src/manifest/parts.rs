//! The parts of tasks of manifests made by a program: what is tried again, what commands are held to, what
//! is done when something happens. Leaves all checks to `compile`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::manifest::build::{argv, entry, given, items, limit};
use crate::manifest::limits::Limits;
use crate::manifest::tables::{Callback, Post, Retry};
use crate::manifest::values::{Bytes, ExitCode, Factor, OneOrMany};
use crate::manifest::words::On;
use crate::outcome::FailureKind;
use crate::value::Value;

impl Limits {
    /// So many bytes of memory.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = given(Bytes(bytes));
        self
    }

    /// So much time of processors.
    #[must_use]
    pub fn cpu_time(mut self, time: Duration) -> Self {
        self.cpu_time = limit(time);
        self
    }

    /// So many open files.
    #[must_use]
    pub fn open_files(mut self, count: NonZeroU32) -> Self {
        self.open_files = given(count);
        self
    }

    /// So many processes and threads.
    #[must_use]
    pub fn processes(mut self, count: NonZeroU32) -> Self {
        self.processes = given(count);
        self
    }

    /// So many bytes in a file.
    #[must_use]
    pub fn file_size(mut self, bytes: u64) -> Self {
        self.file_size = given(Bytes(bytes));
        self
    }
}

impl Retry {
    /// So many more attempts, at once.
    pub fn new(count: u32) -> Self {
        Self { count: given(count), ..Self::default() }
    }

    /// The pause before the second attempt.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = limit(delay);
        self
    }

    /// What each pause is multiplied by to give the next; above 0.
    #[must_use]
    pub fn backoff(mut self, factor: f64) -> Self {
        self.backoff = given(Factor(factor));
        self
    }

    /// No pause is longer.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = limit(delay);
        self
    }

    /// A pause is drawn from between its half and its whole.
    #[must_use]
    pub fn jitter(mut self) -> Self {
        self.jitter = given(true);
        self
    }

    /// Only these kinds of failure are tried again.
    #[must_use]
    pub fn on(mut self, kinds: impl IntoIterator<Item = FailureKind>) -> Self {
        self.on = given(OneOrMany(items(kinds)));
        self
    }

    /// Of failures by exit code, only these are tried again.
    #[must_use]
    pub fn on_exit(mut self, codes: impl IntoIterator<Item = u8>) -> Self {
        self.on_exit = given(OneOrMany(items(codes.into_iter().map(ExitCode))));
        self
    }
}

impl From<u32> for Retry {
    fn from(count: u32) -> Self {
        Self::new(count)
    }
}

impl Callback {
    /// Writes a line to the log.
    pub fn log(on: impl IntoIterator<Item = On>, line: impl Into<String>) -> Self {
        Self { log: given(line), ..Self::on(on) }
    }

    /// Runs a program.
    pub fn run<S: Into<String>>(
        on: impl IntoIterator<Item = On>,
        words: impl IntoIterator<Item = S>,
    ) -> Self {
        Self { run: argv(words), ..Self::on(on) }
    }

    /// Sends an HTTP POST.
    pub fn post(on: impl IntoIterator<Item = On>, url: impl Into<String>) -> Self {
        let post = Post { url: given(url), ..Post::default() };
        Self { post: given(Box::new(post)), ..Self::on(on) }
    }

    /// Calls a registered function.
    pub fn call(on: impl IntoIterator<Item = On>, function: impl Into<String>) -> Self {
        Self { call: given(function), ..Self::on(on) }
    }

    /// The arguments of the call, by position. Strings may be templates.
    #[must_use]
    pub fn args<V: Into<Value>>(mut self, args: impl IntoIterator<Item = V>) -> Self {
        self.args = given(items(args));
        self
    }

    /// Adds an argument of the call, by name.
    #[must_use]
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        entry(&mut self.with, name, value.into());
        self
    }

    /// Only for these tasks: names or globs.
    #[must_use]
    pub fn tasks<S: Into<String>>(mut self, tasks: impl IntoIterator<Item = S>) -> Self {
        self.tasks = given(OneOrMany(items(tasks)));
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = limit(timeout);
        self
    }

    fn on(on: impl IntoIterator<Item = On>) -> Self {
        Self { on: given(OneOrMany(items(on))), ..Self::default() }
    }
}
