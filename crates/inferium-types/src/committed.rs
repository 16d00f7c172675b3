//! What a job's private halves are committed to by: where a ledger may have to look, part by part, so that one can be shown and no other
//! (SPEC J1, V11).

use crate::{
    ClassifierInputs, Digest, Embedding, JobAnswer, JobInput, JobOutput, JobPayload, Logits, MerklePath, merkle_path,
    merkle_root,
};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// What a commitment is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum CommittedKind {
    /// Something of which no part is ever shown.
    Whole,
    /// Tensors, one part each.
    Tensors,
    /// Texts with their tokens, one part each.
    Tokens,
    /// Numbers of a classifier, one part for each input.
    Logits,
    /// Vectors of texts, one part each.
    Vectors,
}

/// What the digest of a commitment is of. It says nothing of what it holds: every part has a salt of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Committed {
    /// What it holds.
    pub kind: CommittedKind,
    /// How many parts; of [`CommittedKind::Whole`] none.
    pub parts: u64,
    /// Merkle root over the salted parts; where there are none, a salted digest of the whole.
    pub root: Digest,
}

/// One part of an input, from which a run of integers begins.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum InputPart {
    /// A tensor.
    Tensor(Vec<i16>),
    /// Tokens of a text.
    Tokens {
        /// Digest of the text.
        text: Digest,
        /// The tokens.
        tokens: Vec<u32>,
    },
}

/// Says nothing of the values (SPEC J2).
impl fmt::Debug for InputPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor(elements) => write!(f, "a tensor of {} elements", elements.len()),
            Self::Tokens { tokens, .. } => write!(f, "{} tokens", tokens.len()),
        }
    }
}

impl InputPart {
    /// What a commitment to such parts is over.
    #[must_use]
    pub const fn kind(&self) -> CommittedKind {
        match self {
            Self::Tensor(_) => CommittedKind::Tensors,
            Self::Tokens { .. } => CommittedKind::Tokens,
        }
    }

    /// The integers that the run begins with.
    #[must_use]
    pub fn integers(&self) -> Vec<i64> {
        match self {
            Self::Tensor(elements) => elements.iter().map(|element| i64::from(*element)).collect(),
            Self::Tokens { tokens, .. } => tokens.iter().map(|token| i64::from(*token)).collect(),
        }
    }

    fn digest(&self) -> Digest {
        Digest::of_value("inferium/input-part/1", self)
    }
}

/// What is shown of an input.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum OpenedInput {
    /// None of its parts: what it is, and how many they are.
    Aside(Committed),
    /// One part.
    Part {
        /// The part's salt.
        salt: Digest,
        /// The part.
        part: InputPart,
        /// Its way to the root.
        path: MerklePath,
    },
}

/// What is shown of an output.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum OpenedOutput {
    /// None of its parts: what it is, and how many they are.
    Aside(Committed),
    /// The digest of one part.
    Part {
        /// What the output is.
        kind: CommittedKind,
        /// The part's salt.
        salt: Digest,
        /// Digest of the part ([`Logits::digest`], [`Embedding::digest`]).
        said: Digest,
        /// Its way to the root.
        path: MerklePath,
    },
}

impl Committed {
    /// Over leaves, or over the whole where there are none.
    fn of(kind: CommittedKind, leaves: &[Digest], whole: impl FnOnce() -> Digest) -> Self {
        let root = if leaves.is_empty() { whole() } else { merkle_root(leaves) };
        Self { kind, parts: leaves.len() as u64, root }
    }

    fn by(kind: CommittedKind, leaf: Digest, path: &MerklePath) -> Option<Self> {
        Some(Self { kind, parts: path.count, root: path.root(leaf)? })
    }

    pub(crate) fn input(&self) -> Digest {
        Digest::of_value("inferium/input/2", self)
    }

    pub(crate) fn output(&self) -> Digest {
        Digest::of_value("inferium/output/2", self)
    }
}

impl OpenedInput {
    /// The commitment that this is shown of. `None` where a path leads nowhere.
    #[must_use]
    pub fn commitment(&self) -> Option<Digest> {
        self.committed().map(|committed| committed.input())
    }

    /// What it is committed to by.
    #[must_use]
    pub fn committed(&self) -> Option<Committed> {
        match self {
            Self::Aside(committed) => Some(*committed),
            Self::Part { salt, part, path } => Committed::by(part.kind(), leaf(salt, &part.digest()), path),
        }
    }
}

