//! Where shards are: a path on disk or the URL of an object or a folder of objects.

use std::fmt;
use std::path::{Path, PathBuf};

use super::EXTENSION;
use super::error::ShardError;

/// Schemes of object storage, as `object_store` knows them.
const SCHEMES: [&str; 8] = ["s3", "s3a", "gs", "az", "abfs", "abfss", "http", "https"];

/// A dataset, a split's folder or a shard file. Printed, a URL is without user, password and query, which may hold a signature.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A path of the file system.
    Disk(PathBuf),
    /// A URL of object storage.
    Url(String),
}

impl Location {
    /// Reads what a user wrote: a URL where it begins with `SCHEME://`, else a path; `file://` gives a path too.
    ///
    /// # Errors
    /// [`ShardError::Scheme`] for a scheme that is none of object storage's.
    pub fn parse(text: &Path) -> Result<Self, ShardError> {
        let Some((scheme, rest)) = text.to_str().and_then(|text| text.split_once("://")) else {
            return Ok(Self::Disk(text.to_owned()));
        };
        let word = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        match scheme.to_ascii_lowercase().as_str() {
            "file" if rest.starts_with('/') => Ok(Self::Disk(rest.into())),
            known if SCHEMES.contains(&known) => Ok(Self::Url(format!("{known}://{}", rest.trim_end_matches('/')))),
            other if !other.is_empty() && other.chars().all(word) => {
                Err(ShardError::Scheme { scheme: other.to_owned() })
            }
            _ => Ok(Self::Disk(text.to_owned())),
        }
    }

    /// `name` within this folder.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        match self {
            Self::Disk(path) => Self::Disk(path.join(name)),
            Self::Url(url) => {
                let (path, query) = split_query(url);
                Self::Url(format!("{}/{name}{query}", path.trim_end_matches('/')))
            }
        }
    }

    /// The last part of the path: of a split's folder, its name.
    pub fn name(&self) -> String {
        match self {
            Self::Disk(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            Self::Url(url) => {
                let path = split_query(url).0;
                path.trim_end_matches('/').rsplit_once('/').map_or("", |(_, name)| name).to_owned()
            }
        }
    }

    /// The name of the split that it is, or that it is a file of: of the folder.
    pub fn split_name(&self) -> String {
        match self {
            Self::Url(url) if self.is_shard_url() => {
                let path = split_query(url).0;
                Self::Url(path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()).name()
            }
            _ => self.name(),
        }
    }

    /// Whether it is the URL of one shard file, by its name.
    pub(super) fn is_shard_url(&self) -> bool {
        matches!(self, Self::Url(_)) && Path::new(&self.name()).extension().is_some_and(|end| end == EXTENSION)
    }

    /// The path that messages show.
    pub fn shown(&self) -> PathBuf {
        match self {
            Self::Disk(path) => path.clone(),
            Self::Url(_) => self.to_string().into(),
        }
    }
}

/// A URL before its query, and the query with its `?`.
fn split_query(url: &str) -> (&str, &str) {
    url.split_at(url.find('?').unwrap_or(url.len()))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(&public(url)),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `text` with every URL in it cut down to what may be shown: no user and password, no query.
pub fn public(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        out.push_str(before);
        let end = url.find(|c: char| c.is_whitespace() || "\"'<>`),;".contains(c)).unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        let authority = url.find(['/', '?', '#']).unwrap_or(url.len());
        let host = url[..authority].rfind('@').map_or(0, |at| at + 1);
        let path_end = url.find(['?', '#']).unwrap_or(url.len());
        out.push_str(&url[host..path_end]);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Location {
        Location::parse(Path::new(text)).unwrap()
    }

    #[test]
    fn urls_and_paths_are_told_apart() {
        assert_eq!(parse("data/x"), Location::Disk("data/x".into()));
        assert_eq!(parse("file:///data/x"), Location::Disk("/data/x".into()));
        assert_eq!(parse("S3://bucket/x/"), Location::Url("s3://bucket/x".into()));
        assert_eq!(parse("odd name://x"), Location::Disk("odd name://x".into()));
        assert!(
            matches!(Location::parse(Path::new("ftp://h/x")), Err(ShardError::Scheme { scheme }) if scheme == "ftp")
        );
    }

    #[test]
    fn names_are_joined_before_the_query() {
        let folder = parse("https://host/ds?sig=abc");
        assert_eq!(folder.join("train"), Location::Url("https://host/ds/train?sig=abc".into()));
        assert_eq!(folder.join("train").name(), "train");
        assert_eq!(folder.join("val").join("00000.mcs").split_name(), "val");
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let shown = parse("https://user:pass@host:8080/a/b?X-Amz-Signature=feed").to_string();
        assert_eq!(shown, "https://host:8080/a/b");
        let text = public("GET http://u:p@h/x?sig=1 failed (https://h/y?sig=2): no");
        assert_eq!(text, "GET http://h/x failed (https://h/y): no");
    }
}
