//! Crates that must stay where they are: the emulator in no function, DNS only where domains are checked.

use std::fs;

use crate::harness::template::root;

#[test]
fn functions_have_no_emulator_and_only_two_have_dns() {
    let forbidden = |manifest: &str, crates: &[&str]| {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let normal = text.split("[dev-dependencies]").next().unwrap();
        for name in crates {
            assert!(!normal.contains(name), "{manifest} has {name}");
        }
    };
    forbidden("shared/Cargo.toml", &["dynoxide", "hickory"]);
    for function in fs::read_dir(root().join("functions")).unwrap() {
        let function = function.unwrap().file_name().into_string().unwrap();
        let manifest = format!("functions/{function}/Cargo.toml");
        forbidden(&manifest, &["dynoxide", "hickory-server"]);
        if !matches!(function.as_str(), "domains" | "reverify") {
            forbidden(&manifest, &["hickory"]);
        }
    }
}
