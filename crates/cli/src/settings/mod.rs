//! What the arguments, the user's configuration and the environment mean together.

pub(crate) mod environment;
pub(crate) mod python;
pub(crate) mod remote;
pub(crate) mod resolve;
pub(crate) mod servers;
pub(crate) mod size;
pub(crate) mod user;
