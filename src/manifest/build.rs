//! Manifests made by a program, without a text. Knows what reads well in a program, and leaves all
//! checks to `compile`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::graph::{Concurrency, ExecutorKind, OnReturn, OnWorkerDeath, ReturnWhen, When};
use crate::manifest::limits::{Limits, Nice};
use crate::manifest::place::{Entries, Given, Items, Spanned};
use crate::manifest::sources::{MapSource, Matrix};
use crate::manifest::tables::{
    Callback, Defaults, Executor, Initializer, Manifest, Report, Retry, Task, Wait,
};
use crate::manifest::values::{
    Bytes, Condition, ExitCode, Factor, Limit, OneOrMany, Program, Quantity, Scalar,
};
use crate::value::Value;
use crate::work::{Leak, ResultKind};

#[expect(clippy::unnecessary_wraps, reason = "it makes the value of a key, which may be absent")]
pub(super) fn given<T>(value: impl Into<T>) -> Given<T> {
    Some(Box::new(Spanned::from(value.into())))
}

pub(super) fn items<T, U: Into<T>>(values: impl IntoIterator<Item = U>) -> Items<T> {
    values.into_iter().map(|value| Spanned::from(value.into())).collect()
}

pub(super) fn entry<T>(table: &mut Given<Entries<T>>, name: impl Into<String>, value: T) {
    table.get_or_insert_default().value.push(name, value);
}

pub(super) fn limit(duration: Duration) -> Given<Limit> {
    given(Limit(Some(duration)))
}

/// A program and its arguments.
pub(super) fn argv<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Given<Program> {
    given(Program::Argv(items(words)))
}

impl From<Vec<Value>> for MapSource {
    fn from(items: Vec<Value>) -> Self {
        Self::List(items)
    }
}

impl Manifest {
    /// A job without tasks.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: given(name), ..Self::default() }
    }

    /// What the job is for.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = given(text);
        self
    }

    /// Adds another manifest, which is read when this one is compiled.
    #[must_use]
    pub fn include(mut self, path: impl Into<String>) -> Self {
        let paths = self.include.get_or_insert_with(|| Box::new(Vec::new().into()));
        paths.value.push(path.into().into());
        self
    }

    /// Adds a value for templates.
    #[must_use]
    pub fn var(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        entry(&mut self.vars, name, value.into());
        self
    }

    /// Adds an environment variable of every child process.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        entry(&mut self.env, name, Scalar(value.into()));
        self
    }

    /// Adds a file with environment variables of every child process.
    #[must_use]
    pub fn env_file(mut self, path: impl Into<String>) -> Self {
        let files = self.env_file.get_or_insert_with(|| Box::new(OneOrMany(Vec::new()).into()));
        files.value.0.push(path.into().into());
        self
    }

    /// Sets how many runs of the job there may be at once.
    #[must_use]
    pub fn concurrency(mut self, concurrency: Concurrency) -> Self {
        self.concurrency = given(concurrency);
        self
    }

    /// Makes the values of environment variables secret.
    #[must_use]
    pub fn secrets<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.secrets.get_or_insert_default().value.extend(items(names));
        self
    }

    /// Sets the default executor.
    #[must_use]
    pub fn executor(mut self, executor: Executor) -> Self {
        self.executor = given(executor);
        self
    }

    /// Adds an executor that tasks can name.
    #[must_use]
    pub fn named_executor(mut self, name: impl Into<String>, executor: Executor) -> Self {
        entry(&mut self.executors, name, executor);
        self
    }

    /// Sets the job's own wait.
    #[must_use]
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = given(Box::new(wait));
        self
    }

    /// Adds a resource that is counted.
    #[must_use]
    pub fn resource(mut self, name: impl Into<String>, count: u64) -> Self {
        entry(&mut self.resources, name, Quantity { amount: count, bytes: false });
        self
    }

    /// Adds a resource that is measured in bytes.
    #[must_use]
    pub fn resource_bytes(mut self, name: impl Into<String>, bytes: u64) -> Self {
        entry(&mut self.resources, name, Quantity { amount: bytes, bytes: true });
        self
    }

    /// Sets what every task starts from; the name of `task`, its `after` and what makes it a group are not
    /// looked at.
    #[must_use]
    pub fn defaults(mut self, task: Task) -> Self {
        self.defaults = given(Defaults(Box::new(task)));
        self
    }

    /// Adds a task.
    #[must_use]
    pub fn task(mut self, task: Task) -> Self {
        self.task.push(task.into());
        self
    }

    /// Adds a callback for every task, or for the job.
    #[must_use]
    pub fn callback(mut self, callback: Callback) -> Self {
        self.callback.push(callback.into());
        self
    }

    /// Sets which reports are written.
    #[must_use]
    pub fn report(mut self, report: Report) -> Self {
        self.report = given(report);
        self
    }
}

