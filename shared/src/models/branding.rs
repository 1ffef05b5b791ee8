//! How an agency's portal looks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    color::Color,
    css::CustomCss,
    email::FromEmail,
    fields::{Change, Fields, Input},
    font::FontFamily,
    hostname::HostPolicy,
    id::{BrandingId, OrgId},
    image_url::ImageUrl,
    text::FooterText,
    time::Timestamp,
};

/// The nine settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrandingSettings {
    /// The colour of what stands out.
    pub accent_color: Option<Color>,
    /// A stylesheet that the portal adds to its own.
    pub custom_css: Option<CustomCss>,
    /// The icon in a browser's tab.
    pub favicon_url: Option<ImageUrl>,
    /// The portal's typeface.
    pub font_family: Option<FontFamily>,
    /// Text at the foot of each page.
    pub footer_text: Option<FooterText>,
    /// Where the portal's e-mail comes from. Not proven: check SPF, DKIM and DMARC before sending from it.
    pub from_email: Option<FromEmail>,
    /// The picture behind the login form.
    pub login_bg_url: Option<ImageUrl>,
    /// The logo.
    pub logo_url: Option<ImageUrl>,
    /// The main colour.
    pub primary_color: Option<Color>,
}

impl BrandingSettings {
    /// What may be hard to read or to see. Never a refusal.
    pub fn warnings(&self) -> Vec<Warning> {
        [
            ("/accentColor", self.accent_color),
            ("/primaryColor", self.primary_color),
        ]
        .into_iter()
        .filter_map(|(pointer, color)| Some((pointer, color.filter(|color| color.low_contrast())?)))
        .map(|(pointer, color)| Warning {
            code: WarningCode::LowContrast,
            pointer,
            detail: format!(
                "{color} has a contrast of {:.2}:1 against white; controls need 3:1 (WCAG 2.2, 1.4.11).",
                color.contrast(Color::WHITE)
            ),
        })
        .collect()
    }
}

/// An agency's branding.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Branding {
    /// Its id; `null` before the first `PUT`.
    #[schema(value_type = Option<String>, example = "brd_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub id: Option<BrandingId>,
    /// The organization.
    pub organization_id: OrgId,
    /// The settings.
    #[serde(flatten)]
    pub settings: BrandingSettings,
    /// What may be hard to read or to see.
    pub warnings: Vec<Warning>,
    /// When it was first set; `null` before.
    pub created_at: Option<Timestamp>,
    /// When it was last set; `null` before the first `PUT`.
    pub updated_at: Option<Timestamp>,
}

/// A hint about a setting that was taken all the same.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Warning {
    /// Stable and machine-readable.
    pub code: WarningCode,
    /// The setting: a JSON pointer (RFC 6901).
    #[schema(example = "/primaryColor")]
    pub pointer: &'static str,
    /// One sentence for a person.
    pub detail: String,
}

/// The codes of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WarningCode {
    /// Less than 3:1 against white.
    LowContrast,
}

/// Any of the nine settings. Absent: unchanged; `null` or `""`: cleared. Read-only properties of `Branding` are
/// ignored, unknown ones refused.
#[derive(Debug, Clone, Default, ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(missing_docs)] // Each is the setting of the same name in `BrandingSettings`.
pub struct BrandingUpdate {
    #[schema(value_type = Option<Color>)]
    pub accent_color: Change<Color>,
    #[schema(value_type = Option<CustomCss>)]
    pub custom_css: Change<CustomCss>,
    #[schema(value_type = Option<ImageUrl>)]
    pub favicon_url: Change<ImageUrl>,
    #[schema(value_type = Option<FontFamily>)]
    pub font_family: Change<FontFamily>,
    #[schema(value_type = Option<FooterText>)]
    pub footer_text: Change<FooterText>,
    #[schema(value_type = Option<FromEmail>)]
    pub from_email: Change<FromEmail>,
    #[schema(value_type = Option<ImageUrl>)]
    pub login_bg_url: Change<ImageUrl>,
    #[schema(value_type = Option<ImageUrl>)]
    pub logo_url: Change<ImageUrl>,
    #[schema(value_type = Option<Color>)]
    pub primary_color: Change<Color>,
}

impl Input for BrandingUpdate {
    fn read(fields: &mut Fields, _: &HostPolicy) -> Option<Self> {
        fields.ignore(&["id", "organizationId", "warnings", "createdAt", "updatedAt"]);
        Some(Self {
            accent_color: fields.change("accentColor"),
            custom_css: fields.change("customCss"),
            favicon_url: fields.change("faviconUrl"),
            font_family: fields.change("fontFamily"),
            footer_text: fields.change("footerText"),
            from_email: fields.change("fromEmail"),
            login_bg_url: fields.change("loginBgUrl"),
            logo_url: fields.change("logoUrl"),
            primary_color: fields.change("primaryColor"),
        })
    }
}

impl BrandingUpdate {
    /// The settings after this update.
    pub fn apply(self, mut settings: BrandingSettings) -> BrandingSettings {
        self.accent_color.apply(&mut settings.accent_color);
        self.custom_css.apply(&mut settings.custom_css);
        self.favicon_url.apply(&mut settings.favicon_url);
        self.font_family.apply(&mut settings.font_family);
        self.footer_text.apply(&mut settings.footer_text);
        self.from_email.apply(&mut settings.from_email);
        self.login_bg_url.apply(&mut settings.login_bg_url);
        self.logo_url.apply(&mut settings.logo_url);
        self.primary_color.apply(&mut settings.primary_color);
        settings
    }
}
