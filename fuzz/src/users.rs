//! Files of users. Any text is refused with its line, or gives users that keep the promises of such a file; and one that is written
//! here gives exactly the users that it was written for, however it is laid out.

use std::collections::HashSet;

use corecast::Filter;
use corecast::internals::auth::{Rights, User, Users};
use corecast::internals::limits::USER_NAME_BYTES_MAX;

/// Filters, as a file of users has them between quotes; a prefix is a table.
const FILTERS: [&str; 8] = ["a", "a.b", "*", "a.*", ">", "*.b.>", "a.*.c", "everything"];
const PREFIXES: [&str; 4] = ["", "a", "a.", "*"];

/// Rights as a file of users names them.
const RIGHTS: [&str; 5] = ["publish", "subscribe", "register", "watch", "list"];

/// Runs one input: the rest is a text, or, if the first byte is odd, the decisions about one that is written and then damaged.
pub fn users(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    if first % 2 == 0 {
        read(&String::from_utf8_lossy(rest));
    } else {
        written(&mut Decisions(rest));
    }
}

/// Reads any text.
fn read(text: &str) {
    match Users::parse(text) {
        Ok(users) => check(text, &users),
        Err(fault) => {
            let lines = text.matches('\n').count() + 1;
            assert!((1..=lines).contains(&fault.line()), "line {} of {lines}", fault.line());
            assert!(!fault.to_string().is_empty());
        }
    }
}

/// Checks the promises of whatever is accepted.
fn check(text: &str, users: &Users) {
    let names: Vec<&str> = users.iter().map(User::name).collect();
    assert!(!names.is_empty() && names.is_sorted_by(|a, b| a < b), "{names:?}");
    let mut shown = HashSet::new();
    for user in users.iter() {
        let name = user.name();
        assert!((1..=USER_NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_whitespace));
        assert!(
            user.credentials().iter().all(|credential| shown.insert(credential)),
            "{name} shows another's"
        );
        assert!(name != "anonymous" || user.credentials().is_empty());
        // All topics are a filter, and never the lack of one.
        assert!(user.rights().to_string().lines().all(|line| !line.ends_with(" everything")));
        assert_eq!(users.get(name).map(User::name), Some(name));
    }
    assert!(text.ends_with('\n'), "it may be half-written");
    assert_eq!(&Users::parse(&format!("{text}# the end\n")).expect("a comment changes nothing"), users);
}

/// Writes a file of a few users and reads it, whole and damaged.
fn written(decisions: &mut Decisions<'_>) {
    let (mut text, mut declared) = (String::new(), Vec::new());
    for user in 0..1 + decisions.next() % 4 {
        let name = if user == 3 { "anonymous".to_owned() } else { format!("u{user}") };
        let mut keys = vec![format!("name = '{name}'")];
        let has_token = user < 3 && decisions.next().is_multiple_of(2);
        if has_token {
            keys.push(format!("tokens = [\n 'sha256:{user:064}', # it\n]"));
        }
        let mut drawn = [const { Vec::new() }; RIGHTS.len()];
        for (right, filters) in RIGHTS.iter().zip(&mut drawn) {
            let written: Vec<String> = (0..decisions.next() % 4).map(|_| decisions.filter(filters)).collect();
            // No filters are no key, or an empty list.
            if !written.is_empty() || decisions.next().is_multiple_of(2) {
                keys.push(format!("{right} = [{}]", written.join(", ")));
            }
        }
        let from = decisions.next() % keys.len();
        keys.rotate_left(from);
        text += &format!("[[user]]\n{}\n", keys.join("\n"));
        let [publish, subscribe, register, watch, list] = drawn;
        let rights = Rights::none().publish(publish).subscribe(subscribe).register(register);
        declared.push((name, has_token, rights.watch(watch).list(list)));
    }
    let users = Users::parse(&text).unwrap_or_else(|fault| unreachable!("{fault}: {text}"));
    check(&text, &users);
    assert_eq!(users.iter().count(), declared.len());
    for (name, has_token, rights) in declared {
        let user = users.get(&name).expect("it was declared");
        assert_eq!((user.credentials().len(), user.rights()), (usize::from(has_token), &rights), "{text}");
    }
    let cut = (decisions.next() << 8 | decisions.next()) % text.len();
    read(&text[..cut]);
    // The texts are ASCII, and stay it.
    let with = char::from(u8::try_from(decisions.next() % 128).expect("it is less"));
    text.replace_range(cut..=cut, with.encode_utf8(&mut [0; 4]));
    read(&text);
}

/// The bytes of an input, each of which decides something; then zeros.
struct Decisions<'a>(&'a [u8]);

impl Decisions<'_> {
    fn next(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first)
    }

    /// A filter for a list, and as a file has it.
    fn filter(&mut self, list: &mut Vec<Filter>) -> String {
        let number = self.next() % (FILTERS.len() + PREFIXES.len());
        let (filter, text) = match FILTERS.get(number) {
            Some(text) => (Filter::parse(text), format!("\"{text}\"")),
            None => {
                let prefix = PREFIXES[number - FILTERS.len()];
                (Filter::prefix(prefix.as_bytes()), format!("{{ prefix = '{prefix}' }}"))
            }
        };
        list.push(filter.expect("it is one"));
        text
    }
}
