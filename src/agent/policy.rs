//! Whether the user is asked before a call, and when a model call is made again.

use crate::agent::catalog::ToolEntry;
use crate::agent::config::Approval;
use crate::error::{Code, Error, Retry};
use crate::options::FunctionId;
use crate::time::Millis;

/// What the policy says of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Call it.
    Allow,
    /// Ask the user; the text says why.
    Ask(String),
    /// The app's function decides whether the user is asked.
    Function(FunctionId),
}

/// What the policy says of a call of that tool. One whose definition has changed is asked for under every policy.
pub fn verdict(approval: Approval, tool: &ToolEntry) -> Verdict {
    if tool.builtin.is_some() {
        return Verdict::Allow;
    }
    if let Some(change) = tool.changed.as_ref().filter(|change| change.asks) {
        let parts = change.parts.join(", ");
        return Verdict::Ask([&tool.name, " has changed since it was first seen or approved: its ", &parts].concat());
    }
    match approval {
        Approval::Never => Verdict::Allow,
        Approval::Writes if tool.read_only => Verdict::Allow,
        Approval::Writes => Verdict::Ask([&tool.name, " may change something: it is not marked as read-only"].concat()),
        Approval::Always => Verdict::Ask("every call is to be approved".into()),
        Approval::Function(function) => Verdict::Function(function),
    }
}

/// Why a call of that tool would be asked for in a conversation that holds no private data; nothing where it would not.
pub fn asks(approval: Approval, tool: &ToolEntry) -> Option<String> {
    match verdict(approval, tool) {
        Verdict::Allow => None,
        Verdict::Ask(why) => Some(why),
        Verdict::Function(_) => Some("the app's approval function decides".into()),
    }
}

/// What is done about a tool call that failed on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It is made again after that wait.
    Again(Millis),
    /// The model is told why.
    Told,
    /// The model is told that nobody knows whether it was done.
    Unknown,
}

/// Most tries of one tool call, the first included.
const TOOL_ATTEMPTS: u32 = 3;

/// What to do about a tool call that failed at its try number `attempt`, from 1.
///
/// One that was turned away was not executed. Of one whose answer was lost nobody knows, so it is made again only
/// where a second time does no harm; after a timeout once, since the wait was long.
pub fn failed_call(error: &Error, tool: &ToolEntry, attempt: u32, random: u64) -> Failed {
    let turned_away = matches!(error.code, Code::RateLimited | Code::Overloaded) && error.retry != Retry::Never;
    let lost = match error.code {
        Code::Network | Code::Timeout | Code::Truncated | Code::Overloaded => true,
        Code::Http => error.status.is_some_and(|status| status >= 500),
        _ => false,
    } && error.retry == Retry::Never;
    let harmless = tool.read_only || tool.idempotent;
    if !(turned_away || lost && harmless) {
        return if lost { Failed::Unknown } else { Failed::Told };
    }
    let most = if error.code == Code::Timeout { 2 } else { TOOL_ATTEMPTS };
    let mut again = error.clone();
    if again.retry == Retry::Never {
        again.retry = Retry::Backoff;
    }
    match retry_delay(&again, attempt + 1, most, random) {
        Some(delay) => Failed::Again(delay),
        None => Failed::Told,
    }
}

/// Longest wait for servers before the model is asked with the tools that are there.
///
/// A server that failed or kept a run waiting before gets another try at each run, but holds it up only briefly: a
/// dead one must not make every message slow.
pub fn gather_limit(any_new: bool) -> Millis {
    if any_new { Millis(10_000) } else { Millis(1_000) }
}

/// Longest wait before a retry that is worth holding a run open for.
pub const MAX_DELAY: Millis = Millis(60_000);

const FIRST_DELAY: u64 = 500;
const BACKOFF_CAP: u64 = 30_000;

