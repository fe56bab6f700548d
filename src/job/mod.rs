//! A compiled job: the graph, and for each task what its futures do, with templates still to be
//! filled in. Made by `compile` alone; knows neither the manifest it came from nor who runs it.

mod matrix;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::graph::{Concurrency, Graph, GraphError};
use crate::id::{ExecutorId, NodeId, TaskId};
use crate::ledger::Ledger;
use crate::template::{JOB, Template};
use crate::value::Value;
use crate::work::{Leak, Limits, ResultKind};

pub use matrix::{Matrix, product};

/// A job that can be run.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Where it was written down.
    pub origin: Origin,
    /// How many runs of it there may be at once.
    pub concurrency: Concurrency,
    /// What depends on what, and under which limits.
    pub graph: Graph,
    /// What each task does, by [`TaskId`].
    pub specs: Vec<Spec>,
    /// How each executor is set up, by [`ExecutorId`].
    pub setups: Vec<Setup>,
    /// The values of `vars`, as a map.
    pub vars: Value,
    /// The environment that children inherit, as a map of text, as far as templates may know it.
    pub inherited: Value,
    /// What the children of each file get on top of that, the manifest's first.
    pub environments: Vec<Environment>,
    /// The environment variables whose values are secret.
    pub secrets: Vec<String>,
    /// Reports asked for by the manifest: format and path.
    pub reports: Vec<(String, PathBuf)>,
    /// What is done when something changes, in the order declared.
    pub callbacks: Vec<Callback>,
}

/// Where a job was written down.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The path as the user gave it; `None` for a job built by a program, `-` for standard input.
    pub manifest: Option<String>,
    /// A hash of the bytes of the manifest and of what it includes, in hexadecimal.
    pub hash: String,
    /// The folder that relative paths of the job start from.
    pub dir: PathBuf,
    /// The files that the manifest includes, and those that they include, in the order read.
    pub included: Vec<Included>,
}

/// A file that a manifest includes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// Its path, from where the manifest's path starts.
    pub name: String,
    /// The folder that relative paths in it start from.
    pub dir: Arc<Path>,
}

/// A line of one of the files of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file: 0 for the manifest, and from 1 on those in [`included`](field@Origin::included).
    pub file: u32,
    /// The line, counted from 1; 0 for nowhere.
    pub line: u32,
}

impl Origin {
    /// The name of the file of a place; `None` if there is none.
    pub fn file(&self, place: Place) -> Option<&str> {
        match self.included(place) {
            Some(included) => Some(&included.name),
            None => self.manifest.as_deref(),
        }
    }

    /// The folder that relative paths start from in the file of a place, if that is included.
    pub fn included_dir(&self, place: Place) -> Option<&Arc<Path>> {
        self.included(place).map(|included| &included.dir)
    }

    /// The folder that relative paths start from in the file of a place.
    pub fn dir_of(&self, place: Place) -> &Path {
        self.included_dir(place).map_or(&*self.dir, |dir| dir)
    }

    fn included(&self, place: Place) -> Option<&Included> {
        self.included.get((place.file as usize).checked_sub(1)?)
    }
}

impl Origin {
    /// A job that was written down here, as templates see it: a map of
    /// [`template::JOB`](crate::template::JOB).
    pub fn describe(&self, name: &str, description: Option<&str>) -> Value {
        let text = |text: Option<&str>| text.map_or(Value::Null, Value::from);
        let values = [
            text(Some(name)),
            text(description),
            text(self.manifest.as_deref()),
            text(Some(&self.dir.to_string_lossy())),
        ];
        Value::Map(JOB.map(str::to_owned).into_iter().zip(values).collect())
    }
}

/// The environment that the children of a file have in common.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// What files of variables say that jobrun does not inherit, the last of equal names last.
    pub files: Vec<(String, String)>,
    /// What `env` says, on top of that. Its templates see what is below it.
    pub env: Vec<(String, Template)>,
}

/// What the futures of one task do.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Where its `[[task]]` is.
    pub place: Place,
    /// Its tags.
    pub tags: Vec<String>,
    /// What it does.
    pub action: Action,
    /// The items of a group; `None` for a plain task.
    pub items: Option<Items>,
    /// What must be true of a future when all it is after is done, or it is skipped.
    pub condition: Option<Template>,
    /// What yields the items of a group that is open.
    pub expansion: Option<Template>,
}

/// What a task or a callback does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Calls a registered function.
    Call {
        /// Its name.
        function: Arc<str>,
        /// What it is given.
        args: ArgsSpec,
    },
    /// Runs a child process.
    Run(CommandSpec),
}

