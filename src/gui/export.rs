//! The export of a panel: what it shows, as which file, where to. A window that is no mode; the work is a job.

use super::{
    Ask, PanelCx, keys, theme,
    widgets::{
        control::{choice, choice_among, group, name_cell, remark},
        number::sig3,
        overlay::overlay,
        provenance,
    },
};
use crate::{
    app::{App, Command, MapCell, Operand, OverlapView, RunEntry, Side, SimilarityView, ThemeChoice},
    base::{Head, Neuron, heatmap::Combine},
    report::{
        self,
        export::{ExportSpec, FileKind, MapOf, MapSpec, VIEWS, View, ViewInfo},
    },
};
use eframe::egui::{Button, Context, Key, KeyboardShortcut, Modifiers, RichText, TextEdit, Ui};
use std::path::{Path, PathBuf};

pub struct ExportWindow {
    pub open: bool,
    what: View,
    kind: FileKind,
    /// All domains of the run, each with its own map, instead of the shown one.
    all: bool,
    pixels: u32,
    theme: ThemeChoice,
    folder: PathBuf,
    path: String,
    /// The path is still the one that was suggested: it follows what is chosen.
    suggested: bool,
    /// A file that may be replaced: chosen in a dialog that asked, or found there at the last press.
    may_replace: Option<PathBuf>,
    asks: bool,
    subject: Subject,
}

/// The neuron or head that a view of the inspector is of, or what else only the panel knows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Subject {
    pub neuron: Option<Neuron>,
    pub head: Option<Head>,
    /// Share of the neurons that a view of the tasks shows.
    pub percent: Option<f64>,
}

impl ExportWindow {
    pub fn new(folder: Option<PathBuf>) -> Self {
        let home = || std::env::home_dir().filter(|h| h.is_dir());
        let folder = folder.filter(|f| f.is_dir()).or_else(home).or_else(|| std::env::current_dir().ok()).unwrap_or_default();
        Self {
            open: false,
            what: View::Neurons,
            kind: FileKind::Png,
            all: false,
            pixels: 2,
            theme: ThemeChoice::Light,
            folder,
            path: String::new(),
            suggested: true,
            may_replace: None,
            asks: false,
            subject: Subject::default(),
        }
    }
    pub fn show(&mut self, what: View, subject: Subject) {
        (self.open, self.what, self.suggested, self.asks) = (true, what, true, false);
        self.subject = subject;
    }
    /// Where the last file went; kept between sessions.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
    /// A path that was chosen in a dialog.
    pub fn chosen(&mut self, path: &Path) {
        if let Some(kind) = FileKind::of(path) {
            self.kind = kind;
        }
        self.path = path.display().to_string();
        self.may_replace = Some(path.to_owned());
        (self.suggested, self.asks) = (false, false);
    }

    pub fn ui(&mut self, ctx: &Context, cx: &mut PanelCx<'_>) {
        let (mut open, before) = (self.open, self.open);
        overlay(ctx, cx.theme, "Export", 520.0, &mut open, |ui| self.body_ui(ui, cx));
        // Both the cross and the button inside close it.
        self.open &= open || !before;
    }

