//! Drawings set on a sheet with title, remarks and provenance; as SVG, and as pixels. The pixels of a map are laid in as they are, never scaled.

use super::super::{
    picture::{Picture, Raster},
    svg::escape,
};
use crate::base::{Error, Result};
use base64::Engine as _;
use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};
use std::{
    fmt::Write as _,
    sync::{Arc, OnceLock},
};

/// What stands on a sheet.
pub struct Content {
    pub title: String,
    pub subtitle: String,
    /// Beside each other, row by row.
    pub rows: Vec<Vec<Picture>>,
    pub notes: Vec<String>,
}

pub struct Sheet {
    pub width: f64,
    pub height: f64,
    /// Elements, with all colours resolved.
    body: String,
    label: String,
    rasters: Vec<Raster>,
}

const PAD: f64 = 24.0;
const GAP: f64 = 24.0;
const LEAST_WIDTH: f64 = 760.0;

const STYLE: &str = include_str!("../style.css");
const DRAWING_STYLE: &str = include_str!("../svg.css");
const FONTS: &str = "Inter,system-ui,'Segoe UI',Roboto,'Helvetica Neue','DejaVu Sans',sans-serif";

impl Sheet {
    pub fn new(content: Content, provenance: &[String], dark: bool) -> Self {
        let row_width = |row: &[Picture]| row.iter().map(|p| p.width).sum::<f64>() + GAP * row.len().saturating_sub(1) as f64;
        let inner = content.rows.iter().map(|r| row_width(r)).fold(LEAST_WIDTH, f64::max);
        let mut body = String::new();
        let mut y = PAD;
        let mut text = |y: &mut f64, words: &str, size: f64, class: &str, weight: u32| {
            for line in wrap(words, inner / size) {
                *y += size * 1.4;
                let _ = write!(
                    body,
                    "<text x=\"{PAD}\" y=\"{:.1}\" font-size=\"{size}\" font-weight=\"{weight}\" fill=\"var(--{class})\">{}</text>",
                    *y - size * 0.35,
                    escape(&line)
                );
            }
        };
        text(&mut y, &content.title, 17.0, "text", 600);
        text(&mut y, &content.subtitle, 12.0, "faint", 400);
        y += 16.0;
        let mut drawn = String::new();
        let mut rasters = Vec::new();
        for row in content.rows {
            let height = row.iter().map(|p| p.height).fold(0.0, f64::max);
            let mut x = PAD;
            for picture in row {
                // At whole points, so that strips and cells fall on pixels.
                let (x0, y0) = (x.round(), y.round());
                let _ = write!(drawn, "<g transform=\"translate({x0} {y0})\">{}</g>", picture.body);
                rasters.extend(picture.rasters.into_iter().map(|r| Raster { x: r.x + x0, y: r.y + y0, ..r }));
                x += picture.width + GAP;
            }
            y += height + 12.0;
        }
        for note in &content.notes {
            text(&mut y, note, 12.0, "text", 400);
        }
        y += 12.0;
        let rule = y;
        y += 4.0;
        for line in provenance {
            text(&mut y, line, 9.5, "faint", 400);
        }
        let (width, height) = (inner + 2.0 * PAD, (y + PAD - 6.0).ceil());
        let body = format!(
            "<rect width=\"{width}\" height=\"{height}\" fill=\"var(--bg)\"/>{body}{drawn}<line x1=\"{PAD}\" x2=\"{:.1}\" y1=\"{rule:.1}\" y2=\"{rule:.1}\" stroke=\"var(--line)\"/>",
            width - PAD
        );
        let style = resolve(DRAWING_STYLE, dark);
        let body = format!("<style>{style}</style>{}", resolve(&body, dark));
        Self { width, height, body, label: content.title, rasters }
    }

