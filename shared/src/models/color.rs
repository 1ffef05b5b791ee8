//! sRGB colours and their contrast.

use std::{fmt, str::FromStr};

use utoipa::ToSchema;

use super::{Code, Invalid, reject, required, serde_as_text};

/// An opaque sRGB colour: `#rgb` or `#rrggbb` in upper or lower case. Stored in lower case and in the long form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ToSchema)]
#[schema(
    value_type = String,
    min_length = 4,
    max_length = 7,
    pattern = "^#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})$",
    example = "#1a73e8"
)]
pub struct Color([u8; 3]);

serde_as_text!(Color);

/// Black or white.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^#(000000|ffffff)$", example = "#ffffff")]
#[allow(dead_code)] // Only for the documentation.
pub struct TextColor(Color);

impl Color {
    /// `#ffffff`
    pub const WHITE: Self = Self([255; 3]);
    /// `#121212`: the background of the portal in dark mode.
    pub const DARK: Self = Self([0x12; 3]);
    /// `#000000`
    pub const BLACK: Self = Self([0; 3]);

    /// The contrast ratio of two colours, 1 to 21 (WCAG 2.2, “contrast ratio”).
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Black or white: the one with the higher contrast against this colour. Black if both are equal.
    pub fn on(self) -> Self {
        if self.contrast(Self::BLACK) >= self.contrast(Self::WHITE) {
            Self::BLACK
        } else {
            Self::WHITE
        }
    }

    /// Whether the contrast against this background is below 3:1, the minimum of WCAG 2.2, 1.4.11.
    pub fn has_low_contrast(self, background: Self) -> bool {
        self.contrast(background) < 3.0
    }

    /// Relative luminance, 0 to 1 (WCAG 2.2, “relative luminance”).
    fn luminance(self) -> f64 {
        let [r, g, b] = self.0.map(|channel| {
            let channel = f64::from(channel) / 255.0;
            if channel <= 0.04045 {
                channel / 12.92
            } else {
                ((channel + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

impl FromStr for Color {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = required(text)?;
        let digits: Option<Vec<u8>> = text.strip_prefix('#').and_then(|digits| {
            // The seventh digit shows that there are too many.
            let digits = digits.chars().take(7);
            digits.map(|c| c.to_digit(16).map(|digit| digit as u8)).collect()
        });
        match digits.as_deref() {
            Some(&[r, g, b]) => Ok(Self([r * 17, g * 17, b * 17])),
            Some(&[r, s, g, h, b, c]) => Ok(Self([r * 16 + s, g * 16 + h, b * 16 + c])),
            _ => reject(
                Code::InvalidFormat,
                "Enter # and three or six hexadecimal digits, such as #1a73e8.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn color(text: &str) -> Color {
        text.parse().unwrap()
    }

    #[test]
    fn colours_are_stored_in_lower_case_and_in_the_long_form() {
        for (text, stored) in [
            ("#1a73e8", "#1a73e8"),
            ("#1A73E8", "#1a73e8"),
            ("#abc", "#aabbcc"),
            ("#F0f", "#ff00ff"),
            ("#000", "#000000"),
            (" #fff\u{FEFF}\n", "#ffffff"),
        ] {
            assert_eq!(color(text).to_string(), stored);
        }
    }

    #[test]
    fn all_else_is_refused() {
        for text in [
            "#",
            "#1",
            "#12",
            "#1234",
            "#12345",
            "#1234567",
            "#12345678",
            "abc",
            "aabbcc",
            "#ggg",
            "##abc",
            "# abc",
            "#ab c",
            "#+12",
            "#-1234a",
            "red",
            "rgb(1,2,3)",
            "#１２３",
            "＃fff",
            "#12\u{200B}3456",
            "#abc;",
            "#abc\0",
            "#aabbcc/*",
        ] {
            assert_eq!(
                Color::from_str(text).unwrap_err().code,
                Code::InvalidFormat,
                "{text:?}"
            );
        }
        assert_eq!(Color::from_str(" ").unwrap_err().code, Code::TooShort);
    }

    #[test]
    fn contrast_is_that_of_the_guidelines() {
        for (a, b, ratio) in [
            ("#000", "#fff", 21.0),
            ("#777", "#fff", 4.478),
            ("#767676", "#fff", 4.542),
            ("#f00", "#fff", 3.998),
            ("#ff0", "#fff", 1.074),
            ("#00f", "#fff", 8.592),
            ("#123456", "#123456", 1.0),
        ] {
            let contrast = color(a).contrast(color(b));
            assert!((contrast - ratio).abs() < 0.001, "{a} on {b}: {contrast}");
        }
    }

    #[test]
    fn the_text_on_a_colour_is_the_one_that_stands_out() {
        for (text, on) in [
            ("#fff", Color::BLACK),
            ("#000", Color::WHITE),
            ("#757575", Color::WHITE),
            ("#767676", Color::BLACK),
            ("#ff0", Color::BLACK),
            ("#00f", Color::WHITE),
        ] {
            assert_eq!(color(text).on(), on, "{text}");
        }
    }

    #[test]
    fn low_contrast_is_less_than_three_to_one() {
        // Of the greys #949494 (3.03:1) is the lightest that passes against white.
        assert!(!color("#949494").has_low_contrast(Color::WHITE));
        assert!(color("#959595").has_low_contrast(Color::WHITE));
        assert!(color("#ff0").has_low_contrast(Color::WHITE));
        assert!(!color("#000").has_low_contrast(Color::WHITE));
        // And #616161 (3.02:1) is the darkest that passes in the dark.
        assert_eq!(Color::DARK, color("#121212"));
        assert!(!color("#616161").has_low_contrast(Color::DARK));
        assert!(color("#606060").has_low_contrast(Color::DARK));
    }

    #[test]
    fn json_is_the_text() {
        let json = serde_json::to_string(&color("#FA0")).unwrap();
        assert_eq!(json, "\"#ffaa00\"");
        assert_eq!(serde_json::from_str::<Color>(&json).unwrap(), color("#ffaa00"));
    }

    proptest! {
        #[test]
        fn what_is_stored_parses_to_itself(text in "(?s:.{0,12})|#[0-9a-fA-F]{0,9}") {
            if let Ok(color) = Color::from_str(&text) {
                prop_assert_eq!(color.to_string().parse(), Ok(color));
            }
        }

        #[test]
        fn the_text_on_a_colour_has_the_higher_contrast(rgb: [u8; 3]) {
            let color = Color(rgb);
            let contrast = color.contrast(color.on());
            prop_assert!(contrast >= color.contrast(Color::WHITE) && contrast >= color.contrast(Color::BLACK));
            prop_assert!(contrast > 4.5);
        }
    }
}
