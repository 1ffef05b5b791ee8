//! Decides what a check means for a domain, and for whoever holds its name: one pure function.

use std::time::Duration;

use shared::models::{
    domain::{
        Check, Domain, Finding, FindingCode, History, Level, Observed, Purpose, RecordState, Routing, Status,
    },
    hostname::HostPolicy,
    time::Timestamp,
};

use crate::dns::{Observation, Proof};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a domain may be pending where DNS has answered.
const WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long it may be where DNS never has.
const SILENT_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);
/// So many misses lose a name,
const MISSES: u32 = 6;
/// but not before this time after the first of them,
const GRACE: Duration = Duration::from_secs(72 * 3600);
/// and while a proxy may hide the record, not before this.
const PROXIED_GRACE: Duration = Duration::from_secs(14 * 24 * 3600);
/// How long a failed domain is looked after.
const FAILED_CHECKED: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a holder's records must be gone before a newcomer's `TXT` record takes the name.
const GONE: Duration = Duration::from_secs(10 * 60);
/// How many scheduled checks are a minute apart before they become rarer.
const EAGER: u32 = 10;
/// The next check is spread by so many thousandths of the time until then.
pub const JITTER: u32 = 100;
/// A domain shows so many findings at most.
const MAX_FINDINGS: usize = 16;

/// Why a domain is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Its agency asked for it.
    Verify,
    /// It was due.
    Schedule,
}

/// Another agency's domain that holds the name.
#[derive(Debug, Clone, Copy)]
pub struct Rival<'a> {
    /// The domain.
    pub domain: &'a Domain,
    /// What DNS says of it; a newcomer with a `CNAME` need not know.
    pub seen: Option<&'a Observation>,
    /// What our names are, to show the record that stands in the way.
    pub names: &'a HostPolicy,
}

/// What follows from a check.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The domain after it.
    pub domain: Domain,
    /// What becomes of the holder.
    pub rival: RivalAfter,
    /// Whether DNS said enough to decide anything.
    pub decided: bool,
}

/// What becomes of another agency's domain that holds the name.
#[derive(Debug, Clone)]
pub enum RivalAfter {
    /// Nothing, or there is none.
    Untouched,
    /// It keeps the name, is warned, and soon due.
    Contested(Domain),
    /// It has lost the name to the domain.
    Moved(Domain),
}

/// Decides. `jitter` spreads the next check: -100 to 100 thousandths of the time until then. `rival` is the holder of
/// the name if that is another agency; it matters where the domain does not hold the name itself and is proven.
pub fn decide(
    before: &Domain,
    seen: &Observation,
    rival: Option<Rival<'_>>,
    trigger: Trigger,
    now: Timestamp,
    jitter: i32,
) -> Decision {
    let was = before.status;
    let mut domain = before.clone();
    // Addresses alone tell a flattened CNAME from a miss: where they are not known, nothing is decided.
    let proof = match seen.proof {
        Proof::Missing if was == Status::Verified && seen.routing == Routing::Unknown => Proof::Unknown,
        proof => proof,
    };
    let proven = proof.is_given();
    let rival = rival.filter(|_| proven && !was.serves());
    let moves = rival.is_some_and(|rival| match proof {
        // A name has one CNAME: its owner chose.
        Proof::Cname => true,
        _ => was != Status::Failed && gone_for_long(&rival, now),
    });
    let kept_out = rival.is_some() && !moves;
    let flattened = seen.flattened && proof == Proof::Missing;

    let history = &mut domain.history;
    remember(history, seen, now);
    if proof != Proof::Unknown {
        history.answered = true;
        history.unknowns = 0;
    } else if trigger == Trigger::Schedule || history.unknowns == 0 {
        history.unknowns = history.unknowns.saturating_add(1);
    }
    let missed = proof == Proof::Missing && !(flattened && was == Status::Verified);
    if proven {
        (history.misses, history.missed_at) = (0, None);
    } else if missed && was.serves() {
        history.misses = history.misses.saturating_add(1);
        history.missed_at.get_or_insert(now);
    }
    let since = history.since.unwrap_or(before.created_at);
    let proxied = problem(&seen.findings).is_some_and(|problem| problem.code == FindingCode::Proxied)
        || (seen.routing == Routing::Unknown && before.routing == Routing::Proxied);
    let grace = if proxied { PROXIED_GRACE } else { GRACE };
    let lost = history.misses >= MISSES && missed_for(history, now) >= Some(grace);
    let window = if history.answered { WINDOW } else { SILENT_WINDOW };
    let expired = now.since(since) >= window;

    let (status, cause) = match (was, proof) {
        (_, Proof::Cname | Proof::Txt) if !kept_out => (Status::Verified, None),
        (Status::Verified, Proof::Missing) if flattened => (Status::Verified, None),
        (Status::Verified, Proof::Missing) => (Status::Failing, None),
        (Status::Failing, Proof::Missing) if lost => (Status::Failed, Some(FindingCode::Lost)),
        (Status::Pending, _) if expired => (Status::Failed, Some(FindingCode::Expired)),
        (Status::Failed, _) if trigger == Trigger::Verify => (Status::Pending, None),
        (status, _) => (status, history.cause),
    };
    history.cause = cause;
    domain.status = status;
    if status == Status::Verified && !was.serves() {
        domain.verified_at = Some(now);
    }
    // What DNS did not say, or was not asked, leaves what was known.
    if seen.routing != Routing::Unknown {
        domain.routing = seen.routing;
    }
    for (state, seen) in [
        (&mut domain.ownership, seen.ownership),
        (&mut domain.route, seen.route),
    ] {
        if seen != RecordState::Unchecked {
            *state = seen;
        }
    }
    if status != was {
        let history = &mut domain.history;
        (history.since, history.step, history.unknowns) = (Some(now), 0, 0);
        // A window that an answer opened has been answered in; a proof clears what was missed.
        history.answered = seen.proof != Proof::Unknown;
        if !status.serves() {
            forget_hold(history);
        }
    } else if status == Status::Verified && domain.routing != before.routing {
        domain.history.step = 0;
    } else if trigger == Trigger::Schedule {
        domain.history.step = domain.history.step.saturating_add(1);
    }
    let changed = (was, before.routing, before.ownership, before.route)
        != (status, domain.routing, domain.ownership, domain.route);
    if changed {
        domain.updated_at = now;
    }

    let findings = findings(&domain, seen, rival.filter(|_| kept_out), now);
    let contest = now + contest(jitter);
    let next = match status {
        Status::Pending if kept_out => Some(contest),
        _ => next_check(&domain, proof, now, jitter),
    };
    let last = before.check.as_ref();
    domain.check = Some(Check {
        checked_at: Some(now),
        next_check_at: next,
        attempts: last.map_or(0, |check| check.attempts).saturating_add(1),
        zone: seen.zone.clone().or_else(|| last?.zone.clone()),
        nameservers: match last {
            Some(last) if seen.nameservers.is_empty() => last.nameservers.clone(),
            _ => seen.nameservers.clone(),
        },
        provider: seen.provider.clone().or_else(|| last?.provider.clone()),
        problem: problem(&findings).cloned(),
        findings,
    });

    let rival = match rival {
        Some(rival) if moves => RivalAfter::Moved(moved(rival, now, jitter)),
        Some(rival) => {
            // The warning stands until the newcomer's check after the next one was missed.
            let until = now + 2 * next.unwrap_or(contest).since(now);
            RivalAfter::Contested(contested(rival, until, contest, now))
        }
        None => RivalAfter::Untouched,
    };
    Decision {
        domain,
        rival,
        decided: proof != Proof::Unknown || status != was,
    }
}

