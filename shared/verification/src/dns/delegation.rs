//! Delegations: which name servers a zone has, according to its parent zone's servers. The resolver only helps to find
//! those.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType},
};
use psl::Psl;
use shared::{models::hostname::PublicSuffixes, random};

use super::{
    client::Client,
    lookup::{Response, most_specific},
    session::ServerSet,
    wire::Failure,
};

/// Referrals followed for one name.
pub(super) const MAX_REFERRALS: usize = 8;
/// Servers of a parent zone, chosen at random, that are queried until one responds.
const PARENT_SERVERS: usize = 3;

/// A zone and its name servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delegation {
    pub zone: Name,
    /// Sorted by name, never empty.
    pub servers: Vec<Server>,
    pub names: ServerSet,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub name: Name,
    /// The addresses that came with the delegation.
    glue: Vec<IpAddr>,
}

impl Delegation {
    /// The NS records of `zone` among `records`. Only glue at or below `parent`, the zone of the responding server, is
    /// used: the server has no authority over other names (RFC 2181, section 5.4.1).
    pub fn read(zone: &Name, records: &[Record], additionals: &[Record], parent: &Name) -> Option<Self> {
        let mut servers = BTreeMap::new();
        for record in records.iter().filter(|record| record.name == *zone) {
            if let RData::NS(name) = &record.data {
                servers.insert(name.0.to_lowercase(), Vec::new());
            }
        }
        for record in additionals.iter().filter(|record| parent.zone_of(&record.name)) {
            if let (Some(glue), Some(address)) = (servers.get_mut(&record.name), record.data.ip_addr()) {
                glue.push(address);
            }
        }
        let servers: Vec<_> = servers
            .into_iter()
            .map(|(name, glue)| Server { name, glue })
            .collect();
        (!servers.is_empty()).then(|| Self {
            zone: zone.to_lowercase(),
            names: servers.iter().map(|server| server.name.clone()).collect(),
            servers,
        })
    }

    /// The referral that a server of `zone` gives for `name`. Some servers set the AA bit in a referral; what tells it from
    /// NODATA is that it has neither an answer nor an SOA record (RFC 2308, section 2.2).
    pub fn from_referral(message: &Message, zone: &Name, name: &Name) -> Option<Self> {
        let is_referral = message.metadata.response_code == ResponseCode::NoError
            && message.answers.is_empty()
            && soa_owner(message).is_none();
        let child = message
            .authorities
            .iter()
            .find(|record| record.record_type() == RecordType::NS && is_between(zone, &record.name, name))?;
        let read = || Self::read(&child.name, &message.authorities, &message.additionals, zone);
        is_referral.then(read).flatten()
    }

    /// The delegation with the glue that both have; `None` if they disagree. A server without common glue is resolved, for
    /// which the resolver may ask just one of the zones' servers. So these disagree: other addresses, and no address of a
    /// server at or below the zone, because a referral must have it (RFC 9471).
    pub fn common(&self, other: &Self) -> Option<Self> {
        let mut common = self.clone();
        for (server, other) in common.servers.iter_mut().zip(&other.servers) {
            let disagree = match (server.glue.is_empty(), other.glue.is_empty()) {
                (true, true) => false,
                (false, false) => !server.glue.iter().any(|address| other.glue.contains(address)),
                _ => self.zone.zone_of(&server.name),
            };
            if disagree {
                return None;
            }
            server.glue.retain(|address| other.glue.contains(address));
        }
        (self.zone == other.zone && self.names == other.names).then_some(common)
    }

    #[cfg(test)]
    pub fn of_test(zone: &str, server: &str) -> Self {
        use hickory_proto::rr::rdata::NS;
        let [zone, server] = [zone, server].map(|name| Name::from_ascii(name).unwrap());
        let ns = Record::from_rdata(zone.clone(), 60, RData::NS(NS(server)));
        Self::read(&zone, &[ns], &[], &Name::root()).unwrap()
    }

