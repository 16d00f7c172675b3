use super::*;
use inferium_engine::{ClassifierTerms, Embedder, EncoderTerms, MockEmbedder, MockEmbedderOptions, VECTOR_SCALE};
use inferium_exact::{FloatLayer, FloatModel, Shape, compile};
use serde_json::json;

/// A classifier of pictures of 3 by 2 pixels: the class is the channel of the largest sum, or the brighter half of a single channel.
fn pictures(channels: u32) -> Classifier {
    let input = Shape { channels, height: 2, width: 3 };
    let classes = channels.max(2);
    let elements = u32::try_from(input.elements()).unwrap();
    let of = |class: u32, element: u32| {
        let belongs = if channels == 1 { element / 3 == class } else { element / 6 == class };
        if belongs { 1.0 } else { 0.0 }
    };
    let weights = (0..classes).flat_map(|class| (0..elements).map(move |element| of(class, element))).collect();
    let layers = vec![FloatLayer::Flatten, FloatLayer::Dense { weights, biases: vec![0.0; classes as usize] }];
    let float = FloatModel { name: "pictures".to_owned(), input, input_range: (0, 255), input_scale: 1.0, layers };
    let model = compile(&float, &[vec![255; elements as usize]]).unwrap();
    let terms = ClassifierTerms::of(&model);
    Classifier::new(model, terms, None).unwrap()
}

fn texts() -> Classifier {
    let embedder: Arc<dyn Embedder> = Arc::new(MockEmbedder::new(MockEmbedderOptions::default()));
    let width = embedder.model().width;
    let layers = vec![FloatLayer::Dense { weights: vec![1.0; 2 * width as usize], biases: vec![0.0, 1.0] }];
    let range = (-VECTOR_SCALE, VECTOR_SCALE);
    let input = Shape::vector(width);
    let float = FloatModel { name: "texts".to_owned(), input, input_range: range, input_scale: 1.0, layers };
    let model = compile(&float, &[vec![1; width as usize]]).unwrap();
    let terms = ClassifierTerms {
        encoder: Some(EncoderTerms::of("mock-embedder", embedder.model())),
        ..ClassifierTerms::of(&model)
    };
    Classifier::new(model, terms, Some(embedder)).unwrap()
}

fn parse(body: &Value, classifier: &Classifier) -> Result<Request, ApiError> {
    Request::parse(body.to_string().as_bytes(), Reading::of(classifier))
}

/// The parameter and the message of a refusal.
fn refusal(body: &Value, classifier: &Classifier) -> (String, String) {
    match parse(body, classifier).unwrap_err() {
        ApiError::Invalid { param, message } => (param, message),
        ApiError::Unsupported { param } => (param, "unsupported".to_owned()),
        other => panic!("{other}"),
    }
}

fn tensors(input: &Value, classifier: &Classifier) -> Vec<Vec<i16>> {
    match parse(&json!({"model": "m", "input": input}), classifier).unwrap().inputs {
        ClassifierInputs::Tensors(tensors) => tensors,
        ClassifierInputs::Texts(_) => panic!("texts"),
    }
}

/// A picture as a data URL.
fn png(width: u32, height: u32, color: png::ColorType, pixels: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}

