//! Both sides of a challenge: a worker that lies in one place, and a validator that knows the run.

use super::super::support::*;
use crate::entries::Challenge;
use crate::{SegmentState, Turn};
use inferium_exact::{
    Layout, MODEL_PIECE, Model, ModelTree, Node, Op, Operands, Outline, Recorded, Shape, Span, TRACE_CHUNK, direction,
    direction_build, model_id, run, synthetic,
};
use inferium_types::{
    ChallengeTerms, ClassifierInputs, ClassifierReads, Digest, Embedding, EngineClass, Event, FinishReason, JobAnswer,
    JobFault, JobId, JobInput, JobLeaf, JobOutput, JobPayload, JobRequest, JobResult, JobTotals, Logits, ModelProfile,
    ModelRise, ModelTask, OpenedChunk, OpenedInput, OpenedOutput, OpenedPiece, Parameters, Ppm, Refutation,
    RefutedClaim, SamplingParams, SegmentId, SegmentTerms, TaskTerms, TraceAsked, TraceRoot, TraceShown,
    TransactionBody, Usage, evidence_leaf, merkle_path, merkle_root, part_salt,
};
use std::collections::BTreeSet;

/// Inputs of the job.
const ITEMS: usize = 2;
/// The one that the worker lies about.
const ITEM: u32 = 1;
/// A model of more values than are shown by one span: affine steps, one behind the other.
pub(in crate::tests) const LONG: &str = "long";

/// Two layers, four inputs and three classes: what vectors show of it stays short.
pub(in crate::tests) const SMALL: &str = "small";

/// A sentence encoder: attention of two heads over texts of up to six tokens, vectors of four values.
pub(in crate::tests) const SENTENCE: &str = "sentence";

/// Where the worker says what is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tests) enum Lie {
    None,
    /// One value of the trace is one more than it should be.
    Value {
        tensor: u32,
        index: u64,
    },
    /// The run of a model with other weights in its first layer, and what it says.
    Weights,
    /// An element of the input.
    Input(usize),
    /// The run of a text that ends after so many tokens, and what the model says of that.
    Cut(usize),
    /// The answer is another than the trace's.
    Answer,
    /// The evidence speaks of another answer than the result commits to.
    Said,
    /// An input that was not answered.
    Unanswered,
    /// An answer to no input.
    Unasked,
    /// An answer of another kind.
    OtherKind,
    /// A value is missing at the end.
    Short,
    /// One is too many.
    Long,
    /// Something that was computed before a tensor.
    Before,
}

#[derive(Clone)]
pub(in crate::tests) struct Player {
    pub(in crate::tests) chain: Chain,
    pub(in crate::tests) segment: SegmentId,
    pub(in crate::tests) challenger: String,
    pub(in crate::tests) dissenters: Vec<String>,
    /// Who was not drawn at first.
    pub(in crate::tests) outsiders: Vec<String>,
    pub(in crate::tests) approvers: Vec<String>,
    pub(in crate::tests) purse_before: u64,
    pub(in crate::tests) stake_before: u64,
    pub(in crate::tests) item: u32,
    pub(in crate::tests) payload: JobPayload,
    pub(in crate::tests) output: JobOutput,
    model: Model,
    honest: Vec<Recorded>,
    shown: Vec<Recorded>,
    before: Digest,
    evidence_said: Vec<Digest>,
    layout: Layout,
    leaf: JobLeaf,
    leaves: Vec<Digest>,
}

