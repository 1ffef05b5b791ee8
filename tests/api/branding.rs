//! Branding: nine settings, merged and cleared one by one.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use futures::future::join_all;
use http::Method;
use serde_json::{Map, Value, json};

use crate::harness::{Answer, Api, User};

const PATH: &str = "/agency/branding";
const NAMES: [&str; 9] = [
    "accentColor",
    "customCss",
    "faviconUrl",
    "fontFamily",
    "footerText",
    "fromEmail",
    "loginBgUrl",
    "logoUrl",
    "primaryColor",
];

/// All nine settings, in the form in which they are stored.
fn full() -> Value {
    json!({
        "accentColor": "#00aa00",
        "customCss": "a[href^=\"https://\"] { color: #fff; }",
        "faviconUrl": "https://cdn.acme.com/favicon.ico",
        "fontFamily": "Inter, \"Segoe UI\", sans-serif",
        "footerText": "© Acme\nAll rights reserved",
        "fromEmail": "hello@acme.com",
        "loginBgUrl": "https://cdn.acme.com/login.jpg",
        "logoUrl": "https://cdn.acme.com/logo.svg?v=2",
        "primaryColor": "#123456",
    })
}

/// The nine settings of a branding.
fn settings(branding: &Value) -> Value {
    NAMES
        .iter()
        .map(|name| ((*name).to_owned(), branding[name].clone()))
        .collect::<Map<_, _>>()
        .into()
}

fn property(name: &str, value: impl Into<Value>) -> Value {
    Map::from_iter([(name.to_owned(), value.into())]).into()
}

async fn put(user: &User<'_>, name: &str, value: impl Into<Value>) -> Answer {
    user.put(PATH, property(name, value)).await
}

#[tokio::test]
async fn before_the_first_put_every_value_is_null() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let branding = owner.get(PATH).await.expect(200);
    let mut expected = json!({
        "id": null,
        "organizationId": "org_acme",
        "warnings": [],
        "createdAt": null,
        "updatedAt": null,
    });
    for name in NAMES {
        expected[name] = Value::Null;
    }
    assert_eq!(branding, expected);
    assert_eq!(
        api.user("org_acme", "member").get(PATH).await.expect(200),
        branding
    );
}

#[tokio::test]
async fn all_settings_are_kept_and_shown_and_an_id_is_made_once() {
    // 2026-11-23T17:00:00.789Z
    let api = Api::build(local::system::System::builder().at(1_795_453_200_789)).await;
    let owner = api.agency("org_acme").await;
    let first = owner.put(PATH, full()).await.expect(200);
    assert_eq!(settings(&first), full());
    assert_eq!(first["createdAt"], "2026-11-23T17:00:00Z");
    assert_eq!(first["updatedAt"], "2026-11-23T17:00:00Z");
    assert!(first["id"].as_str().unwrap().starts_with("brd_"));
    assert_eq!(first.as_object().unwrap().len(), 14);
    assert_eq!(owner.get(PATH).await.expect(200), first);

    api.advance(std::time::Duration::from_secs(60));
    let second = owner.put(PATH, json!({})).await.expect(200);
    let mut expected = first.clone();
    expected["updatedAt"] = json!("2026-11-23T17:01:00Z");
    assert_eq!(second, expected, "an empty change is a change");
}

#[tokio::test]
async fn what_a_client_got_it_can_send_back() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut got = owner.put(PATH, full()).await.expect(200);
    got["primaryColor"] = json!("#ffee00");
    got["warnings"] = json!("whatever");
    got["createdAt"] = json!({"a": [7]});
    got["id"] = json!("brd_other");
    got["organizationId"] = json!("org_other");
    let put = owner.put(PATH, got.clone()).await.expect(200);
    assert_eq!(settings(&put), settings(&got));
    assert_eq!(put["organizationId"], "org_acme");
    assert_ne!(put["id"], "brd_other");
    assert!(put["createdAt"].is_string() && put["warnings"].is_array());
    owner
        .put(PATH, owner.get(PATH).await.expect(200))
        .await
        .expect(200);
}

