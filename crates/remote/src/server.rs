//! What is said of a server: where it is, what it is for, and how to speak to it.

use crate::proxy::Route;
use std::path::PathBuf;
use std::time::Duration;

/// What a server is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// It knows which artifact or source has which digest.
    Index,
    /// It holds blobs.
    Storage,
    /// Both.
    All,
    /// It keeps what came of actions.
    Actions,
}

/// Files with which client and server prove who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Auth {
    /// Certificates (PEM) that the server's has to be signed by; those of the system when absent.
    pub server_cert: Option<PathBuf>,
    /// Private key of the client (PEM). Goes with the certificate.
    pub client_key: Option<PathBuf>,
    /// Certificate of the client (PEM).
    pub client_cert: Option<PathBuf>,
    /// A file that holds a bearer token.
    pub access_token: Option<PathBuf>,
    /// After what time that file is read again; never when absent.
    pub token_reload: Option<Duration>,
}

/// How a connection is kept and requests are repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Time between pings that keep a connection open; no pings when absent.
    pub keepalive: Option<Duration>,
    /// How often a request that failed for a passing reason is sent again.
    pub retry_limit: Option<u32>,
    /// Time before the first repetition; it doubles for each further one.
    pub retry_delay: Option<Duration>,
    /// How long a request may take, or, for large blobs, how long nothing may come.
    pub request_timeout: Option<Duration>,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// `http://HOST:PORT`, `https://…`, or `unix:PATH`; `grpc` and `grpcs` are other names of the first two.
    pub url: String,
    /// The instance on the server; empty for the only one.
    pub instance: String,
    /// What it is used for.
    pub kind: ServerKind,
    /// Whether it may be written to.
    pub push: bool,
    /// Credentials.
    pub auth: Auth,
    /// How the connection is kept.
    pub connection: Connection,
    /// Whether a proxy makes the connection.
    pub route: Route,
}

impl Server {
    /// Whether it answers what names mean.
    pub fn is_index(&self) -> bool {
        matches!(self.kind, ServerKind::Index | ServerKind::All)
    }

    /// Whether it holds blobs.
    pub fn is_storage(&self) -> bool {
        matches!(self.kind, ServerKind::Storage | ServerKind::All)
    }
}
