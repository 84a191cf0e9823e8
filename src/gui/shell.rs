//! The window: bars, library, dock, inspector; keys, dialogs, dropped files. Collects commands while drawing and applies them after.

use super::{
    Ask, Hover, Link, Panel, PanelCx, Theme,
    actions::{self, Act, Action},
    dialogs::{Dialogs, Picked},
    dock::{Dock, SavedDock},
    dropped::dropped,
    export::{ExportWindow, Subject, shown_view},
    find::Shown,
    missing::MissingWindow,
    palette::{Choice, Palette},
    panels::{inspector::Inspector, library::LibraryPanel},
    settings::{self, SettingsWindow, next_scale},
    status::status_ui,
    theme,
    toasts::Toasts,
    top_bar::top_bar_ui,
    tour::{Places, Tour},
};
use crate::{
    app::{App, Arrangement, Command, NoticeLevel, Preferences, ThemeChoice},
    base::{atomic_file, number},
    report::export::Copied,
};
use eframe::{
    CreationContext, Frame as EframeFrame, Storage,
    egui::{self, Align, Align2, CentralPanel, Context, Frame, Layout, Margin, Panel as SidePanel, Ui, ViewportCommand},
    egui_wgpu::RenderState,
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// Kept between sessions by eframe, apart from projects.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Saved {
    dock: Option<SavedDock>,
    library_closed: bool,
    inspector_closed: bool,
    export_folder: Option<PathBuf>,
}

const STORAGE_KEY: &str = "window";

pub struct Shell {
    pub app: App,
    pub link: Link,
    pub dock: Dock,
    dialogs: Dialogs,
    toasts: Toasts,
    palette: Palette,
    settings: SettingsWindow,
    export: ExportWindow,
    missing: MissingWindow,
    tour: Tour,
    /// Layouts of projects that were taken over.
    layouts: u64,
    /// How the panels lay when the project was told last, or laid them.
    laid: Arrangement,
    /// What the project said of it then.
    followed: Option<Arrangement>,
    /// The preferences that the window shows.
    preferred: Preferences,
    library: LibraryPanel,
    inspector: Inspector,
    library_open: bool,
    inspector_open: bool,
    gpu: Option<RenderState>,
}

impl Shell {
    pub fn new(cc: &CreationContext<'_>, app: App) -> Self {
        Theme::install(&cc.egui_ctx);
        // The scale is ours: egui's own keys for it know neither our bounds nor our settings file.
        cc.egui_ctx.options_mut(|o| o.zoom_with_keyboard = false);
        let saved: Saved = cc.storage.and_then(|s| eframe::get_value(s, STORAGE_KEY)).unwrap_or_default();
        let preferred = app.settings.preferences.clone();
        let mut tour = Tour::default();
        // Where nothing is remembered, as in tests, it would come every time.
        if app.settings.preferences_file.is_some() && !preferred.remembered.tour_done {
            tour.begin();
        }
        let dock = Dock::new(saved.dock);
        Self {
            tour,
            missing: MissingWindow::default(),
            layouts: 0,
            laid: dock.arrangement(),
            followed: None,
            app,
            preferred,
            settings: SettingsWindow::default(),
            export: ExportWindow::new(saved.export_folder),
            link: Link::default(),
            dock,
            dialogs: Dialogs::default(),
            toasts: Toasts::default(),
            palette: Palette::default(),
            library: LibraryPanel,
            inspector: Inspector::default(),
            library_open: !saved.library_closed,
            inspector_open: !saved.inspector_closed,
            gpu: cc.wgpu_render_state.clone(),
        }
    }

    /// Paths are typed in the window, as where the system has no file dialog.
    pub fn type_paths(&mut self) {
        self.dialogs = Dialogs::always_typed();
    }

