//! The backend of a real run: the clock, the executors of this machine, the channel. Knows nothing
//! of when what should start.

use std::mem;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::executor::Backend;
use crate::executor::admission::Admission;
use crate::executor::children::ChildAttempts;
use crate::executor::pool::{Attempt, Executor, Names};
use crate::executor::process::{ProcessPool, Rules};
use crate::executor::thread::ThreadPool;
use crate::executor::workers::Workers;
use crate::functions::Functions;
use crate::graph::ExecutorKind;
use crate::guard::{self, Containment, Remains};
use crate::id::{ExecutorId, NodeId};
use crate::inbox::{Inbox, Sender};
use crate::job::{Action, Job};
use crate::rundir::RunDir;
use crate::supervise::{Headroom, Request};
use crate::time::{Clock, Time};
use crate::work::{Args, Call, Notice, Start, Stop, Work};

pub use crate::executor::process::WorkerProgram;

/// So many calls are gathered before a pool hears of them, which saves locking and waking for each.
/// They never wait longer than until the driver listens.
const BATCH: usize = 128;

/// What a run on this machine needs.
#[derive(Debug)]
pub struct Settings {
    /// What is run.
    pub job: Arc<Job>,
    /// What can be called on threads of this process.
    pub functions: Functions,
    /// The clock that dates everything.
    pub clock: Clock,
    /// The run.
    pub run_id: String,
    /// Where output goes that is too large for memory.
    pub files: RunDir,
    /// The program that worker processes run.
    pub worker: WorkerProgram,
    /// What the system has room for.
    pub headroom: Arc<Headroom>,
    /// Whether the run is all that this process does.
    pub alone: bool,
}

/// The executors of this machine. Dropping it stops what runs: children and worker processes are
/// gone when that returns, and then the tokens of a jobserver are given back; a call on a thread is
/// asked to end, and nobody waits for it.
pub struct Local {
    clock: Clock,
    /// When there was mail last. What was in it had happened by then.
    now: Time,
    job: Arc<Job>,
    pools: Vec<Pool>,
    /// What is to be stopped, in the order in which that was said.
    stops: Vec<(NodeId, u32, Stop)>,
    inbox: Inbox<Notice>,
    /// Whatever is below this process when the pools are gone, or what of it has the run's mark.
    remains: Remains,
    /// The last field, so that nothing runs any more when its tokens go back.
    admission: Admission,
}

struct Pool {
    workers: Arc<Workers>,
    children: ChildAttempts,
    calls: Calls,
    /// Calls that the pool has not heard of.
    gathered: Vec<Attempt>,
}

enum Calls {
    Thread(ThreadPool),
    Process(ProcessPool),
}

impl Local {
    /// Executors without anything to do, which tell the driver through this inbox. Threads and
    /// processes are started when they are first needed.
    pub fn new(settings: Settings, inbox: Inbox<Notice>) -> Self {
        let job = Arc::clone(&settings.job);
        let names: Names = Arc::new(move |node| job.graph.name(node).to_string());
        let notices = inbox.sender();
        let ids = (0..settings.job.graph.executors().len() as u32).map(ExecutorId);
        let admission = Admission::new(&settings.job, notices.clone());
        let pool = |id| Pool::new(id, &settings, &names, &notices, admission.heirloom(id));
        let pools: Vec<Pool> = ids.map(pool).collect();
        for (task, it) in settings.job.graph.tasks() {
            if let Action::Run(_) = settings.job.spec(task).action {
                pools[it.executor.index()].children.prepare();
            }
        }
        Self {
            remains: if settings.alone {
                Remains::all()
            } else {
                Remains::of_run(settings.run_id.clone())
            },
            clock: settings.clock,
            now: settings.clock.now(),
            pools,
            stops: Vec::new(),
            admission,
            job: settings.job,
            inbox,
        }
    }
}

impl Backend for Local {
    /// The clock is read once for all that came at once.
    fn now(&self) -> Time {
        self.now
    }

    fn paused(&self) -> Duration {
        self.clock.stood_still()
    }

    fn containment(&self) -> Containment {
        guard::containment()
    }

    fn start(&mut self, start: Start) {
        self.carry_out_stops();
        let Start { node, attempt, executor, work, timeout, grace, announce, live, span } = start;
        let pool = &mut self.pools[executor.index()];
        match work {
            Work::Call(call) => {
                let exact = timeout.is_some();
                let number = attempt;
                pool.gathered.push(Attempt {
                    node,
                    number,
                    call,
                    exact,
                    announce,
                    live,
                    turn: 0,
                    span,
                });
                if pool.gathered.len() >= BATCH {
                    pool.submit();
                }
            }
            Work::Run(mut command) => {
                let workers = self.job.graph.executor(executor).max_workers;
                self.admission.introduce(executor, workers, &mut command);
                let key = ChildAttempts::key(node, attempt);
                let name = format!("{}-{attempt}", self.job.graph.name(node));
                let request = Request { key, name, command: *command, timeout, grace, live };
                pool.children.start(request, attempt, announce);
            }
        }
    }

    fn stop(&mut self, node: NodeId, attempt: u32, how: Stop) {
        self.stops.push((node, attempt, how));
    }

