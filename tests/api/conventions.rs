//! What is the same for every operation: the order of errors, bodies, parameters, headers and tags.

use std::{future::pending, sync::Arc};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use futures::StreamExt as _;
use http::{Method, Request, header::HeaderValue};
use http_body_util::BodyExt;
use lambda_http::{aws_lambda_events::apigw::ApiGatewayV2httpRequestContext, request::RequestContext};
use local::{fault::Fault, system::System};
use serde_json::{Value, json};
use shared::store::{Cursor, keys::List};
use tower::ServiceExt;

use crate::harness::{Answer, Api, User};

const ABSENT_CLIENT: &str = "/agency/clients/cli_01890a5d-ac96-774b-bcce-b302099a8057";
const ABSENT_DOMAIN: &str = "/agency/portal-domains/dom_01890a5d-ac96-774b-bcce-b302099a8057";
const MAX_BODY: usize = 64 * 1024;

/// Every operation that takes a body, with one that fits.
fn operations_with_a_body(client: &str) -> [(Method, String, Value); 5] {
    [
        (
            Method::PUT,
            "/agency/branding".to_owned(),
            json!({"footerText": "x"}),
        ),
        (
            Method::PUT,
            "/agency/portal-config".to_owned(),
            json!({"featureLogs": true}),
        ),
        (Method::POST, "/agency/clients".to_owned(), json!({"name": "x"})),
        (
            Method::PATCH,
            format!("/agency/clients/{client}"),
            json!({"name": "x"}),
        ),
        (
            Method::POST,
            "/agency/portal-domains".to_owned(),
            json!({"customDomain": "portal.acme.com"}),
        ),
    ]
}

// The order of errors.

/// What can be wrong with a request, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Method,
    Token,
    Role,
    Type,
    Size,
    Json,
    Key,
    Parameter,
    Body,
    State,
    Id,
    Tag,
    Taken,
    Hurry,
}

use Wrong::{Body as Fields, Hurry, Id, Json, Key, Parameter, Role, Size, State, Tag, Taken, Token, Type};

impl Wrong {
    fn problem(self, operation: &Operation) -> (u16, &'static str) {
        match self {
            Self::Method => (405, "method-not-allowed"),
            Self::Token => (401, "missing-token"),
            Self::Role => (403, "role-too-low"),
            Self::Type => (415, "unsupported-media-type"),
            Self::Size => (413, "body-too-large"),
            Self::Json => (400, "invalid-json"),
            Self::Key | Self::Parameter => (400, "invalid-parameter"),
            Self::Body => (422, "invalid-body"),
            Self::State => (403, "agency-not-enabled"),
            Self::Id => (404, "not-found"),
            Self::Tag => (412, "stale"),
            Self::Taken if operation.path.contains("domains") => (409, "hostname-taken"),
            Self::Taken => (409, "slug-taken"),
            Self::Hurry => (429, "too-many-requests"),
        }
    }
}

/// An operation, and what can be wrong with a request for it, in order.
struct Operation {
    method: Method,
    path: String,
    absent: &'static str,
    good: Value,
    taken: Value,
    wrongs: &'static [Wrong],
}

impl Operation {
    /// A request for it that is wrong in these ways, and right in all others.
    async fn attempt(&self, api: &Api, wrongs: &[Wrong]) -> Answer {
        let is = |wrong| wrongs.contains(&wrong);
        let org = if is(State) { "org_none" } else { "org_acme" };
        let user = match (is(Token), is(Role)) {
            (true, _) => api.visitor(),
            (_, true) => api.user(org, "member"),
            _ => api.user(org, "admin"),
        };
        let mut path = if is(Id) { self.absent } else { &self.path }.to_owned();
        if is(Parameter) {
            path.push_str("?limit=0");
        }
        let mut body = match (is(Fields), is(Taken)) {
            (true, _) => json!({"name": 7, "subdomain": 7, "nonsense": true}),
            (_, true) => self.taken.clone(),
            _ => self.good.clone(),
        }
        .to_string();
        if is(Json) {
            body.pop();
        }
        if is(Size) {
            body.push_str(&" ".repeat(MAX_BODY));
        }
        let kind = if is(Type) {
            "text/plain"
        } else {
            "application/json"
        };
        let mut headers = vec![("content-type", kind)];
        if is(Key) {
            headers.push(("idempotency-key", "no key"));
        }
        if is(Tag) {
            headers.push(("if-match", "\"old\""));
        }
        let method = if is(Wrong::Method) {
            Method::TRACE
        } else {
            self.method.clone()
        };
        user.raw(method, &path, &headers, body).await
    }
}

#[tokio::test]
async fn of_several_errors_the_first_in_order_is_told() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let other = owner.client("Other").await;
    let client = owner.client("Acme").await;
    let subdomain = owner.subdomain("acme").await;
    let verify = format!(
        "/agency/portal-domains/{}/verify",
        subdomain["id"].as_str().unwrap()
    );
    owner.post(&verify, Value::Null).await.expect(200);
    let client_path = format!("/agency/clients/{}", client["id"].as_str().unwrap());
    let operation = |method, path: &str, absent, good, taken, wrongs| Operation {
        method,
        path: path.to_owned(),
        absent,
        good,
        taken,
        wrongs,
    };
    let none = Value::Null;
    let operations = [
        operation(
            Method::PUT,
            "/agency/branding",
            "",
            json!({"footerText": "x"}),
            none.clone(),
            &[Wrong::Method, Token, Role, Type, Size, Json, Fields, State, Tag],
        ),
        operation(
            Method::PUT,
            "/agency/portal-config",
            "",
            json!({"featureLogs": true}),
            none.clone(),
            &[Wrong::Method, Token, Role, Type, Size, Json, Fields, State, Tag],
        ),
        operation(
            Method::POST,
            "/agency/clients",
            "",
            json!({"name": "New"}),
            json!({"name": "New", "slug": other["slug"]}),
            &[
                Wrong::Method,
                Token,
                Role,
                Type,
                Size,
                Json,
                Key,
                Fields,
                State,
                Taken,
            ],
        ),
        operation(
            Method::PATCH,
            &client_path,
            ABSENT_CLIENT,
            json!({"name": "Acme"}),
            json!({"slug": other["slug"]}),
            &[
                Wrong::Method,
                Token,
                Role,
                Type,
                Size,
                Json,
                Fields,
                State,
                Id,
                Taken,
            ],
        ),
        operation(
            Method::POST,
            "/agency/portal-domains",
            "",
            json!({"subdomain": "other"}),
            json!({"subdomain": "acme"}),
            &[
                Wrong::Method,
                Token,
                Role,
                Type,
                Size,
                Json,
                Key,
                Fields,
                State,
                Taken,
            ],
        ),
        operation(
            Method::POST,
            &verify,
            concat!(
                "/agency/portal-domains/dom_01890a5d-ac96-774b-bcce-b302099a8057",
                "/verify"
            ),
            none.clone(),
            none.clone(),
            &[Wrong::Method, Token, Role, State, Id, Hurry],
        ),
        operation(
            Method::GET,
            "/agency/clients",
            "",
            none.clone(),
            none.clone(),
            &[Wrong::Method, Token, Parameter, State],
        ),
        operation(
            Method::GET,
            "/agency/audit",
            "",
            none.clone(),
            none.clone(),
            &[Wrong::Method, Token, Role, Parameter, State],
        ),
        operation(
            Method::GET,
            "/agency/portal-domains",
            "",
            none.clone(),
            none.clone(),
            &[Wrong::Method, Token, Parameter, State],
        ),
        operation(
            Method::GET,
            &client_path,
            ABSENT_CLIENT,
            none.clone(),
            none.clone(),
            &[Wrong::Method, Token, State, Id],
        ),
        operation(
            Method::DELETE,
            &client_path,
            ABSENT_CLIENT,
            none.clone(),
            none,
            &[Wrong::Method, Token, Role, State, Id],
        ),
    ];
    for operation in &operations {
        // Alone, in pairs, and with all that comes after it.
        for (place, first) in operation.wrongs.iter().enumerate() {
            let later = &operation.wrongs[place + 1..];
            let pairs = later.iter().map(|second| vec![*first, *second]);
            for wrongs in [vec![*first], operation.wrongs[place..].to_vec()]
                .into_iter()
                .chain(pairs)
            {
                let answer = operation.attempt(&api, &wrongs).await;
                let (status, code) = first.problem(operation);
                assert_eq!(answer.status.as_u16(), status, "{wrongs:?}: {answer:?}");
                answer.problem(status, code);
            }
        }
    }
}

