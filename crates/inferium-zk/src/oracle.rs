//! Committed polynomials: WHIR, plain where what is committed is public (weights), hiding where it is not.
//!
//! Security: every error term of an opening is at most 2^−[`TERM_BITS`] by proven bounds, grinding included;
//! `docs/zk.md` adds them up, and a test adds them up again for every size.

use p3_blake3::Blake3;
use p3_commit::MultilinearPcs;
use p3_dft::Radix2DFTSmallBatch;
use p3_field::TwoAdicField;
use p3_matrix::dense::RowMajorMatrix;
use p3_merkle_tree::MerkleTreeMmcs;
use p3_multilinear_util::point::Point;
use p3_multilinear_util::poly::Poly;
use p3_sumcheck::layout::{Layout, SuffixProver, Table};
use p3_sumcheck::{OpeningBatch, OpeningProtocol, PrescribedPointPcs, TableShape, TableSpec};
use p3_symmetric::{CompressionFunctionFromHasher, MerkleCap, SerializingHasher};
use p3_whir::parameters::{FoldingFactor, ProtocolParameters, RoundConfig, SecurityAssumption, WhirConfig};
use p3_whir::{
    HidingWhirPcs, HidingWhirProverData, PcsProof, WhirProver, WhirProverData, ZkParameters, ZkWhirConfig, ZkWhirProof,
};
use serde::{Deserialize, Serialize};

use crate::error::{ProveError, VerifyError};
use crate::field::{EF, F, Stream};
use crate::transcript::{Challenger, Transcript};

type Hasher = SerializingHasher<Blake3>;
type Compression = CompressionFunctionFromHasher<Blake3, 2, 32>;
type Mmcs = MerkleTreeMmcs<F, u8, Hasher, Compression, 2, 32>;
type Dft = Radix2DFTSmallBatch<F>;
type Plain = WhirProver<EF, F, Dft, Mmcs, Challenger, SuffixProver<F, EF>>;
type Hiding = HidingWhirPcs<EF, F, Dft, Mmcs, Challenger, Stream>;
type Cap = MerkleCap<F, [u8; 32]>;

/// Bits of security of each error term.
pub(crate) const TERM_BITS: usize = 108;
/// Bits of grinding that terms may count on, the least first: grinding is most of what a small proof costs.
pub(crate) const GRINDING_BITS: [usize; 4] = [4, 8, 12, 16];
/// Variables of the smallest polynomial that is committed to.
pub(crate) const VARIABLES_MIN: usize = 14;
/// Variables of the largest one: where the domain of its code ends.
pub(crate) const VARIABLES_MAX: usize = F::TWO_ADICITY - RATE_BITS + FOLDING - 1;
/// The same of a hiding commitment, whose code is sparser.
pub(crate) const HIDING_VARIABLES_MAX: usize = F::TWO_ADICITY - HIDING_RATE_BITS + FOLDING;
/// Elements at the end of a polynomial that nothing uses: random, so that evaluations say nothing of the others.
pub(crate) const SPARE: usize = 32;

/// Plain openings stand on the proven Johnson bound.
const PLAIN: SecurityAssumption = SecurityAssumption::JohnsonBound;
/// Hiding ones on unique decoding: their last step draws one challenge for all masks, whose lists of candidates multiply.
/// Under the Johnson bound what is proven of it is below 70 bits, and nothing at all from 2^20 elements on.
const HIDING: SecurityAssumption = SecurityAssumption::UniqueDecoding;

/// Bits of the number of elements in one leaf of a commitment.
pub(crate) const FOLDING: usize = 4;
const RATE_BITS: usize = 1;
/// What hiding commitments are of is short, and unique decoding asks for fewer queries in sparser codes.
pub(crate) const HIDING_RATE_BITS: usize = 2;
/// How many bits more than its own a hiding opening may ask the library for.
const MORE_BITS: usize = 16;

