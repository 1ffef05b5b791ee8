//! The queries of one check: to name servers and to resolvers, within the check's limits.

use std::{
    collections::{HashMap, HashSet},
    future::pending,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Mutex,
    time::Duration,
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType},
};
use tokio::{
    sync::{Notify, OnceCell},
    time::timeout,
};

use super::{
    Dns, Operator,
    delegation::Delegation,
    public,
    session::{Responder, Session},
    wire::{self, Budget, Failure, Question, RateLimit},
};
use crate::limit::lock;

/// A check that waits so long for other checks is [`crate::Busy`]. Longer than one query to a server that does not
/// respond.
const BUSY_AFTER: Duration = Duration::from_secs(2);

pub(super) struct Client<'a> {
    pub dns: &'a Dns,
    pub session: &'a Session,
    pub operator: &'a Operator<'a>,
    /// The registrable domain of the domain that is checked.
    pub own_domain: Option<Name>,
    pub budget: Budget,
    /// Notified when the check must be given up: see [`Self::wait`].
    pub busy: Notify,
    seen: Mutex<Responsiveness>,
}

/// What the check knows of name servers, so that it does not ask in vain again.
#[derive(Default)]
struct Responsiveness {
    /// Addresses that did not respond once.
    addresses: HashSet<IpAddr>,
    /// Name servers and resolvers that did not respond by TCP to a query in lower case.
    without_tcp: HashSet<SocketAddr>,
    /// Servers none of whose addresses responded.
    servers: HashSet<Name>,
    /// Servers whose addresses the resolvers did not find, and why.
    unresolved: HashMap<(Name, RecordType), Failure>,
    responded: HashMap<Responder, bool>,
    /// All resolvers failed once, which took the check's time.
    resolvers_failed: bool,
}

impl<'a> Client<'a> {
    pub fn new(
        dns: &'a Dns,
        session: &'a Session,
        operator: &'a Operator<'a>,
        own_domain: Option<Name>,
    ) -> Self {
        Self {
            dns,
            session,
            operator,
            own_domain,
            budget: Budget::new(dns.limits),
            busy: Notify::new(),
            seen: Mutex::default(),
        }
    }

    /// Queries a name server of the delegation at an address. `lower_case`: see [`Question::lower_case`].
    pub async fn authority(
        &self,
        delegation: &Delegation,
        address: IpAddr,
        name: &Name,
        kind: RecordType,
        lower_case: bool,
    ) -> Result<Message, Failure> {
        if lock(&self.seen).addresses.contains(&address) {
            return Err(Failure::Timeout);
        }
        let _permit = self
            .wait(self.session.concurrency.acquire(address, &delegation.names))
            .await;
        // The checks that held the permits may have found that none of the servers responds.
        if self.session.is_unresponsive(delegation) {
            return Err(Failure::Timeout);
        }
        let question = Question {
            name,
            kind,
            recursion: false,
            checking_disabled: false,
            lower_case,
        };
        let server = SocketAddr::new(address, self.dns.authority_port);
        let response = self.exchange(server, &question, None).await;
        match response {
            Err(Failure::Timeout) if !lower_case => {
                lock(&self.seen).addresses.insert(address);
            }
            Err(Failure::Timeout | Failure::BudgetExhausted) => {}
            // Before the permit is returned, so that it goes to other checks of these servers.
            _ => self.session.concurrency.responded(&delegation.names),
        }
        response
    }

    /// A server that does not respond by TCP is not asked that way again: it may respond by UDP.
    async fn exchange(
        &self,
        server: SocketAddr,
        question: &Question<'_>,
        rate_limit: Option<&RateLimit>,
    ) -> Result<Message, Failure> {
        if question.lower_case && lock(&self.seen).without_tcp.contains(&server) {
            return Err(Failure::Timeout);
        }
        let response = wire::exchange(server, question, &self.budget, rate_limit).await;
        if question.lower_case && matches!(response, Err(Failure::Timeout)) {
            lock(&self.seen).without_tcp.insert(server);
        }
        response
    }

    /// Queries the resolvers until one answers: in their order, but those last that failed in this session. `validate`: DNSSEC
    /// validation stays on. The response has only the answers that belong to the question.
    ///
    /// # Errors
    /// [`Failure::Resolver`]: none of them answers. [`Failure::Code`] with `SERVFAIL`, which says something about the name.
    pub async fn resolver(&self, name: &Name, kind: RecordType, validate: bool) -> Result<Message, Failure> {
        let question = Question {
            name,
            kind,
            recursion: true,
            checking_disabled: !validate,
            lower_case: false,
        };
        let mut message = self.ask_resolvers(&question).await?;
        leave_related(&mut message.answers, name);
        Ok(message)
    }

