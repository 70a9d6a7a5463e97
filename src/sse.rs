//! `text/event-stream` to events.
