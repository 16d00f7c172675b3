//! Whether an answer is the one that its jobs gave: what they were asked and answered, opened from their receipts (SPEC J11, L1).

use crate::answer::{Answer, nano};
use crate::item::{Item, Target};
use crate::results::ItemRecord;
use crate::suite::{Suite, Template};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use inferium_types::{
    ChatMessage, Continuation, JobAnswer, JobInput, JobLeaf, JobOpening, Shaping, TokenScore, decode,
};

/// How much of an item is bound to its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Nothing: its jobs are not opened.
    Nothing,
    /// The answer. What was asked are tokens, and which text they are says a tokenizer that is not here.
    Answer,
    /// Question and answer.
    Whole,
}

/// What is wrong with an item's openings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpeningFault {
    /// Some of its jobs have one, or more than there are jobs.
    #[error("has another number of openings than of jobs")]
    Count,
    /// No base64 of one.
    #[error("has an opening that does not decode")]
    Encoding,
    /// It opens another job.
    #[error("has an opening of another job")]
    Job,
    /// The model was asked something else, or in another way.
    #[error("was asked otherwise than the suite asks")]
    Question,
    /// The model answered something else.
    #[error("was answered otherwise than the run says")]
    Answer,
}

/// How much of an item's question and answer its openings prove, with the leaves that its receipts prove, in the order of its jobs.
///
/// # Errors
/// [`OpeningFault`]: they prove another question or answer, or nothing.
pub fn bound(suite: &Suite, item: &Item, record: &ItemRecord, leaves: &[JobLeaf]) -> Result<Bound, OpeningFault> {
    if record.openings.is_empty() {
        return Ok(Bound::Nothing);
    }
    if record.openings.len() != leaves.len() {
        return Err(OpeningFault::Count);
    }
    let mut opened = Vec::with_capacity(leaves.len());
    for (text, leaf) in record.openings.iter().zip(leaves) {
        let bytes = STANDARD.decode(text).map_err(|_| OpeningFault::Encoding)?;
        let opening: JobOpening = decode(&bytes).map_err(|_| OpeningFault::Encoding)?;
        if !opening.opens(leaf) {
            return Err(OpeningFault::Job);
        }
        opened.push((opening, leaf));
    }
    match (suite.template(), &record.answer) {
        (Template::Chat { system, tokens_max, stop, .. }, Answer::Text { text }) => {
            let [(opening, leaf)] = opened.as_slice() else { return Err(OpeningFault::Count) };
            let message = |role: &str, content: String| ChatMessage { role: role.to_owned(), content };
            let mut messages: Vec<ChatMessage> =
                system.iter().map(|system| message("system", system.clone())).collect();
            messages.push(message("user", suite.prompt(item)));
            let asked = JobInput::Chat { messages, shaping: Shaping::from(stop.clone()) };
            let is_asked = opening.payload.input == asked
                && leaf.request.tokens_max == *tokens_max
                && leaf.request.sampling.temperature_micro == 0;
            if !is_asked {
                return Err(OpeningFault::Question);
            }
            let is_answered = opening.output.as_text().is_some_and(|(_, said)| said == text);
            if is_answered { Ok(Bound::Whole) } else { Err(OpeningFault::Answer) }
        }
        (Template::Embedding {}, Answer::Vectors { input, passage }) => vectors(suite, item, &opened, [input, passage]),
        (Template::Completion { .. }, Answer::Likelihoods { logprobs_nano }) => likelihoods(&opened, logprobs_nano),
        _ => Err(OpeningFault::Answer),
    }
}

fn vectors(
    suite: &Suite,
    item: &Item,
    opened: &[(JobOpening, &JobLeaf)],
    claimed: [&String; 2],
) -> Result<Bound, OpeningFault> {
    let Target::Passage(passage) = &item.target else { return Err(OpeningFault::Question) };
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    for (opening, _) in opened {
        match (&opening.payload.input, &opening.output.answer) {
            (JobInput::Embed { texts, .. }, JobAnswer::Embeddings(vectors)) => {
                asked.extend(texts.iter().map(String::as_str));
                answered.extend(
                    vectors
                        .iter()
                        .map(|vector| STANDARD.encode(vector.values().flat_map(f32::to_le_bytes).collect::<Vec<u8>>())),
                );
            }
            _ => return Err(OpeningFault::Question),
        }
    }
    if asked != [suite.prompt(item).as_str(), passage.as_str()] {
        return Err(OpeningFault::Question);
    }
    if answered.iter().eq(claimed) { Ok(Bound::Whole) } else { Err(OpeningFault::Answer) }
}

/// Of scores, as an answer of the API has them (in double precision, all of whose digits are written), the sums from each place to the end; billionths
/// of a nat.
fn sums_from_each(scores: &[TokenScore]) -> Option<Vec<i64>> {
    let mut sums = Vec::with_capacity(scores.len());
    let mut sum = 0_i64;
    for score in scores.iter().rev() {
        sum = sum.checked_add(nano([f64::from(score.logprob())]).ok()?)?;
        sums.push(sum);
    }
    sums.reverse();
    Some(sums)
}

/// The sums are those of what stands behind a beginning that all continuations share: the prompt, however many tokens it has.
fn likelihoods(opened: &[(JobOpening, &JobLeaf)], claimed: &[i64]) -> Result<Bound, OpeningFault> {
    let (mut asked, mut scores): (Vec<&Continuation>, Vec<&Vec<TokenScore>>) = (Vec::new(), Vec::new());
    for (opening, _) in opened {
        match (&opening.payload.input, &opening.output.answer) {
            (JobInput::Score { continuations, .. }, JobAnswer::Scores(found)) => {
                asked.extend(continuations);
                scores.extend(found);
            }
            _ => return Err(OpeningFault::Question),
        }
    }
    if asked.len() != claimed.len() || scores.len() != claimed.len() {
        return Err(OpeningFault::Answer);
    }
    // A text's first token has no score, and behind its last one stands another, which is not of it (`/v1/completions`).
    let own = |all: &[TokenScore]| all.len().saturating_sub(1);
    let texts: Vec<Vec<u32>> =
        asked.iter().map(|one| one.prompt.iter().chain(&one.tokens).copied().collect()).collect();
    let Some(first) = texts.first() else { return Err(OpeningFault::Question) };
    let is_one_token = asked.iter().all(|one| one.prompt.len() == 1);
    let shared =
        (1..first.len()).take_while(|count| texts.iter().all(|text| text.get(..*count) == first.get(..*count))).last();
    let (Some(shared), true) = (shared, is_one_token) else { return Err(OpeningFault::Question) };
    // Of each text the sums from each place to its end, so that as many beginnings as there are cost no more than one.
    let sums: Option<Vec<Vec<i64>>> = scores.iter().map(|scores| sums_from_each(scores.get(..own(scores))?)).collect();
    let sums = sums.ok_or(OpeningFault::Answer)?;
    let is_claimed = |before: usize| {
        sums.iter().zip(claimed).all(|(sums, claimed)| sums.get(before.saturating_sub(1)) == Some(claimed))
    };
    if (1..=shared).any(is_claimed) { Ok(Bound::Answer) } else { Err(OpeningFault::Answer) }
}

#[cfg(test)]
mod tests;
