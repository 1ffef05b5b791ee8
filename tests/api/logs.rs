//! What requests leave in the log, and what they must not.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    rc::Rc,
    sync::Once,
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use http::Method;
use local::{environment::SECRET, fault::Fault, system::System};
use serde_json::{Value, json};
use shared::telemetry;
use tracing_subscriber::{layer::SubscriberExt, registry, util::SubscriberInitExt};

use crate::{
    harness::{Answer, Api},
    replay,
};

/// 2027-01-15T08:00:00Z
const START: i64 = 1_800_000_000_000;

/// Words that tests plant in tokens, bodies and headers, and what every token begins with.
const MARKERS: [&str; 3] = ["planted-", "eyJ", SECRET];

/// Crates that are in no function, so that their lines are nobody's.
const EMULATORS: [&str; 2] = ["\"target\":\"dynoxide", "\"target\":\"hickory_server"];

/// Looks at every line that this process logs from now on, at any level: a marker in it fails the test that did it.
pub fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        let layer = telemetry::layer("trace", "api".to_owned(), || Watch);
        registry().with(layer).init();
    });
}

thread_local! {
    static LINES: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

struct Watch;

impl io::Write for Watch {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if EMULATORS.iter().any(|crates| text.contains(crates)) {
            return Ok(line.len());
        }
        let leak = MARKERS.iter().find(|marker| text.contains(**marker));
        assert!(leak.is_none(), "a log line has {leak:?} in it: {text}");
        LINES.with_borrow(|lines| {
            if let Some(Lines(lines)) = lines {
                lines.borrow_mut().push_str(&text);
            }
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Log lines, as a function writes them to its standard output.
#[derive(Clone, Default)]
pub struct Lines(Rc<RefCell<String>>);

impl Lines {
    /// Collects what this thread logs at any level, until [`Self::end`].
    pub fn collect() -> Self {
        watch();
        let lines = Self::default();
        LINES.set(Some(lines.clone()));
        lines
    }

    /// The lines. Each must be JSON and have what Lambda looks for.
    pub fn end(&self) -> Vec<Value> {
        LINES.take();
        let text = self.0.borrow();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for line in &lines {
            for name in ["timestamp", "level", "message"] {
                assert!(line[name].is_string(), "{line}");
            }
        }
        lines
    }
}

fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn each_request_has_one_line_that_tells_of_it() {
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
        "what the proxy has seen"
    );
    assert_eq!(last["code"], "invalid-token");
    assert_eq!(
        last.get("tenant"),
        None,
        "nobody is known by a token that is refused"
    );
    assert_eq!(last["requestId"].as_str(), refused.header("x-request-id"));
}

#[tokio::test]
async fn no_line_of_any_event_has_what_was_sent() {
    let lines = Lines::collect();
    let system = replay::build(System::builder().counted()).await;
    let mut ids = BTreeMap::<String, String>::new();
    for step in replay::json("replay.json").as_array().unwrap() {
        let name = step["event"].as_str().unwrap();
        let mut event = replay::json(&format!("{name}.json"));
        if event.get("requestContext").is_none() {
            continue; // The schedule's.
        }
        if let Some(from) = step["id"].as_str() {
            event = replay::with_id(event, &ids[from]);
        }
        let answer = replay::invoke(&system.app, name.split('/').next().unwrap(), event).await;
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if let Some(id) = body["id"].as_str() {
            ids.insert(name.to_owned(), id.to_owned());
        }
    }
    let text = text(&lines.end());
    let token = replay::json("agency/getOverview.json")["headers"]["authorization"].to_string();
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
async fn no_secret_body_or_address_is_in_any_line() {
    let lines = Lines::collect();
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

    let lines = lines.end();
    let text = text(&lines);
    let planted = [
        SECRET,
        &token,
        token.rsplit('.').next().unwrap(),
        token.split('.').nth(1).unwrap(),
        &challenge,
        "planted",
        "198.51.100.77",
        // Which user it was is the audit log's to tell, and what exactly the table's.
        "user_1",
        &client_id,
        &domain_id,
    ];
    for secret in planted {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }

    // The log was listening, and says what helps.
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
            .all(|line| line["latencyMs"].is_f64() && line["status"].is_u64())
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
async fn keys_that_cannot_be_had_are_logged_with_the_request() {
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
