//! A map of all neurons: layers down, neurons across. Zoom, pan, brush, a cell cursor for the keyboard, exact readout from the CPU's copy.

use super::{number::sig3, prepared_map::PreparedMap};
use crate::{
    base::{
        Neuron, NeuronSet,
        heatmap::{ColourMap, Marks, PerLayer, Permutation, Plan, Scale, Style, Window, raster},
    },
    gui::{
        Theme,
        paint::heatmap::{HeatFrame, HeatGpu, HeatPipelines, HeatValues},
        theme,
        widgets::axis::nice_step,
    },
};
use eframe::{
    egui::{
        self, Align2, Color32, ColorImage, EventFilter, FontId, Key, Modifiers, PointerButton, Pos2, Rect, Response, Role, Sense, Stroke,
        StrokeKind, TextureHandle, TextureOptions, Ui, WidgetInfo, pos2, vec2,
    },
    egui_wgpu::RenderState,
};
use std::sync::{Arc, Weak, mpsc};

/// What the view shows in this frame.
pub struct HeatmapInput<'a> {
    pub map: &'a Arc<PreparedMap>,
    pub scale: Scale,
    pub colours: ColourMap,
    pub off: &'a NeuronSet,
    pub selected: &'a NeuronSet,
    /// Changes whenever `off` or `selected` does.
    pub marks_version: u64,
    /// Spoken and shown before the readout: `relevance of arithmetic`.
    pub what: &'a str,
    /// Of the measured values.
    pub unit: &'a str,
    pub columns: Columns<'a>,
    /// `sorted by relevance of logic`; empty where neurons stand by their index.
    pub ordered: &'a str,
    /// Layers that stay at the top.
    pub pinned: &'a [u32],
    /// The pointed cell is marked by lines over the whole map, as in the maps beside it.
    pub crosshair: bool,
    /// A layer pointed at in another view.
    pub hovered_layer: Option<usize>,
    pub hovered_neuron: Option<Neuron>,
    /// Scroll here, once.
    pub reveal: Option<Neuron>,
}

/// What the columns of a map are. A [`Neuron`]'s index counts them in every case.
#[derive(Clone, Copy, Default, PartialEq)]
pub enum Columns<'a> {
    #[default]
    Neurons,
    Heads,
    Named(&'a [String]),
}

impl Columns<'_> {
    /// `L3N17`, `L3H2`, `L3 logic`
    pub fn name(&self, n: Neuron) -> String {
        match self {
            Self::Neurons => n.to_string(),
            Self::Heads => format!("L{}H{}", n.layer, n.index),
            Self::Named(names) => format!("L{} {}", n.layer, names.get(n.index as usize).map_or("", String::as_str)),
        }
    }
    fn spoken(&self, n: Neuron) -> String {
        match self {
            Self::Neurons => format!("layer {}, neuron {}", n.layer, n.index),
            Self::Heads => format!("layer {}, head {}", n.layer, n.index),
            Self::Named(names) => format!("layer {}, {}", n.layer, names.get(n.index as usize).map_or("", String::as_str)),
        }
    }
    fn word(&self) -> &'static str {
        match self {
            Self::Neurons => "neurons",
            Self::Heads => "heads",
            Self::Named(_) => "columns",
        }
    }
}

pub struct HeatmapOutput {
    pub response: Response,
    /// Under the pointer, else under the cell cursor while the map has the keyboard.
    pub pointed: Option<Neuron>,
    pub clicked: Option<Neuron>,
    /// Ctrl was held: add to the selection or take out of it.
    pub adding: bool,
    /// Space.
    pub toggled: Option<Neuron>,
    /// All cells of a rectangle drawn with shift.
    pub brushed: Option<NeuronSet>,
}

/// Seconds that a neuron flashes after it was looked for.
const FLASH: f32 = 1.5;
/// Zoomed in, this many cells fill the width.
const FEWEST: f64 = 8.0;
/// Room for layer names and for neuron numbers.
const LEFT: f32 = 34.0;
const BOTTOM: f32 = 18.0;
/// More room below for the words of an order.
const CAPTION: f32 = 14.0;
/// Height of a pinned layer, and the rule under them.
const PIN: f32 = 16.0;
const PIN_RULE: f32 = 4.0;
const LAST_MAP: &str = "map that was used last";
/// A brushed set of more cells is collected off the interface thread.
const COLLECT_AT_ONCE: usize = 50_000;

