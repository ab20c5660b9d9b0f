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

#[cfg(test)]
mod tests {
    use super::*;

    type Less = fn(u64, u64, u64) -> bool;

    /// Orders of several kinds, most of them no orders at all.
    const LESS: [Less; 6] = [
        |a, b, _| a < b,
        |a, b, _| a / 7 < b / 7,
        |a, b, _| ((a * 7919 + b * 104_729) >> 3) % 5 < 2,
        |a, b, _| a & b == a && a != b,
        |a, b, _| a < b,
        |a, b, n| if a.abs_diff(b) < n / 8 { a % 10 != b % 10 } else { a < b },
    ];

    fn shuffled(kind: usize, n: u64) -> Vec<u64> {
        let mut state = n * 31 + kind as u64;
        let mut items: Vec<u64> = (0..n).collect();
        for at in (1..items.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            items.swap(at, (state >> 33) as usize % (at + 1));
        }
        if kind == 4 {
            items.sort_by_key(|item| (item % 3, *item));
        }
        items
    }

    /// Results, as FNV hashes, and numbers of comparisons are those of CPython 3.11.
    #[test]
    fn sorts_as_python_does() {
        for (kind, n, hash, compared) in [
            (0, 2, 0x08328707b4eb6e3a, 1),
            (0, 10, 0x9800d3c0ce314572, 22),
            (0, 63, 0x867ed6dd75f9e138, 297),
            (0, 64, 0x8368214f77995ee5, 304),
            (0, 65, 0xe34f3f08399bd25f, 310),
            (0, 130, 0x6ed8393616e62dba, 751),
            (0, 500, 0x8e07d716feaf3681, 3826),
            (0, 2000, 0x6bdb8518f1271835, 19255),
            (1, 2, 0x082f2207b4e88cc4, 1),
            (1, 10, 0xfb95125d08e90d70, 22),
            (1, 63, 0xa3f29aa73e7f6efa, 284),
            (1, 64, 0xf78df8426203e819, 301),
            (1, 65, 0x1b6854ad76fdd00d, 302),
            (1, 130, 0xd4990c95fc31f622, 739),
            (1, 500, 0x4f78da4e940f6aa9, 3810),
            (1, 2000, 0x76cdccb880faba6d, 19266),
            (2, 2, 0x08328707b4eb6e3a, 1),
            (2, 10, 0x6086283896317cf8, 20),
            (2, 63, 0x38b49e2499b22f62, 290),
            (2, 64, 0x4a9156010db00937, 235),
            (2, 65, 0xf4f09141c33b2dc5, 296),
            (2, 130, 0xf4e1dac69dda7e22, 681),
            (2, 500, 0x63508ba46f508537, 3182),
            (2, 2000, 0x2e89341577527e99, 15137),
            (3, 2, 0x08328707b4eb6e3a, 1),
            (3, 10, 0x44261147c7208780, 21),
            (3, 63, 0x0b7043b3c92f5aa4, 277),
            (3, 64, 0xf89614ea34204ee1, 233),
            (3, 65, 0x2b4b262db10ed319, 251),
            (3, 130, 0xda9d40f9414d5f8a, 474),
            (3, 500, 0x50344622c9ed6cd3, 2106),
            (3, 2000, 0x78f2f1ba466a90b3, 6097),
            (4, 2, 0x08328707b4eb6e3a, 1),
            (4, 10, 0x9800d3c0ce314572, 22),
            (4, 63, 0x867ed6dd75f9e138, 241),
            (4, 64, 0x8368214f77995ee5, 240),
            (4, 65, 0xe34f3f08399bd25f, 244),
            (4, 130, 0x6ed8393616e62dba, 342),
            (4, 500, 0x8e07d716feaf3681, 1329),
            (4, 2000, 0x6bdb8518f1271835, 5329),
            (5, 2, 0x08328707b4eb6e3a, 1),
            (5, 10, 0x9800d3c0ce314572, 22),
            (5, 63, 0x2b154786c5491420, 292),
            (5, 64, 0xf50a2db2c5fe05a7, 296),
            (5, 65, 0x73644b15c61830ed, 305),
            (5, 130, 0xcea15c6f81d3da10, 681),
            (5, 500, 0x25390e9cbac81855, 3001),
            (5, 2000, 0x0e5be2fd9169918d, 12341),
        ] {
            let mut items = shuffled(kind, n);
            let mut count = 0;
            sort(&mut items, &mut |a, b| {
                count += 1;
                LESS[kind](a, b, n)
            });
            let fnv = |hash: u64, item: &u64| (hash ^ item).wrapping_mul(0x100_0000_01b3);
            let result = items.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
            assert_eq!((result, count), (hash, compared), "order {kind} of {n}");
        }
    }
}
