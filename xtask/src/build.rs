//! From the crate to `pkg/wasm/`: cargo, wasm-bindgen, `wasm-opt`, minified glue; then the site in `target/site/`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fingerprint::{Fingerprint, Stamp};
use crate::npm;
use crate::run::{Outcome, cargo, output, root, run, say, scratch_dir, target_dir, timed};
use crate::site;
use crate::wasm::imported_modules;

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// One of the two wasm files of the package, and the features of the crate that it is made with.
struct Module {
    /// Name of its files in `pkg/wasm/`: `NAME.js`, `NAME.d.ts`, `NAME_bg.wasm`.
    name: &'static str,
    features: &'static str,
    /// What is marked to be loaded when first wanted lies in a wasm of its own, for the same instance: its file and the file with its
    /// bytes as text.
    rest: Option<[&'static str; 2]>,
    /// The same bytes as text, for `edgewise/inline`.
    inline: &'static str,
}

/// What every page loads, and what is loaded when first used; see `[features]` in `Cargo.toml`.
const MODULES: [Module; 2] = [
    Module {
        name: "edgewise",
        features: "face,split",
        rest: Some(["edgewise_rest.wasm", "inline-rest.js"]),
        inline: "inline.js",
    },
    Module { name: "edgewise_parts", features: "parts", rest: None, inline: "inline-parts.js" },
];

/// How the files of a module end.
const ENDINGS: [&str; 3] = [".js", ".d.ts", "_bg.wasm"];

/// What rustc enables for this target by default. Naming more would let wasm-opt use what some runtime refuses.
const WASM_FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// A standard library of our own build, without the code that words and prints panics. These options want a nightly
/// compiler or `RUSTC_BOOTSTRAP`; the pinned toolchain keeps what they mean from changing under us.
const SMALL_ARGS: [&str; 2] = ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"];

/// A panic is a trap and nothing else: no message, no place, no `Debug` text. The shell sees the trap and reports `crashed`.
const SMALL_RUSTFLAGS: [&str; 4] =
    ["-Zunstable-options", "-Cpanic=immediate-abort", "-Zlocation-detail=none", "-Zfmt-debug=none"];

/// What wasm-opt does. It inlines nothing: LLVM has decided that already, and copies of code compress badly (`-Oz` is
/// 3 % larger in brotli). Nor does it move code about, which saves bytes here and costs more of them compressed.
const WASM_OPT: [&str; 11] = [
    "-O2",
    "-ocimfs",
    "0",
    "-fimfs",
    "0",
    "-aimfs",
    "0",
    "--skip-pass=simplify-locals",
    "--skip-pass=code-pushing",
    "--skip-pass=merge-blocks",
    "--strip-target-features",
];

/// Builds the wasm and its glue into `pkg/wasm/`, skipping what is built already.
///
/// The dev build takes seconds: no optimiser, debug assertions and function names kept.
pub(crate) fn package(dev: bool) -> Outcome {
    check_versions()?;
    install_target()?;
    // The sources, not what cargo makes of them: both builds end in one file, so cargo would link each anew every time.
    let mut sources = site::files(&root().join("src"));
    sources.extend(["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"].map(|name| root().join(name)));
    sources.sort();
    let mut input = sources.iter().fold(Fingerprint::new(), |input, path| {
        input.add(path.strip_prefix(root()).unwrap_or(path).as_os_str().as_encoded_bytes()).file(path)
    });
    input = input.add(if dev { b"dev" } else { b"release" }).add(include_bytes!("build.rs"));
    if !dev {
        npm::install()?;
        for tool in ["binaryen", "esbuild"] {
            input = input.file(&npm::tests_dir().join("node_modules").join(tool).join("package.json"));
        }
    }
    let package = root().join("pkg/wasm");
    let outputs = MODULES.iter().flat_map(|module| {
        let files = ENDINGS.map(|ending| package.join([module.name, ending].concat()));
        files.into_iter().chain(module.rest.into_iter().flatten().chain([module.inline]).map(|name| package.join(name)))
    });
    let outputs = outputs.collect();
    let stamp = Stamp::new("pkg-wasm", input, outputs)?;
    if stamp.is_fresh() {
        say("pkg/wasm is up to date");
        return site::assemble();
    }

    fs::create_dir_all(&package).map_err(|error| format!("cannot create pkg/wasm: {error}"))?;
    for module in &MODULES {
        let mut compiled = compile(dev, module)?;
        if let Some([name, text]) = module.rest {
            let halves = split(&compiled)?;
            let rest = halves.join("split_rest.wasm");
            if !dev {
                optimise(&rest)?;
            }
            fs::copy(&rest, package.join(name)).map_err(|error| format!("cannot write pkg/wasm/{name}: {error}"))?;
            inline(&rest, &package.join(text))?;
            compiled = halves.join("edgewise.wasm");
        }
        let generated = generate(&compiled, module, dev)?;
        let wasm = generated.join("edgewise_bg.wasm");
        if !dev {
            optimise(&wasm)?;
            minify(&generated.join("edgewise.js"))?;
        }
        no_unknown_imports(&wasm)?;
        for ending in ENDINGS {
            let (from, to) = (generated.join(["edgewise", ending].concat()), [module.name, ending].concat());
            fs::copy(from, package.join(&to)).map_err(|error| format!("cannot write pkg/wasm/{to}: {error}"))?;
        }
        inline(&wasm, &package.join(module.inline))?;
    }
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let from = root().join(name);
        fs::copy(&from, root().join("pkg").join(name)).map_err(|error| format!("cannot copy {name}: {error}"))?;
    }
    stamp.write()?;
    site::assemble()
}

