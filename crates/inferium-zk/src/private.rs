//! Weights that proofs hide: a commitment to them that is opened in every proof, and is good for a number of proofs.
//!
//! The polynomial of the weights goes on with as many random elements, or 3, 7, … times as many. An opening shows some
//! hundred leaves of the code and one evaluation; each random element in a column of the code makes one more of its
//! leaves uniform, so as long as fewer were shown than there are random rows, all that was shown in all proofs together is
//! uniform. `docs/zk.md`, "Private weights", has the argument.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::circuit::Circuit;
use crate::error::ProveError;
use crate::field::{EF, F, Stream};
use crate::oracle::{Committed, FOLDING, HIDING_VARIABLES_MAX, Opening, Root, hiding_leaves};
use crate::outline::Outline;
use crate::statement::{Hiding, VerifyingKey};
use crate::transcript::Transcript;

/// Bits by which a commitment is longer than its weights at most.
pub(crate) const BLINDING_BITS_MAX: usize = 8;

/// For how many openings a commitment of `variables`, of which the first `blinding` tell weights from random elements,
/// hides: each shows its leaves, and of its evaluation no more than one leaf's worth.
pub(crate) fn openings(variables: usize, blinding: usize) -> Result<u32, ProveError> {
    let weights = variables.saturating_sub(blinding).saturating_sub(FOLDING);
    let rows = ((1_usize << blinding) - 1) << weights;
    let each = hiding_leaves(variables)? + 1;
    Ok(u32::try_from(rows / each).unwrap_or(u32::MAX))
}

/// The circuit of a model, of which the polynomial of weights is longer.
pub(crate) fn blind(mut circuit: Circuit, blinding: usize) -> Result<Circuit, ProveError> {
    let [weights, ..] = &mut circuit.variables;
    *weights += blinding;
    if blinding > 0 && *weights > HIDING_VARIABLES_MAX {
        return Err(ProveError::Unsupported("private weights of more numbers than one hiding commitment holds"));
    }
    Ok(circuit)
}

/// The id of a model whose weights are private: of what is public of it.
pub(crate) fn private_id(outline: &Outline, weights: &Root, blinding: usize) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("inferium zk private model 2026-12");
    hasher.update(weights).update(&(blinding as u64).to_le_bytes());
    // An outline is no map and no float: it can be written.
    hasher.update(&postcard::to_allocvec(outline).unwrap_or_default());
    *hasher.finalize().as_bytes()
}

/// A point of the polynomial that circuits know, weights first and random elements behind them, as one of what is committed to: there the
/// bits of a leaf's column come first, so that each column has random elements of its own.
pub(crate) fn committed_point(point: &[EF], blinding: usize) -> Vec<EF> {
    let (blind, rest) = point.split_at(blinding.min(point.len()));
    let (columns, rows) = rest.split_at(FOLDING.min(rest.len()));
    [columns, blind, rows].concat()
}

/// The elements in the order that is committed to.
fn committed_order(values: &[F], blinding: usize) -> Vec<F> {
    let weights = values.len() >> blinding;
    let rows = weights >> FOLDING;
    let columns = (0..weights).step_by(rows.max(1));
    let blocks = columns.flat_map(|column| (0..1_usize << blinding).map(move |block| block * weights + column));
    blocks.flat_map(|start| values.get(start..start + rows).unwrap_or_default()).copied().collect()
}

/// Private weights, and the random elements behind them.
pub(crate) struct Blinded {
    values: Vec<F>,
    blinding: usize,
    root: Root,
    stream: Stream,
}

impl Blinded {
    /// Commits to weights for so many openings; with by how many bits that makes them longer.
    pub(crate) fn new(
        mut values: Vec<F>,
        secret: &[u8; 32],
        model: &[u8; 32],
        wanted: u32,
    ) -> Result<(Self, usize), ProveError> {
        let bits = values.len().trailing_zeros() as usize;
        let most = BLINDING_BITS_MAX.min(HIDING_VARIABLES_MAX.saturating_sub(bits));
        let holds = |blinding: &usize| openings(bits + blinding, *blinding).is_ok_and(|most| most >= wanted);
        let blinding = (1..=most).find(holds);
        let blinding = blinding.ok_or(ProveError::Unsupported("private weights for so many proofs by one key"))?;
        // Another model under the same secret has other randomness, and so has another number of openings.
        let mut hasher = blake3::Hasher::new_derive_key("inferium zk private weights 2026-12");
        hasher.update(secret).update(model).update(&(blinding as u64).to_le_bytes());
        let secret = *hasher.finalize().as_bytes();
        let mut random = Stream::new(&secret, "elements");
        values.resize_with(values.len() << blinding, || random.element());
        let stream = Stream::new(&secret, "commitment");
        let root = Committed::new(committed_order(&values, blinding), Some(stream.clone()))?.root;
        Ok((Self { values, blinding, root, stream }, blinding))
    }

    pub(crate) const fn root(&self) -> &Root {
        &self.root
    }

