//! Asks DNS about a domain: the zone's own name servers, without a cache. What was seen is returned; what follows from
//! it is decided elsewhere.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use shared::{
    config::{Config, DnsConfig, DnsMode},
    models::{
        domain::{Domain, Finding, FindingCode, RecordState, Routing, Status, Token},
        hostname::{HostPolicy, Hostname},
    },
};
use tokio::join;

mod caa;
mod check;
mod consensus;
mod diagnosis;
mod guard;
mod providers;
mod proxies;
mod session;
mod wire;
mod zone;

pub use session::Session;
pub use wire::Limits;

use check::Check;
use consensus::{Answer, End, Path, Said, Width};
use session::Key;
use wire::Failure;

/// The resolvers' port, where the system's configuration names none.
const PORT: u16 = 53;
/// So many of a zone's name servers are shown.
const MAX_NAMESERVERS: usize = 13;

/// Whom DNS questions go to, and what they may cost.
#[derive(Debug, Clone)]
pub struct Dns {
    resolvers: Arc<[SocketAddr]>,
    mode: DnsMode,
    authority_port: u16,
    allow_private: bool,
    limits: Limits,
}

/// What a domain is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Our own names.
    pub names: &'a HostPolicy,
    /// The edge's addresses, as far as they are configured.
    pub addresses: &'a [IpAddr],
    /// Whom a CAA record must let issue; where there are none, CAA is not looked at.
    pub certificate_authorities: &'a [String],
}

impl<'a> From<&'a Config> for Subject<'a> {
    fn from(config: &'a Config) -> Self {
        Self {
            names: &config.names,
            addresses: &config.addresses,
            certificate_authorities: &config.certificate_authorities,
        }
    }
}

/// How closely a domain is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Two servers at random, the `CNAME` first and the `TXT` only if it misses: enough to renew a `verified` domain. Goes
    /// on as [`Depth::Full`] where that does not prove it, and for any other status.
    Renewal,
    /// Both records at all servers up to four: enough for a first proof and for a miss. Goes on as [`Depth::Diagnose`]
    /// where a domain is proven that was not, and where it is not any more.
    Full,
    /// As [`Depth::Full`], and the look-ups behind the finer codes, as far as time and packets reach.
    Diagnose,
}

/// What DNS said about a domain.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Whether the domain is proven.
    pub proof: Proof,
    /// Neither record is left, but the name's addresses are ours.
    pub flattened: bool,
    /// Where its traffic goes.
    pub routing: Routing,
    /// The zone into which its records must be entered.
    pub zone: Option<Hostname>,
    /// That zone's name servers, 13 at most.
    pub nameservers: Vec<String>,
    /// The DNS provider, from the name servers' names.
    pub provider: Option<String>,
    /// The state of the `TXT` record; as it was where that was not looked for.
    pub ownership: RecordState,
    /// The state of the record that routes traffic.
    pub route: RecordState,
    /// The `CNAME` leads to a target of ours that has this token, which is not the domain's own. Whether the agency has it is
    /// not known here: [`Observation::settle_other_token`] does that.
    pub other_token: Option<Token>,
    /// What was found: the problems, the most telling first, then the warnings; 16 at most.
    pub findings: Vec<Finding>,
    /// Messages sent.
    pub packets: u32,
    /// Others kept a server busy for so long that the look was given up: better to begin it again later.
    pub crowded: bool,
}

/// Whether a domain is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By its `CNAME`.
    Cname,
    /// By its `TXT` record alone.
    Txt,
    /// Definitely not.
    Missing,
    /// DNS did not say.
    Unknown,
}

impl Proof {
    /// Whether the domain is proven.
    pub fn is_given(self) -> bool {
        matches!(self, Self::Cname | Self::Txt)
    }
}

