//! What few pages want at once: code in a wasm of its own, for the same instance, that is loaded when it is first wanted.
//!
//! Not the [`parts`](crate::parts), which are an instance of their own: what is here works on the core's own agents and runs.
//! Whatever only [`table`] refers to, `cargo xtask build` takes out of the first wasm. Calls there go through [`rest`], so
//! that no function is called before it is there.

mod agent;
mod client;

use std::future::Future;
use std::pin::Pin;

use super::WebPlatform;
use super::arguments::Arguments;
use crate::agent::fact::Decision;
use crate::drive::agent::Agent;
use crate::drive::client::Client;
use crate::drive::diagnose::{Patient, diagnose};
use crate::drive::handle::RunHandle;
use crate::drive::wait::Cancel;
use crate::error::Result;
use crate::json;

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;
type Answer = Boxed<Result<String>>;

/// What there is.
pub(super) struct Rest {
    /// The methods of an agent that few call.
    pub(super) agent: fn(Agent<WebPlatform>, u32, String, Arguments, Cancel) -> Answer,
    /// Those of a client.
    pub(super) client: fn(Client<WebPlatform>, u32, String, Arguments, Cancel) -> Answer,
    /// Looks at a server.
    pub(super) diagnose: fn(Patient, Cancel) -> Answer,
    /// Takes up a run.
    pub(super) resume: fn(Agent<WebPlatform>, String, Vec<Decision>, RunHandle) -> Boxed<()>,
}

static REST: Rest = Rest {
    agent: |agent, ticket, method, given, cancel| Box::pin(agent::perform(agent, ticket, method, given, cancel)),
    client: |client, ticket, method, given, cancel| Box::pin(client::perform(client, ticket, method, given, cancel)),
    diagnose: |patient, cancel| {
        Box::pin(async move { Ok(json::text(&diagnose(&WebPlatform::new(0), &patient, &cancel).await?)) })
    },
    resume: |agent, from, decisions, handle| Box::pin(agent.resume_into(from, decisions, handle)),
};

/// Loads it, if it is not there yet.
///
/// # Errors
///
/// `network` when it cannot be loaded; asking again tries again.
#[cfg(feature = "split")]
pub(super) async fn rest() -> Result<&'static Rest> {
    use crate::error::{Code, Error};
    super::door::rest().await.map_err(|words| {
        let words = words.as_string().unwrap_or_default();
        Error::new(Code::Network, ["the rest of the wasm could not be loaded: ", &words].concat())
    })?;
    Ok(table().await)
}

/// Where nothing is split off, such as in tests.
#[cfg(not(feature = "split"))]
pub(super) async fn rest() -> Result<&'static Rest> {
    Ok(&REST)
}

#[cfg(feature = "split")]
#[wasm_split_helpers::wasm_split(rest)]
fn table() -> &'static Rest {
    &REST
}
