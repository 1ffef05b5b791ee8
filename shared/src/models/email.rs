//! The sender address of an agency's email.

use std::str::FromStr;

use email_address::EmailAddress;
use utoipa::ToSchema;

use super::{
    Code, Invalid,
    hostname::{self, Hostname},
    reject, required, serde_as_text, text_value, trim,
};

/// One mailbox (RFC 5321, section 4.1.2): a dot-string of ASCII, `@`, and a domain of two labels or more.
///
/// The local part is kept as sent, because its case can matter (section 2.4). The domain is stored in lower-case
/// A-labels, which every mailer accepts. The parser does not prove that the address exists or may be used.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[schema(
    value_type = String,
    min_length = 3,
    max_length = 254,
    pattern = r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[^\s/\\?#@:*_\[\]]+[.\u3002\uFF0E\uFF61][^\s/\\?#@:*_\[\]]+$",
    example = "hello@acme.com"
)]
pub struct FromEmail(String);

text_value!(FromEmail);
serde_as_text!(FromEmail);

impl FromEmail {
    /// The longest address in octets: a path of 256 without its angle brackets (RFC 5321, section 4.5.3.1.3).
    pub const MAX: usize = 254;
    /// The longest local part in octets (RFC 5321, section 4.5.3.1.1).
    pub const MAX_LOCAL: usize = 64;
}

impl FromStr for FromEmail {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const FORMAT: Code = Code::InvalidFormat;
        let text = required(text)?;
        // The last `@` separates the parts. An earlier one could only be quoted, and quotes are rejected below.
        let Some((local, domain)) = text.rsplit_once('@') else {
            return reject(FORMAT, "Enter an email address with an @.");
        };
        if text.ends_with('>') {
            let detail = "Enter the address without a display name and without angle brackets.";
            return reject(FORMAT, detail);
        }
        if domain.starts_with('[') {
            return reject(FORMAT, "Enter a domain after the @, not an IP address.");
        }
        if local.starts_with('"') {
            return reject(FORMAT, "Remove the quotation marks before the @.");
        }
        if local.len() > Self::MAX_LOCAL {
            return reject(Code::TooLong, "Use at most 64 characters before the @.");
        }
        if !local.is_ascii() || !EmailAddress::is_valid_local_part(local) {
            let detail = "Before the @, use only the letters a to z, digits and !#$%&'*+-/=?^_`{|}~, with single dots between them.";
            return reject(FORMAT, detail);
        }
        // A host name may have a trailing dot and white space around it. An email address may not.
        let is_bare = trim(domain) == domain && !domain.ends_with(hostname::DOTS);
        let domain = match Hostname::parse(domain) {
            Ok(domain) if is_bare && !domain.is_single_label() => domain,
            Err(invalid) if invalid.code == Code::NameTooLong => {
                return reject(Code::TooLong, ADDRESS_TOO_LONG);
            }
            _ => return reject(FORMAT, "Enter a complete domain after the @, such as acme.com."),
        };
        let address = format!("{local}@{domain}");
        if address.len() > Self::MAX {
            return reject(Code::TooLong, ADDRESS_TOO_LONG);
        }
        Ok(Self(address))
    }
}

const ADDRESS_TOO_LONG: &str = "Use an email address of at most 254 characters.";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> Option<Code> {
        FromEmail::from_str(text).err().map(|e| e.code)
    }

    #[test]
    fn one_address_is_stored_with_its_domain_in_ascii() {
        for (text, stored) in [
            ("hello@acme.com", "hello@acme.com"),
            (" Hello@ACME.com\n", "Hello@acme.com"),
            ("first.last+tag@mail.acme.co.uk", "first.last+tag@mail.acme.co.uk"),
            ("info@bücher.de", "info@xn--bcher-kva.de"),
            ("info@xn--bcher-kva.de", "info@xn--bcher-kva.de"),
            ("info@例え。jp", "info@xn--r8jz45g.jp"),
            ("!#$%&'*+-/=?^_`{|}~@acme.com", "!#$%&'*+-/=?^_`{|}~@acme.com"),
            ("noreply@example.com", "noreply@example.com"),
            ("a@b.test", "a@b.test"),
        ] {
            assert_eq!(FromEmail::from_str(text).unwrap().as_str(), stored);
        }
    }

    #[test]
    fn all_else_is_refused() {
        for text in [
            "acme.com",
            "@acme.com",
            "hello@",
            "@",
            "Acme <hello@acme.com>",
            "<hello@acme.com>",
            "\"Acme\" <hello@acme.com>",
            "hello@acme.com (Acme)",
            "\"hello\"@acme.com",
            "\"a@b\"@acme.com",
            "hello@[127.0.0.1]",
            "hello@[IPv6:::1]",
            "hello@127.0.0.1",
            "hello@1.2.0x7f",
            "hello@localhost",
            "hello@acme.com.",
            "hello@acme.com。",
            "hello@acme..com",
            "hello@.acme.com",
            "hello@-acme.com",
            "hello@ac_me.com",
            "hello@acme.com:25",
            "hello@https://acme.com",
            "hello@acme.com,info@acme.com",
            "hello@acme.com info@acme.com",
            "hello@acme.com;",
            "a@b@acme.com",
            ".hello@acme.com",
            "hello.@acme.com",
            "hel..lo@acme.com",
            "hel lo@acme.com",
            "hel\tlo@acme.com",
            "hello@acme.com\r\nBcc: x@acme.com",
            "hello\0@acme.com",
            "hello@acme.com\0",
            "hello @acme.com",
            "hello@ acme.com",
            "hello@\u{FEFF} acme.com",
            "höllo@acme.com",
            "a,b@acme.com",
            "a(b)@acme.com",
            "a\\b@acme.com",
            "mailto:hello@acme.com",
        ] {
            assert_eq!(code(text), Some(Code::InvalidFormat), "{text:?}");
        }
        assert_eq!(code(" \u{200B}"), Some(Code::TooShort));
    }

    #[test]
    fn the_parts_and_the_whole_have_their_limits() {
        let local = "a".repeat(64);
        let domain = format!("{}com", "b.".repeat(93));
        let longest = format!("{local}@{domain}");
        assert_eq!(longest.len(), 254);
        assert_eq!(code(&longest), None);
        assert_eq!(code(&format!("{local}@b{domain}")), Some(Code::TooLong));
        assert_eq!(code(&format!("a{local}@acme.com")), Some(Code::TooLong));
        assert_eq!(code(&format!("a@{}com", "b.".repeat(200))), Some(Code::TooLong));
        assert_eq!(
            code(&format!("a@{}.com", "b".repeat(64))),
            Some(Code::InvalidFormat)
        );
        // Octets count as stored: this domain is longer in ASCII.
        let domain = format!("{}com", "ü.".repeat(24));
        assert_eq!(code(&format!("{local}@{domain}")), Some(Code::TooLong));
        assert_eq!(code(&"@".repeat(60_000)), Some(Code::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_stored_parses_to_itself(
            text in "(?s:.{0,40})|[a-zA-Z.+\"@ -]{1,8}@[a-zA-Z0-9.ü。-]{1,12}\\.(com|de|1)"
        ) {
            if let Ok(email) = FromEmail::from_str(&text) {
                prop_assert_eq!(email.as_str().parse(), Ok(email.clone()));
                prop_assert!(email.as_str().bytes().all(|b| b.is_ascii_graphic()));
                prop_assert_eq!(email.as_str().matches('@').count(), 1);
            }
        }
    }
}
