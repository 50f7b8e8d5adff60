//! The ranges that the choices of a view are drawn from.

/// How the crop of a view is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CropPolicy {
    /// torchvision's `RandomResizedCrop`: area fraction uniform in `scale`, log aspect ratio uniform in `ratio`.
    RandomResized {
        /// Share of the image's area, low and high.
        scale: (f64, f64),
        /// Width over height, low and high.
        ratio: (f64, f64),
    },
    /// `RandomCrop` of the output size after reflecting `pad` pixels at each border.
    RandomPadded {
        /// Border in source pixels; less than either side of the image.
        pad: u32,
    },
    /// The centred crop of `int(fraction * width)` by `int(fraction * height)`.
    Centre {
        /// Share of each side, in (0, 1].
        fraction: f64,
    },
    /// The whole image.
    Whole,
}

/// torchvision's `ColorJitter`, applied with a probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JitterPolicy {
    /// Probability that a view is jittered at all.
    pub probability: f64,
    /// Range of the brightness factor.
    pub brightness: (f64, f64),
    /// Range of the contrast factor.
    pub contrast: (f64, f64),
    /// Range of the saturation factor.
    pub saturation: (f64, f64),
    /// Range of the hue shift, in turns.
    pub hue: (f64, f64),
}

impl JitterPolicy {
    /// `ColorJitter(b, c, s, h)`: factors in `max(0, 1 - x)..1 + x`, hue in `-h..h`.
    pub fn new(probability: f64, brightness: f64, contrast: f64, saturation: f64, hue: f64) -> Self {
        let around_one = |x: f64| ((1.0 - x).max(0.0), 1.0 + x);
        Self {
            probability,
            brightness: around_one(brightness),
            contrast: around_one(contrast),
            saturation: around_one(saturation),
            hue: (-hue, hue),
        }
    }

    /// SimCLR's colour distortion of strength `s`: `ColorJitter(0.8 s, 0.8 s, 0.8 s, 0.2 s)` with probability 0.8.
    pub fn simclr(s: f64) -> Self {
        Self::new(0.8, 0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s)
    }
}

/// Gaussian blur, applied with a probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlurPolicy {
    /// Probability that a view is blurred.
    pub probability: f64,
    /// Range of the standard deviation, in output pixels.
    pub sigma: (f64, f64),
}

/// Everything that is random about one view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewPolicy {
    /// Which part of the image.
    pub crop: CropPolicy,
    /// Probability of a left-right mirror.
    pub mirror: f64,
    /// Colour jitter.
    pub jitter: Option<JitterPolicy>,
    /// Probability of a gray view.
    pub gray: f64,
    /// Gaussian blur.
    pub blur: Option<BlurPolicy>,
}

impl ViewPolicy {
    /// Crops, and leaves everything else.
    pub const fn crop_only(crop: CropPolicy) -> Self {
        Self { crop, mirror: 0.0, jitter: None, gray: 0.0, blur: None }
    }
}
