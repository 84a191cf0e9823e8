//! How fast scans go here: the speed that a run reached which was made as the next one will be, with the same products at the same place.
//! A run of another arithmetic or device says nothing of it. Until there is a run, a very short measurement tells the order of magnitude.

use super::{App, DeviceChoice, DeviceReport, RunEntry, event::Event, event::JobTarget, project_file::is_demo};
use crate::{
    base::number,
    compute::cpu::Products,
    model::{Decoder, DecoderSpec},
    scan::{self, ScanOutput, estimate},
};
use std::time::Duration;

/// A speed that tells how long the next work will take.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// Floating-point operations a second, as [`estimate`] counts them.
    pub flops_per_second: f64,
    /// How and where it was reached: `f32 on cpu (AVX-512, 2 threads)`.
    pub made: String,
    pub known_by: KnownBy,
}

/// What tells a [`Pace`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownBy {
    Run {
        name: String,
        /// It came with the program and was made elsewhere.
        shipped: bool,
    },
    /// [`scan::measure_speed`]: an order of magnitude.
    Measurement,
}

impl Pace {
    pub fn seconds(&self, flops: f64) -> f64 {
        flops / self.flops_per_second
    }
    /// `about 12 s`, or `roughly 10 s, by a short measurement`.
    pub fn time_words(&self, flops: f64) -> String {
        let seconds = self.seconds(flops).clamp(0.01, 1e9);
        match self.known_by {
            KnownBy::Run { .. } => format!("about {}", number::duration(Duration::from_secs_f64(seconds))),
            KnownBy::Measurement => format!("roughly {}, by a short measurement", rough(seconds)),
        }
    }
    /// What an estimate from it takes for granted.
    pub fn assumed(&self) -> String {
        match &self.known_by {
            KnownBy::Run { name, shipped } => {
                let elsewhere = if *shipped { ", on the machine that made it: this one may be faster or slower" } else { "" };
                format!("At the speed of {name}, made in {}{elsewhere}", self.made)
            }
            KnownBy::Measurement => format!(
                "From a few hundredths of a second of matrix products in {}: it may take half of that or twice as long. After a first scan the time is known better",
                self.made
            ),
        }
    }
}

/// To one of few steps: more would say more than is known.
fn rough(seconds: f64) -> String {
    const STEPS: [(f64, &str); 18] = [
        (1.0, "a second"),
        (2.0, "2 s"),
        (5.0, "5 s"),
        (10.0, "10 s"),
        (20.0, "20 s"),
        (30.0, "half a minute"),
        (60.0, "a minute"),
        (120.0, "2 minutes"),
        (300.0, "5 minutes"),
        (600.0, "10 minutes"),
        (1200.0, "20 minutes"),
        (1800.0, "half an hour"),
        (3600.0, "an hour"),
        (7200.0, "2 hours"),
        (18_000.0, "5 hours"),
        (36_000.0, "10 hours"),
        (86_400.0, "a day"),
        (172_800.0, "2 days"),
    ];
    let off = |step: f64| (seconds / step).ln().abs();
    match STEPS.iter().min_by(|a, b| off(a.0).total_cmp(&off(b.0))) {
        Some((_, words)) if seconds < 240_000.0 => (*words).to_owned(),
        _ => format!("{} days", number::count((seconds / 86_400.0).round() as u64)),
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
    /// From the newest run of the open model's shape that was made as scans are made now; without one from what was measured.
    ///
    /// # Errors
    /// Why there is neither.
    pub fn scan_pace(&self) -> Result<Pace, NoPace> {
        self.pace_of_runs().or_else(|why| self.measured_pace().ok_or(why))
    }

    fn pace_of_runs(&self) -> Result<Pace, NoPace> {
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
            made: format!("{} on {}", products.arithmetic(), run.output.provenance.device),
            known_by: KnownBy::Run { name: run.name.clone(), shipped: run.path.as_deref().is_some_and(is_demo) },
        })
    }

    fn measured_pace(&self) -> Option<Pace> {
        let decoder = self.decoder.as_ref().filter(|_| self.scans_on_processor())?;
        let flops_per_second = *self.settings.preferences.remembered.speeds.get(&measured_of(decoder))?;
        let made = format!("{} on {}", self.products().arithmetic(), decoder.backend.device());
        Some(Pace { flops_per_second, made, known_by: KnownBy::Measurement })
    }

    /// A graphics card's speed is not measured.
    fn scans_on_processor(&self) -> bool {
        !matches!(self.settings.device, DeviceChoice::Gpu(_))
    }

    /// Measures how fast products are made, where no run tells it and nothing else is at work that would make it look slow.
    pub(super) fn measure_speed(&mut self) {
        let Some(decoder) = self.decoder.clone().filter(|_| self.settings.measures_speed && self.scans_on_processor()) else { return };
        let of = measured_of(&decoder);
        let busy = self.runner.is_running(|t| !matches!(t, JobTarget::Models | JobTarget::Devices));
        if busy || self.speed_tried.as_ref() == Some(&of) || self.scan_pace().is_ok() {
            return;
        }
        self.speed_tried = Some(of.clone());
        self.runner.spawn(&mut self.jobs, "Measuring the speed of products", JobTarget::Speed, move |ctx, out| {
            out.send(Event::Speed(of, scan::measure_speed(&*decoder.backend, &decoder.model.spec, ctx)?));
            Ok(())
        });
    }

    pub(super) fn speed_measured(&mut self, of: String, flops_per_second: f64) {
        self.remember(|r| {
            r.speeds.insert(of, flops_per_second);
        });
    }
}

