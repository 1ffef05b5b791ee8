//! The committed OpenAPI document: its operations, and validators of what they answer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use http::Method;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

pub static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../functions/portal/openapi.json")).unwrap());

/// An operation of the document.
pub struct Operation {
    pub id: &'static str,
    pub method: Method,
    /// With its parameters in braces.
    pub path: &'static str,
    /// Needs no token.
    pub public: bool,
    /// The schema of its body, if it has one.
    pub body: Option<&'static Value>,
    /// The example of its body.
    pub example: &'static Value,
    parameters: &'static [Value],
    responses: &'static Map<String, Value>,
    /// By status and media type.
    validators: HashMap<(u16, &'static str), Validator>,
}

pub fn operations() -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let content = operation.pointer("/requestBody/content/application~1json");
            let responses = operation["responses"].as_object().unwrap();
            operations.push(Operation {
                id: operation["operationId"].as_str().unwrap(),
                method: method.to_uppercase().parse().unwrap(),
                path,
                public: operation["security"] == json!([]),
                body: content.map(|content| &content["schema"]),
                example: content.map_or(&Value::Null, |content| &content["example"]),
                parameters: operation["parameters"].as_array().map_or(&[], Vec::as_slice),
                validators: validators(responses),
                responses,
            });
        }
    }
    operations
}

fn validators(responses: &'static Map<String, Value>) -> HashMap<(u16, &'static str), Validator> {
    let mut validators = HashMap::new();
    for (status, response) in responses {
        for (media_type, content) in response["content"].as_object().into_iter().flatten() {
            let schema = json!({"allOf": [content["schema"]], "components": DOCUMENT["components"]});
            // OpenAPI 3.1 has the dialect of JSON Schema 2020-12.
            let options = jsonschema::draft202012::options().should_validate_formats(true);
            let validator = options.build(&schema).unwrap();
            validators.insert((status.parse().unwrap(), media_type.as_str()), validator);
        }
    }
    validators
}

impl Operation {
    /// Its parameters in `path`, `query` or `header`: the name of each, and its schema.
    pub fn parameters(&self, place: &str) -> impl Iterator<Item = (&'static str, &'static Value)> {
        let here = self
            .parameters
            .iter()
            .filter(move |parameter| parameter["in"] == place);
        here.map(|parameter| (parameter["name"].as_str().unwrap(), &parameter["schema"]))
    }

    pub fn takes(&self, place: &str, name: &str) -> bool {
        self.parameters(place).any(|(parameter, _)| parameter == name)
    }

    /// Whether the document has this status.
    pub fn has_status(&self, status: u16) -> bool {
        self.responses.contains_key(&status.to_string())
    }

    /// Whether the document has this code of a problem under this status.
    pub fn has_problem(&self, status: u16, code: &str) -> bool {
        let response = &self.responses[&status.to_string()];
        response["content"]["application/problem+json"]["examples"]
            .get(code)
            .is_some()
    }

    /// The headers that a response with this status has, in each case.
    pub fn headers(&self, status: u16) -> impl Iterator<Item = &'static str> {
        let headers = self.responses[&status.to_string()]["headers"].as_object();
        let names = headers.into_iter().flat_map(Map::keys).map(String::as_str);
        // It tells a replay from the first response.
        names.filter(|name| *name != "idempotency-replayed")
    }

    /// Whether a response with this status has a body.
    pub fn has_body(&self, status: u16) -> bool {
        let content = self.responses[&status.to_string()]["content"].as_object();
        content.is_some_and(|content| !content.is_empty())
    }

    /// What is wrong with a body of this status and media type.
    pub fn faults(&self, status: u16, media_type: &str, body: &Value) -> Vec<String> {
        let Some(validator) = self.validators.get(&(status, media_type)) else {
            return vec![format!("the document has no {media_type} for {status}")];
        };
        let errors = validator.iter_errors(body);
        let mut faults: Vec<_> = errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        let schema = &self.responses[&status.to_string()]["content"][media_type]["schema"];
        undocumented(schema, body, "", &mut faults);
        faults
    }
}

/// What a `$ref` refers to.
pub fn resolve(schema: &'static Value) -> &'static Value {
    match schema["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// The alternatives of a schema.
pub fn alternatives(schema: &'static Value) -> impl Iterator<Item = &'static Value> {
    let lists = ["oneOf", "anyOf", "allOf"].into_iter();
    lists.flat_map(|list| schema[list].as_array().into_iter().flatten())
}

/// The properties of an object's schema, with those of its parts.
pub fn properties(schema: &'static Value) -> BTreeMap<&'static str, &'static Value> {
    let schema = resolve(schema);
    let mut found: BTreeMap<_, _> = alternatives(schema).flat_map(properties).collect();
    let own = schema["properties"].as_object().into_iter().flatten();
    found.extend(own.map(|(name, schema)| (name.as_str(), schema)));
    found
}

/// Properties of `body` that the schema does not have. JSON Schema allows them, because a later version may add some.
fn undocumented(schema: &'static Value, body: &Value, pointer: &str, faults: &mut Vec<String>) {
    match body {
        Value::Object(members) => {
            let known = properties(schema);
            if known.is_empty() {
                return; // A map.
            }
            for (name, value) in members {
                let pointer = format!("{pointer}/{name}");
                match known.get(name.as_str()) {
                    Some(schema) => undocumented(schema, value, &pointer, faults),
                    None => faults.push(format!("{pointer}: not in the document")),
                }
            }
        }
        Value::Array(values) => {
            let schema = &resolve(schema)["items"];
            for (index, value) in values.iter().enumerate() {
                undocumented(schema, value, &format!("{pointer}/{index}"), faults);
            }
        }
        _ => {}
    }
}
