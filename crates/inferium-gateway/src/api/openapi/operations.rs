//! The table of routes, each with its description.

use super::super::{
    admin, batches, boards, chat, classifications, completions, embeddings, files, health, keys, metrics, models,
    ready, receipts, responses, runs, tokenizer, version, worker,
};
use super::answers::{after_page, idempotency_key, json_answer, made, page, plain, streamed, text_answer};
use super::{Access, Operation, Route, Routes};
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post, put};
use serde_json::{Value, json};

const INFERENCE: &str = "inference";
const TOKENS: &str = "tokens";
const MODELS: &str = "models";
const RECEIPTS: &str = "receipts";
const KEYS: &str = "keys";
const STATE: &str = "state";
const BATCHES: &str = "batches";
const AGENTS: &str = "agents";
const BOARDS: &str = "boards";

/// Of manifests, which are TOML: a type that every client can write.
const TEXT: &str = "text/plain";

const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data";

/// Errors of everything that workers do: no budget, no such model, no worker, no answer.
const WORK_ERRORS: &[u16] = &[402, 403, 404, 429, 500, 502, 503];
const MODEL_ERRORS: &[u16] = &[404, 500];
const ONE_MODEL_ERRORS: &[u16] = &[400, 404];
const PAGE_ERRORS: &[u16] = &[400, 500];
const RECEIPT_ERRORS: &[u16] = &[400, 404, 500];
const AGENT_ERRORS: &[u16] = &[400, 404, 500, 502];
const KEY_ERRORS: &[u16] = &[400, 404, 500];
const UPGRADE_ERRORS: &[u16] = &[426];

/// An operation that takes nothing and never fails; the rest is set by who describes it.
pub(super) const fn operation(
    id: &'static str,
    tag: &'static str,
    access: Access,
    summary: &'static str,
    answers: Vec<(u16, Value)>,
) -> Operation {
    Operation {
        id,
        tag,
        summary,
        access,
        parameters: Vec::new(),
        request: None,
        media: JSON,
        answers,
        is_paid: false,
        errors: &[],
    }
}

/// What can be asked of models: of all of them, and below `/m/{model}` of one alone, for clients that name none.
pub(in super::super) fn model() -> Routes {
    let mut routes = inference();
    routes.extend(tokens());
    let list = operation(
        "listModels",
        MODELS,
        Access::OpenOrKey,
        "The models that are served; with an API key those that it may use",
        vec![json_answer("ModelList", "The models.")],
    );
    routes.push(Route { method: "get", path: "/v1/models", handler: get(models::list), operation: list });
    Routes(routes)
}

fn inference() -> Vec<Route> {
    let work = |id, request, summary, answer| Operation {
        request: Some(request),
        is_paid: true,
        errors: WORK_ERRORS,
        ..operation(id, INFERENCE, Access::Key, summary, vec![answer])
    };
    vec![
        Route {
            method: "post",
            path: "/v1/chat/completions",
            handler: post(chat::completions),
            operation: work(
                "createChatCompletion",
                "ChatRequest",
                "Goes on with a conversation, in text or by calling tools",
                streamed("ChatCompletion", "`chat.completion.chunk` objects, and `[DONE]` at the end"),
            ),
        },
        Route {
            method: "post",
            path: "/v1/completions",
            handler: post(completions::create),
            operation: work(
                "createCompletion",
                "CompletionRequest",
                "Goes on with a text or tokens, or scores them",
                streamed("Completion", "`text_completion` objects, and `[DONE]` at the end"),
            ),
        },
        Route {
            method: "post",
            path: "/v1/responses",
            handler: post(responses::create),
            operation: work(
                "createResponse",
                "ResponseRequest",
                "Goes on with a conversation by the Responses API, of which nothing is kept",
                streamed("Response", "named events, each with its `type` and a rising `sequence_number`"),
            ),
        },
        Route {
            method: "post",
            path: "/v1/embeddings",
            handler: post(embeddings::create),
            operation: work(
                "createEmbedding",
                "EmbeddingRequest",
                "Vectors of texts",
                plain("EmbeddingList", "A vector for each text."),
            ),
        },
        Route {
            method: "post",
            path: "/v1/classifications",
            handler: post(classifications::create),
            operation: work(
                "createClassification",
                "ClassificationRequest",
                "Which of some labels a model would write after each text, by how likely each is",
                plain("ClassificationList", "The labels of each text with their probabilities."),
            ),
        },
    ]
}

