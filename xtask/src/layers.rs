//! Keeps the crate's floors: which module may import which, and what the pure part may not touch.
//!
//! Works on tokens, so a word in a comment or a string is none. Names that reach a module by another route than a
//! `crate::` or `super::` path (a re-export, a macro) are not followed.

use crate::source::{Token, tokens};

/// The floors, lowest first. A module imports from lower floors only; neighbours do not know each other.
const FLOORS: [&[&str]; 10] = [
    &["json", "time"],
    &["error"],
    &["options", "secret"],
    &["sse", "jsonrpc", "http", "rank"],
    &["context", "llm", "mcp", "platform", "schema"],
    &["cache"],
    &["agent", "store"],
    &["drive"],
    &["parts"],
    &["sim", "web"],
];

/// The modules in which waiting is allowed; all others are pure.
const ASYNC: [&str; 6] = ["platform", "store", "drive", "parts", "sim", "web"];

/// Names the pure part may not use: clocks, and maps whose order differs from run to run.
const IMPURE: [&str; 4] = ["Instant", "SystemTime", "HashMap", "HashSet"];

/// Crates that only `web` may use.
const JS_CRATES: [&str; 6] =
    ["wasm_bindgen", "wasm_bindgen_futures", "js_sys", "web_sys", "serde_wasm_bindgen", "gloo_net"];

/// What is wrong in one file; `path` is relative to `src/`, with `/` between folders. Each line starts with the path and
/// the line's number.
pub(crate) fn violations(path: &str, source: &str) -> Vec<String> {
    let modules = module_path(path);
    let tokens = tokens(source);
    let mut found = Vec::new();
    let mut complain = |token: &Token<'_>, text: String| found.push(format!("src/{path}:{}: {text}", token.line));
    // The crate's root declares the modules, so that it has no floor; its `web` is behind a `cfg`.
    let module = modules.first().copied();
    if let Some(module) = module
        && floor(module).is_none()
    {
        complain(&Token { text: "", line: 1 }, format!("module `{module}` has no floor in xtask/src/layers.rs"));
    }
    let may_wait = module.is_some_and(|module| ASYNC.contains(&module));
    let tests = tests_start(path, &tokens);
    for (at, token) in tokens.iter().enumerate() {
        let text = token.text;
        if JS_CRATES.contains(&text) && module != Some("web") {
            complain(token, format!("`{text}` outside of src/web/"));
        }
        if ["async", "await"].contains(&text) && !may_wait {
            complain(token, format!("`{text}` in the pure part"));
        }
        if IMPURE.contains(&text) && !may_wait {
            complain(token, format!("`{text}` in the pure part"));
        }
        let Some(module) = module.filter(|_| at < tests) else { continue };
        for import in imports(&tokens, at, &modules) {
            if import != module && floor(import).is_some() && !may_import(module, import) {
                complain(token, format!("`{module}` imports `{import}`, which is not below it"));
            }
        }
    }
    found
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn may_import(module: &str, import: &str) -> bool {
    let pure_uses_platform = !ASYNC.contains(&module) && ASYNC.contains(&import);
    floor(import) < floor(module) && !pure_uses_platform
}

/// `mcp/types.rs` is `[mcp, types]`, `mcp/mod.rs` and `mcp.rs` are `[mcp]`, `lib.rs` is the root.
fn module_path(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    if matches!(parts.last(), Some(&"mod" | &"lib")) {
        parts.pop();
    }
    parts
}

/// Where test code starts: at the test module that ends a file, or at once in a file of tests. Tests may import upwards,
/// since the simulator is above nearly everything.
fn tests_start(path: &str, tokens: &[Token<'_>]) -> usize {
    if path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/") {
        return 0;
    }
    let pattern = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    // The name follows, then the body; `mod tests;` declares a file and may stand anywhere.
    let starts = |window: &[Token<'_>]| {
        window[..pattern.len()].iter().map(|token| token.text).eq(pattern) && window[pattern.len() + 1].text == "{"
    };
    tokens.windows(pattern.len() + 2).position(starts).unwrap_or(tokens.len())
}

/// The crate's top modules named by the path that starts at `at`: `crate::x`, `crate::{x, y}`, `super::super::x`.
fn imports<'a>(tokens: &[Token<'a>], at: usize, modules: &[&str]) -> Vec<&'a str> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let continues = |at: usize| text(at) == ":" && text(at + 1) == ":";
    let preceded = at >= 2 && continues(at - 2);
    let mut next = at;
    if preceded {
        return Vec::new();
    } else if text(at) == "crate" {
        next += 1;
    } else if text(at) == "super" {
        let mut ups = 1;
        next += 1;
        while continues(next) && text(next + 2) == "super" {
            ups += 1;
            next += 3;
        }
        if ups < modules.len() + inline_depth(&tokens[..at]) {
            return Vec::new();
        }
    } else {
        return Vec::new();
    }
    if !continues(next) {
        return Vec::new();
    }
    if text(next + 2) != "{" {
        return vec![text(next + 2)];
    }
    // The first name of every item of the group.
    let (mut depth, mut names, mut expected) = (0, Vec::new(), true);
    for token in &tokens[next + 2..] {
        match token.text {
            "{" => depth += 1,
            "}" if depth == 1 => break,
            "}" => depth -= 1,
            "," if depth == 1 => expected = true,
            name if depth == 1 && expected => {
                names.push(name);
                expected = false;
            }
            _ => {}
        }
    }
    names
}

