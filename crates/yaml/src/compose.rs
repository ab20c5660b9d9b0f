//! Laying one mapping over another, list directives included (`(>)`, `(<)`, `(=)`).

use crate::diagnostic::Diagnostic;
use crate::node::Node;

/// Composes `over` onto `base` in place, as bst's `_composite` does.
///
/// # Errors
/// `illegal-composite` where a mapping meets a scalar or a sequence, or the like.
pub fn compose(base: &mut Node, over: &Node) -> Result<(), Diagnostic> {
    let _ = (base, over);
    todo!()
}

/// Checks that no list directive is left over (a directive with nothing to apply to).
///
/// # Errors
/// `trailing-list-directive` with the place of the directive.
pub fn assert_fully_composited(node: &Node) -> Result<(), Diagnostic> {
    let _ = node;
    todo!()
}
