//! A million questions about random users, each answered beside an oracle that knows no tries and no trees: it has a table of all
//! topics of a small alphabet, and matches them level by level.

use super::{Action, Identity, LoginRefusal, Permissions, Proof, Secret, TokenHash, Users, Verdict};
use crate::topic::Filter;

const SEED: u64 = 16;

/// Files of users, and questions to each.
const FILES: usize = 20_000;
const QUESTIONS: usize = 50;

/// Bytes of the topics. No filter has a `c`, so that filters are told apart from all others together.
const ALPHABET: &[u8] = b"abc.";

/// Longest topic: a level more than the longest filter that does not end in a name.
const TOPIC_BYTES_MAX: usize = 7;

/// Rights as a file of users names them.
const RIGHTS: [&str; 5] = ["publish", "subscribe", "register", "watch", "list"];

/// By kind of action: the rights, by their place in [`RIGHTS`], each of which permits it.
const PERMITTED_BY: [&[usize]; 5] = [&[0], &[1], &[2], &[0, 2, 3], &[1, 4]];

/// Users with tokens; the one behind them is `anonymous`.
const USERS: usize = 3;

/// A filter, and the topics that it matches.
struct Known {
    filter: Filter,
    /// As a file of users has it.
    text: String,
    /// By their place in the oracle.
    matched: Vec<usize>,
    /// The same, a bit for each topic.
    bits: Vec<u64>,
}

/// All topics and filters.
struct Oracle {
    topics: Vec<Vec<u8>>,
    filters: Vec<Known>,
}

/// By right: its filters, by their place in the oracle.
type Drawn = [Vec<usize>; RIGHTS.len()];

/// By user: its rights, if it is there.
struct Team([Option<Drawn>; USERS + 1]);

impl Oracle {
    fn new() -> Oracle {
        let mut topics = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..TOPIC_BYTES_MAX {
            let longest = from..topics.len();
            from = longest.end;
            for at in longest {
                topics.extend(
                    ALPHABET.iter().map(|byte| [&topics[at][..], &[*byte]].concat()).collect::<Vec<_>>(),
                );
            }
        }
        let mut oracle = Oracle { topics, filters: Vec::new() };
        for last in ["a", "b", "ab", "*", ">"] {
            oracle.add_pattern(last);
            for middle in ["a", "b", "ab", "*"] {
                oracle.add_pattern(&format!("{middle}.{last}"));
                for first in ["a", "b", "ab", "*"] {
                    oracle.add_pattern(&format!("{first}.{middle}.{last}"));
                }
            }
        }
        let short = oracle.topics.clone().into_iter().take_while(|topic| topic.len() < 4);
        for prefix in short.filter(|topic| !topic.contains(&b'c')) {
            oracle.add_prefix(&prefix);
        }
        for prefix in [&b"ab.a"[..], b"a.b.", b"ab.ab", b"ab.ab."] {
            oracle.add_prefix(prefix);
        }
        oracle
    }

    fn add_pattern(&mut self, text: &str) {
        if text.len() <= TOPIC_BYTES_MAX {
            let filter = Filter::parse(text).expect("a filter");
            let levels: Vec<&[u8]> = levels_of(text.as_bytes());
            self.add(filter, format!("'{text}'"), |topic| matches(&levels, &levels_of(topic)));
        }
    }

    fn add_prefix(&mut self, prefix: &[u8]) {
        let text = format!("{{ prefix = '{}' }}", String::from_utf8_lossy(prefix));
        let filter = Filter::prefix(prefix).expect("a short prefix");
        self.add(filter, text, |topic| topic.starts_with(prefix));
    }

    fn add(&mut self, filter: Filter, text: String, matches: impl Fn(&[u8]) -> bool) {
        let matched: Vec<usize> = (0..self.topics.len()).filter(|at| matches(&self.topics[*at])).collect();
        let mut bits = vec![0; self.topics.len().div_ceil(64)];
        matched.iter().for_each(|at| bits[at / 64] |= 1 << (at % 64));
        self.filters.push(Known { filter, text, matched, bits });
    }

    /// True if a filter matches a topic.
    fn has(&self, filter: usize, topic: usize) -> bool {
        self.filters[filter].bits[topic / 64] >> (topic % 64) & 1 == 1
    }

    /// True if one filter matches whatever the other matches.
    fn covers(&self, own: usize, asked: usize) -> bool {
        let (own, asked) = (&self.filters[own].bits, &self.filters[asked].bits);
        own.iter().zip(asked).all(|(own, asked)| asked & !own == 0)
    }

    /// True if some filters together match whatever the other matches.
    fn cover_together(&self, own: &[usize], asked: usize) -> bool {
        let together = |at: usize| own.iter().fold(0, |all, filter| all | self.filters[*filter].bits[at]);
        self.filters[asked].bits.iter().enumerate().all(|(at, asked)| asked & !together(at) == 0)
    }
}

fn levels_of(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split(|byte| *byte == b'.').collect()
}

