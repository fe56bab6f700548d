//! The tables of a manifest: their keys, what the keys mean, and what other tools call them. The
//! comments on the keys are what editors show. Knows nothing of how tables depend on each other.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::json;
use toml::de::DeValue;

use crate::diagnostic::{Diagnostic, Source};
use crate::graph::{Concurrency, ExecutorKind, OnReturn, OnWorkerDeath, ReturnWhen, When};
use crate::manifest::limits::{Limits, Nice};
use crate::manifest::place::{Entries, Given, Items};
use crate::manifest::reader::{Info, Node, Read, Reader};
use crate::manifest::sources::{MapSource, Matrix};
use crate::manifest::table::{self, Custom, Table, table};
use crate::manifest::values::{
    Bytes, Condition, ExitCode, Factor, Limit, OneOrMany, Program, Quantity, Scalar,
};
use crate::manifest::words::On;
use crate::outcome::FailureKind;
use crate::value::Value;
use crate::work::{Leak, ResultKind};

/// Keys of a task that only suit `run`.
const RUN_KEYS: [&str; 9] =
    ["cwd", "env", "shell", "stdin", "ok_exit", "result", "leak", "limits", "nice"];

/// Keys of a task or a callback that only suit `call`.
pub const CALL_KEYS: [&str; 2] = ["args", "with"];

/// Keys of a task that make it a group.
const GROUP_KEYS: [&str; 3] = ["map", "matrix", "each"];

/// Keys of an executor that only suit the kind `process`.
const PROCESS_KEYS: [&str; 2] = ["max_tasks_per_child", "on_worker_death"];

/// Keys of a task that no default can be given for.
const NO_DEFAULT: [&str; 5] = ["name", "after", "map", "matrix", "each"];

table! {
    /// A jobrun manifest: one job, its tasks, and how they run.
    pub struct Manifest is "the manifest" {
        /// The name of the job. Default: the name of the file without its ending.
        pub name: Given<String> = "nightly",
        /// What the job is for; shown by `jobrun list` and in reports.
        pub description: Given<String> = "Builds and checks everything",
        /// How many runs of this job there may be at once. `one`: a run waits until the one before it
        /// has ended, or does what `--lock` says.
        pub concurrency: Given<Concurrency> = "one",
        /// Other manifests, whose tasks, executors, resources, callbacks and `vars` become part of this
        /// job. Paths start from this file's folder.
        pub include: Given<Items<String>> = ["build.toml", "../shared/deploy.toml"],
        /// Values for templates: `{{ vars.NAME }}`. `--var NAME=VALUE` overrides one.
        pub vars: Given<Entries<Value>> = { "target": "release" },
        /// Environment variables of every child process; a task's `env` wins.
        pub env: Given<Entries<Scalar>> = { "RUST_BACKTRACE": "1" },
        /// Files with environment variables of every child process, as `NAME=VALUE` lines. What jobrun's
        /// own environment has wins, and so does `env`.
        pub env_file: Given<OneOrMany<String>> = ".env",
        /// Environment variables whose values are secret: wherever jobrun writes, `***` stands in
        /// their place.
        pub secrets: Given<Items<String>> = ["API_TOKEN"],
        /// The default executor: where tasks run that do not name another.
        pub executor: Given<Executor> = { "kind": "thread", "max_workers": 4 },
        /// Further executors; a task picks one with `executor = "NAME"`.
        pub executors: Given<Entries<Executor>> = { "heavy": { "max_workers": 1 } },
        /// When the job returns, and what happens to the rest then.
        pub wait: Given<Box<Wait>> = { "return_when": "all_completed", "timeout": "10m" },
        /// Limits shared by all tasks: a count, or a size such as `"8GiB"`. A task takes its share
        /// with `uses`.
        pub resources: Given<Entries<Quantity>> = { "db": 1, "memory": "8GiB" },
        /// What every task starts from. A key that does not fit a task's kind is passed over.
        pub defaults: Given<Defaults> = { "timeout": "5m", "retry": 1 },
        /// The tasks; at least one.
        pub task: Items<Task> = [{ "name": "hello", "run": ["echo", "hello"] }],
        /// What is done when something happens to any task, or to the job.
        pub callback: Items<Callback> = [{ "on": "failure", "log": "{{ future.name }} failed" }],
        /// Reports that are written at the end: a path for each format, from this file's folder.
        pub report: Given<Report> = { "json": "out/report.json" },
    }
    /// The text this was read from; `None` if a program made it.
    also source: Option<Arc<Source>>;
}

