//! `API_BASE_PATH`: a prefix that paths may have.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{
    Api,
    operations::{Names, operations_where},
};

#[tokio::test]
async fn a_location_begins_with_the_base_path() {
    for (set, prefix) in [("/v1/api/", "/v1/api"), ("", "")] {
        let api = Api::with(&[("API_BASE_PATH", set)]).await;
        let owner = api.agency("org_acme").await;
        for operation in operations_where(|operation| operation.creates()) {
            let created = operation.send(&owner, &Names::absent()).await;
            let id = created.expect(201)["id"].as_str().unwrap().to_owned();
            let location = format!("{prefix}{}/{id}", operation.path);
            assert_eq!(created.header("location"), Some(location.as_str()));
            assert_eq!(owner.get(&location).await.expect(200)["id"], id.as_str());
        }
    }
}

#[tokio::test]
async fn a_path_may_have_the_base_path_once() {
    let api = Api::with(&[("API_BASE_PATH", "/v1/api/")]).await;
    let owner = api.user("org_acme", "owner");
    owner.post("/v1/api/agency/enable", Value::Null).await.expect(200);
    assert_eq!(
        owner.get("/v1/api/agency/overview?x=1").await.expect(200),
        owner.get("/agency/overview").await.expect(200)
    );
    owner
        .get("/v1/api/agency/clients?limit=0")
        .await
        .problem(400, "invalid-parameter");
    owner
        .raw(Method::PUT, "/v1/api/agency/overview", &[], "")
        .await
        .problem(405, "method-not-allowed");
    let options = owner.raw(Method::OPTIONS, "/v1/api/health", &[], "").await;
    assert_eq!(options.status, 204);
    for path in [
        "/v1/api",
        "/v1/api/",
        "/v1/api/v1/api/health",
        "/v1/apihealth",
        "/v1/health",
        "/v1/api//health",
        "/v1/API/health",
        "/api/health",
    ] {
        owner.get(path).await.problem(404, "not-found");
    }
    let without = Api::start().await;
    let answer = without.visitor().get("/api/health").await;
    answer.problem(404, "not-found");
}

#[tokio::test]
async fn the_documents_have_the_base_path_as_the_url_of_their_server() {
    let documents = [
        (
            "/openapi.json",
            include_str!("../../../functions/portal/openapi.json"),
        ),
        (
            "/openapi-3.0.json",
            include_str!("../../../functions/portal/openapi-3.0.json"),
        ),
    ];
    for (set, url) in [("/v1/api/", "/v1/api"), ("", "/")] {
        let api = Api::with(&[("API_BASE_PATH", set)]).await;
        for (path, committed) in documents {
            let mut expected: Value = serde_json::from_str(committed).unwrap();
            expected["servers"] = json!([{"url": url}]);
            assert!(
                api.visitor().get(path).await.expect(200) == expected,
                "{set}{path}"
            );
        }
    }
}
