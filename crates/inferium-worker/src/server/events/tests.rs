use super::*;

/// The data of all events, the bytes cut at every `size`.
fn read(text: &[u8], size: usize) -> Result<Vec<String>, ServerError> {
    let mut events = Events::default();
    let mut all = Vec::new();
    for part in text.chunks(size) {
        all.extend(events.push(part)?);
    }
    Ok(all)
}

#[test]
fn events_are_read_wherever_the_bytes_are_cut() {
    let text = ": a comment\r\nevent: message\r\nid: 7\r\ndata: {\"a\":\"ü\"}\r\n\r\ndata:two\ndata: lines\n\ndata: [DONE]\r\r".as_bytes();
    for size in 1..=text.len() {
        assert_eq!(read(text, size).unwrap(), ["{\"a\":\"ü\"}", "two\nlines", "[DONE]"], "{size}");
    }
}

#[test]
fn what_no_empty_line_ends_is_no_event() {
    assert_eq!(read(b"data: half\n", 3).unwrap(), Vec::<String>::new());
    assert_eq!(read(b"\n\n\r\n", 1).unwrap(), Vec::<String>::new());
    assert_eq!(read(b"data\n\ndatum: x\n\n", 4).unwrap(), Vec::<String>::new());
    assert_eq!(read(b"data:\n\n", 2).unwrap(), [""], "empty data is data");
    assert_eq!(read(b"data:  x\n\n", 2).unwrap(), [" x"], "one space belongs to the format");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    assert_eq!(read(b"data: \xff\xfe\n\n", 4), Err(ServerError::Broken { what: "not UTF-8" }));
    assert_eq!(read(b": \xc3\n", 4), Err(ServerError::Broken { what: "not UTF-8" }), "in a comment, too");
}

#[test]
fn lines_and_events_have_an_end() {
    let mut events = Events::default();
    let most = vec![b'x'; LINE_MAX];
    assert_eq!(events.push(&most), Ok(vec![]));
    assert_eq!(events.push(b"x"), Err(ServerError::Broken { what: "a line without end" }));
    let line = [b"data:".as_slice(), &vec![b'x'; LINE_MAX / 2], b"\n"].concat();
    let mut events = Events::default();
    assert_eq!(events.push(&line), Ok(vec![]));
    assert_eq!(events.push(&line), Ok(vec![]));
    assert_eq!(events.push(&line), Err(ServerError::Broken { what: "an event without end" }));
}
