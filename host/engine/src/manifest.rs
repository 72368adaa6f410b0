//! The manifest: what a component says of itself in its custom section, readable without running
//! it.
//!
//! The section's name is [`SECTION`] and its content JSON of the shape below, at the component's
//! outermost level. The writer is `sdk/build`, which is strict; this reader ignores keys that it
//! does not know, so that a newer builder may add one. The two share a test in `tests/hostile` and
//! no code, since a host must not trust the builder.

use serde::Deserialize;
use tidegate_core::ids::Name;
use tidegate_core::module::{Manifest, ModuleKind};

/// Name of the custom section.
pub const SECTION: &str = "tidegate:manifest";

/// Longest section that is read, in bytes.
const MAX_SECTION: usize = 256 * 1024;

/// Longest description and version, in bytes.
const MAX_LINE: usize = 500;

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ManifestError(pub(crate) String);

#[derive(Deserialize)]
struct Section {
    name: String,
    version: String,
    kind: String,
    interface: String,
    /// An object, or its text.
    #[serde(default)]
    config_schema: Option<serde_json::Value>,
    #[serde(default)]
    limits: Option<Asked>,
    #[serde(default)]
    warm: bool,
    #[serde(default)]
    description: String,
}

/// What a module asks of the host; absent means the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Asked {
    /// Linear memories and tables together, in bytes.
    #[serde(default)]
    pub(crate) memory_bytes: Option<u64>,
    /// Wall time of a call other than `fit`, in milliseconds.
    #[serde(default)]
    pub(crate) deadline_ms: Option<u64>,
    /// Wall time of `fit`, in milliseconds.
    #[serde(default)]
    pub(crate) fit_deadline_ms: Option<u64>,
    /// Whether instances may be kept between calls; stands beside the limits.
    #[serde(skip)]
    pub(crate) warm: bool,
}

/// Reads a section.
///
/// # Errors
/// Says which key is wrong and what it should be.
pub(crate) fn parse(section: &[u8]) -> Result<(Manifest, Asked), ManifestError> {
    let fail = |text: String| Err(ManifestError(text));
    if section.len() > MAX_SECTION {
        return fail(format!(
            "the section has {} bytes, at most {MAX_SECTION} are read: shorten `config_schema`",
            section.len()
        ));
    }
    let said: Section = serde_json::from_slice(section)
        .map_err(|error| ManifestError(format!("it is not the JSON of a manifest: {error}")))?;
    if let Err(error) = Name::new(&said.name) {
        return fail(format!("`name`: {error}"));
    }
    if said.version.is_empty() || said.version.len() > MAX_LINE {
        return fail("`version` must be a version such as 1.2.0".into());
    }
    let Some(kind) = ModuleKind::parse(&said.kind) else {
        let kinds: Vec<&str> = ModuleKind::ALL.iter().map(|k| k.name()).collect();
        let known = kinds.join(", ");
        return fail(format!(
            "`kind` is `{}`, it must be one of {known}",
            said.kind
        ));
    };
    if said.description.len() > MAX_LINE {
        return fail(format!(
            "`description` is longer than {MAX_LINE} bytes: make it one line"
        ));
    }
    let asked = Asked {
        warm: said.warm,
        ..said.limits.unwrap_or_default()
    };
    for (what, value) in [
        ("memory_bytes", asked.memory_bytes),
        ("deadline_ms", asked.deadline_ms),
        ("fit_deadline_ms", asked.fit_deadline_ms),
    ] {
        if value == Some(0) {
            return fail(format!(
                "`limits.{what}` is 0: leave it out to get the default"
            ));
        }
    }
    let schema = match said.config_schema {
        None => serde_json::json!({}),
        Some(serde_json::Value::String(text)) => match serde_json::from_str(&text) {
            Ok(schema) => schema,
            Err(error) => return fail(format!("`config_schema` is not JSON: {error}")),
        },
        Some(schema) => schema,
    };
    if !schema.is_object() {
        return fail("`config_schema` must be a JSON Schema object, for example {}".into());
    }
    let manifest = Manifest {
        name: said.name,
        version: said.version,
        kind,
        interface: said.interface,
        config_schema: schema.to_string(),
        memory_bytes: asked.memory_bytes,
        deadline_ms: asked.deadline_ms,
        description: said.description,
    };
    Ok((manifest, asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"name":"ets","version":"1.0.0","kind":"forecaster",
        "interface":"0.2.0","config_schema":{"type":"object"},
        "limits":{"memory_bytes":1048576,"deadline_ms":100},"description":"Smooths."}"#;

    #[test]
    fn a_manifest_is_read_whole() {
        let (manifest, asked) = parse(GOOD.as_bytes()).unwrap();
        assert_eq!(
            (manifest.name.as_str(), manifest.kind),
            ("ets", ModuleKind::Forecaster)
        );
        assert_eq!(manifest.memory_bytes, Some(1 << 20));
        assert_eq!(manifest.config_schema, r#"{"type":"object"}"#);
        let text = GOOD.replace(r#"{"type":"object"}"#, r#""{\"type\":\"object\"}""#);
        assert_eq!(parse(text.as_bytes()).unwrap(), (manifest, asked));
        assert_eq!(asked.fit_deadline_ms, None);
    }

    #[test]
    fn a_bad_manifest_says_which_key_is_wrong() {
        for (from, to, part) in [
            ("\"name\":\"ets\"", "\"name\":\"e ts\"", "`name`"),
            ("forecaster", "oracle", "one of forecaster, tierer"),
            ("1048576", "0", "limits.memory_bytes"),
            ("1048576", "\"64 MiB\"", "invalid type"),
            ("{\"type\":\"object\"}", "\"{\"", "not JSON"),
            (
                "{\"type\":\"object\"}",
                "[]",
                "must be a JSON Schema object",
            ),
            ("\"version\":\"1.0.0\",", "", "missing field `version`"),
            ("{\"name\"", "\u{0}", "not the JSON"),
        ] {
            let error = parse(GOOD.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(part), "{from} -> {to}: {error}");
        }
    }
}
