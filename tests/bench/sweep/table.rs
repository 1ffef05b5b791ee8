//! The table of `cargo local`, filled with due domains.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::{AttributeValue, PutRequest, WriteRequest},
};
use futures_util::{StreamExt, TryStreamExt};
use shared::{
    models::time::Timestamp,
    store::{DomainRecord, Item},
};

use crate::{
    Result,
    internet::{self, Batch},
    process,
};

/// The table's name.
pub const NAME: &str = "agency";
/// The most items that `BatchWriteItem` takes.
const BATCH: usize = 25;

/// A running `cargo local`. Dropping it stops the process.
pub struct DueTable {
    server: Child,
    endpoint: String,
    client: Client,
}

impl DueTable {
    /// Starts it with an empty table.
    pub async fn start(variables: &BTreeMap<&'static str, String>) -> Result<Self> {
        let any = "127.0.0.1:0";
        let address = TcpListener::bind(any)?.local_addr()?.to_string();
        let endpoint = format!("http://{address}");
        let server = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "TERM",
                "cargo",
                "run",
                "--release",
                "--quiet",
                "--package",
                "local",
                "--",
            ])
            .args(["--no-schedule", "--addr", any, "--dynamodb-addr", &address])
            .envs(variables)
            .process_group(0)
            .stdout(Stdio::null())
            .spawn()?;
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(&endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "local"))
            .http_client(shared::app::direct_http())
            .build();
        let client = Client::from_conf(config);
        let mut table = Self {
            server,
            endpoint,
            client,
        };
        for _ in 0..600 {
            if table
                .client
                .describe_table()
                .table_name(NAME)
                .send()
                .await
                .is_ok()
            {
                return Ok(table);
            }
            if table.server.try_wait()?.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("`cargo local` does not respond".into())
    }

    /// The variables of the environment that point to it.
    pub fn variables(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([("AWS_ENDPOINT_URL_DYNAMODB", self.endpoint.clone())])
    }

    /// The CPU time of its processes.
    pub fn cpu(&self) -> Result<Duration> {
        process::cpu_of_group(self.server.id())
    }

    /// Adds the domains of the batch.
    pub async fn add(&self, batch: Batch) -> Result<()> {
        let now = Timestamp::now();
        let item = |number| {
            let record = DomainRecord::new(internet::domain(number, now)?);
            record.item().map_err(|error| error.to_string().into())
        };
        self.put(batch.numbers().map(item)).await
    }

    /// Writes the items.
    pub async fn put(&self, items: impl Iterator<Item = Result<Item>>) -> Result<()> {
        let batches = futures_util::stream::iter(items).chunks(BATCH);
        let writes = batches.map(|items| self.write(items));
        writes.buffer_unordered(4).try_collect().await
    }

    /// The items of a partition that contain this text in their id or in a key.
    pub async fn items_with(&self, partition: &str, id: &str) -> Result<Vec<Item>> {
        let query = self
            .client
            .query()
            .table_name(NAME)
            .key_condition_expression("PK = :pk");
        let query = query.expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()));
        let items = query
            .into_paginator()
            .items()
            .send()
            .collect::<std::result::Result<Vec<_>, _>>()
            .await?;
        let has_id = |item: &Item| {
            let mut values = ["PK", "SK", "id"]
                .iter()
                .filter_map(|name| item.get(*name)?.as_s().ok());
            values.any(|value| value.contains(id))
        };
        Ok(items.into_iter().filter(has_id).collect())
    }

    async fn write(&self, items: Vec<Result<Item>>) -> Result<()> {
        let mut writes = Vec::with_capacity(items.len());
        for item in items {
            let put = PutRequest::builder().set_item(Some(item?)).build()?;
            writes.push(WriteRequest::builder().put_request(put).build());
        }
        let answer = self
            .client
            .batch_write_item()
            .request_items(NAME, writes)
            .send()
            .await?;
        match answer.unprocessed_items.unwrap_or_default().is_empty() {
            true => Ok(()),
            false => Err("DynamoDB left items unprocessed".into()),
        }
    }
}

impl Drop for DueTable {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
