//! How far the linear picture holds: every change of this session that was predicted and then measured, one point a set and domain.

use super::{open_model::model_ui, prediction_state};
use crate::{
    ablate::{Summary, predict},
    app::{App, Command, Failure, JobTarget, Measured, Origin},
    base::{provenance, stats},
    eval::AblationAt,
    gui::{
        Ask, Panel, PanelCx, theme,
        widgets::{
            chart::{lines_that_fit, small_font},
            control::{bar, choice, group, remark, remark_height, room_for},
            number::{count, counted, sig3},
            scatter::{Dot, Scatter, Shape},
            states::{empty_ui, failed_ui, stopped_ui, working_ui},
            table::{Table, icon_button, twin_switch},
        },
    },
};
use eframe::egui::{self, ComboBox, ScrollArea, Ui, vec2};
use egui_material_icons::icons;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Of {
    #[default]
    Margin,
    Loss,
    Accuracy,
}

impl Of {
    const ALL: [Self; 3] = [Self::Margin, Self::Loss, Self::Accuracy];

    fn name(self) -> &'static str {
        match self {
            Self::Margin => "margin",
            Self::Loss => "loss",
            Self::Accuracy => "accuracy",
        }
    }
    fn hint(self) -> &'static str {
        match self {
            Self::Margin => "Mean log-likelihood of the right choice less that of the best other one",
            Self::Loss => "Mean negative log-likelihood of a token of the right answer",
            Self::Accuracy => "Share of questions answered right, predicted by counting margins that stay above 0",
        }
    }
    fn unit(self) -> &'static str {
        match self {
            Self::Margin => "nat",
            Self::Loss => "nat a token",
            Self::Accuracy => "points",
        }
    }
    fn value(self, s: &Summary) -> Option<f64> {
        match self {
            Self::Margin => s.margin,
            Self::Loss => s.loss,
            Self::Accuracy => s.acc.map(|a| 100.0 * a),
        }
    }
    fn pair(self, m: &Measured) -> Option<(f64, f64)> {
        Some((self.value(&m.predicted)?, self.value(&m.measured)?))
    }
}

/// A panel lower than this says in few words how well both agree, so that the chart is seen whole.
const LOW: f32 = 260.0;

/// Largest disagreements listed.
const OUTLIERS: usize = 8;

/// Points there are, quantity, domain, and whether controls are left out.
type ShownKey = (String, usize, Of, Option<String>, bool);

#[derive(Default)]
pub struct PredictionPanel {
    of: Of,
    /// `None`: all domains.
    domain: Option<String>,
    hide_controls: bool,
    table: bool,
    asked: Option<String>,
    /// Kept until other points are shown: ranks of thousands of points are not found every frame.
    agreement: Option<(ShownKey, Agreement)>,
}

/// A point that is shown: what it is of, and its coordinates.
type Shown<'a> = (&'a Measured, f64, f64);

impl Panel for PredictionPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        prediction_state::ask_ui(cx, &mut self.asked);
        if !ready(ui, cx) {
            return;
        }
        let app = cx.app;
        // Texts without choices have a loss alone.
        if self.of != Of::Loss && app.points().all(|m| self.of.pair(m).is_none()) {
            self.of = Of::Loss;
        }
        let of = self.of;
        let in_domain = |m: &&Measured| self.domain.as_ref().is_none_or(|d| *d == m.domain);
        let kept = |m: &&Measured| !(self.hide_controls && m.origin == Origin::Control);
        let shown: Vec<Shown<'_>> = app
            .points()
            .filter(|m| in_domain(m) && kept(m))
            .filter_map(|m| {
                let (x, y) = of.pair(m)?;
                Some((m, x, y))
            })
            .collect();
        self.bar_ui(ui, cx, &shown);
        let key = (app.computing_key(), app.measured.len(), of, self.domain.clone(), self.hide_controls);
        if self.agreement.as_ref().is_none_or(|(k, a)| *k != key || a.n != shown.len()) {
            self.agreement = Some((key, Agreement::of(&shown)));
        }
        let Some((_, agreement)) = &self.agreement else { return };
        let room = ui.available_height();
        let low = room < LOW;
        ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
            let top = ui.cursor().top();
            prediction_state::state_ui(ui, cx, low);
            let words = agreement.words(of);
            let shown_words = if low { agreement.short_words(of) } else { words.clone() };
            let hover = format!("{words}\n{}\n{}", predict::FORMULA, predict::OBJECTIVE);
            ui.add(egui::Label::new(cx.theme.strong(shown_words)).wrap()).on_hover_text(hover);
            if self.table {
                table(of, &shown).ui(ui, cx.theme, "predicted and measured");
                return;
            }
            let room = room - (ui.cursor().top() - top);
            chart_ui(ui, cx, of, &shown, agreement, room);
            outliers_ui(ui, cx, of, &shown);
        });
    }
}

