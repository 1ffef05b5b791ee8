//! The Lambda function `portal`.

use shared::{app::App, config::Config, http, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let app = App::new(Config::from_env()?).await;
    http::run(portal::routes(), app).await
}
