//! The Lambda function `domains`.

use shared::{app::App, config::Config, http, telemetry};
use verification::Network;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let app = App::new(Config::from_env()?).await;
    let network = Network::new(&app.config)?;
    http::run(domains::routes(network), app).await
}
