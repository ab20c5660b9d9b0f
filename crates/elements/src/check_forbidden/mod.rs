//! Kind `check_forbidden`: fails when certain elements are needed to run its dependencies.

use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::{Assembly, Step};
use bourn_plan::{AssemblyError, Compute, Description, ElementContext, ElementKind, KeyValue, Workbench};
use bourn_project::{ElementId, KindTraits};
use bourn_yaml::{Diagnostics, Text};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// Nothing is forbidden to the element itself.
pub fn traits(_: Version) -> KindTraits {
    KindTraits::default()
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["forbidden"])?;
        let forbidden: BTreeSet<Text> =
            config.get_str_list("forbidden")?.into_iter().map(Text::from).collect();
        let names = KeyValue::list(forbidden.iter().map(|name| name.as_str()));
        let mut description = Description::new(KeyValue::object([("forbidden", names)]));
        description.assembly = Assembly {
            assemble: vec![Step::Compute(Arc::new(Check { forbidden }))],
            collect: "/".into(),
            ..Assembly::default()
        };
        Ok(description)
    }
}

/// Looks for forbidden elements.
#[derive(Debug)]
struct Check {
    forbidden: BTreeSet<Text>,
}

/// An element on the way down: who asked for it, the next dependency to look at, whether a bad one was found.
struct Visit {
    element: ElementId,
    next: usize,
    bad: bool,
}

impl Compute for Check {
    fn compute(&self, bench: &mut dyn Workbench) -> Result<(), AssemblyError> {
        let mut seen: HashSet<ElementId> = HashSet::new();
        let direct: Vec<ElementId> = bench.edges().direct_build(bench.element()).collect();
        for element in direct {
            if self.is_bad(element, &mut seen, bench)? {
                return Err(AssemblyError::element("Some elements were forbidden"));
            }
        }
        Ok(())
    }
}

impl Check {
    fn is_forbidden(&self, element: ElementId, bench: &dyn Workbench) -> bool {
        self.forbidden.contains(&*bench.graph().element(element).name)
    }

    /// Whether an element or what it needs to run is forbidden; warns about each step of the way there.
    fn is_bad(
        &self,
        start: ElementId,
        seen: &mut HashSet<ElementId>,
        bench: &dyn Workbench,
    ) -> Result<bool, AssemblyError> {
        if seen.contains(&start) {
            return Ok(false);
        }
        if self.is_forbidden(start, bench) {
            return Ok(true);
        }
        seen.insert(start);
        let mut way = vec![Visit { element: start, next: 0, bad: false }];
        let mut bad = false;
        while let Some(mut visit) = way.pop() {
            let Some(dependency) = bench.edges().direct_runtime(visit.element).nth(visit.next) else {
                bad = visit.bad;
                if let Some(above) = way.last_mut().filter(|_| bad) {
                    above.bad = true;
                    warn(bench, above.element, visit.element)?;
                }
                continue;
            };
            visit.next += 1;
            if seen.contains(&dependency) {
                way.push(visit);
            } else if self.is_forbidden(dependency, bench) {
                visit.bad = true;
                warn(bench, visit.element, dependency)?;
                way.push(visit);
            } else {
                seen.insert(dependency);
                way.push(visit);
                way.push(Visit { element: dependency, next: 0, bad: false });
            }
        }
        Ok(bad)
    }
}

fn warn(bench: &dyn Workbench, element: ElementId, dependency: ElementId) -> Result<(), AssemblyError> {
    let name = |id| layout::normal_name(&bench.graph().element(id).name);
    bench.warn(None, &format!("{} depends on {}", name(element), name(dependency)), None)
}
