//! Class folders with image files, as torchvision's `ImageFolder` reads them.
//!
//! `ROOT/train/CLASS/.../FILE` with the splits `train`, `val`, `test`, or `ROOT/CLASS/.../FILE`, which becomes `train`. A label is
//! the rank of the class folder's name among the sorted names of all splits. Links are followed; a folder that was met before
//! in the same class is not entered again, so that loops end. Every file is a candidate: what it holds is judged by its bytes.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Dataset, IngestError, Item, LeftOut, Place, Reason, SPLITS, Split};

const FORMAT: &str = "folder";
const EXPECTED: &str = "give a folder SRC/train/CLASS/IMAGE (or val, test), or SRC/CLASS/IMAGE";

/// Indexes the folder `root`.
///
/// # Errors
/// [`IngestError::Missing`], [`IngestError::Io`] and [`IngestError::Empty`] where no class folder holds a file. Single folders
/// and files that cannot be read are listed in the split's `left_out`.
pub fn read(root: &Path) -> Result<Dataset, IngestError> {
    let entries = list(root).map_err(|e| IngestError::io(root, e))?;
    let named_splits = split_folders(root);
    let mut left_out = Vec::new();
    let roots: Vec<(&str, PathBuf)> = if named_splits.is_empty() {
        vec![("train", root.to_owned())]
    } else {
        let strays = entries.into_iter().filter(|entry| !named_splits.contains(&entry.name.as_str()));
        left_out.extend(strays.map(|entry| LeftOut::new(entry.name, Reason::NoClass)));
        named_splits.into_iter().map(|split| (split, root.join(split))).collect()
    };

    let mut listed = Vec::new();
    for (split, folder) in roots {
        let entries = list(&folder).map_err(|e| IngestError::io(&folder, e))?;
        listed.push((split, folder, entries));
    }
    let is_class = |entry: &&Entry| matches!(entry.kind, Kind::Folder);
    let names: BTreeSet<String> =
        listed.iter().flat_map(|(.., entries)| entries.iter().filter(is_class).map(|e| e.name.clone())).collect();
    let classes: Vec<String> = names.into_iter().collect();

    let mut splits = Vec::new();
    for (split, folder, entries) in listed {
        let mut walk = Walk::new(root, &folder);
        for entry in entries {
            walk.class_entry(entry, &classes);
        }
        if walk.items.is_empty() {
            left_out.extend(walk.left_out.into_iter().map(|l| LeftOut::new(format!("{split}/{}", l.name), l.reason)));
        } else {
            splits.push(Split::new(split, classes.clone(), walk.items, walk.left_out));
        }
    }
    if splits.is_empty() {
        return Err(IngestError::Empty { path: root.to_owned(), format: FORMAT, expected: EXPECTED });
    }
    Ok(Dataset { format: FORMAT, splits, left_out })
}

/// The subfolders of `root` that are splits: named so, and holding folders themselves (a *class* called `train` holds images).
fn split_folders(root: &Path) -> Vec<&'static str> {
    let holds_folder = |split: &&str| {
        list(&root.join(split)).is_ok_and(|entries| entries.iter().any(|entry| matches!(entry.kind, Kind::Folder)))
    };
    SPLITS.into_iter().filter(holds_folder).collect()
}

struct Entry {
    name: String,
    kind: Kind,
}

enum Kind {
    Folder,
    File,
    Refused(Reason),
}

/// The entries of `folder`, sorted by name; links are judged by what they point to.
fn list(folder: &Path) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = match entry.file_type() {
            Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).map(|target| target.file_type()),
            other => other,
        };
        let kind = match (entry.file_name().to_str(), kind) {
            (None, _) => Kind::Refused(Reason::NameNotUtf8),
            (_, Err(error)) => Kind::Refused(Reason::Unreadable(error.to_string())),
            (_, Ok(kind)) if kind.is_dir() => Kind::Folder,
            (_, Ok(kind)) if kind.is_file() => Kind::File,
            _ => Kind::Refused(Reason::NotRegular),
        };
        entries.push(Entry { name: entry.file_name().to_string_lossy().into_owned(), kind });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// A walk through one split, in the order of sorted path components.
struct Walk {
    folder: Arc<Path>,
    /// Canonical paths that no class may lead back into.
    ancestors: Vec<PathBuf>,
    /// Canonical paths that the present class has entered.
    entered: HashSet<PathBuf>,
    items: Vec<Item>,
    left_out: Vec<LeftOut>,
}

impl Walk {
    fn new(root: &Path, folder: &Path) -> Self {
        let ancestors = [root, folder].into_iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
        Self { folder: folder.into(), ancestors, entered: HashSet::new(), items: Vec::new(), left_out: Vec::new() }
    }

    fn class_entry(&mut self, entry: Entry, classes: &[String]) {
        match (entry.kind, classes.binary_search(&entry.name)) {
            (Kind::Folder, Ok(label)) => {
                self.entered = self.ancestors.iter().cloned().collect();
                self.enter(&entry.name, label as u32);
            }
            (Kind::Refused(reason), _) => self.left_out.push(LeftOut::new(entry.name, reason)),
            _ => self.left_out.push(LeftOut::new(entry.name, Reason::NoClass)),
        }
    }

    /// Takes in everything below the folder `name` (a path relative to the split).
    fn enter(&mut self, name: &str, label: u32) {
        let path = self.folder.join(name);
        let listed = fs::canonicalize(&path).and_then(|real| Ok((real, list(&path)?)));
        let entries = match listed {
            Err(error) => return self.left_out.push(LeftOut::new(name, Reason::Unreadable(error.to_string()))),
            Ok((real, entries)) => self.entered.insert(real).then_some(entries),
        };
        let Some(entries) = entries else {
            return self.left_out.push(LeftOut::new(name, Reason::Loop));
        };
        for entry in entries {
            let name = format!("{name}/{}", entry.name);
            match entry.kind {
                Kind::Folder => self.enter(&name, label),
                Kind::File => self.items.push(Item { name, label, place: Place::File(self.folder.clone()) }),
                Kind::Refused(reason) => self.left_out.push(LeftOut { name, reason }),
            }
        }
    }
}
