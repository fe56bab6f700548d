//! jobrun whose worker processes do not keep to the protocol: a call of `echo` with the name of a misdeed
//! has it done. It is there for the tests.
//!
//! ```sh
//! cargo run --example hostile_worker -- MANIFEST
//! ```

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use jobrun::cli;
use jobrun::executor::protocol::{Decoder, FromWorker, Hello, Message, ToWorker};
use jobrun::executor::worker;
use jobrun::functions::Functions;
use jobrun::value::Value;
use jobrun::work::Args;

fn main() -> ExitCode {
    let is_worker = std::env::args_os().nth(1).is_some_and(|it| it == worker::ARGUMENT);
    if !is_worker {
        return cli::main(&Functions::builtin());
    }
    if std::env::var_os("HOSTILE_START").is_some() {
        return ExitCode::from(7);
    }
    // An end of the conversation, whichever way it comes, ends it well.
    let _ = serve();
    ExitCode::SUCCESS
}

/// Answers until it is told no more.
fn serve() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        decoder.feed(&buffer[..count]);
        while let Some(message) = decoder.next_message().map_err(io::Error::other)? {
            let answer = answer(message);
            output.write_all(&answer.bytes)?;
            output.flush()?;
            if answer.is_last {
                std::process::exit(3);
            }
        }
    }
}

/// What is said, and whether the worker goes after that.
struct Answer {
    bytes: Vec<u8>,
    is_last: bool,
}

fn answer(message: ToWorker<'_>) -> Answer {
    let bytes = match message {
        ToWorker::Hello { hello, .. } => {
            frame(&FromWorker::Hello(Hello { run_id: hello.run_id, ..Hello::new("") }))
        }
        ToWorker::Initialize(_) => frame(&FromWorker::Ready(None)),
        // It gives nothing back that it was asked for.
        ToWorker::Recall { .. } => Vec::new(),
        ToWorker::Call { id, ahead, call, .. } => {
            let begun = FromWorker::Started { id, at: Duration::ZERO };
            let begun = if ahead { frame(&begun) } else { Vec::new() };
            let word = word(&call.args);
            let bytes = [begun, deed(id, &word)].concat();
            return Answer { bytes, is_last: word == "half and gone" };
        }
    };
    Answer { bytes, is_last: false }
}

/// What is said in place of the end of a call.
fn deed(id: u64, word: &str) -> Vec<u8> {
    let done = |id| {
        let (started, ended) = (Duration::ZERO, Duration::ZERO);
        frame(&FromWorker::Done { id, started, ended, result: Ok(Value::from(word)) })
    };
    match word {
        "garbage" => b"\x07\0\0\0what is this".to_vec(),
        "oversize" => vec![255; 64],
        // The other half never comes.
        "half" | "half and gone" => done(id)[..9].to_vec(),
        "wrong id" => done(id + 1000),
        "twice" => [done(id), done(id)].concat(),
        "hello again" => frame(&FromWorker::Hello(Hello::new("another run"))),
        _ => done(id),
    }
}

fn word(args: &Args) -> Cow<'_, str> {
    let first = match args {
        Args::List(values) => values.first(),
        Args::Named(entries) => entries.first().map(|(_, value)| value),
    };
    first.and_then(Value::to_text).unwrap_or_default().into()
}

fn frame(message: &FromWorker) -> Vec<u8> {
    let mut bytes = Vec::new();
    // None of them is too long.
    let _ = message.encode(&mut bytes);
    bytes
}
