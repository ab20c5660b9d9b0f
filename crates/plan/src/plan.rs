//! The plan: every element with its assembly, its sources and its keys.

use crate::closure::Edges;
use crate::key::{self, CacheKey, StrictKey, WeakKey};
use crate::keyring::{self, Keyring};
use crate::kind::{Description, ElementContext, KindTable};
use crate::object::Inputs;
use crate::source::{LocalDigests, PlannedSource, SourceContext, SourceError, UrlTable, Warning, Warnings};
use bourn_project::{Element, ElementGraph, ElementId, KindOrigin, SourceDeclaration};
use bourn_yaml::{Diagnostic, Diagnostics, Domain};
use rayon::prelude::*;
use std::sync::Arc;

/// Everything that can be known before anything runs.
pub struct Plan {
    /// The graph it was made from.
    pub graph: Arc<ElementGraph>,
    /// Its dependencies, for walks.
    pub edges: Edges,
    /// One entry per element of the graph, same index.
    pub elements: Vec<PlannedElement>,
    /// What aliases mean, per project of the graph, same index.
    pub urls: Vec<Arc<dyn UrlTable>>,
    /// What is odd about the files.
    pub warnings: Vec<Warning>,
}

/// One element of a [`Plan`].
pub struct PlannedElement {
    /// What its kind says of it.
    pub description: Description,
    /// Its sources, configured.
    pub sources: Vec<PlannedSource>,
    /// Weak key; `None` while a source has no ref.
    pub weak_key: Option<WeakKey>,
    /// Strict key; `None` while a source of it or of a build dependency has no ref.
    pub strict_key: Option<StrictKey>,
    /// Key of its staged sources together (`elementsources/KEY`); `None` while a source has no ref.
    pub sources_key: Option<String>,
}

impl Plan {
    /// The entry of an element.
    pub fn element(&self, id: ElementId) -> &PlannedElement {
        &self.elements[id.0 as usize]
    }

    /// The element whose sources stand for those of this one in commands on sources and workspaces: for a filter, the
    /// element that it filters in the end; for most, itself.
    pub fn source_element(&self, id: ElementId) -> ElementId {
        let mut id = id;
        // Dependencies are acyclic, so this ends.
        while let Some(of) = self.element(id).description.source_element {
            id = of;
        }
        id
    }

    /// The strong key of an element that is built upon artifacts with the strong keys that `strong` knows: what a
    /// non-strict build needs once the artifacts of all build dependencies, and of what these need to run, are there.
    /// `None` when a source has no ref or `strong` does not know one of them.
    pub fn strong_key<'k>(
        &self,
        id: ElementId,
        strong: impl Fn(ElementId) -> Option<&'k CacheKey>,
    ) -> Option<CacheKey> {
        self.key_json(id, |id| strong(id).map(|key| key.0.as_str())).map(|json| CacheKey(key::key_of(&json)))
    }

    /// The object that the strong key of an element is the hash of.
    pub(crate) fn key_json<'k>(
        &self,
        id: ElementId,
        strong: impl Fn(ElementId) -> Option<&'k str>,
    ) -> Option<Vec<u8>> {
        let element = self.element(id);
        let weak = element.weak_key.as_ref()?;
        let inputs = Inputs { description: &element.description, sources: &element.sources };
        keyring::object_of(&self.graph, &self.edges, id, &inputs, &weak.0, strong)
    }
}

/// What planning an element asks.
struct Desk<'a> {
    graph: &'a ElementGraph,
    edges: &'a Edges,
    kinds: &'a dyn KindTable,
    local: &'a dyn LocalDigests,
    urls: &'a [Arc<dyn UrlTable>],
    warnings: &'a Warnings,
}

/// Plans every element of the graph.
///
/// # Errors
/// What kinds and sources find wrong with their configuration.
pub fn plan(
    graph: Arc<ElementGraph>,
    kinds: &dyn KindTable,
    local: &dyn LocalDigests,
) -> Result<Plan, Diagnostics> {
    let urls = kinds.urls(&graph.projects)?;
    let warnings = Warnings::default();
    let edges = Edges::new(&graph);
    let desk = Desk { graph: &graph, edges: &edges, kinds, local, urls: &urls, warnings: &warnings };
    let ids: Vec<ElementId> = (0..graph.elements.len()).map(|at| ElementId(at as u32)).collect();
    let planned: Vec<Result<PlannedElement, Diagnostics>> =
        ids.par_iter().map(|&id| desk.element(id)).collect();
    let mut elements = Vec::with_capacity(planned.len());
    let mut wrong = Diagnostics::default();
    for element in planned {
        match element {
            Ok(element) => elements.push(element),
            Err(diagnostics) => wrong.0.extend(diagnostics.0),
        }
    }
    if !wrong.0.is_empty() {
        return Err(wrong);
    }
    set_keys(&graph, &edges, &mut elements);
    Ok(Plan { graph, edges, elements, urls, warnings: warnings.take() })
}

