//! Admitted components and what they learned.

use super::{Mirror as _, mirror_struct};
use crate::codec::Malformed;
use tidegate_core::forecast::Prior;
use tidegate_core::ids::{BindingId, Digest, TenantId};
use tidegate_core::module::{Holding, Manifest, ModuleKind, Signer};
use tidegate_core::ports::storage::{Condemned, SeriesState, StoreError, StoredModule};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;

mirror_struct!(Manifest as StoredManifest {
    name: String,
    version: String,
    kind: ModuleKind,
    interface: String,
    config_schema: String,
    memory_bytes: Option<u64>,
    deadline_ms: Option<u64>,
    description: String,
});

mirror_struct!(Signer as StoredSigner { name: String, id: String });

mirror_struct!(Holding as StoredHolding {
    owner: Option<TenantId>,
    pushed_by: String,
    admitted_at: Timestamp,
    signed_by: Option<Signer>,
});

mirror_struct!(Condemned as StoredCondemned {
    binding: BindingId,
    party: Option<TenantId>,
});

mirror_struct!(StoredModule as StoredModuleEntry {
    digest: Digest,
    manifest: Manifest,
    holdings: Vec<Holding>,
    quarantined: bool,
    condemned: Vec<Condemned>,
});

/// Format of a module's entry; the first had no owners, the second no signers.
const MODULE_FORMAT: u8 = 3;

/// The format before: of what was pushed then nobody knows who had signed it.
const UNSIGNED_FORMAT: u8 = 2;

/// A holding from when no signer was kept.
struct UnsignedHolding {
    owner: Option<TenantId>,
    pushed_by: String,
    admitted_at: Timestamp,
}

mirror_struct!(UnsignedHolding as StoredUnsignedHolding {
    owner: Option<TenantId>,
    pushed_by: String,
    admitted_at: Timestamp,
});

/// An entry from then.
struct Unsigned {
    digest: Digest,
    manifest: Manifest,
    holdings: Vec<UnsignedHolding>,
    quarantined: bool,
    condemned: Vec<Condemned>,
}

mirror_struct!(Unsigned as StoredUnsigned {
    digest: Digest,
    manifest: Manifest,
    holdings: Vec<UnsignedHolding>,
    quarantined: bool,
    condemned: Vec<Condemned>,
});

impl From<Unsigned> for StoredModule {
    fn from(old: Unsigned) -> Self {
        let holding = |h: UnsignedHolding| Holding {
            owner: h.owner,
            pushed_by: h.pushed_by,
            admitted_at: h.admitted_at,
            signed_by: None,
        };
        Self {
            digest: old.digest,
            manifest: old.manifest,
            holdings: old.holdings.into_iter().map(holding).collect(),
            quarantined: old.quarantined,
            condemned: old.condemned,
        }
    }
}

/// An entry from when every module was everybody's.
struct Unowned {
    digest: Digest,
    manifest: Manifest,
    admitted_at: Timestamp,
    pushed_by: String,
    quarantined: bool,
}

mirror_struct!(Unowned as StoredUnowned {
    digest: Digest,
    manifest: Manifest,
    admitted_at: Timestamp,
    pushed_by: String,
    quarantined: bool,
});

impl From<Unowned> for StoredModule {
    fn from(old: Unowned) -> Self {
        let holding = Holding {
            owner: None,
            pushed_by: old.pushed_by,
            admitted_at: old.admitted_at,
            signed_by: None,
        };
        Self {
            digest: old.digest,
            manifest: old.manifest,
            holdings: vec![holding],
            quarantined: old.quarantined,
            condemned: vec![],
        }
    }
}

/// The bytes of a module's entry.
pub(crate) fn encode_module(module: &StoredModule) -> Result<Vec<u8>, StoreError> {
    super::pack_as(MODULE_FORMAT, &module.store())
}

/// The module that bytes say, of this format or one before.
pub(crate) fn module_of(bytes: &[u8]) -> Result<StoredModule, Malformed> {
    match bytes.first() {
        Some(&super::FORMAT) => super::decode::<Unowned>(bytes).map(StoredModule::from),
        Some(&UNSIGNED_FORMAT) => super::unpack_as(UNSIGNED_FORMAT, bytes)
            .and_then(Unsigned::restore)
            .map(StoredModule::from),
        _ => super::unpack_as(MODULE_FORMAT, bytes).and_then(StoredModule::restore),
    }
}

/// A state whose shared model is named by its digest, since a cohort has one model.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) key: SeriesKey,
    pub(crate) module: Digest,
    pub(crate) config: Digest,
    pub(crate) format: u32,
    pub(crate) model: Digest,
    pub(crate) state: Vec<u8>,
    pub(crate) fitted_at: Timestamp,
    pub(crate) seen: Timestamp,
    pub(crate) prior: Option<Prior>,
}

/// Format of a state; of the first nobody knows whether it rests on a composed past.
const STATE_FORMAT: u8 = 2;

mirror_struct!(Prior as StoredPrior {
    category: String,
    peers: u32,
    own_s: u32,
});

