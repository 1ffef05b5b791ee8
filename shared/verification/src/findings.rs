//! Findings: turns the facts of a check into codes, levels and sentences. No other place writes a sentence of a check.

use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RData},
};
use shared::models::{
    domain::{
        Check, Domain, Finding, FindingCode as Code, Level, RecordState, Routing, ServerAnswer, Status, Token,
    },
    hostname::{HostPolicy, Hostname, relative_host},
    time::Timestamp,
};

use crate::{
    decide::Holder,
    dns::{
        Evidence, Proof,
        caa::{CaaProblem, Forbidden, Reason},
        delegation::{registrable, text},
        evidence::{Probes, txt_bytes},
        lookup::{Lookup, Response, Step, Unresolved},
        wire::Failure,
    },
};

/// What a finding says of a `CNAME` to the target of another domain of the agency.
const OWN_TARGET: &str = "That is the target of another of your domains.";
/// What it says of a `CNAME` to the target of another agency's domain, or of none.
const FOREIGN_TARGET: &str = "Its token belongs to none of your domains.";

/// Removes from a check whether the `CNAME` record leads to another domain of the same agency. The person who runs the DNS chooses the
/// target of the record, and could otherwise find out which portals belong to one agency.
pub fn redact_ownership(check: &mut Check, is_proven_by_txt: bool) {
    check.findings.retain_mut(|finding| {
        let known = [OWN_TARGET, FOREIGN_TARGET];
        let Some(rest) = known.iter().find_map(|text| finding.detail.strip_suffix(text)) else {
            return true;
        };
        finding.detail = format!("{rest}That is the target of another domain.");
        finding.code = Code::WrongValue;
        // With this proof, only one of the two cases has a finding.
        !is_proven_by_txt
    });
    check.problem = problem(&check.findings).cloned();
}

/// Findings of one check.
const MAX_FINDINGS: usize = 16;
/// Octets of all findings of a check: they share the domain's item with everything else, and names may be long.
const MAX_OCTETS: usize = 16_000;
/// Servers shown in one finding.
const MAX_SERVERS: usize = 4;
/// Characters of one server's answer.
const MAX_ANSWER: usize = 255;

/// What the findings of a check follow from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The domain with its new status and history.
    pub domain: &'a Domain,
    pub evidence: &'a Evidence,
    /// The other agency's domain that keeps the hostname, although this domain is proven.
    pub holder: Option<Holder<'a>>,
    pub names: &'a HostPolicy,
    pub now: Timestamp,
}

/// The findings of a check: errors and unknowns first, the most specific one in front, then the warnings.
pub fn explain(facts: &Facts<'_>) -> Vec<Finding> {
    let (domain, evidence) = (facts.domain, facts.evidence);
    let (proof, flattened) = (evidence.proof(), evidence.is_flattened());
    let explainer = Explainer::new(facts);
    let mut found = undecided(evidence);
    found.extend(flattened.then(|| explainer.flattened()));
    if !proof.is_given() {
        found.extend(explainer.proxied());
    }
    found.extend(evidence.unregistered.then(|| explainer.unregistered()));
    if let Some(probes) = &evidence.probes {
        found.extend(explainer.probed(probes));
    }
    found.extend(explainer.cname());
    if !proof.is_given() {
        found.extend(explainer.txt());
        found.extend(explainer.missing());
    }
    found.extend(explainer.warnings(facts.holder.is_none()));
    let is_finer = |finding: &Finding| finding.level == Level::Error && finding.code != Code::RecordMissing;
    match (proof, domain.status) {
        // A missing record is certain, but it is not what the check failed on.
        (Proof::Unknown, _) => found.retain(|finding| finding.code != Code::RecordMissing),
        // A flattened name renews a verified domain.
        (_, Status::Verified) if flattened => found.retain(|finding| finding.level != Level::Error),
        _ if found.iter().any(is_finer) => found.retain(|finding| finding.code != Code::RecordMissing),
        _ => {}
    }
    let ended = domain.history.cause.map(|cause| ended(domain, cause));
    let held = facts.holder.map(|holder| explainer.held_elsewhere(holder));
    let mut findings: Vec<_> = ended.into_iter().chain(held).chain(found).collect();
    findings.sort_by_key(|finding| finding.level == Level::Warning);
    let contested_until = domain.history.contested_until;
    let is_contested = domain.status.serves() && contested_until > Some(facts.now);
    let warning = is_contested.then(|| contest_warning(domain));
    findings.truncate(MAX_FINDINGS - usize::from(warning.is_some()));
    let mut room = MAX_OCTETS;
    findings.retain(|finding| {
        let fits = octets(finding) <= room;
        room = room.saturating_sub(octets(finding));
        fits
    });
    findings.extend(warning);
    findings
}

/// The first finding that is not a warning.
pub(crate) fn problem(findings: &[Finding]) -> Option<&Finding> {
    findings.iter().find(|finding| finding.level != Level::Warning)
}

/// Adds the warning that another agency has proven the hostname that this domain holds.
pub(crate) fn warn_of_contest(domain: &Domain, findings: &mut Vec<Finding>) {
    let warned = findings.iter().any(|finding| finding.code == Code::Contested);
    if !warned && findings.len() < MAX_FINDINGS {
        findings.push(contest_warning(domain));
    }
}

fn contest_warning(domain: &Domain) -> Finding {
    let detail = format!("Another account's record for {} is in DNS too.", domain.hostname);
    let challenge = domain.hostname.challenge();
    let zone = last_zone(domain);
    let fix = format!("Keep your own record. Remove from {zone} every other record named {challenge}.");
    finding(Code::Contested, detail, fix)
}

/// Why a domain has failed.
pub(crate) fn ended(domain: &Domain, cause: Code) -> Finding {
    let (hostname, zone) = (&domain.hostname, last_zone(domain));
    let (detail, fix) = match cause {
        Code::Moved => (
            format!("Another account has proven {hostname} and serves it now."),
            format!(
                "To take {hostname} back, replace the other account's record in {zone} with your own, then verify."
            ),
        ),
        Code::Lost => (
            format!(
                "The records of {hostname} were missing for too long. The portal does not serve it any more."
            ),
            format!("Add one of the records to {zone} again, then verify."),
        ),
        _ => (
            format!("{hostname} was not proven in time. It is checked only once a day now."),
            format!("Add one of the records to {zone}, then verify."),
        ),
    };
    finding(cause, detail, fix)
}

