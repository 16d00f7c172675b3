//! SPEC J1, V11: what is committed to opens part by part, and each part says nothing of the others.

use crate::{
    ClassifierInputs, Committed, CommittedKind, Digest, Embedding, InputPart, JobAnswer, JobInput, JobOutput,
    JobPayload, Logits, OpenedInput, OpenedOutput,
};

fn texts() -> JobPayload {
    let input = JobInput::Embed {
        texts: vec!["one".into(), "two".into(), "three".into()],
        tokens: vec![vec![1], vec![2, 3], vec![4]],
    };
    JobPayload { salt: [7; 32], input }
}

fn tensors() -> JobPayload {
    JobPayload::classify([7; 32], ClassifierInputs::Tensors(vec![vec![1, -2], vec![3, 4]]))
}

#[test]
fn each_part_of_an_input_opens_its_commitment() {
    for (payload, kind, parts) in [(texts(), CommittedKind::Tokens, 3), (tensors(), CommittedKind::Tensors, 2)] {
        let committed = payload.committed();
        assert_eq!((committed.kind, committed.parts), (kind, parts));
        assert_eq!(OpenedInput::Aside(committed).commitment(), Some(payload.commitment()));
        for index in 0..usize::try_from(parts).unwrap() {
            let opened = payload.open_part(index).unwrap();
            assert_eq!(opened.committed(), Some(committed));
            assert_eq!(opened.commitment(), Some(payload.commitment()));
        }
        assert!(payload.open_part(usize::try_from(parts).unwrap()).is_none());
    }
    let OpenedInput::Part { part, .. } = texts().open_part(1).unwrap() else { panic!("a part") };
    assert_eq!(part.integers(), [2, 3]);
    assert_eq!(part, InputPart::Tokens { text: Digest::of("inferium/text/1", &[b"two"]), tokens: vec![2, 3] });
    assert_eq!(format!("{part:?}"), "2 tokens", "SPEC J2");
    let OpenedInput::Part { part, .. } = tensors().open_part(0).unwrap() else { panic!("a part") };
    assert_eq!((part.integers(), format!("{part:?}")), (vec![1, -2], "a tensor of 2 elements".to_owned()));
}

#[test]
fn nothing_else_opens_it() {
    let payload = texts();
    let OpenedInput::Part { salt, part, path } = payload.open_part(1).unwrap() else { panic!("a part") };
    let other = |salt, part: InputPart, path| OpenedInput::Part { salt, part, path }.commitment();
    assert_eq!(other(salt, part.clone(), path.clone()), Some(payload.commitment()));
    assert_ne!(other(Digest::ZERO, part.clone(), path.clone()), Some(payload.commitment()));
    let InputPart::Tokens { text, tokens } = part.clone() else { panic!("tokens") };
    for changed in [
        InputPart::Tokens { text: Digest::ZERO, tokens },
        InputPart::Tokens { text, tokens: vec![3, 2] },
        InputPart::Tensor(vec![2, 3]),
    ] {
        assert_ne!(other(salt, changed, path.clone()), Some(payload.commitment()));
    }
    let mut moved = path.clone();
    moved.index = 2;
    assert_ne!(other(salt, part.clone(), moved), Some(payload.commitment()));
    let mut longer = path;
    longer.siblings.push(Digest::ZERO);
    assert_eq!(other(salt, part, longer), None, "a path of another shape");
    let more = Committed { parts: 4, ..payload.committed() };
    assert_ne!(OpenedInput::Aside(more).commitment(), Some(payload.commitment()));
}

/// Equal parts have leaves of their own, and who knows one salt knows no other.
#[test]
fn every_part_has_a_salt_of_its_own() {
    let payload = JobPayload::classify([7; 32], ClassifierInputs::Tensors(vec![vec![1]; 2]));
    let salts = [0, 1].map(|index| match payload.open_part(index).unwrap() {
        OpenedInput::Part { salt, path, .. } => (salt, path.siblings),
        OpenedInput::Aside(_) => panic!("a part"),
    });
    assert_ne!(salts[0].0, salts[1].0);
    assert_ne!(salts[0].1, salts[1].1, "leaves differ");
    assert!(salts.iter().all(|(salt, _)| *salt.as_bytes() != payload.salt));
    let again = JobPayload { salt: [8; 32], ..payload.clone() };
    assert_ne!(again.commitment(), payload.commitment());
}