/// Whether a check that finds no proof may fail the domain now: then its agency is to learn why as exactly as DNS tells.
pub fn may_fail(domain: &Domain, now: Timestamp) -> bool {
    let history = &domain.history;
    match domain.status {
        Status::Pending => now.since(history.since.unwrap_or(domain.created_at)) >= WINDOW,
        Status::Failing => {
            history.misses.saturating_add(1) >= MISSES && missed_for(history, now) >= Some(GRACE)
        }
        Status::Verified | Status::Failed => false,
    }
}

/// How long ago the first miss was.
fn missed_for(history: &History, now: Timestamp) -> Option<Duration> {
    history.missed_at.map(|first| now.since(first))
}

/// Whoever holds the name no longer has nothing to lose.
fn forget_hold(history: &mut History) {
    (history.misses, history.missed_at) = (0, None);
    (history.gone_since, history.contested_until) = (None, None);
}

/// Remembers since when neither record is there. An unknown neither counts nor clears.
fn remember(history: &mut History, seen: &Observation, now: Timestamp) {
    history.gone_since = match seen.proof {
        Proof::Cname | Proof::Txt => None,
        // Stored in whole seconds: the next one, so that it is never longer ago than it was.
        Proof::Missing => history
            .gone_since
            .or_else(|| Some(now + Duration::from_millis(999))),
        Proof::Unknown => history.gone_since,
    };
}

fn gone_for_long(rival: &Rival<'_>, now: Timestamp) -> bool {
    let gone = rival.seen.is_some_and(|seen| seen.proof == Proof::Missing);
    let before = rival.domain.history.gone_since;
    gone && before.is_some_and(|since| since <= now && now.since(since) >= GONE)
}

/// The holder after a newcomer's proof that did not take the name.
fn contested(rival: Rival<'_>, until: Timestamp, due: Timestamp, now: Timestamp) -> Domain {
    let mut domain = rival.domain.clone();
    if let Some(seen) = rival.seen {
        remember(&mut domain.history, seen, now);
    }
    domain.history.contested_until = Some(until);
    if let Some(check) = &mut domain.check {
        let warned = check
            .findings
            .iter()
            .any(|finding| finding.code == FindingCode::Contested);
        if !warned && check.findings.len() < MAX_FINDINGS {
            check.findings.push(contest_warning(rival.domain));
        }
        // Never later than it would have been: a newcomer must not keep the holder from its own checks.
        check.next_check_at = Some(check.next_check_at.map_or(due, |next| next.min(due)));
    }
    domain
}

/// The holder after it lost the name.
fn moved(rival: Rival<'_>, now: Timestamp, jitter: i32) -> Domain {
    let mut domain = rival.domain.clone();
    domain.status = Status::Failed;
    domain.updated_at = now;
    domain.history = History {
        since: Some(now),
        cause: Some(FindingCode::Moved),
        ..History::default()
    };
    let next = next_check(&domain, Proof::Missing, now, jitter);
    let finding = ended(&domain, FindingCode::Moved);
    if let Some(check) = &mut domain.check {
        check.next_check_at = next;
        check.problem = Some(finding.clone());
        check.findings = vec![finding];
    }
    domain
}

/// When a domain is checked again after this; `None` where it is not.
fn next_check(domain: &Domain, proof: Proof, now: Timestamp, jitter: i32) -> Option<Timestamp> {
    let history = &domain.history;
    let own = match domain.status {
        Status::Pending => growing(history.step, 4 * HOUR),
        Status::Verified if domain.routing == Routing::Elsewhere => growing(history.step, HOUR),
        Status::Failing => HOUR,
        Status::Verified | Status::Failed => DAY,
    };
    let wait = match proof {
        Proof::Unknown => {
            let doublings = history.unknowns.saturating_sub(1).min(10);
            let wait = (5 * MINUTE * (1 << doublings)).min(4 * HOUR);
            match domain.status {
                Status::Pending => wait.min(own),
                _ => wait,
            }
        }
        _ => own,
    };
    let permille = u32::try_from(1000 + jitter.clamp(-100, 100)).unwrap_or(1000);
    let next = now + wait * permille / 1000;
    let end = history.since.unwrap_or(domain.created_at) + FAILED_CHECKED;
    (domain.status != Status::Failed || next <= end).then_some(next)
}

/// A minute so many times, then each time half as long again.
fn growing(step: u32, longest: Duration) -> Duration {
    let mut wait = MINUTE;
    for _ in EAGER..=step {
        if wait >= longest {
            break;
        }
        wait = wait * 3 / 2;
    }
    wait.min(longest)
}

/// Between 10 and 11 minutes, with a second to spare at both ends, because times are stored in whole seconds.
fn contest(jitter: i32) -> Duration {
    let spread = u64::try_from(jitter.clamp(-100, 100) + 100).unwrap_or_default();
    GONE + Duration::from_millis(2_000 + spread * 280)
}

