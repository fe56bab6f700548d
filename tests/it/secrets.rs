//! Secrets: whatever a job does with them, nothing that jobrun writes shows one.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jobrun::manifest::{Callback, Manifest, On, Task};
use jobrun::mask::{MASK, Masker};
use jobrun::{Functions, Options, Runner, Value, compile};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::story::{End, Story};
use crate::told::Shared;

/// Names of variables and their values, none of which may ever be seen.
const SECRETS: [(&str, &str); 6] = [
    ("TOKEN", "hunter2-Zq8vLw"),
    ("ODD", "a\"b\\c'd<e>&f g/h+\u{e9}%~"),
    ("KEY", "-----BEGIN KEY-----\nMIIBVQIBADANBg\nkqhkiG9w0BAQ/+\n-----END KEY-----\n"),
    ("PIN", "90417631267"),
    ("NAME", "gatehouse"),
    (
        "LONG",
        "Long secrets are broken into lines by programs that write base64, 57 bytes each, over and over.",
    ),
];

/// What programs make of a secret, by other means than those of the masker.
fn forms(secret: &str) -> Vec<String> {
    let whole = secret.trim_end();
    let json = serde_json::to_string(whole).unwrap();
    let json = json[1..json.len() - 1].to_owned();
    let code = |c: char| {
        let mut units = [0; 2];
        let units = c.encode_utf16(&mut units).iter();
        units.fold(String::new(), |text, unit| text + &format!("\\u{unit:04x}"))
    };
    let ascii = json.chars().map(|c| if c.is_ascii() { c.to_string() } else { code(c) }).collect();
    let active = |c: char| if "<>&".contains(c) { code(c) } else { c.to_string() };
    let percent = |kept: &str, upper: bool| -> String {
        let code = |byte: u8| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
        let one = |byte: u8| match char::from(byte) {
            c if c.is_ascii_alphanumeric() || kept.contains(c) => c.to_string(),
            _ => code(byte),
        };
        whole.bytes().map(one).collect()
    };
    let within = |before: &str| STANDARD.encode(format!("{before}{whole} and so on"));
    let quoted = whole.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    vec![
        whole.to_owned(),
        json.replace('/', "\\/"),
        json.chars().map(active).collect(),
        json,
        ascii,
        percent("-._~", true),
        percent("-._~", false),
        percent("-._~ ", true).replace(' ', "+"),
        percent("-._~/", true),
        percent("-._~!*'()", true),
        quoted.replace('"', "&quot;").replace('\'', "&#39;"),
        quoted,
        STANDARD.encode(whole),
        STANDARD.encode(format!("{whole}\n")),
        URL_SAFE_NO_PAD.encode(whole),
        within("x"),
        within("xx"),
        within("xxx"),
    ]
}

/// What must not be seen of a secret: each of its lines, and what base64 makes of its middle.
fn traces(secret: &str) -> BTreeSet<String> {
    let mut traces = BTreeSet::new();
    for spelling in secret.lines().chain([secret.trim_end()]) {
        for form in forms(spelling) {
            // The ends of base64 depend on what is around the secret.
            let is_base64 = form.starts_with(['x', 'e', 'H', 'h']) && !form.contains(spelling);
            let cut = if is_base64 && form.len() > 24 { &form[8..form.len() - 16] } else { &form };
            traces.insert(cut.to_owned());
        }
        for before in ["", "x", "xx"] {
            let all = STANDARD.encode(format!("{before}{spelling}"));
            traces.insert(all[4..all.len() - 4].to_owned());
        }
    }
    // What is left where a line is cut before it is covered.
    traces.extend(secret.split_once('2').map(|(start, _)| start.to_owned()));
    traces.retain(|trace| trace.len() >= 4);
    traces
}

/// All that was written: both streams, every file but those that the story began with.
fn written(end: &End, inputs: &[&str]) -> Vec<(String, String)> {
    let mut all =
        vec![("stdout".to_owned(), end.stdout.clone()), ("stderr".to_owned(), end.stderr.clone())];
    let mut folders = vec![end.path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                folders.push(path);
            } else if !inputs.contains(&&*name) {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                all.push((path.display().to_string(), text));
                all.push(("the name of a file".to_owned(), name));
            }
        }
    }
    all
}

