//! Puts into words what was seen: what is wrong, where, and what to do about it. The look-ups behind the finer codes are
//! here too.

use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RData, RecordType},
};
use shared::{
    models::{
        domain::{Finding, FindingCode, Level, Observed, RecordState, Routing, Token},
        hostname::Hostname,
    },
    random,
};
use tokio::join;

use super::{
    Depth, Look, Place, Proof, Seen, TXT_KEY,
    consensus::{Answer, End, Outcome, Said, Width},
    text,
    wire::Failure,
    zone,
};

/// Findings of one check.
const MAX_FINDINGS: usize = 16;
/// Octets of all findings: names and answers may be long, and they share a domain's item with all else.
const MAX_BYTES: usize = 16_000;
/// Servers shown in one finding.
const MAX_OBSERVED: usize = 4;
/// Characters of one server's answer.
const MAX_ANSWER: usize = 255;

impl Place {
    /// Where to do something: ` at Cloudflare`.
    pub(super) fn at(&self) -> String {
        format!(" at {}", self.provider.as_deref().unwrap_or("your DNS provider"))
    }

    /// A name as the provider's form wants it.
    fn host(&self, name: &Name) -> String {
        let text = zone::text(name);
        match &self.zone {
            Some(zone) if *zone == *name => "@".to_owned(),
            Some(zone) => {
                let host = text.strip_suffix(&zone::text(zone));
                host.and_then(|host| host.strip_suffix('.'))
                    .unwrap_or(&text)
                    .to_owned()
            }
            None => text,
        }
    }
}

