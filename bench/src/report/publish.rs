//! Owns a report on disk: the page, the Markdown, and each plot as SVG (light and dark) and PNG.

use super::chapter::document;
use super::document::{Block, Document};
use super::plot::canvas::WIDE;
use super::plot::theme::Theme;
use super::raster::{Raster, RasterError};
use super::source::Source;
use super::{html, markdown};

/// One file of a report: where it goes in the report's folder, and what stands in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// With `/` between folders.
    pub path: String,
    /// All of it.
    pub content: Vec<u8>,
}

/// The page's name.
pub const PAGE: &str = "report.html";
/// The Markdown's name.
pub const TEXT: &str = "report.md";

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the plot `{plot}` cannot be drawn: {why}")]
pub struct ReportError {
    plot: String,
    why: RasterError,
}

/// Every file of the report of these sources. The same sources give the same bytes.
pub fn files(sources: &[Source]) -> Result<Vec<File>, ReportError> {
    let document = document(sources);
    let mut files = vec![
        File { path: PAGE.into(), content: html::page(&document).into_bytes() },
        File { path: TEXT.into(), content: markdown::text(&document).into_bytes() },
    ];
    let raster = Raster::new();
    for (slug, figure) in figures(&document) {
        let picture = |theme| format!("{}\n", figure.chart.draw(&figure.title, WIDE, theme).into_string());
        let path = |ending| markdown::picture_path(slug, &figure.slug, ending);
        let light = picture(Theme::Light);
        let png =
            raster.png(&light).map_err(|why| ReportError { plot: format!("{slug}-{}", figure.slug), why })?;
        files.push(File { path: path(".png"), content: png });
        files.push(File { path: path(".svg"), content: light.into_bytes() });
        files.push(File { path: path("-dark.svg"), content: picture(Theme::Dark).into_bytes() });
    }
    Ok(files)
}

/// Each figure with the slug of its chapter.
fn figures(document: &Document) -> impl Iterator<Item = (&str, &super::document::Figure)> {
    document.chapters.iter().flat_map(|chapter| {
        let blocks = chapter.sections.iter().flat_map(|section| &section.blocks);
        blocks.filter_map(|block| match block {
            Block::Figure(figure) => Some((&chapter.slug[..], &**figure)),
            _ => None,
        })
    })
}
