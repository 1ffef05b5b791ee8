//! What a zone's servers say to one question, compared; and where aliases lead from there.

use std::sync::Arc;

use futures_util::future::join_all;
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{DNSClass, Name, RData, RecordType},
    serialize::binary::{BinDecodable, BinDecoder},
};
use shared::config::DnsMode;

use super::{
    check::Check,
    wire::Failure,
    zone::{self, Cut, MAX_REFERRALS, Server},
};

/// So many aliases are followed from one name.
const MAX_ALIASES: usize = 8;
/// What the resolver is called where servers are named.
const RESOLVER: &str = "resolver";

/// How many servers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// One, for what decides nothing.
    One,
    /// Two at random: enough to renew a proof.
    Two,
    /// All up to four, else four at random.
    Four,
}

/// A definite answer about one name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// These records, in the order of their text.
    Records(Vec<RData>),
    /// The name is another name for this one.
    Alias(Name),
    /// No such record; whether the name exists at all.
    None { exists: bool },
}

impl Said {
    fn agrees(&self, other: &Self) -> bool {
        matches!((self, other), (Self::None { .. }, Self::None { .. })) || self == other
    }
}

/// What one server said.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    /// Its name, as it is shown.
    pub server: String,
    pub said: Result<Said, Failure>,
}

/// What all servers together said.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// Enough of them this, and none another thing.
    Agreed(Said),
    /// One of several this, the others nothing.
    Sole(Said),
    /// Different things.
    Differ,
    /// Some the zone's own records, others that these are another zone's; or that of several zones.
    Split,
    /// Nothing that decides.
    Unknown(Failure),
}

/// The answers to one question.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub name: Name,
    pub kind: RecordType,
    pub replies: Vec<Reply>,
    pub outcome: Outcome,
    /// The zone that was asked, where the zone's own servers were.
    pub cut: Option<Arc<Cut>>,
}

impl Answer {
    /// What was said, by enough servers or by one.
    pub fn said(&self) -> Option<&Said> {
        match &self.outcome {
            Outcome::Agreed(said) | Outcome::Sole(said) => Some(said),
            Outcome::Differ | Outcome::Split | Outcome::Unknown(_) => None,
        }
    }

    /// Whether there is no such name.
    pub fn is_no_name(&self) -> bool {
        matches!(self.said(), Some(Said::None { exists: false }))
    }

    fn failed(name: &Name, kind: RecordType, cut: Option<Arc<Cut>>, failure: Failure) -> Self {
        Self {
            name: name.clone(),
            kind,
            replies: Vec::new(),
            outcome: Outcome::Unknown(failure),
            cut,
        }
    }
}

/// Where a name leads.
#[derive(Debug, Clone)]
pub(super) struct Path {
    /// One answer for each name asked, never none.
    pub answers: Vec<Answer>,
    /// The names that the aliases led to.
    pub chain: Vec<Name>,
    pub end: End,
}

/// What is at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// A name below our own target; it is not asked.
    Ours,
    /// The records asked for.
    Records(Vec<RData>),
    /// No such record; whether the last name exists.
    None { exists: bool },
    /// A name that was met before.
    Loop,
    /// More aliases than are followed.
    TooLong,
    /// The servers differ in the records.
    Differ,
    /// They differ in whose zone it is.
    Split,
    /// Nothing that decides.
    Unknown(Failure),
}

impl Path {
    /// Whether some step rests on one server of several.
    pub fn is_sole(&self) -> bool {
        self.answers
            .iter()
            .any(|answer| matches!(answer.outcome, Outcome::Sole(_)))
    }

    /// What the server of the first failed step said, for an end that decides nothing; else why one server was alone.
    pub fn failure(&self) -> Option<(Failure, &Answer)> {
        self.answers.iter().find_map(|answer| match answer.outcome {
            Outcome::Unknown(failure) => Some((failure, answer)),
            Outcome::Sole(_) => Some((worst(&answer.replies), answer)),
            _ => None,
        })
    }
}

