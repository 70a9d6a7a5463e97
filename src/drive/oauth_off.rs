//! Stands where `oauth` would be in a build without it. An [`Authorizer`] cannot exist here, so the compiler drops every
//! path that would use one.

use std::convert::Infallible;
use std::marker::PhantomData;

use crate::error::{Error, Result};
use crate::http::{Headers, Request};
use crate::mcp::oauth::{Refusal, Tries};
use crate::platform::Platform;
use crate::secret::Secret;

/// The authorization of one MCP server, which there is none.
pub(crate) struct Authorizer<P: Platform>(Infallible, PhantomData<P>);

impl<P: Platform> Authorizer<P> {
    pub(crate) fn current(&self) -> Option<Secret> {
        match self.0 {}
    }

    pub(crate) async fn token(&self) -> Option<Secret> {
        match self.0 {}
    }

    pub(crate) async fn remedy(
        &self,
        _: &Refusal,
        _: Option<&Secret>,
        _: &mut Tries,
    ) -> std::result::Result<(), Hopeless> {
        match self.0 {}
    }

    pub(crate) fn note_nonce(&self, _: &Headers) {
        match self.0 {}
    }

    pub(crate) async fn prove(&self, _: &mut Request, _: &Secret) -> std::result::Result<(), &'static str> {
        match self.0 {}
    }

    pub(crate) async fn finish(&self, _: &str) -> Result<()> {
        match self.0 {}
    }
}

/// Why a refused request stays refused; as in a build with authorization.
#[allow(dead_code, reason = "only an authorizer makes one")]
pub(crate) enum Hopeless {
    Refused(&'static str),
    Failed(Error),
}
