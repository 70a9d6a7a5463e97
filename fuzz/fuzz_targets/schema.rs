//! A schema and a value, both hostile: the check ends soon, tells what is wrong in few words, and says the same twice.
#![no_main]

use edgewise::schema::{Outcome, answer, check, read, request};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

// The schema, a NUL, the value.
fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let mut part = || serde_json::from_slice::<Value>(parts.next()?).ok();
    let (Some(schema), Some(value)) = (part(), part()) else { return };
    let outcome = check(&schema, &value, &[]);
    assert!(outcome.problems.len() <= 11 && outcome.unsure.len() <= 12);
    assert_eq!(read(&answer(&request(&schema, &value)).expect("JSON")), outcome);
    match &schema {
        Value::Bool(true) => assert_eq!(outcome, Outcome::default()),
        Value::Bool(false) => assert!(!outcome.problems.is_empty()),
        // The schema of one value takes that value.
        _ => {
            let only = serde_json::json!({ "const": value });
            assert_eq!(check(&only, &value, &[]), Outcome::default());
        }
    }
});
