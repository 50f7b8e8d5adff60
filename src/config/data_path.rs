//! Where a dataset is, as the user wrote it: a path or a URL, which may hold a password that nobody else is to see.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::value::Value;
use crate::shard::location::{Location, public};
use crate::shard::{Patience, StorageOptions};

use super::keys::Config;

/// A path or a URL. Shown and saved without what a URL holds of user, password and query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataPath(pub String);

impl DataPath {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for DataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&public(&self.0))
    }
}

impl Value for DataPath {
    const ACCEPTS: &'static str = "a path or a URL";

    fn parse(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        Value::show(&self.to_string())
    }
}

impl Config {
    /// Where the dataset is.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoData`] where none was named; what [`check_data_path`](super::check_data_path) refuses;
    /// [`ConfigError::DataUrl`] for a URL of no known kind.
    pub fn data_location(&self) -> Result<Location, ConfigError> {
        if self.data_path.is_empty() {
            return Err(ConfigError::NoData { variable: super::published::data_variable(self.data) });
        }
        let location = Location::parse(Path::new(&self.data_path.0))
            .map_err(|error| ConfigError::DataUrl { path: self.data_path.to_string(), reason: error.to_string() })?;
        if let Location::Disk(path) = &location {
            super::published::check_data_path(path)?;
        }
        Ok(location)
    }

    /// How datasets in object storage are read, with `variables` for their credentials.
    pub fn storage(&self, variables: Vec<(String, String)>) -> StorageOptions {
        let cache_dir = (!self.cache_dir.is_empty()).then(|| PathBuf::from(&self.cache_dir));
        StorageOptions { cache_dir, cache_size: self.cache_size.0, variables, patience: Patience::default() }
    }
}