impl Check<'_> {
    /// Follows aliases from `name`, across zones, to the records of `kind`.
    pub async fn follow(&self, name: &Name, kind: RecordType, width: Width) -> Path {
        let mut answers: Vec<Answer> = Vec::new();
        let mut chain: Vec<Name> = Vec::new();
        let end = loop {
            let at = chain.last().unwrap_or(name);
            let answer = self.question(at, kind, width).await;
            let outcome = answer.outcome.clone();
            answers.push(answer);
            let next = match outcome {
                Outcome::Differ => break End::Differ,
                Outcome::Split => break End::Split,
                Outcome::Unknown(failure) => break End::Unknown(failure),
                Outcome::Agreed(said) | Outcome::Sole(said) => match said {
                    Said::Records(records) => break End::Records(records),
                    Said::None { exists } => break End::None { exists },
                    Said::Alias(next) => next,
                },
            };
            let again = next == *name || chain.contains(&next);
            chain.push(next);
            if again {
                break End::Loop;
            }
            if chain.len() > MAX_ALIASES {
                break End::TooLong;
            }
            // Whether a certificate may be issued depends on records at our target too.
            if kind != RecordType::CAA && chain.last().is_some_and(|last| self.is_ours(last)) {
                break End::Ours;
            }
        };
        Path { answers, chain, end }
    }

    /// Whether a name is below our own target.
    fn is_ours(&self, name: &Name) -> bool {
        let text = zone::text(name);
        let label = text.strip_suffix(self.subject.names.target.as_str());
        label.is_some_and(|label| label.len() > 1 && label.ends_with('.'))
    }

    /// Whether the resolver, asked anew, bears out each step that rests on one server alone. `proves` looks at records.
    pub async fn confirms(&self, path: &Path, proves: impl Fn(&[RData]) -> bool) -> bool {
        for answer in &path.answers {
            let Outcome::Sole(said) = &answer.outcome else {
                continue;
            };
            let resolved = match self.resolver(&answer.name, answer.kind, true).await {
                Ok(message) => interpret(&message, &answer.name, answer.kind),
                Err(failure) => Err(failure),
            };
            let same = match (said, resolved) {
                (Said::Records(_), Ok(Said::Records(records))) => proves(&records),
                (said, Ok(resolved)) => said.agrees(&resolved),
                (_, Err(_)) => false,
            };
            if !same {
                return false;
            }
        }
        true
    }

    /// Asks one question, of the zone's own servers or of the resolver.
    pub async fn question(&self, name: &Name, kind: RecordType, width: Width) -> Answer {
        if self.dns.mode == DnsMode::Recursive {
            return self.recursive(name, kind).await;
        }
        let mut cut = match self.cut(name).await {
            Ok(cut) => cut,
            Err(failure) => return Answer::failed(name, kind, None, failure),
        };
        let mut alone = false;
        for _ in 0..MAX_REFERRALS {
            match self.servers(&cut, name, kind, width).await {
                Ok(mut answer) => {
                    if alone && width != Width::One {
                        answer.outcome = match answer.outcome {
                            Outcome::Agreed(said) => Outcome::Sole(said),
                            Outcome::Differ => Outcome::Split,
                            outcome => outcome,
                        };
                    }
                    return answer;
                }
                Err(referral) => {
                    cut = Arc::new(referral.child);
                    // What one server alone said, on whatever step, is not for others to build on.
                    alone |= referral.alone || width == Width::One;
                    if !alone {
                        self.session.remember(&cut);
                    }
                }
            }
        }
        Answer::failed(name, kind, Some(cut), Failure::Lame)
    }

    async fn recursive(&self, name: &Name, kind: RecordType) -> Answer {
        let said = match self.resolver(name, kind, true).await {
            Ok(message) => interpret(&message, name, kind),
            Err(Failure::Code(ResponseCode::ServFail)) if self.resolver(name, kind, false).await.is_ok() => {
                Err(Failure::Bogus)
            }
            Err(failure) => Err(failure),
        };
        Answer {
            name: name.clone(),
            kind,
            outcome: match said.clone() {
                Ok(said) => Outcome::Agreed(said),
                Err(failure) => Outcome::Unknown(failure),
            },
            replies: vec![Reply {
                server: RESOLVER.to_owned(),
                said,
            }],
            cut: None,
        }
    }

    /// Asks a zone's servers; an error is the zone below, to which they sent us on.
    async fn servers(
        &self,
        cut: &Arc<Cut>,
        name: &Name,
        kind: RecordType,
        width: Width,
    ) -> Result<Answer, Referral> {
        if self.session.is_silent(&cut.names) {
            return Ok(Answer::failed(name, kind, Some(Arc::clone(cut)), Failure::Silent));
        }
        let count = match width {
            Width::One => 1,
            Width::Two => 2,
            Width::Four => 4,
        };
        let mut chosen = cut.choose(count);
        if width == Width::One {
            chosen = self.talking(cut).await;
        }
        let asked = chosen.iter().map(|server| self.server(cut, server, name, kind));
        let mut heard = join_all(asked).await;
        // One of them alone may be silent where the others are not.
        let whole = width == Width::Four || chosen.len() == cut.servers.len();
        if let Some(spoke) = has_spoken(&heard).filter(|spoke| *spoke || whole) {
            self.note(&cut.names, spoke);
        }
        self.unhide(cut, &chosen, &mut heard).await;
        if let Some(child) = common_referral(&heard) {
            let answered = heard.iter().filter(|heard| heard.is_ok()).count();
            return Err(Referral {
                child,
                alone: answered == 1 && cut.servers.len() > 1,
            });
        }
        // A referral that others contradict leads nowhere: whoever runs one of the servers could take the name by it.
        let split = heard.iter().any(|heard| matches!(heard, Ok(Heard::Below(_))));
        let mut replies = Vec::new();
        for (server, heard) in chosen.iter().zip(heard) {
            let said = match heard {
                Ok(Heard::Said(said)) => Ok(said),
                Ok(Heard::Below(_)) => Err(Failure::Lame),
                Err(failure) => Err(failure),
            };
            replies.push(Reply {
                server: zone::text(&server.name),
                said,
            });
        }
        replies.sort_by(|a, b| a.server.cmp(&b.server));
        Ok(Answer {
            name: name.clone(),
            kind,
            outcome: match split {
                true => Outcome::Split,
                false => compare(&replies, cut.servers.len() == 1 || width == Width::One),
            },
            replies,
            cut: Some(Arc::clone(cut)),
        })
    }

    /// Where some send us on to a zone below, others may have that zone themselves.
    async fn unhide(&self, cut: &Cut, servers: &[&Server], heard: &mut [Result<Heard, Failure>]) {
        let below = heard.iter().find_map(|heard| match heard {
            Ok(Heard::Below(child)) => Some(child.zone.clone()),
            _ => None,
        });
        let Some(below) = below else { return };
        for (server, heard) in servers.iter().zip(heard) {
            if matches!(heard, Ok(Heard::Said(_)))
                && let Some(child) = self.hidden_cut(cut, server, &below).await
            {
                *heard = Ok(Heard::Below(child));
            }
        }
    }

    async fn server(
        &self,
        cut: &Cut,
        server: &Server,
        name: &Name,
        kind: RecordType,
    ) -> Result<Heard, Failure> {
        let message = self.ask(cut, server, name, kind).await?;
        if let Some(child) = zone::referral(&message, &cut.zone, name) {
            return Ok(Heard::Below(child));
        }
        if !message.metadata.authoritative {
            return Err(Failure::Lame);
        }
        if let Some(hidden) = zone::hidden_zone(&message, &cut.zone, name)
            && let Some(child) = self.hidden_cut(cut, server, &hidden).await
        {
            return Ok(Heard::Below(child));
        }
        interpret(&message, name, kind).map(Heard::Said)
    }
}

