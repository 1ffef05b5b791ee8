//! Client organizations.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::models::{
    audit::{Action, changes, snapshot},
    client::{ClientOrg, ClientOrgCreate, ClientOrgUpdate, Membership},
    folded::FoldedName,
    id::{ClientOrgId, OrgId},
    slug::Slug,
    text::{ClientName, ExternalId},
    time::Timestamp,
};

use super::{
    Agency, Created, Error, IdempotencyKey, Item, Page, PageRequest, Record, Result, Stored, WriteId, item,
    keys::{self, Key, KeyRange, List},
    parse, settings,
    transaction::{AttributeUpdate, Commit, Condition, Part, Refused, Retry, Transaction, number},
};

/// The numbers of clients in one shard of an agency.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientCount {
    pub(super) client_count: i64,
    pub(super) suspended_count: i64,
}

/// Where a new client is counted.
struct Place {
    /// Its id, which tells the shard.
    id: ClientOrgId,
    /// The number of clients that the shard may have. Zero if the agency has no room: the transaction is refused then, or is
    /// recognized as a repetition by its idempotency record.
    share: i64,
}

/// The share of the limit that a shard may reach. The shares add up to the limit.
fn share(limit: NonZeroU32, shard: u8) -> i64 {
    let (limit, shards) = (i64::from(limit.get()), i64::from(keys::CLIENT_SHARDS));
    limit / shards + i64::from(i64::from(shard) < limit % shards)
}

fn shard(id: ClientOrgId) -> u8 {
    id.shard(keys::CLIENT_SHARDS)
}

/// The agency of a client organization, for requests of the client's users.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MembershipItem {
    agency_id: OrgId,
    name: ClientName,
    slug: Slug,
    suspended_at: Option<Timestamp>,
    /// The number of the client's own domains. It changes in the transactions of these domains.
    domain_count: u64,
}

/// The attributes of a membership that an update of the client may change.
const MEMBERSHIP: [&str; 3] = ["name", "slug", "suspendedAt"];

/// The items that have the whole client: what each is, and its key. They all change in one transaction.
fn copies(client: Option<&Stored<ClientOrg>>) -> Result<Vec<(Part, Key, Item)>> {
    let Some(stored) = client else {
        return Ok(Vec::new());
    };
    let client = &stored.value;
    let (org, id) = (&client.agency_id, client.id);
    let external_id = client.external_id.as_ref();
    let external_id = external_id.map(|external| (Part::ExternalId, keys::external_id(org, external)));
    let keys = [
        (Part::Resource, keys::client(org, id)),
        (Part::Slug, keys::slug(org, &client.slug)),
        (Part::ClientName, keys::named(org, &client.name.folded(), id)),
    ];
    let copy = |(part, key): (Part, Key)| Ok((part, key.clone(), item(key, "client", stored)?));
    keys.into_iter().chain(external_id).map(copy).collect()
}

/// What a client adds to the counters of its shard.
fn counted(client: Option<&Stored<ClientOrg>>) -> [i64; 2] {
    let is_suspended = client.is_some_and(|client| client.value.suspended_at.is_some());
    [client.is_some().into(), is_suspended.into()]
}

/// The client with this item.
pub(super) fn membership(id: ClientOrgId, item: Item) -> Result<Membership> {
    let membership: MembershipItem = parse(item)?;
    Ok(Membership {
        id,
        agency: membership.agency_id,
        name: membership.name,
        slug: membership.slug,
        suspended_at: membership.suspended_at,
    })
}

