//! Made-up pictures and random numbers for tests.
#![allow(dead_code, unreachable_pub, reason = "shared by test files, each of which uses its part")]

use metacl::image::{Pixels, PixelsRef, Planes, Size};
use metacl::rng::{Purpose, Stream};

/// Numbers that a test's seed fixes.
pub struct Dice {
    stream: Stream,
    thrown: u32,
}

impl Dice {
    /// Dice of one test.
    pub fn new(seed: u64) -> Self {
        Self { stream: Stream::new(seed, Purpose::Synthetic), thrown: 0 }
    }

    /// Uniform in `low..=high`.
    pub fn int(&mut self, low: i64, high: i64) -> i64 {
        self.thrown += 1;
        low + self.stream.draw([self.thrown, 0, 0, 0]).integer((high - low + 1) as u64) as i64
    }

    /// Uniform in `low..high`.
    pub fn real(&mut self, low: f64, high: f64) -> f64 {
        self.thrown += 1;
        self.stream.draw([self.thrown, 0, 0, 0]).between(low, high)
    }

    /// One of `choices`.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.int(0, choices.len() as i64 - 1) as usize]
    }

    /// A side of `1..=most` pixels; small ones are as frequent as large ones.
    pub fn side(&mut self, most: u32) -> u32 {
        self.real(0.0, f64::from(most).ln_1p()).exp_m1().ceil().clamp(1.0, most.into()) as u32
    }
}

/// Kinds of pictures.
#[derive(Clone, Copy, Debug)]
pub enum Picture {
    /// Every byte at random.
    Noise,
    /// Smooth ramps, another in each channel.
    Gradient,
    /// Pixels of 0 and 255 in turn: the largest overshoot of a cubic.
    Checkerboard,
}

/// All kinds.
pub const PICTURES: [Picture; 3] = [Picture::Noise, Picture::Gradient, Picture::Checkerboard];

/// A picture of `size`.
pub fn picture(kind: Picture, size: Size, dice: &mut Dice) -> Pixels {
    let mut data = Vec::with_capacity(3 * size.area() as usize);
    for y in 0..size.height {
        for x in 0..size.width {
            let ramp = |at: u32, full: u32| (255 * at / full.max(2).saturating_sub(1)) as u8;
            data.extend_from_slice(&match kind {
                Picture::Noise => [0; 3].map(|_: u8| dice.int(0, 255) as u8),
                Picture::Gradient => [ramp(x, size.width), ramp(y, size.height), 255 - ramp(x, size.width)],
                Picture::Checkerboard => [if (x + y) % 2 == 0 { 255 } else { 0 }; 3],
            });
        }
    }
    Pixels::new(data, size).expect("three bytes a pixel")
}

/// A smooth picture with some texture, as photos have.
pub fn photo_like(size: Size) -> Pixels {
    let mut dice = Dice::new(9);
    let smooth = picture(Picture::Gradient, size, &mut dice);
    let mut data = smooth.into_data();
    for pixel in data.chunks_exact_mut(3) {
        let texture = dice.int(0, 20) as u8;
        pixel.iter_mut().for_each(|value| *value = value.saturating_add(texture));
    }
    Pixels::new(data, size).expect("as many bytes as before")
}

/// `pixels` as decoders give them.
pub fn planes(pixels: PixelsRef<'_>) -> Planes {
    let mut planes = Planes::default();
    planes.copy_from(pixels);
    planes
}

/// Mean distance of two images of equal length, in levels.
pub fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}
