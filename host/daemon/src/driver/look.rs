//! A look at a pool within a step: what departs from the plan in force is answered before the step ends.
//!
//! A cycle plans by whole steps, so that a burst which begins within one would wait for its end. When
//! data came since the last turn and the step did not change, the freshest measures are held against the
//! plan first ([`cycle::between`]), and what they show is published as an amendment at once; the cycle
//! that follows keeps to it. At a new step there is nothing fresher than what the cycle sees, so that a
//! replay, which goes from step to step, has no looks.
//!
//! Effects are performed in the order of a cycle's: record on disk, then state, then plan.

use super::cycle::{held, note_faults};
use crate::world::World;
use std::sync::Arc;
use tidegate_core::ports::storage::Ledger;
use tidegate_flow::cycle::{self, Input, PoolState};

/// Looks, and performs what the look wants done. A look that cannot be taken changes nothing: the cycle
/// after it says what is wrong.
pub(super) fn look(world: &Arc<World>, input: &Input<'_>, state: &mut PoolState) {
    let found = match cycle::between(input, state) {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(pool = %input.pool, error = %error, "no look between two cycles");
            return;
        }
    };
    note_faults(world, &found.faults);
    if let Some(record) = &found.record
        && let Err(error) = Ledger::append(&*world.store, record)
    {
        tracing::error!(error = %error, "the record could not be written, so its plan is not published");
        let why = format!("the record of its amendment could not be written: {error}");
        held(world, input.pool, input.now, &why);
        return;
    }
    let amended = found.record.as_ref().map(|record| record.amends);
    state.adjust(found.floors, found.record);
    if let (Some(amends), Some(plan)) = (amended, &state.last) {
        tracing::info!(pool = %input.pool, generation = plan.generation.0, amends = amends.map(|g| g.0), "plan amended: measured use departs from it");
        world.metrics.amended(input.pool.as_str());
        world.publish(plan);
    }
    for alert in found.alerts {
        world.raise_one(input.pool, input.now, alert);
    }
}

#[cfg(test)]
mod tests {
    use crate::driver::cycle::{Seen, turn};
    use crate::gate::Gate;
    use crate::testing::{api, gate, pool, tenant};
    use std::sync::mpsc;
    use tidegate_core::access::Principal;
    use tidegate_core::ids::Generation;
    use tidegate_core::ports::serve::IngestPort;
    use tidegate_core::ports::storage::Ledger;
    use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Values};
    use tidegate_core::time::{Step, Timestamp};
    use tidegate_core::units::Signal;

    /// Feeds samples of `step_s` from `from`, and waits until they are durable.
    fn feed(gate: &Gate, api: &str, signal: Signal, step_s: u32, from: i64, values: Vec<f64>) {
        let step = Step::from_secs(step_s).unwrap();
        let times = (0..i64::try_from(values.len()).unwrap())
            .map(|i| Timestamp(from).plus_steps(step, i))
            .collect();
        let series = vec![SeriesSamples {
            key: SeriesKey {
                api: api.parse().unwrap(),
                signal,
            },
            step,
            times,
            values: Values::Numbers(values),
        }];
        let (done, heard) = mpsc::sync_channel(1);
        let acked = Box::new(move |outcome| done.send(outcome).unwrap());
        gate.ingest(&Principal::local(), SampleBatch { series }, acked);
        let (_, rejections) = heard.recv().unwrap().unwrap();
        assert_eq!(rejections, []);
    }

    /// A world of two apis after an hour of calm, with what the turns saw.
    fn calm(dir: &std::path::Path) -> (Gate, Seen) {
        let gate = gate(dir);
        gate.put(vec![tenant("shop"), pool("edge")]);
        gate.put(vec![api("shop/orders", "edge"), api("shop/search", "edge")]);
        for name in ["shop/orders", "shop/search"] {
            feed(&gate, name, Signal::Requests, 60, 0, vec![100.0; 60]);
            feed(&gate, name, Signal::Cpu, 60, 0, vec![1.0; 60]);
        }
        gate.to(60);
        let mut seen = Seen::default();
        turn(&gate.world, Timestamp(3_600_000), &mut seen);
        (gate, seen)
    }

    fn later(gate: &Gate, seen: &mut Seen, at: i64) {
        gate.world.clock.set(Timestamp(at));
        turn(&gate.world, Timestamp(at), seen);
    }

    #[test]
    fn a_burst_is_answered_within_its_step_and_the_answer_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (gate, mut seen) = calm(dir.path());
        let edge = "edge".parse().unwrap();
        let before = gate.world.plans.get(&edge).unwrap();
        let row = before
            .apis
            .iter()
            .position(|a| a.api.to_string() == "shop/orders");
        let limit = |plan: &tidegate_core::plan::Plan| plan.apis[row.unwrap()].limit[0];
        let burst = 1.2 * limit(&before);
        feed(
            &gate,
            "shop/orders",
            Signal::Cpu,
            10,
            3_600_000,
            vec![burst; 2],
        );
        later(&gate, &mut seen, 3_620_000);
        let after = gate.world.plans.get(&edge).unwrap();
        assert!(limit(&after) > burst, "{} of {burst}", limit(&after));
        let amendment = (before.generation.0 + 1..=after.generation.0)
            .filter_map(|g| gate.world.store.record(&edge, Generation(g)).unwrap())
            .find(|r| r.amends == Some(before.generation))
            .unwrap();
        let reason = &amendment.plan.apis[row.unwrap()].reason;
        assert!(reason.contains("departs from the plan"), "{reason}");
        assert!(amendment.needs.is_empty());
        let whole = gate.world.store.whole(&edge, amendment.plan.generation);
        assert_eq!(whole.unwrap().unwrap().needs.len(), 2);
        drop(gate);
        let again = crate::testing::gate(dir.path());
        let resumed = again.world.plans.get(&edge).unwrap();
        assert_eq!(resumed, after);
    }

    #[test]
    fn data_that_departs_from_nothing_amends_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (gate, mut seen) = calm(dir.path());
        let edge = "edge".parse().unwrap();
        let before = gate.world.plans.get(&edge).unwrap().generation;
        feed(
            &gate,
            "shop/orders",
            Signal::Cpu,
            10,
            3_600_000,
            vec![1.0; 2],
        );
        later(&gate, &mut seen, 3_620_000);
        let after = gate.world.plans.get(&edge).unwrap().generation;
        for g in before.0 + 1..=after.0 {
            let record = gate.world.store.record(&edge, Generation(g)).unwrap();
            assert_eq!(record.unwrap().amends, None);
        }
    }
}