fn tokens() -> Vec<Route> {
    let which = json!({
        "name": "model", "in": "query", "schema": {"type": "string"},
        "description": "The model; without it the only one that answers in text.",
    });
    let info = Operation {
        parameters: vec![which],
        errors: ONE_MODEL_ERRORS,
        ..operation(
            "showTokenizer",
            TOKENS,
            Access::Open,
            "A model's special tokens and its chat template",
            vec![json_answer("TokenizerInfo", "The tokenizer.")],
        )
    };
    let of_body = |id, request, summary, answer| Operation {
        request: Some(request),
        errors: MODEL_ERRORS,
        ..operation(id, TOKENS, Access::Key, summary, vec![answer])
    };
    vec![
        Route { method: "get", path: "/tokenizer_info", handler: get(tokenizer::info), operation: info },
        Route {
            method: "post",
            path: "/tokenize",
            handler: post(tokenizer::tokenize),
            operation: of_body("tokenize", "TokenizeRequest", "The tokens of a text", json_answer("Tokens", "They.")),
        },
        Route {
            method: "post",
            path: "/detokenize",
            handler: post(tokenizer::detokenize),
            operation: of_body(
                "detokenize",
                "DetokenizeRequest",
                "The text of tokens",
                json_answer("TokensText", "The text."),
            ),
        },
    ]
}

/// What is asked of the gateway itself; with files and batches if it does them.
pub(in super::super) fn public(with_batches: bool) -> Routes {
    let mut routes = about_answers();
    routes.extend(about_keys());
    if with_batches {
        routes.extend(about_files());
        routes.extend(about_batches());
    }
    routes.extend(about_agents());
    routes.extend(about_reviews());
    routes.extend(about_boards());
    routes.extend(super::training::routes());
    routes.extend(super::proofs::routes());
    routes.extend(about_protocols());
    routes.extend(about_state());
    let session = Operation {
        errors: UPGRADE_ERRORS,
        ..operation(
            "openWorkerSession",
            STATE,
            Access::Open,
            "A worker's session: a WebSocket, sealed between the two of them",
            vec![(101, json!({"description": "The session begins."}))],
        )
    };
    routes.push(Route { method: "get", path: "/v1/worker", handler: get(worker), operation: session });
    Routes(routes)
}

fn about_answers() -> Vec<Route> {
    let id =
        path("id", json!({"type": "string"}), "The model's name, whose slashes may stand as they are or as `%2F`.");
    let show = Operation {
        parameters: vec![id],
        errors: ONE_MODEL_ERRORS,
        ..operation(
            "showModel",
            MODELS,
            Access::Open,
            "One model: context, price, engine, and how its results are verified",
            vec![json_answer("Model", "The model.")],
        )
    };
    let job =
        path("job", json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}), "A job, from an answer's `inferium`.");
    let receipt = Operation {
        parameters: vec![job],
        errors: RECEIPT_ERRORS,
        ..operation(
            "showReceipt",
            RECEIPTS,
            Access::Open,
            "The receipt of a job, whose `proof` verifies from the network's key alone",
            vec![
                json_answer("Receipt", "What was decided about the job."),
                (202, json_answer("Receipt", "It is not decided yet.").1),
            ],
        )
    };
    let slashes = Operation {
        parameters: page(),
        errors: PAGE_ERRORS,
        ..operation(
            "listSlashes",
            RECEIPTS,
            Access::Open,
            "Slashes, newest first",
            vec![json_answer("SlashList", "A page of slashes.")],
        )
    };
    vec![
        Route { method: "get", path: "/v1/models/{*id}", handler: get(models::show), operation: show },
        Route { method: "get", path: "/v1/receipts/{job}", handler: get(receipts::receipt), operation: receipt },
        Route { method: "get", path: "/v1/slashes", handler: get(receipts::slashes), operation: slashes },
    ]
}

/// A part of the address.
pub(super) fn path(name: &str, schema: Value, description: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": schema, "description": description})
}

