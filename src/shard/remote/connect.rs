//! From a URL and variables to a store, without letting a secret out.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, HeaderMap, HeaderValue, ObjectStore, ObjectStoreScheme, RetryConfig};
use percent_encoding::percent_decode_str;
use url::Url;

use super::RemoteError;
use crate::shard::location::public;
use crate::shard::storage::{Patience, StorageOptions};

/// Longest pause between two attempts.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Shorter values of variables are no secrets (`true`).
const SHORTEST_SECRET: usize = 8;
/// Ends of names of variables whose values are parts of addresses, which messages need.
const PUBLIC: [&str; 5] = ["REGION", "ENDPOINT", "ENDPOINT_URL", "ENDPOINT_URL_S3", "ACCOUNT_NAME"];

/// A URL, taken apart.
pub(super) struct Target {
    /// What has a store of its own: scheme, server or bucket, first part of the path (Azure's container), query.
    pub(super) root: String,
    pub(super) path: Path,
    url: Url,
    scheme: ObjectStoreScheme,
}

/// Takes `url` apart.
pub(super) fn parse(url: &str, secrets: &Secrets) -> Result<Target, RemoteError> {
    let refused = |reason: String| RemoteError::Url { url: public(url), reason: secrets.hide(&reason) };
    let parsed = Url::parse(url).map_err(|error| refused(error.to_string()))?;
    let (scheme, path) = ObjectStoreScheme::parse(&parsed).map_err(|error| refused(error.to_string()))?;
    let first = parsed.path_segments().and_then(|mut parts| parts.next()).unwrap_or_default();
    let root = format!("{}://{}/{first}?{}", parsed.scheme(), parsed.authority(), parsed.query().unwrap_or_default());
    Ok(Target { root, path, url: parsed, scheme })
}

/// A store for `target`; nothing is sent yet.
pub(super) fn connect(
    target: &Target,
    options: &StorageOptions,
    secrets: &Secrets,
) -> Result<Arc<dyn ObjectStore>, RemoteError> {
    build(&target.scheme, &target.url, options).map_err(|error| RemoteError::Url {
        url: public(target.url.as_str()),
        reason: secrets.hide(&error.to_string()),
    })
}

fn build(
    scheme: &ObjectStoreScheme,
    url: &Url,
    options: &StorageOptions,
) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let StorageOptions { variables, patience, .. } = options;
    let (client, retry) = (client(patience), retry(patience));
    let plain = |end: &str| variables.iter().any(|(key, value)| key.ends_with(end) && value.starts_with("http://"));
    Ok(match scheme {
        ObjectStoreScheme::AmazonS3 => {
            let client = client.with_allow_http(plain("ENDPOINT") || plain("ENDPOINT_URL") || plain("ENDPOINT_URL_S3"));
            let builder = AmazonS3Builder::new().with_client_options(client).with_retry(retry).with_url(url.as_str());
            Arc::new(with(builder, variables, AmazonS3Builder::with_config).build()?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let builder = GoogleCloudStorageBuilder::new().with_client_options(client).with_retry(retry);
            let builder = builder.with_url(url.as_str());
            Arc::new(with(builder, variables, GoogleCloudStorageBuilder::with_config).build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let client = client.with_allow_http(plain("ENDPOINT"));
            let builder = MicrosoftAzureBuilder::new().with_client_options(client).with_retry(retry);
            let builder = builder.with_url(url.as_str());
            Arc::new(with(builder, variables, MicrosoftAzureBuilder::with_config).build()?)
        }
        _ => {
            let client = client.with_allow_http(url.scheme() == "http");
            let client = match basic(url) {
                Some(headers) => client.with_default_headers(headers),
                None => client,
            };
            let mut root = url.clone();
            root.set_path("");
            // Nothing of them may reach an address that the store prints.
            let _ = root.set_username("");
            let _ = root.set_password(None);
            Arc::new(HttpBuilder::new().with_client_options(client).with_retry(retry).with_url(root).build()?)
        }
    })
}

/// User and password of a URL, which the client would leave in it.
fn basic(url: &Url) -> Option<HeaderMap> {
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = (plain(url.username()), plain(url.password().unwrap_or_default()));
    if user.is_empty() && password.is_empty() {
        return None;
    }
    let mut value =
        HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))).ok()?;
    value.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert("authorization", value);
    Some(headers)
}

/// Hands the variables to a builder that knows their names; it passes over the others.
fn with<B, K: FromStr>(builder: B, variables: &[(String, String)], set: impl Fn(B, K, String) -> B) -> B {
    variables.iter().fold(builder, |builder, (name, value)| match name.to_ascii_lowercase().parse() {
        Ok(key) => set(builder, key, value.clone()),
        Err(_) => builder,
    })
}

fn client(patience: &Patience) -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(patience.silence)
        .with_read_timeout(patience.silence)
        .with_timeout(patience.limit)
}

fn retry(patience: &Patience) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: patience.pause, max_backoff: LONGEST_PAUSE, base: 2.0 },
        max_retries: patience.retries,
        retry_timeout: patience.limit,
    }
}

/// What must not be seen in a message about `url`.
pub(super) fn secrets(url: &str, options: &StorageOptions) -> Secrets {
    let harmless = |name: &str| PUBLIC.iter().any(|end| name.ends_with(end));
    let secret = |(name, value): &&(String, String)| value.len() >= SHORTEST_SECRET && !harmless(name);
    let mut hidden: Vec<String> = options.variables.iter().filter(secret).map(|(_, value)| value.clone()).collect();
    if let Ok(url) = Url::parse(url) {
        hidden.extend(url.password().map(str::to_owned));
        hidden.extend(basic(&url).and_then(|headers| Some(headers.get("authorization")?.to_str().ok()?.to_owned())));
        hidden.extend(url.query().map(str::to_owned));
    }
    // A longer one may hold a shorter one.
    hidden.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    hidden.retain(|secret| !secret.is_empty());
    Secrets(hidden)
}

/// Texts that are struck out of whatever a server or the store's client says.
#[derive(Clone)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// `text` without them, and without users and queries of URLs.
    pub(super) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(public(text), |text, secret| text.replace(secret, "***"))
    }
}
