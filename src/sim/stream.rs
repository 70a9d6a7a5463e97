//! Writes `text/event-stream` bytes in every manner that servers do.

use super::net::Step;
use super::rng::Rng;
use crate::time::Millis;

/// Writes one event stream. How it ends lines, whether it puts a space after the colon, sends comments or begins
/// with a byte order mark is drawn once per stream ([WHATWG HTML, "Parsing an event stream"] allows all of it).
pub(super) struct EventStream {
    line_end: &'static str,
    space: &'static str,
    comments: bool,
    ids: bool,
    steps: Vec<Step>,
    events: u64,
}

impl EventStream {
    pub(super) fn new(rng: &mut Rng) -> EventStream {
        let mut stream = EventStream {
            line_end: rng.pick(&["\n", "\n", "\r\n", "\r\n", "\r"]),
            space: rng.pick(&[" ", " ", " ", ""]),
            comments: rng.chance(250),
            ids: rng.chance(150),
            steps: Vec::new(),
            events: 0,
        };
        if rng.chance(100) {
            stream.raw("\u{feff}");
        }
        if stream.comments {
            stream.line(":", "welcome");
            stream.raw(stream.line_end);
        }
        stream
    }

    fn raw(&mut self, text: &str) {
        self.steps.push(Step::Bytes(text.as_bytes().to_vec()));
    }

    fn line(&mut self, field: &str, value: &str) {
        let line = [field, self.space, value, self.line_end].concat();
        self.raw(&line);
    }

    /// Adds an event. Lines of `data` become `data:` lines of their own.
    pub(super) fn event(&mut self, name: Option<&str>, data: &str, rng: &mut Rng) {
        self.events += 1;
        if self.comments && rng.chance(300) {
            self.line(":", "keep-alive");
        }
        if self.ids {
            let id = self.events.to_string();
            self.line("id:", &id);
        }
        if let Some(name) = name {
            self.line("event:", name);
        }
        for line in data.split('\n') {
            self.line("data:", line);
        }
        self.raw(self.line_end);
    }

    /// Adds a pause.
    pub(super) fn wait(&mut self, duration: Millis) {
        self.steps.push(Step::Wait(duration));
    }

    /// The body, neighbouring bytes joined. With `linger` it may never end, although all was said.
    pub(super) fn finish(mut self, linger: bool, rng: &mut Rng) -> Vec<Step> {
        if linger && rng.chance(50) {
            self.steps.push(Step::Hang);
        }
        let mut joined: Vec<Step> = Vec::new();
        for step in self.steps {
            match (joined.last_mut(), step) {
                (Some(Step::Bytes(last)), Step::Bytes(bytes)) => last.extend(bytes),
                (_, step) => joined.push(step),
            }
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_every_line_ending_and_keeps_the_lines_of_data_apart() {
        let mut endings = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let mut rng = Rng::new(seed);
            let mut stream = EventStream::new(&mut rng);
            endings.insert(stream.line_end);
            let (space, end) = (stream.space, stream.line_end);
            stream.event(Some("message"), "{\n}", &mut rng);
            let steps = stream.finish(true, &mut rng);
            let Step::Bytes(bytes) = &steps[0] else { panic!("bytes first") };
            let text = String::from_utf8(bytes.clone()).unwrap();
            let event = format!("event:{space}message{end}data:{space}{{{end}data:{space}}}{end}{end}");
            assert!(text.ends_with(&event), "{text:?}");
        }
        assert_eq!(endings.len(), 3);
    }
}
