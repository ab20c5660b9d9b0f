//! Real sandboxes, as whoever runs the tests; `again` repeats all of them as a user without privileges when that is
//! the superuser.
//!
//! The tree that the commands run in is made of programs of this machine and the libraries that they need; the test
//! program is one of them, for what no other program does.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the parts of a test that run in a sandbox talk this way"
)]

mod again;
mod attack;
mod bench;
mod capture;
mod end;
mod environment;
mod escape;
mod files;
mod host;
mod interactive;
mod jobs;
mod kept;
mod limits;
mod pool;
mod served;
