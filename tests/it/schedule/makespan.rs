//! Stories about how long a job takes when tasks say what they take: about as long as the schedule
//! that always starts what has the longest way to the end behind it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use jobrun::executor::mock::Mock;
use jobrun::manifest::{Executor, Manifest, Task};
use jobrun::outcome::Outcome;
use jobrun::plan::Plan;
use jobrun::time::Time;
use jobrun::work::Start;
use jobrun::{Functions, Job, Options, Runner, Value, compile};

use crate::story::{require, skipped};

/// So much longer than the list schedule a run may be, in percent.
const TOLERANCE: u64 = 2;
const WORKERS: [u32; 4] = [1, 2, 8, 32];

#[test]
fn children_start_in_the_order_of_their_critical_paths() {
    for (name, work) in generated() {
        check(&name, &work, Kind::Run);
    }
}

#[test]
fn calls_start_in_the_order_of_their_critical_paths() {
    for (name, work) in generated() {
        check(&name, &work, Kind::Call);
    }
}

#[test]
fn real_workflows_run_in_the_order_of_their_critical_paths() {
    let Some(folder) = workflows() else { return };
    if !require("gzip") {
        return;
    }
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|it| it.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".json.gz"));
    paths.sort();
    assert!(!paths.is_empty(), "no workflows in {}", folder.display());
    for path in paths {
        let (name, work) = (path.display().to_string(), read(&path));
        check(&name, &work, Kind::Run);
        check(&name, &work, Kind::Call);
    }
}

/// Where real workflows are kept, which are no part of the project and cannot be installed.
fn workflows() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/workloads");
    let folder = std::env::var_os("JOBRUN_WORKLOADS").map_or(beside, PathBuf::from).join("data");
    if !folder.is_dir() {
        skipped(&format!("there is no {}", folder.display()));
        return None;
    }
    Some(folder)
}

/// Tasks by number: what each is after, and how many microseconds it takes.
struct Work {
    after: Vec<Vec<usize>>,
    micros: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Run,
    Call,
}

/// What jobrun makes of it takes no longer than the list schedule, or hardly, and no less than is
/// possible.
fn check(name: &str, work: &Work, kind: Kind) {
    for workers in WORKERS {
        let job = work.job(workers, kind);
        let (best, bound) = (work.list_schedule(workers), work.bound(workers));
        let planned = micros(Plan::of(&job.graph).makespan);
        let driven = work.drive(&job, workers);
        for (how, found) in [("planned", planned), ("driven", driven)] {
            let story = format!("{name}, {kind:?}, {workers} workers: {how} {found}, best {best}");
            assert!(found >= bound, "{story}, and less than {bound} is not possible");
            assert!(found * 100 <= best * (100 + TOLERANCE), "{story}");
        }
    }
}

impl Work {
    fn job(&self, workers: u32, kind: Kind) -> Arc<Job> {
        let name = |task: usize| format!("t{task}");
        let tasks = self.after.iter().zip(&self.micros).enumerate();
        let job = Manifest::new("makespan").executor(Executor::thread().max_workers(workers));
        let job = tasks.fold(job, |job, (number, (after, micros))| {
            let task = match kind {
                Kind::Run => Task::run(name(number), ["true"]),
                Kind::Call => Task::call(name(number), "echo").args([0]),
            };
            let task = task.estimate(Duration::from_micros(*micros));
            job.task(task.after(after.iter().map(|&it| name(it))))
        });
        Arc::new(compile(&job, &Functions::builtin(), &Options::default()).unwrap())
    }

    /// How long the whole driver takes where each task takes what it said.
    fn drive(&self, job: &Arc<Job>, workers: u32) -> u64 {
        let script = |start: &Start| {
            let task = job.graph.task_of(start.node).index();
            (Duration::from_micros(self.micros[task]), Outcome::Succeeded(Value::Null))
        };
        let end = Runner::new(job).run_on(Mock::new(script).with_widths([workers]));
        assert_eq!(end.exit.code(), 0);
        micros(end.ledger.finished.since(Time::ZERO))
    }

    /// How long it takes from the start of each task to the end of all that is after it.
    fn behind(&self) -> Vec<u64> {
        let mut behind = vec![0; self.after.len()];
        for task in (0..behind.len()).rev() {
            behind[task] += self.micros[task];
            for &it in &self.after[task] {
                behind[it] = behind[it].max(behind[task]);
            }
        }
        behind
    }

    /// No schedule is shorter than its longest chain, or than the work shared evenly.
    fn bound(&self, workers: u32) -> u64 {
        let work: u64 = self.micros.iter().sum();
        self.behind().into_iter().max().unwrap_or(0).max(work.div_ceil(u64::from(workers)))
    }

