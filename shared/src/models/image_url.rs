//! Addresses of images.

use std::{cell::Cell, str::FromStr};

use serde::{Deserialize, Serialize};
use url::{Host, SyntaxViolation, Url};
use utoipa::ToSchema;

use super::{Code, Invalid, hostname::Hostname, reject, required, text_value};

/// An absolute `https` URL with a public host name and no user info, 2,048 characters at most as stored.
///
/// Stored as the WHATWG URL standard serializes it, with `'`, `(` and `)` percent-encoded as well. It is ASCII, and none
/// of its characters ends a string or a `url()` of CSS, an attribute of HTML, or a line.
///
/// A URL that the parser would repair (a backslash, a space, a stray `%`, a missing slash) is rejected, because
/// parsers repair URLs in different ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(
    value_type = String,
    min_length = 10,
    max_length = 2048,
    pattern = r#"^[Hh][Tt][Tt][Pp][Ss]://[^\s"<>\\^`{|}]+$"#,
    example = "https://cdn.acme.com/logo.svg"
)]
pub struct ImageUrl(String);

text_value!(ImageUrl);

impl ImageUrl {
    /// The longest URL, in characters.
    pub const MAX: usize = 2048;
}

/// A stored URL. Only its form is checked: the list of top-level domains for special use may have grown since.
impl TryFrom<String> for ImageUrl {
    type Error = Invalid;

    fn try_from(stored: String) -> Result<Self, Invalid> {
        if stored.len() > Self::MAX {
            let detail = "Use at most 2,048 characters, counted after percent-encoding.";
            return reject(Code::TooLong, detail);
        }
        let is_safe = |b: u8| b.is_ascii_graphic() && !br#""'()<>\^`{|}"#.contains(&b);
        if !stored.starts_with("https://") || !stored.bytes().all(is_safe) {
            return reject(Code::InvalidFormat, NOT_ENCODED);
        }
        Ok(Self(stored))
    }
}

impl FromStr for ImageUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = required(text)?;
        let (repaired, has_user_info) = (Cell::new(false), Cell::new(false));
        let on_violation = |violation| match violation {
            SyntaxViolation::EmbeddedCredentials | SyntaxViolation::UnencodedAtSign => {
                has_user_info.set(true)
            }
            _ => repaired.set(true),
        };
        let parsed = Url::options()
            .syntax_violation_callback(Some(&on_violation))
            .parse(text);
        let Ok(url) = parsed else {
            let detail = "Enter a complete address, such as https://cdn.acme.com/logo.svg.";
            return reject(Code::InvalidFormat, detail);
        };
        if url.scheme() != "https" {
            return reject(Code::NotAllowed, "Use an address that begins with https://.");
        }
        if has_user_info.get() {
            return reject(Code::NotAllowed, "Remove the user name and the password.");
        }
        // The parser decodes a percent-encoded host without a violation, but the standard calls such a URL invalid.
        if repaired.get() || authority(text).contains('%') {
            return reject(Code::InvalidFormat, NOT_ENCODED);
        }
        if !url.host().is_some_and(is_public) {
            let detail = "Use a public domain name as the host, not an IP address or a local name.";
            return reject(Code::NotAllowed, detail);
        }
        let stored = url.as_str().replace('\'', "%27");
        stored.replace('(', "%28").replace(')', "%29").try_into()
    }
}

const NOT_ENCODED: &str = "Correct the address: a part is malformed, or a character must be percent-encoded.";

