//! Undo is exact: whatever is done to a project, every state it has been in comes back byte for byte, on its own branch and on every other.

use brodmann::{
    app::{App, Command, EvalConfig, MapScale, testing},
    base::{Head, Neuron, NeuronSet, rng::Rng},
    eval::AblationMode,
    scan::{MetricKind, ObjectiveKind, ScanConfig},
};
use std::collections::BTreeMap;

/// Between 0 and `n - 1`.
fn pick(rng: &mut Rng, n: usize) -> usize {
    ((rng.unit() * n as f64) as usize).min(n - 1)
}

fn neuron(rng: &mut Rng) -> Neuron {
    Neuron::new(pick(rng, 8) as u32, pick(rng, 512) as u32)
}

fn some_neurons(rng: &mut Rng) -> NeuronSet {
    let n = pick(rng, 40);
    (0..n).map(|_| neuron(rng)).collect()
}

fn domain(rng: &mut Rng) -> String {
    testing::DOMAINS[pick(rng, 6)].to_owned()
}

/// Any request that changes a project and needs no engine.
fn command(rng: &mut Rng, app: &App) -> Command {
    let index = pick(rng, app.project.sets.len().max(1));
    match pick(rng, 30) {
        0..=3 => Command::ToggleNeuron { neuron: neuron(rng) },
        4 => Command::ToggleHead { head: Head::new(pick(rng, 8) as u32, pick(rng, 8) as u32) },
        5 => Command::AddSet {
            name: format!("set {}", pick(rng, 99)),
            neurons: some_neurons(rng),
            source: "typed".into(),
            chosen_on: vec![],
        },
        6 => Command::KeepSet { name: "kept".into(), neurons: some_neurons(rng), source: "view".into(), chosen_on: vec![domain(rng)] },
        7 => {
            let formula = format!("cap(top({}, {}%), {}) - top({}, 9)", domain(rng), 1 + pick(rng, 9), 1 + pick(rng, 30), domain(rng));
            Command::AddFormula { name: String::new(), formula, on: rng.unit() < 0.5 }
        }
        8 => Command::AddTopSet { domain: domain(rng), metric: MetricKind::Relevance, percent: 0.1 + rng.unit() },
        9 => Command::EnableSet { index, on: rng.unit() < 0.5 },
        10 => Command::RemoveSet { index },
        11 => Command::RenameSet { index, name: format!("name {}", pick(rng, 1000)) },
        12 => Command::DuplicateSet { index },
        13 => Command::NoteSet { index, notes: format!("note {}", pick(rng, 1000)) },
        14 => Command::ColourSet { index, colour: pick(rng, 8) },
        15 => Command::SetAblationMode {
            mode: [AblationMode::Zero, AblationMode::Mean, AblationMode::Scale(rng.unit() as f32)][pick(rng, 3)].clone(),
        },
        16 => Command::SetControls { count: pick(rng, 9) },
        17 => Command::SetMetric { metric: [MetricKind::Relevance, MetricKind::MeanActivation, MetricKind::ParamActivation][pick(rng, 3)] },
        18 => Command::ShowDomain { domain: Some(domain(rng)), minus: (rng.unit() < 0.5).then(|| domain(rng)) },
        19 => Command::SetMapScale { scale: [MapScale::Linear, MapScale::Log, MapScale::Clipped][pick(rng, 3)] },
        20 => Command::SetGamma { gamma: (1e-7 * (1.0 + 100.0 * rng.unit())) as f32 },
        21 => Command::SetTopPercent { percent: 0.01 + 20.0 * rng.unit() },
        22 => Command::SetLayerRange { range: (rng.unit() < 0.8).then(|| (pick(rng, 8), pick(rng, 8))) },
        23 => Command::ShowPair { a: domain(rng), b: domain(rng) },
        24 => Command::SelectNeurons { neurons: some_neurons(rng) },
        25 => Command::SetNotes { notes: format!("words {}", pick(rng, 10_000)) },
        26 => Command::EnableDomain { name: domain(rng), on: rng.unit() < 0.5 },
        27 => Command::ColourDomain { name: domain(rng), colour: pick(rng, 8) },
        28 => {
            let objective = if rng.unit() < 0.5 { ObjectiveKind::Loss } else { ObjectiveKind::MaxLogit };
            Command::SetScanConfig { config: ScanConfig { samples: 1 + pick(rng, 99), objective, ..ScanConfig::default() } }
        }
        _ if rng.unit() < 0.2 => Command::ClearAblation,
        _ => Command::SetEvalConfig { config: EvalConfig { samples: Some(1 + pick(rng, 99)), ..EvalConfig::default() } },
    }
}

