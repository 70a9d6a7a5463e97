//! From a query to a block of context: what to ask of which server, and what comes of the answers.
//!
//! ```text
//! lists of all servers -> ranked -> the best are read, arguments of templates completed -> read -> passages -> filled
//! ```
//!
//! It asks with steps, plain data that whoever has the connections does:
//!
//! ```text
//! { "id": 0, "server": "docs", "list": "resources", "known": "7" }
//! { "id": 1, "server": "docs", "method": "resources/read", "params": { "uri": "docs://a" } }
//! ```
//!
//! and is told facts: `{ "id", "result" }`, `{ "id", "error" }`, for lists `{ "id", "result": { "elements", "version" } }`, or
//! `{ "id", "same": true }` when the known version still holds. An answer that fails is left out of the context, and named.

use serde_json::{Value, json};

use super::arguments::{Completed, Next, next};
use super::fill::{Filler, Text};
use super::history::History;
use super::library::Document;
use super::query::Query;
use super::shelf::{Item, Shelf};
use super::template::{Variable, expand, variables};

/// Most templates that are tried for one query.
const MOST_TEMPLATES: usize = 3;

/// Most resources that they all are filled to.
const MOST_FILLED: usize = 8;

/// Most variables of a template: each costs a round trip, or several.
const MOST_VARIABLES: usize = 8;

/// So few resources are all read: what they are about may be told by nothing but their content.
const FEW: usize = 8;

/// Most bytes of one text that are looked at.
const MOST_BYTES: usize = 4_000_000;

/// Most that are named among what was not read.
const MOST_NAMED: usize = 20;

/// What is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// What the context is to help with.
    pub query: String,
    /// Most tokens of it.
    pub most: usize,
    /// Most resources that are read for it.
    pub most_read: usize,
    /// The URIs of the resources that are to be used, whatever is asked; `None` for those that fit the query.
    pub uris: Option<Vec<String>>,
    /// The servers that have resources, and whether they complete arguments.
    pub servers: Vec<(String, bool)>,
    /// Blocks of context that the model was shown before.
    pub shown: Vec<String>,
}

impl Wish {
    /// Reads `{ query, maxTokens, maxResources, resources?, shown?, servers: [{ name, completions }] }`; `None` when it is none.
    pub fn read(value: &Value) -> Option<Wish> {
        let uris = value.get("resources").and_then(Value::as_array);
        let texts = |array: &Vec<Value>| array.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let server = |server: &Value| {
            let completes = server.get("completions").and_then(Value::as_bool).unwrap_or(false);
            Some((server.get("name")?.as_str()?.to_owned(), completes))
        };
        Some(Wish {
            query: value.get("query")?.as_str()?.to_owned(),
            most: usize::try_from(value.get("maxTokens")?.as_u64()?).ok()?,
            most_read: usize::try_from(value.get("maxResources")?.as_u64()?).ok()?,
            uris: uris.map(texts),
            shown: value.get("shown").and_then(Value::as_array).map(texts).unwrap_or_default(),
            servers: value.get("servers")?.as_array()?.iter().map(server).collect::<Option<_>>()?,
        })
    }
}

#[derive(Debug)]
enum Open {
    List { server: String, list: &'static str },
    Read { place: usize, server: String, item: Item, wanted: bool },
    Complete { template: usize, name: String, value: String },
}

#[derive(Clone, Debug)]
struct Template {
    place: usize,
    server: String,
    item: Item,
    variables: Vec<Variable>,
    completed: Vec<Completed>,
}

/// A list that a server gave, to be put on the shelf.
#[derive(Debug)]
pub struct Fetched {
    /// Its name there.
    pub list: String,
    /// Its version.
    pub version: String,
    /// What it has.
    pub items: Vec<Item>,
    /// What each is about.
    pub documents: Vec<Document>,
}

/// One query on its way.
#[derive(Debug)]
pub struct Builder {
    wish: Wish,
    open: Vec<(u64, Open)>,
    last: u64,
    templates: Vec<Template>,
    /// With the places of their resources in the ranking.
    texts: Vec<(usize, Text)>,
    dropped: Vec<Value>,
    /// How many were found and not read.
    unread: usize,
    /// How many there are besides, neither read nor named.
    omitted: usize,
    /// Server and URI of what is read.
    reading: Vec<(String, String)>,
}

/// The name of a server's list on the shelf.
fn list_name(server: &str, list: &str) -> String {
    [server, "/", list].concat()
}

impl Builder {
    /// Nothing was asked yet.
    pub fn new(wish: Wish) -> Builder {
        Builder {
            wish,
            open: Vec::new(),
            last: 0,
            templates: Vec::new(),
            texts: Vec::new(),
            dropped: Vec::new(),
            unread: 0,
            omitted: 0,
            reading: Vec::new(),
        }
    }

