//! The official JSON-Schema-Test-Suite, required tests of 2020-12, and the cases of it that are not passed.
//!
//! The data is that of <https://github.com/json-schema-org/JSON-Schema-Test-Suite>, see `tests/data/json-schema/README.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use edgewise::schema::{check, plainly_fits};
use serde_json::Value;

/// `file: group: test`, and why.
const NOT_PASSED: &[(&str, &str)] = &[
    ("defs: validate definition against metaschema: invalid definition schema", META),
    ("ref: remote ref, containing refs itself: remote ref invalid", META),
    (
        "vocabulary: schema that uses custom metaschema with with no validation vocabulary: no validation: invalid number, but it still validates",
        "vocabularies of a schema's own are not read",
    ),
];

const META: &str =
    "the meta-schema is not built in: no tool takes a schema as its input that a model could write wrong";

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/json-schema")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn the_official_suite_is_passed_but_for_what_is_listed() {
    let remotes = data().join("remotes");
    let documents: Vec<(String, Value)> = files(&remotes)
        .iter()
        .map(|path| {
            let place = path.strip_prefix(&remotes).unwrap().to_str().unwrap().replace('\\', "/");
            (format!("http://localhost:1234/{place}"), json(path))
        })
        .collect();
    let documents: Vec<(&str, &Value)> = documents.iter().map(|(uri, document)| (uri.as_str(), document)).collect();
    let (mut count, mut failed) = (0, BTreeSet::new());
    let (mut valid, mut plain) = (0, 0);
    for path in files(&data().join("draft2020-12")) {
        let file = path.file_stem().unwrap().to_str().unwrap();
        for group in json(&path).as_array().unwrap() {
            for test in group["tests"].as_array().unwrap() {
                count += 1;
                valid += u32::from(test["valid"] == true);
                if plainly_fits(&group["schema"], &test["data"]) {
                    plain += 1;
                    assert_eq!(
                        test["valid"], true,
                        "{file}: {}: {} plainly fits",
                        group["description"], test["description"]
                    );
                }
                let outcome = check(&group["schema"], &test["data"], &documents);
                if outcome.problems.is_empty() != test["valid"].as_bool().unwrap() {
                    let text = |value: &Value| value.as_str().unwrap().to_owned();
                    failed.insert(format!("{file}: {}: {}", text(&group["description"]), text(&test["description"])));
                }
            }
        }
    }
    println!("{} of {count} required tests of 2020-12 passed", count - failed.len());
    println!("{plain} of {valid} valid values plainly fit");
    assert!(plain > valid / 4, "{plain} of {valid}");
    assert!(count >= 1299, "{count} tests: some are missing");
    let listed: BTreeSet<String> = NOT_PASSED.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(failed, listed);
}