/// The parameters of a plain opening of this size: with the least grinding that lets every term reach its bits.
fn parameters(variables: usize) -> Result<ProtocolParameters, ProveError> {
    let mut last = ProveError::Unsupported("size of a polynomial");
    for bits in GRINDING_BITS {
        let parameters = parameters_grinding(variables, PLAIN, TERM_BITS, bits)?;
        match WhirConfig::<EF, F, Challenger>::new(variables, parameters.clone()) {
            Ok(_) => return Ok(parameters),
            Err(error) => last = ProveError::Commitment(error.to_string()),
        }
    }
    Err(last)
}

type HidingConfig = ZkWhirConfig<EF, F, Challenger>;

/// The parameters of a hiding opening of this size. The library counts a round's queries by the rate of what is committed to; the code that they
/// test has as many elements of randomness besides, so its rate is higher, which shows in short ones. So more bits are asked for until every
/// round has its own at the rate that it is of.
fn hiding_parameters(variables: usize) -> Result<HidingConfig, ProveError> {
    // Masks are one longer than the shortest that hide a round of degree 2; their code is as sparse as the library's own measurements have it.
    let zk = ZkParameters { ell_zk: 4, mask_log_inv_rate: 5 };
    let mut last = ProveError::Unsupported("size of a polynomial");
    for bits in GRINDING_BITS {
        for level in TERM_BITS..TERM_BITS + MORE_BITS {
            let parameters = parameters_grinding(variables, HIDING, level, bits)?;
            match HidingConfig::new(variables, parameters, zk.clone()) {
                #[expect(clippy::cast_precision_loss, reason = "some hundred")]
                Ok(config) if round_bits(&config).iter().all(|bits| *bits >= TERM_BITS as f64) => return Ok(config),
                Ok(_) => {}
                Err(error) => last = ProveError::Commitment(error.to_string()),
            }
        }
    }
    Err(last)
}

/// Of each round but the last, what its queries and its grinding are worth: t queries of a code of M elements and t of randomness on H points,
/// within half of its distance, miss with ((1 + (M + t) / H) / 2)^t.
#[expect(clippy::cast_precision_loss, reason = "sizes of codes, below 2^30")]
fn round_bits(config: &HidingConfig) -> Vec<f64> {
    let rounds = &config.inner().round_parameters();
    let round = |(at, round): (usize, &RoundConfig)| {
        let (variables, log_inv_rate) = match at.checked_sub(1).and_then(|before| rounds.get(before)) {
            Some(before) => (before.num_variables, before.log_inv_rate),
            None => (config.inner().num_variables(), HIDING_RATE_BITS),
        };
        let rows = (1_u64 << variables.saturating_sub(FOLDING)) as f64;
        let (queries, height) = (round.num_queries as f64, rows * (1_u64 << log_inv_rate) as f64);
        queries * (1.0 - (1.0 + (rows + queries) / height).log2()) + round.pow_bits as f64
    };
    rounds.iter().enumerate().map(round).collect()
}

fn parameters_grinding(
    variables: usize,
    regime: SecurityAssumption,
    level: usize,
    bits: usize,
) -> Result<ProtocolParameters, ProveError> {
    let rate = if regime == HIDING { HIDING_RATE_BITS } else { RATE_BITS };
    let folding_factor = FoldingFactor::Constant(FOLDING);
    let failed = |_| ProveError::Unsupported("size of a polynomial");
    let (rounds, _) = folding_factor.compute_number_of_rounds(variables).map_err(failed)?;
    Ok(ProtocolParameters {
        starting_log_inv_rate: rate,
        // Each round halves the domain and folds the polynomial by 2^FOLDING: the rate falls by the difference.
        round_log_inv_rates: (1..=rounds).map(|round| rate + round * (FOLDING - 1)).collect(),
        folding_factor,
        soundness_type: regime,
        security_level: level,
        pow_bits: bits,
    })
}

fn mmcs() -> Mmcs {
    Mmcs::new(Hasher::new(Blake3), Compression::new(Blake3), 0)
}

fn protocol(variables: usize, claims: usize) -> OpeningProtocol {
    let openings = (0..claims).map(|_| OpeningBatch::new(vec![0], Vec::new())).collect();
    OpeningProtocol::new(vec![TableSpec::new(TableShape::new(variables, 1), openings)])
}

