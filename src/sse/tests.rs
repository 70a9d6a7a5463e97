use super::*;

/// Everything one can see of a decoder after a stream.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<Event>,
    last_event_id: Option<String>,
    retry: Option<Millis>,
    pending: bool,
    error: Option<TooLong>,
}

fn decode<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut decoder = Decoder::with_limit(limit);
    let mut events = Vec::new();
    let mut error = None;
    for chunk in chunks {
        error = decoder.feed(chunk, &mut events).err();
    }
    let last_event_id = decoder.last_event_id().map(str::to_owned);
    Seen { events, last_event_id, retry: decoder.retry(), pending: decoder.is_pending(), error }
}

/// Decodes in every way of cutting that matters and checks that all agree.
fn every_way(bytes: &[u8]) -> Seen {
    let whole = decode(Decoder::DEFAULT_LIMIT, [bytes]);
    assert_eq!(whole, decode(Decoder::DEFAULT_LIMIT, bytes.chunks(1)), "byte by byte: {bytes:?}");
    for at in 0..=bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(whole, decode(Decoder::DEFAULT_LIMIT, [left, &[], right]), "cut at {at}: {bytes:?}");
    }
    whole
}

fn data(bytes: &[u8]) -> Vec<String> {
    every_way(bytes).events.into_iter().map(|event| event.data).collect()
}

/// The specification word by word: decode all, split into lines, interpret. Slow and obvious.
fn reference(bytes: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)).into_owned();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    let unfinished = lines.pop().unwrap_or("");
    let mut seen = Seen { events: Vec::new(), last_event_id: None, retry: None, pending: false, error: None };
    let (mut name, mut buffer, mut id, mut retry) = (String::new(), String::new(), None, None);
    let mut id_buffer = String::new();
    for line in lines {
        if line.is_empty() {
            seen.last_event_id = Some(id_buffer.clone());
            seen.pending = false;
            let event = std::mem::take(&mut name);
            let (id, retry) = (id.take(), retry.take());
            if let Some(data) = std::mem::take(&mut buffer).strip_suffix('\n') {
                seen.events.push(Event { event, data: data.to_owned(), id, retry });
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        let mut known = true;
        match field {
            "event" => name = value.to_owned(),
            "data" => buffer += &format!("{value}\n"),
            "id" if !value.contains('\0') => {
                id = Some(value.to_owned());
                id_buffer = value.to_owned();
            }
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                retry = Some(Millis(value.parse().unwrap_or(u64::MAX)));
                seen.retry = retry;
            }
            _ => known = false,
        }
        seen.pending |= known;
    }
    seen.last_event_id = seen.last_event_id.filter(|id| !id.is_empty());
    seen.pending |= !unfinished.is_empty() && !unfinished.starts_with(':');
    seen
}

#[test]
fn line_ends_of_all_three_kinds_and_mixed() {
    for end in ["\n", "\r", "\r\n"] {
        let stream = format!("data: a{end}data: b{end}{end}event: x{end}data: c{end}{end}");
        let seen = every_way(stream.as_bytes());
        let shown: Vec<_> = seen.events.iter().map(|event| (event.name(), event.data.as_str())).collect();
        assert_eq!(shown, [("message", "a\nb"), ("x", "c")], "{end:?}");
        assert!(!seen.pending);
    }
    assert_eq!(data(b"data: a\r\n\rdata: b\n\r\ndata: c\r\r\n"), ["a", "b", "c"]);
}

#[test]
fn a_crlf_split_between_chunks_is_one_line_end() {
    // Taken for two line ends, the event would be dispatched after its first line.
    let seen = decode(100, [&b"data: a\r"[..], b"\ndata: b\r", b"\n\r", b"\n"]);
    assert_eq!(seen.events.len(), 1);
    assert_eq!(seen.events[0].data, "a\nb");
    // And an empty chunk between the two must not make it forget.
    let seen = decode(100, [&b"data: a\r"[..], b"", b"\ndata: b\r\n\r\n"]);
    assert_eq!(seen.events[0].data, "a\nb");
}

#[test]
fn a_lone_cr_dispatches_without_waiting_for_the_next_byte() {
    assert_eq!(decode(100, [&b"data: a\r\r"[..]]).events.len(), 1);
}

