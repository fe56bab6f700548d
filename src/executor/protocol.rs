//! The frames that the runner and a worker process exchange.
