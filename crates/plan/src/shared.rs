//! Beginnings that closures share.
//!
//! Dependencies are listed in staging order, so what two elements are built upon often begins alike: with the base
//! system, the toolchain, the libraries below both. Whatever is computed along such a list, a hash for one, need not be
//! computed again for its beginning.
//!
//! For every element, [`Shared`] keeps what was computed along the list of all it needs to run and itself: its *chain*.
//! Chains are kept as continuations of each other. The list of another element then begins with the longest chain
//! among its dependencies that swallows the others before it, and only the rest is walked.

use crate::closure::{Edges, Walk};
use bourn_project::ElementId;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Chains of a graph, with something computed along each.
pub(crate) struct Shared<'e, T> {
    edges: &'e Edges,
    chains: Vec<OnceLock<Chain<T>>>,
    /// How many more elements chains may name: in a graph where little is shared, they would fill the memory.
    room: AtomicUsize,
}

/// What an element needs to run, and itself.
struct Chain<T> {
    /// The chain that this one continues; none at the start.
    parent: Option<u32>,
    /// A chain further back, so that going back far takes few steps; itself at the start.
    jump: u32,
    /// How many chains stand before it.
    level: u32,
    /// The elements that follow those of the parent, the chain's own last.
    elements: Box<[ElementId]>,
    value: T,
}

/// A list of elements: a chain and what follows it.
pub(crate) struct List<'l, T> {
    /// The element whose chain it begins with, and what was computed along that.
    pub(crate) start: Option<(ElementId, &'l T)>,
    /// What follows.
    pub(crate) rest: &'l [ElementId],
}