fn plain(variables: usize, claims: usize) -> Result<Plain, ProveError> {
    let failed = |error: p3_whir::WhirConfigError| ProveError::Commitment(error.to_string());
    let config = WhirConfig::new_with_initial_claims(variables, parameters(variables)?, claims).map_err(failed)?;
    let dft = Dft::new(1 << config.max_fft_size());
    Ok(Plain::new(config, dft, mmcs()))
}

fn hiding(variables: usize, stream: Stream) -> Result<Hiding, ProveError> {
    Ok(Hiding::new(hiding_parameters(variables)?, Dft::default(), mmcs(), stream))
}

/// A commitment's root.
pub(crate) type Root = [u8; 32];

fn root(cap: &Cap) -> Root {
    cap.roots().first().copied().unwrap_or_default()
}

fn cap(root: &Root) -> Cap {
    Cap::new(vec![*root])
}

enum Data {
    Plain(WhirProverData<F, EF, Mmcs, SuffixProver<F, EF>>),
    Hiding(HidingWhirProverData<F, EF, Mmcs>, Stream),
}

/// A committed polynomial, at its prover.
pub(crate) struct Committed {
    pub(crate) values: Vec<F>,
    pub(crate) root: Root,
    data: Data,
}

/// An opening, of either kind.
#[derive(Serialize, Deserialize)]
pub(crate) enum Opening {
    Plain(PcsProof<F, EF, Mmcs>),
    Hiding(ZkWhirProof<F, EF, Mmcs>),
}

impl Committed {
    /// Commits; `stream` is there for hiding commitments.
    pub(crate) fn new(values: Vec<F>, stream: Option<Stream>) -> Result<Self, ProveError> {
        let variables = values.len().trailing_zeros() as usize;
        // The library absorbs a root when it makes one; ours is absorbed by name, in its place.
        let mut aside = Transcript::new(&[0; 32]).challenger;
        let failed = |error: p3_whir::WhirConfigError| ProveError::Commitment(error.to_string());
        match stream {
            Some(stream) => {
                let poly = Poly::new(values.clone());
                let (cap, data) = hiding(variables, stream.clone())?.commit(poly, &mut aside).map_err(failed)?;
                Ok(Self { values, root: root(&cap), data: Data::Hiding(data, stream) })
            }
            None => {
                let table = Table::new(RowMajorMatrix::new(values.clone(), values.len()));
                let witness = SuffixProver::<F, EF>::new_witness(vec![table], FOLDING);
                let (cap, data) = plain(variables, 1)?.commit(witness, &mut aside).map_err(failed)?;
                Ok(Self { values, root: root(&cap), data: Data::Plain(data) })
            }
        }
    }

    pub(crate) fn variables(&self) -> usize {
        self.values.len().trailing_zeros() as usize
    }

    /// Opens a plain commitment, which can be opened again.
    pub(crate) fn open_again(&self, points: &[Vec<EF>], transcript: &mut Transcript) -> Result<Opening, ProveError> {
        match &self.data {
            Data::Plain(data) => open_plain(self.variables(), data.clone(), points, transcript),
            Data::Hiding(..) => Err(ProveError::Statement("a hiding commitment is opened once")),
        }
    }

    /// Opens it and uses it up: a second opening of a hiding commitment would say what the first one hid.
    pub(crate) fn open(self, points: &[Vec<EF>], transcript: &mut Transcript) -> Result<Opening, ProveError> {
        // Not the stream that committed: what that one gave first has been used.
        let again = match &self.data {
            Data::Plain(_) => None,
            Data::Hiding(_, stream) => Some(Stream::seeded(&mut stream.clone(), "open")),
        };
        self.open_with(points, transcript, again)
    }

