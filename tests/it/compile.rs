//! From a manifest to a job: what is found to be wrong, and what the job then says.

use std::sync::Arc;

use jobrun::Functions;
use jobrun::compile::{Options, load};
use jobrun::diagnostic::{Faults, Source};
use jobrun::job::Job;

/// Compiles a text without further options.
pub fn job(name: &str, text: &str) -> Result<Job, Faults> {
    load(&Arc::new(Source::new(name, text)), &Functions::builtin(), &Options::default())
}

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use jobrun::compile::compile;
use jobrun::graph::{Amount, ExecutorKind, OnReturn, ReturnWhen, Size, When};
use jobrun::id::TaskId;
use jobrun::job::{Action, ArgsSpec, CallbackAction, Items, ProgramSpec, Trigger};
use jobrun::manifest::{self, Callback, Executor, Manifest, On, Retry, Task, Wait};
use jobrun::template::Scope;
use jobrun::value::Value;
use jobrun::work::{Limits, ResultKind};

fn good(text: &str) -> Job {
    with(text, &Options::default())
}

fn with(text: &str, options: &Options) -> Job {
    let source = Arc::new(Source::new("jobs/nightly.toml", text));
    load(&source, &Functions::builtin(), options)
        .unwrap_or_else(|it| panic!("{}", it.render(false)))
}

/// The messages of what is wrong, one a line.
fn wrong(text: &str, options: &Options) -> String {
    let source = Arc::new(Source::new("jobs/nightly.toml", text));
    load(&source, &Functions::builtin(), options).unwrap_err().to_string()
}

/// The names of the tasks, and what each is after.
fn edges(job: &Job) -> BTreeMap<&str, Vec<&str>> {
    let name = |id: &TaskId| job.graph.task(*id).name.as_str();
    job.graph
        .tasks()
        .map(|(_, task)| (task.name.as_str(), task.after.iter().map(name).collect()))
        .collect()
}

