//! What proofs prove, and what is rejected.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod batches;
mod files;
mod hiding;
mod honest;
mod private;
mod provers;
mod shapes;
mod tamper;

use inferium_exact::{Model, Trace, run, synthetic};
use inferium_zk::{Hiding, InputCommitment, Proof, ProvingKey, Statement};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// A model, an input, and the true statement about them.
struct Case {
    key: ProvingKey,
    input: Vec<i32>,
    trace: Trace,
    statement: Statement,
}

const SEED: [u8; 32] = [3; 32];

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn case(name: &str, hiding: Hiding) -> Case {
    let (model, input) = synthetic(name).unwrap().unwrap();
    case_of(model, input, hiding)
}

fn case_of(model: Model, input: Vec<i32>, hiding: Hiding) -> Case {
    let trace = run(&model, &input).unwrap();
    let key = ProvingKey::new(model).unwrap();
    let root = *key.commit(&input, &SEED, hiding).unwrap().root();
    let output = trace.output().to_vec();
    let statement = Statement { input: root, output, task: [1; 32], chain: [2; 32], prover: [3; 32], hiding };
    Case { key, input, trace, statement }
}

/// On one thread: of the numbers that are ground for several are as good, and the library takes the one that a thread finds first.
fn in_order<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(work)
}

impl Case {
    fn commitment(&self) -> InputCommitment {
        self.key.commit(&self.input, &SEED, self.statement.hiding).unwrap()
    }

    fn proof(&self) -> Proof {
        in_order(|| self.key.prove(self.commitment(), &self.statement, &mut rng(1)).unwrap())
    }
}