    /// Up to `count` servers at random.
    pub fn choose(&self, count: usize) -> Vec<&Server> {
        let mut servers: Vec<_> = self.servers.iter().collect();
        shuffle(&mut servers);
        servers.truncate(count);
        servers
    }
}

/// The zone that a negative response belongs to.
fn soa_owner(message: &Message) -> Option<&Name> {
    let is_soa = |record: &&Record| record.record_type() == RecordType::SOA;
    Some(&message.authorities.iter().find(is_soa)?.name)
}

/// The zone of a negative response, if it is a child of `zone` that the same server hosts: then the server answers from
/// the child zone and sends no referral.
pub(super) fn same_server_child<'m>(message: &'m Message, zone: &Name, name: &Name) -> Option<&'m Name> {
    soa_owner(message).filter(|owner| is_between(zone, owner, name))
}

/// Whether `middle` is below `above`, and `name` is at or below `middle`.
pub(super) fn is_between(above: &Name, middle: &Name, name: &Name) -> bool {
    above.zone_of(middle) && above != middle && middle.zone_of(name)
}

/// The name's registrable domain: one label below a public suffix. A public suffix itself is returned as it is.
pub(crate) fn registrable(name: &Name) -> Name {
    let name = name.to_lowercase();
    let mut left = suffix(&name).len;
    // The length of a suffix in octets includes a dot between two labels.
    let labels = name.iter().rev().take_while(|label| {
        let is_suffix = left > 0;
        left = left.saturating_sub(label.len() + 1);
        is_suffix
    });
    let count = labels.count() + 1;
    name.trim_to(count.min(name.iter().len()))
}

/// Whether the name is below a public suffix of the list's private section, where no registry answers for it.
pub(super) fn is_under_private_suffix(name: &Name) -> bool {
    suffix(&name.to_lowercase()).typ == Some(psl::Type::Private)
}

/// The public suffix of a lower-case name. It is found by labels, because a label may have a dot in it.
fn suffix(name: &Name) -> psl::Info {
    PublicSuffixes.find(name.iter().rev())
}

/// The name in presentation format (RFC 1035, section 5.1), in lower case, without the trailing dot, at most 255 characters:
/// an escaped octet takes four, and the item of a domain must stay small.
pub(crate) fn text(name: &Name) -> String {
    let mut text = String::new();
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            match byte.to_ascii_lowercase() {
                // They have a meaning in a zone file, or separate labels.
                byte if b".\\\";()@$".contains(&byte) => text.extend(['\\', char::from(byte)]),
                byte if byte.is_ascii_graphic() => text.push(char::from(byte)),
                byte => text += &format!("\\{byte:03}"),
            }
        }
    }
    text.truncate(255);
    text
}

