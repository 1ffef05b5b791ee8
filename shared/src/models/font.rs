//! Fonts.

use std::{fmt, str::FromStr};

use cssparser::{Parser, Token};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Code, Invalid,
    image_url::ImageUrl,
    reject, serde_as_text,
    text::{check_length, is_control},
    text_value, trim,
};

/// A value of CSS `font-family`: strings and names, separated by commas, 200 characters at most.
///
/// The value is kept as sent after trimming. It is one value wherever it is printed into CSS: strings are closed, and it
/// has no functions, comments, backslashes, control characters, `<` or CSS-wide keywords.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[schema(
    value_type = String,
    min_length = 1,
    max_length = 200,
    pattern = r"^[^<\\\u0000-\u001F\u007F-\u009F]+$",
    example = "Inter, \"Segoe UI\", sans-serif"
)]
pub struct FontFamily(String);

text_value!(FontFamily);
serde_as_text!(FontFamily);

impl FontFamily {
    /// The longest list, in characters.
    pub const MAX: usize = 200;

    /// The first font of the list as it is written, if that is a name: a string, or words that are not a generic family.
    pub fn first_name(&self) -> Option<&str> {
        let mut parser = Parser::new(&self.0);
        let start = parser.position();
        let mut first = "";
        while !matches!(parser.next(), Ok(Token::Comma) | Err(_)) {
            first = parser.slice_from(start);
        }
        let is_generic = GENERIC.iter().any(|generic| first.eq_ignore_ascii_case(generic));
        let is_empty = matches!(first, "\"\"" | "''");
        Some(first).filter(|_| !is_generic && !is_empty)
    }
}

impl FromStr for FontFamily {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = trim(text);
        check_length(text, Self::MAX)?;
        if text.chars().any(|c| c == '<' || c == '\\' || is_control(c)) {
            let detail = "Use one line without <, backslashes and control characters.";
            return reject(Code::InvalidFormat, detail);
        }
        check_list(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// CSS-wide keywords, which cannot be part of an unquoted family name (CSS Values 4, section 4.2; CSS Cascade,
/// section 7.3, with `revert-rule` of its newest level).
const KEYWORDS: &[&str] = &[
    "default",
    "inherit",
    "initial",
    "revert",
    "revert-layer",
    "revert-rule",
    "unset",
];

/// What browsers read as a family of their own and not as a name (CSS Fonts 4, section 2.1.3; the last two are older
/// names of `system-ui`).
const GENERIC: &[&str] = &[
    "serif",
    "sans-serif",
    "cursive",
    "fantasy",
    "monospace",
    "system-ui",
    "emoji",
    "math",
    "fangsong",
    "ui-serif",
    "ui-sans-serif",
    "ui-monospace",
    "ui-rounded",
    "-apple-system",
    "blinkmacsystemfont",
];

/// The part of a family name before the next token.
#[derive(PartialEq)]
enum Family {
    Missing,
    String,
    Idents,
}

/// `[ <string> | <ident>+ ]#` (CSS Fonts 4, section 2.1).
fn check_list(text: &str) -> Result<(), Invalid> {
    const MISSING: &str = "Enter a font before and after each comma.";
    let mut parser = Parser::new(text);
    let mut family = Family::Missing;
    loop {
        let start = parser.position();
        let Ok(token) = parser.next_including_whitespace_and_comments() else {
            break;
        };
        let token = token.clone();
        family = match token {
            Token::WhiteSpace(_) => continue,
            Token::QuotedString(_) if family == Family::Missing => {
                if !is_closed(parser.slice_from(start)) {
                    return reject(Code::InvalidFormat, "Add the missing quotation mark.");
                }
                Family::String
            }
            Token::Ident(name) if family != Family::String => {
                if KEYWORDS.iter().any(|keyword| name.eq_ignore_ascii_case(keyword)) {
                    let detail =
                        "Remove keywords such as inherit. Put a font of that name into quotation marks.";
                    return reject(Code::NotAllowed, detail);
                }
                Family::Idents
            }
            Token::Comma if family != Family::Missing => Family::Missing,
            Token::Comma => return reject(Code::InvalidFormat, MISSING),
            Token::Function(_) | Token::UnquotedUrl(_) | Token::BadUrl(_) => {
                let detail = "Remove the function. A list of fonts has only names.";
                return reject(Code::NotAllowed, detail);
            }
            _ => {
                let detail =
                    "Separate fonts by commas. Put names with digits or other signs into quotation marks.";
                return reject(Code::InvalidFormat, detail);
            }
        };
    }
    if family == Family::Missing {
        return reject(Code::InvalidFormat, MISSING);
    }
    Ok(())
}

/// The address of a font: an absolute `https` URL with a public host name and no user info, whose path ends in `.woff2`. 2,048
/// characters at most as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(
    value_type = String,
    min_length = 10,
    max_length = 2048,
    pattern = r#"^[Hh][Tt][Tt][Pp][Ss]://[^\s"<>\\^`{|}?#]+\.woff2([?#][^\s"<>\\^`{|}]*)?$"#,
    example = "https://cdn.acme.com/inter.woff2"
)]
pub struct FontUrl(ImageUrl);

