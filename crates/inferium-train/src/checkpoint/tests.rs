use super::{Checkpoint, InvalidCheckpoint};
use crate::head::tests::trainer;
use crate::{TensorShape, Trainer, run_interval};
use inferium_fuzz::{Form, Memory, Outcome, Target};
use inferium_types::Digest;

/// Before the first interval, and after it.
fn checkpoints() -> [Checkpoint; 2] {
    let trainer = trainer();
    let first = Checkpoint { spec: trainer.spec().digest(), record: None, state: trainer.initial() };
    let (state, record) = run_interval(&trainer, first.next_job(), first.state.clone(), &mut |_| ()).unwrap();
    [first.clone(), Checkpoint { record: Some(record), state, ..first }]
}

fn shapes() -> Vec<TensorShape> {
    trainer().shapes()
}

#[test]
fn bytes_and_checkpoint_are_one_to_one() {
    for checkpoint in checkpoints() {
        let bytes = checkpoint.to_bytes(&shapes());
        let read = Checkpoint::from_bytes(&bytes, checkpoint.spec, &shapes()).unwrap();
        assert_eq!(read, checkpoint);
        assert_eq!(read.root(), checkpoint.root());
        assert_eq!(read.to_bytes(&shapes()), bytes);
    }
}

#[test]
fn what_was_cut_off_or_changed_anywhere_is_damaged() {
    let [_, checkpoint] = checkpoints();
    let bytes = checkpoint.to_bytes(&shapes());
    let read = |bytes: &[u8]| Checkpoint::from_bytes(bytes, checkpoint.spec, &shapes());
    for length in [0, 10, super::MAGIC.len() - 1] {
        assert_eq!(read(&bytes[..length]).unwrap_err(), InvalidCheckpoint::Magic);
    }
    for length in [super::MAGIC.len(), 60, bytes.len() / 2, bytes.len() - 1] {
        assert_eq!(read(&bytes[..length]).unwrap_err(), InvalidCheckpoint::Damaged);
    }
    for place in (super::MAGIC.len()..bytes.len()).step_by(97) {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        assert_eq!(read(&changed).unwrap_err(), InvalidCheckpoint::Damaged, "byte {place}");
    }
}

#[test]
fn another_run_or_shape_is_refused_by_name() {
    let [_, checkpoint] = checkpoints();
    let bytes = checkpoint.to_bytes(&shapes());
    let (expected, found) = (Digest::of("another", &[]), checkpoint.spec);
    let refused = Checkpoint::from_bytes(&bytes, expected, &shapes()).unwrap_err();
    assert_eq!(refused, InvalidCheckpoint::AnotherRun { expected, found });
    let mut other = shapes();
    other[0].dimensions[1] += 1;
    let refused = Checkpoint::from_bytes(&bytes, found, &other).unwrap_err();
    assert_eq!(refused.to_string(), "tensor 0 of the checkpoint is \"weight\" [3, 24], and not \"weight\" [3, 25]");
    let refused = Checkpoint::from_bytes(&bytes, found, &shapes()[..1]).unwrap_err();
    assert_eq!(refused.to_string(), "tensor 1 of the checkpoint is \"bias\" [3], and not none");
}

#[test]
fn a_state_that_its_record_does_not_name_is_refused() {
    let [mut first, checkpoint] = checkpoints();
    let read = |checkpoint: &Checkpoint| {
        Checkpoint::from_bytes(&checkpoint.to_bytes(&shapes()), checkpoint.spec, &shapes()).unwrap_err()
    };
    let mut other = checkpoint.clone();
    other.state.parameters[3] += 1.0;
    assert_eq!(read(&other), InvalidCheckpoint::Inconsistent { what: "state" });
    let mut other = checkpoint;
    other.record.as_mut().unwrap().steps.last_mut().unwrap().step += 1;
    assert_eq!(read(&other), InvalidCheckpoint::Inconsistent { what: "step" });
    first.state.step = 1;
    assert_eq!(read(&first), InvalidCheckpoint::Inconsistent { what: "step" });
}

/// Content with magic and a digest that fits: what whoever makes a checkpoint up hands in.
fn sealed(content: &[u8]) -> Vec<u8> {
    let mut bytes = super::MAGIC.to_vec();
    bytes.extend_from_slice(content);
    let digest = Digest::sha256(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

#[test]
fn damaged_content_is_refused_or_read_as_what_it_says() {
    let content = |checkpoint: &Checkpoint| {
        let bytes = checkpoint.to_bytes(&shapes());
        bytes[super::MAGIC.len()..bytes.len() - 32].to_vec()
    };
    let target = Target {
        name: "a checkpoint",
        form: Form::Binary,
        cases: 2_000,
        memory: Memory { fixed: 1 << 21, per_byte: 64 },
    };
    let spec = trainer().spec().digest();
    let samples: Vec<Vec<u8>> = checkpoints().iter().map(content).collect();
    let (shapes, mut read) = (shapes(), 0);
    let tally = target.run(&samples, |bytes| match Checkpoint::from_bytes(&sealed(bytes), spec, &shapes) {
        Ok(checkpoint) => {
            read += 1;
            Outcome::Encodes(content(&checkpoint))
        }
        Err(_) => Outcome::Refused,
    });
    assert_eq!(tally.unwrap().cases, 2_000);
    assert!(read > 0, "a changed weight of a first state is another state");
}

#[test]
fn a_first_state_has_no_record() {
    let [first, after] = checkpoints();
    let mut stored = super::read(&after.to_bytes(&shapes())).unwrap();
    (stored.index, stored.state) = (0, first.state.to_bytes());
    let bytes = sealed(&inferium_types::encode(&stored));
    let refused = Checkpoint::from_bytes(&bytes, first.spec, &shapes()).unwrap_err();
    assert_eq!(refused, InvalidCheckpoint::Inconsistent { what: "record" });
}

#[test]
fn numbers_that_are_none_are_refused() {
    let [first, after] = checkpoints();
    let read =
        |checkpoint: &Checkpoint| Checkpoint::from_bytes(&checkpoint.to_bytes(&shapes()), checkpoint.spec, &shapes());
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut wrong = first.clone();
        *wrong.state.second_moment.last_mut().unwrap() = bad;
        assert_eq!(read(&wrong).unwrap_err(), InvalidCheckpoint::NotFinite { what: "number" });
        let mut wrong = after.clone();
        wrong.record.as_mut().unwrap().steps[0].loss_bits = bad.to_bits();
        assert_eq!(read(&wrong).unwrap_err(), InvalidCheckpoint::NotFinite { what: "loss" });
    }
    let mut largest = first;
    largest.state.parameters[0] = f32::MAX;
    assert!(read(&largest).is_ok());
}
