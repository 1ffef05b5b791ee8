//! The Lambda function `hosts`.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use shared::{app::App, config::Config, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let app = App::new(Config::from_env()?).await;
    let handle = |event: LambdaEvent<Value>| hosts::handle(&app, event);
    lambda_runtime::run(service_fn(handle)).await
}
