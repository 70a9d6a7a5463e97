//! The shape of a JSON value in a line: `{ items: [1200 × { id: number, title?: string }], next: string | null }`.

use serde_json::Value;

/// Elements of an array that are looked at.
const SAMPLES: usize = 40;
/// Members of an object that are named.
const NAMED: usize = 30;
/// Levels that are told.
const DEEPEST: usize = 5;
/// Most bytes of a shape.
const LONGEST: usize = 1500;

/// What was seen at one place.
#[derive(Default)]
struct Shape {
    /// Of leaves: null, boolean, number, string.
    leaves: [bool; 4],
    /// Elements of the longest array, and what they are like.
    items: Option<(usize, Box<Shape>)>,
    /// How many objects there were.
    objects: usize,
    /// Their members, and in how many of them each was seen.
    members: Vec<(String, usize, Shape)>,
    /// Members that are not named.
    more: usize,
}

impl Shape {
    fn see(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Null => self.leaves[0] = true,
            Value::Bool(_) => self.leaves[1] = true,
            Value::Number(_) => self.leaves[2] = true,
            Value::String(_) => self.leaves[3] = true,
            Value::Array(items) => {
                let (longest, shape) = self.items.get_or_insert_with(Default::default);
                *longest = items.len().max(*longest);
                if depth < DEEPEST {
                    items.iter().take(SAMPLES).for_each(|item| shape.see(item, depth + 1));
                }
            }
            Value::Object(fields) => {
                self.objects += 1;
                for (name, field) in fields {
                    let place = self.members.iter().position(|(known, ..)| known == name);
                    let place = match place {
                        Some(place) => place,
                        None if self.members.len() < NAMED => {
                            self.members.push((name.clone(), 0, Shape::default()));
                            self.members.len() - 1
                        }
                        None => {
                            self.more += 1;
                            continue;
                        }
                    };
                    let (_, seen, shape) = &mut self.members[place];
                    *seen += 1;
                    if depth < DEEPEST {
                        shape.see(field, depth + 1);
                    }
                }
            }
        }
    }

    fn write(&self, out: &mut String) {
        let start = out.len();
        let next = |out: &mut String| {
            if out.len() > start {
                out.push_str(" | ");
            }
        };
        if let Some((count, shape)) = &self.items {
            out.push('[');
            out.push_str(&count.to_string());
            let before = out.len();
            out.push_str(" × ");
            shape.write(out);
            if out.ends_with(" × ") {
                out.truncate(before);
            }
            out.push(']');
        }
        if self.objects > 0 {
            next(out);
            out.push_str("{ ");
            for (at, (name, seen, shape)) in self.members.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                out.push_str(name);
                if *seen < self.objects {
                    out.push('?');
                }
                let before = out.len();
                out.push_str(": ");
                shape.write(out);
                if out.ends_with(": ") {
                    out.truncate(before);
                }
            }
            if self.more > 0 {
                out.push_str(", and more");
            }
            out.push_str(" }");
        }
        for (seen, name) in self.leaves.iter().zip(["null", "boolean", "number", "string"]) {
            if *seen {
                next(out);
                out.push_str(name);
            }
        }
    }
}

/// The shape of a value. `[n × ...]` is an array of at most so many, `?` follows what not all of them have; what is deeper or
/// longer than anybody would read is left out.
pub(super) fn of(value: &Value) -> String {
    let mut shape = Shape::default();
    shape.see(value, 0);
    let mut out = String::new();
    shape.write(&mut out);
    if out.len() > LONGEST {
        out.truncate(out.floor_char_boundary(LONGEST));
        out.push('…');
    }
    out
}
