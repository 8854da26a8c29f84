//! The text of a file of users: TOML with a table `[[user]]` for each. All of it is checked before anything of it counts.

use std::collections::HashMap;
use std::sync::Arc;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::quota::{Account, Quotas};
use super::super::{CurveKey, Rights, TokenHash};
use super::{ANONYMOUS, Credential, User, Users, UsersFault, passwords};
use crate::limits::USER_NAME_BYTES_MAX;
use crate::topic::Filter;

/// The keys of a user.
const KEYS: [&str; 15] = [
    "name",
    "tokens",
    "password",
    "certificates",
    "curve_keys",
    "uids",
    "publish",
    "subscribe",
    "register",
    "watch",
    "list",
    "sessions",
    "subscriptions",
    "bytes_waiting",
    "publish_rate",
];

/// A value, and its place.
type Value<'i> = Spanned<DeValue<'i>>;

impl Users {
    /// Reads the text of a file of users.
    ///
    /// # Errors
    /// The first fault. A text without users, or one that ends within a line, is at fault: it may be half-written.
    pub fn parse(text: &str) -> Result<Users, UsersFault> {
        let source = Source(text);
        if text.trim().is_empty() {
            return Err(UsersFault::new(1, "the file is empty: it declares each user with a table [[user]]"));
        }
        if !text.ends_with('\n') {
            return Err(UsersFault::new(
                source.line(text.len()),
                "the last line has no end: is the file half-written?",
            ));
        }
        let root = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            UsersFault::new(source.line(at), error.message())
        })?;
        let mut users = Vec::new();
        for (key, value) in root.get_ref().iter() {
            let fault = |what: &str| UsersFault::new(source.line_of(value), what);
            if key.get_ref() != "user" {
                return Err(UsersFault::new(
                    source.line(key.span().start),
                    "there is only the table [[user]] here",
                ));
            }
            let DeValue::Array(tables) = value.get_ref() else {
                return Err(fault("a user is declared by [[user]], with two brackets"));
            };
            for table in tables.iter() {
                let DeValue::Table(keys) = table.get_ref() else {
                    return Err(fault("a user is declared by [[user]]"));
                };
                users.push(source.user(table, keys)?);
            }
        }
        if users.is_empty() {
            return Err(UsersFault::new(1, "the file declares no user"));
        }
        refuse_doubles(&users)?;
        Ok(Users::of(users.into_iter().map(|(_, user)| user).collect()))
    }
}

/// Refuses two users of one name, and two that show the same.
fn refuse_doubles(users: &[(usize, User)]) -> Result<(), UsersFault> {
    let (mut names, mut owners) = (HashMap::new(), HashMap::new());
    for (line, user) in users {
        if let Some(other) = names.insert(user.name(), line) {
            let what = format!("there is a user of this name in line {other}");
            return Err(UsersFault::new(*line, what).of_user(user.name()));
        }
        for credential in &user.credentials {
            if let Some(other) = owners.insert(credential, user.name()) {
                let (key, what) = match credential {
                    Credential::Token(_) => ("tokens", "token"),
                    Credential::Certificate(_) => ("certificates", "certificate name"),
                    Credential::CurveKey(_) => ("curve_keys", "key"),
                    Credential::Uid(_) => ("uids", "uid"),
                    Credential::Password { .. } => ("password", "password"),
                };
                let what = match other == user.name() {
                    true => format!("a {what} stands there twice"),
                    false => format!("a {what} is that of the user `{other}`, too"),
                };
                return Err(UsersFault::new(*line, what).of_key(key).of_user(user.name()));
            }
        }
    }
    Ok(())
}

/// The text, which tells the line of a place.
struct Source<'i>(&'i str);

impl<'i> Source<'i> {
    fn line(&self, at: usize) -> usize {
        1 + self.0.as_bytes()[..at.min(self.0.len())].iter().filter(|byte| **byte == b'\n').count()
    }

    fn line_of(&self, value: &Value<'i>) -> usize {
        self.line(value.span().start)
    }

