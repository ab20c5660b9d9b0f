//! How much time is left, from how long builds took before.

use bourn_build::event::{Action, Event};
use std::collections::HashMap;
use std::time::Duration;

/// What is still to be built.
#[derive(Clone, Debug, Default)]
pub(crate) struct Estimate {
    pending: HashMap<String, Expected>,
    /// Elements built at the same time.
    builders: u32,
}

/// What is known of one element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// How long its build takes.
    pub(crate) alone: Duration,
    /// How long it takes with the longest chain of builds that waits for it.
    pub(crate) chain: Duration,
}

impl Estimate {
    /// For elements by their full names.
    pub(crate) fn new(pending: HashMap<String, Expected>, builders: usize) -> Estimate {
        Estimate { pending, builders: u32::try_from(builders).unwrap_or(u32::MAX).max(1) }
    }

    /// Takes an event into account.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::JobFinished { subject, .. } if subject.action == Action::Build => {
                if let Some(issuer) = &subject.element {
                    self.pending.remove(&*issuer.element);
                }
            }
            Event::Passed { queue: Action::Build, element } => {
                self.pending.remove(&**element);
            }
            _ => {}
        }
    }

    /// The time left: what all builders together need, but never less than the longest chain. `running` tells how
    /// long an element has been built already. `None` when nothing is known or left.
    pub(crate) fn left(&self, running: impl Fn(&str) -> Option<Duration>) -> Option<Duration> {
        let mut work = Duration::ZERO;
        let mut longest = Duration::ZERO;
        for (name, expected) in &self.pending {
            // A build that takes longer than it did before is about to end, as far as anybody can tell.
            let spent = running(name).unwrap_or_default().min(expected.alone);
            work += expected.alone - spent;
            longest = longest.max(expected.chain.saturating_sub(spent));
        }
        let left = (work / self.builders.max(1)).max(longest);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_share_the_work_but_not_the_longest_chain() {
        let seconds = Duration::from_secs;
        let expected = |alone, chain| Expected { alone: seconds(alone), chain: seconds(chain) };
        let pending = [("a", expected(10, 40)), ("b", expected(30, 30)), ("c", expected(80, 80))];
        let named = || pending.iter().map(|(name, expected)| ((*name).to_owned(), *expected)).collect();
        for (builders, running, expect) in [
            (1, &[][..], Some(120)),
            (2, &[], Some(80)),
            (4, &[("c", 70)], Some(40)),
            (1, &[("c", 500), ("a", 4)], Some(36)),
        ] {
            let estimate = Estimate::new(named(), builders);
            let running = |name: &str| {
                running.iter().find(|(other, _)| *other == name).map(|(_, spent)| seconds(*spent))
            };
            assert_eq!(estimate.left(running), expect.map(seconds), "{builders} builders");
        }
        assert_eq!(Estimate::default().left(|_| None), None);
    }

    #[test]
    fn what_passed_is_no_longer_waited_for() {
        let expected = Expected { alone: Duration::from_secs(5), chain: Duration::from_secs(5) };
        let mut estimate = Estimate::new(HashMap::from([("a.bst".to_owned(), expected)]), 1);
        estimate.note(&Event::Passed { queue: Action::Fetch, element: "a.bst".into() });
        assert_eq!(estimate.left(|_| None), Some(Duration::from_secs(5)));
        estimate.note(&Event::Passed { queue: Action::Build, element: "a.bst".into() });
        assert_eq!(estimate.left(|_| None), None);
    }
}
