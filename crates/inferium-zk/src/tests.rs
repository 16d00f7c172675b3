use inferium_exact::{run, synthetic};

use super::*;
use crate::field::Stream;

pub(crate) struct Case {
    pub(crate) key: ProvingKey,
    pub(crate) input: Vec<i32>,
    pub(crate) statement: Statement,
}

pub(crate) fn rng(name: &str) -> Stream {
    Stream::new(&[7; 32], name)
}

pub(crate) fn case(name: &str, hiding: Hiding) -> Case {
    let (model, input) = synthetic(name).unwrap().unwrap();
    let output = run(&model, &input).unwrap().output().to_vec();
    let key = ProvingKey::new(model).unwrap();
    let input_root = *key.commit(&input, &[3; 32], hiding).unwrap().root();
    let statement =
        Statement { input: input_root, output, task: [1; 32], chain: [2; 32], prover: [3; 32], hiding };
    Case { key, input, statement }
}

impl Case {
    pub(crate) fn commitment(&self) -> InputCommitment {
        self.key.commit(&self.input, &[3; 32], self.statement.hiding).unwrap()
    }

    pub(crate) fn proof(&self) -> Proof {
        self.key.prove(self.commitment(), &self.statement, &mut rng("proof")).unwrap()
    }
}

#[test]
fn a_true_statement_is_proved() {
    for name in ["mlp-tiny", "cnn-tiny"] {
        let case = case(name, Hiding::Nothing);
        assert_eq!(verify(case.key.verifying_key(), &case.statement, &case.proof()), Ok(()), "{name}");
    }
}

#[test]
fn a_true_statement_is_proved_in_hiding() {
    for name in ["mlp-tiny", "cnn-tiny"] {
        let case = case(name, Hiding::Activations);
        assert_eq!(verify(case.key.verifying_key(), &case.statement, &case.proof()), Ok(()), "{name}");
    }
}
