//! The values that are one of a few words. Knows only the words and what they stand for.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::graph::{Concurrency, ExecutorKind, OnReturn, OnWorkerDeath, When};
use crate::manifest::read::{Words, text, word};
use crate::manifest::reader::{Node, Read, Reader};
use crate::outcome::FailureKind;
use crate::work::{Leak, ResultKind};

/// What a callback is called for: one of the words of the manual, for example `done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct On(pub(crate) &'static str);

impl On {
    /// The trigger of a word; `None` if it is not one of the manual's.
    pub fn new(word: &str) -> Option<Self> {
        Self::of(word)
    }

    /// The word.
    pub fn word(self) -> &'static str {
        self.0
    }
}

macro_rules! words {
    ($($type:ty, $name:literal, $what:literal, [$($word:literal => $value:expr),* $(,)?];)*) => {
        $(
            impl Words for $type {
                const WHAT: &'static str = $what;
                const WORDS: &'static [(&'static str, Self)] = &[$(($word, $value)),*];
            }

            impl Read for $type {
                const WHAT: &'static str = $what;
                const HINT: Option<&'static str> =
                    Some(concat!("use one of", $(" \"", $word, "\""),*));

                fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
                    match text(node) {
                        Some(text) => word(node, &text, reader),
                        None => reader.wrong_type(node),
                    }
                }
            }

            impl JsonSchema for $type {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> Cow<'static, str> {
                    $name.into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({ "type": "string", "enum": [$($word),*] })
                }
            }
        )*
    };
}

words! {
    Concurrency, "Concurrency", "a number of runs at once", [
        "any" => Self::Any,
        "one" => Self::One,
    ];
    ExecutorKind, "ExecutorKind", "a kind of executor", [
        "thread" => Self::Thread,
        "process" => Self::Process,
    ];
    OnWorkerDeath, "OnWorkerDeath", "a way to take the death of a worker", [
        "fail" => Self::Fail,
        "retry" => Self::Retry,
        "break" => Self::Break,
    ];
    OnReturn, "OnReturn", "a way to treat what is not done", [
        "cancel" => Self::Cancel,
        "drain" => Self::Drain,
        "continue" => Self::Continue,
    ];
    When, "When", "a condition on what a task is after", [
        "success" => Self::Success,
        "failure" => Self::Failure,
        "always" => Self::Always,
    ];
    ResultKind, "ResultKind", "a kind of result", [
        "text" => Self::Text,
        "lines" => Self::Lines,
        "json" => Self::Json,
        "none" => Self::None,
    ];
    Leak, "Leak", "a way to take processes that are left", [
        "warn" => Self::Warn,
        "fail" => Self::Fail,
        "kill" => Self::Kill,
    ];
    FailureKind, "FailureKind", "a kind of failure", [
        "exit" => Self::Exit,
        "signal" => Self::Signal,
        "oom" => Self::Oom,
        "timeout" => Self::Timeout,
        "call" => Self::Call,
        "panic" => Self::Panic,
        "spawn" => Self::Spawn,
        "worker_death" => Self::WorkerDeath,
        "template" => Self::Template,
        "result" => Self::Result,
        "leak" => Self::Leak,
        "broken_executor" => Self::BrokenExecutor,
    ];
    On, "On", "something that a callback can be called for", [
        "start" => Self("start"),
        "done" => Self("done"),
        "success" => Self("success"),
        "failure" => Self("failure"),
        "timeout" => Self("timeout"),
        "cancelled" => Self("cancelled"),
        "skipped" => Self("skipped"),
        "retry" => Self("retry"),
        "return" => Self("return"),
        "job_done" => Self("job_done"),
        "job_success" => Self("job_success"),
        "job_failure" => Self("job_failure"),
    ];
}
