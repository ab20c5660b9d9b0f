//! What servers can do, for whoever wants to know why one is not used, or is slow.
//!
//! Every question is one that commands ask as well, so that what is said here holds for them. Of all of them only one
//! leaves something on a server: the empty blob.

use crate::actions;
use crate::caches::{Threads, stoppable};
use crate::fault::{Attempt, Fault};
use crate::index::{Index, Sort, artifact_urn, source_urn};
use crate::link::{Lane, Link};
use crate::message::{GetActionResultRequest, ServerCapabilities, UpdateBlob};
use crate::server::{Server, ServerKind};
use crate::storage::Storage;
use bourn_reapi::services::{Cancel, ErrorKind, ServiceError, ServiceResult, SourceName};
use bourn_reapi::{ActionResult, ArtifactName, Digest};
use std::sync::Arc;
use tonic::Code;

/// Something that a server does, for clients that it lets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Blobs are found.
    Blobs,
    /// Blobs are taken. Whether something is taken is asked of servers with `push`, where the same can be read.
    BlobPush,
    /// Names of artifacts, and of the sources of elements, are found.
    Names,
    /// The same names are taken.
    NamePush,
    /// Names of single sources are found: those of directories.
    Directories,
    /// The same names are taken.
    DirectoryPush,
    /// Results of actions are found.
    Actions,
    /// Results of actions are taken, as far as the server says so of itself.
    ActionPush,
}

/// What a server says of how blobs travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of one message with blobs; `None` where the server names no limit.
    pub batch: Option<u64>,
    /// Whether blobs can travel as zstd.
    pub zstd: bool,
    /// Whether blobs that are sent many at a time can do so too.
    pub zstd_update: bool,
    /// Whether all directories of a tree can be asked for at once.
    pub trees: bool,
}

/// What a server that answers can do.
#[derive(Debug)]
pub struct Survey {
    /// The newest version of the Remote Execution API that it knows, if it says so.
    pub version: Option<(i32, i32)>,
    /// How blobs travel, for servers that are used for them.
    pub limits: Option<Limits>,
    /// Every service that it is used for, and why those that do not work do not.
    pub services: Vec<(Service, ServiceResult<()>)>,
}

/// Asks all servers at once what they can do. A server that does not answer has its error in the place of its survey.
///
/// # Errors
/// There are no threads to be had; it was asked to stop.
pub fn survey(servers: &[Server], cancel: &Cancel) -> ServiceResult<Vec<ServiceResult<Survey>>> {
    let threads = Threads::start()?;
    stoppable(&threads.handle, cancel, || (), async {
        let jobs: Vec<_> = servers.iter().map(|server| tokio::spawn(look(server.clone()))).collect();
        let mut found = Vec::new();
        for job in jobs {
            let ended =
                |error| ServiceError::new(ErrorKind::Io, format!("the connection was ended: {error}"));
            found.push(job.await.map_err(ended).and_then(|looked| looked.map_err(Fault::into_error)));
        }
        Ok(found)
    })
}

async fn look(server: Server) -> Attempt<Survey> {
    let link = Arc::new(Link::new(&server).map_err(Fault::Remote)?);
    let storage = Storage::new(link.clone());
    // Whoever refuses this question has answered.
    let capabilities = storage.capabilities().await?.unwrap_or_default();
    let mut survey = Survey {
        version: capabilities.high_api_version.map(|version| (version.major, version.minor)),
        limits: None,
        services: Vec::new(),
    };
    let mut note = |service, answer: Attempt<()>| {
        let works = answer.is_ok();
        survey.services.push((service, answer.map_err(Fault::into_error)));
        works
    };
    // Where reading is refused, what is said of writing tells nothing.
    let push = |read: bool| read && server.push;
    if server.is_storage() && push(note(Service::Blobs, storage.probe().await)) {
        note(Service::BlobPush, take_nothing(&storage).await);
    }
    if server.is_index() {
        let index = Index { link: link.clone() };
        let nobody = ArtifactName::new("bourn", "doctor", "survey");
        if push(note(Service::Names, index.probe(Sort::Blob, artifact_urn(&nobody)).await)) {
            note(Service::NamePush, index.probe_push(Sort::Blob).await);
        }
        let single = SourceName::Single { kind: "bourn".into(), key: "survey".into() };
        if push(note(Service::Directories, index.probe(Sort::Directory, source_urn(&single).0).await)) {
            note(Service::DirectoryPush, index.probe_push(Sort::Directory).await);
        }
    }
    if server.kind == ServerKind::Actions && push(note(Service::Actions, no_action(&link).await)) {
        note(Service::ActionPush, takes_results(&capabilities));
    }
    if server.is_storage() {
        survey.limits = Some(limits(&capabilities, storage.has_trees()));
    }
    Ok(survey)
}

/// Has a server take the empty blob, which is the same everywhere.
async fn take_nothing(storage: &Storage) -> Attempt<()> {
    let empty = Digest::of(b"");
    storage.update(&[empty], vec![UpdateBlob::packed(empty, Vec::new(), false)]).await
}

