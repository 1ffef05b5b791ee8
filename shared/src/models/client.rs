//! An agency's client organizations.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    fields::{FieldError, Fields, Input, Policy},
    id::{ClientOrgId, OrgId},
    metadata::{ClientMetadataChanges, Metadata, MetadataChanges},
    slug::Slug,
    text::{ClientName, ExternalId},
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
    /// The agency's own id for the client, unique within the agency. `null` if it is not set.
    pub external_id: Option<ExternalId>,
    /// The agency's own data about the client.
    pub metadata: Metadata,
    /// The time since which the client is suspended. Its users cannot load the portal. `null` if it is not suspended.
    pub suspended_at: Option<Timestamp>,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time of the last update.
    pub updated_at: Timestamp,
}

/// A new client organization. Unknown properties are rejected.
#[derive(Debug, Clone, ToSchema)]
#[schema(rename_all = "camelCase")]
#[serde(deny_unknown_fields)]
pub struct ClientOrgCreate {
    /// The name.
    pub name: ClientName,
    /// Unique within the agency. If it is absent or `null`, the API derives one from the name.
    pub slug: Option<Slug>,
    /// The agency's own id for the client, unique within the agency.
    pub external_id: Option<ExternalId>,
    /// The agency's own data about the client. A pair with the value `null` counts as absent.
    #[schema(value_type = Option<ClientMetadataChanges>)]
    pub metadata: Metadata,
}

impl Input for ClientOrgCreate {
    fn read(fields: &mut Fields, _: Policy<'_>) -> Option<Self> {
        let name = fields.required("name");
        let slug = fields.optional("slug", str::parse);
        let external_id = fields.optional("externalId", str::parse);
        if !fields.has("metadata") {
            fields.ignore(&["metadata"]);
        }
        let metadata = fields.pairs("metadata").unwrap_or_default();
        let metadata = Metadata::default().merge(&metadata);
        let metadata = metadata.map_err(|error| fields.add(error)).ok();
        Some(Self {
            name: name?,
            slug,
            external_id,
            metadata: metadata?,
        })
    }
}

/// An update of a client organization. An absent property stays unchanged. Read-only properties of `ClientOrg` are
/// ignored. Unknown properties are rejected.
#[derive(Debug, Clone, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ClientOrgUpdate {
    /// The new name.
    #[schema(nullable = false)]
    pub name: Option<ClientName>,
    /// The new slug. Another client can use the old one at once.
    #[schema(nullable = false)]
    pub slug: Option<Slug>,
    /// The new external id. `null` removes it.
    #[schema(value_type = Option<ExternalId>)]
    pub external_id: Option<Option<ExternalId>>,
    /// Pairs to set and, with the value `null`, to remove.
    #[schema(value_type = Option<ClientMetadataChanges>, nullable = false)]
    pub metadata: Option<MetadataChanges>,
    /// `true` suspends the client, `false` ends the suspension.
    #[schema(nullable = false)]
    pub suspended: Option<bool>,
}

impl Input for ClientOrgUpdate {
    fn read(fields: &mut Fields, _: Policy<'_>) -> Option<Self> {
        fields.ignore(&["id", "agencyId", "suspendedAt", "createdAt", "updatedAt"]);
        Some(Self {
            name: fields.present("name"),
            slug: fields.present("slug"),
            external_id: fields.nullable_text("externalId"),
            metadata: fields.pairs("metadata"),
            suspended: fields.present_boolean("suspended"),
        })
    }
}

impl ClientOrgUpdate {
    /// The client after this update at `now`.
    ///
    /// # Errors
    /// See [`Metadata::merge`].
    pub fn apply(&self, client: &ClientOrg, now: Timestamp) -> Result<ClientOrg, FieldError> {
        let client = client.clone();
        Ok(ClientOrg {
            name: self.name.clone().unwrap_or(client.name),
            slug: self.slug.clone().unwrap_or(client.slug),
            external_id: self.external_id.clone().unwrap_or(client.external_id),
            metadata: match &self.metadata {
                Some(changes) => client.metadata.merge(changes)?,
                None => client.metadata,
            },
            suspended_at: match self.suspended {
                // A client that is suspended already keeps the time.
                Some(true) => client.suspended_at.or(Some(now)),
                Some(false) => None,
                None => client.suspended_at,
            },
            updated_at: now,
            ..client
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
    /// The time since which the client is suspended.
    pub suspended_at: Option<Timestamp>,
}
