//! Whether a configuration fits a module's schema.
//!
//! A subset of JSON Schema that covers what policies declare, checked the same way wherever it
//! appears: `type` (a name or a list of names), `enum`, `const`, `minimum`, `maximum`,
//! `exclusiveMinimum`, `exclusiveMaximum`, `minLength`, `maxLength`, `minItems`, `maxItems`,
//! `required`, `properties`, `additionalProperties` (false or a schema) and `items` (a schema).
//! Annotations (`title`, `description`, `default`, `examples`, `$schema`, `$id`, `$comment`,
//! `format`, `unit`) are ignored. Any other keyword is refused *at admission*: an author must not
//! believe that something is checked that is not. One difference to the standard: where
//! `properties` is given and `additionalProperties` is not, unknown keys are refused, because in a
//! configuration they are misspellings. A full validator crate would be one of the largest
//! dependencies of the daemon, for keywords that no policy has needed yet.

mod smallest;

pub(crate) use smallest::smallest;

use serde_json::{Map, Value};
use std::fmt::Write as _;

/// Deepest nesting of a schema.
const MAX_DEPTH: usize = 32;

const CHECKED: [&str; 16] = [
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "uniqueItems",
];

const ANNOTATIONS: [&str; 9] = [
    "title",
    "description",
    "default",
    "examples",
    "$schema",
    "$id",
    "$comment",
    "format",
    "unit",
];

const TYPES: [&str; 7] = [
    "object", "array", "string", "number", "integer", "boolean", "null",
];

/// A schema that cannot be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at `{at}`: {problem}")]
pub struct SchemaError {
    /// Path to the place, `/` for the top.
    pub at: String,
    /// What is wrong and what is possible.
    pub problem: String,
}

/// A configuration that does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("config at `{at}`: {problem}")]
pub struct ConfigError {
    /// Path to the place, `/` for the top.
    pub at: String,
    /// What is wrong and what it should be.
    pub problem: String,
}

/// Checks that a schema uses only what [`check_config`] checks.
///
/// # Errors
/// The first place that it could not check.
pub fn check_schema(schema: &str) -> Result<(), SchemaError> {
    let fail = |problem: String| SchemaError {
        at: "/".into(),
        problem,
    };
    let schema: Value =
        serde_json::from_str(schema).map_err(|e| fail(format!("it is not JSON: {e}")))?;
    walk_schema(&schema, "", 0)
}

/// Checks a configuration against a schema that passed [`check_schema`].
///
/// # Errors
/// The first place that does not fit.
pub fn check_config(schema: &str, config: &str) -> Result<(), ConfigError> {
    let fail = |problem: String| ConfigError {
        at: "/".into(),
        problem,
    };
    let schema: Value = serde_json::from_str(schema)
        .map_err(|e| fail(format!("the module's schema is not JSON: {e}")))?;
    let config: Value = serde_json::from_str(config)
        .map_err(|e| fail(format!("it is not JSON: {e}; write {{}} for the defaults")))?;
    if !config.is_object() {
        return Err(fail(
            "a config is an object; write {} for the defaults".into(),
        ));
    }
    walk_config(&schema, &config, "")
}

fn walk_schema(schema: &Value, at: &str, depth: usize) -> Result<(), SchemaError> {
    let fail = |problem: String| {
        Err(SchemaError {
            at: place(at),
            problem,
        })
    };
    if depth > MAX_DEPTH {
        return fail(format!("schemas are nested deeper than {MAX_DEPTH}"));
    }
    let Some(schema) = schema.as_object() else {
        return fail("a schema must be an object".into());
    };
    for (key, value) in schema {
        let known = CHECKED.contains(&key.as_str()) || ANNOTATIONS.contains(&key.as_str());
        if !known {
            let list = CHECKED.join(", ");
            return fail(format!("keyword `{key}` is not checked; use only {list}"));
        }
        let shape_is_right = match key.as_str() {
            "type" => types(value).is_some_and(|t| t.iter().all(|t| TYPES.contains(t))),
            "enum" | "required" => value.is_array(),
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => value.is_number(),
            "minLength" | "maxLength" | "minItems" | "maxItems" => value.is_u64(),
            "properties" | "items" => value.is_object(),
            "additionalProperties" => value.is_object() || value.is_boolean(),
            "uniqueItems" => value.is_boolean(),
            _ => true,
        };
        if !shape_is_right {
            return fail(format!("`{key}` cannot be {value}"));
        }
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, inner) in properties {
            walk_schema(inner, &format!("{at}/{name}"), depth + 1)?;
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
            walk_schema(inner, &format!("{at}/{key}"), depth + 1)?;
        }
    }
    Ok(())
}

