//! Whether a failed attempt is followed by another, and after how long. Knows nothing of workers or
//! waits.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::graph::{OnWorkerDeath, Retry};
use crate::id::NodeId;
use crate::outcome::FailureKind;

/// How often a future is run again because its worker died, beside its own retries.
const MOST_DEATHS: u32 = 3;

/// What is known of the futures that were tried more than once.
#[derive(Debug)]
pub struct Tries {
    seed: u64,
    past: BTreeMap<NodeId, Past>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Past {
    retries: u32,
    deaths: u32,
}

impl Tries {
    /// Nothing was tried yet. Jitter is drawn from `seed`, the node and its attempt.
    pub fn new(seed: u64) -> Self {
        Self { seed, past: BTreeMap::new() }
    }

    /// The number of the attempt that is under way or next, from 1.
    pub fn attempt(&self, node: NodeId) -> u32 {
        self.past.get(&node).map_or(1, |past| past.retries + past.deaths + 1)
    }

    /// An attempt failed: counts one more and gives the pause before it, if there is to be one.
    pub fn again(
        &mut self,
        node: NodeId,
        retry: &Retry,
        on_worker_death: OnWorkerDeath,
        kind: FailureKind,
        exit_code: Option<i32>,
    ) -> Option<Duration> {
        let mut past = self.past.get(&node).copied().unwrap_or_default();
        let died = kind == FailureKind::WorkerDeath && on_worker_death == OnWorkerDeath::Retry;
        let pause = if died && past.deaths < MOST_DEATHS {
            past.deaths += 1;
            Duration::ZERO
        } else if past.retries < retry.count && covers(retry, kind, exit_code) {
            let draw = mix(self.seed ^ mix(u64::from(node.0) << 32 | u64::from(past.retries)));
            past.retries += 1;
            pause(retry, past.retries - 1, draw)
        } else {
            return None;
        };
        self.past.insert(node, past);
        Some(pause)
    }

    /// A future is done.
    pub fn forget(&mut self, node: NodeId) {
        self.past.remove(&node);
    }
}

fn covers(retry: &Retry, kind: FailureKind, exit_code: Option<i32>) -> bool {
    let kind_fits = retry.on.as_ref().is_none_or(|kinds| kinds.contains(&kind));
    let code_fits = match (&retry.on_exit, exit_code) {
        (Some(codes), Some(code)) if kind == FailureKind::Exit => codes.contains(&code),
        (Some(_), None) => kind != FailureKind::Exit,
        _ => true,
    };
    kind_fits && code_fits
}

/// The pause before the retry that comes after `earlier` others.
fn pause(retry: &Retry, earlier: u32, draw: u64) -> Duration {
    if retry.delay.is_zero() {
        return Duration::ZERO;
    }
    let seconds = retry.delay.as_secs_f64() * retry.backoff.powf(f64::from(earlier));
    let grown = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let whole = retry.max_delay.map_or(grown, |most| grown.min(most));
    if !retry.jitter {
        return whole;
    }
    let share = (draw >> 11) as f64 / (1_u64 << 53) as f64;
    (whole / 2).saturating_add((whole / 2).mul_f64(share))
}

/// The finalizer of `SplitMix64`: spreads every bit over all.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
