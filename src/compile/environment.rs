//! The environment of children: what they inherit, files of variables, and `env`, of the manifest and of
//! each file that it includes; and what `env` stands for in templates. Knows nothing of what single
//! tasks add.

use std::path::Path;

use crate::compile::actions;
use crate::compile::compose;
use crate::compile::context::Context;
use crate::compile::env_file;
use crate::compile::templates::Scope;
use crate::job::Environment;
use crate::manifest::Manifest;
use crate::template::{Names, Template, Variables};
use crate::value::Value;

/// For each file, what its children are given: what the manifest says first, then what an included file
/// says for its own.
pub(super) fn compile(context: &mut Context<'_>) -> Vec<Environment> {
    let whole = context.whole;
    let inherited = context.options.environment.to_value();
    let root_dir = compose::dir(&whole.manifest, context.options);
    let root =
        environment(context, &whole.manifest, &root_dir, &Environment::default(), &inherited);
    let mut environments = vec![root];
    for part in &whole.included {
        let own = environment(context, &part.manifest, &part.dir, &environments[0], &inherited);
        environments.push(own);
    }
    environments
}

/// What a file says on top of `below`. Its templates see what is inherited and what files say.
fn environment(
    context: &mut Context<'_>,
    manifest: &Manifest,
    dir: &Path,
    below: &Environment,
    inherited: &Value,
) -> Environment {
    let mut own = below.clone();
    own.files.extend(env_file::variables(context, manifest, dir));
    let mut known = inherited.clone();
    for (name, value) in &own.files {
        known.set(name, value.as_str().into());
    }
    // Its own templates look for their file's entry, the one that is being made.
    context.environments.push(known);
    if let Some(env) = &manifest.env {
        own.env.extend(actions::environment(context, env, Scope::default()));
    }
    if own.env.is_empty() {
        return own;
    }
    let known = context.environments.pop().unwrap_or_default();
    let names = Names {
        vars: &context.vars,
        env: Variables { values: &known, complete: context.options.environment.is_of_run() },
        job: &context.job,
        ..Names::default()
    };
    let mut all = known.clone();
    for (name, value) in &own.env {
        all.set(name, settled_text(value, &names));
    }
    context.environments.push(all);
    own
}

/// The text of a variable; null if only a run knows it.
fn settled_text(template: &Template, names: &Names<'_>) -> Value {
    let text = template.settled(names).and_then(|scope| template.text(&scope).ok());
    text.map_or(Value::Null, Value::Str)
}
