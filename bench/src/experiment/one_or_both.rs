//! Owns the choice between one of two things and both of them, one after the other.

use corecast::{Mode, Sessions};
use std::str::FromStr;

/// A type with two values.
pub trait TwoValued: FromStr + Copy {
    /// Both, in the order in which they are run.
    const BOTH: [Self; 2];
    /// The refusal of a word that names neither.
    const REFUSAL: &str;
}

impl TwoValued for Mode {
    const BOTH: [Self; 2] = [Mode::Proxy, Mode::Direct];
    const REFUSAL: &str = "no mode that this version has: it has `proxy`, `direct` and `both`";
}

impl TwoValued for Sessions {
    const BOTH: [Self; 2] = [Sessions::PerSubscriber, Sessions::PerExecutor];
    const REFUSAL: &str = "no way to share sessions: write `per-subscriber`, `per-executor` or `both`";
}

/// One of two values, or both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OneOrBoth<T> {
    /// One of them.
    One(T),
    /// Both.
    Both,
}

impl<T: TwoValued> OneOrBoth<T> {
    /// Each, in the order in which they are run.
    pub fn each(self) -> Vec<T> {
        match self {
            OneOrBoth::One(one) => vec![one],
            OneOrBoth::Both => T::BOTH.to_vec(),
        }
    }
}

impl<T: TwoValued> FromStr for OneOrBoth<T> {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "both" => Ok(OneOrBoth::Both),
            word => word.parse().map(OneOrBoth::One).map_err(|_| format!("`{word}` is {}", T::REFUSAL)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_their_errors() {
        assert_eq!("proxy".parse(), Ok(OneOrBoth::One(Mode::Proxy)));
        assert_eq!("both".parse::<OneOrBoth<Mode>>().unwrap().each(), [Mode::Proxy, Mode::Direct]);
        let error = "fast".parse::<OneOrBoth<Mode>>().unwrap_err();
        assert_eq!(error, "`fast` is no mode that this version has: it has `proxy`, `direct` and `both`");
        assert_eq!("both".parse::<OneOrBoth<Sessions>>().unwrap().each().len(), 2);
        assert!("all".parse::<OneOrBoth<Sessions>>().unwrap_err().contains("`per-executor`"));
    }
}
