//! What the clients of the API saw: each attempt of each operation, with its start, its end and its response.

use std::time::Duration;

use serde_json::Value;

use crate::{http::HttpResponse, operations::TrialOperation};

/// One request of a client.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The `sub` of its token, which its audit entry has.
    pub actor: String,
    pub operation: TrialOperation,
    /// When it was sent, in ticks of the trial's logical clock.
    pub start: u64,
    /// When its outcome was known, or the client gave up.
    pub end: u64,
    pub took: Duration,
    /// Whether the client waits some milliseconds only, less than most responses take.
    pub gives_up_early: bool,
    /// `None`: the connection ended before the response, or the client gave up.
    pub response: Option<HttpResponse>,
}

impl Attempt {
    fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|response| response.status)
    }

    /// Whether the response says that this request took effect.
    pub fn is_acknowledged(&self) -> bool {
        self.status().is_some_and(|status| status < 300) && !self.is_replay()
    }

    /// Whether the response says that it did not.
    pub fn is_refused(&self) -> bool {
        self.is_replay() || self.status().is_some_and(|status| (400..500).contains(&status))
    }

    /// Whether the request may or may not have taken effect, or may still do so.
    pub fn is_unknown(&self) -> bool {
        !self.is_acknowledged() && !self.is_refused()
    }

    /// Whether the response is that of an earlier request with the same idempotency key.
    pub fn is_replay(&self) -> bool {
        let replayed = |response: &HttpResponse| response.header("idempotency-replayed") == Some("true");
        self.response.as_ref().is_some_and(replayed)
    }

    /// The body of the response.
    pub fn body(&self) -> &Value {
        self.response
            .as_ref()
            .map_or(&Value::Null, |response| &response.body)
    }

    /// The resource that it created or changed.
    pub fn target(&self) -> &str {
        match self.operation.id {
            "createClientOrg" | "createPortalDomain" => self.body()["id"].as_str().unwrap_or_default(),
            _ => &self.operation.target,
        }
    }
}
