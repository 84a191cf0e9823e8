//! What a panel is: it reads the program, draws, and asks for changes; it never makes them.

use super::{Theme, export::Subject};
use crate::{
    ablate::Vocabulary,
    app::{App, Command},
    base::{Head, Neuron},
    report::export::View,
};
use eframe::{egui, egui_wgpu};
use egui_material_icons::MaterialIcon;
use std::path::PathBuf;

pub trait Panel {
    fn ui(&mut self, ui: &mut egui::Ui, cx: &mut PanelCx<'_>);
    /// Which of its views it shows now, where it has several; else the registry's line says it.
    fn exports(&self) -> Option<(View, Subject)> {
        None
    }
}

/// All that a panel sees of the rest of the program.
pub struct PanelCx<'a> {
    pub app: &'a App,
    /// Applied after the frame, in order.
    pub out: &'a mut Vec<Command>,
    pub theme: &'a Theme,
    pub link: &'a mut Link,
    /// `None` where nothing draws with wgpu: paint through the CPU then.
    pub gpu: Option<&'a egui_wgpu::RenderState>,
}

impl PanelCx<'_> {
    pub fn send(&mut self, command: Command) {
        self.out.push(command);
    }
    /// The colour a domain has everywhere.
    pub fn domain_colour(&self, name: &str) -> egui::Color32 {
        self.theme.domain(domain_number(self.app, name))
    }
}

/// Palette number of a domain: the project's choice, else its place in the shown run, else 0.
pub fn domain_number(app: &App, name: &str) -> usize {
    let chosen = app.project.domains.iter().find(|d| d.name == name).map(|d| d.colour);
    let place = || app.library.scan().and_then(|run| run.domains.iter().position(|d| d.name == name));
    chosen.or_else(place).unwrap_or(0)
}

/// One line of the registry `panels::PANELS`.
pub struct PanelInfo {
    /// Stored in layouts: never change one.
    pub id: &'static str,
    pub title: &'static str,
    pub icon: MaterialIcon,
    /// What Ctrl+E writes of it.
    pub export: Option<View>,
    pub make: fn() -> Box<dyn Panel>,
}

/// What the pointer is over, in words that every view understands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hover {
    pub layer: Option<usize>,
    pub neuron: Option<Neuron>,
    pub domain: Option<String>,
    pub pair: Option<(String, String)>,
    /// The line in the status bar: `L14 N7168 · relevance 0.283 (arithmetic) · run 3`.
    pub readout: Option<String>,
}

/// A request to the shell that is no change of state: dialogs and layout.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    OpenModel,
    OpenGguf,
    AddDomain,
    OpenRun,
    /// A run to stand beside the shown one.
    OpenOtherRun,
    OpenProject,
    /// A neuron set's JSON.
    OpenSet,
    /// A set into a file, its layers named in a vocabulary.
    SaveSet(usize, Vocabulary),
    /// A folder for the project's model that is missing.
    LocateModel,
    SaveProject,
    SaveProjectAs,
    /// Brings the panel with this id to the front, opening it where the layout has it not.
    ShowPanel(&'static str),
    ShowSettings,
    /// Put on the clipboard with a short note that it was.
    Copy(String),
    /// Writes a file chosen in a dialog: suggested name and contents.
    SaveFile(String, Vec<u8>),
    /// Opens the export of a view.
    Export(View),
    /// The same of one neuron or head.
    ExportOf(View, super::export::Subject),
    /// The folder of an earlier tuning.
    OpenTuned,
    /// A folder for the tuned model.
    SaveTuned(crate::app::TunedFile),
    /// A project file whose numbers are made again.
    ReplayProject,
    /// A dialog for the file to export to; the path that stands there now.
    ExportPath(PathBuf),
    /// The shown run as an HTML page, into a file chosen in a dialog.
    SaveReport,
}

/// Hover state shared by all views, and requests to the shell. A view writes what is under the pointer; all views read, one frame later, what
/// the last frame wrote, so that the order of panels does not matter.
#[derive(Default)]
pub struct Link {
    now: Hover,
    next: Hover,
    pub asks: Vec<Ask>,
    /// Layer that arrow keys and the inspector point at while the pointer is elsewhere.
    pub focus_neuron: Option<Neuron>,
    /// The head that the inspector shows.
    pub focus_head: Option<Head>,
    /// A neuron that all maps should scroll to in the next frame.
    pub reveal: Option<Neuron>,
    revealing: Option<Neuron>,
    /// Domain whose name was clicked last.
    pub focus_domain: Option<String>,
}

impl Link {
    /// A neuron that maps scroll to in this frame.
    pub fn revealing(&self) -> Option<Neuron> {
        self.revealing
    }
    /// What was under the pointer in the last frame.
    pub fn hover(&self) -> &Hover {
        &self.now
    }
    /// Whether `layer` is under the pointer in any view (a hovered neuron marks its layer).
    pub fn is_layer_hovered(&self, layer: usize) -> bool {
        self.now.layer == Some(layer)
    }
    pub fn is_domain_hovered(&self, name: &str) -> bool {
        self.now.domain.as_deref() == Some(name) || self.now.pair.as_ref().is_some_and(|(a, b)| a == name || b == name)
    }
    pub fn hover_layer(&mut self, layer: usize) {
        self.next.layer = Some(layer);
    }
    pub fn hover_neuron(&mut self, neuron: Neuron) {
        self.next.layer = Some(neuron.layer as usize);
        self.next.neuron = Some(neuron);
    }
    pub fn hover_domain(&mut self, name: &str) {
        self.next.domain = Some(name.to_owned());
    }
    pub fn hover_pair(&mut self, a: &str, b: &str) {
        self.next.pair = Some((a.to_owned(), b.to_owned()));
    }
    /// The status bar's line for what is under the pointer.
    pub fn readout(&mut self, text: impl Into<String>) {
        self.next.readout = Some(text.into());
    }
    pub fn ask(&mut self, ask: Ask) {
        self.asks.push(ask);
    }
    /// Called by the shell after all views were drawn; true when the hover changed, so that one more frame is due.
    pub fn turn(&mut self) -> bool {
        self.revealing = self.reveal.take();
        let changed = self.now != self.next || self.revealing.is_some();
        self.now = std::mem::take(&mut self.next);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hover_is_read_one_frame_after_it_was_written() {
        let mut link = Link::default();
        link.hover_neuron(Neuron::new(3, 17));
        assert!(!link.is_layer_hovered(3));
        assert!(link.turn());
        assert!(link.is_layer_hovered(3));
        assert_eq!(link.hover().neuron, Some(Neuron::new(3, 17)));
        assert!(link.turn(), "nothing hovered any more is a change too");
        assert!(!link.is_layer_hovered(3));
        assert!(!link.turn(), "a still pointer asks for no further frame");
    }
}
