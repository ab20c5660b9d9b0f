//! Includes (`(@)`) in nodes, across junctions as well.

use crate::condition;
use crate::name::neighbour;
use crate::session::{Attempt, ProjectIndex, Session, Stop};
use crate::variable::{Template, expand_with};
use bourn_yaml::{Diagnostic, Mapping, Node, Value, compose_under};
use foldhash::HashMap;
use std::path::PathBuf;

const INCLUDE: &str = "(@)";

/// Files included so far, by the project they belong to.
pub(crate) type Includes = HashMap<(ProjectIndex, PathBuf), Node>;

/// How to go about it.
#[derive(Clone, Copy)]
pub(crate) struct Including {
    /// Whether this is project.conf: it remembers its files apart from the elements'.
    pub(crate) conf: bool,
    /// Whether to leave out what lies in other projects.
    pub(crate) local: bool,
    /// Whether to apply conditionals with the options of the project at hand.
    pub(crate) options: bool,
}

/// An inclusion in progress.
struct Work<'i> {
    /// The project whose file includes.
    owner: ProjectIndex,
    how: &'i Including,
    /// Files whose content is being processed.
    open: Vec<PathBuf>,
}

impl Session<'_, '_> {
    /// Applies conditionals, if asked to, and includes of a node of a project.
    pub(crate) fn process_includes(
        &mut self,
        project: ProjectIndex,
        node: &mut Node,
        how: &Including,
    ) -> Attempt<()> {
        let mut work = Work { owner: project, how, open: Vec::new() };
        self.process_file(&mut work, project, node, how.options)
    }

    fn process_file(
        &mut self,
        work: &mut Work<'_>,
        project: ProjectIndex,
        node: &mut Node,
        options: bool,
    ) -> Attempt<()> {
        if options {
            condition::process(node, &self.second(project).options, &[])?;
        }
        if let Some(new) = self.included(work, project, node, options)? {
            *node = new;
        }
        Ok(())
    }

    /// The node with its includes in place; `None` if it has none, so that content stays shared.
    fn included(
        &mut self,
        work: &mut Work<'_>,
        project: ProjectIndex,
        node: &Node,
        options: bool,
    ) -> Attempt<Option<Node>> {
        match &node.value {
            Value::Null | Value::Scalar(_) => Ok(None),
            Value::Sequence(items) => {
                let mut changed: Option<Vec<Node>> = None;
                for (at, item) in items.iter().enumerate() {
                    if let Some(new) = self.included(work, project, item, options)? {
                        changed.get_or_insert_with(|| items.to_vec())[at] = new;
                    }
                }
                Ok(changed.map(|items| Node::sequence(items).with_place(node.at)))
            }
            Value::Mapping(_) => {
                let own = self.with_own_includes(work, project, node, options)?;
                let current = own.as_ref().unwrap_or(node);
                let entries = current.as_mapping()?;
                let mut changed: Option<Mapping> = None;
                for (key, value) in entries {
                    if let Some(new) = self.included(work, project, value, options)? {
                        changed.get_or_insert_with(|| entries.clone()).insert(key.clone(), new);
                    }
                }
                let below = changed.map(|entries| Node::mapping(entries).with_place(current.at));
                Ok(below.or(own))
            }
        }
    }

    /// The mapping with what it includes itself; `None` if nothing.
    fn with_own_includes(
        &mut self,
        work: &mut Work<'_>,
        project: ProjectIndex,
        node: &Node,
        options: bool,
    ) -> Attempt<Option<Node>> {
        let Some(list) = node.get(INCLUDE) else { return Ok(None) };
        let includes = match &list.value {
            Value::Scalar(_) => std::slice::from_ref(list),
            Value::Sequence(items) => items,
            _ => {
                let message = "Value of '(@)' is not one of the following: list, scalar.";
                return Err(Diagnostic::load("invalid-data", message).at(list.at).into());
            }
        };
        let mut result = node.clone();
        if let Some(entries) = result.entries_mut() {
            entries.remove(INCLUDE);
        }
        for include in includes.iter().rev() {
            if work.how.local && include.as_str()?.contains(':') {
                continue;
            }
            let (mut content, path, owner) = self.include_file(work, include, project)?;
            if work.open.contains(&path) {
                let message = format!("trying to recursively include {}", path.display());
                return Err(Diagnostic::load("recursive-include", message).at(list.at).into());
            }
            work.open.push(path);
            let done = self.process_file(work, owner, &mut content, options || owner != project);
            work.open.pop();
            done?;
            compose_under(&mut result, &content)?;
        }
        Ok(Some(result))
    }

    /// The content of an included file, its path and the project it belongs to.
    fn include_file(
        &mut self,
        work: &Work<'_>,
        include: &Node,
        project: ProjectIndex,
    ) -> Attempt<(Node, PathBuf, ProjectIndex)> {
        let display = include.as_str()?;
        let (owner, name) = match display.rsplit_once(':') {
            None => (project, display),
            Some((junction, name)) => {
                let owner = self.child(project, junction, Some(include.at))?;
                self.complete(owner)?;
                (owner, name)
            }
        };
        let path = self.projects[owner].directory.join(name);
        let key = (owner, path);
        if let Some(known) = self.includes_of(work).get(&key) {
            return Ok((known.clone(), key.1, owner));
        }
        let parsed = self.read(Some(owner), &key.1, display);
        let mut content = parsed.map_err(|wrong| at_include(wrong, include, &key.1))?.node;
        // What another project wrote means that project's variables.
        if owner != project {
            let template = Template::alone(self.second(owner).variables.clone())?;
            expand_with(&mut content, &template)?;
        }
        let path = key.1.clone();
        self.includes_of(work).insert(key, content.clone());
        Ok((content, path, owner))
    }

    fn includes_of(&mut self, work: &Work<'_>) -> &mut Includes {
        let owner = &mut self.projects[work.owner];
        if work.how.conf { &mut owner.conf_includes } else { &mut owner.includes }
    }
}

/// Says where a file was included that cannot be read.
fn at_include(mut wrong: bourn_yaml::Diagnostics, include: &Node, path: &std::path::Path) -> Stop {
    for diagnostic in &mut wrong.0 {
        if diagnostic.at.is_none() {
            diagnostic.at = include.at.file.map(|_| include.at);
        } else {
            diagnostic.notes.push((include.at.file.map(|_| include.at), "included here".to_owned()));
        }
        if diagnostic.code == "missing-file"
            && let Some(near) = neighbour(path)
        {
            diagnostic.hint = Some(format!("did you mean `{near}`?"));
        }
    }
    wrong.into()
}
