//! Lookups: one question to several servers of a zone, the comparison of their replies, and aliases followed across zones.

use std::{
    fmt::{self, Display, Formatter},
    sync::Arc,
};

use futures_util::future::join_all;
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{DNSClass, Name, RData, RecordType},
    serialize::binary::{BinDecodable, BinDecoder},
};
use shared::{config::DnsMode, models::domain::ServerAnswer};

use super::{
    client::Client,
    delegation::{self, Delegation, MAX_REFERRALS, Server, registrable, text},
    public,
    wire::{Failure, Question},
};

/// Aliases (`CNAME` and `DNAME`) followed from one name.
const MAX_ALIASES: usize = 8;
/// Servers whose answers a domain shows.
const MAX_SERVERS: usize = 4;
/// Characters of one server's answer.
const MAX_ANSWER: usize = 255;
/// The resolver's name in the list of servers.
const RESOLVER: &str = "resolver";

/// How many servers of a zone a question is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerCount {
    /// For questions that decide nothing.
    One,
    /// At random: enough to renew a proof.
    Two,
    /// All servers up to four, else four at random.
    Four,
}

/// What a usable response says about one name and type. Aliases in it are not followed: the target may be in another zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Response {
    /// The records of the type, sorted by their text.
    Answer(Vec<RData>),
    /// The name is an alias for this one, by `CNAME` or `DNAME`.
    Cname(Name),
    /// The name exists, but has no record of the type (RFC 2308).
    NoData,
    /// The name does not exist.
    NxDomain,
    /// The name is in a child zone with these servers.
    Referral(Delegation),
}

impl Response {
    /// Classifies a message. `zone` is the zone of the server that sent it, `None` for a resolver's message.
    ///
    /// # Errors
    /// [`Failure::Lame`]: the server is not authoritative. [`Failure::Malformed`]: there are two `CNAME` records (RFC 2181,
    /// section 10.1), or `NXDOMAIN` with a record of the name.
    fn classify(
        message: &Message,
        zone: Option<&Name>,
        name: &Name,
        kind: RecordType,
    ) -> Result<Self, Failure> {
        if let Some(zone) = zone {
            if let Some(child) = Delegation::from_referral(message, zone, name) {
                return Ok(Self::Referral(child));
            }
            if !message.metadata.authoritative {
                return Err(Failure::Lame);
            }
            // The same server hosts the child zone, and answers with the child's own NS records.
            if kind == RecordType::NS
                && zone != name
                && let Some(child) = Delegation::read(name, &message.answers, &message.additionals, zone)
            {
                return Ok(Self::Referral(child));
            }
        }
        let mut records = Vec::new();
        let mut cname: Option<Name> = None;
        let mut dname = None;
        let answers = message.answers.iter();
        for record in answers.filter(|record| record.dns_class == DNSClass::IN) {
            match &record.data {
                RData::CNAME(target) if record.name == *name => {
                    if cname.as_ref().is_some_and(|other| *other != target.0) {
                        return Err(Failure::Malformed);
                    }
                    cname = Some(target.0.to_lowercase());
                }
                RData::Unknown {
                    code: RecordType::DNAME,
                    rdata,
                } if record.name.zone_of(name) => {
                    dname = rewrite(name, &record.name, &rdata.anything).or(dname);
                }
                data if record.name == *name && data.record_type() == kind => records.push(data.clone()),
                _ => {}
            }
        }
        let exists = message.metadata.response_code == ResponseCode::NoError;
        // With an alias, `NXDOMAIN` is about the last name of the chain (RFC 6604). A `CNAME` record that was queried starts no
        // chain, unless a `DNAME` record made it.
        let is_queried_alias = kind == RecordType::CNAME && cname.is_some() && dname.is_none();
        if !exists && (!records.is_empty() || is_queried_alias) {
            return Err(Failure::Malformed);
        }
        if !records.is_empty() {
            records.sort_by_cached_key(ToString::to_string);
            records.dedup();
            return Ok(Self::Answer(records));
        }
        Ok(match cname.or(dname) {
            Some(target) => Self::Cname(target),
            None if exists => Self::NoData,
            None => Self::NxDomain,
        })
    }

    /// What two servers both say; `None` if they disagree. Servers may differ in whether a name without records exists: a
    /// name that exists on one server exists.
    fn common(&self, other: &Self) -> Option<Self> {
        use Response::{NoData, NxDomain, Referral};
        match (self, other) {
            (NoData, NxDomain) | (NxDomain, NoData) => Some(NoData),
            (Referral(one), Referral(other)) => one.common(other).map(Referral),
            _ => (self == other).then(|| self.clone()),
        }
    }
}

