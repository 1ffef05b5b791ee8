//! The zone cut above a name: asked of the parent zone's own servers, which the resolver helps to find.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType},
};
use shared::random;

use super::{check::Check, session::Servers, wire::Failure};

/// So many referrals are followed for one name.
pub(super) const MAX_REFERRALS: usize = 8;
/// So many of the parent's servers are asked until one answers.
const PARENT_TRIES: usize = 3;

/// A zone and its name servers, as the zone above it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    pub zone: Name,
    /// In the order of their names; not empty.
    pub servers: Vec<Server>,
    /// The servers' names.
    pub names: Servers,
}

/// A name server of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub name: Name,
    /// The addresses that came with the delegation.
    glue: Vec<IpAddr>,
}

impl Cut {
    /// The name servers of `zone` among these records. Addresses for names outside of `above`, the zone of the server
    /// that says all this, are not its to give.
    fn read(zone: &Name, records: &[Record], additionals: &[Record], above: &Name) -> Option<Self> {
        let mut servers = BTreeMap::new();
        for record in records.iter().filter(|record| record.name == *zone) {
            if let RData::NS(name) = &record.data {
                servers.insert(name.0.to_lowercase(), Vec::new());
            }
        }
        for record in additionals.iter().filter(|record| above.zone_of(&record.name)) {
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

    /// Up to `count` servers, at random.
    pub fn choose(&self, count: usize) -> Vec<&Server> {
        let mut servers: Vec<_> = self.servers.iter().collect();
        shuffle(&mut servers);
        servers.truncate(count);
        servers
    }
}

/// A message that hands the question down to a zone between `zone` and `name`. Some servers set the authoritative bit
/// in it; what tells it apart is that there is neither an answer nor an SOA record.
pub(super) fn referral(message: &Message, zone: &Name, name: &Name) -> Option<Cut> {
    let soa = |record: &Record| record.record_type() == RecordType::SOA;
    if message.metadata.response_code != ResponseCode::NoError
        || !message.answers.is_empty()
        || message.authorities.iter().any(soa)
    {
        return None;
    }
    let child = message.authorities.iter().find_map(|record| {
        let below = record.record_type() == RecordType::NS && between(zone, &record.name, name);
        below.then_some(&record.name)
    })?;
    Cut::read(child, &message.authorities, &message.additionals, zone)
}

/// The zone that a negative answer is of (RFC 2308), where it lies between `zone` and `name`: the server has that zone
/// too, and does not tell of the cut.
pub(super) fn hidden_zone(message: &Message, zone: &Name, name: &Name) -> Option<Name> {
    let soa = message
        .authorities
        .iter()
        .find(|record| record.record_type() == RecordType::SOA)?;
    between(zone, &soa.name, name).then(|| soa.name.clone())
}

/// Whether `middle` is below `above` and at or above `name`.
pub(super) fn between(above: &Name, middle: &Name, name: &Name) -> bool {
    above.zone_of(middle) && above != middle && middle.zone_of(name)
}

/// The part of the name that somebody registers: one label below a public suffix; a public suffix itself as it is.
pub(super) fn registrable(name: &Name) -> Name {
    let text = text(name);
    let labels = psl::domain_str(&text).map_or(usize::MAX, |domain| domain.split('.').count());
    name.trim_to(labels.min(name.iter().len())).to_lowercase()
}

/// Whether those who give out names above this one are no registry (the Public Suffix List's private section).
pub(super) fn is_under_private_suffix(name: &Name) -> bool {
    let suffix = psl::suffix(text(name).as_bytes()).and_then(|suffix| suffix.typ());
    suffix == Some(psl::Type::Private)
}

/// A name in lower case without its final dot.
pub(super) fn text(name: &Name) -> String {
    // Octets that are no letters are four characters each, and a domain's item has no room for thousands of them.
    let mut text = name.to_ascii().to_ascii_lowercase();
    text.truncate(255);
    text.strip_suffix('.').map(str::to_owned).unwrap_or(text)
}

impl Check<'_> {
    /// The deepest cut at or above `name` that this session knows; else the one at or above its registrable domain.
    /// Cuts below that one show themselves as referrals.
    pub async fn cut(&self, name: &Name) -> Result<Arc<Cut>, Failure> {
        let registrable = registrable(name);
        let mut ancestor = name.to_lowercase();
        while registrable.zone_of(&ancestor) {
            if let Some(known) = self.session.known_cut(&ancestor) {
                return Ok(known);
            }
            if ancestor.is_root() {
                break;
            }
            ancestor = ancestor.base_name();
        }
        if registrable.iter().len() <= 1 {
            return self.top(&registrable).await;
        }
        let cell = self.session.cut(&registrable);
        self.once(&cell, async || self.descend(&registrable).await).await
    }

    /// From the top-level domain, or what is known below it, down to the zone in which `target` is.
    async fn descend(&self, target: &Name) -> Result<Arc<Cut>, Failure> {
        let mut above = target.base_name();
        let mut cut = loop {
            match self.session.known_cut(&above) {
                Some(known) => break known,
                None if above.iter().len() > 1 => above = above.base_name(),
                None => break self.top(&above).await?,
            }
        };
        for _ in 0..MAX_REFERRALS {
            match self.delegation(&cut, target).await? {
                Some(child) if child.zone == *target => return Ok(Arc::new(child)),
                Some(child) => {
                    cut = Arc::new(child);
                    self.session.remember(&cut);
                }
                None => return Ok(cut),
            }
        }
        Ok(cut)
    }

    /// The zone of a top-level domain, else the root. That the resolver may have this from its cache does no harm: who
    /// leaves a provider leaves none of these.
    async fn top(&self, domain: &Name) -> Result<Arc<Cut>, Failure> {
        let cell = self.session.cut(domain);
        let find = async || {
            for zone in [domain.clone(), Name::root()] {
                let message = self.resolver(&zone, RecordType::NS, true).await?;
                if let Some(cut) = Cut::read(&zone, &message.answers, &[], &zone) {
                    return Ok(Arc::new(cut));
                }
            }
            Err(Failure::Lame)
        };
        self.once(&cell, find).await
    }

    /// The next cut on the way from `cut` down to `target`, asked of the upper zone's servers; `None` where there is none.
    async fn delegation(&self, cut: &Cut, target: &Name) -> Result<Option<Cut>, Failure> {
        let (mut failure, mut silent) = (Failure::NoAddress, true);
        for server in cut.choose(PARENT_TRIES) {
            let mut name = target.clone();
            for _ in 0..MAX_REFERRALS {
                let message = match self.ask(cut, server, &name, RecordType::NS).await {
                    Ok(message) => message,
                    Err(error) => {
                        silent &= error == Failure::Silent;
                        failure = error;
                        break;
                    }
                };
                self.note(&cut.names, true);
                if let Some(child) = referral(&message, &cut.zone, &name) {
                    return Ok(Some(child));
                }
                if !message.metadata.authoritative {
                    (failure, silent) = (Failure::Lame, false);
                    break;
                }
                // The same server has the lower zone as well.
                if let Some(child) = Cut::read(&name, &message.answers, &message.additionals, &cut.zone) {
                    return Ok(Some(child));
                }
                match hidden_zone(&message, &cut.zone, &name) {
                    Some(zone) if zone != name => name = zone,
                    _ => return Ok(None),
                }
            }
        }
        if silent {
            self.note(&cut.names, false);
        }
        Err(failure)
    }

    /// The name servers of a zone that a server has without telling of the cut.
    pub async fn hidden_cut(&self, cut: &Cut, server: &Server, zone: &Name) -> Option<Cut> {
        let message = self.ask(cut, server, zone, RecordType::NS).await.ok()?;
        Cut::read(zone, &message.answers, &message.additionals, &cut.zone)
    }

    /// Asks a server at one of its addresses.
    pub async fn ask(
        &self,
        cut: &Cut,
        server: &Server,
        name: &Name,
        kind: RecordType,
    ) -> Result<Message, Failure> {
        let address = self.address(server).await?;
        self.authority(&cut.names, address, name, kind).await
    }

    /// One server of a zone, not one that was silent before if there is another.
    pub async fn talking<'b>(&self, cut: &'b Cut) -> Vec<&'b Server> {
        let mut servers = cut.choose(usize::MAX);
        while servers.len() > 1 {
            let address = match servers.first() {
                Some(server) => self.address(server).await,
                None => break,
            };
            match address {
                Ok(address) if !self.was_silent(address) => break,
                _ => servers.remove(0),
            };
        }
        servers.truncate(1);
        servers
    }

    /// One of the server's addresses that may be asked: IPv4 first.
    async fn address(&self, server: &Server) -> Result<IpAddr, Failure> {
        let addresses = match server.glue.is_empty() {
            false => server.glue.clone(),
            true => {
                let cell = self.session.addresses(&server.name);
                let found = self.once(&cell, async || self.resolve(&server.name).await).await;
                found.map_err(|failure| match failure {
                    // The resolver's failure, not the server's.
                    Failure::Code(_) | Failure::Silent => Failure::NoAddress,
                    failure => failure,
                })?
            }
        };
        if addresses.is_empty() {
            return Err(Failure::NoAddress);
        }
        let (v4, v6): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .filter(|address| self.may_ask(*address))
            .partition(IpAddr::is_ipv4);
        let mut usable = if v4.is_empty() { v6 } else { v4 };
        shuffle(&mut usable);
        usable.first().copied().ok_or(Failure::Private)
    }

    /// The addresses of a name, as the resolver knows them: IPv6 where there is none that may be asked by IPv4.
    async fn resolve(&self, name: &Name) -> Result<Vec<IpAddr>, Failure> {
        let mut addresses = self.resolve_kind(name, RecordType::A).await?;
        if !addresses.iter().any(|address| self.may_ask(*address)) {
            addresses.extend(self.resolve_kind(name, RecordType::AAAA).await?);
        }
        Ok(addresses)
    }

    /// The addresses of one family that the resolver finds, through aliases.
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
