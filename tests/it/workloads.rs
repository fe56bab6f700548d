//! Real graphs, if they are there: each is converted to a manifest, runs to its end, and keeps its order.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::story::{Story, require, skipped};

/// The folder of graphs beside the project; a test that needs it is skipped where it is absent.
fn folder() -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = |dir: &Path| dir.join("shared/workloads");
    let found = project.ancestors().skip(1).map(beside).find(|dir| dir.is_dir());
    if found.is_none() {
        skipped("there is no ../shared/workloads");
    }
    found.filter(|_| require("python3"))
}

/// What a script of that folder prints.
fn script(folder: &Path, words: &[&str]) -> String {
    let python = Command::new("python3").arg(folder.join(words[0])).args(&words[1..]).output();
    let python = python.unwrap();
    assert!(python.status.success(), "{words:?}: {}", String::from_utf8_lossy(&python.stderr));
    String::from_utf8(python.stdout).unwrap()
}

/// The graphs whose name has no `without` in it.
fn graphs(folder: &Path, without: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder.join("data")).unwrap();
    let paths = files.map(|file| file.unwrap().path().to_str().unwrap().to_owned());
    let mut graphs: Vec<_> = paths.filter(|path| !path.contains(without)).collect();
    graphs.sort();
    assert!(!graphs.is_empty(), "there are no graphs");
    graphs
}

#[test]
fn graphs_of_real_workflows_run_to_their_end() {
    let Some(folder) = folder() else { return };
    for graph in graphs(&folder, "ninja") {
        let manifest = script(&folder, &["convert.py", &graph, "--op", "noop"]);
        let end = Story::new(&manifest).arg("--output").arg("none").run();
        let counts = &end.expect(0).report["counts"];
        assert_eq!(counts["succeeded"], counts["total"], "{graph}");
    }
}

#[test]
fn their_tasks_run_once_each_and_in_order() {
    let Some(folder) = folder() else { return };
    for graph in graphs(&folder, "ninja") {
        let words =
            ["--op", "log", "--log", "log", "--shuffle", "7", "--workers", "4", "--total", "2"];
        let manifest = script(&folder, &[&["convert.py", graph.as_str()][..], &words].concat());
        let end = Story::new(&manifest).arg("--output").arg("none").run();
        end.expect(0);
        let (job, log) = (end.path("job.toml"), end.path("log"));
        script(&folder, &["check_log.py", job.to_str().unwrap(), log.to_str().unwrap()]);
    }
}

#[test]
fn a_build_of_88_619_steps_is_checked() {
    let Some(folder) = folder() else { return };
    for graph in graphs(&folder, "json") {
        let manifest = script(&folder, &["convert.py", &graph, "--op", "noop"]);
        let end = Story::command(&["check", "job.toml"]).file("job.toml", &manifest).run();
        end.expect(0).says("88619 tasks");
    }
}
