//! Runs the scheduled function, which EventBridge Scheduler invokes in AWS. Here the server runs it each minute, and
//! `cargo local reverify` requests a run from the running server.

use std::{
    io::{self, Write},
    time::Duration,
};

use axum::{Router, extract::Request, http::StatusCode, response::IntoResponse, routing::post};
use reverify::{Report, Selection};
use shared::{
    app::{App, Clock},
    models::time::Timestamp,
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use verification::Network;

use crate::{invocation, template::causes};

/// A route of the local server only.
const PATH: &str = "/local/reverify";
/// The deadline of one run.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// The rate of the schedule in `template.yaml`.
const MINUTE: Duration = Duration::from_secs(60);

/// Runs the function once, with `at` as the present time.
///
/// # Errors
/// The table cannot be read.
pub async fn run(app: &App, network: &Network, at: Option<Timestamp>) -> Result<Report, String> {
    let mut app = app.clone();
    if let Some(at) = at {
        app.clock = Clock::Set(std::sync::Arc::new(at.millis().into()));
    }
    let report = reverify::sweep(&app, network, &Selection::default(), TIME_LIMIT).await;
    report.map_err(|error| causes(&error))
}

/// The ticks of the schedule. The first one is in a minute.
pub(crate) fn each_minute() -> Interval {
    let mut ticks = interval_at(Instant::now() + MINUTE, MINUTE);
    // By default, the ticks that a long run misses follow it at once, and so would as many runs.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Runs the function at each tick, and never returns. Reports an error in one line on standard error.
pub(crate) async fn schedule(app: &App, network: &Network, mut ticks: Interval) {
    loop {
        ticks.tick().await;
        if let Err(error) = run(app, network, None).await {
            // A closed standard error does not stop the server.
            let _ = writeln!(io::stderr(), "the scheduled run failed: {error}");
        }
    }
}

/// `POST /local/reverify?at=TIME`.
pub(crate) fn routes(app: App, network: Network) -> Router {
    let handler = move |request: Request| {
        let (app, network) = (app.clone(), network.clone());
        async move {
            let at = request.uri().query().and_then(|query| query.strip_prefix("at="));
            match at.map(str::parse).transpose() {
                Ok(at) => invocation::render(run(&app, &network, at).await),
                Err(_) => (StatusCode::BAD_REQUEST, "at is not a time").into_response(),
            }
        }
    };
    Router::new().route(PATH, post(handler))
}

/// Requests a run from the server at `address` (`host:port`), and returns its report as JSON.
///
/// # Errors
/// The connection fails, or the server returns an error.
pub async fn request(address: &str, at: Option<Timestamp>) -> Result<String, String> {
    let query = at.map(|at| format!("?at={at}")).unwrap_or_default();
    invocation::request(address, &format!("{PATH}{query}"), "").await
}

#[cfg(test)]
mod tests {
    use tokio::{
        task::yield_now,
        time::{interval, sleep, timeout},
    };

    use super::*;
    use crate::{
        fault::Fault,
        system::{self, System},
    };

    #[tokio::test(start_paused = true)]
    async fn the_schedule_begins_in_a_minute_and_has_no_more_runs_after_a_long_one() {
        let start = Instant::now();
        let mut ticks = each_minute();
        let mut runs = Vec::new();
        for seconds in [1, 1, 150, 1, 1] {
            ticks.tick().await;
            runs.push(start.elapsed().as_secs());
            sleep(Duration::from_secs(seconds)).await;
        }
        assert_eq!(runs, [60, 120, 180, 330, 390]);
    }

    #[tokio::test]
    async fn an_error_of_a_run_does_not_end_the_schedule() {
        let system = System::start_counted().await;
        let network = system::network(&system.app).unwrap();
        let fault = || Fault::server_error(400, "ValidationException").on("Query");
        system.inject(fault());
        run(&system.app, &network, None).await.unwrap_err();
        system.inject(fault());
        let several_runs = async {
            // A run sends one query for each of the 16 shards.
            while system.proxy().count() < 100 {
                yield_now().await;
            }
        };
        tokio::select! {
            () = schedule(&system.app, &network, interval(Duration::from_millis(1))) => unreachable!("it never returns"),
            ended = timeout(MINUTE, several_runs) => ended.unwrap(),
        }
    }
}
