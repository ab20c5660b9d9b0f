//! The raw arguments, exactly as they were written. What they mean together with the user's configuration is
//! decided in [`settings`](crate::settings).

pub(crate) mod artifact;
pub(crate) mod cache;
pub(crate) mod command;
pub(crate) mod general;
pub(crate) mod parse;
pub(crate) mod remote;
pub(crate) mod source;
pub(crate) mod value;
pub(crate) mod workspace;
