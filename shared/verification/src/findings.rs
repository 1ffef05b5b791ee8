//! Findings: turns the facts of a check into codes, levels and sentences. No other place writes a sentence of a check.

use std::mem;

use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RData},
};
use shared::models::{
    domain::{
        Domain, Finding, FindingCode as Code, FindingText, Level, RecordState, Routing, ServerAnswer, Status,
        Token,
    },
    hostname::{HostPolicy, Hostname, relative_host},
    language::Locale,
    time::Timestamp,
};

use crate::{
    decide::Holder,
    dns::{
        Evidence, Proof,
        caa::{CaaProblem, Forbidden, Reason},
        delegation::{registrable, text},
        evidence::{Probes, txt_bytes},
        lookup::{Lookup, Response, Step, Unresolved, shorten},
        wire::Failure,
    },
};

/// Formats the sentence of a locale. Each sentence names the same names and values in both.
macro_rules! say {
    ($locale:expr, $english:literal, $german:literal) => {
        match $locale {
            Locale::English => format!($english),
            Locale::German => format!($german),
        }
    };
}

/// What a finding says of a `CNAME` to the target of another domain of the agency.
fn own_target(locale: Locale) -> String {
    say!(
        locale,
        "That is the target of another of your domains.",
        "Das ist das Ziel einer anderen Ihrer Domains."
    )
}

/// What it says of a `CNAME` to the target of another agency's domain, or of none.
fn foreign_target(locale: Locale) -> String {
    say!(
        locale,
        "Its token belongs to none of your domains.",
        "Sein Token gehört zu keiner Ihrer Domains."
    )
}

/// Removes from a domain's check whether the `CNAME` record leads to another domain of the same agency. The person who runs the DNS
/// chooses the target of the record, and could otherwise find out which portals belong to one agency.
pub fn redact_ownership(domain: &mut Domain) {
    let Some(check) = &mut domain.check else {
        return;
    };
    let redacted = |detail: &str, locale| {
        let own = detail.strip_suffix(&own_target(locale));
        let rest = own.or_else(|| detail.strip_suffix(&foreign_target(locale)))?;
        Some(say!(
            locale,
            "{rest}That is the target of another domain.",
            "{rest}Das ist das Ziel einer anderen Domain."
        ))
    };
    let is_proven_by_txt = domain.ownership == RecordState::Found;
    let mut german = mem::take(&mut domain.german_findings).into_iter();
    check.findings.retain_mut(|finding| {
        let mut german = german.next();
        if let Some(detail) = redacted(&finding.detail, Locale::English) {
            finding.detail = detail;
            finding.code = Code::WrongValue;
            if let Some(german) = &mut german {
                german.detail = redacted(&german.detail, Locale::German).unwrap_or_default();
            }
            // With this proof, only one of the two cases has a finding.
            if is_proven_by_txt {
                return false;
            }
        }
        domain.german_findings.extend(german);
        true
    });
    check.problem = problem(&check.findings).cloned();
}

/// Findings of one check.
const MAX_FINDINGS: usize = 16;
/// Octets of all findings of a check: they share the domain's item with everything else, and names may be long.
const MAX_OCTETS: usize = 16_000;
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

/// The findings of a check: errors and unknowns first, the most specific one in front, then the warnings. With their German texts,
/// in the same order.
pub fn explain(facts: &Facts<'_>) -> (Vec<Finding>, Vec<FindingText>) {
    let domain = facts.domain;
    let contested_until = domain.history.contested_until;
    let is_contested = domain.status.serves() && contested_until > Some(facts.now);
    let [english, german] = [Locale::English, Locale::German].map(|locale| findings(facts, locale));
    let (mut english, mut german) = limited(english, german, is_contested);
    if is_contested {
        warn_of_contest(domain, &mut english, &mut german);
    }
    (english, german)
}

/// The first findings, at most [`MAX_FINDINGS`] and [`MAX_OCTETS`]. They leave room for the warning of a contested domain.
fn limited(
    english: Vec<Finding>,
    german: Vec<Finding>,
    is_contested: bool,
) -> (Vec<Finding>, Vec<FindingText>) {
    let count = MAX_FINDINGS - usize::from(is_contested);
    let mut room = MAX_OCTETS;
    let fitting = english
        .into_iter()
        .zip(german)
        .take(count)
        .take_while(|(english, german)| {
            let octets = octets(english) + german.detail.len() + german.fix.len();
            let fits = octets <= room;
            room = room.saturating_sub(octets);
            fits
        });
    fitting
        .map(|(english, german)| (english, german.into_text()))
        .unzip()
}

/// The findings with the sentences of this locale.
fn findings(facts: &Facts<'_>, locale: Locale) -> Vec<Finding> {
    let (domain, evidence) = (facts.domain, facts.evidence);
    let (proof, flattened) = (evidence.proof(), evidence.is_flattened());
    let explainer = Explainer::new(facts, locale);
    let mut found = explainer.undecided();
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
    match domain.status {
        // A flattened name renews a verified domain.
        Status::Verified if flattened => found.retain(|finding| finding.level != Level::Error),
        _ if found.iter().any(is_finer) => found.retain(|finding| finding.code != Code::RecordMissing),
        _ => {}
    }
    let ended = domain.history.cause.map(|cause| ended(domain, cause, locale));
    let held = facts.holder.map(|holder| explainer.held_elsewhere(holder));
    let mut findings: Vec<_> = ended.into_iter().chain(held).chain(found).collect();
    findings.sort_by_key(|finding| finding.level == Level::Warning);
    findings
}

/// The first finding that is not a warning.
pub(crate) fn problem(findings: &[Finding]) -> Option<&Finding> {
    findings.iter().find(|finding| finding.level != Level::Warning)
}

/// Adds the warning that another agency has proven the hostname that this domain holds.
pub(crate) fn warn_of_contest(domain: &Domain, findings: &mut Vec<Finding>, german: &mut Vec<FindingText>) {
    let warned = findings.iter().any(|finding| finding.code == Code::Contested);
    if !warned && findings.len() < MAX_FINDINGS {
        // A check of an earlier version has no German texts.
        if german.len() == findings.len() {
            german.push(contest_warning(domain, Locale::German).into_text());
        }
        findings.push(contest_warning(domain, Locale::English));
    }
}

fn contest_warning(domain: &Domain, locale: Locale) -> Finding {
    let (hostname, challenge) = (&domain.hostname, domain.hostname.challenge());
    let zone = last_zone(domain, locale);
    let detail = say!(
        locale,
        "Another account's record for {hostname} is in DNS too.",
        "Auch der Eintrag eines anderen Kontos für {hostname} steht im DNS."
    );
    let fix = say!(
        locale,
        "Keep your own record. Remove from {zone} every other record named {challenge}.",
        "Behalten Sie Ihren eigenen Eintrag. Entfernen Sie aus {zone} jeden anderen Eintrag mit dem Namen {challenge}."
    );
    finding(Code::Contested, detail, fix)
}

/// Why a domain has failed.
pub(crate) fn ended(domain: &Domain, cause: Code, locale: Locale) -> Finding {
    let (hostname, zone) = (&domain.hostname, last_zone(domain, locale));
    let (detail, fix) = match cause {
        Code::Moved => (
            say!(
                locale,
                "Another account has proven {hostname} and serves it now.",
                "Ein anderes Konto hat {hostname} nachgewiesen und bedient den Namen jetzt."
            ),
            say!(
                locale,
                "To take {hostname} back, replace the other account's record in {zone} with your own, then verify.",
                "Um {hostname} zurückzuholen, ersetzen Sie in {zone} den Eintrag des anderen Kontos durch Ihren eigenen. Prüfen Sie dann erneut."
            ),
        ),
        Code::Lost => (
            say!(
                locale,
                "The records of {hostname} were missing for too long. The portal does not serve it any more.",
                "Die Einträge von {hostname} haben zu lange gefehlt. Das Portal bedient den Namen nicht mehr."
            ),
            say!(
                locale,
                "Add one of the records to {zone} again, then verify.",
                "Ergänzen Sie einen der Einträge wieder in {zone}. Prüfen Sie dann erneut."
            ),
        ),
        _ => (
            say!(
                locale,
                "{hostname} was not proven in time. It is checked only once a day now.",
                "{hostname} wurde nicht rechtzeitig nachgewiesen. Der Name wird nur noch einmal am Tag geprüft."
            ),
            say!(
                locale,
                "Add one of the records to {zone}, then verify.",
                "Ergänzen Sie einen der Einträge in {zone}. Prüfen Sie dann erneut."
            ),
        ),
    };
    finding(cause, detail, fix)
}

