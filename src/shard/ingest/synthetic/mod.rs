//! A generated image classification set: textured shapes over cluttered backgrounds.
//!
//! A class is a shape with an inner texture ([`Class`]): what survives cropping, mirroring, colour jitter and gray. Everything else
//! is nuisance and drawn anew for each image: position, size, rotation, all colours and which of them is the lighter, background
//! gradient and clutter, illumination, noise. So neighbours in pixel space say little about the class.
//!
//! An image is a function of (seed, split, index) through [`Purpose::Synthetic`](crate::rng::Purpose) draws. It uses the platform's
//! `sin` and `cos`; between platforms single levels may differ.
//!
//! - [`shape`], [`texture`]: the two halves of a class. [`scene`]: the nuisances and the drawing.

pub mod scene;
pub mod shape;
pub mod texture;

use std::fmt;

use crate::rng::{Purpose, Stream};
use scene::Scene;
use shape::Shape;
use texture::Texture;

/// Most classes there are: each shape with each texture.
pub const MAX_CLASSES: u32 = (Shape::ALL.len() * Texture::ALL.len()) as u32;
/// Sides an image can have, in pixels; below, the textures vanish.
pub const SIDES: std::ops::RangeInclusive<u32> = 16..=1024;

/// A shape and its inner texture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// The outline.
    pub shape: Shape,
    /// What fills it.
    pub texture: Texture,
}

impl Class {
    /// Class `label`, below [`MAX_CLASSES`]. Neighbouring labels differ in both halves; the counts (8 and 5) are coprime, so that
    /// no pair comes twice.
    pub fn of(label: u32) -> Self {
        let label = label as usize;
        Self { shape: Shape::ALL[label % Shape::ALL.len()], texture: Texture::ALL[label % Texture::ALL.len()] }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}-{:?}", self.texture, self.shape)
    }
}

/// The generated set.
#[derive(Clone, Copy, Debug)]
pub struct Synthetic {
    classes: u32,
    side: u32,
    stream: Stream,
}

impl Synthetic {
    /// `classes` classes of `side` x `side` pixels under `seed`; `None` for no or more than [`MAX_CLASSES`] classes, or a side
    /// outside [`SIDES`].
    pub fn new(classes: u32, side: u32, seed: u64) -> Option<Self> {
        let possible = (1..=MAX_CLASSES).contains(&classes) && SIDES.contains(&side);
        possible.then(|| Self { classes, side, stream: Stream::new(seed, Purpose::Synthetic) })
    }

    /// Class names by label, for instance `striped-ring`.
    pub fn class_names(&self) -> Vec<String> {
        (0..self.classes).map(|label| Class::of(label).to_string().to_lowercase()).collect()
    }

    /// The label of image `index`: the classes in turn, so that every prefix is balanced.
    pub fn label(&self, index: u64) -> u32 {
        (index % u64::from(self.classes)) as u32
    }

    /// Image `index` of split number `split`: `side * side * 3` bytes, HWC.
    pub fn draw(&self, split: u32, index: u64) -> Vec<u8> {
        let class = Class::of(self.label(index));
        // The counter's words: image (two), split, slot; slots are below 2^24, splits are few.
        Scene::new(self.stream, [index as u32, (index >> 32) as u32, split << 24], class).render(self.side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_class_comes_twice() {
        let mut names = Synthetic::new(MAX_CLASSES, 32, 0).unwrap().class_names();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), MAX_CLASSES as usize);
        assert!(Synthetic::new(MAX_CLASSES + 1, 32, 0).is_none() && Synthetic::new(10, 8, 0).is_none());
    }

    #[test]
    fn images_depend_on_seed_split_and_index_only() {
        let set = |seed| Synthetic::new(10, 32, seed).unwrap();
        let image = set(3).draw(0, 7);
        assert_eq!(image.len(), 32 * 32 * 3);
        assert_eq!(image, set(3).draw(0, 7));
        for other in [set(4).draw(0, 7), set(3).draw(1, 7), set(3).draw(0, 17)] {
            assert_ne!(image, other);
        }
    }
}
