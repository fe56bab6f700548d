//! The registry of callable functions, and the border at which a call's errors and panics become
//! data. Knows neither what calls them nor where.

mod builtin;
mod context;
mod http;
mod typed;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub use context::{Context, Token};
pub use typed::Callable;

use smallvec::smallvec;

use crate::outcome::{Failure, FailureKind};
use crate::value::Value;
use crate::work::{Args, Values};

/// The functions that tasks may `call`, by name. Copies are cheap and share what they hold.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    table: Arc<BTreeMap<Arc<str>, Function>>,
}

impl Functions {
    /// No functions at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The functions every job has: `sum_to`, `sum`, `echo`, `sleep`, `fail`, `hash` and `http`.
    pub fn builtin() -> Self {
        let mut functions = Self::empty();
        builtin::register(&mut functions);
        functions
    }

    /// Adds a function of up to six arguments, in place of one of the same name.
    ///
    /// It is a closure `Fn(A, B, …) -> Result<R, E>`, or one whose first parameter is a
    /// [`&Context`](Context), which is not counted among the arguments. The arguments are read from
    /// values, so each must be `DeserializeOwned`; the result must be `Serialize`, the error
    /// `Display`. Trailing arguments that are `Option`s may be left out.
    pub fn register<M, F: Callable<M>>(&mut self, name: &str, f: F) -> &mut Self {
        self.insert(name, &[], f)
    }

    /// As [`register`](Self::register), and gives the arguments names: a task may then write
    /// `with = { n = 10 }` for what would be `args = [10]`.
    ///
    /// Without names, `with` gives a function of one argument its whole table as that argument.
    /// Names beyond the number of arguments mean nothing.
    pub fn register_named<M, F: Callable<M>>(
        &mut self,
        name: &str,
        parameters: &[&str],
        f: F,
    ) -> &mut Self {
        self.insert(name, parameters, f)
    }

    /// The function of that name.
    pub fn get(&self, name: &str) -> Option<&Function> {
        self.table.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.table.keys().map(AsRef::as_ref)
    }

    fn insert<M, F: Callable<M>>(&mut self, name: &str, parameters: &[&str], f: F) -> &mut Self {
        let name: Arc<str> = name.into();
        let arity = F::arity();
        let function = Function {
            name: Arc::clone(&name),
            arity,
            parameters: parameters.iter().take(arity.max).map(|&name| name.into()).collect(),
            body: Arc::new(move |context, args| f.invoke(context, args)),
        };
        Arc::make_mut(&mut self.table).insert(name, function);
        self
    }
}

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity {
    /// At least so many.
    pub min: usize,
    /// At most so many.
    pub max: usize,
}

impl Arity {
    /// Whether a call may give so many.
    pub const fn allows(self, count: usize) -> bool {
        self.min <= count && count <= self.max
    }
}

/// As it goes after "takes": `no arguments`, `1 argument`, `1 to 3 arguments`.
impl fmt::Display for Arity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (_, 0) => f.write_str("no arguments"),
            (1, 1) => f.write_str("1 argument"),
            (min, max) if min == max => write!(f, "{max} arguments"),
            (min, max) => write!(f, "{min} to {max} arguments"),
        }
    }
}

type Body = dyn Fn(&Context, Values) -> Result<Value, String> + Send + Sync;

/// A registered function. Copies are cheap.
#[derive(Clone)]
pub struct Function {
    name: Arc<str>,
    arity: Arity,
    parameters: Arc<[Arc<str>]>,
    body: Arc<Body>,
}

impl Function {
    /// The name it is registered under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many arguments it takes.
    pub fn arity(&self) -> Arity {
        self.arity
    }

    /// The names of its arguments; none if they have no names.
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = &str> {
        self.parameters.iter().map(AsRef::as_ref)
    }

    /// Calls it. A panic inside stops here.
    ///
    /// # Errors
    /// Of kind [`FailureKind::Call`] if the arguments do not fit, the function returns an error, or
    /// its result cannot be written down; of kind [`FailureKind::Panic`] if it panics.
    pub fn call(&self, context: &Context, args: Args) -> Result<Value, Failure> {
        let call = || {
            let args = self.place(args)?;
            (self.body)(context, args)
        };
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(message)) => {
                Err(Failure::new(FailureKind::Call, format!("{}: {message}", self.name)))
            }
            Err(payload) => Err(Failure::new(
                FailureKind::Panic,
                format!("{}: panicked: {}", self.name, panic_message(payload)),
            )),
        }
    }

    /// The arguments in the order of the parameters.
    fn place(&self, args: Args) -> Result<Values, String> {
        let placed = match args {
            Args::List(values) => values,
            Args::Named(entries) if !self.parameters.is_empty() => self.by_name(entries)?,
            Args::Named(entries) if entries.is_empty() && self.arity.min == 0 => Values::new(),
            Args::Named(entries) if self.arity.allows(1) => smallvec![Value::Map(entries)],
            Args::Named(_) => {
                return Err(format!("takes {}, which have no names: use `args`", self.arity));
            }
        };
        if self.arity.allows(placed.len()) {
            Ok(placed)
        } else {
            let found = placed.len();
            let found = if found == 0 { "none".to_owned() } else { found.to_string() };
            Err(format!("takes {}, found {found}", self.arity))
        }
    }

    fn by_name(&self, entries: Vec<(String, Value)>) -> Result<Values, String> {
        let mut places = vec![None; self.parameters.len()];
        for (name, value) in entries {
            match self.parameters.iter().position(|parameter| **parameter == *name) {
                Some(place) => places[place] = Some(value),
                None => return Err(self.unknown_argument(&name)),
            }
        }
        // An argument that is left out before one that is given is null, if it may be left out.
        while places.last().is_some_and(Option::is_none) {
            places.pop();
        }
        if let Some(place) =
            (0..self.arity.min).find(|&place| !matches!(places.get(place), Some(Some(_))))
        {
            return Err(match self.parameters.get(place) {
                Some(name) => format!("argument `{name}` is missing"),
                None => format!("argument {} is missing and has no name", place + 1),
            });
        }
        Ok(places.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn unknown_argument(&self, name: &str) -> String {
        let known: Vec<_> = self.parameters().map(|name| format!("`{name}`")).collect();
        format!("has no argument `{name}`; it takes {}", known.join(", "))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .field("arity", &self.arity)
            .finish_non_exhaustive()
    }
}

/// What a panic says. Where it happened is known only to the panic hook, which is the program's own
/// and writes it to standard error.
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| {
        // A value of the program's own, which may panic once more when it is dropped.
        mem::forget(payload);
        "no message".to_owned()
    })
}
