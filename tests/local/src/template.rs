//! The table as `template.yaml` defines it, so that one machine has the keys and the index that AWS has.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType, TableStatus, TimeToLiveSpecification,
    },
};
use serde::Deserialize;
use serde_norway::Value;

/// The deployed system's own template, in the binary so that it runs from anywhere.
const TEMPLATE: &str = include_str!("../../../template.yaml");

/// Why there is no table: a sentence for the person at the terminal.
#[derive(Debug)]
pub struct Error(String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// What of an `AWS::DynamoDB::Table` matters to the code that uses it. Backups, encryption, streams and protection
/// are AWS's own business.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub struct Table {
    attribute_definitions: Vec<Attribute>,
    key_schema: Vec<Key>,
    #[serde(default)]
    global_secondary_indexes: Vec<Index>,
    time_to_live_specification: Option<TimeToLive>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    attribute_name: String,
    attribute_type: String,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Key {
    attribute_name: String,
    key_type: String,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Index {
    index_name: String,
    key_schema: Vec<Key>,
    projection: ProjectedAttributes,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct ProjectedAttributes {
    projection_type: String,
    non_key_attributes: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct TimeToLive {
    attribute_name: String,
    enabled: bool,
}

impl Table {
    /// The resource `Table` of the project's template.
    ///
    /// # Errors
    /// The template is not YAML or its table lacks a property.
    pub fn from_template() -> Result<Self, Error> {
        Self::parse(TEMPLATE)
    }

    fn parse(template: &str) -> Result<Self, Error> {
        let wrong = |error: serde_norway::Error| Error(format!("template.yaml: {error}"));
        // First as a plain value: CloudFormation's tags (!Ref, !Sub, …) may stand anywhere in it.
        let template: Value = serde_norway::from_str(template).map_err(wrong)?;
        let properties = ["Resources", "Table", "Properties"]
            .iter()
            .try_fold(&template, |value, name| value.get(name))
            .ok_or_else(|| Error("template.yaml: there is no Resources.Table.Properties".into()))?;
        serde_norway::from_value(properties.clone()).map_err(wrong)
    }

    /// Creates the table as `name`, waits until it is active and sets its time to live. What is there already stays as
    /// it is.
    ///
    /// # Errors
    /// The database refuses, cannot be reached, or takes over a minute.
    pub async fn create(&self, client: &Client, name: &str) -> Result<(), Error> {
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
            Err(error) => return Err(refused("CreateTable", error)),
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
                Err(refused("UpdateTimeToLive", error))
            }
            _ => Ok(()), // Refused as invalid where it is set already.
        }
    }

    async fn wait_until_active(&self, client: &Client, name: &str) -> Result<(), Error> {
        for _ in 0..300 {
            let answer = client
                .describe_table()
                .table_name(name)
                .send()
                .await
                .map_err(|error| refused("DescribeTable", error))?;
            if answer.table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(Error(format!("the table {name} is not active after a minute")))
    }
}

impl Attribute {
    fn build(&self) -> Result<AttributeDefinition, Error> {
        AttributeDefinition::builder()
            .attribute_name(&self.attribute_name)
            .attribute_type(ScalarAttributeType::from(self.attribute_type.as_str()))
            .build()
            .map_err(incomplete)
    }
}

impl Index {
    fn build(&self) -> Result<GlobalSecondaryIndex, Error> {
        let projection = Projection::builder()
            .projection_type(ProjectionType::from(self.projection.projection_type.as_str()))
            .set_non_key_attributes(self.projection.non_key_attributes.clone())
            .build();
        GlobalSecondaryIndex::builder()
            .index_name(&self.index_name)
            .set_key_schema(Some(schema(&self.key_schema)?))
            .projection(projection)
            .build()
            .map_err(incomplete)
    }
}

impl TimeToLive {
    fn build(&self) -> Result<TimeToLiveSpecification, Error> {
        TimeToLiveSpecification::builder()
            .attribute_name(&self.attribute_name)
            .enabled(self.enabled)
            .build()
            .map_err(incomplete)
    }
}

fn schema(keys: &[Key]) -> Result<Vec<KeySchemaElement>, Error> {
    keys.iter()
        .map(|key| {
            KeySchemaElement::builder()
                .attribute_name(&key.attribute_name)
                .key_type(KeyType::from(key.key_type.as_str()))
                .build()
                .map_err(incomplete)
        })
        .collect()
}

fn incomplete(error: aws_sdk_dynamodb::error::BuildError) -> Error {
    Error(format!("template.yaml: {error}"))
}

fn refused<E>(action: &str, error: SdkError<E>) -> Error
where
    E: std::error::Error + 'static,
{
    let mut causes = vec![error.to_string()];
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    Error(format!("DynamoDB {action}: {}", causes.join(": ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dynamodb, environment::REGION};

    #[test]
    fn tags_of_cloudformation_may_stand_anywhere() {
        let table = Table::parse(
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
    fn a_template_without_a_table_is_an_error_that_says_so() {
        let error = Table::parse("Resources: {}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "template.yaml: there is no Resources.Table.Properties"
        );
        let error = Table::parse("Resources: {Table: {Properties: {KeySchema: 1}}}").unwrap_err();
        assert!(error.to_string().starts_with("template.yaml: "), "{error}");
    }

    #[tokio::test]
    async fn the_table_of_the_template_can_be_made_twice_and_has_its_index_and_time_to_live() {
        let client = dynamodb::client(&format!("http://{}", dynamodb::shared()), REGION);
        let table = Table::from_template().unwrap();
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
        let index = &described.global_secondary_indexes()[0];
        assert_eq!(index.index_name(), Some("due"));
        assert_eq!(
            index.projection().unwrap().projection_type(),
            Some(&ProjectionType::KeysOnly)
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