/// How many `mod name {` are open at the end of `before`.
fn inline_depth(before: &[Token<'_>]) -> usize {
    let (mut depth, mut open) = (0_usize, Vec::new());
    for (at, token) in before.iter().enumerate() {
        match token.text {
            "{" => {
                depth += 1;
                if at >= 2 && before[at - 2].text == "mod" {
                    open.push(depth);
                }
            }
            "}" => {
                if open.last() == Some(&depth) {
                    open.pop();
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
    }
    open.len()
}

#[cfg(test)]
mod tests {
    use super::violations;

    fn is_clean(path: &str, source: &str) {
        assert_eq!(violations(path, source), Vec::<String>::new());
    }

    fn finds(path: &str, source: &str, what: &str) {
        let found = violations(path, source);
        assert!(found.iter().any(|line| line.contains(what)), "{path}: {source}: {found:?}");
    }

    #[test]
    fn imports_go_down() {
        is_clean("agent/run.rs", "use crate::{error::Error, llm::{types, wire}, mcp}; use crate::agent::event;");
        finds("llm/types.rs", "\nuse crate::agent::Event;", "src/llm/types.rs:2: `llm` imports `agent`");
        finds("llm/mod.rs", "use crate::mcp::Tool;", "`llm` imports `mcp`");
        finds("mcp/mod.rs", "use crate::{error::{self, Error}, llm};", "`mcp` imports `llm`");
        finds("agent/run.rs", "fn f(p: &impl crate::platform::Platform) {}", "`agent` imports `platform`");
        finds("sse.rs", "pub fn f() { crate::drive::go() }", "`sse` imports `drive`");
        finds("error.rs", "use crate::http::Status;", "`error` imports `http`");
    }

    #[test]
    fn imports_through_super_count() {
        is_clean("mcp/types.rs", "use super::request; use super::super::jsonrpc;");
        is_clean("mcp/types.rs", "mod wire { use super::super::llm; }");
        finds("mcp/types.rs", "use super::super::llm::Turn;", "`mcp` imports `llm`");
        finds("mcp/mod.rs", "use super::llm;", "`mcp` imports `llm`");
        finds("mcp/mod.rs", "mod wire { fn f() {} use super::super::llm; }", "`mcp` imports `llm`");
    }

    #[test]
    fn tests_may_import_upwards_but_stay_pure() {
        is_clean("drive/run.rs", "fn f() {} #[cfg(test)] mod tests { use crate::sim::Sim; }");
        is_clean("drive/tests.rs", "use crate::sim::Sim;");
        is_clean("drive/run_tests.rs", "use crate::sim::Sim;");
        finds("drive/mod.rs", "#[cfg(test)] mod tests; use crate::sim::Sim;", "`drive` imports `sim`");
        finds("llm/tests.rs", "use std::collections::HashMap;", "HashMap");
    }

    #[test]
    fn the_pure_part_neither_waits_nor_reads_clocks() {
        is_clean("drive/mod.rs", "async fn f() { g().await }");
        is_clean("llm/mod.rs", "/// Not `async`, no `Instant`.\nconst A: &str = \"await HashMap\";");
        finds("llm/mod.rs", "async fn f() {}", "`async` in the pure part");
        finds("agent/mod.rs", "use std::time::Instant;", "`Instant` in the pure part");
        finds("lib.rs", "fn now() -> std::time::SystemTime { loop {} }", "`SystemTime` in the pure part");
    }

    #[test]
    fn javascript_stays_in_web() {
        is_clean("web/mod.rs", "use wasm_bindgen::prelude::*;");
        finds("drive/mod.rs", "use js_sys::Promise;", "`js_sys` outside of src/web/");
        finds("lib.rs", "use wasm_bindgen::prelude::*;", "`wasm_bindgen` outside");
    }

    #[test]
    fn a_new_module_needs_a_floor() {
        finds("misc.rs", "", "module `misc` has no floor");
        is_clean("lib.rs", "pub mod error; mod web;");
    }
}
