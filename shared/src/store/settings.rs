//! Branding and portal configuration, of an agency and of each of its clients: settings that are created with the agency or the
//! client, and that `PUT` merges.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::hash::sha256_hex;
use crate::models::{
    audit::{Action, changes},
    branding::{Branding, BrandingSettings, BrandingUpdate},
    features::FeatureDefaults,
    id::{BrandingId, ClientOrgId, OrgId},
    portal::{PortalConfigUpdate, PortalConfigValues, StoredPortalConfig},
    time::Timestamp,
};

use super::{
    Agency, Error, Item, Record, Result, Stored, WriteId, item,
    keys::{self, Key},
    parse,
    transaction::{Commit, Condition, Part},
};

/// The precondition of an update (RFC 9110, section 13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// No condition, or `*`.
    Any,
    /// The last write of the resource has one of these tags.
    Tags(Vec<String>),
}

impl IfMatch {
    fn admits(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|known| known == tag),
        }
    }
}

/// Stored settings.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredSettings<S> {
    #[serde(flatten)]
    settings: S,
    /// Only for branding.
    id: Option<BrandingId>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

/// An item with settings. An agency has one of each, and so has each of its clients.
struct SettingsItem {
    entity: &'static str,
    key: fn(&OrgId, Option<ClientOrgId>) -> Key,
}

const BRANDING: SettingsItem = SettingsItem {
    entity: "branding",
    key: keys::branding,
};
const CONFIG: SettingsItem = SettingsItem {
    entity: "portal-config",
    key: keys::config,
};

/// The settings of an agency or of one of its clients, and what the client inherits from the agency.
struct Layers<S> {
    own: Stored<StoredSettings<S>>,
    inherited: S,
}

/// The tag of a write of settings. The write's id is not shown, because an id tells the time.
fn tag(write: WriteId) -> String {
    sha256_hex(&write.to_string())
}

/// The items that are created with an agency or with a client.
pub(super) fn initial(org: &OrgId, client: Option<ClientOrgId>, write: WriteId) -> Result<[Item; 2]> {
    fn empty<S: Serialize + Default>(kind: &SettingsItem, key: Key, write: WriteId) -> Result<Item> {
        item(
            key,
            kind.entity,
            &Stored::new(StoredSettings::<S>::default(), write),
        )
    }
    Ok([
        empty::<PortalConfigValues>(&CONFIG, keys::config(org, client), write)?,
        empty::<BrandingSettings>(&BRANDING, keys::branding(org, client), write)?,
    ])
}

/// The settings of an item.
pub(super) fn settings<S: DeserializeOwned>(item: Item) -> Result<S> {
    Ok(parse::<StoredSettings<S>>(item)?.settings)
}