impl Look<'_> {
    /// All that was found: what counts first, the most telling of it in front; then the warnings.
    pub(super) async fn findings(&self, seen: &Seen, place: &Place, depth: Depth) -> Vec<Finding> {
        let proof = seen.proof();
        let mut found = Vec::new();
        if proof == Proof::Unknown {
            found.extend(self.undecided(seen));
        }
        let closely = depth == Depth::Diagnose || seen.changes(self.domain.status);
        let closely = closely && proof != Proof::Unknown && !seen.unregistered;
        let closer = if closely {
            self.closer(seen, place).await
        } else {
            Vec::new()
        };
        if !proof.is_given() {
            found.extend(self.proxied(seen, place));
        }
        if seen.unregistered {
            found.push(self.unregistered(seen));
        }
        found.extend(closer);
        found.extend(self.wrong_cname(seen, place));
        if !proof.is_given() {
            found.extend(self.wrong_txt(seen, place));
            found.extend(self.missing(seen, place));
        }
        found.extend(self.warnings(seen, place));
        if proof == Proof::Unknown {
            // What is known for certain is told, but it is not what decided.
            found.retain(|finding| finding.code != FindingCode::RecordMissing);
        }
        found.sort_by_key(|finding| finding.level == Level::Warning);
        found.truncate(MAX_FINDINGS);
        let mut room = MAX_BYTES;
        found.retain(|finding| {
            let fits = size(finding) <= room;
            room = room.saturating_sub(size(finding));
            fits
        });
        found
    }

    pub(super) fn finding(
        &self,
        code: FindingCode,
        detail: String,
        fix: String,
        expected: Option<String>,
        observed: Vec<Observed>,
    ) -> Finding {
        Finding {
            code,
            level: level(code),
            detail,
            fix,
            expected,
            observed,
        }
    }

    /// Why nothing was decided.
    fn undecided(&self, seen: &Seen) -> Vec<Finding> {
        let mut found: Vec<Finding> = Vec::new();
        if let Some(answer) = &seen.bogus {
            found.push(self.failed(Failure::Bogus, &answer.name, observed(answer)));
        }
        let txt = seen.txt.as_ref().map(|txt| (seen.ownership, txt));
        for (state, path) in [(seen.route, &seen.cname)].into_iter().chain(txt) {
            if state != RecordState::Unreachable {
                continue;
            }
            let finding = match (&path.end, path.failure()) {
                (End::Differ | End::Split, _) => {
                    path.answers.last().map(|answer| self.not_everywhere(answer))
                }
                (_, Some((failure, answer))) => {
                    Some(self.failed(failure, &answer.name, self.observed(answer)))
                }
                // It was found, and rejected: told above.
                _ => None,
            };
            // One sentence for both records is enough.
            found.extend(finding.filter(|new| found.iter().all(|old| old.code != new.code)));
        }
        found
    }

    fn not_everywhere(&self, answer: &Answer) -> Finding {
        self.finding(
            FindingCode::NotEverywhereYet,
            format!("The name servers do not all say the same about {}.", zone::text(&answer.name)),
            "Wait until your DNS provider has brought the change to all its servers; if this stays for hours, ask the provider."
                .to_owned(),
            None,
            observed(answer),
        )
    }

    fn failed(&self, failure: Failure, name: &Name, observed: Vec<Observed>) -> Finding {
        failed(failure, &zone::text(name), observed)
    }

    /// What each server said; where none could be found, why.
    fn observed(&self, answer: &Answer) -> Vec<Observed> {
        match (observed(answer), &answer.outcome) {
            (servers, Outcome::Unknown(failure)) if servers.is_empty() => vec![Observed {
                server: format!("delegation of {}", zone::text(&zone::registrable(&answer.name))),
                answer: failure_text(*failure),
            }],
            (servers, _) => servers,
        }
    }

    fn proxied(&self, seen: &Seen, place: &Place) -> Option<Finding> {
        if seen.traffic.routing != Routing::Proxied || seen.ownership == RecordState::Unreachable {
            return None;
        }
        let shown = match seen.own() {
            Some(answer) if !seen.cname.chain.is_empty() => observed(answer),
            _ => self.addresses(seen),
        };
        Some(self.finding(
            FindingCode::Proxied,
            format!(
                "{} is behind a proxy, which hides its CNAME record.",
                self.domain.hostname
            ),
            format!(
                "Add {}; or turn the proxy off for this name.",
                self.txt_record(place)
            ),
            Some(self.value.clone()),
            shown,
        ))
    }

    fn unregistered(&self, seen: &Seen) -> Finding {
        let domain = zone::text(&zone::registrable(&self.hostname));
        self.finding(
            FindingCode::DomainUnregistered,
            format!("The registry says that there is no domain {domain}."),
            format!("Register {domain}, or renew it, and look for a typing error in the host name."),
            None,
            seen.own().map(observed).unwrap_or_default(),
        )
    }

    /// What is wrong with the `CNAME`.
    fn wrong_cname(&self, seen: &Seen, place: &Place) -> Vec<Finding> {
        let path = &seen.cname;
        let proven = seen.proof().is_given();
        let (Some(first), Some(last), Some(answer)) = (path.chain.first(), path.chain.last(), seen.own())
        else {
            return Vec::new();
        };
        if seen.route == RecordState::Found || seen.traffic.routing == Routing::Proxied {
            return Vec::new();
        }
        let hostname = &self.domain.hostname;
        let change = format!(
            "Change the CNAME record {} to {}{}.",
            place.host(&self.hostname),
            self.target,
            place.at()
        );
        let says = format!("The CNAME record of {hostname} leads to {}.", zone::text(last));
        let finding = |code, detail| {
            let expected = Some(self.target.clone());
            self.finding(code, detail, change.clone(), expected, observed(answer))
        };
        if self.other_token(path).is_some() {
            let detail = format!("{says} Its token is not that of any of your domains.");
            return vec![finding(FindingCode::StaleToken, detail)];
        }
        // Routing is the owner's choice where another record proves the name.
        if proven || path.is_sole() {
            return Vec::new();
        }
        let mut found = Vec::new();
        let value = zone::text(first);
        let doubled = place
            .zone
            .as_ref()
            .map(|zone| format!("{}.{}", self.target, zone::text(zone)));
        let slip = if doubled.as_ref() == Some(&value) {
            let detail = format!("The value of the CNAME record of {hostname} ends in the zone's own name.");
            let mut finding = finding(FindingCode::ValueDoubled, detail);
            finding.fix = format!(
                "Enter the CNAME record's value with a dot at its end: {}.{}.",
                self.target,
                place.at()
            );
            Some(finding)
        } else if bare(&value) == self.target {
            let detail =
                format!("The value of the CNAME record of {hostname} has quotes, spaces or a scheme in it.");
            Some(finding(FindingCode::ValueAltered, detail))
        } else {
            None
        };
        let slipped = slip.is_some();
        found.extend(slip);
        match &path.end {
            End::Loop => found.push(finding(
                FindingCode::CnameLoop,
                format!(
                    "The CNAME records that begin at {hostname} lead back to {}.",
                    zone::text(last)
                ),
            )),
            End::TooLong => found.push(finding(
                FindingCode::CnameTooLong,
                format!("More than 8 CNAME records, one after the other, begin at {hostname}."),
            )),
            End::Ours | End::None { .. } if !slipped => {
                found.push(finding(FindingCode::WrongValue, says.clone()));
                if path.end == (End::None { exists: false }) {
                    let detail = format!("{says} That name does not exist.");
                    found.push(finding(FindingCode::TargetMissing, detail));
                }
            }
            _ => {}
        }
        found
    }

    /// What is wrong with the `TXT` record.
    fn wrong_txt(&self, seen: &Seen, place: &Place) -> Option<Finding> {
        let path = seen.txt.as_ref().filter(|path| !path.is_sole())?;
        let answer = path.answers.last()?;
        let name = zone::text(&self.challenge);
        let change = format!("Change it: {}.", self.txt_record(place));
        let finding = |code, detail| {
            let expected = Some(self.value.clone());
            self.finding(code, detail, change.clone(), expected, observed(answer))
        };
        let texts: Vec<Vec<u8>> = match &path.end {
            End::Records(records) => records.iter().filter_map(text).collect(),
            End::Ours => {
                let detail = format!(
                    "{name} is a CNAME record; the record that proves ownership there is a TXT record."
                );
                return Some(finding(FindingCode::WrongType, detail));
            }
            End::Loop => {
                let detail = format!("The CNAME records that begin at {name} lead in a circle.");
                return Some(finding(FindingCode::CnameLoop, detail));
            }
            End::TooLong => {
                let detail = format!("More than 8 CNAME records, one after the other, begin at {name}.");
                return Some(finding(FindingCode::CnameTooLong, detail));
            }
            _ => return None,
        };
        if seen.ownership != RecordState::Wrong {
            return None;
        }
        let texts: Vec<_> = texts.iter().map(|text| String::from_utf8_lossy(text)).collect();
        let any = |test: &dyn Fn(&str) -> bool| texts.iter().any(|text| test(text));
        let stale = |text: &str| {
            let other = text.strip_prefix(TXT_KEY).and_then(|text| text.strip_prefix('='));
            other.is_some_and(|other| Token::parse(other).is_some())
        };
        Some(if any(&|text| bare(text) == self.value) {
            finding(
                FindingCode::ValueAltered,
                format!(
                    "The TXT record {name} has the right value, but for quotes, spaces, letter case or a scheme."
                ),
            )
        } else if any(&stale) {
            finding(
                FindingCode::StaleToken,
                format!("The TXT record {name} has the token of another domain, or of one that was deleted."),
            )
        } else if any(&|text| bare(text).trim_end_matches('.') == self.target) {
            finding(
                FindingCode::WrongType,
                format!("The TXT record {name} has the value that the CNAME record should have."),
            )
        } else {
            finding(
                FindingCode::WrongValue,
                format!("The TXT record {name} has another value."),
            )
        })
    }

    fn missing(&self, seen: &Seen, place: &Place) -> Option<Finding> {
        let absent = (seen.route, seen.ownership) == (RecordState::Missing, RecordState::Missing);
        if !absent || seen.unregistered || seen.traffic.routing == Routing::Proxied {
            return None;
        }
        let txt = self.txt_record(place);
        let by_txt = seen.is_flattened() || place.zone.as_ref() == Some(&self.hostname);
        let (fix, expected) = match by_txt {
            true => (format!("Add {txt}."), self.value.clone()),
            false => (
                format!(
                    "Add a CNAME record named {} with the value {}{}; or {txt}.",
                    place.host(&self.hostname),
                    self.target,
                    place.at()
                ),
                self.target.clone(),
            ),
        };
        Some(self.finding(
            FindingCode::RecordMissing,
            format!("Neither record for {} was found.", self.domain.hostname),
            fix,
            Some(expected),
            seen.own().map(observed).unwrap_or_default(),
        ))
    }

    /// What needs no look-up of its own.
    fn warnings(&self, seen: &Seen, place: &Place) -> Vec<Finding> {
        let hostname = &self.domain.hostname;
        let mut found = Vec::new();
        if seen.is_flattened() {
            found.push(self.finding(
                FindingCode::CnameFlattened,
                format!("The addresses of {hostname} are ours, but no record proves that it is yours."),
                format!("Add {}, and leave it there.", self.txt_record(place)),
                Some(self.value.clone()),
                self.addresses(seen),
            ));
        }
        let traffic = &seen.traffic;
        let strays: Vec<_> = traffic
            .addresses
            .iter()
            .filter(|address| !traffic.ours.contains(address))
            .map(ToString::to_string)
            .collect();
        if !traffic.ours.is_empty() && !strays.is_empty() {
            found.push(self.finding(
                FindingCode::LeftoverAddress,
                format!(
                    "Some visitors of {hostname} are led elsewhere: to {}.",
                    cut(&strays.join(", "))
                ),
                format!(
                    "Remove the A and AAAA records with these addresses from {}{}.",
                    place.host(&self.hostname),
                    place.at()
                ),
                None,
                self.addresses(seen),
            ));
        }
        if seen.proof() == Proof::Txt && traffic.routing == Routing::Elsewhere {
            found.push(self.finding(
                FindingCode::NotRouted,
                format!("{hostname} is proven, but its visitors are led elsewhere."),
                match place.zone.as_ref() == Some(&self.hostname) {
                    true => format!(
                        "Lead {} to us, as the records for routing say{}.",
                        place.host(&self.hostname),
                        place.at()
                    ),
                    false => format!(
                        "Add a CNAME record named {} with the value {}{}.",
                        place.host(&self.hostname),
                        self.target,
                        place.at()
                    ),
                },
                Some(self.target.clone()),
                self.addresses(seen),
            ));
        }
        found
    }

    /// The host name's addresses as the first of its servers' answers.
    fn addresses(&self, seen: &Seen) -> Vec<Observed> {
        let addresses: Vec<_> = seen.traffic.addresses.iter().map(ToString::to_string).collect();
        match (seen.own(), addresses.is_empty()) {
            (Some(answer), true) => observed(answer),
            (Some(answer), false) => {
                let server = answer.replies.first().map(|reply| reply.server.clone());
                vec![Observed {
                    server: server.unwrap_or_default(),
                    answer: cut(&addresses.join(", ")),
                }]
            }
            (None, _) => Vec::new(),
        }
    }

    /// The `TXT` record in words, to follow a verb.
    fn txt_record(&self, place: &Place) -> String {
        format!(
            "a TXT record named {} with exactly the value {}{}",
            place.host(&self.challenge),
            self.value,
            place.at()
        )
    }

    /// What further look-ups find.
    async fn closer(&self, seen: &Seen, place: &Place) -> Vec<Finding> {
        let zone = place
            .zone
            .clone()
            .unwrap_or_else(|| zone::registrable(&self.hostname));
        let missing = !seen.proof().is_given();
        let (misplaced, conflict, wildcard, caa) = join!(
            async {
                match missing {
                    true => self.misplaced(&zone, place).await,
                    false => Vec::new(),
                }
            },
            self.conflict(seen, place),
            self.wildcard(seen, &zone, place),
            self.caa(place),
        );
        let mut found = misplaced;
        found.extend(conflict);
        found.extend(wildcard);
        found.extend(caa);
        found
    }

    async fn probe(&self, name: Option<Name>, kind: RecordType) -> Option<Answer> {
        let answer = self.check.question(&name?, kind, Width::One).await;
        answer.said()?;
        Some(answer)
    }

    /// Records that are right but for their name or type.
    async fn misplaced(&self, zone: &Name, place: &Place) -> Vec<Finding> {
        let doubled = |name: &Name| name_of(name.iter().chain(zone.iter()));
        let challenge = Hostname::CHALLENGE.as_bytes();
        let at_zone =
            name_of(std::iter::once(challenge).chain(zone.iter())).filter(|name| *name != self.challenge);
        let apex = (*zone != self.hostname).then(|| zone.clone());
        let (twice_txt, twice_cname, at_name, at_apex, at_zone) = join!(
            self.probe(doubled(&self.challenge), RecordType::TXT),
            self.probe(doubled(&self.hostname), RecordType::CNAME),
            self.probe(Some(self.hostname.clone()), RecordType::TXT),
            self.probe(apex, RecordType::TXT),
            self.probe(at_zone, RecordType::TXT),
        );
        let mut found = Vec::new();
        for (answer, right) in [(&twice_txt, &self.challenge), (&twice_cname, &self.hostname)] {
            let Some(answer) = answer.as_ref().filter(|answer| self.is_meant(answer)) else {
                continue;
            };
            found.push(self.finding(
                FindingCode::NameDoubled,
                format!(
                    "The record stands at {}: the provider added the zone's name.",
                    zone::text(&answer.name)
                ),
                format!("Enter the record's name as {}{}.", place.host(right), place.at()),
                Some(zone::text(right)),
                observed(answer),
            ));
        }
        for answer in [&at_name, &at_apex, &at_zone].into_iter().flatten() {
            let texts = texts(answer);
            let stands = zone::text(&answer.name);
            if texts.contains(&self.value) {
                found.push(self.finding(
                    FindingCode::WrongName,
                    format!("The value stands in a TXT record of {stands}, where it proves nothing."),
                    format!("Add {}.", self.txt_record(place)),
                    Some(zone::text(&self.challenge)),
                    observed(answer),
                ));
            } else if answer.name == self.hostname
                && texts
                    .iter()
                    .any(|text| bare(text).trim_end_matches('.') == self.target)
            {
                found.push(self.finding(
                    FindingCode::WrongType,
                    format!("A TXT record of {stands} has the value that a CNAME record should have."),
                    format!(
                        "Make it a CNAME record: {} with the value {}{}.",
                        place.host(&self.hostname),
                        self.target,
                        place.at()
                    ),
                    Some(self.target.clone()),
                    observed(answer),
                ));
            }
        }
        found
    }

    /// Whether an answer is one of our two records.
    fn is_meant(&self, answer: &Answer) -> bool {
        match answer.said() {
            Some(Said::Alias(name)) => zone::text(name) == self.target,
            Some(Said::Records(records)) => self.proves(records),
            _ => false,
        }
    }

    /// Other records beside a `CNAME` (RFC 1034, section 3.6.2).
    async fn conflict(&self, seen: &Seen, place: &Place) -> Option<Finding> {
        let first = seen.own().filter(|_| !seen.cname.chain.is_empty())?;
        let name = || Some(self.hostname.clone());
        let mut shown = observed(first);
        shown.truncate(1);
        let beside = if place.zone.as_ref() == Some(&self.hostname) {
            "the zone's own SOA and NS records".to_owned()
        } else {
            let (a, txt, mx) = join!(
                self.probe(name(), RecordType::A),
                self.probe(name(), RecordType::TXT),
                self.probe(name(), RecordType::MX),
            );
            let is_record = |answer: &Answer| matches!(answer.said(), Some(Said::Records(_)));
            let answer = [a, txt, mx].into_iter().flatten().find(is_record)?;
            shown.extend(observed(&answer));
            format!("a record of type {}", answer.kind)
        };
        Some(self.finding(
            FindingCode::CnameConflict,
            format!(
                "{} has a CNAME record beside {beside}, which must not be.",
                self.domain.hostname
            ),
            match place.zone.as_ref() == Some(&self.hostname) {
                true => format!("Remove the CNAME record, and add {}.", self.txt_record(place)),
                false => format!(
                    "Remove all other records of {}{}.",
                    place.host(&self.hostname),
                    place.at()
                ),
            },
            None,
            shown,
        ))
    }

    /// Whether the host name has its answer from a wildcard: a random name beside it has the same.
    async fn wildcard(&self, seen: &Seen, zone: &Name, place: &Place) -> Vec<Finding> {
        if self.hostname == *zone {
            return Vec::new();
        }
        let label = format!("{:032x}", u128::from_be_bytes(random::bits()));
        let sibling = name_of(std::iter::once(label.as_bytes()).chain(self.hostname.base_name().iter()));
        let kind = match (seen.cname.chain.is_empty(), seen.traffic.addresses.first()) {
            (false, _) => RecordType::CNAME,
            (true, Some(address)) if address.is_ipv4() => RecordType::A,
            (true, Some(_)) => RecordType::AAAA,
            (true, None) => return Vec::new(),
        };
        let Some(answer) = self.probe(sibling, kind).await else {
            return Vec::new();
        };
        let same = match answer.said() {
            Some(Said::Alias(name)) => seen.cname.chain.first() == Some(name),
            Some(Said::Records(records)) => records
                .iter()
                .filter_map(RData::ip_addr)
                .all(|address| seen.traffic.addresses.contains(&address)),
            _ => false,
        };
        if !same {
            return Vec::new();
        }
        let hostname = &self.domain.hostname;
        let mut found = Vec::new();
        if !seen.proof().is_given() {
            found.push(self.finding(
                FindingCode::WildcardAnswer,
                format!("{hostname} has no record of its own: a wildcard answers for it."),
                format!(
                    "Add a CNAME record named {} with the value {}{}; the wildcard may stay.",
                    place.host(&self.hostname),
                    self.target,
                    place.at()
                ),
                Some(self.target.clone()),
                observed(&answer),
            ));
        }
        if seen.ownership != RecordState::Found {
            found.push(self.finding(
                FindingCode::WildcardShadowed,
                format!("A wildcard answers for {hostname}, and stops doing so once there is a record below that name."),
                format!(
                    "Before you add the TXT record, give {} a record of its own{}.",
                    place.host(&self.hostname),
                    place.at()
                ),
                None,
                observed(&answer),
            ));
        }
        found
    }
}

