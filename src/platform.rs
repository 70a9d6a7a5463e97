//! The one seam between this crate and the world.
//!
//! [`Platform`] has exactly two implementations: `web::WebPlatform` for every JavaScript runtime and
//! [`sim::SimPlatform`](crate::sim) for native tests, with a simulated network, virtual time and seeded faults.
//! Both pass the same laws:
//!
//! 1. Dropping the future of [`fetch`](Platform::fetch), or the [`Body`], aborts the request; no chunk is
//!    delivered afterwards and nothing is left running.
//! 2. [`sleep`](Platform::sleep) ends no earlier than asked and can be dropped at any time, which frees the timer.
//! 3. A body yields chunks in order, never empty ones, then `None` for ever; after an error it yields `None`.
//! 4. [`load`](Platform::load) and [`list`](Platform::list) give what the last finished [`write`](Platform::write) of a key
//!    has left, or nothing; a batch is there as a whole or not at all; neither ever fails a run.
//! 5. [`now`](Platform::now) may stand still or jump; nothing may wait for it to move.
//! 6. Dropping the future of [`call_part`](Platform::call_part) stops what the part does for it.
//! 7. [`load_secret`](Platform::load_secret) and [`save_secret`](Platform::save_secret) are like law 4, under keys of
//!    their own, and what they keep is never in clear where anybody else could read it.
//! 8. A [`lock`](Platform::lock) is held by one of those who share our secrets at a time, and given in the order of
//!    asking; dropping it, or the future that waits for it, lets the next one in.
//!    Whoever asks whether it [is held](Platform::is_held) once somebody has it, and before it is dropped, hears so.
//! 9. What is said in a [`circle`](Platform::circle) is heard once, soon and in order by everybody who had joined before
//!    it was said and is still there, and never by whoever said it.

use serde_json::Value;

mod store;

pub use store::{Space, StoreCounts, StoreFailure, Stored, Write, key};

use crate::http::{Head, Request};
use crate::options::FunctionId;
use crate::secret::Secret;
use crate::time::{Millis, UnixMillis};

/// Everything this crate asks of its surroundings.
pub trait Platform: 'static {
    /// Streaming body of an answer.
    type Body: Body;

    /// A lock that is held; dropping it gives it up.
    type Lock;

    /// A place in a circle; dropping it leaves.
    type Circle: Circle;

    /// Wall-clock time; may stand still or jump.
    fn now(&self) -> UnixMillis;

    /// 64 random bits that nobody can predict; secrets of a sign-in are made of them.
    fn random(&self) -> u64;

    /// Waits at least that long. Longer waits than [`Millis::MAX_TIMER`] are cut to it.
    async fn sleep(&self, duration: Millis);

    /// Sends a request and waits for the status and headers of its answer. Redirects are followed only where
    /// [`Request::follows_redirects`] allows it.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] when no answer came at all. A status of 400 or 500 is an answer.
    async fn fetch(&self, request: Request) -> Result<Response<Self::Body>, NetworkError>;

    /// Reads a stored value; `None` when there is none, it is over or broken, or the store cannot be used. In a space that
    /// may be evicted ([`Space::is_evictable`]) it counts as used from then on.
    async fn load(&self, space: Space, key: &str) -> Option<Vec<u8>>;

    /// What is stored under keys that begin so, in the order of the keys' bytes, without the values.
    async fn list(&self, space: Space, prefix: &str) -> Vec<Stored>;

    /// Changes the store, all of it or nothing. Evicts what it may where there is no room.
    ///
    /// Dropping the future does not say which: what was begun may still be stored.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`] when it will not outlive this agent. It is kept in memory then, where there is room, and stored with
    /// a later change if that succeeds; so most callers go on as if nothing had happened.
    async fn write(&self, batch: Vec<Write>) -> Result<(), StoreFailure>;

    /// Changes the store as [`write`](Platform::write) does, or not at all: what cannot be stored now is not kept in memory.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`] when nothing was changed.
    async fn write_now(&self, batch: &[Write]) -> Result<(), StoreFailure>;

    /// What has happened to the store since this agent began.
    fn store_counts(&self) -> StoreCounts;

    /// The changes that [`write`](Platform::write) could not store and that are kept in memory, in their order.
    fn waiting_writes(&self) -> Vec<Write>;

    /// Reads a stored secret; `None` when there is none, or none that can still be read.
    async fn load_secret(&self, key: &str) -> Option<Secret>;

    /// Stores a secret, or removes it with `None`: encrypted where it outlives the page, else in memory. Best effort.
    async fn save_secret(&self, key: &str, value: Option<&Secret>);

    /// Waits for the lock of that name, which is ours alone among all tabs that share our secrets. At once where
    /// nobody shares them.
    async fn lock(&self, name: &str) -> Self::Lock;

    /// Whether somebody holds a lock whose name begins so, other than that one; `None` where nobody could: where tabs do not
    /// share [locks](Platform::lock) and [circles](Platform::circle).
    async fn is_held(&self, prefix: &str, but: &str) -> Option<bool>;

    /// Joins the circle of that name, in which all tabs hear each other that share [locks](Platform::lock); `None` where
    /// nobody could be there. What is said there stays within the origin, but is not secret to any of its pages.
    fn circle(&self, name: &str) -> Option<Self::Circle>;

    /// Calls a function of the app and waits for what it returns. Dropping the future aborts the
    /// `AbortSignal` that the function was given.
    async fn call_app(&self, call: AppCall) -> AppResult;

    /// Tells a function of the app something. Nobody waits for it, and what it returns or throws is ignored.
    fn tell_app(&self, call: AppCall);

    /// Asks a part of this crate that is loaded when first used, and waits for its answer. What the texts mean is
    /// between the caller and the part, see `crate::parts`.
    ///
    /// # Errors
    ///
    /// Words for people: the part could not be loaded or is not there, or it cannot read the request.
    async fn call_part(&self, part: Part, request: String) -> PartResult;

    /// Reads a file of the package that few pages need; `None` when it is not there or could not be loaded.
    async fn asset(&self, asset: Asset) -> Option<Vec<u8>>;
}

