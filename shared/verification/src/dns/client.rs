//! The queries of one check: to name servers and to resolvers, within the check's limits.

use std::{
    collections::{HashMap, HashSet},
    future::pending,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RecordType},
};
use tokio::{
    sync::{Notify, OnceCell},
    time::timeout,
};

use super::{
    Dns, Operator, public,
    session::{ServerSet, Session},
    wire::{self, Budget, Failure, Question},
};
use crate::limit::lock;

/// A check that waits so long for other checks is [`crate::Busy`]. Longer than one query to a server that does not
/// respond.
const BUSY_AFTER: Duration = Duration::from_secs(2);

pub(super) struct Client<'a> {
    pub dns: &'a Dns,
    pub session: &'a Session,
    pub operator: &'a Operator<'a>,
    pub budget: Budget,
    /// Notified when the check must be given up: see [`Self::wait`].
    pub busy: Notify,
    seen: Mutex<Responsiveness>,
}

/// Which servers responded to this check.
#[derive(Default)]
struct Responsiveness {
    /// Addresses that did not respond once; the check does not query them again.
    timed_out: HashSet<IpAddr>,
    responded: HashMap<ServerSet, bool>,
}

impl<'a> Client<'a> {
    pub fn new(dns: &'a Dns, session: &'a Session, operator: &'a Operator<'a>) -> Self {
        Self {
            dns,
            session,
            operator,
            budget: Budget::new(dns.limits),
            busy: Notify::new(),
            seen: Mutex::default(),
        }
    }

    /// Queries a name server at an address. `servers` are all name servers of its zone.
    pub async fn authority(
        &self,
        servers: &ServerSet,
        address: IpAddr,
        name: &Name,
        kind: RecordType,
    ) -> Result<Message, Failure> {
        if !self.may_query(address) {
            return Err(Failure::PrivateAddress);
        }
        if self.timed_out(address) {
            return Err(Failure::Timeout);
        }
        let _permit = self.wait(self.session.concurrency.acquire(address)).await;
        // The checks that held the permits may have found that none of the servers responds.
        if self.session.is_unresponsive(servers) {
            return Err(Failure::Timeout);
        }
        let question = Question {
            name,
            kind,
            recursion: false,
            checking_disabled: false,
        };
        let server = SocketAddr::new(address, self.dns.authority_port);
        let response = wire::exchange(server, &question, &self.budget, None).await;
        if matches!(response, Err(Failure::Timeout)) {
            lock(&self.seen).timed_out.insert(address);
        }
        response
    }

    /// Queries the resolvers in their order until one responds. `validate`: DNSSEC validation stays on.
    pub async fn resolver(&self, name: &Name, kind: RecordType, validate: bool) -> Result<Message, Failure> {
        let question = Question {
            name,
            kind,
            recursion: true,
            checking_disabled: !validate,
        };
        for server in self.dns.resolvers.iter() {
            match wire::exchange(*server, &question, &self.budget, Some(&self.session.rate_limit)).await {
                Err(Failure::Timeout | Failure::Malformed | Failure::Truncated) => {}
                response => return response,
            }
        }
        Err(Failure::Timeout)
    }

    /// Whether the resolver fails to validate: it answers `SERVFAIL`, but succeeds with checking disabled.
    pub async fn is_bogus(&self, name: &Name, kind: RecordType) -> bool {
        let validated = self.resolver(name, kind, true).await;
        matches!(validated, Err(Failure::Code(ResponseCode::ServFail)))
            && self.resolver(name, kind, false).await.is_ok()
    }

    /// Waits for other checks of the session. After 2 s without a query of its own in flight the check is given up, and
    /// this never returns: when it is dropped, its permits go to checks of other servers.
    pub async fn wait<T>(&self, turn: impl Future<Output = T>) -> T {
        let mut turn = pin!(turn);
        loop {
            match timeout(BUSY_AFTER, &mut turn).await {
                Ok(turn) => return turn,
                // Its own queries may be what occupies the permits. They have time limits of their own.
                Err(_) if self.budget.is_in_use() => {}
                Err(_) => {
                    self.busy.notify_one();
                    pending::<()>().await;
                }
            }
        }
    }

    /// The value of a cell. The first check that needs it finds it, and the others wait. A failure is not kept.
    pub async fn once<T: Clone>(
        &self,
        cell: &OnceCell<T>,
        find: impl AsyncFnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let found = self.wait(cell.get_or_try_init(|| find())).await;
        found.cloned()
    }

    /// Whether a server at this address did not respond to this check.
    pub fn timed_out(&self, address: IpAddr) -> bool {
        lock(&self.seen).timed_out.contains(&address)
    }

    pub fn may_query(&self, address: IpAddr) -> bool {
        self.dns.allow_private || public::is_public(address)
    }

    /// Tells the session once whether a set of servers responded to this check, and again if a later query corrects it.
    pub fn note(&self, servers: &ServerSet, responded: bool) {
        let before = {
            let mut seen = lock(&self.seen);
            let before = seen.responded.get(servers).copied();
            let known = before.unwrap_or(false) || responded;
            seen.responded.insert(Arc::clone(servers), known);
            before
        };
        if before.is_none_or(|before| responded && !before) {
            self.session.count_check(servers, responded);
        }
    }
}