    /// As [`Self::open`], with the masks of a hiding opening from `masks`.
    pub(crate) fn open_with(
        self,
        points: &[Vec<EF>],
        transcript: &mut Transcript,
        masks: Option<Stream>,
    ) -> Result<Opening, ProveError> {
        let variables = self.variables();
        match (self.data, masks) {
            (Data::Plain(data), _) => open_plain(variables, data, points, transcript),
            (Data::Hiding(..), None) => Err(ProveError::Statement("a hiding opening takes masks")),
            (Data::Hiding(data, _), Some(masks)) => {
                let pcs = hiding(variables, masks)?;
                pcs.observe_commitment(&cap(&self.root), &mut transcript.challenger);
                let points = points.iter().map(|point| Point::new(point.clone())).collect();
                let failed = |error: p3_whir::WhirConfigError| ProveError::Commitment(error.to_string());
                Ok(Opening::Hiding(pcs.open(data, points, &mut transcript.challenger).map_err(failed)?))
            }
        }
    }
}

fn open_plain(
    variables: usize,
    data: WhirProverData<F, EF, Mmcs, SuffixProver<F, EF>>,
    points: &[Vec<EF>],
    transcript: &mut Transcript,
) -> Result<Opening, ProveError> {
    let pcs = plain(variables, points.len())?;
    let points: Vec<_> = points.iter().map(|point| Point::new(point.clone())).collect();
    let protocol = protocol(variables, points.len());
    let failed = |error: p3_whir::WhirConfigError| ProveError::Commitment(error.to_string());
    Ok(Opening::Plain(pcs.open_at(data, &protocol, &points, &mut transcript.challenger).map_err(failed)?))
}

impl Opening {
    /// Checks that the committed polynomial has these values at these points.
    pub(crate) fn verify(
        &self,
        name: &'static str,
        variables: usize,
        root: &Root,
        claims: &[(Vec<EF>, EF)],
        transcript: &mut Transcript,
    ) -> Result<(), VerifyError> {
        let rejected = VerifyError::Opening(name);
        let points: Vec<_> = claims.iter().map(|(point, _)| Point::new(point.clone())).collect();
        let values = claims.iter().map(|(_, value)| *value);
        match self {
            Self::Plain(proof) => {
                let pcs = plain(variables, claims.len()).map_err(|_| rejected.clone())?;
                let protocol = protocol(variables, claims.len());
                let opened = pcs
                    .verify_at(&cap(root), proof, &protocol, &points, &mut transcript.challenger)
                    .map_err(|_| rejected.clone())?;
                let opened = opened.iter().flat_map(|batch| batch.current().iter().copied());
                if opened.eq(values) { Ok(()) } else { Err(rejected) }
            }
            Self::Hiding(proof) => {
                // Verifying draws nothing.
                let pcs = hiding(variables, Stream::new(&[0; 32], "none")).map_err(|_| rejected.clone())?;
                if !proof.evals.iter().copied().eq(values) {
                    return Err(rejected);
                }
                pcs.verify(&cap(root), proof, &mut transcript.challenger, points).map_err(|_| rejected)
            }
        }
    }

    pub(crate) const fn is_hiding(&self) -> bool {
        matches!(self, Self::Hiding(_))
    }
}

/// Leaves of the commitment itself that one hiding opening of this size shows at most.
pub(crate) fn hiding_leaves(variables: usize) -> Result<usize, ProveError> {
    let config = hiding_parameters(variables)?;
    let first = config.inner().round_parameters().first().map(|round| round.num_queries);
    first.ok_or(ProveError::Unsupported("size of a polynomial"))
}

/// Bits of security of one plain opening with this many variables, all of its error terms together.
#[cfg(feature = "testing")]
pub(crate) fn opening_bits(variables: usize) -> Option<f64> {
    let pcs = plain(variables, 2).ok()?;
    Some(pcs.prescribed_security(&protocol(variables, 2))?.error().bits())
}

/// Bits of security of a hiding opening with this many variables: its rounds' queries, and its base case by the library's report of it, together;
/// and the name of that report's classification.
#[cfg(feature = "testing")]
pub(crate) fn hiding_bits(variables: usize) -> Option<(f64, String)> {
    let pcs = hiding(variables, Stream::new(&[0; 32], "none")).ok()?;
    let report = pcs.config.hiding_base_case_security_report();
    let error =
        round_bits(&pcs.config).iter().fold((-report.round_by_round.bits?).exp2(), |sum, bits| sum + (-bits).exp2());
    Some((-error.log2(), format!("{:?}", report.round_by_round.classification)))
}
