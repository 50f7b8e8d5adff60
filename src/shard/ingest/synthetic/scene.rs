//! One image: its nuisances, drawn; its pixels, rendered.

use std::f64::consts::TAU;

use super::Class;
use super::shape::Shape;
use crate::rng::{Draw, Stream};

/// Samples a pixel, along each axis: antialiases outline and texture alike.
const SUBSAMPLES: u32 = 4;
const CLUTTER: u32 = 4;

/// One number per decision. Append, never renumber: a seed's images depend on them.
#[derive(Clone, Copy)]
enum Slot {
    Size = 0,
    Position = 1,
    Rotation = 2,
    Period = 3,
    Phase = 4,
    Light = 5,
    Foreground = 6,
    Second = 7,
    Background = 8,
    BackgroundEnd = 9,
    Gradient = 10,
    Illumination = 11,
    NoiseLevel = 12,
    /// Four slots a piece: place, size and kind, colour, lightness.
    Clutter = 16,
    /// One slot a pixel.
    Noise = 1 << 22,
}

type Colour = [f64; 3];

/// Everything that is random about one image except its noise. Lengths are in image sides.
#[derive(Debug)]
pub struct Scene {
    stream: Stream,
    counter: [u32; 3],
    class: Class,
    centre: [f64; 2],
    radius: f64,
    rotation: [f64; 2],
    period: f64,
    phase: [f64; 2],
    colours: [Colour; 2],
    background: [Colour; 2],
    gradient: [f64; 2],
    illumination: [f64; 2],
    noise: f64,
    clutter: Vec<Clutter>,
}

#[derive(Debug)]
struct Clutter {
    centre: [f64; 2],
    radius: f64,
    square: bool,
    colour: Colour,
}

impl Scene {
    /// Draws the nuisances of the image `counter` (two words of index, one of split).
    pub(super) fn new(stream: Stream, counter: [u32; 3], class: Class) -> Self {
        let draw = |slot: u32| stream.draw([counter[0], counter[1], counter[2] | slot, 0]);
        let at = |slot: Slot| draw(slot as u32);
        let radius = at(Slot::Size).between(0.25, 0.45);
        // A quarter of the radius may leave the image.
        let place = |unit: f64| 0.75 * radius + (1.0 - 1.5 * radius) * unit;
        let (turn, skew) = (at(Slot::Rotation).between(-0.06, 0.06) * TAU, at(Slot::Gradient).unit() * TAU);
        let light = Lights::draw(at(Slot::Light));
        let clutter = (0..CLUTTER).map(|piece| {
            let slot = |part| draw(Slot::Clutter as u32 + 4 * piece + part);
            let (size, place) = (slot(1), slot(0));
            Clutter {
                centre: [place.unit(), place.second()],
                radius: size.between(0.02, 0.08),
                square: size.second() < 0.5,
                colour: colour(slot(2), slot(3).between(0.1, 0.9)),
            }
        });
        Self {
            stream,
            counter,
            class,
            centre: [place(at(Slot::Position).unit()), place(at(Slot::Position).second())],
            radius,
            rotation: [turn.cos(), turn.sin()],
            period: at(Slot::Period).between(0.13, 0.19),
            phase: [at(Slot::Phase).unit(), at(Slot::Phase).second()],
            colours: [colour(at(Slot::Foreground), light.first), colour(at(Slot::Second), light.second)],
            background: [
                colour(at(Slot::Background), light.background - 0.08),
                colour(at(Slot::BackgroundEnd), light.background + 0.08),
            ],
            gradient: [skew.cos(), skew.sin()],
            illumination: illumination(at(Slot::Illumination)),
            noise: at(Slot::NoiseLevel).between(0.01, 0.05),
            clutter: clutter.collect(),
        }
    }

    /// The image: `side * side * 3` bytes, HWC.
    pub fn render(&self, side: u32) -> Vec<u8> {
        let mut pixels = Vec::with_capacity(side as usize * side as usize * 3);
        for y in 0..side {
            for x in 0..side {
                pixels.extend(self.pixel(x, y, side));
            }
        }
        pixels
    }

