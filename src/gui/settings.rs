//! The settings: a window that is no mode, every change felt and kept at once.

use super::{
    PanelCx,
    device_combo::device_combo,
    products_choice::{products_choice, products_remark},
    theme,
    widgets::{
        control::{choice, group, name_cell, remark},
        overlay::overlay,
        table::icon_button,
    },
};
use crate::{
    app::{Command, Preferences, Remembered, ThemeChoice},
    base::{heatmap::ColourMap, number},
};
use eframe::egui::{self, Align, Context, DragValue, Layout, Mesh, Sense, Shape, Ui, pos2, vec2};
use egui_material_icons::icons;

#[derive(Default)]
pub struct SettingsWindow {
    pub open: bool,
}

/// Steps of the interface's scale, in percent: a slider would move away from under the pointer.
pub const SCALES: [u32; 8] = [75, 90, 100, 110, 125, 150, 175, 200];
const NAMES: f32 = 104.0;

impl SettingsWindow {
    pub fn ui(&mut self, ctx: &Context, cx: &mut PanelCx<'_>) {
        overlay(ctx, cx.theme, "Settings", 432.0, &mut self.open, |ui| body_ui(ui, cx));
    }
}

/// The next larger (`up`) or smaller step of the scale.
pub fn next_scale(scale: f32, up: bool) -> f32 {
    let steps = SCALES.map(|s| s as f32 / 100.0);
    let next = if up { steps.into_iter().find(|s| *s > scale + 1e-3) } else { steps.into_iter().rev().find(|s| *s < scale - 1e-3) };
    next.unwrap_or(scale)
}

/// What of the preferences the window itself follows.
pub fn apply(ctx: &Context, p: &Preferences) {
    ctx.set_theme(match p.theme {
        ThemeChoice::System => egui::ThemePreference::System,
        ThemeChoice::Light => egui::ThemePreference::Light,
        ThemeChoice::Dark => egui::ThemePreference::Dark,
    });
    ctx.set_zoom_factor(p.scale);
}

fn setting(ui: &mut Ui, cx: &mut PanelCx<'_>, name: &str, hover: &str, add: impl FnOnce(&mut Ui, &mut PanelCx<'_>)) {
    ui.horizontal(|ui| {
        let name = name_cell(ui, cx.theme.faint(name), NAMES, theme::ROW);
        if !hover.is_empty() {
            name.on_hover_text(hover);
        }
        add(ui, cx);
    });
}

