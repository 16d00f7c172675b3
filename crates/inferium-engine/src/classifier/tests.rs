use super::*;
use crate::{MockEmbedder, MockEmbedderOptions, Model as Served};
use inferium_exact::{FloatLayer, FloatModel, Shape, compile, run, synthetic};
use inferium_types::{JobInput, ModelTask};

fn tiny() -> (Model, Vec<i32>) {
    synthetic("mlp-tiny").unwrap().unwrap()
}

fn of_tensors() -> (Arc<Classifier>, Vec<i32>) {
    let (model, input) = tiny();
    let terms = ClassifierTerms::of(&model);
    (Arc::new(Classifier::new(model, terms, None).unwrap()), input)
}

/// A linear model of vectors of this width, whose class `c` is the sum of every third value from `c` on.
fn of_vectors(width: u32) -> Model {
    let weights = (0..3).flat_map(|class| (0..width).map(move |place| if place % 3 == class { 1.0 } else { 0.0 }));
    let float = FloatModel {
        name: "thirds".to_owned(),
        input: Shape::vector(width),
        input_range: (-VECTOR_SCALE, VECTOR_SCALE),
        input_scale: 1.0 / f32::from(VECTOR_SCALE),
        layers: vec![FloatLayer::Dense { weights: weights.collect(), biases: vec![0.0; 3] }],
    };
    compile(&float, &[vec![100; width as usize], vec![-100; width as usize]]).unwrap()
}

fn terms(labels: &[&str]) -> ClassifierTerms {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    let encoder = Some(EncoderTerms::of("mock-embedder", embedder().model()));
    ClassifierTerms { name: "thirds".to_owned(), labels, encoder }
}

fn embedder() -> Arc<dyn Embedder> {
    Arc::new(MockEmbedder::new(MockEmbedderOptions::default()))
}

fn narrow(input: &[i32]) -> Vec<i16> {
    input.iter().map(|element| i16::try_from(*element).unwrap()).collect()
}

#[tokio::test]
async fn tensors_are_classified_as_the_contract_says() {
    let (classifier, input) = of_tensors();
    let inputs = ClassifierInputs::Tensors(vec![narrow(&input), narrow(&input)]);
    let read = classifier.read(&inputs).unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].tokens(), input.len().div_ceil(64));
    let (logits, states) = classifier.classify(read[0].clone()).await.unwrap();
    assert_eq!(logits.values(), run(&tiny().0, &input).unwrap().output());
    assert_eq!(classifier.classify(read[1].clone()).await.unwrap(), (logits, states));
    // What was computed on the way is another's for another input, also where the answer is not.
    let mut other = input;
    other[0] = if other[0] == 0 { 1 } else { 0 };
    let other = classifier.read(&ClassifierInputs::Tensors(vec![narrow(&other)])).unwrap().remove(0);
    let (_, other_states) = classifier.classify(other).await.unwrap();
    assert_ne!(states, other_states);
}

#[test]
fn inputs_of_another_kind_size_or_range_are_refused() {
    let (classifier, input) = of_tensors();
    let ClassifierReads::Tensors { elements, least, most } = classifier.model().reads else {
        panic!("it reads tensors")
    };
    assert_eq!(elements as usize, input.len());
    let tensors = |elements: Vec<i16>| classifier.read(&ClassifierInputs::Tensors(vec![elements]));
    assert!(tensors(vec![most; input.len()]).is_ok() && tensors(vec![least; input.len()]).is_ok());
    for wrong in [vec![most; input.len() - 1], vec![most + 1; input.len()], vec![least - 1; input.len()], vec![]] {
        assert!(matches!(tensors(wrong), Err(EngineError::Tensor { .. })));
    }
    let texts = classifier.read(&ClassifierInputs::Texts(vec!["a".to_owned()]));
    assert!(matches!(texts, Err(EngineError::Task { .. })));
    let served = Served::Classifier(classifier);
    assert!(matches!(
        served.read(&JobInput::Embed { texts: vec!["a".to_owned()], tokens: vec![] }),
        Err(EngineError::Task { .. })
    ));
}

