//! What a worker can be asked, at each limit and one beyond it (SPEC J1, T6).

use super::sample::Gen;
use crate::{
    ASSESSMENT_TOKENS, ChatMessage, ClassifierInputs, ClassifierReads, Continuation, Digest, Embedding, EngineClass,
    ImpossibleJob, IntervalStart, JobAnswer, JobId, JobInput, JobPayload, JobRequest, LeaseId, Logits, ModelProfile,
    ModelTask, SamplingParams, Shaping, TokenScore, TrainedInterval, TrainedStep, TrainingInput, assessment_payload,
    assessment_request, encode, limits,
};

fn request(sequence: u64, prompt_tokens: u32, tokens_max: u32) -> JobRequest {
    JobRequest {
        job: JobId::new(Digest::ZERO),
        lease: LeaseId::new(Digest::ZERO),
        sequence,
        attempt: 0,
        input_commitment: Digest::ZERO,
        prompt_tokens,
        tokens_max,
        sampling: SamplingParams::GREEDY,
        client_seed: None,
    }
}

fn payload(messages: usize, content: usize, stop: &[usize]) -> JobPayload {
    let message = ChatMessage { role: "user".into(), content: "x".repeat(content) };
    let stop: Vec<String> = stop.iter().map(|size| "s".repeat(*size)).collect();
    JobPayload::chat([0; 32], vec![message; messages], stop)
}

#[test]
fn request_fits_the_context_and_asks_for_something() {
    assert_eq!(request(0, 1, 1).check(2), Ok(()));
    assert_eq!(request(0, 1, 2).check(2), Err(ImpossibleJob::Context { tokens: 3, context_tokens: 2 }));
    let all = 2 * u64::from(u32::MAX);
    let both = request(0, u32::MAX, u32::MAX).check(u32::MAX);
    assert_eq!(both, Err(ImpossibleJob::Context { tokens: all, context_tokens: u32::MAX }));
    assert_eq!(request(0, 0, 1).check(2), Err(ImpossibleJob::NoTokens));
    assert_eq!(request(0, 1, 0).check(2), Err(ImpossibleJob::NoTokens));
}

#[test]
fn sequences_end_where_the_next_would_not_be_another() {
    assert_eq!(request(limits::SEQUENCE_MAX, 1, 1).check(2), Ok(()));
    assert_eq!(request(limits::SEQUENCE_MAX + 1, 1, 1).check(2), Err(ImpossibleJob::Sequence));
    assert_eq!(request(u64::MAX, 1, 1).check(2), Err(ImpossibleJob::Sequence));
}

#[test]
fn private_half_has_limits() {
    let (count, size) = (limits::STOP_STRINGS_MAX, limits::STOP_STRING_SIZE_MAX);
    assert_eq!(payload(1, 1, &vec![size; count]).check(), Ok(()));
    assert_eq!(payload(1, 1, &[1, 0]).check(), Err(ImpossibleJob::StopString { size: 0 }));
    assert_eq!(payload(1, 1, &[size + 1]).check(), Err(ImpossibleJob::StopString { size: size + 1 }));
    assert_eq!(payload(1, 1, &vec![1; count + 1]).check(), Err(ImpossibleJob::StopStrings { count: count + 1 }));
    let many = limits::MESSAGES_MAX;
    assert_eq!(payload(many, 1, &[]).check(), Ok(()));
    assert_eq!(payload(many + 1, 1, &[]).check(), Err(ImpossibleJob::Messages { count: many + 1 }));
    let room = limits::PAYLOAD_SIZE_MAX - encode(&payload(1, 0, &[])).len();
    assert_eq!(payload(1, room, &[]).check(), Ok(()));
    assert_eq!(payload(1, room + 1, &[]).check(), Err(ImpossibleJob::Size));
    let texts = |count: usize| JobPayload::embed([0; 32], vec![String::new(); count]).check();
    assert_eq!(texts(0), Err(ImpossibleJob::Texts { count: 0 }));
    assert_eq!((texts(1), texts(limits::TEXTS_MAX)), (Ok(()), Ok(())));
    assert_eq!(texts(limits::TEXTS_MAX + 1), Err(ImpossibleJob::Texts { count: limits::TEXTS_MAX + 1 }));
    // Tokens of each text, or of none.
    let given = |count: usize| {
        let input = JobInput::Embed { texts: vec![String::new(); 2], tokens: vec![vec![1]; count] };
        JobPayload { salt: [0; 32], input }.check()
    };
    assert_eq!((given(0), given(2)), (Ok(()), Ok(())));
    assert_eq!((given(1), given(3)), (Err(ImpossibleJob::Texts { count: 1 }), Err(ImpossibleJob::Texts { count: 3 })));
    let room = limits::PAYLOAD_SIZE_MAX - encode(&JobPayload::embed([0; 32], vec![String::new()])).len();
    let text = |size: usize| JobPayload::embed([0; 32], vec!["x".repeat(size)]).check();
    assert_eq!((text(room), text(room + 1)), (Ok(()), Err(ImpossibleJob::Size)));
}

