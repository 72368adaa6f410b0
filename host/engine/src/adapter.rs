//! One adapter per released interface version, chosen once at load.
//!
//! An adapter knows the names, types and functions of its version and turns them into `core`'s
//! policies; nothing else in the engine does, and nothing outside it can tell versions apart. A new
//! version is a new file and a line in [`ADAPTERS`]; old ones stay as they are, so that an old
//! component keeps working.

mod next;

use crate::call::Prepared;
use crate::guest::Guest;
use crate::module::Policy;
use std::sync::Arc;
use tidegate_core::module::ModuleKind;
use tidegate_core::policy::CallError;
use wasmtime::component::{Component, InstancePre};

/// What a module says of itself when asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) kind: ModuleKind,
    pub(crate) config_schema: String,
    pub(crate) state_format: u32,
}

/// One interface version.
pub(crate) trait Adapter: Sync {
    /// `0.1.0-next`.
    fn version(&self) -> &'static str;

    /// The interfaces that a component may import.
    fn imports(&self) -> &'static [&'static str];

    /// The interface that a component of this kind must export.
    fn export(&self, kind: ModuleKind) -> &'static str;

    /// Links a component, checking the types of its imports.
    fn link(
        &self,
        engine: &wasmtime::Engine,
        component: &Component,
    ) -> wasmtime::Result<InstancePre<Guest>>;

    /// Instantiates once, checks the types of all functions of the kind, and asks what it is.
    fn describe(&self, kind: ModuleKind, module: &Prepared) -> Result<Description, CallError>;

    /// The policy that calls this module.
    ///
    /// # Errors
    /// When a function is missing.
    fn policy(&self, kind: ModuleKind, module: Arc<Prepared>) -> wasmtime::Result<Policy>;
}

/// All versions that this engine serves, oldest first.
pub(crate) const ADAPTERS: &[&dyn Adapter] = &[&next::Next];

/// The adapter of a version.
pub(crate) fn of(version: &str) -> Option<&'static dyn Adapter> {
    ADAPTERS.iter().copied().find(|a| a.version() == version)
}
