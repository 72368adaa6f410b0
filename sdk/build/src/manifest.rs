//! The manifest: what a component says of itself, readable without running it.
//!
//! It is JSON in one custom section, `tidegate:manifest`, at the component's outermost level, so
//! that admission can refuse a module before any of its code is compiled. A section was preferred
//! to a file beside the component (two files drift apart, and a digest then covers half) and to
//! asking the module itself (that runs code). A section of that name *inside* an embedded core
//! module does not count: a linked library cannot speak for the component.
//!
//! Readers ignore keys they do not know, so that a newer builder may add one; writers are strict
//! (see [`crate::Package`]).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wasm_encoder::{Encode, Section};
use wasmparser::{Encoding, Parser, Payload};

use crate::schema;

/// Name of the custom section.
pub const SECTION: &str = "tidegate:manifest";

/// Longest manifest that is read, in bytes; a schema far above this is a mistake.
pub const MAX_BYTES: usize = 256 * 1024;

/// Longest module name, in bytes: it becomes a file name and a metric label.
pub const MAX_NAME_BYTES: usize = 64;

/// What a module decides; also the name of its world in `tidegate:policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Learns and predicts a signal.
    Forecaster,
    /// Chooses tiers.
    Tierer,
    /// Divides a pool.
    Allocator,
    /// Compares a shadow with production.
    Judge,
}

impl Kind {
    /// All kinds, in walking order.
    pub const ALL: [Kind; 4] = [Kind::Forecaster, Kind::Tierer, Kind::Allocator, Kind::Judge];

    /// The name in manifests and of the world.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Forecaster => "forecaster",
            Kind::Tierer => "tierer",
            Kind::Allocator => "allocator",
            Kind::Judge => "judge",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a module asks of the host. Absent: the host's default. The host may grant less, and
/// refuses what is above its own bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// All linear memories together, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Wall time of one call of the cycle, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Wall time of one `fit`, in milliseconds (forecasters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit_deadline_ms: Option<u64>,
}

/// What a component says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Lower-case letters, digits and single dashes; at most [`MAX_NAME_BYTES`].
    pub name: String,
    /// The author's version of the module, for example `0.1.0`.
    pub version: String,
    /// What it decides.
    pub kind: Kind,
    /// Version of `tidegate:policy` that it was built against, for example `0.2.0`.
    pub interface: String,
    /// JSON Schema of its configuration, an object.
    pub config_schema: serde_json::Value,
    /// What it asks of the host.
    #[serde(default)]
    pub limits: Limits,
    /// Whether an instance may be kept between calls; `false` gives every call a fresh one.
    #[serde(default)]
    pub warm: bool,
    /// SPDX expression; empty where the author names none.
    #[serde(default)]
    pub license: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
}

/// Why a manifest cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are no WebAssembly component.
    #[error("not a WebAssembly component: {0}; build one with `tidegate policy build`")]
    NotAComponent(String),
    /// A component without the section.
    #[error(
        "the component has no `{SECTION}` section, so its kind and name are unknown; build it with \
         `tidegate policy build`, which writes the section from Cargo.toml"
    )]
    Missing,
    /// More than one section.
    #[error("the component has {0} `{SECTION}` sections; exactly one is allowed")]
    Repeated(usize),
    /// A section above [`MAX_BYTES`].
    #[error("the manifest has {0} bytes, the limit is {MAX_BYTES}; shorten the config schema")]
    TooLong(usize),
    /// The section is no manifest.
    #[error("the `{SECTION}` section is not a manifest")]
    Json(#[source] serde_json::Error),
    /// A field breaks a rule.
    #[error("manifest field `{field}`: {problem}")]
    Field {
        /// Name of the field.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl Manifest {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ManifestError::Field`] names the first field that breaks its rule, and the rule.
    pub fn check(&self) -> Result<(), ManifestError> {
        check_name(&self.name).map_err(|problem| field("name", problem))?;
        check_version(&self.version).map_err(|problem| field("version", problem))?;
        check_version(&self.interface).map_err(|problem| field("interface", problem))?;
        schema::check(&self.config_schema).map_err(|problem| field("config_schema", problem))?;
        let limits = [
            ("limits.memory_bytes", self.limits.memory_bytes),
            ("limits.deadline_ms", self.limits.deadline_ms),
            ("limits.fit_deadline_ms", self.limits.fit_deadline_ms),
        ];
        match limits.into_iter().find(|(_, value)| *value == Some(0)) {
            Some((name, _)) => Err(field(
                name,
                "0 would stop every call; leave it out for the host's default".to_owned(),
            )),
            None => Ok(()),
        }
    }

    /// The section's content: JSON with keys in declaration order, hence the same bytes every time.
    ///
    /// # Errors
    /// As [`Manifest::check`], or [`ManifestError::TooLong`].
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        let json = serde_json::to_vec(self).map_err(ManifestError::Json)?;
        if json.len() > MAX_BYTES {
            return Err(ManifestError::TooLong(json.len()));
        }
        Ok(json)
    }
}