#[tokio::test]
async fn absent_settings_stay_and_each_is_cleared_by_null_or_nothing() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.put(PATH, full()).await.expect(200);
    let mut expected = full();
    for (place, name) in NAMES.into_iter().enumerate() {
        let cleared = if place % 2 == 0 { Value::Null } else { json!("") };
        expected[name] = Value::Null;
        let after = put(&owner, name, cleared).await.expect(200);
        assert_eq!(settings(&after), expected, "{name}");
    }
    for (place, name) in NAMES.into_iter().enumerate() {
        expected[name] = full()[name].clone();
        let after = put(&owner, name, full()[name].clone()).await.expect(200);
        assert_eq!(settings(&after), expected, "{name}");
        let cleared = if place % 2 == 1 { Value::Null } else { json!("") };
        assert_eq!(put(&owner, name, cleared).await.expect(200)[name], Value::Null);
        put(&owner, name, full()[name].clone()).await.expect(200);
    }
}

#[tokio::test]
async fn values_are_stored_in_one_form() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for (name, sent, stored) in [
        ("primaryColor", "#FA0", "#ffaa00"),
        ("accentColor", "#ABCDEF", "#abcdef"),
        (
            "logoUrl",
            "HTTPS://CDN.Acme.com:443/a/../l(1)'.svg",
            "https://cdn.acme.com/l%281%29%27.svg",
        ),
        (
            "faviconUrl",
            "https://bücher.de/ö",
            "https://xn--bcher-kva.de/%C3%B6",
        ),
        ("loginBgUrl", "https://cdn.acme.com", "https://cdn.acme.com/"),
        ("fromEmail", "Hello@Bücher.DE", "Hello@xn--bcher-kva.de"),
        (
            "customCss",
            "/* note */ a { color: red } /* x */",
            "/**/ a { color: red } /**/",
        ),
        ("customCss", "@charset \"utf-8\";a{}", "a{}"),
        ("footerText", " two\r\nlines ", " two\r\nlines "),
        ("footerText", "<b>&amp; {{x}}", "<b>&amp; {{x}}"),
    ] {
        let after = put(&owner, name, sent).await.expect(200);
        assert_eq!(after[name], stored, "{name}");
        assert_eq!(owner.get(PATH).await.expect(200)[name], stored);
    }
}

#[tokio::test]
async fn what_was_pasted_around_a_single_line_is_removed() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let full = full();
    for name in [
        "primaryColor",
        "accentColor",
        "logoUrl",
        "faviconUrl",
        "loginBgUrl",
        "fontFamily",
        "fromEmail",
    ] {
        for (before, after) in [
            (" ", " "),
            ("\u{FEFF}", "\u{200B}"),
            ("\r\n\t", "\n"),
            ("\u{A0}\u{3000}", "\u{2028}"),
        ] {
            let sent = format!("{before}{}{after}", full[name].as_str().unwrap());
            let branding = put(&owner, name, sent.clone()).await;
            assert_eq!(branding.status, 200, "{name} {sent:?} {branding:?}");
            assert_eq!(branding.expect(200)[name], full[name], "{name} {sent:?}");
        }
    }
    // Only around: what is inside is the value's own.
    for (name, sent) in [
        ("primaryColor", "#12\u{200B}3456"),
        ("fromEmail", "hello@\u{FEFF} acme.com"),
    ] {
        put(&owner, name, sent).await.problem(422, "invalid-body");
    }
    assert_eq!(
        put(&owner, "footerText", " x\n").await.expect(200)["footerText"],
        " x\n"
    );
}