/// The zone below, to which a zone's servers sent us on.
struct Referral {
    child: Cut,
    /// One of several servers did, and the others said nothing.
    alone: bool,
}

enum Heard {
    Said(Said),
    Below(Cut),
}

/// Whether anybody said anything; `None` where nobody had the time to.
fn has_spoken(heard: &[Result<Heard, Failure>]) -> Option<bool> {
    use Failure::{NoAddress, Private, Silent, Spent};
    let is = |failure| heard.iter().any(|heard| heard.as_ref().err() == Some(&failure));
    let unheard = |heard: &Result<Heard, Failure>| matches!(heard, Err(Silent | Spent | NoAddress | Private));
    match heard.iter().all(unheard) {
        false => Some(true),
        true => (is(Silent) && !is(Spent)).then_some(false),
    }
}

/// The zone below to which every server that answered sends us on, all of them to the same servers.
fn common_referral(heard: &[Result<Heard, Failure>]) -> Option<Cut> {
    let mut answered = heard.iter().filter_map(|heard| heard.as_ref().ok());
    let Heard::Below(first) = answered.next()? else {
        return None;
    };
    let same = |heard: &Heard| match heard {
        Heard::Below(other) => other.zone == first.zone && other.names == first.names,
        Heard::Said(_) => false,
    };
    answered.all(same).then(|| first.clone())
}

/// What the replies come to. `alone` says that one is enough.
fn compare(replies: &[Reply], alone: bool) -> Outcome {
    let mut answered = replies.iter().filter_map(|reply| reply.said.as_ref().ok());
    let Some(first) = answered.next() else {
        return Outcome::Unknown(worst(replies));
    };
    let (mut count, mut said) = (1, first);
    for other in answered {
        if !first.agrees(other) {
            return Outcome::Differ;
        }
        count += 1;
        // A name that exists for one of them exists.
        if matches!(other, Said::None { exists: true }) {
            said = other;
        }
    }
    match count > 1 || alone {
        true => Outcome::Agreed(said.clone()),
        false => Outcome::Sole(said.clone()),
    }
}

