//! What workers and judges have beside the models that are served: what is trained on, and what proves.

use super::engine::Served;
use crate::cli::{ClassKind, EngineKind, Failure, ServingArgs, UpArgs};
use crate::progress::{Step, say};
use inferium_engine::source::ModelKind;
use inferium_engine::{Model, Prover};
use inferium_train::{AdapterBase, Ground};
use inferium_types::{Amount, ChainId, ModelProfile, ProfileId};
use std::path::Path;
use std::sync::Arc;

/// What a worker asks for a token of a proof, of which each has some thousand.
pub(crate) const PROOF_TOKEN_PRICE: Amount = Amount::from_nano(100);

/// All of it, loaded once for all roles of the process.
pub(crate) struct Beside {
    /// What is trained on; nothing where nothing is trained.
    pub(crate) grounds: Vec<Ground>,
    /// What proves, by the classifier's profile.
    provers: Vec<(ProfileId, Arc<Prover>)>,
}

impl Beside {
    pub(crate) fn load(arguments: &UpArgs, models: &Path, served: &[Served], chain: ChainId) -> Result<Self, Failure> {
        let mut grounds = Vec::new();
        if arguments.training {
            grounds.push(Ground::Vectors);
            grounds.extend(adapters(&arguments.serving, models)?);
        }
        let provers = served.iter().filter_map(|served| Some((served.profile.id(), prover(served, chain)?)));
        Ok(Self { grounds, provers: provers.collect() })
    }

    /// What proves answers of a classifier.
    pub(crate) fn prover(&self, classifier: &ProfileId) -> Option<&Arc<Prover>> {
        self.provers.iter().find(|(of, _)| of == classifier).map(|(_, prover)| prover)
    }

    /// Provers with their classifiers' profiles.
    pub(crate) fn provers(&self) -> &[(ProfileId, Arc<Prover>)] {
        &self.provers
    }

    /// What validators judge beside what is served. Classifiers' training is everybody's who runs this software (SPEC X3).
    pub(crate) fn judged(&self) -> impl Iterator<Item = (ModelProfile, Model)> {
        let grounds = self.grounds.iter().filter(|ground| !matches!(ground, Ground::Vectors));
        let grounds = grounds.map(|ground| (ground.profile(), ground.model()));
        let provers = self.provers.iter().map(|(_, prover)| (prover.profile(), Model::Prover(Arc::clone(prover))));
        grounds.chain(provers)
    }
}

/// Training of adapters on the model that chats: of a GGUF file that the canonical engine reads.
pub(crate) fn adapters(arguments: &ServingArgs, models: &Path) -> Result<Option<Ground>, Failure> {
    if arguments.engine != EngineKind::Llama || arguments.class() != ClassKind::Canonical {
        return Ok(None);
    }
    let (name, path) = crate::model::pull(&arguments.model, ModelKind::Chat, models)?;
    let step = Step::begin(&format!("adapters: {name}"));
    let threads =
        arguments.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let base = AdapterBase::load(name, &path, threads).map_err(|error| Failure::failed(error.to_string()))?;
    step.done();
    Ok(Some(Ground::Decoder(Arc::new(base))))
}

/// What proves answers of a model, if it is a classifier of numbers that can be proved.
pub(crate) fn prover(served: &Served, chain: ChainId) -> Option<Arc<Prover>> {
    let Model::Classifier(classifier) = &served.model else { return None };
    let model = classifier.provable()?;
    let name = &served.profile.name;
    let step = Step::begin(&format!("proofs: {name}"));
    match Prover::new(model.clone(), chain) {
        Ok(prover) => {
            step.done();
            Some(Arc::new(prover))
        }
        Err(error) => {
            step.done();
            say(&format!("  what {name} says can't be proved: {error}"));
            None
        }
    }
}
