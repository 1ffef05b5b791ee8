//! Client organizations.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::models::{
    audit::{Action, changes, snapshot},
    client::{ClientOrg, ClientOrgCreate, ClientOrgUpdate, Membership},
    id::{ClientOrgId, OrgId},
    slug::Slug,
    text::ClientName,
};

use super::{
    Agency, Created, Error, IdempotencyKey, Item, Page, PageRequest, Record, Result, Stored, WriteId, item,
    keys::{self, List},
    parse, settings,
    transaction::{AttributeUpdate, Commit, Condition, Part, Refused, Retry, Transaction, number},
};

/// The number of the clients in one shard of an agency.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientCount {
    pub(super) client_count: i64,
}

/// The numbers of clients in these items of an agency's shards.
pub(super) fn client_counts(shards: impl IntoIterator<Item = Item>) -> Result<Vec<i64>> {
    let counts = shards.into_iter().map(parse::<ClientCount>);
    counts.map(|count| Ok(count?.client_count)).collect()
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
}

/// The client with this item.
pub(super) fn membership(id: ClientOrgId, item: Item) -> Result<Membership> {
    let membership: MembershipItem = parse(item)?;
    Ok(Membership {
        id,
        agency: membership.agency_id,
        name: membership.name,
        slug: membership.slug,
    })
}

impl Agency<'_> {
    /// A page of the clients, oldest first.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::InvalidCursor`]
    pub async fn clients(&self, page: &PageRequest) -> Result<Page<ClientOrg>> {
        self.page(List::Clients, page).await
    }

    /// The client with this slug. `None` stands for a slug that does not parse.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]
    pub async fn client_by_slug(&self, slug: Option<&Slug>) -> Result<Option<ClientOrg>> {
        // The nil id finds no client, but the request still tells whether agency mode is enabled.
        let key = match slug {
            Some(slug) => keys::slug(self.org, slug),
            None => keys::client(self.org, ClientOrgId::NIL),
        };
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
    /// [`Error::IdempotencyMismatch`], [`Error::NotEnabled`], [`Error::SlugTaken`], [`Error::LimitReached`]
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
            match self
                .try_create_client(&place, &new.name, slug, key, &mut retry)
                .await
            {
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
        let counters = self.store.between(self.org, bounds, keys::CLIENT_SHARDS).await?;
        if counters.is_empty() {
            return Err(Error::NotEnabled);
        }
        let counts = client_counts(counters)?;
        // The limit may have been higher, and so a shard may have room although the agency has none.
        if counts.iter().sum::<i64>() >= i64::from(limit.get()) {
            let id = ClientOrgId::new(self.caller.now);
            return Ok(Place { id, share: 0 });
        }
        loop {
            let id = ClientOrgId::new(self.caller.now);
            let share = share(limit, shard(id));
            let count = counts.get(usize::from(shard(id)));
            if count.is_some_and(|count| *count < share) {
                return Ok(Place { id, share });
            }
        }
    }

    async fn try_create_client(
        &self,
        place: &Place,
        name: &ClientName,
        slug: Slug,
        key: Option<&IdempotencyKey>,
        retry: &mut Retry,
    ) -> Result<Created<ClientOrg>> {
        let (id, now) = (place.id, self.caller.now);
        let client = ClientOrg {
            id,
            agency_id: self.org.clone(),
            name: name.clone(),
            slug,
            created_at: now,
            updated_at: now,
        };
        let write = WriteId::new(now);
        let mut transaction = self.transaction();
        let room = Condition::new(
            Part::Counter,
            "clientCount < :share",
            [(":share", number(place.share))],
        );
        let count = AttributeUpdate::add([("clientCount", 1)]);
        transaction.update(keys::client_count(self.org, shard(id)), &count, Some(room))?;
        let absent = Condition::absent(Part::Resource);
        let free = Some(Condition::absent(Part::Slug));
        self.write_client(
            &mut transaction,
            &Stored::new(client.clone(), write),
            absent,
            free,
        )?;
        for settings in settings::initial(self.org, Some(id), write)? {
            transaction.put(settings, None)?;
        }
        let changes = (None, snapshot(&client));
        let record = Record::new(Action::ClientCreated, id, changes);
        self.audit(&mut transaction, write, record)?;
        let operation = ("createClient", key);
        let reason = |refused: &Refused| match refused.by(Part::Counter) {
            Some(_) => Error::LimitReached,
            None => Error::SlugTaken,
        };
        self.create(transaction, client, operation, retry, reason).await
    }

    /// Updates a client.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`], [`Error::SlugTaken`]
    pub async fn update_client(&self, id: ClientOrgId, update: &ClientOrgUpdate) -> Result<ClientOrg> {
        let mut retry = self.retry();
        loop {
            let before = self.stored_client(id).await?;
            let write = self.write_after(&before);
            let mut client = before.value.clone();
            client.updated_at = write.time();
            if let Some(name) = &update.name {
                client.name = name.clone();
            }
            if let Some(slug) = &update.slug {
                client.slug = slug.clone();
            }
            let mut transaction = self.transaction();
            let mut free = None;
            if client.slug != before.value.slug {
                transaction.delete(keys::slug(self.org, &before.value.slug), None)?;
                free = Some(Condition::absent(Part::Slug));
            }
            let unchanged = Condition::unchanged(Part::Resource, before.write_id);
            let after = Stored::new(client, write);
            self.write_client(&mut transaction, &after, unchanged, free)?;
            let changes = changes(&before.value, &after.value);
            self.audit(
                &mut transaction,
                write,
                Record::new(Action::ClientUpdated, id, changes),
            )?;
            match transaction.commit(&mut retry).await? {
                Commit::Done => return Ok(after.value),
                Commit::Refused(refused) if refused.by(Part::Resource).is_none() => {
                    return Err(Error::SlugTaken);
                }
                Commit::Refused(_) => retry.wait().await?,
            }
        }
    }

    /// Deletes a client. Its users lose access at once.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`]
    pub async fn delete_client(&self, id: ClientOrgId) -> Result<()> {
        let mut retry = self.retry();
        loop {
            let before = self.stored_client(id).await?;
            let write = self.write_after(&before);
            let mut transaction = self.transaction();
            let count = AttributeUpdate::add([("clientCount", -1)]);
            transaction.update(keys::client_count(self.org, shard(id)), &count, None)?;
            let unchanged = Condition::unchanged(Part::Resource, before.write_id);
            transaction.delete(keys::client(self.org, id), Some(unchanged))?;
            transaction.delete(keys::slug(self.org, &before.value.slug), None)?;
            transaction.delete(keys::membership(id), None)?;
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
                Commit::Refused(_) => retry.wait().await?,
            }
        }
    }

    /// Writes the client, its copy under the slug, and its membership.
    fn write_client(
        &self,
        transaction: &mut Transaction<'_>,
        stored: &Stored<ClientOrg>,
        condition: Condition,
        slug_condition: Option<Condition>,
    ) -> Result<()> {
        let client = &stored.value;
        let written = item(keys::client(self.org, client.id), "client", stored)?;
        transaction.put(written, Some(condition))?;
        let copy = item(keys::slug(self.org, &client.slug), "slug", client)?;
        transaction.put(copy, slug_condition)?;
        let membership = MembershipItem {
            agency_id: self.org.clone(),
            name: client.name.clone(),
            slug: client.slug.clone(),
        };
        let membership = item(keys::membership(client.id), "membership", &membership)?;
        transaction.put(membership, None)
    }
}