/// Where the records are to be entered.
fn in_words(zone: Option<&str>, provider: Option<&str>) -> String {
    let provider = provider.unwrap_or("your DNS provider");
    match zone {
        Some(zone) => format!("the zone {zone} at {provider}"),
        None => format!("the zone at {provider}"),
    }
}

/// The zone that the last check found.
fn last_zone(domain: &Domain) -> String {
    let check = domain.check.as_ref();
    let zone = check.and_then(|check| check.zone.as_ref()).map(Hostname::as_str);
    in_words(zone, check.and_then(|check| check.provider.as_deref()))
}

fn finding(code: Code, detail: String, fix: impl Into<String>) -> Finding {
    Finding {
        code,
        level: level(code),
        detail,
        fix: fix.into(),
        expected: None,
        observed: Vec::new(),
    }
}

fn level(code: Code) -> Level {
    match code {
        Code::NotEverywhereYet
        | Code::LameDelegation
        | Code::DnsTimeout
        | Code::DnsServfail
        | Code::DnsRefused
        | Code::DnsMalformed
        | Code::AnswerTooBig
        | Code::DnssecBogus
        | Code::ResolverFailed => Level::Unknown,
        Code::CnameFlattened
        | Code::Contested
        | Code::LeftoverAddress
        | Code::CaaForbids
        | Code::CaaUnanswered
        | Code::WildcardShadowed
        | Code::NotRouted => Level::Warning,
        _ => Level::Error,
    }
}

/// Why the check decided nothing, or what the servers disagree about.
fn undecided(evidence: &Evidence) -> Vec<Finding> {
    if evidence.proof() != Proof::Unknown && !evidence.disputed {
        return Vec::new();
    }
    let bogus = evidence.bogus.iter();
    let mut found: Vec<_> = bogus
        .filter_map(|lookup| failed(Failure::Bogus, lookup))
        .collect();
    let is_open =
        |state: RecordState, lookup: &&Lookup| state == RecordState::Unreachable || lookup.is_conflict();
    let cname = Some(&evidence.cname).filter(|cname| is_open(evidence.cname_state, cname));
    let txt = evidence
        .txt
        .as_ref()
        .filter(|txt| is_open(evidence.txt_state, txt));
    for lookup in cname.into_iter().chain(txt) {
        let finding = match &lookup.result {
            Err(Unresolved::Conflict | Unresolved::ZoneConflict) => not_everywhere_yet(lookup),
            Err(Unresolved::Failed(failure)) => failed(*failure, lookup),
            // The record was found, and its zone is bogus: see above.
            _ => only_one_server(lookup),
        };
        // One sentence is enough for both records.
        found.extend(finding.filter(|new| found.iter().all(|old| old.code != new.code)));
    }
    found
}

/// The facts, with the phrases that several findings have in common.
struct Explainer<'a> {
    evidence: &'a Evidence,
    names: &'a HostPolicy,
    hostname: &'a Hostname,
    /// The value of the `CNAME`, without the trailing dot.
    target: &'a str,
    /// The value of the `TXT` record.
    value: &'a str,
}

impl<'a> Explainer<'a> {
    fn new(facts: &Facts<'a>) -> Self {
        let expected = &facts.evidence.expected;
        Self {
            evidence: facts.evidence,
            names: facts.names,
            hostname: &facts.domain.hostname,
            target: &expected.target,
            value: &expected.value,
        }
    }

    /// A name as the provider's form expects it.
    fn relative(&self, name: &Name) -> String {
        let name = text(name);
        match &self.evidence.location.zone {
            Some(zone) => relative_host(&name, &text(zone)).to_owned(),
            None => name,
        }
    }

    fn host(&self) -> String {
        self.relative(&self.evidence.expected.hostname)
    }

    /// The zone into which the records must be entered: `the zone acme.com at Cloudflare`.
    fn zone(&self) -> String {
        let location = &self.evidence.location;
        in_words(location.zone.as_ref().map(text).as_deref(), location.provider)
    }

    /// `Add to the zone acme.com at Cloudflare a TXT record …`, without a full stop.
    fn add(&self, record: &str) -> String {
        format!("Add to {} {record}", self.zone())
    }

    fn cname_record(&self) -> String {
        format!(
            "a CNAME record named {} with the value {}",
            self.host(),
            self.target
        )
    }

    fn txt_record(&self) -> String {
        let host = self.relative(&self.evidence.expected.challenge);
        format!("a TXT record named {host} with the value {}", self.value)
    }

    fn add_cname(&self) -> String {
        self.add(&self.cname_record())
    }

    fn add_txt(&self) -> String {
        self.add(&self.txt_record())
    }

    fn proxied(&self) -> Option<Finding> {
        let (evidence, hostname) = (self.evidence, self.hostname);
        if !evidence.is_behind_proxy() || evidence.txt_state == RecordState::Unreachable {
            return None;
        }
        let detail = format!("{hostname} is behind a proxy, which hides its CNAME record.");
        let fix = format!("{}. Or turn off the proxy for this name.", self.add_txt());
        let observed = match evidence.cname.aliases.is_empty() {
            true => self.addresses(),
            false => self.at_hostname(),
        };
        let finding = finding(Code::Proxied, detail, fix).with_expected(self.value);
        Some(finding.with_observed(observed))
    }

    fn unregistered(&self) -> Finding {
        let domain = text(&registrable(&self.evidence.expected.hostname));
        let detail = format!("The registry answers that the domain {domain} does not exist.");
        let fix = format!("Register or renew {domain}. Or correct the spelling of the host name.");
        let (detail, fix) = match domain.rsplit_once('.') {
            Some((_, top)) if self.evidence.has_no_top_level() => {
                let fix = "Correct the spelling of the host name: remove the domain, and add it again.";
                (format!("There is no top-level domain {top}."), fix.to_owned())
            }
            _ => (detail, fix),
        };
        finding(Code::DomainUnregistered, detail, fix).with_observed(self.at_hostname())
    }

