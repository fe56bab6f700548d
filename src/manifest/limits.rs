//! What a task holds its commands to, as it is written. Knows nothing of how that is done.

use std::borrow::Cow;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::manifest::place::Given;
use crate::manifest::reader::{Node, Read, Reader};
use crate::manifest::table::{Custom, table};
use crate::manifest::values::{Bytes, Limit};

table! {
    /// What a command, and all that it starts, may use.
    pub struct Limits is "`limits`" {
        /// So much memory. With more it is killed, or is given no more.
        pub memory: Given<Bytes> = "512MiB",
        /// So much time of processors, rounded up to seconds; after that it is sent SIGXCPU.
        pub cpu_time: Given<Limit> = "10s",
        /// So many files may be open in each process.
        pub open_files: Given<NonZeroU32> = 64,
        /// So many processes and threads may run at once.
        pub processes: Given<NonZeroU32> = 32,
        /// No file may get larger; who writes more is sent SIGXFSZ.
        pub file_size: Given<Bytes> = "1GiB",
    }
}

impl Custom for Limits {
    const DIALECT: &'static [(&'static str, &'static str)] = &[
        ("mem", "memory"),
        ("max_memory", "memory"),
        ("memory_max", "memory"),
        ("ram", "memory"),
        ("cpu", "cpu_time"),
        ("cpu_seconds", "cpu_time"),
        ("nofile", "open_files"),
        ("files", "open_files"),
        ("nproc", "processes"),
        ("pids", "processes"),
        ("tasks", "processes"),
        ("threads", "processes"),
        ("fsize", "file_size"),
    ];
}

/// What is added to a niceness, -20 to 19.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nice(pub i32);

impl Read for Nice {
    const WHAT: &'static str = "a niceness";
    const HINT: Option<&'static str> = Some("write a whole number from -20 to 19");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let number = i64::read(node, reader)?;
        let nice = i32::try_from(number).ok().filter(|number| (-20..20).contains(number));
        nice.map(Self).or_else(|| {
            let message = format!("{} must be from -20 to 19", reader.key_text());
            let hint = "the larger the number, the more others go first".to_owned();
            reader.wrong_value(node.span(), message, Some(hint))
        })
    }
}

impl JsonSchema for Nice {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Nice".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": -20, "maximum": 19 })
    }
}
