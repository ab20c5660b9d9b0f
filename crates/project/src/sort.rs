//! The sorting algorithm of Python lists since 3.11: natural runs, binary insertion, merging by powers, galloping.
//!
//! bst sorts dependencies with a comparison that is no total order, so the outcome depends on which pairs are
//! compared in which sequence. A stable sort of another make would order them differently.

use std::collections::VecDeque;

/// How often one run has to win in a row before galloping.
const GALLOP: usize = 7;

/// Sorts as Python's `list.sort` does; `less` says whether its first argument belongs before the second.
pub(crate) fn sort<T: Copy>(items: &mut [T], less: &mut dyn FnMut(T, T) -> bool) {
    let total = items.len();
    if total < 2 {
        return;
    }
    let shortest = shortest_run(total);
    let mut sorter = Sorter { items, less, runs: Vec::new(), gallop: GALLOP };
    let mut start = 0;
    while start < total {
        let mut length = sorter.natural_run(start);
        if length < shortest {
            let forced = shortest.min(total - start);
            sorter.insert(start, start + length, start + forced);
            length = forced;
        }
        sorter.make_room(length);
        sorter.runs.push(Run { start, length, power: 0 });
        start += length;
    }
    sorter.collapse();
}

/// Shorter runs are made this long by insertion.
fn shortest_run(mut total: usize) -> usize {
    let mut odd = 0;
    while total >= 64 {
        odd |= total & 1;
        total >>= 1;
    }
    total + odd
}

struct Run {
    start: usize,
    length: usize,
    /// Depth in the tree of merges at which it meets the next run.
    power: u32,
}

struct Sorter<'a, T> {
    items: &'a mut [T],
    less: &'a mut dyn FnMut(T, T) -> bool,
    runs: Vec<Run>,
    gallop: usize,
}

