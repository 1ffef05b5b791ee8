//! The evidence of one check: what DNS shows of a domain's records, as facts.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use shared::{
    config::DnsMode,
    models::{
        domain::{ApexAddresses, Domain, RecordState, Routing, Status, Token},
        hostname::{HostPolicy, Hostname},
        time::Timestamp,
    },
};
use tokio::join;

use super::{
    Depth, Dns, Operator, Session,
    caa::CaaProblem,
    client::Client,
    delegation::{self, registrable, text},
    lookup::{Lookup, Response, ServerCount, Step, Unresolved},
    providers, proxies, public, random_child,
    wire::Failure,
};
use crate::{Busy, decide::counts_unconfirmed_proof};

/// The types of address records.
const ADDRESS_TYPES: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

/// What DNS shows of a domain. [`Self::proof`] and the other methods say what it comes to.
#[derive(Debug, Clone)]
pub struct Evidence {
    pub(crate) expected: Expected,
    pub(crate) cname: Lookup,
    pub(crate) cname_state: RecordState,
    /// `None`: not looked up, because the `CNAME` renewed the proof.
    pub(crate) txt: Option<Lookup>,
    /// If the record was not looked up, it is what it was before.
    pub txt_state: RecordState,
    /// The proof that only one of several servers gives, and the resolver too. It counts if an earlier check saw it too:
    /// see [`counts_unconfirmed_proof`].
    pub unconfirmed_proof: Option<Proof>,
    /// The servers disagree about a domain that only one server ever proved: that counts as a miss.
    pub(crate) disputed: bool,
    /// The lookup of a proof, up to the step that fails DNSSEC validation.
    pub(crate) bogus: Option<Lookup>,
    /// The registry answers `NXDOMAIN` for the registrable domain.
    pub(crate) unregistered: bool,
    pub(crate) traffic: Traffic,
    /// The `CNAME` leads to the target of this token, which is not the domain's own.
    pub other_token: Option<Token>,
    /// Whether it is the token of another domain of the same agency. Only the table says so.
    pub token_of_same_agency: bool,
    pub(crate) location: ZoneLocation,
    /// `None`: not made.
    pub(crate) probes: Option<Probes>,
    /// Messages sent.
    pub packets: u32,
}

/// The names and values that prove a domain.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub hostname: Name,
    /// The name of the `TXT` record.
    pub challenge: Name,
    /// The value of the `CNAME`, without the trailing dot.
    pub target: String,
    /// The value of the `TXT` record.
    pub value: String,
}

/// Whether a domain is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    Cname,
    /// By the `TXT` record alone.
    Txt,
    /// DNS definitely shows no proof.
    Missing,
    /// DNS gave no definite answer.
    Unknown,
}

impl Proof {
    pub fn is_given(self) -> bool {
        matches!(self, Self::Cname | Self::Txt)
    }
}

/// What a check counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckResult {
    /// One of the records proves the domain.
    Proven,
    /// No record proves it, but its flattened name is enough for a domain that serves.
    Renewed,
    Missed,
    /// DNS gave no definite answer. It counts for nothing.
    Unknown,
}

/// Where the hostname's traffic goes.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    pub routing: Routing,
    /// The hostname's addresses, if they were looked up.
    pub addresses: Vec<IpAddr>,
    /// Those that belong to the operator's edge.
    pub ours: Vec<IpAddr>,
    /// Whether the others certainly do not.
    pub is_edge_known: bool,
    /// The types of address records that DNS gave no definite answer for.
    pub unknown: Vec<RecordType>,
    /// The questions for address records of the hostname, or of what its `CNAME` leads to.
    pub questions: Vec<Step>,
}

/// The addresses of the operator's edge.
#[derive(Debug, Clone)]
pub(super) struct EdgeAddresses {
    addresses: Vec<IpAddr>,
    /// Whether there are no others: two lookups found the same ones.
    is_complete: bool,
}

impl From<Routing> for Traffic {
    fn from(routing: Routing) -> Self {
        Self {
            routing,
            addresses: Vec::new(),
            ours: Vec::new(),
            is_edge_known: true,
            unknown: match routing {
                Routing::Unknown => ADDRESS_TYPES.to_vec(),
                _ => Vec::new(),
            },
            questions: Vec::new(),
        }
    }
}

/// The zone into which the records must be entered.
#[derive(Debug, Clone, Default)]
pub(crate) struct ZoneLocation {
    pub zone: Option<Name>,
    pub servers: Vec<Name>,
    pub provider: Option<&'static str>,
}

