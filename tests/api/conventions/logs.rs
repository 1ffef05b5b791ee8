//! What requests leave in the log, and what they must not.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use http::Method;
use local::{environment::SECRET, fault::Fault, system::System};
use serde_json::{Value, json};

use crate::harness::{
    Answer, Api, BRANDING, CLIENTS, DOMAINS, JSON, START, events,
    logs::{Lines, text},
    token,
};

#[tokio::test]
async fn each_request_is_logged_in_one_line() {
    let api = Api::counted().await;
    let owner = api.user("org_a", "owner");
    let lines = Lines::collect();
    owner.post("/agency/enable", Value::Null).await.expect(200);
    owner.get("/agency/overview").await.expect(200);
    let sent = api.proxy().count() as u64;
    let refused = api.with_token("no").get("/agency/overview").await;
    let lines = lines.end();
    let [enable, overview, last] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(enable["route"], "/agency/enable");
    assert_eq!(enable["method"], "POST");
    assert_eq!(overview["status"], 200);
    assert_eq!(overview["tenant"], "org_a");
    assert_eq!(overview["dynamodbRequests"], 1);
    assert!(overview["dynamodbMs"].as_f64().unwrap() > 0.0);
    assert!(overview["latencyMs"].as_f64() >= overview["dynamodbMs"].as_f64());
    assert_eq!(overview["serverErrors"], 0);
    let requests = |line: &Value| line["dynamodbRequests"].as_u64().unwrap();
    assert_eq!(
        requests(enable) + requests(overview),
        sent,
        "what the proxy has received"
    );
    assert_eq!(last["code"], "invalid-token");
    assert_eq!(last.get("tenant"), None, "a rejected token names no tenant");
    assert_eq!(last["requestId"].as_str(), refused.header("x-request-id"));
}

#[tokio::test]
async fn no_line_of_an_event_has_what_was_sent() {
    let lines = Lines::collect();
    let system = events::build(System::builder().counted()).await;
    events::replay(&system, |_, _, _| ()).await;
    let text = text(&lines.end());
    assert!(!text.is_empty());
    let token = events::json("agency/getAgencyOverview.json")["headers"]["authorization"].to_string();
    let signature = token.trim_matches('"').rsplit('.').next().unwrap();
    for sent in [
        signature,
        "198.51.100.7",
        "curl/",
        "Müller",
        "border-radius",
        "assets.example.com",
    ] {
        let leak = text.lines().find(|line| line.contains(sent));
        assert_eq!(leak, None, "{sent}");
    }
}

