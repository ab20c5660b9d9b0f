//! The servers of one project, for one purpose.

use crate::ahead::Known;
use crate::fault::{Attempt, Fault};
use crate::index::{Index, Sort, artifact_urn};
use crate::link::blocking;
use crate::outgoing::Prepared;
use crate::storage::Storage;
use crate::transfer::{Meter, Transfer};
use bourn_reapi::services::{ErrorKind, Report};
use bourn_reapi::{ArtifactName, Cas, Digest, ServiceError};
use std::sync::{Arc, Mutex, PoisonError};

/// What one server offers; a server may be of use for one half alone.
#[derive(Clone, Default)]
pub(crate) struct Offer {
    /// Names.
    pub(crate) index: Option<Arc<Index>>,
    /// Blobs.
    pub(crate) storage: Option<Arc<Storage>>,
    /// Whether it may be written to.
    pub(crate) push: bool,
}

/// Servers in the order in which they are asked.
#[derive(Clone, Default)]
pub(crate) struct Offers(pub(crate) Vec<Offer>);

impl Offers {
    /// Whether names are known somewhere and blobs are held somewhere; with `push`, where they may be written to.
    pub(crate) fn can(&self, push: bool) -> bool {
        self.indexes(push).next().is_some() && self.storages(push).next().is_some()
    }

    /// Whether any index knows an artifact.
    ///
    /// # Errors
    /// None did, and one failed.
    pub(crate) async fn is_available(&self, name: &ArtifactName) -> Attempt<bool> {
        let mut failed = None;
        for index in self.indexes(false) {
            match index.fetch(Sort::Blob, vec![artifact_urn(name)]).await {
                Ok(Some(_)) => return Ok(true),
                Ok(None) => {}
                Err(fault) => failed = Some(fault),
            }
        }
        failed.map_or(Ok(false), Err)
    }

    /// Servers that know names.
    pub(crate) fn indexes(&self, push: bool) -> impl Iterator<Item = &Arc<Index>> {
        self.0.iter().filter(move |offer| offer.push || !push).filter_map(|offer| offer.index.as_ref())
    }

    /// Servers that hold blobs.
    pub(crate) fn storages(&self, push: bool) -> impl Iterator<Item = &Arc<Storage>> {
        self.0.iter().filter(move |offer| offer.push || !push).filter_map(|offer| offer.storage.as_ref())
    }
}

/// Whether a server does not speak of directories. Several engines know names of blobs alone, and say so in different
/// ways; others answer like this for a directory that they do not have.
pub(crate) fn is_refusal(sort: Sort, fault: &Fault) -> bool {
    sort == Sort::Directory && fault.remote_kind() == Some(ErrorKind::Invalid)
}

/// What was warned of already: a server that is gone is told of once, and so is one whose blobs are damaged; not for
/// each element.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<(String, ErrorKind)>>);

impl Told {
    /// Whether it was not told of yet; it is from now on.
    pub(crate) fn is_new(&self, url: &str, kind: ErrorKind) -> bool {
        // After a deadline nothing more is asked, and that is another kind.
        let kind = if kind == ErrorKind::TimedOut { ErrorKind::Unavailable } else { kind };
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !told.iter().any(|(other, before)| other == url && *before == kind);
        if is_new {
            told.push((url.to_owned(), kind));
        }
        is_new
    }
}

/// One exchange: about what, with whom, and who is told.
pub(crate) struct Exchange<'a> {
    pub(crate) offers: Offers,
    pub(crate) cas: &'a Arc<dyn Cas>,
    pub(crate) report: &'a dyn Report,
    pub(crate) meter: Arc<Meter>,
    pub(crate) told: &'a Told,
    /// `artifact KEY`, `source KEY`.
    pub(crate) what: String,
    /// What was done for a push beforehand.
    pub(crate) prepared: Prepared,
}

