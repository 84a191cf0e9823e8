//! The bar of tabs over a panel: names are whole or not there. Where not all fit, they stand closer; what is left over is in a menu after the last.

use super::{Theme, panels, theme};
use eframe::egui::{self, Align2, Color32, Id, Rect, Response, Role, Sense, Ui, WidgetInfo, containers::menu::MenuButton, vec2};
use egui_tiles::{TabState, TileId, Tiles};

use super::dock::Pane;

/// Space at both sides of a name: as wide as there is room for.
const PADDINGS: [f32; 3] = [12.0, 10.0, 8.0];

/// Of the menu with the others.
const MORE: f32 = 40.0;

/// How the tabs of one bar are shown.
#[derive(Default)]
pub(super) struct Bar {
    padding: f32,
    /// In their order.
    others: Vec<TileId>,
}

impl Bar {
    /// `names`: width of each tab's name. The active tab is always seen.
    fn plan(names: &[(TileId, f32)], active: Option<TileId>, room: f32) -> Self {
        let all: f32 = names.iter().map(|n| n.1).sum();
        if let Some(padding) = PADDINGS.into_iter().find(|p| all + 2.0 * p * names.len() as f32 <= room) {
            return Self { padding, others: Vec::new() };
        }
        let padding = PADDINGS[1];
        let own = names.iter().find(|n| Some(n.0) == active).map_or(0.0, |n| n.1 + 2.0 * padding);
        let mut left = room - MORE - own;
        let mut others = Vec::new();
        for (id, width) in names.iter().filter(|n| Some(n.0) != active) {
            let width = width + 2.0 * padding;
            if others.is_empty() && width <= left {
                left -= width;
            } else {
                others.push(*id);
            }
        }
        Self { padding, others }
    }

    pub fn of(ui: &Ui, tiles: &Tiles<Pane>, tabs: &egui_tiles::Tabs) -> Self {
        let font = egui::TextStyle::Button.resolve(ui.style());
        let width = |text: &str| ui.painter().layout_no_wrap(text.to_owned(), font.clone(), Color32::PLACEHOLDER).size().x;
        let seen = tabs.children.iter().filter(|t| tiles.is_visible(**t));
        let names: Vec<(TileId, f32)> = seen.map(|t| (*t, width(&name(tiles, *t)))).collect();
        // Less than a point is lost where widths are rounded.
        Self::plan(&names, tabs.active, ui.available_width() - 1.0)
    }

    /// One tab, as egui_tiles wants it: to be clicked and dragged.
    pub fn tab_ui(&self, ui: &mut Ui, theme: &Theme, tiles: &Tiles<Pane>, (id, tile): (Id, TileId), state: &TabState) -> Response {
        if self.others.contains(&tile) {
            let nowhere = Rect::from_min_size(ui.cursor().min, vec2(0.0, ui.available_height()));
            return ui.interact(nowhere, id, Sense::hover());
        }
        let text = name(tiles, tile);
        let ink = if state.active { theme.text } else { theme.secondary };
        let galley = ui.painter().layout_no_wrap(text.clone(), egui::TextStyle::Button.resolve(ui.style()), ink);
        let (_, rect) = ui.allocate_space(vec2(galley.size().x + 2.0 * self.padding, ui.available_height()));
        let response = ui.interact(rect, id, Sense::click_and_drag());
        response.widget_info(|| WidgetInfo::selected(Role::Button, ui.is_enabled(), state.active, &text));
        if !state.is_being_dragged {
            let lit = response.hovered() || response.has_focus();
            let fill = if state.active { theme.panel } else { Color32::TRANSPARENT };
            ui.painter().rect_filled(rect.shrink(0.5).with_max_y(rect.bottom() + 0.5), 0.0, fill);
            let ink = if lit { theme.text } else { ink };
            let at = Align2::CENTER_CENTER.align_size_within_rect(galley.size(), rect).min;
            ui.painter().galley_with_override_text_color(at, galley, ink);
        }
        response
    }

    /// The tabs that are not seen; the one that was chosen.
    pub fn others_ui(&self, ui: &mut Ui, theme: &Theme, tiles: &Tiles<Pane>) -> Option<TileId> {
        if self.others.is_empty() {
            return None;
        }
        let mut chosen = None;
        let words = egui::RichText::new(format!("+{}", self.others.len())).color(theme.secondary);
        let button = egui::Button::new(words).frame_when_inactive(false).min_size(vec2(MORE - 4.0, theme::ROW));
        ui.add_space(2.0);
        let padding = std::mem::replace(&mut ui.spacing_mut().button_padding.x, 2.0);
        let (response, _) = MenuButton::from_button(button).ui(ui, |ui| {
            for tile in &self.others {
                if ui.button(name(tiles, *tile)).clicked() {
                    chosen = Some(*tile);
                    ui.close();
                }
            }
        });
        ui.spacing_mut().button_padding.x = padding;
        let names: Vec<String> = self.others.iter().map(|t| name(tiles, *t)).collect();
        response.on_hover_text(names.join(", ")).accessible_name("More tabs");
        chosen
    }
}

fn name(tiles: &Tiles<Pane>, tile: TileId) -> String {
    match tiles.get(tile) {
        Some(egui_tiles::Tile::Pane(pane)) => panels::find(&pane.id).map_or(pane.id.as_str(), |p| p.title).to_owned(),
        Some(egui_tiles::Tile::Container(c)) => format!("{:?}", c.kind()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(widths: &[f32]) -> Vec<(TileId, f32)> {
        widths.iter().enumerate().map(|(i, w)| (TileId::from_u64(i as u64), *w)).collect()
    }

    #[test]
    fn names_stand_closer_before_any_is_left_out() {
        let tabs = names(&[40.0, 50.0, 60.0]);
        let padding = |room| Bar::plan(&tabs, Some(tabs[0].0), room).padding;
        assert_eq!((padding(222.0), padding(210.0), padding(198.0)), (12.0, 10.0, 8.0));
        assert!(Bar::plan(&tabs, Some(tabs[0].0), 198.0).others.is_empty());
    }

    #[test]
    fn the_active_tab_is_seen_whatever_the_room_and_the_others_keep_their_order() {
        let tabs = names(&[40.0, 50.0, 60.0, 30.0, 20.0]);
        for active in &tabs {
            for room in [40.0, 100.0, 150.0, 200.0, 260.0] {
                let bar = Bar::plan(&tabs, Some(active.0), room);
                assert!(!bar.others.contains(&active.0));
                assert!(bar.others.is_sorted_by_key(|t| t.0));
                let taken: f32 = tabs.iter().filter(|t| !bar.others.contains(&t.0)).map(|t| t.1 + 2.0 * bar.padding).sum();
                let more = if bar.others.is_empty() { 0.0 } else { MORE };
                // The active one alone may be wider than all there is.
                assert!(taken + more <= room || bar.others.len() == tabs.len() - 1, "{taken} of {room}");
            }
        }
        assert_eq!(Bar::plan(&tabs, Some(tabs[4].0), 200.0).others.len(), 3, "40, 20 and the menu: 140; 50 more would be 210");
    }
}
