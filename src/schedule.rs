//! The pure state machine that decides what starts, what stops and how things end. No clock, no thread, no I/O.
