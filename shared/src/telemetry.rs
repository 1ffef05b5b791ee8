//! Logs and metrics: one JSON object per line, in Lambda's JSON log format.
//!
//! Events of the target [`METRICS`] are log lines and metrics: CloudWatch extracts the fields in [`UNITS`] by its embedded
//! metric format. They are written at every log level, because alarms depend on them.

use std::{
    env, fmt, io, panic,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{
                BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
                FinalizerInterceptorContextRef,
            },
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    Layer,
    field::VisitOutput,
    filter::{FilterExt, LevelFilter, Targets, filter_fn},
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::{JsonVisitor, Writer},
    },
    prelude::*,
    registry::LookupSpan,
};

use crate::auth::Tenant;

/// The target of events with metrics.
pub const METRICS: &str = "metrics";

/// The namespace of the metrics.
pub const NAMESPACE: &str = "AgencyApi";

/// The only dimension of the metrics: the function's name.
pub const DIMENSION: &str = "FunctionName";

/// The metrics and their CloudWatch units. A metric has the name of its field.
pub const UNITS: &[(&str, &str)] = &[
    // A request.
    ("latencyMs", "Milliseconds"),
    ("verifyMs", "Milliseconds"),
    ("dynamodbMs", "Milliseconds"),
    ("dynamodbRequests", "Count"),
    ("coldStart", "Count"),
    ("serverErrors", "Count"),
    // A check by `verify`, or a sweep.
    ("resolverFailed", "Count"),
    // A sweep.
    ("due", "Count"),
    ("checked", "Count"),
    ("pending", "Count"),
    ("verified", "Count"),
    ("failing", "Count"),
    ("failed", "Count"),
    ("moved", "Count"),
    ("lapsed", "Count"),
    ("targetResolved", "Count"),
    ("unknown", "Count"),
    ("unreadable", "Count"),
    ("left", "Count"),
    ("oldestDueSeconds", "Seconds"),
    ("ms", "Milliseconds"),
];

/// Our own crates. Lines of other crates below `INFO` are never written, because they can contain tokens and bodies.
pub const OURS: &[&str] = &[
    METRICS, "shared", "agency", "branding", "clients", "portal", "domains", "reverify", "hosts",
];

/// Writes logs to the standard output. The level is `RUST_LOG`, else `AWS_LAMBDA_LOG_LEVEL`, else `INFO`.
pub fn init() {
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let directives = set("RUST_LOG").or_else(|| set("AWS_LAMBDA_LOG_LEVEL"));
    let function = FunctionVersion {
        name: set("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|| "local".to_owned()),
        version: set("AWS_LAMBDA_FUNCTION_VERSION"),
    };
    let layer = layer(directives.as_deref().unwrap_or("info"), function, io::stdout);
    // Tests call this several times in one process. The first subscriber stays.
    let _ = tracing_subscriber::registry().with(layer).try_init();
    // Only the location is logged, because a panic's message can contain request data.
    panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "panicked");
    }));
}

/// The function whose log lines these are.
#[derive(Debug, Clone)]
pub struct FunctionVersion {
    /// The dimension of the metrics.
    pub name: String,
    /// The version that Lambda runs, to tell the versions of a canary apart.
    pub version: Option<String>,
}

/// The layer that writes the log lines of `function`. `directives` are levels by module, as in `warn,shared::auth=info`. What is not
/// one is ignored, and so is an empty one.
pub fn layer<S, W>(directives: &str, function: FunctionVersion, writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let valid = directives
        .split(',')
        .filter(|text| !text.is_empty() && text.parse::<Targets>().is_ok());
    let levels: Targets = valid.collect::<Vec<_>>().join(",").parse().unwrap_or_default();
    let levels = levels.with_target(METRICS, LevelFilter::INFO);
    let hides_payloads = filter_fn(|line| {
        let crate_name = line.target().split("::").next().unwrap_or_default();
        *line.level() <= Level::INFO || OURS.contains(&crate_name)
    });
    tracing_subscriber::fmt::layer()
        .event_format(JsonLines { function })
        .with_writer(writer)
        .with_filter(levels.and(hides_payloads))
}