/// Computes the weak and strict keys of all elements.
fn set_keys(graph: &ElementGraph, edges: &Edges, elements: &mut [PlannedElement]) {
    let inputs: Vec<Inputs<'_>> = elements
        .iter()
        .map(|element| Inputs { description: &element.description, sources: &element.sources })
        .collect();
    let keys = Keyring::new(graph, edges, &inputs).keys();
    for (element, keys) in elements.iter_mut().zip(keys) {
        element.weak_key = keys.weak.map(WeakKey);
        element.strict_key = keys.strict.map(StrictKey);
        element.sources_key = keys.sources;
    }
}

impl Desk<'_> {
    /// Asks the kinds of one element and of its sources.
    fn element(&self, id: ElementId) -> Result<PlannedElement, Diagnostics> {
        let element = self.graph.element(id);
        let description = match self.kinds.element(&element.kind, &element.origin) {
            Some(kind) => kind
                .describe(ElementContext { graph: self.graph, edges: self.edges, id })
                .map_err(|wrong| placed(wrong, element)),
            None => Err(unknown_kind(element).into()),
        };
        match (description, self.sources(element)) {
            (Ok(mut description), Ok(sources)) => {
                let project = self.graph.project(element.project);
                for remark in std::mem::take(&mut description.remarks) {
                    self.warnings.raise(project, remark)?;
                }
                Ok(PlannedElement {
                    description,
                    sources,
                    weak_key: None,
                    strict_key: None,
                    sources_key: None,
                })
            }
            (Err(mut description), Err(sources)) => {
                description.0.extend(sources.0);
                Err(description)
            }
            (Err(wrong), Ok(_)) | (Ok(_), Err(wrong)) => Err(wrong),
        }
    }

    fn sources(&self, element: &Element) -> Result<Vec<PlannedSource>, Diagnostics> {
        let context = SourceContext {
            project: self.graph.project(element.project),
            element: &element.name,
            urls: &self.urls[element.project.0 as usize],
            local: self.local,
            warnings: self.warnings,
        };
        let mut sources = Vec::with_capacity(element.sources.len());
        let mut wrong = Diagnostics::default();
        for declaration in &element.sources {
            match self.source(declaration, &context) {
                Ok(source) => sources.push(source),
                Err(diagnostics) => wrong.0.extend(diagnostics.0),
            }
        }
        if !wrong.0.is_empty() {
            return Err(wrong);
        }
        match sources.first().filter(|first| first.source.previous().track || first.source.previous().fetch) {
            Some(first) => Err(must_not_be_first(element, first).into()),
            None => Ok(sources),
        }
    }

    fn source(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<PlannedSource, Diagnostics> {
        let Some(kind) = self.kinds.source(&declaration.kind, &declaration.origin) else {
            return Err(unknown_source(declaration).into());
        };
        let source = kind.configure(declaration, context)?;
        let unique_key = match source.is_resolved() {
            true => {
                let unique_key = source.unique_key(self.local);
                Some(unique_key.map_err(|error| failed(declaration, context, &error))?)
            }
            false => None,
        };
        let key = unique_key.as_ref().map(|unique| unique.key());
        Ok(PlannedSource { declaration: declaration.clone(), source, unique_key, key })
    }
}

/// What a kind finds wrong without a place, such as a key missing from a `config:` that nobody wrote, is wrong with the
/// element.
fn placed(mut wrong: Diagnostics, element: &Element) -> Diagnostics {
    for diagnostic in &mut wrong.0 {
        diagnostic.at = diagnostic.at.or(element.at.file.map(|_| element.at));
    }
    wrong
}

fn must_not_be_first(element: &Element, source: &PlannedSource) -> Diagnostic {
    let kind = &source.declaration.kind;
    let message = format!(
        "{}: a source of kind `{kind}` cannot be the first of an element: it works on those before it",
        element.name
    );
    Diagnostic::new(Domain::Element, "", message).at(source.declaration.at)
}

/// A source that cannot say what it is, such as a local one whose files are missing.
fn failed(declaration: &SourceDeclaration, context: &SourceContext<'_>, error: &SourceError) -> Diagnostics {
    let message = format!("{}: {}", context.element, error.message);
    let mut diagnostic = Diagnostic::new(Domain::Source, error.reason, message).at(declaration.at);
    if let Some(detail) = &error.detail {
        diagnostic = diagnostic.detail(detail);
    }
    if let Some(hint) = &error.hint {
        diagnostic = diagnostic.hint(hint);
    }
    diagnostic.into()
}

fn unknown_kind(element: &Element) -> Diagnostic {
    let message = format!("No element kind `{}` is known{}", element.kind, origin(&element.origin));
    Diagnostic::new(Domain::Plugin, "", message).at(element.at)
}

fn unknown_source(declaration: &SourceDeclaration) -> Diagnostic {
    let message = format!("No source kind `{}` is known{}", declaration.kind, origin(&declaration.origin));
    Diagnostic::new(Domain::Plugin, "", message).at(declaration.at)
}

/// Where a kind was looked for, as the end of a sentence.
fn origin(origin: &KindOrigin) -> String {
    match origin {
        KindOrigin::Core => String::new(),
        KindOrigin::Pip { package, .. } => format!(" in the package `{package}`"),
        KindOrigin::File { directory, .. } => format!(" in {}", directory.display()),
    }
}
