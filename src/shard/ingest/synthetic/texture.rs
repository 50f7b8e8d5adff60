//! Two-coloured fillings; lengths in periods.

/// What fills a shape: which of two colours stands where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texture {
    /// One colour.
    Plain,
    /// Vertical stripes.
    Striped,
    /// A chessboard.
    Checked,
    /// Dots on a square grid.
    Dotted,
    /// Horizontal stripes.
    Banded,
}

impl Texture {
    /// All textures.
    pub const ALL: [Texture; 5] =
        [Texture::Plain, Texture::Striped, Texture::Checked, Texture::Dotted, Texture::Banded];

    /// Whether the second colour stands at (x, y), in periods.
    pub fn second(self, x: f64, y: f64) -> bool {
        let (u, v) = (x.rem_euclid(1.0), y.rem_euclid(1.0));
        match self {
            Texture::Plain => false,
            Texture::Striped => u < 0.5,
            Texture::Checked => (u < 0.5) != (v < 0.5),
            Texture::Dotted => (u - 0.5).hypot(v - 0.5) < 0.33,
            Texture::Banded => v < 0.5,
        }
    }
}
