//! The template: what is protected, and what must not be fixed.

use std::fs;

use serde_json::json;
use shared::telemetry;

use crate::harness::template::{functions, root, template};

#[test]
fn the_table_is_protected_and_its_throughput_has_a_cap() {
    let template = template();
    let table = &template["Resources"]["Table"];
    assert_eq!(table["DeletionPolicy"], "Retain");
    assert_eq!(table["UpdateReplacePolicy"], "Retain");
    let properties = &table["Properties"];
    assert_eq!(properties["DeletionProtectionEnabled"], true);
    assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(
        properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"],
        true
    );
    assert_eq!(properties["SSESpecification"]["SSEEnabled"], true);
    assert_eq!(properties["StreamSpecification"]["StreamViewType"], "NEW_IMAGE");
    assert_eq!(properties["TimeToLiveSpecification"]["Enabled"], true);
    let cap = &properties["OnDemandThroughput"];
    assert!(cap["MaxWriteRequestUnits"].is_object() && cap["MaxReadRequestUnits"].is_object());
    for index in properties["GlobalSecondaryIndexes"].as_array().unwrap() {
        assert_eq!(
            &index["OnDemandThroughput"], cap,
            "a lower cap would throttle the table"
        );
    }
    for (name, function) in functions(&template) {
        let function = &function["Properties"];
        assert_eq!(
            function["AutoPublishCodeSha256"],
            json!({"Ref": "Revision"}),
            "{name}"
        );
        assert!(function["LoggingConfig"]["LogGroup"].is_object(), "{name}");
    }
    for (name, resource) in template["Resources"].as_object().unwrap() {
        if resource["Type"] == "AWS::Logs::LogGroup" {
            assert!(
                resource["Properties"]["RetentionInDays"].is_object(),
                "{name} has no retention"
            );
        }
    }
}

#[test]
fn no_resource_has_a_name_that_two_stacks_would_share() {
    let names = [
        "TableName",
        "RoleName",
        "TopicName",
        "QueueName",
        "AlarmName",
        "DashboardName",
    ];
    let template = template();
    let resources = template["Resources"].as_object().unwrap();
    for (id, resource) in resources {
        for name in names {
            assert!(
                resource["Properties"].get(name).is_none(),
                "{id} has a fixed {name}"
            );
        }
        for name in ["LogGroupName", "FunctionName"] {
            let name = &resource["Properties"][name];
            let is_resource = name["Ref"].as_str().is_some_and(|id| resources.contains_key(id));
            let has_stack = name["Sub"]
                .as_str()
                .is_some_and(|name| name.contains("${AWS::StackName}"));
            assert!(name.is_null() || is_resource || has_stack, "{id}: {name}");
        }
    }
}

#[test]
fn the_log_level_applies_to_every_function() {
    for folder in fs::read_dir(root().join("functions")).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(
            telemetry::OURS.contains(&name.as_str()),
            "telemetry::OURS lacks {name}"
        );
    }
}
