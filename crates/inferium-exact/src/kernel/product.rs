//! Dense layers and convolutions as one product: rows of values with weights that were packed for an instruction set.
//!
//! A row of a dense layer is an input. A row of a convolution is a window of the input with channels innermost and zeros around it, where
//! a window's line is one stretch: nothing is copied for each window. A stretch that fills no whole group reads on into
//! what follows, times weights of zero.

use super::micro::{LANES, Look, Micro, Ones, Scalar, Walk};
use super::tier::Tier;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Pairs, Quads, Vnni, VnniBytes};
use crate::interval::Interval;
use crate::model::{Op, Shape, Table};

/// Weights of 1, 2 or 4 tiles, [`Micro::TILES`] at most: all tiles' for the first group, then for the next.
#[derive(Debug, Clone)]
struct Panel<W> {
    tiles: usize,
    weights: Vec<W>,
}

#[derive(Debug, Clone)]
enum Packed {
    Scalar(Scalar, Vec<Panel<Ones>>),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2, Vec<Panel<Pairs>>),
    #[cfg(target_arch = "x86_64")]
    Vnni(Vnni, Vec<Panel<Pairs>>),
    #[cfg(target_arch = "x86_64")]
    VnniBytes(VnniBytes, Vec<Panel<Quads>>),
}

/// Order of a tensor's elements in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The contract's: width fastest, channels slowest.
    Planes,
    /// Channels fastest, then width: a window's line is one stretch.
    Interleaved,
}

/// Where rows are in the input, and where their sums go.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    input: Shape,
    /// Of the window: 1 of a dense layer, whose input is a vector.
    kernel: usize,
    padding: usize,
    outputs: usize,
    /// Of a dense layer the shape that was flattened, if its elements are interleaved still.
    flattened: Option<Shape>,
}

/// An operation that sums, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    geometry: Geometry,
    walk: Walk,
    starts: Vec<usize>,
    packed: Packed,
}

/// What becomes of sums before they are stored: by channel a mantissa and a bias, then a table.
#[derive(Debug, Clone)]
pub(crate) struct After {
    /// Of each tile of outputs.
    affine: Vec<([i32; LANES], [i32; LANES])>,
    shift: u8,
    first: i32,
    table: Vec<i16>,
}

/// Takes sums of a row and of the outputs from one on.
trait Sink {
    fn take(&mut self, micro: impl Micro, row: usize, output: usize, sums: &[i32; LANES]);
}

impl Geometry {
    fn of(op: &Op, input: Shape, flattened: Option<Shape>) -> Option<(Self, &[i16])> {
        match op {
            Op::Dense { outputs, weights } => {
                let outputs = *outputs as usize;
                Some((Self { input, kernel: 1, padding: 0, outputs, flattened }, weights))
            }
            Op::Conv2d { outputs, kernel, padding, weights } => {
                let (kernel, padding, outputs) = (*kernel as usize, *padding as usize, *outputs as usize);
                Some((Self { input, kernel, padding, outputs, flattened: None }, weights))
            }
            _ => None,
        }
    }

    const fn channels(&self) -> usize {
        self.input.channels as usize
    }

    /// Rows and columns of the input with its zeros.
    const fn padded(&self) -> (usize, usize) {
        (self.input.height as usize + 2 * self.padding, self.input.width as usize + 2 * self.padding)
    }

    /// Elements of the input with its zeros.
    const fn taken(&self) -> usize {
        self.padded().0 * self.padded().1 * self.channels()
    }

    /// Elements of the input.
    const fn size(&self) -> usize {
        self.input.height as usize * self.input.width as usize * self.channels()
    }

    /// Rows and columns of the result.
    const fn result(&self) -> (usize, usize) {
        let (height, width) = self.padded();
        (height + 1 - self.kernel, width + 1 - self.kernel)
    }

    /// Values that make a window's line, in groups of so many, and values from one line to the next.
    const fn lines(&self, group: usize) -> (usize, usize) {
        let stretch = self.kernel * self.channels();
        (stretch.div_ceil(group), self.padded().1 * self.channels())
    }

    fn walk(&self, group: usize) -> Walk {
        let (groups, stride) = self.lines(group);
        let line = |line| (0..groups).map(move |index| line * stride + index * group);
        Walk::new((0..self.kernel).flat_map(line).collect(), group)
    }

    /// Where the windows of one input start.
    fn starts(&self) -> Vec<usize> {
        let ((height, width), stride, channels) = (self.result(), self.padded().1, self.channels());
        (0..height).flat_map(|y| (0..width).map(move |x| (y * stride + x) * channels)).collect()
    }

