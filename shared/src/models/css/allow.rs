//! The allow-lists of names. Names are in lower case, and each list is sorted.

/// At-rules.
pub const AT_RULES: &[&str] = &[
    "container",
    "counter-style",
    "keyframes",
    "layer",
    "media",
    "page",
    "scope",
    "starting-style",
    "supports",
];

/// The at-rules of a page's margin boxes, which `@page` contains (CSS Paged Media Level 3, section 4.2).
pub const MARGIN_BOXES: &[&str] = &[
    "bottom-center",
    "bottom-left",
    "bottom-left-corner",
    "bottom-right",
    "bottom-right-corner",
    "left-bottom",
    "left-middle",
    "left-top",
    "right-bottom",
    "right-middle",
    "right-top",
    "top-center",
    "top-left",
    "top-left-corner",
    "top-right",
    "top-right-corner",
];

/// Custom properties with an image as value, which `theme.css` sets. A style sheet that used one under a selector would tell the
/// image's host that, and when, the selector matches.
pub const IMAGE_PROPERTIES: &[&str] = &["--portal-login-bg", "--portal-logo"];

/// Functions of values. None of them can load a file, whatever its arguments.
#[rustfmt::skip]
pub const VALUES: &[&str] = &[
    "abs", "acos", "alpha", "anchor", "anchor-size", "annotation", "asin", "atan", "atan2", "attr",
    "blur", "brightness",
    "calc", "calc-mix", "calc-size", "character-variant", "circle", "clamp", "color", "color-mix", "color-stop",
    "conic-gradient", "container-progress", "contrast", "contrast-color", "cos", "counter", "counters", "cubic-bezier",
    "device-cmyk", "drop-shadow", "dynamic-range-limit-mix",
    "ellipse", "env", "exp",
    "fit-content", "from",
    "gradient", "grayscale",
    "hsl", "hsla", "hue-rotate", "hwb", "hypot",
    "if", "inherit", "inset", "invert",
    "lab", "lch", "light-dark", "linear", "linear-gradient", "log",
    "matrix", "matrix3d", "max", "media", "media-progress", "min", "minmax", "mod",
    "oklab", "oklch", "opacity", "ornaments",
    "palette-mix", "path", "perspective", "polygon", "pow", "progress",
    "radial-gradient", "random", "ray", "rect", "rem", "repeat", "repeating-conic-gradient",
    "repeating-linear-gradient", "repeating-radial-gradient", "reversed", "rgb", "rgba", "rotate", "rotate3d",
    "rotatex", "rotatey", "rotatez", "round",
    "saturate", "scale", "scale3d", "scalex", "scaley", "scalez", "scroll", "sepia", "shape", "sibling-count",
    "sibling-index", "sign", "sin", "skew", "skewx", "skewy", "sqrt", "steps", "style", "styleset", "stylistic",
    "superellipse", "supports", "swash", "symbols",
    "tan", "to", "translate", "translate3d", "translatex", "translatey", "translatez",
    "var", "view",
    "xywh",
];

/// Functions of selectors: pseudo-classes and pseudo-elements.
#[rustfmt::skip]
pub const SELECTORS: &[&str] = &[
    "active-view-transition-type", "any",
    "cue",
    "dir",
    "has", "highlight", "host", "host-context",
    "is",
    "lang",
    "matches",
    "not", "nth-child", "nth-last-child", "nth-last-of-type", "nth-of-type",
    "part", "picker",
    "scroll-button", "slotted", "state",
    "view-transition-group", "view-transition-image-pair", "view-transition-new", "view-transition-old",
    "where",
];

/// Functions of the conditions of `@supports` and `@container`.
pub const CONDITIONS: &[&str] = &["font-format", "font-tech", "scroll-state", "selector", "style"];

/// Functions that load files, for a clearer error message. They are on none of the lists above.
pub const LOADS: &[&str] = &["cross-fade", "element", "image", "image-set", "src", "url"];

/// Properties whose values an old browser executes or loads, even as a string, and IE's `progid:`.
const RUN: &[&str] = &[
    "-moz-binding",
    "-ms-behavior",
    "-ms-filter",
    "-o-link",
    "-o-link-source",
    "-o-replace",
    "behavior",
    "progid",
];

/// Whether an old browser could execute the text after this name and a colon. IE reads `_name` as `name`.
pub fn runs(name: &str) -> bool {
    let name = name.trim_start_matches('_').to_ascii_lowercase();
    RUN.binary_search(&name.as_str()).is_ok()
}

/// The name in the list, ignoring ASCII case and the prefixes that autoprefixer writes.
pub fn find(list: &'static [&'static str], name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let plain = ["-webkit-", "-moz-", "-o-"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    let plain = plain.unwrap_or(&name);
    let index = list.binary_search(&plain).ok()?;
    list.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_lower_case() {
        for list in [
            AT_RULES,
            MARGIN_BOXES,
            IMAGE_PROPERTIES,
            VALUES,
            SELECTORS,
            CONDITIONS,
            LOADS,
            RUN,
        ] {
            assert!(list.is_sorted());
            assert!(list.iter().all(|name| *name == name.to_ascii_lowercase()));
        }
    }

    #[test]
    fn names_are_compared_in_ascii_without_a_prefix() {
        let at_rule = |name| find(AT_RULES, name);
        let value = |name| find(VALUES, name);
        assert_eq!(at_rule("-WebKit-KEYFRAMES"), Some("keyframes"));
        assert_eq!(value("-moz-calc"), Some("calc"));
        // U+212A and U+017F fold to `k` and `s` in Unicode.
        assert_eq!(at_rule("\u{212A}eyframes"), None);
        assert_eq!(value("\u{17F}in"), None);
        assert_eq!(value("-o-linear-gradient"), Some("linear-gradient"));
        assert_eq!(value("-o-link"), None);
        assert_eq!(value("-webkit--moz-calc"), None);
        assert_eq!(value("-webkit-image-set"), None);
        for list in [VALUES, SELECTORS, CONDITIONS] {
            assert!(LOADS.iter().all(|name| find(list, name).is_none()));
        }
    }
}
