//! Promises about the process tree: guard, runner, and whatever children become.