    /// What is wrong with the `CNAME` record.
    fn cname(&self) -> Vec<Finding> {
        let (evidence, hostname) = (self.evidence, self.hostname);
        let lookup = &evidence.cname;
        let is_wrong =
            evidence.cname_state != RecordState::Found && evidence.traffic.routing != Routing::Proxied;
        let (true, Some(first), Some(last)) = (is_wrong, lookup.aliases.first(), lookup.last_own_alias())
        else {
            return Vec::new();
        };
        let proof = evidence.proof();
        let leads = format!("The CNAME record of {hostname} leads to {}.", text(last));
        if evidence.other_token.is_some() {
            let (code, whose) = match evidence.token_of_same_agency {
                // The traffic arrives, and the TXT record proves the domain.
                true if proof == Proof::Txt => return Vec::new(),
                true => (Code::WrongValue, OWN_TARGET),
                false => (Code::StaleToken, FOREIGN_TARGET),
            };
            return vec![self.wrong_cname(code, format!("{leads} {whose}"))];
        }
        // If the TXT record proves the domain, its traffic may go anywhere.
        if proof.is_given() || lookup.is_unconfirmed() {
            return Vec::new();
        }
        let mut found: Vec<_> = self.altered_cname(first).into_iter().collect();
        match &lookup.result {
            Err(Unresolved::AliasLoop) => {
                let detail = format!("The CNAME records that start at {hostname} form a loop.");
                found.push(self.wrong_cname(Code::CnameLoop, detail));
            }
            Err(Unresolved::TooManyAliases) => {
                let detail = format!("A chain of more than 8 CNAME records starts at {hostname}.");
                found.push(self.wrong_cname(Code::CnameTooLong, detail));
            }
            Ok(response) if found.is_empty() => {
                found.push(self.wrong_cname(Code::WrongValue, leads.clone()));
                if *response == Response::NxDomain {
                    let detail = format!("{leads} That name does not exist.");
                    found.push(self.wrong_cname(Code::TargetMissing, detail));
                }
            }
            _ => {}
        }
        found
    }

    fn wrong_cname(&self, code: Code, detail: String) -> Finding {
        let (host, target, zone) = (self.host(), self.target, self.zone());
        let fix = format!("Change the value of the CNAME record {host} in {zone} to {target}.");
        finding(code, detail, fix)
            .with_expected(target)
            .with_observed(self.at_hostname())
    }

    /// The value is right, except for what the provider or a person added to it, or it is that of the other record.
    fn altered_cname(&self, first: &Name) -> Option<Finding> {
        let (hostname, target, value) = (self.hostname, self.target, bare(&unescaped(first)));
        let zone = self.evidence.location.zone.as_ref().map(text);
        if zone.is_some_and(|zone| text(first) == format!("{target}.{zone}")) {
            let detail =
                format!("The value of the CNAME record of {hostname} ends with the name of the zone.");
            let fix = format!(
                "Enter the value of the CNAME record {} in {} with a dot at the end: {target}.",
                self.host(),
                self.zone()
            );
            let wrong = self.wrong_cname(Code::ValueDoubled, detail);
            Some(Finding { fix, ..wrong })
        } else if value == target {
            let detail =
                format!("The value of the CNAME record of {hostname} contains quotes, spaces or a scheme.");
            Some(self.wrong_cname(Code::ValueAltered, detail))
        } else if value.starts_with(self.value) {
            let detail =
                format!("The CNAME record of {hostname} has the value that the TXT record should have.");
            Some(self.wrong_cname(Code::WrongType, detail))
        } else {
            None
        }
    }

    /// What is wrong with the `TXT` record.
    fn txt(&self) -> Option<Finding> {
        let evidence = self.evidence;
        let lookup = evidence.txt.as_ref().filter(|txt| !txt.is_unconfirmed())?;
        let name = text(&evidence.expected.challenge);
        let is_cname = format!("{name} is a CNAME record. It must be a TXT record.");
        let has_value = |alias: &Name| bare(&unescaped(alias)).contains(self.token());
        let (code, detail) = match &lookup.result {
            Ok(Response::Answer(records)) if evidence.txt_state == RecordState::Wrong => {
                let (code, what) = self.wrong_text(&texts(records));
                (code, format!("The TXT record {name} has {what}."))
            }
            Ok(Response::Cname(_)) => (Code::WrongType, is_cname),
            Ok(_) if lookup.aliases.first().is_some_and(has_value) => (Code::WrongType, is_cname),
            Err(Unresolved::AliasLoop) => {
                let detail = format!("The CNAME records that start at {name} form a loop.");
                (Code::CnameLoop, detail)
            }
            Err(Unresolved::TooManyAliases) => {
                let detail = format!("A chain of more than 8 CNAME records starts at {name}.");
                (Code::CnameTooLong, detail)
            }
            _ => return None,
        };
        let by_wildcard = evidence
            .probes
            .as_ref()
            .and_then(|probes| probes.wildcard_txt.as_ref());
        let (detail, fix) = match by_wildcard {
            Some(_) => (
                format!("{detail} It comes from a wildcard record."),
                format!("{}.", self.add_txt()),
            ),
            None => (
                detail,
                format!("Change the record in {} to {}.", self.zone(), self.txt_record()),
            ),
        };
        let finding = finding(code, detail, fix).with_expected(self.value);
        Some(finding.with_observed(observed(lookup.steps.last()?)))
    }

    /// What the `TXT` records have instead of the value.
    fn wrong_text(&self, texts: &[String]) -> (Code, &'static str) {
        let mistakes = texts.iter().filter_map(|text| self.mistake(text));
        let mistake = mistakes.min_by_key(|(code, _)| *code != Code::ValueAltered);
        let is_stale = |text: &String| Token::from_txt_value(&bare(text)).is_some();
        if let Some(mistake) = mistake {
            mistake
        } else if texts.iter().any(is_stale) {
            let what = "the token of another domain, or of a domain that was deleted";
            (Code::StaleToken, what)
        } else {
            (Code::WrongValue, "another value")
        }
    }

