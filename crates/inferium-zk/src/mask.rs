//! Hiding: pads of messages, committed before the first challenge, and the proof of what the verifier checks about them.
//!
//! The verifier ends with forms in pads that have to be zero. Three steps prove that, and show nothing else:
//! 1. Products. Pads (A_j, B_j, C_j) with C_j = A_j·B_j are values of polynomials A, B, C = A·B at 0, 1, …; A_0 and B_0
//!    are used for nothing else. At a drawn ζ the prover says A(ζ), B(ζ); C(ζ) has to be their product. All three
//!    are forms in pads.
//! 2. One form. A drawn τ makes one of all: Σ_i L_i·pad_i + c = 0.
//! 3. The form. A second committed vector R is as long as the pads and uniform. The prover says d = Σ L_i·R_i; γ is drawn; it says
//!    u = R + γ·pads, all of it, of which Σ L_i·u_i = d − γ·c is checked. That u is what it should be is checked at
//!    one drawn point z: u(z) = R(z) + γ·pads(z), by opening the commitment there.
//!
//! Why this hides what it should, and why a prover can't cheat: `docs/zk.md`.

use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use serde::{Deserialize, Serialize};

use crate::channel::{Demand, Lin};
use crate::error::{ProveError, VerifyError};
use crate::field::{EF, F, Stream, bits_of, eq_table, evaluate, inner, lagrange};
use crate::oracle::SPARE;
use crate::transcript::Transcript;

/// Elements of the base field in one of the extension.
const LIMBS: usize = 5;
/// Bits of the index of a limb: five of pads, five of R, six unused.
const LIMB_BITS: usize = 4;

/// Pads, which are committed to beside the trace, in one polynomial with it.
pub(crate) struct Pads {
    pub(crate) demand: Demand,
    values: Vec<EF>,
    blind: Vec<EF>,
}

/// What a hiding proof has beside masked messages.
#[derive(Serialize, Deserialize)]
pub(crate) struct MaskProof {
    /// A(ζ) and B(ζ).
    factors: [EF; 2],
    /// d.
    blind: EF,
    /// u.
    sums: Vec<EF>,
    /// Limbs of pads(z), then of R(z).
    limbs: Vec<EF>,
}

/// Bits of the index of a pad.
fn pad_bits(demand: Demand) -> usize {
    bits_of(demand.total() + SPARE)
}

/// Variables of the polynomial of all limbs.
pub(crate) fn pad_variables(demand: Demand) -> usize {
    pad_bits(demand) + LIMB_BITS
}

impl Pads {
    /// Draws them.
    pub(crate) fn draw(demand: Demand, stream: &mut Stream) -> Result<Self, ProveError> {
        let length = 1_usize << pad_bits(demand);
        let mut element = || {
            let limbs: [F; LIMBS] = core::array::from_fn(|_| stream.element());
            EF::from_basis_coefficients_fn(|limb| limbs.get(limb).copied().unwrap_or(F::ZERO))
        };
        let mut values: Vec<EF> = (0..length).map(|_| element()).collect();
        let blind: Vec<EF> = (0..length).map(|_| element()).collect();
        triples(demand, &mut values)?;
        Ok(Self { demand, values, blind })
    }

    /// Their limbs, of [`pad_variables`] variables.
    pub(crate) fn polynomial(&self) -> Vec<F> {
        let length = self.values.len();
        let mut polynomial = vec![F::ZERO; length << LIMB_BITS];
        for (row, vector) in [&self.values, &self.blind].into_iter().enumerate() {
            for (at, element) in vector.iter().enumerate() {
                for (limb, value) in element.as_basis_coefficients_slice().iter().enumerate() {
                    if let Some(place) = polynomial.get_mut((row * LIMBS + limb) * length + at) {
                        *place = *value;
                    }
                }
            }
        }
        polynomial
    }

    pub(crate) fn at(&self, pad: usize) -> EF {
        self.values.get(pad).copied().unwrap_or(EF::ZERO)
    }

