//! What the user does to the screen: selects, scrolls, sorts, pauses, asks for help.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::Model;
use super::panes::{PANES, Pane};

/// The state of the screen itself.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    selected: usize,
    /// First row that is shown, of each pane.
    pub(super) scroll: [usize; 6],
    /// Column that each pane is sorted by.
    pub(super) sorted: [Option<usize>; 6],
    /// The selected pane has the screen to itself.
    pub(super) zoomed: bool,
    pub(super) help: bool,
    /// What was there when it was paused.
    pub(super) paused: Option<Box<Model>>,
}

/// What follows from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Draw,
    Nothing,
    Quit,
}

impl View {
    pub(super) fn selected(&self) -> Pane {
        PANES[self.selected]
    }

    /// Takes an event; `columns` and `rows` are those of the selected pane.
    pub(super) fn on(&mut self, event: &Event, model: &Model, columns: usize, rows: usize) -> Then {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                self.key(*key, model, columns, rows)
            }
            Event::Resize(..) => Then::Draw,
            _ => Then::Nothing,
        }
    }

    fn key(&mut self, key: KeyEvent, model: &Model, columns: usize, rows: usize) -> Then {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control {
            return match key.code {
                KeyCode::Char('c' | 'd') => Then::Quit,
                _ => Then::Nothing,
            };
        }
        if self.help {
            self.help = false;
            return if key.code == KeyCode::Char('q') {
                Then::Quit
            } else {
                Then::Draw
            };
        }
        let scroll = &mut self.scroll[self.selected];
        let last = rows.saturating_sub(1);
        match key.code {
            KeyCode::Char('q') => return Then::Quit,
            KeyCode::Esc if self.zoomed => self.zoomed = false,
            KeyCode::Esc => return Then::Quit,
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.select(1),
            KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => self.select(PANES.len() - 1),
            KeyCode::Down | KeyCode::Char('j') => *scroll = (*scroll + 1).min(last),
            KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
            KeyCode::PageDown => *scroll = (*scroll + 10).min(last),
            KeyCode::PageUp => *scroll = scroll.saturating_sub(10),
            KeyCode::Home => *scroll = 0,
            KeyCode::End => *scroll = last,
            KeyCode::Enter => self.zoomed = !self.zoomed,
            KeyCode::Char('s') => self.sort(columns),
            KeyCode::Char('p' | ' ') => {
                self.paused = match self.paused.take() {
                    Some(_) => None,
                    None => Some(Box::new(model.clone())),
                };
            }
            KeyCode::Char('?') | KeyCode::F(1) => self.help = true,
            _ => return Then::Nothing,
        }
        Then::Draw
    }

    fn select(&mut self, by: usize) {
        self.selected = (self.selected + by) % PANES.len();
    }

    /// By the next column, and behind the last one as it comes.
    fn sort(&mut self, columns: usize) {
        if !self.selected().sortable() {
            return;
        }
        let sorted = &mut self.sorted[self.selected];
        *sorted = match *sorted {
            None => Some(0),
            Some(at) if at + 1 < columns => Some(at + 1),
            Some(_) => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(view: &mut View, code: KeyCode) -> Then {
        let event = Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
        view.on(&event, &Model::default(), 3, 5)
    }

    #[test]
    fn keys_do_what_the_help_says() {
        let mut view = View::default();
        assert_eq!(press(&mut view, KeyCode::Char('x')), Then::Nothing);
        assert_eq!(press(&mut view, KeyCode::Tab), Then::Draw);
        assert_eq!(view.selected(), Pane::Positions);
        press(&mut view, KeyCode::Left);
        press(&mut view, KeyCode::BackTab);
        assert_eq!(view.selected(), Pane::Latencies);
        press(&mut view, KeyCode::Char('s'));
        assert_eq!(view.sorted[5], None, "latencies have an order of their own");
        press(&mut view, KeyCode::Tab);
        for sorted in [Some(0), Some(1), Some(2), None] {
            press(&mut view, KeyCode::Char('s'));
            assert_eq!(view.sorted[0], sorted);
        }
        for _ in 0..9 {
            press(&mut view, KeyCode::Down);
        }
        assert_eq!(view.scroll[0], 4);
        press(&mut view, KeyCode::Char('k'));
        assert_eq!(view.scroll[0], 3);
        press(&mut view, KeyCode::Char('p'));
        assert!(view.paused.is_some());
        press(&mut view, KeyCode::Char('p'));
        assert!(view.paused.is_none());
        press(&mut view, KeyCode::Char('?'));
        assert!(view.help);
        assert_eq!(press(&mut view, KeyCode::Char('p')), Then::Draw);
        assert!(
            !view.help && view.paused.is_none(),
            "a key leaves the help and does no more"
        );
        press(&mut view, KeyCode::Enter);
        assert!(view.zoomed);
        assert_eq!(press(&mut view, KeyCode::Esc), Then::Draw);
        assert_eq!(press(&mut view, KeyCode::Esc), Then::Quit);
        assert_eq!(press(&mut view, KeyCode::Char('q')), Then::Quit);
        let interrupt = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert_eq!(view.on(&interrupt, &Model::default(), 0, 0), Then::Quit);
        assert_eq!(
            view.on(&Event::Resize(1, 1), &Model::default(), 0, 0),
            Then::Draw
        );
    }
}
