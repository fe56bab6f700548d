//! Promises about callbacks, webhooks, and hostile values.

mod callbacks;
mod hooks;
mod values;
