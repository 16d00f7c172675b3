//! What a suite is: a definition in TOML, items in JSON Lines, and the hash of both.

use crate::item::{self, Item};
use crate::order::permutation;
use borsh::BorshSerialize;
use inferium_types::Digest;
use regex::Regex;
use serde::Deserialize;

/// Items of a suite at most.
const ITEMS_MAX: usize = 100_000;
/// Where an item's input stands in a prompt.
const PLACE: &str = "{input}";

/// Questions, how they are put, and how answers are scored.
#[derive(Debug, Clone)]
pub struct Suite {
    name: String,
    version: u32,
    about: String,
    template: Template,
    scorer: Scorer,
    /// The scorer's, if it has one.
    pattern: Option<Regex>,
    items: Vec<Item>,
    id: Digest,
}

/// How a model is asked.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Template {
    /// The prompt as it stands, without a chat template, followed by each choice: the model scores the choice's tokens, and
    /// writes nothing.
    Completion {
        /// The prompt, with `{input}` where the item's input stands.
        prompt: String,
        /// What stands between prompt and choice.
        delimiter: String,
    },
    /// A conversation, in the model's own chat template; temperature 0.
    Chat {
        /// What the model is told before everything else.
        #[serde(default)]
        system: Option<String>,
        /// The user's message, with `{input}` where the item's input stands.
        prompt: String,
        /// Tokens of an answer at most.
        tokens_max: u32,
        /// What ends an answer.
        #[serde(default)]
        stop: Vec<String>,
    },
    /// Texts become vectors: each item's input, and its passage.
    Embedding {},
}

/// How answers become scores.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scorer {
    /// The likeliest choice, by the sum of its tokens' log probabilities (`acc`), and by that sum over its length in
    /// characters (`acc_norm`); of equals the first.
    Choice {
        /// `acc_norm` is the suite's score, not `acc`.
        length_normalised: bool,
    },
    /// The answer, normalised, is the item's answer.
    ///
    /// Normalised: what `pattern` matches (its group, if it has one), without white space around it. Where nothing
    /// matches, the answer is wrong.
    Exact {
        /// A regular expression with at most one group [default: the whole text].
        #[serde(default)]
        pattern: Option<String>,
        /// Which match is the answer.
        #[serde(default)]
        take: Take,
        /// `Yes` is `yes`.
        #[serde(default)]
        ignore_case: bool,
    },
    /// The answer, or what stands in its code fence if it begins with one, is JSON and fits the item's schema.
    Json {},
    /// The passage whose vector is nearest to the input's, by cosine, is the item's own (`recall_at_1`); one over its place
    /// among all (`mrr`). Of equals the first.
    Retrieval {},
}

/// Which match of a pattern counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// The first.
    #[default]
    First,
    /// The last.
    Last,
}

/// Why something is no suite.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSuite {
    /// The definition does not parse.
    #[error("the suite's definition: {reason}")]
    Definition {
        /// What the parser says, with the place.
        reason: String,
    },
    /// A name is made of lower-case letters, digits and `-`.
    #[error("the suite's name {name:?} is not made of lower-case letters, digits and '-'")]
    Name {
        /// The name.
        name: String,
    },
    /// A scorer can't read what the template brings.
    #[error("a scorer of kind `{scorer}` can't score what a template of kind `{template}` brings")]
    Mismatch {
        /// The template's kind.
        template: &'static str,
        /// The scorer's.
        scorer: &'static str,
    },
    /// A prompt has no place for the input, or several.
    #[error("the template's prompt holds {found} times {{input}}; once is expected")]
    Places {
        /// How many.
        found: usize,
    },
    /// The pattern is no regular expression, or has several groups.
    #[error("the scorer's pattern: {reason}")]
    Pattern {
        /// Why.
        reason: String,
    },
    /// A line is no item.
    #[error("line {line} of the items: {reason}")]
    Item {
        /// The line, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// Too few items or too many.
    #[error("the suite has {found} items; between 1 and {ITEMS_MAX} are expected")]
    Count {
        /// How many.
        found: usize,
    },
}

/// A definition as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    name: String,
    version: u32,
    about: String,
    template: Template,
    scorer: Scorer,
}

