//! Initial values, a pure function of (seed, tensor name, element index): no generator state, the same on every device.
//!
//! What the published code really starts from is torchvision's initialisation (its own initialiser runs before the encoder is attached and
//! so touches nothing); its intention, that of SimCLR's TensorFlow code, is the option [`InitStyle::Tf`].

use std::f64::consts::TAU;

use crate::rng::Stream;

/// Standard deviation of a normal variable cut to -2..2.
const TRUNCATED_STD: f64 = 0.879_625_66;

/// Which initialisation the random tensors get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitStyle {
    /// torchvision's: convolutions normal with variance 2 / (out * kh * kw); replaced convolutions and linear layers uniform within
    /// 1 / sqrt(fan_in).
    #[default]
    Torch,
    /// TensorFlow's: convolutions truncated normal with variance 1 / (in * kh * kw); linear weights normal with std 0.01, biases zero.
    Tf,
}

/// How one tensor starts under [`InitStyle::Torch`]; its shape says the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Law {
    /// Every element the same, in both styles.
    Constant(f64),
    /// torchvision's ResNet convolution (He et al., ICCV 2015, fan-out).
    FanOut,
    /// PyTorch's default for convolutions and linear layers, bias included: uniform within `1 / sqrt(fan_in)`.
    FanIn(i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Distribution {
    Constant(f64),
    /// Uniform within plus and minus this bound.
    Uniform(f64),
    /// Normal of this standard deviation.
    Normal(f64),
    /// Normal cut to two standard deviations, then scaled to this standard deviation.
    Truncated(f64),
}

impl Law {
    fn distribution(self, style: InitStyle, shape: &[i64]) -> Distribution {
        let elements = |axes: &[i64]| axes.iter().product::<i64>() as f64;
        match (self, style) {
            (Law::Constant(value), _) => Distribution::Constant(value),
            (Law::FanOut, InitStyle::Torch) => Distribution::Normal((2.0 * shape[1] as f64 / elements(shape)).sqrt()),
            (Law::FanIn(fan_in), InitStyle::Torch) => Distribution::Uniform((fan_in as f64).recip().sqrt()),
            (_, InitStyle::Tf) => match shape.len() {
                4 => Distribution::Truncated(elements(&shape[1..]).recip().sqrt()),
                2 => Distribution::Normal(0.01),
                _ => Distribution::Constant(0.0),
            },
        }
    }

    /// The elements in row-major order, drawn in f64 and rounded.
    pub(super) fn draw(self, style: InitStyle, shape: &[i64], stream: Stream, name: &str) -> Vec<f32> {
        let count = shape.iter().product::<i64>() as u32;
        let asker = Asker { stream, name: fnv1a(name.as_bytes()) };
        let distribution = self.distribution(style, shape);
        (0..count).map(|index| asker.value(distribution, index) as f32).collect()
    }
}

#[derive(Clone, Copy)]
struct Asker {
    stream: Stream,
    name: u64,
}

impl Asker {
    fn value(self, distribution: Distribution, index: u32) -> f64 {
        match distribution {
            Distribution::Constant(value) => value,
            Distribution::Uniform(bound) => self.stream.draw(self.counter(index, 0)).between(-bound, bound),
            Distribution::Normal(std) => std * self.normal(index, 0),
            Distribution::Truncated(std) => {
                let mut tries = (0..).map(|attempt| self.normal(index, attempt));
                let inside = tries.find(|value| value.abs() <= 2.0);
                std / TRUNCATED_STD
                    * inside.expect("one in 22 normals lies outside: four billion tries hold one inside")
            }
        }
    }

    /// Box and Muller's transform of one draw's two uniforms; the first is turned to (0, 1] for the logarithm.
    fn normal(self, index: u32, attempt: u32) -> f64 {
        let draw = self.stream.draw(self.counter(index, attempt));
        (-2.0 * (1.0 - draw.unit()).ln()).sqrt() * (TAU * draw.second()).cos()
    }

    fn counter(self, index: u32, attempt: u32) -> [u32; 4] {
        [index, attempt, self.name as u32, (self.name >> 32) as u32]
    }
}

/// FNV-1a, 64 bits: short names to well-spread counters.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    fn draw(law: Law, style: InitStyle, shape: &[i64]) -> Vec<f64> {
        let values = law.draw(style, shape, Stream::new(5, Purpose::Init), "convnet.conv1.weight");
        values.into_iter().map(f64::from).collect()
    }

    fn std(values: &[f64]) -> f64 {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    /// 36,864 values: the standard error of a deviation is 0.4 %.
    #[test]
    fn deviations_are_the_published_ones() {
        let shape = [64, 64, 3, 3];
        let torch = draw(Law::FanOut, InitStyle::Torch, &shape);
        assert!((std(&torch) / (2.0f64 / 576.0).sqrt() - 1.0).abs() < 0.02);
        let tf = draw(Law::FanOut, InitStyle::Tf, &[64, 32, 3, 3]);
        let wanted = (1.0f64 / 288.0).sqrt();
        assert!((std(&tf) / wanted - 1.0).abs() < 0.02);
        assert!(tf.iter().all(|v| v.abs() <= 2.0 / TRUNCATED_STD * wanted * 1.000_001));
        let linear = draw(Law::FanIn(100), InitStyle::Tf, &[200, 100]);
        assert!((std(&linear) / 0.01 - 1.0).abs() < 0.02);
    }

    #[test]
    fn default_layers_are_uniform_within_the_fan_in() {
        let values = draw(Law::FanIn(27), InitStyle::Torch, &[64, 3, 3, 3]);
        let bound = (1.0f64 / 27.0).sqrt();
        assert!(values.iter().all(|v| v.abs() <= bound));
        assert!((std(&values) / (bound / 3f64.sqrt()) - 1.0).abs() < 0.05);
        assert!(draw(Law::FanIn(27), InitStyle::Tf, &[64]).iter().all(|&bias| bias == 0.0));
    }

    #[test]
    fn names_and_seeds_are_apart() {
        let at = |seed, name| Law::FanIn(4).draw(InitStyle::Torch, &[8], Stream::new(seed, Purpose::Init), name);
        assert_eq!(at(1, "a"), at(1, "a"));
        assert_ne!(at(1, "a"), at(1, "b"));
        assert_ne!(at(1, "a"), at(2, "a"));
    }
}
