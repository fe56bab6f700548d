//! Calls and commands: checked, and with their templates read. Knows nothing of tasks and when they
//! run; callbacks have actions too.

use std::ops::Range;
use std::sync::Arc;

use crate::compile::context::Context;
use crate::compile::templates::{Scope, os_template, refuse_nul, value_template};
use crate::diagnostic::Diagnostic;
use crate::functions::Function;
use crate::job::{Action, ArgsSpec, ProgramSpec};
use crate::manifest::{Entries, Items, Program, Scalar, Spanned};
use crate::template::{self, Template};
use crate::value::Value;

/// The shell of a script that names none.
const SHELL: [&str; 3] = ["sh", "-eu", "-c"];

/// What a call says of its arguments.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a> {
    /// By position.
    pub args: Option<&'a Spanned<Items<Value>>>,
    /// By name.
    pub with: Option<&'a Spanned<Entries<Value>>>,
    /// How many the function is given if neither is said.
    pub usual: usize,
    /// Whether they are there and could not be read.
    pub broken: bool,
}

impl Arguments<'_> {
    /// Says that there are both, if there are.
    pub fn refuse_both(&self, context: &mut Context<'_>) {
        if let (Some(args), Some(with)) = (self.args, self.with) {
            let fault = Diagnostic::error("both-arguments", "this call has both `args` and `with`")
                .at(with.entry())
                .hint("keep one of them: `args` by position, `with` by name")
                .note(args.entry(), "the other one");
            context.fault(fault);
        }
    }
}

/// The call of a function.
pub(super) fn call(
    context: &mut Context<'_>,
    function: &Spanned<String>,
    arguments: Arguments<'_>,
    scope: Scope<'_>,
) -> Option<Action> {
    let (count, place) = match (arguments.args, arguments.with) {
        (Some(args), _) => (Some(args.len()), args.range()),
        (None, Some(_)) => (None, None),
        (None, None) => (Some(arguments.usual), function.range()),
    };
    check_call(context, function, count.filter(|_| !arguments.broken), place);
    let args = match (arguments.args, arguments.with) {
        (Some(args), _) => {
            let args: Vec<_> = args.iter().map(|arg| value_template(context, arg, scope)).collect();
            ArgsSpec::List(args.into_iter().collect::<Option<_>>()?)
        }
        (None, Some(with)) => {
            let named: Vec<_> = with
                .iter()
                .map(|(name, value)| {
                    Some((name.to_owned(), value_template(context, value, scope)?))
                })
                .collect();
            ArgsSpec::Named(named.into_iter().collect::<Option<_>>()?)
        }
        (None, None) => ArgsSpec::Item,
    };
    Some(Action::Call { function: function.as_str().into(), args })
}

/// Checks that a function exists and takes so many arguments; `None` if that is not known.
pub(super) fn check_call(
    context: &mut Context<'_>,
    function: &Spanned<String>,
    count: Option<usize>,
    place: Option<Range<usize>>,
) {
    let functions = context.functions;
    let Some(arity) = functions.get(function).map(Function::arity) else {
        let message = format!("there is no function `{}`", function.value);
        let hint = context.guess(function, functions.names());
        context.fault(
            Diagnostic::error("unknown-function", message).at(function.range()).hint_if(hint),
        );
        return;
    };
    if let Some(count) = count.filter(|count| !arity.allows(*count)) {
        let message = format!("`{}` takes {arity}, not {count}", function.value);
        let hint = match count {
            0 => "give them with args = [ … ]; a task with `map` passes its item",
            _ => "give as many as it takes, with args = [ … ]",
        };
        context.fault(Diagnostic::error("wrong-arguments", message).at(place).hint(hint));
    }
}

/// A program with arguments, or a script with its shell.
pub(super) fn program(
    context: &mut Context<'_>,
    program: &Spanned<Program>,
    shell: Option<&Spanned<Items<String>>>,
    scope: Scope<'_>,
) -> Option<ProgramSpec> {
    match &program.value {
        Program::Argv(words) => {
            if words.first().is_none_or(|word| word.is_empty()) {
                let place = words.first().map_or(program.range(), Spanned::range);
                let fault = Diagnostic::error("wrong-value", "`run` names no program")
                    .at(place)
                    .hint("the first element of the list is the program, such as \"echo\"");
                context.fault(fault);
                return None;
            }
            let words: Vec<_> =
                words.iter().map(|word| os_template(context, word, scope)).collect();
            words.into_iter().collect::<Option<_>>().map(ProgramSpec::Argv)
        }
        Program::Script(script) => {
            let script = Spanned { value: script.clone(), span: program.span, key: program.key };
            let clean = !refuse_nul(context, &script, script.range());
            if !clean || has_expression(context, &script, scope) {
                return None;
            }
            let shell = shell.map_or_else(
                || SHELL.map(str::to_owned).to_vec(),
                |words| words.value.iter().map(|word| word.value.clone()).collect(),
            );
            Some(ProgramSpec::Script { shell, script: script.value })
        }
    }
}

/// Refuses a script with a template: a value put into it could become code.
fn has_expression(context: &mut Context<'_>, script: &Spanned<String>, scope: Scope<'_>) -> bool {
    let Some(range) = template::find(script) else { return false };
    let expression = script.get(range.clone()).unwrap_or_default();
    let fault = Diagnostic::error(
        "template-in-script",
        "a template cannot be used in a script, where its value could become code",
    )
    .at(context.inside(script, Some(&range)))
    .hint(if scope.future {
        format!(
            "pass the value as an argument: run = [\"sh\", \"-c\", 'echo \"$1\"', \"sh\", \
             \"{expression}\"]; the whole future is on standard input, as JSON"
        )
    } else {
        format!(
            "pass the value through the environment: env = {{ VALUE = \"{expression}\" }}, and \
             write \"$VALUE\" in the script"
        )
    });
    context.fault(fault);
    true
}

/// Environment variables.
pub(super) fn environment(
    context: &mut Context<'_>,
    variables: &Entries<Scalar>,
    scope: Scope<'_>,
) -> Vec<(String, Template)> {
    let mut env = Vec::with_capacity(variables.iter().len());
    for (name, value) in variables.iter() {
        if !is_name_of_variable(name) {
            context.fault(bad_name_of_variable(name, value.key_range()));
            continue;
        }
        let template = match &value.value.0 {
            Value::Str(text) => os_template(context, &Spanned::at(text.clone(), value.span), scope),
            other => Some(Template::fixed(other.clone())),
        };
        env.extend(template.map(|template| (name.to_owned(), template)));
    }
    env
}

/// Whether an environment variable can have this name.
pub(super) fn is_name_of_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// Says that it cannot.
pub(super) fn bad_name_of_variable(name: &str, place: Option<Range<usize>>) -> Diagnostic {
    let message = format!("`{}` cannot be the name of a variable", name.escape_debug());
    Diagnostic::error("bad-name", message)
        .at(place)
        .hint("names of variables are not empty and have neither `=` nor NUL")
}

/// The exit code that is a success where nothing else is said; one for all commands.
pub(super) fn usual_exit() -> Arc<[i32]> {
    Arc::new([0])
}
