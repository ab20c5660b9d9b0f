//! Codes of errors that are not known when the program is written.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

static CODES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);

/// The one copy of a text that lives as long as the program: for codes that plugins make up. Every text is kept once,
/// however often it is asked for, and there are only as many as plugins have names for what went wrong.
pub fn intern(text: &str) -> &'static str {
    let mut codes = CODES.lock().unwrap_or_else(PoisonError::into_inner);
    let codes = codes.get_or_insert_default();
    if let Some(known) = codes.get(text) {
        return known;
    }
    let kept: &'static str = Box::leak(text.to_owned().into_boxed_str());
    codes.insert(kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::intern;

    #[test]
    fn equal_texts_are_kept_once() {
        let first = intern(&String::from("my-reason"));
        assert_eq!(first, "my-reason");
        assert!(std::ptr::eq(first, intern("my-reason")));
        assert_ne!(first, intern("another-reason"));
    }
}