/// SPEC J8: equal bits, and nothing else, are equal embeddings; what a worker may put there instead has digests of its own.
#[test]
fn embeddings_are_their_bits() {
    let values = [1.0, -0.0, f32::NAN, f32::from_bits(1)];
    let embedding = Embedding::new(&values);
    let bits: Vec<u32> = embedding.values().map(f32::to_bits).collect();
    assert_eq!(bits, values.map(f32::to_bits));
    assert_eq!(crate::decode::<Embedding>(&encode(&embedding)).unwrap(), embedding);
    let positive = Embedding::new(&[1.0, 0.0, f32::NAN, f32::from_bits(1)]);
    let leaf = |embedding: &Embedding| embedding.leaf(&Digest::ZERO, &Digest::ZERO);
    assert!(positive != embedding && leaf(&positive) != leaf(&embedding));
    assert_ne!(leaf(&Embedding::new(&values[..3])), leaf(&embedding));
    assert_ne!(embedding.leaf(&Digest::ZERO, &Digest::sha256(b"states")), leaf(&embedding));
    assert_ne!(embedding.leaf(&Digest::sha256(b"salt"), &Digest::ZERO), leaf(&embedding));
    let answer = JobAnswer::Embeddings(vec![embedding]);
    assert_eq!((answer.len(), answer.is_empty(), JobAnswer::Embeddings(Vec::new()).is_empty()), (1, false, true));
}

/// SPEC J9: limits of what is scored, each at its bound and one beyond it.
#[test]
fn continuations_have_limits() {
    let one = |prompt: usize, tokens: usize| Continuation { prompt: vec![7; prompt], tokens: vec![8; tokens] };
    let check =
        |continuations: Vec<Continuation>, likeliest| JobPayload::score([0; 32], continuations, likeliest).check();
    assert_eq!(check(vec![one(1, 1)], 0), Ok(()));
    assert_eq!(check(vec![one(0, 1)], 0), Err(ImpossibleJob::NoTokens));
    assert_eq!(check(vec![one(1, 1), one(1, 0)], 0), Err(ImpossibleJob::NoTokens));
    assert_eq!(check(Vec::new(), 0), Err(ImpossibleJob::Texts { count: 0 }));
    assert_eq!(check(vec![one(1, 1); limits::TEXTS_MAX], limits::LIKELIEST_MAX), Ok(()));
    let count = limits::TEXTS_MAX + 1;
    assert_eq!(check(vec![one(1, 1); count], 0), Err(ImpossibleJob::Texts { count }));
    let count = limits::LIKELIEST_MAX + 1;
    assert_eq!(check(vec![one(1, 1)], count), Err(ImpossibleJob::Likeliest { count }));
    // An answer of the most tokens has room in a payload of the greatest size, and with one more has not.
    let most = (limits::PAYLOAD_SIZE_MAX - 4) / (8 + 8 * usize::from(limits::LIKELIEST_MAX));
    let score = TokenScore::new(-1.0, &[(1, -2.0); limits::LIKELIEST_MAX as usize]);
    assert!(encode(&vec![score; most]).len() <= limits::PAYLOAD_SIZE_MAX);
    assert_eq!(check(vec![one(1, most)], limits::LIKELIEST_MAX), Ok(()));
    assert_eq!(check(vec![one(1, most + 1)], limits::LIKELIEST_MAX), Err(ImpossibleJob::Size));
}