/// The records in presentation format (RFC 1035, section 5.1), or what there is instead.
impl Display for Response {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(records) => {
                let texts: Vec<_> = records.iter().map(presentation).collect();
                f.write_str(&texts.join(", "))
            }
            Self::Cname(name) => write!(f, "{}.", text(name)),
            Self::NoData => f.write_str("NOERROR, no such record"),
            Self::NxDomain => f.write_str("NXDOMAIN"),
            Self::Referral(child) => write!(f, "referral to {}", text(&child.zone)),
        }
    }
}

fn presentation(record: &RData) -> String {
    match record {
        RData::TXT(txt) => {
            let strings: Vec<_> = txt.txt_data.iter().map(|string| quoted(string)).collect();
            strings.join(" ")
        }
        RData::CAA(caa) => format!("{} {} {}", caa.flags(), caa.tag, quoted(&caa.value)),
        RData::MX(mx) => format!("{} {}.", mx.preference, text(&mx.exchange)),
        other => other.to_string(),
    }
}

/// A character string in quotes.
fn quoted(string: &[u8]) -> String {
    let escaped = string.iter().map(|byte| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\{byte:03}"),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// Why a lookup has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// An alias leads to a name that was met before.
    AliasLoop,
    /// The chain has more than 8 aliases.
    TooManyAliases,
    /// The servers have different records.
    Conflict,
    /// Some servers refer to a child zone, and others do not or refer to another one.
    ZoneConflict,
    /// No server sent a usable response; this is the most specific failure.
    Failed(Failure),
}

/// One server's reply to a question.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// The server's name without the trailing dot.
    pub server: String,
    pub response: Result<Response, Failure>,
}

/// One question of a lookup.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub name: Name,
    pub kind: RecordType,
    /// Sorted by server.
    pub replies: Vec<Reply>,
    pub result: Result<Response, Unresolved>,
    /// Only one of several servers answered.
    pub unconfirmed: bool,
    /// The name is outside the registrable domain of the domain that is checked: an alias leads to it.
    pub is_foreign: bool,
    /// The zone whose servers were queried; `None` if the resolver was.
    pub delegation: Option<Arc<Delegation>>,
}

impl Step {
    fn failed(name: &Name, kind: RecordType, delegation: Option<Arc<Delegation>>, failure: Failure) -> Self {
        Self {
            name: name.clone(),
            kind,
            replies: Vec::new(),
            result: Err(Unresolved::Failed(failure)),
            unconfirmed: false,
            is_foreign: false,
            delegation,
        }
    }

    /// A response as a finding shows it. Of another domain these are public addresses only: an internal resolver, or another
    /// company's zone, must not become readable by an alias.
    pub fn shown(&self, response: &Response) -> String {
        const HIDDEN: &str = "records of another domain, which are not shown";
        match response {
            Response::NoData | Response::NxDomain => response.to_string(),
            _ if !self.is_foreign => response.to_string(),
            Response::Cname(_) | Response::Referral(_) => HIDDEN.to_owned(),
            Response::Answer(records) => {
                let addresses = records.iter().filter_map(RData::ip_addr);
                let public = addresses.filter(|address| public::is_public(*address));
                let public: Vec<_> = public.map(|address| address.to_string()).collect();
                match public.is_empty() {
                    true => HIDDEN.to_owned(),
                    false => public.join(", "),
                }
            }
        }
    }

    /// What each server answered, as a domain shows it; without any server, why none was found. The servers of another domain are
    /// not named.
    pub fn answers(&self) -> Vec<ServerAnswer> {
        if let (true, Err(Unresolved::Failed(failure))) = (self.replies.is_empty(), &self.result) {
            let server = match self.is_foreign {
                true => "delegation of another domain".to_owned(),
                false => format!("delegation of {}", text(&registrable(&self.name))),
            };
            let answer = failure.to_string();
            return vec![ServerAnswer { server, answer }];
        }
        let replies = self.replies.iter().take(MAX_SERVERS);
        let replies = replies.map(|reply| ServerAnswer {
            server: match self.is_foreign && self.delegation.is_some() {
                true => "name server of another domain".to_owned(),
                false => reply.server.clone(),
            },
            answer: shorten(&match &reply.response {
                Ok(response) => self.shown(response),
                Err(failure) => failure.to_string(),
            }),
        });
        replies.collect()
    }

