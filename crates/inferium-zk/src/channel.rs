//! Messages between prover and verifier, masked or not, and what the verifier holds of them.
//!
//! In a plain proof a message is its value. In a hiding proof it is the value plus a pad that was committed before
//! the first challenge, and the verifier holds a [`Lin`]: a number it knows, less pads it doesn't. All of its checks
//! are sums of such forms (and products, which committed triples make sums), so that they become statements about the
//! committed pads alone; `mask.rs` proves those.

use p3_field::PrimeCharacteristicRing;

use crate::error::VerifyError;
use crate::field::EF;
use crate::mask::Pads;
use crate::transcript::Transcript;

/// Σ coefficient · pad + constant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lin {
    pub(crate) constant: EF,
    /// Index of the pad and its coefficient; an index can come twice.
    pub(crate) terms: Vec<(usize, EF)>,
}

impl Lin {
    pub(crate) const fn constant(constant: EF) -> Self {
        Self { constant, terms: Vec::new() }
    }

    #[must_use]
    pub(crate) fn scale(mut self, factor: EF) -> Self {
        self.constant *= factor;
        self.terms.iter_mut().for_each(|(_, coefficient)| *coefficient *= factor);
        self
    }

    #[must_use]
    pub(crate) fn plus(mut self, other: &Self) -> Self {
        self.add(EF::ONE, other);
        self
    }

    #[must_use]
    pub(crate) fn minus(mut self, other: &Self) -> Self {
        self.add(-EF::ONE, other);
        self
    }

    /// Adds `factor` times another form.
    pub(crate) fn add(&mut self, factor: EF, other: &Self) {
        self.constant += factor * other.constant;
        self.terms.extend(other.terms.iter().map(|(pad, coefficient)| (*pad, factor * *coefficient)));
    }

    #[must_use]
    pub(crate) fn shift(mut self, constant: EF) -> Self {
        self.constant += constant;
        self
    }
}

/// How many pads a protocol takes: one for each message, and triples for its products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) messages: usize,
    pub(crate) products: usize,
}

impl Demand {
    /// Before it is counted.
    pub(crate) const NONE: Self = Self { messages: 0, products: 0 };

    /// Pads before the factors of products.
    pub(crate) const fn left(self, product: usize) -> usize {
        self.messages + product
    }

    /// The second factors; each list of factors has one more than there are products, which hides them when the
    /// triples are checked.
    pub(crate) const fn right(self, product: usize) -> usize {
        self.messages + self.products + 1 + product
    }

    /// The products; as many as a polynomial of twice the degree has.
    pub(crate) const fn product(self, product: usize) -> usize {
        self.messages + 2 * (self.products + 1) + product
    }

    /// All pads.
    pub(crate) const fn total(self) -> usize {
        self.messages + 2 * (self.products + 1) + 2 * self.products + 1
    }
}

/// What tests of the verifier have a prover do wrong; by default nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Deviation {
    /// This message is made another one.
    pub(crate) lie: Option<usize>,
    /// This row of this block of look-ups is left out of the sum.
    pub(crate) skipped: Option<(usize, usize)>,
    /// This claim is left out when all claims become one.
    pub(crate) dropped: Option<usize>,
    /// This challenge is drawn, and the one before it is used in its place.
    pub(crate) reused: Option<usize>,
}

/// The prover's end.
pub(crate) struct Writer<'a> {
    pub(crate) transcript: &'a mut Transcript,
    pub(crate) messages: Vec<EF>,
    pads: Option<&'a Pads>,
    pub(crate) deviation: Deviation,
    sent: usize,
    multiplied: usize,
    drawn: usize,
    last: EF,
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(transcript: &'a mut Transcript, pads: Option<&'a Pads>, deviation: Deviation) -> Self {
        let last = EF::ZERO;
        Self { transcript, messages: Vec::new(), pads, deviation, sent: 0, multiplied: 0, drawn: 0, last }
    }

    fn put(&mut self, mut wire: EF) {
        if self.deviation.lie == Some(self.messages.len()) {
            wire += EF::ONE;
        }
        self.transcript.element(wire);
        self.messages.push(wire);
    }

    /// Sends a value.
    pub(crate) fn send(&mut self, value: EF) {
        let pad = self.pads.map_or(EF::ZERO, |pads| pads.at(self.sent));
        self.sent += 1;
        self.put(value + pad);
    }

    /// Tells the verifier's [`Reader::multiply`] of the same two values, if it needs help.
    pub(crate) fn multiply(&mut self, a: EF, b: EF) {
        if let Some(pads) = self.pads {
            self.multiplied += 1;
            let (left, right) = (pads.demand.left(self.multiplied), pads.demand.right(self.multiplied));
            self.put(a + pads.at(left));
            self.put(b + pads.at(right));
        }
    }

    pub(crate) fn challenge(&mut self) -> EF {
        let drawn = self.transcript.challenge();
        if self.deviation.reused != Some(self.drawn) {
            self.last = drawn;
        }
        self.drawn += 1;
        self.last
    }

    pub(crate) fn point(&mut self, bits: usize) -> Vec<EF> {
        (0..bits).map(|_| self.challenge()).collect()
    }
}

