//! Branding and portal configuration: settings that `enable` creates and `PUT` merges.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::hash::sha256_hex;
use crate::models::{
    audit::{Action, changes},
    branding::{Branding, BrandingSettings, BrandingUpdate},
    id::{BrandingId, ClientOrgId, OrgId},
    portal::{PortalConfig, PortalConfigUpdate, PortalOverrides, PortalSettings},
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
    /// The resource has one of these tags.
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

const BRANDING: &str = "branding";
const CONFIG: &str = "portal-config";

/// The entity tag of settings. Each write has its own. The write's id is not shown, because an id tells the time.
fn tag(write: WriteId) -> String {
    sha256_hex(&write.to_string())
}

/// The items that are created with an agency or, with `client`, with one of its clients.
pub(super) fn initial(org: &OrgId, client: Option<ClientOrgId>, write: WriteId) -> Result<[Item; 2]> {
    let config = Stored::new(Settings::<PortalOverrides>::default(), write);
    let branding = Stored::new(Settings::<BrandingSettings>::default(), write);
    Ok([
        item(keys::config(org, client), CONFIG, &config)?,
        item(keys::branding(org, client), BRANDING, &branding)?,
    ])
}

/// The settings of an item.
pub(super) fn settings<S: DeserializeOwned>(item: Item) -> Result<S> {
    Ok(parse::<Settings<S>>(item)?.settings)
}

impl Agency<'_> {
    /// The branding and its tag.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]
    pub async fn branding(&self) -> Result<(Branding, String)> {
        Ok(self.show_branding(self.settings(keys::branding(self.org, None)).await?))
    }

    /// Merges an update into the branding.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::Stale`]
    pub async fn put_branding(
        &self,
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
            Record::new(Action::BrandingUpdated, after.id.unwrap_or(new_id), changes)
        };
        let key = keys::branding(self.org, None);
        let stored = self.put_settings(key, BRANDING, if_match, merge, record).await?;
        Ok(self.show_branding(stored))
    }

    /// The portal configuration and its tag.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]
    pub async fn portal_config(&self) -> Result<(PortalConfig, String)> {
        Ok(self.show_config(self.settings(keys::config(self.org, None)).await?))
    }

    /// Merges an update into the portal configuration.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::Stale`]
    pub async fn put_portal_config(
        &self,
        update: PortalConfigUpdate,
        if_match: &IfMatch,
    ) -> Result<(PortalConfig, String)> {
        let merge = |before: &Settings<PortalOverrides>| Settings {
            settings: update.clone().apply(before.settings.clone()),
            ..before.clone()
        };
        let record = |before: &Settings<PortalOverrides>, after: &Settings<PortalOverrides>| {
            let shown = |of: &Settings<PortalOverrides>| PortalSettings::from(of.settings.clone());
            let changes = changes(&shown(before), &shown(after));
            Record::new(Action::PortalConfigUpdated, self.org, changes)
        };
        let key = keys::config(self.org, None);
        let stored = self.put_settings(key, CONFIG, if_match, merge, record).await?;
        Ok(self.show_config(stored))
    }

    async fn settings<S: DeserializeOwned>(&self, key: Key) -> Result<Stored<Settings<S>>> {
        parse(self.store.get(key).await?.ok_or(Error::NotEnabled)?)
    }

    async fn put_settings<S: Serialize + DeserializeOwned>(
        &self,
        key: Key,
        entity: &str,
        if_match: &IfMatch,
        merge: impl Fn(&Settings<S>) -> Settings<S>,
        record: impl Fn(&Settings<S>, &Settings<S>) -> Record,
    ) -> Result<Stored<Settings<S>>> {
        let mut retry = self.retry();
        loop {
            let before: Stored<Settings<S>> = self.settings(key.clone()).await?;
            if !if_match.admits(&tag(before.write_id)) {
                return Err(Error::Stale);
            }
            let write = self.write_after(&before);
            let settings = Settings {
                created_at: before.value.created_at.or(Some(write.time())),
                updated_at: Some(write.time()),
                ..merge(&before.value)
            };
            let after = Stored::new(settings, write);
            let mut transaction = self.transaction();
            let unchanged = Condition::unchanged(Part::Resource, before.write_id);
            transaction.put(item(key.clone(), entity, &after)?, Some(unchanged))?;
            let record = record(&before.value, &after.value);
            self.audit(&mut transaction, write, record)?;
            match transaction.commit(&mut retry).await? {
                Commit::Done => return Ok(after),
                Commit::Refused(_) => retry.wait().await?,
            }
        }
    }

    fn show_branding(&self, stored: Stored<Settings<BrandingSettings>>) -> (Branding, String) {
        let settings = stored.value.settings;
        let branding = Branding {
            id: stored.value.id,
            organization_id: self.org.clone(),
            warnings: settings.warnings(),
            settings,
            created_at: stored.value.created_at,
            updated_at: stored.value.updated_at,
        };
        (branding, tag(stored.write_id))
    }

    fn show_config(&self, stored: Stored<Settings<PortalOverrides>>) -> (PortalConfig, String) {
        let config = PortalConfig {
            organization_id: self.org.clone(),
            settings: stored.value.settings.into(),
            created_at: stored.value.created_at,
            updated_at: stored.value.updated_at,
        };
        (config, tag(stored.write_id))
    }
}
