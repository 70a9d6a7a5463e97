//! The wasm-bindgen command line and its test runner, linked instead of installed.
//!
//! `bindgen generate <wasm-bindgen options>` and `bindgen test-runner <wasm> <test options>`. Only xtask calls it; a
//! binary of its own, so that no other command waits for wasm-bindgen to compile.

use std::env;
use std::error::Error;
use std::ffi::OsString;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<OsString> = env::args_os().collect();
    if args.len() < 2 {
        return Err("expected `generate` or `test-runner`".into());
    }
    // Both command lines expect a program name first, and the mode serves as one.
    args.remove(0);
    match args[0].to_str() {
        Some("generate") => wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(args)?,
        Some("test-runner") => wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(args)?,
        other => return Err(format!("expected `generate` or `test-runner`, got {other:?}").into()),
    }
    Ok(())
}