/// Of several failures the one that tells most.
fn worst(replies: &[Reply]) -> Failure {
    let rank = |failure: &Failure| match failure {
        Failure::Bogus => 0,
        Failure::TooBig => 1,
        Failure::Truncated => 2,
        Failure::Lame => 3,
        Failure::Code(_) => 4,
        Failure::Malformed => 5,
        Failure::Silent => 6,
        Failure::Spent => 7,
        // These ask for something only where they are all that there is.
        Failure::NoAddress => 8,
        Failure::Private => 9,
    };
    let failures = replies.iter().filter_map(|reply| reply.said.as_ref().err());
    failures
        .min_by_key(|failure| rank(failure))
        .copied()
        .unwrap_or(Failure::Silent)
}

/// What an answer says about the name itself. Aliases in it are not followed: the next name may be another zone's.
fn interpret(message: &Message, name: &Name, kind: RecordType) -> Result<Said, Failure> {
    let mut records = Vec::new();
    let mut alias: Option<Name> = None;
    let mut dname = None;
    for record in message
        .answers
        .iter()
        .filter(|record| record.dns_class == DNSClass::IN)
    {
        match &record.data {
            RData::CNAME(target) if record.name == *name => {
                // Two of them are none (RFC 2181, section 10.1).
                if alias.as_ref().is_some_and(|other| *other != target.0) {
                    return Err(Failure::Malformed);
                }
                alias = Some(target.0.to_lowercase());
            }
            RData::Unknown {
                code: RecordType::DNAME,
                rdata,
            } if record.name.zone_of(name) => {
                dname = rewrite(name, &record.name, &rdata.anything).or(dname);
            }
            data if record.name == *name && data.record_type() == kind => records.push(data.clone()),
            _ => {}
        }
    }
    if !records.is_empty() {
        records.sort_by_cached_key(ToString::to_string);
        records.dedup();
        return Ok(Said::Records(records));
    }
    Ok(match alias.or(dname) {
        Some(next) => Said::Alias(next),
        None => Said::None {
            exists: message.metadata.response_code == ResponseCode::NoError,
        },
    })
}

/// The name with `owner` at its end replaced by the target of a `DNAME` record (RFC 6672, section 2.2).
fn rewrite(name: &Name, owner: &Name, target: &[u8]) -> Option<Name> {
    let labels = name.iter().len().checked_sub(owner.iter().len())?;
    if labels == 0 {
        return None;
    }
    let target = Name::read(&mut BinDecoder::new(target)).ok()?;
    let rewritten = Name::from_labels(name.iter().take(labels).chain(target.iter())).ok()?;
    Some(rewritten.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn a_dname_replaces_the_end_of_names_below_it() {
        let target = [&[3][..], b"new", &[4], b"test", &[0]].concat();
        let rewritten = |from: &str| rewrite(&name(from), &name("old.test."), &target);
        assert_eq!(rewritten("a.b.OLD.test."), Some(name("a.b.new.test.")));
        assert_eq!(rewritten("old.test."), None);
        assert_eq!(rewrite(&name("a.old.test."), &name("old.test."), &[9, 1]), None);
    }

    #[test]
    fn replies_are_compared() {
        let reply = |said| Reply {
            server: "ns".to_owned(),
            said,
        };
        let none = |exists| reply(Ok(Said::None { exists }));
        let alias = |to: &str| reply(Ok(Said::Alias(name(to))));
        let lost = || reply(Err(Failure::Silent));
        let agreed = |replies: &[Reply]| matches!(compare(replies, false), Outcome::Agreed(_));
        assert!(agreed(&[alias("a.test."), alias("A.test.")]));
        assert!(agreed(&[alias("a.test."), alias("a.test."), lost()]));
        assert!(matches!(
            compare(&[none(false), none(true)], false),
            Outcome::Agreed(Said::None { exists: true })
        ));
        assert!(matches!(compare(&[none(true), lost()], false), Outcome::Sole(_)));
        assert!(matches!(compare(&[none(true)], true), Outcome::Agreed(_)));
        assert!(matches!(
            compare(&[none(true), alias("a.test.")], true),
            Outcome::Differ
        ));
        let failures = [
            lost(),
            reply(Err(Failure::Private)),
            reply(Err(Failure::Code(ResponseCode::Refused))),
        ];
        assert!(matches!(
            compare(&failures, true),
            Outcome::Unknown(Failure::Code(ResponseCode::Refused))
        ));
    }
}
