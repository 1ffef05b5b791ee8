use http::Method;
use local::system::System;
use serde_json::json;
use shared::hash::sha256_base64;

use crate::harness::{Api, BRANDING, DOMAINS, START, cname, id, path, property, setup_token};

#[tokio::test]
async fn a_link_shows_one_domain_and_the_branding_of_its_portal() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Client").await;
    owner
        .put(
            BRANDING,
            json!({"portalName": "Acme", "primaryColor": "#123456", "fromEmail": "a@acme.com"}),
        )
        .await
        .expect(200);
    let own = format!("{}/branding", path(&client));
    owner
        .put(&own, property("portalName", "Client"))
        .await
        .expect(200);
    let domain = owner.custom_domain("portal.acme.com").await;
    let link = owner.setup_link(&domain).await;
    let page = format!("/portal/setup/{}", setup_token(&link));
    let answer = api.visitor().get(&page).await;
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-robots-tag", "noindex"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    let mut setup = answer.expect(200);
    let branding = setup["branding"].take();
    assert_eq!(
        (&branding["portalName"], &branding["primaryColor"]),
        (&json!("Acme"), &json!("#123456"))
    );
    assert_eq!(branding.get("fromEmail"), None);
    assert_eq!(
        setup,
        json!({
            "hostname": "portal.acme.com",
            "status": "pending",
            "routing": "unknown",
            "tls": null,
            "records": domain["records"],
            "check": domain["check"],
            "branding": null,
            "expiresAt": link["expiresAt"],
        })
    );
    for secret in [id(&domain), "org_acme", "dom_", "brd_", "user_"] {
        assert!(!answer.text.contains(secret), "{secret}");
    }
    // Of a client's domain, it is the client's.
    owner
        .patch(&path(&domain), property("clientOrgId", id(&client)))
        .await
        .expect(200);
    let answer = api.visitor().get(&page).await;
    let branding = &answer.expect(200)["branding"];
    assert_eq!(
        (&branding["portalName"], &branding["primaryColor"]),
        (&json!("Client"), &json!("#123456"))
    );
    assert!(!answer.text.contains("org_acme"));
    assert_eq!(owner.list(DOMAINS).await.len(), 1);
}

#[tokio::test]
async fn guessed_tokens_are_the_same_404_and_most_cost_nothing() {
    let api = Api::counted().await;
    let mut responses = Vec::new();
    for (token, requests) in [
        ("A".repeat(43), 1),
        ("A".repeat(42), 0),
        ("A".repeat(44), 0),
        ("A".repeat(42) + "=", 0),
        ("%00".to_owned(), 0),
        ("%FF".to_owned(), 0),
        ("a.b".to_owned(), 0),
    ] {
        for rest in ["", "/records?format=text"] {
            api.proxy().take_requests();
            let answer = api.visitor().get(&format!("/portal/setup/{token}{rest}")).await;
            answer.problem(404, "not-found");
            assert_eq!(api.proxy().take_requests().len(), requests, "{token}");
            assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
            responses.push(answer.json()["detail"].clone());
        }
    }
    responses.dedup();
    assert_eq!(responses.len(), 1);
    // What the query decides comes first, also for a text that is not a token.
    for token in ["A".repeat(43), "guess".to_owned()] {
        for rest in ["?reload=", "?reload=1", "/records", "/records?format=json"] {
            let answer = api.visitor().get(&format!("/portal/setup/{token}{rest}")).await;
            answer.problem(400, "invalid-parameter");
        }
    }
}

#[tokio::test]
async fn a_page_costs_two_requests_to_the_table_and_a_clients_three() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Client").await;
    let domain = owner.custom_domain("portal.acme.com").await;
    let link = owner.setup_link(&domain).await;
    let page = format!("/portal/setup/{}", setup_token(&link));
    for requests in [2, 3] {
        for rest in ["", "/style.css", "/records?format=text"] {
            api.proxy().take_requests();
            let answer = api.visitor().get(&format!("{page}{rest}")).await;
            assert_eq!(answer.status, 200);
            assert_eq!(api.proxy().take_requests().len(), requests, "{rest}");
        }
        owner
            .patch(&path(&domain), property("clientOrgId", id(&client)))
            .await
            .expect(200);
    }
}

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src https:; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

const HTML: [(&str, &str); 1] = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];

