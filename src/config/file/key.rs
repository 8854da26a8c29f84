//! The options that a config file may set: what the declarations of configurations say of them, without their types.

use std::fmt;

use crate::config::{Arity, ConfigOption, Configuration, Literal};

/// A check of all values of an option, as texts.
type Check = Box<dyn Fn(&[&str]) -> Result<(), String>>;

/// An option as a config file sets it.
pub(crate) struct FileKey {
    pub(crate) key: &'static str,
    pub(crate) field: &'static str,
    /// The placeholder of the value; empty for a switch.
    pub(crate) value: &'static str,
    pub(crate) help: &'static str,
    pub(crate) arity: Arity,
    pub(crate) literal: Literal,
    /// The default as text; none if it is unset by default.
    pub(crate) default: Vec<String>,
    check: Check,
}

impl FileKey {
    /// The options of a configuration.
    pub(crate) fn all_of<C: Configuration>() -> Vec<FileKey> {
        C::OPTIONS.iter().map(FileKey::of).collect()
    }

    fn of<C: Configuration>(option: &'static ConfigOption<C>) -> FileKey {
        FileKey {
            key: option.key,
            field: option.field,
            value: option.value,
            help: option.help,
            arity: option.arity,
            literal: option.literal,
            default: option.default_text(),
            check: Box::new(|texts| (option.set)(&mut C::default(), texts)),
        }
    }

    /// Checks all values, as texts.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub(crate) fn check(&self, texts: &[&str]) -> Result<(), String> {
        (self.check)(texts)
    }

    /// True if it may be unset: an empty text says so.
    pub(crate) fn may_be_unset(&self) -> bool {
        self.arity == Arity::One && self.default.is_empty()
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A part of a config file: the top level, or a table.
#[derive(Debug)]
pub(crate) struct FileSection {
    /// The name of the table; none for the top level.
    pub(crate) table: Option<&'static str>,
    /// For whom its options are, such as `brokers`.
    pub(crate) whose: &'static str,
    pub(crate) keys: Vec<FileKey>,
}

impl FileSection {
    pub(crate) fn get(&self, key: &str) -> Option<&FileKey> {
        self.keys.iter().find(|known| known.key == key)
    }

    /// The place of its options: "stands at the top level" or "stands in the table [client]".
    pub(super) fn place(&self) -> String {
        match self.table {
            None => "stands at the top level, before any table".to_owned(),
            Some(table) => format!("stands in the table [{table}]"),
        }
    }
}

/// All that a config file may have.
#[derive(Debug)]
pub(crate) struct FileGrammar {
    /// The top level first.
    pub(crate) sections: Vec<FileSection>,
    /// Options of commands that no file sets.
    pub(crate) not_in_files: &'static [&'static str],
}

impl FileGrammar {
    pub(crate) fn section(&self, table: Option<&str>) -> Option<&FileSection> {
        self.sections.iter().find(|section| section.table == table)
    }

    /// The section that has such a key.
    pub(super) fn owner(&self, key: &str) -> Option<&FileSection> {
        self.sections.iter().find(|section| section.get(key).is_some())
    }
}
