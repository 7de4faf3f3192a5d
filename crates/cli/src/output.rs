//! The one place that writes to a terminal, a pipe or a log.
//!
//! Nothing else in this program does (a test looks), so that no text from outside gets there as it
//! came: see [`tarsops_model::display`]. A result goes to standard output, progress and traces to
//! standard error.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tarsops_model::display::{self, Text};
use tarsops_plan::Plan;
use tarsops_plan::document::Pieces;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::Global;
use crate::exit;
use crate::failure::Result;
use crate::pending::Pending;

/// What can be written: plain text, which is made harmless whole, or [`Text`], which is so already and
/// may have colours and lines.
pub trait Shown {
    /// As a result, with the ends of lines that it has.
    fn as_block(&self) -> Cow<'_, str>;
    /// As progress: plain text is one line.
    fn as_line(&self) -> Cow<'_, str>;
}

impl Shown for str {
    fn as_block(&self) -> Cow<'_, str> {
        display::block(self)
    }
    fn as_line(&self) -> Cow<'_, str> {
        match display::line(self) {
            Cow::Borrowed(text) => display::cut(text, display::LINE),
            Cow::Owned(text) => Cow::Owned(display::cut(&text, display::LINE).into_owned()),
        }
    }
}

impl Shown for String {
    fn as_block(&self) -> Cow<'_, str> {
        self.as_str().as_block()
    }
    fn as_line(&self) -> Cow<'_, str> {
        self.as_str().as_line()
    }
}

impl Shown for Text {
    fn as_block(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
    fn as_line(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl<T: Shown + ?Sized> Shown for &T {
    fn as_block(&self) -> Cow<'_, str> {
        (*self).as_block()
    }
    fn as_line(&self) -> Cow<'_, str> {
        (*self).as_line()
    }
}

/// Whether results go to a terminal.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether progress goes to a terminal.
pub fn is_progress_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Columns below which a text is not wrapped: words of it would stand alone.
const NARROWEST: usize = 30;

/// The columns of a terminal; none where a stream is none, or is too narrow.
fn columns(stream: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|n| *n >= NARROWEST)
}

/// A text for a terminal of so many columns: lines that are too long end at a word and continue below,
/// indented. Lines of a file that are shown with their numbers stay whole, as carets stand below them.
fn wrapped(text: &str, columns: Option<usize>) -> Cow<'_, str> {
    let Some(columns) = columns else {
        return Cow::Borrowed(text);
    };
    let quoted = |line: &str| {
        let rest = line.trim_start();
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.trim_start().starts_with('|')
    };
    let long = |line: &str| textwrap::core::display_width(line) > columns && !quoted(line);
    if !text.lines().any(long) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.split_inclusive('\n') {
        let body = line.trim_end_matches('\n');
        if !long(body) {
            out.push_str(line);
            continue;
        }
        let own = body.len() - body.trim_start_matches(' ').len();
        // A deep indentation would leave no room.
        let indent = " ".repeat((own + 2).min(columns / 2));
        let options = textwrap::Options::new(columns)
            .subsequent_indent(&indent)
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        out.push_str(&textwrap::wrap(body, options).join("\n"));
        out.push_str(&line[body.len()..]);
    }
    Cow::Owned(out)
}

/// Writes a line of progress to standard error.
pub fn say(text: impl Shown) {
    let err = io::stderr();
    let _ = writeln!(&err, "{}", wrapped(&text.as_line(), columns(&err)));
}

/// Asks on standard error, and gives the line that was typed. While it waits a signal can end us.
pub async fn ask(question: &str) -> Option<String> {
    let mut err = io::stderr();
    let _ = write!(err, "{}", wrapped(&question.as_line(), columns(&err)));
    let _ = err.flush();
    let (answer, answered) = tokio::sync::oneshot::channel();
    // A thread of its own, which nobody waits for: reading a terminal cannot be given up.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line).ok();
        let _ = answer.send(read.map(|_| line));
    });
    answered.await.ok().flatten()
}

/// Whether a result was lost on its way to standard output.
static LOST: AtomicBool = AtomicBool::new(false);

/// Whether a result was lost on its way to standard output, as on a full disk.
pub fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

fn write(text: &str) {
    write_with(|out| out.write_all(text.as_bytes()));
}

fn write_with(put: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if let Err(e) = put(&mut out).and_then(|()| out.flush())
        && e.kind() != io::ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        say("error: could not write to standard output");
        say(format!("  because: {e}"));
    }
}

/// Writes a result to standard output. A reader that went away is no error; a full disk is one, and
/// what is in progress continues all the same.
pub fn print(text: impl Shown) {
    write(&wrapped(&text.as_block(), columns(io::stdout())));
}

/// Writes a document for machines to standard output.
pub fn print_json(document: &str) {
    write(&display::json(document));
}

/// A document for machines on its way to a stream: each piece is made harmless.
pub struct Document<'a>(pub &'a mut dyn io::Write);

