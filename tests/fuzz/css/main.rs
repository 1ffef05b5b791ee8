//! Custom CSS: what the API accepts, a second parser reads without a URL, a forbidden rule or a forbidden name, and a rule after it is
//! still a rule. The API takes at most 50 ms of CPU time for a style sheet of at most 32 KiB.
//!
//! The input is the style sheet. If the API rejects it, it is checked again with its brackets and strings closed. An input that begins
//! with a zero byte selects the parts of a sheet. One input in 16 is also extended to 32 KiB, by copies of all and of a part of it, and only timed.

#[path = "sheet.rs"]
mod sheet;

use std::{
    collections::BTreeSet,
    convert::Infallible,
    env,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use cpu_time::ThreadTime;
use fuzz::figures::Figures;
use lightningcss::{
    error::{Error, ParserError},
    printer::PrinterOptions,
    properties::{
        Property,
        custom::{Function, Token, TokenOrValue},
    },
    rules::CssRule,
    stylesheet::{ParserOptions, StyleSheet},
    traits::ToCss,
    values::{ident::DashedIdent, image::Image, url::Url},
    visit_types,
    visitor::{Visit, VisitTypes, Visitor},
};
use shared::models::css::CustomCss;

const MAX_BYTES: usize = 32 * 1024;
/// The largest style sheet that is written for Chromium.
const MAX_SAMPLE: usize = 1_000;
const MAX_TIME: Duration = Duration::from_millis(50);

fn main() {
    for valid in [
        ".card:hover{color:#123abc;background:linear-gradient(red, blue)}@media print{a{color:red}}",
        // A container with the name of a function: a comment separates the name from the condition.
        "@container paint/**/(width > 1px){a{color:red}}",
        // The last declaration in a scope, without a value.
        "@scope{a{color:red}--raw:}",
        "@-O-Layer{}",
    ] {
        check(parse(valid).expect("a valid style sheet").as_str());
    }
    let figures = Mutex::new(Figures::default());
    let sheets =
        env::var_os("FUZZ_SHEETS").map(|path| File::options().create(true).append(true).open(path).unwrap());
    bolero::check!().for_each(|input: &[u8]| {
        let text = match input {
            [0, parts @ ..] => sheet::sheet(parts).into(),
            text => String::from_utf8_lossy(text),
        };
        let css = parse(&text).or_else(|| parse(&closed(&text)));
        let mut figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.input();
        figures.accepted.count(css.is_some());
        if let Some(css) = &css {
            let skipped = check(css.as_str());
            if skipped.is_empty() {
                figures.count("accepted", "nothing skipped");
            }
            for kind in skipped {
                figures.count("accepted", kind);
            }
            if let Some(mut sheets) = sheets.as_ref()
                && css.as_str().len() <= MAX_SAMPLE
            {
                writeln!(sheets, "{}", serde_json::to_string(css.as_str()).unwrap()).unwrap();
            }
        }
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let hash = hasher.finish();
        if hash.is_multiple_of(16) {
            let text = css.as_ref().map_or(&*text, CustomCss::as_str);
            let part = ((hash >> 16) as usize, (hash >> 32) as usize);
            for (one, other) in [(0, text.len()), part] {
                let extended = extended(text, one, other);
                let css = parse(&extended).or_else(|| parse(&closed(&extended)));
                figures.count("32 KiB", css.map_or("rejected", |_| "accepted"));
            }
        }
    });
}

/// The text with copies of the part between two places, as many as 32 KiB have room for, besides the brackets that [`closed`] adds.
fn extended(text: &str, one: usize, other: usize) -> String {
    let place = |number| text.floor_char_boundary(number % (text.len() + 1));
    let (start, end) = (place(one).min(place(other)), place(one).max(place(other)));
    let copies = (MAX_BYTES - 512).saturating_sub(text.len()) / usize::max(end - start, 1);
    [&text[..end], &text[start..end].repeat(copies), &text[end..]].concat()
}

/// Parses a style sheet within the time. The best of three counts, because caches and other processes add to it.
fn parse(text: &str) -> Option<CustomCss> {
    let mut times = (0..3).map(|_| {
        let start = ThreadTime::now();
        let css = text.parse::<CustomCss>();
        (start.elapsed(), css.ok())
    });
    let within = times.find(|(time, _)| *time <= MAX_TIME || text.len() > MAX_BYTES);
    let Some((_, css)) = within else {
        panic!("{} bytes take more than {MAX_TIME:?}", text.len())
    };
    css
}

/// Closes what is open at the end, and leaves out brackets that close nothing.
fn closed(text: &str) -> String {
    let mut sheet = String::with_capacity(text.len() + 16);
    let mut open = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => {
                sheet.push(c);
                sheet.extend(chars.by_ref().take_while(|next| *next != c && *next != '\n'));
                sheet.push(c);
                continue;
            }
            '\\' => {
                sheet.push(c);
                sheet.extend(chars.next());
                continue;
            }
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.last() != Some(&c) => continue,
            ')' | ']' | '}' => drop(open.pop()),
            _ => {}
        }
        sheet.push(c);
    }
    sheet.extend(open.into_iter().rev());
    sheet
}