fn bytes(app: &App) -> Vec<u8> {
    serde_json::to_vec(&app.project).expect("json")
}

#[test]
fn five_hundred_commands_are_taken_back_byte_for_byte() {
    for seed in 0..6 {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::sample_app(dir.path());
        let mut rng = Rng::stream(seed, "commands");
        let beginning = bytes(&app);
        for _ in 0..500 {
            let command = command(&mut rng, &app);
            app.apply(command);
        }
        let end = bytes(&app);
        assert_ne!(end, beginning);
        let mut steps = 0;
        while app.undo_label().is_some() {
            app.apply(Command::Undo);
            steps += 1;
        }
        // Some requests change nothing, and those of one gesture are one step.
        assert!(steps > 250, "seed {seed}: {steps} steps");
        assert_eq!(bytes(&app), beginning, "seed {seed}");
        while app.redo_label().is_some() {
            app.apply(Command::Redo);
        }
        assert_eq!(bytes(&app), end, "seed {seed}");
    }
}

#[test]
fn every_branch_keeps_its_states_byte_for_byte() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().expect("folder");
        let mut app = testing::sample_app(dir.path());
        let mut rng = Rng::stream(seed, "branches");
        // The state at each step, as it was when it was last seen there.
        let mut states: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let here = |app: &App| app.history().into_iter().find(|r| r.current).expect("a step").id;
        states.insert(here(&app), bytes(&app));
        for _ in 0..500 {
            let ids: Vec<u64> = states.keys().copied().collect();
            let command = match pick(&mut rng, 10) {
                0 | 1 => Command::Undo,
                2 => Command::Redo,
                3 => Command::GoToStep { id: ids[pick(&mut rng, ids.len())] },
                _ => command(&mut rng, &app),
            };
            let travels = matches!(command, Command::Undo | Command::Redo | Command::GoToStep { .. });
            app.apply(command);
            let (id, now) = (here(&app), bytes(&app));
            if travels {
                assert_eq!(states.get(&id), Some(&now), "seed {seed}: step {id} is not as it was left");
            }
            states.insert(id, now);
        }
        let rows = app.history();
        assert!(rows.iter().any(|r| r.lane > 0), "there are branches");
        assert_eq!(rows.len(), states.len());
        for _ in 0..300 {
            let ids: Vec<u64> = states.keys().copied().collect();
            let id = ids[pick(&mut rng, ids.len())];
            app.apply(Command::GoToStep { id });
            assert_eq!((here(&app), bytes(&app)), (id, states[&id].clone()), "seed {seed}");
        }

        // And through a file, read by another program.
        let path = dir.path().join("p.json");
        app.apply(Command::SaveProject { path: Some(path.clone()) });
        let mut other = testing::for_tests(dir.path());
        other.settings.open_runs = false;
        other.apply(Command::OpenProject { path });
        assert_eq!(other.history(), app.history());
        for id in states.keys().copied().filter(|id| id % 7 == 0) {
            other.apply(Command::GoToStep { id });
            let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
            assert_eq!(text(&bytes(&other)), text(&states[&id]), "seed {seed}, step {id} from the file");
        }
        testing::settle(&mut other);
    }
}
