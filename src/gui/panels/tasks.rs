//! Tasks: which neurons each task needs, whether they are its own, and what tuning only them does. One tab a file.

use super::{
    open_model::model_and_domain_ui, tasks_continual, tasks_find, tasks_generalise, tasks_outline::take_wanted, tasks_prove, tasks_train,
};
use crate::{
    app::App,
    gui::{
        Panel, PanelCx,
        export::Subject,
        widgets::{control::choice, number::sig3},
    },
    report::export::View,
};
use eframe::egui::Ui;
use egui_material_icons::icons;

/// One line of the registry [`TABS`].
pub(super) struct TabInfo {
    pub id: &'static str,
    pub title: &'static str,
    pub hint: &'static str,
    /// Whether there is a result.
    pub done: fn(&App) -> bool,
    /// A tab is drawn like a panel, below the row of tabs, once there is a model with a domain.
    pub make: fn() -> Box<dyn Panel>,
}

/// In the order of the work.
pub(super) const TABS: &[TabInfo] = &[tasks_find::TAB, tasks_prove::TAB, tasks_train::TAB, tasks_continual::TAB, tasks_generalise::TAB];

struct TasksPanel {
    shown: usize,
    /// By place in [`TABS`].
    tabs: Vec<Box<dyn Panel>>,
}

impl Panel for TasksPanel {
    fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        if !ready(ui, cx) {
            return;
        }
        if let Some(place) = take_wanted(ui) {
            self.shown = place;
        }
        ui.horizontal_wrapped(|ui| {
            let options: Vec<(usize, &str, &str)> = TABS.iter().enumerate().map(|(i, t)| (i, t.title, t.hint)).collect();
            choice(ui, cx.theme, &mut self.shown, &options);
        });
        if let Some(tab) = self.tabs.get_mut(self.shown) {
            ui.push_id(TABS[self.shown].id, |ui| tab.ui(ui, cx));
        }
    }
    fn exports(&self) -> Option<(View, Subject)> {
        self.tabs.get(self.shown)?.exports()
    }
}

/// Whether there is a model with a task; else says what to do.
fn ready(ui: &mut Ui, cx: &mut PanelCx<'_>) -> bool {
    let sentence = "Open a model and a dataset for each task to find the neurons that each task needs.";
    model_and_domain_ui(ui, cx, icons::ICON_TARGET, sentence, "Add a dataset for each task.")
}

/// A share in percent as people write it: `10`, `0.5`, `3.27`.
pub(super) fn percent_of(percent: f64) -> String {
    let text = sig3(percent);
    if text.contains('.') && !text.contains('e') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

pub fn make() -> Box<dyn Panel> {
    Box::new(TasksPanel { shown: 0, tabs: TABS.iter().map(|t| (t.make)()).collect() })
}

#[cfg(test)]
mod tests {
    use super::TABS;

    #[test]
    fn tabs_have_their_own_ids_and_say_what_they_are_for() {
        for (i, tab) in TABS.iter().enumerate() {
            assert!(!tab.id.is_empty() && !tab.title.is_empty() && !tab.hint.is_empty());
            assert!(TABS[..i].iter().all(|t| t.id != tab.id && t.title != tab.title), "{} twice", tab.id);
        }
    }
}