/// How a code counts.
fn level(code: FindingCode) -> Level {
    use FindingCode as C;
    match code {
        C::NotEverywhereYet
        | C::LameDelegation
        | C::DnsTimeout
        | C::DnsServfail
        | C::DnsRefused
        | C::DnsMalformed
        | C::AnswerTooBig
        | C::DnssecBogus => Level::Unknown,
        C::CnameFlattened
        | C::Contested
        | C::LeftoverAddress
        | C::CaaForbids
        | C::CaaUnanswered
        | C::WildcardShadowed
        | C::NotRouted => Level::Warning,
        _ => Level::Error,
    }
}

/// Makes a `CNAME`'s stale token a wrong value: it is that of another domain of the same agency.
pub(super) fn not_stale(finding: &mut Finding) {
    finding.code = FindingCode::WrongValue;
    let (first, _) = finding
        .detail
        .split_once(". ")
        .unwrap_or((finding.detail.as_str(), ""));
    finding.detail = format!("{first}. That is the target of another of your domains.");
}

fn size(finding: &Finding) -> usize {
    let observed = finding
        .observed
        .iter()
        .map(|seen| seen.server.len() + seen.answer.len());
    let expected = finding.expected.as_ref().map_or(0, String::len);
    finding.detail.len() + finding.fix.len() + expected + observed.sum::<usize>()
}

