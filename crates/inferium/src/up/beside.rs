//! What workers and judges have beside the models that are served: what is trained on, and what proves.

use super::engine::Served;
use crate::cli::{ClassKind, EngineKind, Failure, ServingArgs, UpArgs};
use crate::progress::{Step, say};
use crate::zk::{name_of, secret::SecretFile};
use inferium_engine::source::ModelKind;
use inferium_engine::{Model, Prover};
use inferium_train::{AdapterBase, Ground};
use inferium_types::{Amount, ChainId, ModelProfile, ProfileId};
use inferium_zk::{KEY_BYTES_MAX, VerifyingKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a worker asks for a token of a proof, of which each has some thousand.
pub(crate) const PROOF_TOKEN_PRICE: Amount = Amount::from_nano(100);

/// All of it, loaded once for all roles of the process.
pub(crate) struct Beside {
    /// What is trained on; nothing where nothing is trained.
    pub(crate) grounds: Vec<Ground>,
    /// What proves, by the classifier's profile.
    provers: Vec<(ProfileId, Arc<Prover>)>,
    /// Classifiers of private weights, by their keys.
    pub(crate) private: Vec<Arc<Prover>>,
}

impl Beside {
    pub(crate) fn load(arguments: &UpArgs, models: &Path, served: &[Served], chain: ChainId) -> Result<Self, Failure> {
        let mut grounds = Vec::new();
        if arguments.training {
            grounds.push(Ground::Vectors);
            grounds.extend(adapters(&arguments.serving, models)?);
        }
        let provers = served.iter().filter_map(|served| Some((served.profile.id(), prover(served, chain)?)));
        let private = private(&arguments.private, served, chain)?;
        Ok(Self { grounds, provers: provers.collect(), private })
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
        let provers = self.provers.iter().map(|(_, prover)| prover).chain(&self.private);
        grounds.chain(provers.map(|prover| (prover.profile(), Model::Prover(Arc::clone(prover)))))
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

/// What verifies answers by private weights, of each of which there is the key alone.
fn private(keys: &[PathBuf], served: &[Served], chain: ChainId) -> Result<Vec<Arc<Prover>>, Failure> {
    let mut found: Vec<Arc<Prover>> = Vec::new();
    for path in keys {
        let name = name_of(path);
        let wrong = |why: &str| Failure::usage(format!("{}: {why}", path.display()));
        let is_taken = served.iter().any(|served| served.profile.name == name)
            || found.iter().any(|prover| prover.profile().name == name);
        if is_taken || name.is_empty() {
            return Err(wrong(&format!("there is another model of the name {name}")));
        }
        let bytes = crate::files::read(path, KEY_BYTES_MAX as u64)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|error| wrong(&error.to_string()))?;
        let prover = Prover::verifier(&name, key, chain).map_err(|error| wrong(&error.to_string()))?;
        let prover = prover.ok_or_else(|| wrong("a key of public weights: serve the model with --classifier"))?;
        if !prover.profile().is_well_formed() {
            return Err(wrong("a name that is too long"));
        }
        found.push(Arc::new(prover));
    }
    Ok(found)
}

/// What answers by private weights, at their owner.
pub(crate) fn owner((path, secret): (&Path, &Path), chain: ChainId) -> Result<Arc<Prover>, Failure> {
    let (name, model) = (name_of(path), crate::exact::load(path)?);
    let secret = SecretFile::open(secret)?;
    let step = Step::begin(&format!("private weights: {name}"));
    let (seed, wanted, spent) = secret.parts(&model)?;
    let secret = Arc::new(secret);
    let counting = Arc::clone(&secret);
    let spend = Box::new(move || counting.spend());
    let prover = Prover::private((&name, model), (&seed, wanted, spent), spend, chain);
    let prover = prover.map_err(|error| Failure::refused(format!("{}: {error}", path.display())))?;
    secret.check(prover.verifying_key())?;
    step.done();
    say(&format!("  {} more proofs hide the weights of {name}", prover.openings_left().unwrap_or(0)));
    Ok(Arc::new(prover))
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
