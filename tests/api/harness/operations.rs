//! The operations of `openapi.json`, and requests for them that are made from the document alone.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use http::Method;
use serde_json::{Map, Value, json};

use super::{Answer, Api, CLIENTS, DOMAINS, NO_CLIENT, NO_DOMAIN, User, id};

/// The committed document. `drift::document` holds it equal to the code.
pub static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../functions/portal/openapi.json")).unwrap());

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    let mut operations = Vec::new();
    for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, document) in methods.as_object().unwrap() {
            operations.push(Operation::read(path, method, document));
        }
    }
    assert!(operations.len() > 20, "{}", operations.len());
    operations.sort_by_key(|operation| {
        let is_deletion = operation.method == Method::DELETE;
        (
            operation.method != Method::GET,
            is_deletion,
            // A new setup link ends the one that other operations use.
            operation.id == "createSetupLink",
            // A domain's link before the domain.
            Reverse(if is_deletion { operation.path.len() } else { 0 }),
        )
    });
    operations
});

/// Every operation of the document: reads first, deletions last, so that each succeeds although those before it have been sent.
pub fn operations() -> &'static [Operation] {
    &OPERATIONS
}

/// The operation with this id.
pub fn operation(id: &str) -> &'static Operation {
    let found = operations().iter().find(|operation| operation.id == id);
    found.unwrap_or_else(|| panic!("openapi.json has no operation {id}"))
}

/// The operations for which this holds; there must be some.
pub fn operations_where(holds: impl Fn(&Operation) -> bool) -> Vec<&'static Operation> {
    let found: Vec<_> = operations().iter().filter(|operation| holds(operation)).collect();
    assert!(!found.is_empty());
    found
}

/// An operation of the document.
#[derive(Debug)]
pub struct Operation {
    pub id: String,
    pub method: Method,
    /// With its parameters in braces.
    pub path: String,
    /// Needs no token.
    pub public: bool,
    /// The example of its body, if it has one.
    pub body: Option<Value>,
    /// The status of its success.
    pub success: u16,
    /// Its problems: the status of each code.
    pub problems: BTreeMap<String, u16>,
    pub document: &'static Value,
}

/// The resources that a request names.
#[derive(Clone, Debug)]
pub struct Names {
    pub client: String,
    pub domain: String,
    pub host: String,
    /// A host that redirects.
    pub old_host: String,
    /// The token of a setup link.
    pub setup_token: String,
}

impl Names {
    /// The names of resources that do not exist.
    pub fn absent() -> Self {
        Self {
            client: NO_CLIENT.to_owned(),
            domain: NO_DOMAIN.to_owned(),
            host: "unused-sub.portal.localhost".to_owned(),
            old_host: "unused-old.portal.localhost".to_owned(),
            setup_token: "A".repeat(43),
        }
    }
}

impl Operation {
    fn read(path: &str, method: &str, document: &'static Value) -> Self {
        let responses = document["responses"].as_object().unwrap();
        let success = responses
            .keys()
            .find(|status| status.starts_with('2') || *status == "308")
            .unwrap();
        let problems = responses.iter().flat_map(|(status, response)| {
            let examples = &response["content"]["application/problem+json"]["examples"];
            let codes = examples.as_object().into_iter().flat_map(Map::keys);
            codes.map(|code| (code.clone(), status.parse().unwrap()))
        });
        let body = document.get("requestBody").map(|body| {
            let example = &body["content"]["application/json"]["example"];
            assert!(example.is_object(), "{path} {method} has no example");
            example.clone()
        });
        Self {
            id: document["operationId"].as_str().unwrap().to_owned(),
            method: method.to_uppercase().parse().unwrap(),
            path: path.to_owned(),
            public: document["security"] == json!([]),
            body,
            success: success.parse().unwrap(),
            problems: problems.collect(),
            document,
        }
    }

    pub fn in_agency(&self) -> bool {
        self.path.starts_with("/agency/")
    }

    /// Whether its path has the id of a resource. The token of a setup link is a credential.
    pub fn names_a_resource(&self) -> bool {
        self.path.contains('{') && !self.public
    }

    /// Whether it adds a resource to a list.
    pub fn creates(&self) -> bool {
        self.success == 201 && !self.path.contains('{')
    }

    pub fn reads(&self) -> bool {
        self.method == Method::GET
    }

    pub fn has_problem(&self, code: &str) -> bool {
        self.problems.contains_key(code)
    }