    /// What the context is to help with.
    pub fn query(&self) -> &str {
        &self.wish.query
    }

    /// Nothing that was asked is still to be answered.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    fn step(&mut self, open: Open, mut step: Value) -> Value {
        self.last += 1;
        step["id"] = self.last.into();
        self.open.push((self.last, open));
        step
    }

    /// Asks for the lists of all servers. What the shelf has of others is forgotten.
    pub fn lists(&mut self, shelf: &mut Shelf) -> Vec<Value> {
        let mut steps = Vec::new();
        let servers = self.wish.servers.clone();
        shelf.keep(&|list| {
            servers
                .iter()
                .any(|(server, _)| list.strip_prefix(server.as_str()).is_some_and(|rest| rest.starts_with('/')))
        });
        for (server, _) in servers {
            for list in ["resources", "resourceTemplates"] {
                let name = list_name(&server, list);
                let step = json!({ "server": server, "list": list, "known": shelf.version(&name) });
                steps.push(self.step(Open::List { server: server.clone(), list }, step));
            }
        }
        steps
    }

    /// Takes in facts; lists that are new are given back, to be put on the shelf. What does not answer an open step is
    /// ignored.
    pub fn take(&mut self, facts: &mut [Value]) -> Vec<Fetched> {
        let mut fetched = Vec::new();
        for fact in facts {
            let id = fact.get("id").and_then(Value::as_u64);
            let Some(place) = self.open.iter().position(|(known, _)| Some(*known) == id) else { continue };
            let (_, open) = self.open.remove(place);
            let failed = fact.get("error").and_then(Value::as_str).map(str::to_owned);
            let mut result = fact.get_mut("result").map(Value::take).unwrap_or_default();
            match open {
                Open::List { server, list } => {
                    if fact.get("same").is_some() {
                        continue;
                    }
                    if let Some(words) = failed {
                        self.dropped
                            .push(json!({ "server": server, "list": list, "reason": "failed", "message": words }));
                    }
                    let list = list_name(&server, list);
                    // A list that cannot be had is empty for now.
                    let elements = result.get("elements").and_then(Value::as_array);
                    let read = elements.into_iter().flatten().filter_map(Item::read);
                    let (items, documents) = read.unzip();
                    let version = result.get("version").and_then(Value::as_str).unwrap_or("").to_owned();
                    fetched.push(Fetched { list, version, items, documents });
                }
                Open::Read { place, server, item, wanted } => match failed {
                    Some(words) => {
                        let dropped =
                            json!({ "server": server, "uri": item.uri, "reason": "failed", "message": words });
                        self.dropped.push(dropped);
                    }
                    None => self.read(place, &server, &item, wanted, &mut result),
                },
                Open::Complete { template, .. } if failed.is_some() => {
                    // It would fail for the next word as well, and each time somebody waits for it.
                    let Template { place, server, item, .. } = &mut self.templates[template];
                    *place = usize::MAX;
                    let dropped = json!({ "server": server, "uri": item.uri, "reason": "failed", "message": failed });
                    self.dropped.push(dropped);
                }
                Open::Complete { template, name, value } => {
                    let values = result.get("completion").and_then(|completion| completion.get("values"));
                    let values = values.and_then(Value::as_array).into_iter().flatten();
                    let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
                    self.templates[template].completed.push(Completed { name, value, values });
                }
            }
        }
        fetched
    }