    fn body_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let row = |ui: &mut Ui, cx: &PanelCx<'_>, name: &str, add: &mut dyn FnMut(&mut Ui)| {
            ui.horizontal(|ui| {
                name_cell(ui, cx.theme.faint(name), 64.0, theme::ROW);
                add(ui);
            });
        };
        // A neuron and a head are exported from the inspector, which knows which.
        let offered = |v: &&ViewInfo| match v.view {
            View::Neuron => self.subject.neuron.is_some(),
            View::Head => self.subject.head.is_some(),
            _ => true,
        };
        let views: Vec<&ViewInfo> = VIEWS.iter().filter(offered).collect();
        for (line, views) in views.chunks(5).enumerate() {
            row(ui, cx, if line == 0 { "what" } else { "" }, &mut |ui| {
                // What there is nothing of yet cannot be chosen, and says what makes it.
                let option = |v: &&ViewInfo| match lacks(cx.app, v.view) {
                    Some(why) => (v.view, v.label, why, false),
                    None => (v.view, v.label, v.hint, true),
                };
                let options: Vec<(View, &str, &str, bool)> = views.iter().map(option).collect();
                choice_among(ui, cx.theme, &mut self.what, &options);
            });
        }
        if let Some(why) = cx.app.cannot_export(self.what) {
            ui.add_space(theme::GRID * 2.0);
            remark(ui, cx.theme, why);
            return;
        }
        if self.what == View::Neurons {
            row(ui, cx, "domains", &mut |ui| {
                let options = [(false, "as shown", "The map in the panel"), (true, "all", "One map a domain, on one scale")];
                choice(ui, cx.theme, &mut self.all, &options);
            });
        }
        row(ui, cx, "file", &mut |ui| {
            let options = [
                (FileKind::Png, "PNG", "Pixels, with axes, colour bar and provenance"),
                (FileKind::Svg, "SVG", "Shapes and text; the cells of a map as pixels"),
                (FileKind::Csv, "CSV", "The numbers in long form, one a row, with their provenance in a file beside"),
                (FileKind::Tsv, "TSV", "The same, tab-separated"),
                (FileKind::Parquet, "Parquet", "The same with types, compressed, provenance inside"),
                (FileKind::Safetensors, "safetensors", "Dense arrays, provenance under __metadata__"),
            ];
            choice(ui, cx.theme, &mut self.kind, &options);
        });
        if self.kind.is_picture() {
            row(ui, cx, "scale", &mut |ui| {
                let options = [(1, "1 ×", "For a screen"), (2, "2 ×", ""), (3, "3 ×", ""), (4, "4 ×", "For print")];
                choice(ui, cx.theme, &mut self.pixels, &options);
                ui.add_space(12.0);
                let options = [(ThemeChoice::Light, "light", "On white"), (ThemeChoice::Dark, "dark", "")];
                choice(ui, cx.theme, &mut self.theme, &options);
            });
        }
        let spec = self.spec(cx.app);
        if self.suggested {
            self.path = self.folder.join(file_name(&spec, cx.app)).display().to_string();
        }
        group(ui, cx.theme, "TO");
        let mut entered = false;
        ui.horizontal(|ui| {
            let edit = TextEdit::singleline(&mut self.path).desired_width(ui.available_width() - 84.0);
            let field = ui.add(edit).accessible_name("File to export to");
            if field.changed() {
                (self.suggested, self.asks) = (false, false);
            }
            entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            if ui.button("Choose…").clicked() {
                cx.link.ask(Ask::ExportPath(PathBuf::from(&self.path)));
            }
        });
        if self.asks {
            ui.label(RichText::new("There is a file of this name. Export once more to replace it.").color(cx.theme.warn));
        }
        remark(ui, cx.theme, summary(&spec, cx.app));
        ui.add_space(theme::GRID);
        let fits = self.what.info().has_tensors() || self.kind != FileKind::Safetensors;
        let possible = !self.path.trim().is_empty() && fits;
        let mut pressed = false;
        ui.horizontal(|ui| {
            let why =
                if fits { "A file's name is missing" } else { "This view has no dense arrays; choose CSV, TSV or Parquet for its numbers" };
            pressed = ui
                .add_enabled(possible, cx.theme.primary("Export"))
                .on_hover_text("Written in the background")
                .on_disabled_hover_text(why)
                .clicked();
            ui.add_space(theme::GRID * 2.0);
            for (kind, label, hover) in [
                (FileKind::Png, "Copy as image", "The picture, to paste elsewhere"),
                (FileKind::Tsv, "Copy as table", "The numbers, tab-separated, for a spreadsheet or a notebook"),
            ] {
                if ui.button(label).on_hover_text(hover).clicked() {
                    cx.send(Command::CopyView { spec: ExportSpec { kind, ..self.spec(cx.app) } });
                }
            }
            if ui.button("Copy the command").on_hover_text("The command line that writes the same file").clicked() {
                let path = with_end(PathBuf::from(self.path.trim()), self.kind);
                cx.link.ask(Ask::Copy(cx.app.export_command(&spec, &path)));
            }
        });
        if (pressed || entered) && possible {
            let path = with_end(PathBuf::from(self.path.trim()), self.kind);
            if self.may_replace.as_ref() != Some(&path) && path.exists() {
                (self.asks, self.may_replace) = (true, Some(path));
                return;
            }
            if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
                self.folder = folder.to_owned();
            }
            cx.send(Command::Export { spec, path });
            self.open = false;
        }
    }

    fn spec(&self, app: &App) -> ExportSpec {
        let dark = self.theme == ThemeChoice::Dark;
        ExportSpec { pixels: self.pixels as f32, dark, ..shown_spec(app, self.what, self.kind, self.all, self.subject) }
    }
}

