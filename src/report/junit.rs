//! The JUnit report.
