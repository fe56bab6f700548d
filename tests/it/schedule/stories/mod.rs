//! What a user may rely on, one rule a story. A line of a story is the second at which something was
//! decided and what it was. All of them run under the checker's eyes as well.

mod edges;
mod ends;
mod growth;
mod limits;
mod permits;
mod retries;
mod waits;
