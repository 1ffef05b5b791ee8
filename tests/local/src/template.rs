//! The table of `template.yaml`, so that its keys and its index are the same on one machine and in AWS.

use std::{error::Error, iter, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::{BuildError, ProvideErrorMetadata, SdkError},
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType, TableStatus, TimeToLiveSpecification,
    },
};
use dynoxide::Database;
use serde::{Deserialize, Serialize};
use serde_norway::Value;

/// The deployed template. It is part of the binary, so that the binary runs in any directory.
const TEMPLATE: &str = include_str!("../../../template.yaml");

/// Why the table cannot be created, in one line.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The template is not YAML, or a property of its table has another type.
    #[error("template.yaml: {0}")]
    Yaml(#[from] serde_norway::Error),
    /// The template has no resource `Table`, or the resource has no properties.
    #[error("template.yaml: there is no Resources.Table.Properties")]
    Missing,
    /// A definition lacks a property that DynamoDB requires.
    #[error("template.yaml: {0}")]
    Incomplete(#[from] BuildError),
    /// DynamoDB rejected the request, or did not respond.
    #[error("DynamoDB {action}: {causes}")]
    Request {
        /// `CreateTable`, …
        action: &'static str,
        /// The error and its sources, joined by `: `.
        causes: String,
    },
    /// The table was not `ACTIVE` within a minute.
    #[error("the table {0} is not active after a minute")]
    Inactive(String),
}

/// The properties of an `AWS::DynamoDB::Table` that affect reads and writes. Backups, encryption, streams and deletion
/// protection exist in AWS only.
#[derive(Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub struct TableDefinition {
    attribute_definitions: Vec<Attribute>,
    key_schema: Vec<KeyAttribute>,
    #[serde(default)]
    global_secondary_indexes: Vec<Index>,
    time_to_live_specification: Option<TimeToLive>,
}

#[derive(Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    attribute_name: String,
    attribute_type: String,
}

#[derive(Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct KeyAttribute {
    attribute_name: String,
    key_type: String,
}

#[derive(Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Index {
    index_name: String,
    key_schema: Vec<KeyAttribute>,
    projection: ProjectedAttributes,
}

#[derive(Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct ProjectedAttributes {
    projection_type: String,
    non_key_attributes: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct TimeToLive {
    attribute_name: String,
    enabled: bool,
}

impl TableDefinition {
    /// Reads the resource `Table` of `template.yaml`.
    ///
    /// # Errors
    /// The template is not YAML, or its table lacks a property.
    pub fn from_template() -> Result<Self, TableError> {
        Self::parse(TEMPLATE)
    }

    fn parse(template: &str) -> Result<Self, TableError> {
        // First as an untyped value, because CloudFormation's tags (!Ref, !Sub, …) may occur anywhere.
        let template: Value = serde_norway::from_str(template)?;
        let properties = ["Resources", "Table", "Properties"]
            .iter()
            .try_fold(&template, |value, name| value.get(name))
            .ok_or(TableError::Missing)?;
        Ok(serde_norway::from_value(properties.clone())?)
    }