table! {
    /// Where futures run.
    pub struct Executor is "an executor" {
        /// `thread` runs calls on threads of jobrun, `process` in worker processes. Both run
        /// commands as child processes.
        pub kind: Given<ExecutorKind> = "process",
        /// At most so many futures run here at once. Default: for `thread` the CPUs and 4 more, 32
        /// at most; for `process` the CPUs.
        pub max_workers: Given<NonZeroU32> = 4,
        /// Nothing more starts here while the load of the machine is not below this. One may always run.
        pub max_load: Given<Factor> = 8.0,
        /// Nothing more starts here while less memory is free. One may always run.
        pub min_free_memory: Given<Bytes> = "2GiB",
        /// `true`: commands share the workers with the jobs of every make and cargo that they run.
        /// `false`: the jobserver of a make that runs jobrun is passed over.
        pub jobserver: Given<bool> = true,
        /// `process`: a worker process is replaced after so many calls.
        pub max_tasks_per_child: Given<NonZeroU32> = 100,
        /// A call that each worker makes first; if it fails, the executor is broken.
        pub initializer: Given<Initializer> = { "call": "echo", "args": ["ready"] },
        /// `process`: what happens when a worker process dies. `fail`: only what ran there fails.
        /// `retry`: that runs again, three times at most. `break`: everything there fails.
        pub on_worker_death: Given<OnWorkerDeath> = "retry",
    }
}

table! {
    /// A call that each worker makes before anything else.
    pub struct Initializer is "an `initializer`" {
        /// The name of the function.
        pub call: Given<String> = "echo",
        /// Its arguments.
        pub args: Given<Items<Value>> = ["ready"],
    }
}

table! {
    /// When a set of futures returns.
    pub struct Wait is "a `wait`" {
        /// What is waited for. `{ completed = k }`, `{ succeeded = k }` and `{ failed = k }` count;
        /// k is a number or a share such as `"80%"`.
        pub return_when: Given<ReturnWhen> = "first_exception",
        /// The wait gives up after this time.
        pub timeout: Given<Limit> = "7s",
        /// What happens to the futures that are not done when it returns. `cancel`: none starts,
        /// running ones are stopped. `drain`: none starts, running ones finish. `continue`: all go
        /// on.
        pub on_return: Given<OnReturn> = "drain",
    }
}

