//! How large an image may be: the argument of every command that decodes.

/// What is refused before memory is taken for it.
#[derive(clap::Args)]
pub(super) struct Limits {
    /// Decode no image of more than N pixels: a small file can ask for gigabytes
    #[arg(long, value_name = "N", default_value_t = metacl::decode::Limits::default().max_pixels,
        value_parser = clap::value_parser!(u64).range(1..))]
    max_pixels: u64,
}

impl Limits {
    /// The decoder's.
    pub(super) fn decoder(&self) -> metacl::decode::Limits {
        metacl::decode::Limits { max_pixels: self.max_pixels }
    }
}
