//! Languages.

use std::{cmp::Reverse, str::FromStr};

use oxilangtag::LanguageTag;
use utoipa::ToSchema;

use super::{Code, Invalid, reject, required, serde_as_text, text_value};

/// A well-formed language tag of BCP 47 (RFC 5646, section 2.2.9), 255 characters at most.
///
/// Stored in canonical case (section 2.1.1), such as `de-AT`. The parser does not compare the subtags with the IANA registry.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[schema(
    value_type = String,
    min_length = 2,
    max_length = 255,
    pattern = "^[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8})*$",
    example = "de-AT"
)]
pub struct Language(String);

text_value!(Language);
serde_as_text!(Language);

impl Language {
    /// The longest tag, in characters. RFC 5646 has no limit, and asks for room for 35 (section 4.4.1).
    pub const MAX: usize = 255;
}

impl FromStr for Language {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = required(text)?;
        if text.len() > Self::MAX {
            return reject(Code::TooLong, "Use a language tag of at most 255 characters.");
        }
        match LanguageTag::parse_and_normalize(text) {
            Ok(tag) => Ok(Self(tag.into_inner())),
            Err(_) => reject(
                Code::InvalidFormat,
                "Enter a language tag with hyphens, such as de, de-AT or zh-Hant.",
            ),
        }
    }
}

/// The languages that the product itself speaks: on the setup page, and in the findings that it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locale {
    /// The language of the API.
    English,
    /// German.
    German,
}

impl Locale {
    /// The better of the two by an `Accept-Language` header (RFC 9110, section 12.5.4). English if neither is better, or neither is
    /// accepted. Of two languages with the same quality the first one counts.
    pub fn from_accept(header: Option<&str>) -> Self {
        let ranges = header.unwrap_or_default().split(',').filter_map(language_range);
        let ranges: Vec<_> = ranges.collect();
        // A reader of any variant (`de-AT`) can read German.
        let rank = |wanted: &str| {
            let ranked = |name: &str| {
                let ranges = ranges.iter().enumerate();
                ranges
                    .filter(|(_, (language, _))| language.eq_ignore_ascii_case(name))
                    .map(|(position, (_, quality))| (*quality, Reverse(position)))
                    .max()
            };
            ranked(wanted).or_else(|| ranked("*"))
        };
        match rank("de") {
            german @ Some((1.., _)) if german > rank("en") => Self::German,
            _ => Self::English,
        }
    }
}

/// The primary subtag of a language range, and its quality in thousandths. `None` if the quality is malformed.
fn language_range(range: &str) -> Option<(&str, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let language = parts.next()?.split('-').next()?;
    let quality = match parts.next() {
        None => 1.0,
        Some(weight) => {
            let (name, value) = weight.split_once('=')?;
            let value: f32 = value.parse().ok()?;
            Some(value).filter(|value| name.eq_ignore_ascii_case("q") && (0.0..=1.0).contains(value))?
        }
    };
    Some((language, (quality * 1000.0).round() as u16))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> Option<Code> {
        Language::from_str(text).err().map(|invalid| invalid.code)
    }

    #[test]
    fn the_better_language_of_the_header_is_taken() {
        use Locale::{English, German};
        for (header, language) in [
            ("de", German),
            ("DE-at", German),
            ("de-CH, en;q=0.9", German),
            ("en;q=0.8, de;q=0.9", German),
            ("fr, de;q=0.3", German),
            ("de, en", German),
            ("en, de", English),
            ("en;q=0.9,de;q=0.8", English),
            ("en;q=0, *", German),
            ("en;q=0, *;q=0.1", German),
            ("de;q=0", English),
            ("de;q=0, *", English),
            ("de;q=0, en;q=0", English),
            ("de ; Q=0.001", German),
            ("de;q=2", English),
            ("de;q=NaN", English),
            ("de;q", English),
            ("den", English),
            ("*", English),
            ("fr", English),
            (",;,=", English),
            ("", English),
        ] {
            assert_eq!(Locale::from_accept(Some(header)), language, "{header:?}");
        }
        assert_eq!(Locale::from_accept(None), English);
    }

    #[test]
    fn a_tag_is_stored_in_canonical_case() {
        for (text, stored) in [
            ("de", "de"),
            ("DE-at", "de-AT"),
            (" en-us\u{FEFF}\n", "en-US"),
            ("ZH-hANT-tw", "zh-Hant-TW"),
            ("zh-cmn-hans-cn", "zh-cmn-Hans-CN"),
            ("es-419", "es-419"),
            ("sl-ROZAJ-1994", "sl-rozaj-1994"),
            ("de-ch-1996", "de-CH-1996"),
            ("EN-U-CA-Gregory-X-Acme", "en-u-ca-gregory-x-acme"),
            ("x-Acme", "x-acme"),
            ("I-Klingon", "i-klingon"),
            ("EN-gb-OED", "en-GB-oed"),
            ("qaa-Qaaa-QM", "qaa-Qaaa-QM"),
        ] {
            assert_eq!(Language::from_str(text).map(|tag| tag.0).as_deref(), Ok(stored));
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for text in [
            "de_AT",
            "d",
            "1a",
            "de-",
            "-de",
            "de--AT",
            "german language",
            "de;",
            "de-AT-",
            "de-a",
            "en-u",
            "x-",
            "x",
            "abcdefghi",
            "de-abcdefghi",
            "de-AT-CH",
            "de,en",
            "*",
            "de-\u{DC}",
            "dé",
            "de-x",
            "de\0",
        ] {
            assert_eq!(code(text), Some(Code::InvalidFormat), "{text:?}");
        }
        assert_eq!(code(" \u{200B}"), Some(Code::TooShort));
        assert_eq!(code(&format!("en-x{}", "-a".repeat(125))), None);
        assert_eq!(code(&format!("en-x{}", "-a".repeat(126))), Some(Code::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_stored_parses_to_itself(text in "(?s:.{0,12})|[a-zA-Z]{2,4}(-[a-zA-Z0-9]{1,8}){0,4}") {
            if let Ok(tag) = Language::from_str(&text) {
                prop_assert_eq!(tag.as_str().parse(), Ok(tag.clone()));
                prop_assert!(tag.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
            }
        }
    }
}