impl Executor {
    /// Runs calls on threads of this process.
    pub fn thread() -> Self {
        Self { kind: given(ExecutorKind::Thread), ..Self::default() }
    }

    /// Runs calls in worker processes.
    pub fn process() -> Self {
        Self { kind: given(ExecutorKind::Process), ..Self::default() }
    }

    /// At most so many futures run here at once; 0 is a fault when the job is compiled.
    #[must_use]
    pub fn max_workers(mut self, workers: u32) -> Self {
        self.max_workers = NonZeroU32::new(workers).and_then(given);
        if self.max_workers.is_none() {
            self.broken.push("max_workers = 0");
        }
        self
    }

    /// Nothing more starts here while the load of the machine is not below this; what is not above 0 is
    /// a fault when the job is compiled.
    #[must_use]
    pub fn max_load(mut self, load: f64) -> Self {
        self.max_load = given(Factor(load));
        self
    }

    /// Nothing more starts here while fewer bytes of memory are free.
    #[must_use]
    pub fn min_free_memory(mut self, bytes: u64) -> Self {
        self.min_free_memory = given(Bytes(bytes));
        self
    }

    /// Whether commands share the workers with the jobs of every make and cargo that they run; with
    /// `false` the jobserver of a make that runs this program is passed over, too.
    #[must_use]
    pub fn jobserver(mut self, on: bool) -> Self {
        self.jobserver = given(on);
        self
    }

    /// A worker process is replaced after so many calls.
    #[must_use]
    pub fn max_tasks_per_child(mut self, calls: NonZeroU32) -> Self {
        self.max_tasks_per_child = given(calls);
        self
    }

    /// What each worker does first.
    #[must_use]
    pub fn initializer<V: Into<Value>>(
        mut self,
        call: impl Into<String>,
        args: impl IntoIterator<Item = V>,
    ) -> Self {
        let args = given(items(args));
        self.initializer = given(Initializer { call: given(call), args, ..Initializer::default() });
        self
    }

    /// What the death of a worker process means.
    #[must_use]
    pub fn on_worker_death(mut self, what: OnWorkerDeath) -> Self {
        self.on_worker_death = given(what);
        self
    }
}

impl Wait {
    /// Waits until everything is done.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is waited for.
    #[must_use]
    pub fn return_when(mut self, policy: ReturnWhen) -> Self {
        self.return_when = given(policy);
        self
    }

    /// When the wait gives up.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = limit(timeout);
        self
    }

    /// What happens to the rest when it returns.
    #[must_use]
    pub fn on_return(mut self, what: OnReturn) -> Self {
        self.on_return = given(what);
        self
    }
}

impl Task {
    /// Calls a registered function.
    pub fn call(name: impl Into<String>, function: impl Into<String>) -> Self {
        Self { name: given(name), call: given(function), ..Self::default() }
    }

    /// Runs a program, without a shell.
    pub fn run<S: Into<String>>(
        name: impl Into<String>,
        words: impl IntoIterator<Item = S>,
    ) -> Self {
        Self { name: given(name), run: argv(words), ..Self::default() }
    }

