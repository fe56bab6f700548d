//! Promises about limits that tasks ask for, and programs that cannot be run.
