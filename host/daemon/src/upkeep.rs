//! Lets the ledger go of what is not to be kept any more, and the store of samples, in the background.
//!
//! By the data's clock, as everything that is told of it; by the minute of the machine's, because a driven clock
//! may stand. A look drops a few records at a time and rests between, so that neither a cycle nor a batch of
//! samples waits for more than one small write. What cannot be dropped is tried again with the next look.

mod health;
mod steady;

use crate::clock::{Clock, stopwatch};
use crate::config::LedgerConfig;
use crate::world::{World, lock};
pub(crate) use health::{Upkept, of};
use std::time::Duration;
use steady::Steady;
use tidegate_core::ports::storage::{History as _, Ledger as _};
use tidegate_core::time::Timestamp;
use tidegate_runtime::{Stop, Wake};
use tidegate_store::{Retained, Retention};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(60);
/// Between two batches of one look: a batch takes a few milliseconds.
const REST: Duration = Duration::from_millis(50);

/// Looks until it is asked to stop.
pub(crate) fn run(
    world: &World,
    ledger: &LedgerConfig,
    samples: &Retention,
    stop: &Stop,
) -> Result<(), anyhow::Error> {
    let mut steady = Steady::new(known(world), stopwatch());
    loop {
        let rest = || stop.sleep_blocking(REST);
        let now = match &world.clock {
            Clock::System => steady.now(world.clock.now(), stopwatch()),
            Clock::Driven(_) => world.clock.now(),
        };
        // Records first: samples that only they needed may go then.
        if look(world, ledger, now, rest) == Wake::Stop
            || look_at_samples(world, samples, now, rest) == Wake::Stop
        {
            return Ok(());
        }
        health::tell(world, samples);
        if stop.sleep_blocking(EVERY) == Wake::Stop {
            return Ok(());
        }
    }
}

/// The newest instant that the store knows of; of an empty one, that of the clock.
fn known(world: &World) -> Timestamp {
    let newest = world.store.watermark().newest;
    let of = |pool| {
        let last = world.store.last(&pool)?;
        Some(world.store.record(&pool, last).ok()??.at)
    };
    let records = world.store.kept_records().into_iter();
    let known = records
        .filter_map(|kept| of(kept.pool))
        .fold(newest, Timestamp::max);
    match known > Timestamp(0) {
        true => known,
        false => world.clock.now(),
    }
}

fn look_at_samples(
    world: &World,
    keep: &Retention,
    now: Timestamp,
    mut rest: impl FnMut() -> Wake,
) -> Wake {
    let mut all = Retained::default();
    let ended = loop {
        // Nothing grows old while nothing comes, as when a past is filled in.
        let newest = world.store.watermark().newest;
        match world.store.retain(keep, now.min(newest)) {
            Ok(told) => {
                all.then(&told);
                if !told.is_more {
                    if told.over > 0 {
                        tracing::warn!(
                            over = told.over,
                            "samples take more than `store.size`, and what is left must stay for now; raise `store.size`, or shorten `ledger.keep` or `history`"
                        );
                    }
                    break Wake::TimeUp;
                }
            }
            Err(error) => {
                tracing::error!(error = %error, "old samples could not be dropped; they are tried again");
                break Wake::TimeUp;
            }
        }
        if rest() == Wake::Stop {
            break Wake::Stop;
        }
    };
    lock(&world.upkeep).note(&all, world.clock.now());
    world
        .metrics
        .store_dropped(&health::by_resolution(&all), all.early.bytes);
    let gone = all.all();
    if gone.blocks > 0 {
        tracing::info!(
            blocks = gone.blocks,
            bytes = gone.bytes,
            early = all.early.bytes,
            "dropped samples that are older than `store.retention` keeps, or (`early`) that `store.size` has no room for"
        );
    }
    ended
}

fn look(
    world: &World,
    ledger: &LedgerConfig,
    now: Timestamp,
    mut rest: impl FnMut() -> Wake,
) -> Wake {
    let (mut records, mut bytes) = (0, 0);
    let ended = loop {
        match world.store.trim(&ledger.at(now)) {
            Ok(trimmed) => {
                records += trimmed.records;
                bytes += trimmed.bytes;
                if !trimmed.is_more {
                    break Wake::TimeUp;
                }
            }
            Err(error) => {
                tracing::error!(error = %error, "old records could not be dropped; they are tried again");
                break Wake::TimeUp;
            }
        }
        if rest() == Wake::Stop {
            break Wake::Stop;
        }
    };
    if records > 0 {
        tracing::info!(
            records,
            bytes,
            "dropped records that are older or more than `ledger` keeps"
        );
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Seconds;
    use crate::testing::{api, gate, pool, tenant};
    use tidegate_core::ids::{Generation, PoolId};
    use tidegate_core::ports::storage::Replays as _;

    #[test]
    fn records_go_by_age_and_the_newest_stays_whatever_its_age() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        gate.put(vec![tenant("shop"), pool("edge")]);
        gate.put(vec![api("shop/orders", "edge")]);
        gate.to(180);
        let (edge, store) = ("edge".parse::<PoolId>().unwrap(), &gate.world.store);
        let ledger = LedgerConfig {
            keep: Seconds(3600),
            ..LedgerConfig::default()
        };
        look(&gate.world, &ledger, gate.world.clock.now(), || {
            Wake::TimeUp
        });
        let kept = store.kept_records();
        assert_eq!(kept[0].plans, (Generation(120), Generation(180)));
        assert_eq!(store.record(&edge, Generation(119)).unwrap(), None);
        let oldest = store.record(&edge, Generation(120)).unwrap().unwrap();
        let declared = oldest.basis.and_then(|b| b.catalog).unwrap();
        assert!(store.kept_catalog(&declared).unwrap().is_some());

        gate.world.clock.set(Timestamp(9_999_999_999));
        look(&gate.world, &ledger, gate.world.clock.now(), || {
            Wake::TimeUp
        });
        let kept = store.kept_records();
        assert_eq!(kept[0].plans, (Generation(180), Generation(180)));
        assert!(store.verify().unwrap().is_clean());
        gate.world.store.close();
        drop(gate);
        let gate = crate::testing::gate(dir.path());
        gate.to(1);
        assert_eq!(gate.world.store.last(&edge), Some(Generation(181)));
    }
}