impl<T: Copy> Sorter<'_, T> {
    /// Length of the run at `start`; one that falls is turned round.
    fn natural_run(&mut self, start: usize) -> usize {
        let end = self.items.len();
        if start + 1 == end {
            return 1;
        }
        let falls = (self.less)(self.items[start + 1], self.items[start]);
        let mut next = start + 2;
        while next < end && (self.less)(self.items[next], self.items[next - 1]) == falls {
            next += 1;
        }
        if falls {
            self.items[start..next].reverse();
        }
        next - start
    }

    /// Sorts `start..end`, of which `start..sorted` is sorted, by binary insertion.
    fn insert(&mut self, start: usize, sorted: usize, end: usize) {
        for at in sorted..end {
            let pivot = self.items[at];
            let (mut low, mut high) = (start, at);
            while low < high {
                let middle = low + (high - low) / 2;
                if (self.less)(pivot, self.items[middle]) { high = middle } else { low = middle + 1 }
            }
            self.items[low..=at].rotate_right(1);
        }
    }

    /// Merges what has to be merged before a run of `length` is added.
    fn make_room(&mut self, length: usize) {
        let Some(last) = self.runs.last() else { return };
        let power = power(last.start, last.length, length, self.items.len());
        while self.runs.len() > 1 && self.runs[self.runs.len() - 2].power > power {
            self.merge_at(self.runs.len() - 2);
        }
        if let Some(last) = self.runs.last_mut() {
            last.power = power;
        }
    }

    fn collapse(&mut self) {
        while self.runs.len() > 1 {
            let mut at = self.runs.len() - 2;
            if at > 0 && self.runs[at - 1].length < self.runs[at + 1].length {
                at -= 1;
            }
            self.merge_at(at);
        }
    }

    fn merge_at(&mut self, at: usize) {
        let next = self.runs.remove(at + 1);
        let run = &mut self.runs[at];
        let (mut start, mut left) = (run.start, run.length);
        run.length += next.length;
        let skipped = self.gallop_right(self.items[next.start], start, left, 0);
        start += skipped;
        left -= skipped;
        if left == 0 {
            return;
        }
        let last = self.items[start + left - 1];
        let right = self.gallop_left(last, next.start, next.length, next.length - 1);
        if right == 0 {
            return;
        }
        if left <= right { self.merge_low(start, left, right) } else { self.merge_high(start, left, right) }
    }

    /// Where `key` belongs in a sorted stretch, left of its equals. The search begins at `hint`.
    fn gallop_left(&mut self, key: T, base: usize, length: usize, hint: usize) -> usize {
        let items = &*self.items;
        search_left(self.less, key, |at| items[base + at], length, hint)
    }

    /// Where `key` belongs in a sorted stretch, right of its equals. The search begins at `hint`.
    fn gallop_right(&mut self, key: T, base: usize, length: usize, hint: usize) -> usize {
        let items = &*self.items;
        search_right(self.less, key, |at| items[base + at], length, hint)
    }

    /// Merges two neighbouring stretches from the left; the left one is the shorter.
    fn merge_low(&mut self, start: usize, left: usize, right: usize) {
        let mut a: VecDeque<T> = self.items[start..start + left].iter().copied().collect();
        let (mut to, mut b, end) = (start, start + left, start + left + right);
        let mut gallop = self.gallop;
        self.items[to] = self.items[b];
        (to, b) = (to + 1, b + 1);
        'merge: while b < end && a.len() > 1 {
            let (mut wins_a, mut wins_b) = (0, 0);
            while wins_a < gallop && wins_b < gallop {
                if (self.less)(self.items[b], a[0]) {
                    self.items[to] = self.items[b];
                    (to, b) = (to + 1, b + 1);
                    (wins_a, wins_b) = (0, wins_b + 1);
                    if b == end {
                        break 'merge;
                    }
                } else {
                    self.items[to] = a[0];
                    a.pop_front();
                    to += 1;
                    (wins_a, wins_b) = (wins_a + 1, 0);
                    if a.len() == 1 {
                        break 'merge;
                    }
                }
            }
            gallop += 1;
            loop {
                gallop -= usize::from(gallop > 1);
                self.gallop = gallop;
                let from_a = search_right(self.less, self.items[b], |at| a[at], a.len(), 0);
                for item in a.drain(..from_a) {
                    self.items[to] = item;
                    to += 1;
                }
                if from_a > 0 && a.len() <= 1 {
                    break 'merge;
                }
                self.items[to] = self.items[b];
                (to, b) = (to + 1, b + 1);
                if b == end {
                    break 'merge;
                }
                let from_b = self.gallop_left(a[0], b, end - b, 0);
                self.items.copy_within(b..b + from_b, to);
                (to, b) = (to + from_b, b + from_b);
                if b == end {
                    break 'merge;
                }
                self.items[to] = a[0];
                a.pop_front();
                to += 1;
                if a.len() == 1 {
                    break 'merge;
                }
                if from_a < GALLOP && from_b < GALLOP {
                    break;
                }
            }
            gallop += 1;
            self.gallop = gallop;
        }
        // What is left of the right stretch comes before the one item that is left of the left one, if it is.
        self.items.copy_within(b..end, to);
        to += end - b;
        for item in a {
            self.items[to] = item;
            to += 1;
        }
    }

    /// Merges two neighbouring stretches from the right; the right one is the shorter.
    fn merge_high(&mut self, start: usize, left: usize, right: usize) {
        let mut b: VecDeque<T> = self.items[start + left..start + left + right].iter().copied().collect();
        // `a` and `to` are one past the last item.
        let (mut to, mut a) = (start + left + right, start + left);
        let mut gallop = self.gallop;
        (to, a) = (to - 1, a - 1);
        self.items[to] = self.items[a];
        'merge: while a > start && b.len() > 1 {
            let (mut wins_a, mut wins_b) = (0, 0);
            while wins_a < gallop && wins_b < gallop {
                if (self.less)(b[b.len() - 1], self.items[a - 1]) {
                    (to, a) = (to - 1, a - 1);
                    self.items[to] = self.items[a];
                    (wins_a, wins_b) = (wins_a + 1, 0);
                    if a == start {
                        break 'merge;
                    }
                } else {
                    to -= 1;
                    self.items[to] = b[b.len() - 1];
                    b.pop_back();
                    (wins_a, wins_b) = (0, wins_b + 1);
                    if b.len() == 1 {
                        break 'merge;
                    }
                }
            }
            gallop += 1;
            loop {
                gallop -= usize::from(gallop > 1);
                self.gallop = gallop;
                let length = a - start;
                let from_a = length - self.gallop_right(b[b.len() - 1], start, length, length - 1);
                self.items.copy_within(a - from_a..a, to - from_a);
                (to, a) = (to - from_a, a - from_a);
                if a == start {
                    break 'merge;
                }
                to -= 1;
                self.items[to] = b[b.len() - 1];
                b.pop_back();
                if b.len() == 1 {
                    break 'merge;
                }
                let from_b =
                    b.len() - search_left(self.less, self.items[a - 1], |at| b[at], b.len(), b.len() - 1);
                for _ in 0..from_b {
                    to -= 1;
                    self.items[to] = b[b.len() - 1];
                    b.pop_back();
                }
                if from_b > 0 && b.len() <= 1 {
                    break 'merge;
                }
                (to, a) = (to - 1, a - 1);
                self.items[to] = self.items[a];
                if a == start {
                    break 'merge;
                }
                if from_a < GALLOP && from_b < GALLOP {
                    break;
                }
            }
            gallop += 1;
            self.gallop = gallop;
        }
        // What is left of the left stretch comes after the one item that is left of the right one, if it is.
        let rest = a - start;
        self.items.copy_within(start..a, to - rest);
        to -= rest;
        for item in b.into_iter().rev() {
            to -= 1;
            self.items[to] = item;
        }
    }
}