/// What the panels show now of a view, as a request. `all`: every domain's map instead of the shown one.
pub fn shown_spec(app: &App, what: View, kind: FileKind, all: bool, subject: Subject) -> ExportSpec {
    let view = &app.project.view;
    let usual = ExportSpec {
        what,
        kind,
        colours: app.settings.preferences.colours,
        scale: crate::gui::panels::map_controls::scale_kind(view.scale),
        percentile: view.map.percentile,
        neuron: subject.neuron.filter(|_| what == View::Neuron),
        head: subject.head.filter(|_| what == View::Head),
        top_percent: subject.percent.unwrap_or(ExportSpec::default().top_percent),
        ..ExportSpec::default()
    };
    let Some(run) = app.library.run().filter(|_| what.info().stored) else { return usual };
    let known = |name: &String| run.output.domain(name).is_some();
    let neurons = what == View::Neurons;
    let maps = what == View::Maps;
    let shown = view.domain.clone().filter(known).or_else(|| run.output.domains.first().map(|d| d.name.clone()));
    ExportSpec {
        metric: report::metric_of(&run.output, if maps { view.map.all_metric } else { view.metric }),
        maps: if maps { view.map.cells.iter().map(map_spec).collect() } else { Vec::new() },
        own_range: maps && view.map.own_range,
        domains: shown.filter(|_| neurons && !all).into_iter().collect(),
        minus: view.minus.clone().filter(|m| neurons && known(m)),
        pair: view
            .pair
            .clone()
            .filter(|(a, b)| matches!(what, View::Similarity | View::Overlap | View::OverlapCurve) && known(a) && known(b)),
        combine: view.map.combine,
        per_layer: view.map.per_layer,
        order: view.map.order.clone(),
        top_percent: view.top_percent,
        gamma: view.gamma.filter(|g| what == View::Density && *g != run.output.config.gamma),
        layers: view.layer_range.filter(|_| matches!(what, View::Similarity | View::Tree)),
        layer: view.sample_layer.filter(|l| what == View::Samples && run.samples.as_ref().is_some_and(|s| s.layers.contains_key(l))),
        off: if (neurons || maps) && kind.is_picture() { app.project.off() } else { crate::base::NeuronSet::new() },
        ..usual
    }
}

fn map_spec(cell: &MapCell) -> MapSpec {
    let of = |o: &Operand| MapOf { domain: o.domain.clone(), second: o.side == Side::B };
    MapSpec { metric: cell.metric, of: of(&cell.of), against: cell.against.as_ref().map(of), combine: cell.combine }
}

/// What can be done with a view from a panel's menu.
pub fn menu_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, view: View, subject: Subject) {
    let why = cx.app.cannot_export(view);
    let item = |ui: &mut Ui, button: Button<'_>| {
        let clicked = ui.add_enabled(why.is_none(), button).on_disabled_hover_text(why.unwrap_or_default()).clicked();
        if clicked {
            ui.close();
        }
        clicked
    };
    let mut export = Button::new("Export…");
    if subject == Subject::default() {
        export = export.shortcut_text(keys::shortcut(ui.ctx(), &KeyboardShortcut::new(Modifiers::COMMAND, Key::E)));
    }
    if item(ui, export) {
        cx.link.ask(Ask::ExportOf(view, subject));
    }
    for (kind, label) in [(FileKind::Png, "Copy as image"), (FileKind::Tsv, "Copy as table")] {
        if item(ui, Button::new(label)) {
            let mut spec = shown_spec(cx.app, view, kind, false, subject);
            spec.dark = cx.theme.dark && kind.is_picture();
            cx.send(Command::CopyView { spec });
        }
    }
    if item(ui, Button::new("Copy the command")) {
        let spec = shown_spec(cx.app, view, FileKind::Png, false, subject);
        let name = format!("{}.png", view.id());
        cx.link.ask(Ask::Copy(cx.app.export_command(&spec, Path::new(&name))));
    }
    if item(ui, Button::new("Copy the provenance"))
        && let Some(p) = cx.app.export_provenance(&shown_spec(cx.app, view, FileKind::Png, false, subject))
    {
        cx.link.ask(Ask::Copy(provenance::text(&p, None)));
    }
}

/// The views of a panel that has several tabs, by what the registry calls it.
pub fn views_of(panel: View) -> &'static [View] {
    match panel {
        View::Sweep => &[View::Sweep, View::AgainstK, View::Break],
        View::TaskNeurons => &[View::TaskNeurons, View::Deactivation, View::Tuning, View::Continual, View::Transfer],
        _ => &[],
    }
}

/// What of a panel's several views is shown.
pub fn shown_view(panel: View, app: &App) -> View {
    let shown = &app.project.view;
    match (panel, shown.overlap, shown.similarity) {
        // A panel that was not drawn yet shows its first view that has something.
        (View::Sweep | View::TaskNeurons, ..) => views_of(panel).iter().copied().find(|v| app.cannot_export(*v).is_none()).unwrap_or(panel),
        (View::Overlap, OverlapView::Upset, _) => View::Upset,
        (View::Overlap, OverlapView::Curve, _) => View::OverlapCurve,
        (View::Similarity, _, SimilarityView::Samples) => View::Samples,
        (View::Similarity, ..) if shown.clustered => View::Tree,
        (panel, ..) => panel,
    }
}

