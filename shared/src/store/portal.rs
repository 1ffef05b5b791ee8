//! The data of a portal's front end.

use crate::{
    auth::Tenant,
    models::{
        branding::BrandingSettings,
        client::Membership,
        features::FeatureDefaults,
        hostname::Hostname,
        id::{ClientOrgId, OrgId},
        portal::{
            PortalConfigValues, PortalContext, PortalContextDomain, PortalOrganization, PublicBranding,
        },
    },
};

use super::{
    Caller, DomainRecord, Error, Hold, Result, Store, clients::membership, keys, parse, settings::settings,
};

/// The settings of a portal and the domain that its links should use.
struct Portal {
    config: PortalConfigValues,
    branding: BrandingSettings,
    domain: Option<PortalContextDomain>,
}

impl Portal {
    /// Each value, and where it is not set that of `inherited`.
    fn or(self, inherited: Self) -> Self {
        Self {
            config: self.config.or(inherited.config),
            branding: self.branding.or(inherited.branding),
            domain: self.domain.or(inherited.domain),
        }
    }
}

impl Store {
    /// The portal of the caller's agency, or of the agency whose client the caller is. With `host`, as the page at this host shows
    /// it; `Some(None)` is a text that is not a host name.
    ///
    /// # Errors
    /// [`Error::ClientSuspended`], [`Error::WrongPortal`], [`Error::NoPortal`]
    pub async fn portal_context(
        &self,
        caller: &Caller,
        host: Option<Option<Hostname>>,
        features: &FeatureDefaults,
    ) -> Result<PortalContext> {
        let (organization, portal) = match &caller.principal.tenant {
            Tenant::Agency(org) => {
                let portal = match host {
                    None => self.agency_portal(org).await?,
                    Some(host) => self.portal_at(self.holder_at(host).await?, org, None).await?,
                };
                (PortalOrganization::of_agency(org), portal)
            }
            Tenant::Client(id) => {
                let own = self.client_portal(*id);
                let (client, portal) = match host {
                    None => {
                        let (client, own) = own.await?;
                        let agency = self.agency_portal(&client.agency).await?;
                        (client, own.or(agency))
                    }
                    Some(host) => {
                        let (own, holder) = tokio::join!(own, self.holder_at(host));
                        let (client, own) = own?;
                        let at_host = self.portal_at(holder?, &client.agency, Some(*id)).await?;
                        (client, Portal { domain: None, ..own }.or(at_host))
                    }
                };
                (PortalOrganization::of_client(client), portal)
            }
            Tenant::NoOrganization => return Err(Error::NoPortal),
        };
        Ok(PortalContext {
            organization,
            branding: portal.branding.into(),
            config: portal.config.resolve(features),
            domain: portal.domain,
        })
    }

    /// A client, and what it has set for its own portal. This reads outside the caller's partition, by an id from the caller's
    /// token.
    async fn client_portal(&self, id: ClientOrgId) -> Result<(Membership, Portal)> {
        let partition = keys::client_partition(id);
        let mut items = self.between(partition, keys::SUMMARY, 4).await?.into_iter();
        let (Some(config), Some(branding), Some(client)) = (items.next(), items.next(), items.next()) else {
            return Err(Error::NoPortal);
        };
        let client = membership(id, client)?;
        if client.suspended_at.is_some() {
            return Err(Error::ClientSuspended);
        }
        let portal = Portal {
            config: settings(config)?,
            branding: settings(branding)?,
            domain: items.next().map(parse).transpose()?,
        };
        Ok((client, portal))
    }

    async fn agency_portal(&self, org: &OrgId) -> Result<Portal> {
        let limit = 4 + keys::CLIENT_SHARDS;
        let mut items = self
            .between(keys::partition(org), keys::SUMMARY, limit)
            .await?
            .into_iter();
        let (Some(config), Some(branding), Some(_)) = (items.next(), items.next(), items.next()) else {
            return Err(Error::NoPortal);
        };
        Ok(Portal {
            config: settings(config)?,
            branding: settings(branding)?,
            domain: items.nth(keys::CLIENT_SHARDS.into()).map(parse).transpose()?,
        })
    }

    async fn holder_at(&self, host: Option<Hostname>) -> Result<Option<Hold>> {
        match host {
            Some(hostname) => self.holder(&hostname).await,
            None => Ok(None),
        }
    }

    /// The portal at the host that `holder` has, for a user of this agency or of its client, with the branding of the client whose
    /// domain it is.
    async fn portal_at(
        &self,
        holder: Option<Hold>,
        agency: &OrgId,
        client: Option<ClientOrgId>,
    ) -> Result<Portal> {
        let holder = holder.ok_or(Error::NoPortal)?;
        let is_own = holder.client.is_none() || client.is_none() || holder.client == client;
        if holder.agency != *agency || !is_own {
            return Err(Error::WrongPortal);
        }
        let [config, own, branding, domain] = self
            .read([
                keys::config(agency, None),
                keys::branding(agency, holder.client),
                keys::branding(agency, None),
                keys::domain(agency, holder.domain),
            ])
            .await?;
        let domain: DomainRecord = parse(domain.ok_or(Error::NoPortal)?)?;
        let domain = domain.domain();
        if domain.client_org_id != holder.client {
            // The domain moved since its holder was read.
            return Err(Error::Conflict);
        }
        if !domain.status.serves() {
            return Err(Error::NoPortal);
        }
        let own: BrandingSettings = settings(own.ok_or(Error::NoPortal)?)?;
        Ok(Portal {
            config: settings(config.ok_or(Error::NoPortal)?)?,
            branding: own.or(settings(branding.ok_or(Error::NoPortal)?)?),
            domain: Some(domain.primary()),
        })
    }

    /// The branding of the agency or client that serves this host name.
    ///
    /// # Errors
    /// [`Error::NoPortal`]
    pub async fn public_branding(&self, hostname: &Hostname) -> Result<PublicBranding> {
        let Hold { agency, client, .. } = self.holder(hostname).await?.ok_or(Error::NoPortal)?;
        let keys = [keys::branding(&agency, client), keys::branding(&agency, None)];
        let [own, inherited] = self.read(keys).await?;
        let own: BrandingSettings = settings(own.ok_or(Error::NoPortal)?)?;
        let inherited = settings(inherited.ok_or(Error::NoPortal)?)?;
        Ok(PublicBranding::new(&agency, client, own.or(inherited)))
    }
}
