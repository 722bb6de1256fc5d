//! File dialogs of the system, each on a thread of its own, so that the window goes on while one is open.

use crate::figure::Export;
use crate::host::HostTensor;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Nobody reads a dialog and cancels it sooner.
const SOONEST_CANCEL: Duration = Duration::from_millis(400);

/// What a dialog was for.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A picture to open.
    Open(PathBuf),
    /// Where to write a screenshot.
    Save(PathBuf, Arc<egui::ColorImage>),
    /// A figure to write, with its place.
    Export(Box<Export>),
    /// Where to write pictures side by side.
    SaveRow(PathBuf, Vec<HostTensor>),
}

/// The dialogs that are open.
#[derive(Default)]
pub struct Dialogs {
    open: Option<Receiver<Option<Answer>>>,
    shot: Arc<Mutex<Option<Arc<egui::ColorImage>>>>,
    crop: Option<egui::Rect>,
    /// Files go into this folder without asking.
    folder: Option<PathBuf>,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

impl Dialogs {
    /// No dialog is open. Where a folder is given, figures go into it without asking, for tests and commands.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, ..Self::default() }
    }

    /// Whether a dialog is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Asks for a picture to open.
    ///
    /// # Errors
    /// What to tell the person when no thread can be started.
    pub fn ask_open(&mut self, ctx: &egui::Context) -> Result<(), String> {
        let dialog = rfd::AsyncFileDialog::new()
            .set_title("Open a picture")
            .add_filter("Pictures", &["png", "jpg", "jpeg", "webp", "bmp", "gif"])
            .pick_file();
        self.run(ctx, None, async move { dialog.await.map(|file| Answer::Open(file.path().to_owned())) })
    }

    /// Takes a screenshot of the window, cropped to `crop` (points), and then asks where to write it.
    pub fn ask_save(&mut self, ctx: &egui::Context, crop: Option<egui::Rect>) {
        self.crop = crop;
        let (shot, repaint) = (Arc::clone(&self.shot), ctx.clone());
        ctx.request_screenshot(move |image| {
            if let Ok(mut slot) = shot.lock() {
                *slot = Some(image);
            }
            repaint.request_repaint();
        });
    }

    /// Asks where to write a figure: for a file, or for the folder of numbered ones.
    ///
    /// # Errors
    /// What to tell the person when no thread can be started.
    pub fn ask_export(&mut self, ctx: &egui::Context, export: Box<Export>, name: &str) -> Result<(), String> {
        let at = |mut export: Box<Export>, path: PathBuf| {
            export.target = path;
            Answer::Export(export)
        };
        if let Some(folder) = &self.folder {
            let path = if export.format.extension.is_some() { folder.join(name) } else { folder.clone() };
            return self.run(ctx, None, std::future::ready(Some(at(export, path))));
        }
        let dialog = rfd::AsyncFileDialog::new();
        let Some(extension) = export.format.extension else {
            let dialog = dialog.set_title("Choose a folder for the frames").pick_folder();
            let unasked = at(export.clone(), home());
            return self.run(ctx, Some(unasked), async move { dialog.await.map(|folder| at(export, folder.path().to_owned())) });
        };
        let dialog = dialog.set_title("Save a figure").set_file_name(name).add_filter(export.format.label, &[extension]).save_file();
        let unasked = at(export.clone(), home().join(name));
        self.run(ctx, Some(unasked), async move {
            dialog.await.map(|file| {
                let mut path = file.path().to_owned();
                if path.extension().is_none() {
                    path.set_extension(extension);
                }
                at(export, path)
            })
        })
    }

    /// Asks where to write pictures side by side.
    ///
    /// # Errors
    /// What to tell the person when no thread can be started.
    pub fn ask_save_row(&mut self, ctx: &egui::Context, name: &str, pictures: Vec<HostTensor>) -> Result<(), String> {
        if let Some(folder) = &self.folder {
            let answer = Answer::SaveRow(folder.join(name), pictures);
            return self.run(ctx, None, std::future::ready(Some(answer)));
        }
        let dialog = rfd::AsyncFileDialog::new().set_title("Save the pictures").set_file_name(name).add_filter("PNG", &["png"]);
        let dialog = dialog.save_file();
        let unasked = Answer::SaveRow(home().join(name), pictures.clone());
        self.run(ctx, Some(unasked), async move { dialog.await.map(|file| Answer::SaveRow(file.path().to_owned(), pictures)) })
    }

