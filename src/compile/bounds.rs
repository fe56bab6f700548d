//! What the commands of a task are held to. Knows nothing of how that is done.

use std::sync::Arc;

use crate::compile::context::Context;
use crate::diagnostic::Diagnostic;
use crate::manifest::{self, Limit, Nice, Spanned};
use crate::work::Limits;

/// What `limits` and `nice` say together; `None` if that is nothing.
pub(super) fn compile(
    context: &mut Context<'_>,
    limits: Option<&Spanned<manifest::Limits>>,
    nice: Option<&Spanned<Nice>>,
) -> Option<Arc<Limits>> {
    let mut all = Limits { nice: nice.map_or(0, |nice| nice.0), ..Limits::default() };
    if let Some(limits) = limits {
        refuse_no_time(context, limits.cpu_time.as_deref());
        all.memory = limits.memory.as_ref().map(|bytes| bytes.0);
        all.cpu_time = limits.cpu_time.as_ref().and_then(|time| time.0);
        all.open_files = limits.open_files.as_ref().map(|count| count.get());
        all.processes = limits.processes.as_ref().map(|count| count.get());
        all.file_size = limits.file_size.as_ref().map(|bytes| bytes.0);
    }
    (all != Limits::default()).then(|| Arc::new(all))
}

fn refuse_no_time(context: &mut Context<'_>, time: Option<&Spanned<Limit>>) {
    let Some(time) = time.filter(|time| time.0.is_some_and(|time| time.is_zero())) else { return };
    let fault = Diagnostic::error("wrong-value", "`cpu_time` must be greater than 0")
        .at(time.range())
        .hint("give a time, such as \"10s\"; for no limit, write \"none\"");
    context.fault(fault);
}
