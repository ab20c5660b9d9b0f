//! Elements composed of what the project, the kind and the element itself say, variables expanded.

use crate::conf::{Pass, Sections, check_attributes, mapping_or_empty};
use crate::graph::{RefStorage, SandboxConfig, SourceDeclaration};
use crate::kinds::{KindOrigin, KindTraits};
use crate::machine;
use crate::plugin::PluginType;
use crate::refs;
use crate::session::{Attempt, ElementIndex, ProjectIndex, Session};
use crate::variable::{Resolved, Template, Variables, expand_node, references_below};
use bourn_yaml::{
    Diagnostic, Diagnostics, Domain, Mapping, Node, Provenance, Text, Value, assert_fully_composited,
    compose, is_directive, parse,
};
use indexmap::IndexMap;
use std::path::Path;
use std::sync::Arc;

/// Variables that only the program sets.
const PROTECTED: [&str; 3] = ["project-name", "element-name", "max-jobs"];

/// What all elements of a kind in a project begin with.
#[derive(Debug)]
pub(crate) struct KindBase {
    variables: Template,
    /// The first protected variable that the project or the kind sets.
    protected: Option<Diagnostic>,
    environment: Section,
    environment_values: Option<Arc<IndexMap<Text, Text>>>,
    nocache: Arc<[Text]>,
    splits: Section,
    /// `public:` of elements that say nothing of it.
    public: Option<Node>,
    config: Section,
    sandbox: Section,
    sandbox_config: Option<Arc<SandboxConfig>>,
    pub(crate) traits: Option<KindTraits>,
}

/// A part of the defaults that elements compose onto.
#[derive(Debug)]
struct Section {
    node: Node,
    /// As elements have it that change nothing; the error if they cannot have it.
    expanded: Result<Option<Node>, Diagnostic>,
    /// Variables of the template that it names.
    uses: Vec<u32>,
}

impl Section {
    fn new(node: Node, template: &Template) -> Section {
        let mut uses = Vec::new();
        let mut known = true;
        references_below(&node, &mut |name| match template.place(name) {
            Some(place) => {
                uses.push(place);
                known &= template.value(place).is_some();
            }
            None => known = false,
        });
        uses.sort_unstable();
        uses.dedup();
        let expanded = assert_fully_composited(&node).map(|()| {
            let mut expanded = node.clone();
            let done = known && expand_node(&mut expanded, &template.variables()).is_ok();
            done.then_some(expanded)
        });
        Section { node, expanded, uses }
    }

    /// What an element has that changes neither the section nor a variable in it.
    fn shared(&self, resolved: &Resolved) -> Option<&Node> {
        let expanded = self.expanded.as_ref().ok()?.as_ref()?;
        (!self.uses.iter().any(|place| resolved.is_dirty(*place))).then_some(expanded)
    }
}

/// An element, composed.
pub(crate) struct Composed {
    pub(crate) variables: Variables,
    pub(crate) environment: Arc<IndexMap<Text, Text>>,
    pub(crate) environment_nocache: Arc<[Text]>,
    pub(crate) public: Node,
    pub(crate) config: Node,
    pub(crate) sandbox: Arc<SandboxConfig>,
    pub(crate) sources: Vec<SourceDeclaration>,
    /// `config:` of each dependency.
    pub(crate) dependency_config: Vec<Vec<Node>>,
    /// Refs in elements that give way to those of a file.
    pub(crate) redundant: Vec<Diagnostic>,
}

fn no_entries() -> Node {
    Node::mapping(Mapping::new())
}

fn entry_of(node: &Node, path: &[&str]) -> Result<Node, Diagnostic> {
    path.iter().try_fold(node.clone(), |node, key| mapping_or_empty(&node, key))
}

/// The entries of a section that an element has, `None` if it has none.
fn own<'n>(node: &'n Node, key: &str) -> Result<Option<&'n Node>, Diagnostic> {
    let section = node.opt_mapping(key)?;
    Ok(section.filter(|section| section.entries().is_some_and(|entries| !entries.is_empty())))
}

/// Puts a node into nested mappings, which are made where they are missing.
fn put(node: &mut Node, path: &[&str], value: Node) {
    let [key, rest @ ..] = path else { return };
    let Some(entries) = node.entries_mut() else { return };
    if rest.is_empty() {
        entries.insert(*key, value);
        return;
    }
    if entries.get(key).is_none() {
        entries.insert(*key, no_entries());
    }
    if let Some(inner) = entries.get_mut(key) {
        put(inner, rest, value);
    }
}

