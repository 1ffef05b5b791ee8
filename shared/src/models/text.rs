//! Free text: names, ids of other systems and footers.

use std::str::FromStr;

use utoipa::ToSchema;

use super::{Code, EMPTY, Invalid, folded::FoldedName, reject, serde_as_text, text_value, trim};

/// A client organization's name: 1 to 100 characters after trimming, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[schema(
    value_type = String,
    min_length = 1,
    max_length = 100,
    pattern = r"^[^\u0000-\u001F\u007F-\u009F\u2028-\u202E\u2066-\u2069]+$",
    example = "Acme Consulting"
)]
pub struct ClientName(String);

text_value!(ClientName);
serde_as_text!(ClientName);

impl ClientName {
    /// The longest name, in characters.
    pub const MAX: usize = 100;

    /// The name as a search compares it.
    pub fn folded(&self) -> FoldedName {
        FoldedName::new(&self.0)
    }
}

impl FromStr for ClientName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        line(text, Self::MAX).map(Self)
    }
}

/// A portal's name: 1 to 60 characters after trimming, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[schema(
    value_type = String,
    min_length = 1,
    max_length = 60,
    pattern = r"^[^\u0000-\u001F\u007F-\u009F\u2028-\u202E\u2066-\u2069]+$",
    example = "Acme Portal"
)]
pub struct PortalName(String);

text_value!(PortalName);
serde_as_text!(PortalName);

impl PortalName {
    /// The longest name, in characters.
    pub const MAX: usize = 60;
}

impl FromStr for PortalName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        line(text, Self::MAX).map(Self)
    }
}

/// One line of 1 to `max` characters after trimming.
fn line(text: &str, max: usize) -> Result<String, Invalid> {
    let text = trim(text);
    check_length(text, max)?;
    if text.chars().any(is_control) {
        return reject(Code::InvalidFormat, "Use one line without control characters.");
    }
    Ok(text.to_owned())
}

/// The agency's own id for a client: 1 to 64 visible ASCII characters.
///
/// It is kept as sent. An id with white space is rejected.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 64, pattern = "^[!-~]{1,64}$", example = "CRM-4711")]
pub struct ExternalId(String);

text_value!(ExternalId);
serde_as_text!(ExternalId);

impl ExternalId {
    /// The longest id, in characters.
    pub const MAX: usize = 64;
}

impl FromStr for ExternalId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_length(text, Self::MAX)?;
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return reject(
                Code::InvalidFormat,
                "Use only visible ASCII characters, and no spaces.",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

/// Plain text of a page's footer: 1 to 500 characters, no control characters except line breaks.
///
/// The text is kept as sent: LF, CR, CRLF, U+2028 and U+2029 stay, and so does white space at both ends. It is not
/// HTML: a page must escape it.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[schema(
    value_type = String,
    min_length = 1,
    max_length = 500,
    pattern = r"^[^\u0000-\u0009\u000B\u000C\u000E-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]+$",
    example = "© Acme Consulting"
)]
pub struct FooterText(String);

text_value!(FooterText);
serde_as_text!(FooterText);

impl FooterText {
    /// The longest footer, in characters.
    pub const MAX: usize = 500;
}

