//! What becomes of a neuron that is switched, where in the text, what the random controls have in common with the set, and how many questions are asked.

use crate::{
    ablate::ControlMatch,
    app::Command,
    eval::{AblationAt, AblationMode},
    gui::{
        PanelCx, theme,
        widgets::{
            control::{SLIDER_HEIGHT, caption, choice, keep_together, parse_number},
            number::counted,
        },
    },
};
use eframe::egui::{ComboBox, DragValue, Frame, Popup, PopupCloseBehavior, Slider, Ui};

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
    keep_together(ui, ["from", domain, "from"].into_iter());
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

/// Beside the icons a narrower row asks for controls and questions with one button.
const WIDE: f32 = 560.0;

/// How many random controls, what they match, and how many questions are asked: side by side, or behind a button that says them.
pub fn controls_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    if ui.available_width() >= WIDE {
        keep_together(ui, ["random controls", "5", "size", "size and scale"].into_iter());
        caption(ui, cx.theme, "random controls");
        count_ui(ui, cx);
        match_ui(ui, cx);
        keep_together(ui, ["questions", "100"].into_iter());
        caption(ui, cx.theme, "questions");
        questions_ui(ui, cx);
        return;
    }
    let controls = counted(cx.app.project.controls as u64, "control");
    let questions = cx.app.project.eval.samples.map_or_else(|| "all questions".to_owned(), |n| counted(n as u64, "question"));
    let words = format!("{controls} · {questions}");
    let r = ui.button(words).accessible_name("Controls and questions");
    let frame = Frame::popup(ui.style()).inner_margin(theme::GRID * 3.0);
    let popup = Popup::from_toggle_button_response(&r).close_behavior(PopupCloseBehavior::CloseOnClickOutside);
    popup.gap(theme::GRID).frame(frame).show(|ui| {
        ui.spacing_mut().item_spacing.y = theme::GRID;
        ui.label(cx.theme.group("Random controls"));
        ui.horizontal(|ui| count_ui(ui, cx));
        ui.label(cx.theme.group("As the set in"));
        ui.horizontal(|ui| match_ui(ui, cx));
        ui.label(cx.theme.group("Questions a domain"));
        ui.horizontal(|ui| questions_ui(ui, cx));
    });
    r.on_hover_text("How many random sets each change is held against, what they share with the set, and how many questions are scored");
}

fn count_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let mut controls = cx.app.project.controls;
    let hover = "Random sets with as many neurons in each layer, seeds 0, 1, …: what any set of this size would do";
    let drag = DragValue::new(&mut controls).range(0..=20).speed(0.05);
    if ui.add(drag).on_hover_text(hover).accessible_name("Random controls").changed() {
        cx.send(Command::SetControls { count: controls });
    }
}

fn match_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let mut like = cx.app.project.control_match;
    let options = [
        (ControlMatch::Size, "size", "As many neurons in each layer"),
        (ControlMatch::Scale, "size and scale", "As many in each layer and in each tenth of it by mean |activation| of the shown run"),
    ];
    if choice(ui, cx.theme, &mut like, &options) {
        cx.send(Command::SetControlMatch { like });
    }
}

fn questions_ui(ui: &mut Ui, cx: &mut PanelCx<'_>) {
    let mut eval = cx.app.project.eval.clone();
    let mut n = eval.samples.unwrap_or(0);
    let drag = DragValue::new(&mut n)
        .range(0..=100_000)
        .speed(1.0)
        .custom_formatter(|n, _| if n < 1.0 { "all".to_owned() } else { format!("{n:.0}") })
        .custom_parser(|text| if text.trim() == "all" { Some(0.0) } else { text.trim().parse().ok() });
    let r = ui.add(drag).on_hover_text("0 or `all`: every question of the scored split").accessible_name("Questions a domain");
    if r.changed() {
        eval.samples = (n > 0).then_some(n);
        cx.send(Command::SetEvalConfig { config: eval });
    }
}
