//! A server's names: which blob or directory an artifact or source is.
//!
//! The names are those that BuildStream gives to the Remote Asset service since 2020: an URN with the name of the
//! artifact (`PROJECT/ELEMENT/KEY`) or of the source (`KEY`, or `KIND/KEY` of one alone).

use crate::fault::{Attempt, Fault, describe, kind_of};
use crate::link::{Lane, Link};
use crate::message::{FetchRequest, FetchResponse, Nothing, PushRequest, SHA256};
use bourn_reapi::services::{ErrorKind, SourceName};
use bourn_reapi::{ArtifactName, Digest, ServiceError};
use std::sync::Arc;
use tokio::task::JoinSet;
use tonic::{Code, Status};

const FETCH_BLOB: &str = "/build.bazel.remote.asset.v1.Fetch/FetchBlob";
const FETCH_DIRECTORY: &str = "/build.bazel.remote.asset.v1.Fetch/FetchDirectory";
const PUSH_BLOB: &str = "/build.bazel.remote.asset.v1.Push/PushBlob";
const PUSH_DIRECTORY: &str = "/build.bazel.remote.asset.v1.Push/PushDirectory";

/// What names are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sort {
    /// A message, kept as a blob.
    Blob,
    /// The root of a tree.
    Directory,
}

/// The URN of an artifact.
pub(crate) fn artifact_urn(name: &ArtifactName) -> String {
    format!("urn:fdc:buildstream.build:2020:artifact:{name}")
}

/// The URN of a source, and what it names.
pub(crate) fn source_urn(name: &SourceName) -> (String, Sort) {
    match name {
        SourceName::Element(key) => (format!("urn:fdc:buildstream.build:2020:source:{key}"), Sort::Blob),
        SourceName::Single { kind, key } => {
            (format!("urn:fdc:buildstream.build:2020:source:{kind}/{key}"), Sort::Directory)
        }
    }
}

/// What kind of error a status is that answers a request about names. Some engines do not allow anybody to ask about
/// directories, whoever it is.
fn refusal(sort: Sort, code: Code) -> ErrorKind {
    match (sort, code) {
        (Sort::Directory, Code::PermissionDenied) => ErrorKind::Invalid,
        _ => kind_of(code),
    }
}

/// What is said about names when they are published.
pub(crate) struct Publication {
    /// What they name.
    pub(crate) digest: Digest,
    /// Blobs that have to live as long as the names.
    pub(crate) blobs: Vec<Digest>,
    /// Trees that have to live as long as the names.
    pub(crate) directories: Vec<Digest>,
}

/// The names of one server.
pub(crate) struct Index {
    /// The way there.
    pub(crate) link: Arc<Link>,
}

impl Index {
    /// Asks for nothing, to see whether there is somebody who would answer.
    ///
    /// # Errors
    /// The server cannot be reached or has no such service.
    pub(crate) async fn check(&self, push: bool) -> Attempt<()> {
        let question = self.question(Vec::new());
        let answer = self.link.unary_status::<_, FetchResponse>(Lane::Talk, FETCH_BLOB, question).await?;
        self.assert_served(FETCH_BLOB, answer.map(drop))?;
        if push { self.probe_push(Sort::Blob).await } else { Ok(()) }
    }

    /// Asks for a name that nobody has.
    ///
    /// # Errors
    /// The server would not answer for any other.
    pub(crate) async fn probe(&self, sort: Sort, name: String) -> Attempt<()> {
        if sort == Sort::Blob {
            self.check(false).await?;
        }
        self.fetch(sort, vec![name]).await.map(drop)
    }

    /// Publishes nothing, to see whether there is somebody who would take it.
    ///
    /// # Errors
    /// The server has no such service, or not for everybody.
    pub(crate) async fn probe_push(&self, sort: Sort) -> Attempt<()> {
        let path = match sort {
            Sort::Blob => PUSH_BLOB,
            Sort::Directory => PUSH_DIRECTORY,
        };
        let question =
            PushRequest { instance_name: self.link.instance().to_owned(), ..PushRequest::default() };
        let answer = self.link.unary_status::<_, Nothing>(Lane::Talk, path, question).await?;
        self.assert_served(path, answer.map(drop))
    }

