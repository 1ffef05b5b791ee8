//! What requests leave in the log, and what they must not.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use http::Method;
use local::{environment::SECRET, fault::Fault, system::System};
use serde_json::{Value, json};
use tracing_subscriber::{EnvFilter, fmt, fmt::MakeWriter, prelude::*};

use crate::harness::{Answer, Api};

/// 2027-01-15T08:00:00Z
const START: i64 = 1_800_000_000_000;

/// Everything of our own crates, and of others what is logged by default, but for the DNS server that tests ask.
const LEVELS: &str = "info,hickory_server=off,agency=trace,branding=trace,clients=trace,domains=trace,local=trace,portal=trace,\
                      reverify=trace,shared=trace";

/// A log in memory, of this thread alone.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Its lines, each of which must be a JSON object.
    fn lines(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_body_or_address_is_in_any_line() {
    let log = Log::default();
    let layer = fmt::layer().json().flatten_event(true).with_writer(log.clone());
    let _guard = tracing_subscriber::registry()
        .with(EnvFilter::new(LEVELS))
        .with(layer)
        .set_default();

    let api = Api::build(System::builder().at(START).counted()).await;
    let mut answers: Vec<Answer> = Vec::new();
    let token = api.token("org_acme", "owner");
    let owner = api.with_token(&*token);
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
    let client = send(
        Method::POST,
        "/agency/clients",
        json!({"name": "planted-body client"}),
    )
    .await;
    let client_id = client.expect(201)["id"].as_str().unwrap().to_owned();
    let domain = send(
        Method::POST,
        "/agency/portal-domains",
        json!({"customDomain": "planted-host.acme.test"}),
    )
    .await;
    let domain_id = domain.expect(201)["id"].as_str().unwrap().to_owned();
    let challenge = domain.json()["records"][0]["value"]
        .as_str()
        .unwrap()
        .rsplit('=')
        .next()
        .unwrap()
        .to_owned();
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
    answers.push(owner.put("/agency/branding", css).await);

    // What is refused.
    answers.push(
        send(
            Method::PUT,
            "/agency/branding",
            json!({"planted-body": 1, "primaryColor": "planted-body"}),
        )
        .await,
    );
    answers.push(
        send(
            Method::PUT,
            "/agency/branding",
            json!({"footerText": "planted-body"}),
        )
        .await,
    );
    let kind = [("content-type", "application/json")];
    for body in [
        "{\"planted-body\":",
        "{\"planted-body\":1,\"planted-body\":2}",
        "planted-body",
    ] {
        answers.push(owner.raw(Method::POST, "/agency/clients", &kind, body).await);
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
    let forged = format!("{}planted-token", token.rsplit_once('.').unwrap().0);
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

    // What goes wrong on our side.
    for fault in [Fault::internal_error(), Fault::throttle(), Fault::lose_request()] {
        api.inject(fault.on("TransactWriteItems").times(4));
        let answer = owner
            .post("/agency/clients", json!({"name": "planted-body"}))
            .await;
        answer.problem(503, "unavailable");
        answers.push(answer);
    }
    // Items that cannot be read: one without something, and some in which something else stands.
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
        let update = api.client.update_item().table_name(api.table());
        let update = update.key("PK", AttributeValue::S("A#org_acme".to_owned()));
        let update = update.key("SK", AttributeValue::S(format!("CLIENT#{client_id}")));
        let update = update
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name);
        update
            .expression_attribute_values(":value", value)
            .send()
            .await
            .unwrap();
        let unreadable = owner.get(&format!("/agency/clients/{client_id}")).await;
        unreadable.problem(500, "internal");
        answers.push(unreadable);
    }

    let text = log.text();
    let planted = [
        SECRET,
        &token,
        token.rsplit('.').next().unwrap(),
        token.split('.').nth(1).unwrap(),
        &challenge,
        "planted",
        "198.51.100.77",
        // Who it was is the audit log's to tell, and what exactly the table's.
        "org_acme",
        "user_1",
        &client_id,
        &domain_id,
    ];
    for secret in planted {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }

    // The log was listening, and says what helps.
    let lines = log.lines();
    let answered: Vec<_> = lines
        .iter()
        .filter(|line| line["message"] == "answered")
        .collect();
    assert_eq!(answered.len(), answers.len());
    let ids = |ids: Vec<&str>| ids.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(
        ids(answered
            .iter()
            .map(|line| line["request_id"].as_str().unwrap())
            .collect()),
        ids(answers
            .iter()
            .map(|answer| answer.header("x-request-id").unwrap())
            .collect()),
    );
    assert!(
        answered
            .iter()
            .all(|line| line["latency_ms"].is_u64() && line["status"].is_u64())
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
            line["request_id"].as_str(),
            answer.header("x-request-id"),
            "{line}"
        );
        assert!(!line["error"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_logged_with_the_request() {
    let log = Log::default();
    let layer = fmt::layer().json().flatten_event(true).with_writer(log.clone());
    let _guard = tracing_subscriber::registry()
        .with(EnvFilter::new(LEVELS))
        .with(layer)
        .set_default();
    let nobody = tokio::net::TcpListener::bind(local::dns::ANY_PORT)
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{nobody}/jwks.json");
    let api = Api::build(System::builder().at(START).set("AUTH_JWKS_URL", url)).await;
    let answer = api.user("org_acme", "owner").get("/agency/overview").await;
    answer.problem(503, "unavailable");
    let lines = log.lines();
    let error = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!(error["request_id"].as_str(), answer.header("x-request-id"));
    let token = api.token("org_acme", "owner");
    assert!(!log.text().contains(token.split('.').nth(1).unwrap()));
}
