//! Owns the options for socket files, which every command that listens has.

use clap::Args;
use nix::unistd::Group;

use crate::transport::SocketAccess;

/// Permission bits of a file.
const MODE_MAX: u32 = 0o777;

/// Who may connect to socket files.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct SocketArgs {
    /// Mode of socket files, in octal; connecting takes write permission [default: set by the umask, or 0660 with
    /// --socket-group].
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    socket_mode: Option<u32>,

    /// Group of socket files, by name or number [default: the group of this process].
    #[arg(long, value_name = "GROUP", value_parser = parse_group)]
    socket_group: Option<u32>,
}

impl SocketArgs {
    pub(super) fn access(self) -> SocketAccess {
        SocketAccess { mode: self.socket_mode, group: self.socket_group }
    }
}

fn parse_mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= MODE_MAX => Ok(mode),
        _ => Err("a mode is three octal digits, such as 0660 for owner and group".to_owned()),
    }
}

fn parse_group(text: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    match Group::from_name(text) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err("there is no group of this name on this host".to_owned()),
        Err(e) => Err(format!("the groups of this host cannot be read: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_and_groups_have_names_or_numbers() {
        for (text, mode) in [("660", 0o660), ("0660", 0o660), ("0o600", 0o600), ("777", 0o777), ("0", 0)] {
            assert_eq!(parse_mode(text), Ok(mode), "{text}");
        }
        for text in ["", "8", "u+rw", "1777", "-1"] {
            assert!(parse_mode(text).is_err(), "{text}");
        }
        assert_eq!(parse_group("1234"), Ok(1234));
        assert_eq!(parse_group("root"), Ok(0));
        assert!(parse_group("no such group").unwrap_err().contains("no group"));
    }
}
