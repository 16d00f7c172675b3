use super::{Inputs, Terms, csv, json, json_lines, npy};
use inferium_exact::Shape;
use std::path::Path;

type Parse = fn(&[u8], &mut Inputs) -> Result<(), String>;

fn parse(parse: Parse, bytes: &[u8]) -> Result<Vec<Vec<i32>>, String> {
    let shape = Shape { channels: 1, height: 2, width: 2 };
    let mut inputs = Inputs { terms: Terms { shape, range: (-1, 255), is_sequence: false }, all: Vec::new() };
    parse(bytes, &mut inputs).map(|()| inputs.all)
}

fn numpy(kind: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut head = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (head.len() + 11) % 64 != 0 {
        head.push(' ');
    }
    head.push('\n');
    let length = u16::try_from(head.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, head.as_bytes(), data].concat()
}

#[test]
fn every_format_says_the_same_numbers() {
    let expected = Ok(vec![vec![1, 2, 3, 4], vec![0, -1, 255, 7]]);
    assert_eq!(parse(json_lines, b"[1,2,3,4]\n\n[[0,-1],[255,7]]\n"), expected);
    assert_eq!(parse(json, b"[[1,2,3,4],\n[0,-1,255,7]]"), expected);
    assert_eq!(parse(csv, b"a,b,c,d\n1,2,3,4\n0, -1,255 ,7\n"), expected);
    assert_eq!(parse(csv, b"1,2,3,4\r\n0,-1,255,7"), expected);
    let numbers = [1, 2, 3, 4, 0, -1, 255, 7];
    let wide: Vec<u8> = numbers.iter().flat_map(|number: &i64| number.to_le_bytes()).collect();
    assert_eq!(parse(npy, &numpy("<i8", "False", "(2, 4)", &wide)), expected);
    assert_eq!(parse(npy, &numpy("<i8", "False", "(2, 1, 2, 2)", &wide)), expected);
    let short: Vec<u8> = numbers.iter().flat_map(|number| i16::try_from(*number).unwrap().to_le_bytes()).collect();
    assert_eq!(parse(npy, &numpy("<i2", "False", "(8,)", &short)), expected);
    assert_eq!(parse(npy, &numpy("|u1", "False", "(4,)", &[9, 8, 7, 6])), Ok(vec![vec![9, 8, 7, 6]]));
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let refused = |with: Parse, bytes: &[u8], reason: &str| {
        let found = parse(with, bytes).unwrap_err();
        assert!(found.contains(reason), "{found:?} does not say {reason:?}");
    };
    refused(json_lines, b"[1,2,3,4]\n[1,2,3]\n", "line 2: 3 numbers; the model takes 4 (1 by 2 by 2)");
    refused(json_lines, b"[1,2,3,256]", "line 1: number 4 is 256; the model takes -1 to 255");
    refused(json_lines, b"[1,2,3,9223372036854775808]", "no whole number");
    refused(json_lines, b"[1,2,3,0.5]", "line 1: 0.5 is no whole number");
    refused(json_lines, b"{\"a\": 1}", "array of whole numbers");
    refused(json_lines, b"[1,2", "line 1: EOF");
    refused(json_lines, b"\xff", "UTF-8");
    refused(json, b"[1,2,3,4,5]", "5 numbers are no whole number of inputs");
    refused(csv, b"1,2,3,x", "line 1: \"x\" is no whole number");
    refused(csv, b"a,b,c,d\n1,2,3,4.0", "line 2: \"4.0\"");
    refused(npy, b"PK", "not a NumPy file");
    refused(npy, &numpy("<f4", "False", "(1,)", &[0; 4]), "kind \"<f4\"");
    refused(npy, &numpy("|u1", "True", "(4,)", &[0; 4]), "in columns");
    refused(npy, &numpy("|u1", "False", "(5,)", &[0; 4]), "cut");
    refused(npy, &numpy("|u1", "False", "(99999999999, 99999999999)", &[0; 4]), "cut");
}

#[test]
fn damaged_numpy_files_are_refused_without_a_panic() {
    let whole = numpy("<i4", "False", "(1, 4)", &[0; 16]);
    assert!(parse(npy, &whole).is_ok());
    for length in 0..whole.len() {
        assert!(parse(npy, &whole[..length]).is_err(), "{length} bytes");
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        let _ = parse(npy, &damaged);
    }
}

#[test]
fn sequences_are_as_long_as_they_are_up_to_the_models_longest() {
    let shape = Shape { channels: 1, height: 1, width: 3 };
    let read = |text: &str| {
        let mut inputs = Inputs { terms: Terms { shape, range: (0, 9), is_sequence: true }, all: Vec::new() };
        json_lines(text.as_bytes(), &mut inputs).map(|()| inputs.all)
    };
    assert_eq!(read("[1]\n[1, 2, 3]\n[4, 5]"), Ok(vec![vec![1], vec![1, 2, 3], vec![4, 5]]));
    assert_eq!(read("[1]\n[]"), Err("line 2: 0 numbers; the model takes 1 to 3".to_owned()));
    assert_eq!(read("[1, 2, 3, 4]"), Err("line 1: 4 numbers; the model takes 1 to 3".to_owned()));
    let terms = Terms { shape, range: (0, 9), is_sequence: true };
    let refused = super::read(Path::new("tokens.csv"), terms).unwrap_err().to_string();
    assert!(refused.contains("sequences of differing length are read from .jsonl files"), "{refused}");
}
