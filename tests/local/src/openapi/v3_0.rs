//! The conversion of a document from OpenAPI 3.1 to OpenAPI 3.0, for generators that do not read 3.1.

use serde_json::{Map, Value, json};

use super::walk;

/// Converts what this API's document uses of JSON Schema 2020-12. A validator of OpenAPI 3.0 finds what is missing here.
pub fn convert(mut document: Value) -> Value {
    walk(&mut document, &mut convert_schema);
    document["openapi"] = "3.0.3".into();
    document
}

fn convert_schema(object: &mut Map<String, Value>) {
    // A property may be called `type`: then this object is not a schema, and the value is no list.
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        let kind = types.remove(0);
        object.insert("type".to_owned(), kind);
        object.insert("nullable".to_owned(), true.into());
    }
    if let Some(Value::Array(choices)) = object.get_mut("oneOf") {
        let before = choices.len();
        choices.retain(|choice| *choice != json!({"type": "null"}));
        if choices.len() < before {
            let choices = object.remove("oneOf").unwrap_or_default();
            object.insert("allOf".to_owned(), choices);
            object.insert("nullable".to_owned(), true.into());
        }
    }
    if let Some(Value::Array(examples)) = object.get_mut("examples") {
        let example = examples.remove(0);
        object.remove("examples");
        object.insert("example".to_owned(), example);
    }
    object.remove("propertyNames");
    // In 3.0 nothing may stand beside a `$ref`.
    if object.len() > 1
        && let Some(target @ Value::String(_)) = object.remove("$ref")
    {
        object.insert("allOf".to_owned(), json!([{"$ref": target}]));
    }
}