fn body_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let before = cx.app.settings.preferences.clone();
    let mut p = before.clone();
    ui.horizontal(|ui| {
        ui.label(cx.theme.group("APPEARANCE"));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            // What the program learned is no setting.
            let remembered = std::mem::take(&mut p.remembered);
            ui.add_enabled_ui(p != Preferences::default(), |ui| {
                if icon_button(ui, icons::ICON_RESTART_ALT, "Back to the defaults", "").clicked() {
                    p = Preferences::default();
                }
            });
            p.remembered = remembered;
        });
    });
    setting(ui, cx, "theme", "", |ui, cx| {
        let options =
            [(ThemeChoice::System, "system", "As the desktop says"), (ThemeChoice::Light, "light", ""), (ThemeChoice::Dark, "dark", "")];
        choice(ui, cx.theme, &mut p.theme, &options);
    });
    setting(ui, cx, "scale", "Ctrl + and Ctrl − too", |ui, cx| {
        let percent = (p.scale * 100.0).round() as u32;
        let mut chosen = percent;
        let names = SCALES.map(|s| if s == 100 { "100 %".to_owned() } else { s.to_string() });
        let options: Vec<(u32, &str, &str)> = SCALES.iter().zip(&names).map(|(s, n)| (*s, n.as_str(), "")).collect();
        ui.spacing_mut().button_padding.x = 5.0;
        if choice(ui, cx.theme, &mut chosen, &options) {
            p.scale = chosen as f32 / 100.0;
        }
    });
    setting(ui, cx, "colour map", "Of magnitudes. Differences are always blue, white, red", |ui, cx| {
        let options = [
            (ColourMap::Viridis, "viridis", "Widest range of colours"),
            (ColourMap::Cividis, "cividis", "The same to every colour vision"),
        ];
        choice(ui, cx.theme, &mut p.colours, &options);
        strip_ui(ui, p.colours);
    });
    group(ui, cx.theme, "COMPUTING");
    setting(ui, cx, "device", "Where scans run; forward and backward are always computed on the processor", |ui, cx| {
        device_combo(ui, cx, &mut p.device);
    });
    setting(ui, cx, "products", "How the processor multiplies matrices", |ui, cx| products_choice(ui, cx, &mut p.products));
    let indent = NAMES + ui.spacing().item_spacing.x;
    products_remark(ui, cx, &p.products, indent);
    setting(ui, cx, "CPU threads", "0: the physical cores, less one for the window where there are more than two", |ui, cx| {
        let most = std::thread::available_parallelism().map_or(1, |n| n.get());
        let mut n = p.threads.unwrap_or(0);
        if ui.add(automatic(DragValue::new(&mut n).range(0..=most).speed(0.05), "")).accessible_name("CPU threads").changed() {
            p.threads = (n > 0).then_some(n);
        }
        ui.label(cx.theme.small(format!("of {most}")));
    });
    setting(ui, cx, "memory", "What scans and evaluations may keep; 0: three fifths of what is free", |ui, cx| {
        let mut gigabytes = p.memory_bytes.map_or(0.0, |b| b as f64 / 1e9);
        let drag = automatic(DragValue::new(&mut gigabytes).range(0.0..=4096.0).speed(0.1).max_decimals(1), " GB");
        if ui.add(drag).accessible_name("Memory budget in gigabytes").changed() {
            p.memory_bytes = (gigabytes > 0.0).then_some((gigabytes * 1e9) as u64);
        }
        ui.label(cx.theme.small("the model's weights come on top"));
    });
    let hover = "Residuals that a toggle goes on from, beyond what fits in memory: in a temporary file, gone when the program ends. \
                 0: none, and what does not fit is computed again";
    setting(ui, cx, "kept on disk", hover, |ui, cx| {
        let mut gigabytes = p.spill_bytes as f64 / 1e9;
        let drag = DragValue::new(&mut gigabytes).range(0.0..=4096.0).speed(0.1).max_decimals(1).suffix(" GB");
        if ui.add(drag).accessible_name("Disk for kept residuals in gigabytes").changed() {
            p.spill_bytes = (gigabytes * 1e9) as u64;
        }
        ui.label(cx.theme.small("residuals beyond the memory above"));
    });
    let r = &p.remembered;
    if !r.model_places.is_empty() || !r.recent_projects.is_empty() || !r.recent_actions.is_empty() {
        group(ui, cx.theme, "REMEMBERED");
        setting(ui, cx, "kept", "Places of models that projects asked for, recent projects and actions", |ui, cx| {
            let text = format!(
                "{}, {}",
                number::counted(p.remembered.model_places.len() as u64, "model path"),
                number::counted(p.remembered.recent_projects.len() as u64, "recent project")
            );
            ui.label(cx.theme.small(text));
            if ui.small_button("Forget").clicked() {
                p.remembered = Remembered {
                    tour_done: p.remembered.tour_done,
                    speeds: std::mem::take(&mut p.remembered.speeds),
                    ..Remembered::default()
                };
            }
        });
    }
    ui.add_space(theme::GRID * 2.0);
    let mut about = "Kept at once. Results depend on products alone, and name them; the rest is how fast they come.".to_owned();
    if let Some(device) = cx.app.device() {
        about.push_str(&format!(" The open model computes on {device}."));
    }
    remark(ui, cx.theme, about);
    if let Some(path) = &cx.app.settings.preferences_file {
        remark(ui, cx.theme, path.display().to_string());
    }
    if p != before {
        cx.send(Command::SetPreferences { preferences: p });
    }
}

/// 0 reads as what it means.
fn automatic<'a>(drag: DragValue<'a>, unit: &'a str) -> DragValue<'a> {
    drag.custom_formatter(move |n, _| {
        if n <= 0.0 {
            "automatic".to_owned()
        } else if n.fract() == 0.0 {
            format!("{n:.0}{unit}")
        } else {
            format!("{n:.1}{unit}")
        }
    })
    .custom_parser(move |text| {
        let text = text.trim();
        if text.starts_with("auto") { Some(0.0) } else { super::widgets::control::parse_number(text.trim_end_matches(unit.trim())) }
    })
}

/// What a colour map looks like.
fn strip_ui(ui: &mut Ui, map: ColourMap) {
    let (rect, _) = ui.allocate_exact_size(vec2(96.0, 10.0), Sense::hover());
    let mut mesh = Mesh::default();
    for i in 0..=32_u32 {
        let t = f64::from(i) / 32.0;
        let [r, g, b] = map.at(t);
        let x = rect.left() + rect.width() * t as f32;
        for y in [rect.top(), rect.bottom()] {
            mesh.colored_vertex(pos2(x, y), egui::Color32::from_rgb(r, g, b));
        }
        if i > 0 {
            mesh.add_triangle(2 * i - 2, 2 * i - 1, 2 * i);
            mesh.add_triangle(2 * i - 1, 2 * i, 2 * i + 1);
        }
    }
    ui.painter().add(Shape::mesh(mesh));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_goes_by_steps_and_stays_inside() {
        assert_eq!(next_scale(1.0, true), 1.1);
        assert_eq!(next_scale(1.0, false), 0.9);
        assert_eq!(next_scale(1.3, false), 1.25);
        assert_eq!(next_scale(2.0, true), 2.0);
        assert_eq!(next_scale(0.75, false), 0.75);
    }
}
