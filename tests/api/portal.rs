//! The portal: its configuration, its context, and what visitors see before they have logged in.

use std::time::Duration;

use cssparser::{ParseError, Parser, Token};
use local::{system::System, token};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::harness::{Api, User};

const CONFIG: &str = "/agency/portal-config";
const CONTEXT: &str = "/portal/context";

fn defaults() -> Value {
    json!({
        "featureBackups": true,
        "featureDatabases": true,
        "featureDomains": true,
        "featureFileEditor": false,
        "featureLogs": true,
        "featureMonitoring": true,
        "featureOdooShell": false,
        "featureTerminal": false,
        "infrastructureVisibility": "hidden",
        "teamManagementEnabled": false,
    })
}

/// The opposite of every default.
fn opposites() -> Value {
    let mut all = defaults();
    for value in all.as_object_mut().unwrap().values_mut() {
        *value = value.as_bool().map_or(json!("full"), |on| json!(!on));
    }
    all
}

/// The ten settings of a configuration.
fn settings(config: &Value) -> Value {
    let names = defaults().as_object().unwrap().clone();
    names
        .into_iter()
        .map(|(name, _)| (name.clone(), config[&name].clone()))
        .collect::<Map<_, _>>()
        .into()
}

fn property(name: &str, value: impl Into<Value>) -> Value {
    Map::from_iter([(name.to_owned(), value.into())]).into()
}

/// Makes a custom domain of the agency and proves it by DNS, which then has no other records.
pub async fn verified_domain(owner: &User<'_>, hostname: &str) -> Value {
    let domain = owner.custom_domain(hostname).await;
    let records = domain["records"].as_array().unwrap().iter().map(|record| {
        let text = |name: &str| record[name].as_str().unwrap();
        match text("type") {
            "TXT" => format!("{}. TXT \"{}\"\n", text("name"), text("value")),
            kind => format!("{}. {kind} {}.\n", text("name"), text("value")),
        }
    });
    owner.api.dns.set_zone(&records.collect::<String>()).unwrap();
    let verify = format!("/agency/portal-domains/{}/verify", domain["id"].as_str().unwrap());
    let domain = owner.post(&verify, Value::Null).await.expect(200);
    assert_eq!(domain["status"], "verified", "{domain}");
    domain
}

// The configuration.

#[tokio::test]
async fn before_the_first_put_the_defaults_are_the_careful_ones() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let config = owner.get(CONFIG).await.expect(200);
    let mut expected = defaults();
    expected["organizationId"] = json!("org_acme");
    expected["createdAt"] = Value::Null;
    expected["updatedAt"] = Value::Null;
    assert_eq!(config, expected);
    assert_eq!(
        api.user("org_acme", "member").get(CONFIG).await.expect(200),
        expected
    );
}

#[tokio::test]
async fn settings_are_merged_and_null_brings_the_default_back() {
    let api = Api::build(System::builder().at(1_795_453_200_789)).await;
    let owner = api.agency("org_acme").await;
    let mut expected = defaults();
    for (name, value) in opposites().as_object().unwrap() {
        expected[name] = value.clone();
        let config = owner.put(CONFIG, property(name, value.clone())).await.expect(200);
        assert_eq!(settings(&config), expected, "{name}");
        assert_eq!(owner.get(CONFIG).await.expect(200), config);
    }
    api.advance(Duration::from_secs(1));
    let config = owner.put(CONFIG, json!({})).await.expect(200);
    assert_eq!(settings(&config), opposites());
    assert_eq!(config["createdAt"], "2026-11-23T17:00:00Z");
    assert_eq!(config["updatedAt"], "2026-11-23T17:00:01Z");
    for (name, value) in defaults().as_object().unwrap() {
        expected[name] = value.clone();
        let config = owner.put(CONFIG, property(name, Value::Null)).await.expect(200);
        assert_eq!(settings(&config), expected, "{name}");
    }
    for word in ["summary", "full", "hidden"] {
        let config = owner
            .put(CONFIG, property("infrastructureVisibility", word))
            .await
            .expect(200);
        assert_eq!(config["infrastructureVisibility"], word);
    }
}

