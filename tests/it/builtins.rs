//! The built-in functions, and functions of one's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use jobrun::functions::{Context, Functions};
use jobrun::outcome::FailureKind;
use jobrun::value::Value;
use jobrun::work::Args;
use serde::{Deserialize, Serialize};

fn call(functions: &Functions, name: &str, args: Args) -> Result<Value, (FailureKind, String)> {
    let context = Context::new("test", std::env::temp_dir());
    let function = functions.get(name).unwrap();
    function.call(&context, args).map_err(|failure| (failure.kind, failure.message))
}

fn builtin(name: &str, args: impl IntoIterator<Item = Value>) -> Result<Value, String> {
    call(&Functions::builtin(), name, Args::List(args.into_iter().collect())).map_err(
        |(kind, message)| {
            assert_eq!(kind, FailureKind::Call);
            message
        },
    )
}

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

#[test]
fn sum_to_is_the_sum_of_the_seed() {
    for n in [0i128, 1, 2, 3, 10, 1000] {
        assert_eq!(builtin("sum_to", [Value::Int(n)]), Ok(Value::Int((1..=n).sum())));
    }
    assert_eq!(builtin("sum_to", [10_000_000.into()]), Ok(50_000_005_000_000i64.into()));
    assert_eq!(builtin("sum_to", [(-5).into()]), Ok(0.into()), "as sum(range(1, -4)) in Python");
}

#[test]
fn sum_to_is_exact_up_to_the_last_of_128_bits() {
    // The greatest n whose sum fits, found by bisection in exact arithmetic.
    let fits = |n: u128| {
        (n / 2 + n % 2).checked_mul(n + 1 - n % 2).is_some_and(|s| s <= i128::MAX as u128)
    };
    let (mut low, mut high) = (1u128, 1 << 64);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if fits(middle) { low = middle } else { high = middle }
    }
    let value = |n: u128| Value::Int(i128::try_from(n).unwrap());
    let last = builtin("sum_to", [value(low)]).unwrap().as_int().unwrap();
    let before = builtin("sum_to", [value(low - 1)]).unwrap().as_int().unwrap();
    assert_eq!(last - before, i128::try_from(low).unwrap());
    let error = builtin("sum_to", [value(low + 1)]).unwrap_err();
    assert!(error.contains("beyond 128 bits"), "{error}");
    assert!(builtin("sum_to", [Value::Int(i128::MAX)]).is_err());
    assert_eq!(builtin("sum_to", [Value::Int(i128::MIN)]), Ok(0.into()));
}

#[test]
fn arguments_that_do_not_fit_are_named() {
    let error = |name, args: Vec<Value>| builtin(name, args).unwrap_err();
    assert_eq!(
        error("sum_to", vec!["ten".into()]),
        "sum_to: argument 1: expected a whole number, found a string"
    );
    assert_eq!(
        error("sum_to", vec![1.5.into()]),
        "sum_to: argument 1: expected a whole number, found a number"
    );
    assert_eq!(error("sum_to", vec![]), "sum_to: takes 1 argument, found none");
    assert_eq!(error("sum_to", vec![1.into(), 2.into()]), "sum_to: takes 1 argument, found 2");
    assert_eq!(
        error("sum", vec![vec![Value::from(1), "two".into()].into()]),
        "sum: argument 1: item 1: expected a number, found a string"
    );
    assert_eq!(
        error("sum", vec![1.into()]),
        "sum: argument 1: expected a list, found a whole number"
    );
}

#[test]
fn sum_is_exact_for_whole_numbers_whatever_their_order() {
    let sum = |items: Vec<Value>| builtin("sum", [items.into()]);
    assert_eq!(sum(vec![]), Ok(0.into()));
    assert_eq!(sum(vec![1.into(), 2.into(), 3.into()]), Ok(6.into()));
    assert_eq!(sum(vec![1.into(), 0.5.into()]), Ok(1.5.into()));
    let (max, min) = (Value::Int(i128::MAX), Value::Int(i128::MIN));
    assert_eq!(sum(vec![max.clone(), 1.into(), (-1).into()]), Ok(max.clone()));
    assert_eq!(sum(vec![min.clone(), (-1).into(), 1.into()]), Ok(min));
    assert!(sum(vec![max, 1.into()]).unwrap_err().contains("beyond 128 bits"));
}

