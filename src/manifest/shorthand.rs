//! Tables that can be written as a single value, and how. Knows the tables, and nothing of what they
//! are for.

use toml::de::DeValue;

use crate::manifest::place::Spanned;
use crate::manifest::read::text;
use crate::manifest::reader::{Node, Read, Reader};
use crate::manifest::table;
use crate::manifest::tables::{Post, Retry, Wait};

impl Read for Box<Wait> {
    const WHAT: &'static str = "a table";
    const HINT: Option<&'static str> =
        Some("write { return_when = …, timeout = …, on_return = … }");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::Table(table) => Some(Self::new(table::read(table, reader))),
            _ => reader.wrong_type(node),
        }
    }
}

/// A number alone is the `count`.
impl Read for Box<Retry> {
    const WHAT: &'static str = "a whole number or a table";
    const HINT: Option<&'static str> =
        Some("write how many more attempts, or { count = …, delay = …, … }");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::Table(table) => Some(Self::new(table::read(table, reader))),
            DeValue::Integer(_) => {
                let count = Spanned::at(u32::read(node, reader)?, node.span());
                Some(Self::new(Retry { count: Some(Box::new(count)), ..Retry::default() }))
            }
            _ => reader.wrong_type(node),
        }
    }
}

/// A string alone is the `url`.
impl Read for Box<Post> {
    const WHAT: &'static str = "a URL or a table";
    const HINT: Option<&'static str> =
        Some("write \"https://…\" or { url = …, headers = …, body = … }");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::Table(table) => Some(Self::new(table::read(table, reader))),
            DeValue::String(_) => {
                let url = Spanned::at(text(node)?, node.span());
                Some(Self::new(Post { url: Some(Box::new(url)), headers: None, ..Post::default() }))
            }
            _ => reader.wrong_type(node),
        }
    }
}
