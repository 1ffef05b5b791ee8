//! DNS: gathers the evidence of a domain's records, from the zone's own name servers and without a cache. What follows
//! from it is decided in [`crate::decide`] and said in [`crate::findings`].

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hickory_proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use shared::{
    config::{Config, DnsConfig, DnsMode},
    models::{
        domain::Domain,
        hostname::{self, HostPolicy},
    },
    random,
};
use tokio::join;

pub(crate) mod caa;
mod client;
mod concurrency;
pub(crate) mod delegation;
pub(crate) mod evidence;
pub(crate) mod lookup;
pub mod providers;
mod proxies;
mod public;
mod session;
pub(crate) mod wire;

use client::Client;
pub(crate) use evidence::CheckResult;
use evidence::fqdn;
pub use evidence::{Evidence, Proof};
pub use session::Session;
pub use wire::Limits;

/// Messages for the look-up of the target's addresses: two types, two resolvers.
const EDGE_PACKETS: u32 = 4;
/// The port of the system's resolvers.
const PORT: u16 = 53;

/// Which servers are queried, and the limits of a check.
#[derive(Debug, Clone)]
pub struct Dns {
    resolvers: Arc<[SocketAddr]>,
    mode: DnsMode,
    authority_port: u16,
    allow_private: bool,
    pub(crate) limits: Limits,
}

/// The operator's names and addresses, which the records of a domain are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Operator<'a> {
    pub names: &'a HostPolicy,
    /// The edge's configured addresses.
    pub addresses: &'a [IpAddr],
    /// For the CAA check, which is not made if there are none.
    pub certificate_authorities: &'a [String],
}

impl<'a> From<&'a Config> for Operator<'a> {
    fn from(config: &'a Config) -> Self {
        Self {
            names: &config.names,
            addresses: &config.addresses,
            certificate_authorities: &config.certificate_authorities,
        }
    }
}

impl Operator<'_> {
    /// Whether the name is below the operator's target.
    fn is_target(&self, name: &Name) -> bool {
        let target = fqdn(self.names.target.as_str());
        target.is_some_and(|target| target.zone_of(name) && target != *name)
    }

    /// Whether the public DNS can have the name. The operator's own names are for the operator to choose.
    fn is_public(&self, name: &Name) -> bool {
        let is_special_use = || {
            let label = name.iter().next_back().unwrap_or_default();
            hostname::is_special_use(&String::from_utf8_lossy(label).to_ascii_lowercase())
        };
        self.is_target(name) || (name.iter().len() > 1 && (self.names.allow_special_use || !is_special_use()))
    }
}

/// How much a check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// A `verified` domain is renewed by two servers at random: the `CNAME` first, the `TXT` only if the `CNAME` does not
    /// prove it. Without a proof, and for the other statuses, both records are looked up at up to four servers. If the
    /// status changes, it continues as [`Self::Diagnose`].
    Scheduled,
    /// Both records at up to four servers, to decide whether the holder of a hostname keeps it.
    Holder,
    /// Both records at up to four servers, and the queries behind the finer finding codes, within the check's limits.
    Diagnose,
}

impl Dns {
    /// # Errors
    /// `DNS_RESOLVERS` is not set, and the system's configuration cannot be read or names no resolver.
    pub fn new(config: &DnsConfig) -> io::Result<Self> {
        let resolvers = match config.resolvers.is_empty() {
            false => config.resolvers.clone(),
            true => {
                let (system, _) = read_system_conf()
                    .map_err(|error| io::Error::other(format!("DNS_RESOLVERS: {error}")))?;
                let servers = system.name_servers().iter();
                servers.map(|server| SocketAddr::new(server.ip, PORT)).collect()
            }
        };
        if resolvers.is_empty() {
            return Err(io::Error::other(
                "DNS_RESOLVERS: the system's configuration names no resolver",
            ));
        }
        Ok(Self {
            resolvers: resolvers.into(),
            mode: config.mode,
            authority_port: config.authority_port,
            allow_private: config.allow_private,
            limits: Limits::default(),
        })
    }

    /// Whether the resolvers find an address of a random name below the operator's target. If not, no DNS query leaves, or the
    /// operator's wildcard record is gone.
    pub async fn resolves_target(&self, operator: &Operator<'_>, session: &Session) -> bool {
        let target = fqdn(operator.names.target.as_str());
        let Some(name) = target.and_then(|target| random_child(&target)) else {
            return false;
        };
        let client = Client::new(self, session, operator, None);
        let (v4, v6) = join!(
            client.resolve_kind(&name, RecordType::A),
            client.resolve_kind(&name, RecordType::AAAA),
        );
        let has_address = |found: Result<Vec<_>, _>| found.is_ok_and(|addresses| !addresses.is_empty());
        has_address(v4) || has_address(v6)
    }

    /// The addresses of the edge: for an apex name the configured ones, otherwise those of the domain's target, which are looked up
    /// once in a session, in the time of one query. `None`: the check has too few `packets` left.
    pub(crate) async fn edge_addresses(
        &self,
        domain: &Domain,
        operator: &Operator<'_>,
        session: &Session,
        packets: u32,
    ) -> Option<Vec<IpAddr>> {
        let configured = || operator.addresses.to_vec();
        if domain.apex.is_some() && !operator.addresses.is_empty() {
            return Some(configured());
        }
        if packets < EDGE_PACKETS {
            return None;
        }
        let find = async || {
            let token = domain.token.as_ref()?;
            let target = fqdn(&token.cname_target(operator.names))?;
            let dns = self.clone().with_limits(Limits {
                packets: EDGE_PACKETS,
                check: self.limits.query,
                ..self.limits
            });
            let client = Client::new(&dns, session, operator, None);
            let (v4, v6) = join!(
                client.resolve_kind(&target, RecordType::A),
                client.resolve_kind(&target, RecordType::AAAA),
            );
            let is_ours =
                |address: &IpAddr| client.may_query(*address) || operator.addresses.contains(address);
            let addresses = v4.into_iter().chain(v6).flatten();
            let addresses: Vec<_> = addresses.filter(is_ours).collect();
            (!addresses.is_empty()).then_some(addresses)
        };
        // A failure is kept too: otherwise each check of a sweep would wait for the resolvers, one after another.
        let find = async || find().await.unwrap_or_else(configured);
        Some(session.edge_addresses.get_or_init(find).await.clone())
    }

    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }
}

/// The child of `name` whose label is 128 random bits in hex.
fn random_child(name: &Name) -> Option<Name> {
    let label = format!("{:032x}", u128::from_be_bytes(random::bits()));
    name.prepend_label(label).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_with_the_target_and_with_special_use_domains_by_labels() {
        let names = HostPolicy {
            portal_domain: "portal.test".parse().unwrap(),
            target: "cname.portal.test".parse().unwrap(),
            allow_special_use: false,
        };
        let operator = Operator {
            names: &names,
            addresses: &[],
            certificate_authorities: &[],
        };
        let of = |labels: &str| {
            let name = Name::from_labels(labels.split('/').map(str::as_bytes)).unwrap();
            (operator.is_target(&name), operator.is_public(&name))
        };
        let odd = "\u{1}".repeat(63);
        for (labels, expected) in [
            ("a/CNAME/Portal/test", (true, true)),
            ("cname/portal/test", (false, false)),
            ("x.cname/portal/test", (false, false)),
            ("portal/acme/com", (false, true)),
            ("com", (false, false)),
            ("host/Internal", (false, false)),
            (&format!("{odd}/host/internal"), (false, false)),
        ] {
            assert_eq!(of(labels), expected, "{labels}");
        }
    }
}
