//! A square of thousands of cells: all pairs of samples, with the domains as bands along both sides. Zoom, pan, a cell cursor for the keyboard.

use super::{chart::small_font, matrix::ColourBar, number::sig3};
use crate::gui::Theme;
use eframe::egui::{
    self, Align2, Color32, ColorImage, EventFilter, Key, Modifiers, Pos2, Rect, Role, Sense, Stroke, StrokeKind, TextureFilter,
    TextureHandle, TextureOptions, TextureWrapMode, Ui, Vec2, WidgetInfo, pos2, vec2,
};

/// What is drawn.
pub struct SampleMatrix<'a> {
    pub name: &'a str,
    /// Changes whenever `value` gives something else.
    pub version: (usize, usize),
    pub n: usize,
    /// Cosine in row and column of the square; `None` where undefined.
    pub value: &'a dyn Fn(usize, usize) -> Option<f32>,
    /// Colour of each row's domain, in the order shown.
    pub colours: &'a [Color32],
    /// Rows that belong together, with a name: none in an order that mixes them.
    pub blocks: &'a [(std::ops::Range<usize>, String)],
    /// Name of a row: `logic, line 7`.
    pub row: &'a dyn Fn(usize) -> String,
    pub selected: Option<(usize, usize)>,
    pub range: (f64, f64),
    pub map: fn(f32) -> Color32,
    pub size: Vec2,
}

#[derive(Default)]
pub struct SampleMatrixView {
    /// First row and column in sight and how many, in cells; `None`: all.
    window: Option<(f64, f64, f64)>,
    n: usize,
    texture: Option<(Key4, TextureHandle)>,
    cursor: Option<(usize, usize)>,
}

type Key4 = ((usize, usize), u64, u64, usize);

pub struct SampleMatrixOutput {
    /// Under the pointer, else under the keyboard's cursor while it has the focus.
    pub hovered: Option<(usize, usize)>,
    pub clicked: Option<(usize, usize)>,
}

const BAND: f32 = 7.0;
const UNDER: f32 = 36.0;
/// Zoomed in, this many cells fill the side.
const FEWEST: f64 = 6.0;

