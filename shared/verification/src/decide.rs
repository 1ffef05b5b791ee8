//! The decision of a check: one pure function of the domain, the evidence and the time. It returns the status, the history,
//! the cause of a failure and the time of the next check.

use std::time::Duration;

use shared::models::{
    domain::{Domain, FindingCode, History, Routing, Status},
    time::Timestamp,
};

use crate::dns::{CheckResult, Evidence, Proof};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a domain may be pending.
const WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);
/// The same if DNS never gave a definite answer.
const UNANSWERED_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);
/// A failing domain fails at this miss since its last proof, if [`GRACE`] has passed too.
const MISSES: u32 = 6;
/// How long after the first of these misses a failing domain stays failing at least.
const GRACE: Duration = Duration::from_secs(72 * 3600);
/// The same while a proxy may hide the `CNAME`.
const PROXIED_GRACE: Duration = Duration::from_secs(14 * 24 * 3600);
/// How long a failed domain is still checked.
const FAILED_CHECKED: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the holder's proof must be missing before a newcomer's `TXT` record moves the name.
const HOLDER_MISSING: Duration = Duration::from_secs(10 * 60);
/// An unconfirmed proof counts this long after it was first seen.
const UNCONFIRMED_PROOF: Duration = Duration::from_secs(10 * 60);
/// Scheduled checks at an interval of one minute before the interval grows.
const MINUTE_CHECKS: u32 = 10;
/// The longest interval of a pending domain.
const PENDING_INTERVAL: Duration = Duration::from_secs(4 * 3600);
/// The longest interval of a verified domain whose traffic goes elsewhere.
const ELSEWHERE_INTERVAL: Duration = HOUR;
const FAILING_INTERVAL: Duration = HOUR;
/// Of verified and failed domains.
const DAILY_INTERVAL: Duration = DAY;
/// The first interval after a check without a definite answer. Each further one doubles it.
const UNKNOWN_BACKOFF: Duration = Duration::from_secs(5 * 60);
const MAX_UNKNOWN_BACKOFF: Duration = Duration::from_secs(4 * 3600);
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

/// What a check is decided from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckInput<'a> {
    /// The domain before the check.
    pub before: &'a Domain,
    pub evidence: &'a Evidence,
    /// Needed only if the domain is proven and does not serve yet.
    pub holder: Option<Holder<'a>>,
    pub trigger: Trigger,
    pub now: Timestamp,
    /// -100 to 100 thousandths of the interval until the next check.
    pub jitter: i32,
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
    /// Whether the evidence decided anything, or the status changed all the same.
    pub decided: bool,
    pub holder: HolderChange,
}

/// What becomes of another agency's domain that holds the hostname.
#[derive(Debug, Clone)]
pub(crate) enum HolderChange {
    /// There is no such domain, or this domain is not proven or serves already.
    None,
    /// It keeps the hostname, is warned, and is due soon.
    Keeps { history: History, due: Timestamp },
    /// The hostname moves to this domain.
    Loses {
        history: History,
        next_check_at: Timestamp,
    },
}

