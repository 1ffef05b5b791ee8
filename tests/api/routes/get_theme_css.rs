use cssparser::{ParseError, Parser, Token};
use serde_json::{Value, json};

use super::get_public_branding::branding;
use crate::harness::{Api, BRANDING};

const THEME: &str = "/portal/theme.css?host=acme.portal.localhost";

#[tokio::test]
async fn the_style_sheet_has_the_settings_and_then_the_custom_css() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    let empty = api.visitor().get(THEME).await;
    assert_eq!(
        (empty.status.as_u16(), empty.text.as_str()),
        (200, ":root {\n}\n")
    );
    assert_eq!(empty.header("content-type"), Some("text/css; charset=utf-8"));

    let mut all = branding();
    all["logoUrl"] = json!("https://cdn.acme.com/l(1)'.svg?a=1&b=%22;c#d");
    all["fontFamily"] = json!("Inter, 'Segoe \"UI\"', \"a;b}c/*\"");
    all["fontUrl"] = json!("https://cdn.acme.com/i'(1).woff2?a;b");
    all["customCss"] = json!("/* mine */\na::after { content: \"\\201C\"; }");
    owner.put(BRANDING, all).await.expect(200);
    assert_eq!(
        api.visitor().get(THEME).await.text,
        r#"@font-face {
  font-family: Inter;
  src: url("https://cdn.acme.com/i%27%281%29.woff2?a;b") format("woff2");
  font-display: swap;
}
:root {
  --portal-primary: #123456;
  --portal-accent: #ffee00;
  --portal-on-primary: #ffffff;
  --portal-on-accent: #000000;
  --portal-font-family: Inter, 'Segoe "UI"', "a;b}c/*";
  --portal-logo: url("https://cdn.acme.com/l%281%29%27.svg?a=1&b=%22;c#d");
  --portal-login-bg: url("https://cdn.acme.com/logo.svg?loginBgUrl");
}
@media (prefers-color-scheme: dark) {
  :root {
    --portal-primary: #abcdef;
    --portal-accent: #111111;
    --portal-on-primary: #000000;
    --portal-on-accent: #ffffff;
    --portal-logo: url("https://cdn.acme.com/logo.svg?logoDarkUrl");
  }
}
/**/
a::after { content: "\201C"; }
"#
    );
    assert!(!api.visitor().get(THEME).await.text.contains("hello@acme.com"));
    let mut only = branding();
    only.as_object_mut()
        .unwrap()
        .retain(|name, _| name != "primaryColor");
    only.as_object_mut()
        .unwrap()
        .values_mut()
        .for_each(|value| *value = Value::Null);
    owner.put(BRANDING, only).await.expect(200);
    assert_eq!(
        api.visitor().get(THEME).await.text,
        ":root {\n  --portal-primary: #123456;\n  --portal-on-primary: #ffffff;\n}\n"
    );
}

#[tokio::test]
async fn dark_mode_has_only_the_values_that_are_set_for_it() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    owner
        .put(BRANDING, json!({"accentColorDark": "#fff"}))
        .await
        .expect(200);
    assert_eq!(
        api.visitor().get(THEME).await.text,
        ":root {
}
@media (prefers-color-scheme: dark) {
  :root {
    --portal-accent: #ffffff;
    --portal-on-accent: #000000;
  }
}
"
    );
}

#[tokio::test]
async fn the_font_has_the_first_name_of_the_family() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    let file = json!({"fontUrl": "https://cdn.acme.com/inter.woff2"});
    owner.put(BRANDING, file).await.expect(200);
    for (family, name) in [
        (Value::Null, None),
        (json!("Inter"), Some("Inter")),
        (json!("'a, b' , serif"), Some("'a, b'")),
        (json!("\"a;b}c/*\", serif"), Some("\"a;b}c/*\"")),
        (json!("sans-serif, Inter"), None),
    ] {
        owner
            .put(BRANDING, json!({"fontFamily": family}))
            .await
            .expect(200);
        let css = api.visitor().get(THEME).await.text;
        let face = css.split_once(":root").unwrap().0;
        let expected = name.map(|name| {
            format!(
                "@font-face {{\n  font-family: {name};\n  src: url(\"https://cdn.acme.com/inter.woff2\") format(\"woff2\");\n  font-display: swap;\n}}\n"
            )
        });
        assert_eq!(face, expected.unwrap_or_default(), "{family}");
    }
}

