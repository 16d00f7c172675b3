//! Which requests run or were answered, by account.
//!
//! Bounds: entries and bytes in all and of one account. What is over is forgotten, that which is kept for the shortest time first; a request
//! that runs goes on, and can't be joined any more.

use super::super::error::ApiError;
use super::Progress;
use inferium_types::Digest;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long answers are kept for requests with an `idempotency-key`, and for attempts of SDKs, which repeat at once.
const NAMED_FOR: Duration = Duration::from_secs(3_600);
const ATTEMPTS_FOR: Duration = Duration::from_secs(60);
/// How long a refusal is taken for the reason of the next attempt: SDKs wait for 8 seconds at most.
const REFUSED_FOR: Duration = Duration::from_secs(12);
/// Bytes of one answer at most, of all answers, and of those of one account.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const BYTES_MAX: usize = 128 * 1024 * 1024;
const ACCOUNT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Requests in all, and of one account.
const COUNT_MAX: usize = 16_384;
const ACCOUNT_COUNT_MAX: usize = 2_048;

/// A request that was begun here.
pub(super) type Number = u64;

/// What a request says of being repeated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    /// Its `idempotency-key`.
    Named(String),
    /// How often it was tried before.
    Attempt(u32),
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Begun {
    New(Number, Arc<watch::Sender<Progress>>, watch::Receiver<Progress>),
    Known(watch::Receiver<Progress>),
}

#[derive(Debug)]
struct Entry {
    account: Digest,
    hash: Digest,
    asked: Asked,
    until: Instant,
    /// Of the answer, once it is whole.
    size: usize,
    /// It was answered with an error: an SDK's next attempt is because of that, and begins anew.
    is_refused: bool,
    progress: Arc<watch::Sender<Progress>>,
}

#[derive(Debug, Default)]
struct Use {
    count: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    next: Number,
    entries: BTreeMap<Number, Entry>,
    /// By account and name.
    named: BTreeMap<(Digest, String), Number>,
    /// By account and request, those without a name.
    attempts: BTreeMap<(Digest, Digest, Number), ()>,
    /// By when they are forgotten.
    ends: BTreeMap<(Instant, Number), Digest>,
    uses: BTreeMap<Digest, Use>,
    bytes: usize,
}

/// Requests that can be repeated.
#[derive(Debug, Default)]
pub(in super::super) struct Table(Mutex<Inner>);

impl Table {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds what `asked` repeats, or makes it known.
    ///
    /// # Errors
    /// [`ApiError::IdempotencyKeyReused`].
    pub(super) fn begin(&self, account: Digest, hash: Digest, asked: Asked) -> Result<Begun, ApiError> {
        let mut inner = self.lock();
        inner.expire(Instant::now());
        let known = match &asked {
            Asked::Named(name) => inner.named.get(&(account, name.clone())).copied(),
            Asked::Attempt(0) => None,
            Asked::Attempt(count) => inner.earlier(account, hash, *count),
        };
        if let Some(entry) = known.and_then(|number| inner.entries.get_mut(&number)) {
            if entry.hash != hash {
                return Err(ApiError::IdempotencyKeyReused);
            }
            entry.asked = asked;
            return Ok(Begun::Known(entry.progress.subscribe()));
        }
        let (progress, answer) = watch::channel(Progress::default());
        let progress = Arc::new(progress);
        let number = inner.add(account, hash, asked, Arc::clone(&progress));
        Ok(Begun::New(number, progress, answer))
    }

    /// Keeps the answer of a request, of this many bytes, if there is room for so many.
    pub(super) fn keep(&self, number: Number, size: usize) {
        let mut inner = self.lock();
        if size > ANSWER_BYTES_MAX {
            inner.remove(number);
            return;
        }
        let Some(entry) = inner.entries.get_mut(&number) else { return };
        entry.size = size;
        let lasts = if matches!(entry.asked, Asked::Named(_)) { NAMED_FOR } else { ATTEMPTS_FOR };
        let account = entry.account;
        inner.keep_until(number, Instant::now() + lasts);
        inner.bytes = inner.bytes.saturating_add(size);
        let used = inner.uses.entry(account).or_default();
        used.bytes = used.bytes.saturating_add(size);
        inner.shrink(account);
    }

    /// Notes that a request was answered with an error: nothing that a repetition should get, but the reason of one.
    pub(super) fn refuse(&self, number: Number) {
        let mut inner = self.lock();
        match inner.entries.get_mut(&number) {
            Some(entry) if matches!(entry.asked, Asked::Attempt(_)) => {
                entry.is_refused = true;
                inner.keep_until(number, Instant::now() + REFUSED_FOR);
            }
            _ => inner.remove(number),
        }
    }

