//! What an agent's servers list and answer, mostly through the cache.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::cache::{Mode, READ};
use crate::drive::cache::Question;
use crate::drive::server::Server;
use crate::drive::wait::{Cancel, Jobs};
use crate::error::{Code, Error, Result};
use crate::json;
use crate::mcp::call_options::CallOptions;
use crate::mcp::lists::{List, Listing};
use crate::mcp::types::Progress;
use crate::platform::Platform;
use crate::time::Millis;

use super::{Agent, unknown_server};

impl<P: Platform> Agent<P> {
    /// The elements of a list over all servers that declare it, each as its server sent it and with the member `server`; with
    /// `stale` where the list is over and was taken because the server could not be asked, or was not to be.
    /// Servers are connected first if need be. One that fails is left out and says why in [`Agent::servers`].
    ///
    /// # Errors
    ///
    /// `cancelled`, `misuse` after [`Agent::close`], and the first error where no server could be asked.
    pub async fn list(&self, list: List, mode: Mode, cancel: &Cancel) -> Result<Value> {
        match mode {
            Mode::OnlyIfCached => self.check_open()?,
            _ => self.connect_all(false, cancel).await?,
        }
        let servers = self.servers_now();
        let outcomes: Vec<RefCell<Option<Result<Listing>>>> = servers.iter().map(|_| RefCell::default()).collect();
        let mut jobs = Jobs::default();
        for (server, outcome) in servers.iter().zip(&outcomes) {
            jobs.push(async {
                *outcome.borrow_mut() = server.list(list, mode, cancel).await.transpose();
            });
        }
        jobs.finish().await;
        let (mut all, mut error, mut any) = (Vec::new(), None, false);
        for (server, outcome) in servers.iter().zip(outcomes) {
            match outcome.into_inner() {
                None => any = true,
                Some(Err(failed)) => error = error.or(Some(failed)),
                Some(Ok(listing)) => {
                    any = true;
                    for mut element in listing.elements {
                        if let Value::Object(fields) = &mut element {
                            fields.insert("server".to_owned(), server.name.as_str().into());
                            if listing.stale {
                                fields.insert("stale".to_owned(), true.into());
                            }
                        }
                        all.push(element);
                    }
                }
            }
        }
        match error {
            Some(error) if !any || error.code == Code::Cancelled => Err(error),
            _ => Ok(Value::Array(all)),
        }
    }

    /// Forgets what a server answered to a method, because it says that its answer has changed.
    pub async fn forget_cached(&self, server: &str, method: &str) {
        if let Some(server) = self.server_named(server) {
            self.0.cache.forget(&server.config.identity(), method).await;
        }
    }

    /// Another number than before when a server has told of a change, or a tool of it has written.
    pub(crate) fn told(&self, server: &Server<P>) -> u64 {
        self.0.cache.turn(&server.config.identity())
    }

    /// What is cached, and what came of it since the agent was made: `{ entries, bytes, hits, misses, stale, evictions,
    /// broken, servers: [{ server, entries, bytes, hits, misses, stale, evictions }] }`.
    pub async fn cache_stats(&self) -> Value {
        let identity = |server: &Rc<Server<P>>| (server.name.clone(), server.config.identity());
        let servers: Vec<(String, String)> = self.servers_now().iter().map(identity).collect();
        self.0.cache.stats(&servers).await
    }

    /// Forgets what is cached: of one server, or all of it, also what other agents of this origin have cached.
    ///
    /// # Errors
    ///
    /// `misuse` when there is no server of that name.
    pub async fn clear_cache(&self, server: Option<&str>) -> Result<()> {
        let servers = match server {
            Some(name) => Some([self.server_named(name).ok_or_else(|| unknown_server(name))?.config.identity()]),
            None => None,
        };
        self.0.cache.clear(servers.as_ref().map(|servers| &servers[..])).await;
        Ok(())
    }

    /// Sends a request of any method to one server and gives its result as the server sent it; with the member `cached:
    /// { ageMs, stale }` where it was not sent, because it was answered before.
    ///
    /// # Errors
    ///
    /// `misuse` when there is no server of that name, and whatever [`Connection::ask`] says.
    ///
    /// [`Connection::ask`]: crate::drive::mcp::Connection::ask
    pub async fn ask(
        &self,
        server: &str,
        method: &str,
        params: &Map<String, Value>,
        options: &CallOptions,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Map<String, Value>> {
        self.check_open()?;
        let server = self.server_named(server).ok_or_else(|| unknown_server(server))?;
        let connection = &server.connection;
        let fetch = Box::pin(async {
            self.ensure(&server, cancel, &mut |_, _| ()).await?;
            connection.ask(method, params, options, cancel, on_progress).await
        });
        // What `_meta` says may change what the server answers.
        if method != READ || !options.meta.is_empty() || params.contains_key("_meta") {
            return fetch.await;
        }
        let (ttl, mode, writes) = (Some(Millis(0)), options.cache, false);
        let question = Question { connection, method, params, ttl, mode, writes };
        let (mut result, age) = self.0.cache.ask(question, cancel, fetch).await?;
        if let Some(age) = age {
            result.insert("cached".to_owned(), json::tree(&age));
        }
        Ok(result)
    }

    /// Goes on with a sign-in, with the URL that the user came back to, and connects the server that it was for. Which
    /// one that is, the URL's `state` tells. Gives its `ServerInfo`, which says whether it works now.
    ///
    /// # Errors
    ///
    /// `misuse` when none of the servers has begun this sign-in or it was finished before, and why it failed.
    pub async fn finish_authorization(&self, callback: &str, cancel: &Cancel) -> Result<Value> {
        self.check_open()?;
        for server in self.servers_now() {
            match server.connection.finish_authorization(callback, cancel).await {
                Ok(()) => {
                    // What is wrong now is shown by its state.
                    let _ = self.ensure(&server, cancel, &mut |_, _| ()).await;
                    return Ok(server.to_json());
                }
                Err(error) if error.code == Code::Misuse => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(Code::Misuse, "finishAuthorization: no server of this agent has begun this sign-in"))
    }
}