    /// The usable responses.
    pub fn responses(&self) -> impl Iterator<Item = &Response> {
        self.replies
            .iter()
            .filter_map(|reply| reply.response.as_ref().ok())
    }
}

pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(MAX_ANSWER).collect()
}

/// A lookup of one name and type.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    /// One for the name and one for each alias that was followed; never empty.
    pub steps: Vec<Step>,
    /// The targets of the aliases, in order.
    pub aliases: Vec<Name>,
    /// A [`Response::Cname`] is a name below the operator's target, where following stops. A name that cannot exist in the
    /// public DNS is [`Response::NxDomain`] without a step of its own.
    pub result: Result<Response, Unresolved>,
}

impl Lookup {
    /// A lookup that was not made.
    pub fn failed(name: &Name, kind: RecordType, failure: Failure) -> Self {
        Self {
            steps: vec![Step::failed(name, kind, None, failure)],
            aliases: Vec::new(),
            result: Err(Unresolved::Failed(failure)),
        }
    }

    /// Whether a step rests on one of several servers.
    pub fn is_unconfirmed(&self) -> bool {
        self.unconfirmed_step().is_some()
    }

    pub fn unconfirmed_step(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.unconfirmed)
    }

    /// The last alias that is a record of the checked domain itself.
    pub fn last_own_alias(&self) -> Option<&Name> {
        let own = self.steps.iter().take_while(|step| !step.is_foreign);
        self.aliases.iter().take(own.count()).next_back()
    }

    /// Whether it ended at a name below the operator's target.
    pub fn reaches_operator(&self) -> bool {
        matches!(self.result, Ok(Response::Cname(_)))
    }

    /// Whether the servers gave no definite answer.
    pub fn is_unknown(&self) -> bool {
        use Unresolved::{Conflict, Failed, ZoneConflict};
        matches!(self.result, Err(Conflict | ZoneConflict | Failed(_)))
    }

    /// Whether the servers disagree.
    pub fn is_conflict(&self) -> bool {
        matches!(self.result, Err(Unresolved::Conflict | Unresolved::ZoneConflict))
    }
}