    /// Whether it has this parameter in `path`, `query` or `header`.
    pub fn takes(&self, place: &str, name: &str) -> bool {
        self.parameters(place).any(|(parameter, _)| parameter == name)
    }

    /// The parameters in `path`, `query` or `header`: the name of each, and whether it is required.
    pub fn parameters(&self, place: &str) -> impl Iterator<Item = (&'static str, bool)> {
        let all = self.document["parameters"].as_array().into_iter().flatten();
        let here = all.filter(move |parameter| parameter["in"] == place);
        here.map(|parameter| (parameter["name"].as_str().unwrap(), parameter["required"] == true))
    }

    /// Whether it answers page by page.
    pub fn is_list(&self) -> bool {
        self.takes("query", "cursor")
    }

    /// Whether it answers `304` to the ETag of its last response.
    pub fn is_conditional(&self) -> bool {
        self.document["responses"].get("304").is_some()
    }

    /// The media type of its success, if it has a body.
    pub fn media_type(&self) -> Option<&'static str> {
        let content = self.document["responses"][self.success.to_string()]["content"].as_object()?;
        content.keys().next().map(String::as_str)
    }

    /// The properties of its body, and the JSON types that each may have.
    pub fn properties(&self) -> Properties {
        let schema = &self.document["requestBody"]["content"]["application/json"]["schema"];
        let mut properties = BTreeMap::new();
        collect_properties(schema, &mut properties);
        assert!(!properties.is_empty(), "{}", self.id);
        properties
    }

    /// The example of each property of its body. An example that is a URL names its property, so that all URLs differ.
    pub fn examples(&self) -> Value {
        let schema = resolve(&self.document["requestBody"]["content"]["application/json"]["schema"]);
        let properties = schema["properties"].as_object().unwrap().iter();
        let examples = properties.map(|(name, schema)| {
            let example = schema["examples"][0].as_str().unwrap();
            let query = if example.starts_with("https://") {
                format!("?{name}")
            } else {
                String::new()
            };
            (name.clone(), json!(format!("{example}{query}")))
        });
        examples.collect::<Map<_, _>>().into()
    }

    /// Its path with these names.
    pub fn path(&self, names: &Names) -> String {
        let mut path = self.path.clone();
        for (name, _) in self.parameters("path") {
            let value = match name {
                "clientOrgId" => &names.client,
                "domainId" => &names.domain,
                "token" => &names.setup_token,
                other => panic!("{}: add {other} to Names", self.id),
            };
            path = path.replace(&format!("{{{name}}}"), value);
        }
        path
    }

    /// Its path with these names, and with what it requires of the query.
    pub fn uri(&self, names: &Names) -> String {
        let path = self.path(names);
        let mut query = Vec::new();
        for (name, _) in self.parameters("query").filter(|(_, required)| *required) {
            match name {
                "host" if self.success == 308 => query.push(format!("{name}={}", names.old_host)),
                "format" => query.push("format=text".to_owned()),
                "host" | "domain" => query.push(format!("{name}={}", names.host)),
                other => panic!("{}: add {other} to Names", self.id),
            }
        }
        match query.is_empty() {
            true => path,
            false => format!("{path}?{}", query.join("&")),
        }
    }

    /// A request with the document's example as its body.
    pub async fn send(&self, user: &User<'_>, names: &Names) -> Answer {
        self.send_with(user, names, &[]).await
    }

    pub async fn send_with(&self, user: &User<'_>, names: &Names, headers: &[(&str, &str)]) -> Answer {
        let uri = self.uri(names);
        user.call(self.method.clone(), &uri, headers, self.body.clone())
            .await
    }

    /// The same request, in a form that no operation with a body accepts.
    pub async fn send_nonsense(&self, user: &User<'_>, names: &Names) -> Answer {
        let headers = [("content-type", "x")];
        user.raw(self.method.clone(), &self.uri(names), &headers, "{")
            .await
    }
}

