//! Options as lines of a config file: `key = VALUE`, in the natural way of TOML.

use toml_edit::{Array, Value};

use super::FileKey;
use crate::config::{Arity, Literal};

/// A line that sets an option to these values; to nothing, where it may be unset.
pub(crate) fn written(key: &FileKey, texts: &[String]) -> String {
    let value = match key.arity {
        Arity::List | Arity::Repeated => Value::Array(texts.iter().map(String::as_str).collect::<Array>()),
        Arity::Switch => Value::from(!texts.is_empty()),
        Arity::One => one(key, texts.first().map_or("", String::as_str)),
    };
    format!("{} = {}", key.key, value.to_string().trim())
}

fn one(key: &FileKey, text: &str) -> Value {
    match (key.literal, text) {
        (Literal::Boolean, "on") => true.into(),
        (Literal::Boolean, "off") => false.into(),
        // Digits that would be read back as others, such as those of a mode, stay a text.
        (Literal::Number, digits) => match digits.parse::<i64>() {
            Ok(number) if number.to_string() == digits => number.into(),
            _ => text.into(),
        },
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config::file::{FileGrammar, FileSection, read_config};
    use crate::config::{FilePath, List, OnOff, One, Optional, Plain, Size, Switch};

    configuration! {
        /// Options of each shape.
        #[derive(Debug)]
        struct Written {
            /// Texts.
            names: Vec<String> = Vec::new(), option("name", "NAME", List<Plain>);
            /// Size.
            size: usize = 0, option("size", "BYTES", One<Size>);
            /// Path.
            path: Option<PathBuf> = None, option("path", "FILE", Optional<FilePath>);
            /// On or off.
            on: bool = true, option("on", "on|off", One<OnOff>);
            /// Switch.
            switch: bool = false, option("switch", "", Switch);
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let keys = || FileKey::all_of::<Written>();
        let grammar = FileGrammar {
            sections: vec![FileSection { table: None, whose: "all", keys: keys() }],
            not_in_files: &[],
        };
        for (key, texts, line) in [
            ("name", &["a", "b'\"\\\n,"][..], None),
            ("name", &[], Some("name = []")),
            ("size", &["16MiB"], Some("size = \"16MiB\"")),
            ("size", &["1000"], Some("size = 1000")),
            ("path", &["/a b"], Some("path = \"/a b\"")),
            ("path", &[], Some("path = \"\"")),
            ("on", &["off"], Some("on = false")),
            ("switch", &["true"], Some("switch = true")),
            ("switch", &[], Some("switch = false")),
        ] {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let known = keys().into_iter().find(|known| known.key == key).expect(key);
            let written = written(&known, &texts);
            assert!(line.is_none_or(|line| line == written), "{written}");
            let values = read_config(written.as_bytes(), &grammar, Path::new("/")).expect(&written);
            let read = values.get(None, known.key).map(|entry| entry.texts.clone()).unwrap_or_default();
            let switched_off = vec!["false".to_owned()];
            assert!(read == texts || (key == "switch" && read == switched_off), "{written}: {read:?}");
        }
    }
}
