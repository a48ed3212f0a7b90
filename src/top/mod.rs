//! `hean top`: a live view of a running daemon in a terminal.
//!
//! One task listens to the daemon (`source.rs`) and sends news through a bounded queue; one thread reads
//! the keyboard; one loop owns the model (`model.rs`) and the screen and draws at most ten times a second,
//! whatever comes in. A terminal that does not take what is drawn holds up this process alone.
//!
//! | file | what |
//! |---|---|
//! | `source.rs` | WebSocket, or a request each second |
//! | `model.rs`, `latency.rs` | what is known |
//! | `view.rs` | what the user did to the screen |
//! | `panes.rs`, `draw.rs` | what is shown |
//! | `screen.rs` | the terminal, taken and given back |

mod draw;
mod latency;
mod model;
mod panes;
mod screen;
mod source;
mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::Exit;
use crate::client::{Client, ClientError, Look, Place};
use crate::runtime::clock::Clock;
use draw::Scene;
use model::{Model, Update};
use screen::Screen;
use view::{Then, View};

/// News that wait to be shown.
const UPDATES: usize = 1_024;
/// Events that wait to be taken.
const EVENTS: usize = 64;
/// Between two drawings, if nothing is pressed.
const FRAME: Duration = Duration::from_millis(200);
/// How often the keyboard's thread looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// The daemon, asked once.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The terminal.
    #[error("cannot use the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Shows it until the user has seen enough; where stdout is no terminal, once.
pub async fn run(place: Place, look: Look) -> Result<Exit, TopError> {
    let clock = Clock::start();
    let scene = |at: &str| Scene {
        now_ms: clock.now().millis(),
        color: look.color,
        at: at.to_owned(),
    };
    let at = place.url.authority();
    let (updates, mut news) = mpsc::channel(UPDATES);
    if !io::stdout().is_terminal() {
        let model = once(place, updates, news).await?;
        let text = draw::snapshot(&model, &scene(&at), look);
        return match io::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(Exit::Ok),
        };
    }
    // Nothing to see is an error; once there was something, a lost daemon is waited for.
    source::reach(&mut Client::new(place.clone())).await?;
    let mut signals = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    ];
    let [terminated, interrupted, hung_up] = &mut signals;
    let mut screen = Screen::take()?;
    let (keys, mut pressed) = mpsc::channel(EVENTS);
    std::thread::Builder::new()
        .name("keyboard".to_owned())
        .spawn(move || keyboard(&keys))?;
    let source = source::run(place, updates);
    let mut source = std::pin::pin!(source);
    let (mut model, mut view) = (Model::default(), View::default());
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let draw_now = tokio::select! {
            biased;
            _ = terminated.recv() => return Ok(Exit::Ok),
            _ = interrupted.recv() => return Ok(Exit::Ok),
            _ = hung_up.recv() => return Ok(Exit::Ok),
            event = pressed.recv() => match event {
                None => return Ok(Exit::Ok), // the terminal is gone
                Some(event) => {
                    let shown = view.paused.as_deref().unwrap_or(&model);
                    let table = draw::table(view.selected(), shown, &view, clock.now().millis());
                    match view.on(&event, &model, table.columns.len(), table.rows.len()) {
                        Then::Quit => return Ok(Exit::Ok),
                        then => then == Then::Draw,
                    }
                }
            },
            _ = frames.tick() => true,
            Some(update) = news.recv() => {
                model.apply(update);
                false
            }
            // It ends when nobody listens; here somebody does.
            () = &mut source => return Ok(Exit::Ok),
        };
        if draw_now {
            let scene = scene(&at);
            let drawn = screen
                .terminal
                .draw(|frame| draw::draw(frame, &model, &view, &scene));
            match drawn {
                Ok(_) => {}
                Err(error) if gone(&error) => return Ok(Exit::Ok),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether a terminal was closed.
fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe) || error.raw_os_error() == Some(5) // EIO
}

async fn once(
    place: Place,
    updates: mpsc::Sender<Update>,
    mut news: mpsc::Receiver<Update>,
) -> Result<Model, ClientError> {
    let mut client = Client::new(place);
    let mut model = Model::default();
    let asked = async move { source::once(&mut client, &updates).await };
    let heard = async {
        while let Some(update) = news.recv().await {
            model.apply(update);
        }
    };
    let (asked, ()) = tokio::join!(asked, heard);
    asked?;
    Ok(model)
}

/// Reads the keyboard until nobody wants to know.
fn keyboard(keys: &mpsc::Sender<Event>) {
    while !keys.is_closed() {
        match event::poll(LOOK) {
            Ok(false) => {}
            Ok(true) => {
                let sent = event::read().map(|event| keys.blocking_send(event));
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
