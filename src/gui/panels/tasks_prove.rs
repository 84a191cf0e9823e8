//! Prove: each task scored with each task's own neurons off, with every other's, and with random ones.

use super::{
    arithmetic::other_arithmetic_ui,
    tasks::{TabInfo, percent_of},
    tasks_outline::outline_ui,
    tasks_prove_charts::{factors_ui, means_ui},
};
use crate::{
    app::{Command, Failure, JobTarget, ProveRequest, ProveView, SetsFrom, TaskJob},
    gui::{
        Panel, PanelCx,
        export::Subject,
        widgets::{
            chart::grown,
            control::{bar, caption, choice, remark, room_for, switch},
            matrix::{Matrix, height_of, largest_cell, names_width, sequential, width_of},
            number::{change, count, counted, plus_minus, sig3},
            states::{failed_strip_ui, job_line_ui, stopped_line_ui},
            table::{Table, twin_switch},
        },
    },
    report::export::View,
    scan::MetricKind,
    task::{Ranking, TaskMatrix},
};
use eframe::egui::{Color32, DragValue, ScrollArea, Slider, TextEdit, Ui, vec2};

pub(super) const TAB: TabInfo = TabInfo {
    id: "prove",
    title: "Prove",
    hint: "Each task with its own neurons off, with every other task's, and with random ones",
    done: |app| app.tasks.prove.as_ref().is_some_and(|v| !v.running && v.result.is_some()),
    make: || Box::new(ProveTab::default()),
};

/// What the matrix shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    Accuracy,
    Change,
    BeyondRandom,
    Loss,
}

struct ProveTab {
    percents: String,
    questions: usize,
    amplify: bool,
    from_run: bool,
    /// Index of the share shown, whether it was chosen by hand, and the share.
    k: usize,
    chosen: bool,
    shown_percent: Option<f64>,
    shows: Shows,
    table: bool,
}

/// Off, damped, as they are, amplified.
const FACTORS: [f64; 7] = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0];

impl Default for ProveTab {
    fn default() -> Self {
        Self {
            percents: "1, 2, 5, 10, 20, 50".into(),
            questions: 100,
            amplify: false,
            from_run: false,
            k: 0,
            chosen: false,
            shown_percent: None,
            shows: Shows::Accuracy,
            table: false,
        }
    }
}

impl Panel for ProveTab {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let view = cx.app.tasks.prove.as_ref();
        let request = self.request_ui(ui, cx);
        start_ui(ui, cx, view, request);
        let Some((view, matrix)) = view.and_then(|v| Some((v, v.result.as_ref()?))) else {
            if view.is_none_or(|v| !v.running && v.failed.is_none()) {
                let sentence = "A task's neurons are its own where switching them off costs the task more than switching off as many random neurons of the \
                                same layers, and more than it costs the other tasks. Rows that chose neurons are never scored.";
                ScrollArea::vertical().auto_shrink(false).show(ui, |ui| outline_ui(ui, cx, TAB.id, sentence));
            }
            return;
        };
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| self.result_ui(ui, cx, view, matrix));
    }
    fn exports(&self) -> Option<(View, Subject)> {
        Some((View::Deactivation, Subject { percent: self.shown_percent, ..Subject::default() }))
    }
}

