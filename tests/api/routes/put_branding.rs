use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use serde_json::{Map, Value, json};

use crate::harness::{Answer, Api, BRANDING, CONTEXT, User, operations::operation, property};

/// All settings, in the form in which they are stored.
fn full() -> Value {
    operation("putBranding").examples()
}

fn names() -> Vec<&'static str> {
    operation("putBranding").properties().into_keys().collect()
}

/// The settings of a branding.
fn settings(branding: &Value) -> Value {
    let settings = names()
        .into_iter()
        .map(|name| (name.to_owned(), branding[name].clone()));
    settings.collect::<Map<_, _>>().into()
}

async fn put(user: &User<'_>, name: &str, value: impl Into<Value>) -> Answer {
    user.put(BRANDING, property(name, value)).await
}

#[tokio::test]
async fn all_settings_are_stored_and_an_id_is_made_once() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    let first = owner.put(BRANDING, full()).await.expect(200);
    assert_eq!(settings(&first), full());
    assert_eq!(first["createdAt"], "2027-01-15T08:00:00Z");
    assert_eq!(first["updatedAt"], "2027-01-15T08:00:00Z");
    assert!(first["id"].as_str().unwrap().starts_with("brd_"));
    assert_eq!(first.as_object().unwrap().len(), names().len() + 5);
    assert_eq!(owner.get(BRANDING).await.expect(200), first);

    api.advance(Duration::from_secs(60));
    let second = owner.put(BRANDING, json!({})).await.expect(200);
    let mut expected = first.clone();
    expected["updatedAt"] = json!("2027-01-15T08:01:00Z");
    assert_eq!(second, expected, "an empty change is a change");
}

#[tokio::test]
async fn an_absent_setting_stays_and_null_or_an_empty_string_clears_one() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut expected = full();
    owner.put(BRANDING, full()).await.expect(200);
    for name in names() {
        for cleared in [Value::Null, json!("")] {
            expected[name] = Value::Null;
            let after = put(&owner, name, cleared).await.expect(200);
            assert_eq!(settings(&after), expected, "{name}");
            expected[name] = full()[name].clone();
            let after = put(&owner, name, full()[name].clone()).await.expect(200);
            assert_eq!(settings(&after), expected, "{name}");
        }
    }
}

#[tokio::test]
async fn a_value_is_stored_in_its_canonical_form() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for (name, sent, stored) in [
        ("primaryColor", "#FA0", "#ffaa00"),
        ("accentColor", " #ABCDEF\u{FEFF}\n", "#abcdef"),
        (
            "logoUrl",
            "HTTPS://CDN.Acme.com:443/a/../l(1)'.svg",
            "https://cdn.acme.com/l%281%29%27.svg",
        ),
        (
            "faviconUrl",
            "\u{200B}https://bücher.de/ö",
            "https://xn--bcher-kva.de/%C3%B6",
        ),
        ("loginBgUrl", "https://cdn.acme.com", "https://cdn.acme.com/"),
        ("fontFamily", "\tArial, serif\r\n", "Arial, serif"),
        ("fromEmail", "Hello@Bücher.DE\u{A0}", "Hello@xn--bcher-kva.de"),
        ("customCss", "@charset \"utf-8\";/* note */ a {}", "/**/ a {}"),
        ("footerText", " two\r\nlines ", " two\r\nlines "),
        ("accentColorDark", "#fA0", "#ffaa00"),
        ("primaryColorDark", " #ABCDEF", "#abcdef"),
        ("portalName", " Kundenportal Müller\n", "Kundenportal Müller"),
        ("language", " DE-at\n", "de-AT"),
        (
            "logoDarkUrl",
            "https://CDN.acme.com/dark.svg",
            "https://cdn.acme.com/dark.svg",
        ),
        (
            "fontUrl",
            "https://CDN.acme.com/a.woff2",
            "https://cdn.acme.com/a.woff2",
        ),
        ("termsUrl", "https://Acme.com", "https://acme.com/"),
        ("privacyUrl", "https://acme.com/a/../p", "https://acme.com/p"),
        ("imprintUrl", "https://bücher.de/", "https://xn--bcher-kva.de/"),
        ("supportUrl", "https://acme.com/help", "https://acme.com/help"),
        (
            "supportUrl",
            "MAILTO:Help@Bücher.de",
            "mailto:Help@xn--bcher-kva.de",
        ),
    ] {
        let after = put(&owner, name, sent).await.expect(200);
        assert_eq!(after[name], stored, "{name}");
        assert_eq!(owner.get(BRANDING).await.expect(200)[name], stored);
    }
    // A comment is stored nowhere.
    put(&owner, "customCss", "/* secret */ a {}").await.expect(200);
    let scan = api.client.scan().table_name(api.table());
    let items = scan.send().await.unwrap();
    assert!(!format!("{:?}", items.items()).contains("secret"));
}