/// The text between the scheme and the path.
fn authority(text: &str) -> &str {
    let (_, rest) = text.split_once("//").unwrap_or_default();
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Whether the public DNS can have this host name.
fn is_public(host: Host<&str>) -> bool {
    let Host::Domain(name) = host else { return false };
    Hostname::parse(name).is_ok_and(|name| !name.is_single_label() && !name.is_special_use())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> Option<Code> {
        ImageUrl::from_str(text).err().map(|e| e.code)
    }

    #[test]
    fn addresses_are_stored_as_the_standard_serializes_them() {
        for (text, stored) in [
            ("https://cdn.acme.com/logo.svg", "https://cdn.acme.com/logo.svg"),
            (
                " \u{FEFF}https://cdn.acme.com/logo.svg\n",
                "https://cdn.acme.com/logo.svg",
            ),
            ("HTTPS://CDN.Acme.COM", "https://cdn.acme.com/"),
            ("https://cdn.acme.com:443/a", "https://cdn.acme.com/a"),
            ("https://cdn.acme.com:8443/a", "https://cdn.acme.com:8443/a"),
            ("https://cdn.acme.com./a", "https://cdn.acme.com./a"),
            ("https://cdn.acme.com/a/../b/./c", "https://cdn.acme.com/b/c"),
            (
                "https://bücher.de/Büro.png",
                "https://xn--bcher-kva.de/B%C3%BCro.png",
            ),
            (
                "https://acme.com/a%20b?x=1&y=%27#icon",
                "https://acme.com/a%20b?x=1&y=%27#icon",
            ),
            (
                "https://acme.com/it's(1).png",
                "https://acme.com/it%27s%281%29.png",
            ),
            (
                "https://acme.com/?q='(x)'#'(y)'",
                "https://acme.com/?q=%27%28x%29%27#%27%28y%29%27",
            ),
            (
                "https://acme.com/a;b,c@d:e!$*+~",
                "https://acme.com/a;b,c@d:e!$*+~",
            ),
            (
                "https://s3.amazonaws.com/bucket/logo.png",
                "https://s3.amazonaws.com/bucket/logo.png",
            ),
            (
                "https://cdn.example.com/logo.png",
                "https://cdn.example.com/logo.png",
            ),
            (
                "https://acme.github.io/logo.png",
                "https://acme.github.io/logo.png",
            ),
            // A top-level domain that the Public Suffix List does not have, as of a custom domain.
            ("https://acme.notatld/logo.png", "https://acme.notatld/logo.png"),
        ] {
            assert_eq!(
                ImageUrl::from_str(text).map(|u| u.0).as_deref(),
                Ok(stored),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_no_url_or_was_repaired_has_no_valid_form() {
        for text in [
            "logo.svg",
            "/logo.svg",
            "//cdn.acme.com/logo.svg",
            "cdn.acme.com/logo.svg",
            "https://",
            "https:///",
            "https:cdn.acme.com/logo.svg",
            "https:/cdn.acme.com/logo.svg",
            "https:///cdn.acme.com/logo.svg",
            "https:\\\\cdn.acme.com\\logo.svg",
            "https://cdn.acme.com\\logo.svg",
            "https://cdn.acme.com/a\\b",
            "https://cdn.acme.com/?a\\b",
            "https://cdn.acme.com/#a\\b",
            "https://cdn.acme.com/a b",
            "https://cdn.acme.com/a\tb",
            "https://cdn.acme.com/a\nb",
            "ht\ntps://cdn.acme.com/",
            "https://cdn.acme.com/a\0",
            "\u{1}https://cdn.acme.com/",
            "https://cdn.acme.com/a\u{85}b",
            "https://cdn.acme.com/%",
            "https://cdn.acme.com/%zz",
            "https://cdn.acme.com/?%2",
            "https://cdn.acme.com/#%",
            "https://cdn.acme.com/\"",
            "https://cdn.acme.com/?\"",
            "https://cdn.acme.com/#\"",
            "https://cdn.acme.com/<svg>",
            "https://cdn.acme.com/?{x}",
            "https://cdn.acme.com/#a|b",
            "https://cdn.acme.com/^`",
            "https://cdn.acme.com/a#b#c",
            "https://cdn.acm%65.com/a",
            "https://cdn.acme.com:99999/",
            "https://cdn.acme.com:x/",
            "https://cdn .acme.com/",
            "https://xn--a.com/",
            "https://[::1/",
        ] {
            assert_eq!(code(text), Some(Code::InvalidFormat), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_public_https_is_not_allowed() {
        for text in [
            "http://cdn.acme.com/logo.svg",
            "javascript:alert(1)",
            "data:image/svg+xml,x",
            "ftp://cdn.acme.com/",
            "file:///etc/passwd",
            "blob:https://acme.com/x",
            "https://user@acme.com/",
            "https://user:secret@acme.com/",
            "https://:@acme.com/",
            "https://@acme.com/",
            "https://a@b@acme.com/",
            "https://127.0.0.1/",
            "https://127.0.0.1./",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://１２７.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://169.254.169.254/latest/meta-data/",
            "https://8.8.8.8/",
            "https://localhost/",
            "https://localhost./",
            "https://intranet/",
            "https://com/",
            "https://cdn.acme.test/",
            "https://cdn.acme.localhost/",
            "https://cdn.acme.local/",
            "https://cdn.acme.internal/",
            "https://cdn.acme.example/",
            "https://router.home.arpa/",
            "https://acme.onion/",
            "https://nas.lan/",
            "https://my_bucket.acme.com/",
            "https://a\"b.com/",
            "https://a'b.com/",
            "https://a(b).com/",
            "https://a;b.com/",
            "https://*.acme.com/",
            "https://acme..com/",
            "https://-acme.com/",
        ] {
            assert_eq!(code(text), Some(Code::NotAllowed), "{text:?}");
        }
    }

    #[test]
    fn the_stored_form_has_the_limit() {
        let url = |n: usize| format!("https://acme.com/{}", "a".repeat(n - 17));
        assert_eq!(code(&url(2048)), None);
        assert_eq!(code(&url(2049)), Some(Code::TooLong));
        assert_eq!(code(&format!("https://acme.com/{}", "ü".repeat(338))), None);
        assert_eq!(
            code(&format!("https://acme.com/{}", "ü".repeat(339))),
            Some(Code::TooLong)
        );
        assert_eq!(code(""), Some(Code::TooShort));
        assert_eq!(code(" \u{200B}"), Some(Code::TooShort));
    }

    #[test]
    fn no_character_anywhere_gets_out_of_css() {
        for c in (0..=0x2FFu32)
            .chain([0x2028, 0x3002, 0xFEFF, 0xFF02, 0xFF07, 0xFF3C])
            .filter_map(char::from_u32)
        {
            for text in [
                format!("https://a{c}cme.com/"),
                format!("https://acme.com{c}/"),
                format!("https://acme.com/a{c}b"),
                format!("https://acme.com/?a{c}b"),
                format!("https://acme.com/#a{c}b"),
            ] {
                if let Ok(url) = ImageUrl::from_str(&text) {
                    assert!(is_safe(&url), "{url:?}");
                }
            }
        }
    }

    /// Printed as `url("…")` and tokenized, it is that one URL.
    fn is_safe(url: &ImageUrl) -> bool {
        let css = format!("url(\"{url}\")");
        let mut parser = cssparser::Parser::new(&css);
        parser.expect_url().is_ok_and(|read| *read == *url.as_str())
            && parser.is_exhausted()
            && url
                .as_str()
                .bytes()
                .all(|b| b.is_ascii_graphic() && !br#""'()<>\"#.contains(&b))
    }

    proptest! {
        #[test]
        fn what_is_stored_is_safe_and_parses_to_itself(
            text in "(?s:.{0,40})|https://acme\\.com[/?#](?s:.{0,30})|https://[a-zA-Z0-9.ü'\"()%:@-]{1,20}\\.com[ -~]{0,30}"
        ) {
            if let Ok(url) = ImageUrl::from_str(&text) {
                prop_assert!(is_safe(&url));
                prop_assert_eq!(url.as_str().parse(), Ok(url.clone()));
            }
        }
    }
}