impl Session<'_, '_> {
    /// The base of a kind.
    pub(crate) fn kind_base(
        &self,
        project: ProjectIndex,
        kind: &str,
        origin: &KindOrigin,
        first_pass: bool,
    ) -> Result<KindBase, Diagnostics> {
        let pass = if first_pass { self.first(project) } else { self.second(project) };
        let sections = if first_pass { None } else { self.projects[project].sections.clone() };
        let sections = sections.as_deref();
        let mut defaults = self.kind_defaults(kind, origin)?;
        let mut splits = sections.map_or_else(no_entries, |sections| sections.split_rules.clone());
        compose(&mut splits, &entry_of(&defaults, &["public", "bst", "split-rules"])?)?;
        put(&mut defaults, &["public", "bst", "split-rules"], splits);
        if let Some(overrides) = pass.elements.opt_mapping(kind)? {
            compose(&mut defaults, overrides)?;
        }
        KindBase::new(self, &pass, sections, &defaults, self.options.kinds.element_traits(kind, origin))
            .map_err(Diagnostics::from)
    }

    fn kind_defaults(&self, kind: &str, origin: &KindOrigin) -> Result<Node, Diagnostics> {
        let display = format!("{kind}.yaml");
        if let KindOrigin::File { directory, .. } = origin {
            let path = directory.join(&display);
            return match crate::read::read(self.files, &path, &display, None) {
                Ok(parsed) => Ok(parsed.node),
                Err(wrong) if wrong.0.first().is_some_and(|first| first.code == "missing-file") => {
                    Ok(no_entries())
                }
                Err(wrong) => Err(wrong),
            };
        }
        let text = self.options.kinds.element_defaults(kind, origin).unwrap_or_default();
        let file = self.files.add(Path::new(&display), &display, None, text.into());
        parse(self.files, file)
    }

    /// Composes a junction or a link, which need no more than the first pass.
    pub(crate) fn compose_first(&mut self, element: ElementIndex) -> Attempt<Composed> {
        let project = self.elements[element].project;
        let (kind, at) = (self.elements[element].kind.clone(), self.elements[element].at);
        let origin = self.origin(project, PluginType::Element, &kind, at)?;
        let base = self.kind_base(project, &kind, &origin, true)?;
        self.source_origins(element)?;
        self.defer_provenances(element)?;
        Ok(self.compose_element(element, &base)?)
    }

    /// Keeps the provenance of a junction's sources until the attributes of its project are known.
    pub(crate) fn defer_provenances(&mut self, element: ElementIndex) -> Result<(), Diagnostic> {
        let project = self.elements[element].project;
        if self.projects[project].sections.is_some() {
            return Ok(());
        }
        let sources =
            self.elements[element].node.get("sources").and_then(Node::items).unwrap_or_default().to_vec();
        for source in sources {
            if source.entries().is_some()
                && let Some(provenance) = source.opt_mapping("provenance")?
            {
                self.projects[project].provenances.push(provenance.clone());
            }
        }
        Ok(())
    }

    /// Composes an element.
    ///
    /// # Errors
    /// All that is wrong with it, as far as it is independent, in the order in which bst would find it.
    pub(crate) fn compose_element(
        &self,
        element: ElementIndex,
        base: &KindBase,
    ) -> Result<Composed, Vec<Diagnostic>> {
        let found = &self.elements[element];
        let node = &found.node;
        let over = base.over(node, &found.name).map_err(|wrong| vec![wrong])?;
        let resolved = base.variables.resolve(&over, found.is_first_pass())?;
        let work = Work { base, over: &over, resolved: &resolved };
        let mut wrong = Vec::new();
        let environment = keep(work.environment(node), &mut wrong);
        let nocache = keep(work.nocache(node), &mut wrong);
        let public = keep(work.public(node), &mut wrong);
        let config = keep(work.config(node, found.at), &mut wrong);
        let sandbox = keep(work.sandbox(node, self), &mut wrong);
        let mut redundant = Vec::new();
        let sources = self.sources(element, &work, &mut redundant, &mut wrong);
        let dependency_config = found
            .dependencies
            .iter()
            .map(|link| {
                let config = link.declared.config.iter();
                config.filter_map(|config| keep(work.expand(config.clone()), &mut wrong)).collect()
            })
            .collect();
        match (environment, nocache, public, config, sandbox) {
            (Some(environment), Some(environment_nocache), Some(public), Some(config), Some(sandbox))
                if wrong.is_empty() =>
            {
                Ok(Composed {
                    variables: resolved.variables,
                    environment,
                    environment_nocache,
                    public,
                    config,
                    sandbox,
                    sources,
                    dependency_config,
                    redundant,
                })
            }
            _ => Err(wrong),
        }
    }

