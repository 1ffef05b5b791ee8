//! The Lambda function `domains`.

use shared::{app::App, config::Config, http, telemetry};
use verification::Dns;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let app = App::new(Config::from_env()?).await;
    let dns = Dns::new(&app.config.dns)?;
    http::run(domains::router(dns).into(), app).await
}
