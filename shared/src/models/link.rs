//! Addresses that a portal links to.

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Code, Invalid, email::FromEmail, image_url::ImageUrl, reject, required, text_value};

/// The address of a page: an absolute `https` URL with a public host name and no user info, 2,048 characters at most as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(
    value_type = String,
    min_length = 10,
    max_length = 2048,
    pattern = r#"^[Hh][Tt][Tt][Pp][Ss]://[^\s"<>\\^`{|}]+$"#,
    example = "https://acme.com/legal"
)]
pub struct PageUrl(ImageUrl);

impl FromStr for PageUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self)
    }
}

impl fmt::Display for PageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where users get help: an absolute `https` URL with a public host name and no user info, or `mailto:` and one email address
/// (RFC 6068). 2,048 characters at most as stored.
///
/// The stored `mailto:` URL has only the address: header fields such as `?subject=` are rejected. In the local part, every
/// character that could be read as another part of a URL is percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(
    value_type = String,
    min_length = 10,
    max_length = 2048,
    pattern = r#"^([Hh][Tt][Tt][Pp][Ss]://|[Mm][Aa][Ii][Ll][Tt][Oo]:)[^\s"<>\\]+$"#,
    example = "https://acme.com/support"
)]
pub struct SupportUrl(String);

text_value!(SupportUrl);

const MAILTO: &str = "mailto:";

/// All but the unreserved characters of a URL, and `+`, which has no meaning in a `mailto:` URL (RFC 6068, section 5).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'+')
    .remove(b'@');

/// A stored URL. As with [`ImageUrl`], only the form of an `https` URL is checked.
impl TryFrom<String> for SupportUrl {
    type Error = Invalid;

    fn try_from(stored: String) -> Result<Self, Invalid> {
        match stored.starts_with(MAILTO) {
            true => stored.parse(),
            false => ImageUrl::try_from(stored).map(|url| Self(url.to_string())),
        }
    }
}

impl FromStr for SupportUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = required(text)?;
        let address = match text.split_at_checked(MAILTO.len()) {
            Some((scheme, address)) if scheme.eq_ignore_ascii_case(MAILTO) => address,
            _ => {
                let url = ImageUrl::from_str(text).map_err(|invalid| {
                    let detail = format!("{} An email address begins with mailto:.", invalid.detail);
                    Invalid::new(invalid.code, detail)
                })?;
                return Ok(Self(url.to_string()));
            }
        };
        if address.contains(['?', '#']) {
            let detail = "Remove the text from ? or # on: only an address may follow mailto:.";
            return reject(Code::InvalidFormat, detail);
        }
        let address: FromEmail = percent_decode_str(address).decode_utf8_lossy().parse()?;
        let address = utf8_percent_encode(address.as_str(), ENCODED);
        Ok(Self(format!("{MAILTO}{address}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> Option<Code> {
        SupportUrl::from_str(text).err().map(|invalid| invalid.code)
    }

    #[test]
    fn support_is_a_page_or_one_address() {
        for (text, stored) in [
            ("https://acme.com/support", "https://acme.com/support"),
            (" HTTPS://Acme.com\n", "https://acme.com/"),
            ("mailto:help@acme.com", "mailto:help@acme.com"),
            (
                " MailTo:Help@B\u{FC}cher.DE\u{FEFF}",
                "mailto:Help@xn--bcher-kva.de",
            ),
            ("mailto:help+portal@acme.com", "mailto:help+portal@acme.com"),
            ("mailto:a/b=c&d@acme.com", "mailto:a%2Fb%3Dc%26d@acme.com"),
            ("mailto:a%3Fb@acme.com", "mailto:a%3Fb@acme.com"),
            ("mailto:help%40acme.com", "mailto:help@acme.com"),
        ] {
            let parsed = SupportUrl::from_str(text).unwrap();
            assert_eq!(parsed.as_str(), stored);
            let json = serde_json::to_value(&parsed).unwrap();
            assert_eq!(serde_json::from_value::<SupportUrl>(json).unwrap(), parsed);
        }
    }

    #[test]
    fn all_else_is_refused() {
        for (text, expected) in [
            ("help@acme.com", Code::InvalidFormat),
            ("mailto:", Code::TooShort),
            ("mailto:help", Code::InvalidFormat),
            ("mailto:help@acme.com?subject=Hi", Code::InvalidFormat),
            ("mailto:a?bcc=b@acme.com", Code::InvalidFormat),
            ("mailto:help@acme.com#x", Code::InvalidFormat),
            ("mailto:a@acme.com,b@acme.com", Code::InvalidFormat),
            ("mailto:Acme <help@acme.com>", Code::InvalidFormat),
            ("mailto://help@acme.com/", Code::InvalidFormat),
            ("mailto:help@[127.0.0.1]", Code::InvalidFormat),
            ("mailto:help%0D%0ABcc:x@acme.com", Code::InvalidFormat),
            ("mailto:a%40b@acme.com", Code::InvalidFormat),
            ("mailto:%FF@acme.com", Code::InvalidFormat),
            ("tel:+43123", Code::NotAllowed),
            ("javascript:alert(1)", Code::NotAllowed),
            ("http://acme.com/", Code::NotAllowed),
            ("https://user@acme.com/", Code::NotAllowed),
            ("https://localhost/", Code::NotAllowed),
            (" ", Code::TooShort),
        ] {
            assert_eq!(code(text), Some(expected), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_stored_is_safe_and_parses_to_itself(
            text in "(?s:.{0,40})|mailto:[a-zA-Z.+\"@%?&=#/' -]{1,8}@[a-zA-Z0-9.ü-]{1,9}\\.com|https://acme\\.com[/?#](?s:.{0,20})"
        ) {
            if let Ok(url) = SupportUrl::from_str(&text) {
                prop_assert_eq!(url.as_str().parse(), Ok(url.clone()));
                prop_assert!(url.as_str().bytes().all(|b| b.is_ascii_graphic() && !br#""'()<>\"#.contains(&b)));
                let parsed = url::Url::parse(url.as_str()).unwrap();
                prop_assert_eq!(parsed.as_str(), url.as_str());
                let is_mail = parsed.scheme() == "mailto";
                prop_assert!(!is_mail || (parsed.query().is_none() && parsed.fragment().is_none()));
            }
        }
    }
}
