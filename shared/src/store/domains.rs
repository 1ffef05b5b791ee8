//! The agency's portal domains, and the holders of hostnames.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    operation::{put_item::PutItemError, update_item::UpdateItemError},
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    config::Config,
    models::{
        audit::{Action, snapshot},
        domain::{Domain, DomainType, PortalDomain, PortalDomainCreate, Status, Token},
        hostname::Hostname,
        id::{ClientOrgId, DomainId, OrgId},
        portal::PortalContextDomain,
        time::Timestamp,
    },
};

use super::{
    Agency, Caller, Created, Error, IdempotencyKey, Item, Page, PageRequest, Record, Result, Retry, Store,
    Stored, WriteId, audit, domain_update, item,
    keys::{self, List},
    parse, sdk_error,
    setup::SetupLinkItem,
    transaction::{AttributeUpdate, Commit, Condition, Part, Refused, Transaction, number, text},
};

/// The age from which the label of a subdomain is kept after its deletion. So creating and deleting does not collect labels.
const LABEL_IN_USE: Duration = Duration::from_secs(24 * 3600);

/// How long the label of a deleted subdomain is kept for its agency.
pub const LABEL_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The interval between two `verify` requests of a domain, and the time in which an agency makes at most [`VERIFY_BURST`].
const VERIFY_INTERVAL: Duration = Duration::from_secs(5);

/// The number of `verify` requests of an agency in [`VERIFY_INTERVAL`]. Each may take seconds, while name servers respond.
const VERIFY_BURST: usize = 10;

/// A domain as it was read, to be written on that condition.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainRecord {
    #[serde(flatten)]
    pub(super) stored: Stored<Domain>,
    /// The last `verify` request, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_verify_at: Option<i64>,
    /// The id of that request's write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_verify_id: Option<String>,
    /// The setup link, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) setup_link: Option<SetupLinkItem>,
    /// The number of domains that redirect to this one.
    #[serde(default)]
    pub(super) redirect_count: u32,
}

impl DomainRecord {
    /// A domain without a `verify` request.
    pub fn new(domain: Domain) -> Self {
        let write = WriteId::new(domain.created_at);
        Self {
            stored: Stored::new(domain, write),
            last_verify_at: None,
            last_verify_id: None,
            setup_link: None,
            redirect_count: 0,
        }
    }

    /// This record with another version of the domain.
    pub(super) fn with(&self, domain: Domain, write: WriteId) -> Self {
        Self {
            stored: Stored::new(domain, write),
            ..self.clone()
        }
    }

    /// The update that makes this record `after`.
    pub(super) fn update_to(&self, after: &Self) -> Result<AttributeUpdate> {
        // The keys of the indexes follow from the domain, but an item that was stored before an index lacks its keys.
        let keys = [keys::DUE, keys::DUE_AT, keys::HOSTS, keys::HOST];
        Ok(AttributeUpdate::between(&self.item()?, &after.item()?, &keys))
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.stored.value
    }

    /// The domain alone.
    pub fn into_domain(self) -> Domain {
        self.stored.value
    }

    /// Whether another domain of this client may redirect to this one.
    pub(super) fn may_be_target(&self, client: Option<ClientOrgId>) -> bool {
        self.domain().client_org_id == client && self.domain().redirect.is_none()
    }

    /// The condition that the domain is unchanged, and that no other domain redirects to it, which does not change its write id.
    pub(super) fn unchanged_and_no_target(&self) -> Condition {
        Condition::new(
            Part::UntargetedResource,
            "writeId = :unchanged AND redirectCount = :none",
            [(":unchanged", text(self.stored.write_id)), (":none", number(0))],
        )
    }

    /// The item, with the keys of the indexes of due domains and of hosts.
    ///
    /// # Errors
    /// [`Error::Internal`]: it cannot be serialized.
    pub fn item(&self) -> Result<Item> {
        let domain = self.domain();
        let mut stored = item(keys::domain(&domain.agency_id, domain.id), "domain", self)?;
        if let Some(next) = domain.check.as_ref().and_then(|check| check.next_check_at) {
            stored.extend(keys::due(&domain.agency_id, next, domain.id));
        }
        if domain.status.serves() {
            stored.extend(keys::host(&domain.hostname));
        }
        Ok(stored)
    }
}

