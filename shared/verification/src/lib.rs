//! How a custom domain is proven. A [`Checker`] gathers the evidence from DNS (`dns`), decides what it means (`decide`),
//! explains it (`findings`) and writes the result, together with the holder of the hostname.

use std::time::Instant;

use shared::{
    app::App,
    models::{
        domain::{Domain, Status},
        id::OrgId,
        time::Timestamp,
    },
    random,
    store::{self, Author, Change, Checked, DomainRecord, Retry},
};
use thiserror::Error as ThisError;
use tokio::sync::Semaphore;

mod decide;
pub mod dns;
mod findings;
mod limit;
mod outcome;

pub use decide::{Holder, Trigger};
pub use dns::Dns;
pub use findings::{Facts, explain};

use decide::{JITTER, may_fail};
use dns::{Depth, Evidence, Operator, Proof, Session};
use limit::{ConcurrencyLimit, Permit};
use outcome::{Outcome, outcome};

/// Results written at the same time. Each write needs a connection with buffers of its own: with 32, memory grew 1.7 times
/// from 1,000 to 100,000 due domains.
const CONCURRENT_WRITES: usize = 16;
/// Attempts of a write by the system. After that the check stays due.
const SYSTEM_ATTEMPTS: u32 = 3;

/// Checks domains. One serves a sweep or a request: its checks share a [`Session`].
pub struct Checker<'a> {
    app: &'a App,
    dns: &'a Dns,
    session: Session,
}

/// A domain and the evidence of its check.
#[derive(Debug)]
pub struct Observed {
    record: Box<DomainRecord>,
    trigger: Trigger,
    evidence: Evidence,
}

/// How a check ended.
#[derive(Debug)]
pub enum Settled {
    /// The result was written.
    Written {
        before: Status,
        domain: Box<Domain>,
        /// Whether the evidence decided anything.
        decided: bool,
        /// Whether the hostname moved from another agency's domain to this one.
        moved: bool,
    },
    /// Another write came first, and the result was discarded. This is the domain as that write left it.
    Superseded(Box<Domain>),
}

/// Other checks kept the name servers of this one busy for 2 s. Nothing was concluded; the check can start again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
#[error("other checks keep the name servers busy")]
pub struct Busy;

/// Why a check could not be settled.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The holder's check was given up.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The table: the domain was deleted, or DynamoDB does not answer.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<Busy> for store::Error {
    fn from(busy: Busy) -> Self {
        Self::Unavailable(busy.into())
    }
}

impl From<Error> for store::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Busy(busy) => busy.into(),
            Error::Store(error) => error,
        }
    }
}

/// Limits of the writes of a sweep: one status change of an agency at a time, because each changes the agency's counters,
/// and 16 writes in all.
#[derive(Debug)]
pub struct Turns {
    agencies: ConcurrencyLimit<OrgId>,
    writes: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            agencies: ConcurrencyLimit::new(1),
            writes: Semaphore::new(CONCURRENT_WRITES),
        }
    }
}

impl Turns {
    /// Waits for the turn of each of these agencies. They are taken in one order, so that no two checks wait for each other.
    async fn take(&self, mut agencies: Vec<OrgId>) -> Vec<Permit<'_, OrgId>> {
        agencies.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        agencies.dedup();
        let mut permits = Vec::with_capacity(agencies.len());
        for agency in agencies {
            permits.push(self.agencies.acquire(agency).await);
        }
        permits
    }
}

impl Observed {
    pub fn domain(&self) -> &Domain {
        self.record.domain()
    }
}

impl Settled {
    /// The domain as it is stored now.
    pub fn into_domain(self) -> Domain {
        match self {
            Self::Written { domain, .. } | Self::Superseded(domain) => *domain,
        }
    }
}

impl<'a> Checker<'a> {
    pub fn new(app: &'a App, dns: &'a Dns) -> Self {
        Self {
            app,
            dns,
            session: Session::default(),
        }
    }

    /// Gathers the evidence of a custom domain from DNS.
    ///
    /// # Errors
    /// [`Busy`]
    pub async fn observe(&self, record: Box<DomainRecord>, trigger: Trigger) -> Result<Observed, Busy> {
        let depth = match trigger {
            Trigger::Schedule if !may_fail(record.domain(), self.app.clock.now()) => Depth::Renewal,
            _ => Depth::Diagnose,
        };
        Ok(Observed {
            evidence: self.gather(record.domain(), depth).await?,
            record,
            trigger,
        })
    }