fn of_name(name: &str) -> (Model, Vec<i32>) {
    if name == SMALL {
        let weights = vec![3, -2, 5, 7, -1, 4, 6, -8, 2, 9, -5, 1];
        let affine = Op::Affine { mantissas: vec![2, 3, 1], biases: vec![-900, 40, 7] };
        let nodes = vec![Node { op: Op::Dense { outputs: 3, weights }, input: 0 }, Node { op: affine, input: 1 }];
        let model = Model { name: SMALL.into(), input: Shape::vector(4), input_min: 0, input_max: 255, nodes };
        return (model, vec![10, 200, 33, 4]);
    }
    if name == SENTENCE {
        return (sentence(), vec![2, 0, 4, 1]);
    }
    if name != LONG {
        return synthetic(name).unwrap().unwrap();
    }
    let width = 16_320;
    let step = |input| Node {
        op: Op::Affine { mantissas: vec![], biases: (0..width).map(|index| index % 7).collect() },
        input,
    };
    let mut nodes: Vec<Node> = (0..16).map(step).collect();
    let weights = (0..3 * width).map(|index| i16::try_from(index % 5).unwrap()).collect();
    nodes.push(Node { op: Op::Dense { outputs: 3, weights }, input: 16 });
    let input = Shape::vector(width.try_into().unwrap());
    (Model { name: LONG.into(), input, input_min: 0, input_max: 255, nodes }, vec![7; width.try_into().unwrap()])
}

fn sentence() -> Model {
    let numbers = |count: usize, seed: usize| {
        (0..count).map(|index| i16::try_from((index * 37 + seed * 11) % 23).unwrap() - 11).collect::<Vec<i16>>()
    };
    let conv = |seed| Op::Conv2d { outputs: 4, kernel: 1, padding: 0, weights: numbers(16, seed) };
    let exponentials = (0..16).map(|index| 4_000_i16 >> index).collect();
    let operations = [
        (Op::Embedding { outputs: 4, tokens: numbers(20, 1), positions: numbers(24, 2) }, 0),
        (conv(3), 1),
        (conv(4), 1),
        (conv(5), 1),
        (Op::Scores { heads: 2, keys: 3 }, 2),
        (Op::Softmax { shift: 10, bits: 4, exponentials }, 5),
        (Op::Mix { values: 4 }, 6),
        (Op::Add { other: 1 }, 7),
        (Op::Normalise { is_centred: true, epsilon: 9, shift: 10 }, 8),
        (Op::Scale { gains: numbers(4, 6), biases: vec![5, -3, 2, 1] }, 9),
        (Op::SumPositions, 10),
    ];
    let nodes = operations.into_iter().map(|(op, input)| Node { op, input }).collect();
    let input = Shape { channels: 1, height: 1, width: 6 };
    Model { name: SENTENCE.into(), input, input_min: 0, input_max: 4, nodes }
}

fn profile_of(model: &Model) -> ModelProfile {
    let elements = model.input.elements().try_into().unwrap();
    let classes = model.shapes().unwrap().last().unwrap().elements().try_into().unwrap();
    let reads = ClassifierReads::Tensors { elements, least: model.input_min, most: model.input_max };
    let (task, build) = match model.is_sequence() {
        true => (ModelTask::Embed { width: classes }, Digest::from(direction_build())),
        false => (ModelTask::Classify { reads, classes }, Digest::ZERO),
    };
    ModelProfile {
        name: "integers".into(),
        task,
        weights_root: Digest::from(model_id(model)),
        tokenizer_hash: Digest::ZERO,
        template_hash: Digest::ZERO,
        engine: EngineClass::Canonical { build, tier: "exact".into() },
        sampler_version: 1,
        eos_tokens: vec![],
    }
}

/// The weights of the first output of the first layer, one nearer to zero.
fn bent(model: &Model) -> Model {
    let mut bent = model.clone();
    let Op::Dense { outputs, weights } = &mut bent.nodes[0].op else { panic!("a dense layer first") };
    let row = weights.len() / *outputs as usize;
    weights.iter_mut().take(row).for_each(|weight| *weight -= weight.signum());
    bent
}

fn record(model: &Model, input: &[i32]) -> (Vec<i32>, Recorded) {
    let trace = run(model, input).unwrap();
    (trace.output().to_vec(), Recorded::of(model, &trace).unwrap())
}

/// What is answered where runs end so.
fn answer_of(model: &Model, outputs: &[Vec<i32>]) -> JobAnswer {
    match model.is_sequence() {
        true => JobAnswer::Embeddings(
            outputs.iter().map(|output| Embedding::new(&direction(output).unwrap_or_default())).collect(),
        ),
        false => JobAnswer::Logits(outputs.iter().cloned().map(Logits::new).collect()),
    }
}

