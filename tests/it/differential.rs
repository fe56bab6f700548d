//! Stories about: jobrun and Python's `concurrent.futures` given the same scenarios.
//!
//! The two run in real time, because only then is Python's side Python. Durations are whole
//! ticks and no two futures end at the same one, so that the order of ends is what is compared, never
//! a time; where a busy machine upsets it, both sides are asked again with longer ticks. Deviations
//! are named by their number in `docs/deviations.md`.

mod model;
mod scenario;

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use scenario::{Scenario, Style, Then};

/// Milliseconds a tick, of the first try and of those after a disagreement.
const TICKS: [u32; 3] = [60, 120, 240];
/// So many scenarios go to Python in one piece, and so many to jobrun at once.
const BATCH: usize = 120;
const AT_ONCE: usize = 8;
/// So many scenarios are tried where they take no time.
const IN_VIRTUAL_TIME: usize = 100_000;
/// Many times what any scenario takes.
const HANGS_AFTER: Duration = Duration::from_mins(1);

#[test]
fn jobrun_agrees_with_cpython() {
    if !has_python() {
        return;
    }
    let count = std::env::var("JOBRUN_TEST_SCENARIOS").ok().and_then(|n| n.parse().ok());
    let scenarios = scenario::generate(count.unwrap_or(60));
    let failures: String = scenarios.chunks(BATCH).map(disagreements_of).collect();
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn the_schedule_agrees_with_a_model_of_python_in_virtual_time() {
    for scenario in scenario::generate(IN_VIRTUAL_TIME) {
        let (python, jobrun) = (model::python(&scenario), model::jobrun(&scenario));
        assert_eq!(jobrun, python, "left is jobrun, right Python:\n{}", scenario.manifest(2));
    }
}

#[test]
fn what_cpython_finds_late_or_never_is_a_fault_before_anything_runs() {
    if !has_python() {
        return;
    }
    let wait = |lines: &str| {
        format!(
            "[wait]\n{lines}\n[[task]]\nname = \"a\"\ncall = \"echo\"\n\
                                      map = []\n"
        )
    };
    // D2: CPython does not look at the policy of an empty wait.
    let bogus = "import concurrent.futures as cf; print(*cf.wait([], return_when='BOGUS'))";
    assert_eq!(python_says(bogus), "set() set()");
    refused(&wait("return_when = \"BOGUS\""), "return_when");
    // D7: a negative timeout is to CPython what 0 is.
    let negative = "import concurrent.futures as cf; print(*cf.wait([cf.Future()], -1)[0])";
    assert_eq!(python_says(negative), "");
    refused(&wait("timeout = -1"), "timeout");
    // No deviation: the same words on both sides.
    let none = "import concurrent.futures as cf\ntry: cf.ThreadPoolExecutor(0)\n\
                except ValueError as error: print(error)";
    refused(&format!("[executor]\nmax_workers = 0\n{}", wait("timeout = 1")), &python_says(none));
}

/// What Python answered, as `oracle.py` writes it; futures are given by index.
#[derive(Clone, Debug, Deserialize)]
struct Python {
    done: BTreeSet<usize>,
    not_done: BTreeSet<usize>,
    released: bool,
    order: Vec<usize>,
    outcomes: Vec<String>,
    results: Vec<Value>,
    as_completed: Option<Vec<usize>>,
    message: Option<String>,
    mapped: Option<Vec<Value>>,
    unnotified: Option<Box<Python>>,
}

/// What jobrun answered.
#[derive(Clone, Debug, Default)]
struct Jobrun {
    done: BTreeSet<usize>,
    not_done: BTreeSet<usize>,
    because: String,
    order: Vec<usize>,
    outcomes: Vec<String>,
    causes: Vec<Option<String>>,
    results: Vec<Value>,
    exit_code: Option<i32>,
    stderr: String,
}

/// Asks both sides until they agree, at most once for each length of a tick. Gives what to print
/// about those that never do.
fn disagreements_of(scenarios: &[Scenario]) -> String {
    let mut open = scenarios.to_vec();
    let mut failures = String::new();
    for tick in TICKS {
        failures.clear();
        let python = ask_python(&open, tick);
        let jobrun = ask_jobrun(&open, tick);
        let mut again = Vec::new();
        for ((scenario, python), jobrun) in open.into_iter().zip(&python).zip(&jobrun) {
            let found = compare(&scenario, python, jobrun);
            if !found.is_empty() {
                let _ = writeln!(
                    failures,
                    "\n== {scenario:?}\n{}\nCPython: {python:#?}\njobrun: {jobrun:#?}\n{}",
                    scenario.manifest(tick),
                    found.join("\n"),
                );
                again.push(scenario);
            }
        }
        open = again;
        if open.is_empty() {
            break;
        }
    }
    failures
}

/// Where the two disagree, beyond the deviations.
fn compare(scenario: &Scenario, python: &Python, jobrun: &Jobrun) -> Vec<String> {
    if jobrun.outcomes.len() != scenario.tasks.len() {
        return vec!["jobrun wrote no report on all futures".to_owned()];
    }
    let mut found = Vec::new();
    compare_wait(python, jobrun, &mut found);
    compare_ends(scenario, python, jobrun, &mut found);
    compare_order(python, jobrun, &mut found);
    compare_results(scenario, python, jobrun, &mut found);
    found
}

/// What the wait returned, why, and what that means to whoever started the run.
fn compare_wait(python: &Python, jobrun: &Jobrun, found: &mut Vec<String>) {
    same("done", &python.done, &jobrun.done, found);
    same("not_done", &python.not_done, &jobrun.not_done, found);
    same("timed out", &!python.released, &(jobrun.because == "timeout"), found);

    let failed = python.done.iter().any(|&index| python.outcomes[index] == "failed");
    let exit_code = match (python.released, failed) {
        (false, _) => 3,
        (true, failed) => i32::from(failed),
    };
    same("exit code", &Some(exit_code), &jobrun.exit_code, found);

    if !python.released {
        let (open, all) = (python.not_done.len(), python.outcomes.len());
        let message = format!("{open} (of {all}) futures unfinished");
        if let Some(words) = &python.message {
            same("message of as_completed", words, &message, found);
        }
        same("message on stderr", &true, &jobrun.stderr.contains(&message), found);
    }

    // D1: CPython's wait does not see a cancelled future before a worker notified it, and these
    // never meet one. jobrun's wait sees it at once, as CPython's would were it notified.
    if let Some(unnotified) = &python.unnotified {
        for &index in python.done.iter().filter(|&&index| python.outcomes[index] == "cancelled") {
            same("D1: CPython's done", &false, &unnotified.done.contains(&index), found);
            same("D1: jobrun's done", &true, &jobrun.done.contains(&index), found);
        }
    }
}

/// How each future ended.
fn compare_ends(scenario: &Scenario, python: &Python, jobrun: &Jobrun, found: &mut Vec<String>) {
    // D3: what follows a return follows in the same instant. CPython's worker that ended the last
    // future may take one more before `shutdown` reaches the queue.
    let overtaken = jobrun
        .not_done
        .iter()
        .copied()
        .find(|&index| scenario.then == Then::Drain && jobrun.outcomes[index] == "cancelled")
        .filter(|_| python.released);
    for (index, (theirs, ours)) in python.outcomes.iter().zip(&jobrun.outcomes).enumerate() {
        let stopped = scenario.then == Then::Cancel && python.not_done.contains(&index);
        let expected = match () {
            // D3, D10: nothing of `not_done` goes on, not even what runs.
            () if stopped => "cancelled",
            () if overtaken == Some(index) => "cancelled",
            () => theirs,
        };
        same(&format!("outcome of {index}"), &expected, &ours.as_str(), found);
        let cause = match scenario.tasks[index].after {
            _ if ours != "cancelled" => None,
            Some(_) if python.done.contains(&index) => Some("dependency"),
            // Its need may have failed after the return, or have been stopped by it.
            Some(_) => continue,
            None => Some("wait"),
        };
        same(&format!("cause of {index}"), &cause, &jobrun.causes[index].as_deref(), found);
    }
}

/// The order in which those ended that ran to their end on both sides.
fn compare_order(python: &Python, jobrun: &Jobrun, found: &mut Vec<String>) {
    let ran = |outcomes: &[String], index: usize| outcomes[index] != "cancelled";
    let both = |order: &[usize]| -> Vec<usize> {
        let ran = |&index: &usize| ran(&python.outcomes, index) && ran(&jobrun.outcomes, index);
        order.iter().copied().filter(ran).collect()
    };
    let (theirs, ours) = (both(&python.order), both(&jobrun.order));
    same("completion order", &theirs, &ours, found);
    if let Some(seen) = &python.as_completed {
        let seen = both(seen);
        same("as_completed", &seen[..], &ours[..seen.len().min(ours.len())], found);
    }
}

/// What each future gave, and what a loop over `map` would have got.
fn compare_results(scenario: &Scenario, python: &Python, jobrun: &Jobrun, found: &mut Vec<String>) {
    for (index, ours) in jobrun.results.iter().enumerate() {
        let label = format!("result of {index}");
        if jobrun.outcomes[index] != "succeeded" {
            same(&label, &Value::Null, ours, found);
        } else if scenario.has_value(index) {
            same(&label, &python.results[index], ours, found);
        }
    }
    if scenario.then == Then::Continue && python.mapped.is_some() {
        let until_error = (0..jobrun.results.len())
            .take_while(|&index| jobrun.outcomes[index] == "succeeded")
            .count();
        same("length of map", &python.mapped.as_ref().map(Vec::len), &Some(until_error), found);
    }
}

fn same<T: PartialEq + Debug + ?Sized>(what: &str, theirs: &T, ours: &T, found: &mut Vec<String>) {
    if theirs != ours {
        found.push(format!("{what}: expected {theirs:?}, jobrun says {ours:?}"));
    }
}

fn ask_python(scenarios: &[Scenario], tick: u32) -> Vec<Python> {
    let questions: Vec<Value> = scenarios.iter().map(|it| it.for_python(tick)).collect();
    let oracle = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/oracle.py");
    let output = python(&[oracle], &Value::from(questions).to_string());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("oracle.py: {error}\n{}", String::from_utf8_lossy(&output.stderr))
    })
}

