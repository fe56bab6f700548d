//! Turns a node's specification into `Work`, just before it starts: fills in templates and adds the
//! environment that tells a child what it is. Knows nothing of executors.

mod facts;

use std::cell::OnceCell;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::bind::facts::{Memory, Moment, Past};
use crate::id::{NodeId, ResourceId, TaskId};
use crate::job::{self, Action, ArgsSpec, CallbackAction, CommandSpec, Job, Place, ProgramSpec};
use crate::ledger::Ledger;
use crate::mask::Masker;
use crate::outcome::{Failure, FailureKind};
use crate::template::{RUN, Scope, Template, TemplateError};
use crate::value::Value;
use crate::work::{Args, Call, CallbackWork, Command, Work};

/// An item that is longer than this many bytes is not handed over as `JOBRUN_ITEM`: Linux takes no
/// variable of 128 KiB, and a task that does not even look at it would fail to start.
const MAX_ITEM: usize = 64 * 1024;

/// One attempt to be bound.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The future.
    pub node: NodeId,
    /// Counts from 1.
    pub attempt: u32,
    /// The units of counted resources that it holds, counted from 0.
    pub units: &'a [(ResourceId, Vec<u32>)],
    /// The W3C trace context of its span; none is set if it is empty.
    pub traceparent: &'a str,
}

/// One call of a callback to be bound.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The future it is about; a group's gate for a group; `None` for the job.
    pub node: Option<NodeId>,
    /// The future, the group or the job as templates and receivers see it.
    pub payload: &'a Value,
    /// The word of its state, for example `succeeded`.
    pub state: &'a str,
    /// The W3C trace context of its span; none is set if it is empty.
    pub traceparent: &'a str,
    /// Where the callback is declared.
    pub place: Place,
    /// What covers secrets: in all that a receiver is told beside what the keys of the callback say.
    pub masker: &'a Masker,
}

/// Binds the nodes of one job in one run.
#[derive(Debug)]
pub struct Binder<'a> {
    job: &'a Job,
    /// What every child of the run is told.
    env: Vec<(OsString, OsString)>,
    /// The names of `JOBRUN_SLOT_…`, by resource.
    slots: Vec<OsString>,
    run_id: String,
    /// What `job` and `run` stand for in templates.
    names: [Value; 2],
    /// The environment of the children of each file, once somebody needs it.
    environments: Vec<OnceCell<Result<Environment, String>>>,
    memory: Memory,
}

/// What every child of a file gets, beside what it inherits.
#[derive(Debug)]
struct Environment {
    /// Variables that the file, the manifest and their files of variables set.
    own: Vec<(OsString, OsString)>,
    /// Those, on top of what is inherited, as a map of text.
    all: Value,
}

impl<'a> Binder<'a> {
    /// A binder for the run of `job` that has this id, and started then.
    pub fn new(job: &'a Job, run_id: &str, started_at: SystemTime) -> Self {
        let env = vec![var("JOBRUN_RUN_ID", run_id), var("JOBRUN_JOB", &job.name)];
        let slots =
            job.graph.resources().iter().map(|resource| slot_name(&resource.name)).collect();
        let started_at = humantime::format_rfc3339_micros(started_at).to_string();
        let run = RUN.map(str::to_owned).into_iter().zip([run_id.into(), started_at.into()]);
        Self {
            job,
            env,
            slots,
            run_id: run_id.to_owned(),
            names: [
                job.origin.describe(&job.name, job.description.as_deref()),
                Value::Map(run.collect()),
            ],
            environments: job.environments.iter().map(|_| OnceCell::new()).collect(),
            memory: Memory::default(),
        }
    }

    /// The id of the run.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The work of an attempt.
    ///
    /// # Errors
    /// If a template cannot be filled in, or what it gives cannot be an argument or a variable; the
    /// message names the key.
    pub fn bind(&self, attempt: &Attempt<'_>, ledger: &Ledger) -> Result<Work, Failure> {
        let item = self.job.item(attempt.node, ledger);
        let spec = self.job.spec(self.job.graph.task_of(attempt.node));
        if let Action::Call { function, args: ArgsSpec::Item } = &spec.action {
            // Of these there may be millions, and nothing is to be filled in.
            let dir = self.job.origin.included_dir(spec.place).cloned();
            let args = Args::List(item.into_iter().collect());
            return Ok(Work::Call(Call { function: Arc::clone(function), args, dir }));
        }
        let past = self.past(Some(attempt.node), ledger, Moment::Return);
        let scope = self.scope(Some(attempt.node), item.as_ref(), &past, spec.place);
        let work = match &spec.action {
            Action::Call { function, args } => {
                let dir = self.job.origin.included_dir(spec.place);
                call(function, args, item.as_ref(), &scope, dir).map(Work::Call)
            }
            Action::Run(command) => {
                let mut facts = self.facts(Some(attempt.node), item.as_ref(), attempt.traceparent);
                facts.push(var("JOBRUN_ATTEMPT", &attempt.attempt.to_string()));
                facts.extend(attempt.units.iter().map(|(resource, units)| {
                    (self.slots[resource.index()].clone(), joined(units).into())
                }));
                self.command(command, &scope, facts, spec.place).map(|it| Work::Run(Box::new(it)))
            }
        };
        work.map_err(|message| Failure::new(FailureKind::Template, message))
    }

