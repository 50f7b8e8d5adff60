//! The configuration of a run: published files and flags in, one checked [`Config`] out.
//!
//! Defaults, then the file of `--config`, then the command line; the last one wins. Every key lies in ONE table
//! ([`keys`](self::KEYS)); an unknown key is an error, a wrong type is an error, two keys at odds are an error.
//!
//! - `keys`: the table. `table`: what a key is, and the macro that makes struct, defaults, reader and help out of it.
//! - `value`: types of values. `source`: files and command lines as entries with their origin.
//! - `resolve`: entries to a config, and what unset keys become. `check`: what is refused. `resume`: what may change on resume.
//! - `specs`: what the stages need: policies of views, processes, the scale of logits. `published`: leftovers of the published code.
//!
//! Not here: environment variables (a closure is passed in), the dataset's size, devices.

mod byte_count;
mod check;
mod data_path;
mod error;
mod help;
mod keys;
mod published;
mod resolve;
mod resume;
mod source;
mod specs;
mod table;
mod value;

pub use byte_count::{Bytes, parse_bytes};
pub use data_path::DataPath;
pub use error::{ConfigError, Origin};
pub use help::help;
pub use keys::{Config, KEYS};
pub use published::{check_data_path, looks_like_raw_images};
pub use resolve::{Command, Loaded, cache_folder, load};
pub use resume::{Difference, MAY_CHANGE};
pub use specs::{EvalPolicies, ViewPolicies};
pub use table::{Group, Key};
pub use value::{
    Arch, Augment, Corrupt, Dist, Family, FewShotHead, GpuDecode, Head, Init, LrSchedule, Opt, Precision, Problem,
    TaskRot, Value, Verify,
};

/// The key of this name or alias (underscores, no dashes).
fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name || key.aliases.contains(&name))
}
