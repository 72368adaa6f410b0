//! One adapter per released interface version, chosen once at load.
//!
//! An adapter knows the names, types and functions of its version and turns them into `core`'s
//! policies; nothing else in the engine does, and nothing outside it can tell versions apart. A new
//! version is a new file, which holds what it changed, and a line in [`ADAPTERS`]; an old component keeps
//! working, because what it was built against is frozen with its folder under `wit/`.
//!
//! Which adapter it is, the manifest says and the component's exports must agree with. The exports
//! alone would do for the choice; but a manifest that speaks of another version is a sign that it was
//! written for another build, and nothing in it could be trusted.

mod v0_1;
mod v0_2;

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

/// What a version calls its interfaces.
#[derive(Debug)]
pub(crate) struct Names {
    version: &'static str,
    /// `host` and `types`.
    imports: [&'static str; 2],
    /// By kind, in the order of [`ModuleKind::ALL`].
    exports: [&'static str; 4],
}

macro_rules! names {
    ($version:literal) => {
        Names {
            version: $version,
            imports: [
                concat!("tidegate:policy/host@", $version),
                concat!("tidegate:policy/types@", $version),
            ],
            exports: [
                concat!("tidegate:policy/forecasting@", $version),
                concat!("tidegate:policy/tiering@", $version),
                concat!("tidegate:policy/allocation@", $version),
                concat!("tidegate:policy/judging@", $version),
            ],
        }
    };
}

impl Names {
    fn host(&self) -> &'static str {
        self.imports[0]
    }

    fn types(&self) -> &'static str {
        self.imports[1]
    }

    /// The interface that a component of this kind must export.
    fn export(&self, kind: ModuleKind) -> &'static str {
        self.exports[kind as usize]
    }
}

/// One interface version.
pub(crate) trait Adapter: Sync {
    /// Its names.
    fn names(&self) -> &Names;

    /// `0.1.0`.
    fn version(&self) -> &'static str {
        self.names().version
    }

    /// The interfaces that a component may import.
    fn imports(&self) -> &[&'static str] {
        &self.names().imports
    }

    /// The interface that a component of this kind must export.
    fn export(&self, kind: ModuleKind) -> &'static str {
        self.names().export(kind)
    }

    /// Links a component, checking the types of its imports.
    fn link(
        &self,
        engine: &wasmtime::Engine,
        component: &Component,
    ) -> wasmtime::Result<InstancePre<Guest>> {
        v0_1::link(self.names(), engine, component)
    }

    /// Instantiates once, checks the types of all functions of the kind, and asks what it is.
    fn describe(&self, kind: ModuleKind, module: &Arc<Prepared>) -> Result<Description, CallError>;

    /// The policy that calls this module.
    ///
    /// # Errors
    /// When a function is missing.
    fn policy(&self, kind: ModuleKind, module: Arc<Prepared>) -> wasmtime::Result<Policy>;
}

/// What 0.1 was called before it was frozen, without any change: components that bear that name are
/// stored, and are built by checkouts of that time.
static UNFROZEN: v0_1::V0_1 = v0_1::V0_1(names!("0.1.0-next"));
static FIRST: v0_1::V0_1 = v0_1::V0_1(names!("0.1.0"));
static SECOND: v0_2::V0_2 = v0_2::V0_2(names!("0.2.0"));

/// All versions that this engine serves, oldest first.
static ADAPTERS: [&dyn Adapter; 3] = [&UNFROZEN, &FIRST, &SECOND];

/// The version that new components are built for.
pub(crate) fn newest() -> &'static dyn Adapter {
    &SECOND
}

/// The adapter of a version.
pub(crate) fn of(version: &str) -> Option<&'static dyn Adapter> {
    ADAPTERS.iter().copied().find(|a| a.version() == version)
}

/// The released versions that this engine serves, for people: `0.1.0 and 0.2.0`.
pub(crate) fn served() -> String {
    let released = ADAPTERS.iter().filter(|a| !a.version().contains('-'));
    let names: Vec<&str> = released.map(|a| a.version()).collect();
    names.join(" and ")
}

/// Whether a version is later than all that this engine serves; one that is no version is not.
pub(crate) fn is_later(version: &str) -> bool {
    numbers(version).is_some_and(|asked| numbers(newest().version()).is_some_and(|n| asked > n))
}

/// Major, minor, patch; what follows a dash is passed over.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let plain = version.split(['-', '+']).next()?;
    let parts: Result<Vec<u64>, _> = plain.split('.').map(str::parse).collect();
    parts.ok()?.try_into().ok()
}

/// The version in the name of an interface of ours, `tidegate:policy/tiering@0.1.0` for example.
pub(crate) fn version_of(interface: &str) -> Option<&str> {
    let name = interface.strip_prefix("tidegate:policy/")?;
    name.split_once('@').map(|(_, version)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, later) in [
            ("0.2.0", false),
            ("0.10.0", true),
            ("0.3.0-next", true),
            ("1.0.0", true),
            ("0.1.9", false),
            ("9", false),
            ("9.9.x", false),
            ("", false),
        ] {
            assert_eq!(is_later(version), later, "{version}");
        }
        assert_eq!(served(), "0.1.0 and 0.2.0");
    }

    #[test]
    fn what_was_called_next_is_served_as_what_it_became() {
        let of = |version| of(version).map(|a| a.export(ModuleKind::Judge));
        assert_eq!(of("0.1.0-next"), Some("tidegate:policy/judging@0.1.0-next"));
        assert_eq!(of("0.1.0"), Some("tidegate:policy/judging@0.1.0"));
        assert_eq!(of("0.2.0-next"), None);
    }
}
