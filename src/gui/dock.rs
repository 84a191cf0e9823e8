//! The middle of the window: panels in tabs and splits, and saved layouts over the same panels. A layout is no mode: every panel can stand in
//! every one.

pub use super::layouts::{LayoutId, Room};

use super::{
    Panel, PanelCx, PanelInfo, Theme,
    arrangement::{in_front, place_of},
    dock_tabs::Bar,
    export::{self, Subject},
    panels, theme,
};
use crate::report::export::View;
use eframe::egui::{self, Color32, Id, Response, Stroke, Ui, Vec2, Visuals, WidgetText, vec2};
use egui_material_icons::icons;
use egui_tiles::{Behavior, Container, SimplificationOptions, TabState, Tile, TileId, Tiles, Tree, UiResponse};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A place in a layout; the panel itself lives in [`Dock::made`] and is shared by the layouts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pane {
    pub(super) id: String,
}

/// What is kept of the window between sessions, apart from projects.
#[derive(Clone, Serialize, Deserialize)]
pub struct SavedDock {
    version: u32,
    active: LayoutId,
    trees: Vec<(LayoutId, Tree<Pane>)>,
}

const VERSION: u32 = 1;

pub struct Dock {
    pub active: LayoutId,
    pub(super) trees: HashMap<&'static str, Tree<Pane>>,
    made: HashMap<String, Box<dyn Panel>>,
    /// The panel that was pressed last, and the one under the pointer.
    focus: Option<String>,
    pointed: Option<String>,
    /// The room that layouts which nobody changed were delivered for.
    room: Room,
    /// Whether they may be those of another: they came from elsewhere.
    pub(super) unfitted: bool,
}

impl Dock {
    pub fn new(saved: Option<SavedDock>) -> Self {
        let room = Room::Usual;
        let trees = LayoutId::ALL.into_iter().map(|id| (id.name(), id.tree(room))).collect();
        let mut dock = Self { active: LayoutId::Explore, trees, made: HashMap::new(), focus: None, pointed: None, room, unfitted: false };
        if let Some(saved) = saved {
            dock.restore(saved);
        }
        dock
    }
    /// Panels lie as they were saved; one of another version is left alone.
    pub fn restore(&mut self, saved: SavedDock) {
        if saved.version == VERSION {
            self.active = saved.active;
            self.trees.extend(saved.trees.into_iter().filter(|(_, t)| !t.is_empty()).map(|(id, t)| (id.name(), t)));
            self.unfitted = true;
        }
    }
    pub fn saved(&self) -> SavedDock {
        let trees = LayoutId::ALL.into_iter().filter_map(|id| Some((id, self.trees.get(id.name())?.clone()))).collect();
        SavedDock { version: VERSION, active: self.active, trees }
    }
    /// The shown layout as it was delivered.
    pub fn reset(&mut self) {
        self.trees.insert(self.active.name(), self.active.tree(self.room));
    }
    /// Layouts that nobody changed become those for a window of this size, in points; whether any did.
    pub fn fit(&mut self, window: Vec2) -> bool {
        let room = Room::of(window);
        if room == self.room && !self.unfitted {
            return false;
        }
        (self.room, self.unfitted) = (room, false);
        let before = self.arrangement();
        for id in LayoutId::ALL {
            let of_other =
                Room::ALL.into_iter().filter(|r| *r != room).any(|r| place_of(&id.tree(r)).as_ref() == before.layouts.get(id.name()));
            if of_other {
                self.lay(id, id.tree(room));
            }
        }
        self.arrangement() != before
    }
    /// Puts `tree` in the place of a layout; panels that were in front stay there, the one that was pressed last before others.
    pub(super) fn lay(&mut self, id: LayoutId, mut tree: Tree<Pane>) {
        let before = self.trees.get(id.name()).map(in_front).unwrap_or_default();
        // The first of several that share a bar now is the last to come to the front.
        let focus = before.iter().find(|p| Some(*p) == self.focus.as_ref());
        for front in before.iter().rev().chain(focus) {
            tree.make_active(|_, tile| matches!(tile, Tile::Pane(p) if p.id == *front));
        }
        self.trees.insert(id.name(), tree);
    }
    /// Brings a panel to the front, adding it where the layout has it not.
    pub fn show_panel(&mut self, id: &str) {
        let Some(tree) = self.trees.get_mut(self.active.name()) else { return };
        let is_it = |tile: &Tile<Pane>| matches!(tile, Tile::Pane(p) if p.id == id);
        if tree.make_active(|_, tile| is_it(tile)) || panels::find(id).is_none() {
            return;
        }
        let pane = tree.tiles.insert_pane(Pane { id: id.to_owned() });
        let tabs =
            tree.tiles.iter().filter(|(_, t)| matches!(t, Tile::Container(Container::Tabs(_)))).map(|(id, _)| *id).min_by_key(|t| t.0);
        match tabs {
            Some(tabs) => tree.move_tile_to_container(pane, tabs, usize::MAX, false),
            None => tree.root = Some(tree.tiles.insert_tab_tile(vec![pane])),
        }
        tree.make_active(|_, tile| is_it(tile));
    }
    /// Whether the shown layout has the panel.
    pub fn has(&self, id: &str) -> bool {
        self.trees.get(self.active.name()).is_some_and(|t| t.tiles.tiles().any(|t| matches!(t, Tile::Pane(p) if p.id == id)))
    }

