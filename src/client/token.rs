//! The token by which a client logs in at its broker: a text of the program, or a file, which is read for each connection.

use std::path::PathBuf;

use corecast_executors::{link, spawn_plain};
use zeroize::Zeroizing;

use crate::auth::{Secret, checked_token, read_token_file};
use crate::config::{Form, Literal};
use crate::error::{Error, ErrorKind, Result};

/// A token, which says to a broker which of its users a client is. It is sent to the broker alone, and only to one that takes
/// tokens; it is never displayed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Token(Source);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Source {
    Text(Secret),
    File(PathBuf),
}

impl Token {
    /// A token with this text, without the white space around it.
    ///
    /// # Errors
    /// `Invalid` if it is empty, too long, or has other characters than visible ones of ASCII.
    pub fn new(text: &str) -> Result<Token> {
        checked_token(text.as_bytes()).map(|secret| Token(Source::Text(secret)))
    }

    /// The token in a file. The file is read for each connection, so that it may be replaced; only its owner may write it, and
    /// only its group may read it besides.
    pub fn file(path: impl Into<PathBuf>) -> Token {
        Token(Source::File(path.into()))
    }

    /// The token in this environment variable; none if it is unset or empty.
    ///
    /// # Errors
    /// As for [`Token::new`].
    pub fn from_env(variable: &str) -> Result<Option<Token>> {
        let Some(text) = std::env::var_os(variable).filter(|text| !text.is_empty()) else { return Ok(None) };
        let text = Zeroizing::new(text.into_encoded_bytes());
        let secret =
            checked_token(&text).map_err(|e| Error::new(ErrorKind::Invalid, format!("{variable}: {e}")))?;
        Ok(Some(Token(Source::Text(secret))))
    }

    /// True if another connection may be made with another token.
    pub(super) fn may_change(&self) -> bool {
        matches!(self.0, Source::File(_))
    }

    /// The token of now. A file is read by a thread of its own: it may be on a disk that does not answer. Errors are of the field
    /// `token` of a client's configuration.
    pub(super) async fn read(&self) -> Result<Secret> {
        let path = match &self.0 {
            Source::Text(secret) => return Ok(secret.clone()),
            Source::File(path) => path.clone(),
        };
        let (answer, mut answers) = link(1);
        let read = move || drop(answer.try_send(read_token_file(&path)));
        spawn_plain("token", read)
            .map_err(|e| Error::io("cannot start the thread that reads the token", e))?;
        let read = answers.recv().await.expect("a thread that reads a file ends by answering");
        read.map_err(|error| error.at_field("token"))
    }
}

/// The form of the path of a token.
#[derive(Debug)]
pub(crate) struct TokenFile;

impl Form<Token> for TokenFile {
    const LITERAL: Literal = Literal::Path;

    fn read(text: &str) -> Result<Token, String> {
        if text.is_empty() {
            return Err("a path is wanted".to_owned());
        }
        Ok(Token::file(text))
    }

    fn write(token: &Token) -> String {
        match &token.0 {
            Source::Text(_) => String::new(),
            Source::File(path) => path.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::TOKEN_BYTES_MAX;

    #[test]
    fn a_token_is_one_word_that_is_not_displayed() {
        let token = Token::new(" cc_sesame\n").expect("a token");
        assert_eq!(token, Token::new("cc_sesame").expect("a token"));
        assert!(!format!("{token:?}").contains("sesame") && !TokenFile::write(&token).contains("sesame"));
        for wrong in ["", " \n", "two words", "sésame", &"a".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(Token::new(wrong).expect_err(wrong).kind(), ErrorKind::Invalid);
        }
    }
}