/// Further lookups, which explain why a domain is not proven. Each is `None` if it found nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probes {
    /// One of the two records, at its name with the zone's name appended.
    pub doubled: Vec<Step>,
    /// `TXT` records at the hostname, the apex, and the challenge name of the zone.
    pub texts: Vec<Step>,
    /// A record of another type beside the `CNAME`.
    pub beside_cname: Option<Step>,
    /// A random sibling of the hostname that has the same answer.
    pub wildcard: Option<Step>,
    /// A random sibling of the challenge name that has the same answer to a question for `TXT` records.
    pub wildcard_txt: Option<Step>,
    pub caa: Option<CaaProblem>,
}

impl Expected {
    pub fn of(domain: &Domain, names: &HostPolicy) -> Option<Self> {
        let token = domain.token.as_ref()?;
        Some(Self {
            hostname: fqdn(domain.hostname.as_str())?,
            challenge: fqdn(&domain.hostname.challenge())?,
            target: token.cname_target(names),
            value: token.txt_value(),
        })
    }

    /// Whether the lookup ends at the domain's own target.
    fn reaches_target(&self, lookup: &Lookup) -> bool {
        matches!(&lookup.result, Ok(Response::Cname(end)) if is_equal(text(end).as_bytes(), self.target.as_bytes()))
    }

    /// Whether one of the `TXT` records is the expected one, byte for byte.
    pub fn is_proven_by(&self, records: &[RData]) -> bool {
        let mut texts = records.iter().filter_map(txt_bytes);
        texts.any(|text| is_equal(&text, self.value.as_bytes()))
    }
}

impl Evidence {
    pub fn proof(&self) -> Proof {
        match (self.cname_state, self.txt_state) {
            (RecordState::Found, _) => Proof::Cname,
            (_, RecordState::Found) => Proof::Txt,
            (RecordState::Unreachable, _) | (_, RecordState::Unreachable) => Proof::Unknown,
            _ => Proof::Missing,
        }
    }

    /// Whether there is neither a proof nor a `CNAME`, but the hostname's own addresses are the operator's: the provider
    /// flattened the `CNAME`, or an apex lost its `TXT` record.
    pub fn is_flattened(&self) -> bool {
        let is_alias = !self.cname.aliases.is_empty();
        let is_ours = self.traffic.routing == Routing::Routed;
        self.proof() == Proof::Missing && is_ours && !is_alias && !self.disputed
    }

    /// Makes the unconfirmed proof count.
    pub(crate) fn accept_unconfirmed_proof(&mut self) {
        match self.unconfirmed_proof {
            Some(Proof::Cname) => {
                self.cname_state = RecordState::Found;
                self.traffic = Routing::Routed.into();
            }
            Some(_) => self.txt_state = RecordState::Found,
            None => {}
        }
    }

    /// Whether the hostname is the apex of its zone.
    pub(crate) fn is_apex(&self) -> bool {
        self.location.zone.as_ref() == Some(&self.expected.hostname)
    }

    /// Whether an address, or an alias, is a proxy's, even if more addresses could not be determined.
    pub(crate) fn is_behind_proxy(&self) -> bool {
        let Traffic {
            routing, addresses, ..
        } = &self.traffic;
        let is_proxy = || addresses.iter().any(proxies::is_proxy_address);
        *routing == Routing::Proxied || (*routing == Routing::Unknown && is_proxy())
    }

    pub fn routing(&self) -> Routing {
        self.traffic.routing
    }

    /// The state of the `CNAME`, or of the `ALIAS` of an apex.
    pub fn route_state(&self) -> RecordState {
        if !self.is_apex() || !self.cname.aliases.is_empty() {
            return self.cname_state;
        }
        match self.traffic.routing {
            Routing::Routed => RecordState::Found,
            Routing::Unknown => RecordState::Unreachable,
            _ if self.traffic.addresses.is_empty() => RecordState::Missing,
            _ => RecordState::Wrong,
        }
    }

    /// The states of the address records, if the hostname is the apex of its zone.
    pub fn apex_addresses(&self) -> Option<ApexAddresses> {
        let traffic = &self.traffic;
        let is_alias = !self.cname.aliases.is_empty();
        let state = |kind, is_of_kind: fn(&IpAddr) -> bool| {
            let others = || {
                traffic
                    .addresses
                    .iter()
                    .filter(|address| !traffic.ours.contains(address))
            };
            if traffic.unknown.contains(&kind) {
                RecordState::Unreachable
            } else if is_alias || others().any(is_of_kind) {
                RecordState::Wrong
            } else {
                RecordState::Missing
            }
        };
        let (a, aaaa) = (
            state(RecordType::A, IpAddr::is_ipv4),
            state(RecordType::AAAA, IpAddr::is_ipv6),
        );
        let answers = |kind, state| {
            let question = match state {
                RecordState::Wrong if is_alias => self.at_hostname(),
                RecordState::Wrong | RecordState::Unreachable => {
                    traffic.questions.iter().find(|question| question.kind == kind)
                }
                _ => None,
            };
            question.map(Step::answers).unwrap_or_default()
        };
        self.is_apex().then(|| ApexAddresses {
            // The addresses behind a CNAME record are not the hostname's own.
            found: if is_alias {
                Vec::new()
            } else {
                traffic.ours.clone()
            },
            a,
            aaaa,
            a_answers: answers(RecordType::A, a),
            aaaa_answers: answers(RecordType::AAAA, aaaa),
        })
    }

