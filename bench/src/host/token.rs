//! Owns the proofs that both ends of a connection have the same token, which itself never travels: each sends a random
//! number, and the HMAC-SHA-256 of both numbers under the token. They keep strangers out, and nothing more: the
//! connection is neither encrypted nor protected against changes on its way.

use anyhow::ensure;
use corecast::internals::auth::read_token_file;
use ring::hmac;
use ring::rand::{self, SystemRandom};
use std::io;
use std::path::Path;

/// Characters of a token at least: whoever listens in may try many tokens on a proof.
const TOKEN_CHARACTERS_MIN: usize = 32;

/// A random number, which is used once.
pub type Nonce = [u8; 32];
/// A proof.
pub type Proof = [u8; 32];

/// The end of a connection that gives a proof, as its bytes name it, so that the other end cannot use it.
#[derive(Clone, Copy, Debug)]
pub struct Prover(&'static [u8]);

/// The controller as a prover.
pub const CONTROLLER: Prover = Prover(b"corecast-bench controller");
/// The agent.
pub const AGENT: Prover = Prover(b"corecast-bench agent");

/// The random numbers of a connection: the agent's, then the controller's.
pub type Nonces<'a> = (&'a Nonce, &'a Nonce);

/// A token that agents share with their controllers.
#[derive(Clone, Debug)]
pub struct AgentToken(hmac::Key);

impl AgentToken {
    /// Reads a file that only its owner may write, and only its group may read besides.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let token = read_token_file(path)?;
        let token = token.expose();
        ensure!(
            token.len() >= TOKEN_CHARACTERS_MIN,
            "the token in {} has less than {TOKEN_CHARACTERS_MIN} characters, and can be guessed",
            path.display()
        );
        Ok(AgentToken(hmac::Key::new(hmac::HMAC_SHA256, token)))
    }

    /// The proof of `prover` over the random numbers of a connection.
    pub fn proof(&self, prover: Prover, nonces: Nonces<'_>) -> Proof {
        let tag = hmac::sign(&self.0, &proven(prover, nonces));
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// True if `proof` is that of `prover`, compared in constant time.
    pub fn is_proof(&self, proof: &Proof, prover: Prover, nonces: Nonces<'_>) -> bool {
        hmac::verify(&self.0, &proven(prover, nonces), proof).is_ok()
    }
}

/// A new random number.
pub fn nonce() -> io::Result<Nonce> {
    let random = rand::generate(&SystemRandom::new()).map_err(|_| io::Error::other("no random bytes"))?;
    Ok(random.expose())
}

/// The bytes that a proof is about.
fn proven(Prover(label): Prover, (agent, controller): Nonces<'_>) -> Vec<u8> {
    [label, agent, controller].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NONCES: Nonces<'_> = (&[1; 32], &[2; 32]);

    fn token(text: &str, mode: u32) -> anyhow::Result<AgentToken> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        AgentToken::read(&path)
    }

    #[test]
    fn a_proof_is_of_one_token_one_end_and_one_connection() {
        let [ours, other] = ["a", "b"].map(|letter| token(&letter.repeat(32), 0o600).unwrap());
        let proof = ours.proof(CONTROLLER, NONCES);
        assert!(ours.is_proof(&proof, CONTROLLER, NONCES));
        assert!(!other.is_proof(&proof, CONTROLLER, NONCES));
        assert!(!ours.is_proof(&proof, AGENT, NONCES), "it cannot be sent back");
        for nonces in [(&[3; 32], &[2; 32]), (&[1; 32], &[3; 32]), (&[2; 32], &[1; 32])] {
            assert!(!ours.is_proof(&proof, CONTROLLER, nonces), "nor shown again");
        }
        assert_ne!(nonce().unwrap(), nonce().unwrap());
    }

    #[test]
    fn a_token_is_long_and_its_file_is_for_its_owner() {
        assert!(token(&"a".repeat(31), 0o600).unwrap_err().to_string().contains("less than 32 characters"));
        assert!(token(&"a".repeat(32), 0o644).unwrap_err().to_string().contains("chmod 0600"));
        let shown = format!("{:?}", token(&"secret-".repeat(5), 0o600).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