#[tokio::test]
async fn no_line_has_a_secret_a_body_or_an_address() {
    let lines = Lines::collect();
    let api = Api::build(System::builder().at(START).counted()).await;
    let mut answers: Vec<Answer> = Vec::new();
    let bearer = api.token("org_acme", "owner");
    let owner = api.with_token(&*bearer);
    let headers = [
        ("x-forwarded-for", "198.51.100.77"),
        ("forwarded", "for=198.51.100.77"),
        ("user-agent", "planted-agent"),
        ("cookie", "session=planted-cookie"),
        ("if-match", "\"planted-tag\""),
        ("idempotency-key", "planted-key"),
    ];
    let send =
        async |method: Method, path: &str, body: Value| owner.call(method, path, &headers, Some(body)).await;

    // What succeeds.
    answers.push(send(Method::POST, "/agency/enable", json!("planted-body")).await);
    let client = send(Method::POST, CLIENTS, json!({"name": "planted-body client"})).await;
    let client_id = client.expect(201)["id"].as_str().unwrap().to_owned();
    let domain = send(
        Method::POST,
        DOMAINS,
        json!({"customDomain": "planted-host.acme.test"}),
    )
    .await;
    let domain_id = domain.expect(201)["id"].as_str().unwrap().to_owned();
    let challenge = token(&domain.json()).to_owned();
    answers.extend([client, domain]);
    let verify = format!("/agency/portal-domains/{domain_id}/verify");
    for zone in [
        String::new(),
        format!("_agency-challenge.planted-host.acme.test. TXT \"x{challenge}\" \"planted-record\""),
        format!("planted-host.acme.test. CNAME {challenge}.cname.portal.localhost."),
    ] {
        api.dns.set_zone(&zone).unwrap();
        answers.push(send(Method::POST, &verify, Value::Null).await);
        api.advance(Duration::from_secs(5));
    }
    for path in [
        "/portal/branding?host=planted-host.acme.test",
        "/portal/tls-check?domain=planted-host.acme.test",
    ] {
        answers.push(send(Method::GET, path, Value::Null).await);
    }
    let css = json!({"customCss": ".planted-body { color: red }", "fromEmail": "planted-body@acme.test"});
    answers.push(owner.put(BRANDING, css).await);

    // What is refused.
    answers.push(
        send(
            Method::PUT,
            BRANDING,
            json!({"planted-body": 1, "primaryColor": "planted-body"}),
        )
        .await,
    );
    answers.push(send(Method::PUT, BRANDING, json!({"footerText": "planted-body"})).await);
    let kind = JSON;
    for body in [
        "{\"planted-body\":",
        "{\"planted-body\":1,\"planted-body\":2}",
        "planted-body",
    ] {
        answers.push(owner.raw(Method::POST, CLIENTS, &kind, body).await);
    }
    for path in [
        "/agency/clients/planted-id",
        "/agency/clients?cursor=planted-query",
        "/agency/clients?slug=planted-query",
        "/agency/audit?limit=planted-query",
        "/planted-path",
        "/portal/theme.css?host=planted-query.acme.test",
    ] {
        answers.push(owner.get(path).await);
    }
    let forged = format!("{}planted-token", bearer.rsplit_once('.').unwrap().0);
    for refused in [
        "planted-token",
        "planted.token.x",
        &forged,
        &"planted-token".repeat(2000),
    ] {
        answers.push(api.with_token(refused).get("/agency/overview").await);
    }
    let basic = [("authorization", "Basic planted-token")];
    answers.push(
        api.visitor()
            .call(Method::GET, "/agency/overview", &basic, None)
            .await,
    );

    // Faults of the system.
    for fault in [Fault::internal_error(), Fault::throttle(), Fault::lose_request()] {
        api.inject(fault.on("TransactWriteItems").times(4));
        let answer = owner.post(CLIENTS, json!({"name": "planted-body"})).await;
        answer.problem(503, "unavailable");
        answers.push(answer);
    }
    // Items that cannot be read, because an attribute has another type or value.
    let planted = || AttributeValue::S("planted-item".to_owned());
    let broken = [
        ("createdAt", planted()),
        (
            "slug",
            AttributeValue::M([("planted-item".to_owned(), planted())].into()),
        ),
        ("name", AttributeValue::L(vec![planted()])),
    ];
    for (name, value) in broken {
        let sk = format!("CLIENT#{client_id}");
        api.set_attribute("org_acme", &sk, name, value).await;
        let unreadable = owner.get(&format!("/agency/clients/{client_id}")).await;
        unreadable.problem(500, "internal");
        answers.push(unreadable);
    }

    let lines = lines.end();
    let text = text(&lines);
    let planted = [
        SECRET,
        &bearer,
        bearer.rsplit('.').next().unwrap(),
        bearer.split('.').nth(1).unwrap(),
        &challenge,
        "planted",
        "198.51.100.77",
        // The audit log has the user, and the table the resource.
        "user_1",
        &client_id,
        &domain_id,
    ];
    for secret in planted {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }

    // All requests were logged, with what helps.
    let answered: Vec<_> = lines
        .iter()
        .filter(|line| line["message"] == "answered")
        .collect();
    assert_eq!(answered.len(), answers.len());
    let ids = |ids: Vec<&str>| ids.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(
        ids(answered
            .iter()
            .map(|line| line["requestId"].as_str().unwrap())
            .collect()),
        ids(answers
            .iter()
            .map(|answer| answer.header("x-request-id").unwrap())
            .collect()),
    );
    assert!(
        answered
            .iter()
            .all(|line| line["latencyMs"].is_f64() != line["verifyMs"].is_f64() && line["status"].is_u64())
    );
    let routes = ids(answered
        .iter()
        .map(|line| line["route"].as_str().unwrap())
        .collect());
    for route in [
        "/agency/clients/{clientOrgId}",
        "/agency/portal-domains/{domainId}/verify",
        "/portal/tls-check",
        "",
    ] {
        assert!(routes.contains(route), "{routes:?}");
    }
    // Each failure is one line, of the request that it failed.
    let errors: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    let messages: Vec<_> = errors
        .iter()
        .map(|line| line["message"].as_str().unwrap())
        .collect();
    assert_eq!(
        messages,
        [["DynamoDB is unavailable"; 3], ["internal error"; 3]].concat()
    );
    for (line, answer) in errors.iter().zip(&answers[answers.len() - 6..]) {
        assert_eq!(
            line["requestId"].as_str(),
            answer.header("x-request-id"),
            "{line}"
        );
        assert!(!line["error"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_failure_to_fetch_the_keys_is_logged_with_the_request() {
    let lines = Lines::collect();
    let nobody = tokio::net::TcpListener::bind(local::dns::ANY_PORT)
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{nobody}/jwks.json");
    let api = Api::build(System::builder().at(START).set("AUTH_JWKS_URL", url)).await;
    let answer = api.user("org_acme", "owner").get("/agency/overview").await;
    answer.problem(503, "unavailable");
    let lines = lines.end();
    let error = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!(error["requestId"].as_str(), answer.header("x-request-id"));
    let token = api.token("org_acme", "owner");
    assert!(!text(&lines).contains(token.split('.').nth(1).unwrap()));
}
