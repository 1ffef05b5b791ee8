//! What a portal shows, and what its front end loads.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Code, Invalid,
    branding::BrandingSettings,
    color::Color,
    css::CustomCss,
    domain::{DomainType, Status},
    fields::{Change, Fields, Input},
    font::FontFamily,
    hostname::{HostPolicy, Hostname},
    id::OrgId,
    image_url::ImageUrl,
    slug::Slug,
    text::{ClientName, FooterText},
    time::Timestamp,
};

/// The ten settings. They say what a portal shows; the platform's own APIs enforce them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // Each is the switch of what its name says.
pub struct PortalSettings {
    pub feature_backups: bool,
    pub feature_databases: bool,
    pub feature_domains: bool,
    pub feature_file_editor: bool,
    pub feature_logs: bool,
    pub feature_monitoring: bool,
    pub feature_odoo_shell: bool,
    pub feature_terminal: bool,
    pub infrastructure_visibility: InfrastructureVisibility,
    pub team_management_enabled: bool,
}

impl Default for PortalSettings {
    /// The careful ones: what reads is on, what changes or reveals a machine is off.
    fn default() -> Self {
        Self {
            feature_backups: true,
            feature_databases: true,
            feature_domains: true,
            feature_file_editor: false,
            feature_logs: true,
            feature_monitoring: true,
            feature_odoo_shell: false,
            feature_terminal: false,
            infrastructure_visibility: InfrastructureVisibility::Hidden,
            team_management_enabled: false,
        }
    }
}

/// How much of the infrastructure a client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum InfrastructureVisibility {
    Hidden,
    Summary,
    Full,
}

impl std::str::FromStr for InfrastructureVisibility {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match super::trim(text) {
            "hidden" => Ok(Self::Hidden),
            "summary" => Ok(Self::Summary),
            "full" => Ok(Self::Full),
            _ => Err(Invalid::new(
                Code::InvalidFormat,
                "This must be hidden, summary or full.",
            )),
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
    pub settings: PortalSettings,
    /// When it was first set; `null` before.
    pub created_at: Option<Timestamp>,
    /// When it was last set; `null` before the first `PUT`.
    pub updated_at: Option<Timestamp>,
}

/// Any of the ten settings. Absent: unchanged; `null`: the default. Read-only properties of `PortalConfig` are
/// ignored, unknown ones refused.
#[derive(Debug, Clone, Default, ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(missing_docs)] // Each is the setting of the same name in `PortalSettings`.
pub struct PortalConfigUpdate {
    #[schema(value_type = Option<bool>)]
    pub feature_backups: Change<bool>,
    #[schema(value_type = Option<bool>)]
    pub feature_databases: Change<bool>,
    #[schema(value_type = Option<bool>)]
    pub feature_domains: Change<bool>,
    #[schema(value_type = Option<bool>)]
    pub feature_file_editor: Change<bool>,
    #[schema(value_type = Option<bool>)]
    pub feature_logs: Change<bool>,
    #[schema(value_type = Option<bool>)]
    pub feature_monitoring: Change<bool>,
    #[schema(value_type = Option<bool>)]
    pub feature_odoo_shell: Change<bool>,
    #[schema(value_type = Option<bool>)]
    pub feature_terminal: Change<bool>,
    #[schema(value_type = Option<InfrastructureVisibility>)]
    pub infrastructure_visibility: Change<InfrastructureVisibility>,
    #[schema(value_type = Option<bool>)]
    pub team_management_enabled: Change<bool>,
}

impl Input for PortalConfigUpdate {
    fn read(fields: &mut Fields, _: &HostPolicy) -> Option<Self> {
        fields.ignore(&["organizationId", "createdAt", "updatedAt"]);
        Some(Self {
            feature_backups: fields.change_bool("featureBackups"),
            feature_databases: fields.change_bool("featureDatabases"),
            feature_domains: fields.change_bool("featureDomains"),
            feature_file_editor: fields.change_bool("featureFileEditor"),
            feature_logs: fields.change_bool("featureLogs"),
            feature_monitoring: fields.change_bool("featureMonitoring"),
            feature_odoo_shell: fields.change_bool("featureOdooShell"),
            feature_terminal: fields.change_bool("featureTerminal"),
            infrastructure_visibility: fields.choice("infrastructureVisibility"),
            team_management_enabled: fields.change_bool("teamManagementEnabled"),
        })
    }
}

impl PortalConfigUpdate {
    /// The settings after this update.
    pub fn apply(self, mut settings: PortalSettings) -> PortalSettings {
        let default = PortalSettings::default();
        self.feature_backups
            .apply_or(&mut settings.feature_backups, default.feature_backups);
        self.feature_databases
            .apply_or(&mut settings.feature_databases, default.feature_databases);
        self.feature_domains
            .apply_or(&mut settings.feature_domains, default.feature_domains);
        self.feature_file_editor
            .apply_or(&mut settings.feature_file_editor, default.feature_file_editor);
        self.feature_logs
            .apply_or(&mut settings.feature_logs, default.feature_logs);
        self.feature_monitoring
            .apply_or(&mut settings.feature_monitoring, default.feature_monitoring);
        self.feature_odoo_shell
            .apply_or(&mut settings.feature_odoo_shell, default.feature_odoo_shell);
        self.feature_terminal
            .apply_or(&mut settings.feature_terminal, default.feature_terminal);
        self.infrastructure_visibility.apply_or(
            &mut settings.infrastructure_visibility,
            default.infrastructure_visibility,
        );
        self.team_management_enabled.apply_or(
            &mut settings.team_management_enabled,
            default.team_management_enabled,
        );
        settings
    }
}

/// All that a portal's front end needs to start.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PortalContext {
    /// Whose portal the user sees, and as whom.
    pub organization: PortalOrganization,
    /// How the portal looks.
    pub branding: PortalBranding,
    /// What the portal shows.
    pub config: PortalSettings,
    /// The domain that a link to the portal should use.
    pub domain: Option<PrimaryDomain>,
}

