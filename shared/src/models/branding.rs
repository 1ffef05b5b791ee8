//! The branding of an agency's portal.

use serde::Serialize;
use strum::{EnumIter, EnumMessage};
use utoipa::ToSchema;

use super::{
    color::Color,
    css::CustomCss,
    email::FromEmail,
    fields::settings,
    font::FontFamily,
    id::{BrandingId, OrgId},
    image_url::ImageUrl,
    text::FooterText,
    time::Timestamp,
};

settings! {
    /// The settings of the branding.
    own BrandingSettings;
    /// Any of the settings. An absent setting stays unchanged. `null` or `""` clears a setting. Read-only properties of
    /// `Branding` are ignored. Unknown properties are rejected.
    update BrandingUpdate ignores &["id", "organizationId", "warnings", "createdAt", "updatedAt"];
    /// The settings that a visitor sees before login.
    public PublicSettings;

    public {
        /// The colour of highlighted elements.
        accent_color: Color, text_setting;
        /// A style sheet that the portal adds to its own.
        custom_css: CustomCss, text_setting;
        /// The icon of the browser tab.
        favicon_url: ImageUrl, text_setting;
        /// The portal's fonts.
        font_family: FontFamily, text_setting;
        /// The text at the bottom of each page.
        footer_text: FooterText, text_setting;
        /// The picture behind the login form.
        login_bg_url: ImageUrl, text_setting;
        /// The logo.
        logo_url: ImageUrl, text_setting;
        /// The main colour.
        primary_color: Color, text_setting;
    }
    hidden {
        /// The sender of the portal's email. The API does not verify it: check SPF, DKIM and DMARC before you send from it.
        from_email: FromEmail, text_setting;
    }
}

impl BrandingSettings {
    /// The settings that may be hard to read or to see. A warning never causes a rejection.
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
                "Choose a darker colour: {color} has a contrast of {:.2}:1 against white, and controls need 3:1 (WCAG 2.2, 1.4.11).",
                color.contrast(Color::WHITE)
            ),
        })
        .collect()
    }
}

/// An agency's branding.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"primaryColor": "#f5d90a"}))]
pub struct Branding {
    /// The id. `null` before the first `PUT`.
    #[schema(value_type = Option<String>, example = "brd_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub id: Option<BrandingId>,
    /// The organization.
    pub organization_id: OrgId,
    /// The settings.
    #[serde(flatten)]
    pub settings: BrandingSettings,
    /// The settings that may be hard to read or to see.
    pub warnings: Vec<Warning>,
    /// The time of the first `PUT`. `null` before.
    pub created_at: Option<Timestamp>,
    /// The time of the last `PUT`. `null` before the first.
    pub updated_at: Option<Timestamp>,
}

/// A hint about a setting that was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = BrandingWarning)]
pub struct Warning {
    /// The stable code, for programs.
    pub code: WarningCode,
    /// The setting: a JSON pointer (RFC 6901).
    #[schema(example = "/primaryColor")]
    pub pointer: &'static str,
    /// One sentence for a person.
    #[schema(
        example = "Choose a darker colour: #f5d90a has a contrast of 1.41:1 against white, and controls need 3:1 (WCAG 2.2, 1.4.11)."
    )]
    pub detail: String,
}

/// The codes of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = BrandingWarningCode)]
pub enum WarningCode {
    /// The colour has a contrast of less than 3:1 against white.
    LowContrast,
}
