//! Delegations: which name servers a zone has, according to its parent zone's servers. The resolver only helps to find
//! those.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType},
};
use shared::random;
use tokio::join;

use super::{client::Client, lookup::Response, session::ServerSet, wire::Failure};

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
    let text = text(name);
    let labels = psl::domain_str(&text).map_or(usize::MAX, |domain| domain.split('.').count());
    name.trim_to(labels.min(name.iter().len())).to_lowercase()
}

/// Whether the name is below a public suffix of the list's private section, where no registry answers for it.
pub(super) fn is_under_private_suffix(name: &Name) -> bool {
    let suffix = psl::suffix(text(name).as_bytes()).and_then(|suffix| suffix.typ());
    suffix == Some(psl::Type::Private)
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
        let (mut failure, mut all_timed_out) = (Failure::NoAddress, true);
        for server in parent.choose(PARENT_SERVERS) {
            match self.ask(parent, server, target, RecordType::NS).await {
                Ok(response) => {
                    self.note(&parent.names, true);
                    return Ok(match response {
                        Response::Referral(child) => Some(child),
                        _ => None,
                    });
                }
                Err(error) => {
                    all_timed_out &= error == Failure::Timeout;
                    failure = error;
                }
            }
        }
        if all_timed_out {
            self.note(&parent.names, false);
        }
        Err(failure)
    }

    /// The delegation of a child zone that this server hosts too.
    pub async fn resolve_same_server_child(
        &self,
        parent: &Delegation,
        server: &Server,
        zone: &Name,
    ) -> Option<Delegation> {
        let message = self.query(parent, server, zone, RecordType::NS).await.ok()?;
        Delegation::read(zone, &message.answers, &message.additionals, &parent.zone)
    }

    /// Queries one name server at one of its addresses.
    pub async fn query(
        &self,
        delegation: &Delegation,
        server: &Server,
        name: &Name,
        kind: RecordType,
    ) -> Result<Message, Failure> {
        let address = self.address(server).await?;
        self.authority(&delegation.names, address, name, kind).await
    }

    /// One server of the zone, if possible one that did not time out in this check.
    pub async fn responsive_server<'d>(&self, delegation: &'d Delegation) -> Vec<&'d Server> {
        let mut servers = delegation.choose(usize::MAX);
        while servers.len() > 1 {
            let address = match servers.first() {
                Some(server) => self.address(server).await,
                None => break,
            };
            match address {
                Ok(address) if !self.timed_out(address) => break,
                _ => servers.remove(0),
            };
        }
        servers.truncate(1);
        servers
    }

    /// One address of the server that may be queried, IPv4 first.
    async fn address(&self, server: &Server) -> Result<IpAddr, Failure> {
        let addresses = match server.glue.is_empty() {
            false => server.glue.clone(),
            true => {
                let cell = self.session.addresses(&server.name);
                let found = self.once(&cell, async || self.resolve(&server.name).await).await;
                found.map_err(|failure| match failure {
                    // The resolver failed, not the name server.
                    Failure::Code(_) | Failure::Timeout => Failure::NoAddress,
                    failure => failure,
                })?
            }
        };
        if addresses.is_empty() {
            return Err(Failure::NoAddress);
        }
        let (v4, v6): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .filter(|address| self.may_query(*address))
            .partition(IpAddr::is_ipv4);
        let mut usable = if v4.is_empty() { v6 } else { v4 };
        shuffle(&mut usable);
        usable.first().copied().ok_or(Failure::PrivateAddress)
    }

    /// A name server's addresses, by the resolver: IPv6 only if there is no usable IPv4 address.
    async fn resolve(&self, name: &Name) -> Result<Vec<IpAddr>, Failure> {
        let mut addresses = self.resolve_kind(name, RecordType::A).await?;
        if !addresses.iter().any(|address| self.may_query(*address)) {
            addresses.extend(self.resolve_kind(name, RecordType::AAAA).await?);
        }
        Ok(addresses)
    }

    /// The addresses of both families, by the resolver, and whether both lookups succeeded.
    pub async fn resolve_both(&self, name: &Name) -> (Vec<IpAddr>, bool) {
        let (v4, v6) = join!(
            self.resolve_kind(name, RecordType::A),
            self.resolve_kind(name, RecordType::AAAA),
        );
        let is_complete = v4.is_ok() && v6.is_ok();
        (
            [v4.unwrap_or_default(), v6.unwrap_or_default()].concat(),
            is_complete,
        )
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
}
