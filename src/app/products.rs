//! The arithmetic of matrix products while the program runs: which is in force, and what becomes of numbers that were made in another.
//!
//! Numbers of two arithmetics are never put side by side unsaid. What is worked out as one goes (accuracies, predictions, looks at neurons) is known
//! by [`Decoder::computing_key`], so it is made anew, or found again when the arithmetic before comes back. What is finished (runs, sweeps,
//! trainings, certificates) stays what it was, with the provenance that says so; and a job ends in the arithmetic it began in.

use super::{
    App, JobState, NoticeLevel, check,
    event::{Event, JobTarget},
    library::Loading,
    opening::backend,
    settings::BackendSettings,
};
use crate::{base::provenance::Provenance, compute::cpu::Products, model::Decoder};

impl App {
    /// What the open model computes with; without one, what it would.
    pub fn products(&self) -> Products {
        self.decoder.as_ref().map_or_else(|| self.settings.backend().products, products_of)
    }

    /// What the numbers that are made now depend on; empty without a model.
    pub fn computing_key(&self) -> String {
        self.decoder.as_ref().map(Decoder::computing_key).unwrap_or_default()
    }

    /// Whether numbers come from the open model's weights in the arithmetic in force.
    pub fn is_computed_as_now(&self, p: &Provenance) -> bool {
        let in_force = |d: &Decoder| products_of(d) == Products::named_in(&p.dtype);
        self.library.model_info().is_some_and(|m| m.sha256 == p.model_sha256) && self.decoder.as_ref().is_none_or(in_force)
    }

    /// The flag of a command line that is to compute as the open model does; nothing where `auto` does.
    pub(super) fn products_flag(&self) -> Option<Products> {
        let products = self.products();
        (self.settings.products().is_some() || products != self.settings.auto_products()).then_some(products)
    }

    /// Says so where the settings or the environment ask for what cannot be had, and nothing given at start takes its place.
    pub fn warn_of_products(&mut self) {
        let refused = self.settings.refused_products.clone().filter(|_| self.settings.given_products.is_none());
        if let Some(problem) = refused {
            let title = format!("BRODMANN_PRODUCTS is not followed: products are made in {}", self.products());
            self.warn(title, format!("{problem}. Correct the variable, or remove it and choose in the settings."));
        }
        let settings = &self.settings;
        if settings.given_products.is_none()
            && let Err(problem) = settings.preferences.products.taken(settings.usable_products)
        {
            let title = format!("The settings ask for products that cannot be made: auto takes {}", settings.auto_products());
            self.warn(title, format!("{}. Choose others in the settings.", problem));
        }
    }

    /// The open model goes on with the threads and products that the settings name now.
    pub(super) fn change_backend(&mut self) {
        let Some(base) = self.base_decoder() else { return };
        self.runner.supersede(&mut self.jobs, |t| *t == JobTarget::Backend);
        let (generation, how) = (self.model_generation, self.settings.backend());
        let tuned = self.tuned.as_ref().map(|t| t.tuned_info().sha256.clone());
        let data_dir = self.settings.data_dir.clone();
        self.runner.spawn(&mut self.jobs, "Changing how the model computes", JobTarget::Backend, move |_, out| {
            let decoder = Decoder::new(base.model, backend(how));
            let checked = [Some(decoder.model.info.sha256.clone()), tuned].into_iter().flatten();
            let checks: Vec<_> = checked.filter_map(|sha256| check::kept(&data_dir, &sha256, decoder.backend.arithmetic())).collect();
            out.send(Event::Model { generation, how, decoder });
            checks.into_iter().for_each(|c| out.send(Event::Checked(c)));
            Ok(())
        });
    }

    /// A model was opened, or goes on with another backend.
    pub(super) fn model_loaded(&mut self, generation: u64, how: BackendSettings, decoder: Decoder) {
        if generation != self.model_generation {
            return;
        }
        // A tuned model goes on with the backend of its base. Another model has none.
        let kept = self.tuned.take().filter(|t| t.base_info().sha256 == decoder.model.info.sha256);
        self.tuned = kept.map(|t| t.on_backend(&decoder));
        let decoder = self.tuned.as_ref().map_or(decoder, |t| t.computing().clone());
        let Some(model) = self.library.model.as_mut() else { return };
        model.state = Loading::Ready((decoder.model.info.clone(), decoder.model.spec.clone()));
        match self.decoder.as_ref().map(products_of).filter(|before| *before != products_of(&decoder)) {
            Some(_) => {
                self.put_decoder(decoder);
                self.tell_products();
            }
            None => self.decoder = Some(decoder),
        }
        self.verify_model();
        // The settings may have been changed while the model was read.
        if how != self.settings.backend() {
            self.change_backend();
        }
    }

    fn tell_products(&mut self) {
        let products = self.products();
        let mut details = "What was measured as you went is measured anew; runs and other finished results stay what they are.".to_owned();
        let began = self.jobs.iter().filter(|j| j.state == JobState::Running && j.target.makes_results()).map(|j| j.title.as_str());
        let began: Vec<&str> = began.collect();
        if !began.is_empty() {
            details.push_str(&format!(" Ends in the arithmetic it began in: {}.", began.join(", ")));
        }
        self.notice(NoticeLevel::Done, format!("Products are made in {products} from now on"), details);
    }
}

fn products_of(decoder: &Decoder) -> Products {
    Products::named_in(decoder.backend.arithmetic())
}
