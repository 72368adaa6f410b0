//! Declared events around the model: foreseen, and kept out of the ordinary season.

use tidegate_model_kit::fixtures::day;

tidegate_model_kit::event_sentences!(tidegate_model_ets, day);