impl Agency<'_> {
    /// A page of the clients, oldest first.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::InvalidCursor`]
    pub async fn clients(&self, page: &PageRequest) -> Result<Page<ClientOrg>> {
        self.page(&List::Clients.range(), page).await
    }

    /// A page of the clients whose folded name begins with `name`, in the order of the folded names.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::InvalidCursor`]
    pub async fn clients_named(&self, name: &FoldedName, page: &PageRequest) -> Result<Page<ClientOrg>> {
        let range = KeyRange::clients_named(name);
        let mut page: Page<ClientOrg> = self.page(&range, page).await?;
        // The sort keys do not have the end of a long name.
        let begins = |client: &ClientOrg| client.name.folded().as_str().starts_with(name.as_str());
        page.items.retain(begins);
        Ok(page)
    }

    /// The client with this slug. `None` stands for a slug that does not parse.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]
    pub async fn client_by_slug(&self, slug: Option<&Slug>) -> Result<Option<ClientOrg>> {
        self.copy(slug.map(|slug| keys::slug(self.org, slug))).await
    }

    /// The client with this external id. `None` stands for one that does not parse.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]
    pub async fn client_by_external_id(&self, id: Option<&ExternalId>) -> Result<Option<ClientOrg>> {
        self.copy(id.map(|id| keys::external_id(self.org, id))).await
    }

    async fn copy(&self, key: Option<Key>) -> Result<Option<ClientOrg>> {
        // The nil id finds no client, but the request still tells whether agency mode is enabled.
        let key = key.unwrap_or_else(|| keys::client(self.org, ClientOrgId::NIL));
        match self.item(key).await {
            Ok(item) => Ok(Some(parse(item)?)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The client with this id.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`]
    pub async fn client(&self, id: ClientOrgId) -> Result<ClientOrg> {
        Ok(self.stored_client(id).await?.value)
    }

    async fn stored_client(&self, id: ClientOrgId) -> Result<Stored<ClientOrg>> {
        parse(self.item(keys::client(self.org, id)).await?)
    }

    /// Creates a client. If a slug derived from the name is taken, other suffixes are tried.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`], [`Error::NotEnabled`], [`Error::SlugTaken`], [`Error::ExternalIdTaken`],
    /// [`Error::LimitReached`]
    pub async fn create_client(
        &self,
        new: &ClientOrgCreate,
        limit: NonZeroU32,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created<ClientOrg>> {
        let derived = Slug::from_name(&new.name, crate::random::six_bytes);
        let mut retry = self.retry();
        let mut taken = 0;
        let mut place = self.place(limit).await?;
        loop {
            let slug = match (&new.slug, taken) {
                (Some(slug), _) => slug.clone(),
                (None, 0) => derived.clone(),
                (None, 1) => derived.numbered(2),
                (None, _) => derived.numbered(100_000 + crate::random::below(900_000)),
            };
            match self.try_create_client(&place, new, slug, key, &mut retry).await {
                Err(Error::SlugTaken) if new.slug.is_none() && taken < 20 => taken += 1,
                // Other creations have taken the room since it was read.
                Err(Error::LimitReached) if place.share > 0 => {
                    retry.wait().await?;
                    place = self.place(limit).await?;
                }
                done => return done,
            }
        }
    }

    /// A place for a new client, in a shard that has room.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]
    async fn place(&self, limit: NonZeroU32) -> Result<Place> {
        let bounds = keys::CLIENT_COUNTS;
        let counters = self
            .store
            .between(keys::partition(self.org), bounds, keys::CLIENT_SHARDS)
            .await?;
        if counters.is_empty() {
            return Err(Error::NotEnabled);
        }
        let counts: Vec<ClientCount> = counters.into_iter().map(parse).collect::<Result<_>>()?;
        // The limit may have been higher, and so a shard may have room although the agency has none.
        if counts.iter().map(|shard| shard.client_count).sum::<i64>() >= i64::from(limit.get()) {
            let id = ClientOrgId::new(self.caller.now);
            return Ok(Place { id, share: 0 });
        }
        loop {
            let id = ClientOrgId::new(self.caller.now);
            let share = share(limit, shard(id));
            let count = counts.get(usize::from(shard(id)));
            if count.is_some_and(|count| count.client_count < share) {
                return Ok(Place { id, share });
            }
        }
    }

    async fn try_create_client(
        &self,
        place: &Place,
        new: &ClientOrgCreate,
        slug: Slug,
        key: Option<&IdempotencyKey>,
        retry: &mut Retry,
    ) -> Result<Created<ClientOrg>> {
        let (id, now) = (place.id, self.caller.now);
        let client = ClientOrg {
            id,
            agency_id: self.org.clone(),
            name: new.name.clone(),
            slug,
            external_id: new.external_id.clone(),
            metadata: new.metadata.clone(),
            suspended_at: None,
            created_at: now,
            updated_at: now,
        };
        let write = WriteId::new(now);
        let stored = Stored::new(client.clone(), write);
        let mut transaction = self.transaction();
        let room = Condition::new(
            Part::Counter,
            "clientCount < :share",
            [(":share", number(place.share))],
        );
        self.write_client(&mut transaction, id, (None, Some(&stored)), Some(room))?;
        for settings in settings::initial(self.org, Some(id), write)? {
            transaction.put(settings, None)?;
        }
        let changes = (None, snapshot(&client));
        let record = Record::new(Action::ClientCreated, id, changes);
        self.audit(&mut transaction, write, record)?;
        let operation = ("createClient", key);
        let reason = |refused: &Refused| match refused.by(Part::Counter) {
            Some(_) => Error::LimitReached,
            None => taken(refused),
        };
        self.create(transaction, client, operation, retry, reason).await
    }

    /// Updates a client.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`], [`Error::Invalid`], [`Error::SlugTaken`], [`Error::ExternalIdTaken`]
    pub async fn update_client(&self, id: ClientOrgId, update: &ClientOrgUpdate) -> Result<ClientOrg> {
        let mut retry = self.retry();
        loop {
            let before = self.stored_client(id).await?;
            let write = self.write_after(&before);
            let client = update.apply(&before.value, write.time());
            let after = Stored::new(client.map_err(|error| Error::Invalid(vec![error]))?, write);
            let mut transaction = self.transaction();
            self.write_client(&mut transaction, id, (Some(&before), Some(&after)), None)?;
            let changes = changes(&before.value, &after.value);
            self.audit(
                &mut transaction,
                write,
                Record::new(Action::ClientUpdated, id, changes),
            )?;
            match transaction.commit(&mut retry).await? {
                Commit::Done => return Ok(after.value),
                Commit::Refused(refused) if refused.by(Part::Resource).is_none() => {
                    return Err(taken(&refused));
                }
                Commit::Refused(_) => retry.wait().await?,
            }
        }
    }

    /// Deletes a client. Its users lose access at once.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`], [`Error::ClientHasDomains`]
    pub async fn delete_client(&self, id: ClientOrgId) -> Result<()> {
        let mut retry = self.retry();
        loop {
            let before = self.stored_client(id).await?;
            let write = self.write_after(&before);
            let mut transaction = self.transaction();
            self.write_client(&mut transaction, id, (Some(&before), None), None)?;
            transaction.delete(keys::config(self.org, Some(id)), None)?;
            transaction.delete(keys::branding(self.org, Some(id)), None)?;
            let changes = (snapshot(&before.value), None);
            self.audit(
                &mut transaction,
                write,
                Record::new(Action::ClientDeleted, id, changes),
            )?;
            match transaction.commit(&mut retry).await? {
                Commit::Done => return Ok(()),
                Commit::Refused(refused) if refused.by(Part::Resource).is_none() => {
                    return Err(Error::ClientHasDomains);
                }
                Commit::Refused(_) => retry.wait().await?,
            }
        }
    }

    /// Adds to a transaction what changes with a client: its copies, its membership and, on the condition `room`, the counters.
    /// A client that is created has no `before`, one that is deleted no `after`.
    fn write_client(
        &self,
        transaction: &mut Transaction<'_>,
        id: ClientOrgId,
        (before, after): (Option<&Stored<ClientOrg>>, Option<&Stored<ClientOrg>>),
        room: Option<Condition>,
    ) -> Result<()> {
        let ([was_client, was_suspended], [is_client, is_suspended]) = (counted(before), counted(after));
        let change = [
            ("clientCount", is_client - was_client),
            ("suspendedCount", is_suspended - was_suspended),
        ];
        if change.iter().any(|(_, change)| *change != 0) {
            let key = keys::client_count(self.org, shard(id));
            transaction.update(key, &AttributeUpdate::add(&change), room)?;
        }
        let (old, new) = (copies(before)?, copies(after)?);
        let has = |copies: &[(Part, Key, Item)], key: &Key| copies.iter().any(|(_, other, _)| other == key);
        let unchanged = |part| {
            let before = before.filter(|_| part == Part::Resource);
            before.map(|before| Condition::unchanged(part, before.write_id))
        };
        for (part, key, _) in &old {
            if !has(&new, key) {
                transaction.delete(key.clone(), unchanged(*part))?;
            }
        }
        for (part, key, item) in new {
            let condition = match has(&old, &key) {
                true => unchanged(part),
                false => Some(Condition::absent(part)),
            };
            transaction.put(item, condition)?;
        }
        let key = keys::membership(id);
        let Some(client) = after.map(|after| &after.value) else {
            let unused = Condition::new(
                Part::ClientWithoutDomains,
                "domainCount = :none",
                [(":none", number(0))],
            );
            return transaction.delete(key, Some(unused));
        };
        let membership = MembershipItem {
            agency_id: self.org.clone(),
            name: client.name.clone(),
            slug: client.slug.clone(),
            suspended_at: client.suspended_at,
            domain_count: 0,
        };
        let membership = item(key.clone(), "membership", &membership)?;
        match before {
            None => transaction.put(membership, None),
            Some(_) => {
                let update = AttributeUpdate::from_item(&MEMBERSHIP, &membership);
                transaction.update(key, &update, None)
            }
        }
    }
}

/// Which of a client's names another client has.
fn taken(refused: &Refused) -> Error {
    match refused.by(Part::ExternalId) {
        Some(_) => Error::ExternalIdTaken,
        None => Error::SlugTaken,
    }
}