mirror_struct!(State as StoredState {
    key: SeriesKey,
    module: Digest,
    config: Digest,
    format: u32,
    model: Digest,
    state: Vec<u8>,
    fitted_at: Timestamp,
    seen: Timestamp,
    prior: Option<Prior>,
});

/// A state from when nothing was kept of what stood in for a past.
struct Unexplained {
    key: SeriesKey,
    module: Digest,
    config: Digest,
    format: u32,
    model: Digest,
    state: Vec<u8>,
    fitted_at: Timestamp,
    seen: Timestamp,
}

mirror_struct!(Unexplained as StoredUnexplained {
    key: SeriesKey,
    module: Digest,
    config: Digest,
    format: u32,
    model: Digest,
    state: Vec<u8>,
    fitted_at: Timestamp,
    seen: Timestamp,
});

impl From<Unexplained> for State {
    fn from(old: Unexplained) -> Self {
        Self {
            key: old.key,
            module: old.module,
            config: old.config,
            format: old.format,
            model: old.model,
            state: old.state,
            fitted_at: old.fitted_at,
            seen: old.seen,
            prior: None,
        }
    }
}

impl State {
    pub(crate) fn of(state: &SeriesState, model: Digest) -> Self {
        Self {
            key: state.key.clone(),
            module: state.module,
            config: state.config,
            format: state.format,
            model,
            state: state.state.clone(),
            fitted_at: state.fitted_at,
            seen: state.seen,
            prior: state.prior.clone(),
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        super::pack_as(STATE_FORMAT, &self.store())
    }
}

/// The state that bytes say, of this format or the one before.
pub(crate) fn state_of(bytes: &[u8]) -> Result<State, Malformed> {
    if bytes.first() == Some(&super::FORMAT) {
        return super::decode::<Unexplained>(bytes).map(State::from);
    }
    super::unpack_as(STATE_FORMAT, bytes).and_then(State::restore)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_was_kept_before_priors_were_is_read_without_one() {
        let old = Unexplained {
            key: SeriesKey {
                api: "shop/orders".parse().unwrap(),
                signal: tidegate_core::units::Signal::Requests,
            },
            module: Digest([1; 32]),
            config: Digest([2; 32]),
            format: 4,
            model: Digest([3; 32]),
            state: vec![7, 8],
            fitted_at: Timestamp(9),
            seen: Timestamp(10),
        };
        let mut read = state_of(&crate::mirror::encode(&old).unwrap()).unwrap();
        assert_eq!((read.format, &read.state[..]), (4, &[7, 8][..]));
        assert_eq!((read.seen, &read.prior), (Timestamp(10), &None));
        read.prior = Some(Prior {
            category: "web".into(),
            peers: 3,
            own_s: 7200,
        });
        let again = state_of(&read.encode().unwrap()).unwrap();
        assert_eq!((again.prior, again.seen), (read.prior, read.seen));
    }

    fn manifest() -> Manifest {
        Manifest {
            name: "ets".into(),
            version: "1".into(),
            kind: ModuleKind::Forecaster,
            interface: "0.1.0".into(),
            config_schema: "{}".into(),
            memory_bytes: None,
            deadline_ms: Some(5),
            description: String::new(),
        }
    }

    fn holding() -> Holding {
        Holding {
            owner: None,
            pushed_by: "ci".into(),
            admitted_at: Timestamp(7),
            signed_by: None,
        }
    }

    #[test]
    fn a_module_that_was_kept_before_there_were_owners_is_everybodys() {
        let old = Unowned {
            digest: Digest([3; 32]),
            manifest: manifest(),
            admitted_at: Timestamp(7),
            pushed_by: "ci".into(),
            quarantined: true,
        };
        let read = module_of(&crate::mirror::encode(&old).unwrap()).unwrap();
        assert_eq!(read.holdings, [holding()]);
        assert!(read.quarantined && read.condemned.is_empty());
        assert_eq!(module_of(&encode_module(&read).unwrap()).unwrap(), read);
    }

    #[test]
    fn a_module_that_was_kept_before_signers_were_has_none() {
        let old = Unsigned {
            digest: Digest([3; 32]),
            manifest: manifest(),
            holdings: vec![UnsignedHolding {
                owner: None,
                pushed_by: "ci".into(),
                admitted_at: Timestamp(7),
            }],
            quarantined: false,
            condemned: vec![Condemned {
                binding: "default".parse().unwrap(),
                party: None,
            }],
        };
        let bytes = crate::mirror::pack_as(UNSIGNED_FORMAT, &old.store()).unwrap();
        let mut read = module_of(&bytes).unwrap();
        assert_eq!(read.holdings, [holding()]);
        assert_eq!(read.condemned.len(), 1);
        read.holdings[0].signed_by = Some(Signer {
            name: "release".into(),
            id: "0123456789abcdef".into(),
        });
        assert_eq!(module_of(&encode_module(&read).unwrap()).unwrap(), read);
    }
}