    /// Whether a future runs, which is ready to.
    ///
    /// # Errors
    /// If its `if` cannot be evaluated, or yields no boolean.
    pub fn condition(&self, node: NodeId, ledger: &Ledger) -> Result<bool, Failure> {
        let spec = self.job.spec(self.job.graph.task_of(node));
        let Some(condition) = &spec.condition else { return Ok(true) };
        let item = self.job.item(node, ledger);
        let past = self.past(Some(node), ledger, Moment::Return);
        match condition.value(&self.scope(Some(node), item.as_ref(), &past, spec.place)) {
            Ok(Value::Bool(value)) => Ok(value),
            Ok(other) => Err(no_such_kind("if", &other, "boolean")),
            Err(error) => Err(Failure::new(FailureKind::Template, in_key("if")(error))),
        }
    }

    /// The items of an open group, whose members are known as soon as what it is after is done.
    ///
    /// # Errors
    /// If its `map` cannot be evaluated, or yields no list.
    pub fn expand(&self, task: TaskId, ledger: &Ledger) -> Result<Vec<Value>, Failure> {
        let spec = self.job.spec(task);
        let Some(expansion) = &spec.expansion else { return Ok(Vec::new()) };
        let past = self.past(None, ledger, Moment::Return);
        match expansion.value(&self.scope(None, None, &past, spec.place)) {
            Ok(Value::List(items)) => Ok(items),
            Ok(other) => Err(no_such_kind("map", &other, "list")),
            Err(error) => Err(Failure::new(FailureKind::Template, in_key("map")(error))),
        }
    }

    /// The work of a callback.
    ///
    /// # Errors
    /// As [`bind`](Self::bind): the message names the key.
    pub fn bind_callback(
        &self,
        action: &CallbackAction,
        occasion: &Occasion<'_>,
        ledger: &Ledger,
    ) -> Result<CallbackWork, String> {
        let masker = occasion.masker;
        let item = occasion.node.and_then(|node| self.job.item(node, ledger));
        let item = item.map(|item| masker.value(&item).unwrap_or(item));
        let past = self.past(occasion.node, ledger, Moment::Now);
        let scope = self.scope(occasion.node, item.as_ref(), &past, occasion.place);
        let scope = Scope { future: Some(occasion.payload), ..scope };
        match action {
            CallbackAction::Log(line) => {
                line.line(&scope).map(CallbackWork::Log).map_err(in_key("log"))
            }
            CallbackAction::Do(Action::Call { function, args }) => {
                let dir = self.job.origin.included_dir(occasion.place);
                call(function, args, Some(occasion.payload), &scope, dir).map(CallbackWork::Call)
            }
            CallbackAction::Do(Action::Run(command)) => {
                let mut facts = self.facts(occasion.node, item.as_ref(), occasion.traceparent);
                facts.push(var("JOBRUN_STATE", occasion.state));
                if !masker.is_none() {
                    for (_, value) in &mut facts {
                        cover(value, masker);
                    }
                }
                let mut command = self.command(command, &scope, facts, occasion.place)?;
                command.stdin.get_or_insert_with(|| occasion.payload.to_string().into_bytes());
                Ok(CallbackWork::Run(command))
            }
            CallbackAction::Post { url, headers, body } => {
                post(url, headers, body.as_ref(), &scope)
            }
        }
    }

    fn past<'s>(&'s self, node: Option<NodeId>, ledger: &'s Ledger, moment: Moment) -> Past<'s> {
        let parent = node.and_then(|node| self.job.graph.counterpart(node));
        Past { job: self.job, ledger, memory: &self.memory, moment, parent }
    }