#[tokio::test]
async fn every_fault_is_told_at_once() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.put(PATH, full()).await.expect(200);
    let before = owner.get(PATH).await.expect(200);
    let answer = owner
        .put(
            PATH,
            json!({
                "accentColor": "red",
                "customCss": "@import 'x';",
                "faviconUrl": "http://cdn.acme.com/favicon.ico",
                "fontFamily": "a".repeat(201),
                "footerText": "a".repeat(501),
                "fromEmail": "Acme <hello@acme.com>",
                "loginBgUrl": ["https://cdn.acme.com/"],
                "logoUrl": 7,
                "primaryColor": " ",
                "primarycolor": "#fff",
                "a/b~c": null,
                "": {},
            }),
        )
        .await;
    let faults: BTreeSet<_> = answer.faults().into_iter().collect();
    let expected = [
        ("/accentColor", "invalid-format"),
        ("/customCss", "not-allowed"),
        ("/faviconUrl", "not-allowed"),
        ("/fontFamily", "too-long"),
        ("/footerText", "too-long"),
        ("/fromEmail", "invalid-format"),
        ("/loginBgUrl", "wrong-type"),
        ("/logoUrl", "wrong-type"),
        ("/primaryColor", "too-short"),
        ("/primarycolor", "unknown-property"),
        ("/a~1b~0c", "unknown-property"),
        ("/", "unknown-property"),
    ];
    let expected: BTreeSet<_> = expected
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect();
    assert_eq!(faults, expected);
    for fault in answer.json()["errors"].as_array().unwrap() {
        assert_eq!(fault.as_object().unwrap().len(), 3);
        assert!(!fault["detail"].as_str().unwrap().is_empty());
    }
    assert_eq!(
        owner.get(PATH).await.expect(200),
        before,
        "one fault, and nothing is written"
    );
}

#[tokio::test]
async fn a_good_setting_beside_a_bad_one_is_not_written() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let body = json!({"footerText": "x", "primaryColor": "x"});
    assert_eq!(
        owner.put(PATH, body).await.faults(),
        [("/primaryColor".to_owned(), "invalid-format".to_owned())]
    );
    assert_eq!(owner.get(PATH).await.expect(200)["footerText"], Value::Null);
    assert_eq!(owner.audit().await.len(), 1);
}

#[tokio::test]
async fn pointers_lead_to_properties_whatever_their_names_are() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for name in [
        "",
        "/",
        "~",
        "~1",
        "~01",
        "//~~",
        "a b",
        "a\"b\\c",
        "日本",
        "\u{1F600}",
        "\0",
        "\n",
        "%2F",
        "__proto__",
        "constructor",
        "#",
        "customcss",
        "CustomCss",
        "accentColour",
        "entity",
        "schema",
        "PK",
        "writeId",
        "settings",
    ] {
        let answer = owner.put(PATH, property(name, 1)).await;
        let faults = answer.faults();
        assert_eq!(faults.len(), 1, "{name:?}");
        assert_eq!(faults[0].1, "unknown-property");
        let body = property(name, "here");
        assert_eq!(
            body.pointer(&faults[0].0),
            Some(&json!("here")),
            "{name:?}: {faults:?}"
        );
    }
}

#[tokio::test]
async fn a_setting_of_another_type_is_told_as_such() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for name in NAMES {
        for value in [
            json!(0),
            json!(1.5),
            json!(true),
            json!([]),
            json!(["#fff"]),
            json!({}),
            json!({"value": "x"}),
        ] {
            let answer = put(&owner, name, value.clone()).await;
            assert_eq!(
                answer.faults(),
                [(format!("/{name}"), "wrong-type".to_owned())],
                "{value}"
            );
        }
    }
}

