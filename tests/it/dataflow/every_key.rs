//! One job with every key that there is means the same on both executors.
