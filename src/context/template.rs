//! URI templates (RFC 6570) as resource templates use them: which variables one has, and the URI for their values.

/// A variable of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// It stands in the query of the URI only (`{?name}`, `{&name}`): the template makes sense without it.
    pub optional: bool,
}

/// The variables of a template, each once, in order; `None` for text that is no template.
pub fn variables(template: &str) -> Option<Vec<Variable>> {
    let mut variables: Vec<Variable> = Vec::new();
    parts(template, &mut |part| {
        let Part::Expression { operator, names } = part else { return };
        let optional = matches!(operator, b'?' | b'&');
        for name in names {
            let name = bare(name).0;
            match variables.iter_mut().find(|known| known.name == name) {
                Some(known) => known.optional &= optional,
                None => variables.push(Variable { name: name.to_owned(), optional }),
            }
        }
    })?;
    Some(variables)
}

/// The URI for values that `value` gives by name; a variable without one is left out, as the RFC has it. `None` for text
/// that is no template.
pub fn expand<'a>(template: &str, value: &dyn Fn(&str) -> Option<&'a str>) -> Option<String> {
    let mut uri = String::new();
    parts(template, &mut |part| match part {
        Part::Literal(text) => encode(text, true, &mut uri),
        Part::Expression { operator, names } => {
            // First, separator, whether names are shown, what stands for `name=` with no value, whether reserved stay.
            let (first, separator, named, reserved) = match operator {
                b'+' => ("", ",", false, true),
                b'#' => ("#", ",", false, true),
                b'.' => (".", ".", false, false),
                b'/' => ("/", "/", false, false),
                b';' => (";", ";", true, false),
                b'?' => ("?", "&", true, false),
                b'&' => ("&", "&", true, false),
                _ => ("", ",", false, false),
            };
            let mut any = false;
            for name in names {
                let (name, prefix) = bare(name);
                let Some(value) = value(name) else { continue };
                uri.push_str(if any { separator } else { first });
                any = true;
                let value = match prefix {
                    Some(most) => value.char_indices().nth(most).map_or(value, |(end, _)| &value[..end]),
                    None => value,
                };
                if named {
                    uri.push_str(name);
                    if operator != b';' || !value.is_empty() {
                        uri.push('=');
                    }
                }
                encode(value, reserved, &mut uri);
            }
        }
    })?;
    Some(uri)
}

enum Part<'a> {
    Literal(&'a str),
    Expression { operator: u8, names: Vec<&'a str> },
}

fn parts<'a>(template: &'a str, each: &mut dyn FnMut(Part<'a>)) -> Option<()> {
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let end = start + rest[start..].find('}')?;
        each(Part::Literal(&rest[..start]));
        let inner = &rest[start + 1..end];
        let operator = inner.bytes().next().filter(|byte| b"+#./;?&".contains(byte)).unwrap_or(0);
        let names: Vec<&str> = inner[usize::from(operator != 0)..].split(',').collect();
        let sound = |name: &&str| {
            let name = bare(name).0;
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.%-".contains(&byte))
        };
        if !names.iter().all(sound) {
            return None;
        }
        each(Part::Expression { operator, names });
        rest = &rest[end + 1..];
    }
    if rest.contains('}') {
        return None;
    }
    each(Part::Literal(rest));
    Some(())
}

/// A name without its modifier, and how many characters a prefix has.
fn bare(name: &str) -> (&str, Option<usize>) {
    match name.split_once(':') {
        Some((name, prefix)) => (name, prefix.parse().ok()),
        None => (name.strip_suffix('*').unwrap_or(name), None),
    }
}

fn encode(text: &str, reserved: bool, uri: &mut String) {
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || b"-._~".contains(&byte)
            || (reserved && b":/?#[]@!$&'()*+,;=%".contains(&byte));
        if plain {
            uri.push(byte as char);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            uri.push('%');
            uri.push(HEX[usize::from(byte >> 4)] as char);
            uri.push(HEX[usize::from(byte & 15)] as char);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 6570, section 1.2, with the values there.
    #[test]
    fn the_examples_of_the_rfc() {
        let value = |name: &str| match name {
            "var" => Some("value"),
            "hello" => Some("Hello World!"),
            "path" => Some("/foo/bar"),
            "empty" => Some(""),
            "x" => Some("1024"),
            "y" => Some("768"),
            _ => None,
        };
        for (template, uri) in [
            ("{var}", "value"),
            ("{hello}", "Hello%20World%21"),
            ("{+hello}", "Hello%20World!"),
            ("{+path}/here", "/foo/bar/here"),
            ("here?ref={+path}", "here?ref=/foo/bar"),
            ("X{#var}", "X#value"),
            ("X{#hello}", "X#Hello%20World!"),
            ("map?{x,y}", "map?1024,768"),
            ("{x,hello,y}", "1024,Hello%20World%21,768"),
            ("{+path,x}/here", "/foo/bar,1024/here"),
            ("X{.x,y}", "X.1024.768"),
            ("{/var,x}/here", "/value/1024/here"),
            ("{;x,y,empty}", ";x=1024;y=768;empty"),
            ("{?x,y,empty}", "?x=1024&y=768&empty="),
            ("?fixed=yes{&x}", "?fixed=yes&x=1024"),
            ("{var:3}", "val"),
            ("{+path:6}/here", "/foo/b/here"),
            ("{/var:1,var*}", "/v/value"),
            ("{?x,undef}", "?x=1024"),
            ("{undef}", ""),
        ] {
            assert_eq!(expand(template, &value).as_deref(), Some(uri), "{template}");
        }
    }

    #[test]
    fn variables_are_named_once() {
        let told = variables("db://{schema}/{+table}{?limit,schema:3}{&limit,page}").unwrap();
        let told: Vec<_> = told.iter().map(|variable| (variable.name.as_str(), variable.optional)).collect();
        assert_eq!(told, [("schema", false), ("table", false), ("limit", true), ("page", true)]);
        assert_eq!(variables("plain://uri").unwrap(), []);
        for bad in ["a{", "a}b", "{}", "{a b}", "{,}", "{é}"] {
            assert_eq!(variables(bad), None, "{bad}");
        }
    }
}