struct JsonLines {
    function: FunctionVersion,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        const MILLIS: &[BorrowedFormatItem<'_>] =
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        let mut line = fields(event)?;
        let now = OffsetDateTime::now_utc();
        if event.metadata().target() == METRICS {
            self.embed(&mut line, now);
        }
        let metadata = event.metadata();
        let mut put = |name: &str, value: String| line.insert(name.to_owned(), value.into());
        put("timestamp", now.format(MILLIS).unwrap_or_default());
        put("level", metadata.level().to_string());
        put("target", metadata.target().to_owned());
        let _ = CURRENT.try_with(|scope| {
            put("requestId", scope.0.request_id.clone());
            if let Some(trace) = &scope.0.trace_id {
                put("traceId", trace.clone());
            }
            if let Some(tenant) = scope.0.tenant.get() {
                put("tenant", tenant.clone());
            }
        });
        writeln!(out, "{}", Value::Object(line))
    }
}

impl JsonLines {
    /// Adds the embedded metric format's definition of the line's metrics.
    fn embed(&self, line: &mut Map<String, Value>, now: OffsetDateTime) {
        let metrics: Vec<_> = UNITS
            .iter()
            .filter(|(name, _)| line.contains_key(*name))
            .map(|(name, unit)| json!({"Name": name, "Unit": unit}))
            .collect();
        let definition = json!({
            "Timestamp": now.unix_timestamp() * 1000 + i64::from(now.millisecond()),
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": metrics}],
        });
        line.insert("_aws".to_owned(), definition);
        line.insert(DIMENSION.to_owned(), self.function.name.as_str().into());
        if let Some(version) = &self.function.version {
            line.insert("version".to_owned(), version.as_str().into());
        }
    }
}

/// The fields of an event, as a JSON object.
fn fields(event: &Event<'_>) -> Result<Map<String, Value>, fmt::Error> {
    let mut object = String::new();
    let mut visitor = JsonVisitor::new(&mut object);
    event.record(&mut visitor);
    visitor.finish()?;
    serde_json::from_str(&object).map_err(|_| fmt::Error)
}

tokio::task_local! {
    static CURRENT: Scope;
}

/// The log context and the DynamoDB measurements of one request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scope(Arc<Measurements>);

#[derive(Debug, Default)]
struct Measurements {
    request_id: String,
    trace_id: Option<String>,
    tenant: OnceLock<String>,
    dynamodb_micros: AtomicU64,
    dynamodb_requests: AtomicU64,
    resolver_failed: AtomicBool,
}

impl Scope {
    /// The scope of a request with this id. `trace` is Lambda's X-Ray header: `Root=1-…;Parent=…;Sampled=1`.
    pub fn new(request_id: impl Into<String>, trace: Option<&str>) -> Self {
        let root = |trace: &str| {
            trace
                .split(';')
                .find_map(|part| part.strip_prefix("Root=").map(str::to_owned))
        };
        Self(Arc::new(Measurements {
            request_id: request_id.into(),
            trace_id: trace.and_then(root),
            ..Measurements::default()
        }))
    }

    /// Runs the request's work in this scope.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        CURRENT.scope(self.clone(), work).await
    }

    /// The total duration of the DynamoDB calls, including the SDK's retries and backoff. Concurrent calls are added up.
    pub fn dynamodb_time(&self) -> Duration {
        Duration::from_micros(self.0.dynamodb_micros.load(Ordering::Relaxed))
    }

    /// The number of requests to DynamoDB, including retries.
    pub fn dynamodb_requests(&self) -> u64 {
        self.0.dynamodb_requests.load(Ordering::Relaxed)
    }

    /// Whether the DNS check of the request ended because no resolver answered.
    pub fn resolver_failed(&self) -> bool {
        self.0.resolver_failed.load(Ordering::Relaxed)
    }
}

/// Notes for the current request's log line that no DNS resolver answered.
pub fn resolver_failed() {
    let _ = CURRENT.try_with(|scope| scope.0.resolver_failed.store(true, Ordering::Relaxed));
}

/// Adds the tenant to the log lines of the current request.
pub fn tenant(tenant: &Tenant) {
    let id = match tenant {
        Tenant::Agency(org) => org.to_string(),
        Tenant::Client(client) => client.to_string(),
        Tenant::NoOrganization => return,
    };
    let _ = CURRENT.try_with(|scope| scope.0.tenant.set(id));
}

/// True on the process's first call.
pub fn is_cold_start() -> bool {
    static WARM: AtomicBool = AtomicBool::new(false);
    !WARM.swap(true, Ordering::Relaxed)
}