/// Returns the kinds of errors for which the second parser skips something.
fn check(css: &str) -> BTreeSet<String> {
    assert_eq!(css.parse::<CustomCss>().as_ref().map(CustomCss::as_str), Ok(css));
    assert!(!css.contains("</") && !css.contains("<!"), "{css}");
    // A program that removes blanks and comments must not make a function that loads files.
    let joined = plain(css, "");
    let joined: String = joined.split('(').map(str::trim_end).collect::<Vec<_>>().join("(");
    for name in LOADS {
        assert!(!has_function(&joined, name), "{name}: {css}");
    }
    let plain = plain(css, " ");
    for name in RUNS {
        assert!(!has_function(&plain, name), "{name}: {css}");
    }
    for name in NAMES {
        assert!(!has_name(&plain, name), "{name}: {css}");
    }

    const LAST: &str = "\n#last{color:red}";
    let sheet = format!("{css}{LAST}");
    let warnings = Arc::new(RwLock::default());
    let options = ParserOptions {
        error_recovery: true,
        warnings: Some(Arc::clone(&warnings)),
        ..ParserOptions::default()
    };
    let Ok(mut parsed) = StyleSheet::parse(&sheet, options) else {
        panic!("cannot be parsed: {css}")
    };
    let last = parsed
        .rules
        .0
        .last()
        .map(|rule| rule.to_css_string(PrinterOptions::default()));
    let printed = last.and_then(Result::ok).unwrap_or_default();
    assert!(
        printed.starts_with("#last {"),
        "the last rule is {printed}: {css}"
    );
    let Ok(()) = parsed.visit(&mut Allowed { css });
    let warnings: Vec<Error<ParserError>> = std::mem::take(&mut *warnings.write().unwrap());
    let kinds = warnings.iter().map(|warning| {
        let kind = format!("{:?}", warning.kind);
        let kind = kind.split(['(', ' ']).next().unwrap_or_default();
        let is_expected = match &warning.kind {
            ParserError::AtRuleInvalid(name) => is_known_rule(name),
            // The parser reads a declaration in `@scope` as the selectors of a rule.
            ParserError::QualifiedRuleInvalid => has_name(&plain, "@scope"),
            _ => SKIPPED.contains(&kind),
        };
        assert!(is_expected, "{warning:?}: {css}");
        kind.to_owned()
    });
    kinds.collect()
}

/// Errors for which the second parser skips a rule or a declaration, so that its visitor does not see it. The API checks the tokens of
/// these, but has no grammar of them, because a browser skips what it does not know. [`plain`] has what is skipped.
const SKIPPED: [&str; 4] = [
    "EndOfInput",
    "InvalidMediaQuery",
    "SelectorError",
    "UnexpectedToken",
];

/// Functions that load files.
const LOADS: [&str; 6] = ["url", "src", "image", "image-set", "cross-fade", "element"];

/// Other functions that load files or run code in some browser, now or in the past.
const RUNS: [&str; 6] = [
    "paint",
    "canvas",
    "named-image",
    "url-prefix",
    "domain",
    "expression",
];

/// What must not be anywhere outside strings, in lower case.
const NAMES: [&str; 7] = [
    "--portal-logo",
    "--portal-login-bg",
    "@import",
    "@font-face",
    "@namespace",
    "@property",
    "@charset",
];

/// The style sheet in lower case, with empty strings and with `comment` in place of each comment. The escape of a character that ends a
/// name is `_`.
fn plain(css: &str, comment: &str) -> String {
    let mut plain = String::with_capacity(css.len());
    let mut chars = css.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => {
                while chars.next().is_some_and(|next| next != c) {}
                plain.push('"');
            }
            '/' if chars.peek() == Some(&'*') => {
                chars.next();
                let mut last = ' ';
                for next in chars.by_ref() {
                    if (last, next) == ('*', '/') {
                        break;
                    }
                    last = next;
                }
                plain.push_str(comment);
            }
            '\\' => {
                let mut digits = String::new();
                while digits.len() < 6 && chars.peek().is_some_and(char::is_ascii_hexdigit) {
                    digits.extend(chars.next());
                }
                // CSS Syntax Level 3, section 4.3.7: a white space after the digits belongs to the escape.
                if digits.is_empty() {
                    chars.next();
                } else {
                    chars.next_if(char::is_ascii_whitespace);
                }
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                let c = code.filter(|c| is_in_name(*c)).unwrap_or('_');
                plain.push(c.to_ascii_lowercase());
            }
            c => plain.push(c.to_ascii_lowercase()),
        }
    }
    plain
}