/// What a reader is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Messages are values.
    Plain,
    /// Messages are masked.
    Masked(Demand),
    /// There are no messages: the run counts how many there would be.
    Count,
}

/// The verifier's end.
pub(crate) struct Reader<'a> {
    pub(crate) transcript: &'a mut Transcript,
    messages: &'a [EF],
    mode: Mode,
    read: usize,
    received: usize,
    multiplied: usize,
    /// Forms that have to be zero.
    pub(crate) zeros: Vec<Lin>,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(transcript: &'a mut Transcript, messages: &'a [EF], demand: Option<Demand>) -> Self {
        let mode = match demand {
            Some(demand) => Mode::Masked(demand),
            None => Mode::Plain,
        };
        Self { transcript, messages, mode, read: 0, received: 0, multiplied: 0, zeros: Vec::new() }
    }

    pub(crate) const fn counting(transcript: &'a mut Transcript) -> Self {
        Self { transcript, messages: &[], mode: Mode::Count, read: 0, received: 0, multiplied: 0, zeros: Vec::new() }
    }

    /// What was received and multiplied so far.
    pub(crate) const fn demand(&self) -> Demand {
        Demand { messages: self.received, products: self.multiplied }
    }

    fn take(&mut self) -> Result<EF, VerifyError> {
        if self.mode == Mode::Count {
            return Ok(EF::ONE);
        }
        let wire = *self.messages.get(self.read).ok_or(VerifyError::Shape("number of messages"))?;
        self.read += 1;
        self.transcript.element(wire);
        Ok(wire)
    }

    pub(crate) fn receive(&mut self) -> Result<Lin, VerifyError> {
        let pad = self.received;
        let constant = self.take()?;
        self.received += 1;
        let terms = match self.mode {
            Mode::Masked(demand) if pad >= demand.messages => return Err(VerifyError::Shape("number of messages")),
            Mode::Masked(_) => vec![(pad, -EF::ONE)],
            Mode::Plain | Mode::Count => Vec::new(),
        };
        Ok(Lin { constant, terms })
    }

    /// The product of two forms.
    pub(crate) fn multiply(&mut self, a: Lin, b: Lin) -> Result<Lin, VerifyError> {
        self.multiplied += 1;
        let demand = match self.mode {
            Mode::Plain | Mode::Count => return Ok(Lin::constant(a.constant * b.constant)),
            Mode::Masked(demand) if self.multiplied > demand.products => {
                return Err(VerifyError::Shape("number of products"));
            }
            Mode::Masked(demand) => demand,
        };
        let (x, y) = (self.take()?, self.take()?);
        let (left, right) = (demand.left(self.multiplied), demand.right(self.multiplied));
        // The factors come again under pads of their own, of which the product is committed:
        // (x − p)(y − q) = xy − xq − yp + pq.
        self.zero(a.shift(-x).plus(&Lin { constant: EF::ZERO, terms: vec![(left, EF::ONE)] }));
        self.zero(b.shift(-y).plus(&Lin { constant: EF::ZERO, terms: vec![(right, EF::ONE)] }));
        let terms = vec![(right, -x), (left, -y), (demand.product(self.multiplied), EF::ONE)];
        Ok(Lin { constant: x * y, terms })
    }

    pub(crate) fn zero(&mut self, form: Lin) {
        self.zeros.push(form);
    }

    pub(crate) fn challenge(&mut self) -> EF {
        self.transcript.challenge()
    }

    pub(crate) fn point(&mut self, bits: usize) -> Vec<EF> {
        (0..bits).map(|_| self.challenge()).collect()
    }

    /// Every message was read, and no more pads were taken than the protocol has.
    pub(crate) fn finish(self) -> Result<Vec<Lin>, VerifyError> {
        let is_whole = self.read == self.messages.len();
        let is_expected = match self.mode {
            Mode::Masked(demand) => demand == Demand { messages: self.received, products: self.multiplied },
            Mode::Plain | Mode::Count => true,
        };
        if is_whole && is_expected { Ok(self.zeros) } else { Err(VerifyError::Shape("number of messages")) }
    }
}