// Bodies.

#[tokio::test]
async fn a_body_is_json_by_its_media_type() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let put = async |kinds: &[&str]| {
        let headers: Vec<_> = kinds.iter().map(|kind| ("content-type", *kind)).collect();
        owner.raw(Method::PUT, "/agency/branding", &headers, "{}").await
    };
    for kind in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/json ; charset=\"Utf-8\"",
        "application/json; profile=x",
    ] {
        put(&[kind]).await.expect(200);
    }
    for kinds in [
        &[][..],
        &[""],
        &["text/plain"],
        &["text/json"],
        &["application/jsonp"],
        &["application/json5"],
        &["application/problem+json"],
        &["application/merge-patch+json"],
        &["application/x-www-form-urlencoded"],
        &["application/*"],
        &["json"],
        &["application/json; charset=iso-8859-1"],
        &["application/json; charset=utf-16"],
        &["application/json; charset=utf-8; charset=latin1"],
        &["application/json, application/json"],
        &["application/json", "application/json"],
        &["application/json", "text/plain"],
    ] {
        let answer = put(kinds).await;
        assert_eq!(answer.status, 415, "{kinds:?}");
        answer.problem(415, "unsupported-media-type");
    }
}

#[tokio::test]
async fn every_operation_with_a_body_refuses_one_without_a_type_and_one_without_content() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Acme").await;
    for (method, path, body) in operations_with_a_body(client["id"].as_str().unwrap()) {
        let body = body.to_string();
        let untyped = owner.raw(method.clone(), &path, &[], body).await;
        untyped.problem(415, "unsupported-media-type");
        let json = [("content-type", "application/json")];
        owner
            .raw(method.clone(), &path, &[], "")
            .await
            .problem(415, "unsupported-media-type");
        owner
            .raw(method, &path, &json, "")
            .await
            .problem(400, "invalid-json");
    }
}

#[tokio::test]
async fn enable_and_verify_ignore_body_and_type() {
    let api = Api::start().await;
    let owner = api.user("org_acme", "owner");
    for (kind, body) in [
        ("text/plain", "{"),
        ("application/json", "{\"a\":1,\"a\":2}"),
        ("application/json; charset=latin1", "\u{FEFF}"),
    ] {
        owner
            .raw(Method::POST, "/agency/enable", &[("content-type", kind)], body)
            .await
            .expect(200);
    }
    owner
        .raw(Method::POST, "/agency/enable", &[], vec![0xFF; MAX_BODY + 1])
        .await
        .expect(200);
    let id = owner.subdomain("acme").await["id"].as_str().unwrap().to_owned();
    let verify = format!("/agency/portal-domains/{id}/verify");
    owner
        .raw(Method::POST, &verify, &[("content-type", "text/plain")], "{")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_body_has_64_kib_at_most() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let json = [("content-type", "application/json")];
    let padded = |bytes: usize| format!("{{}}{}", " ".repeat(bytes - 2));
    let put = async |body: Body| owner.raw(Method::PUT, "/agency/branding", &json, body).await;
    put(padded(MAX_BODY).into()).await.expect(200);
    put(padded(MAX_BODY + 1).into())
        .await
        .problem(413, "body-too-large");
    // Bytes count, not characters.
    let wide = |characters: usize| json!({"footerText": "é".repeat(characters)}).to_string();
    let answer = put(wide(MAX_BODY / 2 - 20).into()).await;
    assert_eq!(
        answer.faults(),
        [("/footerText".to_owned(), "too-long".to_owned())]
    );
    put(wide(MAX_BODY / 2).into())
        .await
        .problem(413, "body-too-large");
    // A body of unknown length is cut off, whatever its chunks are.
    let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("        ")).take(MAX_BODY / 8 + 1);
    put(Body::from_stream(chunks))
        .await
        .problem(413, "body-too-large");
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("[[[[[[[["));
    put(Body::from_stream(endless))
        .await
        .problem(413, "body-too-large");
    let broken = futures::stream::iter([Ok("{"), Err(std::io::Error::other("a secret"))]);
    let problem = put(Body::from_stream(broken)).await.problem(400, "invalid-json");
    assert!(!problem["detail"].as_str().unwrap().contains("secret"));
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let deep = |open: &str, close: &str, depth: usize| {
        format!("{{\"x\":{}{}}}", open.repeat(depth), close.repeat(depth))
    };
    let mut bodies: Vec<Vec<u8>> = [
        "",
        " ",
        "\u{FEFF}{}",
        "{",
        "{}}",
        "{} {}",
        "{}x",
        "{}\0",
        "{},",
        "{'footerText':'x'}",
        "{footerText:\"x\"}",
        "{\"footerText\":\"x\",}",
        "{\"footerText\":\"a\nb\"}",
        "{\"footerText\":\"\\x41\"}",
        "{\"footerText\":undefined}",
        "{\"footerText\":NaN}",
        "{\"footerText\":01}",
        "{\"footerText\":+1}",
        "{\"footerText\":1.}",
        "{}//",
        "/**/{}",
        "\"",
        "nul",
        // Halves of a surrogate pair are no characters.
        "{\"footerText\":\"\\ud800\"}",
        "{\"footerText\":\"\\udc00\"}",
        "{\"footerText\":\"\\ud83d\\u0041\"}",
        "{\"\\ud800\":1}",
        // Duplicate names, spelt alike or not, wherever they are.
        "{\"footerText\":\"a\",\"footerText\":\"a\"}",
        "{\"footerText\":\"a\",\"footer\\u0054ext\":\"b\"}",
        "{\"x\":{\"a\":1,\"a\":2}}",
        "{\"x\":[[{\"y\":{\"\":1,\"\":1}}]]}",
        "{\"id\":{\"a\":1,\"a\":2}}",
        "[{\"a\":1,\"a\":2}]",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    bodies.push(b"{\"footerText\":\"\xFF\"}".to_vec());
    bodies.push(b"{\"footerText\":\"\xC0\xAF\"}".to_vec());
    bodies.push(b"{\"footerText\":\"\xED\xA0\x80\"}".to_vec());
    bodies.push(
        "{\"footerText\":\"x\"}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect(),
    );
    bodies.push(deep("[", "]", 200).into());
    bodies.push(deep("{\"a\":", "}", 200).into());
    bodies.push("[".repeat(MAX_BODY).into());
    bodies.push("{\"a\":".repeat(10_000).into());
    bodies.push(format!("{{\"x\":1{}}}", "0".repeat(400)).into());
    bodies.push("{\"x\":1e999999999999}".into());
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = owner
            .raw(
                Method::PUT,
                "/agency/branding",
                &[("content-type", "application/json")],
                body,
            )
            .await;
        assert_eq!(answer.status, 400, "{shown:?}: {answer:?}");
        answer.problem(400, "invalid-json");
    }
    assert_eq!(owner.audit().await.len(), 1, "none of them was written");
}

