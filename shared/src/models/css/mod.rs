//! The agency's custom style sheet: CSS that cannot load files, leak data or run code.
//!
//! There are two passes. [`scan`] checks characters, strings, comments and escapes, and limits the size and the depth.
//! [`grammar`] compares the tokens of `cssparser` with the lists in [`allow`]. Both reject unknown constructs, so that a
//! browser's error recovery never meets a construct that is not on a list. The work is linear in the size.

use std::{borrow::Cow, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Code, Invalid, reject, text_value};

mod allow;
mod grammar;
mod scan;

/// The largest style sheet, in bytes of UTF-8.
const MAX_BYTES: usize = 32 * 1024;

/// A style sheet of at most 32 KiB that cannot load files or run code.
///
/// It is kept as sent, except that comments are emptied and a leading `@charset` is removed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, min_length = 1, max_length = 32768, example = ".login-card { border-radius: 1rem }")]
pub struct CustomCss(String);

text_value!(CustomCss);

/// A stored sheet. A full check of 32 KiB is too slow for each read of a branding, so only two invariants of the parser
/// are checked: the size, and that no `<` begins an HTML tag or comment.
impl TryFrom<String> for CustomCss {
    type Error = Invalid;

    fn try_from(stored: String) -> Result<Self, Invalid> {
        let begins_no_tag =
            |after: &str| after.starts_with(|c: char| c == '=' || c == ' ' || c.is_ascii_digit());
        if stored.len() > MAX_BYTES || !stored.split('<').skip(1).all(begins_no_tag) {
            return reject(Code::NotAllowed, "the stored style sheet is not allowed");
        }
        Ok(Self(stored))
    }
}

impl FromStr for CustomCss {
    type Err = Invalid;

    /// Parses a style sheet.
    ///
    /// # Errors
    /// `too-long` over 32 KiB, `invalid-format` for a syntax error, `not-allowed` for a forbidden construct. The detail of
    /// the last two begins with the line and the column, in characters, both counted from 1.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() > MAX_BYTES {
            let length = text.len();
            let detail = format!("Use at most {MAX_BYTES} bytes. This style sheet has {length}.");
            return reject(Code::TooLong, detail);
        }
        let sheet = without_charset(text);
        scan::scan(sheet)
            .and_then(|stored| grammar::check(sheet).map(|()| Self(stored)))
            .map_err(|refusal| refusal.locate(text, text.len() - sheet.len()))
    }
}

/// The sheet without a leading `@charset "utf-8";`, which has no effect: the text is UTF-8 already.
fn without_charset(text: &str) -> &str {
    const CHARSET: &str = "@charset \"utf-8\";";
    match text.split_at_checked(CHARSET.len()) {
        Some((first, rest)) if first.eq_ignore_ascii_case(CHARSET) => rest,
        _ => text,
    }
}

/// The reason for rejecting a sheet.
#[derive(Debug)]
struct Refusal {
    /// The position in bytes from the start of the sheet.
    at: usize,
    code: Code,
    reason: Cow<'static, str>,
}

/// Rejects a sheet that does not parse.
fn malformed<T>(at: usize, reason: impl Into<Cow<'static, str>>) -> Result<T, Refusal> {
    let (code, reason) = (Code::InvalidFormat, reason.into());
    Err(Refusal { at, code, reason })
}

/// Rejects a sheet that parses but is not allowed.
fn forbidden<T>(at: usize, reason: impl Into<Cow<'static, str>>) -> Result<T, Refusal> {
    let (code, reason) = (Code::NotAllowed, reason.into());
    Err(Refusal { at, code, reason })
}

