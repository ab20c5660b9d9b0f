//! The order of dependencies: circles found, lists sorted.

use crate::dependency::Declared;
use crate::element::Found;
use crate::graph::DependencyKind;
use crate::session::{ElementIndex, Session};
use crate::sort::sort;
use bourn_yaml::{Diagnostic, Provenance};
use std::cmp::Ordering;
use std::ops::Range;

/// How many words of bits may be kept of what depends on what: 64 MiB, which is a bit for every pair of 32768 elements.
/// Projects with more elements need less, unless they have no order to speak of.
const ROOM: usize = 8 << 20;

/// How many elements are looked at at once where that is too little. Bounds the memory for it.
const BLOCK: usize = 8192;

/// What is met on a walk over elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// An element, before its dependencies.
    Enter(ElementIndex),
    /// An element, after all below its dependency of that number.
    After(ElementIndex, usize),
    /// An element, after all its dependencies.
    Leave(ElementIndex),
}

/// Walks over the elements that some depend on, each once, in the order in which bst makes them.
pub(crate) fn walk(elements: &[Found], from: &[ElementIndex], visit: &mut dyn FnMut(Step)) {
    let mut seen = vec![false; elements.len()];
    for target in from {
        if std::mem::replace(&mut seen[*target], true) {
            continue;
        }
        visit(Step::Enter(*target));
        let mut stack = vec![(*target, 0)];
        while let Some((element, next)) = stack.last_mut() {
            let element = *element;
            let Some(link) = elements[element].dependencies.get(*next) else {
                visit(Step::Leave(element));
                stack.pop();
                if let Some((above, next)) = stack.last() {
                    visit(Step::After(*above, next - 1));
                }
                continue;
            };
            *next += 1;
            if std::mem::replace(&mut seen[link.element], true) {
                visit(Step::After(element, *next - 1));
            } else {
                visit(Step::Enter(link.element));
                stack.push((link.element, 0));
            }
        }
    }
}

impl Session<'_, '_> {
    /// Finds circles of dependencies; the first is the one that bst finds.
    pub(crate) fn circles(&self, targets: &[ElementIndex]) -> Vec<Diagnostic> {
        let mut wrong = Vec::new();
        let mut done = vec![false; self.elements.len()];
        let mut open = vec![false; self.elements.len()];
        for target in targets {
            if done[*target] {
                continue;
            }
            open[*target] = true;
            let mut path = vec![(*target, 0)];
            while let Some((element, next)) = path.last_mut() {
                let (element, at) = (*element, *next);
                *next += 1;
                match self.elements[element].dependencies.get(at) {
                    None => {
                        open[element] = false;
                        done[element] = true;
                        path.pop();
                    }
                    Some(link) if open[link.element] => {
                        let start =
                            path.iter().position(|(on_path, _)| *on_path == link.element).unwrap_or(0);
                        wrong.push(self.circle(&path[start..]));
                        // One circle is enough of elements that go round in several.
                        path.drain(..).for_each(|(element, _)| {
                            open[element] = false;
                            done[element] = true;
                        });
                    }
                    Some(link) if !done[link.element] => {
                        open[link.element] = true;
                        path.push((link.element, 0));
                    }
                    Some(_) => {}
                }
            }
        }
        wrong
    }

    fn circle(&self, path: &[(ElementIndex, usize)]) -> Diagnostic {
        let names: Vec<String> = path.iter().map(|(element, _)| self.full_name(*element)).collect();
        let first = names.first().cloned().unwrap_or_default();
        let message = format!(
            "Circular dependency detected at element: {first}\nDependency chain: {} -> {first}",
            names.join(" -> ")
        );
        let mut wrong = Diagnostic::load("circular-dependency", message);
        for ((element, next), name) in path.iter().zip(&names) {
            if let Some(link) = self.elements[*element].dependencies.get(next - 1) {
                let at: Provenance = link.declared.at;
                wrong =
                    wrong.note(at.file.map(|_| at), format!("{name} depends on {}", link.declared.path()));
            }
        }
        wrong
    }

    /// Sorts the dependencies of all elements below some: what others in the list depend on comes first.
    pub(crate) fn sort_dependencies(&mut self, targets: &[ElementIndex]) {
        let mut order = Vec::new();
        walk(&self.elements, targets, &mut |step| {
            if let Step::Leave(element) = step {
                order.push(element);
            }
        });
        let mut rank = vec![0u32; self.elements.len()];
        for (at, element) in order.iter().enumerate() {
            rank[*element] = at as u32;
        }
        if let Some(reach) = self.reach(&order, &rank, ROOM) {
            for element in order {
                let ranks: Vec<usize> = self.elements[element]
                    .dependencies
                    .iter()
                    .map(|link| rank[link.element] as usize)
                    .collect();
                self.sort_one(element, &|a, b| reach.has(ranks[a], ranks[b]));
            }
            return;
        }
        let below = self.below(&order, &rank);
        for (element, below) in order.into_iter().zip(below) {
            self.sort_one(element, &|a, b| below.get(a, b));
        }
    }

