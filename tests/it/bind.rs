//! What an attempt and a callback are given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use jobrun::bind::{Attempt, Binder, Occasion};
use jobrun::graph::{
    Executor, ExecutorKind, Graph, OnWorkerDeath, Resource, Retry, Size, Task, Wait, When,
};
use jobrun::id::{ExecutorId, NodeId, ResourceId};
use jobrun::job::{
    Action, ArgsSpec, CallbackAction, CommandSpec, Items, Job, Origin, Place, ProgramSpec, Setup,
    Spec,
};
use jobrun::ledger::Ledger;
use jobrun::mask::Masker;
use jobrun::outcome::FailureKind;
use jobrun::template::{Names, Template};
use jobrun::value::Value;
use jobrun::work::{Args, CallbackWork, Command, Leak, ResultKind, Work};

/// A template of a task or callback that may use every name.
fn template(text: &str) -> Template {
    let vars = vars();
    Template::parse(text, &Names { item: true, future: true, vars: &vars, ..Names::default() })
        .unwrap()
}

fn vars() -> Value {
    Value::Map(vec![("region".to_owned(), Value::from("eu"))])
}

fn argv(pieces: &[&str]) -> CommandSpec {
    CommandSpec {
        program: ProgramSpec::Argv(pieces.iter().map(|piece| template(piece)).collect()),
        env: Vec::new(),
        cwd: None,
        stdin: None,
        ok_exit: Arc::new([0]),
        result: ResultKind::Auto,
        leak: Leak::Warn,
        limits: None,
    }
}

/// A job of one task `t`, mapped over `items` if there are some.
fn job(action: Action, items: Option<Vec<Value>>) -> Job {
    let size = match &items {
        Some(items) => Size::Group { members: items.len().try_into().unwrap(), wait: None },
        None => Size::One,
    };
    let task = Task {
        name: "t".to_owned(),
        size,
        after: Vec::new(),
        each: None,
        asks: false,
        when: When::Success,
        executor: ExecutorId(0),
        uses: Vec::new(),
        call: false,
        exclusive: false,
        priority: 0,
        estimate: None,
        retry: Retry::default(),
        allow_failure: false,
        timeout: None,
        grace: std::time::Duration::ZERO,
    };
    let executor = Executor {
        name: "default".to_owned(),
        kind: ExecutorKind::Thread,
        max_workers: 1,
        on_worker_death: OnWorkerDeath::Fail,
    };
    let gpu = Resource { name: "gpu.a-1".to_owned(), capacity: 4, counted: true };
    Job {
        name: "j".to_owned(),
        description: None,
        concurrency: jobrun::graph::Concurrency::Any,
        origin: Origin { dir: PathBuf::from("/jobs"), ..Origin::default() },
        graph: Graph::new(vec![task], vec![executor], vec![gpu], Wait::default()).unwrap(),
        specs: vec![Spec {
            place: Place::default(),
            tags: Vec::new(),
            action,
            items: items.map(Items::List),
            condition: None,
            expansion: None,
        }],
        setups: vec![Setup::default()],
        vars: vars(),
        inherited: Value::Null,
        environments: vec![jobrun::job::Environment::default()],
        secrets: Vec::new(),
        reports: Vec::new(),
        callbacks: Vec::new(),
    }
}

fn bind(job: &Job, node: u32) -> Result<Work, String> {
    let binder = Binder::new(job, "r1", SystemTime::UNIX_EPOCH);
    let units = [(ResourceId(0), vec![0, 3])];
    let attempt =
        Attempt { node: NodeId(node), attempt: 2, units: &units, traceparent: "00-ab-cd-01" };
    binder.bind(&attempt, &Ledger::new(&job.graph)).map_err(|failure| {
        assert_eq!(failure.kind, FailureKind::Template);
        failure.message
    })
}

fn command(work: Work) -> Command {
    match work {
        Work::Run(command) => *command,
        Work::Call(call) => panic!("a call of {}", call.function),
    }
}

fn args(work: Work) -> Args {
    match work {
        Work::Call(call) => call.args,
        Work::Run(command) => panic!("a run of {}", command.program.display()),
    }
}

