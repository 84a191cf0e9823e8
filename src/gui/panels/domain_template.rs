//! How a domain's prompts are made: template, description, examples, chat template. What is typed counts when the field is left.

use crate::{
    data::{PromptTemplate, Prompting, ShotOrder, prompt::escape},
    gui::{
        PanelCx,
        widgets::control::{caption, choice, name_cell, remark},
    },
};
use eframe::egui::{DragValue, Response, TextEdit, Ui};
use std::path::PathBuf;

/// Most examples that the control offers; the command line takes more.
const MOST_SHOTS: usize = 64;

/// The controls with what is being typed into them.
#[derive(Default)]
pub struct PromptControls {
    /// What the fields were filled from: something else means that they are filled anew.
    of: Prompting,
    edited: Prompting,
    template: String,
    choices: String,
    target: String,
    description: String,
    from: String,
}

impl PromptControls {
    fn fill(&mut self, now: &Prompting) {
        let line = |text: Option<&String>| text.map_or_else(String::new, |t| escape::to_line(t));
        let template = now.template.as_ref();
        *self = Self {
            of: now.clone(),
            edited: now.clone(),
            template: template.map_or_else(String::new, |t| t.text.clone()),
            choices: line(template.and_then(|t| t.choices.as_ref())),
            target: line(template.and_then(|t| t.target.as_ref())),
            description: line(now.description.as_ref()),
            from: now.shots.from.as_ref().map_or_else(String::new, |f| f.display().to_string()),
        };
    }

    /// What the fields say together.
    fn read(&self) -> Prompting {
        let some = |text: &str| (!text.trim().is_empty()).then(|| escape::from_line(text));
        let mut prompting = self.edited.clone();
        prompting.template = (!self.template.trim().is_empty()).then(|| PromptTemplate {
            text: self.template.clone(),
            choices: some(&self.choices),
            target: some(&self.target),
        });
        prompting.description = some(&self.description);
        prompting.shots.from = (!self.from.trim().is_empty()).then(|| PathBuf::from(self.from.trim()));
        prompting
    }

    /// The prompting asked for, when a control changed it. `templates`: a file's rows can be put into templates, built-in ones cannot.
    pub fn ui(&mut self, ui: &mut Ui, cx: &PanelCx<'_>, now: &Prompting, templates: bool) -> Option<Prompting> {
        if self.of != *now {
            self.fill(now);
        }
        let mut done = false;
        if templates {
            done |= self.templates_ui(ui, cx);
        }
        done |= self.shots_ui(ui, cx, templates);
        let chat = ui.checkbox(&mut self.edited.chat, "Use the model's chat template");
        done |= chat.on_hover_text("Description, examples and question become messages; the choice is the assistant's answer").changed();
        let next = self.read();
        (done && next != *now).then_some(next)
    }

    fn templates_ui(&mut self, ui: &mut Ui, cx: &PanelCx<'_>) -> bool {
        let mut left = false;
        caption(ui, cx.theme, "prompt template").on_hover_text("Jinja as in lm-evaluation-harness; empty: as the columns say");
        let edit = TextEdit::multiline(&mut self.template)
            .hint_text("Question: {{question}}\nAnswer:")
            .desired_rows(2)
            .desired_width(f32::INFINITY);
        left |= ui.add(edit.code_editor()).accessible_name("Prompt template").lost_focus();
        let mut field = |ui: &mut Ui, text: &mut String, name: &str, hint: &str, hover: &str| {
            ui.horizontal(|ui| {
                name_cell(ui, cx.theme.faint(name), 128.0, 24.0).on_hover_text(hover);
                let room = (ui.available_width() - 8.0).max(80.0);
                let edit = TextEdit::singleline(text).hint_text(hint).desired_width(room).code_editor();
                left |= ui.add(edit).accessible_name(format!("Template of the {name}")).lost_focus();
            });
        };
        if !self.template.trim().is_empty() {
            field(ui, &mut self.choices, "choices", "{{choices}} or [\"no\", \"yes\"]", "Empty: as the columns say");
            field(ui, &mut self.target, "target", "{{answer}}", "Index, letter or text of the right choice; empty: as the columns say");
        }
        field(ui, &mut self.description, "description", "Answer the question.\\n\\n", "Stands once before the examples; \\n is a line end");
        left
    }

    fn shots_ui(&mut self, ui: &mut Ui, cx: &PanelCx<'_>, templates: bool) -> bool {
        let mut done = false;
        ui.horizontal_wrapped(|ui| {
            caption(ui, cx.theme, "examples");
            let shots = &mut self.edited.shots;
            let count = ui.add(DragValue::new(&mut shots.count).range(0..=MOST_SHOTS).speed(0.05));
            done |= settled(&count.accessible_name("Examples before each question"));
            if shots.count == 0 {
                return;
            }
            done |= choice(
                ui,
                cx.theme,
                &mut shots.order,
                &[
                    (ShotOrder::Random, "drawn", "Anew for every question, as lm-evaluation-harness does"),
                    (ShotOrder::First, "first rows", "The same for every question"),
                ],
            );
            if shots.order == ShotOrder::Random {
                caption(ui, cx.theme, "seed");
                done |= settled(&ui.add(DragValue::new(&mut shots.seed).speed(1.0)).accessible_name("Seed of the examples"));
            }
            if templates {
                caption(ui, cx.theme, "from");
                let edit = TextEdit::singleline(&mut self.from).hint_text("the other rows, or a file").desired_width(180.0);
                done |= ui.add(edit).accessible_name("File of examples").lost_focus();
            }
        });
        if self.edited.shots.count > 0 {
            remark(ui, cx.theme, "A question never sees its own row among the examples.");
        }
        done
    }
}

/// A number was typed or a drag ended; not each step of a drag, which would read the file anew.
fn settled(response: &Response) -> bool {
    response.drag_stopped() || response.lost_focus() || (response.changed() && !response.dragged() && !response.has_focus())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_say_what_they_were_filled_with() {
        let template =
            PromptTemplate { text: "Q: {{q}}\nA:".into(), choices: Some("[\"no\", \"yes\"]".into()), target: Some("{{a}}".into()) };
        let mut prompting = Prompting { template: Some(template), description: Some("Say.\n\n".into()), ..Prompting::default() };
        (prompting.shots.count, prompting.shots.from, prompting.chat) = (3, Some("/data/x.jsonl".into()), true);
        let mut controls = PromptControls::default();
        for p in [prompting, Prompting::default()] {
            controls.fill(&p);
            assert_eq!(controls.read(), p);
        }
        controls.template = "  ".into();
        assert_eq!(controls.read().template, None);
    }
}