#[tokio::test]
async fn what_a_client_got_of_the_configuration_it_can_send_back() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut config = owner.put(CONFIG, opposites()).await.expect(200);
    config["featureLogs"] = json!(true);
    config["createdAt"] = json!([1]);
    config["organizationId"] = json!("org_other");
    let after = owner.put(CONFIG, config.clone()).await.expect(200);
    assert_eq!(settings(&after), settings(&config));
    assert_eq!(after["organizationId"], "org_acme");
    assert!(after["createdAt"].is_string());
}

#[tokio::test]
async fn every_fault_of_a_configuration_is_told_at_once() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for (name, value) in defaults().as_object().unwrap() {
        let mut wrong = vec![json!(0), json!(1), json!([]), json!({})];
        if value.is_boolean() {
            wrong.extend([json!("true"), json!("false"), json!("")]);
        } else {
            wrong.extend([json!(true), json!(false)]);
        }
        for value in wrong {
            let answer = owner.put(CONFIG, property(name, value.clone())).await;
            assert_eq!(answer.status, 422, "{name}: {value}");
            assert_eq!(answer.faults(), [(format!("/{name}"), "wrong-type".to_owned())]);
        }
    }
    for word in ["", " ", "none", "Hidden", "FULL", "summary,full"] {
        let answer = owner
            .put(CONFIG, property("infrastructureVisibility", word))
            .await;
        assert_eq!(answer.status, 422, "{word:?}");
        let fault = (
            "/infrastructureVisibility".to_owned(),
            "invalid-format".to_owned(),
        );
        assert_eq!(answer.faults(), [fault], "{word:?}");
    }
    let body = json!({
        "featureBackups": "yes", "infrastructureVisibility": "all", "featureBackup": true, "id": "x", "primaryColor": null,
    });
    let mut faults = owner.put(CONFIG, body).await.faults();
    faults.sort();
    let expected = [
        ("/featureBackup", "unknown-property"),
        ("/featureBackups", "wrong-type"),
        ("/id", "unknown-property"),
        ("/infrastructureVisibility", "invalid-format"),
        ("/primaryColor", "unknown-property"),
    ];
    assert_eq!(faults, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(settings(&owner.get(CONFIG).await.expect(200)), defaults());
    assert_eq!(owner.audit().await.len(), 1);
}

#[tokio::test]
async fn a_change_of_the_configuration_leaves_an_entry_with_what_changed() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.put(CONFIG, json!({"featureLogs": true})).await.expect(200);
    let body = json!({"featureLogs": false, "featureBackups": true, "infrastructureVisibility": "full"});
    let answer = owner.put(CONFIG, body).await;
    answer.expect(200);
    let entry = owner.audit().await[0].clone();
    let mut expected = entry.clone();
    expected["actor"] = json!({"type": "user", "id": "user_1"});
    expected["action"] = json!("portal-config.updated");
    expected["target"] = json!({"type": "portal-config", "id": "org_acme"});
    expected["requestId"] = json!(answer.header("x-request-id"));
    expected["before"] = json!({"featureLogs": true, "infrastructureVisibility": "hidden"});
    expected["after"] = json!({"featureLogs": false, "infrastructureVisibility": "full"});
    assert_eq!(entry, expected);
    assert_eq!(entry.as_object().unwrap().len(), 8);
    owner.put(CONFIG, json!({})).await.expect(200);
    let audit = owner.audit().await;
    assert_eq!(audit.len(), 4);
    assert_eq!(
        (&audit[0]["before"], &audit[0]["after"]),
        (&json!({}), &json!({}))
    );
}

#[tokio::test]
async fn a_configuration_is_changed_by_those_who_may() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    api.user("org_acme", "member")
        .put(CONFIG, json!({}))
        .await
        .problem(403, "role-too-low");
    api.user("org_none", "owner")
        .put(CONFIG, json!({}))
        .await
        .problem(403, "agency-not-enabled");
    api.user("org_none", "member")
        .get(CONFIG)
        .await
        .problem(403, "agency-not-enabled");
    let client = owner.client("Client").await;
    let user = api.user(client["id"].as_str().unwrap(), "owner");
    user.get(CONFIG).await.problem(403, "agency-not-enabled");
    user.put(CONFIG, json!({}))
        .await
        .problem(403, "agency-not-enabled");
    let other = api.agency("org_other").await;
    owner.put(CONFIG, opposites()).await.expect(200);
    assert_eq!(settings(&other.get(CONFIG).await.expect(200)), defaults());
}