    /// Runs a script in a shell.
    pub fn script(name: impl Into<String>, script: impl Into<String>) -> Self {
        Self { name: given(name), run: given(Program::Script(script.into())), ..Self::default() }
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

    /// Makes it a group with a future for each item.
    #[must_use]
    pub fn map<V: Into<Value>>(mut self, items: impl IntoIterator<Item = V>) -> Self {
        self.map = given(MapSource::List(items.into_iter().map(Into::into).collect::<Vec<_>>()));
        self
    }

    /// Makes it a group with a future for each number from `start` to before `end`.
    #[must_use]
    pub fn map_range(mut self, start: i64, end: i64, step: i64) -> Self {
        self.map = given(MapSource::Range { start, end, step });
        self
    }

    /// Makes it a group with a future for each path that matches a pattern, sorted.
    #[must_use]
    pub fn map_glob(mut self, pattern: impl Into<String>) -> Self {
        self.map = given(MapSource::Glob(items([pattern])));
        self
    }

    /// Makes it a group with a future for each line of a file.
    #[must_use]
    pub fn map_lines(mut self, path: impl Into<String>) -> Self {
        self.map = given(MapSource::Lines(Spanned::from(path.into())));
        self
    }

    /// Makes it a group with a future for each element of the list in a JSON file.
    #[must_use]
    pub fn map_json(mut self, path: impl Into<String>) -> Self {
        self.map = given(MapSource::Json(Spanned::from(path.into())));
        self
    }

    /// Makes it a group with a future for each combination.
    #[must_use]
    pub fn matrix(mut self, matrix: Matrix) -> Self {
        self.matrix = given(matrix);
        self
    }

    /// Makes it a group with a future for each item of the list that an expression yields, such as
    /// `{{ tasks.find.result }}`.
    #[must_use]
    pub fn map_of(mut self, expression: impl Into<String>) -> Self {
        self.map = given(MapSource::Template(expression.into()));
        self
    }

    /// Makes it a group with a future for each future of that task.
    #[must_use]
    pub fn each(mut self, task: impl Into<String>) -> Self {
        self.each = given(task);
        self
    }

    /// Has its futures run only if this expression yields true.
    #[must_use]
    pub fn condition(mut self, expression: impl Into<String>) -> Self {
        self.condition = given(Condition::Template(expression.into()));
        self
    }

    /// Adds tasks that come first: names or globs.
    #[must_use]
    pub fn after<S: Into<String>>(mut self, tasks: impl IntoIterator<Item = S>) -> Self {
        self.after.get_or_insert_default().value.extend(items(tasks));
        self
    }

    /// Which ends of those let it run.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = given(when);
        self
    }

    /// Where it runs.
    #[must_use]
    pub fn executor(mut self, name: impl Into<String>) -> Self {
        self.executor = given(name);
        self
    }

    /// Adds a resource that each of its futures holds: so many units, or bytes.
    #[must_use]
    pub fn uses(mut self, resource: impl Into<String>, amount: u64) -> Self {
        entry(&mut self.uses, resource, Quantity { amount, bytes: false });
        self
    }

    /// Nothing else of the job runs beside it.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.exclusive = given(true);
        self
    }

    /// Higher starts first.
    #[must_use]
    pub fn priority(mut self, priority: i64) -> Self {
        self.priority = given(priority);
        self
    }

    /// How long one attempt may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = limit(timeout);
        self
    }

    /// How long a stopped attempt has to end by itself.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = limit(grace);
        self
    }

    /// When a failed attempt is followed by another: [`Retry::new`], or just how many times.
    #[must_use]
    pub fn retry(mut self, retry: impl Into<Retry>) -> Self {
        self.retry = given(Box::new(retry.into()));
        self
    }

    /// Its failure fails neither the job nor what comes after it.
    #[must_use]
    pub fn allow_failure(mut self) -> Self {
        self.allow_failure = given(true);
        self
    }

    /// The folder its command runs in.
    #[must_use]
    pub fn cwd(mut self, folder: impl Into<String>) -> Self {
        self.cwd = given(folder);
        self
    }

    /// Adds an environment variable of its command.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        entry(&mut self.env, name, Scalar(value.into()));
        self
    }

    /// The shell of its script, with flags.
    #[must_use]
    pub fn shell<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.shell = given(items(words));
        self
    }

    /// What its command reads.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<String>) -> Self {
        self.stdin = given(text);
        self
    }

    /// The exit codes of its command that are a success.
    #[must_use]
    pub fn ok_exit(mut self, codes: impl IntoIterator<Item = u8>) -> Self {
        self.ok_exit = given(items(codes.into_iter().map(ExitCode)));
        self
    }

    /// What the output of its command becomes.
    #[must_use]
    pub fn result(mut self, kind: ResultKind) -> Self {
        self.result = given(kind);
        self
    }

    /// What becomes of processes that the command leaves.
    #[must_use]
    pub fn leak(mut self, leak: Leak) -> Self {
        self.leak = given(leak);
        self
    }

    /// What its command may use.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = given(limits);
        self
    }

    /// So much is added to the niceness of its command, -20 to 19.
    #[must_use]
    pub fn nice(mut self, nice: i32) -> Self {
        self.nice = given(Nice(nice));
        self
    }

    /// The wait of a group.
    #[must_use]
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = given(Box::new(wait));
        self
    }

    /// The time one future is expected to take.
    #[must_use]
    pub fn estimate(mut self, time: Duration) -> Self {
        self.estimate = limit(time);
        self
    }

    /// Adds words to select it by.
    #[must_use]
    pub fn tags<S: Into<String>>(mut self, tags: impl IntoIterator<Item = S>) -> Self {
        self.tags.get_or_insert_default().value.extend(items(tags));
        self
    }

    /// Adds a callback for this task alone.
    #[must_use]
    pub fn callback(mut self, callback: Callback) -> Self {
        self.callback.push(callback.into());
        self
    }
}
