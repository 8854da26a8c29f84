//! Owns the way from SVG to PNG, with letters that are embedded here: it works on machines without fonts.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};
use std::sync::Arc;

/// DejaVu Sans, reduced to the letters that plots use; its licence lies beside it.
const LETTERS: &[u8] = include_bytes!("../../assets/DejaVuSans-subset.ttf");
const BOLD_LETTERS: &[u8] = include_bytes!("../../assets/DejaVuSans-Bold-subset.ttf");
const FAMILY: &str = "DejaVu Sans";
/// Pixels for each unit of the picture: sharp on screens of today.
const PIXELS_PER_UNIT: f32 = 2.0;

/// Why a picture cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RasterError {
    /// The SVG is not one.
    #[error("the plot is no SVG: {0}")]
    Svg(#[from] resvg::usvg::Error),
    /// It has no size, or too much of it.
    #[error("the plot has no size that a picture can have")]
    Size,
    /// The pixels cannot be written down.
    #[error("the picture cannot be encoded: {0}")]
    Png(String),
}

/// Draws pictures; made once, because fonts are read then.
pub(crate) struct Raster {
    options: Options<'static>,
}

impl Raster {
    /// With the embedded letters and no others.
    pub(crate) fn new() -> Self {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_data(LETTERS.to_vec());
        fonts.load_font_data(BOLD_LETTERS.to_vec());
        fonts.set_sans_serif_family(FAMILY);
        let options =
            Options { fontdb: Arc::new(fonts), font_family: FAMILY.to_owned(), ..Options::default() };
        Raster { options }
    }

    /// The PNG of this SVG.
    pub(crate) fn png(&self, svg: &str) -> Result<Vec<u8>, RasterError> {
        let tree = Tree::from_str(svg, &self.options)?;
        let size = tree.size();
        let pixels = |length: f32| (length * PIXELS_PER_UNIT).ceil() as u32;
        let mut picture =
            Pixmap::new(pixels(size.width()), pixels(size.height())).ok_or(RasterError::Size)?;
        let scale = Transform::from_scale(PIXELS_PER_UNIT, PIXELS_PER_UNIT);
        resvg::render(&tree, scale, &mut picture.as_mut());
        picture.encode_png().map_err(|error| RasterError::Png(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of pixels that are not white.
    fn marks(svg: &str) -> usize {
        let picture = Pixmap::decode_png(&Raster::new().png(svg).unwrap()).unwrap();
        picture.pixels().iter().filter(|pixel| pixel.red() < 128 && pixel.alpha() > 128).count()
    }

    #[test]
    fn text_is_drawn_without_fonts_of_the_machine() {
        let svg = |text: &str| {
            format!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" width="200" height="40"><rect width="100%" height="100%" fill="white"/><text x="5" y="30" font-size="20" font-family="DejaVu Sans, sans-serif">{text}</text></svg>"#
            )
        };
        assert_eq!(marks(&svg("")), 0);
        assert!(marks(&svg("median 5.51 ms")) > 500);
        let bold = svg("median 5.51 ms").replace("<text ", "<text font-weight=\"bold\" ");
        assert!(marks(&bold) > marks(&svg("median 5.51 ms")) * 11 / 10, "both kinds of letters are there");
        // Each sign that plots use has a shape of its own.
        for sign in "µ±×–≈≤≥→".chars() {
            assert!(marks(&svg(&sign.to_string())) > 10, "{sign}");
        }
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        assert!(Raster::new().png("<svg").is_err());
    }
}
