//! Walks over the graph of dependencies in bst's staging order.
//!
//! Staging order is depth first: what an element needs to run stands before it, in the order in which its
//! dependencies are listed, nothing twice. A walk over the build closure of one element visits every edge of that
//! closure once, which is less work than hashing its result; nothing is kept per pair of elements.

use bourn_project::{ElementGraph, ElementId};
use std::sync::atomic::{AtomicU32, Ordering};

/// The dependencies of every element as plain numbers, split by kind.
#[derive(Debug, Default)]
pub struct Edges {
    build: Lists,
    runtime: Lists,
}

/// One list of element numbers per element, end to end.
#[derive(Debug, Default)]
struct Lists {
    ends: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    fn of(&self, element: u32) -> &[u32] {
        let at = element as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.items[start..self.ends[at] as usize]
    }

    /// For every element, in whose lists it is.
    fn reversed(&self) -> Lists {
        let mut ends = vec![0; self.ends.len()];
        for &item in &self.items {
            ends[item as usize] += 1;
        }
        let mut end = 0;
        for slot in &mut ends {
            end += *slot;
            *slot = end;
        }
        // Filled from the back, so that each list is ascending.
        let mut items = vec![0; self.items.len()];
        let mut next = ends.clone();
        for element in (0..self.ends.len() as u32).rev() {
            for &item in self.of(element) {
                let at = &mut next[item as usize];
                *at -= 1;
                items[*at as usize] = element;
            }
        }
        Lists { ends, items }
    }

    fn push(&mut self, items: impl Iterator<Item = u32>) {
        self.items.extend(items);
        self.ends.push(u32::try_from(self.items.len()).unwrap_or(u32::MAX));
    }
}

/// What a walk remembers between elements: reuse one per thread.
#[derive(Debug, Default)]
pub struct Walk {
    /// Which elements were visited: those stamped with the current number.
    stamps: Vec<u32>,
    stamp: u32,
    stack: Vec<(u32, u32)>,
    order: Vec<ElementId>,
}

impl Walk {
    fn start(&mut self, elements: usize) {
        self.order.clear();
        if self.stamps.len() != elements || self.stamp == u32::MAX {
            self.stamps.clear();
            self.stamps.resize(elements, 0);
            self.stamp = 0;
        }
        self.stamp += 1;
    }

    /// Begins a walk over these edges.
    pub(crate) fn begin(&mut self, edges: &Edges) {
        self.start(edges.len());
    }

    /// Leaves an element out.
    pub(crate) fn skip(&mut self, element: ElementId) {
        self.visit(element.0);
    }

    /// What was walked.
    pub(crate) fn order(&self) -> &[ElementId] {
        &self.order
    }

    fn visit(&mut self, element: u32) -> bool {
        let seen = &mut self.stamps[element as usize];
        let new = *seen != self.stamp;
        *seen = self.stamp;
        new
    }
}

impl Edges {
    /// The edges of a graph.
    pub fn new(graph: &ElementGraph) -> Edges {
        let mut edges = Edges::default();
        for element in &graph.elements {
            let dependencies = || element.dependencies.iter();
            edges.build.push(dependencies().filter(|d| d.kind.is_build()).map(|d| d.element.0));
            edges.runtime.push(dependencies().filter(|d| d.kind.is_runtime()).map(|d| d.element.0));
        }
        edges
    }

    /// Adds an element.
    #[cfg(test)]
    pub(crate) fn add(&mut self, build: Vec<u32>, runtime: Vec<u32>) {
        self.build.push(build.into_iter());
        self.runtime.push(runtime.into_iter());
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.build.ends.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Direct build dependencies of an element, in order.
    pub fn direct_build(&self, element: ElementId) -> impl ExactSizeIterator<Item = ElementId> + Clone + '_ {
        self.build.of(element.0).iter().map(|&id| ElementId(id))
    }

    /// Direct runtime dependencies of an element, in order.
    pub fn direct_runtime(
        &self,
        element: ElementId,
    ) -> impl ExactSizeIterator<Item = ElementId> + Clone + '_ {
        self.runtime.of(element.0).iter().map(|&id| ElementId(id))
    }

    /// Everything an element is built upon, in staging order: its build dependencies with what they need to run,
    /// itself not among them (bst: the scope `BUILD`).
    pub fn build<'w>(&self, element: ElementId, walk: &'w mut Walk) -> &'w [ElementId] {
        walk.start(self.len());
        for &start in self.build.of(element.0) {
            self.descend(start, walk);
        }
        &walk.order
    }

    /// The elements given with everything they need to run, in staging order (bst: the scope `RUN`).
    pub fn runtime<'w>(
        &self,
        from: impl IntoIterator<Item = ElementId>,
        walk: &'w mut Walk,
    ) -> &'w [ElementId] {
        walk.start(self.len());
        for start in from {
            self.descend(start.0, walk);
        }
        &walk.order
    }

    /// Goes on with a walk: an element with everything it needs to run, but for what was walked or left out.
    pub(crate) fn go_on(&self, element: ElementId, walk: &mut Walk) {
        self.descend(element.0, walk);
    }

    /// Depth first along runtime edges, without recursion: chains may be longer than a stack is deep.
    fn descend(&self, start: u32, walk: &mut Walk) {
        if !walk.visit(start) {
            return;
        }
        walk.stack.push((start, 0));
        while let Some((element, next)) = walk.stack.pop() {
            match self.runtime.of(element).get(next as usize) {
                Some(&dependency) => {
                    walk.stack.push((element, next + 1));
                    if walk.visit(dependency) {
                        walk.stack.push((dependency, 0));
                    }
                }
                None => walk.order.push(ElementId(element)),
            }
        }
    }
}

