//! Runs the program on a manifest and tells what came of it.