#[test]
fn byte_order_mark_only_at_the_beginning() {
    assert_eq!(data(b"\xEF\xBB\xBFdata: a\n\n"), ["a"]);
    assert_eq!(data(b"data: a\n\n\xEF\xBB\xBFdata: b\n\ndata: c\n\n"), ["a", "c"]);
    assert_eq!(data(b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\ndata: b\n\n"), ["b"]);
    assert!(!every_way(b"\xEF\xBB\xBF").pending);
    assert!(!every_way(b"\xEF\xBB\xBF: comment").pending);
}

#[test]
fn utf8_is_joined_over_chunks_and_repaired() {
    assert_eq!(data("data: 😀é\n\n".as_bytes()), ["😀é"]);
    assert_eq!(data(b"data: a\xF0\x9F\x98\n\ndata: \xFFb\n\n"), ["a\u{FFFD}", "\u{FFFD}b"]);
    assert_eq!(data(b"data: \xE2\ndata: \x82\xAC\n\n"), ["\u{FFFD}\n\u{FFFD}\u{FFFD}"]);
}

#[test]
fn the_examples_of_the_specification() {
    assert_eq!(data(b"data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
    let seen =
        every_way(b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n");
    let shown: Vec<_> = seen.events.iter().map(|event| (event.data.as_str(), event.id.as_deref())).collect();
    assert_eq!(shown, [("first event", Some("1")), ("second event", Some("")), (" third event", None)]);
    assert_eq!(seen.last_event_id, None, "an empty id takes the earlier one back");
    assert_eq!(data(b"data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
    assert_eq!(data(b"data:test\n\ndata: test\n\n"), ["test", "test"]);
}

#[test]
fn an_event_without_data_still_sets_id_and_retry() {
    let seen = every_way(b"id: ev-1\nretry: 250\n\n");
    assert!(seen.events.is_empty());
    assert_eq!((seen.last_event_id.as_deref(), seen.retry, seen.pending), (Some("ev-1"), Some(Millis(250)), false));
    // The priming event of MCP has an empty data field, so it is dispatched.
    let seen = every_way(b"id: ev-1\nretry: 250\ndata:\n\n");
    assert_eq!(seen.events, [Event { id: Some("ev-1".into()), retry: Some(Millis(250)), ..Event::default() }]);
}

#[test]
fn ids_with_nul_and_retries_that_are_no_number_are_ignored() {
    let seen = every_way(b"id: a\ndata: 1\n\nid: b\0c\nretry: 1s\ndata: 2\n\nretry:\nretry: -1\nretry: +1\n\n");
    assert_eq!(seen.last_event_id.as_deref(), Some("a"));
    assert_eq!(seen.retry, None);
    assert_eq!(every_way(b"retry: 99999999999999999999999\n").retry, Some(Millis(u64::MAX)));
}

#[test]
fn an_id_counts_only_when_its_event_is_finished() {
    let seen = every_way(b"id: 1\ndata: a\n\nid: 2\ndata: b\n");
    assert_eq!(seen.events.len(), 1);
    assert_eq!(seen.last_event_id.as_deref(), Some("1"));
    assert!(seen.pending);
}

#[test]
fn the_event_name_does_not_leak_into_the_next_event() {
    let seen = every_way(b"event: x\n\ndata: a\n\nevent: y\ndata: b\n\ndata: c\n\n");
    let names: Vec<_> = seen.events.iter().map(Event::name).collect();
    assert_eq!(names, ["message", "y", "message"]);
}

#[test]
fn unknown_fields_and_comments_are_ignored() {
    let seen =
        every_way(b"foo: bar\ndatax: no\n data: no\nDATA: no\n:\n: OPENROUTER PROCESSING\n\ndata: a:b\n\n: half");
    assert_eq!(seen.events.len(), 1);
    assert_eq!(seen.events[0].data, "a:b");
    assert!(!seen.pending);
    assert!(every_way(b"half").pending);
}

#[test]
fn the_limit_is_met_at_the_same_byte_however_the_stream_is_cut() {
    for limit in 0..40 {
        for bytes in
            [&b"data: 0123456789\ndata: 0123456789\n\ndata: tail\n\n"[..], b": 0123456789012345\n\ndata: a\n\n"]
        {
            let whole = decode(limit, [bytes]);
            assert_eq!(whole, decode(limit, bytes.chunks(1)), "limit {limit}");
            for at in 0..=bytes.len() {
                let (left, right) = bytes.split_at(at);
                assert_eq!(whole, decode(limit, [left, right]), "limit {limit}, cut at {at}");
            }
        }
    }
    // 16 bytes for the first line; its 10 bytes of data and the 16 of the second line make 26.
    let two = b"data: 0123456789\ndata: 0123456789\n\n";
    assert_eq!(decode(26, [&two[..]]).error, None);
    assert_eq!(decode(25, [&two[..]]).error, Some(TooLong { limit: 25 }));
}

#[test]
fn the_limit_is_for_one_event_and_an_error_is_for_ever() {
    let many = b"data: 0123456789\n\n".repeat(1000);
    assert_eq!(decode(16, [&many[..]]).events.len(), 1000);
    let mut decoder = Decoder::with_limit(16);
    let mut events = Vec::new();
    decoder.feed(b"data: good\n\n", &mut events).unwrap();
    assert_eq!(decoder.feed(&[b'x'; 17], &mut events), Err(TooLong { limit: 16 }));
    assert_eq!(decoder.feed(b"\n\ndata: a\n\n", &mut events), Err(TooLong { limit: 16 }));
    assert_eq!(events.len(), 1);
}

#[test]
fn a_large_event_in_small_chunks_is_whole() {
    let line = "x".repeat(1 << 20);
    let stream = format!("id: 1\ndata: {line}\ndata:{line}\n\n");
    let seen = decode(Decoder::DEFAULT_LIMIT, stream.as_bytes().chunks(1000));
    assert_eq!(seen.events[0].data, format!("{line}\n{line}"));
}

#[test]
fn random_streams_agree_with_the_reference_however_they_are_cut() {
    let pieces: &[&[u8]] = &[
        b"data",
        b"data:",
        b"data: ",
        b"event: ",
        b"id: ",
        b"id",
        b"retry: ",
        b"17",
        b":",
        b" ",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\0",
        b"a",
        b"0123456789abcdef",
        b"\xEF\xBB\xBF",
        b"\xEF",
        b"\xBB",
        b"\xF0\x9F\x98\x80",
        b"\xF0\x9F",
        b"\xFF",
        "é".as_bytes(),
        b": ping",
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..random(24) {
            bytes.extend_from_slice(pieces[random(pieces.len())]);
        }
        let expected = reference(&bytes);
        assert_eq!(decode(Decoder::DEFAULT_LIMIT, [&bytes[..]]), expected, "{bytes:?}");
        assert_eq!(decode(Decoder::DEFAULT_LIMIT, bytes.chunks(1)), expected, "{bytes:?}");
        let mut chunks = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (chunk, tail) = rest.split_at(1 + random(rest.len()));
            chunks.push(chunk);
            rest = tail;
        }
        assert_eq!(decode(Decoder::DEFAULT_LIMIT, chunks), expected, "{bytes:?}");
    }
}
