//! The events of `events/`, and each function's own handler, called as Lambda calls it.

use std::{collections::BTreeMap, fs};

use lambda_http::{Context, LambdaEvent, aws_lambda_events::encodings::Body};
use local::system::{Builder, System};
use serde_json::Value;
use shared::{
    app::App,
    http::{Event, Routes, handler},
};
use tower::ServiceExt;

use super::template::root;

pub fn json(path: &str) -> Value {
    let file = root().join("events").join(path);
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// A system with the variables of `sam local`, but with its own table and servers.
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

/// What a function returned to Lambda.
pub struct Returned {
    pub status: i64,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// The routes of a function.
pub fn routes<R: Routes>(app: &App, function: &str) -> R {
    match function {
        "agency" => agency::routes(),
        "branding" => branding::routes(),
        "clients" => clients::routes(),
        "portal" => portal::routes(),
        "domains" => domains::routes(verification::Network::new(&app.config).unwrap()),
        other => panic!("there is no function {other}"),
    }
}

pub async fn invoke(app: &App, function: &str, event: Value) -> Returned {
    let routes = routes(app, function);
    let request: Event = serde_json::from_str(&event.to_string()).unwrap();
    let event = LambdaEvent::new(request, Context::default());
    let response = handler(routes, app.clone()).oneshot(event).await.unwrap();
    let response = serde_json::to_value(response).unwrap();
    let headers = serde_json::from_value::<BTreeMap<String, String>>(response["headers"].clone()).unwrap();
    Returned {
        status: response["statusCode"].as_i64().unwrap(),
        headers,
        body: match serde_json::from_value::<Option<Body>>(response["body"].clone()).unwrap() {
            Some(Body::Text(text)) => text,
            _ => String::new(),
        },
    }
}

/// The event with another id in its path.
fn with_id(event: Value, id: &str) -> Value {
    let parameters = event["pathParameters"].as_object().unwrap();
    let old = parameters.values().next().unwrap().as_str().unwrap();
    serde_json::from_str(&event.to_string().replace(old, id)).unwrap()
}

/// Invokes the functions with the events of `replay.json`, in its order. `each` gets the step, its event and what the
/// function returned.
pub async fn replay(system: &System, mut each: impl FnMut(&Value, &Value, &Returned)) {
    let mut ids = BTreeMap::<String, String>::new();
    for step in json("replay.json").as_array().unwrap() {
        let name = step["event"].as_str().unwrap();
        let mut event = json(&format!("{name}.json"));
        if let Some(from) = step["id"].as_str() {
            event = with_id(event, &ids[from]);
        }
        if let Some(request) = step.get("request") {
            let references = ids.iter().map(|(name, id)| (format!("${name}"), id));
            let body = references.fold(request.to_string(), |body, (name, id)| body.replace(&name, id));
            event["body"] = body.into();
        }
        let returned = invoke(&system.app, function(step), event.clone()).await;
        let body: Value = serde_json::from_str(&returned.body).unwrap_or_default();
        // Of a setup link it is the token, at the end of its address.
        if let (201, Some(id)) = (returned.status, body["id"].as_str().or(body["url"].as_str())) {
            let name = step["as"].as_str().unwrap_or(name);
            let (_, id) = id.rsplit_once('/').unwrap_or(("", id));
            ids.insert(name.to_owned(), id.to_owned());
        }
        each(step, &event, &returned);
    }
    assert!(!ids.is_empty());
}

/// The function of a step of `replay.json`.
pub fn function(step: &Value) -> &str {
    step["event"].as_str().unwrap().split('/').next().unwrap()
}
