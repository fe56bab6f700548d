//! The JSON report, the results alone, and the schema of the report. The shape of what is in it
//! lives in [`shape`]; knows nothing of files.

use std::borrow::Cow;
use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use serde::ser::Serializer;

use crate::guard::Containment;
use crate::id::{NodeId, TaskId};
use crate::measure::{self, Counts};
use crate::shape::{
    self, CallbackShape, ExecutorShape, FutureShape, GroupEnd, Head, LeftoverShape, Name, RunView,
    Text,
};
use crate::value::Value;

/// The version of the report's shape.
pub const SCHEMA: &str = "jobrun.report/1";

/// Writes the report, future by future.
pub fn write(out: &mut dyn Write, run: &RunView<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &report(run))?;
    out.write_all(b"\n")
}

/// Writes the results of all tasks, as `--results` prints them.
pub fn write_results(out: &mut dyn Write, run: &RunView<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &results(run))?;
    out.write_all(b"\n")
}

/// The JSON Schema of the report, made from the types it is written with.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Report<'static>).to_value()
}

/// The results: one value for a plain task, a list in submission order for a group.
pub fn results<'a>(run: &RunView<'a>) -> impl Serialize + use<'a> {
    results_of(*run)
}

/// The report of one run of a job.
#[derive(Serialize, JsonSchema)]
struct Report<'a> {
    #[schemars(extend("const" = SCHEMA))]
    schema: &'static str,
    #[serde(flatten)]
    head: Head<'a>,
    /// What made sure that no process of the run outlives it: process groups alone, a guard process, or a
    /// guard and a cgroup.
    #[schemars(extend("enum" = Containment::ALL.map(Containment::word)))]
    containment: &'static str,
    /// The futures that were done when the job's wait returned, in submission order.
    done: Listed<'a, Text<Name<'a>>>,
    not_done: Listed<'a, Text<Name<'a>>>,
    /// All futures, in the order in which they ended.
    completion_order: Listed<'a, Text<Name<'a>>>,
    counts: Counts,
    /// By task: one value, or a list in submission order for a group.
    results: Named<'a, TaskResults<'a>>,
    groups: Named<'a, GroupEnd<'a>>,
    executors: Named<'a, ExecutorShape>,
    futures: Listed<'a, FutureShape<'a>>,
    callbacks: Listed<'a, CallbackShape<'a>>,
    /// The processes that tasks had left behind when all else had ended, and that were ended then.
    left_behind: Listed<'a, LeftoverShape<'a>>,
    /// The chain of futures that together ran longest.
    critical_path: Vec<Text<Name<'a>>>,
    /// The seconds that all futures together kept workers busy.
    work: f64,
    /// `work` over `elapsed`; null for a run that took no time.
    speedup: Option<f64>,
}

fn report<'a>(run: &RunView<'a>) -> Report<'a> {
    let (graph, ledger) = (&run.job.graph, run.ledger);
    let path = measure::critical_path(graph, ledger);
    let work = shape::seconds(measure::work(graph, ledger));
    let elapsed = run.ended().unwrap_or_default().seconds();
    Report {
        schema: SCHEMA,
        head: shape::head(run),
        containment: ledger.containment.word(),
        done: Listed::new(run, |run| names_at_return(run, true)),
        not_done: Listed::new(run, |run| names_at_return(run, false)),
        completion_order: Listed::new(run, |run| {
            Box::new(run.ledger.completion.iter().map(move |&node| Text(run.name(node))))
        }),
        counts: run.counts(),
        results: results_of(*run),
        groups: Named::new(run, |run| {
            let groups = run.job.graph.tasks().filter(|(_, task)| task.size.is_group());
            Box::new(groups.map(move |(id, _)| (run.task_name(id), shape::group_end(&run, id))))
        }),
        executors: Named::new(run, |run| {
            let executors = run.job.graph.executors().iter().enumerate();
            let shape = move |(place, _)| shape::executor(&run, place);
            Box::new(executors.map(move |entry| (run.shown(&entry.1.name), shape(entry))))
        }),
        futures: Listed::new(run, |run| {
            Box::new(run.job.graph.futures().map(move |node| shape::future(&run, node)))
        }),
        callbacks: Listed::new(run, |run| {
            Box::new(run.ledger.callbacks.iter().map(move |record| shape::callback(&run, record)))
        }),
        left_behind: Listed::new(run, |run| {
            Box::new(run.ledger.left_behind.iter().map(shape::leftover))
        }),
        critical_path: path.into_iter().map(|node| Text(run.name(node))).collect(),
        work,
        speedup: (elapsed > 0.0).then(|| work / elapsed),
    }
}

fn names_at_return(run: RunView<'_>, wanted: bool) -> Items<'_, Text<Name<'_>>> {
    let done = measure::done_at_return(&run.job.graph, run.ledger);
    let nodes = measure::waited_for(&run.job.graph);
    Box::new(
        nodes
            .filter(move |node| done[node.index()] == wanted)
            .map(move |node| Text(run.name(node))),
    )
}

fn results_of(run: RunView<'_>) -> Named<'_, TaskResults<'_>> {
    Named::new(&run, |run| {
        let tasks = run.job.graph.tasks();
        Box::new(tasks.map(move |(id, _)| (run.task_name(id), TaskResults { run, task: id })))
    })
}

/// What a task left.
struct TaskResults<'a> {
    run: RunView<'a>,
    task: TaskId,
}

impl Serialize for TaskResults<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let graph = &self.run.job.graph;
        let result = |node| -> &Value { &self.run.record(NodeId(node)).result };
        let members = graph.members(self.task);
        if graph.task(self.task).size.is_group() {
            serializer.collect_seq(members.map(result))
        } else {
            result(members.start).serialize(serializer)
        }
    }
}

type Items<'a, T> = Box<dyn Iterator<Item = T> + 'a>;

/// A list whose items are made while it is written.
struct Listed<'a, T> {
    run: RunView<'a>,
    items: fn(RunView<'a>) -> Items<'a, T>,
}

impl<'a, T> Listed<'a, T> {
    fn new(run: &RunView<'a>, items: fn(RunView<'a>) -> Items<'a, T>) -> Self {
        Self { run: *run, items }
    }
}

impl<T: Serialize> Serialize for Listed<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.items)(self.run))
    }
}

/// A map whose entries are made while it is written.
struct Named<'a, T> {
    run: RunView<'a>,
    entries: fn(RunView<'a>) -> Items<'a, (Cow<'a, str>, T)>,
}

impl<'a, T> Named<'a, T> {
    fn new(run: &RunView<'a>, entries: fn(RunView<'a>) -> Items<'a, (Cow<'a, str>, T)>) -> Self {
        Self { run: *run, entries }
    }
}

impl<T: Serialize> Serialize for Named<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map((self.entries)(self.run))
    }
}

/// Gives a type the schema of another one that is written the same way.
macro_rules! schema_of {
    ($type:ty, $same:ty $(, $param:ident)?) => {
        impl$(<$param: JsonSchema>)? JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$same>::schema_name()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$same>::json_schema(generator)
            }
        }
    };
}

schema_of!(Listed<'_, T>, Vec<T>, T);
schema_of!(Named<'_, T>, std::collections::BTreeMap<String, T>, T);
schema_of!(TaskResults<'_>, serde_json::Value);