#[tokio::test]
async fn values_that_do_not_fit_are_refused() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let long = |text: &str, times| text.repeat(times);
    for (name, value, code) in [
        ("primaryColor", "#ff".to_owned(), "invalid-format"),
        ("primaryColor", "#ffff".to_owned(), "invalid-format"),
        ("primaryColor", "#12345g".to_owned(), "invalid-format"),
        ("primaryColor", "#ffffff00".to_owned(), "invalid-format"),
        ("primaryColor", "fff".to_owned(), "invalid-format"),
        ("accentColor", "rgb(0,0,0)".to_owned(), "invalid-format"),
        ("accentColor", "#fff;}".to_owned(), "invalid-format"),
        ("accentColor", "＃fff".to_owned(), "invalid-format"),
        ("logoUrl", "//cdn.acme.com/x".to_owned(), "invalid-format"),
        ("logoUrl", "/logo.svg".to_owned(), "invalid-format"),
        ("logoUrl", "javascript:alert(1)".to_owned(), "not-allowed"),
        ("logoUrl", "data:image/svg+xml,x".to_owned(), "not-allowed"),
        ("logoUrl", "https://u:p@cdn.acme.com/".to_owned(), "not-allowed"),
        ("logoUrl", "https://127.0.0.1/x".to_owned(), "not-allowed"),
        ("logoUrl", "https://2130706433/x".to_owned(), "not-allowed"),
        ("logoUrl", "https://[::1]/x".to_owned(), "not-allowed"),
        (
            "logoUrl",
            "https://169.254.169.254/latest/meta-data".to_owned(),
            "not-allowed",
        ),
        ("logoUrl", "https://localhost/x".to_owned(), "not-allowed"),
        ("logoUrl", "https://cdn.acme.com/a b".to_owned(), "invalid-format"),
        (
            "logoUrl",
            "https:\\\\cdn.acme.com\\x".to_owned(),
            "invalid-format",
        ),
        (
            "faviconUrl",
            format!("https://cdn.acme.com/{}", long("a", 2048)),
            "too-long",
        ),
        (
            "loginBgUrl",
            "https://cdn.acme.com/\")}x".to_owned(),
            "invalid-format",
        ),
        ("fontFamily", "Arial; color: red".to_owned(), "invalid-format"),
        ("fontFamily", "url(x)".to_owned(), "not-allowed"),
        ("fontFamily", "inherit".to_owned(), "not-allowed"),
        ("fontFamily", "\"Arial".to_owned(), "invalid-format"),
        ("fontFamily", "</style>".to_owned(), "invalid-format"),
        ("footerText", long("é", 501), "too-long"),
        ("footerText", "a\tb".to_owned(), "invalid-format"),
        ("footerText", "a\0b".to_owned(), "invalid-format"),
        ("footerText", "a\u{202E}b".to_owned(), "invalid-format"),
        ("fromEmail", "acme.com".to_owned(), "invalid-format"),
        ("fromEmail", "a@b@acme.com".to_owned(), "invalid-format"),
        ("fromEmail", "\"a\"@acme.com".to_owned(), "invalid-format"),
        ("fromEmail", "a@[127.0.0.1]".to_owned(), "invalid-format"),
        (
            "fromEmail",
            "a@acme.com\r\nBcc: b@acme.com".to_owned(),
            "invalid-format",
        ),
        ("fromEmail", "a@acme.com,b@acme.com".to_owned(), "invalid-format"),
        ("fromEmail", format!("{}@acme.com", long("a", 65)), "too-long"),
        ("customCss", long("a", 32 * 1024 + 1), "too-long"),
        (
            "customCss",
            "a { background: url(https://evil.com/?x) }".to_owned(),
            "not-allowed",
        ),
        (
            "customCss",
            "@font-face { font-family: x }".to_owned(),
            "not-allowed",
        ),
        (
            "customCss",
            "a { width: expression(alert(1)) }".to_owned(),
            "not-allowed",
        ),
        (
            "customCss",
            "a{}</style><script>alert(1)</script>".to_owned(),
            "not-allowed",
        ),
        ("customCss", "a { color: red".to_owned(), "invalid-format"),
        ("customCss", "a } b { color: red }".to_owned(), "invalid-format"),
    ] {
        let answer = put(&owner, name, value.clone()).await;
        let shown: String = value.chars().take(60).collect();
        assert_eq!(
            answer.faults(),
            [(format!("/{name}"), code.to_owned())],
            "{shown}"
        );
    }
    assert_eq!(owner.audit().await.len(), 1);
}

#[tokio::test]
async fn values_at_their_limits_are_taken() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let base = "https://cdn.acme.com/";
    for (name, value) in [
        ("logoUrl", format!("{base}{}", "a".repeat(2048 - base.len()))),
        ("fontFamily", "ж".repeat(200)),
        ("footerText", "\u{1F600}".repeat(500)),
        ("fromEmail", format!("{}@acme.com", "a".repeat(64))),
        ("customCss", format!("a{{}}{}", " ".repeat(32 * 1024 - 3))),
    ] {
        let stored = put(&owner, name, value.clone()).await;
        assert_eq!(stored.status, 200, "{name}");
        assert_eq!(stored.expect(200)[name], value);
    }
    // The largest branding there can be is one item, one page of the context and one answer.
    for name in ["faviconUrl", "loginBgUrl"] {
        let value = format!("{base}{}", "a".repeat(2048 - base.len()));
        put(&owner, name, value).await.expect(200);
    }
    let shown = owner.get("/portal/context").await.expect(200);
    assert_eq!(shown["branding"]["customCss"].as_str().unwrap().len(), 32 * 1024);
}

