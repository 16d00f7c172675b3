//! What bodies of requests may hold, as the parsers read them.

use super::super::{admin, asked, batches, boards, classifications, completions, embeddings, runs, tools};
use super::named;
use inferium_types::{Duty, limits};
use serde_json::{Map, Value, json};

/// Schemas of the public routes' bodies and of their parts.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("ChatRequest", chat()),
        ("CompletionRequest", completion()),
        ("ResponseRequest", response()),
        ("EmbeddingRequest", embedding()),
        ("ClassificationRequest", classification()),
        ("TokenizeRequest", tokenize()),
        ("DetokenizeRequest", detokenize()),
        ("FileRequest", file()),
        ("BatchRequest", batch()),
        ("BoardRequest", board()),
        ("TrainingRequest", super::training::request()),
        ("RunRequest", run()),
        ("ReviewRequest", review()),
        ("JsonRpc", json!({"type": "object", "properties": {"jsonrpc": {"const": "2.0"}}, "required": ["jsonrpc"]})),
        ("Manifest", string("The manifest: TOML, byte for byte as it was published.")),
        ("Message", message()),
        ("Content", content("text")),
        ("ResponseFormat", response_format(true)),
        ("TextFormat", response_format(false)),
        ("Tool", tool()),
        ("ToolChoice", tool_choice()),
        ("InputItem", input_item()),
        ("Routing", routing()),
        ("StreamOptions", stream_options()),
    ]
}

/// Schemas of the bodies of routes for operators.
pub(super) fn admin_schemas() -> Vec<(&'static str, Value)> {
    let duties = Duty::ALL.map(Duty::name);
    let duty = strict(&json!({"duty": {"enum": duties, "description": "What it is to do."}}), &["duty"]);
    vec![("KeyRequest", key()), ("DutyRequest", duty)]
}

/// An object of these fields and no others; a field that is null is as good as absent.
pub(super) fn body(fields: Vec<(&str, Value)>, required: &[&str]) -> Value {
    let properties: Map<String, Value> = fields
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), if required.contains(&name) { schema } else { or_null(schema) }))
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": {"type": "null"},
    })
}

fn review() -> Value {
    let rating = json!({"type": "integer", "minimum": 1, "maximum": runs::reviews::RATING_MAX, "description": "The more the better."});
    body(vec![("rating", rating), ("text", string("What others should know, as plain text."))], &["rating"])
}

/// As [`body`], of which nulls are no part.
fn strict(fields: &Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": fields, "required": required, "additionalProperties": false})
}