    /// Whether the panel is seen: in the shown layout and in front.
    pub fn shows(&self, id: &str) -> bool {
        let Some(tree) = self.trees.get(self.active.name()) else { return false };
        tree.active_tiles().into_iter().any(|t| matches!(tree.tiles.get(t), Some(Tile::Pane(p)) if p.id == id))
    }

    /// The layouts as tabs over the dock.
    pub fn layout_tabs_ui(&mut self, ui: &mut Ui, theme: &Theme) {
        ui.spacing_mut().item_spacing.x = 4.0;
        for id in LayoutId::ALL {
            let chosen = id == self.active;
            let text = if chosen { theme.strong(id.name()) } else { theme.faint(id.name()) };
            let galley =
                egui::WidgetText::from(text).into_galley(ui, Some(egui::TextWrapMode::Extend), f32::INFINITY, egui::TextStyle::Button);
            let (rect, r) = ui.allocate_exact_size(vec2(galley.size().x + 24.0, 32.0), egui::Sense::click());
            r.widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, true, chosen, id.name()));
            let r = r.on_hover_text(id.hint());
            if r.hovered() || r.has_focus() {
                ui.painter().rect_filled(rect.shrink2(vec2(0.0, 4.0)), 4.0, theme.raised);
            }
            ui.painter().galley(rect.center() - galley.size() / 2.0, galley, theme.text);
            if chosen {
                let line = egui::Rect::from_min_max(
                    egui::pos2(rect.left() + 12.0, rect.bottom() - 2.0),
                    egui::pos2(rect.right() - 12.0, rect.bottom()),
                );
                ui.painter().rect_filled(line, 1.0, theme.accent);
            }
            if r.clicked() {
                self.active = id;
            }
        }
    }

    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let Some(tree) = self.trees.get_mut(self.active.name()) else { return };
        let theme = cx.theme;
        self.pointed = None;
        let (focus, pointed) = (&mut self.focus, &mut self.pointed);
        let mut show = Show { cx, theme, made: &mut self.made, focus, pointed, bar: Bar::default(), closed: None, chosen: None };
        tree.ui(&mut show, ui);
        let Show { closed, chosen, .. } = show;
        if let Some(closed) = closed {
            tree.remove_recursively(closed);
        }
        if chosen.is_some_and(|chosen| tree.make_active(|id, _| id == chosen)) {
            ui.ctx().request_repaint();
        }
    }
    /// What Ctrl+E exports: the panel that was pressed last, else the one under the pointer, else the first that shows something.
    pub fn export_view(&self) -> (View, Option<Subject>) {
        let shown = |p: &PanelInfo| match self.made.get(p.id).and_then(|panel| panel.exports()) {
            Some((view, subject)) => Some((view, Some(subject))),
            None => p.export.map(|view| (view, None)),
        };
        let of = |id: &Option<String>| id.as_deref().filter(|id| self.has(id)).and_then(panels::find).and_then(shown);
        let first = || panels::PANELS.iter().filter(|p| self.has(p.id)).find_map(shown);
        of(&self.focus).or_else(|| of(&self.pointed)).or_else(first).unwrap_or_default()
    }
    /// What the panel of this view shows now, where it has several.
    pub fn shown_of(&self, view: View) -> Option<(View, Subject)> {
        let panel = panels::PANELS.iter().find(|p| p.export == Some(view))?;
        self.made.get(panel.id)?.exports()
    }
}

