//! The order in which elements are worked on.

use bourn_plan::Plan;
use bourn_plan::closure::Walk;
use bourn_project::ElementId;

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
