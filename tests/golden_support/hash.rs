//! The numbers that goldens are filled with: SplitMix64 from the FNV-1a hash of a name.

/// `count` numbers in `[0, 1)`, chosen by `name`.
pub fn unit(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325, fnv);
    (1..=count as u64).map(move |j| {
        let mut s = seed.wrapping_add(j.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        s = (s ^ s >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        s = (s ^ s >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        s ^= s >> 31;
        (s >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    })
}

/// `count` numbers in `[-1, 1)`, chosen by `name`.
pub fn sym(name: &str, count: usize) -> impl Iterator<Item = f64> {
    unit(name, count).map(|u| 2.0 * u - 1.0)
}
