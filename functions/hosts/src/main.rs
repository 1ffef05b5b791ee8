//! The Lambda function `hosts`.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use shared::{app::App, config::Config, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let app = App::new(Config::from_env()?).await;
    // The box keeps the type of the future within the compiler's limit of depth.
    let handle = async |event: LambdaEvent<Value>| hosts::respond(Box::pin(hosts::handle(&app, event)).await);
    lambda_runtime::run(service_fn(handle)).await
}
