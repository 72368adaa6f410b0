//! Records of plans, and what goes with them.
//!
//! A pool's plans follow each other without a gap (PL1), and so must what is kept of them: what is left is the newest
//! stretch that is whole. Where the newest plans are lost themselves, a daemon goes on after the newest that is
//! left, and gives their numbers once more.

use super::{Loss, Salvage, Value};
use crate::codec::unframe;
use crate::keys::{self, Kind};
use crate::ledger;
use crate::mirror;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::ids::{Generation, PoolId};
use tidegate_core::ports::storage::StoreError;

/// What was found of the plans of a pool: of each what lies beside its record, if it can be read, and whether it
/// amends one before it; and why it is lost otherwise.
type Found = BTreeMap<u64, Plan>;

#[derive(Default)]
struct Plan {
    beside: Option<(Value, bool)>,
    has_record: bool,
    cause: Option<&'static str>,
}

impl Plan {
    fn amends(&self) -> bool {
        self.beside.as_ref().is_some_and(|(_, amends)| *amends)
    }

    fn is_whole(&self) -> bool {
        self.has_record && self.beside.is_some()
    }
}

impl Salvage<'_> {
    pub(super) fn plans(&mut self) -> Result<(), StoreError> {
        let mut pools: BTreeMap<PoolId, Found> = BTreeMap::new();
        self.each(Kind::RecordTime, |s, (key, framed)| {
            let Ok((pool, generation)) = ledger::parse(&key) else {
                let of = keys::show(&key);
                s.losses
                    .push(Loss::new(Kind::RecordTime, of, "its key names no plan"));
                return Ok(());
            };
            let plan = pools
                .entry(pool)
                .or_default()
                .entry(generation.0)
                .or_default();
            match unframe(&key, &framed).and_then(ledger::amends) {
                Ok(amends) => plan.beside = Some(((key, framed), amends)),
                Err(malformed) => plan.cause = Some(malformed.0),
            }
            Ok(())
        })?;
        self.each_large(Kind::Record, |s, value| {
            let Ok((pool, generation)) = ledger::parse(&value.base) else {
                let of = keys::show(&value.base);
                s.losses
                    .push(Loss::new(Kind::Record, of, "its key names no plan"));
                return Ok(());
            };
            let plan = pools
                .entry(pool.clone())
                .or_default()
                .entry(generation.0)
                .or_default();
            match value.bytes.and_then(|bytes| mirror::record_of(&bytes)) {
                Ok(record) if record.pool == pool && record.plan.generation == generation => {
                    plan.has_record = true;
                }
                Ok(_) => plan.cause = Some("it is the record of another plan"),
                Err(malformed) => plan.cause = Some(malformed.0),
            }
            Ok(())
        })?;
        let mut kept: BTreeMap<PoolId, BTreeSet<u64>> = BTreeMap::new();
        for (pool, mut found) in pools {
            let stays = newest_whole(&found);
            self.tell_lost(&pool, &found, &stays);
            for generation in &stays {
                if let Some((beside, _)) = found.remove(generation).and_then(|p| p.beside) {
                    self.copy(vec![beside])?;
                }
            }
            kept.insert(pool, stays);
        }
        // Read once more, since records are too many to be held.
        for kind in [Kind::Record, Kind::Anchor, Kind::Named] {
            self.each_large(kind, |s, value| {
                let of = ledger::parse(&value.base);
                let stays = |(pool, generation): &(PoolId, Generation)| {
                    kept.get(pool)
                        .is_some_and(|stays| stays.contains(&generation.0))
                };
                let Ok(of) = of else {
                    return Ok(());
                };
                if !stays(&of) {
                    return Ok(());
                }
                let checked = value.bytes.and_then(|bytes| match kind {
                    Kind::Anchor => mirror::anchors_of(&bytes).map(drop),
                    _ => Ok(()),
                });
                match checked {
                    Ok(()) => s.copy(value.parts),
                    Err(malformed) => {
                        let (pool, generation) = of;
                        let of = format!(
                            "plan {} of pool {pool}: what a replay sets out from",
                            generation.0
                        );
                        s.losses.push(Loss::new(kind, of, malformed.0));
                        Ok(())
                    }
                }
            })?;
        }
        Ok(())
    }

    fn tell_lost(&mut self, pool: &PoolId, found: &Found, stays: &BTreeSet<u64>) {
        for (generation, plan) in found.iter().filter(|(_, plan)| !plan.is_whole()) {
            let cause = plan
                .cause
                .unwrap_or("its record, or what lies beside it, is missing");
            let mut of = format!("plan {generation} of pool {pool}");
            if stays.last().is_none_or(|last| generation > last) {
                of += ": the next plan gets its number again, and who has applied it refuses plans until theirs is higher";
            }
            self.losses.push(Loss::new(Kind::Record, of, cause));
        }
        let left: Vec<&u64> = found
            .iter()
            .filter(|(generation, plan)| plan.is_whole() && !stays.contains(generation))
            .map(|(generation, _)| generation)
            .collect();
        if let (Some(first), Some(last)) = (left.first(), left.last()) {
            let of = format!(
                "plans {first} to {last} of pool {pool}, {} of them",
                left.len()
            );
            let cause = "they can be read, but plans between them and the newest cannot (PL1)";
            self.losses.push(Loss::new(Kind::Record, of, cause));
        }
    }
}

/// The newest stretch of whole plans without a gap, from one that amends none on.
fn newest_whole(found: &Found) -> BTreeSet<u64> {
    let mut stretch: BTreeSet<u64> = BTreeSet::new();
    for (generation, plan) in found.iter().rev() {
        let follows = stretch.first().is_none_or(|first| generation + 1 == *first);
        match (plan.is_whole() && follows, stretch.is_empty()) {
            (true, _) => drop(stretch.insert(*generation)),
            (false, true) => {}
            (false, false) => break,
        }
    }
    let amends = |generation: &u64| found.get(generation).is_some_and(Plan::amends);
    while stretch.first().is_some_and(amends) {
        stretch.pop_first();
    }
    stretch
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plans by letter: `w` is whole, `a` whole and amends, `-` is not whole, a blank is missing.
    #[track_caller]
    fn check(plans: &str, stays: &[u64]) {
        let found: Found = (1..)
            .zip(plans.chars())
            .filter(|(_, c)| *c != ' ')
            .map(|(generation, c)| {
                let plan = Plan {
                    beside: Some(((vec![], vec![]), c == 'a')),
                    has_record: c != '-',
                    cause: None,
                };
                (generation, plan)
            })
            .collect();
        let left: Vec<u64> = newest_whole(&found).into_iter().collect();
        assert_eq!(left, stays, "{plans}");
    }

    #[test]
    fn the_newest_stretch_without_a_gap_stays() {
        check("", &[]);
        check("-", &[]);
        check("www", &[1, 2, 3]);
        check("ww-ww", &[4, 5]);
        check("ww ww", &[4, 5]);
        check("ww-", &[1, 2]);
        check("w-aw", &[4]);
        check("w-a", &[]);
        check("waw", &[1, 2, 3]);
    }
}
