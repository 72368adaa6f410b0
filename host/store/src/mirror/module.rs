//! Admitted components and what they learned.

use super::mirror_struct;
use crate::codec::Malformed;
use tidegate_core::ids::Digest;
use tidegate_core::module::{Manifest, ModuleKind};
use tidegate_core::ports::storage::{SeriesState, StoreError, StoredModule};
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

mirror_struct!(StoredModule as StoredModuleEntry {
    digest: Digest,
    manifest: Manifest,
    admitted_at: Timestamp,
    pushed_by: String,
    quarantined: bool,
});

/// The module that bytes say.
pub(crate) fn module_of(bytes: &[u8]) -> Result<StoredModule, Malformed> {
    super::decode(bytes)
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
}

mirror_struct!(State as StoredState {
    key: SeriesKey,
    module: Digest,
    config: Digest,
    format: u32,
    model: Digest,
    state: Vec<u8>,
    fitted_at: Timestamp,
    seen: Timestamp,
});

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
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        super::encode(self)
    }
}

/// The state that bytes say.
pub(crate) fn state_of(bytes: &[u8]) -> Result<State, Malformed> {
    super::decode(bytes)
}
