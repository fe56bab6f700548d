//! Promises about jobrun's own reading and writing.
