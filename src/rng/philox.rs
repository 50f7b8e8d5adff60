//! Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Four pseudo-random words, a pure function of `counter` and `key`.
#[inline]
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let a = u64::from(MULTIPLIER[0]) * u64::from(counter[0]);
        let b = u64::from(MULTIPLIER[1]) * u64::from(counter[2]);
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
    }
    counter
}

/// Counters that are worked on side by side.
pub const LANES: usize = 8;

/// The half of a lane that holds its word.
const LOW: u64 = u32::MAX as u64;

/// A word of each lane, in the low half; vector units multiply such halves.
type Words = [u64; LANES];

/// [`philox4x32`] of the counters that begin with `asker` and end with each of `slots`, under one key, to `drawn[word][lane]`.
#[inline]
pub fn philox4x32_slots(asker: [u32; 3], slots: &[u32; LANES], key: [u32; 2], drawn: &mut [[u32; LANES]; 4]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has AVX2.
        return unsafe { slots_avx2(asker, slots, key, drawn) };
    }
    slots_any(asker, slots, key, drawn);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn slots_avx2(asker: [u32; 3], slots: &[u32; LANES], key: [u32; 2], drawn: &mut [[u32; LANES]; 4]) {
    slots_any(asker, slots, key, drawn);
}

#[inline(always)]
fn slots_any([a, b, c]: [u32; 3], slots: &[u32; LANES], key: [u32; 2], drawn: &mut [[u32; LANES]; 4]) {
    *drawn = philox4x32_lanes(&[[a; LANES], [b; LANES], [c; LANES], *slots], key);
}

/// [`philox4x32`] of counters whose words lie side by side, under one key: `counters[word][lane]`, and so the result. Becomes part of the caller, which
/// says for which registers it is compiled.
#[inline(always)]
pub(super) fn philox4x32_lanes(counters: &[[u32; LANES]; 4], mut key: [u32; 2]) -> [[u32; LANES]; 4] {
    // Loops throughout: `map` of arrays becomes calls that pass them through memory.
    let mut counter: [Words; 4] = [[0; LANES]; 4];
    for (word, given) in counter.iter_mut().zip(counters) {
        for lane in 0..LANES {
            word[lane] = given[lane].into();
        }
    }
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let [mut a, mut b] = [[0; LANES]; 2];
        for lane in 0..LANES {
            a[lane] = u64::from(MULTIPLIER[0]) * (counter[0][lane] & LOW);
            b[lane] = u64::from(MULTIPLIER[1]) * (counter[2][lane] & LOW);
        }
        for lane in 0..LANES {
            // High halves of the second and the last word are left over; nothing reads them.
            counter[0][lane] = b[lane] >> 32 ^ counter[1][lane] ^ u64::from(key[0]);
            counter[2][lane] = a[lane] >> 32 ^ counter[3][lane] ^ u64::from(key[1]);
        }
        (counter[1], counter[3]) = (b, a);
    }
    let mut drawn = [[0; LANES]; 4];
    for (word, found) in drawn.iter_mut().zip(&counter) {
        for lane in 0..LANES {
            word[lane] = found[lane] as u32;
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of Random123's `kat_vectors`.
    #[test]
    fn equals_published_vectors() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(philox4x32(pi, [0xa409_3822, 0x299f_31d0]), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn lanes_equal_single_draws() {
        for case in 0..1000u32 {
            // Counters of all widths, themselves drawn.
            let word = |of: u32| philox4x32([case, of, 2, 0], [7, 8])[0] >> (of % 32);
            let counters: [[u32; LANES]; 4] =
                std::array::from_fn(|at| std::array::from_fn(|lane| word((at * LANES + lane) as u32)));
            let (key, asker) = ([word(100), word(101)], [word(102), word(103), word(104)]);
            let (lanes, mut slots) = (philox4x32_lanes(&counters, key), [[0; LANES]; 4]);
            philox4x32_slots(asker, &counters[0], key, &mut slots);
            for lane in 0..LANES {
                assert_eq!(lanes.map(|word| word[lane]), philox4x32(counters.map(|word| word[lane]), key));
                let [a, b, c] = asker;
                assert_eq!(slots.map(|word| word[lane]), philox4x32([a, b, c, counters[0][lane]], key));
            }
        }
    }
}
