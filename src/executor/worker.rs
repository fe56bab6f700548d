//! The other end of the process executor: what a worker process does.
