//! From what earlier versions of the package stored to what this one does.

use crate::platform::{self, Space};

/// Where a record of schema 1 belongs now; `None` for what no version of the package has stored.
///
/// Schema 1 was one list of plain values under `<kind>/<url of the server>`.
pub(super) fn from_1(old: &str) -> Option<(Space, String)> {
    let (kind, server) = old.split_once('/')?;
    matches!(kind, "era" | "tools" | "tasks").then(|| (Space::Servers, platform::key(&[server, kind])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_schema_1_has_its_place() {
        let place = |key: &str| Some((Space::Servers, key.to_owned()));
        assert_eq!(from_1("era/https://a.test/mcp"), place("https:%2F%2Fa.test%2Fmcp/era"));
        assert_eq!(from_1("tools/transport:local"), place("transport:local/tools"));
        assert_eq!(from_1("tasks/https://a.test/"), place("https:%2F%2Fa.test%2F/tasks"));
        assert_eq!((from_1("other/x"), from_1("schema"), from_1("")), (None, None, None));
    }
}