/// For a domain that was not asked about, because all like it were silent.
pub(super) fn silent_before(hostname: &Hostname) -> Finding {
    failed(Failure::Silent, hostname.as_str(), Vec::new())
}

fn failed(failure: Failure, name: &str, observed: Vec<Observed>) -> Finding {
    let (code, detail, fix) = match failure {
        Failure::Silent => (
            FindingCode::DnsTimeout,
            format!("The name servers of {name} did not answer in time."),
            "Nothing needs to be changed if this passes; if it stays, ask your DNS provider.",
        ),
        Failure::Spent => (
            FindingCode::DnsTimeout,
            format!("The name servers of {name} took more time, or more questions, than a check has."),
            "Nothing needs to be changed if this passes; if it stays, ask your DNS provider.",
        ),
        Failure::Code(ResponseCode::Refused) => (
            FindingCode::DnsRefused,
            format!("The name servers refuse to answer for {name}."),
            "See whether the domain is delegated to the name servers of the provider where its zone is.",
        ),
        Failure::Code(_) => (
            FindingCode::DnsServfail,
            format!("The name servers failed to answer for {name}."),
            "Nothing needs to be changed if this passes; if it stays, ask your DNS provider.",
        ),
        Failure::Malformed => (
            FindingCode::DnsMalformed,
            format!("The answer for {name} is not one that DNS allows."),
            "Ask your DNS provider to mend the name servers' answers.",
        ),
        Failure::TooBig => (
            FindingCode::AnswerTooBig,
            format!("There are more than 100 records for {name}."),
            "Remove records that are not needed any more.",
        ),
        Failure::Truncated => (
            FindingCode::AnswerTooBig,
            format!("The answer for {name} is too big for UDP, and the name servers do not answer by TCP."),
            "Ask your DNS provider to answer by TCP, or remove records that are not needed any more.",
        ),
        Failure::Lame | Failure::NoAddress => (
            FindingCode::LameDelegation,
            format!("The name servers that {name} is delegated to do not have its zone, or do not exist."),
            "At your registrar, enter the name servers of the provider where the zone is.",
        ),
        Failure::Private => (
            FindingCode::PrivateAddress,
            format!("None of the name servers of {name} has a public address."),
            "Give the name servers addresses that can be reached from the Internet.",
        ),
        Failure::Bogus => (
            FindingCode::DnssecBogus,
            format!(
                "The DNSSEC signatures of {name} are wrong, so resolvers that check them reject the zone."
            ),
            "Sign the zone anew at your DNS provider, or remove the DS records at your registrar.",
        ),
    };
    Finding {
        code,
        level: level(code),
        detail,
        fix: fix.to_owned(),
        expected: None,
        observed,
    }
}