/// What a child finds in its environment: the last of equal names wins.
fn environment(command: &Command) -> BTreeMap<&str, &str> {
    command
        .env
        .iter()
        .map(|(name, value)| (name.to_str().unwrap(), value.to_str().unwrap()))
        .collect()
}

#[test]
fn a_member_of_a_group_is_given_its_item() {
    let call = |args| Action::Call { function: "sum_to".into(), args };
    let items = || Some(vec![Value::from(10), Value::Int(i128::MAX)]);
    let item = job(call(ArgsSpec::Item), items());
    assert_eq!(args(bind(&item, 1).unwrap()), Args::List(vec![Value::Int(i128::MAX)].into()));
    let list = vec![template("{{ index }}"), template("{{ [item] }}"), template("n{{ item }}")];
    let list = job(call(ArgsSpec::List(list)), items());
    assert_eq!(
        args(bind(&list, 0).unwrap()),
        Args::List(vec![Value::from(0), Value::from(vec![10]), Value::from("n10")].into())
    );
    let named = vec![("n".to_owned(), template("{{ item }}"))];
    let named = job(call(ArgsSpec::Named(named)), items());
    assert_eq!(
        args(bind(&named, 0).unwrap()),
        Args::Named(vec![("n".to_owned(), Value::from(10))])
    );
}

#[test]
fn a_plain_call_without_arguments_is_given_none() {
    let plain = job(Action::Call { function: "echo".into(), args: ArgsSpec::Item }, None);
    assert_eq!(args(bind(&plain, 0).unwrap()), Args::List(Vec::new().into()));
}

#[test]
fn an_argument_is_one_piece_whatever_is_in_it() {
    let words = Value::from("two words; $(rm -rf /) 'quoted'");
    let spec = argv(&["echo", "{{ item }}", "--region={{ vars.region }}", "plain"]);
    let job = job(Action::Run(spec), Some(vec![words.clone()]));
    let command = command(bind(&job, 0).unwrap());
    assert_eq!(command.program, "echo");
    assert_eq!(command.args, [words.as_str().unwrap(), "--region=eu", "plain"]);
    assert_eq!(command.cwd, Path::new("/jobs"));
    assert_eq!(command.stdin, None);
}

#[test]
fn a_script_is_the_last_argument_of_its_shell() {
    let mut spec = argv(&[]);
    spec.program = ProgramSpec::Script {
        shell: ["bash", "-c"].map(str::to_owned).to_vec(),
        script: "echo {{.Id}}".to_owned(),
    };
    let command = command(bind(&job(Action::Run(spec), None), 0).unwrap());
    assert_eq!(command.program, "bash");
    assert_eq!(command.args, ["-c", "echo {{.Id}}"]);
}

