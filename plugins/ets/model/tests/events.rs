//! Declared events around the model: foreseen, and kept out of the ordinary season.

use tidegate_model_ets::{FORMAT, ModelError, State, migrate};
use tidegate_model_kit::fixtures::day;

tidegate_model_kit::event_sentences!(tidegate_model_ets, day);

/// A state of format 1: hours 0 to 71 of `100 + 10 (t mod 6) + (7 t mod 5)` with a season of 6.
const BEFORE_EVENTS: &[u8] = &[
    1, 0, 0, 1, 70, 228, 51, 86, 111, 44, 32, 63, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    123, 120, 172, 190, 218, 196, 255, 63, 0, 0, 0, 0, 0, 0, 0, 0, 1, 6, 1, 70, 99, 139, 236, 43,
    32, 63, 6, 133, 86, 201, 190, 76, 141, 108, 190, 122, 161, 157, 189, 27, 5, 164, 61, 166, 8,
    110, 62, 11, 254, 198, 62, 200, 128, 128, 84, 0, 0, 0, 0, 0, 0, 80, 64, 54, 94, 164, 181, 45,
    58, 151, 63, 35, 49, 9, 67, 213, 128, 197, 191, 0, 4, 1, 189, 164, 93, 63, 105, 65, 146, 63,
    24, 87, 134, 63, 195, 239, 94, 63, 2, 224, 138, 109, 63, 147, 173, 148, 63, 237, 47, 138, 63,
    79, 76, 110, 63, 4, 251, 187, 138, 63, 158, 96, 157, 63, 88, 183, 145, 63, 2, 94, 136, 63, 8,
    250, 51, 187, 63, 115, 21, 174, 63, 237, 232, 171, 63, 242, 243, 185, 63, 144, 3,
];

#[test]
fn a_state_from_before_events_is_read_and_says_what_it_said() {
    let state = migrate(1, BEFORE_EVENTS).unwrap();
    let p = state.predict(4, &[1000, 9000], 1).unwrap();
    let (mean, quantiles) = (
        [
            101.90860525935015,
            112.29135481684527,
            122.14988962977252,
            132.2014743503841,
        ],
        [
            99.78283490618922,
            103.8611911048468,
            110.13037406459321,
            114.29985541818716,
            119.91494479496274,
            124.22240323225915,
            129.9140511581035,
            134.31940590525116,
        ],
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