#[tokio::test]
async fn the_refusal_of_a_body_tells_where_it_is_wrong_and_repeats_nothing_of_it() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let json = [("content-type", "application/json")];
    let answer = owner
        .raw(Method::PUT, "/agency/branding", &json, "{\n  \"secret\" 1}")
        .await;
    let detail = answer.problem(400, "invalid-json")["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(detail.contains("line 2, column 12"), "{detail}");
    assert!(!detail.contains("secret"), "{detail}");
    let answer = owner
        .raw(
            Method::PUT,
            "/agency/branding",
            &json,
            "{\"secret\":1,\"secret\":2}",
        )
        .await;
    let detail = answer.problem(400, "invalid-json")["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(detail.contains("twice") && !detail.contains("secret"), "{detail}");
}

#[tokio::test]
async fn json_in_any_spelling_is_read() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let json = [("content-type", "application/json")];
    let put = async |body: &str| {
        owner
            .raw(Method::PUT, "/agency/branding", &json, body.to_owned())
            .await
    };
    let branding = put(" \t\r\n{ \"footer\\u0054ext\" : \"\\ud83d\\ude00\\/\" }\n")
        .await
        .expect(200);
    assert_eq!(branding["footerText"], "\u{1F600}/");
    for body in [
        "null",
        "[]",
        "\"x\"",
        "1",
        "true",
        "-0.0",
        "12345678901234567890123",
        "[{}]",
    ] {
        let fault = (String::new(), "wrong-type".to_owned());
        assert_eq!(put(body).await.faults(), [fault], "{body}");
    }
    for value in [
        "18446744073709551616",
        "1e300",
        "-1",
        "{}",
        "[]",
        "[\"x\"]",
        "false",
    ] {
        let fault = ("/footerText".to_owned(), "wrong-type".to_owned());
        assert_eq!(
            put(&format!("{{\"footerText\":{value}}}")).await.faults(),
            [fault],
            "{value}"
        );
    }
}

#[tokio::test]
async fn the_list_of_faults_has_an_end() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let body: Value = (0..5000)
        .map(|i| (format!("p{i}"), json!(1)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert_eq!(owner.put("/agency/branding", body).await.faults().len(), 100);
}

// Parameters.

#[tokio::test]
async fn known_parameters_stand_once_and_unknown_ones_are_ignored() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.client("Acme").await;
    for path in ["/agency/clients", "/agency/portal-domains", "/agency/audit"] {
        let all = owner.get(path).await.expect(200);
        for query in [
            "?",
            "?x",
            "?x=1&x=2",
            "?limitx=0",
            "?Limit=0",
            "?&&",
            "?=1",
            "?limit%00=0",
            "?%FF=%FF",
        ] {
            assert_eq!(
                owner.get(&format!("{path}{query}")).await.expect(200),
                all,
                "{query}"
            );
        }
        for query in [
            "?limit",
            "?limit=",
            "?limit=1&limit=1",
            "?limit=1&limit=",
            "?limit=1&%6Cimit=2",
            "?cursor",
            "?cursor=",
            "?cursor=&limit=1",
            "?cursor=a&cursor=a",
        ] {
            let answer = owner.get(&format!("{path}{query}")).await;
            assert_eq!(answer.status, 400, "{query}");
            answer.problem(400, "invalid-parameter");
        }
        assert_eq!(
            owner.get(&format!("{path}?%6Cimit=%31%30")).await.expect(200),
            all
        );
    }
    for path in [
        "/agency/overview",
        "/agency/branding",
        "/agency/portal-config",
        "/portal/context",
        "/health",
    ] {
        owner
            .get(&format!("{path}?limit=0&cursor=&limit=x&host=&slug="))
            .await
            .expect(200);
    }
    for path in ["/portal/branding", "/portal/theme.css"] {
        for query in [
            "",
            "?host",
            "?host=",
            "?hosts=a.com",
            "?host=a.com&host=a.com",
            "?domain=a.com",
        ] {
            api.visitor()
                .get(&format!("{path}{query}"))
                .await
                .problem(400, "invalid-parameter");
        }
    }
    for query in [
        "",
        "?domain",
        "?domain=",
        "?domain=a.com&domain=a.com",
        "?host=a.com",
    ] {
        api.visitor()
            .get(&format!("/portal/tls-check{query}"))
            .await
            .problem(400, "invalid-parameter");
    }
}

#[tokio::test]
async fn a_limit_is_a_number_from_1_to_1000() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for path in ["/agency/clients", "/agency/portal-domains", "/agency/audit"] {
        for limit in ["1", "999", "1000"] {
            owner.get(&format!("{path}?limit={limit}")).await.expect(200);
        }
        for limit in [
            "0",
            "-1",
            "1001",
            "65537",
            "4294967297",
            "18446744073709551617",
            "1.0",
            "1e2",
            "0x10",
            "%2B5",
            "+5",
            "5+",
            "%205",
            "%D9%A1",
            "ten",
            "null",
            "true",
            "1,2",
        ] {
            let answer = owner.get(&format!("{path}?limit={limit}")).await;
            assert_eq!(answer.status, 400, "{limit}");
            answer.problem(400, "invalid-parameter");
        }
    }
}

/// All pages of a list, and the cursors between them.
async fn walk(user: &User<'_>, path: &str, limit: usize) -> (Vec<Value>, Vec<String>) {
    let (mut items, mut cursors) = (Vec::new(), Vec::<String>::new());
    loop {
        let cursor = cursors
            .last()
            .map(|cursor| format!("&cursor={cursor}"))
            .unwrap_or_default();
        let page = user
            .get(&format!("{path}?limit={limit}{cursor}"))
            .await
            .expect(200);
        let entries = page["items"].as_array().unwrap();
        assert!(entries.len() <= limit);
        items.extend(entries.iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => cursors.push(next.to_owned()),
            None => return (items, cursors),
        }
    }
}