impl Client<'_> {
    /// Looks up the records of `kind` at `name`, and follows aliases across zones.
    pub async fn follow(&self, name: &Name, kind: RecordType, count: ServerCount) -> Lookup {
        let mut steps = Vec::new();
        let mut aliases: Vec<Name> = Vec::new();
        let result = loop {
            let at = aliases.last().unwrap_or(name);
            let mut step = self.question(at, kind, count).await;
            step.is_foreign = self.own_domain.as_ref().is_some_and(|own| !own.zone_of(at));
            let result = step.result.clone();
            steps.push(step);
            let target = match result {
                Ok(Response::Cname(target)) => target,
                result => break result,
            };
            let is_loop = target == *name || aliases.contains(&target);
            aliases.push(target.clone());
            if is_loop {
                break Err(Unresolved::AliasLoop);
            }
            if aliases.len() > MAX_ALIASES {
                break Err(Unresolved::TooManyAliases);
            }
            // CAA records at the operator's target count too (RFC 8659, section 3).
            let stops = kind != RecordType::CAA && !self.operator.is_target(name);
            if stops && self.operator.is_target(&target) {
                break Ok(Response::Cname(target));
            }
            // The public DNS has no such name, and an internal resolver must not be asked for it.
            if !self.operator.is_public(&target) {
                break Ok(Response::NxDomain);
            }
        };
        Lookup {
            steps,
            aliases,
            result,
        }
    }

    /// Whether the resolver, asked now, confirms each step that rests on one of several servers. `proves` decides for
    /// records, because resolvers and servers may differ in the other records.
    pub async fn confirms(&self, lookup: &Lookup, proves: impl Fn(&[RData]) -> bool) -> bool {
        for step in lookup.steps.iter().filter(|step| step.unconfirmed) {
            let resolved = self.resolver(&step.name, step.kind, true).await;
            let resolved =
                resolved.and_then(|message| Response::classify(&message, None, &step.name, step.kind));
            let same = match (&step.result, resolved) {
                (Ok(Response::Answer(_)), Ok(Response::Answer(records))) => proves(&records),
                (Ok(response), Ok(resolved)) => response.common(&resolved).is_some(),
                _ => false,
            };
            if !same {
                return false;
            }
        }
        true
    }

    /// Asks one question of the zone's own servers, or of the resolver in recursive mode.
    pub async fn question(&self, name: &Name, kind: RecordType, count: ServerCount) -> Step {
        if self.dns.mode == DnsMode::Recursive {
            return self.question_to_resolver(name, kind, count).await;
        }
        // Boxed: most questions find the delegation in the session, and its future is large.
        let mut delegation = match Box::pin(self.delegation(name)).await {
            Ok(delegation) => delegation,
            Err(failure) => return Step::failed(name, kind, None, failure),
        };
        let mut unconfirmed = false;
        for _ in 0..MAX_REFERRALS {
            let mut step = self.question_to_zone(&delegation, name, kind, count).await;
            if let Ok(Response::Referral(child)) = step.result {
                delegation = Arc::new(child);
                unconfirmed |= step.unconfirmed || count == ServerCount::One;
                // Other checks rely on it, so no single one of several servers may have said it.
                if !unconfirmed {
                    self.session.remember(&delegation);
                }
                continue;
            }
            if unconfirmed && count != ServerCount::One {
                step.unconfirmed = step.result.is_ok();
                if step.result == Err(Unresolved::Conflict) {
                    step.result = Err(Unresolved::ZoneConflict);
                }
            }
            return step;
        }
        Step::failed(name, kind, Some(delegation), Failure::Lame)
    }

    async fn question_to_resolver(&self, name: &Name, kind: RecordType, count: ServerCount) -> Step {
        let query = |lower_case| async move {
            let question = Question {
                name,
                kind,
                recursion: true,
                checking_disabled: false,
                lower_case,
            };
            let message = self.ask_resolvers(&question).await?;
            Response::classify(&message, None, name, kind)
        };
        let response = match confirm_negative(count != ServerCount::One, query).await {
            Err(Failure::Code(ResponseCode::ServFail)) if self.resolver(name, kind, false).await.is_ok() => {
                Err(Failure::Bogus)
            }
            response => response,
        };
        let result = response.clone().map_err(Unresolved::Failed);
        let server = RESOLVER.to_owned();
        Step {
            name: name.clone(),
            kind,
            replies: vec![Reply { server, response }],
            result,
            unconfirmed: false,
            is_foreign: false,
            delegation: None,
        }
    }

    async fn question_to_zone(
        &self,
        delegation: &Arc<Delegation>,
        name: &Name,
        kind: RecordType,
        count: ServerCount,
    ) -> Step {
        if self.session.is_unresponsive(delegation) {
            return Step::failed(name, kind, Some(Arc::clone(delegation)), Failure::Timeout);
        }
        let servers = match count {
            ServerCount::One => self.responsive_servers(delegation, 1),
            ServerCount::Two => self.responsive_servers(delegation, 2),
            ServerCount::Four => delegation.choose(4),
        };
        let decides = count != ServerCount::One;
        let queries = servers
            .iter()
            .map(|server| self.ask(delegation, server, name, kind, decides));
        let mut responses = join_all(queries).await;
        // If only some of the servers were queried, the others may still respond.
        let all = count == ServerCount::Four || servers.len() == delegation.servers.len();
        if let Some(responded) = any_responded(&responses).filter(|responded| *responded || all) {
            self.note(delegation, responded);
        }
        self.complete_referrals(delegation, &servers, &mut responses)
            .await;
        let replies = servers.iter().zip(responses).map(|(server, response)| Reply {
            server: text(&server.name),
            response,
        });
        let mut replies: Vec<_> = replies.collect();
        replies.sort_by(|a, b| a.server.cmp(&b.server));
        let one_is_enough = delegation.servers.len() == 1 || count == ServerCount::One;
        let (result, unconfirmed) = compare(&replies, one_is_enough);
        Step {
            name: name.clone(),
            kind,
            replies,
            result,
            unconfirmed,
            is_foreign: false,
            delegation: Some(Arc::clone(delegation)),
        }
    }

    /// If some servers refer to a child zone, the others may host that zone themselves: their NS records for it take the
    /// place of the referral.
    async fn complete_referrals(
        &self,
        delegation: &Delegation,
        servers: &[&Server],
        responses: &mut [Result<Response, Failure>],
    ) {
        let zone = responses.iter().find_map(|response| match response {
            Ok(Response::Referral(child)) => Some(child.zone.clone()),
            _ => None,
        });
        let Some(zone) = zone else { return };
        for (server, response) in servers.iter().zip(responses) {
            if matches!(response, Ok(response) if !matches!(response, Response::Referral(_)))
                && let Some(child) = self.resolve_same_server_child(delegation, server, &zone).await
            {
                *response = Ok(Response::Referral(child));
            }
        }
    }

    /// One server's response. A negative response from a child zone that the server hosts too becomes a referral to it. If
    /// `decides`, another negative response is confirmed by [`confirm_negative`].
    pub async fn ask(
        &self,
        delegation: &Delegation,
        server: &Server,
        name: &Name,
        kind: RecordType,
        decides: bool,
    ) -> Result<Response, Failure> {
        let zone = &delegation.zone;
        let query = |address| {
            confirm_negative(decides, move |lower_case| async move {
                let message = self
                    .authority(delegation, address, name, kind, lower_case)
                    .await?;
                let response = Response::classify(&message, Some(zone), name, kind)?;
                if !matches!(response, Response::Referral(_))
                    && let Some(zone) = delegation::same_server_child(&message, zone, name)
                    && (kind, zone) != (RecordType::NS, name)
                    && let Some(child) =
                        Box::pin(self.resolve_same_server_child(delegation, server, zone)).await
                {
                    return Ok(Response::Referral(child));
                }
                Ok(response)
            })
        };
        self.at_addresses(server, query).await
    }
}

