//! Logs: one JSON object a line, in the form that Lambda's own log format has.

use std::{env, io};

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Writes logs to the standard output, from the level of `RUST_LOG`, else `AWS_LAMBDA_LOG_LEVEL`, else `INFO`.
pub fn init() {
    let directives = ["RUST_LOG", "AWS_LAMBDA_LOG_LEVEL"]
        .into_iter()
        .filter_map(|name| env::var(name).ok())
        .find(|value| !value.is_empty())
        .unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::builder().parse_lossy(directives);
    let layer = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false);
    let layer = layer.with_ansi(false).with_writer(io::stdout);
    // A second call, as by tests of one process, finds a subscriber and leaves it.
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
}
