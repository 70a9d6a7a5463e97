//! A server of either era whose resources change at instants that were drawn beforehand.

use edgewise::http::{Method, Request};
use edgewise::sim::{Answer, Peer, Rng, Server, Step};
use edgewise::time::Millis;
use serde_json::{Value, json};

/// A resource.
#[derive(Clone)]
pub struct Source {
    pub uri: String,
    /// Each user sees another content.
    pub private: bool,
    /// When its content changed, in order; the number of a content is that of the changes before it.
    pub changes: Vec<u64>,
}

impl Source {
    /// The number of its content at that instant.
    pub fn at(&self, instant: u64) -> u64 {
        self.changes.iter().filter(|change| **change <= instant).count() as u64
    }

    fn text(&self, number: u64, user: &str) -> String {
        let user = if self.private { user } else { "everybody" };
        format!("# The rain and the wind\n\nvalue {number} for {user} of {}\n\nThat is all.\n", self.uri)
    }

    /// The number of a content that this user may see; `None` for any other text.
    pub fn number(&self, text: &str, user: &str) -> Option<u64> {
        let user = if self.private { user } else { "everybody" };
        let line = text.lines().find_map(|line| line.strip_prefix("value "))?;
        let (number, rest) = line.split_once(' ')?;
        (rest == format!("for {user} of {}", self.uri)).then(|| number.parse().ok())?
    }
}

/// A server.
pub struct Library {
    modern: bool,
    pub sources: Vec<Source>,
    /// How long its answers are fresh, as it says.
    pub ttl: u64,
    /// Longest time that an answer takes.
    pub latency: u64,
    /// Longest time that a stream lasts, in 1,000 of which so many end early.
    ends: u32,
    /// Every reading.
    pub reads: Vec<String>,
    /// It has a tool that reads a number, and one that counts it up.
    pub has_tools: bool,
    /// When the number was counted up, or will be.
    pub writes: Vec<u64>,
    sessions: u32,
    /// Sessions before this one are unknown.
    valid_from: u32,
    /// Older ones: in so many of 1,000 requests it has forgotten all sessions.
    pub forgets: u32,
}

impl Library {
    pub fn draw(index: usize, rng: &mut Rng, until: u64) -> Library {
        let source = |number: usize, rng: &mut Rng| {
            let mut changes = Vec::new();
            let (mut at, flaps) = (rng.within(1_000..=60_000), rng.chance(250));
            while at < until && changes.len() < 3_000 {
                changes.push(at);
                at += if flaps {
                    rng.within(30..=2_000)
                } else {
                    1 + rng.pick(&[100, 5_000, 40_000]) * rng.within(1..=4)
                };
            }
            if rng.chance(200) {
                changes.clear();
            }
            Source { uri: format!("docs://s{index}/{number}"), private: rng.chance(500), changes }
        };
        Library {
            modern: index == 0 || rng.chance(400),
            sources: (0..2).map(|number| source(number, rng)).collect(),
            ttl: rng.pick(&[0, 2_000, 30_000]),
            latency: rng.pick(&[0, 50, 400]),
            ends: rng.pick(&[0, 500, 900]),
            reads: Vec::new(),
            has_tools: false,
            writes: Vec::new(),
            sessions: 0,
            valid_from: 0,
            forgets: rng.pick(&[0, 0, 30]),
        }
    }