    fn pixel(&self, x: u32, y: u32, side: u32) -> [u8; 3] {
        let mut sum = [0.0; 3];
        let step = 1.0 / f64::from(SUBSAMPLES);
        let coordinate = |pixel: u32, part: u32| (f64::from(pixel) + (f64::from(part) + 0.5) * step) / f64::from(side);
        for part in 0..SUBSAMPLES * SUBSAMPLES {
            let point = self.point(coordinate(x, part % SUBSAMPLES), coordinate(y, part / SUBSAMPLES));
            sum = [sum[0] + point[0], sum[1] + point[1], sum[2] + point[2]];
        }
        let (u, v) = (coordinate(x, SUBSAMPLES / 2) - 0.5, coordinate(y, SUBSAMPLES / 2) - 0.5);
        let lit = 1.0 + self.illumination[0] * u + self.illumination[1] * v;
        let slot = self.counter[2] | Slot::Noise as u32 | (y * side + x);
        let noise = self.stream.draw([self.counter[0], self.counter[1], slot, 0]).0;
        let level = |channel: usize| {
            let grain = (f64::from(noise[channel]) / f64::from(u32::MAX) - 0.5) * 2.0 * self.noise;
            (255.0 * (sum[channel] * step * step * lit + grain)).round().clamp(0.0, 255.0) as u8
        };
        [level(0), level(1), level(2)]
    }

    /// The colour at one point: the shape, or the clutter behind it, or the gradient behind that.
    fn point(&self, x: f64, y: f64) -> Colour {
        let (dx, dy) = (x - self.centre[0], y - self.centre[1]);
        let [cos, sin] = self.rotation;
        let (u, v) = (cos * dx + sin * dy, cos * dy - sin * dx);
        if self.class.shape.holds(u / self.radius, v / self.radius) {
            let second = self.class.texture.second(u / self.period + self.phase[0], v / self.period + self.phase[1]);
            return self.colours[usize::from(second)];
        }
        if let Some(piece) = self.clutter.iter().find(|piece| piece.holds(x, y)) {
            return piece.colour;
        }
        let along = 0.5 + 0.7 * ((x - 0.5) * self.gradient[0] + (y - 0.5) * self.gradient[1]);
        let mix = |channel: usize| self.background[0][channel] * (1.0 - along) + self.background[1][channel] * along;
        [mix(0), mix(1), mix(2)]
    }
}

impl Clutter {
    fn holds(&self, x: f64, y: f64) -> bool {
        let shape = if self.square { Shape::Square } else { Shape::Disc };
        shape.holds((x - self.centre[0]) / self.radius, (y - self.centre[1]) / self.radius)
    }
}

/// Lightness of the two foreground colours and of the background, 0..=1: apart enough to see outline and texture when gray.
struct Lights {
    first: f64,
    second: f64,
    background: f64,
}

impl Lights {
    fn draw(draw: Draw) -> Self {
        // Three levels at least 0.25 apart, in one of the six orders.
        let (order, _) = draw.integers(2, 1);
        let (low, spread) = (0.1 + 0.2 * draw.second(), 0.27 + 0.06 * draw.unit());
        let levels = [low, low + spread, low + 2.0 * spread];
        let [first, second, background] = [[1, 2, 0], [2, 1, 0]][order as usize].map(|rank: usize| levels[rank]);
        Self { first, second, background }
    }
}

/// A colour of random hue and saturation whose luma is `light` before clamping.
fn colour(draw: Draw, light: f64) -> Colour {
    let (hue, saturation) = (draw.unit() * TAU, 0.25 * draw.second());
    // Two axes of chroma around the gray axis; luma 0.299, 0.587, 0.114 does not see them.
    let (a, b) = (saturation * hue.cos(), saturation * hue.sin());
    let red = light + 1.402 * a;
    let blue = light + 1.772 * b;
    let green = light - (0.299 * 1.402 * a + 0.114 * 1.772 * b) / 0.587;
    [red, green, blue].map(|channel| channel.clamp(0.0, 1.0))
}

/// Slope of the light across the image, at most 0.5 from side to side.
fn illumination(draw: Draw) -> [f64; 2] {
    let (angle, slope) = (draw.unit() * TAU, 0.5 * draw.second());
    [slope * angle.cos(), slope * angle.sin()]
}
