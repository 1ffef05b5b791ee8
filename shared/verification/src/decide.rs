//! The decision of a check: one pure function of the domain, the evidence and the time. It returns the status, the history,
//! the cause of a failure and the time of the next check.

use std::time::Duration;

use shared::models::{
    domain::{Domain, FindingCode, History, Routing, Status},
    time::Timestamp,
};

use crate::dns::{Evidence, Proof};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a domain may be pending.
const WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);
/// The same if DNS never gave a definite answer.
const UNANSWERED_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);
/// A failing domain is lost at this miss since its last proof,
const MISSES: u32 = 6;
/// but not earlier than this after the first of them,
const GRACE: Duration = Duration::from_secs(72 * 3600);
/// and while a proxy may hide the `CNAME`, not earlier than this.
const PROXIED_GRACE: Duration = Duration::from_secs(14 * 24 * 3600);
/// How long a failed domain is still checked.
const FAILED_CHECKED: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the holder's proof must be missing before a newcomer's `TXT` record moves the name.
const HOLDER_MISSING: Duration = Duration::from_secs(10 * 60);
/// Scheduled checks at an interval of one minute before the interval grows.
const MINUTE_CHECKS: u32 = 10;
/// The largest jitter of the next check, in thousandths of the interval.
pub(crate) const JITTER: u32 = 100;

/// Why a domain is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// `POST …/verify`.
    Verify,
    /// The scheduled re-verification.
    Schedule,
}

/// Another agency's domain that holds the hostname.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    pub domain: &'a Domain,
    /// Not needed against a newcomer's `CNAME`.
    pub evidence: Option<&'a Evidence>,
}

#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub status: Status,
    /// [`History::cause`] says why the domain failed.
    pub history: History,
    pub routing: Routing,
    pub next_check_at: Option<Timestamp>,
    /// Whether the evidence decided anything.
    pub decided: bool,
    pub holder: HolderChange,
}

/// What becomes of another agency's domain that holds the hostname.
#[derive(Debug, Clone)]
pub(crate) enum HolderChange {
    /// There is no such domain, or this domain is not proven.
    None,
    /// It keeps the hostname, is warned, and is due soon.
    Keeps { history: History, due: Timestamp },
    /// The hostname moves to this domain.
    Loses {
        history: History,
        next_check_at: Option<Timestamp>,
    },
}

/// Decides what a check means. `holder` matters only if the domain is proven and does not hold its hostname. `jitter` is
/// -100 to 100 thousandths of the interval until the next check.
pub(crate) fn decide(
    before: &Domain,
    evidence: &Evidence,
    holder: Option<Holder<'_>>,
    trigger: Trigger,
    now: Timestamp,
    jitter: i32,
) -> Decision {
    let was = before.status;
    // Only the addresses tell a flattened CNAME from a miss. If they are unknown, the miss decides nothing.
    let proof = match evidence.proof() {
        Proof::Missing if was == Status::Verified && evidence.routing() == Routing::Unknown => Proof::Unknown,
        proof => proof,
    };
    let holder = holder.filter(|_| proof.is_given() && !was.serves());
    let moves = holder.is_some_and(|holder| match proof {
        // A name has one CNAME: its owner has chosen.
        Proof::Cname => true,
        _ => was != Status::Failed && is_missing_long_enough(&holder, now),
    });
    let is_held = holder.is_some() && !moves;

    let mut history = before.history.clone();
    count(&mut history, was, proof, evidence, trigger, now);
    let status = status_after(before, &history, proof, evidence, is_held, trigger, now);
    history.cause = match (was, status) {
        (_, Status::Verified) | (Status::Failed, Status::Pending) | (_, Status::Failing) => None,
        (Status::Failing, Status::Failed) => Some(FindingCode::Lost),
        (Status::Pending, Status::Failed) => Some(FindingCode::Expired),
        _ => history.cause,
    };
    // An unknown leaves the routing as it was.
    let routing = match evidence.routing() {
        Routing::Unknown => before.routing,
        routing => routing,
    };
    if status != was {
        (history.since, history.step, history.unknowns) = (Some(now), 0, 0);
        history.answered = evidence.proof() != Proof::Unknown;
        if !status.serves() {
            reset_hold(&mut history);
        }
    } else if status == Status::Verified && routing != before.routing {
        history.step = 0;
    } else if trigger == Trigger::Schedule {
        history.step = history.step.saturating_add(1);
    }

    let due = now + contest_interval(jitter);
    let next_check_at = match status {
        Status::Pending if is_held => Some(due),
        _ => next_check(status, routing, &history, before.created_at, proof, now, jitter),
    };
    let holder = match holder {
        None => HolderChange::None,
        Some(holder) if moves => moved(holder.domain, now, jitter),
        Some(holder) => {
            let mut history = holder.domain.history.clone();
            if let Some(evidence) = holder.evidence {
                count_missing(&mut history, evidence.proof(), now);
            }
            // The warning ends when the newcomer has missed a check.
            history.contested_until = Some(now + 2 * next_check_at.unwrap_or(due).since(now));
            HolderChange::Keeps { history, due }
        }
    };
    Decision {
        status,
        history,
        routing,
        next_check_at,
        decided: proof != Proof::Unknown || status != was,
        holder,
    }
}