fn problem(findings: &[Finding]) -> Option<&Finding> {
    findings.iter().find(|finding| finding.level != Level::Warning)
}

/// What was seen, and what became of it: the problems that decided first.
fn findings(
    domain: &Domain,
    seen: &Observation,
    kept_out_by: Option<Rival<'_>>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(domain.history.cause.map(|cause| ended(domain, cause)));
    findings.extend(kept_out_by.map(|rival| held_elsewhere(domain, rival)));
    let flattened = seen.flattened && seen.proof == Proof::Missing;
    if flattened && domain.status != Status::Verified {
        findings.push(text_missing(domain));
    }
    findings.extend(
        seen.findings
            .iter()
            .filter(|finding| match (flattened, domain.status) {
                (false, _) => true,
                (true, Status::Verified) => finding.level != Level::Error,
                (true, _) => finding.code != FindingCode::RecordMissing,
            })
            .cloned(),
    );
    if flattened && !has(&findings, FindingCode::CnameFlattened) {
        findings.push(flattened_warning(domain));
    }
    if domain.status.serves() && domain.history.contested_until.is_some_and(|until| until > now) {
        findings.truncate(MAX_FINDINGS - 1);
        findings.push(contest_warning(domain));
    }
    findings.truncate(MAX_FINDINGS);
    findings
}

fn has(findings: &[Finding], code: FindingCode) -> bool {
    findings.iter().any(|finding| finding.code == code)
}

fn finding(code: FindingCode, level: Level, detail: String, fix: String) -> Finding {
    Finding {
        code,
        level,
        detail,
        fix,
        expected: None,
        observed: Vec::new(),
    }
}

/// Why a domain has failed.
fn ended(domain: &Domain, cause: FindingCode) -> Finding {
    let hostname = &domain.hostname;
    let (detail, fix) = match cause {
        FindingCode::Moved => (
            format!("Another account has proven {hostname} and serves it now."),
            format!(
                "If {hostname} is to be yours again, set your own record in place of theirs, then verify."
            ),
        ),
        FindingCode::Lost => (
            format!(
                "The records of {hostname} have been missing for too long, so it is not served any more."
            ),
            "Add one of the records again, then verify.".to_owned(),
        ),
        _ => (
            format!("{hostname} was not proven in time, so it is only checked now and then."),
            "Add one of the records, then verify.".to_owned(),
        ),
    };
    finding(cause, Level::Error, detail, fix)
}

/// Somebody else holds the name. The record in the way is shown only where DNS shows it to everybody.
fn held_elsewhere(domain: &Domain, rival: Rival<'_>) -> Finding {
    let hostname = &domain.hostname;
    let detail = format!("Your record was found, but another account holds {hostname}.");
    let purpose = match rival.seen.map(|seen| seen.proof) {
        Some(Proof::Cname) => Purpose::Routing,
        Some(Proof::Txt) => Purpose::Ownership,
        Some(Proof::Missing) => {
            let fix = "Nothing: their record is gone, and the name is yours if it stays so for ten minutes.";
            return finding(FindingCode::HeldElsewhere, Level::Error, detail, fix.to_owned());
        }
        _ => {
            let fix =
                "Remove every record of another account for this name, or wait until DNS answers again.";
            return finding(FindingCode::HeldElsewhere, Level::Error, detail, fix.to_owned());
        }
    };
    let token = rival.domain.token.as_ref();
    let (kind, name, value) = match purpose {
        Purpose::Ownership => ("TXT", hostname.challenge(), token.map(|token| token.txt_value())),
        Purpose::Routing => (
            "CNAME",
            hostname.to_string(),
            token.map(|token| token.cname_target(rival.names)),
        ),
    };
    let value = value.unwrap_or_default();
    let server = rival.seen.and_then(|seen| seen.nameservers.first());
    Finding {
        observed: vec![Observed {
            server: server.map_or_else(|| "DNS".to_owned(), Clone::clone),
            answer: value.clone(),
        }],
        ..finding(
            FindingCode::HeldElsewhere,
            Level::Error,
            detail,
            format!("Remove the other account's {kind} record {name} with the value {value}."),
        )
    }
}

/// Somebody else has proven the name that this domain holds.
fn contest_warning(domain: &Domain) -> Finding {
    let hostname = &domain.hostname;
    finding(
        FindingCode::Contested,
        Level::Warning,
        format!("Another account's record for {hostname} stands in DNS too."),
        format!(
            "Keep your own record, and remove every other record named {}.",
            hostname.challenge()
        ),
    )
}

fn flattened_warning(domain: &Domain) -> Finding {
    finding(
        FindingCode::CnameFlattened,
        Level::Warning,
        format!(
            "{} leads to us by its addresses alone; neither record is left to prove it.",
            domain.hostname
        ),
        ask_for_text(domain),
    )
}

/// A miss where the addresses are ours: only the `TXT` record can prove such a name.
fn text_missing(domain: &Domain) -> Finding {
    Finding {
        expected: domain.token.as_ref().map(|token| token.txt_value()),
        ..finding(
            FindingCode::RecordMissing,
            Level::Error,
            format!(
                "{} leads to us, but neither record proves whose it is.",
                domain.hostname
            ),
            ask_for_text(domain),
        )
    }
}

