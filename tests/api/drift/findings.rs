//! The codes of findings are those on the operator's page.

use std::{collections::BTreeSet, fs};

use crate::harness::{operations::DOCUMENT, template::root};

#[test]
fn the_operators_page_explains_every_finding() {
    let codes = &DOCUMENT["components"]["schemas"]["FindingCode"]["enum"];
    let codes: BTreeSet<_> = codes
        .as_array()
        .unwrap()
        .iter()
        .map(|code| code.as_str().unwrap().to_owned())
        .collect();
    let page = fs::read_to_string(root().join("OPERATIONS.md")).unwrap();
    let (_, section) = page.split_once("\n### Findings\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let explained: BTreeSet<_> = rows
        .map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            assert!(
                cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()),
                "{row}"
            );
            assert!(["error", "unknown", "warning"].contains(&cells[1]), "{row}");
            cells[0].trim_matches('`').to_owned()
        })
        .collect();
    assert_eq!(explained, codes, "in OPERATIONS.md, and in the code");
}
