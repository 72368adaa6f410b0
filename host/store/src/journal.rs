//! The journal of versions: one small value per step, under its sequence.
//!
//! What is new and what is let go of go in one batch, so that a bound holds whenever the power goes; and
//! where a step tells of a change of the catalog, in the batch of that ([`crate::catalog`]). Who counts and
//! bounds is the daemon: the store knows no bindings.

use crate::codec::Malformed;
use crate::disk::{Batch, Disk};
use crate::keys::{self, Kind};
use crate::mirror;
use crate::shared::reading;
use crate::store::Store;
use tidegate_core::life::Step;
use tidegate_core::ports::storage::{Journal, StoreError};

/// Puts steps into a batch, and what is let go of.
pub(crate) fn write(
    disk: &Disk,
    batch: &mut Batch,
    steps: &[Step],
    forget: &[u64],
) -> Result<(), StoreError> {
    for sequence in forget {
        disk.remove_parts(batch, &keys::step(*sequence), 0)?;
    }
    for step in steps {
        let bytes = mirror::encode_step(step)?;
        disk.put_large(batch, &keys::step(step.sequence), &bytes)?;
    }
    Ok(())
}

impl Journal for Store {
    fn append(&self, steps: &[Step], forget: &[u64]) -> Result<(), StoreError> {
        let _writing = reading(&self.shared.writing);
        let disk = &self.shared.disk;
        disk.room()?;
        let mut batch = Batch::default();
        write(disk, &mut batch, steps, forget)?;
        disk.commit(batch)
    }

    fn steps(&self) -> Result<Vec<Step>, StoreError> {
        let mut steps = vec![];
        self.shared
            .disk
            .scan_large(&Kind::Step.prefix(), |key, bytes| {
                let step = mirror::step_of(&bytes).map_err(|e| e.at(key))?;
                if key != keys::step(step.sequence) {
                    return Err(Malformed("it has another sequence than its key says").at(key));
                }
                steps.push(step);
                Ok(())
            })?;
        Ok(steps)
    }
}
