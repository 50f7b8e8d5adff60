//! A config file and a command line as lists of entries: what was written, and where.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use granit_parser::{Event, Parser, ScalarStyle};

use super::error::{ConfigError, Origin};
use super::published;
use super::table::Key;

/// Most bytes of a config file that are read; the published ones have about 500.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// One `key: value` or `--key value`, not yet understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As written, `-` and `_` alike.
    pub key: String,
    /// As written; `None` where a file leaves it empty or null.
    pub value: Option<String>,
    /// Where.
    pub origin: Origin,
}

/// A command line, taken apart.
#[derive(Debug, Default)]
pub(super) struct CommandLine {
    /// `--help` or `-h`.
    pub help: bool,
    /// `--version` or `-V`.
    pub version: bool,
    /// `--config FILE`, the last one.
    pub config: Option<PathBuf>,
    /// All other flags.
    pub entries: Vec<Entry>,
}

/// Most files that extend each other; more is taken for a circle.
const MOST_FILES: usize = 8;

/// Reads the config file at `path` and what it extends (`extends: FILE`, beside it), the base first.
pub(super) fn read_files(path: &Path) -> Result<Vec<Vec<Entry>>, ConfigError> {
    let mut files = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next.take() {
        let mut entries = read_file(&path)?;
        if let Some(at) = entries.iter().position(|entry| entry.key == "extends") {
            let Entry { value, origin, .. } = entries.remove(at);
            next = value.map(|base| path.with_file_name(base));
            if next.is_some() && files.len() + 1 == MOST_FILES {
                return Err(ConfigError::Circle { origin, files: MOST_FILES });
            }
        }
        files.push(entries);
    }
    files.reverse();
    Ok(files)
}

/// Reads the config file at `path` alone.
pub(super) fn read_file(path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let failed = |reason| ConfigError::Read { path: path.to_owned(), reason };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned(), limit: MAX_FILE_BYTES });
    }
    parse_yaml(&text, path)
}

/// Entries of the flat YAML mapping in `text`; `path` is for errors.
///
/// Values stay text: YAML 1.1 and 1.2 disagree on what `1e16`, `yes` and `000001` are, the table of keys does not. The parser
/// is asked for one event after the other and the first that opens a second level ends it, so neither depth nor aliases grow.
pub(super) fn parse_yaml(text: &str, path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let not_flat = |line, found| Err(ConfigError::NotFlat { path: path.to_owned(), line, found });
    let mut entries: Vec<Entry> = Vec::new();
    let mut key: Option<String> = None;
    let (mut inside, mut documents) = (false, 0);
    for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
        let (event, span) = event.map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            line: error.marker().line(),
            reason: error.info().to_owned(),
        })?;
        let line = span.start.line();
        match event {
            Event::DocumentStart(..) if documents > 0 => return not_flat(line, "a second document"),
            Event::DocumentStart(..) => documents += 1,
            Event::MappingStart(..) if !inside => inside = true,
            Event::MappingStart(..) => return not_flat(line, "a nested mapping"),
            Event::SequenceStart(..) => return not_flat(line, "a list"),
            Event::Alias(..) => return not_flat(line, "an alias"),
            Event::Scalar(value, style, ..) if inside => match key.take() {
                None => key = Some(normal(&value)),
                Some(key) => {
                    let origin = Origin::File { path: path.to_owned(), line };
                    entries.push(Entry { key, value: (!is_null(&value, style)).then(|| value.into_owned()), origin });
                }
            },
            // An empty file, or one of comments only, is an empty document: a null scalar outside any mapping.
            Event::Scalar(value, style, ..) if !is_null(&value, style) => return not_flat(line, "a lone value"),
            _ => {}
        }
    }
    Ok(entries)
}

/// Whether a scalar leaves its key unset. The parser gives an absent one as a plain `~`.
fn is_null(value: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && matches!(value, "" | "~" | "null" | "Null" | "NULL")
}