#[tokio::test]
async fn cursors_lead_through_a_list_once() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for name in ["A", "B", "C", "D", "E"] {
        owner.client(&format!("Client {name}")).await;
    }
    for (path, count) in [("/agency/clients", 5), ("/agency/audit", 6)] {
        let all = owner.get(path).await.expect(200);
        assert_eq!(all["nextCursor"], Value::Null);
        for limit in 1..=7 {
            let (items, cursors) = walk(&owner, path, limit).await;
            assert_eq!(json!(items), all["items"], "{path} {limit}");
            assert_eq!(cursors.len(), (count - 1) / limit, "no page is empty");
        }
    }
}

#[tokio::test]
async fn a_cursor_stays_good_when_its_entry_goes() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let (first, second) = (owner.client("First").await, owner.client("Second").await);
    let page = owner.get("/agency/clients?limit=1").await.expect(200);
    assert_eq!(page["items"], json!([first]));
    let cursor = page["nextCursor"].as_str().unwrap();
    owner
        .delete(&format!("/agency/clients/{}", first["id"].as_str().unwrap()))
        .await
        .expect(204);
    let page = owner
        .get(&format!("/agency/clients?cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(page, json!({"items": [second], "nextCursor": null}));
    owner
        .delete(&format!("/agency/clients/{}", second["id"].as_str().unwrap()))
        .await
        .expect(204);
    let page = owner
        .get(&format!("/agency/clients?cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(page, json!({"items": [], "nextCursor": null}));
}

#[tokio::test]
async fn a_cursor_is_good_for_its_organization_and_its_list_alone() {
    let api = Api::start().await;
    let (acme, other) = (api.agency("org_acme").await, api.agency("org_other").await);
    let lists = ["/agency/clients", "/agency/portal-domains", "/agency/audit"];
    let mut cursors = Vec::new();
    for user in [&acme, &other] {
        for name in ["one", "two"] {
            user.client(name).await;
            user.custom_domain(&format!("{name}.acme.com")).await;
        }
        for path in lists {
            let page = user.get(&format!("{path}?limit=1")).await.expect(200);
            cursors.push(page["nextCursor"].as_str().unwrap().to_owned());
        }
    }
    let mut details = Vec::new();
    for (place, cursor) in cursors.iter().enumerate() {
        assert!(cursor.len() <= 512);
        for (at, (user, path)) in [&acme, &other]
            .iter()
            .flat_map(|user| lists.map(|path| (user, path)))
            .enumerate()
        {
            let answer = user.get(&format!("{path}?cursor={cursor}")).await;
            if at == place {
                answer.expect(200);
            } else {
                details.push(answer.problem(400, "invalid-cursor")["detail"].clone());
            }
        }
    }
    for cursor in [
        "x",
        "null",
        "0",
        "%00",
        "%F0%9F%98%80",
        "AAAAAAAAAAAAAAAAAAAA",
        &format!("{}=", cursors[0]),
        &format!("{}A", cursors[0]),
        &cursors[0][1..],
        &cursors[0].to_uppercase(),
        &format!("%20{}", cursors[0]),
        &"A".repeat(512),
        &"A".repeat(513),
        &"A".repeat(20_000),
    ] {
        let answer = acme.get(&format!("/agency/clients?cursor={cursor}")).await;
        details.push(answer.problem(400, "invalid-cursor")["detail"].clone());
    }
    // An organization without agency mode and a client organization have no lists, hence no cursors.
    for user in [
        api.user("org_none", "owner"),
        api.user("cli_01890a5d-ac96-774b-bcce-b302099a8057", "owner"),
    ] {
        let answer = user.get(&format!("/agency/clients?cursor={}", cursors[0])).await;
        details.push(answer.problem(400, "invalid-cursor")["detail"].clone());
    }
    details.dedup();
    assert_eq!(details.len(), 1, "a refusal says no more: {details:?}");
}

#[tokio::test]
async fn a_forged_cursor_does_not_leave_its_list() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.client("Acme").await;
    let org = "org_acme".parse().unwrap();
    for sk in [
        "",
        "#1CONFIG",
        "CLIENT#",
        "CLIENT$",
        "CLIENT",
        "DOMAIN#",
        "LOG#",
        "SLUG#acme",
        "\u{10FFFF}",
    ] {
        let cursor = Cursor::encode(&org, List::Clients, sk);
        let answer = owner.get(&format!("/agency/clients?cursor={cursor}")).await;
        assert_eq!(answer.status, 400, "{sk:?}: {answer:?}");
        answer.problem(400, "invalid-cursor");
    }
    for sk in ["LOG$", "LOG#", "LOG", "SLUG#acme"] {
        let cursor = Cursor::encode(&org, List::Audit, sk);
        owner
            .get(&format!("/agency/audit?cursor={cursor}"))
            .await
            .problem(400, "invalid-cursor");
    }
}

#[tokio::test]
async fn what_is_no_id_is_not_found_in_the_words_of_one_that_is_not_there() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Acme").await["id"].as_str().unwrap().to_owned();
    let domain = owner.subdomain("acme").await["id"].as_str().unwrap().to_owned();
    let words =
        |path: &'static str| async { owner.get(path).await.problem(404, "not-found")["detail"].clone() };
    assert_eq!(words(ABSENT_CLIENT).await, words(ABSENT_DOMAIN).await);
    let detail = words(ABSENT_CLIENT).await;
    for (path, id, prefix) in [
        ("/agency/clients", &client, "cli_"),
        ("/agency/portal-domains", &domain, "dom_"),
    ] {
        let uuid = id.strip_prefix(prefix).unwrap();
        for text in [
            "x".to_owned(),
            "..".to_owned(),
            ".".to_owned(),
            "%2E%2E".to_owned(),
            "..%2F..".to_owned(),
            "%2F".to_owned(),
            "%00".to_owned(),
            "%FF".to_owned(),
            "%C3%28".to_owned(),
            "%".to_owned(),
            "%zz".to_owned(),
            "null".to_owned(),
            "*".to_owned(),
            prefix.to_owned(),
            uuid.to_owned(),
            format!("{prefix}{}", uuid.to_uppercase()),
            format!("{}{uuid}", prefix.to_uppercase()),
            format!("{prefix}{}", uuid.replace('-', "")),
            format!("{prefix}%7B{uuid}%7D"),
            format!("{prefix}urn:uuid:{uuid}"),
            format!("{prefix}00000000-0000-0000-0000-000000000000"),
            format!("{prefix}ffffffff-ffff-ffff-ffff-ffffffffffff"),
            format!("{prefix}6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
            format!("log_{uuid}"),
            format!("%20{id}"),
            format!("{id}%20"),
            format!("{id}%0A"),
            format!("{id}%23"),
            "a".repeat(8000),
        ] {
            let at = format!("{path}/{text}");
            assert_eq!(
                owner.get(&at).await.problem(404, "not-found")["detail"],
                detail,
                "{text}"
            );
            assert_eq!(
                owner.delete(&at).await.problem(404, "not-found")["detail"],
                detail,
                "{text}"
            );
            if prefix == "cli_" {
                owner
                    .patch(&at, json!({"name": "x"}))
                    .await
                    .problem(404, "not-found");
            } else {
                owner
                    .post(&format!("{at}/verify"), Value::Null)
                    .await
                    .problem(404, "not-found");
            }
            // Authentication, roles and bodies come first, as for any id.
            api.visitor().get(&at).await.problem(401, "missing-token");
            api.user("org_acme", "member")
                .delete(&at)
                .await
                .problem(403, "role-too-low");
        }
    }
    // An encoded id is the id.
    owner
        .get(&format!("/agency/clients/{}", client.replace('_', "%5F")))
        .await
        .expect(200);
}

// Methods.

/// The paths of all operations, with the methods that each has.
const PATHS: [(&str, &[&str]); 15] = [
    ("/agency/enable", &["POST"]),
    ("/agency/overview", &["GET", "HEAD"]),
    ("/agency/branding", &["GET", "HEAD", "PUT"]),
    ("/agency/clients", &["GET", "HEAD", "POST"]),
    (ABSENT_CLIENT, &["DELETE", "GET", "HEAD", "PATCH"]),
    ("/agency/portal-config", &["GET", "HEAD", "PUT"]),
    ("/agency/portal-domains", &["GET", "HEAD", "POST"]),
    (ABSENT_DOMAIN, &["DELETE", "GET", "HEAD"]),
    ("/agency/portal-domains/x/verify", &["POST"]),
    ("/agency/audit", &["GET", "HEAD"]),
    ("/portal/context", &["GET", "HEAD"]),
    ("/portal/branding", &["GET", "HEAD"]),
    ("/portal/theme.css", &["GET", "HEAD"]),
    ("/portal/tls-check", &["GET", "HEAD"]),
    ("/health", &["GET", "HEAD"]),
];

const UNKNOWN_PATHS: [&str; 16] = [
    "/",
    "/agency",
    "/agency/",
    "/agency/overview/",
    "/agency//overview",
    "//agency/overview",
    "/Agency/overview",
    "/agency/overview/x",
    "/agency/clients/",
    "/agency/clients/x/y",
    "/agency/./overview",
    "/agency/%6Fverview",
    "/agency/overview%00",
    "/agency/portal-domains/x/verify/",
    "/portal",
    "/healthz",
];

fn allowed(answer: &Answer) -> Vec<String> {
    let allow = answer
        .header("allow")
        .unwrap_or_else(|| panic!("no Allow: {answer:?}"));
    let mut methods: Vec<_> = allow.split(',').map(|method| method.trim().to_owned()).collect();
    methods.sort();
    methods
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_told_with_those_that_it_has() {
    let api = Api::start().await;
    for (path, methods) in PATHS {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get",
        ] {
            if methods.contains(&method) {
                continue;
            }
            let answer = api.visitor().raw(method.parse().unwrap(), path, &[], "{").await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(allowed(&answer), methods, "{method} {path}");
            if method == "HEAD" {
                assert_eq!(answer.text, "");
            } else {
                answer.problem(405, "method-not-allowed");
            }
        }
    }
}

#[tokio::test]
async fn options_are_answered_for_known_paths_without_a_token() {
    let api = Api::start().await;
    for (path, methods) in PATHS {
        let answer = api.visitor().raw(Method::OPTIONS, path, &[], "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (204, ""),
            "{path}"
        );
        assert_eq!(allowed(&answer), methods, "{path}");
        assert!(answer.header("x-request-id").is_some());
    }
    for path in UNKNOWN_PATHS {
        api.visitor()
            .raw(Method::OPTIONS, path, &[], "")
            .await
            .problem(404, "not-found");
    }
}

#[tokio::test]
async fn an_unknown_path_is_not_found_whoever_asks() {
    let api = Api::start().await;
    for path in UNKNOWN_PATHS {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            api.visitor()
                .raw(method.clone(), path, &[], "")
                .await
                .problem(404, "not-found");
            api.user("org_acme", "owner")
                .raw(method, path, &[], "{")
                .await
                .problem(404, "not-found");
        }
    }
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    let client = format!(
        "/agency/clients/{}",
        owner.client("Acme").await["id"].as_str().unwrap()
    );
    let strangers = [
        api.visitor(),
        api.user("org_none", "owner"),
        api.user("org_acme", "member"),
    ];
    let known = owner
        .get("/agency/branding")
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    let users: Vec<_> = [&owner].into_iter().chain(&strangers).collect();
    for path in [
        "/agency/overview",
        "/agency/branding",
        "/agency/clients",
        &client,
        ABSENT_CLIENT,
        "/agency/portal-config",
        "/agency/portal-domains?limit=0",
        "/agency/audit",
        "/portal/context",
        "/portal/branding?host=acme.portal.localhost",
        "/portal/theme.css?host=acme.portal.localhost",
        "/portal/theme.css?host=nobody.portal.localhost",
        "/portal/tls-check?domain=acme.portal.localhost",
        "/portal/tls-check",
        "/health",
        "/nowhere",
    ] {
        for user in &users {
            let headers = [("if-none-match", known.as_str())];
            let get = user.raw(Method::GET, path, &headers, "").await;
            let head = user.raw(Method::HEAD, path, &headers, "").await;
            assert_eq!(head.status, get.status, "{path}");
            assert_eq!(head.text, "", "{path}");
            let headers = |answer: &Answer| {
                let mut headers = answer.headers.clone();
                headers.remove("x-request-id");
                headers.remove("content-length");
                headers
            };
            assert_eq!(headers(&head), headers(&get), "{path}");
            if let Some(length) = head.header("content-length").filter(|_| get.status != 304) {
                assert_eq!(length, get.text.len().to_string(), "{path}");
            }
        }
    }
}

// Headers.

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own_and_says_what_caches_may_do() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    let tag = owner
        .get("/portal/context")
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    let mut seen = Vec::new();
    for (method, path, body, status, cache) in [
        ("POST", "/agency/enable", "", 200, "no-store"),
        ("GET", "/agency/overview", "", 200, "no-store"),
        ("GET", "/agency/clients", "", 200, "no-store"),
        ("POST", "/agency/clients", "{\"name\":\"Acme\"}", 201, "no-store"),
        ("GET", "/agency/branding", "", 200, "private, no-cache"),
        ("PUT", "/agency/branding", "{}", 200, "private, no-cache"),
        ("GET", "/agency/portal-config", "", 200, "private, no-cache"),
        ("PUT", "/agency/portal-config", "{}", 200, "private, no-cache"),
        ("GET", "/portal/context", "", 200, "private, no-cache"),
        ("GET", "/agency/audit", "", 200, "no-store"),
        (
            "GET",
            "/portal/branding?host=acme.portal.localhost",
            "",
            200,
            "public, max-age=60",
        ),
        (
            "GET",
            "/portal/theme.css?host=acme.portal.localhost",
            "",
            200,
            "public, max-age=60",
        ),
        (
            "GET",
            "/portal/tls-check?domain=acme.portal.localhost",
            "",
            200,
            "public, max-age=60",
        ),
        (
            "GET",
            "/portal/branding?host=x.portal.localhost",
            "",
            404,
            "no-store",
        ),
        (
            "GET",
            "/portal/theme.css?host=x.portal.localhost",
            "",
            404,
            "no-store",
        ),
        (
            "GET",
            "/portal/tls-check?domain=x.portal.localhost",
            "",
            404,
            "no-store",
        ),
        ("GET", "/portal/tls-check", "", 400, "no-store"),
        ("GET", "/health", "", 200, "no-store"),
        ("GET", ABSENT_CLIENT, "", 404, "no-store"),
        ("GET", "/nowhere", "", 404, "no-store"),
        ("PUT", "/agency/branding", "{", 400, "no-store"),
        ("PUT", "/health", "", 405, "no-store"),
        ("OPTIONS", "/health", "", 204, "no-store"),
        ("HEAD", "/health", "", 200, "no-store"),
    ] {
        let answer = owner
            .raw(
                method.parse().unwrap(),
                path,
                &[("content-type", "application/json")],
                body,
            )
            .await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("cache-control"), Some(cache), "{method} {path}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{method} {path}"
        );
        let tagged = cache.starts_with("private");
        assert_eq!(
            answer.header("vary"),
            tagged.then_some("authorization"),
            "{method} {path}"
        );
        assert_eq!(answer.header("etag").is_some(), tagged, "{method} {path}");
        seen.push(answer.header("x-request-id").unwrap().to_owned());
        for name in [
            "x-request-id",
            "cache-control",
            "x-content-type-options",
            "content-type",
        ] {
            assert!(
                answer.headers.get_all(name).iter().count() <= 1,
                "{name} of {method} {path}"
            );
        }
        if status == 200 && !answer.text.is_empty() && !path.contains("theme") {
            assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        }
    }
    let fresh = owner
        .raw(Method::GET, "/portal/context", &[("if-none-match", &tag)], "")
        .await;
    assert_eq!(fresh.status, 304);
    seen.push(fresh.header("x-request-id").unwrap().to_owned());
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[tokio::test]
async fn a_client_does_not_choose_its_request_id_or_its_organization() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    api.agency("org_other").await;
    let headers = [
        ("x-request-id", "mine"),
        ("x-org-id", "org_other"),
        ("x-tenant-id", "org_other"),
        ("x-forwarded-host", "org_other"),
        ("x-http-method-override", "DELETE"),
    ];
    let answer = owner
        .raw(Method::GET, "/agency/overview?org_id=org_other", &headers, "")
        .await;
    assert_eq!(answer.expect(200)["organizationId"], "org_acme");
    assert_ne!(answer.header("x-request-id"), Some("mine"));
    let body = json!({"organizationId": "org_other", "footerText": "x"});
    assert_eq!(
        owner.put("/agency/branding", body).await.expect(200)["organizationId"],
        "org_acme"
    );
    let entry = &owner.audit().await[0];
    assert_ne!(entry["requestId"], "mine");
}

