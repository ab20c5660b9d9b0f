//! How often a request is repeated, and after what time.

use crate::fault::{is_passing, told_to_wait};
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// The longest time between two repetitions.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// What holds for repetitions of every request to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// How often a request is repeated.
    pub(crate) retries: u32,
    /// After what time nothing is repeated any more.
    pub(crate) patience: Duration,
    /// The time before the first repetition.
    pub(crate) delay: Duration,
}

/// Why the same is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It would be the same answer.
    Refused,
    /// Nothing more is expected of this server for a while.
    Gone,
}

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Tries {
    policy: Policy,
    repeated: u32,
    delay: Duration,
    /// When this try began.
    begun: Instant,
    /// Bytes that had moved on the way to the server then.
    moved: u64,
    /// Since when it is known that something is wrong.
    since: Option<Instant>,
}

impl Tries {
    pub(crate) fn new(policy: Policy) -> Tries {
        Tries { policy, repeated: 0, delay: policy.delay, begun: Instant::now(), moved: 0, since: None }
    }

    /// A try begins, before which so many bytes had moved on the way to the server.
    pub(crate) fn begin(&mut self, moved: u64) {
        (self.begun, self.moved) = (Instant::now(), moved);
    }

    /// Something came of the last try, so that the next failure is another one.
    pub(crate) fn progressed(&mut self) {
        (self.repeated, self.delay, self.since) = (0, self.policy.delay, None);
    }

    /// After what time to try again, when the last try ended like this and so many bytes have moved by now.
    ///
    /// # Errors
    /// There is no use in it.
    pub(crate) fn after(&mut self, status: &Status, moved: u64) -> Result<Duration, End> {
        if !is_passing(status) {
            return Err(End::Refused);
        }
        let is_late = status.code() == Code::DeadlineExceeded;
        // Whoever was waited for in vain has had all that time; what worked so far was only broken off now.
        let is_vain = is_late || moved <= self.moved;
        let since = *self.since.get_or_insert(if is_vain { self.begun } else { Instant::now() });
        // Whatever took all of its time once will hardly be quicker the third time.
        let limit = if is_late { self.policy.retries.min(1) } else { self.policy.retries };
        if self.repeated >= limit || since.elapsed() >= self.policy.patience {
            // A server that is full, or has too much to do, is there.
            return Err(if status.code() == Code::ResourceExhausted { End::Refused } else { End::Gone });
        }
        self.repeated += 1;
        let delay = told_to_wait(status).unwrap_or(self.delay).min(LONGEST_DELAY);
        self.delay = self.delay.saturating_mul(2).min(LONGEST_DELAY);
        Ok(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy =
        Policy { retries: 3, patience: Duration::from_secs(5), delay: Duration::from_millis(200) };

    fn long_ago() -> Instant {
        Instant::now().checked_sub(Duration::from_secs(3600)).unwrap()
    }

    #[test]
    fn delays_grow_and_end() {
        let status = Status::unavailable("");
        let mut tries = Tries::new(POLICY);
        let delays: Vec<_> = (0..4).map(|_| tries.after(&status, 1)).collect();
        let again = |delay| Ok(Duration::from_millis(delay));
        assert_eq!(delays, [again(200), again(400), again(800), Err(End::Gone)]);
        let mut tries = Tries::new(Policy { retries: 1_000, patience: Duration::MAX, ..POLICY });
        let last = (0..1_000).map(|_| tries.after(&status, 1)).last();
        assert_eq!(last, Some(Ok(LONGEST_DELAY)));
        assert_eq!(Tries::new(POLICY).after(&Status::not_found(""), 1), Err(End::Refused));
    }

    #[test]
    fn what_worked_for_long_is_repeated_when_it_breaks() {
        let status = Status::unavailable("");
        let mut tries = Tries { begun: long_ago(), ..Tries::new(POLICY) };
        assert!(tries.after(&status, 1).is_ok());
        // Nobody answered in all that time.
        let mut tries = Tries { begun: long_ago(), ..Tries::new(POLICY) };
        assert_eq!(tries.after(&status, 0), Err(End::Gone));
        let mut tries = Tries { begun: long_ago(), ..Tries::new(POLICY) };
        assert_eq!(tries.after(&Status::deadline_exceeded(""), 1), Err(End::Gone));
        // It fails for long already.
        let mut tries = Tries { since: Some(long_ago()), ..Tries::new(POLICY) };
        assert_eq!(tries.after(&status, 1), Err(End::Gone));
        // Each time something came of it.
        let mut tries = Tries::new(POLICY);
        for _ in 0..100 {
            assert_eq!(tries.after(&status, 1), Ok(POLICY.delay));
            tries.progressed();
        }
    }

    #[test]
    fn deadlines_are_missed_twice_at_most() {
        let mut tries = Tries::new(Policy { patience: Duration::MAX, ..POLICY });
        let late = Status::deadline_exceeded("");
        assert!(tries.after(&late, 1).is_ok());
        assert_eq!(tries.after(&late, 1), Err(End::Gone));
    }
}