    fn read(&mut self, place: usize, server: &str, item: &Item, wanted: bool, result: &mut Value) {
        let read_at = result.get("readAt").and_then(Value::as_u64).unwrap_or(0);
        let vouched = result.get("ttlMs").and_then(Value::as_u64).unwrap_or(0);
        let stale = result.get("stale").is_some_and(|stale| stale == &Value::Bool(true));
        let mut any = false;
        let contents = result.get_mut("contents").and_then(Value::as_array_mut);
        for content in contents.into_iter().flatten() {
            let Some(Value::String(mut text)) = content.get_mut("text").map(Value::take) else { continue };
            any = true;
            let of = |name: &str| content.get(name).and_then(Value::as_str);
            let uri = of("uri").unwrap_or(&item.uri).to_owned();
            if text.len() > MOST_BYTES {
                let mut end = MOST_BYTES;
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                text.truncate(end);
                self.dropped.push(json!({ "server": server, "uri": uri, "reason": "size" }));
            }
            let name = if uri == item.uri { item.name.clone() } else { uri.clone() };
            let mime = of("mimeType").map(str::to_owned).or_else(|| item.mime.clone());
            let (server, modified) = (server.to_owned(), item.modified.clone());
            let text = Text { server, uri, name, mime, text, read_at, modified, wanted, vouched, stale };
            self.texts.push((place, text));
        }
        if !any {
            self.dropped.push(json!({ "server": server, "uri": item.uri, "reason": "unreadable" }));
        }
    }

    /// Chooses what to read, once every list is there.
    pub fn choose(&mut self, shelf: &Shelf, query: &Query) -> Vec<Value> {
        let mut chosen: Vec<(String, Item, bool)> = Vec::new();
        let mut add = |server: &str, item: &Item, wanted: bool| {
            if !item.hidden && !chosen.iter().any(|(known, other, _)| known == server && other.uri == item.uri) {
                chosen.push((server.to_owned(), item.clone(), wanted));
            }
        };
        let servers = self.wish.servers.clone();
        let of = |server: &'_ String| shelf.items(&list_name(server, "resources")).iter();
        let all = || servers.iter().flat_map(|(server, _)| of(server).map(move |item| (server, item)));
        match self.wish.uris.clone() {
            Some(uris) => {
                for uri in uris {
                    let mut having = all().filter(|(_, item)| item.uri == uri).peekable();
                    if having.peek().is_some() {
                        having.for_each(|(server, item)| add(server, item, true));
                    } else if let [(server, _)] = &servers[..] {
                        // Not every resource is in a list.
                        add(server, &Item { uri: uri.clone(), name: uri, ..Item::default() }, true);
                    } else {
                        self.dropped.push(json!({ "uri": uri, "reason": "unknown" }));
                    }
                }
            }
            None => {
                // A server that requires everything requires nothing.
                let required = all().filter(|(_, item)| item.required && !item.hidden).take(self.wish.most_read);
                required.for_each(|(server, item)| add(server, item, true));
                let library = shelf.library();
                for found in library.search(query, 3 * self.wish.most_read) {
                    let list = library.group(found.group);
                    let server = list.rsplit_once('/').map_or(list, |(server, _)| server);
                    if let Some(item) = shelf.items(list).get(found.place) {
                        add(server, item, false);
                    }
                }
                if all().take(FEW + 1).count() <= FEW {
                    all().for_each(|(server, item)| add(server, item, false));
                }
            }
        }
        if self.wish.uris.is_none() {
            let lists =
                servers.iter().flat_map(|(server, _)| ["resources", "resourceTemplates"].map(|list| (server, list)));
            let visible = |list: &[Item]| list.iter().filter(|item| !item.hidden).count();
            let there: usize = lists.map(|(server, list)| visible(shelf.items(&list_name(server, list)))).sum();
            self.omitted = there.saturating_sub(chosen.len());
        }
        self.begin(chosen)
    }

    fn begin(&mut self, chosen: Vec<(String, Item, bool)>) -> Vec<Value> {
        let explicit = self.wish.uris.is_some();
        let mut steps = Vec::new();
        let mut read = 0;
        for (place, (server, item, wanted)) in chosen.into_iter().enumerate() {
            let completes = self.wish.servers.iter().any(|(name, completes)| *name == server && *completes);
            let why = if item.template {
                let variables = variables(&item.uri).filter(|variables| variables.len() <= MOST_VARIABLES);
                // Nobody says what the variables may be: some templates make sense without them.
                let known = |variables: Vec<Variable>| match completes {
                    true => Some(variables),
                    false => variables.iter().all(|variable| variable.optional).then(Vec::new),
                };
                match variables.and_then(known) {
                    Some(variables) if self.templates.len() < MOST_TEMPLATES => {
                        self.templates.push(Template { place, server, item, variables, completed: Vec::new() });
                        continue;
                    }
                    Some(_) => "not_read",
                    None => "arguments",
                }
            } else if item.size.is_some_and(|size| size > MOST_BYTES as u64) {
                "size"
            } else if read < self.wish.most_read || explicit || wanted {
                read += 1;
                steps.push(self.read_step(place, server, item, wanted));
                continue;
            } else {
                "not_read"
            };
            self.unread += 1;
            if self.unread <= MOST_NAMED {
                self.dropped.push(json!({ "server": server, "uri": item.uri, "reason": why }));
            } else {
                self.omitted += 1;
            }
        }
        steps
    }