fn or_null(mut schema: Value) -> Value {
    let kind = schema.get("type").and_then(Value::as_str).map(str::to_owned);
    let is_open = ["enum", "const", "$ref"].iter().all(|word| schema.get(word).is_none());
    match (kind, schema.as_object_mut()) {
        (Some(kind), Some(fields)) if is_open => {
            fields.insert("type".to_owned(), json!([kind, "null"]));
            schema
        }
        // Anything, which null is too.
        (None, Some(fields)) if !fields.keys().any(|name| name != "description") => schema,
        _ => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}

/// A form; `file` is a file's bytes.
fn file() -> Value {
    let (least, most) = super::super::files::EXPIRY_S;
    let size = super::super::files::SIZE_MAX;
    let description =
        format!("JSON Lines, at most {size} bytes; each line has `custom_id`, `method`, `url` and `body`.");
    strict(
        &json!({
            "file": {"type": "string", "format": "binary", "description": description},
            "purpose": {"const": "batch"},
            "expires_after[anchor]": {"const": "created_at"},
            "expires_after[seconds]": whole(least, most, "How long the file is kept; 30 days without it."),
        }),
        &["file", "purpose"],
    )
}

fn run() -> Value {
    let file = strict(
        &json!({
            "name": {"type": "string", "minLength": 1, "maxLength": limits::NAME_SIZE_MAX, "description": "A plain name."},
            "content": {"type": "string"},
            "encoding": {"const": "base64", "description": "Absent for text."},
        }),
        &["name", "content"],
    );
    body(
        vec![
            ("agent", string("An agent, by its id or a name that only one has.")),
            ("input", string("What the agent is to do.")),
            ("files", list(&file, 0, limits::RUN_FILES_MAX, "Files that its tools see.")),
            (
                "secrets",
                json!({
                    "type": "object", "maxProperties": runs::SECRETS_MAX,
                    "additionalProperties": {"type": "string", "maxLength": runs::SECRET_SIZE_MAX},
                    "description": "What its tools need, by the names in the manifest; never shown to the model.",
                }),
            ),
            ("price_max", string("IFR, in decimal: a run that costs more, its model calls not included, is refused.")),
            ("version", string("The version digest of the agent as the client has seen it; any other is refused.")),
            ("stream", boolean("Tells what the run does as it happens.")),
        ],
        &["agent", "input"],
    )
}

fn batch() -> Value {
    let urls = crate::store::Endpoint::ALL.map(crate::store::Endpoint::url);
    let note = json!({"type": "string", "maxLength": batches::METADATA_VALUE_MAX});
    body(
        vec![
            ("input_file_id", string("A file of the same key.")),
            ("endpoint", json!({"enum": urls, "description": "What all lines of the file ask."})),
            ("completion_window", json!({"const": batches::WINDOW})),
            (
                "metadata",
                json!({
                    "type": "object", "maxProperties": batches::METADATA_MAX, "additionalProperties": note,
                    "propertyNames": {"maxLength": batches::METADATA_NAME_MAX},
                    "description": "Notes of the client's; shown with the batch.",
                }),
            ),
        ],
        &["input_file_id", "endpoint", "completion_window"],
    )
}

fn string(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn boolean(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn whole(least: u64, most: u64, description: &str) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most, "description": description})
}

fn number(least: f64, most: f64, description: &str) -> Value {
    json!({"type": "number", "minimum": least, "maximum": most, "description": description})
}

fn list(items: &Value, least: usize, most: usize, description: &str) -> Value {
    json!({"type": "array", "items": items, "minItems": least, "maxItems": most, "description": description})
}

fn model() -> Value {
    json!({"type": "string", "minLength": 1, "description": "The model, by the name that `/v1/models` has."})
}

fn tokens(least: usize) -> Value {
    json!({"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": u32::MAX}, "minItems": least})
}

/// A parameter that changes no answer.
fn unused() -> Value {
    json!({"description": "Taken and not used: it changes no answer."})
}

/// A parameter that may be there only as it is by default.
fn only(value: &Value) -> Value {
    json!({"const": value, "description": "Taken at this value only, which asks for nothing."})
}

/// What all requests for text know.
fn shared() -> Vec<(&'static str, Value)> {
    let mut fields = vec![
        ("model", model()),
        (
            "models",
            json!({
                "type": "array", "items": {"type": "string"},
                "description": "Further models, tried in this order when no worker serves the one before.",
            }),
        ),
        ("stream", boolean("Answers as server-sent events.")),
        ("stream_options", named("StreamOptions")),
        ("temperature", number(0.0, 2.0, "0 is greedy.")),
        ("top_p", number(0.0, 1.0, "Draws from the likeliest tokens that have this much probability.")),
        (
            "top_k",
            json!({
                "type": "integer", "minimum": -1, "maximum": u32::MAX,
                "description": "Draws from this many of the likeliest tokens; 0 or -1 is all of them.",
            }),
        ),
        (
            "seed",
            json!({
                "type": "integer", "minimum": i64::MIN, "maximum": u64::MAX,
                "description": "Mixed into the seed that the worker can't choose.",
            }),
        ),
        ("presence_penalty", number(-2.0, 2.0, "Against tokens that the answer has.")),
        ("frequency_penalty", number(-2.0, 2.0, "Against tokens, by how often the answer has them.")),
        ("provider", named("Routing")),
        ("functions", json!({"type": "array", "maxItems": 0, "description": "The old name of `tools`: only empty."})),
        ("background", only(&json!(false))),
        ("suffix", only(&json!(""))),
        ("best_of", only(&json!(1))),
        ("truncation", only(&json!("disabled"))),
        ("modalities", only(&json!(["text"]))),
    ];
    fields.extend(asked::HARMLESS.map(|name| (name, unused())));
    fields
}

