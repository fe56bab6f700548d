//! `jobrun MANIFEST`: runs a job, shows it, and writes down what became of it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{mem, panic, process, thread};

use tracing_subscriber::EnvFilter;

use crate::cli::args::{Busy, LogFormat, Output, Progress, RunOptions};
use crate::cli::load::{self, Problem, Target};
use crate::cli::{colored, tell};
use crate::compile::Environment;
use crate::exit::Exit;
use crate::functions::Functions;
use crate::guard::{self, Containment, Split, Told};
use crate::hosts::Host;
use crate::inbox::Inbox;
use crate::job::Job;
use crate::lock::{Holder, OnBusy};
use crate::mask::Masker;
use crate::report::console::{self, Console};
use crate::report::events::Events;
use crate::report::log::Stderr;
use crate::report::{AtEnd, Format};
use crate::run::Runner;
use crate::run::secrets::Secrets;
use crate::time;
use crate::work::Notice;

/// The variables that tell of a CI system. Most set the first one as well.
const CI: [&str; 8] = [
    "CI",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "TF_BUILD",
    "TEAMCITY_VERSION",
    "BUILDKITE",
    "CIRCLECI",
    "JENKINS_URL",
];

/// Runs a target; gives the exit code.
pub fn run(target: &Target, options: &RunOptions, functions: &Functions) -> Result<u8, Problem> {
    let reports = reports(&options.reports)?;
    let hosts = hosts(&options.allow_hosts)?;
    // Before the manifest is read: a fork of a large process is slow.
    let runner = match guard::split() {
        Split::Runner(runner) => runner,
        Split::Over(over) => {
            if let Some(message) = over.message {
                tell(&format!("error: {message}"));
            }
            return Ok(over.code);
        }
    };
    if let Some(refusal) = runner.refusal() {
        tell(&format!("warning: {refusal}; if jobrun is killed, its tasks may go on"));
    }
    let guarded = runner.containment() != Containment::Groups;
    let inbox = Inbox::default();
    let signals = inbox.sender();
    let attended = runner.attend(
        move |told| match told {
            // A run that has ended does not need to be stopped.
            Told::Signal(signal) => signals.send(Notice::Signal(signal)),
            Told::Pause => time::stand_still(),
            Told::GoOn => {
                time::go_on();
                signals.send(Notice::GoesOn);
            }
        },
        || {
            let color = colored(options.color);
            let of_run = Environment::of_run(std::env::vars_os());
            let job = Arc::new(load::job(target, &options.changes, color, functions, of_run)?);
            let runner = Runner::new(&job)
                .functions(functions.clone())
                .inbox(inbox)
                .alone()
                .allow_hosts(hosts);
            announce(runner.secrets());
            let masker = runner.secrets().masker().clone();
            log(options, &masker);
            cover_panics(&masker);
            let code = carry_out(runner, &job, reports, options);
            let code = code.map_err(|problem| problem.covered(&masker));
            if guarded {
                // The guard ends what is left. Letting go of a large job value by value, and waking
                // the main thread to do nothing, would only take time.
                process::exit(code.unwrap_or_else(|problem| problem.tell()).into());
            }
            code
        },
    );
    attended.map_err(|error| Problem::Work(format!("cannot start: {error}")))?
}

fn carry_out(
    mut runner: Runner<'_>,
    job: &Job,
    mut reports: Vec<(Format, PathBuf)>,
    options: &RunOptions,
) -> Result<u8, Problem> {
    // Before any file is touched that the run before this one may still be writing.
    let cannot_start = |error: io::Error| Problem::Work(format!("cannot start: {error}"));
    let on_busy = match options.lock {
        Busy::Wait => OnBusy::Wait,
        Busy::Refuse => OnBusy::Refuse,
        Busy::Ignore => OnBusy::Ignore,
    };
    let wait = |holder: &Holder| tell(&format!("waiting for {holder} of this job"));
    if let Some(signal) = runner.take_turn(on_busy, wait).map_err(cannot_start)? {
        let signal_name = guard::describe_signal(signal);
        tell(&format!("{signal_name}: stopped while waiting; nothing ran"));
        return Ok(Exit::Interrupted(signal).code());
    }
    for (word, path) in &job.reports {
        reports.extend(Format::parse(word).map(|format| (format, path.clone())));
    }
    let (json, others): (Vec<_>, Vec<_>) =
        reports.into_iter().partition(|(format, _)| *format == Format::Json);
    let is_stdout = |path: &Path| path == Path::new("-");
    let stdout_is_taken = options.results
        || options.events.as_deref().is_some_and(is_stdout)
        || json.iter().chain(&others).any(|(_, path)| is_stdout(path));

    // What is written at the end comes in such an order that the last event knows of most failures to
    // write, and the JSON report of all others'.
    runner = runner.observer(Console::new(console_options(options, stdout_is_taken)));
    for (format, path) in &others {
        runner = runner.observer(AtEnd::new(*format, path));
    }
    if options.results {
        runner = runner.observer(AtEnd::results());
    }
    if let Some(path) = &options.events {
        let events = Events::create(path)
            .map_err(|error| Problem::Work(format!("cannot write events: {error}")))?;
        runner = runner.observer(events);
    }
    for (format, path) in &json {
        runner = runner.observer(AtEnd::new(*format, path));
    }
    let finished = runner.run().map_err(cannot_start)?;
    // Those who were told first do not know of what failed after them.
    for error in &finished.ledger.errors {
        tell(&format!("error: {error}"));
    }
    let code = finished.exit.code();
    // Nobody needs it any more, and a large job is a great many values.
    mem::forget(finished);
    Ok(code)
}

