//! The room from outside: what is configured, keyed, fetched and staged.

mod fixture;
mod keys;
