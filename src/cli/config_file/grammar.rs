//! The contents that a config file may have: the options of `corecast broker`, and those by which clients find their broker and trust it.

use crate::broker::BrokerConfig;
use crate::cli::log_options::LogOptions;
use crate::cli::serving::Serving;
use crate::config::file::{FileGrammar, FileKey, FileSection};
use crate::{ClientConfig, ListenConfig, TlsClientFiles, TlsServerFiles};

/// The table of the options of clients.
pub(crate) const CLIENT: &str = "client";

pub(crate) fn grammar() -> FileGrammar {
    let broker = [
        FileKey::all_of::<BrokerConfig>(),
        FileKey::all_of::<ListenConfig>(),
        FileKey::all_of::<TlsServerFiles>(),
        FileKey::all_of::<Serving>(),
        FileKey::all_of::<LogOptions>(),
    ];
    let client = [FileKey::all_of::<ClientConfig>(), FileKey::all_of::<TlsClientFiles>()];
    FileGrammar {
        sections: vec![
            FileSection { table: None, whose: "brokers", keys: broker.into_iter().flatten().collect() },
            FileSection {
                table: Some(CLIENT),
                whose: "clients",
                keys: client.into_iter().flatten().collect(),
            },
        ],
        not_in_files: &["config", "output"],
    }
}
