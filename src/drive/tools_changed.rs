//! Tells an app of new lists of tools between its runs too.

use serde_json::{Map, Value};

use crate::drive::agent::{Agent, unknown_server};
use crate::drive::wait::{Cancel, Jobs};
use crate::error::{Error, Result};
use crate::mcp::server::State as ServerState;
use crate::platform::Platform;

impl<P: Platform> Agent<P> {
    /// Connects the servers that there are, then follows their lists of tools until cancelled, or until none of them tells of
    /// changes (any more); with `only` that server alone. `tell` gets `{ server }` for each that is there, and whenever its tools
    /// were listed anew, once at least where it tells of changes.
    ///
    /// # Errors
    ///
    /// `cancelled`; as [`Agent::connect`]; `misuse` when there is no server of that name.
    pub async fn tool_changes(&self, only: Option<&str>, cancel: &Cancel, tell: &dyn Fn(Value)) -> Result<()> {
        let servers = match only {
            Some(name) => {
                let server = self.server_named(name).ok_or_else(|| unknown_server(name))?;
                // Why it is not there, servers() tells.
                let _ = self.ensure(&server, cancel, &mut |_, _| ()).await;
                vec![server]
            }
            None => {
                self.connect(cancel).await?;
                self.servers_now()
            }
        };
        let mut jobs = Jobs::default();
        for server in servers.iter().filter(|server| server.state() == ServerState::Ready) {
            let told = || {
                let mut change = Map::new();
                change.insert("server".into(), server.name.as_str().into());
                tell(Value::Object(change));
            };
            told();
            // What has changed since they were listed is found that way.
            server.doubt();
            jobs.push(async move {
                let changed = || {
                    self.forget_catalog();
                    told();
                };
                server.follow(cancel, &changed).await;
            });
        }
        jobs.finish().await;
        if cancel.is_cancelled() { Err(Error::cancelled("toolChanges")) } else { Ok(()) }
    }
}