    fn scope<'s>(
        &'s self,
        node: Option<NodeId>,
        item: Option<&'s Value>,
        past: &'s Past<'s>,
        place: Place,
    ) -> Scope<'s> {
        let [job, run] = &self.names;
        Scope {
            vars: Some(&self.job.vars),
            env: self.environment(place).ok().map(|environment| &environment.all),
            job: Some(job),
            run: Some(run),
            item,
            index: node.and_then(|node| self.job.graph.index_in_group(node)),
            future: None,
            facts: Some(past),
        }
    }

    /// What every child of the file of a place gets. The templates of `env` see what is below it.
    fn environment(&self, place: Place) -> Result<&Environment, &String> {
        let file = place.file as usize;
        self.environments[file].get_or_init(|| self.render(&self.job.environments[file])).as_ref()
    }

    fn render(&self, environment: &job::Environment) -> Result<Environment, String> {
        let [job, run] = &self.names;
        let mut below = self.job.inherited.clone();
        let mut own = Vec::with_capacity(environment.files.len() + environment.env.len());
        for (name, value) in &environment.files {
            own.push((name.into(), value.into()));
            below.set(name, value.as_str().into());
        }
        let mut all = below.clone();
        let scope = Scope {
            vars: Some(&self.job.vars),
            env: Some(&below),
            job: Some(job),
            run: Some(run),
            ..Scope::default()
        };
        for (name, value) in &environment.env {
            let key = format_args!("env.{name}");
            let text = value.text(&scope).map_err(in_key(key))?;
            without_nul(text.as_bytes(), key)?;
            own.push((name.into(), text.as_str().into()));
            all.set(name, Value::Str(text));
        }
        Ok(Environment { own, all })
    }

    /// What the environment tells of a future, or of the job for `None`.
    fn facts(
        &self,
        node: Option<NodeId>,
        item: Option<&Value>,
        traceparent: &str,
    ) -> Vec<(OsString, OsString)> {
        let graph = &self.job.graph;
        let mut facts = Vec::with_capacity(self.env.len() + 8);
        facts.extend_from_slice(&self.env);
        if let Some(node) = node {
            facts.push(var("JOBRUN_TASK", &graph.task(graph.task_of(node)).name));
            facts.push(var("JOBRUN_FUTURE", &graph.name(node).to_string()));
            facts.extend(graph.index_in_group(node).map(|at| var("JOBRUN_INDEX", &at.to_string())));
        }
        let item = item.and_then(Value::to_text).filter(|item| item.len() <= MAX_ITEM);
        facts.extend(item.map(|item| var("JOBRUN_ITEM", &item)));
        if !traceparent.is_empty() {
            facts.push(var("TRACEPARENT", traceparent));
        }
        facts
    }

    /// A child process; `facts` win over variables of its own.
    fn command(
        &self,
        spec: &CommandSpec,
        scope: &Scope<'_>,
        facts: Vec<(OsString, OsString)>,
        place: Place,
    ) -> Result<Command, String> {
        let (program, args) = argv(&spec.program, scope)?;
        let common = &self.environment(place).map_err(String::clone)?.own;
        let mut env = Vec::with_capacity(common.len() + spec.env.len() + facts.len() + 1);
        env.extend_from_slice(common);
        for (name, value) in &spec.env {
            let value = piece(value, scope, format_args!("env.{name}"))?;
            env.push((name.into(), value));
        }
        for (name, value) in facts {
            without_nul(value.as_encoded_bytes(), name.display())?;
            env.push((name, value));
        }
        let stdin = spec.stdin.as_ref().map(|stdin| stdin.text(scope).map_err(in_key("stdin")));
        Ok(Command {
            program,
            args,
            env,
            cwd: self.cwd(spec, scope, place)?,
            stdin: stdin.transpose()?.map(String::into_bytes),
            ok_exit: Arc::clone(&spec.ok_exit),
            result: spec.result,
            leak: spec.leak,
            limits: spec.limits.clone(),
        })
    }

    /// Relative to the folder of the file that says so.
    fn cwd(&self, spec: &CommandSpec, scope: &Scope<'_>, place: Place) -> Result<PathBuf, String> {
        let dir = self.job.origin.dir_of(place);
        let dir = match &spec.cwd {
            Some(cwd) => dir.join(piece(cwd, scope, "cwd")?),
            None => dir.to_owned(),
        };
        Ok(if dir.as_os_str().is_empty() { Path::new(".").to_owned() } else { dir })
    }
}

