//! The configuration: the only reader of the environment.

use std::{
    env, fmt, fs,
    net::{IpAddr, SocketAddr},
    num::{NonZeroU16, NonZeroU32},
    str::FromStr,
};

use rustls_pki_types::{CertificateDer, pem::PemObject};
use url::Url;

use crate::{
    auth::{AuthConfig, ClaimNames, KeySource, RoleMap},
    http::OriginSecrets,
    models::{
        domain::{Domain, PortalDomain},
        features::FeatureDefaults,
        hostname::{HostPolicy, Hostname},
    },
};

/// The configuration of every function.
#[derive(Debug, Clone)]
pub struct Config {
    /// `TABLE_NAME`
    pub table: String,
    /// `AUTH_…`
    pub auth: AuthConfig,
    /// `PORTAL_DOMAIN`, `PORTAL_DOMAIN_TARGET`, `ALLOW_SPECIAL_USE_DOMAINS`
    pub names: HostPolicy,
    /// `PORTAL_ADDRESSES`: the values of an apex name's `A` and `AAAA` records.
    pub addresses: Vec<IpAddr>,
    /// `CERTIFICATE_AUTHORITIES`: the issuers that CAA records must allow.
    pub certificate_authorities: Vec<String>,
    /// `MAX_DOMAINS`: the limit of one agency.
    pub max_domains: NonZeroU32,
    /// `MAX_CLIENTS`: the limit of one agency.
    pub max_clients: NonZeroU32,
    /// `PORTAL_FEATURES`: the operator's own features and their defaults.
    pub features: FeatureDefaults,
    /// `DNS_…`
    pub dns: DnsConfig,
    /// `EDGE_…`
    pub edge: EdgeConfig,
    /// `API_BASE_PATH`: a prefix that paths may have, `/api` for example.
    pub base_path: Option<String>,
    /// `PUBLIC_URL`: where setup links lead, without a slash at the end.
    pub public_url: Option<String>,
    /// `ORIGIN_SECRET`: what a proxy before the API sends with each request.
    pub origin_secrets: Option<OriginSecrets>,
    /// `AWS_ENDPOINT_URL_DYNAMODB`: an endpoint other than AWS's.
    pub dynamodb_endpoint: Option<String>,
    /// `AWS_REGION`
    pub region: Option<String>,
    /// DynamoDB's certificate chains to Amazon's own roots: the endpoint is that of a region of the partition `aws`, and the
    /// environment names no other endpoint, roots or proxy.
    pub has_amazon_roots: bool,
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` are set, as Lambda sets them.
    pub has_credentials: bool,
}

/// The settings of DNS queries.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// `DNS_RESOLVERS`. If empty, the system's resolvers.
    pub resolvers: Vec<SocketAddr>,
    /// `DNS_MODE`
    pub mode: DnsMode,
    /// `DNS_AUTHORITY_PORT`
    pub authority_port: u16,
    /// `DNS_ALLOW_PRIVATE`: queries may go to name servers with private addresses.
    pub allow_private: bool,
}

/// The settings of TLS handshakes with the operator's edge.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// `EDGE_ROOTS`: certificate authorities beside the public ones.
    pub roots: Vec<CertificateDer<'static>>,
    /// `EDGE_PORT`
    pub port: u16,
}

/// The servers that DNS queries go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsMode {
    /// The zone's own name servers.
    Authoritative,
    /// The resolvers.
    Recursive,
}

/// An environment variable that is missing or does not parse.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {reason}")]
pub struct ConfigError {
    variable: &'static str,
    reason: String,
}

impl ConfigError {
    fn new(variable: &'static str, reason: impl ToString) -> Self {
        let reason = reason.to_string();
        Self { variable, reason }
    }
}

/// `main` prints the `Debug` text of an error, so it is the same line as `Display`.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// The first variable that is missing or does not parse.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::parse(&|name| env::var(name).ok())
    }

    /// Reads variables through `lookup`. An empty value counts as unset.
    ///
    /// # Errors
    /// The first variable that is missing or does not parse.
    pub fn parse(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let variables = Variables(lookup);
        let portal_domain: Hostname = variables.required("PORTAL_DOMAIN")?;
        let target: Hostname = match variables.optional("PORTAL_DOMAIN_TARGET")? {
            Some(target) => target,
            None => parsed("PORTAL_DOMAIN", &format!("cname.{portal_domain}"))?,
        };
        // Otherwise tokens and subdomains would share one level, and their names could collide.
        let unfit_target = |reason| Err(ConfigError::new("PORTAL_DOMAIN_TARGET", reason));
        if target == portal_domain {
            return unfit_target("must differ from PORTAL_DOMAIN");
        }
        if target.as_str().len() > 220 {
            return unfit_target("must have at most 220 characters, to leave room for a token's label");
        }
        if target.is_registry_suffix() && !target.is_special_use() {
            return unfit_target("must be a host name of the operator, such as cname.portal.example.com");
        }
        if portal_domain.is_registry_suffix() && !portal_domain.is_special_use() {
            let reason = "must be a host name of the operator, such as portal.example.com";
            return Err(ConfigError::new("PORTAL_DOMAIN", reason));
        }
        variables.optional_by("AWS_LAMBDA_LOG_LEVEL", log_level)?;
        let dynamodb_endpoint = match variables.optional_by("AWS_ENDPOINT_URL_DYNAMODB", endpoint)? {
            None => variables.optional_by("AWS_ENDPOINT_URL", endpoint)?,
            url => url,
        };
        let region = match variables.optional_by("AWS_REGION", region)? {
            None => variables.optional_by("AWS_DEFAULT_REGION", region)?,
            name => name,
        };
        Ok(Self {
            table: variables.required_by("TABLE_NAME", table_name)?,
            auth: AuthConfig {
                issuer: variables.required("AUTH_ISSUER")?,
                audience: variables.required("AUTH_AUDIENCE")?,
                keys: variables.keys()?,
                claims: ClaimNames {
                    org: variables.or("AUTH_ORG_CLAIM", "org_id")?,
                    role: variables.or("AUTH_ROLE_CLAIM", "role")?,
                    audience: variables.or("AUTH_AUDIENCE_CLAIM", "aud")?,
                    client: variables.optional("AUTH_CLIENT_CLAIM")?,
                },
                roles: variables.optional::<RoleMap>("AUTH_ROLES")?.unwrap_or_default(),
            },
            names: HostPolicy {
                portal_domain,
                target,
                allow_special_use: variables.or("ALLOW_SPECIAL_USE_DOMAINS", "false")?,
            },
            addresses: variables.list("PORTAL_ADDRESSES")?,
            certificate_authorities: variables.list_by("CERTIFICATE_AUTHORITIES", certificate_authority)?,
            max_domains: variables.or("MAX_DOMAINS", "100")?,
            max_clients: variables.or("MAX_CLIENTS", "10000")?,
            features: variables
                .optional::<FeatureDefaults>("PORTAL_FEATURES")?
                .unwrap_or_default(),
            dns: DnsConfig {
                resolvers: variables.list_by("DNS_RESOLVERS", resolver)?,
                mode: variables.or("DNS_MODE", "authoritative")?,
                authority_port: variables.or::<NonZeroU16>("DNS_AUTHORITY_PORT", "53")?.get(),
                allow_private: variables.or("DNS_ALLOW_PRIVATE", "false")?,
            },
            edge: EdgeConfig {
                roots: variables
                    .optional_by("EDGE_ROOTS", edge_roots)?
                    .unwrap_or_default(),
                port: variables.or::<NonZeroU16>("EDGE_PORT", "443")?.get(),
            },
            base_path: variables.optional_by("API_BASE_PATH", base_path)?,
            public_url: variables.optional_by("PUBLIC_URL", public_url)?,
            origin_secrets: variables.optional("ORIGIN_SECRET")?,
            has_amazon_roots: dynamodb_endpoint.is_none()
                && region.as_deref().is_some_and(is_of_partition_aws)
                && OTHER_CERTIFICATES
                    .iter()
                    .all(|name| variables.text(name).is_none()),
            has_credentials: ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
                .iter()
                .all(|name| variables.text(name).is_some()),
            dynamodb_endpoint,
            region,
        })
    }

    /// A domain as the API shows it, with its records.
    pub fn show(&self, domain: Domain) -> PortalDomain {
        domain.show(&self.names, &self.addresses)
    }

    /// A path of the API with the base path.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base_path.as_deref().unwrap_or_default())
    }
}

struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.trim().is_empty())
    }

    fn optional<T: FromStr<Err: fmt::Display>>(&self, name: &'static str) -> Result<Option<T>, ConfigError> {
        self.optional_by(name, str::parse)
    }

    fn optional_by<T, E: fmt::Display>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        self.text(name)
            .map(|value| parse(value.trim()).map_err(|error| ConfigError::new(name, error)))
            .transpose()
    }

    fn required<T: FromStr<Err: fmt::Display>>(&self, name: &'static str) -> Result<T, ConfigError> {
        self.required_by(name, str::parse)
    }

    fn required_by<T, E: fmt::Display>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, ConfigError> {
        self.optional_by(name, parse)?
            .ok_or_else(|| ConfigError::new(name, "is required"))
    }

    fn or<T: FromStr<Err: fmt::Display>>(&self, name: &'static str, default: &str) -> Result<T, ConfigError> {
        parsed(name, self.text(name).as_deref().unwrap_or(default))
    }

    fn list<T: FromStr<Err: fmt::Display>>(&self, name: &'static str) -> Result<Vec<T>, ConfigError> {
        self.list_by(name, str::parse)
    }

    fn list_by<T, E: fmt::Display>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(text) = self.text(name) else {
            return Ok(Vec::new());
        };
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let entries: Vec<_> = entries
            .map(|entry| parse(entry).map_err(|error| ConfigError::new(name, error)))
            .collect::<Result<_, _>>()?;
        if entries.is_empty() {
            return Err(ConfigError::new(name, "has no entry between its commas"));
        }
        Ok(entries)
    }

    fn keys(&self) -> Result<KeySource, ConfigError> {
        const SOURCES: [&str; 3] = ["AUTH_JWKS_URL", "AUTH_JWKS", "AUTH_HS256_SECRET"];
        match SOURCES.map(|name| self.text(name)) {
            [Some(url), None, None] => Ok(KeySource::Url(parsed(SOURCES[0], &url)?)),
            [None, Some(document), None] => Ok(KeySource::Document(parsed(SOURCES[1], &document)?)),
            // White space at both ends belongs to the secret, so it is not trimmed.
            [None, None, Some(secret)] => match secret.parse() {
                Ok(secret) => Ok(KeySource::Secret(secret)),
                Err(reason) => Err(ConfigError::new(SOURCES[2], reason)),
            },
            _ => Err(ConfigError::new(
                SOURCES[0],
                "exactly one of AUTH_JWKS_URL, AUTH_JWKS and AUTH_HS256_SECRET is required",
            )),
        }
    }
}

fn parsed<T: FromStr<Err: fmt::Display>>(variable: &'static str, value: &str) -> Result<T, ConfigError> {
    let parsed = value.trim().parse();
    parsed.map_err(|error: T::Err| ConfigError::new(variable, error))
}

impl FromStr for DnsMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "authoritative" => Ok(Self::Authoritative),
            "recursive" => Ok(Self::Recursive),
            _ => Err("must be authoritative or recursive"),
        }
    }
}

/// A name by the rules of DynamoDB.
fn table_name(text: &str) -> Result<String, &'static str> {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    match (3..=255).contains(&text.len()) && text.bytes().all(is_allowed) {
        true => Ok(text.to_owned()),
        false => Err("must be 3 to 255 letters, digits, hyphens, underscores and dots"),
    }
}

/// The domain of a certificate authority, as in a CAA record (RFC 8659, section 4.2).
fn certificate_authority(text: &str) -> Result<String, String> {
    match Hostname::parse(text) {
        Ok(name) if !name.is_registry_suffix() => Ok(name.to_string()),
        _ => Err(format!("`{text}` is not a domain such as letsencrypt.org")),
    }
}

fn resolver(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => Err(format!(
            "`{text}` is not an address with a port, such as 1.1.1.1:53"
        )),
    }
}

/// Certificates in PEM (RFC 7468), or the path of a file with them.
fn edge_roots(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = match text.starts_with("-----BEGIN ") {
        true => text.to_owned(),
        false => fs::read_to_string(text).map_err(|error| format!("`{text}` cannot be read: {error}"))?,
    };
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match roots {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err("must be certificates in PEM, or the path of a file with them".to_owned()),
    }
}

/// The URL of a DynamoDB endpoint.
///
/// # Errors
/// The text is not an `http` or `https` URL, or its port is 0.
pub fn endpoint(text: &str) -> Result<String, &'static str> {
    match Url::parse(text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.port() != Some(0) => Ok(text.to_owned()),
        _ => Err("must be a URL such as http://127.0.0.1:8000"),
    }
}

fn region(text: &str) -> Result<String, &'static str> {
    match text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        true => Ok(text.to_owned()),
        false => Err("must be a region such as eu-central-1"),
    }
}

/// Variables that select other root certificates, a proxy that can have its own, or another endpoint.
const OTHER_CERTIFICATES: [&str; 8] = [
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Whether the region is one of the partition `aws`, by the pattern that the SDK's endpoint rules have for it:
/// `(us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+`.
fn is_of_partition_aws(region: &str) -> bool {
    const AREAS: [&str; 9] = ["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"];
    match region.split('-').collect::<Vec<_>>()[..] {
        [area, _, number] => AREAS.contains(&area) && number.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

/// Only a check: [`crate::telemetry::init`] reads the level.
fn log_level(text: &str) -> Result<(), &'static str> {
    let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    match levels.iter().any(|level| text.eq_ignore_ascii_case(level)) {
        true => Ok(()),
        false => Err("must be TRACE, DEBUG, INFO, WARN, ERROR or FATAL"),
    }
}

fn public_url(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).map_err(|_| PUBLIC_URL)?;
    let is_origin =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.port() != Some(0);
    match url.scheme() {
        "https" | "http" if is_origin && url.username().is_empty() && url.password().is_none() => {
            Ok(url.as_str().trim_end_matches('/').to_owned())
        }
        _ => Err(PUBLIC_URL),
    }
}

const PUBLIC_URL: &str = "must be a URL without a path, such as https://api.example.com";

fn base_path(text: &str) -> Result<String, &'static str> {
    let path = text.trim_end_matches('/');
    let is_plain_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let plain = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain_byte);
    let mut segments = path.split('/');
    if segments.next() != Some("") || !segments.clone().all(plain) || segments.clone().count() == 0 {
        return Err("must be a path such as /api");
    }
    if matches!(segments.next(), Some("agency" | "portal" | "health")) {
        return Err("must not begin with /agency, /portal or /health");
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that must be set, with these variables over it.
    fn parse(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let least = [
            ("TABLE_NAME", "agency"),
            ("AUTH_ISSUER", "https://id.example.com/"),
            ("AUTH_AUDIENCE", "agency-api"),
            ("AUTH_HS256_SECRET", "0123456789abcdef0123456789abcdef"),
            ("PORTAL_DOMAIN", "portal.example.com"),
        ];
        Config::parse(&|name| {
            let mut all = variables.iter().chain(&least);
            all.find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        let config = parse(&[("MAX_DOMAINS", ""), ("DNS_MODE", " "), ("API_BASE_PATH", "")]).unwrap();
        assert_eq!(config.names.target.as_str(), "cname.portal.example.com");
        assert!(!config.names.allow_special_use && !config.dns.allow_private);
        assert_eq!(
            (config.max_domains.get(), config.max_clients.get()),
            (100, 10_000)
        );
        assert_eq!((config.dns.authority_port, config.edge.port), (53, 443));
        assert_eq!(config.dns.mode, DnsMode::Authoritative);
        assert!(config.dns.resolvers.is_empty() && config.addresses.is_empty());
        assert!(config.features.is_empty());
        assert_eq!(
            (config.base_path, config.dynamodb_endpoint, config.region),
            (None, None, None)
        );
    }

    #[test]
    fn lists_are_parted_at_commas() {
        let config = parse(&[
            ("PORTAL_ADDRESSES", "192.0.2.1, 2001:db8::1,"),
            ("DNS_RESOLVERS", "192.0.2.53:53,[2001:db8::53]:5353"),
            ("API_BASE_PATH", "/api/v1/"),
        ])
        .unwrap();
        assert_eq!(config.addresses.len(), 2);
        assert_eq!(config.dns.resolvers.len(), 2);
        assert_eq!(config.path("/agency/clients"), "/api/v1/agency/clients");
    }

    #[test]
    fn what_does_not_parse_is_one_line_that_names_the_variable() {
        let long = format!("{}.example.com", ["a"; 110].join("."));
        for (variable, value) in [
            ("TABLE_NAME", ""),
            ("TABLE_NAME", "a b"),
            ("TABLE_NAME", "ab"),
            ("AWS_REGION", "x y"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "127.0.0.1:8000"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "ftp://127.0.0.1"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:0"),
            ("AWS_ENDPOINT_URL", "http://:8000"),
            ("PUBLIC_URL", "https://api.example.com:0"),
            ("AWS_LAMBDA_LOG_LEVEL", "LOUD"),
            ("AUTH_ISSUER", " "),
            ("AUTH_HS256_SECRET", "short"),
            ("AUTH_ROLES", "admin=god"),
            ("PORTAL_DOMAIN", "a b"),
            ("PORTAL_DOMAIN", "com"),
            ("PORTAL_DOMAIN", "co.uk"),
            ("PORTAL_DOMAIN_TARGET", "com"),
            ("PORTAL_DOMAIN_TARGET", "co.uk"),
            ("CERTIFICATE_AUTHORITIES", "http://letsencrypt.org"),
            ("CERTIFICATE_AUTHORITIES", "letsencrypt"),
            ("CERTIFICATE_AUTHORITIES", "letsencrypt.org,co.uk"),
            ("CERTIFICATE_AUTHORITIES", "letsencrypt.org pki.goog"),
            ("PORTAL_ADDRESSES", ","),
            ("PORTAL_DOMAIN_TARGET", "portal.example.com"),
            ("PORTAL_DOMAIN_TARGET", &long),
            ("PORTAL_ADDRESSES", "192.0.2"),
            ("MAX_DOMAINS", "-1"),
            ("MAX_DOMAINS", "0"),
            ("MAX_CLIENTS", "0"),
            ("PORTAL_FEATURES", ","),
            ("PORTAL_FEATURES", "invoices"),
            ("PORTAL_FEATURES", "invoices=on"),
            ("PORTAL_FEATURES", "a b=true"),
            ("PORTAL_FEATURES", "a\nb=true"),
            ("PORTAL_FEATURES", "a=true,a=true"),
            ("DNS_RESOLVERS", "192.0.2.53"),
            ("DNS_RESOLVERS", "192.0.2.53:0"),
            ("DNS_RESOLVERS", ","),
            ("DNS_MODE", "both"),
            ("DNS_AUTHORITY_PORT", "65536"),
            ("DNS_AUTHORITY_PORT", "0"),
            ("DNS_ALLOW_PRIVATE", "yes"),
            ("EDGE_ROOTS", "/no/such/file.pem"),
            ("EDGE_ROOTS", "-----BEGIN CERTIFICATE-----"),
            (
                "EDGE_ROOTS",
                "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----",
            ),
            ("EDGE_PORT", "https"),
            ("EDGE_PORT", "0"),
            ("ALLOW_SPECIAL_USE_DOMAINS", "1"),
            ("API_BASE_PATH", "api"),
            ("API_BASE_PATH", "/"),
            ("API_BASE_PATH", "/agency"),
            ("API_BASE_PATH", "/a//b"),
            ("API_BASE_PATH", "/../a"),
            ("ORIGIN_SECRET", "short"),
        ] {
            let error = parse(&[(variable, value)]).unwrap_err();
            assert_eq!(error.variable, variable, "{value}: {error}");
            assert_eq!(format!("{error:?}"), error.to_string());
            assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn keys_come_from_one_place() {
        for (variable, value) in [
            ("AUTH_JWKS_URL", "https://id.example.com/jwks"),
            ("AUTH_JWKS", "{\"keys\":[]}"),
        ] {
            assert_eq!(parse(&[(variable, value)]).unwrap_err().variable, "AUTH_JWKS_URL");
        }
        assert_eq!(
            parse(&[("AUTH_HS256_SECRET", "")]).unwrap_err().variable,
            "AUTH_JWKS_URL"
        );
    }

    #[test]
    fn credentials_are_a_key_and_its_secret() {
        let has = |id, secret| {
            parse(&[("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)])
                .unwrap()
                .has_credentials
        };
        assert!(has("id", "secret"));
        for (id, secret) in [("", ""), ("id", " "), ("", "secret")] {
            assert!(!has(id, secret), "{id:?} {secret:?}");
        }
    }

    #[test]
    fn amazons_roots_are_for_the_endpoints_of_the_partition_aws() {
        let has = |variables: &[(&str, &str)]| parse(variables).unwrap().has_amazon_roots;
        for region in ["eu-central-1", "us-east-1", "ap-southeast-7"] {
            assert!(has(&[("AWS_REGION", region), ("SSL_CERT_FILE", "")]), "{region}");
        }
        assert!(!has(&[]));
        for region in [
            "cn-north-1",
            "us-gov-west-1",
            "us-iso-east-1",
            "us-isob-east-1",
            "eu-isoe-west-1",
            "eusc-de-east-1",
            "eu-central",
        ] {
            assert!(!has(&[("AWS_REGION", region)]), "{region}");
        }
        let endpoint = "https://dynamodb.internal.example.com";
        let endpoints = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"].map(|name| (name, endpoint));
        let others = OTHER_CERTIFICATES.map(|name| (name, "/set"));
        for other in endpoints.into_iter().chain(others) {
            assert!(!has(&[other, ("AWS_REGION", "eu-central-1")]), "{other:?}");
        }
    }

    #[test]
    fn a_public_url_is_an_origin() {
        for (text, expected) in [
            ("https://api.example.com", Some("https://api.example.com")),
            ("https://api.example.com/", Some("https://api.example.com")),
            ("http://127.0.0.1:3000", Some("http://127.0.0.1:3000")),
            ("https://api.example.com/v1", None),
            ("https://api.example.com?x", None),
            ("https://a@api.example.com", None),
            ("https://:a@api.example.com", None),
            ("ftp://api.example.com", None),
            ("api.example.com", None),
        ] {
            assert_eq!(public_url(text).ok().as_deref(), expected, "{text}");
        }
    }
}