// The context.

fn branding() -> Value {
    json!({
        "accentColor": "#ffee00",
        "customCss": "a { color: red; }",
        "faviconUrl": "https://cdn.acme.com/favicon.ico",
        "fontFamily": "Inter, sans-serif",
        "footerText": "© Acme",
        "fromEmail": "hello@acme.com",
        "loginBgUrl": "https://cdn.acme.com/login.jpg",
        "logoUrl": "https://cdn.acme.com/logo.svg",
        "primaryColor": "#123456",
    })
}

fn shown_branding() -> Value {
    let mut shown = branding();
    shown["onPrimaryColor"] = json!("#ffffff");
    shown["onAccentColor"] = json!("#000000");
    shown
}

#[tokio::test]
async fn the_context_of_an_agency_is_all_that_its_portal_needs() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let empty = owner.get(CONTEXT).await.expect(200);
    let nothing: Map<_, _> = shown_branding()
        .as_object()
        .unwrap()
        .keys()
        .map(|name| (name.clone(), Value::Null))
        .collect();
    assert_eq!(
        empty,
        json!({
            "organization": {"id": "org_acme", "role": "agency", "name": null, "slug": null},
            "branding": nothing,
            "config": defaults(),
            "domain": null,
        })
    );
    owner.put("/agency/branding", branding()).await.expect(200);
    owner.put(CONFIG, opposites()).await.expect(200);
    owner.subdomain("acme").await;
    let full = json!({
        "organization": {"id": "org_acme", "role": "agency", "name": null, "slug": null},
        "branding": shown_branding(),
        "config": opposites(),
        "domain": {"hostname": "acme.portal.localhost", "type": "subdomain", "status": "verified"},
    });
    for role in ["owner", "admin", "member", "nonsense"] {
        assert_eq!(
            api.user("org_acme", role).get(CONTEXT).await.expect(200),
            full,
            "{role}"
        );
    }
    verified_domain(&owner, "portal.acme.com").await;
    let domain = json!({"hostname": "portal.acme.com", "type": "custom", "status": "verified"});
    assert_eq!(owner.get(CONTEXT).await.expect(200)["domain"], domain);
}

#[tokio::test]
async fn a_user_of_a_client_sees_the_portal_and_of_the_agencys_clients_itself_alone() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let (client, rival) = (owner.client("Beta GmbH").await, owner.client("Rival Inc").await);
    owner.put("/agency/branding", branding()).await.expect(200);
    owner.put(CONFIG, opposites()).await.expect(200);
    owner.subdomain("acme").await;
    let id = client["id"].as_str().unwrap();
    let expected = json!({
        "organization": {"id": id, "role": "client", "name": "Beta GmbH", "slug": "beta-gmbh"},
        "branding": shown_branding(),
        "config": opposites(),
        "domain": {"hostname": "acme.portal.localhost", "type": "subdomain", "status": "verified"},
    });
    for role in ["owner", "admin", "member"] {
        let answer = api.user(id, role).get(CONTEXT).await;
        assert_eq!(answer.expect(200), expected);
        for secret in [
            "Rival",
            rival["id"].as_str().unwrap(),
            "org_acme",
            "createdAt",
            "dom_",
            "brd_",
            "user_",
        ] {
            assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
        }
    }
    let context = async |id: &Value| api.user(id.as_str().unwrap(), "member").get(CONTEXT).await;
    let tags = [
        context(&client["id"]).await,
        context(&rival["id"]).await,
        owner.get(CONTEXT).await,
    ]
    .map(|answer| answer.header("etag").unwrap().to_owned());
    assert!(tags[0] != tags[1] && tags[0] != tags[2], "{tags:?}");

    // It follows a new name at once, and ends with the client.
    let path = format!("/agency/clients/{id}");
    owner
        .patch(&path, json!({"name": "Gamma", "slug": "gamma"}))
        .await
        .expect(200);
    let organization = json!({"id": id, "role": "client", "name": "Gamma", "slug": "gamma"});
    assert_eq!(
        context(&client["id"]).await.expect(200)["organization"],
        organization
    );
    owner.delete(&path).await.expect(204);
    context(&client["id"]).await.problem(404, "no-portal");
    context(&rival["id"]).await.expect(200);
}

