//! Changes to the text of a file of users. Whatever people have written there stays: comments, order, layout.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

use crate::Filter;
use crate::auth::{Quotas, TokenHash};

/// A user to be declared.
#[derive(Default, Debug)]
pub(super) struct NewUser {
    pub(super) name: String,
    pub(super) token: Option<TokenHash>,
    /// The hash of a password.
    pub(super) password: Option<String>,
    pub(super) certificates: Vec<String>,
    pub(super) curve_keys: Vec<String>,
    pub(super) uids: Vec<u32>,
    /// Keys of rights, each with its filters.
    pub(super) rights: Vec<(&'static str, Vec<Filter>)>,
    pub(super) quotas: Quotas,
}

impl NewUser {
    /// True if there is nothing to declare but a token.
    pub(super) fn is_a_token_alone(&self) -> bool {
        let has_rights = self.rights.iter().any(|(_, filters)| !filters.is_empty());
        let has_names = !self.certificates.is_empty() || !self.curve_keys.is_empty() || !self.uids.is_empty();
        self.token.is_some() && self.password.is_none() && !has_rights && !has_names && self.quotas.are_none()
    }
}

/// The text with one more user. The caller has seen that a text which is not empty is good.
pub(super) fn with_user(text: &str, new: &NewUser) -> Option<String> {
    let mut table = Table::new();
    table.insert("name", value(&new.name));
    let mut put = |key: &str, values: Array| {
        if !values.is_empty() {
            table.insert(key, value(values));
        }
    };
    put("tokens", new.token.iter().map(TokenHash::to_string).collect());
    put("certificates", new.certificates.iter().collect());
    put("curve_keys", new.curve_keys.iter().collect());
    put("uids", new.uids.iter().map(|uid| i64::from(*uid)).collect());
    for (key, most) in new.quotas.iter() {
        if let Some(most) = most.and_then(|most| i64::try_from(most).ok()) {
            table.insert(key, value(most));
        }
    }
    if let Some(hash) = &new.password {
        table.insert("password", value(hash));
    }
    // Rights are last: a file that is cut off somewhere gives nobody more than the whole one.
    for (key, filters) in &new.rights {
        let filters: Array = filters.iter().map(|filter| filter.text().into_owned()).collect();
        if !filters.is_empty() {
            table.insert(key, value(filters));
        }
    }
    let mut document: DocumentMut = text.parse().ok()?;
    let users = document.entry("user").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    users.as_array_of_tables_mut()?.push(table);
    Some(document.to_string())
}

/// The text with one more token of a user. `None`: there is no such user.
pub(super) fn with_token(text: &str, name: &str, token: &TokenHash) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let users = document.get_mut("user")?.as_array_of_tables_mut()?;
    let user = users.iter_mut().find(|user| is_named(user, name))?;
    let tokens = user.entry("tokens").or_insert_with(|| value(Array::new()));
    tokens.as_array_mut()?.push(token.to_string());
    Some(document.to_string())
}

/// The text without a user. `None`: there is no such user.
pub(super) fn without_user(text: &str, name: &str) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let users = document.get_mut("user")?.as_array_of_tables_mut()?;
    let at = users.iter().position(|user| is_named(user, name))?;
    users.remove(at);
    Some(document.to_string())
}

fn is_named(user: &Table, name: &str) -> bool {
    user.get("name").and_then(Item::as_str) == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Secret, Users};

    fn token(text: &str) -> TokenHash {
        TokenHash::of(&Secret::new(text.as_bytes()))
    }

    fn named(name: &str) -> NewUser {
        NewUser { name: name.to_owned(), token: Some(token(name)), ..NewUser::default() }
    }

    #[test]
    fn users_come_and_go_and_comments_stay() {
        let first = with_user("", &named("a")).expect("added");
        Users::parse(&first).expect("good");
        let commented =
            format!("# The team.\n\n{first}\n# Its desk.\n[[user]] # b\nname = 'b'\n\n# Others.\n");
        let prices = vec![Filter::parse("prices.>").expect("a filter")];
        let new = NewUser { rights: vec![("subscribe", prices)], uids: vec![7], ..named("c") };
        let text = with_user(&commented, &new).expect("added");
        let users = Users::parse(&text).expect("good");
        assert_eq!(users.iter().map(|user| user.name()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(text.contains("subscribe = [\"prices.>\"]"), "{text}");
        let text = with_token(&text, "b", &token("new")).expect("there");
        let text = without_user(&text, "a").expect("there");
        let users = Users::parse(&text).expect("good");
        assert_eq!(users.iter().map(|user| user.name()).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(users.get("b").expect("there").credentials().len(), 1);
        for comment in ["# Its desk.", "# b", "# Others."] {
            assert!(text.contains(comment), "{text}");
        }
        assert_eq!(without_user(&text, "a"), None);
        assert_eq!(with_token(&text, "a", &token("new")), None);
    }

    #[test]
    fn a_file_that_is_cut_off_at_a_line_gives_nobody_more() {
        let quotas = Quotas { sessions: Some(2), ..Quotas::default() };
        let everything = vec![Filter::parse(">").expect("a filter")];
        let password = crate::auth::hash_password(&Secret::new(b"sesame")).expect("hashed");
        let new =
            NewUser { rights: vec![("publish", everything)], quotas, password: Some(password), ..named("a") };
        let text = with_user("", &new).expect("added");
        let mut cut = String::new();
        for line in text.lines() {
            if let Some(user) = Users::parse(&cut).ok().as_ref().and_then(|users| users.get("a")) {
                let may = user.rights().permit(crate::auth::Action::Publish(b"x"));
                assert_eq!(may, crate::auth::Verdict::Refused, "{cut}");
            }
            cut = format!("{cut}{line}\n");
        }
        assert_eq!(Users::parse(&cut).expect("good").get("a").expect("there").quotas().sessions, Some(2));
    }
}