#[tokio::test]
async fn a_refused_stylesheet_tells_where_and_why() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let answer = put(&owner, "customCss", "a { color: red }\nb { background: url(x) }").await;
    let problem = answer.problem(422, "invalid-body");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.to_lowercase().contains("line 2, column 17"), "{detail}");
}

#[tokio::test]
async fn a_colour_that_is_hard_to_see_on_white_is_taken_with_a_warning() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let warned = |branding: &Value| -> Vec<_> {
        let warnings = branding["warnings"].as_array().unwrap();
        warnings
            .iter()
            .map(|warning| {
                assert_eq!(warning.as_object().unwrap().len(), 3);
                assert_eq!(warning["code"], "low-contrast");
                assert!(warning["detail"].as_str().unwrap().contains("3:1"));
                warning["pointer"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    let both = owner
        .put(PATH, json!({"primaryColor": "#ff0", "accentColor": "#fff"}))
        .await
        .expect(200);
    assert_eq!(warned(&both), ["/accentColor", "/primaryColor"]);
    assert_eq!(
        warned(&owner.get(PATH).await.expect(200)),
        ["/accentColor", "/primaryColor"]
    );
    // #949494 is the lightest grey with 3:1.
    let one = owner
        .put(PATH, json!({"primaryColor": "#949494", "accentColor": "#959595"}))
        .await
        .expect(200);
    assert_eq!(warned(&one), ["/accentColor"]);
    assert!(warned(&owner.put(PATH, json!({"accentColor": null})).await.expect(200)).is_empty());
}

#[tokio::test]
async fn the_audit_log_has_the_changed_properties_alone() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let css = "/* secret */ p::after { content: \"é\" }";
    let stored = "/**/ p::after { content: \"é\" }";
    let first = owner
        .put(PATH, json!({"primaryColor": "#FFF", "customCss": css}))
        .await;
    let branding = first.expect(200);
    let hash = |css: &str| {
        let hex: String = digest(&SHA256, css.as_bytes())
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        json!({"length": css.chars().count(), "sha256": hex})
    };
    let entry = owner.audit().await[0].clone();
    assert_eq!(entry["action"], "branding.updated");
    assert_eq!(entry["target"], json!({"type": "branding", "id": branding["id"]}));
    assert_eq!(entry["actor"], json!({"type": "user", "id": "user_1"}));
    assert_eq!(entry["requestId"].as_str(), first.header("x-request-id"));
    assert_eq!(entry["after"]["primaryColor"], "#ffffff");
    assert_eq!(entry["after"]["customCss"], hash(stored));
    assert_eq!(entry["before"]["primaryColor"], Value::Null);
    assert_eq!(entry["before"]["customCss"], Value::Null);
    for name in NAMES
        .into_iter()
        .filter(|name| !["primaryColor", "customCss"].contains(name))
    {
        assert_eq!(
            (entry["before"].get(name), entry["after"].get(name)),
            (None, None),
            "{name}"
        );
    }

    owner
        .put(
            PATH,
            json!({"primaryColor": "#fff", "footerText": "x", "customCss": "a{}"}),
        )
        .await
        .expect(200);
    let entry = owner.audit().await[0].clone();
    assert_eq!(
        entry["before"],
        json!({"footerText": null, "customCss": hash(stored)})
    );
    assert_eq!(
        entry["after"],
        json!({"footerText": "x", "customCss": hash("a{}")})
    );

    owner.put(PATH, json!({"customCss": null})).await.expect(200);
    let entry = owner.audit().await[0].clone();
    assert_eq!(entry["before"], json!({"customCss": hash("a{}")}));
    assert_eq!(entry["after"], json!({"customCss": null}));

    owner.put(PATH, json!({"footerText": "x"})).await.expect(200);
    let audit = owner.audit().await;
    assert_eq!(
        audit.len(),
        5,
        "an accepted change that changes nothing is one, too"
    );
    assert_eq!(
        (&audit[0]["before"], &audit[0]["after"]),
        (&json!({}), &json!({}))
    );
    let raw = api.client.scan().table_name(api.table()).send().await.unwrap();
    assert!(
        !format!("{:?}", raw.items()).contains("secret"),
        "a comment is nowhere"
    );
}

#[tokio::test]
async fn of_two_changes_of_one_state_one_is_stale() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for round in 0..5 {
        let tag = owner.get(PATH).await.header("etag").unwrap().to_owned();
        let headers = [("if-match", tag.as_str())];
        let change =
            |text: String| owner.call(Method::PUT, PATH, &headers, Some(json!({"footerText": text})));
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let (first, second) = tokio::join!(change(a.clone()), change(b.clone()));
        let (winner, loser, text) = if first.status == 200 {
            (first, second, a)
        } else {
            (second, first, b)
        };
        assert_eq!(winner.expect(200)["footerText"], text);
        loser.problem(412, "stale");
        let now = owner.get(PATH).await;
        assert_eq!(now.expect(200)["footerText"], text);
        assert_eq!(now.header("etag"), winner.header("etag"));
    }
    assert_eq!(owner.audit().await.len(), 6, "a refusal leaves no entry");
}

#[tokio::test]
async fn of_twenty_changes_at_once_none_is_lost() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let full = full();
    // Nine change a setting of their own, eleven the same one.
    let changes = (0..20).map(|i| match NAMES.get(i).filter(|name| **name != "footerText") {
        Some(name) => property(name, full[*name].clone()),
        None => property("footerText", format!("text {i}")),
    });
    let answers = join_all(changes.map(|change| owner.put(PATH, change))).await;
    let mut tags = BTreeSet::new();
    for answer in &answers {
        answer.expect(200);
        tags.insert(answer.header("etag").unwrap().to_owned());
    }
    assert_eq!(tags.len(), 20);
    let branding = owner.get(PATH).await;
    assert!(tags.contains(branding.header("etag").unwrap()));
    let branding = branding.expect(200);
    for name in NAMES.into_iter().filter(|name| *name != "footerText") {
        assert_eq!(branding[name], full[name], "{name}");
    }
    // Each entry follows on another one: every text but the last was somebody's before.
    let audit = owner.audit().await;
    let texts = |side: &str| -> BTreeSet<String> {
        let entries = audit
            .iter()
            .filter_map(|entry| entry[side]["footerText"].as_str());
        entries.map(str::to_owned).collect()
    };
    assert_eq!(audit.len(), 21);
    assert_eq!(texts("after").len(), 12);
    let last: Vec<_> = texts("after").difference(&texts("before")).cloned().collect();
    assert_eq!(last, [branding["footerText"].as_str().unwrap()]);
    let ids: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.json()["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1, "one branding, one id");
}

#[tokio::test]
async fn branding_is_its_organizations_own() {
    let api = Api::start().await;
    let (acme, other) = (api.agency("org_acme").await, api.agency("org_other").await);
    acme.put(PATH, full()).await.expect(200);
    assert_eq!(other.get(PATH).await.expect(200)["primaryColor"], Value::Null);
    api.user("org_acme", "member")
        .put(PATH, full())
        .await
        .problem(403, "role-too-low");
    api.user("org_acme", "admin").put(PATH, full()).await.expect(200);
    api.user("org_acme", "superuser")
        .put(PATH, full())
        .await
        .problem(403, "role-too-low");
    api.user("org_none", "owner")
        .get(PATH)
        .await
        .problem(403, "agency-not-enabled");
    api.user("org_none", "owner")
        .put(PATH, full())
        .await
        .problem(403, "agency-not-enabled");
    let client = acme.client("Client").await;
    let user = api.user(client["id"].as_str().unwrap(), "owner");
    user.get(PATH).await.problem(403, "agency-not-enabled");
    user.put(PATH, full()).await.problem(403, "agency-not-enabled");
}