impl FromStr for FooterText {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_length(text, Self::MAX)?;
        let is_line_break = |c| matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}');
        if text.chars().any(|c| is_control(c) && !is_line_break(c)) {
            let detail = "Remove tabs and other control characters. Line breaks are allowed.";
            return reject(Code::InvalidFormat, detail);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whether a character controls text instead of being text.
///
/// These are C0, DEL and C1 (general category Cc), the line and paragraph separators, and the embeddings,
/// overrides and isolates of the bidirectional algorithm (UAX #9, section 2). The latter reorder the text after them,
/// so that a name could rewrite the page around it. The marks LRM, RLM and ALM and the joiners are allowed: Hebrew,
/// Arabic and Persian names and emoji need them, and they affect only their neighbours.
pub(crate) fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// What a slug and a DNS label have in common: 2 to 63 characters that are all allowed, and no hyphen at an end.
pub(super) fn check_label(
    text: &str,
    is_allowed: fn(u8) -> bool,
    allowed: &'static str,
) -> Result<(), Invalid> {
    if text.chars().nth(1).is_none() {
        return reject(Code::TooShort, "Use at least two characters.");
    }
    check_length(text, 63)?;
    if !text.bytes().all(is_allowed) {
        return reject(Code::InvalidFormat, allowed);
    }
    if text.starts_with('-') || text.ends_with('-') {
        let detail = "Remove the hyphen at the beginning or at the end.";
        return reject(Code::InvalidFormat, detail);
    }
    Ok(())
}

/// At least one character, at most `max`.
pub(super) fn check_length(text: &str, max: usize) -> Result<(), Invalid> {
    if text.is_empty() {
        return reject(Code::TooShort, EMPTY);
    }
    // `nth` stops after `max` characters, whatever the length of the text.
    if text.chars().nth(max).is_some() {
        return reject(Code::TooLong, format!("Use at most {max} characters."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Result<String, Code> {
        ClientName::from_str(text).map(|n| n.0).map_err(|e| e.code)
    }

    fn footer(text: &str) -> Result<String, Code> {
        FooterText::from_str(text).map(|n| n.0).map_err(|e| e.code)
    }

    #[test]
    fn a_name_is_any_line_of_text() {
        for text in [
            "A",
            "Acme Consulting GmbH & Co. KG",
            "株式会社アクメ",
            "شركة",
            "עברית\u{200F}",
            "نمی\u{200C}خواهم",
            "👩\u{200D}💻 Studio",
            "<b>not ours to judge</b>",
            "a\u{A0}b",
        ] {
            assert_eq!(name(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_name_is_trimmed_before_it_is_counted() {
        assert_eq!(name(" \t\u{FEFF}\u{200B}Acme\u{A0}\r\n").as_deref(), Ok("Acme"));
        let longest = "ä".repeat(100);
        assert_eq!(name(&format!("  {longest}  ")), Ok(longest));
    }

    #[test]
    fn names_are_refused_for_length_and_control_characters() {
        for (text, code) in [
            ("", Code::TooShort),
            (" \n\t\u{200B}", Code::TooShort),
            (&"ä".repeat(101), Code::TooLong),
            ("a\0b", Code::InvalidFormat),
            ("a\tb", Code::InvalidFormat),
            ("a\nb", Code::InvalidFormat),
            ("\u{1B}[31mred", Code::InvalidFormat),
            ("a\u{7F}", Code::InvalidFormat),
            ("a\u{9B}b", Code::InvalidFormat),
            ("a\u{2028}b", Code::InvalidFormat),
            ("a\u{2029}b", Code::InvalidFormat),
            ("a\u{202E}b", Code::InvalidFormat),
            ("a\u{2066}b", Code::InvalidFormat),
            ("a\u{2069}", Code::InvalidFormat),
        ] {
            assert_eq!(name(text), Err(code), "{text:?}");
        }
    }

    #[test]
    fn the_name_of_a_portal_has_at_most_60_characters() {
        let portal = |text: &str| PortalName::from_str(text).map(|name| name.0).map_err(|e| e.code);
        assert_eq!(portal(" Acme Portal\n").as_deref(), Ok("Acme Portal"));
        assert!(portal(&format!(" {} ", "ä".repeat(60))).is_ok());
        assert_eq!(portal(&"ä".repeat(61)), Err(Code::TooLong));
        assert_eq!(portal(" "), Err(Code::TooShort));
        assert_eq!(portal("a\nb"), Err(Code::InvalidFormat));
    }

    #[test]
    fn an_external_id_is_1_to_64_visible_ascii_characters() {
        let parse = |text: &str| ExternalId::from_str(text).map(|id| id.0).map_err(|e| e.code);
        for text in ["1", "CRM-4711", "a/b#c?d=e&f%20", "\"'\\~!", &"x".repeat(64)] {
            assert_eq!(parse(text).as_deref(), Ok(text));
        }
        for (text, code) in [
            ("", Code::TooShort),
            (&"x".repeat(65), Code::TooLong),
            (" ", Code::InvalidFormat),
            (" 1", Code::InvalidFormat),
            ("1\n", Code::InvalidFormat),
            ("a b", Code::InvalidFormat),
            ("é", Code::InvalidFormat),
            ("\u{7F}", Code::InvalidFormat),
        ] {
            assert_eq!(parse(text), Err(code), "{text:?}");
        }
    }

    #[test]
    fn a_footer_is_kept_as_sent() {
        for text in [
            "x",
            "© Acme\nSecond line\r\n",
            "  indented\rold",
            "a\u{2028}b\u{2029}c",
            "<b>text</b>",
            " ",
        ] {
            assert_eq!(footer(text).as_deref(), Ok(text));
        }
        assert!(footer(&"字".repeat(500)).is_ok());
    }

    #[test]
    fn footers_are_refused_for_length_and_control_characters() {
        for (text, code) in [
            ("", Code::TooShort),
            (&"字".repeat(501), Code::TooLong),
            ("a\tb", Code::InvalidFormat),
            ("a\0", Code::InvalidFormat),
            ("a\u{B}b", Code::InvalidFormat),
            ("a\u{C}b", Code::InvalidFormat),
            ("a\u{85}b", Code::InvalidFormat),
            ("a\u{7F}b", Code::InvalidFormat),
            ("a\u{202D}b", Code::InvalidFormat),
        ] {
            assert_eq!(footer(text), Err(code), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_stored_parses_to_itself(text in "\\PC{0,120}|(?s:.{0,120})") {
            if let Ok(stored) = name(&text) {
                prop_assert_eq!(name(&stored), Ok(stored));
            }
            if let Ok(stored) = footer(&text) {
                prop_assert_eq!(stored, text);
            }
        }
    }
}
