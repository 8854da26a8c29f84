//! Hashes of passwords: argon2id. To make or check one takes tens of milliseconds and 19 MiB, so never on an executor.

use std::io;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params};

use super::super::Secret;
use super::super::random::random_bytes;
use crate::limits::{PASSWORD_MEMORY_BYTES_MAX, PASSWORD_PASSES_MAX};

/// A hash of no known password, with the costs of those that `corecast user add` makes.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm8gc2FsdCBmb3Igbm9ib2R5$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Checks that this is an argon2id hash, in the PHC string format, at a cost that a login may have.
///
/// # Errors
/// What is wrong, without the hash.
pub(super) fn check(hash: &str) -> Result<(), &'static str> {
    let parsed =
        PasswordHash::new(hash).map_err(|_| "it is no hash in the PHC string format ($argon2id$...)")?;
    if parsed.algorithm != Algorithm::Argon2id.ident() || parsed.hash.is_none() {
        return Err("it is no argon2id hash");
    }
    let params = Params::try_from(&parsed).map_err(|_| "its parameters are not those of argon2id")?;
    if params.m_cost() as usize > PASSWORD_MEMORY_BYTES_MAX >> 10 || params.t_cost() > PASSWORD_PASSES_MAX {
        return Err("checking it would take too long: use at most 256 MiB of memory and 10 passes");
    }
    Ok(())
}

/// Hashes a password, with a fresh salt.
///
/// # Errors
/// When the kernel gives no random bytes.
pub(crate) fn hash_password(password: &Secret) -> io::Result<String> {
    let salt: [u8; 16] = random_bytes()?;
    let hash = Argon2::default().hash_password_with_salt(password.expose(), &salt);
    hash.map(|hash| hash.to_string()).map_err(io::Error::other)
}

/// True if a hash is of this password.
pub(super) fn is_of(password: &Secret, hash: &str) -> bool {
    let argon2 = Argon2::default();
    PasswordHash::new(hash).is_ok_and(|hash| argon2.verify_password(password.expose(), &hash).is_ok())
}

/// Takes the time of a check, so that it does not show which names are those of users.
pub(super) fn pretend(password: &Secret) {
    let _ = is_of(password, NOBODYS);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by libargon2: `hash_secret` of Python's argon2-cffi, with the password `sesame` and the salt `corecast salt 16`.
    const SESAME: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$Y29yZWNhc3Qgc2FsdCAxNg$KcWNHtN6TgCsl4hAxvX2U7/5MSf4IWcDnp+2/d2guE4";

    #[test]
    fn a_password_is_checked_against_a_hash_of_another_program() {
        check(SESAME).expect("a hash");
        assert!(is_of(&Secret::new(b"sesame"), SESAME));
        assert!(!is_of(&Secret::new(b"Sesame"), SESAME));
    }

    #[test]
    fn a_hash_that_is_made_here_is_of_its_password_alone() {
        let hash = hash_password(&Secret::new(b"sesame")).expect("a hash");
        check(&hash).expect("a good one");
        assert!(is_of(&Secret::new(b"sesame"), &hash) && !is_of(&Secret::new(b"sesam"), &hash));
        assert_ne!(hash, hash_password(&Secret::new(b"sesame")).expect("a hash"), "each has its salt");
    }

    #[test]
    fn what_no_login_should_wait_for_is_refused() {
        check(NOBODYS).expect("a hash like those of users");
        for wrong in [
            "",
            "sesame",
            &NOBODYS.replace("argon2id", "argon2i"),
            &NOBODYS.replace("m=19456", "m=1000000"),
            &NOBODYS.replace("t=2", "t=1000"),
            &NOBODYS[..NOBODYS.len() - 44],
        ] {
            check(wrong).expect_err(wrong);
        }
    }
}
