//! The wasm-bindgen command line, its test runner, and what splits a wasm in two, linked instead of installed.
//!
//! `bindgen generate <wasm-bindgen options>`, `bindgen test-runner <wasm> <test options>`, and `bindgen split <wasm> <link
//! module> <out dir>`, which writes the first half under the name of the wasm and the other as `split_rest.wasm`. Only xtask calls it; a
//! binary of its own, so that no other command waits for wasm-bindgen to compile.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use wasm_split_cli_support::Options;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<OsString> = env::args_os().collect();
    if args.len() < 2 {
        return Err("expected `generate`, `split` or `test-runner`".into());
    }
    // Both command lines expect a program name first, and the mode serves as one.
    args.remove(0);
    match args[0].to_str() {
        Some("generate") => wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(args)?,
        Some("test-runner") => wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(args)?,
        Some("split") => split(&args[1..])?,
        other => return Err(format!("expected `generate`, `split` or `test-runner`, got {other:?}").into()),
    }
    Ok(())
}

fn split(args: &[OsString]) -> Result<(), Box<dyn Error>> {
    let [wasm, link, out] = args else { return Err("expected `split <wasm> <link module> <out dir>`".into()) };
    let (wasm, out) = (Path::new(wasm), Path::new(out));
    let input = fs::read(wasm)?;
    let main = out.join(wasm.file_name().ok_or("the wasm has no name")?);
    let mut options = Options::new(&input);
    (options.output_dir, options.main_out_path) = (out, &main);
    options.link_name = link.to_str().ok_or("the name of the link module is no UTF-8")?;
    fs::create_dir_all(out)?;
    wasm_split_cli_support::transform(options)?;
    Ok(())
}
