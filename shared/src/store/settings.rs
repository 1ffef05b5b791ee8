//! Branding and portal configuration: settings that `enable` makes and `PUT` merges.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::models::{
    audit::{Action, TargetType, changes},
    branding::{Branding, BrandingSettings, BrandingUpdate},
    id::{BrandingId, OrgId},
    portal::{PortalConfig, PortalConfigUpdate, PortalSettings},
    time::Timestamp,
};

use super::{
    Agency, Error, Item, Record, Result, Stored, item,
    keys::{self, Key},
    parse,
    transaction::{Condition, Outcome, Part},
};

/// Under which condition an update is made (RFC 9110, section 13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Whatever is there.
    Any,
    /// What is there has one of these tags.
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

/// Settings as they are stored, with what is around them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings<S> {
    #[serde(flatten)]
    settings: S,
    /// Of branding alone.
    id: Option<BrandingId>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

const BRANDING: &str = "branding";
const CONFIG: &str = "portal-config";

/// The items that `enable` makes.
pub(super) fn initial(org: &OrgId) -> Result<[Item; 2]> {
    Ok([
        item(
            keys::config(org),
            CONFIG,
            &Stored::new(Settings::<PortalSettings>::default()),
        )?,
        item(
            keys::branding(org),
            BRANDING,
            &Stored::new(Settings::<BrandingSettings>::default()),
        )?,
    ])
}

/// The settings of an item, whichever they are.
pub(super) fn settings<S: DeserializeOwned>(item: Item) -> Result<S> {
    Ok(parse::<Settings<S>>(item)?.settings)
}

/// The id of the write that left a resource as it is: its tag, new with each write and never used again.
type WriteId = String;

impl Agency<'_> {
    /// The branding and its tag.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]
    pub async fn branding(&self) -> Result<(Branding, WriteId)> {
        let stored = self.settings(keys::branding(self.org)).await?;
        Ok((self.show_branding(stored.value), stored.write_id))
    }

    /// Merges an update into the branding.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::Stale`]
    pub async fn put_branding(
        &self,
        update: BrandingUpdate,
        if_match: &IfMatch,
    ) -> Result<(Branding, WriteId)> {
        let key = keys::branding(self.org);
        let stored = self
            .put_settings(key, if_match, |before: &Settings<BrandingSettings>| {
                let id = before.id.unwrap_or_else(|| BrandingId::new(self.caller.now));
                let settings = update.clone().apply(before.settings.clone());
                let after = self.updated(before, settings, Some(id));
                let target = (TargetType::Branding, id.to_string());
                (after, BRANDING, Action::BrandingUpdated, target)
            })
            .await?;
        Ok((self.show_branding(stored.value), stored.write_id))
    }

    /// The portal configuration and its tag.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]
    pub async fn portal_config(&self) -> Result<(PortalConfig, WriteId)> {
        let stored = self.settings(keys::config(self.org)).await?;
        Ok((self.show_config(stored.value), stored.write_id))
    }

    /// Merges an update into the portal configuration.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::Stale`]
    pub async fn put_portal_config(
        &self,
        update: PortalConfigUpdate,
        if_match: &IfMatch,
    ) -> Result<(PortalConfig, WriteId)> {
        let key = keys::config(self.org);
        let stored = self
            .put_settings(key, if_match, |before: &Settings<PortalSettings>| {
                let settings = update.clone().apply(before.settings.clone());
                let after = self.updated(before, settings, None);
                let target = (TargetType::PortalConfig, self.org.to_string());
                (after, CONFIG, Action::PortalConfigUpdated, target)
            })
            .await?;
        Ok((self.show_config(stored.value), stored.write_id))
    }

    async fn settings<S: DeserializeOwned>(&self, key: Key) -> Result<Stored<Settings<S>>> {
        parse(self.store.get(key).await?.ok_or(Error::NotEnabled)?)
    }

    async fn put_settings<S: Serialize + DeserializeOwned>(
        &self,
        key: Key,
        if_match: &IfMatch,
        change: impl Fn(&Settings<S>) -> (Settings<S>, &'static str, Action, (TargetType, String)),
    ) -> Result<Stored<Settings<S>>> {
        let mut retry = self.store.retry();
        loop {
            let before: Stored<Settings<S>> = self.settings(key.clone()).await?;
            if !if_match.admits(&before.write_id) {
                return Err(Error::Stale);
            }
            let (after, entity, action, target) = change(&before.value);
            let (was, is) = changes(&before.value.settings, &after.settings);
            let after = Stored::new(after);
            let mut transaction = self.transaction();
            transaction.put(
                Part::Resource,
                item(key.clone(), entity, &after)?,
                Condition::unchanged(&before.write_id),
            )?;
            let record = Record {
                action,
                target,
                before: was,
                after: is,
                flat: Vec::new(),
            };
            self.audit(&mut transaction, record)?;
            match transaction.commit(&mut retry).await? {
                Outcome::Done => return Ok(after),
                Outcome::Refused(_) => retry.wait().await?,
            }
        }
    }

    fn updated<S>(&self, before: &Settings<S>, settings: S, id: Option<BrandingId>) -> Settings<S> {
        Settings {
            settings,
            id,
            created_at: before.created_at.or(Some(self.caller.now)),
            updated_at: Some(self.caller.now),
        }
    }

    fn show_branding(&self, stored: Settings<BrandingSettings>) -> Branding {
        Branding {
            id: stored.id,
            organization_id: self.org.clone(),
            warnings: stored.settings.warnings(),
            settings: stored.settings,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }

    fn show_config(&self, stored: Settings<PortalSettings>) -> PortalConfig {
        PortalConfig {
            organization_id: self.org.clone(),
            settings: stored.settings,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}
