//! The shipped modules in a daemon under a driven clock: what is in shadow is compared step by step.

use super::*;
use crate::gate::Gate;
use crate::shipped;
use crate::testing::{api, gate, pool, tenant};
use std::sync::mpsc;
use tidegate_core::access::Principal;
use tidegate_core::life::Side;
use tidegate_core::ports::serve::IngestPort;
use tidegate_core::sample::{SampleBatch, SeriesSamples, Values};
use tidegate_core::time::Step;
use tidegate_core::units::Signal;

fn open(dir: &std::path::Path) -> Gate {
    let gate = gate(dir);
    shipped::install(&gate.world, Timestamp(0)).unwrap();
    gate.world.follow_bindings(None);
    life::restore(&gate.world);
    OnTrial::restore(&gate.world);
    gate
}

/// Feeds minutes of a load that swings, and waits until they are durable.
fn feed(gate: &Gate, minutes: std::ops::Range<i64>) {
    let series = |(signal, cost): (Signal, f64)| SeriesSamples {
        key: SeriesKey {
            api: "shop/orders".parse().unwrap(),
            signal,
        },
        step: Step::MINUTE,
        times: minutes.clone().map(|m| Timestamp(m * 60_000)).collect(),
        values: Values::Numbers(
            minutes
                .clone()
                .map(|m| cost * (100 + m % 17) as f64)
                .collect(),
        ),
    };
    let series = [(Signal::Requests, 60.0), (Signal::Cpu, 0.01)].map(series);
    let batch = SampleBatch {
        series: series.into(),
    };
    let (done, heard) = mpsc::sync_channel(1);
    let acked = Box::new(move |outcome| done.send(outcome).unwrap());
    gate.ingest(&Principal::local(), batch, acked);
    let (_, rejections) = heard.recv().unwrap().unwrap();
    assert_eq!(rejections, []);
}

#[test]
fn learned_is_in_shadow_of_the_default_allocator_and_what_is_known_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let id: BindingId = "default-allocator".parse().unwrap();
    let first = open(dir.path());
    first.put(vec![tenant("shop"), pool("edge")]);
    first.put(vec![api("shop/orders", "edge")]);
    feed(&first, 0..120);
    first.to(120);
    let told = first.world.standing(&id).unwrap();
    assert_eq!(told.candidate.module.name, "learned");
    assert_eq!(told.incumbent.module.name, "waterfill");
    assert_eq!(told.serving, Side::Incumbent);
    assert!(told.pairs > 15, "{told:?}");
    assert!(told.bounds.is_some(), "the judge has been asked: {told:?}");
    let plan = first.world.plans.get(&"edge".parse().unwrap()).unwrap();
    assert_eq!(plan.served.module.name, "waterfill");
    OnTrial::write(&first.world);
    first.world.store.close();
    drop((plan, first));

    let second = open(dir.path());
    let again = second.world.standing(&id).unwrap();
    assert_eq!((again.pairs, again.since), (told.pairs, told.since));
    feed(&second, 120..180);
    second.to(180);
    let later = second.world.standing(&id).unwrap();
    assert!(later.pairs > told.pairs, "{later:?}");
}
