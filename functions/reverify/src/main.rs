//! The Lambda function `reverify`.

use lambda_runtime::{LambdaEvent, service_fn};
use reverify::Event;
use shared::{app::App, config::Config, telemetry};
use verification::Dns;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let app = App::new(Config::from_env()?).await;
    let dns = Dns::new(&app.config.dns)?;
    let handle = |event: LambdaEvent<Event>| reverify::handle(&app, &dns, event);
    lambda_runtime::run(service_fn(handle)).await
}
