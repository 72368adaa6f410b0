//! What is wrong with a YAML document: `FILE:LINE: problem (did you mean …?)`.
//!
//! The parser says where and lists what it knows; a person wants one line and the nearest word. The
//! same sentences serve the configuration of the daemon and what `apply` reads.

use crate::cli::words;
use anyhow::{Result, anyhow};
use serde::de::DeserializeOwned;

/// Deserialises one document; an error carries the line.
pub(crate) fn read<T: DeserializeOwned>(text: &str, name: &str, place: &str) -> Result<T> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = match error.location() {
            Some(location) if location.line() > 0 && !is_missing(&error) => {
                format!("{name}:{}", location.line())
            }
            _ => place.to_owned(),
        };
        anyhow!("{place}: {}", explain(&error.without_snippet().to_string()))
    })
}

/// Whether a key is missing: it has no line, so the document's own is told.
fn is_missing(error: &serde_saphyr::Error) -> bool {
    error
        .without_snippet()
        .to_string()
        .contains("missing field")
}

/// The parser's sentence, without its own account of the place, with the nearest known word.
fn explain(message: &str) -> String {
    let first = message.lines().next().unwrap_or(message);
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let cut = first.find(" at line ").or_else(|| first.find(" (line "));
    let first = first[..cut.unwrap_or(first.len())].trim();
    let first = match first
        .strip_prefix("line ")
        .and_then(|rest| rest.split_once(": "))
    {
        Some((_, rest)) => rest,
        None => first,
    };
    if let Some(key) = quoted(first).filter(|_| first.starts_with("missing field")) {
        return format!("`{key}` is missing; add it");
    }
    let what = match first {
        _ if first.contains("unknown field") => "unknown key",
        _ if first.contains("unknown variant") => "unknown word",
        _ => return plain(first),
    };
    let Some(wrong) = quoted(first) else {
        return first.to_owned();
    };
    let (_, list) = first.split_once("expected").unwrap_or((first, ""));
    let list = list.trim().trim_start_matches("one of ");
    let words = list
        .split(|c: char| c == ',' || c.is_whitespace())
        .map(|w| w.trim_matches('`'));
    // Forms with a unit are accepted from those who copy from the protocol, and not advertised.
    let hidden = |w: &str| {
        matches!(w, "" | "or" | "kind")
            || (w.ends_with("_s") && w != "max_samples_per_s")
            || w.ends_with("_ms")
    };
    let known: Vec<&str> = words.filter(|w| !hidden(w)).collect();
    match words::nearest(wrong, &known) {
        Some(near) => format!("{what} `{wrong}` (did you mean `{near}`?)"),
        None => format!("{what} `{wrong}`; known are {}", known.join(", ")),
    }
}

/// The parser's own terms, in those of somebody who writes YAML.
fn plain(first: &str) -> String {
    const TERMS: [(&str, &str); 7] = [
        (
            "invalid socket address syntax",
            "this is no address with a port; write for example 127.0.0.1:7400",
        ),
        ("invalid u64", "this is no whole number of 0 or more"),
        ("invalid u32", "this is no whole number of 0 or more"),
        (
            "recursion limit exceeded",
            "it is nested deeper than anything that is read here",
        ),
        (
            "expected mapping start",
            "keys with values are wanted here, `key: value`",
        ),
        (
            "expected sequence start",
            "a list is wanted here, `[a, b]` or lines with `- `",
        ),
        ("expected string scalar", "a text is wanted here"),
    ];
    if let Some(rest) = first.strip_prefix("duplicate mapping key: ") {
        let key = rest.split(',').next().unwrap_or(rest);
        return format!("the key `{key}` stands here a second time; remove one of them");
    }
    let known = TERMS.iter().find(|(theirs, _)| first.contains(theirs));
    known.map_or_else(|| first.to_owned(), |(_, ours)| (*ours).to_owned())
}

/// The first word between backquotes.
fn quoted(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}
