//! Declared events around the model: foreseen, and kept out of the ordinary season.

/// Up to noon and down again.
fn day(t: usize) -> f64 {
    let hour = (t % 24) as f64;
    140.0 - 5.0 * (hour - 12.0).abs()
}

tidegate_model_kit::event_sentences!(tidegate_model_seasonal_naive, day);