/// The organization for which the user acts.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PortalOrganization {
    /// The organization's id, or the client organization's.
    pub id: String,
    /// As what the organization sees the portal.
    pub role: PortalRole,
    /// The client organization's name; `null` for the agency.
    pub name: Option<ClientName>,
    /// The client organization's slug; `null` for the agency.
    pub slug: Option<Slug>,
}

/// As what an organization sees a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PortalRole {
    /// It is the agency's own.
    Agency,
    /// It is one of the agency's clients.
    Client,
}

/// The nine settings, and the colours for text upon the two colours.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortalBranding {
    /// The settings.
    #[serde(flatten)]
    pub settings: BrandingSettings,
    /// `#000000` or `#ffffff`, the one with the higher contrast against the main colour.
    pub on_primary_color: Option<Color>,
    /// The same for the accent colour.
    pub on_accent_color: Option<Color>,
}

impl From<BrandingSettings> for PortalBranding {
    fn from(settings: BrandingSettings) -> Self {
        Self {
            on_primary_color: settings.primary_color.map(Color::on),
            on_accent_color: settings.accent_color.map(Color::on),
            settings,
        }
    }
}

/// What a visitor sees before login: the settings without `fromEmail`, and the colours for text.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // Each is the setting of the same name in `PortalBranding`.
pub struct PublicBranding {
    pub accent_color: Option<Color>,
    pub custom_css: Option<CustomCss>,
    pub favicon_url: Option<ImageUrl>,
    pub font_family: Option<FontFamily>,
    pub footer_text: Option<FooterText>,
    pub login_bg_url: Option<ImageUrl>,
    pub logo_url: Option<ImageUrl>,
    pub on_accent_color: Option<Color>,
    pub on_primary_color: Option<Color>,
    pub primary_color: Option<Color>,
}

impl From<BrandingSettings> for PublicBranding {
    fn from(settings: BrandingSettings) -> Self {
        let PortalBranding {
            settings,
            on_primary_color,
            on_accent_color,
        } = settings.into();
        Self {
            accent_color: settings.accent_color,
            custom_css: settings.custom_css,
            favicon_url: settings.favicon_url,
            font_family: settings.font_family,
            footer_text: settings.footer_text,
            login_bg_url: settings.login_bg_url,
            logo_url: settings.logo_url,
            on_accent_color,
            on_primary_color,
            primary_color: settings.primary_color,
        }
    }
}

/// The domain that a link to the portal should use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PrimaryDomain {
    /// Its host name.
    pub hostname: Hostname,
    /// A name of ours or of the agency's own.
    #[serde(rename = "type")]
    pub kind: DomainType,
    /// Where it stands.
    pub status: Status,
}
