//! Sets of ranks that know their least member at once: bitmaps under a 64-ary summary. Knows nothing of
//! what the ranks stand for.

/// A set of numbers below a bound. Allocates once, when it is made.
#[derive(Debug)]
pub struct RankSet {
    /// All levels, the members first. A bit of a level says whether a word of the level below holds
    /// anything; the last level is one word.
    words: Vec<u64>,
    /// Where each level starts.
    levels: Vec<u32>,
}

impl RankSet {
    /// An empty set for the numbers below `bound`.
    pub fn new(bound: usize) -> Self {
        let mut levels = Vec::new();
        let mut start = 0;
        let mut width = bound;
        loop {
            width = width.div_ceil(64).max(1);
            levels.push(start as u32);
            start += width;
            if width == 1 {
                break;
            }
        }
        Self { words: vec![0; start], levels }
    }

    /// Puts `rank` in.
    pub fn insert(&mut self, rank: u32) {
        let mut at = rank;
        for &level in &self.levels {
            let word = &mut self.words[(level + at / 64) as usize];
            let was_empty = *word == 0;
            *word |= 1 << (at % 64);
            if !was_empty {
                break;
            }
            at /= 64;
        }
    }

    /// Takes `rank` out; says whether it was in.
    pub fn remove(&mut self, rank: u32) -> bool {
        let word = self.words[rank as usize / 64];
        if word & (1 << (rank % 64)) == 0 {
            return false;
        }
        let mut at = rank;
        for &level in &self.levels {
            let word = &mut self.words[(level + at / 64) as usize];
            *word &= !(1 << (at % 64));
            if *word != 0 {
                break;
            }
            at /= 64;
        }
        true
    }

    /// The least member.
    pub fn first(&self) -> Option<u32> {
        let mut at = 0;
        for &level in self.levels.iter().rev() {
            let word = self.words[(level + at) as usize];
            if word == 0 {
                return None;
            }
            at = at * 64 + word.trailing_zeros();
        }
        Some(at)
    }
}

/// The same with members that may be in it several times.
#[derive(Debug)]
pub struct RankBag {
    ranks: RankSet,
    counts: Vec<u32>,
}

impl RankBag {
    /// An empty bag for the numbers below `bound`.
    pub fn new(bound: usize) -> Self {
        Self { ranks: RankSet::new(bound), counts: vec![0; bound] }
    }

    /// Puts `rank` in once more.
    pub fn insert(&mut self, rank: u32) {
        let count = &mut self.counts[rank as usize];
        *count += 1;
        if *count == 1 {
            self.ranks.insert(rank);
        }
    }

    /// Takes `rank`, which is in, out once.
    pub fn remove(&mut self, rank: u32) {
        let count = &mut self.counts[rank as usize];
        *count -= 1;
        if *count == 0 {
            self.ranks.remove(rank);
        }
    }

    /// The least member.
    pub fn first(&self) -> Option<u32> {
        self.ranks.first()
    }
}

#[cfg(test)]
mod tests {
    use super::RankSet;
    use std::collections::BTreeSet;

    #[test]
    fn it_agrees_with_a_tree_at_every_depth() {
        for bound in [1_usize, 64, 65, 4096, 4097, 300_000] {
            let mut set = RankSet::new(bound);
            let mut tree = BTreeSet::new();
            let mut draw = 1_u64;
            for _ in 0..2000 {
                draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                let rank = ((draw >> 20) % bound as u64) as u32;
                if draw >> 63 == 0 {
                    set.insert(rank);
                    tree.insert(rank);
                } else {
                    assert_eq!(set.remove(rank), tree.remove(&rank));
                }
                assert_eq!(set.first(), tree.first().copied());
            }
        }
    }
}