#[derive(Default)]
pub struct HeatmapView {
    /// `None`: the whole map.
    window: Option<Window>,
    /// Shape the window belongs to.
    shape: (usize, usize),
    cursor: Option<Neuron>,
    /// A neuron that was looked for, and since when it flashes.
    flash: Option<(Neuron, f64)>,
    brush_from: Option<Pos2>,
    brushed: Option<mpsc::Receiver<NeuronSet>>,
    /// Newest last. A `Weak` keeps the map's address, which tells maps apart, taken.
    values: Vec<(Weak<PreparedMap>, Arc<HeatValues>)>,
    /// `off` and `selected` by place, where places are not indices; with their version and the order's address.
    placed: Option<((u64, usize), Arc<Placed>)>,
    main: Picture,
    /// One a pinned layer.
    pins: Vec<Picture>,
}

/// What is off and what is selected, by place.
type Placed = (NeuronSet, NeuronSet);

/// One picture on the screen: the map, or a pinned layer.
#[derive(Default)]
struct Picture {
    gpu: Option<Arc<HeatGpu>>,
    plan: Option<(PlanKey, Arc<Plan>)>,
    /// Without a GPU.
    texture: Option<(TextureKey, Weak<PreparedMap>, TextureHandle)>,
}

#[derive(PartialEq)]
struct PlanKey {
    window: Window,
    shape: (usize, usize),
    size: (u32, u32),
    marks: u64,
    order: usize,
}

#[derive(PartialEq)]
struct TextureKey {
    plan: usize,
    map: usize,
    scale: Scale,
    colours: ColourMap,
    style: Style,
}

impl HeatmapView {
    /// Shows this part of the map.
    pub fn show_window(&mut self, window: Window) {
        self.window = Some(window);
    }
    /// The part that is shown; `None`: the whole map.
    pub fn window(&self) -> Option<Window> {
        self.window
    }
    /// Takes over what another view of the same shape shows.
    pub fn follow(&mut self, window: Option<Window>) {
        self.window = window;
    }

