//! The outcome of a check: the domain, and the holder of its hostname, as they are to be stored. Pure: the decision and the
//! findings, put together.

use std::net::IpAddr;

use shared::models::{
    domain::{Check, Domain, Finding, RecordState, Routing, Status},
    hostname::{HostPolicy, Hostname},
    language::Locale,
    time::Timestamp,
};

use crate::{
    decide::{CheckInput, Decision, HolderChange},
    dns::providers::page,
    findings::{Facts, ended, explain, problem, warn_of_contest},
};

/// Name servers stored with a domain.
const MAX_NAMESERVERS: usize = 13;

#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub domain: Domain,
    /// The other agency's domain that holds the hostname, if it changes: it loses the hostname, or keeps it and is warned.
    pub holder: Option<Domain>,
    /// Whether the hostname moves from it to this domain.
    pub moves: bool,
    /// See [`Decision::decided`].
    pub decided: bool,
}

/// `addresses` are the edge's configured ones.
pub(crate) fn outcome(input: &CheckInput<'_>, names: &HostPolicy, addresses: &[IpAddr]) -> Outcome {
    let CheckInput {
        before,
        evidence,
        holder,
        now,
        ..
    } = *input;
    let decision = input.decide();
    let mut domain = Domain {
        status: decision.status,
        history: decision.history.clone(),
        routing: decision.routing,
        ownership: known(evidence.txt_state, before.ownership),
        route: known(evidence.route_state(), before.route),
        apex: evidence.apex_addresses(),
        ..before.clone()
    };
    domain.history.routed_at = match before.history.routed_at {
        _ if !domain.status.serves() => None,
        None if domain.needs_certificate() => Some(now),
        routed_at => routed_at,
    };
    // The edge is not asked for the certificates of other domains, so the last one would become outdated.
    if !domain.status.serves() || domain.routing == Routing::Elsewhere {
        domain.tls = None;
    }
    if domain.status == Status::Verified && !before.status.serves() {
        domain.verified_at = Some(now);
    }
    let is_held = matches!(decision.holder, HolderChange::Keeps { .. });
    let (findings, german_findings) = explain(&Facts {
        domain: &domain,
        evidence,
        holder: holder.filter(|_| is_held),
        names,
        now,
    });
    domain.german_findings = german_findings;
    let last = before.check.as_ref();
    let mut nameservers: Vec<_> = evidence.nameservers().take(MAX_NAMESERVERS).collect();
    if let (true, Some(last)) = (nameservers.is_empty(), last) {
        nameservers.clone_from(&last.nameservers);
    }
    let zone = evidence.zone().or_else(|| last?.zone.clone());
    let provider = evidence.provider().map(str::to_owned);
    let provider = provider.or_else(|| last?.provider.clone());
    domain.check = Some(Check {
        checked_at: Some(now),
        next_check_at: decision.next_check_at,
        attempts: last.map_or(0, |check| check.attempts).saturating_add(1),
        provider_url: page(
            provider.as_deref().unwrap_or_default(),
            zone.as_ref().map(Hostname::as_str),
        ),
        zone,
        nameservers,
        provider,
        problem: problem(&findings).cloned(),
        findings,
    });
    // What the API shows: the addresses that an apex has change where a load balancer answers.
    let shown = |domain: &Domain| {
        let records = domain.records(names, addresses).into_iter();
        let states: Vec<_> = records.map(|record| record.state).collect();
        (domain.status, domain.routing, states)
    };
    if shown(before) != shown(&domain) {
        domain.updated_at = now;
    }
    Outcome {
        domain,
        holder: holder.and_then(|holder| holder_after(holder.domain, &decision, now)),
        moves: matches!(decision.holder, HolderChange::Loses { .. }),
        decided: decision.decided,
    }
}

/// What was not looked up stays as it was.
fn known(state: RecordState, before: RecordState) -> RecordState {
    match state {
        RecordState::Unchecked => before,
        state => state,
    }
}

