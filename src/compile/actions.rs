//! Calls and commands: checked, and with their templates read. Knows nothing of tasks and when they
//! run; callbacks have actions too.

use std::ops::Range;
use std::sync::Arc;

use crate::compile::context::Context;
use crate::diagnostic::Diagnostic;
use crate::functions::Function;
use crate::job::{Action, ArgsSpec, ProgramSpec};
use crate::manifest::{Entries, Items, Program, Scalar, Spanned};
use crate::template::{self, Template};
use crate::value::Value;

/// The shell of a script that names none.
const SHELL: [&str; 3] = ["sh", "-eu", "-c"];

/// The names that a template can use beside `vars`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scope {
    /// `item` and `index`.
    pub item: bool,
    /// `future`.
    pub future: bool,
}

/// A string that may be a template. `None`, after a fault, if it is none.
pub(super) fn template(
    context: &mut Context<'_>,
    text: &Spanned<String>,
    scope: Scope,
) -> Option<Template> {
    // Most strings have no expressions, and large jobs have many strings.
    // Where `vars` could not be read, its names must not be missed as well.
    if !text.contains("{{") || context.manifest.broken.contains(&"vars") {
        return Some(Template::fixed(text.as_str()));
    }
    let names = template::Names { item: scope.item, future: scope.future, vars: &context.vars };
    match Template::parse(text, &names) {
        Ok(template) => Some(template),
        Err(error) => {
            let place = context.inside(text, error.range.as_ref());
            let fault = Diagnostic::error("template", error.message.as_str())
                .at(place)
                .hint_if(scope.hint(&error.message));
            context.fault(fault);
            None
        }
    }
}

impl Scope {
    /// What to do about a fault of a template, unless the message says it.
    fn hint(self, message: &str) -> Option<&'static str> {
        if message.contains("did you mean") {
            return None;
        }
        Some(match self {
            Self { future: true, .. } => {
                "templates of callbacks know `future` and `vars`, as in {{ future.name }}"
            }
            Self { item: true, .. } => {
                "templates of this task know `item`, `index` and `vars`, as in {{ item }}"
            }
            _ if message.contains("`item`") || message.contains("`index`") => {
                "give the task a `map`, or take the value from `vars`"
            }
            _ => "templates of this task know `vars`, as in {{ vars.NAME }}",
        })
    }
}

/// A template whose text goes to the operating system, which ends text at a NUL.
pub(super) fn os_template(
    context: &mut Context<'_>,
    text: &Spanned<String>,
    scope: Scope,
) -> Option<Template> {
    if refuse_nul(context, text, text.range()) { None } else { template(context, text, scope) }
}

/// Says that text has a NUL, if it has one.
fn refuse_nul(context: &mut Context<'_>, text: &str, place: Option<Range<usize>>) -> bool {
    if !text.contains('\0') {
        return false;
    }
    let fault = Diagnostic::error("nul", "this text has a NUL character, which no program can get")
        .at(place)
        .hint("take the `\\u0000` out; `stdin` can carry any bytes");
    context.fault(fault);
    true
}

/// A value in which any string may be a template.
fn value_template(
    context: &mut Context<'_>,
    value: &Spanned<Value>,
    scope: Scope,
) -> Option<Template> {
    deep(context, &value.value, value, scope)
}

/// `place` is the whole value that `value` is a part of.
fn deep(
    context: &mut Context<'_>,
    value: &Value,
    place: &Spanned<Value>,
    scope: Scope,
) -> Option<Template> {
    Some(match value {
        Value::Str(text) => template(context, &Spanned::at(text.clone(), place.span), scope)?,
        Value::List(items) => {
            let items: Vec<_> =
                items.iter().map(|item| deep(context, item, place, scope)).collect();
            Template::list(items.into_iter().collect::<Option<_>>()?)
        }
        Value::Map(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(name, value)| Some((name.clone(), deep(context, value, place, scope)?)))
                .collect();
            Template::map(entries.into_iter().collect::<Option<_>>()?)
        }
        plain => Template::fixed(plain.clone()),
    })
}

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
    scope: Scope,
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
    scope: Scope,
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
fn has_expression(context: &mut Context<'_>, script: &Spanned<String>, scope: Scope) -> bool {
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
    scope: Scope,
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
