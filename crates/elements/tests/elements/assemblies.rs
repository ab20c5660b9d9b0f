//! What is done for every element of the golden project, as text.

use crate::record::{self, Kinds, NoFiles};
use bourn_plan::plan;
use serde_json::Value as Json;
use std::fmt::Write;
use std::sync::Arc;

#[test]
fn assemblies_are_as_they_should_be() {
    let records: Vec<Json> = serde_json::from_str(include_str!("../golden/newest.json")).expect("a list");
    let graph = Arc::new(record::graph(&records));
    let plan = plan(graph.clone(), &Kinds, &NoFiles).unwrap_or_else(|wrong| panic!("{wrong}"));
    let mut text = String::new();
    for (at, (element, planned)) in graph.elements.iter().zip(&plan.elements).enumerate() {
        let assembly = planned.description.assembly.to_string();
        let lines: String = assembly.lines().map(|line| format!("    {line}\n")).collect();
        let _ = write!(text, "#{at} {} ({})\n{lines}", element.name, element.kind);
    }
    let expect = include_str!("../golden/assemblies.txt");
    for (found, expect) in text.lines().zip(expect.lines()) {
        assert_eq!(found, expect, "all of it:\n{text}");
    }
    assert_eq!(text, expect);
}