    /// The notices of a stream that is opened now: one for each change of these sources.
    fn stream(
        &self,
        first: Option<Value>,
        sources: &[&Source],
        subscription: Option<&Value>,
        peer: &mut Peer<'_>,
    ) -> Answer {
        let now = peer.now.0;
        let notice = |message: Value| Step::Bytes(format!("data: {message}\n\n").into_bytes());
        let ready = now + peer.rng.within(0..=self.latency);
        let end = if peer.rng.chance(self.ends) { ready + peer.rng.within(0..=60_000) } else { u64::MAX };
        let changes = sources.iter().flat_map(|source| source.changes.iter().map(|at| (*at, source.uri.as_str())));
        let mut changes: Vec<(u64, &str)> = changes.filter(|(at, _)| *at > ready && *at < end).collect();
        changes.sort_unstable();
        let mut steps = vec![Step::Wait(Millis(ready - now))];
        steps.extend(first.map(notice));
        let mut at = ready;
        for (when, uri) in changes {
            steps.push(Step::Wait(Millis(when - at)));
            at = when;
            let mut params = json!({ "uri": uri });
            if let Some(id) = subscription {
                params["_meta"] = json!({ "io.modelcontextprotocol/subscriptionId": id });
            }
            steps.push(notice(
                json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params }),
            ));
        }
        steps.push(if end == u64::MAX { Step::Hang } else { Step::Wait(Millis(end - at)) });
        Answer::events(steps)
    }

    fn listen(&self, id: &Value, params: &Value, peer: &mut Peer<'_>) -> Answer {
        let wanted = &params["notifications"];
        let uris = wanted["resourceSubscriptions"].as_array().cloned().unwrap_or_default();
        let sources: Vec<&Source> =
            self.sources.iter().filter(|source| uris.contains(&source.uri.as_str().into())).collect();
        let params = json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": id }, "notifications": wanted });
        let first = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params });
        self.stream(Some(first), &sources, Some(id), peer)
    }

    /// What its number was at that instant.
    pub fn count(&self, instant: u64) -> u64 {
        self.writes.iter().filter(|at| **at <= instant).count() as u64
    }

    /// The answer to a tool, and how long it takes at least: whoever has sent a write need not wait for its end.
    fn call(&mut self, tool: &str, peer: &mut Peer<'_>) -> Option<(Value, u64)> {
        let now = peer.now.0;
        let (text, lasts) = match tool {
            "look" => (self.count(now).to_string(), 0),
            "count" => {
                let lasts = peer.rng.within(0..=4_000);
                self.writes.push(now + lasts);
                ("done".to_owned(), lasts)
            }
            _ => return None,
        };
        Some((json!({ "content": [{ "type": "text", "text": text }] }), lasts))
    }

    fn result(&mut self, method: &str, params: &Value, user: &str, peer: &mut Peer<'_>) -> Option<Value> {
        let mut result = match method {
            "tools/list" if self.has_tools => {
                let tool = |name: &str, annotations: Value| json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": annotations });
                let look = json!({ "readOnlyHint": true, "openWorldHint": false });
                json!({ "tools": [tool("look", look), tool("count", json!({ "openWorldHint": false }))] })
            }
            "tools/list" => json!({ "tools": [] }),
            "resources/list" => {
                let name =
                    |source: &Source| json!({ "uri": source.uri, "name": format!("rain and wind {}", source.uri) });
                json!({ "resources": self.sources.iter().map(name).collect::<Vec<Value>>() })
            }
            "resources/templates/list" => json!({ "resourceTemplates": [] }),
            "resources/read" => {
                let source = self.sources.iter().find(|source| params["uri"] == source.uri.as_str())?;
                self.reads.push(source.uri.clone());
                let text = source.text(source.at(peer.now.0), user);
                let scope = if source.private { "private" } else { "public" };
                json!({ "contents": [{ "uri": source.uri, "text": text }], "cacheScope": scope })
            }
            _ => return None,
        };
        result["ttlMs"] = self.ttl.into();
        Some(result)
    }
}

impl Server for Library {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
        let user = request.headers.get("authorization").unwrap_or("").trim_start_matches("Bearer ").to_owned();
        let session = request.headers.get("mcp-session-id").and_then(|id| id.parse::<u32>().ok());
        let is_modern = request.headers.get("mcp-method").is_some();
        if !self.modern && peer.rng.chance(self.forgets) {
            self.valid_from = self.sessions + 1;
        }
        if session.is_some_and(|session| session < self.valid_from) {
            return Answer::text(404, "", "");
        }
        match request.method {
            Method::Post => {}
            Method::Delete => return Answer::text(200, "", ""),
            Method::Get | Method::Knock if self.modern || session.is_none() => return Answer::text(405, "", ""),
            // It tells of more than anybody asked for.
            Method::Get | Method::Knock => {
                return self.stream(None, &self.sources.iter().collect::<Vec<_>>(), None, peer);
            }
        }
        let message: Value = serde_json::from_str(request.body.as_deref().unwrap_or("")).unwrap_or_default();
        let (method, params, id) = (message["method"].as_str().unwrap_or(""), &message["params"], &message["id"]);
        let capabilities = json!({ "tools": {}, "resources": { "subscribe": true } });
        let (mut answer_session, mut lasts) = (None, 0);
        let result = match (method, self.modern) {
            _ if self.modern != is_modern => None,
            ("server/discover", true) => {
                Some(json!({ "supportedVersions": ["2026-07-28"], "capabilities": capabilities }))
            }
            ("subscriptions/listen", true) => return self.listen(id, params, peer),
            ("initialize", false) => {
                self.sessions += 1;
                answer_session = Some(self.sessions);
                let info = json!({ "name": "library", "version": "1" });
                Some(json!({ "protocolVersion": "2025-06-18", "capabilities": capabilities, "serverInfo": info }))
            }
            ("notifications/initialized", false) => return Answer::text(202, "", ""),
            ("resources/subscribe" | "resources/unsubscribe", false) => Some(json!({})),
            ("tools/call", _) => self.call(params["name"].as_str().unwrap_or(""), peer).map(|(mut result, least)| {
                result["ttlMs"] = self.ttl.into();
                lasts = least;
                result
            }),
            _ => self.result(method, params, &user, peer),
        };
        let Some(mut result) = result else { return Answer::text(400, "text/plain", "what?") };
        if self.modern {
            result["resultType"] = "complete".into();
        }
        let after = Millis(lasts + peer.rng.within(0..=self.latency));
        let answer = Answer::json(&json!({ "jsonrpc": "2.0", "id": id, "result": result })).after(after);
        match answer_session {
            Some(number) => answer.header("mcp-session-id", number.to_string()),
            None => answer,
        }
    }
}
