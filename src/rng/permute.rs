//! A keyed bijection of `0..n`: a shuffled epoch without a table.
//!
//! A Feistel network over the smallest even number of bits that holds `n`, with Philox as its round function; values that
//! fall outside `0..n` are walked on until they fall inside (cycle walking, Black and Rogaway, "Ciphers with arbitrary
//! finite domains", CT-RSA 2002). Less than four steps on average, no memory.

use super::philox::{LANES, philox4x32, philox4x32_lanes};

const ROUNDS: u32 = 6;

/// A bijection of `0..n`, chosen by a key and a tweak (for instance the epoch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    n: u64,
    half_bits: u32,
    key: [u32; 2],
    tweak: u32,
}

impl Permutation {
    /// The permutation of `0..n` under `key` and `tweak`.
    pub fn new(n: u64, key: [u32; 2], tweak: u32) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        Self { n, half_bits: bits.div_ceil(2).max(1), key, tweak }
    }

    /// Where position `index` (below `n`) goes: the sample that stands there.
    pub fn at(&self, index: u64) -> u64 {
        assert!(index < self.n, "position {index} of a permutation of {} elements", self.n);
        let mut value = index;
        loop {
            value = self.round_trip(value);
            if value < self.n {
                return value;
            }
        }
    }

    /// Where each of `positions` goes, several at a time.
    pub fn at_each(&self, positions: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut values: Vec<u64> = positions.into_iter().collect();
        let outside = values.iter().find(|&&position| position >= self.n);
        assert!(outside.is_none(), "position {outside:?} of a permutation of {} elements", self.n);
        let mut walking: Vec<usize> = (0..values.len()).collect();
        while !walking.is_empty() {
            for group in walking.chunks(LANES) {
                let mut lanes = [0; LANES];
                group.iter().zip(&mut lanes).for_each(|(&place, lane)| *lane = values[place]);
                let lanes = self.round_trips(lanes);
                group.iter().zip(lanes).for_each(|(&place, lane)| values[place] = lane);
            }
            walking.retain(|&place| values[place] >= self.n);
        }
        values
    }

    /// [`round_trip`](Self::round_trip) of each.
    fn round_trips(&self, values: [u64; LANES]) -> [u64; LANES] {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the CPU has AVX2.
            return unsafe { self.round_trips_avx2(values) };
        }
        self.round_trips_any(values)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn round_trips_avx2(&self, values: [u64; LANES]) -> [u64; LANES] {
        self.round_trips_any(values)
    }

    #[inline(always)]
    fn round_trips_any(&self, values: [u64; LANES]) -> [u64; LANES] {
        let (mut left, mut right, mut joined) = ([0; LANES], [0; LANES], [0; LANES]);
        for lane in 0..LANES {
            (left[lane], right[lane]) = self.halves(values[lane]);
        }
        for round in 0..ROUNDS {
            let [_, drawn, ..] = philox4x32_lanes(&[right, [0; LANES], [round; LANES], [self.tweak; LANES]], self.key);
            for lane in 0..LANES {
                (left[lane], right[lane]) = (right[lane], left[lane] ^ drawn[lane] & self.mask());
            }
        }
        for lane in 0..LANES {
            joined[lane] = self.join(left[lane], right[lane]);
        }
        joined
    }

    fn round_trip(&self, value: u64) -> u64 {
        let (mut left, mut right) = self.halves(value);
        for round in 0..ROUNDS {
            let [_, drawn, ..] = philox4x32([right, 0, round, self.tweak], self.key);
            (left, right) = (right, left ^ drawn & self.mask());
        }
        self.join(left, right)
    }

    /// Half of the bits set; halves have at most 32.
    fn mask(&self) -> u32 {
        u32::MAX >> (u32::BITS - self.half_bits)
    }

    fn halves(&self, value: u64) -> (u32, u32) {
        ((value >> self.half_bits) as u32, value as u32 & self.mask())
    }

    fn join(&self, left: u32, right: u32) -> u64 {
        u64::from(left) << self.half_bits | u64::from(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_bijection_for_every_small_size() {
        for n in 1..300u64 {
            let order = Permutation::new(n, [1, 2], 3);
            let mut seen = vec![false; n as usize];
            for i in 0..n {
                let v = order.at(i);
                assert!(!std::mem::replace(&mut seen[v as usize], true), "{v} twice in 0..{n}");
            }
        }
    }

    #[test]
    fn several_go_where_each_goes() {
        for n in [1, 2, 5, 17, 64, 65, 1000, 1 << 20, (1 << 40) + 3] {
            let order = Permutation::new(n, [3, 4], 5);
            for count in [0, 1, 7, 8, 9, 100] {
                let positions = (0..count).map(|at| at * 7919 % n);
                let alone: Vec<u64> = positions.clone().map(|position| order.at(position)).collect();
                assert_eq!(order.at_each(positions), alone);
            }
        }
    }

    #[test]
    #[should_panic(expected = "position")]
    fn positions_outside_are_refused() {
        Permutation::new(10, [1, 2], 3).at_each([9, 10]);
    }

    #[test]
    fn tweak_and_key_change_the_order() {
        let first = |key, tweak| (0..50).map(|i| Permutation::new(1000, key, tweak).at(i)).collect::<Vec<_>>();
        assert_ne!(first([1, 2], 0), first([1, 2], 1));
        assert_ne!(first([1, 2], 0), first([2, 2], 0));
    }

    #[test]
    fn large_domains_cost_no_table() {
        let order = Permutation::new(1 << 40, [9, 9], 0);
        assert!((0..1000).all(|i| order.at(i) < 1 << 40));
        assert_ne!(order.at(0), order.at(1));
    }
}
