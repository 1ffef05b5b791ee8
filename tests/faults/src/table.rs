//! The items of the table, read from DynamoDB without the code of the API.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use serde_json::Value;

/// A partition key and a sort key.
pub type Key = (String, String);

/// The table and its indexes.
#[derive(Clone, Default, PartialEq)]
pub struct TableItems {
    pub items: BTreeMap<Key, Value>,
    /// The keys in the index of due domains.
    pub due: Vec<Value>,
    /// The entries of the index of hosts.
    pub hosts: Vec<Value>,
}

impl TableItems {
    /// Reads everything.
    ///
    /// # Errors
    /// DynamoDB cannot be read.
    pub async fn read(client: &Client, name: &str) -> Result<Self, String> {
        let items = scan(client, name, None).await?;
        let key = |item: &Value| (text(item, "PK").to_owned(), text(item, "SK").to_owned());
        Ok(Self {
            items: items.into_iter().map(|item| (key(&item), item)).collect(),
            due: scan(client, name, Some("due")).await?,
            hosts: scan(client, name, Some("hosts")).await?,
        })
    }

    /// The items of this kind.
    pub fn of_kind(&self, entity: &str) -> impl Iterator<Item = &Value> {
        self.items
            .values()
            .filter(move |item| text(item, "entity") == entity)
    }

    pub fn get(&self, pk: impl Into<String>, sk: impl Into<String>) -> Option<&Value> {
        self.items.get(&(pk.into(), sk.into()))
    }

    /// The clients, each once.
    pub fn clients(&self) -> impl Iterator<Item = &Value> {
        self.of_kind("client")
            .filter(|client| text(client, "SK").starts_with("CLIENT#"))
    }
}

async fn scan(client: &Client, table: &str, index: Option<&str>) -> Result<Vec<Value>, String> {
    let scan = client
        .scan()
        .table_name(table)
        .set_index_name(index.map(str::to_owned))
        .set_consistent_read(index.is_none().then_some(true));
    let mut pages = scan.into_paginator().items().send();
    let mut items = Vec::new();
    while let Some(item) = pages.next().await {
        let item = item.map_err(|error| format!("scan: {:?}", error.into_service_error()))?;
        items.push(serde_dynamo::from_item(item).map_err(|error| error.to_string())?);
    }
    Ok(items)
}

/// An attribute with a text, or an empty one.
pub fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name].as_str().unwrap_or_default()
}
