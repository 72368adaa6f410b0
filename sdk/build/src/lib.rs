//! Turns a plugin crate into a validated component.
//!
//! The same code serves the daemon's build script (which embeds the shipped plugins), the verb
//! `tidegate policy build`, and tests, so that no two of them build a component differently:
//!
//! ```no_run
//! # fn main() -> Result<(), tidegate_build::BuildError> {
//! let builder = tidegate_build::Builder::new("plugins/ets");
//! for built in builder.build(&builder.packages()?)? {
//!     let Some(file) = built.component.to_str() else { continue };
//!     assert!(file.ends_with("components/ets.wasm"));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The walk: [`package`] reads what the author declares, [`Toolchain`] is what compiles it (and
//! what to do where nothing does), a nested cargo compiles, [`component`] checks the imports,
//! finds the interface version and encodes, [`manifest`] is what the component says of itself.
//! [`doctor()`] tells beforehand what a machine lacks.
//!
//! The encoder is a library, not the `wasm-tools` program: one thing less to install, and its
//! version is locked together with everything else.

mod builder;
mod cargo;
mod command;
pub mod component;
mod doctor;
mod error;
mod inputs;
mod linker;
mod machine;
pub mod manifest;
pub mod package;
mod progress;
mod schema;
mod stamp;
mod toolchain;

pub use builder::{Builder, Built, InstallTarget, Profile};
pub use doctor::{Finding, Status, doctor};
pub use error::BuildError;
pub use manifest::{Kind, Limits, Manifest};
pub use package::Package;
pub use progress::{Callback, Progress};
pub use stamp::hex;
pub use toolchain::{TARGET, Toolchain, ToolchainError};
