//! Keys as the reference made them: resolved elements taken out of bst, and what bst made of them; see
//! `golden/README.md`. A file of any other project is compared when `BOURN_GOLDEN` names it.

use crate::record::{self, Kinds, NoFiles};
use bourn_elements::ELEMENTS;
use bourn_plan::{CacheKey, KeyInputs, Plan, plan};
use bourn_project::ElementId;
use serde_json::{Value as Json, json};
use std::sync::Arc;

#[test]
fn keys_are_those_of_the_reference() {
    compare(include_str!("../golden/newest.json"));
}

#[test]
fn keys_follow_the_version_of_a_package() {
    for text in [
        include_str!("../golden/community-2.0.0.json"),
        include_str!("../golden/community-2.1.0.json"),
        include_str!("../golden/community-2.3.1.json"),
        include_str!("../golden/community-2.3.3.json"),
    ] {
        compare(text);
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
    compare(&text);
}

/// Plans the elements and fails with what differs.
fn compare(text: &str) {
    let records: Vec<Json> = serde_json::from_str(text).expect("a list");
    let plan = planned(text, |_| {});
    let different: Vec<String> =
        records.iter().enumerate().filter_map(|(at, record)| difference(&plan, at, record)).collect();
    assert!(
        different.is_empty(),
        "{} of {} differ:\n{}",
        different.len(),
        records.len(),
        different.join("\n")
    );
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

#[test]
fn strong_keys_of_strict_builds_are_strict_keys() {
    let plan = planned(include_str!("../golden/newest.json"), |_| {});
    for at in 0..plan.elements.len() {
        let id = ElementId(at as u32);
        let keys: Vec<CacheKey> =
            plan.elements.iter().map(|element| element.strict_key.as_ref().expect("a key").into()).collect();
        let strong = plan.strong_key(id, |id| keys.get(id.0 as usize));
        assert_eq!(strong.as_ref(), Some(&keys[at]));
        let leaf = plan.edges.direct_build(id).len() == 0;
        assert_eq!(plan.strong_key(id, |_| None).is_some(), leaf, "#{at}");
        let other = CacheKey("other".into());
        assert_eq!(plan.strong_key(id, |_| Some(&other)) == strong, leaf, "#{at}");
    }
}

/// An element without a ref has no keys, nor has what is built upon it, but for weak keys: they only need its name,
/// unless its weak key is asked for.
#[test]
fn keys_are_missing_where_refs_are() {
    let plan = planned(include_str!("../golden/newest.json"), |records| {
        let tool = records.iter_mut().find(|record| record["name"] == "tool.bst").expect("an element");
        tool["sources"] = json!([{"kind": "local", "directory": null, "key": null}]);
    });
    let keys = |name: &str| {
        let at = plan.graph.elements.iter().position(|element| &*element.name == name).expect("an element");
        let element = &plan.elements[at];
        (element.sources_key.is_some(), element.weak_key.is_some(), element.strict_key.is_some())
    };
    assert_eq!(keys("tool.bst"), (false, false, false));
    assert_eq!(keys("autotools.bst"), (true, true, false), "built upon it");
    assert_eq!(keys("script-plain.bst"), (true, false, false), "rebuilt whenever it changes");
    assert_eq!(keys("manual-socket.bst"), (true, false, false), "depends on it strictly");
    assert_eq!(keys("import-part.bst"), (true, true, true), "does not need it");
}

fn planned(text: &str, change: impl Fn(&mut Vec<Json>)) -> Plan {
    let mut records: Vec<Json> = serde_json::from_str(text).expect("a list");
    change(&mut records);
    plan(Arc::new(record::graph(&records)), &Kinds, &NoFiles).unwrap_or_else(|wrong| panic!("{wrong}"))
}