/// What those know beside it that speak of tokens of the answer.
fn drawn() -> Vec<(&'static str, Value)> {
    let stop = json!({"type": "string", "minLength": 1, "maxLength": limits::STOP_STRING_SIZE_MAX});
    let most = limits::STOP_STRINGS_MAX;
    vec![
        ("n", whole(1, asked::CHOICES_MAX.into(), "Answers, each drawn by itself.")),
        (
            "stop",
            json!({
                "anyOf": [stop, {"type": "array", "items": stop, "maxItems": most}],
                "description": "Texts that end the answer, which does not hold them.",
            }),
        ),
        ("opening", opening()),
        (
            "logit_bias",
            json!({
                "type": "object",
                "propertyNames": {"pattern": "^(0|[1-9][0-9]{0,8})$"},
                "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
                "maxProperties": limits::BIASED_TOKENS_MAX,
                "description": "Added to the logits of tokens.",
            }),
        ),
    ]
}

/// `fields` with a model: by `model`, or by the first of `models`.
fn of_models(fields: Vec<(&str, Value)>, required: &[&str]) -> Value {
    let mut schema = body(fields, required);
    if let Some(schema) = schema.as_object_mut() {
        let one = json!({"required": ["model"], "properties": {"model": {"type": "string"}}});
        let some = json!({"required": ["models"], "properties": {"models": {
            "type": "array", "minItems": 1, "prefixItems": [{"type": "string", "minLength": 1}],
        }}});
        schema.insert("anyOf".to_owned(), json!([one, some]));
    }
    schema
}

fn chat() -> Value {
    let mut fields = shared();
    fields.extend(drawn());
    fields.extend([
        ("messages", list(&named("Message"), 1, limits::MESSAGES_MAX, "The conversation so far.")),
        ("max_tokens", whole(1, u32::MAX.into(), "Tokens of the answer at most.")),
        ("max_completion_tokens", whole(1, u32::MAX.into(), "The newer name of `max_tokens`; it wins.")),
        ("response_format", named("ResponseFormat")),
        ("logprobs", boolean("Log probabilities of the answer's tokens.")),
        ("top_logprobs", whole(0, limits::LIKELIEST_MAX.into(), "Likeliest tokens at each place; needs `logprobs`.")),
        ("store", boolean("Nothing is kept, whatever is asked for.")),
        ("echo", only(&json!(false))),
        ("include", json!({"type": "array", "maxItems": 0})),
    ]);
    fields.extend(tool_fields());
    let mut schema = of_models(fields, &["messages"]);
    if let Some(schema) = schema.as_object_mut() {
        let asks = json!({"required": ["top_logprobs"], "properties": {"top_logprobs": {"type": "integer"}}});
        schema.insert("if".to_owned(), asks);
        schema
            .insert("then".to_owned(), json!({"required": ["logprobs"], "properties": {"logprobs": {"const": true}}}));
        schema.insert("not".to_owned(), streamed_opening());
    }
    schema
}

