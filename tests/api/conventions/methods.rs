//! Methods: `405` with `Allow`, `OPTIONS`, `HEAD`, and paths that do not exist.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;

use crate::harness::{
    Answer, Api,
    operations::{Names, SampleTenant, operations, operations_where},
};

/// The path of each operation, with the methods that it has.
fn paths() -> BTreeMap<String, BTreeSet<String>> {
    let mut paths = BTreeMap::<_, BTreeSet<_>>::new();
    for operation in operations() {
        let path = operation.uri(&Names::absent());
        let path = path.split('?').next().unwrap().to_owned();
        let methods = paths.entry(path).or_default();
        methods.insert(operation.method.to_string());
        if operation.reads() {
            methods.insert("HEAD".to_owned());
        }
    }
    paths
}

/// Paths that resemble that of an operation.
fn unknown_paths() -> Vec<String> {
    let mut unknown: Vec<_> = [
        "/",
        "/agency",
        "/agency/",
        "/portal",
        "/healthz",
        "//agency/overview",
        "/Agency/overview",
        "/agency//overview",
        "/agency/./overview",
        "/agency/%6Fverview",
        "/agency/overview%00",
    ]
    .map(str::to_owned)
    .into();
    for path in paths().into_keys() {
        unknown.push(format!("{path}/"));
        unknown.push(format!("{path}/x/y"));
    }
    unknown
}

fn allowed(answer: &Answer) -> BTreeSet<String> {
    let allow = answer.header("allow");
    let allow = allow.unwrap_or_else(|| panic!("no Allow: {answer:?}"));
    allow.split(',').map(|method| method.trim().to_owned()).collect()
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_405_with_the_methods_that_it_has() {
    let api = Api::start().await;
    for (path, methods) in paths() {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get",
        ] {
            if methods.contains(method) {
                continue;
            }
            let answer = api.visitor().raw(method.parse().unwrap(), &path, &[], "{").await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(allowed(&answer), methods, "{method} {path}");
            if method == "HEAD" {
                assert_eq!(answer.text, "");
            } else {
                answer.problem(405, "method-not-allowed");
            }
        }
    }
}

#[tokio::test]
async fn options_of_a_known_path_are_204_without_a_token() {
    let api = Api::start().await;
    for (path, methods) in paths() {
        let answer = api.visitor().raw(Method::OPTIONS, &path, &[], "").await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (204, ""), "{path}");
        assert_eq!(allowed(&answer), methods, "{path}");
        assert!(answer.header("x-request-id").is_some());
    }
}

#[tokio::test]
async fn an_unknown_path_is_404_for_every_method_and_user() {
    let api = Api::start().await;
    for path in unknown_paths() {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS] {
            for user in [api.visitor(), api.user("org_acme", "owner")] {
                user.raw(method.clone(), &path, &[], "{")
                    .await
                    .problem(404, "not-found");
            }
        }
    }
}

#[tokio::test]
async fn head_answers_as_get_does_without_the_body() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let known = tenant.owner.get("/agency/branding").await.etag();
    let users = [
        tenant.owner.clone(),
        api.visitor(),
        api.user("org_none", "owner"),
        api.user("org_acme", "member"),
    ];
    let mut paths = vec!["/nowhere".to_owned(), "/agency/clients?limit=0".to_owned()];
    for operation in operations_where(|operation| operation.reads()) {
        paths.extend([&tenant.names, &Names::absent()].map(|names| operation.uri(names)));
        paths.push(operation.path.replace(['{', '}'], ""));
    }
    let mut statuses = BTreeSet::new();
    for path in &paths {
        for user in &users {
            let sent = [("if-none-match", known.as_str())];
            let get = user.raw(Method::GET, path, &sent, "").await;
            let head = user.raw(Method::HEAD, path, &sent, "").await;
            statuses.insert(get.status.as_u16());
            assert_eq!((head.status, &*head.text), (get.status, ""), "{path}");
            let headers = |answer: &Answer| {
                let mut headers = answer.headers.clone();
                headers.remove("x-request-id");
                headers.remove("content-length");
                headers
            };
            assert_eq!(headers(&head), headers(&get), "{path}");
            if let Some(length) = head.header("content-length").filter(|_| get.status != 304) {
                assert_eq!(length, get.text.len().to_string(), "{path}");
            }
        }
    }
    assert_eq!(statuses, BTreeSet::from([200, 304, 308, 400, 401, 403, 404]));
}