#[track_caller]
fn nothing_shows(all: &[(String, String)]) {
    for (name, secret) in SECRETS {
        for trace in traces(secret) {
            for (place, text) in all {
                if let Some(at) = text.find(&trace) {
                    let from = text.floor_char_boundary(at.saturating_sub(200));
                    let to = text.ceil_char_boundary((at + trace.len() + 80).min(text.len()));
                    panic!("{place} shows {name} as {trace:?}:\n{}", &text[from..to]);
                }
            }
        }
    }
}

/// A web server that answers everything with a failure and a secret, and gives what it was sent.
fn server() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, requests) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
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
            let answer = format!("{}{}", "-".repeat(192), SECRETS[0].1);
            let answer = format!(
                "HTTP/1.1 500 No\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
                answer.len()
            );
            (&stream).write_all(answer.as_bytes()).unwrap();
            if sender.send(head + "\n" + &String::from_utf8(body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, requests)
}

/// A job that does with its secrets whatever a job can do.
fn indiscreet(kind: &str, url: &str) -> String {
    let toml = |text: &str| serde_json::to_string(text).unwrap();
    let all = toml(&SECRETS.map(|(_, secret)| secret).join(" "));
    let names = SECRETS.map(|(name, _)| toml(name)).join(", ");
    let (token, odd, pin) = (toml(SECRETS[0].1), toml(SECRETS[1].1), SECRETS[3].1);
    format!(
        r#"
name    = "gatehouse"
description = "keeps the gatehouse"
secrets = [{names}]
vars    = {{ all = {all} }}
executor = {{ kind = "{kind}", max_workers = 4 }}
executors = {{ gatehouse = {{ max_workers = 1 }} }}
report  = {{ junit = "junit.xml", markdown = "summary.md", html = "report.html", trace = "trace.json" }}

[[task]]
name = "prints"
run  = ["cat", "forms.txt"]
[[task]]
name = "complains"
run  = "cat forms.txt >&2; cat forms.txt; exit 3"
retry = {{ count = 1 }}
[[task]]
name = "dribbles"
run  = 'printf "%s" "$KEY" | dd bs=1 2>/dev/null; printf "%s" "$TOKEN" | dd bs=1 2>/dev/null >&2; exit 1'
[[task]]
name = "colours"
run  = 'printf "%s\033[1m%s\033[m\n" hunter 2-Zq8vLw | sed "s/\x1b\[[0-9]*m/\x1b[0m/g" >/dev/null; exit 1'
[[task]]
name = "spills"
run  = 'i=0; while [ $i -lt 40 ]; do cat forms.txt; cat forms.txt >&2; i=$((i+1)); done; exit 1'
[[task]]
name = "parses"
run  = ["cat", "secrets.json"]
result = "json"
[[task]]
name = "lists"
run  = ["cat", "forms.txt"]
result = "lines"
[[task]]
name = "returns"
call = "echo"
args = [{{ token = {token}, {odd} = 1, pin = {pin}, list = [[{all}]] }}]
[[task]]
name = "raises"
call = "fail"
args = [{all}]
[[task]]
name = "misses"
call = "hash"
args = ["/nowhere/hunter2-Zq8vLw"]
[[task]]
name = "starts-nothing"
run  = ["/nowhere/hunter2-Zq8vLw"]
[[task]]
name = "fills-in-nothing"
call = "echo"
args = ["{{{{ {{ 'hunter2-Zq8vLw': 1 }}[item] }}}}"]
map  = [{all}]
[[task]]
name = "fills-in-badly"
run  = ["true"]
env  = {{ N = "{{{{ item | int }}}}" }}
map  = [{token}]
[[task]]
name = "items"
call = "echo"
map  = [{all}, {pin}, {token}]
[[task]]
name = "gatehouse"
executor = "gatehouse"
run  = "echo $((90417631000 + 267)); yes no | head -n 40000; exit 4"
[[task]]
name  = "after-gatehouse"
after = ["gatehouse"]
run   = ["true"]

[[callback]]
on  = ["done", "job_done"]
log = "{{{{ future }}}} {{{{ vars.all }}}}"
[[callback]]
on  = ["done", "retry", "job_done"]
run = 'cat >> told.json; env | grep ^JOBRUN_ >> told.env; printf "%0190d$TOKEN\n" 0 >&2; exit 1'
[[callback]]
on  = "job_done"
run = 'yes "$TOKEN of the $NAME" | head -n 9000 >&2; exit 1'
[[callback]]
on   = "done"
call = "fail"
args = ["{{{{ future }}}} {{{{ vars.all }}}}"]
[[callback]]
on   = ["failure", "job_done"]
post = {{ url = "{url}", headers = {{ X-Token = {token} }} }}
"#
    )
}

