//! A structural check of a module's config schema.
//!
//! Configurations are validated against the schema by the host; here we only catch what an author
//! gets wrong in writing one (a misspelt type, a required key that no property declares), because
//! such a schema would refuse every configuration at run time. A full meta-schema validator was
//! left out: it would be the largest dependency of the build for a handful of mistakes.

use serde_json::{Map, Value, json};

/// JSON Schema's names of types (JSON Schema 2020-12, Validation, section 6.1.1).
const TYPES: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// The schema of a module that takes no configuration.
pub(crate) fn empty() -> Value {
    json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

/// Checks that `schema` describes an object and is well formed as far as we look.
pub(crate) fn check(schema: &Value) -> Result<(), String> {
    let Some(top) = schema.as_object() else {
        return Err("must be a JSON Schema object, for example {\"type\": \"object\"}".to_owned());
    };
    if top.get("type").and_then(Value::as_str) != Some("object") {
        return Err(
            "a configuration is a table of keys, so the schema needs `\"type\": \"object\"`"
                .to_owned(),
        );
    }
    walk(top, "")
}

fn walk(schema: &Map<String, Value>, at: &str) -> Result<(), String> {
    if let Some(kind) = schema.get("type") {
        check_type(kind, at)?;
    }
    let properties = match schema.get("properties") {
        None => None,
        Some(Value::Object(properties)) => Some(properties),
        Some(_) => return Err(format!("`{at}/properties` must be a table of schemas")),
    };
    for (name, value) in properties.into_iter().flatten() {
        descend(value, &format!("{at}/properties/{name}"))?;
    }
    if let Some(items) = schema.get("items") {
        descend(items, &format!("{at}/items"))?;
    }
    let Some(required) = schema.get("required") else {
        return Ok(());
    };
    let names = required
        .as_array()
        .ok_or_else(|| format!("`{at}/required` must be a list of property names"))?;
    for name in names {
        let known = name
            .as_str()
            .is_some_and(|name| properties.is_some_and(|p| p.contains_key(name)));
        if !known {
            return Err(format!(
                "`{at}/required` names {name}, which `{at}/properties` does not declare; declare \
                 it or take it out"
            ));
        }
    }
    Ok(())
}

fn descend(value: &Value, at: &str) -> Result<(), String> {
    match value {
        Value::Object(schema) => walk(schema, at),
        Value::Bool(_) => Ok(()),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(format!("`{at}` must be a schema (a table, true or false)"))
        }
    }
}

fn check_type(kind: &Value, at: &str) -> Result<(), String> {
    let one = |name: &Value| match name.as_str() {
        Some(name) if TYPES.contains(&name) => Ok(()),
        _ => Err(format!(
            "`{at}/type` is {name}; JSON Schema knows {}",
            TYPES.join(", ")
        )),
    };
    match kind {
        Value::Array(names) => names.iter().try_for_each(one),
        name => one(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(schema: &Value) -> String {
        check(schema).expect_err("the schema was accepted")
    }

    #[test]
    fn the_empty_schema_is_well_formed() {
        assert_eq!(check(&empty()), Ok(()));
    }

    #[test]
    fn nested_schemas_are_followed_to_the_mistake() {
        let schema = json!({"type": "object", "properties": {
            "season": {"type": "array", "items": {"type": "int"}}}});
        assert!(problem(&schema).contains("`/properties/season/items/type` is \"int\""));
    }

    #[test]
    fn a_required_key_must_be_declared() {
        let schema = json!({"type": "object", "properties": {"a": true}, "required": ["b"]});
        assert!(problem(&schema).contains("names \"b\""));
    }

    #[test]
    fn a_configuration_is_a_table() {
        assert!(problem(&json!({"type": "string"})).contains("\"type\": \"object\""));
        assert!(problem(&json!([])).contains("must be a JSON Schema object"));
    }

    #[test]
    fn several_types_are_allowed() {
        let schema = json!({"type": "object", "properties": {"a": {"type": ["null", "number"]}}});
        assert_eq!(check(&schema), Ok(()));
    }
}