    /// The mistake in the value of a `TXT` record that has the domain's token.
    fn mistake(&self, text: &str) -> Option<(Code, &'static str)> {
        let bare = bare(text);
        if bare == self.value {
            let what = match text.contains(INVISIBLE) {
                true => {
                    "the right value with an invisible character in it, such as a zero-width space (U+200B)"
                }
                false => "the right value, except for quotes, spaces, letter case or a scheme",
            };
            return Some((Code::ValueAltered, what));
        }
        if bare.contains(self.target) {
            return Some((Code::WrongType, "the value that the CNAME record should have"));
        }
        let is_separator = |rest: &str| !rest.contains(|char: char| char.is_ascii_alphanumeric());
        let what = match bare.split_once(self.value) {
            Some(("", ".")) => "the right value with a dot at the end",
            Some(("", _)) => "the right value with other characters after it",
            Some((front, _)) if front.ends_with("txt") => "a record type in front of the right value",
            Some((front, _)) if front.ends_with(['=', ':']) => "a key in front of the right value",
            Some(_) => "other text in front of the right value",
            None => match bare.split_once(self.token())? {
                ("", _) => "only the token, without agency-verification= in front of it",
                (key, _) if key.strip_prefix(Token::TXT_KEY).is_some_and(is_separator) => {
                    "another separator than = between agency-verification and the token"
                }
                _ => "another key than agency-verification in front of the token",
            },
        };
        Some((Code::WrongValue, what))
    }

