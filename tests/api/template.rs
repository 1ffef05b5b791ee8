//! What the template allows, watches and protects is held equal to what the functions do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{Router, body::Body};
use http::{Method, Request};
use http_body_util::BodyExt;
use local::{
    fault::{Fault, Request as Sent},
    system::System,
};
use serde_json::{Value, json};
use shared::{http::service, store::keys, telemetry};
use tower::ServiceExt;

use crate::{
    drift::{functions, root, template},
    harness::Api,
    lifecycle,
    logs::Lines,
    replay,
};

/// An action on the table, or on an index of it.
type Permission = (String, Option<String>);

fn permissions(sent: Vec<Sent>) -> BTreeSet<Permission> {
    let actions = |sent: Sent| {
        let index = sent.index().map(str::to_owned);
        let actions = sent.permissions().into_iter();
        actions.map(move |action| (action, index.clone()))
    };
    sent.into_iter().flat_map(actions).collect()
}

/// What each function's role allows on the table.
fn allowed(template: &Value) -> BTreeMap<String, BTreeSet<Permission>> {
    let list = |value: &Value| match value {
        Value::Array(items) => items.clone(),
        other => vec![other.clone()],
    };
    let resources = &template["Resources"];
    functions(template)
        .into_iter()
        .map(|(name, function)| {
            let role = function["Properties"]["Role"]["GetAtt"].as_str().unwrap();
            let role = &resources[role.strip_suffix(".Arn").unwrap()];
            let mut permissions = BTreeSet::new();
            for policy in role["Properties"]["Policies"].as_array().unwrap() {
                for statement in policy["PolicyDocument"]["Statement"].as_array().unwrap() {
                    assert_eq!(statement["Effect"], "Allow");
                    for action in list(&statement["Action"]) {
                        let action = action.as_str().unwrap();
                        assert!(!action.contains('*'), "{name}: {action}");
                        let Some(action) = action.strip_prefix("dynamodb:") else {
                            continue;
                        };
                        let resource = statement["Resource"].to_string();
                        assert!(!resource.contains("table/*"), "{name}: {resource}");
                        let index = resource.contains("/index/").then(|| keys::DUE_INDEX.to_owned());
                        if index.is_some() {
                            assert!(resource.contains(&format!("/index/{}", keys::DUE_INDEX)));
                        }
                        permissions.insert((action.to_owned(), index));
                    }
                }
            }
            (name, permissions)
        })
        .collect()
}

/// One function of a system, called by users.
struct Function<'a> {
    system: &'a System,
    router: Router,
    name: &'a str,
}

impl<'a> Function<'a> {
    fn new(system: &'a System, name: &'a str) -> Self {
        let edge = service(replay::router(&system.app, name).into(), system.app.clone());
        Self {
            system,
            router: Router::new().fallback_service(edge),
            name,
        }
    }

    async fn call(
        &self,
        org: &str,
        method: Method,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(
                "authorization",
                format!("Bearer {}", self.system.token(org, "owner")),
            )
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn get(&self, org: &str, path: &str) -> (u16, Value) {
        self.call(org, Method::GET, path, Value::Null, &[]).await
    }

    async fn post(&self, org: &str, path: &str, body: Value) -> (u16, Value) {
        self.call(org, Method::POST, path, body, &[]).await
    }
}

/// Does things to a system, and remembers which function asked for what.
struct Watch {
    seen: BTreeMap<String, BTreeSet<Permission>>,
}

impl Watch {
    fn note(&mut self, system: &System, function: &str) {
        let seen = permissions(system.proxy().take_requests());
        self.seen.entry(function.to_owned()).or_default().extend(seen);
    }

    async fn replay(&mut self) {
        let system = replay::build(System::builder().counted()).await;
        let mut ids = BTreeMap::<String, String>::new();
        for step in replay::json("replay.json").as_array().unwrap() {
            let name = step["event"].as_str().unwrap();
            let function = name.split('/').next().unwrap();
            let mut event = replay::json(&format!("{name}.json"));
            if event.get("requestContext").is_none() {
                continue; // The schedule's.
            }
            if let Some(from) = step["id"].as_str() {
                event = replay::with_id(event, &ids[from]);
            }
            let answer = replay::invoke(&system.app, function, event).await;
            self.note(&system, function);
            let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            if let Some(id) = body["id"].as_str() {
                ids.insert(name.to_owned(), id.to_owned());
            }
        }
    }