/// Boards of models, folded from results.
fn about_boards() -> Vec<Route> {
    let id = || {
        path(
            "board_id",
            json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
            "A board, by its id: the job that folded it.",
        )
    };
    let create = Operation {
        request: Some("BoardRequest"),
        is_paid: true,
        errors: WORK_ERRORS,
        ..operation(
            "createBoard",
            BOARDS,
            Access::Key,
            "Has results of evaluations folded into a board, which is final once a committee has folded it again",
            vec![plain("PublishedBoard", "The board.")],
        )
    };
    let list = Operation {
        errors: &[500],
        ..operation(
            "listBoards",
            BOARDS,
            Access::Open,
            "The last final board of each suite",
            vec![json_answer("BoardList", "The boards.")],
        )
    };
    let show = Operation {
        parameters: vec![id()],
        errors: KEY_ERRORS,
        ..operation(
            "showBoard",
            BOARDS,
            Access::Open,
            "A board: where it stands, and once it is final what stands on it",
            vec![json_answer("PublishedBoard", "The board.")],
        )
    };
    let inputs = Operation {
        parameters: vec![id()],
        errors: &[400, 404, 409, 500],
        ..operation(
            "showBoardInputs",
            BOARDS,
            Access::Open,
            "What a final board was folded from, and the salts of its commitments: whoever has them recomputes it",
            vec![json_answer("BoardInputs", "The inputs.")],
        )
    };
    vec![
        Route { method: "post", path: "/v1/boards", handler: post(boards::create), operation: create },
        Route { method: "get", path: "/v1/boards", handler: get(boards::list), operation: list },
        Route { method: "get", path: "/v1/boards/{board_id}", handler: get(boards::show), operation: show },
        Route { method: "get", path: "/v1/boards/{board_id}/inputs", handler: get(boards::inputs), operation: inputs },
    ]
}

/// Agents as other software asks them.
fn about_protocols() -> Vec<Route> {
    let id = || path("agent", json!({"type": "string"}), "An agent, by its id or a name that only one has.");
    let card = Operation {
        parameters: vec![id()],
        errors: AGENT_ERRORS,
        ..operation(
            "showAgentCard",
            AGENTS,
            Access::Open,
            "An agent's card, by A2A 1.0",
            vec![json_answer("AgentCard", "The card.")],
        )
    };
    let rpc = |name, summary| Operation {
        parameters: vec![id()],
        request: Some("JsonRpc"),
        errors: AGENT_ERRORS,
        ..operation(name, AGENTS, Access::Key, summary, vec![json_answer("JsonRpc", "The answer.")])
    };
    let a2a = rpc("askAgent", "Asks an agent by A2A 1.0: SendMessage, SendStreamingMessage, GetTask");
    let mcp = rpc("serveAgent", "An agent as a server of the Model Context Protocol, over streamable HTTP");
    vec![
        Route {
            method: "get",
            path: "/a2a/{agent}/.well-known/agent-card.json",
            handler: get(runs::a2a::card),
            operation: card,
        },
        Route { method: "post", path: "/a2a/{agent}", handler: post(runs::a2a::call), operation: a2a },
        Route { method: "post", path: "/mcp/{agent}", handler: post(runs::mcp::serve), operation: mcp },
    ]
}

fn run_id() -> Value {
    path("run_id", json!({"type": "string"}), "A run, by its id.")
}

/// What those say of agents who paid for a run.
fn about_reviews() -> Vec<Route> {
    let review = Operation {
        parameters: vec![run_id()],
        request: Some("ReviewRequest"),
        errors: KEY_ERRORS,
        ..operation(
            "putReview",
            AGENTS,
            Access::Key,
            "Says what an agent's run was worth, once its receipt is final",
            vec![json_answer("Review", "The review, as the agent is shown with it.")],
        )
    };
    let review_gone = Operation {
        parameters: vec![run_id()],
        errors: KEY_ERRORS,
        ..operation(
            "deleteReview",
            AGENTS,
            Access::Key,
            "Takes a review back",
            vec![json_answer("DeletedReview", "It is gone.")],
        )
    };
    vec![
        Route { method: "put", path: "/v1/runs/{run_id}/review", handler: put(runs::reviews::put), operation: review },
        Route {
            method: "delete",
            path: "/v1/runs/{run_id}/review",
            handler: delete(runs::reviews::delete),
            operation: review_gone,
        },
    ]
}