    /// Sorts the dependencies of one element; `below` says whether the first depends on the second.
    fn sort_one(&mut self, element: ElementIndex, below: &dyn Fn(usize, usize) -> bool) {
        let links = &self.elements[element].dependencies;
        if links.len() < 2 {
            return;
        }
        let mut places: Vec<usize> = (0..links.len()).collect();
        sort(&mut places, &mut |a, b| self.compare(element, a, b, below) == Ordering::Less);
        let links = std::mem::take(&mut self.elements[element].dependencies);
        let mut links: Vec<Option<_>> = links.into_iter().map(Some).collect();
        self.elements[element].dependencies =
            places.into_iter().filter_map(|place| links[place].take()).collect();
    }

    /// What every element depends on; `None` if that takes more than `room` words. `order` has dependencies before
    /// dependents, `rank` says where each is in it.
    fn reach(&self, order: &[ElementIndex], rank: &[u32], room: usize) -> Option<Reach> {
        let mut reach = Reach::default();
        for element in order {
            let links = &self.elements[*element].dependencies;
            reach.add(links.iter().map(|link| rank[link.element] as usize));
            if reach.bits.len() > room {
                return None;
            }
        }
        Some(reach)
    }

    /// For each element which of its dependencies depend on which others of them.
    fn below(&self, order: &[ElementIndex], rank: &[u32]) -> Vec<Matrix> {
        let mut matrices: Vec<Matrix> =
            order.iter().map(|element| Matrix::new(self.elements[*element].dependencies.len())).collect();
        let mut start = 0;
        while start < order.len() {
            let end = (start + BLOCK).min(order.len());
            let words = (end - start).div_ceil(64);
            // For each element, which of the block it reaches; earlier ones reach nothing of it.
            let mut reach = vec![0u64; words * (order.len() - start)];
            for (at, element) in order.iter().enumerate().skip(start) {
                let (known, own) = reach.split_at_mut(words * (at - start));
                for link in &self.elements[*element].dependencies {
                    let below = rank[link.element] as usize;
                    if below < start {
                        continue;
                    }
                    if below < end {
                        own[(below - start) / 64] |= 1 << ((below - start) % 64);
                    }
                    let from = &known[words * (below - start)..][..words];
                    own.iter_mut().zip(from).for_each(|(own, from)| *own |= from);
                }
                let links = &self.elements[*element].dependencies;
                if links.len() < 2 {
                    continue;
                }
                for (b, lower) in links.iter().enumerate() {
                    let lower = rank[lower.element] as usize;
                    if lower < start || lower >= end {
                        continue;
                    }
                    for (a, upper) in links.iter().enumerate() {
                        let upper = rank[upper.element] as usize;
                        if upper > lower
                            && known[words * (upper - start) + (lower - start) / 64] >> ((lower - start) % 64)
                                & 1
                                == 1
                        {
                            matrices[at].set(a, b);
                        }
                    }
                }
            }
            start = end;
        }
        matrices
    }

    /// Which of two dependencies of an element comes first. This is no total order.
    fn compare(
        &self,
        element: ElementIndex,
        a: usize,
        b: usize,
        below: &dyn Fn(usize, usize) -> bool,
    ) -> Ordering {
        if below(a, b) {
            return Ordering::Greater;
        }
        if below(b, a) {
            return Ordering::Less;
        }
        let links = &self.elements[element].dependencies;
        let runtime_only = |declared: &Declared| declared.kind == DependencyKind::Runtime;
        let (link_a, link_b) = (&links[a], &links[b]);
        match (runtime_only(&link_a.declared), runtime_only(&link_b.declared)) {
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            _ => {}
        }
        let (a, b) = (&self.elements[link_a.element], &self.elements[link_b.element]);
        let junction = |found: &Found| self.projects[found.project].junction.clone();
        a.name.cmp(&b.name).then_with(|| match (junction(a), junction(b)) {
            (Some(a), Some(b)) => a.name.cmp(&b.name),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        })
    }
}

/// Which elements each element depends on, directly or not, both given by their rank: a row of bits for each. Many
/// elements of a large project depend on all that comes first, others on few that are near each other, so the words at
/// the start of a row in which all bits are set are counted, and those before the first bit after that and behind the
/// last one are not kept.
#[derive(Default)]
struct Reach {
    bits: Vec<u64>,
    rows: Vec<Row>,
}

