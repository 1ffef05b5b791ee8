//! Examples of responses, made of the examples of their schemas.

use serde_json::{Map, Value, json};

use super::Schemas;

/// An example of a schema. That of an object has an example of each property. The object's own example replaces some of them,
/// so that they fit together.
pub fn of(schema: &Value, schemas: &Schemas) -> Value {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|target| target.rsplit('/').next())
    {
        return of(&schemas[name], schemas);
    }
    let mut object = Map::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        extend(&mut object, of(part, schemas));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        object.insert(name.clone(), of(property, schemas));
    }
    let own = schema.get("example").cloned();
    if !object.is_empty() {
        extend(&mut object, own.unwrap_or_default());
        return object.into();
    }
    if let Some(example) = own {
        return example;
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return of(&choices[0], schemas);
    }
    if schema["type"] == "array" {
        return json!([of(&schema["items"], schemas)]);
    }
    if schema["type"] == "boolean" {
        return true.into();
    }
    schema["enum"][0].clone()
}

fn extend(object: &mut Map<String, Value>, other: Value) {
    if let Value::Object(other) = other {
        object.extend(other);
    }
}

/// Writes a schema's example as OpenAPI 3.1 does: in a list. That of an object may be of a part of it, and is left out.
pub fn list(object: &mut Map<String, Value>) {
    let is_schema = object.contains_key("type") || object.contains_key("allOf");
    if is_schema
        && let Some(example) = object.remove("example")
        && !example.is_object()
    {
        object.insert("examples".to_owned(), json!([example]));
    }
}