impl ProveTab {
    /// What is asked for; `None` where it cannot be, and then it is said why.
    fn request_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) -> Option<ProveRequest> {
        let theme = cx.theme;
        let found = cx.app.tasks.find.as_ref().is_some_and(|v| !v.tasks.is_empty());
        let mapped = cx.app.library.scan().is_some_and(|s| s.domains.iter().any(|d| d.relevance.is_some()));
        ui.horizontal_wrapped(|ui| {
            room_for(ui, 190.0);
            caption(ui, theme, "k").on_hover_text("Shares of the neurons that are switched off, percent");
            let edit = TextEdit::singleline(&mut self.percents).desired_width(140.0).hint_text("1, 5, 10");
            ui.add(edit).accessible_name("Shares in percent");
            caption(ui, theme, "%");
            room_for(ui, 150.0);
            caption(ui, theme, "questions").on_hover_text("Of each task, at most");
            ui.add(DragValue::new(&mut self.questions).range(8..=100_000)).accessible_name("Questions of a task");
            room_for(ui, 170.0);
            let mut controls = cx.app.project.controls;
            caption(ui, theme, "random sets")
                .on_hover_text("Beside every set, with as many neurons in each layer; at least 5 to tell a spread");
            let drag = ui.add(DragValue::new(&mut controls).range(0..=50)).accessible_name("Random sets beside each");
            if drag.changed() {
                cx.send(Command::SetControls { count: controls });
            }
            room_for(ui, 180.0);
            switch(ui, theme, &mut self.amplify, "Also damp and amplify");
            caption(ui, theme, "damp and amplify").on_hover_text("Also multiply the activations of the top 10 % by 0 to 3");
        });
        if found && mapped {
            ui.horizontal_wrapped(|ui| {
                caption(ui, theme, "neurons");
                let options = [
                    (false, "as found", "The ranking of the Find tab"),
                    (true, "of the shown run", "The relevance of the run that all panels show"),
                ];
                choice(ui, theme, &mut self.from_run, &options);
            });
        }
        let sets = match (found, mapped) {
            (true, true) if self.from_run => run_sets(),
            (true, _) => SetsFrom::Found,
            (false, true) => run_sets(),
            (false, false) => {
                remark(ui, theme, "Find the neurons of each task first, in the Find tab.");
                return None;
            }
        };
        let percents: Vec<f64> =
            self.percents.split([',', ' ']).filter(|p| !p.trim().is_empty()).map(|p| p.trim().parse().unwrap_or(f64::NAN)).collect();
        if percents.is_empty() || percents.iter().any(|p| !(*p > 0.0 && *p <= 100.0)) {
            remark(ui, theme, "k is a list of shares above 0, at most 100 %, as 1, 5, 10.");
            return None;
        }
        let factors = if self.amplify { FACTORS.to_vec() } else { Vec::new() };
        Some(ProveRequest { sets, percents, factors, scaled_percent: 10.0, samples: Some(self.questions) })
    }

    fn result_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>, view: &ProveView, matrix: &TaskMatrix) {
        let shares = &matrix.plan.percents;
        let last = shares.len().saturating_sub(1);
        if self.k > last || !self.chosen {
            self.k = usual(matrix);
        }
        let before = self.k;
        self.shown_percent = shares.get(self.k).copied();
        ui.separator();
        ui.horizontal_wrapped(|ui| {
            if last > 0 {
                room_for(ui, 220.0);
                caption(ui, cx.theme, "k");
                let words = shares.clone();
                let slider = Slider::new(&mut self.k, 0..=last)
                    .show_value(true)
                    .custom_formatter(move |i, _| words.get(i as usize).map_or_else(String::new, |p| format!("{} %", percent_of(*p))));
                ui.name_inputs("Share shown", |ui| ui.add(slider)).accessible_name("Share shown");
            }
            let options = [
                (Shows::Accuracy, "accuracy", "Of the column's task with the row's neurons off"),
                (Shows::Change, "change", "Accuracy less that with nothing off"),
                (Shows::BeyondRandom, "beyond random", "Accuracy less the mean of random sets with as many neurons in each layer"),
                (
                    Shows::Loss,
                    "loss",
                    "Rise of the loss of the right answer, nat a token: also for tasks without choices, and finer than accuracy",
                ),
            ];
            choice(ui, cx.theme, &mut self.shows, &options);
        });
        let (k, shows) = (self.k, self.shows);
        let table = &mut self.table;
        bar(
            ui,
            2,
            cx,
            |ui, cx| {
                other_arithmetic_ui(ui, cx, &matrix.provenance);
                let done = if matrix.done() < matrix.total {
                    format!(" · {} of {} cells", count(matrix.done() as u64), count(matrix.total as u64))
                } else {
                    String::new()
                };
                let words = format!("rows: whose neurons are {} · columns: who is scored{done}", matrix.switched);
                ui.add(eframe::egui::Label::new(cx.theme.small(words)).wrap())
                    .on_hover_text(format!("{}\n{}", matrix.sets, matrix.provenance.formula));
            },
            |ui, _| twin_switch(ui, table, "the matrix", || table_of(matrix, k)),
        );
        self.chosen |= k != before;
        if self.table {
            return table_of(matrix, k).ui(ui, cx.theme, "task matrix");
        }
        let (wide, several) = (ui.available_width() >= 700.0, shares.len() > 1);
        let usual_height = (70.0 + grown(ui, 40.0) * matrix.plan.tasks.len() as f32).clamp(180.0, grown(ui, 420.0));
        if wide && several {
            let room = Room::of(ui, matrix, usual_height);
            ui.horizontal_top(|ui| {
                ui.vertical(|ui| {
                    ui.set_max_width(room.matrix_width);
                    heat_ui(ui, cx, matrix, k, shows, room.height);
                });
                ui.vertical(|ui| {
                    ui.set_max_width(room.chart_width);
                    means_ui(ui, cx, matrix, &mut self.k, room.chart_height);
                });
            });
            summary_ui(ui, cx, matrix, k);
            if let Some(height) = room.all_shares {
                all_shares_ui(ui, cx, matrix, shows, &mut self.k, height);
            }
        } else {
            heat_ui(ui, cx, matrix, k, shows, usual_height);
            summary_ui(ui, cx, matrix, k);
            if several {
                means_ui(ui, cx, matrix, &mut self.k, grown(ui, 190.0));
            }
        }
        self.chosen |= self.k != before;
        if !matrix.plan.factors.is_empty() {
            factors_ui(ui, cx, matrix);
        }
        let left: usize = matrix.left_out.iter().sum();
        let n: Vec<String> = matrix.before.iter().map(|b| count(b.n as u64)).collect();
        let mut words = format!(
            "scored: n = {}",
            if n.windows(2).all(|w| w[0] == w[1]) { n.first().cloned().unwrap_or_default() } else { n.join(", ") }
        );
        if left > 0 {
            words += &format!(" · {} that chose neurons left out", counted(left as u64, "row"));
        }
        if let Some(folder) = &view.folder {
            words += &format!(" · kept in {}", folder.file_name().unwrap_or_default().to_string_lossy());
        }
        remark(ui, cx.theme, words);
    }
}