/// Runs each scenario in a jobrun of its own, a few at once.
fn ask_jobrun(scenarios: &[Scenario], tick: u32) -> Vec<Jobrun> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(vec![Jobrun::default(); scenarios.len()]);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scenario) = scenarios.get(index) else { break };
                    let answer = run(scenario, tick);
                    answers.lock().unwrap()[index] = answer;
                }
            });
        }
    });
    answers.into_inner().unwrap()
}

fn run(scenario: &Scenario, tick: u32) -> Jobrun {
    let dir = tempfile::tempdir().unwrap();
    let (exit_code, stderr) = jobrun(dir.path(), &scenario.manifest(tick));
    let report = std::fs::read(dir.path().join("report.json")).unwrap_or_default();
    let report: Value = serde_json::from_slice(&report).unwrap_or_default();
    let index_of = |name: &Value| {
        (0..scenario.tasks.len()).find(|&index| name == scenario.name(index).as_str())
    };
    let indices = |list: &Value| -> Vec<usize> {
        list.as_array().into_iter().flatten().filter_map(index_of).collect()
    };
    let future = |index: usize| -> Option<&Value> {
        let name = scenario.name(index);
        report["futures"].as_array()?.iter().find(|future| future["name"] == name.as_str())
    };
    let futures: Vec<&Value> = (0..scenario.tasks.len()).filter_map(future).collect();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Jobrun {
        done: indices(&report["done"]).into_iter().collect(),
        not_done: indices(&report["not_done"]).into_iter().collect(),
        because: word(&report["wait"]["returned_because"]),
        order: indices(&report["completion_order"]),
        outcomes: futures.iter().map(|future| word(&future["state"])).collect(),
        causes: futures
            .iter()
            .map(|future| future["cause"]["kind"].as_str().map(str::to_owned))
            .collect(),
        results: (0..futures.len())
            .map(|index| match scenario.style {
                Style::Submit => report["results"][scenario.name(index)].clone(),
                Style::Map => report["results"]["m"][index].clone(),
            })
            .collect(),
        exit_code,
        stderr,
    }
}