    /// The zone into which the records must be entered.
    pub fn zone(&self) -> Option<Hostname> {
        text(self.location.zone.as_ref()?).parse().ok()
    }

    /// The names of that zone's name servers.
    pub fn nameservers(&self) -> impl Iterator<Item = String> {
        self.location.servers.iter().map(text)
    }

    pub fn provider(&self) -> Option<&'static str> {
        self.location.provider
    }

    /// The question for the hostname's `CNAME`, before any alias is followed.
    pub(crate) fn at_hostname(&self) -> Option<&Step> {
        self.cname.steps.first()
    }

    /// Whether the root's servers answer `NXDOMAIN`: there is no such top-level domain.
    pub(crate) fn has_no_top_level(&self) -> bool {
        let delegation = self.at_hostname().and_then(|step| step.delegation.as_ref());
        self.unregistered && delegation.is_some_and(|delegation| delegation.zone.is_root())
    }

    /// Whether this alone changes a domain's status.
    fn changes(&self, status: Status) -> bool {
        match self.result_for(status) {
            CheckResult::Proven => status != Status::Verified,
            CheckResult::Missed => status == Status::Verified,
            CheckResult::Renewed => status == Status::Failing,
            CheckResult::Unknown => false,
        }
    }

    /// What the check counts as for a domain with this status.
    pub(crate) fn result_for(&self, status: Status) -> CheckResult {
        match (self.proof(), status) {
            (Proof::Cname | Proof::Txt, _) => CheckResult::Proven,
            (Proof::Unknown, _) => CheckResult::Unknown,
            (Proof::Missing, status) if !status.serves() || self.disputed => CheckResult::Missed,
            (Proof::Missing, _) if self.is_flattened() => CheckResult::Renewed,
            // Only the addresses tell a flattened CNAME from a miss.
            (Proof::Missing, _) if self.routing() == Routing::Unknown => CheckResult::Unknown,
            (Proof::Missing, _) => CheckResult::Missed,
        }
    }

    /// A domain without records to look up.
    pub(crate) fn unasked(domain: &Domain) -> Self {
        let hostname = fqdn(domain.hostname.as_str()).unwrap_or_default();
        Self {
            cname: Lookup::failed(&hostname, RecordType::CNAME, Failure::Timeout),
            cname_state: RecordState::Unreachable,
            txt: None,
            txt_state: RecordState::Unreachable,
            unconfirmed_proof: None,
            disputed: false,
            bogus: None,
            unregistered: false,
            traffic: Routing::Unknown.into(),
            other_token: None,
            token_of_same_agency: false,
            location: ZoneLocation::default(),
            probes: None,
            packets: 0,
            expected: Expected {
                challenge: hostname.clone(),
                hostname,
                target: String::new(),
                value: String::new(),
            },
        }
    }
}

impl Dns {
    /// Gathers the evidence of a custom domain, in at most 6 s and 64 packets. Time spent waiting for other checks of the
    /// session comes on top: at most 10 queries to one server address run at a time.
    ///
    /// # Errors
    /// [`Busy`]: it waited 2 s for other checks.
    pub async fn gather(
        &self,
        domain: &Domain,
        operator: &Operator<'_>,
        depth: Depth,
        session: &Session,
        now: Timestamp,
    ) -> Result<Evidence, Busy> {
        let Some(expected) = Expected::of(domain, operator.names) else {
            return Ok(Evidence::unasked(domain));
        };
        let gatherer = Gatherer {
            client: Client::new(self, session, operator, Some(registrable(&expected.hostname))),
            domain,
            expected,
            now,
        };
        tokio::select! {
            evidence = Box::pin(gatherer.gather(depth)) => Ok(evidence),
            () = gatherer.client.busy.notified() => Err(Busy),
        }
    }
}

/// Gathers the evidence of one domain.
pub(super) struct Gatherer<'a> {
    pub client: Client<'a>,
    domain: &'a Domain,
    pub expected: Expected,
    now: Timestamp,
}

