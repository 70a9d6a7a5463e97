//! Context before a prompt: what a run found on the servers, which is nothing that the person said.

use crate::llm::types::{Block, Message};

/// What a block of context begins with, see `crate::context::fill`.
const BEGIN: &str = "<context>\n";

/// Most characters that are told of a source.
const MOST: usize = 600;

fn texts(message: &Message) -> impl Iterator<Item = &str> {
    message.content.iter().filter_map(|block| match block {
        Block::Text { text } => Some(text.as_str()),
        _ => None,
    })
}

/// What the person said: the texts of a message without context.
pub(super) fn said(message: &Message) -> String {
    texts(message).filter(|text| !text.starts_with(BEGIN)).collect()
}

/// The beginning of the best source of the context before a prompt, with its URI; `None` when there is none.
pub(super) fn told(message: &Message) -> Option<String> {
    let context = texts(message).find(|text| text.starts_with(BEGIN))?;
    let (head, rest) = context.split_once("<source ")?.1.split_once(">\n")?;
    let uri = head.split_once("uri=\"")?.1.split('"').next()?;
    let content = rest.split("</source>").next()?.trim();
    let end = content.char_indices().nth(MOST).map_or(content.len(), |(end, _)| end);
    let more = if end < content.len() { " ..." } else { "" };
    Some(["I found this in ", uri, ":\n\n", &content[..end], more].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_is_told_apart_from_what_is_said() {
        let mut message = Message::user("Does it rain?");
        assert_eq!((said(&message).as_str(), told(&message)), ("Does it rain?", None));
        let context = "<context>\nRead.\n<source n=\"1\" server=\"a\" uri=\"a://b\">\nRain.\n</source>\n</context>";
        message.content.insert(0, Block::Text { text: context.into() });
        assert_eq!(said(&message), "Does it rain?");
        assert_eq!(told(&message).as_deref(), Some("I found this in a://b:\n\nRain."));
        message.content[0] = Block::Text { text: "<context>\nbroken".into() };
        assert_eq!(told(&message), None);
    }
}
