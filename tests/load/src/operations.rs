//! The operations of the API: how often each is sent, and the response that it has.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;

use crate::Result;

/// One operation of the mix.
pub struct MixOperation {
    /// The `operationId`.
    pub id: &'static str,
    /// Its requests in each round.
    weight: usize,
    /// The status of each of its responses.
    pub status: u16,
    /// What the body of each response contains, with the variables of the request. A redirect has it in `location`. A response
    /// without it has no body.
    pub content: &'static str,
}

const fn operation(id: &'static str, weight: usize, status: u16, content: &'static str) -> MixOperation {
    MixOperation {
        id,
        weight,
        status,
        content,
    }
}

/// All operations. Reads of a portal's page are the most frequent, as in production. Each round deletes as much as it creates.
pub const OPERATIONS: [MixOperation; 36] = [
    operation("getPortalContext", 12, 200, r#""hostname":"{host}""#),
    operation("getPublicBranding", 8, 200, r#""organizationId":"{org}""#),
    operation("getThemeCss", 8, 200, ":root {"),
    operation("checkTls", 6, 200, ""),
    operation("redirectHost", 3, 308, "https://{host}"),
    operation("getHealth", 2, 200, r#""status":"ok""#),
    operation("getOpenapi", 1, 200, r#""openapi": "3.1.0","paths": {"/"#),
    operation("getOpenapi30", 1, 200, r#""openapi": "3.0.3","paths": {"/"#),
    operation("enableAgency", 1, 200, r#""organizationId":"{org}""#),
    operation("getAgencyOverview", 5, 200, r#""organizationId":"{org}""#),
    operation("listAuditEntries", 3, 200, r#""items":[{"#),
    operation("getBranding", 4, 200, r#""organizationId":"{org}""#),
    operation("putBranding", 1, 200, r#""portalName":"Portal {number}""#),
    operation("getPortalConfig", 4, 200, r#""organizationId":"{org}""#),
    operation("putPortalConfig", 1, 200, r#""organizationId":"{org}""#),
    operation("listClientOrgs", 4, 200, r#""items":[{"#),
    operation("createClientOrg", 2, 201, r#""name":"Client {number}""#),
    operation("getClientOrg", 5, 200, r#""id":"{clientOrgId}""#),
    operation("updateClientOrg", 2, 200, r#""name":"Client {number}""#),
    operation("deleteClientOrg", 2, 204, ""),
    operation("getClientBranding", 3, 200, r#""clientOrgId":"{clientOrgId}""#),
    operation("putClientBranding", 1, 200, r#""portalName":"Portal {number}""#),
    operation(
        "getClientPortalConfig",
        3,
        200,
        r#""clientOrgId":"{clientOrgId}""#,
    ),
    operation(
        "putClientPortalConfig",
        1,
        200,
        r#""clientOrgId":"{clientOrgId}""#,
    ),
    operation("listPortalDomains", 4, 200, r#""items":[{"#),
    operation("createPortalDomain", 3, 201, r#""agencyId":"{org}""#),
    operation("getPortalDomain", 5, 200, r#""id":"{domainId}""#),
    operation("updatePortalDomain", 1, 200, r#""primary":true"#),
    operation("verifyPortalDomain", 1, 200, r#""id":"{domainId}""#),
    operation("deletePortalDomain", 3, 204, ""),
    operation("createSetupLink", 1, 201, r#""url":""#),
    operation("getSetup", 2, 200, r#""hostname":"portal."#),
    operation("getSetupRecords", 1, 200, "portal."),
    operation("getSetupStyle", 2, 200, "{"),
    operation("verifySetup", 1, 200, r#""hostname":"portal."#),
    operation("deleteSetupLink", 1, 204, ""),
];

/// The places of the operations in [`OPERATIONS`], in the order in which a round sends them: the requests of each operation are
/// spread over the round.
pub fn round() -> Vec<usize> {
    let mut round = Vec::new();
    for (index, operation) in OPERATIONS.iter().enumerate() {
        let place = |number: usize| (number as f64 + 0.5) / operation.weight as f64;
        round.extend((0..operation.weight).map(|number| (place(number), index)));
    }
    round.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    round.into_iter().map(|(_, index)| index).collect()
}

/// The method and the path of each operation, from the OpenAPI document.
pub fn routes(document: &Value) -> Result<Vec<(Method, String)>> {
    let mut routes = BTreeMap::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if let Some(id) = operation["operationId"].as_str() {
                routes.insert(id, (Method::try_from(&*method.to_uppercase())?, path.clone()));
            }
        }
    }
    let found = OPERATIONS.iter().map(|operation| routes.remove(operation.id));
    let found: Option<Vec<_>> = found.collect();
    match (found, routes.keys().next()) {
        (Some(found), None) => Ok(found),
        (None, _) => Err("OPERATIONS has an operation that the document does not have".into()),
        (_, Some(id)) => Err(format!("OPERATIONS does not have {id}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operations_are_those_of_the_document() {
        let document = include_str!("../../../functions/portal/openapi.json");
        let document: Value = serde_json::from_str(document).unwrap();
        for (operation, (method, path)) in OPERATIONS.iter().zip(routes(&document).unwrap()) {
            let responses = &document["paths"][path][method.as_str().to_lowercase()]["responses"];
            assert!(
                responses.get(operation.status.to_string()).is_some(),
                "{}",
                operation.id
            );
        }
    }

    #[test]
    fn a_round_has_each_operation_as_often_as_its_weight_and_deletes_what_it_creates() {
        let round = round();
        let count = |id: &str| round.iter().filter(|index| OPERATIONS[**index].id == id).count();
        for operation in &OPERATIONS {
            assert_eq!(count(operation.id), operation.weight);
        }
        for (created, deleted) in [
            ("createClientOrg", "deleteClientOrg"),
            ("createPortalDomain", "deletePortalDomain"),
            ("createSetupLink", "deleteSetupLink"),
        ] {
            assert_eq!(count(created), count(deleted));
        }
    }
}