/// What a function is given.
#[derive(Clone, Debug)]
pub enum ArgsSpec {
    /// The item of the future is the one argument; nothing for a plain task.
    Item,
    /// By position.
    List(Vec<Template>),
    /// By name.
    Named(Vec<(String, Template)>),
}

/// A child process to be.
#[derive(Clone, Debug)]
pub struct CommandSpec {
    /// What is executed.
    pub program: ProgramSpec,
    /// Variables of its own, on top of those that all children of its file have.
    pub env: Vec<(String, Template)>,
    /// Where it runs; the manifest's folder if `None`. Relative to that folder.
    pub cwd: Option<Template>,
    /// What it reads.
    pub stdin: Option<Template>,
    /// The exit codes that are a success.
    pub ok_exit: Arc<[i32]>,
    /// What becomes of its standard output.
    pub result: ResultKind,
    /// What becomes of the processes that it leaves.
    pub leak: Leak,
    /// What it is held to; nothing if `None`.
    pub limits: Option<Arc<Limits>>,
}

/// What a child process executes.
#[derive(Clone, Debug)]
pub enum ProgramSpec {
    /// A program and its arguments, without a shell; at least one element.
    Argv(Vec<Template>),
    /// A script, given to a shell as its last argument.
    Script {
        /// The shell and its flags; at least one element.
        shell: Vec<String>,
        /// The script, taken as it is.
        script: String,
    },
}

/// The items of a group.
#[derive(Clone, Debug)]
pub enum Items {
    /// `start + step * index`, for so many.
    Range {
        /// The first item.
        start: i64,
        /// The distance between two items; not 0.
        step: i64,
        /// How many there are.
        len: u32,
    },
    /// These.
    List(Vec<Value>),
    /// The combinations of these.
    Matrix(Matrix),
    /// For each future the result of its counterpart in the task that is followed.
    Each,
    /// These, as soon as they are known: what `map` yields while the job runs.
    Open(OnceLock<Vec<Value>>),
}

impl Items {
    /// The number of items that are the task's own, as far as they are known.
    pub fn len(&self) -> usize {
        match self {
            Self::Range { len, .. } => *len as usize,
            Self::List(items) => items.len(),
            Self::Matrix(matrix) => matrix.len(),
            Self::Each => 0,
            Self::Open(items) => items.get().map_or(0, Vec::len),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at `index`; `None` beyond the last one, or where it is not the task's own.
    pub fn get(&self, index: u32) -> Option<Value> {
        match self {
            Self::Range { start, step, len } => (index < *len)
                .then(|| Value::Int(i128::from(*start) + i128::from(*step) * i128::from(index))),
            Self::List(items) => items.get(index as usize).cloned(),
            Self::Matrix(matrix) => matrix.get(index),
            Self::Each => None,
            Self::Open(items) => items.get()?.get(index as usize).cloned(),
        }
    }

    /// Where an item is among those that are known before the run.
    pub fn positions(&self, item: &Value) -> Vec<u32> {
        match self {
            Self::Range { start, step, len } => {
                let (start, step) = (i128::from(*start), i128::from(*step));
                let ahead = item.as_int().and_then(|item| item.checked_sub(start));
                let steps = ahead.filter(|ahead| ahead % step == 0).map(|ahead| ahead / step);
                let place = steps.and_then(|steps| u32::try_from(steps).ok());
                place.filter(|place| place < len).into_iter().collect()
            }
            Self::List(items) => {
                let found = items.iter().enumerate().filter(|(_, other)| *other == item);
                found.map(|(place, _)| place as u32).collect()
            }
            Self::Matrix(matrix) => {
                let is_it = |place: &u32| matrix.get(*place).as_ref() == Some(item);
                (0..matrix.len() as u32).filter(is_it).collect()
            }
            Self::Each | Self::Open(_) => Vec::new(),
        }
    }
}

/// How an executor is set up, beyond what the schedule needs.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Where it is declared.
    pub place: Place,
    /// A worker process is replaced after so many calls.
    pub max_tasks_per_child: Option<u32>,
    /// What each worker does first: a function and its arguments.
    pub initializer: Option<(Arc<str>, Vec<Value>)>,
    /// What is asked of a start beyond a free worker.
    pub conditions: Conditions,
}

/// What must hold when something starts on an executor where something runs already.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conditions {
    /// The load of the machine is below this.
    pub max_load: Option<f64>,
    /// So many bytes of memory are free.
    pub min_free_memory: Option<u64>,
    /// Whether a jobserver has a token for it: that of an outer make, or with `true` our own if there is
    /// none; with `None` only an outer one.
    pub jobserver: Option<bool>,
}

