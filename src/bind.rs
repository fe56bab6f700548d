//! Turns a node's specification into `Work`, just before it starts. Knows nothing of executors.