    /// What events alone do not reach: refusals, second tries, other organizations, DNS.
    async fn explore(&mut self) {
        let system = System::builder().counted().set("MAX_DOMAINS", "4").start().await;
        let function = |name| Function::new(&system, name);
        let (agency, branding, clients) = (function("agency"), function("branding"), function("clients"));
        let (portal, domains) = (function("portal"), function("domains"));
        for org in ["org_a", "org_a", "org_b"] {
            agency.post(org, "/agency/enable", json!({})).await;
        }
        agency.get("org_a", "/agency/audit?limit=1").await;
        self.note(&system, "agency");

        let put = |colour: &str| json!({"primaryColor": colour});
        for headers in [&[][..], &[("if-match", "\"stale\"")], &[("if-match", "*")]] {
            branding
                .call("org_a", Method::PUT, "/agency/branding", put("#000"), headers)
                .await;
        }
        self.note(&system, "branding");

        let (_, client) = clients
            .post("org_a", "/agency/clients", json!({"name": "One"}))
            .await;
        let client_id = client["id"].as_str().unwrap().to_owned();
        let path = format!("/agency/clients/{client_id}");
        for (name, slug) in [("One", None), ("Two", Some("one")), ("Two", Some("two"))] {
            let body = json!({"name": name, "slug": slug});
            clients.post("org_a", "/agency/clients", body).await;
        }
        for body in [json!({"name": "A"}), json!({"name": "A"}), json!({"name": "B"})] {
            let key = [("idempotency-key", "k")];
            clients
                .call("org_a", Method::POST, "/agency/clients", body, &key)
                .await;
        }
        for body in [
            json!({"slug": "two"}),
            json!({"slug": "new"}),
            json!({"name": "New"}),
        ] {
            clients.call("org_a", Method::PATCH, &path, body, &[]).await;
        }
        let (_, page) = clients.get("org_a", "/agency/clients?limit=1").await;
        let cursor = page["nextCursor"].as_str().unwrap();
        clients
            .get("org_a", &format!("/agency/clients?cursor={cursor}"))
            .await;
        clients.get("org_a", "/agency/clients?slug=new").await;
        clients.get("org_a", "/agency/clients?slug=none").await;
        clients.get("org_b", &path).await;
        self.note(&system, "clients");

        portal.get(&client_id, "/portal/context").await;
        portal
            .get("cli_0193575b-8c00-7000-8000-000000000001", "/portal/context")
            .await;
        portal.get("org_none", "/portal/context").await;
        for host in ["none.example.test", "x.portal.localhost"] {
            portal
                .get("org_a", &format!("/portal/branding?host={host}"))
                .await;
        }
        let stale = [("if-match", "\"stale\"")];
        portal
            .call(
                "org_a",
                Method::PUT,
                "/agency/portal-config",
                json!({"featureLogs": false}),
                &stale,
            )
            .await;
        self.note(&system, "portal");

        self.domains(&system, &domains).await;
        clients
            .call("org_a", Method::DELETE, &path, Value::Null, &[])
            .await;
        clients
            .call("org_a", Method::DELETE, &path, Value::Null, &[])
            .await;
        self.note(&system, "clients");
    }

