//! Stories about: the reports that are written.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jobrun::event::{Event, Stamped};
use jobrun::graph::{Amount, ReturnWhen, Wait};
use jobrun::measure;
use jobrun::outcome::{Because, Captured, Cause, FailureKind, Stream};
use jobrun::report::events::Events;
use jobrun::report::spans::Spans;
use jobrun::report::{AtEnd, Format, Observer, json};
use jobrun::shape;
use jobrun::time::Time;
use jobrun::traceparent::Trace;
use jobrun::value::Value;
use serde_json::{Value as Json, json};

use crate::told::{NOTHING, Plan, Run, Shared, sums, tell_trouble, trouble, troubled};

fn written(format: Format, run: &Run) -> String {
    let mut out = Vec::new();
    format.write(&mut out, &run.view()).unwrap();
    String::from_utf8(out).unwrap()
}

fn report(run: &Run) -> Json {
    serde_json::from_str(&written(Format::Json, run)).unwrap()
}

fn at_end(run: &Run, format: Format, path: &Path) -> std::io::Result<()> {
    let end = Stamped { seq: 0, at: Time::ZERO, event: Event::JobFinished };
    AtEnd::new(format, path).observe(&end, &run.view())
}

// The JSON report

#[test]
fn the_report_of_the_seed_says_what_happened_field_for_field() {
    let pretty = serde_json::to_string_pretty(&report(&sums())).unwrap();
    insta::assert_snapshot!(pretty);
}

#[test]
fn the_report_has_its_fields_in_the_documented_order() {
    let text = written(Format::Json, &sums());
    let fields = [
        "schema",
        "job",
        "manifest",
        "manifest_hash",
        "run_id",
        "jobrun",
        "started_at",
        "finished_at",
        "elapsed",
        "paused",
        "outcome",
        "exit_code",
        "wait",
        "containment",
        "done",
        "not_done",
        "completion_order",
        "counts",
        "results",
        "groups",
        "executors",
        "futures",
        "callbacks",
        "left_behind",
        "critical_path",
        "work",
        "speedup",
    ];
    let mut rest = &text[..];
    for field in fields {
        let key = format!("\"{field}\":");
        let place = rest.find(&key).unwrap_or_else(|| panic!("{field} is missing or too early"));
        rest = &rest[place + key.len()..];
    }
}