fn walk_config(schema: &Value, value: &Value, at: &str) -> Result<(), ConfigError> {
    let Some(schema) = schema.as_object() else {
        return Ok(());
    };
    let fail = |problem: String| {
        Err(ConfigError {
            at: place(at),
            problem,
        })
    };
    if let Some(expected) = schema.get("type").and_then(types)
        && !expected.iter().any(|name| is_type(value, name))
    {
        return fail(format!("{value} is not of type {}", expected.join(" or ")));
    }
    if let Some(one_of) = schema.get("enum").and_then(Value::as_array)
        && !one_of.iter().any(|option| equal(option, value))
    {
        let options: Vec<String> = one_of.iter().map(Value::to_string).collect();
        return fail(format!("{value} is not one of {}", options.join(", ")));
    }
    if let Some(only) = schema.get("const").filter(|only| !equal(only, value)) {
        return fail(format!("{value} must be {only}"));
    }
    let outcome = match value {
        Value::Number(_) => check_number(schema, value),
        Value::String(text) => check_length(schema, "Length", text.chars().count(), "characters"),
        Value::Array(items) => check_items(schema, items),
        Value::Object(_) | Value::Null | Value::Bool(_) => Ok(()),
    };
    if let Err(problem) = outcome {
        return fail(problem);
    }
    if let (Some(inner), Value::Array(items)) = (schema.get("items"), value) {
        for (i, item) in items.iter().enumerate() {
            walk_config(inner, item, &format!("{at}/{i}"))?;
        }
    }
    match value {
        Value::Object(object) => walk_object(schema, object, at),
        _ => Ok(()),
    }
}

fn walk_object(
    schema: &Map<String, Value>,
    object: &Map<String, Value>,
    at: &str,
) -> Result<(), ConfigError> {
    let fail = |problem: String| {
        Err(ConfigError {
            at: place(at),
            problem,
        })
    };
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            return fail(format!("`{name}` is required and missing"));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let additional = schema.get("additionalProperties");
    let closed = match additional {
        Some(Value::Bool(open)) => !open,
        Some(_) => false,
        None => properties.is_some(),
    };
    for (name, inner) in object {
        let path = format!("{at}/{name}");
        match (properties.and_then(|p| p.get(name)), additional) {
            (Some(schema), _) => walk_config(schema, inner, &path)?,
            (None, Some(schema)) if schema.is_object() => walk_config(schema, inner, &path)?,
            (None, _) if closed => {
                let mut problem = format!("`{name}` is unknown");
                let names: Vec<&str> = properties
                    .into_iter()
                    .flat_map(|p| p.keys().map(String::as_str))
                    .collect();
                let _ = match names[..] {
                    [] => write!(problem, "; there is nothing to configure"),
                    _ => write!(problem, "; known are {}", names.join(", ")),
                };
                return fail(problem);
            }
            (None, _) => {}
        }
    }
    Ok(())
}

fn check_number(schema: &Map<String, Value>, value: &Value) -> Result<(), String> {
    let Some(number) = value.as_f64() else {
        return Ok(());
    };
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let fits = [
        ("minimum", bound("minimum").is_none_or(|b| number >= b)),
        ("maximum", bound("maximum").is_none_or(|b| number <= b)),
        (
            "exclusiveMinimum",
            bound("exclusiveMinimum").is_none_or(|b| number > b),
        ),
        (
            "exclusiveMaximum",
            bound("exclusiveMaximum").is_none_or(|b| number < b),
        ),
    ];
    match fits.iter().find(|(_, fits)| !fits) {
        None => Ok(()),
        Some((key, _)) => Err(format!("{value} breaks `{key}`: {}", schema[*key])),
    }
}

fn check_items(schema: &Map<String, Value>, items: &[Value]) -> Result<(), String> {
    check_length(schema, "Items", items.len(), "entries")?;
    let unique = schema.get("uniqueItems").and_then(Value::as_bool) == Some(true);
    let twice = items
        .iter()
        .enumerate()
        .find(|(i, item)| items[..*i].iter().any(|before| equal(before, item)));
    match twice {
        Some((_, item)) if unique => Err(format!("{item} stands there twice")),
        _ => Ok(()),
    }
}

