//! One check: what it may spend, and the only two ways in which it sends anything.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RecordType},
};
use tokio::time::timeout;

use super::{
    Dns, Subject, guard,
    session::{Cell, Key, Servers, Session},
    wire::{self, Budget, Failure, Question},
};

/// Whoever waits so long for other checks gives up, and leaves room for those that ask other servers. It is longer than a
/// question to a server that is silent.
const CROWDED: Duration = Duration::from_secs(2);

/// One domain's check.
pub(super) struct Check<'a> {
    pub dns: &'a Dns,
    pub session: &'a Session,
    pub subject: &'a Subject<'a>,
    pub budget: Budget,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    /// Whoever was silent once in a check is not asked again in it.
    silent: HashSet<IpAddr>,
    /// Whether anybody of these said anything.
    heard: HashMap<Servers, bool>,
    crowded: bool,
}

impl<'a> Check<'a> {
    pub fn new(dns: &'a Dns, session: &'a Session, subject: &'a Subject<'a>) -> Self {
        Self {
            dns,
            session,
            subject,
            budget: Budget::new(dns.limits),
            notes: Mutex::default(),
        }
    }

    /// Asks a name server at an address, if it is one that may be asked. `servers` are all of its zone.
    pub async fn authority(
        &self,
        servers: &Servers,
        address: IpAddr,
        name: &Name,
        kind: RecordType,
    ) -> Result<Message, Failure> {
        if !self.may_ask(address) {
            return Err(Failure::Private);
        }
        if self.was_silent(address) {
            return Err(Failure::Silent);
        }
        let gate = self.session.gates.enter(Key::Server(address));
        let _place = self.wait(gate).await?;
        // Whoever was there before may have found that nobody answers.
        if self.session.is_silent(servers) {
            return Err(Failure::Silent);
        }
        let question = Question {
            name,
            kind,
            recursion: false,
            checking_disabled: false,
        };
        let server = SocketAddr::new(address, self.dns.authority_port);
        let answer = wire::exchange(server, &question, &self.budget, None).await;
        if matches!(answer, Err(Failure::Silent)) {
            self.notes().silent.insert(address);
        }
        answer
    }

    /// Waits for what other checks are at. Who gives up, because that takes long, is [crowded](Self::is_crowded).
    pub async fn wait<T>(&self, turn: impl Future<Output = T>) -> Result<T, Failure> {
        let mut turn = pin!(turn);
        while !self.is_crowded() {
            match timeout(CROWDED, &mut turn).await {
                Ok(turn) => return Ok(turn),
                // Perhaps it is this check itself that keeps others waiting; its questions have limits of their own.
                Err(_) if self.budget.is_asking() => {}
                Err(_) => self.notes().crowded = true,
            }
        }
        Err(Failure::Spent)
    }

    /// The value of a cell, which is found by whoever comes first.
    pub async fn once<T: Clone>(
        &self,
        cell: &Cell<T>,
        find: impl AsyncFnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut known = self.wait(cell.lock()).await?;
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let found = find().await?;
        Ok(known.insert(found).clone())
    }

    /// Whether a server at this address was silent in this check.
    pub fn was_silent(&self, address: IpAddr) -> bool {
        self.notes().silent.contains(&address)
    }

    /// Whether the guard lets a packet go there.
    pub fn may_ask(&self, address: IpAddr) -> bool {
        self.dns.allow_private || guard::is_public(address)
    }

    /// Asks the resolvers, in their order, until one says anything.
    pub async fn resolver(&self, name: &Name, kind: RecordType, validate: bool) -> Result<Message, Failure> {
        let question = Question {
            name,
            kind,
            recursion: true,
            checking_disabled: !validate,
        };
        for server in self.dns.resolvers.iter() {
            match wire::exchange(*server, &question, &self.budget, Some(&self.session.pace)).await {
                Err(Failure::Silent | Failure::Malformed | Failure::Truncated) => {}
                answer => return answer,
            }
        }
        Err(Failure::Silent)
    }

    /// Whether the resolver finds the signatures wrong on the way to this answer: it fails, but not if it is told to let
    /// them be. Any other answer of it, or none, means nothing here.
    pub async fn is_bogus(&self, name: &Name, kind: RecordType) -> bool {
        let failed = self.resolver(name, kind, true).await;
        matches!(failed, Err(Failure::Code(ResponseCode::ServFail)))
            && self.resolver(name, kind, false).await.is_ok()
    }

    /// Tells the session whether these said anything to this check: once that they did not, or that they did after all.
    pub fn note(&self, servers: &Servers, heard: bool) {
        let news = match self.notes().heard.entry(Arc::clone(servers)) {
            Entry::Vacant(place) => {
                place.insert(heard);
                true
            }
            Entry::Occupied(mut before) => heard && !before.insert(true),
        };
        if news {
            self.session.heard(servers, heard);
        }
    }

    /// Whether it waited too long for other checks: nothing is to be concluded from it.
    pub fn is_crowded(&self) -> bool {
        self.notes().crowded
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
