//! Alarms and the dashboard: their metrics exist, and the operator's page explains each alarm.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use local::system::System;
use serde_json::{Value, json};
use shared::{store::keys, telemetry};

use super::permissions::FunctionPermissions;
use crate::harness::{
    NO_DOMAIN,
    logs::Lines,
    template::{functions, root, template},
};

/// A metric as an alarm or a widget names it: namespace, name, and the dimensions with what they refer to.
#[derive(Debug, Clone)]
struct Metric {
    /// The alarm, or the widget's title.
    of: String,
    namespace: String,
    name: String,
    dimensions: BTreeMap<String, String>,
}

fn alarms(template: &Value) -> BTreeMap<String, &Value> {
    let resources = template["Resources"].as_object().unwrap();
    resources
        .iter()
        .filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm")
        .map(|(name, alarm)| (name.clone(), &alarm["Properties"]))
        .collect()
}

fn watched(template: &Value) -> Vec<Metric> {
    let mut metrics = Vec::new();
    let mut add = |of: &str, metric: &Value| {
        let dimensions = metric["Dimensions"].as_array().unwrap().iter();
        metrics.push(Metric {
            of: of.to_owned(),
            namespace: metric["Namespace"].as_str().unwrap().to_owned(),
            name: metric["MetricName"].as_str().unwrap().to_owned(),
            dimensions: dimensions
                .map(|dimension| {
                    (
                        dimension["Name"].as_str().unwrap().to_owned(),
                        referred(&dimension["Value"]),
                    )
                })
                .collect(),
        });
    };
    for (name, alarm) in alarms(template) {
        match alarm["Metrics"].as_array() {
            None => add(&name, alarm),
            Some(all) => {
                let stats = all.iter().filter(|metric| metric.get("MetricStat").is_some());
                for metric in stats {
                    add(&name, &metric["MetricStat"]["Metric"]);
                }
            }
        }
    }
    metrics
}

/// The logical id in `!Ref X`, `!GetAtt X.Y` or the first variable of `!Sub`; a literal as it is.
fn referred(value: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match value {
        Value::Object(tag) if tag.contains_key("Ref") => text(&tag["Ref"]),
        Value::Object(tag) if tag.contains_key("GetAtt") => {
            text(&tag["GetAtt"]).split('.').next().unwrap().to_owned()
        }
        Value::Object(tag) if tag.contains_key("Sub") => text(&tag["Sub"])
            .trim_start_matches("${")
            .split('}')
            .next()
            .unwrap()
            .to_owned(),
        Value::Object(tag) if tag.contains_key("If") => referred(&tag["If"][1]),
        other => text(other),
    }
}

/// The metrics of the dashboard's widgets.
fn shown(template: &Value) -> Vec<Metric> {
    let sub = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Sub"][0].as_str();
    let body: Value = serde_json::from_str(sub.unwrap()).unwrap();
    let mut metrics = Vec::new();
    for widget in body["widgets"].as_array().unwrap() {
        for metric in widget["properties"]["metrics"].as_array().into_iter().flatten() {
            let mut words = metric.as_array().unwrap().iter().filter_map(Value::as_str);
            let Some(namespace) = words.next() else {
                continue; // An expression over others.
            };
            let name = words.next().unwrap().to_owned();
            let words: Vec<_> = words
                .map(|word| word.trim_matches(['$', '{', '}']).to_owned())
                .collect();
            metrics.push(Metric {
                of: widget["properties"]["title"].as_str().unwrap().to_owned(),
                namespace: namespace.to_owned(),
                name,
                dimensions: words
                    .chunks(2)
                    .map(|pair| (pair[0].clone(), pair[1].clone()))
                    .collect(),
            });
        }
    }
    metrics
}

/// A namespace of AWS's, its metrics, and the dimensions that these come with.
type Namespace = (
    &'static str,
    &'static [&'static str],
    &'static [&'static [&'static str]],
);

/// The metrics of AWS that are watched here.
const AWS: &[Namespace] = &[
    (
        "AWS/ApiGateway",
        &["4xx", "5xx", "Count", "Latency", "IntegrationLatency"],
        &[&["ApiId"]],
    ),
    (
        "AWS/Lambda",
        &["Errors", "Throttles", "Invocations", "Duration"],
        &[&["FunctionName"], &["FunctionName", "Resource"]],
    ),
    (
        "AWS/DynamoDB",
        &[
            "ReadThrottleEvents",
            "WriteThrottleEvents",
            "ConsumedReadCapacityUnits",
            "ConsumedWriteCapacityUnits",
        ],
        &[&["TableName"], &["GlobalSecondaryIndexName", "TableName"]],
    ),
    ("AWS/SQS", &["NumberOfMessagesSent"], &[&["QueueName"]]),
];

/// The metrics that the log lines of each function define, by the function's logical id.
async fn emitted(template: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut emitted = BTreeMap::new();
    for (name, function) in logical_ids(template) {
        let lines = Lines::collect();
        let system = System::start().await;
        match name {
            "reverify" => drop(system.reverify().await),
            "hosts" => {} // Its alarms use Lambda's own metrics.
            "domains" => {
                let function = FunctionPermissions::new(&system, name);
                function.get("org_a", "/").await;
                let verify = format!("/agency/portal-domains/{NO_DOMAIN}/verify");
                function.post("org_a", &verify, json!({})).await;
            }
            _ => drop(FunctionPermissions::new(&system, name).get("org_a", "/").await),
        }
        let lines = lines.end();
        let metrics = lines.iter().flat_map(|line| {
            assert_eq!(line[telemetry::DIMENSION], "api");
            let definition = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(definition["Namespace"], telemetry::NAMESPACE);
            assert_eq!(definition["Dimensions"], json!([[telemetry::DIMENSION]]));
            let metrics = definition["Metrics"].as_array().unwrap().clone();
            metrics
                .into_iter()
                .map(|metric| metric["Name"].as_str().unwrap().to_owned())
        });
        emitted.insert(function, metrics.collect());
    }
    emitted
}