fn story(kind: &str, url: &str) -> Story {
    let forms = SECRETS.iter().flat_map(|(_, secret)| forms(secret)).collect::<Vec<_>>();
    let values: serde_json::Map<_, _> = SECRETS
        .iter()
        .map(|(name, secret)| {
            ((*secret).to_owned(), serde_json::json!([name, secret, {"n": 90_412_667}]))
        })
        .collect();
    let story = Story::new(&indiscreet(kind, url))
        .file("forms.txt", &(forms.join("\n") + "\n"))
        .file("secrets.json", &serde_json::to_string(&values).unwrap());
    SECRETS.iter().fold(story, |story, (name, secret)| story.env(name, *secret))
}

const INPUTS: [&str; 3] = ["job.toml", "forms.txt", "secrets.json"];

#[test]
fn nothing_that_is_written_shows_a_secret() {
    for (kind, output, more) in [
        ("thread", "live", &[][..]),
        ("process", "grouped", &["--results"]),
        ("thread", "failures", &["--log-format", "json", "-vv"]),
        ("process", "live", &["--log-format", "text", "-vv"]),
    ] {
        let (url, requests) = server();
        let end = story(kind, &url)
            .args(&["--output", output, "--allow-host", "127.0.0.1"])
            .args(more)
            .env("RUST_LOG", if more.contains(&"-vv") { "trace" } else { "" })
            .run();
        end.expect(1);
        let mut all = written(&end, &INPUTS);
        for request in requests.try_iter() {
            // The header is meant to be sent.
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(SECRETS[0].1));
            all.push(("a post".to_owned(), body.to_owned()));
        }
        assert!(all.iter().any(|(place, _)| place == "a post"));
        for file in
            ["told.json", "told.env", "junit.xml", "summary.md", "report.html", "trace.json"]
        {
            assert!(end.file(file).contains(MASK), "{file} of {kind} {output}");
        }
        assert!(end.stderr.contains(MASK));
        assert!(
            all.iter().any(|(place, _)| place.ends_with("spills-1.stdout")),
            "nothing was spilled"
        );
        nothing_shows(&all);
        stays_valid(&end, more.contains(&"json"));
    }
}

/// What is covered is values, never the marks around them.
fn stays_valid(end: &End, has_json_log: bool) {
    serde_json::from_str::<serde_json::Value>(&end.file("trace.json")).unwrap();
    let junit = end.file("junit.xml");
    let mut reader = quick_xml::Reader::from_str(&junit);
    while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
    assert_eq!(end.report["results"]["returns"]["pin"], MASK);
    assert_eq!(end.report["results"]["returns"][MASK], 1);
    assert_eq!(end.report["job"], MASK);
    assert_eq!(end.report["results"]["items"][1], MASK);
    let mut lines = end.stderr.lines().filter(|line| line.starts_with("{\"timestamp\"")).peekable();
    assert_eq!(lines.peek().is_some(), has_json_log);
    for line in lines {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("{line}"));
    }
}

#[test]
fn an_escape_that_is_taken_away_uncovers_nothing() {
    let end = Story::new(
        "secrets = [\"TOKEN\"]\n\
         report = { junit = \"junit.xml\", markdown = \"summary.md\", html = \"report.html\" }\n\
         [[task]]\nname = \"t\"\n\
         run = 'printf \"hunter\\033[1m2-Zq8vLw\\033[m\\n\"; exit 1'",
    )
    .env("TOKEN", SECRETS[0].1)
    .args(&["--output", "none"])
    .run();
    end.expect(1);
    end.says(&format!("| {MASK}"));
    for (place, text) in written(&end, &["job.toml"]) {
        assert!(!text.contains(SECRETS[0].1), "{place} shows it");
    }
    assert!(end.file("junit.xml").contains(&format!(">{MASK}")));
}

