//! What is known of comparisons that go on: one value per comparison, in a layout that is not the store's.
//!
//! The bytes are opaque here, as a module's state is: whoever compares numbers their layouts, and begins
//! anew where it cannot read one. A value is whole or it is not there.

use crate::disk::Batch;
use crate::keys::{self, Kind, PREFIX};
use crate::shared::reading;
use crate::store::Store;
use tidegate_core::ports::storage::{StoreError, Trials};

impl Trials for Store {
    fn keep(&self, trials: &[(String, Vec<u8>)], forget: &[String]) -> Result<(), StoreError> {
        let _writing = reading(&self.shared.writing);
        let disk = &self.shared.disk;
        disk.room()?;
        let mut batch = Batch::default();
        for name in forget {
            disk.remove_parts(&mut batch, &keys::trial(name), 0)?;
        }
        for (name, bytes) in trials {
            disk.put_large(&mut batch, &keys::trial(name), bytes)?;
        }
        disk.commit(batch)
    }

    fn kept(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut all = vec![];
        self.shared
            .disk
            .scan_large(&Kind::Trial.prefix(), |key, bytes| {
                let name = key.get(PREFIX..).unwrap_or_default();
                let name = name.strip_suffix(&[0]).unwrap_or(name);
                all.push((String::from_utf8_lossy(name).into_owned(), bytes));
                Ok(())
            })?;
        Ok(all)
    }
}