    /// How long it takes if no worker idles while something is ready, and what has most behind it
    /// goes first.
    fn list_schedule(&self, workers: u32) -> u64 {
        let behind = self.behind();
        let mut missing: Vec<usize> = self.after.iter().map(Vec::len).collect();
        let mut ready: BinaryHeap<_> = (0..missing.len())
            .filter(|&task| missing[task] == 0)
            .map(|task| (behind[task], Reverse(task)))
            .collect();
        let mut dependents = vec![Vec::new(); missing.len()];
        for (task, after) in self.after.iter().enumerate() {
            for &it in after {
                dependents[it].push(task);
            }
        }
        let mut running = BinaryHeap::new();
        let mut now = 0;
        loop {
            while running.len() < workers as usize
                && let Some((_, Reverse(task))) = ready.pop()
            {
                running.push(Reverse((now + self.micros[task], task)));
            }
            let Some(&Reverse((next, _))) = running.peek() else { return now };
            now = next;
            while let Some(&Reverse((end, task))) = running.peek()
                && end == now
            {
                running.pop();
                for &it in &dependents[task] {
                    missing[it] -= 1;
                    if missing[it] == 0 {
                        ready.push((behind[it], Reverse(it)));
                    }
                }
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}

/// Graphs of several forms, the same every time.
fn generated() -> Vec<(String, Work)> {
    let mut found = Vec::new();
    for seed in 0..8 {
        let mut draw = Draw(seed);
        found.push((format!("layers {seed}"), draw.layers(12, 40)));
        found.push((format!("random {seed}"), draw.random(600)));
        found.push((format!("chains {seed}"), draw.chains(30, 10)));
        found.push((format!("comb {seed}"), draw.comb(60, 5)));
    }
    found
}

/// `SplitMix64`.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    /// Mostly short, sometimes long.
    fn micros(&mut self) -> u64 {
        1_000_000 / (1 + self.below(1000) as u64)
    }

    fn work(&mut self, after: Vec<Vec<usize>>) -> Work {
        Work { micros: after.iter().map(|_| self.micros()).collect(), after }
    }

    /// Layers, each task after up to three of the layer before.
    fn layers(&mut self, layers: usize, width: usize) -> Work {
        let after = (0..layers * width)
            .map(|task| match task / width {
                0 => vec![],
                layer => self.some(3, (layer - 1) * width, layer * width),
            })
            .collect();
        self.work(after)
    }

    /// Each task after up to four others.
    fn random(&mut self, tasks: usize) -> Work {
        let after = (0..tasks).map(|task| self.some(4, 0, task)).collect();
        self.work(after)
    }

    /// Chains that do not know of each other.
    fn chains(&mut self, chains: usize, length: usize) -> Work {
        let all = 0..chains * length;
        let after = all.map(|task| if task < chains { vec![] } else { vec![task - chains] });
        self.work(after.collect())
    }

    /// One long chain; from each of its links hang some that nothing is after, and that stand before
    /// the next link.
    fn comb(&mut self, links: usize, teeth: usize) -> Work {
        let after = (0..links * (1 + teeth)).map(|task| {
            let link = task / (1 + teeth) * (1 + teeth);
            match task % (1 + teeth) {
                0 if task == 0 => vec![],
                0 => vec![task - (1 + teeth)],
                _ => vec![link],
            }
        });
        self.work(after.collect())
    }

    /// Up to so many different numbers.
    fn some(&mut self, most: usize, from: usize, to: usize) -> Vec<usize> {
        let mut found = Vec::new();
        for _ in 0..if from < to { self.below(most + 1) } else { 0 } {
            let it = from + self.below(to - from);
            if !found.contains(&it) {
                found.push(it);
            }
        }
        found
    }
}

/// A workflow in the format `WfFormat` 1.5, compressed.
fn read(path: &Path) -> Work {
    let output = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", path.display());
    let file: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let tasks = file["workflow"]["specification"]["tasks"].as_array().unwrap();
    let runs = file["workflow"]["execution"]["tasks"].as_array().unwrap();
    let id = |it: &serde_json::Value| it["id"].as_str().unwrap().to_owned();
    let seconds: BTreeMap<_, _> =
        runs.iter().map(|it| (id(it), it["runtimeInSeconds"].as_f64().unwrap_or(0.0))).collect();
    let parents: BTreeMap<_, Vec<String>> = tasks
        .iter()
        .map(|it| {
            let parents = it["parents"].as_array().unwrap().iter();
            (id(it), parents.map(|it| it.as_str().unwrap().to_owned()).collect())
        })
        .collect();
    let mut order = Vec::new();
    for task in tasks {
        visit(&id(task), &parents, &mut order);
    }
    let number: BTreeMap<_, _> = order.iter().zip(0_usize..).collect();
    let after = order.iter().map(|it| parents[it].iter().map(|it| number[it]).collect()).collect();
    let micros = order.iter().map(|it| (seconds[it] * 1e6) as u64).collect();
    Work { after, micros }
}

/// Puts a task behind all that it is after. Workflows are not deep.
fn visit(task: &String, parents: &BTreeMap<String, Vec<String>>, order: &mut Vec<String>) {
    if !order.contains(task) {
        parents[task].iter().for_each(|it| visit(it, parents, order));
        order.push(task.clone());
    }
}
