//! Where a number comes from, as a tooltip and as text to copy.

use super::number::elided;
use crate::{base::provenance::Provenance, gui::Theme};
use eframe::egui::{self, Label, RichText, Ui, vec2};

/// Model, data, formula, objective, seed, dtype, device and the command that repeats it. `formula`: of what is shown, where that is only a part
/// of what the run measured.
pub fn facts(p: &Provenance, formula: Option<&str>) -> Vec<(&'static str, String)> {
    let mut list = vec![("model", format!("{} · sha256 {}", p.model, p.model_sha256))];
    list.extend(p.data_sha256.iter().map(|(name, hash)| ("data", format!("{name} · sha256 {hash}"))));
    list.push(("formula", formula.unwrap_or(&p.formula).to_owned()));
    list.push(("objective", p.objective.clone()));
    list.push(("seed", p.seed.to_string()));
    list.push(("dtype", p.dtype.clone()));
    list.push(("device", p.device.clone()));
    list.push(("made", format!("{}, {}", p.created, p.program)));
    list.push(("command", p.command.clone()));
    list.retain(|(_, v)| !v.is_empty());
    list
}

/// For the clipboard.
pub fn text(p: &Provenance, formula: Option<&str>) -> String {
    facts(p, formula).iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}

/// In one line, for the foot of a tooltip.
pub fn short(p: &Provenance) -> String {
    let objective = p.objective.split(':').next().unwrap_or(&p.objective);
    format!("model {} · {objective} · seed {} · {} · {}", elided(&p.model_sha256, 8, 0).trim_end_matches('…'), p.seed, p.dtype, p.device)
}

/// The facts in a tooltip, hashes by their ends.
pub fn tooltip_ui(ui: &mut Ui, theme: &Theme, p: &Provenance, formula: Option<&str>) {
    ui.set_max_width(440.0);
    egui::Grid::new("provenance").num_columns(2).spacing(vec2(12.0, 2.0)).show(ui, |ui| {
        for (name, value) in facts(p, formula) {
            ui.label(theme.small(name));
            let value = match value.rsplit_once(" · sha256 ") {
                Some((what, hash)) => format!("{what} · sha256 {}", elided(hash, 8, 4)),
                None => value,
            };
            ui.scope(|ui| {
                ui.set_max_width(360.0);
                ui.add(Label::new(RichText::new(value).size(crate::gui::theme::SMALL)).wrap());
            });
            ui.end_row();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_repeats_a_number_is_said() {
        let p = Provenance {
            model: "m".into(),
            model_sha256: "5a".repeat(32),
            data_sha256: vec![("logic".into(), "d0".repeat(32))],
            formula: "everything".into(),
            objective: "max-logit: D = ...".into(),
            seed: 3,
            dtype: "f32".into(),
            device: "cpu".into(),
            command: "brodmann scan".into(),
            ..Provenance::default()
        };
        let all = text(&p, Some("R = a da"));
        for part in [
            &*"5a".repeat(32),
            &"d0".repeat(32),
            "formula: R = a da",
            "objective: max-logit",
            "seed: 3",
            "dtype: f32",
            "device: cpu",
            "brodmann scan",
        ] {
            assert!(all.contains(part), "{part} in {all}");
        }
        assert_eq!(short(&p), "model 5a5a5a5a · max-logit · seed 3 · f32 · cpu");
    }
}
