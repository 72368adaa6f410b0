//! The registry of slots over native policies: swaps, pins, rollback and quarantine need no Wasm to be
//! shown, and are shown faster without it.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};
use tidegate_core::ids::TenantId;
use tidegate_core::policy::{Blob, CallError, TierInput, TierOutput};
use tidegate_core::roster::Retreat;

/// A tierer that answers its own number as the format of its state.
#[derive(Debug)]
struct Numbered(u32);

impl Tierer for Numbered {
    fn decide(&self, _config: &str, _input: &TierInput) -> Result<TierOutput, CallError> {
        Err(CallError::Trap("not asked here".into()))
    }

    fn migrate(&self, state: &Blob) -> Result<Blob, CallError> {
        Ok(Blob {
            format: self.0,
            bytes: state.bytes.clone(),
        })
    }
}

/// Policies that nobody asks.
#[derive(Debug)]
struct Silent;

mod silent {
    use super::Silent;
    use tidegate_core::policy::{
        Allocation, AllocationInput, Allocator, Blob, Blobs, CallError, Fitted, Forecaster,
        Forecasts, Frames, Horizon, Judge, JudgeInput, Judgement,
    };

    fn no<T>() -> Result<T, CallError> {
        Err(CallError::Unavailable("silent".into()))
    }

    impl Forecaster for Silent {
        fn fit_from(&self, _: &str, _: &[u8], _: &Frames) -> Result<Fitted, CallError> {
            no()
        }
        fn update(&self, _: &[u8], _: &Blobs, _: &Frames) -> Result<Fitted, CallError> {
            no()
        }
        fn predict(&self, _: &[u8], _: &Blobs, _: &Horizon) -> Result<Forecasts, CallError> {
            no()
        }
        fn migrate(&self, _: &[u8], _: &Blobs) -> Result<Fitted, CallError> {
            no()
        }
    }

    impl Allocator for Silent {
        fn allocate(&self, _: &str, _: &AllocationInput) -> Result<Allocation, CallError> {
            no()
        }
        fn migrate(&self, _: &Blob) -> Result<Blob, CallError> {
            no()
        }
    }

    impl Judge for Silent {
        fn judge(&self, _: &str, _: &JudgeInput) -> Result<Judgement, CallError> {
            no()
        }
        fn migrate(&self, _: &Blob) -> Result<Blob, CallError> {
            no()
        }
    }
}

fn baselines() -> Baselines {
    Baselines {
        forecaster: (ModuleRef::native("f"), Arc::new(Silent)),
        tierer: (ModuleRef::native("t"), Arc::new(Numbered(0))),
        allocator: (ModuleRef::native("a"), Arc::new(Silent)),
        judge: (ModuleRef::native("j"), Arc::new(Silent)),
    }
}

fn candidate(n: u32) -> Candidate {
    Candidate {
        module: ModuleRef {
            name: format!("m{n}"),
            version: "1".into(),
            digest: Digest::of(&n.to_le_bytes()),
        },
        config_schema: r#"{"properties":{"gain":{"type":"number"}}}"#.into(),
        policy: Policy::Tierer(Arc::new(Numbered(n))),
    }
}

fn id(text: &str) -> BindingId {
    BindingId::new(text).unwrap()
}

fn with_binding(name: &str) -> Slots {
    let slots = Slots::new(baselines(), FaultLimit::default());
    slots.declare(&id(name), ModuleKind::Tierer, Selector::default());
    slots
}

fn answers(pinned: &Pinned) -> Vec<(u32, Retreat)> {
    let resolved = pinned.tierer(&Subject::default()).unwrap();
    let number = |p: &Arc<dyn Tierer>| p.migrate(&Blob::default()).unwrap().format;
    let members = resolved.roster.members.iter();
    members.map(|m| (number(&m.policy), m.retreat)).collect()
}

fn fault(n: u32) -> Fault {
    fault_in("t", n)
}

fn fault_in(binding: &str, n: u32) -> Fault {
    Fault {
        module: candidate(n).module,
        binding: Some(id(binding)),
        error: CallError::Trap("unreachable".into()),
        subject: "x".into(),
    }
}