    /// Forgets a request: it has no answer that a repetition should get.
    pub(super) fn forget(&self, number: Number) {
        self.lock().remove(number);
    }

    /// Forgets a request that nobody listens to; false if somebody does.
    pub(super) fn forget_unheard(&self, number: Number, progress: &watch::Sender<Progress>) -> bool {
        let mut inner = self.lock();
        let is_unheard = progress.is_closed();
        if is_unheard {
            inner.remove(number);
        }
        is_unheard
    }
}

impl Inner {
    fn keep_until(&mut self, number: Number, until: Instant) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        let old = std::mem::replace(&mut entry.until, until);
        self.ends.remove(&(old, number));
        self.ends.insert((until, number), entry.account);
    }

    /// The attempt that one with `count` attempts before it repeats: the newest that no client listens to, rather one whose answer no client
    /// got. One that a client listens to is another request with the same body; and where the attempt before was refused, this one
    /// repeats that, whatever else was asked with the same body.
    fn earlier(&mut self, account: Digest, hash: Digest, count: u32) -> Option<Number> {
        let of_request = self.attempts.range((account, hash, 0)..=(account, hash, Number::MAX));
        let numbers: Vec<Number> = of_request.map(|((.., number), ())| *number).collect();
        let refused = numbers.iter().find(|number| {
            let is_before =
                |entry: &&Entry| matches!(entry.asked, Asked::Attempt(before) if before.checked_add(1) == Some(count));
            self.entries.get(number).filter(is_before).is_some_and(|entry| entry.is_refused)
        });
        if let Some(refused) = refused {
            self.remove(*refused);
            return None;
        }
        let found = numbers.iter().filter_map(|number| {
            let entry = self.entries.get(number)?;
            let is_before = matches!(entry.asked, Asked::Attempt(before) if before < count);
            (is_before && !entry.is_refused && entry.progress.is_closed())
                .then(|| (!entry.progress.borrow().was_heard.load(Ordering::Acquire), *number))
        });
        found.max().map(|(_, number)| number)
    }

    fn add(&mut self, account: Digest, hash: Digest, asked: Asked, progress: Arc<watch::Sender<Progress>>) -> Number {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        // How long it runs is not known; from its end on it is kept as long as all others.
        let until = Instant::now() + NAMED_FOR;
        match &asked {
            Asked::Named(name) => drop(self.named.insert((account, name.clone()), number)),
            Asked::Attempt(_) => drop(self.attempts.insert((account, hash, number), ())),
        }
        self.ends.insert((until, number), account);
        let used = self.uses.entry(account).or_default();
        used.count = used.count.saturating_add(1);
        self.entries.insert(number, Entry { account, hash, asked, until, size: 0, is_refused: false, progress });
        self.shrink(account);
        number
    }

    fn remove(&mut self, number: Number) {
        let Some(entry) = self.entries.remove(&number) else { return };
        self.ends.remove(&(entry.until, number));
        match entry.asked {
            Asked::Named(name) => drop(self.named.remove(&(entry.account, name))),
            Asked::Attempt(_) => drop(self.attempts.remove(&(entry.account, entry.hash, number))),
        }
        self.bytes = self.bytes.saturating_sub(entry.size);
        let used = self.uses.entry(entry.account).or_default();
        used.count = used.count.saturating_sub(1);
        used.bytes = used.bytes.saturating_sub(entry.size);
        if used.count == 0 {
            self.uses.remove(&entry.account);
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some((&(until, number), _)) = self.ends.first_key_value() {
            if until > now {
                return;
            }
            self.remove(number);
        }
    }

    /// Forgets what is over the bounds.
    fn shrink(&mut self, account: Digest) {
        while self
            .uses
            .get(&account)
            .is_some_and(|used| used.count > ACCOUNT_COUNT_MAX || used.bytes > ACCOUNT_BYTES_MAX)
        {
            let first = self.ends.iter().find(|(_, of)| **of == account).map(|((_, number), _)| *number);
            let Some(number) = first else { return };
            self.remove(number);
        }
        while self.entries.len() > COUNT_MAX || self.bytes > BYTES_MAX {
            let Some((&(_, number), _)) = self.ends.first_key_value() else { return };
            self.remove(number);
        }
    }
}

#[cfg(test)]
mod tests;
