//! A cache of actions on another machine (`remote-execution: action-cache-service`), with the storage that its results
//! refer to.

use crate::backed::Backed;
use crate::fault::{Attempt, Fault};
use crate::link::{Lane, Link};
use crate::message::{GetActionResultRequest, UpdateActionResultRequest};
use crate::server::Server;
use bourn_reapi::digest::DigestMessage;
use bourn_reapi::services::{ErrorKind, ServiceResult};
use bourn_reapi::{ActionCache, ActionResult, Digest, ServiceError, TreeMessage};
use std::sync::Arc;
use tonic::{Code, Status};

pub(crate) const GET: &str = "/build.bazel.remote.execution.v2.ActionCache/GetActionResult";
const UPDATE: &str = "/build.bazel.remote.execution.v2.ActionCache/UpdateActionResult";

/// A remote cache of actions. What a result refers to is in the storage before the result is kept.
pub struct Actions {
    storage: Arc<Backed>,
    link: Link,
    push: bool,
}

impl Actions {
    /// The cache at `server`, whose results refer to what `storage` has.
    ///
    /// # Errors
    /// The URL makes no sense; credentials cannot be read.
    pub fn new(server: &Server, storage: Arc<Backed>) -> ServiceResult<Actions> {
        let link = storage.link(server)?;
        Ok(Actions { storage, link, push: server.push })
    }

    async fn get(&self, action: &Digest) -> Attempt<Option<ActionResult>> {
        let question = GetActionResultRequest {
            instance_name: self.link.instance().to_owned(),
            action_digest: Some((*action).into()),
        };
        let answer: Result<ActionResult, Status> = self.link.unary_status(Lane::Talk, GET, question).await?;
        match answer {
            Ok(result) => Ok(Some(result)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(self.link.fault(GET, &status)),
        }
    }

    async fn update(&self, action: &Digest, result: &ActionResult) -> Attempt<()> {
        let transfer = self.storage.transfer();
        let (roots, trees) = (digests(result.roots())?, digests(result.trees())?);
        let mut blobs = digests(result.blobs())?;
        transfer.fetch_messages(trees.clone()).await?;
        for tree in trees {
            blobs.extend(digests(transfer.decode::<TreeMessage>(tree).await?.files())?);
        }
        // What is not here should be there: the client was told so, and did not send it.
        transfer.complete(roots, blobs).await?;
        let question = UpdateActionResultRequest {
            instance_name: self.link.instance().to_owned(),
            action_digest: Some((*action).into()),
            action_result: Some(result.clone()),
        };
        let _: ActionResult = self.link.unary(Lane::Talk, UPDATE, question).await?;
        Ok(())
    }
}

fn digests<'d>(messages: impl Iterator<Item = &'d DigestMessage>) -> Attempt<Vec<Digest>> {
    let digests = messages.map(Digest::try_from).collect::<Result<_, _>>();
    digests.map_err(|error| Fault::Local(error.into()))
}

impl ActionCache for Actions {
    fn action_result(&self, action: &Digest) -> ServiceResult<Option<ActionResult>> {
        self.storage.run(self.get(action)).map_err(Fault::into_error)
    }

    fn update_action_result(&self, action: &Digest, result: &ActionResult) -> ServiceResult<()> {
        if !self.push {
            let text = format!("{}: results are not kept there: `push` is not set", self.link.url());
            return Err(ServiceError::new(ErrorKind::Denied, text));
        }
        self.storage.run(self.update(action, result)).map_err(Fault::into_error)
    }
}