/// Writes the wasm once more as a module with its bytes in base64, for `edgewise/inline`.
fn inline(wasm: &Path, to: &Path) -> Outcome {
    let write = |bytes: Vec<u8>| fs::write(to, format!("export default \"{}\";\n", base64(&bytes)));
    fs::read(wasm).and_then(write).map_err(|error| format!("cannot write {}: {error}", to.display()))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= group.len() { DIGITS[value as usize] as char } else { '=' });
        }
    }
    text
}

/// Adds the wasm target to the toolchain when its standard library is not there.
pub(crate) fn install_target() -> Outcome {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let dir = output(Command::new(rustc).current_dir(root()).args(["--print", "target-libdir", "--target", TARGET]))?;
    if Path::new(dir.trim()).exists() {
        return Ok(());
    }
    timed("adding the target wasm32-unknown-unknown", || {
        run(Command::new("rustup").current_dir(root()).args(["target", "add", TARGET]))
    })
}

/// Builds the `bindgen` binary when needed and returns its path.
pub(crate) fn bindgen() -> Outcome<PathBuf> {
    let path = target_dir().join("debug").join(format!("bindgen{}", env::consts::EXE_SUFFIX));
    let note = if path.exists() { "" } else { " (the first time takes a minute or two)" };
    timed(&format!("wasm-bindgen{note}"), || {
        let args = ["build", "--quiet", "--package", "xtask", "--features", "bindgen", "--bin", "bindgen"];
        run(&mut cargo(&args))
    })?;
    Ok(path)
}

/// Compiles a module and returns a copy of the wasm, since both builds end in one place.
fn compile(dev: bool, module: &Module) -> Outcome<PathBuf> {
    let mut command = cargo(&["rustc", "--package", "edgewise", "--lib", "--target", TARGET]);
    command.args(["--no-default-features", "--features", module.features]);
    if !dev {
        let mut flags = remapped_paths();
        command.arg("--release");
        if let Some(library) = standard_library() {
            flags.push(format!("--remap-path-prefix={}/=", library.display()));
            flags.extend(SMALL_RUSTFLAGS.map(str::to_owned));
            command.args(SMALL_ARGS).env("RUSTC_BOOTSTRAP", "1");
        }
        command.arg("--config").arg(format!("target.{TARGET}.rustflags={flags:?}"));
    }
    if module.rest.is_some() {
        // Who asks for what, which decides where it goes.
        command.args(["--", "-Clink-arg=--emit-relocs"]);
    }
    timed(&format!("compiling {} for wasm32", module.name), || run(&mut command))?;
    let profile = if dev { "debug" } else { "release" };
    let built = target_dir().join(TARGET).join(profile).join("edgewise.wasm");
    let folder = scratch_dir()?.join("compiled").join(module.name);
    let copy = folder.join("edgewise.wasm");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::copy(&built, &copy))
        .map_err(|error| format!("cannot copy {}: {error}", built.display()))?;
    Ok(copy)
}

/// The sources of the standard library, installed when they are not there.
fn standard_library() -> Option<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = output(Command::new(rustc).current_dir(root()).args(["--print", "sysroot"])).ok()?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
    if !library.join("Cargo.lock").exists() {
        let mut command = Command::new("rustup");
        command.current_dir(root()).args(["component", "add", "rust-src"]);
        let _ = timed("adding the component rust-src", || run(&mut command));
    }
    if library.join("Cargo.lock").exists() {
        return Some(library);
    }
    say(
        "no rust-src: the standard library is taken as it comes, and the wasm is a quarter larger than what is released",
    );
    None
}

