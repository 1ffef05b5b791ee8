//! The audit log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use strum::{EnumIter, EnumMessage};
use utoipa::ToSchema;

use super::{id::AuditId, time::Timestamp};
use crate::hash::sha256_hex;

/// One write, or one change of a domain's status. Entries are kept for 400 days.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"action": "client.updated", "before": {"name": "Acme"}, "after": {"name": "Acme Consulting"}}))]
pub struct AuditEntry {
    /// The id.
    #[schema(value_type = String, example = "log_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub id: AuditId,
    /// The time of the change.
    pub at: Timestamp,
    /// The user or system that made the change.
    pub actor: Actor,
    /// The type of change.
    pub action: Action,
    /// The changed resource.
    pub target: AuditTarget,
    /// The id of the request. `null` if the system made the change.
    #[schema(example = "JKJaXmPLvHcESHA=")]
    pub request_id: Option<String>,
    /// For an update, the old values of the changed properties. For a deletion, the resource.
    #[schema(value_type = Option<AuditProperties>)]
    pub before: Option<Value>,
    /// For an update, the new values of the changed properties. For a creation, the resource.
    #[schema(value_type = Option<AuditProperties>)]
    pub after: Option<Value>,
}

/// Properties of the changed resource, by name.
#[derive(ToSchema)]
#[allow(dead_code)] // Only for the documentation.
struct AuditProperties(BTreeMap<String, Value>);

/// The author of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditActor)]
pub struct Actor {
    /// `user` or `system`.
    #[serde(rename = "type")]
    pub kind: ActorType,
    /// The user's id. `null` for the system.
    #[schema(example = "user_1")]
    pub id: Option<String>,
}

/// The type of author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = AuditActorType)]
pub enum ActorType {
    /// A user of the agency.
    User,
    /// A scheduled check, or the check of another agency's domain.
    System,
}

/// The changed resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"type": "client", "id": "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"}))]
pub struct AuditTarget {
    /// The type of resource.
    #[serde(rename = "type")]
    pub kind: TargetType,
    /// The id of the resource. For an agency and a portal configuration, the id of the organization.
    pub id: String,
}

/// The type of a changed resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = AuditTargetType)]
pub enum TargetType {
    /// The agency.
    Agency,
    /// A branding.
    Branding,
    /// A portal configuration.
    PortalConfig,
    /// A client organization.
    Client,
    /// A portal domain.
    Domain,
}

/// The type of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[schema(as = AuditAction)]
pub enum Action {
    /// Agency mode was enabled.
    #[serde(rename = "agency.enabled")]
    AgencyEnabled,
    /// The agency's branding was updated.
    #[serde(rename = "branding.updated")]
    BrandingUpdated,
    /// A client's own branding was updated.
    #[serde(rename = "client-branding.updated")]
    ClientBrandingUpdated,
    /// The agency's portal configuration was updated.
    #[serde(rename = "portal-config.updated")]
    PortalConfigUpdated,
    /// A client's own portal configuration was updated.
    #[serde(rename = "client-portal-config.updated")]
    ClientPortalConfigUpdated,
    /// A client was created.
    #[serde(rename = "client.created")]
    ClientCreated,
    /// A client was updated.
    #[serde(rename = "client.updated")]
    ClientUpdated,
    /// A client was deleted.
    #[serde(rename = "client.deleted")]
    ClientDeleted,
    /// A domain was created.
    #[serde(rename = "domain.created")]
    DomainCreated,
    /// A domain was updated.
    #[serde(rename = "domain.updated")]
    DomainUpdated,
    /// A domain was deleted.
    #[serde(rename = "domain.deleted")]
    DomainDeleted,
    /// A setup link of a domain was created.
    #[serde(rename = "domain.setup-link-created")]
    SetupLinkCreated,
    /// The setup link of a domain was deleted.
    #[serde(rename = "domain.setup-link-deleted")]
    SetupLinkDeleted,
    /// A domain that had failed is checked as a new one again.
    #[serde(rename = "domain.pending")]
    DomainPending,
    /// A domain was proven.
    #[serde(rename = "domain.verified")]
    DomainVerified,
    /// The proof of a domain is missing. The domain is still served.
    #[serde(rename = "domain.failing")]
    DomainFailing,
    /// A domain is not served any more, or was not proven in time.
    #[serde(rename = "domain.failed")]
    DomainFailed,
}

/// The length in characters over which an entry has a text's length and hash in its place.
const MAX_TEXT_CHARS: usize = 256;

/// A resource as an entry keeps it: without `records` and `check`, and with the length and the hash of a style sheet and of
/// any other long text.
pub fn snapshot(resource: &impl Serialize) -> Option<Value> {
    let mut value = serde_json::to_value(resource).ok()?;
    let properties = value.as_object_mut()?;
    for left_out in ["records", "check"] {
        properties.remove(left_out);
    }
    for (name, value) in properties {
        shorten(value, if name == "customCss" { 0 } else { MAX_TEXT_CHARS });
    }
    Some(value)
}

/// Replaces the texts of more than `max` characters by their length and hash, at any depth.
fn shorten(value: &mut Value, max: usize) {
    match value {
        Value::String(text) => {
            let length = text.chars().count();
            if length > max {
                *value = json!({"length": length, "sha256": sha256_hex(text)});
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| shorten(value, max)),
        Value::Object(properties) => properties.values_mut().for_each(|value| shorten(value, max)),
        _ => {}
    }
}

/// The properties that differ between two resources, before and after. `updatedAt` is left out: it equals the entry's
/// time.
pub fn changes(before: &impl Serialize, after: &impl Serialize) -> (Option<Value>, Option<Value>) {
    let (Some(Value::Object(mut before)), Some(Value::Object(mut after))) =
        (snapshot(before), snapshot(after))
    else {
        return (None, None);
    };
    let differs = |other: &Map<String, Value>, name: &str, value: &Value| {
        name != "updatedAt" && other.get(name) != Some(value)
    };
    let unchanged_before = before.clone();
    before.retain(|name, value| differs(&after, name, value));
    after.retain(|name, value| differs(&unchanged_before, name, value));
    (Some(before.into()), Some(after.into()))
}