impl Agency<'_> {
    /// The branding of the agency or of one of its clients, and its tag.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`]
    pub async fn branding(&self, client: Option<ClientOrgId>) -> Result<(Branding, String)> {
        Ok(self.show_branding(self.settings(&BRANDING, client).await?))
    }

    /// Merges an update into the branding of the agency or of one of its clients.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`], [`Error::Stale`]
    pub async fn put_branding(
        &self,
        client: Option<ClientOrgId>,
        update: BrandingUpdate,
        if_match: &IfMatch,
    ) -> Result<(Branding, String)> {
        let new_id = BrandingId::new(self.caller.now);
        let merge = |before: &StoredSettings<BrandingSettings>| StoredSettings {
            id: before.id.or(Some(new_id)),
            settings: update.clone().apply(before.settings.clone()),
            ..before.clone()
        };
        let record = |before: &StoredSettings<BrandingSettings>, after: &StoredSettings<BrandingSettings>| {
            let changes = changes(&before.settings, &after.settings);
            match client {
                Some(client) => Record::new(Action::ClientBrandingUpdated, client, changes),
                None => Record::new(Action::BrandingUpdated, after.id.unwrap_or(new_id), changes),
            }
        };
        let layers = self
            .put_settings(&BRANDING, client, if_match, merge, record)
            .await?;
        Ok(self.show_branding(layers))
    }

    /// The portal configuration of the agency or of one of its clients, and its tag.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`]
    pub async fn portal_config(&self, client: Option<ClientOrgId>) -> Result<(StoredPortalConfig, String)> {
        Ok(self.show_config(self.settings(&CONFIG, client).await?))
    }

    /// Merges an update into the portal configuration of the agency or of one of its clients. The audit entry has the values of
    /// `features`.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`], [`Error::Stale`]
    pub async fn put_portal_config(
        &self,
        client: Option<ClientOrgId>,
        features: &FeatureDefaults,
        update: PortalConfigUpdate,
        if_match: &IfMatch,
    ) -> Result<(StoredPortalConfig, String)> {
        type Values = StoredSettings<PortalConfigValues>;
        let merge = |before: &Values| StoredSettings {
            settings: before.settings.clone().apply(update.clone()),
            ..before.clone()
        };
        let record = |before: &Values, after: &Values| {
            let (before, after) = (before.settings.clone(), after.settings.clone());
            match client {
                Some(client) => {
                    let changes = changes(&before.own(features), &after.own(features));
                    Record::new(Action::ClientPortalConfigUpdated, client, changes)
                }
                None => {
                    let changes = changes(&before.resolve(features), &after.resolve(features));
                    Record::new(Action::PortalConfigUpdated, self.org, changes)
                }
            }
        };
        let layers = self
            .put_settings(&CONFIG, client, if_match, merge, record)
            .await?;
        Ok(self.show_config(layers))
    }

    /// Reads settings in one request.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], then [`Error::NotFound`].
    async fn settings<S: DeserializeOwned + Default>(
        &self,
        kind: &SettingsItem,
        client: Option<ClientOrgId>,
    ) -> Result<Layers<S>> {
        let agency = (kind.key)(self.org, None);
        let Some(id) = client else {
            let item = self.store.get(agency).await?.ok_or(Error::NotEnabled)?;
            return Ok(Layers {
                own: parse(item)?,
                inherited: S::default(),
            });
        };
        // The client's item in the agency's own partition shows that the client is the agency's.
        let wanted = [agency, keys::client(self.org, id), (kind.key)(self.org, client)];
        let [agency, client, own] = self.store.read(wanted).await?;
        let inherited = settings(agency.ok_or(Error::NotEnabled)?)?;
        let (Some(_), Some(own)) = (client, own) else {
            return Err(Error::NotFound);
        };
        let own = parse(own)?;
        Ok(Layers { own, inherited })
    }

    async fn put_settings<S: Serialize + DeserializeOwned + Default>(
        &self,
        kind: &SettingsItem,
        client: Option<ClientOrgId>,
        if_match: &IfMatch,
        merge: impl Fn(&StoredSettings<S>) -> StoredSettings<S>,
        record: impl Fn(&StoredSettings<S>, &StoredSettings<S>) -> Record,
    ) -> Result<Layers<S>> {
        let mut retry = self.retry();
        loop {
            let Layers { own, inherited } = self.settings(kind, client).await?;
            if !if_match.admits(&tag(own.write_id)) {
                return Err(Error::Stale);
            }
            let write = self.write_after(&own);
            let settings = StoredSettings {
                created_at: own.value.created_at.or(Some(write.time())),
                updated_at: Some(write.time()),
                ..merge(&own.value)
            };
            let after = Stored::new(settings, write);
            let mut transaction = self.transaction();
            // A deletion of the client deletes the item, so that this fails.
            let unchanged = Condition::unchanged(Part::Resource, own.write_id);
            let written = item((kind.key)(self.org, client), kind.entity, &after)?;
            transaction.put(written, Some(unchanged))?;
            let record = record(&own.value, &after.value);
            self.audit(&mut transaction, write, record)?;
            match transaction.commit(&mut retry).await? {
                Commit::Done => {
                    return Ok(Layers {
                        own: after,
                        inherited,
                    });
                }
                Commit::Refused(_) => retry.wait().await?,
            }
        }
    }

    fn show_branding(&self, layers: Layers<BrandingSettings>) -> (Branding, String) {
        let Stored { value: own, write_id } = layers.own;
        let branding = Branding {
            id: own.id,
            organization_id: self.org.clone(),
            warnings: own.settings.clone().or(layers.inherited).warnings(),
            settings: own.settings,
            created_at: own.created_at,
            updated_at: own.updated_at,
        };
        (branding, tag(write_id))
    }

    fn show_config(&self, layers: Layers<PortalConfigValues>) -> (StoredPortalConfig, String) {
        let Stored { value: own, write_id } = layers.own;
        let config = StoredPortalConfig {
            organization_id: self.org.clone(),
            values: own.settings,
            created_at: own.created_at,
            updated_at: own.updated_at,
        };
        (config, tag(write_id))
    }
}
