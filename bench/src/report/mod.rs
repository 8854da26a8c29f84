//! What a result looks like: the record that is written as JSON, the tables and the progress that a person reads on a
//! terminal, the assertions that a script makes, and the report that people read afterwards.
//!
//! | file | owns |
//! |---|---|
//! | [`record`] | the record `corecast-bench/1` |
//! | [`text`], [`progress`] | what a terminal shows of runs |
//! | `table` | rows of figures under headings: for terminals, HTML and Markdown |
//! | [`assertion`], [`assert_expr`] | `--assert` |
//! | [`compare`] | two results side by side |
//! | [`source`] | reading what is to be reported |
//! | `chapter` | what a report says about it |
//! | `document` | the report as figures, tables and words |
//! | `html`, `markdown` | how it is written |
//! | `plot`, `raster` | pictures, and their pixels |
//! | `unit` | figures in words |
//! | [`publish`] | the files of a report |

pub mod assert_expr;
pub mod assertion;
mod chapter;
pub mod compare;
mod document;
mod html;
mod markdown;
pub mod peer_record;
mod plot;
pub mod progress;
pub mod publish;
mod raster;
pub mod record;
pub mod source;
pub(crate) mod table;
pub mod text;
pub(crate) mod unit;
