//! Replays the events of `events/` against each function's own handler, as Lambda would.

use std::{collections::BTreeMap, fs, path::PathBuf};

use lambda_http::{
    Context, LambdaEvent, aws_lambda_events::encodings::Body, http::HeaderMap, request::LambdaRequest,
};
use local::system::{Builder, System};
use serde_json::Value;
use shared::{app::App, http::handler};
use tower::ServiceExt;
use utoipa_axum::router::OpenApiRouter;

fn events() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../events"))
}

pub fn json(path: &str) -> Value {
    let text = fs::read_to_string(events().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// A system with the variables that `sam local` would set, but for its own table and servers.
async fn system() -> System {
    build(System::builder()).await
}

/// The same, of a builder.
pub async fn build(mut builder: Builder) -> System {
    let env = json("env.json");
    for (name, value) in env["Parameters"].as_object().unwrap() {
        if !matches!(
            name.as_str(),
            "TABLE_NAME" | "AWS_ENDPOINT_URL_DYNAMODB" | "DNS_RESOLVERS" | "AWS_REGION"
        ) {
            builder = builder.set(name, value.as_str().unwrap());
        }
    }
    builder.start().await
}

pub struct Answer {
    pub status: i64,
    headers: HeaderMap,
    pub body: String,
}

/// What a function that answers HTTP answers with.
pub fn router(app: &App, function: &str) -> OpenApiRouter<App> {
    match function {
        "agency" => agency::router(),
        "branding" => branding::router(),
        "clients" => clients::router(),
        "portal" => portal::router(),
        "domains" => domains::router(verification::Dns::new(&app.config.dns).unwrap()),
        other => panic!("there is no function {other}"),
    }
}

pub async fn invoke(app: &App, function: &str, event: Value) -> Answer {
    let router = router(app, function);
    let request: LambdaRequest = serde_json::from_value(event).unwrap();
    let event = LambdaEvent::new(request, Context::default());
    let response = handler(router.into(), app.clone()).oneshot(event).await.unwrap();
    let response = serde_json::to_value(response).unwrap();
    let headers = serde_json::from_value::<BTreeMap<String, String>>(response["headers"].clone()).unwrap();
    Answer {
        status: response["statusCode"].as_i64().unwrap(),
        headers: (&headers.into_iter().collect::<std::collections::HashMap<_, _>>())
            .try_into()
            .unwrap(),
        body: match serde_json::from_value::<Option<Body>>(response["body"].clone()).unwrap() {
            Some(Body::Text(text)) => text,
            _ => String::new(),
        },
    }
}

/// Whether `part` is in `whole`: objects may have more properties, lists are as long as they are.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(name, part)| whole.get(name).is_some_and(|whole| holds(whole, part))),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| holds(whole, part))
        }
        _ => whole == part,
    }
}

#[tokio::test]
async fn every_event_gets_its_answer() {
    let system = system().await;
    let mut ids = BTreeMap::<String, String>::new();
    for step in json("replay.json").as_array().unwrap() {
        let name = step["event"].as_str().unwrap();
        let function = name.split('/').next().unwrap();
        let mut event = json(&format!("{name}.json"));
        if let Some(from) = step["id"].as_str() {
            event = with_id(event, &ids[from]);
        }
        let answer = invoke(&system.app, function, event.clone()).await;
        assert_eq!(
            answer.status,
            step["status"].as_i64().unwrap(),
            "{step} {}",
            answer.body
        );
        assert_eq!(
            answer.headers["x-request-id"].to_str().unwrap(),
            event["requestContext"]["requestId"].as_str().unwrap(),
            "the gateway's own id"
        );
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if let Some(part) = step.get("body") {
            assert!(holds(&body, part), "{step} {}", answer.body);
        }
        if let Some(part) = step["contains"].as_str() {
            assert!(answer.body.contains(part), "{step} {}", answer.body);
        }
        if let Some(id) = body["id"].as_str() {
            ids.insert(name.to_owned(), id.to_owned());
        }
    }
}

/// The event with another id in its path.
pub fn with_id(event: Value, id: &str) -> Value {
    let parameters = event["pathParameters"].as_object().unwrap();
    let old = parameters.values().next().unwrap().as_str().unwrap();
    serde_json::from_str(&event.to_string().replace(old, id)).unwrap()
}

#[tokio::test]
async fn what_the_gateway_passes_but_http_forbids_is_answered_like_any_other() {
    let system = system().await;
    let event = |change: &dyn Fn(&mut Value)| {
        let mut event = json("portal/checkTls.json");
        change(&mut event);
        event
    };
    for query in [
        "domain=a b",
        "domain=\"",
        "domain=<",
        "domain=\u{7f}",
        "domain=%zz&x=ü",
        "domain=a#b",
        "|",
        "",
    ] {
        let event = event(&|event| event["rawQueryString"] = query.into());
        let answer = invoke(&system.app, "portal", event).await;
        assert!(matches!(answer.status, 400 | 404), "{query:?}: {}", answer.status);
    }
    for host in [
        "a b",
        "",
        "[",
        "a\u{e9}",
        "x:y:z",
        "a.com:99999",
        "xn--a.com",
        "1.2.3.999",
    ] {
        let event = event(&|event| event["headers"]["host"] = host.into());
        let answer = invoke(&system.app, "portal", event).await;
        assert_eq!(answer.status, 404, "{host:?}");
    }
    let mut event = json("branding/putBranding.json");
    event["isBase64Encoded"] = true.into();
    event["body"] = "%%%".into();
    assert_eq!(invoke(&system.app, "branding", event).await.status, 400);
    for path in [
        "/agency/clients/../overview",
        "/agency/clients/a/b",
        "/agency/clients/a?b",
        "/agency/clients/\\",
        "",
        "//",
        "/agency/clients/%",
    ] {
        let mut event = json("clients/getClient.json");
        event["rawPath"] = path.into();
        let answer = invoke(&system.app, "clients", event).await;
        assert!(matches!(answer.status, 403 | 404), "{path:?}: {}", answer.status);
    }
}
