//! Claims on columns: Σ_x column(x) · weight(x) = value, where the weight is a product over the axes of the column's
//! index. A claim about one evaluation is the case where every axis is an eq; convolutions and poolings are others.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;
use p3_multilinear_util::poly::Poly;

use crate::batch::GRAIN;
use crate::field::{EF, eq, eq_table, inner};

/// Weights along some bits of an index.
#[derive(Debug, Clone)]
pub(crate) enum Axis {
    /// eq with a point.
    Eq(Vec<EF>),
    /// As they are; a power of two of them.
    Dense(Vec<EF>),
}

impl Axis {
    pub(crate) fn bits(&self) -> usize {
        match self {
            Self::Eq(point) => point.len(),
            Self::Dense(weights) => weights.len().trailing_zeros() as usize,
        }
    }

    pub(crate) fn table(&self) -> Vec<EF> {
        self.scaled(EF::ONE)
    }

    /// The table, every entry times `factor`.
    fn scaled(&self, factor: EF) -> Vec<EF> {
        match self {
            Self::Eq(point) => Poly::new_from_point(point, factor).into_evals(),
            Self::Dense(weights) => weights.iter().map(|weight| factor * *weight).collect(),
        }
    }

    /// Of the weights' multilinear extension.
    fn evaluate(&self, point: &[EF]) -> EF {
        match self {
            Self::Eq(own) => eq(own, point),
            Self::Dense(weights) => inner(weights, &eq_table(point)),
        }
    }
}

/// Which committed polynomial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oracle {
    /// Weights and tables: committed once.
    Weights,
    /// The input.
    Input,
    /// What the run computed.
    Trace,
}

/// A block of a committed polynomial, at a multiple of its own length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) oracle: Oracle,
    pub(crate) offset: usize,
    pub(crate) bits: usize,
}

impl Column {
    pub(crate) fn of<'a, T>(&self, oracle: &'a [T]) -> &'a [T] {
        oracle.get(self.offset..self.offset + (1 << self.bits)).unwrap_or_default()
    }
}

/// A claim; of a number at the prover, of a form at the verifier.
#[derive(Debug, Clone)]
pub(crate) struct Claim<V> {
    pub(crate) column: Column,
    pub(crate) axes: Vec<Axis>,
    pub(crate) value: V,
}

impl<V> Claim<V> {
    pub(crate) fn at(column: Column, point: &[EF], value: V) -> Self {
        Self { column, axes: vec![Axis::Eq(point.to_vec())], value }
    }

    /// Adds `factor` times the weights to those of the whole polynomial.
    pub(crate) fn accumulate(&self, factor: EF, weights: &mut [EF]) {
        let Some((first, others)) = self.axes.split_first() else { return };
        let mut table = first.scaled(factor);
        for axis in others.iter().map(Axis::table).filter(|axis| axis.len() > 1) {
            let outer = table.par_iter().with_min_len(GRAIN.div_ceil(axis.len()));
            table = outer.flat_map_iter(|outer| axis.iter().map(|inner| *outer * *inner)).collect();
        }
        let block = weights.get_mut(self.column.offset..).unwrap_or_default();
        block.par_iter_mut().zip(&table).with_min_len(GRAIN).for_each(|(weight, more)| *weight += *more);
    }

    /// The extension of the weights over the whole polynomial, at a point of it.
    pub(crate) fn evaluate(&self, point: &[EF]) -> EF {
        let (high, mut rest) = point.split_at(point.len().saturating_sub(self.column.bits));
        let mut value = crate::field::eq_bits(self.column.offset >> self.column.bits, high);
        for axis in &self.axes {
            let (own, after) = rest.split_at(axis.bits().min(rest.len()));
            value *= axis.evaluate(own);
            rest = after;
        }
        value
    }
}
