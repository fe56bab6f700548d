//! Promises about what tasks write.
