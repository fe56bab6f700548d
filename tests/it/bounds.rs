//! Stories about: what commands may use, and what happens when they want more.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::story::{End, Story, require, skipped, unavailable};

/// What no cgroup is to be had in, whatever the machine has.
const NO_CGROUPS: [&str; 6] =
    ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"", "sh"];

#[track_caller]
fn error<'a>(end: &'a End, name: &str) -> (&'a str, &'a str) {
    let error = &end.future(name)["error"];
    let text = |key: &str| error[key].as_str().unwrap_or_else(|| panic!("{name} has no error"));
    (text("kind"), text("message"))
}

#[test]
fn what_a_process_may_use_holds_for_all_that_it_starts() {
    let end = Story::new(
        r#"
        [defaults]
        limits = { open_files = 33, file_size = "64KiB", cpu_time = "1500ms" }
        nice   = 3
        [[task]]
        name = "told"
        run  = "sh -c 'ulimit -n; ulimit -f; ulimit -t; ulimit -Ht; nice'"
        [[task]]
        name = "writes"
        run  = ["head", "-c", "100000", "/dev/zero"]
        [[task]]
        name = "writes-a-file"
        run  = ["dd", "if=/dev/zero", "of=large", "bs=1000", "count=100", "status=none"]
        [[task]]
        name = "writes-in-a-shell"
        run  = "dd if=/dev/zero of=large2 bs=1000 count=100 status=none; true"
        [[task]]
        name   = "as-ever"
        run    = ["nice"]
        limits = {}
        nice   = 0
        "#,
    )
    .run();
    end.expect(1);
    let nice =
        |end: &End, name| end.result(name).as_str().unwrap().lines().last().map(str::to_owned);
    let own: i32 = nice(&end, "as-ever").unwrap().parse().unwrap();
    // Half of a block is a block; sh counts in blocks of 512 bytes.
    assert_eq!(*end.result("told"), format!("33\n128\n2\n3\n{}", (own + 3).min(19)));
    assert_eq!(end.state("writes"), "succeeded", "a pipe is no file");
    let killed = "was killed by SIGXFSZ (signal 25)";
    assert!(error(&end, "writes-a-file").1.starts_with(killed));
    assert!(error(&end, "writes-a-file").1.ends_with("`limits.file_size` is 64 KiB"));
    assert_eq!(fs::metadata(end.path("large")).unwrap().len(), 64 << 10);
    let exited = ("exit", "exited with code 153: `limits.file_size` is 64 KiB");
    assert_eq!(error(&end, "writes-in-a-shell"), exited);
}

#[test]
fn who_uses_up_its_time_of_processors_is_told_which_limit_that_was() {
    let end = Story::new(
        r#"
        [defaults]
        limits = { cpu_time = "1s" }
        [[task]]
        name = "busy"
        run  = ["sh", "-c", "while :; do :; done"]
        # The hard limit comes a second later.
        [[task]]
        name = "deaf"
        run  = ["sh", "-c", "trap '' XCPU; while :; do :; done"]
        [[task]]
        name = "sleeps"
        run  = ["sleep", "1.2"]
        "#,
    )
    .run();
    end.expect(1);
    let (kind, message) = error(&end, "busy");
    assert!(kind == "signal" && message.starts_with("was killed by SIGXCPU (signal 24)"));
    assert!(message.ends_with("`limits.cpu_time` is 1s"), "{message}");
    assert_eq!(end.future("deaf")["signal"], 9);
    assert_eq!(end.state("sleeps"), "succeeded", "only what is used counts");
}

