//! Host names. The API accepts a stored name again, unchanged. `url` and `idna` convert the text to the same name. The API accepts no
//! name at or below the portal's domain or the domain of the targets.
//!
//! The input is the name. After `=`, it is a disguise of a portal's name: each byte selects how one character is written.

use std::net::Ipv4Addr;

use fuzz::Accepted;
use shared::models::{
    hostname::{HostPolicy, Hostname},
    trim,
};
use url::{Host, Url};

/// The portal's domain and the domain of the CNAME targets.
const PORTALS: [(&str, &str); 2] = [
    ("portal.agency.com", "cname.portal.agency.com"),
    ("portal.xn--bcher-kva.de", "targets.agency.net"),
];

fn main() {
    let policies = PORTALS.map(|(portal, target)| HostPolicy {
        portal_domain: portal.parse().unwrap(),
        target: target.parse().unwrap(),
        allow_special_use: false,
    });
    for (text, stored) in [
        ("portal.acme.com", "portal.acme.com"),
        ("Bücher.Acme.com.", "xn--bcher-kva.acme.com"),
    ] {
        for policy in &policies {
            let name = policy.custom_domain(text);
            assert_eq!(name.as_ref().map(Hostname::as_str), Ok(stored), "a valid name");
            assert!(check(text, policy), "{text}");
        }
    }
    let accepted = Accepted::new();
    bolero::check!().for_each(|input: &[u8]| match input.strip_prefix(b"=") {
        Some(choices) => {
            for policy in &policies {
                let text = disguise(&["a.", policy.portal_domain.as_str()].concat(), choices);
                accepted.count(check(&text, policy));
            }
        }
        None => {
            let text = String::from_utf8_lossy(input);
            let is_accepted = policies
                .each_ref()
                .map(|policy| check(&text, policy))
                .contains(&true);
            accepted.count(is_accepted);
        }
    });
}

/// Writes each character in the way that a byte selects.
fn disguise(name: &str, choices: &[u8]) -> String {
    let mut choices = choices.iter().copied().chain(std::iter::repeat(0));
    let name = name.replace("xn--bcher-kva", "bücher");
    let write = |c: char| {
        let choice = choices.next().unwrap_or_default();
        let wide =
            |first: u32, from: char| char::from_u32(first + u32::from(c) - u32::from(from)).unwrap_or(c);
        match (choice % 12, c) {
            (1, '.') => "\u{3002}".to_owned(),
            (2, '.') => "\u{FF0E}".to_owned(),
            (3, '.') => "\u{FF61}".to_owned(),
            (1, c) => c.to_uppercase().to_string(),
            (2, 'a'..='z') => wide(0xFF41, 'a').to_string(),
            (3, 'a'..='z') => wide(0x1D41A, 'a').to_string(),
            (4, 'a'..='z') => wide(0x24D0, 'a').to_string(),
            (5, 'c') => "\u{217D}".to_owned(),
            (5, 'm') => "\u{217F}".to_owned(),
            (5, 'ü') => "u\u{308}".to_owned(),
            (6, c) => format!("{c}\u{AD}"),
            (7, c) => format!("{c}\u{200B}"),
            (8, c) => format!("{c}\u{FE0F}"),
            (9, c) => format!("\u{2060}{c}"),
            (10, c) => format!("{c}."),
            (11, c) => format!("{c}\u{180D}"),
            (_, c) => c.to_string(),
        }
    };
    name.chars().map(write).collect()
}

/// Whether the policy accepts the name.
fn check(text: &str, policy: &HostPolicy) -> bool {
    let parsed = Hostname::parse(text);
    let custom = policy.custom_domain(text);
    let Ok(name) = parsed else {
        assert!(custom.is_err(), "{text:?}");
        return false;
    };
    let stored = name.as_str();
    for again in [
        stored.to_owned(),
        format!("{stored}."),
        stored.to_ascii_uppercase(),
    ] {
        assert_eq!(Hostname::parse(&again).as_ref(), Ok(&name), "{text:?}");
    }
    assert_is_host(stored);
    assert_others_agree(text, stored);
    match &custom {
        Ok(owned) => {
            assert_eq!(owned, &name, "{text:?}");
            assert_eq!(policy.custom_domain(stored).as_ref(), Ok(owned), "{text:?}");
            for own in [&policy.portal_domain, &policy.target] {
                assert!(!is_at_or_below(stored, own.as_str()), "{text:?} is {stored}");
            }
            assert!(stored.contains('.') && owned.challenge().len() <= 253, "{text:?}");
        }
        Err(_) => assert!(policy.custom_domain(stored).is_err(), "{text:?}"),
    }
    custom.is_ok()
}

/// RFC 1123, section 2.1, and RFC 1035, section 2.3.4.
fn assert_is_host(name: &str) {
    assert!(name.len() <= 253, "{name}");
    assert!(name.parse::<Ipv4Addr>().is_err(), "{name}");
    for label in name.split('.') {
        assert!((1..=63).contains(&label.len()), "{name}");
        assert!(!label.starts_with('-') && !label.ends_with('-'), "{name}");
        assert!(
            label
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')),
            "{name}"
        );
    }
}

fn assert_others_agree(text: &str, stored: &str) {
    let text = trim(text);
    let bare = text
        .strip_suffix(['.', '\u{3002}', '\u{FF0E}', '\u{FF61}'])
        .unwrap_or(text);
    for given in [bare, stored] {
        assert_eq!(
            idna::domain_to_ascii(given).ok().as_deref(),
            Some(stored),
            "{text:?}"
        );
        let url = Url::parse(&format!("https://{given}/"));
        let host = url.as_ref().ok().and_then(Url::host);
        assert_eq!(host, Some(Host::Domain(stored)), "{text:?}");
    }
    // The Unicode form is of the same name.
    let (unicode, valid) = idna::domain_to_unicode(stored);
    assert!(valid.is_ok(), "{text:?}");
    assert_eq!(
        idna::domain_to_ascii(&unicode).ok().as_deref(),
        Some(stored),
        "{text:?}"
    );
}

/// Compares the labels from the right.
fn is_at_or_below(name: &str, domain: &str) -> bool {
    let mut labels = name.rsplit('.').map(str::to_ascii_lowercase);
    domain
        .rsplit('.')
        .all(|label| labels.next().as_deref() == Some(label))
}
