//! The resources and resource templates of all servers, as far as choosing among them needs.

use serde_json::Value;

use super::embed::Vector;
use super::library::{Document, Library};
use super::sheet::Prepared;

/// A resource or a resource template ([MCP 2026-07-28, Resources, "Resource"]).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// Its URI, or the template of it.
    pub uri: String,
    /// What people call it.
    pub name: String,
    /// Its MIME type, if the server says.
    pub mime: Option<String>,
    /// Its size in bytes, if the server says.
    pub size: Option<u64>,
    /// When it last changed, as the server says.
    pub modified: Option<String>,
    /// The server says that it is required (`priority` 1).
    pub required: bool,
    /// It is meant for people alone (`audience`).
    pub hidden: bool,
    /// It is a template.
    pub template: bool,
}

impl Item {
    /// Reads an element of a list, with what it is about; `None` for what has no URI.
    pub fn read(value: &Value) -> Option<(Item, Document)> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let template = text("uriTemplate");
        let uri = template.or(text("uri"))?;
        let annotations = value.get("annotations");
        let annotation = |name: &str| annotations.and_then(|annotations| annotations.get(name));
        let audience = annotation("audience").and_then(Value::as_array);
        let name = text("title").or(text("name")).unwrap_or(uri);
        let item = Item {
            uri: uri.to_owned(),
            name: name.to_owned(),
            mime: text("mimeType").map(str::to_owned),
            size: value.get("size").and_then(Value::as_u64),
            modified: annotation("lastModified").and_then(Value::as_str).map(str::to_owned),
            required: annotation("priority").and_then(Value::as_f64).is_some_and(|priority| priority >= 1.0),
            hidden: audience
                .is_some_and(|audience| !audience.is_empty() && !audience.contains(&Value::from("assistant"))),
            template: template.is_some(),
        };
        let other = text("name").filter(|other| *other != name).unwrap_or("");
        // What all URIs of a server begin with tells nothing, and words that all have count for nothing.
        let place = if uri == name { "" } else { uri };
        let document = Document {
            name: [name, " ", other].concat().trim_end().to_owned(),
            text: [text("description").unwrap_or(""), " ", place].concat().trim().to_owned(),
        };
        Some((item, document))
    }
}

/// A list of one server.
#[derive(Debug)]
struct List {
    name: String,
    version: String,
    items: Vec<Item>,
}

/// The lists of all servers, ranked together.
#[derive(Debug, Default)]
pub struct Shelf {
    library: Library,
    lists: Vec<List>,
}

impl Shelf {
    /// The version of a list that is here.
    pub fn version(&self, list: &str) -> Option<&str> {
        self.lists.iter().find(|known| known.name == list).map(|list| list.version.as_str())
    }

    /// Everything there is to be ranked.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// The items of a list.
    pub fn items(&self, list: &str) -> &[Item] {
        self.lists.iter().find(|known| known.name == list).map_or(&[], |list| &list.items)
    }

    /// Puts a list in the place of its older version; see [`Library::set_prepared`].
    pub fn set<'a>(
        &mut self,
        list: &str,
        version: &str,
        items: Vec<Item>,
        documents: &[Document],
        prepared: &dyn Fn(u64) -> Option<Prepared<'a>>,
        about: &mut dyn FnMut(&Document) -> Option<Vector>,
    ) {
        self.library.set_prepared(list, documents, prepared, about);
        let known = List { name: list.to_owned(), version: version.to_owned(), items };
        match self.lists.iter_mut().find(|known| known.name == list) {
            Some(place) => *place = known,
            None => self.lists.push(known),
        }
    }

    /// See [`Library::learn`].
    pub fn learn(&mut self, list: &str, told: &[(u64, Vector)]) {
        self.library.learn(list, told);
    }

    /// Forgets every list that `kept` does not name.
    pub fn keep(&mut self, kept: &dyn Fn(&str) -> bool) {
        for list in self.lists.iter().filter(|list| !kept(&list.name)) {
            self.library.set(&list.name, &[], &mut |_| None);
        }
        self.lists.retain(|list| kept(&list.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_list_says_of_a_resource() {
        let value = json!({
            "uri": "docs://a/b.md", "name": "b", "title": "The B", "description": "All about it", "mimeType": "text/markdown",
            "size": 12, "annotations": { "audience": ["user"], "priority": 1, "lastModified": "2026-01-01T00:00:00Z" },
        });
        let (item, document) = Item::read(&value).unwrap();
        assert_eq!((item.uri.as_str(), item.name.as_str(), item.size), ("docs://a/b.md", "The B", Some(12)));
        assert!(item.required && item.hidden && !item.template);
        assert_eq!((document.name.as_str(), document.text.as_str()), ("The B b", "All about it docs://a/b.md"));
        let (item, document) = Item::read(&json!({ "uriTemplate": "a://{b}" })).unwrap();
        assert!(item.template && !item.hidden && !item.required);
        assert_eq!((document.name.as_str(), document.text.as_str()), ("a://{b}", ""));
        for bad in [json!({ "name": "a" }), json!(7), json!({ "uri": 7 })] {
            assert_eq!(Item::read(&bad), None);
        }
    }

    #[test]
    fn a_server_that_went_away_is_forgotten() {
        let mut shelf = Shelf::default();
        let (item, document) = Item::read(&json!({ "uri": "a://b", "name": "rain" })).unwrap();
        for list in ["a", "b"] {
            shelf.set(list, "1", vec![item.clone()], std::slice::from_ref(&document), &|_| None, &mut |_| None);
        }
        shelf.keep(&|list| list == "b");
        assert_eq!((shelf.version("a"), shelf.version("b"), shelf.library().len()), (None, Some("1"), 1));
        assert_eq!((shelf.items("a").len(), shelf.items("b").len()), (0, 1));
    }
}
