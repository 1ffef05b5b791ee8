//! Host names: the parser, the policy for an agency's names, and the reserved labels.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use idna::{
    AsciiDenyList,
    uts46::{DnsLength, Hyphens, Uts46},
};
use psl::Psl;
use utoipa::ToSchema;

use super::{Code, Invalid, reject, required, serde_as_text, text::check_label, text_value, trim};

/// The Public Suffix List. `psl::List` is code of 600 kB, which is compiled again for each type of iterator over labels. This is
/// compiled once.
pub struct PublicSuffixes;

impl Psl for PublicSuffixes {
    fn find<'a, T: Iterator<Item = &'a [u8]>>(&self, mut labels: T) -> psl::Info {
        find_suffix(&mut labels)
    }
}

/// Not generic, so that no other crate compiles it again.
fn find_suffix(labels: &mut dyn Iterator<Item = &[u8]>) -> psl::Info {
    psl::List.find(labels)
}

/// A host name in lower-case A-labels, without a trailing dot, 253 octets at most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(
    value_type = String,
    min_length = 1,
    max_length = 253,
    pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$",
    example = "portal.acme.com"
)]
pub struct Hostname(String);

text_value!(Hostname);
serde_as_text!(Hostname);

impl Hostname {
    /// The longest name in octets, without the root's dot (RFC 1035, section 3.1).
    pub const MAX: usize = 253;
    /// The label before a host name in the name of the TXT record that proves ownership.
    pub const CHALLENGE: &str = "_agency-challenge";

    /// Parses a host name in any case, in Unicode or A-labels, with or without one trailing dot.
    ///
    /// Unicode is mapped by UTS #46 (non-transitional, STD3 rules, with the checks of hyphens at an end, of joiners and
    /// of bidirectional text). A single label is accepted.
    ///
    /// # Errors
    /// A code for each reason: not a host name, an IP address in any notation that a resolver or a browser accepts, or
    /// too long. The first reason is the one that a person would correct first.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = required(text)?;
        check_shape(text)?;
        let text = text.strip_suffix(DOTS).unwrap_or(text);
        // The mapping never shortens a valid name to a quarter, so a longer text need not be mapped.
        if text.chars().nth(LONGEST_SENT).is_some() {
            return reject(Code::NameTooLong, NAME_TOO_LONG);
        }
        let Some(ascii) = to_ascii(text) else {
            return reject(Code::InvalidName, why_invalid(text));
        };
        if ascii.split('.').any(str::is_empty) {
            return reject(Code::InvalidName, EMPTY_LABEL);
        }
        if ascii.len() > Self::MAX {
            return reject(Code::NameTooLong, NAME_TOO_LONG);
        }
        if ascii.split('.').any(|label| label.len() > Label::MAX) {
            let detail = "Use at most 63 characters between two dots, counted in the ASCII form.";
            return reject(Code::LabelTooLong, detail);
        }
        if ends_in_number(&ascii) {
            return reject(Code::IpAddress, IP_ADDRESS);
        }
        Ok(Self(ascii))
    }

    /// Whether this name equals `other` or is below it.
    pub fn is_at_or_under(&self, other: &Self) -> bool {
        above(&self.0, &other.0).is_some()
    }

    /// Whether the name has only one label.
    pub fn is_single_label(&self) -> bool {
        !self.0.contains('.')
    }

    /// The registrable domain by the Public Suffix List; the name itself if it has none.
    pub fn registrable(&self) -> &str {
        let domain = PublicSuffixes.domain(self.0.as_bytes());
        let start = domain.map_or(0, |domain| self.0.len() - domain.as_bytes().len());
        self.0.get(start..).unwrap_or(&self.0)
    }

    /// Whether registries sell names below this one: a single label, or a name of the Public Suffix List's section of registries.
    pub fn is_registry_suffix(&self) -> bool {
        self.is_single_label() || self.is_suffix(|suffix| suffix.typ() == Some(psl::Type::Icann))
    }

    /// Whether the whole name is such a public suffix.
    fn is_suffix(&self, is_such: impl Fn(&psl::Suffix<'_>) -> bool) -> bool {
        let suffix = PublicSuffixes.suffix(self.0.as_bytes());
        suffix.is_some_and(|suffix| suffix.as_bytes() == self.0.as_bytes() && is_such(&suffix))
    }

    /// Whether the top-level domain is for special or private use: names below it cannot be registered (RFC 6761).
    pub fn is_special_use(&self) -> bool {
        is_special_use(&self.0)
    }

    /// The name of the TXT record that proves ownership.
    pub fn challenge(&self) -> String {
        format!("{}.{self}", Self::CHALLENGE)
    }
}

