//! The Chrome trace report.
