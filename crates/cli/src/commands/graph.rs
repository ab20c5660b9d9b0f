//! `bourn graph`: what depends on what, for Graphviz or as a picture.

use crate::args::command::Graph;
use crate::commands::print;
use crate::exit::Outcome;
use crate::invocation::Invocation;
use crate::world::World;
use bourn_project::selection::Selection;
use bourn_project::{DependencyKind, ElementGraph, ElementId};
use std::collections::HashMap;
use std::fmt::Write;

/// Prints the graph.
pub(crate) fn run(invocation: &Invocation<'_>, options: &Graph) -> Outcome {
    let Some(named) = invocation.elements(&options.elements)? else { return Ok(0) };
    let world = World::load(invocation, &named, &options.except)?;
    let mut elements = world.select(Selection::from(options.deps));
    // Targets stand in their own picture, even when only what they are built upon is asked for.
    for &target in &world.graph().targets {
        if !elements.contains(&target) {
            elements.push(target);
        }
    }
    let picture = Picture::new(world.graph(), &elements);
    let text = if options.svg { picture.svg() } else { picture.dot() };
    invocation.reporter.aside(|| print::result(&text))
}

struct Edge {
    from: usize,
    to: usize,
    kind: DependencyKind,
}

/// Elements, numbered, and the dependencies among them.
struct Picture {
    names: Vec<String>,
    kinds: Vec<String>,
    edges: Vec<Edge>,
    targets: Vec<bool>,
}

impl Picture {
    fn new(graph: &ElementGraph, elements: &[ElementId]) -> Picture {
        let numbers: HashMap<ElementId, usize> =
            elements.iter().enumerate().map(|(number, id)| (*id, number)).collect();
        let mut edges = Vec::new();
        for (from, id) in elements.iter().enumerate() {
            for dependency in &graph.element(*id).dependencies {
                if let Some(&to) = numbers.get(&dependency.element) {
                    edges.push(Edge { from, to, kind: dependency.kind });
                }
            }
        }
        Picture {
            names: elements.iter().map(|id| graph.full_name(*id)).collect(),
            kinds: elements.iter().map(|id| graph.element(*id).kind.to_string()).collect(),
            edges,
            targets: elements.iter().map(|id| graph.targets.contains(id)).collect(),
        }
    }

    /// In Graphviz's language. Dependencies for running only are dashed, those for building only are blue.
    fn dot(&self) -> String {
        let mut out =
            String::from("digraph elements {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
        for (number, name) in self.names.iter().enumerate() {
            let bold = if self.targets[number] { ", style=bold" } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "  n{number} [label={}, tooltip={}{bold}];",
                quoted(name),
                quoted(&self.kinds[number])
            );
        }
        for edge in &self.edges {
            let style = match edge.kind {
                DependencyKind::Build => " [color=blue]",
                DependencyKind::Runtime => " [style=dashed]",
                DependencyKind::All => "",
            };
            let _ = writeln!(out, "  n{} -> n{}{style};", edge.from, edge.to);
        }
        out.push_str("}\n");
        out
    }

    /// How far an element is from those that nothing is below: its column.
    fn columns(&self) -> Vec<usize> {
        let mut columns = vec![0; self.names.len()];
        // Mostly dependencies stand before dependents, and the second time nothing is left to do.
        let mut moved = true;
        while moved {
            moved = false;
            for edge in &self.edges {
                if columns[edge.from] <= columns[edge.to] {
                    columns[edge.from] = columns[edge.to] + 1;
                    moved = true;
                }
            }
        }
        columns
    }

    /// As a picture: what is built first stands left.
    fn svg(&self) -> String {
        const WIDTH: usize = 220;
        const HEIGHT: usize = 26;
        const GAP: usize = 60;
        const ROW: usize = 36;
        let columns = self.columns();
        let mut rows = vec![0; columns.iter().max().map_or(0, |last| last + 1)];
        let places: Vec<(usize, usize)> = columns
            .iter()
            .map(|&column| {
                let row = rows[column];
                rows[column] += 1;
                (20 + column * (WIDTH + GAP), 20 + row * ROW)
            })
            .collect();
        let (width, height) =
            (20 + rows.len() * (WIDTH + GAP), 40 + rows.iter().max().copied().unwrap_or(0) * ROW);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n"
        );
        for edge in &self.edges {
            let ((x1, y1), (x2, y2)) = (places[edge.to], places[edge.from]);
            let (x1, y1, y2) = (x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2);
            let style = match edge.kind {
                DependencyKind::Build => "stroke=\"#36c\"",
                DependencyKind::Runtime => "stroke=\"#888\" stroke-dasharray=\"4 3\"",
                DependencyKind::All => "stroke=\"#444\"",
            };
            let (c1, c2) = (x1 + GAP / 2, x2.saturating_sub(GAP / 2));
            let _ = writeln!(
                out,
                "<path d=\"M{x1} {y1} C{c1} {y1} {c2} {y2} {x2} {y2}\" fill=\"none\" {style}/>"
            );
        }
        for (number, &(x, y)) in places.iter().enumerate() {
            let stroke = if self.targets[number] { 2 } else { 1 };
            let (name, kind) = (escaped(&self.names[number]), escaped(&self.kinds[number]));
            let shown = escaped(&shortened(&self.names[number], 32));
            let (middle, base) = (x + WIDTH / 2, y + HEIGHT / 2 + 4);
            let _ = writeln!(
                out,
                "<g><title>{name} ({kind})</title><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
                 rx=\"4\" fill=\"#fff\" stroke=\"#222\" stroke-width=\"{stroke}\"/>\
                 <text x=\"{middle}\" y=\"{base}\" text-anchor=\"middle\">{shown}</text></g>"
            );
        }
        out.push_str("</svg>\n");
        out
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The end of a name, which tells more than its beginning.
fn shortened(name: &str, most: usize) -> String {
    let count = name.chars().count();
    if count <= most {
        return name.to_owned();
    }
    let end: String = name.chars().skip(count - most + 1).collect();
    format!("…{end}")
}