/// The program and its arguments.
fn argv(spec: &ProgramSpec, scope: &Scope<'_>) -> Result<(OsString, Vec<OsString>), String> {
    let argv: Vec<OsString> = match spec {
        ProgramSpec::Argv(argv) => argv
            .iter()
            .enumerate()
            .map(|(at, piece_of)| piece(piece_of, scope, format_args!("run[{at}]")))
            .collect::<Result<_, _>>()?,
        ProgramSpec::Script { shell, script } => {
            without_nul(script.as_bytes(), "run")?;
            shell.iter().chain([script]).map(OsString::from).collect()
        }
    };
    let mut argv = argv.into_iter();
    let program = argv.next().ok_or("run: a program is missing")?;
    Ok((program, argv.collect()))
}

/// A call; without arguments of its own it is given `item`.
fn call(
    function: &Arc<str>,
    args: &ArgsSpec,
    item: Option<&Value>,
    scope: &Scope<'_>,
    dir: Option<&Arc<Path>>,
) -> Result<Call, String> {
    let args = match args {
        ArgsSpec::Item => Args::List(item.cloned().into_iter().collect()),
        ArgsSpec::List(args) => Args::List(
            args.iter()
                .enumerate()
                .map(|(at, arg)| arg.value(scope).map_err(in_key(format_args!("args[{at}]"))))
                .collect::<Result<_, _>>()?,
        ),
        ArgsSpec::Named(args) => Args::Named(
            args.iter()
                .map(|(name, arg)| {
                    let value = arg.value(scope).map_err(in_key(format_args!("with.{name}")))?;
                    Ok((name.clone(), value))
                })
                .collect::<Result<_, String>>()?,
        ),
    };
    Ok(Call { function: Arc::clone(function), args, dir: dir.cloned() })
}

/// A POST; without a body of its own it carries `future`. A string is sent as it is, anything else
/// as JSON.
fn post(
    url: &Template,
    headers: &[(String, Template)],
    body: Option<&Template>,
    scope: &Scope<'_>,
) -> Result<CallbackWork, String> {
    let body = match body {
        Some(body) => body.value(scope).map_err(in_key("post.body"))?,
        None => scope.future.cloned().unwrap_or_default(),
    };
    let mut rendered = Vec::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        let value = value.text(scope).map_err(in_key(format_args!("post.headers.{name}")))?;
        rendered.push((name.clone(), value));
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        let text = matches!(body, Value::Str(_));
        let kind = if text { "text/plain; charset=utf-8" } else { "application/json" };
        rendered.push(("content-type".to_owned(), kind.to_owned()));
    }
    let body = match body {
        Value::Str(text) => text.into_bytes(),
        other => other.to_string().into_bytes(),
    };
    let url = url.text(scope).map_err(in_key("post.url"))?;
    Ok(CallbackWork::Post { url, headers: rendered, body })
}

/// One argument, variable or path: never split, never code.
fn piece(
    template: &Template,
    scope: &Scope<'_>,
    key: impl fmt::Display + Copy,
) -> Result<OsString, String> {
    let text = template.text(scope).map_err(in_key(key))?;
    without_nul(text.as_bytes(), key)?;
    Ok(text.into())
}

/// The system ends arguments, variables and paths at a NUL byte, so none may contain one.
fn without_nul(text: &[u8], key: impl fmt::Display) -> Result<(), String> {
    if text.contains(&0) { Err(format!("{key}: the value contains a NUL byte")) } else { Ok(()) }
}

fn in_key(key: impl fmt::Display) -> impl FnOnce(TemplateError) -> String {
    move |error| format!("{key}: {error}")
}

fn cover(value: &mut OsString, masker: &Masker) {
    *value = OsString::from_vec(masker.bytes(value.as_bytes()).into_owned());
}

fn no_such_kind(key: &str, value: &Value, kind: &str) -> Failure {
    let found = match value {
        Value::Null => "null".to_owned(),
        other => format!("a {}", other.kind()),
    };
    let message = format!("{key}: it must yield a {kind}, and yields {found}");
    Failure::new(FailureKind::Template, message)
}

fn var(name: &str, value: &str) -> (OsString, OsString) {
    (name.into(), value.into())
}

/// `JOBRUN_SLOT_GPU` for `gpu`.
fn slot_name(resource: &str) -> OsString {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = resource.chars().map(upper).collect();
    format!("JOBRUN_SLOT_{name}").into()
}

fn joined(units: &[u32]) -> String {
    let units: Vec<String> = units.iter().map(ToString::to_string).collect();
    units.join(",")
}