    /// # Errors
    /// Those of [`Self::resolver`]. [`Failure::Timeout`]: the first resolver does not respond to a query in lower case.
    pub async fn ask_resolvers(&self, question: &Question<'_>) -> Result<Message, Failure> {
        use Failure::{BudgetExhausted, Code, Resolver, Timeout, TooBig};
        let mut failed = lock(&self.seen).resolvers_failed;
        for server in self.session.resolvers(&self.dns.resolvers) {
            let rate_limit = Some(&self.session.rate_limit);
            match self.exchange(server, question, rate_limit).await {
                // It has no TCP, which the resolvers that are queried by UDP need not have.
                Err(Timeout) if question.lower_case => return Err(Timeout),
                // They used up the time.
                Err(BudgetExhausted) if failed => break,
                Err(failure)
                    if !matches!(failure, BudgetExhausted | TooBig | Code(ResponseCode::ServFail)) =>
                {
                    failed = true;
                    self.session.resolver_failed(server);
                }
                response => return response,
            }
        }
        lock(&self.seen).resolvers_failed = true;
        Err(Resolver)
    }

    /// Whether the resolver fails to validate: it answers `SERVFAIL`, but succeeds with checking disabled.
    ///
    /// # Errors
    /// [`Failure::BudgetExhausted`]: the resolver was not asked.
    pub async fn is_bogus(&self, name: &Name, kind: RecordType) -> Result<bool, Failure> {
        match self.resolver(name, kind, true).await {
            Err(Failure::Code(ResponseCode::ServFail)) => match self.resolver(name, kind, false).await {
                Err(Failure::BudgetExhausted) => Err(Failure::BudgetExhausted),
                unchecked => Ok(unchecked.is_ok()),
            },
            Err(Failure::BudgetExhausted) => Err(Failure::BudgetExhausted),
            _ => Ok(false),
        }
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

    /// Whether no address of the server responded to this check.
    pub fn timed_out(&self, server: &Name) -> bool {
        lock(&self.seen).servers.contains(server)
    }

    /// Remembers that no address of the server responded.
    pub fn note_timeout(&self, server: &Name) {
        lock(&self.seen).servers.insert(server.clone());
    }

    /// Why the resolvers did not find the server's addresses, if the check asked already.
    pub fn unresolved(&self, server: &(Name, RecordType)) -> Option<Failure> {
        lock(&self.seen).unresolved.get(server).copied()
    }

    pub fn note_unresolved(&self, server: (Name, RecordType), failure: Failure) {
        lock(&self.seen).unresolved.insert(server, failure);
    }

    pub fn may_query(&self, address: IpAddr) -> bool {
        self.dns.allow_private || public::is_public(address)
    }

    /// Tells the session once whether a zone's servers responded to this check, and again if a later query corrects it.
    pub fn note(&self, delegation: &Delegation, responded: bool) {
        for responder in Responder::of(delegation) {
            let before = {
                let mut seen = lock(&self.seen);
                let before = seen.responded.get(&responder).copied();
                let known = before.unwrap_or(false) || responded;
                seen.responded.insert(responder.clone(), known);
                before
            };
            if before.is_none_or(|before| responded && !before) {
                self.session.count_check(&responder, responded);
            }
        }
    }
}

/// Leaves the answers of the name, and of the names that its aliases lead to. Another name's addresses in the answer for a name server
/// would let one machine answer for two servers.
fn leave_related(answers: &mut Vec<Record>, name: &Name) {
    let mut names = vec![name.clone()];
    let mut next = 0;
    while let Some(name) = names.get(next).cloned() {
        next += 1;
        let targets = answers.iter().filter_map(|record| match &record.data {
            RData::CNAME(target) if record.name == name => Some(&target.0),
            _ => None,
        });
        for target in targets {
            if !names.contains(target) {
                names.push(target.clone());
            }
        }
    }
    answers.retain(|record| names.contains(&record.name));
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{A, CNAME};

    use super::*;

    #[test]
    fn answers_for_other_names_than_the_question_are_dropped() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let alias = |from: &str, to: &str| Record::from_rdata(name(from), 60, RData::CNAME(CNAME(name(to))));
        let address = |of: &str| Record::from_rdata(name(of), 60, RData::A(A::new(192, 0, 2, 1)));
        let mut answers = vec![
            address("ns2.acme.test."),
            address("ns1.acme.test."),
            alias("b.test.", "c.test."),
            alias("ns1.acme.test.", "b.test."),
            alias("c.test.", "ns1.acme.test."),
            address("c.test."),
            alias("d.test.", "e.test."),
            address("e.test."),
        ];
        leave_related(&mut answers, &name("ns1.acme.test."));
        let left: Vec<_> = answers.iter().map(|record| record.name.to_string()).collect();
        assert_eq!(
            left,
            [
                "ns1.acme.test.",
                "b.test.",
                "ns1.acme.test.",
                "c.test.",
                "c.test."
            ]
        );
    }
}