    fn token(&self) -> &'a str {
        self.value.rsplit('=').next().unwrap_or(self.value)
    }

    /// The addresses are the operator's, but there is no proof: only the `TXT` record can prove such a name.
    fn flattened(&self) -> Finding {
        let hostname = self.hostname;
        let detail = format!("{hostname} leads to the portal, but no record proves that it is yours.");
        let fix = format!("{}.", self.add_txt());
        let finding = finding(Code::RecordMissing, detail, fix).with_expected(self.value);
        finding.with_observed(self.addresses())
    }

    /// Neither record exists.
    fn missing(&self) -> Option<Finding> {
        let (evidence, hostname) = (self.evidence, self.hostname);
        let absent =
            (evidence.cname_state, evidence.txt_state) == (RecordState::Missing, RecordState::Missing);
        let explained = evidence.is_flattened() || evidence.unregistered;
        if !absent || explained || evidence.is_behind_proxy() {
            return None;
        }
        let (fix, expected) = match self.evidence.is_apex() {
            true => (format!("{}.", self.add_txt()), self.value),
            false => {
                let fix = format!("{}. Or add {}.", self.add_cname(), self.txt_record());
                (fix, self.target)
            }
        };
        let detail = format!("Neither record of {hostname} was found.");
        let finding = finding(Code::RecordMissing, detail, fix).with_expected(expected);
        Some(finding.with_observed(self.at_hostname()))
    }

    /// `is_served`: a domain that is proven is served, because no other agency's domain keeps the hostname.
    fn warnings(&self, is_served: bool) -> Vec<Finding> {
        let (hostname, evidence) = (self.hostname, self.evidence);
        let traffic = &evidence.traffic;
        let mut found = Vec::new();
        if evidence.is_flattened() {
            let detail = format!(
                "{hostname} leads to the portal by its addresses alone. Neither record proves that it is yours."
            );
            let fix = format!("{}, and keep it.", self.add_txt());
            found.push(finding(Code::CnameFlattened, detail, fix).with_expected(self.value));
        }
        let others = traffic
            .addresses
            .iter()
            .filter(|address| !traffic.ours.contains(address));
        let others: Vec<_> = others.map(ToString::to_string).collect();
        if traffic.is_edge_known && !traffic.ours.is_empty() && !others.is_empty() {
            let others = shorten(&others.join(", "));
            let detail =
                format!("Some visitors of {hostname} do not reach the portal. They are sent to {others}.");
            let (host, zone) = (self.host(), self.zone());
            let fix = format!("Remove from {zone} the A and AAAA records of {host} with these addresses.");
            found.push(finding(Code::LeftoverAddress, detail, fix));
        }
        if is_served && evidence.proof() == Proof::Txt && evidence.routing() == Routing::Elsewhere {
            let aliases = &evidence.cname.aliases;
            let why = match evidence.cname.last_own_alias().map(text) {
                _ if matches!(
                    evidence.cname.result,
                    Err(Unresolved::AliasLoop | Unresolved::TooManyAliases)
                ) =>
                {
                    "its CNAME records lead to no address".to_owned()
                }
                Some(target) if traffic.addresses.is_empty() => {
                    format!("its CNAME record leads to {target}, which has no public address")
                }
                Some(target) => format!("its CNAME record leads to {target}, not to the portal"),
                None if traffic.addresses.is_empty() => "it has no address".to_owned(),
                None => "its addresses are not those of the portal".to_owned(),
            };
            let detail = format!("{hostname} is proven, but {why}.");
            let fix = match (evidence.is_apex(), aliases.is_empty()) {
                (true, _) => self.add(&format!("the records for routing, named {}", self.host())),
                (false, true) if traffic.addresses.is_empty() => self.add_cname(),
                (false, true) => format!("{}, and remove its A and AAAA records", self.add_cname()),
                (false, false) => {
                    let (host, target, zone) = (self.host(), self.target, self.zone());
                    format!("Change the value of the CNAME record {host} in {zone} to {target}")
                }
            };
            let finding = finding(Code::NotRouted, detail, format!("{fix}."));
            found.push(finding.with_expected(self.target));
        }
        let observed = |finding: Finding| finding.with_observed(self.addresses());
        found.into_iter().map(observed).collect()
    }

    /// What the further lookups found.
    fn probed(&self, probes: &Probes) -> Vec<Finding> {
        let doubled = probes.doubled.iter().map(|step| self.doubled(step));
        let misplaced = probes.texts.iter().filter_map(|step| self.misplaced(step));
        let mut found: Vec<_> = doubled.chain(misplaced).collect();
        found.extend(self.conflict(probes));
        found.extend(probes.wildcard.iter().flat_map(|sibling| self.wildcard(sibling)));
        if probes.wildcard.is_none() {
            found.extend(
                probes
                    .wildcard_txt
                    .iter()
                    .map(|sibling| self.wildcard_txt(sibling)),
            );
        }
        found.extend(self.caa(probes));
        found
    }

    /// A record that is right, except that its name ends with the name of the zone twice.
    fn doubled(&self, step: &Step) -> Finding {
        let expected = &self.evidence.expected;
        let right = match &step.result {
            Ok(Response::Cname(_)) => &expected.hostname,
            _ => &expected.challenge,
        };
        let name = text(&step.name);
        let detail = format!("The record is at {name}: the provider appended the name of the zone.");
        let (host, zone) = (self.relative(right), self.zone());
        let fix = format!("Enter the name of the record in {zone} as {host}.");
        let finding = finding(Code::NameDoubled, detail, fix).with_expected(text(right));
        finding.with_observed(observed(step))
    }

    /// A `TXT` record with one of the two values at a name where it proves nothing.
    fn misplaced(&self, step: &Step) -> Option<Finding> {
        let expected = &self.evidence.expected;
        let name = text(&step.name);
        let texts = match &step.result {
            Ok(Response::Answer(records)) => texts(records),
            _ => return None,
        };
        let code = texts.iter().filter_map(|text| match *text == self.value {
            true => Some(Code::WrongName),
            false => self.mistake(text).map(|(code, _)| match code {
                Code::WrongType => code,
                _ => Code::WrongName,
            }),
        });
        let finding = match code.min_by_key(|code| *code == Code::WrongType)? {
            Code::WrongType if step.name == expected.hostname => {
                let detail =
                    format!("A TXT record of {name} has the value that the CNAME record should have.");
                let fix = format!("Replace it in {} by {}.", self.zone(), self.cname_record());
                finding(Code::WrongType, detail, fix).with_expected(self.target)
            }
            Code::WrongType => return None,
            code => {
                let detail = format!("The value is in a TXT record of {name}, where it proves nothing.");
                let fix = format!("{}.", self.add_txt());
                finding(code, detail, fix).with_expected(text(&expected.challenge))
            }
        };
        Some(finding.with_observed(observed(step)))
    }

    /// Other records beside the `CNAME`.
    fn conflict(&self, probes: &Probes) -> Option<Finding> {
        let hostname = self.hostname;
        if self.evidence.cname.aliases.is_empty() {
            return None;
        }
        let mut shown = self.at_hostname();
        shown.truncate(1);
        let (beside, fix) = match &probes.beside_cname {
            _ if self.evidence.is_apex() => (
                "the SOA and NS records of the zone".to_owned(),
                format!("Remove the CNAME record. {}.", self.add_txt()),
            ),
            Some(step) => {
                shown.extend(observed(step));
                let fix = format!(
                    "Remove from {} all other records of {}.",
                    self.zone(),
                    self.host()
                );
                (format!("a record of type {}", step.kind), fix)
            }
            None => return None,
        };
        let detail = format!("{hostname} has a CNAME record beside {beside}. DNS does not allow that.");
        Some(finding(Code::CnameConflict, detail, fix).with_observed(shown))
    }

    /// A wildcard answers for the hostname, as the answer for a random sibling shows.
    fn wildcard(&self, sibling: &Step) -> Vec<Finding> {
        let hostname = self.hostname;
        let mut found = Vec::new();
        if !self.evidence.proof().is_given() {
            let detail = format!("{hostname} has no record of its own: a wildcard record answers for it.");
            let fix = format!("{}. The wildcard record may stay.", self.add_cname());
            found.push(finding(Code::WildcardAnswer, detail, fix).with_expected(self.target));
        }
        if self.evidence.txt_state != RecordState::Found {
            let detail = format!(
                "A wildcard record answers for {hostname}. It stops when a record below {hostname} exists."
            );
            let (host, zone) = (self.host(), self.zone());
            let fix = format!("Before you add the TXT record, add to {zone} a record of its own for {host}.");
            found.push(finding(Code::WildcardShadowed, detail, fix));
        }
        let observed = |finding: Finding| finding.with_observed(observed(sibling));
        found.into_iter().map(observed).collect()
    }

    /// A wildcard answers for the name of the `TXT` record.
    fn wildcard_txt(&self, sibling: &Step) -> Finding {
        let name = text(&self.evidence.expected.challenge);
        let detail = format!("{name} has no record of its own: a wildcard record answers for it.");
        let fix = format!("{}. The wildcard record may stay.", self.add_txt());
        let finding = finding(Code::WildcardAnswer, detail, fix).with_expected(self.value);
        finding.with_observed(observed(sibling))
    }

    fn caa(&self, probes: &Probes) -> Option<Finding> {
        let problem = probes.caa.as_ref()?;
        let finding = match &problem.forbidden {
            Some(forbidden) => self.caa_forbids(problem, forbidden),
            None => {
                let detail = format!(
                    "DNS does not answer whether {} has CAA records.",
                    text(&problem.name)
                );
                let fix = "Ask your DNS provider to answer queries for CAA records. Without an answer no certificate can be issued.";
                finding(Code::CaaUnanswered, detail, fix)
            }
        };
        Some(finding.with_observed(problem.step.as_ref().map(observed).unwrap_or_default()))
    }

    fn caa_forbids(&self, problem: &CaaProblem, forbidden: &Forbidden) -> Finding {
        let (name, Forbidden { authority, reason }) = (text(&problem.name), forbidden);
        let issue = format!("0 issue \"{authority}\"");
        let zone = self
            .evidence
            .location
            .zone
            .as_ref()
            .filter(|zone| zone.zone_of(&problem.name));
        let place = zone.map_or_else(|| name.clone(), |_| format!("{name} in {}", self.zone()));
        let change = format!("Change the CAA record of {place} to {issue}, or add such a record.");
        let (detail, fix) = match reason {
            Reason::Critical { tag } => (
                format!(
                    "A CAA record of {name} has the critical property {tag}. Certificate authorities do not know it, so none may issue a certificate."
                ),
                format!("Remove the CAA record {tag} of {place}. Or set its flags to 0."),
            ),
            Reason::Methods { authority, methods } => (
                format!(
                    "The CAA record of {name} allows {authority} only with validationmethods={methods}. The portal needs http-01 or tls-alpn-01.",
                    methods = shorten(methods)
                ),
                change,
            ),
            Reason::Account { authority, uri } => (
                format!(
                    "The CAA record of {name} allows {authority} only for one account, accounturi={uri}. The portal may have another account.",
                    uri = shorten(uri)
                ),
                change,
            ),
            Reason::Malformed => (
                format!("A CAA record of {name} is malformed, so it allows no certificate authority."),
                change,
            ),
            Reason::Unnamed => (
                format!(
                    "The CAA records of {name} do not allow our certificate authorities to issue a certificate."
                ),
                format!("Add the CAA record {issue} to {place}. Keep the other CAA records."),
            ),
        };
        let fix = match zone {
            // The records are at the operator's target, or at what it leads to.
            None if problem.is_operators => {
                format!("Ask the portal's operator to correct the CAA records of {name}.")
            }
            _ => fix,
        };
        finding(Code::CaaForbids, detail, fix).with_expected(issue)
    }

    /// Another account holds the hostname. Its record is shown only if DNS shows it to everyone.
    fn held_elsewhere(&self, holder: Holder<'_>) -> Finding {
        let hostname = self.hostname;
        let detail = format!("Your record was found, but another account holds {hostname}.");
        let held = |fix| finding(Code::HeldElsewhere, detail, fix);
        let token = holder.domain.token.as_ref();
        let (kind, name, value) = match holder.evidence.map(Evidence::proof) {
            Some(Proof::Cname) => {
                let target = token.map(|token| token.cname_target(self.names));
                ("CNAME", hostname.to_string(), target)
            }
            Some(Proof::Txt) => ("TXT", hostname.challenge(), token.map(Token::txt_value)),
            Some(Proof::Missing) => {
                return held("Wait: the other account's record is gone. If it stays so for ten minutes, the name is yours.".to_owned());
            }
            Some(Proof::Unknown) | None => {
                return held(
                    "Remove every record of another account for this name. Or wait until DNS answers again."
                        .to_owned(),
                );
            }
        };
        let value = value.unwrap_or_default();
        let zone = self.zone();
        let fix =
            format!("Remove from {zone} the other account's {kind} record {name} with the value {value}.");
        let server = holder.evidence.and_then(|evidence| evidence.nameservers().next());
        let server = server.unwrap_or_else(|| "DNS".to_owned());
        held(fix).with_observed(vec![ServerAnswer {
            server,
            answer: value,
        }])
    }

    fn at_hostname(&self) -> Vec<ServerAnswer> {
        self.evidence.at_hostname().map(observed).unwrap_or_default()
    }

    /// The hostname's addresses, shown as the answer of its first server.
    fn addresses(&self) -> Vec<ServerAnswer> {
        let addresses: Vec<_> = self
            .evidence
            .traffic
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect();
        let server = self.evidence.at_hostname().and_then(|step| step.replies.first());
        match server {
            Some(reply) if !addresses.is_empty() => vec![ServerAnswer {
                server: reply.server.clone(),
                answer: shorten(&addresses.join(", ")),
            }],
            _ => self.at_hostname(),
        }
    }
}