    fn sources(
        &self,
        element: ElementIndex,
        work: &Work<'_>,
        redundant: &mut Vec<Diagnostic>,
        wrong: &mut Vec<Diagnostic>,
    ) -> Vec<SourceDeclaration> {
        let found = &self.elements[element];
        if let Some(workspace) = self.options.workspaces.get(&self.full_name(element)) {
            return vec![workspace_source(workspace)];
        }
        let items = match found.node.opt_sequence("sources") {
            Ok(items) => items.unwrap_or_default(),
            Err(diagnostic) => {
                wrong.push(diagnostic);
                return Vec::new();
            }
        };
        let sources = items.iter().enumerate();
        sources
            .filter_map(|(index, source)| keep(self.source(element, index, source, work, redundant), wrong))
            .collect()
    }

    fn source(
        &self,
        element: ElementIndex,
        index: usize,
        source: &Node,
        work: &Work<'_>,
        redundant: &mut Vec<Diagnostic>,
    ) -> Result<SourceDeclaration, Diagnostic> {
        let found = &self.elements[element];
        let kind_node = source.get_scalar("kind")?;
        let kind = kind_node.text().unwrap_or_default();
        if kind == "workspace" {
            let message = "Invalid usage of workspace source kind";
            return Err(Diagnostic::load("invalid-data", message).at(kind_node.at));
        }
        let directory = source.opt_str("directory")?.filter(|directory| !directory.is_empty());
        let provenance = source.opt_mapping("provenance")?;
        if let Some(provenance) = provenance {
            self.check_source_provenance(found.project, provenance)?;
        }
        let Some(origin) = self.known_origin(found.project, PluginType::Source, kind) else {
            let message = format!("No source plugin registered for kind '{kind}'");
            return Err(Diagnostic::new(Domain::Plugin, "plugin-not-found", message).at(kind_node.at));
        };
        let pass = if found.is_first_pass() { self.first(found.project) } else { self.second(found.project) };
        let mut config = match pass.sources.opt_mapping(kind)? {
            Some(defaults) => mapping_or_empty(defaults, "config")?,
            None => no_entries(),
        };
        let mut own = source.clone();
        if let Some(entries) = own.entries_mut() {
            entries.retain(|key, _| !matches!(key, "kind" | "directory" | "provenance"));
        }
        compose(&mut config, &own)?;
        assert_fully_composited(&config)?;
        let mut config = work.expand(config)?;
        let ref_storage = self.take_ref(element, index, kind, origin, &mut config, redundant)?;
        Ok(SourceDeclaration {
            kind: kind.into(),
            origin: origin.clone(),
            index,
            directory: directory.map(str::to_owned),
            provenance: provenance.cloned(),
            config,
            ref_storage,
            at: source.at,
        })
    }

    fn check_source_provenance(&self, project: ProjectIndex, provenance: &Node) -> Result<(), Diagnostic> {
        if let Some(sections) = &self.projects[project].sections {
            check_attributes(sections, provenance)?;
        }
        for (key, value) in provenance.as_mapping()? {
            if value.text().is_none() {
                let message = format!("Expected string for the value of provenance attribute '{key}'");
                return Err(Diagnostic::load("invalid-data", message).at(value.at));
            }
        }
        Ok(())
    }