    fn fault(&self, value: &Value<'i>, what: impl Into<String>) -> UsersFault {
        UsersFault::new(self.line_of(value), what)
    }

    /// One user, and the line in which it begins.
    fn user(&self, table: &Value<'i>, keys: &DeTable<'i>) -> Result<(usize, User), UsersFault> {
        let line = self.line_of(table);
        let Some(name) = keys.get("name") else { return Err(UsersFault::new(line, "a user has no `name`")) };
        let name = self.name(name).map_err(|fault| fault.of_key("name"))?;
        let of_user = |fault: UsersFault| fault.of_user(&name);
        for key in keys.keys() {
            if !KEYS.contains(&key.get_ref().as_ref()) {
                let what = format!("a user has no such key; there are {}", KEYS.join(", "));
                return Err(of_user(UsersFault::new(self.line(key.span().start), what)));
            }
        }
        let credentials = self.credentials(&name, keys).map_err(of_user)?;
        if name.as_ref() == ANONYMOUS && !credentials.is_empty() {
            let what = "this is the user of all that show nothing, so it has no token, password, certificate, key or uid";
            return Err(of_user(UsersFault::new(line, what)));
        }
        let rights = self.rights(keys).map_err(of_user)?;
        let quotas = self.quotas(keys).map_err(of_user)?;
        Ok((line, User { name, credentials, rights, quotas, account: Account::default() }))
    }

    fn name(&self, value: &Value<'i>) -> Result<Arc<str>, UsersFault> {
        let name = self.text(value)?;
        let is_plain = |char: char| char.is_alphanumeric() || "-_.@+".contains(char);
        if name.is_empty() || name.len() > USER_NAME_BYTES_MAX || !name.chars().all(is_plain) {
            let what = format!("a name is 1 to {USER_NAME_BYTES_MAX} bytes of letters, digits and -_.@+");
            return Err(self.fault(value, what));
        }
        Ok(name.into())
    }