table! {
    /// A unit of work: a call of a function or a command to run.
    pub struct Task is "a task" {
        /// Its name, unique in the job: letters, digits and `.` `_` `-` `/` `:`.
        pub name: Given<String> = "build",
        /// A function to call: built in, or registered by the program that embeds jobrun.
        pub call: Given<String> = "sum_to",
        /// The arguments of the call. Default for a group: its item.
        pub args: Given<Items<Value>> = ["{{ item }}"],
        /// The arguments of the call by name.
        pub with: Given<Entries<Value>> = { "url": "https://example.org" },
        /// A command: a list of the program and its arguments, or a string as a script for `shell`.
        pub run: Given<Program> = ["cargo", "build"],
        /// Makes the task a group of futures, one for each item. Templates see `item` and `index`. An
        /// expression that yields a list, such as `"{{ tasks.find.result }}"`, gives the items while
        /// the job runs.
        pub map: Given<MapSource> = { "range": [0, 10, 1] },
        /// Makes the task a group of futures, one for each combination of these lists, the last one
        /// fastest. `include` adds whole combinations, `exclude` leaves some out.
        pub matrix: Given<Matrix> = { "os": ["linux", "mac"], "version": { "range": [1, 4] } },
        /// Makes the task a group with a future for each future of that task, which starts as soon as
        /// its counterpart is done. Templates see its result as `item`, and it as `parent`.
        pub each: Given<String> = "build",
        /// The tasks that come first; `*` and `?` match several.
        pub after: Given<Items<String>> = ["build", "lint-*"],
        /// How the tasks it is `after` must end. `success`: all succeeded. `failure`: one failed.
        /// `always`: all are done.
        pub when: Given<When> = "always",
        /// An expression that says, once a future could start, whether it runs. If not, it is skipped.
        pub condition as "if": Given<Condition> = "{{ tasks.build.result != \"\" }}",
        /// The executor it runs on. Default: `default`, which is `[executor]`.
        pub executor: Given<String> = "heavy",
        /// How much of which of the `resources` each future holds while it runs.
        pub uses: Given<Entries<Quantity>> = { "db": 1, "memory": "2GiB" },
        /// Nothing else of the job runs beside it.
        pub exclusive: Given<bool> = true,
        /// Of the futures that are ready, those with a higher number start first.
        pub priority: Given<i64> = 10,
        /// How long one attempt may take; then it is stopped and counts as timed out.
        pub timeout: Given<Limit> = "1m 30s",
        /// How long a stopped command has from SIGTERM to SIGKILL, and a function on a thread from
        /// being asked to end to being given up. Default: 5 seconds.
        pub grace: Given<Limit> = "5s",
        /// How many more attempts follow a failed one, or a table that also says when.
        pub retry: Given<Box<Retry>> = { "count": 3, "delay": "1s", "backoff": 2.0 },
        /// Its failure does not fail the job, and what is after it still runs.
        pub allow_failure: Given<bool> = true,
        /// The folder a command runs in. Default: the folder of the manifest.
        pub cwd: Given<String> = "web",
        /// Environment variables of a command.
        pub env: Given<Entries<Scalar>> = { "MODE": "test", "N": "{{ item }}" },
        /// The shell, with its flags, for a `run` that is a script.
        pub shell: Given<Items<String>> = ["bash", "-euo", "pipefail", "-c"],
        /// What a command reads from its standard input. Default: nothing.
        pub stdin: Given<String> = "{{ item }}",
        /// The exit codes of a command that are a success.
        pub ok_exit: Given<Items<ExitCode>> = [0, 1],
        /// What the standard output of a command becomes: the result as text, as a list of lines,
        /// as JSON, or nothing.
        pub result: Given<ResultKind> = "json",
        /// What becomes of processes that a command has started and that have not ended when it has.
        /// `warn`: they live on until the run ends. `kill`: they are killed. `fail`: they are killed,
        /// and it fails if they held its output open. Default: `warn`.
        pub leak: Given<Leak> = "kill",
        /// What a command, and all that it starts, may use.
        pub limits: Given<Limits> = { "memory": "512MiB", "cpu_time": "10s" },
        /// So much is added to the niceness of a command: above 0 others go first.
        pub nice: Given<Nice> = 5,
        /// When a group returns: what is after it may start then.
        pub wait: Given<Box<Wait>> = { "return_when": "first_success" },
        /// The time one future is expected to take, for planning.
        pub estimate: Given<Limit> = "20s",
        /// Words to select tasks by: `--tag`.
        pub tags: Given<Items<String>> = ["slow"],
        /// What is done when something happens to this task.
        pub callback: Items<Callback> = [{ "on": "done", "log": "{{ future.state }}" }],
    }
}

table! {
    /// When and how often a failed attempt is followed by another.
    pub struct Retry is "a `retry`" {
        /// How many more attempts there may be. Default: 1.
        pub count: Given<u32> = 3,
        /// The pause before the second attempt. Default: none.
        pub delay: Given<Limit> = "1s",
        /// What each pause is multiplied by to give the next. Default: 1.
        pub backoff: Given<Factor> = 2.0,
        /// No pause is longer than this.
        pub max_delay: Given<Limit> = "1m",
        /// Whether a pause varies at random between its half and its whole.
        pub jitter: Given<bool> = true,
        /// Only these kinds of failure are tried again. Default: all.
        pub on: Given<OneOrMany<FailureKind>> = ["exit", "timeout"],
        /// Of failures by exit code, only these codes are tried again.
        pub on_exit: Given<OneOrMany<ExitCode>> = [75],
    }
}