/// Reads the manifest of a component; runs and compiles nothing.
///
/// # Errors
/// The bytes are no component, hold no manifest or more than one, or a field breaks its rule.
pub fn read(component: &[u8]) -> Result<Manifest, ManifestError> {
    let sections = sections(component)?;
    let json = match sections.as_slice() {
        [] => return Err(ManifestError::Missing),
        [one] => *one,
        more => return Err(ManifestError::Repeated(more.len())),
    };
    if json.len() > MAX_BYTES {
        return Err(ManifestError::TooLong(json.len()));
    }
    let manifest: Manifest = serde_json::from_slice(json).map_err(ManifestError::Json)?;
    manifest.check()?;
    Ok(manifest)
}

/// Appends the manifest section to a component that has none.
///
/// # Errors
/// As [`Manifest::to_json`]; [`ManifestError::Repeated`] where there is a section already.
pub fn append(component: &mut Vec<u8>, manifest: &Manifest) -> Result<(), ManifestError> {
    let present = sections(component)?.len();
    if present > 0 {
        return Err(ManifestError::Repeated(present + 1));
    }
    let json = manifest.to_json()?;
    let section = wasm_encoder::CustomSection {
        name: SECTION.into(),
        data: Cow::Owned(json),
    };
    component.push(section.id());
    section.encode(component);
    Ok(())
}

/// Contents of the outermost sections of that name.
fn sections(component: &[u8]) -> Result<Vec<&[u8]>, ManifestError> {
    let bad = |e: wasmparser::BinaryReaderError| ManifestError::NotAComponent(e.to_string());
    let mut found = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(bad)? {
            Payload::Version { encoding, .. } if depth == 0 && encoding != Encoding::Component => {
                return Err(ManifestError::NotAComponent("a core module".to_owned()));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == SECTION => {
                found.push(section.data());
            }
            _ => {}
        }
    }
    Ok(found)
}

fn field(name: &str, problem: String) -> ManifestError {
    ManifestError::Field {
        field: name.to_owned(),
        problem,
    }
}

/// The rule of [`Manifest::name`].
pub fn check_name(name: &str) -> Result<(), String> {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if starts && name.len() <= MAX_NAME_BYTES && name.split('-').all(part) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is not a module name; use lower-case letters, digits and single dashes, a letter \
         first, at most {MAX_NAME_BYTES} characters, for example `my-forecaster`"
    ))
}

/// `MAJOR.MINOR.PATCH` with an optional pre-release or build part (semver.org, section 2).
pub(crate) fn check_version(version: &str) -> Result<(), String> {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let number = |n: &str| !n.is_empty() && n.len() <= 9 && n.bytes().all(|b| b.is_ascii_digit());
    let printable = version
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-+.".contains(&b));
    if core.split('.').count() == 3 && core.split('.').all(number) && printable {
        return Ok(());
    }
    Err(format!(
        "`{version}` is not a version; write MAJOR.MINOR.PATCH, for example `0.1.0`"
    ))
}