    fn credentials(&self, name: &Arc<str>, keys: &DeTable<'i>) -> Result<Vec<Credential>, UsersFault> {
        let mut all = Vec::new();
        all.extend(self.list(keys, "tokens", |value| {
            let what = "this is no hash of a token: `sha256:` and 64 hexadecimal digits, as `corecast user add` writes it";
            TokenHash::parse(self.text(value)?).map(Credential::Token).ok_or_else(|| self.fault(value, what))
        })?);
        all.extend(self.list(keys, "certificates", |value| match self.text(value)? {
            "" => Err(self.fault(value, "a name in a certificate is not empty")),
            name => Ok(Credential::Certificate(name.to_owned())),
        })?);
        all.extend(self.list(keys, "curve_keys", |value| {
            let what = "this is no public key of CURVE: 40 characters in Z85";
            CurveKey::parse(self.text(value)?)
                .map(Credential::CurveKey)
                .ok_or_else(|| self.fault(value, what))
        })?);
        all.extend(self.list(keys, "uids", |value| {
            match value.get_ref() {
                DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix())
                    .map(Credential::Uid)
                    .map_err(|_| self.fault(value, "a uid is a number from 0 to 4294967295")),
                _ => Err(self.fault(value, "a uid is a number, without quotes")),
            }
        })?);
        if let Some(value) = keys.get("password") {
            let of_key = |fault: UsersFault| fault.of_key("password");
            let hash = self.text(value).map_err(of_key)?;
            passwords::check(hash).map_err(|what| of_key(self.fault(value, what)))?;
            all.push(Credential::Password { name: Arc::clone(name), hash: hash.to_owned() });
        }
        Ok(all)
    }

    fn rights(&self, keys: &DeTable<'i>) -> Result<Rights, UsersFault> {
        let filters = |key| self.list(keys, key, |value| self.filter(value));
        Ok(Rights::none()
            .publish(filters("publish")?)
            .subscribe(filters("subscribe")?)
            .register(filters("register")?)
            .watch(filters("watch")?)
            .list(filters("list")?))
    }

    fn quotas(&self, keys: &DeTable<'i>) -> Result<Quotas, UsersFault> {
        let most = |key| match keys.get(key) {
            None => Ok(None),
            Some(value) => self.most(value).map(Some).map_err(|fault| fault.of_key(key)),
        };
        Ok(Quotas {
            sessions: most("sessions")?,
            subscriptions: most("subscriptions")?,
            bytes_waiting: most("bytes_waiting")?,
            publish_rate: most("publish_rate")?,
        })
    }

    /// The value of a quota: a number above 0.
    fn most(&self, value: &Value<'i>) -> Result<u64, UsersFault> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        number
            .filter(|most| *most > 0)
            .ok_or_else(|| self.fault(value, "a quota is a number above 0, without quotes"))
    }

    /// A filter as people write it, or a table with a prefix.
    fn filter(&self, value: &Value<'i>) -> Result<Filter, UsersFault> {
        let filter = match value.get_ref() {
            DeValue::Table(table) if table.len() == 1 => match table.get("prefix") {
                Some(prefix) => Filter::prefix(self.text(prefix)?.as_bytes()),
                None => return Err(self.fault(value, "the only such table is { prefix = \"...\" }")),
            },
            _ => Filter::parse(self.text(value)?),
        };
        filter.map_err(|error| self.fault(value, error.to_string()))
    }

    fn text<'a>(&self, value: &'a Value<'i>) -> Result<&'a str, UsersFault> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => Err(self.fault(value, "a text in quotes belongs here")),
        }
    }

    /// The values of a list, none if the key is not there.
    fn list<T>(
        &self,
        keys: &DeTable<'i>,
        key: &'static str,
        read: impl Fn(&Value<'i>) -> Result<T, UsersFault>,
    ) -> Result<Vec<T>, UsersFault> {
        let Some(value) = keys.get(key) else { return Ok(Vec::new()) };
        let values = match value.get_ref() {
            DeValue::Array(values) => values.iter().map(read).collect(),
            _ => Err(self.fault(value, "a list in square brackets belongs here")),
        };
        values.map_err(|fault: UsersFault| fault.of_key(key))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Action, Permissions, Proof, Secret, Verdict};
    use super::*;

    const HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const OTHER: &str = "sha256:cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34";

    fn fault(text: &str) -> (usize, String) {
        let fault = Users::parse(text).expect_err(text);
        (fault.line(), fault.to_string())
    }

    #[test]
    fn a_user_has_what_it_shows_and_what_it_may() {
        let text = format!(
            "[[user]]\nname = 'feeds'\ntokens = ['{HASH}']\nuids = [1000]\ncertificates = ['a.example']\n\
             publish = ['prices.>', {{ prefix = 'raw.' }}]\n\n[[user]]\nname = 'anonymous'\nsubscribe = ['news.*']\n"
        );
        let users = Users::parse(&text).expect("good");
        let names: Vec<&str> = users.iter().map(User::name).collect();
        assert_eq!(names, ["anonymous", "feeds"]);
        assert_eq!(users.get("feeds").expect("there").credentials().len(), 3);
        let permissions = Permissions::of_users(users);
        for proof in [
            Proof::Token(Secret::new(b"abc")),
            Proof::Uid(1000),
            Proof::Certificate(vec!["b.example".into(), "a.example".into()]),
        ] {
            let identity = permissions.identify(&proof, None).expect("known");
            assert_eq!(identity.user(), Some("feeds"));
            let may =
                |topic: &[u8]| permissions.permit(&identity, Action::Publish(topic)) == Verdict::Allowed;
            assert!(may(b"prices.eur") && may(b"raw.x") && !may(b"news.today"));
        }
    }

    #[test]
    fn a_text_that_may_be_half_written_is_refused() {
        let good = format!("[[user]]\nname = 'a'\ntokens = ['{HASH}']\npublish = ['a', 'b']\n");
        Users::parse(&good).expect("good");
        for (text, line) in
            [("", 1), (" \n\n", 1), ("# nobody\n", 1), ("user = []\n", 1), ("[[user]]\nname = 'a'", 2)]
        {
            assert_eq!(fault(text).0, line, "{text}");
        }
        // Wherever it is cut: never more than it says, and mostly refused.
        for cut in 0..good.len() {
            if let Ok(users) = Users::parse(&good[..cut]) {
                let user = users.get("a").expect("the only one");
                assert!(good[..cut].ends_with('\n'));
                assert!(user.rights() == &Rights::none(), "{}", &good[..cut]);
            }
        }
    }

    #[test]
    fn a_fault_has_its_line_its_user_and_its_key() {
        let user = |rest: &str| fault(&format!("[[user]]\nname = 'a'\n{rest}\n"));
        for (rest, line, part) in [
            ("subscribe = ['a..b']", 3, "user `a`: `subscribe`: not a filter: "),
            ("subscribe = [\n 'a',\n 'b*']", 5, "`subscribe`: not a filter: the '*'"),
            ("publish = 'a'", 3, "`publish`: a list in square brackets"),
            ("publish = [1]", 3, "`publish`: a text in quotes"),
            ("publish = [{ suffix = 'a' }]", 3, "{ prefix = "),
            ("tokens = ['sesame']", 3, "`tokens`: this is no hash"),
            ("curve_keys = ['x']", 3, "40 characters"),
            ("uids = ['root']", 3, "without quotes"),
            ("uids = [-1]", 3, "from 0 to"),
            ("password = 'sesame'", 3, "`password`: it is no hash"),
            ("certificates = ['']", 3, "not empty"),
            ("sessions = 0", 3, "`sessions`: a quota is a number above 0"),
            ("publish_rate = '20'", 3, "`publish_rate`: a quota is a number above 0"),
            ("publsh = ['a']", 3, "no such key; there are name, tokens"),
            ("name = 'b'", 3, "duplicate key"),
            ("[[user]]", 3, "has no `name`"),
            ("[[user]]\nname = 'a'", 3, "of this name in line 1"),
            ("[users]", 3, "only the table [[user]]"),
            ("publish = ['a'", 3, "unclosed array"),
        ] {
            let (at, text) = user(rest);
            assert_eq!(at, line, "{rest}: {text}");
            assert!(text.contains(part), "{rest}: {text}");
            assert!(!text.contains("sesame"), "a secret in the wrong place is not shown: {text}");
        }
        for name in ["", "a b", "a\\nb", &"a".repeat(USER_NAME_BYTES_MAX + 1)] {
            assert!(
                fault(&format!("[[user]]\nname = \"{name}\"\n")).1.starts_with("`name`: a name is"),
                "{name}"
            );
        }
        assert!(fault("[user]\nname = 'a'\n").1.contains("two brackets"));
    }

    #[test]
    fn nobody_shows_what_another_shows() {
        let two = |a: &str, b: &str| format!("[[user]]\nname = 'a'\n{a}\n[[user]]\nname = 'b'\n{b}\n");
        let (token, other) = (format!("tokens = ['{HASH}']"), format!("tokens = ['{OTHER}']"));
        Users::parse(&two(&token, &other)).expect("each its own");
        for (a, b, part) in [
            (token.as_str(), token.as_str(), "`tokens`: a token is that of the user `a`, too"),
            ("uids = [1]", "uids = [2, 1]", "`uids`: a uid is that of the user `a`, too"),
            ("", "uids = [1, 1]", "a uid stands there twice"),
            ("certificates = ['x']", "certificates = ['x']", "a certificate name is that"),
        ] {
            assert!(fault(&two(a, b)).1.contains(part), "{a} {b}");
        }
        let anonymous = format!("[[user]]\nname = 'anonymous'\n{token}\n");
        assert!(fault(&anonymous).1.contains("the user of all that show nothing"));
    }
}
