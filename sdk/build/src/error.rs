//! Why a plugin was not built: one error type for the whole walk, each variant with its remedy.

use std::path::{Path, PathBuf};

use crate::component::EncodeError;
use crate::package::DeclarationError;
use crate::toolchain::ToolchainError;

/// Why a plugin was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Cargo does not understand the directory.
    #[error("cannot read the cargo workspace at {}: {reason}", .directory.display())]
    Metadata {
        /// Where.
        directory: PathBuf,
        /// Cargo's words.
        reason: String,
    },
    /// Nothing to build.
    #[error(
        "no plugin in {}: a plugin's Cargo.toml has a table [package.metadata.tidegate] with \
         `kind = \"forecaster\"` (or tierer, allocator, judge)", .0.display()
    )]
    NoPlugins(PathBuf),
    /// Two plugins of one name.
    #[error(
        "{} and {} both build the module `{name}`; set another `name` in \
         [package.metadata.tidegate] of one", .first.display(), .second.display()
    )]
    SameName {
        /// The name.
        name: String,
        /// One Cargo.toml.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A declaration is wrong.
    #[error(transparent)]
    Declaration(#[from] DeclarationError),
    /// No compiler serves.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// Cargo failed.
    #[error("cargo could not compile the plugins for the guest target:\n{report}")]
    Compile {
        /// The end of cargo's report.
        report: String,
    },
    /// Cargo succeeded and left no module.
    #[error("cargo built `{0}` and named no .wasm file; is its [lib] a cdylib?")]
    NoModule(String),
    /// The module does not become a component.
    #[error("{module} ({})", .manifest_path.display())]
    Encode {
        /// The module.
        module: String,
        /// Its Cargo.toml.
        manifest_path: PathBuf,
        /// Why.
        #[source]
        source: Box<EncodeError>,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Adds what was tried and where to an I/O error.
pub(crate) fn io<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> BuildError + 'a {
    move |source| BuildError::Io {
        what,
        path: path.to_path_buf(),
        source,
    }
}
