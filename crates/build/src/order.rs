//! The order in which elements are worked on.

use bourn_plan::Plan;
use bourn_plan::closure::Walk;
use bourn_project::ElementId;
use std::time::Duration;

/// Which elements belong to one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// It alone.
    None,
    /// What it is built upon, with what that needs to run; not itself.
    Build,
    /// It, with what it needs to run.
    Run,
    /// It, with everything below it.
    All,
}

/// The elements that belong to one, in staging order.
pub fn closure(plan: &Plan, id: ElementId, scope: Scope) -> Vec<ElementId> {
    let mut walked = Walk::default();
    match scope {
        Scope::None => vec![id],
        Scope::Build => plan.edges.build(id, &mut walked).to_vec(),
        Scope::Run => plan.edges.runtime([id], &mut walked).to_vec(),
        Scope::All => walk(plan, &[id], &|id| {
            plan.edges.direct_build(id).chain(plan.edges.direct_runtime(id)).collect()
        }),
    }
}

/// The targets with everything below them, those first that most others wait for: an element stands before those that
/// are built upon it. Elements of equal depth stand in the order of a walk from the targets.
pub fn deepest_first(plan: &Plan, targets: &[ElementId]) -> Vec<ElementId> {
    let mut order =
        walk(plan, targets, &|id| plan.edges.direct_runtime(id).chain(plan.edges.direct_build(id)).collect());
    let depths = depths(plan, targets);
    order.sort_by_key(|id| std::cmp::Reverse(depths[id.0 as usize]));
    order
}

/// The same elements, those first that most time will be spent after: the longest chain of builds that waits for one,
/// by how long these took before. Elements of which nothing is known count as the average. Equal ones stay in order.
pub fn longest_first(
    plan: &Plan,
    mut elements: Vec<ElementId>,
    took: &dyn Fn(ElementId) -> Option<Duration>,
) -> Vec<ElementId> {
    let known: Vec<Duration> = elements.iter().filter_map(|&id| took(id)).collect();
    let Some(average) = known.iter().sum::<Duration>().checked_div(known.len() as u32) else {
        return elements;
    };
    let chains = chains(plan, &|id| took(id).unwrap_or(average));
    elements.sort_by_key(|id| std::cmp::Reverse(chains[id.0 as usize]));
    elements
}

/// For every element, how long it takes with the longest chain of builds that waits for it.
pub fn chains(plan: &Plan, takes: &dyn Fn(ElementId) -> Duration) -> Vec<Duration> {
    let mut after = vec![Duration::ZERO; plan.elements.len()];
    let mut chains = vec![Duration::ZERO; plan.elements.len()];
    // Dependents stand after their dependencies, so that going backwards each sum is final when it is used.
    for at in (0..plan.elements.len()).rev() {
        let id = ElementId(at as u32);
        chains[at] = after[at] + takes(id);
        for dependency in plan.edges.direct_build(id) {
            let after = &mut after[dependency.0 as usize];
            *after = (*after).max(chains[at]);
        }
        for dependency in plan.edges.direct_runtime(id) {
            let waits = after[at];
            let after = &mut after[dependency.0 as usize];
            *after = (*after).max(waits);
        }
    }
    chains
}

/// The direct build dependencies of the targets with everything below them, in the same order (`build --deps build`).
pub fn dependencies_first(plan: &Plan, targets: &[ElementId]) -> Vec<ElementId> {
    deepest_first(plan, &direct_build(plan, targets))
}

/// The direct build dependencies of elements, each once.
pub fn direct_build(plan: &Plan, of: &[ElementId]) -> Vec<ElementId> {
    let mut seen = vec![false; plan.elements.len()];
    let all = of.iter().flat_map(|&id| plan.edges.direct_build(id));
    all.filter(|id| !std::mem::replace(&mut seen[id.0 as usize], true)).collect()
}

/// Depth first: each element after what is below it, in the order in which `below` lists that.
fn walk(plan: &Plan, targets: &[ElementId], below: &dyn Fn(ElementId) -> Vec<ElementId>) -> Vec<ElementId> {
    let mut seen = vec![false; plan.elements.len()];
    let mut order = Vec::new();
    for &target in targets {
        if std::mem::replace(&mut seen[target.0 as usize], true) {
            continue;
        }
        let mut stack = vec![(target, below(target), 0)];
        while let Some((id, dependencies, next)) = stack.last_mut() {
            match dependencies.get(*next) {
                Some(&dependency) => {
                    *next += 1;
                    if !std::mem::replace(&mut seen[dependency.0 as usize], true) {
                        stack.push((dependency, below(dependency), 0));
                    }
                }
                None => {
                    order.push(*id);
                    stack.pop();
                }
            }
        }
    }
    order
}

/// How many builds come one after the other before a target can be built, counted from the element. Runtime
/// dependencies are needed as early as those that need them.
fn depths(plan: &Plan, targets: &[ElementId]) -> Vec<u32> {
    let mut depths: Vec<Option<u32>> = vec![None; plan.elements.len()];
    for target in targets {
        depths[target.0 as usize] = Some(0);
    }
    let raise = |depths: &mut Vec<Option<u32>>, id: ElementId, depth: u32| {
        let known = &mut depths[id.0 as usize];
        *known = Some(known.map_or(depth, |known| known.max(depth)));
    };
    // Dependents stand after their dependencies, so that going backwards each depth is final when it is used.
    for at in (0..plan.elements.len()).rev() {
        let Some(depth) = depths[at] else { continue };
        let id = ElementId(at as u32);
        for dependency in plan.edges.direct_runtime(id) {
            raise(&mut depths, dependency, depth);
        }
        for dependency in plan.edges.direct_build(id) {
            raise(&mut depths, dependency, depth + 1);
        }
    }
    depths.into_iter().map(Option::unwrap_or_default).collect()
}
