//! How a custom domain is proven. A [`Checker`] gathers the evidence from DNS (`dns`), decides what it means (`decide`),
//! explains it (`findings`), sees which certificate the edge presents (`edge`) and writes the result, together with the holder of
//! the hostname.

use std::{
    io,
    time::{Duration, Instant},
};

use shared::{
    app::App,
    config::Config,
    models::{
        domain::{Domain, Status},
        id::OrgId,
        time::Timestamp,
    },
    random,
    store::{self, Author, Change, Checked, DomainRecord, Retry},
};
use thiserror::Error;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout_at,
};

mod decide;
pub mod dns;
mod edge;
pub mod findings;
mod limit;
mod outcome;

pub use decide::{Holder, Trigger};
pub use dns::Dns;
pub use edge::Edge;
pub use findings::{Facts, explain};

use decide::{CheckInput, JITTER, may_fail};
use dns::{Depth, Evidence, Operator, Proof, Session};
use edge::{Handshakes, Presented};
use limit::{ConcurrencyLimit, Permit};
use outcome::{Outcome, outcome};

/// Results written at the same time. Each write needs a connection with buffers of its own: with 32, memory grew 1.7 times
/// from 1,000 to 100,000 due domains.
const CONCURRENT_WRITES: usize = 16;
/// Attempts of a write by a sweep. After that the check stays due.
const SCHEDULED_ATTEMPTS: u32 = 3;

/// Time that remains for the write of a result after the handshake with the edge.
const WRITE_RESERVE: Duration = Duration::from_secs(1);

/// The clients of checks: of DNS and of the edge.
#[derive(Debug, Clone)]
pub struct Network {
    pub dns: Dns,
    pub edge: Edge,
}

impl Network {
    /// # Errors
    /// Those of [`Dns::new`] and [`Edge::new`].
    pub fn new(config: &Config) -> io::Result<Self> {
        Ok(Self {
            dns: Dns::new(&config.dns)?,
            edge: Edge::new(&config.edge)?,
        })
    }
}

/// Checks domains. One serves a sweep or a request: its checks share a [`Session`].
pub struct Checker<'a> {
    app: &'a App,
    network: &'a Network,
    session: Session,
    handshakes: Handshakes,
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
        /// Whether the evidence decided anything, or the status changed all the same.
        decided: bool,
        /// Whether the hostname moved from another agency's domain to this one.
        moved: bool,
    },
    /// Another write came first, and the result was discarded. This is the domain as that write left it.
    Superseded(Box<Domain>),
}

/// This check waited 2 s for other checks of the session: for their queries to the same servers, or for a delegation or an
/// address that they look up. Nothing was concluded; the check can start again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("other checks keep the name servers busy")]
pub struct Busy;

/// Why a check could not be settled.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The check of the domain or of its holder was given up.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The table: the domain was deleted, or DynamoDB does not answer.
    #[error(transparent)]
    Store(#[from] store::Error),
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

/// Held while a result is written.
struct WritePermit<'a> {
    _agencies: Vec<Permit<'a, OrgId>>,
    _write: Option<SemaphorePermit<'a>>,
}

impl Turns {
    /// Waits until a write may start that changes the counters of these agencies. They are taken in one order, so that no two
    /// checks wait for each other.
    async fn take(&self, mut agencies: Vec<OrgId>) -> WritePermit<'_> {
        agencies.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        agencies.dedup();
        let mut permits = Vec::with_capacity(agencies.len());
        for agency in agencies {
            permits.push(self.agencies.acquire(agency).await);
        }
        WritePermit {
            _agencies: permits,
            // The semaphore is never closed.
            _write: self.writes.acquire().await.ok(),
        }
    }
}

/// Another agency's domain that holds the hostname.
struct ObservedHolder {
    record: Box<DomainRecord>,
    /// `None` against a proof by `CNAME`.
    evidence: Option<Evidence>,
}