fn check_length(
    schema: &Map<String, Value>,
    suffix: &str,
    length: usize,
    what: &str,
) -> Result<(), String> {
    let bound = |prefix: &str| {
        schema
            .get(&format!("{prefix}{suffix}"))
            .and_then(Value::as_u64)
    };
    match (bound("min"), bound("max")) {
        (Some(least), _) if (length as u64) < least => Err(format!(
            "{length} {what} are too few, at least {least} are due"
        )),
        (_, Some(most)) if length as u64 > most => Err(format!(
            "{length} {what} are too many, at most {most} are allowed"
        )),
        _ => Ok(()),
    }
}

fn types(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(name) => Some(vec![name]),
        Value::Array(names) => names.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => is_integer(value),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// 2.0 is an integer in JSON Schema.
fn is_integer(value: &Value) -> bool {
    value.is_i64()
        || value.is_u64()
        || value
            .as_f64()
            .is_some_and(|f| f.is_finite() && f.fract().abs() == 0.0)
}

/// 1 and 1.0 are the same number.
fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b).is_eq(),
        _ => a == b,
    }
}

fn place(at: &str) -> String {
    if at.is_empty() { "/".into() } else { at.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"object","required":["season"],"properties":{
        "season":{"type":["integer","null"],"minimum":1,"maximum":10000,"description":"Steps."},
        "damped":{"type":"boolean","default":true},
        "trend":{"enum":["none","additive"]},
        "alpha":{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1},
        "lags":{"type":"array","items":{"type":"integer"},"maxItems":2,"uniqueItems":true},
        "names":{"additionalProperties":{"type":"string","minLength":1}}}}"#;

    #[track_caller]
    fn check(config: &str, part: Option<&str>) {
        match (check_config(SCHEMA, config), part) {
            (Ok(()), None) => {}
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
            (outcome, part) => panic!("{config}: {outcome:?}, expected {part:?}"),
        }
    }

    #[test]
    fn a_config_is_checked_against_its_schema() {
        check_schema(SCHEMA).unwrap();
        check(
            r#"{"season":24.0,"trend":"none","lags":[1,2],"names":{"a":"b"}}"#,
            None,
        );
        check(r#"{"season":null}"#, None);
        check("{}", Some("`season` is required"));
        check("", Some("not JSON"));
        check("[]", Some("a config is an object"));
        check(r#"{"season":1.5}"#, Some("not of type integer or null"));
        check(r#"{"season":0}"#, Some("breaks `minimum`: 1"));
        check(
            r#"{"season":1,"dampd":true}"#,
            Some("`dampd` is unknown; known are alpha"),
        );
        check(
            r#"{"season":1,"damped":"yes"}"#,
            Some("/damped`: \"yes\" is not of type boolean"),
        );
        check(
            r#"{"season":1,"trend":"up"}"#,
            Some("is not one of \"none\", \"additive\""),
        );
        check(r#"{"season":1,"alpha":1}"#, Some("exclusiveMaximum"));
        check(r#"{"season":1,"lags":[1,2,3]}"#, Some("too many"));
        check(r#"{"season":1,"lags":[1,1.0]}"#, Some("twice"));
        check(r#"{"season":1,"lags":["x"]}"#, Some("/lags/0`"));
        check(
            r#"{"season":1,"names":{"a":""}}"#,
            Some("/names/a`: 0 characters"),
        );
    }

    #[test]
    fn a_schema_that_would_not_be_checked_is_refused() {
        for (schema, part) in [
            ("[]", "must be an object"),
            (r#"{"oneOf":[]}"#, "`oneOf` is not checked"),
            (
                r#"{"properties":{"a":{"$ref":"x"}}}"#,
                "at `/a`: keyword `$ref`",
            ),
            (r#"{"type":"int"}"#, "`type` cannot be"),
            (r#"{"items":[{}]}"#, "`items` cannot be"),
        ] {
            let error = check_schema(schema).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let deep = "{\"items\":".repeat(40) + "{}" + &"}".repeat(40);
        assert!(check_schema(&deep).unwrap_err().problem.contains("deeper"));
        check_config("{}", r#"{"anything":1}"#).unwrap();
    }
}
