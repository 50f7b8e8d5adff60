//! From levels to the values of a batch.

/// Type of a value on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueKind {
    /// The level itself, 0..=255.
    U8,
    /// IEEE binary32.
    #[default]
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
}

impl ValueKind {
    /// Bytes of a value.
    pub const fn bytes(self) -> u32 {
        match self {
            ValueKind::U8 => 1,
            ValueKind::F32 => 4,
            ValueKind::F16 | ValueKind::Bf16 => 2,
        }
    }

    /// The bits of every level's value, the same for R, G and B: `[channel][level]`. A level is divided by 255 in f32 (torchvision's
    /// `ToTensor`), then rounded to the kind, to the nearest and ties to even.
    pub fn table(self) -> Vec<u32> {
        let channel = (0..=255u8).map(|level| self.bits(level));
        (0..3).flat_map(|_| channel.clone()).collect()
    }

    fn bits(self, level: u8) -> u32 {
        let unit = f32::from(level) / 255.0;
        match self {
            ValueKind::U8 => level.into(),
            ValueKind::F32 => unit.to_bits(),
            ValueKind::F16 => half(unit),
            ValueKind::Bf16 => (unit.to_bits() + 0x7fff + (unit.to_bits() >> 16 & 1)) >> 16,
        }
    }
}

/// The bits of a value in 0..=1 as binary16. Above 0, levels are at least 1 / 255: normal numbers.
fn half(unit: f32) -> u32 {
    if unit == 0.0 {
        return 0;
    }
    let bits = unit.to_bits();
    (bits - (112 << 23) + 0xfff + (bits >> 13 & 1)) >> 13
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_known_values() {
        let at = |kind: ValueKind, level: usize| kind.table()[256 + level];
        assert_eq!((at(ValueKind::U8, 0), at(ValueKind::U8, 255)), (0, 255));
        assert_eq!((at(ValueKind::F32, 0), at(ValueKind::F32, 255)), (0, 0x3f80_0000));
        assert_eq!(f32::from_bits(at(ValueKind::F32, 51)), 51.0 / 255.0);
        // 1 / 255 = 0.003921569 = 1.00390625 * 2^-8: the last bit of its fraction of ten rounds down.
        assert_eq!((at(ValueKind::F16, 1), at(ValueKind::F16, 255)), (0x1c04, 0x3c00));
        assert_eq!((at(ValueKind::Bf16, 0), at(ValueKind::Bf16, 1), at(ValueKind::Bf16, 255)), (0, 0x3b81, 0x3f80));
        assert_eq!(ValueKind::F16.table().len(), 768);
    }
}