#[tokio::test]
async fn texts_are_classified_by_their_vectors() {
    let embedder = embedder();
    let width = embedder.model().width;
    let classifier = Classifier::new(of_vectors(width), terms(&["a", "b", "c"]), Some(Arc::clone(&embedder))).unwrap();
    let classifier = Arc::new(classifier);
    assert_eq!(classifier.model().reads, ClassifierReads::Texts);
    let text = "what is it".to_owned();
    let read = classifier.read(&ClassifierInputs::Texts(vec![text.clone()])).unwrap();
    let (logits, _) = classifier.classify(read[0].clone()).await.unwrap();
    let tokens = embedder.encode(&text).unwrap();
    assert_eq!(read[0].tokens(), tokens.len());
    let vector = embedder.embed(vec![tokens]).unwrap().recv().await.unwrap().unwrap();
    let integers: Vec<i32> = vector.values.iter().map(|value| quantised(*value)).collect();
    assert_eq!(logits.values(), run(&of_vectors(width), &integers).unwrap().output());
    let tensors = classifier.read(&ClassifierInputs::Tensors(vec![vec![0; width as usize]]));
    assert!(matches!(tensors, Err(EngineError::Task { .. })), "its encoder's vectors are not a client's to choose");
}

#[test]
fn values_are_rounded_to_the_nearest_and_stay_in_range() {
    let scale = f32::from(VECTOR_SCALE);
    assert_eq!([0.0, 1.0, -1.0, 2.0, -2.0].map(quantised), [0, 8_192, -8_192, 8_192, -8_192]);
    // Halves go to the even one.
    assert_eq!([0.5 / scale, 1.5 / scale, -0.5 / scale, -1.5 / scale].map(quantised), [0, 2, 0, -2]);
    assert_eq!(quantised(f32::NAN), 0);
}

#[test]
fn labels_encoders_and_sizes_belong_together() {
    let refused = |model: Model, terms: ClassifierTerms, encoder| {
        Classifier::new(model, terms, encoder).map(|_| ()).unwrap_err().to_string()
    };
    let width = embedder().model().width;
    assert!(refused(of_vectors(width), terms(&["a", "b"]), Some(embedder())).contains("2 labels for 3 outputs"));
    assert!(refused(of_vectors(width), terms(&["a", "b", "a"]), Some(embedder())).contains("there twice"));
    assert!(refused(of_vectors(width + 1), terms(&["a", "b", "c"]), Some(embedder())).contains("its encoder gives"));
    let other: Arc<dyn Embedder> =
        Arc::new(MockEmbedder::new(MockEmbedderOptions { flavour: 1, ..MockEmbedderOptions::default() }));
    assert!(refused(of_vectors(width), terms(&["a", "b", "c"]), Some(other)).contains("other weights"));
    assert!(refused(of_vectors(width), terms(&["a", "b", "c"]), None).contains("has none"));
    let unnamed = ClassifierTerms { encoder: None, ..terms(&["a", "b", "c"]) };
    assert!(refused(of_vectors(width), unnamed, Some(embedder())).contains("has none"));
    let mut narrow = of_vectors(width);
    narrow.input_max = VECTOR_SCALE - 1;
    assert!(refused(narrow, terms(&["a", "b", "c"]), Some(embedder())).contains("takes inputs from"));
}

#[test]
fn a_profile_names_all_that_decides() {
    let profile = |model: Model, terms: ClassifierTerms, encoder| {
        Served::Classifier(Arc::new(Classifier::new(model, terms, encoder).unwrap())).profile("thirds", "all")
    };
    let width = embedder().model().width;
    let usual = profile(of_vectors(width), terms(&["a", "b", "c"]), Some(embedder()));
    assert!(usual.is_well_formed());
    assert_eq!(usual.task, ModelTask::Classify { reads: ClassifierReads::Texts, classes: 3 });
    let renamed = profile(of_vectors(width), terms(&["a", "b", "d"]), Some(embedder()));
    assert_ne!(usual.id(), renamed.id(), "other labels");
    let other = MockEmbedder::new(MockEmbedderOptions { flavour: 1, ..MockEmbedderOptions::default() });
    let of_other =
        ClassifierTerms { encoder: Some(EncoderTerms::of("mock-embedder", other.model())), ..terms(&["a", "b", "c"]) };
    let other = profile(of_vectors(width), of_other, Some(Arc::new(other)));
    assert_ne!(usual.id(), other.id(), "another encoder");
    let mut changed = of_vectors(width);
    if let Some(inferium_exact::Op::Dense { weights, .. }) = changed.nodes.first_mut().map(|node| &mut node.op) {
        weights[0] -= 1;
    }
    assert_ne!(usual.id(), profile(changed, terms(&["a", "b", "c"]), Some(embedder())).id(), "another weight");
    let alone = profile(of_vectors(width), ClassifierTerms { encoder: None, ..terms(&["a", "b", "c"]) }, None);
    assert_ne!(usual.id(), alone.id(), "tensors instead of texts");
}

