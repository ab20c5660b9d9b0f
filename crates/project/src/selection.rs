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
    let total = graph.elements.len();
    let targets: Vec<usize> = targets.iter().map(|id| id.0 as usize).collect();
    let runtime =
        |element: usize, found: &mut Vec<usize>| below(graph, element, DependencyKind::is_runtime, found);
    let found = match selection {
        Selection::None => targets,
        Selection::All => {
            staging_order(total, &targets, &|element, test, found| below(graph, element, test, found))
        }
        Selection::Run => walk(total, &targets, &runtime),
        Selection::Build => {
            let mut built = vec![false; total];
            let mut needed = Walk::new(total, &runtime);
            for target in targets {
                if !std::mem::replace(&mut built[target], true) {
                    let mut direct = Vec::new();
                    below(graph, target, DependencyKind::is_build, &mut direct);
                    direct.into_iter().for_each(|dependency| needed.visit(dependency));
                }
            }
            needed.order
        }
    };
    found.into_iter().map(|element| ElementId(element as u32)).collect()
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
    let wanted = select(graph, targets, Selection::All);
    let mut depth: Vec<u32> = vec![0; graph.elements.len()];
    // Dependents come after their dependencies, so that going backwards settles each element at once.
    for id in wanted.iter().rev() {
        for dependency in &graph.element(*id).dependencies {
            let more = depth[id.0 as usize] + u32::from(dependency.kind.is_build());
            let below = &mut depth[dependency.element.0 as usize];
            *below = (*below).max(more);
        }
    }
    // Among those of one depth, what is needed for running is met first.
    let targets: Vec<usize> = targets.iter().map(|id| id.0 as usize).collect();
    let met = walk(graph.elements.len(), &targets, &|element, found| {
        below(graph, element, DependencyKind::is_runtime, found);
        below(graph, element, DependencyKind::is_build, found);
    });
    let mut order: Vec<ElementId> = met.into_iter().map(|element| ElementId(element as u32)).collect();
    order.sort_by_key(|id| std::cmp::Reverse(depth[id.0 as usize]));
    order
}

fn below(graph: &ElementGraph, element: usize, test: fn(DependencyKind) -> bool, found: &mut Vec<usize>) {
    let dependencies = graph.elements[element].dependencies.iter();
    found.extend(dependencies.filter(|dependency| test(dependency.kind)).map(|d| d.element.0 as usize));
}

/// Adds the dependencies of an element that pass a test to a list.
type Direct<'b> = dyn Fn(usize, fn(DependencyKind) -> bool, &mut Vec<usize>) + 'b;

/// Everything below some elements, and they: those needed for building first, then those for running, each after
/// what is below it. `below` gives the dependencies of a sort.
pub(crate) fn staging_order(total: usize, targets: &[usize], below: &Direct<'_>) -> Vec<usize> {
    walk(total, targets, &|element, found| {
        below(element, DependencyKind::is_build, found);
        below(element, DependencyKind::is_runtime, found);
    })
}

/// Everything below some elements, each once and after what is below it. `below` adds the direct dependencies of an
/// element to a list.
fn walk(total: usize, targets: &[usize], below: &dyn Fn(usize, &mut Vec<usize>)) -> Vec<usize> {
    let mut walk = Walk::new(total, below);
    targets.iter().for_each(|target| walk.visit(*target));
    walk.order
}

struct Walk<'b> {
    below: &'b dyn Fn(usize, &mut Vec<usize>),
    seen: Vec<bool>,
    order: Vec<usize>,
    /// Elements on the way down, each with where its dependencies are in the list of those and how many are done.
    stack: Vec<(usize, usize, usize)>,
    /// The dependencies of all elements on the way down.
    pending: Vec<usize>,
}

impl<'b> Walk<'b> {
    fn new(total: usize, below: &'b dyn Fn(usize, &mut Vec<usize>)) -> Walk<'b> {
        let seen = vec![false; total];
        Walk { below, seen, order: Vec::with_capacity(total), stack: Vec::new(), pending: Vec::new() }
    }

    fn visit(&mut self, element: usize) {
        if !self.enter(element) {
            return;
        }
        while let Some((element, start, next)) = self.stack.last_mut() {
            match self.pending.get(*next).copied() {
                Some(dependency) => {
                    *next += 1;
                    self.enter(dependency);
                }
                None => {
                    self.order.push(*element);
                    self.pending.truncate(*start);
                    self.stack.pop();
                }
            }
        }
    }

    /// Goes into an element unless it was seen.
    fn enter(&mut self, element: usize) -> bool {
        let new = !std::mem::replace(&mut self.seen[element], true);
        if new {
            let start = self.pending.len();
            (self.below)(element, &mut self.pending);
            self.stack.push((element, start, start));
        }
        new
    }
}