#[test]
fn what_is_held_back_comes_when_its_future_ends() {
    let end = Story::new(
        "secrets = [\"TOKEN\"]\n[[task]]\nname = \"t\"\nretry = 1\n\
         run = 'printf \"one of hunter2-\"; printf \"and hunter2-Zq\" >&2; exit 1'",
    )
    .env("TOKEN", SECRETS[0].1)
    .args(&["--output", "live"])
    .run();
    end.expect(1);
    assert_eq!(end.stdout, "t | one of hunter2-\nt | one of hunter2-\n");
    assert_eq!(end.stderr.matches("t | and hunter2-Zq\n").count(), 2, "{}", end.stderr);
}

#[test]
fn what_jobrun_itself_complains_of_shows_no_secret() {
    let manifest = "secrets = [\"NAME\"]\n[[task]]\nname = \"gatehouse\"\n\
                    run = \"yes no | head -n 40000\"";
    let story = |args: &[&str]| {
        let story =
            Story::new(manifest).env("NAME", SECRETS[4].1).env("JOBRUN_STATE_DIR", "/dev/null");
        story.args(args).args(&["--output", "none"]).run()
    };
    let unkept = story(&[]);
    unkept.expect(4).says("warn ***: only the ends of its stdout could be kept");
    let unwritten = story(&["--report", "markdown=/nowhere/gatehouse/x"]);
    unwritten.expect(4).says("/nowhere/***/x");
    let unopened = Story::command(&["job.toml", "--events", "/nowhere/gatehouse/x"])
        .file("job.toml", manifest)
        .env("NAME", SECRETS[4].1)
        .run();
    unopened.says("/nowhere/***/x");
    for end in [unkept, unwritten, unopened] {
        assert!(!end.stderr.contains(SECRETS[4].1), "{}", end.stderr);
        assert!(!end.report.to_string().contains(SECRETS[4].1), "{}", end.report);
    }
}

#[test]
fn what_looks_like_a_secret_between_values_does_not_break_a_format() {
    let end = Story::new(
        "secrets = [\"MARKS\", \"MORE\"]\n[[task]]\nname = \"t\"\ncall = \"echo\"\nargs = [1]",
    )
    .env("MARKS", "\"fields\":{")
    .env("MORE", "\"name\":\"t\"")
    .args(&["--log-format", "json"])
    .run();
    end.expect(0);
    assert_eq!(end.result("t"), 1);
    let lines: Vec<&str> = end.stderr.lines().filter(|line| line.starts_with('{')).collect();
    assert!(!lines.is_empty());
    for line in lines {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("{line}"));
    }
}

#[test]
fn a_program_that_runs_a_job_gets_results_as_they_are() {
    let token = "a result that stays whole";
    let manifest = Manifest::new("job")
        .env("JOB_TOKEN", token)
        .secrets(["JOB_TOKEN", "NOT_SET_ANYWHERE"])
        .task(Task::run("small", ["sh", "-c", "echo $JOB_TOKEN"]))
        .task(Task::call("call", "echo").args([token]))
        .task(
            Task::run("large", ["sh", "-c", "yes \"$JOB_TOKEN\" | head -n 9000"])
                .result(jobrun::work::ResultKind::Text),
        );
    let functions = Functions::builtin();
    let job = compile(&manifest, &functions, &Options::default()).unwrap();
    assert!(!format!("{:?}", job.secrets).contains(token));
    let finished = Runner::new(&job.into()).run().unwrap();
    assert_eq!(finished.result("small"), Some(token.into()));
    assert_eq!(finished.result("call"), Some(token.into()));
    let large = vec![token; 9000].join("\n");
    assert_eq!(finished.result("large"), Some(large.into()));
    for node in finished.job.graph.futures() {
        let record = finished.ledger.record(node);
        assert!(!format!("{record:?}").contains(token), "{record:?}");
        let file = record.detail.as_deref().and_then(|detail| detail.stdout.path.as_deref());
        let is_covered = |path: &Path| !fs::read_to_string(path).unwrap().contains(token);
        assert!(file.is_none_or(is_covered));
    }
    assert!(!format!("{:?}", finished.facts).contains(token));
}

