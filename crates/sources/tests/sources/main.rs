//! The room from outside: what is configured, keyed, fetched and staged.

mod archives;
mod fixture;
mod keys;