#[tokio::test]
async fn a_refused_token_is_told_as_rfc_6750_says() {
    let api = Api::start().await;
    let answer = api.visitor().get("/agency/overview").await;
    answer.problem(401, "missing-token");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let answer = api.with_token("x").get("/agency/overview").await;
    answer.problem(401, "invalid-token");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer error=\"invalid_token\", error_description=\""),
        "{challenge}"
    );
    let head = api
        .with_token("x")
        .raw(Method::HEAD, "/agency/overview", &[], "")
        .await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (401, ""));
    assert_eq!(head.header("www-authenticate"), Some(challenge));
}

// Tags.

fn tag(answer: &Answer) -> String {
    let tag = answer
        .header("etag")
        .unwrap_or_else(|| panic!("no ETag: {answer:?}"))
        .to_owned();
    assert!(
        tag.len() > 8 && tag.starts_with('"') && tag.ends_with('"'),
        "a strong tag: {tag}"
    );
    tag
}

#[tokio::test]
async fn a_known_tag_is_not_sent_again() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for path in ["/agency/branding", "/agency/portal-config", "/portal/context"] {
        let first = owner.get(path).await;
        let tag = tag(&first);
        let ask = async |values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|value| ("if-none-match", *value)).collect();
            owner.raw(Method::GET, path, &headers, "").await
        };
        let weak = format!("W/{tag}");
        let (list, spaced) = (format!("\"a\",W/\"b\",{tag}"), format!("\"a\" ,\t{weak} , \"c\""));
        for values in [
            &[tag.as_str()][..],
            &[&weak],
            &[&list],
            &[&spaced],
            &["*"],
            &["\"a\"", &tag],
            &["garbage", &tag],
        ] {
            let answer = ask(values).await;
            assert_eq!(
                (answer.status.as_u16(), answer.text.as_str()),
                (304, ""),
                "{values:?}"
            );
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
            assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
            assert_eq!(answer.header("vary"), Some("authorization"));
            assert_eq!(answer.header("content-type"), None);
            assert_eq!(answer.header("content-length"), None);
        }
        let bare = tag.trim_matches('"').to_owned();
        let (lower, unclosed) = (format!("w/{tag}"), format!("\"{bare}"));
        for value in ["", "\"\"", "\"a\"", &bare, &lower, &unclosed, "W/", ",", "\"*\""] {
            let answer = ask(&[value]).await;
            assert_eq!(answer.text, first.text, "{value:?}");
            answer.expect(200);
        }
        let mut request = Request::get(path).header(
            "authorization",
            format!("Bearer {}", api.token("org_acme", "owner")),
        );
        request = request.header("if-none-match", HeaderValue::from_bytes(b"\"\xFF\"").unwrap());
        owner.send(request.body(Body::empty()).unwrap()).await.expect(200);
    }
}