#[tokio::test]
async fn a_browser_gets_a_page_in_its_language_under_a_strict_policy() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    owner
        .put(BRANDING, property("portalName", "<b>Acme</b>"))
        .await
        .expect(200);
    let domain = owner.custom_domain("portal.acme.com").await;
    let link = owner.setup_link(&domain).await;
    let page = format!("/portal/setup/{}", setup_token(&link));
    let get = async |path: &str, language: &str| {
        let headers = [HTML[0], ("accept-language", language)];
        api.visitor().call(Method::GET, path, &headers, None).await
    };
    for (language, tag, word) in [
        ("", "en", "Check again"),
        ("fr", "en", "Check again"),
        ("de-AT, en;q=0.5", "de", "Erneut prüfen"),
    ] {
        let answer = get(&page, language).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(answer.header("content-security-policy"), Some(POLICY));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(
            answer.text.contains(&format!("<html lang=\"{tag}\">")),
            "{}",
            answer.text
        );
        assert!(answer.text.contains(word), "{}", answer.text);
        assert!(!answer.text.contains("<b>Acme"), "{}", answer.text);
        let records = domain["records"].as_array().unwrap();
        for text in records
            .iter()
            .flat_map(|record| [&record["name"], &record["host"], &record["value"]])
        {
            assert!(answer.text.contains(text.as_str().unwrap()), "{text}");
        }
    }
    // It reloads itself while the domain is pending, unless the reader turns that off.
    assert_eq!(get(&page, "").await.header("refresh"), Some("60"));
    assert_eq!(
        get(&format!("{page}?reload=false"), "").await.header("refresh"),
        None
    );
    api.dns.set_zone(&cname(&domain)).unwrap();
    owner.verify(&domain).await.expect(200);
    assert_eq!(get(&page, "").await.header("refresh"), None);
    // A link that does not exist or has ended.
    let answer = get(&format!("/portal/setup/{}", "A".repeat(43)), "de").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(
        answer.text.contains("Dieser Link ist nicht gültig"),
        "{}",
        answer.text
    );
    assert_eq!(get("/portal/setup/guess", "de").await.text, answer.text);
    // Its policy allows its one inline style.
    let (_, style) = answer.text.split_once("<style>").unwrap();
    let (style, _) = style.split_once("</style>").unwrap();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
        sha256_base64(style)
    );
    assert_eq!(answer.header("content-security-policy"), Some(&*policy));
    // A program gets JSON, whatever else it accepts.
    for accept in ["*/*", "application/json", "application/json, text/html"] {
        let answer = api
            .visitor()
            .call(Method::GET, &page, &[("accept", accept)], None)
            .await;
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_wrong_record_of_an_apex_says_what_was_found_where() {
    let (v4, v6) = ("192.0.2.9", "2001:db8::9");
    for (addresses, records, expected) in [
        (
            "192.0.2.1,192.0.2.2,2001:db8::1",
            "acme.test. A 192.0.2.1\nacme.test. A 192.0.2.9\nacme.test. AAAA 2001:db8::9\n",
            vec![vec![], vec!["192.0.2.1, 192.0.2.9"], vec![v6]],
        ),
        (
            "192.0.2.1,2001:db8::1",
            "acme.test. CNAME other.test.\n",
            vec![vec!["other.test."], vec!["other.test."]],
        ),
        (
            "",
            "acme.test. A 192.0.2.9\nacme.test. AAAA 2001:db8::9\n*.cname.portal.localhost. A 192.0.2.1\n",
            vec![vec![v4, v6]],
        ),
    ] {
        let system = System::builder().at(START).set("PORTAL_ADDRESSES", addresses);
        let api = Api::build(system).await;
        let owner = api.agency("org_acme").await;
        let domain = owner.custom_domain("acme.test").await;
        let link = owner.setup_link(&domain).await;
        api.dns.set_zone(records).unwrap();
        owner.verify(&domain).await.expect(200);
        let page = format!("/portal/setup/{}", setup_token(&link));
        let answer = api.visitor().call(Method::GET, &page, &HTML, None).await;
        let rows: Vec<_> = answer.text.split("<article class=\"record ").skip(1).collect();
        // The first one is the TXT record.
        assert_eq!(rows.len(), 1 + expected.len(), "{}", answer.text);
        for (row, found) in rows[1..].iter().zip(&expected) {
            let (_, answers) = row.split_once("Found instead").unwrap_or_default();
            assert_eq!(answers.is_empty(), found.is_empty(), "{row}");
            for found in found {
                assert!(answers.contains(&format!(">{found}</code>")), "{found}: {row}");
            }
        }
    }
}
