//! Several things at a time, on threads that may wait.
//!
//! A thread of rayon's pool must never wait for a server, for its turn, or for a thread that itself needs the pool: when
//! all of the pool wait, nothing goes on any more. What may wait is done here; the pool is for what only computes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// Does something with each, so many at a time; what came of each, in order.
///
/// # Errors
/// The first in the order of the items of those that failed. After a failure nothing new is begun.
pub fn several<T: Send, R: Send, E: Send>(
    at_a_time: usize,
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let items: Vec<T> = items.into_iter().collect();
    let helpers = at_a_time.min(items.len()).saturating_sub(1);
    let queue = Mutex::new(items.into_iter().enumerate());
    let failed = AtomicBool::new(false);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed)
            && let Some((at, item)) = next()
        {
            let result = work(item);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.push((at, result));
        }
        done
    };
    let mut done = std::thread::scope(|scope| {
        // Where there can be no more threads, fewer do it.
        let helpers: Vec<_> =
            (0..helpers).map_while(|_| Builder::new().spawn_scoped(scope, run).ok()).collect();
        let mut done = run();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::Barrier;

    #[test]
    fn they_wait_for_each_other() {
        let barrier = Barrier::new(6);
        let wait = |number: usize| {
            barrier.wait();
            Ok::<_, Infallible>(number * 2)
        };
        assert_eq!(several(6, 0..12, wait).expect("results"), (0..24).step_by(2).collect::<Vec<_>>());
        assert!(several(6, 0..0, |_: usize| Ok::<_, Infallible>(())).expect("nothing").is_empty());
    }

    #[test]
    fn nothing_is_begun_after_a_failure() {
        let begun = Mutex::new(Vec::new());
        let error = several(1, 0..9, |number| {
            begun.lock().expect("no panic").push(number);
            if number < 3 { Ok(()) } else { Err(format!("number {number}")) }
        });
        assert_eq!(error.expect_err("an error"), "number 3");
        assert_eq!(begun.into_inner().expect("no panic"), [0, 1, 2, 3]);
    }
}
