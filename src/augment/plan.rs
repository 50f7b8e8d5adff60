//! One drawn view as plain data.

use std::fmt;

/// A crop in full-size source pixels: columns `x..x + width`, rows `y..y + height`.
///
/// Inside the image grown by the plan's `pad` on each side, so `x` and `y` may be negative.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bytemuck::NoUninit)]
pub struct CropBox {
    /// First column.
    pub x: i16,
    /// First row.
    pub y: i16,
    /// Columns, at least 1.
    pub width: i16,
    /// Rows, at least 1.
    pub height: i16,
}

/// A colour operation; the number is its id in plans and goldens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ColourOp {
    /// Blend with black.
    Brightness = 0,
    /// Blend with the mean grey of the view.
    Contrast = 1,
    /// Blend with the grey view.
    Saturation = 2,
    /// Turn the hue.
    Hue = 3,
}

impl ColourOp {
    /// All operations, by id.
    pub const ALL: [ColourOp; 4] = [ColourOp::Brightness, ColourOp::Contrast, ColourOp::Saturation, ColourOp::Hue];
}

const MIRROR: u32 = 1;
const TURNS_SHIFT: u32 = 1;
const GRAY: u32 = 1 << 3;
const MASK_SHIFT: u32 = 4;
const ORDER_SHIFT: u32 = 8;

/// One drawn view: everything an executor needs besides the source's pixels and the batch's [`ViewSpec`](super::ViewSpec).
///
/// 48 bytes, `repr(C)`, no pointers; the same bytes go to every executor and into goldens. `flags`: bit 0 mirror, bits 1-2
/// quarter turns, bit 3 gray, bits 4-7 which colour operations act (by id), bits 8-15 their order (four times two bits).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::NoUninit)]
pub struct ViewPlan {
    /// Row of the batch's table of sources.
    pub source: u32,
    /// What is cut out, in full-size source pixels.
    pub crop: CropBox,
    /// See the type; read with the methods.
    pub flags: u32,
    /// Factor, 1 leaves.
    pub brightness: f32,
    /// Factor, 1 leaves.
    pub contrast: f32,
    /// Factor, 1 leaves.
    pub saturation: f32,
    /// Turns, -0.5..=0.5, 0 leaves.
    pub hue: f32,
    /// Output pixels, 0 is no blur.
    pub blur_sigma: f32,
    /// Reflected border in source pixels.
    pub pad: u32,
    /// Zero; room for further operations in the same layout.
    pub reserved: [u32; 2],
}

const _: () = assert!(size_of::<ViewPlan>() == 48);

impl ViewPlan {
    /// Crops `crop` out of `source` and resizes it; nothing else.
    pub const fn plain(source: u32, crop: CropBox) -> Self {
        Self {
            source,
            crop,
            flags: 0,
            brightness: 1.0,
            contrast: 1.0,
            saturation: 1.0,
            hue: 0.0,
            blur_sigma: 0.0,
            pad: 0,
            reserved: [0; 2],
        }
    }

    /// Mirrors left to right.
    pub fn with_mirror(mut self, mirror: bool) -> Self {
        self.flags = self.flags & !MIRROR | (u32::from(mirror) * MIRROR);
        self
    }

    /// Turns the finished view counter-clockwise by `turns` quarter turns (mod 4).
    pub fn with_quarter_turns(mut self, turns: u32) -> Self {
        self.flags = self.flags & !(3 << TURNS_SHIFT) | (turns & 3) << TURNS_SHIFT;
        self
    }

    /// Makes the view gray after the colour operations.
    pub fn with_gray(mut self, gray: bool) -> Self {
        self.flags = self.flags & !GRAY | (u32::from(gray) * GRAY);
        self
    }

    /// Applies the operations of `ops` in this order; each at most once.
    ///
    /// The factors are the plan's own fields.
    pub fn with_colour_ops(self, ops: &[ColourOp]) -> Self {
        self.with_colour_flags(Self::colour_flags(ops))
    }