impl FromStr for Hostname {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

/// One label of a subdomain: 2 to 63 of `a-z 0-9 -`, no hyphen at an end, not an A-label. Upper case is folded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, ToSchema)]
#[schema(
    value_type = String,
    min_length = 2,
    max_length = 63,
    pattern = "^[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]$",
    example = "acme"
)]
pub struct Label(String);

text_value!(Label);
serde_as_text!(Label);

impl Label {
    /// The longest label in octets (RFC 1035, section 2.3.4).
    pub const MAX: usize = 63;

    /// Whether the label is on a list of reserved labels.
    pub fn is_reserved(&self) -> bool {
        let base = self.0.trim_end_matches(|c: char| c.is_ascii_digit());
        RESERVED.contains(&self.as_str()) || RESERVED_NUMBERED.contains(&base)
    }
}

impl FromStr for Label {
    type Err = Invalid;

    /// Parses a label. Reserved labels are accepted here and rejected by [`HostPolicy::subdomain`].
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = trim(text);
        let allowed = if text.contains('.') {
            "Enter one label without a dot: only the part before the portal's domain."
        } else {
            "Use only the letters a to z, digits and hyphens."
        };
        check_label(text, |b| b.is_ascii_alphanumeric() || b == b'-', allowed)?;
        let text = text.to_ascii_lowercase();
        if text.starts_with("xn--") {
            let detail = "Remove “xn--” at the beginning. It marks an encoded label.";
            return reject(Code::InvalidFormat, detail);
        }
        Ok(Self(text))
    }
}

/// The rules for an agency's host names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPolicy {
    /// Subdomains are names directly below this name.
    pub portal_domain: Hostname,
    /// The CNAME targets of custom domains are names directly below this name.
    pub target: Hostname,
    /// Whether special-use names are accepted: for local development and tests.
    pub allow_special_use: bool,
}

impl HostPolicy {
    /// Parses a host name that an agency can own.
    ///
    /// # Errors
    /// Those of [`Hostname::parse`]; then, in this order: too long for the challenge's name, a single label, a name of
    /// the portal itself, a special-use name, a public suffix.
    pub fn custom_domain(&self, text: &str) -> Result<Hostname, Invalid> {
        let name = Hostname::parse(text)?;
        if name.challenge().len() > Hostname::MAX {
            let detail =
                "Use a shorter name. The name of the TXT record that proves ownership would be too long.";
            return reject(Code::NameTooLong, detail);
        }
        if name.is_single_label() {
            let detail = "Enter the complete host name, such as portal.example.org, not only one label.";
            return reject(Code::SingleLabel, detail);
        }
        if name.is_at_or_under(&self.portal_domain) || name.is_at_or_under(&self.target) {
            let detail =
                "This name belongs to the portal itself. Use subdomain for a name below the portal's domain.";
            return reject(Code::PortalDomain, detail);
        }
        if name.is_special_use() || is_documentation(&name) {
            if self.allow_special_use {
                return Ok(name);
            }
            let detail =
                "Use another domain. This one is for special use, and names below it cannot be registered.";
            return reject(Code::SpecialUse, detail);
        }
        // The list's rule `*` makes every other top-level domain a public suffix: TLDs are delegated faster than the list is
        // updated. If there is no such TLD, the first check finds the domain unregistered.
        if name.is_suffix(|_| true) {
            let detail = "This is a public suffix. Enter a name below it that belongs to you.";
            return reject(Code::PublicSuffix, detail);
        }
        Ok(name)
    }

    /// Parses the label of a subdomain.
    ///
    /// # Errors
    /// Those of [`Label::from_str`]; a reserved label; a label that makes the host name too long.
    pub fn subdomain(&self, text: &str) -> Result<Label, Invalid> {
        let label: Label = text.parse()?;
        let target = above(self.target.as_str(), self.portal_domain.as_str());
        let is_targets = target.and_then(|labels| labels.rsplit('.').next()) == Some(label.as_str());
        if label.is_reserved() || is_targets {
            return reject(Code::Reserved, "This subdomain is reserved. Choose another.");
        }
        if label.as_str().len() + 1 + self.portal_domain.as_str().len() > Hostname::MAX {
            return reject(Code::NameTooLong, NAME_TOO_LONG);
        }
        Ok(label)
    }