    fn read_step(&mut self, place: usize, server: String, item: Item, wanted: bool) -> Value {
        self.reading.push((server.clone(), item.uri.clone()));
        let step = json!({ "server": server, "method": "resources/read", "params": { "uri": item.uri } });
        self.step(Open::Read { place, server, item, wanted }, step)
    }

    /// What to do about templates, after facts or the choice.
    pub fn go_on(&mut self) -> Vec<Value> {
        let mut steps = Vec::new();
        let mut number = 0;
        while number < self.templates.len() {
            let busy = self
                .open
                .iter()
                .any(|(_, open)| matches!(open, Open::Complete { template, .. } if *template == number));
            let Template { place, server, item, variables, completed } = &self.templates[number];
            let (place, server, mut item) = (*place, server.clone(), item.clone());
            // One that has come to its end has no variables any more, and no place.
            if busy || place == usize::MAX {
                number += 1;
                continue;
            }
            match next(variables, &self.wish.query, completed) {
                Next::Ask { name, value, known } => {
                    let known: serde_json::Map<String, Value> =
                        known.into_iter().map(|(name, value)| (name, value.into())).collect();
                    let mut params = json!({
                        "ref": { "type": "ref/resource", "uri": item.uri }, "argument": { "name": name, "value": value },
                    });
                    if !known.is_empty() {
                        params["context"] = json!({ "arguments": known });
                    }
                    let step = json!({ "server": server, "method": "completion/complete", "params": params });
                    steps.push(self.step(Open::Complete { template: number, name, value }, step));
                }
                Next::Split { name, mut values } => {
                    values.truncate(1 + MOST_FILLED.saturating_sub(self.templates.len()));
                    let alone =
                        |value: String| Completed { name: name.clone(), value: String::new(), values: vec![value] };
                    let mut ways: Vec<Template> = Vec::new();
                    for value in values {
                        let mut way = self.templates[number].clone();
                        way.completed.retain(|completed| completed.name != name);
                        way.completed.push(alone(value));
                        ways.push(way);
                    }
                    self.templates[number] = ways.remove(0);
                    self.templates.extend(ways);
                    // It is gone on with at once.
                    continue;
                }
                Next::Fill(values) => {
                    let value =
                        |name: &str| values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
                    // It was read before.
                    item.uri = expand(&item.uri, &value).unwrap_or_default();
                    item.name = [&item.name, ": ", &item.uri].concat();
                    item.template = false;
                    self.templates[number].place = usize::MAX;
                    // A list may have it as well.
                    if !self.reading.iter().any(|(known, uri)| *known == server && *uri == item.uri) {
                        steps.push(self.read_step(place, server, item, false));
                    }
                }
                Next::Nothing => {
                    self.dropped.push(json!({ "server": server, "uri": item.uri, "reason": "arguments" }));
                    self.templates[number].place = usize::MAX;
                }
            }
            number += 1;
        }
        steps
    }

    /// What was read, the best first, cut into passages. Only once everything is settled.
    pub fn filler(&mut self, query: &Query) -> Filler {
        let mut texts = std::mem::take(&mut self.texts);
        texts.sort_by_key(|(place, _)| *place);
        let mut filler = Filler::new(texts.into_iter().map(|(_, text)| text).collect(), query);
        filler.leave_out(&History::read(&self.wish.shown));
        filler
    }

    /// The block of context: `{ text, sources, tokens, dropped, omitted }`.
    pub fn finish(self, mut filled: Value) -> Value {
        if let Some(dropped) = filled.get_mut("dropped").and_then(Value::as_array_mut) {
            dropped.extend(self.dropped);
        }
        filled["omitted"] = self.omitted.into();
        filled
    }

