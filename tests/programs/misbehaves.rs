//! jobrun with functions and a subscriber that panic where nobody expects it, for tests.

use std::fmt::{self, Debug};
use std::panic::panic_any;
use std::process::{ExitCode, abort};
use std::sync::Mutex;

use jobrun::{Functions, cli};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

fn main() -> ExitCode {
    let of = |name| std::env::var(name).ok();
    let touchy = Touchy { words: of("PANICS_AT"), threads: of("PANICS_ON") };
    tracing::subscriber::set_global_default(touchy).expect("it is the first");
    let mut functions = Functions::builtin();
    functions
        .register("abort", || -> Result<(), String> { abort() })
        .register("bomb", || -> Result<(), String> { panic_any(Bomb) })
        .register("poison", || {
            static LOCK: Mutex<u32> = Mutex::new(0);
            let held = LOCK.lock().expect("nobody has panicked while holding it");
            if *held == 0 { panic!("it holds the lock") } else { Ok::<_, String>(*held) }
        });
    cli::main(&functions)
}

/// What a panic carries; panics itself when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("it is dropped");
    }
}

/// Panics at the first event with these words, on the thread that tells of it, and wherever a span is
/// entered on a thread whose name begins so.
struct Touchy {
    words: Option<String>,
    threads: Option<String>,
}

impl Subscriber for Touchy {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if let Some(words) = &self.words {
            event.record(&mut Words(words));
        }
    }

    fn enter(&self, _: &Id) {
        let current = std::thread::current();
        let name = current.name().unwrap_or_default();
        let on = self.threads.as_deref().is_some_and(|threads| name.starts_with(threads));
        assert!(!on, "the subscriber is on {name}");
    }

    fn exit(&self, _: &Id) {}
}

/// Looks for the words.
struct Words<'a>(&'a str);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let said = fmt::format(format_args!("{value:?}"));
        assert!(field.name() != "message" || said != self.0, "the subscriber hears {said:?}");
    }
}
