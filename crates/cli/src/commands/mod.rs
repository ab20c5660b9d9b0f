//! One file per command. Each takes its options and a session, and answers with an exit status.

pub(crate) mod build;
pub(crate) mod completions;
pub(crate) mod fetch;
pub(crate) mod help;
pub(crate) mod init;
pub(crate) mod print;
pub(crate) mod prompt;
pub(crate) mod run;
pub(crate) mod show;