    /// Moves a finished screenshot on to its dialog, and returns an answer when there is one.
    ///
    /// # Errors
    /// What to tell the person when no thread can be started.
    pub fn poll(&mut self, ctx: &egui::Context, name: &str) -> Result<Option<Answer>, String> {
        let shot = self.shot.try_lock().ok().and_then(|mut slot| slot.take());
        if let Some(image) = shot {
            let image = match self.crop.take() {
                Some(rect) => Arc::new(image.region(&rect, Some(ctx.pixels_per_point()))),
                None => image,
            };
            if let Some(folder) = &self.folder {
                let answer = Answer::Save(folder.join(name), image);
                self.run(ctx, None, std::future::ready(Some(answer)))?;
            } else {
                let dialog =
                    rfd::AsyncFileDialog::new().set_title("Save a picture of the window").set_file_name(name).add_filter("PNG", &["png"]);
                let dialog = dialog.save_file();
                let unasked = Answer::Save(home().join(name), Arc::clone(&image));
                self.run(ctx, Some(unasked), async move { dialog.await.map(|file| Answer::Save(file.path().to_owned(), image)) })?;
            }
        }
        let Some(receiver) = &self.open else { return Ok(None) };
        match receiver.try_recv() {
            Ok(answer) => {
                self.open = None;
                Ok(answer)
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => {
                self.open = None;
                Err("The file dialog could not be shown. Drop a picture on the window instead.".to_owned())
            }
        }
    }

    /// Waits for a dialog on a thread of its own. A system without file dialogs answers as a person who cancels does, only
    /// sooner than any person could; then `unasked` is the answer, or the person is told.
    fn run(
        &mut self,
        ctx: &egui::Context,
        unasked: Option<Answer>,
        future: impl Future<Output = Option<Answer>> + Send + 'static,
    ) -> Result<(), String> {
        let (sender, receiver): (SyncSender<Option<Answer>>, _) = sync_channel(1);
        let ctx = ctx.clone();
        std::thread::Builder::new()
            .name("file dialog".to_owned())
            .spawn(move || {
                let started = Instant::now();
                let answer = block_on(future);
                let was_shown = answer.is_some() || started.elapsed() > SOONEST_CANCEL;
                if was_shown || unasked.is_some() {
                    let _ = sender.send(if was_shown { answer } else { unasked });
                }
                // Without an answer the channel closes, which says that there was no dialog.
                drop(sender);
                ctx.request_repaint();
            })
            .map_err(|err| format!("The file dialog could not be started: {err}"))?;
        self.open = Some(receiver);
        Ok(())
    }
}

/// Where a picture goes when the system cannot ask: the person's home folder, else the folder of the program's start.
fn home() -> PathBuf {
    let folder = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"));
    folder.map_or_else(PathBuf::new, PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_of(unasked: Option<Answer>, future: impl Future<Output = Option<Answer>> + Send + 'static) -> Result<Option<Answer>, String> {
        let ctx = egui::Context::default();
        let mut dialogs = Dialogs::default();
        dialogs.run(&ctx, unasked, future)?;
        loop {
            let answer = dialogs.poll(&ctx, "lab.png");
            if !dialogs.is_open() {
                return answer;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn without_file_dialogs_a_picture_is_saved_all_the_same_and_opening_says_what_to_do() {
        let image = Arc::new(egui::ColorImage::default());
        let saved = answer_of(Some(Answer::Save("lab.png".into(), image)), std::future::ready(None));
        assert!(matches!(saved, Ok(Some(Answer::Save(path, _))) if path == std::path::Path::new("lab.png")));
        assert!(answer_of(None, std::future::ready(None)).unwrap_err().contains("Drop a picture"));
    }

    #[test]
    fn a_person_who_cancels_gets_nothing() {
        let slow = async {
            std::thread::sleep(SOONEST_CANCEL * 2);
            None
        };
        assert!(matches!(answer_of(Some(Answer::Open("a.png".into())), slow), Ok(None)));
    }
}
