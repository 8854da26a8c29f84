//! The users of a broker, as a file declares them: looked up by what they show. A value that never changes; another file makes
//! another one.
//!
//! | file | owns |
//! |---|---|
//! | `account` | a user, what it can show, and its rights |
//! | `parse` | the text of a file of users |
//! | `fault` | a fault of such a text, and its place |
//! | `file` | the reading of such a file, and the check that not everybody may |
//! | `passwords` | hashes of passwords |

mod account;
mod fault;
#[cfg(feature = "broker")]
mod file;
#[cfg(feature = "broker")]
mod parse;
#[cfg(feature = "broker")]
mod passwords;

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::AHashMap;

pub use account::{Credential, Login, User};
pub use fault::UsersFault;
#[cfg(feature = "broker")]
pub(crate) use passwords::hash_password;

use super::{LoginRefusal, Proof, Rights, TokenHash};

/// The user whose rights peers have that show nothing.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// All users of a broker.
#[derive(Debug)]
pub struct Users {
    /// By name.
    users: Vec<Arc<User>>,
    logins: AHashMap<Credential, Arc<Login>>,
    anonymous: Option<Arc<User>>,
    /// The rights of those who are no user.
    nothing: Rights,
    /// Tells this set from others of this process.
    number: u64,
}

impl Users {
    /// The set of these users, of which no two have a name or credential in common.
    fn of(mut users: Vec<User>) -> Self {
        static SETS: AtomicU64 = AtomicU64::new(0);
        let number = SETS.fetch_add(1, Ordering::Relaxed);
        users.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let users: Vec<Arc<User>> = users.into_iter().map(Arc::new).collect();
        let mut logins = AHashMap::new();
        for user in &users {
            for credential in &user.credentials {
                let credential = credential.clone();
                let login = Login { user: Arc::clone(user), credential: credential.clone(), users: number };
                logins.insert(credential, Arc::new(login));
            }
        }
        let anonymous = users.iter().find(|user| user.name() == ANONYMOUS).cloned();
        Users { users, logins, anonymous, nothing: Rights::none(), number }
    }

    /// The users, by name.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.users.iter().map(|user| &**user)
    }

    /// The user of this name.
    pub fn get(&self, name: &str) -> Option<&User> {
        self.index_of(name).map(|at| &*self.users[at])
    }

    /// The rights of peers that show nothing, if they are let in.
    pub(super) fn anonymous(&self) -> Option<&Rights> {
        self.anonymous.as_ref().map(|user| &user.rights)
    }

    /// The rights of a user who has logged in, perhaps when the users were others.
    pub(super) fn rights_of<'a>(&'a self, login: &'a Login) -> &'a Rights {
        if login.users == self.number {
            return &login.user.rights;
        }
        self.logins.get(&login.credential).map_or(&self.nothing, |now| &now.user.rights)
    }

    /// True if a user who was there before is gone, or is another in any way.
    pub(super) fn take_from(&self, before: &Users) -> bool {
        before.users.iter().any(|user| self.get(user.name()) != Some(user))
    }

    /// The user that a proof shows.
    pub(super) fn login(&self, proof: &Proof) -> Result<Arc<Login>, LoginRefusal> {
        self.find(proof).cloned().ok_or_else(|| LoginRefusal::of(proof))
    }

    #[cfg(feature = "broker")]
    fn find(&self, proof: &Proof) -> Option<&Arc<Login>> {
        let get = |credential: Credential| self.logins.get(&credential);
        match proof {
            Proof::None => None,
            Proof::Token(token) => get(Credential::Token(TokenHash::of(token))),
            Proof::Certificate(names) => {
                names.iter().find_map(|name| get(Credential::Certificate(name.clone())))
            }
            Proof::CurveKey(key) => get(Credential::CurveKey(*key)),
            Proof::Password { name, password } => self.by_password(name, password),
            Proof::Uid(uid) => get(Credential::Uid(*uid)),
        }
    }

    /// A program without a broker has no users.
    #[cfg(not(feature = "broker"))]
    fn find(&self, _: &Proof) -> Option<&Arc<Login>> {
        None
    }

    /// The user behind a login, or behind none: `anonymous`. `None`: there is no such user now.
    pub(super) fn user_of<'a>(&'a self, login: Option<&'a Login>) -> Option<&'a User> {
        match login {
            None => self.anonymous.as_deref(),
            Some(login) if login.users == self.number => Some(&login.user),
            Some(login) => self.logins.get(&login.credential).map(|now| &*now.user),
        }
    }

    /// Goes on counting against quotas where users of the same names did before.
    pub(super) fn take_over(&self, before: &Users) {
        for user in &self.users {
            if let Some(before) = before.get(user.name()) {
                user.account.take_over(&before.account);
            }
        }
    }

    /// The login again that another set of users has made.
    pub(super) fn login_again(&self, login: &Arc<Login>) -> Option<Arc<Login>> {
        if login.users == self.number {
            return Some(Arc::clone(login));
        }
        self.logins.get(&login.credential).cloned()
    }

    /// The user of this name and password. It takes as long where there is no such user.
    #[cfg(feature = "broker")]
    fn by_password(&self, name: &str, password: &super::Secret) -> Option<&Arc<Login>> {
        let user = self.get(name).into_iter();
        let mut hashes = user.flat_map(|user| &user.credentials).filter_map(|credential| match credential {
            Credential::Password { hash, .. } => Some((credential, hash)),
            _ => None,
        });
        match hashes.next() {
            Some((credential, hash)) => {
                passwords::is_of(password, hash).then(|| self.logins.get(credential)).flatten()
            }
            None => {
                passwords::pretend(password);
                None
            }
        }
    }

    fn index_of(&self, name: &str) -> Option<usize> {
        self.users.binary_search_by(|user| user.name().cmp(name)).ok()
    }
}

/// Two sets are equal if they have the same users, with the same credentials and rights.
impl PartialEq for Users {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number || self.users == other.users
    }
}

impl Eq for Users {}

/// Few sets of users are in use at a time, so that only their size goes into a table.
impl Hash for Users {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.users.len().hash(state);
    }
}
