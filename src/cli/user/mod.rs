//! `corecast user`: the users of a broker, in the file that `corecast broker --users` reads.
//!
//! | file | owns |
//! |---|---|
//! | `change` | changes to the text of a file of users |
//! | `file` | such a file, read and replaced |

mod change;
mod file;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand, value_parser};
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use self::change::{NewUser, with_token, with_user, without_user};
use self::file::{FileChange, UsersFile};
use super::core_dumps::forbid_core_dumps;
use super::new_file::write_new;
use super::output::{Format, json_line, note, print};
use super::subscribe::note_wildcards_of_others;
use super::{Exit, Failure};
use crate::auth::{
    ANONYMOUS, Action, Credential, Quotas, Scope, Secret, TokenHash, User, Verdict, fresh_token,
    hash_password,
};
use crate::limits::PASSWORD_BYTES_MAX;
use crate::printable::{printable, printable_json};
use crate::{Filter, Topic};

const EXAMPLES: &str = "\
Examples:
  corecast user add feeds --users users.toml --publish 'prices.>' --token-out feeds.token
  corecast user add desk --users users.toml --subscribe 'prices.>' --token-out desk.token
  corecast user add anonymous --users users.toml --subscribe 'news.>'      # whoever shows nothing
  corecast user add guest --users users.toml --subscribe 'news.>' --max-sessions 2 --max-subscriptions 100
  corecast user permissions desk --users users.toml --subscribe 'prices.*' --publish prices.eur
  corecast broker --users users.toml
  corecast broker --users users.toml --listen 'tls://*:6680' --tls-cert server.pem --tls-key server.key
  corecast sub 'prices.>' --token-file desk.token

A token is seen once, and the file has only its hash. A user has no rights but those that the file gives. A running \
broker reads the file again on `corecast reload`, or SIGHUP.";

/// Mode of a file with a token: only its owner reads it.
const TOKEN_FILE_MODE: u32 = 0o600;

/// Add, list, remove and check the users of a broker.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Subcommand, Debug)]
enum UserCommand {
    Add(Box<AddArgs>),
    List(ListArgs),
    Remove(RemoveArgs),
    Check(CheckArgs),
    Permissions(PermissionsArgs),
}

/// The file of all of these.
#[derive(Args, Debug)]
struct FileArgs {
    /// File of users, as for `corecast broker --users`.
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
}

/// Add a user, or a token to one that is there, and print the token.
#[derive(Args, Debug)]
struct AddArgs {
    #[command(flatten)]
    file: FileArgs,

    /// Name of the user; `anonymous` stands for all peers that show nothing.
    name: String,

    /// Topics that it may publish, and no others; repeatable, as all of these.
    #[arg(long, value_name = "FILTER")]
    publish: Vec<Filter>,

    /// Topics that it may subscribe to.
    #[arg(long, value_name = "FILTER")]
    subscribe: Vec<Filter>,

    /// Topics of which it may be a direct publisher.
    #[arg(long, value_name = "FILTER")]
    register: Vec<Filter>,

    /// Topics whose subscribers it may count, besides those that it may publish.
    #[arg(long, value_name = "FILTER")]
    watch: Vec<Filter>,

    /// Topics whose direct publishers it may list, besides those that it may subscribe to.
    #[arg(long, value_name = "FILTER")]
    list: Vec<Filter>,

    /// Name in a client certificate that shows that a peer is this user.
    #[arg(long, value_name = "NAME")]
    certificate: Vec<String>,

    /// Public key of a CURVE peer that is this user, in Z85.
    // One key in 85 begins with a hyphen.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    curve_key: Vec<String>,

    /// Uid of processes on this host that are this user when they come over a Unix socket.
    #[arg(long, value_name = "UID")]
    uid: Vec<u32>,

    /// Quota of open sessions.
    #[arg(long, value_name = "N", value_parser = a_quota())]
    max_sessions: Option<u64>,

    /// Quota of subscriptions, of all its sessions together.
    #[arg(long, value_name = "N", value_parser = a_quota())]
    max_subscriptions: Option<u64>,