impl Exchange<'_> {
    /// With a server's blobs.
    pub(crate) fn transfer(&self, storage: &Arc<Storage>) -> Transfer {
        Transfer { storage: storage.clone(), cas: self.cas.clone(), meter: self.meter.clone() }
    }

    /// What a name means to the indexes, one after the other, each meaning once; `taken` tells whether what it means
    /// could be had, or else the next is asked. What is known already is not asked for.
    ///
    /// # Errors
    /// Nobody had it, and somebody could not be asked; the local store failed.
    pub(crate) async fn resolve<T, F>(
        &self,
        sort: Sort,
        uri: &str,
        known: Known,
        mut take: impl FnMut(Digest) -> F,
    ) -> Attempt<Option<T>>
    where
        F: Future<Output = Attempt<Option<T>>>,
    {
        let mut failed = None;
        let mut tried = Vec::new();
        let meant = match &known {
            Known::Means(digest) | Known::Here(digest, _) => Some(*digest),
            Known::Nothing | Known::Absent(_) => None,
        };
        if let Some(digest) = meant {
            tried.push(digest);
            match take(digest).await {
                Ok(Some(taken)) => return Ok(Some(taken)),
                Ok(None) => {}
                Err(Fault::Remote(error)) => failed = Some(error),
                Err(fault) => return Err(fault),
            }
        }
        for index in self.offers.indexes(false) {
            let url = index.link.url();
            self.report.status(&format!("Pulling {} <- {url}", self.what));
            if matches!(known, Known::Absent(_)) {
                self.absent(url, sort);
                continue;
            }
            let digest = match index.fetch(sort, vec![uri.to_owned()]).await {
                Ok(Some(digest)) => digest,
                Ok(None) => {
                    self.absent(url, sort);
                    continue;
                }
                Err(fault) if is_refusal(sort, &fault) => {
                    self.without_directories(url, fault);
                    self.absent(url, sort);
                    continue;
                }
                Err(fault) => {
                    failed = Some(self.passed_over(url, fault)?);
                    continue;
                }
            };
            if tried.contains(&digest) {
                continue;
            }
            tried.push(digest);
            match take(digest).await {
                Ok(Some(taken)) => return Ok(Some(taken)),
                Ok(None) => {}
                Err(Fault::Remote(error)) => failed = Some(error),
                Err(fault) => return Err(fault),
            }
        }
        failed.map_or(Ok(None), |error| Err(Fault::Remote(error)))
    }

    /// Says that a server does not have it. bst's own tests look for these words.
    fn absent(&self, url: &str, sort: Sort) {
        let service = if sort == Sort::Directory { "Remote source service" } else { "Remote" };
        self.report.info(&format!("{service} ({url}) does not have {} cached", self.what));
    }

    /// Lets `work` bring something from each storage until one has all of it.
    ///
    /// # Errors
    /// Nobody had it, and somebody could not be asked; the local store failed.
    pub(crate) async fn bring<T, F>(&self, mut work: impl FnMut(Transfer) -> F) -> Attempt<Option<T>>
    where
        F: Future<Output = Attempt<T>>,
    {
        let mut failed = None;
        for storage in self.offers.storages(false) {
            let url = storage.link.url();
            self.report.status(&format!("Pulling data for {} <- {url}", self.what));
            match work(self.transfer(storage)).await {
                Ok(brought) => {
                    self.pulled(url);
                    return Ok(Some(brought));
                }
                Err(fault) if fault.remote_kind() == Some(ErrorKind::Missing) => {
                    self.report.info(&format!("Remote ({url}) does not have all blobs of {}", self.what));
                    self.report.status(&fault.into_error().message);
                }
                // Another server may have it in order, and else it is made anew.
                Err(fault) if fault.remote_kind() == Some(ErrorKind::Corrupt) => {
                    self.passed_over(url, fault)?;
                }
                Err(fault) => failed = Some(self.passed_over(url, fault)?),
            }
        }
        failed.map_or(Ok(None), |error| Err(Fault::Remote(error)))
    }

    /// Says where something came from.
    pub(crate) fn pulled(&self, url: &str) {
        self.report.info(&format!("Pulled {} <- {url}", self.what));
    }

    /// Warns of a server that cannot be used; the error in case that there is no other.
    fn passed_over(&self, url: &str, fault: Fault) -> Attempt<ServiceError> {
        match fault {
            Fault::Local(_) => Err(fault),
            Fault::Remote(error) => {
                let text = format!("Could not pull {} from {url}: {}", self.what, error.message);
                match self.told.is_new(url, error.kind) {
                    true => self.report.warn(&text),
                    false => self.report.status(&text),
                }
                Ok(error)
            }
        }
    }

    /// Says once that a server knows sources only as they are together in an element.
    pub(crate) fn without_directories(&self, url: &str, fault: Fault) {
        if self.told.is_new(&format!("{url}: directories"), ErrorKind::Invalid) {
            let why = fault.into_error().message;
            self.report.warn(&format!("Sources are shared for whole elements only: {why}"));
        }
    }

    /// Which of these trees are whole in the local store.
    pub(crate) async fn held(&self, trees: Vec<Digest>) -> Attempt<Vec<(Digest, bool)>> {
        let cas = self.cas.clone();
        blocking(move || trees.into_iter().map(|tree| Ok((tree, cas.contains_tree(&tree)?))).collect()).await
    }

    /// The error that a command ends with when no server did.
    pub(crate) fn failed(&self, doing: &str, fault: Fault) -> ServiceError {
        let error = match fault {
            Fault::Local(error) => return error,
            Fault::Remote(error) => error,
        };
        ServiceError {
            kind: ErrorKind::Unavailable,
            message: format!("Failed to {doing} {}", self.what),
            detail: Some(match error.detail {
                Some(detail) => format!("{}\n{detail}", error.message),
                None => error.message,
            }),
            ..error
        }
    }
}