/// CSS Syntax Level 3, section 4.2: every character above ASCII can be in a name.
fn is_in_name(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn has_name(plain: &str, name: &str) -> bool {
    plain.match_indices(name).any(|(at, _)| {
        let after = &plain[at + name.len()..];
        !plain[..at].ends_with(is_in_name) && !after.starts_with(is_in_name)
    })
}

/// Whether the text has this function, with or without a prefix.
fn has_function(plain: &str, name: &str) -> bool {
    plain.match_indices(&format!("{name}(")).any(|(at, _)| {
        let before = plain[..at].rsplit(|c| !is_in_name(c)).next().unwrap_or_default();
        ["", "-webkit-", "-moz-", "-o-"].contains(&before)
    })
}

/// Whether the API accepts the rule with this name. The second parser knows fewer of the prefixes.
fn is_known_rule(name: &str) -> bool {
    const RULES: [&str; 9] = [
        "media",
        "supports",
        "container",
        "layer",
        "keyframes",
        "page",
        "scope",
        "starting-style",
        "counter-style",
    ];
    let name = name.to_ascii_lowercase();
    let prefixes = ["-webkit-", "-moz-", "-o-"];
    let plain = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
    RULES.contains(&plain.unwrap_or(&name))
}

/// Panics if the style sheet has a part that the API must not accept.
struct Allowed<'a> {
    css: &'a str,
}

impl Allowed<'_> {
    fn assert(&self, is_allowed: bool, part: impl std::fmt::Debug) -> Result<(), Infallible> {
        assert!(is_allowed, "{part:?}: {}", self.css);
        Ok(())
    }

    fn name(&self, name: &str) -> Result<(), Infallible> {
        let name = name.to_lowercase();
        self.assert(!NAMES.contains(&name.as_str()), name)
    }
}

impl<'i> Visitor<'i> for Allowed<'_> {
    type Error = Infallible;

    fn visit_types(&self) -> VisitTypes {
        visit_types!(RULES | PROPERTIES | URLS | IMAGES | DASHED_IDENTS | VARIABLES | FUNCTIONS | TOKENS)
    }

    fn visit_rule(&mut self, rule: &mut CssRule<'i>) -> Result<(), Infallible> {
        use CssRule::{
            Container, CounterStyle, Ignored, Keyframes, LayerBlock, LayerStatement, Media,
            NestedDeclarations, Nesting, Page, Scope, StartingStyle, Style, Supports, Unknown,
        };
        let is_allowed = match rule {
            Media(_) | Style(_) | Keyframes(_) | Page(_) | Supports(_) | CounterStyle(_) | Nesting(_) => true,
            NestedDeclarations(_) | LayerStatement(_) | LayerBlock(_) | Container(_) | Scope(_) => true,
            StartingStyle(_) | Ignored => true,
            // A prefix that the parser does not know, or a rule that it cannot parse.
            Unknown(rule) => is_known_rule(&rule.name),
            _ => false,
        };
        self.assert(is_allowed, &*rule)?;
        rule.visit_children(self)
    }

    fn visit_property(&mut self, property: &mut Property<'i>) -> Result<(), Infallible> {
        let id = property.property_id();
        let name = id.name().to_lowercase();
        self.name(&name)?;
        let runs = [
            "behavior",
            "-ms-behavior",
            "-moz-binding",
            "-o-link",
            "-ms-filter",
        ];
        self.assert(!runs.contains(&name.as_str()), name)?;
        property.visit_children(self)
    }

    fn visit_url(&mut self, url: &mut Url<'i>) -> Result<(), Infallible> {
        self.assert(false, url)
    }

    fn visit_image(&mut self, image: &mut Image<'i>) -> Result<(), Infallible> {
        self.assert(matches!(image, Image::None | Image::Gradient(_)), &*image)
    }

    fn visit_dashed_ident(&mut self, ident: &mut DashedIdent) -> Result<(), Infallible> {
        self.name(&ident.0)
    }

    fn visit_function(&mut self, function: &mut Function<'i>) -> Result<(), Infallible> {
        let name = function.name.0.to_lowercase();
        let plain = ["-webkit-", "-moz-", "-o-"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix));
        let plain = plain.unwrap_or(&name);
        self.assert(!LOADS.contains(&plain) && !RUNS.contains(&plain), &*function)?;
        function.visit_children(self)
    }

    fn visit_token(&mut self, token: &mut TokenOrValue<'i>) -> Result<(), Infallible> {
        use Token::{AtKeyword, BadString, BadUrl, CDC, CDO, UnquotedUrl};
        match token {
            TokenOrValue::Url(_) => self.assert(false, &*token)?,
            TokenOrValue::Token(UnquotedUrl(_) | BadUrl(_) | BadString(_) | CDO | CDC) => {
                self.assert(false, &*token)?
            }
            TokenOrValue::Token(AtKeyword(name)) => self.name(&format!("@{name}"))?,
            TokenOrValue::Token(Token::Ident(name)) => self.name(name)?,
            _ => {}
        }
        token.visit_children(self)
    }
}