fn tool_fields() -> [(&'static str, Value); 3] {
    [
        (
            "tools",
            list(&named("Tool"), 0, tools::TOOLS_MAX, "Functions that the client can call, each of another name."),
        ),
        ("tool_choice", named("ToolChoice")),
        ("parallel_tool_calls", boolean("Whether one answer may hold several calls.")),
    ]
}

fn completion() -> Value {
    let prompt = json!({
        "anyOf": [
            {"type": "string"},
            tokens(1),
            {
                "type": "array", "minItems": 1, "maxItems": completions::PROMPTS_MAX,
                "items": {"anyOf": [{"type": "string"}, tokens(0)]},
            },
        ],
        "description": "A text, its tokens, or several of either, each with answers of its own.",
    });
    let mut fields = shared();
    fields.extend(drawn());
    fields.extend([
        ("prompt", prompt),
        ("max_tokens", whole(0, u32::MAX.into(), "Tokens of the answer at most; 0 only with `echo` and `logprobs`.")),
        ("echo", boolean("The answer begins with the prompt.")),
        (
            "logprobs",
            whole(0, limits::LIKELIEST_MAX.into(), "Log probabilities, with as many of the likeliest tokens."),
        ),
        ("store", only(&json!(false))),
        ("include", json!({"type": "array", "maxItems": 0})),
    ]);
    let mut schema = of_models(fields, &["prompt"]);
    let whole_score = json!({"echo": {"const": true}, "logprobs": {"type": "integer"}});
    let nothing = json!({"required": ["max_tokens"], "properties": {"max_tokens": {"const": 0}}});
    let one = json!({"n": {"enum": [1, null]}, "stream": {"enum": [false, null]}});
    let streamed_score = json!({
        "required": ["stream", "echo", "logprobs"],
        "properties": {"stream": {"const": true}, "echo": {"const": true}, "logprobs": {"type": "integer"}},
    });
    if let Some(schema) = schema.as_object_mut() {
        let score =
            json!({"required": ["echo", "logprobs"], "properties": whole_score, "allOf": [{"properties": one}]});
        schema.insert("if".to_owned(), nothing);
        schema.insert("then".to_owned(), score);
        schema.insert("not".to_owned(), json!({"anyOf": [streamed_score, streamed_opening()]}));
    }
    schema
}

fn response() -> Value {
    let most = limits::MESSAGES_MAX - 1;
    let input = json!({
        "anyOf": [{"type": "string"}, {"type": "array", "items": named("InputItem"), "minItems": 1, "maxItems": most}],
        "description": "What is said to the model, or the conversation so far.",
    });
    let include = json!({
        "type": "array",
        "items": {"enum": ["message.output_text.logprobs", "reasoning.encrypted_content"]},
        "description": "What the answer holds besides.",
    });
    let text = body(vec![("format", named("TextFormat")), ("verbosity", string("Taken and not used."))], &[]);
    let mut fields = shared();
    fields.extend([
        ("input", input),
        ("instructions", string("What the model is told before everything else.")),
        ("max_output_tokens", whole(1, u32::MAX.into(), "Tokens of the answer at most.")),
        ("text", text),
        ("top_logprobs", whole(0, limits::LIKELIEST_MAX.into(), "Likeliest tokens at each place.")),
        ("include", include),
        ("reasoning", json!({"type": "object", "description": "Taken and not used."})),
        ("store", boolean("Nothing is kept, whatever is asked for.")),
        ("echo", only(&json!(false))),
    ]);
    fields.extend(tool_fields());
    of_models(fields, &["input"])
}

fn embedding() -> Value {
    let text = json!({"type": "string", "minLength": 1});
    let input = json!({
        "anyOf": [text, {"type": "array", "items": text, "minItems": 1, "maxItems": embeddings::TEXTS_MAX}],
        "description": "Texts, and no token ids: every model here has a vocabulary of its own.",
    });
    let fields = vec![
        ("model", model()),
        ("input", input),
        ("encoding_format", json!({"enum": ["float", "base64"], "description": "base64 is of little-endian `f32`."})),
        ("dimensions", whole(1, u64::MAX, "Values of a vector: as many as the model gives, and no other number.")),
        ("opening", opening()),
        ("user", unused()),
        ("metadata", unused()),
    ];
    body(fields, &["model", "input"])
}

/// A stream has no opening.
fn streamed_opening() -> Value {
    json!({
        "required": ["stream", "opening"],
        "properties": {"stream": {"const": true}, "opening": {"const": true}},
    })
}

/// Of requests whose answers can be shown to others.
fn opening() -> Value {
    json!({"type": "boolean", "description": "Whether the answer holds what shows to others what was asked and answered."})
}

fn board() -> Value {
    let files = json!({
        "type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": limits::FOLD_FILES_MAX,
        "description": "Files that `inferium eval run --out --receipts` wrote, of one suite, each as a text.",
    });
    let name = json!({
        "type": "string", "minLength": 1, "maxLength": boards::NAME_MAX, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", "description": "What the board is called.",
    });
    body(vec![("files", files), ("name", name)], &["files"])
}

fn classification() -> Value {
    let text = json!({"type": "string", "minLength": 1});
    let labels = json!({
        "type": "array", "items": text, "uniqueItems": true, "minItems": 2, "maxItems": classifications::LABELS_MAX,
    });
    let (most, all) = (classifications::TEXTS_MAX, classifications::CONTINUATIONS_MAX);
    let several = |item: &Value| json!({"type": "array", "items": item, "minItems": 1, "maxItems": most});
    let texts = json!({"anyOf": [text, several(&text)]});
    let tensor = json!({"type": "array", "items": {"type": "integer", "minimum": i16::MIN, "maximum": i16::MAX}});
    let image = json!({
        "type": "object", "properties": {"image": {"type": "string", "pattern": "^data:image/png;base64,"}},
        "required": ["image"], "additionalProperties": false,
    });
    let fields = vec![
        ("model", model()),
        (
            "input",
            json!({
                "anyOf": [text, several(&text), {"type": "array", "items": tensor["items"], "minItems": 1}, image,
                    several(&json!({"anyOf": [tensor, image]}))],
                "description": "Texts; of classifiers that read numbers tensors, channel by channel and row by row, or pictures of exactly their size.",
            }),
        ),
        (
            "labels",
            json!({
                "anyOf": [labels, several(&labels)],
                "description": format!(
                    "Labels of all texts, or a list of them for each; {all} are scored in all at most. Chat models need them, classifiers have their own."
                ),
            }),
        ),
        ("instructions", string("What a chat model is told before the text; has no place where `raw` is true.")),
        ("raw", boolean("Labels are scored right behind the text, without the chat template.")),
        ("opening", boolean("Each job comes with what shows to others what was asked and answered.")),
        ("provider", named("Routing")),
        (
            "proof",
            json!({
                "type": "object", "additionalProperties": false,
                "properties": {"hides": {"enum": ["activations", "nothing"], "default": "activations"}},
                "description": "How the answers to all inputs, of numbers, are proved, where `provider` asks for it: `\"verification\": \"zk\"`.",
            }),
        ),
        ("user", unused()),
        ("metadata", unused()),
    ];
    let mut schema = body(fields, &["model", "input"]);
    if let Some(schema) = schema.as_object_mut() {
        let labelled = json!({"required": ["labels"], "properties": {"labels": {"not": {"type": "null"}}}});
        let nothing = json!({"type": "null"});
        let rules = json!([
            {"if": labelled, "then": {"properties": {"input": texts}}},
            {"if": {"not": labelled}, "then": {"properties": {"instructions": nothing, "raw": nothing}}},
            {"if": {"required": ["raw"], "properties": {"raw": {"const": true}}}, "then": {"properties": {"instructions": nothing}}},
            {"if": labelled, "then": {"properties": {"proof": nothing}}},
            {"if": {"required": ["proof"], "properties": {"proof": {"type": "object"}}}, "then": {"required": ["provider"], "properties": {
                "provider": {"type": "object", "required": ["verification"], "properties": {"verification": {"const": "zk"}}},
            }}},
        ]);
        schema.insert("allOf".to_owned(), rules);
    }
    schema
}

fn tokenize() -> Value {
    let fields = vec![
        ("prompt", string("The text.")),
        ("model", string("The model; without it the only one that answers in text.")),
        ("add_special_tokens", boolean("Texts get no special tokens, whatever is asked for.")),
        ("return_token_strs", boolean("Also how each token is spelled.")),
    ];
    body(fields, &["prompt"])
}

fn detokenize() -> Value {
    let model = string("The model; without it the only one that answers in text.");
    body(vec![("tokens", tokens(0)), ("model", model)], &["tokens"])
}

fn stream_options() -> Value {
    strict(
        &json!({
            "include_usage": boolean("A chunk of its own tells the usage."),
            "include_obfuscation": only(&json!(false)),
        }),
        &[],
    )
}

/// A text, or parts of one. `kind` is what a part of text is called where it is written anew.
fn content(kind: &str) -> Value {
    let part = |kinds: &[&str], field: &str| {
        json!({
            "type": "object", "required": ["type", field],
            "properties": {"type": {"enum": kinds}, (field): {"type": "string"}},
        })
    };
    json!({
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"anyOf": [
                part(&["text", "input_text", "output_text"], "text"),
                part(&["refusal"], "refusal"),
            ]}},
        ],
        "description": format!("A text, or its parts, each of the type `{kind}`."),
    })
}

