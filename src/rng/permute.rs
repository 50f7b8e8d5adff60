//! A keyed bijection of `0..n`: a shuffled epoch without a table.
//!
//! A Feistel network over the smallest even number of bits that holds `n`, with Philox as its round function; values that
//! fall outside `0..n` are walked on until they fall inside (cycle walking, Black and Rogaway, "Ciphers with arbitrary
//! finite domains", CT-RSA 2002). Less than four steps on average, no memory.

use super::philox::philox4x32;

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

    fn round_trip(&self, value: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for round in 0..ROUNDS {
            let [a, b, ..] = philox4x32([right as u32, (right >> 32) as u32, round, self.tweak], self.key);
            let mixed = (u64::from(a) << 32 | u64::from(b)) & mask;
            (left, right) = (right, left ^ mixed);
        }
        left << self.half_bits | right
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