/// The bits of one rank.
#[derive(Clone, Copy)]
struct Row {
    /// How many words at the start are full.
    full: usize,
    /// Which words are kept; those of the others that are not full are empty.
    from: usize,
    to: usize,
    /// Where they are.
    start: usize,
}

impl Row {
    /// The words that are kept after the first `full` ones.
    fn after(self, full: usize) -> Range<usize> {
        let from = self.from.max(full);
        from..self.to.max(from)
    }
}

impl Reach {
    /// The words of a row in a range that are kept.
    fn words(&self, row: Row, range: Range<usize>) -> &[u64] {
        &self.bits[row.start + range.start - row.from..row.start + range.end - row.from]
    }

    /// Adds the row of the next rank, which depends on these before it.
    fn add(&mut self, below: impl Iterator<Item = usize> + Clone) {
        let rank = self.rows.len();
        let below = below.filter(|below| *below < rank);
        let full = below.clone().map(|below| self.rows[below].full).max().unwrap_or(0);
        let words = below.clone().flat_map(|below| {
            let own = (below / 64).max(full);
            [own..below / 64 + 1, self.rows[below].after(full)]
        });
        let words = words.filter(|range| !range.is_empty());
        let whole = words.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(full..full);
        let row = Row { full, from: whole.start, to: whole.end, start: self.bits.len() };
        let mut own = vec![0; whole.len()];
        for below in below {
            if below / 64 >= full {
                own[below / 64 - row.from] |= 1 << (below % 64);
            }
            let range = self.rows[below].after(full);
            if !range.is_empty() {
                let into = own[range.start - row.from..].iter_mut();
                into.zip(self.words(self.rows[below], range)).for_each(|(own, word)| *own |= word);
            }
        }
        let more =
            if row.from == full { own.iter().take_while(|word| **word == u64::MAX).count() } else { 0 };
        self.bits.extend_from_slice(&own[more..]);
        self.rows.push(Row { full: full + more, from: row.from + more, ..row });
    }

    /// Whether one rank depends on another.
    fn has(&self, upper: usize, lower: usize) -> bool {
        let row = self.rows[upper];
        let word = lower / 64;
        let kept = || (row.from..row.to).contains(&word).then(|| self.bits[row.start + word - row.from]);
        lower < upper && (word < row.full || kept().is_some_and(|word| word >> (lower % 64) & 1 == 1))
    }
}

/// A square of bits.
struct Matrix {
    size: usize,
    bits: Vec<u64>,
}

impl Matrix {
    fn new(size: usize) -> Matrix {
        let bits = if size < 2 { Vec::new() } else { vec![0; (size * size).div_ceil(64)] };
        Matrix { size, bits }
    }

    fn set(&mut self, a: usize, b: usize) {
        let at = a * self.size + b;
        self.bits[at / 64] |= 1 << (at % 64);
    }

    fn get(&self, a: usize, b: usize) -> bool {
        let at = a * self.size + b;
        self.bits[at / 64] >> (at % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever depends on whom in a graph that is made up from numbers, found by walking.
    fn walked(below: &[Vec<usize>], upper: usize) -> Vec<bool> {
        let mut seen = vec![false; below.len()];
        let mut queue = below[upper].clone();
        while let Some(next) = queue.pop() {
            if !std::mem::replace(&mut seen[next], true) {
                queue.extend(&below[next]);
            }
        }
        seen
    }

    #[test]
    fn rows_have_what_walking_finds() {
        let mut number = 1u64;
        let mut random = move |below: usize| {
            number = number.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (number >> 33) as usize % below
        };
        // Anything goes; most depend on the last few; everything depends on what comes before it.
        for near in [usize::MAX, 5, 1] {
            let mut graph: Vec<Vec<usize>> = vec![Vec::new()];
            for rank in 1..300usize {
                let count = random(4).max(usize::from(near == 1));
                graph.push((0..count).map(|_| rank - 1 - random(rank.min(near))).collect());
            }
            check(&graph);
        }
        // Short chains, each upon some element that comes before it, or upon nothing.
        let sparse = (0..600).map(|rank| match rank % 10 {
            0 => Vec::new(),
            5 => vec![random(rank)],
            _ => vec![rank - 1],
        });
        check(&sparse.collect::<Vec<_>>());
    }

    fn check(graph: &[Vec<usize>]) {
        let mut reach = Reach::default();
        graph.iter().for_each(|below| reach.add(below.iter().copied()));
        for upper in 0..graph.len() {
            let expect = walked(graph, upper);
            let found: Vec<bool> = (0..graph.len()).map(|lower| reach.has(upper, lower)).collect();
            assert_eq!(found, expect, "{upper}");
        }
    }
}