/// Something done when a future or the job changes state.
#[derive(Clone, Debug)]
pub struct Callback {
    /// Where its table is.
    pub place: Place,
    /// What it is called for.
    pub on: Vec<Trigger>,
    /// The tasks it is for, sorted; all for `None`.
    pub tasks: Option<Vec<TaskId>>,
    /// What it does.
    pub action: CallbackAction,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a callback is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A future's first attempt started.
    Start,
    /// A future ended, in any way.
    Done,
    /// A future succeeded.
    Success,
    /// A future failed or timed out.
    Failure,
    /// A future timed out.
    Timeout,
    /// A future was cancelled.
    Cancelled,
    /// A future was skipped.
    Skipped,
    /// A future's attempt failed and another follows.
    Retry,
    /// The wait of a group, or of the job, returned.
    Return,
    /// The job ended.
    JobDone,
    /// The job ended with exit code 0.
    JobSuccess,
    /// The job ended with another exit code.
    JobFailure,
}

impl Trigger {
    /// All triggers, in the order of the manual.
    pub const ALL: [Self; 12] = [
        Self::Start,
        Self::Done,
        Self::Success,
        Self::Failure,
        Self::Timeout,
        Self::Cancelled,
        Self::Skipped,
        Self::Retry,
        Self::Return,
        Self::JobDone,
        Self::JobSuccess,
        Self::JobFailure,
    ];

    /// The word used in manifests and reports, for example `job_done`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Done => "done",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Retry => "retry",
            Self::Return => "return",
            Self::JobDone => "job_done",
            Self::JobSuccess => "job_success",
            Self::JobFailure => "job_failure",
        }
    }
}

/// What a callback does.
#[derive(Clone, Debug)]
pub enum CallbackAction {
    /// Writes a line to the log.
    Log(Template),
    /// Calls a function or runs a command. With no arguments given, a function gets the future (or
    /// the job) as its one argument.
    Do(Action),
    /// Sends the future (or the job) as JSON by HTTP POST.
    Post {
        /// Where to.
        url: Template,
        /// Further headers.
        headers: Vec<(String, Template)>,
        /// What is sent instead of the JSON.
        body: Option<Template>,
    },
}

impl CallbackAction {
    /// Whether it is done on a thread of this process, and not by a child or at once.
    pub const fn needs_thread(&self) -> bool {
        matches!(self, Self::Do(Action::Call { .. }) | Self::Post { .. })
    }

    /// The word used in manifests and reports: `log`, `run`, `post` or `call`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::Do(Action::Run(_)) => "run",
            Self::Do(Action::Call { .. }) => "call",
            Self::Post { .. } => "post",
        }
    }
}

impl Job {
    /// What a task does.
    pub fn spec(&self, task: TaskId) -> &Spec {
        &self.specs[task.index()]
    }

    /// The job for one run: where it grows while it runs, one of its own.
    #[must_use]
    pub fn for_a_run(self: &Arc<Self>) -> Arc<Self> {
        if self.graph.is_open() { Arc::new(Self::clone(self)) } else { Arc::clone(self) }
    }

    /// How an executor is set up.
    pub fn setup(&self, executor: ExecutorId) -> &Setup {
        &self.setups[executor.index()]
    }

    /// The item of a future; `None` for one of a plain task. That of a task with `each` is the result
    /// of its counterpart.
    pub fn item(&self, node: NodeId, ledger: &Ledger) -> Option<Value> {
        let index = self.graph.index_in_group(node)?;
        match self.spec(self.graph.task_of(node)).items.as_ref()? {
            Items::Each => Some(ledger.result(self.graph.counterpart(node)?).clone()),
            items => items.get(index),
        }
    }

    /// Gives an open group its items, and its futures and those of its followers to the graph.
    ///
    /// # Errors
    /// If the job would have too many futures.
    ///
    /// # Panics
    /// If the group is not open, or was given them before.
    pub fn grow(&self, task: TaskId, items: Vec<Value>) -> Result<(), GraphError> {
        let members = u32::try_from(items.len()).unwrap_or(u32::MAX);
        self.graph.grow(task, members)?;
        if let Some(Items::Open(open)) = &self.spec(task).items {
            assert!(open.set(items).is_ok(), "a group grows once");
        }
        Ok(())
    }
}
