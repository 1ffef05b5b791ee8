//! `template.yaml` as JSON.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::Value;

pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The template; a tag such as `!Ref X` is read as `{"Ref": X}`.
pub fn template() -> Value {
    let text = fs::read_to_string(root().join("template.yaml")).unwrap();
    json(serde_norway::from_str(&text).unwrap())
}

fn json(yaml: serde_norway::Value) -> Value {
    use serde_norway::Value as Yaml;
    match yaml {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            Value::Object(
                [(tag.trim_start_matches('!').to_owned(), json(tagged.value))]
                    .into_iter()
                    .collect(),
            )
        }
        Yaml::Sequence(items) => items.into_iter().map(json).collect(),
        Yaml::Mapping(entries) => entries
            .into_iter()
            .map(|(name, value)| (name.as_str().unwrap_or_default().to_owned(), json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => serde_json::to_value(other).unwrap(),
    }
}

pub fn functions(template: &Value) -> BTreeMap<String, &Value> {
    let resources = template["Resources"].as_object().unwrap();
    resources
        .values()
        .filter(|resource| resource["Type"] == "AWS::Serverless::Function")
        .map(|function| {
            let binary = function["Metadata"]["BuildProperties"]["Binary"]
                .as_str()
                .unwrap();
            (binary.to_owned(), function)
        })
        .collect()
}