    /// The weight of an output for a value of a window's line.
    fn weight(&self, weights: &[i16], output: usize, line: usize, value: usize) -> i16 {
        let (kernel, channels) = (self.kernel, self.channels());
        let (column, mut channel) = (value / channels, value % channels);
        if output >= self.outputs || column >= kernel {
            return 0;
        }
        if let Some(shape) = self.flattened {
            // The element that the contract's order has where the interleaved one has this.
            let (planes, area) = (shape.channels as usize, shape.height as usize * shape.width as usize);
            channel = channel % planes * area + channel / planes;
        }
        weights.get(((output * channels + channel) * kernel + line) * kernel + column).copied().unwrap_or(0)
    }

    fn pack<M: Micro>(&self, weights: &[i16]) -> Vec<Panel<M::Weights>> {
        let (groups, _) = self.lines(M::GROUP);
        let tiles = self.outputs.div_ceil(LANES);
        let panel = |first: usize, count: usize| {
            let mut packed = Vec::with_capacity(self.kernel * groups * count);
            for (line, group) in (0..self.kernel).flat_map(|line| (0..groups).map(move |group| (line, group))) {
                packed.extend((first..first + count).map(|tile| {
                    let weight =
                        |lane, value| self.weight(weights, tile * LANES + lane, line, group * M::GROUP + value);
                    M::weights(weight)
                }));
            }
            Panel { tiles: count, weights: packed }
        };
        let mut panels = Vec::new();
        let mut first = 0;
        while first < tiles {
            // As many as there are registers for, of 4, 2 and 1.
            let count = [4, 2].into_iter().find(|count| *count <= M::TILES.min(tiles - first)).unwrap_or(1);
            panels.push(panel(first, count));
            first += count;
        }
        panels
    }

    /// Inputs one behind the other as windows read them: narrow, interleaved, zeros around, and a group's length at the end.
    #[inline(always)]
    fn lay<M: Micro, T: Copy + Into<i32>>(&self, input: &[T], layout: Layout) -> Vec<M::Value> {
        let (channels, (height, width)) = (self.channels(), self.padded());
        let is_interleaved = layout == Layout::Interleaved || channels == 1 || self.input.area() == 1;
        if self.padding == 0 && is_interleaved {
            let mut values = Vec::with_capacity(input.len() + M::GROUP);
            values.extend(input.iter().map(|value| M::narrow((*value).into())));
            values.resize(input.len() + M::GROUP, M::Value::default());
            return values;
        }
        let (lines, columns) = (self.input.height as usize, self.input.width as usize);
        let items = input.len() / self.size().max(1);
        let mut values = vec![M::Value::default(); items * self.taken() + M::GROUP];
        for (input, values) in input.chunks_exact(self.size()).zip(values.chunks_exact_mut(height * width * channels)) {
            if is_interleaved {
                let rows = values.chunks_exact_mut(width * channels).skip(self.padding);
                for (line, row) in input.chunks_exact(columns * channels).zip(rows) {
                    for (value, place) in line.iter().zip(row.iter_mut().skip(self.padding * channels)) {
                        *place = M::narrow((*value).into());
                    }
                }
                continue;
            }
            for (channel, plane) in input.chunks_exact(lines * columns).enumerate() {
                let rows = values.chunks_exact_mut(width * channels).skip(self.padding);
                for (line, row) in plane.chunks_exact(columns).zip(rows) {
                    let places = row.iter_mut().skip(self.padding * channels + channel).step_by(channels);
                    for (value, place) in line.iter().zip(places) {
                        *place = M::narrow((*value).into());
                    }
                }
            }
        }
        values
    }
}

/// The sink's number of the first, how many there are, and where each starts in the values.
type Rows<F> = (usize, usize, F);

#[inline(always)]
fn blocks<M: Micro, const TILES: usize>(
    micro: M,
    panel: &[M::Weights],
    values: &[M::Value],
    walk: &Walk,
    (named, count, start): &Rows<impl Fn(usize) -> usize>,
    (first, sink): (usize, &mut impl Sink),
) {
    let mut done = 0;
    while done < *count {
        macro_rules! block {
            ($rows:literal) => {{
                let mut starts = [0; $rows];
                for (row, place) in starts.iter_mut().enumerate() {
                    *place = start(done + row);
                }
                let sums = micro.sums::<$rows, TILES>(panel, values, starts, walk);
                for (row, tiles) in sums.iter().enumerate() {
                    for (tile, sums) in tiles.iter().enumerate() {
                        sink.take(micro, named + done + row, first + tile * LANES, sums);
                    }
                }
                done += $rows;
            }};
        }
        match count - done {
            8.. if M::ROWS[TILES / 2] == 8 => block!(8),
            6.. if M::ROWS[TILES / 2] == 6 => block!(6),
            4.. if M::ROWS[TILES / 2] >= 4 => block!(4),
            _ => block!(1),
        }
    }
}