#[test]
fn every_report_matches_the_schema_made_from_the_same_types() {
    let validator = jsonschema::validator_for(&json::schema()).unwrap();
    for run in [sums(), troubled(), stopped_early()] {
        let report = report(&run);
        let errors: Vec<_> =
            validator.iter_errors(&report).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
    let mut wrong = report(&sums());
    wrong["futures"][0]["state"] = json!("finished");
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn whole_numbers_beyond_64_bits_are_written_digit_for_digit() {
    let mut run = Plan::new("big").group("sum", vec![Value::Int(i128::MAX)], None).run();
    run.start("sum[0]", 1, 1).succeed("sum[0]", 2, i128::MIN).finish(3);
    let text = written(Format::Json, &run);
    assert!(text.contains("\"item\":170141183460469231731687303715884105727,"));
    assert!(text.contains("{\"sum\":[-170141183460469231731687303715884105728]}"));
    let value = shape::future_value(&run.view(), run.node("sum[0]"));
    assert_eq!(value.get("result"), Some(&Value::Int(i128::MIN)));
}

#[test]
fn what_a_callback_is_handed_is_the_reports_own_entry() {
    let run = troubled();
    let report = report(&run);
    let entries = report["futures"].as_array().unwrap();
    for (node, entry) in run.job.graph.futures().zip(entries) {
        let value = shape::future_value(&run.view(), node);
        assert_eq!(&serde_json::to_value(&value).unwrap(), entry);
    }
    let job = serde_json::to_value(shape::job(&run.view())).unwrap();
    for (field, value) in job.as_object().unwrap() {
        assert_eq!(&report[field], value, "{field}");
    }
}

/// Two of three are done when the wait returns; the third ends later, and a clean-up step is none
/// of the wait's business.
fn stopped_early() -> Run {
    let wait = Wait {
        return_when: ReturnWhen::Completed(Amount::Percent(50.0)),
        timeout: Some(Duration::from_millis(7500)),
        ..Wait::default()
    };
    let mut run = Plan::new("race")
        .wait(wait)
        .task("a", &[])
        .task("b", &[])
        .task("c", &[])
        .task("clean", &["a"])
        .with(|task| task.when = jobrun::graph::When::Always)
        .run();
    run.start("c", 1, 1).start("a", 2, 1).start("b", 3, 1);
    run.succeed("c", 5, "third").succeed("a", 6, Value::Null);
    run.returned(6, Because::Completed, true);
    run.start("clean", 1, 7).cancel("b", 9, Cause::Wait(None)).succeed("clean", 12, 1);
    run.finish(13);
    run
}

#[test]
fn done_and_not_done_stay_as_they_were_when_the_wait_returned() {
    let report = report(&stopped_early());
    assert_eq!(report["done"], json!(["a", "c"]));
    assert_eq!(report["not_done"], json!(["b"]));
    assert_eq!(report["completion_order"], json!(["c", "a", "b", "clean"]));
    assert_eq!(report["wait"]["return_when"], json!({ "completed": "50%" }));
    assert_eq!(report["wait"]["timeout"], json!(7.5));
    assert_eq!(report["wait"]["returned_because"], "completed");
    assert_eq!(report["futures"][1]["cause"], json!({ "kind": "wait", "future": null }));
    assert_eq!(report["results"], json!({ "a": null, "b": null, "c": "third", "clean": 1 }));
}

#[test]
fn a_future_that_was_tried_again_tells_of_each_attempt() {
    let report = report(&troubled());
    let build = &report["futures"][0];
    assert_eq!(build["started"], json!(0.5));
    assert_eq!(build["elapsed"], json!(0.7));
    assert_eq!(build["queued"], json!(0.002));
    let attempts = build["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["elapsed"], json!(0.398));
    assert_eq!(attempts[1]["error"]["kind"], "exit");
    assert_eq!(report["counts"]["retried"], 1);
    // 398 + 700 for build, then the members of test, then lint.
    assert_eq!(report["work"], json!(f64::from(398 + 700 + 697 + 1497 + 1600 + 196) / 1e3));
}

#[test]
fn a_future_cancelled_between_two_attempts_has_but_the_one() {
    let mut run = Plan::new("retry").task("a", &[]).run();
    run.start("a", 1, 1).retry("a", 5, "exit code 3").cancel("a", 7, Cause::Interrupt).finish(8);
    let report = report(&run);
    assert_eq!(report["futures"][0]["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(report["work"], json!(0.004));
}

#[test]
fn the_critical_path_is_the_chain_that_ran_longest() {
    let mut run = Plan::new("chain")
        .task("fetch", &[])
        .group("part", vec![1.into(), 2.into()], None)
        .with(|task| task.after = vec![jobrun::id::TaskId(0)])
        .task("other", &[])
        .task("join", &["part", "other"])
        .run();
    run.start("fetch", 1, 0).start("other", 2, 0).succeed("fetch", 10, 1);
    run.start("part[0]", 1, 10).start("part[1]", 3, 10);
    run.succeed("part[0]", 15, 1).succeed("other", 25, 1).succeed("part[1]", 30, 1);
    run.group_returned("part", Because::AllCompleted, true);
    run.start("join", 1, 30).succeed("join", 31, 1).finish(40);
    assert_eq!(report(&run)["critical_path"], json!(["fetch", "part[1]", "join"]));
    assert_eq!(report(&run)["speedup"], json!(f64::from(10 + 25 + 5 + 20 + 1) / 40.0));
}

#[test]
fn the_critical_path_goes_from_a_follower_to_its_counterpart() {
    let each = |task: &mut jobrun::graph::Task| task.each = Some(jobrun::id::TaskId(0));
    let items = || vec![1.into(), 2.into()];
    let mut run = Plan::new("chain")
        .group("fetch", items(), None)
        .group("parse", items(), None)
        .with(each)
        .task("join", &["parse"])
        .run();
    run.start("fetch[0]", 1, 0).start("fetch[1]", 2, 0);
    run.succeed("fetch[0]", 10, 1).start("parse[0]", 1, 10);
    run.succeed("fetch[1]", 15, 1).start("parse[1]", 2, 15).succeed("parse[1]", 17, 1);
    run.group_returned("fetch", Because::AllCompleted, true);
    run.succeed("parse[0]", 30, 1);
    run.group_returned("parse", Because::AllCompleted, true);
    run.start("join", 1, 30).succeed("join", 31, 1).finish(40);
    // The slowest of both groups do not belong together.
    assert_eq!(report(&run)["critical_path"], json!(["fetch[0]", "parse[0]", "join"]));
}

#[test]
fn the_tail_of_an_output_is_its_last_two_kibibytes_as_text() {
    let captured = |bytes: &[u8]| Captured {
        bytes: bytes.len() as u64,
        kept: bytes.to_vec(),
        path: None,
        lost: None,
    };
    assert_eq!(shape::tail(&captured(b"ab\xffc")), "ab\u{FFFD}c");
    // The cut goes through the first of these: it is left out.
    let text = "é".repeat(2000) + "x";
    let tail = shape::tail(&captured(text.as_bytes())).into_owned();
    assert_eq!(tail, "é".repeat(1023) + "x");
    let zeros = vec![0x80; 5000];
    assert!(shape::tail(&captured(&zeros)).chars().all(|c| c == '\u{FFFD}'));
}

#[test]
fn the_results_alone_are_one_json_document() {
    let mut out = Vec::new();
    json::write_results(&mut out, &sums().view()).unwrap();
    let results: Json = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        results,
        json!({ "sum": [50_005_000, 5_000_050_000i64, 500_000_500_000i64, 50_000_005_000_000i64] })
    );
}

// Files

#[test]
fn a_report_replaces_the_old_one_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    fs::write(&path, "old").unwrap();
    at_end(&sums(), Format::Json, &path).unwrap();
    let read: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(read["job"], "sums");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_report_that_cannot_be_written_says_which_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no/such/folder/report.xml");
    let error = at_end(&sums(), Format::Junit, &path).unwrap_err().to_string();
    assert!(error.starts_with("the junit report could not be written: "), "{error}");
    assert!(error.contains("no/such/folder/report.xml: No such file"), "{error}");
}

#[test]
fn a_link_keeps_pointing_at_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
    fs::write(&real, "old").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    at_end(&sums(), Format::Json, &link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().starts_with("{\"schema\""));
}

#[test]
fn what_is_no_regular_file_is_written_in_place() {
    let error = at_end(&sums(), Format::Json, Path::new("/dev/full")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(Path::new("/dev/full").exists());
    at_end(&sums(), Format::Html, Path::new("/dev/null")).unwrap();
}

#[test]
fn nothing_is_written_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let mut run = Plan::new("one").task("a", &[]).run().watched_by(AtEnd::new(Format::Json, &path));
    run.start("a", 1, 1).succeed("a", 2, 1).returned(2, Because::AllCompleted, true);
    assert!(!path.exists());
    run.finish(3);
    assert!(path.exists());
}

// Events

#[test]
fn events_are_lines_of_json_numbered_without_gaps() {
    let out = Shared::default();
    let mut run = trouble().watched_by(Events::to(Box::new(out.clone())));
    tell_trouble(&mut run);
    let text = out.text();
    for (number, line) in text.lines().enumerate() {
        let line: Json = serde_json::from_str(line).unwrap();
        assert_eq!(line["seq"], json!(number));
        assert_ne!(line["event"], "output");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn an_event_can_be_read_as_soon_as_it_happened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    let mut run = Plan::new("one").task("a", &[]).run().watched_by(Events::create(&path).unwrap());
    run.start("a", 1, 1);
    let lines = fs::read_to_string(&path).unwrap();
    assert!(lines.lines().next().unwrap().contains("\"schema\":\"jobrun.events/1\""));
    assert!(lines.ends_with("\"executor\":\"default\",\"worker\":1}\n"), "{lines}");
}

#[test]
fn events_that_cannot_be_written_are_given_up() {
    let mut run = Plan::new("one")
        .task("a", &[])
        .run()
        .watched_by(Events::create(Path::new("/dev/full")).unwrap());
    run.start("a", 1, 1).succeed("a", 2, 1).finish(3);
    let errors: Vec<_> = run.errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("the events could not be written: No space"), "{errors:?}");
}

// For people and their tools

#[test]
fn the_markdown_report_tells_failures_first() {
    insta::assert_snapshot!(written(Format::Markdown, &troubled()));
}

#[test]
fn the_markdown_report_of_a_good_run_is_short() {
    insta::assert_snapshot!(written(Format::Markdown, &sums()));
}

#[test]
fn nothing_that_a_task_says_gets_out_of_its_block() {
    let mut run = Plan::new("m`d").task("a", &[]).run();
    run.start("a", 1, 1).captured("a", Stream::Stdout, b"````\n# heading\n@team <b>\n");
    run.fail("a", 2, FailureKind::Exit, "`a` | <img src=x>\n# b").finish(3);
    let text = written(Format::Markdown, &run);
    assert!(text.contains("\n`````text\n````\n# heading\n@team <b>\n`````\n"), "{text}");
    assert!(text.contains("`` `a` \\| <img src=x> # b ``"), "{text}");
    assert!(text.contains("``m`d``"), "{text}");
}

#[test]
fn the_junit_report_has_a_suite_a_task_and_a_case_a_future() {
    insta::assert_snapshot!(written(Format::Junit, &troubled()));
}

#[test]
fn the_junit_report_holds_nothing_that_xml_cannot() {
    let mut run = Plan::new("x").task("a", &[]).run();
    run.start("a", 1, 1);
    run.captured("a", Stream::Stderr, "\u{0}\u{1b}[1mbold\u{1b}[0m ]]> \u{FFFF}<\u{b}".as_bytes());
    run.fail("a", 2, FailureKind::Panic, "\u{8}bang & \"more\"").finish(3);
    let text = written(Format::Junit, &run);
    let illegal = |c: char| c < ' ' && !matches!(c, '\n' | '\r' | '\t');
    assert!(!text.contains(|c| illegal(c) || c == '\u{FFFF}'), "{text:?}");
    assert!(text.contains("bold ]]&gt; \u{FFFD}&lt;"), "{text}");
    assert!(
        text.contains("<error message=\"bang &amp; &quot;more&quot;\" type=\"panic\">"),
        "{text}"
    );
}

#[test]
fn the_trace_has_a_row_a_worker_and_an_event_an_attempt() {
    let trace: Json = serde_json::from_str(&written(Format::Trace, &troubled())).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |ph: &str| events.iter().filter(|event| event["ph"] == ph).collect::<Vec<_>>();
    assert_eq!(of("X").len(), 6);
    let build: Vec<_> = of("X").into_iter().filter(|event| event["name"] == "build").collect();
    assert_eq!((&build[0]["ts"], &build[0]["dur"]), (&json!(2000.0), &json!(398_000.0)));
    assert_eq!(build[0]["tid"], json!(1));
    assert_eq!(of("M").len(), 1 + 4);
}

#[test]
fn the_page_escapes_whatever_comes_from_outside_and_runs_no_script() {
    let mut run = Plan::new("<script>alert(1)</script>").task("a", &[]).run();
    run.start("a", 1, 1);
    run.captured("a", Stream::Stdout, b"</pre><script>alert(2)</script>\x1b]52;c;AA\x07\n");
    run.fail("a", 2, FailureKind::Exit, "\"><img src=x onerror=alert(3)>\u{202E}").finish(3);
    let page = written(Format::Html, &run);
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'"));
    assert!(!page.contains(['\u{1b}', '\u{7}', '\u{202E}']));
    assert!(page.contains("\\u{202e}"));
}

#[test]
fn the_page_shows_failures_and_the_time_line() {
    let page = written(Format::Html, &troubled());
    for part in [
        "<h2>Failures</h2>",
        "the wait timed out after 1.50s: 1 (of 3) futures unfinished",
        "compiling &lt;b&gt;bold&lt;/b&gt; &amp; co",
        "bar timed_out critical",
        "bar failed earlier",
        "jobs/release.toml:10",
        "boom &lt;x&gt;",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
}

#[test]
fn the_page_of_a_large_job_is_not_large() {
    let items = (0..20_000).map(Value::from).collect();
    let mut run = Plan::new("large").group("n", items, None).run();
    for place in 0..20_000u64 {
        let name = format!("n[{place}]");
        run.start_node(jobrun::id::NodeId(place as u32), 1 + (place % 1000) as u32, place);
        if place % 3 == 0 {
            run.captured_node(jobrun::id::NodeId(place as u32), &[b'x'; 4000]);
            run.fail_node(jobrun::id::NodeId(place as u32), place + 5, &name);
        } else {
            run.succeed_node(jobrun::id::NodeId(place as u32), place + 5);
        }
    }
    run.finish(20_010);
    let page = written(Format::Html, &run);
    assert!(page.len() < 2_500_000, "{}", page.len());
    assert!(page.contains("the 2000 longest of 20000 attempts"));
    assert!(page.contains("the first 200 of 6667"));
    assert!(page.contains("1000 of 20000, failures first"));
    assert!(written(Format::Markdown, &run).len() < 500_000);
}

#[test]
fn a_run_in_which_nothing_could_happen_still_gives_every_report() {
    let mut run = Plan::new("empty").group("none", Vec::new(), None).run();
    run.group_returned("none", Because::AllCompleted, true);
    run.returned(0, Because::AllCompleted, true).finish(0);
    for format in Format::ALL {
        assert!(!written(format, &run).is_empty());
    }
    assert_eq!(report(&run)["speedup"], Json::Null);
    assert_eq!(report(&run)["elapsed"], json!(0.0));
}

// Measures

#[test]
fn unfinished_futures_are_counted_among_those_that_the_wait_looks_at() {
    let run = stopped_early();
    assert_eq!(measure::unfinished(&run.job.graph, &run.ledger), (1, 3));
}

// Tracing

#[test]
fn a_trace_is_continued_where_one_is_given() {
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let trace = Trace::from_env(Some(given), "run-1");
    assert_eq!(trace.parent(), Some("00f067aa0ba902b7"));
    let node = jobrun::id::NodeId(7);
    let line = trace.of_attempt(node, 1);
    assert!(line.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && line.ends_with("-00"));
    assert_eq!(line.len(), given.len());
    assert_ne!(line, trace.of_attempt(node, 2));
    assert_ne!(line, trace.of_attempt(jobrun::id::NodeId(8), 1));
    assert_eq!(line, Trace::from_env(Some(given), "run-1").of_attempt(node, 1));
}

#[test]
fn a_trace_that_is_not_valid_is_replaced_by_a_new_one() {
    let new = Trace::from_env(None, "run-1");
    for wrong in [
        "",
        "00-abc-def-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
    ] {
        assert_eq!(Trace::from_env(Some(wrong), "run-1"), new, "{wrong}");
    }
    assert_ne!(new.id(), Trace::from_env(None, "run-2").id());
}

#[test]
fn spans_nest_and_say_how_things_ended() {
    let out = Shared::default();
    let writer = out.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .without_time()
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let mut run = Plan::new("one").task("a", &[]).run();
        let node = run.node("a");
        let job = std::sync::Arc::clone(&run.job);
        let mut spans = Spans::new(&job, "run-1", None, &NOTHING);
        let attempt = spans.attempt(node, 1);
        spans.started(node, 2);
        attempt.in_scope(|| tracing::info!("from inside"));
        drop(attempt);
        spans.ended(&jobrun::work::Done {
            node,
            attempt: 1,
            worker: 2,
            started: Time::ZERO,
            ended: Time::ZERO,
            outcome: jobrun::outcome::Outcome::Cancelled,
            child: None,
        });
        spans.settled(node, jobrun::outcome::State::Cancelled);
        run.start("a", 1, 1).succeed("a", 2, 1).returned(2, Because::AllCompleted, true).finish(3);
        spans.job_finished(&run.ledger);
    });
    let lines: Vec<Json> =
        out.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let inside = lines.iter().find(|line| line["fields"]["message"] == "from inside").unwrap();
    let names: Vec<_> =
        inside["spans"].as_array().unwrap().iter().map(|span| &span["name"]).collect();
    assert_eq!(names, ["job", "future", "attempt"]);
    let closed = |name: &str| {
        let of =
            |line: &&Json| line["fields"]["message"] == "close" && line["span"]["name"] == name;
        lines.iter().find(of).unwrap()["span"].clone()
    };
    assert_eq!(closed("attempt")["state"], "cancelled");
    assert_eq!(closed("attempt")["worker"], 2);
    assert_eq!(closed("future")["future"], "a");
    assert_eq!(closed("job")["run_id"], "run-1");
    assert_eq!(closed("job")["state"], "succeeded");
}

#[test]
fn in_a_job_of_many_futures_those_of_one_are_for_debugging() {
    let items = (0..10_001).map(Value::from).collect();
    let run = Plan::new("many").group("n", items, None).run();
    let subscriber = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
    tracing::subscriber::with_default(subscriber, || {
        let mut spans = Spans::new(&run.job, "run-1", None, &NOTHING);
        assert!(spans.attempt(run.node("n[7]"), 1).is_disabled());
        assert!(!spans.job().is_disabled());
    });
}
