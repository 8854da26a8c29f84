//! Options: each stands once, as a field of a configuration, with its name, value, default, check and help.
//!
//! An option is set by its text, wherever that comes from: `--key` on the command line, or `PREFIX_COMMAND_KEY` in the
//! environment, or `key = VALUE` in a config file. Sources are applied from the weakest to the strongest: default, file,
//! environment, command line.
//!
//! | file | owns |
//! |---|---|
//! | `declare` | the macro that declares a configuration: fields, defaults, setters, options |
//! | `form` | the forms in which values are written, and how many values an option takes |
//! | `file` | the text of a config file: which options it sets, and what is wrong with it |
//! | `quantity` | sizes, times and rates as they are written: `16MiB`, `250ms`, `20` |

#[macro_use]
mod declare;
#[cfg(feature = "cli")]
pub(crate) mod file;
mod form;
mod quantity;

pub use form::{Arity, FilePath, Form, List, Literal, OnOff, One, OptionShape, Optional, Plain, Switch};
pub use quantity::{Count, Size, TimeSpan, parse_count, parse_rate_hz, parse_timeout};

/// A type whose fields are set by options.
pub trait Configuration: Default + Sized + 'static {
    /// Its options, in the order of help texts. Not every field needs one.
    const OPTIONS: &'static [ConfigOption<Self>];
}

/// An option: one field of the configuration `C`, as users set it.
pub struct ConfigOption<C: 'static> {
    /// The name of the field, by which errors of the library name it.
    pub field: &'static str,
    /// The name for users: the command's option is `--key`, and its environment variable ends with it.
    pub key: &'static str,
    /// The placeholder of the value in help texts; empty for a switch.
    pub value: &'static str,
    /// One or two sentences; also the documentation of the field.
    pub help: &'static str,
    /// The number of values it takes.
    pub arity: Arity,
    /// The way in which a config file may write a value.
    pub literal: Literal,
    /// The value of the field as text; none if it is unset.
    pub text: fn(&C) -> Vec<String>,
    /// Checks the texts and sets the field. The error says what to write instead.
    pub set: fn(&mut C, &[&str]) -> Result<(), String>,
}

/// The help text of a field's documentation: without the blank at its start and the dot at its end.
pub(crate) const fn help_text(doc: &'static str) -> &'static str {
    let doc = doc.trim_ascii();
    match doc.as_bytes() {
        [.., b'.'] => doc.split_at(doc.len() - 1).0,
        _ => doc,
    }
}

impl<C: Configuration> ConfigOption<C> {
    /// The default as text; none if the option is unset by default.
    pub fn default_text(&self) -> Vec<String> {
        (self.text)(&C::default())
    }

    /// Checks one value.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub fn check(&self, text: &str) -> Result<(), String> {
        (self.set)(&mut C::default(), &[text])
    }
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro declares public types, and this one is of a test")]
mod tests {
    use super::*;

    configuration! {
        /// A configuration with an option of each shape.
        #[derive(Clone, PartialEq, Debug)]
        pub struct Sample {
            /// Names; repeatable or
            /// comma-separated.
            names (into): Vec<String> = vec!["a".to_owned()], option("name", "NAME", List<Plain>);
            /// Limit in bytes.
            bytes_max: usize = 1 << 10, option("bytes", "BYTES", One<Size>);
            /// Number of things [default: one].
            count (into): Option<usize> = None, option("count", "N", Optional<Count>);
            /// Say more.
            verbose: bool = false, option("verbose", "", Switch);
            /// Nothing that users set by an option.
            hidden: u8 = 7;
        }
    }

    fn option(key: &str) -> &'static ConfigOption<Sample> {
        Sample::OPTIONS.iter().find(|option| option.key == key).expect(key)
    }

    #[test]
    fn an_option_is_declared_once() {
        let keys: Vec<&str> = Sample::OPTIONS.iter().map(|option| option.key).collect();
        assert_eq!(keys, ["name", "bytes", "count", "verbose"]);
        assert_eq!(option("name").help, "Names; repeatable or comma-separated");
        assert_eq!(option("bytes").field, "bytes_max");
        let defaults = ["name", "bytes", "count", "verbose"].map(|key| option(key).default_text().join(","));
        assert_eq!(defaults, ["a", "1KiB", "", ""]);
        assert_eq!(Sample::default().hidden, 7);
    }

    #[test]
    fn texts_set_fields() {
        let mut sample = Sample::default();
        let texts: [(&str, &[&str]); 4] =
            [("name", &["b", "c"]), ("bytes", &["2KiB"]), ("count", &["3"]), ("verbose", &["true"])];
        for (key, texts) in texts {
            (option(key).set)(&mut sample, texts).expect(key);
        }
        let wanted = Sample::default()
            .hidden(7)
            .names(["b".to_owned(), "c".to_owned()])
            .bytes_max(2048)
            .count(3)
            .verbose(true);
        assert_eq!(sample, wanted);
    }

    #[test]
    fn a_text_that_is_wrong_changes_nothing() {
        let mut sample = Sample::default();
        for (key, text, part) in [
            ("bytes", "2 parsecs", "not a unit"),
            ("count", "-1", "whole number"),
            ("verbose", "maybe", "true or false"),
        ] {
            let error = (option(key).set)(&mut sample, &[text]).expect_err(key);
            assert!(error.contains(part), "{error}");
            assert_eq!(option(key).check(text), Err(error));
        }
        assert_eq!(sample, Sample::default());
    }
}