impl SampleMatrixView {
    pub fn ui(&mut self, ui: &mut Ui, theme: &Theme, m: &SampleMatrix<'_>) -> SampleMatrixOutput {
        if self.n != m.n {
            *self = Self { n: m.n, ..Self::default() };
        }
        let font = small_font();
        let widest =
            m.blocks.iter().map(|b| ui.painter().layout_no_wrap(b.1.clone(), font.clone(), theme.text).size().x).fold(0.0f32, f32::max);
        let left = widest.min(110.0) + BAND + 8.0;
        let top = BAND + 4.0;
        let side = (m.size.x - left - 4.0).min(m.size.y - top - UNDER).max(96.0).floor();
        let (outer, _) = ui.allocate_exact_size(vec2(left + side + 4.0, top + side + UNDER), Sense::hover());
        let cells = Rect::from_min_size((outer.min + vec2(left, top)).round(), Vec2::splat(side));
        let response = ui.interact(cells, ui.scope_id().with("samples"), Sense::click_and_drag());
        let whole = (0.0, 0.0, m.n as f64);
        let mut window = self.window.unwrap_or(whole);
        self.navigate(ui, &response, cells, m.n, &mut window);
        self.window = (window != whole).then_some(window);

        let per_point = window.2 / f64::from(side);
        let at = |p: Pos2| {
            let (c, r) = (window.0 + f64::from(p.x - cells.left()) * per_point, window.1 + f64::from(p.y - cells.top()) * per_point);
            (cells.contains(p) && m.n > 0).then(|| ((r.max(0.0) as usize).min(m.n - 1), (c.max(0.0) as usize).min(m.n - 1)))
        };
        let under = response.hover_pos().and_then(at);
        let mut clicked = None;
        if response.clicked() && ui.input(|i| i.pointer.primary_released()) {
            clicked = response.interact_pointer_pos().and_then(at);
            self.cursor = clicked.or(self.cursor);
            response.request_focus();
        }
        if let Some(moved) = self.keys(ui, &response, m, &mut window) {
            clicked = Some(moved);
            self.window = (window != whole).then_some(window);
        }
        let hovered = under.or(self.cursor.filter(|_| response.has_focus()));
        let words = match hovered {
            Some((r, c)) => {
                let value = (m.value)(r, c).map_or("undefined".to_owned(), |v| sig3(f64::from(v)));
                format!("{}. {} and {}: {value}", m.name, (m.row)(r), (m.row)(c))
            }
            None => format!("{}. {} by {} samples", m.name, m.n, m.n),
        };
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &words));
        self.paint(ui, theme, m, cells, window, hovered);
        SampleMatrixOutput { hovered: under, clicked }
    }

    /// Wheel, drag, double click, Home.
    fn navigate(&self, ui: &Ui, response: &egui::Response, cells: Rect, n: usize, window: &mut (f64, f64, f64)) {
        let per_point = window.2 / f64::from(cells.width());
        if response.dragged() {
            let d = response.drag_delta();
            window.0 -= f64::from(d.x) * per_point;
            window.1 -= f64::from(d.y) * per_point;
        }
        if let Some(p) = response.hover_pos() {
            let (scroll, pinch) = ui.input(|i| (i.smooth_scroll_delta().y, i.zoom_delta()));
            let zoom = f64::from(pinch) * (f64::from(scroll) / 200.0).exp();
            if (zoom - 1.0).abs() > 1e-6 {
                let (fx, fy) = (f64::from((p.x - cells.left()) / cells.width()), f64::from((p.y - cells.top()) / cells.height()));
                let size = (window.2 / zoom).clamp(FEWEST.min(n as f64), n as f64);
                window.0 += fx * (window.2 - size);
                window.1 += fy * (window.2 - size);
                window.2 = size;
            }
        }
        let home = (response.hovered() || response.has_focus()) && ui.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Home));
        if response.double_clicked() || home {
            *window = (0.0, 0.0, n as f64);
        }
        let most = (n as f64 - window.2).max(0.0);
        window.0 = window.0.clamp(0.0, most);
        window.1 = window.1.clamp(0.0, most);
    }

    /// Arrows move the cell cursor and the window after it.
    fn keys(&mut self, ui: &Ui, response: &egui::Response, m: &SampleMatrix<'_>, window: &mut (f64, f64, f64)) -> Option<(usize, usize)> {
        if !response.has_focus() || m.n == 0 {
            return None;
        }
        ui.memory_mut(|memory| {
            let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
            memory.set_focus_lock_filter(response.id, filter);
        });
        let key = |k: Key| isize::from(ui.input_mut(|i| i.consume_key(Modifiers::NONE, k)));
        let step = (key(Key::ArrowDown) - key(Key::ArrowUp), key(Key::ArrowRight) - key(Key::ArrowLeft));
        if step == (0, 0) {
            return None;
        }
        let from = self.cursor.or(m.selected).unwrap_or((0, 0));
        let go = |v: usize, d: isize| v.saturating_add_signed(d).min(m.n - 1);
        let to = (go(from.0, step.0), go(from.1, step.1));
        self.cursor = Some(to);
        let follow = |first: &mut f64, place: usize| *first = first.clamp((place as f64 + 1.0 - window.2).max(0.0), place as f64);
        follow(&mut window.0, to.1);
        follow(&mut window.1, to.0);
        Some(to)
    }

    fn paint(
        &mut self,
        ui: &Ui,
        theme: &Theme,
        m: &SampleMatrix<'_>,
        cells: Rect,
        window: (f64, f64, f64),
        hovered: Option<(usize, usize)>,
    ) {
        let p = ui.painter_at(cells.expand2(vec2(BAND + 4.0, BAND + 4.0)).union(cells));
        // A texture has a largest side: beyond it a pixel is the mean of some cells.
        let step = m.n.div_ceil(ui.input(|i| i.max_texture_side).max(1)).max(1);
        let side = m.n.div_ceil(step);
        let key: Key4 = (m.version, m.range.0.to_bits(), m.range.1.to_bits(), m.map as usize);
        if self.texture.as_ref().is_none_or(|t| t.0 != key) {
            let grey = Color32::from_gray(0x80);
            let (lo, span) = (m.range.0, (m.range.1 - m.range.0).max(1e-12));
            let colour = |v: Option<f32>| v.map_or(grey, |v| (m.map)(((f64::from(v) - lo) / span).clamp(0.0, 1.0) as f32));
            let block = |i: usize| i * step..((i + 1) * step).min(m.n);
            let mean = |r: usize, c: usize| {
                let known = block(r).flat_map(|r| block(c).filter_map(move |c| (m.value)(r, c)));
                let (n, sum) = known.fold((0u32, 0.0), |(n, sum), v| (n + 1, sum + v));
                (n > 0).then(|| sum / n as f32)
            };
            let pixels = (0..side * side).map(|i| colour(mean(i / side, i % side))).collect();
            let image = ColorImage::new([side, side], pixels);
            // Cells stay sharp when larger than pixels, and none vanishes when smaller.
            let options = TextureOptions {
                magnification: TextureFilter::Nearest,
                minification: TextureFilter::Linear,
                wrap_mode: TextureWrapMode::ClampToEdge,
                mipmap_mode: None,
            };
            self.texture = Some((key, ui.ctx().load_texture("samples", image, options)));
        }
        let n = (side * step).max(1) as f64;
        if let Some((_, texture)) = &self.texture {
            let part = |v: f64| (v / n) as f32;
            let uv = Rect::from_min_max(pos2(part(window.0), part(window.1)), pos2(part(window.0 + window.2), part(window.1 + window.2)));
            p.image(texture.id(), cells, uv, Color32::WHITE);
        }
        let cell = f64::from(cells.width()) / window.2;
        let x = |c: f64| cells.left() + ((c - window.0) * cell) as f32;
        let y = |r: f64| cells.top() + ((r - window.1) * cell) as f32;
        // Neighbours of one colour are one stretch.
        let mut from = 0;
        for i in 1..=m.n {
            if i < m.n && m.colours[i] == m.colours[from] {
                continue;
            }
            let colour = m.colours[from];
            let across = x(from as f64).max(cells.left())..=x(i as f64).min(cells.right());
            let down = y(from as f64).max(cells.top())..=y(i as f64).min(cells.bottom());
            if across.start() < across.end() {
                p.rect_filled(Rect::from_x_y_ranges(across, cells.top() - BAND - 2.0..=cells.top() - 2.0), 0.0, colour);
            }
            if down.start() < down.end() {
                p.rect_filled(Rect::from_x_y_ranges(cells.left() - BAND - 2.0..=cells.left() - 2.0, down), 0.0, colour);
            }
            from = i;
        }
        let line = Stroke::new(1.0, theme.panel.gamma_multiply(0.7));
        let inside = ui.painter_at(cells);
        for (rows, name) in m.blocks {
            if rows.start > 0 {
                inside.vline(x(rows.start as f64), cells.y_range(), line);
                inside.hline(cells.x_range(), y(rows.start as f64), line);
            }
            let (a, b) = (y(rows.start as f64).max(cells.top()), y(rows.end as f64).min(cells.bottom()));
            if b - a > 11.0 {
                let at = pos2(cells.left() - BAND - 6.0, (a + b) / 2.0);
                ui.painter().text(at, Align2::RIGHT_CENTER, name, small_font(), theme.text);
            }
        }
        for (mark, colour) in [(hovered, theme.text), (m.selected, theme.accent)] {
            let Some((r, c)) = mark else { continue };
            let square = Rect::from_min_max(pos2(x(c as f64), y(r as f64)), pos2(x(c as f64 + 1.0), y(r as f64 + 1.0)));
            let square = Rect::from_center_size(square.center(), square.size().max(Vec2::splat(5.0)));
            inside.rect_stroke(square, 0.0, Stroke::new(2.5, theme.panel), StrokeKind::Outside);
            inside.rect_stroke(square, 0.0, Stroke::new(1.5, colour), StrokeKind::Outside);
        }
        let pointed = hovered.and_then(|(r, c)| (m.value)(r, c)).map(f64::from);
        let bar = Rect::from_min_size(cells.left_bottom() + vec2(0.0, 10.0), vec2(cells.width(), 6.0));
        ColourBar { map: m.map, range: m.range, name: "LLMDcos of two samples", pointed }.paint(ui.painter(), theme, bar);
    }
}