/// Steps 1, 3, 7, 15 … away from a hint.
fn next_step(step: usize) -> usize {
    step * 2 + 1
}

fn search_left<T: Copy>(
    less: &mut dyn FnMut(T, T) -> bool,
    key: T,
    item: impl Fn(usize) -> T,
    length: usize,
    hint: usize,
) -> usize {
    let (mut before, mut step) = (0, 1);
    let (mut low, mut high);
    if less(item(hint), key) {
        let most = length - hint;
        while step < most && less(item(hint + step), key) {
            before = step;
            step = next_step(step);
        }
        (low, high) = (hint + before + 1, hint + step.min(most));
    } else {
        let most = hint + 1;
        while step < most && !less(item(hint - step), key) {
            before = step;
            step = next_step(step);
        }
        (low, high) = (hint + 1 - step.min(most), hint - before);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if less(item(middle), key) { low = middle + 1 } else { high = middle }
    }
    high
}

fn search_right<T: Copy>(
    less: &mut dyn FnMut(T, T) -> bool,
    key: T,
    item: impl Fn(usize) -> T,
    length: usize,
    hint: usize,
) -> usize {
    let (mut before, mut step) = (0, 1);
    let (mut low, mut high);
    if less(key, item(hint)) {
        let most = hint + 1;
        while step < most && less(key, item(hint - step)) {
            before = step;
            step = next_step(step);
        }
        (low, high) = (hint + 1 - step.min(most), hint - before);
    } else {
        let most = length - hint;
        while step < most && !less(key, item(hint + step)) {
            before = step;
            step = next_step(step);
        }
        (low, high) = (hint + before + 1, hint + step.min(most));
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if less(key, item(middle)) { high = middle } else { low = middle + 1 }
    }
    high
}

/// At which level of a balanced tree over all items the boundary between two runs lies.
fn power(start: usize, left: usize, right: usize, total: usize) -> u32 {
    let mut a = 2 * start + left;
    let mut b = a + left + right;
    let mut level = 1;
    loop {
        if a >= total {
            a -= total;
            b -= total;
        } else if b >= total {
            return level;
        }
        a <<= 1;
        b <<= 1;
        level += 1;
    }
}