/// The share that is shown until one is chosen: 10 %, the paper's; while nothing is measured there, the last one where something is.
fn usual(m: &TaskMatrix) -> usize {
    let n = m.plan.tasks.len();
    let measured = |k: &usize| (0..n * n).any(|i| m.get(*k, i / n, i % n).is_some());
    let shares = &m.plan.percents;
    let paper = shares.iter().position(|p| *p == 10.0).unwrap_or(shares.len().saturating_sub(1));
    if measured(&paper) { paper } else { (0..shares.len()).rev().find(measured).unwrap_or(paper) }
}

fn run_sets() -> SetsFrom {
    SetsFrom::Run { metric: MetricKind::Relevance, ranking: Ranking::Global }
}

/// Start, resume, or how far it is; and what went wrong.
fn start_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, view: Option<&ProveView>, request: Option<ProveRequest>) {
    if view.is_some_and(|v| v.running) {
        let job = cx.app.job_for(|t| *t == JobTarget::Tasks(TaskJob::Prove));
        job_line_ui(ui, cx, job, "Cancel", "What was measured stays, and can be gone on with", "");
        return;
    }
    let ended = view.and_then(|v| Some((v, v.failed.as_ref()?)));
    ui.horizontal_wrapped(|ui| {
        ui.add_enabled_ui(request.is_some(), |ui| {
            if ui.add(cx.theme.primary("Measure the matrix")).clicked()
                && let Some(request) = request.clone()
            {
                cx.send(Command::ProveTasks { request: Box::new(request), out: None });
            }
        });
        if let Some((view, Failure::Cancelled)) = ended
            && let Some(request) = &view.request
            && stopped_line_ui(ui, cx.theme, "Resume", "Goes on where it was stopped", "stopped; what was measured is kept")
        {
            cx.send(Command::ProveTasks { request: Box::new(request.clone()), out: view.folder.clone() });
        }
    });
    if let Some((view, Failure::Failed(message))) = ended
        && failed_strip_ui(ui, cx, "The matrix failed", message, "Try again")
        && let Some(request) = &view.request
    {
        cx.send(Command::ProveTasks { request: Box::new(request.clone()), out: view.folder.clone() });
    }
}

fn diverging(share: f32) -> Color32 {
    let [r, g, b] = crate::base::heatmap::ColourMap::BlueRed.at(f64::from(1.0 - share));
    Color32::from_rgb(r, g, b)
}

fn harm(share: f32) -> Color32 {
    diverging(1.0 - share)
}

/// How a wide panel is shared out: the matrix and the means beside each other, and where there is more height, the matrices of all shares.
struct Room {
    height: f32,
    matrix_width: f32,
    chart_width: f32,
    chart_height: f32,
    /// Height of the matrices of all shares, where they have room.
    all_shares: Option<f32>,
}

