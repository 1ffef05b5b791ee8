//! The domain model. Each value is parsed once, from text, into a type that holds only valid values.
//!
//! The model uses no AWS and no HTTP. Time and random bits are arguments.
//! A value of a request body implements [`FromStr`](std::str::FromStr) with the error [`Invalid`].
//!
//! Stored items are deserialized through the same parsers. A parser that becomes stricter therefore needs a migration
//! of the stored items.

use std::borrow::Cow;

use serde::Serialize;
use strum::{EnumIter, EnumMessage};
use utoipa::ToSchema;

pub mod agency;
pub mod audit;
pub mod branding;
pub mod client;
pub mod color;
pub mod css;
pub mod domain;
pub mod email;
pub mod features;
pub mod fields;
pub mod folded;
pub mod font;
pub mod hostname;
pub mod id;
pub mod image_url;
pub mod language;
pub mod link;
pub mod metadata;
pub mod portal;
pub mod setup;
pub mod slug;
pub mod text;
pub mod time;

/// A value that its parser rejects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    /// The stable code, for programs.
    pub code: Code,
    /// One sentence for a person.
    pub detail: Cow<'static, str>,
}

impl Invalid {
    /// An error of this code.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self { code, detail }
    }
}

/// The [`Invalid`] of a parser, as its result.
fn reject<T>(code: Code, detail: impl Into<Cow<'static, str>>) -> Result<T, Invalid> {
    Err(Invalid::new(code, detail))
}

const EMPTY: &str = "Enter a value.";

/// The codes of invalid values in a request body (`errors[].code`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = FieldErrorCode)]
pub enum Code {
    /// A required property is missing.
    Required,
    /// The schema does not have this property.
    UnknownProperty,
    /// The value has another JSON type.
    WrongType,
    /// Shorter than the minimum.
    TooShort,
    /// Longer than the maximum.
    TooLong,
    /// The value does not have the format of the property.
    InvalidFormat,
    /// The format is right, but the value is not allowed.
    NotAllowed,
    /// An IP address instead of a host name.
    IpAddress,
    /// A host name of one label.
    SingleLabel,
    /// A public suffix, such as `co.uk`: anyone can register names below it.
    PublicSuffix,
    /// A host name with a wildcard.
    Wildcard,
    /// A host name with an underscore.
    Underscore,
    /// A host name with a port.
    Port,
    /// A URL instead of a host name.
    Scheme,
    /// A host name of more than 253 octets.
    NameTooLong,
    /// A label of more than 63 octets.
    LabelTooLong,
    /// A special-use domain name (RFC 6761).
    SpecialUse,
    /// A name that belongs to the portal itself.
    PortalDomain,
    /// A reserved label.
    Reserved,
    /// Not a host name.
    InvalidName,
}

/// The text without white space, U+200B and U+FEFF at both ends, because people paste values.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{200B}' || c == '\u{FEFF}')
}

/// The trimmed text. It must not be empty.
fn required(text: &str) -> Result<&str, Invalid> {
    match trim(text) {
        "" => reject(Code::TooShort, EMPTY),
        text => Ok(text),
    }
}