/// The response to a query in random letter case. If it is negative and `decides`, the response to the same query in lower
/// case, because some servers compare letter case. A server that does not respond to that one does not serve TCP, and has
/// answered the first one.
async fn confirm_negative<F>(decides: bool, query: impl Fn(bool) -> F) -> Result<Response, Failure>
where
    F: Future<Output = Result<Response, Failure>>,
{
    let response = query(false).await?;
    if !decides || !matches!(response, Response::NoData | Response::NxDomain) {
        return Ok(response);
    }
    match query(true).await {
        Err(Failure::Timeout) => Ok(response),
        repeated => repeated,
    }
}

/// Whether any server responded. `None`: the check ended before one of them could.
fn any_responded(responses: &[Result<Response, Failure>]) -> Option<bool> {
    use Failure::{BudgetExhausted, NoAddress, PrivateAddress, Resolver, Timeout};
    let failed_with = |failure| {
        responses
            .iter()
            .any(|response| response.as_ref().err() == Some(&failure))
    };
    let is_no_response = |response: &Result<Response, Failure>| {
        matches!(
            response,
            Err(Timeout | BudgetExhausted | NoAddress | PrivateAddress | Resolver)
        )
    };
    if !responses.iter().all(is_no_response) {
        return Some(true);
    }
    (failed_with(Timeout) && !failed_with(BudgetExhausted)).then_some(false)
}

/// What the replies say together, and whether only one of several servers said it.
fn compare(replies: &[Reply], one_is_enough: bool) -> (Result<Response, Unresolved>, bool) {
    let mut responses = replies.iter().filter_map(|reply| reply.response.as_ref().ok());
    let Some(first) = responses.next() else {
        return (Err(Unresolved::Failed(most_common(replies))), false);
    };
    let (mut count, mut agreed) = (1, first.clone());
    let is_referral = |response: &Response| matches!(response, Response::Referral(_));
    let mut referral = is_referral(first);
    let mut conflict = false;
    for other in responses {
        count += 1;
        referral |= is_referral(other);
        match agreed.common(other) {
            Some(common) => agreed = common,
            None => conflict = true,
        }
    }
    match (conflict, referral) {
        (true, true) => (Err(Unresolved::ZoneConflict), false),
        (true, false) => (Err(Unresolved::Conflict), false),
        (false, _) => (Ok(agreed), count == 1 && !one_is_enough),
    }
}

/// The failure that most servers have in common; of several, the most specific one.
fn most_common(replies: &[Reply]) -> Failure {
    let failures = || replies.iter().filter_map(|reply| reply.response.as_ref().err());
    // That a server has no usable address matters only if all are so.
    let matters = |failure: &&Failure| rank(**failure) < rank(Failure::PrivateAddress);
    let count = |failure: &Failure| failures().filter(|other| *other == failure).count();
    let most = failures().filter(matters).map(count).max();
    let common = failures().filter(|failure| matters(failure) && Some(count(failure)) == most);
    match most {
        Some(_) => most_specific(common.copied()),
        None => most_specific(failures().copied()),
    }
}

