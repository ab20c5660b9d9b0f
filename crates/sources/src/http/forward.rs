//! Requests that a proxy forwards: what is asked for is named by its whole URL (RFC 9112, 3.2.2), which the client's own
//! type for URLs cannot have in the place of a path.
//!
//! So the client is told of a path that is a slash with the URL behind it, and the slash is taken out as the request
//! leaves.

use super::configuration;
use std::sync::LazyLock;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport,
};
use ureq::{Agent, Error};

/// What sends them. It keeps connections to proxies open.
pub(super) static FORWARDED: LazyLock<Agent> = LazyLock::new(|| {
    Agent::with_parts(configuration(), DefaultConnector::new().chain(Naming), DefaultResolver::default())
});

/// How every request begins; none has content.
const BEGINNING: &[u8] = b"GET /";

#[derive(Debug)]
struct Naming;

impl<In: Transport> Connector<In> for Naming {
    type Out = Named<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Named<In>>, Error> {
        Ok(chained.map(Named))
    }
}

#[derive(Debug)]
struct Named<In>(In);

impl<In: Transport> Transport for Named<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.0.buffers().output();
        let mut amount = amount;
        if output[..amount].starts_with(BEGINNING) {
            output.copy_within(BEGINNING.len()..amount, BEGINNING.len() - 1);
            amount -= 1;
        }
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        In::await_input(&mut self.0, timeout)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}