pub(super) fn simple() -> SimplificationOptions {
    SimplificationOptions { all_panes_must_have_tabs: true, ..SimplificationOptions::default() }
}

struct Show<'a, 'b> {
    cx: &'a mut PanelCx<'b>,
    theme: &'a Theme,
    made: &'a mut HashMap<String, Box<dyn Panel>>,
    focus: &'a mut Option<String>,
    pointed: &'a mut Option<String>,
    /// The bar that is drawn now.
    bar: Bar,
    /// A panel that is to leave the layout.
    closed: Option<TileId>,
    /// One that is to come to the front.
    chosen: Option<TileId>,
}

impl Show<'_, '_> {
    /// What the panel in front can do.
    fn menu_ui(&mut self, tiles: &Tiles<Pane>, ui: &mut Ui, tabs: &egui_tiles::Tabs) {
        let Some(tile) = tabs.active else { return };
        let Some(Tile::Pane(pane)) = tiles.get(tile) else { return };
        let Some(info) = panels::find(&pane.id) else { return };
        let icon = icons::ICON_MORE_VERT.rich_text().size(16.0).color(self.theme.secondary);
        let button = egui::Button::new(icon).frame_when_inactive(false).min_size(vec2(theme::ROW, theme::ROW));
        let (response, _) = egui::containers::menu::MenuButton::from_button(button).ui(ui, |ui| {
            let shown = self.made.get(info.id).and_then(|panel| panel.exports());
            let usual = || info.export.map(|view| (export::shown_view(view, self.cx.app), Subject::default()));
            if let Some((view, subject)) = shown.or_else(usual) {
                export::menu_ui(ui, self.cx, view, subject);
                ui.separator();
            }
            if ui.button("Close the panel").on_hover_text("The Panels menu brings it back").clicked() {
                self.closed = Some(tile);
                ui.close();
            }
        });
        response.on_hover_text(format!("{}: export, close", info.title)).accessible_name(format!("{} menu", info.title));
    }
}

