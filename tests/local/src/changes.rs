//! One line on standard output for each change of a domain's status that this process writes, whatever causes it.
//!
//! The lines are made of the audit entries, in the transactions that the SDK sends. So this works with any DynamoDB, and costs
//! nothing without a write. The table's stream has the same entries, but the embedded database searches all records of a stream
//! for each write and each read, and never removes one.

use std::{
    io::{self, Write},
    sync::mpsc::{self, Sender},
    thread,
};

use aws_sdk_dynamodb::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef},
    },
    error::BoxError,
    operation::transact_write_items::TransactWriteItemsInput,
    types::{AttributeValue, TransactWriteItem},
};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use shared::app::App;

/// Prints the changes of the app's writes.
pub fn print(app: &mut App) {
    let (sender, lines) = mpsc::channel();
    // A reader that stops reading blocks the writer: that must not be a request, nor the end of the process. Without a reader,
    // the lines are dropped.
    thread::spawn(move || {
        for line in lines {
            let _ = writeln!(io::stdout(), "{line}");
        }
    });
    send(app, sender);
}

fn send(app: &mut App, sender: Sender<String>) {
    app.store = app.store.clone().with_interceptor(StatusChanges(sender));
}

#[derive(Debug)]
struct StatusChanges(Sender<String>);

/// The lines of a transaction that is not yet written.
#[derive(Debug)]
struct Pending(Vec<String>);

impl Storable for Pending {
    type Storer = StoreReplace<Self>;
}

impl Intercept for StatusChanges {
    fn name(&self) -> &'static str {
        "StatusChanges"
    }

    fn read_before_execution(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(transaction) = context.input().downcast_ref::<TransactWriteItemsInput>() {
            let lines = transaction.transact_items().iter().filter_map(line);
            config.interceptor_state().store_put(Pending(lines.collect()));
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some(Ok(_)), Some(Pending(lines))) = (context.output_or_error(), config.load::<Pending>()) {
            for line in lines {
                let _ = self.0.send(line.clone());
            }
        }
        Ok(())
    }
}

/// `16:14:05 portal.acme.com verified → failing (lost)` (UTC), if the write is an audit entry of a status change.
fn line(write: &TransactWriteItem) -> Option<String> {
    let item = write.put()?.item();
    let text = |name: &str| item.get(name)?.as_s().ok().filter(|text| !text.is_empty());
    let (hostname, from, to) = (text("hostname")?, text("from")?, text("to")?);
    let (_, time) = text("at")?.split_once('T')?;
    let reason = problem(item.get("after")?).map_or_else(String::new, |code| format!(" ({code})"));
    Some(format!(
        "{} {hostname} {from} → {to}{reason}",
        time.trim_end_matches('Z')
    ))
}

/// The code of the domain's problem.
fn problem(domain: &AttributeValue) -> Option<&String> {
    let problem = domain.as_m().ok()?.get("problem")?.as_m().ok()?;
    problem.get("code")?.as_s().ok()
}

#[cfg(test)]
mod tests {
    use std::{iter, time::Duration};

    use axum::{Router, body::Body};
    use http::Request;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        fault::Fault,
        reverify,
        system::{self, System},
    };

    /// The body of the response to `POST path`.
    async fn post(router: &Router, token: &str, path: &str, body: &str) -> Value {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert!(response.status().is_success(), "{path}: {response:?}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap_or_default()
    }

    /// A claim of `portal.acme.test`: the path of its check, and its `TXT` and `CNAME` records.
    async fn claim(router: &Router, token: &str) -> (String, String, String) {
        post(router, token, "/agency/enable", "").await;
        let domain = r#"{"customDomain": "portal.acme.test"}"#;
        let domain = post(router, token, "/agency/portal-domains", domain).await;
        let record = |at: usize| {
            let record = &domain["records"][at];
            let text = |name: &str| record[name].as_str().unwrap().to_owned();
            format!("{}. {} {}", text("name"), text("type"), text("value"))
        };
        let verify = format!("/agency/portal-domains/{}/verify", domain["id"].as_str().unwrap());
        (verify, record(0), record(1) + ".")
    }

    #[tokio::test]
    async fn each_change_of_status_is_one_line_whatever_causes_it() {
        let system = System::builder().at(1_800_000_000_000).counted().start().await;
        let mut app = system.app.clone();
        let (sender, receiver) = mpsc::channel();
        send(&mut app, sender);
        let lines = || iter::from_fn(|| receiver.try_recv().ok()).collect::<Vec<_>>();
        let router = system::router(&app).unwrap();
        let [acme, globex] = ["org_acme", "org_globex"].map(|org| system.token(org, "owner"));
        let (acme_verify, acme_txt, _) = claim(&router, &acme).await;
        let (globex_verify, _, globex_cname) = claim(&router, &globex).await;
        post(&router, &acme, &acme_verify, "").await;
        assert_eq!(lines(), [""; 0], "the domain stays pending");

        // A write that is refused prints nothing, and its repetition one line.
        system.advance(Duration::from_secs(5));
        system.dns.set_zone(&acme_txt).unwrap();
        system.inject(Fault::conflict().on("TransactWriteItems"));
        post(&router, &acme, &acme_verify, "").await;
        assert_eq!(system.proxy().pending(), [""; 0]);
        assert_eq!(lines(), ["08:00:05 portal.acme.test pending → verified"]);

        let network = system::network(&app).unwrap();
        system.dns.set_zone("acme.test. A 192.0.2.1").unwrap();
        let later = "2027-01-16T09:30:00Z".parse().unwrap();
        reverify::run(&app, &network, Some(later)).await.unwrap();
        assert_eq!(
            lines(),
            ["09:30:00 portal.acme.test verified → failing (record-missing)"]
        );

        // Another agency takes the name. The clock is that of the next day for a domain that was written then.
        system.dns.set_zone(&globex_cname).unwrap();
        post(&router, &globex, &globex_verify, "").await;
        assert_eq!(
            lines(),
            [
                "09:30:00 portal.acme.test pending → verified",
                "09:30:00 portal.acme.test failing → failed (moved)",
            ]
        );
    }
}
