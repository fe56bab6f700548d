//! The environment of all children, and what `env` stands for in templates. Knows nothing of tasks.

use crate::compile::actions;
use crate::compile::context::Context;
use crate::compile::templates::Scope;
use crate::template::{Names, Template, Variables};
use crate::value::Value;

/// Compiles the job's own `env`, whose templates see what children inherit, and puts it on top of that.
/// Gives what children inherit.
pub(super) fn compile(context: &mut Context<'_>) -> Value {
    let inherited = context.options.environment.to_value();
    context.environment = inherited.clone();
    let Some(env) = &context.manifest.env else { return inherited };
    let own = actions::environment(context, env, Scope::default());
    let names = Names {
        vars: &context.vars,
        env: Variables { values: &inherited, complete: context.options.environment.is_of_run() },
        job: &context.job,
        ..Names::default()
    };
    let known = own.iter().map(|(name, template)| (name.clone(), settled_text(template, &names)));
    let mut entries: Vec<_> = known.collect();
    if let Value::Map(below) = &inherited {
        let above = |name: &String| own.iter().any(|(other, _)| other == name);
        entries.extend(below.iter().filter(|(name, _)| !above(name)).cloned());
    }
    context.environment = Value::Map(entries);
    context.env = own;
    inherited
}

/// The text of a variable; null if only a run knows it.
fn settled_text(template: &Template, names: &Names<'_>) -> Value {
    let text = template.settled(names).and_then(|scope| template.text(&scope).ok());
    text.map_or(Value::Null, Value::Str)
}
