//! How task neurons are found: what every choice is by default, and what it means.

use crate::{
    app::{CurveRequest, FindRequest},
    gui::{
        PanelCx,
        widgets::control::{caption, choice, room_for, switch},
    },
    scan::{Aggregation, RelevanceConfig},
    task::{DetectConfig, Ranking},
};
use eframe::egui::{CollapsingHeader, DragValue, Ui};

pub struct OptionsUi {
    relevance: RelevanceConfig,
    ranking: Ranking,
    /// Steps of the integral, whether it is on or not.
    steps: usize,
    curve: bool,
    curve_samples: usize,
}

impl Default for OptionsUi {
    fn default() -> Self {
        let curve = CurveRequest::default();
        Self { relevance: RelevanceConfig::default(), ranking: Ranking::Global, steps: 16, curve: true, curve_samples: curve.samples }
    }
}

impl OptionsUi {
    pub fn request(&self, percent: f64) -> FindRequest {
        FindRequest {
            config: DetectConfig { relevance: self.relevance.clone(), ranking: self.ranking, percent },
            tasks: Vec::new(),
            curve: self.curve.then(|| CurveRequest { samples: self.curve_samples, ..CurveRequest::default() }),
        }
    }

    pub fn ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let theme = cx.theme;
        ui.horizontal_wrapped(|ui| {
            room_for(ui, 130.0);
            caption(ui, theme, "samples").on_hover_text("Rows of each task that rank its neurons");
            ui.add(DragValue::new(&mut self.relevance.samples).range(1..=100_000).speed(1)).accessible_name("Samples of a task");
            room_for(ui, 160.0);
            switch(ui, theme, &mut self.curve, "Suggest k");
            caption(ui, theme, "suggest k")
                .on_hover_text("Accuracy with more and more of a task's own neurons off, on rows that did not choose them");
        });
        CollapsingHeader::new(theme.small(format!("Options: {}", self.words()))).id_salt("options").show(ui, |ui| self.more_ui(ui, cx));
    }

    /// What is not as it usually is.
    fn words(&self) -> String {
        let r = &self.relevance;
        let mut parts = Vec::new();
        match r.aggregation {
            Aggregation::Sum => {}
            Aggregation::PerToken => parts.push("per token".to_owned()),
            Aggregation::Signed => parts.push("signed".to_owned()),
        }
        parts.extend(r.steps.map(|n| format!("integrated over {n} steps")));
        if self.ranking == Ranking::PerLayer {
            parts.push("layer by layer".into());
        }
        if r.columns {
            parts.push("with output coordinates".into());
        }
        if parts.is_empty() { "as in the paper".into() } else { parts.join(", ") }
    }

    fn more_ui(&mut self, ui: &mut Ui, cx: &mut PanelCx<'_>) {
        let theme = cx.theme;
        let r = &mut self.relevance;
        ui.horizontal_wrapped(|ui| {
            caption(ui, theme, "tokens");
            let options = [
                (
                    Aggregation::Sum,
                    "sum",
                    "|sum over tokens of activation x gradient|: the effect of the neuron's gate; tokens that pull both ways cancel",
                ),
                (Aggregation::PerToken, "per token", "The absolute value of every token's product, then the sum: nothing cancels"),
                (
                    Aggregation::Signed,
                    "signed",
                    "Ranked by the predicted rise of the loss when the neuron is off; neurons that stand in the way come last",
                ),
            ];
            choice(ui, theme, &mut r.aggregation, &options);
        });
        ui.horizontal_wrapped(|ui| {
            caption(ui, theme, "ranked over");
            let options = [
                (Ranking::Global, "the model", "Layers compete for places"),
                (Ranking::PerLayer, "each layer", "Every layer gives the same share"),
            ];
            choice(ui, theme, &mut self.ranking, &options);
        });
        ui.horizontal_wrapped(|ui| {
            room_for(ui, 220.0);
            let mut integrate = r.steps.is_some();
            switch(ui, theme, &mut integrate, "Integrated gradients");
            caption(ui, theme, "integrated gradients")
                .on_hover_text("The gradient averaged while all neurons' gates open from 0 to 1, instead of at 1 alone");
            r.steps = integrate.then_some(self.steps);
            if integrate {
                ui.add(DragValue::new(&mut self.steps).range(1..=512).suffix(" steps")).accessible_name("Steps of the integral");
                r.steps = Some(self.steps);
            }
        });
        ui.horizontal_wrapped(|ui| {
            room_for(ui, 200.0);
            switch(ui, theme, &mut r.columns, "Output coordinates");
            caption(ui, theme, "output coordinates").on_hover_text(
                "The paper also counts the columns of the MLP's output matrix: the coordinates that it writes. They are ranked apart and kept in the run folder.",
            );
        });
        ui.horizontal_wrapped(|ui| {
            room_for(ui, 150.0);
            caption(ui, theme, "resamples").on_hover_text("Bootstrap resamples of the rows, behind the stability of a set");
            ui.add(DragValue::new(&mut r.draws).range(0..=1000)).accessible_name("Bootstrap resamples");
            room_for(ui, 190.0);
            caption(ui, theme, "rows that suggest k").on_hover_text("At most; never rows that rank the neurons");
            ui.add(DragValue::new(&mut self.curve_samples).range(8..=10_000)).accessible_name("Rows that suggest k");
        });
    }
}