    fn act(&mut self, ctx: &Context, act: Act) {
        match act {
            Act::Send(c) => self.app.apply(*c),
            Act::Ask(a) => self.answer(ctx, a),
            Act::Layout(l) => self.dock.active = l,
            Act::ResetLayout => self.dock.reset(),
            Act::ToggleTheme => {
                let theme = if ctx.theme() == egui::Theme::Dark { ThemeChoice::Light } else { ThemeChoice::Dark };
                self.prefer(|p| p.theme = theme);
            }
            Act::FollowSystemTheme => self.prefer(|p| p.theme = ThemeChoice::System),
            Act::Settings => self.settings.open = !self.settings.open,
            Act::Export => match self.dock.export_view() {
                (view, Some(subject)) => self.export.show(view, subject),
                (view, None) => self.export.show(shown_view(view, &self.app), self.subject()),
            },
            Act::ToggleLibrary => self.library_open = !self.library_open,
            Act::ToggleInspector => self.inspector_open = !self.inspector_open,
            Act::Palette => self.palette.open(false),
            Act::FindNeuron => self.palette.open(true),
            Act::FullScreen => {
                let on = ctx.input(|i| i.viewport().fullscreen.unwrap_or(false));
                ctx.send_viewport_cmd(ViewportCommand::Fullscreen(!on));
            }
            Act::Zoom(up) => self.prefer(|p| p.scale = next_scale(p.scale, up)),
            Act::ResetZoom => self.prefer(|p| p.scale = 1.0),
            Act::NextDomain(step) => self.next_domain(step),
            Act::Tour => self.tour.begin(),
            Act::Replay => {
                self.app.apply(Command::Replay { path: None, model: None });
                self.dock.show_panel("replay");
            }
            Act::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
        }
    }

    /// What the inspector shows, for an export.
    fn subject(&self) -> Subject {
        let selection = &self.app.project.view.selection;
        let picked = selection.iter().next().filter(|_| selection.len() == 1);
        Subject { neuron: picked.or(self.link.focus_neuron), head: self.link.focus_head, percent: None }
    }

    fn prefer(&mut self, change: impl FnOnce(&mut Preferences)) {
        let mut preferences = self.app.settings.preferences.clone();
        change(&mut preferences);
        self.app.apply(Command::SetPreferences { preferences });
    }

    fn next_domain(&mut self, step: isize) {
        let Some(run) = self.app.library.scan() else { return };
        let names: Vec<String> = run.domains.iter().map(|d| d.name.clone()).collect();
        let at = self.app.project.view.domain.as_ref().and_then(|d| names.iter().position(|n| n == d)).unwrap_or(0);
        let n = names.len() as isize;
        if n > 0 {
            let domain = names[(at as isize + step).rem_euclid(n) as usize].clone();
            self.app.apply(Command::ShowDomain { domain: Some(domain), minus: self.app.project.view.minus.clone() });
        }
    }

    fn answer(&mut self, ctx: &Context, ask: Ask) {
        if ask == Ask::ReplayProject {
            self.dock.show_panel("replay");
        }
        match self.dialogs.ask(ctx, ask) {
            None => {}
            Some(Ask::ShowPanel(id)) => self.dock.show_panel(id),
            Some(Ask::ShowSettings) => self.settings.open = true,
            Some(Ask::Export(view)) => {
                let shown = self.dock.shown_of(view);
                let (view, subject) = shown.unwrap_or_else(|| (shown_view(view, &self.app), self.subject()));
                self.export.show(view, subject);
            }
            Some(Ask::ExportOf(view, subject)) => {
                let subject = if subject == Subject::default() { self.subject() } else { subject };
                self.export.show(view, subject);
            }
            Some(Ask::Copy(text)) => {
                ctx.copy_text(text);
                self.toasts.note(NoticeLevel::Info, "Copied", "");
            }
            Some(Ask::SaveProject) if self.app.project_path.is_none() => self.answer(ctx, Ask::SaveProjectAs),
            Some(Ask::SaveProject) => {
                self.tell_layout();
                self.app.apply(Command::SaveProject { path: None });
            }
            Some(_) => {}
        }
    }

    /// Takes over the layout that came with a project.
    fn follow_layout(&mut self) {
        let (opened, layout) = self.app.opened_layout();
        if opened != self.layouts {
            self.layouts = opened;
            // A layout of another version is left alone: the panels stay as they are.
            if let Some(saved) = layout.and_then(|l| serde_json::from_value::<SavedDock>(l.clone()).ok()) {
                self.dock.restore(saved);
                self.laid = self.dock.arrangement();
            }
        }
        self.follow_arrangement();
    }

