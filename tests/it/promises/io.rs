//! Promises about jobrun's own reading and writing: streams that nobody reads, full disks, and what is
//! no file where one is wanted.

mod crash;
mod disk;
mod inject;
mod place;
mod streams;

use std::path::Path;
use std::process::Command;

use crate::promises::kept;
use crate::story::{End, require, skipped};

/// Ten futures of every kind: calls and children, on threads and in processes; one writes more than is
/// kept in memory, and a callback hears of each.
const TEN: &str = r#"
    [executor]
    max_workers = 3

    [executors.pool]
    kind = "process"
    max_workers = 2

    [[task]]
    name = "sum"
    call = "sum_to"
    map  = [10, 100, 1000]

    [[task]]
    name     = "apart"
    call     = "sum_to"
    map      = [10, 100]
    executor = "pool"

    [[task]]
    name = "hello"
    run  = ["echo", "hello"]

    [[task]]
    name   = "large"
    run    = "i=0; while [ $i -lt 2000 ]; do echo 'line of a task that writes more than is kept in memory'; i=$((i+1)); done"
    result = "none"

    [[task]]
    name     = "in-pool"
    run      = ["echo", "in the pool"]
    executor = "pool"

    [[task]]
    name = "reads"
    run  = ["cat"]
    stdin = "{{ tasks.hello.result }}"

    [[task]]
    name  = "last"
    call  = "echo"
    args  = ["done"]
    after = ["*"]

    [[callback]]
    on  = "done"
    log = "{{ future.name }} is {{ future.state }}"
    "#;

/// What `TEN` prints of its large task.
const LARGE: &str = "line of a task that writes more than is kept in memory\n";

/// All of `TEN` was done, and the report says so.
#[track_caller]
fn all_ten(end: &End) {
    assert_eq!(end.report["counts"]["succeeded"], 10, "{}", end.stderr);
    assert_eq!(end.result("sum"), &serde_json::json!([55, 5050, 500_500]));
    assert_eq!(end.result("apart"), &serde_json::json!([55, 5050]));
    assert_eq!(end.result("reads"), "hello");
    assert_eq!(end.result("last"), "done");
    let large = &end.future("large")["stdout"];
    assert_eq!(large["bytes"], 2000 * LARGE.len());
}

/// Whether this machine lets a user have a mount namespace. Says so if it does not.
fn can_mount() -> bool {
    let mount = ["-Urm", "sh", "-c", "mount -t tmpfs none /tmp"];
    let can = require("unshare")
        && Command::new("unshare").args(mount).output().is_ok_and(|it| it.status.success());
    if !can {
        must_not_be_all("this machine gives users no mount namespaces");
    }
    can
}

/// Whether this machine lets a process be traced. Says so if it does not.
pub(super) fn can_trace() -> bool {
    let trace = ["-f", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"];
    let can = require("strace")
        && Command::new("strace").args(trace).output().is_ok_and(|it| it.status.success());
    if !can {
        must_not_be_all("this machine lets nothing be traced");
    }
    can
}

#[track_caller]
pub(super) fn must_not_be_all(why: &str) {
    let all = std::env::var_os("JOBRUN_TEST_REQUIRE").is_some_and(|value| value == "all");
    assert!(!all, "all tests are required, but {why}");
    skipped(why);
}

/// The names in a folder, sorted.
pub(super) fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Nothing is left of a report that was being written.
#[track_caller]
fn no_half_files(end: &End) {
    let names = names_in(&end.path("."));
    assert!(!names.iter().any(|name| name.starts_with(".jobrun-")), "{names:?}");
}

/// What the task `large` wrote could not be kept, and that is said.
#[track_caller]
fn output_is_lost(end: &End) {
    kept(end, 4);
    end.says("large").says("error: output of tasks is lost");
}