/// Whether there is a point to draw; else says why not and what to do.
fn ready(ui: &mut Ui, cx: &mut PanelCx<'_>) -> bool {
    let app = cx.app;
    if app.points().next().is_some() {
        return true;
    }
    let icon = icons::ICON_SCATTER_PLOT;
    if !model_ui(ui, cx, icon, "Open a model and a dataset to see how far first-order predictions hold.") {
        return false;
    }
    let job = app
        .job_for(|t| matches!(t, JobTarget::Attribution(_)))
        .or_else(|| app.job_for(|t| matches!(t, JobTarget::Evaluation(_))))
        .filter(|_| app.prediction.running || app.ablation.running);
    match (&app.prediction.failed, job) {
        (Some(Failure::Failed(message)), _) => {
            if failed_ui(ui, cx, "The first-order effects could not be computed", message, "Predict again") {
                cx.send(Command::Predict);
            }
        }
        (Some(Failure::Cancelled), None) => {
            if stopped_ui(ui, cx.theme, "The first-order effects were stopped before all domains had them.", "Go on") {
                cx.send(Command::Predict);
            }
        }
        (_, Some(job)) => working_ui(ui, cx, job),
        (None, None) if app.prediction.running => {
            empty_ui(ui, cx.theme, icon, "First-order effects are being computed.", "");
        }
        (None, None) => {
            let sentence = "Switch neurons off: each set's predicted change stands here against the measured one.";
            if empty_ui(ui, cx.theme, icon, sentence, "Open Ablation") {
                cx.link.ask(Ask::ShowPanel("ablation"));
            }
        }
    }
    false
}

impl PredictionPanel {
    fn bar_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, shown: &[Shown<'_>]) {
        let theme = cx.theme;
        let (of, mut hide) = (self.of, self.hide_controls);
        let mut table_shown = self.table;
        bar(
            ui,
            4,
            cx,
            |ui, cx| {
                let options: Vec<(Of, &str, &str)> = Of::ALL.into_iter().map(|o| (o, o.name(), o.hint())).collect();
                choice(ui, theme, &mut self.of, &options);
                ui.add_space(4.0);
                room_for(ui, 190.0);
                let chosen = self.domain.clone().unwrap_or_else(|| "all domains".into());
                let combo = ComboBox::from_id_salt("prediction domain").selected_text(chosen).width(110.0);
                let list = combo.show_ui(ui, |ui| {
                    ui.selectable_value(&mut self.domain, None, "all domains");
                    for name in domains(cx.app) {
                        ui.selectable_value(&mut self.domain, Some(name.to_owned()), name);
                    }
                });
                list.response.accessible_name("Domain of the points");
                let controls = egui::Button::selectable(!hide, "controls");
                if ui.add(controls).on_hover_text("The random controls, which are predicted and measured too").clicked() {
                    hide = !hide;
                }
            },
            |ui, cx| {
                twin_switch(ui, &mut table_shown, "predictions", || table(of, shown));
                if icon_button(ui, icons::ICON_DOWNLOAD, "Save the points as CSV", "All domains and quantities, with provenance").clicked()
                {
                    cx.link.ask(Ask::SaveFile("predicted-and-measured.csv".into(), csv(cx.app).into_bytes()));
                }
                if icon_button(ui, icons::ICON_DELETE_SWEEP, "Forget the points", "New ones come with the next change").clicked() {
                    cx.send(Command::ForgetMeasured);
                }
            },
        );
        (self.hide_controls, self.table) = (hide, table_shown);
    }
}