/// The name of a step. Of another domain only the name is shown that the domain's own record leads to.
fn shown_name(step: &Step, lookup: &Lookup) -> String {
    match lookup.last_own_alias() {
        Some(alias) if step.is_foreign && step.name != *alias => {
            format!("a name that {} leads to", text(alias))
        }
        _ => text(&step.name),
    }
}

fn not_everywhere_yet(lookup: &Lookup) -> Option<Finding> {
    let step = lookup.steps.last()?;
    let name = shown_name(step, lookup);
    let detail = format!("The name servers give different answers for {name}.");
    let fix =
        "Wait until your DNS provider has updated all its servers. If this takes hours, ask the provider.";
    Some(finding(Code::NotEverywhereYet, detail, fix).with_observed(observed(step)))
}

fn only_one_server(lookup: &Lookup) -> Option<Finding> {
    let step = lookup.unconfirmed_step()?;
    let name = shown_name(step, lookup);
    let detail = format!("Only one of the name servers of {name} answers.");
    let fix = "Wait until the other name servers answer too. If this takes hours, ask your DNS provider.";
    Some(finding(Code::NotEverywhereYet, detail, fix).with_observed(observed(step)))
}

/// Why the last step of the lookup failed.
fn failed(failure: Failure, lookup: &Lookup) -> Option<Finding> {
    const WAIT: &str = "Wait. If this continues, ask your DNS provider.";
    let step = lookup.steps.last()?;
    let name = shown_name(step, lookup);
    let (code, detail, fix) = match failure {
        Failure::Timeout => (
            Code::DnsTimeout,
            format!("The name servers of {name} did not answer in time."),
            WAIT,
        ),
        Failure::BudgetExhausted => (
            Code::DnsTimeout,
            format!("The name servers of {name} need more time or more queries than a check has."),
            WAIT,
        ),
        Failure::Code(ResponseCode::Refused) => (
            Code::DnsRefused,
            format!("The name servers refuse to answer for {name}."),
            "Check that the domain is delegated to the name servers of the provider that has the zone.",
        ),
        Failure::Code(_) => (
            Code::DnsServfail,
            format!("The name servers failed to answer for {name}."),
            WAIT,
        ),
        Failure::Malformed => (
            Code::DnsMalformed,
            format!("The answer for {name} is not a valid DNS message."),
            "Ask your DNS provider to correct the answers of its name servers.",
        ),
        Failure::TooBig => (
            Code::AnswerTooBig,
            format!("There are more than 100 records of {name}."),
            "Remove the records that you do not need.",
        ),
        Failure::Truncated => (
            Code::AnswerTooBig,
            format!("The answer for {name} is too big for UDP, and the name servers do not answer by TCP."),
            "Ask your DNS provider to answer by TCP. Or remove the records that you do not need.",
        ),
        Failure::Lame | Failure::NoAddress => (
            Code::LameDelegation,
            format!("The name servers that {name} is delegated to do not exist, or do not have its zone."),
            "At your registrar, enter the name servers of the provider that has the zone.",
        ),
        Failure::PrivateAddress => (
            Code::PrivateAddress,
            format!("None of the name servers of {name} has a public address."),
            "Give the name servers addresses that the Internet can reach.",
        ),
        Failure::Bogus => (
            Code::DnssecBogus,
            format!("The DNSSEC signatures of {name} are wrong. Resolvers that validate reject the zone."),
            "Sign the zone again at your DNS provider. Or remove the DS records at your registrar.",
        ),
        Failure::Resolver => (
            Code::ResolverFailed,
            format!("The DNS resolvers of the portal do not answer, so {name} could not be checked."),
            "You need not change anything. This is a problem of the portal's operator. The check is repeated.",
        ),
    };
    Some(finding(code, detail, fix).with_observed(observed(step)))
}

