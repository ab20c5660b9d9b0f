//! Connections that an HTTP proxy makes (RFC 9110, 9.3.6): it is asked with `CONNECT`, and hands on bytes from then on.
//! The proxy looks up the server's name; what encrypts the connection to the server is inside.

use crate::proxy::Proxy;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::codegen::{Body, Service};

type Cause = Box<dyn Error + Send + Sync>;

/// Makes connections to servers through a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Tunnel {
    proxy: Proxy,
    /// How long it may take until the proxy has connected.
    patience: Duration,
}

/// Why a proxy made no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Blocked {
    /// There is no connection to the proxy itself.
    #[error("the proxy {0} cannot be reached")]
    Unreachable(Proxy, #[source] Cause),
    /// The proxy does not answer.
    #[error("the proxy {0} did not answer within {1} s")]
    Silent(Proxy, f32),
    /// It is no HTTP proxy, or it broke off.
    #[error("the proxy {0} does not answer as a proxy does")]
    Garbled(Proxy, #[source] Cause),
    /// It makes no connection.
    #[error("the proxy {0} refused the connection: {1}")]
    Refused(Proxy, StatusCode),
}

impl Tunnel {
    pub(crate) fn new(proxy: Proxy, patience: Duration) -> Tunnel {
        Tunnel { proxy, patience }
    }

    /// A connection to the server of a URL.
    async fn open(self, server: Uri) -> Result<Upgraded, Blocked> {
        let end = Instant::now() + self.patience;
        let unreachable = |cause| Blocked::Unreachable(self.proxy.clone(), cause);
        let reached = timeout_at(end, self.reach()).await;
        let stream = reached.unwrap_or_else(|late| Err(late.into())).map_err(unreachable)?;
        let asked = timeout_at(end, self.ask(stream, &server)).await;
        asked.unwrap_or_else(|_| Err(Blocked::Silent(self.proxy.clone(), self.patience.as_secs_f32())))
    }

    /// A connection to the proxy.
    async fn reach(&self) -> Result<<HttpConnector as Service<Uri>>::Response, Cause> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(connector.call(format!("http://{}/", self.proxy.place()).parse()?).await?)
    }

    /// Has the proxy connect to the server.
    async fn ask<S>(&self, stream: S, server: &Uri) -> Result<Upgraded, Blocked>
    where
        S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let garbled = |cause: Cause| Blocked::Garbled(self.proxy.clone(), cause);
        let broken = |error: hyper::Error| garbled(error.into());
        let request = self.request(server).map_err(garbled)?;
        let (mut sender, connection) =
            http1::Builder::new().title_case_headers(true).handshake(stream).await.map_err(broken)?;
        // It ends when the proxy has answered.
        tokio::spawn(connection.with_upgrades());
        let answer = sender.send_request(request).await.map_err(broken)?;
        match answer.status() {
            status if status.is_success() => hyper::upgrade::on(answer).await.map_err(broken),
            status => Err(Blocked::Refused(self.proxy.clone(), status)),
        }
    }

    fn request(&self, server: &Uri) -> Result<Request<Nothing>, Cause> {
        let usual = if server.scheme_str() == Some("https") { 443 } else { 80 };
        let host = server.host().ok_or("the server's URL has no host")?;
        let place = format!("{host}:{}", server.port_u16().unwrap_or(usual));
        let mut request = Request::connect(&place)
            .header(HOST, &place)
            .header(USER_AGENT, concat!("bourn/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = self.proxy.authorization() {
            request = request.header(PROXY_AUTHORIZATION, authorization);
        }
        Ok(request.body(Nothing)?)
    }
}

impl Service<Uri> for Tunnel {
    type Response = Upgraded;
    type Error = Blocked;
    type Future = Pin<Box<dyn Future<Output = Result<Upgraded, Blocked>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Blocked>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        Box::pin(self.clone().open(server))
    }
}