#[tokio::test]
async fn if_none_match_says_nothing_where_there_is_nothing_to_compare() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let any = [("if-none-match", "*")];
    owner
        .raw(Method::GET, "/agency/overview", &any, "")
        .await
        .expect(200);
    owner
        .raw(Method::GET, ABSENT_CLIENT, &any, "")
        .await
        .problem(404, "not-found");
    api.user("org_none", "owner")
        .raw(Method::GET, "/agency/branding", &any, "")
        .await
        .problem(403, "agency-not-enabled");
    api.visitor()
        .raw(Method::GET, "/agency/branding", &any, "")
        .await
        .problem(401, "missing-token");
    let put = owner
        .call(
            Method::PUT,
            "/agency/branding",
            &any,
            Some(json!({"footerText": "x"})),
        )
        .await;
    assert_eq!(put.expect(200)["footerText"], "x");
}

#[tokio::test]
async fn a_change_may_depend_on_what_was_seen() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for (path, body) in [
        ("/agency/branding", json!({"footerText": "x"})),
        ("/agency/portal-config", json!({"featureLogs": false})),
    ] {
        let put = async |values: &[&str]| {
            let mut headers: Vec<_> = values.iter().map(|value| ("if-match", *value)).collect();
            headers.push(("content-type", "application/json"));
            owner.raw(Method::PUT, path, &headers, body.to_string()).await
        };
        let now = async || tag(&owner.get(path).await);
        let old = now().await;
        let first = put(&[&old]).await;
        first.expect(200);
        assert_ne!(tag(&first), old);
        assert_eq!(tag(&first), now().await);
        put(&[&old]).await.problem(412, "stale");

        let list = format!("\"a\", {} ,{old}", now().await);
        put(&[&list]).await.expect(200);
        put(&["\"a\"", &now().await]).await.expect(200);
        put(&["*"]).await.expect(200);
        put(&[" * "]).await.expect(200);
        put(&[]).await.expect(200);

        let current = now().await;
        let (weak, bare) = (format!("W/{current}"), current.trim_matches('"').to_owned());
        let (unclosed, doubled) = (format!("\"{bare}"), format!("\"{current}\""));
        for value in [
            "",
            ",",
            "\"\"",
            "W/*",
            "\"*\"",
            "garbage",
            &weak,
            &bare,
            &unclosed,
            &doubled,
            &bare.to_uppercase(),
        ] {
            let answer = put(&[value]).await;
            assert_eq!(answer.status, 412, "{value:?}");
            answer.problem(412, "stale");
        }
        for values in [&["\"a\", *"][..], &["*", "\"a\""], &["*, *"], &["*,"]] {
            put(values).await.problem(412, "stale");
        }
        let mut request = Request::put(path).header("content-type", "application/json");
        request = request.header(
            "authorization",
            format!("Bearer {}", api.token("org_acme", "owner")),
        );
        request = request.header("if-match", HeaderValue::from_bytes(b"\"\xFF\"").unwrap());
        owner
            .send(request.body("{}".into()).unwrap())
            .await
            .problem(412, "stale");
        assert_eq!(now().await, current, "no refusal changes anything");
    }
}

