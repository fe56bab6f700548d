//! How a child ended, in words and as an outcome. Knows nothing of how it was run.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use crate::guard::describe_signal;
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::supervise::result;
use crate::time::Time;
use crate::work::{ChildDone, Leak, Limits, ResultKind};

/// The end of a child.
#[derive(Clone, Debug)]
pub struct ChildEnd {
    /// When it started; for one that could not be started, when that was tried.
    pub started: Time,
    /// When its process ended.
    pub ended: Time,
    /// How.
    pub how: How,
    /// Its exit code or signal and what it wrote.
    pub child: Box<ChildDone>,
    /// All of its standard output as it was, where the result needs that and the file does not hold it.
    pub original: Option<Arc<File>>,
    /// The exit codes that are a success.
    pub ok_exit: Arc<[i32]>,
    /// What becomes of its standard output.
    pub result: ResultKind,
    /// What became of the processes that it left.
    pub leak: Leak,
    /// What it was held to.
    pub limits: Option<Arc<Limits>>,
    /// Whether the system ended it, or a part of it, for want of memory.
    pub out_of_memory: bool,
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It was never started: why, for people.
    NotSpawned(String),
    /// By itself, or by somebody else's signal.
    Ended(ExitStatus),
    /// It ran longer than this and was stopped.
    TimedOut(Duration),
    /// It was stopped because that was asked for.
    Stopped,
    /// Something else took its exit status: what is known of that, for people.
    Lost(String),
}

impl ChildEnd {
    /// What this means for the attempt. A result is made from standard output, which is read back
    /// from its file if it is large.
    pub fn outcome(&self) -> Outcome {
        let failed = |kind, message| Outcome::Failed(Failure::new(kind, message));
        match &self.how {
            How::NotSpawned(why) => failed(FailureKind::Spawn, why.clone()),
            How::Lost(why) => failed(FailureKind::Exit, why.clone()),
            How::Stopped => Outcome::Cancelled,
            How::TimedOut(limit) => Outcome::TimedOut(Failure::new(
                FailureKind::Timeout,
                format!("ran longer than {}", humantime::format_duration(*limit)),
            )),
            How::Ended(status) => match status.code() {
                Some(code) if self.ok_exit.contains(&code) => {
                    if self.child.leaked && self.leak == Leak::Fail {
                        let message = "something that it had started still held its output open";
                        return failed(FailureKind::Leak, message.to_owned());
                    }
                    match result::read(self.result, &self.child.stdout, self.original.as_deref()) {
                        Ok(value) => Outcome::Succeeded(value),
                        Err(why) => failed(FailureKind::Result, why),
                    }
                }
                _ if self.out_of_memory => failed(FailureKind::Oom, self.describe(*status)),
                Some(_) => failed(FailureKind::Exit, self.describe(*status)),
                None => failed(FailureKind::Signal, self.describe(*status)),
            },
        }
    }

    /// How it ended, and what limit of its own it has come to if it has.
    fn describe(&self, status: ExitStatus) -> String {
        let limits = self.limits.as_deref();
        // What a shell has run tells it by the shell's exit code.
        let signal = status.signal().or_else(|| status.code()?.checked_sub(128));
        let memory = limits.and_then(|limits| limits.memory);
        let why = match signal {
            _ if self.out_of_memory => Some(memory.map_or_else(
                || "out of memory".to_owned(),
                |most| format!("out of memory, `limits.memory` is {}", size(most)),
            )),
            Some(libc::SIGXCPU) => limits
                .and_then(|limits| limits.cpu_time)
                .map(|most| format!("`limits.cpu_time` is {}", humantime::format_duration(most))),
            Some(libc::SIGXFSZ) => limits
                .and_then(|limits| limits.file_size)
                .map(|most| format!("`limits.file_size` is {}", size(most))),
            _ => None,
        };
        let how = describe_exit(status);
        why.map_or(how.clone(), |why| format!("{how}: {why}"))
    }
}

/// A number of bytes for people, exactly: `512 MiB`.
fn size(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(factor, _)| bytes > 0 && bytes.is_multiple_of(*factor));
    let (factor, word) = unit.unwrap_or((1, "bytes"));
    format!("{} {word}", bytes / factor)
}

/// How a process ended, for people: `exited with code 3`, `was killed by SIGSEGV (signal 11), core dumped`.
pub fn describe_exit(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => {
            let core = if status.core_dumped() { ", core dumped" } else { "" };
            format!("was killed by {}{core}", describe_signal(signal))
        }
        (None, None) => "ended in an unknown way".to_owned(),
    }
}