fn call() -> Value {
    json!({"type": "object", "required": ["function"], "properties": {"function": {
        "type": "object", "required": ["name", "arguments"],
        "properties": {"name": {"type": "string"}, "arguments": {"type": "string"}},
    }}})
}

fn message() -> Value {
    let fields = |calls: bool| {
        let mut fields = vec![
            ("role", Value::Null),
            ("content", named("Content")),
            ("name", string("Who speaks.")),
            ("refusal", string("Why an earlier answer was none.")),
            ("tool_call_id", string("The call that a tool's message answers.")),
            ("annotations", json!({"type": "array", "maxItems": 0})),
            ("reasoning_content", string("Taken and not used.")),
            ("reasoning", string("Taken and not used.")),
        ];
        let most =
            if calls { json!({"type": "array", "items": call()}) } else { json!({"type": "array", "maxItems": 0}) };
        fields.push(("tool_calls", most));
        fields
    };
    let of = |roles: &[&str], calls: bool, required: &[&str]| {
        let fields = fields(calls).into_iter().map(|(name, schema)| match name {
            "role" => (name, json!({"type": "string", "enum": roles})),
            _ => (name, schema),
        });
        body(fields.collect(), required)
    };
    json!({"anyOf": [
        of(&["system", "developer", "user", "assistant"], false, &["role", "content"]),
        of(&["system", "developer", "user", "assistant"], false, &["role", "refusal"]),
        with_calls(of(&["assistant"], true, &["role", "tool_calls"])),
        of(&["tool"], false, &["role", "content", "tool_call_id"]),
        of(&["tool"], false, &["role", "refusal", "tool_call_id"]),
    ]})
}

