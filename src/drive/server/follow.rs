//! Keeps an agent's list of tools what the server's is.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use super::Server;
use crate::drive::wait::Cancel;
use crate::error::Result;
use crate::mcp::call_options::Mode;
use crate::mcp::listen::{Change, Filter};
use crate::mcp::server::State as ServerState;
use crate::platform::Platform;

impl<P: Platform> Server<P> {
    /// Watches the list of tools until cancelled, and lists them anew when it changed or may have. Ends at once for a
    /// server that does not tell. `changed` is told after each new list.
    ///
    /// A list that could not be had leaves the one before it in force.
    pub(crate) async fn follow(&self, cancel: &Cancel, changed: &dyn Fn()) {
        // Nobody watched between the runs.
        let stale = !self.fresh.take();
        let filter = Filter { tools: true, ..Filter::default() };
        if self.state() != ServerState::Ready || !self.connection.tells(&filter) {
            return;
        }
        // The other lists on the same stream, for what is cached of them.
        let filter = Filter { prompts: true, resources: true, ..filter };
        let wanted = Cell::new(false);
        let mut on_change = |change| match change {
            Change::Tools | Change::Gap => wanted.set(true),
            Change::Watching(_) => wanted.set(stale),
            _ => {}
        };
        let mut watch = Box::pin(self.connection.watch(filter, cancel, &mut on_change));
        let mut listing: Option<Pin<Box<dyn Future<Output = Result<()>> + '_>>> = None;
        poll_fn(|context| {
            // A server that does not tell after all is one whose list stays as it is.
            if watch.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            loop {
                let Some(work) = &mut listing else {
                    if !wanted.take() {
                        return Poll::Pending;
                    }
                    listing = Some(Box::pin(self.list_again(cancel)));
                    continue;
                };
                match work.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(listed) => {
                        listing = None;
                        if listed.is_ok() {
                            changed();
                        }
                    }
                }
            }
        })
        .await;
    }

    /// Has whoever follows next list the tools anew once the server tells of changes: nobody watched since they were listed.
    pub(crate) fn doubt(&self) {
        self.fresh.set(false);
    }

    async fn list_again(&self, cancel: &Cancel) -> Result<()> {
        let tools = self.look(Mode::Default, cancel).await?;
        if self.state() == ServerState::Ready {
            self.set_tools(tools);
        }
        Ok(())
    }
}
