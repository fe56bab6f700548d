//! Promises about a system that is short of something: descriptors, processes, threads, processors.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::promises::kept;
use crate::story::{Door, End, Story, require, skipped, unavailable};

/// Many commands on one executor.
fn commands(kind: &str, workers: u32, count: u32, command: &str) -> Story {
    Story::new(&format!(
        "[executor]\nkind = \"{kind}\"\nmax_workers = {workers}\n\
         [[task]]\nname = \"t\"\nrun = {command}\nmap = {{ range = [0, {count}] }}\n"
    ))
}

/// Functions and scripts that start processes of their own, on one executor.
fn mixture(kind: &str, workers: u32) -> Story {
    Story::new(&format!(
        "[executor]\nkind = \"{kind}\"\nmax_workers = {workers}\n\
         [[task]]\nname = \"call\"\ncall = \"sleep\"\nargs = [\"10ms\"]\n\
         map = {{ range = [0, 40] }}\n\
         [[task]]\nname = \"script\"\nrun = \"sleep 0.01; echo $JOBRUN_INDEX\"\n\
         map = {{ range = [0, 20] }}\n"
    ))
}

/// All of them ran, fewer at once than was asked for, and that was said once.
#[track_caller]
fn all_ran_with_one_warning(end: &End, count: u32, workers: u64) {
    kept(end, 0);
    assert_eq!(end.report["counts"]["succeeded"], count, "{}", end.stderr);
    let peak = end.report["executors"]["default"]["peak_running"].as_u64().unwrap();
    assert!((1..workers).contains(&peak), "{peak} of {workers} ran at once\n{}", end.stderr);
    assert_eq!(warnings(end).len(), 1, "{}", end.stderr);
}

fn warnings(end: &End) -> Vec<&str> {
    let warnings = end.events.iter().filter(|event| event["event"] == "warning");
    warnings.filter_map(|event| event["message"].as_str()).collect()
}

#[test]
fn f22_with_few_descriptors_all_run_and_fewer_at_once() {
    if !require("prlimit") {
        return;
    }
    for kind in ["thread", "process"] {
        for workers in [100, 1000] {
            let story = commands(kind, workers, 1000, "[\"sleep\", \"0.01\"]");
            let end = story.under(&["prlimit", "--nofile=64"]).run();
            kept(&end, 0);
            assert_eq!(end.report["counts"]["succeeded"], 1000);
            assert!(warnings(&end).len() <= 1, "{}", end.stderr);
        }
    }
    // These stay until there is no room for more.
    let story = commands("thread", 100, 150, "[\"sleep\", \"0.5\"]");
    let end = story.under(&["prlimit", "--nofile=64"]).run();
    all_ran_with_one_warning(&end, 150, 100);
    assert!(warnings(&end)[0].contains("the limit of open files"), "{}", end.stderr);
}

#[test]
fn f22_a_soft_limit_is_raised_and_children_are_given_the_old_one() {
    if !require("prlimit") {
        return;
    }
    let story = commands("thread", 100, 100, "\"sleep 0.3; ulimit -n\"");
    let end = story.under(&["prlimit", "--nofile=64:"]).run();
    kept(&end, 0);
    let limits = end.result("t").as_array().unwrap();
    assert_eq!(limits.iter().filter(|limit| *limit == "64").count(), 100, "{limits:?}");
    assert!(warnings(&end).is_empty(), "{}", end.stderr);
}

#[test]
fn f22_there_are_descriptors_for_what_is_printed_and_reported() {
    if !require("prlimit") {
        return;
    }
    let script = "\"head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2; sleep 0.2\"";
    let story = commands("thread", 100, 100, script).args(&["--report", "junit=junit.xml"]);
    let end = story.args(&["--output", "none"]).under(&["prlimit", "--nofile=64"]).run();
    all_ran_with_one_warning(&end, 100, 100);
    for member in 0..100 {
        let future = end.future(&format!("t[{member}]"));
        for stream in ["stdout", "stderr"] {
            let path = future[stream]["path"].as_str().unwrap();
            let kept = fs::read(end.path(path)).unwrap();
            assert!(kept == vec![0; 100_000], "{path} has {} bytes", kept.len());
        }
    }
    assert!(end.file("junit.xml").contains("tests=\"100\""));
}