/// A message that says nothing but its calls.
fn with_calls(mut message: Value) -> Value {
    if let Some(calls) = message.pointer_mut("/properties/tool_calls").and_then(Value::as_object_mut) {
        calls.insert("minItems".to_owned(), 1.into());
    }
    message
}

/// `nests`: the schema's fields are one level below, as chat completions have them, or beside the type.
fn response_format(nests: bool) -> Value {
    let json_schema = |is_beside: bool| {
        let mut fields = vec![
            ("name", string("Its name.")),
            ("description", string("What it is for.")),
            ("schema", json!({"anyOf": [{"type": "object"}, {"const": true}], "description": "A JSON schema."})),
            ("strict", boolean("An object may have further properties only where the schema says so.")),
        ];
        let mut required = vec!["schema"];
        if is_beside {
            fields.push(("type", json!({"const": "json_schema"})));
            required.push("type");
        } else {
            fields.push(("type", string("Taken and not used.")));
        }
        body(fields, &required)
    };
    let plain =
        json!({"type": "object", "required": ["type"], "properties": {"type": {"enum": ["text", "json_object"]}}});
    let nested = json!({
        "type": "object", "required": ["type", "json_schema"],
        "properties": {"type": {"const": "json_schema"}, "json_schema": json_schema(false)},
    });
    let forms = if nests { [plain, nested, json_schema(true)] } else { [plain, json_schema(true), nested] };
    json!({"anyOf": forms, "description": "The form of the answer, to which a grammar holds the model."})
}