    /// A name that is proven, kept from another agency, moved, lost and deleted; a label that is taken.
    async fn domains(&mut self, system: &System, domains: &Function<'_>) {
        let path = "/agency/portal-domains";
        let custom = json!({"customDomain": "portal.acme.test"});
        let mut held = Vec::new();
        for org in ["org_a", "org_b"] {
            let (status, domain) = domains.post(org, path, custom.clone()).await;
            assert_eq!(status, 201, "{domain}");
            domains.post(org, path, custom.clone()).await;
            held.push((org, format!("{path}/{}", domain["id"].as_str().unwrap()), domain));
        }
        let record = |domain: &Value, kind: &str| {
            let records = domain["records"].as_array().unwrap();
            let record = records.iter().find(|record| record["type"] == kind).unwrap();
            let (name, value) = (
                record["name"].as_str().unwrap(),
                record["value"].as_str().unwrap(),
            );
            match kind {
                "TXT" => format!("{name}. TXT \"{value}\"\n"),
                _ => format!("{name}. CNAME {value}.\n"),
            }
        };
        let [a, b] = [&held[0].2, &held[1].2];
        let zones = [
            String::new(),
            record(a, "TXT"),
            format!("{}{}", record(a, "TXT"), record(b, "TXT")),
            record(b, "TXT"),
            record(b, "CNAME"),
            record(a, "CNAME"),
            String::new(),
        ];
        for (step, zone) in zones.iter().enumerate() {
            system.dns.set_zone(zone).unwrap();
            for (org, path, _) in &held {
                // Once in 5 s for each domain; the slot is on the item.
                self.forget_slot(system, org, path).await;
                let verify = format!("{path}/verify");
                if step == 1 {
                    system.inject(Fault::conflict().on("TransactWriteItems"));
                }
                domains.post(org, &verify, Value::Null).await;
                domains.post(org, &verify, Value::Null).await;
            }
        }
        for label in ["one", "two", "three", "four"] {
            domains.post("org_a", path, json!({"subdomain": label})).await;
        }
        let (_, list) = domains.get("org_a", &format!("{path}?limit=1")).await;
        let cursor = list["nextCursor"].as_str().unwrap();
        let (_, list) = domains.get("org_a", &format!("{path}?cursor={cursor}")).await;
        for domain in list["items"].as_array().unwrap() {
            let one = format!("{path}/{}", domain["id"].as_str().unwrap());
            domains.post("org_a", &format!("{one}/verify"), Value::Null).await;
            domains
                .call("org_a", Method::DELETE, &one, Value::Null, &[])
                .await;
            domains
                .call("org_a", Method::DELETE, &one, Value::Null, &[])
                .await;
        }
        for org in ["org_b", "org_a"] {
            domains.post(org, path, json!({"subdomain": "one"})).await;
        }
        for _ in 0..2 {
            let body = json!({"subdomain": "five"});
            domains
                .call("org_a", Method::POST, path, body, &[("idempotency-key", "k")])
                .await;
        }
        for (org, path, _) in &held {
            domains.call(org, Method::DELETE, path, Value::Null, &[]).await;
        }
        self.note(system, "domains");
    }

    /// Sweeps that prove, renew, miss, move, fail, and meet what cannot be read or written.
    async fn sweep(&mut self) {
        let api = Api::build(lifecycle::system().counted()).await;
        let custom = json!({"customDomain": "portal.acme.test"});
        let mut domains = Vec::new();
        for org in ["org_a", "org_b"] {
            let owner = api.agency(org).await;
            domains.push(
                owner
                    .post("/agency/portal-domains", custom.clone())
                    .await
                    .expect(201),
            );
        }
        let [a, b] = &domains[..] else {
            panic!("two domains")
        };
        let zones = [
            String::new(),
            lifecycle::txt(a),
            lifecycle::txt(a),
            String::new(),
            lifecycle::txt(a) + &lifecycle::txt(b),
            lifecycle::txt(b),
            lifecycle::cname(a),
            lifecycle::cname(b),
            String::new(),
        ];
        for zone in &zones {
            api.dns.set_zone(zone).unwrap();
            for fault in [Fault::conflict(), Fault::throttle(), Fault::internal_error()] {
                api.inject(fault.when(|action, _| action.starts_with("Transact") || action == "PutItem"));
            }
            api.proxy().take_requests();
            for _ in 0..3 {
                api.advance(lifecycle::DAY + 10 * lifecycle::MINUTE);
                api.reverify().await;
            }
            self.note(&api, "reverify");
        }
        let key = keys::domain(
            &"org_b".parse().unwrap(),
            b["id"].as_str().unwrap().parse().unwrap(),
        );
        let spoil = api
            .client
            .update_item()
            .table_name(api.table())
            .set_key(Some(key.item()));
        let spoil = spoil.update_expression("SET routing = :routing");
        let nonsense = AttributeValue::N("7".to_owned());
        spoil
            .expression_attribute_values(":routing", nonsense)
            .send()
            .await
            .unwrap();
        api.advance(lifecycle::DAY + lifecycle::MINUTE);
        assert_eq!(api.reverify().await.unreadable, 1);
        self.note(&api, "reverify");
    }

    async fn forget_slot(&self, system: &System, org: &str, path: &str) {
        let id = path.rsplit('/').next().unwrap().parse().unwrap();
        let key = keys::domain(&org.parse().unwrap(), id);
        let update = system.client.update_item().table_name(system.table());
        let update = update
            .set_key(Some(key.item()))
            .update_expression("REMOVE lastVerifyAt");
        update.send().await.unwrap();
    }

