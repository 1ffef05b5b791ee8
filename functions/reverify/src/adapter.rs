//! The API of `verification` that the sweep is written against, over the one that there is. To be deleted with it.

use std::time::Instant;

use shared::{
    app::App,
    models::{
        domain::{Domain, Status},
        id::OrgId,
    },
    store::{self, Author, Checked, DomainRecord},
};
use tokio::sync::Semaphore;
use verification::{
    check::{Check, Checks},
    gates::{Gates, Place},
};
pub(crate) use verification::{dns::Dns, lifecycle::Trigger};

/// Writes at once: each needs a connection, and a connection keeps a buffer for the longest response it ever carried.
const WRITE_LIMIT: usize = 16;
/// How often a check is decided while the holder of its name changes.
const TRIES: u32 = 3;

/// Checks domains. One is made for each sweep.
pub(crate) struct Checker<'a> {
    app: &'a App,
    checks: Checks<'a>,
}

/// A check that has asked DNS.
pub(crate) struct Observed(Check);

/// Other checks kept the name servers busy. Nothing was concluded; start the check again later.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("other checks keep the name servers busy")]
pub(crate) struct Busy;

/// How a check ended.
#[derive(Debug)]
pub(crate) enum Settled {
    Written {
        before: Status,
        domain: Box<Domain>,
        /// Whether DNS said enough to decide anything.
        decided: bool,
        /// Whether the holder lost its name to the domain.
        moved: bool,
    },
    /// Another write came first, and left the domain like this.
    Superseded(Box<Domain>),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The servers of the holder's domain were busy.
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The concurrency limits of writes: one status change of an agency at a time, because all of them update its counters,
/// and 16 writes in all.
pub(crate) struct Turns {
    agencies: Gates<OrgId>,
    writes: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            agencies: Gates::new(1),
            writes: Semaphore::new(WRITE_LIMIT),
        }
    }
}

impl Turns {
    async fn enter(&self, mut agencies: Vec<OrgId>) -> Vec<Place<'_, OrgId>> {
        // Always in one order, so that no two wait for each other.
        agencies.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        agencies.dedup();
        let mut turns = Vec::with_capacity(agencies.len());
        for agency in agencies {
            turns.push(self.agencies.enter(agency).await);
        }
        turns
    }
}

impl<'a> Checker<'a> {
    pub(crate) fn new(app: &'a App, dns: &'a Dns) -> Self {
        let checks = Checks::new(app, dns);
        Self { app, checks }
    }

    /// Asks DNS.
    pub(crate) async fn observe(
        &self,
        record: Box<DomainRecord>,
        trigger: Trigger,
    ) -> Result<Observed, Busy> {
        let check = self.checks.look(record, trigger).await;
        match check.is_crowded() {
            true => Err(Busy),
            false => Ok(Observed(check)),
        }
    }

    /// Decides and writes.
    pub(crate) async fn settle(
        &self,
        observed: Observed,
        author: Author<'_>,
        _deadline: Instant,
        turns: &Turns,
    ) -> Result<Settled, Error> {
        let Observed(mut check) = observed;
        let store = &self.app.store;
        let (agency, before) = (check.domain().agency_id.clone(), check.domain().status);
        let mut retry = store.retry().up_to(TRIES);
        loop {
            let now = self.app.clock.now();
            let verdict = self.checks.judge(&mut check, None, now).await?;
            if verdict.crowded {
                return Err(Busy.into());
            }
            let turn = if verdict.changes_status() {
                let holder = verdict.holder.iter();
                let holder = holder.map(|(holder, _)| holder.domain().agency_id.clone());
                turns.enter(holder.chain([agency.clone()]).collect()).await
            } else {
                Vec::new()
            };
            let (change, holder) = (verdict.change.clone(), verdict.rival());
            // The semaphore is never closed.
            let write = turns.writes.acquire().await;
            match store.finish_check(author, change, holder).await? {
                Checked::Written(domain) => {
                    return Ok(Settled::Written {
                        before,
                        domain,
                        decided: verdict.decided,
                        moved: verdict.moves(),
                    });
                }
                Checked::Lost(winner) => return Ok(Settled::Superseded(winner)),
                Checked::HolderChanged => {}
            }
            drop((turn, write));
            retry.wait().await?;
        }
    }
}
