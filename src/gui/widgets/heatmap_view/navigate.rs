//! Wheel, drag and keys move the window and the cell cursor; clicks, brushes and Space pick neurons.

use super::{
    HeatmapOutput, HeatmapView,
    place::{Place, follow, zoom_about},
};
use crate::{
    base::{
        Neuron, NeuronSet,
        heatmap::{Permutation, Window},
    },
    gui::widgets::prepared_map::PreparedMap,
};
use eframe::egui::{self, EventFilter, Key, Modifiers, PointerButton, Rect, Response, Ui, vec2};
use std::sync::mpsc;

const LAST_MAP: &str = "map that was used last";
/// A brushed set of more cells is collected off the interface thread.
const COLLECT_AT_ONCE: usize = 50_000;

impl HeatmapView {
    /// Wheel, drag, keys: changes the window and the cell cursor.
    pub(super) fn navigate(
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
            self.keys_at = response.hover_pos();
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
    pub(super) fn take_keys(&self, ui: &Ui, response: &Response) {
        ui.data_mut(|d| d.insert_temp(egui::Id::unique(LAST_MAP), response.id));
    }

    pub(super) fn pick(
        &mut self,
        ui: &Ui,
        response: &Response,
        place: &Place<'_>,
        under: Option<Neuron>,
        map: &PreparedMap,
        out: &mut HeatmapOutput,
    ) {
        if ui.input(|i| i.pointer.any_pressed()) {
            self.closes_menu = egui::Popup::is_any_open(ui.ctx());
        }
        let by_pointer = ui.input(|i| i.pointer.primary_released()) && !self.closes_menu;
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
}