    /// Undo, redo and projects lay the panels.
    fn follow_arrangement(&mut self) {
        if self.followed == self.app.project.arrangement {
            return;
        }
        self.followed.clone_from(&self.app.project.arrangement);
        if let Some(wanted) = &self.followed {
            self.dock.arrange(wanted);
            // What could not be laid as asked is no change of the user's.
            self.laid = self.dock.arrangement();
        }
    }

    /// Lets the program know how the panels lie, for the project file.
    fn tell_layout(&mut self) {
        let now = self.dock.arrangement();
        if now != self.laid {
            let from = std::mem::replace(&mut self.laid, now.clone());
            self.app.apply(Command::Arrange { from, to: now });
            self.followed.clone_from(&self.app.project.arrangement);
        }
        if let Ok(layout) = serde_json::to_value(self.dock.saved()) {
            self.app.apply(Command::SetLayout { layout });
        }
    }

    fn put_on_clipboard(&mut self, ctx: &Context, copied: &Copied) {
        let details = match copied {
            Copied::Table(text) => {
                ctx.copy_text(text.clone());
                number::counted(text.lines().count().saturating_sub(1) as u64, "row")
            }
            Copied::Image { width, height, rgba } => {
                ctx.copy_image(egui::ColorImage::from_rgba_unmultiplied([*width as usize, *height as usize], rgba));
                format!("{width} × {height} pixels")
            }
        };
        self.toasts.note(NoticeLevel::Info, "Copied", &details);
    }

    fn files(&mut self, ctx: &Context) {
        for picked in self.dialogs.take() {
            match picked {
                Picked::Commands(commands) => commands.into_iter().for_each(|c| self.app.apply(c)),
                Picked::ExportPath(path) => self.export.chosen(&path),
                Picked::ModelPlace(path) => self.missing.chosen(&path),
                Picked::Write(path, bytes) => match atomic_file::write(&path, &bytes) {
                    Ok(()) => self.toasts.note(NoticeLevel::Info, "Saved", &path.display().to_string()),
                    Err(e) => self.toasts.note(NoticeLevel::Error, "The file could not be written", &e.to_string()),
                },
            }
        }
        for file in ctx.input(|i| i.raw.dropped_files.clone()) {
            match dropped(file.path()) {
                Ok(command) => self.app.apply(command),
                Err(what) => self.toasts.note(NoticeLevel::Warn, "Nothing that can be opened", &what),
            }
        }
    }

    /// Plain keys do nothing while a text field has the focus; with Ctrl they do, but for those that edit text.
    fn keys(&mut self, ctx: &Context, actions: &[Action]) -> Vec<Act> {
        self.tour.keys(ctx);
        let editing = ctx.text_edit_focused();
        let text_keys = [egui::Key::Z, egui::Key::Y, egui::Key::A];
        let mut acts = Vec::new();
        // Those with more modifiers first: Ctrl+S would swallow Ctrl+Shift+S.
        let mut keys: Vec<_> = actions.iter().flat_map(|a| [(a.shortcut, a), (a.second, a)]).filter_map(|(k, a)| Some((k?, a))).collect();
        keys.sort_by_key(|(k, _)| !k.modifiers.shift);
        // Esc first closes what lies over the panels.
        if !editing
            && !self.tour.is_open()
            && (self.settings.open || self.export.open || self.dialogs.is_typing())
            && ctx.input_mut(|i| i.consume_key(egui::Modifiers::NONE, egui::Key::Escape))
        {
            // What came last lies on top.
            if self.dialogs.is_typing() {
                self.dialogs.close();
            } else {
                (self.settings.open, self.export.open) = (false, false);
            }
        }
        // A menu that is open has the plain keys: Esc closes it, and stops no work.
        let over = self.palette.is_open() || self.tour.is_open() || egui::Popup::is_any_open(ctx);
        for (k, action) in keys {
            let plain = !k.modifiers.command;
            if editing && (plain || text_keys.contains(&k.logical_key)) || !action.enabled || (plain && over) {
                continue;
            }
            if ctx.input_mut(|i| i.consume_shortcut(&k)) {
                acts.push(action.act.clone());
            }
        }
        acts
    }
}

