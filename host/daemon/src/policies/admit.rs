//! Pushes: what is admitted for whom, and how many of them a tenant may hold.
//!
//! Quotas are asked before the engine is: compiling a component costs seconds, and a tenant that is
//! full must not be able to spend them. It runs in a process of its own ([`super::worker`]). They are asked again under the lock that adds the holding, so
//! that two pushes at once cannot both take the last place.

use super::held::Held;
use super::{Policies, Trials};
use crate::world::lock;
use tidegate_core::catalog::Tenant;
use tidegate_core::ids::{Digest, TenantId};
use tidegate_core::life::{Actor, Event, Step, Version};
use tidegate_core::module::{Holding, Manifest, ModuleKind, ModuleRef, Signer};
use tidegate_core::ports::serve::{ModuleInfo, ServeError};
use tidegate_core::ports::storage::{Modules as _, StoredModule};
use tidegate_core::quota::{Exceeded, Quota};
use tidegate_core::time::Timestamp;
use tidegate_engine::{AdmissionError, Loaded, Sample, Terms};

/// The first two steps of a version's life with an owner.
fn admitted(info: &ModuleInfo, size: usize, known: bool) -> Vec<Step> {
    let module = ModuleRef {
        name: info.manifest.name.clone(),
        version: info.manifest.version.clone(),
        digest: info.digest,
    };
    let step = |event, by, reason| Step {
        party: info.owner.clone(),
        to: Some(Version {
            module: module.clone(),
            config: String::new(),
        }),
        reason,
        ..Step::new(event, by, info.admitted_at)
    };
    let signed = match &info.signed_by {
        Some(key) => format!("signed by {key}"),
        None => "no signature was demanded".into(),
    };
    let passed = match known {
        true => "the same bytes were tried before",
        false => "structure, imports, manifest, limits and canary calls passed",
    };
    vec![
        step(
            Event::Uploaded,
            Actor::Caller(info.pushed_by.clone()),
            format!("{size} bytes, {signed}"),
        ),
        step(Event::Admitted, Actor::Daemon, passed.into()),
    ]
}

fn refused(error: &AdmissionError) -> ServeError {
    ServeError::field("component", "bytes", error.to_string())
}

impl Policies {
    /// Admits a component and keeps it for an owner; the same bytes again change nothing. Of what is
    /// shared already, a tenant needs no holding of its own. `stored` gives series of the owner's, on which
    /// it is tried.
    pub(crate) fn push(
        &self,
        bytes: &[u8],
        by: &str,
        signed_by: Option<Signer>,
        owner: Option<&Tenant>,
        now: Timestamp,
        stored: &dyn Fn() -> Vec<Sample>,
    ) -> Result<ModuleInfo, ServeError> {
        let digest = Digest::of(bytes);
        let of = owner.map(|t| &t.id);
        let there = {
            let held = lock(&self.held);
            let there = held.iter().find(|h| h.entry.digest == digest).cloned();
            if let Some(module) = &there
                && let Some(holding) = module.by(of).or_else(|| module.by(None))
                && (of.is_some() || holding.owner.is_none())
            {
                return Ok(self.info(module, holding));
            }
            if let Some(tenant) = owner {
                Self::room(&held, tenant)?;
            }
            there
        };
        let loaded = match &there {
            // Tried already, for an owner who may have been given more.
            Some(held) => {
                let limits = self.rules.limits(of);
                self.engine.fits(bytes, limits).map_err(|e| refused(&e))?;
                held.loaded.clone()
            }
            None => self.admit(bytes, of, stored)?,
        };
        let manifest = loaded.manifest().clone();
        let holding = Holding {
            owner: of.cloned(),
            pushed_by: by.to_owned(),
            admitted_at: now,
            signed_by,
        };
        let mut held = lock(&self.held);
        if let Some(tenant) = owner {
            // Again: another push of the tenant may have come between.
            Self::room(&held, tenant)?;
            Self::may_hold(&held, &manifest)?;
        }
        // Known by then, whoever pushed it meanwhile.
        let at = held.iter().position(|h| h.entry.digest == digest);
        let mut entry = match at {
            Some(at) => held[at].entry.clone(),
            None => StoredModule {
                digest,
                manifest,
                holdings: vec![],
                quarantined: false,
                condemned: vec![],
            },
        };
        if !entry.holdings.iter().any(|h| h.owner == holding.owner) {
            entry.holdings.push(holding.clone());
        }
        self.store.put(&entry, bytes).map_err(crate::gate::stored)?;
        let module = Held { loaded, entry };
        let info = self.info(&module, &holding);
        let size = bytes.len();
        match at {
            Some(at) => held[at] = module,
            None => held.push(module),
        }
        drop(held);
        self.journal.write(admitted(&info, size, at.is_some()));
        tracing::info!(module = %info.manifest.name, version = %info.manifest.version, digest = %digest, by, owner = of.map_or("everybody", |t| t.as_str()), "module admitted");
        Ok(info)
    }

