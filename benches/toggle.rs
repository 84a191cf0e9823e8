//! One toggle on the demo, as a user feels it: milliseconds from the command to the predicted accuracies, to the first measured ones, to all measured
//! ones, and to the controls.
//!
//! `cargo bench --bench toggle`. Medians over neurons of every layer; effects and residuals are there before, as they are once the Ablation panel
//! was looked at.

use brodmann::{
    app::{App, Command, testing},
    base::{Neuron, NeuronSet},
};
use std::time::{Duration, Instant};

/// Milliseconds to: predicted, first measured, all measured, controls.
fn measure(app: &mut App, command: Command) -> [f64; 4] {
    let begun = Instant::now();
    let ms = || begun.elapsed().as_secs_f64() * 1e3;
    app.apply(command);
    let predicted = if app.prediction.domains.is_empty() { f64::NAN } else { ms() };
    let (mut first, mut all) = (f64::NAN, f64::NAN);
    loop {
        app.pump();
        let live = &app.ablation;
        let n: usize = live.after.values().map(|s| s.n()).sum();
        if n > 0 && first.is_nan() {
            first = ms();
        }
        if n > 0 && n == live.n_total.values().sum::<usize>() && all.is_nan() {
            all = ms();
        }
        if !live.running {
            return [predicted, first, all, ms()];
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn main() {
    let folder = tempfile::tempdir().expect("folder");
    let mut app = testing::for_tests(folder.path());
    app.settings.predicts = true;
    app.apply(Command::OpenDemo);
    testing::settle(&mut app);
    let begun = Instant::now();
    app.apply(Command::Predict);
    testing::settle(&mut app);
    println!("{}", app.device().unwrap_or_default());
    println!("first-order effects on {} domains: {:.2} s", app.prediction.ready.len(), begun.elapsed().as_secs_f64());
    // The first toggle fills the residuals.
    measure(&mut app, Command::ToggleNeuron { neuron: Neuron::new(0, 0) });
    app.apply(Command::ClearAblation);
    testing::settle(&mut app);
    let n: usize = app.library.domains.iter().filter_map(|d| d.scored()).map(|d| d.items.len()).sum();
    let layers = app.library.spec().map_or(0, |s| s.n_layers as u32);
    println!("{n} questions, {} controls; milliseconds to predicted | first measured | all measured | controls", app.project.controls);
    for layer in 0..layers {
        let times = measure(&mut app, Command::ToggleNeuron { neuron: Neuron::new(layer, 7) });
        println!("a neuron of layer {layer}: {:8.2} {:8.1} {:8.0} {:8.0}", times[0], times[1], times[2], times[3]);
        app.apply(Command::ClearAblation);
        testing::settle(&mut app);
    }
    let width = app.library.spec().map_or(0, |s| s.d_mlp as u32);
    let tenth: NeuronSet = (0..layers).flat_map(|l| (0..width / 10).map(move |i| Neuron::new(l, 10 * i))).collect();
    let add = Command::AddSet { name: "tenth".into(), neurons: tenth, source: String::new(), chosen_on: Vec::new() };
    let times = measure(&mut app, add);
    println!("a tenth of all neurons: {:8.2} {:8.1} {:8.0} {:8.0}", times[0], times[1], times[2], times[3]);
}