#[test]
fn a_child_is_told_what_it_is() {
    let mut spec = argv(&["env"]);
    spec.env = vec![
        ("ITEM".to_owned(), template("{{ item }}")),
        ("JOBRUN_TASK".to_owned(), template("another")),
    ];
    let table = Value::Map(vec![("os".to_owned(), Value::from("linux"))]);
    let job = job(Action::Run(spec), Some(vec![Value::from("a b"), table]));
    let first = command(bind(&job, 0).unwrap());
    let expected = [
        ("ITEM", "a b"),
        ("JOBRUN_ATTEMPT", "2"),
        ("JOBRUN_FUTURE", "t[0]"),
        ("JOBRUN_INDEX", "0"),
        ("JOBRUN_ITEM", "a b"),
        ("JOBRUN_JOB", "j"),
        ("JOBRUN_RUN_ID", "r1"),
        ("JOBRUN_SLOT_GPU_A_1", "0,3"),
        ("JOBRUN_TASK", "t"),
        ("TRACEPARENT", "00-ab-cd-01"),
    ];
    assert_eq!(environment(&first), BTreeMap::from(expected));
    let second = command(bind(&job, 1).unwrap());
    assert_eq!(environment(&second)["JOBRUN_ITEM"], r#"{"os":"linux"}"#);
    assert_eq!(environment(&second)["JOBRUN_INDEX"], "1");
}

#[test]
fn a_plain_task_has_neither_item_nor_index() {
    let command = command(bind(&job(Action::Run(argv(&["env"])), None), 0).unwrap());
    let told = environment(&command);
    assert_eq!(told["JOBRUN_FUTURE"], "t");
    assert!(!told.contains_key("JOBRUN_ITEM") && !told.contains_key("JOBRUN_INDEX"));
}

#[test]
fn an_item_too_long_for_a_variable_is_left_out_of_the_environment() {
    let item = Value::from("x".repeat(200_000));
    let job = job(Action::Run(argv(&["true"])), Some(vec![item]));
    let command = command(bind(&job, 0).unwrap());
    assert!(!environment(&command).contains_key("JOBRUN_ITEM"));
    assert!(environment(&command).contains_key("JOBRUN_INDEX"));
}

#[test]
fn cwd_starts_at_the_folder_of_the_job_and_stdin_is_text() {
    let mut spec = argv(&["cat"]);
    spec.cwd = Some(template("sub/{{ index }}"));
    spec.stdin = Some(template("{{ [item, 1] }}"));
    let job = job(Action::Run(spec), Some(vec![Value::from("é")]));
    let command = command(bind(&job, 0).unwrap());
    assert_eq!(command.cwd, Path::new("/jobs/sub/0"));
    assert_eq!(command.stdin.as_deref(), Some("[\"é\",1]".as_bytes()));
}

#[test]
fn what_cannot_be_filled_in_names_its_key() {
    let bound = |spec: CommandSpec, item: Value| {
        bind(&job(Action::Run(spec), Some(vec![item])), 0).unwrap_err()
    };
    let null = Value::Null;
    assert_eq!(
        bound(argv(&["echo", "{{ item.os }}"]), null.clone()),
        "run[1]: `item.os` is undefined"
    );
    assert_eq!(
        bound(argv(&["echo", "a", "-{{ item }}"]), null.clone()),
        "run[2]: `item` is null, which has no text"
    );
    assert_eq!(
        bound(argv(&["echo", "{{ item }}"]), Value::from("a\0b")),
        "run[1]: the value contains a NUL byte"
    );
    let mut spec = argv(&["env"]);
    spec.env = vec![("X".to_owned(), template("{{ item.x }}"))];
    assert_eq!(bound(spec, null.clone()), "env.X: `item.x` is undefined");
    let mut spec = argv(&["env"]);
    spec.cwd = Some(template("{{ item.x }}"));
    assert_eq!(bound(spec, null.clone()), "cwd: `item.x` is undefined");
    let mut spec = argv(&["env"]);
    spec.stdin = Some(template("{{ item }}"));
    assert_eq!(bound(spec, null), "stdin: the value is null, which has no text");
    // An item that no variable can hold is a failure as well, not a variable that is cut short.
    assert_eq!(
        bound(argv(&["env"]), Value::from("a\0b")),
        "JOBRUN_ITEM: the value contains a NUL byte"
    );
    let call = Action::Call {
        function: "echo".into(),
        args: ArgsSpec::Named(vec![("n".to_owned(), template("{{ item + 1 }}"))]),
    };
    let message = bind(&job(call, Some(vec![Value::from("x")])), 0).unwrap_err();
    assert!(message.starts_with("with.n: "), "{message}");
}

fn occur(action: &CallbackAction, node: Option<u32>) -> Result<CallbackWork, String> {
    let items = Some(vec![Value::from("a")]);
    let job = job(Action::Run(argv(&["true"])), items);
    let binder = Binder::new(&job, "r1", SystemTime::UNIX_EPOCH);
    let payload = Value::Map(vec![
        ("name".to_owned(), Value::from("t[0]")),
        ("result".to_owned(), Value::Null),
    ]);
    binder.bind_callback(
        action,
        &Occasion {
            node: node.map(NodeId),
            payload: &payload,
            state: "failed",
            traceparent: "",
            place: Place::default(),
            masker: &Masker::none(),
        },
        &Ledger::new(&job.graph),
    )
}

const PAYLOAD: &str = r#"{"name":"t[0]","result":null}"#;

#[test]
fn a_log_line_may_speak_of_a_future_without_a_result() {
    let line = CallbackAction::Log(template("{{ future.name }} -> {{ future.result }}"));
    let Ok(CallbackWork::Log(line)) = occur(&line, Some(0)) else { panic!() };
    assert_eq!(line, "t[0] -> null");
    let line = CallbackAction::Log(template("{{ future.nmae }}"));
    assert_eq!(occur(&line, Some(0)).unwrap_err(), "log: `future.nmae` is undefined");
}

#[test]
fn a_callback_command_reads_the_future_and_knows_its_state() {
    let run = CallbackAction::Do(Action::Run(argv(&["notify", "{{ future.name }}"])));
    let Ok(CallbackWork::Run(command)) = occur(&run, Some(0)) else { panic!() };
    assert_eq!(command.args, ["t[0]"]);
    assert_eq!(command.stdin.as_deref(), Some(PAYLOAD.as_bytes()));
    let expected = [
        ("JOBRUN_FUTURE", "t[0]"),
        ("JOBRUN_INDEX", "0"),
        ("JOBRUN_ITEM", "a"),
        ("JOBRUN_JOB", "j"),
        ("JOBRUN_RUN_ID", "r1"),
        ("JOBRUN_STATE", "failed"),
        ("JOBRUN_TASK", "t"),
    ];
    assert_eq!(environment(&command), BTreeMap::from(expected));
    // A group is named by its gate, which has no place in itself.
    let Ok(CallbackWork::Run(command)) = occur(&run, Some(1)) else { panic!() };
    assert_eq!(environment(&command)["JOBRUN_FUTURE"], "t");
    assert!(!environment(&command).contains_key("JOBRUN_INDEX"));
    let Ok(CallbackWork::Run(command)) = occur(&run, None) else { panic!() };
    assert!(!environment(&command).contains_key("JOBRUN_TASK"));
}

#[test]
fn a_callback_function_is_given_the_future_unless_it_says_what() {
    let call = |args| CallbackAction::Do(Action::Call { function: "echo".into(), args });
    let Ok(CallbackWork::Call(given)) = occur(&call(ArgsSpec::Item), Some(0)) else { panic!() };
    let Args::List(given) = given.args else { panic!() };
    assert_eq!(given[0].to_string(), PAYLOAD);
    let own = call(ArgsSpec::List(vec![template("{{ future.name }}")]));
    let Ok(CallbackWork::Call(given)) = occur(&own, Some(0)) else { panic!() };
    assert_eq!(given.args, Args::List(vec![Value::from("t[0]")].into()));
}

#[test]
fn a_post_carries_the_future_as_json_unless_it_says_what() {
    let post = |headers, body| CallbackAction::Post {
        url: template("http://127.0.0.1/{{ future.name }}"),
        headers,
        body,
    };
    let sent = |action| match occur(&action, Some(0)).unwrap() {
        CallbackWork::Post { url, headers, body } => {
            (url, headers, String::from_utf8(body).unwrap())
        }
        other => panic!("{other:?}"),
    };
    let json = ("content-type".to_owned(), "application/json".to_owned());
    let (url, headers, body) = sent(post(Vec::new(), None));
    assert_eq!(url, "http://127.0.0.1/t[0]");
    assert_eq!((headers, body.as_str()), (vec![json], PAYLOAD));
    let token = ("Authorization".to_owned(), template("Bearer {{ vars.region }}"));
    let (_, headers, body) = sent(post(vec![token], Some(template("it {{ future.name }}"))));
    assert_eq!(headers[0], ("Authorization".to_owned(), "Bearer eu".to_owned()));
    assert_eq!(headers[1].1, "text/plain; charset=utf-8");
    assert_eq!(body, "it t[0]");
    let own = ("Content-Type".to_owned(), template("x/y"));
    let (_, headers, _) = sent(post(vec![own], None));
    assert_eq!(headers, [("Content-Type".to_owned(), "x/y".to_owned())]);
}