impl Pieces for Document<'_> {
    fn piece(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(display::json(text).as_bytes())
    }
}

/// The file of `--json-into`, from the start of the program until its document is written.
static DOCUMENT: Mutex<Option<Pending>> = Mutex::new(None);

fn document() -> MutexGuard<'static, Option<Pending>> {
    DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the file of `--json-into`, before anything is done.
pub fn open_document(global: &Global) -> Result<()> {
    if let Some(path) = &global.json_into {
        *document() = Some(Pending::private(path)?);
    }
    Ok(())
}

/// Writes a document for machines to the file of `--json-into`, if there is one.
pub fn write_document(json: &str) -> Result<()> {
    let pending = document().take();
    pending.map_or(Ok(()), |file| file.write(&display::json(json)))
}

/// Removes what was opened and not written.
pub fn close_document() {
    document().take();
}

/// Prints a document for machines and a text for people, each where it was asked for.
pub fn publish(global: &Global, json: &str, text: impl Shown) -> Result<()> {
    if global.json {
        print_json(json);
    } else {
        print(text);
    }
    write_document(json)
}

/// [`publish`] for a plan, whose document may be large: it is made only where it was asked for, piece by
/// piece.
pub fn publish_plan(global: &Global, plan: &Plan, text: impl FnOnce() -> Text) -> Result<()> {
    if global.json {
        write_with(|out| tarsops_plan::document::write(plan, &mut Document(out)));
    } else {
        print(text());
    }
    let pending = document().take();
    pending.map_or(Ok(()), |file| {
        file.write_with(|out| tarsops_plan::document::write(plan, &mut Document(out)))
    })
}

/// [`publish`] for a command that has changed something: a file that could not be written is reported,
/// and the exit code that says how the change went is only replaced where that was well.
pub fn publish_outcome(global: &Global, json: &str, text: impl Shown, code: u8) -> u8 {
    match publish(global, json, text) {
        Ok(()) => code,
        Err(failure) => {
            say(failure.text().trim_end());
            if code == exit::OK { failure.code } else { code }
        }
    }
}

/// Writes what the reader of the command line has to say. Help is our own text and may have its
/// colours; an error repeats what was typed.
pub fn usage(error: &clap::Error) {
    if error.use_stderr() {
        say(Text::from(error.render().to_string().as_str()).trim_end());
    } else if let Some(columns) = columns(io::stdout()) {
        // Wrapped by clap but for command lines.
        let text = error.render();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let text = if plain {
            text.to_string()
        } else {
            text.ansi().to_string()
        };
        write(&wrapped(&text, Some(columns)));
    } else {
        let _ = error.print();
    }
}

/// What a panic says may hold data as well.
pub fn guard_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::capture();
        let mut text = Text::from(panic.to_string().as_str());
        if trace.status() == std::backtrace::BacktraceStatus::Captured {
            text.end();
            text.block(&trace.to_string());
        }
        say(text);
    }));
}

/// Where traces go: each is one line.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// Whether they are JSON.
    pub json: bool,
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A trace comes whole: the subscriber writes each at once.
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let shown = if self.json {
            display::json(text)
        } else {
            text.as_line()
        };
        writeln!(io::stderr(), "{shown}")?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_end_at_words() {
        let text = "next: put it into the folder that is named there\n   | a line of a file is left as it is\n    deep words go on below\n";
        assert_eq!(wrapped(text, None), text);
        assert_eq!(wrapped(text, Some(80)), text);
        let narrow = wrapped(text, Some(20));
        let expected = "next: put it into\n  the folder that is\n  named there\n   | a line of a file is left as it is\n    deep words go on\n      below\n";
        assert_eq!(narrow, expected);
        // Colours have no width, and a word that is too long stays whole.
        let red = "\x1b[31mred\x1b[0m words that are longer";
        assert_eq!(
            wrapped(red, Some(20)),
            "\x1b[31mred\x1b[0m words that are\n  longer"
        );
        let digest = "0123456789abcdef0123456789abcdef";
        assert_eq!(wrapped(digest, Some(20)), digest);
        // Wide characters take two columns.
        assert_eq!(
            wrapped("换磁盘 换磁盘 换磁盘 x", Some(14)),
            "换磁盘 换磁盘\n  换磁盘 x"
        );
    }

    #[test]
    fn plain_text_is_made_harmless_and_text_is_so_already() {
        assert_eq!("a\nb\x1b[2J".as_block(), "a\nb\\u{1b}[2J");
        assert_eq!("a\nb\x1b[2J".as_line(), "a\\nb\\u{1b}[2J");
        let mut text = Text::new();
        text.line_in(Some(display::Colour::Red), "a\u{202e}");
        assert_eq!(text.as_line(), "\x1b[31ma\\u{202e}\x1b[0m\n");
        assert_eq!((&&text).as_block(), text.as_line());
    }
}