    /// Each write once more for each thing that can go wrong with it.
    async fn break_writes(&mut self) {
        let faults = [
            Fault::conflict,
            Fault::throttle,
            Fault::internal_error,
            Fault::lose_answer,
            Fault::lose_request,
        ];
        for fault in faults {
            let system = System::builder().counted().start().await;
            let writes = [
                ("agency", Method::POST, "/agency/enable", json!({})),
                (
                    "branding",
                    Method::PUT,
                    "/agency/branding",
                    json!({"footerText": "x"}),
                ),
                (
                    "portal",
                    Method::PUT,
                    "/agency/portal-config",
                    json!({"featureLogs": false}),
                ),
                ("clients", Method::POST, "/agency/clients", json!({"name": "One"})),
                (
                    "domains",
                    Method::POST,
                    "/agency/portal-domains",
                    json!({"subdomain": "one"}),
                ),
                (
                    "clients",
                    Method::PATCH,
                    "/agency/clients/{}",
                    json!({"name": "Two", "slug": "two"}),
                ),
                ("clients", Method::DELETE, "/agency/clients/{}", Value::Null),
                (
                    "domains",
                    Method::DELETE,
                    "/agency/portal-domains/{}",
                    Value::Null,
                ),
            ];
            let mut ids = BTreeMap::new();
            for (name, method, path, body) in writes {
                let function = Function::new(&system, name);
                let path = path.replace("{}", ids.get(name).map_or("", String::as_str));
                system.inject(fault().when(|action, _| action.ends_with("Items") || action == "PutItem"));
                let (status, answer) = function.call("org_a", method, &path, body, &[]).await;
                assert!(
                    status < 300,
                    "{path} {fault:?}: {status} {answer}",
                    fault = fault()
                );
                assert_eq!(system.proxy().pending(), [""; 0], "{path}");
                if let Some(id) = answer["id"].as_str() {
                    ids.insert(function.name, id.to_owned());
                }
                self.note(&system, name);
            }
        }
    }
}

#[tokio::test]
async fn each_function_may_do_what_it_does_and_nothing_else() {
    let mut watch = Watch {
        seen: BTreeMap::new(),
    };
    watch.replay().await;
    watch.explore().await;
    watch.break_writes().await;
    watch.sweep().await;
    assert_eq!(
        watch.seen,
        allowed(&template()),
        "seen, and allowed in template.yaml"
    );
}

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

/// What AWS itself measures, of what is watched here.
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
    (
        "AWS/SQS",
        &["ApproximateNumberOfMessagesVisible"],
        &[&["QueueName"]],
    ),
];

