//! What flows between tasks while they run: items from an expression, futures that follow others, and
//! conditions. Knows nothing of what tasks do.

use crate::compile::context::Context;
use crate::compile::names::{Names, title};
use crate::compile::templates::{Scope, expression};
use crate::diagnostic::Diagnostic;
use crate::id::TaskId;
use crate::job::Items;
use crate::manifest::{Condition, Spanned, Task};
use crate::template::Template;
use crate::value::Value;

/// The items of a `map` that is an expression, and what yields them if only a run knows them. `None`,
/// after a fault, if there can be none.
pub(super) fn items(
    context: &mut Context<'_>,
    text: &Spanned<String>,
    scope: Scope<'_>,
) -> Option<(Items, Option<Template>)> {
    let scope = Scope { item: false, parent: false, matrix: None, yields_items: true, ..scope };
    let template = expression(context, "map", text, scope, "list")?;
    Some(match template.constant() {
        Some(Value::List(items)) => (Items::List(items.clone()), None),
        _ => (Items::Open(std::sync::OnceLock::new()), Some(template)),
    })
}

/// What yields whether a future runs; `None` if it always does.
pub(super) fn condition(
    context: &mut Context<'_>,
    condition: &Spanned<Condition>,
    scope: Scope<'_>,
) -> Option<Template> {
    let template = match &condition.value {
        Condition::Constant(value) => Template::fixed(*value),
        Condition::Template(text) => {
            let text = Spanned { value: text.clone(), span: condition.span, key: condition.key };
            expression(context, "if", &text, scope, "boolean")?
        }
    };
    (template.constant() != Some(&Value::Bool(true))).then_some(template)
}

/// The task that a task follows future by future.
pub(super) fn each(
    context: &mut Context<'_>,
    names: &Names<'_>,
    id: TaskId,
    task: &Task,
) -> Option<TaskId> {
    let each = task.each.as_ref()?;
    let Some(followed) = names.get(each) else {
        names.report_unknown(context, each, each.range());
        return None;
    };
    if followed == id {
        let fault = Diagnostic::error("cycle", format!("{} follows itself", title(task)))
            .at(each.range())
            .hint("name the task whose futures it is to follow");
        context.fault(fault);
        return None;
    }
    Some(followed)
}
