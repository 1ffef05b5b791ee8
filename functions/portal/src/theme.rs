//! The branding as a style sheet.

use shared::models::{color::Color, font::FontFamily, image_url::ImageUrl, portal::PublicBranding};

/// `@font-face`, custom properties for the colours, fonts and images that are set, their dark values, and the style sheet of the
/// agency or client.
///
/// No value can end its declaration: a URL has no quotes, brackets or backslashes, and a font family has no blocks, no
/// functions and no semicolons outside strings.
pub fn stylesheet(branding: &PublicBranding) -> String {
    let (settings, text) = (&branding.settings, &branding.text);
    let color = |color: Color| color.to_string();
    let url = |url: &ImageUrl| format!("url(\"{url}\")");
    let mut css = String::new();
    let name = settings.font_family.as_ref().and_then(FontFamily::first_name);
    if let (Some(name), Some(file)) = (name, &settings.font_url) {
        css += &format!(
            "@font-face {{\n  font-family: {name};\n  src: url(\"{file}\") format(\"woff2\");\n  font-display: swap;\n}}\n"
        );
    }
    let light = declarations(
        "  ",
        [
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
        ],
    );
    css += &format!(":root {{\n{light}}}\n");
    let dark = declarations(
        "    ",
        [
            ("primary", settings.primary_color_dark.map(color)),
            ("accent", settings.accent_color_dark.map(color)),
            ("on-primary", text.on_primary_color_dark.map(color)),
            ("on-accent", text.on_accent_color_dark.map(color)),
            ("logo", settings.logo_dark_url.as_ref().map(url)),
        ],
    );
    if !dark.is_empty() {
        css += &format!("@media (prefers-color-scheme: dark) {{\n  :root {{\n{dark}  }}\n}}\n");
    }
    if let Some(custom) = &settings.custom_css {
        css += &format!("{custom}\n");
    }
    css
}

/// A declaration of a custom property for each value.
fn declarations(indent: &str, values: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
    let lines = values.into_iter().map(|(name, value)| {
        value.map_or_else(String::new, |value| {
            format!("{indent}--portal-{name}: {value};\n")
        })
    });
    lines.collect()
}
