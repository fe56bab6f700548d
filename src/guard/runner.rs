//! The runner's side of the process tree: what its main thread does while other threads work. Knows
//! nothing of the work.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::WaitOptions;

use super::cage::Cage;
use super::signals::{self, Arrivals, Echoes, News};
use super::sys::{self, Mask};
use super::{spawn, tree};

/// How long orphans may wait to be reaped after others were. Every child that ends sends SIGCHLD,
/// thousands a second, and this thread must not wake up for each.
const REAP_PAUSE: Duration = Duration::from_millis(20);

/// What makes sure that no process of a run outlives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Containment {
    /// Process groups only: a detached process, or a killed runner's children, may stay.
    #[default]
    Groups,
    /// A guard: nothing stays unless guard and runner are killed at the same moment.
    Guard,
    /// A guard and a cgroup: nothing stays.
    Cgroup,
}

impl Containment {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Groups, Self::Guard, Self::Cgroup];

    /// The word used in reports: `pgid`, `guard` or `cgroup`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Groups => "pgid",
            Self::Guard => "guard",
            Self::Cgroup => "cgroup",
        }
    }
}

/// What the runner is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A signal asks the run to stop: SIGINT, SIGTERM, SIGHUP or SIGQUIT.
    Signal(i32),
    /// This process and all that it has started are about to be stopped for a while.
    Pause,
    /// They were, and are about to go on.
    GoOn,
}

/// The process that does the work, as [`split`](super::split) leaves it.
#[derive(Debug)]
pub struct Runner {
    /// A pidfd of the guard.
    guard: Option<OwnedFd>,
    cage: Option<Cage>,
    refusal: Option<String>,
}

impl Runner {
    pub(super) fn guarded(guard: OwnedFd, cage: Option<Cage>) -> Self {
        Self { guard: Some(guard), cage, refusal: None }
    }

    pub(super) fn alone(refusal: String) -> Self {
        Self { guard: None, cage: None, refusal: Some(refusal) }
    }

    /// What contains the processes of this run.
    pub fn containment(&self) -> Containment {
        match (&self.guard, &self.cage) {
            (None, _) => Containment::Groups,
            (Some(_), None) => Containment::Guard,
            (Some(_), Some(_)) => Containment::Cgroup,
        }
    }

    /// Why there is no guard, for people; `None` if there is one.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Runs `work` in another thread and returns what it returns; meanwhile this thread, which must
    /// be the main one, minds the process tree:
    ///
    /// - it tells of signals that ask the run to stop (SIGINT, SIGTERM, SIGHUP, SIGQUIT, unless they
    ///   were ignored when the program began), once each, whether they were sent to this process, to
    ///   its guard or to both;
    /// - on SIGTSTP it stops everything below this process, and this process too, until it is let go on;
    /// - orphans, which come to the main thread, are reaped;
    /// - if the guard dies, everything below this process is killed and the process exits with 137.
    ///
    /// Without a guard, what is left below this process when `work` has ended is killed.
    ///
    /// # Errors
    ///
    /// When there are no descriptors, or no thread, to do this with; `work` has not begun then.
    ///
    /// # Panics
    ///
    /// With the panic of `work`, or of `tell`.
    pub fn attend<T: Send>(
        self,
        tell: impl FnMut(Told),
        work: impl FnOnce() -> T + Send,
    ) -> io::Result<T> {
        let signals = Signals::catch(signals::heeded())?;
        let ended = Mask::of(&[libc::SIGCHLD]).descriptor()?;
        let (done, working) = io::pipe()?;
        let result = thread::scope(|scope| {
            let worker = thread::Builder::new()
                .name("jobrun".to_owned())
                .stack_size(WORK_STACK)
                .spawn_scoped(scope, move || {
                    // Closing this end, also by a panic, says that the work is done.
                    let _working = working;
                    work()
                })?;
            let (guard, cage) = (self.guard.as_ref(), self.cage.as_ref());
            Watch { guard, cage, signals, ended, done }.until_done(tell);
            Ok::<_, io::Error>(worker.join())
        })?;
        if self.guard.is_none() {
            tree::kill_all(None);
        }
        result.map_or_else(|panic| resume_unwind(panic), Ok)
    }

    /// Watches the guard from a thread of its own, for a program whose main thread is not to be
    /// had: if the guard dies, everything below this process is killed and it exits with 137; on
    /// SIGTSTP it stops everything below this process, and this process too. Of that it tells.
    /// Orphans stay unreaped until the program ends. Does nothing without a guard.
    ///
    /// # Errors
    ///
    /// When there are no descriptors, or no thread, to do this with.
    pub fn watch(self, mut tell: impl FnMut(Told) + Send + 'static) -> io::Result<()> {
        let Self { guard: Some(guard), cage, .. } = self else { return Ok(()) };
        let mut signals = Signals::catch(vec![libc::SIGTSTP])?;
        let wait = move || {
            loop {
                let mut fds = [
                    PollFd::new(&guard, PollFlags::IN),
                    PollFd::new(signals.arrivals.descriptor(), PollFlags::IN),
                ];
                // Interrupted, by a signal that the next look will find.
                let ready = poll(&mut fds, None).is_ok();
                if ready && !fds[0].revents().is_empty() {
                    die_with_guard(cage.as_ref());
                }
                signals.heed(&mut tell);
            }
        };
        thread::Builder::new().name("jobrun-guard".to_owned()).spawn(wait).map(drop)
    }
}