/// The metrics that filters make of the access log, by namespace and name. Their dimension is the API's id.
fn filtered(template: &Value) -> BTreeSet<(String, String)> {
    let format = template["Resources"]["Api"]["Properties"]["AccessLogSettings"]["Format"]["Sub"][0].as_str();
    let mut metrics = BTreeSet::new();
    for filter in template["Resources"].as_object().unwrap().values() {
        if filter["Type"] == "AWS::Logs::MetricFilter" {
            let filter = &filter["Properties"];
            let pattern = filter["FilterPattern"].as_str().unwrap();
            let fields = pattern.split("$.").skip(1);
            for field in fields
                .map(|field| field.split([' ', ')']).next().unwrap())
                .chain(["apiId"])
            {
                let field = format!("\"{field}\":");
                assert!(format.unwrap().contains(&field), "the access log lacks {field}");
            }
            let metric = &filter["MetricTransformations"][0];
            assert_eq!(
                metric["Dimensions"],
                json!([{"Key": "ApiId", "Value": "$.apiId"}])
            );
            let text = |name: &str| metric[name].as_str().unwrap().to_owned();
            metrics.insert((text("MetricNamespace"), text("MetricName")));
        }
    }
    metrics
}

/// The functions' logical ids by their binaries' names.
fn logical_ids(template: &Value) -> BTreeMap<&str, String> {
    let resources = template["Resources"].as_object().unwrap();
    let functions = resources
        .iter()
        .filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function");
    functions
        .map(|(id, function)| {
            (
                function["Metadata"]["BuildProperties"]["Binary"]
                    .as_str()
                    .unwrap(),
                id.clone(),
            )
        })
        .collect()
}

#[tokio::test]
async fn every_metric_of_an_alarm_or_widget_exists() {
    let template = template();
    let emitted = emitted(&template).await;
    let resources = template["Resources"].as_object().unwrap();
    let parameters = template["Parameters"].as_object().unwrap();
    let (watched, shown, filtered) = (watched(&template), shown(&template), filtered(&template));
    assert!(!watched.is_empty() && !shown.is_empty());
    for metric in watched.iter().chain(&shown) {
        let names: Vec<&str> = metric.dimensions.keys().map(String::as_str).collect();
        if filtered.contains(&(metric.namespace.clone(), metric.name.clone())) {
            assert_eq!(names, ["ApiId"], "{metric:?}");
        } else if metric.namespace == telemetry::NAMESPACE {
            assert_eq!(names, [telemetry::DIMENSION], "{metric:?}");
            let function = &metric.dimensions[telemetry::DIMENSION];
            assert!(
                emitted[function].contains(&metric.name),
                "{}: {metric:?} is not emitted",
                metric.of
            );
        } else {
            let known = AWS.iter().any(|(namespace, metrics, dimensions)| {
                *namespace == metric.namespace
                    && metrics.contains(&metric.name.as_str())
                    && dimensions.contains(&&names[..])
            });
            assert!(known, "{}: {metric:?} is no metric of AWS", metric.of);
        }
        for (name, of) in &metric.dimensions {
            let literal = name == "GlobalSecondaryIndexName"
                && [keys::DUE_INDEX, keys::HOSTS_INDEX].contains(&of.as_str());
            let of_dashboard = of == "Name"; // The table's name, given to !Sub.
            let known = resources.contains_key(of) || parameters.contains_key(of);
            assert!(literal || of_dashboard || known, "{metric:?}");
        }
    }
}

#[test]
fn the_alarm_of_hosts_rings_if_an_edge_polls_every_five_minutes_and_each_poll_fails() {
    let template = template();
    let alarm = alarms(&template)["HostsFaults"];
    let number = |value: &Value| value.as_u64().unwrap();
    let seconds = number(&alarm["EvaluationPeriods"]) * number(&alarm["Metrics"][0]["MetricStat"]["Period"]);
    assert!(seconds / 300 >= number(&alarm["DatapointsToAlarm"]));
    assert_eq!(
        alarm["Threshold"], 0,
        "one failed invocation is enough in a period"
    );
}

#[test]
fn every_alarm_has_an_action_and_is_on_the_operators_page() {
    let template = template();
    let page = fs::read_to_string(root().join("OPERATIONS.md")).unwrap();
    let alarms = alarms(&template);
    assert!(!alarms.is_empty());
    for (name, alarm) in &alarms {
        assert!(!alarm["AlarmDescription"].as_str().unwrap().is_empty());
        assert_eq!(alarm["AlarmActions"], json!([{"Ref": "AlarmTopic"}]), "{name}");
        assert!(
            alarm["TreatMissingData"].is_string(),
            "{name}: no data is a decision"
        );
        if name == "NeverRings" {
            assert!(page.contains("`NeverRings`"));
            continue;
        }
        let name = format!("`{name}`");
        let row =
            |line: &&str| line.starts_with('|') && line.contains(&name) && line.matches('|').count() == 5;
        assert!(
            page.lines().any(|line| row(&line)),
            "OPERATIONS.md has no row of {name}"
        );
        let heading = |line: &str| line.starts_with("### ") && line.contains(&name);
        assert!(
            page.lines().any(heading),
            "OPERATIONS.md does not say what to do at {name}"
        );
    }
    for (name, function) in functions(&template) {
        let watched = &function["Properties"]["DeploymentPreference"]["Alarms"][0]["If"][1]["Ref"];
        assert!(
            alarms.contains_key(watched.as_str().unwrap()),
            "{name} is deployed without an alarm"
        );
    }
}