/// SPEC J9: equal bits, and nothing else, are equal scores; the evidence of a continuation binds scores and positions.
#[test]
fn scores_are_their_bits() {
    let score = TokenScore::new(-0.0, &[(3, f32::NAN), (4, -1.5)]);
    assert_eq!(score.logprob().to_bits(), (-0.0_f32).to_bits());
    let likeliest: Vec<(u32, u32)> = score.likeliest().map(|(token, logprob)| (token, logprob.to_bits())).collect();
    assert_eq!(likeliest, [(3, f32::NAN.to_bits()), (4, (-1.5_f32).to_bits())]);
    assert_eq!(crate::decode::<TokenScore>(&encode(&score)).unwrap(), score);
    let other = TokenScore::new(0.0, &[(3, f32::NAN), (4, -1.5)]);
    assert_ne!(other, score);
    let positions = [Digest::sha256(b"one"), Digest::sha256(b"two")];
    let leaf = TokenScore::leaf(&[score.clone(), other.clone()], &positions);
    for (scores, positions) in [
        (vec![other.clone(), score.clone()], &positions[..]),
        (vec![score.clone()], &positions[..]),
        (vec![score.clone(), other.clone()], &positions[..1]),
        (vec![score.clone(), other.clone()], &[positions[1], positions[0]]),
    ] {
        assert_ne!(TokenScore::leaf(&scores, positions), leaf);
    }
    let answer = JobAnswer::Scores(vec![vec![score, other]]);
    assert_eq!((answer.len(), answer.is_empty()), (1, false));
    let input =
        JobInput::Score { continuations: vec![Continuation { prompt: vec![1], tokens: vec![2] }; 3], likeliest: 0 };
    assert_eq!((input.parts(), input.no_answer()), (Some(3), JobAnswer::Scores(Vec::new())));
}

/// SPEC N2: an embedding model is measured on texts, one a job, and the chain of jobs binds each to the one before.
#[test]
fn assessment_asks_a_model_what_it_can_do() {
    let lease = LeaseId::new(Digest::ZERO);
    let of = |task, last: &Digest| assessment_payload(task, &Digest::ZERO, lease, 0, last);
    let chat = of(ModelTask::Chat, &Digest::ZERO);
    assert!(matches!(&chat.input, JobInput::Chat { messages, .. } if messages.len() == 1));
    assert_eq!(assessment_request(lease, 0, &chat, 9).tokens_max, ASSESSMENT_TOKENS);
    let texts = of(ModelTask::Embed { width: 4 }, &Digest::ZERO);
    assert!(matches!(&texts.input, JobInput::Embed { texts, .. } if texts.len() == 1));
    assert_eq!(assessment_request(lease, 0, &texts, 9).tokens_max, 1);
    assert_ne!(texts, of(ModelTask::Embed { width: 4 }, &Digest::of("x", &[])));
    let reads = ClassifierReads::Texts;
    let texts = of(ModelTask::Classify { reads, classes: 2 }, &Digest::ZERO);
    assert!(matches!(&texts.input, JobInput::Classify(ClassifierInputs::Texts(texts)) if texts.len() == 1));
    assert_eq!(assessment_request(lease, 0, &texts, 9).tokens_max, 1);
}

