//! Outlines, in coordinates where the shape fills about the unit disc; `y` points down.

/// An outline that mirroring leaves recognisable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Full circle.
    Disc,
    /// Circle with a hole.
    Ring,
    /// Square.
    Square,
    /// Equilateral triangle, point up.
    Triangle,
    /// Five-pointed star, point up.
    Star,
    /// Upright cross.
    Cross,
    /// Moon.
    Crescent,
    /// Two triangles that meet in a point.
    Hourglass,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Shape; 8] = [
        Shape::Disc,
        Shape::Ring,
        Shape::Square,
        Shape::Triangle,
        Shape::Star,
        Shape::Cross,
        Shape::Crescent,
        Shape::Hourglass,
    ];

    /// Whether the point lies inside.
    pub fn holds(self, x: f64, y: f64) -> bool {
        let radius = x.hypot(y);
        match self {
            Shape::Disc => radius < 0.9,
            Shape::Ring => (0.45..0.95).contains(&radius),
            Shape::Square => x.abs().max(y.abs()) < 0.78,
            Shape::Triangle => y < 0.6 && 3f64.sqrt() * x.abs() < y + 1.0,
            Shape::Star => radius < star_radius(x, y),
            Shape::Cross => x.abs().min(y.abs()) < 0.3 && x.abs().max(y.abs()) < 0.95,
            Shape::Crescent => radius < 0.95 && (x - 0.5).hypot(y) > 0.75,
            Shape::Hourglass => y.abs() < 0.85 && x.abs() < 0.08 + 0.9 * y.abs(),
        }
    }
}

/// Distance of a star's outline from its centre in the direction of (x, y): straight edges from points (1.0) to notches (0.45).
fn star_radius(x: f64, y: f64) -> f64 {
    const TIP: f64 = 1.0;
    const NOTCH: f64 = 0.45;
    let half = std::f64::consts::PI / 5.0;
    let angle = x.atan2(-y).rem_euclid(2.0 * half);
    let angle = angle.min(2.0 * half - angle);
    // The edge from the tip at angle 0 to the notch at angle `half`, in polar form.
    TIP * NOTCH * half.sin() / (NOTCH * (half - angle).sin() + TIP * angle.sin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_fill_a_good_part_of_their_box_and_stay_inside() {
        for shape in Shape::ALL {
            let inside = |i: i32| f64::from(i) / 50.0;
            let points: Vec<(f64, f64)> = (-75..75)
                .flat_map(|y| (-75..75).map(move |x| (inside(x), inside(y))))
                .filter(|&(x, y)| shape.holds(x, y))
                .collect();
            assert!(points.iter().all(|(x, y)| x.abs().max(y.abs()) <= 1.11), "{shape:?} leaves its box");
            let share = points.len() as f64 / 10_000.0;
            assert!((0.25..0.75).contains(&share), "{shape:?} fills {share} of its box");
        }
    }
}
