//! Steps of the journal come back in order, and go when they are let go of.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tidegate_core::ids::Digest;
use tidegate_core::life::{Actor, Event, Ground, Step, Version};
use tidegate_core::module::ModuleRef;
use tidegate_core::ports::storage::Journal;

fn version(seed: u64) -> Version {
    Version {
        module: ModuleRef {
            name: "ets".into(),
            version: seed.to_string(),
            digest: Digest::of(&seed.to_le_bytes()),
        },
        config: "{\"season\":24}".into(),
    }
}

fn step(sequence: u64, seed: u64) -> Step {
    let actors = [
        Actor::Caller("ci".into()),
        Actor::Gate,
        Actor::Faults,
        Actor::Daemon,
    ];
    Step {
        sequence,
        at: Timestamp(seed as i64 - 3),
        event: Event::ALL[seed as usize % Event::ALL.len()],
        binding: (!seed.is_multiple_of(3)).then(|| "default".parse().unwrap()),
        party: (!seed.is_multiple_of(2)).then(|| "shop".parse().unwrap()),
        from: (!seed.is_multiple_of(5)).then(|| version(seed)),
        to: (!seed.is_multiple_of(7)).then(|| version(seed + 1)),
        by: actors[seed as usize % actors.len()].clone(),
        ground: match seed % 2 {
            0 => Ground::Ordinary,
            _ => Ground::Forced,
        },
        reason: format!("because of {seed}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn what_was_appended_and_not_let_go_of_comes_back_in_order_after_a_restart(
        appends in prop::collection::vec((1..5_u64, any::<u64>(), 0..3_usize), 1..12),
    ) {
        let mut f = Fixture::new(Options::default());
        let mut model = BTreeMap::new();
        let mut next = 0;
        for (count, seed, forgotten) in appends {
            let steps: Vec<Step> = (0..count).map(|i| step(next + i, (seed >> 1).saturating_add(i))).collect();
            let forget: Vec<u64> = model.keys().copied().take(forgotten).collect();
            Journal::append(&**f.store(), &steps, &forget).unwrap();
            forget.iter().for_each(|sequence| { model.remove(sequence); });
            next += count;
            model.extend(steps.into_iter().map(|s| (s.sequence, s)));
        }
        f.restart();
        let kept: Vec<Step> = model.into_values().collect();
        prop_assert_eq!(Journal::steps(&**f.store()).unwrap(), kept);
        f.clean();
    }
}
