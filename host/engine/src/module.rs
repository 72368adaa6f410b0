//! An admitted module: compiled, linked, its limits fixed, ready to serve.

use crate::adapter::Adapter;
use crate::call::Prepared;
use crate::warm::{Reuse, Warm};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_core::ids::Digest;
use tidegate_core::module::{Manifest, ModuleKind, ModuleRef};
use tidegate_core::policy::{Allocator, Forecaster, Judge, Tierer};

/// A policy of one of the four kinds, whoever answers.
#[derive(Debug, Clone)]
pub enum Policy {
    /// Learns and predicts.
    Forecaster(Arc<dyn Forecaster>),
    /// Chooses tiers.
    Tierer(Arc<dyn Tierer>),
    /// Divides a pool.
    Allocator(Arc<dyn Allocator>),
    /// Compares a shadow with production.
    Judge(Arc<dyn Judge>),
}

impl Policy {
    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> ModuleKind {
        match self {
            Policy::Forecaster(_) => ModuleKind::Forecaster,
            Policy::Tierer(_) => ModuleKind::Tierer,
            Policy::Allocator(_) => ModuleKind::Allocator,
            Policy::Judge(_) => ModuleKind::Judge,
        }
    }
}

/// A module that passed admission.
#[derive(Clone)]
pub struct Loaded {
    pub(crate) digest: Digest,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) size: u64,
    pub(crate) state_format: u32,
    pub(crate) policy: Policy,
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) adapter: &'static dyn Adapter,
    pub(crate) source: Source,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("digest", &self.digest)
            .field("manifest", &self.manifest)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Where a module's machine code came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Compiled now.
    Compiled,
    /// From the cache of an earlier start.
    Cached,
}

impl Loaded {
    /// SHA-256 of the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Size of the component in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Format number of the states that it writes.
    #[must_use]
    pub fn state_format(&self) -> u32 {
        self.state_format
    }

    /// Whether it had to be compiled.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Its identity in rosters and records.
    #[must_use]
    pub fn module_ref(&self) -> ModuleRef {
        ModuleRef {
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            digest: self.digest,
        }
    }

    /// The policy itself. Each call runs on a fresh instance, unless its manifest asks for reuse.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy for one binding: its calls have places of their own
    /// ([`crate::Limits::concurrency_of_binding`]), so that who asks much waits for itself and not in the
    /// way of another tenant that the same module serves.
    #[must_use]
    pub fn policy_apart(&self) -> Policy {
        let prepared = Arc::new(self.prepared.apart());
        // The functions were there when it was admitted.
        let apart = self.adapter.policy(self.manifest.kind, prepared);
        apart.unwrap_or_else(|_| self.policy.clone())
    }

    /// Most bytes of memories and tables that any call of this module has had since admission.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        self.prepared.peak.load(Ordering::Relaxed)
    }

    /// What the reuse of its instances has come to; `None` where it does not ask for any.
    #[must_use]
    pub fn reuse(&self) -> Option<Reuse> {
        self.prepared.warm.as_deref().map(Warm::reuse)
    }

    /// Ends the fits of this module that run now, because it was unbound or retired; they answer
    /// [`tidegate_core::policy::CallError::Unavailable`]. Later ones run.
    pub fn cancel_fits(&self) {
        self.prepared.cancelled.fetch_add(1, Ordering::AcqRel);
    }
}
