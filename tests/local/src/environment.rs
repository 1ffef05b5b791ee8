//! Environment variables, and the defaults of one machine.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The secret of local tokens. It is public, so it is for local work only.
pub const SECRET: &str = "local-only-secret-which-anyone-can-read-in-the-source";
/// The issuer of local tokens.
pub const ISSUER: &str = "https://issuer.localhost/";
/// The audience of local tokens.
pub const AUDIENCE: &str = "agency-api";
/// The default of `TABLE_NAME`.
pub const TABLE: &str = "agency";
/// The SDK needs a region. The embedded database ignores it.
pub const REGION: &str = "us-east-1";
/// The default of `PORTAL_DOMAIN`. Browsers and curl resolve each name below `localhost` to this machine. Names
/// there cannot be registered, so no custom domain of a test can be below it.
pub const PORTAL_DOMAIN: &str = "portal.localhost";

/// The default of `PUBLIC_URL`: the API at the default of `--addr`.
pub const PUBLIC_URL: &str = "http://127.0.0.1:3000";

/// Looks variables up, with defaults for one machine. An empty value counts as unset.
pub struct Environment<'a> {
    set: &'a dyn Fn(&str) -> Option<String>,
    dynamodb: Option<String>,
    dns: Option<SocketAddr>,
    api: Option<SocketAddr>,
}

impl<'a> Environment<'a> {
    /// `set` looks a variable up: in the process's environment, or in a test's variables.
    pub fn new(set: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            set,
            dynamodb: None,
            dns: None,
            api: None,
        }
    }

    /// Replaces `AWS_ENDPOINT_URL_DYNAMODB`, even if it is set.
    #[must_use]
    pub fn dynamodb(self, endpoint: impl Into<String>) -> Self {
        Self {
            dynamodb: Some(endpoint.into()),
            ..self
        }
    }

    /// Makes this DNS server the resolver and the authoritative server, unless `DNS_RESOLVERS` is set.
    #[must_use]
    pub fn dns(self, address: SocketAddr) -> Self {
        Self {
            dns: Some(address),
            ..self
        }
    }

    /// Makes this address of the API the default of `PUBLIC_URL`.
    #[must_use]
    pub fn api(self, address: SocketAddr) -> Self {
        Self {
            api: Some(address),
            ..self
        }
    }

    /// The variable's value or default.
    pub fn get(&self, name: &str) -> Option<String> {
        if name == "AWS_ENDPOINT_URL_DYNAMODB" && self.dynamodb.is_some() {
            return self.dynamodb.clone();
        }
        self.set(name).or_else(|| self.default(name))
    }

    /// The variable's value without a default.
    pub fn set(&self, name: &str) -> Option<String> {
        (self.set)(name).filter(|value| !value.is_empty())
    }

    fn default(&self, name: &str) -> Option<String> {
        let own_dns = self.dns.filter(|_| self.set("DNS_RESOLVERS").is_none());
        let value = match name {
            "TABLE_NAME" => TABLE,
            "AUTH_ISSUER" => ISSUER,
            "AUTH_AUDIENCE" => AUDIENCE,
            "AUTH_HS256_SECRET" if self.set("AUTH_JWKS").or(self.set("AUTH_JWKS_URL")).is_none() => SECRET,
            "PORTAL_DOMAIN" => PORTAL_DOMAIN,
            "DNS_RESOLVERS" => return own_dns.map(|address| address.to_string()),
            "DNS_AUTHORITY_PORT" => return own_dns.map(|address| address.port().to_string()),
            "DNS_ALLOW_PRIVATE" | "ALLOW_SPECIAL_USE_DOMAINS" => "true",
            "AWS_REGION" => REGION,
            "PUBLIC_URL" => {
                let api = self
                    .api
                    .map_or(PUBLIC_URL.to_owned(), |api| format!("http://{api}"));
                return Some(api);
            }
            _ => return None,
        };
        Some(value.to_owned())
    }
}

/// The address at which this machine reaches a listener: the loopback address if it listens on all addresses.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_variable_overrides_the_default_and_an_empty_one_does_not() {
        let set = |name: &str| match name {
            "TABLE_NAME" => Some("mine".to_owned()),
            "AUTH_ISSUER" => Some(String::new()),
            "AWS_ENDPOINT_URL_DYNAMODB" => Some("http://127.0.0.1:9000".to_owned()),
            _ => None,
        };
        let environment = Environment::new(&set);
        assert_eq!(environment.get("TABLE_NAME").unwrap(), "mine");
        assert_eq!(environment.get("AUTH_ISSUER").unwrap(), ISSUER);
        assert_eq!(
            environment.get("AWS_ENDPOINT_URL_DYNAMODB").unwrap(),
            "http://127.0.0.1:9000"
        );
        assert_eq!(environment.get("MAX_DOMAINS"), None);
        let environment = environment.dynamodb("http://127.0.0.1:8000");
        assert_eq!(
            environment.get("AWS_ENDPOINT_URL_DYNAMODB").unwrap(),
            "http://127.0.0.1:8000"
        );
    }

    #[test]
    fn a_set_key_source_or_resolver_removes_the_local_default() {
        let none = |_: &str| None;
        let own = Environment::new(&none).dns(([127, 0, 0, 1], 5300).into());
        assert_eq!(own.get("AUTH_HS256_SECRET").unwrap(), SECRET);
        assert_eq!(own.get("DNS_RESOLVERS").unwrap(), "127.0.0.1:5300");
        assert_eq!(own.get("DNS_AUTHORITY_PORT").unwrap(), "5300");
        assert_eq!(own.get("DNS_MODE"), None);

        let set = |name: &str| match name {
            "AUTH_JWKS" => Some("{}".to_owned()),
            "DNS_RESOLVERS" => Some("192.0.2.1:53".to_owned()),
            _ => None,
        };
        let others = Environment::new(&set).dns(([127, 0, 0, 1], 5300).into());
        assert_eq!(others.get("AUTH_HS256_SECRET"), None);
        assert_eq!(others.get("DNS_RESOLVERS").unwrap(), "192.0.2.1:53");
        assert_eq!(others.get("DNS_AUTHORITY_PORT"), None);
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_at_the_loopback_address() {
        for (listening, reached) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(reachable(listening.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
