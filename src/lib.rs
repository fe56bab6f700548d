//! jobrun: a declarative job runner.

pub mod bind;
pub mod callback;
pub mod cli;
pub mod compile;
pub mod diagnostic;
pub mod event;
pub mod executor;
pub mod exit;
pub mod functions;
pub mod graph;
pub mod guard;
pub mod id;
pub mod job;
pub mod ledger;
pub mod manifest;
pub mod outcome;
pub mod report;
pub mod run;
pub mod rundir;
pub mod schedule;
pub mod supervise;
pub mod template;
pub mod time;
pub mod value;
pub mod work;