/// Domains that have points, in the order of the points.
fn domains(app: &App) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for m in app.points() {
        if !names.contains(&m.domain.as_str()) {
            names.push(&m.domain);
        }
    }
    names
}

/// How well predictions and measurements agree.
struct Agreement {
    n: usize,
    pearson: Option<f64>,
    spearman: Option<f64>,
    /// Mean of |measured - predicted|.
    error: Option<f64>,
}

impl Agreement {
    fn of(shown: &[Shown<'_>]) -> Self {
        let (x, y): (Vec<f64>, Vec<f64>) = shown.iter().map(|s| (s.1, s.2)).unzip();
        let errors: Vec<f64> = x.iter().zip(&y).map(|(x, y)| (y - x).abs()).collect();
        // Two points always lie on a line.
        let several = x.len() > 2;
        let told = |v: Option<f64>| v.filter(|_| several);
        Self { n: x.len(), pearson: told(stats::pearson(&x, &y)), spearman: told(stats::spearman(&x, &y)), error: stats::mean(&errors) }
    }
    fn words(&self, of: Of) -> String {
        let number = |v: Option<f64>| v.map_or("undefined".to_owned(), |v| format!("{v:.2}"));
        let error = self.error.map_or("undefined".to_owned(), |e| format!("{} {}", sig3(e), of.unit()));
        let correlation = match (self.pearson, self.spearman) {
            (None, None) => String::new(),
            (pearson, spearman) => format!("Pearson {}, Spearman {}, ", number(pearson), number(spearman)),
        };
        format!("{}: {correlation}mean |measured − predicted| {error}", counted(self.n as u64, "point"))
    }
    fn short_words(&self, of: Of) -> String {
        let error = self.error.map_or("undefined".to_owned(), |e| format!("{} {}", sig3(e), of.unit()));
        let correlation = self.pearson.map_or_else(String::new, |v| format!("Pearson {v:.2}, "));
        format!("{}: {correlation}off by {error}", counted(self.n as u64, "point"))
    }
}

/// `room`: height that is left of the panel.
fn chart_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, of: Of, shown: &[Shown<'_>], agreement: &Agreement, room: f32) {
    let off = cx.app.project.off();
    let dots: Vec<Dot> = shown
        .iter()
        .map(|(m, x, y)| Dot {
            x: *x,
            y: *y,
            colour: cx.domain_colour(&m.domain),
            shape: match m.origin {
                Origin::Toggle => Shape::Disc,
                Origin::Control => Shape::Cross,
                Origin::Sweep => Shape::Square,
            },
            marked: m.origin == Origin::Toggle
                && *m.neurons == off
                && m.heads == cx.app.project.heads
                && m.mode == cx.app.project.mode
                && m.at == cx.app.project.at,
        })
        .collect();
    let (x, y) =
        (format!("predicted change of {} ({})", of.name(), of.unit()), format!("measured change of {} ({})", of.name(), of.unit()));
    // Chart, legend and the head of the list are seen at once; in a low panel chart and legend, in the lowest the chart with its axes: the others
    // by scrolling.
    let legend = remark_height(ui, MARKS) + 20.0 + 4.0 * ui.spacing().item_spacing.y;
    let ways = [(legend + 32.0, 200.0), (legend, 140.0), (2.0, 0.0)];
    let fit = ways.into_iter().map(|(below, least)| (room - below, least)).find(|(fit, least)| fit >= least).map_or(room, |f| f.0);
    let height = (ui.available_width() * 0.62).clamp(200.0, (room * 0.55).max(380.0)).min(fit.max(LEAST_CHART));
    let spoken = agreement.words(of);
    let chart = Scatter {
        name: "Predicted against measured",
        x: &x,
        y: &y,
        dots: &dots,
        size: vec2(ui.available_width(), height),
        spoken: &spoken,
    };
    let out = chart.show(ui, cx.theme);
    if let Some(i) = out.hovered {
        let words = words_of(of, &shown[i]);
        cx.link.hover_domain(&shown[i].0.domain);
        cx.link.readout(words.clone());
        out.response.on_hover_text_at_pointer(words);
    }
    if let Some(i) = out.clicked {
        select(cx, shown[i].0);
    }
    legend_ui(ui, cx, shown);
}

/// A chart lower than this has no room for its points.
const LEAST_CHART: f32 = 124.0;

const MARKS: &str =
    "● a set that was switched · × its random controls · ■ a unit of a sweep · ring: in force now · dashed: predicted = measured";

fn legend_ui(ui: &mut Ui, cx: &PanelCx<'_>, shown: &[Shown<'_>]) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 10.0;
        let mut names: Vec<&str> = Vec::new();
        for (m, ..) in shown {
            if !names.contains(&m.domain.as_str()) {
                names.push(&m.domain);
            }
        }
        for name in names {
            let galley = ui.painter().layout_no_wrap(name.to_owned(), small_font(), cx.theme.text);
            let (rect, _) = ui.allocate_exact_size(vec2(galley.size().x + 12.0, 16.0), egui::Sense::hover());
            ui.painter().circle_filled(rect.left_center() + vec2(4.0, 0.0), 3.5, cx.domain_colour(name));
            ui.painter().galley(rect.left_center() + vec2(11.0, -galley.size().y / 2.0), galley, cx.theme.text);
        }
    });
    remark(ui, cx.theme, MARKS);
}

