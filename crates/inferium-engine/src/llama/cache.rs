//! The cache of keys and values: pages on demand from a bounded budget, full ones kept for sequences that begin alike.

use super::Config;
use crate::kernel::attention::{PAGE_TOKENS, Page, head_page_len};
use crate::scheduler::Prefix;
use inferium_types::Digest;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Part of the budget that kept pages take at most: an idle engine holds on to that much memory.
const KEPT_PART: usize = 4;

/// The budget. Pages are *reserved* when a sequence is admitted, so that it can never run out midway, and *allocated* when
/// its first token needs them. What is not reserved holds *kept* pages: full ones, by the tokens up to their end, of which a
/// sequence of the same scope takes those that it begins with. Which keys and values a token has follows from it and the
/// tokens before it, to the bit, so that nobody can tell a kept page from one computed anew.
#[derive(Debug)]
pub(crate) struct Cache {
    pages_total: usize,
    pages_reserved: usize,
    pages_kept_max: usize,
    page_len: usize,
    kept: HashMap<Digest, Kept>,
    /// Names of the kept pages by when they were last used, the longest ago first.
    uses: BTreeMap<u64, Digest>,
    used: u64,
}

#[derive(Debug)]
struct Kept {
    page: Page,
    used: u64,
}

/// The pages of one sequence.
#[derive(Debug)]
pub(crate) struct SequenceCache {
    reserved: usize,
    pub(crate) pages: Vec<Page>,
    /// Whose kept pages it shares; `None` shares nothing.
    scope: Option<Digest>,
}

impl SequenceCache {
    /// A page to write into: only the last ones of a sequence are, which nobody shares.
    pub(crate) fn page_mut(&mut self, index: usize) -> &mut [u16] {
        Arc::make_mut(&mut self.pages[index])
    }
}

/// The names of full pages: each of its own tokens, all before them, and the scope.
fn names(scope: Digest, tokens: &[u32]) -> impl Iterator<Item = Digest> {
    tokens.chunks_exact(PAGE_TOKENS).scan(scope, |before, tokens| {
        *before = Digest::of_value("inferium/kept-page/1", &(*before, tokens.to_vec()));
        Some(*before)
    })
}

impl Cache {
    /// A budget of `tokens`, rounded down to pages.
    pub(crate) fn new(config: &Config, tokens: usize) -> Self {
        let page_len = config.layers * config.kv_heads * head_page_len(config.head_size);
        let pages_total = tokens / PAGE_TOKENS;
        Self::of_pages(pages_total, pages_total / KEPT_PART, page_len)
    }

    fn of_pages(pages_total: usize, pages_kept_max: usize, page_len: usize) -> Self {
        Self {
            pages_total,
            pages_reserved: 0,
            pages_kept_max,
            page_len,
            kept: HashMap::new(),
            uses: BTreeMap::new(),
            used: 0,
        }
    }

    /// Tokens that fit in all.
    pub(crate) fn tokens_total(&self) -> usize {
        self.pages_total * PAGE_TOKENS
    }

    /// Tokens that are reserved.
    pub(crate) fn tokens_reserved(&self) -> usize {
        self.pages_reserved * PAGE_TOKENS
    }

    /// Tokens that are kept.
    pub(crate) fn tokens_kept(&self) -> usize {
        self.kept.len() * PAGE_TOKENS
    }

    /// Reserves room for a sequence of `tokens`, if there is enough, and fills it with what is kept of its prefix; also says how
    /// many tokens those are.
    pub(crate) fn reserve(&mut self, tokens: usize, prefix: Option<Prefix<'_>>) -> Option<(SequenceCache, usize)> {
        let reserved = tokens.div_ceil(PAGE_TOKENS);
        if reserved > self.pages_total - self.pages_reserved {
            return None;
        }
        self.pages_reserved += reserved;
        let scope = prefix.map(|prefix| prefix.scope);
        let mut sequence = SequenceCache { reserved, pages: Vec::with_capacity(reserved), scope };
        let mut found = Vec::new();
        if let Some(Prefix { scope, tokens }) = prefix {
            for name in names(scope, tokens) {
                let Some(kept) = self.kept.get(&name) else { break };
                sequence.pages.push(Arc::clone(&kept.page));
                found.push(name);
            }
        }
        self.touch(&found);
        self.drop_oldest();
        Some((sequence, found.len() * PAGE_TOKENS))
    }

    /// Notes that the pages of a sequence are used. The last one goes first when room is needed: without those before it, it
    /// would never be found.
    fn touch(&mut self, names: &[Digest]) {
        for name in names.iter().rev() {
            self.used += 1;
            if let Some(kept) = self.kept.get_mut(name) {
                self.uses.remove(&kept.used);
                kept.used = self.used;
                self.uses.insert(self.used, *name);
            }
        }
    }

    /// Drops kept pages until all fit the budget. A page that a running sequence has too counts twice, which errs on the safe side.
    fn drop_oldest(&mut self) {
        let room = (self.pages_total - self.pages_reserved).min(self.pages_kept_max);
        while self.kept.len() > room {
            let Some((_, oldest)) = self.uses.pop_first() else { return };
            self.kept.remove(&oldest);
        }
    }

    /// Makes sure that the first `tokens` tokens of a sequence have pages.
    pub(crate) fn grow(&self, sequence: &mut SequenceCache, tokens: usize) {
        assert!(tokens <= sequence.reserved * PAGE_TOKENS, "a sequence must stay within its reservation");
        while sequence.pages.len() * PAGE_TOKENS < tokens {
            sequence.pages.push(std::iter::repeat_n(0, self.page_len).collect());
        }
    }

    /// Gives a sequence's room back, and keeps its full pages for others that begin alike; `tokens` are those that have been
    /// computed.
    pub(crate) fn release(&mut self, sequence: SequenceCache, tokens: &[u32]) {
        self.pages_reserved -= sequence.reserved;
        let Some(scope) = sequence.scope else { return };
        let mut left = Vec::new();
        for (name, page) in names(scope, tokens).zip(sequence.pages) {
            self.kept.entry(name).or_insert(Kept { page, used: 0 });
            left.push(name);
        }
        self.touch(&left);
        self.drop_oldest();
    }
}
