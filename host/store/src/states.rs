//! What modules learned. A model that a cohort of series shares is stored once, by its digest, and
//! goes when the last state that names it is replaced or forgotten: a refit every day would otherwise
//! fill the disk with models that nobody can reach.

use crate::codec::Malformed;
use crate::disk::{Batch, Disk};
use crate::keys::{self, Kind};
use crate::mirror::{State, state_of};
use crate::shared::{locked, reading};
use crate::store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::ids::Digest;
use tidegate_core::ports::storage::{Fit, SeriesState, States, StoreError};

/// Bytes after which a batch of states is written; the sync comes after the last.
const BATCH_BYTES: usize = 8 << 20;

/// States per model.
#[derive(Debug, Default)]
pub(crate) struct Models {
    uses: BTreeMap<Digest, u64>,
}

impl Models {
    fn count(disk: &Disk) -> Result<Self, StoreError> {
        let mut models = Self::default();
        disk.scan_large(&Kind::State.prefix(), |key, bytes| {
            let state = state_of(&bytes).map_err(|e| e.at(key))?;
            *models.uses.entry(state.model).or_default() += 1;
            Ok(())
        })?;
        Ok(models)
    }

    fn drop_use(&mut self, model: Digest) -> bool {
        let Some(uses) = self.uses.get_mut(&model) else {
            return false;
        };
        *uses -= 1;
        let last = *uses == 0;
        if last {
            self.uses.remove(&model);
        }
        last
    }
}

impl Store {
    /// Adds the writes that replace one state.
    fn put_state(
        &self,
        models: &mut Models,
        batch: &mut Batch,
        state: &SeriesState,
        model: Digest,
    ) -> Result<usize, StoreError> {
        let disk = &self.shared.disk;
        let mut written = 0;
        let uses = models.uses.entry(model).or_default();
        *uses += 1;
        if *uses == 1 {
            disk.put_large(batch, &keys::digest(Kind::Model, &model), &state.model)?;
            written += state.model.len();
        }
        let key = keys::fit(Kind::State, (&state.key, &state.module, &state.config));
        self.release_model(models, batch, &key)?;
        let bytes = State::of(state, model).encode()?;
        disk.put_large(batch, &key, &bytes)?;
        Ok(written + bytes.len())
    }

    /// Adds the writes that take away the model of a state that goes, if no other state uses it;
    /// whether there is such a state.
    fn release_model(
        &self,
        models: &mut Models,
        batch: &mut Batch,
        key: &[u8],
    ) -> Result<bool, StoreError> {
        let disk = &self.shared.disk;
        let Some(old) = disk.get_large(key)? else {
            return Ok(false);
        };
        let old = state_of(&old).map_err(|e| e.at(key))?.model;
        if models.drop_use(old) {
            disk.remove_parts(batch, &keys::digest(Kind::Model, &old), 0)?;
        }
        Ok(true)
    }
}

impl States for Store {
    fn save(&self, states: &[SeriesState]) -> Result<(), StoreError> {
        let _writing = reading(&self.shared.writing);
        let disk = &self.shared.disk;
        disk.room()?;
        let mut guard = locked(&self.shared.models);
        let mut models = match guard.take() {
            Some(models) => models,
            None => Models::count(disk)?,
        };
        // The last one given of a (series, module, config) counts; on an error the uses are
        // counted anew the next time, since they may be ahead of the disk.
        let newest: BTreeMap<_, &SeriesState> = states
            .iter()
            .map(|s| ((&s.key, s.module, s.config), s))
            .collect();
        let mut digests: BTreeMap<*const u8, Digest> = BTreeMap::new();
        let mut batch = Batch::default();
        let mut bytes = 0;
        for state in newest.values() {
            let model = *digests
                .entry(state.model.as_ptr())
                .or_insert_with(|| Digest::of(&state.model));
            bytes += self.put_state(&mut models, &mut batch, state, model)?;
            if bytes >= BATCH_BYTES {
                disk.write(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        disk.commit(batch)?;
        *guard = Some(models);
        Ok(())
    }

    fn load(&self) -> Result<Vec<SeriesState>, StoreError> {
        let disk = &self.shared.disk;
        let _models = locked(&self.shared.models);
        let mut models: BTreeMap<Digest, Arc<[u8]>> = BTreeMap::new();
        disk.scan_large(&Kind::Model.prefix(), |key, bytes| {
            let digest = Digest::of(&bytes);
            if key != keys::digest(Kind::Model, &digest) {
                return Err(Malformed("it has another digest than its name says").at(key));
            }
            models.insert(digest, bytes.into());
            Ok(())
        })?;
        let mut states = vec![];
        disk.scan_large(&Kind::State.prefix(), |key, bytes| {
            let s = state_of(&bytes).map_err(|e| e.at(key))?;
            let model = models
                .get(&s.model)
                .ok_or_else(|| Malformed("its model is missing").at(key))?;
            states.push(SeriesState {
                key: s.key,
                module: s.module,
                config: s.config,
                format: s.format,
                model: model.clone(),
                state: s.state,
                fitted_at: s.fitted_at,
                seen: s.seen,
                prior: s.prior,
            });
            Ok(())
        })?;
        Ok(states)
    }

    fn forget(&self, fits: &[Fit]) -> Result<(), StoreError> {
        let _writing = reading(&self.shared.writing);
        let disk = &self.shared.disk;
        let mut guard = locked(&self.shared.models);
        let mut models = match guard.take() {
            Some(models) => models,
            None => Models::count(disk)?,
        };
        let mut batch = Batch::default();
        // Named twice, a state would release its model twice.
        let once: BTreeSet<&Fit> = fits.iter().collect();
        for (series, module, config) in once {
            let key = keys::fit(Kind::State, (series, module, config));
            if self.release_model(&mut models, &mut batch, &key)? {
                disk.remove_parts(&mut batch, &key, 0)?;
            }
        }
        disk.commit(batch)?;
        *guard = Some(models);
        Ok(())
    }
}