    /// The flags that say `ops`.
    pub(super) fn colour_flags(ops: &[ColourOp]) -> u32 {
        let mut mask = 0;
        let mut order = 0;
        for (place, &op) in ops.iter().enumerate() {
            assert!(mask & (1 << op as u32) == 0, "{op:?} twice in one view");
            mask |= 1 << op as u32;
            order |= (op as u32) << (2 * place);
        }
        // The idle operations fill the remaining places, so that the order is always a permutation.
        let idle = ColourOp::ALL.into_iter().filter(|op| mask & (1 << *op as u32) == 0);
        for (place, op) in (ops.len()..).zip(idle) {
            order |= (op as u32) << (2 * place);
        }
        mask << MASK_SHIFT | order << ORDER_SHIFT
    }

    /// Applies the operations that [`colour_flags`](Self::colour_flags) were made of.
    pub(super) fn with_colour_flags(mut self, flags: u32) -> Self {
        self.flags = self.flags & !(0xfff << MASK_SHIFT) | flags;
        self
    }

    /// Whether the view is mirrored.
    pub const fn mirror(&self) -> bool {
        self.flags & MIRROR != 0
    }

    /// Counter-clockwise quarter turns, 0..=3.
    pub const fn quarter_turns(&self) -> u32 {
        self.flags >> TURNS_SHIFT & 3
    }

    /// Whether the view ends gray.
    pub const fn gray(&self) -> bool {
        self.flags & GRAY != 0
    }

    /// The acting colour operations, in order.
    pub fn colour_ops(&self) -> impl Iterator<Item = ColourOp> + use<> {
        let flags = self.flags;
        (0..4)
            .map(move |place| ColourOp::ALL[(flags >> (ORDER_SHIFT + 2 * place) & 3) as usize])
            .filter(move |op| flags >> (MASK_SHIFT + *op as u32) & 1 != 0)
    }

    /// The factor of `op`, as the field of its name.
    pub const fn factor(&self, op: ColourOp) -> f32 {
        match op {
            ColourOp::Brightness => self.brightness,
            ColourOp::Contrast => self.contrast,
            ColourOp::Saturation => self.saturation,
            ColourOp::Hue => self.hue,
        }
    }

    /// The 48 bytes, little endian, in field order.
    pub fn to_bytes(&self) -> [u8; 48] {
        let crop = self.crop;
        let mut out = [0; 48];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&self.source.to_le_bytes());
        for side in [crop.x, crop.y, crop.width, crop.height] {
            put(&side.to_le_bytes());
        }
        put(&self.flags.to_le_bytes());
        for value in [self.brightness, self.contrast, self.saturation, self.hue, self.blur_sigma] {
            put(&value.to_le_bytes());
        }
        put(&self.pad.to_le_bytes());
        for word in self.reserved {
            put(&word.to_le_bytes());
        }
        out
    }
}

impl fmt::Display for ViewPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CropBox { x, y, width, height } = self.crop;
        write!(f, "source {} crop {width}x{height}{x:+}{y:+}", self.source)?;
        if self.pad > 0 {
            write!(f, " pad {}", self.pad)?;
        }
        if self.mirror() {
            write!(f, " mirror")?;
        }
        for op in self.colour_ops() {
            write!(f, " {}", format!("{op:?} {:.3}", self.factor(op)).to_lowercase())?;
        }
        if self.gray() {
            write!(f, " gray")?;
        }
        if self.blur_sigma > 0.0 {
            write!(f, " blur {:.3}", self.blur_sigma)?;
        }
        if self.quarter_turns() > 0 {
            write!(f, " turn {}", 90 * self.quarter_turns())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_read_back() {
        let crop = CropBox { x: -2, y: 0, width: 5, height: 7 };
        let plan = ViewPlan::plain(3, crop)
            .with_mirror(true)
            .with_quarter_turns(3)
            .with_gray(true)
            .with_colour_ops(&[ColourOp::Hue, ColourOp::Brightness]);
        assert!(plan.mirror() && plan.gray());
        assert_eq!(plan.quarter_turns(), 3);
        assert_eq!(plan.colour_ops().collect::<Vec<_>>(), [ColourOp::Hue, ColourOp::Brightness]);
        assert_eq!(plan.with_colour_ops(&[]).colour_ops().count(), 0);
        assert_eq!(plan.to_string(), "source 3 crop 5x7-2+0 mirror hue 0.000 brightness 1.000 gray turn 270");
    }
}
