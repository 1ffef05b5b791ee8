//! What is due, over all shards, oldest first, a page at a time.

use std::collections::VecDeque;

use futures_util::future::try_join_all;
use shared::{
    models::time::Timestamp,
    store::{DueKey, Error, Nominated, Store},
};

/// So many keys of a shard are read at once.
const PAGE: usize = 200;
/// So many records are read at once: as many as DynamoDB gives.
pub(crate) const BATCH: usize = 100;

/// The due keys that were not handed out yet.
pub(crate) struct Source {
    shards: Vec<Shard>,
    now: Timestamp,
    /// Keys whose records are being read.
    reading: usize,
}

struct Shard {
    number: u8,
    page: VecDeque<DueKey>,
    last: Option<DueKey>,
    more: bool,
}

impl Source {
    pub(crate) fn new(shards: &[u8], now: Timestamp) -> Self {
        let shards = shards.iter().map(|number| Shard {
            number: *number,
            page: VecDeque::new(),
            last: None,
            more: true,
        });
        Self {
            shards: shards.collect(),
            now,
            reading: 0,
        }
    }

    /// The next records, oldest first. None are the end.
    pub(crate) async fn next(&mut self, store: &Store) -> Result<Vec<(DueKey, Nominated)>, Error> {
        let mut keys = Vec::with_capacity(BATCH);
        while keys.len() < BATCH {
            // The oldest key is known only while no shard's page is used up.
            let now = self.now;
            let empty = self.shards.iter_mut();
            let empty = empty.filter(|shard| shard.more && shard.page.is_empty());
            try_join_all(empty.map(|shard| shard.read(store, now))).await?;
            let filled = self.shards.iter_mut();
            let filled = filled.filter(|shard| !shard.page.is_empty());
            let Some(oldest) = filled.min_by_key(|shard| shard.page.front().and_then(DueKey::at)) else {
                break;
            };
            keys.extend(oldest.page.pop_front());
            self.reading = keys.len();
        }
        let records = store.nominated(keys).await?;
        self.reading = 0;
        Ok(records)
    }

    /// How many keys were not handed out, also where the last reading was cut off.
    pub(crate) async fn left(&self, store: &Store) -> Result<u64, Error> {
        let unread = self.shards.iter().filter(|shard| shard.more);
        let counts = unread.map(|shard| store.count_due(shard.number, self.now, shard.last.as_ref()));
        let unread: u64 = try_join_all(counts).await?.into_iter().sum();
        let read: usize = self.shards.iter().map(|shard| shard.page.len()).sum();
        Ok(unread + (read + self.reading) as u64)
    }
}

impl Shard {
    async fn read(&mut self, store: &Store, now: Timestamp) -> Result<(), Error> {
        let page = store.due(self.number, now, self.last.as_ref(), PAGE).await?;
        self.more = page.len() == PAGE;
        self.last = page.last().cloned().or(self.last.take());
        self.page = page.into();
        Ok(())
    }
}
