//! `--help`, out of the table of keys.

use std::fmt::Write;

use super::keys::{Config, KEYS};
use super::table::Key;

/// Keys in groups, each with what it accepts, its default and its meaning.
pub fn help() -> String {
    let mut text = String::from(
        "Usage: metacl-train --config FILE --data_path FOLDER|URL [--KEY VALUE ...]\n\
         \n\
         Defaults, then FILE, then the command line; the last one wins. --some-key and --some_key are one key, and a\n\
         key of true or false may stand without its value. Published files and flags are accepted as they are.\n\
         `extends: OTHER.yaml` in FILE starts from OTHER, which lies beside it; `KEY:` without a value unsets KEY.\n\
         \n\
         Other commands, each with its own --help:\n  \
           metacl-train export   write the backbone of a checkpoint for torchvision\n  \
           metacl-train import   make a checkpoint of PyTorch weights (.pth, .pth.tar, .safetensors)\n  \
           metacl-train report   draw the report of a run anew\n  \
           metacl-train step-bench   time training steps\n",
    );
    let defaults = Config::default().entries();
    let mut group = None;
    for (key, (_, default)) in KEYS.iter().zip(&defaults) {
        if group.replace(key.group) != Some(key.group) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{}:\n", key.group.title());
        }
        let _ = writeln!(text, "  {:<28} {} [{}; default {}]", flags(key), key.doc.trim(), key.accepts, shown(default));
    }
    text
}

/// `-j, --workers`.
fn flags(key: &Key) -> String {
    let short = key.aliases.iter().filter(|alias| alias.len() == 1).map(|alias| format!("-{alias}, "));
    let long = key.aliases.iter().filter(|alias| alias.len() > 1).map(|alias| format!(", --{alias}"));
    format!("{}--{}{}", short.collect::<String>(), key.name, long.collect::<String>())
}

fn shown(default: &str) -> &str {
    match default {
        "null" => "unset",
        "10000000000000000" => "never",
        other => other,
    }
}