/// SPEC N2: a classifier of tensors is measured on one of its own size and range, drawn anew for each job.
#[test]
fn assessment_draws_tensors_within_the_range() {
    let of = |reads, last: &Digest| {
        let task = ModelTask::Classify { reads, classes: 2 };
        match assessment_payload(task, &Digest::ZERO, LeaseId::new(Digest::ZERO), 0, last).input {
            JobInput::Classify(ClassifierInputs::Tensors(mut tensors)) if tensors.len() == 1 => tensors.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    for (least, most) in [(0, 255), (-3, 3), (7, 7), (i16::MIN, i16::MAX), (-1, 0)] {
        let reads = ClassifierReads::Tensors { elements: 2_000, least, most };
        let tensor = of(reads, &Digest::ZERO);
        assert!(tensor.len() == 2_000 && tensor.iter().all(|element| (least..=most).contains(element)));
        let [found_least, found_most] = [tensor.iter().min(), tensor.iter().max()].map(|end| i32::from(*end.unwrap()));
        let range = i32::from(most) - i32::from(least);
        assert!(found_most - found_least >= range - range / 64, "both ends are drawn: {found_least} to {found_most}");
        assert!(least == most || tensor != of(reads, &Digest::sha256(b"another")));
    }
}

/// SPEC J12: each limit of what is classified, and one beyond it.
#[test]
fn inputs_of_classifiers_have_limits() {
    let texts =
        |count: usize| JobPayload::classify([0; 32], ClassifierInputs::Texts(vec![String::new(); count])).check();
    let tensors = |count: usize| JobPayload::classify([0; 32], ClassifierInputs::Tensors(vec![vec![1]; count])).check();
    for check in [&texts as &dyn Fn(usize) -> Result<(), ImpossibleJob>, &tensors] {
        assert_eq!(check(0), Err(ImpossibleJob::Texts { count: 0 }));
        assert_eq!((check(1), check(limits::TEXTS_MAX)), (Ok(()), Ok(())));
        assert_eq!(check(limits::TEXTS_MAX + 1), Err(ImpossibleJob::Texts { count: limits::TEXTS_MAX + 1 }));
    }
    let tokens = [0, 1, 64, 65, 784].map(|elements| ClassifierInputs::tensor_tokens(elements, 1));
    assert_eq!(tokens, [1, 1, 1, 2, 13]);
    let work = limits::TOKEN_MULTIPLICATIONS;
    let tokens = [0, work, work + 1, 20 * work].map(|work| ClassifierInputs::tensor_tokens(128, work));
    assert_eq!(tokens, [2, 2, 2, 20]);
    let largest = ClassifierInputs::tensor_tokens(limits::TENSOR_ELEMENTS_MAX, 1);
    assert_eq!((largest, largest + 1), (255, crate::FORCED_TOKENS), "the largest can be planted, with its answer");
    let input = JobInput::Classify(ClassifierInputs::Tensors(vec![vec![1]; 3]));
    assert_eq!((input.parts(), input.no_answer()), (Some(3), JobAnswer::Logits(Vec::new())));
}

/// SPEC J12: equal numbers are equal answers, the first of the largest is the label, and evidence binds what was computed on the way.
#[test]
fn logits_name_the_first_of_the_largest() {
    let label = |values: &[i32]| Logits::new(values.to_vec()).label();
    assert_eq!([label(&[1, 3, 2]), label(&[3, 3]), label(&[-2, -1]), label(&[]), label(&[i32::MIN])], [1, 0, 1, 0, 0]);
    let logits = Logits::new(vec![1, -1]);
    assert_eq!(crate::decode::<Logits>(&encode(&logits)).unwrap(), logits);
    let (none, some) = (Digest::ZERO, Digest::sha256(b"states"));
    assert_ne!(logits.leaf(&none, &none), Logits::new(vec![1, -1, 0]).leaf(&none, &none));
    assert_ne!(logits.leaf(&none, &none), logits.leaf(&none, &some));
    assert_ne!(logits.leaf(&none, &some), logits.leaf(&some, &some), "salts");
    let mut answer = JobAnswer::Logits(vec![logits.clone()]);
    assert!(answer.append(JobAnswer::Logits(vec![logits])) && answer.len() == 2);
    assert!(!answer.append(JobAnswer::Embeddings(Vec::new())) && answer.len() == 2);
}

/// SPEC J12: classes and inputs of a profile are bounded, and its results compared to the bit.
#[test]
fn profile_of_a_classifier_is_bounded_and_verified_by_equality() {
    let profile = |reads, classes, engine| ModelProfile {
        name: "m".into(),
        task: ModelTask::Classify { reads, classes },
        weights_root: Digest::ZERO,
        tokenizer_hash: Digest::ZERO,
        template_hash: Digest::ZERO,
        engine,
        sampler_version: 0,
        eos_tokens: Vec::new(),
    };
    let canonical = || EngineClass::Canonical { build: Digest::ZERO, tier: "all".into() };
    let tolerance = EngineClass::Tolerance { verifier: Digest::ZERO, calibration: Gen::new(3).next() };
    let of = |reads, classes| profile(reads, classes, canonical()).is_well_formed();
    let tensors = |elements, least, most| ClassifierReads::Tensors { elements, least, most };
    assert!(of(ClassifierReads::Texts, 1) && of(ClassifierReads::Texts, limits::CLASSES_MAX));
    assert!(!of(ClassifierReads::Texts, 0) && !of(ClassifierReads::Texts, limits::CLASSES_MAX + 1));
    assert!(of(tensors(1, 0, 0), 2) && of(tensors(limits::TENSOR_ELEMENTS_MAX, i16::MIN, i16::MAX), 2));
    assert!(
        !of(tensors(0, 0, 0), 2) && !of(tensors(limits::TENSOR_ELEMENTS_MAX + 1, 0, 1), 2) && !of(tensors(1, 1, 0), 2)
    );
    assert!(!profile(ClassifierReads::Texts, 2, tolerance).is_well_formed());
}

#[test]
fn profile_of_vectors_is_verified_by_equality() {
    let profile = |width, engine| ModelProfile {
        name: "m".into(),
        task: ModelTask::Embed { width },
        weights_root: Digest::ZERO,
        tokenizer_hash: Digest::ZERO,
        template_hash: Digest::ZERO,
        engine,
        sampler_version: 0,
        eos_tokens: Vec::new(),
    };
    let canonical = || EngineClass::Canonical { build: Digest::ZERO, tier: "all".into() };
    let tolerance = EngineClass::Tolerance { verifier: Digest::ZERO, calibration: Gen::new(3).next() };
    assert!(
        profile(1, canonical()).is_well_formed() && profile(limits::EMBEDDING_WIDTH_MAX, canonical()).is_well_formed()
    );
    assert!(!profile(0, canonical()).is_well_formed());
    assert!(!profile(limits::EMBEDDING_WIDTH_MAX + 1, canonical()).is_well_formed());
    assert!(!profile(1, tolerance.clone()).is_well_formed());
    assert!(ModelProfile { task: ModelTask::Chat, ..profile(1, tolerance) }.is_well_formed());
}

/// SPEC J10: each limit, and one beyond it.
#[test]
fn shaping_has_limits() {
    let check = |shaping: Shaping| JobPayload::complete([0; 32], vec![1], shaping).check();
    let biased = |count: u32, micro: i32| Shaping {
        bias: (0..count).map(|token| (token, micro)).collect(),
        ..Shaping::default()
    };
    let (most, count) = (i32::try_from(limits::BIAS_MICRO_MAX).unwrap(), limits::BIASED_TOKENS_MAX);
    let many = u32::try_from(count).unwrap();
    for micro in [most, -most, 0] {
        assert_eq!(check(biased(many, micro)), Ok(()));
    }
    assert_eq!(check(biased(many + 1, 1)), Err(ImpossibleJob::BiasedTokens { count: count + 1 }));
    for bad in
        [vec![(0, most + 1)], vec![(0, -most - 1)], vec![(0, i32::MIN)], vec![(1, 1), (1, 1)], vec![(2, 1), (1, 1)]]
    {
        assert_eq!(check(Shaping { bias: bad, ..Shaping::default() }), Err(ImpossibleJob::Bias));
    }
    let most = i32::try_from(limits::PENALTY_MICRO_MAX).unwrap();
    let penalties = |presence_penalty_micro, frequency_penalty_micro| Shaping {
        presence_penalty_micro,
        frequency_penalty_micro,
        ..Shaping::default()
    };
    assert_eq!(check(penalties(most, -most)), Ok(()));
    assert_eq!(check(penalties(most + 1, 0)), Err(ImpossibleJob::Penalty));
    assert_eq!(check(penalties(0, -most - 1)), Err(ImpossibleJob::Penalty));
    let grammar = |size: usize| Shaping { grammar: Some("g".repeat(size)), ..Shaping::default() };
    let size = limits::GRAMMAR_SIZE_MAX;
    assert_eq!(check(grammar(size)), Ok(()));
    assert_eq!(check(grammar(size + 1)), Err(ImpossibleJob::Grammar { size: size + 1 }));
    assert_eq!(check(grammar(0)), Err(ImpossibleJob::Grammar { size: 0 }));
    let lines = |count: usize| Shaping { grammar: Some("a\n".repeat(count)), ..Shaping::default() };
    let most = limits::GRAMMAR_LINES_MAX;
    assert_eq!(check(lines(most)), Ok(()));
    assert_eq!(check(lines(most + 1)), Err(ImpossibleJob::GrammarLines { lines: most + 1 }));
    let likeliest = |count| Shaping { likeliest: Some(count), ..Shaping::default() };
    assert_eq!(check(likeliest(limits::LIKELIEST_MAX)), Ok(()));
    assert_eq!(
        check(likeliest(limits::LIKELIEST_MAX + 1)),
        Err(ImpossibleJob::Likeliest { count: limits::LIKELIEST_MAX + 1 })
    );
    assert_eq!(JobPayload::complete([0; 32], Vec::new(), Vec::new()).check(), Err(ImpossibleJob::NoTokens));
}

#[test]
fn what_shapes_nothing_is_plain() {
    assert!(Shaping::default().is_plain());
    assert!(Shaping { stop: vec!["x".into()], likeliest: Some(1), ..Shaping::default() }.is_plain());
    assert!(!Shaping { presence_penalty_micro: 1, ..Shaping::default() }.is_plain());
    assert!(!Shaping { frequency_penalty_micro: -1, ..Shaping::default() }.is_plain());
    assert!(!Shaping { bias: vec![(0, 0)], ..Shaping::default() }.is_plain());
    assert!(!Shaping { grammar: Some("x".into()), ..Shaping::default() }.is_plain());
}

/// SPEC X3: of training there is a profile for each arithmetic, and no other.
#[test]
fn a_profile_of_training_is_its_build() {
    let one = ModelProfile::trainer(Digest::sha256(b"one"));
    assert!(one.is_well_formed());
    assert_ne!(one.id(), ModelProfile::trainer(Digest::sha256(b"other")).id());
    for other in [
        ModelProfile { name: "train".into(), ..one.clone() },
        ModelProfile { weights_root: Digest::sha256(b"weights"), ..one.clone() },
        ModelProfile { eos_tokens: vec![1], ..one.clone() },
        ModelProfile { sampler_version: 1, ..one },
    ] {
        assert!(!other.is_well_formed(), "{other:?}");
    }
}

/// What an interval is given has all of its parts, and a state within its bound.
#[test]
fn inputs_of_training_are_within_their_bounds() {
    let start = |size: usize| IntervalStart { index: 0, root: Digest::ZERO, before: None, state: vec![0; size] };
    let input = |at| TrainingInput { spec: vec![1], data: "{}".into(), vectors: vec![1], at };
    let most = limits::TRAINING_STATE_SIZE_MAX;
    let check = |input: TrainingInput| JobPayload::train([0; 32], input).check();
    assert_eq!(check(input(None)), Ok(()));
    // Adapters have no vectors; whether a run has some is what whoever trains it reads.
    assert_eq!(check(TrainingInput { vectors: Vec::new(), ..input(None) }), Ok(()));
    assert_eq!(check(input(Some(start(most)))), Ok(()));
    for bad in [
        input(Some(start(most + 1))),
        TrainingInput { spec: Vec::new(), ..input(None) },
        TrainingInput { data: String::new(), ..input(None) },
    ] {
        assert_eq!(check(bad), Err(ImpossibleJob::Training));
    }
    let large = TrainingInput { vectors: vec![0; limits::PAYLOAD_SIZE_MAX], ..input(None) };
    assert_eq!(check(large), Err(ImpossibleJob::Size));
    let interval = |steps: usize, size: usize| TrainedInterval {
        steps: vec![TrainedStep { loss_bits: 0, state: Digest::ZERO }; steps],
        state: vec![0; size],
    };
    assert!(interval(limits::TRAINING_STEPS_MAX, most).is_bounded());
    assert!(!interval(limits::TRAINING_STEPS_MAX + 1, 0).is_bounded() && !interval(0, most + 1).is_bounded());
    assert_ne!(interval(1, 1).leaf(&[]), interval(1, 1).leaf(&[Digest::ZERO]), "who did not compute it has no trace");
}
