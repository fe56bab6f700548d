//! The process that outlives a killed runner, and the runner's side of it. Knows nothing of jobs.
