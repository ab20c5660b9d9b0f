//! `bourn show`: elements and their state.

use crate::args::command::Show;
use crate::args::value::Order;
use crate::commands::print;
use crate::exit::{Failure, Outcome};
use crate::invocation::Invocation;
use crate::picture::request::Request;
use crate::picture::{answer, keep};
use crate::report::element::{ElementFormat, SYMBOLS, Symbol};
use crate::report::pipeline::Printer;
use crate::watch::Watch;
use crate::world::World;
use bourn_build::event::MessageKind;
use bourn_build::session::Query;
use bourn_project::ElementId;
use bourn_project::selection::{self, Selection as Scope};
use serde_json::{Map, Value};
use std::time::SystemTime;

/// Symbols that only the cache can tell.
const STATE: [Symbol; 2] = [Symbol::State, Symbol::ArtifactCasDigest];
/// Symbols that the cache decides upon in a non-strict plan.
const KEYS: [Symbol; 3] = [Symbol::Key, Symbol::FullKey, Symbol::Description];

/// Prints the elements.
pub(crate) fn run(invocation: &Invocation<'_>, options: &Show) -> Outcome {
    let json = options.format.as_deref() == Some("json");
    let format = match options.format.as_deref().filter(|format| !format.is_empty()) {
        Some(format) => format,
        None => &invocation.settings.user.logging.element_format,
    };
    let format = ElementFormat::parse(format).map_err(Failure::app)?;
    if let Some((name, meant)) = format.unknown().filter(|_| !json) {
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean `%{{{meant}}}`?"));
        let text = format!("%{{{name}}} is no symbol and printed as it is{meant}");
        invocation.reporter.message(MessageKind::Warn, &text, None, None);
    }
    let Some(targets) = invocation.elements(&options.elements)? else { return print::result("\n") };
    let scope = Scope::from(options.deps);
    let sorted = options.order == Order::Alpha;
    let request = Request { targets: &targets, except: &options.except, scope, sorted, format: &format };
    if !json && let Some(out) = answer::show(invocation, &request)? {
        return invocation.reporter.aside(|| print::result(&out));
    }
    let began = SystemTime::now();
    let world = World::load(invocation, &targets, &options.except)?;
    let mut elements = world.select(scope);
    if sorted {
        elements.sort_by(|a, b| world.graph().element(*a).name.cmp(&world.graph().element(*b).name));
    }
    let printed = print_elements(invocation, &world, &elements, Some(&format).filter(|_| !json), scope);
    keep::keep(invocation, &request, &world, &elements, began)?;
    // The process is about to end and gives all memory back at once; doing so element by element takes much longer.
    std::mem::forget((world.plan, invocation.files.clone()));
    printed
}

/// Prints elements in that format, as JSON without one.
fn print_elements(
    invocation: &Invocation<'_>,
    world: &World,
    elements: &[ElementId],
    format: Option<&ElementFormat>,
    scope: Scope,
) -> Outcome {
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    let keys_wanted = |format: &ElementFormat| !world.options.strict && format.uses(&KEYS);
    if format.is_none_or(|format| keys_wanted(format) || format.uses(&STATE)) {
        // Without strictness, or without a reference, a key depends on what the cache holds of everything below.
        let strictly = world.options.strict && world.plan.elements.iter().all(|e| e.strict_key.is_some());
        let runtime = scope != Scope::None;
        if strictly {
            invocation.query(&session, elements, runtime, Query::Artifacts)?;
        } else {
            let below = selection::select(world.graph(), elements, Scope::All);
            invocation.query_all(&session, elements, runtime, &below, Query::Artifacts)?;
        }
    }
    let states = session.states();
    let printer = world.printer(invocation, &states);
    let mut out = match format {
        None => as_json(&printer, elements)?,
        Some(format) => printer.render(elements, format)?,
    };
    out.push('\n');
    invocation.reporter.aside(|| print::result(&out))
}

/// Every element with all that can be said of it, as a list of objects whose members are the symbols.
fn as_json(printer: &Printer<'_>, elements: &[ElementId]) -> Result<String, Failure> {
    let mut list = Vec::new();
    for &id in elements {
        let mut object = Map::new();
        for (name, symbol) in SYMBOLS {
            let value = match symbol {
                Symbol::ArtifactCasDigest if printer.states.get(id).artifact.cached().is_none() => continue,
                Symbol::Workspaced => Value::Bool(printer.workspace(id).is_some()),
                Symbol::WorkspaceDirs => match printer.workspace(id) {
                    Some(directory) => Value::String(directory.to_string_lossy().into_owned()),
                    None => continue,
                },
                symbol => match printer.node(id, symbol)? {
                    Some(node) => from_yaml(&node),
                    None => Value::String(printer.value(id, symbol)?.0),
                },
            };
            object.insert(name.to_owned(), value);
        }
        list.push(Value::Object(object));
    }
    serde_json::to_string_pretty(&list).map_err(|error| Failure::app(error.to_string()))
}

/// A node as JSON; all scalars are text.
fn from_yaml(node: &bourn_yaml::Node) -> Value {
    if let Some(entries) = node.entries() {
        return entries
            .iter()
            .map(|(name, value)| (name.to_string(), from_yaml(value)))
            .collect::<Map<_, _>>()
            .into();
    }
    match (node.items(), node.text()) {
        (Some(items), _) => items.iter().map(from_yaml).collect::<Vec<_>>().into(),
        (_, Some(text)) => text.into(),
        _ => Value::Null,
    }
}
