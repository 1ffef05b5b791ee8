//! The values of the agency: each parsed once, from text, into a type that cannot hold anything else.
//!
//! Nothing here knows AWS or HTTP, and nothing here reads a clock or a random source: both are arguments.
//! A value of a body implements [`FromStr`](std::str::FromStr) with the error [`Invalid`].

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

pub mod agency;
pub mod audit;
pub mod branding;
pub mod client;
pub mod color;
pub mod css;
pub mod domain;
pub mod email;
pub mod fields;
pub mod font;
pub mod hostname;
pub mod id;
pub mod image_url;
pub mod portal;
pub mod slug;
pub mod text;
pub mod time;

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Stable and machine-readable.
    pub code: Code,
    /// One sentence for a person.
    pub detail: Cow<'static, str>,
}

impl Invalid {
    /// A refusal with its sentence.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Invalid {}

/// The codes of a body's faults (`errors[].code`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The property must be there.
    Required,
    /// The schema has no such property.
    UnknownProperty,
    /// The value has another JSON type.
    WrongType,
    /// Shorter than the minimum.
    TooShort,
    /// Longer than the maximum.
    TooLong,
    /// Not of the form that the property has.
    InvalidFormat,
    /// Of the right form, but refused.
    NotAllowed,
    /// A host name that is an IP address.
    IpAddress,
    /// A host name of one label.
    SingleLabel,
    /// A name under which anyone can register.
    PublicSuffix,
    /// Its top-level domain does not exist.
    UnknownSuffix,
    /// A host name with a wildcard.
    Wildcard,
    /// A host name with an underscore.
    Underscore,
    /// A host name with a port.
    Port,
    /// A host name with a scheme: a URL.
    Scheme,
    /// A host name over 253 octets.
    NameTooLong,
    /// A label over 63 octets.
    LabelTooLong,
    /// A top-level domain for special use (RFC 6761).
    SpecialUse,
    /// A name of the portal's own.
    PortalDomain,
    /// A label that is kept back.
    Reserved,
    /// No host name at all.
    InvalidName,
}

/// White space, U+200B and U+FEFF around a value are removed: people paste.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{200B}' || c == '\u{FEFF}')
}

/// What a value that is kept as text has: a look at that text and `Display`. Its parser is the only way in.
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
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_schemas_have_the_parsers_limits() {
        for (schema, min, max) in [
            (text::ClientName::schema(), 1, text::ClientName::MAX),
            (text::FooterText::schema(), 1, text::FooterText::MAX),
            (slug::Slug::schema(), slug::Slug::MIN, slug::Slug::MAX),
            (color::Color::schema(), 4, 7),
            (email::FromEmail::schema(), 3, email::FromEmail::MAX),
            (font::FontFamily::schema(), 1, font::FontFamily::MAX),
            (image_url::ImageUrl::schema(), 10, image_url::ImageUrl::MAX),
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
}
