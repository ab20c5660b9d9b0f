//! One file per command. Each takes its options and a session, and answers with an exit status.

pub(crate) mod artifact;
pub(crate) mod build;
pub(crate) mod cache;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod graph;
pub(crate) mod help;
pub(crate) mod init;
pub(crate) mod manual;
pub(crate) mod print;
pub(crate) mod prompt;
pub(crate) mod run;
pub(crate) mod shell;
pub(crate) mod show;
pub(crate) mod source_checkout;
pub(crate) mod source_fetch;
pub(crate) mod source_mirror;
pub(crate) mod source_push;
pub(crate) mod survey;
pub(crate) mod track;
pub(crate) mod workspace;
