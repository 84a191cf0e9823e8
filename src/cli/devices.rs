//! `brodmann devices`

use super::{
    args::{DevicesArgs, Format},
    output::{self, Table},
    watch::{Session, Stop},
};
use crate::{
    app::{Command, DeviceReport, Settings},
    base::number,
};
use serde_json::json;

pub fn run(args: DevicesArgs, settings: Settings) -> Result<(), Stop> {
    let mut session = Session::new(settings, args.output.quiet);
    session.run(Command::FindDevices)?;
    let Some(report) = session.app.devices.clone() else {
        return Err(Stop::Failed(vec!["the search for devices ended without a result".into()]));
    };
    match args.output.format {
        Format::Json => output::print_json(&json!(*report)),
        Format::Text => output::print(&text(&report)),
    }
}

fn text(report: &DeviceReport) -> String {
    let mut t = Table::new(["device", "name", "kind", "through", "driver", "largest operand", "scans"]);
    t.row(["cpu", &*report.cpu, "processor", "", "", "", "yes"]);
    for a in &report.adapters {
        let f = &a.facts;
        let scans = match (&f.problem, a.trial) {
            (Some(problem), _) => format!("no: {problem}"),
            (None, _) if a.software => "yes, slower than cpu: a software adapter, for tests".into(),
            (None, Some(t)) => format!("yes: {:.1} ms, cpu {:.1} ms", t.card_ms, t.cpu_ms),
            (None, None) => "yes".into(),
        };
        let largest = number::bytes(f.max_binding_bytes);
        t.row([format!("gpu:{}", f.index), f.name.clone(), f.kind.label().to_owned(), f.backend.clone(), f.driver.clone(), largest, scans]);
    }
    format!("{}\n--device auto takes {}: {}\n", t.render_left(), report.auto, report.why)
}
