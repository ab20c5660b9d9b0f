//! The expressions of conditionals: those that Jinja2 allows after `if`, over the values of project options.
//!
//! Literals, names, `not`/`and`/`or`, comparisons that chain, `in`, arithmetic, `~`, inline `if` in parentheses,
//! subscripts and slices, the methods of texts and lists that answer something, filters and tests.

pub(crate) mod evaluate;
mod filter;
mod method;
pub(crate) mod parse;
mod token;
pub(crate) mod value;