impl Observation {
    /// Settles where a `CNAME` to another token's target leads. `known` says that the token is that of another domain of the
    /// same agency: then the traffic does come here, and the token is a mistake but not a stale one.
    pub fn settle_other_token(&mut self, known: bool) {
        if self.other_token.take().is_none() || !known {
            return;
        }
        self.routing = Routing::Routed;
        let txt = format!("{TXT_KEY}=");
        let is_cname = |finding: &Finding| {
            let expected = finding.expected.as_deref().unwrap_or_default();
            finding.code == FindingCode::StaleToken && !expected.starts_with(&txt)
        };
        if self.proof == Proof::Txt {
            let moot = |finding: &Finding| is_cname(finding) || finding.code == FindingCode::NotRouted;
            self.findings.retain(|finding| !moot(finding));
        }
        for finding in self.findings.iter_mut().filter(|finding| is_cname(finding)) {
            diagnosis::not_stale(finding);
        }
    }

    /// Nothing was asked, or nothing was said.
    fn nothing(domain: &Domain) -> Self {
        let before = domain.check.as_ref();
        Self {
            proof: Proof::Unknown,
            flattened: false,
            routing: Routing::Unknown,
            zone: before.and_then(|check| check.zone.clone()),
            nameservers: before.map(|check| check.nameservers.clone()).unwrap_or_default(),
            provider: before.and_then(|check| check.provider.clone()),
            ownership: RecordState::Unreachable,
            route: RecordState::Unreachable,
            other_token: None,
            findings: vec![diagnosis::silent_before(&domain.hostname)],
            packets: 0,
            crowded: false,
        }
    }
}

/// What the value of the `TXT` record begins with, before its equals sign.
const TXT_KEY: &str = "agency-verification";