impl Blocked {
    /// What is in a status that comes from it.
    pub(crate) fn within(status: &Status) -> Option<&Blocked> {
        let mut source = status.source();
        while let Some(error) = source {
            if let Some(blocked) = error.downcast_ref() {
                return Some(blocked);
            }
            source = error.source();
        }
        None
    }

    /// What the user can do about it.
    pub(crate) fn cure(&self) -> String {
        match self {
            Blocked::Refused(proxy, StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
                let name = proxy.variable();
                match proxy.authorization() {
                    None => format!("put who asks into `{name}`: http://USER:PASSWORD@…"),
                    Some(_) => {
                        format!(
                            "check the user and the password in `{name}`; signs such as @ are written %40 there"
                        )
                    }
                }
            }
            Blocked::Refused(proxy, StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED) => format!(
                "whoever runs it has to allow CONNECT to this server and port; `{}` names it, and servers that \
                 `no_proxy` names are reached without it",
                proxy.variable()
            ),
            Blocked::Unreachable(proxy, _)
            | Blocked::Silent(proxy, _)
            | Blocked::Garbled(proxy, _)
            | Blocked::Refused(proxy, _) => format!(
                "check `{}`, which names it; servers that `no_proxy` names are reached without it",
                proxy.variable()
            ),
        }
    }
}