/// The hold on a hostname: by its holder, or by the agency that the label of a deleted subdomain is kept for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// The agency.
    pub agency: OrgId,
    /// The client whose portal the domain is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientOrgId>,
    /// Its domain.
    pub domain: DomainId,
    /// The host name that the domain redirects to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Hostname>,
    /// Until when a deleted label is kept, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_until: Option<i64>,
}

/// The times of an agency's last `verify` requests, in milliseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct VerifyTimes {
    times: Vec<i64>,
}

/// How the write of a check's result ended.
#[derive(Debug)]
pub enum Checked {
    /// It took effect. This is the domain as it is stored now.
    Written(Box<DomainRecord>),
    /// Another write came first. This is the domain as that write left it.
    Superseded(Box<Domain>),
    /// The holder of the hostname changed since it was read. Nothing was written.
    HolderChanged,
}

/// A domain before and after a check.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// As it was read.
    pub before: &'a DomainRecord,
    /// As it will be stored.
    pub after: Domain,
}

/// The arrival of a request.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Its time.
    pub now: Timestamp,
    /// Its time on the monotonic clock.
    pub since: Instant,
}

/// The author of a write, for the audit log.
#[derive(Debug, Clone, Copy)]
pub enum Author<'a> {
    /// A user, by a request.
    User(&'a Caller),
    /// The scheduled re-verification.
    System,
}

impl Store {
    /// The holder of a hostname. This look-up leaves the caller's own partition.
    pub async fn holder(&self, hostname: &Hostname) -> Result<Option<Hold>> {
        let holder: Option<Hold> = self.get(keys::holder(hostname)).await?.map(parse).transpose()?;
        Ok(holder.filter(|holder| holder.keep_until.is_none()))
    }

    /// The host name that a hostname redirects to, if both are served.
    pub async fn redirect(&self, hostname: &Hostname) -> Result<Option<Hostname>> {
        let Some(from) = self.holder(hostname).await? else {
            return Ok(None);
        };
        let Some(target) = from.redirect else {
            return Ok(None);
        };
        let to = self.holder(&target).await?;
        Ok(to
            .filter(|to| to.agency == from.agency && to.client == from.client)
            .map(|_| target))
    }

    /// The other domain that holds the hostname of this one. This look-up leaves the caller's own partition.
    ///
    /// # Errors
    /// [`Error::Unreadable`]: its item cannot be parsed.
    pub async fn other_holder(&self, domain: &Domain) -> Result<Option<DomainRecord>> {
        let holder = self.holder(&domain.hostname).await?;
        let Some(holder) = holder.filter(|holder| holder.domain != domain.id) else {
            return Ok(None);
        };
        let item = self.get(keys::domain(&holder.agency, holder.domain)).await?;
        let record: Option<DomainRecord> = item.map(parse).transpose()?;
        Ok(record.filter(|record| record.domain().status.serves()))
    }

    /// Whether a token belongs to one of the agency's domains.
    pub async fn has_token(&self, org: &OrgId, token: &Token) -> Result<bool> {
        Ok(self.get(keys::token(org, token)).await?.is_some())
    }