/// Milliseconds with one decimal.
pub fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// The interceptor that measures DynamoDB calls in the current scope.
#[derive(Debug)]
pub struct DynamoDbMeter;

#[derive(Debug)]
struct StartedAt(Instant);

impl Storable for StartedAt {
    type Storer = StoreReplace<Self>;
}

impl Intercept for DynamoDbMeter {
    fn name(&self) -> &'static str {
        "DynamoDbMeter"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(StartedAt(Instant::now()));
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let _ = CURRENT.try_with(|scope| scope.0.dynamodb_requests.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }

    fn read_after_execution(
        &self,
        _: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(StartedAt(start)) = config.load::<StartedAt>() {
            let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            let _ = CURRENT.try_with(|scope| scope.0.dynamodb_micros.fetch_add(micros, Ordering::Relaxed));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` writes.
    fn lines(directives: &str, work: impl FnOnce()) -> Vec<Value> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let function = FunctionVersion {
            name: "api-portal-1".to_owned(),
            version: Some("7".to_owned()),
        };
        let layer = layer(directives, function, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        let written = buffer.0.lock().unwrap();
        let text = std::str::from_utf8(&written).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_has_what_lambda_looks_for_at_its_root() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let lines = lines("info", || {
            tracing::info!(answer = 42, "outside");
            let trace = Some("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1");
            runtime.block_on(Scope::new("Id=", trace).run(async {
                tenant(&Tenant::Agency("org_1".parse().unwrap()));
                tracing::error!(error = "a \"quoted\"\nword", "inside");
            }));
        });
        let [outside, inside] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert_eq!(outside["message"], "outside");
        assert_eq!(outside["level"], "INFO");
        assert_eq!(outside["answer"], 42);
        assert_eq!(outside.get("requestId"), None);
        assert_eq!(inside["level"], "ERROR");
        assert_eq!(inside["requestId"], "Id=");
        assert_eq!(inside["traceId"], "1-5759e988-bd862e3fe1be46a994272793");
        assert_eq!(outside.get("traceId"), None);
        assert_eq!(inside["tenant"], "org_1");
        assert_eq!(inside["error"], "a \"quoted\"\nword");
        assert_eq!(inside.get("_aws"), None);
        let timestamp = inside["timestamp"].as_str().unwrap();
        assert_eq!(timestamp.len(), "2026-11-25T22:00:00.000Z".len());
        OffsetDateTime::parse(timestamp, &time::format_description::well_known::Rfc3339).unwrap();
    }

    #[test]
    fn metrics_are_fields_of_a_line_that_is_written_at_any_level() {
        let lines = lines("error,metrics=off", || {
            tracing::info!("not this");
            tracing::info!(target: METRICS, latencyMs = 1.5, route = "/health", "answered");
        });
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(line["latencyMs"], 1.5);
        assert_eq!(line["route"], "/health");
        assert_eq!(line["FunctionName"], "api-portal-1");
        assert_eq!(line["version"], "7");
        assert_eq!(
            line["_aws"]["CloudWatchMetrics"],
            json!([{
                "Namespace": "AgencyApi",
                "Dimensions": [["FunctionName"]],
                "Metrics": [{"Name": "latencyMs", "Unit": "Milliseconds"}],
            }])
        );
        assert!(line["_aws"]["Timestamp"].as_i64().unwrap() > 1_700_000_000_000);
    }

    #[test]
    fn levels_are_by_module() {
        for directives in ["warn,shared::auth=info,", "shared::auth=info,,warn,a=b=c,b=loud"] {
            let lines = lines(directives, || {
                tracing::info!("not this");
                tracing::debug!(target: "shared::auth::keys", "not this");
                tracing::info!(target: "shared::auth::keys", "kept");
                tracing::warn!("kept");
            });
            assert!(lines.iter().all(|line| line["message"] == "kept"), "{lines:?}");
            assert_eq!(lines.len(), 2, "{directives}");
        }
    }

    #[test]
    fn others_do_not_say_what_they_send() {
        let lines = lines("trace", || {
            tracing::trace!(target: "aws_smithy_runtime::client", "a body");
            tracing::debug!(target: "hyper", "a header");
            tracing::info!(target: "hyper", "kept");
            tracing::trace!(target: "shared::store", "kept");
        });
        assert!(lines.iter().all(|line| line["message"] == "kept"), "{lines:?}");
        assert_eq!(lines.len(), 2);
    }
}