/// The points that the linear picture misses most.
fn outliers_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, of: Of, shown: &[Shown<'_>]) {
    let mut order: Vec<&Shown<'_>> = shown.iter().collect();
    let by_error = |a: &&Shown<'_>, b: &&Shown<'_>| (b.2 - b.1).abs().total_cmp(&(a.2 - a.1).abs());
    if order.is_empty() {
        return;
    }
    group(ui, cx.theme, "LARGEST DISAGREEMENT");
    let lines = lines_that_fit(ui, theme::ROW).max(OUTLIERS);
    if order.len() > lines {
        order.select_nth_unstable_by(lines, by_error);
        order.truncate(lines);
    }
    order.sort_by(by_error);
    for shown in order {
        let (m, x, y) = shown;
        ui.horizontal_wrapped(|ui| {
            let control = if m.origin == Origin::Control { ", random control" } else { "" };
            let name = format!("Select {} of {}{control}", m.label, m.domain);
            let button = ui.button(&m.label).on_hover_text("Marks its neurons in every view").accessible_name(&name);
            if button.hovered() {
                if let Some(neuron) = m.neurons.iter().next().filter(|_| m.neurons.len() == 1) {
                    cx.link.hover_neuron(neuron);
                }
                cx.link.readout(words_of(of, shown));
            }
            if button.clicked() {
                select(cx, m);
            }
            let (rect, _) = ui.allocate_exact_size(vec2(8.0, 20.0), egui::Sense::hover());
            ui.painter().circle_filled(rect.center(), 3.5, cx.domain_colour(&m.domain));
            let text =
                format!("{}{control}: predicted {}, measured {}, off by {} {}", m.domain, sig3(*x), sig3(*y), sig3(y - x), of.unit());
            ui.add(egui::Label::new(text).wrap());
        });
    }
}

fn select(cx: &mut PanelCx<'_>, m: &Measured) {
    if m.neurons.is_empty() {
        return;
    }
    if m.neurons.len() == 1 {
        cx.link.reveal = m.neurons.iter().next();
        cx.link.focus_neuron = cx.link.reveal;
    }
    cx.send(Command::SelectNeurons { neurons: (*m.neurons).clone() });
}

fn words_of(of: Of, (m, x, y): &Shown<'_>) -> String {
    let origin = match m.origin {
        Origin::Toggle => "",
        Origin::Control => " (random control)",
        Origin::Sweep => " (sweep)",
    };
    format!(
        "{}{origin} · {} · {}: predicted {}, measured {} {} · n {}",
        m.label,
        m.domain,
        of.name(),
        sig3(*x),
        sig3(*y),
        of.unit(),
        count(m.n as u64)
    )
}

fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Toggle => "set",
        Origin::Control => "random control",
        Origin::Sweep => "sweep",
    }
}