/// With a bad value of each property. The other bad values are those of the unit tests of `models`.
#[tokio::test]
async fn every_error_is_listed_at_once_and_nothing_is_written() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.put(BRANDING, full()).await.expect(200);
    let before = owner.get(BRANDING).await.expect(200);
    // A good setting beside a bad one is not written either.
    let body = json!({"footerText": "x", "primaryColor": "x"});
    let answer = owner.put(BRANDING, body).await;
    answer.expect_faults(&[("/primaryColor", "invalid-format")]);
    let answer = owner
        .put(
            BRANDING,
            json!({
                "accentColor": "red",
                "accentColorDark": "rgb(0,0,0)",
                "customCss": "@import 'x';",
                "faviconUrl": "http://cdn.acme.com/favicon.ico",
                "fontFamily": "a".repeat(201),
                "fontUrl": "https://cdn.acme.com/inter.ttf",
                "footerText": "a".repeat(501),
                "fromEmail": "Acme <hello@acme.com>",
                "imprintUrl": "mailto:hello@acme.com",
                "language": "de_AT",
                "loginBgUrl": ["https://cdn.acme.com/"],
                "logoDarkUrl": "https://localhost/logo.svg",
                "logoUrl": "/logo.svg",
                "portalName": "a".repeat(61),
                "primaryColor": " ",
                "primaryColorDark": 0,
                "privacyUrl": "https://user@acme.com/",
                "supportUrl": "mailto:a@acme.com,b@acme.com",
                "termsUrl": "javascript:alert(1)",
                "primarycolor": "#fff",
            }),
        )
        .await;
    answer.expect_faults(&[
        ("/accentColor", "invalid-format"),
        ("/accentColorDark", "invalid-format"),
        ("/customCss", "not-allowed"),
        ("/faviconUrl", "not-allowed"),
        ("/fontFamily", "too-long"),
        ("/fontUrl", "not-allowed"),
        ("/footerText", "too-long"),
        ("/fromEmail", "invalid-format"),
        ("/imprintUrl", "not-allowed"),
        ("/language", "invalid-format"),
        ("/loginBgUrl", "wrong-type"),
        ("/logoDarkUrl", "not-allowed"),
        ("/logoUrl", "invalid-format"),
        ("/portalName", "too-long"),
        ("/primaryColor", "too-short"),
        ("/primaryColorDark", "wrong-type"),
        ("/primarycolor", "unknown-property"),
        ("/privacyUrl", "not-allowed"),
        ("/supportUrl", "invalid-format"),
        ("/termsUrl", "not-allowed"),
    ]);
    assert_eq!(owner.get(BRANDING).await.expect(200), before);
}

#[tokio::test]
async fn values_at_their_limits_are_accepted() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let base = "https://cdn.acme.com/";
    for (name, value) in [
        ("logoUrl", format!("{base}{}", "a".repeat(2048 - base.len()))),
        ("fontFamily", "ж".repeat(200)),
        ("footerText", "\u{1F600}".repeat(500)),
        ("portalName", "\u{1F600}".repeat(60)),
        ("language", format!("en-x{}", "-a".repeat(125))),
        ("fromEmail", format!("{}@acme.com", "a".repeat(64))),
        ("customCss", format!("a{{}}{}", " ".repeat(32 * 1024 - 3))),
    ] {
        let stored = put(&owner, name, value.clone()).await;
        assert_eq!(stored.status, 200, "{name}");
        assert_eq!(stored.expect(200)[name], value);
    }
    // The largest branding fits into one item, one page of the context and one response.
    for name in names().into_iter().filter(|name| name.ends_with("Url")) {
        let end = ".woff2";
        let value = format!("{base}{}{end}", "a".repeat(2048 - base.len() - end.len()));
        put(&owner, name, value).await.expect(200);
    }
    let shown = owner.get(CONTEXT).await.expect(200);
    assert_eq!(shown["branding"]["customCss"].as_str().unwrap().len(), 32 * 1024);
}

#[tokio::test]
async fn a_rejected_style_sheet_is_told_with_line_and_column() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let answer = put(&owner, "customCss", "a { color: red }\nb { background: url(x) }").await;
    let problem = answer.problem(422, "invalid-body");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.to_lowercase().contains("line 2, column 17"), "{detail}");
}

