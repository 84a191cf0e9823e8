//! Where scans run, as a list: the cards are looked for when it is opened, on a worker.

use super::PanelCx;
use crate::app::{Command, DeviceChoice};
use eframe::egui::{ComboBox, Ui};

pub fn device_combo(ui: &mut Ui, cx: &mut PanelCx<'_>, device: &mut DeviceChoice) {
    let app = cx.app;
    let found = app.devices.as_deref();
    let combo = ComboBox::from_id_salt("device").selected_text(device.to_string()).width(96.0);
    let list = combo.show_ui(ui, |ui| {
        let mut option = |ui: &mut Ui, choice: DeviceChoice, text: &str, hover: &str| {
            ui.selectable_value(device, choice, text).on_hover_text(hover);
        };
        option(ui, DeviceChoice::Auto, "auto", "A graphics card where it is faster, transfers included; otherwise the processor");
        option(ui, DeviceChoice::Cpu, "cpu", found.map_or("The processor", |f| &f.cpu));
        for a in found.into_iter().flat_map(|f| &f.adapters).filter(|a| a.usable) {
            let software = if a.software { "\nA software adapter, for tests: slower than cpu" } else { "" };
            let choice = DeviceChoice::Gpu(Some(a.facts.index));
            option(ui, choice, &format!("{choice} {}", a.facts.name), &format!("{}{software}", a.facts.title()));
        }
        if found.is_none_or(|f| f.adapters.is_empty()) {
            ui.label(cx.theme.small(if found.is_none() { "looking for graphics cards" } else { "no graphics card was found" }));
        }
    });
    list.response.accessible_name("Device of the scan");
    if list.inner.is_some() && found.is_none() {
        cx.send(Command::FindDevices);
    }
}