    /// Writes the result of a check, if the domain is unchanged since it was read: its status, the counters, the hold on
    /// its hostname and the audit entry together. `holder` is the change of the other agency's domain that holds the
    /// hostname; if that domain does not serve afterwards, the name moves. A check that changes no status is one
    /// conditional update, every other one a transaction.
    ///
    /// # Errors
    /// [`Error::NotFound`]: the domain was deleted. [`Error::Conflict`], [`Error::Unavailable`] and [`Error::Unanswered`]: `retry`
    /// ended.
    pub async fn finish_check(
        &self,
        by: Author<'_>,
        now: Timestamp,
        change: Change<'_>,
        holder: Option<Change<'_>>,
        retry: &mut Retry,
    ) -> Result<Checked> {
        // All attempts have the same write id, so that a write whose answer was lost is recognized.
        let write = Rewrite::new(&change, now)?;
        let holder = holder
            .as_ref()
            .map(|change| Rewrite::new(change, now))
            .transpose()?;
        if holder.is_some() || !write.is_alone() {
            let transaction = self.check_transaction(by, &write, holder.as_ref())?;
            return match transaction.commit(retry).await? {
                Commit::Done => Ok(write.written()),
                Commit::Refused(refused) => match refused.by(Part::Resource) {
                    Some(winner) => write.refused_by(winner),
                    None => Ok(Checked::HolderChanged),
                },
            };
        }
        loop {
            match self.rewrite(&write).await {
                Err(Error::Conflict) => retry.wait().await?,
                done => return done,
            }
        }
    }

    async fn rewrite(&self, write: &Rewrite<'_>) -> Result<Checked> {
        let update = &write.update;
        let (condition, values) =
            Condition::split(Some(write.unchanged(Part::Resource)), update.values.clone());
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(write.key().item()))
            .update_expression(&update.expression)
            .set_condition_expression(condition)
            .set_expression_attribute_names(Some(update.names.clone()))
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(failure) = call.send().await else {
            return Ok(write.written());
        };
        match failure.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                write.refused_by(&refused.item.clone().unwrap_or_default())
            }
            _ => Err(sdk_error(failure)),
        }
    }

    fn check_transaction(
        &self,
        by: Author<'_>,
        write: &Rewrite<'_>,
        holder: Option<&Rewrite<'_>>,
    ) -> Result<Transaction<'_>> {
        let mut transaction = Transaction::new(self);
        write.add(&mut transaction, Part::Resource, by)?;
        if let Some(holder) = holder {
            // The other agency's audit log must not name this agency's user or request.
            holder.add(&mut transaction, Part::HolderDomain, Author::System)?;
        }
        let (was, is) = (write.before.domain(), write.after());
        let loser = holder.filter(|holder| !holder.after().status.serves());
        match (was.status.serves(), is.status.serves()) {
            (false, true) => {
                // The condition on the loser's own item ensures that it still holds the name.
                let free = match loser {
                    Some(loser) => {
                        let agency = text(&loser.after().agency_id);
                        Condition::new(Part::Holder, "agency = :agency", [(":agency", agency)])
                    }
                    None => Condition::absent(Part::Holder),
                };
                transaction.put(holds(is)?, Some(free))?;
            }
            (true, false) => transaction.delete(keys::holder(&is.hostname), None)?,
            _ => {}
        }
        Ok(transaction)
    }
}

/// A check's change of one domain.
struct Rewrite<'a> {
    before: &'a DomainRecord,
    record: DomainRecord,
    update: AttributeUpdate,
}

impl<'a> Rewrite<'a> {
    fn new(change: &Change<'a>, now: Timestamp) -> Result<Self> {
        let mut after = change.after.clone();
        after.updated_at = after.updated_at.max(change.before.domain().updated_at);
        let write = change.before.stored.write_id.next(now);
        let record = change.before.with(after, write);
        Ok(Self {
            before: change.before,
            update: change.before.update_to(&record)?,
            record,
        })
    }

    fn after(&self) -> &Domain {
        self.record.domain()
    }

    fn key(&self) -> keys::Key {
        keys::domain(&self.after().agency_id, self.after().id)
    }

    fn unchanged(&self, part: Part) -> Condition {
        Condition::unchanged(part, self.before.stored.write_id)
    }

    /// Whether no other item changes.
    fn is_alone(&self) -> bool {
        let (was, is) = (self.before.domain(), self.after());
        !changes_counters(was, is) && Candidate::of(was) == Candidate::of(is)
    }

    fn written(&self) -> Checked {
        Checked::Written(Box::new(self.record.clone()))
    }