table! {
    /// Something done when a future or the job changes state. Exactly one of `log`, `run`, `post`
    /// and `call` says what.
    pub struct Callback is "a callback" {
        /// What it is called for: one word or a list of them.
        pub on: Given<OneOrMany<On>> = ["failure", "timeout"],
        /// The tasks it is for; `*` and `?` match several. Default: all.
        pub tasks: Given<OneOrMany<String>> = ["deploy-*"],
        /// A line for the log.
        pub log: Given<String> = "{{ future.name }} -> {{ future.result }}",
        /// A command; it reads the future, or the job, as JSON.
        pub run: Given<Program> = ["notify-send", "{{ future.name }}"],
        /// A URL that the future, or the job, is sent to as JSON, or a table that says more.
        pub post: Given<Box<Post>> = "https://example.org/hook",
        /// A function. Without `args` and `with` it is given the future, or the job.
        pub call: Given<String> = "echo",
        /// The arguments of the call. Templates see `future`.
        pub args: Given<Items<Value>> = ["{{ future.result }}"],
        /// The arguments of the call by name.
        pub with: Given<Entries<Value>> = { "value": "{{ future.state }}" },
        /// How long it may take. Default: 30 seconds.
        pub timeout: Given<Limit> = "30s",
    }
}

table! {
    /// An HTTP POST.
    pub struct Post is "a `post`" {
        /// Where to.
        pub url: Given<String> = "https://example.org/hook",
        /// Further headers.
        pub headers: Given<Entries<String>> = { "X-Job": "nightly" },
        /// What is sent instead of the JSON of the future, or the job.
        pub body: Given<String> = "{{ future.name }}",
    }
}

table! {
    /// Where reports are written, by format.
    pub struct Report is "`[report]`" {
        /// The whole run as JSON.
        pub json: Given<String> = "out/report.json",
        /// `JUnit` XML, as CI systems read it.
        pub junit: Given<String> = "out/junit.xml",
        /// A summary in Markdown.
        pub markdown: Given<String> = "out/summary.md",
        /// One self-contained page.
        pub html: Given<String> = "out/report.html",
        /// A trace for `chrome://tracing` and Perfetto.
        pub trace: Given<String> = "out/trace.json",
    }
}

impl Custom for Manifest {
    const DIALECT: &'static [(&'static str, &'static str)] = &[
        ("tasks", "[[task]]"),
        ("job", "[[task]]"),
        ("jobs", "[[task]]"),
        ("step", "[[task]]"),
        ("steps", "[[task]]"),
        ("target", "[[task]]"),
        ("callbacks", "[[callback]]"),
        ("hook", "[[callback]]"),
        ("hooks", "[[callback]]"),
        ("variables", "vars"),
        ("secret", "secrets"),
        ("mask", "secrets"),
        ("masked", "secrets"),
        ("environment", "env"),
        ("pool", "executor"),
        ("pools", "executors"),
        ("default", "defaults"),
        ("limits", "resources"),
        ("title", "name"),
        ("lock", "concurrency"),
        ("singleton", "concurrency"),
        ("includes", "include"),
        ("import", "include"),
        ("imports", "include"),
        ("extends", "include"),
        ("dotenv", "env_file"),
        ("env_files", "env_file"),
    ];

    /// A task has `call` or `run`, unless `[defaults]` has.
    fn refine(schema: &mut Schema) {
        let either = json!([{ "required": ["call"] }, { "required": ["run"] }]);
        let any = json!([{ "required": ["task"] }, { "required": ["include"] }]);
        schema.insert("anyOf".to_owned(), any);
        schema.insert(
            "if".to_owned(),
            json!({ "required": ["defaults"], "properties": { "defaults": { "anyOf": either } } }),
        );
        schema.insert(
            "else".to_owned(),
            json!({ "properties": { "task": { "items": { "anyOf": either } } } }),
        );
        if let Some(task) = keys_of(schema, "task") {
            task.insert("minItems".to_owned(), json!(1));
        }
        if let Some(executors) = keys_of(schema, "executors") {
            executors.insert("propertyNames".to_owned(), json!({ "not": { "const": "default" } }));
        }
    }
}

