//! What users have allowed for good: kept in the store, and told to each run.

use serde_json::Value;

use crate::agent::catalog::{CatalogTool, Target};
use crate::agent::config::Approval;
use crate::agent::flow::digest_of;
use crate::agent::run::Run;
use crate::drive::agent::Agent;
use crate::platform::{self, Platform, Space, Write};

/// Stands between a server's identity and the names of its tools in a key.
const APPROVED: &str = "approved";

/// The app's own tools, where others have the identity of their server.
const APP: &str = "app:";

impl<P: Platform> Agent<P> {
    /// What was allowed is not known yet, and somebody may be asked.
    pub(crate) fn must_recall_approvals(&self) -> bool {
        self.approval() != Approval::Never && self.approved().borrow().is_none()
    }

    /// Reads what was allowed.
    pub(crate) async fn recall_approvals(&self) {
        let is_one = |key: &String| key.split('/').nth(1) == Some(APPROVED) && key.split('/').count() == 4;
        let stored = self.platform().list(Space::Servers, "").await.into_iter().map(|stored| stored.key);
        *self.approved().borrow_mut() = Some(stored.filter(is_one).collect());
    }

    /// Tools that are known now, each with the digest of arguments that were allowed.
    pub(crate) fn known_approvals(&self) -> Vec<(String, String)> {
        let approved = self.approved().borrow();
        let Some(approved) = approved.as_ref().filter(|approved| !approved.is_empty()) else { return Vec::new() };
        let catalog = self.catalog();
        let mut known = Vec::new();
        for tool in catalog.tools() {
            let prefix = self.approval_key(tool, "");
            let digests = approved.iter().filter_map(|key| key.strip_prefix(&prefix));
            known.extend(digests.map(|digest| (tool.entry.name.clone(), digest.to_owned())));
        }
        known
    }

    /// What is to be kept so that a call which waits for the user in `run` is never asked for again.
    pub(crate) fn approval_of(&self, run: &Run, id: &str) -> Option<String> {
        let (tool, input) = run.asked(id)?;
        self.approval_of_call(&tool.name, input)
    }

    /// The same for a call of that tool with these arguments.
    pub(crate) fn approval_of_call(&self, tool: &str, input: &Value) -> Option<String> {
        let key = self.approval_key(self.catalog().find(tool)?, &digest_of(input));
        if let Some(approved) = self.approved().borrow_mut().as_mut() {
            approved.push(key.clone());
        }
        Some(key)
    }

    /// Keeps it. What is not kept is asked for again.
    pub(crate) async fn keep_approval(&self, key: String) {
        let _ = self.platform().write(vec![Write::put(Space::Servers, key, Vec::new())]).await;
    }

    /// Forgets what users have allowed for good, of all servers.
    pub async fn forget_approvals(&self) {
        let is_one = |key: &String| key.split('/').nth(1) == Some(APPROVED);
        let stored = self.platform().list(Space::Servers, "").await.into_iter().map(|stored| stored.key);
        let removals = stored.filter(is_one).map(|key| Write::remove(Space::Servers, key)).collect();
        let _ = self.platform().write(removals).await;
        *self.approved().borrow_mut() = Some(Vec::new());
    }

    fn approval_key(&self, tool: &CatalogTool, digest: &str) -> String {
        match &tool.target {
            Target::App(_) => platform::key(&[APP, APPROVED, &tool.entry.name, digest]),
            Target::Server { server, tool } => {
                let identity = self.server_named(server).map(|server| server.config.identity()).unwrap_or_default();
                platform::key(&[&identity, APPROVED, tool, digest])
            }
        }
    }
}
