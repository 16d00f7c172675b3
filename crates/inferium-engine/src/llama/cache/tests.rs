use super::*;

fn scope(number: u8) -> Digest {
    Digest::sha256(&[number])
}

/// As many different tokens as fill `pages`, and one.
fn tokens(pages: usize, first: u32) -> Vec<u32> {
    (first..).take(pages * PAGE_TOKENS + 1).collect()
}

fn of(tokens: &[u32]) -> Option<Prefix<'_>> {
    Some(Prefix { scope: scope(1), tokens })
}

/// Runs a sequence that marks its pages, and says how many tokens it found.
fn run(cache: &mut Cache, tokens: &[u32], mark: u16) -> usize {
    let (mut sequence, found) = cache.reserve(tokens.len(), of(tokens)).unwrap();
    cache.grow(&mut sequence, tokens.len());
    for page in found / PAGE_TOKENS..sequence.pages.len() {
        sequence.page_mut(page).fill(mark);
    }
    cache.release(sequence, tokens);
    found
}

/// How many tokens a sequence would find.
fn finds(cache: &mut Cache, prefix: Option<Prefix<'_>>) -> usize {
    let (sequence, found) = cache.reserve(0, prefix).unwrap();
    cache.release(sequence, &[]);
    found
}

#[test]
fn a_sequence_begins_with_the_full_pages_that_another_left() {
    let mut cache = Cache::of_pages(10, 10, 4);
    let first = tokens(3, 0);
    assert_eq!(run(&mut cache, &first, 7), 0);
    assert_eq!(cache.tokens_kept(), 3 * PAGE_TOKENS);
    let (sequence, found) = cache.reserve(first.len(), of(&first)).unwrap();
    assert_eq!(found, 3 * PAGE_TOKENS);
    assert!(sequence.pages.iter().all(|page| page.iter().all(|number| *number == 7)));
    // Less one token: the last page is not full.
    assert_eq!(finds(&mut cache, of(&first[..3 * PAGE_TOKENS - 1])), 2 * PAGE_TOKENS);
    // Another token in the second page, another scope, none.
    let mut other = first.clone();
    other[PAGE_TOKENS] += 1;
    assert_eq!(finds(&mut cache, of(&other)), PAGE_TOKENS);
    let elsewhere = Prefix { scope: scope(2), tokens: &first };
    assert_eq!(finds(&mut cache, Some(elsewhere)), 0);
    assert_eq!(finds(&mut cache, None), 0);
}

#[test]
fn what_shares_nothing_leaves_nothing() {
    let mut cache = Cache::of_pages(10, 10, 4);
    let tokens = tokens(3, 0);
    let (mut sequence, _) = cache.reserve(tokens.len(), None).unwrap();
    cache.grow(&mut sequence, tokens.len());
    cache.release(sequence, &tokens);
    assert_eq!((cache.tokens_kept(), cache.tokens_reserved()), (0, 0));
}

#[test]
fn only_what_was_computed_is_kept() {
    let mut cache = Cache::of_pages(10, 10, 4);
    let tokens = tokens(3, 0);
    let (mut sequence, _) = cache.reserve(tokens.len(), of(&tokens)).unwrap();
    cache.grow(&mut sequence, tokens.len());
    cache.release(sequence, &tokens[..2 * PAGE_TOKENS - 1]);
    assert_eq!(cache.tokens_kept(), PAGE_TOKENS);
}

#[test]
fn what_is_kept_gives_way_the_longest_unused_first_and_ends_before_beginnings() {
    let mut cache = Cache::of_pages(8, 8, 4);
    let (old, new) = (tokens(3, 0), tokens(3, 1000));
    run(&mut cache, &old, 1);
    run(&mut cache, &new, 2);
    assert_eq!(cache.tokens_kept(), 6 * PAGE_TOKENS);
    // Room for three pages more takes one from the older sequence: its last.
    let (third, _) = cache.reserve(3 * PAGE_TOKENS, None).unwrap();
    assert_eq!(finds(&mut cache, of(&old)), 2 * PAGE_TOKENS);
    assert_eq!(finds(&mut cache, of(&new)), 3 * PAGE_TOKENS);
    cache.release(third, &[]);
    // A sequence of the whole budget finds what is kept of it, and then nothing else is.
    let (whole, found) = cache.reserve(8 * PAGE_TOKENS, of(&new)).unwrap();
    assert_eq!((found, cache.tokens_kept()), (3 * PAGE_TOKENS, 0));
    assert!(cache.reserve(1, None).is_none());
    cache.release(whole, &new);
    assert_eq!(cache.tokens_kept(), 3 * PAGE_TOKENS);
}

#[test]
fn sequences_that_share_a_page_do_not_share_what_they_write_after_it() {
    let mut cache = Cache::of_pages(10, 10, 4);
    run(&mut cache, &tokens(1, 0), 1);
    let one = tokens(1, 0);
    let [mut a, mut b] = [(); 2].map(|()| cache.reserve(32, of(&one)).unwrap().0);
    cache.grow(&mut a, 32);
    cache.grow(&mut b, 32);
    assert!(Arc::ptr_eq(&a.pages[0], &b.pages[0]));
    a.page_mut(1).fill(5);
    assert!(b.pages[1].iter().all(|number| *number == 0));
    // Even a write into a shared page would stay with its writer.
    a.page_mut(0).fill(9);
    assert!(b.pages[0].iter().all(|number| *number == 1));
}

#[test]
fn an_idle_cache_keeps_so_much_and_no_more() {
    let mut cache = Cache::of_pages(10, 2, 4);
    let all = tokens(3, 0);
    run(&mut cache, &all, 1);
    assert_eq!(cache.tokens_kept(), 2 * PAGE_TOKENS);
    assert_eq!(finds(&mut cache, of(&all)), 2 * PAGE_TOKENS);
}