impl CheckInput<'_> {
    /// Decides what the check means.
    pub(crate) fn decide(&self) -> Decision {
        let (before, evidence, was, now) = (self.before, self.evidence, self.before.status, self.now);
        let result = evidence.result_for(was);
        let holder = self
            .holder
            .filter(|_| result == CheckResult::Proven && !was.serves());
        let moves = holder.is_some_and(|holder| match evidence.proof() {
            // A name has one CNAME: its owner has chosen.
            Proof::Cname => true,
            // Several TXT records stand side by side. A failed domain's may be a leftover, so a person must ask first.
            _ => was != Status::Failed && holder.is_missing_long_enough(now),
        });
        let is_held = holder.is_some() && !moves;

        let mut history = self.count(result);
        let status = self.status(result, &history, is_held);
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
                // Reset the miss and contest counters when the hold ends.
                (history.misses, history.missed_at) = (0, None);
                (history.gone_since, history.contested_until) = (None, None);
                history.only_unconfirmed_proofs = false;
            }
        } else if status == Status::Verified && routing != before.routing {
            history.step = 0;
        } else if self.trigger == Trigger::Schedule {
            history.step = history.step.saturating_add(1);
        }

        let due = now + contest_interval(self.jitter);
        let next_check_at = match status {
            Status::Pending if is_held => Some(due),
            _ => self.next_check(status, routing, &history, result),
        };
        let holder = match holder {
            None => HolderChange::None,
            Some(_) if moves => self.holder_loses(),
            Some(holder) => self.holder_keeps(holder, due, next_check_at),
        };
        Decision {
            status,
            history,
            routing,
            next_check_at,
            decided: result != CheckResult::Unknown || status != was,
            holder,
        }
    }

    fn holder_loses(&self) -> HolderChange {
        HolderChange::Loses {
            history: History {
                since: Some(self.now),
                cause: Some(FindingCode::Moved),
                ..History::default()
            },
            next_check_at: self.after(DAY),
        }
    }

    /// The holder is due again at `due`, and this domain at `next`.
    fn holder_keeps(&self, holder: Holder<'_>, due: Timestamp, next: Option<Timestamp>) -> HolderChange {
        let mut history = holder.domain.history.clone();
        if let Some(evidence) = holder.evidence {
            count_missing(&mut history, evidence.proof(), self.now);
        }
        // The warning ends when two checks of this domain in a row have not renewed it.
        history.contested_until = Some(self.now + 2 * next.unwrap_or(due).since(self.now));
        HolderChange::Keeps { history, due }
    }

    /// The history with this check counted as a proof, a miss or an unknown.
    fn count(&self, result: CheckResult) -> History {
        let mut history = self.before.history.clone();
        count_missing(&mut history, self.evidence.proof(), self.now);
        if result != CheckResult::Unknown {
            history.answered = true;
            history.unknowns = 0;
        } else if self.trigger == Trigger::Schedule || history.unknowns == 0 {
            history.unknowns = history.unknowns.saturating_add(1);
        }
        let is_unconfirmed = self.evidence.unconfirmed_proof.is_some();
        match result {
            CheckResult::Proven if is_unconfirmed => history.only_unconfirmed_proofs = true,
            CheckResult::Proven => {
                (history.unconfirmed_since, history.only_unconfirmed_proofs) = (None, false)
            }
            CheckResult::Missed => history.unconfirmed_since = None,
            CheckResult::Unknown if is_unconfirmed => {
                history.unconfirmed_since.get_or_insert(rounded_up(self.now));
            }
            CheckResult::Renewed | CheckResult::Unknown => {}
        }
        match result {
            CheckResult::Proven | CheckResult::Renewed => (history.misses, history.missed_at) = (0, None),
            CheckResult::Missed if self.before.status.serves() => {
                history.misses = history.misses.saturating_add(1);
                history.missed_at.get_or_insert(self.now);
            }
            CheckResult::Missed | CheckResult::Unknown => {}
        }
        history
    }

    /// The status after the check. Only a proof or a miss moves a domain that serves: an unknown never does.
    fn status(&self, result: CheckResult, history: &History, is_held: bool) -> Status {
        use CheckResult::{Missed, Proven, Renewed};
        let window = if history.answered {
            WINDOW
        } else {
            UNANSWERED_WINDOW
        };
        let is_expired = self.now.since(self.before.since()) >= window;
        let proxied = match self.evidence.routing() {
            Routing::Unknown => self.before.routing == Routing::Proxied,
            routing => routing == Routing::Proxied,
        };
        let grace = if proxied { PROXIED_GRACE } else { GRACE };
        let is_lost = history.misses >= MISSES && since_first_miss(history, self.now) >= Some(grace);
        match (self.before.status, result) {
            (_, Proven) if !is_held => Status::Verified,
            (Status::Failing, Renewed) => Status::Verified,
            (Status::Verified, Missed) => Status::Failing,
            (Status::Failing, Missed) if is_lost => Status::Failed,
            (Status::Pending, _) if is_expired => Status::Failed,
            (Status::Failed, _) if self.trigger == Trigger::Verify => Status::Pending,
            (status, _) => status,
        }
    }

    /// The time of the next check; `None` if there is none.
    fn next_check(
        &self,
        status: Status,
        routing: Routing,
        history: &History,
        result: CheckResult,
    ) -> Option<Timestamp> {
        let own = match status {
            Status::Pending => growing_interval(history.step, PENDING_INTERVAL),
            Status::Verified if routing == Routing::Elsewhere => {
                growing_interval(history.step, ELSEWHERE_INTERVAL)
            }
            Status::Failing => FAILING_INTERVAL,
            Status::Verified | Status::Failed => DAILY_INTERVAL,
        };
        let doublings = history.unknowns.saturating_sub(1).min(10);
        let backoff = (UNKNOWN_BACKOFF * (1 << doublings)).min(MAX_UNKNOWN_BACKOFF);
        let next = self.after(match (result, status) {
            (CheckResult::Unknown, Status::Pending) => backoff.min(own),
            (CheckResult::Unknown, Status::Verified | Status::Failing) => backoff,
            _ => own,
        });
        let end = history.since.unwrap_or(self.before.created_at) + FAILED_CHECKED;
        (status != Status::Failed || next <= end).then_some(next)
    }

    /// The end of an interval that starts now, with jitter.
    fn after(&self, interval: Duration) -> Timestamp {
        let permille = u32::try_from(1000 + self.jitter.clamp(-100, 100)).unwrap_or(1000);
        self.now + interval * permille / 1000
    }
}