impl Dns {
    /// The resolvers of the configuration, or the system's.
    ///
    /// # Errors
    /// The system's resolvers cannot be read, or there are none.
    pub fn new(config: &DnsConfig) -> io::Result<Self> {
        let resolvers = match config.resolvers.is_empty() {
            false => config.resolvers.clone(),
            true => {
                let (system, _) = read_system_conf().map_err(io::Error::other)?;
                let servers = system.name_servers().iter();
                servers.map(|server| SocketAddr::new(server.ip, PORT)).collect()
            }
        };
        if resolvers.is_empty() {
            return Err(io::Error::other(
                "the system names no resolver; set DNS_RESOLVERS",
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

    /// With other limits than the usual ones.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Looks for a custom domain's records. A check takes 6 s and 64 packets at most, whatever servers do, besides what it
    /// waits for other checks of the session: 10 at a time for one registrable domain and for one server.
    pub async fn observe(
        &self,
        domain: &Domain,
        subject: &Subject<'_>,
        depth: Depth,
        session: &Session,
    ) -> Observation {
        let (Some(token), Some(hostname), Some(challenge)) = (
            &domain.token,
            fqdn(domain.hostname.as_str()),
            fqdn(&domain.hostname.challenge()),
        ) else {
            // A subdomain has nothing to look for; a custom domain's names were read before.
            return Observation::nothing(domain);
        };
        let gate = session.gates.enter(Key::Domain(zone::registrable(&hostname)));
        let look = Look {
            check: Check::new(self, session, subject),
            domain,
            hostname,
            challenge,
            target: token.cname_target(subject.names),
            value: token.txt_value(),
        };
        let check = &look.check;
        let given_up = || Observation {
            crowded: check.is_crowded(),
            packets: check.budget.sent(),
            ..Observation::nothing(domain)
        };
        let Ok(_place) = check.wait(gate).await else {
            return given_up();
        };
        let quick = match (depth, domain.status) {
            (Depth::Renewal, Status::Verified) => look.renewal().await,
            _ => None,
        };
        let seen = match quick {
            Some(seen) => seen,
            None => look.full().await,
        };
        if check.is_crowded() {
            return given_up();
        }
        let place = look.place(&seen).await;
        let findings = look.findings(&seen, &place, depth).await;
        look.observation(seen, place, findings)
    }
}

/// One look at one domain.
struct Look<'a> {
    check: Check<'a>,
    domain: &'a Domain,
    hostname: Name,
    challenge: Name,
    /// What the `CNAME` should say, without the final dot.
    target: String,
    /// What the `TXT` record should say.
    value: String,
}

/// What was seen, before it is put into words.
struct Seen {
    cname: Path,
    route: RecordState,
    /// `None` where it was not looked for.
    txt: Option<Path>,
    ownership: RecordState,
    /// What a validating resolver rejects.
    bogus: Option<Answer>,
    /// There is no such domain.
    unregistered: bool,
    traffic: Traffic,
}

/// Where records must be entered.
struct Place {
    zone: Option<Name>,
    servers: Vec<Name>,
    provider: Option<String>,
}

/// Where traffic goes.
struct Traffic {
    routing: Routing,
    /// The host name's addresses, where they were asked for.
    addresses: Vec<IpAddr>,
    /// Those of them that are ours.
    ours: Vec<IpAddr>,
}

impl Traffic {
    fn plain(routing: Routing) -> Self {
        Self {
            routing,
            addresses: Vec::new(),
            ours: Vec::new(),
        }
    }
}

impl Seen {
    fn proof(&self) -> Proof {
        match (self.route, self.ownership) {
            (RecordState::Found, _) => Proof::Cname,
            (_, RecordState::Found) => Proof::Txt,
            (RecordState::Unreachable, _) | (_, RecordState::Unreachable) => Proof::Unknown,
            _ => Proof::Missing,
        }
    }

    /// Whether a domain of this status gets another one by what was seen alone.
    fn changes(&self, status: Status) -> bool {
        match (status, self.proof()) {
            (Status::Verified, Proof::Missing) => !self.is_flattened(),
            (Status::Verified, _) => false,
            (_, proof) => proof.is_given(),
        }
    }

    fn is_flattened(&self) -> bool {
        self.proof() == Proof::Missing && self.traffic.routing == Routing::Routed
    }

    /// The answer of the host name's own zone.
    fn own(&self) -> Option<&Answer> {
        self.cname.answers.first()
    }
}

impl Look<'_> {
    /// What two servers say, if that proves the domain.
    async fn renewal(&self) -> Option<Seen> {
        let cname = self
            .check
            .follow(&self.hostname, RecordType::CNAME, Width::Two)
            .await;
        if !cname.is_sole() && self.leads_to_target(&cname) {
            return Some(Seen {
                cname,
                route: RecordState::Found,
                txt: None,
                ownership: self.domain.ownership,
                bogus: None,
                unregistered: false,
                traffic: Traffic::plain(Routing::Routed),
            });
        }
        if let End::Differ | End::Split | End::Unknown(_) = cname.end {
            return None;
        }
        let txt = self
            .check
            .follow(&self.challenge, RecordType::TXT, Width::Two)
            .await;
        if txt.is_sole() || !matches!(&txt.end, End::Records(records) if self.proves(records)) {
            return None;
        }
        let route = self.route(&cname).await;
        let traffic = self.traffic(&cname, route).await;
        Some(Seen {
            cname,
            route,
            txt: Some(txt),
            ownership: RecordState::Found,
            bogus: None,
            unregistered: false,
            traffic,
        })
    }

    async fn full(&self) -> Seen {
        let (cname, txt) = join!(
            self.check.follow(&self.hostname, RecordType::CNAME, Width::Four),
            self.check.follow(&self.challenge, RecordType::TXT, Width::Four),
        );
        let (mut route, mut ownership) = join!(self.route(&cname), self.ownership(&txt));
        let mut bogus = None;
        // A first proof is seen from a second side too.
        if self.domain.status != Status::Verified && self.check.dns.mode == DnsMode::Authoritative {
            for (state, path) in [(&mut route, &cname), (&mut ownership, &txt)] {
                if *state == RecordState::Found
                    && let Some(answer) = self.bogus(path).await
                {
                    *state = RecordState::Unreachable;
                    bogus = Some(answer);
                }
            }
        }
        let (traffic, unregistered) = join!(self.traffic(&cname, route), self.is_unregistered(&cname));
        Seen {
            cname,
            route,
            txt: Some(txt),
            ownership,
            bogus,
            unregistered,
            traffic,
        }
    }

    /// The state of the `CNAME`.
    async fn route(&self, path: &Path) -> RecordState {
        let state = match &path.end {
            End::Ours if self.leads_to_target(path) => RecordState::Found,
            End::None { .. } if path.chain.is_empty() => RecordState::Missing,
            End::Differ | End::Split | End::Unknown(_) => return RecordState::Unreachable,
            _ => RecordState::Wrong,
        };
        match path.is_sole() && !(state == RecordState::Found && self.check.confirms(path, |_| false).await) {
            true => RecordState::Unreachable,
            false => state,
        }
    }

    /// The state of the `TXT` record.
    async fn ownership(&self, path: &Path) -> RecordState {
        let state = match &path.end {
            End::Records(records) if self.proves(records) => RecordState::Found,
            End::Records(_) | End::Loop | End::TooLong | End::Ours => RecordState::Wrong,
            End::None { .. } => RecordState::Missing,
            // They may differ in records that are not ours to look at.
            End::Differ if self.all_prove(path) => RecordState::Found,
            End::Differ | End::Split | End::Unknown(_) => return RecordState::Unreachable,
        };
        let confirmed = async || self.check.confirms(path, |records| self.proves(records)).await;
        match path.is_sole() && !(state == RecordState::Found && confirmed().await) {
            true => RecordState::Unreachable,
            false => state,
        }
    }

    fn all_prove(&self, path: &Path) -> bool {
        let replies = path.answers.last().map_or(&[][..], |answer| &answer.replies);
        let mut answered = replies.iter().filter_map(|reply| reply.said.as_ref().ok());
        answered.all(|said| matches!(said, Said::Records(records) if self.proves(records)))
    }

    fn leads_to_target(&self, path: &Path) -> bool {
        let end = path.chain.last().filter(|_| path.end == End::Ours);
        end.is_some_and(|end| same(zone::text(end).as_bytes(), self.target.as_bytes()))
    }

    /// Whether one of the `TXT` records has the value, whole.
    fn proves(&self, records: &[RData]) -> bool {
        records
            .iter()
            .filter_map(text)
            .any(|text| same(&text, self.value.as_bytes()))
    }

    /// The first step of a proof that a validating resolver rejects.
    async fn bogus(&self, path: &Path) -> Option<Answer> {
        for answer in &path.answers {
            if self.check.is_bogus(&answer.name, answer.kind).await {
                return Some(answer.clone());
            }
        }
        None
    }

    /// Where the host name's traffic goes.
    async fn traffic(&self, cname: &Path, route: RecordState) -> Traffic {
        if route == RecordState::Found {
            return Traffic::plain(Routing::Routed);
        }
        match &cname.end {
            End::Ours if cname.is_sole() => return Traffic::plain(Routing::Unknown),
            // To another token's target: see `Observation::other_token`.
            End::Ours | End::Loop | End::TooLong => return Traffic::plain(Routing::Elsewhere),
            End::Differ | End::Split | End::Unknown(_) => return Traffic::plain(Routing::Unknown),
            End::Records(_) | End::None { .. } => {}
        }
        if cname.chain.iter().any(proxies::is_proxy_name) {
            return Traffic::plain(Routing::Proxied);
        }
        let last = cname.chain.last().unwrap_or(&self.hostname);
        let (v4, v6) = join!(
            self.check.follow(last, RecordType::A, Width::Two),
            self.check.follow(last, RecordType::AAAA, Width::Two),
        );
        let known = [addresses(&v4), addresses(&v6)];
        let complete = known.iter().all(Option::is_some) && !v4.is_sole() && !v6.is_sole();
        let addresses: Vec<_> = known.into_iter().flatten().flatten().collect();
        let is_ours = |ours: &[IpAddr]| -> Vec<_> {
            let ours = addresses.iter().filter(|address| ours.contains(address));
            ours.copied().collect()
        };
        let mut ours = is_ours(self.check.subject.addresses);
        let mut edge_known = true;
        if !addresses.is_empty() && ours.len() < addresses.len() {
            match self.edge().await {
                Ok(edge) => ours = is_ours(&[self.check.subject.addresses, &edge].concat()),
                Err(_) => edge_known = false,
            }
        }
        let routing = if !ours.is_empty() {
            Routing::Routed
        } else if addresses
            .iter()
            .any(|address| proxies::is_proxy_address(*address))
        {
            Routing::Proxied
        } else if complete && (edge_known || addresses.is_empty()) {
            Routing::Elsewhere
        } else {
            Routing::Unknown
        };
        Traffic {
            routing,
            addresses,
            ours,
        }
    }

    /// Where our own target leads, found once in a session: all names below it lead to the same place.
    async fn edge(&self) -> Result<Vec<IpAddr>, Failure> {
        let find = async || {
            let target = fqdn(&self.target).ok_or(Failure::Malformed)?;
            let (v4, v6) = join!(
                self.check.resolve_kind(&target, RecordType::A),
                self.check.resolve_kind(&target, RecordType::AAAA),
            );
            match (v4, v6) {
                (Ok(v4), Ok(v6)) => Ok([v4, v6].concat()),
                // One family is enough to recognize what leads there.
                (Ok(known), Err(_)) | (Err(_), Ok(known)) if !known.is_empty() => Ok(known),
                (Err(failure), _) | (_, Err(failure)) => Err(failure),
            }
        };
        self.check.once(&self.check.session.edge, find).await
    }

    /// All that was seen, for whoever decides.
    fn observation(&self, seen: Seen, place: Place, findings: Vec<Finding>) -> Observation {
        let apex = place.zone.as_ref() == Some(&self.hostname);
        let route = match (seen.traffic.routing, seen.route) {
            (_, RecordState::Found) => RecordState::Found,
            // An apex name is routed by addresses; a provider may have made a CNAME into some.
            (Routing::Routed, _) => RecordState::Found,
            (Routing::Elsewhere | Routing::Proxied, RecordState::Missing) if apex => {
                match seen.traffic.addresses.is_empty() {
                    true => RecordState::Missing,
                    false => RecordState::Wrong,
                }
            }
            (_, state) => state,
        };
        Observation {
            proof: seen.proof(),
            flattened: seen.is_flattened(),
            routing: seen.traffic.routing,
            zone: place.zone.and_then(|zone| zone::text(&zone).parse().ok()),
            provider: place.provider,
            nameservers: place
                .servers
                .iter()
                .take(MAX_NAMESERVERS)
                .map(zone::text)
                .collect(),
            ownership: seen.ownership,
            route,
            other_token: self.other_token(&seen.cname),
            findings,
            packets: self.check.budget.sent(),
            crowded: false,
        }
    }

    /// The token in a `CNAME` that leads to another one's target.
    fn other_token(&self, cname: &Path) -> Option<Token> {
        if cname.end != End::Ours || cname.is_sole() || self.leads_to_target(cname) {
            return None;
        }
        let end = zone::text(cname.chain.last()?);
        let label = end.strip_suffix(self.check.subject.names.target.as_str())?;
        Token::parse(label.strip_suffix('.')?)
    }

    /// Where records must be entered.
    async fn place(&self, seen: &Seen) -> Place {
        // Known from the last check: enough where this one found none, and not worth the packets of a renewal.
        let before = || {
            let check = self.domain.check.as_ref()?;
            let names = check.nameservers.iter().filter_map(|server| fqdn(server));
            Some((fqdn(check.zone.as_ref()?.as_str())?, names.collect()))
        };
        // Servers that have a zone below as well show it only in what that zone lacks.
        let asked = [seen.own(), seen.txt.as_ref().and_then(|txt| txt.answers.first())];
        let asked = asked.into_iter().flatten();
        let told = asked
            .clone()
            .any(|answer| matches!(answer.said(), Some(Said::None { .. })));
        let cuts = asked.filter_map(|answer| answer.cut.as_ref());
        let cut = cuts
            .filter(|cut| cut.zone.zone_of(&self.hostname))
            .max_by_key(|cut| cut.zone.iter().len());
        let known = match (self.check.dns.mode, cut) {
            (DnsMode::Recursive, _) if seen.txt.is_some() => self.zone_by_resolver().await,
            (DnsMode::Authoritative, Some(cut)) => {
                let below = |zone: &Name| zone::between(&cut.zone, zone, &self.hostname);
                let hidden = before().filter(|(zone, _)| !told && below(zone));
                let holds = !cut.zone.is_root() && !seen.unregistered;
                hidden.or_else(|| holds.then(|| (cut.zone.clone(), cut.names.to_vec())))
            }
            _ => before(),
        };
        let (zone, servers) = known.map_or((None, Vec::new()), |(zone, servers)| (Some(zone), servers));
        Place {
            provider: providers::provider(&servers).map(str::to_owned),
            zone,
            servers,
        }
    }

    /// Whether the registry, asked for the host name, says that there is no such domain.
    async fn is_unregistered(&self, cname: &Path) -> bool {
        let registrable = zone::registrable(&self.hostname);
        let Some(answer) = cname.answers.first() else {
            return false;
        };
        let above = answer
            .cut
            .as_ref()
            .is_some_and(|cut| cut.zone.iter().len() < registrable.iter().len());
        if !above || !answer.is_no_name() || zone::is_under_private_suffix(&self.hostname) {
            return false;
        }
        self.hostname == registrable
            || self
                .check
                .question(&registrable, RecordType::SOA, Width::One)
                .await
                .is_no_name()
    }

    /// Not validated: it tells where to mend a zone whose signatures are wrong, too.
    async fn zone_by_resolver(&self) -> Option<(Name, Vec<Name>)> {
        let registrable = zone::registrable(&self.hostname);
        let private = zone::is_under_private_suffix(&self.hostname);
        // An alias answers for another zone, which may be one above this name's; the name above it does not.
        for name in [self.hostname.clone(), self.hostname.base_name()] {
            let message = self.check.resolver(&name, RecordType::SOA, false).await.ok()?;
            let alias = |record: &Record| record.record_type() == RecordType::CNAME;
            if message.answers.iter().any(alias) {
                continue;
            }
            let mut soa = message.answers.iter().chain(&message.authorities);
            let zone = soa.find(|record| {
                record.record_type() == RecordType::SOA
                    && record.name.zone_of(&name)
                    && !record.name.is_root()
                    && (private || registrable.zone_of(&record.name))
            });
            if let Some(zone) = zone {
                let servers = self.check.resolver(&zone.name, RecordType::NS, false).await;
                let mut servers: Vec<_> = servers
                    .map(|message| message.answers)
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|record| match record.data {
                        RData::NS(name) => Some(name.0.to_lowercase()),
                        _ => None,
                    })
                    .collect();
                servers.sort();
                return Some((zone.name.to_lowercase(), servers));
            }
        }
        None
    }
}

/// The addresses at a path's end; `None` where they are not known. Servers may well differ in them.
fn addresses(path: &Path) -> Option<Vec<IpAddr>> {
    let of = |records: &[RData]| records.iter().filter_map(RData::ip_addr).collect::<Vec<_>>();
    match &path.end {
        End::Records(records) => Some(of(records)),
        End::None { .. } | End::Loop | End::TooLong | End::Ours => Some(Vec::new()),
        End::Split | End::Unknown(_) => None,
        End::Differ => {
            let replies = &path.answers.last()?.replies;
            let said = replies.iter().filter_map(|reply| reply.said.as_ref().ok());
            let records = said.filter_map(|said| match said {
                Said::Records(records) => Some(of(records)),
                _ => None,
            });
            Some(records.flatten().collect::<Vec<_>>()).filter(|addresses| !addresses.is_empty())
        }
    }
}

fn fqdn(text: &str) -> Option<Name> {
    Name::from_ascii(format!("{text}.")).ok()
}

/// The strings of a `TXT` record, joined (RFC 7208, section 3.3, has the same rule).
fn text(record: &RData) -> Option<Vec<u8>> {
    match record {
        RData::TXT(txt) => Some(txt.txt_data.concat()),
        _ => None,
    }
}

/// In constant time, so that a token cannot be guessed from how long a comparison takes.
fn same(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_txt_record_begins_with_its_key() {
        assert!(
            Token::new([7; 16])
                .txt_value()
                .starts_with(&format!("{TXT_KEY}="))
        );
    }

    #[test]
    fn a_check_has_its_limits() {
        let limits = Limits::default();
        assert_eq!(
            (limits.query.as_millis(), limits.check.as_secs(), limits.packets),
            (1500, 6, 64)
        );
    }
}