/// The failure that says most about the cause.
pub(super) fn most_specific(failures: impl IntoIterator<Item = Failure>) -> Failure {
    let failures = failures.into_iter();
    failures
        .min_by_key(|failure| rank(*failure))
        .unwrap_or(Failure::Timeout)
}

fn rank(failure: Failure) -> u8 {
    match failure {
        Failure::Bogus => 0,
        Failure::TooBig => 1,
        Failure::Truncated => 2,
        Failure::Lame => 3,
        Failure::Code(_) => 4,
        Failure::Malformed => 5,
        Failure::Timeout => 6,
        Failure::Resolver => 7,
        Failure::BudgetExhausted => 8,
        Failure::PrivateAddress => 9,
        Failure::NoAddress => 10,
    }
}

/// The name with `owner` at its end replaced by the target of a `DNAME` record (RFC 6672, section 2.2).
fn rewrite(name: &Name, owner: &Name, target: &[u8]) -> Option<Name> {
    let labels = name.iter().len().checked_sub(owner.iter().len())?;
    if labels == 0 {
        return None;
    }
    let target = Name::read(&mut BinDecoder::new(target)).ok()?;
    let rewritten = Name::from_labels(name.iter().take(labels).chain(target.iter())).ok()?;
    Some(rewritten.to_lowercase())
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::{Record, rdata::NS};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn reply(response: Result<Response, Failure>) -> Reply {
        Reply {
            server: "ns".to_owned(),
            response,
        }
    }

    fn referral(zone: &str, server: &str) -> Reply {
        let ns = Record::from_rdata(name(zone), 60, RData::NS(NS(name(server))));
        let delegation = Delegation::read(&name(zone), &[ns], &[], &Name::root()).unwrap();
        reply(Ok(Response::Referral(delegation)))
    }

    #[test]
    fn a_dname_replaces_the_end_of_names_below_it() {
        let target = [&[3][..], b"new", &[4], b"test", &[0]].concat();
        let rewritten = |from: &str| rewrite(&name(from), &name("old.test."), &target);
        assert_eq!(rewritten("a.b.OLD.test."), Some(name("a.b.new.test.")));
        assert_eq!(rewritten("old.test."), None);
        assert_eq!(rewrite(&name("a.old.test."), &name("old.test."), &[9, 1]), None);
    }

    #[test]
    fn replies_of_several_servers_are_compared() {
        let alias = |to: &str| reply(Ok(Response::Cname(name(to))));
        let timeout = || reply(Err(Failure::Timeout));
        let nodata = || reply(Ok(Response::NoData));
        let nxdomain = || reply(Ok(Response::NxDomain));
        let same = || referral("acme.test.", "ns1.acme.test.");
        let other = || referral("acme.test.", "ns9.acme.test.");
        let confirmed = |response| (Ok(response), false);
        let target = Response::Cname(name("a.test."));
        for (replies, expected) in [
            (
                vec![alias("a.test."), alias("A.test.")],
                confirmed(target.clone()),
            ),
            (
                vec![alias("a.test."), alias("a.test."), timeout()],
                confirmed(target.clone()),
            ),
            (vec![nxdomain(), nodata()], confirmed(Response::NoData)),
            (vec![nxdomain(), nxdomain()], confirmed(Response::NxDomain)),
            (vec![nodata(), timeout()], (Ok(Response::NoData), true)),
            (
                vec![nodata(), alias("a.test.")],
                (Err(Unresolved::Conflict), false),
            ),
            (vec![same(), same()], confirmed(same().response.unwrap())),
            (
                vec![same(), timeout()],
                (same().response.map_err(Unresolved::Failed), true),
            ),
            (vec![same(), other()], (Err(Unresolved::ZoneConflict), false)),
            (vec![nodata(), same()], (Err(Unresolved::ZoneConflict), false)),
            (
                vec![
                    timeout(),
                    reply(Err(Failure::PrivateAddress)),
                    reply(Err(Failure::Lame)),
                ],
                (Err(Unresolved::Failed(Failure::Lame)), false),
            ),
        ] {
            assert_eq!(compare(&replies, false), expected, "{replies:?}");
        }
        assert_eq!(compare(&[nodata()], true), confirmed(Response::NoData));
        assert_eq!(compare(&[alias("a.test.")], false), (Ok(target), true));
    }
}
