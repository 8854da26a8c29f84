//! From a value of TOML to the texts that an option takes: numbers and booleans where they are natural, and the text of the
//! command line everywhere.

use std::ops::Range;
use std::path::Path;

use serde_spanned::Spanned;
use toml::de::{DeInteger, DeValue};

use super::FileKey;
use crate::config::{Arity, Literal};

/// The bytes of a value that are wrong, and why.
pub(super) type WrongValue = (Range<usize>, String);

/// The values of an option as texts, checked. None: it is unset.
pub(super) fn texts_of(
    key: &FileKey,
    value: &Spanned<DeValue<'_>>,
    folder: &Path,
) -> Result<Option<Vec<String>>, Vec<WrongValue>> {
    let wrong = |what: &str| Err(vec![(value.span(), what.to_owned())]);
    let one = |value: &Spanned<DeValue<'_>>| text_of(key, value, folder);
    match (key.arity, value.get_ref()) {
        (_, DeValue::Table(_)) => wrong("an option has a value, and this is a table"),
        (Arity::Switch, DeValue::Boolean(is_on)) => Ok(Some(vec![is_on.to_string()])),
        (Arity::Switch, _) => wrong("write true or false, without quotes"),
        (Arity::List | Arity::Repeated, DeValue::Array(values)) => {
            let read: Vec<Result<String, WrongValue>> = values.iter().map(one).collect();
            let (texts, wrong): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
            if wrong.is_empty() {
                Ok(Some(texts.into_iter().flatten().collect()))
            } else {
                Err(wrong.into_iter().filter_map(Result::err).collect())
            }
        }
        (Arity::List, DeValue::String(text)) => {
            // As on the command line.
            let texts: Vec<String> = text.split(',').map(str::to_owned).collect();
            match texts.iter().find_map(|text| key.check(&[text]).err()) {
                None => Ok(Some(texts)),
                Some(why) => wrong(&why),
            }
        }
        (Arity::One, DeValue::Array(values)) => {
            wrong(&format!("one value is wanted, and this is a list of {}", values.len()))
        }
        // As in the environment.
        (Arity::One, DeValue::String(text)) if text.is_empty() && key.may_be_unset() => Ok(None),
        (Arity::List | Arity::Repeated | Arity::One, _) => {
            one(value).map(|text| Some(vec![text])).map_err(|wrong| vec![wrong])
        }
    }
}

/// One value as text, checked.
fn text_of(key: &FileKey, value: &Spanned<DeValue<'_>>, folder: &Path) -> Result<String, WrongValue> {
    let check = |text: String| match key.check(&[&text]) {
        Ok(()) => Ok(text),
        Err(why) => Err(why),
    };
    // Where a form takes no such value it says what it takes, and if it would have taken the text, that is what is missing.
    let no_text = |text: &str, kind: &str| match key.check(&[text]) {
        Ok(()) => Err(format!("a text in quotes is wanted, and this is {kind}")),
        Err(why) => Err(why),
    };
    let is = |literal: Literal| key.literal == literal;
    let read = match value.get_ref() {
        DeValue::String(text) if is(Literal::Path) && !text.is_empty() => {
            check(folder.join(text.as_ref()).to_string_lossy().into_owned())
        }
        DeValue::String(text) => check(text.to_string()),
        DeValue::Integer(number) if is(Literal::Number) => match number.radix() {
            10 => check(number.as_str().to_owned()),
            // Octal for a mode, which is what it is on the command line; the number it stands for elsewhere.
            _ => check(prefixed(number)).or_else(|_| check(decimal(number)?)),
        },
        DeValue::Integer(number) => no_text(number.as_str(), "a number"),
        DeValue::Float(number) if is(Literal::Number) => match number.as_str().parse::<f64>() {
            Ok(number) => check(number.to_string()),
            Err(_) => Err("this is no number".to_owned()),
        },
        DeValue::Float(number) => no_text(number.as_str(), "a number"),
        DeValue::Boolean(is_on) if is(Literal::Boolean) => {
            check(if *is_on { "on" } else { "off" }.to_owned())
        }
        DeValue::Boolean(is_on) => no_text(&is_on.to_string(), &format!("{is_on} without quotes")),
        DeValue::Datetime(date) => no_text(&date.to_string(), "a date"),
        DeValue::Array(_) => Err("one value is wanted in each place, and this is a list".to_owned()),
        DeValue::Table(_) => Err("an option has a value, and this is a table".to_owned()),
    };
    read.map_err(|why| (value.span(), why))
}

fn prefixed(number: &DeInteger<'_>) -> String {
    let prefix = match number.radix() {
        2 => "0b",
        8 => "0o",
        _ => "0x",
    };
    format!("{prefix}{}", number.as_str())
}

fn decimal(number: &DeInteger<'_>) -> Result<String, String> {
    let value = u64::from_str_radix(number.as_str(), number.radix());
    value.map(|value| value.to_string()).map_err(|_| "it is more than this machine can count".to_owned())
}