    /// The key that signed a component; `None` where no signature is demanded.
    pub(crate) fn verify(
        &self,
        bytes: &[u8],
        signature: &[u8],
        owner: Option<&TenantId>,
    ) -> Result<Option<Signer>, ServeError> {
        self.rules.keys.verify(bytes, signature, owner)
    }

    /// A component as a module: from the cache where it was admitted before, else by a trial.
    pub(super) fn admit(
        &self,
        bytes: &[u8],
        owner: Option<&TenantId>,
        stored: &dyn Fn() -> Vec<Sample>,
    ) -> Result<Loaded, ServeError> {
        let (engine, limits) = (&self.engine, self.rules.limits(owner));
        if let Some(loaded) = engine.admit_kept(bytes, limits).map_err(|e| refused(&e))? {
            return Ok(loaded);
        }
        match &self.trials {
            Trials::Apart(worker) => {
                let mut terms = Terms::new(limits.clone(), engine.options());
                terms.stored = stored();
                let artefact = worker.examine(bytes, terms, owner)?;
                engine.admit_examined(bytes, limits, &artefact)
            }
            #[cfg(test)]
            Trials::Inside => engine.admit(bytes, limits),
        }
        .map_err(|e| refused(&e))
    }

    /// Whether a tenant may hold one more.
    fn room(held: &[Held], tenant: &Tenant) -> Result<(), ServeError> {
        let holds = Self::count(held, &tenant.id);
        if holds < tenant.max_modules {
            return Ok(());
        }
        Err(ServeError::Quota(Exceeded {
            tenant: tenant.id.clone(),
            quota: Quota::Modules,
            limit: tenant.max_modules,
            retry_ms: None,
        }))
    }

    /// What a tenant may hold at all: nothing that divides what it shares with others, and nothing
    /// under a name that everybody knows as something else.
    fn may_hold(held: &[Held], manifest: &Manifest) -> Result<(), ServeError> {
        let name = &manifest.name;
        if manifest.kind == ModuleKind::Allocator {
            let text = format!(
                "`{name}` is an allocator, which divides a pool among all its tenants; only an operator pushes one, for everybody"
            );
            return Err(ServeError::Denied(text));
        }
        if held.iter().any(|h| h.is_shared() && h.name() == name) {
            let text = format!("`{name}` is the name of a shared module; give yours another name");
            return Err(ServeError::field("component", "name", text));
        }
        Ok(())
    }

    fn count(held: &[Held], tenant: &TenantId) -> u64 {
        held.iter().filter(|h| h.by(Some(tenant)).is_some()).count() as u64
    }

    /// How many modules a tenant holds.
    pub(crate) fn held_by(&self, tenant: &TenantId) -> u64 {
        Self::count(&lock(&self.held), tenant)
    }

    pub(super) fn info(&self, held: &Held, holding: &Holding) -> ModuleInfo {
        let digest = held.entry.digest;
        let serving = self
            .slots
            .info()
            .into_iter()
            .filter(|s| s.active.digest == digest)
            .map(|s| s.binding);
        ModuleInfo {
            digest,
            manifest: held.entry.manifest.clone(),
            size: held.loaded.size(),
            owner: holding.owner.clone(),
            admitted_at: holding.admitted_at,
            pushed_by: holding.pushed_by.clone(),
            signed_by: holding.signed_by.clone(),
            quarantined: self.slots.quarantined().contains(&digest),
            quarantined_for: self.slots.condemned_at(digest),
            serving: serving.collect(),
        }
    }

    /// Modules of which some holding is the caller's to see, oldest first; each as its first such
    /// holding tells it.
    pub(crate) fn modules(&self, sees: impl Fn(Option<&TenantId>) -> bool) -> Vec<ModuleInfo> {
        let held = lock(&self.held).clone();
        let seen = held.iter().filter_map(|h| {
            let mut holdings = h.entry.holdings.iter();
            let holding = holdings.find(|holding| sees(holding.owner.as_ref()))?;
            Some(self.info(h, holding))
        });
        let mut seen: Vec<_> = seen.collect();
        seen.sort_by_key(|m| m.admitted_at);
        seen
    }
}