#[test]
fn the_spans_of_a_program_that_runs_a_job_show_no_secret() {
    let manifest = Manifest::new("gatehouse")
        .secrets(["NAME"])
        .task(Task::run("gatehouse", ["sh", "-c", "exit 1"]).env("NAME", "gatehouse"))
        .callback(Callback::log([On::new("job_failure").unwrap()], "of the gatehouse"))
        .callback(
            Callback::call([On::new("job_failure").unwrap()], "fail").args(["in the gatehouse"]),
        );
    let job = compile(&manifest, &Functions::builtin(), &Options::default()).unwrap();
    let written = Shared::default();
    let writer = written.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || Runner::new(&job.into()).run().unwrap());
    let written = written.text();
    assert!(written.contains("of the ***") && written.contains("in the ***"), "{written}");
    assert!(!written.contains("gatehouse"), "{written}");
}

#[test]
fn a_runner_of_github_is_told_each_line_first_and_only_by_a_run() {
    let manifest = "secrets = [\"KEY\", \"PERCENT\", \"TOKEN\"]\nenv = { TOKEN = \"from the job\" }\n\
                    [[task]]\nname = \"t\"\nrun = [\"true\"]";
    let story = |args: &[&str]| {
        Story::command(args)
            .file("job.toml", manifest)
            .env("KEY", SECRETS[2].1)
            .env("PERCENT", "50%25\rx")
            .env("TOKEN", "")
            .env("GITHUB_ACTIONS", "true")
            .run()
    };
    let end = story(&["job.toml"]);
    let told: Vec<&str> = end.stderr.lines().take(6).collect();
    assert_eq!(
        told,
        [
            "::add-mask::-----BEGIN KEY-----",
            "::add-mask::-----END KEY-----",
            "::add-mask::50%2525%0Dx",
            "::add-mask::MIIBVQIBADANBg",
            "::add-mask::from the job",
            "::add-mask::kqhkiG9w0BAQ/+",
        ]
    );
    assert_eq!(end.stderr.matches("::add-mask::").count(), 6);
    for command in [&["check", "job.toml"][..], &["plan", "job.toml"], &["graph", "job.toml"]] {
        let end = story(command);
        end.expect(0);
        assert!(!format!("{}{}", end.stdout, end.stderr).contains("add-mask"), "{command:?}");
    }
}

#[test]
fn a_secret_may_come_from_a_file_of_variables_or_from_env() {
    let manifest = r#"
        secrets  = ["FROM_FILE", "FROM_ENV", "FROM_BOTH"]
        env_file = "secret.env"
        env      = { FROM_ENV = "env-5ecret", FROM_BOTH = "both-{{ env.FROM_FILE }}" }
        [[task]]
        name = "t"
        run  = 'echo "$FROM_FILE / $FROM_ENV / $FROM_BOTH"'
        "#;
    let end = Story::new(manifest).file("secret.env", "FROM_FILE=file-5ecret\n").run();
    end.expect(0);
    assert_eq!(end.result("t"), "*** / *** / ***");
    let all = written(&end, &["secret.env", "job.toml"]);
    assert!(all.iter().all(|(_, text)| !text.contains("5ecret")), "{all:#?}");
}

#[test]
fn what_a_task_left_reaches_other_tasks_as_it_is_and_callbacks_covered() {
    let manifest = r#"
        secrets = ["TOKEN"]
        [[task]]
        name = "login"
        run  = 'echo "$TOKEN"'
        [[task]]
        name = "use"
        run  = 'test "$GIVEN" = "$TOKEN"'
        env  = { GIVEN = "{{ tasks.login.result }}" }
        [[task]]
        name = "each"
        each = "login"
        run  = ["sh", "-c", 'test "$1" = "$TOKEN"', "sh", "{{ item }}"]
        [[callback]]
        on  = "job_done"
        run = ["sh", "-c", 'echo "$1 $2" > told.txt', "sh", "{{ tasks.login.result }}", "{{ tasks.each.done[0].item }}"]
        "#;
    let end = Story::new(manifest).env("TOKEN", "a-5ecret").run();
    end.expect(0);
    assert_eq!(end.file("told.txt"), "*** ***\n");
}

