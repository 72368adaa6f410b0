//! The desired state, as one value: a change set is accepted as a whole, so it is stored as a
//! whole, and with it what the journal tells of it.

use crate::disk::Batch;
use crate::journal;
use crate::keys;
use crate::mirror;
use crate::shared::{locked, reading};
use crate::store::Store;
use tidegate_core::catalog::Catalog;
use tidegate_core::life::Step;
use tidegate_core::ports::storage::{CatalogStore, StoreError};

impl CatalogStore for Store {
    fn load(&self) -> Result<Catalog, StoreError> {
        let key = keys::catalog();
        match self.shared.disk.get_large(&key)? {
            Some(bytes) => mirror::decode(&bytes).map_err(|e| e.at(&key)),
            None => Ok(Catalog::default()),
        }
    }

    fn save_with(
        &self,
        catalog: &Catalog,
        steps: &[Step],
        forget: &[u64],
    ) -> Result<(), StoreError> {
        let _writing = reading(&self.shared.writing);
        let _one = locked(&self.shared.catalog);
        self.shared.disk.room()?;
        let mut batch = Batch::default();
        let bytes = mirror::encode(catalog)?;
        self.shared
            .disk
            .put_large(&mut batch, &keys::catalog(), &bytes)?;
        journal::write(&self.shared.disk, &mut batch, steps, forget)?;
        self.shared.disk.commit(batch)
    }
}