impl Room {
    fn of(ui: &Ui, m: &TaskMatrix, usual: f32) -> Self {
        /// The summary, the line under everything, and the keys of the charts.
        const LINES: f32 = 76.0;
        /// Of the large matrix.
        const LEAST_CELL: f32 = 44.0;
        /// Of those of all shares: it still bears two digits.
        const SMALL_CELL: f32 = 28.0;
        let (n, shares) = (m.plan.tasks.len(), m.plan.percents.len());
        let factors = if m.plan.factors.is_empty() { 0.0 } else { grown(ui, 240.0) };
        let free = ui.available_height() - LINES - factors;
        let labels: Vec<_> = m.plan.tasks.iter().map(|t| (t.clone(), Color32::PLACEHOLDER)).collect();
        let names = names_width(ui, &labels);
        let (gap, least) = (ui.spacing().item_spacing.x, names + SMALL_CELL * n as f32);
        let each = (ui.available_width() - gap * (shares - 1) as f32) / shares as f32;
        let all_shares = (each >= least).then(|| (height_of(n, (each - names) / n as f32) + CAPTION).min(0.45 * free));
        let all_shares = all_shares.filter(|h| *h >= height_of(n, SMALL_CELL) + CAPTION && free - h >= height_of(n, LEAST_CELL) + 40.0);
        let height = all_shares.map_or(free.max(usual), |h| free - h);
        let cell = ((height - 70.0) / n.max(1) as f32).clamp(LEAST_CELL, largest_cell(height));
        // No higher than the matrix becomes: the means are a simple chart.
        let height = height.min((height_of(n, cell) + 40.0).max(usual));
        let width = ui.available_width();
        let matrix_width = (200.0 + LEAST_CELL * n as f32).max(width_of(names, n, cell) + 24.0).min(0.52 * width);
        let chart_width = width - matrix_width - 16.0;
        // No higher than wide.
        let chart_height = (height - 24.0).min(chart_width).max(grown(ui, 190.0)).min(height);
        Self { height, matrix_width, chart_width, chart_height, all_shares }
    }
}

/// Over each of the matrices of all shares.
const CAPTION: f32 = 24.0;

/// The matrix at every share, each a click away from being the large one.
fn all_shares_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, m: &TaskMatrix, shows: Shows, shown: &mut usize, height: f32) {
    let shares = &m.plan.percents;
    let gap = ui.spacing().item_spacing.x;
    let each = (ui.available_width() - gap * (shares.len() - 1) as f32) / shares.len() as f32;
    ui.horizontal_top(|ui| {
        for (k, percent) in shares.iter().enumerate() {
            ui.vertical(|ui| {
                ui.set_max_width(each);
                let name = format!("{} %", percent_of(*percent));
                if ui.selectable_label(k == *shown, &name).on_hover_text("Show it large").clicked() {
                    *shown = k;
                }
                heat_ui(ui, cx, m, k, shows, height - CAPTION);
            });
        }
    });
}

fn heat_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, m: &TaskMatrix, k: usize, shows: Shows, height: f32) {
    let names = &m.plan.tasks;
    let n = names.len();
    let labels: Vec<_> = names.iter().map(|d| (d.clone(), cx.domain_colour(d))).collect();
    let value = |set: usize, task: usize| {
        if shows == Shows::Loss {
            return Some(m.get(k, set, task)?.totals.loss? - m.before.get(task)?.loss?);
        }
        let accuracy = m.get(k, set, task)?.totals.accuracy()?;
        match shows {
            Shows::Accuracy => Some(accuracy),
            Shows::Change => Some(accuracy - m.before.get(task)?.accuracy()?),
            Shows::BeyondRandom => Some(accuracy - m.random(k, set, task)?.0),
            Shows::Loss => None,
        }
    };
    let values: Vec<Option<f64>> = (0..n * n).map(|i| value(i / n, i % n)).collect();
    let most = values.iter().flatten().fold(0.05f64, |m, v| m.max(v.abs()));
    let (range, unit, map) = match shows {
        Shows::Accuracy => ((0.0, 1.0), "accuracy", sequential(cx.app.settings.preferences.colours)),
        Shows::Change => ((-most, most), "change of accuracy", diverging as fn(f32) -> Color32),
        Shows::BeyondRandom => ((-most, most), "accuracy beyond random", diverging as fn(f32) -> Color32),
        // A rise is what a fall of accuracy is: red.
        Shows::Loss => ((-most, most), "rise of the loss, nat", harm as fn(f32) -> Color32),
    };
    let tip = |ui: &mut Ui, set: usize, task: usize| tip_ui(ui, m, k, set, task);
    let name = format!("Task matrix at {} %", percent_of(m.plan.percents[k]));
    let size = vec2(ui.available_width(), height);
    let out = Matrix { name: &name, labels: &labels, values: &values, selected: None, marked: None, range, unit, map, size, tip: &tip }
        .show(ui, cx.theme);
    if let Some((set, task)) = out.hovered {
        cx.link.hover_domain(&names[task]);
        cx.link.readout(readout(m, k, set, task));
    }
}

