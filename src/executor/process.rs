//! Calls in long-lived worker processes.
