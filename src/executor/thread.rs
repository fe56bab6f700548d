//! Calls on threads of this process.