    pub fn ui(&mut self, ui: &mut Ui, theme: &Theme, gpu: Option<&RenderState>, input: &HeatmapInput<'_>) -> HeatmapOutput {
        let shape = (input.map.grid.rows(), input.map.grid.cols());
        if self.shape != shape {
            let window = self.window.filter(|_| self.shape == (0, 0));
            *self = Self { shape, window, main: Picture { gpu: self.main.gpu.take(), ..Picture::default() }, ..Self::default() };
        }
        let (outer, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
        let below = if input.ordered.is_empty() { BOTTOM } else { BOTTOM + CAPTION };
        let inner = Rect::from_min_max(outer.min + vec2(LEFT, 0.0), outer.max - vec2(0.0, below));
        let ppp = ui.ctx().pixels_per_point();
        let snap = |p: Pos2| pos2((p.x * ppp).round() / ppp, (p.y * ppp).round() / ppp);
        // No more than half the height goes to pinned layers.
        let fit = ((inner.height() * 0.5 - PIN_RULE) / PIN).max(0.0) as usize;
        let pinned: Vec<u32> = input.pinned.iter().copied().filter(|l| (*l as usize) < shape.0).take(fit).collect();
        let strip = if pinned.is_empty() { 0.0 } else { pinned.len() as f32 * PIN + PIN_RULE };
        let top = snap(inner.min + vec2(0.0, strip));
        let rect = Rect::from_min_max(top, snap(inner.max).max(top + vec2(8.0, 8.0)));
        let whole_rect = Rect::from_min_max(snap(inner.min), rect.max);
        let response = ui.interact(whole_rect, ui.scope_id().with("heatmap"), Sense::click_and_drag());

        let order = input.map.order().map(|o| &**o);
        let mut window = self.window.unwrap_or_else(|| Window::whole(shape.0, shape.1));
        if let Some(n) = input.reveal {
            self.cursor = Some(n);
            self.take_keys(ui, &response);
            self.flash = Some((n, ui.input(|i| i.time)));
            window = centred_on(window, n, order, shape);
        }
        self.navigate(ui, &response, rect, shape, order, &mut window);
        window = window.inside(shape.0, shape.1, FEWEST);
        self.window = (window != Window::whole(shape.0, shape.1)).then_some(window);

        let place = Place { rect, window, shape, order };
        let pins: Vec<Place<'_>> = pinned
            .iter()
            .enumerate()
            .map(|(i, &layer)| {
                let min = snap(inner.min + vec2(0.0, i as f32 * PIN));
                let rect = Rect::from_min_max(min, pos2(rect.right(), snap(min + vec2(0.0, PIN)).y));
                Place { rect, window: Window { y: f64::from(layer), height: 1.0, ..window }, shape, order }
            })
            .collect();
        let pointer = response.hover_pos().or_else(|| response.interact_pointer_pos()).filter(|p| whole_rect.contains(*p));
        let under = pointer.and_then(|p| pins.iter().chain([&place]).find(|q| q.rect.contains(p))?.cell(p));
        let keyboard = response.has_focus() && pointer.is_none();
        let pointed = under.or(self.cursor.filter(|_| keyboard));
        let mut out = HeatmapOutput { response: response.clone(), pointed, clicked: None, adding: false, toggled: None, brushed: None };
        self.pick(ui, &response, &place, under, input.map, &mut out);

        let marks = self.marks(input, order);
        let values = gpu.and_then(|state| self.values_on_gpu(state, input.map));
        let canvas = Canvas { ui, theme, gpu, values, input, marks: &marks };
        self.main.paint(&canvas, &place);
        self.pins.resize_with(pins.len(), Picture::default);
        for (picture, place) in self.pins.iter_mut().zip(&pins) {
            picture.paint(&canvas, place);
        }
        self.overlays(ui, theme, input, &place, &pins, outer, under);
        let readout = spoken(input, pointed);
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &readout));
        out
    }

    /// What is off and selected, by place.
    fn marks(&mut self, input: &HeatmapInput<'_>, order: Option<&Permutation>) -> Option<Arc<Placed>> {
        let order = order?;
        let key = (input.marks_version, std::ptr::from_ref(order) as usize);
        if self.placed.as_ref().is_none_or(|(k, _)| *k != key) {
            self.placed = Some((key, Arc::new((order.places(input.off), order.places(input.selected)))));
        }
        self.placed.as_ref().map(|(_, sets)| sets.clone())
    }

    /// Wheel, drag, keys: changes the window and the cell cursor.
    fn navigate(
        &mut self,
        ui: &Ui,
        response: &Response,
        rect: Rect,
        shape: (usize, usize),
        order: Option<&Permutation>,
        window: &mut Window,
    ) {
        let per_point = vec2(window.width as f32 / rect.width(), window.height as f32 / rect.height());
        let shift = ui.input(|i| i.modifiers.shift);
        if response.drag_started_by(PointerButton::Primary) {
            self.brush_from = response.interact_pointer_pos().filter(|_| shift);
        }
        let panning =
            (response.dragged_by(PointerButton::Primary) && self.brush_from.is_none()) || response.dragged_by(PointerButton::Middle);
        if panning {
            let d = response.drag_delta();
            window.x -= f64::from(d.x * per_point.x);
            window.y -= f64::from(d.y * per_point.y);
        }
        if let Some(p) = response.hover_pos() {
            let (scroll, pinch) = ui.input(|i| (i.smooth_scroll_delta(), i.zoom_delta()));
            let zoom = f64::from(pinch) * (f64::from(scroll.y) / 200.0).exp();
            if scroll.x != 0.0 {
                window.x -= f64::from(scroll.x * per_point.x);
            }
            if (zoom - 1.0).abs() > 1e-6 {
                zoom_about(window, shape, rect, p, zoom);
            }
        }
        if !self.has_keys(ui, response) {
            return;
        }
        if response.double_clicked() {
            *window = Window::whole(shape.0, shape.1);
        }
        ui.memory_mut(|m| {
            let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
            m.set_focus_lock_filter(response.id, filter);
        });
        let keys = |k: Key| ui.input_mut(|i| i.consume_key(Modifiers::NONE, k));
        if keys(Key::Home) {
            *window = Window::whole(shape.0, shape.1);
        }
        let step = (
            i64::from(keys(Key::ArrowRight)) - i64::from(keys(Key::ArrowLeft)),
            i64::from(keys(Key::ArrowDown)) - i64::from(keys(Key::ArrowUp)) + i64::from(keys(Key::PageDown)) - i64::from(keys(Key::PageUp)),
        );
        if step != (0, 0) && shape.0 > 0 && shape.1 > 0 {
            let place = Place { rect, window: *window, shape, order };
            let from = self.cursor.or_else(|| response.hover_pos().and_then(|p| place.cell(p)));
            let n = from.map_or_else(
                || place.cell(rect.center()).unwrap_or(Neuron::new(0, 0)),
                |n| {
                    let go = |at: u32, by: i64, count: usize| (i64::from(at) + by).clamp(0, count as i64 - 1) as u32;
                    // Sideways to the neighbour in the picture; up and down to the same place, or the same neuron where places are indices.
                    place.neuron(Neuron::new(go(n.layer, step.1, shape.0), go(place.place(n), step.0, shape.1)))
                },
            );
            self.cursor = Some(n);
            follow(window, Neuron::new(n.layer, place.place(n)));
            self.take_keys(ui, response);
            response.request_focus();
            // Else egui would carry the focus on to whatever lies in the arrow's direction.
            ui.memory_mut(|m| m.move_focus(egui::FocusDirection::None));
        }
    }

    /// The map is what plain keys mean: under the pointer, in focus, or once a neuron was picked while nothing else has the focus.
    fn has_keys(&self, ui: &Ui, response: &Response) -> bool {
        let last = || ui.data(|d| d.get_temp::<egui::Id>(egui::Id::unique(LAST_MAP))) == Some(response.id);
        let free = || self.cursor.is_some() && last() && ui.memory(|m| m.focused().is_none());
        let (editing, over) = (ui.ctx().text_edit_focused(), egui::Popup::is_any_open(ui.ctx()));
        !editing && !over && (response.hovered() || response.has_focus() || free())
    }

    /// Of several maps, the one that was used last is what plain keys mean.
    fn take_keys(&self, ui: &Ui, response: &Response) {
        ui.data_mut(|d| d.insert_temp(egui::Id::unique(LAST_MAP), response.id));
    }

    fn pick(&mut self, ui: &Ui, response: &Response, place: &Place<'_>, under: Option<Neuron>, map: &PreparedMap, out: &mut HeatmapOutput) {
        let by_pointer = ui.input(|i| i.pointer.primary_released());
        if response.clicked() && by_pointer {
            out.clicked = under;
            out.adding = ui.input(|i| i.modifiers.command);
            self.cursor = under;
            self.take_keys(ui, response);
            response.request_focus();
        }
        if self.has_keys(ui, response) && ui.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Space)) {
            // While the arrows are in use, the cursor is what was pointed at last.
            out.toggled = if response.has_focus() { self.cursor.or(under) } else { under.or(self.cursor) };
        }
        if response.drag_stopped()
            && let (Some(from), Some(to)) = (self.brush_from.take(), response.interact_pointer_pos())
        {
            let cells = place.cells(Rect::from_two_pos(from, to));
            let count = cells.0.len() * cells.1.len();
            let order = map.order().cloned();
            let collect = move || -> NeuronSet {
                let neuron = |l, i| order.as_ref().map_or(Neuron::new(l, i), |o| o.neuron(l, i));
                cells.0.flat_map(|l| cells.1.clone().map(move |i| (l, i))).map(|(l, i)| neuron(l, i)).collect()
            };
            if count <= COLLECT_AT_ONCE {
                out.brushed = Some(collect());
            } else {
                let (send, receive) = mpsc::channel();
                let ctx = ui.ctx().clone();
                std::thread::spawn(move || {
                    // The view may be gone.
                    let _ = send.send(collect());
                    ctx.request_repaint();
                });
                self.brushed = Some(receive);
            }
        }
        if let Some(set) = self.brushed.as_ref().and_then(|r| r.try_recv().ok()) {
            self.brushed = None;
            out.brushed = Some(set);
        }
    }

    fn values_on_gpu(&mut self, state: &RenderState, map: &Arc<PreparedMap>) -> Option<Arc<HeatValues>> {
        self.values.retain(|(of, _)| of.strong_count() > 0);
        if let Some((_, v)) = self.values.iter().find(|(of, _)| of.as_ptr() == Arc::as_ptr(map)) {
            return Some(v.clone());
        }
        let values = Arc::new(HeatValues::new(&state.device, &state.queue, &HeatPipelines::of(state), &map.pyramid)?);
        if self.values.len() >= 4 {
            self.values.remove(0);
        }
        self.values.push((Arc::downgrade(map), values.clone()));
        Some(values)
    }

    /// Numbers of neurons, heads or places along the bottom.
    fn ticks(&self, p: &egui::Painter, theme: &Theme, input: &HeatmapInput<'_>, place: &Place<'_>, outer: Rect, under: Option<Neuron>) {
        let Place { rect, window, shape, .. } = *place;
        let font = FontId::proportional(theme::SMALL);
        let cell = f64::from(rect.width()) / window.width;
        let step = nice_step(window.width / f64::from((rect.width() / 72.0).max(2.0))).max(1.0);
        let first = (window.x / step).ceil() as i64;
        let mut taken = None;
        if let Some(n) = under {
            let x = rect.left() + ((f64::from(place.place(n)) + 0.5 - window.x) * cell) as f32;
            let letter = if input.columns == Columns::Heads { 'H' } else { 'N' };
            let text = p.layout_no_wrap(format!("{letter}{}", n.index), font.clone(), theme.text);
            let from = (x - text.size().x / 2.0).clamp(outer.left(), outer.right() - text.size().x);
            taken = Some(from..from + text.size().x);
            p.galley(pos2(from, rect.bottom() + 4.0), text, theme.text);
        }
        for k in first..first + 40 {
            let at = k as f64 * step;
            let x = rect.left() + ((at + 0.5 - window.x) * cell) as f32;
            if at > window.x + window.width || at >= shape.1 as f64 || x > rect.right() {
                break;
            }
            p.vline(x, rect.bottom()..=rect.bottom() + 3.0, Stroke::new(1.0, theme.hairline));
            let text = p.layout_no_wrap(format!("{at:.0}"), font.clone(), theme.secondary);
            let from = (x - text.size().x / 2.0).clamp(rect.left() - 4.0, rect.right() - text.size().x);
            let clear = taken.as_ref().is_none_or(|t| from + text.size().x < t.start - 8.0 || from > t.end + 8.0);
            if clear {
                p.galley(pos2(from, rect.bottom() + 4.0), text, theme.secondary);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all that is drawn over a map depends on all of these")]
    fn overlays(
        &self,
        ui: &Ui,
        theme: &Theme,
        input: &HeatmapInput<'_>,
        place: &Place<'_>,
        pins: &[Place<'_>],
        outer: Rect,
        under: Option<Neuron>,
    ) {
        let Place { rect, window, shape, .. } = *place;
        // Names of low layers stand out over the map's ends.
        let p = ui.painter_at(outer.expand2(vec2(2.0, 6.0)));
        let font = FontId::proportional(theme::SMALL);
        let marked = under.map(|n| n.layer as usize).or(input.hovered_layer);
        // Layers down the left side.
        let row = f64::from(rect.height()) / window.height;
        let every = (14.0 / row).ceil().max(1.0) as usize;
        for l in (0..shape.0).filter(|l| l % every == 0 || Some(*l) == marked) {
            let y = rect.top() + ((l as f64 + 0.5 - window.y) * row) as f32;
            if y < rect.top() || y > rect.bottom() {
                continue;
            }
            let is = marked == Some(l);
            if !is && marked.is_some_and(|m| m.abs_diff(l) < every && m % every != 0) {
                continue;
            }
            p.text(
                pos2(rect.left() - 6.0, y),
                Align2::RIGHT_CENTER,
                format!("L{l}"),
                font.clone(),
                if is { theme.text } else { theme.secondary },
            );
        }
        if let Some(l) = marked {
            let y = |at: f64| rect.top() + ((at - window.y) * row) as f32;
            let band = Rect::from_x_y_ranges(rect.left() - 3.0..=rect.left() - 1.0, y(l as f64)..=y(l as f64 + 1.0))
                .intersect(rect.expand2(vec2(4.0, 0.0)));
            p.rect_filled(band, 0.0, theme.text);
        }
        for pin in pins {
            let layer = pin.window.y as usize;
            let ink = if marked == Some(layer) { theme.text } else { theme.secondary };
            p.text(pos2(pin.rect.left() - 6.0, pin.rect.center().y), Align2::RIGHT_CENTER, format!("L{layer}"), font.clone(), ink);
        }
        if let Some(last) = pins.last() {
            p.hline(outer.left()..=rect.right(), last.rect.bottom() + PIN_RULE / 2.0, Stroke::new(1.0, theme.accent));
        }
        // Neurons along the bottom.
        let cell = f64::from(rect.width()) / window.width;
        if let Columns::Named(names) = input.columns {
            for (i, name) in names.iter().enumerate() {
                let x = rect.left() + ((i as f64 + 0.5 - window.x) * cell) as f32;
                let is = under.is_some_and(|n| n.index as usize == i);
                let mut job =
                    egui::text::LayoutJob::simple_singleline(name.clone(), font.clone(), if is { theme.text } else { theme.secondary });
                job.wrap = egui::text::TextWrapping::truncate_at_width((cell as f32 - 4.0).max(12.0));
                let text = p.layout_job(job);
                if rect.x_range().contains(x) {
                    p.galley(pos2(x - text.size().x / 2.0, rect.bottom() + 4.0), text, theme.secondary);
                }
            }
        } else {
            self.ticks(&p, theme, input, place, outer, under);
        }
        if !input.ordered.is_empty() {
            let words = format!("place in the layer, {}", input.ordered);
            let mut job = egui::text::LayoutJob::simple_singleline(words, font.clone(), theme.secondary);
            job.wrap = egui::text::TextWrapping::truncate_at_width(rect.width());
            let text = p.layout_job(job);
            p.galley(pos2(rect.center().x - text.size().x / 2.0, outer.bottom() - CAPTION), text, theme.secondary);
        }
        let clipped = p.with_clip_rect(rect);
        if let Some((n, since)) = self.flash {
            let age = (ui.input(|i| i.time) - since) as f32;
            if age < FLASH {
                if ui.style().animation_time > 0.0 {
                    // Rings that close in on the neuron, three times.
                    let t = (age / FLASH * 3.0).fract();
                    let r = place.cell_rect(n).expand(2.0 + 26.0 * (1.0 - t));
                    clipped.rect_stroke(r, 4.0, Stroke::new(2.5, theme.accent.gamma_multiply(0.35 + 0.65 * t)), StrokeKind::Outside);
                    ui.ctx().request_repaint_after(std::time::Duration::from_millis(16));
                } else {
                    // Less motion is asked for: one ring that stands still.
                    clipped.rect_stroke(place.cell_rect(n).expand(6.0), 4.0, Stroke::new(2.5, theme.accent), StrokeKind::Outside);
                    ui.ctx().request_repaint_after(std::time::Duration::from_secs_f32(FLASH - age));
                }
            }
        }
        if input.crosshair
            && let Some(n) = under.or(input.hovered_neuron)
        {
            let at = place.cell_rect(n).center();
            let line = Stroke::new(1.0, Color32::from_white_alpha(150));
            let shade = Stroke::new(3.0, Color32::from_black_alpha(70));
            for stroke in [shade, line] {
                clipped.vline(at.x, rect.y_range(), stroke);
                clipped.hline(rect.x_range(), at.y, stroke);
            }
        }
        let outline = |n: Neuron, colour: Color32| {
            let r = place.cell_rect(n);
            let r = if r.width() < 4.0 { r.expand2(vec2((4.0 - r.width()) / 2.0, 0.0)) } else { r };
            clipped.rect_stroke(r, 0.0, Stroke::new(1.0, Color32::BLACK), StrokeKind::Outside);
            clipped.rect_stroke(r.expand(1.0), 0.0, Stroke::new(1.5, colour), StrokeKind::Outside);
        };
        let id = ui.scope_id().with("heatmap");
        if let Some(n) = self.cursor.filter(|_| ui.memory(|m| m.focused().is_none_or(|f| f == id))) {
            outline(n, theme.accent);
        }
        if let Some(n) = under.or(input.hovered_neuron) {
            outline(n, Color32::WHITE);
        }
        if let (Some(from), Some(to)) = (self.brush_from, ui.input(|i| i.pointer.interact_pos())) {
            let r = Rect::from_two_pos(from, to).intersect(rect);
            clipped.rect_filled(r, 0.0, theme.accent.gamma_multiply(0.2));
            clipped.rect_stroke(r, 0.0, Stroke::new(1.5, theme.accent), StrokeKind::Inside);
            let cells = place.cells(r);
            let text = format!("{} × {}", cells.0.len(), cells.1.len());
            let ink = p.layout_no_wrap(text, font, theme.text);
            let label = Rect::from_min_size(pos2(r.right() + 4.0, r.top()).min(rect.right_bottom() - ink.size()), ink.size()).expand(2.0);
            p.rect_filled(label, 2.0, theme.panel);
            p.galley(label.min + vec2(2.0, 2.0), ink, theme.text);
        }
    }
}

/// What all pictures of a view share in a frame.
struct Canvas<'a> {
    ui: &'a Ui,
    theme: &'a Theme,
    gpu: Option<&'a RenderState>,
    values: Option<Arc<HeatValues>>,
    input: &'a HeatmapInput<'a>,
    /// Off and selected by place; `None` where places are indices.
    marks: &'a Option<Arc<Placed>>,
}

impl Picture {
    fn paint(&mut self, c: &Canvas<'_>, place: &Place<'_>) {
        let (ui, input) = (c.ui, c.input);
        let ppp = ui.ctx().pixels_per_point();
        // A picture that the processor paints is a texture, and those have a largest side.
        let most = if c.gpu.is_some() { f32::INFINITY } else { ui.input(|i| i.max_texture_side) as f32 };
        let pixels = |points: f32| (points * ppp).round().clamp(1.0, most.max(1.0)) as u32;
        let size = (pixels(place.rect.width()), pixels(place.rect.height()));
        let order = place.order.map_or(0, |o| std::ptr::from_ref(o) as usize);
        let key = PlanKey { window: place.window, shape: place.shape, size, marks: input.marks_version, order };
        let plan = match &self.plan {
            Some((k, plan)) if *k == key => plan.clone(),
            _ => {
                let (off, selected) = c.marks.as_ref().map_or((input.off, input.selected), |m| (&m.0, &m.1));
                let marks = Marks { off: Some(off), selected: Some(selected) };
                let plan = Arc::new(Plan::new(place.window, place.shape.0, place.shape.1, size.0, size.1, &marks));
                self.plan = Some((key, plan.clone()));
                plan
            }
        };
        let rgb = |c: Color32| [c.r(), c.g(), c.b()];
        let style = Style { gap: rgb(c.theme.panel), selected: if input.colours.is_signed() { [0x1b, 0x1f, 0x24] } else { [0xff; 3] } };
        if let (Some(state), Some(values)) = (c.gpu, &c.values) {
            let gpu = self.gpu.get_or_insert_with(|| Arc::new(HeatGpu::new(state))).clone();
            let frame = HeatFrame { values: values.clone(), plan, scale: input.scale, map: input.colours, style };
            ui.painter().add(gpu.shape(place.rect, frame));
            return;
        }
        let key = TextureKey {
            plan: Arc::as_ptr(&plan) as usize,
            map: Arc::as_ptr(input.map) as usize,
            scale: input.scale,
            colours: input.colours,
            style,
        };
        if self.texture.as_ref().is_none_or(|(k, ..)| *k != key) {
            let pixels = raster::draw(&plan, &input.map.pyramid, &input.scale, input.colours, &style);
            let image = ColorImage::from_rgba_unmultiplied([plan.width as usize, plan.height as usize], &pixels);
            let texture = ui.ctx().load_texture("heatmap", image, TextureOptions::NEAREST);
            self.texture = Some((key, Arc::downgrade(input.map), texture));
        }
        if let Some((.., texture)) = &self.texture {
            ui.painter().image(texture.id(), place.rect, Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0)), Color32::WHITE);
        }
    }
}