#[test]
fn f22_worker_processes_leave_descriptors_to_others() {
    if !require("prlimit") {
        return;
    }
    let door = Door::new();
    let url = door.url();
    let story = Story::new(&format!(
        "[executor]\nkind = \"process\"\nmax_workers = 30\n\
         [[task]]\nname = \"t\"\ncall = \"http\"\nargs = [\"{url}\"]\nmap = {{ range = [0, 30] }}\n\
         [[callback]]\non = \"success\"\npost = \"{url}\"\n"
    ));
    let story = story.args(&["--allow-host", "127.0.0.1"]);
    let running = story.under(&["prlimit", "--nofile=64"]).spawn();
    // Each future knocks, and each callback after it.
    for _ in 0..60 {
        door.knock().answer("go on");
    }
    let end = running.end();
    all_ran_with_one_warning(&end, 30, 30);
    let callbacks = end.report["callbacks"].as_array().unwrap();
    assert_eq!(callbacks.len(), 30);
    assert!(callbacks.iter().all(|it| it["error"].is_null()), "{callbacks:?}");
}

/// A folder of control groups in which so many processes may be, if one can be made.
struct Cage {
    dir: PathBuf,
}

impl Cage {
    fn new(controller: &str, files: &[(&str, &str)]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("jobrun-test-{}-{number}", std::process::id());
        let made = [root.join(controller), root.to_owned()].into_iter().find_map(|root| {
            let cage = Self { dir: root.join(&name) };
            fs::create_dir(&cage.dir).ok()?;
            let write = |(file, text): &(&str, &str)| fs::write(cage.dir.join(file), text);
            files.iter().try_for_each(write).ok()?;
            Some(cage)
        });
        if made.is_none() {
            unavailable(&format!("no control group that limits {controller} can be made"));
        }
        made
    }

    /// A command that runs in it.
    fn under(&self, story: Story) -> Story {
        let procs = self.dir.join("cgroup.procs");
        let enter = format!("echo $$ > {} && exec \"$@\"", procs.display());
        story.under(&["sh", "-c", &enter, "enter"])
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        // The last processes may take a moment to leave it.
        for _ in 0..1000 {
            match fs::remove_dir(&self.dir) {
                Err(error) if error.raw_os_error() == Some(16) => thread::yield_now(),
                _ => return,
            }
        }
    }
}

#[test]
fn f23_in_a_small_group_of_processes_all_run_with_what_they_start() {
    let script = "\"sleep 0.05; true\"";
    for (kind, command) in
        [("thread", script), ("process", script), ("thread", "[\"sleep\", \"0.05\"]")]
    {
        let Some(cage) = Cage::new("pids", &[("pids.max", "16")]) else { return };
        let end = cage.under(commands(kind, 32, 64, command)).run();
        all_ran_with_one_warning(&end, 64, 16);
    }
}

#[test]
fn f23_functions_and_scripts_share_a_small_group() {
    for kind in ["thread", "process"] {
        let Some(cage) = Cage::new("pids", &[("pids.max", "24")]) else { return };
        let end = cage.under(mixture(kind, 32)).run();
        all_ran_with_one_warning(&end, 60, 32);
    }
}

/// A copy of the program in a folder that every user may enter.
fn program_for_all() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("jobrun");
    // Not copied by this process: what another test starts meanwhile would hold it open for writing.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_jobrun")).arg(&program).status();
    assert!(copied.unwrap().success());
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    (folder, program)
}