#[test]
fn what_is_never_shown_in_parts_is_committed_to_whole() {
    let floats = JobPayload::embed([1; 32], vec!["one".into()]);
    let conversation = JobPayload::chat([1; 32], Vec::new(), Vec::new());
    let classified = JobPayload::classify([1; 32], ClassifierInputs::Texts(vec!["one".into()]));
    for payload in [floats, conversation, classified] {
        let committed = payload.committed();
        assert_eq!((committed.kind, committed.parts), (CommittedKind::Whole, 0));
        assert!(payload.open_part(0).is_none());
        let other = JobPayload { salt: [2; 32], ..payload.clone() };
        assert_ne!(other.commitment(), payload.commitment());
    }
}

#[test]
fn answers_open_by_the_digest_of_a_part() {
    let logits = vec![Logits::new(vec![1, 2]), Logits::new(vec![3, 4])];
    let vectors = vec![Embedding::new(&[0.5]), Embedding::new(&[1.0])];
    let said: Vec<Digest> = logits.iter().map(Logits::digest).collect();
    let logits = JobOutput { salt: [1; 32], answer: JobAnswer::Logits(logits) };
    assert_eq!(logits.said(), said);
    let vectors = JobOutput { salt: [1; 32], answer: JobAnswer::Embeddings(vectors) };
    for (output, of) in [(logits, CommittedKind::Logits), (vectors, CommittedKind::Vectors)] {
        let committed = output.committed();
        assert_eq!((committed.kind, committed.parts), (of, 2));
        assert_eq!(OpenedOutput::Aside(committed).commitment(), Some(output.commitment()));
        for (index, wanted) in output.said().into_iter().enumerate() {
            let opened = output.open_part(index).unwrap();
            assert_eq!(opened.commitment(), Some(output.commitment()));
            let OpenedOutput::Part { kind, said, .. } = opened else { panic!("a part") };
            assert_eq!((kind, said), (of, wanted));
        }
        assert!(output.open_part(2).is_none());
    }
    let board = JobOutput { salt: [1; 32], answer: JobAnswer::Board("{}".into()) };
    assert_eq!((board.committed().kind, board.said().len()), (CommittedKind::Whole, 0));
    assert!(board.open_part(0).is_none());
}

/// No parts are parts of their kind: an input to which nothing was answered is none of another model, and binds its salt as any.
#[test]
fn no_parts_are_of_their_kind() {
    let nothing = |salt| {
        let tensors = JobPayload::classify([salt; 32], ClassifierInputs::Tensors(Vec::new()));
        let texts = JobPayload::embed([salt; 32], Vec::new());
        let output = |answer| JobOutput { salt: [salt; 32], answer };
        let logits = output(JobAnswer::Logits(Vec::new()));
        let vectors = output(JobAnswer::Embeddings(Vec::new()));
        [tensors.committed(), texts.committed(), logits.committed(), vectors.committed()]
    };
    let kinds = [CommittedKind::Tensors, CommittedKind::Tokens, CommittedKind::Logits, CommittedKind::Vectors];
    for ((one, other), kind) in nothing(1).into_iter().zip(nothing(2)).zip(kinds) {
        assert_eq!((one.kind, one.parts), (kind, 0));
        assert_ne!(one.root, other.root);
    }
}

/// A text without tokens, or tokens without a text, would be in no part.
#[test]
fn everything_of_an_input_is_bound() {
    let JobInput::Embed { texts, tokens } = texts().input else { panic!("texts") };
    let of = |texts: &[String], tokens: &[Vec<u32>]| {
        let input = JobInput::Embed { texts: texts.to_vec(), tokens: tokens.to_vec() };
        JobPayload { salt: [7; 32], input }
    };
    let more = [texts.as_slice(), &["four".into()]].concat();
    let longer = [tokens.as_slice(), &[vec![5]]].concat();
    let payloads =
        [of(&texts, &tokens), of(&more, &tokens), of(&texts, &longer), of(&more, &longer), of(&texts[..2], &tokens)];
    for (at, payload) in payloads.iter().enumerate() {
        let is_even = matches!(&payload.input, JobInput::Embed { texts, tokens } if texts.len() == tokens.len());
        assert_eq!(payload.committed().kind == CommittedKind::Tokens, is_even);
        assert!(payloads[..at].iter().all(|other| other.commitment() != payload.commitment()));
    }
}
