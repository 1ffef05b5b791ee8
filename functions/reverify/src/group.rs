//! Which checks share a concurrency limit.

use std::sync::Arc;

use shared::models::domain::Domain;

/// Domains whose checks ask the same name servers. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Group(Arc<str>);

impl Group {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name servers that the domain's last check found, in any order; else the registrable domain, because the
    /// names below it have the same servers as a rule.
    pub(crate) fn of(domain: &Domain) -> Self {
        match &domain.check {
            Some(check) if !check.nameservers.is_empty() => {
                let mut servers: Vec<_> = check.nameservers.iter().map(String::as_str).collect();
                servers.sort_unstable();
                Self::new(&servers.join(" "))
            }
            _ => Self::new(domain.hostname.registrable()),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::models::{
        domain::{Check, Token},
        id::DomainId,
        time::Timestamp,
    };

    use super::*;

    fn group(hostname: &str, nameservers: &[&str]) -> Group {
        let now = Timestamp::from_millis(0);
        let (org, hostname) = ("org_a".parse().unwrap(), hostname.parse().unwrap());
        let mut domain = Domain::custom(DomainId::new(now), org, hostname, Token::new([0; 16]), now);
        domain.check = Some(Check {
            checked_at: None,
            next_check_at: None,
            attempts: 0,
            zone: None,
            nameservers: nameservers.iter().map(ToString::to_string).collect(),
            provider: None,
            provider_url: None,
            problem: None,
            findings: Vec::new(),
        });
        Group::of(&domain)
    }

    #[test]
    fn the_same_name_servers_in_another_order_are_the_same_group() {
        let servers = ["ns1.provider.test", "ns2.provider.test"];
        let other_order = ["ns2.provider.test", "ns1.provider.test"];
        assert_eq!(
            group("a.acme.test", &servers),
            group("b.other.test", &other_order)
        );
        assert_ne!(
            group("a.acme.test", &servers),
            group("a.acme.test", &servers[..1])
        );
    }

    #[test]
    fn without_name_servers_the_registrable_domain_is_the_group() {
        assert_eq!(group("a.acme.co.uk", &[]), group("b.c.acme.co.uk", &[]));
        assert_ne!(group("a.acme.co.uk", &[]), group("a.other.co.uk", &[]));
    }
}
