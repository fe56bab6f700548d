//! `Manifest` → `Job`, or every fault at once. Does no I/O.