/// The declarations of the first rule, and the text after it.
fn read(css: &str) -> (Vec<(String, Vec<String>)>, String) {
    let mut parser = Parser::new(css);
    if css.starts_with("@font-face") {
        parser.next().unwrap();
        parser.expect_curly_bracket_block().unwrap();
    }
    parser.expect_colon().unwrap();
    parser.expect_ident_matching("root").unwrap();
    parser.expect_curly_bracket_block().unwrap();
    let declarations = parser
        .parse_nested_block(|block| -> Result<_, ParseError<()>> {
            let mut declarations = Vec::new();
            while !block.is_exhausted() {
                let name = block.expect_ident()?.to_string();
                block.expect_colon()?;
                let mut value = Vec::new();
                loop {
                    match block.next()?.clone() {
                        Token::Semicolon => break,
                        Token::Hash(hex) | Token::IDHash(hex) => value.push(format!("#{hex}")),
                        Token::UnquotedUrl(url) => value.push(format!("url {url}")),
                        Token::Function(name) if name.eq_ignore_ascii_case("url") => {
                            let url = block.parse_nested_block(|url| {
                                let text = url.expect_string()?.to_string();
                                url.expect_exhausted()?;
                                Ok::<_, ParseError<()>>(text)
                            })?;
                            value.push(format!("url {url}"));
                        }
                        Token::Ident(word) => value.push(word.to_string()),
                        Token::QuotedString(text) => value.push(text.to_string()),
                        Token::Comma => {}
                        token => panic!("{token:?} in {css}"),
                    }
                }
                declarations.push((name, value));
            }
            Ok(declarations)
        })
        .unwrap();
    let end = parser.position();
    while parser.next().is_ok() {}
    (declarations, parser.slice_from(end).to_owned())
}

#[tokio::test]
async fn no_value_gets_out_of_its_declaration() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    let hostile = [
        "\"",
        "'",
        "\\",
        "\\\"",
        ")",
        "\")",
        "')",
        "\");}",
        "/*",
        "/* } */",
        ";}",
        "}",
        "{",
        ";",
        "!important",
        "\n",
        "\r",
        "\u{C}",
        "\0",
        "\u{2028}",
        "</style>",
        "<!--",
        "@import 'x';",
        "url(",
        "url(\"",
        "expression(1)",
        ",",
        "#",
        "%22",
        "%5C",
        "%0A",
        "[",
        "]",
        "(",
        "()",
    ];
    owner.put(BRANDING, json!({"customCss": "b{}"})).await.expect(200);
    let mut accepted = 0;
    for piece in hostile {
        for mut body in [
            json!({
                "primaryColor": format!("#fff{piece}"),
                "fontFamily": format!("Arial{piece}"),
                "logoUrl": format!("https://cdn.acme.com/{piece}x"),
                "loginBgUrl": format!("https://cdn.acme.com/?{piece}x"),
                "fontUrl": format!("https://cdn.acme.com/{piece}.woff2"),
            }),
            json!({
                "fontFamily": format!("\"Arial{piece}\""),
                "logoUrl": format!("https://cdn.acme.com{piece}/x"),
                "loginBgUrl": format!("https://cdn.acme.com/#{piece}"),
                "fontUrl": format!("https://cdn.acme.com/a.woff2?{piece}"),
            }),
            json!({"fontFamily": format!("'{piece}', serif")}),
            json!({"fontFamily": format!("{piece}Arial")}),
        ] {
            let mut put = owner.put(BRANDING, body.clone()).await;
            if put.status == 422 {
                for (pointer, _) in put.faults() {
                    body.as_object_mut().unwrap().remove(&pointer[1..]);
                }
                put = owner.put(BRANDING, body.clone()).await;
            }
            let branding = put.expect(200);
            accepted += body.as_object().unwrap().len();
            let css = api.visitor().get(THEME).await.text;
            let (declarations, rest) = read(&css);
            let set = |(property, name): (&str, &str)| {
                branding[name].is_string().then(|| format!("--portal-{property}"))
            };
            let expected = [
                ("primary", "primaryColor"),
                ("on-primary", "primaryColor"),
                ("font-family", "fontFamily"),
                ("logo", "logoUrl"),
                ("login-bg", "loginBgUrl"),
            ];
            let expected: Vec<_> = expected.into_iter().filter_map(set).collect();
            let names: Vec<_> = declarations.iter().map(|(name, _)| name.clone()).collect();
            assert_eq!(names, expected, "{css}");
            assert_eq!(rest, "\nb{}\n", "{css}");
            for (name, value) in &declarations {
                let setting = match name.as_str() {
                    "--portal-logo" => &branding["logoUrl"],
                    "--portal-login-bg" => &branding["loginBgUrl"],
                    _ => continue,
                };
                assert_eq!(value, &[format!("url {}", setting.as_str().unwrap())], "{css}");
            }
        }
    }
    assert!(accepted > 100, "{accepted} values were accepted");
}

#[tokio::test]
async fn the_style_sheet_has_the_custom_css_as_it_is_stored() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    for css in [
        "a[href^=\"https://\"]{}",
        ":root { --portal-primary: red }",
        "@media (width <= 40rem) { a { color: red } }",
        "a::before { content: \"} /* \" }",
        "a { --x: { y: [ ( ) ] } }",
        "a {}\r\n\tb {}\n",
        "日本 { color: red }",
    ] {
        let stored = owner.put(BRANDING, json!({"customCss": css})).await.expect(200);
        assert_eq!(stored["customCss"], css);
        assert_eq!(
            api.visitor().get(THEME).await.text,
            format!(":root {{\n}}\n{css}\n")
        );
    }
}
