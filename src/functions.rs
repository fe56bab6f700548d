//! The registry of callable functions. Knows nothing of who calls them.