    /// `inside`: after the sheet's own elements.
    fn document(&self, metadata: &str, inside: &str) -> String {
        let (w, h) = (self.width, self.height);
        let metadata = if metadata.is_empty() { String::new() } else { format!("<metadata>{}</metadata>", escape(metadata)) };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" font-family=\"{FONTS}\" role=\"img\" aria-label=\"{label}\"><title>{label}</title>{metadata}{}{inside}</svg>\n",
            self.body,
            label = escape(&self.label),
        )
    }

    /// The sheet as one SVG that needs nothing else, with `note` (JSON) as its metadata.
    pub fn svg(&self, note: &str) -> Result<String> {
        let mut images = String::new();
        for r in &self.rasters {
            let png = encode(&r.rgba, r.pixels, None)?;
            let _ = write!(
                images,
                "<image x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{:.2}\" preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{}\"/>",
                r.x,
                r.y,
                r.width,
                r.height,
                base64::engine::general_purpose::STANDARD.encode(png)
            );
        }
        Ok(self.document(note, &images))
    }

    /// The sheet at `pixels` a point, with `note` (JSON) as the text chunk `Provenance`.
    pub fn png(&self, pixels: f32, note: &str) -> Result<Vec<u8>> {
        let (w, h, rgba) = self.pixels(pixels)?;
        encode(&rgba, (w, h), Some(note))
    }

    /// Width, height and opaque RGBA at `pixels` a point.
    pub fn pixels(&self, pixels: f32) -> Result<(u32, u32, Vec<u8>)> {
        let drawing = self.document("", "");
        let bad = |what: &str| Error::invalid(format!("the picture could not be drawn: {what}"));
        let options = Options { fontdb: fonts(&drawing), font_family: "Inter".to_owned(), ..Options::default() };
        let tree = Tree::from_str(&drawing, &options).map_err(|e| bad(&e.to_string()))?;
        let size = |points: f64| ((points * f64::from(pixels)).round() as u32).max(1);
        let (w, h) = (size(self.width), size(self.height));
        let mut pixmap = Pixmap::new(w, h).ok_or_else(|| bad(&format!("{w} x {h} pixels")))?;
        resvg::render(&tree, Transform::from_scale(pixels, pixels), &mut pixmap.as_mut());
        let mut rgba = pixmap.take();
        for r in &self.rasters {
            lay_in(&mut rgba, (w, h), r, pixels);
        }
        Ok((w, h, rgba))
    }
}

/// Copies a raster to its place. The sheet is opaque, so nothing is blended.
fn lay_in(rgba: &mut [u8], (w, h): (u32, u32), r: &Raster, pixels: f32) {
    let (x0, y0) = ((r.x * f64::from(pixels)).round() as usize, (r.y * f64::from(pixels)).round() as usize);
    let columns = (r.pixels.0 as usize).min((w as usize).saturating_sub(x0));
    for row in 0..(r.pixels.1 as usize).min((h as usize).saturating_sub(y0)) {
        let (from, to) = (row * r.pixels.0 as usize * 4, ((y0 + row) * w as usize + x0) * 4);
        rgba[to..to + columns * 4].copy_from_slice(&r.rgba[from..from + columns * 4]);
    }
}

fn encode(rgba: &[u8], (w, h): (u32, u32), note: Option<&str>) -> Result<Vec<u8>> {
    let bad = |e: png::EncodingError| Error::invalid(format!("the picture could not be encoded: {e}"));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, w, h);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    if let Some(note) = note {
        encoder.add_text_chunk("Software".to_owned(), crate::base::provenance::program()).map_err(bad)?;
        encoder.add_itxt_chunk("Provenance".to_owned(), note.to_owned()).map_err(bad)?;
    }
    let mut writer = encoder.write_header().map_err(bad)?;
    writer.write_image_data(rgba).map_err(bad)?;
    writer.finish().map_err(bad)?;
    Ok(bytes)
}

/// The faces of the window; those of the system too where the text has letters beyond Latin, Greek and Cyrillic.
fn fonts(text: &str) -> Arc<Database> {
    static OWN: OnceLock<Arc<Database>> = OnceLock::new();
    static ALL: OnceLock<Arc<Database>> = OnceLock::new();
    let own = || {
        let mut db = Database::new();
        db.load_font_data(include_bytes!("../../../assets/fonts/Inter-Regular.otf").to_vec());
        db.load_font_data(include_bytes!("../../../assets/fonts/Inter-SemiBold.otf").to_vec());
        // What the file's own list of families falls back to in a viewer is no family here.
        db.set_sans_serif_family("Inter");
        db.set_serif_family("Inter");
        db
    };
    let foreign = |c: char| !matches!(u32::from(c), 0..=0x24f | 0x2b0..=0x45f | 0x1e00..=0x1eff | 0x2000..=0x26ff | 0x2713..=0x2717);
    if text.chars().any(foreign) {
        let all = || {
            let mut db = own();
            db.load_system_fonts();
            Arc::new(db)
        };
        return ALL.get_or_init(all).clone();
    }
    OWN.get_or_init(|| Arc::new(own())).clone()
}

