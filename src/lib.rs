//! jobrun: a declarative job runner.

pub mod event;
pub mod executor;
pub mod exit;
pub mod graph;
pub mod id;
pub mod job;
pub mod ledger;
pub mod outcome;
pub mod report;
pub mod template;
pub mod time;
pub mod value;
pub mod work;
