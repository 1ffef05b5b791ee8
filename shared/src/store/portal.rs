//! The data of a portal's front end.

use crate::{
    auth::Tenant,
    models::{
        branding::BrandingSettings,
        hostname::Hostname,
        portal::{PortalContext, PortalOrganization, PortalOverrides, PortalRole},
    },
};

use super::{Caller, Error, Result, Store, keys, parse, settings::settings};

impl Store {
    /// The portal of the caller's agency, or of the agency whose client the caller is.
    ///
    /// # Errors
    /// [`Error::NoPortal`]
    pub async fn portal_context(&self, caller: &Caller) -> Result<PortalContext> {
        let (agency, organization) = match &caller.principal.tenant {
            Tenant::Agency(org) => {
                let organization = PortalOrganization {
                    id: org.to_string(),
                    role: PortalRole::Agency,
                    name: None,
                    slug: None,
                };
                (org.clone(), organization)
            }
            Tenant::Client(id) => {
                let membership = self.membership(*id).await.map_err(|error| match error {
                    Error::NotFound => Error::NoPortal,
                    other => other,
                })?;
                let organization = PortalOrganization {
                    id: membership.id.to_string(),
                    role: PortalRole::Client,
                    name: Some(membership.name),
                    slug: Some(membership.slug),
                };
                (membership.agency, organization)
            }
            Tenant::NoOrganization => return Err(Error::NoPortal),
        };
        let limit = 4 + keys::CLIENT_SHARDS;
        let mut items = self.between(&agency, keys::SUMMARY, limit).await?.into_iter();
        let (Some(config), Some(branding), Some(_)) = (items.next(), items.next(), items.next()) else {
            return Err(Error::NoPortal);
        };
        Ok(PortalContext {
            organization,
            branding: settings::<BrandingSettings>(branding)?.into(),
            config: settings::<PortalOverrides>(config)?.into(),
            domain: items.nth(keys::CLIENT_SHARDS.into()).map(parse).transpose()?,
        })
    }

    /// The branding of the agency that serves this host name.
    ///
    /// # Errors
    /// [`Error::NoPortal`]
    pub async fn public_branding(&self, hostname: &Hostname) -> Result<BrandingSettings> {
        let holder = self.holder(hostname).await?.ok_or(Error::NoPortal)?;
        settings(
            self.get(keys::branding(&holder.agency, None))
                .await?
                .ok_or(Error::NoPortal)?,
        )
    }
}
