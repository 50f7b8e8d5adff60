//! Foreign names of a backbone's tensors to torchvision's.
//!
//! Known layouts, below any prefix: torchvision's (`conv1`, `bn1`, `layer1` .. `layer4`, `fc`), also as the `Sequential` of its
//! children that lightly's examples make (`0`, `1`, `4` .. `7`), lightly's own `ResNetGenerator` as such a `Sequential` (`0`, `1`,
//! `2` .. `5`, `shortcut` for `downsample`), and Conv-4 as exported here (`conv1`, `bn1` .. `conv4`, `bn4`).

use std::collections::BTreeMap;
use std::path::Path;

use super::ExchangeError;

/// Words that prefixes of a backbone are made of in files that are known to hold one: wrappers, then encoders.
const WORDS: [&str; 7] = ["module", "model", "net", "convnet", "backbone", "encoder", "encoder_q"];

/// Shapes of all tensors of a file, by name.
pub(super) type Shapes = BTreeMap<String, Vec<i64>>;

/// Where in a file the backbone lies and how it is named.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Before the name of every tensor of the backbone; empty or ends with a dot.
    pub prefix: String,
    scheme: Scheme,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Torchvision,
    /// Children of torchvision's ResNet: `0` conv1, `1` bn1, `2` ReLU, `3` pooling, `4` .. `7` the layers.
    Children,
    /// Children of lightly's: `0` conv1, `1` bn1, `2` .. `5` the layers.
    Lightly,
}

impl Layout {
    /// Finds the backbone by its first convolution, the only one of three channels: under `prefix` where one is given, else under the
    /// one prefix that has one, or that consists of usual words.
    pub(super) fn find(path: &Path, shapes: &Shapes, prefix: Option<&str>) -> Result<Self, ExchangeError> {
        let mut found: Vec<&str> = shapes.iter().filter_map(|(name, shape)| first_convolution(name, shape)).collect();
        found.dedup();
        let prefix = match prefix {
            Some("") => String::new(),
            Some(prefix) => format!("{}.", prefix.trim_end_matches('.')),
            None => choose(path, &found, shapes)?.to_owned(),
        };
        if !found.contains(&prefix.as_str()) {
            let what = format!(
                "no backbone under the prefix {prefix:?}: one begins with a first convolution, {}",
                list(&found)
            );
            return Err(ExchangeError::backbone(path, what));
        }
        let has = |rest: &str| shapes.contains_key(&format!("{prefix}{rest}"));
        let scheme = match () {
            () if has("conv1.weight") => Scheme::Torchvision,
            () if has("7.0.conv1.weight") => Scheme::Children,
            () => Scheme::Lightly,
        };
        Ok(Self { prefix, scheme })
    }

    /// Torchvision's name for the file's `name`; `None` where it is no tensor of the backbone.
    pub(super) fn own(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(&self.prefix)?;
        let known = |head: &str| {
            let plain = head.trim_end_matches(|c: char| c.is_ascii_digit());
            ["conv", "bn", "layer"].contains(&plain) || head == "fc"
        };
        let (head, tail) = rest.split_once('.')?;
        if self.scheme == Scheme::Torchvision {
            return known(head).then(|| rest.to_owned());
        }
        let first_layer = if self.scheme == Scheme::Children { 4 } else { 2 };
        match head.parse::<usize>().ok()? {
            0 => Some(format!("conv1.{tail}")),
            1 => Some(format!("bn1.{tail}")),
            index if (first_layer..first_layer + 4).contains(&index) => {
                Some(format!("layer{}.{}", index - first_layer + 1, tail.replace(".shortcut.", ".downsample.")))
            }
            _ => None,
        }
    }
}

/// What stands before the first convolution of a backbone, where `name` is one.
fn first_convolution<'a>(name: &'a str, shape: &[i64]) -> Option<&'a str> {
    let prefix = ["conv1.weight", "0.weight"].iter().find_map(|end| name.strip_suffix(end))?;
    let whole = prefix.is_empty() || prefix.ends_with('.');
    (whole && matches!(shape, [_, 3, height, width] if height == width)).then_some(prefix)
}

fn choose<'a>(path: &Path, found: &[&'a str], shapes: &Shapes) -> Result<&'a str, ExchangeError> {
    let usual = |prefix: &&&str| prefix.split_terminator('.').all(|word| WORDS.contains(&word));
    let mut candidates: Vec<&&str> = found.iter().filter(usual).collect();
    if candidates.is_empty() {
        candidates = found.iter().collect();
    }
    match candidates[..] {
        [prefix] => Ok(prefix),
        [] => {
            let first = shapes
                .keys()
                .next()
                .map_or("nothing".to_owned(), |name| format!("`{name}` and {} more", shapes.len() - 1));
            let what =
                format!("no backbone: no convolution conv1.weight (or 0.weight) of three channels; it holds {first}");
            Err(ExchangeError::backbone(path, what))
        }
        _ => {
            Err(ExchangeError::backbone(path, format!("several backbones, {}: choose one with --prefix", list(found))))
        }
    }
}

fn list(prefixes: &[&str]) -> String {
    let quoted: Vec<_> = prefixes.iter().map(|prefix| format!("{prefix:?}")).collect();
    if quoted.is_empty() { "found nowhere".to_owned() } else { format!("found under {}", quoted.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(names: &[&str], prefix: Option<&str>) -> Result<Layout, String> {
        let shapes = names.iter().map(|name| ((*name).to_owned(), vec![64, 3, 7, 7])).collect();
        Layout::find(Path::new("x.pth"), &shapes, prefix).map_err(|error| error.to_string())
    }

    #[test]
    fn prefixes_are_found() {
        for prefix in ["", "module.", "backbone.", "encoder.", "module.encoder_q.", "convnet.", "student."] {
            let layout = find(&[&format!("{prefix}conv1.weight")], None).unwrap();
            assert_eq!(layout, Layout { prefix: prefix.to_owned(), scheme: Scheme::Torchvision });
        }
        let two = ["backbone.conv1.weight", "backbone_momentum.conv1.weight"];
        assert_eq!(find(&two, None).unwrap().prefix, "backbone.");
        assert_eq!(find(&two, Some("backbone_momentum")).unwrap().prefix, "backbone_momentum.");
        assert!(find(&["a.conv1.weight", "b.conv1.weight"], None).unwrap_err().contains("\"a.\", \"b.\""));
        assert!(find(&["head.weight"], None).unwrap_err().contains("no backbone"));
        assert!(find(&two, Some("x")).unwrap_err().contains("no backbone under the prefix"));
    }

    #[test]
    fn sequences_of_children_get_names() {
        let children = find(&["backbone.0.weight", "backbone.7.0.conv1.weight"], None).unwrap();
        let own = |name: &str| children.own(name);
        assert_eq!(own("backbone.0.weight").as_deref(), Some("conv1.weight"));
        assert_eq!(own("backbone.1.running_var").as_deref(), Some("bn1.running_var"));
        assert_eq!(own("backbone.5.0.downsample.1.bias").as_deref(), Some("layer2.0.downsample.1.bias"));
        assert_eq!(own("projection_head.layers.0.weight"), None);
        let lightly = find(&["backbone.0.weight", "backbone.2.0.conv1.weight"], None).unwrap();
        assert_eq!(lightly.own("backbone.3.0.shortcut.0.weight").as_deref(), Some("layer2.0.downsample.0.weight"));
    }
}
