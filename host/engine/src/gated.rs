//! A judge's config under a gate: the gate's error rate and margin in the judge's own words.
//!
//! A judge is bound once, with a config of its own; how sure a promotion has to be is each binding's to
//! say. So where a judge's schema knows the words of `sequential-judge` (`alpha`, `loss_harmless`,
//! `loss_margin`, `patience_seconds`), a gate's figures stand in for those of its config. A judge that does
//! not know a word goes by its own config there.

use serde_json::{Map, Value};
use tidegate_core::life::Gate;

/// Seconds before which a trial is not called starved: pairs come by the block, not by the second.
const PATIENCE_S: u64 = 6 * 3_600;

/// Least margin that a bet can be made on.
const LEAST_MARGIN: f64 = 1e-6;

/// The judge's config for a gate, whose error rate is divided over so many questions.
#[must_use]
pub fn gated_config(schema: &str, config: &str, gate: &Gate, questions: usize) -> String {
    let object = |text: &str| match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    };
    let schema = object(schema);
    let knows = |word: &str| {
        let properties = schema.get("properties").and_then(Value::as_object);
        properties.is_some_and(|p| p.contains_key(word))
    };
    let mut merged = object(config);
    #[expect(clippy::cast_precision_loss, reason = "a handful of questions")]
    let alpha = gate.alpha.probability() / questions.max(1) as f64;
    let margin = gate.margin.max(LEAST_MARGIN);
    let words = [
        ("alpha", Value::from(alpha)),
        ("loss_harmless", Value::from(margin)),
        ("loss_margin", Value::from(margin)),
    ];
    for (word, value) in words {
        if knows(word) {
            merged.insert(word.into(), value);
        }
    }
    let patience = merged.get("patience_seconds").and_then(Value::as_u64);
    if knows("patience_seconds") {
        let patience = patience.unwrap_or(0).max(PATIENCE_S);
        merged.insert("patience_seconds".into(), patience.into());
    }
    Value::Object(merged).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gates_figures_stand_in_where_the_judge_knows_the_word() {
        let schema = r#"{"type":"object","properties":{"alpha":{},"loss_margin":{},"own":{}}}"#;
        let gate = Gate {
            margin: 0.1,
            ..Gate::default()
        };
        let merged = gated_config(schema, r#"{"alpha":0.2,"own":1}"#, &gate, 2);
        let merged: Value = serde_json::from_str(&merged).unwrap();
        assert_eq!(
            merged,
            serde_json::json!({"alpha": 0.005, "loss_margin": 0.1, "own": 1})
        );
    }
}