/// A window on the screen. Cells are neurons, wherever they stand.
#[derive(Clone, Copy)]
struct Place<'a> {
    rect: Rect,
    window: Window,
    shape: (usize, usize),
    order: Option<&'a Permutation>,
}

impl Place<'_> {
    fn coordinates(&self, p: Pos2) -> (f64, f64) {
        let x = self.window.x + f64::from((p.x - self.rect.left()) / self.rect.width()) * self.window.width;
        let y = self.window.y + f64::from((p.y - self.rect.top()) / self.rect.height()) * self.window.height;
        (x, y)
    }
    /// The neuron that stands at a layer's place.
    fn neuron(&self, at: Neuron) -> Neuron {
        self.order.map_or(at, |o| o.neuron(at.layer, at.index))
    }
    /// Where a neuron stands.
    fn place(&self, n: Neuron) -> u32 {
        self.order.map_or(n.index, |o| o.place(n))
    }
    fn cell(&self, p: Pos2) -> Option<Neuron> {
        let (x, y) = self.coordinates(p);
        let inside = x >= 0.0 && y >= 0.0 && x < self.shape.1 as f64 && y < self.shape.0 as f64;
        inside.then(|| self.neuron(Neuron::new(y as u32, x as u32)))
    }
    /// Layers and places that a rectangle on the screen touches.
    fn cells(&self, r: Rect) -> (std::ops::Range<u32>, std::ops::Range<u32>) {
        let (a, b) = (self.coordinates(r.min), self.coordinates(r.max));
        let range = |from: f64, to: f64, n: usize| (from.max(0.0) as u32).min(n as u32)..(to.max(0.0).ceil() as u32).min(n as u32);
        (range(a.1, b.1, self.shape.0), range(a.0, b.0, self.shape.1))
    }
    fn cell_rect(&self, n: Neuron) -> Rect {
        let scale = (f64::from(self.rect.width()) / self.window.width, f64::from(self.rect.height()) / self.window.height);
        let at = |layer: f64, index: f64| {
            self.rect.min + vec2(((index - self.window.x) * scale.0) as f32, ((layer - self.window.y) * scale.1) as f32)
        };
        let (layer, place) = (f64::from(n.layer), f64::from(self.place(n)));
        Rect::from_min_max(at(layer, place), at(layer + 1.0, place + 1.0))
    }
}

