//! Stories about: callbacks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, unbounded};
use jobrun::bind::Binder;
use jobrun::callback::{Callbacks, Due, Queue, Step};
use jobrun::event::{Event, Stamped};
use jobrun::functions::Functions;
use jobrun::id::NodeId;
use jobrun::inbox::Inbox;
use jobrun::job::{Action, ArgsSpec, CallbackAction, CommandSpec, Job, ProgramSpec, Trigger};
use jobrun::ledger::CallbackRecord;
use jobrun::outcome::{Because, Cause, FailureKind};
use jobrun::report::Observer;
use jobrun::report::RunView;
use jobrun::template::Template;
use jobrun::value::Value;
use jobrun::work::{Leak, Notice, ResultKind};

use crate::told::{Plan, Run, at};

// The queue

/// What is due after all events of a run, in the order it may start, one at a time.
fn due(plan: Plan, tell: impl FnOnce(&mut Run)) -> Vec<String> {
    let run = plan.run();
    let job = Arc::clone(&run.job);
    let queue = Queue::new(&job, 1);
    let shared = Arc::new(std::sync::Mutex::new(queue));
    let mut run = run.watched_by(Noting(Arc::clone(&shared)));
    tell(&mut run);
    let mut queue = shared.lock().unwrap();
    let mut all = Vec::new();
    while let Some(due) = queue.start_next() {
        all.push(words(&job, &due));
        assert_eq!(queue.start_next(), None, "only one at once");
        assert_eq!(queue.ended(due.key), Some(due));
    }
    assert!(queue.is_idle());
    all
}

fn words(job: &Job, due: &Due) -> String {
    let of = due.node.map_or("job".to_owned(), |node| job.graph.name(node).to_string());
    format!("{} {} {of}", due.callback, due.on.word())
}

/// A queue that is told every event.
struct Noting(Arc<std::sync::Mutex<Queue>>);

impl Observer for Noting {
    fn observe(&mut self, event: &Stamped, run: &RunView<'_>) -> std::io::Result<()> {
        let mut queue = self.0.lock().unwrap();
        queue.observe(&event.event, run);
        if matches!(event.event, Event::JobFinished) {
            queue.job_ended(run, run.ledger.returned.as_ref().unwrap().how.success);
        }
        Ok(())
    }
}

#[test]
fn each_end_of_a_future_has_its_triggers() {
    let plan = Plan::new("job")
        .task("good", &[])
        .task("bad", &[])
        .task("slow", &[])
        .task("gone", &[])
        .task("none", &[])
        .log(&[Trigger::Start], None, "0")
        .log(&[Trigger::Done], None, "1")
        .log(&[Trigger::Success], None, "2")
        .log(&[Trigger::Failure], None, "3")
        .log(&[Trigger::Timeout], None, "4")
        .log(&[Trigger::Cancelled], None, "5")
        .log(&[Trigger::Skipped], None, "6");
    let all = due(plan, |run| {
        run.start("good", 1, 1).succeed("good", 2, 1);
        run.start("bad", 1, 2).fail("bad", 3, FailureKind::Exit, "no");
        run.start("slow", 1, 3).fail("slow", 4, FailureKind::Timeout, "late");
        run.cancel("gone", 5, Cause::Interrupt).skip("none", 5);
    });
    let of = |name: &str| all.iter().filter(|due| due.ends_with(name)).collect::<Vec<_>>();
    assert_eq!(of("good"), ["0 start good", "1 done good", "2 success good"]);
    assert_eq!(of("bad"), ["0 start bad", "1 done bad", "3 failure bad"]);
    assert_eq!(of("slow"), ["0 start slow", "1 done slow", "3 failure slow", "4 timeout slow"]);
    assert_eq!(of("gone"), ["1 done gone", "5 cancelled gone"]);
    assert_eq!(of("none"), ["1 done none", "6 skipped none"]);
}

#[test]
fn a_callback_on_several_triggers_is_called_once_for_one_event() {
    let plan = Plan::new("job").task("a", &[]).log(
        &[Trigger::Start, Trigger::Failure, Trigger::Done],
        None,
        "0",
    );
    let all = due(plan, |run| {
        run.start("a", 1, 1).fail("a", 2, FailureKind::Exit, "no");
    });
    assert_eq!(all, ["0 start a", "0 failure a"]);
}

#[test]
fn only_the_first_attempt_is_a_start_and_every_other_a_retry() {
    let plan = Plan::new("job").task("a", &[]).log(&[Trigger::Start], None, "0").log(
        &[Trigger::Retry],
        None,
        "1",
    );
    let all = due(plan, |run| {
        run.start("a", 1, 1).retry("a", 2, "no").start("a", 1, 3).retry("a", 4, "no");
        run.start("a", 1, 5).succeed("a", 6, 1);
    });
    assert_eq!(all, ["0 start a", "1 retry a", "1 retry a"]);
}

