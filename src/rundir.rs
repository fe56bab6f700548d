//! The files of a run: where they lie, when they are made, when old ones go.
