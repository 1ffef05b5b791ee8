//! Branding as a stylesheet.

use std::fmt::Display;

use shared::models::portal::PublicBranding;

/// Custom properties for what is set, and then the agency's own stylesheet.
///
/// The values cannot end their declarations: a URL has neither quotes, brackets nor backslashes in it, and a font
/// family no block, no semicolon outside a string and no function.
pub fn stylesheet(branding: &PublicBranding) -> String {
    let url = |url: &dyn Display| format!("url(\"{url}\")");
    let properties = [
        ("primary", branding.primary_color.map(|color| color.to_string())),
        ("accent", branding.accent_color.map(|color| color.to_string())),
        (
            "on-primary",
            branding.on_primary_color.map(|color| color.to_string()),
        ),
        (
            "on-accent",
            branding.on_accent_color.map(|color| color.to_string()),
        ),
        (
            "font-family",
            branding.font_family.as_ref().map(|font| font.to_string()),
        ),
        ("logo", branding.logo_url.as_ref().map(|logo| url(logo))),
        (
            "login-bg",
            branding.login_bg_url.as_ref().map(|picture| url(picture)),
        ),
    ];
    let mut css = ":root {\n".to_owned();
    for (name, value) in properties {
        if let Some(value) = value {
            css.push_str(&format!("  --portal-{name}: {value};\n"));
        }
    }
    css.push_str("}\n");
    if let Some(custom) = &branding.custom_css {
        css.push_str(custom.as_str());
        css.push('\n');
    }
    css
}
