//! A plot as inline SVG; colours come from the page's style.

use std::fmt::Write;

use super::page::escaped;

/// Size of the drawing, in its own units.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 230.0;
/// Room for the numbers at the axes: left, right, above, below.
const ROOM: (f64, f64, f64, f64) = (52.0, 12.0, 10.0, 24.0);
/// Curves that have a colour of their own; more share them.
const COLOURS: usize = 6;

/// Curves over iterations.
pub(super) struct Plot {
    pub title: String,
    pub curves: Vec<Curve>,
}

/// One named curve.
pub(super) struct Curve {
    pub name: String,
    /// Its last number.
    pub last: Option<f64>,
    /// Iteration and number; NaN is a gap.
    pub points: Vec<(f64, f64)>,
}

impl Plot {
    /// A figure with its title and legend.
    pub(super) fn html(&self) -> String {
        let (x, y) = (self.range(|point| point.0, 0.0), self.range(|point| point.1, 0.05));
        let mut svg =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", escaped(&self.title));
        let place = |(px, py): (f64, f64)| {
            let (left, right, above, below) = ROOM;
            let across = (px - x.0) / (x.1 - x.0) * (WIDTH - left - right);
            let up = (py - y.0) / (y.1 - y.0) * (HEIGHT - above - below);
            (left + across, HEIGHT - below - up)
        };
        // Writing to a String cannot fail.
        for tick in ticks(y) {
            let (_, at) = place((x.0, tick));
            let (left, right) = (ROOM.0, WIDTH - ROOM.1);
            let _ = write!(svg, "<path class=\"grid\" d=\"M{left:.1} {at:.1}H{right:.1}\"/>");
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                at + 4.0,
                number(tick)
            );
        }
        for tick in ticks(x) {
            let (at, _) = place((tick, y.0));
            let _ = write!(
                svg,
                "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - 6.0,
                number(tick)
            );
        }
        let mut legend = String::new();
        for (index, curve) in self.curves.iter().enumerate() {
            let colour = index % COLOURS;
            let _ = write!(svg, "<path class=\"curve c{colour}\" d=\"{}\"/>", path(&curve.points, place));
            if let Some(&point) = curve.points.iter().rev().find(|(_, y)| y.is_finite()) {
                let (cx, cy) = place(point);
                let _ = write!(svg, "<circle class=\"c{colour}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\"/>");
            }
            let last = curve.last.map_or_else(|| "none".to_owned(), number);
            let _ = write!(legend, "<span class=\"c{colour}\">{} <b>{last}</b></span>", escaped(&curve.name));
        }
        format!(
            "<figure><figcaption>{}</figcaption>{svg}</svg><div class=\"legend\">{legend}</div></figure>",
            escaped(&self.title)
        )
    }

    /// Least and largest of a coordinate, widened by `share` on both sides; never empty.
    fn range(&self, of: impl Fn(&(f64, f64)) -> f64, share: f64) -> (f64, f64) {
        let values = self.curves.iter().flat_map(|curve| &curve.points).map(of).filter(|value| value.is_finite());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        match high - low {
            span if span > 0.0 && span.is_finite() => (low - share * span, high + share * span),
            _ if low.is_finite() => (low - 0.5 * low.abs().max(1e-12), low + 0.5 * low.abs().max(1e-12)),
            _ => (0.0, 1.0),
        }
    }
}

/// The curve as an SVG path, lifted at gaps.
fn path(points: &[(f64, f64)], place: impl Fn((f64, f64)) -> (f64, f64)) -> String {
    let mut path = String::new();
    let mut pen = 'M';
    for &point in points {
        if !point.1.is_finite() {
            pen = 'M';
            continue;
        }
        let (x, y) = place(point);
        let _ = write!(path, "{pen}{x:.1} {y:.1}");
        pen = 'L';
    }
    path
}

/// Three to seven round numbers within the range.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
    let first = (low / step).ceil();
    (0..8).map(|i| (first + f64::from(i)) * step).take_while(|tick| *tick <= high).collect()
}

/// Four digits at most, without idle zeros.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.2e}").replace(".00e", "e");
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 5) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ticks_are_round() {
        let rows =
            [(0.0, "0"), (0.25, "0.25"), (1234.5, "1234"), (2e6, "2e6"), (0.00012, "1.20e-4"), (-2.71951, "-2.72")];
        for (value, text) in rows {
            assert_eq!(number(value), text);
        }
        assert_eq!(ticks((0.0, 100.0)), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks((0.9, 3.1)), [1.0, 1.5, 2.0, 2.5, 3.0]);
    }

    #[test]
    fn gaps_lift_the_pen_and_flat_curves_have_room() {
        let points = vec![(1.0, 2.0), (2.0, 2.0), (3.0, f64::NAN), (4.0, 2.0)];
        assert_eq!(path(&points, |point| point), "M1.0 2.0L2.0 2.0M4.0 2.0");
        let plot = Plot { title: "a<b".into(), curves: vec![Curve { name: "x&y".into(), last: Some(2.0), points }] };
        let html = plot.html();
        assert!(!html.contains("NaN") && html.contains("a&lt;b") && html.contains("x&amp;y"), "{html}");
    }
}