#[test]
fn a_folder_is_read_as_it_was_written_and_refused_by_what_is_wrong() {
    let (terms, model) = (terms(&["a", "b", "c"]), of_vectors(32));
    let folder =
        std::env::temp_dir().join(format!("inferium-classifier-{}-{:p}", std::process::id(), &raw const terms));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in terms.files(&model).unwrap() {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    assert_eq!(ClassifierTerms::read(&folder).unwrap(), (terms, model));
    let alone = ClassifierTerms::read(&folder.join(MODEL_FILE)).unwrap().0;
    assert_eq!((alone.labels, alone.encoder), (["0", "1", "2"].map(str::to_owned).to_vec(), None));
    std::fs::write(folder.join(TERMS_FILE), b"{\"name\": \"x\", \"labels\": [], \"other\": 1}").unwrap();
    assert!(ClassifierTerms::read(&folder).unwrap_err().to_string().starts_with("classifier.json: unknown field"));
    std::fs::write(folder.join(TERMS_FILE), vec![b' '; usize::try_from(TERMS_SIZE_MAX).unwrap() + 1]).unwrap();
    assert!(ClassifierTerms::read(&folder).unwrap_err().to_string().contains("bytes"));
    std::fs::write(folder.join(MODEL_FILE), b"IFX\x01").unwrap();
    assert!(ClassifierTerms::read(&folder).unwrap_err().to_string().starts_with("model.ifx: "));
    std::fs::remove_file(folder.join(MODEL_FILE)).unwrap();
    assert!(matches!(ClassifierTerms::read(&folder), Err(InvalidClassifier::File { .. })));
    std::fs::remove_dir_all(folder).unwrap();
}

/// SPEC J12: what a committee has to compute again within its window is bounded, and paid for.
#[test]
fn work_counts_and_is_bounded() {
    let dense = |inputs: u32, outputs: u32| FloatLayer::Dense {
        weights: vec![1.0 / 64.0; (inputs * outputs) as usize],
        biases: vec![0.0; outputs as usize],
    };
    let made = |input: Shape, layers| {
        let float = FloatModel { name: "w".to_owned(), input, input_range: (0, 1), input_scale: 1.0, layers };
        let model = compile(&float, &[vec![1; usize::try_from(input.elements()).unwrap()]]).unwrap();
        let terms = ClassifierTerms::of(&model);
        Classifier::new(model, terms, None)
    };
    let of = |width: u32, hidden: u32| {
        made(Shape::vector(width), vec![dense(width, hidden), FloatLayer::Relu, dense(hidden, 2)])
    };
    let tokens = |width: u32, hidden: u32| {
        let inputs = ClassifierInputs::Tensors(vec![vec![1; width as usize]]);
        of(width, hidden).unwrap().read(&inputs).unwrap()[0].tokens()
    };
    // By elements; then by multiplications, 66 of which each hidden value takes.
    assert_eq!([tokens(64, 2), tokens(65, 2), tokens(2_048, 2), tokens(255 * 64, 1)], [1, 2, 32, 255]);
    assert_eq!([tokens(64, 15_887), tokens(64, 15_888)], [1, 2]);
    let refused = of(255 * 64 + 1, 1).unwrap_err().to_string();
    assert!(refused.contains("16321 elements"), "{refused}");
    // Windows of 64 by 64 at 64 by 65 places, 15 of them and 16.
    let windows = |outputs: usize| {
        let (weights, biases) = (vec![1.0; outputs * 4_096], vec![0.0; outputs]);
        let window = FloatLayer::Conv2d { kernel: 64, padding: 0, weights, biases };
        let layers = vec![window, FloatLayer::Relu, FloatLayer::AveragePool(16), FloatLayer::Flatten];
        made(Shape { channels: 1, height: 127, width: 128 }, layers)
    };
    let most = windows(15).unwrap().read(&ClassifierInputs::Tensors(vec![vec![1; 127 * 128]])).unwrap();
    assert_eq!(most[0].tokens(), 254);
    let refused = windows(16).unwrap_err().to_string();
    assert!(refused.contains("multiplies 272629760 times for an input; 267386880 times at most"), "{refused}");
}