    /// Proves that the forms are zero, but for the opening of the [`Self::polynomial`], whose points are given back.
    pub(crate) fn prove(
        &self,
        polynomial: &[F],
        zeros: Vec<Lin>,
        transcript: &mut Transcript,
    ) -> Result<(MaskProof, Vec<Vec<EF>>), ProveError> {
        let vanished = ProveError::Statement("a drawn point has no inverse");
        let demand = self.demand;
        let zeta = transcript.challenge();
        let (short, long) = bases(demand, zeta).ok_or(vanished)?;
        let of = |start: usize, basis: &[EF]| inner(self.values.get(start..).unwrap_or_default(), basis);
        let factors = [of(demand.left(0), &short), of(demand.right(0), &short)];
        factors.iter().for_each(|factor| transcript.element(*factor));
        let form = combine(demand, zeros, (short, long), factors, transcript.challenge());
        let blind = inner(&form.0, &self.blind);
        transcript.element(blind);
        let gamma = transcript.challenge();
        let sums: Vec<EF> = self.blind.iter().zip(&self.values).map(|(blind, pad)| *blind + gamma * *pad).collect();
        sums.iter().for_each(|sum| transcript.element(*sum));
        let points = points(demand, transcript);
        let limbs: Vec<EF> = points.iter().map(|point| evaluate(polynomial, point)).collect();
        limbs.iter().for_each(|limb| transcript.element(*limb));
        Ok((MaskProof { factors, blind, sums, limbs }, points))
    }
}

/// Makes the last pads the products of those before, as values of one polynomial.
fn triples(demand: Demand, values: &mut [EF]) -> Result<(), ProveError> {
    let nodes = demand.products + 1;
    let part = |start: usize| values.get(start..start + nodes).unwrap_or_default().to_vec();
    let (left, right) = (part(demand.left(0)), part(demand.right(0)));
    for at in 0..2 * demand.products + 1 {
        let product = match (left.get(at), right.get(at)) {
            (Some(left), Some(right)) => *left * *right,
            _ => {
                let basis = lagrange(nodes, EF::from(F::from_usize(at)));
                let basis = basis.ok_or(ProveError::Statement("a node has no inverse"))?;
                inner(&left, &basis) * inner(&right, &basis)
            }
        };
        if let Some(place) = values.get_mut(demand.product(at)) {
            *place = product;
        }
    }
    Ok(())
}

/// Lagrange's bases at ζ for the factors and for the products.
fn bases(demand: Demand, zeta: EF) -> Option<(Vec<EF>, Vec<EF>)> {
    Some((lagrange(demand.products + 1, zeta)?, lagrange(2 * demand.products + 1, zeta)?))
}

/// All forms as one: coefficients by pad, and the constant.
fn combine(demand: Demand, zeros: Vec<Lin>, bases: (Vec<EF>, Vec<EF>), factors: [EF; 2], tau: EF) -> (Vec<EF>, EF) {
    let mut coefficients = vec![EF::ZERO; 1 << pad_bits(demand)];
    let (mut constant, mut factor) = (EF::ZERO, EF::ONE);
    let mut add = |form: Lin| {
        constant += factor * form.constant;
        for (pad, coefficient) in form.terms {
            if let Some(place) = coefficients.get_mut(pad) {
                *place += factor * coefficient;
            }
        }
        factor *= tau;
    };
    let [a, b] = factors;
    let (short, long) = bases;
    let along = |start: usize, basis: &[EF], value: EF| Lin {
        constant: -value,
        terms: basis.iter().enumerate().map(|(at, weight)| (start + at, *weight)).collect(),
    };
    add(along(demand.left(0), &short, a));
    add(along(demand.right(0), &short, b));
    add(along(demand.product(0), &long, a * b));
    zeros.into_iter().for_each(add);
    (coefficients, constant)
}

/// Where the pads' polynomial is opened: at one drawn point of each limb.
fn points(demand: Demand, transcript: &mut Transcript) -> Vec<Vec<EF>> {
    let point: Vec<EF> = (0..pad_bits(demand)).map(|_| transcript.challenge()).collect();
    let bit = |limb: usize, bit: usize| EF::from_bool(limb >> bit & 1 == 1);
    let of = |limb: usize| (0..LIMB_BITS).rev().map(|at| bit(limb, at)).chain(point.iter().copied()).collect();
    (0..2 * LIMBS).map(of).collect()
}