#[tokio::test]
async fn every_accepted_put_makes_a_new_tag_and_none_comes_back() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for (path, bodies) in [
        (
            "/agency/branding",
            [
                json!({"footerText": "a"}),
                json!({"footerText": "b"}),
                json!({"footerText": null}),
            ],
        ),
        (
            "/agency/portal-config",
            [
                json!({"featureLogs": true}),
                json!({"featureLogs": false}),
                json!({"featureLogs": null}),
            ],
        ),
    ] {
        let mut tags = vec![tag(&owner.get(path).await)];
        for body in bodies.iter().chain(&bodies).chain([&json!({}), &json!({})]) {
            let answer = owner.put(path, body.clone()).await;
            answer.expect(200);
            tags.push(tag(&answer));
            assert_eq!(
                tag(&owner.get(path).await),
                tag(&answer),
                "a read does not change it"
            );
        }
        let count = tags.len();
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), count);
        // A member sees the same tag; a refused change makes none.
        let current = tag(&owner.get(path).await);
        owner
            .put(path, json!({"x": 1}))
            .await
            .problem(422, "invalid-body");
        assert_eq!(tag(&api.user("org_acme", "member").get(path).await), current);
    }
}

#[tokio::test]
async fn a_tag_of_the_context_follows_its_content_and_tells_nothing_across_tenants() {
    let api = Api::start().await;
    let (acme, other) = (api.agency("org_acme").await, api.agency("org_other").await);
    let context = async |user: &User<'_>| tag(&user.get("/portal/context").await);
    let empty = context(&acme).await;
    assert_ne!(empty, context(&other).await, "equal settings, another tenant");
    acme.put("/agency/branding", json!({})).await.expect(200);
    assert_eq!(
        context(&acme).await,
        empty,
        "the write changed nothing that is shown"
    );
    acme.put("/agency/branding", json!({"footerText": "x"}))
        .await
        .expect(200);
    let full = context(&acme).await;
    assert_ne!(full, empty);
    acme.put("/agency/branding", json!({"footerText": ""}))
        .await
        .expect(200);
    assert_eq!(context(&acme).await, empty, "as before, so the tag is as before");
    acme.put("/agency/portal-config", json!({"featureLogs": false}))
        .await
        .expect(200);
    assert_ne!(context(&acme).await, empty);
    acme.put("/agency/portal-config", json!({"featureLogs": null}))
        .await
        .expect(200);
    acme.subdomain("acme").await;
    assert_ne!(context(&acme).await, empty);
    for path in ["/agency/branding", "/agency/portal-config"] {
        assert_ne!(tag(&acme.get(path).await), tag(&other.get(path).await));
        let headers = [("if-none-match", &*tag(&acme.get(path).await))];
        other.raw(Method::GET, path, &headers, "").await.expect(200);
        let headers = [("if-match", &*tag(&acme.get(path).await))];
        other
            .call(Method::PUT, path, &headers, Some(json!({})))
            .await
            .problem(412, "stale");
    }
}

// Where the API is.