/// What to do next, in one line; shown beside the layout tabs.
pub fn next_step(app: &App) -> &'static str {
    let enabled = app.project.domains.iter().any(|d| d.enabled);
    if app.library.model.is_none() {
        "Open a model to begin, or the demo from the menu"
    } else if app.library.spec().is_none() {
        ""
    } else if !enabled {
        "Drop a dataset (JSONL, CSV, TSV, text) to add a domain"
    } else if app.library.scan().is_none() {
        "Press Scan to see which neurons serve each domain"
    } else if app.shows_another_model() {
        "The shown run is of another model: press Scan to see the open one's neurons"
    } else if app.project.sets.is_empty() && app.project.single.is_empty() {
        "Point at a neuron and press Space to switch it off, then watch accuracy in Ablate"
    } else {
        "Ctrl+Z takes the last step back"
    }
}

impl eframe::App for Shell {
    fn logic(&mut self, ctx: &Context, _: &mut EframeFrame) {
        if self.app.pump() {
            ctx.request_repaint();
        }
        self.toasts.follow(&self.app.log);
        if let Some(copied) = self.app.take_copied() {
            self.put_on_clipboard(ctx, &copied);
        }
        // The elapsed time of a job moves without news.
        if self.app.running().is_some() {
            ctx.request_repaint_after(Duration::from_millis(250));
        }
        // Whatever changed the project, it is saved in time.
        if let Some(due) = self.app.autosave_due_in() {
            ctx.request_repaint_after(due + Duration::from_millis(20));
        }
        self.follow_layout();
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut EframeFrame) {
        let ctx = ui.ctx().clone();
        let theme = Theme::of(&ctx);
        let actions = actions::all(&self.app);
        let mut acts = self.keys(&ctx, &actions);
        self.files(&ctx);
        let mut out = Vec::new();

        if self.dock.fit(ctx.content_rect().size()) {
            // The window's doing, not the user's.
            self.laid = self.dock.arrangement();
        }
        let Self { app, link, dock, library, inspector, gpu, settings, export, missing, dialogs, .. } = self;
        let mut cx = PanelCx { app, out: &mut out, theme, link, gpu: gpu.as_ref() };
        let bar = |y: i8| Frame::NONE.fill(theme.panel).inner_margin(Margin::symmetric(8, y));
        SidePanel::top("top bar").exact_size(40.0).frame(bar(0)).show(ui, |ui| top_bar_ui(ui, &mut cx, &actions, &mut acts));
        let status = SidePanel::bottom("status").exact_size(26.0).frame(bar(0)).show(ui, |ui| status_ui(ui, &mut cx)).response.rect;
        let side = Frame::NONE.fill(theme.panel).inner_margin(Margin::symmetric(12, 8));
        // A small window keeps its width for the maps.
        let width = ctx.content_rect().width();
        let small = width < 1360.0;
        let mut library_rect = None;
        if self.library_open {
            let shown = SidePanel::left("library")
                .default_size(if small { 200.0 } else { (0.075 * width).clamp(228.0, 280.0) })
                // What was widened in a large window leaves a small one, or one at a larger scale, its maps.
                .size_range(180.0..=(0.18 * width).clamp(200.0, 400.0))
                .frame(side)
                .show(ui, |ui| kept(ui, |ui| library.ui(ui, &mut cx)));
            library_rect = Some(shown.response.rect);
        }
        if self.inspector_open {
            SidePanel::right("inspector")
                .default_size(if width < 1600.0 { 280.0 } else { (0.115 * width).clamp(320.0, 440.0) })
                .size_range(240.0..=(0.28 * width).clamp(280.0, 520.0))
                .frame(side)
                .show(ui, |ui| kept(ui, |ui| inspector.ui(ui, &mut cx)));
        }
        let (mut tabs_rect, mut dock_rect) = (egui::Rect::NOTHING, egui::Rect::NOTHING);
        CentralPanel::no_frame().frame(Frame::NONE.fill(theme.background)).show(ui, |ui| {
            let (head, body) = ui.available_rect_before_wrap().split_top_bottom_at_y(ui.available_rect_before_wrap().top() + 32.0);
            ui.scope_builder(egui::UiBuilder::new().max_rect(head.shrink2(egui::vec2(4.0, 0.0))), |ui| {
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    tabs_rect = ui.scope(|ui| dock.layout_tabs_ui(ui, theme)).response.rect;
                    dock_rect = body;
                    ui.add_space(theme::GRID * 3.0);
                    ui.add(egui::Label::new(theme.small(next_step(cx.app))).truncate());
                });
            });
            ui.scope_builder(egui::UiBuilder::new().max_rect(body), |ui| dock.ui(ui, &mut cx));
        });
        settings.ui(&ctx, &mut cx);
        export.ui(&ctx, &mut cx);
        missing.ui(&ctx, &mut cx);
        dialogs.ui(&ctx, theme);
        let places = Places { library: library_rect, maps: dock_rect, layouts: tabs_rect, status };
        if self.tour.ui(&ctx, theme, &places) {
            self.prefer(|p| p.remembered.tour_done = true);
        }

        let shape =
            self.app.library.spec().map(|s| (s.n_layers, s.d_mlp)).or_else(|| self.app.library.scan().map(|r| (r.n_layers, r.d_mlp)));
        let shown = Shown::of(&self.app);
        let recent = self.app.settings.preferences.remembered.recent_actions.clone();
        match self.palette.ui(&ctx, theme, &actions, &recent, shape, shown.as_ref(), self.link.focus_neuron) {
            Some(Choice::Act(act, label)) => {
                self.prefer(|p| p.remembered.used_action(&label));
                acts.push(*act);
            }
            Some(Choice::Neurons(found)) => {
                self.link.focus_neuron = Some(found.neuron);
                self.link.reveal = Some(found.neuron);
                if !self.dock.shows("maps") {
                    self.dock.show_panel("neurons");
                }
                out.push(Command::SelectNeurons { neurons: found.neurons });
            }
            None => {}
        }
        self.toasts.ui(&ctx, theme, &mut self.link);
        drop_overlay_ui(&ctx, theme);

        if self.link.turn() {
            ctx.request_repaint();
        }
        let changed = !out.is_empty();
        for command in out {
            self.app.apply(command);
        }
        for ask in std::mem::take(&mut self.link.asks) {
            self.answer(&ctx, ask);
        }
        for act in acts {
            self.act(&ctx, act);
            ctx.request_repaint();
        }
        // After all is drawn: no frame mixes two themes.
        if self.preferred != self.app.settings.preferences {
            self.preferred = self.app.settings.preferences.clone();
            settings::apply(&ctx, &self.preferred);
            ctx.request_repaint();
        }
        if changed {
            ctx.request_repaint();
        }
        // A layout changes by a drag, a click or a key; it is told once that is over.
        if ctx.input(|i| i.pointer.any_released() || i.events.iter().any(|e| matches!(e, egui::Event::Key { pressed: false, .. }))) {
            self.tell_layout();
        }
    }

    fn save(&mut self, storage: &mut dyn Storage) {
        let saved = Saved {
            dock: Some(self.dock.saved()),
            library_closed: !self.library_open,
            inspector_closed: !self.inspector_open,
            export_folder: Some(self.export.folder().to_owned()),
        };
        eframe::set_value(storage, STORAGE_KEY, &saved);
    }
    fn on_exit(&mut self) {
        self.app.close();
    }
    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        Theme::get(visuals.dark_mode).background.to_normalized_gamma_f32()
    }
}

