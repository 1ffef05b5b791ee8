//! Who changed what, and when.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{id::AuditId, time::Timestamp};
use crate::hash::sha256_hex;

/// One write, or one change of a domain's status. Kept 400 days.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Its id.
    #[schema(value_type = String, example = "log_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What was done.
    pub action: Action,
    /// To what.
    pub target: Target,
    /// The request that did it; `null` in what the system did.
    pub request_id: Option<String>,
    /// Of an update, the changed properties as they were; of a deletion, the resource.
    pub before: Option<Value>,
    /// Of an update, the changed properties as they are; of a creation, the resource.
    pub after: Option<Value>,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// A person or the system.
    #[serde(rename = "type")]
    pub kind: ActorType,
    /// The user's id; `null` for the system.
    pub id: Option<String>,
}

/// A person or the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ActorType {
    User,
    System,
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Target {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: TargetType,
    /// Its id; of an agency and of a portal configuration, the organization's.
    pub id: String,
}

/// The types of what can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum TargetType {
    Agency,
    Branding,
    PortalConfig,
    Client,
    Domain,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub enum Action {
    #[serde(rename = "agency.enabled")]
    AgencyEnabled,
    #[serde(rename = "branding.updated")]
    BrandingUpdated,
    #[serde(rename = "portal-config.updated")]
    PortalConfigUpdated,
    #[serde(rename = "client.created")]
    ClientCreated,
    #[serde(rename = "client.updated")]
    ClientUpdated,
    #[serde(rename = "client.deleted")]
    ClientDeleted,
    #[serde(rename = "domain.created")]
    DomainCreated,
    #[serde(rename = "domain.deleted")]
    DomainDeleted,
    #[serde(rename = "domain.pending")]
    DomainPending,
    #[serde(rename = "domain.verified")]
    DomainVerified,
    #[serde(rename = "domain.failing")]
    DomainFailing,
    #[serde(rename = "domain.failed")]
    DomainFailed,
}

/// A resource as an entry keeps it: without `records` and `check`, and of a stylesheet only what tells it apart.
pub fn snapshot(resource: &impl Serialize) -> Option<Value> {
    let mut value = serde_json::to_value(resource).ok()?;
    let properties = value.as_object_mut()?;
    for left_out in ["records", "check"] {
        properties.remove(left_out);
    }
    if let Some(Value::String(css)) = properties.get("customCss") {
        let summary = json!({"length": css.chars().count(), "sha256": sha256_hex(css)});
        properties.insert("customCss".to_owned(), summary);
    }
    Some(value)
}

/// The properties that differ between two resources: as they were, and as they are. Its time of update is the
/// entry's own.
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
