//! How fast scans go here: the speed that a run reached which was made as the next one will be, with the same products at the same place.
//! A run of another arithmetic or device says nothing of it.

use super::{App, DeviceChoice, DeviceReport, RunEntry, project_file::is_demo};
use crate::{
    compute::cpu::Products,
    model::DecoderSpec,
    scan::{ScanOutput, estimate},
};

/// The speed of a run that tells how long the next work will take.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// Floating-point operations a second, as [`estimate`] counts them.
    pub flops_per_second: f64,
    /// The run's name.
    pub run: String,
    /// How and where it was made: `f32 on cpu (AVX-512, 2 threads)`.
    pub made: String,
    /// It came with the program and was made elsewhere.
    pub shipped: bool,
}

impl Pace {
    pub fn seconds(&self, flops: f64) -> f64 {
        flops / self.flops_per_second
    }
    /// What an estimate from it takes for granted.
    pub fn assumed(&self) -> String {
        let elsewhere = if self.shipped { ", on the machine that made it: this one may be faster or slower" } else { "" };
        format!("At the speed of {}, made in {}{elsewhere}", self.run, self.made)
    }
}

/// Why there is no [`Pace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPace {
    /// No run of a model of this shape.
    Runs,
    /// Runs were made with other products alone.
    Products(Products),
    /// Runs with these products were made on other devices, or by another number of threads.
    Place,
}

impl NoPace {
    /// When the time will be known: `the time is known after a first scan here`.
    pub fn until(self) -> String {
        match self {
            Self::Runs => "the time is known after a first scan".to_owned(),
            Self::Products(products) => format!("the time is known after a first scan with {products} products"),
            Self::Place => "the time is known after a first scan on this device".to_owned(),
        }
    }
}

impl App {
    /// From the newest run of the open model's shape that was made as scans are made now.
    ///
    /// # Errors
    /// Why there is none.
    pub fn scan_pace(&self) -> Result<Pace, NoPace> {
        let spec = self.library.spec().ok_or(NoPace::Runs)?;
        let (products, cpu, choice) = (self.products(), self.device(), self.settings.device);
        let mut why = NoPace::Runs;
        let mut newest: Option<(&RunEntry, f64)> = None;
        for run in &self.library.runs {
            let (out, p) = (&*run.output, &run.output.provenance);
            let Some(speed) = speed(out, spec) else { continue };
            if Products::named_in(&p.dtype) != products {
                why = if why == NoPace::Runs { NoPace::Products(products) } else { why };
            } else if !cpu.as_ref().is_none_or(|cpu| is_made_at(&p.device, choice, cpu, self.devices.as_deref())) {
                why = NoPace::Place;
            } else if newest.is_none_or(|(other, _)| other.output.provenance.created <= p.created) {
                newest = Some((run, speed));
            }
        }
        let (run, flops_per_second) = newest.ok_or(why)?;
        Ok(Pace {
            flops_per_second,
            run: run.name.clone(),
            made: format!("{} on {}", products.arithmetic(), run.output.provenance.device),
            shipped: run.path.as_deref().is_some_and(is_demo),
        })
    }
}

/// Floating-point operations a second that a run of a model of this shape reached.
fn speed(run: &ScanOutput, spec: &DecoderSpec) -> Option<f64> {
    let tokens: usize = run.domains.iter().map(|d| d.tokens).sum();
    let samples: usize = run.domains.iter().map(|d| d.samples).sum();
    let known = run.n_layers == spec.n_layers && run.d_mlp == spec.d_mlp && run.timing.seconds > 0.0 && tokens > 0;
    known.then(|| estimate(spec, tokens, samples, &run.config).flops / run.timing.seconds)
}

/// Whether a scan with this choice of device would run where provenance says that one ran. What `auto` took before it is thought to take again,
/// and a card that was not looked for yet is thought to be the one that ran.
fn is_made_at(place: &str, choice: DeviceChoice, cpu: &str, found: Option<&DeviceReport>) -> bool {
    let on_card = place.strip_suffix(cpu).and_then(|p| p.strip_prefix("scan on "));
    let name = |n: usize| found.and_then(|f| f.adapters.iter().find(|a| a.facts.index == n)).map(|a| a.facts.title());
    match choice {
        DeviceChoice::Cpu => place == cpu,
        DeviceChoice::Auto => place == cpu || on_card.is_some_and(|card| !card.contains(", software)")),
        DeviceChoice::Gpu(index) => on_card.is_some_and(|card| index.and_then(name).is_none_or(|name| card.starts_with(&name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use std::sync::Arc;

    /// A run like the sample's, made with these products at a time in seconds, at this speed relative to its.
    fn add_run(app: &mut App, products: Products, second: usize, faster: f64) {
        let mut run = app.library.runs[0].clone();
        let mut output = (*run.output).clone();
        output.provenance.dtype = format!("bf16 weights, {} arithmetic, f64 sums", products.arithmetic());
        output.provenance.created = format!("2026-02-01T12:00:{second:02}Z");
        output.timing.seconds /= faster;
        (run.name, run.path, run.output) = (format!("run {}", app.library.runs.len() + 1), None, Arc::new(output));
        app.library.runs.push(run);
    }

    #[test]
    fn runs_of_another_arithmetic_tell_no_time() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::sample_app(dir.path());
        let shipped = app.scan_pace().expect("the sample's run");
        assert!(shipped.shipped && shipped.assumed().contains("on the machine that made it"), "{shipped:?}");
        add_run(&mut app, Products::F32, 1, 2.0);
        add_run(&mut app, Products::Bf16, 2, 8.0);
        let here = app.scan_pace().expect("run 2");
        assert_eq!((here.run.as_str(), here.shipped), ("run 2", false), "the newest in f32, whichever is shown");
        assert!((here.flops_per_second / shipped.flops_per_second - 2.0).abs() < 1e-9);

        app.settings.usable_products = Ok;
        let mut of = |products| {
            app.settings.preferences.products = crate::app::ProductsChoice::Of(products);
            app.scan_pace()
        };
        let coarse = of(Products::Bf16).expect("run 3");
        assert_eq!(coarse.run, "run 3");
        assert!(coarse.assumed().contains("made in f32 with bf16 products"), "{}", coarse.assumed());
        assert_eq!(of(Products::Bf16x3), Err(NoPace::Products(Products::Bf16x3)));
        app.library.runs.clear();
        assert_eq!(app.scan_pace(), Err(NoPace::Runs));
    }

    #[test]
    fn runs_of_another_place_tell_no_time() {
        let cpu = "cpu (AVX-512, 2 threads)";
        let card = format!("scan on Card (Vulkan, driver 1), forward and backward on {cpu}");
        let software = format!("scan on llvmpipe (Vulkan, Mesa, software), forward and backward on {cpu}");
        let at = |place: &str, choice| is_made_at(place, choice, cpu, None);
        for choice in [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Gpu(None)] {
            assert!(!at("cpu (AVX-512, 4 threads)", choice) && !at("cpu (AVX2, 2 threads)", choice), "{choice}");
            assert_eq!(at(cpu, choice), choice != DeviceChoice::Gpu(None), "{choice}");
            assert_eq!(at(&card, choice), choice != DeviceChoice::Cpu, "{choice}");
            assert_eq!(at(&software, choice), choice == DeviceChoice::Gpu(None), "{choice}: auto never takes a software adapter");
        }
    }
}
