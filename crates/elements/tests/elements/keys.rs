//! Keys as the reference made them: resolved elements taken out of bst, and what bst made of them; see
//! `golden/README.md`. A file of any other project is compared when `BOURN_GOLDEN` names it.

use crate::record::{self, Kinds, NoFiles};
use bourn_elements::ELEMENTS;
use bourn_plan::{KeyInputs, Plan, plan};
use bourn_project::ElementId;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Instant;

#[test]
fn keys_are_those_of_the_reference() {
    assert_eq!(compare(include_str!("../golden/newest.json")), 0);
}

#[test]
fn keys_follow_the_version_of_a_package() {
    for text in [
        include_str!("../golden/community-2.0.0.json"),
        include_str!("../golden/community-2.1.0.json"),
        include_str!("../golden/community-2.3.1.json"),
        include_str!("../golden/community-2.3.3.json"),
    ] {
        assert_eq!(compare(text), 0);
    }
}

#[test]
fn every_kind_has_a_key() {
    let records: Vec<Json> = serde_json::from_str(include_str!("../golden/newest.json")).expect("a list");
    // Links are followed by the loader; junctions and what a repository carries are not in the project.
    let outside = ["junction", "link"];
    for entry in ELEMENTS.iter().filter(|entry| !outside.contains(&entry.name)) {
        assert!(records.iter().any(|record| record["kind"] == entry.name), "{}", entry.name);
    }
}

#[test]
fn keys_of_another_project() {
    let Some(path) = std::env::var_os("BOURN_GOLDEN") else { return };
    let text = std::fs::read_to_string(path).expect("BOURN_GOLDEN names a file");
    assert_eq!(compare(&text), 0);
}

/// Plans the elements and prints what differs; answers how many do.
fn compare(text: &str) -> usize {
    let records: Vec<Json> = serde_json::from_str(text).expect("a list");
    let graph = Arc::new(record::graph(&records));
    let start = Instant::now();
    let plan = plan(graph.clone(), &Kinds, &NoFiles).unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{} elements planned in {:?}", records.len(), start.elapsed());
    let rounds = std::env::var("BOURN_GOLDEN_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    for _ in 0..rounds.unwrap_or(0) {
        let start = Instant::now();
        let again =
            bourn_plan::plan(graph.clone(), &Kinds, &NoFiles).unwrap_or_else(|wrong| panic!("{wrong}"));
        println!("again in {:?}", start.elapsed());
        drop(again);
    }
    let different: Vec<String> =
        records.iter().enumerate().filter_map(|(at, record)| difference(&plan, at, record)).collect();
    for difference in different.iter().take(10) {
        println!("{difference}");
    }
    println!("{} of {} differ", different.len(), records.len());
    different.len()
}

fn difference(plan: &Plan, at: usize, record: &Json) -> Option<String> {
    let element = &plan.elements[at];
    let unique: Json = serde_json::from_str(&element.description.unique_key.to_json()).expect("JSON");
    let found = [
        ("unique", unique),
        ("version", element.description.artifact_version.into()),
        ("runs", element.description.runs_commands.into()),
        ("strict_rebuild", element.description.strict_rebuild.into()),
        ("sources_key", element.sources_key.clone().into()),
        ("weak", element.weak_key.as_ref().map(|key| key.0.clone()).into()),
        ("strict", element.strict_key.as_ref().map(|key| key.0.clone()).into()),
    ];
    let inputs = KeyInputs::strict(plan, ElementId(at as u32)).map(|inputs| inputs.key());
    assert_eq!(inputs, element.strict_key.as_ref().map(|key| key.0.clone()), "{}", record["full"]);
    let (name, value) = found.into_iter().find(|(name, value)| record[*name] != *value)?;
    Some(format!("{} ({}): {name} is {value}, wanted {}", record["full"], record["kind"], record[name]))
}