/// Files of the package that are no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asset {
    /// The table of [`crate::context::embed`].
    Embeddings,
}

impl Asset {
    /// Its name between wasm and shell.
    pub const fn as_str(self) -> &'static str {
        match self {
            Asset::Embeddings => "embeddings",
        }
    }
}

/// Parts of this crate that few pages need at once, so that they lie in a wasm of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The embedded model: a request of [`crate::llm::offline_wire`] in, its deltas out.
    Offline,
    /// Checks of values against JSON Schemas: a request of [`crate::schema`] in, an outcome out.
    Schema,
    /// Finds out why a server cannot be used: facts of [`crate::mcp::diagnose`] in, probes or the report out.
    Diagnose,
    /// The browser's own model: a request of the app's wire in, what `LanguageModel` is asked out.
    Prompt,
    /// Authorization of MCP servers: what a connection wants to know in, what it may go on with out.
    Oauth,
    /// Choosing what goes before the model: a query in, steps or a block of context out; and ranking of anything.
    Context,
    /// The spans of a run: notes of [`crate::agent::spans`] in, the spans that ended out.
    Spans,
    /// Keeps sources fresh that a conversation was shown: facts in, what to watch and to read and what has changed out.
    Live,
    /// What is kept, for people: sizes, a file of it, its removal. The shell asks for it, past the core.
    Archive,
    /// Decides what a plan of tool calls does next: a request of [`crate::agent::plan`] in, orders out.
    Plan,
    /// Big results: what is to be kept, read or put into arguments in, what the model is told out; see
    /// [`crate::agent::kept`].
    Handles,
    /// A history that fills a model's window: what is to become of it; see [`crate::agent::compact`].
    Compact,
}

impl Part {
    /// Every part.
    pub const ALL: [Part; 12] = [
        Part::Offline,
        Part::Schema,
        Part::Diagnose,
        Part::Oauth,
        Part::Context,
        Part::Prompt,
        Part::Spans,
        Part::Plan,
        Part::Live,
        Part::Archive,
        Part::Handles,
        Part::Compact,
    ];

    /// Its name between the two modules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Part::Offline => "offline",
            Part::Schema => "schema",
            Part::Diagnose => "diagnose",
            Part::Oauth => "oauth",
            Part::Context => "context",
            Part::Prompt => "prompt",
            Part::Spans => "spans",
            Part::Plan => "plan",
            Part::Live => "live",
            Part::Archive => "archive",
            Part::Handles => "handles",
            Part::Compact => "compact",
        }
    }
}

/// What a part answered, or why it could not.
pub type PartResult = Result<String, String>;

/// A place in a circle of tabs. Dropping it leaves.
pub trait Circle {
    /// Tells everybody else. Nobody knows whether they are there.
    fn say(&self, text: &str);

    /// What somebody else has said. Dropping the future loses nothing; one at a time.
    async fn hear(&self) -> String;
}

/// Body of an answer, chunk by chunk. Dropping it aborts the request.
pub trait Body {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] when the connection broke; what came before is valid, more will not come.
    async fn chunk(&mut self) -> Option<Result<Vec<u8>, NetworkError>>;
}

/// Status, headers, and a body to be read.
#[derive(Debug)]
pub struct Response<B> {
    /// Status and headers.
    pub head: Head,
    /// The body; dropping it aborts the request.
    pub body: B,
}

/// No answer, or an answer that broke off. Carries nothing of the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError {
    /// What the platform says, for people; such as `TypeError: Failed to fetch`.
    pub message: String,
    /// The platform hides the reason and a CORS refusal is possible (any opaque failure in a browser).
    pub maybe_cors: bool,
}

/// A call of a function that the app handed in: an app tool, an approval, a token callback.
#[derive(Clone, Debug, PartialEq)]
pub struct AppCall {
    /// Which function.
    pub function: FunctionId,
    /// Its first argument; the second is always `{ signal }`.
    pub argument: Value,
}

/// What a function of the app returned, or the text of what it threw.
pub type AppResult = Result<Value, String>;