/// Whether a miss may fail the domain now. Then the check asks for the finer finding codes too, to explain the failure.
pub(crate) fn may_fail(domain: &Domain, now: Timestamp) -> bool {
    let history = &domain.history;
    match domain.status {
        Status::Pending => now.since(history.since.unwrap_or(domain.created_at)) >= WINDOW,
        Status::Failing => {
            history.misses.saturating_add(1) >= MISSES && since_first_miss(history, now) >= Some(GRACE)
        }
        Status::Verified | Status::Failed => false,
    }
}

/// Counts the check as a proof, a miss or an unknown.
fn count(
    history: &mut History,
    was: Status,
    proof: Proof,
    evidence: &Evidence,
    trigger: Trigger,
    now: Timestamp,
) {
    count_missing(history, evidence.proof(), now);
    if proof != Proof::Unknown {
        history.answered = true;
        history.unknowns = 0;
    } else if trigger == Trigger::Schedule || history.unknowns == 0 {
        history.unknowns = history.unknowns.saturating_add(1);
    }
    let renewed = was == Status::Verified && evidence.is_flattened();
    if proof.is_given() {
        (history.misses, history.missed_at) = (0, None);
    } else if proof == Proof::Missing && was.serves() && !renewed {
        history.misses = history.misses.saturating_add(1);
        history.missed_at.get_or_insert(now);
    }
}

/// Remembers since when the proof has been missing. An unknown neither counts nor resets.
fn count_missing(history: &mut History, proof: Proof, now: Timestamp) {
    history.gone_since = match proof {
        Proof::Cname | Proof::Txt => None,
        // Times are stored in whole seconds. Rounded up, so that the proof is never missing for longer than it was.
        Proof::Missing => history
            .gone_since
            .or_else(|| Some(now + Duration::from_millis(999))),
        Proof::Unknown => history.gone_since,
    };
}

fn status_after(
    before: &Domain,
    history: &History,
    proof: Proof,
    evidence: &Evidence,
    is_held: bool,
    trigger: Trigger,
    now: Timestamp,
) -> Status {
    let window = if history.answered {
        WINDOW
    } else {
        UNANSWERED_WINDOW
    };
    let is_expired = now.since(history.since.unwrap_or(before.created_at)) >= window;
    let proxied = match evidence.routing() {
        Routing::Unknown => before.routing == Routing::Proxied,
        routing => routing == Routing::Proxied,
    };
    let grace = if proxied { PROXIED_GRACE } else { GRACE };
    let is_lost = history.misses >= MISSES && since_first_miss(history, now) >= Some(grace);
    match (before.status, proof) {
        (_, Proof::Cname | Proof::Txt) if !is_held => Status::Verified,
        (Status::Verified, Proof::Missing) if !evidence.is_flattened() => Status::Failing,
        (Status::Failing, Proof::Missing) if is_lost => Status::Failed,
        (Status::Pending, _) if is_expired => Status::Failed,
        (Status::Failed, _) if trigger == Trigger::Verify => Status::Pending,
        (status, _) => status,
    }
}

