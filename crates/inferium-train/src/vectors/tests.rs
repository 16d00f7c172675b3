use super::{InvalidVectors, Vectors};
use inferium_fuzz::{Form, Memory, Outcome, Target};
use inferium_types::Digest;

fn vectors() -> Vectors {
    Vectors::new(3, (0_u8..12).map(f32::from).collect()).unwrap()
}

#[test]
fn the_root_knows_every_bit_and_place() {
    let good = vectors();
    assert_eq!((good.lines(), good.width(), good.line(3)), (4, 3, Some(&[9.0, 10.0, 11.0][..])));
    assert_eq!((good.line(4), good.line(usize::MAX)), (None, None));
    let mut numbers: Vec<f32> = (0_u8..12).map(f32::from).collect();
    numbers[0] = -0.0;
    let other = Vectors::new(3, numbers.clone()).unwrap();
    assert_ne!(other.root(), good.root(), "zero has two signs");
    assert!(good.is(0, &[0.0, 1.0, 2.0]) && !good.is(0, &[-0.0, 1.0, 2.0]) && !good.is(0, &[0.0, 1.0]));
    numbers[0] = 0.0;
    numbers.rotate_left(3);
    assert_ne!(Vectors::new(3, numbers.clone()).unwrap().root(), good.root());
    numbers.rotate_right(3);
    assert_ne!(Vectors::new(4, numbers.clone()).unwrap().root(), good.root());
    assert_eq!(Vectors::new(3, numbers).unwrap().root(), good.root());
}

#[test]
fn what_is_not_whole_is_refused() {
    let refused = |width, count| Vectors::new(width, vec![0.5; count]).unwrap_err();
    assert_eq!(refused(3, 4), InvalidVectors::Width { numbers: 4, width: 3 });
    assert_eq!(refused(0, 4), InvalidVectors::Width { numbers: 4, width: 0 });
    assert_eq!(refused(3, 0), InvalidVectors::Width { numbers: 0, width: 3 });
    assert!(Vectors::new(3, vec![0.5; 3]).is_ok());
}

#[test]
fn a_file_is_read_as_what_it_holds_or_refused() {
    let source = Digest::of("source", &[]);
    let bytes = vectors().to_bytes(&source);
    assert_eq!(Vectors::from_bytes(&bytes, &source), Ok(vectors()));
    assert_eq!(Vectors::from_bytes(&bytes, &Digest::ZERO), Err(InvalidVectors::Source));
    assert_eq!(Vectors::from_bytes(&bytes[1..], &source), Err(InvalidVectors::Magic));
    assert!(matches!(Vectors::from_bytes(&bytes[..bytes.len() - 1], &source), Err(InvalidVectors::Width { .. })));
    let memory = Memory { fixed: 1 << 12, per_byte: 64 };
    let target = Target { name: "vectors", form: Form::Binary, cases: 2_000, memory };
    let tally = target.run(&[bytes], |bytes| match Vectors::from_bytes(bytes, &source) {
        Ok(vectors) => Outcome::Encodes(vectors.to_bytes(&source)),
        Err(_) => Outcome::Refused,
    });
    assert!(tally.unwrap().refused > 0);
}