impl Observed {
    fn domain(&self) -> &Domain {
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

fn with_certificate(domain: Domain, presented: Presented, now: Timestamp) -> Domain {
    let routed = now.since(domain.history.routed_at.unwrap_or(now));
    Domain {
        tls: Some(presented.certificate(routed, now)),
        ..domain
    }
}

impl<'a> Checker<'a> {
    pub fn new(app: &'a App, network: &'a Network) -> Self {
        Self {
            app,
            network,
            session: Session::default(),
            handshakes: Handshakes::default(),
        }
    }

    /// Whether the resolvers find an address of a random name below `PORTAL_DOMAIN_TARGET`.
    pub async fn resolves_target(&self) -> bool {
        let operator = Operator::from(&*self.app.config);
        self.network.dns.resolves_target(&operator, &self.session).await
    }

    /// Gathers the evidence of a custom domain from DNS.
    ///
    /// # Errors
    /// [`Busy`]
    pub async fn observe(&self, record: Box<DomainRecord>, trigger: Trigger) -> Result<Observed, Busy> {
        let depth = match trigger {
            Trigger::Schedule if !may_fail(record.domain(), self.app.clock.now()) => Depth::Scheduled,
            _ => Depth::Diagnose,
        };
        Ok(Observed {
            evidence: self.gather(record.domain(), depth).await?,
            record,
            trigger,
        })
    }

    /// Decides what the evidence means and writes it, for the domain and for the holder of its hostname together. If the
    /// holder changes before the write, it is read and decided again. No attempt is repeated after `deadline`, and by the
    /// system more than twice.
    ///
    /// # Errors
    /// [`CheckError::Busy`]. [`store::Error::NotFound`]: the domain was deleted. [`store::Error::Conflict`] and
    /// [`store::Error::Unavailable`]: no attempt succeeded, and nothing was written. [`store::Error::Unanswered`]: it may have
    /// been written.
    pub async fn settle(
        &self,
        mut observed: Observed,
        author: Author<'_>,
        deadline: Instant,
        turns: &Turns,
    ) -> Result<Settled, CheckError> {
        let store = &self.app.store;
        if let Some(token) = &observed.evidence.other_token {
            let agency = &observed.domain().agency_id;
            observed.evidence.token_of_same_agency = store.has_token(agency, token).await?;
        }
        let mut retry = Retry::until(deadline);
        if observed.trigger == Trigger::Schedule {
            retry = retry.up_to(SCHEDULED_ATTEMPTS);
        }
        let before = observed.domain().status;
        let (mut holder, mut presented) = (None, None);
        loop {
            holder = self.holder(&observed, holder).await?;
            let now = self.app.clock.now();
            let Outcome {
                mut domain,
                holder: holder_after,
                moves,
                decided,
            } = self.outcome(&observed, holder.as_ref(), now);
            // A domain that begins to be served has its handshake after this write: an edge that gets certificates on demand asks
            // whether the host is served.
            if domain.needs_certificate() && before.serves() {
                if presented.is_none() {
                    presented = self.presented(&domain, &observed.evidence, now, deadline).await;
                }
                if let Some(presented) = presented.clone() {
                    domain = with_certificate(domain, presented, now);
                }
            }
            let mut agencies = Vec::new();
            if store::changes_counters(observed.domain(), &domain) {
                agencies.push(domain.agency_id.clone());
                agencies.extend(holder_after.iter().map(|holder| holder.agency_id.clone()));
            }
            let holder_change = holder.as_ref().zip(holder_after).map(|(holder, after)| Change {
                before: &holder.record,
                after,
            });
            let change = Change {
                before: &observed.record,
                after: domain,
            };
            let permits = turns.take(agencies).await;
            let written = store
                .finish_check(author, now, change, holder_change, &mut retry)
                .await?;
            match written {
                Checked::Written(record) => {
                    drop(permits);
                    let evidence = &observed.evidence;
                    let domain = match record.domain().needs_certificate() && !before.serves() {
                        true => {
                            self.add_certificate(*record, evidence, author, deadline, turns)
                                .await
                        }
                        false => record.into_domain(),
                    };
                    return Ok(Settled::Written {
                        before,
                        domain: Box::new(domain),
                        decided,
                        moved: moves,
                    });
                }
                Checked::Superseded(domain) => return Ok(Settled::Superseded(domain)),
                Checked::HolderChanged => {}
            }
            drop(permits);
            retry.wait().await?;
        }
    }

    /// The domain with the certificate that the edge presents. If it cannot be written, the next check finds it.
    async fn add_certificate(
        &self,
        record: DomainRecord,
        evidence: &Evidence,
        author: Author<'_>,
        deadline: Instant,
        turns: &Turns,
    ) -> Domain {
        let (now, domain) = (self.app.clock.now(), record.domain());
        let Some(presented) = self.presented(domain, evidence, now, deadline).await else {
            return record.into_domain();
        };
        let after = with_certificate(domain.clone(), presented, now);
        let agency = after.agency_id.clone();
        let changed = store::changes_counters(domain, &after).then_some(agency);
        let _permits = turns.take(changed.into_iter().collect()).await;
        let change = Change {
            before: &record,
            after,
        };
        let mut retry = Retry::until(deadline).up_to(SCHEDULED_ATTEMPTS);
        let written = self
            .app
            .store
            .finish_check(author, now, change, None, &mut retry)
            .await;
        match written {
            Ok(Checked::Written(record)) => record.into_domain(),
            Ok(Checked::Superseded(domain)) => *domain,
            Ok(Checked::HolderChanged) | Err(_) => record.into_domain(),
        }
    }

    /// What the edge presents for the hostname. `None`: it was not asked.
    async fn presented(
        &self,
        domain: &Domain,
        evidence: &Evidence,
        now: Timestamp,
        deadline: Instant,
    ) -> Option<Presented> {
        if self.handshakes.is_unresponsive() {
            return None;
        }
        let deadline = deadline.checked_sub(WRITE_RESERVE)?;
        let Network { dns, edge } = self.network;
        let operator = Operator::from(&*self.app.config);
        let packets = dns.limits.packets.saturating_sub(evidence.packets);
        let addresses = dns.edge_addresses(domain, &operator, &self.session, packets);
        let addresses = timeout_at(deadline.into(), addresses).await.ok()??;
        edge.presented(&domain.hostname, &addresses, &self.handshakes, now, deadline)
            .await
    }

    /// The other agency's domain that holds the hostname, if the check must know it, and its evidence against a `TXT` proof.
    /// `last` is the holder of the last attempt: its evidence is not gathered twice.
    async fn holder(
        &self,
        observed: &Observed,
        last: Option<ObservedHolder>,
    ) -> Result<Option<ObservedHolder>, CheckError> {
        let (domain, proof) = (observed.domain(), observed.evidence.proof());
        if !proof.is_given() || domain.status.serves() {
            return Ok(None);
        }
        let Some(record) = self.app.store.other_holder(domain).await? else {
            return Ok(None);
        };
        let is_same = |last: &ObservedHolder| last.record.domain().id == record.domain().id;
        let evidence = match last.filter(is_same) {
            _ if proof != Proof::Txt => None,
            Some(last) => last.evidence,
            None => Some(self.gather(record.domain(), Depth::Holder).await?),
        };
        let record = Box::new(record);
        Ok(Some(ObservedHolder { record, evidence }))
    }

    fn outcome(&self, observed: &Observed, holder: Option<&ObservedHolder>, now: Timestamp) -> Outcome {
        let input = CheckInput {
            before: observed.domain(),
            evidence: &observed.evidence,
            holder: holder.map(|holder| Holder {
                domain: holder.record.domain(),
                evidence: holder.evidence.as_ref(),
            }),
            trigger: observed.trigger,
            now,
            jitter: random::below(2 * JITTER + 1) as i32 - JITTER as i32,
        };
        let config = &self.app.config;
        outcome(&input, &config.names, &config.addresses)
    }

    async fn gather(&self, domain: &Domain, depth: Depth) -> Result<Evidence, Busy> {
        let operator = Operator::from(&*self.app.config);
        let now = self.app.clock.now();
        self.network
            .dns
            .gather(domain, &operator, depth, &self.session, now)
            .await
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn status_changes_of_an_agency_are_written_one_after_another_and_16_results_at_a_time() {
        let turns = Turns::default();
        let [a, b] = ["org_a", "org_b"].map(|org| org.parse::<OrgId>().unwrap());
        let waits = async |agencies| {
            let turn = timeout(Duration::from_secs(60), turns.take(agencies)).await;
            turn.is_err()
        };
        let both = turns.take(vec![b.clone(), a.clone()]).await;
        assert!(waits(vec![a.clone()]).await && waits(vec![b.clone()]).await);
        // A renewal changes no counter.
        let mut renewals = Vec::new();
        for _ in 1..16 {
            renewals.push(turns.take(Vec::new()).await);
        }
        assert!(waits(Vec::new()).await);
        drop(both);
        assert!(!waits(vec![a, b]).await);
    }
}
