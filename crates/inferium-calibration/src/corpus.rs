//! What is asked: short and long, plain and technical, each with several ways to draw.

use inferium_types::{ChatMessage, Digest, SamplingParams};

/// Questions of five kinds: facts, explanations, stories, code and lists.
const QUESTIONS: [&str; 24] = [
    "Tell the history of the potato in Europe.",
    "How does a compiler turn source code into machine code?",
    "Write a story about a whale that learns to sing.",
    "Write a Python function that checks whether a number is prime, and explain it.",
    "List ten cities on rivers, with one sentence about each.",
    "Why is the sky blue, and why are sunsets red?",
    "Explain photosynthesis to a child.",
    "Write a letter from a lighthouse keeper to his sister.",
    "What does the following mean in SQL: SELECT name, COUNT(*) FROM orders GROUP BY name HAVING COUNT(*) > 3;",
    "Name the planets of the solar system and what is special about each.",
    "What caused the fall of the Western Roman Empire?",
    "Explain how a bicycle stays upright.",
    "Write a dialogue between a baker and a dragon.",
    "Translate into plain words: the party of the first part shall indemnify the party of the second part.",
    "Give me a shopping list and a recipe for a vegetable soup for six people.",
    "Who was Ada Lovelace?",
    "Explain the difference between TCP and UDP, with examples of when to use each.",
    "Write a poem about winter, the sea and old ships.",
    "Fix this sentence and say what was wrong: Me and him goes to the market yesterday.",
    "List the steps to change the tyre of a car.",
    "What is inflation, and how do central banks react to it?",
    "Describe the water cycle.",
    "Invent a board game for four players and write its rules.",
    "Summarise: a company opened a new factory in spring, hired three hundred people, lost its largest customer in summer, \
     and closed the factory again before winter, although the town had built a road and a school for it.",
];

/// The system prompt that a cheating worker leaves out.
const SYSTEM: &str = "You are a careful assistant of a public library. Answer politely, in complete sentences, and say when you are not sure.";

/// Answers are drawn like this by turns.
const SAMPLING: [SamplingParams; 4] = [
    SamplingParams { temperature_micro: 700_000, top_p_ppm: 1_000_000, top_k: 50 },
    SamplingParams { temperature_micro: 1_000_000, top_p_ppm: 950_000, top_k: 0 },
    SamplingParams::GREEDY,
    SamplingParams { temperature_micro: 700_000, top_p_ppm: 950_000, top_k: 0 },
];

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The conversation.
    pub messages: Vec<ChatMessage>,
    /// How the answer is drawn.
    pub sampling: SamplingParams,
    /// The sampling seed.
    pub seed: [u8; 32],
}

/// Jobs, the same for every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// How many jobs.
    pub jobs: u32,
    /// Tokens of an answer at most.
    pub tokens_max: u32,
}

impl Corpus {
    /// Names the questions, the ways to draw and the sizes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let questions: Vec<String> =
            (0..self.jobs).map(|index| format!("{:?} {}", self.question(index), self.tokens_max)).collect();
        let parts: Vec<&[u8]> = questions.iter().map(String::as_bytes).collect();
        Digest::of("inferium/calibration-corpus/1", &parts)
    }

    /// Job `index`, drawn at a temperature of 0.7 with one of the truncations that the corpus has for that.
    #[must_use]
    pub fn question_at_070(&self, index: u32) -> Question {
        let question = self.question(index);
        let own = Some(question.sampling).filter(|sampling| sampling.temperature_micro == 700_000);
        let [first, .., last] = SAMPLING;
        let turn = if index.is_multiple_of(2) { first } else { last };
        Question { sampling: own.unwrap_or(turn), ..question }
    }

    /// Job `index`.
    #[must_use]
    pub fn question(&self, index: u32) -> Question {
        let message = |role: &str, content: &str| ChatMessage { role: role.to_owned(), content: content.to_owned() };
        // Sizes of the lists have no common divisor with the turns, so that all pairs occur.
        let of = |count: usize, turn: u32| turn as usize % count;
        let question = QUESTIONS[of(QUESTIONS.len(), index)];
        let sampling = SAMPLING[of(SAMPLING.len(), index.wrapping_add(index / QUESTIONS.len() as u32))];
        let seed = Digest::of("inferium/calibration-seed/1", &[&index.to_be_bytes()]);
        Question {
            messages: vec![message("system", SYSTEM), message("user", question)],
            sampling,
            seed: *seed.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferium_sampling::covers;

    /// What is bet on is what was measured.
    #[test]
    fn every_way_to_draw_of_the_corpus_is_covered() {
        assert!(SAMPLING.iter().all(covers));
        let corpus = Corpus { jobs: 48, tokens_max: 8 };
        assert!((0..48).all(|index| corpus.question_at_070(index).sampling.temperature_micro == 700_000));
    }
}