#[test]
fn echo_gives_back_what_it_got() {
    let everything = map(&[
        ("null", Value::Null),
        ("yes", true.into()),
        ("big", Value::Int(i128::MAX)),
        ("list", vec![Value::from(1), 2.5.into(), "x".into(), Value::List(vec![])].into()),
    ]);
    assert_eq!(builtin("echo", [everything.clone()]), Ok(everything));
}

#[test]
fn fail_fails_with_its_message() {
    assert_eq!(builtin("fail", ["no luck".into()]), Err("fail: no luck".to_owned()));
}

#[test]
fn names_map_to_places() {
    let functions = Functions::builtin();
    let named = |name: &str, value: Value| Args::Named(vec![(name.to_owned(), value)]);
    assert_eq!(call(&functions, "sum_to", named("n", 4.into())), Ok(10.into()));
    let (_, error) = call(&functions, "sum_to", named("m", 4.into())).unwrap_err();
    assert_eq!(error, "sum_to: has no argument `m`; it takes `n`");
    let (_, error) = call(&functions, "sum_to", Args::Named(vec![])).unwrap_err();
    assert_eq!(error, "sum_to: argument `n` is missing");
}

#[test]
fn sleep_takes_a_duration_and_wakes_when_cancelled() {
    assert_eq!(builtin("sleep", ["1ms".into()]), Ok(Value::Null));
    assert_eq!(builtin("sleep", [0.into()]), Ok(Value::Null));
    assert_eq!(builtin("sleep", [0.001.into()]), Ok(Value::Null));
    for bad in [Value::from("soon"), (-1).into(), "-1s".into(), Value::List(vec![])] {
        assert!(builtin("sleep", [bad]).unwrap_err().starts_with("sleep: argument 1: "));
    }

    let functions = Functions::builtin();
    let context = Context::new("test", "");
    let token = context.token().clone();
    let sleeper = thread::spawn(move || {
        functions.get("sleep").unwrap().call(&context, Args::List(vec!["30days".into()].into()))
    });
    token.cancel();
    assert_eq!(sleeper.join().unwrap().unwrap_err().message, "sleep: cancelled");
}

#[test]
fn hash_reads_a_file_of_the_jobs_folder() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty"), "").unwrap();
    let functions = Functions::builtin();
    let context = Context::new("test", dir.path());
    let hash = |path: &str| {
        functions.get("hash").unwrap().call(&context, Args::List(vec![path.into()].into()))
    };
    // The hash of nothing, from BLAKE3's own test vectors.
    let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(hash("empty"), Ok(empty.into()));
    assert_eq!(hash(dir.path().join("empty").to_str().unwrap()), Ok(empty.into()));
    let error = hash("missing").unwrap_err().message;
    assert!(error.contains("missing") && error.contains("No such file"), "{error}");
}

/// Answers one request with `answer` and gives what was asked.
fn server(answer: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/path", listener.local_addr().unwrap());
    let (asked, question) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = Vec::new();
        let mut bytes = [0; 1024];
        let wanted = |text: &str| match text.split_once("\r\n\r\n") {
            Some((head, body)) if head.contains("content-length: 4") => body.len() == 4,
            Some(_) => true,
            None => false,
        };
        while !wanted(&String::from_utf8_lossy(&text).to_lowercase()) {
            let count = stream.read(&mut bytes).unwrap();
            assert_ne!(count, 0);
            text.extend_from_slice(&bytes[..count]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        asked.send(String::from_utf8(text).unwrap()).unwrap();
    });
    (url, question)
}

