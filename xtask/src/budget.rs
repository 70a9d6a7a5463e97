//! What a page loads, in bytes, against `size-budget.txt`.

use std::fs;
use std::process::Command;

use crate::build;
use crate::npm;
use crate::run::{Outcome, output, root};

/// Bytes as they are, and compressed as a server would send them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    raw: u64,
    gzip: u64,
    brotli: u64,
}

/// Builds, measures, prints one line per file and per budget, and fails when one has grown past its budget.
pub(crate) fn report() -> Outcome {
    build::package(false)?;
    let text = output(Command::new(npm::node()?).current_dir(root()).arg("xtask/js/size.mjs"))?;
    let path = root().join("size-budget.txt");
    let budget = fs::read_to_string(&path).map_err(|error| format!("cannot read size-budget.txt: {error}"))?;
    let budget = table(&budget)?;
    let files = table(&text)?;

    println!("{:<28} {:>9} {:>9} {:>9}", "bytes", "raw", "gzip", "brotli");
    for (name, size) in &files {
        print_row(name, size);
    }
    let sums = ["js", "wasm", "total", "loose", "rest", "parts"].map(|kind| {
        let members = files.iter().filter(|(name, _)| is_part(name, kind));
        let sum = members.fold(Size::default(), |sum, (_, size)| Size {
            raw: sum.raw + size.raw,
            gzip: sum.gzip + size.gzip,
            brotli: sum.brotli + size.brotli,
        });
        print_row(kind, &sum);
        (kind.to_owned(), sum)
    });
    let faults = compare(&sums, &budget);
    if faults.is_empty() {
        println!("within size-budget.txt");
        return Ok(());
    }
    Err(format!("{}\nmake it smaller, or raise size-budget.txt and say why", faults.join("\n")))
}

/// Whether a file counts for that sum: a page loads its bundle and the first wasm, and when it first needs them, the rest of
/// the core and the parts.
/// `loose` are the scripts of a page without a bundler, in place of the bundle.
fn is_part(name: &str, kind: &str) -> bool {
    let (wasm, bundle) = (name.ends_with(".wasm"), name == "app.js");
    let (rest, parts) = (name.contains("_rest"), name.contains("_parts"));
    let later = rest || parts;
    match kind {
        "js" => bundle,
        "wasm" => wasm && !later,
        "loose" => !wasm && !later && !bundle,
        "rest" => rest,
        "parts" => parts,
        _ => bundle || wasm && !later,
    }
}

fn print_row(name: &str, size: &Size) {
    println!("{name:<28} {:>9} {:>9} {:>9}", size.raw, size.gzip, size.brotli);
}

/// Reads lines of `name raw gzip brotli`; `#` starts a comment.
fn table(text: &str) -> Outcome<Vec<(String, Size)>> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.replace('_', "").parse::<u64>().ok());
        match (fields.len(), number(1), number(2), number(3)) {
            (0, ..) => {}
            (4, Some(raw), Some(gzip), Some(brotli)) => rows.push((fields[0].to_owned(), Size { raw, gzip, brotli })),
            _ => return Err(format!("expected `name raw gzip brotli`, got `{line}`")),
        }
    }
    Ok(rows)
}

fn compare(sums: &[(String, Size)], budget: &[(String, Size)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, size) in sums {
        let Some((_, allowed)) = budget.iter().find(|(allowed, _)| allowed == name) else {
            faults.push(format!("size-budget.txt has no line for {name}"));
            continue;
        };
        for (how, is, may) in
            [("raw", size.raw, allowed.raw), ("gzip", size.gzip, allowed.gzip), ("brotli", size.brotli, allowed.brotli)]
        {
            if is > may {
                faults.push(format!("{name} {how}: {is} bytes, {} more than the budget of {may}", is - may));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{compare, is_part, table};

    #[test]
    fn growth_past_the_budget_is_a_fault() {
        let budget = table("# what\n\nwasm 1_000 500 400 # why\njs 100 50 40\n").unwrap();
        let faults = |text: &str| compare(&table(text).unwrap(), &budget);
        assert!(faults("wasm 1000 500 400\njs 1 1 1").is_empty());
        assert_eq!(faults("wasm 1000 507 400"), ["wasm gzip: 507 bytes, 7 more than the budget of 500"]);
        assert_eq!(faults("css 1 1 1"), ["size-budget.txt has no line for css"]);
        assert_eq!(faults("wasm 1001 501 401").len(), 3);
    }

    #[test]
    fn a_page_loads_the_rest_and_the_parts_apart() {
        let of = |kind| {
            ["app.js", "browser.js", "wasm/edgewise_bg.wasm", "wasm/edgewise_rest.wasm", "wasm/edgewise_parts_bg.wasm"]
                .map(|name| is_part(name, kind))
        };
        assert_eq!(of("js"), [true, false, false, false, false]);
        assert_eq!(of("loose"), [false, true, false, false, false]);
        assert_eq!(of("wasm"), [false, false, true, false, false]);
        assert_eq!(of("total"), [true, false, true, false, false]);
        assert_eq!(of("rest"), [false, false, false, true, false]);
        assert_eq!(of("parts"), [false, false, false, false, true]);
    }

    #[test]
    fn a_malformed_budget_is_refused() {
        assert!(table("wasm 1 2").is_err());
        assert!(table("wasm 1 2 many").is_err());
        assert!(table("wasm 1 2 3 4").is_err());
    }
}
