//! An organization in agency mode.

use serde::Serialize;
use utoipa::ToSchema;

use super::{hostname::Hostname, id::OrgId, time::Timestamp};

/// An organization that has enabled agency mode.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Agency {
    /// The organization.
    pub organization_id: OrgId,
    /// Always true: an organization that has not enabled agency mode has no such resource.
    pub enabled: bool,
    /// When agency mode was enabled.
    pub enabled_at: Timestamp,
}

/// An agency at a glance. The counts are exact.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// The organization.
    pub organization_id: OrgId,
    /// When agency mode was enabled.
    pub enabled_at: Timestamp,
    /// Client organizations.
    pub client_count: u64,
    /// Portal domains by status.
    pub portal_domains: DomainCounts,
    /// The host name that a link to the portal should use: the oldest verified custom domain whose routing is not
    /// `elsewhere`, else the oldest subdomain.
    pub primary_domain: Option<Hostname>,
}

/// Portal domains, counted by status.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct DomainCounts {
    /// All of them.
    pub total: u64,
    /// Proven and served.
    pub verified: u64,
    /// Not proven yet.
    pub pending: u64,
    /// Still served, but the proof is gone.
    pub failing: u64,
    /// Not served.
    pub failed: u64,
}
