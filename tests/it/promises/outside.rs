//! Promises about callbacks, webhooks, and hostile values.

mod hooks;
