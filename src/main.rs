//! Arguments to the window or to a command; nothing else.

use clap::Parser;
use diffuscope::worker::Worker;
use diffuscope::worker::protocol::{Command, Event, JobId, Slot};
use diffuscope::{cli, figure, ui};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Smallest window, in points.
const MIN_SIZE: [f32; 2] = [1100.0, 700.0];
/// The window at its first start, in points.
const FIRST_SIZE: [f32; 2] = [1440.0, 900.0];

fn main() -> ExitCode {
    cli::prepare();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off,diffuscope=warn")).format_timestamp(None).init();
    let cli = cli::Cli::parse();
    match cli.command {
        Some(command) => cli::run(command, &offscreen_window()),
        None => cli::finish(run_window(cli.window)),
    }
}

/// Opens the window and stays until it is closed.
fn run_window(args: cli::WindowArgs) -> anyhow::Result<()> {
    if let Some(id) = &args.lab
        && !ui::labs::LABS.iter().any(|lab| lab.id == id)
    {
        let known: Vec<_> = ui::labs::LABS.iter().map(|lab| lab.id).collect();
        anyhow::bail!("there is no lab \"{id}\"; there are {}", known.join(", "));
    }
    let viewport = egui::ViewportBuilder::default()
        .with_app_id("diffuscope")
        .with_title("Diffuscope")
        .with_inner_size(FIRST_SIZE)
        .with_min_inner_size(MIN_SIZE)
        .with_drag_and_drop(true);
    let native = eframe::NativeOptions { viewport, renderer: eframe::Renderer::Wgpu, system_font_fallback: true, ..Default::default() };
    let (loss, started) = (ui::Loss::default(), Instant::now());
    // Where the card that draws is lost, the libraries may give up with a panic.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        eframe::run_native(
            "diffuscope",
            native,
            Box::new(|cc| {
                cli::on_interrupt(close_of(&cc.egui_ctx));
                cc.wgpu_render_state.iter().for_each(|drawing| loss.watch(drawing, &cc.egui_ctx));
                let options = ui::Options { find_device: true, ..options(&args) };
                Ok(Box::new(ui::App::restored(cc, engine(&cc.egui_ctx), options)))
            }),
        )
    }));
    if let Some(why) = loss.told() {
        return cli::open_again(why, started.elapsed());
    }
    opened.unwrap_or_else(|panic| resume_unwind(panic)).map_err(|error| cli::no_window(&error.to_string()))?;
    Ok(cli::check_interrupt()?)
}

/// Closes the window when it is called, so that Ctrl-C ends the program as its close button does.
fn close_of(ctx: &egui::Context) -> impl Fn() + Send + 'static {
    let ctx = ctx.clone();
    move || {
        ctx.send_viewport_cmd(egui::ViewportCommand::Close);
        ctx.request_repaint();
    }
}

/// The window for commands that draw it off screen.
fn offscreen_window() -> cli::Window {
    let labs = ui::labs::LABS.iter().map(|lab| cli::Lab { id: lab.id, label: lab.label }).collect();
    let open = |ctx: &egui::Context, args: &cli::WindowArgs| -> Box<dyn cli::Stage> {
        let options = ui::Options { remember: false, device: Some(args.model.device()), ..options(args) };
        Box::new(Offscreen(ui::App::new(ctx, engine(ctx), options)))
    };
    cli::Window { labs, open: Box::new(open) }
}

fn options(args: &cli::WindowArgs) -> ui::Options {
    let theme = args.theme.map(|theme| match theme {
        cli::Theme::Dark => ui::ThemeChoice::Dark,
        cli::Theme::Light => ui::ThemeChoice::Light,
    });
    ui::Options {
        model: args.model.source(),
        device: args.model.chosen,
        theme,
        lab: args.lab.clone(),
        seed: args.seed,
        ..Default::default()
    }
}

/// A worker that wakes the window of `ctx`.
fn engine(ctx: &egui::Context) -> Box<dyn ui::Backend> {
    let ctx = ctx.clone();
    Box::new(Engine(Worker::spawn(Arc::new(move || ctx.request_repaint()))))
}

/// The worker as the window asks it.
struct Engine(Worker);

impl ui::Backend for Engine {
    fn send(&mut self, command: Command) -> Option<JobId> {
        self.0.send(command)
    }
    fn poll(&mut self, max: usize) -> Vec<Event> {
        self.0.poll(max)
    }
    fn progress(&self, slot: Slot) -> Option<(usize, usize)> {
        self.0.progress(slot)
    }
    fn is_busy(&self) -> bool {
        self.0.is_busy()
    }
}

/// The window as commands see it.
struct Offscreen(ui::App);

impl cli::Stage for Offscreen {
    fn ui(&mut self, ui: &mut egui::Ui) {
        self.0.ui(ui);
    }
    fn show_lab(&mut self, id: &str) {
        self.0.show_lab(id);
    }
    fn pose(&mut self) {
        self.0.pose();
    }
    fn look(&mut self, level: cli::Level) {
        self.0.set_level(match level {
            cli::Level::Overview => ui::labs::zoom::Level::Overview,
            cli::Level::Operation => ui::labs::zoom::Level::Operation,
            cli::Level::Numbers => ui::labs::zoom::Level::Numbers,
        });
    }
    fn is_settled(&self) -> bool {
        self.0.is_settled()
    }
    fn has_failed(&self) -> bool {
        self.0.has_failed()
    }
    fn restore(&mut self, state: Arc<figure::State>) -> Result<(), String> {
        self.0.restore(state)
    }
    fn export(&mut self, ask: &cli::FigureAsk) -> Result<figure::Export, String> {
        self.0.set_theme(ui::ThemeChoice::Dark);
        let part = match ask.part.as_str() {
            "lab" => ui::export::Part::Whole,
            "run" => ui::export::Part::Film,
            name => {
                let whole = self.0.figure().ok_or("the lab shows nothing yet")?;
                let names: Vec<_> = whole.alone().iter().map(figure::Figure::file_name).collect();
                let found = names.iter().position(|known| known == name);
                ui::export::Part::Alone(
                    found.ok_or_else(|| format!("there is no \"{name}\" in it; there are lab, run, {}", names.join(", ")))?,
                )
            }
        };
        let ground = match ask.ground {
            cli::FigureGround::White => ui::export::Ground::White,
            cli::FigureGround::Transparent => ui::export::Ground::Transparent,
            cli::FigureGround::Dark => ui::export::Ground::Screen,
        };
        let settings = ui::export::Settings { scale: ask.scale, ground, caption: ask.caption, pace: ask.pace, ..Default::default() };
        let ask = ui::export::Ask { part, format: ask.format, settings };
        self.0.export_of(&ask).ok_or_else(|| "the lab has nothing of the kind to show".to_owned())
    }
}