/// Takes `arguments` (without the program's name) apart.
pub(super) fn parse_arguments(arguments: &[String]) -> Result<CommandLine, ConfigError> {
    let mut line = CommandLine::default();
    let mut rest = arguments.iter().map(String::as_str).peekable();
    while let Some(argument) = rest.next() {
        let (flag, mut value) = split_flag(argument)?;
        match flag {
            "-h" | "--help" => line.help = true,
            "-V" | "--version" => line.version = true,
            _ => {
                let key = normal(flag.trim_start_matches('-'));
                let known = super::find(&key);
                if value.is_none() {
                    value = rest.next_if(|next| !next.starts_with("--") && !next.starts_with("-j"));
                }
                let value = match value {
                    Some(value) => value.to_owned(),
                    None if known.is_some_and(|key| key.is_switch) => "true".to_owned(),
                    None if published::is_ignored(&key) => String::new(),
                    None => return Err(ConfigError::MissingValue { flag: flag.to_owned(), accepts: accepts(known) }),
                };
                if key == "config" {
                    line.config = Some(PathBuf::from(value));
                } else {
                    line.entries.push(Entry { key, value: Some(value), origin: Origin::Flag(flag.to_owned()) });
                }
            }
        }
    }
    Ok(line)
}

/// `--key`, `--key=value`, `-j`, `-j8` and `-j=8` as flag and value.
fn split_flag(argument: &str) -> Result<(&str, Option<&str>), ConfigError> {
    let stray = || ConfigError::StrayArgument { argument: argument.to_owned() };
    if argument.len() > 2 && argument.starts_with("--") {
        return Ok(argument.split_once('=').map_or((argument, None), |(flag, value)| (flag, Some(value))));
    }
    match argument {
        "-h" | "-V" | "-j" => Ok((argument, None)),
        _ => argument.strip_prefix("-j").map(|n| ("-j", Some(n.trim_start_matches('=')))).ok_or_else(stray),
    }
}

/// What a flag without its value would accept.
fn accepts(key: Option<&'static Key>) -> &'static str {
    key.map_or("a value", |key| key.accepts)
}

/// `dist-address` and `dist_address` are one key.
fn normal(key: &str) -> String {
    key.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Result<Vec<Entry>, ConfigError> {
        parse_yaml(text, Path::new("x.yaml"))
    }

    fn pairs(entries: &[Entry]) -> Vec<(&str, Option<&str>)> {
        entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_deref())).collect()
    }

    #[test]
    fn scalars_stay_text_and_nulls_are_absent() {
        let entries = yaml("a: 1e16\nb: '000001'\nc: 000001\nd: null\ne:\nf: ''\ng: 'null'\nh: 0 #0.1\n").unwrap();
        let want = [
            ("a", Some("1e16")),
            ("b", Some("000001")),
            ("c", Some("000001")),
            ("d", None),
            ("e", None),
            ("f", Some("")),
            ("g", Some("null")),
            ("h", Some("0")),
        ];
        assert_eq!(pairs(&entries), want);
        assert_eq!(entries[3].origin, Origin::File { path: "x.yaml".into(), line: 4 });
    }

    #[test]
    fn an_empty_file_has_no_entries() {
        for text in ["", "# nothing\n", "---\n", "\u{feff}"] {
            assert!(yaml(text).unwrap().is_empty(), "{text:?}");
        }
    }

    #[test]
    fn anything_but_one_flat_mapping_is_refused() {
        let deep = format!("a: {}", "[".repeat(100_000));
        let bomb = "a: &a x\nb: *a\n";
        for text in ["a: {b: 1}", "a: [1, 2]", "- a", "word", "a: 1\n---\nb: 2\n", "? [a]\n: b", bomb, "<<: *x", &deep]
        {
            let refused = yaml(text);
            let fits = matches!(refused, Err(ConfigError::NotFlat { .. } | ConfigError::Syntax { .. }));
            assert!(fits, "{}: {refused:?}", &text[..text.len().min(30)]);
        }
    }

    #[test]
    fn syntax_errors_name_the_line() {
        assert!(matches!(yaml("a: 1\nb: 'open\n"), Err(ConfigError::Syntax { line: 2..=3, .. })));
    }
}