    /// Quota of bytes in egress queues, of all its sessions together.
    #[arg(long, value_name = "N", value_parser = a_quota())]
    max_bytes_waiting: Option<u64>,

    /// Quota of messages published a second; a faster publisher waits.
    #[arg(long, value_name = "N", value_parser = a_quota())]
    max_publish_rate: Option<u64>,

    /// Read a password from the first line of stdin.
    #[arg(long)]
    password_stdin: bool,

    /// Make no token.
    #[arg(long)]
    no_token: bool,

    /// Write the token to this new file, which only its owner may read, in place of stdout.
    #[arg(long, value_name = "FILE", conflicts_with = "no_token")]
    token_out: Option<PathBuf>,

    /// Output format: text for the token alone, or json for an object with the user, and the token or its file.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// The values that a quota may have: TOML's integers are signed.
fn a_quota() -> RangedU64ValueParser {
    value_parser!(u64).range(1..=i64::MAX.unsigned_abs())
}

/// List the users of a file, with the number of ways in which each can log in, and its quotas.
#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    file: FileArgs,

    /// Output format: text for a table, or json with one object per line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// Remove a user, with all of its tokens.
#[derive(Args, Debug)]
struct RemoveArgs {
    #[command(flatten)]
    file: FileArgs,

    /// Name of the user.
    name: String,

    /// Output format: text, which says nothing, or json for an object with the user.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// Check a file of users, as a broker does before it takes it.
#[derive(Args, Debug)]
struct CheckArgs {
    #[command(flatten)]
    file: FileArgs,

    /// Output format: text, or json for an object. What is wrong is an error in both.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// Print the rights of a user, or answer whether it may do something: exit code 0 if it may do all of that, else 1.
#[derive(Args, Debug)]
struct PermissionsArgs {
    #[command(flatten)]
    file: FileArgs,

    /// Name of the user.
    name: String,

    /// Ask whether it may publish this topic.
    #[arg(long, value_name = "TOPIC")]
    publish: Vec<Topic>,

    /// Ask whether it may subscribe to this filter.
    #[arg(long, value_name = "FILTER")]
    subscribe: Vec<Filter>,

    /// Ask whether it may register as a direct publisher of this filter's topics.
    #[arg(long, value_name = "FILTER")]
    register: Vec<Filter>,