impl Custom for Executor {
    const DIALECT: &'static [(&'static str, &'static str)] = &[
        ("workers", "max_workers"),
        ("jobs", "max_workers"),
        ("threads", "max_workers"),
        ("processes", "max_workers"),
        ("parallel", "max_workers"),
        ("parallelism", "max_workers"),
        ("concurrency", "max_workers"),
        ("load", "max_load"),
        ("load_average", "max_load"),
        ("memfree", "min_free_memory"),
        ("min_memory", "min_free_memory"),
        ("type", "kind"),
        ("init", "initializer"),
    ];

    fn refine(schema: &mut Schema) {
        let process =
            json!({ "required": ["kind"], "properties": { "kind": { "const": "process" } } });
        schema.insert("if".to_owned(), process);
        schema.insert("else".to_owned(), never(&PROCESS_KEYS));
    }
}

impl Custom for Initializer {
    fn refine(schema: &mut Schema) {
        schema.insert("required".to_owned(), json!(["call"]));
    }
}

impl Custom for Wait {
    const DIALECT: &'static [(&'static str, &'static str)] = &[
        ("until", "return_when"),
        ("policy", "return_when"),
        ("mode", "return_when"),
        ("then", "on_return"),
        ("time_limit", "timeout"),
    ];
}

impl Custom for Task {
    const DIALECT: &'static [(&'static str, &'static str)] = &[
        ("needs", "after"),
        ("need", "after"),
        ("depends", "after"),
        ("depends_on", "after"),
        ("deps", "after"),
        ("dependencies", "after"),
        ("requires", "after"),
        ("command", "run"),
        ("cmd", "run"),
        ("commands", "run"),
        ("script", "run"),
        ("exec", "run"),
        ("function", "call"),
        ("func", "call"),
        ("fn", "call"),
        ("arguments", "args"),
        ("kwargs", "with"),
        ("retries", "retry"),
        ("attempts", "retry"),
        ("environment", "env"),
        ("dir", "cwd"),
        ("directory", "cwd"),
        ("workdir", "cwd"),
        ("working_dir", "cwd"),
        ("working_directory", "cwd"),
        ("time_limit", "timeout"),
        ("limit", "limits"),
        ("rlimits", "limits"),
        ("ulimit", "limits"),
        ("ulimits", "limits"),
        ("niceness", "nice"),
        ("label", "tags"),
        ("labels", "tags"),
        ("resources", "uses"),
        ("foreach", "map"),
        ("for_each", "map"),
        ("items", "map"),
        ("over", "map"),
        ("ignore_errors", "allow_failure"),
        ("continue_on_error", "allow_failure"),
        ("input", "stdin"),
        ("id", "name"),
        ("title", "name"),
        ("callbacks", "[[task.callback]]"),
        ("hooks", "[[task.callback]]"),
    ];

    fn refine(schema: &mut Schema) {
        schema.insert("required".to_owned(), json!(["name"]));
        refine_action(schema);
        if let Some(name) = keys_of(schema, "name") {
            name.insert("pattern".to_owned(), json!("^[A-Za-z0-9._/:-]+$"));
        }
    }
}

/// The schema of a table without these keys.
fn never(keys: &[&str]) -> serde_json::Value {
    let keys: serde_json::Map<_, _> =
        keys.iter().map(|key| ((*key).to_owned(), json!(false))).collect();
    json!({ "properties": keys })
}

/// The schema of the value of a key.
fn keys_of<'a>(
    schema: &'a mut Schema,
    key: &str,
) -> Option<&'a mut serde_json::Map<String, serde_json::Value>> {
    schema.pointer_mut(&format!("/properties/{key}"))?.as_object_mut()
}

/// Only one of `call` and `run`, and no key that suits the other one alone.
fn refine_action(schema: &mut Schema) {
    schema.insert("not".to_owned(), json!({ "required": ["call", "run"] }));
    let groups = GROUP_KEYS.map(|key| json!({ "required": [key] }));
    schema.insert(
        "dependentSchemas".to_owned(),
        json!({
            "call": never(&RUN_KEYS),
            "run": never(&CALL_KEYS),
            "args": never(&["with"]),
            "map": never(&["matrix", "each"]),
            "matrix": never(&["each"]),
            "wait": { "anyOf": groups },
        }),
    );
    if let Some(callback) = keys_of(schema, "callback")
        && let Some(items) = callback.remove("items")
    {
        callback.insert("items".to_owned(), json!({ "allOf": [items, never(&["tasks"])] }));
    }
}

