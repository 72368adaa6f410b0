//! The smallest config that a schema asks for, for calls that nobody configured.
//!
//! A canary call needs some config, and `{}` is one wherever nothing is required. What is required
//! takes its `default`, its `const`, the first of its `enum`, or the smallest value of its type
//! within its bounds. Whether the result fits is checked like anybody's config: a schema for which
//! no such value can be found this simply is told, not guessed at.

use super::{MAX_DEPTH, types};
use serde_json::{Map, Value};

/// JSON of an object with all that is required and nothing else.
pub(crate) fn smallest(schema: &str) -> String {
    let schema = serde_json::from_str(schema).unwrap_or(Value::Null);
    object(&schema, 0).to_string()
}

fn object(schema: &Value, depth: usize) -> Value {
    let required = schema.get("required").and_then(Value::as_array);
    let names = required.into_iter().flatten().filter_map(Value::as_str);
    let inner = |name: &str| schema.get("properties").and_then(|p| p.get(name));
    let values = names.map(|name| {
        let value = inner(name).map_or(Value::Null, |schema| value(schema, depth + 1));
        (name.to_owned(), value)
    });
    Value::Object(values.collect::<Map<String, Value>>())
}

fn value(schema: &Value, depth: usize) -> Value {
    let first = |key: &str| schema.get(key).and_then(Value::as_array)?.first().cloned();
    let told = schema.get("default").or_else(|| schema.get("const"));
    if let Some(value) = told.cloned().or_else(|| first("enum")) {
        return value;
    }
    let of_type = schema.get("type").and_then(types);
    let kind = of_type.as_ref().and_then(|types| types.first().copied());
    let least = |key: &str| schema.get(key).and_then(Value::as_u64).unwrap_or(0);
    match kind {
        Some("object") if depth < MAX_DEPTH => object(schema, depth),
        Some("array") if depth < MAX_DEPTH => {
            let item = schema
                .get("items")
                .map_or(Value::Null, |s| value(s, depth + 1));
            // A schema may ask for any number of entries; more than these are not for a canary.
            let count = usize::try_from(least("minItems").min(64)).unwrap_or(0);
            Value::Array(vec![item; count])
        }
        Some("string") => {
            Value::String("a".repeat(usize::try_from(least("minLength").min(4096)).unwrap_or(0)))
        }
        Some("boolean") => Value::Bool(false),
        Some("number" | "integer") => number(schema),
        _ => Value::Null,
    }
}

/// Zero, or the bound that excludes it; halfway between two bounds that exclude themselves.
fn number(schema: &Value) -> Value {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let low = bound("minimum").or_else(|| bound("exclusiveMinimum"));
    let high = bound("maximum").or_else(|| bound("exclusiveMaximum"));
    let open = bound("exclusiveMinimum").is_some() || bound("exclusiveMaximum").is_some();
    let number = match (low, high) {
        (Some(low), Some(high)) if open => low + (high - low) / 2.0,
        (Some(low), None) if open => low + 1.0,
        (None, Some(high)) if open => high - 1.0,
        (low, high) => 0.0_f64
            .max(low.unwrap_or(f64::MIN))
            .min(high.unwrap_or(f64::MAX)),
    };
    if number.fract() == 0.0 && number.abs() < 9e15 {
        Value::from(number as i64)
    } else {
        Value::from(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::check_config;

    #[track_caller]
    fn check(schema: &str, expected: &str) {
        assert_eq!(smallest(schema), expected);
        check_config(schema, expected).unwrap();
    }

    #[test]
    fn what_is_required_gets_its_default_or_the_smallest_value_of_its_type() {
        check("{}", "{}");
        check(r#"{"properties":{"a":{"type":"number"}}}"#, "{}");
        check(
            r#"{"required":["a","b","c","d"],"properties":{
                "a":{"type":"number","minimum":2},"b":{"default":7},
                "c":{"type":"string","minLength":2},"d":{"enum":["x","y"]}}}"#,
            r#"{"a":2,"b":7,"c":"aa","d":"x"}"#,
        );
        check(
            r#"{"required":["o"],"properties":{"o":{"type":"object","required":["l"],
                "properties":{"l":{"type":"array","minItems":1,"items":{"type":"number",
                "exclusiveMinimum":0,"exclusiveMaximum":1}}}}}}"#,
            r#"{"o":{"l":[0.5]}}"#,
        );
    }

    #[test]
    fn a_schema_without_end_ends() {
        let mut schema = r#"{"type":"array","minItems":1}"#.to_owned();
        for _ in 0..100 {
            schema = format!(r#"{{"type":"array","minItems":1,"items":{schema}}}"#);
        }
        let schema = format!(r#"{{"required":["a"],"properties":{{"a":{schema}}}}}"#);
        assert!(smallest(&schema).len() < 200);
    }
}
