//! Checking everything: every checksum, every number that must follow another, every reference.
//!
//! The check holds off writers while it runs, so that what it finds is true of one moment; on a
//! store that takes samples, batches wait (and are answered `Busy` once the queue is full).

use crate::block::Block;
use crate::codec::{Malformed, unframe};
use crate::keys::{self, Kind, PREFIX};
use crate::ledger;
use crate::mirror;
use crate::registry::Registry;
use crate::rollup::Level;
use crate::rollup::cells::Nature;
use crate::rollup::roll::parts_of;
use crate::shared::writing;
use crate::sight;
use crate::store::Store;
use crate::wal::{self, Item};
use std::collections::BTreeMap;
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::Digest;
use tidegate_core::ports::storage::{Journal, States, StoreError, Tracks, Trials};

/// A stored value that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub key: String,
    /// What is wrong.
    pub cause: String,
}

/// What a check of the whole store found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Values read.
    pub values: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Samples in sealed blocks.
    pub sealed_samples: u64,
    /// Values in blocks of cells of roll-ups.
    pub cells: u64,
    /// Samples in write-ahead records, sealed ones included.
    pub wal_samples: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn note(&mut self, error: StoreError) {
        let problem = match error {
            StoreError::Damaged { key, cause } => Problem { key, cause },
            other => Problem {
                key: "the store".into(),
                cause: other.to_string(),
            },
        };
        self.problems.push(problem);
    }
}

/// State of the walk over the keys.
#[derive(Default)]
struct Walk {
    next_record: Option<u64>,
    sequence: Option<u64>,
    blocks: BTreeMap<Vec<u8>, u64>,
    /// By pool, the first generation and the number of records.
    records: BTreeMap<Vec<u8>, (u64, u64)>,
}

impl Store {
    /// Reads everything and says what is damaged, missing or left over.
    ///
    /// # Errors
    /// When the database itself cannot be read; damage is reported, not returned.
    pub fn verify(&self) -> Result<Report, StoreError> {
        self.verify_telling(&mut |_| {})
    }

    /// The same; `tell` hears how many bytes were read so far.
    ///
    /// # Errors
    /// Likewise.
    pub fn verify_telling(&self, tell: &mut dyn FnMut(u64)) -> Result<Report, StoreError> {
        let _alone = writing(&self.shared.writing);
        let disk = &self.shared.disk;
        let mut report = Report::default();
        let mut walk = Walk::default();
        for item in disk.scan_after(None) {
            let (key, value) = item?;
            report.values += 1;
            report.bytes += value.len() as u64;
            tell(report.bytes);
            let outcome =
                unframe(&key, &value).and_then(|payload| walk.value(&mut report, &key, payload));
            if let Err(malformed) = outcome {
                report.note(malformed.at(&key));
            }
        }
        self.check_blocks(&mut report, &walk);
        self.check_large(&mut report, &walk);
        Ok(report)
    }

    /// Pages and blocks name each other.
    fn check_blocks(&self, report: &mut Report, walk: &Walk) {
        let registry = match Registry::load(&self.shared.disk) {
            Ok(registry) => registry,
            Err(error) => return report.note(error),
        };
        let mut named = BTreeMap::new();
        for (group, page) in (0_u32..).zip(&registry.groups) {
            for block in &page.blocks {
                named.insert(
                    keys::block(block.start, group, block.ordinal),
                    block.samples,
                );
            }
            for level in Level::ALL {
                for block in &page.rolled.tier(level).blocks {
                    let key = keys::cells(level, block.start, group, block.ordinal);
                    named.insert(key, block.samples);
                }
            }
        }
        for (key, samples) in &named {
            match walk.blocks.get(key) {
                None => report.note(Malformed("its group names it and it is missing").at(key)),
                Some(found) if found != samples => {
                    report.note(Malformed("it has not the samples that its group says").at(key));
                }
                Some(_) => {}
            }
        }
        for key in walk.blocks.keys().filter(|k| !named.contains_key(*k)) {
            report.note(Malformed("no group names it").at(key));
        }
    }

