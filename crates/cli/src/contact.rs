//! The servers of a command: which they are, and whether it can do without those that do not answer.

use crate::args::command::Contact;
use crate::exit::Failure;
use crate::invocation::Invocation;
use crate::settings::servers::Servers;
use crate::signals;
use crate::wire;
use bourn_build::control::Control;
use bourn_build::event::MessageKind;
use bourn_project::ElementGraph;
use bourn_reapi::{Remotes, Services};
use bourn_remote::Caches;
use std::sync::Arc;

/// The servers that a command speaks to.
#[derive(Default)]
pub(crate) struct Connected {
    /// As they were declared, of every project.
    pub(crate) servers: Servers,
    /// Those that are spoken to, if there are any.
    caches: Option<Arc<Caches>>,
}

impl Connected {
    /// Begins to connect to the servers of every project of a graph, as the command line and the configuration want
    /// them. Whoever needs one waits for it.
    ///
    /// # Errors
    /// Declarations that cannot be read.
    pub(crate) fn begin(
        invocation: &Invocation<'_>,
        services: &Services,
        graph: &ElementGraph,
    ) -> Result<Connected, Failure> {
        let (settings, remotes) = (invocation.settings, &invocation.remotes);
        if remotes.contact == Contact::Nobody {
            return Ok(Connected::default());
        }
        invocation.reporter.timed("Initializing remote caches", || {
            let servers = Servers::resolve(settings, invocation.files, graph, remotes, remotes.contact)?;
            let is_any = !servers.artifacts.values().chain(servers.sources.values()).all(Vec::is_empty);
            let caches = is_any.then(|| wire::caches(settings, services, &servers)).transpose()?;
            Ok(Connected { servers, caches: caches.map(Arc::new) })
        })
    }

    /// Those that are spoken to, if there are any.
    pub(crate) fn remotes(&self) -> Option<Arc<dyn Remotes>> {
        self.caches.clone().map(|caches| caches as Arc<dyn Remotes>)
    }

    /// Waits until all servers have answered. Warns of those that cannot be used.
    ///
    /// # Errors
    /// It was asked to stop.
    fn meet_all(&self, invocation: &Invocation<'_>, control: &Control) -> Result<(), Failure> {
        let Some(caches) = &self.caches else { return Ok(()) };
        let wait = || caches.refused(control.cancel());
        for refused in signals::steered(invocation, control, wait)? {
            let (text, hint) = (refused.to_string(), refused.error.hint.as_deref());
            invocation.reporter.message(MessageKind::Warn, &text, hint, None);
        }
        Ok(())
    }

    /// Makes sure that artifacts can be pulled, or pushed.
    ///
    /// # Errors
    /// No server can be used for that; it was asked to stop.
    pub(crate) fn assert_artifacts(
        &self,
        invocation: &Invocation<'_>,
        control: &Control,
        push: bool,
    ) -> Result<(), Failure> {
        self.meet_all(invocation, control)?;
        let usable = self.caches.as_ref().is_some_and(|caches| caches.has_artifacts(push));
        let doing = if push { "pushing" } else { "pulling" };
        usable.then_some(()).ok_or_else(|| {
            Failure::stream(format!("No artifact caches available for {doing} artifacts"))
                .hint(self.hint(push))
        })
    }

    /// Makes sure that sources can be pushed.
    ///
    /// # Errors
    /// No server can be used for that; it was asked to stop.
    pub(crate) fn assert_source_pushes(
        &self,
        invocation: &Invocation<'_>,
        control: &Control,
    ) -> Result<(), Failure> {
        self.meet_all(invocation, control)?;
        let usable = self.caches.as_ref().is_some_and(|caches| caches.has_sources(true));
        usable.then_some(()).ok_or_else(|| {
            Failure::stream("No source caches available for pushing sources").hint(self.hint(true))
        })
    }

    fn hint(&self, push: bool) -> &'static str {
        match push {
            _ if self.caches.is_none() => {
                "no server is named, neither in the configuration nor by the project or on the command line"
            }
            true => {
                "it takes a server that names are kept on and one for blobs (or one for both), with `push: true`; \
                 `doctor --remote` asks those that are configured"
            }
            false => {
                "it takes a server that names are kept on and one for blobs (or one for both); \
                 `doctor --remote` asks those that are configured"
            }
        }
    }
}