#[test]
fn a_pin_taken_before_a_swap_keeps_calling_the_old_module() {
    let slots = with_binding("t");
    let at_first = slots.pin();
    slots
        .swap(&id("t"), &candidate(1), "{}", By::Itself)
        .unwrap();
    let before = slots.pin();
    let swapped = slots
        .swap(&id("t"), &candidate(2), "{}", By::Itself)
        .unwrap();
    assert_eq!(swapped.from, Some(candidate(1).module));
    assert_eq!(answers(&at_first), [(0, Retreat::Baseline)]);
    assert_eq!(
        answers(&before),
        [(1, Retreat::Active), (0, Retreat::Baseline)]
    );
    let now = [
        (2, Retreat::Active),
        (1, Retreat::LastGood),
        (0, Retreat::Baseline),
    ];
    assert_eq!(answers(&slots.pin()), now);
    let info = &slots.info()[0];
    assert_eq!(
        (info.epoch, info.last_good.clone()),
        (2, Some(candidate(1).module))
    );
}

#[test]
fn a_swap_that_does_not_fit_changes_nothing() {
    let slots = with_binding("t");
    slots.declare(&id("a"), ModuleKind::Allocator, Selector::default());
    for (binding, config, part) in [
        ("nobody", "{}", "no binding `nobody`"),
        ("a", "{}", "is of kind allocator"),
        ("t", r#"{"gian":1}"#, "`gian` is unknown; known are gain"),
        ("t", r#"{"gain":"x"}"#, "not of type number"),
    ] {
        let error = slots
            .swap(&id(binding), &candidate(1), config, By::Operator)
            .unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(answers(&slots.pin()), [(0, Retreat::Baseline)]);
}

#[test]
fn repeated_faults_bring_the_last_good_version_back_and_quarantine_the_digest() {
    let slots = with_binding("t");
    slots
        .swap(&id("t"), &candidate(1), "{}", By::Itself)
        .unwrap();
    slots
        .swap(&id("t"), &candidate(2), r#"{"gain":2}"#, By::Itself)
        .unwrap();
    for _ in 0..2 {
        answers(&slots.pin());
        // Faults of others and honest answers do not count.
        assert!(slots.report_faults(&[fault(1), fault(2)]).is_empty());
    }
    answers(&slots.pin());
    let done = slots.report_faults(&[fault(2)]);
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].swap.to, Some(candidate(1).module));
    assert_eq!(
        (done[0].faults, done[0].quarantined),
        (3, candidate(2).module.digest)
    );
    assert_eq!(
        answers(&slots.pin()),
        [(1, Retreat::Active), (0, Retreat::Baseline)]
    );
    // RB1: not by itself, but by an operator who says so.
    let again = slots.swap(&id("t"), &candidate(2), "{}", By::Itself);
    assert!(matches!(again, Err(SwapError::Quarantined(_))));
    slots
        .swap(&id("t"), &candidate(2), "{}", By::Owner)
        .unwrap();
    assert!(slots.admits(&id("t"), candidate(2).module.digest));
}

#[test]
fn a_module_that_fails_one_tenant_is_taken_from_it_alone_and_from_all_when_it_fails_two() {
    let slots = Slots::new(baselines(), FaultLimit::default());
    for tenant in ["shop", "bank", "mill"] {
        let selector = Selector {
            tenant: Some(TenantId::new(tenant).unwrap()),
            ..Selector::default()
        };
        slots.declare(&id(tenant), ModuleKind::Tierer, selector);
        slots
            .swap(&id(tenant), &candidate(1), "{}", By::Itself)
            .unwrap();
    }
    let digest = candidate(1).module.digest;
    let fail = |tenant: &str| {
        let subject = TenantId::new(tenant).unwrap();
        let mut done = vec![];
        for _ in 0..3 {
            let pinned = slots.pin();
            let subject = Subject {
                tenant: Some(&subject),
                ..Subject::default()
            };
            let roster = pinned.tierer(&subject).unwrap().roster.clone();
            let _ = roster.members[0].policy.migrate(&Blob::default());
            assert_eq!(roster.members[0].binding, Some(id(tenant)));
            done = slots.report_faults(&[fault_in(tenant, 1)]);
        }
        done
    };
    let serves = |tenant: &str| slots.serving(&id(tenant)).is_some();

    let done = fail("shop");
    assert_eq!((done.len(), done[0].reach), (1, Reach::Binding));
    assert!(!serves("shop") && serves("bank") && serves("mill"));
    assert_eq!(slots.condemned_at(digest), [id("shop")]);
    assert!(slots.quarantined().is_empty() && slots.admits(&id("bank"), digest));

    assert_eq!(fail("bank")[0].reach, Reach::Everywhere);
    assert_eq!(slots.quarantined(), [digest]);
    // Where it serves and does not fail it goes on; nowhere does it come by itself, nor by the word
    // of one tenant.
    assert!(serves("mill"));
    for (by, binding) in [(By::Itself, "mill"), (By::Owner, "shop")] {
        let again = slots.swap(&id(binding), &candidate(1), "{}", by);
        assert!(matches!(again, Err(SwapError::Quarantined(_))), "{by:?}");
    }
    slots
        .swap(&id("shop"), &candidate(1), "{}", By::Operator)
        .unwrap();
    assert!(!slots.admits(&id("bank"), digest));
}

#[test]
fn without_a_last_good_version_the_baseline_serves() {
    let slots = with_binding("t");
    slots
        .swap(&id("t"), &candidate(1), "{}", By::Itself)
        .unwrap();
    let mut done = vec![];
    for _ in 0..3 {
        answers(&slots.pin());
        done = slots.report_faults(&[fault(1)]);
    }
    assert_eq!(done[0].swap.to, None);
    assert_eq!(answers(&slots.pin()), [(0, Retreat::Baseline)]);
    assert_eq!(slots.info()[0].active, ModuleRef::native("t"));
}

#[test]
fn an_operators_rollback_quarantines_what_it_leaves() {
    let slots = with_binding("t");
    slots
        .swap(&id("t"), &candidate(1), "{}", By::Itself)
        .unwrap();
    assert!(matches!(
        slots.rollback(&id("t")),
        Err(SwapError::NothingBefore(_))
    ));
    slots
        .swap(&id("t"), &candidate(2), "{}", By::Itself)
        .unwrap();
    let swapped = slots.rollback(&id("t")).unwrap();
    assert_eq!(swapped.to, Some(candidate(1).module));
    assert_eq!(slots.condemned_at(candidate(2).module.digest), [id("t")]);
    // Going back to another config of the same module condemns nothing.
    let slots = with_binding("t");
    slots
        .swap(&id("t"), &candidate(1), "{}", By::Itself)
        .unwrap();
    slots
        .swap(&id("t"), &candidate(1), r#"{"gain":1}"#, By::Itself)
        .unwrap();
    slots.rollback(&id("t")).unwrap();
    assert!(slots.admits(&id("t"), candidate(1).module.digest));
}

#[test]
fn a_quarantined_last_good_version_does_not_answer() {
    let slots = with_binding("t");
    slots
        .swap(&id("t"), &candidate(1), "{}", By::Itself)
        .unwrap();
    slots
        .swap(&id("t"), &candidate(2), "{}", By::Itself)
        .unwrap();
    slots.quarantine([candidate(1).module.digest]);
    assert_eq!(
        answers(&slots.pin()),
        [(2, Retreat::Active), (0, Retreat::Baseline)]
    );
    slots.quarantine([Digest([0; 32])]);
    assert_eq!(
        slots.quarantined().len(),
        1,
        "native rules cannot be quarantined"
    );
}

#[test]
fn the_most_specific_binding_serves_and_the_lowest_id_breaks_a_tie() {
    let slots = Slots::new(baselines(), FaultLimit::default());
    let shop = TenantId::new("shop").unwrap();
    let labels = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
    let selectors = [
        ("z-all", Selector::default()),
        (
            "b-shop",
            Selector {
                tenant: Some(shop.clone()),
                ..Selector::default()
            },
        ),
        (
            "a-prod",
            Selector {
                labels: labels.clone(),
                ..Selector::default()
            },
        ),
        (
            "c-both",
            Selector {
                tenant: Some(shop.clone()),
                labels: labels.clone(),
                ..Selector::default()
            },
        ),
    ];
    for (name, selector) in selectors {
        slots.declare(&id(name), ModuleKind::Tierer, selector);
    }
    let bank = TenantId::new("bank").unwrap();
    let none = BTreeMap::new();
    let served_by = |slots: &Slots, tenant, labels| {
        let subject = Subject {
            tenant: Some(tenant),
            labels: Some(labels),
            ..Subject::default()
        };
        let pinned = slots.pin();
        let resolved = pinned.tierer(&subject).unwrap();
        resolved.binding.map(|(id, _)| id.as_str().to_owned())
    };
    for (tenant, labels, expected) in [
        (&shop, &labels, "c-both"),
        (&shop, &none, "b-shop"),
        (&bank, &labels, "a-prod"),
        (&bank, &none, "z-all"),
    ] {
        assert_eq!(served_by(&slots, tenant, labels).as_deref(), Some(expected));
    }
    slots.remove(&id("c-both"));
    assert_eq!(served_by(&slots, &shop, &labels).as_deref(), Some("a-prod"));
    slots.remove(&id("z-all"));
    assert_eq!(served_by(&slots, &bank, &none), None);
}

#[test]
fn a_new_selector_keeps_the_modules() {
    let slots = with_binding("t");
    slots
        .swap(&id("t"), &candidate(1), "{}", By::Itself)
        .unwrap();
    let selector = Selector {
        category: Some("web".into()),
        ..Selector::default()
    };
    slots.declare(&id("t"), ModuleKind::Tierer, selector);
    assert_eq!(
        answers(&slots.pin()),
        [(0, Retreat::Baseline)],
        "nothing selects the subject"
    );
    assert_eq!(slots.info()[0].active, candidate(1).module);
    slots.declare(&id("t"), ModuleKind::Judge, Selector::default());
    assert_eq!(slots.info()[0].active, ModuleRef::native("j"));
}

#[test]
fn many_writers_lose_no_swap() {
    let slots = with_binding("t");
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for n in 1..5 {
            let (slots, done) = (&slots, &done);
            scope.spawn(move || {
                for _ in 0..50 {
                    slots
                        .swap(&id("t"), &candidate(n), "{}", By::Itself)
                        .unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(slots.info()[0].epoch, u64::from(done.into_inner()));
}

#[test]
fn a_word_takes_a_version_out_at_once_and_withdraws_nothing_from_others() {
    let slots = Slots::new(baselines(), FaultLimit::default());
    for tenant in ["shop", "bank"] {
        let selector = Selector {
            tenant: Some(tenant.parse().unwrap()),
            ..Selector::default()
        };
        slots.declare(&id(tenant), ModuleKind::Tierer, selector);
        for n in [1, 2] {
            slots
                .swap(&id(tenant), &candidate(n), "{}", By::Itself)
                .unwrap();
        }
    }
    let (first, second) = (candidate(1).module, candidate(2).module);
    let swapped = slots.condemn_at(&id("shop"), second.digest).unwrap();
    assert_eq!(swapped.to, Some(first.clone()));
    assert!(!slots.admits(&id("shop"), second.digest) && slots.admits(&id("bank"), second.digest));
    // A second party's word is no proof either, and a version that does not serve swaps nothing.
    assert_eq!(slots.condemn_at(&id("bank"), first.digest), None);
    assert!(slots.condemn_at(&id("bank"), second.digest).is_some());
    assert_eq!(slots.quarantined(), []);
    assert_eq!(slots.serving(&id("bank")), None, "the baseline is left");

    slots.lift_at(&id("bank"), second.digest);
    assert!(slots.admits(&id("bank"), second.digest));
    let gone = slots.withdraw(first.digest);
    assert_eq!(gone.len(), 1);
    assert_eq!(slots.serving(&id("shop")), None);
    slots.forgive(first.digest);
    assert!(slots.admits(&id("bank"), first.digest));
}

#[test]
fn a_version_stands_behind_again_after_a_restart_unless_it_may_not() {
    let slots = with_binding("t");
    let behind = || slots.info()[0].last_good.clone();
    assert!(!slots.stand_behind(&id("t"), &candidate(1), "{}"));
    slots
        .swap(&id("t"), &candidate(2), "{}", By::Itself)
        .unwrap();
    slots.quarantine_at([(candidate(3).module.digest, &id("t"), None)]);
    assert!(!slots.stand_behind(&id("t"), &candidate(3), "{}"));
    assert!(slots.stand_behind(&id("t"), &candidate(1), "{}"));
    assert_eq!(behind(), Some(candidate(1).module));
    assert!(!slots.stand_behind(&id("t"), &candidate(4), "{}"));
    let back = slots.rollback(&id("t")).unwrap();
    assert_eq!(back.to, Some(candidate(1).module));
}
