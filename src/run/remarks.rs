//! What the end of a child says beyond its outcome: that output is lost, that it left processes behind.
//! Knows nothing of who is told.

use crate::id::NodeId;
use crate::job::{Action, Job};
use crate::mask::Masker;
use crate::outcome::Captured;
use crate::shape::Name;
use crate::work::{Done, Leak};

/// Something to be told of a future.
pub(super) struct Remark {
    /// What, for people; secrets are covered.
    pub(super) warning: String,
    /// What jobrun could not do, if that is what happened.
    pub(super) error: Option<String>,
}

/// The remarks on the end of an attempt; mostly none.
pub(super) fn of(done: &Done, job: &Job, masker: &Masker) -> Vec<Remark> {
    let Some(child) = done.child.as_deref() else { return Vec::new() };
    let lost = |stream: &str, captured: &Captured| {
        let why = masker.text(&captured.lost.as_ref()?.why).into_owned();
        let name = Name::new(job, done.node, masker);
        Some(Remark {
            warning: format!("{name}: only the ends of its {stream} could be kept: {why}"),
            error: Some(format!("output of tasks is lost: {why}")),
        })
    };
    let leaked = (child.leaked && leak(done.node, job) == Leak::Warn).then(|| {
        let name = Name::new(job, done.node, masker);
        let what =
            "something that it has started still holds its output open, and is not heard any more";
        Remark { warning: format!("{name}: {what}"), error: None }
    });
    let lost = [lost("stdout", &child.stdout), lost("stderr", &child.stderr), leaked];
    lost.into_iter().flatten().collect()
}

/// What becomes of the processes that a future leaves.
fn leak(node: NodeId, job: &Job) -> Leak {
    match &job.spec(job.graph.task_of(node)).action {
        Action::Run(command) => command.leak,
        Action::Call { .. } => Leak::default(),
    }
}
