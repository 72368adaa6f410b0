//! Why a component may not serve, each with what to change.
//!
//! A refusal is read by whoever pushed, so each text ends in a remedy; its label is one word for
//! programs and metrics, and what the worker's answer carries beside the text. The errors keep
//! their parts typed inside this crate, because tests hold on to them, and cross the process
//! boundary as label and text alone: a process that ran a stranger's code is believed no more.

use crate::manifest::{ManifestError, SECTION};
use crate::schema::{ConfigError, SchemaError};
use tidegate_core::module::ModuleKind;
use tidegate_core::policy::CallError;

/// Why a component may not serve.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AdmissionError {
    /// Too many bytes.
    #[error(
        "the component has {bytes} bytes, at most {most} are admitted; strip debug sections or ask the operator for more"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// Not WebAssembly at all.
    #[error("this is not WebAssembly; push the .wasm that `tidegate policy build` writes")]
    NotWasm,
    /// A core module.
    #[error("this is a core module, not a component; build it with `tidegate policy build`")]
    CoreModule,
    /// Truncated or damaged.
    #[error("the component is damaged: {0}; build it again and push it whole")]
    Malformed(String),
    /// No manifest section.
    #[error(
        "the component has no `{SECTION}` section; build it with `tidegate policy build`, which writes one"
    )]
    NoManifest,
    /// More than one.
    #[error("the component has {0} `{SECTION}` sections, exactly one is allowed; build it again")]
    ManyManifests(usize),
    /// The manifest is wrong.
    #[error("the manifest is wrong: {0}")]
    Manifest(#[from] ManifestError),
    /// The config schema is wrong.
    #[error("the manifest's `config_schema` is wrong: {0}")]
    Schema(SchemaError),
    /// An interface version that this engine does not serve.
    #[error("interface {asked} {why}: this engine reads {known}; {remedy}")]
    UnknownInterface {
        /// What the manifest says.
        asked: String,
        /// Whether it is too new, or none.
        why: &'static str,
        /// What is served.
        known: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The component is built for another version than its manifest says.
    #[error(
        "the manifest says interface {manifest}, the component exports `{export}`; build it again with `tidegate policy build`, which writes what the code was built for"
    )]
    OtherInterface {
        /// What the manifest says.
        manifest: String,
        /// What the component exports.
        export: String,
    },
    /// An import outside the allow-list.
    #[error("the component imports `{import}`, but a policy gets only {allowed}: {remedy}")]
    ForbiddenImport {
        /// Which.
        import: String,
        /// What is allowed.
        allowed: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The export of its kind is missing.
    #[error(
        "a component of kind {kind} must export `{export}`, the component exports {found}; use the macro of the SDK for this kind, or correct `kind` in the manifest"
    )]
    MissingExport {
        /// From the manifest.
        kind: ModuleKind,
        /// What it should export.
        export: &'static str,
        /// What it exports.
        found: String,
    },
    /// An export that its kind does not have.
    #[error(
        "a component of kind {kind} exports `{expected}` alone, the component also exports `{export}`; one component serves one kind, so move it to another"
    )]
    ExtraExport {
        /// From the manifest.
        kind: ModuleKind,
        /// What it should export.
        expected: &'static str,
        /// What it exports beside it.
        export: String,
    },
    /// It asks for more than it may have.
    #[error(
        "the manifest asks for {what} = {asked}, at most {most} is granted; lower it or ask the operator for more"
    )]
    LimitTooHigh {
        /// Which limit.
        what: &'static str,
        /// What it asks for.
        asked: u64,
        /// The ceiling.
        most: u64,
    },
    /// wasmtime refused the code.
    #[error(
        "the component is not valid here: {0}; policies may use SIMD, but not threads, relaxed SIMD, several memories or 64-bit memories"
    )]
    Invalid(String),
    /// Functions have other types than the interface.
    #[error(
        "the component does not fit interface {interface}: {detail}; build it against the WIT of that version"
    )]
    WrongTypes {
        /// The version.
        interface: &'static str,
        /// What differs.
        detail: String,
    },
    /// It is made of more parts than one instance may have.
    #[error(
        "the component has {have} {what}, at most {most} are given to one; link its libraries into one core module (what is composed of several components has a memory for each of them)"
    )]
    TooManyParts {
        /// Memories or tables.
        what: &'static str,
        /// Its number.
        have: u32,
        /// The limit.
        most: u32,
    },
    /// `describe` failed.
    #[error("`describe` gave no answer: {0}; it must answer without input")]
    Describe(CallError),
    /// `describe` says something else than the manifest.
    #[error(
        "`describe` says {what} = `{described}`, the manifest says `{manifest}`; build the component again so that they agree"
    )]
    Disagrees {
        /// Which field.
        what: &'static str,
        /// What the code says.
        described: String,
        /// What the manifest says.
        manifest: String,
    },
    /// The smallest config that the schema allows does not fit it.
    #[error(
        "no config for canary calls can be made from `config_schema`: {0}; give that property a `default` that fits, or do not require it"
    )]
    NoConfig(ConfigError),
    /// A canary call went wrong.
    #[error(
        "the canary call `{call}` on {case} failed: {error}; run `tidegate evaluate` or the SDK's native tests on such input, and push what answers it"
    )]
    Canary {
        /// Which function.
        call: &'static str,
        /// On what.
        case: String,
        /// How.
        error: CallError,
    },
    /// The same question had two answers.
    #[error(
        "the canary call `{call}` on {case} had another answer {when}; a policy is a pure function of its input: keep nothing between calls, and let no series see its neighbours in the batch"
    )]
    NotRepeatable {
        /// Which function.
        call: &'static str,
        /// On what.
        case: String,
        /// What was different about the second question.
        when: &'static str,
    },
}

impl AdmissionError {
    /// One word for programs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "size",
            Self::NotWasm | Self::CoreModule | Self::Malformed(_) => "structure",
            Self::NoManifest | Self::ManyManifests(_) | Self::Manifest(_) => "manifest",
            Self::Schema(_) | Self::NoConfig(_) => "schema",
            Self::UnknownInterface { .. } | Self::OtherInterface { .. } => "interface",
            Self::ForbiddenImport { .. } => "import",
            Self::MissingExport { .. } | Self::ExtraExport { .. } => "export",
            Self::LimitTooHigh { .. } | Self::TooManyParts { .. } => "limit",
            Self::Invalid(_) => "code",
            Self::WrongTypes { .. } => "types",
            Self::Describe(_) | Self::Disagrees { .. } => "describe",
            Self::Canary { .. } | Self::NotRepeatable { .. } => "canary",
        }
    }
}
