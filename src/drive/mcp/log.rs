//! Hands on what a server logs, and tells it from which level on.

use std::rc::Rc;

use serde_json::Value;

use super::{Connection, Inner};
use crate::drive::wait::Cancel;
use crate::error::{Code, Error, Result};
use crate::mcp::era::Era;
use crate::mcp::log::{self, Log};
use crate::mcp::request::Call;
use crate::mcp::server::Link;
use crate::platform::{AppCall, Platform};

/// The level in force, and which session was told of it.
#[derive(Debug, Default)]
pub(super) struct Logging {
    level: Option<&'static str>,
    told: Option<(Rc<Link>, &'static str)>,
}

impl Logging {
    pub(super) fn new(log: Log) -> Logging {
        Logging { level: log.level, told: None }
    }
}

impl<P: Platform> Inner<P> {
    /// A notification, on whichever stream it came: if it is an entry of the log, whoever listens gets it.
    pub(super) fn note_log(&self, method: &str, params: Option<&Value>) {
        if method == log::NOTICE
            && let Some(function) = self.config.log.listener
            && self.wants_entry(params)
            && let Some(argument) = log::entry(&self.config.name, params)
        {
            self.platform.tell_app(AppCall { function, argument });
        }
    }
}

impl<P: Platform> Inner<P> {
    /// In a session that tabs share, the server logs for whoever wants most.
    fn wants_entry(&self, params: Option<&Value>) -> bool {
        let level = self.logging.borrow().level;
        self.agreed().is_none() || level.is_none_or(|level| log::is_for(level, params))
    }
}

impl<P: Platform> Connection<P> {
    /// The level that a modern request has to name.
    pub(super) fn log_level(&self) -> Option<&'static str> {
        self.0.logging.borrow().level
    }

    /// Tells an older server from which level on it is to log, once for each session and level.
    ///
    /// # Errors
    ///
    /// Why it could not be told.
    pub(crate) async fn tell_log_level(&self, cancel: &Cancel) -> Result<()> {
        let Some(level) = self.log_level() else { return Ok(()) };
        let link = self.link(cancel).await?;
        if link.era == Era::Modern || !link.capabilities.contains_key("logging") {
            return Ok(());
        }
        let told = self.0.logging.borrow_mut().told.replace((link.clone(), level));
        if told.is_some_and(|(known, before)| Rc::ptr_eq(&known, &link) && before == level) {
            return Ok(());
        }
        // Of all tabs that share a session, whoever wants most decides; one after the other.
        let agreed = self.0.agreed();
        let _turn = match &agreed {
            Some(terms) => Some(self.0.platform.lock(&["log ", terms].concat()).await),
            None => None,
        };
        if let Some(before) = self.0.logged(None).await
            && log::openness(&before) >= log::openness(level)
        {
            return Ok(());
        }
        let value = Value::from(level);
        let params = [("level", &value)];
        let call = Call::new("logging/setLevel", &params);
        match self.once(&call, self.0.config.timeout, cancel, &mut |_| {}).await {
            Ok(_) => {
                self.0.logged(Some(level)).await;
                Ok(())
            }
            Err(failure) => Err(failure.error),
        }
    }

    /// Says from which level on the server is to log. Modern servers learn it with each request.
    ///
    /// # Errors
    ///
    /// `config` for a level that there is not, `misuse` where nobody listens (option `onLog`), and why an older server
    /// could not be told.
    pub async fn set_log_level(&self, level: &str, cancel: &Cancel) -> Result<()> {
        let level = log::level(level, "level")?;
        if self.0.config.log.listener.is_none() {
            return Err(Error::new(Code::Misuse, "setLogLevel: nobody listens; give the option `onLog`"));
        }
        self.0.logging.borrow_mut().level = Some(level);
        self.tell_log_level(cancel).await
    }
}
