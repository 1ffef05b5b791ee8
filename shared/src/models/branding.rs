//! The branding of an agency's portal.

use serde::Serialize;
use strum::{EnumIter, EnumMessage};
use utoipa::ToSchema;

use super::{
    color::Color,
    css::CustomCss,
    email::FromEmail,
    fields::settings,
    font::{FontFamily, FontUrl},
    id::{BrandingId, ClientOrgId, OrgId},
    image_url::ImageUrl,
    language::Language,
    link::{PageUrl, SupportUrl},
    text::{FooterText, PortalName},
    time::Timestamp,
};

settings! {
    /// The settings of a branding. `null` means that a setting is not set.
    own BrandingSettings;
    /// Any of the settings. An absent setting stays unchanged. `null` or `""` clears a setting. Read-only properties of
    /// `Branding` and `ClientBranding` are ignored. Unknown properties are rejected.
    update BrandingUpdate ignores &["id", "organizationId", "clientOrgId", "warnings", "createdAt", "updatedAt"];
    /// The settings that a visitor sees before login.
    public PublicBrandingSettings;

    public {
        /// The colour of highlighted elements.
        accent_color: Color, text_setting;
        /// The same in dark mode. If neither the client nor the agency has set it, dark mode uses `accentColor`.
        accent_color_dark: Color, text_setting;
        /// A style sheet that the portal adds to its own.
        custom_css: CustomCss, text_setting;
        /// The icon of the browser tab.
        favicon_url: ImageUrl, text_setting;
        /// The portal's fonts.
        font_family: FontFamily, text_setting;
        /// The file of the first font of `fontFamily`.
        font_url: FontUrl, text_setting;
        /// The text at the bottom of each page.
        footer_text: FooterText, text_setting;
        /// The page about the publisher of the portal.
        imprint_url: PageUrl, text_setting;
        /// The language of the portal.
        language: Language, text_setting;
        /// The picture behind the login form.
        login_bg_url: ImageUrl, text_setting;
        /// The logo in dark mode. If neither the client nor the agency has set it, dark mode uses `logoUrl`.
        logo_dark_url: ImageUrl, text_setting;
        /// The logo.
        logo_url: ImageUrl, text_setting;
        /// The name of the portal, for titles, `alt` texts and emails.
        portal_name: PortalName, text_setting;
        /// The main colour.
        primary_color: Color, text_setting;
        /// The same in dark mode. If neither the client nor the agency has set it, dark mode uses `primaryColor`.
        primary_color_dark: Color, text_setting;
        /// The page about the protection of personal data.
        privacy_url: PageUrl, text_setting;
        /// Where users get help.
        support_url: SupportUrl, text_setting;
        /// The page with the terms of use.
        terms_url: PageUrl, text_setting;
    }
    hidden {
        /// The sender of the portal's email. The API does not verify it: check SPF, DKIM and DMARC before you send from it.
        from_email: FromEmail, text_setting;
    }
}

impl BrandingSettings {
    /// The settings that may be hard to read or without effect. A warning never causes a rejection.
    pub fn warnings(&self) -> Vec<BrandingWarning> {
        let colors = [
            (
                "/accentColor",
                self.accent_color,
                "/accentColorDark",
                self.accent_color_dark,
            ),
            (
                "/primaryColor",
                self.primary_color,
                "/primaryColorDark",
                self.primary_color_dark,
            ),
        ];
        let contrast = colors
            .into_iter()
            .flat_map(|(pointer, light, dark_pointer, dark)| {
                // Without a colour for it, dark mode uses the other one.
                let in_the_dark = match dark {
                    Some(dark) => low_contrast(dark_pointer, dark, Color::DARK, "Choose a lighter colour"),
                    None => light.and_then(|light| {
                        let fix = format!("Set {} to a lighter colour", &dark_pointer[1..]);
                        low_contrast(pointer, light, Color::DARK, &fix)
                    }),
                };
                let on_white = light
                    .and_then(|light| low_contrast(pointer, light, Color::WHITE, "Choose a darker colour"));
                [on_white, in_the_dark].into_iter().flatten()
            });
        let named = self.font_family.as_ref().and_then(FontFamily::first_name);
        let unused = (self.font_url.is_some() && named.is_none()).then(|| BrandingWarning {
            code: BrandingWarningCode::FontUnused,
            pointer: "/fontUrl",
            detail: "Begin fontFamily with the name of the font: the file of fontUrl is not used without it."
                .to_owned(),
        });
        contrast.chain(unused).collect()
    }
}

fn low_contrast(
    pointer: &'static str,
    color: Color,
    background: Color,
    fix: &str,
) -> Option<BrandingWarning> {
    color.has_low_contrast(background).then(|| {
        let ratio = color.contrast(background);
        let against = match background {
            Color::WHITE => "white".to_owned(),
            dark => format!("{dark}, the background in dark mode"),
        };
        BrandingWarning {
            code: BrandingWarningCode::LowContrast,
            pointer,
            detail: format!(
                "{fix}: {color} has a contrast of {ratio:.2}:1 against {against}, and controls need 3:1 (WCAG 2.2, 1.4.11)."
            ),
        }
    })
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
    /// The settings that may be hard to read or without effect.
    pub warnings: Vec<BrandingWarning>,
    /// The time of the first `PUT`. `null` before.
    pub created_at: Option<Timestamp>,
    /// The time of the last `PUT`. `null` before the first.
    pub updated_at: Option<Timestamp>,
}

/// A client's own branding: what differs from the agency's. A setting that is `null` is inherited from the agency. The warnings are
/// those of the branding that the client's portal has, with what is inherited.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"primaryColor": "#f5d90a"}))]
pub struct ClientBranding {
    /// The client.
    #[schema(value_type = String, example = "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub client_org_id: ClientOrgId,
    /// The branding.
    #[serde(flatten)]
    pub branding: Branding,
}

/// A hint about a setting that was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BrandingWarning {
    /// The stable code, for programs.
    pub code: BrandingWarningCode,
    /// The setting: a JSON pointer (RFC 6901).
    #[schema(example = "/primaryColor")]
    pub pointer: &'static str,
    /// One sentence for a person.
    #[schema(
        example = "Choose a darker colour: #f5d90a has a contrast of 1.41:1 against white, and controls need 3:1 (WCAG 2.2, \
                   1.4.11)."
    )]
    pub detail: String,
}

/// The codes of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BrandingWarningCode {
    /// The colour has a contrast of less than 3:1 against its background: white, or `#121212` in dark mode.
    LowContrast,
    /// `fontUrl` is set, and there is no `fontFamily` that begins with a name.
    FontUnused,
}