/// Asks for the result of an action that nobody has.
async fn no_action(link: &Link) -> Attempt<()> {
    let question = GetActionResultRequest {
        instance_name: link.instance().to_owned(),
        action_digest: Some(Digest::of(b"bourn doctor").into()),
    };
    match link.unary_status::<_, ActionResult>(Lane::Talk, actions::GET, question).await? {
        Err(status) if status.code() != Code::NotFound => Err(link.fault(actions::GET, &status)),
        _ => Ok(()),
    }
}

fn takes_results(capabilities: &ServerCapabilities) -> Attempt<()> {
    let cache = capabilities.cache_capabilities.as_ref();
    match cache.and_then(|cache| cache.action_cache_update_capabilities) {
        Some(update) if !update.update_enabled => {
            Err(Fault::remote(ErrorKind::Denied, "the server says that it takes no results"))
        }
        _ => Ok(()),
    }
}

fn limits(capabilities: &ServerCapabilities, trees: bool) -> Limits {
    let cache = capabilities.cache_capabilities.clone().unwrap_or_default();
    let batch = u64::try_from(cache.max_batch_total_size_bytes).ok().filter(|limit| *limit > 0);
    let (zstd, zstd_update) = cache.zstd();
    Limits { batch, zstd, zstd_update, trees }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Mishap, Traits};

    const ALL: [Service; 6] = [
        Service::Blobs,
        Service::BlobPush,
        Service::Names,
        Service::NamePush,
        Service::Directories,
        Service::DirectoryPush,
    ];

    fn ask(server: Server) -> ServiceResult<Survey> {
        survey(&[server], &Cancel::default()).unwrap().remove(0)
    }

    /// The services that do not work, each with a part of the reason.
    fn check(engine: &Engine, kind: ServerKind, expect: &[(Service, &str)]) -> Survey {
        let survey = ask(engine.server(kind)).unwrap();
        let refused: Vec<(Service, &str)> = survey
            .services
            .iter()
            .filter_map(|(service, answer)| Some((*service, answer.as_ref().err()?.message.as_str())))
            .collect();
        assert_eq!(refused.len(), expect.len(), "{refused:?}");
        for ((service, message), (expected, part)) in refused.iter().zip(expect) {
            assert!(service == expected && message.contains(part), "{refused:?}");
        }
        survey
    }

    #[test]
    fn engines_say_what_they_can_do() {
        let plain = check(&Engine::start(Traits::default()), ServerKind::All, &[]);
        assert_eq!(plain.services.iter().map(|(service, _)| *service).collect::<Vec<_>>(), ALL);
        let limits = Limits { batch: None, zstd: false, zstd_update: false, trees: true };
        assert_eq!(plain.limits, Some(limits));
        let traits = Traits { batch: 65_536, zstd: true, trees: false, ..Traits::default() };
        let small = check(&Engine::start(traits), ServerKind::Storage, &[]);
        let limits = Limits { batch: Some(65_536), zstd: true, zstd_update: true, trees: false };
        assert_eq!((small.limits, small.services.len()), (Some(limits), 2));
        let old = Engine::start(Traits { capabilities: false, ..Traits::default() });
        assert_eq!(check(&old, ServerKind::Index, &[]).limits, None);
    }

    #[test]
    fn what_is_refused_is_told_apart() {
        let reader = Engine::start(Traits { push: false, ..Traits::default() });
        let none = "no Remote Asset Push service";
        check(&reader, ServerKind::All, &[(Service::NamePush, none), (Service::DirectoryPush, none)]);
        let guarded = Engine::start(Traits::default());
        guarded.trouble("BatchUpdateBlobs", Mishap::Code(Code::PermissionDenied), 1);
        guarded.trouble("FetchDirectory", Mishap::Code(Code::PermissionDenied), 1);
        let denied = "PERMISSION_DENIED";
        check(&guarded, ServerKind::All, &[(Service::BlobPush, denied), (Service::Directories, denied)]);
        let elsewhere = Engine::start(Traits::default());
        let mut server = elsewhere.server(ServerKind::All);
        server.instance = "another".into();
        let survey = ask(server).unwrap();
        assert_eq!(survey.services.len(), 3, "{survey:?}");
        assert!(survey.services.iter().all(|(_, answer)| answer.is_err()), "{survey:?}");
        let cache = Engine::start(Traits::default());
        check(&cache, ServerKind::Actions, &[(Service::Actions, "UNIMPLEMENTED")]);
    }

    #[test]
    fn whoever_does_not_answer_has_an_error() {
        let mut server = Engine::start(Traits::default()).server(ServerKind::All);
        server.url = "http://127.0.0.1:1".into();
        server.connection.retry_limit = Some(0);
        assert!(ask(server.clone()).unwrap_err().message.contains("Connection refused"));
        server.url = "ftp://x".into();
        assert!(ask(server).unwrap_err().message.contains("begins with http://"));
        let strict = Engine::start(Traits { token: Some("secret".into()), ..Traits::default() });
        let survey = ask(strict.server(ServerKind::All)).unwrap();
        for (service, answer) in survey.services {
            assert!(answer.unwrap_err().message.contains("UNAUTHENTICATED"), "{service:?}");
        }
    }

    #[test]
    fn nothing_is_left_behind_but_the_empty_blob() {
        let engine = Engine::start(Traits::default());
        check(&engine, ServerKind::All, &[]);
        assert!(engine.state().names.is_empty());
        assert!(engine.state().blobs.keys().all(|digest| digest.size == 0));
    }
}
