//! tracing spans and events.
