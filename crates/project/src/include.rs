//! Includes (`(@)`) in nodes, across junctions as well.

use crate::condition;
use crate::conf::Pass;
use crate::name::neighbour;
use crate::read::read;
use crate::session::{Attempt, ProjectIndex, Session, Stop};
use crate::variable::{Template, expand_included};
use bourn_yaml::{Diagnostic, Diagnostics, Files, Mapping, Node, Value, compose_under};
use foldhash::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const INCLUDE: &str = "(@)";

/// How deep mappings and lists may lie in each other, included ones counted where they are put.
const DEEPEST: usize = 400;

/// How many files may lie between one and another that includes it; bst's limit is a little below 500. Threads that read
/// ahead have smaller stacks and leave such chains to the loader.
const LONGEST_CHAIN: usize = 1000;
const LONGEST_CHAIN_AHEAD: usize = 50;

/// How many nodes a file may have with all that it includes. Files that include each other twice grow without bound.
const LARGEST: usize = 4_000_000;

/// Files included so far, by the project they belong to. Shared with the threads that read ahead.
#[derive(Clone, Default)]
pub(crate) struct Includes(Arc<Mutex<HashMap<(ProjectIndex, PathBuf), Content>>>);

/// The content of an included file.
#[derive(Clone)]
struct Content {
    /// As it was read.
    read: Node,
    /// With its own includes in place, without and with conditionals applied, and the number of nodes then.
    processed: [Option<(Node, usize)>; 2],
}

impl Includes {
    fn get(&self, key: &(ProjectIndex, PathBuf)) -> Option<Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn insert(&self, key: (ProjectIndex, PathBuf), read: Node) -> Content {
        let content = Content { read, processed: [None, None] };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, content.clone());
        content
    }

    fn insert_processed(&self, key: &(ProjectIndex, PathBuf), options: bool, processed: (Node, usize)) {
        if let Some(content) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(key) {
            content.processed[usize::from(options)] = Some(processed);
        }
    }
}

/// The number of nodes in a tree.
fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Null | Value::Scalar(_) => 0,
        Value::Sequence(items) => items.iter().map(count).sum(),
        Value::Mapping(entries) => entries.values().map(count).sum(),
    }
}

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

/// An included file: its content, the project it belongs to and its path.
type Included = (Content, (ProjectIndex, PathBuf));

/// Where includes lead.
trait Follow {
    /// Applies the conditionals of a node with the options of a project.
    fn conditions(&self, project: ProjectIndex, node: &mut Node) -> Attempt<()>;

    /// The files included so far.
    fn known(&self) -> Includes;

    /// The file that an include of a project's file names.
    fn file(&mut self, include: &Node, project: ProjectIndex) -> Attempt<Included>;
}

/// An inclusion in progress.
struct Work<F> {
    follow: F,
    /// Whether to leave out what lies in other projects.
    local: bool,
    /// How many files may be open.
    longest: usize,
    /// Files whose content is being processed.
    open: Vec<PathBuf>,
    depth: usize,
    /// Nodes included so far.
    nodes: usize,
}

impl<F: Follow> Work<F> {
    fn new(follow: F, local: bool, longest: usize) -> Work<F> {
        Work { follow, local, longest, open: Vec::new(), depth: 0, nodes: 0 }
    }

    fn process(&mut self, project: ProjectIndex, node: &mut Node, options: bool) -> Attempt<()> {
        if options {
            self.follow.conditions(project, node)?;
        }
        if let Some(new) = self.included(project, node, options)? {
            *node = new;
        }
        Ok(())
    }

    /// The node with its includes in place; `None` if it has none, so that content stays shared.
    fn included(&mut self, project: ProjectIndex, node: &Node, options: bool) -> Attempt<Option<Node>> {
        if matches!(node.value, Value::Null | Value::Scalar(_)) {
            return Ok(None);
        }
        if self.depth >= DEEPEST {
            let message = format!("More than {DEEPEST} levels deep, with what is included");
            return Err(Diagnostic::load("invalid-data", message).at(node.at).into());
        }
        self.depth += 1;
        let included = self.included_below(project, node, options);
        self.depth -= 1;
        included
    }

