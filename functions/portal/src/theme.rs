//! The branding as a style sheet.

use shared::models::{color::Color, image_url::ImageUrl, portal::PublicBranding};

/// A custom property for each setting that is set, and then the agency's own style sheet.
///
/// No value can end its declaration: a URL has no quotes, brackets or backslashes, and a font family has no blocks, no
/// functions and no semicolons outside strings.
pub fn stylesheet(branding: &PublicBranding) -> String {
    let (settings, text) = (&branding.settings, &branding.text);
    let color = |color: Color| color.to_string();
    let url = |url: &ImageUrl| format!("url(\"{url}\")");
    let properties = [
        ("primary", settings.primary_color.map(color)),
        ("accent", settings.accent_color.map(color)),
        ("on-primary", text.on_primary_color.map(color)),
        ("on-accent", text.on_accent_color.map(color)),
        (
            "font-family",
            settings.font_family.as_ref().map(ToString::to_string),
        ),
        ("logo", settings.logo_url.as_ref().map(url)),
        ("login-bg", settings.login_bg_url.as_ref().map(url)),
    ];
    let mut css = ":root {\n".to_owned();
    for (name, value) in properties {
        css.extend(value.map(|value| format!("  --portal-{name}: {value};\n")));
    }
    css.push_str("}\n");
    if let Some(custom) = &settings.custom_css {
        css.push_str(custom.as_str());
        css.push('\n');
    }
    css
}