/// Agents, and what they are asked to do.
fn about_agents() -> Vec<Route> {
    let id = || path("agent", json!({"type": "string"}), "An agent, by its id or a name that only one has.");
    let list = Operation {
        parameters: after_page(runs::AGENTS_PAGE_MAX),
        errors: AGENT_ERRORS,
        ..operation(
            "listAgents",
            AGENTS,
            Access::Open,
            "Agents that can be run here",
            vec![json_answer("AgentList", "The agents.")],
        )
    };
    let show = Operation {
        parameters: vec![id()],
        errors: AGENT_ERRORS,
        ..operation(
            "showAgent",
            AGENTS,
            Access::Open,
            "An agent, with its manifest",
            vec![json_answer("Agent", "The agent.")],
        )
    };
    let bring = Operation {
        parameters: vec![id()],
        request: Some("Manifest"),
        media: TEXT,
        errors: AGENT_ERRORS,
        ..operation(
            "putManifest",
            AGENTS,
            Access::Key,
            "Brings the manifest of an agent, whose hash is on the chain",
            vec![json_answer("Agent", "The agent.")],
        )
    };
    let run = Operation {
        request: Some("RunRequest"),
        is_paid: true,
        errors: WORK_ERRORS,
        ..operation(
            "createRun",
            AGENTS,
            Access::Key,
            "Has an agent do something",
            vec![streamed(
                "Run",
                "`run.created`, `run.call` for each call of the model or a tool, and `run.completed` with the run",
            )],
        )
    };
    let runs_list = Operation {
        errors: ONE_MODEL_ERRORS,
        ..operation(
            "listRuns",
            AGENTS,
            Access::Key,
            "The key's last runs, newest first, without their calls",
            vec![json_answer("RunList", "The runs.")],
        )
    };
    let run_show = Operation {
        parameters: vec![run_id()],
        errors: KEY_ERRORS,
        ..operation("showRun", AGENTS, Access::Key, "A run, with all that it did", vec![json_answer("Run", "The run.")])
    };
    vec![
        Route { method: "get", path: "/v1/agents", handler: get(runs::list_agents), operation: list },
        Route { method: "get", path: "/v1/agents/{agent}", handler: get(runs::show_agent), operation: show },
        Route {
            method: "put",
            path: "/v1/agents/{agent}/manifest",
            handler: put(runs::put_manifest),
            operation: bring,
        },
        Route { method: "post", path: "/v1/runs", handler: post(runs::create), operation: run },
        Route { method: "get", path: "/v1/runs", handler: get(runs::list), operation: runs_list },
        Route { method: "get", path: "/v1/runs/{run_id}", handler: get(runs::show), operation: run_show },
    ]
}

fn about_files() -> Vec<Route> {
    let id = || path("file_id", json!({"type": "string"}), "A file, by its id.");
    let of_file = |name, summary, answer| Operation {
        parameters: vec![id()],
        errors: KEY_ERRORS,
        ..operation(name, BATCHES, Access::Key, summary, vec![answer])
    };
    let create = Operation {
        request: Some("FileRequest"),
        media: FORM,
        parameters: vec![idempotency_key()],
        errors: PAGE_ERRORS,
        ..operation(
            "createFile",
            BATCHES,
            Access::Key,
            "Uploads a file of requests, one a line",
            vec![made("File", "The file.")],
        )
    };
    let list = Operation {
        parameters: file_list(),
        errors: PAGE_ERRORS,
        ..operation(
            "listFiles",
            BATCHES,
            Access::Key,
            "The key's files",
            vec![json_answer("FileList", "A page of files.")],
        )
    };
    let show = of_file("showFile", "A file", json_answer("File", "The file."));
    let read = of_file("readFile", "What is in a file", text_answer("application/jsonl", "The file's lines."));
    let remove = of_file("deleteFile", "Forgets a file and what is in it", json_answer("DeletedFile", "It is gone."));
    vec![
        Route {
            method: "post",
            path: "/v1/files",
            handler: post(files::create).layer(DefaultBodyLimit::max(files::BODY_MAX)),
            operation: create,
        },
        Route { method: "get", path: "/v1/files", handler: get(files::list), operation: list },
        Route { method: "get", path: "/v1/files/{file_id}", handler: get(files::show), operation: show },
        Route { method: "delete", path: "/v1/files/{file_id}", handler: delete(files::delete), operation: remove },
        Route { method: "get", path: "/v1/files/{file_id}/content", handler: get(files::content), operation: read },
    ]
}

