//! A drawing as SVG elements: inside a page, or on a sheet of its own.

use super::svg::escape;

/// Values painted cell by cell; pixels, since a map has more cells than a drawing may have elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Raster {
    /// Place on the drawing, in points.
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
    /// Size of `rgba`.
    pub pixels: (u32, u32),
    pub rgba: Vec<u8>,
}

/// Colours in `body` are the page's CSS variables (`var(--text)`), so that one drawing serves both themes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    pub width: f64,
    pub height: f64,
    /// SVG elements.
    pub body: String,
    /// For whoever cannot see it.
    pub label: String,
    pub rasters: Vec<Raster>,
}

impl Picture {
    /// As an element of a page.
    pub fn html(&self) -> String {
        let (w, h) = (self.width, self.height);
        format!("<svg viewBox=\"0 0 {w} {h}\" width=\"{w}\" role=\"img\" aria-label=\"{}\">{}</svg>", escape(&self.label), self.body)
    }
}
