//! An agency's client organizations.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    fields::{Fields, Input},
    hostname::HostPolicy,
    id::{ClientOrgId, OrgId},
    slug::Slug,
    text::ClientName,
    time::Timestamp,
};

/// A client organization of an agency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientOrg {
    /// Its id.
    #[schema(value_type = String, example = "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub id: ClientOrgId,
    /// The agency's organization.
    pub agency_id: OrgId,
    /// Its name.
    pub name: ClientName,
    /// Unique within the agency.
    pub slug: Slug,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last updated.
    pub updated_at: Timestamp,
}

/// A new client organization. Unknown properties are refused.
#[derive(Debug, Clone, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientOrgCreate {
    /// Its name.
    pub name: ClientName,
    /// Unique within the agency; where it is absent or `null`, one is made from the name.
    pub slug: Option<Slug>,
}

impl Input for ClientOrgCreate {
    fn read(fields: &mut Fields, _: &HostPolicy) -> Option<Self> {
        let name = fields.required("name");
        let slug = fields.optional("slug", str::parse);
        Some(Self { name: name?, slug })
    }
}

/// A change of a client organization. Absent: unchanged. Read-only properties of `ClientOrg` are ignored,
/// unknown ones refused.
#[derive(Debug, Clone, ToSchema)]
pub struct ClientOrgUpdate {
    /// A new name.
    #[schema(nullable = false)]
    pub name: Option<ClientName>,
    /// A new slug; the old one is free at once.
    #[schema(nullable = false)]
    pub slug: Option<Slug>,
}

impl Input for ClientOrgUpdate {
    fn read(fields: &mut Fields, _: &HostPolicy) -> Option<Self> {
        fields.ignore(&["id", "agencyId", "createdAt", "updatedAt"]);
        Some(Self {
            name: fields.present("name"),
            slug: fields.present("slug"),
        })
    }
}

/// The user's client organization, as the portal's context needs it.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The client organization.
    pub id: ClientOrgId,
    /// Whose client it is.
    pub agency: OrgId,
    /// Its name.
    pub name: ClientName,
    /// Its slug.
    pub slug: Slug,
}