/// What each server said.
pub(super) fn observed(answer: &Answer) -> Vec<Observed> {
    let replies = answer.replies.iter().take(MAX_OBSERVED);
    replies
        .map(|reply| Observed {
            server: reply.server.clone(),
            answer: cut(&match &reply.said {
                Ok(said) => said_text(said),
                Err(failure) => failure_text(*failure),
            }),
        })
        .collect()
}

fn said_text(said: &Said) -> String {
    match said {
        Said::Alias(name) => format!("{}.", zone::text(name)),
        Said::Records(records) => {
            let texts: Vec<_> = records.iter().map(presentation).collect();
            texts.join(", ")
        }
        Said::None { exists: true } => "NOERROR, no such record".to_owned(),
        Said::None { exists: false } => "NXDOMAIN".to_owned(),
    }
}

/// A record's data as in a zone file (RFC 1035, section 5.1).
fn presentation(record: &RData) -> String {
    match record {
        RData::TXT(txt) => {
            let strings = txt.txt_data.iter().map(|string| {
                let mut quoted = String::from("\"");
                for byte in string {
                    match byte {
                        b'"' | b'\\' => quoted.extend(['\\', char::from(*byte)]),
                        b' '..=b'~' => quoted.push(char::from(*byte)),
                        _ => quoted.push_str(&format!("\\{byte:03}")),
                    }
                }
                quoted + "\""
            });
            strings.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

fn failure_text(failure: Failure) -> String {
    match failure {
        Failure::Silent => "no answer".to_owned(),
        Failure::Spent => "not asked, the check was over".to_owned(),
        Failure::Code(code) => match code {
            ResponseCode::FormErr => "FORMERR".to_owned(),
            ResponseCode::ServFail => "SERVFAIL".to_owned(),
            ResponseCode::NotImp => "NOTIMP".to_owned(),
            ResponseCode::Refused => "REFUSED".to_owned(),
            ResponseCode::YXDomain => "YXDOMAIN".to_owned(),
            ResponseCode::NotAuth => "NOTAUTH".to_owned(),
            code => format!("RCODE {}", u16::from(code)),
        },
        Failure::Malformed => "malformed".to_owned(),
        Failure::TooBig => "too many records".to_owned(),
        Failure::Truncated => "truncated, and no answer by TCP".to_owned(),
        Failure::Lame => "not authoritative".to_owned(),
        Failure::NoAddress => "no address".to_owned(),
        Failure::Private => "no public address".to_owned(),
        Failure::Bogus => "SERVFAIL, but not with checking disabled".to_owned(),
    }
}

/// The first 255 characters.
fn cut(text: &str) -> String {
    text.chars().take(MAX_ANSWER).collect()
}

/// A value without what people and forms put around it.
fn bare(value: &str) -> String {
    let value: String = value
        .chars()
        .filter(|char| !char.is_whitespace() && !matches!(char, '"' | '\'' | '`' | '“' | '”' | '\\'))
        .collect();
    let value = value.to_lowercase();
    let value = value
        .strip_prefix("https://")
        .or(value.strip_prefix("http://"))
        .unwrap_or(&value);
    value.trim_end_matches('/').to_owned()
}

fn texts(answer: &Answer) -> Vec<String> {
    match answer.said() {
        Some(Said::Records(records)) => records
            .iter()
            .filter_map(text)
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .collect(),
        _ => Vec::new(),
    }
}

/// A name of these labels; `None` where it would be too long.
fn name_of<'a>(labels: impl Iterator<Item = &'a [u8]>) -> Option<Name> {
    Name::from_labels(labels).ok()
}