#[test]
fn some_callbacks_are_for_some_tasks() {
    let plan = Plan::new("job")
        .task("a", &[])
        .task("b", &[])
        .log(&[Trigger::Done], Some(&["b"]), "0")
        .log(&[Trigger::Done], None, "1")
        .log(&[Trigger::Done], Some(&["a", "b"]), "2");
    let all = due(plan, |run| {
        run.start("a", 1, 1).start("b", 2, 1).succeed("a", 2, 1).succeed("b", 3, 1);
    });
    let of = |name: &str| all.iter().filter(|due| due.ends_with(name)).collect::<Vec<_>>();
    assert_eq!(of("a"), ["1 done a", "2 done a"]);
    assert_eq!(of("b"), ["0 done b", "1 done b", "2 done b"]);
}

#[test]
fn a_return_is_the_jobs_own_or_that_of_a_group_that_is_named() {
    let plan = Plan::new("job")
        .group("g", vec![Value::Null], None)
        .log(&[Trigger::Return, Trigger::JobDone], None, "0")
        .log(&[Trigger::Return], Some(&["g"]), "1")
        .log(&[Trigger::JobSuccess], None, "2")
        .log(&[Trigger::JobFailure], None, "3");
    let all = due(plan, |run| {
        run.start("g[0]", 1, 1).succeed("g[0]", 2, 1);
        run.group_returned("g", Because::AllCompleted, true);
        run.returned(2, Because::AllCompleted, true).finish(3);
    });
    assert_eq!(all, ["1 return g", "0 return job", "0 job_done job", "2 job_success job"]);
}

#[test]
fn for_one_future_the_next_starts_when_the_one_before_has_ended() {
    let plan = Plan::new("job")
        .task("a", &[])
        .task("b", &[])
        .log(&[Trigger::Start, Trigger::Done], None, "0")
        .log(&[Trigger::Done], None, "1");
    let run = plan.run();
    let job = Arc::clone(&run.job);
    let queue = Arc::new(std::sync::Mutex::new(Queue::new(&job, 10)));
    let mut run = run.watched_by(Noting(Arc::clone(&queue)));
    run.start("a", 1, 1).succeed("a", 2, 1).start("b", 2, 3);
    let mut queue = queue.lock().unwrap();
    let (first, other) = (queue.start_next().unwrap(), queue.start_next().unwrap());
    assert_eq!([words(&job, &first), words(&job, &other)], ["0 start a", "0 start b"]);
    assert_eq!(queue.start_next(), None);
    queue.ended(first.key);
    let second = queue.start_next().unwrap();
    assert_eq!(words(&job, &second), "0 done a");
    assert_eq!(queue.start_next(), None);
    queue.ended(second.key);
    let third = queue.start_next().unwrap();
    assert_eq!(words(&job, &third), "1 done a");
    queue.ended(third.key);
    assert_eq!(queue.ended(third.key), None, "an end counts once");
    assert!(!queue.is_idle());
    queue.ended(other.key);
    assert!(queue.is_idle());
}

#[test]
fn no_more_run_at_once_than_may() {
    let items = (0..100).map(Value::from).collect();
    let run = Plan::new("job").group("n", items, None).log(&[Trigger::Done], None, "x").run();
    let job = Arc::clone(&run.job);
    let queue = Arc::new(std::sync::Mutex::new(Queue::new(&job, 3)));
    let mut run = run.watched_by(Noting(Arc::clone(&queue)));
    for place in 0..100 {
        run.start_node(NodeId(place), 1, 1).succeed_node(NodeId(place), 2);
    }
    let mut queue = queue.lock().unwrap();
    let mut running: Vec<Due> = std::iter::from_fn(|| queue.start_next()).collect();
    assert_eq!(running.len(), 3);
    let mut ended = 0;
    while let Some(due) = running.pop() {
        queue.ended(due.key);
        ended += 1;
        running.extend(std::iter::from_fn(|| queue.start_next()));
        assert!(running.len() <= 3);
    }
    assert_eq!(ended, 100);
}

// Those who do them

/// One future, and callbacks on its end that are really done.
struct Scene {
    run: Run,
    functions: Functions,
}

impl Scene {
    fn new(actions: Vec<CallbackAction>, timeout: Duration) -> Self {
        let mut plan = Plan::new("job").group("sum", vec![10.into()], None);
        for action in actions {
            plan = plan.callback(&[Trigger::Done], None, action);
        }
        let mut run = plan.run();
        let job = Arc::get_mut(&mut run.job).unwrap();
        job.origin.dir = std::env::temp_dir();
        job.callbacks.iter_mut().for_each(|callback| callback.timeout = timeout);
        run.start("sum[0]", 1, 1).succeed("sum[0]", 2, i128::MAX);
        Self { run, functions: Functions::builtin() }
    }