impl Client<'_> {
    /// The closest known delegation at or above `name`, but not above its registrable domain. If none is known, the
    /// delegation is asked of the parent zones' servers. Zones below it answer with referrals later.
    pub async fn delegation(&self, name: &Name) -> Result<Arc<Delegation>, Failure> {
        let registrable = registrable(name);
        let mut ancestor = name.to_lowercase();
        while registrable.zone_of(&ancestor) {
            if let Some(known) = self.session.known_delegation(&ancestor) {
                return Ok(known);
            }
            if ancestor.is_root() {
                break;
            }
            ancestor = ancestor.base_name();
        }
        if registrable.iter().len() <= 1 {
            return self.top_level(&registrable).await;
        }
        let cell = self.session.delegation(&registrable);
        self.once(&cell, async || self.descend(&registrable).await).await
    }

    /// Follows referrals from the top-level domain, or a zone known below it, to the zone that `target` is in.
    async fn descend(&self, target: &Name) -> Result<Arc<Delegation>, Failure> {
        let mut ancestor = target.base_name();
        let mut parent = loop {
            match self.session.known_delegation(&ancestor) {
                Some(known) => break known,
                None if ancestor.iter().len() > 1 => ancestor = ancestor.base_name(),
                None => break self.top_level(&ancestor).await?,
            }
        };
        for _ in 0..MAX_REFERRALS {
            match self.child(&parent, target).await? {
                Some(child) if child.zone == *target => return Ok(Arc::new(child)),
                Some(child) => {
                    parent = Arc::new(child);
                    self.session.remember(&parent);
                }
                None => return Ok(parent),
            }
        }
        Ok(parent)
    }

    /// The delegation of a top-level domain, else of the root. The resolver may answer from its cache: customers cannot
    /// change these delegations.
    async fn top_level(&self, domain: &Name) -> Result<Arc<Delegation>, Failure> {
        let cell = self.session.delegation(domain);
        let find = async || {
            for zone in [domain.clone(), Name::root()] {
                let message = self.resolver(&zone, RecordType::NS, true).await?;
                if let Some(delegation) = Delegation::read(&zone, &message.answers, &[], &zone) {
                    return Ok(Arc::new(delegation));
                }
            }
            Err(Failure::Lame)
        };
        self.once(&cell, find).await
    }

    /// The next delegation on the way from `parent` to `target`; `None` if `target` is in the zone `parent` itself. One
    /// server is enough: down to the registrable domain its operator, as a rule a registry, keeps them equal.
    async fn child(&self, parent: &Delegation, target: &Name) -> Result<Option<Delegation>, Failure> {
        let mut failures = Vec::new();
        for server in parent.choose(PARENT_SERVERS) {
            match self.ask(parent, server, target, RecordType::NS, false).await {
                Ok(response) => {
                    self.note(parent, true);
                    return Ok(match response {
                        Response::Referral(child) => Some(child),
                        _ => None,
                    });
                }
                Err(failure) => failures.push(failure),
            }
        }
        if failures.iter().all(|failure| *failure == Failure::Timeout) {
            self.note(parent, false);
        }
        Err(most_specific(failures))
    }

    /// The delegation of a child zone that this server hosts too.
    pub async fn resolve_same_server_child(
        &self,
        parent: &Delegation,
        server: &Server,
        zone: &Name,
    ) -> Option<Delegation> {
        let query = |address| self.authority(parent, address, zone, RecordType::NS, false);
        let message = self.at_addresses(server, query).await.ok()?;
        Delegation::read(zone, &message.answers, &message.additionals, &parent.zone)
    }

    /// Asks a server at its addresses in turn, IPv4 first, until a query succeeds. The failure is the most specific one.
    pub async fn at_addresses<T, F>(&self, server: &Server, query: impl Fn(IpAddr) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        if self.timed_out(&server.name) {
            return Err(Failure::Timeout);
        }
        let mut failures = Vec::new();
        for family in [RecordType::A, RecordType::AAAA] {
            match self.addresses(server, family).await {
                Ok(addresses) => {
                    for address in addresses {
                        match query(address).await {
                            Err(failure) => failures.push(failure),
                            found => return found,
                        }
                    }
                }
                Err(failure) => failures.push(failure),
            }
            // A resolver that fails for one family only takes the check's time for the other one.
            if failures.contains(&Failure::BudgetExhausted) || failures.contains(&Failure::Resolver) {
                break;
            }
        }
        let failure = most_specific(failures);
        if failure == Failure::Timeout {
            self.note_timeout(&server.name);
        }
        Err(failure)
    }

    /// Up to `count` servers at random, those last that timed out in this check.
    pub fn responsive_servers<'d>(&self, delegation: &'d Delegation, count: usize) -> Vec<&'d Server> {
        let mut servers = delegation.choose(usize::MAX);
        servers.sort_by_key(|server| self.timed_out(&server.name));
        servers.truncate(count);
        servers
    }

    /// The server's addresses of one family that may be queried, in random order. They are resolved, unless the glue has
    /// them or has only IPv4 addresses.
    async fn addresses(&self, server: &Server, family: RecordType) -> Result<Vec<IpAddr>, Failure> {
        let is_v4 = family == RecordType::A;
        let of_family = |address: &&IpAddr| address.is_ipv4() == is_v4;
        let glue: Vec<_> = server.glue.iter().filter(of_family).copied().collect();
        let mut addresses = match !glue.is_empty() || (!is_v4 && !server.glue.is_empty()) {
            true => glue,
            false => self.resolve(&server.name, family).await?,
        };
        let all = addresses.len();
        addresses.retain(|address| self.may_query(*address));
        shuffle(&mut addresses);
        match addresses.is_empty() {
            true if all > 0 => Err(Failure::PrivateAddress),
            true => Err(Failure::NoAddress),
            false => Ok(addresses),
        }
    }

    /// A name server's addresses of one family, by the resolver.
    async fn resolve(&self, name: &Name, family: RecordType) -> Result<Vec<IpAddr>, Failure> {
        let server = (name.clone(), family);
        if let Some(failure) = self.unresolved(&server) {
            return Err(failure);
        }
        let cell = self.session.addresses(&server);
        let found = self.once(&cell, async || self.resolve_kind(name, family).await);
        found.await.map_err(|failure| {
            let failure = match failure {
                // The zone of the server's name fails, not the server.
                Failure::Code(_) => Failure::NoAddress,
                failure => failure,
            };
            self.note_unresolved(server, failure);
            failure
        })
    }

    /// The addresses of one family, by the resolver, which follows aliases.
    pub async fn resolve_kind(&self, name: &Name, kind: RecordType) -> Result<Vec<IpAddr>, Failure> {
        let message = self.resolver(name, kind, true).await?;
        Ok(message
            .answers
            .iter()
            .filter_map(|record| record.data.ip_addr())
            .collect())
    }
}

fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let bound = u32::try_from(last + 1).unwrap_or(u32::MAX);
        items.swap(last, random::below(bound) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_meaning_in_a_zone_file_is_escaped() {
        let of = |labels: &[&[u8]]| text(&Name::from_labels(labels.iter().copied()).unwrap());
        assert_eq!(of(&[]), "");
        assert_eq!(
            of(&[b"https://Portal", b"acme", b"test"]),
            "https://portal.acme.test"
        );
        assert_eq!(of(&[b"a=1,*_-!'#&+~", b"test"]), "a=1,*_-!'#&+~.test");
        assert_eq!(of(&[b"a.b", b"c\\\"d"]), r#"a\.b.c\\\"d"#);
        assert_eq!(of(&[b"(a;b)@$"]), r"\(a\;b\)\@\$");
        assert_eq!(of(&[b" \t\x7f", "é".as_bytes()]), r"\032\009\127.\195\169");
    }

    #[test]
    fn a_registrable_domain_is_found_by_labels() {
        let name = |labels: &str| {
            let labels = labels.split('/').filter(|label| !label.is_empty());
            Name::from_labels(labels.map(str::as_bytes)).unwrap()
        };
        let odd = "\u{1}".repeat(63);
        for (labels, expected) in [
            ("Portal/Acme/com", "acme/com"),
            ("portal/acme/co/UK", "acme/co/uk"),
            ("co/uk", "co/uk"),
            ("uk", "uk"),
            ("", ""),
            ("a/acme/unlisted", "acme/unlisted"),
            ("a/acme/github/io", "acme/github/io"),
            // Labels with a dot in them.
            ("x/a.co/uk", "a.co/uk"),
            ("a/acme.github/io", "acme.github/io"),
            (&format!("{odd}/{odd}/acme/co/uk"), "acme/co/uk"),
        ] {
            assert_eq!(registrable(&name(labels)), name(expected), "{labels}");
        }
        assert!(is_under_private_suffix(&name("acme/GitHub/io")));
        assert!(!is_under_private_suffix(&name("acme.github/io")));
    }
}
