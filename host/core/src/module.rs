//! Policy modules: their kinds, what they say of themselves, and how they are bound.

use crate::catalog::Api;
use crate::ids::{BindingId, Digest, PoolId, TenantId};
use crate::life::Gate;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::fmt;

/// How long what a version left (fitted states, kept states) outlives the one that took its place, in
/// milliseconds: a day, within which a person sees that the new one is worse.
pub const ROLLBACK_MS: i64 = 86_400_000;

/// What a module is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModuleKind {
    /// Learns and predicts a signal.
    Forecaster,
    /// Chooses tiers.
    Tierer,
    /// Divides a pool.
    Allocator,
    /// Compares a shadow with production.
    Judge,
}

impl ModuleKind {
    /// All, in walking order.
    pub const ALL: [ModuleKind; 4] = [
        ModuleKind::Forecaster,
        ModuleKind::Tierer,
        ModuleKind::Allocator,
        ModuleKind::Judge,
    ];

    /// The name in APIs, manifests and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ModuleKind::Forecaster => "forecaster",
            ModuleKind::Tierer => "tierer",
            ModuleKind::Allocator => "allocator",
            ModuleKind::Judge => "judge",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}

impl fmt::Display for ModuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One version of a module, by content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModuleRef {
    /// Name from the manifest, `native:NAME` for a baseline.
    pub name: String,
    /// Version from the manifest.
    pub version: String,
    /// SHA-256 of the component; zero for a native baseline.
    pub digest: Digest,
}

impl ModuleRef {
    /// A native baseline.
    #[must_use]
    pub fn native(name: &str) -> Self {
        Self {
            name: format!("native:{name}"),
            version: "1".into(),
            digest: Digest([0; 32]),
        }
    }
}

impl fmt::Display for ModuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)?;
        if self.digest.0 == [0; 32] {
            Ok(())
        } else {
            write!(f, " ({})", self.digest.short())
        }
    }
}

/// Who holds a module. The same bytes may be held by several, none of whom learns of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The tenant whose bindings alone may name it; `None` is the operator's, for everybody.
    pub owner: Option<TenantId>,
    /// The credential that pushed it.
    pub pushed_by: String,
    /// When it was admitted for this owner.
    pub admitted_at: Timestamp,
    /// The trusted key that had signed it; `None` where no signature was demanded.
    pub signed_by: Option<Signer>,
}

/// A key that signs modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Its name in the daemon's configuration, when the module was pushed.
    pub name: String,
    /// Its id: the first 16 hexadecimal digits of the SHA-256 of the public key, which stay when it
    /// is given another name.
    pub id: String,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)
    }
}

/// What a component's manifest section says; readable without running code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: ModuleKind,
    /// Interface version, for example `0.2.0`.
    pub interface: String,
    /// JSON Schema of its config.
    pub config_schema: String,
    /// Linear memory that it asks for, in bytes; `None` takes the default.
    pub memory_bytes: Option<u64>,
    /// Wall time per call that it asks for, in milliseconds; `None` takes the default.
    pub deadline_ms: Option<u64>,
    /// One line for people.
    pub description: String,
}

/// Which series, apis or pools a binding serves. The more parts are given, the more specific.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// This tenant alone.
    pub tenant: Option<TenantId>,
    /// This pool alone (allocators).
    pub pool: Option<PoolId>,
    /// This category alone.
    pub category: Option<String>,
    /// All of these labels.
    pub labels: BTreeMap<String, String>,
}

impl Selector {
    /// Number of conditions: the most specific binding wins, the lower id on a tie.
    #[must_use]
    pub fn specificity(&self) -> usize {
        usize::from(self.tenant.is_some())
            + usize::from(self.pool.is_some())
            + usize::from(self.category.is_some())
            + self.labels.len()
    }

    /// Whether every condition holds for an api.
    #[must_use]
    pub fn selects(&self, api: &Api) -> bool {
        self.tenant.as_ref().is_none_or(|t| *t == api.id.tenant)
            && self.pool.as_ref().is_none_or(|p| *p == api.pool)
            && self.category.as_ref().is_none_or(|c| *c == api.category)
            && (self.labels.iter()).all(|(key, want)| api.labels.get(key) == Some(want))
    }
}

/// A selector and the module, with config, that serves what it selects.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// Its name.
    pub id: BindingId,
    /// What kind of module it binds.
    pub kind: ModuleKind,
    /// What it serves.
    pub selector: Selector,
    /// The module, by name (newest admitted version) or full digest.
    pub module: String,
    /// JSON under the module's schema.
    pub config: String,
    /// Modules that forecast the same series in shadow and are scored beside it; where one of them
    /// is better for a series by enough and for long enough, it answers there. At most
    /// [`Binding::MOST_CHALLENGERS`].
    pub challengers: Vec<Challenger>,
    /// A candidate for the whole binding: it gets live input beside the module, and its answers do
    /// not count.
    pub shadow: Option<ShadowModule>,
    /// When the shadow is promoted, and when the promotion is taken back.
    pub gate: Gate,
}

/// A module, with config, that stands beside a binding's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenger {
    /// The module, by name (newest admitted version) or full digest.
    pub module: String,
    /// JSON under the module's schema.
    pub config: String,
}

/// A module, with config, that is in shadow of a binding's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowModule {
    /// The module, by name (newest admitted version) or full digest.
    pub module: String,
    /// JSON under the module's schema.
    pub config: String,
}

impl Binding {
    /// Most challengers of one binding: each costs fits, updates and predictions of every series.
    pub const MOST_CHALLENGERS: usize = 4;

    /// The binding with another module of its own. A challenger or a shadow that it becomes is none
    /// any more.
    #[must_use]
    pub fn served_by(&self, module: String, config: String) -> Self {
        let mut next = self.clone();
        next.challengers.retain(|c| c.module != module);
        next.shadow
            .take_if(|s| s.module == module && s.config == config);
        Self {
            module,
            config,
            ..next
        }
    }
}