#[test]
fn one_input_or_several_are_taken() {
    let classifier = pictures(1);
    assert_eq!(tensors(&json!([0, 1, 2, 3, 4, 255]), &classifier), [[0, 1, 2, 3, 4, 255]]);
    assert_eq!(tensors(&json!([vec![0; 6], vec![255; 6]]), &classifier), [[0; 6], [255; 6]]);
    let request = parse(&json!({"model": "m", "input": ["a", "b"], "opening": true}), &texts()).unwrap();
    let expected = ClassifierInputs::Texts(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(request, Request { inputs: expected, opening: true, routing: Routing::default(), proof: None });
    let one = parse(&json!({"model": "m", "input": "a", "user": "u", "labels": null}), &texts()).unwrap();
    assert_eq!(
        one,
        Request {
            inputs: ClassifierInputs::Texts(vec!["a".to_owned()]),
            opening: false,
            routing: Routing::default(),
            proof: None
        }
    );
}

#[test]
fn whatever_is_wrong_is_named() {
    let classifier = pictures(1);
    let of = |input: Value| refusal(&json!({"model": "m", "input": input}), &classifier);
    for (input, words) in [
        (json!("a"), "this classifier reads numbers"),
        (json!(1), "this classifier reads numbers"),
        (json!([]), "entry 0"),
        (json!([0, 1, 2, 3, 4, 256]), "element 5 of entry 0 of `input` must be an integer from 0 to 255"),
        (json!([vec![0; 6], [0, -1, 0, 0, 0, 0]]), "element 1 of entry 1"),
        (json!([0.5, 0, 0, 0, 0, 0]), "element 0 of entry 0"),
        (json!([["a"]]), "element 0 of entry 0"),
        (json!([vec![0; 6], "a"]), "entry 1 of `input` must be an array of integers or an object"),
        (json!(vec![[0; 6]; TEXTS_MAX + 1]), "1025 entries"),
        (json!({}), "one field, `image`"),
        (json!({"picture": "x"}), "`picture` is not supported"),
        (json!({"image": "http://example.org/a.png"}), "must begin with"),
        (json!({"image": "data:image/png;base64,?"}), "not base64"),
        (json!({"image": "data:image/png;base64,AAAA"}), "not a PNG"),
    ] {
        let body = json!({"model": "m", "input": input});
        let refused = parse(&body, &classifier).map(|request| prepare_error(&classifier, request.inputs));
        let (param, message) = match refused {
            Ok(message) => ("input".to_owned(), message),
            Err(_) => of(input.clone()),
        };
        assert!(param == "input" && message.contains(words), "{input}: {message}");
    }
    let zeros = [0; 6];
    let of = |body: Value| refusal(&body, &classifier).0;
    assert_eq!(of(json!({"model": "m"})), "input");
    assert_eq!(of(json!({"model": "m", "input": zeros, "labels": ["a", "b"]})), "labels");
    assert_eq!(of(json!({"model": "m", "input": zeros, "raw": true})), "raw");
    assert_eq!(of(json!({"model": "m", "input": zeros, "top_k": 1})), "top_k");
    assert_eq!(of(json!({"model": "m", "input": zeros, "opening": 1})), "opening");
    assert!(refusal(&json!({"model": "m", "input": [1, 2]}), &texts()).1.contains("must be a string"));
}

/// What the model says of inputs that are of its range and not of its size.
fn prepare_error(classifier: &Classifier, inputs: ClassifierInputs) -> String {
    format!("entry 0: {}", classifier.read(&inputs).unwrap_err())
}

#[test]
fn pictures_become_channels_and_rows() {
    use png::ColorType::{Grayscale, GrayscaleAlpha, Rgb, Rgba};
    let gray = [0, 50, 100, 150, 200, 255];
    let image = |width, height, color, pixels: &[u8]| json!({"image": png(width, height, color, pixels)});
    let wide: Vec<i16> = gray.iter().map(|pixel| i16::from(*pixel)).collect();
    assert_eq!(tensors(&image(3, 2, Grayscale, &gray), &pictures(1)), std::slice::from_ref(&wide));
    let alpha: Vec<u8> = gray.iter().flat_map(|pixel| [*pixel, 7]).collect();
    assert_eq!(tensors(&image(3, 2, GrayscaleAlpha, &alpha), &pictures(1)), std::slice::from_ref(&wide));
    // Red, green and blue, each brighter from pixel to pixel.
    let coloured: Vec<u8> = (0..6).flat_map(|pixel| [pixel, 10 + pixel, 20 + pixel]).collect();
    let planes: Vec<i16> = (0..18).map(|element| element / 6 * 10 + element % 6).collect();
    assert_eq!(tensors(&image(3, 2, Rgb, &coloured), &pictures(3)), std::slice::from_ref(&planes));
    let transparent: Vec<u8> = coloured.chunks(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 0]).collect();
    assert_eq!(tensors(&image(3, 2, Rgba, &transparent), &pictures(3)), [planes]);
    // A coloured picture for a model of one channel, a gray one for a model of three.
    let mixed = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 10, 10, 10];
    assert_eq!(tensors(&image(3, 2, Rgb, &mixed), &pictures(1)), [[76, 150, 29, 255, 0, 10]]);
    assert_eq!(tensors(&image(3, 2, Grayscale, &gray), &pictures(3)), [[wide.clone(), wide.clone(), wide].concat()]);
    // Several at once, of both kinds.
    let both = json!([[9, 9, 9, 9, 9, 9], image(3, 2, Grayscale, &gray)]);
    assert_eq!(tensors(&both, &pictures(1)).len(), 2);
    let (_, message) = refusal(&json!({"model": "m", "input": image(2, 3, Grayscale, &gray)}), &pictures(1));
    assert!(message.contains("2 by 3 pixels, and the model reads 3 by 2"), "{message}");
    let (_, message) = refusal(&json!({"model": "m", "input": image(3, 2, Grayscale, &gray)}), &pictures(2));
    assert!(message.contains("no picture's"), "{message}");
}