#[tokio::test]
async fn whoever_has_no_portal_is_told_so_in_the_same_words() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let gone = owner.client("Gone").await["id"].as_str().unwrap().to_owned();
    owner.delete(&format!("/agency/clients/{gone}")).await.expect(204);
    let details = async |org: &str| {
        api.user(org, "owner")
            .get(CONTEXT)
            .await
            .problem(404, "no-portal")["detail"]
            .clone()
    };
    let expected = details("org_none").await;
    for org in [gone.as_str(), "cli_01890a5d-ac96-774b-bcce-b302099a8057"] {
        assert_eq!(details(org).await, expected);
    }
    api.visitor().get(CONTEXT).await.problem(401, "missing-token");
}

#[tokio::test]
async fn a_claim_may_name_the_client_that_a_user_acts_for() {
    let api = Api::build(System::builder().set("AUTH_CLIENT_CLAIM", "client_org")).await;
    let owner = api.agency("org_acme").await;
    owner.put("/agency/branding", branding()).await.expect(200);
    let client = owner.client("Beta").await;
    let token = |org: &str, client: Value| {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        token::encode_claims(&json!({
            "iss": "https://issuer.localhost/", "aud": "agency-api", "sub": "user_2", "org_id": org, "role": "owner",
            "exp": now + 60, "client_org": client,
        }))
    };
    for org in ["org_acme", "org_idp_of_all_clients"] {
        let user = api.with_token(token(org, client["id"].clone()));
        let context = user.get(CONTEXT).await.expect(200);
        let organization = json!({"id": client["id"], "role": "client", "name": "Beta", "slug": "beta"});
        assert_eq!(context["organization"], organization);
        assert_eq!(context["branding"], shown_branding());
        // Whatever the organization is, this user is not the agency.
        for path in [
            "/agency/overview",
            "/agency/branding",
            "/agency/clients",
            "/agency/audit",
        ] {
            user.get(path).await.problem(403, "agency-not-enabled");
        }
        user.post("/agency/enable", Value::Null)
            .await
            .problem(403, "client-organization");
        user.post("/agency/clients", json!({"name": "x"}))
            .await
            .problem(403, "agency-not-enabled");
    }
    // A claim that is there and names no client is never the agency.
    for claim in [
        json!(""),
        json!("org_acme"),
        json!(0),
        json!(false),
        json!([]),
        json!({}),
        json!([client["id"]]),
    ] {
        let user = api.with_token(token("org_acme", claim.clone()));
        let answer = user.get(CONTEXT).await;
        assert_eq!(answer.status, 404, "{claim}");
        answer.problem(404, "no-portal");
        user.get("/agency/overview")
            .await
            .problem(403, "agency-not-enabled");
        user.post("/agency/enable", Value::Null)
            .await
            .problem(403, "client-organization");
    }
    // `null` is no claim.
    let user = api.with_token(token("org_acme", Value::Null));
    assert_eq!(
        user.get(CONTEXT).await.expect(200)["organization"]["role"],
        "agency"
    );
    owner
        .delete(&format!("/agency/clients/{}", client["id"].as_str().unwrap()))
        .await
        .expect(204);
    api.with_token(token("org_acme", client["id"].clone()))
        .get(CONTEXT)
        .await
        .problem(404, "no-portal");
}

// What needs no token.

