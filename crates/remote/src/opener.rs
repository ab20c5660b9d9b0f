//! How connections to a server are made: its URL, what encrypts them, and which way they go.

use crate::proxy::Route;
use crate::server::{Auth, Server};
use crate::tls;
use crate::tunnel::Tunnel;
use bourn_reapi::ServiceError;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// What makes connections to a server.
pub(crate) struct Opener {
    endpoint: Endpoint,
    route: Route,
    /// How long a proxy may take.
    patience: Duration,
}

impl Opener {
    /// # Errors
    /// The URL makes no sense; credentials cannot be read.
    pub(crate) fn new(server: &Server) -> ServiceResult<Opener> {
        let told = server.connection.request_timeout;
        let (endpoint, patience) = match &server.route {
            // What is late is told apart there, and has to be before whoever asks gives up.
            Route::Through(_) => (endpoint(server)?, CONNECT.min(told.map_or(CONNECT, |told| told / 2))),
            Route::Direct | Route::Unread(_) | Route::Overlooked(_) => {
                let patience = CONNECT.min(told.unwrap_or(CONNECT));
                (endpoint(server)?.connect_timeout(patience), patience)
            }
        };
        Ok(Opener { endpoint, route: server.route.clone(), patience })
    }

    /// A connection that the first request opens.
    pub(crate) fn channel(&self, keepalive: Option<Duration>) -> Channel {
        let endpoint = match keepalive {
            Some(time) => self.endpoint.clone().http2_keep_alive_interval(time).keep_alive_while_idle(true),
            None => self.endpoint.clone(),
        };
        match &self.route {
            Route::Through(proxy) => {
                endpoint.connect_with_connector_lazy(Tunnel::new(proxy.clone(), self.patience))
            }
            Route::Direct | Route::Unread(_) | Route::Overlooked(_) => endpoint.connect_lazy(),
        }
    }

    /// What may help where no connection comes about, as far as the way to the server goes.
    pub(crate) fn cure(&self) -> Option<String> {
        match &self.route {
            Route::Direct => None,
            Route::Through(proxy) => Some(format!(
                "it is asked through the proxy {proxy}, which `{}` names; servers that `no_proxy` names are reached \
                 without it",
                proxy.variable()
            )),
            Route::Unread(name) => Some(format!(
                "it is asked without a proxy, since `{name}` holds no URL of one, which begins with http://"
            )),
            Route::Overlooked(name) => Some(format!(
                "it is asked without a proxy: of `{}` nothing is read, as with bst; `{name}` would name one",
                name.to_ascii_uppercase()
            )),
        }
    }
}

fn endpoint(server: &Server) -> ServiceResult<Endpoint> {
    let wrong = |what: String| ServiceError::new(ErrorKind::Invalid, format!("{}: {what}", server.url));
    let (url, encrypted) = match server.url.split_once(':') {
        Some(("http" | "grpc", rest)) => (format!("http:{rest}"), false),
        Some(("https" | "grpcs", rest)) => (format!("https:{rest}"), true),
        Some(("unix", _)) => (server.url.clone(), false),
        _ => {
            let text = "a server's URL begins with http://, https://, grpc://, grpcs:// or unix:";
            return Err(wrong(text.to_owned()));
        }
    };
    let endpoint = Endpoint::from_shared(url)
        .and_then(|endpoint| endpoint.user_agent(concat!("bourn/", env!("CARGO_PKG_VERSION"))))
        .map_err(|error| wrong(format!("this is no URL: {error}")))?
        .tcp_nodelay(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20);
    if encrypted {
        return tls::encrypted(endpoint, &server.auth);
    }
    let is_here = match server.route {
        Route::Through(_) => false,
        // The host of a socket is one that tonic makes up.
        _ => server.url.starts_with("unix:") || is_here(endpoint.uri().host()),
    };
    unencrypted(&server.auth, is_here).map_err(wrong)?;
    Ok(endpoint)
}

/// Whether what is sent to a host does not leave this machine.
fn is_here(host: Option<&str>) -> bool {
    let host = host.unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Refuses what means nothing or gives away a secret where nothing is encrypted. As with bst, but for tokens that do not
/// leave this machine.
fn unencrypted(auth: &Auth, is_here: bool) -> Result<(), String> {
    let certificates = [
        ("server-cert", &auth.server_cert),
        ("client-cert", &auth.client_cert),
        ("client-key", &auth.client_key),
    ];
    let token = ("access-token", if is_here { &None } else { &auth.access_token });
    match certificates.into_iter().chain([token]).find(|(_, path)| path.is_some()) {
        Some((key, _)) => {
            Err(format!("`{key}` is for servers that encrypt, with URLs that begin with https://"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Proxies;
    use crate::server::{Connection, ServerKind};

    /// The key that must not be there, for a server with these credentials that is reached through a proxy or, where
    /// that is empty, without one.
    fn check(credentials: (Option<&str>, Option<&str>), url: &str, proxy: &str, refused: &str) {
        let (server_cert, access_token) = credentials;
        let server = Server {
            url: url.into(),
            instance: String::new(),
            kind: ServerKind::All,
            push: false,
            auth: Auth {
                server_cert: server_cert.map(Into::into),
                access_token: access_token.map(Into::into),
                ..Auth::default()
            },
            connection: Connection::default(),
            route: Proxies::of([("http_proxy", proxy)]).route(url),
        };
        let refusal = endpoint(&server).err().map(|error| error.message).unwrap_or_default();
        let expect = match refused {
            "" => String::new(),
            key => format!("{url}: `{key}` is for servers that encrypt, with URLs that begin with https://"),
        };
        assert_eq!(refusal, expect, "{url} {proxy}");
    }

    #[test]
    fn credentials_are_for_servers_that_encrypt() {
        let (certificate, token) = ((Some("crt"), None), (None, Some("token")));
        check((None, None), "http://cache.example:1", "", "");
        check(certificate, "http://localhost:1", "", "server-cert");
        for elsewhere in ["cache.example", "192.0.2.1", "[2001:db8::1]", "localhost.example"] {
            check(token, &format!("http://{elsewhere}:1"), "", "access-token");
        }
        for here in ["http://localhost:1", "http://127.8.0.1", "http://[::1]:1", "unix:/run/socket"] {
            check(token, here, "", "");
        }
    }

    #[test]
    fn a_proxy_connects_to_its_own_localhost() {
        let token = (None, Some("token"));
        check(token, "http://localhost:1", "http://p:1", "access-token");
        check(token, "https://localhost:1", "http://p:1", "");
        check(token, "unix:/run/socket", "http://p:1", "");
    }
}
