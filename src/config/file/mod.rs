//! The text of a config file, in TOML: the options of a broker at the top level, those of clients in the table `[client]`.
//! A value is written in the natural way of TOML, or as the text that the command line takes. Nothing here reads a disk,
//! but for forms that do.
//!
//! | file | owns |
//! |---|---|
//! | `place` | lines and columns |
//! | `fault` | one thing that is wrong, with its place |
//! | `key` | the options that a file may set, without their types |
//! | `near` | which of the names somebody may have meant |
//! | `literal` | from a value of TOML to the texts that an option takes |
//! | `written` | an option as a line of a file |
//! | `sample` | a file that has every option, and sets none |
//! | `parse` | from a text to what it sets, and all that is wrong with it |

mod fault;
mod key;
mod literal;
mod near;
mod parse;
mod place;
mod sample;
mod written;

pub(crate) use fault::FileFault;
pub(crate) use key::{FileGrammar, FileKey, FileSection};
pub(crate) use parse::{FileValues, read_config};
pub(crate) use place::TextPlace;
pub(crate) use sample::sample;
pub(crate) use written::written;