/// Why a view cannot be chosen, as far as that is told within a frame: an ablation's report is only made for whoever asks for it.
fn lacks(app: &App, view: View) -> Option<&'static str> {
    match view {
        View::Ablation if app.ablation.after.is_empty() => {
            Some("Nothing is switched off: toggle neurons and wait until every question is scored.")
        }
        View::Ablation => None,
        _ => app.cannot_export(view),
    }
}

/// `demo-relevance-arithmetic-minus-logic.png`
fn file_name(spec: &ExportSpec, app: &App) -> String {
    let model = app.library.run().filter(|_| spec.what.info().stored).map(|r| r.output.provenance.model.clone());
    let mut words = vec![model.or_else(|| app.library.model_info().map(|m| m.name.clone())).unwrap_or_else(|| "model".into())];
    match spec.what {
        View::Neurons => {
            words.push(spec.metric.info().id.replace('_', "-"));
            words.extend(spec.domains.iter().cloned());
            words.extend(spec.minus.iter().map(|m| format!("minus-{m}")));
        }
        View::Neuron => words.extend(spec.neuron.map(|n| n.to_string())),
        View::Head => words.extend(spec.head.map(|h| h.to_string())),
        what => words.push(what.id().to_owned()),
    }
    let clean = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    format!("{}.{}", words.join("-").chars().map(clean).collect::<String>(), spec.kind.extension())
}

/// The path ends in what the file is.
fn with_end(path: PathBuf, kind: FileKind) -> PathBuf {
    match FileKind::of(&path) {
        Some(end) if end == kind => path,
        Some(_) => path.with_extension(kind.extension()),
        None => PathBuf::from(format!("{}.{}", path.display(), kind.extension())),
    }
}

fn summary(spec: &ExportSpec, app: &App) -> String {
    let domains = if spec.domains.is_empty() { "all domains".to_owned() } else { spec.domains.join(", ") };
    let minus = spec
        .minus
        .as_ref()
        .map_or(String::new(), |m| format!(" {} {m}", if spec.combine == Combine::Difference { "less" } else { spec.combine.id() }));
    let run = app.library.run().filter(|_| spec.what.info().stored);
    let what = match spec.what {
        View::Neurons => format!("{} of {domains}{minus}", spec.metric.info().label),
        View::Density => {
            let own = run.map_or(0.0, |r: &RunEntry| r.output.config.gamma);
            format!("Density, γ {}", sig3(f64::from(spec.gamma.unwrap_or(own))))
        }
        View::Similarity => "LLMDcos".to_owned(),
        View::Upset => format!("Intersections of the top {} % by {}", sig3(spec.top_percent), spec.metric.label()),
        View::OverlapCurve => format!("Overlap against the share taken by {}", spec.metric.label()),
        View::Tree => "Domains clustered by LLMDcos".to_owned(),
        View::Samples => match run.and_then(|r| r.samples.as_ref()) {
            Some(s) => format!("LLMDcos of all pairs of samples at layer {}", spec.layer.or(s.layers.keys().last().copied()).unwrap_or(0)),
            None => "All pairs of samples: none were compared yet".to_owned(),
        },
        View::Overlap => format!("Overlap of the top {} % by {}", sig3(spec.top_percent), spec.metric.label()),
        View::Maps if spec.maps.is_empty() => format!("{} of all domains", spec.metric.info().label),
        View::Maps => spec.maps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        View::Neuron => spec.neuron.map_or_else(String::new, |n| format!("{n}: histograms, relevance, texts, logit lens")),
        View::Head => spec.head.map_or_else(String::new, |h| format!("{h}: reach, relevance, attention, what it writes")),
        View::Ablation
        | View::Prediction
        | View::Sweep
        | View::AgainstK
        | View::Break
        | View::TaskNeurons
        | View::Deactivation
        | View::Tuning
        | View::Continual
        | View::Transfer => spec.what.info().hint.to_owned(),
    };
    let pair = spec.pair.as_ref().map_or(String::new(), |(a, b)| format!(", with {a} and {b}"));
    let off = if spec.off.is_empty() { "" } else { ", what is off hatched" };
    let from = run.map_or_else(|| "as measured now".to_owned(), |r| r.name.clone());
    format!("{what}{pair}{off}; {from}. Model, data, formula, seed and the command that repeats it go along.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_the_end_of_its_kind() {
        let end = |path: &str, kind| with_end(path.into(), kind).display().to_string();
        assert_eq!(end("a/b.png", FileKind::Png), "a/b.png");
        assert_eq!(end("a/b.png", FileKind::Csv), "a/b.csv");
        assert_eq!(end("a/b", FileKind::Svg), "a/b.svg");
        // A dot in the name is no end.
        assert_eq!(end("llama-3.2", FileKind::Png), "llama-3.2.png");
    }
}
