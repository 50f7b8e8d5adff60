//! What can be wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line, from 1, of a config file.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// The command line, by this flag.
    Flag(String),
    /// Nowhere: the table of keys, or what follows from other keys.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
            Origin::Default => write!(f, "config"),
        }
    }
}

/// Why a configuration is refused. All but [`ConfigError::Read`] are errors of usage.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read the config: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// Files that extend each other without end.
    #[error("{origin}: extends leads through {files} files and further: does a file extend itself?")]
    Circle {
        /// The last `extends`.
        origin: Origin,
        /// Files read so far.
        files: usize,
    },
    /// The file is far larger than a config.
    #[error("{}: more than {limit} bytes, which no config needs: is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes that are read.
        limit: u64,
    },
    /// The file is not YAML.
    #[error("{}:{line}: not YAML: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// The file is YAML, but not a flat list of `key: value`.
    #[error("{}:{line}: {found}: a config is one flat list of `key: value` lines", path.display())]
    NotFlat {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stands there.
        found: &'static str,
    },
    /// A key stands twice in a file.
    #[error("{}:{line}: key {key} was given before, in line {first}: keep one", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The line of its first mention.
        first: usize,
        /// The key.
        key: &'static str,
    },
    /// No such key.
    #[error("{origin}: unknown key {key:?}: did you mean {nearest}? (--help lists all)")]
    UnknownKey {
        /// Where it was given.
        origin: Origin,
        /// As written.
        key: String,
        /// The known key with the nearest name.
        nearest: &'static str,
    },
    /// An argument that is neither a flag nor a flag's value.
    #[error("argument {argument:?} is not a flag: write --KEY VALUE (--help lists the keys)")]
    StrayArgument {
        /// As written.
        argument: String,
    },
    /// A flag without its value.
    #[error("flag {flag} needs a value: {accepts}")]
    MissingValue {
        /// As written.
        flag: String,
        /// What is accepted.
        accepts: &'static str,
    },
    /// A value of another type.
    #[error("{origin}: {key} is {value:?}, but {accepts} is needed")]
    Type {
        /// Where it was given.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// As written.
        value: String,
        /// What is accepted.
        accepts: &'static str,
    },
    /// A value that is of the right type but out of range, or at odds with another.
    #[error("{origin}: {key} is {value}, but {rule}")]
    Rule {
        /// Where it was given.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is needed.
        rule: String,
    },
    /// A URL that cannot be one of a dataset.
    #[error("data_path {path}: {reason}")]
    DataUrl {
        /// The URL, without what is secret.
        path: String,
        /// Why.
        reason: String,
    },
    /// No dataset was named.
    #[error("no dataset: give --data_path FOLDER or set the variable {variable}")]
    NoData {
        /// The variable that would be taken.
        variable: &'static str,
    },
    /// The dataset does not exist.
    #[error("{}: no such dataset: --data_path takes a folder that metacl-shard wrote", path.display())]
    DataMissing {
        /// The folder.
        path: PathBuf,
    },
    /// The dataset has yet to be converted.
    #[error("{} holds {found}, not shards: run `{command}`, then pass --data_path {}", path.display(), target.display())]
    RawData {
        /// The folder or file.
        path: PathBuf,
        /// What lies there.
        found: &'static str,
        /// The command that converts it.
        command: String,
        /// What that command writes.
        target: PathBuf,
    },
}