fn digests_of(answer: &JobAnswer) -> Vec<Digest> {
    match answer {
        JobAnswer::Embeddings(all) => all.iter().map(Embedding::digest).collect(),
        JobAnswer::Logits(all) => all.iter().map(Logits::digest).collect(),
        _ => panic!("{answer:?}"),
    }
}

/// Inputs like this one, all of them others.
fn inputs_of(model: &Model, input: &[i32]) -> Vec<Vec<i32>> {
    let other = |item: usize, value: i32| (value + i32::try_from(item).unwrap() * 3) % (i32::from(model.input_max) + 1);
    (0..ITEMS).map(|item| input.iter().map(|value| other(item, *value)).collect()).collect()
}

fn payload_of(model: &Model, inputs: &[Vec<i32>]) -> JobPayload {
    if model.is_sequence() {
        let tokens = |input: &Vec<i32>| input.iter().map(|token| u32::try_from(*token).unwrap()).collect();
        let texts = inputs.iter().map(|input| format!("{input:?}")).collect();
        let input = JobInput::Embed { texts, tokens: inputs.iter().map(tokens).collect() };
        return JobPayload { salt: [1; 32], input };
    }
    let shorts = |tensor: &Vec<i32>| tensor.iter().map(|value| i16::try_from(*value).unwrap()).collect();
    JobPayload::classify([1; 32], ClassifierInputs::Tensors(inputs.iter().map(shorts).collect()))
}

/// What the worker computed and says of one input.
fn lied(model: &Model, input: &[i32], lie: Lie, layout: &Layout) -> (Vec<i32>, Recorded) {
    let length = input.len().try_into().unwrap();
    let bent_model;
    let (mut said, recorded) = match lie {
        Lie::Weights => {
            bent_model = bent(model);
            record(&bent_model, input)
        }
        Lie::Cut(tokens) => return record(model, &input[..tokens]),
        _ => record(model, input),
    };
    let mut values = recorded.values().to_vec();
    match lie {
        Lie::None | Lie::Weights | Lie::Said | Lie::Before | Lie::Cut(_) => {}
        Lie::Unanswered | Lie::Unasked | Lie::OtherKind => {}
        Lie::Answer => {
            said[0] += 1;
            return (said, recorded);
        }
        Lie::Value { tensor, index } => {
            values[usize::try_from(layout.at(tensor, index).unwrap()).unwrap()] += 1;
        }
        Lie::Input(index) => values[index] += 1,
        Lie::Short => drop(values.pop()),
        Lie::Long => values.push(0),
    }
    (said, Recorded::from_values(length, values))
}

/// Nine validators with purses, and one worker of this model.
fn chain_of(model: &Model) -> Chain {
    let parameters = Parameters { profile_slash_max: Ppm::new(333_333), forced_share: Ppm::new(0), ..feeless(4) };
    let mut chain = Chain::with(9, parameters);
    chain.model = profile_of(model);
    let mut chain = chain.furnished(1);
    for index in 0..9 {
        let amount = inferium_types::Amount::from_ifr(100);
        chain.ok("x9", TransactionBody::Transfer { to: id(&format!("v{index}")), amount });
    }
    chain
}

impl Player {
    /// A segment with such a lie. One of the drawn members found it wrong, and all others say that it is right.
    pub(in crate::tests) fn new(name: &str, lie: Lie) -> Self {
        let mut player = Self::drawn(name, lie, 1);
        player.vote_down(1);
        player
    }

    /// Approved by two, and then by a court against three: as the segment's entry says, of which no court is played.
    pub(in crate::tests) fn approved(name: &str, lie: Lie) -> Self {
        let mut player = Self::drawn(name, lie, 1);
        player.chain.vote(player.segment, &player.approvers.clone(), valid());
        let outvoted: Vec<String> = player.outsiders.iter().take(3).cloned().collect();
        outvoted.iter().for_each(|name| player.may_challenge(name));
        player
    }

    /// This member is said to have found the job wrong.
    pub(in crate::tests) fn may_challenge(&mut self, name: &str) {
        let mut entry = self.chain.state.segment(&self.segment).unwrap().clone();
        let SegmentState::Final { approval, .. } = &mut entry.state else { panic!("final") };
        approval.rejections.push((id(name), self.job()));
        approval.rejections.sort();
        self.chain.state.set_segment(self.segment, Some(entry));
    }