/// Keeps the cell under `p` where it is. Neurons zoom alone until cells are as wide as high; then layers zoom along.
fn zoom_about(window: &mut Window, shape: (usize, usize), rect: Rect, p: Pos2, zoom: f64) {
    let (fx, fy) = (f64::from((p.x - rect.left()) / rect.width()), f64::from((p.y - rect.top()) / rect.height()));
    let width = (window.width / zoom).clamp(FEWEST.min(shape.1 as f64), shape.1.max(1) as f64);
    window.x += fx * (window.width - width);
    window.width = width;
    let cell = f64::from(rect.width()) / width;
    let row = f64::from(rect.height()) / window.height;
    let square = zoom > 1.0 && cell > row || zoom < 1.0 && window.height < shape.0 as f64;
    if square {
        let height = (window.height / zoom).clamp(1.0, shape.0.max(1) as f64);
        window.y += fy * (window.height - height);
        window.height = height;
    }
}

/// The window moved, and zoomed in where it shows many cells, so that a neuron is in its middle.
fn centred_on(mut window: Window, n: Neuron, order: Option<&Permutation>, shape: (usize, usize)) -> Window {
    window.width = window.width.min((shape.1 as f64 / 4.0).clamp(FEWEST, 128.0));
    window.x = f64::from(order.map_or(n.index, |o| o.place(n))) + 0.5 - window.width / 2.0;
    window.y = f64::from(n.layer) + 0.5 - window.height / 2.0;
    window
}

