//! What is said at the end of a session.

use crate::report::line::{INDENT, indent};
use crate::report::style::{CONTENT, ERROR, FORMAT, Painter, SUCCESS};
use crate::report::tally::{Queue, Tally};

/// The text of the summary: failures again, then counts. `failures` are rendered messages by element.
pub(crate) fn render(tally: &Tally, failures: &[(String, String)], total: usize, painter: Painter) -> String {
    if tally.queues.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    if !failures.is_empty() {
        painter.push(&mut out, "Failure Summary\n", CONTENT.bold());
        push_values(&mut out, failures, 1, painter);
    }
    painter.push(&mut out, "Pipeline Summary\n", CONTENT.bold());
    let number = |n: usize| painter.paint(&n.to_string(), CONTENT);
    let mut values =
        vec![("Total".to_owned(), number(total)), ("Session".to_owned(), number(tally.session.len()))];
    let widest = |count: fn(&Queue) -> usize| {
        tally.queues.values().map(|queue| count(queue).to_string().len()).max().unwrap_or(1)
    };
    let widths = (widest(|q| q.processed), widest(|q| q.skipped), widest(|q| q.failed.len()));
    for (action, queue) in &tally.queues {
        values.push((format!("{} Queue", action.name()), counts(queue, widths, painter)));
    }
    push_values(&mut out, &values, 1, painter);
    out
}

fn counts(queue: &Queue, widths: (usize, usize, usize), painter: Painter) -> String {
    let mut out = String::new();
    let pad = |out: &mut String, width: usize, n: usize| {
        out.extend(std::iter::repeat_n(' ', width.saturating_sub(n.to_string().len())));
    };
    painter.push(&mut out, "processed ", CONTENT);
    painter.push(&mut out, &queue.processed.to_string(), SUCCESS);
    painter.push(&mut out, ", ", FORMAT);
    pad(&mut out, widths.0, queue.processed);
    painter.push(&mut out, "skipped ", CONTENT);
    painter.push(&mut out, &queue.skipped.to_string(), CONTENT);
    painter.push(&mut out, ", ", FORMAT);
    pad(&mut out, widths.1, queue.skipped);
    painter.push(&mut out, "failed ", CONTENT);
    painter.push(&mut out, &queue.failed.len().to_string(), ERROR);
    out.push(' ');
    pad(&mut out, widths.2, queue.failed.len());
    out
}

/// Titles and values, aligned; values of several lines stand below their title. Values come painted.
pub(crate) fn push_values(out: &mut String, values: &[(String, String)], depth: usize, painter: Painter) {
    let widest = values.iter().map(|(title, _)| title.chars().count()).max().unwrap_or(0);
    let prefix = INDENT.repeat(depth);
    for (title, value) in values {
        out.push_str(&prefix);
        painter.push(out, title, FORMAT);
        painter.push(out, ":", FORMAT);
        if value.contains('\n') {
            out.push('\n');
            out.push_str(&indent(value, &prefix));
            continue;
        }
        out.push(' ');
        out.extend(std::iter::repeat_n(' ', widest - title.chars().count()));
        out.push_str(value);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bourn_build::event::{Action, Event};

    // What bst 2.8.1 printed for a build of this outcome.
    #[test]
    fn as_the_reference_prints_it() {
        let mut tally = Tally::default();
        tally.count(&Event::Planned { queues: vec![(Action::Fetch, 2), (Action::Build, 2)] });
        for queue in [Action::Fetch, Action::Fetch, Action::Build] {
            tally.count(&Event::Passed { queue, element: format!("{}.bst", queue.name()).into() });
        }
        tally.queues[&Action::Build].failed.insert("fail.bst".into());
        let failures = [("fail.bst".to_owned(), "[x] FAILURE It broke\n\n    detail\n\n".to_owned())];
        let expect = "\
Failure Summary
    fail.bst:
    [x] FAILURE It broke

        detail

Pipeline Summary
    Total:       3
    Session:     2
    Fetch Queue: processed 0, skipped 2, failed 0 
    Build Queue: processed 0, skipped 1, failed 1 
";
        assert_eq!(render(&tally, &failures, 3, Painter { colors: false }), expect);
    }
}