    /// The same, of which no judge has said anything.
    pub(in crate::tests) fn undecided(name: &str) -> Self {
        Self::drawn(name, Lie::None, 1)
    }

    /// Two of nine found it wrong.
    pub(in crate::tests) fn twice_outvoted(name: &str, lie: Lie) -> Self {
        let mut player = Self::drawn(name, lie, 1);
        player.vote_down(2);
        player
    }

    /// So many of the drawn members find it wrong, and all others say that it is right.
    fn vote_down(&mut self, dissenters: usize) {
        let found = inferium_types::VerdictVote::Invalid { job: self.job(), fault: self.fault() };
        self.dissenters = self.approvers[..dissenters].to_vec();
        self.challenger = self.dissenters[0].clone();
        self.stake_before = self.chain.stake(&self.challenger);
        loop {
            let silent = self.chain.silent_members(self.segment);
            if silent.is_empty() {
                break;
            }
            let vote = |name: &String| if self.dissenters.contains(name) { found } else { valid() };
            let votes: Vec<_> = silent.iter().map(|name| (name.as_str(), vote(name))).collect();
            self.chain.cast(self.segment, &votes);
        }
        let SegmentState::Final { approval, .. } = &self.chain.state.segment(&self.segment).unwrap().state else {
            panic!("final")
        };
        self.approvers = approval.approvers.iter().map(|id| self.chain.name(id)).collect();
        assert_eq!(self.approvers.len(), 9 - dissenters);
        self.purse_before = self.chain.balance(&self.challenger);
    }

    /// Approved by members who were to replay another job.
    pub(in crate::tests) fn unreplayed(name: &str, lie: Lie) -> Self {
        // A worker of record, whose every job is no longer replayed.
        for jobs in 1..64 {
            let mut player = Self::drawn(name, lie, jobs);
            let SegmentState::Judging { seed, replay, .. } = player.chain.state.segment(&player.segment).unwrap().state
            else {
                panic!("judging")
            };
            if !player.segment.draws_job(&seed, player.job(), replay) {
                player.chain.vote(player.segment, &player.approvers.clone(), valid());
                let challenger = player.challenger.clone();
                player.may_challenge(&challenger);
                player.purse_before = player.chain.balance(&challenger);
                return player;
            }
        }
        panic!("the job is drawn whatever its place");
    }

    /// A segment of conversations.
    pub(in crate::tests) fn of_conversation() -> Self {
        let mut player = Self::undecided("mlp-tiny");
        let mut chain = Chain::with(9, feeless(4)).furnished(1);
        chain.ok(
            "x9",
            TransactionBody::Transfer { to: id(&player.challenger), amount: inferium_types::Amount::from_ifr(100) },
        );
        let lease = chain.lease();
        player.segment = chain.approve(lease, totals(1, 10, 2));
        player.chain = chain;
        player
    }