/// Sums as they are, in the contract's order.
struct Planes<'a> {
    result: &'a mut [i32],
    outputs: usize,
    area: usize,
}

impl Sink for Planes<'_> {
    #[inline(always)]
    fn take(&mut self, _: impl Micro, row: usize, output: usize, sums: &[i32; LANES]) {
        let (item, position) = if self.area == 1 { (row, 0) } else { (row / self.area, row % self.area) };
        let places = self.result.iter_mut().skip((item * self.outputs + output) * self.area + position);
        for (place, sum) in places.step_by(self.area).zip(sums.iter().take(self.outputs - output)) {
            *place = *sum;
        }
    }
}

/// What tables make of sums, interleaved.
struct Tables<'a> {
    result: &'a mut [i16],
    outputs: usize,
    after: &'a After,
}

impl Sink for Tables<'_> {
    #[inline(always)]
    fn take(&mut self, micro: impl Micro, row: usize, output: usize, sums: &[i32; LANES]) {
        let After { affine, shift, first, table } = self.after;
        let Some((mantissas, biases)) = affine.get(output / LANES) else { return };
        let start = row * self.outputs + output;
        let end = start + LANES.min(self.outputs - output);
        let Some(places) = self.result.get_mut(start..end) else { return };
        micro.look(sums, Look { mantissas, biases, shift: *shift, first: *first, table }, places);
    }
}

impl After {
    /// Of the two operations behind one that sums, for so many outputs.
    pub(crate) fn new(mantissas: &[u8], biases: &[i32], shift: u8, table: &Table) -> Self {
        let half = 1_i32 << (shift - 1);
        let tile = |first: usize| {
            let mantissa = |lane: usize| mantissas.get(first + lane).map_or(1, |mantissa| i32::from(*mantissa));
            // What rounding adds is part of the bias.
            let bias = |lane: usize| biases.get(first + lane).map_or(half, |bias| bias.wrapping_add(half));
            (std::array::from_fn(mantissa), std::array::from_fn(bias))
        };
        let affine = (0..biases.len()).step_by(LANES).map(tile).collect();
        Self { affine, shift, first: table.first, table: table.values.clone() }
    }
}

/// Whether values fit 16 bits.
pub(crate) fn is_narrow(values: Interval) -> bool {
    values.min >= i16::MIN.into() && values.max <= i16::MAX.into()
}

/// The same call for each instruction set.
macro_rules! each {
    ($packed:expr, $micro:ident, $panels:ident => $call:expr) => {
        match $packed {
            Packed::Scalar($micro, $panels) => $call,
            #[cfg(target_arch = "x86_64")]
            Packed::Avx2($micro, $panels) => $call,
            #[cfg(target_arch = "x86_64")]
            Packed::Vnni($micro, $panels) => $call,
            #[cfg(target_arch = "x86_64")]
            Packed::VnniBytes($micro, $panels) => $call,
        }
    };
}

impl Product {
    /// Packs an operation for a tier that this machine has; nothing of one that does not sum, or reads values that need more than 16 bits.
    /// A dense layer may read elements as they were interleaved in a shape, rather than flattened in the contract's order.
    pub(crate) fn new(op: &Op, input: Shape, values: Interval, tier: Tier, flattened: Option<Shape>) -> Option<Self> {
        let (geometry, weights) = Geometry::of(op, input, flattened)?;
        if !is_narrow(values) {
            return None;
        }
        let packed = match tier {
            Tier::Scalar => None,
            #[cfg(target_arch = "x86_64")]
            Tier::Avx2 => Avx2::detect().map(|avx2| Packed::Avx2(avx2, geometry.pack::<Avx2>(weights))),
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512Vnni => {
                let is_bytes =
                    values.min >= 0 && values.max <= 255 && weights.iter().all(|weight| i8::try_from(*weight).is_ok());
                Vnni::detect().map(|vnni| match is_bytes {
                    true => Packed::VnniBytes(vnni.bytes(), geometry.pack::<VnniBytes>(weights)),
                    false => Packed::Vnni(vnni, geometry.pack::<Vnni>(weights)),
                })
            }
            #[cfg(not(target_arch = "x86_64"))]
            Tier::Avx2 | Tier::Avx512Vnni => None,
        };
        let packed = packed.unwrap_or_else(|| Packed::Scalar(Scalar, geometry.pack::<Scalar>(weights)));
        let group = match &packed {
            Packed::Scalar(..) => Scalar::GROUP,
            #[cfg(target_arch = "x86_64")]
            Packed::Avx2(..) => Avx2::GROUP,
            #[cfg(target_arch = "x86_64")]
            Packed::Vnni(..) => Vnni::GROUP,
            #[cfg(target_arch = "x86_64")]
            Packed::VnniBytes(..) => VnniBytes::GROUP,
        };
        Some(Self { geometry, walk: geometry.walk(group), starts: geometry.starts(), packed })
    }