fn holder_after(before: &Domain, decision: &Decision, now: Timestamp) -> Option<Domain> {
    let mut domain = before.clone();
    match &decision.holder {
        HolderChange::None => return None,
        HolderChange::Keeps { history, due } => {
            domain.history = history.clone();
            if let Some(check) = &mut domain.check {
                warn_of_contest(before, &mut check.findings, &mut domain.german_findings);
                // Never later than before: a newcomer must not delay the holder's own checks.
                check.next_check_at = Some(check.next_check_at.map_or(*due, |next| next.min(*due)));
            }
        }
        HolderChange::Loses {
            history,
            next_check_at,
        } => {
            domain.status = Status::Failed;
            domain.tls = None;
            domain.updated_at = now;
            domain.history = history.clone();
            let finding = |locale| history.cause.map(|cause| ended(before, cause, locale));
            let german = finding(Locale::German).map(Finding::into_text);
            domain.german_findings = german.into_iter().collect();
            if let Some(check) = &mut domain.check {
                check.next_check_at = Some(*next_check_at);
                check.problem = finding(Locale::English);
                check.findings = check.problem.iter().cloned().collect();
            }
        }
    }
    Some(domain)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hickory_proto::rr::Name;
    use proptest::prelude::*;
    use shared::models::{
        domain::{Certificate, CertificateState, FindingCode, Token},
        hostname::Hostname,
        id::{DomainId, OrgId},
    };

    use super::*;
    use crate::{
        decide::{Holder, Trigger, counts_unconfirmed_proof, may_fail},
        dns::{
            Evidence,
            Proof::{self, Cname, Missing, Txt, Unknown},
            evidence::Expected,
        },
    };

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn names() -> HostPolicy {
        HostPolicy {
            portal_domain: "portal.example.com".parse::<Hostname>().unwrap(),
            target: "cname.portal.example.com".parse::<Hostname>().unwrap(),
            allow_special_use: true,
        }
    }

    /// Evidence that comes to this.
    fn seen(proof: Proof) -> Evidence {
        let (cname_state, txt_state, routing) = match proof {
            Cname => (RecordState::Found, RecordState::Missing, Routing::Routed),
            Txt => (RecordState::Missing, RecordState::Found, Routing::Elsewhere),
            Missing => (RecordState::Missing, RecordState::Missing, Routing::Elsewhere),
            Unknown => (
                RecordState::Unreachable,
                RecordState::Unreachable,
                Routing::Unknown,
            ),
        };
        let domain = domain("org_a");
        Evidence {
            expected: Expected::of(&domain, &names()).unwrap(),
            cname_state,
            txt_state,
            traffic: routing.into(),
            ..Evidence::unasked(&domain)
        }
    }

    fn routed(routing: Routing, evidence: Evidence) -> Evidence {
        Evidence {
            traffic: routing.into(),
            ..evidence
        }
    }

    fn flattened() -> Evidence {
        routed(Routing::Routed, seen(Missing))
    }

    fn proxied() -> Evidence {
        routed(Routing::Proxied, seen(Missing))
    }

    fn has(findings: &[Finding], code: FindingCode) -> bool {
        findings.iter().any(|finding| finding.code == code)
    }

    /// What becomes of the holder.
    #[derive(Debug)]
    enum HolderAfter {
        Unchanged,
        Keeps(Domain),
        Loses(Domain),
    }

    impl Outcome {
        fn holder(self) -> HolderAfter {
            match self.holder {
                None => HolderAfter::Unchanged,
                Some(holder) if holder.status.serves() => HolderAfter::Keeps(holder),
                Some(holder) => HolderAfter::Loses(holder),
            }
        }
    }

    fn check(before: &Domain, evidence: &Evidence, trigger: Trigger, now: Timestamp, jitter: i32) -> Outcome {
        let input = CheckInput {
            before,
            evidence,
            holder: None,
            trigger,
            now,
            jitter,
        };
        outcome(&input, &names(), &[])
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

        fn check(mut self, wait: Duration, seen: &Evidence, trigger: Trigger) -> Self {
            self.now = self.now + wait;
            let mut seen = seen.clone();
            if counts_unconfirmed_proof(&self.domain, self.now) {
                seen.accept_unconfirmed_proof();
            }
            self.domain = check(&self.domain, &seen, trigger, self.now, 0).domain;
            self
        }

        fn then(self, wait: Duration, seen: &Evidence) -> Self {
            self.check(wait, seen, Trigger::Schedule)
        }

        fn asked(self, wait: Duration, seen: &Evidence) -> Self {
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
            let story = Story::new().then(MINUTE, &routed(Routing::Routed, seen(proof)));
            let story = story.is(Status::Verified, None, Some(DAY));
            assert_eq!(story.domain.verified_at, Some(story.now));
        }
    }

    #[test]
    fn pending_without_proof_fails_after_7_days_of_answers() {
        let miss = Some(FindingCode::RecordMissing);
        let story = Story::new().then(WEEK - HOUR, &seen(Missing));
        let story = story.is(Status::Pending, miss, Some(MINUTE));
        let end = Some(FindingCode::Expired);
        story
            .clone()
            .then(HOUR, &seen(Missing))
            .is(Status::Failed, end, Some(DAY));
        // What DNS said last was a miss; that it says nothing now changes nothing.
        story
            .then(HOUR, &seen(Unknown))
            .is(Status::Failed, end, Some(DAY));
    }

    #[test]
    fn pending_without_an_answer_fails_after_30_days() {
        let story = Story::new().then(WEEK, &seen(Unknown));
        let story = story.is(Status::Pending, Some(FindingCode::DnsTimeout), Some(MINUTE));
        let story = story.then(3 * WEEK + 2 * DAY - HOUR, &seen(Unknown));
        let story = story.is(Status::Pending, Some(FindingCode::DnsTimeout), Some(MINUTE));
        story
            .clone()
            .then(HOUR, &seen(Unknown))
            .is(Status::Failed, Some(FindingCode::Expired), Some(DAY));
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
        assert!(!may_fail(&pending, WEEK - HOUR) && may_fail(&pending, WEEK));
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
    fn while_the_routing_is_unknown_the_grace_is_that_of_the_last_known_one() {
        let disputed = routed(Routing::Unknown, disputed());
        for (last, status) in [(proxied(), Status::Failing), (seen(Missing), Status::Failed)] {
            let story = Story::verified().then(DAY, &last);
            let story = (0..5).fold(story, |story, _| story.then(15 * HOUR, &disputed));
            assert_eq!(story.domain.status, status);
        }
    }

    #[test]
    fn misses_count_only_while_a_domain_serves() {
        for (story, misses) in [(Story::new(), 0), (Story::verified(), 1)] {
            let history = story.then(DAY, &seen(Missing)).domain.history;
            assert_eq!(
                (history.misses, history.missed_at.is_some()),
                (misses, misses > 0)
            );
        }
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
        let failed = Story::new().then(WEEK, &seen(Missing));
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
        let again = again.then(WEEK - HOUR, &seen(Missing));
        let again = again.is(Status::Pending, Some(FindingCode::RecordMissing), Some(MINUTE));
        again
            .then(HOUR, &seen(Missing))
            .is(Status::Failed, Some(FindingCode::Expired), Some(DAY));
    }

    #[test]
    fn a_failed_domain_that_is_asked_for_has_30_days_again_only_without_an_answer() {
        let failed = Story::new().then(WEEK, &seen(Missing));
        for (asked, last_week) in [(Missing, Status::Failed), (Unknown, Status::Pending)] {
            let again = failed.clone().asked(DAY, &seen(asked));
            assert_eq!(again.domain.status, Status::Pending);
            let again = again.then(WEEK, &seen(Unknown));
            assert_eq!(again.domain.status, last_week, "{asked:?}");
            let again = again.then(23 * DAY, &seen(Unknown));
            assert_eq!(again.domain.status, Status::Failed, "{asked:?}");
        }
    }

    #[test]
    fn failed_is_checked_daily_for_30_days() {
        let mut story = Story::new().then(WEEK, &seen(Missing));
        let mut checks = 0;
        while let Some(wait) = story.next() {
            assert_eq!(wait, DAY);
            story = story.then(wait, &seen(Missing));
            checks += 1;
        }
        assert_eq!((checks, story.domain.status), (30, Status::Failed));
    }

    #[test]
    fn a_domain_is_updated_by_what_the_api_shows_of_it_alone() {
        let [one, two, three] = [1, 2, 3].map(|number| IpAddr::from([192, 0, 2, number]));
        let apex = |ours: &[IpAddr]| {
            let mut evidence = routed(Routing::Routed, seen(Txt));
            evidence.traffic.addresses = ours.to_vec();
            evidence.traffic.ours = ours.to_vec();
            evidence.location.zone = Some(evidence.expected.hostname.clone());
            evidence
        };
        let then = |before: &Domain, evidence: &Evidence, addresses: &[IpAddr]| {
            let input = CheckInput {
                before,
                evidence,
                holder: None,
                trigger: Trigger::Schedule,
                now: before.updated_at + DAY,
                jitter: 0,
            };
            let after = outcome(&input, &names(), addresses).domain;
            (after.updated_at != before.updated_at, after)
        };
        for (configured, shows_two) in [(&[][..], false), (&[one], false), (&[one, two], true)] {
            let (_, domain) = then(&domain("org_a"), &apex(&[one, two]), configured);
            for (ours, is_updated) in [
                (&[one, two][..], false),
                (&[two, one], false),
                (&[one, two, three], false),
                (&[one, three], shows_two),
            ] {
                assert_eq!(
                    then(&domain, &apex(ours), configured).0,
                    is_updated,
                    "{configured:?} {ours:?}"
                );
            }
            // As it was stored before these addresses were.
            let stored = Domain { apex: None, ..domain };
            assert!(!then(&stored, &apex(&[one, two]), configured).0, "{configured:?}");
        }
    }

    /// A proof that only one of several servers gives, and the resolver too.
    fn unconfirmed(proof: Proof) -> Evidence {
        Evidence {
            unconfirmed_proof: Some(proof),
            ..seen(Unknown)
        }
    }

    /// A domain keeps the certificate that the edge last presented, and since when it is routed there, while it is served. The
    /// certificate is kept only while the edge is still asked for it.
    #[test]
    fn a_domain_has_a_certificate_while_it_is_served_and_not_elsewhere() {
        let certificate = Certificate {
            state: CertificateState::Ready,
            issuer: None,
            not_after: None,
            problem: None,
            checked_at: START,
        };
        let served = Story::verified();
        assert_eq!(served.domain.history.routed_at, Some(served.now));
        let elsewhere = Story::new().then(MINUTE, &seen(Txt));
        assert_eq!(elsewhere.domain.history.routed_at, None);

        let after = |before: &Story, evidence: &Evidence| {
            let mut story = before.clone();
            story.domain.tls = Some(certificate.clone());
            let now = story.now + DAY;
            check(&story.domain, evidence, Trigger::Schedule, now, 0).domain
        };
        let domain = after(&served, &seen(Cname));
        assert_eq!(domain.tls, Some(certificate.clone()));
        assert_eq!(domain.history.routed_at, Some(served.now));
        let domain = after(&served, &routed(Routing::Unknown, seen(Txt)));
        assert_eq!(domain.tls, Some(certificate.clone()));
        let domain = after(&served, &seen(Txt));
        assert_eq!(domain.tls, None);
        assert_eq!(domain.history.routed_at, Some(served.now));
        let domain = after(&elsewhere, &seen(Cname));
        assert_eq!(domain.history.routed_at, Some(elsewhere.now + DAY));

        let mut lost = served.clone();
        while lost.domain.status != Status::Failed {
            lost = lost.then(DAY, &seen(Missing));
        }
        assert_eq!(lost.domain.history.routed_at, None);
        // As an earlier version could have stored it.
        lost.domain.history.routed_at = Some(START);
        let domain = after(&lost, &flattened());
        assert!(!domain.status.serves());
        assert_eq!((domain.tls, domain.history.routed_at), (None, None));
    }

    #[test]
    fn an_unknown_does_not_begin_the_10_minutes_of_a_proof_by_one_of_several_servers() {
        let story = Story::new().then(MINUTE, &seen(Unknown));
        let story = story.then(HOUR, &unconfirmed(Cname));
        assert_eq!(story.domain.status, Status::Pending);
        let story = story.then(HOUR, &unconfirmed(Cname));
        assert_eq!(story.domain.status, Status::Verified);
    }

    /// The servers disagree about a domain that only one server ever proved. Its addresses may be ours.
    fn disputed() -> Evidence {
        Evidence {
            disputed: true,
            ..flattened()
        }
    }

    #[test]
    fn a_proof_by_one_of_several_servers_counts_at_its_second_check_after_10_minutes() {
        let failed = Story::new().then(WEEK, &seen(Missing));
        for (start, status) in [(Story::new(), Status::Pending), (failed, Status::Failed)] {
            for proof in [Cname, Txt] {
                let mut story = start.clone().then(HOUR, &unconfirmed(proof));
                // Neither sooner, nor reset by an unknown.
                for seen in [unconfirmed(proof), seen(Unknown), unconfirmed(proof)] {
                    story = story.then(3 * MINUTE, &seen);
                    assert_eq!(story.domain.status, status);
                }
                let story = story.then(2 * MINUTE, &unconfirmed(proof));
                assert_eq!(story.domain.status, Status::Verified, "{proof:?}");
                assert!(story.domain.history.only_unconfirmed_proofs);
                // A miss between the checks does.
                let story = start
                    .clone()
                    .then(HOUR, &unconfirmed(proof))
                    .then(HOUR, &seen(Missing));
                let story = story.then(HOUR, &unconfirmed(proof));
                assert_eq!(story.domain.status, status);
            }
        }
        let asked = Story::new().asked(MINUTE, &unconfirmed(Cname));
        assert_eq!(
            asked.then(11 * MINUTE, &unconfirmed(Cname)).domain.status,
            Status::Verified
        );
    }

    #[test]
    fn of_a_domain_that_one_server_proved_a_dispute_is_a_miss_until_several_prove_it() {
        let story = Story::new()
            .then(MINUTE, &unconfirmed(Cname))
            .then(HOUR, &unconfirmed(Cname));
        let lost = (0..6).fold(story.clone(), |story, _| story.then(15 * HOUR, &disputed()));
        lost.is(Status::Failed, Some(FindingCode::Lost), Some(DAY));
        // One server alone neither renews it nor makes it fail.
        let story = story.then(DAY, &seen(Unknown));
        assert!(story.domain.history.only_unconfirmed_proofs);
        let proven = story.then(DAY, &seen(Cname));
        assert!(!proven.domain.history.only_unconfirmed_proofs);
    }

    #[test]
    fn an_expired_domain_keeps_nothing_of_how_it_was_proven() {
        let story = Story::new()
            .then(MINUTE, &unconfirmed(Cname))
            .then(HOUR, &unconfirmed(Cname));
        let lost = (0..6).fold(story, |story, _| story.then(15 * HOUR, &seen(Missing)));
        let history = lost.domain.history;
        assert!(!history.only_unconfirmed_proofs && history.unconfirmed_since.is_none());
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
        let mut story = (0..40).fold(Story::new(), |story, _| story.then(HOUR, &seen(Missing)));
        assert_eq!(story.next(), Some(4 * HOUR));
        for minutes in [5, 10, 20] {
            story = story.then(MINUTE, &seen(Unknown));
            assert_eq!(story.next(), Some(minutes * MINUTE));
        }
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
    fn of_the_unknowns_by_asking_only_the_first_doubles_the_wait() {
        let mut story = Story::verified();
        for _ in 0..3 {
            story = story.asked(MINUTE, &seen(Unknown));
            assert_eq!(story.next(), Some(5 * MINUTE));
        }
        let story = story.then(MINUTE, &seen(Unknown));
        assert_eq!(story.next(), Some(10 * MINUTE));
    }

    #[test]
    fn every_wait_is_spread_by_a_tenth() {
        let before = Story::verified().domain;
        for (jitter, seconds) in [(-100, 77_760), (0, 86_400), (100, 95_040), (i32::MAX, 95_040)] {
            let after = check(&before, &seen(Cname), Trigger::Schedule, START, jitter).domain;
            let next = after.check.unwrap().next_check_at.unwrap();
            assert_eq!(next.since(START).as_secs(), seconds);
        }
    }

    #[test]
    fn a_miss_that_may_be_a_flattened_cname_decides_nothing() {
        let hidden = routed(Routing::Unknown, seen(Missing));
        let story = Story::verified().then(DAY, &hidden).is(
            Status::Verified,
            Some(FindingCode::RecordMissing),
            Some(5 * MINUTE),
        );
        assert_eq!(story.domain.history.misses, 0);
        let decided = |seen| check(&story.domain, seen, Trigger::Schedule, START + DAY, 0).decided;
        assert!(!decided(&hidden) && decided(&flattened()));
        let story = Story::verified().then(DAY, &seen(Missing)).then(HOUR, &hidden);
        assert_eq!(
            (story.domain.status, story.domain.history.misses),
            (Status::Failing, 1)
        );
    }

    #[test]
    fn a_flattened_cname_renews_a_domain_that_serves() {
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
        let renewed = failing.is(Status::Verified, None, Some(DAY));
        assert!(warned(&renewed));
        assert_eq!(renewed.domain.history.misses, 0);
        let failed = Story::new().then(WEEK, &seen(Missing)).then(DAY, &flattened());
        let failed = failed.is(Status::Failed, Some(FindingCode::Expired), Some(DAY));
        for story in [pending, failed] {
            assert!(warned(&story));
            let findings = &story.domain.check.as_ref().unwrap().findings;
            let asks = findings
                .iter()
                .find(|finding| finding.code == FindingCode::RecordMissing);
            assert!(
                asks.unwrap()
                    .fix
                    .contains("TXT record named _agency-challenge.portal.acme.test")
            );
        }
    }

    #[test]
    fn an_unknown_and_a_renewal_leave_what_they_did_not_see() {
        let name = |text| Name::from_ascii(text).unwrap();
        let mut known = seen(Cname);
        known.txt_state = RecordState::Found;
        known.location.zone = Some(name("acme.test."));
        known.location.servers = vec![name("ns1.acme.test.")];
        known.location.provider = Some("Acme");
        let story = Story::new().then(MINUTE, &known).then(DAY, &seen(Unknown));
        let last = story.domain.check.as_ref().unwrap();
        assert_eq!(last.zone.as_ref().map(Hostname::as_str), Some("acme.test"));
        assert_eq!(last.nameservers, ["ns1.acme.test"]);
        assert_eq!(last.provider.as_deref(), Some("Acme"));
        assert_eq!(story.domain.routing, Routing::Routed);

        let proven = Story::new().then(MINUTE, &known);
        known.txt_state = RecordState::Unchecked;
        let renewed = proven.then(DAY, &known).domain;
        assert_eq!(
            (renewed.ownership, renewed.updated_at),
            (RecordState::Found, START + MINUTE)
        );
    }

    /// A newcomer's check against a holder that was last checked as told.
    fn against(
        newcomer: &Domain,
        proof: Proof,
        holder: &Domain,
        of_holder: Option<&Evidence>,
        trigger: Trigger,
        now: Timestamp,
    ) -> Outcome {
        let holder = Holder {
            domain: holder,
            evidence: of_holder,
        };
        let evidence = Evidence {
            expected: Expected::of(newcomer, &names()).unwrap(),
            ..seen(proof)
        };
        let input = CheckInput {
            before: newcomer,
            evidence: &evidence,
            holder: Some(holder),
            trigger,
            now,
            jitter: 0,
        };
        outcome(&input, &names(), &[])
    }

    fn code(domain: &Domain) -> Option<FindingCode> {
        Some(domain.check.as_ref()?.problem.as_ref()?.code)
    }

    #[test]
    fn a_cname_takes_a_name_at_once() {
        let holder = Story::verified();
        let failed = Story::new().then(WEEK, &seen(Missing)).domain;
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
            let HolderAfter::Loses(moved) = decision.holder() else {
                panic!("the holder keeps the name")
            };
            assert_eq!(
                (moved.status, code(&moved)),
                (Status::Failed, Some(FindingCode::Moved))
            );
            // From now on it is checked for 30 days.
            assert_eq!(moved.history.since, Some(holder.now + DAY));
            assert_eq!(moved.check.unwrap().next_check_at, Some(holder.now + 2 * DAY));
        }
    }

    #[test]
    fn a_txt_takes_a_name_whose_holders_records_are_gone_for_ten_minutes() {
        let (newcomer, mut holder) = (domain("org_newcomer"), Story::verified().domain);
        let mut now = START + DAY;
        let look = |holder: &mut Domain, now: Timestamp, of_holder: &Evidence| {
            let decision = against(&newcomer, Txt, holder, Some(of_holder), Trigger::Schedule, now);
            let newcomer = decision.domain.clone();
            match decision.holder() {
                HolderAfter::Keeps(after) => {
                    assert_eq!(newcomer.status, Status::Pending);
                    assert_eq!(code(&newcomer), Some(FindingCode::HeldElsewhere));
                    let due = newcomer.check.unwrap().next_check_at.unwrap();
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
                HolderAfter::Loses(_) => {
                    assert_eq!(newcomer.status, Status::Verified);
                    true
                }
                HolderAfter::Unchanged => panic!("there is a holder"),
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
        assert!(matches!(decision.holder(), HolderAfter::Loses(_)));
        let seen_again = holder.then(MINUTE, &seen(Cname));
        let decision = against(
            &newcomer,
            Txt,
            &seen_again.domain,
            Some(&flattened()),
            Trigger::Schedule,
            now,
        );
        assert!(matches!(decision.holder(), HolderAfter::Keeps(_)));
    }

    #[test]
    fn failed_with_a_txt_for_a_held_name_stays_failed_in_a_sweep_and_is_pending_by_asking() {
        let newcomer = Story::new().then(WEEK, &seen(Missing)).domain;
        let holder = Story::verified().then(DAY, &seen(Missing));
        let now = START + WEEK + HOUR;
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
        let now = START + WEEK;
        let decision = against(
            &domain("org_newcomer"),
            Txt,
            &holder.domain,
            Some(&seen(Cname)),
            Trigger::Schedule,
            now,
        );
        let newcomer = decision.domain.clone();
        assert_eq!(
            (newcomer.status, code(&newcomer)),
            (Status::Failed, Some(FindingCode::Expired))
        );
        assert!(has(&newcomer.check.unwrap().findings, FindingCode::HeldElsewhere));
        let HolderAfter::Keeps(warned) = decision.holder() else {
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
        // A record that DNS does not show stays secret.
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
    enum SimulationEvent {
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

    fn event() -> impl Strategy<Value = SimulationEvent> {
        let zone = (prop::option::of(0..3_usize), any::<[bool; 3]>(), any::<bool>());
        prop_oneof![
            2 => zone.prop_map(|(cname, txt, ours)| SimulationEvent::Zone { cname, txt, ours }),
            1 => (0..3_usize, any::<bool>()).prop_map(|(index, up)| SimulationEvent::Reachable(index, up)),
            6 => (prop_oneof![30..900_u64, 3_600..200_000_u64], -100..=100).prop_map(|(s, j)| SimulationEvent::Sweep(s, j)),
            2 => (0..3_usize).prop_map(SimulationEvent::Verify),
        ]
    }

    /// Three agencies that claim one name, as the table would keep them.
    struct Claimants {
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

    impl Claimants {
        fn observe(&self, index: usize) -> Evidence {
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
            let proven = observation.proof().is_given();
            if proven {
                self.proven_at[index] = Some(self.now);
            }
            let other = self.holder.filter(|holder| *holder != index);
            let of_holder = other.map(|holder| self.observe(holder));
            let holder = other.map(|holder| Holder {
                domain: &self.domains[holder],
                evidence: of_holder.as_ref(),
            });
            let input = CheckInput {
                before: &before,
                evidence: &observation,
                holder,
                trigger,
                now: self.now,
                jitter,
            };
            let decision = outcome(&input, &names(), &[]);
            let after = decision.domain.clone();

            if after.status == Status::Verified {
                let unknown = before.status == Status::Verified && observation.proof() == Unknown;
                assert!(
                    proven || unknown || (before.status.serves() && observation.is_flattened()),
                    "verified without proof"
                );
            }
            if observation.proof() == Unknown && before.status.serves() {
                assert_eq!(before.status, after.status, "an unknown counted");
                assert_eq!(before.history.misses, after.history.misses, "an unknown counted");
            }
            if after.status == Status::Failing {
                assert!(before.status.serves());
            }
            if (before.status, after.status) == (Status::Failing, Status::Failed) {
                let last = self.proven_at[index].unwrap();
                assert!(self.now.since(last) >= 72 * HOUR, "lost too soon");
            }
            match decision.holder() {
                HolderAfter::Unchanged => assert!(!proven || before.status.serves() || other.is_none()),
                HolderAfter::Keeps(rival) => {
                    let holder = other.unwrap();
                    assert_eq!(rival.status, self.domains[holder].status);
                    assert!(!after.status.serves());
                    self.domains[holder] = rival;
                }
                HolderAfter::Loses(rival) => {
                    let holder = other.unwrap();
                    assert!(proven && after.status == Status::Verified && rival.status == Status::Failed);
                    if observation.proof() == Txt {
                        let of_holder = of_holder.unwrap();
                        assert_eq!(
                            of_holder.proof(),
                            Missing,
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
                        !failed || failed_for - due_for <= 30 * DAY,
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
            let mut world = Claimants {
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
                    SimulationEvent::Zone { cname, txt, ours } => {
                        (world.cname, world.txt, world.ours) = (cname, txt, ours);
                    }
                    SimulationEvent::Reachable(index, up) => world.up[index] = up,
                    SimulationEvent::Sweep(seconds, jitter) => {
                        world.now = world.now + Duration::from_secs(seconds);
                        world.sweep(jitter);
                    }
                    SimulationEvent::Verify(index) => world.check(index, Trigger::Verify, 0),
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