impl Holder<'_> {
    /// Whether the proof is missing now, has been for at least 10 minutes, and was not seen in between. An unknown in
    /// between neither counts nor resets.
    fn is_missing_long_enough(&self, now: Timestamp) -> bool {
        let proof = self.evidence.map(Evidence::proof);
        let since = self.domain.history.gone_since;
        proof == Some(Proof::Missing)
            && since.is_some_and(|since| since <= now && now.since(since) >= HOLDER_MISSING)
    }
}

/// Whether this check could make the domain `failed`, by the shortest window and the shortest grace. Then it asks for the
/// finer finding codes too, to explain the failure.
pub(crate) fn may_fail(domain: &Domain, now: Timestamp) -> bool {
    let history = &domain.history;
    match domain.status {
        Status::Pending => now.since(domain.since()) >= WINDOW,
        Status::Failing => {
            history.misses.saturating_add(1) >= MISSES && since_first_miss(history, now) >= Some(GRACE)
        }
        Status::Verified | Status::Failed => false,
    }
}

/// Remembers since when there has been no proof, even where a flattened name renews the domain: against a newcomer's proof
/// it counts as missing. An unknown neither counts nor resets.
fn count_missing(history: &mut History, proof: Proof, now: Timestamp) {
    match proof {
        Proof::Cname | Proof::Txt => history.gone_since = None,
        Proof::Missing => {
            history.gone_since.get_or_insert(rounded_up(now));
        }
        Proof::Unknown => {}
    }
}

/// A stored time loses its fraction of a second. Rounded up, so that 10 minutes never end early.
fn rounded_up(now: Timestamp) -> Timestamp {
    now + Duration::from_millis(999)
}

/// Whether an unconfirmed proof counts: an earlier check saw it too, at least 10 minutes before. Not for a domain that
/// serves.
pub(crate) fn counts_unconfirmed_proof(domain: &Domain, now: Timestamp) -> bool {
    let since = domain.history.unconfirmed_since;
    !domain.status.serves()
        && since.is_some_and(|since| since <= now && now.since(since) >= UNCONFIRMED_PROOF)
}