fn names(job: &Job) -> Vec<&str> {
    job.graph.tasks().map(|(_, task)| task.name.as_str()).collect()
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn the_seed_example_says_what_python_would() {
    let job = good(include_str!("../manifests/good/sums.toml"));
    assert_eq!(job.name, "sums");
    let (id, task) = job.graph.tasks().next().unwrap();
    assert!(matches!(task.size, Size::Group { members: 4, wait: None }));
    assert!(task.call);
    assert_eq!(job.graph.executors()[0].max_workers, 4);
    assert_eq!(job.graph.wait().timeout, Some(Duration::from_secs(7)));
    assert_eq!(job.spec(id).items.as_ref().unwrap().get(3), Some(Value::from(10_000_000)));
    assert!(matches!(&job.spec(id).action, Action::Call { args: ArgsSpec::Item, .. }));
    assert_eq!(job.spec(id).place.line, 11);
    assert_eq!(
        (job.callbacks[0].place.line, job.callbacks[0].on.as_slice()),
        (16, &[Trigger::Done][..])
    );
    assert_eq!(job.callbacks[0].timeout, Duration::from_secs(30));
}

#[test]
fn what_a_manifest_does_not_say_has_the_defaults_of_the_manual() {
    let job = good("[[task]]\nname = 'a'\nrun = 'echo'\n[executors.p]\nkind = 'process'\n");
    assert_eq!(job.name, "nightly");
    assert_eq!(job.origin.manifest.as_deref(), Some("jobs/nightly.toml"));
    assert_eq!(job.origin.dir, PathBuf::from("jobs"));
    assert_eq!(job.origin.hash.len(), 64);
    let cpus = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let workers: Vec<_> = job.graph.executors().iter().map(|it| it.max_workers).collect();
    assert_eq!(workers, [(cpus + 4).min(32), cpus]);
    let task = job.graph.task(TaskId(0));
    assert_eq!((task.grace, task.timeout), (Duration::from_secs(5), None));
    assert_eq!((task.retry.count, task.retry.backoff), (0, 1.0));
    assert!(!task.call);
    let Action::Run(command) = &job.spec(TaskId(0)).action else { panic!() };
    let ProgramSpec::Script { shell, script } = &command.program else { panic!() };
    assert_eq!((shell.join(" ").as_str(), script.as_str()), ("sh -eu -c", "echo"));
    assert_eq!((&*command.ok_exit, command.result), (&[0][..], ResultKind::Auto));
}

#[test]
fn defaults_are_where_every_task_starts_and_unsuited_ones_are_passed_over() {
    let job = good(include_str!("../manifests/good/defaults.toml"));
    let tasks: Vec<_> = job.graph.tasks().map(|(_, task)| task).collect();
    assert!(tasks.iter().all(|task| job.graph.executor(task.executor).name == "small"));
    let graces: Vec<_> = tasks.iter().map(|task| task.grace.as_secs()).collect();
    assert_eq!(graces, [2, 2, 5]);
    assert!(matches!(&job.spec(TaskId(1)).action, Action::Call { .. }));
}

#[test]
fn the_environment_of_a_task_comes_after_that_of_the_job() {
    let job = good(
        "env = { A = '1', B = '{{ vars.x }}' }\nvars = { x = 5 }\n\
         [[task]]\nname = 'a'\nrun = ['env']\nenv = { A = '2', N = '{{ item }}' }\nmap = [7]\n",
    );
    let Action::Run(command) = &job.spec(TaskId(0)).action else { panic!() };
    let item = Value::from(7);
    let scope =
        Scope { vars: Some(&job.vars), item: Some(&item), index: Some(0), ..Scope::default() };
    let env: Vec<_> = job.environments[0]
        .env
        .iter()
        .chain(&command.env)
        .map(|(name, value)| format!("{name}={}", value.text(&scope).unwrap()))
        .collect();
    assert_eq!(env, ["A=1", "B=5", "A=2", "N=7"]);
}

#[test]
fn after_takes_globs_for_ordinary_tasks_and_each_name_once() {
    let job = good(
        "[[task]]\nname = 'lint-a'\nrun = ['true']\n\
         [[task]]\nname = 'lint-b'\nrun = ['true']\n\
         [[task]]\nname = 'lint-clean'\nrun = ['true']\nwhen = 'always'\nafter = ['lint-?']\n\
         [[task]]\nname = 'lint-all'\nrun = ['true']\nafter = ['lint-b', 'lint-*', 'lint-a']\n",
    );
    let edges = edges(&job);
    assert_eq!(edges["lint-clean"], ["lint-a", "lint-b"]);
    assert_eq!(edges["lint-all"], ["lint-b", "lint-a"]);
}

#[test]
fn a_map_may_be_a_range_as_in_python() {
    let lens = [
        ("[5]", 5),
        ("[2, 5]", 3),
        ("[0, 10, 3]", 4),
        ("[10, 0, -3]", 4),
        ("[5, 2]", 0),
        ("[-9223372036854775808, 9223372036854775807, 9223372036854775807]", 3),
    ];
    for (range, len) in lens {
        let job =
            good(&format!("[[task]]\nname = 'a'\ncall = 'echo'\nmap = {{ range = {range} }}\n"));
        assert_eq!(job.graph.future_count(), len, "{range}");
        assert!(matches!(job.spec(TaskId(0)).items, Some(Items::Range { .. })));
    }
}

#[test]
fn sizes_are_checked_before_anything_is_expanded() {
    let huge = "[[task]]\nname = 'a'\ncall = 'echo'\n\
                map = { range = [-9223372036854775808, 9223372036854775807] }\n";
    assert!(wrong(huge, &Options::default()).contains("18446744073709551615 items"));
    let many = "[[task]]\nname = 'a'\ncall = 'echo'\nmap = { range = [2_000_000] }\n\
                [[task]]\nname = 'b'\ncall = 'echo'\nmap = { range = [2_000_001] }\n";
    assert!(wrong(many, &Options::default()).contains("the job has 4000001 futures"));
    let only_a = Options { tasks: strings(&["a"]), ..Options::default() };
    assert_eq!(with(many, &only_a).graph.future_count(), 2_000_000);
}

#[test]
fn waits_are_lowered_with_their_counts() {
    let job = good(
        "wait = { return_when = { succeeded = '80%' }, on_return = 'drain', timeout = 'none' }\n\
         [[task]]\nname = 'a'\ncall = 'echo'\nmap = [1, 2]\nwait = { return_when = { failed = 2 } }\n",
    );
    assert_eq!(job.graph.wait().return_when, ReturnWhen::Succeeded(Amount::Percent(80.0)));
    assert_eq!(job.graph.wait().on_return, OnReturn::Drain);
    let Size::Group { wait: Some(wait), .. } = &job.graph.task(TaskId(0)).size else { panic!() };
    assert_eq!(wait.return_when, ReturnWhen::Failed(Amount::Count(2)));
}

#[test]
fn callbacks_keep_the_order_in_which_they_are_declared() {
    let job = good(
        "[[callback]]\non = 'done'\nlog = 'first'\n\
         [[task]]\nname = 'a'\nrun = ['true']\n\
         [[task.callback]]\non = ['done', 'done', 'start']\nlog = 'second'\n\
         [[callback]]\non = 'failure'\ntasks = 'a*'\nlog = 'third'\n",
    );
    let logs: Vec<_> = job
        .callbacks
        .iter()
        .map(|callback| match &callback.action {
            CallbackAction::Log(line) => line.text(&Scope::default()).unwrap(),
            _ => panic!(),
        })
        .collect();
    assert_eq!(logs, ["first", "second", "third"]);
    assert_eq!(job.callbacks[0].tasks, None);
    assert_eq!(job.callbacks[1].tasks, Some(vec![TaskId(0)]));
    assert_eq!(job.callbacks[1].on, [Trigger::Done, Trigger::Start]);
    assert_eq!(job.callbacks[2].tasks, Some(vec![TaskId(0)]));
}

#[test]
fn the_call_of_a_callback_is_given_the_future_or_what_it_says() {
    let job = good(
        "vars = { who = 'me' }\n[[task]]\nname = 'a'\nrun = ['true']\n\
         [[callback]]\non = 'done'\ncall = 'echo'\n\
         [[callback]]\non = 'done'\ncall = 'echo'\nargs = ['{{ future.state }} for {{ vars.who }}']\n\
         [[callback]]\non = 'done'\ncall = 'echo'\nwith = { value = '{{ future }}' }\n",
    );
    let future = Value::Map(vec![("state".to_owned(), Value::from("succeeded"))]);
    let scope = Scope { vars: Some(&job.vars), future: Some(&future), ..Scope::default() };
    let args = |at: usize| match &job.callbacks[at].action {
        CallbackAction::Do(Action::Call { args, .. }) => args,
        other => panic!("{other:?}"),
    };
    assert!(matches!(args(0), ArgsSpec::Item));
    let ArgsSpec::List(list) = args(1) else { panic!() };
    assert_eq!(list[0].value(&scope).unwrap(), Value::from("succeeded for me"));
    let ArgsSpec::Named(named) = args(2) else { panic!() };
    assert_eq!((named[0].0.as_str(), named[0].1.value(&scope).unwrap()), ("value", future.clone()));
}

#[test]
fn the_call_of_a_callback_is_checked() {
    let of = |keys: &str| {
        format!("[[task]]\nname = 'a'\nrun = ['true']\n[[callback]]\non = 'done'\n{keys}")
    };
    for (keys, message) in [
        ("call = 'sum_to'\nargs = [1, 2]", "`sum_to` takes 1 argument, not 2"),
        ("call = 'sum_to'\nargs = [1]\nwith = { n = 1 }", "this call has both `args` and `with`"),
        ("call = 'sum_to'\nargs = ['{{ item }}']", "`item`"),
        ("log = 'x'\nwith = { n = 1 }", "`with` only suits `call`"),
    ] {
        let found = wrong(&of(keys), &Options::default());
        assert!(found.contains(message) && found.lines().count() == 1, "{keys}: {found}");
    }
}

/// Each manifest has one fault, which says so.
#[test]
fn what_would_be_lost_or_mean_nothing_is_refused() {
    let task = "[[task]]\nname = 'a'\nrun = 'true'\n";
    for (text, message) in [
        (format!("defaults = {{ shell = [] }}\n{task}"), "`shell` names no program"),
        (format!("{task}shell = ['']\n"), "`shell` names no program"),
        (format!("{task}[[callback]]\non = []\nlog = 'x'\n"), "`on` is empty"),
        (
            format!("report = {{ json = 'out/x', html = './out/./x' }}\n{task}"),
            "the reports `json` and `html` have the same path",
        ),
        (format!("{task}timeout = 'nan'\n"), "`nan` is no unit"),
        (format!("{task}map = [99_999_999_999_999_999_999]\n"), "99999999999999999999 is a whole"),
        (
            format!("wait = {{ return_when = {{ completed = '1e1%' }} }}\n{task}"),
            "\"1e1%\" is not a percentage",
        ),
        (format!("{task}nice = 20\n"), "nice must be from -20 to 19"),
        (format!("{task}limits = {{ cpu_time = 0 }}\n"), "`cpu_time` must be greater than 0"),
        (format!("{task}limits = {{ processes = 0 }}\n"), "processes must be greater than 0"),
        (format!("{task}limits = {{ nofile = 9 }}\n"), "unknown key `nofile` in `limits`"),
        (format!("{task}limits = {{ memory = '1 cow' }}\n"), "`memory` is not written as a size"),
        (
            "[[task]]\nname = 'a'\ncall = 'echo'\nargs = [1]\nlimits = { open_files = 9 }\n"
                .to_owned(),
            "`limits` only suits `run`, and `a` calls a function",
        ),
        (
            "[[task]]\nname = 'a'\ncall = 'echo'\nargs = [1]\nnice = 9\n".to_owned(),
            "`nice` only suits `run`, and `a` calls a function",
        ),
        (
            format!("{task}[[callback]]\non = 'done'\nrun = 'echo {{{{ future.name }}}}'\n"),
            "pass the value as an argument",
        ),
    ] {
        let found = wrong(&text, &Options::default());
        assert!(found.contains(message) && found.lines().count() == 1, "{text}: {found}");
    }
}

#[test]
fn a_default_that_does_not_suit_a_task_is_passed_over() {
    let job = good(
        "[defaults]\ncwd = 'x'\nargs = [1]\nshell = ['bash', '-c']\ntimeout = '5m'\ngrace = '1s'\n\
         wait = { return_when = 'first_success' }\nlimits = { memory = '1MiB' }\nnice = 3\n\
         [[task]]\nname = 'argv'\nrun = ['true']\ntimeout = 'none'\ngrace = 'none'\n\
         [[task]]\nname = 'call'\ncall = 'echo'\n\
         [[task]]\nname = 'empty'\ncall = 'echo'\nmap = []\n",
    );
    let argv = job.graph.task(TaskId(0));
    assert_eq!((argv.timeout, argv.grace), (None, Duration::from_secs(5)));
    let Action::Run(command) = &job.spec(TaskId(0)).action else { panic!() };
    let limits = Limits { memory: Some(1 << 20), nice: 3, ..Limits::default() };
    assert_eq!(command.limits.as_deref(), Some(&limits));
    let call = job.graph.task(TaskId(1));
    assert_eq!(call.timeout, Some(Duration::from_mins(5)));
    assert!(matches!(call.size, Size::One));
    let Size::Group { members: 0, wait: Some(_) } = &job.graph.task(TaskId(2)).size else {
        panic!()
    };
}

#[test]
fn a_share_is_rounded_up_and_not_by_the_error_of_fractions() {
    let of = |percent, total| Amount::Percent(percent).of(total);
    assert_eq!([of(80.0, 5), of(80.0, 6), of(0.1, 3), of(100.0, 7)], [4, 5, 1, 7]);
    assert_eq!([of(16.1, 1000), of(16.11, 1000), of(55.0, 4_000_000)], [161, 162, 2_200_000]);
}

#[test]
fn every_trigger_of_a_job_can_be_written() {
    for trigger in Trigger::ALL {
        assert!(On::new(trigger.word()).is_some(), "{}", trigger.word());
    }
}

#[test]
fn reports_are_relative_to_the_manifest() {
    let job = good(
        "report = { json = 'out/r.json', html = '/tmp/r.html' }\n[[task]]\nname = 'a'\nrun = ['true']\n",
    );
    let reports: Vec<_> = job
        .reports
        .iter()
        .map(|(format, path)| (format.as_str(), path.to_str().unwrap()))
        .collect();
    assert_eq!(reports, [("json", "jobs/out/r.json"), ("html", "/tmp/r.html")]);
}

const PIPELINE: &str = "\
    [[task]]\nname = 'fetch'\nrun = ['true']\n\
    [[task]]\nname = 'build'\nrun = ['true']\nafter = ['fetch']\ntags = ['slow']\n\
    [[task]]\nname = 'test'\nrun = ['true']\nafter = ['build']\n\
    [[task]]\nname = 'docs'\nrun = ['true']\nafter = ['fetch']\ntags = ['text']\n\
    [[task]]\nname = 'deploy'\nrun = ['true']\nafter = ['test', 'docs']\n\
    [[task]]\nname = 'clean'\nrun = ['true']\nafter = ['build', 'docs']\nwhen = 'always'\n\
    [[task]]\nname = 'mail'\nrun = ['true']\nafter = ['deploy']\nwhen = 'always'\n\
    [[callback]]\non = 'done'\ntasks = ['deploy']\nlog = 'deployed'\n\
    [[callback]]\non = 'done'\ntasks = ['docs', 'test']\nlog = 'over'\n";

#[test]
fn selected_tasks_bring_what_they_need_and_their_clean_up() {
    let select = |tasks: &[&str], tags: &[&str], skip: &[&str]| {
        let (tasks, tags, skip) = (strings(tasks), strings(tags), strings(skip));
        let job = with(PIPELINE, &Options { tasks, tags, skip, ..Options::default() });
        names(&job).join(" ")
    };
    assert_eq!(select(&["test"], &[], &[]), "fetch build test clean");
    assert_eq!(select(&["te*", "do?s"], &[], &[]), "fetch build test docs clean");
    assert_eq!(select(&[], &["text"], &[]), "fetch docs clean");
    assert_eq!(select(&["test"], &[], &["clean", "fetch"]), "build test");
    assert_eq!(select(&[], &[], &["d*"]), "fetch build test clean mail");
    assert_eq!(select(&["deploy"], &[], &["build"]), "fetch test docs deploy clean mail");
}

#[test]
fn a_selected_job_has_no_edges_to_what_is_left_out() {
    let job = with(PIPELINE, &Options { tasks: strings(&["test"]), ..Options::default() });
    let edges = edges(&job);
    assert_eq!(edges["clean"], ["build"]);
    assert_eq!(edges["test"], ["build"]);
    assert_eq!(job.callbacks.len(), 1);
    assert_eq!(job.graph.task(job.callbacks[0].tasks.as_ref().unwrap()[0]).name, "test");
}

#[test]
fn unknown_selectors_are_faults_that_guess() {
    let options = Options {
        tasks: strings(&["tset"]),
        tags: strings(&["slo"]),
        skip: strings(&["x*"]),
        ..Options::default()
    };
    insta::assert_snapshot!(wrong(PIPELINE, &options), @r"
    --tag slo: no task has the tag `slo` (did you mean `slow`?)
    --skip x*: no task matches `x*` (the known names are: build, clean, deploy, docs, fetch, mail, test)
    tset: there is no task `tset` (did you mean `test`?)
    ");
    let group = "[[task]]\nname = 'a'\ncall = 'echo'\nmap = [1]\n";
    let options = Options { tasks: strings(&["a[0]"]), ..Options::default() };
    insta::assert_snapshot!(wrong(group, &options), @"a[0]: `a[0]` is not a task (name the whole group: `a`)");
    let options = Options { skip: strings(&["*"]), ..Options::default() };
    insta::assert_snapshot!(wrong(group, &options), @"no task is left to run (select tasks that are not skipped)");
}

#[test]
fn the_command_line_overrides_the_manifest() {
    let text = "vars = { n = 1, s = 'a', b = false, f = 0.5, l = [1] }\n\
                executors = { heavy = { max_workers = 1 } }\n\
                wait = { timeout = 5 }\n[[task]]\nname = 'a'\nrun = ['true']\n";
    let vars = [("n", "7"), ("s", "5"), ("b", "true"), ("f", "2"), ("l", "[2, \"x\"]")];
    let options = Options {
        max_workers: vec![("default".to_owned(), 3), ("heavy".to_owned(), 2)],
        fail_fast: true,
        timeout: Some(None),
        vars: vars.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        dir: Some(PathBuf::from("/srv")),
        ..Options::default()
    };
    let job = with(text, &options);
    let workers: Vec<_> = job.graph.executors().iter().map(|it| it.max_workers).collect();
    assert_eq!(workers, [3, 2]);
    assert_eq!(job.graph.wait().return_when, ReturnWhen::FirstException);
    assert_eq!(job.graph.wait().timeout, None);
    assert_eq!(job.vars.to_string(), r#"{"n":7,"s":"5","b":true,"f":2.0,"l":[2,"x"]}"#);
    assert_eq!(job.origin.dir, PathBuf::from("/srv"));
}

#[test]
fn overrides_that_cannot_be_are_faults() {
    let text = "vars = { level = 1 }\n[[task]]\nname = 'a'\nrun = ['true']\n";
    let options = Options {
        max_workers: vec![("default".to_owned(), 0), ("heavy".to_owned(), 2)],
        vars: vec![("level".to_owned(), "high".to_owned()), ("levle".to_owned(), "3".to_owned())],
        ..Options::default()
    };
    insta::assert_snapshot!(wrong(text, &options), @r"
    --max-workers heavy=2: there is no executor `heavy` (the known names are: default)
    --var levle: `vars` has no `levle` (did you mean `level`?)
    max_workers must be greater than 0 (give 1 or more, or leave it out for a number that suits the machine)
    --var level=high: `level` is a whole number (give a whole number)
    ");
}

#[test]
fn words_of_the_command_line_are_read_as_in_a_manifest() {
    assert_eq!(manifest::duration("1m 30s"), Ok(Some(Duration::from_secs(90))));
    assert_eq!(manifest::duration("1.5"), Ok(Some(Duration::from_millis(1500))));
    assert_eq!(manifest::duration("none"), Ok(None));
    for text in ["-1s", "-1", "nan", "inf", "1e300", "99999999999d", "5 fortnights", "1y", "", "s"]
    {
        assert!(manifest::duration(text).is_err(), "{text}");
    }
    assert_eq!(manifest::return_when("first_success"), Ok(ReturnWhen::FirstSuccess));
    let half = ReturnWhen::Completed(Amount::Percent(50.0));
    assert_eq!(manifest::return_when("completed=50%"), Ok(half));
    assert_eq!(manifest::return_when("failed=3"), Ok(ReturnWhen::Failed(Amount::Count(3))));
    for text in ["failed=0", "failed", "failed=101%", "first"] {
        assert!(manifest::return_when(text).is_err(), "{text}");
    }
}

#[test]
fn a_program_makes_a_job_without_a_file() {
    let manifest = Manifest::new("sums")
        .executor(Executor::thread().max_workers(4))
        .named_executor("cores", Executor::process())
        .wait(Wait::new().timeout(Duration::from_secs(7)))
        .resource("db", 2)
        .var("target", "release")
        .task(Task::call("sum", "sum_to").map([10, 100]).retry(2).uses("db", 1))
        .task(Task::run("show", ["echo", "{{ vars.target }}"]).after(["sum"]).env("A", 1))
        .task(
            Task::script("clean", "rm -f x")
                .after(["s*"])
                .when(When::Always)
                .retry(Retry::new(3).delay(Duration::from_secs(1)).backoff(2.0)),
        )
        .callback(Callback::log(On::new("done"), "{{ future.name }}").tasks(["sum"]));
    let job = compile(&manifest, &Functions::builtin(), &Options::default()).unwrap();
    assert_eq!(names(&job), ["sum", "show", "clean"]);
    assert_eq!(edges(&job)["clean"], ["sum", "show"]);
    assert_eq!(job.graph.executors()[1].kind, ExecutorKind::Process);
    assert_eq!((job.spec(TaskId(0)).place.line, job.origin.manifest), (0, None));
    assert_eq!(job.callbacks.len(), 1);
}

#[test]
fn what_a_program_gets_wrong_is_told_without_places() {
    let manifest = Manifest::new("wrong")
        .executor(Executor::thread().max_workers(0))
        .task(Task::run("a", ["true"]).after(["b"]))
        .task(Task::run("b", ["true"]).after(["a"]))
        .task(Task::call("c", "nothing").cwd("x"));
    let faults = compile(&manifest, &Functions::builtin(), &Options::default()).unwrap_err();
    insta::assert_snapshot!(faults.to_string(), @r"
    these tasks wait for each other: a -> b -> a (take one of these names out of its `after`, so that a task can start first)
    `cwd` only suits `run`, and `c` calls a function (leave `cwd` out)
    there is no function `nothing` (the known names are: echo, fail, hash, http, sleep, sum, sum_to)
    max_workers must be greater than 0 (give 1 or more, or leave it out for a number that suits the machine)
    ");
}

#[test]
fn long_chains_and_long_lists_are_compiled_in_bounded_time() {
    const TASKS: usize = 100_000;
    let mut text = String::new();
    for index in 0..TASKS {
        let before = index.saturating_sub(1);
        write!(text, "[[task]]\nname = 't{index}'\nrun = ['true']\n").unwrap();
        if index > 0 {
            writeln!(text, "after = ['t{before}']").unwrap();
        }
    }
    assert_eq!(good(&text).graph.node_count(), TASKS);
    // Closed to a circle, it is one fault.
    let circle =
        text.replacen("name = 't0'\n", &format!("name = 't0'\nafter = ['t{}']\n", TASKS - 1), 1);
    let message = wrong(&circle, &Options::default());
    assert!(message.contains("(99988 more)"), "{message}");
    // With every name wrong, each is told, and not each is guessed.
    let unknown = text.replace("after = ['t", "after = ['x");
    assert_eq!(wrong(&unknown, &Options::default()).lines().count(), TASKS - 1);
}

#[test]
fn too_many_edges_are_a_fault_before_they_fill_the_memory() {
    let mut text = String::new();
    for index in 0..30 {
        write!(text, "[[task]]\nname = 'a{index}'\nrun = ['true']\n").unwrap();
    }
    text += "[[task]]\nname = 'b'\ncall = 'echo'\nafter = ['a*']\nmap = { range = [3_900_000] }\n";
    assert!(wrong(&text, &Options::default()).contains("more than 100000000 times"));
}