/// About how wide a letter of the sheet's face is, in its size.
fn advance(letter: char) -> f64 {
    match letter {
        ' ' | ',' | '.' | ':' | ';' | '\'' | '|' | '!' | 'i' | 'j' | 'l' => 0.3,
        '0'..='9' => 0.64,
        'A'..='Z' | 'm' | 'w' | '%' | '&' | '@' => 0.72,
        _ => 0.56,
    }
}

/// Lines of at most `most` times the letters' size, broken at spaces where there are some, in longer words at commas.
fn wrap(text: &str, most: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut length = 0.0;
    let width = |part: &str| part.chars().map(advance).sum::<f64>();
    for word in text.split(' ') {
        let whole = width(word) <= most;
        let parts: Vec<&str> = if whole { vec![word] } else { word.split_inclusive(',').collect() };
        for (i, part) in parts.into_iter().enumerate() {
            let apart = if i == 0 && length > 0.0 { " " } else { "" };
            if length > 0.0 && length + width(apart) + width(part) > most {
                lines.push(String::new());
                length = 0.0;
            }
            for letter in (if length > 0.0 { apart } else { "" }).chars().chain(part.chars()) {
                if length > 0.0 && length + advance(letter) > most {
                    lines.push(String::new());
                    length = 0.0;
                }
                length += advance(letter);
                if let Some(line) = lines.last_mut() {
                    line.push(letter);
                }
            }
        }
    }
    lines
}

/// `var(--name)` as the style sheet's colours of one theme: a file has no page around it that knows them.
fn resolve(text: &str, dark: bool) -> String {
    let mut out = text.to_owned();
    for (name, value) in variables(dark) {
        out = out.replace(&format!("var({name})"), value);
    }
    out
}

/// The custom properties of the page's style sheet: `("--text", "#1b1f24")`.
fn variables(dark: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    // The light theme's block comes first, the dark one's second.
    let block = STYLE.split(":root{").nth(if dark { 2 } else { 1 }).and_then(|b| b.split('}').next()).unwrap_or_default();
    block.split(';').filter_map(|p| p.split_once(':')).map(|(n, v)| (n.trim(), v.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_colour_is_left_to_a_page() {
        for dark in [false, true] {
            let names: Vec<&str> = variables(dark).map(|v| v.0).collect();
            for name in ["--bg", "--text", "--faint", "--line", "--ghost", "--accent", "--panel", "--d0", "--d7"] {
                assert!(names.contains(&name), "{name} of {names:?}");
            }
            assert!(!resolve(DRAWING_STYLE, dark).contains("var("));
        }
        assert_eq!(resolve("var(--bg)", false), "#ffffff");
        assert_eq!(resolve("var(--bg)", true), "#14161a");
    }

    #[test]
    fn lines_break_at_spaces_and_long_words_at_commas_or_anywhere() {
        assert_eq!(wrap("one two three", 4.2), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 2.3), ["abcd", "efgh"]);
        assert_eq!(wrap("-n L0N16,L0N18,L1N2 -m", 6.5), ["-n L0N16,", "L0N18,L1N2", "-m"]);
        assert_eq!(wrap("", 5.0), [""]);
        let words = "L0N16,L0N18,".repeat(80);
        let lines = wrap(&words, 60.0);
        assert_eq!(lines.concat(), words);
        assert!(lines.iter().all(|l| l.chars().map(advance).sum::<f64>() <= 60.0));
    }

    #[test]
    fn a_raster_is_laid_in_pixel_by_pixel() {
        let raster = Raster { x: 1.0, y: 0.5, width: 1.0, height: 1.0, pixels: (2, 2), rgba: (1..=16).collect() };
        let mut rgba = vec![0; 4 * 3 * 4];
        lay_in(&mut rgba, (4, 3), &raster, 2.0);
        let line = |y: usize| &rgba[y * 16..(y + 1) * 16];
        assert_eq!(line(0), [0; 16]);
        assert_eq!(line(1), [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(line(2), [0, 0, 0, 0, 0, 0, 0, 0, 9, 10, 11, 12, 13, 14, 15, 16]);
    }
}
