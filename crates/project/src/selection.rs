//! Which elements of a graph a command works on, and in which order.

use crate::graph::{DependencyKind, ElementGraph, ElementId};

/// What is selected beside the targets (`--deps`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selection {
    /// The targets alone.
    None,
    /// All that the targets need to run, and they.
    Run,
    /// All that is needed to build the targets, without them.
    Build,
    /// Everything below the targets, and they.
    All,
}

/// The elements selected, in staging order.
pub fn select(graph: &ElementGraph, targets: &[ElementId], selection: Selection) -> Vec<ElementId> {
    let below = |element: usize, test: fn(DependencyKind) -> bool| -> Vec<usize> {
        let dependencies = &graph.elements[element].dependencies;
        dependencies.iter().filter(|d| test(d.kind)).map(|d| d.element.0 as usize).collect()
    };
    let targets: Vec<usize> = targets.iter().map(|id| id.0 as usize).collect();
    let total = graph.elements.len();
    let found = match selection {
        Selection::None => targets,
        Selection::All => staging_order(total, &targets, &below),
        Selection::Run => {
            let mut run = RunOrder::new(total, &below);
            targets.iter().for_each(|target| run.visit(*target));
            run.order
        }
        Selection::Build => {
            let mut run = RunOrder::new(total, &below);
            let mut built = vec![false; total];
            for target in targets {
                if !std::mem::replace(&mut built[target], true) {
                    below(target, DependencyKind::is_build).into_iter().for_each(|element| run.visit(element));
                }
            }
            run.order
        }
    };
    found.into_iter().map(|element| ElementId(element as u32)).collect()
}

/// The dependencies of a kind, by element.
type Below<'b> = dyn Fn(usize, fn(DependencyKind) -> bool) -> Vec<usize> + 'b;

/// Everything below some elements, and they: those needed for building first, then those for running, each with what
/// is below it.
pub(crate) fn staging_order(total: usize, targets: &[usize], below: &Below<'_>) -> Vec<usize> {
    let mut seen = vec![false; total];
    let mut order = Vec::new();
    let all = |element: usize| {
        let mut all = below(element, DependencyKind::is_build);
        all.extend(below(element, DependencyKind::is_runtime));
        all.into_iter()
    };
    for target in targets {
        if std::mem::replace(&mut seen[*target], true) {
            continue;
        }
        let mut stack = vec![(*target, all(*target))];
        while let Some((element, rest)) = stack.last_mut() {
            match rest.next() {
                Some(next) if !std::mem::replace(&mut seen[next], true) => stack.push((next, all(next))),
                Some(_) => {}
                None => {
                    order.push(*element);
                    stack.pop();
                }
            }
        }
    }
    order
}

/// What some elements need to run, and they.
struct RunOrder<'b> {
    below: &'b Below<'b>,
    seen: Vec<bool>,
    order: Vec<usize>,
}

impl<'b> RunOrder<'b> {
    fn new(total: usize, below: &'b Below<'b>) -> RunOrder<'b> {
        RunOrder { below, seen: vec![false; total], order: Vec::new() }
    }

    fn visit(&mut self, element: usize) {
        if std::mem::replace(&mut self.seen[element], true) {
            return;
        }
        let runtime = |element: usize| (self.below)(element, DependencyKind::is_runtime).into_iter();
        let mut stack = vec![(element, runtime(element))];
        while let Some((element, rest)) = stack.last_mut() {
            match rest.next() {
                Some(next) if !std::mem::replace(&mut self.seen[next], true) => stack.push((next, runtime(next))),
                Some(_) => {}
                None => {
                    self.order.push(*element);
                    stack.pop();
                }
            }
        }
    }
}

/// What remains of some elements when others are left out (`--except`), together with all that only they need.
pub fn except(
    graph: &ElementGraph,
    targets: &[ElementId],
    elements: Vec<ElementId>,
    excepted: &[ElementId],
) -> Vec<ElementId> {
    if excepted.is_empty() {
        return elements;
    }
    let total = graph.elements.len();
    let mut targeted = vec![false; total];
    for id in select(graph, targets, Selection::All) {
        targeted[id.0 as usize] = true;
    }
    let below = |id: ElementId| graph.element(id).dependencies.iter().map(|dependency| dependency.element);
    // An excepted element may lie outside of what is targeted: then what it shares with it is left out.
    let mut left_out = vec![false; total];
    let mut seen = vec![false; total];
    let mut queue = excepted.to_vec();
    while let Some(id) = queue.pop() {
        let at = id.0 as usize;
        if std::mem::replace(&mut seen[at], true) {
            continue;
        }
        if targeted[at] {
            left_out[at] = true;
        } else {
            queue.extend(below(id));
        }
    }
    let mut kept = vec![false; total];
    let mut queue = targets.to_vec();
    while let Some(id) = queue.pop() {
        let at = id.0 as usize;
        if left_out[at] || std::mem::replace(&mut kept[at], true) {
            continue;
        }
        queue.extend(below(id));
    }
    elements.into_iter().filter(|id| kept[id.0 as usize]).collect()
}

/// The elements of a build plan, those at the greatest depth first: depth grows with each build dependency between
/// an element and the targets.
pub fn plan_order(graph: &ElementGraph, targets: &[ElementId]) -> Vec<ElementId> {
    let total = graph.elements.len();
    let mut depth: Vec<u32> = vec![0; total];
    let wanted = select(graph, targets, Selection::All);
    // Dependents come after their dependencies in the graph, so that going backwards settles each element at once.
    for id in wanted.iter().rev() {
        for dependency in &graph.element(*id).dependencies {
            let more = depth[id.0 as usize] + u32::from(dependency.kind.is_build());
            let below = &mut depth[dependency.element.0 as usize];
            *below = (*below).max(more);
        }
    }
    let mut order: Vec<ElementId> = wanted;
    order.sort_by_key(|id| std::cmp::Reverse(depth[id.0 as usize]));
    order
}
