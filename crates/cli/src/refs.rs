//! New refs into the files of the project: in place, or into `project.refs` and `junction.refs`.

use crate::workspaces::write_whole;
use bourn_build::error::{BuildError, BuildResult, domain};
use bourn_build::fetch::Tracked;
use bourn_plan::{Plan, PlannedSource};
use bourn_project::{ElementId, ProjectId, RefStorage};
use bourn_yaml::edit::{Edit, Step, apply, changes, locate};
use bourn_yaml::{Diagnostic, FileId, Files, Mapping, Node, Value};
use indexmap::IndexMap;
use std::path::{Path, PathBuf};

/// Writes what tracking found for an element. Refs that did not change are left alone.
///
/// # Errors
/// A ref stands in a file of another project; a file cannot be read or written.
pub(crate) fn save(plan: &Plan, files: &Files, id: ElementId, found: &[Tracked]) -> BuildResult<()> {
    let graph = &plan.graph;
    let kept_apart = graph.project(ProjectId(0)).ref_storage == RefStorage::ProjectRefs;
    for tracked in found.iter().filter(|tracked| tracked.changed) {
        let Some(source) = plan.element(id).sources.get(tracked.index) else { continue };
        match kept_apart {
            true => save_apart(plan, files, id, source, tracked)?,
            false => save_inline(files, source, tracked)?,
        }
    }
    Ok(())
}

/// Into the element, or wherever the ref that it replaces was written.
fn save_inline(files: &Files, source: &PlannedSource, tracked: &Tracked) -> BuildResult<()> {
    let at = source.declaration.at;
    let file = at.file.map(|file| files.get(file));
    if let Some(file) = file.filter(|file| file.junction.is_some()) {
        let text = format!("{}: Cannot track source in a fragment from a junction", file.name());
        return Err(BuildError::new(domain::SOURCE, text).reason("tracking-junction-fragment"));
    }
    let config = &source.declaration.config;
    let mut before = Mapping::new();
    for (key, _) in reference(tracked) {
        if let Some(value) = config.get(key).filter(|value| !value.is_null()) {
            before.insert(key, value.clone());
        }
    }
    let after = updated(&before, tracked);
    let edits = changes(files, &Node::mapping(before).with_place(at), &after).map_err(unwritable)?;
    let mut by_file: IndexMap<FileId, Vec<Edit>> = IndexMap::new();
    for (file, edit) in edits {
        by_file.entry(file).or_default().push(edit);
    }
    for (file, edits) in by_file {
        rewrite(&files.get(file).path, &edits)?;
    }
    Ok(())
}

/// Into `project.refs` of the toplevel project, or `junction.refs` for junctions.
fn save_apart(
    plan: &Plan,
    files: &Files,
    id: ElementId,
    source: &PlannedSource,
    tracked: &Tracked,
) -> BuildResult<()> {
    let graph = &plan.graph;
    let element = graph.element(id);
    let name = if &*element.kind == "junction" { "junction.refs" } else { "project.refs" };
    let place = graph.project(ProjectId(0)).directory.join(name);
    let key = |text: &str| Step::Key(text.into());
    let path = match written(files, &place, source, tracked)? {
        Some(path) => path,
        None => vec![
            key("projects"),
            key(&graph.project(element.project).name),
            key(&element.name),
            Step::Item(source.declaration.index),
        ],
    };
    let edits: Vec<Edit> = reference(tracked)
        .map(|(key, value)| Edit {
            path: path.clone(),
            key: key.into(),
            value: (!value.is_null()).then(|| value.clone()),
        })
        .collect();
    rewrite(&place, &edits)
}

/// The way to the mapping in a file of refs that has a source's ref now, which may be in one branch of a condition.
fn written(
    files: &Files,
    place: &Path,
    source: &PlannedSource,
    tracked: &Tracked,
) -> BuildResult<Option<Vec<Step>>> {
    let config = &source.declaration.config;
    let there = |value: &&Node| value.at.file.is_some_and(|file| files.get(file).path == place);
    let Some(value) = reference(tracked).find_map(|(key, _)| config.get(key).filter(there)) else {
        return Ok(None);
    };
    let (_, mut path) = locate(files, value.at).map_err(unwritable)?;
    path.pop();
    Ok(Some(path))
}

/// The keys of a ref; those to be removed have no value.
fn reference(tracked: &Tracked) -> impl Iterator<Item = (&str, &Node)> {
    let entries = match &tracked.reference.value {
        Value::Mapping(entries) => Some(entries.iter()),
        _ => None,
    };
    entries.into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn updated(before: &Mapping, tracked: &Tracked) -> Mapping {
    let mut after = before.clone();
    for (key, value) in reference(tracked) {
        match value.is_null() {
            true => {
                after.remove(key);
            }
            false => {
                after.insert(key, value.clone());
            }
        }
    }
    after
}

fn rewrite(path: &Path, edits: &[Edit]) -> BuildResult<()> {
    let fail = |text: String| {
        BuildError::new(
            domain::SOURCE,
            format!("Error saving source reference to '{}': {text}", path.display()),
        )
        .reason("save-ref-error")
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(fail(error.to_string())),
    };
    let changed = apply(&text, edits).map_err(|wrong| fail(wrong.message.clone()))?;
    // A link stays one: what it leads to is rewritten.
    let place: PathBuf = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    write_whole(&place, &changed).map_err(|failure| fail(failure.message))
}

fn unwritable(wrong: Diagnostic) -> BuildError {
    BuildError::new(domain::SOURCE, format!("Error saving source reference: {}", wrong.message))
        .reason("save-ref-error")
}
