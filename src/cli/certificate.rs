//! `corecast cert`: makes an authority, and certificates of servers and clients, for those who have none. Nothing is ever
//! overwritten, and what it writes only its owner may read.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::json;
use x509_parser::time::ASN1Time;
use zeroize::Zeroizing;

use super::new_file::{is_there, write_new};
use super::output::{Format, note};
use super::{Exit, Failure, Utc};
use crate::transport::CertificateFacts;

const EXAMPLES: &str = "\
Examples:
  corecast cert ca                                 # ca.pem and ca.key
  corecast cert server localhost broker.example.org 10.0.0.5   # server.pem and server.key, for these
  corecast cert client alice                       # alice.pem and alice.key
  corecast cert show server.pem                    # names, purpose, end of validity, fingerprint

  corecast broker --listen 'tls://*:6680' --tls-cert server.pem --tls-key server.key --users users.toml
  corecast sub '>' --broker tls://localhost:6680 --ca ca.pem

Every key stays where it is made; only ca.pem goes to the clients. Whoever has ca.key can make certificates that they trust: \
keep it off the hosts of brokers.";

/// Mode of a key: only its owner reads it.
const KEY_MODE: u32 = 0o600;

/// Mode of a certificate, which everybody may read: users of a host share that of the authority.
const CERTIFICATE_MODE: u32 = 0o644;

/// Make an authority of your own, and certificates of brokers and clients.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct CertArgs {
    #[command(subcommand)]
    command: CertCommand,
}

#[derive(Subcommand, Debug)]
enum CertCommand {
    /// Make an authority: ca.pem, which clients trust, and ca.key, which signs.
    Ca(CaArgs),
    /// Make the certificate of a broker: server.pem and server.key.
    Server(ServerArgs),
    /// Make the certificate of a client: NAME.pem and NAME.key.
    Client(ClientCertArgs),
    /// Print names, purpose, end of validity and fingerprint of a certificate.
    Show(ShowArgs),
}

/// The form in which the files are named that were made.
#[derive(Args, Clone, Copy, Debug)]
struct MadeArgs {
    /// Output format: text, or json for an object with the paths of the files.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Args, Debug)]
struct CaArgs {
    /// Name of the authority, for people.
    #[arg(long, value_name = "NAME", default_value = "corecast")]
    name: String,

    /// Days of its validity.
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,

    /// Folder of the files.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    #[command(flatten)]
    made: MadeArgs,
}

#[derive(Args, Debug)]
struct ServerArgs {
    /// Hosts, as clients write them: names and IP addresses.
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,

    /// Name of its files, without .pem and .key.
    #[arg(long, value_name = "NAME", default_value = "server")]
    out: String,

    #[command(flatten)]
    signed: SignedArgs,
}

#[derive(Args, Debug)]
struct ClientCertArgs {
    /// Name of the client, by which a broker knows it: a word, a host, an address of mail, or a URI.
    name: String,

    /// Name of its files, without .pem and .key [default: its name].
    #[arg(long, value_name = "NAME")]
    out: Option<String>,

    #[command(flatten)]
    signed: SignedArgs,
}

#[derive(Args, Debug)]
struct SignedArgs {
    /// Days of its validity; it ends with its authority at the latest.
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,

    /// Folder of the files, and of ca.pem and ca.key.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    #[command(flatten)]
    made: MadeArgs,
}

#[derive(Args, Debug)]
struct ShowArgs {
    /// A PEM file; its first certificate is shown.
    file: PathBuf,

    /// Output format: text, or json for an object.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: CertArgs) -> Result<Exit, Failure> {
    match args.command {
        CertCommand::Ca(args) => make_authority(&args)?,
        CertCommand::Server(args) => make_server(&args)?,
        CertCommand::Client(args) => make_client(&args)?,
        CertCommand::Show(args) => show(&args)?,
    }
    Ok(Exit::Fine)
}

fn make_authority(args: &CaArgs) -> Result<(), Failure> {
    let files = Files::new(&args.dir, "ca")?;
    let key = KeyPair::generate().map_err(not_made)?;
    let mut params = CertificateParams::default();
    set_validity(&mut params, args.days, None)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, &args.name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(not_made)?;
    files.write(&certificate.pem(), key, args.made)
}

fn make_server(args: &ServerArgs) -> Result<(), Failure> {
    let names = args.hosts.iter().map(|host| host_name(host)).collect::<Result<_, _>>()?;
    let first = args.hosts.first().map_or("", String::as_str);
    sign(&args.out, first, names, ExtendedKeyUsagePurpose::ServerAuth, &args.signed)
}

fn make_client(args: &ClientCertArgs) -> Result<(), Failure> {
    let name = client_name(&args.name)?;
    let out = args.out.as_ref().unwrap_or(&args.name);
    sign(out, &args.name, vec![name], ExtendedKeyUsagePurpose::ClientAuth, &args.signed)
}

/// Makes a certificate of the authority in the same folder.
fn sign(
    out: &str,
    common_name: &str,
    names: Vec<SanType>,
    purpose: ExtendedKeyUsagePurpose,
    args: &SignedArgs,
) -> Result<(), Failure> {
    let files = Files::new(&args.dir, out)?;
    let (authority, ends_at) = authority(&args.dir)?;
    let key = KeyPair::generate().map_err(not_made)?;
    let mut params = CertificateParams::default();
    set_validity(&mut params, args.days, Some(ends_at))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &authority).map_err(not_made)?;
    files.write(&certificate.pem(), key, args.made)
}

