//! Keyed streams: seed and purpose make the key, the asker makes the counter.

use super::philox::{LANES, philox4x32, philox4x32_slots};

/// What a stream is for. Append, never renumber: old runs depend on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Order of the samples of an epoch.
    Order = 0,
    /// Choices of one view.
    View = 1,
    /// Choices of one class of an episode: the same for all its views.
    Class = 2,
    /// Mixing of finished rows.
    Mix = 3,
    /// Initial weights.
    Init = 4,
    /// Splits and subsets of a dataset.
    Split = 5,
    /// Generated datasets.
    Synthetic = 6,
    /// Quarter turns of finished rows.
    Turn = 7,
    /// Labelled episodes of few-shot evaluation.
    FewShot = 8,
    /// Samples that take the place of corrupt ones.
    StandIn = 9,
}

/// A family of draws that is independent of every other seed's and purpose's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
}

impl Stream {
    /// The stream of `seed` for `purpose`.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        // One block under the seed makes the purpose's key, so that no counter of one purpose can meet another's.
        let [a, b, ..] = philox4x32([purpose as u32, 0, 0, 0], [seed as u32, (seed >> 32) as u32]);
        Self { key: [a, b] }
    }

    /// The draw at `counter`, for instance `[epoch, sample, view, slot]`.
    #[inline]
    pub fn draw(self, counter: [u32; 4]) -> Draw {
        Draw(philox4x32(counter, self.key))
    }

    /// The draws at the counters that begin with `asker` and end with each of `slots`, in the time of two or three; in less where `draws` of
    /// several askers are made one behind the other.
    #[inline]
    pub fn draw_slots(self, asker: [u32; 3], slots: &[u32; LANES], draws: &mut Draws) {
        philox4x32_slots(asker, slots, self.key, &mut draws.0);
    }

    /// The key itself, for a [`Permutation`](super::Permutation).
    pub fn key(self) -> [u32; 2] {
        self.key
    }
}

/// Several draws of one asker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draws([[u32; LANES]; 4]);

impl Draws {
    /// That of the `nth` slot.
    #[inline]
    pub fn at(&self, nth: usize) -> Draw {
        let [a, b, c, d] = &self.0;
        Draw([a[nth], b[nth], c[nth], d[nth]])
    }
}

/// 128 random bits, read as numbers. Reading twice gives the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw(pub [u32; 4]);

impl Draw {
    /// Uniform in `[0, 1)`, 53 bits, from the first half.
    #[inline]
    pub fn unit(self) -> f64 {
        unit(self.0[0], self.0[1])
    }

    /// A second uniform in `[0, 1)`, 53 bits, from the other half.
    #[inline]
    pub fn second(self) -> f64 {
        unit(self.0[2], self.0[3])
    }

    /// Uniform in `low..high` (first half).
    #[inline]
    pub fn between(self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p` (first half): never for 0, always for 1.
    #[inline]
    pub fn coin(self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform integers in `0..first` and `0..second`, one from each half, both bounds at least 1.
    ///
    /// A 64-bit word times the bound, high half: the bias is below `bound / 2^64`.
    #[inline]
    pub fn integers(self, first: u64, second: u64) -> (u64, u64) {
        (scale(self.0[0], self.0[1], first), scale(self.0[2], self.0[3], second))
    }

    /// Uniform integer in `0..bound`, `bound` at least 1 (first half).
    #[inline]
    pub fn integer(self, bound: u64) -> u64 {
        self.integers(bound, 1).0
    }
}

#[inline]
fn unit(high: u32, low: u32) -> f64 {
    let word = u64::from(high) << 32 | u64::from(low);
    (word >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

#[inline]
fn scale(high: u32, low: u32, bound: u64) -> u64 {
    let word = u64::from(high) << 32 | u64::from(low);
    ((u128::from(word) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_and_seeds_are_apart() {
        let at = |seed, purpose| Stream::new(seed, purpose).draw([1, 2, 3, 4]);
        assert_ne!(at(1, Purpose::View), at(1, Purpose::Class));
        assert_ne!(at(1, Purpose::View), at(2, Purpose::View));
        assert_ne!(at(1, Purpose::View), at(1 << 32 | 1, Purpose::View));
    }

    #[test]
    fn draws_together_are_those_alone() {
        let stream = Stream::new(3, Purpose::View);
        let slots = [0, 1, 7, 9, 1 << 20, u32::MAX, 5, 5];
        let mut draws = Draws::default();
        stream.draw_slots([4, 5, 6], &slots, &mut draws);
        for (nth, slot) in slots.into_iter().enumerate() {
            assert_eq!(draws.at(nth), stream.draw([4, 5, 6, slot]));
        }
    }

    #[test]
    fn numbers_stay_in_range_and_have_the_right_mean() {
        let stream = Stream::new(7, Purpose::View);
        let count = 100_000u32;
        let (mut sum, mut ones) = (0.0, 0u32);
        for i in 0..count {
            let draw = stream.draw([i, 0, 0, 0]);
            assert!((0.0..1.0).contains(&draw.unit()) && (0.0..1.0).contains(&draw.second()));
            assert!(draw.integer(7) < 7);
            sum += draw.unit();
            ones += u32::from(draw.coin(0.2));
        }
        assert!((sum / f64::from(count) - 0.5).abs() < 0.005);
        assert!((f64::from(ones) / f64::from(count) - 0.2).abs() < 0.006);
        assert!(!stream.draw([0; 4]).coin(0.0) && stream.draw([0; 4]).coin(1.0));
    }
}