impl Behavior<Pane> for Show<'_, '_> {
    fn pane_ui(&mut self, ui: &mut Ui, _: TileId, pane: &mut Pane) -> UiResponse {
        let Some(info) = panels::find(&pane.id) else { return UiResponse::None };
        let panel = self.made.entry(pane.id.clone()).or_insert_with(info.make);
        ui.painter().rect_filled(ui.max_rect(), 0.0, self.theme.panel);
        if ui.rect_contains_pointer(ui.max_rect()) {
            *self.pointed = Some(pane.id.clone());
            if ui.input(|i| i.pointer.any_pressed()) {
                *self.focus = Some(pane.id.clone());
            }
        }
        let margin = egui::Margin::symmetric(theme::PANEL_MARGIN.x as i8, theme::PANEL_MARGIN.y as i8);
        egui::Frame::NONE.inner_margin(margin).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            panel.ui(ui, self.cx);
        });
        UiResponse::None
    }
    fn tab_title_for_pane(&mut self, pane: &Pane) -> WidgetText {
        panels::find(&pane.id).map_or(pane.id.as_str(), |p| p.title).into()
    }
    fn top_bar_right_ui(&mut self, tiles: &Tiles<Pane>, ui: &mut Ui, _: TileId, tabs: &egui_tiles::Tabs, offset: &mut f32) {
        self.menu_ui(tiles, ui, tabs);
        // Drawn before the tabs, whose room is what is left.
        self.bar = Bar::of(ui, tiles, tabs);
        *offset = 0.0;
    }
    fn tab_ui(&mut self, tiles: &mut Tiles<Pane>, ui: &mut Ui, id: Id, tile: TileId, state: &TabState) -> Response {
        self.bar.tab_ui(ui, self.theme, tiles, (id, tile), state)
    }
    fn tab_bar_trailing_ui(&mut self, tiles: &Tiles<Pane>, ui: &mut Ui, _: TileId, _: &egui_tiles::Tabs) {
        self.chosen = self.bar.others_ui(ui, self.theme, tiles).or(self.chosen);
    }
    fn retain_pane(&mut self, pane: &Pane) -> bool {
        // A layout may have been stored by a version with other panels.
        panels::find(&pane.id).is_some()
    }
    fn tab_bar_height(&self, _: &egui::Style) -> f32 {
        28.0
    }
    fn gap_width(&self, _: &egui::Style) -> f32 {
        4.0
    }
    fn min_size(&self) -> f32 {
        120.0
    }
    fn tab_bar_color(&self, _: &Visuals) -> Color32 {
        self.theme.background
    }
    fn tab_bar_hline_stroke(&self, _: &Visuals) -> Stroke {
        Stroke::NONE
    }
    fn resize_stroke(&self, _: &egui::Style, state: egui_tiles::ResizeState) -> Stroke {
        match state {
            egui_tiles::ResizeState::Idle => Stroke::new(4.0, self.theme.background),
            _ => Stroke::new(2.0, self.theme.accent),
        }
    }
    fn drag_preview_stroke(&self, _: &Visuals) -> Stroke {
        Stroke::new(1.0, self.theme.accent)
    }
    fn drag_preview_color(&self, _: &Visuals) -> Color32 {
        self.theme.accent.gamma_multiply(0.2)
    }
    fn simplification_options(&self) -> SimplificationOptions {
        simple()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_survives_saving_and_an_old_version_is_dropped() {
        let mut dock = Dock::new(None);
        dock.active = LayoutId::Ablate;
        let text = serde_json::to_string(&dock.saved()).expect("json");
        let back = Dock::new(Some(serde_json::from_str(&text).expect("own json")));
        assert_eq!(back.active, LayoutId::Ablate);
        let mut old: SavedDock = serde_json::from_str(&text).expect("own json");
        old.version = 0;
        assert_eq!(Dock::new(Some(old)).active, LayoutId::Explore);
    }

    #[test]
    fn the_pressed_panel_is_exported_else_the_first_that_can_be() {
        let mut dock = Dock::new(None);
        assert_eq!(dock.export_view().0, View::Neurons);
        dock.pointed = Some("density".into());
        assert_eq!(dock.export_view().0, View::Density);
        dock.focus = Some("similarity".into());
        assert_eq!(dock.export_view().0, View::Similarity);
        // A panel that shows no numbers, or that this layout has not.
        for id in ["log", "ablation"] {
            dock.focus = Some(id.into());
            assert_eq!(dock.export_view().0, View::Density);
        }
    }

    #[test]
    fn every_panel_can_be_brought_to_the_front_of_every_layout() {
        for layout in LayoutId::ALL {
            let mut dock = Dock::new(None);
            dock.active = layout;
            for p in panels::PANELS {
                dock.show_panel(p.id);
                assert!(dock.has(p.id), "{} in {layout:?}", p.id);
            }
        }
    }
}