/// The body of a request that has none.
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Mishap, Traits};
    use crate::exchanges::{artifact, place};
    use crate::{Connection, Proxies, Route, Server, ServerKind, survey};
    use bourn_reapi::services::{Cancel, ServiceError};
    use bourn_testkit::proxy::{Manner, Proxy};

    /// An engine where nobody finds it but a proxy with this URL.
    fn behind(engine: &Engine, proxy: &str) -> Server {
        let url = format!("http://cache.invalid:{}", engine.address.port());
        let route = Proxies::of([("http_proxy", proxy)]).route(&url);
        assert!(matches!(route, Route::Through(_)), "{proxy}");
        Server { url, route, ..engine.server(ServerKind::All) }
    }

    #[test]
    fn servers_behind_proxies() {
        for manner in [Manner::Connects, Manner::ConnectsAtOnce] {
            let engine = Engine::start(Traits::default());
            let manner = manner(engine.address);
            let proxy = Proxy::start(manner);
            let server = behind(&engine, &proxy.url("bob:se%40cret@"));
            let one = place(vec![server.clone()]);
            let sent = artifact(&one.store);
            assert!(one.push(&sent).unwrap(), "{manner:?}");
            assert_eq!(place(vec![server.clone()]).pull(false).unwrap(), Some(sent), "{manner:?}");
            let asked = proxy.asked();
            let port = engine.address.port();
            let begin = format!("CONNECT cache.invalid:{port} HTTP/1.1\r\nHost: cache.invalid:{port}\r\n");
            assert!(asked.iter().all(|head| head.starts_with(&begin)), "{asked:?}");
            let who = "\r\nProxy-Authorization: Basic Ym9iOnNlQGNyZXQ=\r\n";
            assert!(asked.iter().all(|head| head.contains(who)), "{asked:?}");
            // One for each connection, of which each of the two has three at most.
            assert!((2..=6).contains(&asked.len()), "{asked:?}");
        }
    }

    #[test]
    fn connections_that_break_are_made_anew() {
        let engine = Engine::start(Traits::default());
        let proxy = Proxy::start(Manner::Connects(engine.address));
        engine.trouble("FindMissingBlobs", Mishap::Drop, 1);
        engine.trouble("BatchUpdateBlobs", Mishap::Drop, 1);
        let one = place(vec![behind(&engine, &proxy.url(""))]);
        let sent = artifact(&one.store);
        assert!(one.push(&sent).unwrap());
        // For what is asked and for what is sent, each twice.
        assert!(proxy.asked().len() >= 4, "{:?}", proxy.asked());
    }

    #[test]
    fn caches_of_actions_are_behind_them_too() {
        let engine = Engine::start(Traits::default());
        let proxy = Proxy::start(Manner::Connects(engine.address));
        let server = Server { kind: ServerKind::Actions, ..behind(&engine, &proxy.url("")) };
        survey(&[server], &Cancel::default()).unwrap().remove(0).unwrap();
        assert_eq!((engine.calls("GetActionResult"), proxy.asked().len()), (1, 1));
    }

    fn refusal(server: Server) -> ServiceError {
        let connection = Connection { retry_limit: Some(0), ..server.connection };
        survey(&[Server { connection, ..server }], &Cancel::default()).unwrap().remove(0).unwrap_err()
    }

    #[test]
    fn proxies_that_do_not_connect_are_named() {
        let engine = Engine::start(Traits::default());
        for (user, answer, part, hint) in [
            ("", "HTTP/1.1 407 Who\r\n\r\n", "refused the connection: 407", "http://USER:PASSWORD@"),
            ("bob:hush@", "HTTP/1.1 407 Who\r\n\r\n", "refused the connection: 407", "check the user"),
            ("bob:hush@", "HTTP/1.1 403 No\r\n\r\n", "refused the connection: 403", "allow CONNECT to"),
            ("bob:hush@", "HTTP/1.1 503 No\r\n\r\n", "refused the connection: 503", "check `http_proxy`"),
            ("bob:hush@", "SSH-2.0-x\r\n\r\n", "does not answer as a proxy does", "check `http_proxy`"),
            ("bob:hush@", "", "does not answer as a proxy does", "check `http_proxy`"),
        ] {
            let proxy = Proxy::start(Manner::Answers(answer));
            let error = refusal(behind(&engine, &proxy.url(user)));
            let shown = proxy.url(
                user.split(':').next().filter(|user| !user.is_empty()).map(|_| "bob@").unwrap_or_default(),
            );
            assert!(error.message.contains(&format!("the proxy {shown} ")), "{error:?}");
            assert!(error.message.contains(part), "{part}: {error:?}");
            assert!(error.hint.as_ref().is_some_and(|text| text.contains(hint)), "{hint}: {error:?}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
        let error = refusal(behind(&engine, "http://bob:hush@127.0.0.1:1"));
        for part in ["the proxy http://bob@127.0.0.1:1 cannot be reached", "Connection refused"] {
            assert!(error.message.contains(part), "{error:?}");
        }
        assert!(engine.state().calls.is_empty());
    }

    #[test]
    fn proxies_that_say_nothing_are_not_waited_for() {
        let silent = Proxy::start(Manner::IsSilent);
        let url = "http://cache.invalid:1";
        let Route::Through(proxy) = Proxies::of([("http_proxy", &*silent.url(""))]).route(url) else {
            panic!("there is a proxy");
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tunnel = Tunnel::new(proxy, Duration::from_millis(20));
        let error = runtime.block_on(tunnel.open(url.parse().unwrap())).unwrap_err();
        // On a busy machine it is not even reached.
        let expect = format!("the proxy {} did not answer within 0.02 s", silent.url(""));
        assert!(matches!(error, Blocked::Unreachable(..)) || error.to_string() == expect, "{error}");
        assert!(error.cure().contains("check `http_proxy`"), "{}", error.cure());
    }

    #[test]
    fn whoever_is_asked_without_a_proxy_may_need_one() {
        let mut server = Engine::start(Traits::default()).server(ServerKind::All);
        server.url = "http://127.0.0.1:1".into();
        assert_eq!(refusal(server.clone()).hint, None);
        server.route = Proxies::of([("https_proxy", "bob:hush@proxy.invalid:3128")]).route(&server.url);
        let hint = refusal(server.clone()).hint.unwrap();
        assert!(hint.contains("`https_proxy` holds no URL of one") && !hint.contains("hush"), "{hint}");
        server.route = Proxies::of([("HTTPS_PROXY", "http://proxy.invalid:3128")]).route(&server.url);
        let hint = refusal(server).hint.unwrap();
        assert!(
            hint.contains("of `HTTPS_PROXY` nothing is read") && hint.contains("`https_proxy`"),
            "{hint}"
        );
    }
}
