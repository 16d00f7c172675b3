//! The cache of keys and values: pages on demand from a bounded budget.

use super::Config;
use crate::kernel::attention::{PAGE_TOKENS, head_page_len};

/// The budget. Pages are *reserved* when a sequence is admitted, so that it can never run out midway, and *allocated* when
/// its first token needs them.
#[derive(Debug)]
pub(crate) struct Cache {
    pages_total: usize,
    pages_reserved: usize,
    page_len: usize,
    /// Pages of ended sequences, for reuse.
    spare: Vec<Box<[u16]>>,
}

/// The pages of one sequence.
#[derive(Debug)]
pub(crate) struct SequenceCache {
    reserved: usize,
    pub(crate) pages: Vec<Box<[u16]>>,
}

impl Cache {
    /// A budget of `tokens`, rounded down to pages.
    pub(crate) fn new(config: &Config, tokens: usize) -> Self {
        let page_len = config.layers * config.kv_heads * head_page_len(config.head_size);
        Self { pages_total: tokens / PAGE_TOKENS, pages_reserved: 0, page_len, spare: Vec::new() }
    }

    /// Tokens that fit in all.
    pub(crate) fn tokens_total(&self) -> usize {
        self.pages_total * PAGE_TOKENS
    }

    /// Tokens that are reserved.
    pub(crate) fn tokens_reserved(&self) -> usize {
        self.pages_reserved * PAGE_TOKENS
    }

    /// Reserves room for a sequence of `tokens`, if there is enough.
    pub(crate) fn reserve(&mut self, tokens: usize) -> Option<SequenceCache> {
        let reserved = tokens.div_ceil(PAGE_TOKENS);
        if reserved > self.pages_total - self.pages_reserved {
            return None;
        }
        self.pages_reserved += reserved;
        Some(SequenceCache { reserved, pages: Vec::with_capacity(reserved) })
    }

    /// Makes sure that the first `tokens` tokens of a sequence have pages.
    pub(crate) fn grow(&mut self, sequence: &mut SequenceCache, tokens: usize) {
        assert!(tokens <= sequence.reserved * PAGE_TOKENS, "a sequence must stay within its reservation");
        while sequence.pages.len() * PAGE_TOKENS < tokens {
            // What an old page holds is overwritten before it is read: a row sees only tokens stored before it.
            let page = self.spare.pop().unwrap_or_else(|| vec![0; self.page_len].into_boxed_slice());
            sequence.pages.push(page);
        }
    }

    /// Gives a sequence's room back.
    pub(crate) fn release(&mut self, sequence: SequenceCache) {
        self.pages_reserved -= sequence.reserved;
        self.spare.extend(sequence.pages);
        if self.pages_reserved == 0 {
            // Nothing runs: the memory goes back to the system.
            self.spare.clear();
        }
    }
}
