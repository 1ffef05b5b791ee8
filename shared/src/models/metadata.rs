//! The agency's own data about a client organization.

use std::{collections::BTreeMap, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema,
        schema::{SchemaType, Type},
    },
};

use super::{Code, Invalid, fields::FieldError, reject, serde_as_text, text::check_length, text_value};

/// A key of [`Metadata`]: 1 to 40 of `A-Z a-z 0-9 _ -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataKey(String);

text_value!(MetadataKey);
serde_as_text!(MetadataKey);

impl MetadataKey {
    /// The longest key, in characters.
    pub const MAX: usize = 40;
}

impl FromStr for MetadataKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_length(text, Self::MAX)?;
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !text.bytes().all(is_allowed) {
            let detail = "Use only the letters A to Z and a to z, digits, underscores and hyphens in a key.";
            return reject(Code::InvalidFormat, detail);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A value of [`Metadata`]: any text of at most 500 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataValue(String);

text_value!(MetadataValue);
serde_as_text!(MetadataValue);

impl MetadataValue {
    /// The longest value, in characters.
    pub const MAX: usize = 500;
}

impl FromStr for MetadataValue {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Ok(Self(String::new()));
        }
        check_length(text, Self::MAX)?;
        Ok(Self(text.to_owned()))
    }
}

/// The agency's own data about a client organization: at most 20 pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata(BTreeMap<MetadataKey, MetadataValue>);

/// What a request sets and, with `None`, removes.
pub type MetadataChanges = BTreeMap<MetadataKey, Option<MetadataValue>>;

impl Metadata {
    /// The highest number of pairs.
    pub const MAX: usize = 20;

    /// The metadata after these changes.
    ///
    /// # Errors
    /// `too-long` at `/metadata`: these are more than [`Self::MAX`] pairs.
    pub fn merge(mut self, changes: &MetadataChanges) -> Result<Self, FieldError> {
        for (key, value) in changes {
            match value {
                Some(value) => self.0.insert(key.clone(), value.clone()),
                None => self.0.remove(key),
            };
        }
        if self.0.len() > Self::MAX {
            let detail = format!("Use at most {} pairs.", Self::MAX);
            return Err(FieldError::new("/metadata", Code::TooLong, detail));
        }
        Ok(self)
    }
}

#[allow(deprecated)] // The examples of responses are made of `example`.
fn schema(value: SchemaType, description: &str) -> ObjectBuilder {
    let text = |kind: SchemaType, max: usize| ObjectBuilder::new().schema_type(kind).max_length(Some(max));
    let key = text(Type::String.into(), MetadataKey::MAX)
        .min_length(Some(1))
        .pattern(Some("^[A-Za-z0-9_-]{1,40}$"));
    ObjectBuilder::new()
        .description(Some(description))
        .property_names(Some(key.build()))
        .additional_properties(Some(text(value, MetadataValue::MAX)))
        .example(Some(json!({"plan": "gold"})))
}

impl PartialSchema for Metadata {
    fn schema() -> RefOr<Schema> {
        let description = "The agency's own data about a client: at most 20 pairs of texts, `{}` if nothing is set. It is not in \
                           the portal context.";
        schema(Type::String.into(), description)
            .max_properties(Some(Self::MAX))
            .into()
    }
}

impl ToSchema for Metadata {
    fn name() -> std::borrow::Cow<'static, str> {
        "ClientMetadata".into()
    }
}

/// The documentation of [`MetadataChanges`].
pub struct ClientMetadataChanges;

impl PartialSchema for ClientMetadataChanges {
    fn schema() -> RefOr<Schema> {
        let description = "Pairs that are set, and with the value `null` removed. The other pairs stay. At most 20 pairs may \
                           result.";
        let value = SchemaType::from_iter([Type::String, Type::Null]);
        // Without a limit: changes may remove 20 pairs and set 20 others.
        schema(value, description).into()
    }
}

impl ToSchema for ClientMetadataChanges {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_1_to_40_letters_digits_underscores_and_hyphens() {
        let key = |text: &str| MetadataKey::from_str(text).map(|_| ()).map_err(|e| e.code);
        for text in ["a", "Z", "0", "_", "-", "plan_ID-2", "__proto__", &"k".repeat(40)] {
            assert_eq!(key(text), Ok(()), "{text}");
        }
        for (text, code) in [
            ("", Code::TooShort),
            (&"k".repeat(41), Code::TooLong),
            (" a", Code::InvalidFormat),
            ("a.b", Code::InvalidFormat),
            ("a/b", Code::InvalidFormat),
            ("a~b", Code::InvalidFormat),
            ("é", Code::InvalidFormat),
            ("a\0", Code::InvalidFormat),
        ] {
            assert_eq!(key(text), Err(code), "{text:?}");
        }
    }

    #[test]
    fn a_value_is_any_text_of_at_most_500_characters_and_is_kept_as_sent() {
        for text in ["", " ", "\0\u{7F}\n", "\u{202E}", "\u{1F600}", &"é".repeat(500)] {
            assert_eq!(MetadataValue::from_str(text).unwrap().as_str(), text);
        }
        assert_eq!(
            MetadataValue::from_str(&"é".repeat(501)).unwrap_err().code,
            Code::TooLong
        );
    }

    fn changes(pairs: impl IntoIterator<Item = (usize, Option<&'static str>)>) -> MetadataChanges {
        let parse = |(key, value): (usize, Option<&str>)| {
            (
                format!("k{key}").parse().unwrap(),
                value.map(|value| value.parse().unwrap()),
            )
        };
        pairs.into_iter().map(parse).collect()
    }

    #[test]
    fn a_merge_sets_and_removes_keys_and_counts_the_result() {
        let full = Metadata::default()
            .merge(&changes((0..20).map(|n| (n, Some("v")))))
            .unwrap();
        let same = full
            .clone()
            .merge(&changes([(0, Some("w")), (1, None), (20, Some("v"))]))
            .unwrap();
        assert_eq!(same.0.len(), 20);
        let json = serde_json::to_value(&same).unwrap();
        assert_eq!(
            (&json["k0"], &json["k2"], json.get("k1")),
            (&"w".into(), &"v".into(), None)
        );
        let error = full.clone().merge(&changes([(20, Some("v"))])).unwrap_err();
        assert_eq!((error.pointer.as_str(), error.code), ("/metadata", Code::TooLong));
        assert_eq!(full.clone().merge(&changes([(21, None)])).unwrap(), full);
    }

    #[test]
    fn changes_may_remove_and_set_more_than_20_pairs_together() {
        let full = Metadata::default()
            .merge(&changes((0..20).map(|n| (n, Some("v")))))
            .unwrap();
        let replaced = full
            .merge(&changes((0..40).map(|n| (n, (n >= 20).then_some("w")))))
            .unwrap();
        assert_eq!(replaced.0.len(), 20);
        let json = |schema: RefOr<Schema>| serde_json::to_value(schema).unwrap();
        assert_eq!(json(Metadata::schema())["maxProperties"], 20);
        assert_eq!(json(ClientMetadataChanges::schema()).get("maxProperties"), None);
    }
}