/// A picture that says it is far larger than it is takes no memory for that.
#[test]
fn damaged_pictures_are_refused_within_limits() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use inferium_fuzz::{Form, Memory, Outcome, Target};
    let classifier = pictures(1);
    let url = png(3, 2, png::ColorType::Rgb, &[7; 18]);
    let sample = STANDARD.decode(url.rsplit(',').next().unwrap()).unwrap();
    let memory = Memory { fixed: 512 * 1024, per_byte: 512 };
    let target = Target { name: "a picture", form: Form::Binary, cases: 10_000, memory };
    let tally = target.run(&[sample], |bytes| {
        let body =
            json!({"model": "m", "input": {"image": format!("data:image/png;base64,{}", STANDARD.encode(bytes))}});
        match parse(&body, &classifier) {
            Ok(_) => Outcome::Value,
            Err(_) => Outcome::Refused,
        }
    });
    let tally = tally.unwrap();
    assert!(tally.refused > tally.cases / 4 && tally.refused < tally.cases, "{tally:?}");
}

/// Inputs are packed into jobs as small as a committee can replay.
#[test]
fn many_inputs_are_several_jobs() {
    use super::super::super::tests::api_model;
    use inferium_engine::Model;
    let classifier = Arc::new(pictures(1));
    let model = api_model("pictures", Model::Classifier(Arc::clone(&classifier)), 4_096);
    let inputs = ClassifierInputs::Tensors(vec![vec![1; 6]; 130]);
    let specs = prepare(&model, &classifier, inputs, Digest::ZERO).unwrap();
    let sizes: Vec<(u32, u32)> = specs.iter().map(|spec| (spec.prompt_tokens, spec.tokens_max)).collect();
    assert_eq!(sizes, [(64, 64), (64, 64), (2, 2)]);
    let short = ClassifierInputs::Tensors(vec![vec![1; 6], vec![1; 5]]);
    let refused = prepare(&model, &classifier, short, Digest::ZERO).unwrap_err().to_string();
    assert!(refused.contains("entry 1") && refused.contains("5 elements"), "{refused}");
}

/// SPEC V10: a proof is asked for by the mode, of all inputs together; what it hides is said beside it.
#[test]
fn a_proof_is_asked_for_by_its_mode() {
    let classifier = pictures(1);
    let input = vec![0; 6];
    let with = |fields: Value| {
        let mut body = json!({"model": "m", "input": input});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    let asked = |fields: Value| parse(&with(fields), &classifier).unwrap();
    assert_eq!(asked(json!({})).proof, None);
    assert_eq!(asked(json!({"provider": {"verification": "exact"}})).proof, None);
    let zk = json!({"verification": "zk"});
    assert_eq!(asked(json!({"provider": zk})).proof, Some(Hides::Activations));
    assert_eq!(asked(json!({"provider": zk})).routing, Routing::default(), "the answer itself is verified as always");
    for (hides, expected) in [("activations", Hides::Activations), ("nothing", Hides::Nothing)] {
        assert_eq!(asked(json!({"provider": zk, "proof": {"hides": hides}})).proof, Some(expected));
    }
    assert_eq!(asked(json!({"provider": zk, "proof": {}})).proof, Some(Hides::Activations));
    let refused = |fields: Value| refusal(&with(fields), &classifier).0;
    assert_eq!(refused(json!({"proof": {}})), "proof");
    assert_eq!(refused(json!({"proof": {}, "provider": {"verification": "exact"}})), "proof");
    assert_eq!(refused(json!({"provider": zk, "proof": {"hides": "weights"}})), "proof.hides");
    assert_eq!(refused(json!({"provider": zk, "proof": {"seed": 1}})), "proof.seed");
    for count in [1, 2, 33] {
        let inputs = vec![vec![0; 6]; count];
        assert!(parse(&with(json!({"provider": zk, "input": inputs})), &classifier).is_ok());
    }
}
