use super::TextStream;
use proptest::prelude::*;

proptest! {
    #[test]
    fn pieces_concatenate_to_the_lossy_text(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..5),
                "[aé漢🦀]{1,2}".prop_map(String::into_bytes),
                // Beginnings of characters, as tokens often end.
                Just(vec![0xF0, 0x9F]), Just(vec![0xA6, 0x80]), Just(vec![0xE6]),
            ],
            0..20,
        ),
    ) {
        let mut stream = TextStream::new();
        let mut text = String::new();
        for piece in &pieces {
            text.push_str(&stream.push_bytes(piece));
        }
        text.push_str(&stream.finish());
        prop_assert_eq!(text, String::from_utf8_lossy(&pieces.concat()).into_owned());
    }
}

#[test]
fn a_split_character_comes_out_whole() {
    let mut stream = TextStream::new();
    let crab = "🦀".as_bytes();
    assert_eq!(stream.push_bytes(&crab[..2]), "");
    assert_eq!(stream.push_bytes(&crab[2..]), "🦀");
    assert_eq!(stream.push_bytes(&crab[..3]), "");
    assert_eq!(stream.finish(), "\u{FFFD}");
    assert_eq!(stream.finish(), "");
}