/// The signals that a runner heeds.
struct Signals {
    arrivals: Arrivals,
    echoes: Echoes,
}

impl Signals {
    fn catch(mut wanted: Vec<i32>) -> io::Result<Self> {
        wanted.push(libc::SIGCONT);
        Ok(Self { arrivals: Arrivals::catch(&wanted)?, echoes: Echoes::default() })
    }

    /// Tells of what has arrived, and does what is asked.
    fn heed(&mut self, tell: &mut impl FnMut(Told)) {
        let news = self.arrivals.look();
        let pause = news.pause;
        self.hear(news, tell);
        if pause {
            tell(Told::Pause);
            let held = spawn::hold();
            tree::freeze(|| tree::descendants(None));
            let meanwhile = self.arrivals.look();
            // Without a guard, who lets it go on too early would not be heard any more.
            if !meanwhile.go_on {
                tree::stop_here();
            }
            tell(Told::GoOn);
            tree::thaw();
            drop(held);
            self.hear(meanwhile, tell);
            // To pause once more for what came before it stopped would be too much.
            let since = self.arrivals.look();
            self.hear(since, tell);
        }
    }

    fn hear(&mut self, news: News, tell: &mut impl FnMut(Told)) {
        for request in news.requests.into_iter().filter(|it| self.echoes.is_new(*it)) {
            tell(Told::Signal(request.signal));
        }
    }
}

/// The stack of the thread that works: as large as a main thread's usually is.
const WORK_STACK: usize = 8 << 20;

/// What the main thread looks at.
struct Watch<'a> {
    guard: Option<&'a OwnedFd>,
    cage: Option<&'a Cage>,
    signals: Signals,
    ended: OwnedFd,
    done: PipeReader,
}

impl Watch<'_> {
    fn until_done(mut self, mut tell: impl FnMut(Told)) {
        let mut pause: Option<Instant> = None;
        loop {
            let ready = self.wait(pause);
            if ready.guard {
                die_with_guard(self.cage);
            }
            self.signals.heed(&mut tell);
            if ready.done {
                return;
            }
            if ready.ended {
                self.reap_orphans();
                pause = Some(Instant::now() + REAP_PAUSE);
            } else if pause.is_some_and(|end| Instant::now() >= end) {
                pause = None;
            }
        }
    }

    /// Waits for something to look at. SIGCHLD is left pending until `pause` is over.
    fn wait(&self, pause: Option<Instant>) -> Ready {
        let mut fds = vec![
            PollFd::new(&self.done, PollFlags::IN),
            PollFd::new(self.signals.arrivals.descriptor(), PollFlags::IN),
        ];
        let guard = self.guard.map(|guard| push(&mut fds, guard.as_fd()));
        let ended = pause.is_none().then(|| push(&mut fds, self.ended.as_fd()));
        let timeout = pause.map(|end| {
            let left = end.saturating_duration_since(Instant::now());
            Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) }
        });
        if poll(&mut fds, timeout.as_ref()).is_err() {
            // Interrupted, by a signal that the next look will find.
            return Ready::default();
        }
        let is_ready = |place: usize| !fds[place].revents().is_empty();
        Ready {
            done: is_ready(0),
            guard: guard.is_some_and(is_ready),
            ended: ended.is_some_and(is_ready),
        }
    }

    /// Reaps the orphans that came to this thread. The children of other threads are theirs.
    fn reap_orphans(&self) {
        let mut pending = [0; size_of::<libc::signalfd_siginfo>()];
        // Only one SIGCHLD is ever pending; reading takes it away.
        let _ = rustix::io::read(&self.ended, &mut pending);
        let own = WaitOptions::from_bits_retain(libc::__WNOTHREAD.cast_unsigned());
        tree::reap_with(WaitOptions::NOHANG | own, |_, _| ());
    }
}

#[derive(Default)]
struct Ready {
    done: bool,
    guard: bool,
    ended: bool,
}

fn push<'a>(fds: &mut Vec<PollFd<'a>>, fd: BorrowedFd<'a>) -> usize {
    fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
    fds.len() - 1
}

/// The guard is gone, and with it who would clean up after us: this is the last chance.
fn die_with_guard(cage: Option<&Cage>) -> ! {
    spawn::close();
    tree::kill_all(None);
    // It should be empty but for this process.
    cage.inspect(|cage| cage.kill());
    sys::exit_now(137)
}