impl Refusal {
    /// The error message. The sheet starts at byte `start` of `text`.
    fn locate(self, text: &str, start: usize) -> Invalid {
        let before = text.get(..start + self.at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let detail = format!("Line {line}, column {column}: {}.", self.reason);
        Invalid::new(self.code, detail)
    }
}

/// A piece of the sheet in backquotes, at most 40 characters long.
fn quoted(text: &str) -> String {
    const LENGTH: usize = 40;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("`{}…`", text.get(..end).unwrap_or_default()),
        None => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use cssparser::{ParseError, Parser, Token};
    use proptest::prelude::*;

    use super::*;

    /// Sheets as people write them.
    const EVERYDAY: [&str; 4] = [
        include_str!("everyday/utilities.css"),
        include_str!("everyday/components.css"),
        include_str!("everyday/prefixed.css"),
        include_str!("everyday/modern.css"),
    ];

    fn stored(text: &str) -> String {
        match text.parse::<CustomCss>() {
            Ok(css) => css.as_str().to_owned(),
            Err(refusal) => panic!("{text}\n{refusal:?}"),
        }
    }

    fn passes(text: &str) {
        assert_eq!(stored(text), text);
    }

    #[track_caller]
    fn refused(text: &str, code: Code) -> String {
        match text.parse::<CustomCss>() {
            Ok(_) => panic!("passed: {text}"),
            Err(refusal) => {
                assert_eq!(refusal.code, code, "{text}\n{}", refusal.detail);
                refusal.detail.into_owned()
            }
        }
    }

    #[track_caller]
    fn forbidden(text: &str) -> String {
        refused(text, Code::NotAllowed)
    }

    #[track_caller]
    fn malformed(text: &str) -> String {
        refused(text, Code::InvalidFormat)
    }

    /// All tokens but comments, with an opening one before and a semicolon after what is inside it.
    fn tokens(text: &str) -> Vec<Token<'_>> {
        fn collect<'i>(input: &mut Parser<'i>, all: &mut Vec<Token<'i>>) -> Result<(), ParseError<()>> {
            while let Ok(token) = input.next_including_whitespace() {
                let token = token.clone();
                all.push(token.clone());
                if matches!(
                    token,
                    Token::Function(_)
                        | Token::ParenthesisBlock
                        | Token::SquareBracketBlock
                        | Token::CurlyBracketBlock
                ) {
                    input.parse_nested_block(|input| collect(input, all))?;
                    all.push(Token::Semicolon);
                }
            }
            Ok(())
        }
        let mut all = Vec::new();
        assert!(collect(&mut Parser::new(text), &mut all).is_ok());
        all
    }

    /// Whether the tokens hold something that could load or run.
    fn is_dangerous(text: &str) -> bool {
        const AT_RULES: [&str; 9] = [
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
        const FUNCTIONS: [&str; 10] = [
            "url",
            "src",
            "image",
            "image-set",
            "cross-fade",
            "element",
            "paint",
            "expression",
            "canvas",
            "url-prefix",
        ];
        let plain = |name: &str| {
            let name = name.to_ascii_lowercase();
            name.trim_start_matches("-webkit-")
                .trim_start_matches("-moz-")
                .to_owned()
        };
        let all = tokens(text);
        // The name of a class is not a property, nor is that of an element after its namespace: `*|behavior:hover`.
        let runs = all.windows(3).any(|three| {
            matches!(three, [before, Token::Ident(name), Token::Colon]
                if !matches!(before, Token::Delim('.' | '|'))
                    && matches!(name.to_ascii_lowercase().as_str(), "-moz-binding" | "behavior" | "progid"))
        });
        runs || text.contains("</")
            || all.iter().any(|token| match token {
                Token::UnquotedUrl(_) | Token::BadUrl(_) | Token::BadString(_) | Token::CDO | Token::CDC => {
                    true
                }
                Token::AtKeyword(name) => !AT_RULES.contains(&plain(name).as_str()),
                Token::Function(name) => FUNCTIONS.contains(&plain(name).as_str()),
                _ => false,
            })
    }

    #[test]
    fn everyday_css_passes_and_keeps_its_meaning() {
        for sheet in EVERYDAY {
            let kept = stored(sheet);
            passes(&kept);
            assert_eq!(tokens(&kept), tokens(without_charset(sheet)));
            passes(&stored(&sheet.replace('\n', "\r\n")));
        }
    }

    #[test]
    fn a_sheet_without_rules_passes() {
        for sheet in ["", " ", "\n\t\r\n", "/**/", "a{}", "@media{}"] {
            passes(sheet);
        }
    }

    #[test]
    fn the_size_is_in_bytes() {
        let sheet = format!("a{{b:c}}{}", " ".repeat(MAX_BYTES - 6));
        passes(&sheet);
        refused(&format!("{sheet} "), Code::TooLong);
        let wide = format!("/*{}*/", "é".repeat(MAX_BYTES / 2));
        refused(&wide, Code::TooLong);
    }

    #[test]
    fn a_stored_sheet_is_small_and_begins_no_tag() {
        for sheet in ["", "a{}", "x <= y", "x < y", "x <1", &"x".repeat(MAX_BYTES)] {
            assert!(CustomCss::try_from(sheet.to_owned()).is_ok(), "{sheet}");
        }
        for sheet in [
            "<",
            "<a",
            "</style>",
            "<!--",
            "x <= y </a>",
            &"x".repeat(MAX_BYTES + 1),
        ] {
            assert!(CustomCss::try_from(sheet.to_owned()).is_err(), "{sheet}");
        }
    }

    #[test]
    fn a_leading_charset_is_dropped() {
        assert_eq!(stored("@charset \"utf-8\";a{b:c}"), "a{b:c}");
        assert_eq!(stored("@charset \"UTF-8\";\na{b:c}"), "\na{b:c}");
        for sheet in [
            " @charset \"utf-8\";",
            "a{b:c}@charset \"utf-8\";",
            "@charset \"utf-8\";@charset \"utf-8\";",
            "@charset \"utf-7\";",
            "@charset 'utf-8';",
            "/**/@charset \"utf-8\";",
        ] {
            assert!(forbidden(sheet).contains("at the very start"), "{sheet}");
        }
    }

    #[test]
    fn comments_are_stored_empty() {
        assert_eq!(
            stored("a/* url(x) </style> \\ */>b{c:d/*}*/}"),
            "a/**/>b{c:d/**/}"
        );
        assert_eq!(stored("/***/a /*/*/ b{c:/* \" */d}"), "/**/a /**/ b{c:/**/d}");
        passes("a{content:\"/* text */\"}");
        malformed("a{b:c} /* open");
        malformed("a{b:c} /*/");
    }

    #[test]
    fn a_refusal_says_where() {
        assert_eq!(
            forbidden("a {\r\n  /* é */ ünï: url(x);\n}"),
            "Line 2, column 16: `url()` is not allowed: a style sheet cannot load files; use the image settings."
        );
        assert!(
            forbidden("@charset \"utf-8\";@import 'x';")
                .starts_with("Line 1, column 18: `@import` is not allowed")
        );
        assert!(
            malformed("a { color: red").starts_with("Line 1, column 3: the `}` for this bracket is missing")
        );
        assert!(malformed("a { \"𝒳\"; b }").starts_with("Line 1, column 5: "));
        assert!(forbidden("a{content:\"x\\y\"}").starts_with("Line 1, column 13: a backslash"));
        for (sheet, reason) in [
            ("a{b:(c]}", "`)` is expected before this `]`"),
            ("@layer a", "the `;` after `@layer` is missing"),
            ("@media", "the `{ … }` of `@media` is missing"),
            ("a", "the `{ … }` of this rule is missing"),
            ("a{color red}", "this is neither a declaration"),
        ] {
            let detail = malformed(sheet);
            assert!(detail.contains(reason), "{sheet}: {detail}");
        }
        let detail = forbidden(&format!("a{{b:{}(1)}}", "x".repeat(30_000)));
        assert!(detail.len() < 200, "{detail}");
    }

    #[test]
    fn no_url_passes_in_any_form_or_place() {
        for value in [
            "url(x)",
            "url( \"x\" )",
            "URL('x')",
            "uRl(//x.example/y)",
            "url(",
            "url()",
            "url(a b)",
            "url(a\"b\")",
            "url-prefix(x)",
            "src(\"x\")",
            "image(\"x\")",
            "image(ltr 'x', red)",
            "image-set(\"x\" 1x)",
            "-webkit-image-set(\"x\" 1x)",
            "-moz-image-set('x' 1x)",
            "Image-Set('x' type('image/png'))",
            "cross-fade(\"x\", \"y\")",
            "-webkit-cross-fade('x', 'y', 1)",
            "element(#x)",
            "-moz-element(#x)",
            "-webkit-canvas(x)",
            "-webkit-named-image(x)",
            "paint(x)",
            "custom(x)",
            "var(--a, url(x))",
            "calc(1px + url(x))",
            "expression(alert(1))",
            "target-counter('x', page)",
            "format('x')",
            "local('x')",
            "--mine(1)",
            "theme(x)",
        ] {
            for sheet in [
                format!("a{{background:{value}}}"),
                format!("a{{--x:{value}}}"),
                format!("a{{--x:{{b:[({value})]}}}}"),
                format!("a{{content:\"\"{value}}}"),
                format!("@supports(background:{value}){{}}"),
                format!("@supports not (background:{value}){{}}"),
                format!("@container style(--x:{value}){{}}"),
                format!("@media (width > {value}){{}}"),
                format!("@layer {value};"),
                format!("@scope ({value}){{}}"),
                format!("@counter-style x{{symbols:{value}}}"),
                format!("@page{{background:{value}}}"),
                format!("@keyframes x{{to{{background:{value}}}}}"),
                format!("a:is({value}){{}}"),
                format!("{value}{{}}"),
                format!("a[{value}]{{}}"),
            ] {
                match sheet.parse::<CustomCss>() {
                    Ok(_) => panic!("passed: {sheet}"),
                    // An unclosed parenthesis is reported first.
                    Err(refusal) if value == "url(" => assert_eq!(refusal.code, Code::InvalidFormat),
                    Err(refusal) => assert_eq!(refusal.code, Code::NotAllowed, "{sheet}"),
                }
            }
        }
    }

    #[test]
    fn no_other_at_rule_passes() {
        for rule in [
            "@import \"x\";",
            "@import url(x);",
            "@IMPORT 'x' layer(a);",
            "@-webkit-import 'x';",
            "@font-face{src:local(x)}",
            "@namespace svg \"x\";",
            "@property --x{syntax:'*';inherits:true}",
            "@property --x{syntax:'<url>';inherits:true;initial-value:url(x)}",
            "@document x{}",
            "@-moz-document x{}",
            "@font-feature-values x{}",
            "@color-profile --x{}",
            "@view-transition{navigation:auto}",
            "@viewport{width:1px}",
            "@function --x(){result:1}",
            "@apply x;",
            "@unknown{}",
            "@\u{212A}eyframes x{}",
        ] {
            forbidden(rule);
            forbidden(&format!("a{{}}{rule}"));
            forbidden(&format!("a{{{rule}}}"));
            forbidden(&format!("a{{b{{{rule}}}}}"));
            forbidden(&format!("@media print{{{rule}}}"));
            forbidden(&format!("@supports({rule}){{}}"));
            forbidden(&format!("@container({rule}){{}}"));
            forbidden(&format!("@page{{{rule}}}"));
            forbidden(&format!("@layer a{{{rule}}}"));
            forbidden(&format!("a{{--x:{{{rule}}}}}"));
            forbidden(&format!("a{{b:c({rule})}}").replace("c(", "calc("));
        }
    }

    #[test]
    fn an_at_rule_stands_where_css_has_it() {
        for sheet in [
            "a{@keyframes x{}}",
            "a{@page{}}",
            "a{@layer b;}",
            "@keyframes x{@media print{}}",
            "@keyframes x{to{@media print{}}}",
            "@page{@media print{}}",
            "a{--x:@media print{}}",
            "a{b:@media}",
            "@supports(@media){}",
            "@media",
            "@media print;",
            "@supports{}",
            "@supports (a:b),(c:d){}",
            "@supports not(a:b){}",
            "@supports (){}",
            "@container{}",
            "@media print,,screen{}",
            "@media \"x\"{}",
            "@media {color:red}",
            "@media print{color:red;}",
            "@layer a",
            "@layer a, b /**/ ",
            "@media print{@layer a}",
            "@layer;",
            "@layer a,;",
            "@layer a b;",
            "@layer a,b{}",
            "@layer a.;",
            "@keyframes{}",
            "@keyframes a b{}",
            "@keyframes a{5{}}",
            "@keyframes a{top:0}",
            "@keyframes a{to{b{c:d}}}",
            "@keyframes a{middle{b:c}}",
            "@scope (.a) (.b){}",
            "@scope (.a) to{}",
            "@scope (.a) to (.b) x{}",
            "@scope (.a) and (.b){}",
            "@scope (.a) to [b]{}",
            "@scope .a{}",
            "@starting-style x{}",
            "@page \"x\"{}",
            "@counter-style{}",
            "@counter-style \"a\"{}",
            "@counter-style a{b{c:d}}",
            "@ media{}",
        ] {
            malformed(sheet);
        }
        forbidden("@media screen and(width>1px){}");
        forbidden("@supports at-rule(@media){}");
        for sheet in [
            "@page{margin:1cm}",
            "@keyframes \"a\"{}",
            "@media (width > calc(1px + 1em)){}",
            "@supports (not selector(a:hover)){}",
        ] {
            passes(sheet);
        }
    }

    #[test]
    fn nothing_that_an_old_engine_would_run_passes() {
        for declaration in [
            "behavior:x",
            "BEHAVIOR : x",
            "behavior/**/:x",
            "_behavior:x",
            "-ms-behavior:\"x\"",
            "-moz-binding:x",
            "-o-link:'javascript:alert(1)'",
            "-ms-filter:\"progid:DXImageTransform.Microsoft.AlphaImageLoader(src='x')\"",
            "filter:progid:DXImageTransform.Microsoft.gradient(startColorstr='#1', endColorstr='#2')",
            "filter:PROGID :x",
            "--x:progid:x",
            "--x:{behavior:x}",
            "width:expression(1)",
            "width:-webkit-expression(1)",
            "width:if(media(print):1;behavior:x)",
        ] {
            forbidden(&format!("a{{{declaration}}}"));
            forbidden(&format!("@supports({declaration}){{}}"));
        }
        for selector in [
            "behavior:hover",
            "a behavior::before",
            "a:behavior:hover",
            "a:is(behavior:hover)",
        ] {
            forbidden(&format!("{selector}{{b:c}}"));
            forbidden(&format!("a{{{selector}{{b:c}}}}"));
        }
        passes("behavior a{b:c}");
    }

    #[test]
    fn attr_passes_without_a_type_and_in_content_alone() {
        for value in [
            "attr(x)",
            "attr( data-x )",
            "attr(*|x)",
            "attr(|x)",
            "attr(x,\"y\")",
            "\"a\" attr(x) counter(y)",
        ] {
            passes(&format!("a{{content:{value}}}"));
            passes(&format!("a{{CONTENT:{value}!important}}"));
            forbidden(&format!("a{{width:{value}}}"));
            forbidden(&format!("a{{--x:{value}}}"));
            forbidden(&format!("a{{--content:{value}}}"));
        }
        for value in [
            "attr(x px)",
            "attr(x type(*))",
            "attr(x url)",
            "attr()",
            "attr(\"x\")",
            "attr(x,url(y))",
            "attr(a|b)",
        ] {
            forbidden(&format!("a{{content:{value}}}"));
        }
    }

    #[test]
    fn a_function_stands_where_it_belongs() {
        for sheet in [
            "a{b:is(c)}",
            "a{b:selector(c)}",
            "a:calc(1){}",
            "a:unknown(b){}",
            "a:attr(b){}",
            "a{--x:nth-child(1)}",
            "a::deep(b){}",
            ":global(a){}",
        ] {
            forbidden(sheet);
        }
        for sheet in [
            "@media style(a:b){}",
            "@media (a) and calc(1){}",
            "@supports style(a:b){}",
            "@container selector(a){}",
        ] {
            malformed(sheet);
        }
    }

    #[test]
    fn a_less_than_sign_begins_no_tag() {
        for sheet in [
            "</style><script>",
            "a{b:c}</style><script>alert(1)</script>",
            "<!-- a{b:c}",
            "a{content:\"</style>\"}",
            "a{content:'<!--'}",
            "a{content:\"<\"}",
            "a{--x:<length>}",
            "@media (width<calc(1px)){}",
            "@media (width<\n1px){}",
            "a{b:c}-->",
            "a<",
        ] {
            forbidden(sheet);
        }
        for sheet in [
            "@media (width<1px){}",
            "@media (1px <= width < 2px){}",
            "a{content:\"1 < 2 <= 3\"}",
        ] {
            passes(sheet);
        }
        assert_eq!(stored("/* </style> */"), "/**/");
    }

    #[test]
    fn a_backslash_is_an_escape_above_latin_controls_in_a_string() {
        passes("a{content:\"\\a\\A b\"}");
        for text in ["\\201C", "\\a0", "\\00A0 x", "\\1F44D", "\\10FFFF", "\\0000e9g"] {
            passes(&format!("a{{content:\"{text}\"}}"));
            forbidden(&format!("a{{content:{text}}}"));
            forbidden(&format!("a{{--x:{text}}}"));
            forbidden(&format!("{text}{{}}"));
        }
        for text in [
            "\\",
            "\\3c/style\\3e",
            "\\9f",
            "\\0",
            "\\d",
            "\\D800",
            "\\110000",
            "\\FEFF",
            "\\\"",
            "\\\\",
            "\\x",
            "\\\nx",
            "\\000041",
            "\\00009fa",
        ] {
            forbidden(&format!("a{{content:\"{text}\"}}"));
        }
        forbidden("a{b:c\\9}");
        forbidden("@\\69mport 'x'");
        forbidden("@im\\70ort 'x';");
        forbidden("a{b:\\75rl(x)}");
        forbidden("a{b:u\\72 l(x)}");
        malformed("a{content:\"\\201C\n\"}");
    }

    #[test]
    fn names_of_classes_and_ids_may_have_escapes() {
        for sheet in [
            ".lg\\:w-full{}",
            ".w-\\[calc\\(100\\%-1rem\\)\\]{width:calc(100% - 1rem)}",
            ".\\32xl\\:flex{}",
            ".\\32 xl\\:p-1,.w-1\\/2:hover{}",
            ".md\\:\\[\\&\\>p\\]\\:mt-4 > p{}",
            ".before\\:content-\\[\\'\\'\\]{content:''}",
            "#a\\.b .c\\{{}",
            ".a\\/\\*b{}",
        ] {
            passes(sheet);
        }
        for sheet in [
            "a\\:b{}",
            ".a b\\:c{}",
            ".a\\<b{}",
            ".a\\3c b{}",
            ".a\\0 b{}",
            ".a\\\n{}",
            ".a\\",
            ".a{\\62:c}",
            "a{b:.\\75rl(x)}",
            "a{b:#c url\\(x)}",
            "a{b:#c\\) url(x)}",
        ] {
            forbidden(sheet);
        }
        assert_eq!(
            forbidden("a {}\n.x lg\\:w-full:hover {}"),
            "Line 2, column 6: a backslash is only allowed in a string and in the name of a class or id."
        );
    }

    #[test]
    fn the_properties_of_images_are_not_reached() {
        for value in [
            "var(--portal-logo)",
            "var( --portal-login-bg , none)",
            "if(style(--portal-logo): red; else: blue)",
            "inherit(--portal-logo)",
            "var(--x, var(--PORTAL-LOGO))",
            "var(--portal-login-\\62g)",
        ] {
            forbidden(&format!("a{{background:{value}}}"));
            forbidden(&format!("a{{--mine:{value}}}"));
        }
        for sheet in [
            "a{--portal-logo:none}",
            "@container style(--portal-logo){a{b:c}}",
            "@container style(--portal-login-bg: none){a{b:c}}",
            "@supports (--portal-logo: red){a{b:c}}",
            "a{transition:--portal-logo 1s}",
        ] {
            forbidden(sheet);
        }
        passes("a{color:var(--portal-primary);--portal-logo-size:2rem}");
    }

    #[test]
    fn no_function_that_loads_comes_of_removing_blanks() {
        for name in ["url", "src", "image-set", "-webkit-image-set", "Element"] {
            for between in [" ", "\n", "/**/", " /* x */ "] {
                forbidden(&format!("a{{b:{name}{between}(\"x\")}}"));
            }
        }
        passes("a{b:url}");
        for name in ["expression", "paint", "-ms-element", "calc", "unknown"] {
            malformed(&format!("a{{b:{name} (1px)}}"));
            malformed(&format!("a{{b:calc(1px + {name}/**/(1px))}}"));
            malformed(&format!("a{{--x:{name} (1px)}}"));
        }
        for sheet in [
            "@media screen and (color), not (hover){}",
            "@container card (width > 1px) or (height > 1px){}",
            "@container paint/**/(width > 1px){}",
            "@supports not (a:b){}",
            "a{b:if(media(color) AND (hover):c)}",
            "a{b:calc(1px * (2 + 3)) (1px)}",
        ] {
            passes(sheet);
        }
    }

    #[test]
    fn a_page_has_margin_boxes() {
        passes(
            "@page :first{margin:1cm;@top-left{content:\"a\"}@bottom-right-corner{content:counter(page)}}",
        );
        passes("a{content:\"a\\A b\";background:-o-linear-gradient(top,red,blue)}");
        malformed("@top-left{content:\"a\"}");
        malformed("a{@top-left{content:\"a\"}}");
        malformed("@page{@top-left x{}}");
        malformed("@page{@top-left{@top-right{}}}");
        malformed("@page{@media print{}}");
        malformed("@page{a{b:c}}");
        forbidden("@page{@middle{}}");
    }

    #[test]
    fn control_characters_are_refused_but_tab_and_newlines() {
        for c in [
            '\0', '\u{1}', '\u{B}', '\u{C}', '\r', '\u{1F}', '\u{7F}', '\u{80}', '\u{9F}', '\u{FEFF}',
        ] {
            forbidden(&format!("a{{b:c{c}}}"));
            forbidden(&format!("a{{b:\"{c}\"}}"));
            forbidden(&format!("/*{c}*/"));
        }
        assert!(forbidden("\u{FEFF}a{}").contains("U+FEFF"));
        passes("a\t{\r\n}\n");
    }

    #[test]
    fn brackets_are_balanced_and_sixteen_deep_at_most() {
        let calc = |depth: usize| format!("a{{b:{}1{}}}", "calc(".repeat(depth), ")".repeat(depth));
        passes(&calc(15));
        forbidden(&calc(16));
        let nested = |depth: usize| format!("{}{}", "a{".repeat(depth), "}".repeat(depth));
        passes(&nested(16));
        forbidden(&nested(17));
        for sheet in [
            "a{",
            "a}",
            "a{b:(c}",
            "a{b:c)}",
            "a{b:[c)]}",
            "a[b{c:d}",
            "}",
            "a{}}",
            "a{b:\"c}",
            "a{b:'c\n'}",
        ] {
            malformed(sheet);
        }
    }

    #[test]
    fn what_an_engine_would_drop_is_refused() {
        for sheet in [
            "a",
            "a;",
            "color:red;",
            ";a{}",
            "a{};b{}",
            "--x:y;",
            "--x:hover{}",
            "{}",
            "a{color}",
            "a{color red}",
            "a{color red;b:c}",
            "a{color:}",
            "a{color: !important}",
            "a{color:red blue:green}",
            "a{color:red\nbackground:blue;}",
            "a{color:red!ie}",
            "a{color:red!important x}",
            "a{color:red!important!important}",
            "a{--x:red!ie}",
            "a{*zoom:1}",
            "a{+zoom:1}",
            "a{$x:1}",
            "a{:red}",
            "a{\"b\":c}",
            "a{1:2}",
            "a{b:{c:d}}",
            "a{b:c{}d}",
            "a{b:[1px]}",
            "a{b:c;;{}}",
            "a{b:#}",
            "a{b:c%}",
            "a{b:rgb(1;2)}",
            "a{b:c|d}",
            "a{b:c~=d}",
            "a{b:c > d}",
            "@page{a{b:c}}",
        ] {
            malformed(sheet);
        }
        passes("a{--x:(b;c);--y:if(media(print):{d:e};else:f)}");
    }

    #[test]
    fn a_malformed_selector_is_refused() {
        for selector in [
            "a,",
            ",a",
            "a,,b",
            "a>",
            ">a",
            "a>>b",
            "a>+b",
            "a:",
            "a::",
            "a: hover",
            "a:::b",
            "a.",
            "a. b",
            ".1",
            ".5col",
            "#",
            "#1",
            "a#1b",
            "a b:",
            "a!",
            "a;b",
            "a\"b\"",
            "50%",
            "a/b",
            "a/deep/b",
            "a[]",
            "a[b",
            "a[b=]",
            "a[b=1]",
            "a[b c]",
            "a[b=c x]",
            "a[x|b]",
            "a[b==c]",
            "a[\"b\"]",
            "a[b=c(d)]",
            "x|a",
            "|",
            "*|",
            "a||b",
            ".a*",
            ".a b|c",
            ":is(a)b",
            "*a",
            "a/**/b",
            "a:not()",
            "a:is(,)",
            "a:has()",
            "a:nth-child()",
            "a:nth-child(x)",
            "a:nth-child(2px)",
            "a:nth-child(of b)",
            "a:lang()",
            "a:part(1)",
            "a:is(>b)",
            "a(b)",
            "a=b",
            "a$",
            "@",
        ] {
            assert!(
                format!("{selector}{{b:c}}").parse::<CustomCss>().is_err(),
                "{selector}"
            );
        }
        passes("|a{b:c}");
    }

    #[test]
    fn the_worst_inputs_end() {
        let fill = |unit: &str| unit.repeat(MAX_BYTES / unit.len());
        let wrapped = |unit: &str| format!("a{{b:{}}}", unit.repeat((MAX_BYTES - 8) / unit.len()));
        for unit in [
            "(",
            "a{",
            "[",
            "/*",
            "/**/",
            "\"",
            "''",
            "\\",
            "<",
            "a ",
            "a,",
            ":",
            ";",
            "@",
            "@a",
            "url(",
            "a:b{}",
            "a{}",
            "a{b:c}",
            "--",
            "-",
            "#",
            "0",
            "1e9",
            ".",
            "!",
            "hwb(",
            ":is(",
            "}",
            "é",
            "\n",
            "a:b",
            "*|*",
            "@layer a;",
            "a{b:c;d{}}",
            "@media(a){}",
            "& ",
            ":not(a)",
            ":is()",
            "[a]",
        ] {
            let _ = fill(unit).parse::<CustomCss>();
            let _ = wrapped(unit).parse::<CustomCss>();
            let _ = wrapped(unit).replace("{b:", "{--b:").parse::<CustomCss>();
        }
    }

    /// Pieces from which sheets grow, good and bad.
    const PIECES: [&str; 88] = [
        "a",
        "b",
        "--x",
        ".c",
        "#d",
        "&",
        "*",
        ">",
        "+",
        "~",
        "|",
        ":",
        "::",
        ":hover",
        ":is(",
        ":has(",
        ":nth-child(",
        "2n+1",
        "of",
        "[",
        "]",
        "[x=\"y\"]",
        "{",
        "}",
        "(",
        ")",
        ";",
        ";",
        ",",
        " ",
        "\n",
        "\t",
        "/**/",
        "/* x */",
        "/*",
        "*/",
        "\"",
        "'",
        "\"x\"",
        "'<'",
        "\"\\201C\"",
        "\\",
        "<",
        "< ",
        "<=",
        "</style",
        "<!--",
        "-->",
        "@media",
        "@layer",
        "@supports",
        "@container",
        "@keyframes",
        "@import",
        "@charset \"utf-8\";",
        "@font-face",
        "@scope",
        "print",
        "and",
        "to",
        "from",
        "50%",
        "1px",
        "1",
        "-1",
        "#fff",
        "!important",
        "!",
        "url(",
        "url(x)",
        "URL(\"x\")",
        "image-set(",
        "src(",
        "calc(",
        "var(--x)",
        "attr(x)",
        "content:",
        "behavior:",
        "progid:",
        "expression(",
        "color:red",
        "a{b:c}",
        "a{",
        "b:c;",
        "é",
        "\u{FEFF}",
        "\r\n",
        "$",
    ];

    /// Values and selectors for sheets that mostly pass.
    const VALUES: [&str; 24] = [
        "red",
        "1px",
        "calc(1px + 2%)",
        "\"x\"",
        "'/* y */'",
        "attr(x)",
        "var(--y, )",
        "#fff",
        "url(x)",
        "image-set('x')",
        "a:b",
        "{c:d}",
        "[e f]",
        "!important",
        "/",
        ",",
        "/* z */",
        "/**/",
        " ",
        "\n",
        "if(media(print):1;else:2)",
        "progid:x",
        "@media",
        "\"\\2014\"",
    ];

    fn check(text: &str) {
        if let Ok(css) = text.parse::<CustomCss>() {
            assert!(!is_dangerous(css.as_str()), "{text}");
            assert_eq!(tokens(css.as_str()), tokens(without_charset(text)));
            passes(css.as_str());
        }
    }

    #[test]
    fn an_element_may_have_the_name_of_a_dangerous_property_after_its_namespace() {
        for sheet in ["*|behavior:a{b:c}", "svg:not(:root) *|behavior:a, b{c:d}"] {
            passes(sheet);
            check(sheet);
        }
        malformed("a{*|behavior:x}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_refused_or_harmless(text in any::<String>()) {
            check(&text);
        }

        #[test]
        fn any_soup_of_tokens_is_refused_or_harmless(
            pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24),
        ) {
            check(&pieces.concat());
        }

        #[test]
        fn any_declarations_are_refused_or_harmless(
            declarations in prop::collection::vec(
                (
                    prop::sample::select(&["color", "--x", "content", "behavior", "a", "&"][..]),
                    prop::collection::vec(prop::sample::select(&VALUES[..]), 0..4),
                ),
                0..4,
            ),
            around in prop::sample::select(&[("a{", "}"), ("@media print{a{b{", "}}}"), ("@keyframes x{to{", "}}")][..]),
        ) {
            let body: String = declarations.iter().map(|(name, value)| format!("{name}:{};", value.concat())).collect();
            check(&format!("{}{body}{}", around.0, around.1));
        }

        #[test]
        fn an_everyday_sheet_with_a_piece_put_in_is_refused_or_harmless(
            sheet in prop::sample::select(&EVERYDAY[..]),
            place in any::<prop::sample::Index>(),
            piece in prop::sample::select(&PIECES[..]),
        ) {
            let mut place = place.index(sheet.len());
            while !sheet.is_char_boundary(place) {
                place -= 1;
            }
            let (before, after) = sheet.split_at(place);
            check(&format!("{before}{piece}{after}"));
        }
    }
}
