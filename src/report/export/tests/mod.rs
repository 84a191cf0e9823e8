mod ablation;
mod files;
mod made;
mod pictures;
mod refusals;
mod tables;
