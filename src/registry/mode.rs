//! Which topics go through the broker and which go direct: rules in order, the first that matches holds.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::MODE_RULES_MAX;
use crate::printable::printable;
use crate::topic::Filter;

/// How the messages of a topic travel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Mode {
    /// Publisher -> broker -> subscribers.
    #[default]
    Proxy,
    /// Publisher -> subscribers; the broker only introduces them.
    Direct,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Proxy => "proxy",
            Mode::Direct => "direct",
        })
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "proxy" => Ok(Mode::Proxy),
            "direct" => Ok(Mode::Direct),
            _ => Err(Error::new(
                ErrorKind::Invalid,
                format!("`{}` is no mode; it is proxy or direct", printable(text)),
            )),
        }
    }
}

/// Rules in order, and what holds where none matches.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ModeRules {
    rules: Vec<(Filter, Mode)>,
    default: Mode,
}

impl ModeRules {
    /// These rules, in this order; `default` where none matches.
    ///
    /// # Errors
    /// `Invalid` for more than 256 of them.
    pub fn new(rules: Vec<(Filter, Mode)>, default: Mode) -> Result<Self> {
        if rules.len() > MODE_RULES_MAX {
            let text = format!("{} rules of modes; the most is {MODE_RULES_MAX}", rules.len());
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(ModeRules { rules, default })
    }

    /// One rule as it is written: `video.>=direct`.
    ///
    /// # Errors
    /// `Invalid`, saying which half is wrong.
    pub fn parse_rule(text: &str) -> Result<(Filter, Mode)> {
        let Some((filter, mode)) = text.rsplit_once('=') else {
            let text = format!("`{}` is no rule; write FILTER=proxy or FILTER=direct", printable(text));
            return Err(Error::new(ErrorKind::Invalid, text));
        };
        let parsed = Filter::parse(filter)
            .map_err(|e| Error::new(ErrorKind::Invalid, format!("`{}`: {e}", printable(filter))))?;
        Ok((parsed, mode.parse()?))
    }

    /// The mode of a topic.
    pub fn mode_of(&self, topic: &[u8]) -> Mode {
        let rule = self.rules.iter().find(|(filter, _)| filter.matches(topic));
        rule.map_or(self.default, |(_, mode)| *mode)
    }

    /// The filter of the rule that makes a topic direct; `>` when it is the default.
    pub fn direct_filter_of(&self, topic: &[u8]) -> Filter {
        let rule = self.rules.iter().find(|(filter, _)| filter.matches(topic));
        rule.map_or_else(|| Filter::parse(">").expect("`>` is a filter"), |(filter, _)| filter.clone())
    }

    /// Whether some topic that the filter matches may have this mode. It may say yes where several rules before
    /// hide together what none of them hides alone.
    pub fn may_have(&self, mode: Mode, filter: &Filter) -> bool {
        for (rule, of) in &self.rules {
            if *of == mode && rule.overlaps(filter) {
                return true;
            }
            if rule.covers(filter) {
                return false;
            }
        }
        self.default == mode
    }

    /// Whether every topic is proxied.
    pub fn is_all_proxy(&self) -> bool {
        self.default == Mode::Proxy && self.rules.iter().all(|(_, mode)| *mode == Mode::Proxy)
    }

    /// As a frame carries them: a line for each rule, the default last.
    pub fn to_text(&self) -> String {
        let rules = self.rules.iter().map(|(filter, mode)| format!("{}={mode}", filter.text()));
        let default = format!(">={}", self.default);
        rules.chain(std::iter::once(default)).collect::<Vec<_>>().join("\n")
    }

    /// As a frame carried them.
    ///
    /// # Errors
    /// `Invalid` for a line that is no rule.
    pub fn from_text(text: &str) -> Result<Self> {
        let rules = text.lines().map(Self::parse_rule).collect::<Result<Vec<_>>>()?;
        Self::new(rules, Mode::Proxy).map(Self::fold_default)
    }

    /// A last rule for all topics is the default.
    fn fold_default(mut self) -> Self {
        if let Some((filter, mode)) = self.rules.last()
            && filter.as_bytes() == b">"
        {
            self.default = *mode;
            self.rules.pop();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(lines: &[&str], default: Mode) -> ModeRules {
        ModeRules::new(lines.iter().map(|l| ModeRules::parse_rule(l).unwrap()).collect(), default).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_holds() {
        let rules = rules(&["video.low.>=proxy", "video.>=direct"], Mode::Proxy);
        assert_eq!(rules.mode_of(b"video.a"), Mode::Direct);
        assert_eq!(rules.mode_of(b"video.low.a"), Mode::Proxy);
        assert_eq!(rules.mode_of(b"prices"), Mode::Proxy);
        assert_eq!(rules.direct_filter_of(b"video.a").to_string(), "video.>");
        let filter = |text| Filter::parse(text).unwrap();
        assert!(rules.may_have(Mode::Direct, &filter(">")));
        assert!(rules.may_have(Mode::Direct, &filter("*.a")));
        assert!(!rules.may_have(Mode::Direct, &filter("prices.>")));
        assert!(!rules.may_have(Mode::Direct, &filter("video.low.a")));
        assert!(
            rules.may_have(Mode::Proxy, &filter("video.>")) && rules.may_have(Mode::Proxy, &filter("*.a"))
        );
        assert!(
            !rules.may_have(Mode::Proxy, &filter("video.a"))
                && !rules.may_have(Mode::Proxy, &filter("video.high.>"))
        );
        let all_direct = ModeRules::new(Vec::new(), Mode::Direct).unwrap();
        assert!(!all_direct.may_have(Mode::Proxy, &filter(">")));
        assert!(!rules.is_all_proxy());
    }

    #[test]
    fn rules_travel_as_text() {
        for rules in [rules(&["a.*=direct", "b=proxy"], Mode::Direct), ModeRules::default()] {
            assert_eq!(ModeRules::from_text(&rules.to_text()).unwrap(), rules);
        }
        for wrong in ["a", "a=fast", "=direct", "a..b=direct"] {
            assert!(ModeRules::parse_rule(wrong).is_err(), "{wrong}");
        }
    }
}