fn console_options(options: &RunOptions, stdout_is_taken: bool) -> console::Options {
    console::Options {
        output: match options.output {
            Output::Grouped => console::Output::Grouped,
            Output::Live => console::Output::Live,
            Output::Failures => console::Output::Failures,
            Output::None => console::Output::None,
        },
        progress: match options.progress {
            Progress::Auto => console::Progress::Auto,
            Progress::Bar => console::Progress::Bar,
            Progress::Plain => console::Progress::Plain,
            Progress::None => console::Progress::None,
        },
        color: colored(options.color),
        stdout_is_taken,
        verbosity: if options.quiet {
            -1
        } else {
            i8::try_from(options.verbose).unwrap_or(i8::MAX)
        },
        is_terminal: io::stderr().is_terminal(),
        stdout_is_terminal: io::stdout().is_terminal(),
        ci: CI.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())),
        raw: options.raw,
    }
}

/// Tells GitHub's runner of the secrets, so that it covers them too, whoever shows them.
fn announce(secrets: &Secrets) {
    if std::env::var_os("GITHUB_ACTIONS").is_none_or(|value| value != "true") {
        return;
    }
    for line in secrets.lines() {
        // A command is one line, and a percent sign begins the code of a character.
        let line = String::from_utf8_lossy(line).replace('%', "%25").replace('\r', "%0D");
        tell(&format!("::add-mask::{line}"));
    }
}

/// Spans and events go to standard error if somebody asked for them: by `--log-format`, or by
/// `RUST_LOG`, which also says how much.
fn log(options: &RunOptions, masker: &Masker) {
    let asked = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    if options.log_format.is_none() && asked.is_none() {
        return;
    }
    let filter = asked.unwrap_or_else(|| {
        match options.verbose {
            0 => "info",
            1 => "debug",
            _ => "trace",
        }
        .to_owned()
    });
    let masker = masker.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(move || Stderr::new(masker.clone()))
        .with_ansi(colored(options.color));
    // An embedding program may have set its own; then that is the one that counts.
    let _ = match options.log_format {
        Some(LogFormat::Json) => subscriber.json().try_init(),
        _ => subscriber.try_init(),
    };
}

/// A function that panics says why at once, in words of the standard library, which knows no secret.
fn cover_panics(masker: &Masker) {
    if masker.is_none() {
        return;
    }
    let masker = masker.clone();
    panic::set_hook(Box::new(move |panic| {
        let name = thread::current().name().unwrap_or("<unnamed>").to_owned();
        let trace = Backtrace::capture();
        let trace = match trace.status() {
            BacktraceStatus::Captured => format!("\nstack backtrace:\n{trace}"),
            _ => String::new(),
        };
        tell(&masker.text(&format!("thread '{name}' {panic}{trace}")));
    }));
}

/// Hosts that may be posted to; a variable that is empty names none.
fn hosts(words: &[String]) -> Result<Vec<Host>, Problem> {
    let words = words.iter().map(|word| word.trim()).filter(|word| !word.is_empty());
    let parse = |word: &str| {
        word.parse().map_err(|error| Problem::Words(format!("--allow-host {word}: {error}")))
    };
    words.map(parse).collect()
}

/// `FORMAT=PATH`, each.
fn reports(words: &[String]) -> Result<Vec<(Format, PathBuf)>, Problem> {
    words
        .iter()
        .map(|word| {
            let known = || Format::ALL.map(Format::word).join(", ");
            let (format, path) = word.split_once('=').ok_or_else(|| {
                Problem::Words(format!(
                    "--report {word}: wants FORMAT=PATH, where FORMAT is one of {}",
                    known()
                ))
            })?;
            let format = Format::parse(format).ok_or_else(|| {
                Problem::Words(format!(
                    "--report {word}: `{format}` is not a report format; there are {}",
                    known()
                ))
            })?;
            if path.is_empty() {
                return Err(Problem::Words(format!("--report {word}: the path is missing")));
            }
            Ok((format, PathBuf::from(path)))
        })
        .collect()
}