    /// Most tokens of the block.
    pub fn most(&self) -> usize {
        self.wish.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many as by default.
    const MOST_READ: usize = 12;

    fn wish(query: &str, servers: &[&str]) -> Wish {
        let servers: Vec<Value> = servers.iter().map(|name| json!({ "name": name, "completions": true })).collect();
        Wish::read(&json!({ "query": query, "maxTokens": 5000, "maxResources": MOST_READ, "servers": servers }))
            .unwrap()
    }

    /// Plays a query to its end against a server that is a function from steps to facts.
    fn play(wish: Wish, shelf: &mut Shelf, server: &mut dyn FnMut(&Value) -> Value) -> Value {
        let query = Query::new(&wish.query, None);
        let mut builder = Builder::new(wish);
        let mut steps = builder.lists(shelf);
        let mut chosen = false;
        loop {
            let answer = |step: &Value| {
                let mut fact = server(step);
                fact["id"] = step["id"].clone();
                fact
            };
            let mut facts: Vec<Value> = steps.iter().map(answer).collect();
            for Fetched { list, version, items, documents } in builder.take(&mut facts) {
                shelf.set(&list, &version, items, &documents, &|_| None, &mut |_| None);
            }
            steps = if chosen { Vec::new() } else { builder.choose(shelf, &query) };
            chosen = true;
            steps.extend(builder.go_on());
            if steps.is_empty() {
                assert!(builder.is_settled());
                let filled = builder.filler(&query).fill(&query, &[], builder.most());
                return builder.finish(filled);
            }
        }
    }

    fn listed(elements: Value) -> Value {
        json!({ "result": { "elements": elements, "version": "1" } })
    }

    fn contents(uri: &Value, text: &str) -> Value {
        json!({ "result": { "contents": [{ "uri": uri, "text": text }], "readAt": 7 } })
    }

    fn uris(context: &Value, of: &str) -> Vec<String> {
        context[of].as_array().unwrap().iter().map(|one| one["uri"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_best_of_many_are_read() {
        let mut shelf = Shelf::default();
        let mut read = Vec::new();
        let mut lists = 0;
        let mut server = |step: &Value| match step["list"].as_str() {
            Some("resources") if step["known"] == "1" => json!({ "same": true }),
            Some("resources") => {
                lists += 1;
                let element = |number: u32| json!({ "uri": format!("a://{number}"), "name": format!("Page {number}"), "description": if number < 30 { "about rain" } else { "about mail" } });
                listed((0..100).map(element).collect())
            }
            Some(_) => listed(json!([])),
            None => {
                read.push(step["params"]["uri"].clone());
                contents(&step["params"]["uri"], "It rains.")
            }
        };
        let context = play(wish("Does it rain?", &["a"]), &mut shelf, &mut server);
        assert_eq!(uris(&context, "sources").len(), MOST_READ);
        assert_eq!(context["sources"][0]["readAt"], 7);
        assert!(context["dropped"].as_array().unwrap().iter().all(|dropped| dropped["reason"] == "not_read"));
        play(wish("Does it rain?", &["a"]), &mut shelf, &mut server);
        let more = Wish { most_read: 25, ..wish("Does it rain?", &["a"]) };
        assert_eq!(uris(&play(more, &mut shelf, &mut server), "sources").len(), 25, "as many as the app wants");
        assert_eq!((read.len(), lists), (2 * MOST_READ + 25, 1), "a known list is not sent again");
    }

    #[test]
    fn what_fails_is_named_and_stops_nothing() {
        let mut server = |step: &Value| match (step["server"].as_str(), step["list"].as_str()) {
            (Some("down"), Some(_)) => json!({ "error": "no answer" }),
            (_, Some("resources")) => listed(
                json!([{ "uri": "a://1", "name": "rain" }, { "uri": "a://2", "name": "rain too" }, { "uri": "a://3", "name": "rain map" }, 7]),
            ),
            (_, Some(_)) => listed(json!([{ "uriTemplate": "rain://{broken", "name": "rain" }])),
            (..) => match step["params"]["uri"].as_str().unwrap() {
                "a://1" => json!({ "error": "gone" }),
                "a://2" => contents(&step["params"]["uri"], "rain"),
                _ => json!({ "result": { "contents": [{ "uri": "a://3", "blob": "AAAA" }] } }),
            },
        };
        let context = play(wish("rain", &["down", "a"]), &mut Shelf::default(), &mut server);
        assert_eq!(uris(&context, "sources"), ["a://2"]);
        let mut reasons: Vec<&str> =
            context["dropped"].as_array().unwrap().iter().map(|dropped| dropped["reason"].as_str().unwrap()).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["arguments", "failed", "failed", "failed", "unreadable"]);
        let list = json!({ "server": "down", "list": "resources", "reason": "failed", "message": "no answer" });
        assert!(context["dropped"].as_array().unwrap().contains(&list), "{context}");
    }

    #[test]
    fn a_template_is_filled_by_completion() {
        let mut asked = Vec::new();
        let mut server = |step: &Value| match (step["list"].as_str(), step["method"].as_str()) {
            (Some("resources"), _) => listed(json!([])),
            (Some(_), _) => listed(json!([{ "uriTemplate": "weather://{city}/{day}", "name": "Weather of a city" }])),
            (_, Some("completion/complete")) => {
                asked.push(step["params"].clone());
                let values = if step["params"]["argument"]["name"] == "city" {
                    json!(["Bergen", "Oslo"])
                } else {
                    json!(["today"])
                };
                json!({ "result": { "completion": { "values": values } } })
            }
            _ => contents(&step["params"]["uri"], "Weather: sun"),
        };
        let context = play(wish("How is the weather in Oslo?", &["w"]), &mut Shelf::default(), &mut server);
        assert_eq!(uris(&context, "sources"), ["weather://Oslo/today"]);
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[1]["context"], json!({ "arguments": { "city": "Oslo" } }));
        assert_eq!(asked[0]["ref"], json!({ "type": "ref/resource", "uri": "weather://{city}/{day}" }));
    }

    /// A server with one template and one resource, which completes cities and days.
    fn weather(template: &str, listed: &str, asked: &mut Vec<Value>, step: &Value) -> Value {
        asked.push(step["params"].clone());
        match (step["list"].as_str(), step["method"].as_str()) {
            (Some("resources"), _) => self::listed(json!([{ "uri": listed, "name": "Weather" }])),
            (Some(_), _) => self::listed(json!([{ "uriTemplate": template, "name": "Weather of a city" }])),
            (_, Some("completion/complete")) => {
                let values = match step["params"]["argument"]["name"].as_str().unwrap() {
                    "city" => json!(["Bergen", "Oslo", "Rome"]),
                    _ => json!(["monday", "tuesday"]),
                };
                json!({ "result": { "completion": { "values": values } } })
            }
            _ => contents(&step["params"]["uri"], "Weather: sun"),
        }
    }

    #[test]
    fn each_value_that_is_named_makes_a_resource_and_none_is_read_twice() {
        let mut asked = Vec::new();
        let mut server = |step: &Value| weather("w://{city}{?day}", "w://Oslo", &mut asked, step);
        let query = "Is the weather in Oslo better than the weather in Rome?";
        let context = play(wish(query, &["w"]), &mut Shelf::default(), &mut server);
        let mut found = uris(&context, "sources");
        found.sort();
        assert_eq!(found, ["w://Oslo", "w://Rome"], "{context}");
        let read = asked.iter().filter(|params| params["uri"] == "w://Oslo").count();
        assert_eq!(read, 1, "it is in the list, too");
        let mut server = |step: &Value| weather("w://{city}{?day}", "w://Bergen", &mut asked, step);
        let query = "The weather in Oslo and Rome on monday and on tuesday";
        let context = play(wish(query, &["w"]), &mut Shelf::default(), &mut server);
        assert_eq!(uris(&context, "sources").len(), 5, "{context}");
    }

    #[test]
    fn completion_that_fails_is_asked_once_and_named() {
        let mut asked = 0;
        let mut server = |step: &Value| match (step["list"].as_str(), step["method"].as_str()) {
            (Some("resources"), _) => listed(json!([])),
            (Some(_), _) => listed(json!([{ "uriTemplate": "weather://{city}", "name": "Weather of a city" }])),
            _ => {
                asked += 1;
                json!({ "error": "took too long" })
            }
        };
        let query = "How is the weather in the city of Oslo today?";
        let context = play(wish(query, &["w"]), &mut Shelf::default(), &mut server);
        let dropped = json!([
            { "server": "w", "uri": "weather://{city}", "reason": "failed", "message": "took too long" }
        ]);
        assert_eq!((&context["dropped"], asked), (&dropped, 1));
    }

    #[test]
    fn a_template_needs_somebody_who_completes_it() {
        let many: String = (0..20).map(|number| format!("{{v{number}}}")).collect();
        for (template, completes, reason) in [
            ("w://{city}", false, Some("arguments")),
            ("w://today{?day}", false, None),
            (["w://", &many].concat().as_str(), true, Some("arguments")),
        ] {
            let mut asked = Vec::new();
            let mut wish = wish("the weather", &["w"]);
            wish.servers[0].1 = completes;
            let context =
                play(wish, &mut Shelf::default(), &mut |step| weather(template, "w://mail", &mut asked, step));
            let reasons: Vec<&str> = context["dropped"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|dropped| dropped["reason"].as_str())
                .collect();
            assert_eq!(reasons, reason.into_iter().collect::<Vec<_>>(), "{template}");
            assert_eq!(uris(&context, "sources").contains(&"w://today".to_owned()), reason.is_none());
        }
    }

    #[test]
    fn of_a_hundred_thousand_few_are_read_and_few_are_named() {
        let mut read = 0;
        let mut server = |step: &Value| match step["list"].as_str() {
            Some("resources") => {
                let element = |number: u32| json!({ "uri": format!("a://{number}"), "name": "rain", "annotations": { "priority": 1.0 } });
                listed((0..100_000).map(element).collect())
            }
            Some(_) => listed(json!([])),
            None => {
                read += 1;
                contents(&step["params"]["uri"], "It rains.")
            }
        };
        let context = play(wish("rain", &["a"]), &mut Shelf::default(), &mut server);
        let (sources, dropped) = (context["sources"].as_array().unwrap(), context["dropped"].as_array().unwrap());
        assert!(read <= 2 * MOST_READ && sources.len() == read && dropped.len() <= MOST_NAMED, "{read}");
        assert_eq!(context["omitted"], json!(100_000 - read - dropped.len()));
    }

    #[test]
    fn what_is_over_is_marked_so() {
        let mut server = |step: &Value| match step["list"].as_str() {
            Some("resources") => {
                listed(json!([{ "uri": "a://1", "name": "rain" }, { "uri": "a://2", "name": "rain" }]))
            }
            Some(_) => listed(json!([])),
            None => {
                let mut answer = contents(&step["params"]["uri"], "It rains.");
                if step["params"]["uri"] == "a://1" {
                    answer["result"]["stale"] = true.into();
                }
                answer
            }
        };
        let context = play(wish("rain", &["a"]), &mut Shelf::default(), &mut server);
        let stale = |uri: &str| {
            let source = context["sources"].as_array().unwrap().iter().find(|source| source["uri"] == uri).unwrap();
            source.get("stale").cloned()
        };
        assert_eq!((stale("a://1"), stale("a://2")), (Some(json!(true)), None));
        assert_eq!(context["text"].as_str().unwrap().matches("stale=\"true\"").count(), 1);
    }

    #[test]
    fn the_app_and_the_server_may_insist() {
        let mut server = |step: &Value| match step["list"].as_str() {
            Some("resources") => listed(json!([
                { "uri": "a://1", "name": "mail", "annotations": { "priority": 1.0 } },
                { "uri": "a://2", "name": "rain", "annotations": { "audience": ["user"] } },
                { "uri": "a://3", "name": "snow" },
            ])),
            Some(_) => listed(json!([])),
            None => contents(&step["params"]["uri"], "nothing to do with it"),
        };
        let context = play(wish("rain", &["a"]), &mut Shelf::default(), &mut server);
        assert_eq!(uris(&context, "sources"), ["a://1"], "{context}");
        let mut own = wish("rain", &["a"]);
        own.uris = Some(vec!["a://3".into(), "a://unlisted".into()]);
        let context = play(own.clone(), &mut Shelf::default(), &mut server);
        assert_eq!(uris(&context, "sources"), ["a://3", "a://unlisted"]);
        own.servers.push(("b".into(), false));
        let context = play(own, &mut Shelf::default(), &mut server);
        assert_eq!(context["dropped"], json!([{ "uri": "a://unlisted", "reason": "unknown" }]));
    }

    #[test]
    fn facts_about_nothing_change_nothing() {
        let mut builder = Builder::new(wish("rain", &["a"]));
        builder.lists(&mut Shelf::default());
        let fetched =
            builder.take(&mut [json!({ "id": 99 }), json!({}), json!(7), json!({ "id": 1 }), json!({ "id": 1 })]);
        assert_eq!(fetched.len(), 1);
        assert!(fetched[0].items.is_empty() && !builder.is_settled());
    }
}