fn function(is_beside: bool) -> Value {
    let name = json!({"type": "string", "pattern": format!("^[a-zA-Z0-9_-]{{1,{}}}$", tools::NAME_MAX)});
    let mut fields = vec![
        ("name", name),
        ("description", string("What it does.")),
        ("parameters", json!({"type": "object", "description": "A JSON schema of its arguments."})),
        ("strict", boolean("Arguments may have further properties only where the schema says so.")),
    ];
    let mut required = vec!["name"];
    if is_beside {
        fields.push(("type", json!({"const": "function"})));
        required.push("type");
    } else {
        fields.push(("type", json!({})));
    }
    body(fields, &required)
}

fn tool() -> Value {
    let nested = strict(&json!({"type": {"const": "function"}, "function": function(false)}), &["type", "function"]);
    json!({"anyOf": [nested, function(true)]})
}

fn tool_choice() -> Value {
    let name = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}});
    let kind = json!({"const": "function"});
    json!({
        "anyOf": [
            {"enum": ["none", "auto", "required"]},
            {"type": "object", "required": ["type", "function"], "properties": {"type": kind, "function": name}},
            {
                "type": "object", "required": ["type", "name"],
                "properties": {"type": kind, "name": {"type": "string"}, "function": {"not": {"required": ["name"]}}},
            },
        ],
        "description": "Whether tools may or must be called, or the one that must; it must be one of `tools`.",
    })
}

fn input_item() -> Value {
    let of = |fields: Value, required: &[&str]| json!({"type": "object", "properties": fields, "required": required});
    let roles = json!({"enum": ["system", "developer", "user", "assistant"]});
    json!({"anyOf": [
        of(json!({"type": {"const": "message"}, "role": roles, "content": named("Content")}), &["role", "content"]),
        of(
            json!({"type": {"const": "function_call"}, "name": {"type": "string"}, "arguments": {"type": "string"}}),
            &["type", "name", "arguments"],
        ),
        of(
            json!({"type": {"const": "function_call_output"}, "call_id": {"type": "string"}, "output": named("Content")}),
            &["type", "call_id", "output"],
        ),
    ]})
}

fn routing() -> Value {
    let workers = |description: &str| {
        json!({
            "type": "array", "items": {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "description": description,
        })
    };
    let amount = json!({
        "anyOf": [{"type": "string", "pattern": "^[0-9]{1,9}(\\.[0-9]{1,9})?$"}, {"type": "integer", "minimum": 0, "maximum": 1_000_000_000}],
        "description": "IFR for a million tokens.",
    });
    body(
        vec![
            ("order", workers("Workers, in the order of preference.")),
            ("only", workers("Workers that may be asked.")),
            ("ignore", workers("Workers that may not be asked.")),
            ("allow_fallbacks", boolean("Whether workers that `order` does not name may be asked.")),
            ("sort", json!({"const": "price"})),
            ("max_price", strict(&json!({"prompt": amount, "completion": amount}), &[])),
            ("quantizations", json!({"type": "array", "items": {"type": "string"}})),
            ("verification", string("How the model's results must be verified, as `/v1/models` says it.")),
            ("require_parameters", boolean("Every parameter is honoured or refused, whatever is asked for.")),
            ("data_collection", json!({"const": "allow"})),
        ],
        &[],
    )
}

fn key() -> Value {
    body(
        vec![
            ("name", json!({"type": "string", "minLength": 1, "maxLength": admin::NAME_MAX, "pattern": "\\S"})),
            (
                "budget_nano",
                whole(1, u64::MAX - 1, "What it may spend in all, in billionths of an IFR; nothing is no limit."),
            ),
            ("requests_per_minute", whole(1, u32::MAX.into(), "Requests a minute at most.")),
            ("tokens_per_minute", whole(1, u32::MAX.into(), "Tokens of prompts and answers a minute at most.")),
            ("expires_in_s", whole(1, admin::EXPIRY_MAX_S, "Seconds that it is good for.")),
            (
                "models",
                json!({
                    "type": "array", "items": {"type": "string"}, "minItems": 1,
                    "description": "Names of the models that it may use; nothing is all of them.",
                }),
            ),
        ],
        &[],
    )
}