    /// Puts the ref of a source in place where refs are kept apart from elements.
    fn take_ref(
        &self,
        element: ElementIndex,
        index: usize,
        kind: &str,
        origin: &KindOrigin,
        config: &mut Node,
        redundant: &mut Vec<Diagnostic>,
    ) -> Result<RefStorage, Diagnostic> {
        let found = &self.elements[element];
        let (project, top) = (&self.projects[found.project], &self.projects[0]);
        let file = |of: &'_ crate::conf::Open| {
            let refs = if found.kind == "junction" { of.junction_refs.clone() } else { of.refs.clone() };
            refs::lookup(refs.as_ref(), &project.name, &found.name, index).map(|found| found.cloned())
        };
        let apart = |of: &crate::conf::Open| of.ref_storage == RefStorage::ProjectRefs;
        let mut stored = None;
        if found.project != 0 && apart(top) {
            stored = file(top)?;
        }
        if stored.is_none() && !apart(project) {
            return Ok(RefStorage::Inline);
        }
        let keys = self.options.kinds.source_ref_keys(kind, origin);
        let Some(entries) = config.entries_mut() else { return Ok(RefStorage::Inline) };
        let inline: Vec<Node> = keys.iter().filter_map(|key| entries.remove(key)).collect();
        if stored.is_none() {
            if let Some(first) = inline.first() {
                let message =
                    "Ignoring redundant source reference: refs of this project are kept in project.refs";
                redundant.push(Diagnostic::load("redundant-ref", message).at(first.at));
            }
            stored = file(project)?;
        }
        for key in keys {
            if let Some(value) = stored.as_ref().and_then(|stored| stored.get(key)) {
                entries.insert(*key, value.clone());
            }
        }
        Ok(RefStorage::ProjectRefs)
    }
}

fn workspace_source(workspace: &crate::load::Workspace) -> SourceDeclaration {
    let mut config = Mapping::new();
    config.insert("path", Node::scalar(workspace.directory.to_string_lossy()));
    config.insert("last_build", Node::scalar(workspace.last_build.as_str()));
    SourceDeclaration {
        kind: "workspace".into(),
        origin: KindOrigin::Core,
        index: 0,
        directory: None,
        provenance: None,
        config: Node::mapping(config),
        ref_storage: RefStorage::Inline,
        at: Provenance::SYNTHETIC,
    }
}

fn keep<T>(result: Result<T, Diagnostic>, wrong: &mut Vec<Diagnostic>) -> Option<T> {
    result.map_err(|diagnostic| wrong.push(diagnostic)).ok()
}

type Over = Vec<(Text, Text, Provenance)>;

impl KindBase {
    fn new(
        session: &Session<'_, '_>,
        pass: &Pass,
        sections: Option<&Sections>,
        defaults: &Node,
        traits: Option<KindTraits>,
    ) -> Result<KindBase, Diagnostic> {
        let mut variables = pass.variables.clone();
        compose(&mut variables, &mapping_or_empty(defaults, "variables")?)?;
        assert_fully_composited(&variables)?;
        let protected = protected(&variables);
        let variables = Template::new(variables)?;
        let mut environment = sections.map_or_else(no_entries, |sections| sections.environment.clone());
        compose(&mut environment, &mapping_or_empty(defaults, "environment")?)?;
        let environment = Section::new(environment, &variables);
        let mut nocache = sections.map_or_else(Vec::new, |sections| sections.environment_nocache.clone());
        nocache.extend(
            defaults.opt_str_list("environment-nocache")?.unwrap_or_default().into_iter().map(Text::new),
        );
        nocache.sort();
        nocache.dedup();
        let splits = Section::new(entry_of(defaults, &["public", "bst", "split-rules"])?, &variables);
        let config = Section::new(mapping_or_empty(defaults, "config")?, &variables);
        let mut sandbox = sections.map_or_else(no_entries, |sections| sections.sandbox.clone());
        compose(&mut sandbox, &mapping_or_empty(defaults, "sandbox")?)?;
        let sandbox = Section::new(sandbox, &variables);
        let expanded = |section: &Section| section.expanded.as_ref().ok().cloned().flatten();
        Ok(KindBase {
            environment_values: expanded(&environment).and_then(|node| values(&node).ok()),
            public: expanded(&splits).map(public_of),
            sandbox_config: expanded(&sandbox).and_then(|node| sandbox_config(&node, session).ok()),
            protected,
            variables,
            environment,
            nocache: nocache.into(),
            splits,
            config,
            sandbox,
            traits,
        })
    }

    /// The variables in which an element differs from its base.
    fn over(&self, node: &Node, name: &Text) -> Result<Over, Diagnostic> {
        let mut over = self.own_variables(node)?;
        let own =
            |name: &str| over.iter().find(|(own, ..)| own == name).map(|(_, text, at)| (text.clone(), *at));
        let place = "notparallel";
        let not_parallel = own(place).or_else(|| {
            let node = self.variables.node.get(place)?;
            Some((Text::new(node.text()?), node.at))
        });
        if let Some((text, at)) = not_parallel
            && Node::from(Value::Scalar(text)).with_place(at).as_bool(place)?
        {
            over.push(("max-jobs".into(), "1".into(), Provenance::SYNTHETIC));
        }
        over.push(("element-name".into(), name.clone(), Provenance::SYNTHETIC));
        Ok(over)
    }