    /// The lines that were logged, and the records in the order in which callbacks ended.
    fn play(&self) -> (Vec<String>, Vec<CallbackRecord>) {
        let (callbacks, mut notices) = self.begin();
        self.finish(callbacks, &mut notices)
    }

    fn begin(&self) -> (Callbacks<'_>, Inbox<Notice>) {
        let notices = Inbox::default();
        let sender = notices.sender();
        let binder = Binder::new(&self.run.job, "run-1", SystemTime::UNIX_EPOCH);
        let here = ["127.0.0.1".parse().unwrap()].into_iter().collect();
        let mut callbacks =
            Callbacks::new(&self.run.job, &self.functions, binder, sender).allowing(here);
        let event = Event::Finished { node: self.run.node("sum[0]") };
        callbacks.observe(&Stamped { seq: 0, at: at(2), event }, &self.run.view());
        (callbacks, notices)
    }

    fn finish(
        &self,
        mut callbacks: Callbacks<'_>,
        notices: &mut Inbox<Notice>,
    ) -> (Vec<String>, Vec<CallbackRecord>) {
        let (mut lines, mut records) = (Vec::new(), Vec::new());
        loop {
            while let Some(step) = callbacks.start_next(&self.run.view()) {
                match step {
                    Step::Started => {}
                    Step::Failed(record) => records.push(record),
                    Step::Logged(event, record) => {
                        let Event::Log { message, .. } = event else { panic!("{event:?}") };
                        lines.push(message);
                        records.push(record);
                    }
                }
            }
            if callbacks.is_idle() {
                return (lines, records);
            }
            if let Notice::Callback { key, error, elapsed } = notices.next(None).unwrap() {
                records.extend(callbacks.ended(key, error, elapsed));
            }
        }
    }
}

const LONG: Duration = Duration::from_mins(1);

fn text(text: &str) -> Template {
    Template::fixed(text)
}

fn script(script: &str) -> CallbackAction {
    let shell = ["sh", "-eu", "-c"].map(str::to_owned).to_vec();
    CallbackAction::Do(Action::Run(CommandSpec {
        program: ProgramSpec::Script { shell, script: script.to_owned() },
        env: Vec::new(),
        cwd: None,
        stdin: None,
        ok_exit: Arc::from([0]),
        result: ResultKind::Auto,
        leak: Leak::Warn,
        limits: None,
    }))
}

fn call(function: &str, args: ArgsSpec) -> CallbackAction {
    CallbackAction::Do(Action::Call { function: Arc::from(function), args })
}

fn post(url: &str) -> CallbackAction {
    let headers = vec![("x-token".to_owned(), text("secret"))];
    CallbackAction::Post { url: text(url), headers, body: None }
}

fn errors(records: &[CallbackRecord]) -> Vec<Option<&str>> {
    records.iter().map(|record| record.error.as_deref()).collect()
}

#[test]
fn an_error_in_one_is_recorded_and_the_next_ones_are_still_called() {
    let actions = vec![
        CallbackAction::Log(text("one")),
        script("echo 'cannot notify' >&2; exit 7"),
        CallbackAction::Log(text("two")),
        call("no_such_function", ArgsSpec::Item),
        CallbackAction::Log(text("three")),
    ];
    let (lines, records) = Scene::new(actions, LONG).play();
    assert_eq!(lines, ["one", "two", "three"]);
    assert_eq!(
        errors(&records),
        [
            None,
            Some("exited with code 7: cannot notify"),
            None,
            Some("there is no function `no_such_function`"),
            None
        ]
    );
    assert!(records.iter().all(|record| record.on == "done"));
}

#[test]
fn a_command_gets_the_future_as_json_and_in_its_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let action = script(&format!("cat > {}; env | sort > {}", path("json"), path("env")));
    let (_, records) = Scene::new(vec![action], LONG).play();
    assert_eq!(errors(&records), [None]);
    let json = std::fs::read_to_string(Path::new(&path("json"))).unwrap();
    assert!(json.contains("\"name\":\"sum[0]\""), "{json}");
    assert!(json.contains("\"result\":170141183460469231731687303715884105727,"), "{json}");
    let env = std::fs::read_to_string(Path::new(&path("env"))).unwrap();
    for line in [
        "JOBRUN_FUTURE=sum[0]",
        "JOBRUN_INDEX=0",
        "JOBRUN_ITEM=10",
        "JOBRUN_JOB=job",
        "JOBRUN_RUN_ID=run-1",
        "JOBRUN_STATE=succeeded",
        "JOBRUN_TASK=sum",
        "TRACEPARENT=00-",
    ] {
        assert!(env.contains(line), "{line} is missing in {env}");
    }
}