fn file_list() -> Vec<Value> {
    let mut parameters = after_page(files::PAGE_MAX);
    parameters.push(json!({
        "name": "purpose", "in": "query", "schema": {"type": "string"},
        "description": "Only these: `batch` or `batch_output`.",
    }));
    parameters.push(json!({
        "name": "order", "in": "query", "schema": {"enum": ["asc", "desc"], "default": "desc"},
        "description": "By when they were made.",
    }));
    parameters
}

fn about_batches() -> Vec<Route> {
    let id = || path("batch_id", json!({"type": "string"}), "A batch, by its id.");
    let of_batch = |name, summary| Operation {
        parameters: vec![id()],
        errors: KEY_ERRORS,
        ..operation(name, BATCHES, Access::Key, summary, vec![json_answer("Batch", "The batch.")])
    };
    let create = Operation {
        request: Some("BatchRequest"),
        parameters: vec![idempotency_key()],
        errors: MODEL_ERRORS,
        ..operation(
            "createBatch",
            BATCHES,
            Access::Key,
            "Has all lines of a file answered, for half of the price, when there is room",
            vec![made("Batch", "The batch.")],
        )
    };
    let list = Operation {
        parameters: after_page(batches::PAGE_MAX),
        errors: PAGE_ERRORS,
        ..operation(
            "listBatches",
            BATCHES,
            Access::Key,
            "The key's batches, newest first",
            vec![json_answer("BatchList", "A page of batches.")],
        )
    };
    let show = of_batch("showBatch", "A batch: where it stands, and its files");
    let cancel = of_batch("cancelBatch", "Begins no more lines of a batch");
    vec![
        Route { method: "post", path: "/v1/batches", handler: post(batches::create), operation: create },
        Route { method: "get", path: "/v1/batches", handler: get(batches::list), operation: list },
        Route { method: "get", path: "/v1/batches/{batch_id}", handler: get(batches::show), operation: show },
        Route {
            method: "post",
            path: "/v1/batches/{batch_id}/cancel",
            handler: post(batches::cancel),
            operation: cancel,
        },
    ]
}

fn about_keys() -> Vec<Route> {
    let key = operation(
        "showKey",
        KEYS,
        Access::Key,
        "The API key that asks: what it may be used for, and has left",
        vec![json_answer("Key", "The key, without its secret.")],
    );
    let usage = usage("showUsage", Access::Key, "What the API key that asks was used for, by day and model");
    vec![
        Route { method: "get", path: "/v1/key", handler: get(keys::key), operation: key },
        Route { method: "get", path: "/v1/usage", handler: get(keys::usage), operation: usage },
    ]
}

fn usage(id: &'static str, access: Access, summary: &'static str) -> Operation {
    let format = json!({
        "name": "format", "in": "query", "schema": {"enum": ["json", "csv"], "default": "json"},
        "description": "How the table is written.",
    });
    let (status, mut answer) = json_answer("UsageList", "Usage by day and model.");
    if let Some(content) = answer.get_mut("content").and_then(Value::as_object_mut) {
        content.insert("text/csv".to_owned(), json!({"schema": {"type": "string"}}));
    }
    Operation {
        parameters: vec![format],
        errors: PAGE_ERRORS,
        ..operation(id, KEYS, access, summary, vec![(status, answer)])
    }
}

fn about_state() -> Vec<Route> {
    let version_of = operation(
        "showVersion",
        STATE,
        Access::Open,
        "The gateway's version",
        vec![json_answer("Version", "The version.")],
    );
    let mut routes = life();
    routes.push(Route { method: "get", path: "/version", handler: get(version), operation: version_of });
    routes
}

