//! Reads what is due from all shards of the index, oldest first and in bounded memory.

use std::{collections::VecDeque, time::Duration};

use futures_util::future::try_join_all;
use shared::{
    models::time::Timestamp,
    store::{DueKey, DueLookup, Error, Store},
};

use crate::Selection;

/// Keys of a shard that one query reads.
const PAGE_SIZE: usize = 200;
/// Records that are read at once: the most that `BatchGetItem` takes.
pub(crate) const BATCH_SIZE: usize = 100;

/// Later than any check that is due in the future.
const FUTURE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Merges the shards by the time since when their keys are due.
pub(crate) struct Source {
    shards: Vec<Shard>,
    /// What is due later is not read.
    until: Timestamp,
    /// Keys whose records are being read: they are in no page any more, and not returned yet.
    reading: usize,
}

struct Shard {
    number: u8,
    page: VecDeque<DueKey>,
    /// Where the next page starts.
    last: Option<DueKey>,
    has_more: bool,
}

impl Source {
    pub(crate) fn new(selection: &Selection, now: Timestamp) -> Self {
        let shards = selection.shards.iter().map(|number| Shard {
            number: *number,
            page: VecDeque::new(),
            last: None,
            has_more: true,
        });
        Self {
            shards: shards.collect(),
            until: match selection.unchecked_since {
                Some(_) => now + FUTURE,
                None => now,
            },
            reading: 0,
        }
    }

    /// The next records, oldest first. An empty list is the end.
    pub(crate) async fn next(&mut self, store: &Store) -> Result<Vec<(DueKey, DueLookup)>, Error> {
        let mut keys = Vec::with_capacity(BATCH_SIZE);
        while keys.len() < BATCH_SIZE {
            // The oldest key of all is known only if the oldest key of each shard is.
            let until = self.until;
            let empty = self.shards.iter_mut();
            let empty = empty.filter(|shard| shard.has_more && shard.page.is_empty());
            try_join_all(empty.map(|shard| shard.read(store, until))).await?;
            let filled = self.shards.iter_mut();
            let filled = filled.filter(|shard| !shard.page.is_empty());
            let Some(oldest) = filled.min_by_key(|shard| shard.page.front().and_then(DueKey::at)) else {
                break;
            };
            keys.extend(oldest.page.pop_front());
            self.reading = keys.len();
        }
        let records = store.look_up_due(keys).await?;
        self.reading = 0;
        Ok(records)
    }

    /// The number of keys that [`next`](Self::next) has not returned, also after a call of it was cancelled.
    pub(crate) async fn left(&self, store: &Store) -> Result<u64, Error> {
        let unread = self.shards.iter().filter(|shard| shard.has_more);
        let counts = unread.map(|shard| store.count_due(shard.number, self.until, shard.last.as_ref()));
        let unread: u64 = try_join_all(counts).await?.into_iter().sum();
        let read: usize = self.shards.iter().map(|shard| shard.page.len()).sum();
        Ok(unread + (read + self.reading) as u64)
    }
}

impl Shard {
    async fn read(&mut self, store: &Store, until: Timestamp) -> Result<(), Error> {
        let page = store
            .due(self.number, until, self.last.as_ref(), PAGE_SIZE)
            .await?;
        self.has_more = page.len() == PAGE_SIZE;
        self.last = page.last().cloned().or(self.last.take());
        self.page = page.into();
        Ok(())
    }
}