/// A side panel is as wide as it was made: what is too wide in it does not push.
fn kept(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    let rect = ui.available_rect_before_wrap();
    let mut inside = ui.new_child(egui::UiBuilder::new().max_rect(rect));
    inside.set_clip_rect(rect.expand2(theme::PANEL_MARGIN).intersect(ui.clip_rect()));
    add(&mut inside);
    ui.allocate_rect(rect, egui::Sense::hover());
}

/// While files hang over the window: what may be dropped.
fn drop_overlay_ui(ctx: &Context, theme: &Theme) {
    if ctx.input(|i| i.raw.hovered_files.is_empty()) {
        return;
    }
    let rect = ctx.content_rect();
    let painter = ctx.layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop")));
    painter.rect_filled(rect, 0.0, theme.background.gamma_multiply(0.85));
    painter.rect_stroke(rect.shrink(16.0), 8.0, egui::Stroke::new(2.0, theme.accent), egui::StrokeKind::Inside);
    let font = egui::FontId::proportional(theme::DISPLAY);
    painter.text(rect.center(), Align2::CENTER_CENTER, "Drop a model, a run, a project, neuron sets or datasets", font, theme.text);
}

/// The hover that panels read, for tests.
impl Shell {
    pub fn hover(&self) -> &Hover {
        self.link.hover()
    }
}