#[tokio::test]
async fn a_login_page_sees_the_branding_without_the_address_that_mail_comes_from() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    let path = "/portal/branding?host=acme.portal.localhost";
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let empty = api.visitor().get(path).await.expect(200);
    assert!(empty.as_object().unwrap().values().all(Value::is_null), "{empty}");
    owner.put("/agency/branding", branding()).await.expect(200);
    let mut expected = shown_branding();
    expected.as_object_mut().unwrap().remove("fromEmail");
    let answer = api.visitor().get(path).await;
    assert_eq!(answer.expect(200), expected);
    assert_eq!(names(&empty).len(), names(&expected).len());
    assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
    assert_eq!(answer.header("etag"), None);
    // A token says nothing here, not even a bad one.
    for user in [api.with_token("x"), api.user("org_other", "owner")] {
        assert_eq!(user.get(path).await.expect(200), expected);
    }
    let theme = api
        .visitor()
        .get("/portal/theme.css?host=acme.portal.localhost")
        .await;
    assert!(!theme.text.contains("hello@acme.com"));
}

#[tokio::test]
async fn a_host_is_read_as_people_and_browsers_write_it() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner
        .put("/agency/branding", json!({"footerText": "Acme"}))
        .await
        .expect(200);
    owner.subdomain("acme").await;
    verified_domain(&owner, "portal.bücher.de").await;
    for host in [
        "acme.portal.localhost",
        "ACME.Portal.LOCALHOST",
        "acme.portal.localhost.",
        "acme.portal.localhost%E3%80%82",
        "%EF%BD%81cme.portal.localhost",
        "%20acme.portal.localhost%0A",
        "+acme.portal.localhost",
        "portal.b%C3%BCcher.de",
        "PORTAL.B%C3%9CCHER.DE.",
        "portal.xn--bcher-kva.de",
        "portal.bu%CC%88cher.de",
    ] {
        let branding = api.visitor().get(&format!("/portal/branding?host={host}")).await;
        assert_eq!(branding.status, 200, "{host}");
        assert_eq!(branding.expect(200)["footerText"], "Acme");
        assert_eq!(
            api.visitor()
                .get(&format!("/portal/theme.css?host={host}"))
                .await
                .status,
            200
        );
        let answer = api
            .visitor()
            .get(&format!("/portal/tls-check?domain={host}"))
            .await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
    }
    for host in [
        "acme.portal.localhost:443",
        "acme.portal.localhost:",
        "https://acme.portal.localhost",
        "acme.portal.localhost/",
        "acme.portal.localhost..",
        ".acme.portal.localhost",
        "*.portal.localhost",
        "portal.localhost",
        "localhost",
        "acme",
        "other.portal.localhost",
        "x.acme.portal.localhost",
        "acme.portal.localhost%00",
        "acme%2Eportal%2Elocalhost%23",
        "acme.portal.localhost%FF",
        "user@acme.portal.localhost",
        "127.0.0.1",
        "[::1]",
        ".",
        "%20",
        "b%C3%BCcher.de",
        &"a".repeat(300),
        &"a.".repeat(4000),
        "H%23acme.portal.localhost",
    ] {
        for path in ["branding", "theme.css"] {
            let answer = api.visitor().get(&format!("/portal/{path}?host={host}")).await;
            assert_eq!(answer.status, 404, "{host}");
            answer.problem(404, "no-portal");
        }
        let answer = api
            .visitor()
            .get(&format!("/portal/tls-check?domain={host}"))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (404, ""),
            "{host}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), None);
    }
}

#[tokio::test]
async fn a_host_is_served_while_its_domain_is_and_not_before_or_after() {
    let api = Api::start().await;
    let (acme, other) = (api.agency("org_acme").await, api.agency("org_other").await);
    acme.put("/agency/branding", json!({"footerText": "Acme"}))
        .await
        .expect(200);
    other
        .put("/agency/branding", json!({"footerText": "Other"}))
        .await
        .expect(200);
    let statuses = async |host: &str| {
        let mut seen = Vec::new();
        for path in ["branding?host", "theme.css?host", "tls-check?domain"] {
            seen.push(
                api.visitor()
                    .get(&format!("/portal/{path}={host}"))
                    .await
                    .status
                    .as_u16(),
            );
        }
        seen
    };
    acme.custom_domain("pending.acme.com").await;
    assert_eq!(statuses("pending.acme.com").await, [404; 3]);
    let domain = verified_domain(&acme, "portal.acme.com").await;
    assert_eq!(statuses("portal.acme.com").await, [200; 3]);
    // Another agency's claim changes nothing.
    other.custom_domain("portal.acme.com").await;
    let branding = api
        .visitor()
        .get("/portal/branding?host=portal.acme.com")
        .await
        .expect(200);
    assert_eq!(branding["footerText"], "Acme");
    let subdomain = acme.subdomain("acme").await;
    assert_eq!(statuses("acme.portal.localhost").await, [200; 3]);
    for id in [&domain["id"], &subdomain["id"]] {
        acme.delete(&format!("/agency/portal-domains/{}", id.as_str().unwrap()))
            .await
            .expect(204);
    }
    assert_eq!(statuses("portal.acme.com").await, [404; 3]);
    assert_eq!(statuses("acme.portal.localhost").await, [404; 3]);
}

