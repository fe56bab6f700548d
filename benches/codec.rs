//! What it costs to put calls and results into frames and to take them out again.

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jobrun::executor::protocol::{Decoder, FromWorker, Message, ToWorker};
use jobrun::value::Value;
use jobrun::work::{Args, Call};

fn encode(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Every message here is far below the limits.
    let _ = message.encode(&mut bytes);
    bytes
}

fn call() -> ToWorker<'static> {
    ToWorker::Call {
        id: 1_000_000,
        ahead: true,
        future: "sum[12345]".into(),
        attempt: 1,
        worker: 2,
        call: Cow::Owned(Call {
            function: "sum_to".into(),
            args: Args::List(vec![10_000_000.into()].into()),
            dir: None,
        }),
    }
}

fn done(result: Value) -> FromWorker {
    let (started, ended) = (Duration::from_micros(100), Duration::from_micros(101));
    FromWorker::Done { id: 1_000_000, started, ended, result: Ok(result) }
}

fn table(rows: i64) -> Value {
    let row = |number: i64| {
        Value::Map(vec![
            ("number".to_owned(), number.into()),
            ("share".to_owned(), 0.25.into()),
            ("name".to_owned(), format!("row {number}").into()),
        ])
    };
    Value::List((0..rows).map(row).collect())
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    let call = call();
    group.bench_function("call/encode", |bench| bench.iter(|| encode(black_box(&call))));
    let bytes = encode(&call);
    group.bench_function("call/decode", |bench| {
        let mut decoder = Decoder::default();
        bench.iter(|| {
            decoder.feed(black_box(&bytes));
            decoder.next_message::<ToWorker<'_>>()
        });
    });
    for (name, message) in [("number", done(1.into())), ("table", done(table(1000)))] {
        let bytes = encode(&message);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let id = format!("done/{name}/encode");
        group.bench_function(id, |bench| bench.iter(|| encode(black_box(&message))));
        group.bench_function(format!("done/{name}/decode"), |bench| {
            let mut decoder = Decoder::default();
            bench.iter(|| {
                decoder.feed(black_box(&bytes));
                decoder.next_message::<FromWorker>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