    /// Opens the commitment, which is made again for it: the library's data serve once. Its masks are fresh.
    fn open(&self, point: &[EF], transcript: &mut Transcript, masks: Stream) -> Result<Opening, ProveError> {
        let values = committed_order(&self.values, self.blinding);
        let again = Committed::new(values, Some(self.stream.clone()))?;
        if again.root != self.root {
            return Err(ProveError::Statement("weights that are committed to in another way"));
        }
        again.open_with(&[committed_point(point, self.blinding)], transcript, Some(masks))
    }
}

/// Weights at their prover.
pub(crate) enum Weights {
    Public(Committed),
    /// With how many openings are left.
    Private(Blinded, AtomicU32),
}

impl Weights {
    pub(crate) fn values(&self) -> &[F] {
        match self {
            Self::Public(committed) => &committed.values,
            Self::Private(blinded, _) => &blinded.values,
        }
    }

    /// Counts an opening, before anything is shown.
    pub(crate) fn spend(&self, hiding: Hiding) -> Result<(), ProveError> {
        let Self::Private(_, left) = self else { return Ok(()) };
        if hiding != Hiding::Activations {
            return Err(ProveError::Statement("a proof that hides nothing, by a key that hides weights"));
        }
        let spent = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        spent.map(drop).map_err(|_| ProveError::Openings)
    }

    pub(crate) fn open(
        &self,
        key: &VerifyingKey,
        point: &[EF],
        transcript: &mut Transcript,
        stream: &mut Stream,
    ) -> Result<Opening, ProveError> {
        debug_assert_eq!(point.len(), key.circuit.variables[0], "one coordinate for each variable");
        match self {
            Self::Public(committed) => committed.open_again(&[point.to_vec()], transcript),
            Self::Private(blinded, _) => blinded.open(point, transcript, Stream::seeded(stream, "open weights")),
        }
    }
}

/// Whether all that so many openings show of a commitment to private weights is independent of them: leaves at drawn places,
/// and an evaluation each at a drawn point, as functionals of the random elements alone. Rows of one column that vanish at
/// all leaves are multiples of one polynomial Z; the evaluations have to be independent on those.
#[cfg(feature = "testing")]
pub(crate) fn are_independent(variables: usize, blinding: usize, openings: usize, stream: &mut Stream) -> Option<bool> {
    use p3_field::{BasedVectorSpace, Field, PrimeCharacteristicRing, TwoAdicField};
    use rand_core::Rng;

    let rows = 1_usize << (variables - FOLDING);
    let weights = rows >> blinding;
    let domain = rows << crate::oracle::HIDING_RATE_BITS;
    let generator = F::two_adic_generator(domain.trailing_zeros() as usize);
    let mut leaves = std::collections::BTreeSet::new();
    let shown = openings * hiding_leaves(variables).ok()?;
    while leaves.len() < shown.min(domain) {
        leaves.insert(stream.next_u64() % domain as u64);
    }
    let mut vanishing = vec![F::ONE];
    for leaf in leaves {
        let root = generator.exp_u64(leaf);
        vanishing.push(F::ZERO);
        for at in (0..vanishing.len()).rev() {
            let below = at.checked_sub(1).and_then(|at| vanishing.get(at)).copied().unwrap_or(F::ZERO);
            let place = vanishing.get_mut(at)?;
            *place = below - root * *place;
        }
    }
    // Behind the weights a column has its random elements; the library's own are left out, which are more of them.
    let free = (rows - weights + 1).saturating_sub(vanishing.len());
    let mut element = || EF::from_basis_coefficients_fn(|_| stream.element());
    let mut matrix: Vec<Vec<F>> = Vec::new();
    for _ in 0..openings {
        let point: Vec<EF> = (0..variables).map(|_| element()).collect();
        let committed = committed_point(&point, blinding);
        let (columns, in_column) = committed.split_at(FOLDING);
        let (columns, in_column) = (crate::field::eq_table(columns), crate::field::eq_table(in_column));
        let of = |shift: usize| -> EF {
            let random = in_column.get(weights + shift..).unwrap_or_default();
            vanishing.iter().zip(random).map(|(coefficient, weight)| *weight * *coefficient).sum()
        };
        let along: Vec<EF> = (0..free).map(of).collect();
        let all: Vec<EF> = columns.iter().flat_map(|column| along.iter().map(|value| *column * *value)).collect();
        for limb in 0..5 {
            let of_limb = |value: &EF| value.as_basis_coefficients_slice().get(limb).copied().unwrap_or(F::ZERO);
            matrix.push(all.iter().map(of_limb).collect());
        }
    }
    // Rows one after the other: each has to have something that those before it have not.
    let mut reduced: Vec<(usize, Vec<F>)> = Vec::new();
    for mut row in matrix {
        for (pivot, before) in &reduced {
            let factor = *row.get(*pivot)?;
            row.iter_mut().zip(before).for_each(|(value, other)| *value -= factor * *other);
        }
        let Some(pivot) = row.iter().position(|value| *value != F::ZERO) else { return Some(false) };
        let inverse = row.get(pivot)?.inverse();
        row.iter_mut().for_each(|value| *value *= inverse);
        reduced.push((pivot, row));
    }
    Some(true)
}
