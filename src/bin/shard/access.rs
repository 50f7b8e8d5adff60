//! What it takes to read object storage: flags that every command has.

use std::path::PathBuf;

use metacl::config::{cache_folder, parse_bytes};
use metacl::shard::{Patience, Storage, StorageOptions};

/// Where what is read from URLs is kept.
#[derive(clap::Args)]
#[command(next_help_heading = "Object storage")]
pub(super) struct Access {
    /// Folder where what is read from URLs is kept [default: $XDG_CACHE_HOME/metacl/shards, or .cache/metacl/shards at home]
    #[arg(long, alias = "cache_dir", value_name = "FOLDER", global = true)]
    cache_dir: Option<PathBuf>,
    /// Most bytes kept there, e.g. 512M or 100G
    #[arg(long, alias = "cache_size", value_name = "BYTES", global = true, default_value = "32G", value_parser = parse_bytes)]
    cache_size: u64,
}

impl Access {
    pub(super) fn storage(&self) -> Storage {
        let usual = || cache_folder("shards", &|name| std::env::var(name).ok()).map(PathBuf::from);
        Storage::new(StorageOptions {
            cache_dir: self.cache_dir.clone().or_else(usual),
            cache_size: self.cache_size,
            variables: crate::storage::variables(),
            patience: Patience::default(),
        })
    }
}