    /// How the write ended whose condition failed on this item, which is empty if the domain was deleted.
    fn refused_by(&self, winner: &Item) -> Result<Checked> {
        if winner.is_empty() {
            return Err(Error::NotFound);
        }
        let winner: DomainRecord = parse(winner.clone())?;
        Ok(if winner.stored.write_id == self.record.stored.write_id {
            self.written()
        } else {
            Checked::Superseded(Box::new(winner.stored.value))
        })
    }

    /// Adds everything that changes with the domain, except for the hold on its hostname.
    fn add(&self, transaction: &mut Transaction<'_>, part: Part, by: Author<'_>) -> Result<()> {
        let (was, is) = (self.before.domain(), self.after());
        transaction.update(self.key(), &self.update, Some(self.unchanged(part)))?;
        write_candidate(transaction, Some(was), is)?;
        let counts = counts(Some(was), Some(is));
        if !counts.is_empty() {
            let counts = AttributeUpdate::add(&counts);
            transaction.update(keys::agency(&is.agency_id), &counts, None)?;
        }
        if was.status == is.status {
            return Ok(());
        }
        let action = match is.status {
            Status::Pending => Action::DomainPending,
            Status::Verified => Action::DomainVerified,
            Status::Failing => Action::DomainFailing,
            Status::Failed => Action::DomainFailed,
        };
        let state = |domain: &Domain| {
            let problem = domain.check.as_ref().and_then(|check| check.problem.as_ref());
            Some(json!({"status": domain.status, "routing": domain.routing, "problem": problem}))
        };
        let record = Record {
            transition: (was.status.as_str(), is.status.as_str()),
            ..Record::of_domain(action, is, (state(was), state(is)))
        };
        audit(
            transaction,
            &is.agency_id,
            (by, self.record.stored.write_id),
            record,
        )
    }
}

