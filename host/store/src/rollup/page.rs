//! What is stored of a group's roll-ups beside the cells: how far its blocks are rolled up, which blocks of
//! cells there are, and what was dropped.
//!
//! It is a value of its own beside the group's page, because stores of before have no roll-ups and must go
//! on opening; both are written in one batch wherever both change.

use super::Level;
use crate::codec::Malformed;
use crate::disk::{Batch, Disk};
use crate::keys::{self, Kind};
use crate::mirror;
use crate::registry::{BlockRef, GROUP_SERIES, Group, impossible, is_instant};
use serde::{Deserialize, Serialize};
use tidegate_core::ports::storage::StoreError;

/// Blocks of cells of one level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tier {
    /// Ascending in time; no two hold a cell of the same start.
    pub(crate) blocks: Vec<BlockRef>,
    pub(crate) next_block: u32,
    /// Cells that begin before it are dropped, or are not to be looked at any more.
    pub(crate) floor: i64,
}

/// A group's roll-ups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rolled {
    /// Sealed blocks of a lower ordinal are in the cells.
    pub(crate) through: u32,
    /// By slot: raw samples that begin before it are dropped, and admitted no more.
    floors: Vec<i64>,
    tiers: [Tier; 2],
}

impl Default for Rolled {
    fn default() -> Self {
        let tier = || Tier {
            blocks: vec![],
            next_block: 0,
            floor: i64::MIN,
        };
        Self {
            through: 0,
            floors: vec![],
            tiers: [tier(), tier()],
        }
    }
}

impl Rolled {
    pub(crate) fn tier(&self, level: Level) -> &Tier {
        &self.tiers[level.index()]
    }

    pub(crate) fn tier_mut(&mut self, level: Level) -> &mut Tier {
        &mut self.tiers[level.index()]
    }

    /// Before which a slot's raw samples are dropped; `i64::MIN`: never.
    pub(crate) fn floor(&self, slot: u8) -> i64 {
        self.floors
            .get(usize::from(slot))
            .copied()
            .unwrap_or(i64::MIN)
    }

    /// Raises a slot's floor.
    pub(crate) fn raise(&mut self, slot: u8, to: i64) {
        let at = usize::from(slot);
        if self.floors.len() <= at {
            self.floors.resize(at + 1, i64::MIN);
        }
        self.floors[at] = self.floors[at].max(to);
    }

    /// What no store writes.
    fn check(&self) -> Result<(), Malformed> {
        let floors = self.tiers.iter().map(|tier| &tier.floor);
        if !floors.chain(&self.floors).all(|floor| is_instant(*floor)) {
            return Err(Malformed("a floor of it is no instant"));
        }
        let mut tiers = self.tiers.iter();
        tiers.try_for_each(|tier| impossible(&tier.blocks, tier.next_block))
    }

    /// Adds it to a batch.
    pub(crate) fn put(&self, disk: &Disk, batch: &mut Batch, group: u32) -> Result<(), StoreError> {
        disk.put_large(batch, &keys::rolled(group), &mirror::pack(self)?)
    }

    /// Reads all into their groups.
    pub(crate) fn load(disk: &Disk, groups: &mut [Group]) -> Result<(), StoreError> {
        disk.scan_large(&Kind::Rolled.prefix(), |base, bytes| {
            let number = keys::trailing_u32(base).ok_or(Malformed("its key has no number"));
            let number = number.map_err(|e| e.at(base))?;
            let group = groups
                .get_mut(number as usize)
                .ok_or_else(|| Malformed("it is of a group that is not there").at(base))?;
            group.rolled = Self::read(&bytes, group).map_err(|e| e.at(base))?;
            Ok(())
        })
    }

    /// What was stored of a group's.
    pub(crate) fn read(bytes: &[u8], group: &Group) -> Result<Self, Malformed> {
        let rolled: Self = mirror::unpack(bytes)?;
        if rolled.floors.len() > GROUP_SERIES || rolled.through > group.next_block {
            return Err(Malformed("it does not fit its group"));
        }
        rolled.check()?;
        Ok(rolled)
    }
}
