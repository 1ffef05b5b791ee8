//! Client organizations.

use serde::{Deserialize, Serialize};

use crate::models::{
    audit::{Action, TargetType, changes, snapshot},
    client::{ClientOrg, ClientOrgCreate, ClientOrgUpdate, Membership},
    id::{ClientOrgId, OrgId},
    slug::Slug,
    text::ClientName,
};

use super::{
    Agency, Created, Error, IdempotencyKey, Page, PageRequest, Record, Result, Store, Stored, item,
    keys::{self, List},
    parse,
    transaction::{Commit, Condition, Part, Retry, Transaction, number},
};

const ENTITY: &str = "client";

/// The agency of a client organization, for requests of the client's users.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MembershipItem {
    agency_id: OrgId,
    name: ClientName,
    slug: Slug,
}

impl Store {
    /// The agency of a client organization. This reads outside the caller's partition, by an id from the caller's token.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn membership(&self, id: ClientOrgId) -> Result<Membership> {
        let item = self.get(keys::membership(id)).await?.ok_or(Error::NotFound)?;
        let membership: MembershipItem = parse(item)?;
        Ok(Membership {
            id,
            agency: membership.agency_id,
            name: membership.name,
            slug: membership.slug,
        })
    }
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
    /// [`Error::IdempotencyMismatch`], [`Error::NotEnabled`], [`Error::SlugTaken`]
    pub async fn create_client(
        &self,
        new: &ClientOrgCreate,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created<ClientOrg>> {
        let derived = Slug::from_name(&new.name, crate::random::six_bytes);
        let mut retry = self.retry();
        let mut taken = 0;
        loop {
            let slug = match (&new.slug, taken) {
                (Some(slug), _) => slug.clone(),
                (None, 0) => derived.clone(),
                (None, 1) => derived.numbered(2),
                (None, _) => derived.numbered(100_000 + crate::random::below(900_000)),
            };
            match self.try_create_client(&new.name, slug, key, &mut retry).await {
                Err(Error::SlugTaken) if new.slug.is_none() && taken < 20 => taken += 1,
                done => return done,
            }
        }
    }

    async fn try_create_client(
        &self,
        name: &ClientName,
        slug: Slug,
        key: Option<&IdempotencyKey>,
        retry: &mut Retry,
    ) -> Result<Created<ClientOrg>> {
        let now = self.caller.now;
        let client = ClientOrg {
            id: ClientOrgId::new(now),
            agency_id: self.org.clone(),
            name: name.clone(),
            slug,
            created_at: now,
            updated_at: now,
        };
        let mut transaction = self.transaction();
        self.count_clients(&mut transaction, 1)?;
        self.write_client(
            &mut transaction,
            &client,
            Condition::absent(),
            Condition::absent(),
        )?;
        self.remember(&mut transaction, "createClient", key, &client)?;
        self.audit_client(
            &mut transaction,
            client.id,
            Action::ClientCreated,
            (None, snapshot(&client)),
        )?;
        match transaction.commit(retry).await? {
            Commit::Done => Ok(Created {
                resource: client,
                replayed: false,
            }),
            Commit::Refused(refused) => {
                if let Some(replay) = Self::replay(&refused, key)? {
                    Ok(replay)
                } else if refused.by(Part::Agency).is_some() {
                    Err(Error::NotEnabled)
                } else {
                    Err(Error::SlugTaken)
                }
            }
        }
    }

    /// Updates a client.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`], [`Error::SlugTaken`]
    pub async fn update_client(&self, id: ClientOrgId, update: &ClientOrgUpdate) -> Result<ClientOrg> {
        let mut retry = self.retry();
        loop {
            let before = self.stored_client(id).await?;
            let mut client = before.value.clone();
            client.updated_at = self.caller.now;
            if let Some(name) = &update.name {
                client.name = name.clone();
            }
            if let Some(slug) = &update.slug {
                client.slug = slug.clone();
            }
            let mut transaction = self.transaction();
            let renamed = client.slug != before.value.slug;
            if renamed {
                transaction.delete(
                    Part::Unconditional,
                    keys::slug(self.org, &before.value.slug),
                    None,
                )?;
            }
            let free = if renamed { Condition::absent() } else { None };
            self.write_client(
                &mut transaction,
                &client,
                Condition::unchanged(&before.write_id),
                free,
            )?;
            self.audit_client(
                &mut transaction,
                id,
                Action::ClientUpdated,
                changes(&before.value, &client),
            )?;
            match transaction.commit(&mut retry).await? {
                Commit::Done => return Ok(client),
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
            let mut transaction = self.transaction();
            self.count_clients(&mut transaction, -1)?;
            transaction.delete(
                Part::Resource,
                keys::client(self.org, id),
                Condition::unchanged(&before.write_id),
            )?;
            transaction.delete(
                Part::Unconditional,
                keys::slug(self.org, &before.value.slug),
                None,
            )?;
            transaction.delete(Part::Unconditional, keys::membership(id), None)?;
            self.audit_client(
                &mut transaction,
                id,
                Action::ClientDeleted,
                (snapshot(&before.value), None),
            )?;
            match transaction.commit(&mut retry).await? {
                Commit::Done => return Ok(()),
                Commit::Refused(_) => retry.wait().await?,
            }
        }
    }

    fn count_clients(&self, transaction: &mut Transaction<'_>, change: i64) -> Result<()> {
        transaction.update(
            Part::Agency,
            keys::agency(self.org),
            "ADD clientCount :change",
            Condition::new("attribute_exists(PK)", []),
            [(":change", number(change))],
        )
    }

    /// Writes the client, its copy under the slug, and its membership.
    fn write_client(
        &self,
        transaction: &mut Transaction<'_>,
        client: &ClientOrg,
        condition: Option<Condition>,
        slug_condition: Option<Condition>,
    ) -> Result<()> {
        let stored = Stored::new(client);
        transaction.put(
            Part::Resource,
            item(keys::client(self.org, client.id), ENTITY, &stored)?,
            condition,
        )?;
        let slug_key = keys::slug(self.org, &client.slug);
        transaction.put(Part::Slug, item(slug_key, "slug", client)?, slug_condition)?;
        let membership = MembershipItem {
            agency_id: self.org.clone(),
            name: client.name.clone(),
            slug: client.slug.clone(),
        };
        transaction.put(
            Part::Unconditional,
            item(keys::membership(client.id), "membership", &membership)?,
            None,
        )
    }

    fn audit_client(
        &self,
        transaction: &mut Transaction<'_>,
        id: ClientOrgId,
        action: Action,
        changes: (Option<serde_json::Value>, Option<serde_json::Value>),
    ) -> Result<()> {
        let record = Record::new(action, TargetType::Client, id, changes);
        self.audit(transaction, record)
    }
}
