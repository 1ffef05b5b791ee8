//! What the logs say, and what they never say.

use std::{cell::RefCell, collections::BTreeMap, io, rc::Rc, sync::Once};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{Router, body::Body};
use http::Request;
use local::{fault::Fault, system::System};
use serde_json::{Value, json};
use shared::{http::service, store::keys, telemetry};
use tower::ServiceExt;
use tracing_subscriber::{layer::SubscriberExt, registry, util::SubscriberInitExt};

use crate::replay;

/// Words that tests plant in tokens, bodies and headers, and what every token begins with.
const MARKERS: [&str; 3] = ["marker-", "eyJ", local::environment::SECRET];

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
        if !EMULATORS.iter().any(|crates| text.contains(crates)) {
            let leak = MARKERS.iter().find(|marker| text.contains(**marker));
            assert!(leak.is_none(), "a log line has {leak:?} in it: {text}");
        }
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

/// Sends a request to one function.
async fn send(system: &System, function: &str, request: Request<Body>) -> u16 {
    let edge = service(replay::router(&system.app, function).into(), system.app.clone());
    let response = Router::new().fallback_service(edge).oneshot(request).await;
    response.unwrap().status().as_u16()
}

fn request(token: &str, method: &str, path: &str, body: &Value) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("x-forwarded-for", "198.51.100.7")
        .header("user-agent", "marker-agent")
        .body(Body::from(body.to_string()))
        .unwrap()
}

#[tokio::test]
async fn each_request_has_one_line_that_tells_of_it() {
    let system = System::start_counted().await;
    let token = system.token("org_a", "owner");
    let lines = Lines::collect();
    for (method, path, status) in [("POST", "/agency/enable", 200), ("GET", "/agency/overview", 200)] {
        let answer = send(&system, "agency", request(&token, method, path, &Value::Null)).await;
        assert_eq!(answer, status);
    }
    let sent = system.proxy().count();
    send(
        &system,
        "agency",
        request("no", "GET", "/agency/overview", &Value::Null),
    )
    .await;
    let lines = lines.end();
    let [enable, overview, refused] = &lines[..] else {
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
    let counted: u64 = [enable, overview]
        .iter()
        .map(|line| line["dynamodbRequests"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, sent as u64, "the function counts what the proxy does");
    assert_eq!(refused["code"], "invalid-token");
    assert_eq!(refused.get("tenant"), None);
    let ids: Vec<_> = lines
        .iter()
        .map(|line| line["requestId"].as_str().unwrap())
        .collect();
    assert!(ids.iter().all(|id| !id.is_empty()) && ids[0] != ids[1]);
}

#[tokio::test]
async fn no_log_has_a_token_a_body_or_an_address_at_any_level() {
    let lines = Lines::collect();

    // Every event: names, styles and a token with a signature.
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

    // What is refused and what fails, with a marker wherever there is room for one.
    let system = System::start_counted().await;
    let token = system.token("org_a", "owner");
    send(
        &system,
        "agency",
        request(&token, "POST", "/agency/enable", &Value::Null),
    )
    .await;
    let bodies = [
        json!({"customCss": ".marker-body { color: url(marker-body) }"}),
        json!({"footerText": "marker-body", "fromEmail": "marker-body@example.com", "marker-body": "marker-body"}),
        json!({"footerText": "marker-body"}),
        json!("marker-body"),
    ];
    for body in &bodies {
        send(
            &system,
            "branding",
            request(&token, "PUT", "/agency/branding", body),
        )
        .await;
    }
    for fault in [
        Fault::conflict,
        Fault::throttle,
        Fault::internal_error,
        Fault::lose_answer,
    ] {
        system.inject(fault().times(3));
        send(
            &system,
            "branding",
            request(&token, "PUT", "/agency/branding", &bodies[2]),
        )
        .await;
    }
    let host = "/portal/branding?host=marker-query.example.com&marker-query=marker-query";
    send(
        &system,
        "portal",
        request("marker-token", "GET", host, &Value::Null),
    )
    .await;
    for bad in [
        "marker-token",
        "e30.marker-token.e30",
        &format!("{token}marker-token"),
    ] {
        send(
            &system,
            "agency",
            request(bad, "GET", "/agency/overview", &Value::Null),
        )
        .await;
    }

    // Items that cannot be read: what they say is somebody's data.
    let org = "org_a".parse().unwrap();
    for (key, attribute, function, path) in [
        (keys::branding(&org), "createdAt", "branding", "/agency/branding"),
        (
            keys::config(&org),
            "infrastructureVisibility",
            "portal",
            "/agency/portal-config",
        ),
    ] {
        let update = system.client.update_item().table_name(system.table());
        let update = update.set_key(Some(key.item())).update_expression("SET #a = :a");
        let update = update.expression_attribute_names("#a", attribute);
        let marker = AttributeValue::S("marker-item".to_owned());
        update
            .expression_attribute_values(":a", marker)
            .send()
            .await
            .unwrap();
        let status = send(&system, function, request(&token, "GET", path, &Value::Null)).await;
        assert_eq!(status, 500);
    }
    let lines = lines.end();
    assert!(lines.len() > 40);
    let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    assert!(text.contains("internal error") && text.contains("DynamoDB"));
    let signed = replay::json("agency/getOverview.json")["headers"]["authorization"].to_string();
    let signature = |token: &str| token.trim_matches('"').rsplit('.').next().unwrap().to_owned();
    for marker in MARKERS.into_iter().chain([
        &signature(&signed),
        &signature(&token),
        "198.51.100.7",
        "curl/",
        "Müller",
        "border-radius",
        "assets.example.com",
    ]) {
        let leak = text.lines().find(|line| line.contains(marker));
        assert!(leak.is_none(), "{marker}: {leak:?}");
    }
}
