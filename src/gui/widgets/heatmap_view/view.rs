//! The view itself: what it keeps between frames, and how a frame is put together.

use super::{
    HeatmapInput,
    input::spoken,
    picture::{Canvas, Picture, Placed},
    place::{FEWEST, Place, centred_on},
    surroundings::Surroundings,
};
use crate::{
    base::{
        Neuron, NeuronSet,
        heatmap::{Permutation, Window},
    },
    gui::{
        Theme,
        paint::heatmap::{HeatPipelines, HeatValues},
        widgets::prepared_map::PreparedMap,
    },
};
use eframe::{
    egui::{Pos2, Rect, Response, Role, Sense, Ui, WidgetInfo, pos2, vec2},
    egui_wgpu::RenderState,
};
use std::sync::{Arc, Weak, mpsc};

pub struct HeatmapOutput {
    pub response: Response,
    /// Under the pointer, else under the cell cursor while the map has the keyboard.
    pub pointed: Option<Neuron>,
    /// It is the cell cursor that is pointed at: the keys moved since the pointer did.
    pub by_keys: bool,
    pub clicked: Option<Neuron>,
    /// Ctrl was held: add to the selection or take out of it.
    pub adding: bool,
    /// Space.
    pub toggled: Option<Neuron>,
    /// All cells of a rectangle drawn with shift.
    pub brushed: Option<NeuronSet>,
}

/// Room for layer names and for neuron numbers.
const LEFT: f32 = 34.0;
const BOTTOM: f32 = 18.0;
/// More room below for the words of an order.
pub(super) const CAPTION: f32 = 14.0;
/// Height of a pinned layer, and the rule under them.
const PIN: f32 = 16.0;
pub(super) const PIN_RULE: f32 = 4.0;

/// Room that a map takes for what stands under it, in this order.
pub fn foot(ordered: &str) -> f32 {
    if ordered.is_empty() { BOTTOM } else { BOTTOM + CAPTION }
}

#[derive(Default)]
pub struct HeatmapView {
    /// `None`: the whole map.
    window: Option<Window>,
    /// Shape the window belongs to.
    shape: (usize, usize),
    pub(super) cursor: Option<Neuron>,
    /// Where the pointer rested over the map when the keys moved the cursor.
    pub(super) keys_at: Option<Pos2>,
    /// The press that closes a menu picks nothing in the map below it.
    pub(super) closes_menu: bool,
    /// A neuron that was looked for, and since when it flashes.
    pub(super) flash: Option<(Neuron, f64)>,
    pub(super) brush_from: Option<Pos2>,
    pub(super) brushed: Option<mpsc::Receiver<NeuronSet>>,
    /// Newest last. A `Weak` keeps the map's address, which tells maps apart, taken.
    values: Vec<(Weak<PreparedMap>, Arc<HeatValues>)>,
    /// `off` and `selected` by place, where places are not indices; with their version and the order's address.
    placed: Option<((u64, usize), Arc<Placed>)>,
    main: Picture,
    /// One a pinned layer.
    pins: Vec<Picture>,
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
            *self = Self { shape, window, main: self.main.renewed(), ..Self::default() };
        }
        let (outer, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
        let below = if input.bare { 0.0 } else { foot(input.ordered) };
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
        // A pointer that only rests there does not speak over the keys.
        let moved = |at: Pos2| pointer.is_some_and(|p| p.distance(at) > 2.0) || ui.input(|i| i.pointer.any_pressed());
        self.keys_at = self.keys_at.filter(|at| response.has_focus() && !moved(*at));
        let by_keys = response.has_focus() && (pointer.is_none() || self.keys_at.is_some()) && self.cursor.is_some();
        let pointed = if by_keys { self.cursor } else { under };
        let none =
            HeatmapOutput { response: response.clone(), pointed, by_keys, clicked: None, adding: false, toggled: None, brushed: None };
        let mut out = none;
        self.pick(ui, &response, &place, under, input.map, &mut out);

        let marks = self.marks(input, order);
        let values = gpu.and_then(|state| self.values_on_gpu(state, input.map));
        let canvas = Canvas { ui, theme, gpu, values, input, marks: &marks };
        self.main.paint(&canvas, &place);
        self.pins.resize_with(pins.len(), Picture::default);
        for (picture, place) in self.pins.iter_mut().zip(&pins) {
            picture.paint(&canvas, place);
        }
        self.surround(ui, &Surroundings { theme, input, place: &place, pins: &pins, outer, under: under.filter(|_| !by_keys) });
        let readout = spoken(input, pointed.or(input.hovered_neuron.filter(|_| input.crosshair)));
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

    fn surround(&self, ui: &Ui, around: &Surroundings<'_>) {
        around.axes(ui);
        if let Some((n, since)) = self.flash {
            around.flash(ui, n, since);
        }
        // The cell cursor shows where the keyboard is, or no other widget has it.
        let id = ui.scope_id().with("heatmap");
        around.pointed(ui, self.cursor.filter(|_| ui.memory(|m| m.focused().is_none_or(|f| f == id))));
        if let (Some(from), Some(to)) = (self.brush_from, ui.input(|i| i.pointer.interact_pos())) {
            around.brush(ui, from, to);
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
}