    /// All sums of inputs that stand one behind the other. A sink's row is an input and a position of the result in it.
    #[inline(always)]
    fn run<M: Micro, T: Copy + Into<i32>>(
        &self,
        micro: M,
        panels: &[Panel<M::Weights>],
        input: &[T],
        layout: Layout,
        sink: &mut impl Sink,
    ) {
        let values = micro.with(
            #[inline(always)]
            || self.geometry.lay::<M, T>(input, layout),
        );
        let items = input.len() / self.geometry.size().max(1);
        self.rows(micro, panels, &values, items, sink);
    }

    /// The same of values that are laid out.
    fn rows<M: Micro>(
        &self,
        micro: M,
        panels: &[Panel<M::Weights>],
        values: &[M::Value],
        items: usize,
        sink: &mut impl Sink,
    ) {
        micro.with(
            #[inline(always)]
            || {
                let (taken, area) = (self.geometry.taken(), self.starts.len());
                if area == 1 {
                    return self.panels(micro, panels, values, (0, items, |row| row * taken), sink);
                }
                for item in 0..items {
                    let start = |row: usize| item * taken + self.starts.get(row).copied().unwrap_or(0);
                    self.panels(micro, panels, values, (item * area, area, start), sink);
                }
            },
        );
    }

    #[inline(always)]
    fn panels<M: Micro>(
        &self,
        micro: M,
        panels: &[Panel<M::Weights>],
        values: &[M::Value],
        rows: Rows<impl Fn(usize) -> usize>,
        sink: &mut impl Sink,
    ) {
        let mut first = 0;
        for panel in panels {
            match panel.tiles {
                1 => blocks::<M, 1>(micro, &panel.weights, values, &self.walk, &rows, (first, sink)),
                2 if M::TILES > 1 => blocks::<M, 2>(micro, &panel.weights, values, &self.walk, &rows, (first, sink)),
                _ if M::TILES > 2 => blocks::<M, 4>(micro, &panel.weights, values, &self.walk, &rows, (first, sink)),
                _ => {}
            }
            first += panel.tiles * LANES;
        }
    }

    /// Numbers of outputs and of the positions of each, for so many inputs.
    fn sizes<T>(&self, input: &[T]) -> (usize, usize, usize) {
        (input.len() / self.geometry.size().max(1), self.geometry.outputs, self.starts.len())
    }

    /// Sums of inputs that stand one behind the other, in the contract's order.
    pub(crate) fn sums<T: Copy + Into<i32>>(&self, input: &[T], layout: Layout) -> Vec<i32> {
        let (items, outputs, area) = self.sizes(input);
        let mut result = vec![0; items * outputs * area];
        let mut sink = Planes { result: &mut result, outputs, area };
        each!(&self.packed, micro, panels => self.run(*micro, panels, input, layout, &mut sink));
        result
    }

    /// What tables make of the sums, interleaved.
    pub(crate) fn values<T: Copy + Into<i32>>(&self, input: &[T], layout: Layout, after: &After) -> Vec<i16> {
        let (items, outputs, area) = self.sizes(input);
        let mut result = vec![0; items * outputs * area];
        let mut sink = Tables { result: &mut result, outputs, after };
        each!(&self.packed, micro, panels => self.run(*micro, panels, input, layout, &mut sink));
        result
    }

    /// The instruction that sums products, for people.
    pub(crate) const fn instruction(&self) -> &'static str {
        match &self.packed {
            Packed::Scalar(..) => "portable",
            #[cfg(target_arch = "x86_64")]
            Packed::Avx2(..) => "vpmaddwd",
            #[cfg(target_arch = "x86_64")]
            Packed::Vnni(..) => "vpdpwssd",
            #[cfg(target_arch = "x86_64")]
            Packed::VnniBytes(..) => "vpdpbusd",
        }
    }
}