impl Agency<'_> {
    /// A page of the domains, oldest first.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::InvalidCursor`]
    pub async fn domains(&self, page: &PageRequest) -> Result<Page<Domain>> {
        self.page(&List::Domains.range(), page).await
    }

    /// A domain.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`]
    pub async fn domain(&self, id: DomainId) -> Result<Domain> {
        parse(self.item(keys::domain(self.org, id)).await?)
    }

    /// Creates a domain. `token` is used if it is a custom domain.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`], [`Error::NotEnabled`], [`Error::Invalid`], [`Error::HostnameTaken`],
    /// [`Error::LimitReached`]
    pub async fn create_domain(
        &self,
        new: PortalDomainCreate,
        token: Token,
        config: &Config,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created<PortalDomain>> {
        let (id, org, now) = (DomainId::new(self.caller.now), self.org.clone(), self.caller.now);
        let (domain, client) = match new {
            PortalDomainCreate::Subdomain {
                subdomain,
                client_org_id,
            } => {
                let hostname = config.names.hostname(&subdomain);
                (Domain::subdomain(id, org, hostname, now), client_org_id)
            }
            PortalDomainCreate::Custom {
                custom_domain,
                client_org_id,
            } => (Domain::custom(id, org, custom_domain, token, now), client_org_id),
        };
        let domain = Domain {
            client_org_id: client,
            ..domain
        };
        let answer = config.show(domain.clone());
        self.write_new_domain(&domain, answer, config.max_domains, key)
            .await
    }

    async fn write_new_domain(
        &self,
        domain: &Domain,
        answer: PortalDomain,
        limit: NonZeroU32,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created<PortalDomain>> {
        let mut transaction = self.transaction();
        let room = Condition::new(
            Part::Agency,
            "attribute_exists(PK) AND domainCount < :limit",
            [(":limit", number(limit.get()))],
        );
        let counts = AttributeUpdate::add(&counts(None, Some(domain)));
        transaction.update(keys::agency(self.org), &counts, Some(room))?;
        let stored = DomainRecord::new(domain.clone());
        transaction.put(stored.item()?, Some(Condition::absent(Part::Resource)))?;
        write_candidate(&mut transaction, None, domain)?;
        if let Some(client) = domain.client_org_id {
            self.give_domain(&mut transaction, client)?;
        }
        let id = json!({"domain": domain.id});
        let claim = item(keys::name(self.org, &domain.hostname), "name", &id)?;
        transaction.put(claim, Some(Condition::absent(Part::Name)))?;
        if let Some(token) = &domain.token {
            transaction.put(item(keys::token(self.org, token), "token", &id)?, None)?;
        } else {
            let free = Condition::new(
                Part::Holder,
                "attribute_not_exists(PK) OR keepUntil <= :now OR (attribute_exists(keepUntil) AND agency = :me)",
                [
                    (":now", number(self.caller.now.seconds())),
                    (":me", text(self.org)),
                ],
            );
            transaction.put(holds(domain)?, Some(free))?;
        }
        let changes = (None, snapshot(&answer));
        let record = Record::of_domain(Action::DomainCreated, domain, changes);
        self.audit(&mut transaction, stored.stored.write_id, record)?;
        let operation = ("createPortalDomain", key);
        let reason = |refused: &Refused| {
            if refused.by(Part::Agency).is_some_and(Item::is_empty) {
                Error::NotEnabled
            } else if refused.by(Part::Client).is_some() {
                Error::Invalid(vec![domain_update::unknown_client()])
            } else if refused.by(Part::Name).or(refused.by(Part::Holder)).is_some() {
                Error::HostnameTaken
            } else {
                Error::LimitReached
            }
        };
        self.create(transaction, answer, operation, &mut self.retry(), reason)
            .await
    }

    /// Counts one domain more of a client of this agency.
    pub(super) fn give_domain(&self, transaction: &mut Transaction<'_>, client: ClientOrgId) -> Result<()> {
        let own = Condition::new(Part::Client, "agencyId = :org", [(":org", text(self.org))]);
        let count = AttributeUpdate::add(&[("domainCount", 1)]);
        transaction.update(keys::membership(client), &count, Some(own))
    }

    /// Deletes a domain, its token and its hold on the hostname. The label of a subdomain that existed for a day is kept for
    /// the agency for 30 days.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`], [`Error::RedirectTarget`]
    pub async fn delete_domain(&self, id: DomainId, config: &Config) -> Result<()> {
        let mut retry = self.retry();
        loop {
            let before: DomainRecord = parse(self.item(keys::domain(self.org, id)).await?)?;
            let domain = before.domain();
            if before.redirect_count > 0 {
                return Err(Error::RedirectTarget);
            }
            let write = self.write_after(&before.stored);
            let now = write.time();
            let mut transaction = self.transaction();
            let counts = AttributeUpdate::add(&counts(Some(domain), None));
            transaction.update(keys::agency(self.org), &counts, None)?;
            transaction.delete(keys::domain(self.org, id), Some(before.unchanged_and_no_target()))?;
            if let Some(link) = &before.setup_link {
                transaction.delete(keys::setup_link(&link.sha256), None)?;
            }
            if domain.primary {
                transaction.delete(keys::primary(self.org, domain.client_org_id), None)?;
            }
            if let Some(redirect) = &domain.redirect {
                let count = AttributeUpdate::add(&[("redirectCount", -1)]);
                transaction.update(keys::domain(self.org, redirect.to), &count, None)?;
            }
            transaction.delete(keys::name(self.org, &domain.hostname), None)?;
            if let Some(token) = &domain.token {
                transaction.delete(keys::token(self.org, token), None)?;
            }
            if let Some(candidate) = Candidate::of(domain) {
                transaction.delete(candidate.key, None)?;
            }
            if let Some(client) = domain.client_org_id {
                take_domain(&mut transaction, client)?;
            }
            match domain.kind {
                DomainType::Subdomain if now.since(domain.created_at) >= LABEL_IN_USE => {
                    let until = (now + LABEL_KEPT).seconds();
                    let mut kept = holds(&Domain {
                        client_org_id: None,
                        redirect: None,
                        ..domain.clone()
                    })?;
                    kept.insert("keepUntil".to_owned(), number(until));
                    kept.insert(keys::TTL.to_owned(), number(until));
                    transaction.put(kept, None)?;
                }
                _ if domain.status.serves() => transaction.delete(keys::holder(&domain.hostname), None)?,
                _ => {}
            }
            let was = snapshot(&config.show(domain.clone()));
            let record = Record::of_domain(Action::DomainDeleted, domain, (was, None));
            self.audit(&mut transaction, write, record)?;
            match transaction.commit(&mut retry).await? {
                Commit::Done => return Ok(()),
                Commit::Refused(_) => retry.wait().await?,
            }
        }
    }
}

impl Store {
    /// Starts a `verify`: checks the rate limits of the domain and of the agency, and reads the domain.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`], [`Error::TooSoon`]
    pub async fn begin_check(&self, org: &OrgId, id: DomainId, at: Arrival) -> Result<DomainRecord> {
        let record = self.begin_check_of_domain(org, id, at).await?;
        self.count_verify(org, at).await?;
        Ok(record)
    }

    /// Adds this request to those that the agency made in the last [`VERIFY_INTERVAL`].
    ///
    /// # Errors
    /// [`Error::TooSoon`]
    async fn count_verify(&self, org: &OrgId, at: Arrival) -> Result<()> {
        let now = at.now;
        let key = keys::verify_times(org);
        let write = WriteId::new(now);
        let mut retry = Retry::until(self.deadline(at.since));
        loop {
            let existing = self.get(key.clone()).await?;
            let before: Option<Stored<VerifyTimes>> = existing.map(parse).transpose()?;
            let condition = match &before {
                // An earlier attempt took effect, and its response was lost.
                Some(before) if before.write_id == write => return Ok(()),
                Some(before) => Condition::unchanged(Part::Resource, before.write_id),
                None => Condition::absent(Part::Resource),
            };
            let mut times = before.map(|before| before.value.times).unwrap_or_default();
            times.retain(|time| Timestamp::from_millis(*time) + VERIFY_INTERVAL > now);
            if times.len() >= VERIFY_BURST {
                // The domain itself cannot be checked again before that.
                return Err(Error::TooSoon(VERIFY_INTERVAL));
            }
            times.push(now.millis());
            let after = Stored::new(VerifyTimes { times }, write);
            let mut after = item(key.clone(), "verify-times", &after)?;
            after.insert(keys::TTL.to_owned(), number((now + VERIFY_INTERVAL).seconds()));
            let (condition, values) = Condition::split(Some(condition), Item::new());
            let call = self
                .client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(after))
                .set_condition_expression(condition)
                .set_expression_attribute_values(values);
            let Err(failure) = call.send().await else {
                return Ok(());
            };
            match failure.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => {}
                _ => match sdk_error(failure) {
                    Error::Conflict => {}
                    error => return Err(error),
                },
            }
            retry.wait().await?;
        }
    }

    /// Starts a check within the rate limit of the domain alone, and reads the domain.
    ///
    /// # Errors
    /// As those of [`Self::begin_check`].
    pub async fn begin_check_of_domain(
        &self,
        org: &OrgId,
        id: DomainId,
        at: Arrival,
    ) -> Result<DomainRecord> {
        let now = at.now;
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::domain(org, id).item()))
            .update_expression("SET lastVerifyAt = :now, lastVerifyId = :id")
            // With its own id: the SDK's retry of this call, whose answer was lost, is not too soon.
            .condition_expression(
                "attribute_exists(PK) AND \
                 (attribute_not_exists(lastVerifyAt) OR lastVerifyAt <= :before OR lastVerifyId = :id)",
            )
            .expression_attribute_values(":now", number(now.millis()))
            .expression_attribute_values(":before", number((now - VERIFY_INTERVAL).millis()))
            .expression_attribute_values(":id", text(Uuid::new_v4().simple()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let mut retry = Retry::until(self.deadline(at.since));
        loop {
            let failure = match call.clone().send().await {
                Ok(answer) => return parse(answer.attributes.unwrap_or_default()),
                Err(failure) => failure,
            };
            if let Some(UpdateItemError::ConditionalCheckFailedException(refused)) =
                failure.as_service_error()
            {
                return self.check_refused(org, refused.item.clone(), now).await;
            }
            match sdk_error(failure) {
                Error::Conflict => retry.wait().await?,
                error => return Err(error),
            }
        }
    }

    /// The error for a `verify` that was refused on this item, which is `None` if the domain does not exist.
    async fn check_refused(
        &self,
        org: &OrgId,
        existing: Option<Item>,
        now: Timestamp,
    ) -> Result<DomainRecord> {
        let Some(existing) = existing else {
            // Without agency mode that is another error.
            return match self.get(keys::agency(org)).await? {
                Some(_) => Err(Error::NotFound),
                None => Err(Error::NotEnabled),
            };
        };
        let last = parse::<DomainRecord>(existing)?
            .last_verify_at
            .unwrap_or_default();
        let free = Timestamp::from_millis(last) + VERIFY_INTERVAL;
        Err(Error::TooSoon(free.since(now).min(VERIFY_INTERVAL)))
    }
}

