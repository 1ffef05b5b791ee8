//! One check of one domain: what DNS says, what follows from it, and of whom else. Writing it is the caller's.

use shared::{
    app::App,
    models::{domain::Domain, id::DomainId, time::Timestamp},
    random,
    store::{self, Change, DomainRecord, Holder},
};

use crate::{
    dns::{Depth, Dns, Observation, Proof, Session, Subject},
    lifecycle::{self, Rival, RivalAfter, Trigger, decide, may_fail},
};

/// Checks domains. One is made for each sweep, and for each request.
pub struct Checks<'a> {
    app: &'a App,
    dns: &'a Dns,
    session: Session,
}

/// A check under way: the domain as it was read, and what was seen.
#[derive(Debug)]
pub struct Check {
    record: Box<DomainRecord>,
    trigger: Trigger,
    seen: Observation,
    /// What was seen of the holder, which is looked at once.
    of_holder: Option<(DomainId, Observation)>,
}

/// What a check comes to, to be written as it is.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// The checked domain.
    pub change: Change<'a>,
    /// The holder of its name, where it is another agency's and changes.
    pub holder: Option<(Box<DomainRecord>, Domain)>,
    /// Whether DNS said enough to decide anything.
    pub decided: bool,
    /// Others kept the holder's servers busy, so that it is not to be written.
    pub crowded: bool,
}

impl Verdict<'_> {
    /// Whether the counters of an agency change.
    pub fn changes_status(&self) -> bool {
        self.change.before.domain().status != self.change.after.status
    }

    /// Whether the holder loses its name.
    pub fn moves(&self) -> bool {
        let after = self.holder.as_ref().map(|(_, after)| after);
        after.is_some_and(|after| !after.status.serves())
    }

    /// The change of the holder.
    pub fn rival(&self) -> Option<Change<'_>> {
        let (before, after) = self.holder.as_ref()?;
        Some(Change {
            before,
            after: after.clone(),
        })
    }
}

impl Check {
    /// Whether it was given up because others keep its servers busy: nothing is to be concluded from it.
    pub fn is_crowded(&self) -> bool {
        self.seen.crowded
    }

    /// The domain as it was read.
    pub fn domain(&self) -> &Domain {
        self.record.domain()
    }
}

impl<'a> Checks<'a> {
    /// Checks of the application's domains, by `dns`.
    pub fn new(app: &'a App, dns: &'a Dns) -> Self {
        Self {
            app,
            dns,
            session: Session::new(),
        }
    }

    /// Asks DNS about a custom domain.
    pub async fn look(&self, record: Box<DomainRecord>, trigger: Trigger) -> Check {
        let depth = match trigger {
            Trigger::Schedule if !may_fail(record.domain(), self.app.clock.now()) => Depth::Renewal,
            _ => Depth::Diagnose,
        };
        Check {
            seen: self.observe(record.domain(), depth).await,
            record,
            trigger,
            of_holder: None,
        }
    }

    /// Decides, with a look at the holder of the name where that matters. `holder` is who that was a moment ago, where
    /// it is known. What was seen stays seen: to be repeated where [`store::Checked::HolderChanged`].
    ///
    /// # Errors
    /// The table's.
    pub async fn judge<'b>(
        &self,
        check: &'b mut Check,
        holder: Option<Option<Holder>>,
        now: Timestamp,
    ) -> Result<Verdict<'b>, store::Error> {
        if let Some(token) = &check.seen.other_token {
            let org = &check.record.domain().agency_id;
            let known = self.app.store.has_token(org, token).await?;
            check.seen.settle_other_token(known);
        }
        let domain = check.record.domain();
        let proven = check.seen.proof.is_given();
        let mut rival = None;
        if proven && !domain.status.serves() {
            let holder = match holder {
                Some(holder) => holder,
                None => self.app.store.holder(&domain.hostname).await?,
            };
            if let Some(holder) = holder.filter(|holder| holder.domain != domain.id) {
                rival = self.app.store.holding(&holder).await?;
            }
        }
        if let Some(rival) = &rival
            && check.seen.proof == Proof::Txt
            && check
                .of_holder
                .as_ref()
                .is_none_or(|(id, _)| *id != rival.domain().id)
        {
            check.of_holder = Some((rival.domain().id, self.observe(rival.domain(), Depth::Full).await));
        }
        let names = &self.app.config.names;
        let held = rival.as_ref().map(|rival| Rival {
            domain: rival.domain(),
            seen: check.of_holder.as_ref().map(|(_, seen)| seen),
            names,
        });
        let decision = decide(domain, &check.seen, held, check.trigger, now, jitter());
        let after = match decision.rival {
            RivalAfter::Untouched => None,
            RivalAfter::Contested(after) | RivalAfter::Moved(after) => Some(after),
        };
        Ok(Verdict {
            change: Change {
                before: &check.record,
                after: decision.domain,
            },
            holder: rival.map(Box::new).zip(after),
            decided: decision.decided,
            crowded: check.of_holder.as_ref().is_some_and(|(_, seen)| seen.crowded),
        })
    }

    async fn observe(&self, domain: &Domain, depth: Depth) -> Observation {
        let subject = Subject::from(&*self.app.config);
        self.dns.observe(domain, &subject, depth, &self.session).await
    }
}

/// Spreads the next checks of domains that were checked together.
fn jitter() -> i32 {
    random::below(2 * lifecycle::JITTER + 1) as i32 - lifecycle::JITTER as i32
}