fn matches(pattern: &[&[u8]], topic: &[&[u8]]) -> bool {
    match (pattern, topic) {
        ([b">"], [_, ..]) | ([], []) => true,
        ([own, pattern @ ..], [level, topic @ ..]) => {
            (*own == b"*" || own == level) && matches(pattern, topic)
        }
        _ => false,
    }
}

/// The token of a user.
fn token(user: usize) -> Secret {
    Secret::new(format!("token {user}").as_bytes())
}

impl Team {
    fn draw(oracle: &Oracle, rng: &mut fastrand::Rng) -> Team {
        let mut rights = || {
            let filters = |_| (0..rng.usize(..6)).map(|_| rng.usize(..oracle.filters.len())).collect();
            let drawn: Drawn = std::array::from_fn(filters);
            (rng.u8(..4) > 0).then_some(drawn)
        };
        let mut team = Team(std::array::from_fn(|_| rights()));
        // A file declares at least one user.
        while team.0.iter().all(Option::is_none) {
            team.0[0] = rights();
        }
        team
    }

    /// As a file of users.
    fn text(&self, oracle: &Oracle) -> String {
        let mut text = String::new();
        for (user, rights) in self.0.iter().enumerate().filter_map(|(user, r)| Some((user, r.as_ref()?))) {
            text += &match user {
                USERS => "[[user]]\nname = 'anonymous'\n".to_owned(),
                user => format!("[[user]]\nname = 'u{user}'\ntokens = ['{}']\n", TokenHash::of(&token(user))),
            };
            for (right, filters) in RIGHTS.iter().zip(rights) {
                let filters: Vec<&str> = filters.iter().map(|at| oracle.filters[*at].text.as_str()).collect();
                text += &format!("{right} = [{}]\n", filters.join(", "));
            }
        }
        text
    }

    /// The identities of all that are let in, each with the number of its user. Whoever should not be is not.
    fn let_in(&self, permissions: &Permissions) -> Vec<(usize, Identity)> {
        let mut let_in = Vec::new();
        for (user, rights) in self.0.iter().enumerate() {
            let (proof, refusal) = match user {
                USERS => (Proof::None, LoginRefusal::Nothing),
                user => (Proof::Token(token(user)), LoginRefusal::Token),
            };
            match permissions.identify(&proof, None) {
                Ok(identity) if rights.is_some() => let_in.push((user, identity)),
                done => assert_eq!((done, rights.is_some()), (Err(refusal), false)),
            }
        }
        let_in
    }

    /// The filters of a user that permit an action of a kind.
    fn filters(&self, user: usize, kind: usize) -> Vec<usize> {
        let rights =
            self.0[user].iter().flat_map(|rights| PERMITTED_BY[kind].iter().map(|right| &rights[*right]));
        rights.flatten().copied().collect()
    }
}

#[test]
fn a_million_questions_are_answered_as_the_oracle_answers_them() {
    let oracle = Oracle::new();
    let mut rng = fastrand::Rng::with_seed(SEED);
    let (mut asked, mut allowed, mut only_together) = (0, 0, 0);
    let mut before = Vec::new();
    for file in 0..=FILES {
        let team = Team::draw(&oracle, &mut rng);
        let text = team.text(&oracle);
        let permissions = Permissions::of_users(Users::parse(&text).expect("a file of users"));
        let now = team.let_in(&permissions);
        for _ in 0..QUESTIONS {
            // Sessions that were let in by the file before are there for a while.
            let some = if rng.bool() { &before } else { &now };
            let Some((user, identity)) = rng.choice(some) else { continue };
            let (kind, wanted) = (rng.usize(..PERMITTED_BY.len()), rng.usize(..oracle.filters.len()));
            let Known { filter, matched, .. } = &oracle.filters[wanted];
            let topic = rng.choice(matched).copied().expect("each filter matches some topic");
            let (action, is_about_topic) = match kind {
                0 => (Action::Publish(&oracle.topics[topic]), true),
                1 => (Action::Subscribe(filter), false),
                2 => (Action::Register(filter), false),
                3 => (Action::WatchSubscribers(&oracle.topics[topic]), true),
                _ => (Action::WatchPublishers(filter), false),
            };
            let own = team.filters(*user, kind);
            let may = match is_about_topic {
                true => own.iter().any(|own| oracle.has(*own, topic)),
                false => own.iter().any(|own| oracle.covers(*own, wanted)),
            };
            let verdict = permissions.permit(identity, action);
            let place = format_args!("seed {SEED}, file {file}, user {user}: {action}\n{text}");
            assert_eq!(verdict, Verdict::from(may), "{place}");
            asked += 1;
            allowed += usize::from(may);
            only_together += usize::from(!may && !is_about_topic && oracle.cover_together(&own, wanted));
        }
        before = now;
    }
    println!(
        "seed {SEED}: of {asked} questions {allowed} allowed, and {only_together} refused although filters cover them together"
    );
    assert!(asked >= FILES * QUESTIONS);
    assert!(allowed > asked / 10 && allowed < asked / 10 * 9, "{allowed} of {asked}");
    assert!(only_together > 0 && only_together < asked / 100, "{only_together} of {asked}");
}
