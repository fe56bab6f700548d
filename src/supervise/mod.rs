//! Child processes: spawn, read, time, stop, reap. Knows nothing of nodes or graphs.