#[test]
fn processes_are_counted_for_each_task_by_itself() {
    let end = Story::new(
        r#"
        [[task]]
        name   = "forks"
        run    = "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done"
        limits = { processes = 4 }
        map    = [1, 2]
        [[task]]
        name   = "few"
        run    = "for i in 1 2 3; do sleep 0 & done; wait; cat /proc/self/cgroup"
        limits = { processes = 6 }
        map    = [1, 2, 3, 4]
        "#,
    )
    .run();
    if !in_cell(end.report["results"]["few"][0].as_str().unwrap_or_default()) {
        return unavailable("a cgroup that counts processes can be made by root alone");
    }
    end.expect(1);
    for place in 0..2 {
        assert_eq!(error(&end, &format!("forks[{place}]")).0, "exit");
    }
    for place in 0..4 {
        assert_eq!(end.state(&format!("few[{place}]")), "succeeded");
    }
    assert_eq!(end.leftovers(), []);
}

/// Whether what is in `/proc/self/cgroup` tells of a cgroup made for one future: `jobrun-PID.NUMBER`.
fn in_cell(cgroups: &str) -> bool {
    let names = cgroups.lines().filter_map(|line| line.rsplit_once("/jobrun-"));
    names.into_iter().any(|(_, name)| name.contains('.'))
}

#[test]
fn without_cgroups_root_is_told_that_processes_cannot_be_counted() {
    if !rustix::process::getuid().is_root() {
        return unavailable("only root is told");
    }
    if !require("unshare") || !require("python3") {
        return;
    }
    let end = Story::new(
        r#"
        [[task]]
        name   = "memory"
        run    = ["python3", "-c", "print(len(b'x' * (400 << 20)))"]
        limits = { memory = "100MiB" }
        [[task]]
        name   = "processes"
        run    = ["true"]
        limits = { processes = 5 }
        [[task]]
        name = "other"
        run  = ["true"]
        "#,
    )
    .under(&NO_CGROUPS)
    .run();
    end.expect(1);
    let (kind, message) = error(&end, "memory");
    assert_eq!((kind, message), ("exit", "exited with code 1"), "python has an error for that");
    let stderr = end.future("memory")["stderr"]["tail"].as_str().unwrap();
    assert!(stderr.contains("MemoryError"), "{stderr}");
    let why = "cannot run `true`: `limits.processes` cannot be kept to: there is no cgroup to be had, \
               and other limits do not hold for root";
    assert_eq!(error(&end, "processes"), ("spawn", why));
    assert_eq!(end.state("other"), "succeeded");
}

#[test]
fn who_is_not_root_is_held_without_cgroups_and_can_raise_nothing() {
    let mut story = Story::new(
        r#"
        [[task]]
        name   = "processes"
        run    = ["sh", "-c", "ulimit -p"]
        limits = { processes = 5000 }
        [[task]]
        name   = "files"
        run    = ["true"]
        limits = { open_files = 501 }
        [[task]]
        name = "nicer"
        run  = ["true"]
        nice = -5
        [[task]]
        name   = "fine"
        run    = ["sh", "-c", "ulimit -n"]
        limits = { open_files = 500 }
        "#,
    );
    if !require("prlimit") {
        return;
    }
    let mut under = vec!["prlimit", "--nofile=400:500"];
    if rustix::process::getuid().is_root() {
        if !require("setpriv") {
            return;
        }
        under.extend(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
        // Somebody else may enter neither our folders nor those of the build.
        let all = |path: &str, mode| {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(story.path(path), mode).unwrap();
        };
        all("", 0o777);
        fs::copy(env!("CARGO_BIN_EXE_jobrun"), story.path("jobrun")).unwrap();
        all("jobrun", 0o755);
        let program = story.path("jobrun");
        story = story.program(program);
    }
    let end = story.under(&under).run();
    if end.code == 127 {
        return skipped("the program cannot be run by others");
    }
    end.expect(1);
    let processes = end.result("processes").as_str().unwrap_or_default();
    assert!(["5000", "unlimited"].contains(&processes), "{processes}: {}", end.stderr);
    let why = "cannot run `true`: `limits.open_files` is 501, above the hard limit of 500";
    assert_eq!(error(&end, "files"), ("spawn", why));
    let why = "cannot run `true`: only root may lower its niceness with `nice`";
    assert_eq!(error(&end, "nicer"), ("spawn", why));
    assert_eq!(*end.result("fine"), "500");
}
