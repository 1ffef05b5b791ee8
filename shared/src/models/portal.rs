//! The portal configuration, and the data that a portal's front end loads.

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage};
use utoipa::ToSchema;

use super::{
    Code, Invalid,
    branding::{BrandingSettings, PublicBrandingSettings},
    client::Membership,
    color::{Color, TextColor},
    domain::{DomainType, Status},
    features::{FeatureDefaults, FeatureOverrides, FeatureValues},
    fields::settings,
    hostname::Hostname,
    id::{ClientOrgId, OrgId},
    reject,
    slug::Slug,
    text::ClientName,
    time::Timestamp,
};

settings! {
    /// The settings of an agency or of a client. `null` means that a setting is not set.
    own OwnPortalSettings;
    /// Any of the settings. An absent setting stays unchanged. `null` restores the default, or what a client inherits. Read-only
    /// properties of `PortalConfig` and `ClientPortalConfig` are ignored. Unknown properties are rejected.
    update PortalConfigUpdate ignores &["organizationId", "clientOrgId", "createdAt", "updatedAt"], with {
        /// The operator's features to change. A feature that is absent stays unchanged. This property is unknown if the operator
        /// has no features.
        #[schema(value_type = Option<FeatureOverrides>, nullable = false)]
        features: FeatureOverrides;
    };
    /// The settings. They tell a portal what to show. The platform's own APIs enforce them.
    ///
    /// By default, settings for reading are on, and settings that change or reveal a machine are off.
    resolved ResolvedPortalSettings;

    /// Whether the portal shows backups.
    feature_backups: bool = true, nullable_boolean;
    /// Whether the portal shows databases.
    feature_databases: bool = true, nullable_boolean;
    /// Whether the portal shows domains.
    feature_domains: bool = true, nullable_boolean;
    /// Whether the portal has a file editor.
    feature_file_editor: bool = false, nullable_boolean;
    /// Whether the portal shows logs.
    feature_logs: bool = true, nullable_boolean;
    /// Whether the portal shows monitoring.
    feature_monitoring: bool = true, nullable_boolean;
    /// Whether the portal has an Odoo shell.
    feature_odoo_shell: bool = false, nullable_boolean;
    /// Whether the portal has a terminal.
    feature_terminal: bool = false, nullable_boolean;
    /// How much of the infrastructure the portal shows.
    infrastructure_visibility: InfrastructureVisibility = InfrastructureVisibility::Hidden, nullable_text;
    /// Whether clients manage their own team members.
    team_management_enabled: bool = false, nullable_boolean;
}

/// What an agency or a client has set in its portal configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PortalConfigValues {
    /// The settings.
    #[serde(flatten)]
    pub settings: OwnPortalSettings,
    /// The operator's features, also those that the operator has removed since.
    #[serde(default)]
    pub features: FeatureValues,
}

impl PortalConfigValues {
    /// Each value, and where it is not set that of `inherited`.
    #[must_use]
    pub fn or(self, inherited: Self) -> Self {
        Self {
            settings: self.settings.or(inherited.settings),
            features: self.features.or(inherited.features),
        }
    }

    /// The values after this update.
    #[must_use]
    pub fn apply(mut self, update: PortalConfigUpdate) -> Self {
        self.features.apply(update.features.clone());
        self.settings = update.apply(self.settings);
        self
    }

    /// The value of each setting and feature: the own one, else the default.
    pub fn resolve(self, features: &FeatureDefaults) -> ResolvedPortalConfig {
        ResolvedPortalConfig {
            settings: self.settings.into(),
            features: features.resolve(&self.features),
        }
    }

    /// The own value of each setting and feature.
    pub fn own(self, features: &FeatureDefaults) -> OwnPortalConfig {
        OwnPortalConfig {
            settings: self.settings,
            features: features.own(&self.features),
        }
    }
}

/// The settings, and the operator's features.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ResolvedPortalConfig {
    /// The settings.
    #[serde(flatten)]
    pub settings: ResolvedPortalSettings,
    /// The operator's features. Absent if the operator has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub features: Option<FeatureValues>,
}

/// The settings of a client, and the operator's features. `null` is inherited from the agency.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OwnPortalConfig {
    /// The settings.
    #[serde(flatten)]
    pub settings: OwnPortalSettings,
    /// The operator's features. Absent if the operator has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub features: Option<FeatureOverrides>,
}

/// The portal configuration of an agency or of a client, as it is stored.
#[derive(Debug, Clone)]
pub struct StoredPortalConfig {
    /// The agency's organization.
    pub organization_id: OrgId,
    /// What is set.
    pub values: PortalConfigValues,
    /// The time of the first `PUT`.
    pub created_at: Option<Timestamp>,
    /// The time of the last `PUT`.
    pub updated_at: Option<Timestamp>,
}