fn since_first_miss(history: &History, now: Timestamp) -> Option<Duration> {
    history.missed_at.map(|first| now.since(first))
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

/// 10 to 11 minutes, with two seconds to spare at both ends: stored times lose their fraction of a second.
fn contest_interval(jitter: i32) -> Duration {
    let spread = u64::try_from(jitter.clamp(-100, 100) + 100).unwrap_or_default();
    HOLDER_MISSING + Duration::from_millis(2_000 + spread * 280)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shared::store::LABEL_KEPT;

    use super::*;

    #[test]
    fn a_contested_name_is_due_after_10_to_11_minutes() {
        for jitter in -100..=100 {
            let interval = contest_interval(jitter);
            assert!((10 * MINUTE..=11 * MINUTE).contains(&interval), "{jitter}");
        }
        for (jitter, seconds) in [
            (i32::MIN, 602),
            (-100, 602),
            (0, 630),
            (100, 658),
            (i32::MAX, 658),
        ] {
            assert_eq!(contest_interval(jitter).as_secs(), seconds, "{jitter}");
        }
    }

    #[test]
    fn a_stored_begin_is_not_before_the_check() {
        for (millis, seconds) in [(1000, 1), (1001, 2), (1999, 2), (2000, 2)] {
            assert_eq!(
                rounded_up(Timestamp::from_millis(millis)).seconds(),
                seconds,
                "{millis}"
            );
        }
    }

    #[test]
    fn the_operators_page_has_the_times_of_the_lifecycle() {
        let page = include_str!("../../../OPERATIONS.md");
        let hours = |time: Duration| match time.as_secs() / 3600 {
            1 => "1 hour".to_owned(),
            hours => format!("{hours} hours"),
        };
        let days = |time: Duration| format!("{} days", time.as_secs() / DAY.as_secs());
        let minutes = |time: Duration| format!("{} minutes", time.as_secs() / 60);
        let (_, table) = page.split_once("\n### Lifecycle\n").unwrap();
        let (table, _) = table.split_once("\n#").unwrap();
        let mut rows: BTreeSet<_> = table
            .lines()
            .filter(|line| line.starts_with("| ") && *line != "| | |")
            .collect();
        for (row, value) in [
            (
                "a `verified` domain without its records becomes `failing` at",
                "1 miss".to_owned(),
            ),
            (
                "of two domains of a name that both prove it",
                "after 10 to 11 minutes".to_owned(),
            ),
            (
                "the label of a deleted subdomain that existed for a day is kept for its agency for",
                days(LABEL_KEPT),
            ),
            (
                "a `pending` domain without a proof becomes `failed` (`expired`) after",
                days(WINDOW),
            ),
            (
                "the same, if no check of it gave a definite answer",
                days(UNANSWERED_WINDOW),
            ),
            (
                "a `failing` domain becomes `failed` (`lost`), and stops serving, at",
                format!(
                    "{MISSES} misses since the last proof, and {} after the first one",
                    hours(GRACE)
                ),
            ),
            (
                "the same, while a proxy hides the `CNAME`",
                format!("{MISSES} misses, and {} after the first one", days(PROXIED_GRACE)),
            ),
            ("a `failed` domain is checked for another", days(FAILED_CHECKED)),
            (
                "a name moves to another agency's `TXT` record, if its holder's proof was missing for",
                minutes(HOLDER_MISSING),
            ),
            (
                "the next check of a `pending` domain",
                format!(
                    "after 1 minute, {MINUTE_CHECKS} times; then 1.5 times later each time, up to {}",
                    hours(PENDING_INTERVAL)
                ),
            ),
            (
                "of a `verified` domain",
                format!("after {}", hours(DAILY_INTERVAL)),
            ),
            (
                "of a `verified` domain whose traffic goes elsewhere",
                format!("as for `pending`, up to {}", hours(ELSEWHERE_INTERVAL)),
            ),
            (
                "of a `failing` domain",
                format!("after {}", hours(FAILING_INTERVAL)),
            ),
            ("of a `failed` domain", format!("after {}", hours(DAILY_INTERVAL))),
            (
                "after a check without a definite answer",
                format!(
                    "after {}, doubling, up to {}; a `pending` domain not later than by its own row, a `failed` one by its own row",
                    minutes(UNKNOWN_BACKOFF),
                    hours(MAX_UNKNOWN_BACKOFF)
                ),
            ),
        ] {
            let row = format!("| {row} | {value} |");
            assert!(rows.remove(row.as_str()), "OPERATIONS.md lacks {row}");
        }
        assert_eq!(rows, BTreeSet::new(), "rows that no test holds");
    }
}