impl Task {
    /// Whether its futures are a group, be it that what makes it one could not be read.
    pub(crate) fn is_group(&self) -> bool {
        let unread = GROUP_KEYS.iter().any(|key| self.broken.contains(key));
        self.map.is_some() || self.matrix.is_some() || self.each.is_some() || unread
    }
}

impl Custom for Retry {
    const DIALECT: &'static [(&'static str, &'static str)] = &[
        ("retries", "count"),
        ("times", "count"),
        ("attempts", "count"),
        ("max", "count"),
        ("limit", "count"),
        ("factor", "backoff"),
        ("wait", "delay"),
        ("interval", "delay"),
        ("exit_codes", "on_exit"),
    ];

    fn refine(schema: &mut Schema) {
        let table = schema.clone();
        let count = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
        *schema = schemars::json_schema!({ "oneOf": [count, table] });
    }
}

impl Custom for Callback {
    const DIALECT: &'static [(&'static str, &'static str)] = &[
        ("when", "on"),
        ("event", "on"),
        ("events", "on"),
        ("trigger", "on"),
        ("task", "tasks"),
        ("message", "log"),
        ("print", "log"),
        ("command", "run"),
        ("cmd", "run"),
        ("script", "run"),
        ("url", "post"),
        ("webhook", "post"),
        ("http", "post"),
        ("function", "call"),
        ("arguments", "args"),
        ("kwargs", "with"),
    ];

    fn refine(schema: &mut Schema) {
        let one = ["log", "run", "post", "call"].map(|key| json!({ "required": [key] }));
        schema.insert("required".to_owned(), json!(["on"]));
        schema.insert("oneOf".to_owned(), json!(one));
        let required = CALL_KEYS.map(|key| (key.to_owned(), json!(["call"])));
        schema.insert("dependentRequired".to_owned(), required.into_iter().collect());
        schema.insert("dependentSchemas".to_owned(), json!({ "args": never(&["with"]) }));
    }
}

impl Custom for Post {
    const DIALECT: &'static [(&'static str, &'static str)] =
        &[("uri", "url"), ("to", "url"), ("header", "headers"), ("data", "body"), ("json", "body")];

    fn refine(schema: &mut Schema) {
        let mut table = schema.clone();
        table.insert("required".to_owned(), json!(["url"]));
        *schema = schemars::json_schema!({ "oneOf": [{ "type": "string" }, table] });
    }
}

impl Custom for Report {
    const DIALECT: &'static [(&'static str, &'static str)] =
        &[("xml", "junit"), ("md", "markdown"), ("chrome", "trace")];
}

/// Where each table is, to say where a key belongs.
pub(super) const PLACES: [(&Info, &str); 7] = [
    (Manifest::INFO, "at the top of the manifest, above any header"),
    (Task::INFO, "in a task, below its `[[task]]`"),
    (Executor::INFO, "in `[executor]`"),
    (Wait::INFO, "in `[wait]`, or in the `wait` of a task"),
    (Callback::INFO, "in a `[[callback]]`"),
    (Retry::INFO, "in the `retry` of a task"),
    (Limits::INFO, "in the `limits` of a task"),
];

/// `[defaults]`: a task without a name and a place of its own.
#[derive(Clone, Debug, Default)]
pub struct Defaults(pub Box<Task>);

impl Read for Defaults {
    const WHAT: &'static str = "a table of task keys";

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let DeValue::Table(table) = node.get_ref() else { return reader.wrong_type(node) };
        let task: Task = table::read(table, reader);
        for (key, _) in table {
            if NO_DEFAULT.contains(&key.get_ref().as_ref()) {
                let message = format!("`{}` can have no default", key.get_ref());
                let fault = Diagnostic::error("no-default", message)
                    .at(key.span())
                    .hint("write it in the tasks themselves");
                reader.faults.push(fault);
            }
        }
        Some(Self(Box::new(task)))
    }
}

impl JsonSchema for Defaults {
    fn schema_name() -> Cow<'static, str> {
        "Defaults".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Task::json_schema(generator);
        for key in ["required", "not", "dependentSchemas"] {
            schema.remove(key);
        }
        if let Some(keys) = schema.pointer_mut("/properties").and_then(|keys| keys.as_object_mut())
        {
            keys.retain(|key, _| !NO_DEFAULT.contains(&key.as_str()));
        }
        schema
    }
}