/// An element from evaluations of its limbs.
fn whole(limbs: &[EF]) -> EF {
    limbs.iter().enumerate().map(|(limb, value)| *value * unit(limb)).sum()
}

fn unit(limb: usize) -> EF {
    EF::from_basis_coefficients_fn(|at| F::from_bool(at == limb))
}

/// The simulator of the argument in `docs/zk.md`: from forms alone, without pads, it makes what a prover would say and
/// what its commitment would open to, and tells whether the verifier's relations hold of it.
#[cfg(feature = "testing")]
pub(crate) fn simulate(demand: Demand, zeros: Vec<Lin>, stream: &mut Stream) -> Option<(bool, Vec<EF>)> {
    let mut draw = || {
        let limbs: [F; LIMBS] = core::array::from_fn(|_| stream.element());
        EF::from_basis_coefficients_fn(|limb| limbs.get(limb).copied().unwrap_or(F::ZERO))
    };
    let [zeta, tau, gamma] = core::array::from_fn(|_| draw());
    let point: Vec<EF> = (0..pad_bits(demand)).map(|_| draw()).collect();
    let factors = [draw(), draw()];
    let (coefficients, constant) = combine(demand, zeros, bases(demand, zeta)?, factors, tau);
    let sums: Vec<EF> = (0..1_usize << pad_bits(demand)).map(|_| draw()).collect();
    let blind = inner(&coefficients, &sums) + gamma * constant;
    let pads: Vec<EF> = (0..LIMBS).map(|_| draw()).collect();
    // R is u less γ · pads, limb by limb; multiplication by γ is linear over the limbs.
    let table = eq_table(&point);
    let limb = |element: &EF, limb: usize| element.as_basis_coefficients_slice().get(limb).copied().unwrap_or(F::ZERO);
    let blinds: Vec<EF> = (0..LIMBS)
        .map(|at| {
            let of_sums: EF = sums.iter().zip(&table).map(|(sum, weight)| *weight * limb(sum, at)).sum();
            of_sums - pads.iter().enumerate().map(|(from, pad)| *pad * limb(&(gamma * unit(from)), at)).sum::<EF>()
        })
        .collect();
    let is_form = inner(&coefficients, &sums) == blind - gamma * constant;
    let is_sum = inner(&table, &sums) == whole(&blinds) + gamma * whole(&pads);
    Some((is_form && is_sum, sums))
}

impl MaskProof {
    /// Checks that the forms are zero, but for the opening of the pads' polynomial: what it has to be where.
    pub(crate) fn verify(
        &self,
        demand: Demand,
        zeros: Vec<Lin>,
        transcript: &mut Transcript,
    ) -> Result<Vec<(Vec<EF>, EF)>, VerifyError> {
        let length = 1_usize << pad_bits(demand);
        if self.sums.len() != length || self.limbs.len() != 2 * LIMBS {
            return Err(VerifyError::Shape("the proof about pads"));
        }
        let zeta = transcript.challenge();
        let bases = bases(demand, zeta).ok_or(VerifyError::Relation("a challenge is a node"))?;
        self.factors.iter().for_each(|factor| transcript.element(*factor));
        let (coefficients, constant) = combine(demand, zeros, bases, self.factors, transcript.challenge());
        transcript.element(self.blind);
        let gamma = transcript.challenge();
        self.sums.iter().for_each(|sum| transcript.element(*sum));
        if inner(&coefficients, &self.sums) != self.blind - gamma * constant {
            return Err(VerifyError::Relation("checks of masked messages"));
        }
        let points = points(demand, transcript);
        let (pads, blind) = self.limbs.split_at(LIMBS);
        let point = points.first().and_then(|point| point.get(LIMB_BITS..)).unwrap_or_default();
        if inner(&eq_table(point), &self.sums) != whole(blind) + gamma * whole(pads) {
            return Err(VerifyError::Relation("sums of pads"));
        }
        self.limbs.iter().for_each(|limb| transcript.element(*limb));
        Ok(points.into_iter().zip(self.limbs.iter().copied()).collect())
    }
}
