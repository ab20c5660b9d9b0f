//! A workbench in memory.

use bourn_plan::assembly::{Reach, Run, Split, Stage, Step};
use bourn_plan::source::{PlannedSource, SourceProvenance};
use bourn_plan::workbench::Scratch;
use bourn_plan::{AssemblyError, Edges, Entry, Plan, Walk, Workbench};
use bourn_project::{ElementGraph, ElementId};
use bourn_reapi::Digest;
use bourn_yaml::{Mapping, Node};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Cursor, Read, Write};

/// What stands at a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Directory,
    File { content: Vec<u8>, executable: bool },
    Link(String),
}

/// A tree: paths without a leading slash.
pub(crate) type Tree = BTreeMap<String, Item>;

/// An artifact of a dependency.
#[derive(Default)]
pub(crate) struct Artifact {
    pub(crate) files: Tree,
    pub(crate) public: Option<Node>,
}

pub(crate) struct Bench<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) id: ElementId,
    pub(crate) root: Tree,
    pub(crate) artifacts: HashMap<ElementId, Artifact>,
    pub(crate) public: Mapping,
    /// What was said, warned and run, in order.
    pub(crate) log: RefCell<Vec<String>>,
    /// What running commands does to the tree.
    pub(crate) runs: Option<fn(&mut Tree)>,
}

/// A tree of text files; names that end in a slash are directories, those with `*` may be executed.
pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new();
    for (path, content) in files {
        let (path, executable) = (path.trim_end_matches('*'), path.ends_with('*'));
        let item = match (path.ends_with('/'), content.strip_prefix("-> ")) {
            (true, _) => Item::Directory,
            (_, Some(target)) => Item::Link(target.to_owned()),
            _ => Item::File { content: content.as_bytes().to_vec(), executable },
        };
        put(&mut tree, path.trim_end_matches('/'), item);
    }
    tree
}

fn put(tree: &mut Tree, path: &str, item: Item) {
    for (at, _) in path.match_indices('/') {
        tree.entry(path[..at].to_owned()).or_insert(Item::Directory);
    }
    tree.insert(path.to_owned(), item);
}

