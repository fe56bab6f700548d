//! Which signals ask a run to stop or to pause, how they are called, and how they are awaited. Knows
//! nothing of who is told.

use std::io;
use std::os::unix::net::UnixStream;

use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

use super::sys;

/// The signals that ask a run to stop.
pub(crate) const STOP: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// The signals that a run heeds: those that ask it to stop, and what Ctrl-Z sends. Those that were ignored
/// when the program began stay ignored: `nohup` wants no SIGHUP, and a script's background job wants no
/// SIGINT.
pub(crate) fn heeded() -> Vec<i32> {
    let all = STOP.into_iter().chain([libc::SIGTSTP]);
    all.filter(|signal| !sys::is_ignored(*signal)).collect()
}

/// A signal that asks the run to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) signal: i32,
    /// The process that sent it; 0 for the system.
    pub(crate) sender: i32,
    /// Whether the guard passed it on.
    pub(crate) passed_on: bool,
}

/// What has arrived since the last look.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) requests: Vec<Request>,
    /// Whether the run was asked to pause.
    pub(crate) pause: bool,
    /// Whether it was asked to go on. Of both, this was meant last: who pauses a run sees that it has
    /// paused before anything else.
    pub(crate) go_on: bool,
}

/// Signals that arrive on a descriptor.
pub(crate) struct Arrivals(SignalDelivery<UnixStream, WithRawSiginfo>);

impl Arrivals {
    /// Catches these signals from now on, in whichever thread they arrive.
    ///
    /// Handlers rather than a blocked mask: a thread that spawns a child has to have an empty mask for
    /// that moment, and a signal that came just then would end the process.
    pub(crate) fn catch(signals: &[i32]) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        SignalDelivery::with_pipe(read, write, WithRawSiginfo, signals).map(Self)
    }

    /// What can be read when something has arrived.
    pub(crate) fn descriptor(&self) -> &UnixStream {
        self.0.get_read()
    }

    /// All that has arrived.
    pub(crate) fn look(&mut self) -> News {
        let mut news = News::default();
        for info in self.0.pending() {
            let signal = info.si_signo;
            match signal {
                libc::SIGTSTP => news.pause = true,
                libc::SIGCONT => news.go_on = true,
                libc::SIGCHLD => {}
                _ => {
                    let (sender, passed_on) = sys::origin(&info);
                    news.requests.push(Request { signal, sender, passed_on });
                }
            }
        }
        news
    }
}

/// Tells what asks anew from the echo of what was heard already: some send a signal to every process of a
/// run, which then has it from them and from its guard.
#[derive(Debug, Default)]
pub(crate) struct Echoes(Vec<Heard>);

#[derive(Debug)]
struct Heard {
    signal: i32,
    sender: i32,
    /// How often it came straight from its sender, and how often from the guard.
    times: [u32; 2],
}

impl Echoes {
    /// Whether this has not been heard the other way: what was sent as often as the larger of both numbers
    /// says, was heard that often.
    pub(crate) fn is_new(&mut self, request: Request) -> bool {
        let Request { signal, sender, passed_on } = request;
        let known = self.0.iter().position(|it| (it.signal, it.sender) == (signal, sender));
        let place = known.unwrap_or_else(|| {
            self.0.push(Heard { signal, sender, times: [0; 2] });
            self.0.len() - 1
        });
        let times = &mut self.0[place].times;
        let (own, other) = (usize::from(passed_on), usize::from(!passed_on));
        times[own] += 1;
        times[own] > times[other]
    }
}

/// The name of a signal, for example `SIGKILL`; `signal 42` for one that has none.
pub fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGSTKFLT => "SIGSTKFLT",
        libc::SIGCHLD => "SIGCHLD",
        libc::SIGCONT => "SIGCONT",
        libc::SIGSTOP => "SIGSTOP",
        libc::SIGTSTP => "SIGTSTP",
        libc::SIGTTIN => "SIGTTIN",
        libc::SIGTTOU => "SIGTTOU",
        libc::SIGURG => "SIGURG",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGVTALRM => "SIGVTALRM",
        libc::SIGPROF => "SIGPROF",
        libc::SIGWINCH => "SIGWINCH",
        libc::SIGIO => "SIGIO",
        libc::SIGPWR => "SIGPWR",
        libc::SIGSYS => "SIGSYS",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

/// A signal for people: `SIGKILL (signal 9)`.
pub fn describe_signal(signal: i32) -> String {
    let name = signal_name(signal);
    if name.starts_with("SIG") { format!("{name} (signal {signal})") } else { name }
}

#[cfg(test)]
mod tests {
    use super::{Echoes, Request};

    #[test]
    fn a_signal_to_all_processes_counts_once_and_whoever_asks_again_is_heard() {
        let mut echoes = Echoes::default();
        let mut hear =
            |passed_on, sender, signal| echoes.is_new(Request { signal, sender, passed_on });
        assert!(hear(false, 1, 15));
        assert!(!hear(true, 1, 15));
        // The second one to all comes by the guard first, and by it alone: two that wait are one.
        assert!(hear(true, 1, 15));
        // Another signal, and another sender.
        assert!(hear(true, 1, 2));
        assert!(hear(true, 7, 15));
        assert!(hear(true, 7, 15));
        assert!(!hear(false, 7, 15));
        assert!(!hear(false, 7, 15));
        assert!(hear(false, 7, 15));
    }
}
