//! Files: a proof with the statement that it proves, and a verifier's key.

use serde::{Deserialize, Serialize};

use crate::circuit::build_circuit;
use crate::error::FileError;
use crate::oracle::Root;
use crate::outline::Outline;
use crate::private::{BLINDING_BITS_MAX, blind, private_id};
use crate::proof::{PROOF_BYTES_MAX, Proof};
use crate::prove::demand;
use crate::statement::{Hiding, Statement, VerifyingKey};

/// Largest file of a proof that is read, in bytes: a proof, and a statement with a million outputs.
pub const FILE_BYTES_MAX: usize = PROOF_BYTES_MAX + (6 << 20);
/// Largest file of a key that is read, in bytes: a node takes fewer than 32.
pub const KEY_BYTES_MAX: usize = 1 << 16;

const PROOF_MAGIC: [u8; 4] = *b"IZP\x01";
const KEY_MAGIC: [u8; 4] = *b"IZK\x01";
const PRIVATE_KEY_MAGIC: [u8; 4] = *b"IZK\x02";

/// A proof and what it proves: with the model's key, all that a verifier needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofFile {
    /// Id of the model that was run.
    pub model: [u8; 32],
    /// What is proved of it.
    pub statement: Statement,
    /// The proof.
    pub proof: Proof,
}

/// What the bytes behind the magic are.
#[derive(Serialize, Deserialize)]
struct Contents {
    model: [u8; 32],
    input: [u8; 32],
    output: Vec<i32>,
    task: [u8; 32],
    chain: [u8; 32],
    prover: [u8; 32],
    hides_activations: bool,
    proof: Vec<u8>,
}

/// Of private weights: the id follows from the rest.
#[derive(Serialize, Deserialize)]
struct PrivateKeyContents {
    weights: Root,
    outline: Outline,
    blinding: u8,
}

#[derive(Serialize, Deserialize)]
struct KeyContents {
    model: [u8; 32],
    weights: Root,
    outline: Outline,
}

impl ProofFile {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`FileError::Encoding`] when it is larger than is read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        let Statement { input, output, task, chain, prover, hiding } = self.statement.clone();
        let contents = Contents {
            model: self.model,
            input,
            output,
            task,
            chain,
            prover,
            hides_activations: hiding == Hiding::Activations,
            proof: self.proof.as_bytes().to_vec(),
        };
        write(PROOF_MAGIC, &contents).filter(|bytes| bytes.len() <= FILE_BYTES_MAX).ok_or(FileError::Encoding)
    }

    /// Reads a file. Whether the proof is one of the statement is what [`crate::verify`] finds.
    ///
    /// # Errors
    /// [`FileError`]; never a panic, and memory stays within a small multiple of the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let contents: Contents = read(PROOF_MAGIC, bytes, FILE_BYTES_MAX, "a file of a proof")?;
        let Contents { model, input, output, task, chain, prover, hides_activations, proof } = contents;
        let hiding = if hides_activations { Hiding::Activations } else { Hiding::Nothing };
        let statement = Statement { input, output, task, chain, prover, hiding };
        Ok(Self { model, statement, proof: Proof::from_bytes(proof) })
    }
}

impl VerifyingKey {
    /// The key as a file: some hundred bytes, whatever the model's size.
    ///
    /// # Errors
    /// [`FileError::Encoding`] when it is larger than is read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        let (weights, outline) = (self.weights, self.outline.clone());
        let bytes = match u8::try_from(self.blinding) {
            Ok(0) => write(KEY_MAGIC, &KeyContents { model: self.model, weights, outline }),
            Ok(blinding) => write(PRIVATE_KEY_MAGIC, &PrivateKeyContents { weights, outline, blinding }),
            Err(_) => None,
        };
        bytes.filter(|bytes| bytes.len() <= KEY_BYTES_MAX).ok_or(FileError::Encoding)
    }

    /// Reads a key. It is as good as where it comes from: that it belongs to the model whose id it has, and that the
    /// model passed the gate of the contract, only [`crate::register`] shows. Of private weights it is all there is, and
    /// says its id itself: whatever was committed to is the model. Takes as much memory as verifying
    /// for a model of these sizes does, none of which is larger than can be proved.
    ///
    /// # Errors
    /// [`FileError`]; never a panic.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        const WHAT: &str = "a file of a key";
        let (model, weights, outline, blinding) = if bytes.starts_with(&PRIVATE_KEY_MAGIC) {
            let contents: PrivateKeyContents = read(PRIVATE_KEY_MAGIC, bytes, KEY_BYTES_MAX, WHAT)?;
            let PrivateKeyContents { weights, outline, blinding } = contents;
            let blinding = usize::from(blinding);
            if !(1..=BLINDING_BITS_MAX).contains(&blinding) {
                return Err(FileError::Encoding);
            }
            (private_id(&outline, &weights, blinding), weights, outline, blinding)
        } else {
            let KeyContents { model, weights, outline } = read(KEY_MAGIC, bytes, KEY_BYTES_MAX, WHAT)?;
            (model, weights, outline, 0)
        };
        let circuit = blind(build_circuit(&outline.model()?)?, blinding)?;
        Ok(demand(Self { circuit, outline, model, weights, blinding, demand: crate::channel::Demand::NONE })?)
    }
}

fn write(magic: [u8; 4], contents: &impl Serialize) -> Option<Vec<u8>> {
    let mut bytes = magic.to_vec();
    bytes.extend(postcard::to_allocvec(contents).ok()?);
    Some(bytes)
}

/// Takes only the bytes that the contents are written as.
fn read<T: Serialize + for<'a> Deserialize<'a>>(
    magic: [u8; 4],
    bytes: &[u8],
    most: usize,
    what: &'static str,
) -> Result<T, FileError> {
    let rest = bytes.strip_prefix(&magic).filter(|_| bytes.len() <= most).ok_or(FileError::Kind(what))?;
    let contents: T = postcard::from_bytes(rest).map_err(|_| FileError::Encoding)?;
    match write(magic, &contents) {
        Some(again) if again == bytes => Ok(contents),
        Some(_) | None => Err(FileError::Encoding),
    }
}