/// Runs a story as a user of its own, of whom so many processes and threads may run.
fn as_user(story: Story, user: u32, most: u32) -> Option<End> {
    if !require("setpriv") || !require("prlimit") {
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        skipped("the limit of processes counts all that a user runs; only root is another");
        return None;
    }
    let (_folder, program) = program_for_all();
    fs::set_permissions(story.path("."), Permissions::from_mode(0o777)).unwrap();
    // Another run of the tests has other users.
    let user = 1_000_000 + std::process::id() * 100 + user;
    let [user, most] = [format!("--reuid={user}"), format!("--nproc={most}")];
    let under = ["setpriv", &user, "--clear-groups", "prlimit", &most];
    Some(story.program(program).under(&under).run())
}

#[test]
fn f23_a_user_of_few_processes_runs_all() {
    let story = commands("thread", 32, 64, "\"sleep 0.02; true\"");
    let Some(end) = as_user(story, 1, 16) else { return };
    all_ran_with_one_warning(&end, 64, 16);
}

#[test]
fn f23_a_system_that_refuses_now_and_then_is_asked_again() {
    if !require("strace") {
        return;
    }
    let calls = "clone,clone3,vfork,fork";
    let inject = format!("inject={calls}:error=EAGAIN:when=5+7");
    let trace = format!("trace={calls}");
    let story = commands("thread", 8, 60, "[\"true\"]");
    let end = story.under(&["strace", "-f", "-o", "trace", "-e", &trace, "-e", &inject]).run();
    kept(&end, 0);
    assert_eq!(end.report["counts"]["succeeded"], 60);
    assert!(end.file("trace").contains("(INJECTED)"), "nothing was refused");
    assert_eq!(warnings(&end).len(), 1, "{}", end.stderr);
}

#[test]
fn f23_where_not_even_one_can_run_it_is_said_why() {
    let story = commands("thread", 8, 20, "[\"true\"]");
    // The guard, the main thread, the one that works, and one that minds children.
    let Some(end) = as_user(story, 2, 4) else { return };
    kept(&end, 1);
    for member in 0..20 {
        let error = &end.future(&format!("t[{member}]"))["error"];
        assert!(error["message"].to_string().contains("the limit of processes"), "{error}");
    }
}

#[test]
fn f24_without_threads_to_work_the_run_is_refused() {
    for most in 1..=2 {
        let Some(end) = as_user(commands("thread", 8, 20, "[\"true\"]"), 10 + most, most) else {
            return;
        };
        // Nothing has begun, and so there is no report.
        end.expect(4).says("cannot start: ");
        assert_eq!(end.leftovers(), []);
    }
}

#[test]
fn f24_a_user_of_few_threads_makes_all_calls() {
    for (place, kind) in ["thread", "process"].into_iter().enumerate() {
        let Some(end) = as_user(mixture(kind, 16), 20 + place as u32, 20) else { return };
        all_ran_with_one_warning(&end, 60, 16);
    }
}

/// A library that, loaded before the others, lets each process start only so many threads.
fn few_threads(folder: &Path) -> Option<PathBuf> {
    if !require("cc") {
        return None;
    }
    let (source, library) = (folder.join("few.c"), folder.join("few.so"));
    let text = r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <errno.h>
        #include <pthread.h>
        #include <stdatomic.h>
        #include <stdlib.h>
        static atomic_int started;
        int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                           void *(*start)(void *), void *arg) {
            static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
            if (!create) *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
            const char *most = getenv("MOST_THREADS");
            if (most && atomic_fetch_add(&started, 1) >= atoi(most)) return EAGAIN;
            return create(thread, attr, start, arg);
        }
    "#;
    fs::write(&source, text).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    assert!(cc.status().unwrap().success());
    Some(library)
}

#[test]
fn f24_threads_that_are_refused_make_the_pool_smaller() {
    let folder = TempDir::new().unwrap();
    let Some(library) = few_threads(folder.path()) else { return };
    let run = |story: Story, most: u32| {
        story.env("LD_PRELOAD", &library).env("MOST_THREADS", most.to_string()).run()
    };
    // One works, one minds children.
    for kind in ["thread", "process"] {
        for most in [3, 4, 6] {
            all_ran_with_one_warning(&run(mixture(kind, 8), most), 60, 9);
        }
    }
    let end = run(commands("thread", 8, 20, "[\"true\"]"), 0);
    end.expect(4).says("cannot start: ");
    // A job that has no thread for any call says so.
    let end = run(mixture("thread", 8), 2);
    kept(&end, 1);
    let error = &end.future("call[0]")["error"];
    assert!(error["message"].to_string().contains("threads could not be started"), "{error}");
}

