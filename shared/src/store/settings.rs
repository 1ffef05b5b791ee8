//! Branding and portal configuration, of an agency and of each of its clients: settings that are created with the agency or the
//! client, and that `PUT` merges.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::hash::sha256_hex;
use crate::models::{
    audit::{Action, changes},
    branding::{Branding, BrandingSettings, BrandingUpdate},
    features::Features,
    id::{BrandingId, ClientOrgId, OrgId},
    portal::{ClientPortalConfig, ConfigValues, PortalConfig, PortalConfigUpdate},
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
struct Settings<S> {
    #[serde(flatten)]
    settings: S,
    /// Only for branding.
    id: Option<BrandingId>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

/// A kind of settings. An agency has one item of each kind, and so has each of its clients.
struct Kind {
    entity: &'static str,
    key: fn(&OrgId, Option<ClientOrgId>) -> Key,
}

const BRANDING: Kind = Kind {
    entity: "branding",
    key: keys::branding,
};
const CONFIG: Kind = Kind {
    entity: "portal-config",
    key: keys::config,
};

/// The settings of an agency or of one of its clients, and what the client inherits from the agency.
struct Layers<S> {
    own: Stored<Settings<S>>,
    inherited: S,
}

/// The tag of a write of settings. The write's id is not shown, because an id tells the time.
fn tag(write: WriteId) -> String {
    sha256_hex(&write.to_string())
}

/// The items that are created with an agency or with a client.
pub(super) fn initial(org: &OrgId, client: Option<ClientOrgId>, write: WriteId) -> Result<[Item; 2]> {
    fn empty<S: Serialize + Default>(kind: &Kind, key: Key, write: WriteId) -> Result<Item> {
        item(key, kind.entity, &Stored::new(Settings::<S>::default(), write))
    }
    Ok([
        empty::<ConfigValues>(&CONFIG, keys::config(org, client), write)?,
        empty::<BrandingSettings>(&BRANDING, keys::branding(org, client), write)?,
    ])
}

/// The settings of an item.
pub(super) fn settings<S: DeserializeOwned>(item: Item) -> Result<S> {
    Ok(parse::<Settings<S>>(item)?.settings)
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
        let merge = |before: &Settings<BrandingSettings>| Settings {
            id: before.id.or(Some(new_id)),
            settings: update.clone().apply(before.settings.clone()),
            ..before.clone()
        };
        let record = |before: &Settings<BrandingSettings>, after: &Settings<BrandingSettings>| {
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

    /// The portal configuration and its tag.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]
    pub async fn portal_config(&self, features: &Features) -> Result<(PortalConfig, String)> {
        Ok(self.show_config(features, self.settings(&CONFIG, None).await?))
    }

    /// Merges an update into the portal configuration.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::Stale`]
    pub async fn put_portal_config(
        &self,
        features: &Features,
        update: PortalConfigUpdate,
        if_match: &IfMatch,
    ) -> Result<(PortalConfig, String)> {
        let record = |before: &Settings<ConfigValues>, after: &Settings<ConfigValues>| {
            let shown = |of: &Settings<ConfigValues>| of.settings.clone().resolve(features);
            let changes = changes(&shown(before), &shown(after));
            Record::new(Action::PortalConfigUpdated, self.org, changes)
        };
        let layers = self.put_config(None, update, if_match, record).await?;
        Ok(self.show_config(features, layers))
    }

    /// A client's own portal configuration and its tag.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`]
    pub async fn client_portal_config(
        &self,
        client: ClientOrgId,
        features: &Features,
    ) -> Result<(ClientPortalConfig, String)> {
        let layers = self.settings(&CONFIG, Some(client)).await?;
        Ok(self.show_client_config(client, features, layers))
    }

    /// Merges an update into a client's own portal configuration.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`], [`Error::Stale`]
    pub async fn put_client_portal_config(
        &self,
        client: ClientOrgId,
        features: &Features,
        update: PortalConfigUpdate,
        if_match: &IfMatch,
    ) -> Result<(ClientPortalConfig, String)> {
        let record = |before: &Settings<ConfigValues>, after: &Settings<ConfigValues>| {
            let shown = |of: &Settings<ConfigValues>| of.settings.clone().own(features);
            let changes = changes(&shown(before), &shown(after));
            Record::new(Action::ClientPortalConfigUpdated, client, changes)
        };
        let layers = self.put_config(Some(client), update, if_match, record).await?;
        Ok(self.show_client_config(client, features, layers))
    }

    async fn put_config(
        &self,
        client: Option<ClientOrgId>,
        update: PortalConfigUpdate,
        if_match: &IfMatch,
        record: impl Fn(&Settings<ConfigValues>, &Settings<ConfigValues>) -> Record,
    ) -> Result<Layers<ConfigValues>> {
        let merge = |before: &Settings<ConfigValues>| Settings {
            settings: before.settings.clone().apply(update.clone()),
            ..before.clone()
        };
        self.put_settings(&CONFIG, client, if_match, merge, record).await
    }

    /// Reads settings in one request.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], then [`Error::NotFound`].
    async fn settings<S: DeserializeOwned + Default>(
        &self,
        kind: &Kind,
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
        kind: &Kind,
        client: Option<ClientOrgId>,
        if_match: &IfMatch,
        merge: impl Fn(&Settings<S>) -> Settings<S>,
        record: impl Fn(&Settings<S>, &Settings<S>) -> Record,
    ) -> Result<Layers<S>> {
        let mut retry = self.retry();
        loop {
            let Layers { own, inherited } = self.settings(kind, client).await?;
            if !if_match.admits(&tag(own.write_id)) {
                return Err(Error::Stale);
            }
            let write = self.write_after(&own);
            let settings = Settings {
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

    fn show_config(&self, features: &Features, layers: Layers<ConfigValues>) -> (PortalConfig, String) {
        let Stored { value: own, write_id } = layers.own;
        let config = PortalConfig {
            organization_id: self.org.clone(),
            settings: own.settings.resolve(features),
            created_at: own.created_at,
            updated_at: own.updated_at,
        };
        (config, tag(write_id))
    }

    fn show_client_config(
        &self,
        client: ClientOrgId,
        features: &Features,
        layers: Layers<ConfigValues>,
    ) -> (ClientPortalConfig, String) {
        let Stored { value: own, write_id } = layers.own;
        let config = ClientPortalConfig {
            organization_id: self.org.clone(),
            client_org_id: client,
            settings: own.settings.own(features),
            created_at: own.created_at,
            updated_at: own.updated_at,
        };
        (config, tag(write_id))
    }
}