/// Calls `work` once for every element, on all cores: for an element as soon as it returned for all of its build
/// closure. And `settled` once for every element as soon as `work` returned for it and `settled` for what it needs to
/// run, before `work` is called for anything built upon it.
pub(crate) fn in_order(
    edges: &Edges,
    work: &(dyn Fn(ElementId) + Sync),
    settled: &(dyn Fn(ElementId) + Sync),
) {
    let order = &Order::new(edges, work, settled);
    rayon::scope(|scope| {
        for element in 0..edges.len() as u32 {
            if edges.build.of(element).is_empty() {
                scope.spawn(move |scope| order.run(element, scope));
            }
        }
    });
}

/// Who waits for whom.
struct Order<'a> {
    work: &'a (dyn Fn(ElementId) + Sync),
    settled: &'a (dyn Fn(ElementId) + Sync),
    build_users: Lists,
    runtime_users: Lists,
    /// Of each element, how many of its build dependencies are not settled.
    waiting: Vec<AtomicU32>,
    /// Of each element, what keeps it from being settled: its own work, and each runtime dependency that is not.
    unsettled: Vec<AtomicU32>,
}

impl<'a> Order<'a> {
    fn new(
        edges: &Edges,
        work: &'a (dyn Fn(ElementId) + Sync),
        settled: &'a (dyn Fn(ElementId) + Sync),
    ) -> Order<'a> {
        let count = |lists: &Lists, more: u32| {
            let of = |element| AtomicU32::new(lists.of(element).len() as u32 + more);
            (0..edges.len() as u32).map(of).collect()
        };
        Order {
            work,
            settled,
            build_users: edges.build.reversed(),
            runtime_users: edges.runtime.reversed(),
            waiting: count(&edges.build, 0),
            unsettled: count(&edges.runtime, 1),
        }
    }

    /// Does the work of one element and starts that of those that only waited for it.
    fn run<'s>(&'s self, element: u32, scope: &rayon::Scope<'s>) {
        (self.work)(ElementId(element));
        let mut settled = vec![element];
        while let Some(element) = settled.pop() {
            if self.unsettled[element as usize].fetch_sub(1, Ordering::AcqRel) > 1 {
                continue;
            }
            (self.settled)(ElementId(element));
            settled.extend(self.runtime_users.of(element));
            for &user in self.build_users.of(element) {
                if self.waiting[user as usize].fetch_sub(1, Ordering::AcqRel) == 1 {
                    scope.spawn(move |scope| self.run(user, scope));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// The edges of elements given as (build dependencies, runtime dependencies).
    fn edges(elements: &[(&[u32], &[u32])]) -> Edges {
        let mut edges = Edges::default();
        for (build, runtime) in elements {
            edges.build.push(build.iter().copied());
            edges.runtime.push(runtime.iter().copied());
        }
        edges
    }

    fn numbers(elements: &[ElementId]) -> Vec<u32> {
        elements.iter().map(|id| id.0).collect()
    }

    #[test]
    fn staging_order() {
        let edges = edges(&[
            (&[], &[]),
            (&[], &[0]),
            (&[1], &[]),
            (&[], &[1, 2]),
            (&[3, 2, 3], &[0]),
            (&[4, 1], &[4]),
        ]);
        let mut walk = Walk::default();
        let mut check = |element, build: &[u32], runtime: &[u32]| {
            let element = ElementId(element);
            assert_eq!(numbers(edges.build(element, &mut walk)), build, "build closure of {element:?}");
            assert_eq!(
                numbers(edges.runtime([element], &mut walk)),
                runtime,
                "what {element:?} needs to run"
            );
        };
        check(0, &[], &[0]);
        check(1, &[], &[0, 1]);
        check(2, &[0, 1], &[2]);
        check(3, &[], &[0, 1, 2, 3]);
        check(4, &[0, 1, 2, 3], &[0, 4]);
        check(5, &[0, 4, 1], &[0, 4, 5]);
        let both = edges.runtime([ElementId(4), ElementId(1), ElementId(4)], &mut walk);
        assert_eq!(numbers(both), [0, 4, 1]);
    }

    /// A chain longer than a stack of calls is deep.
    #[test]
    fn long_chains() {
        let length = 200_000u32;
        let mut chain = Edges::default();
        for element in 0..length {
            chain.build.push(element.checked_sub(1).into_iter());
            chain.runtime.push(element.checked_sub(1).into_iter());
        }
        let mut walk = Walk::default();
        assert_eq!(chain.build(ElementId(length - 1), &mut walk).len(), length as usize - 1);
        let count = AtomicU32::new(0);
        let add = |_| {
            count.fetch_add(1, Ordering::Relaxed);
        };
        in_order(&chain, &add, &add);
        assert_eq!(count.into_inner(), 2 * length);
    }

    #[test]
    fn work_is_done_after_its_closure() {
        // A made-up graph with many ways through it.
        let mut made = Edges::default();
        let mut state = 1u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below.max(1)
        };
        for element in 0..500u32 {
            let mut some = |most: u32| -> Vec<u32> {
                (0..random(most)).filter(|_| element > 0).map(|_| random(element)).collect()
            };
            let (build, runtime) = (some(4), some(3));
            made.build.push(build.into_iter());
            made.runtime.push(runtime.into_iter());
        }
        let done = Mutex::new(vec![0; made.len()]);
        in_order(
            &made,
            &|element| {
                let mut walk = Walk::default();
                let mut done = done.lock().expect("not poisoned");
                for before in made.build(element, &mut walk) {
                    assert_eq!(done[before.0 as usize], 1, "{before:?} before {element:?}");
                }
                done[element.0 as usize] += 1;
            },
            &|_| {},
        );
        assert!(done.into_inner().expect("not poisoned").iter().all(|times| *times == 1));
    }
}