/// What a measurement holds for: products, place and widths.
fn measured_of(decoder: &Decoder) -> String {
    let (backend, spec) = (&decoder.backend, &decoder.model.spec);
    format!("{} on {}, {} x {}", backend.arithmetic(), backend.device(), spec.d_model, spec.d_mlp)
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

    fn by(name: &str, shipped: bool) -> KnownBy {
        KnownBy::Run { name: name.into(), shipped }
    }

    #[test]
    fn runs_of_another_arithmetic_tell_no_time() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::sample_app(dir.path());
        let shipped = app.scan_pace().expect("the sample's run");
        assert!(shipped.known_by == by("run 1", true) && shipped.assumed().contains("on the machine that made it"), "{shipped:?}");
        add_run(&mut app, Products::F32, 1, 2.0);
        add_run(&mut app, Products::Bf16, 2, 8.0);
        let here = app.scan_pace().expect("run 2");
        assert_eq!(here.known_by, by("run 2", false), "the newest in f32, whichever is shown");
        assert!((here.flops_per_second / shipped.flops_per_second - 2.0).abs() < 1e-9);

        app.settings.usable_products = Ok;
        let mut of = |products| {
            app.settings.preferences.products = crate::app::ProductsChoice::Of(products);
            app.scan_pace()
        };
        let coarse = of(Products::Bf16).expect("run 3");
        assert_eq!(coarse.known_by, by("run 3", false));
        assert!(coarse.assumed().contains("made in f32 with bf16 products"), "{}", coarse.assumed());
        assert_eq!(of(Products::Bf16x3), Err(NoPace::Products(Products::Bf16x3)));
        app.library.runs.clear();
        assert_eq!(app.scan_pace(), Err(NoPace::Runs));
    }

    #[test]
    fn before_a_first_scan_a_short_measurement_tells_the_order_of_magnitude() {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::for_tests(dir.path());
        app.settings.measures_speed = true;
        testing::open_two_domains(&mut app, dir.path());
        testing::settle(&mut app);
        let pace = app.scan_pace().expect("measured");
        assert!(pace.known_by == KnownBy::Measurement && pace.flops_per_second > 0.0, "{pace:?}");
        assert!(pace.assumed().contains("a few hundredths of a second"), "{}", pace.assumed());
        assert_eq!(pace.time_words(70.0 * pace.flops_per_second), "roughly a minute, by a short measurement");
        // It is kept with the settings, and no card's.
        let kept = app.settings.preferences.clone();
        app.settings.device = DeviceChoice::Gpu(None);
        assert_eq!(app.scan_pace(), Err(NoPace::Runs));
        let mut again = testing::for_tests(dir.path());
        again.settings.preferences = kept;
        testing::open_two_domains(&mut again, dir.path());
        testing::settle(&mut again);
        assert_eq!(again.scan_pace(), Ok(pace));
    }

    #[test]
    fn rough_times_have_few_steps() {
        for (seconds, words) in
            [(0.02, "a second"), (1.6, "2 s"), (43.0, "a minute"), (500.0, "10 minutes"), (5e4, "10 hours"), (1e6, "12 days")]
        {
            assert_eq!(rough(seconds), words);
        }
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
