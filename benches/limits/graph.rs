//! A large graph to run, the same every time: each node is after none to four of those before it,
//! two on average. Shared by the bare loops and by the bench that gives it to jobrun.

/// The nodes that each node is after.
pub fn generate(nodes: u32) -> Vec<Vec<u32>> {
    let mut draw = Draw(42);
    (0..nodes)
        .map(|node| {
            let mut after = Vec::new();
            for _ in 0..draw.next() % 5 {
                if node > 0 {
                    let earlier = (draw.next() % u64::from(node)) as u32;
                    if !after.contains(&earlier) {
                        after.push(earlier);
                    }
                }
            }
            after
        })
        .collect()
}

/// `SplitMix64`.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