    /// Values in parts: whole, and what they say they are.
    fn check_large(&self, report: &mut Report, walk: &Walk) {
        let disk = &self.shared.disk;
        let mut records = 0;
        let outcome = disk.scan_large(&Kind::Record.prefix(), |key, bytes| {
            records += 1;
            let record = mirror::record_of(&bytes).map_err(|e| e.at(key))?;
            let (pool, generation) = ledger::parse(key).map_err(|e| e.at(key))?;
            if record.pool != pool || record.plan.generation != generation {
                return Err(Malformed("it is the record of another plan").at(key));
            }
            Ok(())
        });
        let mut check = |outcome: Result<(), StoreError>| {
            if let Err(error) = outcome {
                report.note(error);
            }
        };
        check(outcome);
        if records != walk.records.values().map(|(_, count)| count).sum::<u64>() {
            check(Err(Malformed(
                "there are not as many records as times of records",
            )
            .at(&Kind::Record.prefix())));
        }
        for kind in [Kind::Anchor, Kind::Late, Kind::Named] {
            check(disk.scan_large(&kind.prefix(), |key, bytes| {
                let found = match kind {
                    Kind::Anchor => mirror::anchors_of(&bytes).map(drop),
                    Kind::Late => sight::read(&bytes).map(drop),
                    _ => ledger::parse(key).map(drop),
                };
                found.map_err(|e| e.at(key))
            }));
        }
        check(disk.scan_large(&Kind::Kept.prefix(), |key, bytes| {
            if key == keys::digest(Kind::Kept, &Digest::of(&bytes)) {
                return Ok(());
            }
            Err(Malformed("it has another digest than its name says").at(key))
        }));
        check(disk.scan_large(&Kind::Component.prefix(), |key, bytes| {
            if key == keys::digest(Kind::Component, &Digest::of(&bytes)) {
                return Ok(());
            }
            Err(Malformed("it has another digest than its name says").at(key))
        }));
        check(disk.scan_large(&Kind::Module.prefix(), |key, bytes| {
            mirror::module_of(&bytes).map(drop).map_err(|e| e.at(key))
        }));
        check(disk.scan_large(&Kind::Catalog.prefix(), |key, bytes| {
            let catalog: Result<Catalog, _> = mirror::decode(&bytes);
            catalog.map(drop).map_err(|e| e.at(key))
        }));
        check(States::load(self).map(drop));
        check(Tracks::load(self).map(drop));
        check(Journal::steps(self).map(drop));
        check(Trials::kept(self).map(drop));
    }
}

impl Walk {
    fn value(&mut self, report: &mut Report, key: &[u8], payload: &[u8]) -> Result<(), Malformed> {
        if key == keys::LAYOUT {
            return Ok(());
        }
        match Kind::of(key).ok_or(Malformed("the key is foreign"))? {
            Kind::Wal => self.wal(report, key, payload),
            Kind::Block => {
                let block = Block::read(payload)?;
                let samples = block.all()?.iter().map(|(_, run)| run.len() as u64).sum();
                report.sealed_samples += samples;
                self.blocks.insert(key.to_vec(), samples);
                Ok(())
            }
            Kind::Cells => self.cells(report, key, payload),
            Kind::RecordTime => {
                let (pool, generation) = ledger::parse(key)?;
                // Retention takes the oldest away, so the first may be any.
                let seen = self.records.entry(pool.as_str().into());
                let (first, count) = seen.or_insert((generation.0, 0));
                let expected = *first + *count;
                *count += 1;
                if generation.0 == expected {
                    Ok(())
                } else {
                    Err(Malformed("a plan before it is missing (PL1)"))
                }
            }
            // Checked as wholes.
            Kind::Marks
            | Kind::Group
            | Kind::Record
            | Kind::Module
            | Kind::Component
            | Kind::State
            | Kind::Model
            | Kind::Catalog
            | Kind::Track
            | Kind::Choice
            | Kind::Step
            | Kind::Trial
            | Kind::Note
            | Kind::Anchor
            | Kind::Kept
            | Kind::Late
            | Kind::Named
            | Kind::Rolled => Ok(()),
        }
    }

    fn cells(&mut self, report: &mut Report, key: &[u8], payload: &[u8]) -> Result<(), Malformed> {
        let level = Level::ALL
            .into_iter()
            .find(|l| key.get(PREFIX) == Some(&(*l as u8)));
        let level = level.ok_or(Malformed("its key names no resolution"))?;
        // What a value means is not asked here, only whether the columns of cells belong together.
        parts_of(payload, level, |_| Nature::Level)?;
        let runs = Block::read(payload)?.all()?;
        let samples = runs.iter().map(|(_, run)| run.len() as u64).sum();
        report.cells += samples;
        self.blocks.insert(key.to_vec(), samples);
        Ok(())
    }

    fn wal(&mut self, report: &mut Report, key: &[u8], payload: &[u8]) -> Result<(), Malformed> {
        let number = keys::trailing_u64(key).ok_or(Malformed("its key has no number"))?;
        let gap = self.next_record.is_some_and(|n| n != number);
        self.next_record = Some(number + 1);
        let mut jump = false;
        let items = wal::read(payload)?;
        if items.is_empty() {
            // It stands for one that recovery has found lost, and said so.
            self.sequence = None;
        }
        for item in items {
            match item {
                Item::Entry(_, run) => report.wal_samples += run.len() as u64,
                Item::Batch(sequence) => {
                    // A batch that goes on from the record before repeats its sequence.
                    jump |= self
                        .sequence
                        .is_some_and(|last| sequence != last && sequence != last + 1);
                    self.sequence = Some(sequence);
                }
            }
        }
        match (gap, jump) {
            (true, _) => Err(Malformed("a record before it is missing")),
            (_, true) => Err(Malformed("a batch before one of it is missing")),
            _ => Ok(()),
        }
    }
}