fn table(of: Of, shown: &[Shown<'_>]) -> Table {
    let mut t = Table::new(&[("set", false), ("kind", false), ("domain", false), ("ablation", false)]);
    for title in ["predicted", "measured", "difference"] {
        t.column(format!("{title}, {}", of.unit()), true);
    }
    t.column("n", true);
    for (m, x, y) in shown {
        let mode = mode_word(m);
        let cells =
            vec![m.label.clone(), origin_word(m.origin).into(), m.domain.clone(), mode, sig3(*x), sig3(*y), sig3(y - x), m.n.to_string()];
        t.row(cells);
    }
    t
}

fn mode_word(m: &Measured) -> String {
    match m.at {
        AblationAt::All => m.mode.word(),
        at => format!("{} at {at}", m.mode.word()),
    }
}

/// Every point and quantity in long form. The head names what it was made from.
fn csv(app: &App) -> String {
    let info = app.library.model_info();
    let word = |text: &str| if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() };
    let mut text = format!(
        "# {}, {}\n# model {} sha256 {}\n# computed in {}\n# {}\n# {}\n",
        provenance::program(),
        provenance::now_utc(),
        info.map_or("", |i| i.name.as_str()),
        info.map_or("", |i| i.sha256.as_str()),
        app.products().arithmetic(),
        predict::FORMULA,
        predict::OBJECTIVE
    );
    for d in app.project.enabled().filter_map(|d| app.library.domain(&d.name)?.scored()) {
        text.push_str(&format!("# data {} sha256 {}\n", d.name, d.sha256));
    }
    text.push_str("set,kind,neurons,heads,ablation,domain,quantity,unit,predicted,measured,n\n");
    for m in app.points() {
        let heads = m.heads.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let head = [m.label.clone(), origin_word(m.origin).into(), m.neurons.to_string(), heads, mode_word(m), m.domain.clone()];
        let head = head.iter().map(|w| word(w)).collect::<Vec<_>>().join(",");
        for of in Of::ALL {
            if let Some((x, y)) = of.pair(m) {
                text.push_str(&format!("{head},{},{},{x},{y},{}\n", of.name(), of.unit(), m.n));
            }
        }
    }
    text
}

pub fn make() -> Box<dyn Panel> {
    Box::<PredictionPanel>::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::testing, base::NeuronSet, eval::AblationMode};
    use std::{collections::BTreeSet, sync::Arc};

    fn point(x: f64, y: f64) -> Measured {
        let of = |v: f64| Summary { acc: None, margin: Some(v), loss: Some(-v) };
        Measured {
            label: "L0N1".into(),
            neurons: Arc::new(NeuronSet::parse("L0N1,L1N2").expect("set")),
            heads: BTreeSet::new(),
            mode: AblationMode::Zero,
            at: AblationAt::All,
            domain: "a, b".into(),
            n: 5,
            predicted: of(x),
            measured: of(y),
            origin: Origin::Toggle,
            computed: String::new(),
        }
    }

    #[test]
    fn agreement_counts_points_that_have_the_quantity() {
        let points = [point(-1.0, -1.5), point(0.0, 0.5), point(2.0, 1.0)];
        let shown: Vec<Shown<'_>> = points.iter().filter_map(|m| Of::Margin.pair(m).map(|(x, y)| (m, x, y))).collect();
        let a = Agreement::of(&shown);
        assert!(a.n == 3 && (a.spearman.expect("rho") - 1.0).abs() < 1e-12, "three points in one order");
        assert!((a.error.expect("error") - (0.5 + 0.5 + 1.0) / 3.0).abs() < 1e-12);
        assert!(points.iter().all(|m| Of::Accuracy.pair(m).is_none()));
    }

    #[test]
    fn a_saved_table_quotes_names_and_says_what_it_is_made_from() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::sample_app(dir.path());
        app.measured.push(point(-1.0, -1.5));
        let text = csv(&app);
        assert!(text.contains(&"5a".repeat(32)) && text.contains(predict::FORMULA));
        let rows: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        // Margin and loss; this domain has no accuracy.
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[1], "L0N1,set,\"L0N1,L1N2\",,zero,\"a, b\",margin,nat,-1,-1.5,5");
    }
}
