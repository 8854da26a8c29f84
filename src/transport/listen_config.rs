//! The choices about listeners, and how users write them.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::unistd::Group;

use super::inherited::InheritedSockets;
use super::tls::TlsServer;
use crate::config::{Form, Literal, Optional};

/// Permission bits of a file.
const MODE_MAX: u32 = 0o777;

configuration! {
    /// Everything that can be chosen about listeners besides their endpoints: one value for all of a process, those for
    /// HTTP included. Who may connect to a socket file is a matter of the folders above it, too; by default the process's
    /// umask decides.
    #[derive(Clone, PartialEq, Eq, Hash, Debug)]
    #[non_exhaustive]
    pub struct ListenConfig {
        /// Mode of socket files, in octal; connecting takes write permission [default: set by the umask, or 0660 with
        /// --socket-group].
        file_mode (into): Option<u32> = None, option("socket-mode", "MODE", Optional<Octal>);

        /// Group of socket files, by name or number [default: the group of this process].
        file_group (into): Option<u32> = None, option("socket-group", "GROUP", Optional<GroupName>);

        /// The certificate of `tls://` listeners, which need one.
        tls (into): Option<TlsServer> = None;

        /// Sockets that the process was started with, which are used where their addresses are those to listen at.
        inherited: InheritedSockets = InheritedSockets::default();
    }
}

impl ListenConfig {
    /// The mode of a socket file, if one is chosen.
    pub(super) fn mode(&self) -> Option<u32> {
        self.file_mode.or(self.file_group.map(|_| 0o660))
    }

    /// Sets group and mode of the file at `path`, in this order: at no time may more than those connect.
    pub(super) fn set_access(&self, path: &Path) -> io::Result<()> {
        if let Some(group) = self.file_group {
            std::os::unix::fs::chown(path, None, Some(group))?;
        }
        if let Some(mode) = self.mode() {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }
}

/// The form of permission bits: octal digits.
#[derive(Debug)]
struct Octal;

impl Form<u32> for Octal {
    const LITERAL: Literal = Literal::Number;

    fn read(text: &str) -> Result<u32, String> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if mode <= MODE_MAX => Ok(mode),
            _ => Err("a mode is three octal digits, such as 0660 for owner and group".to_owned()),
        }
    }

    fn write(mode: &u32) -> String {
        format!("{mode:04o}")
    }
}

/// The form of a group: its number, or its name on this host.
#[derive(Debug)]
struct GroupName;

impl Form<u32> for GroupName {
    const LITERAL: Literal = Literal::Number;

    fn read(text: &str) -> Result<u32, String> {
        if let Ok(number) = text.parse() {
            return Ok(number);
        }
        match Group::from_name(text) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            Ok(None) => Err("there is no group of this name on this host".to_owned()),
            Err(e) => Err(format!("the groups of this host cannot be read: {e}")),
        }
    }

    fn write(group: &u32) -> String {
        group.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_and_groups_have_names_or_numbers() {
        for (text, mode) in [("660", 0o660), ("0660", 0o660), ("0o600", 0o600), ("777", 0o777), ("0", 0)] {
            assert_eq!(Octal::read(text), Ok(mode), "{text}");
        }
        for text in ["", "8", "u+rw", "1777", "-1"] {
            assert!(Octal::read(text).is_err(), "{text}");
        }
        assert_eq!(GroupName::read("1234"), Ok(1234));
        assert_eq!(GroupName::read("root"), Ok(0));
        assert!(GroupName::read("no such group").unwrap_err().contains("no group"));
    }
}