/// What each server answered; without any server, why none was found. The servers of another domain are not named.
fn observed(step: &Step) -> Vec<ServerAnswer> {
    if let (true, Err(Unresolved::Failed(failure))) = (step.replies.is_empty(), &step.result) {
        let server = match step.is_foreign {
            true => "delegation of another domain".to_owned(),
            false => format!("delegation of {}", text(&registrable(&step.name))),
        };
        let answer = failure.to_string();
        return vec![ServerAnswer { server, answer }];
    }
    let replies = step.replies.iter().take(MAX_SERVERS);
    let replies = replies.map(|reply| ServerAnswer {
        server: match step.is_foreign && step.delegation.is_some() {
            true => "name server of another domain".to_owned(),
            false => reply.server.clone(),
        },
        answer: shorten(&match &reply.response {
            Ok(response) => step.shown(response),
            Err(failure) => failure.to_string(),
        }),
    });
    replies.collect()
}

fn shorten(text: &str) -> String {
    text.chars().take(MAX_ANSWER).collect()
}

/// Characters without a width, which people paste without seeing them.
const INVISIBLE: [char; 8] = [
    '\u{AD}', '\u{200B}', '\u{200C}', '\u{200D}', '\u{200E}', '\u{200F}', '\u{2060}', '\u{FEFF}',
];

/// A value without what people and forms add to it: white space, invisible characters, quotes, a scheme, upper case.
fn bare(value: &str) -> String {
    let is_quote = |char| "\"'`“”„‘’«»\\".contains(char);
    let is_added = |char: char| char.is_whitespace() || is_quote(char) || INVISIBLE.contains(&char);
    let value = value.replace(is_added, "").to_lowercase();
    let schemes = ["https://", "http://"];
    let bare = schemes.iter().find_map(|scheme| value.strip_prefix(scheme));
    bare.unwrap_or(&value).trim_end_matches('/').to_owned()
}

/// The labels of a name with dots between them, as a person typed them.
fn unescaped(name: &Name) -> String {
    let labels: Vec<_> = name.iter().map(String::from_utf8_lossy).collect();
    labels.join(".")
}

/// The strings of the `TXT` records.
fn texts(records: &[RData]) -> Vec<String> {
    let texts = records.iter().filter_map(txt_bytes);
    texts
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .collect()
}