    /// The host name of a subdomain.
    pub fn hostname(&self, label: &Label) -> Hostname {
        Hostname(format!("{label}.{}", self.portal_domain))
    }
}

/// Whether the top-level domain of a lower-case name is for special use.
pub fn is_special_use(name: &str) -> bool {
    let top = name.rsplit('.').next().unwrap_or_default();
    SPECIAL_USE.contains(&top)
}

/// Top-level domains that are never delegated: those for special use (IANA's registry), those that private networks use, and
/// those that ICANN withholds for that reason. An internal resolver may have names below them.
const SPECIAL_USE: &[&str] = &[
    "alt",       // RFC 9476
    "arpa",      // RFC 3172; home.arpa: RFC 8375
    "corp",      // ICANN Board resolution 2018.02.04.12
    "example",   // RFC 6761, section 6.5
    "home",      // ICANN Board resolution 2018.02.04.12
    "internal",  // ICANN Board resolution 2024.07.29.06
    "intranet",  // RFC 6762, appendix G
    "invalid",   // RFC 6761, section 6.4
    "lan",       // RFC 6762, appendix G
    "local",     // RFC 6762
    "localhost", // RFC 6761, section 6.3
    "mail",      // ICANN Board resolution 2018.02.04.12
    "onion",     // RFC 7686
    "private",   // RFC 6762, appendix G
    "test",      // RFC 6761, section 6.2
];

/// Second-level domains for documentation (RFC 6761, section 6.5). They resolve, but cannot be registered.
const DOCUMENTATION: &[&str] = &["example.com", "example.net", "example.org"];

/// Reserved labels.
///
/// They are names that software looks up by itself, names that mail and certificate authorities trust (RFC 2142;
/// the CA/Browser Forum's baseline requirements, 3.2.2.4.4), names that a visitor would take for the operator's, and
/// names that the operator may need.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "abuse", "access", "account", "accounts", "acme-challenge", "admin", "administrator", "analytics",
    "anonymous", "api", "apis", "app", "apps", "assets", "audit", "auth", "authorize", "autoconfig",
    "autodiscover", "backend", "backup", "backups", "beta", "billing", "blog", "broadcasthost", "cache",
    "canary", "cdn", "cluster", "cname", "config", "console", "control", "cpanel", "crl", "css", "dashboard",
    "database", "db", "debug", "default", "demo", "deploy", "dev", "developer", "developers", "devops",
    "dkim", "dmarc", "dns", "docs", "documentation", "domain", "domains", "download", "downloads", "edge",
    "email", "exchange", "faq", "files", "ftp", "ftps", "gateway", "git", "grafana", "graphql", "health",
    "healthcheck", "help", "helpdesk", "hosting", "hostmaster", "http", "https", "id", "identity", "idp",
    "imap", "imaps", "img", "info", "ingress", "internal", "intranet", "invoice", "ip", "isatap", "jenkins",
    "js", "kubernetes", "ldap", "legal", "localdomain", "localhost", "login", "logout", "logs",
    "lyncdiscover", "mail", "mailer-daemon", "mailserver", "manage", "manager", "marketing", "metrics",
    "monitor", "monitoring", "mta-sts", "mx", "mysql", "news", "no-reply", "nobody", "noc", "noreply", "ns",
    "null", "oauth", "oauth2", "ocsp", "oidc", "openid", "operator", "ops", "origin", "owa", "panel",
    "password", "pay", "payment", "payments", "ping", "pki", "platform", "pop", "pop3", "pop3s", "pops",
    "portal", "portals", "postgres", "postmaster", "privacy", "prod", "production", "profile", "proxy", "qa",
    "recovery", "register", "relay", "remote", "reset", "root", "router", "s3", "sales", "saml", "sandbox",
    "scim", "secure", "security", "server", "servers", "service", "services", "settings", "setup", "sftp",
    "signin", "signup", "sip", "smtp", "smtps", "spf", "sql", "ssh", "ssl", "ssladmin", "ssladministrator",
    "sslwebmaster", "sso", "staging", "stat", "static", "stats", "status", "storage", "stun", "subdomain",
    "sudo", "support", "sysadmin", "system", "telnet", "terms", "test", "testing", "tls", "trust", "turn",
    "undefined", "unsubscribe", "update", "updates", "upload", "uploads", "usenet", "user", "users", "uucp",
    "vault", "verification", "verify", "vpn", "webdisk", "webhook", "webhooks", "webmail", "webmaster",
    "well-known", "wiki", "wpad", "www", "xmpp",
];