/// Compiler flags that cut the builder's folders from the file names in panic messages: smaller, and the same bytes
/// wherever the package is built.
fn remapped_paths() -> Vec<String> {
    let home = env::var("CARGO_HOME").map(PathBuf::from).ok();
    let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mut flags = vec![format!("--remap-path-prefix={}/=", root().display())];
    let registries = home.and_then(|home| fs::read_dir(home.join("registry/src")).ok());
    for registry in registries.into_iter().flatten().flatten() {
        flags.push(format!("--remap-path-prefix={}/=", registry.path().display()));
    }
    flags
}

/// Splits what is marked to be loaded when first wanted off a wasm; returns the folder of both halves.
fn split(wasm: &Path) -> Outcome<PathBuf> {
    let out = scratch_dir()?.join("split").join("halves");
    let _ = fs::remove_dir_all(&out);
    let mut command = Command::new(bindgen()?);
    // Relative to the glue: what the core asks for the other half.
    command.current_dir(root()).arg("split").arg(wasm).arg("../rest.js").arg(&out);
    timed("splitting", || run(&mut command))?;
    Ok(out)
}

fn generate(wasm: &Path, module: &Module, dev: bool) -> Outcome<PathBuf> {
    let out = scratch_dir()?.join("generated").join(module.name);
    let _ = fs::remove_dir_all(&out);
    let mut command = Command::new(bindgen()?);
    command.current_dir(root()).arg("generate").arg(wasm).arg("--out-dir").arg(&out);
    // The package's entries find the wasm themselves, and make a new instance after a panic.
    command.args(["--target", "web", "--omit-default-module-path", "--experimental-reset-state-function"]);
    if module.rest.is_some() {
        // The other half calls through the table of functions.
        command.arg("--keep-lld-exports");
    }
    command.args(if dev { &["--debug"][..] } else { &["--remove-producers-section"] });
    timed("generating bindings", || run(&mut command))?;
    Ok(out)
}

fn optimise(wasm: &Path) -> Outcome {
    let optimised = wasm.with_file_name("optimised.wasm");
    let mut wasm_opt = npm::script("binaryen/bin/wasm-opt")?;
    wasm_opt.args(WASM_OPT).args(WASM_FEATURES);
    wasm_opt.arg(wasm).arg("-o").arg(&optimised);
    timed("optimising with wasm-opt", || run(&mut wasm_opt))?;
    fs::rename(&optimised, wasm).map_err(|error| format!("cannot replace {}: {error}", wasm.display()))
}

fn minify(glue: &Path) -> Outcome {
    let mut esbuild = npm::script("esbuild/bin/esbuild")?;
    esbuild.arg(glue).args(["--minify", "--format=esm", "--target=es2022", "--log-level=warning", "--allow-overwrite"]);
    esbuild.arg(format!("--outfile={}", glue.display()));
    run(&mut esbuild)
}

/// A module named `env` is what C code and a stray `extern` block import from; no JavaScript host has it.
fn no_unknown_imports(wasm: &Path) -> Outcome {
    let bytes = fs::read(wasm).map_err(|error| format!("cannot read {}: {error}", wasm.display()))?;
    match imported_modules(&bytes)?.iter().find(|module| module.as_str() == "env") {
        Some(module) => Err(format!("the wasm imports from \"{module}\", which no JavaScript host provides")),
        None => Ok(()),
    }
}

/// wasm-bindgen and the command line that reads its private format must be of one version.
fn check_versions() -> Outcome {
    let path = root().join("Cargo.lock");
    let lock = fs::read_to_string(&path).map_err(|error| format!("cannot read Cargo.lock: {error}"))?;
    let of = |name| locked_version(&lock, name).ok_or(format!("Cargo.lock has no {name}"));
    let (library, tool) = (of("wasm-bindgen")?, of("wasm-bindgen-cli-support")?);
    if library == tool {
        return Ok(());
    }
    Err(format!(
        "wasm-bindgen is {library} but wasm-bindgen-cli-support is {tool}: \
         pin both to one version in Cargo.toml and xtask/Cargo.toml"
    ))
}

fn locked_version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let entry = lock.split_once(&format!("\nname = \"{name}\"\nversion = \""))?.1;
    Some(entry.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::{base64, locked_version};

    #[test]
    fn base64_of_every_length() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(texts, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn versions_in_a_lockfile() {
        let lock = "[[package]]\nname = \"wasm-bindgen-cli\"\nversion = \"9.9.9\"\n\n[[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(locked_version(lock, "wasm-bindgen"), Some("0.2.130"));
        assert_eq!(locked_version(lock, "wasm"), None);
    }
}