fn octets(finding: &Finding) -> usize {
    let observed = finding.observed.iter();
    let observed: usize = observed.map(|seen| seen.server.len() + seen.answer.len()).sum();
    let expected = finding.expected.as_ref().map_or(0, String::len);
    finding.detail.len() + finding.fix.len() + expected + observed
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use hickory_proto::rr::{RecordType, rdata::TXT};
    use shared::models::id::{DomainId, OrgId};

    use super::*;
    use crate::dns::{
        evidence::Expected,
        lookup::{Lookup, Reply},
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn names() -> HostPolicy {
        HostPolicy {
            portal_domain: "portal.example.com".parse().unwrap(),
            target: "cname.portal.example.com".parse().unwrap(),
            allow_special_use: true,
        }
    }

    fn domain(status: Status) -> Domain {
        let agency: OrgId = "org_a".parse().unwrap();
        let hostname = "portal.acme.test".parse().unwrap();
        Domain {
            status,
            ..Domain::custom(DomainId::new(NOW), agency, hostname, Token::new([5; 16]), NOW)
        }
    }

    /// A lookup that one server answered, through these aliases.
    fn lookup(at: &str, kind: RecordType, aliases: &[&str], result: Result<Response, Unresolved>) -> Lookup {
        let mut lookup = Lookup::failed(&name(at), kind, Failure::Timeout);
        lookup.aliases = aliases.iter().map(|alias| name(alias)).collect();
        lookup.steps[0].result.clone_from(&result);
        lookup.steps[0].replies = vec![Reply {
            server: "ns1.acme.test".to_owned(),
            response: result.clone().map_err(|_| Failure::Timeout),
        }];
        lookup.result = result;
        lookup
    }

    fn cname(aliases: &[&str], result: Result<Response, Unresolved>) -> Lookup {
        lookup("portal.acme.test.", RecordType::CNAME, aliases, result)
    }

    fn txt(value: &str) -> Lookup {
        let record = RData::TXT(TXT::new(vec![value.to_owned()]));
        let result = Ok(Response::Answer(vec![record]));
        lookup(
            "_agency-challenge.portal.acme.test.",
            RecordType::TXT,
            &[],
            result,
        )
    }

    /// Neither record exists.
    fn nothing() -> Evidence {
        let domain = domain(Status::Pending);
        let mut evidence = Evidence {
            expected: Expected::of(&domain, &names()).unwrap(),
            cname: cname(&[], Ok(Response::NxDomain)),
            cname_state: RecordState::Missing,
            txt: Some(lookup(
                "_agency-challenge.portal.acme.test.",
                RecordType::TXT,
                &[],
                Ok(Response::NxDomain),
            )),
            txt_state: RecordState::Missing,
            traffic: Routing::Elsewhere.into(),
            ..Evidence::unasked(&domain)
        };
        evidence.location.zone = Some(name("acme.test."));
        evidence.location.provider = Some("Route 53");
        evidence
    }

    fn with(change: impl FnOnce(&mut Evidence)) -> Evidence {
        let mut evidence = nothing();
        change(&mut evidence);
        evidence
    }

    fn explained(status: Status, evidence: &Evidence) -> Vec<Finding> {
        explain(&Facts {
            domain: &domain(status),
            evidence,
            holder: None,
            names: &names(),
            now: NOW,
        })
    }

    fn with_cname(aliases: &[&str], result: Result<Response, Unresolved>) -> Evidence {
        with(|evidence| {
            evidence.cname = cname(aliases, result);
            evidence.cname_state = RecordState::Wrong;
        })
    }

    fn with_other_token(same_agency: bool) -> Evidence {
        let target = "x.cname.portal.example.com.";
        Evidence {
            other_token: Some(Token::new([7; 16])),
            token_of_same_agency: same_agency,
            ..with_cname(&[target], Ok(Response::Cname(name(target))))
        }
    }

    fn with_txt(value: &str) -> Evidence {
        with(|evidence| {
            evidence.txt = Some(txt(value));
            evidence.txt_state = RecordState::Wrong;
        })
    }

    fn failed_with(failure: Failure) -> Evidence {
        with(|evidence| {
            evidence.cname = cname(&[], Err(Unresolved::Failed(failure)));
            evidence.cname_state = RecordState::Unreachable;
        })
    }

    fn flattened() -> Evidence {
        with(|evidence| {
            evidence.traffic.routing = Routing::Routed;
            evidence.traffic.addresses = vec![IpAddr::from([192, 0, 2, 80])];
            evidence.traffic.ours = evidence.traffic.addresses.clone();
        })
    }

    #[test]
    fn each_fact_has_its_codes_and_a_sentence_for_what_to_do() {
        use Status::{Pending, Verified};
        let target = nothing().expected.target;
        let elsewhere = || Ok(Response::NoData);
        let add_txt = "Add to the zone acme.test at Route 53 a TXT record named _agency-challenge.portal with the value \
                       agency-verification=05050505050505050505050505050505.";
        let rows: Vec<(&str, Status, Evidence, &[Code], &str)> = vec![
            (
                "neither record",
                Pending,
                nothing(),
                &[Code::RecordMissing],
                "Add to the zone acme.test at Route 53 a CNAME record named portal with",
            ),
            (
                "apex",
                Pending,
                with(|e| e.location.zone = Some(name("portal.acme.test."))),
                &[Code::RecordMissing],
                "Add to the zone portal.acme.test at Route 53 a TXT record named _agency-challenge with",
            ),
            (
                "another target",
                Pending,
                with_cname(&["other.test."], elsewhere()),
                &[Code::WrongValue],
                "Change the value of the CNAME record portal in the zone acme.test at Route 53 to",
            ),
            (
                "a target that does not exist",
                Pending,
                with_cname(&["other.test."], Ok(Response::NxDomain)),
                &[Code::WrongValue, Code::TargetMissing],
                "Change the value",
            ),
            (
                "a loop",
                Pending,
                with_cname(&["portal.acme.test."], Err(Unresolved::AliasLoop)),
                &[Code::CnameLoop],
                "Change the value",
            ),
            (
                "a long chain",
                Pending,
                with_cname(&["a.test."], Err(Unresolved::TooManyAliases)),
                &[Code::CnameTooLong],
                "Change the value",
            ),
            (
                "an appended zone",
                Pending,
                with_cname(&[&format!("{target}.acme.test.")], Ok(Response::NxDomain)),
                &[Code::ValueDoubled],
                "Enter the value of the CNAME record portal in",
            ),
            (
                "a foreign token",
                Pending,
                with_other_token(false),
                &[Code::StaleToken],
                "Change the value",
            ),
            (
                "a token of the same agency",
                Pending,
                with_other_token(true),
                &[Code::WrongValue],
                "Change the value",
            ),
            (
                "another text",
                Pending,
                with_txt("hello"),
                &[Code::WrongValue],
                "Change the record in the zone acme.test at Route 53 to a TXT record",
            ),
            (
                "a quoted value",
                Pending,
                with_txt("\"agency-verification=05050505050505050505050505050505\""),
                &[Code::ValueAltered],
                "Change the record",
            ),
            (
                "another token",
                Pending,
                with_txt("agency-verification=07070707070707070707070707070707"),
                &[Code::StaleToken],
                "Change the record",
            ),
            (
                "the target as a text",
                Pending,
                with_txt(&nothing().expected.target),
                &[Code::WrongType],
                "Change the record",
            ),
            (
                "a proxy",
                Pending,
                with(|e| e.traffic.routing = Routing::Proxied),
                &[Code::Proxied],
                "Or turn off the proxy",
            ),
            (
                "no such domain",
                Pending,
                with(|e| e.unregistered = true),
                &[Code::DomainUnregistered],
                "Register or renew acme.test",
            ),
            (
                "flattened",
                Pending,
                flattened(),
                &[Code::RecordMissing, Code::CnameFlattened],
                add_txt,
            ),
            (
                "flattened, but verified",
                Verified,
                flattened(),
                &[Code::CnameFlattened],
                "and keep it.",
            ),
            (
                "a time-out",
                Pending,
                failed_with(Failure::Timeout),
                &[Code::DnsTimeout],
                "Wait.",
            ),
            (
                "a lame server",
                Pending,
                failed_with(Failure::Lame),
                &[Code::LameDelegation],
                "At your registrar",
            ),
            (
                "a private server",
                Pending,
                failed_with(Failure::PrivateAddress),
                &[Code::PrivateAddress],
                "Give the name servers",
            ),
            (
                "servers that differ",
                Pending,
                with(|e| {
                    e.cname = cname(&[], Err(Unresolved::Conflict));
                    e.cname_state = RecordState::Unreachable;
                }),
                &[Code::NotEverywhereYet],
                "Wait until your DNS provider",
            ),
            (
                "proven, not routed",
                Verified,
                with(|e| e.txt_state = RecordState::Found),
                &[Code::NotRouted],
                "Add to the zone acme.test at Route 53 a CNAME record named portal with",
            ),
            (
                "proven",
                Verified,
                with(|e| e.cname_state = RecordState::Found),
                &[],
                "",
            ),
        ];
        for (what, status, evidence, codes, fix) in rows {
            let findings = explained(status, &evidence);
            let found: Vec<_> = findings.iter().map(|finding| finding.code).collect();
            assert_eq!(found, codes, "{what}");
            assert!(
                findings
                    .iter()
                    .all(|finding| finding.level == level(finding.code)),
                "{what}"
            );
            let first = findings.first().map_or("", |finding| finding.fix.as_str());
            assert!(first.contains(fix), "{what}: {first}");
        }
    }

    #[test]
    fn the_cause_of_a_failure_comes_first_and_warnings_come_last() {
        let mut failed = domain(Status::Failed);
        failed.history.cause = Some(Code::Lost);
        let evidence = with(|evidence| {
            *evidence = with_txt("hello");
            evidence.probes = Some(Probes {
                wildcard: Some(nothing().cname.steps.remove(0)),
                ..Probes::default()
            });
        });
        let facts = Facts {
            domain: &failed,
            evidence: &evidence,
            holder: None,
            names: &names(),
            now: NOW,
        };
        let codes: Vec<_> = explain(&facts).iter().map(|finding| finding.code).collect();
        let expected = [
            Code::Lost,
            Code::WildcardAnswer,
            Code::WrongValue,
            Code::WildcardShadowed,
        ];
        assert_eq!(codes, expected);
    }
}