/// Labels that are also reserved with a number after them: `ns1`, `www2`, `mx10`.
const RESERVED_NUMBERED: &[&str] = &["dns", "ftp", "imap", "mail", "mx", "ns", "pop", "smtp", "www"];

/// The full stops that UTS #46 maps to a dot.
pub(super) const DOTS: [char; 4] = ['.', '\u{3002}', '\u{FF0E}', '\u{FF61}'];

/// The longest text that is mapped, in characters.
const LONGEST_SENT: usize = 1000;

const NAME_TOO_LONG: &str = "Use at most 253 characters, counted in the ASCII form.";
const EMPTY_LABEL: &str = "Remove empty parts: a dot must have a label before and after it.";
const IP_ADDRESS: &str = "Enter a host name, not an IP address.";

/// Rejects URLs, addresses and wildcards, with a sentence for each.
fn check_shape(text: &str) -> Result<(), Invalid> {
    if text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() || text.starts_with('[') {
        return reject(Code::IpAddress, IP_ADDRESS);
    }
    if let Some((before, after)) = text.split_once(':') {
        let is_web = before.eq_ignore_ascii_case("https") || before.eq_ignore_ascii_case("http");
        if is_web || after.starts_with("//") {
            let detail = "Enter only the host name, without https:// and without a path.";
            return reject(Code::Scheme, detail);
        }
        if after.is_empty() || after.starts_with(|c: char| c.is_ascii_digit()) {
            return reject(Code::Port, "Enter only the host name, without a port.");
        }
    }
    if text.contains(['/', '\\', '?', '#']) {
        return reject(Code::InvalidName, "Enter only the host name, without a path.");
    }
    if text.contains('@') {
        let detail = "Enter only the host name, without a user and an @.";
        return reject(Code::InvalidName, detail);
    }
    if text.contains('*') {
        let detail = "Enter one host name. Wildcards are not supported.";
        return reject(Code::Wildcard, detail);
    }
    if text.contains('_') {
        let detail = "Remove the underscores. A host name cannot have them (RFC 1123, section 2.1).";
        return reject(Code::Underscore, detail);
    }
    Ok(())
}

/// ToASCII of UTS #46, for names of any length. An A-label must decode and encode to itself.
fn to_ascii(text: &str) -> Option<String> {
    const DENIED: AsciiDenyList = AsciiDenyList::STD3;
    const HYPHENS: Hyphens = Hyphens::CheckFirstLast;
    let uts46 = Uts46::new();
    let encode = |text: &str| {
        let ascii = uts46.to_ascii(text.as_bytes(), DENIED, HYPHENS, DnsLength::Ignore);
        ascii.ok().map(|ascii| ascii.into_owned())
    };
    let ascii = encode(text)?;
    if !ascii.contains("xn--") {
        return Some(ascii);
    }
    let (unicode, decoded) = uts46.to_unicode(ascii.as_bytes(), DENIED, HYPHENS);
    decoded.ok()?;
    (encode(&unicode)? == ascii).then_some(ascii)
}

/// The sentence for a name that [`to_ascii`] rejected.
fn why_invalid(text: &str) -> &'static str {
    let has_outer_hyphen = |label: &str| label.starts_with('-') || label.ends_with('-');
    if text.split(DOTS).any(str::is_empty) {
        EMPTY_LABEL
    } else if text.contains(char::is_whitespace) {
        "Remove the spaces."
    } else if text.split(DOTS).any(has_outer_hyphen) {
        "Remove the hyphen at the beginning or at the end of a label."
    } else if text.is_ascii() && text.to_ascii_lowercase().contains("xn--") {
        "A label begins with “xn--” but is not a valid encoded label."
    } else {
        "Use only letters, digits, hyphens and dots. Letters of any script are allowed."
    }
}

