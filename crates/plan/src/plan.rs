//! The plan: every element with its assembly, its sources and its keys.

use crate::key::{StrictKey, WeakKey};
use crate::kind::{Description, KindTable};
use crate::source::{LocalDigests, PlannedSource, UrlTable, Warning};
use bourn_project::{ElementGraph, ElementId};
use bourn_yaml::Diagnostics;
use std::sync::Arc;

/// Everything that can be known before anything runs.
pub struct Plan {
    /// The graph it was made from.
    pub graph: Arc<ElementGraph>,
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
    /// Key of its staged sources together (`elementsources/KEY`).
    pub sources_key: Option<String>,
}

impl Plan {
    /// The entry of an element.
    pub fn element(&self, id: ElementId) -> &PlannedElement {
        &self.elements[id.0 as usize]
    }
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
    let _ = (graph, kinds, local);
    todo!()
}
