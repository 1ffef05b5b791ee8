//! The Lambda function `reverify`.

use lambda_runtime::{LambdaEvent, service_fn};
use reverify::SweepEvent;
use shared::{app::App, config::Config, telemetry};
use verification::Network;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let app = App::new(Config::from_env()?).await;
    let network = Network::new(&app.config)?;
    let handle = |event: LambdaEvent<SweepEvent>| reverify::handle(&app, &network, event);
    lambda_runtime::run(service_fn(handle)).await
}