/// What monitors ask.
fn life() -> Vec<Route> {
    let alive =
        operation("showHealth", STATE, Access::Open, "Whether it lives", vec![json_answer("Health", "It does.")]);
    let is_ready = operation(
        "showReadiness",
        STATE,
        Access::Open,
        "Whether the chain moves and workers are connected",
        vec![json_answer("Readiness", "Ready."), (503, json_answer("Readiness", "Not ready.").1)],
    );
    vec![
        Route { method: "get", path: "/health", handler: get(health), operation: alive },
        Route { method: "get", path: "/ready", handler: get(ready), operation: is_ready },
    ]
}

/// The document itself.
pub(super) fn description() -> Operation {
    operation(
        "showDescription",
        STATE,
        Access::Open,
        "This document",
        vec![(
            200,
            json!({"description": "The document.", "content": {"application/json": {"schema": {"type": "object"}}}}),
        )],
    )
}

/// What operators ask. Those routes that take the admin token are below `/admin/`.
pub(in super::super) fn admin() -> Routes {
    let mut routes = life();
    let shown = operation(
        "showMetrics",
        STATE,
        Access::Open,
        "Metrics of Prometheus",
        vec![text_answer("application/openmetrics-text", "The metrics.")],
    );
    routes.push(Route { method: "get", path: "/metrics", handler: get(metrics), operation: shown });
    routes.extend(admin_keys());
    let usage = usage("showAllUsage", Access::Admin, "What all API keys were used for, by key, day and model");
    routes.push(Route { method: "get", path: "/admin/v1/usage", handler: get(admin::usage), operation: usage });
    let state = operation(
        "showStatus",
        STATE,
        Access::Admin,
        "What is served, by how many workers, and how busy that is",
        vec![json_answer("Status", "The state of the gateway.")],
    );
    routes.push(Route { method: "get", path: "/admin/v1/status", handler: get(admin::status), operation: state });
    routes.extend(admin_workers());
    Routes(routes)
}

fn admin_workers() -> Vec<Route> {
    let list = operation(
        "listWorkers",
        STATE,
        Access::Admin,
        "Workers that run beside the gateway, and whether they take work",
        vec![json_answer("WorkerList", "The workers.")],
    );
    let set = Operation {
        parameters: vec![path("worker", json!({"type": "string"}), "A worker, by its name or node.")],
        request: Some("DutyRequest"),
        errors: KEY_ERRORS,
        ..operation(
            "setDuty",
            STATE,
            Access::Admin,
            "Has a worker pause, work again, or end what it began and go",
            vec![json_answer("Worker", "The worker.")],
        )
    };
    vec![
        Route { method: "get", path: "/admin/v1/workers", handler: get(admin::workers), operation: list },
        Route { method: "put", path: "/admin/v1/workers/{worker}", handler: put(admin::set_duty), operation: set },
    ]
}

fn admin_keys() -> Vec<Route> {
    let list = operation(
        "listKeys",
        KEYS,
        Access::Admin,
        "All API keys, without their secrets",
        vec![json_answer("KeyList", "The keys.")],
    );
    let create = Operation {
        request: Some("KeyRequest"),
        errors: MODEL_ERRORS,
        ..operation(
            "createKey",
            KEYS,
            Access::Admin,
            "Makes an API key",
            vec![(201, json_answer("NewKey", "The key; this answer alone has its secret.").1)],
        )
    };
    let named = json!({
        "name": "key", "in": "path", "required": true, "schema": {"type": "string"}, "description": "Its id or name.",
    });
    let revoke = Operation {
        parameters: vec![named],
        errors: KEY_ERRORS,
        ..operation(
            "revokeKey",
            KEYS,
            Access::Admin,
            "Revokes an API key, for ever",
            vec![json_answer("Key", "The revoked key.")],
        )
    };
    vec![
        Route { method: "get", path: "/admin/v1/keys", handler: get(admin::list), operation: list },
        Route { method: "post", path: "/admin/v1/keys", handler: post(admin::create), operation: create },
        Route { method: "delete", path: "/admin/v1/keys/{key}", handler: delete(admin::revoke), operation: revoke },
    ]
}