/// The agency's counters that count a domain.
fn counters(domain: &Domain) -> impl Iterator<Item = &'static str> + use<> {
    let by_status = match domain.status {
        Status::Pending => "pendingCount",
        Status::Verified => "verifiedCount",
        Status::Failing => "failingCount",
        Status::Failed => "failedCount",
    };
    let not_ready = domain.is_tls_not_ready().then_some("tlsNotReadyCount");
    ["domainCount", by_status].into_iter().chain(not_ready)
}

/// The agency's counters that change with a domain, and by how much. `None`: the domain does not exist.
fn counts(was: Option<&Domain>, is: Option<&Domain>) -> Vec<(&'static str, i64)> {
    let mut counts = BTreeMap::new();
    for (domain, change) in [(was, -1), (is, 1)] {
        for counter in domain.into_iter().flat_map(counters) {
            *counts.entry(counter).or_default() += change;
        }
    }
    counts.into_iter().filter(|(_, change)| *change != 0).collect()
}

/// Whether a check's change of a domain changes the agency's counters.
pub fn changes_counters(was: &Domain, is: &Domain) -> bool {
    !counts(Some(was), Some(is)).is_empty()
}

/// Counts one domain less of a client.
pub(super) fn take_domain(transaction: &mut Transaction<'_>, client: ClientOrgId) -> Result<()> {
    let count = AttributeUpdate::add(&[("domainCount", -1)]);
    transaction.update(keys::membership(client), &count, None)
}

