//! Servers that are spoken to for the first time: with all at once, beside everything else. Whoever needs one waits for
//! it, and nobody else does.

use crate::fault::{Attempt, Fault};
use crate::index::Index;
use crate::link::Link;
use crate::pair::{Offer, Offers};
use crate::server::Server;
use crate::storage::Storage;
use bourn_reapi::ServiceError;
use bourn_reapi::services::ErrorKind;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// A server that cannot be used, and why.
#[derive(Debug)]
pub struct Refused {
    /// Its URL.
    pub url: String,
    /// What is wrong.
    pub error: ServiceError,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.error.message.strip_prefix(&format!("{}: ", self.url));
        let message = message.unwrap_or(&self.error.message);
        write!(f, "Failed to initialize remote {}: {message}", self.url)
    }
}

/// What came of a server.
#[derive(Clone)]
enum Met {
    Not,
    Usable(Offer),
    Refused(ServiceError),
}

/// One server of a meeting.
struct Guest {
    server: Server,
    met: watch::Receiver<Met>,
    /// Whether somebody was told that it cannot be used.
    is_told: AtomicBool,
}

/// All servers of a command.
pub(crate) struct Meeting(Vec<Guest>);

impl Meeting {
    /// Begins to speak to each of these servers.
    pub(crate) fn begin<'s>(threads: &Handle, servers: impl Iterator<Item = &'s Server>) -> Meeting {
        let mut distinct: Vec<&Server> = Vec::new();
        for server in servers {
            if !distinct.contains(&server) {
                distinct.push(server);
            }
        }
        distinct.sort_by(|a, b| a.url.cmp(&b.url));
        Meeting(distinct.into_iter().map(|server| Guest::invite(threads, server.clone())).collect())
    }

    /// Those of these servers that can be used, in their order, once all have answered.
    pub(crate) async fn usable(&self, servers: &[Server]) -> Offers {
        let mut usable = Vec::new();
        for guest in servers.iter().filter_map(|server| self.guest(server)) {
            if let Met::Usable(offer) = guest.met().await {
                usable.push(offer);
            }
        }
        Offers(usable)
    }

    /// Waits until all servers have answered.
    pub(crate) async fn end(&self) {
        for guest in &self.0 {
            guest.met().await;
        }
    }

    /// Whether these servers know names and hold blobs, as far as they have answered; with `push`, where they may be
    /// written to. Of the others the best is thought; so it is of those that nobody was told of, which whoever comes to
    /// need them is.
    pub(crate) fn can(&self, servers: &[Server], push: bool) -> bool {
        let is_refused = |server| self.guest(server).is_some_and(Guest::is_known_to_be_refused);
        let able = || servers.iter().filter(|server| (server.push || !push) && !is_refused(server));
        able().any(Server::is_index) && able().any(Server::is_storage)
    }

    /// Those that cannot be used, as far as they have answered and nobody was told.
    pub(crate) fn untold(&self) -> Vec<Refused> {
        self.0.iter().filter_map(Guest::untold).collect()
    }

    fn guest(&self, server: &Server) -> Option<&Guest> {
        self.0.iter().find(|guest| guest.server == *server)
    }
}

impl Guest {
    fn invite(threads: &Handle, server: Server) -> Guest {
        let (tell, met) = watch::channel(Met::Not);
        let asked = server.clone();
        threads.spawn(async move {
            tell.send_replace(match offer(asked).await {
                Ok(offer) => Met::Usable(offer),
                Err(fault) => Met::Refused(fault.into_error()),
            });
        });
        Guest { server, met, is_told: AtomicBool::new(false) }
    }

    /// What came of it, once it has answered.
    async fn met(&self) -> Met {
        let mut met = self.met.clone();
        // An error says that nobody asks it any more.
        met.wait_for(|met| !matches!(met, Met::Not)).await.map_or(Met::Not, |met| met.clone())
    }

    fn is_known_to_be_refused(&self) -> bool {
        matches!(*self.met.borrow(), Met::Refused(_)) && self.is_told.load(Ordering::Relaxed)
    }

    fn untold(&self) -> Option<Refused> {
        let is_ended = self.met.has_changed().is_err();
        let error = match &*self.met.borrow() {
            Met::Refused(error) => error.clone(),
            // A panic is a mistake of this program; the server is left out in any case.
            Met::Not if is_ended => ServiceError::new(ErrorKind::Io, "the connection was ended"),
            _ => return None,
        };
        let is_new = !self.is_told.swap(true, Ordering::Relaxed);
        is_new.then(|| Refused { url: self.server.url.clone(), error })
    }
}

/// Connects to a server and sees what it offers.
async fn offer(server: Server) -> Attempt<Offer> {
    let link = Arc::new(Link::new(&server).map_err(Fault::Remote)?);
    let index = server.is_index().then(|| Arc::new(Index { link: link.clone() }));
    let storage = server.is_storage().then(|| Arc::new(Storage::new(link)));
    let check = async {
        match &index {
            Some(index) => index.check(server.push).await,
            None => Ok(()),
        }
    };
    let ask = async {
        match &storage {
            Some(storage) => storage.meet().await,
            None => Ok(()),
        }
    };
    let (checked, asked) = tokio::join!(check, ask);
    checked?;
    asked?;
    Ok(Offer { index, storage, push: server.push })
}