/// Where the records are to be entered. In the German dative: `der Zone acme.com bei Cloudflare`.
fn in_words(zone: Option<&str>, provider: Option<&str>, locale: Locale) -> String {
    let provider = provider.map_or_else(
        || say!(locale, "your DNS provider", "Ihrem DNS-Anbieter"),
        str::to_owned,
    );
    match zone {
        Some(zone) => say!(
            locale,
            "the zone {zone} at {provider}",
            "der Zone {zone} bei {provider}"
        ),
        None => say!(locale, "the zone at {provider}", "der Zone bei {provider}"),
    }
}

/// The zone that the last check found.
fn last_zone(domain: &Domain, locale: Locale) -> String {
    let check = domain.check.as_ref();
    let zone = check.and_then(|check| check.zone.as_ref()).map(Hostname::as_str);
    let provider = check.and_then(|check| check.provider.as_deref());
    in_words(zone, provider, locale)
}

fn finding(code: Code, detail: String, fix: String) -> Finding {
    Finding {
        code,
        level: level(code),
        detail,
        fix,
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

/// The facts, with the phrases that several findings have in common.
struct Explainer<'a> {
    evidence: &'a Evidence,
    names: &'a HostPolicy,
    hostname: &'a Hostname,
    /// The value of the `CNAME`, without the trailing dot.
    target: &'a str,
    /// The value of the `TXT` record.
    value: &'a str,
    locale: Locale,
}

impl<'a> Explainer<'a> {
    fn new(facts: &Facts<'a>, locale: Locale) -> Self {
        let expected = &facts.evidence.expected;
        Self {
            evidence: facts.evidence,
            names: facts.names,
            hostname: &facts.domain.hostname,
            target: &expected.target,
            value: &expected.value,
            locale,
        }
    }

    /// Why the check decided nothing, or what the servers disagree about.
    fn undecided(&self) -> Vec<Finding> {
        let evidence = self.evidence;
        if evidence.proof() != Proof::Unknown && !evidence.disputed {
            return Vec::new();
        }
        let bogus = evidence.bogus.iter();
        let mut found: Vec<_> = bogus
            .filter_map(|lookup| self.failed(Failure::Bogus, lookup))
            .collect();
        let is_open =
            |state: RecordState, lookup: &&Lookup| state == RecordState::Unreachable || lookup.is_conflict();
        let cname = Some(&evidence.cname).filter(|cname| is_open(evidence.cname_state, cname));
        let txt = evidence
            .txt
            .as_ref()
            .filter(|txt| is_open(evidence.txt_state, txt));
        let cname = cname.map(|lookup| (lookup, self.target));
        let txt = txt.map(|lookup| (lookup, self.value));
        for (lookup, expected) in cname.into_iter().chain(txt) {
            let finding = match &lookup.result {
                Err(Unresolved::Conflict | Unresolved::ZoneConflict) => {
                    self.not_everywhere_yet(lookup, expected)
                }
                Err(Unresolved::Failed(failure)) => self.failed(*failure, lookup),
                // The record was found, and its zone is bogus: see above.
                _ => self.only_one_server(lookup, expected),
            };
            let is_said = |new: &Finding| {
                let same = |old: &Finding| (old.code, &old.expected) == (new.code, &new.expected);
                found.iter().any(same)
            };
            // If no server answers, one sentence is enough for both records.
            found.extend(finding.filter(|new| !is_said(new)));
        }
        found
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
        let zone = location.zone.as_ref().map(text);
        in_words(zone.as_deref(), location.provider, self.locale)
    }

    /// `Add to the zone acme.com at Cloudflare a TXT record …`, without a full stop.
    fn add(&self, record: &str) -> String {
        let zone = self.zone();
        say!(
            self.locale,
            "Add to {zone} {record}",
            "Ergänzen Sie in {zone} {record}"
        )
    }

    /// In the German accusative.
    fn cname_record(&self) -> String {
        let (host, target) = (self.host(), self.target);
        say!(
            self.locale,
            "a CNAME record named {host} with the value {target}",
            "einen CNAME-Eintrag mit dem Namen {host} und dem Wert {target}"
        )
    }

    /// In the German accusative.
    fn txt_record(&self) -> String {
        let host = self.relative(&self.evidence.expected.challenge);
        let value = self.value;
        say!(
            self.locale,
            "a TXT record named {host} with the value {value}",
            "einen TXT-Eintrag mit dem Namen {host} und dem Wert {value}"
        )
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
        let detail = say!(
            self.locale,
            "{hostname} is behind a proxy, which hides its CNAME record.",
            "{hostname} steht hinter einem Proxy, der den CNAME-Eintrag verdeckt."
        );
        let add_txt = self.add_txt();
        let fix = say!(
            self.locale,
            "{add_txt}. Or turn off the proxy for this name.",
            "{add_txt}. Oder schalten Sie den Proxy für diesen Namen aus."
        );
        let observed = match evidence.cname.aliases.is_empty() {
            true => self.addresses(),
            false => self.at_hostname(),
        };
        let finding = finding(Code::Proxied, detail, fix).with_expected(self.value);
        Some(finding.with_observed(observed))
    }

    fn unregistered(&self) -> Finding {
        let domain = text(&registrable(&self.evidence.expected.hostname));
        let (detail, fix) = match domain.rsplit_once('.') {
            Some((_, top)) if self.evidence.has_no_top_level() => (
                say!(
                    self.locale,
                    "There is no top-level domain {top}.",
                    "Es gibt keine Top-Level-Domain {top}."
                ),
                say!(
                    self.locale,
                    "Correct the spelling of the host name: remove the domain, and add it again.",
                    "Berichtigen Sie die Schreibweise des Namens: Entfernen Sie die Domain, und fügen Sie sie neu hinzu."
                ),
            ),
            _ => (
                say!(
                    self.locale,
                    "The registry answers that the domain {domain} does not exist.",
                    "Die Vergabestelle antwortet, dass es die Domain {domain} nicht gibt."
                ),
                say!(
                    self.locale,
                    "Register or renew {domain}. Or correct the spelling of the host name.",
                    "Registrieren oder verlängern Sie {domain}. Oder berichtigen Sie die Schreibweise des Namens."
                ),
            ),
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
        let last = text(last);
        let leads = say!(
            self.locale,
            "The CNAME record of {hostname} leads to {last}.",
            "Der CNAME-Eintrag von {hostname} führt zu {last}."
        );
        if evidence.other_token.is_some() {
            let (code, whose) = match evidence.token_of_same_agency {
                // The traffic arrives, and the TXT record proves the domain.
                true if proof == Proof::Txt => return Vec::new(),
                true => (Code::WrongValue, own_target(self.locale)),
                false => (Code::StaleToken, foreign_target(self.locale)),
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
                let detail = self.loops(hostname.as_str());
                found.push(self.wrong_cname(Code::CnameLoop, detail));
            }
            Err(Unresolved::TooManyAliases) => {
                let detail = self.is_long_chain(hostname.as_str());
                found.push(self.wrong_cname(Code::CnameTooLong, detail));
            }
            Ok(response) if found.is_empty() => {
                found.push(self.wrong_cname(Code::WrongValue, leads.clone()));
                if *response == Response::NxDomain {
                    let detail = say!(
                        self.locale,
                        "{leads} That name does not exist.",
                        "{leads} Diesen Namen gibt es nicht."
                    );
                    found.push(self.wrong_cname(Code::TargetMissing, detail));
                }
            }
            _ => {}
        }
        found
    }

    fn loops(&self, name: &str) -> String {
        say!(
            self.locale,
            "The CNAME records that start at {name} form a loop.",
            "Die CNAME-Einträge, die bei {name} beginnen, bilden eine Schleife."
        )
    }

    fn is_long_chain(&self, name: &str) -> String {
        say!(
            self.locale,
            "A chain of more than 8 CNAME records starts at {name}.",
            "Bei {name} beginnt eine Kette von mehr als 8 CNAME-Einträgen."
        )
    }

    /// `Change the value of the CNAME record …`, without a full stop.
    fn change_cname(&self) -> String {
        let (host, target, zone) = (self.host(), self.target, self.zone());
        say!(
            self.locale,
            "Change the value of the CNAME record {host} in {zone} to {target}",
            "Ändern Sie den Wert des CNAME-Eintrags {host} in {zone} auf {target}"
        )
    }

    fn wrong_cname(&self, code: Code, detail: String) -> Finding {
        finding(code, detail, self.change_cname() + ".")
            .with_expected(self.target)
            .with_observed(self.at_hostname())
    }

    /// The value is right, except for what the provider or a person added to it, or it is that of the other record.
    fn altered_cname(&self, first: &Name) -> Option<Finding> {
        let (hostname, target, value) = (self.hostname, self.target, bare(&unescaped(first)));
        let zone = self.evidence.location.zone.as_ref().map(text);
        if zone.is_some_and(|zone| text(first) == format!("{target}.{zone}")) {
            let detail = say!(
                self.locale,
                "The value of the CNAME record of {hostname} ends with the name of the zone.",
                "Der Wert des CNAME-Eintrags von {hostname} endet mit dem Namen der Zone."
            );
            let (host, zone) = (self.host(), self.zone());
            let fix = say!(
                self.locale,
                "Enter the value of the CNAME record {host} in {zone} with a dot at the end: {target}.",
                "Geben Sie den Wert des CNAME-Eintrags {host} in {zone} mit einem Punkt am Ende ein: {target}."
            );
            let wrong = self.wrong_cname(Code::ValueDoubled, detail);
            Some(Finding { fix, ..wrong })
        } else if value == target {
            let detail = say!(
                self.locale,
                "The value of the CNAME record of {hostname} contains quotes, spaces or a scheme.",
                "Der Wert des CNAME-Eintrags von {hostname} enthält Anführungszeichen, Leerzeichen oder ein Schema."
            );
            Some(self.wrong_cname(Code::ValueAltered, detail))
        } else if value.starts_with(self.value) {
            let detail = say!(
                self.locale,
                "The CNAME record of {hostname} has the value that the TXT record should have.",
                "Der CNAME-Eintrag von {hostname} hat den Wert, den der TXT-Eintrag haben soll."
            );
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
        let is_cname = say!(
            self.locale,
            "{name} is a CNAME record. It must be a TXT record.",
            "{name} ist ein CNAME-Eintrag. Es muss ein TXT-Eintrag sein."
        );
        let has_value = |alias: &Name| bare(&unescaped(alias)).contains(self.token());
        let (code, detail) = match &lookup.result {
            Ok(Response::Answer(records)) if evidence.txt_state == RecordState::Wrong => {
                let (code, what) = self.wrong_text(&texts(records));
                let has = say!(
                    self.locale,
                    "The TXT record {name} has {what}.",
                    "Der TXT-Eintrag {name} hat {what}."
                );
                (code, has)
            }
            Ok(Response::Cname(_)) => (Code::WrongType, is_cname),
            Ok(_) if lookup.aliases.first().is_some_and(has_value) => (Code::WrongType, is_cname),
            Err(Unresolved::AliasLoop) => (Code::CnameLoop, self.loops(&name)),
            Err(Unresolved::TooManyAliases) => (Code::CnameTooLong, self.is_long_chain(&name)),
            _ => return None,
        };
        let by_wildcard = evidence
            .probes
            .as_ref()
            .and_then(|probes| probes.wildcard_txt.as_ref());
        let (detail, fix) = match by_wildcard {
            Some(_) => {
                let detail = say!(
                    self.locale,
                    "{detail} It comes from a wildcard record.",
                    "{detail} Er kommt von einem Wildcard-Eintrag."
                );
                (detail, self.add_txt() + ".")
            }
            None => {
                let (zone, record) = (self.zone(), self.txt_record());
                let fix = say!(
                    self.locale,
                    "Change the record in {zone} to {record}.",
                    "Ändern Sie den Eintrag in {zone} in {record}."
                );
                (detail, fix)
            }
        };
        let finding = finding(code, detail, fix).with_expected(self.value);
        Some(finding.with_observed(lookup.steps.last()?.answers()))
    }

    /// What the `TXT` records have instead of the value. In the German accusative.
    fn wrong_text(&self, texts: &[String]) -> (Code, String) {
        let mistakes = texts.iter().filter_map(|text| self.mistake(text));
        let mistake = mistakes.min_by_key(|(code, _)| *code != Code::ValueAltered);
        let is_stale = |text: &String| Token::from_txt_value(&bare(text)).is_some();
        if let Some(mistake) = mistake {
            mistake
        } else if texts.iter().any(is_stale) {
            let what = say!(
                self.locale,
                "the token of another domain, or of a domain that was deleted",
                "das Token einer anderen oder einer gelöschten Domain"
            );
            (Code::StaleToken, what)
        } else {
            (
                Code::WrongValue,
                say!(self.locale, "another value", "einen anderen Wert"),
            )
        }
    }

    /// The mistake in the value of a `TXT` record that has the domain's token.
    fn mistake(&self, text: &str) -> Option<(Code, String)> {
        let (bare, locale, key) = (bare(text), self.locale, Token::TXT_KEY);
        if bare == self.value {
            let what = match text.contains(INVISIBLE) {
                true => say!(
                    locale,
                    "the right value with an invisible character in it, such as a zero-width space (U+200B)",
                    "den richtigen Wert mit einem unsichtbaren Zeichen, etwa einem Leerzeichen ohne Breite (U+200B)"
                ),
                false => say!(
                    locale,
                    "the right value, except for quotes, spaces, letter case or a scheme",
                    "den richtigen Wert bis auf Anführungszeichen, Leerzeichen, Groß- und Kleinschreibung oder ein Schema"
                ),
            };
            return Some((Code::ValueAltered, what));
        }
        if bare.contains(self.target) {
            let what = say!(
                locale,
                "the value that the CNAME record should have",
                "den Wert, den der CNAME-Eintrag haben soll"
            );
            return Some((Code::WrongType, what));
        }
        let is_separator = |rest: &str| !rest.contains(|char: char| char.is_ascii_alphanumeric());
        let what = match bare.split_once(self.value) {
            Some(("", ".")) => say!(
                locale,
                "the right value with a dot at the end",
                "den richtigen Wert mit einem Punkt am Ende"
            ),
            Some(("", _)) => say!(
                locale,
                "the right value with other characters after it",
                "den richtigen Wert mit weiteren Zeichen danach"
            ),
            Some((front, _)) if front.ends_with("txt") => say!(
                locale,
                "a record type in front of the right value",
                "einen Eintragstyp vor dem richtigen Wert"
            ),
            Some((front, _)) if front.ends_with(['=', ':']) => say!(
                locale,
                "a key in front of the right value",
                "einen Schlüssel vor dem richtigen Wert"
            ),
            Some(_) => say!(
                locale,
                "other text in front of the right value",
                "anderen Text vor dem richtigen Wert"
            ),
            None => match bare.split_once(self.token())? {
                ("", _) => say!(
                    locale,
                    "only the token, without {key}= in front of it",
                    "nur das Token, ohne {key}= davor"
                ),
                (front, _) if front.strip_prefix(key).is_some_and(is_separator) => say!(
                    locale,
                    "another separator than = between {key} and the token",
                    "ein anderes Trennzeichen als = zwischen {key} und dem Token"
                ),
                _ => say!(
                    locale,
                    "another key than {key} in front of the token",
                    "einen anderen Schlüssel als {key} vor dem Token"
                ),
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
        let detail = say!(
            self.locale,
            "{hostname} leads to the portal, but no record proves that it is yours.",
            "{hostname} führt zum Portal, aber kein Eintrag weist nach, dass der Name Ihnen gehört."
        );
        let finding = finding(Code::RecordMissing, detail, self.add_txt() + ".").with_expected(self.value);
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
            true => (self.add_txt() + ".", self.value),
            false => {
                let (add_cname, txt) = (self.add_cname(), self.txt_record());
                let fix = say!(
                    self.locale,
                    "{add_cname}. Or add {txt}.",
                    "{add_cname}. Oder ergänzen Sie {txt}."
                );
                (fix, self.target)
            }
        };
        let detail = say!(
            self.locale,
            "Neither record of {hostname} was found.",
            "Keiner der Einträge von {hostname} wurde gefunden."
        );
        let finding = finding(Code::RecordMissing, detail, fix).with_expected(expected);
        Some(finding.with_observed(self.at_hostname()))
    }

    /// `is_served`: a domain that is proven is served, because no other agency's domain keeps the hostname.
    fn warnings(&self, is_served: bool) -> Vec<Finding> {
        let (hostname, evidence) = (self.hostname, self.evidence);
        let traffic = &evidence.traffic;
        let mut found = Vec::new();
        if evidence.is_flattened() {
            let detail = say!(
                self.locale,
                "{hostname} leads to the portal by its addresses alone. Neither record proves that it is yours.",
                "{hostname} führt nur durch seine Adressen zum Portal. Kein Eintrag weist nach, dass der Name Ihnen gehört."
            );
            let add_txt = self.add_txt();
            let fix = say!(
                self.locale,
                "{add_txt}, and keep it.",
                "{add_txt}, und behalten Sie ihn bei."
            );
            found.push(finding(Code::CnameFlattened, detail, fix).with_expected(self.value));
        }
        let others = traffic
            .addresses
            .iter()
            .filter(|address| !traffic.ours.contains(address));
        let others: Vec<_> = others.map(ToString::to_string).collect();
        if traffic.is_edge_known && !traffic.ours.is_empty() && !others.is_empty() {
            let others = shorten(&others.join(", "));
            let detail = say!(
                self.locale,
                "Some visitors of {hostname} do not reach the portal. They are sent to {others}.",
                "Manche Besucher von {hostname} erreichen das Portal nicht. Sie werden zu {others} geleitet."
            );
            let (host, zone) = (self.host(), self.zone());
            let fix = say!(
                self.locale,
                "Remove from {zone} the A and AAAA records of {host} with these addresses.",
                "Entfernen Sie aus {zone} die A- und AAAA-Einträge von {host} mit diesen Adressen."
            );
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
                    say!(
                        self.locale,
                        "its CNAME records lead to no address",
                        "die CNAME-Einträge führen zu keiner Adresse"
                    )
                }
                Some(target) if traffic.addresses.is_empty() => say!(
                    self.locale,
                    "its CNAME record leads to {target}, which has no public address",
                    "der CNAME-Eintrag führt zu {target}, das keine öffentliche Adresse hat"
                ),
                Some(target) => say!(
                    self.locale,
                    "its CNAME record leads to {target}, not to the portal",
                    "der CNAME-Eintrag führt zu {target} und nicht zum Portal"
                ),
                None if traffic.addresses.is_empty() => {
                    say!(self.locale, "it has no address", "der Name hat keine Adresse")
                }
                None => say!(
                    self.locale,
                    "its addresses are not those of the portal",
                    "die Adressen sind nicht die des Portals"
                ),
            };
            let detail = say!(
                self.locale,
                "{hostname} is proven, but {why}.",
                "{hostname} ist nachgewiesen, aber {why}."
            );
            let fix = match (evidence.is_apex(), aliases.is_empty()) {
                (true, _) => {
                    let host = self.host();
                    self.add(&say!(
                        self.locale,
                        "the records for routing, named {host}",
                        "die Einträge mit dem Namen {host}, die Besucher zum Portal führen"
                    ))
                }
                (false, true) if traffic.addresses.is_empty() => self.add_cname(),
                (false, true) => {
                    let add_cname = self.add_cname();
                    say!(
                        self.locale,
                        "{add_cname}, and remove its A and AAAA records",
                        "{add_cname}, und entfernen Sie die A- und AAAA-Einträge dieses Namens"
                    )
                }
                (false, false) => self.change_cname(),
            };
            let finding = finding(Code::NotRouted, detail, fix + ".");
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
        let detail = say!(
            self.locale,
            "The record is at {name}: the provider appended the name of the zone.",
            "Der Eintrag steht unter {name}: Der Anbieter hat den Namen der Zone angehängt."
        );
        let (host, zone) = (self.relative(right), self.zone());
        let fix = say!(
            self.locale,
            "Enter the name of the record in {zone} as {host}.",
            "Geben Sie den Namen des Eintrags in {zone} als {host} ein."
        );
        let finding = finding(Code::NameDoubled, detail, fix).with_expected(text(right));
        finding.with_observed(step.answers())
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
                let detail = say!(
                    self.locale,
                    "A TXT record of {name} has the value that the CNAME record should have.",
                    "Ein TXT-Eintrag von {name} hat den Wert, den der CNAME-Eintrag haben soll."
                );
                let (zone, record) = (self.zone(), self.cname_record());
                let fix = say!(
                    self.locale,
                    "Replace it in {zone} by {record}.",
                    "Ersetzen Sie ihn in {zone} durch {record}."
                );
                finding(Code::WrongType, detail, fix).with_expected(self.target)
            }
            Code::WrongType => return None,
            code => {
                let detail = say!(
                    self.locale,
                    "The value is in a TXT record of {name}, where it proves nothing.",
                    "Der Wert steht in einem TXT-Eintrag von {name}, wo er nichts nachweist."
                );
                finding(code, detail, self.add_txt() + ".").with_expected(text(&expected.challenge))
            }
        };
        Some(finding.with_observed(step.answers()))
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
            _ if self.evidence.is_apex() => {
                let beside = say!(
                    self.locale,
                    "the SOA and NS records of the zone",
                    "den SOA- und NS-Einträgen der Zone"
                );
                let add_txt = self.add_txt();
                let fix = say!(
                    self.locale,
                    "Remove the CNAME record. {add_txt}.",
                    "Entfernen Sie den CNAME-Eintrag. {add_txt}."
                );
                (beside, fix)
            }
            Some(step) => {
                shown.extend(step.answers());
                let (kind, host, zone) = (step.kind, self.host(), self.zone());
                let beside = say!(
                    self.locale,
                    "a record of type {kind}",
                    "einem Eintrag des Typs {kind}"
                );
                let fix = say!(
                    self.locale,
                    "Remove from {zone} all other records of {host}.",
                    "Entfernen Sie aus {zone} alle anderen Einträge von {host}."
                );
                (beside, fix)
            }
            None => return None,
        };
        let detail = say!(
            self.locale,
            "{hostname} has a CNAME record beside {beside}. DNS does not allow that.",
            "{hostname} hat einen CNAME-Eintrag neben {beside}. Das DNS erlaubt das nicht."
        );
        Some(finding(Code::CnameConflict, detail, fix).with_observed(shown))
    }

    /// A wildcard answers for the hostname, as the answer for a random sibling shows.
    fn wildcard(&self, sibling: &Step) -> Vec<Finding> {
        let hostname = self.hostname;
        let mut found = Vec::new();
        if !self.evidence.proof().is_given() {
            let finding = self.wildcard_answer(hostname.as_str(), &self.add_cname());
            found.push(finding.with_expected(self.target));
        }
        if self.evidence.txt_state != RecordState::Found {
            let detail = say!(
                self.locale,
                "A wildcard record answers for {hostname}. It stops when a record below {hostname} exists.",
                "Ein Wildcard-Eintrag antwortet für {hostname}. Das endet, sobald es einen Eintrag unterhalb von {hostname} gibt."
            );
            let (host, zone) = (self.host(), self.zone());
            let fix = say!(
                self.locale,
                "Before you add the TXT record, add to {zone} a record of its own for {host}.",
                "Bevor Sie den TXT-Eintrag ergänzen, ergänzen Sie in {zone} einen eigenen Eintrag für {host}."
            );
            found.push(finding(Code::WildcardShadowed, detail, fix));
        }
        let observed = |finding: Finding| finding.with_observed(sibling.answers());
        found.into_iter().map(observed).collect()
    }

    /// A wildcard answers for the name of the `TXT` record.
    fn wildcard_txt(&self, sibling: &Step) -> Finding {
        let name = text(&self.evidence.expected.challenge);
        let finding = self.wildcard_answer(&name, &self.add_txt());
        finding.with_expected(self.value).with_observed(sibling.answers())
    }

    fn wildcard_answer(&self, name: &str, add: &str) -> Finding {
        let detail = say!(
            self.locale,
            "{name} has no record of its own: a wildcard record answers for it.",
            "{name} hat keinen eigenen Eintrag: Ein Wildcard-Eintrag antwortet für den Namen."
        );
        let fix = say!(
            self.locale,
            "{add}. The wildcard record may stay.",
            "{add}. Der Wildcard-Eintrag darf bleiben."
        );
        finding(Code::WildcardAnswer, detail, fix)
    }

    fn caa(&self, probes: &Probes) -> Option<Finding> {
        let problem = probes.caa.as_ref()?;
        let finding = match &problem.forbidden {
            Some(forbidden) => self.caa_forbids(problem, forbidden),
            None => {
                let name = text(&problem.name);
                let detail = say!(
                    self.locale,
                    "DNS does not answer whether {name} has CAA records.",
                    "Das DNS antwortet nicht auf die Frage, ob {name} CAA-Einträge hat."
                );
                let fix = say!(
                    self.locale,
                    "Ask your DNS provider to answer queries for CAA records. Without an answer no certificate can be issued.",
                    "Bitten Sie Ihren DNS-Anbieter, Fragen nach CAA-Einträgen zu beantworten. Ohne Antwort kann kein Zertifikat ausgestellt werden."
                );
                finding(Code::CaaUnanswered, detail, fix)
            }
        };
        Some(finding.with_observed(problem.step.as_ref().map(Step::answers).unwrap_or_default()))
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
        let place = match zone {
            Some(_) => {
                let zone = self.zone();
                format!("{name} in {zone}")
            }
            None => name.clone(),
        };
        let change = say!(
            self.locale,
            "Change the CAA record of {place} to {issue}, or add such a record.",
            "Ändern Sie den CAA-Eintrag von {place} auf {issue}, oder ergänzen Sie einen solchen Eintrag."
        );
        let (detail, fix) = match reason {
            Reason::Critical { tag } => (
                say!(
                    self.locale,
                    "A CAA record of {name} has the critical property {tag}. Certificate authorities do not know it, so none may issue a certificate.",
                    "Ein CAA-Eintrag von {name} hat die kritische Eigenschaft {tag}. Zertifizierungsstellen kennen sie nicht, also darf keine ein Zertifikat ausstellen."
                ),
                say!(
                    self.locale,
                    "Remove the CAA record {tag} of {place}. Or set its flags to 0.",
                    "Entfernen Sie den CAA-Eintrag {tag} von {place}. Oder setzen Sie seine Flags auf 0."
                ),
            ),
            Reason::Methods { authority, methods } => {
                let methods = shorten(methods);
                let detail = say!(
                    self.locale,
                    "The CAA record of {name} allows {authority} only with validationmethods={methods}. The portal needs http-01 or tls-alpn-01.",
                    "Der CAA-Eintrag von {name} erlaubt {authority} nur mit validationmethods={methods}. Das Portal braucht http-01 oder tls-alpn-01."
                );
                (detail, change)
            }
            Reason::Account { authority, uri } => {
                let uri = shorten(uri);
                let detail = say!(
                    self.locale,
                    "The CAA record of {name} allows {authority} only for one account, accounturi={uri}. The portal may have another account.",
                    "Der CAA-Eintrag von {name} erlaubt {authority} nur für ein Konto, accounturi={uri}. Das Portal hat vielleicht ein anderes Konto."
                );
                (detail, change)
            }
            Reason::Malformed => {
                let detail = say!(
                    self.locale,
                    "A CAA record of {name} is malformed, so it allows no certificate authority.",
                    "Ein CAA-Eintrag von {name} ist fehlerhaft, also erlaubt er keine Zertifizierungsstelle."
                );
                (detail, change)
            }
            Reason::Unnamed => (
                say!(
                    self.locale,
                    "The CAA records of {name} do not allow our certificate authorities to issue a certificate.",
                    "Die CAA-Einträge von {name} erlauben unseren Zertifizierungsstellen nicht, ein Zertifikat auszustellen."
                ),
                say!(
                    self.locale,
                    "Add the CAA record {issue} to {place}. Keep the other CAA records.",
                    "Ergänzen Sie den CAA-Eintrag {issue} für {place}. Behalten Sie die anderen CAA-Einträge bei."
                ),
            ),
        };
        let fix = match zone {
            // The records are at the operator's target, or at what it leads to.
            None if problem.is_operators => say!(
                self.locale,
                "Ask the portal's operator to correct the CAA records of {name}.",
                "Bitten Sie den Betreiber des Portals, die CAA-Einträge von {name} zu berichtigen."
            ),
            _ => fix,
        };
        finding(Code::CaaForbids, detail, fix).with_expected(issue)
    }

    /// Another account holds the hostname. Its record is shown only if DNS shows it to everyone.
    fn held_elsewhere(&self, holder: Holder<'_>) -> Finding {
        let hostname = self.hostname;
        let detail = say!(
            self.locale,
            "Your record was found, but another account holds {hostname}.",
            "Ihr Eintrag wurde gefunden, aber ein anderes Konto hat {hostname}."
        );
        let held = |fix| finding(Code::HeldElsewhere, detail, fix);
        let token = holder.domain.token.as_ref();
        let (kind, name, value) = match holder.evidence.map(Evidence::proof) {
            Some(Proof::Cname) => {
                let target = token.map(|token| token.cname_target(self.names));
                ("CNAME", hostname.to_string(), target)
            }
            Some(Proof::Txt) => ("TXT", hostname.challenge(), token.map(Token::txt_value)),
            Some(Proof::Missing) => {
                return held(say!(
                    self.locale,
                    "Wait: the other account's record is gone. If it stays so for ten minutes, the name is yours.",
                    "Warten Sie: Der Eintrag des anderen Kontos ist weg. Bleibt das zehn Minuten so, gehört der Name Ihnen."
                ));
            }
            Some(Proof::Unknown) | None => {
                return held(say!(
                    self.locale,
                    "Remove every record of another account for this name. Or wait until DNS answers again.",
                    "Entfernen Sie jeden Eintrag eines anderen Kontos für diesen Namen. Oder warten Sie, bis das DNS wieder antwortet."
                ));
            }
        };
        let value = value.unwrap_or_default();
        let zone = self.zone();
        let fix = say!(
            self.locale,
            "Remove from {zone} the other account's {kind} record {name} with the value {value}.",
            "Entfernen Sie aus {zone} den {kind}-Eintrag {name} des anderen Kontos mit dem Wert {value}."
        );
        let server = holder.evidence.and_then(|evidence| evidence.nameservers().next());
        let server = server.unwrap_or_else(|| "DNS".to_owned());
        held(fix).with_observed(vec![ServerAnswer {
            server,
            answer: value,
        }])
    }

    fn at_hostname(&self) -> Vec<ServerAnswer> {
        self.evidence.at_hostname().map(Step::answers).unwrap_or_default()
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

    /// The name of a step. Of another domain only the name is shown that the domain's own record leads to.
    fn shown_name(&self, step: &Step, lookup: &Lookup) -> String {
        match lookup.last_own_alias() {
            Some(alias) if step.is_foreign && step.name != *alias => {
                let alias = text(alias);
                say!(
                    self.locale,
                    "a name that {alias} leads to",
                    "einem Ziel von {alias}"
                )
            }
            _ => text(&step.name),
        }
    }

    fn not_everywhere_yet(&self, lookup: &Lookup, expected: &str) -> Option<Finding> {
        let step = lookup.steps.last()?;
        let name = self.shown_name(step, lookup);
        let detail = say!(
            self.locale,
            "The name servers give different answers for {name}.",
            "Die Nameserver geben zu {name} verschiedene Antworten."
        );
        let fix = say!(
            self.locale,
            "Wait until your DNS provider has updated all its servers. If this takes hours, ask the provider.",
            "Warten Sie, bis Ihr DNS-Anbieter alle seine Nameserver aktualisiert hat. Dauert das Stunden, fragen Sie den Anbieter."
        );
        let finding = finding(Code::NotEverywhereYet, detail, fix).with_expected(expected);
        Some(finding.with_observed(step.answers()))
    }

    fn only_one_server(&self, lookup: &Lookup, expected: &str) -> Option<Finding> {
        let step = lookup.unconfirmed_step()?;
        let name = self.shown_name(step, lookup);
        let detail = say!(
            self.locale,
            "Only one of the name servers of {name} answers.",
            "Nur einer der Nameserver von {name} antwortet."
        );
        let fix = say!(
            self.locale,
            "Wait until the other name servers answer too. If this takes hours, ask your DNS provider.",
            "Warten Sie, bis auch die anderen Nameserver antworten. Dauert das Stunden, fragen Sie Ihren DNS-Anbieter."
        );
        let finding = finding(Code::NotEverywhereYet, detail, fix).with_expected(expected);
        Some(finding.with_observed(step.answers()))
    }

    /// Why the last step of the lookup failed.
    fn failed(&self, failure: Failure, lookup: &Lookup) -> Option<Finding> {
        let locale = self.locale;
        let wait = say!(
            locale,
            "Wait. If this continues, ask your DNS provider.",
            "Warten Sie. Bleibt es dabei, fragen Sie Ihren DNS-Anbieter."
        );
        let step = lookup.steps.last()?;
        let name = self.shown_name(step, lookup);
        let (code, detail, fix) = match failure {
            Failure::Timeout => (
                Code::DnsTimeout,
                say!(
                    locale,
                    "The name servers of {name} did not answer in time.",
                    "Die Nameserver von {name} haben nicht rechtzeitig geantwortet."
                ),
                wait,
            ),
            Failure::BudgetExhausted => (
                Code::DnsTimeout,
                say!(
                    locale,
                    "The name servers of {name} need more time or more queries than a check has.",
                    "Die Nameserver von {name} brauchen mehr Zeit oder mehr Anfragen, als eine Prüfung hat."
                ),
                wait,
            ),
            Failure::Code(ResponseCode::Refused) => (
                Code::DnsRefused,
                say!(
                    locale,
                    "The name servers refuse to answer for {name}.",
                    "Die Nameserver verweigern die Antwort zu {name}."
                ),
                say!(
                    locale,
                    "Check that the domain is delegated to the name servers of the provider that has the zone.",
                    "Prüfen Sie, ob die Domain an die Nameserver des Anbieters delegiert ist, der die Zone hat."
                ),
            ),
            Failure::Code(_) => (
                Code::DnsServfail,
                say!(
                    locale,
                    "The name servers failed to answer for {name}.",
                    "Die Nameserver melden zu {name} einen Fehler."
                ),
                wait,
            ),
            Failure::Malformed => (
                Code::DnsMalformed,
                say!(
                    locale,
                    "The answer for {name} is not a valid DNS message.",
                    "Die Antwort zu {name} ist keine gültige DNS-Nachricht."
                ),
                say!(
                    locale,
                    "Ask your DNS provider to correct the answers of its name servers.",
                    "Bitten Sie Ihren DNS-Anbieter, die Antworten seiner Nameserver zu berichtigen."
                ),
            ),
            Failure::TooBig => (
                Code::AnswerTooBig,
                say!(
                    locale,
                    "There are more than 100 records of {name}.",
                    "Es gibt mehr als 100 Einträge von {name}."
                ),
                say!(
                    locale,
                    "Remove the records that you do not need.",
                    "Entfernen Sie die Einträge, die Sie nicht brauchen."
                ),
            ),
            Failure::Truncated => (
                Code::AnswerTooBig,
                say!(
                    locale,
                    "The answer for {name} is too big for UDP, and the name servers do not answer by TCP.",
                    "Die Antwort zu {name} ist zu groß für UDP, und die Nameserver antworten nicht über TCP."
                ),
                say!(
                    locale,
                    "Ask your DNS provider to answer by TCP. Or remove the records that you do not need.",
                    "Bitten Sie Ihren DNS-Anbieter, über TCP zu antworten. Oder entfernen Sie die Einträge, die Sie nicht brauchen."
                ),
            ),
            Failure::Lame | Failure::NoAddress => (
                Code::LameDelegation,
                say!(
                    locale,
                    "The name servers that {name} is delegated to do not exist, or do not have its zone.",
                    "Die Nameserver der Delegation von {name} gibt es nicht, oder sie haben die Zone nicht."
                ),
                say!(
                    locale,
                    "At your registrar, enter the name servers of the provider that has the zone.",
                    "Tragen Sie bei Ihrem Registrar die Nameserver des Anbieters ein, der die Zone hat."
                ),
            ),
            Failure::PrivateAddress => (
                Code::PrivateAddress,
                say!(
                    locale,
                    "None of the name servers of {name} has a public address.",
                    "Keiner der Nameserver von {name} hat eine öffentliche Adresse."
                ),
                say!(
                    locale,
                    "Give the name servers addresses that the Internet can reach.",
                    "Geben Sie den Nameservern Adressen, die aus dem Internet erreichbar sind."
                ),
            ),
            Failure::Bogus => (
                Code::DnssecBogus,
                say!(
                    locale,
                    "The DNSSEC signatures of {name} are wrong. Resolvers that validate reject the zone.",
                    "Die DNSSEC-Signaturen von {name} sind falsch. Resolver, die sie prüfen, lehnen die Zone ab."
                ),
                say!(
                    locale,
                    "Sign the zone again at your DNS provider. Or remove the DS records at your registrar.",
                    "Signieren Sie die Zone bei Ihrem DNS-Anbieter neu. Oder entfernen Sie die DS-Einträge bei Ihrem Registrar."
                ),
            ),
            Failure::Resolver => (
                Code::ResolverFailed,
                say!(
                    locale,
                    "The DNS resolvers of the portal do not answer, so {name} could not be checked.",
                    "Die DNS-Resolver des Portals antworten nicht, also war die Prüfung von {name} nicht möglich."
                ),
                say!(
                    locale,
                    "You need not change anything. This is a problem of the portal's operator. The check is repeated.",
                    "Sie müssen nichts ändern. Das Problem liegt beim Betreiber des Portals. Die Prüfung wird wiederholt."
                ),
            ),
        };
        Some(finding(code, detail, fix).with_observed(step.answers()))
    }
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
    use shared::models::{
        domain::Check,
        id::{DomainId, OrgId},
    };
    use strum::IntoEnumIterator;

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
        in_both_languages(&domain(status), evidence, None)
    }

    fn explained_now(
        domain: &Domain,
        evidence: &Evidence,
        holder: Option<Holder<'_>>,
    ) -> (Vec<Finding>, Vec<FindingText>) {
        explain(&Facts {
            domain,
            evidence,
            holder,
            names: &names(),
            now: NOW,
        })
    }

    /// The findings. The German text of each names what the English one names.
    fn in_both_languages(domain: &Domain, evidence: &Evidence, holder: Option<Holder<'_>>) -> Vec<Finding> {
        let (findings, german) = explained_now(domain, evidence, holder);
        assert_eq!(findings.len(), german.len());
        for (finding, german) in findings.iter().zip(&german) {
            for (english, german) in [(&finding.detail, &german.detail), (&finding.fix, &german.fix)] {
                assert_ne!(english, german);
                for fact in names_and_values(english) {
                    assert!(german.contains(fact), "{fact}: {english} {german}");
                }
            }
        }
        findings
    }

    /// The words of a sentence that are no words of its language: names, values, types and numbers.
    fn names_and_values(sentence: &str) -> impl Iterator<Item = &str> {
        let words = sentence
            .split_whitespace()
            .map(|word| word.trim_matches(['.', ',', ':', '(', ')']));
        words.filter(|word| {
            let is_type = word.len() > 1 && word.chars().all(|char| char.is_ascii_uppercase());
            is_type || word.contains(|char: char| ".=_\"+:".contains(char) || char.is_ascii_digit())
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

    /// The question for a record of a type, and what one server answers.
    fn step(at: &str, records: &[RData]) -> Step {
        let kind = records.first().map_or(RecordType::CNAME, RData::record_type);
        let result = Ok(Response::Answer(records.to_vec()));
        lookup(at, kind, &[], result).steps.remove(0)
    }

    fn probed(probes: Probes) -> Evidence {
        with(|evidence| evidence.probes = Some(probes))
    }

    #[test]
    fn each_code_has_a_german_text_with_the_same_names_and_values() {
        let (target, value) = (nothing().expected.target, nothing().expected.value);
        let elsewhere = || Ok(Response::NoData);
        let text = |text: &str| RData::TXT(TXT::new(vec![text.to_owned()]));
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let with_txt_lookup = |aliases: &[&str], result| {
            with(|evidence| {
                let challenge = "_agency-challenge.portal.acme.test.";
                evidence.txt = Some(lookup(challenge, RecordType::TXT, aliases, result));
                evidence.txt_state = RecordState::Wrong;
            })
        };
        let with_conflict_at = |alias: &str, last: &str, is_foreign| {
            with(|evidence| {
                let mut lookup = cname(&[alias], Err(Unresolved::Conflict));
                let last = Step {
                    name: name(last),
                    is_foreign,
                    ..lookup.steps[0].clone()
                };
                lookup.steps.push(last);
                evidence.cname = lookup;
                evidence.cname_state = RecordState::Unreachable;
            })
        };
        let token = value.rsplit('=').next().unwrap();
        let mut cases = vec![
            nothing(),
            with_txt_lookup(&["other.test."], Ok(Response::Cname(name("other.test.")))),
            with_txt_lookup(&["other.test."], Err(Unresolved::AliasLoop)),
            with_txt_lookup(&["other.test."], Err(Unresolved::TooManyAliases)),
            // The right value, which a validating resolver rejects, is not called wrong.
            with(|evidence| {
                evidence.txt = Some(txt(&value));
                evidence.txt_state = RecordState::Unreachable;
            }),
            // The value that is nearly right is named.
            with_txt_lookup(
                &[],
                Ok(Response::Answer(vec![text(token), text(&format!("'{value}'"))])),
            ),
            with(|evidence| evidence.location.zone = Some(evidence.expected.hostname.clone())),
            with(|evidence| evidence.location.provider = None),
            with(|evidence| evidence.location.zone = None),
            with(|evidence| evidence.unregistered = true),
            with(|evidence| evidence.traffic.routing = Routing::Proxied),
            flattened(),
            with_other_token(true),
            with_other_token(false),
            with_cname(&["other.test."], Ok(Response::NxDomain)),
            with_cname(&["portal.acme.test."], Err(Unresolved::AliasLoop)),
            with_cname(&["a.test."], Err(Unresolved::TooManyAliases)),
            with_cname(&[&format!("{target}.acme.test.")], Ok(Response::NxDomain)),
            with(|evidence| {
                *evidence = with_cname(&["x.test."], elsewhere());
                evidence.cname.aliases = vec![Name::from_labels([value.as_bytes()]).unwrap()];
            }),
            with(|evidence| {
                *evidence = with_cname(&["x.test."], elsewhere());
                evidence.cname.aliases =
                    vec![Name::from_labels([format!("\"{target}\"").as_bytes()]).unwrap()];
            }),
            with(|evidence| {
                evidence.cname = cname(&[], Err(Unresolved::Conflict));
                evidence.cname_state = RecordState::Unreachable;
            }),
            // The servers differ in the own zone, in the alias of another domain, and behind it.
            with_conflict_at("x.acme.test.", "x.acme.test.", false),
            with_conflict_at("split.corp.com.", "split.corp.com.", true),
            with_conflict_at("split.corp.com.", "deep.corp.com.", true),
            with(|evidence| {
                evidence.cname = cname(&[], elsewhere());
                evidence.cname.steps[0].unconfirmed = true;
                evidence.cname_state = RecordState::Unreachable;
            }),
            with(|evidence| {
                *evidence = flattened();
                evidence.traffic.addresses.push(address(9));
            }),
            probed(Probes {
                doubled: vec![step(
                    "_agency-challenge.portal.acme.test.acme.test.",
                    &[text(&value)],
                )],
                texts: vec![
                    step("acme.test.", &[text(&value)]),
                    step("portal.acme.test.", &[text(&target)]),
                ],
                ..Probes::default()
            }),
            probed(Probes {
                doubled: vec![Step {
                    result: Ok(Response::Cname(name(&format!("{target}.")))),
                    ..step("portal.acme.test.acme.test.", &[])
                }],
                texts: vec![
                    // The value of the CNAME record at another name is no mistake. Both values at the hostname are one.
                    step("acme.test.", &[text(&target)]),
                    step("portal.acme.test.", &[text(&target), text(&value)]),
                ],
                ..Probes::default()
            }),
            probed(Probes {
                wildcard: Some(step("x.acme.test.", &[text("x")])),
                ..Probes::default()
            }),
            probed(Probes {
                wildcard_txt: Some(step("_agency-challenge.x.acme.test.", &[text("x")])),
                ..Probes::default()
            }),
            Evidence {
                probes: Some(Probes {
                    beside_cname: Some(step("portal.acme.test.", &[text("x")])),
                    ..Probes::default()
                }),
                ..with_cname(&["other.test."], elsewhere())
            },
            with(|evidence| {
                *evidence = with_cname(&["other.test."], elsewhere());
                evidence.location.zone = Some(evidence.expected.hostname.clone());
                evidence.probes = Some(Probes::default());
            }),
        ];
        let token = value.rsplit('=').next().unwrap().to_owned();
        cases.extend(
            [
                "hello".to_owned(),
                format!("\"{value}\""),
                format!("{value}\u{200B}"),
                format!("agency-verification={}", "07".repeat(16)),
                target.clone(),
                format!("{value}."),
                format!("{value} x"),
                format!("TXT {value}"),
                format!("key={value}"),
                format!("x {value}"),
                format!("agency-verification: {token}"),
                format!("key: {token}"),
                token,
            ]
            .iter()
            .map(|text| with_txt(text)),
        );
        cases.extend(
            [
                Failure::Timeout,
                Failure::BudgetExhausted,
                Failure::Code(ResponseCode::Refused),
                Failure::Code(ResponseCode::ServFail),
                Failure::Malformed,
                Failure::TooBig,
                Failure::Truncated,
                Failure::Lame,
                Failure::NoAddress,
                Failure::PrivateAddress,
                Failure::Resolver,
            ]
            .map(failed_with),
        );
        cases.push(with(|evidence| {
            evidence.bogus = Some(evidence.cname.clone());
            evidence.cname_state = RecordState::Unreachable;
        }));
        let authority = || "letsencrypt.org".to_owned();
        let reasons = [
            Some(Reason::Critical {
                tag: "tbs".to_owned(),
            }),
            Some(Reason::Methods {
                authority: authority(),
                methods: "dns-01".to_owned(),
            }),
            Some(Reason::Account {
                authority: authority(),
                uri: "https://ca.test/1".to_owned(),
            }),
            Some(Reason::Malformed),
            Some(Reason::Unnamed),
            None,
        ];
        for reason in reasons {
            for (at, is_operators) in [("acme.test.", false), ("edge.test.", true)] {
                let authority = authority();
                let caa = CaaProblem {
                    name: name(at),
                    step: None,
                    is_operators,
                    forbidden: reason.clone().map(|reason| Forbidden { authority, reason }),
                };
                let caa = Some(caa);
                cases.push(probed(Probes {
                    caa,
                    ..Probes::default()
                }));
            }
        }
        let mut found: Vec<_> = cases
            .iter()
            .flat_map(|evidence| explained(Status::Pending, evidence))
            .collect();
        for (aliases, addresses) in [
            (&[][..], vec![]),
            (&[], vec![address(9)]),
            (&["other.test."], vec![]),
            (&["other.test."], vec![address(9)]),
        ] {
            for zone in ["acme.test.", "portal.acme.test."] {
                let evidence = with(|evidence| {
                    evidence.cname.aliases = aliases.iter().map(|alias| name(alias)).collect();
                    evidence.txt_state = RecordState::Found;
                    evidence.traffic.addresses = addresses.clone();
                    evidence.location.zone = Some(name(zone));
                });
                found.extend(explained(Status::Verified, &evidence));
            }
        }
        for cause in [Code::Moved, Code::Expired, Code::Lost] {
            let mut failed = domain(Status::Failed);
            failed.history.cause = Some(cause);
            found.extend(in_both_languages(&failed, &nothing(), None));
        }
        let mut contested = domain(Status::Verified);
        contested.history.contested_until = Some(NOW + std::time::Duration::from_secs(1));
        found.extend(in_both_languages(&contested, &nothing(), None));
        let proofs = [
            Some((RecordState::Found, RecordState::Missing)),
            Some((RecordState::Missing, RecordState::Found)),
            Some((RecordState::Missing, RecordState::Missing)),
            Some((RecordState::Unreachable, RecordState::Missing)),
            None,
        ];
        for proof in proofs {
            let evidence = proof.map(|(cname_state, txt_state)| Evidence {
                cname_state,
                txt_state,
                ..nothing()
            });
            let holder = Holder {
                domain: &domain(Status::Verified),
                evidence: evidence.as_ref(),
            };
            found.extend(in_both_languages(
                &domain(Status::Pending),
                &nothing(),
                Some(holder),
            ));
        }
        for code in Code::iter() {
            assert!(found.iter().any(|finding| finding.code == code), "{code:?}");
        }
        assert_sentences(&found);
    }

    /// `sentences.txt` has the English findings of all cases, for a reader and for a comparison. `UPDATE_SENTENCES=1` writes it.
    fn assert_sentences(found: &[Finding]) {
        let mut text = String::new();
        for finding in found {
            let Finding {
                code,
                detail,
                fix,
                expected,
                observed,
                ..
            } = finding;
            let expected = expected.as_deref().unwrap_or("-");
            let observed: Vec<_> = observed.iter().map(|seen| &*seen.answer).collect();
            let observed = observed.join(", ");
            text += &format!("{code:?}\n  {detail}\n  {fix}\n  expected {expected}, observed {observed}\n");
        }
        if std::env::var("UPDATE_SENTENCES").is_ok() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sentences.txt"), &text).unwrap();
        }
        assert!(text == include_str!("sentences.txt"), "{text}");
    }

    /// A finding with this number of octets in German and English.
    fn long(octets: usize) -> [Finding; 2] {
        let text = |length| "x".repeat(length);
        let answer = ServerAnswer {
            server: text(20),
            answer: text(30),
        };
        let english = Finding {
            expected: Some(text(50)),
            observed: vec![answer],
            ..finding(Code::WrongValue, text(octets - 1_000), text(200))
        };
        [english, finding(Code::WrongValue, text(300), text(400))]
    }

    #[test]
    fn the_findings_of_a_check_have_at_most_16_000_octets() {
        for (octets, expected) in [
            ([8_000, 8_000, 2_000], 2),
            ([8_000, 8_001, 2_000], 1),
            ([6_000, 6_000, 4_000], 3),
        ] {
            let (english, german) = octets
                .map(long)
                .into_iter()
                .map(|[english, german]| (english, german))
                .unzip();
            let (english, german) = limited(english, german, false);
            assert_eq!([english.len(), german.len()], [expected; 2], "{octets:?}");
        }
    }

    #[test]
    fn a_contested_domain_has_its_warning_within_the_16_findings() {
        let mut contested = domain(Status::Verified);
        for (until, expected) in [
            (None, false),
            (Some(NOW), false),
            (Some(NOW + std::time::Duration::from_secs(1)), true),
        ] {
            contested.history.contested_until = until;
            let found = in_both_languages(&contested, &nothing(), None);
            let is_warned = found.iter().any(|finding| finding.code == Code::Contested);
            assert_eq!(is_warned, expected, "{until:?}");
        }
        let many = || vec![finding(Code::WrongValue, String::new(), String::new()); MAX_FINDINGS + 1];
        for is_contested in [false, true] {
            let (mut english, mut german) = limited(many(), many(), is_contested);
            assert_eq!(english.len(), MAX_FINDINGS - usize::from(is_contested));
            for _ in 0..2 {
                warn_of_contest(&contested, &mut english, &mut german);
                assert_eq!([english.len(), german.len()], [MAX_FINDINGS; 2]);
            }
        }
    }

    /// The person at the DNS provider must not learn which portals belong to one agency.
    #[test]
    fn a_redacted_check_does_not_tell_whose_token_a_record_has() {
        for ownership in [RecordState::Missing, RecordState::Found] {
            let redacted = [true, false].map(|same_agency| {
                let evidence = Evidence {
                    txt_state: ownership,
                    ..with_other_token(same_agency)
                };
                let mut domain = Domain {
                    ownership,
                    ..domain(Status::Verified)
                };
                let (findings, german) = explained_now(&domain, &evidence, None);
                domain.german_findings = german;
                domain.check = Some(Check {
                    problem: problem(&findings).cloned(),
                    findings,
                    ..Check::default()
                });
                redact_ownership(&mut domain);
                let check = domain.check.unwrap();
                let details: Vec<_> = check
                    .findings
                    .iter()
                    .map(|finding| finding.detail.clone())
                    .collect();
                (details, check.problem, domain.german_findings)
            });
            assert_eq!(redacted[0], redacted[1], "{ownership:?}");
            let shown = format!("{redacted:?}");
            assert!(
                !shown.contains("your domains") && !shown.contains("Ihrer Domains"),
                "{shown}"
            );
            assert_eq!(
                shown.contains("another domain"),
                ownership == RecordState::Missing,
                "{shown}"
            );
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
        let (findings, _) = explained_now(&failed, &evidence, None);
        let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
        let expected = [
            Code::Lost,
            Code::WildcardAnswer,
            Code::WrongValue,
            Code::WildcardShadowed,
        ];
        assert_eq!(codes, expected);
    }
}
