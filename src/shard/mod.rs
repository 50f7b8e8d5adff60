//! shard

/// How a record's bytes are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// A JPEG file.
    Jpeg,
    /// RGB pixels, HWC.
    Raw,
    /// A PNG file.
    Png,
    /// JPEG coefficients.
    Coef,
}