/// The code and the pointer of each warning.
fn warned(branding: &Value) -> Vec<(String, String)> {
    let warnings = branding["warnings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    warnings
        .map(|warning| {
            assert_eq!(warning.as_object().unwrap().len(), 3);
            (text(&warning["code"]), text(&warning["pointer"]))
        })
        .collect()
}

#[tokio::test]
async fn a_colour_with_low_contrast_is_accepted_with_a_warning() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    // #949494 is the lightest grey with 3:1 against white, and #616161 the darkest with 3:1 against #121212.
    for (light, dark, expected) in [
        (json!("#949494"), json!("#616161"), vec![]),
        (json!("#616161"), Value::Null, vec![]),
        (Value::Null, Value::Null, vec![]),
        (json!("#959595"), json!("#fff"), vec![("", "#959595", "white")]),
        // Without a colour for it, dark mode uses the other one.
        (json!("#959595"), Value::Null, vec![("", "#959595", "white")]),
        (json!("#606060"), Value::Null, vec![("", "#606060", "#121212")]),
        (json!("#606060"), json!("#616161"), vec![]),
        (
            Value::Null,
            json!("#606060"),
            vec![("Dark", "#606060", "#121212")],
        ),
        (
            json!("#ff0"),
            json!("#000"),
            vec![("", "#ffff00", "white"), ("Dark", "#000000", "#121212")],
        ),
    ] {
        for name in ["accentColor", "primaryColor"] {
            let put = json!({name: light, format!("{name}Dark"): dark});
            let branding = owner.put(BRANDING, put).await.expect(200);
            let pointers = expected
                .iter()
                .map(|(end, ..)| ("low-contrast".to_owned(), format!("/{name}{end}")));
            assert_eq!(warned(&branding), pointers.collect::<Vec<_>>(), "{light} {dark}");
            assert_eq!(owner.get(BRANDING).await.expect(200), branding);
            for (warning, (_, color, background)) in
                branding["warnings"].as_array().unwrap().iter().zip(&expected)
            {
                let detail = warning["detail"].as_str().unwrap();
                let fix = if *background == "white" {
                    "darker"
                } else {
                    "lighter"
                };
                for part in [color, background, fix, "3:1"] {
                    assert!(detail.contains(part), "{detail}");
                }
            }
            let clear = json!({name: null, format!("{name}Dark"): null});
            owner.put(BRANDING, clear).await.expect(200);
        }
    }
    let both = owner
        .put(BRANDING, json!({"primaryColor": "#ff0", "accentColor": "#fff"}))
        .await
        .expect(200);
    let low = |pointer: &str| ("low-contrast".to_owned(), pointer.to_owned());
    assert_eq!(warned(&both), [low("/accentColor"), low("/primaryColor")]);
}

#[tokio::test]
async fn a_font_that_no_family_names_is_accepted_with_a_warning() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    put(&owner, "fontUrl", "https://cdn.acme.com/inter.woff2")
        .await
        .expect(200);
    let unused = ("font-unused".to_owned(), "/fontUrl".to_owned());
    for (family, is_used) in [
        (Value::Null, false),
        (json!("Inter, sans-serif"), true),
        (json!("sans-serif, Inter"), false),
        (json!("'Inter'"), true),
        (json!("system-ui"), false),
    ] {
        let branding = put(&owner, "fontFamily", family.clone()).await.expect(200);
        let expected = if is_used { vec![] } else { vec![unused.clone()] };
        assert_eq!(warned(&branding), expected, "{family}");
    }
    assert_eq!(warned(&put(&owner, "fontUrl", Value::Null).await.expect(200)), []);
}

#[tokio::test]
async fn of_twenty_changes_at_once_none_is_lost() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let full = full();
    // Some change a setting of their own, the others the same one.
    let own = names().into_iter().filter(|name| *name != "footerText");
    let own: Vec<_> = own.take(8).collect();
    let changes = (0..20).map(|i| match own.get(i) {
        Some(name) => property(name, full[*name].clone()),
        None => property("footerText", format!("text {i}")),
    });
    let answers = join_all(changes.map(|change| owner.put(BRANDING, change))).await;
    let mut tags = BTreeSet::new();
    for answer in &answers {
        answer.expect(200);
        tags.insert(answer.header("etag").unwrap().to_owned());
    }
    assert_eq!(tags.len(), 20);
    let branding = owner.get(BRANDING).await;
    assert!(tags.contains(branding.header("etag").unwrap()));
    let branding = branding.expect(200);
    for name in &own {
        assert_eq!(branding[*name], full[*name], "{name}");
    }
    // Each entry follows another one: every text but the last was replaced.
    let audit = owner.audit().await;
    let texts = |side: &str| -> BTreeSet<String> {
        let entries = audit
            .iter()
            .filter_map(|entry| entry[side]["footerText"].as_str());
        entries.map(str::to_owned).collect()
    };
    assert_eq!(audit.len(), 21);
    assert_eq!(texts("after").len(), 20 - own.len());
    let last: Vec<_> = texts("after").difference(&texts("before")).cloned().collect();
    assert_eq!(last, [branding["footerText"].as_str().unwrap()]);
    let ids: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.json()["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1, "one branding, one id");
}
