//! Samples in: the ingest room, then the store; the ack waits for the disk.

use super::{Gate, stored};
use crate::world::lock;
use std::collections::BTreeMap;
use tidegate_core::access::Principal;
use tidegate_core::ids::PoolId;
use tidegate_core::ports::serve::{Acked, IngestPort, ServeError};
use tidegate_core::ports::storage::History;
use tidegate_core::quota::Exceeded;
use tidegate_core::sample::{SampleBatch, Stored};
use tidegate_core::time::Timestamp;
use tidegate_flow::ingest;

impl IngestPort for Gate {
    fn ingest(&self, caller: &Principal, batch: SampleBatch, done: Acked) {
        let span = tracing::info_span!("admit", samples = batch.len(), caller = %caller.name);
        let admitted = span.in_scope(|| {
            let catalog = self.world.catalog.load_full();
            let known = lock(&self.world.known);
            let mut meter = lock(&self.world.meter);
            ingest::run(
                ingest::Input {
                    caller,
                    catalog: &catalog,
                    now: self.world.clock_for_feed(),
                    arrived: crate::clock::wall(),
                    batch,
                    known: &*known,
                },
                &mut meter,
            )
        });
        let output = match admitted {
            Ok(output) => output,
            Err(ingest::Error::Quota(over)) => {
                self.note_over(&over);
                let first = over.into_iter().next().map(|(exceeded, _)| exceeded);
                return done(Err(first.map_or_else(
                    || ServeError::Unavailable("a quota that nobody knows".into()),
                    ServeError::Quota,
                )));
            }
        };
        self.note_over(&output.over);
        let refused: u64 = output.rejections.iter().map(|r| r.samples).sum();
        let over: u64 = output.over.iter().map(|(_, samples)| samples).sum();
        if refused > over {
            self.world
                .metrics
                .refused(refused - over, "grpc", "invalid");
        }
        if output.batch.is_empty() {
            return done(Ok((Stored::default(), output.rejections)));
        }
        let newest = newest_per_pool(self, &output.batch);
        let keys: Vec<_> = output.batch.series.iter().map(|s| s.key.clone()).collect();
        let world = self.world.clone();
        let rejections = output.rejections;
        let store_span = tracing::info_span!(parent: &span, "store");
        // The completion runs on the store's thread: it only notes and answers.
        self.world.store.append(
            output.batch,
            Box::new(move |outcome| {
                let _entered = store_span.entered();
                match outcome {
                    Ok(outcome) => {
                        let mut known = lock(&world.known);
                        keys.into_iter().for_each(|k| known.add(k));
                        drop(known);
                        world.metrics.ingested(outcome.stored, "grpc");
                        for (pool, at) in newest {
                            world.handoff.leave(pool, at.0, &span);
                        }
                        done(Ok((outcome, rejections)));
                    }
                    Err(error) => {
                        tracing::error!(error = %error, "samples could not be stored");
                        done(Err(stored(error)));
                    }
                }
            }),
        );
    }
}

impl Gate {
    /// Counts what quotas refused.
    fn note_over(&self, over: &[(Exceeded, u64)]) {
        for (exceeded, samples) in over {
            self.world
                .metrics
                .refused(*samples, "grpc", exceeded.quota.name());
            self.world.exceeded(exceeded, *samples);
        }
    }
}

/// Newest step per pool that the batch feeds, for the trace that leads to its plan.
fn newest_per_pool(gate: &Gate, batch: &SampleBatch) -> BTreeMap<PoolId, Timestamp> {
    let catalog = gate.world.catalog.load();
    let mut newest: BTreeMap<PoolId, Timestamp> = BTreeMap::new();
    for series in &batch.series {
        let pool = catalog
            .apis
            .get(&series.key.api)
            .map(|a| a.value.pool.clone());
        if let (Some(pool), Some(&t)) = (pool, series.times.iter().max()) {
            let slot = newest.entry(pool).or_insert(t);
            *slot = t.max(*slot);
        }
    }
    newest
}
