//! `brodmann check`

use super::{
    args::{CheckArgs, Format},
    output::{self, Table},
    watch::{Session, Stop},
};
use crate::{
    app::{Command, Settings},
    base::number,
    check::CheckReport,
};

pub fn run(args: CheckArgs, settings: Settings) -> Result<(), Stop> {
    let mut session = Session::new(settings, args.output.quiet);
    session.run(Command::OpenModel { path: args.model.clone() })?;
    session.run(Command::CheckModel { again: args.again })?;
    let Some(report) = session.app.library.check.clone() else {
        return Err(Stop::Failed(vec![format!("{}: no certificate was made", args.model.display())]));
    };
    match args.output.format {
        Format::Json => output::print_json(&serde_json::json!(*report))?,
        Format::Text => output::print(&text(&report))?,
    }
    if report.passed { Ok(()) } else { Err(Stop::Failed(vec![report.summary()])) }
}

fn text(r: &CheckReport) -> String {
    let mut t = Table::new(["matrix", "layers", "weights", "gradient rms", "worst error", ""]);
    for m in r.by_matrix() {
        let failed: Vec<String> = m.failed.iter().map(usize::to_string).collect();
        t.row([
            m.matrix.to_string(),
            m.layers.to_string(),
            m.weights.to_string(),
            format!("{:.1e} to {:.1e}", m.gradient_rms.0, m.gradient_rms.1),
            format!("{:.1e}", m.worst),
            if failed.is_empty() { "ok".into() } else { format!("FAILED in layer {}", failed.join(", ")) },
        ]);
    }
    let golden = r.golden.as_ref().map_or("no stored values beside the model".to_owned(), |g| {
        format!("stored logits of {} tokens: off by {:.1e}, allowed {:.0e}", g.tokens, g.worst, g.tolerance)
    });
    format!(
        "{}\n{}\nlogits of {} random tokens: off by {:.1e} of at most {:.1}, from f64\n{golden}\ngradients against central differences in f64, allowed {:.0e} of the larger of the difference and the matrix's rms\n\n{}\n{:.1} s on {}, {}\n",
        r.model,
        r.summary(),
        r.forward.tokens,
        r.forward.worst,
        r.forward.largest,
        r.tolerance,
        t.render(),
        r.seconds,
        r.provenance.device,
        number::counted(r.weights as u64, "weight")
    )
}
