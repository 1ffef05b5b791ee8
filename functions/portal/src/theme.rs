//! The branding as a style sheet.

use shared::models::{color::Color, image_url::ImageUrl, portal::PublicBranding};

/// A custom property for each setting that is set, and then the agency's own style sheet.
///
/// No value can end its declaration: a URL has no quotes, brackets or backslashes, and a font family has no blocks, no
/// functions and no semicolons outside strings.
pub fn stylesheet(branding: &PublicBranding) -> String {
    let color = |color: Color| color.to_string();
    let url = |url: &ImageUrl| format!("url(\"{url}\")");
    let properties = [
        ("primary", branding.primary_color.map(color)),
        ("accent", branding.accent_color.map(color)),
        ("on-primary", branding.on_primary_color.map(color)),
        ("on-accent", branding.on_accent_color.map(color)),
        (
            "font-family",
            branding.font_family.as_ref().map(ToString::to_string),
        ),
        ("logo", branding.logo_url.as_ref().map(url)),
        ("login-bg", branding.login_bg_url.as_ref().map(url)),
    ];
    let mut css = ":root {\n".to_owned();
    for (name, value) in properties {
        css.extend(value.map(|value| format!("  --portal-{name}: {value};\n")));
    }
    css.push_str("}\n");
    if let Some(custom) = &branding.custom_css {
        css.push_str(custom.as_str());
        css.push('\n');
    }
    css
}
