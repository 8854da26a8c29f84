//! The forms in which values of options are written, and the shapes of options: one value, perhaps one, several, none.

use std::fmt::Display;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;

use crate::printable::printable;

/// The way in which a config file may write the values of a form. All but switches may be texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Literal {
    /// As texts alone.
    Text,
    /// As texts; a relative path begins at the folder of the config file.
    Path,
    /// As numbers, too.
    Number,
    /// As `true` and `false`, too.
    Boolean,
}

/// A form of values of type `T`: how one is read from text, and written as text.
pub trait Form<T> {
    /// The way in which a config file may write them.
    const LITERAL: Literal = Literal::Text;

    /// Reads a value.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    fn read(text: &str) -> Result<T, String>;

    /// Writes a value such that [`Form::read`] returns it.
    fn write(value: &T) -> String;
}

/// The form of a type that parses and prints itself.
#[derive(Debug)]
pub struct Plain;

impl<T: FromStr<Err: Display> + Display> Form<T> for Plain {
    fn read(text: &str) -> Result<T, String> {
        text.parse().map_err(|e: T::Err| e.to_string())
    }

    fn write(value: &T) -> String {
        value.to_string()
    }
}

/// The form of the path of a file.
#[derive(Debug)]
pub struct FilePath;

impl Form<PathBuf> for FilePath {
    const LITERAL: Literal = Literal::Path;

    fn read(text: &str) -> Result<PathBuf, String> {
        match text {
            "" => Err("a path is wanted".to_owned()),
            path => Ok(PathBuf::from(path)),
        }
    }

    fn write(path: &PathBuf) -> String {
        path.display().to_string()
    }
}

/// The form of a value that is `on` or `off`.
#[derive(Debug)]
pub struct OnOff;

impl Form<bool> for OnOff {
    const LITERAL: Literal = Literal::Boolean;

    fn read(text: &str) -> Result<bool, String> {
        match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(format!("`{}` is neither on nor off", printable(text))),
        }
    }

    fn write(value: &bool) -> String {
        if *value { "on" } else { "off" }.to_owned()
    }
}

/// The number of values of an option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arity {
    /// None: it is there or not.
    Switch,
    /// One.
    One,
    /// Any number, repeated or with commas between them.
    List,
    /// Any number, repeated. A comma is part of a value.
    Repeated,
}

/// A shape of options for fields of type `T`.
pub trait OptionShape<T> {
    /// The number of values of an option of this shape.
    const ARITY: Arity;

    /// The way in which a config file may write a value.
    const LITERAL: Literal;

    /// Reads the field from the texts of all values.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    fn read(texts: &[&str]) -> Result<T, String>;

    /// Writes the field; nothing if it is unset.
    fn write(value: &T) -> Vec<String>;
}

/// An option with a value.
#[derive(Debug)]
pub struct One<F>(PhantomData<F>);

impl<T, F: Form<T>> OptionShape<T> for One<F> {
    const ARITY: Arity = Arity::One;
    const LITERAL: Literal = F::LITERAL;

    fn read(texts: &[&str]) -> Result<T, String> {
        match texts {
            [text] => F::read(text),
            _ => Err("one value is wanted".to_owned()),
        }
    }

    fn write(value: &T) -> Vec<String> {
        vec![F::write(value)]
    }
}

/// An option with a value that may be unset.
#[derive(Debug)]
pub struct Optional<F>(PhantomData<F>);

impl<T, F: Form<T>> OptionShape<Option<T>> for Optional<F> {
    const ARITY: Arity = Arity::One;
    const LITERAL: Literal = F::LITERAL;

    fn read(texts: &[&str]) -> Result<Option<T>, String> {
        One::<F>::read(texts).map(Some)
    }

    fn write(value: &Option<T>) -> Vec<String> {
        value.iter().map(F::write).collect()
    }
}

/// An option with any number of values.
#[derive(Debug)]
pub struct List<F>(PhantomData<F>);

impl<T, F: Form<T>> OptionShape<Vec<T>> for List<F> {
    const ARITY: Arity = Arity::List;
    const LITERAL: Literal = F::LITERAL;

    fn read(texts: &[&str]) -> Result<Vec<T>, String> {
        texts.iter().map(|text| F::read(text)).collect()
    }

    fn write(value: &Vec<T>) -> Vec<String> {
        value.iter().map(F::write).collect()
    }
}

/// An option without a value.
#[derive(Debug)]
pub struct Switch;

impl OptionShape<bool> for Switch {
    const ARITY: Arity = Arity::Switch;
    const LITERAL: Literal = Literal::Boolean;

    fn read(texts: &[&str]) -> Result<bool, String> {
        match texts {
            ["true"] => Ok(true),
            ["false"] => Ok(false),
            _ => Err("write true or false".to_owned()),
        }
    }

    fn write(value: &bool) -> Vec<String> {
        if *value { vec!["true".to_owned()] } else { Vec::new() }
    }
}
