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
    all["customCss"] = json!("/* mine */\na::after { content: \"\\201C\"; }");
    owner.put(BRANDING, all).await.expect(200);
    assert_eq!(
        api.visitor().get(THEME).await.text,
        r#":root {
  --portal-primary: #123456;
  --portal-accent: #ffee00;
  --portal-on-primary: #ffffff;
  --portal-on-accent: #000000;
  --portal-font-family: Inter, 'Segoe "UI"', "a;b}c/*";
  --portal-logo: url("https://cdn.acme.com/l%281%29%27.svg?a=1&b=%22;c#d");
  --portal-login-bg: url("https://cdn.acme.com/logo.svg?loginBgUrl");
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

/// The declarations of the first rule, and the text after it.
fn read(css: &str) -> (Vec<(String, Vec<String>)>, String) {
    let mut parser = Parser::new(css);
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
            }),
            json!({
                "fontFamily": format!("\"Arial{piece}\""),
                "logoUrl": format!("https://cdn.acme.com{piece}/x"),
                "loginBgUrl": format!("https://cdn.acme.com/#{piece}"),
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
