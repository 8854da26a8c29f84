//! What a result looks like: the record that is written as JSON, the tables and the progress that a person reads,
//! and the assertions that a script makes.

pub mod assert_expr;
pub mod assertion;
pub mod peer_record;
pub mod progress;
pub mod record;
pub mod table;