impl Gatherer<'_> {
    async fn gather(&self, depth: Depth) -> Evidence {
        let client = &self.client;
        let renewal = match (depth, self.domain.status) {
            (Depth::Scheduled, Status::Verified) => Box::pin(self.renewal()).await,
            _ => None,
        };
        let mut evidence = match renewal {
            Some(evidence) => evidence,
            None => Box::pin(self.full()).await,
        };
        evidence.location = self.location(&evidence, depth).await;
        let is_explained = match depth {
            Depth::Holder => false,
            Depth::Scheduled => evidence.changes(self.domain.status),
            Depth::Diagnose => true,
        };
        if is_explained && evidence.proof() != Proof::Unknown && !evidence.unregistered {
            evidence.probes = Some(Box::pin(self.probe(&evidence)).await);
        }
        evidence.packets = client.budget.sent();
        evidence
    }

    /// The evidence of two servers, if it proves the domain.
    async fn renewal(&self) -> Option<Evidence> {
        let (hostname, challenge) = (&self.expected.hostname, &self.expected.challenge);
        let follow = |name, kind| self.client.follow(name, kind, ServerCount::Two);
        let cname = follow(hostname, RecordType::CNAME).await;
        if !cname.is_unconfirmed() && self.expected.reaches_target(&cname) {
            let before = (None, self.domain.ownership);
            return Some(self.evidence((cname, RecordState::Found), before, Routing::Routed.into()));
        }
        if cname.is_unknown() {
            return None;
        }
        let txt = follow(challenge, RecordType::TXT).await;
        let proven =
            matches!(&txt.result, Ok(Response::Answer(records)) if self.expected.is_proven_by(records));
        if txt.is_unconfirmed() || !proven {
            return None;
        }
        let cname_state = self.cname_state(&cname).await;
        let traffic = self.traffic(&cname).await;
        Some(self.evidence((cname, cname_state), (Some(txt), RecordState::Found), traffic))
    }

    /// The evidence of up to four servers.
    async fn full(&self) -> Evidence {
        let (hostname, challenge) = (&self.expected.hostname, &self.expected.challenge);
        let follow = |name, kind| self.client.follow(name, kind, ServerCount::Four);
        let (mut cname, mut txt) = join!(
            follow(hostname, RecordType::CNAME),
            follow(challenge, RecordType::TXT)
        );
        let (mut cname_state, mut txt_state) = join!(self.cname_state(&cname), self.txt_state(&txt));
        let mut bogus = None;
        // A first proof needs a second perspective: a validating resolver must not reject the zone.
        if !self.domain.status.serves() && self.client.dns.mode == DnsMode::Authoritative {
            for (state, lookup) in [(&mut cname_state, &mut cname), (&mut txt_state, &mut txt)] {
                if *state != RecordState::Found {
                    continue;
                }
                match self.bogus(lookup).await {
                    Ok(None) => continue,
                    Ok(Some(lookup)) => bogus = Some(lookup),
                    Err(failure) => {
                        let Step { name, kind, .. } = &lookup.steps[0];
                        *lookup = Lookup::failed(name, *kind, failure);
                    }
                }
                *state = RecordState::Unreachable;
            }
        }
        let mut unconfirmed_proof = None;
        for (state, lookup, proof) in [
            (&mut cname_state, &cname, Proof::Cname),
            (&mut txt_state, &txt, Proof::Txt),
        ] {
            if *state == RecordState::Found && lookup.is_unconfirmed() {
                *state = RecordState::Unreachable;
                unconfirmed_proof = unconfirmed_proof.or(Some(proof));
            }
        }
        let (traffic, unregistered) = join!(self.traffic(&cname), self.is_unregistered(&cname));
        let disputed = [&cname, &txt].into_iter().any(|lookup| self.is_disputed(lookup));
        let mut evidence = Evidence {
            bogus,
            unregistered,
            ..self.evidence((cname, cname_state), (Some(txt), txt_state), traffic)
        };
        evidence.unconfirmed_proof = unconfirmed_proof.filter(|_| evidence.proof() == Proof::Unknown);
        evidence.disputed = disputed && evidence.proof() == Proof::Missing;
        if counts_unconfirmed_proof(self.domain, self.now) {
            evidence.accept_unconfirmed_proof();
        }
        evidence
    }

    /// Whether the servers disagree, and only one server ever proved the domain. Otherwise one rogue server, and a moment in
    /// which the others do not respond, could hold a name for ever.
    fn is_disputed(&self, lookup: &Lookup) -> bool {
        lookup.is_conflict() && self.domain.status.serves() && self.domain.history.only_unconfirmed_proofs
    }

    fn evidence(
        &self,
        (cname, cname_state): (Lookup, RecordState),
        (txt, txt_state): (Option<Lookup>, RecordState),
        traffic: Traffic,
    ) -> Evidence {
        Evidence {
            expected: self.expected.clone(),
            other_token: self.other_token(&cname),
            cname,
            cname_state,
            txt,
            txt_state,
            traffic,
            unconfirmed_proof: None,
            disputed: false,
            bogus: None,
            unregistered: false,
            token_of_same_agency: false,
            location: ZoneLocation::default(),
            probes: None,
            packets: 0,
        }
    }

    async fn cname_state(&self, lookup: &Lookup) -> RecordState {
        let state = match &lookup.result {
            _ if self.is_disputed(lookup) => return RecordState::Wrong,
            _ if lookup.is_unknown() => return RecordState::Unreachable,
            Ok(Response::Cname(_)) if self.expected.reaches_target(lookup) => RecordState::Found,
            Ok(Response::NoData | Response::NxDomain) if lookup.aliases.is_empty() => RecordState::Missing,
            _ => RecordState::Wrong,
        };
        self.confirmed(lookup, state, |_| false).await
    }

    async fn txt_state(&self, lookup: &Lookup) -> RecordState {
        let proves = |records: &[RData]| self.expected.is_proven_by(records);
        let all_prove = |step: &Step| {
            step.responses()
                .all(|response| matches!(response, Response::Answer(records) if proves(records)))
        };
        let state = match &lookup.result {
            Ok(Response::Answer(records)) if proves(records) => RecordState::Found,
            // Servers may differ in records that have nothing to do with the proof.
            Err(Unresolved::Conflict) if lookup.steps.last().is_some_and(all_prove) => RecordState::Found,
            _ if self.is_disputed(lookup) => return RecordState::Wrong,
            _ if lookup.is_unknown() => return RecordState::Unreachable,
            Ok(Response::NoData | Response::NxDomain) => RecordState::Missing,
            _ => RecordState::Wrong,
        };
        self.confirmed(lookup, state, proves).await
    }

    /// The state. If the lookup rests on one of several servers, only a first proof is known, and only if the resolver confirms
    /// it.
    async fn confirmed(
        &self,
        lookup: &Lookup,
        state: RecordState,
        proves: impl Fn(&[RData]) -> bool,
    ) -> RecordState {
        if !lookup.is_unconfirmed() {
            return state;
        }
        let is_first_proof = state == RecordState::Found && !self.domain.status.serves();
        match is_first_proof && self.client.confirms(lookup, proves).await {
            true => state,
            false => RecordState::Unreachable,
        }
    }

    /// The lookup up to the first step that fails DNSSEC validation.
    async fn bogus(&self, lookup: &Lookup) -> Result<Option<Lookup>, Failure> {
        for (index, step) in lookup.steps.iter().enumerate() {
            if self.client.is_bogus(&step.name, step.kind).await? {
                let mut lookup = lookup.clone();
                lookup.steps.truncate(index + 1);
                lookup.aliases.truncate(index);
                return Ok(Some(lookup));
            }
        }
        Ok(None)
    }

    async fn traffic(&self, cname: &Lookup) -> Traffic {
        let routing = match &cname.result {
            _ if cname.is_unknown() => Some(Routing::Unknown),
            _ if cname.is_unconfirmed() && !cname.aliases.is_empty() => Some(Routing::Unknown),
            // The operator's wildcard record leads every name below the target to the edge, whatever its token.
            Ok(Response::Cname(_)) => Some(Routing::Routed),
            Err(_) => Some(Routing::Elsewhere),
            Ok(_) if cname.aliases.iter().any(proxies::is_proxy_name) => Some(Routing::Proxied),
            // A name that does not exist has no addresses.
            Ok(Response::NxDomain) if !cname.is_unconfirmed() => Some(Routing::Elsewhere),
            Ok(_) => None,
        };
        if let Some(routing) = routing {
            return routing.into();
        }
        let name = cname.aliases.last().unwrap_or(&self.expected.hostname);
        self.traffic_by_address(name).await
    }

    async fn traffic_by_address(&self, name: &Name) -> Traffic {
        let follow = |kind| self.client.follow(name, kind, ServerCount::Two);
        let (v4, v6) = join!(follow(RecordType::A), follow(RecordType::AAAA));
        let known = [addresses(&v4), addresses(&v6)];
        let is_unknown =
            |(lookup, addresses): &(&Lookup, &Option<_>)| addresses.is_none() || lookup.is_unconfirmed();
        let unknown = ADDRESS_TYPES.into_iter().zip([&v4, &v6].into_iter().zip(&known));
        let unknown: Vec<_> = unknown
            .filter(|(_, found)| is_unknown(found))
            .map(|(kind, _)| kind)
            .collect();
        let mut addresses: Vec<_> = known.into_iter().flatten().flatten().collect();
        let are_ours = |ours: &[IpAddr]| -> Vec<_> {
            let ours = addresses.iter().filter(|address| ours.contains(address));
            ours.copied().collect()
        };
        let configured = self.client.operator.addresses;
        let mut ours = are_ours(configured);
        let mut is_edge_known = true;
        if ours.len() < addresses.len() {
            let edge = self.edge().await;
            ours = are_ours(&[configured, &edge.addresses].concat());
            is_edge_known = edge.is_complete;
        }
        let routing = match unknown.is_empty() && is_edge_known {
            _ if !ours.is_empty() => Routing::Routed,
            // An address that is not known yet may be the edge's, and the edge may be in a proxy's network.
            false => Routing::Unknown,
            true if addresses.iter().any(proxies::is_proxy_address) => Routing::Proxied,
            true => Routing::Elsewhere,
        };
        // An alias must not make another company's internal addresses readable.
        if [&v4, &v6]
            .into_iter()
            .flat_map(|lookup| &lookup.steps)
            .any(|step| step.is_foreign)
        {
            addresses.retain(|address| ours.contains(address) || public::is_public(*address));
        }
        Traffic {
            routing,
            addresses,
            ours,
            is_edge_known,
            unknown,
            questions: [v4, v6]
                .into_iter()
                .filter_map(|lookup| lookup.steps.into_iter().next())
                .collect(),
        }
    }

    /// The addresses of the domain's target. If they are complete, they are found once in a session.
    async fn edge(&self) -> EdgeAddresses {
        let mut some = Vec::new();
        let find = async || {
            let target = fqdn(&self.expected.target).ok_or(Failure::Malformed)?;
            let look_up = |kind| self.client.follow(&target, kind, ServerCount::One);
            let (a, aaaa) = (RecordType::A, RecordType::AAAA);
            // Twice, because an edge may answer with a changing subset of its addresses.
            let lookups = join!(look_up(a), look_up(a), look_up(aaaa), look_up(aaaa));
            let sets = [&lookups.0, &lookups.1, &lookups.2, &lookups.3].map(addresses);
            let [a1, a2, aaaa1, aaaa2] = &sets;
            let is_complete = is_same_set(a1, a2) && is_same_set(aaaa1, aaaa2);
            let is_known = sets.iter().all(Option::is_some);
            some = sets.into_iter().flatten().flatten().collect();
            // An edge has addresses. If DNS has none, it is its servers' fault or the operator's.
            let has_addresses = !some.is_empty() || !self.client.operator.addresses.is_empty();
            match is_known && has_addresses {
                true => Ok(EdgeAddresses {
                    addresses: some.clone(),
                    is_complete,
                }),
                false => Err(Failure::NoAddress),
            }
        };
        let edge = self.client.once(&self.client.session.edge, find).await;
        edge.unwrap_or(EdgeAddresses {
            addresses: some,
            is_complete: false,
        })
    }

    fn other_token(&self, cname: &Lookup) -> Option<Token> {
        if !cname.reaches_operator() || cname.is_unconfirmed() || self.expected.reaches_target(cname) {
            return None;
        }
        let end = text(cname.aliases.last()?);
        let label = end.strip_suffix(self.client.operator.names.target.as_str())?;
        label.strip_suffix('.')?.parse().ok()
    }

    /// The zone that was queried. If this check did not find it, it is that of the last check.
    async fn location(&self, evidence: &Evidence, depth: Depth) -> ZoneLocation {
        let hostname = &self.expected.hostname;
        let before = || {
            let check = self.domain.check.as_ref()?;
            let names = check.nameservers.iter().filter_map(|server| fqdn(server));
            Some((fqdn(check.zone.as_ref()?.as_str())?, names.collect()))
        };
        let txt = evidence.txt.as_ref().and_then(|txt| txt.steps.first());
        let is_negative = |step: &Step| matches!(step.result, Ok(Response::NoData | Response::NxDomain));
        // Servers that host a child zone too show it only in their negative responses.
        let mut negative = evidence.at_hostname().into_iter().chain(txt).any(is_negative);
        let mut below = None;
        if !negative && depth == Depth::Diagnose && self.client.dns.mode == DnsMode::Authoritative {
            below = self.question(random_child(hostname), RecordType::SOA).await;
            negative = below.as_ref().is_some_and(is_negative);
        }
        let steps = || evidence.at_hostname().into_iter().chain(txt).chain(&below);
        let queried = steps().filter_map(|step| step.delegation.as_ref());
        let queried = queried
            .filter(|delegation| delegation.zone.zone_of(hostname))
            .max_by_key(|delegation| delegation.zone.iter().len());
        let found = match (self.client.dns.mode, queried) {
            (DnsMode::Recursive, _) if evidence.txt.is_some() => self.zone_by_resolver().await,
            (DnsMode::Authoritative, Some(queried)) => {
                let is_below = |zone: &Name| delegation::is_between(&queried.zone, zone, hostname);
                let child = before().filter(|(zone, _)| !negative && is_below(zone));
                let is_zone = !queried.zone.is_root() && !evidence.unregistered;
                child.or_else(|| is_zone.then(|| (queried.zone.clone(), queried.names.to_vec())))
            }
            _ => before(),
        };
        let (zone, servers) = found.map_or((None, Vec::new()), |(zone, servers)| (Some(zone), servers));
        ZoneLocation {
            provider: providers::provider(&servers),
            zone,
            servers,
        }
    }

    /// Whether the registry's servers answer `NXDOMAIN` for the registrable domain.
    async fn is_unregistered(&self, cname: &Lookup) -> bool {
        let hostname = &self.expected.hostname;
        let registrable = registrable(hostname);
        let is_nxdomain = |step: &Step| step.result == Ok(Response::NxDomain);
        let by_registry = cname.steps.first().is_some_and(|step| {
            // A resolver passes on what the registry answers.
            let zone = step
                .delegation
                .as_ref()
                .map_or(0, |delegation| delegation.zone.iter().len());
            is_nxdomain(step) && zone < registrable.iter().len()
        });
        if !by_registry || delegation::is_under_private_suffix(hostname) {
            return false;
        }
        if *hostname == registrable {
            return true;
        }
        let question = self
            .client
            .question(&registrable, RecordType::SOA, ServerCount::One);
        is_nxdomain(&question.await)
    }

    /// The zone and its name servers according to the resolver. Checking is disabled, so that a zone with broken signatures
    /// is found too.
    async fn zone_by_resolver(&self) -> Option<(Name, Vec<Name>)> {
        let hostname = &self.expected.hostname;
        let registrable = registrable(hostname);
        let private = delegation::is_under_private_suffix(hostname);
        // For an alias the resolver answers from the zone of the alias's target. The parent name is in the right zone.
        for name in [hostname.clone(), hostname.base_name()] {
            let message = self.client.resolver(&name, RecordType::SOA, false).await.ok()?;
            let is_alias = |record: &Record| record.record_type() == RecordType::CNAME;
            if message.answers.iter().any(is_alias) {
                continue;
            }
            let mut records = message.answers.iter().chain(&message.authorities);
            let soa = records.find(|record| {
                record.record_type() == RecordType::SOA
                    && record.name.zone_of(&name)
                    && !record.name.is_root()
                    && (private || registrable.zone_of(&record.name))
            });
            let Some(soa) = soa else { continue };
            let message = self.client.resolver(&soa.name, RecordType::NS, false).await;
            let answers = message.map(|message| message.answers).unwrap_or_default();
            let servers = answers.into_iter().filter_map(|record| match record.data {
                RData::NS(name) => Some(name.0.to_lowercase()),
                _ => None,
            });
            let mut servers: Vec<_> = servers.collect();
            servers.sort();
            return Some((soa.name.to_lowercase(), servers));
        }
        None
    }

    async fn probe(&self, evidence: &Evidence) -> Probes {
        let zone = evidence.location.zone.clone();
        let zone = zone.unwrap_or_else(|| registrable(&self.expected.hostname));
        let (misplaced, beside_cname, wildcard, wildcard_txt, caa) = join!(
            async {
                match evidence.proof().is_given() {
                    true => (Vec::new(), Vec::new()),
                    false => self.misplaced_records(&zone).await,
                }
            },
            self.record_beside_cname(evidence),
            self.wildcard(evidence, &zone),
            self.wildcard_txt(evidence),
            self.caa(),
        );
        Probes {
            doubled: misplaced.0,
            texts: misplaced.1,
            beside_cname,
            wildcard,
            wildcard_txt,
            caa,
        }
    }

    /// A question that decides nothing, to one server; `None` without an answer.
    async fn question(&self, name: Option<Name>, kind: RecordType) -> Option<Step> {
        let step = self.client.question(&name?, kind, ServerCount::One).await;
        step.result.is_ok().then_some(step)
    }

    /// Records with a wrong name: those with the zone's name appended, and the `TXT` records at other names.
    async fn misplaced_records(&self, zone: &Name) -> (Vec<Step>, Vec<Step>) {
        let (hostname, challenge) = (&self.expected.hostname, &self.expected.challenge);
        let doubled = |name: &Name| Name::from_labels(name.iter().chain(zone.iter())).ok();
        let label = Hostname::CHALLENGE.as_bytes();
        let zone_challenge = Name::from_labels(std::iter::once(label).chain(zone.iter())).ok();
        let zone_challenge = zone_challenge.filter(|name| name != challenge);
        let apex = (zone != hostname).then(|| zone.clone());
        let (doubled_txt, doubled_cname, at_hostname, at_apex, at_zone_challenge) = join!(
            self.question(doubled(challenge), RecordType::TXT),
            self.question(doubled(hostname), RecordType::CNAME),
            self.question(Some(hostname.clone()), RecordType::TXT),
            self.question(apex, RecordType::TXT),
            self.question(zone_challenge, RecordType::TXT),
        );
        let is_expected = |step: &Step| match &step.result {
            Ok(Response::Cname(name)) => text(name) == self.expected.target,
            Ok(Response::Answer(records)) => self.expected.is_proven_by(records),
            _ => false,
        };
        let doubled = [doubled_txt, doubled_cname].into_iter().flatten();
        let texts = [at_hostname, at_apex, at_zone_challenge].into_iter().flatten();
        (doubled.filter(is_expected).collect(), texts.collect())
    }

    /// A record of another type beside the `CNAME`, which RFC 1034, section 3.6.2, forbids. An apex has an SOA record, so it
    /// needs no query.
    async fn record_beside_cname(&self, evidence: &Evidence) -> Option<Step> {
        let hostname = &self.expected.hostname;
        if evidence.cname.aliases.is_empty() || evidence.is_apex() {
            return None;
        }
        let question = |kind| self.question(Some(hostname.clone()), kind);
        let (a, txt, mx) = join!(
            question(RecordType::A),
            question(RecordType::TXT),
            question(RecordType::MX),
        );
        let is_answer = |step: &Step| matches!(step.result, Ok(Response::Answer(_)));
        [a, txt, mx].into_iter().flatten().find(is_answer)
    }

    /// A random sibling of the hostname, if it has the hostname's answer: then both answers come from a wildcard.
    async fn wildcard(&self, evidence: &Evidence, zone: &Name) -> Option<Step> {
        let hostname = &self.expected.hostname;
        if hostname == zone {
            return None;
        }
        let addresses = &evidence.traffic.addresses;
        let kind = match addresses.first() {
            _ if !evidence.cname.aliases.is_empty() => RecordType::CNAME,
            Some(address) if address.is_ipv4() => RecordType::A,
            Some(_) => RecordType::AAAA,
            None => return None,
        };
        let step = self.question(random_child(&hostname.base_name()), kind).await?;
        let same = match &step.result {
            Ok(Response::Cname(name)) => evidence.cname.aliases.first() == Some(name),
            Ok(Response::Answer(records)) => {
                let mut found = records.iter().filter_map(RData::ip_addr);
                found.all(|address| addresses.contains(&address))
            }
            _ => false,
        };
        same.then_some(step)
    }

    /// A random sibling of the challenge name, if it has the answer of that name, which proves nothing.
    async fn wildcard_txt(&self, evidence: &Evidence) -> Option<Step> {
        let txt = evidence
            .txt
            .as_ref()
            .filter(|_| evidence.txt_state == RecordState::Wrong)?;
        if evidence.proof().is_given() {
            return None;
        }
        let sibling = random_child(&self.expected.hostname);
        let step = self.question(sibling, RecordType::TXT).await?;
        let is_same = txt.steps.first().is_some_and(|own| own.result == step.result);
        is_same.then_some(step)
    }
}

