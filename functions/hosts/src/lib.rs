//! The list of all hosts that are served, for edges that poll. There is no HTTP route to it, because it crosses agencies: IAM alone
//! decides who may invoke the function.

use std::borrow::Cow;

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Value, json};
use shared::{
    app::App,
    http::Problem,
    store::{Page, PageRequest, ServingHost},
    telemetry::{Scope, millis},
};

/// Why there is no page. The code is stable.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct HostsError {
    /// `invalid-event`, or the code of the same problem in the HTTP API.
    pub code: String,
    detail: Cow<'static, str>,
}

impl HostsError {
    fn invalid_event(detail: &'static str) -> Self {
        Self {
            code: "invalid-event".to_owned(),
            detail: detail.into(),
        }
    }

    /// Whether the event is at fault, and not the function or the table.
    pub fn is_invalid(&self) -> bool {
        self.code.starts_with("invalid-")
    }
}

impl From<Problem> for HostsError {
    fn from(problem: Problem) -> Self {
        Self {
            code: problem.code.text(),
            detail: problem.detail,
        }
    }
}

/// What the invoker of the function gets as `errorType` and `errorMessage`.
impl From<HostsError> for Diagnostic {
    fn from(error: HostsError) -> Self {
        Self {
            error_message: error.to_string(),
            error_type: error.code,
        }
    }
}

/// The page that an event requests: `{"limit": 1 to 1000, "cursor": a text or null}`. Both are optional.
fn request(event: Value) -> Result<PageRequest, HostsError> {
    let Value::Object(mut event) = event else {
        return Err(HostsError::invalid_event("The event must be an object."));
    };
    let limit = match event.remove("limit") {
        None => PageRequest::MAX,
        Some(limit) => match limit.as_u64().map(u16::try_from) {
            Some(Ok(limit @ 1..=PageRequest::MAX)) => limit,
            _ => {
                return Err(HostsError::invalid_event(
                    "limit must be a number from 1 to 1000.",
                ));
            }
        },
    };
    let cursor = match event.remove("cursor") {
        None | Some(Value::Null) => None,
        Some(Value::String(cursor)) => Some(cursor),
        Some(_) => return Err(HostsError::invalid_event("cursor must be a string or null.")),
    };
    match event.is_empty() {
        true => Ok(PageRequest { limit, cursor }),
        false => Err(HostsError::invalid_event(
            "The event must have no properties but limit and cursor.",
        )),
    }
}

/// The page that the event requests. Logs how many hosts it has, or why there is none.
///
/// # Errors
/// `invalid-event`, `invalid-cursor`; `unavailable` if DynamoDB does not respond; `internal`
pub async fn handle(app: &App, event: LambdaEvent<Value>) -> Result<Page<ServingHost>, HostsError> {
    let LambdaEvent { payload, context } = event;
    let scope = Scope::new(context.request_id.as_str(), context.xray_trace_id.as_deref());
    let listed = async {
        let listed = list(app, payload, &context.request_id).await;
        match &listed {
            Ok(page) => tracing::info!(
                hosts = page.items.len(),
                dynamodbMs = millis(scope.dynamodb_time()),
                dynamodbRequests = scope.dynamodb_requests(),
                "hosts listed"
            ),
            Err(error) => tracing::warn!(code = error.code, "hosts not listed"),
        }
        listed
    };
    scope.run(listed).await
}

/// The response to the invoker. An error about the event has the form of the others, but for Lambda the invocation succeeds: Lambda's
/// metric `Errors`, which rings the alarm and ends a canary, counts faults alone.
///
/// # Errors
/// `unavailable`, `internal`
pub fn respond(listed: Result<Page<ServingHost>, HostsError>) -> Result<Value, HostsError> {
    match listed {
        Ok(page) => Ok(json!(page)),
        Err(error) if error.is_invalid() => Ok(json!(Diagnostic::from(error))),
        Err(error) => Err(error),
    }
}

async fn list(app: &App, event: Value, request_id: &str) -> Result<Page<ServingHost>, HostsError> {
    let page = app.store.hosts(&request(event)?).await;
    page.map_err(|error| {
        let problem = Problem::from(error);
        problem.log(request_id);
        problem.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(event: Value) -> String {
        request(event).unwrap_err().to_string()
    }

    #[test]
    fn an_event_may_have_a_limit_and_a_cursor() {
        let polled = include_str!("../../../events/hosts/page.json");
        for (event, limit, cursor) in [
            (serde_json::from_str(polled).unwrap(), 1000, None),
            (json!({}), 1000, None),
            (json!({"limit": 1}), 1, None),
            (json!({"limit": 1000, "cursor": null}), 1000, None),
            (json!({"cursor": "x"}), 1000, Some("x")),
        ] {
            let page = request(event).unwrap();
            assert_eq!((page.limit, page.cursor.as_deref()), (limit, cursor));
        }
    }

    #[test]
    fn any_other_event_is_an_error_with_a_stable_code() {
        for event in [json!(null), json!([]), json!("{}"), json!(1)] {
            assert_eq!(refused(event), "invalid-event: The event must be an object.");
        }
        for limit in [
            json!(0),
            json!(1001),
            json!(65_537),
            json!(-1),
            json!(1.5),
            json!("10"),
            json!(null),
        ] {
            assert_eq!(
                refused(json!({ "limit": limit })),
                "invalid-event: limit must be a number from 1 to 1000."
            );
        }
        for cursor in [json!(1), json!(false), json!([]), json!({})] {
            assert_eq!(
                refused(json!({ "cursor": cursor })),
                "invalid-event: cursor must be a string or null."
            );
        }
        for name in ["Limit", "next", ""] {
            assert_eq!(
                refused(json!({"limit": 1, name: 1})),
                "invalid-event: The event must have no properties but limit and cursor."
            );
        }
    }

    #[test]
    fn an_error_has_its_code_as_its_type_and_lambda_counts_it_unless_the_event_is_invalid() {
        for (code, counts) in [
            ("invalid-event", false),
            ("invalid-cursor", false),
            ("unavailable", true),
            ("internal", true),
        ] {
            let error = HostsError {
                code: code.to_owned(),
                detail: "A detail.".into(),
            };
            let responded = respond(Err(error));
            assert_eq!(responded.is_err(), counts, "{code}");
            let response = responded.unwrap_or_else(|error| json!(Diagnostic::from(error)));
            let message = format!("{code}: A detail.");
            assert_eq!(response, json!({"errorType": code, "errorMessage": message}));
        }
    }
}
