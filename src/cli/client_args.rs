//! Owns the arguments by which a client finds its broker and trusts it: the same for `pub`, `sub`, `ping`, `latency` and `registry`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::config_file::ConfigFile;
use super::core_dumps::forbid_core_dumps;
use super::settings::{InForce, Settings, TOKEN_VARIABLE};
use super::{Failure, Sources};
use crate::{ClientConfig, TlsClientFiles};

/// The file of a user's clients, in the folder of that user's config files.
const CLIENT_FILE: &str = "corecast/client.toml";

#[derive(Args, Clone, Debug)]
pub(super) struct ClientArgs {
    /// Config file whose table [client] has the options of this group that are not given [default: corecast/client.toml in
    /// $XDG_CONFIG_HOME or ~/.config, if it is there].
    #[arg(long = "config", value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    client: Settings<ClientConfig>,

    #[command(flatten)]
    trust: Settings<TlsClientFiles>,
}

impl ClientArgs {
    /// Reads the config file, if one is named or the user has one, and takes up what it says and nothing stronger does.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong.
    pub(super) fn read_file(&mut self, sources: &mut Sources) -> Result<(), Failure> {
        let Some(path) = self.file.clone().or_else(|| file_of_user(|name| std::env::var_os(name))) else {
            return Ok(());
        };
        let file = ConfigFile::read_named(&path)?;
        // A token of the environment is stronger than the file of one that a file names.
        let has_token = std::env::var_os(TOKEN_VARIABLE).is_some_and(|token| !token.is_empty());
        let file = if has_token { file.without_token() } else { file };
        let file = file.of_clients();
        self.client.fill(&file, sources)?;
        self.trust.fill(&file, sources)
    }

    /// The value of each option.
    pub(super) fn in_force(&self) -> InForce {
        let mut values = InForce::default();
        self.client.note_in(&mut values);
        self.trust.note_in(&mut values);
        values
    }

    /// The configuration, for which the files of certificates and of the token are read now.
    ///
    /// # Errors
    /// The file that cannot be read, or does not fit.
    pub(super) fn config(self) -> Result<ClientConfig, Failure> {
        let config = self.client.with_token()?;
        let trust = self.trust.0;
        if config.token.is_some() || trust.cert.is_some() {
            forbid_core_dumps()?;
        }
        let connect = config.connect.clone().tls(trust.read()?);
        Ok(config.connect(connect))
    }
}

/// The config file of this user's clients, if it is there.
fn file_of_user(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    // A relative path is to be ignored: so says the XDG Base Directory Specification.
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(folder.join(CLIENT_FILE)).filter(|path| Path::exists(path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_user_has_one_config_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (xdg, home) = (folder.path().join("xdg"), folder.path().join("home"));
        let found = |xdg: Option<&Path>, home: Option<&Path>| {
            file_of_user(|name| match name {
                "XDG_CONFIG_HOME" => xdg.map(|path| path.as_os_str().to_owned()),
                "HOME" => home.map(|path| path.as_os_str().to_owned()),
                _ => None,
            })
        };
        assert_eq!(found(Some(&xdg), Some(&home)), None, "none is there");
        for folder in [&xdg, &home.join(".config")] {
            fs::create_dir_all(folder.join("corecast")).expect("made");
            fs::write(folder.join(CLIENT_FILE), "").expect("written");
        }
        assert_eq!(found(Some(&xdg), Some(&home)), Some(xdg.join(CLIENT_FILE)));
        let at_home = Some(home.join(".config").join(CLIENT_FILE));
        assert_eq!(found(None, Some(&home)), at_home);
        assert_eq!(found(Some(Path::new("")), Some(&home)), at_home);
        assert_eq!(found(Some(Path::new("relative")), Some(&home)), at_home);
        assert_eq!(found(Some(Path::new("relative")), None), None);
    }
}