/// `Serialize` by `Display`, and `Deserialize` by `FromStr`.
macro_rules! serde_as_text {
    ($name:ident $(<$param:ident: $bound:ident>)?) => {
        impl$(<$param: $bound>)? serde::Serialize for $name$(<$param>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de $(, $param: $bound)?> serde::Deserialize<'de> for $name$(<$param>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text: std::borrow::Cow<'de, str> = serde::Deserialize::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
use serde_as_text;

/// `as_str` and `Display` of a value that is kept as text.
macro_rules! text_value {
    ($name:ident) => {
        impl $name {
            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
use text_value;

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use proptest::{collection::vec, prelude::*, sample};
    use regex::Regex;
    use serde_json::Value;
    use utoipa::PartialSchema;

    use super::*;

    /// A property of requests: its schema, and whether its parser accepts a text.
    type Property = (Value, fn(&str) -> bool);

    fn properties() -> Vec<Property> {
        fn of<T: PartialSchema + FromStr>() -> Property {
            (serde_json::to_value(T::schema()).unwrap(), parses::<T>)
        }
        fn parses<T: FromStr>(text: &str) -> bool {
            text.parse::<T>().is_ok()
        }
        let create = serde_json::to_value(domain::PortalDomainCreate::schema()).unwrap();
        let create = |kind: usize, name: &str| create["oneOf"][kind]["properties"][name].clone();
        vec![
            of::<text::ClientName>(),
            of::<text::PortalName>(),
            of::<text::FooterText>(),
            of::<text::ExternalId>(),
            of::<slug::Slug>(),
            of::<color::Color>(),
            of::<email::FromEmail>(),
            of::<font::FontFamily>(),
            of::<font::FontUrl>(),
            of::<image_url::ImageUrl>(),
            of::<language::Language>(),
            of::<link::PageUrl>(),
            of::<link::SupportUrl>(),
            of::<hostname::Label>(),
            (create(0, "subdomain"), parses::<hostname::Label>),
            (create(1, "customDomain"), |text| {
                text.parse::<hostname::Hostname>()
                    .is_ok_and(|name| !name.is_single_label())
            }),
        ]
    }

    proptest! {
        /// The document may say less than the parser does, but must not exclude a text that the parser accepts.
        #[test]
        fn an_accepted_text_fits_the_schema_of_its_property(
            property in sample::select(properties()),
            changes in vec((any::<sample::Index>(), 0..2usize, character()), 0..4),
        ) {
            let (schema, accepts) = property;
            let mut text: Vec<char> = schema["example"].as_str().unwrap().chars().collect();
            for (at, removed, c) in changes {
                let at = at.index(text.len());
                text.splice(at..at + removed, [c]);
            }
            let text: String = text.into_iter().collect();
            // The parsers ignore white space at both ends.
            if trim(&text) == text && accepts(&text) {
                let pattern = Regex::new(schema["pattern"].as_str().unwrap()).unwrap();
                prop_assert!(pattern.is_match(&text), "{text:?} {schema}");
                let length = text.chars().count() as u64;
                let limits = schema["minLength"].as_u64().unwrap()..=schema["maxLength"].as_u64().unwrap();
                prop_assert!(limits.contains(&length), "{text:?} {schema}");
            }
        }
    }

    fn character() -> impl Strategy<Value = char> {
        let special = "abyzABYZ019.-_~!#$%&'*+/=?^`{|}@:;,()<>[]\\\" \t\n\u{3002}\u{FF0E}\u{FF61}éÜßıſK中";
        prop_oneof![4 => sample::select(special.chars().collect::<Vec<_>>()), 1 => any::<char>()]
    }

    #[test]
    fn the_schemas_have_the_parsers_limits() {
        for (schema, min, max) in [
            (text::ClientName::schema(), 1, text::ClientName::MAX),
            (text::FooterText::schema(), 1, text::FooterText::MAX),
            (text::ExternalId::schema(), 1, text::ExternalId::MAX),
            (slug::Slug::schema(), slug::Slug::MIN, slug::Slug::MAX),
            (color::Color::schema(), 4, 7),
            (email::FromEmail::schema(), 3, email::FromEmail::MAX),
            (font::FontFamily::schema(), 1, font::FontFamily::MAX),
            (font::FontUrl::schema(), 10, image_url::ImageUrl::MAX),
            (image_url::ImageUrl::schema(), 10, image_url::ImageUrl::MAX),
            (language::Language::schema(), 2, language::Language::MAX),
            (link::PageUrl::schema(), 10, image_url::ImageUrl::MAX),
            (link::SupportUrl::schema(), 10, image_url::ImageUrl::MAX),
            (text::PortalName::schema(), 1, text::PortalName::MAX),
            (hostname::Hostname::schema(), 1, hostname::Hostname::MAX),
            (hostname::Label::schema(), 2, hostname::Label::MAX),
        ] {
            let schema = serde_json::to_value(schema).unwrap();
            assert_eq!(schema["type"], "string", "{schema}");
            assert_eq!(schema["minLength"], min, "{schema}");
            assert_eq!(schema["maxLength"], max, "{schema}");
            assert!(
                schema["pattern"].is_string() && !schema["example"].is_null(),
                "{schema}"
            );
        }
    }

    #[test]
    fn stored_values_pass_their_parsers() {
        fn parses<T: serde::de::DeserializeOwned>(text: &str) -> bool {
            serde_json::from_value::<T>(text.into()).is_ok()
        }
        assert!(parses::<hostname::Hostname>("portal.acme.com") && !parses::<hostname::Hostname>("a b"));
        assert!(parses::<hostname::Label>("acme") && !parses::<hostname::Label>("a.b"));
        assert!(parses::<slug::Slug>("acme") && !parses::<slug::Slug>("Acme"));
        let token = parses::<domain::Token>;
        assert!(token(&"0f".repeat(16)) && !token(&"0F".repeat(16)) && !token(&"0f".repeat(17)));
        assert!(parses::<id::OrgId>("org_1") && !parses::<id::OrgId>("org/1"));
        assert!(parses::<text::ClientName>("Acme") && !parses::<text::ClientName>("a\u{202E}b"));
        assert!(parses::<text::ExternalId>("CRM-1") && !parses::<text::ExternalId>("CRM 1"));
        assert!(parses::<metadata::MetadataKey>("a-b") && !parses::<metadata::MetadataKey>("a b"));
        assert!(
            parses::<metadata::MetadataValue>("\0") && !parses::<metadata::MetadataValue>(&"a".repeat(501))
        );
        assert!(parses::<text::FooterText>("a\nb") && !parses::<text::FooterText>("a\0"));
        assert!(parses::<email::FromEmail>("a@acme.com") && !parses::<email::FromEmail>("a"));
        assert!(parses::<font::FontFamily>("Inter") && !parses::<font::FontFamily>("url(x)"));
        let image = parses::<image_url::ImageUrl>;
        assert!(image("https://a.gone-tld/%27") && !image("https://a.com/')") && !image("http://a.com/"));
        let page = parses::<link::PageUrl>;
        assert!(page("https://a.gone-tld/") && !page("https://a.com/')") && !page("mailto:a@acme.com"));
        let support = parses::<link::SupportUrl>;
        assert!(support("https://a.gone-tld/") && support("mailto:a@acme.com") && !support("mailto:a"));
        let font = parses::<font::FontUrl>;
        assert!(font("https://a.gone-tld/a.woff2") && !font("https://a.com/').woff2"));
        assert!(parses::<language::Language>("de-AT") && !parses::<language::Language>("de_AT"));
        assert!(parses::<text::PortalName>("Acme") && !parses::<text::PortalName>("a\nb"));
        let css = parses::<css::CustomCss>;
        assert!(css("@media (1px < width) {}") && !css("a {}</style>") && !css(&"a".repeat(32 * 1024 + 1)));
    }
}