    /// Creates the table as `name` in the embedded database, without its time to live.
    ///
    /// # Errors
    /// The definition is incomplete, or the database fails.
    pub fn create_in(&self, database: &Database, name: &str) -> Result<(), String> {
        let mut request = serde_json::to_value(self).map_err(|error| error.to_string())?;
        request["TableName"] = name.into();
        request["BillingMode"] = BillingMode::PayPerRequest.as_str().into();
        let request = serde_json::from_value(request).map_err(|error| error.to_string())?;
        database
            .create_table(request)
            .map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Creates the table as `name`, waits until it is active and sets its time to live. Changes nothing on an existing
    /// table.
    ///
    /// # Errors
    /// DynamoDB rejects a request or does not respond, or the table is not active within a minute.
    pub async fn create(&self, client: &Client, name: &str) -> Result<(), TableError> {
        let request = client
            .create_table()
            .table_name(name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(
                self.attribute_definitions
                    .iter()
                    .map(Attribute::build)
                    .collect::<Result<_, _>>()?,
            ))
            .set_key_schema(Some(schema(&self.key_schema)?))
            .set_global_secondary_indexes(match self.global_secondary_indexes.as_slice() {
                [] => None,
                indexes => Some(indexes.iter().map(Index::build).collect::<Result<_, _>>()?),
            });
        let existed = match request.send().await {
            Ok(_) => false,
            Err(error) if error.code() == Some("ResourceInUseException") => true,
            Err(error) => return Err(request_error("CreateTable", error)),
        };
        self.wait_until_active(client, name).await?;
        let Some(time_to_live) = &self.time_to_live_specification else {
            return Ok(());
        };
        let request = client
            .update_time_to_live()
            .table_name(name)
            .time_to_live_specification(time_to_live.build()?);
        match request.send().await {
            Err(error) if !(existed && error.code() == Some("ValidationException")) => {
                Err(request_error("UpdateTimeToLive", error))
            }
            _ => Ok(()), // DynamoDB rejects a time to live that is already set.
        }
    }

    async fn wait_until_active(&self, client: &Client, name: &str) -> Result<(), TableError> {
        for _ in 0..300 {
            let response = client
                .describe_table()
                .table_name(name)
                .send()
                .await
                .map_err(|error| request_error("DescribeTable", error))?;
            if response.table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(TableError::Inactive(name.to_owned()))
    }
}

impl Attribute {
    fn build(&self) -> Result<AttributeDefinition, TableError> {
        Ok(AttributeDefinition::builder()
            .attribute_name(&self.attribute_name)
            .attribute_type(ScalarAttributeType::from(self.attribute_type.as_str()))
            .build()?)
    }
}

impl Index {
    fn build(&self) -> Result<GlobalSecondaryIndex, TableError> {
        let projection = Projection::builder()
            .projection_type(ProjectionType::from(self.projection.projection_type.as_str()))
            .set_non_key_attributes(self.projection.non_key_attributes.clone())
            .build();
        Ok(GlobalSecondaryIndex::builder()
            .index_name(&self.index_name)
            .set_key_schema(Some(schema(&self.key_schema)?))
            .projection(projection)
            .build()?)
    }
}

impl TimeToLive {
    fn build(&self) -> Result<TimeToLiveSpecification, TableError> {
        Ok(TimeToLiveSpecification::builder()
            .attribute_name(&self.attribute_name)
            .enabled(self.enabled)
            .build()?)
    }
}

fn schema(keys: &[KeyAttribute]) -> Result<Vec<KeySchemaElement>, TableError> {
    keys.iter()
        .map(|key| {
            Ok(KeySchemaElement::builder()
                .attribute_name(&key.attribute_name)
                .key_type(KeyType::from(key.key_type.as_str()))
                .build()?)
        })
        .collect()
}

fn request_error<E>(action: &'static str, error: SdkError<E>) -> TableError
where
    E: Error + 'static,
{
    TableError::Request {
        action,
        causes: causes(&error),
    }
}

/// The error and its sources in one line. The SDK's errors do not name their sources.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |error| (*error).source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dynamodb, environment::REGION};

    #[test]
    fn cloudformation_tags_may_occur_anywhere() {
        let table = TableDefinition::parse(
            "Transform: AWS::Serverless-2016-10-31
Conditions: {Mine: !Equals [!Ref Existing, '']}
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Condition: Mine
    Properties:
      TableName: !Sub '${AWS::StackName}-table'
      BillingMode: PAY_PER_REQUEST
      DeletionProtectionEnabled: !If [Mine, true, false]
      AttributeDefinitions:
        - { AttributeName: PK, AttributeType: S }
        - { AttributeName: AT, AttributeType: N }
      KeySchema:
        - { AttributeName: PK, KeyType: HASH }
      GlobalSecondaryIndexes:
        - IndexName: at
          KeySchema: [{ AttributeName: AT, KeyType: HASH }]
          Projection: { ProjectionType: KEYS_ONLY }
      Tags: [{ Key: stage, Value: !Ref Stage }]
",
        )
        .unwrap();
        assert_eq!(table.attribute_definitions[1].attribute_type, "N");
        assert_eq!(table.key_schema.len(), 1);
        assert_eq!(
            table.global_secondary_indexes[0].projection.projection_type,
            "KEYS_ONLY"
        );
        assert_eq!(table.time_to_live_specification, None);
    }

    #[test]
    fn a_template_without_a_table_is_an_error() {
        let error = TableDefinition::parse("Resources: {}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "template.yaml: there is no Resources.Table.Properties"
        );
        let error = TableDefinition::parse("Resources: {Table: {Properties: {KeySchema: 1}}}").unwrap_err();
        assert!(error.to_string().starts_with("template.yaml: "), "{error}");
    }

    #[tokio::test]
    async fn creating_the_table_twice_is_no_error_and_sets_indexes_and_time_to_live() {
        let client = dynamodb::client(&format!("http://{}", dynamodb::shared()), REGION);
        let table = TableDefinition::from_template().unwrap();
        table.create(&client, "template-twice").await.unwrap();
        table.create(&client, "template-twice").await.unwrap();

        let described = client
            .describe_table()
            .table_name("template-twice")
            .send()
            .await
            .unwrap()
            .table
            .unwrap();
        let indexes = described.global_secondary_indexes().iter();
        let projections: Vec<_> = indexes
            .map(|index| (index.index_name().unwrap(), index.projection().unwrap()))
            .map(|(name, projection)| {
                (
                    name,
                    projection.projection_type().unwrap(),
                    projection.non_key_attributes(),
                )
            })
            .collect();
        let shown = ["clientOrgId", "status", "routing"].map(str::to_owned);
        assert_eq!(
            projections,
            [
                ("due", &ProjectionType::KeysOnly, &[][..]),
                ("hosts", &ProjectionType::Include, &shown),
            ]
        );
        let time_to_live = client
            .describe_time_to_live()
            .table_name("template-twice")
            .send()
            .await
            .unwrap();
        let time_to_live = time_to_live.time_to_live_description.unwrap();
        assert_eq!(time_to_live.attribute_name(), Some("expiresAt"));
    }
}