    /// That nothing was asked for is what the server should complain about, if anything.
    fn assert_served(&self, path: &str, answer: Result<(), Status>) -> Attempt<()> {
        match answer {
            Ok(()) => Ok(()),
            Err(status) if matches!(status.code(), Code::InvalidArgument | Code::NotFound) => {
                self.link.set_up();
                Ok(())
            }
            Err(status) if status.code() == Code::Unimplemented => {
                let service = if matches!(path, PUSH_BLOB | PUSH_DIRECTORY) { "Push" } else { "Fetch" };
                let mut fault = self.link.fault(path, &status);
                if let Fault::Remote(error) = &mut fault {
                    error.message = format!("it has no Remote Asset {service} service");
                    error.hint = Some(match service {
                        "Push" => "without `push: true` it can still be pulled from".to_owned(),
                        _ => "`type: storage` lets it be used for blobs alone".to_owned(),
                    });
                }
                Err(fault)
            }
            Err(status) => Err(self.link.fault(path, &status)),
        }
    }

    /// What a name means; `None` when the server does not know it.
    ///
    /// # Errors
    /// The server failed.
    pub(crate) async fn fetch(&self, sort: Sort, uris: Vec<String>) -> Attempt<Option<Digest>> {
        let path = match sort {
            Sort::Blob => FETCH_BLOB,
            Sort::Directory => FETCH_DIRECTORY,
        };
        let question = self.question(uris);
        let answer: FetchResponse = match self.link.unary_status(Lane::Talk, path, question).await? {
            Ok(answer) => answer,
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            Err(status) => return Err(self.refused(sort, path, &status)),
        };
        let status = answer.status.unwrap_or_default();
        match Code::from_i32(status.code) {
            Code::Ok => {}
            Code::NotFound => return Ok(None),
            code => {
                let status = Status::new(code, status.message);
                let text = format!("{}: {}", self.link.url(), describe(&status));
                return Err(Fault::remote(refusal(sort, code), text));
            }
        }
        let digest =
            answer.digest.as_ref().map(Digest::try_from).transpose().map_err(|error| {
                Fault::remote(ErrorKind::Invalid, format!("{}: {error}", self.link.url()))
            })?;
        Ok(digest)
    }

    /// Whether all of these names mean this already.
    ///
    /// # Errors
    /// The server failed.
    pub(crate) async fn all_mean(
        self: &Arc<Index>,
        sort: Sort,
        uris: &[String],
        digest: Digest,
    ) -> Attempt<bool> {
        let mut questions = JoinSet::new();
        for uri in uris {
            let (index, uri) = (self.clone(), uri.clone());
            questions.spawn(async move { index.fetch(sort, vec![uri]).await });
        }
        // All of them: that one was broken off is noticed only by whoever waits for it.
        let mut all = true;
        while let Some(answer) = questions.join_next().await {
            let ended = |error| Fault::remote(ErrorKind::Io, format!("a question was not answered: {error}"));
            all &= answer.map_err(ended)?? == Some(digest);
        }
        Ok(all)
    }

    /// Says what names mean from now on. Everything that it refers to is in the storage already.
    ///
    /// # Errors
    /// The server failed.
    pub(crate) async fn push(&self, sort: Sort, uris: Vec<String>, publication: &Publication) -> Attempt<()> {
        let path = match sort {
            Sort::Blob => PUSH_BLOB,
            Sort::Directory => PUSH_DIRECTORY,
        };
        let messages = |digests: &[Digest]| digests.iter().map(|digest| (*digest).into()).collect();
        let question = PushRequest {
            instance_name: self.link.instance().to_owned(),
            uris,
            digest: Some(publication.digest.into()),
            references_blobs: messages(&publication.blobs),
            references_directories: messages(&publication.directories),
            digest_function: SHA256,
        };
        let answer = self.link.unary_status::<_, Nothing>(Lane::Talk, path, question).await?;
        answer.map(drop).map_err(|status| self.refused(sort, path, &status))
    }

    fn refused(&self, sort: Sort, path: &str, status: &Status) -> Fault {
        match self.link.fault(path, status) {
            Fault::Remote(error) => {
                Fault::Remote(ServiceError { kind: refusal(sort, status.code()), ..error })
            }
            fault => fault,
        }
    }

    fn question(&self, uris: Vec<String>) -> FetchRequest {
        FetchRequest { instance_name: self.link.instance().to_owned(), uris, digest_function: SHA256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_bst() {
        let artifact = ArtifactName::new("demo", "base/x.bst", "k");
        assert_eq!(artifact_urn(&artifact), "urn:fdc:buildstream.build:2020:artifact:demo/base-x/k");
        let single = SourceName::Single { kind: "git".into(), key: "k".into() };
        assert_eq!(
            source_urn(&single),
            ("urn:fdc:buildstream.build:2020:source:git/k".to_owned(), Sort::Directory)
        );
        assert_eq!(
            source_urn(&SourceName::Element("k".into())),
            ("urn:fdc:buildstream.build:2020:source:k".to_owned(), Sort::Blob)
        );
    }
}