/// The addresses that a lookup ends at; `None` if they are unknown. Servers may differ in them: load balancers do.
fn addresses(lookup: &Lookup) -> Option<Vec<IpAddr>> {
    let of = |response: &Response| match response {
        Response::Answer(records) => records.iter().filter_map(RData::ip_addr).collect(),
        _ => Vec::new(),
    };
    match &lookup.result {
        Ok(response) => Some(of(response)),
        Err(Unresolved::AliasLoop | Unresolved::TooManyAliases) => Some(Vec::new()),
        Err(Unresolved::Conflict) => {
            let all: Vec<_> = lookup.steps.last()?.responses().flat_map(of).collect();
            Some(all).filter(|addresses| !addresses.is_empty())
        }
        Err(Unresolved::ZoneConflict | Unresolved::Failed(_)) => None,
    }
}

/// Whether two lookups found the same addresses, in any order.
fn is_same_set(one: &Option<Vec<IpAddr>>, other: &Option<Vec<IpAddr>>) -> bool {
    let sorted = |addresses: &Option<Vec<IpAddr>>| {
        let mut addresses = addresses.clone()?;
        addresses.sort_unstable();
        addresses.dedup();
        Some(addresses)
    };
    sorted(one).is_some_and(|one| Some(one) == sorted(other))
}

pub(super) fn fqdn(text: &str) -> Option<Name> {
    Name::from_ascii(format!("{text}.")).ok()
}

/// The strings of a `TXT` record, joined (RFC 7208, section 3.3, has the same rule).
pub(crate) fn txt_bytes(record: &RData) -> Option<Vec<u8>> {
    match record {
        RData::TXT(txt) => Some(txt.txt_data.concat()),
        _ => None,
    }
}

/// In constant time, so that the duration of a comparison reveals nothing of a token.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use shared::models::id::DomainId;

    use super::*;

    #[test]
    fn a_domain_without_a_token_is_unknown_whatever_its_stored_states_say() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let (agency, hostname) = ("org_a".parse().unwrap(), "acme.portal.test".parse().unwrap());
        let domain = Domain {
            ownership: RecordState::Found,
            route: RecordState::Found,
            ..Domain::subdomain(DomainId::new(now), agency, hostname, now)
        };
        assert_eq!(Evidence::unasked(&domain).proof(), Proof::Unknown);
    }
}