    /// Output format: text, or json for an object with the filters of each right, null for all topics; of questions, for an object
    /// each.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: UserArgs) -> Result<Exit, Failure> {
    match args.command {
        UserCommand::Add(args) => add(*args),
        UserCommand::List(args) => list(&args),
        UserCommand::Remove(args) => remove(&args),
        UserCommand::Check(args) => check(&args),
        UserCommand::Permissions(args) => permissions(&args),
    }
}

fn failed(text: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, text)
}

fn add(args: AddArgs) -> Result<Exit, Failure> {
    let token = (!args.no_token && args.name != ANONYMOUS).then(fresh_token).transpose();
    let token = token.map_err(|e| failed(format!("cannot draw a token: {e}")))?;
    if token.is_some() || args.password_stdin {
        forbid_core_dumps()?;
    }
    let password = args.password_stdin.then(read_password).transpose()?;
    if token.is_none() && args.token_out.is_some() {
        let text = "--token-out: this user has no token, which stands for all that show nothing";
        return Err(Failure::new(Exit::Usage, text));
    }
    let rights = [&args.publish, &args.subscribe, &args.register, &args.watch, &args.list];
    rights.into_iter().flatten().for_each(note_wildcards_of_others);
    let name = args.name.clone();
    let new = NewUser {
        name: args.name,
        token: token.as_ref().map(TokenHash::of),
        password: password.as_ref().map(hash).transpose()?,
        certificates: args.certificate,
        curve_keys: args.curve_key,
        uids: args.uid,
        rights: vec![
            ("publish", args.publish),
            ("subscribe", args.subscribe),
            ("register", args.register),
            ("watch", args.watch),
            ("list", args.list),
        ],
        quotas: Quotas {
            sessions: args.max_sessions,
            subscriptions: args.max_subscriptions,
            bytes_waiting: args.max_bytes_waiting,
            publish_rate: args.max_publish_rate,
        },
    };
    // Whatever takes time, or waits for somebody, is done: the file is locked from here on.
    let mut change = FileChange::begin(&args.file.users)?;
    let file = change.file();
    let is_there = file.users().is_some_and(|users| users.get(&new.name).is_some());
    let text = match &new.token {
        Some(token) if is_there && new.is_a_token_alone() => with_token(file.text(), &new.name, token),
        _ if is_there => {
            let name = printable(&new.name);
            let text = format!("there is a user `{name}`, to whom this only adds a token");
            let file = args.file.users.display();
            return Err(failed(text)
                .hint(format!("change its rights, names and quotas in {file}, then `corecast user check`")));
        }
        _ => with_user(file.text(), &new),
    };
    change.prepare(text)?;
    let tell = |facts: Value| args.output.print(String::new, &facts).map(|()| Exit::Fine);
    let Some(token) = token else {
        change.commit()?;
        return tell(json!({ "user": name }));
    };
    // The one time that it is seen, and before the user is there, who would be of no use with a token that nobody has.
    let line = Zeroizing::new([token.expose(), b"\n"].concat());
    match args.token_out {
        Some(path) => {
            write_new(&path, TOKEN_FILE_MODE, &line)?;
            change.commit().inspect_err(|_| drop(fs::remove_file(&path)))?;
            tell(json!({ "user": name, "token_file": path.display().to_string() }))?;
        }
        None => {
            match args.output {
                Format::Text => print(&line[..])?,
                Format::Json => print(&with_secret(&name, token.expose())[..])?,
            }
            change.commit().map_err(|failure| failure.hint("the token that was printed is void"))?;
            if args.output == Format::Text {
                note("note: the token is shown this once; the file has its hash");
            }
        }
    }
    Ok(Exit::Fine)
}

/// An object with a user and a token, which is visible ASCII without quotes and backslashes. No copy of it is left.
fn with_secret(name: &str, token: &[u8]) -> Zeroizing<Vec<u8>> {
    let name = json!(name).to_string();
    let name = printable_json(&name);
    Zeroizing::new([b"{\"user\":", name.as_bytes(), b",\"token\":\"", token, b"\"}\n"].concat())
}

/// The first line of stdin.
fn read_password() -> Result<Secret, Failure> {
    let mut text = Zeroizing::new(Vec::with_capacity(PASSWORD_BYTES_MAX + 2));
    let most = PASSWORD_BYTES_MAX as u64 + 2;
    io::stdin().take(most).read_to_end(&mut text).map_err(|e| failed(format!("cannot read stdin: {e}")))?;
    let line = text.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    if line.is_empty() || line.len() > PASSWORD_BYTES_MAX {
        return Err(failed(format!("a password is a line of 1 to {PASSWORD_BYTES_MAX} bytes on stdin")));
    }
    Ok(Secret::new(line))
}

fn hash(password: &Secret) -> Result<String, Failure> {
    hash_password(password).map_err(|e| failed(format!("cannot hash the password: {e}")))
}

/// A user, for programs.
#[derive(Serialize)]
struct Row {
    user: String,
    tokens: usize,
    has_password: bool,
    certificates: Vec<String>,
    curve_keys: Vec<String>,
    uids: Vec<u32>,
    /// By their keys in the file.
    quotas: BTreeMap<&'static str, u64>,
    #[serde(skip)]
    quotas_text: String,
}

impl Row {
    fn of(user: &User) -> Self {
        let mut row = Row {
            user: user.name().to_owned(),
            tokens: 0,
            has_password: false,
            certificates: Vec::new(),
            curve_keys: Vec::new(),
            uids: Vec::new(),
            quotas: user.quotas().iter().filter_map(|(key, most)| Some((key, most?))).collect(),
            quotas_text: user.quotas().to_string(),
        };
        for credential in user.credentials() {
            match credential {
                Credential::Token(_) => row.tokens += 1,
                Credential::Password { .. } => row.has_password = true,
                Credential::Certificate(name) => row.certificates.push(name.clone()),
                Credential::CurveKey(key) => row.curve_keys.push(key.to_string()),
                Credential::Uid(uid) => row.uids.push(*uid),
            }
        }
        row
    }