    fn recall(&mut self, executor: ExecutorId) {
        let pool = &mut self.pools[executor.index()];
        pool.submit();
        pool.children.recall();
        match &pool.calls {
            Calls::Thread(threads) => threads.recall(),
            Calls::Process(processes) => processes.recall(),
        }
    }

    fn is_guarded(&self, executor: ExecutorId) -> bool {
        self.admission.is_guarded(executor)
    }

    fn ask(&mut self, executor: ExecutorId) -> bool {
        self.admission.ask(executor, self.clock.now())
    }

    fn forgo(&mut self, executor: ExecutorId) {
        self.admission.forgo(executor);
    }

    fn give_back(&mut self, executor: ExecutorId) {
        self.admission.give_back(executor, self.clock.now());
    }

    fn next(&mut self, until: Option<Time>) -> Option<Notice> {
        self.carry_out_stops();
        loop {
            if let Some(executor) = self.admission.next_granted() {
                return Some(Notice::Permit { executor });
            }
            match self.hear(until) {
                Some(Notice::Token { jobserver }) => {
                    self.admission.called(jobserver, self.clock.now());
                }
                Some(Notice::Cramped) => self.pools.iter().for_each(Pool::make_room),
                None if self.admission.look_at().is_some_and(|at| at <= self.clock.now()) => {
                    self.admission.look(self.clock.now());
                }
                notice => return notice,
            }
        }
    }

    fn peak_running(&self, executor: ExecutorId) -> u32 {
        self.pools[executor.index()].workers.peak()
    }

    fn close(&mut self) -> Remains {
        self.carry_out_stops();
        self.pools.clear();
        mem::replace(&mut self.remains, Remains::none())
    }
}

impl Local {
    /// The last one first: it may not have begun, and is not to begin in the place of one that is stopped
    /// before it.
    fn carry_out_stops(&mut self) {
        while let Some((node, attempt, how)) = self.stops.pop() {
            self.carry_out_stop(node, attempt, how);
        }
    }

    fn carry_out_stop(&mut self, node: NodeId, attempt: u32, how: Stop) {
        let executor = self.job.graph.task(self.job.graph.task_of(node)).executor;
        let pool = &mut self.pools[executor.index()];
        if pool.children.stop(node, attempt, how) {
            return;
        }
        pool.submit();
        match &pool.calls {
            Calls::Thread(threads) => threads.stop((node, attempt), how),
            Calls::Process(processes) => processes.stop((node, attempt), how),
        }
    }

    /// Waits for mail, no longer than `until`, nor than the machine is left without a look.
    fn hear(&mut self, until: Option<Time>) -> Option<Notice> {
        let is_new = self.inbox.is_read();
        // While there is something to hear, calls may go on gathering.
        let notice = self.inbox.try_next().or_else(|| {
            self.pools.iter_mut().for_each(Pool::submit);
            let until = [until, self.admission.look_at()].into_iter().flatten().min();
            self.inbox.next(until.and_then(|until| self.clock.instant(until)))
        });
        if is_new {
            self.now = self.clock.now();
        }
        notice
    }
}

impl Pool {
    fn new(
        id: ExecutorId,
        settings: &Settings,
        names: &Names,
        notices: &Sender<Notice>,
        inherit: Arc<[OwnedFd]>,
    ) -> Self {
        let of_graph = settings.job.graph.executor(id);
        let setup = settings.job.setup(id);
        let initializer = setup.initializer.as_ref().map(|(function, args)| Call {
            function: Arc::clone(function),
            args: Args::List(args.clone().into()),
            dir: settings.job.origin.included_dir(setup.place).cloned(),
        });
        let workers = Arc::new(Workers::new(of_graph.max_workers));
        let children = ChildAttempts::new(
            settings.clock,
            settings.files.clone(),
            Arc::clone(&workers),
            notices.apart(),
            inherit,
            Arc::clone(&settings.headroom),
        );
        let executor = Executor {
            id,
            name: of_graph.name.as_str().into(),
            max_workers: of_graph.max_workers,
            initializer,
            functions: settings.functions.clone(),
            workers: Arc::clone(&workers),
            names: Arc::clone(names),
            dir: settings.job.origin.dir.as_path().into(),
            clock: settings.clock,
            notices: notices.clone(),
            headroom: Arc::clone(&settings.headroom),
        };
        let calls = match of_graph.kind {
            ExecutorKind::Thread => Calls::Thread(ThreadPool::new(executor)),
            ExecutorKind::Process => {
                let rules = Rules {
                    program: settings.worker.clone(),
                    run_id: settings.run_id.clone(),
                    max_tasks: setup.max_tasks_per_child,
                    files: settings.files.clone(),
                    oom: OnceLock::new(),
                };
                Calls::Process(ProcessPool::new(executor, rules))
            }
        };
        Self { workers, children, calls, gathered: Vec::with_capacity(BATCH) }
    }

    /// Ends what is idle: a child may need its place.
    fn make_room(&self) {
        // Threads that were started stay; there are never so many that nothing else can be.
        if let Calls::Process(processes) = &self.calls {
            processes.make_room();
        }
    }

    fn submit(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        match &mut self.calls {
            Calls::Thread(threads) => threads.submit(&mut self.gathered),
            Calls::Process(processes) => processes.submit(&mut self.gathered),
        }
    }
}
