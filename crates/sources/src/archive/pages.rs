//! Long lists of which nothing is ever moved.
//!
//! A vector that grows is copied into memory twice as large, and for a while both count. Where there may be millions of
//! something, that decides how much memory is needed.

use std::ops::{Index, IndexMut};

/// Items of a page.
const ITEMS: usize = 4096;
/// Bytes of a page of text; a multiple of it is where a page begins.
const BYTES: usize = 1 << 20;

/// A list in pages.
#[derive(Clone, Debug)]
pub(crate) struct Pages<T>(Vec<Vec<T>>);

impl<T> Default for Pages<T> {
    fn default() -> Pages<T> {
        Pages(Vec::new())
    }
}

impl<T> Pages<T> {
    /// Number of items.
    pub(crate) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * ITEMS + last.len())
    }

    /// Adds an item at the end.
    pub(crate) fn push(&mut self, item: T) {
        match self.0.last_mut().filter(|last| last.len() < ITEMS) {
            Some(last) => last.push(item),
            None => {
                // Most lists are short.
                let mut page = if self.0.is_empty() { Vec::new() } else { Vec::with_capacity(ITEMS) };
                page.push(item);
                self.0.push(page);
            }
        }
    }

    /// All items, behind each other.
    pub(crate) fn into_vec(self) -> Vec<T> {
        self.0.into_iter().flatten().collect()
    }

    /// The item at a place.
    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.0.get(place / ITEMS)?.get(place % ITEMS)
    }
}

impl<T> Index<usize> for Pages<T> {
    type Output = T;

    fn index(&self, place: usize) -> &T {
        &self.0[place / ITEMS][place % ITEMS]
    }
}

impl<T> IndexMut<usize> for Pages<T> {
    fn index_mut(&mut self, place: usize) -> &mut T {
        &mut self.0[place / ITEMS][place % ITEMS]
    }
}

/// Texts in pages.
#[derive(Debug, Default)]
pub(crate) struct Texts(Vec<Vec<u8>>);

impl Texts {
    /// Keeps a text; where it begins. `None` when it is longer than a page.
    pub(crate) fn keep(&mut self, text: &[u8]) -> Option<usize> {
        if text.len() > BYTES {
            return None;
        }
        if self.0.last().is_none_or(|last| last.len() + text.len() > BYTES) {
            self.0.push(if self.0.is_empty() { Vec::new() } else { Vec::with_capacity(BYTES) });
        }
        let page = self.0.len() - 1;
        let last = &mut self.0[page];
        let start = page * BYTES + last.len();
        last.extend_from_slice(text);
        Some(start)
    }

    /// The text that begins somewhere, given its length.
    pub(crate) fn get(&self, start: usize, length: usize) -> &[u8] {
        // An empty text behind the last byte of a page begins where the next one would.
        if length == 0 { &[] } else { &self.0[start / BYTES][start % BYTES..][..length] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_one_list() {
        let mut pages = Pages::default();
        for number in 0..3 * ITEMS + 1 {
            assert_eq!(pages.len(), number);
            pages.push(number);
        }
        pages[ITEMS] = 7;
        assert_eq!((pages[ITEMS - 1], pages[ITEMS], pages[3 * ITEMS]), (ITEMS - 1, 7, 3 * ITEMS));
        assert_eq!((pages.get(0), pages.get(3 * ITEMS + 1)), (Some(&0), None));
        assert_eq!(pages.into_vec().len(), 3 * ITEMS + 1);
    }

    #[test]
    fn texts_stay_where_they_are() {
        let mut texts = Texts::default();
        let words: Vec<Vec<u8>> =
            (0..200_000u32).map(|number| number.to_string().repeat(3).into_bytes()).collect();
        let starts: Vec<usize> = words.iter().map(|word| texts.keep(word).expect("a place")).collect();
        assert!(starts.iter().zip(&words).all(|(start, word)| texts.get(*start, word.len()) == &word[..]));
        let (full, empty) = (vec![b'x'; BYTES], texts.keep(b"").expect("a place"));
        let at = texts.keep(&full).expect("a place");
        assert_eq!((texts.get(empty, 0), texts.get(at, BYTES)), (&[][..], &full[..]));
        let behind = texts.keep(b"").expect("a place");
        assert!(texts.get(behind, 0).is_empty());
        assert_eq!(texts.keep(&vec![0; BYTES + 1]), None);
    }
}
