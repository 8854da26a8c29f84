//! The terminal while a broker is shown in it: raw, on its other screen, and as it was before when the command ends, however it
//! ends.

use std::io::{self, Stdout, stdout};
use std::time::{Duration, Instant};

use corecast_executors::{Inbox, link, spawn_plain};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::super::interrupt::Interrupt;
use super::live::Live;
use super::screen::draw;
use crate::cli::{Exit, Failure};

/// Time between two looks at signals and figures, which come beside keys.
const LOOK: Duration = Duration::from_millis(50);

/// Time that a signal leaves for putting the terminal back.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// The figures of one look, or what was wrong with it.
type Looked = Result<Live, Failure>;

/// Shows what `look` gives at this interval, until a key or a signal ends it.
pub(super) fn show(interval: Duration, look: impl Fn() -> Looked + Send + 'static) -> Result<Exit, Failure> {
    // A broker that cannot be asked at all is told before the terminal changes.
    let first = look()?;
    let interrupt = Interrupt::on_signals(LAST_MOMENT, None)?;
    let looks = follow(interval, look)?;
    let failed = |e: io::Error| Failure::new(Exit::Failed, format!("cannot use the terminal: {e}"));
    let mut screen = Screen::open().map_err(failed)?;
    let shown = show_until_asked(&mut screen, first, looks, &interrupt);
    screen.close();
    shown.map_err(failed).map(|()| Exit::Fine)
}

/// Looks again and again on a thread of its own, so that keys are heard meanwhile.
fn follow(interval: Duration, look: impl Fn() -> Looked + Send + 'static) -> Result<Inbox<Looked>, Failure> {
    let (news, looks) = link(1);
    let body = move || {
        loop {
            corecast_executors::pause(interval);
            if news.send_blocking(look()).is_err() {
                return;
            }
        }
    };
    // Nobody joins it: it ends with the process.
    let started = spawn_plain("looks", body).map(drop);
    started.map_err(|e| Failure::new(Exit::Failed, format!("cannot start a thread: {e}")))?;
    Ok(looks)
}

fn show_until_asked(
    screen: &mut Screen,
    first: Live,
    mut looks: Inbox<Looked>,
    interrupt: &Interrupt,
) -> io::Result<()> {
    let (mut live, mut trouble) = (first, None);
    // See https://no-color.org.
    let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut is_stale = true;
    while !interrupt.is_asked() {
        if std::mem::take(&mut is_stale) {
            screen.0.draw(|frame| draw(frame, &live, trouble.as_deref(), has_colours))?;
        }
        let until = Instant::now() + LOOK;
        if event::poll(until.saturating_duration_since(Instant::now()))? {
            match event::read()? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    let is_control_c =
                        key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL;
                    if is_control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                        return Ok(());
                    }
                }
                // Of a new size.
                _ => is_stale = true,
            }
        }
        match looks.try_recv() {
            Some(Ok(looked)) => (live, trouble, is_stale) = (looked, None, true),
            Some(Err(failure)) => {
                let text = failure.to_string();
                trouble = text.lines().next().map(str::to_owned);
                is_stale = true;
            }
            None => {}
        }
    }
    Ok(())
}

/// The terminal's other screen.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn open() -> io::Result<Self> {
        enable_raw_mode()?;
        // Not by the clear of `Terminal`, which waits for the terminal to say where its cursor is: not every one does.
        let opened = execute!(stdout(), EnterAlternateScreen, Clear(ClearType::All))
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match opened {
            Ok(terminal) => Ok(Screen(terminal)),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    fn close(self) {}
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Drawing hides the cursor.
        let _ = self.0.show_cursor();
        restore();
    }
}

/// Puts the terminal back, as far as it is still there.
fn restore() {
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), LeaveAlternateScreen);
}
