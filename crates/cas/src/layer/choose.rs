//! Which tree a new layer should lie upon.

use crate::layer::difference::Comparison;
use crate::layer::stack::{HEIGHT, Layers};
use bourn_reapi::Digest;
use bourn_reapi::services::{ErrorKind, ServiceResult};

/// Known layers that are compared with, beside the prefixes: those used last.
const COMPARED: usize = 24;

/// Trees with fewer entries are laid out whole rather than upon a prefix that is laid out for the purpose.
const SMALL: u64 = 2000;

/// What one more layer in the stack may cost in entries.
const PER_LAYER: u64 = 30;

/// A tree that gets a layer.
pub(crate) struct Choice<'a> {
    pub(crate) layers: &'a Layers<'a>,
    pub(crate) tree: &'a Digest,
    pub(crate) prefixes: &'a [Digest],
}

impl Choice<'_> {
    /// The base: a tree that has a layer, or a prefix that is worth one. `None` for a layer that stands alone.
    pub(crate) fn base(&self) -> ServiceResult<Option<Digest>> {
        if !self.layers.stacked {
            return Ok(None);
        }
        let store = self.layers.store;
        let whole = store.counts.count(store, self.tree)?;
        // Upon another tree, at least a third has to be saved.
        let worthwhile = whole - whole / 3;
        if let Some(base) = self.nearest(worthwhile, false)? {
            return Ok(Some(base));
        }
        if whole < SMALL {
            return Ok(None);
        }
        self.promising(whole)
    }

    /// Whether laying the tree out would take at most so many entries, roughly.
    pub(crate) fn is_small(&self, entries: u64) -> ServiceResult<bool> {
        let store = self.layers.store;
        Ok(store.counts.is_within(store, self.tree, entries)?
            || self.nearest(entries.saturating_add(1), true)?.is_some())
    }

    /// The tree among those that have layers from which this one differs least; `roughly` in less time.
    fn nearest(&self, worthwhile: u64, roughly: bool) -> ServiceResult<Option<Digest>> {
        let known = self.layers.store.descriptions(&self.layers.root)?;
        let known = |tree: &Digest| known.iter().find(|described| described.tree == *tree).cloned();
        let all = self.layers.store.descriptions(&self.layers.root)?;
        let prefixes = self.prefixes.iter().rev().filter_map(known);
        let recent =
            all.iter().filter(|described| !self.prefixes.contains(&described.tree)).take(COMPARED).cloned();
        let mut best: Option<(u64, Digest)> = None;
        for candidate in prefixes.chain(recent).filter(|candidate| candidate.height < HEIGHT) {
            let surcharge = PER_LAYER * u64::from(candidate.height);
            let limit = best.as_ref().map_or(worthwhile, |(cost, _)| *cost).saturating_sub(surcharge);
            if let Some(cost) = self.cost(&candidate.tree, limit, roughly)? {
                best = Some((cost + surcharge, candidate.tree));
            }
        }
        Ok(best.map(|(_, tree)| tree))
    }

    /// Entries of a layer upon `base`, if fewer than `limit`. `None` also when the base is only known by name any more.
    fn cost(&self, base: &Digest, limit: u64, roughly: bool) -> ServiceResult<Option<u64>> {
        let Some(budget) = limit.checked_sub(1) else { return Ok(None) };
        let store = self.layers.store;
        let mut comparison = Comparison { store, counts: &store.counts, budget, roughly };
        match comparison.compare(Some(base), self.tree) {
            Ok(level) => Ok(level.map(|_| budget - comparison.budget)),
            Err(error) if matches!(error.kind, ErrorKind::Missing | ErrorKind::Corrupt) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The smallest prefix that makes up half of the tree: others are likely to begin with it too.
    fn promising(&self, whole: u64) -> ServiceResult<Option<Digest>> {
        let store = self.layers.store;
        let mut found = self.prefixes.len();
        let mut below = 0;
        // Prefixes grow, so halving finds the first.
        while below < found {
            let middle = below + (found - below) / 2;
            match store.counts.count(store, &self.prefixes[middle])? * 2 >= whole {
                true => found = middle,
                false => below = middle + 1,
            }
        }
        let Some(prefix) = self.prefixes.get(found).filter(|prefix| *prefix != self.tree) else {
            return Ok(None);
        };
        Ok(self.cost(prefix, whole - whole / 3, false)?.map(|_| *prefix))
    }
}