    /// The variables that an element itself sets.
    fn own_variables(&self, node: &Node) -> Result<Over, Diagnostic> {
        let Some(own) = own(node, "variables")? else {
            return self.protected.clone().map_or(Ok(Over::new()), Err);
        };
        let entries = own.as_mapping()?;
        let mut over = Over::with_capacity(entries.len() + 2);
        for (name, value) in entries {
            match &value.value {
                Value::Scalar(text) if !is_directive(name) => {
                    over.push((name.clone(), text.clone(), value.at));
                }
                _ => return Err(self.not_plain(own)),
            }
        }
        let wrong = protected(own).or_else(|| self.protected.clone());
        wrong.map_or(Ok(over), Err)
    }

    /// What is wrong with variables of an element that are not all texts.
    fn not_plain(&self, own: &Node) -> Diagnostic {
        let mut all = self.variables.node.clone();
        let wrong = compose(&mut all, own)
            .and_then(|()| assert_fully_composited(&all))
            .and_then(|()| protected(&all).map_or(Ok(()), Err))
            .and_then(|()| Template::new(all).map(drop));
        wrong.err().unwrap_or_else(|| own.expected("texts"))
    }
}

/// The first protected variable that stands in a file.
fn protected(variables: &Node) -> Option<Diagnostic> {
    PROTECTED.iter().find_map(|name| {
        let node = variables.get(name).filter(|node| !node.at.is_synthetic())?;
        let message = format!("invalid redefinition of protected variable '{name}'");
        Some(Diagnostic::load("protected-variable-redefined", message).at(node.at))
    })
}

fn public_of(splits: Node) -> Node {
    let mut public = no_entries();
    put(&mut public, &["bst", "split-rules"], splits);
    public
}

/// The entries of an environment.
fn values(environment: &Node) -> Result<Arc<IndexMap<Text, Text>>, Diagnostic> {
    let entries = environment.as_mapping()?;
    let mut values = IndexMap::with_capacity(entries.len());
    for (name, value) in entries {
        let Value::Scalar(text) = &value.value else { return Err(value.wrong_type(name, "scalar")) };
        values.insert(name.clone(), text.clone());
    }
    Ok(Arc::new(values))
}

fn sandbox_config(node: &Node, session: &Session<'_, '_>) -> Result<Arc<SandboxConfig>, Diagnostic> {
    node.validate_keys(&["build-uid", "build-gid", "build-os", "build-arch", "remote-apis-socket"])?;
    let build_os = match node.opt_str("build-os")?.filter(|os| !os.is_empty()) {
        Some(os) => os.to_lowercase(),
        None => machine::canonical_os(&session.options.host_os),
    };
    let arch = node.opt_scalar("build-arch")?.filter(|arch| arch.text().is_some_and(|text| !text.is_empty()));
    let host = &session.options.host_arch;
    let (name, at) = arch
        .map_or((host.as_str(), Provenance::SYNTHETIC), |arch| (arch.text().unwrap_or_default(), arch.at));
    let build_arch = machine::canonical_arch(name).ok_or_else(|| {
        Diagnostic::load("unknown-architecture", format!("Unknown architecture: {name}"))
            .at(at)
            .did_you_mean(machine::nearest_arch(name))
    })?;
    let socket = node.opt_mapping("remote-apis-socket")?;
    if let Some(socket) = socket {
        socket.validate_keys(&["path", "action-cache-enable-update"])?;
    }
    Ok(Arc::new(SandboxConfig {
        build_os,
        build_arch: build_arch.to_owned(),
        build_uid: user_id(node, "build-uid")?,
        build_gid: user_id(node, "build-gid")?,
        remote_apis_socket: socket.map(|socket| socket.get_str("path")).transpose()?.map(str::to_owned),
        remote_apis_socket_update: socket
            .map(|socket| socket.opt_bool("action-cache-enable-update"))
            .transpose()?
            .flatten()
            .unwrap_or(false),
    }))
}

fn user_id(node: &Node, key: &str) -> Result<Option<u32>, Diagnostic> {
    let Some(number) = node.opt_int(key)? else { return Ok(None) };
    let id = u32::try_from(number).map_err(|_| {
        let at = node.get(key).map_or(node.at, |node| node.at);
        Diagnostic::load("invalid-data", format!("Value of '{key}' is not a user or group id: {number}"))
            .at(at)
    })?;
    Ok(Some(id))
}

