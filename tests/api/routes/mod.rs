//! One file for each operation, with what is specific to it. `conventions` has what all operations share.

mod check_tls;
mod create_client_org;
mod create_portal_domain;
mod create_setup_link;
mod delete_client_org;
mod delete_portal_domain;
mod delete_setup_link;
mod enable_agency;
mod get_agency_overview;
mod get_branding;
mod get_client_branding;
mod get_client_org;
mod get_client_portal_config;
mod get_health;
mod get_openapi;
mod get_openapi30;
mod get_portal_config;
mod get_portal_context;
mod get_portal_domain;
mod get_public_branding;
mod get_setup;
mod get_setup_records;
mod get_setup_style;
mod get_theme_css;
mod list_audit_entries;
mod list_client_orgs;
mod list_portal_domains;
mod put_branding;
mod put_client_branding;
mod put_client_portal_config;
mod put_portal_config;
mod redirect_host;
mod update_client_org;
mod update_portal_domain;
mod verify_portal_domain;
mod verify_setup;

use std::{collections::BTreeSet, fs};

use crate::harness::{operations::operations, template::root};

/// The file of an operation.
fn file(operation: &str) -> String {
    let mut name = String::new();
    for letter in operation.chars() {
        if letter.is_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name + ".rs"
}

#[test]
fn every_operation_has_a_file_of_its_name() {
    let folder = fs::read_dir(root().join("tests/api/routes")).unwrap();
    let files = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<_> = files.filter(|name| name != "mod.rs").collect();
    let expected: BTreeSet<_> = operations().iter().map(|operation| file(&operation.id)).collect();
    assert_eq!(files, expected);
}