/// Whether the last label is a decimal or hexadecimal number. Such a host is an IPv4 address or invalid (WHATWG URL,
/// “ends in a number checker”).
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x");
    let is_hex = hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    is_hex || last.bytes().all(|b| b.is_ascii_digit())
}

fn is_documentation(name: &Hostname) -> bool {
    let name = name.as_str();
    DOCUMENTATION.iter().any(|domain| above(name, domain).is_some())
}

/// A record's name relative to its zone, as forms of DNS providers want it: `@` for the zone itself. A name outside the
/// zone is returned unchanged.
pub fn relative_host<'a>(name: &'a str, zone: &str) -> &'a str {
    match above(name, zone) {
        Some("") => "@",
        Some(host) => host,
        None => name,
    }
}

/// The labels of `name` before `domain`: empty if both are equal, `None` if `name` is not at or below `domain`.
fn above<'a>(name: &'a str, domain: &str) -> Option<&'a str> {
    match name.strip_suffix(domain)? {
        "" => Some(""),
        labels => labels.strip_suffix('.'),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> HostPolicy {
        HostPolicy {
            portal_domain: "portal.agency.com".parse().unwrap(),
            target: "cname.portal.agency.com".parse().unwrap(),
            allow_special_use: false,
        }
    }

    fn code<T>(result: Result<T, Invalid>) -> Option<Code> {
        result.err().map(|e| e.code)
    }

    #[test]
    fn names_that_a_person_can_own_are_stored_in_ascii() {
        for (text, stored) in [
            ("portal.acme.com", "portal.acme.com"),
            ("acme.com", "acme.com"),
            ("  Portal.ACME.Com. \n", "portal.acme.com"),
            ("portal.acme.com。", "portal.acme.com"),
            ("portal。acme．com｡", "portal.acme.com"),
            ("ｐｏｒｔａｌ.acme.com", "portal.acme.com"),
            ("bücher.de", "xn--bcher-kva.de"),
            ("BU\u{308}CHER.de", "xn--bcher-kva.de"),
            ("XN--BCHER-KVA.de", "xn--bcher-kva.de"),
            ("faß.de", "xn--fa-hia.de"),
            ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
            ("☃.net", "xn--n3h.net"),
            ("💩.la", "xn--ls8h.la"),
            ("аpple.com", "xn--pple-43d.com"), // a Cyrillic first letter
            ("עברית.com", "xn--5dbqzzl.com"),
            ("例え.jp", "xn--r8jz45g.jp"),
            ("acme.公司.cn", "acme.xn--55qx5d.cn"),
            ("acme.co.uk", "acme.co.uk"),
            ("acme.github.io", "acme.github.io"),
            ("a.b.c.d.e.acme.com", "a.b.c.d.e.acme.com"),
            ("r3---sn.acme.com", "r3---sn.acme.com"),
            ("1.2.3.4.acme.com", "1.2.3.4.acme.com"),
            ("0x7f.com", "0x7f.com"),
            ("agency.com", "agency.com"),
            ("otherportal.agency.com", "otherportal.agency.com"),
            ("portal.agency.com.acme.com", "portal.agency.com.acme.com"),
            ("www.ck", "www.ck"), // an exception of the list
            // Top-level domains that the list does not have.
            ("acme.notatld", "acme.notatld"),
            ("acme.c0m", "acme.c0m"),
            ("myexample.com", "myexample.com"),
            ("so\u{AD}ft.com", "soft.com"),
        ] {
            let name = policy().custom_domain(text);
            assert_eq!(name.as_ref().map(Hostname::as_str), Ok(stored), "{text:?}");
        }
    }

    #[test]
    fn each_other_name_is_refused_with_its_own_code() {
        let long_label = format!("{}.com", "a".repeat(64));
        let long_unicode_label = format!("{}.com", "ü".repeat(60));
        let long_name = format!("{}com", "a.".repeat(126));
        let long_challenge = format!("{}com", "a.".repeat(117));
        for (text, expected) in [
            ("", Code::TooShort),
            (" \u{200B}\n", Code::TooShort),
            ("127.0.0.1", Code::IpAddress),
            ("127.0.0.1.", Code::IpAddress),
            ("127.1", Code::IpAddress),
            ("2130706433", Code::IpAddress),
            ("0x7f000001", Code::IpAddress),
            ("1.2.0x7f", Code::IpAddress),
            ("1.2.0X7F", Code::IpAddress),
            ("0xc0.0x2", Code::IpAddress),
            ("acme.0x", Code::IpAddress),
            ("0177.0.0.01", Code::IpAddress),
            ("acme.com.1", Code::IpAddress),
            ("999.999.999.999", Code::IpAddress),
            ("１２７.０.０.１", Code::IpAddress),
            ("１２７。０。０。１", Code::IpAddress),
            ("①.②.③.④", Code::IpAddress),
            ("127.0.0.1:80", Code::IpAddress),
            ("192.0.2.1:443", Code::IpAddress),
            ("::1", Code::IpAddress),
            ("2001:db8::1", Code::IpAddress),
            ("[::1]", Code::IpAddress),
            ("[::1]:443", Code::IpAddress),
            ("https://acme.com", Code::Scheme),
            ("HTTPS://portal.acme.com/login", Code::Scheme),
            ("https:acme.com", Code::Scheme),
            ("ftp://acme.com", Code::Scheme),
            ("https://*.acme.com:443", Code::Scheme),
            ("acme.com:443", Code::Port),
            ("acme.com:", Code::Port),
            ("localhost:3000", Code::Port),
            ("acme.com:443/x", Code::Port),
            ("acme.com/", Code::InvalidName),
            ("//acme.com", Code::InvalidName),
            ("acme.com?x", Code::InvalidName),
            ("acme.com#x", Code::InvalidName),
            ("acme.com\\x", Code::InvalidName),
            ("info@acme.com", Code::InvalidName),
            ("mailto:info@acme.com", Code::InvalidName),
            ("*.acme.com", Code::Wildcard),
            ("*", Code::Wildcard),
            ("a*.acme.com", Code::Wildcard),
            ("_dmarc.acme.com", Code::Underscore),
            ("my_portal.acme.com", Code::Underscore),
            (".", Code::InvalidName),
            ("..", Code::InvalidName),
            (".acme.com", Code::InvalidName),
            ("acme..com", Code::InvalidName),
            ("acme.com..", Code::InvalidName),
            ("acme.com.。", Code::InvalidName),
            ("acme.com.\u{AD}", Code::InvalidName),
            ("\u{AD}", Code::InvalidName),
            ("acme com", Code::InvalidName),
            ("acme.com portal.acme.com", Code::InvalidName),
            ("acme.com\0", Code::InvalidName),
            ("acme.c\u{202E}om", Code::InvalidName),
            ("acme\u{2024}\u{2024}com", Code::InvalidName),
            ("-acme.com", Code::InvalidName),
            ("acme-.com", Code::InvalidName),
            ("acme,com", Code::InvalidName),
            ("acme'.com", Code::InvalidName),
            ("acme%2ecom", Code::InvalidName),
            ("acme.com：443", Code::InvalidName),
            ("xn--.com", Code::InvalidName),
            ("xn--a.com", Code::InvalidName),
            ("xn--acme-.com", Code::InvalidName),
            ("xn--99999999.com", Code::InvalidName),
            ("xn--bcher-kva\u{FC}.de", Code::InvalidName),
            ("a\u{200D}b.com", Code::InvalidName), // joiner without context
            ("אa.com", Code::InvalidName),         // bidi rule
            ("\u{301}acme.com", Code::InvalidName), // begins with a mark
            (&long_label, Code::LabelTooLong),
            (&long_unicode_label, Code::LabelTooLong),
            (&long_name, Code::NameTooLong),
            (&long_challenge, Code::NameTooLong),
            (&"ü".repeat(1_000), Code::NameTooLong),
            (&"ü".repeat(60_000), Code::NameTooLong),
            ("acme", Code::SingleLabel),
            ("com", Code::SingleLabel),
            ("com.", Code::SingleLabel),
            ("notatld", Code::SingleLabel),
            ("localhost", Code::SingleLabel),
            ("test", Code::SingleLabel),
            ("portal.agency.com", Code::PortalDomain),
            ("PORTAL.agency.com.", Code::PortalDomain),
            ("acme.portal.agency.com", Code::PortalDomain),
            ("cname.portal.agency.com", Code::PortalDomain),
            ("x.cname.portal.agency.com", Code::PortalDomain),
            ("portal.acme.test", Code::SpecialUse),
            ("acme.localhost", Code::SpecialUse),
            ("acme.invalid", Code::SpecialUse),
            ("acme.example", Code::SpecialUse),
            ("portal.example.com", Code::SpecialUse),
            ("example.net", Code::SpecialUse),
            ("www.portal.example.org", Code::SpecialUse),
            ("acme.onion", Code::SpecialUse),
            ("printer.local", Code::SpecialUse),
            ("db.internal", Code::SpecialUse),
            ("router.home.arpa", Code::SpecialUse),
            ("1.0.168.192.in-addr.arpa", Code::SpecialUse),
            ("acme.alt", Code::SpecialUse),
            ("acme.corp", Code::SpecialUse),
            ("nas.lan", Code::SpecialUse),
            ("co.uk", Code::PublicSuffix),
            ("CO.UK", Code::PublicSuffix),
            ("github.io", Code::PublicSuffix),
            ("s3.amazonaws.com", Code::PublicSuffix),
            ("公司.cn", Code::PublicSuffix),
            ("anything.ck", Code::PublicSuffix),
        ] {
            assert_eq!(code(policy().custom_domain(text)), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn a_target_outside_the_portals_domain_belongs_to_the_portal() {
        let policy = HostPolicy {
            target: "cname.agency-edge.dev".parse().unwrap(),
            ..policy()
        };
        for text in [
            "cname.agency-edge.dev",
            "x.cname.agency-edge.dev",
            "acme.portal.agency.com",
        ] {
            assert_eq!(
                code(policy.custom_domain(text)),
                Some(Code::PortalDomain),
                "{text}"
            );
        }
        for text in ["agency-edge.dev", "xcname.agency-edge.dev"] {
            assert_eq!(code(policy.custom_domain(text)), None, "{text}");
        }
    }

    #[test]
    fn the_longest_names_fit_by_an_octet() {
        // 235 octets and the challenge's 18 are 253.
        let longest = format!("{}{}.com", "a.".repeat(115), "b");
        assert_eq!(longest.len(), 235);
        assert_eq!(policy().custom_domain(&longest).unwrap().challenge().len(), 253);
        assert_eq!(
            code(policy().custom_domain(&format!("b{longest}"))),
            Some(Code::NameTooLong)
        );
        let longest = format!("{}b.com", "a.".repeat(124));
        assert_eq!(longest.len(), 253);
        assert!(Hostname::parse(&longest).is_ok());
        assert_eq!(
            code(Hostname::parse(&format!("b{longest}"))),
            Some(Code::NameTooLong)
        );
        assert!(policy().custom_domain(&format!("{}.com", "a".repeat(63))).is_ok());
    }

    #[test]
    fn special_use_names_can_be_allowed() {
        let policy = HostPolicy {
            allow_special_use: true,
            ..policy()
        };
        for text in [
            "portal.acme.test",
            "acme.localhost",
            "www.example.com",
            "x.home.arpa",
            "a.internal",
        ] {
            assert_eq!(code(policy.custom_domain(text)), None, "{text}");
        }
        for (text, expected) in [
            ("test", Code::SingleLabel),
            ("localhost", Code::SingleLabel),
            ("x.portal.agency.com", Code::PortalDomain),
        ] {
            assert_eq!(code(policy.custom_domain(text)), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_lookup_reads_whatever_could_be_stored() {
        for (text, stored) in [
            ("Acme.Portal.Agency.COM.", "acme.portal.agency.com"),
            ("portal.acme.test", "portal.acme.test"),
            ("bücher.de", "xn--bcher-kva.de"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(Hostname::parse(text).as_ref().map(Hostname::as_str), Ok(stored));
        }
        assert_eq!(code(Hostname::parse("acme.com:443")), Some(Code::Port));
    }

    #[test]
    fn a_name_is_under_another_by_whole_labels() {
        let under = |a: &str, b: &str| {
            Hostname::parse(a)
                .unwrap()
                .is_at_or_under(&Hostname::parse(b).unwrap())
        };
        assert!(under("acme.com", "acme.com"));
        assert!(under("a.b.acme.com", "acme.com"));
        assert!(!under("badacme.com", "acme.com"));
        assert!(!under("acme.com", "a.acme.com"));
        assert!(!under("acme.com.au", "acme.com"));
    }

    #[test]
    fn a_subdomain_is_one_label_in_any_case() {
        for (text, stored) in [
            ("acme", "acme"),
            (" ACME-2 \n", "acme-2"),
            ("42", "42"),
            ("a--b", "a--b"),
            ("api-team", "api-team"),
            ("nsa", "nsa"),
            ("webworks", "webworks"),
            ("web3", "web3"),
        ] {
            let label = policy().subdomain(text).unwrap();
            assert_eq!(label.as_str(), stored);
            assert_eq!(
                policy().hostname(&label).as_str(),
                format!("{stored}.portal.agency.com")
            );
        }
        assert!(policy().subdomain(&"a".repeat(63)).is_ok());
    }

    #[test]
    fn all_other_subdomains_are_refused() {
        for (text, expected) in [
            ("", Code::TooShort),
            ("a", Code::TooShort),
            ("*", Code::TooShort),
            (&"a".repeat(64), Code::TooLong),
            ("acme.portal.agency.com", Code::InvalidFormat),
            ("acme.", Code::InvalidFormat),
            ("-acme", Code::InvalidFormat),
            ("acme-", Code::InvalidFormat),
            ("ac_me", Code::InvalidFormat),
            ("ac me", Code::InvalidFormat),
            ("ac\0me", Code::InvalidFormat),
            ("*acme", Code::InvalidFormat),
            ("**", Code::InvalidFormat),
            ("bücher", Code::InvalidFormat),
            ("\u{212A}elvin", Code::InvalidFormat), // lower-cases to an ASCII k
            ("xn--bcher-kva", Code::InvalidFormat),
            ("XN--n3h", Code::InvalidFormat),
            ("www", Code::Reserved),
            ("WWW", Code::Reserved),
            ("www2", Code::Reserved),
            ("ns1", Code::Reserved),
            ("mx10", Code::Reserved),
            ("api", Code::Reserved),
            ("admin", Code::Reserved),
            ("mta-sts", Code::Reserved),
            ("wpad", Code::Reserved),
            ("cname", Code::Reserved),
        ] {
            assert_eq!(code(policy().subdomain(text)), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn the_targets_own_label_is_reserved() {
        let policy = |target: &str| HostPolicy {
            target: target.parse().unwrap(),
            ..policy()
        };
        assert_eq!(
            code(policy("a.edge-in.portal.agency.com").subdomain("Edge-In")),
            Some(Code::Reserved)
        );
        assert_eq!(
            code(policy("a-1.edge-in.portal.agency.com").subdomain("a-1")),
            None
        );
        assert_eq!(code(policy("edge-in.agency.net").subdomain("edge-in")), None);
        assert_eq!(code(policy("portal.agency.com").subdomain("acme")), None);
    }

    #[test]
    fn a_subdomain_fits_below_the_portals_domain() {
        let policy = HostPolicy {
            portal_domain: format!("{}com", "a.".repeat(100)).parse().unwrap(),
            ..policy()
        };
        assert!(policy.subdomain(&"b".repeat(49)).is_ok());
        assert_eq!(code(policy.subdomain(&"b".repeat(50))), Some(Code::NameTooLong));
    }

    #[test]
    fn the_reserved_labels_are_labels_in_order() {
        assert!(RESERVED.is_sorted_by(|a, b| a < b), "unsorted");
        for text in RESERVED {
            assert_eq!(Label::from_str(text).unwrap().as_str(), *text);
        }
    }

    proptest! {
        #[test]
        fn what_is_stored_parses_to_itself(
            text in "(?s:.{0,80})|[a-zA-Z0-9.ü。\u{5D0}\u{AD}ß-]{1,20}\\.(com|de|xn--p1ai)|xn--[a-z0-9-]{1,12}\\.com"
        ) {
            if let Ok(name) = Hostname::parse(&text) {
                prop_assert!(name.as_str().bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-')));
                prop_assert_eq!(Hostname::parse(name.as_str()), Ok(name.clone()));
                let (unicode, decoded) = idna::domain_to_unicode(name.as_str());
                prop_assert!(decoded.is_ok());
                prop_assert_eq!(Hostname::parse(&unicode), Ok(name));
            }
            if let Ok(name) = policy().custom_domain(&text) {
                prop_assert_eq!(policy().custom_domain(name.as_str()), Ok(name));
            }
            if let Ok(label) = policy().subdomain(&text) {
                let name = policy().hostname(&label);
                prop_assert_eq!(Hostname::parse(name.as_str()), Ok(name));
            }
        }
    }
}