/// Composing an element whose variables are resolved.
struct Work<'w> {
    base: &'w KindBase,
    over: &'w Over,
    resolved: &'w Resolved,
}

impl Work<'_> {
    fn expand(&self, mut node: Node) -> Result<Node, Diagnostic> {
        match expand_node(&mut node, &self.resolved.variables) {
            Ok(()) => Ok(node),
            Err(failed) => Err(self.base.variables.explain_text(self.over, &failed)),
        }
    }

    /// A section of an element, composed and expanded.
    fn section(&self, base: &Section, node: &Node, key: &str) -> Result<Node, Diagnostic> {
        let own = own(node, key)?;
        self.composed(base, own)
    }

    /// What is missing in it is missing where the element has it, empty or not, and otherwise in the element.
    fn config(&self, node: &Node, element: Provenance) -> Result<Node, Diagnostic> {
        let mut config = self.section(&self.base.config, node, "config")?;
        match node.opt_mapping("config")? {
            Some(own) => config.at = own.at,
            None if config.at.is_synthetic() => config.at = element,
            None => {}
        }
        Ok(config)
    }

    fn composed(&self, base: &Section, own: Option<&Node>) -> Result<Node, Diagnostic> {
        if let Some(shared) = base.shared(self.resolved) {
            match own {
                None => return Ok(shared.clone()),
                Some(own) => {
                    if let Some(composed) = self.composed_onto(shared, own) {
                        return Ok(composed);
                    }
                }
            }
        }
        let mut all = base.node.clone();
        if let Some(own) = own {
            compose(&mut all, own)?;
        }
        assert_fully_composited(&all)?;
        self.expand(all)
    }

    /// What an element says composed onto what is expanded already. `None` if something is wrong: then it is done
    /// step by step, to find what bst would find.
    fn composed_onto(&self, shared: &Node, own: &Node) -> Option<Node> {
        let mut own = own.clone();
        expand_node(&mut own, &self.resolved.variables).ok()?;
        let mut all = shared.clone();
        compose(&mut all, &own).ok()?;
        assert_fully_composited(&all).ok()?;
        Some(all)
    }

    fn environment(&self, node: &Node) -> Result<Arc<IndexMap<Text, Text>>, Diagnostic> {
        let own = own(node, "environment")?;
        match &self.base.environment_values {
            Some(shared) if own.is_none() && self.base.environment.shared(self.resolved).is_some() => {
                Ok(shared.clone())
            }
            _ => values(&self.composed(&self.base.environment, own)?),
        }
    }

    fn nocache(&self, node: &Node) -> Result<Arc<[Text]>, Diagnostic> {
        let own = node.opt_str_list("environment-nocache")?.unwrap_or_default();
        if own.is_empty() {
            return Ok(self.base.nocache.clone());
        }
        let mut all = self.base.nocache.to_vec();
        all.extend(own.into_iter().map(Text::new));
        all.sort();
        all.dedup();
        Ok(all.into())
    }

    /// Public data: only split rules are taken from the defaults.
    fn public(&self, node: &Node) -> Result<Node, Diagnostic> {
        let Some(own) = own(node, "public")? else {
            return match &self.base.public {
                Some(shared) if self.base.splits.shared(self.resolved).is_some() => Ok(shared.clone()),
                _ => self.composed(&self.base.splits, None).map(public_of),
            };
        };
        let bst = own.opt_mapping("bst")?;
        let own_splits = bst.map(|bst| bst.opt_mapping("split-rules")).transpose()?.flatten();
        let splits = self.composed(&self.base.splits, own_splits)?;
        let mut public = own.clone();
        // Split rules keep their place in the order, but are expanded by now.
        put(&mut public, &["bst", "split-rules"], Node::null());
        assert_fully_composited(&public)?;
        let mut public = self.expand(public)?;
        put(&mut public, &["bst", "split-rules"], splits);
        Ok(public)
    }

    fn sandbox(&self, node: &Node, session: &Session<'_, '_>) -> Result<Arc<SandboxConfig>, Diagnostic> {
        let own = own(node, "sandbox")?;
        match &self.base.sandbox_config {
            Some(shared) if own.is_none() && self.base.sandbox.shared(self.resolved).is_some() => {
                Ok(shared.clone())
            }
            _ => sandbox_config(&self.composed(&self.base.sandbox, own)?, session),
        }
    }
}
