//! What becomes of a neuron that is switched, where in the text, and what the random controls have in common with the set.

use crate::{
    ablate::ControlMatch,
    app::Command,
    eval::{AblationAt, AblationMode},
    gui::{
        PanelCx,
        widgets::control::{SLIDER_HEIGHT, caption, choice, keep_together, parse_number},
    },
};
use eframe::egui::{ComboBox, DragValue, Slider, Ui};

/// Beyond it, in either direction, a factor is typed.
const MOST: f32 = 5.0;

/// The ways as one word each, with what they do.
const KINDS: [(&str, &str); 5] = [
    ("zero", "The activation becomes 0"),
    ("mean", "It becomes its mean over items that are not scored"),
    ("positional mean", "It becomes its mean at the same position over items that are not scored"),
    ("resample", "It becomes its value at the same position in a sample of another domain, drawn once for each question"),
    ("scale", "It is multiplied by a factor: below 1 inhibits, above 1 amplifies"),
];

fn kind_of(mode: &AblationMode) -> usize {
    match mode {
        AblationMode::Zero => 0,
        AblationMode::Mean => 1,
        AblationMode::PositionalMean => 2,
        AblationMode::Resample { .. } => 3,
        AblationMode::Scale(_) => 4,
    }
}

/// Parts of a row that wraps.
pub fn mode_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let app = cx.app;
    let mode = &app.project.mode;
    let kind = kind_of(mode);
    keep_together(ui, ["set to", "positional mean"].into_iter());
    caption(ui, cx.theme, "set to").on_hover_text("What becomes of a neuron that is switched off");
    let combo = ComboBox::from_id_salt("ablation mode").selected_text(KINDS[kind].0).width(110.0);
    let mut chosen = kind;
    let shown = combo.show_ui(ui, |ui| {
        for (i, (word, hint)) in KINDS.into_iter().enumerate() {
            ui.selectable_value(&mut chosen, i, word).on_hover_text(hint);
        }
    });
    shown.response.accessible_name("Way to ablate").on_hover_text(KINDS[kind].1);
    if chosen != kind {
        let first = app.project.domains.iter().map(|d| d.name.clone()).next().unwrap_or_default();
        let mode = match chosen {
            0 => AblationMode::Zero,
            1 => AblationMode::Mean,
            2 => AblationMode::PositionalMean,
            3 => AblationMode::Resample { domain: first, seed: 0 },
            _ => AblationMode::Scale(0.5),
        };
        cx.send(Command::SetAblationMode { mode });
    }
    match mode {
        AblationMode::Scale(factor) => factor_ui(ui, cx, *factor),
        AblationMode::Resample { domain, seed } => resample_ui(ui, cx, domain, *seed),
        _ => {}
    }
    let mut at = app.project.at;
    let options = [
        (AblationAt::All, "whole sequence", "At every position"),
        (AblationAt::Answer, "answer only", "Only at the positions that predict the answer; what the model made of the prompt stays"),
    ];
    if choice(ui, cx.theme, &mut at, &options) {
        cx.send(Command::SetAblationAt { at });
    }
}

fn factor_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, factor: f32) {
    let mut value = factor;
    // One widget: rail and number do not part.
    keep_together(ui, ["a rail of one hundred", "× 0.50"].into_iter());
    let usual = std::mem::replace(&mut ui.spacing_mut().slider_width, 90.0);
    let row = std::mem::replace(&mut ui.spacing_mut().interact_size.y, SLIDER_HEIGHT);
    let slider = Slider::new(&mut value, 0.0..=MOST)
        .clamping(eframe::egui::SliderClamping::Never)
        .step_by(0.05)
        .prefix("× ")
        .custom_parser(|text| parse_number(text.trim_start_matches('×')));
    let response = ui.name_inputs("Factor", |ui| ui.add(slider)).accessible_name("Factor");
    ui.spacing_mut().interact_size.y = row;
    ui.spacing_mut().slider_width = usual;
    let hint = "0 switches off, below 1 inhibits, 1 changes nothing, above 1 amplifies";
    if response.on_hover_text(hint).changed() && value.is_finite() {
        cx.send(Command::SetAblationMode { mode: AblationMode::Scale(value) });
    }
}

fn resample_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, domain: &str, seed: u64) {
    caption(ui, cx.theme, "from");
    let combo = ComboBox::from_id_salt("resample from").selected_text(domain).width(96.0);
    let mut new = None;
    let shown = combo.show_ui(ui, |ui| {
        for d in &cx.app.project.domains {
            if ui.selectable_label(d.name == domain, &d.name).clicked() {
                new = Some(AblationMode::Resample { domain: d.name.clone(), seed });
            }
        }
    });
    shown.response.accessible_name("Domain that is resampled");
    let mut drawn = seed;
    let drag = DragValue::new(&mut drawn).prefix("seed ").speed(0.05);
    if ui.add(drag).on_hover_text("Another seed draws other samples").accessible_name("Seed of the samples").changed() {
        new = Some(AblationMode::Resample { domain: domain.to_owned(), seed: drawn });
    }
    if let Some(mode) = new {
        cx.send(Command::SetAblationMode { mode });
    }
}

/// How many random controls, and what they match.
pub fn controls_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    keep_together(ui, ["random controls", "5", "size", "size and scale"].into_iter());
    caption(ui, cx.theme, "random controls");
    let mut controls = cx.app.project.controls;
    let hover = "Random sets with as many neurons in each layer, seeds 0, 1, …: what any set of this size would do";
    let drag = DragValue::new(&mut controls).range(0..=20).speed(0.05);
    if ui.add(drag).on_hover_text(hover).accessible_name("Random controls").changed() {
        cx.send(Command::SetControls { count: controls });
    }
    let mut like = cx.app.project.control_match;
    let options = [
        (ControlMatch::Size, "size", "As many neurons in each layer"),
        (ControlMatch::Scale, "size and scale", "As many in each layer and in each tenth of it by mean |activation| of the shown run"),
    ];
    if choice(ui, cx.theme, &mut like, &options) {
        cx.send(Command::SetControlMatch { like });
    }
}
