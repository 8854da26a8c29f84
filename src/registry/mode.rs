//! The mode of each topic, proxy or direct: rules in order, of which the first that matches applies.

use std::fmt;
use std::str::FromStr;

use crate::config::Form;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MODE_RULES_MAX;
use crate::printable::printable;
use crate::topic::Filter;

/// The route of a topic's messages.
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
                format!("`{}` is not a mode: use proxy or direct", printable(text)),
            )),
        }
    }
}

/// The form in which users write a rule: `FILTER=MODE`.
#[derive(Debug)]
pub struct ModeRule;

impl Form<(Filter, Mode)> for ModeRule {
    fn read(text: &str) -> Result<(Filter, Mode), String> {
        ModeRules::parse_rule(text).map_err(|e| e.to_string())
    }

    fn write((filter, mode): &(Filter, Mode)) -> String {
        format!("{}={mode}", filter.text())
    }
}

/// Rules in order, and the mode of topics that match none.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ModeRules {
    rules: Vec<(Filter, Mode)>,
    default: Mode,
}

impl ModeRules {
    /// These rules, in this order; `default` for topics that match none.
    ///
    /// # Errors
    /// `Invalid` for more than 256 of them.
    pub fn new(rules: Vec<(Filter, Mode)>, default: Mode) -> Result<Self> {
        if rules.len() > MODE_RULES_MAX {
            let text = format!("{} mode rules; at most {MODE_RULES_MAX} are allowed", rules.len());
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(ModeRules { rules, default })
    }

    /// Parses one rule, such as `video.>=direct`.
    ///
    /// # Errors
    /// `Invalid`, with the half that is wrong.
    pub fn parse_rule(text: &str) -> Result<(Filter, Mode)> {
        let Some((filter, mode)) = text.rsplit_once('=') else {
            let text =
                format!("`{}` is not a mode rule: write FILTER=proxy or FILTER=direct", printable(text));
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

    /// The filter of the rule that makes a topic direct; `>` if it is the default.
    pub fn direct_filter_of(&self, topic: &[u8]) -> Filter {
        let rule = self.rules.iter().find(|(filter, _)| filter.matches(topic));
        rule.map_or_else(|| Filter::parse(">").expect("`>` is a filter"), |(filter, _)| filter.clone())
    }

    /// True if some topic that the filter matches may have this mode. It may return true where several earlier rules
    /// together rule out what none of them rules out alone.
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

    /// True if every topic is proxied.
    pub fn is_all_proxy(&self) -> bool {
        self.default == Mode::Proxy && self.rules.iter().all(|(_, mode)| *mode == Mode::Proxy)
    }

    /// The rules as a frame carries them: one per line, the default last.
    pub fn to_text(&self) -> String {
        let rules = self.rules.iter().map(ModeRule::write);
        let default = format!(">={}", self.default);
        rules.chain(std::iter::once(default)).collect::<Vec<_>>().join("\n")
    }

    /// The rules from a frame.
    ///
    /// # Errors
    /// `Invalid` for a line that is not a rule.
    pub fn from_text(text: &str) -> Result<Self> {
        let rules = text.lines().map(Self::parse_rule).collect::<Result<Vec<_>>>()?;
        Self::new(rules, Mode::Proxy).map(Self::fold_default)
    }

    /// Turns a last rule for all topics into the default.
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