/// The item of a domain that may become its portal's primary domain. The key tells the portal and the rank.
#[derive(PartialEq)]
struct Candidate {
    key: keys::Key,
    domain: PortalContextDomain,
}

impl Candidate {
    fn of(domain: &Domain) -> Option<Self> {
        let rank = domain.primary_rank()?;
        Some(Self {
            key: keys::candidate(&domain.agency_id, domain.client_org_id, rank, domain.id),
            domain: domain.primary(),
        })
    }
}

pub(super) fn write_candidate(
    transaction: &mut Transaction<'_>,
    before: Option<&Domain>,
    domain: &Domain,
) -> Result<()> {
    let (was, is) = (before.and_then(Candidate::of), Candidate::of(domain));
    if was == is {
        return Ok(());
    }
    if let Some(was) = was
        && is.as_ref().is_none_or(|is| is.key != was.key)
    {
        transaction.delete(was.key, None)?;
    }
    if let Some(is) = is {
        transaction.put(item(is.key, "primary-candidate", &is.domain)?, None)?;
    }
    Ok(())
}

pub(super) fn holds(domain: &Domain) -> Result<Item> {
    let holder = Hold {
        agency: domain.agency_id.clone(),
        client: domain.client_org_id,
        domain: domain.id,
        redirect: domain.redirect.as_ref().map(|redirect| redirect.hostname.clone()),
        keep_until: None,
    };
    item(keys::holder(&domain.hostname), "holder", &holder)
}
