//! Results for people: the text of runs on a terminal, the report that is read afterwards, and two results side by
//! side.
//!
//! | file | owns |
//! |---|---|
//! | [`text`] | the text about runs on a terminal |
//! | `table` | rows of figures under headings: for terminals, HTML and Markdown |
//! | [`compare`] | two results side by side |
//! | [`source`] | reading what is to be reported |
//! | `chapter` | the content of a report, by kind of result |
//! | `runs`, `likeness` | a selection of runs, and which runs belong together |
//! | `document` | a report as figures, tables and words |
//! | `html`, `markdown` | how it is written |
//! | `plot`, `raster` | pictures, and their pixels |
//! | [`publish`] | the files of a report |

mod chapter;
pub mod compare;
mod document;
mod html;
mod likeness;
mod markdown;
mod plot;
pub mod publish;
mod raster;
mod runs;
pub mod source;
pub(crate) mod table;
pub mod text;
