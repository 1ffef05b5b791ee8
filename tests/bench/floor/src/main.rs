//! The least program that answers a request as the functions do: an SDK client from the environment, one ES256 token, one
//! `GetItem`. It has no errors of its own, no routes and no logs. `tests/bench/start` measures the functions beside it.

use std::{env, sync::Arc};

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::{Client, types::AttributeValue};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::JwkSet};
use lambda_http::{Error, Request, Response, http::header::AUTHORIZATION, service_fn};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, Clone)]
struct Claims {
    org_id: String,
}

struct FloorApp {
    client: Client,
    table: String,
    key: DecodingKey,
    validation: Validation,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let keys: JwkSet = serde_json::from_str(&env::var("AUTH_JWKS")?)?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[env::var("AUTH_AUDIENCE")?]);
    validation.set_issuer(&[env::var("AUTH_ISSUER")?]);
    let app = Arc::new(FloorApp {
        client: Client::new(&aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await),
        table: env::var("TABLE_NAME")?,
        key: DecodingKey::from_jwk(keys.keys.first().ok_or("AUTH_JWKS has no key")?)?,
        validation,
    });
    lambda_http::run(service_fn(move |request| answer(Arc::clone(&app), request))).await
}

async fn answer(app: Arc<FloorApp>, request: Request) -> Result<Response<String>, Error> {
    let header = request.headers().get(AUTHORIZATION).ok_or("no token")?.to_str()?;
    let token = header.strip_prefix("Bearer ").ok_or("no bearer token")?;
    let claims = decode::<Claims>(token, &app.key, &app.validation)?.claims;
    let found = app
        .client
        .get_item()
        .table_name(&app.table)
        .key("PK", AttributeValue::S(format!("A#{}", claims.org_id)))
        .key("SK", AttributeValue::S("#3AGENCY".to_owned()))
        .consistent_read(true)
        .send()
        .await?;
    let item: Value = serde_dynamo::from_item(found.item.ok_or("no agency")?)?;
    let response = Response::builder().header("content-type", "application/json");
    Ok(response.body(item.to_string())?)
}