#[test]
fn a_value_that_is_too_short_is_said_and_shown() {
    let manifest =
        "secrets = [\"SHORT\", \"EMPTY\"]\n[[task]]\nname = \"t\"\nrun = ['echo', 'a pin: 123']";
    let end = Story::new(manifest).env("SHORT", "123").env("EMPTY", "").run();
    end.expect(0).says("the secret SHORT has fewer than 4 bytes");
    assert!(!end.stderr.contains("EMPTY"), "{}", end.stderr);
    assert!(end.stdout.contains("a pin: 123"));
}

#[test]
fn names_are_checked() {
    let end = Story::new(
        "secrets = [\"\", \"A=B\", \"GOOD\", \"GOOD\"]\n[[task]]\nname = \"t\"\nrun = [\"true\"]",
    )
    .run();
    end.expect(2).says("`` cannot be the name of a variable").says("`A=B` cannot be the name");
    assert_eq!(end.stderr.matches("cannot be the name").count(), 2);
}

fn streamed(masker: &Masker, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = masker.stream();
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&stream.push(piece));
    }
    out.extend(stream.finish());
    out
}

#[test]
fn only_the_beginning_of_a_secret_is_held_back() {
    let masker = Masker::new(["abcdef", "abcd-and-more"]);
    let mut stream = masker.stream();
    let mut shown = |piece: &str| String::from_utf8(stream.push(piece.as_bytes()).into()).unwrap();
    assert_eq!(shown("free text"), "free text");
    assert_eq!(shown("free ab"), "free ");
    assert_eq!(shown("x"), "abx");
    assert_eq!(shown("abcd"), "");
    assert_eq!(shown("ef."), "***.");
    assert_eq!(shown("abcd-and"), "");
    assert_eq!(shown("-mor"), "");
    assert_eq!(shown("E"), "abcd-and-morE");
    assert_eq!(String::from_utf8(stream.finish()).unwrap(), "");
}

#[test]
fn secrets_that_overlap_are_covered_as_one() {
    let masker = Masker::new(["abcdef", "defghi", "efgh"]);
    assert_eq!(masker.text("<abcdefghi>"), "<***>");
    assert_eq!(masker.text("<abcdefabcdef>"), "<******>");
    assert_eq!(masker.text("<abcde>"), "<abcde>");
    let number = |n: i64| masker_of_digits().value(&Value::from(n));
    assert_eq!(number(90_417_631_267), Some("***".into()));
    assert_eq!(number(90_417_631_268), None);
    assert!(!format!("{masker:?}").contains("abcdef"));
    assert!(Masker::new(["abc", ""]).is_none());
}

fn masker_of_digits() -> Masker {
    Masker::new([SECRETS[3].1])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn wherever_a_stream_is_cut_it_is_covered_as_a_whole(
        secrets in vec("[ab<\\n\u{e9}]{4,9}", 1..4),
        parts in vec((0..6usize, "[ab<\\n\u{e9}]{0,6}", 0..18usize), 0..12),
        cuts in vec(any::<prop::sample::Index>(), 0..24),
    ) {
        let masker = Masker::new(&secrets);
        let mut text = String::new();
        for (which, between, form) in &parts {
            text.push_str(between);
            if let Some(secret) = secrets.get(*which) {
                text.push_str(&forms(secret)[*form]);
            }
        }
        let bytes = text.as_bytes();
        let whole = masker.bytes(bytes);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces: Vec<_> = at.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let shown = streamed(&masker, &pieces);
        prop_assert_eq!(&shown, whole.as_ref());
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(streamed(&masker, &single), shown.clone());
        let shown = String::from_utf8_lossy(&shown).into_owned();
        for secret in secrets.iter().filter(|secret| secret.trim().len() >= 4) {
            for form in forms(secret).into_iter().take(12) {
                prop_assert!(!shown.contains(&form), "{:?} shows {:?}", shown, form);
            }
        }
    }
}