/// Scrolls no further than needed to show a layer's place.
fn follow(window: &mut Window, n: Neuron) {
    let (x, y) = (f64::from(n.index), f64::from(n.layer));
    window.x = window.x.min(x).max(x + 1.0 - window.width);
    window.y = window.y.min(y).max(y + 1.0 - window.height);
}

/// What a screen reader says and tests read: `Map of relevance of arithmetic: layer 14, neuron 7168, 0.283 nat, ablated`.
fn spoken(input: &HeatmapInput<'_>, pointed: Option<Neuron>) -> String {
    let (rows, cols) = (input.map.grid.rows(), input.map.grid.cols());
    let ordered = if input.ordered.is_empty() { String::new() } else { format!(", {}", input.ordered) };
    match pointed {
        None => format!("Map of {}: {rows} layers of {cols} {}{ordered}", input.what, input.columns.word()),
        Some(n) => format!("Map of {}: {}", input.what, cell_words(input, n)),
    }
}

fn cell_words(input: &HeatmapInput<'_>, n: Neuron) -> String {
    let (l, i) = (n.layer as usize, n.index as usize);
    let mut words = input.columns.spoken(n);
    match input.map.measured.get(l, i).filter(|v| v.is_finite()) {
        Some(v) => words.push_str(format!(", {} {}", sig3(f64::from(v)), input.unit).trim_end()),
        None => words.push_str(", no value"),
    }
    if let (per @ (PerLayer::Max | PerLayer::Rank), Some(v)) = (input.map.per_layer(), input.map.grid.get(l, i)) {
        words.push_str(&format!(", {} {}", sig3(f64::from(v)), per.words()));
    }
    if input.columns == Columns::Neurons {
        if input.off.contains(n) {
            words.push_str(", ablated");
        }
        if input.selected.contains(n) {
            words.push_str(", selected");
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECT: Rect = Rect { min: pos2(100.0, 50.0), max: pos2(500.0, 130.0) };

    #[test]
    fn zooming_keeps_the_cell_under_the_pointer() {
        let shape = (8, 512);
        let mut window = Window::whole(8, 512);
        let p = pos2(333.0, 77.0);
        for zoom in [1.3, 1.3, 2.0, 3.0, 0.5, 4.0] {
            let before = Place { rect: RECT, window, shape, order: None }.coordinates(p);
            zoom_about(&mut window, shape, RECT, p, zoom);
            let after = Place { rect: RECT, window, shape, order: None }.coordinates(p);
            assert!((before.0 - after.0).abs() < 1e-6 && (before.1 - after.1).abs() < 1e-6, "{before:?} {after:?}");
        }
    }

    #[test]
    fn layers_zoom_along_once_cells_are_square() {
        let shape = (8, 512);
        let mut window = Window::whole(8, 512);
        zoom_about(&mut window, shape, RECT, RECT.center(), 8.0);
        assert_eq!(window.height, 8.0, "64 cells on 400 points are narrower than rows of 10");
        zoom_about(&mut window, shape, RECT, RECT.center(), 4.0);
        assert_eq!(window.height, 2.0, "16 cells of 25 points are wider");
    }

    #[test]
    fn cells_and_points_agree() {
        let place = Place { rect: RECT, window: Window { x: 10.0, y: 2.0, width: 20.0, height: 4.0 }, shape: (8, 512), order: None };
        for n in [Neuron::new(2, 10), Neuron::new(5, 29), Neuron::new(3, 17)] {
            assert_eq!(place.cell(place.cell_rect(n).center()), Some(n));
        }
        let (layers, neurons) = place.cells(place.cell_rect(Neuron::new(3, 17)).shrink(1.0));
        assert_eq!((layers, neurons), (3..4, 17..18));
    }

    #[test]
    fn in_a_sorted_map_a_point_is_the_neuron_that_stands_there() {
        let grid = crate::base::Grid::new(1, 8, vec![1.0, 5.0, 3.0, 0.0, 2.0, 9.0, 4.0, 6.0]).expect("grid");
        let order = Permutation::by_value(&grid);
        let place = Place { rect: RECT, window: Window::whole(1, 8), shape: (1, 8), order: Some(&order) };
        // Largest first: neurons 5, 7, 1, 6, 2, 4, 0, 3 at 50 points each.
        assert_eq!(place.cell(pos2(RECT.left() + 25.0, RECT.center().y)), Some(Neuron::new(0, 5)));
        assert_eq!(place.cell(pos2(RECT.left() + 125.0, RECT.center().y)), Some(Neuron::new(0, 1)));
        assert_eq!(place.cell_rect(Neuron::new(0, 3)).left(), RECT.right() - 50.0);
        for i in 0..8 {
            let n = Neuron::new(0, i);
            assert_eq!(place.cell(place.cell_rect(n).center()), Some(n));
        }
    }

    #[test]
    fn the_window_follows_the_cursor_no_further_than_needed() {
        let mut window = Window { x: 100.0, y: 0.0, width: 20.0, height: 4.0 };
        follow(&mut window, Neuron::new(2, 110));
        assert_eq!(window.x, 100.0);
        follow(&mut window, Neuron::new(6, 120));
        assert_eq!((window.x, window.y), (101.0, 3.0));
    }
}