#[tokio::test]
async fn health_touches_nothing() {
    let api = Api::counted().await;
    let answer = api.visitor().get("/health").await;
    assert_eq!(answer.expect(200), json!({"status": "ok"}));
    api.with_token("x").get("/health").await.expect(200);
    assert_eq!(api.proxy().count(), 0);
}

// The stylesheet.

const THEME: &str = "/portal/theme.css?host=acme.portal.localhost";

#[tokio::test]
async fn the_stylesheet_has_what_is_set_and_then_the_agencys_own() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    let empty = api.visitor().get(THEME).await;
    assert_eq!(
        (empty.status.as_u16(), empty.text.as_str()),
        (200, ":root {\n}\n")
    );
    assert_eq!(empty.header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(empty.header("cache-control"), Some("public, max-age=60"));
    assert_eq!(empty.header("x-content-type-options"), Some("nosniff"));

    let mut all = branding();
    all["logoUrl"] = json!("https://cdn.acme.com/l(1)'.svg?a=1&b=%22;c#d");
    all["fontFamily"] = json!("Inter, 'Segoe \"UI\"', \"a;b}c/*\"");
    all["customCss"] = json!("/* mine */\na::after { content: \"\\201C\"; }");
    owner.put("/agency/branding", all).await.expect(200);
    assert_eq!(
        api.visitor().get(THEME).await.text,
        r#":root {
  --portal-primary: #123456;
  --portal-accent: #ffee00;
  --portal-on-primary: #ffffff;
  --portal-on-accent: #000000;
  --portal-font-family: Inter, 'Segoe "UI"', "a;b}c/*";
  --portal-logo: url("https://cdn.acme.com/l%281%29%27.svg?a=1&b=%22;c#d");
  --portal-login-bg: url("https://cdn.acme.com/login.jpg");
}
/**/
a::after { content: "\201C"; }
"#
    );
    let only = json!({"accentColor": null, "fontFamily": null, "logoUrl": null, "loginBgUrl": null, "customCss": null});
    owner.put("/agency/branding", only).await.expect(200);
    assert_eq!(
        api.visitor().get(THEME).await.text,
        ":root {\n  --portal-primary: #123456;\n  --portal-on-primary: #ffffff;\n}\n"
    );
}

/// The declarations of the stylesheet's first rule, and what stands after it.
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
    owner
        .put("/agency/branding", json!({"customCss": "b{}"}))
        .await
        .expect(200);
    let mut taken = 0;
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
            let mut put = owner.put("/agency/branding", body.clone()).await;
            if put.status == 422 {
                for (pointer, _) in put.faults() {
                    body.as_object_mut().unwrap().remove(&pointer[1..]);
                }
                put = owner.put("/agency/branding", body.clone()).await;
            }
            let branding = put.expect(200);
            taken += body.as_object().unwrap().len();
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
    assert!(
        taken > 100,
        "{taken} of them are taken: with few the test would say nothing"
    );
}

#[tokio::test]
async fn a_stylesheet_that_is_taken_is_shown_as_it_is_stored() {
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
        let stored = owner
            .put("/agency/branding", json!({"customCss": css}))
            .await
            .expect(200);
        assert_eq!(stored["customCss"], css);
        assert_eq!(
            api.visitor().get(THEME).await.text,
            format!(":root {{\n}}\n{css}\n")
        );
    }
}
