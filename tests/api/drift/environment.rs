//! Environment variables: equal in the template, its parameters, `samconfig.toml` and the code.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use shared::config::Config;

use crate::harness::template::{root, template};

#[test]
fn the_template_sets_the_variables_that_the_code_reads() {
    let template = template();
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        match name {
            "AUTH_JWKS" | "AUTH_JWKS_URL" => None,
            "TABLE_NAME" | "AUTH_ISSUER" | "AUTH_AUDIENCE" => Some("agency".to_owned()),
            "AUTH_HS256_SECRET" => Some("0123456789abcdef0123456789abcdef".to_owned()),
            "PORTAL_DOMAIN" => Some("portal.example.com".to_owned()),
            "AWS_REGION" => Some("eu-central-1".to_owned()),
            _ => None,
        }
    };
    Config::parse(&lookup).unwrap();
    let mut asked = asked.into_inner();
    // The runtime sets the region, the credentials and the log level, and the secret is for local development. The rest is set outside
    // Lambda, and in an emergency: see OPERATIONS.md.
    for name in [
        "ALL_PROXY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
        "HTTPS_PROXY",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "all_proxy",
        "https_proxy",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_LAMBDA_LOG_LEVEL",
    ] {
        asked.remove(name);
    }
    asked.remove("AUTH_HS256_SECRET");
    let set: BTreeSet<String> = template["Globals"]["Function"]["Environment"]["Variables"]
        .as_object()
        .unwrap()
        .keys()
        // Only the logger reads it.
        .filter(|name| *name != "RUST_LOG")
        .cloned()
        .collect();
    assert_eq!(set, asked);
}

#[test]
fn only_config_and_telemetry_read_the_environment() {
    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    files(&root().join("shared/src"), &mut found);
    files(&root().join("functions"), &mut found);
    assert!(found.len() > 40, "{}", found.len());
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        let reads = text.contains("env::var");
        let may = ["shared/src/config.rs", "shared/src/telemetry.rs", "build.rs"]
            .iter()
            .any(|file| path.ends_with(file));
        assert!(!reads || may, "{} reads the environment", path.display());
    }
}

#[test]
fn every_variable_has_a_parameter_of_its_name_and_every_parameter_is_used() {
    let template = template();
    let variables = &template["Globals"]["Function"]["Environment"]["Variables"];
    for (variable, value) in variables.as_object().unwrap() {
        let parameter = match variable.as_str() {
            "TABLE_NAME" => "ExistingTableName".to_owned(),
            "AWS_ENDPOINT_URL_DYNAMODB" => "DynamoDbEndpoint".to_owned(),
            name => name
                .split('_')
                .map(|word| format!("{}{}", &word[..1], word[1..].to_lowercase()))
                .collect(),
        };
        assert!(
            value.to_string().contains(&format!("\"Ref\":\"{parameter}\"")),
            "{variable}: {value}"
        );
    }
    let text = fs::read_to_string(root().join("template.yaml")).unwrap();
    for (name, parameter) in template["Parameters"].as_object().unwrap() {
        assert!(!parameter["Description"].as_str().unwrap().is_empty(), "{name}");
        let used = text.contains(&format!("!Ref {name}")) || text.contains(&format!("${{{name}}}"));
        assert!(used, "{name} is not used");
    }
}

#[test]
fn samconfig_sets_parameters_that_the_template_has() {
    let config = fs::read_to_string(root().join("samconfig.toml")).unwrap();
    let template = template();
    let mut parameters = 0;
    for line in config.lines() {
        if let Some((name, _)) = line
            .trim()
            .strip_prefix('"')
            .and_then(|line| line.split_once('='))
        {
            assert!(template["Parameters"].get(name).is_some(), "{line}");
            parameters += 1;
        }
    }
    assert!(parameters > 0);
    for table in ["dev.deploy", "prod.deploy", "local.build"] {
        assert!(config.contains(&format!("[{table}.parameters]")), "{table}");
    }
}
