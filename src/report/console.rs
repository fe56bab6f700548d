//! The screen: live display, plain lines, task output, the end summary.
