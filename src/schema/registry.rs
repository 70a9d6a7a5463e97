//! Which schema a reference means: resources by URI, anchors, JSON pointers. Nothing is ever fetched.

use serde_json::Value;

/// A schema with a URI of its own, and its anchors.
#[derive(Debug)]
pub(super) struct Resource<'a> {
    pub(super) uri: String,
    /// Where it was found, which may be another.
    place: String,
    pub(super) root: &'a Value,
    /// Name, schema, and whether references may be redirected to it.
    anchors: Vec<(&'a str, &'a Value, bool)>,
}

/// Every schema that can be referred to.
#[derive(Debug, Default)]
pub(super) struct Registry<'a> {
    resources: Vec<Resource<'a>>,
}

/// Keywords whose value is a schema.
pub(super) const SINGLE: [&str; 12] = [
    "additionalProperties",
    "additionalItems",
    "items",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Keywords whose value is an array of schemas.
pub(super) const ARRAYS: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
/// Keywords whose value is an object of schemas.
pub(super) const MAPS: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];

/// Shows every schema that stands in another one, without its own resource's border being minded.
pub(super) fn below<'a>(schema: &'a Value, show: &mut dyn FnMut(&'a Value)) {
    let Some(fields) = schema.as_object() else { return };
    for (key, value) in fields {
        let key = key.as_str();
        match value {
            Value::Array(items) if ARRAYS.contains(&key) => items.iter().for_each(&mut *show),
            Value::Object(map) if MAPS.contains(&key) => map.values().for_each(&mut *show),
            Value::Object(_) if SINGLE.contains(&key) => show(value),
            _ => {}
        }
    }
}

impl<'a> Registry<'a> {
    /// Adds a document and everything in it; gives the number of its resource.
    pub(super) fn add(&mut self, uri: &str, document: &'a Value) -> usize {
        let place = uri.to_owned();
        let uri = match document.get("$id").and_then(Value::as_str) {
            Some(id) => without_fragment(&resolve(uri, id)),
            None => uri.to_owned(),
        };
        self.resources.push(Resource { uri, place, root: document, anchors: Vec::new() });
        let number = self.resources.len() - 1;
        self.walk(document, number);
        number
    }

    fn walk(&mut self, schema: &'a Value, resource: usize) {
        for (keyword, redirects) in [("$anchor", false), ("$dynamicAnchor", true)] {
            if let Some(name) = schema.get(keyword).and_then(Value::as_str) {
                self.resources[resource].anchors.push((name, schema, redirects));
            }
        }
        let mut children = Vec::new();
        below(schema, &mut |child| children.push(child));
        for child in children {
            match child.get("$id").and_then(Value::as_str) {
                // An old way to write an anchor.
                Some(id) if id.starts_with('#') => {
                    if let Some(name) = id.get(1..) {
                        self.resources[resource].anchors.push((name, child, false));
                    }
                    self.walk(child, resource);
                }
                Some(_) => {
                    let uri = self.resources[resource].uri.clone();
                    self.add(&uri, child);
                }
                None => self.walk(child, resource),
            }
        }
    }

    /// The resource that a schema is the root of, when it has an id of its own.
    pub(super) fn own(&self, schema: &Value) -> Option<usize> {
        self.resources.iter().position(|resource| std::ptr::eq(resource.root, schema))
    }

    /// The schema that a reference means, and the resource it lies in.
    pub(super) fn find(&self, from: usize, reference: &str) -> Option<(usize, &'a Value)> {
        let target = resolve(&self.resources[from].uri, reference);
        let (uri, fragment) = target.split_once('#').unwrap_or((&target, ""));
        let number = match reference.starts_with('#') || reference.is_empty() {
            true => from,
            false => {
                self.resources.iter().position(|known| known.uri == uri || (known.place == uri && !uri.is_empty()))?
            }
        };
        let fragment = percent_decoded(fragment)?;
        if fragment.is_empty() {
            return Some((number, self.resources[number].root));
        }
        if !fragment.starts_with('/') {
            let anchors = &self.resources[number].anchors;
            return anchors.iter().find(|(name, ..)| *name == fragment).map(|(_, schema, _)| (number, *schema));
        }
        let (mut schema, mut number) = (self.resources[number].root, number);
        for step in fragment[1..].split('/') {
            let step = step.replace("~1", "/").replace("~0", "~");
            schema = match schema {
                Value::Object(fields) => fields.get(&step)?,
                Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
                _ => return None,
            };
            number = self.own(schema).unwrap_or(number);
        }
        Some((number, schema))
    }

    /// The schema of that dynamic anchor in a resource.
    pub(super) fn dynamic(&self, resource: usize, name: &str) -> Option<&'a Value> {
        let anchors = &self.resources[resource].anchors;
        anchors.iter().find(|(known, _, redirects)| *redirects && *known == name).map(|(_, schema, _)| *schema)
    }
}

fn without_fragment(uri: &str) -> String {
    uri.split('#').next().unwrap_or_default().to_owned()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(rest.get(..2)?).ok()?, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Resolves a reference against a base ([RFC 3986, section 5.2](https://www.rfc-editor.org/rfc/rfc3986#section-5.2)).
fn resolve(base: &str, reference: &str) -> String {
    let base = base.split('#').next().unwrap_or_default();
    if reference.is_empty() || reference.starts_with('#') {
        return [base, reference].concat();
    }
    if scheme(reference).is_some() {
        return reference.to_owned();
    }
    let start = scheme(base).map_or(0, |scheme| scheme.len() + 1);
    if reference.starts_with("//") {
        return [&base[..start], reference].concat();
    }
    let authority = match base[start..].strip_prefix("//") {
        Some(rest) => start + 2 + rest.find(['/', '?']).unwrap_or(rest.len()),
        None => start,
    };
    let path = base[authority..].split('?').next().unwrap_or_default();
    let (wanted, tail) = reference.split_at(reference.find(['?', '#']).unwrap_or(reference.len()));
    let joined = if wanted.is_empty() {
        path.to_owned()
    } else if wanted.starts_with('/') {
        wanted.to_owned()
    } else {
        let folder = path.rfind('/').map_or("", |end| &path[..=end]);
        let root = if folder.is_empty() && authority > start { "/" } else { folder };
        [root, wanted].concat()
    };
    [&base[..authority], &without_dots(&joined), tail].concat()
}

fn scheme(uri: &str) -> Option<&str> {
    let (scheme, _) = uri.split_once(':')?;
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(good)).then_some(scheme)
}

fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut steps = path.split('/').peekable();
    while let Some(step) = steps.next() {
        let last = steps.peek().is_none();
        match step {
            "." | ".." => {
                // The first piece is empty where the path begins with a slash.
                if step == ".." && kept.len() > 1 {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            step => kept.push(step),
        }
    }
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_resolve_as_the_rfc_says() {
        let base = "http://a/b/c/d;p?q";
        for (reference, target) in [
            ("g", "http://a/b/c/g"),
            ("./g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g#s", "http://a/b/c/g#s"),
            ("", "http://a/b/c/d;p?q"),
            ("..", "http://a/b/"),
            ("../../../g", "http://a/g"),
            ("urn:x:y", "urn:x:y"),
            ("#f", "http://a/b/c/d;p?q#f"),
        ] {
            assert_eq!(resolve(base, reference), target, "{reference}");
        }
        assert_eq!(resolve("", "item.json"), "item.json");
        assert_eq!(resolve("http://a", "b"), "http://a/b");
        assert_eq!(resolve("urn:uuid:1", "#x"), "urn:uuid:1#x");
    }
}
