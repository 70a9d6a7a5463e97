//! Canonical JSON: equal values have one text ([RFC 8785]).
//!
//! One deviation: whole numbers that a `u64` or `i64` holds are written with all their digits, also beyond 2^53, where the
//! RFC rounds them. Two calls that differ in such a number are two calls.
//!
//! [RFC 8785]: https://www.rfc-editor.org/rfc/rfc8785

use serde_json::{Map, Number, Value};

/// The members of an object as canonical JSON text.
pub fn canonical(object: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_object(object, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => write_object(fields, out),
        Value::Number(number) => write_number(number, out),
        leaf => out.push_str(&crate::json::text(leaf)),
    }
}

fn write_object(fields: &Map<String, Value>, out: &mut String) {
    let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
    sorted.sort_by(|one, other| one.0.encode_utf16().cmp(other.0.encode_utf16()));
    out.push('{');
    for (at, (name, value)) in sorted.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&crate::json::text(&Value::from(name.as_str())));
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

/// A number as ECMAScript writes it ([RFC 8785, 3.2.2.3]), from the shortest digits that mean it.
///
/// [RFC 8785, 3.2.2.3]: https://www.rfc-editor.org/rfc/rfc8785#section-3.2.2.3
fn write_number(number: &Number, out: &mut String) {
    let text = crate::json::text(&Value::Number(number.clone()));
    if !number.is_f64() {
        out.push_str(&text);
        return;
    }
    let (text, negative) = text.strip_prefix('-').map_or((&*text, false), |text| (text, true));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let leading = all.len() - all.trim_start_matches('0').len();
    let digits = all.trim_matches('0');
    if digits.is_empty() {
        out.push('0');
        return;
    }
    // The number is 0.DIGITS times ten to the power of `point`.
    let point = whole.len() as i64 - leading as i64 + exponent.parse::<i64>().unwrap_or(0);
    let count = digits.len() as i64;
    if negative {
        out.push('-');
    }
    let zeros = |out: &mut String, count: i64| (0..count).for_each(|_| out.push('0'));
    if count <= point && point <= 21 {
        out.push_str(digits);
        zeros(out, point - count);
    } else if 0 < point && point <= 21 {
        let (before, after) = digits.split_at(point as usize);
        [before, ".", after].iter().for_each(|part| out.push_str(part));
    } else if -6 < point && point <= 0 {
        out.push_str("0.");
        zeros(out, -point);
        out.push_str(digits);
    } else {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        out.push_str(if point > 0 { "e+" } else { "e-" });
        out.push_str(&(point - 1).unsigned_abs().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Rng;
    use serde_json::json;

    fn number(float: f64) -> String {
        canonical(json!({ "n": float }).as_object().unwrap())[5..].trim_end_matches('}').to_owned()
    }

    /// The samples of RFC 8785, appendix B.
    #[test]
    fn numbers_are_written_as_ecmascript_writes_them() {
        for (bits, expected) in [
            (0x0000000000000000_u64, "0"),
            (0x8000000000000000, "0"),
            (0x0000000000000001, "5e-324"),
            (0x8000000000000001, "-5e-324"),
            (0x7fefffffffffffff, "1.7976931348623157e+308"),
            (0xffefffffffffffff, "-1.7976931348623157e+308"),
            (0x4340000000000000, "9007199254740992"),
            (0xc340000000000000, "-9007199254740992"),
            (0x4430000000000000, "295147905179352830000"),
            (0x44b52d02c7e14af5, "9.999999999999997e+22"),
            (0x44b52d02c7e14af6, "1e+23"),
            (0x44b52d02c7e14af7, "1.0000000000000001e+23"),
            (0x444b1ae4d6e2ef4e, "999999999999999700000"),
            (0x444b1ae4d6e2ef4f, "999999999999999900000"),
            (0x444b1ae4d6e2ef50, "1e+21"),
            (0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"),
            (0x3eb0c6f7a0b5ed8d, "0.000001"),
            (0x41b3de4355555553, "333333333.3333332"),
            (0x41b3de4355555554, "333333333.33333325"),
            (0x41b3de4355555555, "333333333.3333333"),
            (0x41b3de4355555556, "333333333.3333334"),
            (0x41b3de4355555557, "333333333.33333343"),
            (0xbecbf647612f3696, "-0.0000033333333333333333"),
            (0x43143ff3c1cb0959, "1424953923781206.2"),
        ] {
            assert_eq!(number(f64::from_bits(bits)), expected, "{bits:x}");
        }
        assert_eq!(number(1.0), "1");
        assert_eq!(
            canonical(json!({ "n": u64::MAX, "m": i64::MIN }).as_object().unwrap()),
            format!("{{\"m\":{},\"n\":{}}}", i64::MIN, u64::MAX)
        );
    }

    /// The example of RFC 8785, 3.2.3.
    #[test]
    fn members_are_in_the_order_of_their_utf16() {
        let value = json!({
            "\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7, "</script>": 8
        });
        let expected = "{\"\\r\":2,\"1\":4,\"</script>\":8,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
        assert_eq!(canonical(value.as_object().unwrap()), expected);
    }

    fn any(rng: &mut Rng, depth: u64) -> Value {
        match rng.within(0..=if depth == 0 { 5 } else { 7 }) {
            0 => Value::Null,
            1 => Value::Bool(rng.chance(500)),
            // Not any float: what reads it back here is not exact in the last digit.
            2 => match rng.chance(500) {
                true => json!(rng.within(0..=999_999) as f64 * 1e18),
                false => json!(rng.within(0..=999_999) as f64 / -1e12),
            },
            3 => json!(rng.next_u64() as i64 >> rng.within(0..=63)),
            4 => json!(rng.within(0..=1_000_000) as f64 / 64.0),
            5 => text(rng).into(),
            6 => (0..rng.within(0..=3)).map(|_| any(rng, depth - 1)).collect(),
            _ => Value::Object((0..rng.within(0..=4)).map(|_| (text(rng), any(rng, depth - 1))).collect()),
        }
    }

    fn text(rng: &mut Rng) -> String {
        let chars = ['a', 'b', '"', '\\', '\n', '\u{1}', '\u{e9}', '\u{ffff}', '\u{10000}', ',', ':', '{'];
        (0..rng.within(0..=3)).map(|_| chars[rng.within(0..=11) as usize]).collect()
    }

    /// The same with the members in another order, and whole numbers as floats.
    fn otherwise(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(otherwise).collect(),
            Value::Object(fields) => {
                Value::Object(fields.iter().rev().map(|(name, value)| (name.clone(), otherwise(value))).collect())
            }
            Value::Number(number) if number.as_i64().is_some_and(|whole| whole.unsigned_abs() < 1 << 53) => {
                json!(number.as_f64())
            }
            value => value.clone(),
        }
    }

    #[test]
    fn equal_values_have_one_text_and_others_have_others() {
        let mut rng = Rng::new(8785);
        let mut seen: Vec<(String, Value)> = Vec::new();
        for _ in 0..3_000 {
            let value = Value::Object([("v".to_owned(), any(&mut rng, 3))].into_iter().collect());
            let object = value.as_object().unwrap();
            let written = canonical(object);
            assert_eq!(written, canonical(otherwise(&value).as_object().unwrap()), "{value}");
            // It is JSON, means the same, and is its own canonical text.
            let back: Value = serde_json::from_str(&written).unwrap();
            assert_eq!(canonical(back.as_object().unwrap()), written, "{value}");
            let same =
                |one: &Value, other: &Value| crate::json::text(&otherwise(one)) == crate::json::text(&otherwise(other));
            for (text, other) in seen.iter().filter(|(text, _)| *text == written).take(3) {
                let (mut one, mut two) = (Vec::new(), Vec::new());
                crate::json::canonical(other, &mut one);
                crate::json::canonical(&value, &mut two);
                assert!(same(other, &value) || one == two, "{text} stands for {other} and {value}");
            }
            seen.push((written, value));
        }
    }
}