fn ask_for_text(domain: &Domain) -> String {
    let value = domain.token.as_ref().map(|token| token.txt_value());
    format!(
        "Add the TXT record {} with the value {}, and leave it there.",
        domain.hostname.challenge(),
        value.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::models::{
        domain::Token,
        hostname::Hostname,
        id::{DomainId, OrgId},
    };

    use super::*;
    use Proof::{Cname, Missing, Txt, Unknown};

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn names() -> HostPolicy {
        HostPolicy {
            portal_domain: "portal.example.com".parse::<Hostname>().unwrap(),
            target: "cname.portal.example.com".parse::<Hostname>().unwrap(),
            allow_special_use: true,
        }
    }

    fn seen(proof: Proof) -> Observation {
        let finding = |code, level| vec![finding(code, level, "What.".to_owned(), "How.".to_owned())];
        Observation {
            proof,
            flattened: false,
            routing: match proof {
                Cname => Routing::Routed,
                Unknown => Routing::Unknown,
                _ => Routing::Elsewhere,
            },
            zone: None,
            nameservers: Vec::new(),
            provider: None,
            ownership: RecordState::Unchecked,
            route: RecordState::Unchecked,
            other_token: None,
            packets: 0,
            crowded: false,
            findings: match proof {
                Cname | Txt => Vec::new(),
                Missing => finding(FindingCode::RecordMissing, Level::Error),
                Unknown => finding(FindingCode::DnsTimeout, Level::Unknown),
            },
        }
    }

    fn flattened() -> Observation {
        Observation {
            flattened: true,
            routing: Routing::Routed,
            ..seen(Missing)
        }
    }

    fn proxied() -> Observation {
        Observation {
            routing: Routing::Proxied,
            findings: vec![finding(
                FindingCode::Proxied,
                Level::Error,
                "What.".to_owned(),
                "How.".to_owned(),
            )],
            ..seen(Missing)
        }
    }

    fn domain(org: &str) -> Domain {
        let token = Token::new([org.len() as u8; 16]);
        let hostname = "portal.acme.test".parse().unwrap();
        Domain::custom(
            DomainId::new(START),
            org.parse::<OrgId>().unwrap(),
            hostname,
            token,
            START,
        )
    }

    /// A domain and the clock of its checks.
    #[derive(Clone)]
    struct Story {
        domain: Domain,
        now: Timestamp,
    }

    impl Story {
        fn new() -> Self {
            Self {
                domain: domain("org_a"),
                now: START,
            }
        }

        fn verified() -> Self {
            Self::new().then(MINUTE, &seen(Cname))
        }

        fn check(mut self, wait: Duration, seen: &Observation, trigger: Trigger) -> Self {
            self.now = self.now + wait;
            self.domain = decide(&self.domain, seen, None, trigger, self.now, 0).domain;
            self
        }

        fn then(self, wait: Duration, seen: &Observation) -> Self {
            self.check(wait, seen, Trigger::Schedule)
        }

        fn asked(self, wait: Duration, seen: &Observation) -> Self {
            self.check(wait, seen, Trigger::Verify)
        }

        fn next(&self) -> Option<Duration> {
            Some(self.domain.check.as_ref()?.next_check_at?.since(self.now))
        }

        fn problem(&self) -> Option<FindingCode> {
            Some(self.domain.check.as_ref()?.problem.as_ref()?.code)
        }

        #[track_caller]
        fn is(self, status: Status, problem: Option<FindingCode>, next: Option<Duration>) -> Self {
            assert_eq!(
                (self.domain.status, self.problem(), self.next()),
                (status, problem, next)
            );
            self
        }
    }

    #[test]
    fn pending_with_proof_is_verified() {
        for proof in [Cname, Txt] {
            let story = Story::new().then(
                MINUTE,
                &Observation {
                    routing: Routing::Routed,
                    ..seen(proof)
                },
            );
            let story = story.is(Status::Verified, None, Some(DAY));
            assert_eq!(story.domain.verified_at, Some(story.now));
        }
    }

    #[test]
    fn pending_without_proof_fails_after_7_days_of_answers() {
        let miss = Some(FindingCode::RecordMissing);
        let story = Story::new().then(WINDOW - HOUR, &seen(Missing));
        let story = story.is(Status::Pending, miss, Some(MINUTE));
        let end = Some(FindingCode::Expired);
        story
            .clone()
            .then(HOUR, &seen(Missing))
            .is(Status::Failed, end, Some(DAY));
        // What DNS said last was a miss; that it says nothing now changes nothing.
        story
            .then(HOUR, &seen(Unknown))
            .is(Status::Failed, end, Some(5 * MINUTE));
    }

    #[test]
    fn pending_without_an_answer_fails_after_30_days() {
        let story = Story::new().then(WINDOW, &seen(Unknown));
        let story = story.is(Status::Pending, Some(FindingCode::DnsTimeout), Some(MINUTE));
        let story = story.then(SILENT_WINDOW - WINDOW - HOUR, &seen(Unknown));
        let story = story.is(Status::Pending, Some(FindingCode::DnsTimeout), Some(MINUTE));
        story.clone().then(HOUR, &seen(Unknown)).is(
            Status::Failed,
            Some(FindingCode::Expired),
            Some(5 * MINUTE),
        );
        story
            .then(MINUTE, &seen(Missing))
            .is(Status::Failed, Some(FindingCode::Expired), Some(DAY));
    }

    #[test]
    fn verified_with_a_miss_is_failing_and_with_proof_verified_again() {
        let story = Story::verified().then(DAY, &seen(Missing));
        let story = story.is(Status::Failing, Some(FindingCode::RecordMissing), Some(HOUR));
        let first = story.domain.verified_at;
        let story = story
            .then(HOUR, &seen(Cname))
            .is(Status::Verified, None, Some(DAY));
        assert_eq!(
            (story.domain.verified_at, story.domain.history.misses),
            (first, 0)
        );
    }

    #[test]
    fn failing_fails_at_the_sixth_miss_and_after_72_hours() {
        let miss = Some(FindingCode::RecordMissing);
        let story = Story::verified().then(DAY, &seen(Missing));
        // Many misses in a short time are not enough,
        let mut many = story.clone();
        for _ in 0..20 {
            many = many
                .then(HOUR, &seen(Missing))
                .is(Status::Failing, miss, Some(HOUR));
        }
        many.then(52 * HOUR, &seen(Missing))
            .is(Status::Failed, Some(FindingCode::Lost), Some(DAY));
        // nor few in a long one: the first made it failing.
        let mut few = story.clone();
        for _ in 0..4 {
            few = few
                .then(30 * HOUR, &seen(Missing))
                .is(Status::Failing, miss, Some(HOUR));
        }
        few.then(HOUR, &seen(Missing))
            .is(Status::Failed, Some(FindingCode::Lost), Some(DAY));
        // A proof begins the count anew.
        let mut proven = story.clone().then(HOUR, &seen(Txt)).then(DAY, &seen(Missing));
        for _ in 0..4 {
            proven = proven
                .then(30 * HOUR, &seen(Missing))
                .is(Status::Failing, miss, Some(HOUR));
        }
    }

    #[test]
    fn a_check_that_may_fail_a_domain_is_known_before() {
        let may_fail = |story: &Story, wait| may_fail(&story.domain, story.now + wait);
        let pending = Story::new().then(MINUTE, &seen(Missing));
        assert!(!may_fail(&pending, WINDOW - HOUR) && may_fail(&pending, WINDOW));
        let mut failing = Story::verified().then(DAY, &seen(Missing));
        for _ in 0..4 {
            failing = failing.then(17 * HOUR, &seen(Missing));
        }
        assert!(!may_fail(&failing, HOUR) && may_fail(&failing, 4 * HOUR));
        failing
            .then(4 * HOUR, &seen(Missing))
            .is(Status::Failed, Some(FindingCode::Lost), Some(DAY));
        assert!(!may_fail(&Story::verified(), 100 * DAY));
    }

    #[test]
    fn behind_a_proxy_the_grace_is_14_days() {
        let mut story = Story::verified().then(DAY, &proxied());
        for _ in 0..13 {
            story = story
                .then(DAY, &proxied())
                .is(Status::Failing, Some(FindingCode::Proxied), Some(HOUR));
        }
        story
            .clone()
            .then(DAY, &proxied())
            .is(Status::Failed, Some(FindingCode::Lost), Some(DAY));
        story
            .then(HOUR, &seen(Missing))
            .is(Status::Failed, Some(FindingCode::Lost), Some(DAY));
    }

    #[test]
    fn unknowns_neither_count_nor_clear_nor_stop_the_clock() {
        let mut story = Story::verified().then(DAY, &seen(Missing));
        for _ in 0..100 {
            story = story.then(4 * HOUR, &seen(Unknown));
            assert_eq!(
                (story.domain.status, story.domain.history.misses),
                (Status::Failing, 1)
            );
        }
        for misses in 2..=5 {
            story = story.then(HOUR, &seen(Missing)).then(HOUR, &seen(Unknown));
            assert_eq!(
                (story.domain.status, story.domain.history.misses),
                (Status::Failing, misses)
            );
        }
        story
            .then(HOUR, &seen(Missing))
            .is(Status::Failed, Some(FindingCode::Lost), Some(DAY));
        Story::verified().then(DAY, &seen(Unknown)).is(
            Status::Verified,
            Some(FindingCode::DnsTimeout),
            Some(5 * MINUTE),
        );
    }

    #[test]
    fn failed_with_proof_is_verified_and_without_it_pending_if_somebody_asks() {
        let failed = Story::new().then(WINDOW, &seen(Missing));
        failed
            .clone()
            .then(DAY, &seen(Txt))
            .is(Status::Verified, None, Some(MINUTE));
        failed
            .clone()
            .asked(DAY, &seen(Cname))
            .is(Status::Verified, None, Some(DAY));
        failed
            .clone()
            .then(DAY, &seen(Missing))
            .is(Status::Failed, Some(FindingCode::Expired), Some(DAY));
        let again = failed.asked(DAY, &seen(Missing));
        let again = again.is(Status::Pending, Some(FindingCode::RecordMissing), Some(MINUTE));
        let again = again.then(WINDOW - HOUR, &seen(Missing));
        let again = again.is(Status::Pending, Some(FindingCode::RecordMissing), Some(MINUTE));
        again
            .then(HOUR, &seen(Missing))
            .is(Status::Failed, Some(FindingCode::Expired), Some(DAY));
    }

    #[test]
    fn failed_is_checked_daily_for_30_days() {
        let mut story = Story::new().then(WINDOW, &seen(Missing));
        let mut checks = 0;
        while let Some(wait) = story.next() {
            assert_eq!(wait, DAY);
            story = story.then(wait, &seen(Missing));
            checks += 1;
        }
        assert_eq!((checks, story.domain.status), (30, Status::Failed));
    }

    #[test]
    fn pending_is_checked_each_minute_ten_times_then_ever_more_rarely() {
        let mut story = Story::new();
        let mut waits = Vec::new();
        while story.domain.status == Status::Pending {
            let wait = story.next().unwrap();
            waits.push(wait.as_secs());
            story = story.then(wait, &seen(Missing));
        }
        assert_eq!(waits[..10], [60; 10]);
        assert_eq!(waits[10..14], [90, 135, 202, 303]);
        assert_eq!(waits.iter().max(), Some(&(4 * 3600)));
        assert!((50..70).contains(&waits.len()), "{}", waits.len());
    }

    #[test]
    fn verified_but_elsewhere_is_checked_often_from_the_last_change_on() {
        let mut story = Story::new().then(MINUTE, &seen(Txt));
        for wait in [60; 10].into_iter().chain([90, 135]) {
            assert_eq!(story.next(), Some(Duration::from_secs(wait)));
            story = story.then(Duration::from_secs(wait), &seen(Txt));
        }
        for _ in 0..20 {
            let wait = story.next().unwrap();
            story = story.then(wait, &seen(Txt));
        }
        assert_eq!(story.next(), Some(HOUR));
        let story = story
            .then(HOUR, &seen(Cname))
            .is(Status::Verified, None, Some(DAY));
        story
            .then(DAY, &seen(Txt))
            .is(Status::Verified, None, Some(MINUTE));
    }

    #[test]
    fn after_an_unknown_the_wait_doubles_and_is_never_longer_than_a_pending_domains_own() {
        let mut story = Story::verified();
        for minutes in [5, 10, 20, 40, 80, 160, 240, 240] {
            story = story.then(DAY, &seen(Unknown));
            assert_eq!(story.next(), Some(minutes * MINUTE));
        }
        let story = story.then(DAY, &seen(Cname)).then(DAY, &seen(Unknown));
        assert_eq!(story.next(), Some(5 * MINUTE));
        let story = Story::new()
            .then(MINUTE, &seen(Unknown))
            .then(MINUTE, &seen(Unknown));
        assert_eq!(story.next(), Some(MINUTE));
    }

    #[test]
    fn asking_does_not_make_the_scheduled_checks_rarer() {
        let mut story = Story::new();
        for _ in 0..50 {
            story = story.asked(Duration::from_secs(5), &seen(Missing));
        }
        assert_eq!(story.next(), Some(MINUTE));
    }

    #[test]
    fn every_wait_is_spread_by_a_tenth() {
        let before = Story::verified().domain;
        for (jitter, seconds) in [(-100, 77_760), (0, 86_400), (100, 95_040), (i32::MAX, 95_040)] {
            let after = decide(&before, &seen(Cname), None, Trigger::Schedule, START, jitter).domain;
            let next = after.check.unwrap().next_check_at.unwrap();
            assert_eq!(next.since(START).as_secs(), seconds);
        }
        for jitter in -100..=100 {
            assert!((10 * MINUTE..=11 * MINUTE).contains(&contest(jitter)), "{jitter}");
        }
    }

    #[test]
    fn a_miss_that_may_be_a_flattened_cname_decides_nothing() {
        let hidden = Observation {
            routing: Routing::Unknown,
            ..seen(Missing)
        };
        let story = Story::verified().then(DAY, &hidden).is(
            Status::Verified,
            Some(FindingCode::RecordMissing),
            Some(5 * MINUTE),
        );
        assert_eq!(story.domain.history.misses, 0);
        let decided = |seen| decide(&story.domain, seen, None, Trigger::Schedule, START + DAY, 0).decided;
        assert!(!decided(&hidden) && decided(&flattened()));
        // A failing domain has no such excuse.
        let story = Story::verified().then(DAY, &seen(Missing)).then(HOUR, &hidden);
        assert_eq!(
            (story.domain.status, story.domain.history.misses),
            (Status::Failing, 2)
        );
    }

    #[test]
    fn a_flattened_cname_renews_verified_alone() {
        let warned = |story: &Story| {
            let check = story.domain.check.as_ref().unwrap();
            has(&check.findings, FindingCode::CnameFlattened)
        };
        let story = Story::verified()
            .then(DAY, &flattened())
            .is(Status::Verified, None, Some(DAY));
        assert!(warned(&story));
        let miss = Some(FindingCode::RecordMissing);
        let pending = Story::new()
            .then(MINUTE, &flattened())
            .is(Status::Pending, miss, Some(MINUTE));
        let failing = Story::verified()
            .then(DAY, &seen(Missing))
            .then(HOUR, &flattened());
        let failing = failing.is(Status::Failing, miss, Some(HOUR));
        assert_eq!(failing.domain.history.misses, 2);
        let failed = Story::new().then(WINDOW, &seen(Missing)).then(DAY, &flattened());
        let failed = failed.is(Status::Failed, Some(FindingCode::Expired), Some(DAY));
        for story in [pending, failing, failed] {
            assert!(warned(&story));
            let findings = &story.domain.check.as_ref().unwrap().findings;
            let asks = findings
                .iter()
                .find(|finding| finding.code == FindingCode::RecordMissing);
            assert!(
                asks.unwrap()
                    .fix
                    .contains("TXT record _agency-challenge.portal.acme.test")
            );
        }
    }

    #[test]
    fn what_was_not_asked_or_answered_leaves_what_was_known() {
        let zone: Hostname = "acme.test".parse().unwrap();
        let known = Observation {
            zone: Some(zone.clone()),
            nameservers: vec!["ns1.acme.test".to_owned()],
            provider: Some("Acme".to_owned()),
            ownership: RecordState::Found,
            ..seen(Cname)
        };
        let story = Story::new().then(MINUTE, &known).then(DAY, &seen(Unknown));
        let check = story.domain.check.as_ref().unwrap();
        assert_eq!(check.zone.as_ref(), Some(&zone));
        assert_eq!(
            (check.nameservers.len(), check.provider.as_deref()),
            (1, Some("Acme"))
        );
        assert_eq!(story.domain.routing, Routing::Routed);
        assert_eq!(story.domain.ownership, RecordState::Found);
        assert_eq!(story.domain.updated_at, START + MINUTE);
    }

    /// A newcomer's check against a holder that was last checked as told.
    fn against(
        newcomer: &Domain,
        proof: Proof,
        holder: &Domain,
        of_holder: Option<&Observation>,
        trigger: Trigger,
        now: Timestamp,
    ) -> Decision {
        let names = names();
        let rival = Rival {
            domain: holder,
            seen: of_holder,
            names: &names,
        };
        decide(newcomer, &seen(proof), Some(rival), trigger, now, 0)
    }

    fn code(domain: &Domain) -> Option<FindingCode> {
        Some(domain.check.as_ref()?.problem.as_ref()?.code)
    }

    #[test]
    fn a_cname_takes_a_name_at_once() {
        let holder = Story::verified();
        let failed = Story::new().then(WINDOW, &seen(Missing)).domain;
        for newcomer in [domain("org_newcomer"), failed] {
            let decision = against(
                &newcomer,
                Cname,
                &holder.domain,
                None,
                Trigger::Schedule,
                holder.now + DAY,
            );
            assert_eq!(decision.domain.status, Status::Verified);
            let RivalAfter::Moved(moved) = decision.rival else {
                panic!("{:?}", decision.rival)
            };
            assert_eq!(
                (moved.status, code(&moved)),
                (Status::Failed, Some(FindingCode::Moved))
            );
            assert_eq!(moved.check.unwrap().next_check_at, Some(holder.now + 2 * DAY));
        }
    }

    #[test]
    fn a_txt_takes_a_name_whose_holders_records_are_gone_for_ten_minutes() {
        let (newcomer, mut holder) = (domain("org_newcomer"), Story::verified().domain);
        let mut now = START + DAY;
        let look = |holder: &mut Domain, now: Timestamp, of_holder: &Observation| {
            let decision = against(&newcomer, Txt, holder, Some(of_holder), Trigger::Schedule, now);
            match decision.rival {
                RivalAfter::Contested(after) => {
                    assert_eq!(decision.domain.status, Status::Pending);
                    assert_eq!(code(&decision.domain), Some(FindingCode::HeldElsewhere));
                    let due = decision.domain.check.unwrap().next_check_at.unwrap();
                    assert!((10 * MINUTE..=11 * MINUTE).contains(&due.since(now)));
                    assert!(after.check.as_ref().unwrap().next_check_at.unwrap() <= due);
                    assert!(has(
                        &after.check.as_ref().unwrap().findings,
                        FindingCode::Contested
                    ));
                    assert_eq!(after.status, holder.status);
                    *holder = after;
                    false
                }
                RivalAfter::Moved(_) => {
                    assert_eq!(decision.domain.status, Status::Verified);
                    true
                }
                RivalAfter::Untouched => panic!("there is a holder"),
            }
        };
        // Both proofs stand, then the holder's is gone, but not for long enough.
        assert!(!look(&mut holder, now, &seen(Txt)));
        now = now + 11 * MINUTE;
        assert!(!look(&mut holder, now, &seen(Missing)));
        now = now + 9 * MINUTE;
        assert!(!look(&mut holder, now, &flattened()));
        // Unknown: nothing counts and nothing is cleared.
        now = now + 11 * MINUTE;
        assert!(!look(&mut holder, now, &seen(Unknown)));
        let mut back = holder.clone();
        assert!(look(&mut holder, now, &flattened()));
        // Seen again: all over again.
        assert!(!look(&mut back, now, &seen(Cname)));
        now = now + 11 * MINUTE;
        assert!(!look(&mut back, now, &seen(Missing)));
        now = now + 11 * MINUTE;
        assert!(look(&mut back, now, &seen(Missing)));
    }

    #[test]
    fn the_holders_own_checks_count_for_a_newcomer_too() {
        let newcomer = domain("org_newcomer");
        let holder = Story::verified().then(DAY, &flattened());
        let now = holder.now + 11 * MINUTE;
        let decision = against(
            &newcomer,
            Txt,
            &holder.domain,
            Some(&flattened()),
            Trigger::Schedule,
            now,
        );
        assert!(matches!(decision.rival, RivalAfter::Moved(_)));
        let seen_again = holder.then(MINUTE, &seen(Cname));
        let decision = against(
            &newcomer,
            Txt,
            &seen_again.domain,
            Some(&flattened()),
            Trigger::Schedule,
            now,
        );
        assert!(matches!(decision.rival, RivalAfter::Contested(_)));
    }

    #[test]
    fn failed_with_a_txt_for_a_held_name_stays_failed_in_a_sweep_and_is_pending_by_asking() {
        let newcomer = Story::new().then(WINDOW, &seen(Missing)).domain;
        let holder = Story::verified().then(DAY, &seen(Missing));
        let now = START + WINDOW + HOUR;
        let swept = against(
            &newcomer,
            Txt,
            &holder.domain,
            Some(&seen(Missing)),
            Trigger::Schedule,
            now,
        )
        .domain;
        assert_eq!(
            (swept.status, swept.check.unwrap().next_check_at),
            (Status::Failed, Some(now + DAY))
        );
        let asked = against(
            &newcomer,
            Txt,
            &holder.domain,
            Some(&seen(Missing)),
            Trigger::Verify,
            now,
        )
        .domain;
        assert_eq!(
            (asked.status, code(&asked)),
            (Status::Pending, Some(FindingCode::HeldElsewhere))
        );
        let later = against(
            &asked,
            Txt,
            &holder.domain,
            Some(&seen(Missing)),
            Trigger::Schedule,
            now + 11 * MINUTE,
        );
        assert_eq!(later.domain.status, Status::Verified);
    }

    #[test]
    fn a_claim_that_a_holder_keeps_out_expires_and_the_warning_ends() {
        let holder = Story::verified();
        let now = START + WINDOW;
        let decision = against(
            &domain("org_newcomer"),
            Txt,
            &holder.domain,
            Some(&seen(Cname)),
            Trigger::Schedule,
            now,
        );
        let newcomer = decision.domain;
        assert_eq!(
            (newcomer.status, code(&newcomer)),
            (Status::Failed, Some(FindingCode::Expired))
        );
        assert!(has(&newcomer.check.unwrap().findings, FindingCode::HeldElsewhere));
        let RivalAfter::Contested(warned) = decision.rival else {
            panic!("it stays")
        };
        let mut story = Story { domain: warned, now };
        for (wait, warned) in [(HOUR, true), (DAY, true), (2 * DAY, false)] {
            story = story.then(wait, &seen(Cname));
            let check = story.domain.check.as_ref().unwrap();
            assert_eq!(has(&check.findings, FindingCode::Contested), warned);
        }
    }

    #[test]
    fn the_foreign_record_is_shown_and_its_owner_is_not() {
        let holder = Story::verified().domain;
        for (proof, kind) in [(Cname, "CNAME"), (Txt, "TXT")] {
            let seen = seen(proof);
            let decision = against(
                &domain("org_newcomer"),
                Txt,
                &holder,
                Some(&seen),
                Trigger::Verify,
                START + DAY,
            );
            let text = serde_json::to_string(&decision.domain.check).unwrap();
            assert!(
                text.contains(holder.token.as_ref().unwrap().as_str()) && text.contains(kind),
                "{text}"
            );
            assert!(
                !text.contains("org_a") && !text.contains(&holder.id.to_string()),
                "{text}"
            );
        }
        // What DNS does not show, nobody is told.
        for of_holder in [Some(&seen(Missing)), Some(&seen(Unknown)), None] {
            let decision = against(
                &domain("org_newcomer"),
                Txt,
                &holder,
                of_holder,
                Trigger::Verify,
                START + DAY,
            );
            let text = serde_json::to_string(&decision.domain.check).unwrap();
            assert!(!text.contains(holder.token.as_ref().unwrap().as_str()), "{text}");
        }
    }

    /// What a random world does next.
    #[derive(Debug, Clone)]
    enum Event {
        /// The owner's zone changes: whose `CNAME` it has, whose `TXT` records, whether the addresses are ours.
        Zone {
            cname: Option<usize>,
            txt: [bool; 3],
            ours: bool,
        },
        /// DNS answers for this domain, or not.
        Reachable(usize, bool),
        /// Time passes and what is due is checked.
        Sweep(u64, i32),
        /// Somebody asks.
        Verify(usize),
    }

    fn event() -> impl Strategy<Value = Event> {
        let zone = (prop::option::of(0..3_usize), any::<[bool; 3]>(), any::<bool>());
        prop_oneof![
            2 => zone.prop_map(|(cname, txt, ours)| Event::Zone { cname, txt, ours }),
            1 => (0..3_usize, any::<bool>()).prop_map(|(index, up)| Event::Reachable(index, up)),
            6 => (prop_oneof![30..900_u64, 3_600..200_000_u64], -100..=100).prop_map(|(s, j)| Event::Sweep(s, j)),
            2 => (0..3_usize).prop_map(Event::Verify),
        ]
    }

    /// Three agencies that claim one name, as the table would keep them.
    struct World {
        domains: [Domain; 3],
        holder: Option<usize>,
        now: Timestamp,
        cname: Option<usize>,
        txt: [bool; 3],
        ours: bool,
        up: [bool; 3],
        /// When each domain's proof was last there while DNS answered for it and it was looked at.
        proven_at: [Option<Timestamp>; 3],
    }

    impl World {
        fn observe(&self, index: usize) -> Observation {
            let proof = match (self.up[index], self.cname == Some(index), self.txt[index]) {
                (false, ..) => Unknown,
                (_, true, _) => Cname,
                (_, _, true) => Txt,
                _ => Missing,
            };
            match proof {
                Missing if self.ours && self.cname.is_none() => flattened(),
                _ => seen(proof),
            }
        }

        fn check(&mut self, index: usize, trigger: Trigger, jitter: i32) {
            let before = self.domains[index].clone();
            let observation = self.observe(index);
            let proven = matches!(observation.proof, Cname | Txt);
            if proven {
                self.proven_at[index] = Some(self.now);
            }
            let names = names();
            let other = self.holder.filter(|holder| *holder != index);
            let of_holder = other.map(|holder| self.observe(holder));
            let rival = other.map(|holder| Rival {
                domain: &self.domains[holder],
                seen: of_holder.as_ref(),
                names: &names,
            });
            let decision = decide(&before, &observation, rival, trigger, self.now, jitter);
            let after = decision.domain;

            if after.status == Status::Verified {
                let renewed = before.status == Status::Verified;
                let unknown = renewed && observation.proof == Unknown;
                assert!(
                    proven || unknown || (renewed && observation.flattened),
                    "verified without proof"
                );
            }
            if observation.proof == Unknown && before.status.serves() {
                assert_eq!(before.status, after.status, "an unknown counted");
                assert_eq!(before.history.misses, after.history.misses, "an unknown counted");
            }
            if after.status == Status::Failing {
                assert!(before.status.serves());
            }
            if (before.status, after.status) == (Status::Failing, Status::Failed) {
                let last = self.proven_at[index].unwrap();
                assert!(self.now.since(last) >= GRACE, "lost too soon");
            }
            match decision.rival {
                RivalAfter::Untouched => assert!(!proven || before.status.serves() || other.is_none()),
                RivalAfter::Contested(rival) => {
                    let holder = other.unwrap();
                    assert_eq!(rival.status, self.domains[holder].status);
                    assert!(!after.status.serves());
                    self.domains[holder] = rival;
                }
                RivalAfter::Moved(rival) => {
                    let holder = other.unwrap();
                    assert!(proven && after.status == Status::Verified && rival.status == Status::Failed);
                    if observation.proof == Txt {
                        let of_holder = of_holder.unwrap();
                        assert_eq!(
                            of_holder.proof, Missing,
                            "taken from a holder that is still there"
                        );
                    }
                    self.domains[holder] = rival;
                    self.holder = None;
                }
            }
            match (before.status.serves(), after.status.serves()) {
                (false, true) => assert_eq!(self.holder.replace(index), None, "two holders"),
                (true, false) => assert_eq!(self.holder.take(), Some(index)),
                _ => {}
            }
            self.domains[index] = after;
            let serving = (0..3).filter(|index| self.domains[*index].status.serves());
            assert_eq!(
                serving.collect::<Vec<_>>(),
                self.holder.into_iter().collect::<Vec<_>>()
            );
        }

        fn sweep(&mut self, jitter: i32) {
            for index in 0..3 {
                let next = self.domains[index].check.as_ref().unwrap().next_check_at;
                if next.is_some_and(|next| next <= self.now) {
                    let failed_for = self.now.since(self.domains[index].history.since.unwrap_or(START));
                    let failed = self.domains[index].status == Status::Failed;
                    let due_for = self.now.since(next.unwrap());
                    assert!(
                        !failed || failed_for - due_for <= FAILED_CHECKED,
                        "checked after 30 days"
                    );
                    self.check(index, Trigger::Schedule, jitter);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_history_breaks_the_rules_and_every_path_ends(events in prop::collection::vec(event(), 1..80)) {
            let mut world = World {
                domains: ["org_a", "org_bb", "org_ccc"].map(domain),
                holder: None,
                now: START,
                cname: None,
                txt: [false; 3],
                ours: false,
                up: [true; 3],
                proven_at: [None; 3],
            };
            for event in events {
                match event {
                    Event::Zone { cname, txt, ours } => {
                        (world.cname, world.txt, world.ours) = (cname, txt, ours);
                    }
                    Event::Reachable(index, up) => world.up[index] = up,
                    Event::Sweep(seconds, jitter) => {
                        world.now = world.now + Duration::from_secs(seconds);
                        world.sweep(jitter);
                    }
                    Event::Verify(index) => world.check(index, Trigger::Verify, 0),
                }
            }
            // All records are removed: each domain fails, and is not checked for ever.
            (world.cname, world.txt, world.ours, world.up) = (None, [false; 3], false, [true; 3]);
            let mut checks = 0;
            loop {
                let next = |domain: &Domain| domain.check.as_ref().unwrap().next_check_at;
                let Some(next) = world.domains.iter().filter_map(next).min() else { break };
                world.now = world.now.max(next);
                world.sweep(0);
                checks += 1;
                prop_assert!(checks < 2_000, "it does not end");
            }
            for domain in &world.domains {
                prop_assert_eq!(domain.status, Status::Failed);
            }
        }

        #[test]
        fn a_domain_of_which_dns_says_nothing_keeps_what_it_has(hours in prop::collection::vec(1..100_u32, 1..60)) {
            let mut verified = Story::verified();
            let mut failing = Story::verified().then(DAY, &seen(Missing));
            let misses = failing.domain.history.misses;
            for hours in hours {
                verified = verified.then(hours * HOUR, &seen(Unknown));
                failing = failing.then(hours * HOUR, &seen(Unknown));
            }
            prop_assert_eq!(verified.domain.status, Status::Verified);
            prop_assert_eq!((failing.domain.status, failing.domain.history.misses), (Status::Failing, misses));
        }
    }
}
