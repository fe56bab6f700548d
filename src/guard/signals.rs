//! Which signals ask a run to stop, how they are called, and how they are awaited. Knows nothing of
//! who is told.

use std::io;
use std::os::unix::net::UnixStream;

use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use super::sys;

/// Signals that arrive on a descriptor.
pub(crate) type Arrivals = SignalDelivery<UnixStream, SignalOnly>;

/// The signals that ask a run to stop.
pub(crate) const STOP: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// The signals that ask this run to stop. Those that were ignored when the program began stay ignored:
/// `nohup` wants no SIGHUP, and a script's background job wants no SIGINT.
pub(crate) fn stop_signals() -> Vec<i32> {
    STOP.into_iter().filter(|signal| !sys::is_ignored(*signal)).collect()
}

/// Catches these signals from now on, in whichever thread they arrive.
///
/// Handlers rather than a blocked mask: a thread that spawns a child has to have an empty mask for
/// that moment, and a signal that came just then would end the process.
pub(crate) fn catch(signals: &[i32]) -> io::Result<Arrivals> {
    let (read, write) = UnixStream::pair()?;
    SignalDelivery::with_pipe(read, write, SignalOnly, signals)
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
