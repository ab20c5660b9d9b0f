//! Which elements a command is about: targets and their dependencies, exceptions taken out, in bst's order.

use crate::args::value::Selection;
use bourn_project::{ElementGraph, ElementId};

/// How far dependencies are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Not at all.
    None,
    /// Build dependencies and what these need to run; not the element itself.
    Build,
    /// The element and what it needs to run.
    Run,
    /// The element and everything below it.
    All,
}

impl From<Selection> for Scope {
    fn from(selection: Selection) -> Scope {
        match selection {
            Selection::None => Scope::None,
            Selection::Build => Scope::Build,
            Selection::Run => Scope::Run,
            Selection::All => Scope::All,
        }
    }
}

/// What a walk has seen: as the start of a build closure, and as a member of a runtime closure.
struct Seen {
    build: Vec<bool>,
    run: Vec<bool>,
}

/// The elements in the scope of the targets, each once, dependencies first.
pub(crate) fn closure(graph: &ElementGraph, targets: &[ElementId], scope: Scope) -> Vec<ElementId> {
    let count = graph.elements.len();
    let mut seen = Seen { build: vec![false; count], run: vec![false; count] };
    let mut order = Vec::new();
    for &target in targets {
        let at = target.0 as usize;
        let again = match scope {
            Scope::None => false,
            Scope::Build => seen.build[at],
            Scope::Run => seen.run[at],
            Scope::All => seen.build[at] || seen.run[at],
        };
        if again {
            continue;
        }
        match scope {
            Scope::None => order.push(target),
            Scope::Run | Scope::All => descend(graph, target, scope, &mut seen, &mut order),
            Scope::Build => {
                seen.build[at] = true;
                for dependency in direct(graph, target, Scope::Build) {
                    if !seen.run[dependency.0 as usize] {
                        descend(graph, dependency, Scope::Run, &mut seen, &mut order);
                    }
                }
            }
        }
    }
    order
}

/// Depth first, without recursion: chains may be longer than a stack is deep.
fn descend(
    graph: &ElementGraph,
    start: ElementId,
    scope: Scope,
    seen: &mut Seen,
    order: &mut Vec<ElementId>,
) {
    let visit = |id: ElementId, seen: &mut Seen| {
        seen.run[id.0 as usize] = true;
        if scope == Scope::All {
            seen.build[id.0 as usize] = true;
        }
    };
    visit(start, seen);
    let mut stack = vec![(start, direct(graph, start, scope), 0)];
    while let Some((id, dependencies, next)) = stack.last_mut() {
        match dependencies.get(*next) {
            Some(&dependency) => {
                *next += 1;
                let at = dependency.0 as usize;
                if !(seen.run[at] || (scope == Scope::All && seen.build[at])) {
                    visit(dependency, seen);
                    stack.push((dependency, direct(graph, dependency, scope), 0));
                }
            }
            None => {
                order.push(*id);
                stack.pop();
            }
        }
    }
}

/// Direct dependencies of an element, each once: for building, for running, or those for building and then the rest.
pub(crate) fn direct(graph: &ElementGraph, id: ElementId, scope: Scope) -> Vec<ElementId> {
    let dependencies = &graph.element(id).dependencies;
    let build = dependencies.iter().filter(|dependency| dependency.kind.is_build());
    let run = dependencies.iter().filter(|dependency| dependency.kind.is_runtime());
    match scope {
        Scope::None => Vec::new(),
        Scope::Build => build.map(|dependency| dependency.element).collect(),
        Scope::Run => run.map(|dependency| dependency.element).collect(),
        Scope::All => {
            let only_run = run.filter(|dependency| !dependency.kind.is_build());
            build.chain(only_run).map(|dependency| dependency.element).collect()
        }
    }
}

/// Takes out of `selected` the excepted elements and whatever only they lead to. Where an excepted element is not
/// below the targets, those of its dependencies that are stand for it.
pub(crate) fn except(
    graph: &ElementGraph,
    targets: &[ElementId],
    selected: Vec<ElementId>,
    excepted: &[ElementId],
) -> Vec<ElementId> {
    if excepted.is_empty() {
        return selected;
    }
    let count = graph.elements.len();
    let mut below = vec![false; count];
    for id in closure(graph, targets, Scope::All) {
        below[id.0 as usize] = true;
    }
    let mut barred = vec![false; count];
    walk(graph, excepted, |id| {
        barred[id.0 as usize] = below[id.0 as usize];
        !below[id.0 as usize]
    });
    let mut kept = vec![false; count];
    walk(graph, targets, |id| {
        kept[id.0 as usize] = !barred[id.0 as usize];
        !barred[id.0 as usize]
    });
    selected.into_iter().filter(|id| kept[id.0 as usize]).collect()
}

/// Visits every element once; `visit` says whether to go on below it.
fn walk(graph: &ElementGraph, from: &[ElementId], mut visit: impl FnMut(ElementId) -> bool) {
    let mut seen = vec![false; graph.elements.len()];
    let mut waiting = from.to_vec();
    while let Some(id) = waiting.pop() {
        if !std::mem::replace(&mut seen[id.0 as usize], true) && visit(id) {
            waiting.extend(graph.element(id).dependencies.iter().map(|dependency| dependency.element));
        }
    }
}
