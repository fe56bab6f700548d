//! The Markdown report.