/// Runs `manifest` in `dir`; the report is `report.json` there. A run that hangs is ended and has no
/// exit code, so that the scenario it hangs in is shown.
fn jobrun(dir: &Path, manifest: &str) -> (Option<i32>, String) {
    let stderr = dir.join("stderr");
    std::fs::write(dir.join("job.toml"), manifest).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_jobrun"))
        .args(["job.toml", "--report", "json=report.json", "--output", "none", "--color", "never"])
        .current_dir(dir)
        .env("JOBRUN_STATE_DIR", dir.join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > HANGS_AFTER {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    (child.wait().unwrap().code(), std::fs::read_to_string(&stderr).unwrap())
}

/// A manifest that must not run, and words that the refusal must hold.
fn refused(manifest: &str, words: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (exit_code, stderr) = jobrun(dir.path(), manifest);
    assert_eq!(exit_code, Some(2), "{manifest}\n{stderr}");
    assert!(!words.is_empty() && stderr.contains(words), "{words:?} is not in\n{stderr}");
}

fn python_says(program: &str) -> String {
    let output = python(&["-c", program], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn python(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("python3")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Whether there is a Python to ask. Without one the test is skipped, unless skipping is ruled out.
#[expect(clippy::print_stdout, reason = "who reads the test's output must see what was not tested")]
fn has_python() -> bool {
    let recent = "import sys; sys.exit(sys.version_info < (3, 9))";
    let version = Command::new("python3").args(["-c", recent]).output();
    if version.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert_ne!(std::env::var("JOBRUN_TEST_REQUIRE").as_deref(), Ok("all"), "no python3 on PATH");
    println!("skipped: no python3 on PATH");
    false
}