fn since_first_miss(history: &History, now: Timestamp) -> Option<Duration> {
    history.missed_at.map(|first| now.since(first))
}

/// Resets the miss and contest counters when the hold ends.
fn reset_hold(history: &mut History) {
    (history.misses, history.missed_at) = (0, None);
    (history.gone_since, history.contested_until) = (None, None);
}

/// Whether the holder's proof is missing now, and was missing at least 10 minutes ago and at every check since.
fn is_missing_long_enough(holder: &Holder<'_>, now: Timestamp) -> bool {
    let missing = holder
        .evidence
        .is_some_and(|evidence| evidence.proof() == Proof::Missing);
    let since = holder.domain.history.gone_since;
    missing && since.is_some_and(|since| since <= now && now.since(since) >= HOLDER_MISSING)
}

fn moved(holder: &Domain, now: Timestamp, jitter: i32) -> HolderChange {
    let history = History {
        since: Some(now),
        cause: Some(FindingCode::Moved),
        ..History::default()
    };
    let next_check_at = next_check(
        Status::Failed,
        holder.routing,
        &history,
        holder.created_at,
        Proof::Missing,
        now,
        jitter,
    );
    HolderChange::Loses {
        history,
        next_check_at,
    }
}

/// The time of the next check; `None` if there is none.
fn next_check(
    status: Status,
    routing: Routing,
    history: &History,
    created_at: Timestamp,
    proof: Proof,
    now: Timestamp,
    jitter: i32,
) -> Option<Timestamp> {
    let own = match status {
        Status::Pending => growing_interval(history.step, 4 * HOUR),
        Status::Verified if routing == Routing::Elsewhere => growing_interval(history.step, HOUR),
        Status::Failing => HOUR,
        Status::Verified | Status::Failed => DAY,
    };
    let doublings = history.unknowns.saturating_sub(1).min(10);
    let backoff = (5 * MINUTE * (1 << doublings)).min(4 * HOUR);
    let interval = match (proof, status) {
        (Proof::Unknown, Status::Pending) => backoff.min(own),
        (Proof::Unknown, _) => backoff,
        _ => own,
    };
    let permille = u32::try_from(1000 + jitter.clamp(-100, 100)).unwrap_or(1000);
    let next = now + interval * permille / 1000;
    let end = history.since.unwrap_or(created_at) + FAILED_CHECKED;
    (status != Status::Failed || next <= end).then_some(next)
}

/// One minute for the first steps, then each interval is 1.5 times the last one, up to `longest`.
fn growing_interval(step: u32, longest: Duration) -> Duration {
    let mut interval = MINUTE;
    for _ in MINUTE_CHECKS..=step {
        if interval >= longest {
            break;
        }
        interval = interval * 3 / 2;
    }
    interval.min(longest)
}

/// 10 to 11 minutes, with a second to spare at both ends because times are stored in whole seconds.
fn contest_interval(jitter: i32) -> Duration {
    let spread = u64::try_from(jitter.clamp(-100, 100) + 100).unwrap_or_default();
    HOLDER_MISSING + Duration::from_millis(2_000 + spread * 280)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contested_name_is_due_after_10_to_11_minutes() {
        for jitter in -100..=100 {
            let interval = contest_interval(jitter);
            assert!((10 * MINUTE..=11 * MINUTE).contains(&interval), "{jitter}");
        }
    }
}