    /// A worker of record where more than one job is in the segment: then few of them are replayed.
    pub(in crate::tests) fn drawn(name: &str, lie: Lie, jobs: usize) -> Self {
        let (model, tensor) = of_name(name);
        let layout = Outline::of(&model).laid_out(tensor.len().try_into().unwrap()).unwrap();
        let mut chain = chain_of(&model);
        if jobs > 1 {
            chain.state.records.insert((id("w0"), chain.profile()), record_of(10_000, 10_000_000, 0));
        }
        let lease = chain.lease_of(TaskTerms { profile: chain.profile(), ..task_terms() });
        let tensors = inputs_of(&model, &tensor);
        let (mut honest, mut said, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        for (item, tensor) in (0_u32..).zip(&tensors) {
            honest.push(record(&model, tensor).1);
            let (output, recorded) = lied(&model, tensor, if item == ITEM { lie } else { Lie::None }, &layout);
            said.push(output);
            shown.push(recorded);
        }
        let before = if lie == Lie::Before { Digest::of("before", &[]) } else { Digest::ZERO };
        let mut answer = answer_of(&model, &said);
        let mut evidence_said = digests_of(&answer);
        let mut asked = tensors.clone();
        match lie {
            Lie::Unanswered => asked.push(tensors[0].clone()),
            Lie::Unasked => answer = answer_of(&model, &[said.as_slice(), &said[..1]].concat()),
            Lie::OtherKind => answer = JobAnswer::Board(String::new()),
            _ => {}
        }
        if lie == Lie::Said {
            evidence_said[ITEM as usize] = Digest::of("said", &[]);
        }
        let payload = payload_of(&model, &asked);
        let output = JobOutput { salt: [2; 32], answer };
        let mut player = Self {
            leaf: leaf(lease, 0, &payload, &output, Digest::ZERO),
            segment: SegmentId::new(Digest::ZERO),
            challenger: String::new(),
            dissenters: Vec::new(),
            outsiders: Vec::new(),
            approvers: Vec::new(),
            purse_before: 0,
            stake_before: 0,
            item: ITEM,
            chain,
            payload,
            output,
            model,
            honest,
            shown,
            before,
            evidence_said,
            layout,
            leaves: Vec::new(),
        };
        let root = merkle_root(&player.evidence());
        player.leaf = leaf(lease, 0, &player.payload, &player.output, root);
        let mut all: Vec<JobLeaf> = (1..jobs.max(2))
            .map(|index| leaf(lease, index as u64, &player.payload, &player.output, Digest::ZERO))
            .collect();
        all.push(player.leaf.clone());
        player.leaves = all.iter().map(JobLeaf::hash).collect();
        let terms =
            SegmentTerms { lease, index: 0, totals: JobTotals::of(&all).unwrap(), root: merkle_root(&player.leaves) };
        let commitment = player.chain.sign(terms);
        player.chain.ok("w0", TransactionBody::CommitSegment { commitment });
        player.segment = terms.id();
        player.approvers = player.chain.draw(player.segment);
        let all = (0..9).map(|index| format!("v{index}"));
        player.outsiders = all.filter(|name| !player.approvers.contains(name)).collect();
        player.challenger = player.outsiders[0].clone();
        player
    }

    /// What a validator finds wrong.
    pub(in crate::tests) fn fault(&self) -> JobFault {
        if self.model.is_sequence() { JobFault::Embedding } else { JobFault::Classification }
    }

    pub(in crate::tests) fn job(&self) -> u32 {
        u32::try_from(self.leaves.len() - 1).unwrap()
    }

    pub(in crate::tests) fn clone_chain(&self) -> Chain {
        self.chain.clone()
    }

    fn trace(&self, item: u32) -> TraceRoot {
        let root = self.shown[item as usize].root();
        let before = if item == ITEM { self.before } else { Digest::ZERO };
        TraceRoot { before, length: root.length, values: root.values, root: Digest::from(root.hash) }
    }

    fn salt(&self, item: u32) -> Digest {
        part_salt(&self.output.salt, item as usize)
    }

    fn evidence(&self) -> Vec<Digest> {
        let leaf = |(item, said): (u32, &Digest)| evidence_leaf(&self.salt(item), said, &self.trace(item).digest());
        (0..).zip(&self.evidence_said).map(leaf).collect()
    }

    pub(in crate::tests) fn terms(&self) -> ChallengeTerms {
        let path = merkle_path(&self.leaves, self.leaves.len() - 1).unwrap();
        ChallengeTerms { segment: self.segment, leaf: self.leaf.clone(), path }
    }

    /// The other job of the segment.
    pub(in crate::tests) fn other_terms(&self) -> ChallengeTerms {
        let path = merkle_path(&self.leaves, 0).unwrap();
        let lease = self.leaf.request.lease;
        ChallengeTerms { segment: self.segment, leaf: leaf(lease, 1, &self.payload, &self.output, Digest::ZERO), path }
    }

    pub(in crate::tests) fn opening(&self) -> TransactionBody {
        TransactionBody::OpenChallenge { terms: Box::new(self.terms()) }
    }

    pub(in crate::tests) fn open(&mut self) {
        let body = self.opening();
        self.chain.ok(&self.challenger.clone(), body);
    }

    pub(in crate::tests) fn challenge(&self) -> Option<&Challenge> {
        self.chain.state.challenge(&self.segment, &id(&self.challenger))
    }

    pub(in crate::tests) fn turn(&self) -> Option<Turn> {
        self.challenge().map(|challenge| challenge.turn)
    }

    pub(in crate::tests) fn due_ms(&self) -> u64 {
        self.challenge().unwrap().due_at_ms
    }

    /// What the worker has to say to what it is asked.
    pub(in crate::tests) fn answer(&self) -> TraceShown {
        let Some(Turn::Worker(asked)) = self.turn() else { panic!("not the worker's turn") };
        let of = |item: u32| &self.shown[item as usize];
        let item = self.challenge().unwrap().run.as_ref().map_or(ITEM, |run| run.item);
        match asked {
            TraceAsked::Leaves => TraceShown::Leaves(self.evidence()),
            TraceAsked::Run { item } => {
                let said = self.evidence_said[item as usize];
                TraceShown::Run { salt: self.salt(item), said, trace: self.trace(item) }
            }
            TraceAsked::Span { first, chunks } => {
                TraceShown::Span(of(item).show(Span { first, chunks }).into_iter().map(Digest::from).collect())
            }
            TraceAsked::Chunk { chunk } => TraceShown::Chunk(of(item).chunk(chunk).to_vec()),
            // As many as there should be, each as the worker's model has them; of a value that is made up the last one is.
            TraceAsked::Sums { at } => {
                let mut sums = self.sums(at);
                *sums.last_mut().unwrap() = of(item).values()[usize::try_from(at).unwrap()];
                TraceShown::Sums(sums)
            }
        }
    }

    pub(in crate::tests) fn sums(&self, at: u64) -> Vec<i32> {
        let mut reader = Reader::of(self);
        let mut sums: Vec<i32> = Vec::new();
        for tile in 0..self.layout.tiles(at).unwrap() {
            sums.push(self.layout.execute(at, tile, sums.last().copied().unwrap_or(0), &mut reader).unwrap());
        }
        sums
    }

    pub(in crate::tests) fn showing(&self, shown: TraceShown) -> TransactionBody {
        TransactionBody::ShowTrace { segment: self.segment, challenger: id(&self.challenger), shown }
    }

    pub(in crate::tests) fn show(&mut self) {
        let body = self.showing(self.answer());
        self.chain.ok("w0", body);
    }

    pub(in crate::tests) fn asking(&self, index: u64) -> TransactionBody {
        TransactionBody::AskTrace { segment: self.segment, index }
    }

    pub(in crate::tests) fn ask(&mut self, index: u64) {
        let body = self.asking(index);
        self.chain.ok(&self.challenger.clone(), body);
    }

    pub(in crate::tests) fn refutation(&self, claim: RefutedClaim) -> TransactionBody {
        let refutation = Box::new(Refutation { outline: self.outline(), claim });
        TransactionBody::RefuteTrace { segment: self.segment, refutation }
    }

    pub(in crate::tests) fn outline(&self) -> Vec<OpenedPiece> {
        let tree = ModelTree::new(&self.model);
        let nodes = 0..u32::try_from(self.model.nodes.len()).unwrap();
        std::iter::once(u32::MAX).chain(nodes).map(|node| piece(&tree, node, 0, 0)).collect()
    }

    pub(in crate::tests) fn honest_chunk(&self, chunk: u64) -> Vec<i32> {
        self.honest[ITEM as usize].chunk(chunk).to_vec()
    }

    fn spans(&self) -> Vec<Span> {
        let spans = self.challenge().unwrap().run.as_ref().map(|run| run.spans.clone()).unwrap_or_default();
        spans.iter().map(|span| Span { first: span.first, chunks: span.chunks }).collect()
    }

    fn chunk(&self, chunk: u64) -> OpenedChunk {
        let honest = &self.honest[ITEM as usize];
        let part = self.spans().into_iter().rev().find_map(|span| span.part(span.part_of(chunk)?));
        let part = part.unwrap_or_else(|| honest.root().whole());
        let path = honest.path(part, chunk).into_iter().map(Digest::from).collect();
        OpenedChunk { chunk, values: honest.chunk(chunk).to_vec(), path }
    }

    pub(in crate::tests) fn opened_input(&self) -> OpenedInput {
        self.payload.open_part(ITEM as usize).unwrap()
    }

    pub(in crate::tests) fn opened_output(&self) -> OpenedOutput {
        self.output.open_part(ITEM as usize).unwrap()
    }

    pub(in crate::tests) fn last_chunks(&self) -> Vec<OpenedChunk> {
        let last = self.layout.tensors() - 1;
        let of = |index| self.layout.at(last, index).unwrap() / TRACE_CHUNK as u64;
        let chunks: BTreeSet<u64> = (0..self.layout.elements(last).unwrap()).map(of).collect();
        chunks.into_iter().map(|chunk| self.chunk(chunk)).collect()
    }

    /// Operands and numbers of a tile.
    pub(in crate::tests) fn opened(&self, at: u64, tile: u32) -> (Vec<OpenedChunk>, Vec<OpenedPiece>) {
        self.opened_tiles(at, tile..tile + 1)
    }

    /// Those of the whole value.
    pub(in crate::tests) fn opened_all(&self, at: u64) -> (Vec<OpenedChunk>, Vec<OpenedPiece>) {
        self.opened_tiles(at, 0..self.layout.tiles(at).unwrap())
    }

    fn opened_tiles(&self, at: u64, tiles: std::ops::Range<u32>) -> (Vec<OpenedChunk>, Vec<OpenedPiece>) {
        let mut reader = Reader::of(self);
        for tile in tiles {
            self.layout.execute(at, tile, 0, &mut reader).unwrap();
        }
        reader.chunks.remove(&(at / TRACE_CHUNK as u64));
        let tree = ModelTree::new(&self.model);
        let pieces = reader.pieces.iter().map(|(node, part, number)| piece(&tree, *node, *part, *number)).collect();
        (reader.chunks.iter().map(|chunk| self.chunk(*chunk)).collect(), pieces)
    }

    /// Up to the worker's sums of the value that is wrong.
    pub(in crate::tests) fn reach_sums(&mut self) {
        self.open();
        while !matches!(self.turn(), Some(Turn::Worker(TraceAsked::Sums { .. }))) {
            assert!(self.step().is_none(), "nothing is refuted before");
        }
    }

    /// Goes on until the challenger refutes; what the ledger then says.
    pub(in crate::tests) fn play_out(&mut self) -> Vec<Event> {
        for _ in 0..20 {
            if let Some(events) = self.step() {
                return events;
            }
        }
        panic!("no end");
    }

    /// The next move of whoever's turn it is; events of the one that ends it.
    pub(in crate::tests) fn step(&mut self) -> Option<Vec<Event>> {
        match self.turn()? {
            Turn::Worker(_) => self.show(),
            Turn::Over => panic!("lost"),
            Turn::Challenger => match self.found() {
                Ok(index) => self.ask(index),
                Err(claim) => {
                    let body = self.refutation(*claim);
                    return Some(self.chain.ok(&self.challenger.clone(), body));
                }
            },
        }
        None
    }

    /// What the challenger does with what is shown: asks, or refutes.
    pub(in crate::tests) fn found(&self) -> Result<u64, Box<RefutedClaim>> {
        let challenge = self.challenge().unwrap();
        let honest = &self.honest[ITEM as usize];
        let (input, output) = (self.payload.committed(), self.output.committed());
        if input.parts != ITEMS as u64 {
            return Err(Box::new(RefutedClaim::Input { at: 0, opened: OpenedInput::Aside(input) }));
        }
        if output.parts != ITEMS as u64 {
            let opened = OpenedOutput::Aside(output);
            return Err(Box::new(RefutedClaim::Output { opened, chunks: Vec::new() }));
        }
        let Some(run) = &challenge.run else { return Ok(ITEM.into()) };
        let root = honest.root();
        if run.trace.length != root.length {
            return Err(Box::new(RefutedClaim::Input { at: 0, opened: self.opened_input() }));
        }
        if (run.trace.values, run.trace.before) != (root.values, Digest::ZERO) {
            return Err(Box::new(RefutedClaim::Length));
        }
        if let Some((at, sums)) = &run.sums {
            let own = self.sums(*at);
            // Those of the test's worker differ in one place.
            let tile = own.iter().zip(sums).position(|(own, shown)| own != shown).unwrap();
            let tile = tile.try_into().unwrap();
            let (chunks, pieces) = self.opened_all(*at);
            return Err(Box::new(RefutedClaim::Tile { tile, chunks, pieces }));
        }
        if *run.trace.root.as_bytes() == root.hash {
            return Err(Box::new(RefutedClaim::Output { opened: self.opened_output(), chunks: self.last_chunks() }));
        }
        if let Some((chunk, values)) = &run.chunk {
            let index = honest.chunk(*chunk).iter().zip(values).position(|(own, shown)| own != shown).unwrap();
            let at = chunk * TRACE_CHUNK as u64 + index as u64;
            return match self.layout.tiles(at) {
                None => Err(Box::new(RefutedClaim::Input { at, opened: self.opened_input() })),
                Some(_) => Ok(index as u64),
            };
        }
        let span = run.spans.last().unwrap();
        let own = honest.show(Span { first: span.first, chunks: span.chunks });
        let differs = own.iter().zip(&span.hashes).position(|(own, shown)| own != shown.as_bytes());
        Ok(differs.unwrap() as u64)
    }

    /// Nothing more is said: the segment is settled in the end.
    pub(in crate::tests) fn settle(&mut self) {
        for _ in 0..200 {
            if self.chain.state.segment(&self.segment).is_none() {
                let is_settled = |event: &Event| matches!(event, Event::SegmentApproved(outcome) if outcome.settled && outcome.segment == self.segment);
                assert!(self.chain.history.iter().any(is_settled));
                return;
            }
            self.chain.block(&[]);
        }
        panic!("it is never settled");
    }
}

pub(in crate::tests) fn piece(tree: &ModelTree, node: u32, part: u32, piece: u32) -> OpenedPiece {
    let (bytes, rises) = tree.open(node, part, piece).unwrap();
    let rise = |rise: inferium_exact::Rise| ModelRise { sibling: Digest::from(rise.sibling), is_left: rise.is_left };
    OpenedPiece { node, part, piece, bytes, rises: rises.into_iter().map(rise).collect() }
}

fn leaf(
    lease: inferium_types::LeaseId,
    sequence: u64,
    payload: &JobPayload,
    output: &JobOutput,
    evidence_root: Digest,
) -> JobLeaf {
    let request = JobRequest {
        job: JobId::new(Digest::of("test-job", &[&sequence.to_be_bytes()])),
        lease,
        sequence,
        attempt: 0,
        input_commitment: payload.commitment(),
        prompt_tokens: 10,
        tokens_max: ITEMS.try_into().unwrap(),
        sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: None,
    };
    let result = JobResult {
        request: request.digest(),
        output_commitment: output.commitment(),
        evidence_root,
        usage: Usage { prompt_tokens: 10, completion_tokens: ITEMS.try_into().unwrap() },
        finish: FinishReason::EndOfText,
    };
    JobLeaf { request, result }
}

/// Operands of the honest run, with what was read.
struct Reader<'a> {
    player: &'a Player,
    outline: Outline,
    chunks: BTreeSet<u64>,
    pieces: BTreeSet<(u32, u32, u32)>,
}

impl<'a> Reader<'a> {
    fn of(player: &'a Player) -> Self {
        let outline = Outline::of(&player.model);
        Self { player, outline, chunks: BTreeSet::new(), pieces: BTreeSet::new() }
    }
}

impl Operands for Reader<'_> {
    fn value(&mut self, at: u64) -> Option<i32> {
        self.chunks.insert(at / TRACE_CHUNK as u64);
        self.player.honest[ITEM as usize].values().get(usize::try_from(at).ok()?).copied()
    }

    fn number(&mut self, node: u32, part: u32, index: u64) -> Option<i32> {
        let width = self.outline.width(node, part)?;
        let piece = usize::try_from(index).ok()? * width / MODEL_PIECE;
        self.pieces.insert((node, part, u32::try_from(piece).ok()?));
        self.player.model.number(node, part, index)
    }
}
