//! Promises about the whole, under a virtual clock and across threads.