impl StoredPortalConfig {
    /// The configuration of an agency, with the defaults.
    pub fn resolve(self, features: &FeatureDefaults) -> PortalConfig {
        PortalConfig {
            organization_id: self.organization_id,
            settings: self.values.resolve(features),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    /// The own configuration of this client.
    pub fn own(self, client_org_id: ClientOrgId, features: &FeatureDefaults) -> ClientPortalConfig {
        ClientPortalConfig {
            organization_id: self.organization_id,
            client_org_id,
            settings: self.values.own(features),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// How much of the infrastructure the portal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InfrastructureVisibility {
    /// Nothing.
    Hidden,
    /// A summary.
    Summary,
    /// Everything.
    Full,
}

impl std::str::FromStr for InfrastructureVisibility {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match super::trim(text) {
            "hidden" => Ok(Self::Hidden),
            "summary" => Ok(Self::Summary),
            "full" => Ok(Self::Full),
            _ => reject(Code::InvalidFormat, "This must be hidden, summary or full."),
        }
    }
}

/// An agency's portal configuration.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortalConfig {
    /// The organization.
    pub organization_id: OrgId,
    /// The settings.
    #[serde(flatten)]
    pub settings: ResolvedPortalConfig,
    /// The time of the first `PUT`. `null` before.
    pub created_at: Option<Timestamp>,
    /// The time of the last `PUT`. `null` before the first.
    pub updated_at: Option<Timestamp>,
}

/// A client's own portal configuration: what differs from the agency's. A setting that is `null` is inherited from the agency.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientPortalConfig {
    /// The agency's organization.
    pub organization_id: OrgId,
    /// The client.
    #[schema(value_type = String, example = "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub client_org_id: ClientOrgId,
    /// The settings.
    #[serde(flatten)]
    pub settings: OwnPortalConfig,
    /// The time of the first `PUT`. `null` before.
    pub created_at: Option<Timestamp>,
    /// The time of the last `PUT`. `null` before the first.
    pub updated_at: Option<Timestamp>,
}

/// All data that a portal's front end needs to start.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PortalContext {
    /// The organization that the user acts for.
    pub organization: PortalOrganization,
    /// The branding.
    pub branding: PortalBranding,
    /// The configuration.
    pub config: ResolvedPortalConfig,
    /// With `host`, this host. Otherwise the primary domain, or `null`.
    pub domain: Option<PortalContextDomain>,
}

/// The organization that the user acts for.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"role": "client"}))]
pub struct PortalOrganization {
    /// The id of the organization or client organization.
    #[schema(example = "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub id: String,
    /// The relation of the organization to the portal.
    pub role: PortalRole,
    /// The client organization's name. `null` for the agency.
    pub name: Option<ClientName>,
    /// The client organization's slug. `null` for the agency.
    pub slug: Option<Slug>,
}

impl PortalOrganization {
    /// The agency of the portal.
    pub fn of_agency(org: &OrgId) -> Self {
        Self {
            id: org.to_string(),
            role: PortalRole::Agency,
            name: None,
            slug: None,
        }
    }

    /// A client of the portal's agency.
    pub fn of_client(client: Membership) -> Self {
        Self {
            id: client.id.to_string(),
            role: PortalRole::Client,
            name: Some(client.name),
            slug: Some(client.slug),
        }
    }
}

/// The relation of an organization to a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PortalRole {
    /// The agency of the portal.
    Agency,
    /// A client organization of that agency.
    Client,
}

/// The settings, and the colours for text on the colours.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PortalBranding {
    /// The settings.
    #[serde(flatten)]
    pub settings: BrandingSettings,
    /// The colours for text.
    #[serde(flatten)]
    pub text: BrandingTextColors,
}

impl From<BrandingSettings> for PortalBranding {
    fn from(settings: BrandingSettings) -> Self {
        let text = BrandingTextColors::on(&settings);
        Self { settings, text }
    }
}

/// The branding that a visitor sees before login: the settings without `fromEmail`, and the colours for text on the colours.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicBranding {
    /// The client organization whose portal this is, otherwise the agency's organization: a hint for the identity provider.
    #[schema(example = "org_acme")]
    pub organization_id: String,
    /// The settings.
    #[serde(flatten)]
    pub settings: PublicBrandingSettings,
    /// The colours for text.
    #[serde(flatten)]
    pub text: BrandingTextColors,
}

impl PublicBranding {
    /// The branding of an agency's portal or, with `client`, of the portal of that client.
    pub fn new(agency: &OrgId, client: Option<ClientOrgId>, settings: BrandingSettings) -> Self {
        Self {
            organization_id: client.map_or_else(|| agency.to_string(), |client| client.to_string()),
            text: BrandingTextColors::on(&settings),
            settings: settings.into(),
        }
    }
}

/// The colours for text on the colours of a branding: `#000000` or `#ffffff`, the one with the higher contrast.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrandingTextColors {
    /// The text colour on the main colour.
    #[schema(value_type = Option<TextColor>)]
    pub on_primary_color: Option<Color>,
    /// The text colour on the accent colour.
    #[schema(value_type = Option<TextColor>)]
    pub on_accent_color: Option<Color>,
    /// The text colour on the main colour of dark mode.
    #[schema(value_type = Option<TextColor>)]
    pub on_primary_color_dark: Option<Color>,
    /// The text colour on the accent colour of dark mode.
    #[schema(value_type = Option<TextColor>)]
    pub on_accent_color_dark: Option<Color>,
}

impl BrandingTextColors {
    fn on(settings: &BrandingSettings) -> Self {
        Self {
            on_primary_color: settings.primary_color.map(Color::on),
            on_accent_color: settings.accent_color.map(Color::on),
            on_primary_color_dark: settings.primary_color_dark.map(Color::on),
            on_accent_color_dark: settings.accent_color_dark.map(Color::on),
        }
    }
}

/// The domain of a portal context: the host that the request names, or the primary domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"status": "verified"}))]
pub struct PortalContextDomain {
    /// The host name.
    pub hostname: Hostname,
    /// A subdomain of the portal domain or a custom domain.
    #[serde(rename = "type")]
    pub kind: DomainType,
    /// The status.
    pub status: Status,
}