impl<'e, T> Shared<'e, T> {
    /// Nothing is kept yet. `room` bounds the number of elements that chains name.
    pub(crate) fn new(edges: &'e Edges, room: usize) -> Shared<'e, T> {
        let chains = (0..edges.len()).map(|_| OnceLock::new()).collect();
        Shared { edges, chains, room: AtomicUsize::new(room) }
    }

    fn chain(&self, element: u32) -> Option<&Chain<T>> {
        self.chains.get(element as usize)?.get()
    }

    /// The elements that `from` and everything they need to run make up, in staging order.
    pub(crate) fn list<'l>(
        &'l self,
        from: impl Iterator<Item = ElementId> + Clone,
        walk: &'l mut Walk,
    ) -> List<'l, T> {
        let mut start: Option<u32> = None;
        let mut remaining = from;
        loop {
            let mut ahead = remaining.clone();
            let Some(next) = ahead.next() else { break };
            if self.chain(next.0).is_none() {
                break;
            }
            start = match start {
                None => Some(next.0),
                Some(start) if self.is_before(next.0, start) => Some(start),
                Some(start) if self.is_before(start, next.0) => Some(next.0),
                Some(_) => break,
            };
            remaining = ahead;
        }
        walk.begin(self.edges);
        if remaining.clone().next().is_some() {
            let mut chain = start.and_then(|start| self.chain(start));
            while let Some(known) = chain {
                known.elements.iter().for_each(|element| walk.skip(*element));
                chain = known.parent.and_then(|parent| self.chain(parent));
            }
            remaining.for_each(|element| self.edges.go_on(element, walk));
        }
        let start = start.and_then(|start| Some((ElementId(start), &self.chain(start)?.value)));
        List { start, rest: walk.order() }
    }

    /// Keeps the chain of an element: the list of what it needs to run, and itself, with the value computed along it.
    pub(crate) fn keep(&self, element: ElementId, parent: Option<ElementId>, rest: &[ElementId], value: T) {
        let length = rest.len() + 1;
        let take = |room: usize| room.checked_sub(length);
        if self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return;
        }
        let elements = rest.iter().copied().chain([element]).collect();
        let before = parent.and_then(|parent| Some((parent.0, self.chain(parent.0)?)));
        let (parent, jump, level) = match before {
            None => (None, element.0, 0),
            Some((id, parent)) => (Some(id), self.jump(id, parent), parent.level + 1),
        };
        // Every element's chain is made once.
        let _ = self.chains[element.0 as usize].set(Chain { parent, jump, level, elements, value });
    }

    /// Where a continuation of `parent` jumps to: twice as far as its parent where two jumps of the same length follow
    /// each other, to the parent otherwise.
    fn jump(&self, id: u32, parent: &Chain<T>) -> u32 {
        let Some(first) = self.chain(parent.jump) else { return id };
        let Some(second) = self.chain(first.jump) else { return id };
        if parent.level - first.level == first.level - second.level { first.jump } else { id }
    }

    /// Whether a chain is another one or one that it continues, so that its list is the beginning of the other's.
    fn is_before(&self, first: u32, second: u32) -> bool {
        let Some(level) = self.chain(first).map(|chain| chain.level) else { return false };
        let mut at = second;
        loop {
            let Some(chain) = self.chain(at) else { return false };
            if chain.level <= level {
                return at == first;
            }
            let far =
                self.chain(chain.jump).is_some_and(|jump| jump.level >= level && jump.level < chain.level);
            match (far, chain.parent) {
                (true, _) => at = chain.jump,
                (false, Some(parent)) => at = parent,
                (false, None) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::closure::in_order;
    use std::cell::RefCell;

    thread_local! {
        static WALK: RefCell<Walk> = RefCell::default();
    }

    /// Makes chains of a made-up graph whose value is the whole list, and compares every list with a plain walk.
    fn check(count: u32, room: usize, dependencies: impl Fn(u32) -> (Vec<u32>, Vec<u32>)) -> usize {
        let mut edges = Edges::default();
        for element in 0..count {
            let (build, runtime) = dependencies(element);
            edges.add(build, runtime);
        }
        let shared: Shared<'_, Vec<ElementId>> = Shared::new(&edges, room);
        let walked = AtomicUsize::new(0);
        let whole = |list: &List<'_, Vec<ElementId>>| {
            walked.fetch_add(list.rest.len(), Ordering::Relaxed);
            let start = list.start.map(|(_, value)| value.clone()).unwrap_or_default();
            start.into_iter().chain(list.rest.iter().copied()).collect::<Vec<_>>()
        };
        let work = |id: ElementId| {
            WALK.with_borrow_mut(|walk| {
                let found = whole(&shared.list(edges.direct_build(id), walk));
                assert_eq!(found, edges.build(id, &mut Walk::default()), "{id:?}");
            });
        };
        let settled = |id: ElementId| {
            WALK.with_borrow_mut(|walk| {
                let list = shared.list(edges.direct_runtime(id), walk);
                let mut value = whole(&list);
                value.push(id);
                assert_eq!(value, edges.runtime([id], &mut Walk::default()), "{id:?}");
                shared.keep(id, list.start.map(|(start, _)| start), list.rest, value);
            });
        };
        in_order(&edges, &work, &settled);
        walked.into_inner()
    }

    #[test]
    fn lists_are_those_of_a_walk() {
        let mut state = 7u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below.max(1)
        };
        let made: Vec<(Vec<u32>, Vec<u32>)> = (0..300u32)
            .map(|element| {
                let mut some = |most: u32| -> Vec<u32> {
                    let count = if element == 0 { 0 } else { random(most) };
                    let mut some: Vec<u32> = (0..count).map(|_| random(element)).collect();
                    some.sort_unstable();
                    some
                };
                (some(5), some(4))
            })
            .collect();
        check(300, usize::MAX, |element| made[element as usize].clone());
        check(300, 500, |element| made[element as usize].clone());
        check(300, 0, |element| made[element as usize].clone());
    }

    /// Where every element needs all before it, nothing is walked twice.
    #[test]
    fn chains_are_continued() {
        let below = |element: u32| {
            let mut below = vec![element / 2, element.saturating_sub(7), element.saturating_sub(1)];
            below.dedup();
            below.retain(|below| *below < element);
            (below.clone(), below)
        };
        assert_eq!(check(2000, usize::MAX, below), 0);
    }
}