#[tokio::test]
async fn paths_may_have_the_prefix_and_a_location_does() {
    let api = Api::build(System::builder().set("API_BASE_PATH", "/v1/api/")).await;
    let owner = api.agency("org_acme").await;
    assert_eq!(
        owner.get("/v1/api/agency/overview?x=1").await.expect(200),
        owner.get("/agency/overview").await.expect(200)
    );
    for (path, body) in [
        ("/agency/clients", json!({"name": "Acme"})),
        ("/agency/portal-domains", json!({"subdomain": "acme"})),
    ] {
        let created = owner.post(path, body).await;
        let id = created.expect(201)["id"].as_str().unwrap().to_owned();
        let location = format!("/v1/api{path}/{id}");
        assert_eq!(created.header("location"), Some(location.as_str()));
        assert_eq!(owner.get(&location).await.expect(200)["id"], id.as_str());
    }
    let created = owner
        .post("/v1/api/agency/clients", json!({"name": "Acme"}))
        .await;
    created.expect(201);
    assert!(
        created
            .header("location")
            .unwrap()
            .starts_with("/v1/api/agency/clients/cli_")
    );
    owner
        .get("/v1/api/agency/clients?limit=0")
        .await
        .problem(400, "invalid-parameter");
    owner
        .raw(Method::PUT, "/v1/api/agency/overview", &[], "")
        .await
        .problem(405, "method-not-allowed");
    assert_eq!(
        owner.raw(Method::OPTIONS, "/v1/api/health", &[], "").await.status,
        204
    );
    for path in [
        "/v1/api",
        "/v1/api/",
        "/v1/api/v1/api/health",
        "/v1/apihealth",
        "/v1/health",
        "/v1/api//health",
        "/v1/API/health",
        "/api/health",
    ] {
        owner.get(path).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn without_a_prefix_a_location_is_the_path_alone() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for (path, body) in [
        ("/agency/clients", json!({"name": "Acme"})),
        ("/agency/portal-domains", json!({"subdomain": "acme"})),
    ] {
        let created = owner.post(path, body).await;
        let id = created.expect(201)["id"].as_str().unwrap().to_owned();
        assert_eq!(created.header("location"), Some(&*format!("{path}/{id}")));
    }
    owner.get("/api/health").await.problem(404, "not-found");
}

// What is not the client's fault.

/// Words that would tell a stranger what is behind the API.
const INNER_WORDS: [&str; 12] = [
    "dynamo",
    "table",
    "test-",
    "throttl",
    "exceeds",
    "transaction",
    "aws",
    "exception",
    "#1config",
    "panick",
    ".rs",
    "127.0.0.1",
];

fn tells_nothing(answer: &Answer) {
    let text = answer.text.to_lowercase();
    for word in INNER_WORDS {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[tokio::test]
async fn a_table_that_cannot_answer_is_unavailable_and_may_be_asked_again() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    let requests = [
        (Method::GET, "/agency/overview", None),
        (Method::GET, "/agency/branding", None),
        (Method::GET, ABSENT_CLIENT, None),
        (Method::GET, "/agency/clients", None),
        (Method::GET, "/portal/context", None),
        (Method::GET, "/portal/theme.css?host=acme.portal.localhost", None),
        (
            Method::GET,
            "/portal/tls-check?domain=acme.portal.localhost",
            None,
        ),
        (Method::PUT, "/agency/branding", Some(json!({}))),
        (Method::POST, "/agency/clients", Some(json!({"name": "Acme"}))),
        (Method::POST, "/agency/enable", Some(Value::Null)),
    ];
    for (place, (method, path, body)) in requests.into_iter().enumerate() {
        let fault = if place % 2 == 0 {
            Fault::throttle()
        } else {
            Fault::internal_error()
        };
        // The SDK tries four times.
        api.inject(fault.times(4));
        let answer = owner.call(method.clone(), path, &[], body.clone()).await;
        answer.problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
        tells_nothing(&answer);
        assert_eq!(api.proxy().pending(), Vec::<String>::new(), "{path}");
        let again = owner.call(method, path, &[], body).await;
        assert!(!again.status.is_server_error(), "{again:?}");
    }
}

#[tokio::test]
async fn a_passing_fault_of_the_table_is_not_noticed() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    for fault in [
        Fault::throttle(),
        Fault::internal_error(),
        Fault::lose_request(),
        Fault::lose_answer(),
    ] {
        api.inject(fault);
        owner.get("/agency/overview").await.expect(200);
    }
    for (place, fault) in [
        Fault::throttle(),
        Fault::internal_error(),
        Fault::lose_request(),
        Fault::lose_answer(),
        Fault::conflict(),
    ]
    .into_iter()
    .enumerate()
    {
        api.inject(fault.on("TransactWriteItems"));
        let old = tag(&owner.get("/agency/branding").await);
        let body = json!({"footerText": place.to_string()});
        let put = owner
            .call(Method::PUT, "/agency/branding", &[("if-match", &old)], Some(body))
            .await;
        assert_eq!(put.expect(200)["footerText"], place.to_string());
    }
    assert_eq!(api.proxy().pending(), Vec::<String>::new());
    assert_eq!(owner.audit().await.len(), 6, "each write left one entry");
}

#[tokio::test]
async fn a_fault_of_ours_is_internal_and_tells_nothing() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    api.client
        .delete_table()
        .table_name(api.table())
        .send()
        .await
        .unwrap();
    for (method, path, body) in [
        (Method::GET, "/agency/overview", None),
        (Method::GET, "/agency/clients", None),
        (Method::GET, "/portal/context", None),
        (Method::GET, "/portal/branding?host=acme.portal.localhost", None),
        (Method::PUT, "/agency/portal-config", Some(json!({}))),
        (Method::POST, "/agency/clients", Some(json!({"name": "Acme"}))),
    ] {
        let answer = owner.call(method, path, &[], body).await;
        answer.problem(500, "internal");
        assert_eq!(answer.header("retry-after"), None);
        tells_nothing(&answer);
    }
    api.visitor().get("/health").await.expect(200);
}

#[tokio::test]
async fn an_item_that_cannot_be_read_is_internal_and_not_shown() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    let attribute = |text: &str| AttributeValue::S(text.to_owned());
    api.client
        .update_item()
        .table_name(api.table())
        .key("PK", attribute("A#org_acme"))
        .key("SK", attribute("#2BRANDING"))
        .update_expression("SET primaryColor = :bad")
        .expression_attribute_values(":bad", attribute("red;}"))
        .send()
        .await
        .unwrap();
    let public = "/portal/theme.css?host=acme.portal.localhost";
    for path in ["/agency/branding", "/portal/context", public] {
        let answer = owner.get(path).await;
        answer.problem(500, "internal");
        tells_nothing(&answer);
        assert!(!answer.text.contains("red"), "{}", answer.text);
    }
    owner.get("/agency/portal-config").await.expect(200);
}

/// An answer of a router of the test's own behind the edge.
async fn behind_the_edge(api: &Api, method: Method, handlers: Router<shared::app::App>) -> Answer {
    let edge = shared::http::service(handlers, api.app.clone());
    let request = Request::builder()
        .method(method)
        .uri("/agency/overview")
        .body(Body::empty())
        .unwrap();
    let (parts, body) = edge.oneshot(request).await.unwrap().into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer {
        path: "/agency/overview".to_owned(),
        status: parts.status,
        headers: parts.headers,
        text,
    }
}

#[tokio::test]
async fn behind_the_gateway_the_request_id_is_the_gateways() {
    let api = Api::start().await;
    let edge = shared::http::service(Router::new(), api.app.clone());
    let mut context = ApiGatewayV2httpRequestContext::default();
    context.request_id = Some("JKJaXmPLvHcESHA=".to_owned());
    let request = Request::get("/nowhere")
        .header("x-request-id", "mine")
        .extension(RequestContext::ApiGatewayV2(context));
    let response = edge.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "JKJaXmPLvHcESHA=");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["requestId"], "JKJaXmPLvHcESHA=");
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_next_request_is_answered() {
    let api = Api::start().await;
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let handlers = {
        let count = Arc::clone(&count);
        Router::new().route(
            "/agency/overview",
            get(async move || {
                if count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
                    panic!("a secret of the table");
                }
                "fine"
            }),
        )
    };
    let answer = behind_the_edge(&api, Method::GET, handlers.clone()).await;
    answer.problem(500, "internal");
    assert!(!answer.text.contains("secret"));
    tells_nothing(&answer);
    assert_eq!(behind_the_edge(&api, Method::GET, handlers).await.text, "fine");
}

#[tokio::test]
async fn after_14_seconds_a_request_is_answered_whatever_it_waits_for() {
    let api = Api::start().await;
    let handlers = Router::new().route("/agency/overview", post(pending::<&str>).get(pending::<&str>));
    // Nothing here waits for a socket, so that time may pass by itself.
    tokio::time::pause();
    for method in [Method::GET, Method::POST, Method::HEAD] {
        let since = tokio::time::Instant::now();
        let answer = behind_the_edge(&api, method.clone(), handlers.clone()).await;
        assert_eq!(answer.status, 504);
        let waited = since.elapsed();
        assert!((14_000..14_100).contains(&waited.as_millis()), "{waited:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        if method != Method::HEAD {
            answer.problem(504, "timeout");
        }
    }
}