/// The wait before try number `attempt` (from 2), or `None` when the error is final.
///
/// A delay that the peer named is kept exactly, up to [`MAX_DELAY`]; a longer one makes the error final, since
/// nobody wants a run that seems dead. Else 500 ms, doubled each time, capped at 30 s, of which a random half is
/// taken off so that many clients do not come back at once.
pub fn retry_delay(error: &Error, attempt: u32, max_attempts: u32, random: u64) -> Option<Millis> {
    // A refusal by CORS looks like a broken network and will not heal: one more try is enough to tell.
    let most = if error.maybe_cors { max_attempts.min(2) } else { max_attempts };
    if attempt > most {
        return None;
    }
    match error.retry {
        Retry::Never => None,
        Retry::After(delay) => (delay <= MAX_DELAY).then_some(delay),
        Retry::Backoff => {
            let full = (FIRST_DELAY << (attempt.saturating_sub(2)).min(16)).min(BACKOFF_CAP);
            Some(Millis(full / 2 + random % (full / 2 + 1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::trust::Change;

    fn entry(read_only: bool) -> ToolEntry {
        let (wire_name, name, server) = ("s__t".into(), "s.t".into(), Some("s".into()));
        ToolEntry { wire_name, name, server, read_only, ..ToolEntry::default() }
    }

    #[test]
    fn writes_are_asked_for_and_reads_are_not() {
        assert_eq!(verdict(Approval::Writes, &entry(true)), Verdict::Allow);
        assert!(matches!(verdict(Approval::Writes, &entry(false)), Verdict::Ask(_)));
        assert_eq!(verdict(Approval::Never, &entry(false)), Verdict::Allow);
        assert!(matches!(verdict(Approval::Always, &entry(true)), Verdict::Ask(_)));
    }

    #[test]
    fn a_changed_tool_is_asked_for_whatever_the_policy() {
        let changed = |asks| {
            let parts = vec!["description".to_owned()];
            ToolEntry { changed: Some(Change { parts, fingerprint: "f".into(), asks }), ..entry(true) }
        };
        for approval in [Approval::Never, Approval::Writes, Approval::Function(FunctionId(0))] {
            let Verdict::Ask(why) = verdict(approval, &changed(true)) else { panic!("{approval:?}") };
            assert_eq!(why, "s.t has changed since it was first seen or approved: its description");
        }
        assert_eq!(verdict(Approval::Never, &changed(false)), Verdict::Allow);
    }

    #[test]
    fn backoff_grows_is_capped_and_honours_the_peer() {
        let error = |retry| Error::new(Code::Overloaded, "x").retry(retry);
        for random in [0, 1, u64::MAX] {
            let delay = |attempt| retry_delay(&error(Retry::Backoff), attempt, 100, random).unwrap().0;
            assert!((250..=500).contains(&delay(2)));
            assert!((500..=1000).contains(&delay(3)));
            assert!((15_000..=30_000).contains(&delay(90)));
        }
        assert_eq!(retry_delay(&error(Retry::After(Millis(7))), 2, 4, 9), Some(Millis(7)));
        assert_eq!(retry_delay(&error(Retry::After(Millis(60_001))), 2, 4, 9), None);
        assert_eq!(retry_delay(&error(Retry::Backoff), 5, 4, 9), None);
        assert_eq!(retry_delay(&error(Retry::Never), 2, 4, 9), None);
    }

    #[test]
    fn a_lost_call_is_made_again_only_where_twice_is_once() {
        let error = |code, retry| Error::new(code, "x").retry(retry);
        let (reads, writes) = (entry(true), entry(false));
        let puts = ToolEntry { idempotent: true, ..entry(false) };
        for code in [Code::Network, Code::Truncated, Code::Timeout] {
            let lost = error(code, Retry::Never);
            assert!(matches!(failed_call(&lost, &reads, 1, 0), Failed::Again(_)), "{code}");
            assert!(matches!(failed_call(&lost, &puts, 1, 0), Failed::Again(_)), "{code}");
            assert_eq!(failed_call(&lost, &writes, 1, 0), Failed::Unknown, "{code}");
            assert_eq!(failed_call(&lost, &reads, 3, 0), Failed::Told, "{code}");
            // It did not get as far as the tool.
            assert_eq!(failed_call(&error(code, Retry::Backoff), &writes, 1, 0), Failed::Told, "{code}");
        }
        assert_eq!(failed_call(&error(Code::Timeout, Retry::Never), &reads, 2, 0), Failed::Told);
        let away = error(Code::RateLimited, Retry::After(Millis(7)));
        assert_eq!(failed_call(&away, &writes, 1, 0), Failed::Again(Millis(7)));
        let status = |status| error(Code::Http, Retry::Never).status(status);
        assert_eq!(failed_call(&status(502), &writes, 1, 0), Failed::Unknown);
        assert_eq!(failed_call(&status(404), &writes, 1, 0), Failed::Told);
        assert_eq!(failed_call(&error(Code::Protocol, Retry::Never), &writes, 1, 0), Failed::Told);
    }

    #[test]
    fn what_may_be_cors_is_tried_once_more_only() {
        let mut error = Error::new(Code::Network, "x").retry(Retry::Backoff);
        error.maybe_cors = true;
        assert!(retry_delay(&error, 2, 4, 9).is_some());
        assert!(retry_delay(&error, 3, 4, 9).is_none());
    }
}
