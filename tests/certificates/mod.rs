//! Certificates of a test's own, made by OpenSSL: an authority, and whatever it is to sign.
#![allow(dead_code, reason = "not every test file asks for all of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// When a certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Validity {
    Now,
    Past,
    Future,
}

/// An authority, with a folder for its certificates.
#[derive(Debug)]
pub(crate) struct Authority {
    dir: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Authority::named("test authority")
    }

    pub(crate) fn named(name: &str) -> Self {
        let authority = Authority { dir: tempfile::tempdir().expect("a folder") };
        fs::write(authority.path("index.txt"), "").expect("a file");
        let request =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"];
        authority
            .openssl(&request, &["-keyout", "ca.key", "-out", "ca.pem", "-subj", &format!("/CN={name}")]);
        authority
    }

    /// A file of the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The certificate of the authority, for those that trust it.
    pub(crate) fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Signs a certificate for these names, such as `DNS:localhost,IP:127.0.0.1`; it is in NAME.pem, its key in NAME.key.
    pub(crate) fn sign(&self, name: &str, names: &str, purpose: &str, validity: Validity) {
        let (begin, end) = match validity {
            Validity::Now => ("20200101000000Z", "20600101000000Z"),
            Validity::Past => ("20200101000000Z", "20210101000000Z"),
            Validity::Future => ("20590101000000Z", "20600101000000Z"),
        };
        let config = format!(
            "[ca]\ndefault_ca=own\n[own]\nnew_certs_dir=.\ndatabase=index.txt\nrand_serial=yes\nunique_subject=no\n\
             private_key=ca.key\ncertificate=ca.pem\ndefault_md=sha256\npolicy=any\nx509_extensions=names\n\
             [any]\ncommonName=supplied\n[names]\nsubjectAltName={names}\nextendedKeyUsage={purpose}\n"
        );
        fs::write(self.path("ca.cnf"), config).expect("a file");
        let (key, csr, pem) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        let request = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        self.openssl(&request, &["-keyout", &key, "-out", &csr, "-subj", &subject]);
        let sign = ["ca", "-config", "ca.cnf", "-batch", "-notext", "-in", &csr, "-out", &pem];
        self.openssl(&sign, &["-startdate", begin, "-enddate", end]);
    }

    /// Signs a certificate of a server on this host.
    pub(crate) fn sign_server(&self, name: &str) {
        self.sign(name, "DNS:localhost,IP:127.0.0.1", "serverAuth", Validity::Now);
    }

    /// Certificate and key of a name, as arguments.
    pub(crate) fn files(&self, name: &str) -> [String; 2] {
        ["pem", "key"].map(|kind| self.path(&format!("{name}.{kind}")).display().to_string())
    }

    fn openssl(&self, args: &[&str], more: &[&str]) {
        let mut command = Command::new("openssl");
        command.args(args).args(more).current_dir(self.dir.path()).stdin(Stdio::null());
        let output = command.output().expect("openssl can be started");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A path as an argument.
pub(crate) fn argument(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