impl OpenedOutput {
    /// The commitment that this is shown of. `None` where a path leads nowhere.
    #[must_use]
    pub fn commitment(&self) -> Option<Digest> {
        self.committed().map(|committed| committed.output())
    }

    /// What it is committed to by.
    #[must_use]
    pub fn committed(&self) -> Option<Committed> {
        match self {
            Self::Aside(committed) => Some(*committed),
            Self::Part { kind, salt, said, path } => Committed::by(*kind, leaf(salt, said), path),
        }
    }
}

/// The salt of one part of what has this salt: who is shown it learns no other.
#[must_use]
pub fn part_salt(salt: &[u8; 32], index: usize) -> Digest {
    Digest::of("inferium/part-salt/1", &[salt, &(index as u64).to_be_bytes()])
}

fn leaf(salt: &Digest, part: &Digest) -> Digest {
    Digest::of("inferium/committed-part/1", &[salt.as_bytes(), part.as_bytes()])
}

fn leaves(salt: &[u8; 32], parts: &[Digest]) -> Vec<Digest> {
    parts.iter().enumerate().map(|(index, part)| leaf(&part_salt(salt, index), part)).collect()
}

impl JobPayload {
    /// Parts that can be shown, and what they are; none of an input that no run of integers begins with. Everything that the input holds is in
    /// them: a text without tokens, or tokens without a text, would be in none.
    fn parts(&self) -> (CommittedKind, Vec<InputPart>) {
        match &self.input {
            JobInput::Classify(ClassifierInputs::Tensors(tensors)) => {
                (CommittedKind::Tensors, tensors.iter().cloned().map(InputPart::Tensor).collect())
            }
            JobInput::Embed { texts, tokens } if texts.len() == tokens.len() => {
                let text = |text: &String| Digest::of("inferium/text/1", &[text.as_bytes()]);
                let part = |(of, tokens): (_, &Vec<u32>)| InputPart::Tokens { text: text(of), tokens: tokens.clone() };
                (CommittedKind::Tokens, texts.iter().zip(tokens).map(part).collect())
            }
            _ => (CommittedKind::Whole, Vec::new()),
        }
    }

    fn leaves(&self, parts: &[InputPart]) -> Vec<Digest> {
        leaves(&self.salt, &parts.iter().map(InputPart::digest).collect::<Vec<_>>())
    }

    /// What the commitment is over.
    #[must_use]
    pub fn committed(&self) -> Committed {
        let (kind, parts) = self.parts();
        Committed::of(kind, &self.leaves(&parts), || Digest::of_value("inferium/input/1", self))
    }

    /// One part of the input with what shows that it is one, if it has such parts.
    #[must_use]
    pub fn open_part(&self, index: usize) -> Option<OpenedInput> {
        let (_, mut parts) = self.parts();
        let path = merkle_path(&self.leaves(&parts), index)?;
        Some(OpenedInput::Part { salt: part_salt(&self.salt, index), part: parts.swap_remove(index), path })
    }
}

impl JobOutput {
    /// Digests of what was said to each part of a job of integers, or of texts; none of another answer.
    #[must_use]
    pub fn said(&self) -> Vec<Digest> {
        match &self.answer {
            JobAnswer::Logits(all) => all.iter().map(Logits::digest).collect(),
            JobAnswer::Embeddings(all) => all.iter().map(Embedding::digest).collect(),
            _ => Vec::new(),
        }
    }

    const fn kind(&self) -> CommittedKind {
        match &self.answer {
            JobAnswer::Logits(_) => CommittedKind::Logits,
            JobAnswer::Embeddings(_) => CommittedKind::Vectors,
            _ => CommittedKind::Whole,
        }
    }

    /// What the commitment is over.
    #[must_use]
    pub fn committed(&self) -> Committed {
        let leaves = leaves(&self.salt, &self.said());
        Committed::of(self.kind(), &leaves, || Digest::of_value("inferium/output/1", self))
    }

    /// The digest of one part of the answer with what shows that it is one, if it has such parts.
    #[must_use]
    pub fn open_part(&self, index: usize) -> Option<OpenedOutput> {
        let said = self.said();
        let path = merkle_path(&leaves(&self.salt, &said), index)?;
        let salt = part_salt(&self.salt, index);
        Some(OpenedOutput::Part { kind: self.kind(), salt, said: *said.get(index)?, path })
    }
}
