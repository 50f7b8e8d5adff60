//! What both programs know of object storage: the variables that hold its credentials.

/// The variables of the providers' SDKs. Their values go to the library, which shows none.
pub(crate) fn variables() -> Vec<(String, String)> {
    let ours = |name: &str| metacl::shard::VARIABLES.iter().any(|prefix| name.starts_with(prefix));
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).filter(|(name, _)| ours(name)).collect()
}