/// What a `$ref` refers to.
pub fn resolve(schema: &'static Value) -> &'static Value {
    match schema["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

type Properties = BTreeMap<&'static str, BTreeSet<&'static str>>;

fn parts(schema: &'static Value) -> impl Iterator<Item = &'static Value> {
    let lists = ["oneOf", "anyOf", "allOf"].into_iter();
    lists.flat_map(|list| schema[list].as_array().into_iter().flatten())
}

fn collect_properties(schema: &'static Value, found: &mut Properties) {
    let schema = resolve(schema);
    parts(schema).for_each(|part| collect_properties(part, found));
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        collect_types(schema, found.entry(name).or_default());
    }
}

fn collect_types(schema: &'static Value, found: &mut BTreeSet<&'static str>) {
    let schema = resolve(schema);
    parts(schema).for_each(|part| collect_types(part, found));
    match &schema["type"] {
        Value::Array(types) => found.extend(types.iter().filter_map(Value::as_str)),
        other => found.extend(other.as_str()),
    }
}

/// The document has the status, the media type and the problem of a response of an operation.
#[track_caller]
pub fn assert_documented(method: &Method, answer: &Answer) {
    let is_same = |operation: &&Operation| {
        let (own, sent) = (operation.path.split('/'), answer.path.split('/'));
        let method = if *method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        operation.method == *method
            && own.clone().count() == sent.clone().count()
            && own
                .zip(sent)
                .all(|(own, sent)| own == sent || own.starts_with('{'))
    };
    let Some(operation) = operations().iter().find(is_same) else {
        return;
    };
    let (id, status) = (&operation.id, answer.status.as_str());
    let response = &operation.document["responses"][status];
    assert!(response.is_object(), "{id}: openapi.json has no {status}");
    let media_type = answer
        .header("content-type")
        .map(|value| value.split(';').next().unwrap());
    let content = response["content"].as_object();
    let is_documented = match media_type {
        Some(media_type) => content.is_some_and(|content| content.contains_key(media_type)),
        None => content.is_none(),
    };
    assert!(
        is_documented,
        "{id}: openapi.json has no {media_type:?} of {status}"
    );
    // A response to `HEAD` has no body, and so no code.
    if media_type == Some("application/problem+json") && *method != Method::HEAD {
        let problem = answer.json();
        let code = problem["code"].as_str().unwrap();
        let documented = operation.problems.get(code).map(u16::to_string);
        assert_eq!(
            documented.as_deref(),
            Some(status),
            "{id}: openapi.json has no {code}"
        );
    }
}

/// An agency that has one of everything, and the texts that would give it away.
pub struct SampleTenant<'a> {
    pub owner: User<'a>,
    pub names: Names,
    pub marks: Vec<String>,
}

impl<'a> SampleTenant<'a> {
    pub async fn new(api: &'a Api, org: &str, word: &str) -> Self {
        let owner = api.agency(org).await;
        let branding = json!({
            "footerText": format!("{word} footer"), "primaryColor": "#123abc", "fromEmail": format!("{word}@acme.test"),
        });
        let branding = owner.put("/agency/branding", branding).await.expect(200);
        owner
            .put("/agency/portal-config", json!({"featureTerminal": true}))
            .await
            .expect(200);
        let client = json!({
            "name": format!("{word} client"), "externalId": format!("{word}-id"), "metadata": {word: format!("{word} value")},
        });
        let client = owner.post(CLIENTS, client).await.expect(201);
        let path = super::path(&client);
        let own = json!({"portalName": format!("{word} portal")});
        let own = owner.put(&format!("{path}/branding"), own).await.expect(200);
        owner
            .put(&format!("{path}/portal-config"), json!({"featureLogs": false}))
            .await
            .expect(200);
        let custom = owner.custom_domain(&format!("{word}.acme.test")).await;
        let subdomain = owner.subdomain(&format!("{word}-sub")).await;
        let old = owner.subdomain(&format!("{word}-old")).await;
        let redirect = super::property("redirectTo", id(&subdomain));
        owner.patch(&super::path(&old), redirect).await.expect(200);
        let link = format!("{}/setup-link", super::path(&custom));
        let link = owner.post(&link, json!({})).await.expect(201);
        let mut marks = vec![org.to_owned(), word.to_owned()];
        marks.extend([&branding, &client, &own, &custom, &subdomain].map(|resource| id(resource).to_owned()));
        marks.push(super::token(&custom).to_owned());
        Self {
            names: Names {
                client: id(&client).to_owned(),
                domain: id(&custom).to_owned(),
                host: subdomain["hostname"].as_str().unwrap().to_owned(),
                old_host: old["hostname"].as_str().unwrap().to_owned(),
                setup_token: super::setup_token(&link).to_owned(),
            },
            owner,
            marks,
        }
    }

    /// Everything that it can read.
    pub async fn everything(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for operation in operations_where(|operation| operation.reads() && !operation.public) {
            all.push(operation.send(&self.owner, &self.names).await.expect(200));
        }
        assert!(all.len() > 8);
        all
    }

    pub fn domain_path(&self) -> String {
        format!("{DOMAINS}/{}", self.names.domain)
    }
}
