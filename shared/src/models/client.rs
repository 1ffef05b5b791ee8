//! An agency's client organizations.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    fields::{Fields, Input, Policy},
    id::{ClientOrgId, OrgId},
    slug::Slug,
    text::ClientName,
    time::Timestamp,
};

/// A client organization of an agency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientOrg {
    /// The id.
    #[schema(value_type = String, example = "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub id: ClientOrgId,
    /// The agency's organization.
    pub agency_id: OrgId,
    /// The name.
    pub name: ClientName,
    /// Unique within the agency.
    pub slug: Slug,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time of the last update.
    pub updated_at: Timestamp,
}

/// A new client organization. Unknown properties are rejected.
#[derive(Debug, Clone, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientOrgCreate {
    /// The name.
    pub name: ClientName,
    /// Unique within the agency. If it is absent or `null`, the API derives one from the name.
    pub slug: Option<Slug>,
}

impl Input for ClientOrgCreate {
    fn read(fields: &mut Fields, _: Policy<'_>) -> Option<Self> {
        let name = fields.required("name");
        let slug = fields.optional("slug", str::parse);
        Some(Self { name: name?, slug })
    }
}

/// An update of a client organization. An absent property stays unchanged. Read-only properties of `ClientOrg` are
/// ignored. Unknown properties are rejected.
#[derive(Debug, Clone, ToSchema)]
pub struct ClientOrgUpdate {
    /// The new name.
    #[schema(nullable = false)]
    pub name: Option<ClientName>,
    /// The new slug. Another client can use the old one at once.
    #[schema(nullable = false)]
    pub slug: Option<Slug>,
}

impl Input for ClientOrgUpdate {
    fn read(fields: &mut Fields, _: Policy<'_>) -> Option<Self> {
        fields.ignore(&["id", "agencyId", "createdAt", "updatedAt"]);
        Some(Self {
            name: fields.present("name"),
            slug: fields.present("slug"),
        })
    }
}

/// A client organization and its agency, for the portal context.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The id.
    pub id: ClientOrgId,
    /// The agency.
    pub agency: OrgId,
    /// The name.
    pub name: ClientName,
    /// The slug.
    pub slug: Slug,
}