impl Suite {
    /// Reads a suite: its definition (TOML), and its items (JSON Lines, one object a line).
    ///
    /// # Errors
    /// [`InvalidSuite`]; of items with the line.
    pub fn parse(definition: &str, items: &str) -> Result<Self, InvalidSuite> {
        let wrong = |error: toml::de::Error| InvalidSuite::Definition { reason: error.to_string().trim().to_owned() };
        let Definition { name, version, about, template, scorer } = toml::from_str(definition).map_err(wrong)?;
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(InvalidSuite::Name { name });
        }
        check_template(&template)?;
        check_kinds(&scorer, &template)?;
        let pattern = pattern_of(&scorer)?;
        let parsed = item::parse(&scorer, items)?;
        if parsed.is_empty() || parsed.len() > ITEMS_MAX {
            return Err(InvalidSuite::Count { found: parsed.len() });
        }
        let content = (&name, version, &template, &scorer, Digest::sha256(items.as_bytes()));
        let id = Digest::of_value("inferium/suite/1", &content);
        Ok(Self { name, version, about, template, scorer, pattern, items: parsed, id })
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, which people compare; machines compare [`Suite::id`].
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// What it measures.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    /// How a model is asked.
    #[must_use]
    pub const fn template(&self) -> &Template {
        &self.template
    }

    /// How answers are scored.
    #[must_use]
    pub const fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    pub(crate) const fn pattern(&self) -> Option<&Regex> {
        self.pattern.as_ref()
    }

    /// The items, in the suite's order.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Hash over name, version, template, scorer and the bytes of the items. What it is about is for people, and not hashed.
    #[must_use]
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// Indices of all items in the order that a seed draws.
    #[must_use]
    pub fn order(&self, seed: u64) -> Vec<usize> {
        let drawn = Digest::of("inferium/suite-order/1", &[self.id.as_bytes(), &seed.to_be_bytes()]);
        permutation(&drawn, self.items.len())
    }

    /// What the model is asked about an item: the template's prompt with the item's input in its place.
    #[must_use]
    pub fn prompt(&self, item: &Item) -> String {
        match &self.template {
            Template::Completion { prompt, .. } | Template::Chat { prompt, .. } => {
                prompt.replacen(PLACE, &item.input, 1)
            }
            Template::Embedding {} => item.input.clone(),
        }
    }
}

impl Template {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Completion { .. } => "completion",
            Self::Chat { .. } => "chat",
            Self::Embedding {} => "embedding",
        }
    }
}

impl Scorer {
    /// Its name in a definition.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Choice { .. } => "choice",
            Self::Exact { .. } => "exact",
            Self::Json {} => "json",
            Self::Retrieval {} => "retrieval",
        }
    }
}

fn check_template(template: &Template) -> Result<(), InvalidSuite> {
    let prompt = match template {
        Template::Completion { prompt, .. } | Template::Chat { prompt, .. } => prompt,
        Template::Embedding {} => return Ok(()),
    };
    let found = prompt.matches(PLACE).count();
    // Tokens of white space belong to what comes after it, so a prompt that ends with some would be scored differently elsewhere.
    if matches!(template, Template::Completion { .. }) && prompt.trim_end() != prompt {
        let reason = "the prompt ends with white space; it belongs into `delimiter`".to_owned();
        return Err(InvalidSuite::Definition { reason });
    }
    if found == 1 { Ok(()) } else { Err(InvalidSuite::Places { found }) }
}

fn check_kinds(scorer: &Scorer, template: &Template) -> Result<(), InvalidSuite> {
    let fits = match scorer {
        Scorer::Choice { .. } => matches!(template, Template::Completion { .. }),
        Scorer::Exact { .. } | Scorer::Json {} => matches!(template, Template::Chat { .. }),
        Scorer::Retrieval {} => matches!(template, Template::Embedding {}),
    };
    let mismatch = || InvalidSuite::Mismatch { template: template.kind(), scorer: scorer.kind() };
    if fits { Ok(()) } else { Err(mismatch()) }
}

/// The pattern by which answers are read.
fn pattern_of(scorer: &Scorer) -> Result<Option<Regex>, InvalidSuite> {
    let Scorer::Exact { pattern: Some(pattern), .. } = scorer else { return Ok(None) };
    let regex = Regex::new(pattern).map_err(|error| InvalidSuite::Pattern { reason: error.to_string() })?;
    if regex.captures_len() > 2 {
        return Err(InvalidSuite::Pattern { reason: "it has more than one group".to_owned() });
    }
    Ok(Some(regex))
}

#[cfg(test)]
mod tests;
