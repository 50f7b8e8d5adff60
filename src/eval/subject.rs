//! An encoder under judgement, with what its inputs must go through first.

use tch::{Device, Kind, Tensor};

use crate::nn::{Encoder, Mode};

/// Mean and standard deviation of each channel, taken off on the device: for encoders that were trained on normalised images.
#[derive(Debug)]
pub struct Normalise {
    /// `[1, 3, 1, 1]`.
    mean: Tensor,
    /// `[1, 3, 1, 1]`.
    std: Tensor,
}

impl Normalise {
    /// From values in 0..=1 of the red, green and blue channel; `std` above 0.
    pub fn new(mean: [f64; 3], std: [f64; 3], device: Device) -> Self {
        let channels =
            |values: [f64; 3]| Tensor::from_slice(&values).to_kind(Kind::Float).to_device(device).view([1, 3, 1, 1]);
        Self { mean: channels(mean), std: channels(std) }
    }

    fn apply(&self, images: &Tensor) -> Tensor {
        (images - &self.mean) / &self.std
    }
}

/// An encoder and its normalisation.
#[derive(Debug)]
pub struct Subject {
    /// The network.
    pub encoder: Encoder,
    /// None for encoders trained here, which take 0..=1.
    pub normalise: Option<Normalise>,
}

impl Subject {
    /// Images `[rows, 3, size, size]` in 0..=1 to features `[rows, d]`.
    pub fn features(&self, images: &Tensor, mode: Mode) -> Tensor {
        match &self.normalise {
            Some(normalise) => self.encoder.features(&normalise.apply(images), mode),
            None => self.encoder.features(images, mode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_has_its_own_mean_and_deviation() {
        let normalise = Normalise::new([0.0, 0.5, 1.0], [1.0, 0.5, 0.25], Device::Cpu);
        let images = Tensor::full([2, 3, 2, 2], 0.75, (Kind::Float, Device::Cpu));
        let out = normalise.apply(&images);
        let of = |channel: i64| out.double_value(&[1, channel, 1, 0]);
        assert_eq!([of(0), of(1), of(2)], [0.75, 0.5, -1.0]);
    }
}