/// The authority of a folder, and the end of its validity.
fn authority(dir: &Path) -> Result<(Issuer<'static, KeyPair>, SystemTime), Failure> {
    let (certificate_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
    let read = |path: &Path| {
        fs::read_to_string(path).map(Zeroizing::new).map_err(|e| {
            Failure::new(Exit::Failed, format!("{}: {e}", path.display()))
                .hint("`corecast cert ca` makes an authority; --dir says where it is")
        })
    };
    let (certificate, key) = (read(&certificate_path)?, read(&key_path)?);
    let of_file =
        |path: &Path, e: rcgen::Error| Failure::new(Exit::Failed, format!("{}: {e}", path.display()));
    let key = KeyPair::from_pem(&key).map_err(|e| of_file(&key_path, e))?;
    let facts = CertificateFacts::read("ca", &certificate_path)?;
    let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(|e| of_file(&certificate_path, e))?;
    Ok((issuer, facts.ends_at))
}

/// Makes it valid from an hour ago, for clocks that are behind, and for so many days, at the latest until `end`.
fn set_validity(params: &mut CertificateParams, days: u32, end: Option<SystemTime>) -> Result<(), Failure> {
    let now = SystemTime::now();
    let days_end = now + Duration::from_secs(u64::from(days) * 86_400);
    let end = end.map_or(days_end, |end| end.min(days_end));
    params.not_before = date(now - Duration::from_secs(3_600))?.to_datetime();
    params.not_after = date(end)?.to_datetime();
    Ok(())
}

fn date(at: SystemTime) -> Result<ASN1Time, Failure> {
    let unix_s = at.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    ASN1Time::from_timestamp(i64::try_from(unix_s).unwrap_or(i64::MAX))
        .map_err(|_| Failure::new(Exit::Failed, "no certificate can have this date; is the clock right?"))
}

/// The name of a host, as clients write it.
fn host_name(text: &str) -> Result<SanType, Failure> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse() {
        return Ok(SanType::IpAddress(address));
    }
    let is_name =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte));
    let name = is_name.then(|| text.try_into().ok()).flatten();
    name.map(SanType::DnsName).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("`{text}` is no host; write a name or an address, without scheme and port"),
        )
    })
}

fn client_name(text: &str) -> Result<SanType, Failure> {
    let wrong = || Failure::new(Exit::Usage, format!("`{text}` is no name of a client; write it in ASCII"));
    match text {
        _ if text.contains("://") => text.try_into().map(SanType::URI).map_err(|_| wrong()),
        _ if text.contains('@') => text.try_into().map(SanType::Rfc822Name).map_err(|_| wrong()),
        _ => host_name(text).map_err(|_| wrong()),
    }
}

fn not_made(error: rcgen::Error) -> Failure {
    Failure::new(Exit::Failed, format!("the certificate cannot be made: {error}"))
}

/// The files of a certificate and its key.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// Files with this name that are not there yet.
    fn new(dir: &Path, name: &str) -> Result<Self, Failure> {
        if name.is_empty() || name.contains('/') {
            return Err(Failure::new(Exit::Usage, format!("`{name}` cannot be the name of a file"))
                .hint("--out NAME is the name of its files"));
        }
        let files =
            Files { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
        for path in [&files.certificate, &files.key] {
            if fs::symlink_metadata(path).is_ok() {
                return Err(is_there(path));
            }
        }
        Ok(files)
    }

    /// Writes both, the key first; without the one the other is of no use, and goes. Then it names them.
    fn write(&self, certificate: &str, key: KeyPair, made: MadeArgs) -> Result<(), Failure> {
        let key_pem = Zeroizing::new(key.serialize_pem());
        write_new(&self.key, KEY_MODE, key_pem.as_bytes())?;
        if let Err(failure) = write_new(&self.certificate, CERTIFICATE_MODE, certificate.as_bytes()) {
            let _ = fs::remove_file(&self.key);
            return Err(failure);
        }
        let (certificate, key) = (self.certificate.display(), self.key.display());
        if made.output == Format::Text {
            note(format!("made {certificate} and {key}"));
        }
        let paths = json!({ "certificate": certificate.to_string(), "key": key.to_string() });
        made.output.print(String::new, &paths)
    }
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let facts = CertificateFacts::read("file", &args.file)?;
    let unix = facts.ends_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let utc = Utc { unix_ns: u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX) };
    let (valid_until, fingerprint) = (utc.to_string(), facts.fingerprint.to_string());
    let words = || {
        let names = if facts.names.is_empty() { "none".to_owned() } else { facts.names.join(" ") };
        let purpose = match (facts.is_for_servers, facts.is_for_clients) {
            (true, true) => "servers and clients",
            (true, false) => "servers",
            (false, true) => "clients",
            (false, false) => "neither servers nor clients",
        };
        format!(
            "names        {names}\npurpose      {purpose}\nvalid until  {valid_until}\nfingerprint  {fingerprint}\n"
        )
    };
    let object = json!({
        "names": facts.names,
        "servers": facts.is_for_servers,
        "clients": facts.is_for_clients,
        "valid_until": valid_until,
        "fingerprint": fingerprint,
    });
    args.output.print(words, &object)
}