    fn line(&self) -> String {
        let count = |number: usize, what: &str| match number {
            0 => None,
            1 => Some(format!("1 {what}")),
            more => Some(format!("{more} {what}s")),
        };
        let shows: Vec<String> = [
            count(self.tokens, "token"),
            self.has_password.then(|| "a password".to_owned()),
            count(self.certificates.len(), "certificate name"),
            count(self.curve_keys.len(), "CURVE key"),
            count(self.uids.len(), "uid"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let shows = if shows.is_empty() { "-".to_owned() } else { shows.join(", ") };
        let quotas =
            if self.quotas_text.is_empty() { String::new() } else { format!("; {}", self.quotas_text) };
        format!("{:<24} {shows}{quotas}\n", printable(&self.user))
    }
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let file = UsersFile::open_existing(&args.file.users)?;
    for user in file.users().into_iter().flat_map(|users| users.iter()) {
        let row = Row::of(user);
        print(match args.output {
            Format::Text => row.line(),
            Format::Json => json_line(&row),
        })?;
    }
    Ok(Exit::Fine)
}

fn remove(args: &RemoveArgs) -> Result<Exit, Failure> {
    UsersFile::open_existing(&args.file.users)?;
    let mut change = FileChange::begin(&args.file.users)?;
    let file = change.file();
    if file.users().is_none_or(|users| users.get(&args.name).is_none()) {
        return Err(no_such_user(&args.name));
    }
    let text = without_user(file.text(), &args.name);
    change.prepare(text)?;
    change.commit()?;
    args.output.print(String::new, &json!({ "user": args.name })).map(|()| Exit::Fine)
}

fn no_such_user(name: &str) -> Failure {
    failed(format!("there is no user `{}`", printable(name)))
}

fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let file = UsersFile::open_existing(&args.file.users)?;
    let users = file.users().map_or(0, |users| users.iter().count());
    let path = args.file.users.display();
    let words = || format!("{path}: {users} user{}\n", if users == 1 { "" } else { "s" });
    args.output.print(words, &json!({ "file": path.to_string(), "users": users }))?;
    Ok(Exit::Fine)
}

fn permissions(args: &PermissionsArgs) -> Result<Exit, Failure> {
    let file = UsersFile::open_existing(&args.file.users)?;
    let user =
        file.users().and_then(|users| users.get(&args.name)).ok_or_else(|| no_such_user(&args.name))?;
    let rights = user.rights();
    let publish = args.publish.iter().map(|topic| Action::Publish(topic.as_bytes()));
    let subscribe = args.subscribe.iter().map(Action::Subscribe);
    let register = args.register.iter().map(Action::Register);
    let questions: Vec<Action<'_>> = publish.chain(subscribe).chain(register).collect();
    if questions.is_empty() {
        let topics = |scope: &Scope| -> Option<Vec<String>> {
            Some(scope.filters()?.filters().iter().map(|filter| filter.text().into_owned()).collect())
        };
        let facts: BTreeMap<_, _> =
            rights.scopes().iter().map(|(right, scope)| (*right, topics(scope))).collect();
        let facts = json!({ "user": args.name, "rights": facts });
        return args.output.print(|| rights.to_string(), &facts).map(|()| Exit::Fine);
    }
    let mut exit = Exit::Fine;
    for action in questions {
        let may = rights.permit(action) == Verdict::Allowed;
        if !may {
            exit = Exit::Failed;
        }
        let words = || format!("{}: {action}\n", if may { "yes" } else { "no" });
        args.output
            .print(words, &json!({ "user": args.name, "action": action.to_string(), "allowed": may }))?;
    }
    Ok(exit)
}
