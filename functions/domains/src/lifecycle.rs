//! Decides what a check's observation means for a domain: one pure function.

use std::time::Duration;

use shared::models::{
    domain::{Check, Domain, Finding, FindingCode, Level, Status},
    time::Timestamp,
};

use crate::dns::{Observation, Proof};

/// The domain after a check. `held` says that another agency's domain holds the name.
pub fn decide(mut domain: Domain, seen: Observation, held: bool, now: Timestamp) -> Domain {
    let before = domain.clone();
    let mut findings = seen.findings;
    let proven = matches!(seen.proof, Proof::Cname | Proof::Txt);
    domain.status = match (domain.status, seen.proof) {
        (status, Proof::Unknown) => status,
        (Status::Verified, _) if proven => Status::Verified,
        (status, _) if proven && held => {
            findings.insert(0, held_elsewhere());
            match status {
                Status::Failed => Status::Pending,
                status => status,
            }
        }
        (_, Proof::Cname | Proof::Txt) => Status::Verified,
        (Status::Pending | Status::Failed, Proof::Missing) => Status::Pending,
        (Status::Verified | Status::Failing, Proof::Missing) => Status::Failing,
    };
    if domain.status == Status::Verified && before.status != Status::Verified {
        domain.verified_at = Some(now);
    }
    domain.routing = seen.routing;
    domain.ownership = seen.ownership;
    domain.route = seen.route;
    let changed = (before.status, before.routing, before.ownership, before.route)
        != (domain.status, domain.routing, domain.ownership, domain.route);
    if changed {
        domain.updated_at = now;
    }
    let attempts = domain
        .check
        .as_ref()
        .map_or(0, |check| check.attempts)
        .saturating_add(1);
    domain.check = Some(Check {
        checked_at: Some(now),
        next_check_at: Some(now + interval(domain.status)),
        attempts,
        zone: seen.zone,
        nameservers: seen.nameservers,
        provider: seen.provider,
        problem: findings
            .iter()
            .find(|finding| finding.level != Level::Warning)
            .cloned(),
        findings,
    });
    domain
}

fn interval(status: Status) -> Duration {
    Duration::from_secs(match status {
        Status::Pending => 60,
        Status::Failing => 3600,
        Status::Verified | Status::Failed => 24 * 3600,
    })
}

fn held_elsewhere() -> Finding {
    Finding {
        code: FindingCode::HeldElsewhere,
        level: Level::Error,
        detail: "Your record was found, but another account holds this host name.".to_owned(),
        fix: "Remove the other account's verification record from DNS.".to_owned(),
        expected: None,
        observed: Vec::new(),
    }
}
