//! The page: sections, tables, style. No script, nothing from elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::plot::{Plot, number};
use crate::config::Config;

/// Everything that the page shows; what is empty is left out.
pub(super) struct Page {
    pub title: String,
    pub plots: Vec<Plot>,
    pub summary: Map<String, Value>,
    pub environment: Map<String, Value>,
    pub config: Vec<(String, String)>,
    pub views: Option<Vec<u8>>,
}

impl Page {
    pub(super) fn html(&self) -> String {
        let title = escaped(&self.title);
        let mut body = format!("<header><h1>{title}</h1><p>{}</p></header>", escaped(&self.standing()));
        section(
            &mut body,
            "Results",
            &table(flat(&self.summary).iter().map(|(key, value)| (key.as_str(), value.as_str()))),
        );
        let plots: String = self.plots.iter().map(Plot::html).collect();
        section(&mut body, "Curves", &wrapped("plots", &plots));
        section(&mut body, "Training views", &self.contact_sheet());
        section(
            &mut body,
            "Environment",
            &table(flat(&self.environment).iter().map(|(key, value)| (key.as_str(), value.as_str()))),
        );
        section(&mut body, "Config", &self.settings());
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\
             <style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
        )
    }

    fn setting(&self, key: &str) -> &str {
        self.config.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }

    /// One line on what was trained and how far it came.
    fn standing(&self) -> String {
        let words = ["problem", "arch", "head", "data"].map(|key| self.setting(key).trim_matches('\'')).join(", ");
        let iters = self.setting("iters");
        match self.summary.get("iter").and_then(Value::as_u64) {
            Some(iter) if iters == iter.to_string() => format!("{words}; {iter} iterations, complete"),
            Some(iter) => format!("{words}; stopped at iteration {iter} of {iters}"),
            None => format!("{words}; under way, {iters} iterations in all"),
        }
    }

    fn contact_sheet(&self) -> String {
        let Some(png) = &self.views else { return String::new() };
        format!(
            "<p>The first images of the run's first batch as the encoder saw them, one group a class of the task.</p>\
             <div class=\"sheet\"><img alt=\"views of training images, grouped by class\" \
             src=\"data:image/png;base64,{}\"></div>",
            base64(png)
        )
    }

    /// What was set, and behind a click all keys.
    fn settings(&self) -> String {
        let defaults: BTreeMap<_, _> = Config::default().entries().into_iter().collect();
        let pairs = || self.config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let set = table(pairs().filter(|(key, value)| defaults.get(key).is_none_or(|default| default != value)));
        match pairs().count() {
            0 => String::new(),
            count => format!("{set}<details><summary>all {count} keys</summary>{}</details>", table(pairs())),
        }
    }
}

fn section(body: &mut String, title: &str, content: &str) {
    if !content.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(body, "\n<section><h2>{title}</h2>{content}</section>");
    }
}

/// `content` in a box; nothing stays nothing.
fn wrapped(class: &str, content: &str) -> String {
    if content.is_empty() { String::new() } else { format!("<div class=\"{class}\">{content}</div>") }
}

fn table<'a>(rows: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let row = |(key, value)| format!("<div><dt>{}</dt><dd>{}</dd></div>", escaped(key), escaped(value));
    let rows: String = rows.map(row).collect();
    if rows.is_empty() { rows } else { format!("<dl>{rows}</dl>") }
}

/// Keys and values of `object`, those of objects within it behind a dot; accuracies in percent.
fn flat(object: &Map<String, Value>) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (key, value) in object {
        match value {
            Value::Object(inner) => {
                rows.extend(flat(inner).into_iter().map(|(name, value)| (format!("{key}.{name}"), value)))
            }
            Value::Number(value) if value.is_f64() => {
                let value = value.as_f64().unwrap_or(f64::NAN);
                let is_share =
                    key.contains("top1") || key.contains("top5") || key.ends_with("_share") || key.ends_with("_acc");
                let text = if is_share { format!("{:.2} %", 100.0 * value) } else { number(value) };
                rows.push((key.clone(), text));
            }
            Value::String(text) => rows.push((key.clone(), text.clone())),
            Value::Null => rows.push((key.clone(), "none".to_owned())),
            other => rows.push((key.clone(), other.to_string())),
        }
    }
    rows
}

/// Text for HTML and its attributes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        let digit = |i: usize| if i <= chunk.len() { DIGITS[(bits >> (18 - 6 * i) & 63) as usize].into() } else { '=' };
        [0, 1, 2, 3].map(digit)
    };
    bytes.chunks(3).flat_map(group).collect()
}

const STYLE: &str = include_str!("style.css");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_rfc_4648() {
        let rows = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (text, want) in rows {
            assert_eq!(base64(text.as_bytes()), want);
        }
    }

    #[test]
    fn hostile_names_stay_text() {
        let config = vec![("name".to_owned(), "<script>alert(1)</script>".to_owned())];
        let (summary, environment) = (Map::new(), Map::new());
        let page = Page { title: "a\"b".into(), plots: Vec::new(), summary, environment, config, views: None };
        let html = page.html();
        assert!(!html.contains("<script") && html.contains("&lt;script&gt;"), "{html}");
        assert!(!html.contains("<h2>Curves"), "empty sections are left out");
    }
}