    fn included_below(&mut self, project: ProjectIndex, node: &Node, options: bool) -> Attempt<Option<Node>> {
        match &node.value {
            Value::Null | Value::Scalar(_) => Ok(None),
            Value::Sequence(items) => {
                let mut changed: Option<Vec<Node>> = None;
                for (at, item) in items.iter().enumerate() {
                    if let Some(new) = self.included(project, item, options)? {
                        changed.get_or_insert_with(|| items.to_vec())[at] = new;
                    }
                }
                Ok(changed.map(|items| Node::sequence(items).with_place(node.at)))
            }
            Value::Mapping(_) => {
                let own = self.with_own_includes(project, node, options)?;
                let current = own.as_ref().unwrap_or(node);
                let entries = current.as_mapping()?;
                let mut changed: Option<Mapping> = None;
                for (key, value) in entries {
                    if let Some(new) = self.included(project, value, options)? {
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
            if self.local && include.as_str()?.contains(':') {
                continue;
            }
            let (content, key) = self.follow.file(include, project)?;
            if self.open.contains(&key.1) {
                let message = format!("trying to recursively include {}", key.1.display());
                return Err(Diagnostic::load("recursive-include", message).at(list.at).into());
            }
            if self.open.len() >= self.longest {
                let message = format!("More than {} files include each other", self.longest);
                return Err(Diagnostic::load("invalid-data", message).at(include.at).into());
            }
            let options = options || key.0 != project;
            let (content, nodes) = self.processed(content, key, options)?;
            self.nodes += nodes;
            if self.nodes > LARGEST {
                let message = format!("Includes add up to more than {LARGEST} nodes");
                return Err(Diagnostic::load("invalid-data", message).at(include.at).into());
            }
            compose_under(&mut result, &content)?;
        }
        Ok(Some(result))
    }

    /// An included file with its own includes in place; done once for all that include it.
    fn processed(
        &mut self,
        content: Content,
        key: (ProjectIndex, PathBuf),
        options: bool,
    ) -> Attempt<(Node, usize)> {
        // Files of other projects are left out of some, so that what was processed then is not complete.
        if !self.local
            && let Some(processed) = &content.processed[usize::from(options)]
        {
            return Ok(processed.clone());
        }
        let mut node = content.read;
        let (nodes, depth) = (std::mem::take(&mut self.nodes), self.depth);
        // What the file has comes to where the one that includes it is.
        self.depth -= 1;
        self.open.push(key.1.clone());
        let done = self.process(key.0, &mut node, options);
        self.open.pop();
        (self.nodes, self.depth) = (nodes, depth);
        done?;
        let processed = (node.clone(), count(&node));
        if !self.local {
            self.follow.known().insert_processed(&key, options, processed.clone());
        }
        Ok(processed)
    }
}

/// Follows includes wherever they lead, opening projects on the way.
struct Anywhere<'a, 'c, 's> {
    session: &'a mut Session<'c, 's>,
    /// The project whose file includes.
    owner: ProjectIndex,
    conf: bool,
}

impl Follow for Anywhere<'_, '_, '_> {
    fn conditions(&self, project: ProjectIndex, node: &mut Node) -> Attempt<()> {
        Ok(condition::process(node, &self.session.second(project).options, &[])?)
    }

    fn known(&self) -> Includes {
        let owner = &self.session.projects[self.owner];
        if self.conf { owner.conf_includes.clone() } else { owner.includes.clone() }
    }

    fn file(&mut self, include: &Node, project: ProjectIndex) -> Attempt<Included> {
        let display = include.as_str()?;
        let (owner, name) = match display.rsplit_once(':') {
            None => (project, display),
            Some((junction, name)) => {
                let owner = self.session.child(project, junction, Some(include.at))?;
                self.session.complete(owner)?;
                (owner, name)
            }
        };
        let key = (owner, self.session.projects[owner].directory.join(name));
        if let Some(known) = self.known().get(&key) {
            return Ok((known, key));
        }
        let parsed = self.session.read(Some(owner), &key.1, display);
        let mut content = parsed.map_err(|wrong| at_include(wrong, include, &key.1))?.node;
        // What another project wrote means that project's variables.
        if owner != project {
            let template = Template::alone(self.session.second(owner).variables.clone())?;
            expand_included(&mut content, &template)?;
        }
        Ok((self.known().insert(key.clone(), content), key))
    }
}

/// What is needed to process elements of a project apart from the session, if they include nothing of other projects.
pub(crate) struct Ready {
    pub(crate) project: ProjectIndex,
    pub(crate) directory: PathBuf,
    pub(crate) pass: Arc<Pass>,
    pub(crate) includes: Includes,
}

/// Follows includes inside one project.
struct Inside<'a> {
    files: &'a Files,
    ready: &'a Ready,
    junction: Option<&'a str>,
}

impl Follow for Inside<'_> {
    fn conditions(&self, _: ProjectIndex, node: &mut Node) -> Attempt<()> {
        Ok(condition::process(node, &self.ready.pass.options, &[])?)
    }

    fn known(&self) -> Includes {
        self.ready.includes.clone()
    }

    fn file(&mut self, include: &Node, project: ProjectIndex) -> Attempt<Included> {
        let name = include.as_str()?;
        if name.contains(':') {
            return Err(Stop::Known);
        }
        let key = (project, self.ready.directory.join(name));
        let content = match self.ready.includes.get(&key) {
            Some(known) => known,
            None => {
                let read = read(self.files, &key.1, name, self.junction)?.node;
                self.ready.includes.insert(key.clone(), read)
            }
        };
        Ok((content, key))
    }
}

/// Applies conditionals and includes of an element, if that needs no other project and nothing is wrong.
pub(crate) fn process_inside(
    files: &Files,
    ready: &Ready,
    junction: Option<&str>,
    node: &Node,
    includes: bool,
) -> Option<Node> {
    let mut node = node.clone();
    let mut work = Work::new(Inside { files, ready, junction }, false, LONGEST_CHAIN_AHEAD);
    let done = if includes {
        work.process(ready.project, &mut node, true)
    } else {
        work.follow.conditions(ready.project, &mut node)
    };
    done.is_ok().then_some(node)
}

impl Session<'_, '_> {
    /// Applies conditionals, if asked to, and includes of a node of a project.
    pub(crate) fn process_includes(
        &mut self,
        project: ProjectIndex,
        node: &mut Node,
        how: &Including,
    ) -> Attempt<()> {
        let follow = Anywhere { session: self, owner: project, conf: how.conf };
        Work::new(follow, how.local, LONGEST_CHAIN).process(project, node, how.options)
    }
}

/// Says where a file was included that cannot be read.
fn at_include(mut wrong: Diagnostics, include: &Node, path: &Path) -> Stop {
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
