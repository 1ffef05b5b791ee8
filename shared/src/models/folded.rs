//! Names as a search compares them: without case, compatibility variants and invisible characters.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizer;
use icu_properties::props::{BinaryProperty, DefaultIgnorableCodePoint};

/// A text in NFKC_Casefold (the Unicode Standard, section 3.13.3, and UAX #44). It is empty if the text has ignorable characters
/// alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldedName(String);

impl FoldedName {
    /// Folds a text.
    pub fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self(text.to_ascii_lowercase());
        }
        let mapped: String = text.chars().map(fold).collect();
        // The characters of two mappings may compose.
        Self(ComposingNormalizer::new_nfc().normalize(&mapped).into_owned())
    }

    /// The folded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The mapping NFKC_Casefold of one character, by its definition: NFKC, full case folding and the removal of
/// Default_Ignorable_Code_Points, repeated until the result is stable.
fn fold(character: char) -> String {
    let mut text = character.to_string();
    loop {
        let folded = CaseMapper::new().fold_string(&text).into_owned();
        let normalized = ComposingNormalizer::new_nfkc().normalize(&folded).into_owned();
        let is_visible = |c: &char| !DefaultIgnorableCodePoint::for_char(*c);
        let next: String = normalized.chars().filter(is_visible).collect();
        if next == text {
            return text;
        }
        text = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(text: &str) -> String {
        FoldedName::new(text).0
    }

    /// The expected values are those of Unicode's DerivedNormalizationProps.txt.
    #[test]
    fn text_is_folded_as_unicode_defines_it() {
        for (text, expected) in [
            ("", ""),
            ("ACME Consulting 42", "acme consulting 42"),
            ("Müller", "müller"),
            ("Mu\u{308}ller", "müller"),
            ("MÜLLER", "müller"),
            ("STRASSE", "strasse"),
            ("Straße", "strasse"),
            ("STRAẞE", "strasse"),
            ("ﬁnance ﬀ ﬄ", "finance ff ffl"),
            ("ＡＣＭＥ１", "acme1"),
            ("ｶﾞ", "ガ"),
            ("①²½™℡", "121⁄2tmtel"),
            ("ℌ𝕳𝐇", "hhh"),
            ("Ǆ ǅ Ǉ", "dž dž lj"),
            // Not by the rules of Turkish: İ keeps its dot, ı stays.
            ("İI", "i\u{307}i"),
            ("ıi", "ıi"),
            ("Ŀ", "l·"),
            ("ŉ", "ʼn"),
            ("ſK", "sk"),
            ("\u{212A}\u{212B}", "kå"),
            ("ΣΑΣ", "σασ"),
            ("σας", "σασ"),
            ("ϐϑϖ", "βθπ"),
            ("ᾳ ΑΙ ᾼ", "αι αι αι"),
            ("\u{345}", "ι"),
            ("Ά", "ά"),
            ("\u{1F79}", "ό"),
            ("Ꭰꭰ", "ᎠᎠ"),
            ("ჯᲯ", "ჯჯ"),
            ("Ѐ\u{501}Ԁ", "ѐԁԁ"),
            ("\u{1112}\u{1161}\u{11AB}", "한"),
            ("한글", "한글"),
            ("ㅎ", "\u{1112}"),
            ("株式会社", "株式会社"),
            ("㍿", "株式会社"),
            ("\u{FDFA}", "صلى الله عليه وسلم"),
            ("a\u{A0}b\u{3000}c", "a b c"),
            ("so\u{AD}ft", "soft"),
            ("a\u{200B}b\u{200D}c\u{FEFF}d", "abcd"),
            ("\u{AD}\u{200B}\u{2060}\u{FE0F}\u{E0041}\u{3164}\u{115F}", ""),
            ("q\u{307}\u{323}", "q\u{323}\u{307}"),
            // An ignorable character does not keep others from composing.
            ("e\u{AD}\u{301}", "é"),
            ("\u{10FFFF}", "\u{10FFFF}"),
        ] {
            assert_eq!(folded(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,100}|(?s:.{0,100})|[\u{300}-\u{345}ΑΙᾳſßİ\u{AD}\u{200B}가-힣]{0,20}") {
            let once = folded(&text);
            prop_assert_eq!(folded(&once), once);
        }
    }
}