#[test]
fn a_command_that_takes_too_long_is_an_error() {
    let (_, records) = Scene::new(vec![script("sleep 600")], Duration::from_millis(50)).play();
    assert_eq!(errors(&records), [Some("timed out after 50ms")]);
}

#[test]
fn a_function_is_called_with_the_future() {
    let (sender, calls) = unbounded();
    let mut scene = Scene::new(vec![call("note", ArgsSpec::Item)], LONG);
    scene.functions.register("note", move |future: Value| -> Result<(), String> {
        sender.send(future).map_err(|error| error.to_string())
    });
    let (_, records) = scene.play();
    assert_eq!(errors(&records), [None]);
    let future = calls.recv().unwrap();
    assert_eq!(future.get("name"), Some(&"sum[0]".into()));
    assert_eq!(future.get("result"), Some(&Value::Int(i128::MAX)));
}

#[test]
fn a_function_that_fails_or_panics_is_an_error() {
    let actions = vec![
        call("fail", ArgsSpec::List(vec![text("no luck")])),
        call("panic", ArgsSpec::List(Vec::new())),
    ];
    let mut scene = Scene::new(actions, LONG);
    scene.functions.register("panic", || -> Result<(), String> { panic!("at the disco") });
    let (_, records) = scene.play();
    let errors = errors(&records);
    assert!(errors[0].unwrap().contains("no luck"), "{errors:?}");
    assert!(errors[1].unwrap().contains("at the disco"), "{errors:?}");
}

#[test]
fn a_function_that_hangs_is_given_up() {
    let actions = vec![call("hang", ArgsSpec::List(Vec::new()))];
    let mut scene = Scene::new(actions, Duration::from_millis(50));
    let (release, hanging) = unbounded::<()>();
    scene.functions.register("hang", move || -> Result<(), String> {
        hanging.recv().map_err(|error| error.to_string())
    });
    let (_, records) = scene.play();
    assert_eq!(errors(&records), [Some("timed out after 50ms")]);
    drop(release);
}

/// A server that takes one request and gives one answer.
fn server(answer: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook/T0KEN", listener.local_addr().unwrap());
    let (sender, requests) = unbounded();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        sender.send(request(&stream)).unwrap();
        (&stream).write_all(answer.as_bytes()).unwrap();
    });
    (url, requests)
}

fn request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

#[test]
fn a_post_sends_the_future_as_json() {
    let (url, requests) = server("HTTP/1.1 204 No Content\r\n\r\n");
    let (_, records) = Scene::new(vec![post(&url)], LONG).play();
    assert_eq!(errors(&records), [None]);
    let request = requests.recv().unwrap();
    assert!(request.starts_with("POST /hook/T0KEN HTTP/1.1\r\n"), "{request}");
    let head = request.to_lowercase();
    assert!(head.contains("content-type: application/json\r\n"), "{request}");
    assert!(head.contains("x-token: secret\r\n"), "{request}");
    assert!(request.contains("\"state\":\"succeeded\""), "{request}");
}

#[test]
fn an_answer_that_is_no_success_is_an_error_that_keeps_the_address_to_itself() {
    for (answer, error) in [
        (
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 5\r\n\r\nsorry",
            "127.0.0.1: answered 500 Internal Server Error: sorry",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
            "127.0.0.1: answered 302 Found; redirects are not followed",
        ),
    ] {
        let (url, _requests) = server(answer);
        let (_, records) = Scene::new(vec![post(&url)], LONG).play();
        assert_eq!(errors(&records), [Some(error)]);
    }
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (_, records) = Scene::new(vec![post(&url)], Duration::from_millis(50)).play();
    assert_eq!(errors(&records), [Some("timed out after 50ms")]);
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let actions = vec![post(&closed), post("ftp://example.com/x"), post("nonsense")];
    let (_, records) = Scene::new(actions, LONG).play();
    let errors = errors(&records);
    assert!(errors[0].unwrap().starts_with("127.0.0.1: "), "{errors:?}");
    assert_eq!(errors[1], Some("example.com: only http and https are known"));
    assert!(errors[2].is_some());
}

#[test]
fn a_run_that_must_stop_at_once_waits_for_no_callback() {
    let (release, holding) = unbounded::<()>();
    let actions = vec![
        call("hang", ArgsSpec::List(Vec::new())),
        CallbackAction::Log(text("never")),
        script("sleep 600"),
    ];
    let mut scene = Scene::new(actions, LONG);
    scene.functions.register("hang", move || -> Result<(), String> {
        holding.recv().map_err(|error| error.to_string())
    });
    let (mut callbacks, mut notices) = scene.begin();
    assert!(matches!(callbacks.start_next(&scene.run.view()), Some(Step::Started)));
    callbacks.kill();
    let (lines, records) = scene.finish(callbacks, &mut notices);
    assert!(lines.is_empty());
    assert_eq!(errors(&records), [Some("the run was stopped"); 3]);
    drop(release);
}
