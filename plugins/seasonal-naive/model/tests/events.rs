//! Declared events around the model: foreseen, and kept out of the ordinary season.

use tidegate_model_seasonal_naive::{FORMAT, ModelError, State, migrate};

/// Up to noon and down again.
fn day(t: usize) -> f64 {
    let hour = (t % 24) as f64;
    140.0 - 5.0 * (hour - 12.0).abs()
}

tidegate_model_kit::event_sentences!(tidegate_model_seasonal_naive, day);

/// A state of format 1: hours 0 to 71 of `100 + 10 (t mod 6) + (7 t mod 5)` with a season of 6.
const BEFORE_EVENTS: &[u8] = &[
    1, 0, 0, 0, 0, 0, 0, 80, 64, 200, 128, 128, 84, 6, 0, 0, 204, 63, 0, 0, 228, 63, 0, 0, 242, 63,
    0, 0, 5, 64, 0, 0, 12, 64, 0, 0, 24, 64, 3, 1, 13, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 64, 189,
    0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 0, 0, 0, 0, 0, 61, 0, 0, 0, 61, 0, 0, 0, 61,
    0, 0, 0, 61, 0, 0, 0, 61, 0, 0, 0, 61, 2, 13, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 64, 189, 0,
    0, 64, 189, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 0, 0, 0, 0, 0, 61, 0, 0, 128, 61, 0, 0, 128,
    61, 0, 0, 128, 61, 0, 0, 128, 61, 0, 0, 128, 61, 4, 13, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 64,
    189, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 0, 0, 0, 0, 64, 61, 0, 0, 128, 61, 0,
    0, 128, 61, 0, 0, 128, 61, 0, 0, 128, 61, 0, 0, 128, 61,
];

#[test]
fn a_state_from_before_events_is_read_and_says_what_it_said() {
    let state = migrate(1, BEFORE_EVENTS).unwrap();
    let p = state.predict(4, &[1000, 9000], 1).unwrap();
    let (mean, quantiles) = (
        [102.0, 114.0, 121.0, 133.0],
        [99.0, 104.0, 111.0, 116.0, 118.0, 123.0, 130.0, 135.0],
    );
    for (now, then) in p
        .mean
        .iter()
        .zip(mean)
        .chain(p.quantiles.iter().zip(quantiles))
    {
        assert!((now - then).abs() < 1e-9, "{now} was {then}");
    }
    let bytes = state.encode().unwrap();
    assert_eq!(State::decode(&bytes), Ok(state));
    assert!(State::decode(BEFORE_EVENTS).is_err());
    let odd = migrate(FORMAT + 1, BEFORE_EVENTS);
    assert!(matches!(odd, Err(ModelError::Unsupported(_))));
}
