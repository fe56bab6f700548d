//! Turns closures over Rust types into functions over values.

use std::fmt::Display;

use serde::Serialize;
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};

use crate::functions::{Arity, Context};
use crate::value::{Value, ValueError};
use crate::work::Values;

/// A closure that can be [registered](crate::functions::Functions::register).
///
/// `M` tells the shapes of closures apart and is always inferred.
pub trait Callable<M>: Send + Sync + 'static {
    /// How many arguments it takes.
    fn arity() -> Arity;

    /// Reads the arguments, as many as the arity allows, calls the closure, and makes its result a
    /// value.
    ///
    /// # Errors
    /// A line that says which argument does not fit, or what the closure's own error is.
    fn invoke(&self, context: &Context, args: Values) -> Result<Value, String>;
}

macro_rules! callable {
    ($($arg:ident),+) => {
        impl<Func, $($arg,)* R, E> Callable<fn($($arg),*) -> Result<R, E>> for Func
        where
            Func: Fn($($arg),*) -> Result<R, E> + Send + Sync + 'static,
            $($arg: DeserializeOwned,)*
            R: Serialize,
            E: Display,
        {
            fn arity() -> Arity {
                arity(&[$(is_optional::<$arg>()),*])
            }

            fn invoke(&self, _: &Context, args: Values) -> Result<Value, String> {
                let mut args = Reader::new(args);
                finish(self($(args.next::<$arg>()?),*))
            }
        }

        impl<Func, $($arg,)* R, E> Callable<(Context, fn($($arg),*) -> Result<R, E>)> for Func
        where
            Func: Fn(&Context, $($arg),*) -> Result<R, E> + Send + Sync + 'static,
            $($arg: DeserializeOwned,)*
            R: Serialize,
            E: Display,
        {
            fn arity() -> Arity {
                arity(&[$(is_optional::<$arg>()),*])
            }

            fn invoke(&self, context: &Context, args: Values) -> Result<Value, String> {
                let mut args = Reader::new(args);
                finish(self(context, $(args.next::<$arg>()?),*))
            }
        }
    };
}

impl<Func, R, E> Callable<fn() -> Result<R, E>> for Func
where
    Func: Fn() -> Result<R, E> + Send + Sync + 'static,
    R: Serialize,
    E: Display,
{
    fn arity() -> Arity {
        arity(&[])
    }

    fn invoke(&self, _: &Context, _: Values) -> Result<Value, String> {
        finish(self())
    }
}

impl<Func, R, E> Callable<(Context, fn() -> Result<R, E>)> for Func
where
    Func: Fn(&Context) -> Result<R, E> + Send + Sync + 'static,
    R: Serialize,
    E: Display,
{
    fn arity() -> Arity {
        arity(&[])
    }

    fn invoke(&self, context: &Context, _: Values) -> Result<Value, String> {
        finish(self(context))
    }
}

callable!(A);
callable!(A, B);
callable!(A, B, C);
callable!(A, B, C, D);
callable!(A, B, C, D, F);
callable!(A, B, C, D, F, G);

/// The arguments that are still to be read.
struct Reader {
    args: smallvec::IntoIter<[Value; 1]>,
    number: usize,
}

impl Reader {
    fn new(args: Values) -> Self {
        Self { args: args.into_iter(), number: 0 }
    }

    /// The next argument; one that was left out reads as null.
    fn next<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        self.number += 1;
        let value = self.args.next().unwrap_or_default();
        value.into_typed().map_err(|error| format!("argument {}: {error}", self.number))
    }
}

fn finish<R: Serialize, E: Display>(result: Result<R, E>) -> Result<Value, String> {
    match result {
        Ok(result) => Value::of(&result).map_err(|error| format!("its result: {error}")),
        Err(error) => Err(error.to_string()),
    }
}

fn arity(optional: &[bool]) -> Arity {
    let left_out = optional.iter().rev().take_while(|optional| **optional).count();
    Arity { min: optional.len() - left_out, max: optional.len() }
}

/// Whether a type reads from nothing, as serde has it for the fields of a struct: `Option` does.
fn is_optional<T: DeserializeOwned>() -> bool {
    T::deserialize(Missing).is_ok()
}

struct Missing;

impl<'de> Deserializer<'de> for Missing {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ValueError> {
        Err(ValueError::custom("missing"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_none()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
