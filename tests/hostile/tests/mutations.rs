//! Components that were damaged at random: the door says yes or no, and never falls.
//!
//! What a fuzzer does, bounded and on every machine: bytes flipped, cut, doubled and moved in whole
//! components of every kind. Whatever is let in by structure is compiled and asked to describe itself
//! too, under the limits of any upload.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use std::sync::LazyLock;
use tidegate_core::module::ModuleKind;
use tidegate_engine::{Engine, Limits, Options};
use tidegate_hostile::Guest;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(Options::default()).unwrap());

/// A sound component of each kind.
static SOUND: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let kinds = [
        ModuleKind::Forecaster,
        ModuleKind::Tierer,
        ModuleKind::Allocator,
        ModuleKind::Judge,
    ];
    kinds
        .map(|kind| Guest::new(kind, "sound").build().unwrap())
        .into()
});

#[derive(Debug, Clone)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Drop(prop::sample::Index, usize),
    Double(prop::sample::Index, usize),
    Move(prop::sample::Index, prop::sample::Index, usize),
    /// A length that promises more than there is.
    Grow(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        6 => (at(), 1..=255_u8).prop_map(|(i, bits)| Damage::Flip(i, bits)),
        1 => at().prop_map(Damage::Cut),
        1 => (at(), 1..64_usize).prop_map(|(i, n)| Damage::Drop(i, n)),
        1 => (at(), 1..64_usize).prop_map(|(i, n)| Damage::Double(i, n)),
        1 => (at(), at(), 1..64_usize).prop_map(|(i, j, n)| Damage::Move(i, j, n)),
        1 => at().prop_map(Damage::Grow),
    ]
}

fn hurt(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    match damage {
        Damage::Flip(at, bits) => bytes[at.index(len)] ^= bits,
        Damage::Cut(at) => bytes.truncate(at.index(len)),
        Damage::Drop(at, n) => {
            let from = at.index(len);
            bytes.drain(from..len.min(from + n));
        }
        Damage::Double(at, n) => {
            let from = at.index(len);
            let part = bytes[from..len.min(from + n)].to_vec();
            bytes.splice(from..from, part);
        }
        Damage::Move(from, to, n) => {
            let from = from.index(len);
            let part: Vec<u8> = bytes.drain(from..len.min(from + n)).collect();
            let to = to.index(bytes.len() + 1);
            bytes.splice(to..to, part);
        }
        Damage::Grow(at) => {
            let at = at.index(len);
            bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_component_is_let_in_or_refused_in_words(
        kind in 0..4_usize,
        damages in prop::collection::vec(damage(), 1..5),
    ) {
        let mut bytes = SOUND[kind].clone();
        for damage in &damages {
            hurt(&mut bytes, damage);
        }
        let limits = Limits::default();
        if let Err(error) = Engine::inspect(&bytes, &limits) {
            prop_assert!(!error.to_string().is_empty());
            return Ok(());
        }
        // What looks sound is compiled, described and let go again.
        if let Err(error) = ENGINE.admit(&bytes, &limits) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn the_components_that_are_damaged_are_sound_before() {
    for bytes in SOUND.iter() {
        ENGINE.admit(bytes, &Limits::default()).unwrap();
    }
}