/// The metrics that each function's lines make, by the function's logical id.
async fn emitted(template: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut emitted = BTreeMap::new();
    for (name, function) in logical_ids(template) {
        let lines = Lines::collect();
        let system = System::start().await;
        match name {
            "reverify" => drop(system.reverify().await),
            _ => drop(Function::new(&system, name).get("org_a", "/").await),
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
async fn alarms_and_the_dashboard_name_metrics_that_exist() {
    let template = template();
    let emitted = emitted(&template).await;
    let resources = template["Resources"].as_object().unwrap();
    let parameters = template["Parameters"].as_object().unwrap();
    for metric in watched(&template).iter().chain(&shown(&template)) {
        let names: Vec<&str> = metric.dimensions.keys().map(String::as_str).collect();
        if metric.namespace == telemetry::NAMESPACE {
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
            assert!(known, "{}: {metric:?} is none of AWS's", metric.of);
        }
        for (name, of) in &metric.dimensions {
            let literal = name == "GlobalSecondaryIndexName" && of == keys::DUE_INDEX;
            let of_dashboard = of == "Name"; // The table's name, given to !Sub.
            let known = resources.contains_key(of) || parameters.contains_key(of);
            assert!(literal || of_dashboard || known, "{metric:?}");
        }
    }
}

#[test]
fn each_alarm_tells_somebody_and_the_operator_s_page_tells_what_it_means() {
    let template = template();
    let page = fs::read_to_string(root().join("OPERATIONS.md")).unwrap();
    for (name, alarm) in alarms(&template) {
        assert!(!alarm["AlarmDescription"].as_str().unwrap().is_empty());
        assert_eq!(alarm["AlarmActions"], json!([{"Ref": "AlarmTopic"}]), "{name}");
        assert!(
            alarm["TreatMissingData"].is_string(),
            "{name}: no data is a decision"
        );
        let faults = name.strip_suffix("Faults").is_some();
        let name = if faults { "…Faults" } else { &name };
        assert!(page.contains(&format!("`{name}`")), "OPERATIONS.md lacks {name}");
    }
    for (name, function) in functions(&template) {
        let watched = &function["Properties"]["DeploymentPreference"]["Alarms"][0]["Ref"];
        let alarms = alarms(&template);
        assert!(
            alarms.contains_key(watched.as_str().unwrap()),
            "{name} is rolled out unwatched"
        );
    }
}

#[test]
fn the_table_is_protected_and_the_cost_of_a_fault_has_an_end() {
    let template = template();
    let table = &template["Resources"]["Table"];
    assert_eq!(table["DeletionPolicy"], "Retain");
    assert_eq!(table["UpdateReplacePolicy"], "Retain");
    let properties = &table["Properties"];
    assert_eq!(properties["DeletionProtectionEnabled"], true);
    assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(
        properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"],
        true
    );
    assert_eq!(properties["SSESpecification"]["SSEEnabled"], true);
    assert_eq!(properties["StreamSpecification"]["StreamViewType"], "NEW_IMAGE");
    assert_eq!(properties["TimeToLiveSpecification"]["Enabled"], true);
    let cap = &properties["OnDemandThroughput"];
    assert!(cap["MaxWriteRequestUnits"].is_object() && cap["MaxReadRequestUnits"].is_object());
    for index in properties["GlobalSecondaryIndexes"].as_array().unwrap() {
        assert_eq!(
            &index["OnDemandThroughput"], cap,
            "a lower cap would throttle the table"
        );
    }
    for (name, function) in functions(&template) {
        let function = &function["Properties"];
        assert_eq!(
            function["AutoPublishCodeSha256"],
            json!({"Ref": "Revision"}),
            "{name}"
        );
        assert!(function["LoggingConfig"]["LogGroup"].is_object(), "{name}");
    }
    for (name, resource) in template["Resources"].as_object().unwrap() {
        if resource["Type"] == "AWS::Logs::LogGroup" {
            assert!(
                resource["Properties"]["RetentionInDays"].is_object(),
                "{name} grows for ever"
            );
        }
    }
}

#[test]
fn nothing_has_a_name_that_two_stacks_would_share() {
    let names = [
        "TableName",
        "FunctionName",
        "RoleName",
        "TopicName",
        "QueueName",
        "AlarmName",
        "DashboardName",
    ];
    for (id, resource) in template()["Resources"].as_object().unwrap() {
        for name in names {
            assert!(
                resource["Properties"].get(name).is_none(),
                "{id} has a fixed {name}"
            );
        }
        if let Some(name) = resource["Properties"].get("LogGroupName") {
            assert!(
                name["Sub"].as_str().unwrap().contains("${AWS::StackName}"),
                "{id}"
            );
        }
    }
}

#[test]
fn each_variable_has_a_parameter_of_its_name() {
    let template = template();
    let variables = &template["Globals"]["Function"]["Environment"]["Variables"];
    for (variable, value) in variables.as_object().unwrap() {
        let parameter = match variable.as_str() {
            "TABLE_NAME" => "ExistingTableName".to_owned(),
            "AWS_ENDPOINT_URL_DYNAMODB" => "DynamoDbEndpoint".to_owned(),
            name => name
                .split('_')
                .map(|word| format!("{}{}", &word[..1], word[1..].to_lowercase()))
                .collect(),
        };
        assert!(
            value.to_string().contains(&format!("\"Ref\":\"{parameter}\"")),
            "{variable}: {value}"
        );
    }
    let text = fs::read_to_string(root().join("template.yaml")).unwrap();
    for (name, parameter) in template["Parameters"].as_object().unwrap() {
        assert!(!parameter["Description"].as_str().unwrap().is_empty(), "{name}");
        let used = text.contains(&format!("!Ref {name}")) || text.contains(&format!("${{{name}}}"));
        assert!(used, "{name} is of no use");
    }
}

#[test]
fn each_environment_of_samconfig_gives_parameters_that_exist() {
    let config = fs::read_to_string(root().join("samconfig.toml")).unwrap();
    let template = template();
    for line in config.lines() {
        if let Some((name, _)) = line
            .trim()
            .strip_prefix('"')
            .and_then(|line| line.split_once('='))
        {
            assert!(template["Parameters"].get(name).is_some(), "{line}");
        }
    }
    for environment in ["dev", "prod", "local"] {
        assert!(config.contains(&format!("[{environment}.build.parameters]")));
    }
}

#[test]
fn each_function_s_own_lines_are_logged_at_the_level_that_is_set() {
    for folder in fs::read_dir(root().join("functions")).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(
            telemetry::OURS.contains(&name.as_str()),
            "telemetry takes {name} for another's"
        );
    }
}
