//! Checking a store that perhaps does not open.
//!
//! Opening stops at the first value that it needs and cannot read; who has to decide what to do wants to know
//! of all of them. So a store that opens is checked as a whole (`verify`), and of one that does not every
//! value is read for its checksum, beside what opening said.

use crate::codec::unframe;
use crate::disk::Disk;
use crate::options::Options;
use crate::store::Store;
use crate::verify::Report;
use std::path::Path;
use tidegate_core::ports::storage::StoreError;

impl Store {
    /// Checks the store in `dir`, which nobody may have open; `tell` hears how many bytes were read so far. A
    /// store of an older layout is migrated first, as whenever it is opened.
    ///
    /// # Errors
    /// When it cannot be looked at; damage is reported, not returned.
    pub fn examine(dir: &Path, tell: &mut dyn FnMut(u64)) -> Result<Report, StoreError> {
        let opened = Self::open(dir, Options::default());
        let damage = match opened {
            Ok(store) => return store.verify_telling(tell),
            Err(damage @ StoreError::Damaged { .. }) => damage,
            Err(other) => return Err(other),
        };
        let mut report = Report::default();
        match Disk::open(dir, &Options::default()) {
            Ok(opened) => every(&opened.disk, &mut report, tell)?,
            Err(StoreError::Damaged { .. }) => {}
            Err(other) => return Err(other),
        }
        let mut said = Report::default();
        said.note(damage);
        // What opening stopped at is mostly one of those that were found.
        said.problems
            .retain(|p| report.problems.iter().all(|q| q.key != p.key));
        report.problems.append(&mut said.problems);
        Ok(report)
    }
}

/// Reads every value for its checksum.
fn every(disk: &Disk, report: &mut Report, tell: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
    for item in disk.scan_after(None) {
        let (key, value) = item?;
        report.values += 1;
        report.bytes += value.len() as u64;
        tell(report.bytes);
        if let Err(malformed) = unframe(&key, &value) {
            report.note(malformed.at(&key));
        }
    }
    Ok(())
}