#[test]
fn http_gives_status_headers_and_body() {
    let (url, asked) =
        server("HTTP/1.1 201 Created\r\nX-Color: green\r\nContent-Length: 5\r\n\r\nhello");
    let ask = map(&[
        ("url", url.into()),
        ("method", "put".into()),
        ("headers", map(&[("x-size", 3.into())])),
        ("body", "data".into()),
    ]);
    let answer = builtin("http", [ask]).unwrap();
    assert_eq!(answer.get("status"), Some(&201.into()));
    assert_eq!(answer.get("body"), Some(&"hello".into()));
    assert_eq!(answer.get("headers").unwrap().get("x-color"), Some(&"green".into()));
    let asked = asked.recv().unwrap();
    assert!(asked.starts_with("PUT /path HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("x-size: 3\r\n") && asked.ends_with("\r\n\r\ndata"), "{asked}");
}

#[test]
fn http_fails_on_other_statuses_and_bad_requests() {
    let (url, _asked) = server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let error = builtin("http", [url.clone().into()]).unwrap_err();
    assert!(error.contains(&url) && error.contains("404"), "{error}");
    assert!(builtin("http", ["no url".into()]).is_err());
    let error = builtin("http", [map(&[("uri", "x".into())])]).unwrap_err();
    assert!(error.contains("unknown field `uri`"), "{error}");
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
enum Shape {
    Empty,
    Circle(f64),
    Box { width: u8, height: u8 },
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Everything {
    small: i8,
    wide: u128,
    deep: i128,
    share: f32,
    letter: char,
    text: String,
    maybe: Option<bool>,
    never: Option<bool>,
    pair: (u8, String),
    shapes: Vec<Shape>,
    by_number: BTreeMap<u16, Vec<i64>>,
    unit: (),
}

#[test]
fn any_type_goes_into_a_value_and_comes_back() {
    let data = Everything {
        small: -128,
        wide: i128::MAX as u128,
        deep: i128::MIN,
        share: 0.5,
        letter: 'ß',
        text: "text".to_owned(),
        maybe: Some(true),
        never: None,
        pair: (255, "x".to_owned()),
        shapes: vec![Shape::Empty, Shape::Circle(1.0), Shape::Box { width: 1, height: 2 }],
        by_number: [(7, vec![i64::MIN]), (65535, vec![])].into(),
        unit: (),
    };
    let value = Value::of(&data).unwrap();
    assert_eq!(value.get("deep"), Some(&Value::Int(i128::MIN)));
    assert_eq!(value.into_typed::<Everything>(), Ok(data));
    assert_eq!(Value::Int(3).into_typed::<f64>(), Ok(3.0));
    assert_eq!(Value::Int(1 << 100).into_typed::<f64>(), Ok((1u128 << 100) as f64));
}

#[test]
fn what_does_not_fit_says_where() {
    let error =
        |value: Value| value.into_typed::<Vec<BTreeMap<String, u8>>>().unwrap_err().to_string();
    assert_eq!(
        error(vec![map(&[("a", 256.into())])].into()),
        "item 0: `a`: 256 is out of range for u8"
    );
    assert_eq!(error(true.into()), "expected a list, found a boolean");
    let error =
        Value::List(vec![1.into(), 2.into(), 3.into()]).into_typed::<(u8, u8)>().unwrap_err();
    assert_eq!(error.to_string(), "expected a list of 2, found one of 3");
    assert!(Value::of(&u128::MAX).is_err());
    assert!(Value::of(&f64::NAN).is_err());
    assert!(Value::of(&BTreeMap::from([((1, 2), 3)])).is_err());
}

#[test]
fn closures_of_any_shape_can_be_registered() {
    let mut functions = Functions::empty();
    functions
        .register("nothing", || Ok::<_, String>(()))
        .register("add", |a: i64, b: i64| a.checked_add(b).ok_or("too large"))
        .register("who", |context: &Context| Ok::<_, String>(context.future()))
        .register("greet", |context: &Context, name: String, mark: Option<String>| {
            Ok::<_, String>(format!("{}: {name}{}", context.attempt(), mark.unwrap_or_default()))
        })
        .register("six", |a: u8, b: u8, c: u8, d: u8, e: u8, f: u8| {
            Ok::<_, String>([a, b, c, d, e, f])
        })
        .register("nan", || Ok::<_, String>(vec![1.0, f64::NAN]))
        .register("panic", || -> Result<(), String> { panic!("at the {}", "disco") });

    let list = |values: &[i64]| Args::List(values.iter().map(|&v| v.into()).collect());
    assert_eq!(call(&functions, "nothing", list(&[])), Ok(Value::Null));
    assert_eq!(call(&functions, "add", list(&[2, 3])), Ok(5.into()));
    assert_eq!(
        call(&functions, "add", list(&[i64::MAX, 1])),
        Err((FailureKind::Call, "add: too large".to_owned()))
    );
    assert_eq!(call(&functions, "who", list(&[])), Ok("test".into()));
    assert_eq!(
        call(&functions, "greet", Args::List(vec!["you".into()].into())),
        Ok("1: you".into())
    );
    assert_eq!(
        call(&functions, "greet", Args::List(vec!["you".into(), "!".into()].into())),
        Ok("1: you!".into())
    );
    assert_eq!(
        call(&functions, "six", list(&[1, 2, 3, 4, 5, 6])),
        Ok(vec![1, 2, 3, 4, 5, 6].into())
    );
    let (kind, message) = call(&functions, "nan", list(&[])).unwrap_err();
    assert_eq!(kind, FailureKind::Call);
    assert!(message.contains("its result: item 1: NaN"), "{message}");
    assert_eq!(
        call(&functions, "panic", list(&[])),
        Err((FailureKind::Panic, "panic: panicked: at the disco".to_owned()))
    );

    let arity = |name: &str| {
        let arity = functions.get(name).unwrap().arity();
        (arity.min, arity.max)
    };
    assert_eq!(arity("nothing"), (0, 0));
    assert_eq!(arity("greet"), (1, 2));
    assert_eq!(arity("six"), (6, 6));
    assert_eq!(functions.names().next(), Some("add"));
}

#[test]
fn without_names_a_table_is_the_one_argument() {
    #[derive(Deserialize)]
    struct Point {
        x: i64,
        y: i64,
    }
    let mut functions = Functions::empty();
    functions
        .register("norm", |p: Point| Ok::<_, String>(p.x * p.x + p.y * p.y))
        .register_named("join", &["left", "right"], |left: String, right: Option<String>| {
            Ok::<_, String>(left + &right.unwrap_or_default())
        })
        .register("two", |_: Value, _: Value| Ok::<_, String>(()));
    let with = |entries: &[(&str, Value)]| {
        Args::Named(entries.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect())
    };
    assert_eq!(call(&functions, "norm", with(&[("x", 3.into()), ("y", 4.into())])), Ok(25.into()));
    assert_eq!(call(&functions, "join", with(&[("left", "a".into())])), Ok("a".into()));
    assert_eq!(
        call(&functions, "join", with(&[("right", "b".into()), ("left", "a".into())])),
        Ok("ab".into())
    );
    assert_eq!(
        call(&functions, "join", with(&[("right", "b".into())])).unwrap_err().1,
        "join: argument `left` is missing"
    );
    assert_eq!(
        call(&functions, "two", with(&[("a", 1.into())])).unwrap_err().1,
        "two: takes 2 arguments, which have no names: use `args`"
    );
}

#[test]
fn copies_of_a_registry_do_not_see_later_additions() {
    let mut functions = Functions::empty();
    let before = functions.clone();
    functions.register("new", || Ok::<_, String>(()));
    assert!(before.get("new").is_none() && functions.get("new").is_some());
}
