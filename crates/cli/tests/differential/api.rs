//! What plugins are told by the API itself: some 2,000 calls, each with the same answer, or the same error, in both.
//!
//! Left out is where bourn's module is more generous on purpose: mappings have a length and can be walked through,
//! values can be printed, defaults that are lists and mappings hold nodes.

use crate::Both;
use std::collections::BTreeMap;

const PROJECT: &str = include_str!("api.txt");

/// What the plugin wrote down, by the name of each call.
fn found(both: &Both) -> BTreeMap<String, serde_json::Value> {
    let path = both.bourn.project().join("found.json");
    let text = std::fs::read_to_string(&path).expect("what was found");
    std::fs::remove_file(&path).expect("removed");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn every_call_is_answered_alike() {
    let Some(both) = Both::new(PROJECT) else { return };
    std::os::unix::fs::symlink("sub", both.bourn.project().join("tree/link")).expect("a link");
    let words = ["show", "--format", "%{full-key}", "probe.bst"];
    both.bourn(&words).success();
    let ours = found(&both);
    both.bst(&words).success();
    let theirs = found(&both);
    assert!(theirs.len() > 1_500, "{}", theirs.len());
    let names: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
    let differ: Vec<String> = names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| format!("{name}: {:?} (bourn) {:?} (bst)", ours.get(name), theirs.get(name)))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