    /// Decides what the evidence means and writes it, for the domain and for the holder of its hostname together. If the
    /// holder changes before the write, it is read and decided again. No attempt starts after `deadline`, and the system
    /// makes three.
    ///
    /// # Errors
    /// [`Error::Busy`]. [`store::Error::NotFound`]: the domain was deleted. [`store::Error::Conflict`] and
    /// [`store::Error::Unavailable`]: no attempt succeeded, and nothing was written.
    pub async fn settle(
        &self,
        mut observed: Observed,
        author: Author<'_>,
        deadline: Instant,
        turns: &Turns,
    ) -> Result<Settled, Error> {
        self.look_up_other_token(&mut observed).await?;
        let mut retry = Retry::until(deadline);
        if matches!(author, Author::System) {
            retry = retry.up_to(SYSTEM_ATTEMPTS);
        }
        let mut holder: Option<(Box<DomainRecord>, Option<Evidence>)> = None;
        loop {
            holder = self.holder(&observed, holder).await?;
            let now = self.app.clock.now();
            let result = decide_outcome(self.app, &observed, holder.as_ref(), now);
            let holder_after = holder.as_ref().zip(result.holder);
            let holder_change = holder_after.map(|((before, _), after)| Change { before, after });
            let before = observed.domain().status;
            let moved = holder_change
                .as_ref()
                .is_some_and(|change| !change.after.status.serves());
            let permits = match before == result.domain.status {
                true => Vec::new(),
                false => {
                    let holder = holder_change.iter().map(|change| change.after.agency_id.clone());
                    turns
                        .take(holder.chain([result.domain.agency_id.clone()]).collect())
                        .await
                }
            };
            // The semaphore is never closed.
            let write_permit = turns.writes.acquire().await;
            let change = Change {
                before: &observed.record,
                after: result.domain,
            };
            let checked = self
                .app
                .store
                .finish_check(author, now, change, holder_change, &mut retry);
            match checked.await? {
                Checked::Written(domain) => {
                    return Ok(Settled::Written {
                        before,
                        domain,
                        decided: result.decided,
                        moved,
                    });
                }
                Checked::Superseded(domain) => return Ok(Settled::Superseded(domain)),
                Checked::HolderChanged => {}
            }
            drop((permits, write_permit));
            retry.wait().await?;
        }
    }

    /// Whether the token of another target is the token of another domain of the same agency.
    async fn look_up_other_token(&self, observed: &mut Observed) -> Result<(), store::Error> {
        if let Some(token) = observed.evidence.other_token() {
            let known = self
                .app
                .store
                .has_token(&observed.domain().agency_id, token)
                .await?;
            observed.evidence.set_token_of_same_agency(known);
        }
        Ok(())
    }

    /// The other agency's domain that holds the hostname, if the check must know it, and its evidence against a `TXT` proof.
    /// `last` is the holder of the last attempt: its evidence is not gathered twice.
    async fn holder(
        &self,
        observed: &Observed,
        last: Option<(Box<DomainRecord>, Option<Evidence>)>,
    ) -> Result<Option<(Box<DomainRecord>, Option<Evidence>)>, Error> {
        let (domain, proof) = (observed.domain(), observed.evidence.proof());
        if !proof.is_given() || domain.status.serves() {
            return Ok(None);
        }
        let Some(record) = self.app.store.other_holder(domain).await? else {
            return Ok(None);
        };
        let evidence = match last {
            _ if proof != Proof::Txt => None,
            Some((before, Some(evidence))) if before.domain().id == record.domain().id => Some(evidence),
            _ => Some(self.gather(record.domain(), Depth::Full).await?),
        };
        Ok(Some((Box::new(record), evidence)))
    }

    async fn gather(&self, domain: &Domain, depth: Depth) -> Result<Evidence, Busy> {
        let operator = Operator::from(&*self.app.config);
        self.dns.gather(domain, &operator, depth, &self.session).await
    }
}

fn decide_outcome(
    app: &App,
    observed: &Observed,
    holder: Option<&(Box<DomainRecord>, Option<Evidence>)>,
    now: Timestamp,
) -> Outcome {
    let holder = holder.map(|(record, evidence)| Holder {
        domain: record.domain(),
        evidence: evidence.as_ref(),
    });
    let jitter = random::below(2 * JITTER + 1) as i32 - JITTER as i32;
    outcome(
        observed.domain(),
        &observed.evidence,
        holder,
        &app.config.names,
        observed.trigger,
        now,
        jitter,
    )
}