fn clean(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

impl<'a> Bench<'a> {
    pub(crate) fn new(plan: &'a Plan, id: ElementId) -> Bench<'a> {
        let public = plan.graph.element(id).public.entries().cloned().unwrap_or_default();
        let (root, artifacts, log) = (Tree::new(), HashMap::new(), RefCell::default());
        Bench { plan, id, root, artifacts, public, log, runs: None }
    }

    /// Does the steps that stage, and the computations.
    pub(crate) fn assemble(&mut self) -> Result<(), AssemblyError> {
        let assembly = self.plan.element(self.id).description.assembly.clone();
        self.steps(assembly.stage.iter().chain(&assembly.assemble))
    }

    fn steps<'s>(&mut self, steps: impl Iterator<Item = &'s Step>) -> Result<(), AssemblyError> {
        for step in steps {
            match step {
                Step::Activity { steps, .. } => self.steps(steps.iter())?,
                Step::Stage(stage) => self.stage(stage)?,
                Step::Compute(compute) => compute.compute(self)?,
                Step::Run(run) => self.run(run)?,
                Step::Refuse { message, .. } => return Err(AssemblyError::element(message)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> String {
        match self.root.get(&clean(path)) {
            Some(Item::File { content, .. }) => String::from_utf8_lossy(content).into_owned(),
            other => panic!("{path} is {other:?}"),
        }
    }

    fn below(&self, path: &str) -> Option<Vec<(String, Item)>> {
        let path = clean(path);
        if !path.is_empty() && self.root.get(&path) != Some(&Item::Directory) {
            return None;
        }
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let inside = self.root.iter().filter_map(|(name, item)| {
            name.strip_prefix(&prefix).map(|name| (name.to_owned(), item.clone()))
        });
        Some(inside.collect())
    }
}

fn seen(item: &Item) -> Entry {
    match item {
        Item::Directory => Entry::Directory,
        Item::Link(target) => Entry::Symlink { target: target.clone() },
        Item::File { content, executable } => {
            Entry::File { digest: Digest::of(content), executable: *executable }
        }
    }
}

/// Relative paths in bst's order: files of a directory, then its directories with what they hold.
fn paths(tree: &Tree) -> Vec<String> {
    fn walk(tree: &Tree, prefix: &str, out: &mut Vec<String>) {
        let here = tree.iter().filter(|(path, _)| {
            path.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
        });
        let (directories, files): (Vec<_>, Vec<_>) = here.partition(|(_, item)| **item == Item::Directory);
        out.extend(files.iter().map(|(path, _)| path.to_string()));
        for (path, _) in directories {
            out.push(path.clone());
            walk(tree, &format!("{path}/"), out);
        }
    }
    let mut out = Vec::new();
    walk(tree, "", &mut out);
    out
}

type Done<T> = Result<T, AssemblyError>;

impl Workbench for Bench<'_> {
    fn graph(&self) -> &ElementGraph {
        &self.plan.graph
    }

    fn edges(&self) -> &Edges {
        &self.plan.edges
    }

    fn element(&self) -> ElementId {
        self.id
    }

    fn public(&self, dependency: ElementId, domain: &str) -> Done<Option<Node>> {
        let kept = self.artifacts.get(&dependency).and_then(|artifact| artifact.public.as_ref());
        let public = kept.unwrap_or(&self.plan.graph.element(dependency).public);
        Ok(public.get(domain).cloned())
    }

    fn own_public(&self, domain: &str) -> Option<Node> {
        self.public.get(domain).cloned()
    }

    fn set_public(&mut self, domain: &str, value: Node) {
        self.public.insert(domain, value);
    }

    fn manifest(&self, dependency: ElementId, split: &Split) -> Done<Vec<String>> {
        self.log.borrow_mut().push(format!("manifest of #{} for {:?}", dependency.0, split.include));
        Ok(self.artifacts.get(&dependency).map(|artifact| paths(&artifact.files)).unwrap_or_default())
    }

    fn paths(&self, path: &str) -> Done<Option<Vec<String>>> {
        Ok(self.below(path).map(|inside| paths(&inside.into_iter().collect())))
    }

    fn artifact_name(&self, dependency: ElementId) -> String {
        format!("project/element-{}/key", dependency.0)
    }

    fn sources(&self, element: ElementId) -> &[PlannedSource] {
        &self.plan.element(element).sources
    }

    fn provenance(&self, element: ElementId) -> Done<Vec<Option<Vec<SourceProvenance>>>> {
        Ok(self.plan.element(element).sources.iter().map(crate::record::provenance).collect())
    }

    fn entry(&self, path: &str) -> Done<Option<Entry>> {
        let path = clean(path);
        Ok(if path.is_empty() { Some(Entry::Directory) } else { self.root.get(&path).map(seen) })
    }

    fn list(&self, path: &str) -> Done<Option<Vec<(String, Entry)>>> {
        let direct = |inside: Vec<(String, Item)>| {
            let direct = inside.into_iter().filter(|(name, _)| !name.contains('/'));
            direct.map(|(name, item)| (name, seen(&item))).collect()
        };
        Ok(self.below(path).map(direct))
    }

    fn open(&self, path: &str) -> Done<Box<dyn Read>> {
        match self.root.get(&clean(path)) {
            Some(Item::File { content, .. }) => Ok(Box::new(Cursor::new(content.clone()))),
            _ => Err(AssemblyError::world(format!("no file {path}"))),
        }
    }

    fn write(
        &mut self,
        path: &str,
        executable: bool,
        content: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Done<Digest> {
        let mut bytes = Vec::new();
        content(&mut bytes).map_err(|error| AssemblyError::world(error.to_string()))?;
        let digest = Digest::of(&bytes);
        put(&mut self.root, &clean(path), Item::File { content: bytes, executable });
        Ok(digest)
    }

    fn create_directory(&mut self, path: &str) -> Done<()> {
        let path = clean(path);
        if !self.root.contains_key(&path) {
            put(&mut self.root, &path, Item::Directory);
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Done<()> {
        let path = clean(path);
        let inside = format!("{path}/");
        self.root.retain(|name, _| *name != path && !name.starts_with(&inside));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Done<()> {
        let item = self.root.remove(&clean(from)).ok_or_else(|| AssemblyError::world("nothing there"))?;
        put(&mut self.root, &clean(to), item);
        Ok(())
    }

    fn import(&mut self, from: &str, into: &str, keep: Option<&dyn Fn(&str) -> bool>) -> Done<()> {
        let inside = self.below(from).ok_or_else(|| AssemblyError::world(format!("no directory {from}")))?;
        for (path, item) in inside {
            if item == Item::Directory || keep.is_none_or(|keep| keep(&path)) {
                put(&mut self.root, &clean(&format!("{into}/{path}")), item);
            }
        }
        Ok(())
    }

    fn stage(&mut self, stage: &Stage) -> Done<()> {
        let mut walk = Walk::default();
        let elements = match stage.reach {
            Reach::Alone => stage.from.clone(),
            Reach::Runtime => self.plan.edges.runtime(stage.from.iter().copied(), &mut walk).to_vec(),
        };
        for element in elements {
            let files =
                self.artifacts.get(&element).map(|artifact| artifact.files.clone()).unwrap_or_default();
            for (path, item) in files {
                put(&mut self.root, &clean(&format!("{}/{path}", stage.into)), item);
            }
        }
        Ok(())
    }

    fn run(&mut self, run: &Run) -> Done<()> {
        let commands = run.groups.iter().flat_map(|group| &group.commands);
        let texts = commands.filter_map(|command| command.label()).map(|text| format!("run {text}"));
        self.log.borrow_mut().extend(texts);
        if let Some(runs) = self.runs {
            runs(&mut self.root);
        }
        Ok(())
    }

    fn scratch(&mut self) -> Done<Box<dyn Scratch>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }

    fn info(&self, message: &str) {
        self.log.borrow_mut().push(message.to_owned());
    }

    fn warn(&self, token: Option<&str>, message: &str, _: Option<&str>) -> Done<()> {
        self.log.borrow_mut().push(format!("warn {} {message}", token.unwrap_or("-")));
        Ok(())
    }

    fn activity(
        &mut self,
        _: &str,
        _: bool,
        work: &mut dyn FnMut(&mut dyn Workbench) -> Done<()>,
    ) -> Done<()> {
        work(self)
    }
}