#[test]
fn f24_callbacks_wait_for_the_thread_that_there_is() {
    let folder = TempDir::new().unwrap();
    let Some(library) = few_threads(folder.path()) else { return };
    let door = Door::new();
    let url = door.url();
    let story = Story::new(&format!(
        "[[task]]\nname = \"t\"\nrun = [\"true\"]\nmap = {{ range = [0, 10] }}\n\
         [[callback]]\non = \"success\"\npost = \"{url}\"\n"
    ));
    // One works, one minds children, one is kept for callbacks.
    let story = story.args(&["--allow-host", "127.0.0.1"]);
    let running = story.env("LD_PRELOAD", &library).env("MOST_THREADS", "3").spawn();
    for _ in 0..10 {
        door.knock().answer("ok");
    }
    let end = running.end();
    kept(&end, 0);
    let callbacks = end.report["callbacks"].as_array().unwrap();
    assert_eq!(callbacks.len(), 10);
    assert!(callbacks.iter().all(|it| it["error"].is_null()), "{callbacks:?}");
}

#[test]
fn f67_on_one_processor_widths_follow_and_nothing_starves() {
    if !require("taskset") {
        return;
    }
    for (kind, width) in [("thread", 5), ("process", 1)] {
        let end = Story::new(&format!(
            "[executor]\nkind = \"{kind}\"\n\
             [[task]]\nname = \"busy\"\nrun = \"i=0; while test $i -lt 20000; do i=$((i+1)); done\"\n\
             map = {{ range = [0, 8] }}\n\
             [[task]]\nname = \"call\"\ncall = \"sum_to\"\nargs = [100000]\n\
             map = {{ range = [0, 50] }}\n"
        ))
        .under(&["taskset", "-c", "0"])
        .run();
        kept(&end, 0);
        assert_eq!(end.report["executors"]["default"]["max_workers"], width);
        assert_eq!(end.report["counts"]["succeeded"], 58);
    }
}

#[test]
fn f67_with_half_a_processor_nothing_spins() {
    if !require("python3") {
        return;
    }
    let v1 = [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")];
    let v2 = [("cpu.max", "50000 100000")];
    let one = Path::new("/sys/fs/cgroup/cpu").is_dir();
    let Some(cage) = Cage::new("cpu", if one { &v1 } else { &v2 }) else { return };
    // How much of a processor all of a run took, its tasks included, which do nothing.
    let measure = "import resource, subprocess, sys\n\
                   code = subprocess.call(sys.argv[1:])\n\
                   usage = resource.getrusage(resource.RUSAGE_CHILDREN)\n\
                   open('usage', 'w').write(str(usage.ru_utime + usage.ru_stime))\n\
                   sys.exit(code)\n";
    let story = Story::new(
        "[executors.calls]\nmax_workers = 4\n\
         [[task]]\nname = \"t\"\nrun = [\"sleep\", \"3\"]\nmap = { range = [0, 4] }\n\
         [[task]]\nname = \"call\"\ncall = \"sleep\"\nargs = [\"3s\"]\nmap = { range = [0, 4] }\n\
         executor = \"calls\"\n",
    );
    let procs = cage.dir.join("cgroup.procs");
    let enter = format!("echo $$ > {} && exec \"$@\"", procs.display());
    let end = story.under(&["sh", "-c", &enter, "enter", "python3", "-c", measure]).run();
    kept(&end, 0);
    assert_eq!(end.report["executors"]["default"]["max_workers"], 5);
    // One thread that spins would take half a processor for three seconds.
    let usage: f64 = end.file("usage").parse().unwrap();
    assert!(usage < 1.0, "{usage} s of a processor were used");
}