impl FromStr for FontUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let url = ImageUrl::from_str(text)?;
        let path = url.as_str().split(['?', '#']).next();
        match path.is_some_and(|path| path.ends_with(".woff2")) {
            true => Ok(Self(url)),
            false => reject(
                Code::NotAllowed,
                "Use the address of a font file in the format WOFF2: its path ends in .woff2.",
            ),
        }
    }
}

impl fmt::Display for FontUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a string token ends with the quotation mark that it begins with. The tokenizer accepts an open string at the
/// end of its input, but the same string would swallow the CSS after it.
fn is_closed(string: &str) -> bool {
    let mut chars = string.chars();
    chars.next() == chars.next_back()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> Option<Code> {
        FontFamily::from_str(text).err().map(|e| e.code)
    }

    #[test]
    fn lists_are_kept_as_sent() {
        for text in [
            "Arial",
            "sans-serif",
            "Inter, \"Segoe UI\", sans-serif",
            "system-ui,-apple-system,'Segoe UI',Roboto",
            "Open Sans , Arial",
            "\"Source Sans 3\"",
            "'O\"Brien'",
            "\"O'Brien\"",
            "\"a;b}c{d)e(f/*g!@\"",
            "\"inherit\"",
            "inherited",
            "Noto Sans 日本語",
            "ヒラギノ角ゴ",
            "--brand",
            "_x",
            "\"\"",
        ] {
            assert_eq!(FontFamily::from_str(text).map(|f| f.0).as_deref(), Ok(text));
        }
        assert_eq!(
            FontFamily::from_str(" \u{FEFF}Arial\n").unwrap().as_str(),
            "Arial"
        );
        assert_eq!(code(&"ж".repeat(200)), None);
    }

    #[test]
    fn what_is_no_list_of_fonts_has_no_valid_form() {
        for text in [
            ",",
            "Arial,",
            ",Arial",
            "Arial,,serif",
            "\"Arial",
            "'Arial",
            "\"",
            "'",
            "Arial, \"",
            "\"Arial'",
            "'a\", serif",
            "\"a\" \"b\"",
            "\"a\"b",
            "a \"b\"",
            "Source Sans 3",
            "3D",
            "16px Arial",
            "100%",
            "Arial; color: red",
            "Arial}",
            "{}",
            "(Arial)",
            "[Arial]",
            "Arial)",
            "Arial !important",
            "Arial /* comment */",
            "Arial /*",
            "/**/Arial",
            "Arial / serif",
            "@import",
            "#id",
            "a:b",
            "a.b",
            "a|b",
            "a-->",
            "$x",
            "-",
            "a\u{60}b",
            "</style>",
            "\"<\"",
            "Arial\\",
            "\"a\\\"",
            "\\75rl(x)",
            "Arial\nserif",
            "\"a\nb\"",
            "Arial\tserif",
            "Arial\0",
            "Ari\u{85}al",
            "Arial\u{2028}serif",
            "\u{202E}Arial",
        ] {
            assert_eq!(code(text), Some(Code::InvalidFormat), "{text:?}");
        }
    }

    #[test]
    fn functions_and_keywords_are_not_allowed() {
        for text in [
            "inherit",
            "Arial, INHERIT",
            "initial",
            "unset",
            "revert",
            "Revert-Layer",
            "default",
            "Arial default",
            "var(--x)",
            "url(x)",
            "url(\"x\")",
            "URL( x y )",
            "Arial, expression(1)",
            "env(x",
            "generic(kai)",
        ] {
            assert_eq!(code(text), Some(Code::NotAllowed), "{text:?}");
        }
    }

    #[test]
    fn length_counts_characters_after_trimming() {
        assert_eq!(code(""), Some(Code::TooShort));
        assert_eq!(code("  \u{200B} "), Some(Code::TooShort));
        assert_eq!(code(&"a".repeat(201)), Some(Code::TooLong));
        assert_eq!(code(&"(".repeat(60_000)), Some(Code::TooLong));
    }

    #[test]
    fn the_first_font_is_a_name_unless_it_is_a_generic_family() {
        for (text, name) in [
            ("Inter", Some("Inter")),
            ("Inter, sans-serif", Some("Inter")),
            ("Open  Sans , Arial", Some("Open  Sans")),
            ("\"Segoe UI\",serif", Some("\"Segoe UI\"")),
            ("'a, b', serif", Some("'a, b'")),
            ("\"serif\"", Some("\"serif\"")),
            ("serif Pro, serif", Some("serif Pro")),
            ("--brand", Some("--brand")),
            ("serif, Inter", None),
            ("System-UI, Inter", None),
            ("ui-rounded", None),
            ("-apple-system, Inter", None),
            ("\"\", Inter", None),
        ] {
            assert_eq!(FontFamily::from_str(text).unwrap().first_name(), name, "{text}");
        }
    }

    #[test]
    fn the_address_of_a_font_ends_in_woff2() {
        let parse = |text: &str| {
            FontUrl::from_str(text)
                .map(|url| url.to_string())
                .map_err(|e| e.code)
        };
        for text in [
            "https://cdn.acme.com/inter.woff2",
            "https://cdn.acme.com/inter.woff2?v=2#x",
            "https://cdn.acme.com/.woff2",
        ] {
            assert_eq!(parse(text).as_deref(), Ok(text));
        }
        for text in [
            "https://cdn.acme.com/inter.woff",
            "https://cdn.acme.com/inter.woff2/",
            "https://cdn.acme.com/inter.ttf?.woff2",
            "https://cdn.acme.com/#.woff2",
            "http://cdn.acme.com/inter.woff2",
        ] {
            assert_eq!(parse(text), Err(Code::NotAllowed), "{text}");
        }
        assert_eq!(parse("inter.woff2"), Err(Code::InvalidFormat));
    }

    /// Printed into a rule, it is one declaration's value, and what follows is still there.
    fn is_safe(family: &FontFamily) -> bool {
        let css = format!("{family};}}b{{}}");
        let mut parser = Parser::new(&css);
        let start = parser.position();
        loop {
            let value = parser.slice_from(start);
            match parser.next_including_whitespace_and_comments() {
                Ok(Token::Semicolon) => return value == family.as_str(),
                Ok(Token::Ident(_) | Token::QuotedString(_) | Token::Comma | Token::WhiteSpace(_)) => {}
                _ => return false,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_stored_is_safe_and_parses_to_itself(
            text in "(?s:.{0,40})|[a-z \"',;(){}/*!@-]{0,20}|(\"[^\"]{0,9}\"|[a-z -]{1,9})(, ?('[^']{0,9}'|[a-z-]{1,9})){0,3}"
        ) {
            if let Ok(family) = FontFamily::from_str(&text) {
                prop_assert!(is_safe(&family), "{:?}", family);
                if let Some(first) = family.first_name() {
                    prop_assert!(first.parse().is_ok_and(|first: FontFamily| is_safe(&first)), "{:?}", family);
                }
                prop_assert_eq!(family.as_str().parse(), Ok(family.clone()));
            }
        }
    }
}
