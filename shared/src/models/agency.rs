//! Agencies: organizations that have enabled agency mode.

use serde::Serialize;
use utoipa::ToSchema;

use super::{hostname::Hostname, id::OrgId, time::Timestamp};

/// An organization that has enabled agency mode.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Agency)]
pub struct AgencyResource {
    /// The organization.
    pub organization_id: OrgId,
    /// Always `true`. An organization that has not enabled agency mode does not have this resource.
    pub enabled: bool,
    /// The time at which agency mode was enabled.
    pub enabled_at: Timestamp,
}

/// A summary of an agency. The counts are exact.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AgencyOverview)]
pub struct Overview {
    /// The organization.
    pub organization_id: OrgId,
    /// The time at which agency mode was enabled.
    pub enabled_at: Timestamp,
    /// The number of client organizations.
    #[schema(example = 12)]
    pub client_count: u64,
    /// The number of client organizations that are suspended.
    #[schema(example = 1)]
    pub suspended_client_count: u64,
    /// The numbers of portal domains.
    pub portal_domains: DomainCounts,
    /// The host name that a portal link should use. The first that exists: the agency's `primary` domain while it is verified and
    /// its routing is not `elsewhere`; the agency's oldest verified custom domain whose routing is not `elsewhere`; the agency's
    /// oldest subdomain. A client's domain never is.
    pub primary_domain: Option<Hostname>,
}

/// Portal domains, counted by status and by certificate.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PortalDomainCounts)]
pub struct DomainCounts {
    /// All domains.
    #[schema(example = 5)]
    pub total: u64,
    /// Ownership is proven, and the domain serves the portal.
    #[schema(example = 3)]
    pub verified: u64,
    /// Ownership is not proven yet.
    #[schema(example = 1)]
    pub pending: u64,
    /// The domain still serves the portal, but the proof is missing.
    #[schema(example = 1)]
    pub failing: u64,
    /// The domain does not serve the portal.
    #[schema(example = 0)]
    pub failed: u64,
    /// The `state` of its `tls` is `pending` or `failing`.
    #[schema(example = 0)]
    pub tls_not_ready: u64,
}
