//! Entries to a config: who wins, what unset keys become, what is worth a note.

use std::collections::BTreeMap;
use std::path::Path;

use super::data_path::DataPath;
use super::error::{ConfigError, Origin};
use super::keys::{Config, KEYS};
use super::source::{self, Entry};
use super::value::{Head, Value};
use super::{check, find, published};

/// What a command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Print [`help`](super::help) and stop.
    Help,
    /// Print the version and stop.
    Version,
    /// Run.
    Run(Box<Loaded>),
}

/// A resolved and checked configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values; nothing is left unset that follows from other keys.
    pub config: Config,
    /// The config file's stem, which names the run's folder; `default` without a file.
    pub name: String,
    /// Lines that the user should see at start.
    pub notes: Vec<String>,
}

/// Where each key that is not at its default was given.
pub(super) type Origins = BTreeMap<&'static str, Origin>;

/// Reads a command line (without the program's name) and the file that it names.
///
/// `variable` looks an environment variable up; DATA_ROOT, IMAGENET_PATH, XDG_CACHE_HOME and HOME are asked for.
///
/// # Errors
///
/// The first thing that is wrong, with where it stands.
pub fn load(arguments: &[String], variable: &dyn Fn(&str) -> Option<String>) -> Result<Command, ConfigError> {
    let line = source::parse_arguments(arguments)?;
    if line.help || line.version {
        return Ok(if line.help { Command::Help } else { Command::Version });
    }
    let files = line.config.as_deref().map(source::read_files).transpose()?.unwrap_or_default();
    let name = line.config.as_deref().map_or("default".into(), stem);
    let (config, notes) = resolve(files, line.entries, variable)?;
    Ok(Command::Run(Box::new(Loaded { config, name, notes })))
}

impl Config {
    /// Reads a file that [`Config::to_yaml`] wrote. Nothing is filled in or checked: it was when it was written.
    ///
    /// # Errors
    ///
    /// Unreadable, not YAML, an unknown key (of another version), a value of a wrong type.
    pub fn read_resolved(path: &Path) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        apply(&mut config, source::read_file(path)?, &mut Origins::new(), &mut Vec::new())?;
        Ok(config)
    }

    /// All keys, one a line; what a run folder keeps as `config.yaml`. Usable with `--config` again.
    pub fn to_yaml(&self) -> String {
        self.entries().iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
    }
}

fn resolve(
    files: Vec<Vec<Entry>>,
    flags: Vec<Entry>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(Config, Vec<String>), ConfigError> {
    let mut config = Config::default();
    let (mut origins, mut ignored, mut notes) = (Origins::new(), Vec::new(), Vec::new());
    for file in files {
        apply(&mut config, file, &mut origins, &mut ignored)?;
    }
    let file_head = config.head;
    apply(&mut config, flags, &mut origins, &mut ignored)?;
    if !ignored.is_empty() {
        notes.push(format!("without effect, as in the published code: {}", ignored.join(", ")));
    }
    notes.extend(foreign_temperature(&config, file_head, &origins));
    notes.extend(own_paths(&mut config));
    notes.extend(data_from_variable(&mut config, variable));
    for (folder, name) in [(&mut config.kernel_cache, "kernels"), (&mut config.cache_dir, "shards")] {
        if folder.is_empty() {
            *folder = cache_folder(name, variable).unwrap_or_default();
        }
    }
    fill(&mut config);
    check::check(&config, &origins)?;
    if config.world_size > config.machines() {
        let machines = config.world_size;
        notes.push(format!("world_size {machines} is without effect: dist dp is one process; give --dist ddp"));
    }
    Ok((config, notes))
}

/// Sets what `entries` say; null leaves a key at its default. A key twice in one file is an error; a flag given twice counts by its last.
fn apply(
    config: &mut Config,
    entries: Vec<Entry>,
    origins: &mut Origins,
    ignored: &mut Vec<String>,
) -> Result<(), ConfigError> {
    for Entry { key, value, origin } in entries {
        let Some(known) = find(&key) else {
            if !published::is_ignored(&key) {
                return Err(ConfigError::UnknownKey { origin, nearest: nearest(&key), key });
            }
            if !ignored.contains(&key) {
                ignored.push(key);
            }
            continue;
        };
        let key = known.name;
        if let (Origin::File { path, line }, Some(Origin::File { path: before, line: first })) =
            (&origin, origins.get(key))
            && path == before
        {
            return Err(ConfigError::Duplicate { path: path.clone(), line: *line, first: *first, key });
        }
        match value {
            None => config.reset(key),
            Some(value) if config.set(key, &value) => {}
            Some(value) => return Err(ConfigError::Type { origin, key, value, accepts: known.accepts }),
        }
        origins.insert(key, origin);
    }
    Ok(())
}

/// The known name that takes the fewest edits.
fn nearest(key: &str) -> &'static str {
    let names =
        KEYS.iter().flat_map(|key| key.aliases.iter().copied().filter(|alias| alias.len() > 1).chain([key.name]));
    names.min_by_key(|name| strsim::damerau_levenshtein(key, name)).unwrap_or("config")
}

/// What follows from other keys where the user leaves it open.
fn fill(config: &mut Config) {
    config.temperature = Some(config.temperature());
    config.multiplier = Some(config.views());
    config.image_size = Some(config.image_size());
    config.blur = Some(config.blur());
    config.byol_hidden = Some(config.byol_hidden());
}

/// A file's temperature is meant for the file's head, and means the opposite for half of the others.
fn foreign_temperature(config: &Config, file_head: Head, origins: &Origins) -> Option<String> {
    let origin = origins.get("temperature").filter(|origin| matches!(origin, Origin::File { .. }))?;
    let temperature = config.temperature.filter(|_| config.head != file_head)?;
    Some(format!(
        "temperature {temperature} ({origin}) was written for head {}; head {} takes it as it is: give --temperature, or none \
         for the head's own",
        file_head.show(),
        config.head.show()
    ))
}

/// Checkpoints under the published code's names become our own.
fn own_paths(config: &mut Config) -> Vec<String> {
    let mut notes = Vec::new();
    for (key, path) in [("ckpt", &mut config.ckpt), ("encoder_ckpt", &mut config.encoder_ckpt)] {
        if let Some(own) = published::own_checkpoint(path) {
            notes.push(format!("{key} {path} is taken as {own}"));
            *path = own;
        }
    }
    notes
}

/// The user's folder for a cache of ours, as the XDG base directory specification has it; `None` where there is no home.
pub fn cache_folder(name: &str, variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let set = |name| variable(name).filter(|value| value.starts_with('/'));
    let root = set("XDG_CACHE_HOME").or_else(|| Some(format!("{}/.cache", set("HOME")?)))?;
    Some(format!("{root}/metacl/{name}"))
}

fn data_from_variable(config: &mut Config, variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if !config.data_path.is_empty() {
        return None;
    }
    let name = published::data_variable(config.data);
    config.data_path = DataPath(variable(name).filter(|value| !value.is_empty())?);
    Some(format!("data_path {} is from {name}", config.data_path))
}

/// `configs/x.yaml` gives `x`.
fn stem(path: &Path) -> String {
    path.file_stem().map_or("default".into(), |stem| stem.to_string_lossy().into_owned())
}
