//! How fast something comes, of late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What came before this long does not count any more.
const WINDOW: Duration = Duration::from_secs(5);
/// Less time than this tells nothing.
const LEAST: Duration = Duration::from_millis(500);

/// Bytes that came, and when.
#[derive(Debug, Default)]
pub(crate) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// Notes that `done` bytes have come. Fewer than before are the beginning of something else.
    pub(crate) fn note(&mut self, at: Instant, done: u64) {
        if self.0.back().is_some_and(|(_, before)| *before > done) {
            self.0.clear();
        }
        // One from before the window stays, so that slow ones have something to be compared with.
        while self.0.get(1).is_some_and(|(then, _)| at.saturating_duration_since(*then) > WINDOW) {
            self.0.pop_front();
        }
        self.0.push_back((at, done));
    }

    /// Bytes per second until now. `None` when that cannot be told yet.
    pub(crate) fn per_second(&self, now: Instant) -> Option<u64> {
        let ((first, from), (_, done)) = (self.0.front()?, self.0.back()?);
        let time = now.saturating_duration_since(*first);
        (time >= LEAST).then(|| ((done - from) as f64 / time.as_secs_f64()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(after(0)), None);
        // What an earlier run left counts for nothing.
        rate.note(after(0), 1_000_000);
        rate.note(after(100), 1_000_100);
        assert_eq!(rate.per_second(after(100)), None);
        rate.note(after(1000), 1_001_000);
        assert_eq!(rate.per_second(after(1000)), Some(1000));
        // Nothing comes any more.
        assert_eq!(rate.per_second(after(4000)), Some(250));
        // It was slow in the beginning.
        rate.note(after(8000), 1_001_000);
        rate.note(after(10_000), 1_021_000);
        assert_eq!(rate.per_second(after(10_000)), Some(2222));
        rate.note(after(14_000), 1_041_000);
        assert_eq!(rate.per_second(after(14_000)), Some(6666));
        // Another file.
        rate.note(after(14_100), 10);
        assert_eq!(rate.per_second(after(14_200)), None);
        rate.note(after(15_100), 1010);
        assert_eq!(rate.per_second(after(15_100)), Some(1000));
    }
}
