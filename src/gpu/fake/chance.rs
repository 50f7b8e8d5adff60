//! What a device without a clock leaves to chance: how far behind the host it runs, and whose turn it is.

/// Choices by a seed. Both kinds of them keep their mood for a while, as devices do: a host that is always one
/// operation ahead, or streams that always take turns, would never show a wait that is missing two steps apart.
pub(super) struct Chance {
    random: SplitMix,
    /// Operations that run after each call.
    pace: usize,
    /// A stream that runs only where no other can.
    slow: Option<u64>,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: SplitMix(seed), pace: 0, slow: None }
    }

    /// How many operations run now.
    pub(super) fn count(&mut self) -> usize {
        if self.random.below(16) == 0 {
            self.pace = [0, 0, 1, 4][self.random.below(4)];
        }
        self.pace
    }

    /// One of `ready`, if there is any.
    pub(super) fn pick(&mut self, ready: &[u64]) -> Option<u64> {
        if self.random.below(16) == 0 {
            self.slow = self.one_of(ready);
        }
        let others: Vec<u64> = ready.iter().copied().filter(|&stream| Some(stream) != self.slow).collect();
        self.one_of(if others.is_empty() { ready } else { &others })
    }

    fn one_of(&mut self, streams: &[u64]) -> Option<u64> {
        let place = self.random.below(streams.len().max(1));
        streams.get(place).copied()
    }
}

/// SplitMix64: a few lines are enough to choose with.
struct SplitMix(u64);

impl SplitMix {
    /// A number below `bound`, which is small and not 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % bound as u64) as usize
    }
}
