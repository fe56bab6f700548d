//! Stories of programs that embed the library: what they register, watch, stop and read.

use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobrun::event::{Event, Stamped};
use jobrun::manifest::{Executor, Manifest, Task, Wait};
use jobrun::outcome::State;
use jobrun::{Context, Exit, Functions, Job, Observer, Options, RunView, Runner, Value, compile};

use crate::story::example;

fn job(manifest: &Manifest, functions: &Functions) -> Arc<Job> {
    let job = compile(manifest, functions, &Options::default());
    Arc::new(job.unwrap_or_else(|faults| panic!("{faults}")))
}

#[test]
fn a_run_takes_a_few_lines() {
    let mut functions = Functions::builtin();
    functions.register("area", |width: u32, height: u32| Ok::<_, String>(width * height));
    let manifest = Manifest::new("rooms")
        .task(Task::call("kitchen", "area").args([3, 4]))
        .task(Task::call("hall", "area").args([2, 5]).after(["kitchen"]));
    let job = job(&manifest, &functions);
    let finished = Runner::new(&job).functions(functions).run().unwrap();
    assert_eq!(finished.exit, Exit::Succeeded);
    assert_eq!(finished.result("kitchen"), Some(12.into()));
    assert_eq!(finished.result("hall"), Some(10.into()));
    assert_eq!(finished.result("cellar"), None);
}

/// Writes down the names of what starts and ends.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Observer for Diary {
    fn observe(&mut self, event: &Stamped, run: &RunView<'_>) -> io::Result<()> {
        let line = match event.event {
            Event::Started { node, .. } => format!("{} starts", run.name(node)),
            Event::Finished { node } => {
                format!("{} {}", run.name(node), run.record(node).state.word())
            }
            Event::JobReturned => "returned".to_owned(),
            Event::JobFinished => "finished".to_owned(),
            _ => return Ok(()),
        };
        self.0.lock().unwrap().push(line);
        Ok(())
    }
}

#[test]
fn an_observer_sees_everything_in_order() {
    let functions = Functions::builtin();
    let manifest = Manifest::new("chain")
        .executor(Executor::thread().max_workers(1))
        .task(Task::call("a", "echo").args([1]))
        .task(Task::call("b", "fail").args(["no"]).after(["a"]))
        .task(Task::call("c", "echo").args([1]).after(["b"]));
    let job = job(&manifest, &functions);
    let diary = Diary::default();
    let finished = Runner::new(&job).observer(diary.clone()).run().unwrap();
    assert_eq!(finished.exit, Exit::Failed);
    assert_eq!(
        *diary.0.lock().unwrap(),
        ["a starts", "a succeeded", "b starts", "b failed", "c cancelled", "returned", "finished"]
    );
}

#[test]
fn a_handle_stops_a_run_from_another_thread() {
    let mut functions = Functions::builtin();
    let (started, starts) = crossbeam_channel::unbounded();
    functions.register("wait", move |context: &Context| {
        started.send(()).map_err(|error| error.to_string())?;
        if context.sleep(Duration::from_hours(1)) { Ok(()) } else { Err("told to stop".to_owned()) }
    });
    let job = job(&Manifest::new("long").task(Task::call("wait", "wait")), &functions);
    let runner = Runner::new(&job).functions(functions);
    let handle = runner.handle();
    std::thread::spawn(move || {
        starts.recv().unwrap();
        handle.interrupt(2);
    });
    let finished = runner.run().unwrap();
    assert_eq!(finished.exit, Exit::Interrupted(2));
    assert_eq!(finished.ledger.record(job.graph.futures().next().unwrap()).state, State::Cancelled);
}

#[test]
fn a_function_that_overruns_is_timed_out_while_its_thread_goes_on() {
    let mut functions = Functions::builtin();
    let (release, stuck) = crossbeam_channel::unbounded::<()>();
    let (freed, ends) = crossbeam_channel::unbounded();
    functions.register("stuck", move || {
        // Deaf to its token: only the test lets it go.
        let _ = stuck.recv();
        freed.send(()).map_err(|error| error.to_string())
    });
    let manifest = Manifest::new("stuck")
        .executor(Executor::thread().max_workers(2))
        .task(Task::call("stuck", "stuck").timeout(Duration::from_millis(20)))
        .task(
            Task::call("after", "echo")
                .args([1])
                .after(["stuck"])
                .when(jobrun::graph::When::Always),
        )
        .wait(Wait::new());
    let job = job(&manifest, &functions);
    let finished = Runner::new(&job).functions(functions).run().unwrap();
    let states: Vec<_> = job.graph.futures().map(|it| finished.ledger.record(it).state).collect();
    assert_eq!(states, [State::TimedOut, State::Succeeded]);
    assert_eq!(finished.exit, Exit::Failed);
    assert!(ends.try_recv().is_err(), "it was stuck when the run had ended");
    drop(release);
    ends.recv().unwrap();
}

#[test]
fn what_a_run_leaves_is_read_as_values_and_as_reports() {
    let functions = Functions::builtin();
    let manifest = Manifest::new("sums").task(Task::call("sum", "sum_to").map([10_i64, 100]));
    let job = job(&manifest, &functions);
    let finished = Runner::new(&job).run().unwrap();
    assert_eq!(finished.result("sum"), Some(Value::from(vec![55, 5050])));
    let mut report = Vec::new();
    jobrun::report::Format::Json.write(&mut report, &finished.view()).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["results"]["sum"], serde_json::json!([55, 5050]));
    assert_eq!(report["manifest"], serde_json::Value::Null);
}

fn output(name: &str) -> String {
    let run = Command::new(example(name)).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn the_examples_do_what_they_say() {
    let sums = "{\"sum\":[50005000,5000050000,500000500000,50000005000000]}\n";
    assert_eq!(output("run_manifest"), sums);
    assert_eq!(output("build_job"), "succeeded with exit code 0: [111,118,178,261]\n");
    let race = output("observe");
    assert!(race.contains("runner[1] succeeded\n"), "{race}");
    assert!(race.contains("runner[2] cancelled\n"), "{race}");
    assert!(race.ends_with("the race succeeded\n"), "{race}");
}
