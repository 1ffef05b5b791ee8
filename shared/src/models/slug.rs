//! The slug of a client organization.

use std::str::FromStr;

use utoipa::ToSchema;

use super::{
    Invalid, serde_as_text,
    text::{ClientName, check_label},
    text_value, trim,
};

/// 2 to 63 of `a-z 0-9 -`, no hyphen at an end: a valid DNS label (RFC 1123, section 2.1).
///
/// Upper case is rejected, not folded, because slugs are compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, ToSchema)]
#[schema(
    value_type = String,
    min_length = 2,
    max_length = 63,
    pattern = "^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$",
    example = "acme-consulting"
)]
pub struct Slug(String);

text_value!(Slug);
serde_as_text!(Slug);

impl Slug {
    /// The shortest slug, in characters.
    pub const MIN: usize = 2;
    /// The longest slug, in characters.
    pub const MAX: usize = 63;

    /// The slug of a name: transliterated to ASCII, with hyphens for all other characters, at most [`Self::MAX`] long.
    ///
    /// If fewer than two characters remain, the slug is `client-` and six characters that `random` selects. `random` is
    /// not called otherwise.
    pub fn from_name(name: &ClientName, random: impl FnOnce() -> [u8; 6]) -> Self {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        // The result is bounded: one character becomes about 50 letters at most, and a name has 100 characters.
        let slug = slug::slugify(name.as_str());
        let slug = cut(&slug, Self::MAX);
        if slug.len() >= Self::MIN {
            return Self(slug.to_owned());
        }
        let six = random().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
        Self(format!("client-{}", String::from_iter(six)))
    }

    /// This slug, shortened if necessary, with the suffix `-<n>`.
    pub fn numbered(&self, n: u32) -> Self {
        let number = n.to_string();
        Self(format!("{}-{number}", cut(&self.0, Self::MAX - 1 - number.len())))
    }
}

impl FromStr for Slug {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = trim(text);
        let is_allowed = |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let allowed = "Use only the letters a to z in lower case, digits and hyphens.";
        check_label(text, is_allowed, allowed)?;
        Ok(Self(text.to_owned()))
    }
}

/// The first `max` bytes of ASCII text, without trailing hyphens.
fn cut(text: &str, max: usize) -> &str {
    text.get(..max).unwrap_or(text).trim_end_matches('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::models::Code;

    fn from_name(name: &str) -> String {
        Slug::from_name(&name.parse().unwrap(), || [0, 1, 35, 36, 61, 255]).0
    }

    fn code(text: &str) -> Option<Code> {
        Slug::from_str(text).err().map(|e| e.code)
    }

    #[test]
    fn slugs_are_taken_as_they_stand() {
        for text in [
            "ab",
            "42",
            "acme",
            "acme-consulting",
            "a--b",
            "xn--a",
            &"a".repeat(63),
        ] {
            assert_eq!(Slug::from_str(text).unwrap().as_str(), text);
        }
        assert_eq!(Slug::from_str(" \u{FEFF}acme\n").unwrap().as_str(), "acme");
    }

    #[test]
    fn all_else_is_refused() {
        for (text, expected) in [
            ("", Code::TooShort),
            ("a", Code::TooShort),
            ("  a  ", Code::TooShort),
            ("é", Code::TooShort),
            (&"a".repeat(64), Code::TooLong),
            (&"é".repeat(64), Code::TooLong),
            ("Acme", Code::InvalidFormat),
            ("-acme", Code::InvalidFormat),
            ("acme-", Code::InvalidFormat),
            ("--", Code::InvalidFormat),
            ("ac me", Code::InvalidFormat),
            ("ac_me", Code::InvalidFormat),
            ("ac.me", Code::InvalidFormat),
            ("ac/me", Code::InvalidFormat),
            ("ac#me", Code::InvalidFormat),
            ("acmé", Code::InvalidFormat),
            ("ac\0me", Code::InvalidFormat),
            ("acme\u{661}", Code::InvalidFormat),
        ] {
            assert_eq!(code(text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn names_are_transliterated() {
        for (name, slug) in [
            ("Acme Consulting", "acme-consulting"),
            ("Müller & Söhne GmbH", "muller-sohne-gmbh"),
            ("Mu\u{308}ller", "muller"),
            ("北京公司", "bei-jing-gong-si"),
            ("Ωmega", "omega"),
            ("O'Brien/Smith", "o-brien-smith"),
            ("--- a1 ---", "a1"),
        ] {
            assert_eq!(from_name(name), slug);
        }
    }

    #[test]
    fn a_name_without_letters_gets_random_ones() {
        for name in ["-", "???", "A", "…!", "\u{10FFFD}"] {
            assert_eq!(from_name(name), "client-ab9azd", "{name}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_without_a_hyphen_at_the_end() {
        assert_eq!(from_name(&"a".repeat(100)), "a".repeat(63));
        assert_eq!(
            from_name(&format!("{} {}", "a".repeat(62), "b".repeat(9))),
            "a".repeat(62)
        );
    }

    #[test]
    fn numbers_are_put_after_a_slug_that_makes_room() {
        let numbered = |text: &str, n| Slug::from_str(text).unwrap().numbered(n).0;
        assert_eq!(numbered("acme", 2), "acme-2");
        assert_eq!(numbered("acme", 123_456), "acme-123456");
        assert_eq!(numbered(&"a".repeat(63), 2), format!("{}-2", "a".repeat(61)));
        assert_eq!(
            numbered(&format!("{}-bc", "a".repeat(60)), 2),
            format!("{}-2", "a".repeat(60))
        );
        assert_eq!(numbered(&format!("a{}b", "-".repeat(61)), 2), "a-2");
    }

    proptest! {
        #[test]
        fn every_name_has_a_slug(name in "\\PC{1,100}|(?s:.{1,100})", random: [u8; 6], n: u32) {
            if let Ok(name) = name.parse() {
                let slug = Slug::from_name(&name, || random);
                prop_assert_eq!(slug.as_str().parse(), Ok(slug.clone()));
                let numbered = slug.numbered(n);
                prop_assert_eq!(numbered.as_str().parse(), Ok(numbered.clone()));
            }
        }

        #[test]
        fn what_is_stored_parses_to_itself(text in "(?s:.{0,70})|[ a-zA-Z0-9-]{0,70}") {
            if let Ok(slug) = Slug::from_str(&text) {
                prop_assert_eq!(slug.as_str().parse(), Ok(slug.clone()));
            }
        }
    }
}