/// One line: `code with the neurons of logic off: accuracy 0.857 (0.81 to 0.89), ...`.
fn readout(m: &TaskMatrix, k: usize, set: usize, task: usize) -> String {
    let whose = if set == task { "its own neurons".to_owned() } else { format!("the neurons of {}", m.plan.tasks[set]) };
    let mut words = format!("{} with {whose} switched ({} %)", m.plan.tasks[task], percent_of(m.plan.percents[k]));
    let Some(cell) = m.get(k, set, task) else { return words + ": not measured yet" };
    match (cell.totals.accuracy(), cell.interval()) {
        (Some(a), Some((lo, hi))) => words += &format!(": accuracy {} ({} to {})", sig3(a), sig3(lo), sig3(hi)),
        _ => words += &format!(": loss {} nat a token", cell.totals.loss.map_or_else(|| "–".into(), sig3)),
    }
    let like_own = if cell.totals.accuracy().is_some() { m.random(k, set, task) } else { m.random_loss(k, set, task) };
    if let Some((mean, sd)) = like_own {
        words += &format!(", random {}", plus_minus(mean, sd));
    }
    words
}

fn tip_ui(ui: &mut Ui, m: &TaskMatrix, k: usize, set: usize, task: usize) {
    ui.label(readout(m, k, set, task));
    if let Some(cell) = m.get(k, set, task) {
        if let (Some((c, (lo, hi))), Some(before)) = (cell.change(), m.before[task].accuracy()) {
            let counts =
                format!("{} lost, {} gained of {}", count(cell.lost as u64), count(cell.gained as u64), count(cell.totals.n as u64));
            ui.label(format!("nothing off {}: {} (95 %: {} to {}); {counts}", sig3(before), change(c), change(lo), change(hi)));
        }
        if let Some(loss) = cell.totals.loss {
            let before = m.before[task].loss.map_or_else(|| "–".into(), sig3);
            let random = m.random_loss(k, set, task).map_or_else(String::new, |(mean, sd)| format!(", random {}", plus_minus(mean, sd)));
            ui.label(format!("loss {} nat a token{random}, nothing off {before}", sig3(loss)));
        }
    }
    ui.label(format!("{} off", counted(m.neurons[k][set] as u64, "neuron")));
}

/// The matrix in four numbers.
fn summary_ui(ui: &mut Ui, cx: &mut PanelCx<'_>, m: &TaskMatrix, k: usize) {
    let Some(s) = m.summary(k) else { return };
    let share = |v: f64| format!("{:.1} %", 100.0 * v);
    let mut parts = vec![format!("nothing off {}", share(s.before))];
    parts.extend(s.random.map(|v| format!("random {}", share(v))));
    parts.extend(s.other.map(|v| format!("another task's {}", share(v))));
    parts.push(format!("own {}", share(s.own)));
    let words = format!("Mean accuracy over tasks at {} %: {}", percent_of(m.plan.percents[k]), parts.join(" · "));
    ui.add(eframe::egui::Label::new(cx.theme.strong(words)).wrap());
}

fn table_of(m: &TaskMatrix, k: usize) -> Table {
    let mut t = Table::new(&[("neurons of", false), ("task", false), ("accuracy", true), ("95 % from", true), ("to", true)]);
    for title in ["change", "random", "± sd", "loss", "n"] {
        t.column(title, true);
    }
    let blank = String::new;
    for (task, name) in m.plan.tasks.iter().enumerate() {
        let b = &m.before[task];
        let interval = b.correct.map(|c| crate::base::stats::wilson_95(c, b.n));
        t.row(vec![
            "nothing".into(),
            name.clone(),
            b.accuracy().map_or_else(blank, sig3),
            interval.map_or_else(blank, |i| sig3(i.0)),
            interval.map_or_else(blank, |i| sig3(i.1)),
            blank(),
            blank(),
            blank(),
            b.loss.map_or_else(blank, sig3),
            count(b.n as u64),
        ]);
    }
    for (set, whose) in m.plan.tasks.iter().enumerate() {
        for (task, name) in m.plan.tasks.iter().enumerate() {
            let Some(c) = m.get(k, set, task) else { continue };
            let random = m.random(k, set, task);
            t.row(vec![
                whose.clone(),
                name.clone(),
                c.totals.accuracy().map_or_else(blank, sig3),
                c.interval().map_or_else(blank, |i| sig3(i.0)),
                c.interval().map_or_else(blank, |i| sig3(i.1)),
                c.change().map_or_else(blank, |c| change(c.0)),
                random.map_or_else(blank, |r| sig3(r.0)),
                random.and_then(|r| r.1).map_or_else(blank, sig3),
                c.totals.loss.map_or_else(blank, sig3),
                count(c.totals.n as u64),
            ]);
        }
    }
    t
}
