//! Named maxima of everything that a stranger sends.

/// Bytes of one transaction.
pub const TRANSACTION_SIZE_MAX: usize = 64 * 1024;
/// Bytes of a refutation, which opens operands and weights of one tile of any model (SPEC V11).
pub const REFUTATION_SIZE_MAX: usize = 384 * 1024;
/// Bytes of all transactions of one block.
pub const BLOCK_TRANSACTIONS_SIZE_MAX: usize = 1024 * 1024;
/// Transactions of one block.
pub const BLOCK_TRANSACTIONS_MAX: usize = 2_000;
/// Seeds that one block carries: views since its parent's, plus old ones that a draw waits for.
pub const BLOCK_SEEDS_MAX: usize = 256;
/// Bytes of a node's public URL.
pub const URL_SIZE_MAX: usize = 256;
/// Bytes of a model's name.
pub const NAME_SIZE_MAX: usize = 128;
/// Bytes of an agent's name.
pub const AGENT_NAME_SIZE_MAX: usize = 40;
/// Accounts that a spending policy lists.
pub const RECIPIENTS_MAX: usize = 32;
/// Steps of one run of an agent.
pub const RUN_STEPS_MAX: u32 = 64;
/// Tokens of the model calls of one run: what a committee can replay within a window that is sized by them, four times what
/// a segment of several jobs may have. Prompts count each time that they are read.
pub const RUN_TOKENS_MAX: u64 = 4 * SEGMENT_TOKENS_MAX;
/// Calls of tools in one run, orders to spend among them.
pub const RUN_TOOL_CALLS_MAX: u32 = 256;
/// Bytes of a manifest.
pub const MANIFEST_SIZE_MAX: usize = 64 * 1024;
/// Bytes of what a run is to do.
pub const RUN_TASK_SIZE_MAX: usize = 64 * 1024;
/// Files that a run is given.
pub const RUN_FILES_MAX: usize = 256;
/// Bytes of them together.
pub const RUN_FILES_SIZE_MAX: usize = 4 * 1024 * 1024;
/// Bytes of what a run did, as evidence.
pub const TRANSCRIPT_SIZE_MAX: usize = 4 * 1024 * 1024;
/// Results files that one board is folded from.
pub const FOLD_FILES_MAX: usize = 64;
/// Items in all of them together: a payload has no room for more lines, however short.
pub const FOLD_ITEMS_MAX: u32 = 100_000;
/// Bytes of a board.
pub const BOARD_SIZE_MAX: usize = 256 * 1024;
/// Steps of one interval of training that is a job.
pub const TRAINING_STEPS_MAX: usize = 8_192;
/// Examples that its steps see together.
pub const TRAINING_EXAMPLES_MAX: u32 = 100_000;
/// Bytes of the state of such a run.
pub const TRAINING_STATE_SIZE_MAX: usize = 2 * 1024 * 1024;
/// Bytes of a proof with its statement (SPEC V10).
pub const PROOF_SIZE_MAX: usize = 2 * 1024 * 1024;
/// Inputs that one proof is of at most.
pub const PROOF_INPUTS_MAX: usize = 32;
/// Tokens that a proof counts as beside those of its inputs: so that few are in a segment, whose evidence holds them.
pub const PROOF_TOKENS: u32 = 4_096;
/// Jobs of one segment.
pub const SEGMENT_JOBS_MAX: usize = 4_096;
/// Tokens of one segment of several jobs: what a committee can replay within its window. A single
/// job may have more.
pub const SEGMENT_TOKENS_MAX: u64 = 16_384;
/// Stop strings of one request, as clients of chat APIs expect.
pub const STOP_STRINGS_MAX: usize = 4;
/// Bytes of one stop string.
pub const STOP_STRING_SIZE_MAX: usize = 256;
/// Messages of one chat request.
pub const MESSAGES_MAX: usize = 4_096;
/// Texts of one job. With vectors of the greatest width its answer has a [`PAYLOAD_SIZE_MAX`], so that its evidence fits into
/// a segment's.
pub const TEXTS_MAX: usize = 512;
/// Temperature of a draw, in millionths.
pub const TEMPERATURE_MICRO_MAX: u32 = 2_000_000;
/// Likeliest tokens that are told beside a scored one.
pub const LIKELIEST_MAX: u8 = 20;
/// Tokens of one request with a bias, as clients of chat APIs expect.
pub const BIASED_TOKENS_MAX: usize = 300;
/// A bias at most, in millionths either way.
pub const BIAS_MICRO_MAX: u32 = 100_000_000;
/// A penalty at most, in millionths either way.
pub const PENALTY_MICRO_MAX: u32 = 2_000_000;
/// Bytes of a grammar.
pub const GRAMMAR_SIZE_MAX: usize = 64 * 1024;
/// Lines of a grammar, and so its rules: whoever reads it follows them by recursion.
pub const GRAMMAR_LINES_MAX: usize = 512;
/// Values of an embedding.
pub const EMBEDDING_WIDTH_MAX: u32 = 4_096;
const _: () = assert!(TEXTS_MAX * EMBEDDING_WIDTH_MAX as usize * 4 <= PAYLOAD_SIZE_MAX);
/// Classes of a classifier; an answer has as many numbers, and as much room, as an embedding.
pub const CLASSES_MAX: u32 = EMBEDDING_WIDTH_MAX;
/// Elements of a classifier's input that count as one token of the prompt: about what a small image model reads as one.
pub const TOKEN_ELEMENTS: u32 = 64;
/// Tokens of one input of a classifier: with its answer no more than a planted job may have (SPEC V5).
pub const INPUT_TOKENS_MAX: u32 = 255;
/// Elements of one input of a classifier.
pub const TENSOR_ELEMENTS_MAX: u32 = INPUT_TOKENS_MAX * TOKEN_ELEMENTS;
/// Multiplications of a classifier of tensors that count as one token: far less than one takes of the smallest chat model.
pub const TOKEN_MULTIPLICATIONS: u64 = 1 << 20;
/// Bytes of a request's private half. No context has room for more text, and one job's evidence
/// must fit into a segment's.
pub const PAYLOAD_SIZE_MAX: usize = MESSAGE_SIZE_MAX / 4;
/// Highest sequence of a job in its lease: far below the end of the numbers, so that the next one
/// is always another.
pub const SEQUENCE_MAX: u64 = 1 << 62;
/// Levels of a Merkle path: trees of up to 2^32 leaves.
pub const MERKLE_DEPTH_MAX: usize = 32;
/// Headers between a receipt's block and the certified one after it.
pub const RECEIPT_HEADERS_MAX: usize = 64;
/// Bytes of one receipt.
pub const RECEIPT_SIZE_MAX: usize = 64 * 1024;
/// Bytes of one message between worker and gateway, or of one segment's evidence.
pub const MESSAGE_SIZE_MAX: usize = 32 * 1024 * 1024;
/// Instruction sets, or accelerators, of a capability report.
pub const REPORT_ITEMS_MAX: usize = 32;
/// Parameters that one proposal changes.
pub const PROPOSAL_CHANGES_MAX: usize = 32;
/// Bytes of a proposal's description.
pub const PROPOSAL_TEXT_SIZE_MAX: usize = 8 * 1024;
